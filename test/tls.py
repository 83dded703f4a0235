"""TLS and HTTP/2 over it: right bytes to many clients, keys, the end of
connections, hostile handshakes, ALPN, SNI, new certificates, sessions,
redirection and builds without it."""
import hashlib, hmac, json, random, struct
import lib
from lib import *
from clients import client, missing, png

rnd = random.Random(7)
MIB = 1 << 20
WORK = tmpdir('tls')
# any environment proxy would be asked for 127.0.0.1 too
for _n in [n for n in os.environ if n.lower().endswith('_proxy')]:
    del os.environ[_n]


def figure(*words):
    """For whoever looks; no check depends on it."""
    print(*words, file=sys.stderr, flush=True)


# ---- keys and certificates ---------------------------------------------------

def openssl(*args, data=None):
    p = subprocess.run(['openssl', *args], input=data, capture_output=True,
                       stdin=None if data is not None else subprocess.DEVNULL)
    if p.returncode:
        raise RuntimeError('openssl %s: %s' % (args, p.stderr[-300:]))
    return p.stdout


def rsa(bits):
    return 'RSA', '-pkeyopt', 'rsa_keygen_bits:%d' % bits


def ec(curve):
    return 'EC', '-pkeyopt', 'ec_paramgen_curve:' + curve


def make_key(name, how):
    """A PKCS#8 key in WORK."""
    path = os.path.join(WORK, name + '.key')
    openssl('genpkey', '-algorithm', *how, '-out', path)
    return path


def make_cert(name, key, names=('localhost',), ca=None, days=365):
    """Its certificate, signed by itself or by ca = (certificate, key)."""
    path = os.path.join(WORK, name + '.crt')
    san = ['IP:127.0.0.1'] + ['DNS:' + n for n in names]
    openssl('req', '-x509', '-new', '-key', key, '-out', path, '-subj',
            '/CN=' + names[0], '-days', str(days),
            '-addext', 'subjectAltName=' + ','.join(san),
            *(('-CA', ca[0], '-CAkey', ca[1]) if ca else ()))
    return path


_pairs = {}


def pair(kind='P-256', name=None, names=('localhost',)):
    """(certificate, key) of a kind, made once for each name."""
    name = name or kind
    if name not in _pairs:
        how = rsa(int(kind[4:])) if kind.startswith('RSA') else ec(kind)
        k = make_key(name, how)
        _pairs[name] = make_cert(name, k, names), k
    return _pairs[name]


def CK(p):
    """As options."""
    return ['-C', p[0], '-K', p[1]]


def der(path):
    """The first certificate of a file."""
    with open(path) as f:
        return ssl.PEM_cert_to_DER_cert(re.search(
            '-----BEGIN CERT.*?END CERTIFICATE-----', f.read(), re.S).group())


# ---- servers and clients -----------------------------------------------------

def content(root, name, n):
    """n bytes that nowhere repeat; returns their digest."""
    h, block, left, i = hashlib.sha256(), os.urandom(MIB - 8), n, 0
    os.makedirs(root, exist_ok=True)
    with open(os.path.join(root, name), 'wb') as f:
        while left > 0:
            part = (struct.pack('>Q', i) + block)[:left]
            f.write(part)
            h.update(part)
            left -= len(part)
            i += 1
    return h.hexdigest()


ROOT = os.path.join(WORK, 'root')
put(ROOT + '/index.html', b'<p>hello over TLS</p>\n')
PAGE = b'<p>hello over TLS</p>\n'
SUM = {'1': content(ROOT, '1.bin', MIB)}


class Passed:
    """sws with listening sockets from descriptor 3 on; .err is what it said."""

    def __init__(self, *args, socks=(), names=None, env=None, root=ROOT,
                 zero=None):
        self.errpath = os.path.join(tmpdir('log'), 'stderr')
        env = clean_env(**(env or {}))
        if names is not None:
            env.update(LISTEN_FDS=str(len(socks)), LISTEN_FDNAMES=names)
        def child():
            for i, s in enumerate(socks):   # first out of each other's way
                os.dup2(s.fileno(), 60 + i)
            for i in range(len(socks)):
                os.dup2(60 + i, 3 + i)
            os.closerange(3 + len(socks), 100)
        with open(self.errpath, 'wb') as e:
            self.proc = spawn([SWS, *map(str, args), root], env=env, stderr=e,
                              stdin=zero or subprocess.DEVNULL,
                              close_fds=False, preexec_fn=child)

    def log(self):
        with open(self.errpath, errors='replace') as f:
            return f.read()

    def ports(self, n=1):
        """Wait for n URLs; returns their [(scheme, port)]."""
        end = time.time() + 10 * SLOW
        while time.time() < end and self.proc.poll() is None:
            m = re.findall(r' on (https?)://\S*:(\d+)/', self.log())
            if len(m) >= n:
                return [(a, int(b)) for a, b in m]
            time.sleep(0.01)
        raise RuntimeError('sws did not start: ' + self.log())

    fds = Server.fds
    stop_ = Server.stop

    def stop(self, *a):
        self.err = open(os.devnull)
        return self.stop_(*a)


def refused(name, args, code, *parts, root=ROOT, env=None, sws=SWS):
    """It ends with code and one line that has all the parts."""
    with tempfile.TemporaryFile(dir=WORK) as e:
        p = spawn([sws, '--host', '127.0.0.1', '--port', '0', *args, root],
                  stdin=subprocess.DEVNULL, stdout=e, stderr=e,
                  env=clean_env(**(env or {})))
        end = time.time() + 5 * SLOW
        while p.poll() is None and time.time() < end:
            time.sleep(0.005)
            e.seek(0)
            if b': serving ' in e.read():
                break
        if p.poll() is None:
            p.kill()
            p.wait()
        e.seek(0)
        lines = e.read().decode(errors='replace').splitlines()
    codes = code if isinstance(code, tuple) else (code,)
    return check(name, p.returncode in codes and len(lines) == 1 and
                 lines[0].startswith('sws: ') and
                 all(x in lines[0] for x in parts),
                 'exit %s, %r, wanted %s with %s' % (p.returncode, lines, code,
                                                     parts))


def context(ca=None, alpn=(), version=ssl.TLSVersion.TLSv1_2):
    """A client's side; it checks the certificate when ca is given."""
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname = False
    if ca:
        c.load_verify_locations(ca)
        c.check_hostname = True
    else:
        c.verify_mode = ssl.CERT_NONE
    c.minimum_version, c.maximum_version = ssl.TLSVersion.TLSv1_2, version
    if alpn:
        c.set_alpn_protocols(list(alpn))
    return c


def dial(to, timeout=10):
    if not isinstance(to, int):
        to = to.port
    s = socket.create_connection(('127.0.0.1', to), timeout * SLOW)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def secure(to, ctx=None, name='localhost', session=None, timeout=10):
    """A TLS connection; an end without close_notify raises SSLEOFError."""
    s = to if isinstance(to, socket.socket) else dial(to, timeout)
    try:
        return (ctx or context()).wrap_socket(
            s, server_hostname=name, session=session,
            suppress_ragged_eofs=False)
    except BaseException:
        s.close()
        raise


def request(path='/', close=True, host='localhost', fields=''):
    return ('GET %s HTTP/1.1\r\nHost: %s\r\n%s%s\r\n' % (
        path, host, fields, 'Connection: close\r\n' if close else '')).encode()


def fetch(to, path='/', ctx=None, fields='', **kw):
    """One exchange; the answer, whose end must be a clean one."""
    with secure(to, ctx, **kw) as s:
        s.sendall(request(path, fields=fields))
        data, how = read_all(s, 20)
    r, rest = parse_responses(data)
    if len(r) != 1 or rest or how != 'eof' or not r[0].complete:
        raise RuntimeError('%s, %d answers, %r' % (how, len(r), data[:200]))
    return r[0]


def resting(server):
    """Descriptors of a server that has nothing to do; it may just be closing
    the last connection."""
    seen = []
    for _ in range(10):
        seen.append(server.fds())
        time.sleep(0.01)
    return min(seen)


def settled(server, want, timeout=5):
    """Wait until a server has at most `want` descriptors.  '' or why not."""
    end = time.time() + timeout * SLOW
    while server.fds() > want:
        if time.time() > end:
            return '%d, were %d' % (server.fds(), want)
        time.sleep(0.02)
    return ''


def lives(name, server, ctx=None):
    try:
        r = fetch(server, '/', ctx)
        good, why = r.status == 200 and r.body == PAGE, r
    except (OSError, RuntimeError) as e:
        good, why = False, repr(e)
    return check(name, good and server.proc.poll() is None,
                 '%s, %s' % (why, server.log()[-300:]))


# ---- the right bytes ---------------------------------------------------------

def digest(argv, data=None, head=False, timeout=40):
    """Run a client; (digest of its standard output, exit status, messages).
    head: what comes before an empty line does not count."""
    with tempfile.TemporaryFile(dir=WORK) as e:
        p = spawn(argv, stdin=subprocess.PIPE if data else subprocess.DEVNULL,
                  stdout=subprocess.PIPE, stderr=e)
        if data:
            p.stdin.write(data)
            p.stdin.flush()
        timer = threading.Timer(timeout * SLOW, p.kill)
        timer.start()
        h, first = hashlib.sha256(), b''
        while True:
            part = os.read(p.stdout.fileno(), MIB)
            if not part:
                break
            if head:
                first += part
                _, end, part = first.partition(b'\r\n\r\n')
                if not end:
                    continue
                head = False
            h.update(part)
        rc = p.wait()
        timer.cancel()
        p.stdout.close()
        if data:
            p.stdin.close()
        e.seek(0)
        return h.hexdigest(), rc, e.read()[-400:].decode(errors='replace')


def bytes_by(name, size, argv, said='', **kw):
    got, rc, err = digest(argv, **kw)
    return check('%s MiB by %s' % (size, name), got == SUM[size] and rc == 0 and
                 said in err, (got, rc, err))


def curl(scheme, port, size, version, ca, unix=None):
    # --globoff and -q: no settings of whoever runs this
    return ['curl', '-q', '-sS', '--noproxy', '*', '--cacert', ca, version,
            *(['--unix-socket', unix] if unix else []), '-w',
            '%{stderr}version %{http_version}',
            '%s://127.0.0.1:%d/%s.bin' % (scheme, port, size)]


def by_ssl(size, to, ca):
    """A plain loop over Python's TLS."""
    h, n, data = hashlib.sha256(), 0, b''
    with secure(to, context(ca)) as s:
        s.sendall(request('/%s.bin' % size))
        while b'\r\n\r\n' not in data:
            data += s.recv(65536)
        data = data.partition(b'\r\n\r\n')[2]
        buf = bytearray(MIB)
        h.update(data)
        n = len(data)
        while True:
            k = s.recv_into(buf)
            if not k:
                break
            h.update(memoryview(buf)[:k])
            n += k
    check('%s MiB by Python, h1+TLS' % size, h.hexdigest() == SUM[size],
          '%d bytes' % n)


BY_H2 = r'''
import hashlib, socket, ssl, sys
import h2.config, h2.connection, h2.events
port, tls, path, window = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
s = socket.create_connection(('127.0.0.1', port), 20)
if tls != '-':
    c = ssl.create_default_context(cafile=tls)
    c.set_alpn_protocols(['h2'])
    s = c.wrap_socket(s, server_hostname='localhost')
    assert s.selected_alpn_protocol() == 'h2'
c = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding='utf-8'))
c.initiate_connection()
if window:
    c.update_settings({4: window})
    c.increment_flow_control_window(window)
c.send_headers(1, [(':method', 'GET'), (':path', path), (':authority', 'localhost'),
    (':scheme', 'https' if tls != '-' else 'http')], end_stream=True)
s.sendall(c.data_to_send())
h, n, end, want = hashlib.sha256(), 0, False, None
while not end:
    data = s.recv(1 << 20)
    assert data, 'closed after %d bytes' % n
    for e in c.receive_data(data):
        if isinstance(e, h2.events.ResponseReceived):
            f = dict(e.headers)
            assert f[':status'] == '200', f
            want = int(f['content-length'])
        elif isinstance(e, h2.events.DataReceived):
            h.update(e.data)
            n += len(e.data)
            c.acknowledge_received_data(e.flow_controlled_length, 1)
        elif isinstance(e, h2.events.StreamEnded):
            end = True
        elif isinstance(e, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
            raise SystemExit(repr(e))
    s.sendall(c.data_to_send())
assert n == want, (n, want)
c.close_connection()
s.sendall(c.data_to_send())
print(h.hexdigest())
'''


def python_h2():
    """An interpreter that has the h2 package."""
    for exe in sys.executable, shutil.which('python3', path='/usr/bin'):
        if exe and subprocess.run([exe, '-c', 'import h2.connection'],
                                  stderr=subprocess.DEVNULL).returncode == 0:
            return exe
    check('client h2', False, 'no Python with the h2 package')


def by_h2(exe, size, port, tls, window):
    p = subprocess.run([exe, '-c', BY_H2, str(port), tls or '-',
                        '/%s.bin' % size, str(window)], capture_output=True,
                       timeout=40 * SLOW)
    check('%s MiB by Python h2, %s, window %s' %
          (size, 'TLS' if tls else 'h2c', window or 'as usual'),
          p.stdout.decode().strip() == SUM[size], p.stderr[-300:])


def transfers():
    if missing('openssl', 'curl', 'nghttp'):
        return
    SUM['100'] = content(ROOT, '100.bin', 100 * MIB)
    exe = python_h2()
    for kind in 'P-256', 'RSA-2048':
        p = pair(kind)
        ca = p[0]
        s = Server(ROOT, '--no-access-log', *CK(p))
        for size in SUM:        # files stay open for the next client
            fetch(s, '/%s.bin' % size, fields='Range: bytes=0-9\r\n')
        before = resting(s)
        for size in SUM if kind == 'P-256' else ['1']:
            how = ', ' + kind
            bytes_by('curl, h1+TLS' + how, size, curl(
                'https', s.port, size, '--http1.1', ca), 'version 1.1')
            bytes_by('curl, h2+TLS' + how, size, curl(
                'https', s.port, size, '--http2', ca), 'version 2')
            bytes_by('openssl s_client' + how, size, [
                'openssl', 's_client', '-quiet', '-connect', '127.0.0.1:%d' %
                s.port, '-CAfile', ca, '-verify_return_error'],
                data=request('/%s.bin' % size), head=True)
            bytes_by('nghttp, h2+TLS' + how, size, [
                'nghttp', '-w24', '-W24', 'https://127.0.0.1:%d/%s.bin' %
                (s.port, size)])
            by_ssl(size, s, ca)
            if exe:
                for w in (0, 1 << 22) if size == '1' else (1 << 22,):
                    by_h2(exe, size, s.port, ca, w)
        equal('descriptors after the transfers, ' + kind, settled(s, before), '')
        check('no error in the log, ' + kind, len(s.log().splitlines()) == 1,
              s.log()[-300:])
        equal('ends on TERM, ' + kind, s.stop(), 0)
    s = Server(ROOT, '--no-access-log')
    for size in '1', '100':
        bytes_by('curl, h2c', size, curl('http', s.port, size,
                 '--http2-prior-knowledge', ca), 'version 2')
        bytes_by('curl, h1', size, curl('http', s.port, size, '--http1.1', ca),
                 'version 1.1')
        bytes_by('nghttp, h2c', size, [
            'nghttp', '-w24', '-W24', 'http://127.0.0.1:%d/%s.bin' %
            (s.port, size)])
        if exe:
            by_h2(exe, size, s.port, None, 0 if size == '1' else 1 << 22)
    equal('ends on TERM, h2c', s.stop(), 0)


# ---- listeners by name -------------------------------------------------------

def listener(family=socket.AF_INET):
    s = socket.socket(family)
    if family == socket.AF_UNIX:
        s.bind(os.path.join(tmpdir('u'), 's'))
    else:
        s.bind(('127.0.0.1', 0))
    s.listen(64)
    return s


def speaks(s):
    """What a listening socket speaks: 'https', 'http' or why neither."""
    port, got = s.getsockname()[1], []
    for scheme, version in ('https', '--http2'), ('http', '--http1.1'):
        d, rc, err = digest(curl(scheme, port, '1', version, pair()[0]))
        if d == SUM['1'] and rc == 0:
            got.append(scheme)
    return '+'.join(got)


def listeners():
    p = pair()
    table = [           # arguments, names, what each listener speaks
        (CK(p), 'https', ['https']),
        (CK(p), 'tls', ['https']),
        (CK(p), 'https-public', ['https']),
        (CK(p), 'http', ['http']),
        (CK(p), 'web', ['https']),
        (CK(p), 'http:https', ['http', 'https']),
        (CK(p), 'tls:http', ['https', 'http']),
        (CK(p), 'https:http:web', ['https', 'http', 'https']),
        ([], 'web', ['http']),
        ([], 'http', ['http']),
        (CK(p) + ['--fd', '3'], None, ['https']),
        (['--fd', '3'], None, ['http']),
        (CK(p) + ['--fd', '0'], 'tls:http', ['https', '']),
        (CK(p) + ['--fd', 'http', '--fd', 'https'], 'http:https',
         ['http', 'https']),
    ]
    for args, names, want in table:
        socks = [listener() for _ in want]
        w = Passed('--no-access-log', *args, socks=socks, names=names)
        n = sum(1 for x in want if x)
        urls = w.ports(n)
        what = '%s, %s' % (names or 'no names', 'a certificate' if '-C' in args
                           else 'none')
        if '--fd' in args:
            what += ', --fd ' + args[-1]
        for s, x in zip(socks, want):
            if not x:           # not ours to serve
                s.close()
        equal('passed sockets: ' + what, [speaks(s) if x else ''
              for s, x in zip(socks, want)], want)
        equal('their URLs: ' + what, sorted(urls), sorted(
            (x, s.getsockname()[1]) for s, x in zip(socks, want) if x))
        equal('ends on TERM: ' + what, w.stop(), 0)
        for s in socks:
            s.close()
    for name in 'https', 'tls-2':
        s = listener()
        w = Passed(socks=[s], names=name)
        rc = w.proc.wait(5 * SLOW)
        check('a socket named %s without a certificate' % name, rc == 1 and
              len(w.log().splitlines()) == 1 and name in w.log(),
              (rc, w.log()))
    u = listener(socket.AF_UNIX)
    w = Passed(*CK(p), socks=[u], names='tls')
    bytes_by('curl, h2+TLS over a unix socket', '1', curl(
        'https', 443, '1', '--http2', p[0], u.getsockname()), 'version 2')
    w.stop()
    # one connection, as inetd passes it
    s = listener()
    c = dial(s.getsockname()[1])
    a, _ = s.accept()
    a.setblocking(True)
    w = Passed(*CK(p), '--fd', 0, zero=a)
    a.close()
    by_ssl('1', c, p[0])
    equal('one passed connection: exit status', w.proc.wait(5 * SLOW), 0)


def redirected():
    """80 and 443 in one service, passed in and bound."""
    p = pair()
    a, b = listener(), listener()
    tls = b.getsockname()[1]
    args = CK(p) + ['--https-redirect', '--https-redirect-host', 'www.example',
                    '--https-redirect-from-hosts', 'a.example, localhost']
    w = Passed(*args, socks=[a, b], names='http:https')
    w.ports(2)
    own = socket.socket()
    own.bind(('127.0.0.1', 0))
    free = own.getsockname()[1]
    own.close()
    bound = Server(ROOT, *args, '--https-redirect-from-port', str(free))
    for how, plain, tls in (('passed', a.getsockname()[1], tls),
                            ('bound', free, bound.port)):
        base = 'https://www.example:%d' % tls
        for path, host, want in (
                ('/', 'localhost', '/'),
                ('/1.bin', 'localhost:80', '/1.bin'),
                ('/no%20such/%c3%a4?q=1&r=%2f?', 'A.Example', None),
                ('/dir/?', 'a.example:%d' % plain, None)):
            with dial(plain) as c:
                c.sendall(request(path, True, host))
                r = parse_responses(read_all(c)[0])[0]
            check('redirect, %s: %s%s' % (how, host, path), len(r) == 1 and
                  r[0].status == 301 and r[0].complete and
                  r[0].get('location') == base + (want or path), r)
        for host in 'evil.example', 'xa.example', 'localhost.', '127.0.0.1', \
                'a.example.evil.example', '[::1]':
            with dial(plain) as c:
                c.sendall(request('/', True, host))
                r = parse_responses(read_all(c)[0])[0]
            check('redirect, %s: host %s is refused' % (how, host),
                  len(r) == 1 and r[0].status == 400 and
                  r[0].get('location') is None, r)
        with dial(plain) as c:
            c.sendall(request('/x', True, 'localhost').replace(b'GET', b'HEAD'))
            r = parse_responses(read_all(c)[0], ('HEAD',))[0]
        check('redirect, %s: HEAD' % how, r and r[0].status == 301 and
              r[0].get('location') == base + '/x', r)
        q = subprocess.run(['curl', '-q', '-sS', '--noproxy', '*', '-o',
                            os.devnull, '-w', '%{http_code} %{redirect_url}',
                            '--http2-prior-knowledge', '-H', 'Host: localhost',
                            'http://127.0.0.1:%d/y?z' % plain],
                           capture_output=True)
        equal('redirect, %s: h2c' % how, q.stdout.decode(),
              '301 %s/y?z' % base)
        r = fetch(tls, '/', context(p[0]))
        check('redirect, %s: https is served' % how, r.status == 200 and
              r.body == PAGE, r)
    w.stop()
    bound.stop()


# ---- a browser ---------------------------------------------------------------

BROWSED = '''<!DOCTYPE html>
<html lang="en"><head><title>t</title>
<link rel="stylesheet" href="s/style.css"><script src="s/main.js" defer></script>
</head><body><p id="p">x</p><img id="i" src="s/pic.png" alt="">
<pre id="out"></pre></body></html>
'''
SCRIPT = '''const out = {};
async function run() {
  await new Promise(r => document.readyState === 'complete' ? r() :
    addEventListener('load', r));
  out.color = getComputedStyle(document.getElementById('p')).color;
  const i = document.getElementById('i');
  out.size = [i.naturalWidth, i.naturalHeight];
  const b = await (await fetch('1.bin')).arrayBuffer();
  out.bin = [...new Uint8Array(await crypto.subtle.digest('SHA-256', b))]
    .map(x => x.toString(16).padStart(2, '0')).join('');
  const all = await Promise.all([...Array(40).keys()].map(n =>
    fetch('n/' + n + '.txt').then(r => r.text())));
  out.many = all.join('') === [...Array(40).keys()].join('');
  out.protocols = [...new Set(performance.getEntriesByType('resource')
    .concat(performance.getEntriesByType('navigation'))
    .map(e => e.nextHopProtocol))].sort().join();
}
run().catch(e => { out.error = String(e); }).then(() => {
  document.getElementById('out').textContent = 'DONE ' + JSON.stringify(out);
});
'''


def browser():
    exe = shutil.which('chromium') or shutil.which('chromium-browser')
    if not exe:
        missing('chromium')
        return
    root, work = tmpdir('web'), tmpdir('chromium')
    put(root + '/index.html', BROWSED)
    put(root + '/s/style.css', 'p { color: rgb(4, 5, 6) }\n')
    put(root + '/s/main.js', SCRIPT)
    put(root + '/s/pic.png', png(70, 30))
    shutil.copy(ROOT + '/1.bin', root)
    for i in range(40):
        put('%s/n/%d.txt' % (root, i), str(i))
    for http2, protocol in ('true', 'h2'), ('false', 'http/1.1'):
        s = Server(root, '--http2=' + http2, *CK(pair()))
        r, why, out = client([
            exe, '--headless', '--no-sandbox', '--disable-gpu',
            '--disable-quic', '--no-first-run', '--disable-sync',
            '--disable-background-networking', '--disable-component-update',
            '--disable-default-apps', '--disable-extensions',
            '--disable-dev-shm-usage', '--no-proxy-server',
            '--ignore-certificate-errors',
            '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1',
            '--user-data-dir=%s/%s' % (work, http2),
            '--virtual-time-budget=20000', '--dump-dom',
            'https://127.0.0.1:%d/' % s.port], work, 60)
        name = 'browser, %s: ' % protocol
        m = re.search(r'DONE (\{.*\})', out.decode('utf-8', 'replace'))
        if check(name + 'the page ran its script', r == 0 and m,
                 (r, out[-300:], why[-300:])):
            got = json.loads(m.group(1))
            for key, want in (('error', None), ('color', 'rgb(4, 5, 6)'),
                              ('size', [70, 30]), ('bin', SUM['1']),
                              ('many', True), ('protocols', protocol)):
                equal(name + key, got.get(key), want)
        s.stop()


# ---- keys and certificates that load, and those that do not ------------------

def der_integer(n):
    b = n.to_bytes(n.bit_length() // 8 + 1, 'big')
    return b'\2' + der_length(len(b)) + b


def der_length(n):
    if n < 128:
        return bytes([n])
    b = n.to_bytes((n.bit_length() + 7) // 8, 'big')
    return bytes([128 + len(b)]) + b


def rsa_of_groups(name, *groups):
    """A large RSA key at once: its factors are the primes of two well-known
    Diffie-Hellman groups."""
    p, q = (int(re.search(rb'INTEGER +:([0-9A-F]+)', openssl(
        'asn1parse', data=openssl('genpkey', '-genparam', '-algorithm', 'DH',
                                  '-pkeyopt', 'group:' + g))).group(1), 16)
            for g in groups)
    e = 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    body = b''.join(map(der_integer, (0, p * q, e, d, p, q, d % (p - 1),
                                      d % (q - 1), pow(q, -1, p))))
    path = os.path.join(WORK, name + '.key')
    openssl('rsa', '-inform', 'DER', '-out', path,
            data=b'\x30' + der_length(len(body)) + body)
    return path


def text(path):
    with open(path, 'rb') as f:
        return f.read()


def derived(name, data):
    return put(os.path.join(WORK, name), data)


def loads(name, cert, key, want=None):
    """It starts, and a client gets a page over it."""
    try:
        s = Server(ROOT, '-C', cert, '-K', key)
    except RuntimeError as e:
        return check('key: ' + name, False, e)
    out, rc, err = digest(['curl', '-q', '-sS', '--noproxy', '*', '--cacert',
                           cert, 'https://localhost:%d/' % s.port, '--resolve',
                           'localhost:%d:127.0.0.1' % s.port])
    good = out == hashlib.sha256(PAGE).hexdigest() and rc == 0
    if want is not None:
        q = subprocess.run(['openssl', 's_client', '-showcerts', '-connect',
                            '127.0.0.1:%d' % s.port], capture_output=True,
                           stdin=subprocess.DEVNULL).stdout.decode()
        sent = re.findall('-----BEGIN C.*?-----END CERTIFICATE-----', q, re.S)
        good = good and ''.join(x + '\n' for x in sent) == want.decode()
        err += ' %d certificates' % len(sent)
    check('key: ' + name, good, (rc, err, s.log()))
    s.stop()


def keys():
    kinds = ['RSA-2048', 'RSA-3072', 'RSA-4096', 'P-256', 'P-384', 'P-521']
    for kind in kinds:
        loads('PKCS#8, ' + kind, *pair(kind))
    for kind in 'RSA-2048', 'RSA-4096':
        c, k = pair(kind)
        loads('PKCS#1, ' + kind, c, derived(kind + '.pkcs1', openssl(
            'rsa', '-in', k, '-traditional')))
    for kind in 'P-256', 'P-384', 'P-521':
        c, k = pair(kind)
        sec1 = openssl('ec', '-in', k)
        parameters = openssl('ecparam', '-name', {
            'P-256': 'prime256v1', 'P-384': 'secp384r1',
            'P-521': 'secp521r1'}[kind])
        loads('SEC1, ' + kind, c, derived(kind + '.sec1', sec1))
        loads('SEC1 behind EC PARAMETERS, ' + kind, c,
              derived(kind + '.params', parameters + sec1))
    for kind in 'RSA-2048', 'P-256':
        c, k = pair(kind)
        crlf = [derived(kind + '.crlf' + x[-4:], text(x).replace(b'\n', b'\r\n'))
                for x in (c, k)]
        loads('CRLF line ends, ' + kind, *crlf)
        loads('no newline at the end, ' + kind,
              derived(kind + '.bare.crt', text(c).rstrip()),
              derived(kind + '.bare.key', text(k).rstrip()))
        for how, data in (('key first', text(k) + text(c)),
                          ('certificate first', text(c) + text(k))):
            b = derived(kind + how + '.pem', data)
            loads('bundle, %s, %s' % (how, kind), b, b)
        loads('text around the blocks, ' + kind, derived(
            kind + '.text.crt', b'Subject: who\n' + text(c) + b'\nend\n'),
            derived(kind + '.text.key', b'Bag Attributes\n a: 1\n' + text(k)))
    root = pair('P-384', 'a root')
    one = make_key('ca 1', ec('P-256')), make_key('ca 2', rsa(2048))
    ca1 = make_cert('ca 1', one[0], ('ca 1',), root)
    ca2 = make_cert('ca 2', one[1], ('ca 2',), (ca1, one[0]))
    k = make_key('leaf', ec('P-256'))
    leaf = make_cert('leaf', k, ca=(ca2, one[1]))
    files = [text(x) for x in (leaf, ca2, ca1, root[0])]
    for n in 1, 2, 3, 4:
        chain = b''.join(files[:n])
        loads('chain of %d' % n, derived('chain%d.crt' % n, chain), k, chain)


def bad_keys():
    c, k = pair()
    rc, rk = pair('RSA-2048')
    other = pair('P-256', 'other')
    def no(name, cert, key, *parts):
        refused('key refused: ' + name, ['-C', cert, '-K', key], 1, *parts)
    wrong = {'same curve': other[1], 'other type': rk,
             'other curve': pair('P-384')[1]}
    for how, key in wrong.items():
        no('wrong key, ' + how, c, key, key, c)
    no('wrong key, RSA', rc, pair('RSA-2048', 'rsa other')[1], 'rsa other.key')
    for kind, cert, key, tool in ('P-256', c, k, 'ec'), \
            ('RSA-2048', rc, rk, 'rsa'):
        e = derived(kind + '.enc8', openssl(
            'pkcs8', '-topk8', '-in', key, '-passout', 'pass:x'))
        no('encrypted PKCS#8, ' + kind, cert, e, e, 'encrypted')
        e = derived(kind + '.enct', openssl(
            tool, '-in', key, '-aes128', '-passout', 'pass:x',
            *(['-traditional'] if tool == 'rsa' else [])))
        if b'Proc-Type' not in text(e):
            raise RuntimeError('not the traditional form')
        no('encrypted in the traditional form, ' + kind, cert, e, e,
           'encrypted')
    for how in 'ED25519', 'ED448':
        e = make_key(how, (how,))
        no(how, make_cert(how, e), e, e, 'Ed25519')
    for name, groups in (('RSA 5120', ('modp_2048', 'modp_3072')),
                         ('RSA 5120 as PKCS#1', ('modp_2048', 'modp_3072')),
                         ('RSA 8192', ('modp_4096', 'ffdhe4096')),
                         ('RSA 12288', ('modp_6144', 'ffdhe6144'))):
        e = rsa_of_groups(name, *groups)
        if 'PKCS#1' in name:
            derived(name + '.key', openssl('rsa', '-in', e, '-traditional'))
        no(name, make_cert(name, e), e, e, name[4:9].strip())
    e = make_key('pss', ('RSA-PSS', '-pkeyopt', 'rsa_keygen_bits:2048'))
    no('RSA-PSS', make_cert('pss', e), e, e)
    e = make_key('koblitz', ec('secp256k1'))
    no('P-256 of another kind (secp256k1)', make_cert('koblitz', e), e, e)
    for what, good in ('key', k), ('certificate', c), ('RSA key', rk):
        data = text(good)
        half = data[:len(data) // 2]
        forms = {
            'empty': b'', 'a newline': b'\n', 'not PEM': b'hello\n' * 20,
            'DER': openssl('x509' if good == c else 'pkey', '-in', good,
                           '-outform', 'DER'),
            'truncated': half,
            'truncated in its last line': data[:data.index(b'-----END') - 9],
            'cut off inside its END line': data.rstrip()[:-9],
            'without its middle': half[:-40] + data[len(half):],
            'random bytes': rnd.randbytes(3000),
            'zeros': bytes(3000),
            'NUL inside': data[:200] + b'\0' + data[201:],
            'too large': data + b'x' * (3 << 20),
        }
        for how, bad in forms.items():
            e = derived('%s %s' % (what, how), bad)
            pair_ = (e, k) if good == c else (rc if good == rk else c, e)
            no('%s: %s' % (what, how), *pair_, e)
        e = os.path.join(WORK, 'there is none')
        d = tmpdir('folder')
        for how, e in ('missing', e), ('a folder', d), ('a device',
                                                        '/dev/zero'):
            no('%s: %s' % (what, how), *((e, k) if good == c else (c, e)), e)
    no('certificate given as key', c, c, c)
    no('key given as certificate', k, k, k)
    e = derived('two.key', text(k) + text(other[1]))
    no('two keys in a file', c, e, e)
    refused('key refused: the second pair of two', CK(pair()) + CK(
        (c, other[1])), 1, other[1])
    refused('a certificate without a key', ['-C', c], 2, '--tls-key')
    refused('a key without a certificate', ['-K', k], 2, '--tls-cert')
    refused('two certificates, one key', CK(pair()) + ['-C', rc], 2)
    refused('--tls without a certificate', ['--tls'], 2, '--tls-cert')


def names_of_options():
    c, k = pair()
    table = [
        ('long options', ['--tls', '--tls-cert', c, '--tls-key=' + k], {}),
        ('old names', ['--http2-tls', '--http2-tls-cert=' + c,
                       '--http2-tls-key', k], {}),
        ('short letters', ['-t', '-C' + c, '-K' + k], {}),
        ('environment', [], {'SERVER_TLS_CERT': c, 'SERVER_TLS_KEY': k}),
        ('environment, old names', [], {
            'SERVER_HTTP2_TLS': 'true', 'SERVER_HTTP2_TLS_CERT': c,
            'SERVER_HTTP2_TLS_KEY': k}),
        ('environment, empty ones', ['-C', c, '-K', k], {
            'SERVER_HTTP2_TLS_CERT': '', 'SERVER_TLS_KEY': '',
            'SERVER_TLS': ''}),
    ]
    for name, args, env in table:
        s = Server(ROOT, *args, env=env)
        r = fetch(s, '/', context(c))
        check('options: ' + name, r.status == 200 and ' on https:' in s.log(),
              (r, s.log()))
        s.stop()
    for name, args, env in (
            ('--tls=false', ['--tls=false'] + CK(pair()), {}),
            ('--no-tls', CK(pair()) + ['--no-tls'], {}),
            ('SERVER_HTTP2_TLS=false', [], {
                'SERVER_HTTP2_TLS': 'false', 'SERVER_HTTP2_TLS_CERT': c,
                'SERVER_HTTP2_TLS_KEY': k}),
            ('an env file with empty lines', [], {
                'SERVER_HTTP2_TLS': 'false', 'SERVER_HTTP2_TLS_CERT': '',
                'SERVER_HTTP2_TLS_KEY': ''})):
        s = Server(ROOT, *args, env=env)
        r = get(s, '/')
        check('options: plain with ' + name, r.status == 200 and
              r.body == PAGE and ' on http:' in s.log(), (r, s.log()))
        s.stop()


# ---- a client of our own, to send what no library would ----------------------

P25519 = 2 ** 255 - 19


def x25519(k, u):
    k = bytearray(k)
    k[0] &= 248
    k[31] = k[31] & 127 | 64
    k, x1 = int.from_bytes(k, 'little'), int.from_bytes(u, 'little')
    x2, z2, x3, z3, p = 1, 0, x1, 1, P25519
    for t in range(254, -1, -1):
        bit = k >> t & 1
        if bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb, aa, bb = d * a % p, c * b % p, a * a % p, b * b % p
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % p, x1 * (da - cb) ** 2 % p
        x2, z2 = aa * bb % p, e * (aa + 121665 * e) % p
        if bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
    return (x2 * pow(z2, -1, p) % p).to_bytes(32, 'little')


def chacha(key, nonce, data, count=1):
    out, mask = bytearray(), 0xffffffff
    for i in range(0, len(data), 64):
        first = struct.unpack('<16I', b'expand 32-byte k' + key +
                              struct.pack('<I', count + i // 64) + nonce)
        x = list(first)
        for _ in range(10):
            for a, b, c, d in ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14),
                               (3, 7, 11, 15), (0, 5, 10, 15), (1, 6, 11, 12),
                               (2, 7, 8, 13), (3, 4, 9, 14)):
                for p, q, r, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8),
                                   (c, d, b, 7)):
                    x[p] = x[p] + x[q] & mask
                    y = x[r] ^ x[p]
                    x[r] = (y << n | y >> 32 - n) & mask
        stream = struct.pack('<16I', *(a + b & mask for a, b in zip(x, first)))
        out += bytes(a ^ b for a, b in zip(data[i:i + 64], stream))
    return bytes(out)


def poly(key, nonce, aad, text):
    k = chacha(key, nonce, bytes(32), 0)
    r = int.from_bytes(k[:16], 'little') & 0x0ffffffc0ffffffc0ffffffc0fffffff
    data = b''.join(x + bytes(-len(x) % 16) for x in (aad, text)) + \
        struct.pack('<QQ', len(aad), len(text))
    a = 0
    for i in range(0, len(data), 16):
        a = (a + int.from_bytes(data[i:i + 16] + b'\1', 'little')) * r % \
            (2 ** 130 - 5)
    return (a + int.from_bytes(k[16:], 'little') & 2 ** 128 - 1).to_bytes(
        16, 'little')


def prf(secret, label, seed, n):
    seed, a, out = label + seed, label + seed, b''
    while len(out) < n:
        a = hmac.digest(secret, a, 'sha256')
        out += hmac.digest(secret, a + seed, 'sha256')
    return out[:n]


def vec(n, *parts):
    """A vector of TLS: its length in n bytes, then its contents."""
    data = b''.join(parts)
    return len(data).to_bytes(n, 'big') + data


def record(kind, data, version=0x0303):
    return struct.pack('>BHH', kind, version, len(data)) + data


def extension(kind, *parts):
    return struct.pack('>H', kind) + vec(2, *parts)


CHANGE, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23


def client_hello(suites=(0xcca9, 0xcca8), version=0x0303, alpn=(), more=b'',
                 random_=None, groups=(29, 23), sigs=(0x0403, 0x0401)):
    exts = extension(0, vec(2, b'\0' + vec(2, b'localhost'))) + \
        extension(10, vec(2, *(struct.pack('>H', g) for g in groups))) + \
        extension(11, b'\1\0') + \
        extension(13, vec(2, *(struct.pack('>H', g) for g in sigs)))
    if alpn:
        exts += extension(16, vec(2, *(vec(1, a) for a in alpn)))
    body = struct.pack('>H', version) + (random_ or os.urandom(32)) + \
        vec(1) + vec(2, *(struct.pack('>H', c) for c in suites)) + \
        b'\1\0' + vec(2, exts + more)
    return b'\1' + vec(3, body)


class Raw:
    """A TLS 1.2 handshake in single steps, with X25519 and ChaCha20-Poly1305.
    Each step returns what is to be sent."""

    def __init__(self, to, alpn=()):
        self.s = dial(to)
        self.random = os.urandom(32)
        self.said = client_hello(alpn=alpn, random_=self.random)
        self.buf, self.seq, self.peer_seq, self.keys = b'', 0, 0, None

    def close(self):
        self.s.close()

    def record(self, timeout=5):
        """The next one, opened: (type, contents), or (None, how it ended)."""
        while len(self.buf) < 5 or len(self.buf) < 5 + int.from_bytes(
                self.buf[3:5], 'big'):
            part, how = read_all(self.s, timeout, lambda d: True if d else False)
            if not part:
                return None, how
            self.buf += part
        n = 5 + int.from_bytes(self.buf[3:5], 'big')
        kind, data, self.buf = self.buf[0], self.buf[5:n], self.buf[n:]
        if self.peer_seq >= 0 and self.keys and kind != CHANGE and \
                self.sealed:
            data = self.open(kind, data)
        if kind == CHANGE:
            self.sealed = True
        return kind, data

    def nonce(self, iv, seq):
        return bytes(a ^ b for a, b in zip(iv, bytes(4) +
                                           struct.pack('>Q', seq)))

    def open(self, kind, data):
        text, tag = data[:-16], data[-16:]
        aad = struct.pack('>QBHH', self.peer_seq, kind, 0x0303, len(text))
        n = self.nonce(self.keys[3], self.peer_seq)
        if poly(self.keys[1], n, aad, text) != tag:
            raise RuntimeError('a record that was tampered with')
        self.peer_seq += 1
        return chacha(self.keys[1], n, text)

    def seal(self, kind, data):
        aad = struct.pack('>QBHH', self.seq, kind, 0x0303, len(data))
        n = self.nonce(self.keys[2], self.seq)
        text = chacha(self.keys[0], n, data)
        self.seq += 1
        return record(kind, text + poly(self.keys[0], n, aad, text))

    def hello(self):
        return record(HANDSHAKE, self.said)

    def flight(self):
        """Read the server's answer to the hello."""
        got = b''
        while not got.endswith(b'\x0e\0\0\0'):
            kind, data = self.record()
            if kind != HANDSHAKE:
                raise RuntimeError('%r instead of a handshake' % ((kind, data),))
            got += data
        self.said += got
        server = key = None
        while got:
            n = int.from_bytes(got[1:4], 'big')
            kind, body, got = got[0], got[4:4 + n], got[4 + n:]
            if kind == 2:
                server = body[2:34]
            elif kind == 12:
                if body[:4] != b'\3\0\x1d\x20':
                    raise RuntimeError('not X25519')
                key = body[4:36]
        mine = os.urandom(32)
        both = self.random + server
        self.master = prf(x25519(mine, key), b'master secret', both, 48)
        k = prf(self.master, b'key expansion', server + self.random, 88)
        self.keys = k[:32], k[32:64], k[64:76], k[76:]
        self.sealed = False
        return x25519(mine, b'\x09' + bytes(31))

    def finish(self, public):
        """Key exchange, change of cipher, Finished."""
        exchange = b'\x10' + vec(3, vec(1, public))
        self.said += exchange
        done = b'\x14' + vec(3, prf(self.master, b'client finished',
                                    hashlib.sha256(self.said).digest(), 12))
        return record(HANDSHAKE, exchange) + record(CHANGE, b'\1') + \
            self.seal(HANDSHAKE, done)

    def rest(self):
        """Everything up to the end: (application data, alerts, how it ended)."""
        data, alerts = b'', []
        while True:
            kind, part = self.record()
            if kind is None:
                return data, alerts, part
            if kind == DATA:
                data += part
            elif kind == ALERT:
                alerts.append(tuple(part))


def early():
    """What a client sends together with its Finished (RFC 7918), and requests
    and farewells in one segment."""
    p = pair()
    for http2 in 'true', 'false':
        s = Server(ROOT, '--http2=' + http2, *CK(p))
        fetch(s)
        before = resting(s)

        def one(name, *steps, alpn=(b'http/1.1',), want=1):
            bad = []
            for i in range(20):
                r = Raw(s, alpn)
                r.s.sendall(r.hello())
                out = r.finish(r.flight())
                for x in steps:
                    if isinstance(x, float):
                        r.s.sendall(out)
                        out = b''
                        time.sleep(x)
                    elif isinstance(x, int):
                        out, later = out[:x], out[x:]
                        r.s.sendall(out)
                        time.sleep(0.01)
                        out = later
                    else:
                        out += r.seal(*x)
                r.s.sendall(out)
                data, alerts, how = r.rest()
                got, left = parse_responses(data)
                if len(got) != want or left or how != 'eof' or \
                        alerts != [(1, 0)] or \
                        any(x.body != PAGE for x in got):
                    bad.append((how, alerts, data[:200]))
                r.close()
            check('--http2=%s, %s' % (http2, name), not bad,
                  '%d of 20: %r' % (len(bad), bad[:2]))

        q, keep = request(), request(close=False)
        bye = (ALERT, b'\1\0')
        one('a request after the Finished', 0.02, (DATA, q))
        one('a request with the Finished', (DATA, q))
        one('the same without ALPN', (DATA, q), alpn=())
        one('two requests with the Finished', (DATA, keep), (DATA, q), want=2)
        one('a request in pieces with the Finished', (DATA, q[:9]),
            (DATA, b''), (DATA, q[9:]))
        one('a request cut inside its record', (DATA, q), -20)
        one('a request and a farewell', 0.02, (DATA, keep), bye)
        one('a request and a farewell with the Finished', (DATA, keep), bye)
        one('a farewell alone', 0.02, bye, want=0)
        equal('--http2=%s, descriptors after early data' % http2,
              settled(s, before), '')
        s.stop()


# ---- the end of a connection -------------------------------------------------

def farewells():
    """close_notify comes before the end, whatever else the client sent."""
    for kind, n in ('P-256', 800), ('RSA-2048', 200):
        p = pair(kind)
        s = Server(ROOT, '--no-access-log', *CK(p))
        fetch(s, '/', context(p[0]))
        fetch(s, '/1.bin', context(p[0]))
        before, ctx, session, bad = resting(s), context(p[0]), None, []
        more = [b'', rnd.randbytes(100), b'', request('/1.bin')[:100], b'',
                b'GET /' + b'x' * 95, b'', bytes(100)]
        t = time.time()
        for i in range(n):
            try:
                c = secure(s, ctx, session=session)
                c.send(request('/1.bin' if i % 50 == 0 else '/') +
                       more[i % len(more)])
                data, how = read_all(c, 5)
                session = c.session if i % 4 else None
                if how != 'eof':
                    bad.append((i, how, data[-50:]))
                raw = socket.socket(fileno=c.detach())
                raw.settimeout(5)
                if raw.recv(10) != b'':
                    bad.append((i, 'more bytes after close_notify'))
                raw.close()
                r = parse_responses(data)
                if len(r[0]) != 1 or r[1] or r[0][0].status != 200 or \
                        not r[0][0].complete:
                    bad.append((i, data[:100]))
            except OSError as e:
                bad.append((i, repr(e)))
        figure('farewells: %d in %.1f s' % (n, time.time() - t))
        check('%d exchanges over TLS end with close_notify, %s' % (n, kind),
              not bad, '%d do not: %r' % (len(bad), bad[:3]))
        equal('descriptors after %d exchanges, %s' % (n, kind),
              settled(s, before), '')
        # an idle connection, and one with a request in flight, after TERM
        idle, busy = secure(s, ctx), secure(s, ctx)
        idle.sendall(request(close=False))
        read_all(idle, 5, lambda d: d.endswith(PAGE))
        busy.sendall(request('/1.bin', False))
        s.proc.send_signal(signal.SIGTERM)
        equal('an idle one is ended with close_notify on TERM, ' + kind,
              read_all(idle, 5), (b'', 'eof'))
        data, how = read_all(busy, 5)
        check('one in flight is finished on TERM, ' + kind, how == 'eof' and
              hashlib.sha256(data.partition(b'\r\n\r\n')[2]).hexdigest() ==
              SUM['1'], (how, len(data)))
        idle.close()
        busy.close()
        equal('ends on TERM, ' + kind, s.proc.wait(5 * SLOW), 0)
    s = Server(ROOT, '--idle-timeout', '1', *CK(pair()))
    c = secure(s)
    c.sendall(request(close=False))
    data, how = read_all(c, 4)
    equal('--idle-timeout ends with close_notify', (data[-3:], how),
          (PAGE[-3:], 'eof'))
    # half a close: the client says it will send no more and wants its answer
    fetch(s)
    before = resting(s)
    for i in range(20):
        c = secure(s)
        c.sendall(request('/1.bin', False))
        try:
            c.unwrap()
        except OSError:
            pass                # the answer's records are in the way
        c.close()
    equal('descriptors after farewells in the middle', settled(s, before), '')
    lives('lives after farewells', s)
    s.stop()


# ---- no TLS where it should be, TLS where it should not ----------------------

def gathered():
    """Records that follow each other at once fill TCP's segments together, and
    nothing is left waiting for more: the kernel would keep it for 200 ms."""
    if VALGRIND or STRICT or not shutil.which('strace'):
        return skip('gathered', 'no strace of this')
    out, root = os.path.join(tmpdir('trace'), 'calls'), tmpdir('gathered')
    content(root, 'small.bin', 612)
    content(root, 'large.bin', 200000)
    s = Server(root, *CK(pair()), wrap=[
        'strace', '-f', '-qq', '-s', '0', '-e',
        'trace=sendto,recvfrom,epoll_wait,epoll_pwait', '-o', out],
        env={'ASAN_OPTIONS': 'detect_leaks=0'})         # not under strace
    with secure(s) as c:
        for path, fields in (('/small.bin', ''), ('/large.bin', ''),
                             ('/large.bin', 'Range: bytes=5-70000\r\n'),
                             ('/large.bin', 'Range: bytes=0-20000,50000-\r\n'),
                             ('/none', '')):
            r = get(s, path, fields, sock=c)
            check('gathered: %s %s' % (path, fields.strip()),
                  r and r.complete, r)
    for path in 'small.bin', 'large.bin':
        d, rc, _ = digest(['curl', '-sk', '--http2', 'https://127.0.0.1:%d/%s'
                           % (s.port, path)])
        with open(os.path.join(root, path), 'rb') as f:
            equal('gathered: %s, h2' % path, (d, rc), (
                hashlib.sha256(f.read()).hexdigest(), 0))
    end(s)
    with open(out) as f:
        calls = re.findall(r'(?m)^\d+ +(\w+)\(.*?(MSG_MORE)?(?:, NULL, 0\))? += '
                           r'(-?\d+)', f.read())
    got = [c[2] for c in calls if c[0] == 'recvfrom' and int(c[2]) > 0]
    check('gathered: a record is read at once, not its header first',
          len(got) >= 8 and '5' not in got, got)
    more = [i for i, c in enumerate(calls) if c[1] and c[2] != '-1']
    left = [calls[i:i + 2] for i in more if calls[i + 1][0] != 'sendto']
    figure('gathered: %d of %d sends say that more follows' % (
        len(more), sum(c[0] == 'sendto' for c in calls)))
    check('gathered: the records of large answers', len(more) >= 30, calls)
    equal('gathered: more follows each that says so', left, [])


def mixed_up():
    s = Server(ROOT, *CK(pair()))
    fetch(s)
    before = resting(s)
    for name, data in (
            ('GET', request()), ('HTTP/1.0', b'GET / HTTP/1.0\r\n\r\n'),
            ('POST with a body', b'POST / HTTP/1.1\r\nHost: a\r\n'
             b'Content-Length: 9\r\n\r\n123456789'),
            ('the start of HTTP/2', b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' +
             b'\0\0\0\4\0\0\0\0\0'),
            ('keep-alive', request(close=False)),
            ('a long head', b'GET / HTTP/1.1\r\nHost: a\r\nX: ' + b'x' * 20000 +
             b'\r\n\r\n'),
            ('one byte', b'G'), ('SSH', b'SSH-2.0-OpenSSH_9.6\r\n'),
            ('zeros', bytes(100)), ('SSL 2', b'\x80\x2e\x01\0\2\0\x15\0\0\0'
                                    b'\x10' + bytes(40))):
        with dial(s) as c:
            t = time.time()
            c.sendall(data)
            got, how = read_all(c, 5)
            t = time.time() - t
        r, rest = parse_responses(got)
        check('HTTP on a TLS port: ' + name, len(r) == 1 and not rest and
              r[0].status == 400 and r[0].complete and how == 'eof' and
              b'TLS' in r[0].body and b'https' in r[0].body and
              r[0].get('content-type', '').startswith('text/html') and
              r[0].get('connection') == 'close' and t < SLOW,
              '%s after %.1f s, %r' % (how, t, got[:300]))
    equal('descriptors after HTTP on a TLS port', settled(s, before), '')
    lives('lives after HTTP on a TLS port', s)
    s.stop()
    s = Server(ROOT)
    get(s)
    before = resting(s)
    hello = record(HANDSHAKE, client_hello(), 0x0301)
    for name, data in ('', hello), (' of 1,500 bytes', record(
            HANDSHAKE, client_hello(more=extension(21, bytes(1300)))), ), \
            (', its first 11 bytes', hello[:11]), (' of TLS 1.3', record(
                HANDSHAKE, client_hello((0x1301, 0xcca9), more=extension(
                    43, b'\2\3\4')))):
        with dial(s) as c:
            t = time.time()
            c.sendall(data)
            got, how = read_all(c, 3)
            t = time.time() - t
        check('a ClientHello on a plain port is refused at once' + name,
              how == 'eof' and t < SLOW, '%s after %.1f s, %r' % (how, t, got))
    equal('descriptors after TLS on a plain port', settled(s, before), '')
    check('lives after TLS on a plain port', get(s).status == 200)
    s.stop()


# ---- hostile handshakes ------------------------------------------------------

# unexpected_message, record_overflow, handshake_failure, illegal_parameter,
# decode_error, decrypt_error, protocol_version, no_application_protocol
SENSIBLE = {10, 22, 40, 47, 50, 51, 70, 120}


def mutated(hello):
    b = bytearray(hello)
    for _ in range(rnd.randint(1, 6)):
        how, at = rnd.randrange(3), rnd.randrange(5, len(b))
        if how == 0:
            b[at] ^= 1 << rnd.randrange(8)
        elif how == 1:
            b[at] = rnd.randrange(256)
        else:
            del b[at:at + rnd.randint(1, 8)]
            if len(b) < 12:
                break
    b[3:5] = struct.pack('>H', len(b) - 5)
    return bytes(b)


def hostile():
    p = pair()
    s = Server(ROOT, '--no-access-log', '--header-timeout', '5', *CK(p))
    fetch(s)
    before, N = resting(s), 200
    H = lambda: record(HANDSHAKE, client_hello(alpn=(b'h2', b'http/1.1')))
    kinds = {           # name: (what is sent, alerts that may come, silence)
        'wrong bytes in the hello': (lambda i: mutated(H()), SENSIBLE, True),
        'hello cut short': (lambda i: H()[:i % len(H())], SENSIBLE, True),
        'lengths that lie': (lambda i: record(HANDSHAKE, b'\1' + vec(
            3, b'\3\3' + bytes(32) + bytes([i]) + bytes(i))), SENSIBLE, True),
        'random handshake': (lambda i: record(HANDSHAKE, rnd.randbytes(
            rnd.randint(1, 2000))), SENSIBLE, True),
        'random bytes': (lambda i: rnd.randbytes(rnd.randint(1, 2000)), SENSIBLE,
                         True),
        'records too long': (lambda i: struct.pack(
            '>BHH', 22, 0x0303, 16384 + 257 + i * 240) + bytes(1 + i), {22},
            False),
        'versions too old': (lambda i: record(HANDSHAKE, client_hello(
            version=0x0300 + i % 3), 0x0300), {70}, False),
        'records of no version': (lambda i: record(HANDSHAKE, client_hello(),
                                                   0x0400 + i), {70}, False),
        'no suite of ours': (lambda i: record(HANDSHAKE, client_hello(
            (0x1301, 0x002f, 0xc014, 0x009c, 0x0005))), {40}, False),
        'no curve of ours': (lambda i: record(HANDSHAKE, client_hello(
            groups=(14, 22))), {40, 47}, False),
        'no protocol of ours': (lambda i: record(HANDSHAKE, client_hello(
            alpn=(b'spdy/3', b'x%d' % i))), {120}, False),
        'empty records': (lambda i: record(HANDSHAKE, b'') * (i + 1),
                          SENSIBLE, True),
        'a Finished first': (lambda i: record(HANDSHAKE, b'\x14' + vec(
            3, bytes(12))), {10}, False),
        'change of cipher first': (lambda i: H()[:0] + record(
            HANDSHAKE, b'') + record(CHANGE, b'\1'), {10}, True),
        'an alert first': (lambda i: record(HANDSHAKE, b'') + record(
            ALERT, b'\2\x28'), SENSIBLE, True),
        'data behind the hello': (lambda i: H() + record(
            DATA, rnd.randbytes(50)), SENSIBLE, False),
    }
    for name, (make, alerts, silence) in kinds.items():
        bad, seen = [], {}
        for i in range(N):
            data = make(i)
            c = dial(s)
            c.sendall(data)
            try:
                if silence:     # it may wait for more
                    c.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            got, how = read_all(c, 3)
            c.close()
            what, all_ = 'nothing', got
            if got[:4] == b'HTTP':
                what = 'HTTP'
                good = data[:1] != b'\x16'
            else:
                last = None
                while len(got) >= 5:
                    n = 5 + int.from_bytes(got[3:5], 'big')
                    last, got = got[:n], got[n:]
                    if last[0] == ALERT:
                        break
                if last and last[0] == ALERT:
                    what = last[6]
                    good = last[5] == 2 and what in alerts and not got and \
                        last[1] == 3
                elif last:
                    what = 'an answer'
                    good = silence or alerts == SENSIBLE
                else:
                    good = silence
            if how == 'timeout' or how == 'reset':
                good, what = False, how
            seen[what] = seen.get(what, 0) + 1
            if not good:
                bad.append((i, what, all_[:30], data[:40]))
        figure('hostile: %s: %r' % (name, seen))
        check('hostile, %d of %s' % (N, name), not bad,
              '%d: %r, all: %r' % (len(bad), bad[:2], seen))
        lives('hostile, lives after ' + name, s)
        equal('hostile, descriptors after ' + name, settled(s, before), '')

    # handshakes that end in the middle, in every manner
    for name in ('closed after the hello', 'reset after the hello',
                 'closed after the server hello', 'reset after the server '
                 'hello', 'closed after the key exchange', 'wrong Finished',
                 'wrong key', 'closed after the Finished'):
        bad = []
        for i in range(N if 'key' not in name and 'Fin' not in name else 60):
            r = Raw(s)
            r.s.sendall(r.hello())
            if 'after the hello' not in name:
                public = r.flight()
                out = r.finish(bytes(32) if name == 'wrong key' else public)
                if name == 'closed after the key exchange':
                    out = out[:42]
                elif name == 'wrong Finished':
                    out = out[:-1] + bytes([out[-1] ^ 1])
                elif 'server' in name:
                    out = b''
                r.s.sendall(out)
                if 'wrong' in name:
                    got, how = read_all(r.s, 3)
                    # the library has no alert for it: an end will do
                    if how != 'eof' or got and (len(got) != 7 or
                            got[:2] != b'\x15\3' or
                            got[6] not in (20, 40, 47, 50, 51)):
                        bad.append((how, got))
            if 'reset' in name:
                r.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                               struct.pack('ii', 1, 0))
            r.close()
        check('hostile, handshakes: ' + name, not bad, bad[:3])
        equal('hostile, descriptors after handshakes: ' + name,
              settled(s, before), '')
        lives('hostile, lives after handshakes: ' + name, s)
    # records that are wrong once it stands
    seen = []
    for what in 'a tampered record', 'a renegotiation', 'a record too long', \
            'an unknown type':
        for i in range(10):
            r = Raw(s)
            r.s.sendall(r.hello())
            r.s.sendall(r.finish(r.flight()))
            while True:                 # up to the server's Finished
                kind, data = r.record()
                if kind in (HANDSHAKE, None):
                    break
            if what == 'a tampered record':
                out = r.seal(DATA, request())
                r.s.sendall(out[:20] + bytes([out[20] ^ 8]) + out[21:])
            elif what == 'a renegotiation':
                r.s.sendall(r.seal(HANDSHAKE, client_hello()))
            elif what == 'a record too long':
                r.s.sendall(struct.pack('>BHH', 23, 0x303, 65535))
            else:
                r.s.sendall(r.seal(99, b'abc'))
            if what == 'a renegotiation':       # refused or just declined
                kind, data = r.record()
                seen.append((what, kind, data[:2]))
                good = kind == ALERT and data in (b'\1\x64', b'\2\x28', b'\2\x0a')
            else:
                data, alerts, how = r.rest()
                good = data == b'' and how == 'eof' and len(alerts) <= 1 and \
                    all(a[0] == 2 for a in alerts)
                seen.append((what, data, alerts, how))
            r.close()
            if not good:
                break
        check('hostile, ' + what, good, seen[-1])
    figure('hostile: ', sorted(set(map(str, seen))))
    equal('hostile, descriptors at the end', settled(s, before), '')
    lives('hostile, lives at the end', s)
    s.stop()


def slow_handshakes():
    """--header-timeout is for the handshake as well, however it drips."""
    s = Server(ROOT, '--header-timeout', '1', *CK(pair()))
    fetch(s)
    before = resting(s)

    def one(name):
        r = Raw(s)
        hello = r.hello()
        t, how = time.time(), None
        try:
            if name == 'dripping':
                for i in range(60):
                    r.s.sendall(hello[i:i + 1])
                    got, how = read_all(r.s, 0.1)
                    if how != 'timeout':
                        break
            else:
                if name == 'half a hello':
                    r.s.sendall(hello[:50])
                elif name == 'stalled':
                    r.s.sendall(hello)
                    r.flight()
                elif name == 'before the Finished':
                    r.s.sendall(hello)
                    r.s.sendall(r.finish(r.flight())[:-3])
                elif name == 'no request':
                    r.s.sendall(hello)
                    r.s.sendall(r.finish(r.flight()))
                elif name == 'half a request':
                    r.s.sendall(hello)
                    r.s.sendall(r.finish(r.flight()))
                    time.sleep(0.1)
                    r.s.sendall(r.seal(DATA, b'GET / HTTP/1.1\r\nHost'))
                got, how = read_all(r.s, 4)
        except OSError:
            how = 'reset'
        t = time.time() - t
        r.close()
        return (name, how != 'timeout' and 0.7 < t < 2.2 * SLOW,
                '%s after %.2f s' % (how, t))
    names = ('silent', 'dripping', 'half a hello', 'stalled',
             'before the Finished', 'no request', 'half a request')
    out = []
    threads = [threading.Thread(target=lambda n=n: out.append(one(n)))
               for n in names]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for name, good, why in sorted(out):
        check('a slow handshake is cut: ' + name, good, why)
    equal('slow handshakes: all have come back', len(out), len(names))
    equal('descriptors after slow handshakes', settled(s, before), '')
    lives('lives after slow handshakes', s)
    s.stop()


# ---- ALPN and SNI ------------------------------------------------------------

def alpn():
    p = pair()
    both, no = ['h2', 'http/1.1'], 'no_application_protocol'
    for http2, table in (
            ('true', [(both, 'h2'), (both[::-1], 'h2'), (['h2'], 'h2'),
                      (['http/1.1'], 'http/1.1'), ([], None), (['spdy/3'], no),
                      (['spdy/3', 'http/1.1'], 'http/1.1'),
                      (['h3', 'h2'], 'h2'), (['H2'], no), (['h2c'], no),
                      (['x%d' % i for i in range(50)] + ['h2'], 'h2')]),
            ('false', [(both, 'http/1.1'), (both[::-1], 'http/1.1'),
                       (['h2'], no), (['http/1.1'], 'http/1.1'), ([], None),
                       (['h2', 'spdy/3'], no)])):
        s = Server(ROOT, '--http2=' + http2, *CK(p))
        for offer, want in table:
            why = ''
            try:
                with secure(s, context(p[0], offer)) as c:
                    got = c.selected_alpn_protocol()
                    if got == 'h2':
                        c.sendall(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
                                  b'\0\0\0\4\0\0\0\0\0')
                        data = read_all(c, 5, lambda d: len(d) >= 9)[0]
                        good = data[3] == 4     # SETTINGS come first
                    else:
                        c.sendall(request())
                        data = read_all(c, 5)[0]
                        r = parse_responses(data)[0]
                        good = len(r) == 1 and r[0].body == PAGE
                    why = '' if good else data[:200]
            except ssl.SSLError as e:
                got = str(e).replace(' ', '_').lower()
                got = no if no in got else got
            check('ALPN %s, --http2=%s: %s' % (
                ','.join(offer[:3]) or 'none', http2, want), got == want and
                not why, (got, why))
        s.stop()
        s = Server(ROOT, '--http2=' + http2)
        with s.connect() as c:
            c.sendall(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0')
            data = read_all(c, 1, lambda d: len(d) >= 9)[0]
        check('HTTP/2 by prior knowledge, --http2=' + http2,
              (data[:4] != b'HTTP' and data[3:4] == b'\4') if http2 == 'true'
              else data[:13] in (b'HTTP/1.1 400 ', b'HTTP/1.1 505 '),
              data[:100])
        s.stop()


def sni():
    first = pair('P-256', 'first', ('first.example', 'also.example'))
    wild = pair('RSA-2048', 'wild', ('*.wild.example',))
    exact = pair('P-384', 'exact', ('exact.wild.example', 'third.example'))
    k = make_key('cn', ec('P-256'))
    only_cn = os.path.join(WORK, 'cn.crt')
    openssl('req', '-x509', '-new', '-key', k, '-subj', '/CN=cn.example',
            '-out', only_cn)
    rsa_twin = pair('RSA-2048', 'twin', ('first.example',))
    pairs = {'first': first, 'wild': wild, 'exact': exact,
             'cn': (only_cn, k), 'twin': rsa_twin}
    s = Server(ROOT, *sum((CK(x) for x in pairs.values()), []))
    who = {der(c): n for n, (c, _) in pairs.items()}
    only_rsa = context()
    only_rsa.set_ciphers('ECDHE+aRSA+AESGCM')
    for name, want, ctx in (
            ('first.example', 'first', None), ('also.example', 'first', None),
            ('a.wild.example', 'wild', None), ('A.WILD.Example', 'wild', None),
            ('third.example', 'exact', None), ('cn.example', 'cn', None),
            ('wild.example', 'first', None), ('a.b.wild.example', 'first', None),
            ('xwild.example', 'first', None), ('unknown.example', 'first', None),
            ('example', 'first', None), (None, 'first', None),
            ('exact.wild.example', 'exact', None),      # before any wildcard
            ('x' * 63 + '.' + 'y' * 63 + '.' + 'z' * 63, 'first', None),
            # a client that knows RSA only gets an RSA pair
            ('first.example', 'twin', only_rsa),
            ('unknown.example', 'wild', only_rsa)):
        with secure(s, ctx, name) as c:
            got = who.get(c.getpeercert(True))
            c.sendall(request())
            data = read_all(c, 5)[0]
        check('SNI %s: %s%s' % (str(name)[:30], want, ', RSA client' if ctx
                                else ''), got == want and data.endswith(PAGE),
              (got, data[:100]))
    s.stop()


# ---- new certificates --------------------------------------------------------

def shown(server, name='localhost'):
    """The certificate of a new handshake."""
    with secure(server, name=name) as c:
        return c.getpeercert(True)


def becomes(server, want, timeout=3):
    end = time.time() + timeout * SLOW
    while shown(server) != want and time.time() < end:
        time.sleep(0.02)
    return shown(server) == want


def replaced(path, data):
    put(path + '.new', data)
    os.rename(path + '.new', path)


def reload():
    d = tmpdir('live')
    c, k = d + '/site.crt', d + '/site.key'
    ways = [pair('P-256', 'old'), pair('RSA-2048', 'new'), pair('P-384', 'third')]

    def use(p):
        replaced(c, text(p[0]))
        replaced(k, text(p[1]))
    use(ways[0])
    second = pair('P-256', 'second', ('second.example',))
    SUM['8'] = content(ROOT, '8.bin', 8 * MIB)
    # time enough for handshakes that wait until four reloads are over
    s = Server(ROOT, '-C', c, '-K', k, '--header-timeout', '%d' % (10 * SLOW),
               *CK(second))
    pid = s.proc.pid
    equal('reload: the first certificate', shown(s), der(ways[0][0]))
    fetch(s, '/8.bin', fields='Range: bytes=0-9\r\n')
    before = resting(s)
    # twenty clients that take three seconds each, over h1 and h2
    argv = ['curl', '-q', '-sS', '-k', '--noproxy', '*', '--limit-rate',
            '%dk' % (3072 / SLOW), 'https://127.0.0.1:%d/8.bin' % s.port]
    done = []
    threads = [threading.Thread(target=lambda v=v: done.append(digest(
        argv + [v]))) for v in ('--http1.1', '--http2') * 10]
    for t in threads:
        t.start()
    # sockets that stand in the middle of their handshake
    half = [Raw(s) for _ in range(5)]
    for r in half:
        r.s.sendall(r.hello())
    flights = [r.flight() for r in half]
    end = time.time() + 5 * SLOW
    while s.fds() < before + 25 and time.time() < end:
        time.sleep(0.01)
    equal('reload: twenty downloads and five handshakes under way',
          s.fds(), before + 25)
    for i in 1, 2, 0, 1:
        use(ways[i])
        os.kill(pid, signal.SIGHUP)
        check('reload: new handshakes get %s' % ways[i][0].rpartition('/')[2],
              becomes(s, der(ways[i][0])))
    for r, public in zip(half, flights):
        r.s.sendall(r.finish(public))
        time.sleep(0.01)
        r.s.sendall(r.seal(DATA, request()))
    got = [r.rest() for r in half]
    check('reload: handshakes under way end with the old pair',
          all(data.endswith(PAGE) for data, _, _ in got), got[:2])
    for r in half:
        r.close()
    check('reload: downloads were still under way', not done, len(done))
    # what is broken leaves the current ones in place
    good = der(ways[1][0])
    for name, spoil, file in (
            ('a certificate that is no PEM', lambda: replaced(c, b'x' * 500), c),
            ('a key cut short', lambda: replaced(k, text(k)[:300]), k),
            ("somebody else's key", lambda: replaced(k, text(ways[0][1])), k),
            ('an empty key', lambda: replaced(k, b''), k),
            ('no certificate', lambda: os.unlink(c), c),
            ('no key', lambda: os.unlink(k), k)):
        use(ways[1])
        spoil()
        old = len([x for x in s.log().splitlines() if x.startswith('sws: ')])
        os.kill(pid, signal.SIGHUP)
        end = time.time() + 3 * SLOW
        lines = []
        while not lines and time.time() < end:
            time.sleep(0.02)
            lines = [x for x in s.log().splitlines()
                     if x.startswith('sws: ')][old:]
        time.sleep(0.05)
        check('reload, %s: the old pair stays' % name, shown(s) == good)
        check('reload, %s: one line names the file' % name, len(lines) == 1 and
              file in lines[0], lines)
    equal('reload: the second pair is still there',
          shown(s, 'second.example'), der(second[0]))
    # by names that now are the same file
    use(ways[2])
    os.kill(pid, signal.SIGHUP)
    check('reload: a good pair after the broken ones', becomes(
        s, der(ways[2][0])))
    for t in threads:
        t.join()
    bad = [x for x in done if x[0] != SUM['8'] or x[1] != 0]
    check('reload: no download of 20 failed', len(done) == 20 and not bad,
          (len(done), bad[:3]))
    for i in range(100):
        os.kill(pid, signal.SIGHUP)
        if i % 10 == 0:
            shown(s)
    equal('reload: descriptors', settled(s, before), '')
    lives('reload: lives', s)
    equal('reload: ends on TERM', s.stop(), 0)


# ---- sessions ----------------------------------------------------------------

def cpu(server):
    """Seconds of processor time, exact where the system counts them."""
    pid = server.proc.pid
    try:
        with open('/proc/%d/schedstat' % pid) as f:
            return int(f.read().split()[0]) / 1e9
    except OSError:
        with open('/proc/%d/stat' % pid) as f:
            a = f.read().rpartition(')')[2].split()
        return (int(a[11]) + int(a[12])) / os.sysconf('SC_CLK_TCK')


def sessions():
    for kind in 'P-256', 'RSA-2048':
        p = pair(kind)
        s = Server(ROOT, '--no-access-log', *CK(p))
        q = subprocess.run(['openssl', 's_client', '-reconnect', '-tls1_2',
                            '-connect', '127.0.0.1:%d' % s.port],
                           capture_output=True, stdin=subprocess.DEVNULL)
        said = q.stdout.decode(errors='replace')
        check('openssl -reconnect, ' + kind, said.count('New, TLSv1.2') == 1 and
              said.count('Reused, TLSv1.2') == 5,
              re.findall('(?:New|Reused), .*', said))
        ctx = context(p[0])
        with secure(s, ctx) as c:
            session = c.session
            c.unwrap()
        spent, reused = {}, {}
        for name, use in ('full', None), ('resumed', session):
            t, n = cpu(s), 0
            for i in range(200):
                with secure(s, ctx, session=use) as c:
                    n += c.session_reused
                    c.unwrap()
            spent[name], reused[name] = cpu(s) - t, n
        figure('sessions, %s: %.0f us full, %.0f us resumed' % (
            kind, spent['full'] * 5000, spent['resumed'] * 5000))
        equal('sessions are resumed when asked, ' + kind, reused,
              {'full': 0, 'resumed': 200})
        check('a resumed handshake costs less than half, ' + kind,
              spent['resumed'] < spent['full'] / 2, spent)
        # data over a resumed one, and one whose session is not known
        with secure(s, ctx, session=session) as c:
            c.sendall(request())
            data = read_all(c, 5)[0]
            check('a page over a resumed session, ' + kind,
                  c.session_reused and data.endswith(PAGE), data[:200])
        s.stop()
        s = Server(ROOT, '--no-access-log', *CK(p))
        with secure(s, ctx, session=session) as c:
            c.sendall(request())
            data = read_all(c, 5)[0]
            check('an unknown session is a new one, ' + kind,
                  not c.session_reused and data.endswith(PAGE), data[:200])
        # many more than are remembered
        for i in range(1200 if kind == 'P-256' else 0):
            with secure(s, ctx) as c:
                if i == 0:
                    first = c.session
                last = c.session
                c.unwrap()
        if kind == 'P-256':
            with secure(s, ctx, session=first) as a, \
                    secure(s, ctx, session=last) as b:
                equal('the oldest sessions are forgotten first',
                      (a.session_reused, b.session_reused), (False, True))
        s.stop()


# ---- builds without ----------------------------------------------------------

_builds = {}


def build(options):
    """Make it in a folder of its own; (binary or None, what make said)."""
    d, top = tmpdir('build'), os.path.dirname(HERE)
    for f in os.listdir(top):
        if f.endswith(('.c', '.h')) or f == 'Makefile':
            shutil.copy(os.path.join(top, f), d)
    p = subprocess.run(['make', 'CFLAGS=-O2', *options], cwd=d,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    exe = d + '/sws'
    _builds[options] = (exe if p.returncode == 0 else None, p.stdout.decode())


BUILDS = ('TLS=0',), ('HTTP2=0',), ('TLS=0', 'HTTP2=0')


def make_builds():
    threads = [threading.Thread(target=build, args=(o,)) for o in BUILDS]
    for t in threads:
        t.start()
    return threads


def builds(threads=None):
    for t in threads or make_builds():
        t.join()
    p = pair()
    for o in BUILDS:
        exe, said = _builds[o]
        name = 'make ' + ' '.join(o)
        if not check(name, exe and 'warning' not in said, said[-500:]):
            continue
        libs = subprocess.run(['ldd', exe], capture_output=True).stdout.decode()
        equal(name + ': libraries', ('bearssl' in libs, 'nghttp2' in libs),
              ('TLS=0' not in o, 'HTTP2=0' not in o))
        v = subprocess.run([exe, '--version'], capture_output=True)
        check(name + ': --version says so', v.returncode == 0 and
              ('no TLS' in v.stdout.decode()) == ('TLS=0' in o) and
              ('no HTTP/2' in v.stdout.decode()) == ('HTTP2=0' in o), v)
        lib.SWS, old = exe, lib.SWS
        try:
            s = Server(ROOT)
            r = get(s)
            check(name + ': serves plain', r.status == 200 and r.body == PAGE, r)
            d, rc, err = digest(curl('http', s.port, '1',
                                     '--http2-prior-knowledge', p[0]))
            equal(name + ': h2c', d == SUM['1'], 'HTTP2=0' not in o)
            check(name + ': serves plain after that', get(s).body == PAGE)
            s.stop()
            if 'TLS=0' in o:
                refused(name + ': --tls-cert', CK(p), (1, 2), 'TLS', sws=exe)
                refused(name + ': --tls', ['--tls'], (1, 2), sws=exe)
                refused(name + ': SERVER_TLS_CERT', [], (1, 2), 'TLS', sws=exe,
                        env={'SERVER_TLS_CERT': p[0], 'SERVER_TLS_KEY': p[1]})
            else:
                s = Server(ROOT, *CK(p))
                with secure(s, context(p[0], ['h2', 'http/1.1'])) as c:
                    equal(name + ': ALPN', c.selected_alpn_protocol(),
                          'http/1.1')
                    c.sendall(request())
                    check(name + ': serves TLS', read_all(c, 5)[0].endswith(
                        PAGE))
                s.stop()
        finally:
            lib.SWS = old
    v = subprocess.run([SWS, '--version'], capture_output=True).stdout.decode()
    check('--version of this build', 'no TLS' not in v and
          'no HTTP/2' not in v, v)


# ---- all ---------------------------------------------------------------------

if __name__ == '__main__':
    # RSA keys take their time, compilers too: both beside what comes first
    compiled = make_builds()
    run([transfers, listeners, redirected, browser, names_of_options, keys,
         bad_keys, early, farewells, gathered, mixed_up, hostile, slow_handshakes, alpn,
         sni, reload, sessions, lambda: builds(compiled)])
