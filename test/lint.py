"""Every kind of answer, before the rules of REDbot's linter (httplint) and a few
more of our own.

Servers with every rule on and off get the same requests and some that are made
for them.  Nothing may be bad.  A warning has to stand in FINE with the reason
why it is fine here, and a row of FINE that no answer needs is a failure too.
"""
import base64, collections, email.utils, gzip, ssl, sys

from lib import *

sys.path.insert(0, HERE + '/deps/python')
try:
    from httplint import HttpRequestLinter, HttpResponseLinter
    from httplint.note import levels
except ImportError:
    HttpRequestLinter = None

LEAST = 500         # different answers
OLD = 1700000000

# Warnings that are fine: note, which answers, why.
FINE = [
    ('FRESHNESS_HEURISTIC', lambda a: a.server in ('off', 'fallback'),
     'Cache-Control is switched off'),
    ('FRESHNESS_HEURISTIC', lambda a: a.status == 301,
     'moved for good is what a cache may keep, RFC 9110 15.4.2'),
    ('FRESHNESS_HEURISTIC', lambda a: a.maintenance and a.status in (
        200, 203, 410), 'no Last-Modified to guess from'),
    ('FRESHNESS_NO_CACHE_NO_VALIDATOR', lambda a: a.path in (
        '/health', '/metrics'), 'made anew for each request'),
    ('FRESHNESS_NO_CACHE_NO_VALIDATOR', lambda a: a.listing,
     'a listing is made anew for each request'),
    ('FRESHNESS_NO_CACHE_NO_VALIDATOR', lambda a: a.path == '/epoch.txt',
     'a time that is none makes no validator'),
    ('FRESHNESS_NO_CACHE_NO_VALIDATOR', lambda a: a.server == 'pages-out',
     'a page from elsewhere, read at the start, has no time'),
    ('HEADER_SHOULD_NOT_BE_IN_304', lambda a: a.server in ('fields', 'all'),
     'the user said Content-Language for every answer'),
    ('STORE_PUBLIC_UNNECESSARY', lambda a: a.server in ('rules', 'all') and
     a.path.endswith('.txt'), 'the user said public'),
    ('STATUS_BAD_REQUEST', lambda a: a.status == 400, 'so it was'),
    ('STATUS_406_WITHOUT_NEGOTIATION', lambda a: a.maintenance,
     'the user chose this status'),
    ('STATUS_412_WITHOUT_PRECONDITION', lambda a: a.maintenance,
     'the user chose this status'),
    ('STATUS_417_WITHOUT_EXPECT', lambda a: a.maintenance,
     'the user chose this status'),
]
# The same for what httplint calls bad, of the request or in error.
NOT_BAD = [
    ('STATUS_VERSION_NOT_SUPPORTED', lambda a: b'HTTP/2.0' in a.ask.bytes(),
     'the request is bad, not the answer'),
    ('STATUS_URI_TOO_LONG', lambda a: len(a.ask.bytes()) > 8192,
     'the request is bad, not the answer'),
    ('PARTIAL_WITHOUT_RANGE', lambda a: a.r.get('content-type', '').startswith(
        'multipart/byteranges'), 'must not be there, RFC 9110 15.3.7.2'),
]


# ---- a site ------------------------------------------------------------------

def site():
    d = tmpdir('site')
    os.chmod(d, 0o755)

    def file(name, data, mtime=OLD, variants=()):
        put(d + '/' + name, data, mtime)
        data = data if isinstance(data, bytes) else data.encode()
        for v in variants:
            put('%s/%s.%s' % (d, name, v), packed(v, data), mtime)

    file('index.html', '<!doctype html>\n<title>index</title>\n<p>\u00fc\n')
    file('page.html', '<!doctype html>\n<title>page</title>\n' + 'p' * 3000,
         variants=('br', 'gz', 'zst'))
    file('style.css', 'body { color: red }\n' * 20, variants=('gz',))
    file('app.js', 'let a = 1;\n' * 20, variants=('br', 'gz'))
    file('data.json', '{"a": [1, 2, 3]}\n')
    file('text.txt', 'text ' * 100 + '\u20ac\n')
    file('notes.md', '# Notes\n')
    file('feed.atom', '<?xml version="1.0"?>\n<feed/>\n')
    file('dot.png', b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\6\0\0')
    file('font.woff2', b'wOF2' + bytes(100))
    file('no-type', b'\x7fELF' + bytes(range(256)))
    file('empty.txt', b'')
    file('epoch.txt', 'no time\n', 0)
    file('future.txt', 'of tomorrow\n', time.time() + 86400)
    file('a b\u00fc.txt', 'a name to encode\n')
    file('.hidden', 'hidden\n')
    file('.well-known/security.txt', 'Contact: mailto:a@b.example\n')
    file('dir/index.html', '<!doctype html>\n<title>dir</title>\n')
    file('dir/index.html.md', '# dir\n')
    file('list/one.txt', '1\n')
    file('list/<two>.html', '2\n')
    file('my404.html', '<!doctype html>\n<title>no</title>\n<p>not here\n')
    file('my50x.html', '<!doctype html>\n<title>off</title>\n<p>soon\n')
    file('app.html', '<!doctype html>\n<title>app</title>\n<p>app\n')
    file('page.html.md', '# page\n')
    file('huge.txt', 'h' * 200000)
    os.makedirs(d + '/empty', exist_ok=True)
    os.symlink('text.txt', d + '/link.txt')
    os.symlink('/etc/passwd', d + '/out.txt')
    put(d + '/../other/index.html', '<!doctype html>\n<title>other</title>\n')
    return d


def packed(how, data):
    if how == 'gz':
        return gzip.compress(data)
    cmd = {'br': ['brotli', '-c'], 'zst': ['zstd', '-qc']}[how]
    return subprocess.run(cmd, input=data, stdout=subprocess.PIPE,
                          check=True).stdout


# ---- asking ------------------------------------------------------------------

class Ask:
    """One request.  raw: the bytes, for what is none."""

    def __init__(self, method, target, *fields, version='1.1', close=True,
                 raw=None):
        self.method, self.target, self.version = method, target, version
        self.fields = [('Host', 'localhost')] + list(fields)
        if any(n == 'Host' for n, _ in fields):
            del self.fields[0]
        if close and version == '1.1':
            self.fields.append(('Connection', 'close'))
        self.close, self.raw = close, raw

    def bytes(self):
        if self.raw is not None:
            return self.raw
        lines = ['%s %s HTTP/%s' % (self.method, self.target, self.version)]
        lines += ['%s: %s' % f for f in self.fields]
        return '\r\n'.join(lines + ['', '']).encode('latin-1')

    def has(self, name):
        return any(n.lower() == name for n, _ in self.fields)

    def __str__(self):
        if self.raw is not None:
            return repr(self.raw[:70])
        return '%s %s %s' % (self.method, self.target[:60], ' '.join(
            '%s=%s' % (n, v[:60]) for n, v in self.fields
            if n not in ('Host', 'Connection')) + (
                ' 1.0' if self.version == '1.0' else ''))


class Lint(Server):
    """A server by its name in the results."""

    def __init__(self, name, root, *args, tls=False, plain=False, toml=None):
        if toml is not None:
            args += ('-w', put(os.path.join(tmpdir('toml'), 'c.toml'), toml))
        super().__init__(root, *args)
        self.name, self.tls = name, tls
        if plain:       # the port that redirects
            self.port = int(args[args.index('--https-redirect-from-port') + 1])

    def ask(self, a):
        s = self.connect()
        if self.tls:
            c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
            s = c.wrap_socket(s)
        s.sendall(a.bytes())

        def whole(d):
            r, _ = parse_responses(d, (a.method,))
            return bool(r) and r[0].complete and (
                a.method == 'HEAD' or r[0].status in (204, 304) or
                r[0].get('content-length') is not None or
                r[0].get('transfer-encoding') is not None)
        data, how = read_all(s, 10, whole)
        s.close()
        r, rest = parse_responses(data, (a.method,))
        if len(r) != 1 or rest:
            raise RuntimeError('%s: %s: %r (%s)' % (self.name, a, data[:300],
                                                    how))
        r[0].how = how
        return r[0]


# ---- judging -----------------------------------------------------------------

class Answer:
    def __init__(self, server, ask):
        self.server, self.tls, self.ask = server.name, server.tls, ask
        self.r = server.ask(ask)
        self.status, self.at = self.r.status, time.time()
        self.path = ask.target.partition('?')[0]
        self.maintenance = self.server.startswith('maintenance')
        self.listing = self.status == 200 and self.r.get('etag') is None and \
            self.path in ('/list/', '/empty/')

    def __str__(self):
        return '%s: %s: %d' % (self.server, self.ask, self.status)


answers = []


def notes_of(a):
    """httplint's word on an answer: names of notes by level."""
    request, response = None, HttpResponseLinter(start_time=a.at)
    if a.ask.raw is None:
        request = HttpRequestLinter(start_time=a.at)
        request.process_request_topline(
            a.ask.method.encode(), a.ask.target.encode('latin-1'),
            a.ask.version.encode())
        request.process_headers([(n.encode(), v.encode('latin-1'))
                                 for n, v in a.ask.fields])
        request.finish_content(True)
        response.request = request
    response.is_head_response = a.ask.method == 'HEAD'
    response.base_uri = 'http%s://localhost' % ('s' * a.tls) + (
        a.ask.target if a.ask.target.startswith('/') else '/')
    top, *lines = a.r.head[:-4].split(b'\r\n')
    version, status, reason = top.split(b' ', 2)
    response.process_response_topline(version[5:], status, reason)
    # names and values as they came, but for the one space
    response.process_headers([tuple(l.split(b': ', 1)) for l in lines])
    if a.r.body:
        response.feed_content(a.r.body)
    response.finish_content(a.r.complete)
    todo = list(response.notes)
    while todo:
        n = todo.pop()
        todo += n.subnotes
        yield n


ALL = {200, 204, 206, 301, 302, 304, 307, 308, 400, 401, 403, 404, 405, 406, 408,
       412, 414, 416, 417, 429, 431, 501, 503, 505}


def statuses():
    """All that sws makes by itself are there."""
    equal('every status', sorted(ALL - {a.status for a in answers
                                        if not a.maintenance or a.status == 503}),
          [])


def same(field, value):
    """Without what differs from answer to answer."""
    if field == 'content-type':
        value = re.sub(r'boundary=\S+', 'boundary=', value)
    return field, value


def head_as_get():
    """HEAD has the fields of GET."""
    gets = {(a.server, a.ask.bytes()[3:]): a for a in answers
            if a.ask.bytes().startswith(b'GET ')}
    n, bad = 0, []
    for a in answers:
        g = gets.get((a.server, a.ask.bytes()[4:]))
        if a.ask.method != 'HEAD' or g is None:
            continue
        skipped = {'date', 'connection'}
        if a.path == '/metrics':
            skipped.add('content-length')
        x, y = ([same(*f) for f in i.r.fields if f[0] not in skipped]
                for i in (g, a))
        n += 1
        if (x, g.status) != (y, a.status):
            bad.append('%s: %s / %s' % (a, x, y))
    check('HEAD as GET, %d times' % n, n > LEAST and not bad, bad)


def manners(a):
    """What RFC 9110 and 9112 want and httplint does not look at."""
    r, head = a.r, a.r.head.decode('latin-1')
    names = [n for n, _ in r.fields]
    body = r.get('content-length') is not None, \
        r.get('transfer-encoding') is not None

    def want(what, good):
        if not good:
            yield what
    yield from want('a clean head', re.fullmatch(
        r'HTTP/1\.1 \d{3} [ -~]+\r\n(?:[a-z0-9-]+: [!-~](?:[ -~]*[!-~])?\r\n)+'
        r'\r\n', head))
    yield from want('one line a field', not [
        n for n in set(names) if names.count(n) > 1 and n != 'vary'])
    yield from want('a date', 'date' in names)
    if a.status in (204, 304):
        yield from want('no content', not any(body) and r.body == b'' and
                        'content-type' not in names)
    elif a.ask.version == '1.0' and not any(body):
        yield from want('1.0, the end of the connection ends the content',
                        r.get('connection') == 'close')
    else:
        yield from want('one framing', sum(body) == 1)
        yield from want('a content type', 'content-type' in names)
    if a.ask.version == '1.0':
        yield from want('no chunks for 1.0', not body[1])
    if a.ask.close or a.ask.raw is not None:
        yield from want('the end is told', r.get('connection') == (
            'keep-alive' if a.ask.has('connection') and
            a.ask.version == '1.0' and any(body) else 'close'))
    for status, name in ((301, 'location'), (302, 'location'),
                         (307, 'location'), (308, 'location'),
                         (401, 'www-authenticate'), (405, 'allow'),
                         (416, 'content-range'), (429, 'retry-after'),
                         (503, 'retry-after')):
        if a.status == status:
            yield from want(name, name in names)
        elif name not in ('retry-after', 'content-range', 'allow'):
            yield from want('no ' + name, name not in names or
                            300 <= a.status < 400)
    if a.ask.method == 'OPTIONS' and a.status == 204 and \
            not a.ask.has('access-control-request-method'):
        yield from want('allow', r.get('allow') == 'GET, HEAD, OPTIONS')
    if a.status >= 300 and a.status != 304:
        yield from want('nothing of a file', not {
            'etag', 'last-modified', 'accept-ranges',
            'content-encoding'}.intersection(names))
        yield from want('no cache-control', 'cache-control' not in names or
                        a.server in ('fields', 'rules', 'all'))
    vary = [v.strip().lower() for n, v in r.fields if n == 'vary'
            for v in v.split(',')]
    yield from want('vary without a word twice', len(vary) == len(set(vary)))
    if 'accept-ranges' in names:
        yield from want('ranges where there is a file', a.status in (200, 206)
                        and not body[1] and (a.server == 'fallback' or
                                             a.path not in ('/health',
                                                            '/metrics')))
    if a.status == 206:
        multi = r.get('content-type', '').startswith('multipart/byteranges')
        yield from want('one or many ranges', multi != (
            'content-range' in names))


def ours():
    bad = ['%s: %s' % (a, m) for a in answers for m in manners(a)]
    check('%d answers with manners' % len(answers), not bad,
          '%d: %s' % (len(bad), ' | '.join(bad)))
    if os.environ.get('SHOW'):
        print(*bad, sep='\n')


def look():
    used = collections.Counter()
    bad, unknown = [], collections.defaultdict(list)
    for a in answers:
        for n in notes_of(a):
            name = type(n).__name__
            if n.level not in (levels.WARN, levels.BAD):
                continue
            table = FINE if n.level == levels.WARN else NOT_BAD
            rows = [i for i in table if i[0] == name and i[1](a)]
            if rows:
                used[id(rows[0])] += 1
            elif n.level == levels.BAD:
                bad.append('%s: %s (%s)' % (a, n.summary, name))
            else:
                unknown['%s: %s' % (name, n.summary)].append(a)
    check('nothing is bad', not bad, ' | '.join(bad))
    check('no warning that is not known to be fine', not unknown, unknown)
    if os.environ.get('SHOW'):
        for k in sorted(unknown):
            print('     ', k, len(unknown[k]), collections.Counter('%s %s' % (a.server, a.status) for a in unknown[k]))
            print(*unknown[k][:4], sep='\n                       ')
        for k in bad:
            print('   BAD', k)
    for row in FINE + NOT_BAD:
        check('%s: %s' % (row[0], row[2]), used[id(row)] > 0, 'never seen')


# ---- the questions -----------------------------------------------------------

GZIP, BR = ('Accept-Encoding', 'gzip'), ('Accept-Encoding', 'gzip, br, zstd')
PLAIN = ('Accept-Encoding', 'identity')
ORIGIN, ELSEWHERE = ('Origin', 'https://a.example'), (
    'Origin', 'https://other.example')
METHOD = ('Access-Control-Request-Method', 'GET')
USER = ('Authorization', 'Basic ' + base64.b64encode(b'u:pw').decode())
MARKDOWN = ('Accept', 'text/markdown')
JSON = ('Accept', 'application/json')

# asked with GET and with HEAD
EVERYWHERE = ['/', '/page.html', '/page', '/style.css', '/data.json',
              '/text.txt', '/dot.png', '/epoch.txt', '/dir', '/dir/', '/list/',
              '/nope', '/link.txt', '/.hidden', '/../x', '/health', '/metrics']
MORE = ['/app.js', '/font.woff2', '/no-type', '/empty.txt', '/future.txt',
        '/a%20b%C3%BC.txt', '/.well-known/security.txt', '/dir?a=b&c', '/list',
        '/list/?sort=3', '/list/%3Ctwo%3E.html', '/empty/', '/out.txt',
        '/nope/', '/nope.css', '/huge.txt', '/text.txt/', '/%00', '/a%2fb',
        '/feed.atom', '/notes.md', '/%', '/dir/../text.txt', '//dir', '/?q',
        '/' + 'n' * 300, '/dir%20', '/%5C']


def both(target, *fields, **kw):
    for m in 'GET', 'HEAD':
        yield Ask(m, target, *fields, **kw)


def common():
    """What every server is asked."""
    for t in EVERYWHERE:
        yield from both(t)
    for t in '/', '/page.html', '/nope', '/dir', '/list/', '/health':
        yield Ask('OPTIONS', t)
    yield Ask('OPTIONS', '*')
    yield Ask('POST', '/text.txt')
    yield Ask('BREW', '/text.txt')
    yield from both('/page.html', BR)
    yield from both('/page.html', ('Range', 'bytes=0-9'))
    yield from both('/text.txt', ('Range', 'bytes=9999-'))
    yield from both('/page.html', ('If-None-Match', '*'))
    yield from both('/text.txt', ('Expect', 'miracle'))
    yield from both('/page.html', close=False)
    yield from both('/list/', close=False)
    yield from both('/list/', version='1.0')
    yield from both('/nope', version='1.0')


def whole():
    """And one or two of them, in full."""
    for t in EVERYWHERE + MORE:
        for e in (GZIP,), (BR,), (PLAIN,):
            yield from both(t, *e, close=False)
        yield from both(t, close=False)
        yield from both(t, version='1.0')
        yield Ask('OPTIONS', t, close=False)
    for m in ('POST', 'PUT', 'DELETE', 'PATCH', 'TRACE', 'CONNECT', 'get',
              'PROPFIND', 'X' * 40):
        yield Ask(m, 'localhost:80' if m == 'CONNECT' else '/text.txt',
                  close=False)
    yield from both('http://localhost/text.txt')
    yield from both('/text.txt', ('Connection', 'keep-alive'), version='1.0')
    yield from both('/nope', ('Connection', 'keep-alive'), version='1.0')
    yield from both('/list/', ('Connection', 'keep-alive'), version='1.0')
    for v in ('gzip;q=0', 'br;q=0.5, gzip', 'zstd', '*', 'identity;q=0',
              '*;q=0', 'x-gzip', '', 'gzip;q=2', 'identity;q=0, br'):
        for t in '/page.html', '/text.txt', '/style.css':
            yield from both(t, ('Accept-Encoding', v), close=False)


def ranges(tag, date, size, path):
    """Of a file with these validators."""
    for v in ('0-0', '0-', '-1', '5-9', '-0', '%d-' % size, '9-5', 'x',
              '0-%d' % (size * 2), '-%d' % (size * 2), '0-0,-1', '1-2, 5-6, 9-',
              '0-4,5-9', '5-6,1-2,%d-' % size, ','.join(
                  '%d-%d' % (i, i) for i in range(0, 40, 2))):
        yield from both(path, ('Range', 'bytes=' + v), close=False)
    yield from both(path, ('Range', 'lines=1-2'))
    for e in GZIP, BR:
        for v in '0-9', '0-1,5-6', '999999-':
            yield from both(path, ('Range', 'bytes=' + v), e, close=False)
    yield from both(path, ('Range', 'bytes=0-1'), version='1.0')
    yield from both(path, ('Range', 'bytes=0-1,5-6'), version='1.0')
    tags = (tag, 'W/' + tag) if tag else ()
    for v in (*tags, '"x"', date or 'Thu, 01 Jan 1970 00:00:00 GMT',
              'Sun, 06 Nov 1994 08:49:37 GMT', 'nonsense'):
        yield from both(path, ('Range', 'bytes=0-9'), ('If-Range', v))
        yield from both(path, ('Range', 'bytes=0-1,5-6'), ('If-Range', v))
        yield from both(path, ('Range', 'bytes=999999-'), ('If-Range', v))


def conditions(tag, date, path):
    early, late = ('Sun, 06 Nov 1994 08:49:37 GMT',
                   email.utils.formatdate(time.time() - 5, usegmt=True))
    for f in 'If-Match', 'If-None-Match':
        tags = (tag, 'W/' + tag, '"x", ' + tag) if tag else ()
        for v in (*tags, '"x"', '*', 'nonsense'):
            for e in (), (BR,):
                yield from both(path, (f, v), *e, close=False)
    for f in 'If-Modified-Since', 'If-Unmodified-Since':
        for v in date, early, late, 'nonsense':
            if v:
                yield from both(path, (f, v), close=False)
    if tag:
        yield from both(path, ('If-None-Match', tag), ('Range', 'bytes=0-1'))
        yield from both(path, ('If-Match', '"x"'), ('Range', 'bytes=0-1'))
        yield from both(path, ('If-Match', tag), ('If-None-Match', tag))
        yield from both(path, ('If-None-Match', '"x"'),
                        ('If-Modified-Since', late))
        yield from both(path, ('If-None-Match', tag), version='1.0')
        yield Ask('OPTIONS', path, ('If-None-Match', tag))
    for p in '/nope', '/list/', '/dir':
        for f in ('If-None-Match', '*'), ('If-Match', '*'), (
                'If-Modified-Since', late):
            yield from both(p, f)


def origins():
    for o in ORIGIN, ELSEWHERE, ('Origin', 'null'), ('Origin', ''):
        for t in '/text.txt', '/page.html', '/nope', '/dir', '/list/', '/.x':
            yield from both(t, o)
        for t in '/text.txt', '/nope', '*', '/health':
            yield Ask('OPTIONS', t, o)
            yield Ask('OPTIONS', t, o, METHOD)
        yield Ask('OPTIONS', '/text.txt', o, METHOD,
                  ('Access-Control-Request-Headers', 'content-type'))
        yield Ask('OPTIONS', '/text.txt', o, METHOD,
                  ('Access-Control-Request-Headers', 'x-other'))
        yield Ask('OPTIONS', '/text.txt', o,
                  ('Access-Control-Request-Method', 'DELETE'))
        yield Ask('POST', '/text.txt', o)
        yield from both('/page.html', o, ('If-None-Match', '*'))
        yield from both('/page.html', o, ('Range', 'bytes=0-9'))
        yield from both('/page.html', o, ('Range', 'bytes=99999-'))


def users():
    for f in (USER,), (), (('Authorization', 'Basic eDp5'),), (
            ('Authorization', 'Bearer x'),):
        for t in '/text.txt', '/page.html', '/nope', '/dir', '/list/', '/metrics':
            yield from both(t, *f)
        yield Ask('OPTIONS', '/text.txt', *f)
        yield Ask('OPTIONS', '*', *f)
        yield Ask('OPTIONS', '/text.txt', ORIGIN, METHOD, *f)
        yield from both('/text.txt', *f, version='1.0')
        yield from both('/page.html', ('If-None-Match', '*'), *f)
        yield from both('/page.html', ('Range', 'bytes=0-9'), *f)


def accepts():
    for v in ('text/markdown', 'text/html', 'application/json', '*/*',
              'text/markdown;q=0', 'text/markdown;q=0.5, text/html',
              'application/json, text/html;q=0.9', 'nonsense'):
        for t in '/', '/page', '/page.html', '/dir/', '/dir', '/list/', '/nope':
            yield from both(t, ('Accept', v))
        yield from both('/page', ('Accept', v), BR)
        yield Ask('OPTIONS', '/page', ('Accept', v))


def broken():
    """Heads that are none: answered, and the end of their connections."""
    host = b'Host: localhost\r\n'
    for raw in (b'GET / HTTP/2.0\r\n', b'GET / HTTP/1.1\r\nHost : a\r\n\r\n',
                b'GET / HTTP/1.1\r\n\r\n', b'nonsense /\r\n',
                b'GET /a b HTTP/1.1\r\n' + host + b'\r\n',
                b'GET /' + b'a' * 9000 + b' HTTP/1.1\r\n',
                b'GET / HTTP/1.1\r\n' + host + b'X: y\r\n' * 120 + b'\r\n',
                b'GET / HTTP/1.1\r\n' + host + b'X: ' + b'y' * 17000,
                b'POST / HTTP/1.1\r\n' + host + b'Transfer-Encoding: gzip, '
                b'chunked\r\n\r\n', b'\x16\x03\x01\x02\0\x01\0',
                b'HEAD / HTTP/1.1\r\nHost: a b\r\n\r\n',
                b'GET / HTTP/1.0\r\nX\r\n\r\n'):
        # a client that says HEAD has to get no content: RFC 9112 6.3
        yield Ask('HEAD' if raw.startswith(b'HEAD') else 'GET', '/', raw=raw)


# ---- the servers ---------------------------------------------------------------

RULES = '''
[[advanced.redirects]]
source = "/moved/{*}"
destination = "/list/$1"
kind = 301
[[advanced.redirects]]
source = "/found"
destination = "https://b.example/"
kind = 302
[[advanced.redirects]]
source = "/temporary/{**}"
destination = "/$1"
kind = 307
[[advanced.redirects]]
host = "old.example"
source = "/**"
destination = "https://b.example/"
kind = 308
[[advanced.rewrites]]
source = "/app/**"
destination = "/app.html"
[[advanced.rewrites]]
source = "/old.txt"
destination = "/text.txt"
redirect = 302
[[advanced.headers]]
source = "/**/*.txt"
headers = { Cache-Control = "public, max-age=600, immutable", X-One = "two" }
[[advanced.headers]]
source = "/**"
status = [404]
headers = { Cache-Control = "no-store" }
[[advanced.virtual-hosts]]
host = "b.example"
root = "%s"
'''


def ruled():
    for t in ('/moved/one.txt', '/moved/a%20b', '/moved/%C3%BC', '/moved/%3C%3E',
              '/found', '/temporary/text.txt', '/temporary/a?b=c', '/app/x',
              '/app/x/y', '/old.txt', '/text.txt', '/.x'):
        yield from both(t)
        yield from both(t, version='1.0')
        yield Ask('OPTIONS', t)
    for h in 'old.example', 'b.example', 'b.example:80', 'B.EXAMPLE', '[::1]':
        for t in '/', '/text.txt', '/dir', '/nope':
            yield from both(t, ('Host', h))
            yield from both(t, ('Host', h), ('If-None-Match', '*'))


def site_of(how):
    """--maintenance-mode has one answer for nearly everything."""
    return lambda: [a for t in ('/', '/nope', '/health', '/metrics')
                    for a in both(t)] + [
        Ask('OPTIONS', '/'), Ask('OPTIONS', '*'), Ask('POST', '/'),
        *both('/', close=False), *both('/', version='1.0')]


STATUSES = (200, 202, 203, 207, 400, 402, 403, 404, 406, 408, 409, 410, 411, 412,
            413, 415, 417, 421, 422, 423, 424, 425, 428, 429, 431, 451,
            500, 501, 502, 503, 504, 506, 507, 508, 510, 511)


def fields_all():
    return ['--header=X-Robots-Tag: noindex',
            '--header=Cache-Control: private, max-age=60',
            '--header=Server: one', '--header=Vary: Accept-Language',
            '--header=Link: </style.css>; rel=preload; as=style',
            '--header=Content-Language: en']


def servers(root):
    on = ['--health', '--metrics', '-z']
    cors = ['-c', 'https://a.example,https://b.example']
    user = ['--basic-auth', 'u:' + blowfish()]
    pages = ['--page404', 'my404.html', '--page50x', 'my50x.html']
    yield 'plain', (), {}, lambda s: [*common(), *whole(), *broken(),
                                      *tagged(s), *accepts(), *origins()]
    yield 'off', ('--etag=false', '--cache-control-headers=false',
                  '--compression-static=false', '--text-charset=false',
                  '--redirect-trailing-slash=false'), {}, lambda s: [
                      *common(), *tagged(s)]
    yield 'security', ('--security-headers', *on), {}, lambda s: [
        *common(), *broken()]
    yield 'tls', ('-C', CRT, '-K', KEY, *on), {'tls': True}, lambda s: [
        *common()]
    yield 'cors', (*cors, *on), {}, lambda s: [*common(), *origins()]
    yield 'cors-any', ('-c', '*', '-j', 'x-other', '--cors-expose-headers',
                       'etag'), {}, lambda s: [*common(), *origins()]
    yield 'auth', (*user, *on), {}, lambda s: [*common(), *users()]
    yield 'auth-cors', (*user, *cors, '--security-headers'), {}, lambda s: [
        *users(), *origins()]
    yield 'fields', fields_all(), {}, lambda s: [*common(), *tagged(s)]
    yield 'rules', on, {'toml': RULES % (root + '/../other')}, lambda s: [
        *common(), *ruled()]
    yield 'markdown', ('--accept-markdown', *on), {}, lambda s: [
        *common(), *accepts()]
    for f in 'html', 'json', 'auto':
        yield 'list-' + f, ('-z', '--directory-listing-format', f), {}, \
            lambda s: [*common(), *listed()]
    yield 'pages', pages, {}, lambda s: common()
    yield 'pages-out', ('--page404', root + '/my404.html', '--page-fallback',
                        root + '/app.html'), {}, lambda s: [*common(), *whole()]
    yield 'fallback', ('--page-fallback', 'app.html', '--cache-control-headers=false'), {}, \
        lambda s: common()
    yield 'links', ('--follow-symlinks', '--include-hidden', *on), {}, \
        lambda s: common()
    yield 'all', (*cors, *user, *on, *pages, *fields_all(), '--accept-markdown',
                  '--security-headers', '--follow-symlinks'), {
                      'toml': RULES % (root + '/../other')}, lambda s: [
                          *common(), *users(), *origins(), *accepts()]
    yield 'redirect', ('-C', CRT, '-K', KEY, '--https-redirect',
                       '--https-redirect-from-port', free_port(),
                       '--security-headers'), {'plain': True}, lambda s: [
                           *common(), *whole(), *both('/x', ('Host', 'b'))]
    yield 'slow', ('--header-timeout', '1'), {}, lambda s: [
        Ask('GET', '/', raw=b'GET / HTTP/1.1\r\nHost: a\r\n'),
        Ask('GET', '/', raw=b'GE')]
    yield 'flood', (*user, *cors), {}, lambda s: flood()
    for n in STATUSES:
        yield 'maintenance-%d' % n, (
            '--maintenance-mode', '--maintenance-mode-status', str(n),
            '--health', '--metrics'), {}, lambda s: site_of(s)()


def flood():
    """Wrong passwords until they are too many."""
    for i in range(40):
        word = base64.b64encode(b'u:%d' % i).decode()
        yield from both('/', ('Authorization', 'Basic ' + word))


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return str(s.getsockname()[1])


def listed():
    for t in '/list/', '/list/?sort=0', '/list/?sort=5', '/empty/', '/list/?x', \
            '/list', '/nope/':
        for f in (), (JSON,), (('Accept', 'text/html'),), (GZIP,), (
                ('Range', 'bytes=0-9'),), (('If-None-Match', '*'),), (
                ('If-Modified-Since', 'Sun, 06 Nov 2044 08:49:37 GMT'),):
            yield from both(t, *f)
        yield from both(t, close=False)
        yield from both(t, version='1.0')
        yield from both(t, ('Connection', 'keep-alive'), version='1.0')
        yield Ask('OPTIONS', t)


def tagged(s):
    """Conditions and ranges, with the validators of the moment."""
    out = []
    for path in '/text.txt', '/page.html', '/epoch.txt', '/dot.png', '/empty.txt':
        for e in (), (GZIP,):
            r = s.ask(Ask('HEAD', path, *e))
            tag, date = r.get('etag'), r.get('last-modified')
            out += conditions(tag, date, path)
            out += ranges(tag, date, int(r.get('content-length')), path)
    return out


def blowfish():
    """A bcrypt hash of "pw"."""
    return subprocess.run(['htpasswd', '-nbBC', '4', 'u', 'pw'],
                          capture_output=True, text=True,
                          check=True).stdout.strip().split(':')[1]


def certificate():
    d = tmpdir('cert')
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
                    'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj',
                    '/CN=localhost', '-keyout', d + '/key.pem', '-out',
                    d + '/cert.pem'], check=True, capture_output=True)
    return d + '/cert.pem', d + '/key.pem'


def collect():
    root = site()
    for name, args, kw, questions in servers(root):
        s = Lint(name, root, '--no-access-log', *args, **kw)
        seen = set()
        for a in questions(s):
            if a.bytes() not in seen:
                answers.append(Answer(s, a))
            seen.add(a.bytes())
        s.stop(signal.SIGKILL)
    check('%d different answers, %d are enough' % (len(answers), LEAST),
          len(answers) >= LEAST)


if HttpRequestLinter is None:
    skip('lint', 'no httplint here: sh test/deps.sh test')
    sys.exit(0)
CRT, KEY = certificate()
run([collect, statuses, head_as_get, ours, look])
