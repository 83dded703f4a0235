"""What hostile clients and odd configurations try; it has to end in an answer.

Every server here has to end with status 0 and without a word of a sanitizer."""
import base64, os, re, signal, socket, struct, subprocess, time
from lib import Server, check, equal, get, parse_responses, put, read_all, \
    run, skip, spawn, tmpdir, SLOW, SWS

CURL = ['curl', '-s', '--http2-prior-knowledge', '--max-time',
        str(int(60 * SLOW))]

# pw, at the lowest cost
HASH = '$2b$04$Eh5kAGTIZcBUTZUWzNPWuezCvPSgZ4yNO7KFMTlJA7qSdGKx9eMoO'


def start(root, *args, toml=None, **kw):
    """A server; .toml is the path of its configuration file, if it has one."""
    path = None
    if toml is not None:
        path = put(os.path.join(tmpdir('toml'), 'conf.toml'), toml)
        args = ('--config-file', path, *args)
    s = Server(root, *args, **kw)
    s.toml = path
    return s


def refused(*args, toml=None):
    """What a start with this says, or None when it does start."""
    try:
        start(tmpdir(), *args, toml=toml).stop(signal.SIGKILL)
    except RuntimeError as e:
        return str(e).partition('start: ')[2].strip()


def end(name, s):
    status = s.stop()
    check(name + ': ends well', status == 0 and not re.search(
        'ERROR: |runtime error', s.log()), '%s %s' % (status, s.log()[-500:]))


def until(test, seconds=10):
    """Does test() come true in time?"""
    last = time.time() + seconds * SLOW
    while not test():
        if time.time() > last:
            return False
        time.sleep(0.02)
    return True


def h2(s, path, *args):
    """The head of an answer over HTTP/2 as curl shows it."""
    p = subprocess.run([*CURL, '-i', *args, '-g', '--path-as-is',
                        'http://127.0.0.1:%d%s' % (s.port, path)],
                       stdout=subprocess.PIPE)
    return p.stdout.partition(b'\r\n\r\n')[0].decode('latin-1') + '\r\n'


class H2:
    """Frames, and a window of our own for each stream."""

    def __init__(self, s, window=65535):
        self.s, self.buf, self.data, self.over = s.connect(), b'', {}, {}
        self.s.sendall(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + self.frame(
            4, 0, 0, struct.pack('>HI', 4, window)) + self.frame(
                8, 0, 0, struct.pack('>I', 1 << 30)))

    @staticmethod
    def frame(kind, flags, sid, payload=b''):
        return struct.pack('>I', len(payload))[1:] + struct.pack(
            '>BBI', kind, flags, sid) + payload

    def ask(self, sid, path, method=b'\x82', fields=()):
        """method: a field of HPACK; 0x82 is GET."""
        block = method + b'\x86\x04' + bytes([len(path)]) + path.encode() + \
            b'\x01\x01a'
        for n, v in fields:
            block += bytes([0, len(n)]) + n.encode() + bytes([len(v)]) + \
                v.encode()
        self.data.setdefault(sid, b'')
        self.s.sendall(self.frame(1, 5, sid, block))

    def more(self, sid, n):
        self.s.sendall(self.frame(8, 0, sid, struct.pack('>I', n)))

    def reset(self, sid):
        self.s.sendall(self.frame(3, 0, sid, struct.pack('>I', 8)))

    def read(self, good, seconds=10):
        """Take frames until good() or time is up.  .data of each stream;
        .over: how it ended, a frame's kind; of 0, the connection."""
        last = time.time() + seconds * SLOW
        while not good():
            if 0 in self.over or time.time() > last:
                return False
            self.s.settimeout(max(0.01, last - time.time()))
            try:
                got = self.s.recv(262144)
            except socket.timeout:
                return False
            except OSError:
                got = b''
            if not got:
                self.over[0] = 'closed'
            self.buf += got
            while len(self.buf) >= 9:
                n = int.from_bytes(self.buf[:3], 'big')
                if len(self.buf) < 9 + n:
                    break
                kind, flags, sid = struct.unpack('>BBI', self.buf[3:9])
                if kind == 0:
                    self.data[sid] = self.data.get(sid, b'') + self.buf[9:9 + n]
                if kind == 6 and not flags & 1:
                    self.s.sendall(self.frame(6, 1, 0, self.buf[9:9 + n]))
                if kind == 3 or (kind < 2 and flags & 1):
                    self.over[sid] = kind
                if kind == 7:
                    self.over['goaway'] = True
                self.buf = self.buf[9 + n:]
        return True


# ---- fields ------------------------------------------------------------------

def fields_fit():
    """The longest of all: no field is lost, whatever a client asks for."""
    d = tmpdir('root')
    os.makedirs(d + '/sub')
    put(d + '/index.html', 'x')
    names = ['x-%02d' % i for i in range(22)]
    args = ['--security-headers', '--cors-allow-origins', 'https://a.example',
            '--cors-expose-headers', ','.join('n' * 58 for i in range(16))]
    s = start(d, *args, toml='[[advanced.headers]]\nsource = "/**"\n'
              '[advanced.headers.headers]\n%s\n' % '\n'.join(
                  '%s = "%s"' % (n, n) for n in names) +
              'content-security-policy = "%s"\n' % ('c' * 3700))
    want = names + ['content-security-policy', 'x-frame-options', 'vary',
                    'access-control-expose-headers']
    origin = 'Origin: https://a.example'
    for what, path in ('file', '/'), ('longest redirect', '/sub?' + 'q' * 8160):
        r = get(s, path, origin + '\r\n')
        if what != 'file':
            equal('fields: Location', r.get('location'), '/sub/' + path[4:])
        lost = [n for n in want if r.get(n) is None]
        check('fields: %s' % what, not lost, 'lost %s' % lost)
        head = h2(s, path, '-H', origin)
        lost = [n for n in want if '\r\n' + n + ': ' not in head]
        check('fields: %s, HTTP/2' % what, not lost, 'lost %s' % lost)
    end('fields', s)
    # a name longer than what is left behind the other lines
    s = start(d, '--security-headers', '--header', 'x' * 3900 + ': y')
    for n in range(6600, 8160, 120):
        if get(s, '/sub?' + 'q' * n).get('x' * 3900) != 'y':
            check('fields: a long name behind %d bytes' % n, False)
    end('fields: long name', s)
    for option in '--cors-expose-headers', '--cors-allow-headers':
        equal(option + ': too long', refused(option, ','.join(
            'n' * 500 for i in range(16))), 'sws: %s: too long' % option)


def fields_everywhere():
    """Fields of a path are there before anyone has looked at the path."""
    d = tmpdir('root')
    put(d + '/index.html', 'index')
    rules = '[[advanced.headers]]\nsource = "/**"\nheaders = { x-a = "1" }\n' \
        '[[advanced.headers]]\nsource = "/p/**"\nheaders = { x-b = "1" }\n'
    s = start(d, '--health', '--metrics', '--cors-allow-origins=https://a',
              toml=rules)
    for method, path, status in (
            ('GET', '/health', 200), ('GET', '/metrics', 200),
            ('POST', '/p/', 405), ('NEW', '/p/', 501), ('OPTIONS', '*', 204),
            ('GET', '/p/.x', 404), ('GET', '/p/%zz', 400), ('GET', '/p/\\', 400)):
        r = get(s, path, method=method)
        equal('fields of %s %s' % (method, path), (r.status, r.get('x-a'),
              r.get('x-b')), (status, '1', '1' if path in ('/p/', '/p/.x')
                              else None))
    r = get(s, '/p/', 'Origin: https://b\r\n')
    equal('fields of 403', (r.status, r.get('x-a'), r.get('x-b')),
          (403, '1', '1'))
    end('fields of all', s)
    for args, status in (['--basic-auth', 'u:' + HASH], 401), \
            (['--maintenance-mode'], 503):
        s = start(d, *args, toml=rules)
        r = get(s, '/p/')
        equal('fields of %d' % status, (r.status, r.get('x-a'), r.get('x-b')),
              (status, '1', '1'))
        end('fields of %d' % status, s)


def rewrites():
    d = tmpdir('root')
    put(d + '/index.html', 'index')
    s = start(d, toml='[[advanced.rewrites]]\nsource = "/a/**"\n'
              'destination = "/x/$0"\n'
              '[[advanced.rewrites]]\nsource = "/b/{*}"\n'
              'destination = "/x/%$1"\n')
    # each ^ takes three bytes of the new target
    equal('rewrites: too long', get(s, '/a/' + '^' * 2000).status, 414)
    equal('rewrites: a bad target', get(s, '/b/zz').status, 400)
    end('rewrites', s)


def redirects():
    """No capture becomes the end of a host's name."""
    d = tmpdir('root')
    rules = ''.join('[[advanced.redirects]]\nsource = "/%s{**}"\nkind = 301\n'
                    'destination = "%s"\n' % r for r in (
                        ('a', 'https://b.example$1'),
                        ('b', 'https://b.example$1?c=d'),
                        ('c', 'https://b.example:8443$1#e'),
                        ('d', 'https://b.example$1/x'),
                        ('e', 'https://b.$1/x'), ('f', 'https://$1.b.example/'),
                        ('g', '/$1'), ('h', '$1')))
    s = start(d, toml=rules)
    for path, want in (
            ('/a.evil', 'https://b.example/.evil'),
            ('/b.evil', 'https://b.example/.evil?c=d'),
            ('/b/x', 'https://b.example/x?c=d'), ('/b', 'https://b.example?c=d'),
            ('/c0.evil', 'https://b.example:8443/0.evil#e'),
            ('/d@evil', 'https://b.example/@evil/x'),
            ('/eorg', 'https://b.org/x'),
            ('/fevil%2525%23', 'https://evil%2525%23.b.example/'),
            ('/g%09%5cevil', '/%09%5Cevil'),
            ('/h%0d%0aa:%20b', '/%0D%0Aa:%20b')):
        equal('redirects: ' + path, get(s, path).get('location'), want)
    end('redirects', s)


def host_pages():
    """A host's own page, whoever refuses, and no other's."""
    d, other = tmpdir('root'), tmpdir('other')
    for root in d, other:
        put(root + '/404.html', root)
        put(root + '/50x.html', root)
    s = start(d, toml='[[advanced.virtual-hosts]]\nhost = "b"\nroot = "%s"\n' %
              other)
    for host, root in ('a', d), ('b', other):
        for method, path in ('NEW', '/'), ('GET', '/none'), ('GET', '/.none'):
            equal('host pages: %s %s' % (host, path), get(
                s, path, method=method, host=host).body, root.encode())
    check('host pages: reload', reload(s, '1'))
    end('host pages', s)


# ---- passwords ---------------------------------------------------------------

def login(user, path='/'):
    return ('GET %s HTTP/1.1\r\nHost: a\r\nAuthorization: Basic %s\r\n\r\n' % (
        path, base64.b64encode(user.encode()).decode())).encode()


def cost(n):
    """A hash of nothing we know, that takes as long as one of cost n."""
    return 'u:' + HASH.replace('$04$', '$%02d$' % n)


def statuses(s, n, seconds=10):
    data, _ = read_all(s, seconds, lambda d: len(parse_responses(d)[0]) >= n)
    return [r.status for r in parse_responses(data)[0]]


def cpu(s):
    with open('/proc/%d/stat' % s.proc.pid) as f:
        return sum(map(int, f.read().rpartition(')')[2].split()[11:13])) / \
            os.sysconf('SC_CLK_TCK')


def pipelined_logins():
    """What waits keeps its order, and nothing behind it is lost."""
    d = tmpdir('root')
    put(d + '/index.html', 'x')
    s = start(d, '--basic-auth', 'u:' + HASH)
    for what, last in ('open', b''), ('half closed', None):
        k = s.connect()
        want, data = [], b''
        for i in range(20):
            data += login('u:pw' if i % 3 else 'u:%s%d' % (what, i // 7),
                          '/' if i % 2 else '/none')
            want.append((200 if i % 2 else 404) if i % 3 else 401)
        k.sendall(data)
        if last is None:
            k.shutdown(socket.SHUT_WR)
        equal('pipelined logins: ' + what, statuses(k, 20), want)
        k.close()
    # and those that nobody waits for any more
    k = [s.connect() for i in range(5)]
    for i, c in enumerate(k):
        c.sendall(login('u:gone%d' % i))
        c.close()
    equal('pipelined logins: after some who went', get(s, '/', login(
        'u:pw').decode().split('\r\n')[2] + '\r\n').status, 200)
    end('pipelined logins', s)


def login_flood():
    """A crowd of addresses: few wait, the rest is told to go, and waiting
    takes no time of the processor."""
    d = tmpdir('root')
    put(d + '/index.html', 'x')
    s = start(d, '--basic-auth', cost(6), '--health', host='0.0.0.0')
    socks = []
    for i in range(240):
        k = socket.create_connection(('127.0.0.1', s.port), 10 * SLOW,
                                     ('127.0.1.%d' % (i % 240 + 1), 0))
        socks.append(k)
    for i, k in enumerate(socks):
        k.sendall(login('u:%d' % i))
    equal('login flood: others are served', get(s, '/health').status, 200)
    got = [statuses(k, 1, 20) for k in socks]
    check('login flood: all are answered', all(g in ([401], [429])
                                               for g in got), got)
    check('login flood: many are sent away', got.count([429]) > 100, got)
    end('login flood', s)
    s = start(d, '--basic-auth', cost(11))
    k = s.connect()
    k.sendall(b''.join(login('u:%d' % i) for i in range(8)))
    before, began = cpu(s), time.time()
    check('waiting logins: over HTTP/2',
          '401' in h2(s, '/', '-u', 'u:h2').partition('\r\n')[0])
    equal('waiting logins', statuses(k, 8, 30), [401] * 8)
    used, took = cpu(s) - before, time.time() - began
    check('waiting logins: they take a quarter of the time',
          used < took / 2 + 0.1, '%.2f s of %.2f' % (used, took))
    end('waiting logins', s)


def login_bypass():
    """Nothing but /health, the preflights and what is refused goes without."""
    d = tmpdir('root')
    for n in 'index.html', 'health/index.html', 'metrics.html', '*':
        put(d + '/' + n, 'SECRET')
    s = start(d, '-z', '--basic-auth', 'u:' + HASH, '--health', '--metrics',
              '--cors-allow-origins=https://a',
              toml='[[advanced.rewrites]]\nsource = "/health"\n'
              'destination = "/index.html"\n'
              '[[advanced.redirects]]\nsource = "/r"\nkind = 301\n'
              'destination = "/SECRET"\n')
    preflight = 'Origin: https://a\r\nAccess-Control-Request-Method: GET\r\n'
    for path in ('/', '/%68ealth', '//health', '/health/', '/health/.', '/./health',
                 '/x/../health', '/health%2f', '/health;a', '/HEALTH', '/metrics',
                 '/metrics?a', '/r', '/*', 'http://a', 'http://a/', 'http://a?/health',
                 'http://a/health/', '/health/../', '/health%00', '/?/health'):
        for method in 'GET', 'HEAD', 'OPTIONS', 'POST', 'get', 'CONNECT', 'TRACE':
            for fields in '', preflight, 'Authorization: Basic\r\n', \
                    'Authorization: Basic OnB3\r\n':
                r = get(s, path, fields, method=method)
                want = [204] if method == 'OPTIONS' and fields == preflight \
                    else [401] if method in ('GET', 'HEAD', 'OPTIONS') else \
                    [400, 405, 501]
                if r.status not in want or b'SECRET' in r.head + r.body or (
                        r.status == 204 and r.body) or r.get('location'):
                    check('bypass: %s %s %r' % (method, path, fields), False, r)
        if path[0] == '/':
            head = h2(s, path)
            if ' 401 ' not in head.partition('\r\n')[0]:
                check('bypass: HTTP/2 %s' % path, False, head)
    equal('bypass: OPTIONS *', get(s, '*', method='OPTIONS').status, 401)
    for path in '/health', '/health?a=b', 'http://b/health':
        equal('bypass: ' + path, get(s, path).body, b'OK')
    end('bypass', s)


# ---- listings ----------------------------------------------------------------

def folder(n, links=0):
    d = tmpdir('root')
    os.makedirs(d + '/l')
    for i in range(n):
        os.close(os.open('%s/l/f%05d' % (d, i), os.O_CREAT | os.O_WRONLY))
    for i in range(links):
        os.symlink('f00000', '%s/l/s%05d' % (d, i))
    return d


def reload(s, text):
    """Give s a field x-turn: TEXT on everything, by SIGHUP."""
    with open(s.toml) as f:
        old = re.sub(r'(?s)# turn.*', '', f.read())
    put(s.toml, old + '# turn\n[[advanced.headers]]\nsource = "**"\n'
        'headers = { x-turn = "%s" }\n' % text)
    s.proc.send_signal(signal.SIGHUP)
    return until(lambda: get(s, '/').get('x-turn') == text)


def listing_reload():
    """A listing that began before a reload goes on below its own root."""
    n, links = 10050, 3000
    d, other = folder(n, links), tmpdir('other')
    s = start(d, '-z', '--follow-symlinks', '--directory-listing-format=json',
              toml='[[advanced.virtual-hosts]]\nhost = "b"\nroot = "%s"\n' %
              other)
    c = H2(s)
    c.ask(1, '/l/')
    c.read(lambda: len(c.data[1]) > 60000)
    check('listing: reload', reload(s, '1'))
    c.more(1, 1 << 28)
    c.read(lambda: 1 in c.over, 30)
    equal('listing: all of it, and a reload meanwhile', [
        c.data[1].count(b'"name":"' + x) for x in (b'f', b's')], [n, links])
    c.s.close()
    end('listing: reload', s)


def listing_crowd():
    """Many listings at a time: what they hold is bounded, all get theirs, and
    in the end nothing is held any more."""
    n = 4990
    d = folder(0)
    for i in range(n):
        put('%s/l/%04d%s' % (d, i, 'n' * 200))
    put(d + '/x.txt', 'x')
    s = start(d, '-z', '--drain-timeout=60')
    base = s.fds()
    crowd = [H2(s, 30000) for i in range(5)]
    for c in crowd:
        for sid in range(1, 200, 2):
            c.ask(sid, '/l/')
    check('crowd: listings are under way', all([c.read(
        lambda: sum(len(v) > 29000 for v in c.data.values()) >= 8, 30)
        for c in crowd]))
    fds = s.fds() - base
    check('crowd: descriptors', fds <= len(crowd) * 9, fds)
    equal('crowd: others are served', get(s, '/x.txt').body, b'x')
    r = get(s, '/l/', timeout=30)
    check('crowd: not sorted, but complete', b'<caption>Not sorted' in r.body and
          b'?sort=' not in r.body and r.complete and
          r.body.count(b'<tr><td>') == n + 1, r.body[:2000])
    # some are reset, some get what they want, some just go
    for sid in range(1, 200, 2):
        crowd[0].reset(sid)
    crowd[0].ask(201, '/x.txt')
    check('crowd: after resets', crowd[0].read(lambda: 201 in crowd[0].over),
          crowd[0].over)
    crowd[1].more(1, 1 << 28)
    check('crowd: one of many is complete', crowd[1].read(
        lambda: crowd[1].over.get(1) == 0, 30) and
        crowd[1].data[1].count(b'<tr><td>') == n + 1)
    for c in crowd:
        c.s.close()
    check('crowd: descriptors come back', until(lambda: s.fds() == base),
          s.fds())
    r = get(s, '/l/', timeout=30)
    check('crowd: sorted again', b'aria-sort' in r.body and
          r.body.count(b'<tr><td>') == n + 1)
    # and one that the end of the server finds half-way
    c, k = H2(s, 30000), s.connect()
    c.ask(1, '/l/')
    c.read(lambda: len(c.data[1]) > 29000)
    k.sendall(b'GET /l/ HTTP/1.1\r\nHost: a\r\n\r\n')
    first = k.recv(1000)
    s.proc.send_signal(signal.SIGTERM)
    check('crowd: GOAWAY', c.read(lambda: 'goaway' in c.over))
    c.more(1, 1 << 28)
    check('crowd: a listing is finished after TERM', c.read(
        lambda: c.over.get(1) == 0, 30) and
        c.data[1].count(b'<tr><td>') == n + 1, c.over)
    data, how = read_all(k, 30)
    r = parse_responses(first + data)[0]
    check('crowd: and over HTTP/1.1', r and r[0].complete and how == 'eof', how)
    end('crowd', s)


def listing_forms():
    """HEAD, OPTIONS, ranges, conditions, HTTP/1.0: never more bytes than were
    promised, and the next answer is the next one's."""
    d = folder(5)
    put(d + '/x.txt', 'x')
    s = start(d, '-z')
    more = b'Range: bytes=0-1\r\nIf-None-Match: *\r\n'
    k = s.connect()
    k.sendall(b''.join(m + b' /l/ HTTP/1.1\r\nHost: a\r\n' + more + b'\r\n'
                       for m in (b'HEAD', b'OPTIONS', b'GET', b'HEAD')) +
              b'GET /x.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    data, how = read_all(k, 10)
    r, rest = parse_responses(data, ('HEAD', 'OPTIONS', 'GET', 'HEAD', 'GET'))
    equal('forms: pipelined', ([x.status for x in r], rest, r[-1].body),
          ([200, 204, 200, 200, 200], b'', b'x'))
    equal('forms: HEAD and GET have the same fields', *[
        [f for f in r[i].fields if f[0] != 'date'] for i in (0, 2)])
    for method in 'GET', 'HEAD':
        k = s.connect()
        k.sendall(method.encode() + b' /l/ HTTP/1.0\r\nConnection: keep-alive'
                  b'\r\n\r\nGET /x.txt HTTP/1.0\r\n\r\n')
        data, how = read_all(k, 10)
        head, _, body = data.partition(b'\r\n\r\n')
        check('forms: HTTP/1.0 ' + method, how == 'eof' and
              b'transfer-encoding' not in head and b'connection: close' in head
              and body.endswith(b'</html>\n' if method == 'GET' else b'') and
              (body == b'') == (method == 'HEAD') and b'HTTP/1' not in body, data)
    c = H2(s)
    c.ask(1, '/l/', b'\x42\x04HEAD')
    c.ask(3, '/l/')
    check('forms: HEAD over HTTP/2', c.read(lambda: 1 in c.over and 3 in c.over)
          and c.over[1] == 1 and c.data[1] == b'' and c.over[3] == 0, c.over)
    c.s.close()
    end('forms', s)


# ---- reloads -----------------------------------------------------------------

def reload_timeouts():
    """Shorter ones are for all, those who came before included."""
    d = tmpdir('root')
    put(d + '/index.html', 'x')
    s = start(d, toml='[general]\nidle-timeout = 0\nheader-timeout = 0\n')
    socks = []
    for i in range(2):
        for data in b'GET / HTTP/1.1\r\nHost: a\r\n\r\n', b'GET /':
            k = s.connect()
            k.sendall(data)
            if len(data) > 9:
                k.recv(10000)
            socks.append(k)
        if i == 0:
            put(s.toml, '[general]\nidle-timeout = 1\nheader-timeout = 1\n')
            check('reload: shorter timeouts', reload(s, 'short'))
    equal('reload: shorter timeouts are for all',
          [read_all(k, 6)[1] for k in socks], ['eof'] * 4)
    end('reload: timeouts', s)


# ---- the end -----------------------------------------------------------------

def end_while_sending():
    """Who got its answer after TERM is not waited for any longer."""
    d = folder(11000)
    put(d + '/big', b'x' * 20000000)
    for what, path in ('file', '/big'), ('listing', '/l/'):
        s = start(d, '-z', '--idle-timeout=0', '--drain-timeout=120')
        k = s.connect()
        k.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        k.sendall(b'GET %s HTTP/1.1\r\nHost: a\r\n\r\n' % path.encode())
        first = k.recv(1000)
        s.proc.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        data, how = read_all(k, 60)
        r, rest = parse_responses(first + data)
        check('TERM while sending a %s' % what, how == 'eof' and len(r) == 1 and
              r[0].complete and rest == b'', '%s %s' % (how, r))
        end('TERM while sending a ' + what, s)


# ---- configuration -----------------------------------------------------------

def odd_files():
    """Whatever a name leads to, a start ends or goes on, and says why."""
    d = tmpdir('odd')
    os.mkfifo(d + '/fifo')
    os.mkdir(d + '/dir')
    with open(d + '/huge', 'wb') as f:
        f.truncate(1 << 40)
    for option in '--config-file', '--mime-types', '--maintenance-mode-file':
        for name in d + '/fifo', d + '/dir', d + '/huge', '/dev/zero', \
                '/dev/null', '/proc/self/mem', d + '/none':
            with open(d + '/err', 'w+') as err:
                p = spawn([SWS, '--port', '0', option, name, d], stderr=err)
                until(lambda: p.poll() is not None or
                      os.path.getsize(d + '/err') > 0)
                with open(d + '/err') as f:
                    if 'serving' not in f.read():   # it is about to end
                        until(lambda: p.poll() is not None, 5)
                p.terminate()
                if not until(lambda: p.poll() is not None, 5):
                    p.kill()
                code = p.wait()
                err.seek(0)
                said = err.read()
            check('odd file: %s %s' % (option, os.path.basename(name)),
                  code in (0, 1) and 'ERROR: ' not in said and
                  (code == 0 or name in said), '%s %s' % (code, said))


def odd_values():
    for text, why in (
            ('[general]\nhttps-redirect-host = "a\\r\\nb: c"\n', 'redirect-host'),
            ('[[advanced.redirects]]\nsource = "/a"\nkind = 301\n'
             'destination = "/%s"\n' % ('x' * 4000), 'longer than'),
            ('[[advanced.redirects]]\nsource = "/a"\nkind = 301\n'
             'destination = "/a\\nb"\n', 'control character'),
            ('[[advanced.headers]]\nsource = "/a"\n'
             'headers = { a = "b\\r\\nc: d" }\n', 'control character'),
            ('[[advanced.headers]]\nsource = "/a"\n'
             'headers = { "a: b\\r\\nc" = "d" }\n', 'not a field'),
            ('[general]\ncors-expose-headers = ["a\\r\\nb"]\n', 'not the name'),
            ('[general]\nlog-level = ["info"]\n', 'string'),
            ('[general]\nport = 99999999999999999999\n', '64 bits'),
            ('[general]\nport = -1\n', 'range'),
            ('general = 1\n', 'table'), ('advanced = []\n', 'table'),
            ('[advanced]\nheaders = [1]\n', 'table'),
            (''.join('[[advanced.virtual-hosts]]\nhost = "h%d"\nroot = "/"\n' %
                     i for i in range(65)), 'more than 64'),
            ('[general]\nheader = [%s]\n' % ','.join('"a%d: b"' % i for i in
                                                     range(17)), 'too many')):
        said = refused(toml=text) or ''
        check('odd value: %s' % why, why in said and '\n' not in said and
              'ERROR: ' not in said, said)


def never_served():
    """The configuration file in the root, and one that comes there later."""
    d = tmpdir('root')
    put(d + '/index.html', 'x')
    cwd = os.getcwd()
    os.chdir(d)
    try:
        s = start(d, '-z')
        put(d + '/sws.toml', '[general]\nbasic-auth = "u:%s"\n' % HASH)
        equal('never: comes later', get(s, '/sws.toml').status, 404)
        put(d + '/new', '# another\n')
        os.rename('new', 'sws.toml')
        equal('never: replaced', get(s, '/sws.toml').status, 404)
        os.link('sws.toml', 'link')
        equal('never: by another name', get(s, '/link').status, 404)
        check('never: not listed', b'sws.toml' not in get(s, '/').body)
        s.proc.send_signal(signal.SIGHUP)
        equal('never: after a reload', get(s, '/sws.toml').status, 404)
        end('never', s)
    finally:
        os.chdir(cwd)


if __name__ == '__main__':
    run([fields_fit, fields_everywhere, rewrites, redirects, host_pages, pipelined_logins, login_flood, login_bypass,
         listing_reload, listing_crowd, listing_forms,
         reload_timeouts, end_while_sending, odd_files, odd_values, never_served])
