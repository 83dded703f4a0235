"""Many requests on one connection: every answer, in order, byte for byte."""
import random, threading, time
from lib import *

SIZES = [0, 1, 600, 2047, 2048, 2049, 5000, 32768, 32769, 70000, 300000]
root = tmpdir('root')
files = {}
for i, n in enumerate(SIZES):
    files['/f%d' % i] = bytes((j * 7 + i + j // 251) % 256 for j in range(n))
    put(root + '/f%d' % i, files['/f%d' % i], 1600000000)


def talk(server, seed, names, methods, ranged, pause):
    """Send all, in pieces; None or what is wrong with the answers."""
    r = random.Random(seed)
    wire = b''.join(
        ('%s %s HTTP/1.1\r\nHost: a\r\n%s\r\n' %
         (m, n, 'Range: bytes=2-5,8-9\r\n' if x else '')).encode()
        for n, m, x in zip(names, methods, ranged))
    wire += b'GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'
    c = server.connect()

    def send():
        at = 0
        while at < len(wire):
            k = r.choice((1, 10, 100, 5000, 100000))
            try:
                c.sendall(wire[at:at + k])
            except OSError:
                return
            at += k
        if seed % 3 == 0:
            c.shutdown(socket.SHUT_WR)
    t = threading.Thread(target=send)
    t.start()
    time.sleep(pause)
    data, how = read_all(c, 20)
    t.join()
    c.close()
    got, rest = parse_responses(data, methods + ['GET'])
    for k, (q, n, m, x) in enumerate(zip(got, names, methods, ranged)):
        d = files[n]
        if m == 'HEAD':
            good = q.status == 200 and q.get('content-length') == str(len(d))
        elif x:
            good = q.status == 206 and q.complete and \
                d[2:6] in q.body and d[8:10] in q.body
        else:
            good = q.status == 200 and q.body == d
        if not good:
            return 'answer %d of %d to %s %s is %r' % (k, len(names), m, n, q)
    if len(got) != len(names) + 1 or got[-1].status != 404 or rest or \
            how != 'eof':
        return '%d answers of %d, %s, %d bytes left over' % (
            len(got), len(names) + 1, how, len(rest))


def pipelines(name, *args):
    s = Server(root, *args)
    for size, n in ((1, 1500), (32768, 40), (300000, 12)):
        f = '/f%d' % SIZES.index(size)
        why = talk(s, 0, [f] * n, ['GET'] * n, [False] * n, 0)
        check('%s: %d times %d bytes' % (name, n, size), why is None, why)
    bad = []
    for seed in range(100):
        r = random.Random(seed)
        names = [r.choice(list(files)) for _ in
                 range(r.choice((1, 5, 30, 200)))]
        methods = [r.choice(('GET', 'GET', 'HEAD')) for _ in names]
        ranged = [r.random() < .2 and len(files[n]) > 10 and m == 'GET'
                  for n, m in zip(names, methods)]
        why = talk(s, seed, names, methods, ranged,
                   0.05 if seed % 5 == 0 else 0)
        if why:
            bad.append((seed, why))
    check('%s: 100 mixed ones' % name, not bad,
          '%d went wrong, the first: %s' % (len(bad), bad[:1]))
    equal('%s: nothing stays open' % name, s.stop(), 0)


def logged():
    pipelines('with a log')


def unlogged():
    pipelines('without a log', '--access-log=false')


if __name__ == '__main__':
    time.sleep(3)       # files that just changed are not kept in memory
    run([logged, unlogged])
