"""SIGUSR2: the program is replaced, nobody notices; and if it cannot be, the
old one stays and says why.  SOAK=1: the long forms."""
import ctypes, fcntl, hashlib, random, struct

import lib
from lib import *

SOAK = os.environ.get('SOAK') == '1'
# what is run, where SWS is a script that runs it
PROGRAM = os.path.join(HERE, '..', os.environ.get('PROGRAM', 'sws')) \
    if VALGRIND or STRICT else SWS
WORK = tmpdir('work')
ROOT = os.path.join(WORK, 'root')
PAGE = b'<p>hello from sws</p>\n'
BIG = random.Random(1).randbytes(8 << 20)
put(ROOT + '/index.html', PAGE)
put(ROOT + '/big.bin', BIG)
PAIR = certificate('localhost')
KINDS4 = 'h1', 'tls', 'h2', 'h2c'

# who replaces a process is nobody's child, so ours: its exit status too
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)         # PR_SET_CHILD_SUBREAPER


# ---- processes ---------------------------------------------------------------

def alive(pid):
    try:
        with open('/proc/%d/stat' % pid) as f:
            return f.read().rpartition(')')[2].split()[0] not in 'ZX'
    except OSError:
        return False


def children(pid):
    try:
        with open('/proc/%d/task/%d/children' % (pid, pid)) as f:
            return [int(x) for x in f.read().split()]
    except OSError:
        return []


def links(pid):
    """descriptor -> what it is"""
    out = {}
    for n in os.listdir('/proc/%d/fd' % pid):
        try:
            out[int(n)] = os.readlink('/proc/%d/fd/%s' % (pid, n))
        except OSError:
            pass
    return out


def eventually(what, timeout=5):
    end = time.time() + timeout * SLOW
    while not what() and time.time() < end:
        time.sleep(0.005)
    return what()


class Sws:
    """A line of servers.  .pid is the one that serves now.  fds: number ->
    socket; start: how the program is named and found."""

    def __init__(self, *args, fds=(), env=None, cwd=WORK, start=(SWS,),
                 executable=None, root=ROOT, pid=None, ready=True):
        self.errpath = os.path.join(tmpdir('log'), 'stderr')
        self.proc = None
        fds = dict(fds)
        argv = [*start, *map(str, args)] + ([root] if root else [])
        if pid == 'ours':
            argv = ['sh', '-c', 'LISTEN_PID=$$ WATCHDOG_PID=$$ exec "$@"',
                    'sh'] + argv

        def child():
            high = {n: fcntl.fcntl(f, fcntl.F_DUPFD, 100)
                    for n, f in fds.items()}
            for n, f in high.items():
                os.dup2(f, n)
                os.close(f)
        with open(self.errpath, 'wb') as e:
            self.proc = spawn(
                argv, env=clean_env(**(env or {})), cwd=cwd, stderr=e,
                stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
                executable=executable, close_fds=False,
                preexec_fn=child if fds else None)
        self.pid, self.pids = self.proc.pid, [self.proc.pid]
        if ready:
            self.find(r'serving .* on ')

    def log(self):
        with open(self.errpath, errors='replace') as f:
            return f.read()

    def find(self, pattern, n=1, timeout=10):
        """Wait for the n-th match in the log."""
        def got():
            return re.findall(pattern, self.log(), re.M)
        if not eventually(lambda: len(got()) >= n, timeout):
            raise RuntimeError('no %r (%d) in %s' % (pattern, n,
                                                     self.log()[-1500:]))
        return got()[n - 1]

    def port(self):
        return int(self.find(r' on https?://.*:(\d+)/'))

    def sibling(self):
        c = children(self.pid)
        return c[0] if len(c) == 1 else c

    def kill(self, sig, pid=None):
        os.kill(pid or self.pid, sig)

    def replace(self):
        """USR2, and wait till another one serves; the pid of the old one."""
        old = self.pid
        self.kill(signal.SIGUSR2)
        self.pid = int(self.find(r'replaced by process (\d+)',
                                 len(self.pids)))
        self.pids.append(self.pid)
        return old

    def rc(self, pid=None, timeout=10):
        """How pid, the last one by default, ended."""
        pid = pid or self.pid
        if pid == self.proc.pid:
            try:
                return self.proc.wait(timeout * SLOW)
            except subprocess.TimeoutExpired:
                return 'still runs'
        end, was = time.time() + timeout * SLOW, 'not ours'
        while time.time() < end:
            try:
                got, status = os.waitpid(pid, os.WNOHANG)
                if got:
                    return os.waitstatus_to_exitcode(status)
                was = 'still runs'
            except ChildProcessError:
                pass            # its parent, an older sibling, may yet end
            time.sleep(0.005)
        return was

    def stop(self, sig=signal.SIGTERM):
        self.kill(sig)
        return self.rc()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pid in self.pids:
            # gone already, and then the number may be another's
            if self.rc(pid, 0.01) == 'still runs':
                os.kill(pid, signal.SIGKILL)
                self.rc(pid)


def listener(path=None, backlog=512):
    s = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
    s.bind(path or ('127.0.0.1', 0))
    s.listen(backlog)
    return s


def pair_of(*args, env=None, **kw):
    """A line of servers with a plain socket and one for TLS, both passed."""
    socks = [listener(), listener()]
    w = Sws('-C', PAIR[0], '-K', PAIR[1], *args, pid='ours',
            fds={3: socks[0], 4: socks[1]},
            env=dict(LISTEN_FDS='2', LISTEN_FDNAMES='http:https',
                     **(env or {})), **kw)
    w.plain, w.tls = (s.getsockname()[1] for s in socks)
    for s in socks:
        s.close()
    return w


# ---- clients -----------------------------------------------------------------

class Lost(Exception):
    """A request that got no answer, though it was sent in time."""


class Gone(Exception):
    """The server had told us before that it would not take this one."""


class H1:
    """One connection of HTTP/1.1, plain or TLS."""

    def __init__(self, w, kind):
        self.s = raw(w.plain if kind == 'h1' else w.tls, kind == 'tls',
                     'http/1.1')
        self.last = False       # the server has said that it closes

    def send(self, path='/', fields=''):
        self.s.sendall(('GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n' %
                        (path, fields)).encode())

    def answer(self, pause=0):
        """The content of the next answer."""
        data = b''
        while True:
            head, sep, body = data.partition(b'\r\n\r\n')
            if sep:
                n = int(re.search(rb'\r\ncontent-length: (\d+)', head)[1])
                if len(body) >= n:
                    self.last = b'\r\nconnection: close' in head
                    if not head.startswith(b'HTTP/1.1 200 '):
                        raise Lost('answer %r' % head[:100])
                    return body[:n]
            if pause:
                time.sleep(pause)
            try:
                part = self.s.recv(65536)
            except OSError as e:
                raise Lost('%s after %r' % (e, data[:60]))
            if not part:
                raise Lost('end after %r' % data[:60])
            data += part

    def get(self, path='/', pause=0):
        try:
            self.send(path)
        except OSError as e:
            raise Lost('send: %s' % e)
        return self.answer(pause)

    def close(self):
        self.s.close()


class H2:
    """One connection of HTTP/2 with a frame reader of its own, which goes on
    after GOAWAY."""

    def __init__(self, w, kind):
        self.s = raw(w.plain if kind == 'h2c' else w.tls, kind == 'h2', 'h2')
        self.last, self.sid, self.buf = False, -1, b''
        self.limit = 1 << 31    # of GOAWAY
        self.goaways = []
        self.echo = True
        self.streams = {}       # sid -> [content, over]
        self.scheme = b'http' if kind == 'h2c' else b'https'
        self.s.sendall(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + self.frame(
            4, 0, 0, struct.pack('>HI', 4, (1 << 31) - 1)) + self.frame(
            8, 0, 0, struct.pack('>I', (1 << 31) - 1 - 65535)))

    @staticmethod
    def frame(kind, flags, sid, payload):
        return struct.pack('>I', len(payload))[1:] + struct.pack(
            '>BBI', kind, flags, sid) + payload

    def send(self, path='/', fields=''):
        self.sid += 2
        self.streams[self.sid] = [b'', False]
        block = b''.join(b'\0' + bytes([len(k)]) + k + bytes([len(v)]) + v
                         for k, v in ((b':method', b'GET'),
                                      (b':scheme', self.scheme),
                                      (b':path', path.encode()),
                                      (b':authority', b'a')))
        self.s.sendall(self.frame(1, 5, self.sid, block))
        return self.sid

    def read(self):
        """One frame."""
        while len(self.buf) < 9 or len(self.buf) < 9 + int.from_bytes(
                self.buf[:3], 'big'):
            try:
                part = self.s.recv(65536)
            except OSError as e:
                raise Lost('%s, goaway %s' % (e, self.goaways))
            if not part:
                raise EOFError
            self.buf += part
        n = int.from_bytes(self.buf[:3], 'big')
        kind, flags, sid = struct.unpack('>BBI', self.buf[3:9])
        p, self.buf = self.buf[9:9 + n], self.buf[9 + n:]
        if kind == 0:
            self.streams[sid][0] += p
        elif kind == 1 and p[:1] != b'\x88':
            raise Lost('status %r' % p[:10])
        elif kind == 3:
            raise Lost('reset %d' % int.from_bytes(p, 'big'))
        elif kind == 4 and not flags & 1:
            self.s.sendall(self.frame(4, 1, 0, b''))
        elif kind == 6 and not flags & 1 and self.echo:
            self.s.sendall(self.frame(6, 1, 0, p))
        elif kind == 7:
            self.limit, code = struct.unpack('>II', p[:8])
            self.goaways.append((self.limit, code))
            self.last = True
        if kind in (0, 1) and flags & 1:
            self.streams[sid][1] = True

    def read_on(self):
        """Till the end."""
        try:
            while True:
                self.read()
        except (EOFError, Lost):
            pass

    def answer(self, pause=0, sid=None):
        sid = sid or self.sid
        try:
            while not self.streams[sid][1]:
                if sid > self.limit:
                    raise Gone
                if pause:
                    time.sleep(pause)
                self.read()
        except EOFError:
            raise (Gone if sid > self.limit else
                   Lost)('end of stream %d, goaway %s' % (sid, self.goaways))
        return self.streams[sid][0]

    def get(self, path='/', pause=0):
        try:
            self.send(path)
        except OSError as e:
            raise Lost('send: %s' % e)
        return self.answer(pause)

    def close(self):
        self.s.close()


def raw(port, tls, alpn):
    class At:
        pass
    At.port = At.tls_port = port
    return lib.dial(At, tls, alpn)


def connect(w, kind):
    return (H2 if kind[:2] == 'h2' else H1)(w, kind)


def page(port):
    """A page by a new connection, '' or what is wrong."""
    class At:
        plain = port
    try:
        c = H1(At, 'h1')
        got = c.get()
        c.close()
        return '' if got == PAGE else 'got %r' % got[:80]
    except (OSError, Lost) as e:
        return repr(e)


class Load:
    """Threads that ask again and again: by new connections, and by ones that
    stay.  .lost, .asked, .told (connections that were told of their end)"""

    def __init__(self, w, kinds=KINDS4, new=1, kept=1):
        self.w, self.over = w, False
        self.lost, self.asked, self.told = [], 0, 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.work, args=(k, keep))
                        for k in kinds
                        for keep in [False] * new + [True] * kept]
        for t in self.threads:
            t.start()

    def work(self, kind, keep):
        c, asked, told = None, 0, 0
        rng = random.Random(kind)
        while not self.over:
            try:
                if c is None:
                    c = connect(self.w, kind)
                if c.get() != PAGE:
                    raise Lost('wrong content')
                asked += 1
                if c.last or not keep:
                    told += c.last
                    c = c.close()
            except Gone:
                told += 1
                c = c.close()
            except Exception as e:
                with self.lock:
                    self.lost.append('%s: %r' % (kind, e))
                c = c and c.close()
            time.sleep(rng.choice((0, 0, 0.001, 0.003)))
        with self.lock:
            self.asked += asked
            self.told += told

    def stop(self):
        self.over = True
        for t in self.threads:
            t.join()


# ---- under load --------------------------------------------------------------

def load():
    """USR2 and HUP in turn while eight clients ask: none is refused, none is
    reset, each request has its answer."""
    n, seconds = (50, 60) if SOAK else (10, 0)
    with pair_of('--access-log', 'false') as w:
        clients, began = Load(w), time.time()
        for i in range(n):
            old = w.replace()
            w.kill(signal.SIGHUP)
            left = began + seconds * (i + 1) / n - time.time()
            time.sleep(max(0.02, left))
        time.sleep(0.2)
        clients.stop()
        what = '%d replaced, %d reloads' % (n, n)
        check('%s: no request lost' % what, not clients.lost,
              '%d of %d: %s' % (len(clients.lost), clients.asked,
                                clients.lost[:4]))
        check('%s: clients were served' % what, clients.asked > 20 * n and
              clients.told > n, (clients.asked, clients.told))
        print('%d requests in %.1f s, %d connections told' % (
            clients.asked, time.time() - began, clients.told),
            file=sys.stderr)
        codes = [w.rc(p) for p in w.pids[:-1]]
        equal('%s: each old one ends well' % what, set(codes), {0})
        equal('the last one ends well', w.stop(), 0)
        check('no word of trouble', not re.search(
            '(?i)error|fail|cannot|ended', w.log()), w.log()[-500:])


def downloads():
    """Slow downloads go on from the old process, byte for byte, while the new
    one serves; the old one has let go of the listeners."""
    with pair_of() as w:
        cs = [connect(w, k) for k in KINDS4 for _ in range(3)]
        for c in cs:
            c.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            c.send('/big.bin')
            c.s.settimeout(60 * SLOW)
        time.sleep(0.1)                 # the heads are on their way
        shared = {v for v in links(w.pid).values() if v.startswith('socket')}
        old = w.replace()
        shared &= {v for v in links(w.pid).values() if v.startswith('socket')}
        equal('downloads: two listeners were handed on', len(shared), 2)
        check('downloads: the old one has let go of them', eventually(
            lambda: not shared & set(links(old).values())), links(old))
        equal('downloads: the new one serves meanwhile', page(w.plain), '')
        check('downloads: the old one is still there', alive(old))
        want = hashlib.sha256(BIG).digest()
        bad, got = [], []

        def fetch(c):
            try:
                data = c.answer(0.002)
                got.append(len(data))
                if hashlib.sha256(data).digest() != want:
                    bad.append('wrong content, %d bytes' % len(data))
            except Exception as e:
                bad.append(repr(e))
        ts = [threading.Thread(target=fetch, args=(c,)) for c in cs]
        for t in ts:
            t.start()
        for t in ts:
            t.join()
        check('downloads: 12 of 8 MiB complete from the old one', not bad and
              len(got) == 12, bad[:3])
        h2 = [c for c in cs if isinstance(c, H2)]
        check('downloads: HTTP/2 is told first, then finally',
              all(c.goaways[:1] == [((1 << 31) - 1, 0)] for c in h2),
              [c.goaways for c in h2])
        for c in cs:
            if c in h2:
                c.read_on()
            c.close()
        equal('downloads: the old one ends well', w.rc(old), 0)
        check('downloads: the final GOAWAY names the last stream',
              all(c.goaways[1:] == [(1, 0)] for c in h2),
              [c.goaways for c in h2])


def asked_meanwhile():
    """Connections that were just used ask around the moment of the
    replacement, each of them is answered; ones long idle are ended."""
    rounds = 10 if SOAK else 3
    lost, told, asked = [], 0, 0
    with pair_of() as w:
        for r in range(rounds):
            cs = [connect(w, k) for k in KINDS4
                  for _ in range(100 if k[0] == 'h' and k != 'h2' else 30)]
            random.Random(r).shuffle(cs)
            for c in cs:
                c.get()
            w.kill(signal.SIGUSR2)
            for c in cs:        # from before to after it
                asked += 1
                try:
                    c.send()
                except OSError as e:
                    lost.append('send: %s' % e)
                if r % 2:
                    time.sleep(0.0001)
            w.pid = int(w.find(r'replaced by process (\d+)', r + 1))
            w.pids.append(w.pid)
            for c in cs:
                try:
                    if c.answer() != PAGE:
                        lost.append('wrong content')
                except Gone:
                    pass
                except Lost as e:
                    lost.append('%s %r' % (type(c).__name__, e))
                told += c.last
            for c in cs:
                c.close()
        check('asked meanwhile: no request lost', not lost and told,
              '%d of %d: %s' % (len(lost), asked, lost[:3]))


def idle_ones():
    """At the end, idle connections go: at once if nobody used them for a
    second, each in the words of its protocol."""
    with pair_of() as w:
        cs = {k: connect(w, k) for k in KINDS4}
        for c in cs.values():
            c.get()
        deaf = connect(w, 'h2c')
        deaf.get()
        deaf.echo = False               # to the PING that comes with it
        time.sleep(1.1)
        old = w.replace()
        for k in ('h1', 'tls'):
            cs[k].s.settimeout(5 * SLOW)
            try:
                got = cs[k].s.recv(100)
            except OSError as e:
                got = e
            equal('idle: %s ends cleanly' % k, got, b'')
        for k, c in (('h2', cs['h2']), ('h2c', cs['h2c']), ('deaf', deaf)):
            c.read_on()
            c.close()
            check('idle: %s has a final GOAWAY' % k,
                  c.goaways[-1:] == [(1, 0)], c.goaways)
        cs['tls'].close()
        equal('idle: the old one ends', w.rc(old), 0)


# ---- what can go wrong -------------------------------------------------------

def program():
    """A copy of the program, to be changed."""
    path = os.path.join(tmpdir('bin'), 'sws')
    shutil.copy(PROGRAM, path)
    return path


def script(path, text):
    put(path + '.new', '#!/bin/sh\n' + text)
    os.chmod(path + '.new', 0o755)
    os.rename(path + '.new', path)


def stays(name, w, port, why, n=1):
    """The old one says why and serves on."""
    w.find('^sws: .*' + why, n)
    check(name + ': serves on', not page(port) and alive(w.pid), page(port))
    equal(name + ': one line says why', len(re.findall(
        'this one stays', w.log())), n)
    equal(name + ': a sibling, nobody else', len(children(w.pid)), 1)


def failures():
    for what in 'gone', 'ends', 'crash', 'config':
        exe, toml = program(), os.path.join(tmpdir('conf'), 'a.toml')
        put(toml, '')
        with Sws('-a', '127.0.0.1', '-p', 0, '-w', toml, start=[exe]) as w:
            port = w.port()
            if what == 'gone':
                os.rename(exe, exe + '.away')
            elif what == 'ends':
                script(exe, 'exit 0')
            elif what == 'crash':
                script(exe, 'kill -SEGV $$')
            else:
                put(toml, '[general]\nport = "x"\n')
            for n in 1, 2:
                w.kill(signal.SIGUSR2)
                stays('%s, time %d' % (what, n), w, port,
                      'ended before it served', n)
            if what == 'gone':
                check('gone: and the system\'s own words',
                      'No such file' in w.log(), w.log())
                os.rename(exe + '.away', exe)
            elif what == 'config':
                put(toml, '')
            else:
                shutil.copy(PROGRAM, exe + '.new')
                os.rename(exe + '.new', exe)
            old = w.replace()
            equal('%s: mended, it is replaced' % what,
                  (page(port), w.rc(old)), ('', 0))
            equal('%s: the new one ends well' % what, w.stop(), 0)


def twice():
    """A second USR2 is too much while the first is at work."""
    exe = program()
    with Sws('-a', '127.0.0.1', '-p', 0, start=[exe]) as w:
        port = w.port()
        go = os.path.join(tmpdir('go'), 'go')
        script(exe, 'while [ ! -e %s ]; do sleep 0.02; done; exec %s "$@"' %
               (go, SWS))
        w.kill(signal.SIGUSR2)
        time.sleep(0.2)
        w.kill(signal.SIGUSR2)
        w.find('SIGUSR2: a new program is being started already')
        equal('twice: serves meanwhile', page(port), '')
        put(go)
        w.pid = int(w.find(r'replaced by process (\d+)'))
        w.pids.append(w.pid)
        equal('twice: replaced once', (page(port), w.rc(w.pids[0])), ('', 0))
        time.sleep(0.2)
        equal('twice: one serves', len(re.findall('replaced by', w.log())), 1)
        equal('twice: ends well', w.stop(), 0)
        check('twice: the port is free', refused(port), page(port))


def fast():
    """Many USR2 at once to whom they reach."""
    with Sws('-a', '127.0.0.1', '-p', 0) as w:
        port = w.port()
        for _ in range(30):
            w.kill(signal.SIGUSR2)
        n = len(w.pids)
        w.pid = int(w.find(r'replaced by process (\d+)', n))
        w.pids.append(w.pid)
        equal('fast: served', (page(port), w.rc(w.pids[0])), ('', 0))
        equal('fast: ends well', w.stop(), 0)


def refused(port):
    try:
        socket.create_connection(('127.0.0.1', port), 5).close()
        return False
    except ConnectionRefusedError:
        return True


def slow_start(exe):
    """From now on the program takes its time; the file that ends that, and
    one with its pid."""
    d = tmpdir('slow')
    script(exe, 'echo $$ >%s/new && mv %s/new %s/pid\n'
           'while [ ! -e %s/go ]; do sleep 0.02; done; exec %s "$@"' %
           (d, d, d, d, SWS))
    return d


def started(d):
    eventually(lambda: os.path.exists(d + '/pid'))
    with open(d + '/pid') as f:
        return int(f.read())


def ends_meanwhile():
    """TERM, or its death, while the new program starts: all of it ends."""
    for sig in signal.SIGTERM, signal.SIGKILL:
        exe = program()
        path = os.path.join(tmpdir('u'), 's')
        name = 'meanwhile %s' % sig.name
        with Sws('--unix-socket', path, start=[exe]) as w:
            d = slow_start(exe)
            sibling = w.sibling()
            w.kill(signal.SIGUSR2)
            new = started(d)
            rc = w.stop(sig)
            equal(name + ': the server ends', rc, 0 if sig ==
                  signal.SIGTERM else -9)
            check(name + ': its sibling too', eventually(
                lambda: not alive(sibling)))
            put(d + '/go')              # sh may wait for its sleep
            check(name + ': the new program too', eventually(
                lambda: not alive(new)))
            check(name + ': the socket is unlinked', eventually(
                lambda: not os.path.exists(path)))
            equal(name + ': nobody took over', 'replaced' in w.log(), False)


def draining():
    """USR2 to one that is about to end."""
    with Sws('-a', '127.0.0.1', '-p', 0) as w:
        class At:
            plain = w.port()
        c = H1(At, 'h1')
        c.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        c.send('/big.bin')
        time.sleep(0.1)
        w.kill(signal.SIGTERM)
        time.sleep(0.1)
        w.kill(signal.SIGUSR2)
        w.find('SIGUSR2: this process is about to end')
        check('USR2 after TERM: the download is complete',
              c.answer(0.001) == BIG)
        equal('USR2 after TERM: it ends', w.rc(), 0)


def killed():
    """kill -9 of each of the three, at different times."""
    path = os.path.join(tmpdir('u'), 's')
    with Sws('--unix-socket', path, '--host', '127.0.0.1', '-p', 0) as w:
        port, sibling = w.port(), w.sibling()
        w.kill(signal.SIGKILL)
        equal('kill -9 of the server', w.rc(), -9)
        check('kill -9 of the server: the sibling ends', eventually(
            lambda: not alive(sibling)))
        check('kill -9 of the server: the port is free', refused(port))
        check('kill -9 of the server: the socket is unlinked',
              not os.path.exists(path))
    with Sws('-a', '127.0.0.1', '-p', 0) as w:
        port = w.port()
        os.kill(w.sibling(), signal.SIGKILL)
        w.find('the process that SIGUSR2 needs has ended')
        equal('kill -9 of the sibling: serves on', page(port), '')
        w.kill(signal.SIGUSR2)
        w.find('SIGUSR2: the process that it needs has ended')
        equal('kill -9 of the sibling: still', page(port), '')
        equal('kill -9 of the sibling: ends well', w.stop(), 0)
    exe = program()
    with Sws('-a', '127.0.0.1', '-p', 0, start=[exe]) as w:
        port, sibling, d = w.port(), w.sibling(), slow_start(exe)
        w.kill(signal.SIGUSR2)
        new = started(d)
        os.kill(sibling, signal.SIGKILL)
        w.find('the process that SIGUSR2 needs has ended')
        put(d + '/go')
        check('kill -9 of the sibling at work: the new one goes', eventually(
            lambda: not alive(new)))
        equal('kill -9 of the sibling at work: serves on', page(port), '')
        equal('kill -9 of the sibling at work: ends well', w.stop(), 0)
    exe = program()
    with Sws('-a', '127.0.0.1', '-p', 0, start=[exe]) as w:
        port, d = w.port(), slow_start(exe)
        w.kill(signal.SIGUSR2)
        os.kill(started(d), signal.SIGKILL)
        stays('kill -9 of the new one', w, port, 'ended before it served')


def killed_when_ready():
    """The new one dies between READY and GO: whoever is stopped meanwhile,
    the old one stays."""
    for who in 'server', 'sibling':
        name = 'dies when ready, %s stopped' % who
        exe = program()
        with Sws('-a', '127.0.0.1', '-p', 0, start=[exe]) as w:
            port, d = w.port(), slow_start(exe)
            w.kill(signal.SIGUSR2)
            new = started(d)
            stopped = w.pid if who == 'server' else w.sibling()
            os.kill(stopped, signal.SIGSTOP)
            put(d + '/go')
            # it has a sibling, and waits
            w.find('serving .* on ', 2)
            check(name + ': ready', eventually(lambda: children(new)))
            time.sleep(0.1)
            if who == 'sibling':
                equal(name + ': the old one serves', page(port), '')
            os.kill(new, signal.SIGKILL)
            time.sleep(0.05)
            os.kill(stopped, signal.SIGCONT)
            stays(name, w, port, 'ended before it served')
            old = (shutil.copy(PROGRAM, exe + '.new'), os.rename(
                exe + '.new', exe), w.replace())[2]
            equal(name + ': replaced after that', (page(port), w.rc(old)),
                  ('', 0))
            equal(name + ': ends well', w.stop(), 0)


def stuck_sibling():
    """A stopped sibling stalls nothing."""
    with Sws('-a', '127.0.0.1', '-p', 0) as w:
        port, sibling = w.port(), w.sibling()
        os.kill(sibling, signal.SIGSTOP)
        w.kill(signal.SIGUSR2)
        time.sleep(0.1)
        equal('stopped sibling: the server serves', page(port), '')
        os.kill(sibling, signal.SIGCONT)
        w.pid = int(w.find(r'replaced by process (\d+)'))
        w.pids.append(w.pid)
        equal('stopped sibling: replaced once it goes on',
              (page(port), w.rc(w.pids[0])), ('', 0))
        sibling = w.sibling()
        os.kill(sibling, signal.SIGSTOP)
        equal('stopped sibling: the server ends without it', w.stop(), 0)
        os.kill(sibling, signal.SIGCONT)
        check('stopped sibling: ends in the end', eventually(
            lambda: not alive(sibling)))


def never_ready():
    """A new program that gets stuck is given up after 30 s; only in the long
    form."""
    if not SOAK:
        return
    exe = program()
    with Sws('-a', '127.0.0.1', '-p', 0, start=[exe]) as w:
        port, d = w.port(), slow_start(exe)
        w.kill(signal.SIGUSR2)
        new = started(d)
        os.kill(new, signal.SIGSTOP)
        w.find('SIGUSR2: the new program was not ready in 30 s', 1, 40)
        stays('never ready', w, port, 'was not ready in 30 s')
        os.kill(new, signal.SIGCONT)
        check('never ready: it ends when it goes on', eventually(
            lambda: not alive(new)))
        equal('never ready: ends well', w.stop(), 0)


# ---- the sockets -------------------------------------------------------------

def own_tcp():
    """Our own port goes from one to the next, whatever the options say now."""
    toml = put(os.path.join(tmpdir('conf'), 'a.toml'),
               '[general]\nhost = "127.0.0.1"\nport = 0\n')
    with Sws('-w', toml) as w:
        port = w.port()
        for _ in range(2):
            old = w.replace()
            equal('own port: goes on', (page(port), w.rc(old)), ('', 0))
        check('own port: the log says the same address', re.findall(
            r'serving .* on (.*)', w.log()) == ['http://127.0.0.1:%d/' % port]
            * 3, w.log())
        equal('own port: ends well', w.stop(), 0)
        check('own port: free', refused(port))


def own_unix():
    path = os.path.join(tmpdir('u'), 's')
    with Sws('--unix-socket', path) as w:
        for _ in range(2):
            old = w.replace()
            equal('own unix socket: the old one ends', w.rc(old), 0)
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(path)
                s.sendall(b'GET / HTTP/1.0\r\n\r\n')
                data, how = read_all(s)
            check('own unix socket: goes on', data.endswith(PAGE), data[:80])
        equal('own unix socket: ends well', w.stop(), 0)
        check('own unix socket: unlinked by the last one',
              not os.path.exists(path))
    with Sws('--unix-socket', path) as w:
        w.replace()
        os.unlink(path)
        other = listener(path)
        w.rc(w.replace())
        equal('another at its place: ends well', w.stop(), 0)
        check('another at its place: is left alone', os.path.exists(path))
        other.close()
        os.unlink(path)


def names():
    """Passed sockets keep their names, and TLS with them; the variables that
    passed them do not stay or grow."""
    with pair_of('--https-redirect') as w:
        first = None
        for n in range(3):
            if n:
                w.rc(w.replace())
            c = H1(w, 'tls')
            check('names: TLS, generation %d' % n, c.get() == PAGE)
            c.close()
            c = H1(w, 'h1')
            c.send()
            try:
                got = c.answer()
            except Lost as e:
                got = str(e)
            check('names: plain redirects, generation %d' % n, ' 301 ' in
                  str(got), got)
            c.close()
        said = re.findall(r'\((descriptor .*)\)', w.log())
        # valgrind holds on to a few of the lowest numbers
        low = [3, 4] if not VALGRIND else [int(re.search(r'\d+', x).group())
                                           for x in said[2:4]]
        equal('names: where they come from', said[2:], [
            'descriptor %d, handed on' % x for x in low] * 2)
        equal('names: ends well', w.stop(), 0)


def descriptor_zero():
    """As s6's socketbinders pass it; and one that came with a gap."""
    s = listener()
    with Sws('--fd', 0, fds={0: s}) as w:
        port = s.getsockname()[1]
        s.close()
        for _ in range(2):
            old = w.replace()
            equal('descriptor 0: goes on', (page(port), w.rc(old)), ('', 0))
    s, extra = listener(), open(os.path.join(WORK, 'extra.log'), 'ab')
    with Sws('--fd', 7, '--log-file', '/dev/fd/3', fds={7: s, 3: extra}) as w:
        port = s.getsockname()[1]
        s.close()
        for _ in range(2):
            old = w.replace()
            equal('descriptor 7, and 3 a log: goes on',
                  (page(port), w.rc(old)), ('', 0))

        def logged():
            with open(extra.name) as f:
                return f.read().count('"GET / ')
        check('descriptor 7, and 3 a log: logs there', eventually(
            lambda: logged() == 2), logged())
    extra.close()


def inetd_refuses():
    """inetd waits for this process and starts the next one itself: it is not
    replaced, unless a supervisor is told who is."""
    s = listener()
    with Sws('--fd', 0, fds={0: s, 1: s, 2: s},
             ready=False) as w:
        port = s.getsockname()[1]
        equal('inetd: serves', page(port), '')
        w.kill(signal.SIGUSR2)
        time.sleep(0.3)
        equal('inetd: is not replaced', (page(port), alive(w.pid),
                                         len(children(w.pid))), ('', True, 1))
        equal('inetd: ends well', w.stop(), 0)
    path = os.path.join(tmpdir('n'), 'notify')
    n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    n.bind(path)
    n.settimeout(10 * SLOW)
    with Sws('--fd', 0, fds={0: s, 1: s, 2: s}, ready=False,
             env={'NOTIFY_SOCKET': path}) as w:
        n.recv(1000)
        for _ in range(2):
            w.kill(signal.SIGUSR2)
            said = n.recv(1000)
            check('StandardInput=socket, NOTIFY_SOCKET: is replaced',
                  said.startswith(b'MAINPID='), said)
            old, w.pid = w.pid, int(said[8:])
            w.pids.append(w.pid)
            equal('StandardInput=socket, NOTIFY_SOCKET: goes on',
                  (page(port), w.rc(old)), ('', 0))
        check('StandardInput=socket: no client got a message', page(port) ==
              '' and links(w.pid)[2] == '/dev/null', links(w.pid))
    n.close()
    s.close()


def process_1():
    """The end of process 1 is the end of its container."""
    probe = ['unshare', '-pf', '--kill-child', 'true']
    try:
        if subprocess.run(probe, stderr=subprocess.DEVNULL).returncode:
            raise OSError
    except OSError:
        return skip('process 1', 'no PID namespaces')
    with Sws('-a', '127.0.0.1', '-p', 0,
             start=['unshare', '-pf', '--kill-child', SWS]) as w:
        port = w.port()
        inner = children(w.pid)[0]
        os.kill(inner, signal.SIGUSR2)
        w.find('SIGUSR2: all would end with process 1')
        equal('process 1: serves on', page(port), '')
        os.kill(inner, signal.SIGTERM)
        equal('process 1: ends well', w.rc(), 0)


def supervisors():
    """Real ones."""
    for name, argv in (
            ('systemd-socket-activate', ['systemd-socket-activate', '-l',
                                         '127.0.0.1:PORT']),
            ('s6-ipcserver-socketbinder', ['s6-ipcserver-socketbinder',
                                           'PATH'])):
        exe = shutil.which(argv[0])
        if exe is None:
            check(name, False, 'is missing')
            continue
        with socket.socket() as s:
            s.bind(('127.0.0.1', 0))
            port = s.getsockname()[1]
        path = os.path.join(tmpdir('u'), 's')
        with Sws(start=[a.replace('PORT', str(port)).replace('PATH', path)
                        for a in argv] + [SWS], ready=False) as w:
            def visit():
                if argv[1] == '-l':
                    return page(port)
                with socket.socket(socket.AF_UNIX) as s:
                    try:
                        s.connect(path)
                        s.sendall(b'GET / HTTP/1.0\r\n\r\n')
                        data = read_all(s)[0]
                    except OSError as e:
                        return repr(e)
                    return '' if data.endswith(PAGE) else repr(data[:80])
            check(name + ': serves', eventually(lambda: visit() == ''))
            w.find('serving .* on ')
            for _ in range(2):
                old = w.replace()
                equal(name + ': goes on', (visit(), w.rc(old)), ('', 0))
            equal(name + ': ends well', w.stop(), 0)
            if argv[1] != '-l':
                check(name + ': its socket is left', os.path.exists(path))


# ---- what others are told ----------------------------------------------------

def notify():
    """Exactly this is said, and by whom it has to be."""
    path = os.path.join(tmpdir('n'), 'notify')
    n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    n.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    n.bind(path)
    n.settimeout(10 * SLOW)
    seen = []

    def hear(watchdog=False):
        """The next message: who, what."""
        while True:
            data, anc, _, _ = n.recvmsg(1000, 1000)
            who = struct.unpack('3i', anc[0][2])[0]
            if watchdog or data != b'WATCHDOG=1':
                return who, data.decode()
    with pair_of(env={'NOTIFY_SOCKET': path, 'WATCHDOG_USEC': '200000'}) as w:
        equal('notify: ready', hear(), (
            w.pid, 'READY=1\nSTATUS=serving ' + ROOT))
        for _ in range(2):
            old = w.replace()
            equal('notify: MAINPID, by the old one', hear(), (
                old, 'MAINPID=%d' % w.pid))
            end = time.time() + 5 * SLOW
            while True:
                who, what = hear(True)
                if who == w.pid or time.time() > end:
                    break
            equal('notify: the new one has the watchdog', (who, what), (
                w.pid, 'WATCHDOG=1'))
            equal('notify: the old one ends', w.rc(old), 0)
        w.kill(signal.SIGHUP)
        who, what = hear()
        check('notify: the new one reloads', who == w.pid and re.fullmatch(
            r'RELOADING=1\nMONOTONIC_USEC=\d+', what), (who, what))
        equal('notify: and is ready', hear(), (w.pid, 'READY=1'))
        equal('notify: ends well', w.stop(), 0)
        who, what = hear()
        check('notify: STOPPING, only by the last one', who == w.pid and
              what.startswith('STOPPING=1\n'), (who, what))
        n.settimeout(0.2)
        try:
            seen = hear()
        except socket.timeout:
            seen = None
        equal('notify: no more', seen, None)
    n.close()


def ready_fd():
    """--ready-fd: one newline, by the first one, then its end."""
    r, wr = os.pipe()
    with Sws('-a', '127.0.0.1', '-p', 0, '--ready-fd', 9, fds={9: wr}) as w:
        os.close(wr)
        w.rc(w.replace())
        equal('--ready-fd: goes on', page(w.port()), '')
        got = b''
        while select.select([r], [], [], 5 * SLOW)[0]:
            part = os.read(r, 10)
            if not part:
                break
            got += part
        equal('--ready-fd: said once, closed', got, b'\n')
        before = w.log()
        w.kill(signal.SIGHUP)
        time.sleep(0.2)
        equal('--ready-fd: a reload finds it unchanged', page(w.port()), '')
        check('--ready-fd: and says nothing', 'next start' not in w.log(),
              w.log()[len(before):])
        w.rc(w.replace())
        equal('--ready-fd: one more', page(w.port()), '')
    os.close(r)


def stray():
    """The variable by which a successor knows itself, and nobody before it."""
    for value in 'x', 'p:99', ':', 'ppp:0':
        p = subprocess.run([SWS, '-p', '0', ROOT], env=clean_env(
            SWS_REPLACES=value), stdin=subprocess.DEVNULL, timeout=20 * SLOW,
            capture_output=True, text=True)
        equal('stray SWS_REPLACES=' + value, (p.returncode, p.stderr), (
            1, 'sws: SWS_REPLACES is set, but no listener was handed on\n'))


def never_served():
    """A new program that fails late, with a sibling already, leaves the unix
    socket of the old one."""
    path, log = os.path.join(tmpdir('u'), 's'), os.path.join(tmpdir('l'), 'log')
    with Sws('--unix-socket', path, '--log-file', log) as w:
        os.unlink(log)
        os.mkdir(log)           # a log that cannot be opened
        w.kill(signal.SIGUSR2)
        w.find('this one stays')
        time.sleep(0.2)
        check('never served: the socket is there', os.path.exists(path))
        os.rmdir(log)
        # while the old one is there, how the new one ends is lost
        equal('never served: the old one ends', w.rc(w.replace()), 0)
        equal('never served: ends well', w.stop(), 0)
        check('never served: the last one unlinks it', eventually(
            lambda: not os.path.exists(path)))


def opened_once():
    """--open shows the site once, not with each new program."""
    d = tmpdir('open')
    script(d + '/browser', 'echo "$1" >>%s/urls\n' % d)
    with Sws('-a', '127.0.0.1', '-p', 0, '--open',
             env={'BROWSER': d + '/browser'}) as w:
        w.rc(w.replace())
        time.sleep(0.2)
        with open(d + '/urls') as f:
            equal('--open: once', len(f.readlines()), 1)


# ---- what is started ---------------------------------------------------------

def other_program():
    """What stands under the name now is what runs, not what did."""
    exe = program()
    with Sws('-a', '127.0.0.1', '-p', 0, start=[exe]) as w:
        port, was = w.port(), os.stat('/proc/%d/exe' % w.pid).st_ino
        shutil.copy(PROGRAM, exe + '.new')
        os.rename(exe + '.new', exe)
        old = w.replace()
        now = os.stat('/proc/%d/exe' % w.pid).st_ino
        check('replaced by rename: the new file runs', now ==
              os.stat(exe).st_ino != was, (was, now))
        equal('replaced by rename: serves', (page(port), w.rc(old)), ('', 0))


def argv0():
    """However it was called: by PATH, by a relative path, by a name that is
    none."""
    exe = program()
    d = os.path.dirname(exe)
    rows = [
        ('by PATH', dict(start=['sws'], env={'PATH': '/none:' + d})),
        ('by a relative PATH', dict(start=['sws'], cwd=WORK, executable=exe,
                                    env={'PATH': os.path.relpath(d, WORK)})),
        ('another sws comes first', dict(
            start=['sws'], executable=exe,
            env={'PATH': WORK + '/other:' + d})),
        ('relative', dict(start=['./sws'], cwd=d)),
        # a sanitizer finds no leaks without /proc
        ('relative, chroot', dict(start=['./sws'], cwd=d, chroot=True, env={
            'ASAN_OPTIONS': 'detect_leaks=0'})),
        ('no name', dict(start=['webserver'], executable=exe)),
        ('no name, no PATH', dict(start=['-'], executable=exe,
                                  env={'PATH': ''})),
    ]
    put(WORK + '/other/sws', '#!/bin/sh\nexit 7\n')
    os.chmod(WORK + '/other/sws', 0o755)
    for name, how in rows:
        args = ['-a', '127.0.0.1', '-p', 0]
        if how.pop('chroot', False):
            if os.getuid() != 0:
                skip('argv[0] ' + name, 'not root')
                continue
            args += ['--chroot', ROOT]
        with Sws(*args, **how) as w:
            before = argv_of(w.pid)
            old = w.replace()
            equal('argv[0] %s: goes on' % name, (page(w.port()), w.rc(old)),
                  ('', 0))
            equal('argv[0] %s: with the same words' % name, argv_of(w.pid),
                  before)
            equal('argv[0] %s: that program' % name,
                  os.readlink('/proc/%d/exe' % w.pid), exe)


def argv_of(pid):
    with open('/proc/%d/cmdline' % pid, 'rb') as f:
        return f.read().split(b'\0')[:-1]


def privileges():
    """With --user the server is somebody else; the next one can still bind,
    read and become that."""
    if os.getuid() != 0:
        return skip('privileges', 'not root')
    os.chmod(WORK, 0o755)
    os.chmod(lib._tmp, 0o755)
    with Sws('-a', '127.0.0.1', '-p', 0, '--user', 'nobody') as w:
        for _ in range(2):
            old = w.replace()
            equal('--user: goes on', (page(w.port()), w.rc(old)), ('', 0))
            with open('/proc/%d/status' % w.pid) as f:
                uid = re.search(r'Uid:\s+(\d+)\s+(\d+)', f.read()).groups()
            check('--user: each is that user', '0' not in uid, uid)
        equal('--user: ends well', w.stop(), 0)


# ---- many of them ------------------------------------------------------------

def environment(pid):
    with open('/proc/%d/environ' % pid, 'rb') as f:
        e = f.read().split(b'\0')[:-1]
    return sorted(re.sub(rb'^(LISTEN_PID|WATCHDOG_PID|_)=.*', rb'\1', x)
                  for x in e)


def memory(pid):
    with open('/proc/%d/smaps_rollup' % pid) as f:
        return int(re.search(r'Private_Dirty:\s+(\d+)', f.read()).group(1))


def held(pid):
    """What it holds, without the numbers that differ from run to run."""
    return sorted(re.sub(r'\[\d+\]', '', v) for v in links(pid).values())


def generations():
    """Twenty in a row: no descriptor, process, variable or memory more."""
    n = 100 if SOAK else 20
    with pair_of('--log-file', os.path.join(WORK, 'access.log')) as w:
        w.rc(w.replace())
        page(w.plain)

        def look():
            sib = w.sibling()
            return (held(w.pid), held(sib), argv_of(w.pid),
                    environment(w.pid), argv_of(sib))
        # two listeners and a line: no client is left
        eventually(lambda: held(w.pid).count('socket:') == 3)
        first, had = look(), (memory(w.pid), memory(w.sibling()))
        bad = []
        for i in range(n):
            old = w.replace()
            bad += [page(w.plain)] if page(w.plain) else []
            if w.rc(old) != 0:
                bad.append('exit')
        eventually(lambda: look() == first)
        for what, a, b in zip(('descriptors', "the sibling's descriptors",
                               'arguments', 'variables',
                               "the sibling's arguments"), first, look()):
            equal('%d generations: %s' % (n, what), b, a)
        now = memory(w.pid), memory(w.sibling())
        # valgrind's own is looked at in none, a sanitizer's varies
        check('%d generations: memory' % n, VALGRIND or (
            now[0] < had[0] + 256 and now[1] < had[1] + 256), (had, now))
        equal('%d generations: each served and ended' % n, bad, [])
        print('private memory: server %d KiB, sibling %d KiB' % now,
              file=sys.stderr)
        equal('%d generations: ends well' % n, w.stop(), 0)
        check('%d generations: no process is left' % n, not [
            p for p in children(os.getpid()) if alive(p)],
            children(os.getpid()))


def sibling_holds():
    """The sibling has the listeners, its line, 0 to 2, and nothing else."""
    path = os.path.join(tmpdir('n'), 'notify')
    n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    n.bind(path)
    with pair_of('--log-file', os.path.join(WORK, 'access.log'),
                 env={'NOTIFY_SOCKET': path}) as w:
        for generation in 0, 1:
            if generation:
                w.rc(w.replace())
            cs = [H1(w, 'h1') for _ in range(3)]
            for c in cs:
                c.get()
            server, sib = links(w.pid), links(w.sibling())
            # descriptors that the test itself was started with go to both
            got = {k: v for k, v in sib.items() if k > 2 and
                   v.startswith('socket')}
            shared = set(got.values()) & set(server.values())
            check('sibling: two listeners and a line, generation %d' %
                  generation, len(got) == 3 and len(shared) == 2, (sib, server))
            more = [v for k, v in sib.items() if k > 2 and
                    ('access.log' in v or v == ROOT or 'anon_inode' in v)]
            equal('sibling: no log, folder or queue, generation %d' %
                  generation, more, [])
            for c in cs:
                c.close()
    n.close()


if __name__ == '__main__':
    tests = [load, downloads, asked_meanwhile, idle_ones, failures, twice, fast,
             ends_meanwhile, draining, killed, killed_when_ready,
             stuck_sibling, never_ready, own_tcp, own_unix, names,
             descriptor_zero, inetd_refuses, process_1, supervisors, notify,
             ready_fd, stray, never_served, opened_once, other_program, argv0, privileges,
             generations, sibling_holds]
    # python3 test/next.py NAME...: only these
    run([t for t in tests if t.__name__ in (sys.argv[1:] or [t.__name__])])
