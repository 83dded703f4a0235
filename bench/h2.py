"""Rounds of h2load against several servers; prints CPU time a request.

Run by h2.sh, see README.md.  The servers of a case run on one core, all that
asks them on another; a round asks each once, in an order that rotates.
"""
import argparse, os, re, resource, signal, socket, ssl, statistics, struct
import subprocess, sys, time
import h1
from h1 import need

CIPHER = 'ECDHE-ECDSA-AES128-GCM-SHA256'
CIPHER_13 = 'TLS_AES_128_GCM_SHA256'    # nghttpd cannot be kept from TLS 1.3
SERVERS = ['sws', 'nghttpd', 'h2o', 'lighttpd', 'nginx']
# file: its size
FILES = {'612.html': 612, '100k.bin': 102400, '1m.bin': 1 << 20}
# case: (protocol, TLS, file, connections, streams of each)
CASES = {
    'h2c': ('h2', False, '612.html', 16, 32),
    'h2': ('h2', True, '612.html', 16, 32),
    'h1-612': ('h1', True, '612.html', 16, 1),
    'h1-100k': ('h1', True, '100k.bin', 16, 1),
    'h1-1m': ('h1', True, '1m.bin', 16, 1),
}
MORE = ['handshake', 'memory']
# what is measured with idle connections: (name, protocol, TLS)
IDLE = [('TLS, HTTP/1.1', 'h1', True), ('h2c', 'h2', False),
        ('TLS, HTTP/2', 'h2', True)]
PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'


def fail(why):
    sys.exit('h2: ' + why)


h1.fail = fail


def options():
    p = argparse.ArgumentParser(description='CPU time of HTTP/2 and TLS')
    p.add_argument('--work', required=True, help=argparse.SUPPRESS)
    p.add_argument('-r', '--rounds', type=int, default=5)
    p.add_argument('-t', '--seconds', type=float, default=2,
                   help='of each measurement')
    p.add_argument('-c', '--cases', default=','.join([*CASES, *MORE]),
                   help='of ' + ','.join([*CASES, *MORE]))
    p.add_argument('-s', '--servers',
                   help='of ' + ','.join(SERVERS) + '; the first one is what '
                   'the others are compared to [those installed]')
    p.add_argument('-n', '--idle', type=int, default=500,
                   help='connections for `memory`')
    p.add_argument('--core', type=int, default=0, help='of the servers')
    p.add_argument('--load-core', type=int, default=1, help='of the load')
    return p.parse_args()


# ---- a small client ---------------------------------------------------------

def frame(kind, flags=0, sid=0, payload=b''):
    return struct.pack('>I', len(payload))[1:] + \
        struct.pack('>BBI', kind, flags, sid) + payload


def literal(name, value):
    return b'\0' + bytes([len(name)]) + name + bytes([len(value)]) + value


def context(alpn=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    c.minimum_version = c.maximum_version = ssl.TLSVersion.TLSv1_2
    c.set_ciphers(CIPHER)
    if alpn:
        c.set_alpn_protocols([alpn])
    return c


def connect(port, tls=None, session=None):
    s = socket.create_connection(('127.0.0.1', port), 10)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return tls.wrap_socket(s, session=session) if tls else s


def some(s):
    part = s.recv(262144)
    if not part:
        raise OSError('closed before the answer was complete')
    return part


def ask_h1(s, path):
    s.sendall(('GET /%s HTTP/1.1\r\nHost: a\r\n\r\n' % path).encode())
    data = b''
    while True:
        head, sep, body = data.partition(b'\r\n\r\n')
        m = re.search(rb'(?i)\r\ncontent-length: *(\d+)', head)
        if sep and m and len(body) >= int(m.group(1)):
            return body
        data += some(s)


def ask_h2(s, path):
    """The content of one answer, with windows large enough for all of it."""
    scheme = b'https' if isinstance(s, ssl.SSLSocket) else b'http'
    block = literal(b':method', b'GET') + literal(b':scheme', scheme) + \
        literal(b':path', b'/' + path.encode()) + literal(b':authority', b'a')
    s.sendall(PREFACE + frame(4, 0, 0, struct.pack('>HI', 4, 1 << 24)) +
              frame(8, 0, 0, struct.pack('>I', 1 << 24)) +
              frame(1, 5, 1, block))
    data, body, known = b'', b'', False
    while True:
        while len(data) >= 9 and len(data) >= 9 + int.from_bytes(
                data[:3], 'big'):
            n = int.from_bytes(data[:3], 'big')
            kind, flags, sid = struct.unpack('>BBI', data[3:9])
            load, data = data[9:9 + n], data[9 + n:]
            if kind == 4 and not flags & 1:
                s.sendall(frame(4, 1))
                known = True
            if kind in (3, 7):
                raise OSError('frame %d: %r' % (kind, load))
            if kind == 0:
                body += load[1:n - load[0]] if flags & 8 else load
            if kind in (0, 1) and flags & 1 and known:
                return body
        data += some(s)


def ask(proto, s, path):
    return (ask_h2 if proto == 'h2' else ask_h1)(s, path)


# ---- the servers ------------------------------------------------------------

class Peer(h1.Peer):
    """A running server, with or without TLS; cpu(), worker() and stop() are
    those of h1.py.  .fault says why it cannot be used, by protocol."""

    def __init__(self, name, tls, opt):
        self.name, self.tls, self.proc, self.fault = name, tls, None, {}
        self.work, self.root = opt.work, opt.work + '/root'
        self.port = h1.free_port()
        d = '%s/run/%s-%d' % (opt.work, name, self.port)
        os.makedirs(d)
        self.cert, self.key = opt.work + '/cert.pem', opt.work + '/key.pem'
        self.err = d + '/stderr'
        env = {k: v for k, v in os.environ.items()
               if not re.match(r'SERVER_|LISTEN_|NOTIFY_', k)}
        # for those that have no options for it
        env['OPENSSL_CONF'] = opt.work + '/openssl.cnf'
        with open(self.err, 'wb') as err:
            self.proc = subprocess.Popen(
                [need('taskset'), '-c', str(opt.core)] +
                getattr(self, name)(d), stdin=subprocess.DEVNULL, env=env,
                stdout=err, stderr=err)
        self.wait()
        self.pid = self.worker()

    def sws(self, d):
        more = ['-C', self.cert, '-K', self.key] if self.tls else []
        return [os.path.abspath(os.environ['SWS']), '--host', '127.0.0.1',
                '--port', str(self.port), '--access-log=false',
                '--idle-timeout', '60', *more, self.root]

    def nghttpd(self, d):
        return [need('nghttpd'), '-n1', '-a', '127.0.0.1', '-d', self.root] + \
            (['%d' % self.port, self.key, self.cert] if self.tls else
             ['--no-tls', '%d' % self.port])

    def h2o(self, d):
        with open(d + '/conf', 'w') as f:
            f.write('''
num-threads: 1
%slisten:
  host: 127.0.0.1
  port: %d
%shttp1-request-timeout: 60
http2-idle-timeout: 60
pid-file: %s/pid
error-log: %s/error
hosts:
  default:
    paths:
      /:
        file.dir: %s
''' % ('user: root\n' if os.geteuid() == 0 else '', self.port, '''  ssl:
    certificate-file: %s
    key-file: %s
    minimum-version: TLSv1.2
    cipher-suite: %s
    cipher-preference: server
    neverbleed: OFF
''' % (self.cert, self.key, CIPHER) if self.tls else '', d, d, self.root))
        return [need('h2o'), '-m', 'worker', '-c', d + '/conf']

    def lighttpd(self, d):
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
server.feature-flags = ( "server.h2proto" => "enable",
                         "server.h2c" => "enable" )
mimetype.assign = ( ".html" => "text/html", "" => "application/octet-stream" )
''' % (self.root, self.port, d) + ('''
server.modules += ( "mod_openssl" )
ssl.engine = "enable"
ssl.pemfile = "%s"
ssl.privkey = "%s"
ssl.openssl.ssl-conf-cmd = ( "MinProtocol" => "TLSv1.2",
    "MaxProtocol" => "TLSv1.2", "CipherString" => "%s" )
''' % (self.cert, self.key, CIPHER) if self.tls else ''))
        return [need('lighttpd'), '-D', '-f', d + '/conf']

    def nginx(self, d):
        # without TLS it takes HTTP/2 alone on such a socket
        how = 'ssl http2' if self.tls else 'http2'
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
''' % ('user root;' if os.geteuid() == 0 else '', d, d) + ''.join(
                '\t%s_temp_path %s/%s;\n' % (t, d, t) for t in
                ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi')) + ('''
	ssl_certificate %s;
	ssl_certificate_key %s;
	ssl_protocols TLSv1.2;
	ssl_ciphers %s;
	ssl_session_cache shared:s:10m;
''' % (self.cert, self.key, CIPHER) if self.tls else '') + '''
	server { listen 127.0.0.1:%d %s backlog=1024; root %s; }
}
''' % (self.port, how, self.root))
        return [need('nginx'), '-p', d, '-e', d + '/error', '-c', d + '/conf']

    def protocols(self):
        if self.name == 'nghttpd' or self.name == 'nginx' and not self.tls:
            return ['h2']
        return ['h1', 'h2']

    def wait(self):
        """Until it answers, and rightly: every file, in each protocol, and
        with the cipher that is compared."""
        end = time.time() + 10
        while True:
            try:
                connect(self.port).close()
                break
            except OSError:
                if time.time() > end or self.proc.poll() is not None:
                    self.stop()
                    with open(self.err, errors='replace') as f:
                        fail('%s did not start: %s' % (self.name, f.read()))
                time.sleep(0.02)
        for proto in self.protocols():
            for name in FILES:
                with open(self.root + '/' + name, 'rb') as f:
                    want = f.read()
                try:
                    tls = None
                    if self.tls:
                        tls = context('h2' if proto == 'h2' else 'http/1.1')
                        if self.name != 'nghttpd':
                            tls.maximum_version = \
                                ssl.TLSVersion.MAXIMUM_SUPPORTED
                    with connect(self.port, tls) as s:
                        if tls and s.cipher()[:2] != (CIPHER, 'TLSv1.2'):
                            raise OSError('chose %s' % (s.cipher(),))
                        if ask(proto, s, name) != want:
                            raise OSError('wrong content of ' + name)
                except OSError as e:
                    self.fault[proto] = str(e)
                    break

    def memory(self):
        """Bytes of its own: what it shares is counted in part."""
        with open('/proc/%d/smaps_rollup' % self.pid) as f:
            m = re.search(r'(?m)^Pss: *(\d+) kB', f.read())
        return int(m.group(1)) * 1024

    def alive(self):
        if self.proc.poll() is not None:
            fail('%s ended' % self.name)


# ---- measuring --------------------------------------------------------------

def h2load(peer, proto, name, conns, *more):
    """(ns of CPU, requests answered, requests a second, errors) of a run."""
    argv = [need('h2load'), '-t1', '-c%d' % conns, '--ciphers=' + CIPHER,
            '--tls13-ciphers=' + CIPHER_13, *more]
    argv += ['--h1'] if proto == 'h1' else ['--npn-list=h2'] * peer.tls
    before = peer.cpu()
    p = subprocess.run(argv + ['http%s://127.0.0.1:%d/%s' % (
        's' * peer.tls, peer.port, name)], stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, universal_newlines=True)
    used = peer.cpu() - before
    peer.alive()
    n = re.search(r'requests: \d+ total, \d+ started, \d+ done, (\d+) '
                  r'succeeded, (\d+) failed, (\d+) errored', p.stdout)
    rate = re.search(r'finished in [\d.]+[mu]?s, ([\d.]+) req/s', p.stdout)
    codes = re.search(r'status codes: (\d+) 2xx', p.stdout)
    if p.returncode or not n or not rate or not codes:
        fail('%s: %s' % (peer.name, p.stdout))
    if peer.tls and not re.search('(?m)^Cipher: %s$' % (
            CIPHER_13 if peer.name == 'nghttpd' else CIPHER), p.stdout):
        fail('%s: another cipher: %s' % (peer.name, p.stdout))
    good = int(n.group(1))
    return used, good, float(rate.group(1)), int(n.group(2)) + \
        max(0, good - int(codes.group(1)))


def load(peer, opt, proto, name, conns, streams):
    """One measurement: (ns of CPU a request, requests a second, errors)."""
    # what the connections cost is not a request's: it is taken off
    less, few, _, bad = h2load(peer, proto, name, conns, '-n%d' % conns, '-m1')
    used, good, rate, more = h2load(peer, proto, name, conns, '-m%d' % streams,
                                    '-D%g' % max(1, opt.seconds))
    if good <= few:
        fail('%s answered only %d requests' % (peer.name, good))
    return (used - less) / (good - few), rate, bad + more


def handshakes(peer, opt, resume):
    """The same of handshakes; an error is one that was not as asked for."""
    tls = context('h2' if peer.name == 'nghttpd' else 'http/1.1')
    session = None
    if resume:
        with connect(peer.port, tls) as s:
            session = s.session
    n = bad = 0
    before, begin = peer.cpu(), time.monotonic()
    while time.monotonic() - begin < max(1, opt.seconds):
        with connect(peer.port, tls, session) as s:
            bad += s.session_reused != resume
        n += 1
    rate = n / (time.monotonic() - begin)
    time.sleep(0.1)             # the last one's end may still be on its way
    return (peer.cpu() - before) / n, rate, bad


def rounds(title, peers, opt, measure, unit=1000, per='us/req', rate='req/s'):
    """Ask each in each round; print a table; returns the errors."""
    got = {p.name: [] for p in peers}
    for r in range(opt.rounds):
        for k in range(len(peers)):
            p = peers[(r + k) % len(peers)]
            got[p.name].append(measure(p))
    print('\n%s, %d rounds of %g s' % (title, opt.rounds, max(1, opt.seconds)))
    print('%-10s %9s %8s %8s %7s %9s %6s' % (
        'server', per, 'lowest', 'highest', 'ratio', rate, 'errors'))
    errors = 0
    for p in peers:
        v = [x[0] / unit for x in got[p.name]]
        # round by round: what slows the machine slows both
        ratio = statistics.median(x[0] / f[0] for x, f in
                                  zip(got[p.name], got[peers[0].name]))
        bad = sum(x[2] for x in got[p.name])
        errors += bad
        print('%-10s %9.2f %8.2f %8.2f %7.2f %9.0f %6d' % (
            p.name, statistics.median(v), min(v), max(v), ratio,
            statistics.median(x[1] for x in got[p.name]), bad), flush=True)
    return errors


def gone(s):
    """Has the server closed it?"""
    s.setblocking(False)
    try:
        while s.recv(4096):
            pass
        return True
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True


def resumes(peer):
    tls = context('h2' if peer.name == 'nghttpd' else 'http/1.1')
    for k in range(100):
        if k % 20 == 0:         # some lose one session and keep the next
            with connect(peer.port, tls) as s:
                session = s.session
        time.sleep(0.001)       # it sees first that the last one has gone
        with connect(peer.port, tls, session) as s:
            if not s.session_reused:
                print('%s is left out, resumed: it forgets a session whose '
                      'connection ended without notice' % peer.name)
                return False
    return True


def idle(opt, name, proto, tls):
    """Bytes of memory a connection that waits behind one answer, or why not.
    The server is new: what another measurement left behind would be reused."""
    peer, socks = Peer(name, tls, opt), []
    try:
        if proto in peer.fault:
            return peer.fault[proto]
        c = context('h2' if proto == 'h2' else 'http/1.1') if tls else None
        time.sleep(0.3)
        before = peer.memory()
        for _ in range(opt.idle):
            socks.append(connect(peer.port, c))
            ask(proto, socks[-1], '612.html')
        time.sleep(0.5)
        used = peer.memory() - before
        lost = sum(gone(s) for s in socks)
        if lost:
            return '%d connections were closed' % lost
        return used / opt.idle
    except OSError as e:
        return 'after %d connections: %s' % (len(socks), e)
    finally:
        for s in socks:
            s.close()
        peer.stop()


def memory(opt, names):
    print('\nmemory of %d idle connections, one answer each' % opt.idle)
    print('%-10s %-14s %9s %7s' % ('server', 'protocol', 'bytes', 'ratio'))
    for title, proto, tls in IDLE:
        first = None
        for n in names:
            if n == 'nghttpd' and proto == 'h1':
                continue
            v = idle(opt, n, proto, tls)
            if isinstance(v, str):
                print('%-10s %-14s left out: %s' % (n, title, v), flush=True)
                continue
            first = v if n == names[0] else first
            print('%-10s %-14s %9d %7s' % (n, title, v, '%.2f' % (v / first)
                                           if first else '-'), flush=True)


def usable(peers, tls, proto):
    out = []
    for p in peers:
        if p.tls != tls or proto not in p.protocols():
            continue
        if proto in p.fault:
            print('%s is left out, %s%s: %s' % (
                p.name, proto, ' over TLS' * tls, p.fault[proto]))
        else:
            out.append(p)
    return out


def main():
    opt = options()
    names = opt.servers.split(',') if opt.servers else \
        [n for n in SERVERS if n == 'sws' or h1.shutil.which(n, path=h1.PATH)]
    cases = opt.cases.split(',')
    for n in names:
        if n not in SERVERS:
            fail('unknown server ' + n)
    for c in cases:
        if c not in CASES and c not in MORE:
            fail('unknown case ' + c)
    cores = os.sched_getaffinity(0)
    if not {opt.core, opt.load_core} <= cores or opt.core == opt.load_core:
        fail('needs two cores, %d and %d' % (opt.core, opt.load_core))
    need('h2load')
    os.sched_setaffinity(0, {opt.load_core})
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.makedirs(opt.work + '/root')
    for name, size in FILES.items():
        with open(opt.work + '/root/' + name, 'wb') as f:
            f.write(bytes((i * 7 + i // 251) % 256 for i in range(size)))
    # a file that has just changed may change again: some open it each time
    time.sleep(4)
    with open(opt.work + '/openssl.cnf', 'w') as f:
        f.write('openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n'
                '[c]\nMinProtocol = TLSv1.2\nMaxProtocol = TLSv1.2\n'
                'CipherString = %s\n' % CIPHER)
    peers, errors = [], 0
    try:
        if set(cases) != {'memory'}:
            for tls in False, True:
                peers += [Peer(n, tls, opt) for n in names]
        for c in cases:
            if c in CASES:
                proto, tls, name, conns, streams = CASES[c]
                errors += rounds('%s: %d bytes, %d connections x %d%s' % (
                    c, FILES[name], conns, streams, ', TLS' * tls),
                    usable(peers, tls, proto), opt,
                    lambda p: load(p, opt, proto, name, conns, streams))
            elif c == 'handshake':
                ps = [p for p in peers if p.tls and not p.fault]
                for resume in False, True:
                    errors += rounds('handshakes, %s' % (
                        'resumed' if resume else 'full'),
                        [p for p in ps if not resume or resumes(p)], opt,
                        lambda p: handshakes(p, opt, resume), 1000000, 'ms',
                        'a second')
    finally:
        for p in peers:
            p.stop()
    if 'memory' in cases:
        memory(opt, names)
    if errors:
        fail('%d errors: those lines are worth nothing' % errors)


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, lambda *a: sys.exit(1))
    main()
