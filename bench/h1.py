"""Rounds of wrk against several servers; prints CPU time a request.

Run by h1.sh.  All servers of a case are started together on one core, wrk runs
on another; a round asks each server once, in an order that rotates.
"""
import argparse, os, re, shutil, signal, socket, statistics, subprocess, sys
import time

PATH = os.environ.get('PATH', '') + ':/usr/sbin:/sbin:/usr/local/sbin'
# case: (file, its size, connections, close after each)
CASES = {
    'small': ('612.html', 612, 32, False),
    'one': ('612.html', 612, 1, False),
    'large': ('100k.bin', 102400, 32, False),
    'close': ('612.html', 612, 32, True),
}
SERVERS = ['floor', 'sws', 'sws-nolog', 'nginx', 'lighttpd']


def options():
    p = argparse.ArgumentParser(description='CPU time a request')
    p.add_argument('--work', required=True, help=argparse.SUPPRESS)
    p.add_argument('-r', '--rounds', type=int, default=5)
    p.add_argument('-t', '--seconds', type=float, default=2,
                   help='of each measurement')
    p.add_argument('-c', '--cases', default='small,one,large',
                   help='of ' + ','.join(CASES))
    p.add_argument('-s', '--servers', default=','.join(SERVERS),
                   help='of ' + ','.join(SERVERS) + '; the first one is what '
                   'the others are compared to')
    p.add_argument('-n', '--connections', type=int,
                   help='instead of the case\'s own number')
    p.add_argument('--core', type=int, default=0, help='of the servers')
    p.add_argument('--load-core', type=int, default=1, help='of wrk')
    return p.parse_args()


def fail(why):
    sys.exit('h1: ' + why)


def need(name):
    exe = shutil.which(name, path=PATH)
    if exe is None:
        fail(name + ' is not installed')
    return exe


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def fetch(port, path):
    """One response as (head, body)."""
    with socket.create_connection(('127.0.0.1', port), 5) as s:
        s.sendall(('GET %s HTTP/1.1\r\nHost: a\r\n\r\n' % path).encode())
        data = b''
        while True:
            head, sep, body = data.partition(b'\r\n\r\n')
            m = re.search(rb'(?i)\r\ncontent-length: *(\d+)', head)
            if sep and m and len(body) >= int(m.group(1)):
                return head + sep, body
            part = s.recv(262144)
            if not part:
                return data, b''
            data += part


class Peer:
    """A running server: .port, and the process whose time counts."""

    def __init__(self, name, opt, root, head, size, close):
        self.name, self.proc = name, None
        d = os.path.join(opt.work, 'run', name)
        os.makedirs(d, exist_ok=True)
        pin = [need('taskset'), '-c', str(opt.core)]
        env = {k: v for k, v in os.environ.items()
               if not re.match(r'SERVER_|LISTEN_|NOTIFY_', k)}
        self.err = os.path.join(d, 'stderr')
        argv = getattr(self, name.split('-')[0])(d, opt, root, head, size,
                                                 close)
        with open(self.err, 'wb') as err:
            self.proc = subprocess.Popen(
                pin + argv, stdin=subprocess.DEVNULL, env=env, stderr=err,
                stdout=subprocess.PIPE if name == 'floor' else err)
        if name == 'floor':
            self.port = int(self.proc.stdout.readline() or 0)
        self.wait(root, size)
        self.pid = self.worker()

    def floor(self, d, opt, root, head, size, close):
        return [opt.work + '/floor', str(head), str(size)] + \
            (['close'] if close else [])

    def sws(self, d, opt, root, head, size, close):
        self.port = free_port()
        log = '--access-log=false' if self.name == 'sws-nolog' else \
            '--log-file=' + d + '/access'
        return [os.path.abspath(os.environ['SWS']), '--host', '127.0.0.1',
                '--port', str(self.port), log, root]

    def nginx(self, d, opt, root, head, size, close):
        self.port = free_port()
        with open(d + '/conf', 'w') as f:
            f.write('''
daemon off;
worker_processes 1;
%s
error_log %s/error warn;
pid %s/pid;
events { worker_connections 4096; }
http {
	access_log off;
	types { text/html html; }
	default_type application/octet-stream;
	sendfile on;
	tcp_nopush on;
	open_file_cache max=1000 inactive=60s;
	open_file_cache_valid 60s;
	open_file_cache_min_uses 1;
	keepalive_timeout 60s;
	keepalive_requests 1000000000;
	client_body_temp_path %s/t1;
	proxy_temp_path %s/t2;
	fastcgi_temp_path %s/t3;
	uwsgi_temp_path %s/t4;
	scgi_temp_path %s/t5;
	server { listen 127.0.0.1:%d backlog=1024; root %s; }
}
''' % ('user root;' if os.geteuid() == 0 else '', d, d, d, d, d, d, d,
                self.port, root))
        return [need('nginx'), '-p', d, '-e', d + '/error', '-c', d + '/conf']

    def lighttpd(self, d, opt, root, head, size, close):
        self.port = free_port()
        with open(d + '/conf', 'w') as f:
            f.write('''
server.document-root = "%s"
server.bind = "127.0.0.1"
server.port = %d
server.errorlog = "%s/error"
server.max-keep-alive-requests = 65535
server.max-keep-alive-idle = 60
server.max-connections = 4096
server.max-fds = 16384
mimetype.assign = ( ".html" => "text/html", "" => "application/octet-stream" )
''' % (root, self.port, d))
        return [need('lighttpd'), '-D', '-f', d + '/conf']

    def wait(self, root, size):
        """Until it answers, and rightly."""
        name = '/100k.bin' if size > 1000 else '/612.html'
        end = time.time() + 10
        while True:
            try:
                self.head, body = fetch(self.port, name)
                break
            except OSError:
                if time.time() > end or self.proc.poll() is not None:
                    with open(self.err, errors='replace') as f:
                        fail('%s did not start: %s' % (self.name, f.read()))
                time.sleep(0.02)
        with open(root + name, 'rb') as f:
            want = f.read()
        if self.name == 'floor':
            want = b'x' * size
        if not self.head.startswith(b'HTTP/1.1 200 ') or body != want:
            fail('%s sent a wrong answer: %r' % (self.name, self.head))
        self.sent = len(self.head) + len(body)

    def worker(self):
        """The one process that serves.  nginx has a parent that only waits, sws
        a child that waits to start a successor."""
        with open('/proc/%d/task/%d/children' %
                  (self.proc.pid, self.proc.pid)) as f:
            kids = f.read().split()
        if len(kids) > (self.name in ('nginx', 'sws', 'sws-nolog')):
            fail('%s has more than one process that serves' % self.name)
        return int(kids[0]) if kids and self.name == 'nginx' else self.proc.pid

    def cpu(self):
        """Nanoseconds of CPU so far, over all threads; from the scheduler,
        or in ticks where the kernel does not count so."""
        ns = 0
        base = '/proc/%d/task' % self.pid
        for tid in os.listdir(base):
            try:
                with open('%s/%s/schedstat' % (base, tid)) as f:
                    ns += int(f.read().split()[0])
            except (OSError, IndexError):
                ns = 0
                break
        if ns > 0:
            return ns
        with open('/proc/%d/stat' % self.pid) as f:
            v = f.read().rpartition(')')[2].split()
        return (int(v[11]) + int(v[12])) * 1000000000 // \
            os.sysconf('SC_CLK_TCK')

    def stop(self):
        if self.proc and self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
            try:
                self.proc.wait(5)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()


def parse_wrk(text):
    """(requests, seconds, errors) of wrk's report."""
    m = re.search(r'(?m)^\s*(\d+) requests in ([\d.]+)(us|ms|s|m|h),', text)
    if not m:
        fail('cannot read what wrk said: ' + text)
    unit = {'us': 1e-6, 'ms': 1e-3, 's': 1, 'm': 60, 'h': 3600}[m.group(3)]
    bad = 0
    n = re.search(r'Non-2xx or 3xx responses: (\d+)', text)
    if n:
        bad += int(n.group(1))
    n = re.search(r'Socket errors: connect (\d+), read (\d+), write (\d+), '
                  r'timeout (\d+)', text)
    if n:
        bad += sum(int(x) for x in n.groups())
    elif 'Socket errors' in text:
        fail('cannot read what wrk said: ' + text)
    return int(m.group(1)), float(m.group(2)) * unit, bad


def load(peer, opt, name, conns, close):
    """One measurement: (ns of CPU a request, requests a second, errors)."""
    argv = [need('taskset'), '-c', str(opt.load_core), need('wrk'), '-t1',
            '-c%d' % conns, '-d%gs' % max(1, opt.seconds)]
    if close:
        argv += ['-H', 'Connection: close']
    before = peer.cpu()
    p = subprocess.run(argv + ['http://127.0.0.1:%d/%s' % (peer.port, name)],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       universal_newlines=True)
    used = peer.cpu() - before
    if p.returncode != 0:
        fail('wrk: ' + p.stdout)
    n, secs, bad = parse_wrk(p.stdout)
    if n == 0:
        fail('%s answered nothing: %s' % (peer.name, p.stdout))
    if peer.proc.poll() is not None:
        fail('%s ended' % peer.name)
    return used / n, n / secs, bad


def case(title, opt, root):
    name, size, conns, close = CASES[title]
    conns = opt.connections or conns
    names = opt.servers.split(',')
    peers, head = [], 250
    try:
        # the floor comes last: its answer is as long as that of sws
        for n in sorted(names, key=lambda n: n == 'floor'):
            peers.append(Peer(n, opt, root, head, size, close))
            if n.startswith('sws'):
                head = len(peers[-1].head)
        peers.sort(key=lambda p: names.index(p.name))
        got = {p.name: [] for p in peers}
        for r in range(opt.rounds):
            for k in range(len(peers)):
                p = peers[(r + k) % len(peers)]
                got[p.name].append(load(p, opt, name, conns, close))
    finally:
        for p in peers:
            p.stop()
    print('\n%s: %d bytes, %d connection%s, %s, %d rounds of %g s' % (
        title, size, conns, '' if conns == 1 else 's',
        'closed after each' if close else 'kept', opt.rounds,
        max(1, opt.seconds)))
    print('%-10s %9s %8s %8s %7s %9s %6s %6s' % (
        'server', 'us/req', 'lowest', 'highest', 'ratio', 'req/s', 'bytes',
        'errors'))
    first = got[peers[0].name]
    errors = 0
    for p in peers:
        us = [x[0] / 1000 for x in got[p.name]]
        # round by round: what slows the machine slows both
        ratio = statistics.median(x[0] / f[0] for x, f in
                                  zip(got[p.name], first))
        bad = sum(x[2] for x in got[p.name])
        errors += bad
        print('%-10s %9.2f %8.2f %8.2f %7.2f %9.0f %6d %6d' % (
            p.name, statistics.median(us), min(us), max(us), ratio,
            statistics.median(x[1] for x in got[p.name]), p.sent, bad),
            flush=True)
    return errors


def main():
    opt = options()
    for n in opt.servers.split(','):
        if n not in SERVERS:
            fail('unknown server ' + n)
    for c in opt.cases.split(','):
        if c not in CASES:
            fail('unknown case ' + c)
    cores = os.sched_getaffinity(0)
    if not {opt.core, opt.load_core} <= cores or opt.core == opt.load_core:
        fail('needs two cores, %d and %d' % (opt.core, opt.load_core))
    need('wrk')
    root = opt.work + '/root'
    os.makedirs(root)
    for name, size, _, _ in CASES.values():
        with open(root + '/' + name, 'wb') as f:
            f.write(bytes((i * 7 + i // 251) % 256 for i in range(size)))
    # a file that has just changed may change again: some open it each time
    time.sleep(4)
    errors = sum([case(c, opt, root) for c in opt.cases.split(',')])
    if errors:
        fail('%d errors: the figures are worth nothing' % errors)


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, lambda *a: sys.exit(1))
    main()
