"""Helpers for the black-box tests: servers, raw requests, checks.

A check is one line on standard output: "ok NAME", "FAIL NAME: why" or
"skip NAME: why"; test.sh counts them.  The binary under test is $SWS.
"""
import atexit, base64, json, os, re, select, shutil, signal, socket, ssl
import subprocess, sys, tempfile, threading, time

SWS = os.path.abspath(os.environ.get('SWS', './sws'))
# every server is in the strictest sandbox
STRICT = os.path.basename(SWS) == 'sandboxed'
# sanitizers and valgrind are slower: every waiting time is multiplied
SLOW = float(os.environ.get('SLOW', '1'))
# it holds descriptors of its own and shows a process a copy of its environment
VALGRIND = os.path.basename(SWS) == 'valgrind'
HERE = os.path.dirname(os.path.abspath(__file__))

_failed = 0
_tmp = tempfile.mkdtemp(prefix='sws-test-')
_procs = []


def check(name, good, why=''):
    """One check; `why` may be anything that explains a failure."""
    global _failed
    if not good:
        _failed += 1
    # in one piece: others may print at the same time
    sys.stdout.write('ok %s\n' % name if good else 'FAIL %s: %s\n' % (
        name, str(why).replace('\n', ' ')[:600]))
    sys.stdout.flush()
    return bool(good)


def equal(name, got, want):
    return check(name, got == want, 'got %r, want %r' % (got, want))


def skip(name, why):
    print('skip %s: %s' % (name, why), flush=True)


def run(tests):
    """Run the functions of a list; an exception is a failed check."""
    import traceback
    for t in tests:
        try:
            t()
        except Exception as e:
            check(t.__name__, False, traceback.format_exc(limit=-3))
    sys.exit(1 if _failed else 0)


def tmpdir(name=''):
    """A fresh folder that is removed at the end."""
    return tempfile.mkdtemp(prefix=name or 'd', dir=_tmp)


def put(path, data=b'', mtime=None):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb') as f:
        f.write(data if isinstance(data, bytes) else data.encode())
    if mtime is not None:
        os.utime(path, (mtime, mtime))
    return path


@atexit.register
def _clean():
    for p in _procs:
        if p.poll() is None:
            p.kill()
            p.wait()
    shutil.rmtree(_tmp, ignore_errors=True)


def spawn(argv, **kw):
    """Popen that is ended with the test if nobody did before."""
    p = subprocess.Popen(argv, **kw)
    _procs.append(p)
    return p


def clean_env(**more):
    env = {k: v for k, v in os.environ.items()
           if not re.match(r'SERVER_|LISTEN_|NOTIFY_|WATCHDOG_', k)}
    env.update(more)
    return env


class Server:
    """sws on a free loopback port.  .port, .proc, .err (path of its stderr)."""

    def __init__(self, root, *args, env=None, host='127.0.0.1', wrap=()):
        self.errpath = os.path.join(tmpdir('log'), 'stderr')
        self.err = open(self.errpath, 'wb')
        argv = list(wrap) + [SWS, '--host', host, '--port', '0', *args, root]
        self.proc = spawn(argv, env=clean_env(**(env or {})),
                          stdin=subprocess.DEVNULL, stderr=self.err)
        self.port = None
        end = time.time() + 20 * SLOW
        while time.time() < end:
            m = re.search(r' on https?://.*:(\d+)/', self.log())
            if m:
                self.port = int(m.group(1))
                break
            if self.proc.poll() is not None:
                break
            time.sleep(0.01)
        if self.port is None:
            raise RuntimeError('sws did not start: ' + self.log())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def log(self):
        with open(self.errpath, errors='replace') as f:
            return f.read()

    def connect(self, timeout=10):
        s = socket.create_connection(('127.0.0.1', self.port), timeout * SLOW)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def fds(self):
        return len(os.listdir('/proc/%d/fd' % self.proc.pid))

    def stop(self, sig=signal.SIGTERM, timeout=15):
        """End it; returns the exit status."""
        if self.proc.poll() is None:
            self.proc.send_signal(sig)
        try:
            r = self.proc.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            r = 'did not end in %d s' % timeout
        self.err.close()
        return r


def child(server):
    """The process that serves: what strace runs, or the server itself."""
    base = '/proc/%d/' % server.proc.pid
    with open(base + 'comm') as f:
        if f.read() != 'strace\n':
            return server.proc.pid
    with open('%stask/%d/children' % (base, server.proc.pid)) as f:
        return int(f.read().split()[0])


def end(server):
    """Stop a server that may be run by strace."""
    try:
        os.kill(child(server), signal.SIGTERM)
    except OSError:
        pass
    return server.stop()


class Response:
    """status, reason, fields (list of (lower name, value)), body, raw head."""

    def __init__(self):
        self.version = self.status = self.reason = None
        self.fields, self.body, self.head = [], b'', b''
        self.complete = False       # as long as Content-Length promised

    def get(self, name, default=None):
        v = [b for a, b in self.fields if a == name.lower()]
        return ', '.join(v) if v else default

    def __repr__(self):
        return '<%s %s %r>' % (self.status, self.fields, self.body[:80])


def parse_responses(data, methods=('GET',)):
    """Split what a server sent into responses.  methods[i] is the i-th
    request's (the last one counts for the rest).  Returns (list, rest)."""
    out = []
    while data:
        end = data.find(b'\r\n\r\n')
        if end < 0:
            break
        r = Response()
        r.head = data[:end + 4]
        lines = data[:end].decode('latin-1').split('\r\n')
        m = re.fullmatch(r'(HTTP/1\.[01]) (\d{3}) ?(.*)', lines[0])
        if not m:
            break
        r.version, r.status, r.reason = m.group(1), int(m.group(2)), m.group(3)
        for line in lines[1:]:
            k, _, v = line.partition(':')
            r.fields.append((k.lower(), v.strip()))
        data = data[end + 4:]
        method = methods[min(len(out), len(methods) - 1)]
        if method == 'HEAD' or r.status in (204, 304):
            r.complete = True
        elif r.get('transfer-encoding') == 'chunked':
            body = b''
            while True:
                i = data.find(b'\r\n')
                if i < 0:
                    break
                n = int(data[:i].split(b';')[0], 16)
                if len(data) < i + 2 + n + 2:
                    data = b''
                    break
                body += data[i + 2:i + 2 + n]
                data = data[i + 2 + n + 2:]
                if n == 0:
                    r.complete = True
                    break
            r.body = body
        elif r.get('content-length') is not None:
            n = int(r.get('content-length'))
            r.body, data = data[:n], data[n:]
            r.complete = len(r.body) == n
        else:
            r.body, data, r.complete = data, b'', True
        out.append(r)
    return out, data


def read_all(s, timeout=5, until=None):
    """Read till EOF, till `until(data)` or till time is up.
    Returns (bytes, how): how is 'eof', 'until', 'timeout' or 'reset'."""
    data, end = b'', time.time() + timeout * SLOW
    while True:
        if until and until(data):
            return data, 'until'
        left = end - time.time()
        if left <= 0:
            return data, 'timeout'
        s.settimeout(left)
        try:
            part = s.recv(262144)
        except (socket.timeout, ssl.SSLWantReadError):
            return data, 'timeout'
        except OSError:
            return data, 'reset'
        if not part:
            return data, 'eof'
        data += part


def get(server, path='/', fields='', method='GET', host='localhost', sock=None,
        version='1.1', timeout=10):
    """One request, one response; closes unless a socket is given."""
    s = sock or server.connect()
    if isinstance(path, str):
        path = path.encode('latin-1')
    fields = ''.join('%s: %s\r\n' % kv for kv in fields.items()) \
        if isinstance(fields, dict) else fields
    s.sendall(method.encode() + b' ' + path + b' HTTP/' + version.encode() +
              b'\r\n' + ('Host: %s\r\n%s' % (host, fields)).encode('latin-1') +
              (b'' if sock else b'Connection: close\r\n') + b'\r\n')

    def whole(d):
        r, _ = parse_responses(d, (method,))
        return bool(r) and r[0].complete and r[0].get(
            'content-length', '0' if method == 'HEAD' or r[0].status in
            (204, 304) else None) is not None
    data, how = read_all(s, timeout, whole)
    if not sock:
        s.close()
    r, _ = parse_responses(data, (method,))
    if not r:
        raise RuntimeError('no response to %r: %r (%s)' % (path, data[:200], how))
    return r[0]


# ---- one question, three protocols -------------------------------------------

KINDS = 'h1', 'tls', 'h2'      # HTTP/1.1, that over TLS, HTTP/2 over TLS; h2c


def need_h2():
    """Go on with a Python that has the h2 package, as Debian's own does; not
    with our h2.py."""
    exe, path = shutil.which('python3', path='/usr/bin'), sys.path[:]
    sys.path[:] = [p for p in path if os.path.abspath(p) != HERE]
    try:
        import h2.config, h2.connection, h2.events
        return
    except ImportError:
        pass
    finally:
        sys.path[:] = path
    if exe and subprocess.run([exe, '-c', 'import h2.connection'], cwd='/',
                              stderr=subprocess.DEVNULL).returncode == 0:
        shutil.rmtree(_tmp, ignore_errors=True)
        os.execv(exe, [exe, *sys.argv])
    check('h2', False, 'no Python has it: sh test/deps.sh test installs it')
    sys.exit(1)


def certificate(*names):
    """A key, and its certificate for these names."""
    d = tmpdir('cert')
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
                    'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
                    '-subj', '/CN=' + names[0], '-addext', 'subjectAltName=' +
                    ','.join('DNS:' + n for n in names),
                    '-keyout', d + '/key.pem', '-out', d + '/cert.pem'],
                   check=True, capture_output=True)
    return d + '/cert.pem', d + '/key.pem'


class Site(Server):
    """sws with two passed sockets, plain and TLS, and the text of a
    configuration file.  .port, .tls_port, .toml (that file's path).  pair: the
    certificate and the key; False: no TLS on either"""
    pair = None

    def __init__(self, root, *args, toml='', env=None, cwd=None, pair=None,
                 conf=None):
        import fcntl
        if pair is None:
            pair = Site.pair = Site.pair or certificate('localhost')
        self.clients = {}
        self.errpath = os.path.join(tmpdir('log'), 'stderr')
        self.err = open(self.errpath, 'wb')
        self.toml = conf or os.path.join(tmpdir('toml'), 'site.toml')
        put(self.toml, toml)
        socks = [socket.create_server(('127.0.0.1', 0), backlog=512)
                 for _ in range(2)]
        self.port, self.tls_port = (s.getsockname()[1] for s in socks)
        fds = [fcntl.fcntl(s, fcntl.F_DUPFD_CLOEXEC, 200) for s in socks]
        self.proc = spawn(
            [SWS, '-w', self.toml, *(['-C', pair[0], '-K', pair[1]] if pair
                                     else []), *args, root],
            stdin=subprocess.DEVNULL,
            stderr=self.err, pass_fds=fds, cwd=cwd, env=clean_env(
                LISTEN_FDS='2', LISTEN_FDS_FIRST_FD=str(fds[0]),
                LISTEN_FDNAMES='http:https' if pair else 'http:http',
                **(env or {})))
        for fd in fds:
            os.close(fd)
        for s in socks:
            s.close()
        self.find(' on https?://.*%d/' % self.tls_port, 20)

    def find(self, pattern, timeout=10):
        """Wait for a line of the log."""
        end = time.time() + timeout * SLOW
        while not re.search(pattern, self.log(), re.M):
            if time.time() > end or self.proc.poll() is not None:
                raise RuntimeError('no %r in %s' % (pattern,
                                                    self.log()[-2000:]))
            time.sleep(0.005)

    def reload(self, toml=None):
        """HUP, with another file; returns once it has been seen to."""
        if toml is not None:
            put(self.toml + '.new', toml)
            os.rename(self.toml + '.new', self.toml)
        self.proc.send_signal(signal.SIGHUP)
        # a busy loop lets signals in every 10 ms; the turn that takes it ends
        # with it, before the next one
        time.sleep(0.02)
        for _ in range(2):
            get(self, '/-turn-', host='localhost')

    def stop(self, *a, **k):
        for c in self.clients.values():
            c.close()
        return super().stop(*a, **k)


def dial(server, tls, alpn='http/1.1', name='localhost', source=None):
    s = socket.create_connection(
        ('127.0.0.1', server.tls_port if tls else server.port), 20 * SLOW,
        source_address=source and (source, 0))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not tls:
        return s
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    c.set_alpn_protocols([alpn])
    return c.wrap_socket(s, server_hostname=name)


class Conn:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.closed = True
        self.s.close()


class H1(Conn):
    """A connection of HTTP/1.1; each answer has to end where it says."""

    def __init__(self, server, kind='h1', **kw):
        self.s = dial(server, kind == 'tls', **kw)
        self.closed, self.used = False, 0

    def ask(self, path, method, fields, host):
        self.used += 1
        head = [method + b' ' + path + b' HTTP/1.1', b'host: ' + host]
        self.s.sendall(b'\r\n'.join(head + [k + b': ' + v for k, v in fields])
                       + b'\r\n\r\n')
        data, end = b'', False
        while True:
            r, rest = parse_responses(data, (method.decode('latin-1'),))
            framed = r and (r[0].get('content-length') or method == b'HEAD' or
                            r[0].get('transfer-encoding') or
                            r[0].status in (204, 304))
            if r and r[0].complete and (framed and r[0].get('connection') !=
                                        'close' or end):
                break
            if end:
                self.close()
                raise EOFError('%r of %r' % (data[:300], path[:100]))
            part = self.s.recv(262144)
            end, data = not part, data + part
        if end:
            self.close()
        if len(r) != 1 or rest:
            raise RuntimeError('too much for %r: %r' % (path[:100], data[:999]))
        return r[0]


class H2(Conn):
    """A connection of HTTP/2, over TLS or not."""

    def __init__(self, server, kind='h2', **kw):
        import h2.config, h2.connection, h2.events
        self.events, self.closed, self.used = h2.events, False, 0
        self.part = b''
        self.scheme = b'https' if kind == 'h2' else b'http'
        self.s = dial(server, kind == 'h2', 'h2', **kw)
        self.c = h2.connection.H2Connection(h2.config.H2Configuration(
            header_encoding=None, validate_outbound_headers=False,
            normalize_outbound_headers=False))
        self.c.initiate_connection()
        self.c.increment_flow_control_window(1 << 24)
        self.s.sendall(self.c.data_to_send())

    def send(self, path, method, fields, host):
        sid = self.c.get_next_available_stream_id()
        self.c.send_headers(sid, [
            (b':method', method), (b':scheme', self.scheme), (b':path', path),
            (b':authority', host)] + list(fields), end_stream=True)
        self.s.sendall(self.c.data_to_send())
        return sid

    def take(self, data):
        """The events in data.  After GOAWAY, which sets .closed, frames come
        for the streams that are open: h2 is not told of it, as it would take
        none of them."""
        all, at, keep = self.part + data, 0, []
        while len(all) >= at + 9:
            end = at + 9 + int.from_bytes(all[at:at + 3], 'big')
            if len(all) < end:
                break
            if all[at + 3] == 7:
                self.closed = True
            else:
                keep.append(all[at:end])
            at = end
        self.part = all[at:]
        return self.c.receive_data(b''.join(keep))

    def ask(self, path, method, fields, host):
        self.used += 1
        sid, r = self.send(path, method, fields, host), Response()
        while not r.complete:
            data = self.s.recv(262144)
            if not data:
                self.close()
                raise EOFError('end of %r' % path)
            for e in self.take(data):
                if getattr(e, 'stream_id', sid) != sid:
                    continue
                if isinstance(e, self.events.ResponseReceived):
                    f = [(k.decode('latin-1'), v.decode('latin-1'))
                         for k, v in e.headers]
                    r.status, r.fields = int(f[0][1]), f[1:]
                elif isinstance(e, self.events.DataReceived):
                    r.body += e.data
                    self.c.acknowledge_received_data(
                        e.flow_controlled_length, sid)
                elif isinstance(e, self.events.StreamEnded):
                    r.complete = True
                elif isinstance(e, self.events.StreamReset):
                    r.complete, r.reason = True, 'reset %d' % e.error_code
            self.s.sendall(self.c.data_to_send())
        return r


def as_bytes(s):
    return s if isinstance(s, bytes) else s.encode('latin-1')


def connect(kind, server, **kw):
    return (H2 if kind[:2] == 'h2' else H1)(server, kind, **kw)


def ask(kind, server, path='/', method='GET', fields=(), host='localhost'):
    """One request on a connection that stays for the next one."""
    pairs = fields.items() if isinstance(fields, dict) else fields
    args = (as_bytes(path), as_bytes(method), [
        (as_bytes(k).lower(), as_bytes(v)) for k, v in pairs], as_bytes(host))
    c = server.clients.get(kind)
    if c is None or c.closed:
        c = server.clients[kind] = connect(kind, server)
    try:
        return c.ask(*args)
    except (OSError, EOFError):
        c.close()
        if c.used == 1:
            raise
    c = server.clients[kind] = connect(kind, server)
    return c.ask(*args)     # it was left alone for too long


# ---- a site's rules ----------------------------------------------------------

_hashes = {}


def basic(user, password):
    return {'Authorization': 'Basic ' + base64.b64encode(
        ('%s:%s' % (user, password)).encode()).decode()}


def hashed(password, cost=4):
    if (password, cost) not in _hashes:
        _hashes[password, cost] = subprocess.run(
            ['htpasswd', '-nbBC', str(cost), 'u', password],
            capture_output=True, text=True, check=True
        ).stdout.strip().split(':')[1]
    return _hashes[password, cost]


def general(**options):
    """A table of options; values as JSON, which is TOML here."""
    return '[general]\n' + ''.join('%s = %s\n' % (
        k.replace('_', '-'), json.dumps(v)) for k, v in options.items())


def rule(section, /, **keys):
    def value(v):
        return '{ %s }' % ', '.join('%s = %s' % (json.dumps(a), json.dumps(b))
                                    for a, b in v.items()) \
            if isinstance(v, dict) else json.dumps(v, ensure_ascii=False)
    return '[[advanced.%s]]\n' % section + ''.join(
        '%s = %s\n' % (k.replace('_', '-'), value(v)) for k, v in keys.items())


def headers(source, fields, **more):
    return rule('headers', source=source, headers=fields, **more)


# ---- one check, three protocols ----------------------------------------------

CONNECTIONS_OWN = ('date', 'connection', 'transfer-encoding',
                   'strict-transport-security')


def gist(r):
    """What does not depend on how it was asked for."""
    return (r.status, sorted((k, re.sub('sws[0-9a-f]{16}', 'BOUNDARY', v))
                             for k, v in r.fields if k not in CONNECTIONS_OWN),
            re.sub(b'sws[0-9a-f]{16}', b'BOUNDARY', r.body))


def fits(want, got):
    if hasattr(want, 'search'):
        return got is not None and want.search(got) is not None
    return want(got) if callable(want) else got == want


def see(name, site, /, path='/', status=200, body=None, method='GET', fields=(),
        host='localhost', head=True, kinds=KINDS, **want):
    """One check: over each protocol this status, this body and these fields
    (a_b is a-b; None: not there; a value, a pattern or a function); the same
    answer over all of them, and to HEAD the same without its content."""
    first, why = None, []
    for kind in kinds:
        try:
            r = ask(kind, site, path, method, fields, host)
        except Exception as e:
            why.append('%s: %r' % (kind, e))
            continue
        if r.status != status:
            why.append('%s: %s, not %s' % (kind, r, status))
        if body is not None and not fits(body, r.body):
            why.append('%s: body %r, not %r' % (kind, r.body[:200], body))
        for k, v in want.items():
            if not fits(v, r.get(k.replace('_', '-'))):
                why.append('%s: %s %r, not %r' % (
                    kind, k, r.get(k.replace('_', '-')), v))
        if first is None:
            first = r
        elif gist(r) != gist(first):
            why.append('%s: %r, but %s %r' % (kind, gist(r), kinds[0],
                                              gist(first)))
        if head and method == 'GET':
            h = ask(kind, site, path, 'HEAD', fields, host)
            if h.body or gist(h)[:2] != gist(r)[:2]:
                why.append('%s: HEAD %r, not %r' % (kind, gist(h), gist(r)))
    check(name, not why, '; '.join(why))
    return first
