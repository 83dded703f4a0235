"""SIGUSR2: the program is replaced, nobody notices; and if it cannot be, the
old one stays and says why.  SOAK=1: the long forms."""
import ctypes, fcntl, hashlib, random, struct

import lib
from lib import *

SOAK = os.environ.get('SOAK') == '1'
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
        end = time.time() + timeout * SLOW
        while time.time() < end:
            try:
                got, status = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                return 'not ours'
            if got:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
        return 'still runs'

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
        self.s.sendall(('GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n' %
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


if __name__ == '__main__':
    run([load])
