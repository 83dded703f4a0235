"""Helpers for the black-box tests: servers, raw requests, checks.

A check is one line on standard output: "ok NAME", "FAIL NAME: why" or
"skip NAME: why"; test.sh counts them.  The binary under test is $SWS.
"""
import atexit, os, re, select, shutil, signal, socket, ssl, subprocess, sys
import tempfile, threading, time

SWS = os.path.abspath(os.environ.get('SWS', './sws'))
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
    if good:
        print('ok', name, flush=True)
    else:
        _failed += 1
        print('FAIL %s: %s' % (name, str(why).replace('\n', ' ')[:600]),
              flush=True)
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
