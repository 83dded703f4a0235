"""The end of a server that is busy, and the peace of one that is not.  SOAK=1
watches the latter for a minute."""
import hashlib

from lib import *

need_h2()
SOAK = bool(os.environ.get('SOAK'))
FILE = os.urandom(1 << 20) * 3
WANT = hashlib.sha256(FILE).hexdigest()


def root():
    d = tmpdir('root')
    put(d + '/index.html', '<p>page</p>')
    put(d + '/file', FILE)
    return d


class Slow(threading.Thread):
    """Takes the file in small bites; .begun at its first byte."""

    def __init__(self, server, kind, pause):
        super().__init__()
        self.server, self.kind, self.pause = server, kind, pause
        self.begun, self.end = threading.Event(), None
        self.hash = hashlib.sha256()

    def h1(self):
        left = None
        data = b''
        with dial(self.server, self.kind == 'tls') as c:
            c.sendall(b'GET /file HTTP/1.1\r\nHost: localhost\r\n\r\n')
            while left is None or left > 0:
                data = c.recv(65536)
                if not data:
                    raise EOFError('%s bytes are missing' % left)
                self.begun.set()
                if left is None:        # a head comes in one piece
                    data = data.partition(b'\r\n\r\n')[2]
                    left = len(FILE)
                self.hash.update(data)
                left -= len(data)
                time.sleep(self.pause)

    def h2(self):
        with connect(self.kind, self.server) as c:
            sid, over = c.send(b'/file', b'GET', [], b'localhost'), False
            while not over:
                data = c.s.recv(65536)
                if not data:
                    raise EOFError('the end')
                self.begun.set()
                for e in c.take(data):
                    if isinstance(e, c.events.DataReceived):
                        self.hash.update(e.data)
                        c.c.acknowledge_received_data(
                            e.flow_controlled_length, sid)
                    over |= isinstance(e, c.events.StreamEnded)
                c.s.sendall(c.c.data_to_send())
                time.sleep(self.pause)

    def run(self):
        try:
            (self.h2 if self.kind[:2] == 'h2' else self.h1)()
            self.end = self.hash.hexdigest()
        except Exception as e:
            self.end = repr(e)
            self.begun.set()


def busy(s, n, pause):
    """n slow ones of each kind, all of them under way."""
    many = [Slow(s, kind, pause) for kind in KINDS for _ in range(n)]
    for t in many:
        t.start()
    for t in many:
        t.begun.wait(30 * SLOW)
    return many


def ends():
    s = Site(root())
    many = busy(s, 20, 0.02)
    begun = time.time()
    s.proc.send_signal(signal.SIGTERM)
    for t in many:
        t.join()
    for kind in KINDS:
        got = [t.end for t in many if t.kind == kind]
        equal('TERM: 20 slow downloads are finished, ' + kind,
              [x for x in got if x != WANT], [])
    equal('TERM: exit status', s.proc.wait(20 * SLOW), 0)
    print('TERM with 60 downloads: over after %.2f s' % (time.time() - begun),
          file=sys.stderr)


def second():
    """A second TERM does not wait for anybody."""
    s = Site(root())
    many = busy(s, 3, 0.5)
    s.proc.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    equal('one TERM: is busy', s.proc.poll(), None)
    begun = time.time()
    s.proc.send_signal(signal.SIGTERM)
    try:
        status = s.proc.wait(2 * SLOW)
    except subprocess.TimeoutExpired:
        status = 'goes on'
    print('a second TERM: over after %.1f ms' % (
        (time.time() - begun) * 1000), file=sys.stderr)
    equal('a second TERM: ends at once', status, 0)
    s.stop()
    for t in many:
        t.pause = 0
    for t in many:
        t.join()


def just_now():
    """Who asked a moment before TERM gets one more answer, and is told; who did
    not is gone by then."""
    s = Site(root())
    conns = [dial(s, tls) for tls in (False, False, True)]
    for c in conns:
        c.sendall(b'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
        read_all(c, 5, lambda d: b'page' in d)
        if c is conns[0]:
            time.sleep(1.5)
    s.proc.send_signal(signal.SIGTERM)
    equal('TERM: who is idle is not waited for', read_all(conns.pop(0), 5),
          (b'', 'eof'))
    for c in conns:
        c.sendall(b'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
    for c in conns:
        data, how = read_all(c, 5)
        check('TERM: a request on its way', b'<p>page' in data and how == 'eof'
              and b'connection: close' in data.lower(), (data, how))
        c.close()
    equal('TERM, a request on its way: exit', s.proc.wait(20 * SLOW), 0)
    s.stop()


def cpu(pid):
    with open('/proc/%d/stat' % pid) as f:
        return sum(map(int, f.read().rpartition(')')[2].split()[11:13])) / \
            os.sysconf('SC_CLK_TCK')


def nobody_reads():
    """Downloads that nobody reads, by clients that go on asking, cost nothing
    and stop nobody."""
    d = root()
    with open(d + '/large', 'wb') as f:
        f.truncate(1 << 28)
    s = Site(d)
    conns = []
    for kind in (*KINDS, 'h2c'):
        for _ in range(3):
            if kind[:2] == 'h2':
                c = connect(kind, s)
                c.c.update_settings({4: (1 << 31) - 1})
                c.c.increment_flow_control_window(1 << 30)
                c.send(b'/large', b'GET', [], b'localhost')
            else:
                c = dial(s, kind == 'tls')
                c.sendall(b'GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n')
            conns.append(c)
    time.sleep(0.5)
    for c in conns:
        for _ in range(2):      # one after the other, in records of their own
            if hasattr(c, 'c'):
                c.send(b'/', b'GET', [], b'localhost')
            else:
                c.sendall(b'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
            time.sleep(0.01)
    try:
        got = get(s).body
    except OSError as e:
        got = repr(e)
    equal('nobody reads: others are served', got, b'<p>page</p>')
    time.sleep(0.5)
    before = cpu(s.proc.pid)
    time.sleep(1)
    used = cpu(s.proc.pid) - before
    check('nobody reads: and nothing is done', used < 0.5, '%.2f s of 1' % used)
    for c in conns:
        c.close()
    equal('nobody reads: ends', s.stop(), 0)


def watched(pid, seconds):
    """The system calls that it and its sibling begin meanwhile, and how many
    calls were seen in all; or None and why not."""
    out = os.path.join(tmpdir('trace'), 'calls')
    with open('/proc/%d/task/%d/children' % (pid, pid)) as f:
        pids = [str(pid)] + f.read().split()
    p = spawn(['strace', '-f', '-ttt', '-o', out,
               *sum((['-p', x] for x in pids), [])], stdin=subprocess.DEVNULL,
              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = b''
    while said.count(b'attached') < len(pids):
        line = p.stderr.readline()
        if not line:
            return None, said.decode()
        said += line
    time.sleep(0.5)             # what they wait in is begun anew by that
    begin = time.time()
    time.sleep(seconds)
    end = time.time()
    p.send_signal(signal.SIGINT)
    p.wait()
    p.stderr.close()
    with open(out) as f:
        lines = [line.strip() for line in f]
    return [x for x in lines if begin < float(x.split()[1]) < end], len(lines)


def peace():
    """Who has nothing to do does nothing."""
    if VALGRIND:
        return skip('idle: no system call', 'valgrind makes some')
    # only root may look at who cannot be dumped
    flags = () if os.getuid() == 0 else ('--sandbox=off',)
    seconds = 60 if SOAK else 3
    s = Site(root(), '--idle-timeout', '0', *flags)
    for kind in KINDS:
        ask(kind, s)
    time.sleep(2)               # memory of those who wait is given back
    for name in 'three that wait', 'nobody':
        calls, seen = watched(s.proc.pid, seconds)
        if calls is None:
            skip('idle: no system call', seen)
            break
        equal('idle, with %s: no system call for %d s' % (name, seconds),
              calls, [])
        check('idle, with %s: both were watched' % name, seen >= 2, seen)
        for c in s.clients.values():
            c.close()
        time.sleep(3)
    equal('idle: ends', s.stop(), 0)


def queued():
    """Who came before the start gets TCP_NODELAY too: the listener had none to
    give when it made that connection, and a short answer would wait for the
    client's delayed acknowledgement."""
    out = os.path.join(tmpdir('trace'), 'calls')
    if VALGRIND or STRICT or not shutil.which('strace'):
        return skip('queued before the start', 'no strace of this')
    with socket.create_server(('127.0.0.1', 0)) as l:
        port = l.getsockname()[1]
        early = socket.create_connection(('127.0.0.1', port))
        early.sendall(b'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
        p = spawn(['strace', '-o', out, '-e', 'trace=accept4,setsockopt', SWS,
                   '--fd', '0', '--idle-exit', '1', root()], stdin=l,
                  stderr=subprocess.DEVNULL, env=clean_env(
                      ASAN_OPTIONS='detect_leaks=0'))     # not under strace
        data, _ = read_all(early, 5, lambda d: b'<p>page' in d)
        time.sleep(0.2)
        with socket.create_connection(('127.0.0.1', port)) as late:
            late.sendall(b'GET / HTTP/1.0\r\n\r\n')
            read_all(late)
        early.close()
    equal('queued before the start: exit', p.wait(20 * SLOW), 0)
    with open(out) as f:
        text = f.read()
    got = [fd in re.findall(r'setsockopt\((\d+), SOL_TCP, TCP_NODELAY', part)
           for fd, part in re.findall(
               r'accept4\(.*\) = (\d+)\n((?:set.*\n|.*EAGAIN.*\n)*)', text)]
    equal('queued before the start: without delay; later ones inherit it', got,
          [True, False])


def box_first():
    """Who came before us, by a passed connection or in the queue, is listened
    to only in the box."""
    out = os.path.join(tmpdir('trace'), 'calls')
    if VALGRIND or STRICT or not shutil.which('strace'):
        return skip('the box first', 'no strace of this')
    for what in 'a connection', 'the queue':
        s = socket.create_server(('127.0.0.1', 0))
        c = socket.create_connection(s.getsockname())
        c.sendall(b'GET / HTTP/1.0\r\n\r\n')
        if what == 'a connection':
            s = s.accept()[0]
            s.setblocking(True)
        p = spawn(['strace', '-o', out, SWS, '--fd', '0', '--idle-exit', '1',
                   root()], stdin=s, stderr=subprocess.DEVNULL, env=clean_env(
                       ASAN_OPTIONS='detect_leaks=0'))
        s.close()
        data, how = read_all(c)
        c.close()
        check('%s: is served' % what, data.endswith(b'<p>page</p>') and
              p.wait(20 * SLOW) == 0, (data, how))
        with open(out) as f:
            text = f.read()
        box, read = text.find('\nseccomp('), text.find('"GET / HTTP/1.0')
        if box < 0:
            skip('%s: not before the box' % what, 'no box in this build')
        else:
            check('%s: not before the box' % what, 0 < box < read, text[-999:])


run([ends, second, nobody_reads, just_now, peace, queued, box_first])
