"""Real supervisors start sws and get its page; every byte they pass on to a
client is well-formed HTTP.  Programs that exclude each other as packages are
found in $SUPERVISORS (default test/deps, made by test/deps.sh), then in PATH.
Debian's busybox has no inetd applet, so it is not among them."""
import pwd, random, threading

import lib

_lock = threading.Lock()
_check = lib.check


def _one_at_a_time(*args):
    with _lock:                 # checks are made in threads too
        return _check(*args)


lib.check = _one_at_a_time
from lib import *

SOAK = bool(os.environ.get('SOAK'))

DEPS = os.environ.get('SUPERVISORS', os.path.join(HERE, 'deps'))
USER = pwd.getpwuid(os.getuid()).pw_name
PAGE = b'<p>hello from sws</p>\n'
WORK = tmpdir('work')
ROOT = os.path.join(WORK, 'root')
put(ROOT + '/index.html', PAGE)
put(ROOT + '/big.bin', bytes(range(256)) * 4096)

HEAD = re.compile(rb'HTTP/1\.[01] \d{3} [^\r\n]*\r\n'
                  rb'([!#$%&\'*+.^_`|~0-9A-Za-z-]+:[^\r\n]*\r\n)*\r\n')


class Missing(Exception):
    pass


def program(name, *places):
    for p in places:
        p = os.path.join(DEPS, p)
        if os.access(p, os.X_OK):
            return p
    p = shutil.which(name, path=os.environ.get('PATH', '') +
                     ':/usr/sbin:/sbin:/usr/local/sbin')
    if p is None:
        raise Missing('%s is missing: sh test/deps.sh test installs it' % name)
    return p


_ports = set()


def free_port():
    """A loopback port that nobody has now and that this test gave to nobody."""
    while True:
        with socket.socket() as s:
            s.bind(('127.0.0.1', 0))
            p = s.getsockname()[1]
        if p not in _ports:
            _ports.add(p)
            return p


def dial(where, timeout=10):
    if isinstance(where, str):
        s = socket.socket(socket.AF_UNIX)
    else:
        s = socket.socket()
        where = ('127.0.0.1', where)
    s.settimeout(timeout * SLOW)
    s.connect(where)
    return s


def flaw(data, methods=('GET',)):
    """What is not HTTP in data, or ''."""
    r, rest = parse_responses(data, methods)
    if rest:
        return 'not HTTP: %r' % rest[:100]
    for x in r:
        if not HEAD.fullmatch(x.head):
            return 'bad head: %r' % x.head[:200]
        if not x.complete:
            return 'incomplete: %r' % x
    return ''


def visit(where, path='/', want=PAGE, timeout=10):
    """One request on one connection.  '' or what went wrong."""
    try:
        with dial(where, timeout) as s:
            s.sendall(b'GET %s HTTP/1.1\r\nHost: localhost\r\n'
                      b'Connection: close\r\n\r\n' % path.encode())
            data, how = read_all(s, timeout)
    except OSError as e:
        return 'connection: %s' % e
    if how != 'eof':
        return '%s after %r' % (how, data[:100])
    if not data:
        return 'closed without a byte'
    r, _ = parse_responses(data)
    return flaw(data) or ('' if len(r) == 1 and r[0].status == 200 and
                          r[0].body == want else 'answer %r' % r)


def keep_alive(where):
    """Three requests on one connection, one of them bad.  '' or a reason."""
    try:
        with dial(where) as s:
            for path, status in ((b'/', 200), (b'/none', 404), (b'/', 200)):
                s.sendall(b'GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n' % path)
                data, how = read_all(s, 10, lambda d: any(
                    x.complete for x in parse_responses(d)[0]))
                r, rest = parse_responses(data)
                if rest or len(r) != 1 or r[0].status != status or flaw(data):
                    return '%s: %r (%s)' % (path, data[:200], how)
            s.sendall(b'this is no request\r\n\r\n')
            data, how = read_all(s, 10)
            r, _ = parse_responses(data)
            if how != 'eof' or flaw(data) or len(r) != 1 or \
                    r[0].status != 400:
                return 'bad request: %r (%s)' % (data[:200], how)
    except OSError as e:
        return 'connection: %s' % e
    return ''


def children(pid):
    try:
        with open('/proc/%d/task/%d/children' % (pid, pid)) as f:
            return [int(x) for x in f.read().split()]
    except OSError:
        return []


class Supervisor:
    """A supervisor in the foreground; at the end its children are ended, each
    by its id, then itself."""

    def __init__(self, argv, where, env=None):
        self.log = os.path.join(tmpdir('log'), 'out')
        with open(self.log, 'wb') as f:
            self.proc = spawn(argv, env=clean_env(**(env or {})), stdout=f,
                              stderr=f, stdin=subprocess.DEVNULL,
                              cwd=WORK)
        self.where = where

    def listens(self):
        """Wait till it listens, without connecting: that could start sws."""
        end = time.time() + 10 * SLOW
        while time.time() < end and self.proc.poll() is None:
            if isinstance(self.where, str):     # flags: __SO_ACCEPTCON
                table, line = 'unix', ' 00010000 .* %s\n' % re.escape(
                    self.where)
            else:                               # state: TCP_LISTEN
                table, line = 'tcp', ':%04X 00000000:0000 0A' % self.where
            with open('/proc/net/' + table) as f:
                if re.search(line, f.read()):
                    return self
            time.sleep(0.01)
        raise RuntimeError('does not listen: ' + self.text())

    def text(self):
        with open(self.log, errors='replace') as f:
            return f.read()[-400:]

    def stop(self):
        for p in children(self.proc.pid):
            try:
                os.kill(p, signal.SIGTERM)
            except OSError:
                pass
        if self.proc.poll() is None:
            self.proc.terminate()
            try:
                self.proc.wait(10)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()

    def __enter__(self):
        return self.listens()

    def __exit__(self, *_):
        self.stop()


def parallel(jobs):
    """Run functions side by side; their results, exceptions as text."""
    out = [None] * len(jobs)

    def work(i):
        try:
            out[i] = jobs[i]()
        except Exception as e:
            out[i] = '%s: %s' % (type(e).__name__, e)
    t = [threading.Thread(target=work, args=(i,)) for i in range(len(jobs))]
    for x in t:
        x.start()
    for x in t:
        x.join()
    return out


def serves(name, argv, where, env=None):
    """The checks that every supervisor gets."""
    with Supervisor(argv, where, env) as s:
        why = visit(where)
        check(name + ' page', not why, '%s / %s' % (why, s.text()))
        why = visit(where, '/big.bin', bytes(range(256)) * 4096)
        check(name + ' 1 MiB', not why, '%s / %s' % (why, s.text()))
        why = keep_alive(where)
        check(name + ' keep-alive, 404, 400', not why,
              '%s / %s' % (why, s.text()))
        why = [x for x in parallel([lambda: visit(where)] * 12) if x]
        check(name + ' 12 clients', not why, why[:3])


# ---- the systemd protocol ---------------------------------------------------

def activate(name, *args):
    def test():
        port = free_port()
        serves('systemd-socket-activate ' + name,
               [program('systemd-socket-activate'), '-l',
                '127.0.0.1:%d' % port] + [a.replace('SWS', SWS) for a in args],
               port)
    test.__name__ = 'systemd_socket_activate_' + name
    return test


def systemd_unix():
    path = os.path.join(WORK, 'activate.sock')
    serves('systemd-socket-activate unix',
           [program('systemd-socket-activate'), '-l', path, SWS, ROOT], path)


def systemd_names():
    a, b = free_port(), free_port()
    argv = [program('systemd-socket-activate'), '-l', '127.0.0.1:%d' % a, '-l',
            '127.0.0.1:%d' % b, '--fdname=http:admin']
    with Supervisor(argv + [SWS, '--fd', 'admin', '--fd', 'http', ROOT],
                    b) as s:
        why = [visit(a), visit(b)]
        check('systemd-socket-activate names', why == ['', ''],
              '%s / %s' % (why, s.text()))


def systemfd(name, *flags):
    def test():
        port = free_port()
        serves('systemfd ' + name,
               [program('systemfd', 'bin/systemfd'), *flags, '-s',
                'http::%d' % port, '--', SWS, '--fd', '0', ROOT], port)
    test.__name__ = 'systemfd_' + name
    return test


def systemfd_bare():
    port = free_port()
    serves('systemfd without --fd', [program('systemfd', 'bin/systemfd'), '-s',
           'http::%d' % port, '--', SWS, ROOT], port)


# ---- inetd ------------------------------------------------------------------

def isolated(argv):
    """With a /run of its own where that can be had: the program insists on
    writing its pid there."""
    own = ['unshare', '-m', 'sh', '-c',
           'mount -t tmpfs tmpfs /run && exec "$@"', 'sh']
    probe = own[:4] + ['mount -t tmpfs tmpfs /run']
    try:
        good = subprocess.run(probe, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        good = False
    return (own if good else []) + argv


def inetd_conf(services):
    lines = ['127.0.0.1:%d stream tcp %s %s %s %s' %
             (port, wait, USER, argv[0],
              ' '.join([os.path.basename(argv[0])] + argv[1:]))
             for port, wait, argv in services]
    return put(os.path.join(tmpdir('inetd'), 'inetd.conf'),
               '\n'.join(lines) + '\n')


def openbsd(services):
    return isolated([program('inetd', 'usr/sbin/inetd'), '-d', '-E', '-R',
                     '30000', inetd_conf(services)])


def inetutils(services):
    return [program('inetutils-inetd', 'usr/sbin/inetutils-inetd'), '-d',
            '--pidfile', '-R', '30000', inetd_conf(services)]


def xinetd(services):
    text = 'defaults\n{\n\tcps = 30000 1\n\tinstances = UNLIMITED\n}\n'
    for n, (port, wait, argv) in enumerate(services):
        text += '''service s%d
{
	type = UNLISTED
	socket_type = stream
	protocol = tcp
	wait = %s
	user = %s
	bind = 127.0.0.1
	port = %d
	server = %s
	%s
}
''' % (n, 'yes' if wait == 'wait' else 'no', USER, port, argv[0],
            'server_args = ' + ' '.join(argv[1:]) if argv[1:] else '')
    d = tmpdir('xinetd')
    return [program('xinetd', 'usr/sbin/xinetd'), '-dontfork', '-pidfile',
            d + '/pid', '-filelog', d + '/log', '-f',
            put(d + '/conf', text)]


INETDS = [('openbsd-inetd', openbsd), ('inetutils-inetd', inetutils),
          ('xinetd', xinetd)]


def inetd(name, make, wait):
    def test():
        port = free_port()
        argv = [SWS, '--fd', '0', '--idle-exit', '2', ROOT]
        serves('%s %s' % (name, wait), make([(port, wait, argv)]), port)
    test.__name__ = '%s_%s' % (name, wait)
    return test


def inetd_options(name, make):
    """Folder and options come from the config line; the log goes to a file;
    a usage error and a wrong folder tell the client nothing."""
    def test():
        log = os.path.join(tmpdir('log'), 'access')
        a, b, c = free_port(), free_port(), free_port()
        service = [
            (a, 'nowait', [SWS, '--fd', '0', '--log-level=debug',
                           '--log-file', log, '--index-files', 'x,index.html',
                           '--no-etag', '--root', ROOT]),
            (b, 'nowait', [SWS, '--fd', '0', '--no-such-option', ROOT]),
            (c, 'nowait', [SWS, '--fd', '0', ROOT + '/none'])]
        with Supervisor(make(service), c):
            why = visit(a)
            check(name + ' options', not why, why)
            end = time.time() + 3 * SLOW
            lines = ''
            while '"GET / ' not in lines and time.time() < end:
                time.sleep(0.02)
                if os.path.exists(log):
                    with open(log) as f:
                        lines = f.read()
            check(name + ' log file', '"GET / HTTP/1.1" 200' in lines, lines)
            for port, what in ((b, 'usage error'), (c, 'missing folder')):
                with dial(port) as s:
                    data, how = read_all(s, 5)
                check('%s %s is silent' % (name, what),
                      data == b'' and how in ('eof', 'reset'), (data, how))
    test.__name__ = name + '_options'
    return test


def idle_exits():
    """`wait` services whose process ends again and again while clients arrive
    around that moment: each of them gets its page."""
    services, exits = 20, 25 if SOAK else 5     # of each inetd: 500, 100

    def one_inetd(name, make):
        counts, lines = [], []
        for i in range(services):
            d = tmpdir('count')
            counts.append(d + '/starts')
            script = put(d + '/start', '#!/bin/sh\necho >>%s\nexec %s --fd 0 '
                         '--idle-exit 1 %s\n' % (counts[-1], SWS, ROOT))
            os.chmod(script, 0o755)
            lines.append((free_port(), 'wait', [script]))
        lost, visits = [], [0] * services
        ends = time.time() + 9 * exits * SLOW

        def starts(i):
            try:
                return os.path.getsize(counts[i])
            except OSError:
                return 0

        def clients(i):
            rng = random.Random(i)
            while starts(i) <= exits and time.time() < ends:
                why = visit(lines[i][0], timeout=8)
                visits[i] += 1
                if why:
                    lost.append(why)
                # around the exit, which comes a second after the last close
                time.sleep(1 + rng.uniform(-0.05, 0.05))
        try:
            s = Supervisor(make(lines), lines[-1][0])
            with s:
                bad = [x for x in parallel([lambda i=i: clients(i)
                                            for i in range(services)]) if x]
                n = sum(starts(i) - 1 for i in range(services))
                check('%s wait: %d idle exits' % (name, services * exits),
                      n >= services * exits and not bad,
                      '%d in time; %s %s' % (n, bad[:2], s.text()))
                check('%s wait: no service is switched off' % name,
                      not re.search('looping|deactivat|terminated', s.text()),
                      s.text())
                check('%s wait: no client lost at an idle exit' % name,
                      not lost and sum(visits) > services * exits,
                      '%d of %d: %s' % (len(lost), sum(visits), lost[:3]))
        except Missing as e:
            check('%s wait: idle exits' % name, False, e)

    for why in parallel([lambda n=n, m=m: one_inetd(n, m)
                         for n, m in INETDS]):
        if why:
            check('idle exits', False, why)


# ---- s6, ucspi --------------------------------------------------------------

def s6(name, *flags):
    def test():
        path = os.path.join(WORK, 's6-%s.sock' % name)
        serves('s6-ipcserver-socketbinder ' + name,
               [program('s6-ipcserver-socketbinder'), *flags, path, SWS,
                '--fd', '0', ROOT], path)
        check('s6-ipcserver-socketbinder %s: its socket is left' % name,
              os.path.exists(path))
    test.__name__ = 's6_socketbinder_' + name
    return test


def s6_bare():
    path = os.path.join(WORK, 's6-bare.sock')
    serves('s6-ipcserver-socketbinder without --fd',
           [program('s6-ipcserver-socketbinder'), path, SWS, ROOT], path)


def s6_ipcserver():
    path = os.path.join(WORK, 's6-accept.sock')
    serves('s6-ipcserver', [program('s6-ipcserver'), path, SWS, '--fd', '0',
                            ROOT], path)


def s6_notify():
    """s6's readiness protocol: a newline on the descriptor that was named."""
    r, w = os.pipe()
    port = free_port()
    p = spawn([SWS, '--ready-fd', str(w), '-a', '127.0.0.1', '-p', str(port),
               ROOT], pass_fds=[w], env=clean_env(), stderr=subprocess.DEVNULL)
    os.close(w)
    got = b''
    if select.select([r], [], [], 10 * SLOW)[0]:
        got = os.read(r, 10)
    why = visit(port)
    check('s6 readiness: a newline, then it serves', got == b'\n' and not why,
          (got, why))
    p.terminate()
    equal('s6 readiness: ends', p.wait(10 * SLOW), 0)
    os.close(r)


def tcpserver():
    port = free_port()
    serves('tcpserver', [program('tcpserver'), '-HR', '-l', '0', '127.0.0.1',
                         str(port), SWS, '--fd', '0', ROOT], port)


def names_missing(test):
    """A supervisor that is not there is a failure that says which."""
    def run_it():
        try:
            test()
        except Missing as e:
            check(test.__name__, False, e)
    run_it.__name__ = test.__name__
    return run_it


tests = [
    activate('plain', 'SWS', ROOT),
    activate('--fd 0', 'SWS', '--fd', '0', ROOT),
    activate('--inetd', '--inetd', 'SWS', ROOT),
    activate('--inetd --fd 0', '--inetd', 'SWS', '--fd', '0', ROOT),
    activate('-a', '-a', 'SWS', ROOT),
    activate('-a --fd 0', '-a', 'SWS', '--fd', '0', ROOT),
    activate('--inetd -a', '--inetd', '-a', 'SWS', '--fd', '0', ROOT),
    systemd_unix, systemd_names,
    systemfd('--no-pid', '--no-pid'), systemfd('plain'), systemfd_bare,
    s6('plain'), s6('-b0', '-b', '0'), s6_bare, s6_ipcserver, s6_notify,
    tcpserver,
]
for _name, _make in INETDS:
    tests += [inetd(_name, _make, 'wait'), inetd(_name, _make, 'nowait'),
              inetd_options(_name, _make)]
tests.append(idle_exits)
# python3 test/supervisors.py NAME...: only these
run([names_missing(t) for t in tests
     if t.__name__ in (sys.argv[1:] or [t.__name__])])
