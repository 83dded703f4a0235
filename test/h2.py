"""Attacks on an HTTP/2 server, and what must still work beside them.

    h2.py HOST PORT [PID]   against a server that speaks HTTP/2 at once
    h2.py                   against sws, h2spec included

Each attack has to be ended within 200 resets or 10,000 frames, at 100 ms of the
server's CPU time and with flat memory (both need PID).  Standard library only.
"""
import os, re, select, signal, socket, struct, subprocess, sys, tempfile, time
import lib

os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONT = range(10)
END_STREAM, END_HEADERS = 1, 4
CALM = 11
SLOW = float(os.environ.get('SLOW', '1'))
PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'


def frame(kind, flags=0, sid=0, payload=b''):
    return struct.pack('>I', len(payload))[1:] + \
        struct.pack('>BBI', kind, flags, sid) + payload


def text(s):
    s = s if isinstance(s, bytes) else s.encode()
    if len(s) < 127:
        return bytes([len(s)]) + s
    n, out = len(s) - 127, bytearray(b'\x7f')
    while n >= 128:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + bytes([n])) + s


def field(name, value):
    """Literal without indexing, new name (RFC 7541 6.2.2)."""
    return b'\0' + text(name) + text(value)


def head(path='/', method='GET', host='x', scheme='http', more=()):
    out = field(':method', method)
    if scheme is not None:
        out += field(':scheme', scheme)
    if path is not None:
        out += field(':path', path)
    if host is not None:
        out += field(':authority', host)
    return out + b''.join(field(n, v) for n, v in more)


def request(sid, *a, end=True, **k):
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), sid,
                 head(*a, **k))


def status_of(block):
    """:status, the first field of the first answer of a connection."""
    known = {0x88: 200, 0x89: 204, 0x8a: 206, 0x8b: 304, 0x8c: 400, 0x8d: 404,
             0x8e: 500}
    if block[0] in known:
        return known[block[0]]
    n = block[1] & 127
    if not block[1] & 128:
        return int(block[2:2 + n])
    bits, out = ''.join(f'{b:08b}' for b in block[2:2 + n]), ''
    while len(out) < 3:     # the digits of RFC 7541's code
        if int(bits[:5], 2) < 3:
            out, bits = out + str(int(bits[:5], 2)), bits[5:]
        else:
            out, bits = out + str(int(bits[:6], 2) - 22), bits[6:]
    return int(out)


class Client:
    def __init__(self, settings=b'', hello=True, rcvbuf=0):
        self.s = socket.socket()
        if rcvbuf:
            self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.s.connect((HOST, PORT))
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buf, self.closed, self.goaway, self.got = b'', False, None, []
        if hello:
            self.send(PREFACE + frame(SETTINGS, 0, 0, settings))

    def send(self, data):
        try:
            self.s.settimeout(10 * SLOW)
            self.s.sendall(data)
        except OSError:
            self.closed = True

    def read(self, wait=0.0):
        """Take what is there; its frames as (kind, flags, stream, payload)."""
        new = []
        while not self.closed:
            if not select.select([self.s], [], [], wait)[0]:
                break
            wait = 0
            try:
                more = self.s.recv(1 << 20)
            except OSError:
                more = b''
            if not more:
                self.closed = True
            self.buf += more
            while len(self.buf) >= 9:
                n = int.from_bytes(self.buf[:3], 'big')
                if len(self.buf) < 9 + n:
                    break
                kind, flags, sid = struct.unpack('>BBI', self.buf[3:9])
                f = (kind, flags, sid, self.buf[9:9 + n])
                self.buf = self.buf[9 + n:]
                if kind == GOAWAY:
                    self.goaway = struct.unpack('>II', f[3][:8])
                new.append(f)
        self.got += new
        return new

    def until(self, what, seconds=5):
        end, seen = time.time() + seconds * SLOW, 0
        while True:
            for f in self.got[seen:]:
                if what(f):
                    return f
            seen = len(self.got)
            if time.time() > end or self.closed:
                return None
            self.read(0.05)

    def close(self):
        self.s.close()


def cpu():
    if not PID:
        return 0
    return int(open(f'/proc/{PID}/schedstat').read().split()[0]) / 1e6


def rss():
    return int(open(f'/proc/{PID}/statm').read().split()[1]) * 4 if PID else 0


def check(name, good, note=''):
    global failed
    failed |= not good
    print(f'{"ok" if good else "FAIL"} {name}{": " + note if note else ""}',
          flush=True)


def attack(name, make, count=200000, limit=10000, unit='frames', step=100,
           reads=True, code=None, prepare=b'', spent=100):
    """Send make(0), make(1) ... until the server ends it."""
    c, before, mem, n = Client(), cpu(), rss(), 0
    c.read(0.1)
    c.send(prepare)
    # who reads nothing cannot see the end of it: it looks when the limit is there
    while n < (count if reads else limit - step) and not c.closed and \
            c.goaway is None:
        c.send(b''.join(make(i) for i in range(n, n + step)))
        n += step
        if reads:
            c.read(0.002 * SLOW)
        else:
            time.sleep(0.002 * SLOW)
    if not reads:
        c.read(0.2)
    for _ in range(100):
        if c.closed or c.goaway is None:
            break
        c.read(0.05)
    used, grown = cpu() - before, rss() - mem
    note = f'{n} {unit}, {used:.0f} ms, {grown:+d} KiB, GOAWAY {c.goaway}'
    check(name, (c.closed or c.goaway is not None) and n <= limit and
          used <= spent * SLOW and grown <= 4096 * SLOW and
          (code is None or c.goaway is None or c.goaway[1] == code), note)
    c.close()


def sid(i):
    return 2 * i + 1


def attacks():
    resets = dict(count=20000, limit=200, unit='resets', step=10)
    attack('rapid reset', lambda i: request(sid(i)) +
           frame(RST, 0, sid(i), b'\0\0\0\x08'), code=CALM, **resets)
    window = lambda n: struct.pack('>I', n)
    post = lambda i, **k: request(sid(i), method='POST', end=False, **k)
    attack('reset by window overflow', lambda i: post(i) +
           frame(WINDOW, 0, sid(i), window(0x7fffffff)), code=CALM, **resets)
    attack('reset by zero increment', lambda i: post(i) +
           frame(WINDOW, 0, sid(i), window(0)), **resets)
    attack('reset by data after the end', lambda i: request(sid(i), '/big') +
           frame(DATA, 0, sid(i), b'x'), **resets)
    attack('reset by self-dependency', lambda i: post(i) +
           frame(PRIORITY, 0, sid(i), window(sid(i)) + b'\x10'), **resets)
    attack('reset by PRIORITY of a wrong length', lambda i: post(i) +
           frame(PRIORITY, 0, sid(i), b'1234'), **resets)
    attack('reset by content-length', lambda i:
           post(i, more=[('content-length', '5')]) +
           frame(DATA, END_STREAM, sid(i), b'x'), code=CALM, **resets)
    attack('reset by upper case', lambda i: request(sid(i),
           more=[('Upper', '1')]), code=CALM, **resets)
    attack('resets, nothing read', lambda i: request(sid(i),
           more=[('Upper', '1')]), reads=False, code=CALM, **resets)
    # the reply is complete when the client resets: still no free ride
    attack('uploads reset late', lambda i: post(i) +
           frame(DATA, 0, sid(i), bytes(100)) +
           frame(RST, 0, sid(i), b'\0\0\0\0'), **resets)

    attack('CONTINUATION flood', lambda i: frame(CONT, 0, 1,
           field('a%d' % i, 'x' * 1000)), limit=1000, step=20,
           prepare=frame(HEADERS, 0, 1, head()))
    attack('empty CONTINUATION flood', lambda i: frame(CONT, 0, 1),
           limit=1000, step=20, prepare=frame(HEADERS, 0, 1, head()))
    # one entry of 4 KB in the table, then a byte for each copy of it
    bomb = b'\x40' + text('b') + text('x' * 4000)
    copies = b'\xbe' * 16000
    attack('HPACK bomb', lambda i: frame(HEADERS, 5, sid(i), head() +
           (copies[:15000] if i else bomb)), limit=20, step=1, code=CALM)
    attack('HPACK bomb, one block', lambda i: frame(HEADERS, 1, sid(i),
           head() + bomb + copies[:8000]) + 7 * frame(CONT, 0, sid(i), copies) +
           frame(CONT, END_HEADERS, sid(i), copies), limit=20, step=1,
           code=CALM)
    attack('PING flood', lambda i: frame(PING, 0, 0, bytes(8)), code=CALM)
    attack('PING flood, nothing read', lambda i: frame(PING, 0, 0, bytes(8)),
           reads=False, code=CALM)
    attack('PING ACK flood', lambda i: frame(PING, 1, 0, bytes(8)), code=CALM)
    attack('SETTINGS flood', lambda i: frame(SETTINGS), code=CALM)
    attack('SETTINGS flood, nothing read', lambda i: frame(SETTINGS),
           reads=False, code=CALM)
    attack('SETTINGS window toggle', lambda i: frame(SETTINGS, 0, 0,
           struct.pack('>HI', 4, 1 + i % 2 * 65534)), code=CALM,
           prepare=b''.join(request(sid(i), '/big') for i in range(90)))
    attack('empty DATA flood', lambda i: frame(DATA, 0, 1), code=CALM,
           prepare=request(1, method='POST', end=False))
    attack('padded empty DATA flood', lambda i: frame(DATA, 8, 1, b'\0'),
           code=CALM, prepare=request(1, method='POST', end=False))
    attack('PRIORITY flood', lambda i: frame(PRIORITY, 0, sid(i),
           b'\0\0\0\0\x10'), code=CALM)
    attack('PRIORITY chain', lambda i: frame(PRIORITY, 0, sid(i % 100 + 1),
           window(0x80000000 | sid(i % 100)) + b'\x10'), code=CALM)
    attack('WINDOW_UPDATE flood', lambda i: frame(WINDOW, 0, 0, window(1)),
           code=CALM)
    attack('unknown frame flood', lambda i: frame(0x42, 0, 0, b'abc'),
           code=CALM)
    attack('PRIORITY_UPDATE flood', lambda i: frame(0x10, 0, 0,
           window(1) + b'u=1'), code=CALM)
    attack('one byte a window', lambda i: frame(WINDOW, 0, 1, window(1)),
           code=CALM, prepare=frame(SETTINGS, 0, 0, struct.pack('>HI', 4, 0)) +
           request(1, '/big'))


def legal():
    c = Client(hello=False)
    block = head(more=[('a', 'x' * 300)])
    data = PREFACE + frame(SETTINGS) + frame(HEADERS, 1, 1, block[:20]) + \
        frame(CONT, 0, 1, block[20:90]) + frame(CONT, 4, 1, block[90:])
    for i in range(len(data)):
        c.send(data[i:i + 1])
        time.sleep(0.0002)
    f = c.until(lambda f: f[0] == HEADERS)
    check('HEADERS and two CONTINUATIONs byte by byte',
          f is not None and status_of(f[3]) == 200, str(c.goaway or ''))
    c.close()
    c = Client()
    c.send(frame(WINDOW, 0, 0, b'\x7f\0\0\0'))
    for i in range(3000):
        c.send(request(sid(i)))
        if i % 50 == 49:
            c.until(lambda f: f[0] == DATA and f[2] == sid(i) and f[1] & 1)
    n = sum(f[0] == DATA and f[1] & 1 for f in c.got)
    check('3,000 requests on a connection', n == 3000, str(n))
    c.close()
    # as a client does that counts in 4 KiB: eight updates a DATA frame
    c = Client(struct.pack('>HI', 4, 1 << 24))
    c.send(frame(WINDOW, 0, 0, struct.pack('>I', 1 << 24)) + request(1, '/big'))
    n, last = 0, time.time() + 20 * SLOW
    while n < BIG and not c.closed and time.time() < last:
        for f in c.read(0.1):
            if f[0] == DATA:
                n += len(f[3])
                c.send(4 * (frame(WINDOW, 0, 0, b'\0\0\x10\0') +
                            frame(WINDOW, 0, 1, b'\0\0\x10\0')))
    check('eight window updates a DATA frame', n == BIG, f'{n} {c.goaway}')
    c.close()


def answer(data):
    """The status of the first answer, or 'RST n', 'GOAWAY n'."""
    c = Client()
    c.send(data)
    f = c.until(lambda f: f[0] in (HEADERS, RST, GOAWAY))
    c.close()
    if f is None:
        return None
    if f[0] == HEADERS:
        return status_of(f[3])
    return '%s %d' % ('RST' if f[0] == RST else 'GOAWAY',
                      struct.unpack('>I', f[3][-4:] if f[0] == RST else
                                    f[3][4:8])[0])


def answers():
    rows = [
        ('index', request(1), 200),
        ('missing', request(1, '/nope'), 404),
        ('HEAD', request(1, method='HEAD'), 200),
        ('OPTIONS *', request(1, '*', method='OPTIONS'), 204),
        ('https', request(1, scheme='https'), 200),
        ('another scheme', request(1, scheme='ftp'), 400),
        ('scheme that begins like one', request(1, scheme='httpsx'), 400),
        ('short scheme', request(1, scheme='htt'), 400),
        ('POST', request(1, method='POST', end=False), 405),
        ('CONNECT', request(1, None, method='CONNECT', scheme=None), 405),
        ('unknown method', request(1, method='BREW'), 501),
        ('climbing', request(1, '/../../etc/passwd'), 400),
        ('fragment', request(1, '/#x'), 400),
        ('backslash', request(1, '/a\\b'), 400),
        ('bad escape', request(1, '/%zz'), 400),
        ('absolute target', request(1, 'http://y/'), 'RST 1'),
        ('absolute target, other scheme', request(1, 'http://y/',
                                                  scheme='ftp'), 400),
        ('userinfo', request(1, host='u@x'), 400),
        ('Host agrees', request(1, host='X', more=[('host', 'x')]), 200),
        ('Host differs', request(1, more=[('host', 'y')]), 400),
        ('Host alone', request(1, host=None, more=[('host', 'y')]), 200),
        ('bad Host alone', request(1, host=None, more=[('host', 'a/b')]),
         'RST 1'),
        ('neither', request(1, host=None), 'RST 1'),
        ('empty authority', request(1, host=''), None),
        ('long target', request(1, '/' + 'a' * 8200), 414),
        ('longer target', request(1, '/' + 'a' * 16000), 414),
        ('101 fields', request(1, more=[('a', '1')] * 101), 431),
        ('17 KiB of fields', frame(HEADERS, 1, 1, head()) + frame(
            CONT, 4, 1, 5 * field('a', 'x' * 3200)), 200),
        ('431', frame(HEADERS, 1, 1, head()) + frame(
            CONT, 0, 1, 4 * field('a', 'x' * 4000)) + frame(
            CONT, 4, 1, field('b', 'x' * 4000)), 431),
        ('431 to HEAD', frame(HEADERS, 1, 1, head(method='HEAD')) + frame(
            CONT, 0, 1, 4 * field('a', 'x' * 4000)) + frame(
            CONT, 4, 1, field('b', 'x' * 4000)), 431),
        ('connection field', request(1, more=[('connection', 'close')]),
         'RST 1'),
        ('te: trailers', request(1, more=[('te', 'trailers')]), 200),
        ('expectation', request(1, more=[('expect', 'x')]), 417),
        ('bad content-length', request(1, more=[('content-length', 'x')]),
         'RST 1'),
        ('range', request(1, more=[('range', 'bytes=0-3')]), 206),
        ('bad range', request(1, more=[('range', 'bytes=99999-')]), 416),
    ]
    for name, data, want in rows:
        got = answer(data)
        if want is None:
            check(name, got != 200, str(got))
        else:
            check(name, got == want, '' if got == want else f'{got}, not {want}')


def streams():
    # HEAD: END_STREAM on HEADERS
    c = Client()
    c.send(request(1, '/big', method='HEAD'))
    f = c.until(lambda f: f[0] == HEADERS)
    check('HEAD ends its stream', f is not None and f[1] & 1 == 1)
    # answered at once, reset without error once its content is too much
    c.send(request(3, method='POST', end=False))
    c.until(lambda f: f[0] == DATA and f[2] == 3 and f[1] & 1)
    c.send(2 * frame(DATA, 0, 3, bytes(10000)))
    f = c.until(lambda f: f[0] == RST and f[2] == 3)
    check('an upload is answered, then reset without error',
          f is not None and f[3] == bytes(4))
    for i in range(2, 30):
        c.send(request(sid(i), method='POST', end=False))
    f = c.until(lambda f: f[0] == RST and f[2] == sid(5))
    check('uploads that do not end', f is not None and f[3] == bytes(4))
    c.close()
    # more files at a time than descriptors
    c = Client(struct.pack('>HI', 4, 1 << 24))
    c.send(frame(WINDOW, 0, 0, struct.pack('>I', 1 << 30)))
    for i in range(30):
        c.send(request(sid(i), '/big' if i % 2 else '/100k'))
    if PID:
        time.sleep(0.1)
        n = sum(1 for f in os.listdir(f'/proc/{PID}/fd'))
    sizes = {}
    end = time.time() + 60 * SLOW
    done = 0
    while done < 30 and not c.closed and time.time() < end:
        for f in c.read(0.1):
            if f[0] == DATA:
                sizes[f[2]] = sizes.get(f[2], 0) + len(f[3])
                done += f[1] & 1
        c.got.clear()
    check('thirty files at a time', sorted(sizes.values()) ==
          15 * [100000] + 15 * [BIG], f'{done} done, {c.goaway}')
    c.close()


def h2spec():
    """Its whole list, strictly, without and with TLS."""
    exe = 'test/deps/bin/h2spec'
    if not os.path.exists(exe):
        check('h2spec', False, 'is missing: sh test/deps.sh test installs it')
        return
    cert, key = tmp.name + '/cert.pem', tmp.name + '/key.pem'
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
                    'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj',
                    '/CN=localhost', '-keyout', key, '-out', cert], check=True,
                   stderr=subprocess.DEVNULL)
    for name, more, flags in ('h2c', [], []), \
            ('TLS', ['-C', cert, '-K', key], ['-t', '-k']):
        s = lib.Server(ROOT, '--access-log=false', *more)
        r = subprocess.run([exe, '-S', '-h', HOST, '-p', str(s.port), '-o',
                            str(int(3 * SLOW)), *flags], capture_output=True,
                           text=True, timeout=300 * SLOW)
        m = re.search(r'(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed',
                      r.stdout)
        n = [int(x) for x in m.groups()] if m else None
        # the one it skips is a note of its own, not a case of the server's
        check('h2spec over ' + name, n is not None and n[0] >= 146 and
              n[3] == 0 and n[1] + n[2] == n[0] and n[2] <= 1, r.stdout[-300:])
        check('h2spec over ' + name + ': server ends', s.stop() == 0)


def own():
    """What needs the server's folder or signals."""
    name = os.path.join(ROOT, 'shrinks')
    with open(name, 'wb') as f:
        f.write(bytes(1000000))
    c = Client()
    c.send(request(1, '/shrinks'))
    c.until(lambda f: f[0] == DATA)
    os.truncate(name, 70000)
    c.send(frame(WINDOW, 0, 0, b'\0\x0f\xff\xff') +
           frame(WINDOW, 0, 1, b'\0\x0f\xff\xff'))
    f = c.until(lambda f: f[0] == RST)
    check('a file shorter than promised', f is not None and
          f[3] == b'\0\0\0\x02', str(f and f[3]))
    c.send(request(3))
    f = c.until(lambda f: f[0] == HEADERS and f[2] == 3)
    check('the connection goes on', f is not None)
    c.close()
    c = Client()
    c.send(request(1, '/100k'))
    c.until(lambda f: f[0] == DATA)
    os.kill(PID, signal.SIGTERM)
    c.until(lambda f: f[0] == GOAWAY)
    first = c.goaway
    ping = c.until(lambda f: f[0] == PING)
    # sent before our echo: still taken
    c.send(request(3, '/empty') + frame(PING, 1, 0, ping[3]) +
           request(5, '/empty'))
    c.until(lambda f: f[0] == HEADERS and f[2] == 3)
    c.until(lambda f: f[0] == GOAWAY and f[3][0] != 0x7f)
    last = c.goaway
    c.send(frame(WINDOW, 0, 0, b'\0\x0f\xff\xff') +
           frame(WINDOW, 0, 1, b'\0\x0f\xff\xff'))
    c.until(lambda f: False, 2)
    n = sum(len(f[3]) for f in c.got if f[0] == DATA and f[2] == 1)
    check('draining finishes what is open', first == (0x7fffffff, 0) and
          last == (3, 0) and n == 100000 and c.closed and
          not any(f[2] == 5 for f in c.got), f'{first} {last} {n} {c.closed}')
    c.close()


HOST, PORT, PID, ROOT, server, failed = '127.0.0.1', 0, 0, None, None, False
if len(sys.argv) > 2:
    HOST, PORT = sys.argv[1], int(sys.argv[2])
    PID = int(sys.argv[3]) if len(sys.argv) > 3 else 0
else:
    tmp = tempfile.TemporaryDirectory()
    ROOT = os.path.join(tmp.name, 'root')
    os.mkdir(ROOT)
    for n, size in ('index.html', 500), ('100k', 100000), ('big', 3000000), \
            ('empty', 0):
        with open(os.path.join(ROOT, n), 'wb') as f:
            f.write(os.urandom(size))
    server = lib.Server(ROOT, '--access-log=false')
    PORT, PID = server.port, server.proc.pid
BIG = 3000000 if ROOT else int(os.environ.get('BIG', '10000000'))
legal()
answers()
streams()
attacks()
if ROOT:
    h2spec()
    own()
    check('it ends', server.proc.wait(10 * SLOW) == 0)
sys.exit(failed)
