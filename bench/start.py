"""From exec to the first byte, for a connection that waits in the listener: the
median of 30 starts, in milliseconds.

	python3 bench/start.py [SWS]

The clock runs from just before posix_spawn(3) to the first byte of the answer;
under TLS also to the first byte of the handshake's, which needs no round trip
of the client's."""
import os, socket, ssl, statistics, subprocess, sys, tempfile, time

SWS = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else './sws')
N = 30


def certificate(d, kind):
    new = {'EC': ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
           'RSA': ['rsa:2048']}[kind]
    subprocess.run(['openssl', 'req', '-x509', '-newkey', *new, '-nodes',
                    '-subj', '/CN=localhost', '-keyout', d + '/' + kind + 'k',
                    '-out', d + '/' + kind + 'c'], check=True,
                   stderr=subprocess.DEVNULL)
    return ['-C', d + '/' + kind + 'c', '-K', d + '/' + kind + 'k']


def once(args, tls):
    """Milliseconds to the first byte, to the first of an answer."""
    with socket.create_server(('127.0.0.1', 0)) as l:
        c = socket.create_connection(l.getsockname())
        c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            ctx = ssl.create_default_context()
            ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
            i, o = ssl.MemoryBIO(), ssl.MemoryBIO()
            t = ctx.wrap_bio(i, o)
            try:
                t.do_handshake()
            except ssl.SSLWantReadError:
                c.sendall(o.read())
        else:
            c.sendall(b'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
        c.settimeout(5)
        begin = time.perf_counter()
        pid = os.posix_spawn(SWS, [SWS, '--fd', '0', *args], {}, file_actions=[
            (os.POSIX_SPAWN_DUP2, l.fileno(), 0),
            (os.POSIX_SPAWN_OPEN, 2, '/dev/null', os.O_WRONLY, 0)])
        try:
            first = c.recv(65536)
            at = time.perf_counter()
            answered = at
            if tls:
                i.write(first)
                while True:
                    try:
                        t.do_handshake()
                        break
                    except ssl.SSLWantReadError:
                        if o.pending:
                            c.sendall(o.read())
                        i.write(c.recv(65536))
                t.write(b'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
                c.sendall(o.read())
                i.write(c.recv(65536))
                first = t.read(100)
                answered = time.perf_counter()
            if not first.startswith(b'HTTP/1.1 200'):
                sys.exit('no answer: %r' % first)
        except OSError as e:
            sys.exit('no answer: %s' % e)
        finally:
            os.kill(pid, 15)
            c.close()
            os.waitpid(pid, 0)
    return (at - begin) * 1e3, (answered - begin) * 1e3


with tempfile.TemporaryDirectory() as d:
    os.mkdir(d + '/root')
    with open(d + '/root/index.html', 'w') as f:
        f.write('x' * 612)
    for name, args in (('plain', []), ('plain, no sandbox', ['--sandbox=off']),
                       ('TLS, P-256', certificate(d, 'EC')),
                       ('TLS, RSA 2048', certificate(d, 'RSA'))):
        runs = [once([*args, d + '/root'], name[0] == 'T') for _ in range(N)]
        print('%-18s first byte %5.2f ms, answer %5.2f ms (longest %.2f)' % (
            name, *(statistics.median(x) for x in zip(*runs)),
            max(x[1] for x in runs)))
