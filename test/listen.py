"""Where the socket comes from, manners towards who started us, signals, and the
rules of options: command line, SERVER_*, --help, exit codes."""
import ctypes, gzip, platform, pty, stat, struct, threading

import lib

_lock = threading.Lock()
_check = lib.check


def _one_at_a_time(*args):
    with _lock:                 # checks are made in threads too
        return _check(*args)


lib.check = _one_at_a_time
from lib import *

# What this test was started with goes to no child, and its own descriptors
# begin at 40, so that a child can get any lower number.
for _n in map(int, os.listdir('/proc/self/fd')):
    try:
        os.set_inheritable(_n, _n < 3)
    except OSError:
        pass                            # the listing's own
_low = []
while not _low or _low[-1] < 39:
    _low.append(os.open('/dev/null', os.O_RDWR))

WORK = tmpdir('work')
ROOT = os.path.join(WORK, 'root')
PAGE = b'<p>hello from sws</p>\n'
BIG = bytes(range(256)) * 4096 * 12                     # 12 MiB
put(ROOT + '/index.html', PAGE)
put(ROOT + '/second.html', b'second\n')
put(ROOT + '/big.bin', BIG)
put(ROOT + '/z.txt', b'text ' * 500, 1600000000)
put(ROOT + '/z.txt.gz', gzip.compress(b'text ' * 500), 1600000000)
put(ROOT + '/dir/index.html', b'in dir\n')
put(ROOT + '/.hidden', b'hidden\n')
put(ROOT + '/my404.html', b'mine 404\n')
put(ROOT + '/404.html', b'default 404\n')
os.symlink('z.txt', ROOT + '/link.txt')
OTHER = os.path.join(WORK, 'other')
put(OTHER + '/index.html', b'the other folder\n')

HEAD = re.compile(rb'HTTP/1\.[01] \d{3} [^\r\n]*\r\n'
                  rb'([!#$%&\'*+.^_`|~0-9A-Za-z-]+:[^\r\n]*\r\n)*\r\n')


# ---- starting sws with any descriptors --------------------------------------

class Sws:
    """sws with descriptors of our choice.  fds: number -> socket, file or
    None for a closed one.  pid='ours' makes LISTEN_PID right."""

    def __init__(self, *args, fds=(), env=None, pid=None, wrap=(), root=ROOT,
                 pre=None, cwd=None):
        self.errpath = os.path.join(tmpdir('log'), 'stderr')
        self.outpath = self.errpath + '.out'
        fds = dict(fds)
        argv = list(wrap) + [SWS, *map(str, args)] + ([root] if root else [])
        if pid == 'ours':
            argv = ['sh', '-c', 'LISTEN_PID=$$ WATCHDOG_PID=$$ exec "$@"',
                    'sh'] + argv

        def child():
            for n, f in fds.items():
                if f is None:
                    os.close(n)
                else:
                    os.dup2(f if isinstance(f, int) else f.fileno(), n)
            if pre:
                pre()
        with open(self.errpath, 'wb') as e, open(self.outpath, 'wb') as o:
            self.p = spawn(argv, env=clean_env(**(env or {})),
                           stdin=subprocess.DEVNULL, stdout=o, stderr=e,
                           close_fds=False, cwd=cwd,
                           preexec_fn=child if fds or pre else None)

    def text(self, path=None):
        with open(path or self.errpath, errors='replace') as f:
            return f.read()

    def lines(self):
        return [x for x in self.text().split('\n') if x]

    def out(self):
        return self.text(self.outpath)

    def find(self, pattern, timeout=8, path=None):
        """Wait for a match on its standard error."""
        end = time.time() + timeout * SLOW
        while True:
            try:
                m = re.search(pattern, self.text(path), re.M)
            except FileNotFoundError:
                m = None
            if m or time.time() > end or \
                    (self.p.poll() is not None and not path):
                return m
            time.sleep(0.005)

    def port(self):
        m = self.find(r' on https?://.*:(\d+)/')
        if not m:
            raise RuntimeError('did not start: ' + self.text())
        return int(m.group(1))

    def rc(self, timeout=8):
        try:
            return self.p.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            return 'still runs'

    def stop(self, sig=signal.SIGTERM, timeout=8):
        if self.p.poll() is None:
            self.p.send_signal(sig)
        r = self.rc(timeout)
        if self.p.poll() is None:
            self.p.kill()
            self.p.wait()
        return r

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop(signal.SIGKILL)


def listener(family=socket.AF_INET, backlog=64, path=None):
    s = socket.socket(family)
    if family == socket.AF_UNIX:
        s.bind(path or os.path.join(tmpdir('u'), 's'))
    else:
        s.bind(('::1' if family == socket.AF_INET6 else '127.0.0.1', 0))
    if backlog is not None:
        s.listen(backlog)
    return s


def dial(to, timeout=8, buffer=None):
    """Connect to a port, a path or where a socket of ours listens."""
    if isinstance(to, socket.socket):
        family, to = to.family, to.getsockname()
    elif isinstance(to, int):
        family, to = socket.AF_INET, ('127.0.0.1', to)
    elif isinstance(to, str):
        family = socket.AF_UNIX
    else:
        family = socket.AF_INET6 if ':' in to[0] else socket.AF_INET
    s = socket.socket(family)
    if buffer:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    s.settimeout(timeout * SLOW)
    s.connect(to)
    return s


def connection():
    """Both ends of a TCP connection: (client, the server's)."""
    s = listener()
    c = dial(s)
    a, _ = s.accept()
    s.close()
    a.setblocking(True)
    return c, a


def request(path='/', close=True, fields=''):
    return ('GET %s HTTP/1.1\r\nHost: localhost\r\n%s%s\r\n' %
            (path, 'Connection: close\r\n' if close else '',
             fields)).encode()


def flaw(data, methods=('GET',)):
    """What is not HTTP in data, or ''."""
    r, rest = parse_responses(data, methods)
    if rest:
        return 'not HTTP: %r' % rest[:200]
    for x in r:
        if not HEAD.fullmatch(x.head):
            return 'bad head: %r' % x.head[:200]
        if not x.complete:
            return 'incomplete: %r' % x
    return ''


def fetch(to, path='/', fields='', timeout=8):
    """One request on a connection of its own."""
    with dial(to, timeout) as s:
        s.sendall(request(path, True, fields))
        data, how = read_all(s, timeout)
    r, _ = parse_responses(data)
    if flaw(data) or len(r) != 1:
        raise RuntimeError('%s %r %s' % (how, data[:200], flaw(data)))
    return r[0]


def served(to, want=PAGE, path='/'):
    """'' when the page comes, else why not."""
    try:
        r = fetch(to, path)
        return '' if r.status == 200 and r.body == want else repr(r)
    except (OSError, RuntimeError) as e:
        return '%s: %s' % (type(e).__name__, e)


def silent(to, seconds=0.25):
    """'' when nobody answers there: it may connect, but no byte comes."""
    try:
        with dial(to) as s:
            s.sendall(request())
            data, how = read_all(s, seconds)
            return '' if not data else repr(data[:100])
    except OSError:
        return ''


def serves(name, sws, *to, want=PAGE):
    why = [served(t, want) for t in to]
    return check(name, not any(why), '%s / %s' % (why, sws.text()))


def one_line(name, sws, code, *parts):
    """It ended with code and said one line, which has all parts in it."""
    rc, lines = sws.rc(), sws.lines()
    return check(name, rc == code and len(lines) == 1 and
                 lines[0].startswith('sws: ') and
                 all(re.search(p, lines[0]) for p in parts),
                 'exit %s, %r, wanted %s with %s' % (rc, lines, code, parts))


def together(tests):
    """Functions that mostly wait, side by side."""
    import traceback

    def work(t):
        try:
            t()
        except Exception:
            check(t.__name__, False, traceback.format_exc(limit=-3))
    threads = [threading.Thread(target=work, args=(t,)) for t in tests]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def lit(s):
    return re.escape(str(s))


# ---- --fd: a descriptor ----------------------------------------------------

def fd_listening():
    s = listener()
    for n in 0, 3, 7:
        with Sws('--fd', n, fds={n: s}) as w:
            serves('--fd %d: listening on descriptor %d' % (n, n), w, s)
            m = w.find(r'^sws: serving (\S+) on (\S+) \(descriptor %d' % n)
            check('--fd %d: URL line' % n, m and m.group(2) ==
                  'http://127.0.0.1:%d/' % s.getsockname()[1], w.text())
            equal('--fd %d: TERM' % n, w.stop(), 0)
    with Sws('-f', 3, fds={3: s}) as w:
        serves('-f 3', w, s)
    with Sws('-f3', fds={3: s}) as w:
        serves('-f3', w, s)
    with Sws(fds={3: s}, env={'SERVER_LISTEN_FD': '3'}) as w:
        serves('SERVER_LISTEN_FD=3', w, s)
    s6 = listener(socket.AF_INET6)
    with Sws('--fd', 3, fds={3: s6}) as w:
        serves('--fd 3: IPv6', w, s6)
        m = w.find(r' on (\S+) \(descriptor 3')
        check('--fd 3: IPv6 URL', m and m.group(1) == 'http://[::1]:%d/' %
              s6.getsockname()[1], w.text())
    # all of 0-2, as inetd does it
    with Sws('--fd', 0, fds={0: s, 1: s, 2: s}) as w:
        serves('--fd 0: listening on 0, 1 and 2', w, s)


def fd_bound():
    s = listener(backlog=None)
    with Sws('--fd', 3, fds={3: s}) as w:
        w.port()
        serves('--fd 3: bound, not listening', w, s)
    path = os.path.join(tmpdir('u'), 's')
    s = listener(socket.AF_UNIX, None, path)
    with Sws('--fd', 0, fds={0: s}) as w:
        w.find(' on ')
        serves('--fd 0: bound unix socket, not listening', w, path)
    with Sws('--fd', 3, fds={3: socket.socket()}) as w:
        one_line('--fd 3: neither bound nor connected', w, 1, '--fd 3',
                 'descriptor 3', 'LISTEN_FDS')


def fd_connected():
    for n in 0, 3:
        c, a = connection()
        with Sws('--fd', n, fds={n: a}) as w:
            a.close()
            data = b''
            for i in range(3):
                c.sendall(request('/', False))
                part, how = read_all(c, 8, lambda d: any(
                    x.complete for x in parse_responses(d)[0]))
                data += part
            r, rest = parse_responses(data)
            check('--fd %d: connected, three requests' % n, len(r) == 3 and
                  not flaw(data) and all(x.body == PAGE for x in r), data)
            c.close()
            equal('--fd %d: connected, client leaves: exit' % n, w.rc(), 0)
        c, a = connection()
        with Sws('--fd', n, fds={n: a}) as w:
            a.close()
            c.sendall(request())
            data, how = read_all(c)
            check('--fd %d: connected, Connection: close' % n, how == 'eof' and
                  parse_responses(data)[0][0].body == PAGE, (data, how))
            c.close()
            equal('--fd %d: connected, closed: exit' % n, w.rc(), 0)
    # with everything sent, and the client gone, before we look
    c, a = connection()
    c.close()
    with Sws('--fd', 0, fds={0: a, 1: a, 2: a}) as w:
        a.close()
        equal('--fd 0: the client left at once: exit', w.rc(), 0)
    c, a = connection()
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    c.close()                                   # a reset
    with Sws('--fd', 0, fds={0: a, 1: a, 2: a}) as w:
        a.close()
        equal('--fd 0: the client reset at once: exit', w.rc(), 0)
    c, a = connection()
    c.sendall(request('/big.bin'))
    c.shutdown(socket.SHUT_WR)
    with Sws('--fd', 0, fds={0: a, 1: a, 2: a}) as w:
        a.close()
        data, how = read_all(c, 20)
        r, _ = parse_responses(data)
        check('--fd 0: connected, half-closed client gets all of 12 MiB',
              len(r) == 1 and r[0].body == BIG and how == 'eof',
              (len(data), how))
        c.close()
        equal('--fd 0: half-closed: exit', w.rc(), 0)
    c, a = socket.socketpair()
    with Sws('--fd', 0, fds={0: a}) as w:
        a.close()
        c.sendall(request())
        data, how = read_all(c)
        check('--fd 0: connected unix socket', how == 'eof' and data and
              not flaw(data) and parse_responses(data)[0][0].body == PAGE,
              (data, how))
        c.close()
        equal('--fd 0: connected unix socket: exit', w.rc(), 0)


# ---- --fd: an index, a name --------------------------------------------------

def fd_index():
    s = listener()
    for what, pid, env in (
            ('unset', None, {}), ('empty', None, {'LISTEN_PID': ''}),
            ('ours', 'ours', {})):
        env['LISTEN_FDS'] = '1'
        with Sws('--fd', 0, fds={3: s}, env=env, pid=pid) as w:
            serves('--fd 0: LISTEN_FDS, LISTEN_PID ' + what, w, s)
            check('--fd 0: URL line says systemd, LISTEN_PID ' + what,
                  w.find(r'http://127\.0\.0\.1:%d/ \(descriptor 3, systemd\)' %
                         s.getsockname()[1]), w.text())
    with Sws('--fd', 0, fds={3: s},
             env={'LISTEN_FDS': '1', 'LISTEN_PID': '1'}) as w:
        one_line('--fd 0: LISTEN_PID of another', w, 1, '--fd 0',
                 'descriptor 0', 'LISTEN_PID=1 ', str(w.p.pid))
    for bad in 'x', '-1', '0', '1x', '':
        with Sws('--fd', 0, fds={3: s}, env={'LISTEN_FDS': bad}) as w:
            one_line('--fd 0: LISTEN_FDS=%r' % bad, w, 1, '--fd 0',
                     'descriptor 0', 'LISTEN_FDS')
    t = listener()
    with Sws('--fd', 1, fds={3: s, 4: t}, env={'LISTEN_FDS': '2'}) as w:
        serves('--fd 1: second of LISTEN_FDS', w, t)
        equal('--fd 1: the first is not served', silent(s), '')
    with Sws('--fd', 3, fds={3: s, 4: t}, env={'LISTEN_FDS': '2'}) as w:
        serves('--fd 3: a descriptor comes before an index', w, s)
        equal('--fd 3: descriptor 4 is not served', silent(t), '')
    with Sws('--fd', 2, fds={3: s, 4: t}, env={'LISTEN_FDS': '2'}) as w:
        one_line('--fd 2: past the list', w, 1, '--fd 2', 'descriptor 2',
                 'LISTEN_FDS=2')
    # rules 2 and 3 for a descriptor of the list
    b = listener(backlog=None)
    with Sws('--fd', 0, fds={3: b}, env={'LISTEN_FDS': '1'}) as w:
        w.find(' on ')
        serves('--fd 0: LISTEN_FDS with a bound socket', w, b)
    c, a = connection()
    with Sws('--fd', 0, fds={3: a}, env={'LISTEN_FDS': '1'}, pid='ours') as w:
        a.close()
        c.sendall(request())
        data, how = read_all(c)
        check('--fd 0: LISTEN_FDS with a connection', how == 'eof' and data and
              not flaw(data), (data, how))
        c.close()
        equal('--fd 0: LISTEN_FDS with a connection: exit', w.rc(), 0)


def fd_first():
    s, t = listener(), listener()
    holes = {'LISTEN_FDS': '4', 'LISTEN_FDS_FIRST_FD': '10'}
    with Sws(fds={10: s, 13: t}, env=holes) as w:
        serves('LISTEN_FDS_FIRST_FD with holes', w, s, t)
        check('LISTEN_FDS_FIRST_FD: URL lines', w.find(r'\(descriptor 10') and
              w.find(r'\(descriptor 13') and
              len(re.findall(' on http', w.text())) == 2, w.text())
    with Sws('--fd', 0, fds={10: s, 13: t}, env=holes) as w:
        serves('--fd 0: LISTEN_FDS_FIRST_FD', w, s)
        equal('--fd 0: only that one', silent(t), '')
    with Sws('--fd', 3, fds={10: s, 13: t}, env=holes) as w:
        serves('--fd 3: LISTEN_FDS_FIRST_FD behind the holes', w, t)
    with Sws('--fd', 1, fds={10: s, 13: t}, env=holes) as w:
        one_line('--fd 1: a hole', w, 1, '--fd 1', 'descriptor 1 ',
                 'descriptor 11')
    with Sws(fds={0: s}, env={'LISTEN_FDS': '1',
                              'LISTEN_FDS_FIRST_FD': '0'}) as w:
        serves('LISTEN_FDS_FIRST_FD=0', w, s)


def fd_names():
    s, t, u = listener(), listener(), listener()
    env = {'LISTEN_FDS': '3', 'LISTEN_FDNAMES': 'web:admin:web'}
    three = {3: s, 4: t, 5: u}
    with Sws('--fd', 'admin', fds=three, env=env, pid='ours') as w:
        serves('--fd NAME', w, t)
        equal('--fd NAME: no other', silent(s) + silent(u), '')
    with Sws('--fd', 'web', fds=three, env=env) as w:
        serves('--fd NAME: two of that name', w, s, u)
    with Sws('--fd', 'sws.socket', fds={3: s},
             env={'LISTEN_FDS': '1', 'LISTEN_FDNAMES': 'sws.socket'}) as w:
        serves('--fd NAME: with a dot', w, s)
    with Sws('--fd', 'none', fds=three, env=env) as w:
        one_line('--fd NAME: unknown', w, 1, '--fd none', 'LISTEN_FDNAMES')
    with Sws('--fd', 'web', fds=three) as w:
        one_line('--fd NAME: without LISTEN_FDS', w, 1, '--fd web',
                 'LISTEN_FDS')
    with Sws('--fd', 'web', fds=three, env=dict(env, LISTEN_PID='1')) as w:
        one_line('--fd NAME: LISTEN_PID of another', w, 1, '--fd web',
                 'LISTEN_PID=1')


def fd_lists():
    s, t, u = listener(), listener(), listener()
    three = {3: s, 4: t, 5: u}
    with Sws(fds=three, env={'SERVER_LISTEN_FD': '3,5'}) as w:
        serves('SERVER_LISTEN_FD=3,5', w, s, u)
        equal('SERVER_LISTEN_FD=3,5: not 4', silent(t), '')
    with Sws('--fd', 3, '--fd=4', '-f', 5, fds=three) as w:
        serves('--fd three times', w, s, t, u)
        equal('--fd three times: three URL lines',
              len(re.findall(' on http', w.text())), 3)
    with Sws('--fd', 4, fds=three, env={'SERVER_LISTEN_FD': '3'}) as w:
        serves('--fd is stronger than SERVER_LISTEN_FD', w, t)
        equal('--fd replaces SERVER_LISTEN_FD', silent(s), '')
    with Sws('--fd', 3, '--fd', 3, fds={3: s}) as w:
        serves('--fd 3 twice', w, s)
        equal('--fd 3 twice: one URL line',
              len(re.findall(' on http', w.text())), 1)
    with Sws('--fd', 1, '--fd', 'a', fds=three,
             env={'LISTEN_FDS': '3', 'LISTEN_FDNAMES': 'a:b:c'}) as w:
        serves('--fd by index and by name', w, s, t)


def fd_refused():
    m, tty = pty.openpty()
    r, wr = os.pipe()
    d = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    d.bind(('127.0.0.1', 0))
    f = open(ROOT + '/z.txt', 'rb')
    folder = os.open(ROOT, os.O_RDONLY)
    for what, fd, word in (
            ('a terminal', tty, 'terminal'), ('a file', f, 'file'),
            ('a pipe', r, 'pipe'), ('closed', None, 'not open|closed'),
            ('a datagram socket', d, 'datagram'), ('a folder', folder,
                                                   'directory|folder'),
            ('/dev/null', _low[0], 'device|null')):
        if fd is None and VALGRIND:
            skip('--fd 0: descriptor 0 is closed', 'valgrind opens it')
            skip('SERVER_LISTEN_FD=0: wrong pid, descriptor 0 is closed',
                 'valgrind opens it')
            continue
        with Sws('--fd', 0, fds={0: fd}) as w:
            one_line('--fd 0: descriptor 0 is ' + what, w, 1,
                     '^sws: --fd 0: descriptor 0 is ', word,
                     'LISTEN_FDS is not set')
        with Sws(fds={0: fd}, env={'SERVER_LISTEN_FD': '0',
                                   'LISTEN_FDS': '1', 'LISTEN_PID': '1'}) as w:
            one_line('SERVER_LISTEN_FD=0: wrong pid, descriptor 0 is ' + what,
                     w, 1, 'descriptor 0 is ', word, 'LISTEN_PID=1 ',
                     r'\b%d\b' % w.p.pid)
    with Sws('--fd', 20) as w:
        one_line('--fd 20: closed', w, 1, '--fd 20', 'descriptor 20',
                 'not open|closed', 'LISTEN_FDS')
    with Sws('--fd', '99999999999999999999') as w:
        one_line('--fd of twenty digits', w, 1, '99999999999999999999')
    for fd in m, tty, r, wr, folder:
        os.close(fd)
    f.close()


def fd_exclusive():
    s = listener()
    path = os.path.join(tmpdir('u'), 's')
    for opt, value in (('host', '127.0.0.1'), ('port', '0'),
                       ('unix-socket', path)):
        var = 'SERVER_' + opt.upper().replace('-', '_')
        with Sws('--fd', 3, '--' + opt, value, fds={3: s}) as w:
            one_line('--fd with --' + opt, w, 2, '--fd', '--' + opt)
        with Sws('--' + opt, value, fds={3: s},
                 env={'SERVER_LISTEN_FD': '3'}) as w:
            one_line('SERVER_LISTEN_FD with --' + opt, w, 2,
                     '--fd|SERVER_LISTEN_FD', '--' + opt)
        with Sws('--fd', 3, fds={3: s}, env={var: value}) as w:
            one_line('--fd with ' + var, w, 2, '--fd', '--%s|%s' % (opt, var))
        with Sws('--fd', 3, fds={3: s}, env={var: ''}) as w:
            serves('--fd with empty ' + var, w, s)
    check('--fd with --unix-socket made no file', not os.path.exists(path))


# ---- what happens to passed descriptors --------------------------------------

def sockets_of(pid):
    """inode -> descriptors of the process that are this socket"""
    out = {}
    for n in os.listdir('/proc/%d/fd' % pid):
        try:
            link = os.readlink('/proc/%d/fd/%s' % (pid, n))
        except OSError:
            continue
        if link.startswith('socket:'):
            out.setdefault(int(link[8:-1]), []).append(int(n))
    return out


def fd_flags(pid, n):
    with open('/proc/%d/fdinfo/%d' % (pid, n)) as f:
        return int(re.search(r'flags:\s*(\d+)', f.read()).group(1), 8)


def environment(pid):
    """The variables that a process would hand on now: its pointers, not
    /proc/PID/environ, which keeps what has been unset.  None if not found."""
    with open('/proc/%d/stat' % pid) as f:
        field = f.read().rpartition(')')[2].split()
    arg_start, env_start, env_end = (int(field[i - 3]) for i in (48, 50, 51))
    with open('/proc/%d/mem' % pid, 'rb', 0) as mem:
        size = struct.calcsize('P')
        mem.seek(arg_start & -size)
        at = arg_start & -size
        for _ in range(1 << 16):                # downwards to argv[0]
            at -= size
            mem.seek(at)
            if struct.unpack('P', mem.read(size))[0] == arg_start:
                break
        else:
            return None
        out, nulls = [], 0
        while nulls < 2 and len(out) < 10000:   # argv, NULL, envp, NULL
            mem.seek(at)
            p = struct.unpack('P', mem.read(size))[0]
            at += size
            if p == 0:
                nulls += 1
            elif nulls == 1:
                if not env_start <= p < env_end:
                    return None
                mem.seek(p)
                out.append(mem.read(env_end - p).split(b'\0')[0].decode())
    return out


def hygiene():
    s, t = listener(), listener()
    s.setblocking(True)
    env = {'LISTEN_FDS': '2', 'LISTEN_FDNAMES': 'a:b',
           'LISTEN_FDS_FIRST_FD': '3', 'SWS_TEST_MARK': '1'}
    with Sws('--log-level', 'debug', fds={3: s, 4: t}, env=env,
             pid='ours') as w:
        w.find('descriptor 4')
        serves('two passed sockets', w, s, t)
        for n in 3, 4:
            flags = fd_flags(w.p.pid, n)
            check('descriptor %d: CLOEXEC' % n, flags & 0o2000000, oct(flags))
            check('descriptor %d: O_NONBLOCK' % n, flags & os.O_NONBLOCK,
                  oct(flags))
        with dial(s) as c:
            c.sendall(request('/', False))
            read_all(c, 5, lambda d: b'hello' in d)
            open_fds = [int(n) for n in os.listdir('/proc/%d/fd' % w.p.pid)]
            bad = []
            for n in open_fds:
                try:
                    if n > 2 and not fd_flags(w.p.pid, n) & 0o2000000:
                        bad.append(n)
                except OSError:
                    pass
            if VALGRIND:
                skip('every descriptor above 2 is close-on-exec',
                     'one of them is valgrind\'s')
            else:
                equal('every descriptor above 2 is close-on-exec', bad, [])
        now = environment(w.p.pid)
        if VALGRIND:
            skip('variables are unset', 'the process works on valgrind\'s copy')
        elif now is None or 'SWS_TEST_MARK=1' not in now:
            skip('variables are unset', 'the environment cannot be found in '
                 'the memory of this process')
        else:
            equal('variables are unset',
                  [v for v in now if v.startswith('LISTEN_')], [])

    def duplicates(name, sock, fds, *args, env={}):
        with Sws(*args, fds=fds, env=env) as w:
            serves(name, w, sock)
            inode = os.fstat(sock.fileno()).st_ino
            got = sockets_of(w.p.pid).get(inode, [])
            check(name + ': duplicates closed', len(got) == 1, got)
            equal(name + ': one URL line',
                  len(re.findall(' on http', w.text())),
                  0 if 2 in fds else 1)
            equal(name + ': TERM', w.stop(), 0)
    duplicates('a socket on 0 and 3, --fd 0', s, {0: s, 3: s}, '--fd', 0,
               env={'LISTEN_FDS': '1'})
    duplicates('a socket on 0, 1 and 3', s, {0: s, 1: s, 3: s},
               env={'LISTEN_FDS': '1'})
    duplicates('a socket on 3, 4 and 5', s, {3: s, 4: s, 5: s},
               env={'LISTEN_FDS': '3'})
    duplicates('a socket on 0, 1 and 2', s, {0: s, 1: s, 2: s}, '--fd', 0)
    duplicates('a socket on 0, 1, 2, no --fd', s, {0: s, 1: s, 2: s})


def datagram():
    d = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    d.bind(('127.0.0.1', 0))
    s = listener()
    with Sws(fds={3: d, 4: s}, env={'LISTEN_FDS': '2'}) as w:
        serves('a datagram socket among the passed ones', w, s)
        warned = [x for x in w.lines() if 'datagram' in x]
        check('the datagram socket: a warning', len(warned) == 1 and
              'descriptor 3' in warned[0], w.text())
    with Sws(fds={3: d}, env={'LISTEN_FDS': '1'}) as w:
        equal('only a datagram socket passed: exit', w.rc(), 1)
        check('only a datagram socket passed: said', 'LISTEN_FDS' in w.text()
              and all(x.startswith('sws: ') for x in w.lines()), w.text())
    q = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    q.bind(os.path.join(tmpdir('u'), 'd'))
    with Sws(fds={3: s, 4: q}, env={'LISTEN_FDS': '2'}) as w:
        serves('a unix datagram socket among the passed ones', w, s)


def backlog():
    def limit(s):       # tcpi_sacked of a listener is its backlog
        return struct.unpack_from('I', s.getsockopt(
            socket.IPPROTO_TCP, socket.TCP_INFO, 104), 28)[0]
    with open('/proc/sys/net/core/somaxconn') as f:
        most = int(f.read())
    for n in 1, 5:
        s = listener(backlog=n)
        with Sws('--fd', 3, fds={3: s}) as w:
            serves('backlog %d' % n, w, s)
            check('backlog %d is raised' % n, limit(s) >= min(most, 128),
                  limit(s))
    s = listener(backlog=500)
    with Sws('--fd', 3, fds={3: s}) as w:
        serves('backlog 500', w, s)
        check('backlog 500 is not lowered', limit(s) >= min(most, 500),
              limit(s))
    path = os.path.join(tmpdir('u'), 's')
    s = listener(socket.AF_UNIX, 1, path)
    with Sws('--fd', 3, fds={3: s}) as w:
        serves('unix backlog 1', w, path)
        o = subprocess.run(['ss', '-xlnH', 'src', path], text=True,
                           stdout=subprocess.PIPE).stdout.split()
        check('unix backlog 1 is raised', len(o) > 3 and
              int(o[3]) >= min(most, 128), o)


def not_ours():
    """A passed listener works on when we are gone."""
    path = os.path.join(tmpdir('u'), 's')
    for name, s in (('unix', listener(socket.AF_UNIX, path=path)),
                    ('TCP', listener())):
        with Sws('--fd', 3, fds={3: s}) as w:
            serves('passed %s socket' % name, w, s)
            equal('passed %s socket: TERM' % name, w.stop(), 0)
        if name == 'unix':
            check('passed unix socket: not unlinked', os.path.exists(path))
        try:
            with dial(s) as c:
                c.sendall(b'hello')
                s.settimeout(3 * SLOW)
                a, _ = s.accept()
                a.settimeout(3 * SLOW)
                got = a.recv(5)
        except OSError as e:
            got = e
        equal('passed %s socket: still accepts' % name, got, b'hello')
    # a failing start leaves it alone too
    s = listener(socket.AF_UNIX, path=os.path.join(tmpdir('u'), 's'))
    with Sws('--fd', 3, '--log-file', WORK + '/none/log', fds={3: s}) as w:
        equal('passed socket, failed start: exit', w.rc(), 1)
    try:
        dial(s).close()
        good = ''
    except OSError as e:
        good = e
    check('passed socket, failed start: still accepts', good == '', good)


# ---- no --fd -----------------------------------------------------------------

def passed_together():
    a, b = listener(), listener(socket.AF_INET6)
    path = os.path.join(tmpdir('u'), 's')
    c = listener(socket.AF_UNIX, path=path)
    with Sws(fds={3: a, 4: b, 5: c}, env={'LISTEN_FDS': '3'}, pid='ours') as w:
        serves('v4, v6 and unix passed together', w, a, b, path)
        got = re.findall(r'^sws: serving \S+ on (.*)$', w.text(), re.M)
        equal('v4, v6 and unix: URL lines', got, [
            'http://127.0.0.1:%d/ (descriptor 3, systemd)' %
            a.getsockname()[1],
            'http://[::1]:%d/ (descriptor 4, systemd)' % b.getsockname()[1],
            'unix:%s (descriptor 5, systemd)' % path])
    s = listener()
    with Sws(fds={0: s}) as w:
        serves('descriptor 0 listens, no flag', w, s)
        check('descriptor 0 listens: URL line', w.find(
            r'http://127\.0\.0\.1:%d/ \(descriptor 0' % s.getsockname()[1]),
            w.text())
    with Sws(fds={0: s, 1: s, 2: s}) as w:
        serves('descriptors 0-2 listen, no flag', w, s)
    with Sws(fds={0: c}) as w:
        serves('descriptor 0 listens on a unix socket, no flag', w, path)
    # an address that was asked for comes before both
    with Sws('--port', 0, '--host', '127.0.0.1', fds={0: s, 3: a},
             env={'LISTEN_FDS': '1'}) as w:
        serves('an address that was asked for', w, w.port())
        equal('an address that was asked for: not the passed ones',
              silent(s) + silent(a), '')
    # invalid LISTEN_FDS: descriptor 0
    with Sws(fds={0: s, 3: a},
             env={'LISTEN_FDS': '1', 'LISTEN_PID': '1'}) as w:
        serves('LISTEN_FDS of another, descriptor 0 listens', w, s)
        equal('LISTEN_FDS of another: not served', silent(a), '')


NETNS = None


def netns():
    """A prefix that gives a network of one's own, so that port 8080 is free
    and nobody hears; () where that cannot be had."""
    global NETNS
    if NETNS is None:
        NETNS = ()
        for w in (['unshare', '-n'], ['unshare', '-rn']):
            if subprocess.run(w + ['true'], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode == 0:
                NETNS = tuple(w)
                break
    return NETNS


def bound(w, table, port):
    with open('/proc/%d/net/%s' % (w.p.pid, table)) as f:
        m = re.search(r'\d+: ([0-9A-F]+):%04X [0-9A-F:]+ 0A' % port, f.read())
    return m and int(m.group(1), 16) == 0


def default_bind():
    wrap = netns()
    if not wrap:
        skip('default bind', 'no network namespaces')
        return
    with Sws(wrap=wrap) as w:
        check('default: 8080 on ::', w.find(':8080/') and
              bound(w, 'tcp6', 8080) and not bound(w, 'tcp', 8080), w.text())
        check('default: URL line', re.fullmatch(
            r'sws: serving %s on http://(localhost|\[::\]):8080/\n' %
            lit(ROOT), w.text()), w.text())
    nr = {'x86_64': 41, 'aarch64': 198, 'riscv64': 198}.get(
        platform.machine())
    if nr is None:
        skip('no IPv6', 'number of socket(2) not known here')
    else:
        with Sws(wrap=wrap, pre=lambda: forbid(nr, socket.AF_INET6)) as w:
            check('no IPv6: falls back to 0.0.0.0:8080', w.find(':8080/') and
                  bound(w, 'tcp', 8080), w.text())
            check('no IPv6: one line, the URL', len(w.lines()) == 1, w.text())
        with Sws('--host', '::', '--port', 0, wrap=wrap,
                 pre=lambda: forbid(nr, socket.AF_INET6)) as w:
            one_line('no IPv6 and --host :: asked for', w, 1, '::')
    # a connection is not a listener: bind, and leave it alone
    for name, fds in (('0', (0,)), ('0, 1 and 2', (0, 1, 2))):
        c, a = connection()
        c.sendall(request())
        with Sws(wrap=wrap, fds={n: a for n in fds}) as w:
            a.close()
            data, how = read_all(c, 0.4)
            check('connected descriptor %s, no flag: not served' % name,
                  data == b'' and how == 'timeout' and w.p.poll() is None,
                  (data, how, w.p.poll()))
            check('connected descriptor %s, no flag: binds' % name,
                  bound(w, 'tcp6', 8080), w.text())
        c.close()
    c, a = socket.socketpair()
    c.sendall(request())
    with Sws(wrap=wrap, fds={0: a}) as w:
        a.close()
        data, how = read_all(c, 0.4)
        check('connected unix descriptor 0, no flag: not served',
              data == b'' and how == 'timeout' and w.p.poll() is None,
              (data, how))


def forbid(number, first_argument):
    """For this process, system call `number` with that first argument gives
    EAFNOSUPPORT."""
    code = [(0x20, 0, 0, 0), (0x15, 0, 3, number), (0x20, 0, 0, 16),
            (0x15, 0, 1, first_argument), (0x06, 0, 0, 0x00050000 | 97),
            (0x06, 0, 0, 0x7fff0000)]
    raw = b''.join(struct.pack('HBBI', *c) for c in code)
    buf = ctypes.create_string_buffer(raw, len(raw))
    prog = struct.pack('HxxxxxxP', len(code), ctypes.addressof(buf))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(38, 1, 0, 0, 0)                  # PR_SET_NO_NEW_PRIVS
    if libc.prctl(22, 2, ctypes.c_char_p(prog), 0, 0):  # PR_SET_SECCOMP
        os._exit(99)


def hosts():
    for host, url in (('127.0.0.1', '127.0.0.1'), ('::1', '[::1]'),
                      ('[::1]', '[::1]'), ('localhost', None)):
        with Sws('--host', host, '--port', 0) as w:
            port = w.port()
            urls = re.findall(r' on http://(\S+):(\d+)/$', w.text(), re.M)
            check('--host %s: URL' % host, urls and
                  (url is None or urls == [(url, str(port))]), w.text())
            serves('--host ' + host, w,
                   *[(u.strip('[]'), int(p)) for u, p in urls])
            equal('--host %s: one port' % host, len({p for _, p in urls}), 1)
    with Sws('--port', 0, '-a', '::') as w:
        port = w.port()
        serves('--host :: takes both', w, port, ('::1', port))
    with Sws('-p', 0, '-a', '0.0.0.0') as w:
        port = w.port()
        serves('--host 0.0.0.0', w, port)
        with open('/proc/net/tcp6') as f:
            check('--host 0.0.0.0: no IPv6', ':%04X 0000' % port
                  not in f.read())
    with Sws('--port', 0) as w:
        port = w.port()
        serves('--port 0 alone: any port on all', w, port, ('::1', port))
    with Sws('--host', 'no-such-host.invalid', '--port', 0) as w:
        one_line('--host unknown', w, 1, r'no-such-host\.invalid')
    with Sws('--host', '203.0.113.1', '--port', 0) as w:
        one_line('--host of another machine', w, 1, r'203\.0\.113\.1')
    s = listener()
    port = s.getsockname()[1]
    with Sws('--host', '127.0.0.1', '--port', port) as w:
        one_line('--port in use', w, 1, str(port))
    s.close()
    with Sws('--host', '127.0.0.1', '--port', port) as w:
        equal('--port 8123-like: exactly that one', w.port(), port)
        check('URL line', w.text() == 'sws: serving %s on '
              'http://127.0.0.1:%d/\n' % (ROOT, port), w.text())
        serves('--port N', w, port)
        c = dial(port)                          # leaves TIME_WAIT behind
        c.sendall(request())
        read_all(c)
        w.stop()
    with Sws('--host', '127.0.0.1', '--port', port) as w:
        serves('the same port again at once', w, w.port())


def unix_socket():
    d = tmpdir('u')
    path = d + '/s'

    def mode():
        return stat.S_IMODE(os.lstat(path).st_mode)
    with Sws('--unix-socket', path) as w:
        m = w.find(r'^sws: serving \S+ on unix:(\S+)$')
        check('--unix-socket: URL line', m and m.group(1) == path, w.text())
        serves('--unix-socket', w, path)
        equal('--unix-socket: no TCP', len(w.lines()[:1]) and
              len(re.findall('^sws: serving', w.text(), re.M)), 1)
        equal('--unix-socket: TERM', w.stop(), 0)
    check('--unix-socket: unlinked at exit', not os.path.exists(path))
    for given, umask in (('600', 0o022), ('0660', 0o077), ('666', 0o077)):
        with Sws('--unix-socket', path, '--unix-socket-mode', given,
                 pre=lambda: os.umask(umask)) as w:
            w.find(' on ')
            equal('--unix-socket-mode %s, umask %o' % (given, umask),
                  oct(mode()), oct(int(given, 8)))
            w.stop()
    with Sws(env={'SERVER_UNIX_SOCKET': path,
                  'SERVER_UNIX_SOCKET_MODE': '640'}) as w:
        w.find(' on ')
        serves('SERVER_UNIX_SOCKET', w, path)
        equal('SERVER_UNIX_SOCKET_MODE', oct(mode()), '0o640')
        # somebody puts another file there: it is not ours to remove
        os.rename(path, path + '.old')
        put(path, b'mine')
        w.stop()
        check('--unix-socket: replaced file stays', os.path.exists(path))
        os.unlink(path)
        os.unlink(path + '.old')
    # stale, with and without force
    listener(socket.AF_UNIX, path=path).close()
    with Sws('--unix-socket', path) as w:
        one_line('--unix-socket: exists', w, 1, lit(path))
        check('--unix-socket: exists, left alone', os.path.exists(path))
    for args, env in ((['--unix-socket-force'], {}),
                      ([], {'SERVER_UNIX_SOCKET_FORCE': 'true'})):
        if not os.path.exists(path):
            listener(socket.AF_UNIX, path=path).close()
        with Sws('--unix-socket', path, *args, env=env) as w:
            w.find(' on ')
            serves('--unix-socket-force: stale socket, %s' %
                   (args or 'variable'), w, path)
            w.stop()
    live = listener(socket.AF_UNIX, path=path)
    with Sws('--unix-socket', path, '--unix-socket-force') as w:
        one_line('--unix-socket-force: somebody listens', w, 1, lit(path))
    try:
        dial(path).close()
        why = ''
    except OSError as e:
        why = e
    check('--unix-socket-force: a live socket stays', why == '', why)
    live.close()
    os.unlink(path)
    put(path, b'precious')
    for args in [], ['--unix-socket-force']:
        with Sws('--unix-socket', path, *args) as w:
            one_line('--unix-socket: a file is there, %s' % (args or 'plain'),
                     w, 1, lit(path))
        with open(path, 'rb') as f:
            equal('--unix-socket: the file stays, %s' % (args or 'plain'),
                  f.read(), b'precious')
    os.unlink(path)
    os.mkdir(path)
    with Sws('--unix-socket', path, '--unix-socket-force') as w:
        one_line('--unix-socket-force: a folder', w, 1, lit(path))
    os.rmdir(path)
    listener(socket.AF_UNIX, path=path + '2').close()
    os.symlink(path + '2', path)
    with Sws('--unix-socket', path, '--unix-socket-force') as w:
        one_line('--unix-socket-force: a link', w, 1, lit(path))
        check('--unix-socket-force: the link and its target stay',
              os.path.islink(path) and os.path.exists(path + '2'))
    os.unlink(path)
    with Sws('--unix-socket', d + '/' + 'x' * 200) as w:
        one_line('--unix-socket: too long', w, 1, 'x' * 200)
    with Sws('--unix-socket', d + '/none/s') as w:
        one_line('--unix-socket: no such folder', w, 1, lit(d + '/none/s'))
    with Sws('--unix-socket', path, '--host', '127.0.0.1', '--port', 0) as w:
        serves('--unix-socket and --port', w, path, w.port())
        w.stop()
        check('--unix-socket and --port: unlinked', not os.path.exists(path))
    with Sws('--unix-socket', 's', cwd=d) as w:
        w.find(' on ')
        serves('--unix-socket: relative', w, path)
        w.stop()
        check('--unix-socket: relative, unlinked', not os.path.exists(path))


# ---- manners -----------------------------------------------------------------

BAD_STARTS = [
    ('unknown option', ['--no-such-option'], {}),
    ('bad value', ['--idle-exit', 'x'], {}),
    ('bad variable', [], {'SERVER_IDLE_EXIT': 'x'}),
    ('two folders', ['a', 'b'], {}),
    ('--fd and --port', ['--port', '0'], {}),
    ('no such folder', ['--root', '/no/such/folder'], {}),
    ('no such log', ['--log-file', '/no/such/folder/log'], {}),
    ('debug', ['--log-level', 'debug'], {}),
    ('trace', ['--log-level', 'trace'], {}),
    ('--help', ['--help'], {}),
    ('--version', ['--version'], {}),
]
ENDS = {'no such folder': 1, 'no such log': 1, '--help': 0, '--version': 0}


def only_http():
    """With the socket on 0-2, clients see nothing but HTTP."""
    for what, args, env in BAD_STARTS:
        root = None if '--root' in args else ROOT
        serving = what in ('debug', 'trace')
        code = ENDS.get(what, 2)
        for name, pair in (('TCP', connection), ('unix', socket.socketpair)):
            c, a = pair()
            with Sws('--fd', 0, *args, env=env, root=root,
                     fds={0: a, 1: a, 2: a}) as w:
                a.close()
                if serving:
                    c.sendall(request('/', False) + request('/none'))
                data, how = read_all(c, 8)
                r, _ = parse_responses(data)
                if serving:
                    good = len(r) == 2 and not flaw(data)
                else:
                    good = data == b''
                check('%s connection on 0-2, %s: nothing but HTTP' %
                      (name, what), good, (data[:300], how))
                c.close()
                equal('%s connection on 0-2, %s: exit' % (name, what), w.rc(),
                      0 if serving else code)
            s = listener(socket.AF_UNIX if name == 'unix' else socket.AF_INET)
            c = dial(s)
            with Sws('--fd', 0, *args, env=env, root=root,
                     fds={0: s, 1: s, 2: s}) as w:
                if serving:
                    c.sendall(request('/', False) + request('/none'))
                    data, how = read_all(c, 8)
                    check('%s listener on 0-2, %s: nothing but HTTP' %
                          (name, what), not flaw(data) and
                          len(parse_responses(data)[0]) == 2, data[:300])
                else:
                    equal('%s listener on 0-2, %s: exit' % (name, what),
                          w.rc(), code)
                    s.settimeout(2)
                    a, _ = s.accept()
                    a.close()
                    data, how = read_all(c, 8)
                    equal('%s listener on 0-2, %s: no byte' % (name, what),
                          data, b'')
            c.close()
            s.close()
    # connection on 3, and on 2 as well
    c, a = connection()
    with Sws('--fd', 3, '--log-level', 'debug', fds={1: a, 2: a, 3: a}) as w:
        a.close()
        c.sendall(request())
        data, how = read_all(c)
        check('connection on 1, 2 and 3: nothing but HTTP', not flaw(data) and
              len(parse_responses(data)[0]) == 1, data[:300])
        c.close()
        equal('connection on 1, 2 and 3: exit', w.rc(), 0)
    # UCSPI: 0 and 1, messages go to 2
    c, a = connection()
    with Sws('--fd', 0, '--no-such-option', fds={0: a, 1: a}) as w:
        a.close()
        data, how = read_all(c)
        equal('connection on 0 and 1, usage error: no byte', data, b'')
        one_line('connection on 0 and 1, usage error: said on 2', w, 2,
                 'no-such-option')
    c.close()
    # the log can still be had
    log = tmpdir('log') + '/access'
    c, a = connection()
    with Sws('--fd', 0, '--log-file', log, fds={0: a, 1: a, 2: a}) as w:
        a.close()
        c.sendall(request())
        data, how = read_all(c)
        c.close()
        equal('connection on 0-2, --log-file: exit', w.rc(), 0)
        check('connection on 0-2, --log-file: a line, nothing but HTTP',
              not flaw(data) and os.path.exists(log) and
              '"GET / HTTP/1.1" 200' in w.text(log), data)
    # standard error that nobody reads any more
    r, wr = os.pipe()
    os.close(r)
    s = listener()
    with Sws('--fd', 3, '--log-level', 'debug', fds={1: wr, 2: wr,
                                                     3: s}) as w:
        os.close(wr)
        serves('standard error is a broken pipe: serves', w, s, s, s)
        check('standard error is a broken pipe: lives', w.p.poll() is None)
    s = listener()
    with Sws('--fd', 3, fds={0: None, 1: None, 2: None, 3: s}) as w:
        serves('0, 1 and 2 closed: serves', w, s, s)


def idle_exit():
    def plain():
        s = listener()
        start = time.time()
        with Sws('--fd', 3, '--idle-exit', 1, fds={3: s}) as w:
            rc, took = w.rc(), time.time() - start
            check('--idle-exit: exits', rc == 0 and 0.9 < took < 2.5 * SLOW,
                  (rc, took))
        with dial(s) as c:                       # waits in the queue
            c.sendall(request())
            with Sws('--fd', 3, '--idle-exit', 1, fds={3: s}) as w:
                data, how = read_all(c)
                check('--idle-exit: the queue is served', how == 'eof' and
                      data and not flaw(data), (data, how))

    def busy():
        s = listener()
        with Sws('--fd', 0, '--idle-exit', 1, fds={0: s, 1: s, 2: s}) as w:
            c = dial(s)
            c.sendall(request('/', False))
            read_all(c, 5, lambda d: b'hello' in d)
            time.sleep(2.2)
            check('--idle-exit: not while somebody is connected',
                  w.p.poll() is None, w.p.poll())
            c.sendall(request())
            data, how = read_all(c)
            check('--idle-exit: that one is still served', how == 'eof' and
                  b'hello' in data, (data, how))
            c.close()
            start = time.time()
            rc, took = w.rc(), time.time() - start
            check('--idle-exit: counts from the last connection', rc == 0 and
                  0.7 < took < 2.5 * SLOW, (rc, took))

    def variable():
        with Sws('-p', 0, '-a', '127.0.0.1',
                 env={'SERVER_IDLE_EXIT': '1'}) as w:
            equal('SERVER_IDLE_EXIT=1', w.rc(4), 0)

    def never():
        path = os.path.join(tmpdir('u'), 's')
        with Sws('--unix-socket', path, '--idle-exit', 0) as v, \
                Sws('--unix-socket', path + '2', '--idle-exit', 1) as w:
            w.find(' on ')
            equal('--idle-exit with our own unix socket', w.rc(4), 0)
            check('--idle-exit: own unix socket unlinked',
                  not os.path.exists(path + '2'))
            time.sleep(0.5)
            check('--idle-exit 0: never', v.p.poll() is None)
    together([plain, busy, variable, never])


def notify():
    def gather(n, until, timeout=3):
        got, end = '', time.time() + timeout * SLOW
        while not re.search(until, got, re.M) and time.time() < end:
            n.settimeout(max(0.01, end - time.time()))
            try:
                got += n.recv(4096).decode() + '\n'
            except OSError:
                break
        return got

    def protocol(name, address, variable):
        n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        n.bind(address)
        s = listener()
        with Sws('--fd', 0, fds={3: s}, pid='ours',
                 env={'NOTIFY_SOCKET': variable, 'LISTEN_FDS': '1',
                      'WATCHDOG_USEC': '400000'}) as w:
            got = gather(n, '^READY=1$')
            check(name + ': READY=1', re.search('^READY=1$', got, re.M), got)
            check(name + ': STATUS=', re.search('^STATUS=.+$',
                  got + gather(n, '^STATUS=', 0.3), re.M), got)
            serves(name + ': ready means serving', w, s)
            got = gather(n, '(WATCHDOG=1[^$]*){4}', 1.5)
            check(name + ': WATCHDOG=1 every half interval',
                  len(re.findall('^WATCHDOG=1$', got, re.M)) >= 4, got)
            w.p.send_signal(signal.SIGHUP)
            got = gather(n, '^READY=1$')
            check(name + ': RELOADING=1, MONOTONIC_USEC, READY=1',
                  re.search(r'^RELOADING=1\n(.*\n)*MONOTONIC_USEC=\d+\n'
                            r'(.*\n)*READY=1$', got, re.M), got)
            us = re.search(r'MONOTONIC_USEC=(\d+)', got)
            check(name + ': MONOTONIC_USEC is now', us and abs(
                int(us.group(1)) / 1e6 - time.monotonic()) < 5 * SLOW, got)
            w.p.send_signal(signal.SIGTERM)
            got = gather(n, '^STOPPING=1$')
            check(name + ': STOPPING=1', re.search('^STOPPING=1$', got, re.M),
                  got)
            equal(name + ': exit', w.rc(), 0)
        n.close()

    def path():
        p = os.path.join(tmpdir('n'), 'notify')
        protocol('NOTIFY_SOCKET path', p, p)

    def abstract():
        name = 'sws-test-%d' % os.getpid()
        protocol('NOTIFY_SOCKET abstract', '\0' + name, '@' + name)

    def other_watchdog():
        p = os.path.join(tmpdir('n'), 'notify')
        n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        n.bind(p)
        s = listener()
        with Sws('--fd', 3, fds={3: s}, env={
                'NOTIFY_SOCKET': p, 'WATCHDOG_USEC': '200000',
                'WATCHDOG_PID': '1'}):
            got = gather(n, 'WATCHDOG=1', 0.8)
            check('WATCHDOG_PID of another: no WATCHDOG=1',
                  'READY=1' in got and 'WATCHDOG' not in got, got)

    def unreachable():
        s = listener()
        for v in '/no/such/socket', 'nonsense', '@' + 'x' * 200, '':
            with Sws('--fd', 3, fds={3: s}, env={'NOTIFY_SOCKET': v}) as w:
                serves('NOTIFY_SOCKET=%.20s: serves all the same' % v, w, s)

    def ready_fd():
        for args, env in ((['--ready-fd', 5], {}),
                          ([], {'SERVER_READY_FD': '5'})):
            r, wr = os.pipe()
            s = listener()
            with Sws('--fd', 3, *args, env=env, fds={3: s, 5: wr}) as w:
                os.close(wr)
                got = b''
                while select.select([r], [], [], 5 * SLOW)[0]:
                    part = os.read(r, 10)
                    if not part:
                        break
                    got += part
                equal('--ready-fd: a newline, then closed, %s' %
                      (args or 'variable'), got, b'\n')
                serves('--ready-fd: ready means serving, %s' %
                       (args or 'variable'), w, s)
            os.close(r)
    together([path, abstract, other_watchdog, unreachable, ready_fd])


# ---- signals -----------------------------------------------------------------

def slow_client(to):
    """A connection with a download of 12 MiB that has begun and then stops
    being read."""
    c = dial(to, 10, 8192)
    c.sendall(request('/big.bin', False))
    first = c.recv(1000)
    return c, first


def drain():
    def one(name):
        sig = getattr(signal, 'SIG' + name)
        s = listener()
        with Sws('--fd', 3, fds={3: s}) as w:
            w.find(' on ')
            idle = dial(s)
            idle.sendall(request('/', False))
            read_all(idle, 5, lambda d: b'hello' in d)
            half = dial(s)
            half.sendall(request()[:20])
            c, first = slow_client(s)
            time.sleep(0.2)
            start = time.time()
            w.p.send_signal(sig)
            data, how = read_all(idle, 3)
            check(name + ': an idle connection is closed', (data, how) ==
                  (b'', 'eof') and time.time() - start < 1.5 * SLOW,
                  (data, how, time.time() - start))
            idle.close()
            late = dial(s)                       # queues; not ours any more
            late.sendall(request())
            half.sendall(request()[20:])
            data, how = read_all(half, 3)
            check(name + ': a request that had begun is answered', how == 'eof'
                  and data and not flaw(data), (data[:200], how))
            half.close()
            data, how = read_all(late, 0.4)
            check(name + ': stops accepting', (data, how) ==
                  (b'', 'timeout'), (data[:100], how))
            check(name + ': waits for the download', w.p.poll() is None,
                  w.p.poll())
            data, how = read_all(c, 20)
            r, _ = parse_responses(first + data)
            check(name + ': the download is finished', how == 'eof' and r and
                  r[0].body == BIG, (len(data), how))
            c.close()
            equal(name + ': exit', w.rc(), 0)
            s.settimeout(3)
            a, _ = s.accept()
            a.settimeout(3)
            equal(name + ': a late connection is left in the queue',
                  a.recv(1000), request())
            a.close()
            late.close()

    def second():
        for name in 'TERM', 'INT', 'QUIT':
            s = listener()
            with Sws('--fd', 3, fds={3: s}) as w:
                w.find(' on ')
                c, _ = slow_client(s)
                w.p.send_signal(signal.SIGTERM)
                time.sleep(0.3)
                check('%s again: the first one waited' % name,
                      w.p.poll() is None, w.p.poll())
                start = time.time()
                w.p.send_signal(getattr(signal, 'SIG' + name))
                rc = w.rc()
                check('%s again: ends at once' % name, rc != 'still runs' and
                      time.time() - start < 1 * SLOW, rc)
                c.close()

    def timeout():
        for args, env in ((['--drain-timeout', 1], {}),
                          ([], {'SERVER_DRAIN_TIMEOUT': '1'})):
            s = listener()
            with Sws('--fd', 3, *args, env=env, fds={3: s}) as w:
                w.find(' on ')
                c, _ = slow_client(s)
                start = time.time()
                w.p.send_signal(signal.SIGTERM)
                rc = w.rc()
                took = time.time() - start
                check('--drain-timeout 1, %s' % (args or 'variable'),
                      rc == 0 and 0.8 < took < 2.5 * SLOW, (rc, took))
                c.close()

    def grace():
        for args, env in ((['--grace-period', 1], {}), (['-q', 1], {}),
                          ([], {'SERVER_GRACE_PERIOD': '1'})):
            name = '--grace-period, %s' % (args or 'variable')
            s = listener()
            with Sws('--fd', 3, *args, env=env, fds={3: s}) as w:
                w.find(' on ')
                start = time.time()
                w.p.send_signal(signal.SIGTERM)
                time.sleep(0.4)
                serves(name + ': still accepts', w, s)
                rc, took = w.rc(), time.time() - start
                check(name + ': then exits', rc == 0 and
                      0.9 < took < 3 * SLOW, (rc, took))

    def own():
        for name in 'TERM', 'INT', 'QUIT':
            with Sws('--port', 0, '--host', '127.0.0.1') as w:
                port = w.port()
                served(port)
                start = time.time()
                rc = w.stop(getattr(signal, 'SIG' + name))
                check(name + ': nothing to do, exits at once', rc == 0 and
                      time.time() - start < 1 * SLOW, rc)
                check(name + ': says nothing bad', not re.search(
                    'error|warn|fail', w.text(), re.I), w.text())

    def gone():
        # nobody waits at our own door for the end of the last download
        path = tmpdir('gone') + '/s'
        for to in 0, path:
            name = 'TERM, own ' + ('unix socket' if to else 'port')
            args = ['--unix-socket', path] if to else [
                '--host', '127.0.0.1', '--port', '0']
            with Sws(*args) as w:
                to = to or w.port()
                w.find(' on ')
                c, first = slow_client(to)
                w.p.send_signal(signal.SIGTERM)
                end = time.time() + 3 * SLOW
                refused = False
                while not refused and time.time() < end:
                    try:
                        dial(to).close()
                        time.sleep(0.01)
                    except (ConnectionRefusedError, FileNotFoundError):
                        refused = True
                check(name + ': who comes later is refused', refused)
                check(name + ': and the download waited for',
                      w.p.poll() is None, w.p.poll())
                again = args[:-1] + [str(to)]
                with Sws(*again) as next_one:
                    check(name + ': it is free for the next',
                          next_one.find(' on '), next_one.text())
                    serves(name + ': which serves', next_one, to)
                    data, how = read_all(c, 20)
                    r, _ = parse_responses(first + data)
                    check(name + ': the download is finished', how == 'eof' and
                          r and r[0].body == BIG, (len(data), how))
                    c.close()
                    equal(name + ': exit', w.rc(), 0)
                    serves(name + ': the next one stays', next_one, to)

    def queued():
        # nobody else will take what our own listener has in its queue
        with Sws('--port', 0, '--host', '127.0.0.1') as w:
            port = w.port()
            w.p.send_signal(signal.SIGSTOP)
            cs = [dial(port) for _ in range(5)]
            for c in cs:
                c.sendall(request())
            w.p.send_signal(signal.SIGTERM)
            w.p.send_signal(signal.SIGCONT)
            got = [read_all(c, 5) for c in cs]
            check('TERM: who is in our own queue is still served', all(
                how == 'eof' and b'hello' in d and not flaw(d)
                for d, how in got), got)
            equal('TERM with a queue: exit', w.rc(), 0)

    def single():
        c, a = connection()
        with Sws('--fd', 0, fds={0: a, 1: a, 2: a}) as w:
            a.close()
            c.sendall(request('/', False))
            read_all(c, 5, lambda d: b'hello' in d)
            start = time.time()
            equal('TERM, one connection: exit', w.stop(), 0)
            check('TERM, one connection: at once', time.time() - start <
                  1.5 * SLOW)
            equal('TERM, one connection: closed', read_all(c, 2),
                  (b'', 'eof'))
            c.close()
    together([lambda n=n: one(n) for n in ('TERM', 'INT', 'QUIT')] +
             [second, timeout, grace, own, gone, queued, single])


def hup():
    log = tmpdir('log') + '/access'
    with Sws('-p', 0, '-a', '127.0.0.1', '--log-file', log) as w:
        port = w.port()
        fetch(port, '/?one')
        check('--log-file: a line', w.find(r'"GET /\?one HTTP/1\.1" 200', 3,
                                           log), w.text())
        check('--log-file: not on standard error', 'GET' not in w.text())
        os.rename(log, log + '.1')
        fetch(port, '/?two')
        check('before HUP: the renamed file', w.find(r'\?two', 3, log + '.1'))
        w.p.send_signal(signal.SIGHUP)
        end = time.time() + 3 * SLOW
        while not os.path.exists(log) and time.time() < end:
            time.sleep(0.01)
        check('HUP: a new log file', os.path.exists(log))
        fetch(port, '/?three')
        check('HUP: lines go to the new file', w.find(r'\?three', 3, log),
              os.listdir(os.path.dirname(log)))
        check('HUP: and not to the old', '?three' not in w.text(log + '.1'))
        # a log that cannot be opened again: the old one stays, and it is said
        os.rename(log, log + '.2')
        os.mkdir(log)
        w.p.send_signal(signal.SIGHUP)
        check('HUP: a broken log file is said', w.find('^sws: .*' + lit(log)),
              w.text())
        fetch(port, '/?four')
        check('HUP: the old log stays', w.find(r'\?four', 3, log + '.2'))
        for _ in range(20):
            w.p.send_signal(signal.SIGHUP)
        serves('HUP twenty times: serves', w, port)
        equal('HUP, then TERM', w.stop(), 0)
    with Sws('-p', 0, '-a', '127.0.0.1', env={'SERVER_LOG_FILE': log + '3',
                                              'SERVER_ACCESS_LOG': 'true'}) \
            as w:
        fetch(w.port())
        check('SERVER_LOG_FILE', w.find('"GET / ', 3, log + '3'))
    s = listener()
    with Sws('--fd', 3, fds={3: s}) as w:
        w.find(' on ')
        c, first = slow_client(s)
        w.p.send_signal(signal.SIGHUP)
        w.p.send_signal(signal.SIGPIPE)
        time.sleep(0.1)
        data, how = read_all(c, 20, lambda d: len(d) + len(first) >= len(BIG)
                             and parse_responses(first + d)[0][0].complete)
        check('HUP and SIGPIPE: a download goes on', how == 'until',
              (len(data), how))
        serves('HUP: without --log-file', w, s)


# ---- options -----------------------------------------------------------------

def ask(path, fields='', test=None):
    return lambda w, port: test(fetch(port, path, fields))


BOOLEANS = [        # option, letter, default, does it show?
    ('etag', '', True, ask('/', '', lambda r: r.get('etag') is not None)),
    ('cache-control-headers', 'e', True,
     ask('/', '', lambda r: r.get('cache-control') is not None)),
    ('compression-static', '', True,
     ask('/z.txt', 'Accept-Encoding: gzip\r\n',
         lambda r: r.get('content-encoding') == 'gzip')),
    ('redirect-trailing-slash', '', True,
     ask('/dir', '', lambda r: r.status == 308)),
    ('include-hidden', '', False,
     ask('/.hidden', '', lambda r: r.status == 200)),
    ('follow-symlinks', '', False,
     ask('/link.txt', '', lambda r: r.status == 200)),
    ('text-charset', '', True,
     ask('/', '', lambda r: r.get('content-type', '').lower() ==
         'text/html; charset=utf-8')),
    ('access-log', '', True, lambda w, port: bool(
        fetch(port, '/?seen') and w.find(r'\?seen', 0.3))),
]


def variable(option):
    return {'fd': 'SERVER_LISTEN_FD', 'page404': 'SERVER_ERROR_PAGE_404',
            'page50x': 'SERVER_ERROR_PAGE_50X'}.get(
                option, 'SERVER_' + option.upper().replace('-', '_'))


def booleans():
    def one(option, letter, default, shows):
        o, var = '--' + option, variable(option)
        no = '--no-' + option
        cases = [([], {}, default), ([o], {}, True), ([no], {}, False),
                 ([o + '=true'], {}, True), ([o + '=false'], {}, False),
                 ([o, 'true'], {}, True), ([o, 'false'], {}, False),
                 ([], {var: 'true'}, True), ([], {var: 'false'}, False),
                 ([], {var: ''}, default), ([o], {var: 'false'}, True),
                 ([no], {var: 'true'}, False), ([o, no], {}, False),
                 ([no, o], {}, True)]
        if letter:
            cases += [(['-' + letter], {}, True),
                      (['-' + letter, 'false'], {}, False)]
        bad = []
        for args, env, want in cases:
            with Sws('-p', 0, '-a', '127.0.0.1', *args, env=env) as w:
                got = shows(w, w.port())
                if got != want:
                    bad.append('%s %s: %s' % (args, env, got))
        check('%s: command line, variable, =, two words, --no-' % o, not bad,
              bad)
        for args, env, parts in (
                ([o + '=maybe'], {}, [o, 'maybe']), ([o + '='], {}, [o]),
                ([no + '=true'], {}, [no]),
                ([], {var: 'yes'}, [lit('%s="yes"' % var)])):
            with Sws(*args, env=env) as w:
                one_line('%s: refused, %s' % (o, args or env), w, 2, *parts)
    together([lambda b=b: one(*b) for b in BOOLEANS[:4]])
    together([lambda b=b: one(*b) for b in BOOLEANS[4:]])


def strength():
    """Command line, then environment, then default."""
    def body(*args, env=None, root=None, path='/', cwd=None):
        with Sws('-a', '127.0.0.1', '-p', 0, *args, env=env, root=root,
                 cwd=cwd) as w:
            return fetch(w.port(), path).body
    other = b'the other folder\n'
    equal('root: default is .', body(cwd=OTHER), other)
    for args in ([OTHER], ['--root', OTHER], ['--root=' + OTHER],
                 ['-d', OTHER], ['-d' + OTHER], ['--', OTHER]):
        equal('root: ' + ' '.join(args).replace(OTHER, 'DIR'), body(*args),
              other)
        equal('root: %s is stronger than SERVER_ROOT' %
              ' '.join(args).replace(OTHER, 'DIR'),
              body(*args, env={'SERVER_ROOT': ROOT}), other)
    equal('SERVER_ROOT', body(env={'SERVER_ROOT': OTHER}), other)
    equal('SERVER_ROOT empty', body(env={'SERVER_ROOT': ''}, cwd=OTHER), other)
    odd = os.path.join(WORK, '-odd')
    put(odd + '/index.html', b'odd\n')
    equal('root: -- -odd', body('--', '-odd', cwd=WORK), b'odd\n')

    s = listener()
    busy = s.getsockname()[1]
    with Sws('-a', '127.0.0.1', '--port', 0,
             env={'SERVER_PORT': str(busy)}) as w:
        serves('--port is stronger than SERVER_PORT', w, w.port())
    with Sws('--port=0', '--host=127.0.0.1', env={'SERVER_HOST': '::1'}) as w:
        serves('--host is stronger than SERVER_HOST', w, w.port())
    with Sws('-p0', '-a127.0.0.1') as w:
        serves('-p0 -aADDR', w, w.port())
    with Sws(env={'SERVER_PORT': '0', 'SERVER_HOST': '127.0.0.1'}) as w:
        serves('SERVER_PORT, SERVER_HOST', w, w.port())
    with Sws('-p', 1, '-p', 0, '-a', '127.0.0.1') as w:
        serves('the last --port counts', w, w.port())
    every = {variable(o): '' for o in OPTIONS if o not in ('help', 'version')}
    with Sws(fds={3: s}, env=dict(every, LISTEN_FDS='1')) as w:
        serves('every variable empty: as if not set', w, s)

    for name, args, env in (
            ('--index-files', ['--index-files', 'none,second.html'], {}),
            ('SERVER_INDEX_FILES', [],
             {'SERVER_INDEX_FILES': 'second.html,index.html'}),
            ('--index-files stronger', ['--index-files=second.html'],
             {'SERVER_INDEX_FILES': 'index.html'})):
        equal(name, body(*args, env=env, root=ROOT), b'second\n')
    equal('--page404 default', body(root=ROOT, path='/none'),
          b'default 404\n')
    for args, env in ((['--page404', 'my404.html'], {}),
                      (['--page404', './my404.html'], {}),
                      ([], {'SERVER_ERROR_PAGE_404': 'my404.html'})):
        equal('page404 %s' % (args or env),
              body(*args, env=env, root=ROOT, path='/none'), b'mine 404\n')
    for args, env, lines in (
            (['--log-level', 'warn'], {}, 0), (['-g', 'error'], {}, 0),
            (['-gerror'], {}, 0), (['--log-level=info'], {}, 1),
            ([], {'SERVER_LOG_LEVEL': 'error'}, 0),
            (['-g', 'info'], {'SERVER_LOG_LEVEL': 'error'}, 1)):
        with Sws('--fd', 3, *args, env=env, fds={3: s}) as w:
            served(s)
            w.stop()
            equal('log level %s %s' % (args, env),
                  (w.text().count('"GET / '), w.text().count(' on http')),
                  (lines, lines))


def timeouts():
    def closes(name, option, send, wanted, shape):
        def test():
            for args, env in (([option, 1], {}),
                              ([], {variable(option[2:]): '1'})):
                with Sws('-p', 0, '-a', '127.0.0.1', *args, env=env) as w:
                    with dial(w.port()) as c:
                        c.sendall(send)
                        start = time.time()
                        data, how = read_all(c, 5)
                        took = time.time() - start
                    check('%s 1, %s' % (name, args or 'variable'), how == 'eof'
                          and 0.8 < took < 3 * SLOW and shape(data),
                          (data[:200], how, took))
        test.__name__ = name
        return test

    def write():
        for args, env in ((['--write-timeout', 1], {}),
                          ([], {'SERVER_WRITE_TIMEOUT': '1'})):
            s = listener()
            with Sws('--fd', 3, *args, env=env, fds={3: s}) as w:
                w.find(' on ')
                c, first = slow_client(s)
                time.sleep(2.5 * SLOW)
                data, how = read_all(c, 5)
                check('--write-timeout 1, %s' % (args or 'variable'),
                      how in ('eof', 'reset') and len(data) < len(BIG) - 1000,
                      (len(data), how))

    def never():
        with Sws('-p', 0, '-a', '127.0.0.1', '--idle-timeout', 0) as w:
            with dial(w.port()) as c:
                c.sendall(request('/', False))
                read_all(c, 5, lambda d: b'hello' in d)
                time.sleep(2.5)
                c.sendall(request())
                data, how = read_all(c)
                check('--idle-timeout 0: never', b'hello' in data, (data, how))

    def many():
        for args, env in ((['--max-connections', 3], {}),
                          ([], {'SERVER_MAX_CONNECTIONS': '3'})):
            with Sws('-p', 0, '-a', '127.0.0.1', *args, env=env) as w:
                port = w.port()
                before = len(sockets_of(w.p.pid))
                cs = [dial(port) for _ in range(8)]
                for c in cs[:3]:
                    c.sendall(b'GET ')
                time.sleep(0.3)
                n = len(sockets_of(w.p.pid)) - before
                check('--max-connections 3, %s' % (args or 'variable'),
                      1 <= n <= 3, sockets_of(w.p.pid))
                for c in cs:
                    c.close()
                serves('--max-connections 3: serves on', w, port)
    together([
        closes('--header-timeout', '--header-timeout', b'GET / HT',
               408, lambda d: d == b'' or d.startswith(b'HTTP/1.1 408 ')),
        closes('--idle-timeout', '--idle-timeout', request('/', False), 200,
               lambda d: not flaw(d) and len(parse_responses(d)[0]) == 1),
        write, never, many])


NUMBERS = ['port', 'unix-socket-mode', 'header-timeout', 'idle-timeout',
           'write-timeout', 'idle-exit', 'grace-period', 'drain-timeout',
           'max-connections', 'ready-fd']
OPTIONS = [b[0] for b in BOOLEANS] + NUMBERS + [
    'root', 'host', 'fd', 'unix-socket', 'unix-socket-force', 'index-files',
    'page404', 'page50x', 'log-level', 'log-file', 'help', 'version']


def usage_errors():
    for o in NUMBERS + ['log-level']:
        bad = []
        values = ['x', '-1', '1x', '1.5', '99999999999999999999', ' 1', '+1']
        for v in values + ['']:
            with Sws('--%s=%s' % (o, v)) as w:
                if w.rc() != 2 or len(w.lines()) != 1 or \
                        '--' + o not in w.text() or v not in w.text():
                    bad.append((v, w.p.returncode, w.lines()))
        check('--%s: bad values, each one line and exit 2' % o, not bad, bad)
        bad = []
        for v in values:
            with Sws(env={variable(o): v}) as w:
                if w.rc() != 2 or len(w.lines()) != 1 or \
                        '%s="%s"' % (variable(o), v) not in w.text():
                    bad.append((v, w.p.returncode, w.lines()))
        check('%s: bad values, each one line and exit 2' % variable(o),
              not bad, bad)
    for name, args, parts in (
            ('unknown option', ['--no-such-option'], ['--no-such-option']),
            ('unknown letter', ['-Z'], ['-Z']),
            ('unknown with a value', ['--nothing=5'], ['--nothing']),
            ('missing value', ['--port'], ['--port']),
            ('missing value of a letter', ['-p'], ['-p']),
            ('--no- of a number', ['--no-port'], ['--no-port']),
            ('two folders', ['one', 'two'], ['one', 'two']),
            ('a folder twice', ['--root', 'one', 'two'], ['two']),
            ('port 65536', ['--port', '65536'], ['--port', '65536']),
            ('port in two words', ['--port', 'http'], ['--port', 'http']),
            ('letter with a bad value', ['-px'], ['-p', 'x']),
            ('octal 8', ['--unix-socket-mode', '888'],
             ['--unix-socket-mode', '888']),
            ('empty root', ['--root='], ['--root']),
            ('empty host', ['--host='], ['--host']),
            ('empty fd', ['--fd='], ['--fd']),
            ('index with a slash', ['--index-files', 'a/b'],
             ['--index-files', 'a/b'])):
        with Sws(*args, root=None) as w:
            one_line('usage error: ' + name, w, 2, *map(lit, parts))
            equal('usage error: %s: nothing on stdout' % name, w.out(), '')
    with Sws('--port', 'a\nb\x1b[2J') as w:
        one_line('usage error: control bytes', w, 2, '--port')
        check('usage error: control bytes are not sent to the terminal',
              '\x1b' not in w.text(), repr(w.text()))
    for name, args, env, part in (
            ('no such folder', ['--root', WORK + '/none'], {}, WORK + '/none'),
            ('DIR is no folder', [ROOT + '/z.txt'], {}, ROOT + '/z.txt'),
            ('SERVER_ROOT is no folder', [], {'SERVER_ROOT': ROOT + '/z.txt'},
             ROOT + '/z.txt'),
            ('no such log folder', ['--log-file', WORK + '/none/l', ROOT], {},
             WORK + '/none/l')):
        with Sws('--port', 0, '--host', '127.0.0.1', *args, env=env,
                 root=None) as w:
            one_line('failed start: ' + name, w, 1, lit(part))


def informative():
    for flags in (['-h'], ['--help'], ['-V'], ['--version']):
        texts = set()
        for name, before, env in (
                ('alone', [], {}), ('bad option', ['--nonsense'], {}),
                ('bad value', ['--port', 'x'], {}),
                ('bad letter', ['-Z'], {}),
                ('bad variable', [], {'SERVER_PORT': 'x'}),
                ('no folder', ['/no/such/folder'], {}),
                ('two folders', ['a', 'b'], {}),
                ('--fd and --port', ['--fd', '9', '--port', '0'], {}),
                ('descriptors that do not fit', ['--fd', '9'],
                 {'LISTEN_FDS': '5', 'LISTEN_PID': '1'})):
            for args in (before + flags, flags + before):
                with Sws(*args, env=env, root=None) as w:
                    rc = w.rc()
                    texts.add(w.out())
                    check('%s: exit 0, %s' % (' '.join(args), name),
                          rc == 0 and w.out() and not w.text(),
                          (rc, w.out()[:100], w.text()))
        equal('%s: always the same text' % flags[0], len(texts), 1)
    with Sws('--version', root=None) as w:
        w.rc()
        check('--version: one line, sws and a number',
              re.fullmatch(r'sws \d+\.\d+\.\d+.*\n', w.out()), w.out())
    # behind -- it is a folder
    with Sws('--port', 0, '--', '--help', root=None) as w:
        one_line('-- --help: a folder', w, 1, '--help')


def help_and_manual():
    with Sws('--help', root=None) as w:
        w.rc()
        text = w.out()
    lines = text.rstrip('\n').split('\n')
    check('--help: at most 80 columns', max(map(len, lines)) <= 80,
          max(lines, key=len))
    check('--help: at most 75 lines', len(lines) <= 75, len(lines))
    check('--help: no tabs, no trailing blanks',
          not re.search(r'\t|[ \t]\n', text))
    shown = re.findall(r'^(?:-(\w),|  ) *--([a-z0-9-]+)', text, re.M)
    names = {n for _, n in shown}
    check('--help: every option of the tests', set(OPTIONS) <= names,
          set(OPTIONS) - names)
    check('--help: each once', len(names) == len(shown))
    page = os.path.join(HERE, '..', 'sws.1')
    if not os.path.exists(page):
        check('manual', False, 'sws.1 is missing')
        return
    long = set()
    letters = {}
    with open(page) as f:
        items = [x.split()[1:] for x in f if x.startswith('.It Fl')]
    for words in items:
        last, flag, mine, found = '', False, [], []
        for x in words:
            if x == 'Fl':
                flag = True
            elif re.fullmatch('[A-Z][a-z]', x):         # another macro
                flag = False
            elif flag and re.fullmatch('[A-Za-z]', x) and last != 'Fl Fl':
                mine.append(x)
            elif flag and re.fullmatch('-?[a-z][a-z0-9-]+', x):
                found.append(x.lstrip('-'))
            last = (last + ' ' + x)[-5:] if last == 'Fl' else x
        long.update(found)
        for c in mine:
            letters[c] = found
    check('manual: every option of --help', names <= long,
          sorted(names - long))
    check('manual: no option that --help has not', long <= names,
          sorted(long - names))
    bad = [(c, n) for c, n in shown if c and n not in letters.get(c, ())]
    check('manual: the letters of --help', not bad, bad)
    bad = [(c, n) for c, n in letters.items()
           if not any((c, x) in shown for x in n)]
    check('manual: no letter that --help has not', not bad, bad)


tests = [fd_listening, fd_bound, fd_connected, fd_index, fd_first, fd_names,
         fd_lists, fd_refused, fd_exclusive, hygiene, datagram, backlog,
         not_ours, passed_together, default_bind, hosts, unix_socket,
         only_http, idle_exit, notify, drain, hup, booleans, strength,
         timeouts, usage_errors, informative, help_and_manual]
# python3 test/listen.py NAME...: only these functions
run([t for t in tests if t.__name__ in (sys.argv[1:] or [t.__name__])])
