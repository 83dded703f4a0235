"""Every option by command line, by variable and by key of the file; every
other name that an option has; which source wins; what wrong values get.

An effect is something a client or a reader of the log can see.  Each row says
how to ask for it in the three ways; the same look at a server without the
option has to see the opposite, so that no row can pass by default."""
import concurrent.futures, gzip, http.client, json, ssl, sys, threading

from lib import *

ROOT = tmpdir('root')
OLD = 1700000000


def site():
    put(ROOT + '/index.html', '<title>index</title>', OLD)
    put(ROOT + '/home.htm', '<title>home</title>', OLD)
    put(ROOT + '/page.txt', 'a page of text', OLD)
    put(ROOT + '/page.txt.gz', gzip.compress(b'a page of text'), OLD)
    put(ROOT + '/.hidden', 'hidden', OLD)
    put(ROOT + '/404.html', 'the usual 404', OLD)
    put(ROOT + '/my404.html', 'my own 404', OLD)
    put(ROOT + '/50x.html', 'the usual 50x', OLD)
    put(ROOT + '/my50x.html', 'my own 50x', OLD)
    put(ROOT + '/app.html', 'the application', OLD)
    put(ROOT + '/d/one.bin', 'one', OLD)
    put(ROOT + '/d/index.html', 'folder', OLD)
    put(ROOT + '/e/b.txt', 'four', OLD)
    put(ROOT + '/e/a.txt', 'bigger than that', OLD)
    put(ROOT + '/a.html', 'html', OLD)
    put(ROOT + '/a.html.md', '# md', OLD)
    put(ROOT + '/x.swsx', 'typed', OLD)
    put(ROOT + '/big.bin', bytes(8 << 20), OLD)
    os.symlink('page.txt', ROOT + '/link')
    put(ROOT + '/../types', 'application/x-sws-test swsx\n')


def certificate():
    d = tmpdir('cert')
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
                    'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
                    '-subj', '/CN=localhost', '-keyout', d + '/key.pem',
                    '-out', d + '/cert.pem'], check=True, capture_output=True)
    return d + '/cert.pem', d + '/key.pem'


# ---- looking at a server -----------------------------------------------------

class Any(Server):
    """A server with any start: args, env, and the text of a file.  host and
    port are our own unless the row brings its own."""

    def __init__(self, args=(), env=None, toml=None, root=ROOT, own=True,
                 cwd=None, wait=r' on (\S+)', fds=()):
        self.errpath = os.path.join(tmpdir('log'), 'stderr')
        self.err = open(self.errpath, 'wb')
        argv = [SWS] + (['--host', '127.0.0.1', '--port', '0'] if own else [])
        argv += list(args) + ([root] if root else [])
        if toml is not None:
            name = put(os.path.join(tmpdir('toml'), 'conf.toml'), toml)
            argv[1:1] = ['--config-file', name]
        self.proc = spawn(argv, env=clean_env(**(env or {})), cwd=cwd,
                          stdin=subprocess.DEVNULL, stderr=self.err,
                          pass_fds=fds)
        self.url = self.port = None
        end = time.time() + 20 * SLOW
        while time.time() < end and self.proc.poll() is None:
            m = re.search(wait, self.log())
            if m:
                self.url = m.group(1)
                break
            time.sleep(0.01)
        if self.url is None:
            raise RuntimeError('sws did not start: ' + self.log())
        m = re.search(r':(\d+)/$', self.url)
        self.port = int(m.group(1)) if m else None

    def find(self, pattern, timeout=5):
        end = time.time() + timeout * SLOW
        while not re.search(pattern, self.log()):
            if time.time() > end:
                return False
            time.sleep(0.02)
        return True


def body(path, **kw):
    return lambda s: get(s, path, **kw).body


def status(path, want, **kw):
    return lambda s: get(s, path, **kw).status == want


def has(path, word, **kw):
    return lambda s: word.encode() in get(s, path, **kw).body


def field(path, name, want, **kw):
    def look(s):
        got = get(s, path, **kw).get(name)
        return want(got) if callable(want) else got == want
    return look


def tls_answers(s):
    c = ssl.create_default_context()
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    try:
        with c.wrap_socket(s.connect()) as t:
            t.sendall(b'GET /page.txt HTTP/1.0\r\n\r\n')
            return b'a page of text' in read_all(t)[0]
    except (ssl.SSLError, OSError):
        return False


def h2c(s):
    with s.connect() as c:
        c.sendall(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + b'\0\0\0\4\0\0\0\0\0')
        data, _ = read_all(c, 5, lambda d: len(d) >= 9)
    return data[3:4] == b'\4'


def logged(pattern, path='/page.txt', **kw):
    def look(s):
        get(s, path, **kw)
        get(s, '/end-of-the-test', **kw)
        s.find('end-of-the-test', 2)
        time.sleep(0.2)             # what is said at the end of a connection
        return bool(re.search(pattern, s.log(), re.M))
    return look


def quiet(s):
    get(s, '/page.txt')
    time.sleep(0.1)
    return 'GET /page.txt' not in s.log()


def closed_within(send, secs):
    """Is a connection closed by the server within so many seconds?  However
    slow it is, before the default of 10 has passed."""
    def look(s):
        with s.connect() as c:
            c.sendall(send)
            return read_all(c, min(secs, 8 / SLOW))[1] != 'timeout'
    return look


def stalled(s):
    """A client that reads nothing is left soon."""
    with s.connect() as c:
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.sendall(b'GET /big.bin HTTP/1.1\r\nHost: localhost\r\n\r\n')
        return s.find('GET /big.bin', 4)


def exits(s):
    try:
        return s.proc.wait(4 * SLOW) == 0
    except subprocess.TimeoutExpired:
        return False


def grace(s):
    """Asked to end, it serves for 2 seconds more; without, it may take a while
    to hear of it, but not those 2."""
    s.proc.send_signal(signal.SIGTERM)
    end = time.time() + 2
    try:
        while time.time() < end:
            if get(s, '/page.txt').status != 200:
                return False
            time.sleep(0.05)
        return True
    except (OSError, RuntimeError):     # refused, or met the closing door
        return False


def drains_soon(s):
    with s.connect() as c:
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.sendall(b'GET /big.bin HTTP/1.1\r\nHost: localhost\r\n\r\n')
        c.recv(10)
        s.proc.send_signal(signal.SIGTERM)
        try:
            s.proc.wait(min(5 * SLOW, 20))     # 30 without it
            return True
        except subprocess.TimeoutExpired:
            return False


def only_two(s):
    """With two busy connections a third one waits."""
    many = []
    for _ in range(2):
        c = s.connect()
        c.sendall(b'GET /')     # a head under way is not idle
        many.append(c)
    time.sleep(0.2)
    try:
        c = s.connect()
        many.append(c)
        c.sendall(b'GET /page.txt HTTP/1.0\r\n\r\n')
        return read_all(c, 1, lambda d: b'text' in d)[1] == 'timeout'
    finally:
        for c in many:
            c.close()


def state(s, name):
    """A line of /proc/PID/status."""
    with open('/proc/%d/status' % s.proc.pid) as f:
        return re.search(r'^%s:\s*(.*)$' % name, f.read(), re.M).group(1).split()


SKIPPED = set()


def unable(option, why):
    skip('--%s: command line, variable, file' % option, why)
    SKIPPED.add(option)


def no_box():
    """Why sws has no sandbox here (a sanitizer, valgrind, the system), or ''."""
    if STRICT or VALGRIND:
        return 'it is chosen already'
    try:
        s = Any(['--sandbox=required', '--idle-exit', '1'])
    except RuntimeError as e:
        return str(e)
    with s:
        return '' if state(s, 'Seccomp') == ['2'] else 'no filter'


def pre(path, fields, **want):
    def look(s):
        r = get(s, path, fields, method='OPTIONS')
        return all(r.get(k.replace('_', '-')) == v for k, v in want.items())
    return look


HASH = '$2b$04$Eh5kAGTIZcBUTZUWzNPWuegbZrO3vxbjDTLBcCKDPWJTLkvGH6F1m'


def fill_hash():
    """A bcrypt hash of 'pw', by the C library through Python."""
    import warnings
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            import crypt
            return crypt.crypt('pw', '$2b$04$Eh5kAGTIZcBUTZUWzNPWue')
        except ImportError:
            return subprocess.run(['htpasswd', '-nbBC', '4', 'u', 'pw'],
                                  capture_output=True, text=True,
                                  check=True).stdout.strip().split(':')[1]


# ---- the rows ------------------------------------------------------------------

class Row:
    """option, value as on the command line, effect; `more`: other options the
    effect needs, always by command line; toml: the value there if it is not
    the same word, in quotes unless it is a number or a boolean."""

    def __init__(self, option, value, effect, toml=None, var=None, more=(),
                 alias=None, opposite=True, **start):
        self.option, self.value, self.effect = option, value, effect
        self.toml = toml or (value if re.fullmatch(r'\d+|true|false', value)
                             else json.dumps(value))
        self.var = var or 'SERVER_' + option.upper().replace('-', '_')
        self.more, self.start, self.opposite = more, start, opposite

    def ways(self):
        yield '--%s %s' % (self.option, self.value), dict(
            args=['--%s=%s' % (self.option, self.value), *self.more])
        yield self.var, dict(args=self.more, env={self.var: self.value})
        yield '%s = in the file' % self.option, dict(
            args=self.more, toml='[general]\n%s = %s\n' % (self.option,
                                                           self.toml))

    def run(self):
        for how, start in self.ways():
            s = Any(**start, **self.start)
            check('--%s: %s' % (self.option, how), self.effect(s), s.log())
            s.stop(signal.SIGKILL)
        if self.opposite:
            s = Any(self.more, **self.start)
            check('--%s: not without it' % self.option, not self.effect(s),
                  s.log())
            s.stop(signal.SIGKILL)


def rows():
    crt, key = certificate()
    pair = ['--tls-cert', crt, '--tls-key', key]
    auth = {'Authorization': 'Basic dTpwdw=='}          # u:pw
    user = 'u:' + fill_hash()
    origin = {'Origin': 'https://a.example'}
    preflight = {**origin, 'Access-Control-Request-Method': 'GET',
                 'Access-Control-Request-Headers': 'x-one'}
    real = {'X-Real-IP': '192.0.2.7'}
    forwarded = {'X-Forwarded-For': '192.0.2.8'}
    trust = ['--trusted-proxies', '127.0.0.1']
    logfile = os.path.join(tmpdir('logs'), 'access')
    ready = os.pipe()
    types = os.path.abspath(ROOT + '/../types')
    browser = put(os.path.join(tmpdir('bin'), 'browser'),
                  '#!/bin/sh\necho "$1" >"$BROWSER_SAID"\n')
    os.chmod(browser, 0o755)

    def opened(want):
        said = os.path.join(tmpdir('said'), 'url')
        env = {'BROWSER': browser, 'BROWSER_SAID': said}

        def look(s):
            end = time.time() + 3 * SLOW
            while time.time() < end:
                try:
                    with open(said) as f:
                        url = f.read().strip()
                    if url:
                        os.unlink(said)
                        return url == s.url + want
                except OSError:
                    pass
                time.sleep(0.02)
            return False
        return env, look

    class Opened(Row):
        """The browser's part of the environment goes with every way."""

        def __init__(self, option, value, want, more=(), opposite=True):
            self.extra, look = opened(want)
            super().__init__(option, value, look, more=more,
                             opposite=opposite)

        def ways(self):
            for how, start in super().ways():
                start['env'] = {**start.get('env', {}), **self.extra}
                yield how, start

    def ready_said(s):
        r, _, _ = select.select([ready[0]], [], [], 1)
        return bool(r) and os.read(ready[0], 1) == b'\n'

    def to_log(s):
        get(s, '/page.txt')
        end = time.time() + 1 * SLOW
        while time.time() < end:
            if os.path.exists(logfile):
                with open(logfile) as f:
                    if 'GET /page.txt' in f.read():
                        os.unlink(logfile)
                        return True
            time.sleep(0.02)
        return False

    rights = []
    if os.getuid() == 0:
        jail = tmpdir('jail')
        rights = [
            Row('user', 'nobody', lambda s: state(s, 'Uid') == ['65534'] * 4),
            Row('group', '1234', lambda s: state(s, 'Gid') == ['1234'] * 4,
                toml='"1234"', more=['--user', 'nobody']),
            Row('chroot', jail, lambda s: os.readlink(
                '/proc/%d/root' % s.proc.pid) == jail)]
    else:
        for o in 'user', 'group', 'chroot':
            unable(o, 'only root can do that')
    why = no_box()
    if why:
        unable('sandbox', why)
    else:
        rights.append(Row('sandbox', 'off',
                          lambda s: state(s, 'Seccomp') == ['0']))

    return rights + [
        Row('root', ROOT, has('/page.txt', 'a page'), root=None,
            cwd=tmpdir('elsewhere')),
        Row('index-files', 'none.html, home.htm', has('/', 'home')),
        Row('page404', 'my404.html', has('/nope', 'my own 404'),
            var='SERVER_ERROR_PAGE_404'),
        Row('page50x', './my50x.html', has('/page.txt', 'my own 50x'),
            var='SERVER_ERROR_PAGE_50X', more=['--maintenance-mode']),
        Row('page-fallback', 'app.html', lambda s: (
            lambda r: r.status == 200 and b'application' in r.body)(
                get(s, '/nope')), var='SERVER_FALLBACK_PAGE'),
        Row('directory-listing', 'true', has('/e/', 'b.txt')),
        Row('directory-listing-order', '1', lambda s: (
            lambda b: -1 < b.find(b'b.txt') < b.find(b'a.txt'))(
                get(s, '/e/').body), more=['-z']),
        Row('directory-listing-format', 'json', field(
            '/e/', 'content-type', 'application/json'), more=['-z']),
        Row('compression-static', 'false', field(
            '/page.txt', 'content-encoding', None,
            fields={'Accept-Encoding': 'gzip'})),
        Row('accept-markdown', 'true', has(
            '/a', '# md', fields={'Accept': 'text/markdown'})),
        Row('redirect-trailing-slash', 'false', status('/d', 200)),
        Row('include-hidden', 'true', status('/.hidden', 200)),
        Row('follow-symlinks', 'true', status('/link', 200)),
        Row('mime-types', types, field('/x.swsx', 'content-type',
                                       'application/x-sws-test')),
        Row('text-charset', 'false', field('/page.txt', 'content-type',
                                           'text/plain')),
        Row('etag', 'false', field('/page.txt', 'etag', None)),
        Row('cache-control-headers', 'false', field(
            '/page.txt', 'cache-control', None)),
        Row('security-headers', 'true', field(
            '/page.txt', 'x-content-type-options', 'nosniff')),
        Row('header', 'X-One: two', field('/page.txt', 'x-one', 'two')),
        Row('cors-allow-origins', 'https://b.example, https://a.example',
            field('/page.txt', 'access-control-allow-origin',
                  'https://a.example', fields=origin)),
        Row('cors-allow-headers', 'X-One', pre(
            '/page.txt', preflight, access_control_allow_headers='x-one'),
            more=['-c', 'https://a.example']),
        Row('cors-expose-headers', 'X-Two,etag', field(
            '/page.txt', 'access-control-expose-headers', 'x-two, etag',
            fields=origin), more=['-c', '*']),
        Row('basic-auth', user, lambda s: get(s, '/page.txt').status == 401
            and get(s, '/page.txt', auth).status == 200),
        Row('health', 'true', lambda s: get(s, '/health').body == b'OK'),
        Row('metrics', 'true', has('/metrics', 'sws_http_requests_total')),
        Row('maintenance-mode', 'true', status('/page.txt', 503)),
        Row('maintenance-mode-status', '502', status('/page.txt', 502),
            more=['--maintenance-mode']),
        Row('maintenance-mode-file', 'app.html', has('/page.txt', 'applic'),
            more=['--maintenance-mode']),
        Row('log-level', 'debug', logged('sws: descriptor')),
        Row('log-format', 'json', logged(r'^\{.*"target": ?"/page.txt"')),
        Row('log-file', logfile, to_log),
        Row('log-with-ansi', 'true', logged('\x1b\\['),
            more=['--log-format', 'pretty']),
        Row('log-remote-address', 'false', logged(
            r'^- - - .*GET /page\.txt')),
        Row('log-x-real-ip', 'true', logged(
            r'^192\.0\.2\.7 .*GET /page\.txt', fields=real), more=trust),
        Row('log-forwarded-for', 'true', logged(
            r'^192\.0\.2\.8 .*GET /page\.txt', fields=forwarded), more=trust),
        Row('trusted-proxies', '10.0.0.1, 127.0.0.0/8', logged(
            r'^192\.0\.2\.7 .*GET /page\.txt', fields=real),
            more=['--log-x-real-ip']),
        Row('access-log', 'false', quiet),
        Row('header-timeout', '1', closed_within(b'GET / HT', 4)),
        Row('idle-timeout', '1', closed_within(
            b'GET /page.txt HTTP/1.1\r\nHost: a\r\n\r\n', 4)),
        Row('write-timeout', '1', stalled),
        Row('idle-exit', '1', exits),
        Row('grace-period', '4', grace),
        Row('drain-timeout', '1', drains_soon),
        Row('max-connections', '2', only_two),
        Row('ready-fd', str(ready[1]), ready_said, fds=[ready[1]]),
        Row('tls', 'false', has('/page.txt', 'a page'), more=pair),
        Row('http2', 'false', lambda s: not h2c(s)),
        Opened('open', 'true', ''),
        Opened('open-path', '/d/', 'd/', more=['--open']),
        # other names
        Row('ignore-hidden-files', 'false', status('/.hidden', 200)),
        Row('disable-symlinks', 'false', status('/link', 200)),
        Row('experimental-metrics', 'true', has('/metrics', 'sws_')),
    ], crt, key


def pairs(crt, key):
    """A certificate and a key come together, under both of their names."""
    for c, k in ('tls-cert', 'tls-key'), ('http2-tls-cert', 'http2-tls-key'):
        cv, kv = ('SERVER_' + n.upper().replace('-', '_') for n in (c, k))
        for how, start in (
                ('command line', dict(args=['--' + c, crt, '--' + k, key])),
                (cv, dict(env={cv: crt, kv: key})),
                ('file', dict(toml='[general]\n%s = "%s"\n%s = "%s"\n' %
                              (c, crt, k, key)))):
            for on in (), ('--tls=false',):
                s = Any(**{**start, 'args': [*start.get('args', ()), *on]})
                check('--%s, --%s: %s%s' % (c, k, how, ', --tls=false' if on
                                            else ''),
                      tls_answers(s) == (not on), s.log())
                s.stop(signal.SIGKILL)
    for name, start in (
            ('SERVER_HTTP2_TLS', dict(env={'SERVER_HTTP2_TLS': 'false'})),
            ('--http2-tls', dict(args=['--http2-tls', 'false'])),
            ('http2-tls in the file', dict(
                toml='[general]\nhttp2-tls = false\n'))):
        s = Any(**{**start, 'args': [*start.get('args', ()), '-C', crt, '-K',
                                     key]})
        check('--http2-tls: %s' % name, not tls_answers(s), s.log())
        s.stop(signal.SIGKILL)


def redirects(crt, key):
    """--https-redirect and what belongs to it."""
    want = {'https-redirect': 'true', 'https-redirect-host': 'b.example',
            'https-redirect-from-port': None,
            'https-redirect-from-hosts': 'a.example'}
    for how in 'command line', 'variable', 'file':
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            want['https-redirect-from-port'] = str(free.getsockname()[1])
        pairs = ['-C', crt, '-K', key]
        if how == 'command line':
            s = Any(pairs + ['--%s=%s' % kv for kv in want.items()])
        elif how == 'variable':
            s = Any(pairs, {'SERVER_' + k.upper().replace('-', '_'): v
                            for k, v in want.items()})
        else:
            s = Any(pairs, toml='[general]\n' + ''.join(
                '%s = %s\n' % (k, v if re.fullmatch(r'\d+|true', v) else
                               json.dumps(v)) for k, v in want.items()))
        tls_port, s.port = s.port, int(want['https-redirect-from-port'])
        r = get(s, '/x?y', host='a.example')
        equal('--https-redirect, -host, -from-port, -from-hosts: ' + how,
              (r.status, r.get('location')),
              (301, 'https://b.example:%d/x?y' % tls_port))
        equal('--https-redirect-from-hosts: another host, ' + how,
              get(s, '/x', host='c.example').status, 400)
        s.stop(signal.SIGKILL)


def addresses():
    """Sockets: what cannot be asked for beside --host and --port."""
    for how, start in (
            ('command line', dict(args=['--host', '127.0.0.1', '--port', '0'])),
            ('variable', dict(env={'SERVER_HOST': '127.0.0.1',
                                   'SERVER_PORT': '0'})),
            ('file', dict(toml='[general]\nhost = "127.0.0.1"\nport = 0\n'))):
        s = Any(own=False, **start)
        check('--host, --port: ' + how, s.url.startswith('http://127.0.0.1:')
              and not s.url.endswith(':8080/') and
              get(s, '/page.txt').status == 200, s.url)
        s.stop(signal.SIGKILL)
        path = os.path.join(tmpdir('u'), 's')
        stale = socket.socket(socket.AF_UNIX)
        stale.bind(path)
        stale.close()
        opts = {'unix-socket': path, 'unix-socket-mode': '600',
                'unix-socket-force': 'true'}
        if how == 'command line':
            start = dict(args=['--%s=%s' % kv for kv in opts.items()])
        elif how == 'variable':
            start = dict(env={'SERVER_' + k.upper().replace('-', '_'): v
                              for k, v in opts.items()})
        else:
            start = dict(toml='[general]\nunix-socket = "%s"\n'
                         'unix-socket-mode = "600"\nunix-socket-force = true\n'
                         % path)
        s = Any(own=False, **start)
        c = socket.socket(socket.AF_UNIX)
        c.connect(path)
        c.sendall(b'GET /page.txt HTTP/1.0\r\n\r\n')
        check('--unix-socket, --unix-socket-force: ' + how,
              b'a page' in read_all(c)[0])
        equal('--unix-socket-mode: ' + how,
              oct(os.stat(path).st_mode & 0o777), '0o600')
        c.close()
        s.stop(signal.SIGTERM)
        with socket.socket() as l:
            l.bind(('127.0.0.1', 0))
            l.listen()
            fd = str(l.fileno())
            for form in ('--fd', 'SERVER_LISTEN_FD', 'fd = N', 'fd = ["N"]'):
                if how != 'command line':
                    break
                s = Any(own=False, fds=[l.fileno()], **(
                    dict(args=['--fd', fd]) if form == '--fd' else
                    dict(env={form: fd}) if form.startswith('S') else
                    dict(toml='[general]\n' + form.replace('N', fd) + '\n')))
                check('--fd: ' + form, get(s, '/page.txt').status == 200)
                s.stop(signal.SIGKILL)
    # the file itself
    d = tmpdir('cwd')
    put(d + '/sws.toml', '[general]\npage404 = "my404.html"\n')
    other = put(d + '/other.toml', '[general]\npage404 = "app.html"\n')
    look = has('/nope', 'my own 404')
    for how, start, effect in (
            ('./sws.toml', dict(cwd=d), look),
            ('--config-file', dict(cwd=d, args=['--config-file', other]),
             has('/nope', 'application')),
            ('-w', dict(args=['-w', other]), has('/nope', 'application')),
            ('SERVER_CONFIG_FILE', dict(env={'SERVER_CONFIG_FILE': other}),
             has('/nope', 'application'))):
        s = Any(**start)
        check('--config-file: ' + how, effect(s), s.log())
        s.stop(signal.SIGKILL)


def relative_root():
    d = tmpdir('swap')
    for n in 'one', 'two':
        put('%s/%s/page.txt' % (d, n), n, OLD)
    for how, start in (('--use-relative-root', dict(
            args=['--use-relative-root'])), ('SERVER_USE_RELATIVE_ROOT', dict(
                env={'SERVER_USE_RELATIVE_ROOT': 'true'})), ('file', dict(
                    toml='[general]\nuse-relative-root = true\n')),
            ('not without it', {})):
        if os.path.lexists(d + '/now'):
            os.unlink(d + '/now')
        os.symlink('one', d + '/now')
        s = Any(root=d + '/now', **start)
        before = get(s, '/page.txt').body
        os.symlink('two', d + '/new')
        os.rename(d + '/new', d + '/now')
        equal('--use-relative-root: ' + how, (before, get(s, '/page.txt').body),
              (b'one', b'two' if start else b'one'))
        s.stop(signal.SIGKILL)


IGNORED = {'compression': ('false', 'false'),
           'compression-level': ('fastest', '"fastest"'),
           'directory-listing-download': ('targz', '["targz"]'),
           'threads-multiplier': ('4', '4'), 'max-blocking-threads': ('8', '8')}


def ignored():
    for option, (value, toml) in IGNORED.items():
        var = 'SERVER_' + option.upper().replace('-', '_')
        for how, start in (('command line', dict(args=['--%s=%s' % (
                option, value)])), (var, dict(env={var: value})), ('file', dict(
                    toml='[general]\n%s = %s\n' % (option, toml)))):
            start['args'] = [*start.get('args', ()), '-g', 'debug']
            s = Any(**start)
            check('--%s: accepted, one line says so: %s' % (option, how),
                  len(re.findall('--%s has no effect' % option, s.log())) == 1
                  and get(s, '/page.txt').status == 200, s.log())
            s.stop(signal.SIGKILL)


def strength():
    """Command line over environment over file, whatever the type."""
    toml = '[general]\npage404 = "page.txt"\netag = false\n' \
        'index-files = ["page.txt"]\nheader = ["X-One: file"]\n'
    env = {'SERVER_ERROR_PAGE_404': 'my404.html', 'SERVER_ETAG': 'true',
           'SERVER_INDEX_FILES': 'home.htm', 'SERVER_HEADER': 'X-One: env'}
    args = ['--page404', 'app.html', '--no-etag', '--index-files', 'a.html',
            '--header', 'X-One: line']

    def look(s):
        r = get(s, '/')
        return (get(s, '/nope').body, r.get('etag') is not None, r.body,
                r.get('x-one'))
    for name, start, want in (
            ('file', dict(toml=toml), (b'a page of text', False,
                                       b'a page of text', 'file')),
            ('environment over file', dict(toml=toml, env=env),
             (b'my own 404', True, b'<title>home</title>', 'env')),
            ('command line over both', dict(toml=toml, env=env, args=args),
             (b'the application', False, b'html', 'line')),
            ('an empty variable is none', dict(toml=toml, env=dict.fromkeys(
                env, '')), (b'a page of text', False, b'a page of text',
                            'file'))):
        s = Any(**start)
        equal('strength: ' + name, look(s), want)
        s.stop(signal.SIGKILL)


def fails(name, want_rc, pattern, args=(), env=None, toml=None):
    """A start that has to end with one line."""
    argv = [SWS, '--host', '127.0.0.1', '--port', '0', *args, ROOT]
    if toml is not None:
        path = put(os.path.join(tmpdir('bad'), 'bad.toml'), toml)
        argv[1:1] = ['-w', path]
    p = subprocess.run(argv, env=clean_env(**(env or {})), text=True,
                       stdin=subprocess.DEVNULL, capture_output=True,
                       timeout=20 * SLOW, errors='replace')
    check(name, p.returncode == want_rc and p.stderr.count('\n') == 1 and
          re.search(pattern, p.stderr), (p.returncode, p.stderr))


def wrong():
    text = subprocess.run([SWS, '--help'], capture_output=True,
                          text=True).stdout
    options = re.findall(r'^(?:-.,|   ) --([a-z0-9-]+)( \S+)?', text, re.M)
    check('wrong values: --help lists the options', len(options) > 60,
          len(options))
    for o, arg in options:
        if o in ('help', 'version'):
            continue
        var = {'fd': 'LISTEN_FD', 'page404': 'ERROR_PAGE_404',
               'page50x': 'ERROR_PAGE_50X', 'page-fallback': 'FALLBACK_PAGE'
               }.get(o, o.upper().replace('-', '_'))
        if o != 'config-file':
            fails('--%s: a table in the file' % o, 1,
                  r'bad\.toml:3: %s: must be' % o,
                  toml='[general]\n\n%s = { a = 1 }\n' % o)
        if arg is None:
            fails('--%s: not a boolean' % o, 2, '--%s "maybe": must be true' %
                  o, args=['--%s=maybe' % o])
            fails('SERVER_%s: not a boolean' % var, 2,
                  'SERVER_%s="maybe": must be true' % var,
                  env={'SERVER_' + var: 'maybe'})
            fails('%s: a string, not a boolean, in the file' % o, 1,
                  r'bad\.toml:2: %s: must be true' % o,
                  toml='[general]\n%s = "true"\n' % o)
        elif arg in (' N', ' SECS'):
            for v in '-1', '1x', '99999999999999999999', '':
                fails('--%s "%s"' % (o, v), 2, '--%s "%s": not a whole' %
                      (o, v), args=['--' + o, v])
            fails('SERVER_%s: not a number' % var, 2,
                  'SERVER_%s="x": not a whole' % var,
                  env={'SERVER_' + var: 'x'})
            fails('%s: out of range in the file' % o, 1,
                  r'bad\.toml:2: %s: not a whole' % o,
                  toml='[general]\n%s = 9999999999\n' % o)
        else:
            fails('--%s: empty' % o, 2, '--%s' % o, args=['--%s=' % o])
    for name, args, pattern in (
            ('origin', ['-c', 'example.org'], 'cors-allow-origins "example.org"'),
            ('origin with a path', ['-c', 'https://a.example/b'], 'https://a.example/b'),
            ('* among origins', ['-c', '*,https://a.example'], 'alone'),
            ('CORS field', ['-c', '*', '-j', 'a b'], 'cors-allow-headers "a b"'),
            ('CORS exposed field', ['-c', '*', '--cors-expose-headers', 'a:b'], 'cors-expose'),
            ('network', ['--trusted-proxies', '10.0.0.0/33'], '10.0.0.0/33'),
            ('network of a name', ['--trusted-proxies', 'localhost'], 'localhost'),
            ('hash', ['--basic-auth', 'u:$2b$04$tooshort'], '--basic-auth "u"'),
            ('hash of another kind', ['--basic-auth', 'u:{SHA}xyz'], '--basic-auth "u"'),
            ('status', ['--maintenance-mode-status', '99'], 'status 99'),
            ('status without a page', ['--maintenance-mode-status', '304'], 'status 304'),
            ('status that needs Location', ['--maintenance-mode-status', '302'], 'status 302'),
            ('status that needs a challenge', ['--maintenance-mode-status', '401'], 'status 401'),
            ('status that needs Allow', ['--maintenance-mode-status', '405'], 'status 405'),
            ('field', ['--header', 'no colon'], 'no colon'),
            ('framing field', ['--header', 'Content-Length: 5'], 'Content-Length'),
            ('open path', ['--open', '--open-path', 'a'], 'open-path'),
            ('open and a unix socket', ['--open', '--unix-socket',
                                        tmpdir('x') + '/s'], '--open'),
            ('listing format', ['--directory-listing-format', 'xml'], 'html, json'),
            ('listing order', ['--directory-listing-order', '7'], 'order "7"'),
            ('log format', ['--log-format', 'xml'], 'combined'),
            ('log level', ['-g', 'loud'], 'error, warn')):
        fails('wrong: ' + name, 2, pattern, args=args)
    for name, toml, pattern in (
            ('TOML', '[general]\nport = = 1\n', r'bad\.toml:2: '),
            ('duplicate key', '[general]\netag = true\netag = true\n', r':3: .*etag'),
            ('UTF-8', b'[general]\nroot = "\xff"\n', r':2: '),
            ('general is no table', 'general = 1\n', ':1: general'),
            ('glob', '[[advanced.headers]]\nsource = "[a"\nheaders = {A="b"}\n', r':2: '),
            ('redirect kind', '[[advanced.redirects]]\nsource = "/a"\n'
             'destination = "/b"\nkind = 200\n', ':4: .*kind'),
            ('field value', '[[advanced.headers]]\nsource = "**"\n'
             'headers = { A = "b\\u000ac" }\n', ':3: '),
            ('root of a virtual host', '[[advanced.virtual-hosts]]\n'
             'host = "a"\nroot = "/nowhere/at/all"\n', '/nowhere/at/all')):
        fails('wrong file: ' + name, 1, pattern, toml=toml)
    fails('wrong file: not there', 1, 'none.toml', args=['-w', '/none.toml'])
    fails('wrong file: a folder', 1, 'directory', args=['-w', ROOT])
    s = Any(toml='[general]\nno-such = 1\n[other]\n')
    check('unknown keys: a warning with the line', re.search(
        r'conf\.toml:2: unknown key no-such', s.log()) and re.search(
        r'conf\.toml:3: unknown key other', s.log()), s.log())
    s.stop(signal.SIGKILL)


def table():
    """The README's table of static-web-server's options names a check that
    there is for each."""
    with open(HERE + '/../README.md') as f:
        text = f.read()
    named = set(re.findall(r'^\| `--([a-z0-9-]+)`', text, re.M))
    text = subprocess.run([SWS, '--help'], capture_output=True,
                          text=True).stdout
    known = set(re.findall(r'^(?:-.,|   ) --([a-z0-9-]+)', text, re.M))
    ours = set(r.option for r in ROWS) | set(IGNORED) | SKIPPED | {
        'host', 'port', 'fd', 'unix-socket', 'unix-socket-mode',
        'unix-socket-force', 'config-file', 'tls-cert', 'tls-key',
        'http2-tls', 'http2-tls-cert', 'http2-tls-key', 'https-redirect',
        'https-redirect-host', 'https-redirect-from-port',
        'https-redirect-from-hosts', 'use-relative-root'}
    check('the README has a table of options', len(named) > 60, len(named))
    equal('each row of it has a check', sorted(named - ours), [])
    equal('each option of --help has a check',
          sorted(known - ours - {'help', 'version'}), [])


site()
ROWS, CRT, KEY = rows()


def every():
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        jobs = [(r, pool.submit(r.run)) for r in ROWS]
        for r, j in jobs:
            try:
                j.result()
            except Exception as e:
                check('--%s' % r.option, False, repr(e))


run([every, lambda: pairs(CRT, KEY), lambda: redirects(CRT, KEY), addresses,
     relative_root, ignored, strength, wrong, table])
