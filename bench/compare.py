"""The same questions to sws and to static-web-server's own programs: where do
the answers differ?

	python3 bench/compare.py [-v] SWS OTHER...

Each program is started on one folder with the same file of options, once for
each of the settings below, and asked the same.  A line for each answer that is
another than that of the first, save those that are so on purpose: these are
counted, by their reasons (-v: shown as well).  The status says whether there was
any other."""
import contextlib, gzip, html.parser, json, os, re, shutil, socket, ssl
import subprocess, sys, tempfile, time

OLD = 1600000000
IMS = 'Sun, 13 Sep 2020 12:26:40 GMT'
HASH = '$2y$04$vzUO2j60hSvcAhLScXadFe0c9z7jHKJkGlg5XYBj09W.eqAv0mE0y'
A, EVIL = 'https://a.example', 'https://evil.example'
NEVER = ('date', 'server', 'connection', 'transfer-encoding', 'alt-svc')


# ---- what is served ----------------------------------------------------------

def put(path, data=''):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb') as f:
        f.write(data if isinstance(data, bytes) else data.encode())
    os.utime(path, (OLD, OLD))


def folder(top):
    r = top + '/root/'
    text = 'some text that is long enough to be compressed, ' * 20
    files = {
        'index.html': '<title>index</title>', 'page.html': '<p>page',
        'page.html.md': '# page', 'only.md': '# only', 'a.txt': text,
        'sub/index.html': 'sub', 'sub/file.txt': 'file in sub',
        'list/one.txt': 'one', 'list/two words.txt': 'two',
        'list/a&b<c>.txt': 'odd', 'list/sub/x': 'x', 'list/.hid': 'hidden',
        'alt/default.htm': 'the default', 'empty.txt': '', 'big.bin':
        bytes(range(256)) * 400, '.hidden': 'hidden', '.dir/file': 'hidden',
        '.well-known/acme': 'acme', '404.html': 'page 404', '50x.html':
        'page 50x', 'closed.html': 'closed', 'fallback.html': 'fallback',
        'sp ace.txt': 'space', 'u\u00e9.txt': 'umlaut', 'plus+.txt': 'plus',
        'page.en.html': 'en', 'noext': 'no extension', 'x.UPPER.HTML': 'upper',
        **{'type.' + e: 'x' for e in
           'css js mjs json xml svg png jpg webp avif ico woff2 wasm pdf mp4 ts '
           'map webmanifest rss atom csv md markdown tar zip gz html htm xhtml '
           'txt bin unknown yaml toml'.split()}}
    for name, data in files.items():
        put(r + name, data)
    put(r + 'zip.txt', text)
    put(r + 'zip.txt.gz', gzip.compress(text.encode(), mtime=0))
    put(r + 'zip.txt.br', b'not really brotli')
    put(r + 'zip.txt.zst', b'not really zstd')
    put(r + 'sub2/index.html', text)
    put(r + 'sub2/index.html.gz', gzip.compress(text.encode(), mtime=0))
    os.symlink('a.txt', r + 'link.txt')
    os.symlink('sub', r + 'linked')
    os.symlink(top + '/outside.txt', r + 'out.txt')
    os.symlink('nowhere', r + 'dangling')
    put(top + '/outside.txt', 'outside')
    for v in 'v1', 'v2':
        put('%s/%s/index.html' % (top, v), v)
        put('%s/%s/only-%s.txt' % (top, v, v), v)
        put('%s/%s/404.html' % (top, v), '404 of ' + v)
    for dirpath, dirs, _ in os.walk(top):
        for d in dirs:
            os.utime(os.path.join(dirpath, d), (OLD, OLD), follow_symlinks=False)
    os.utime(r, (OLD, OLD))


# ---- what is asked -----------------------------------------------------------

def many(paths, method='GET', **fields):
    return [(method, p, {k.replace('_', '-'): v for k, v in fields.items()})
            for p in paths]


def basic(text):
    import base64
    return 'Basic ' + base64.b64encode(text.encode()).decode()


TYPES = many('/type.' + e for e in (
    'css js mjs json xml svg png jpg webp avif ico woff2 wasm pdf mp4 ts map '
    'webmanifest rss atom csv md markdown tar zip gz html htm xhtml txt bin '
    'unknown yaml toml').split()) + many(['/noext', '/x.UPPER.HTML'])
PLAIN = many([
    '/', '/index.html', '/a.txt', '/empty.txt', '/page', '/page.html', '/page/',
    '/sub', '/sub?q=1&r', '/sub/', '/sub/file.txt', '/sub/file.txt/', '/sub/no',
    '/nope', '/nope/', '/nope.html', '/list', '/list/', '/alt/', '//a.txt',
    '//sub', '/./a.txt', '/sub/../a.txt', '/../a.txt', '/%2e%2e/a.txt',
    '/sub//file.txt', '/sub%2Ffile.txt', '/a.txt?x', '/%61.txt', '/sp%20ace.txt',
    '/sp+ace.txt', '/plus+.txt', '/plus%2B.txt', '/u%C3%A9.txt', '/u%E9.txt',
    '/%', '/%zz', '/%00', '/a.txt%00', '/a.txt%0a', '/a.txt;x', '/A.TXT',
    '/.hidden', '/.dir/file', '/.well-known/acme', '/.well-known/', '/link.txt',
    '/linked/file.txt', '/linked', '/linked/', '/out.txt', '/dangling',
    '/zip.txt.gz', '/page.en', '/only', '/only.md', '/health', '/metrics',
    '/404.html', '/50x.html', '/sub/index.html', '/sub2/', '/' + 'x' * 300,
    '/a.txt#x', '/list/two%20words.txt']) + many(
    ['/', '/a.txt', '/sub', '/nope', '/big.bin', '/list/', '/empty.txt',
     '/sub/'], 'HEAD') + many(
    ['/', '/a.txt', '/sub', '/nope', '*', '/list/'], 'OPTIONS') + [
    (m, '/a.txt', {}) for m in ('POST', 'PUT', 'DELETE', 'PATCH', 'TRACE',
                                'PROPFIND', 'BREW', 'get')]
CONDITIONS = [('GET', '/a.txt', f) for f in (
    {'If-Modified-Since': IMS}, {'If-Modified-Since':
                                 'Sat, 12 Sep 2020 12:26:40 GMT'},
    {'If-Modified-Since': 'Mon, 13 Sep 2100 12:26:40 GMT'},
    {'If-Modified-Since': 'yesterday'},
    {'If-Unmodified-Since': IMS},
    {'If-Unmodified-Since': 'Sat, 12 Sep 2020 12:26:40 GMT'},
    {'If-None-Match': '*'}, {'If-None-Match': '"x"'}, {'If-Match': '*'},
    {'If-Match': '"x"'}, {'If-None-Match': '@'}, {'If-Match': '@'},
    {'If-None-Match': '"x", @'}, {'If-None-Match': 'W/"x"',
                                  'If-Modified-Since': IMS},
    {'Range': 'bytes=0-3', 'If-Range': '@'}, {'Range': 'bytes=0-3',
                                              'If-Range': '"x"'},
    {'Range': 'bytes=0-3', 'If-Range': IMS},
    {'Range': 'bytes=0-3', 'If-Range': 'Sat, 12 Sep 2020 12:26:40 GMT'})] + [
    ('HEAD', '/a.txt', {'If-None-Match': '@'}),
    ('HEAD', '/a.txt', {'If-Modified-Since': IMS})]
RANGES = [('GET', '/big.bin', {'Range': v}) for v in (
    'bytes=0-', 'bytes=0-0', 'bytes=5-9', 'bytes=-5', 'bytes=-0',
    'bytes=102399-', 'bytes=102400-', 'bytes=102390-999999', 'bytes=9-5',
    'bytes=-999999', 'bytes=0-102399', 'bytes=x', 'bytes=', 'lines=0-5',
    'bytes=0-5,10-15', 'bytes=0-5,200000-', 'bytes=0-4,5-9', 'bytes = 0-5',
    'bytes=0 - 5', 'bytes=0-5;', 'bytes=18446744073709551616-')] + [
    ('HEAD', '/big.bin', {'Range': 'bytes=0-9'}),
    ('GET', '/empty.txt', {'Range': 'bytes=0-'}),
    ('GET', '/empty.txt', {'Range': 'bytes=-5'}),
    ('GET', '/nope', {'Range': 'bytes=0-1'})]
ENCODINGS = [('GET', '/zip.txt', {'Accept-Encoding': v}) for v in (
    'gzip', 'br', 'zstd', 'gzip, br, zstd', 'br;q=0, gzip', 'gzip;q=0', '*',
    'identity', 'deflate', 'gzip;q=0.5, br;q=0.1', 'GZIP', 'x-gzip',
    'identity;q=0', '*;q=0', '')] + [
    ('GET', '/a.txt', {'Accept-Encoding': 'gzip'}),
    ('GET', '/sub2/', {'Accept-Encoding': 'gzip'}),
    ('HEAD', '/zip.txt', {'Accept-Encoding': 'gzip'}),
    ('GET', '/zip.txt', {'Accept-Encoding': 'gzip', 'Range': 'bytes=0-9'}),
    ('GET', '/zip.txt', {'Accept-Encoding': 'gzip', 'If-Modified-Since': IMS}),
    ('GET', '/type.png', {'Accept-Encoding': 'gzip'})]
LISTS = [('GET', p, f) for p in (
    '/list/', '/list', '/list/?sort=0', '/list/?sort=1', '/list/?sort=2',
    '/list/?sort=4', '/list/?sort=5', '/list/?sort=9', '/list/sub/', '/sub/',
    '/alt/') for f in ({}, {'Accept': 'application/json'})] + [
    ('HEAD', '/list/', {}), ('OPTIONS', '/list/', {}),
    ('GET', '/list/', {'Accept': 'text/html, application/json'}),
    ('GET', '/list/', {'Range': 'bytes=0-9'})]
MARKDOWN = [('GET', p, {'Accept': v}) for p in (
    '/page', '/page.html', '/only', '/only.md', '/a.txt', '/nope')
    for v in ('text/markdown', 'text/html, text/markdown;q=0.5', 'text/html',
              'text/markdown;q=0', '*/*')]
RULES = [('GET', p, f) for f in ({}, {'Host': 'v1.example'}, {'Host': 'V2.example:80'},
                                 {'Host': 'other.example'}) for p in (
    '/', '/only-v1.txt', '/nope', '/old', '/old?q=1')] + many([
        '/cap/a/b.html', '/cap/a/b.html?x=1', '/any/thing/at/all', '/q/a.txt',
        '/blog/2020/hello', '/img/x.png', '/img/x.jpg', '/rw', '/rw?q=1',
        '/rwr/x', '/rwcap/sub/file', '/star/x/y', '/a.txt', '/type.css', '/sub',
        '/sub/', '/type.png', '/sub/file.txt', '/one-of/b', '/loop', '/set/c',
        '/host-only']) + [('HEAD', '/old', {}), ('OPTIONS', '/old', {}),
                          ('GET', '/host-only', {'Host': 'v1.example'}),
                          ('POST', '/old', {})]
AUTH = [(m, p, f) for m in ('GET', 'HEAD', 'OPTIONS') for p in (
    '/a.txt', '/nope', '/health', '/metrics') for f in (
    {}, {'Authorization': basic('u:pw')}, {'Authorization': basic('u:no')},
    {'Authorization': basic('x:pw')}, {'Authorization': 'Bearer x'})] + [
    ('POST', '/a.txt', {})]
CORS = [(m, '/a.txt', f) for m, f in (
    ('GET', {}), ('GET', {'Origin': A}), ('GET', {'Origin': EVIL}),
    ('GET', {'Origin': 'null'}), ('HEAD', {'Origin': A}),
    ('OPTIONS', {'Origin': A}), ('OPTIONS', {}),
    ('OPTIONS', {'Origin': A, 'Access-Control-Request-Method': 'GET'}),
    ('OPTIONS', {'Origin': A, 'Access-Control-Request-Method': 'POST'}),
    ('OPTIONS', {'Origin': EVIL, 'Access-Control-Request-Method': 'GET'}),
    ('OPTIONS', {'Origin': A, 'Access-Control-Request-Method': 'GET',
                 'Access-Control-Request-Headers': 'content-type'}),
    ('OPTIONS', {'Origin': A, 'Access-Control-Request-Method': 'GET',
                 'Access-Control-Request-Headers': 'x-other'}))] + [
    ('GET', '/nope', {'Origin': A}), ('GET', '/sub', {'Origin': A})]
SHORT = many(['/', '/a.txt', '/nope', '/sub', '/health', '/metrics',
              '/.hidden', '/link.txt', '/linked/', '/linked/file.txt',
              '/out.txt', '/dangling', '/.dir/file', '/.well-known/acme',
              '/alt/', '/list/', '/page', '/sub/']) + many(
    ['/', '/nope'], 'HEAD') + many(['/', '/nope'], 'OPTIONS')


def advanced(top):
    """Rules of all kinds, as SWS's manual writes them."""
    return '''
[advanced]
[[advanced.headers]]
source = "**/*.{css,png}"
headers = { X-Kind = "asset", Cache-Control = "public, max-age=7" }
[[advanced.headers]]
source = "sub/**"
headers = { X-Sub = "yes" }
[[advanced.headers]]
source = "/index.html"
headers = { X-Index = "yes" }
[[advanced.redirects]]
source = "/old"
destination = "/new"
kind = 301
[[advanced.redirects]]
source = "/cap/{*}/{*}.html"
destination = "/new/$2/$1"
kind = 302
[[advanced.redirects]]
source = "/any/**"
destination = "https://other.example/any"
kind = 302
[[advanced.redirects]]
source = "/blog/{*}/{*}"
destination = "https://other.example/$1-$2"
kind = 301
[[advanced.redirects]]
host = "v1.example"
source = "/host-only"
destination = "/yes"
kind = 302
[[advanced.redirects]]
source = "/one-of/{a,b}"
destination = "/which/$1"
kind = 301
[[advanced.redirects]]
source = "/set/[a-c]"
destination = "/in-the-set"
kind = 301
[[advanced.redirects]]
source = "**/{*}.{png,jpg}"
destination = "/assets/$1.$2"
kind = 302
[[advanced.rewrites]]
source = "/rw"
destination = "/a.txt"
[[advanced.rewrites]]
source = "/rwcap/{*}/{*}"
destination = "/$1/$2.txt"
[[advanced.rewrites]]
source = "/rwr/{*}"
destination = "/moved/$1"
redirect = 301
[[advanced.rewrites]]
source = "/star/**"
destination = "/page.html"
[[advanced.rewrites]]
source = "/loop"
destination = "/rw"
[[advanced.virtual-hosts]]
host = "v1.example"
root = "%s/v1"
[[advanced.virtual-hosts]]
host = "v2.example"
root = "%s/v2"
''' % (top, top)


# where the defaults are others, and on the fly nothing is compressed here
SAME = dict(compression=False, compression_static=True, log_level='error',
            security_headers=False)


def settings(top):
    """(name, options, rules, questions); options by SWS 3's names."""
    tls = dict(tls=True, security_headers=True, http2=False, tls_cert=top + '/c.pem',
               tls_key=top + '/k.pem')
    yield 'defaults', {}, '', PLAIN + TYPES + CONDITIONS + RANGES + ENCODINGS
    yield 'listings', dict(directory_listing=True), '', LISTS + SHORT
    yield 'listings as JSON', dict(directory_listing=True,
                                   directory_listing_format='json',
                                   directory_listing_order=0), '', LISTS
    yield 'rules', {}, advanced(top), RULES
    yield 'password', dict(basic_auth='u:' + HASH, health=True,
                           metrics=True), '', AUTH
    yield 'CORS', dict(cors_allow_origins=A), '', CORS
    yield 'CORS of all', dict(cors_allow_origins='*',
                              cors_allow_headers='x-other',
                              cors_expose_headers='etag'), '', CORS
    yield 'maintenance', dict(maintenance_mode=True, health=True,
                              maintenance_mode_status=503,
                              maintenance_mode_file=top +
                              '/root/closed.html'), '', SHORT
    yield 'hidden and links', dict(include_hidden=True, follow_symlinks=True,
                                   directory_listing=True), '', SHORT
    yield 'fallback', dict(page_fallback=top + '/root/fallback.html'), '', SHORT
    yield 'no extras', dict(redirect_trailing_slash=False,
                            cache_control_headers=False, etag=False,
                            text_charset=False, security_headers=True,
                            compression_static=False,
                            index_files='default.htm,index.html'), '', \
        SHORT + ENCODINGS[:4] + CONDITIONS
    yield 'Markdown', dict(accept_markdown=True), '', MARKDOWN
    yield 'TLS', tls, '', SHORT


# ---- programs ----------------------------------------------------------------

OLD_NAMES = {'tls': 'http2', 'tls_cert': 'http2_tls_cert',
             'tls_key': 'http2_tls_key', 'metrics': 'experimental_metrics'}
INVERSE = {'include_hidden': 'ignore_hidden_files',
           'follow_symlinks': 'disable_symlinks'}


def toml(options, known):
    """The options that a program knows, by the names that it has for them."""
    out = '[general]\n'
    for k, v in options.items():
        if k.replace('_', '-') not in known and k in INVERSE:
            k, v = INVERSE[k], not v
        elif k.replace('_', '-') not in known:
            k = OLD_NAMES.get(k, k)
        if k.replace('_', '-') in known and '\n%s = ' % k.replace(
                '_', '-') not in out:
            out += '%s = %s\n' % (k.replace('_', '-'), json.dumps(v))
    return out


class Program:
    def __init__(self, exe, top, options, rules):
        self.port = free_port()
        said = subprocess.run([exe, '--help'], capture_output=True,
                              text=True).stdout
        known = set(re.findall(r'^ *(?:-., )? *--([a-z0-9-]+)', said, re.M))
        self.tls = options.get('tls', False)
        conf = '%s/%d.toml' % (top, self.port)
        put(conf, toml({**SAME, **({'follow_symlinks': False} if
            'include-hidden' in known else {}), **options}, known) + rules)
        env = {k: v for k, v in os.environ.items()
               if not k.startswith(('SERVER_', 'LISTEN_'))}
        self.log = open('%s/%d.log' % (top, self.port), 'w+')
        self.proc = subprocess.Popen(
            [exe, '--host', '127.0.0.1', '--port', str(self.port), '--root',
             top + '/root', '-w', conf], env=env, cwd=top, stdout=self.log,
            stderr=self.log, stdin=subprocess.DEVNULL)
        end = time.time() + 10
        while True:
            try:
                socket.create_connection(('127.0.0.1', self.port), 1).close()
                return
            except OSError:
                if time.time() > end or self.proc.poll() is not None:
                    self.log.seek(0)
                    sys.exit('%s: %s' % (exe, self.log.read()[-2000:]))
                time.sleep(0.02)

    def stop(self):
        self.proc.kill()
        self.proc.wait()
        self.log.close()

    def ask(self, method, path, fields):
        """(status, {field: value}, content), or what came instead."""
        s = socket.create_connection(('127.0.0.1', self.port), 5)
        if self.tls:
            c = ssl.create_default_context()
            c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
            c.set_alpn_protocols(['http/1.1'])
            s = c.wrap_socket(s, server_hostname='localhost')
        fields = {'Host': 'localhost', **fields, 'Connection': 'close'}
        data = b''
        with s:
            s.sendall(('%s %s HTTP/1.1\r\n' % (method, path) + ''.join(
                '%s: %s\r\n' % kv for kv in fields.items()) + '\r\n'
            ).encode('latin-1'))
            with contextlib.suppress(OSError):
                while part := s.recv(1 << 18):
                    data += part
        head, sep, body = data.partition(b'\r\n\r\n')
        lines = head.decode('latin-1').split('\r\n')
        if not sep or not re.match(r'HTTP/1\.[01] \d{3}', lines[0]):
            return 0, {}, data
        got = {}
        for k, _, v in (x.partition(':') for x in lines[1:]):
            k, v = k.lower(), v.strip()
            got[k] = got[k] + ', ' + v if k in got else v
        if got.get('transfer-encoding') == 'chunked':
            body = unchunked(body)
        return int(lines[0].split()[1]), got, body


def unchunked(data):
    out = b''
    while data:
        size, _, data = data.partition(b'\r\n')
        n = int(size.split(b';')[0], 16)
        if n == 0:
            break
        out, data = out + data[:n], data[n + 2:]
    return out


def free_port():
    with socket.create_server(('127.0.0.1', 0)) as s:
        return s.getsockname()[1]


# ---- what differs ------------------------------------------------------------

class Links(html.parser.HTMLParser):
    """(link, text) of a listing's page."""

    def __init__(self, data):
        super().__init__()
        self.got, self.href = [], None
        self.feed(data.decode('utf-8', 'replace'))

    def handle_starttag(self, tag, attrs):
        if tag == 'a':
            self.href = dict(attrs).get('href') or ''

    def handle_data(self, data):
        if self.href and not self.href.startswith(('?', '../', 'http')):
            self.got.append((re.sub(r'^\./', '', self.href), data.strip()))
        self.href = None


def gist(path, status, fields, body):
    """What is compared of an answer."""
    f = {k: v for k, v in fields.items() if k not in NEVER}
    kind = f.get('content-type', '')
    if f.get('etag'):
        f['etag'] = 'weak' if f['etag'].startswith('W/') else 'strong'
    if 'vary' in f:
        f['vary'] = ', '.join(sorted(re.split(', *', f['vary'].lower())))
    for k in [k for k in f if k.startswith('access-control-allow-') or
              k in ('allow', 'access-control-expose-headers')]:
        f[k] = ', '.join(sorted(re.split(', *', f[k])))
    if f.get('www-authenticate'):
        f['www-authenticate'] = f['www-authenticate'].split()[0]
    if kind.startswith('multipart/'):
        f['content-type'] = kind.split(';')[0]
        parts = body.split(re.search('boundary=(.*)', kind).group(1).encode())
        body = [(re.findall(b'(?i)(content-[a-z]*): *(.*)\r', p.split(
            b'\r\n\r\n')[0].lower()), p.split(b'\r\n\r\n')[-1].strip(b'\r\n-'))
            for p in parts[1:-1]]
        f.pop('content-length', None)
    elif path == '/metrics' and status == 200:
        body = None
    elif status == 200 and kind.startswith('application/json') and \
            body[:1] == b'[':
        body = sorted(json.loads(body), key=lambda r: r['name'])
        f.pop('content-length', None)
    elif status == 200 and b'<h1>Index of' in body:
        body = Links(body).got
        f.pop('content-length', None)
    elif status >= 300 and kind.startswith('text/html') and (
            b'<!doctype' in body.lower() or b'<html' in body.lower()):
        body = 'a page of its own'
        f.pop('content-length', None)
    elif len(body) > 60:
        body = body[:50] + b'... %d' % len(body)
    return status, f, body


def differences(ours, other):
    """[(what, ours, other)]"""
    if ours[0] != other[0]:     # all else follows from that
        return [('status', ours[0], other[0])]
    out = [(k, ours[1].get(k), other[1].get(k))
            for k in sorted({*ours[1], *other[1]})
            if ours[1].get(k) != other[1].get(k)]
    if ours[2] != other[2]:
        out.append(('content', ours[2], other[2]))
    return out


SECURE = ('x-frame-options', 'x-content-type-options', 'referrer-policy',
          'content-security-policy', 'strict-transport-security')
CHOSEN = ('content', 'content-length', 'content-encoding', 'content-range',
          'content-type', 'last-modified')
# (what, when, why): x.ours and x.other differ in what of x.method x.path
# (x.fields), that was answered with x.status and x.got
REASONS = [
    # those of README.md, "Different on purpose" and the table of options
    ('status', lambda x: x.path.endswith('/') and x.ours == 404 and
     x.other == 200, '/file/ is 404'),
    ('status', lambda x: 'well-known' in x.path, '.well-known is served'),
    ('status', lambda x: 'Range' in x.fields and x.ours == 206 and
     x.other == 200, 'Range: 206, what was asked for'),
    ('status', lambda x: x.method == 'OPTIONS' and x.ours == 401,
     'passwords on OPTIONS too'),
    ('status', lambda x: x.setting == 'fallback' and x.method == 'HEAD',
     'page-fallback: GET and HEAD'),
    ('etag', lambda x: x.ours == 'strong', 'ETag: strong; none in SWS 2'),
    ('status', lambda x: x.fields.keys() & {
        'If-None-Match', 'If-Match', 'If-Range'}, 'conditions by a strong ETag'),
    ('last-modified', lambda x: x.status == 304, 'as SWS 3'),
    ('cache-control', lambda x: x.method == 'OPTIONS' or
     x.status > 304 and x.ours is None, 'Cache-Control on 200, 206, 304'),
    ('cache-control', lambda x: x.other in ('max-age=86400', 'max-age=3600'),
     'as SWS 3'),
    ('cache-control', lambda x: x.status in (301, 302, 307, 308),
     'Cache-Control on 200, 206, 304'),
    ('allow', lambda x: x.status == 405, '405 has Allow'),
    (SECURE, lambda x: x.status >= 300, 'security fields on every answer'),
    (('strict-transport-security',), lambda x: not x.ours,
     'HSTS over TLS only'),
    ('referrer-policy', lambda x: not x.other, 'as SWS 3'),
    (('x-kind', 'cache-control'), lambda x: x.setting == 'rules' and
     x.status >= 300, 'custom fields on every answer'),
    ('retry-after', lambda x: x.status == 503, 'maintenance: Retry-After'),
    (('vary', 'content', 'content-type'), lambda x: x.setting in (
        'listings', 'hidden and links') and x.status == 200 and
     not x.got.get('etag'), 'listings: format auto, 6 is by name'),
    # those that RFC 9110 decides
    ('status', lambda x: x.ours == 501, '501 for a method that is none'),
    ('status', lambda x: x.method == 'OPTIONS', 'OPTIONS of what is there'),
    ('status', lambda x: x.ours == 200 and x.other == 416,
     'a Range that is none is ignored, 14.2'),
    (CHOSEN, lambda x: ',' in x.fields.get('Range', ''), 'several ranges'),
    ('status', lambda x: x.ours == 406, 'nothing is acceptable, 12.5.3'),
    (CHOSEN, lambda x: x.fields.get('Accept-Encoding') in (
        '*', 'x-gzip', 'gzip;q=0'), 'codings as in 12.5.3'),
    (CHOSEN, lambda x: 'Accept-Encoding' in x.fields and (x.status == 304 or
     x.other is None), 'variants have a length; a 304 has none, 15.4.5'),
    (CHOSEN, lambda x: x.fields.get('Accept-Encoding', '').count(',') == 2,
     'br before zstd'),
    (CHOSEN, lambda x: x.fields.get('Accept-Encoding') == 'deflate',
     'no deflate'),
    (('status',) + CHOSEN, lambda x: x.fields.get('Accept') ==
     'text/markdown;q=0', 'q=0 is no, 12.4.2'),
    ('content-length', lambda x: x.status == 204, 'none with 204, 8.6'),
    ('content-length', lambda x: x.method == 'HEAD',
     'HEAD: that of GET, or none'),
    ('vary', lambda x: True, 'Vary on what can vary, 12.5.5'),
    ('accept-ranges', lambda x: x.ours is None, 'where there can be some'),
    # and the rest
    ('status', lambda x: x.ours == 400, '400 for a target that is none'),
    ('status', lambda x: '..' in x.path or '%2F' in x.path,
     'dots are resolved, %2F is no slash'),
    ('status', lambda x: x.ours == 403 and x.path in (
        '/out.txt', '/dangling'), 'a link in the way: 403'),
    ('location', lambda x: x.other.startswith('//'), 'it is another host'),
    ('content-type', lambda x: x.path.startswith('/type.'),
     'types of the HTML standard and mime-db'),
    ('content-type', lambda x: x.setting == 'no extras' and x.status == 404,
     'no charset for pages either'),
    ('content-type', lambda x: x.path == '/metrics', 'the version of it'),
    ('cache-control', lambda x: x.path in ('/health', '/metrics'),
     'is not to be kept'),
    (('content', 'content-type', 'content-length'), lambda x:
     x.status >= 300 and x.other in (None, b'', '0'), 'a small page'),
    ('content-length', lambda x: x.path == '/metrics', 'other metrics'),
    (CHOSEN, lambda x: 'example' in x.fields.get('Host', '') and
     x.status == 404, 'pages of the virtual host'),
    (CHOSEN, lambda x: x.fields.get('Host') == 'V2.example:80',
     'hosts without port and case'),
    (CHOSEN, lambda x: 'well-known' in x.path, '.well-known is served'),
    (re.compile('access-control-(allow-(methods|headers)|expose-headers)'),
     lambda x: x.ours is None, 'each where the Fetch standard reads it'),
    ('access-control-allow-origin', lambda x: x.ours == '*',
     '* is said as *'),
    ('access-control-allow-origin', lambda x: x.status == 403,
     'who may read the refusal'),
]


class Case:
    def __init__(self, **k):
        self.__dict__.update(k)


def reason(setting, q, what, ours, other, status, got):
    """Why they differ, or None."""
    x = Case(setting=setting, method=q[0], path=q[1], fields=q[2], ours=ours,
             other=other, status=status, got=got)
    for names, when, why in REASONS:
        if (names.fullmatch(what) if hasattr(names, 'fullmatch') else
                what == names or not isinstance(names, str) and
                what in names) and when(x):
            return why
    return None


def main():
    args = [x for x in sys.argv[1:] if x != '-v']
    if len(args) < 2:
        sys.exit(__doc__)
    exes, reasons = [os.path.abspath(x) for x in args], {}
    names = {e: ' '.join(re.findall(r'\d+\.\d\S*', subprocess.run(
        [e, '--version'], capture_output=True, text=True).stdout)[:1])
             for e in exes}
    top, unknown, asked = tempfile.mkdtemp(prefix='compare-'), 0, 0
    try:
        folder(top)
        subprocess.run(
            ['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
             'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=localhost',
             '-keyout', top + '/k.pem', '-out', top + '/c.pem'], check=True,
            capture_output=True)
        time.sleep(2)       # what has just been made is not remembered
        for name, options, rules, questions in settings(top):
            programs = [Program(e, top, options, rules) for e in exes]
            for q in questions:
                method, path, fields = q
                got = []
                for p in programs:
                    f = {k: v.replace('@', p.ask('GET', path, {})[1].get(
                        'etag', '"none"')) for k, v in fields.items()} \
                        if '@' in ''.join(fields.values()) else fields
                    got.append(gist(path, *p.ask(method, path, f)))
                asked += 1
                for e, other in zip(exes[1:], got[1:]):
                    for d in differences(got[0], other):
                        why = reason(name, q, *d, *got[0][:2])
                        unknown += why is None
                        if why:
                            reasons[why] = reasons.get(why, 0) + 1
                        if why and '-v' not in sys.argv:
                            continue
                        print('%s: %s: %s %s %s: %s: %r, not %r%s' % (
                            names[e], name, method, path[:60], fields or '',
                            *d, ': ' + why if why else ''), flush=True)
            for p in programs:
                p.stop()
    finally:
        shutil.rmtree(top)
    for why, n in reasons.items():
        print('%5d %s' % (n, why))
    print('%d questions, %d differences without a reason' % (asked, unknown))
    return unknown > 0


if __name__ == '__main__':
    sys.exit(main())
