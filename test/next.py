"""SIGUSR2: a new program in place of the old one, and nobody notices; what
comes of it when something goes wrong.  SOAK=1: 50 of them and 50 SIGHUP within
a minute."""
import ctypes, errno, hashlib

from lib import *

need_h2()
SOAK = bool(os.environ.get('SOAK'))
# the binary, where SWS is a script that starts it
PROGRAM = os.environ.get('PROGRAM') or (
    os.path.join(HERE, '..', 'sws') if VALGRIND or STRICT else SWS)
STRICTLY = ['--sandbox=required'] if STRICT else []
BIG = os.urandom(1 << 20) * 24
# the successors are nobody's children; so they are ours, and no zombies
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)         # PR_SET_CHILD_SUBREAPER


def root():
    d = tmpdir('root')
    put(d + '/index.html', '<p>page</p>')
    put(d + '/big', BIG)
    return d


def gone(pid):
    try:
        os.waitpid(pid, os.WNOHANG)
    except OSError:
        pass                    # not ours, or not yet
    return not os.path.exists('/proc/%d' % pid)


def until(what, seconds=10):
    end = time.time() + seconds * SLOW
    while not what():
        if time.time() > end:
            return False
        time.sleep(0.01)
    return True


def refused(port):
    with socket.socket() as c:
        return c.connect_ex(('127.0.0.1', port)) == errno.ECONNREFUSED


def children(pid):
    with open('/proc/%d/task/%d/children' % (pid, pid)) as f:
        return [int(x) for x in f.read().split()]


class Chain(Site):
    """.pid is who serves; .pids all that did."""

    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        self.begin()

    def begin(self):
        self.pids, self.ends = [self.proc.pid], {}
        atexit.register(self.end)

    @property
    def pid(self):
        return self.pids[-1]

    def usr2(self):
        os.kill(self.pid, signal.SIGUSR2)

    def replace(self):
        n = len(self.pids)
        self.usr2()
        until(lambda: len(self.successors()) >= n)
        self.pids += self.successors()[n - 1:]
        return len(self.pids) == n + 1

    def successors(self):
        return [int(x) for x in re.findall(r'replaced by process (\d+)',
                                           self.log())]

    def over(self, pid):
        """Its status once it has ended."""
        if pid == self.proc.pid:
            return self.proc.wait(40 * SLOW)
        end = time.time() + 40 * SLOW
        while pid not in self.ends and time.time() < end:
            got, status = os.waitpid(pid, os.WNOHANG)
            if got:
                self.ends[pid] = os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        return self.ends.get(pid)

    def end(self):
        for p in self.pids:
            try:
                os.kill(p, signal.SIGKILL)
            except OSError:
                pass

    def stop(self, sig=signal.SIGTERM):
        for c in self.clients.values():
            c.close()
        try:
            os.kill(self.pid, sig)
        except ProcessLookupError:
            pass                # ended already
        return [self.over(p) for p in self.pids]


class Own(Chain):
    """A copy of the program, that can be changed, on an address of its own."""

    def __init__(self, *args, argv0=None, cwd=None, env=None):
        self.clients = {}
        self.dir = tmpdir('bin')
        self.exe = self.dir + '/sws'
        shutil.copy(PROGRAM, self.exe)
        self.errpath = os.path.join(tmpdir('log'), 'stderr')
        self.err = open(self.errpath, 'wb')
        self.port = None
        self.proc = spawn([argv0 or self.exe, *STRICTLY, *args],
                          executable=self.exe, cwd=cwd or self.dir,
                          stdin=subprocess.DEVNULL, stderr=self.err,
                          env=clean_env(**(env or {})))
        self.find(' on (http|unix)', 20)
        m = re.search(r' on http://.*:(\d+)/', self.log())
        if m:
            self.port = int(m.group(1))
        self.begin()


# ---- nobody notices ----------------------------------------------------------

class Client(threading.Thread):
    """Asks all the time, over one connection after the other; a connection is
    left when the server says so, or after `most` answers."""

    def __init__(self, kind, server, most):
        super().__init__()
        self.kind, self.server, self.most = kind, server, most
        self.answers, self.bad, self.over = 0, [], False

    def run(self):
        while not self.over:
            try:
                with connect(self.kind, self.server) as c:
                    while not (self.over or c.closed or c.used >= self.most):
                        r = c.ask(b'/', b'GET', [], b'localhost')
                        if (r.status, r.body) != (200, b'<p>page</p>'):
                            self.bad.append(repr(r))
                        self.answers += 1
                        time.sleep(0.001)
            except Exception as e:
                self.bad.append('%s %r' % (self.kind, e))


def under_load():
    n, pause = (50, 0.6) if SOAK else (6, 0.1)
    s = Chain(root())
    text = '[advanced]\nheaders = [{ source = "/*", headers = { X = "%d" } }]\n'
    clients = [Client(k, s, most) for k in KINDS for most in (1, 1000000)]
    for c in clients:
        c.start()
    good = 0
    for i in range(n):
        time.sleep(pause)
        good += s.replace()
        time.sleep(pause)
        put(s.toml, text % i)
        os.kill(s.pid, signal.SIGHUP)
    time.sleep(0.2)
    for c in clients:
        c.over = True
    for c in clients:
        c.join()
        check('%d successors, %d reloads: %s, %s' % (
            n, n, c.kind, 'new connections' if c.most == 1 else
            'a connection that stays'), not c.bad and c.answers > n,
            '%d answers, %r' % (c.answers, c.bad[:3]))
    print('%d answers meanwhile' % sum(c.answers for c in clients),
          file=sys.stderr)
    equal('each began', good, n)
    equal('the last rules count', ask('h1', s).get('x'), str(n - 1))
    equal('all end with 0', s.stop(), [0] * (n + 1))


def downloads():
    """What was begun is finished by who began it."""
    s = Chain(root())
    want = hashlib.sha256(BIG).hexdigest()
    open_ones = []
    for kind in 'h1', 'tls':
        c = dial(s, kind == 'tls')
        c.sendall(b'GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n')
        open_ones.append((kind, c, c.recv(16384)))
    streams = []
    for kind in 'h2', 'h2c':
        c = connect(kind, s)
        c.c.increment_flow_control_window(1 << 26)
        streams.append((kind, c, c.send(b'/big', b'GET', [], b'localhost')))
    time.sleep(0.2)
    check('downloads: a successor', s.replace(), s.log())
    r = get(s)
    equal('downloads: it serves', (r.status, r.body), (200, b'<p>page</p>'))
    check('downloads: the old one is there', not gone(s.pids[0]))
    for kind, c, data in open_ones:
        left = len(data.partition(b'\r\n\r\n')[0]) + 4 + len(BIG) - len(data)
        with c.makefile('rb') as f:
            data += f.read(left)
        equal('downloads: whole, ' + kind, hashlib.sha256(
            data.partition(b'\r\n\r\n')[2]).hexdigest(), want)
        c.close()
    for kind, c, sid in streams:
        body, over = hashlib.sha256(), False
        while not over:
            data = c.s.recv(1 << 20)
            if not data:
                break
            for e in c.take(data):
                if isinstance(e, c.events.DataReceived):
                    body.update(e.data)
                    c.c.acknowledge_received_data(e.flow_controlled_length,
                                                  sid)
                over |= isinstance(e, c.events.StreamEnded)
            c.s.sendall(c.c.data_to_send())
        equal('downloads: whole, ' + kind, body.hexdigest(), want)
        c.close()
    equal('downloads: all end with 0', s.stop(), [0, 0])


def silent():
    """A client that is quiet at the moment gets its next answer, and is told
    that it is the last."""
    s = Chain(root())
    for kind in 'h1', 'tls':
        with dial(s, kind == 'tls') as c:
            c.sendall(b'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
            read_all(c, 5, lambda d: b'page' in d)
            s.replace()
            time.sleep(0.3)
            c.sendall(b'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
            data, how = read_all(c, 5)
            check('quiet for a moment: ' + kind, b'<p>page' in data and
                  b'connection: close' in data.lower() and how == 'eof',
                  (data, how))
    equal('quiet: all end with 0', s.stop(), [0] * 3)


# ---- what a successor is -----------------------------------------------------

def shape(pid):
    """Its descriptors by kind, its sibling's, its arguments and environment."""
    def kinds(p):
        links = [os.readlink(f.path) for f in os.scandir('/proc/%d/fd' % p)
                 if int(f.name) > 2]
        return sorted(re.sub(r'\d+', '', x) for x in links
                      if '.valgrind/' not in x)         # its logs

    def text(name):
        with open('/proc/%d/%s' % (pid, name), 'rb') as f:
            return f.read()
    kids = children(pid)
    env = sorted(v for v in text('environ').split(b'\0') if not re.match(
        rb'(LISTEN_|SWS_REPLACES|SERVER_SANDBOX|_=)', v))
    return [kinds(pid), len(kids), kinds(kids[0]), text('cmdline'), env]


def generations():
    n = 20 if not VALGRIND else 2
    s = Chain(root())

    def like(first):
        """Connections go and files are closed a moment later."""
        until(lambda: shape(s.pid) == first)
        return shape(s.pid)
    first = shape(s.pid)
    s.replace()
    second = like(first)
    good = sum(s.replace() for _ in range(n))
    equal('%d generations' % n, good, n)
    if not VALGRIND:            # the first one is under it
        equal('generations: the second is as the first', second, first)
    equal('generations: nothing grows', like(second), second)
    equal('the sibling holds the listeners and its line only', second[2],
          ['socket:[]'] * 3)
    equal('generations: all end with 0', s.stop(), [0] * (n + 2))


def new_file():
    """It is the program that has the name now."""
    r = root()
    for name, kw in (('path', {}), ('relative path', dict(argv0='./sws')),
                     ('PATH', dict(argv0='sws'))):
        with_path = Own('-a', '127.0.0.1', '-p', '0', r, **kw, env={
            'PATH': '/nowhere:.:' + os.environ['PATH']})
        with with_path as s:
            old = os.stat(s.exe).st_ino
            shutil.copy(PROGRAM, s.exe + '.new')
            os.rename(s.exe + '.new', s.exe)
            equal('a new file, %s: starts' % name, s.replace(), True)
            equal('a new file, %s: it runs' % name, (os.stat(
                '/proc/%d/exe' % s.pid).st_ino, os.stat(s.exe).st_ino != old),
                (os.stat(s.exe).st_ino, True))
            equal('a new file, %s: serves' % name, get(s).body,
                  b'<p>page</p>')


def unix_socket():
    """Our own path goes with the last one."""
    r, path = root(), tmpdir('u') + '/s'

    def answers():
        with socket.socket(socket.AF_UNIX) as c:
            c.settimeout(5 * SLOW)
            c.connect(path)
            c.sendall(b'GET / HTTP/1.0\r\n\r\n')
            return b'<p>page' in read_all(c)[0]
    with Own('--unix-socket', path, r) as s:
        for i in range(3):
            check('unix socket: successor %d' % i, s.replace(), s.log())
            s.over(s.pids[-2])
            check('unix socket: %d serves' % i, answers())
        equal('unix socket: end', s.stop(), [0] * 4)
        check('unix socket: is unlinked', until(
            lambda: not os.path.exists(path)))
    with Own('--unix-socket', path, r) as s:
        os.kill(s.pid, signal.SIGKILL)
        check('unix socket: unlinked by the sibling after KILL', until(
            lambda: not os.path.exists(path)))


def told():
    """What the supervisor hears."""
    path = tmpdir('n') + '/notify'
    heard = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as n:
        n.bind(path)
        n.settimeout(0.5 * SLOW)
        read, write = os.pipe()
        os.set_inheritable(write, True)
        s = Own('-a', '127.0.0.1', '-p', '0', root(),
                env={'NOTIFY_SOCKET': path})
        s.replace()
        s.over(s.pids[0])
        os.kill(s.pid, signal.SIGHUP)
        until(lambda: False, 0.3)
        statuses = s.stop()
        try:
            while True:
                heard += n.recv(4096).decode().split('\n')
        except OSError:
            pass
        os.close(read)
        os.close(write)
    heard = [re.sub(r'(USEC=)\d+', r'\1N', x) for x in heard
             if not x.startswith('STATUS')]
    equal('the supervisor hears', (heard, statuses), (
        ['READY=1', 'MAINPID=%d' % s.pid, 'RELOADING=1', 'MONOTONIC_USEC=N',
         'READY=1', 'STOPPING=1'], [0, 0]))


# ---- when it goes wrong -------------------------------------------------------

def stays(s, name, line):
    check(name + ': says so', until(lambda: re.search(line, s.log())), s.log())
    equal(name + ': the old one serves', get(s).body, b'<p>page</p>')
    check(name + ': a successor is possible later', s.replace(), s.log())
    equal(name + ': ends', set(s.stop()), {0})


def start(*args):
    return Own('-a', '127.0.0.1', '-p', '0', *args, root())


def no_program():
    s = start()
    os.rename(s.exe, s.exe + '.away')
    s.usr2()
    check('no program: why', until(lambda: 'sws: No such file' in s.log()),
          s.log())
    until(lambda: 'this one stays' in s.log())
    os.rename(s.exe + '.away', s.exe)
    stays(s, 'no program', 'ended before it served: this one stays')


def bad_file():
    conf = put(tmpdir('toml') + '/sws.toml', '')
    s = start('-w', conf)
    put(conf, '[general]\nport = "x"\n')
    s.usr2()
    check('bad file: why', until(lambda: 'sws.toml:2: port' in s.log()),
          s.log())
    until(lambda: 'this one stays' in s.log())
    put(conf, '')
    stays(s, 'bad file', 'ended before it served: this one stays')


def never_ready():
    """One that is not ready; meanwhile we are asked again, and to end."""
    s = start()
    pidfile = s.dir + '/pid'
    shutil.copy(s.exe, s.exe + '.good')
    put(s.exe + '.new', '#!/bin/sh\necho $$ >%s\nexec sleep 300\n' % pidfile)
    os.chmod(s.exe + '.new', 0o755)
    os.rename(s.exe + '.new', s.exe)
    s.usr2()
    check('never ready: it runs', until(lambda: os.path.exists(pidfile) and
                                        os.stat(pidfile).st_size > 1), s.log())
    with open(pidfile) as f:
        pid = int(f.read())
    s.usr2()
    check('never ready: no second one', until(
        lambda: 'is being started already' in s.log()), s.log())
    equal('never ready: the old one serves', get(s).body, b'<p>page</p>')
    if SOAK:
        check('never ready: given up', until(
            lambda: 'was not ready in 30 s' in s.log(), 40), s.log())
        check('never ready: ended', until(lambda: gone(pid)))
        os.rename(s.exe + '.good', s.exe)
        check('never ready: the next one is', s.replace(), s.log())
    equal('never ready: ends', set(s.stop()), {0})
    check('never ready: and it with us', until(lambda: gone(pid)))


def no_sibling():
    s = start()
    os.kill(children(s.pid)[0], signal.SIGKILL)
    until(lambda: not children(s.pid))
    equal('no sibling: serves', get(s).body, b'<p>page</p>')
    s.usr2()
    check('no sibling: says so', until(lambda: 'SIGUSR2: the process that it needs has ended' in s.log()), s.log())
    equal('no sibling: serves on', get(s).body, b'<p>page</p>')
    equal('no sibling: ends', s.stop(), [0])


def killed():
    """Nothing is left of a server that was killed."""
    s = start()
    kid = children(s.pid)[0]
    os.kill(s.pid, signal.SIGKILL)
    s.proc.wait()
    check('killed: the sibling ends', until(lambda: gone(kid)))
    check('killed: the port is free', refused(s.port))


def process_one():
    """Of a container: all would end with it."""
    if os.getuid() != 0:
        return skip('process 1', 'not root')
    err = os.path.join(tmpdir('log'), 'stderr')
    with open(err, 'wb') as f:
        p = spawn(['unshare', '-pf', '--kill-child', SWS, '-a', '127.0.0.1',
                   '-p', '0', root()], stdin=subprocess.DEVNULL, stderr=f,
                  env=clean_env())

    def said(what):
        with open(err) as f:
            return what in f.read()
    if not until(lambda: said('serving') or p.poll() is not None) or p.poll():
        return skip('process 1', open(err).read())
    os.kill(children(p.pid)[0], signal.SIGUSR2)
    check('process 1: says so', until(lambda: said('SIGUSR2: all would end')))
    os.kill(children(p.pid)[0], signal.SIGTERM)
    equal('process 1: ends', p.wait(20 * SLOW), 0)


def stray():
    """The variable by which a successor knows itself, without a line to its
    predecessor."""
    for value in 'x', 'p:99', ':', 'ppp:0':
        p = subprocess.run([SWS, '-p', '0', root()], env=clean_env(
            SWS_REPLACES=value), stdin=subprocess.DEVNULL, timeout=20 * SLOW,
            capture_output=True, text=True)
        equal('stray SWS_REPLACES=' + value, (p.returncode, p.stderr), (
            1, 'sws: SWS_REPLACES is set, but no listener was handed on\n'))


def both():
    """SIGUSR2 and SIGTERM at once: one of them has its way, wholly."""
    for i in range(5):
        s = start()
        s.usr2()
        time.sleep(0.002 * i)
        os.kill(s.pid, signal.SIGTERM)
        equal('USR2, then TERM: ends, %d' % i, s.over(s.pid), 0)
        new = s.successors()
        if new:
            s.pids += new
            equal('USR2, then TERM: who follows serves, %d' % i,
                  get(s).body, b'<p>page</p>')
            equal('USR2, then TERM: and ends, %d' % i, s.stop(), [0, 0])
        else:
            check('USR2, then TERM: nobody is left, %d' % i, until(
                lambda: refused(s.port)), s.log())


run([under_load, downloads, silent, generations, new_file, unix_socket, told,
     no_program, bad_file, never_ready, no_sibling, killed, process_one, stray, both])
