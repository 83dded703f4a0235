"""The site's rules as clients see them: each check asks over HTTP/1.1, over TLS
and over HTTP/2, and by HEAD, and wants one answer."""
import base64, json

from lib import *

need_h2()
import metrics      # after that, so that it is found by the same Python

OLD = 1600000000
A, EVIL = 'https://a.example', 'https://evil.example'
CHALLENGE = 'Basic realm="sws", charset="UTF-8"'
PREFLIGHT = {'Origin': A, 'Access-Control-Request-Method': 'GET'}


def tree(**more):
    """A folder with a bit of everything, old enough to be remembered."""
    root = tmpdir('root')
    files = {'index.html': '<title>index</title>', 'page.html': 'a page',
             'a.txt': 'plain text of some length', 'b.css': 'css {}',
             'd/index.html': 'folder', 'e/one.txt': 'one',
             '.hidden': 'hidden', '404.html': 'page 404',
             '50x.html': 'page 50x', **more}
    for name, data in files.items():
        put(os.path.join(root, name), data, OLD)
    return root


def hosts(*pairs, **more):
    return ''.join(rule('virtual-hosts', host=h, root=r, **more)
                   for h, r in pairs)


# ---- the order of the rules --------------------------------------------------

def order():
    root, other = tree(), tree(**{'r': 'r of v', 't': 't of v'})
    put(root + '/t', 't of the root', OLD)
    put(root + '/m.html', 'm', OLD)
    put(root + '/m.html.md', '# m', OLD)
    put(root + '/d/index.html.md', '# d', OLD)
    rules = rule('redirects', source='/old', destination='/new', kind=301) + \
        rule('redirects', source='/both', destination='/by-redirect',
             kind=302) + \
        rule('rewrites', source='/both', destination='/t') + \
        rule('rewrites', source='/r', destination='/t') + \
        rule('rewrites', source='/w', destination='/m') + \
        hosts(('v.example', other)) + \
        headers('**', {'X-On': '404'}, status=[404])
    pw = basic('u', 'pw')
    s = Site(root, toml=general(
        health=True, metrics=True, cors_allow_origins=A, maintenance_mode=True,
        basic_auth='u:' + hashed('pw'), accept_markdown=True,
        directory_listing=True) + rules)
    see('order: method before health', s, '/health', 405, method='POST',
        allow='GET, HEAD, OPTIONS')
    see('order: method before CORS', s, '/', 405, method='DELETE',
        fields={'Origin': EVIL}, access_control_allow_origin=None)
    see('order: method before password', s, '/', 501, method='BREW',
        www_authenticate=None)
    see('order: expectation before health', s, '/health', 417,
        fields={'Expect': 'the unexpected'}, head=False)
    see('order: health before CORS', s, '/health', body=b'OK',
        fields={'Origin': EVIL}, access_control_allow_origin=None, vary=None)
    see('order: health before password', s, '/health', body=b'OK')
    see('order: health before maintenance', s, '/health', body=b'OK', fields=pw)
    see('order: CORS before password', s, '/', 403, fields={'Origin': EVIL},
        www_authenticate=None)
    see('order: preflight before password', s, '/', 204, b'', 'OPTIONS',
        PREFLIGHT, access_control_allow_origin=A)
    see('order: CORS says who may read the 401', s, '/', 401,
        fields={'Origin': A}, access_control_allow_origin=A,
        www_authenticate=CHALLENGE)
    see('order: CORS before metrics', s, '/metrics', 403,
        fields={'Origin': EVIL, **pw})
    see('order: password before metrics', s, '/metrics', 401)
    see('order: password before maintenance', s, '/', 401, retry_after=None)
    see('order: password before redirects', s, '/old', 401, location=None)
    see('order: password before a bad path', s, '/%zz', 401)
    see('order: metrics before maintenance', s, '/metrics', fields=pw,
        body=lambda b: b'sws_http_requests_total' in b, head=False,
        content_type=lambda v: v.startswith('text/plain; version=0.0.4'),
        content_length=None.__ne__, kinds=('h1',))
    see('order: maintenance before redirects', s, '/old', 503, fields=pw,
        location=None, retry_after='300', body=b'page 50x')
    see('order: maintenance before rewrites', s, '/r', 503, fields=pw)
    see('order: maintenance before virtual host', s, '/r', 503, fields=pw,
        host='v.example')
    see('order: maintenance before a bad path', s, '/%zz', 503, fields=pw)
    see('order: maintenance for OPTIONS', s, '/', 503, method='OPTIONS',
        fields=pw, allow=None)
    s.stop()
    s = Site(root, toml=general(directory_listing=True, accept_markdown=True) +
             rules)
    see('order: redirects before rewrites', s, '/both', 302,
        location='/by-redirect')
    see('order: redirects before virtual host', s, '/old', 301,
        host='v.example', location='/new')
    see('order: rewrites before virtual host', s, '/r', body=b't of v',
        host='v.example')
    see('order: the rewrite without it', s, '/r', body=b't of the root')
    md = {'Accept': 'text/markdown'}
    see('order: rewrites before Markdown', s, '/w', body=b'# m', fields=md)
    see('order: virtual host before Markdown', s, '/m', 404, fields=md,
        host='v.example')
    see('order: Markdown before the file', s, '/m.html', body=b'# m', fields=md)
    see('order: Markdown before the index', s, '/d/', body=b'# d', fields=md)
    see('order: index before listing', s, '/d/', body=b'folder')
    see('order: listing before the page for 404', s, '/e/',
        body=lambda b: b'one.txt' in b)
    see('order: page for a status, then fields', s, '/nope', 404, b'page 404',
        x_on='404')
    s.stop()
    s = Site(root, toml=general(https_redirect=True, health=True,
                                cors_allow_origins=A,
                                basic_auth='u:' + hashed('pw')))
    plain = dict(kinds=('h1', 'h2c'))
    see('order: method before https', s, '/', 405, method='PUT', location=None,
        **plain)
    see('order: unknown method before https', s, '/', 501, method='BREW',
        location=None, **plain)
    see('order: expectation before https', s, '/', 417, head=False,
        fields={'Expect': 'x'}, location=None, **plain)
    at = 'https://localhost:%d' % s.tls_port
    see('order: https before health', s, '/health', 301, location=at +
        '/health', **plain)
    see('order: https before CORS', s, '/x?y=%20', 301,
        fields={'Origin': EVIL}, location=at + '/x?y=%20', **plain)
    see('order: https before password', s, '//a/../b', 301, location=at +
        '//a/../b', www_authenticate=None, **plain)
    see('order: no https from other hosts', s, '/', 400, host='evil.example',
        location=None, head=False, **plain)
    see('order: health over TLS', s, '/health', body=b'OK',
        kinds=('tls', 'h2'))
    s.stop()


# ---- CORS --------------------------------------------------------------------

def cors():
    root = tree()
    s = Site(root, toml=general(
        cors_allow_origins=[A, 'http://b.example:8080', 'null'],
        cors_allow_headers=['X-One', 'content-type'],
        cors_expose_headers=['etag', 'X-Two'], directory_listing=True))
    for origin in A, 'http://b.example:8080', 'null', 'HTTPS://A.EXAMPLE':
        see('CORS: %s may read' % origin, s, '/a.txt',
            fields={'Origin': origin}, access_control_allow_origin=origin,
            access_control_expose_headers='etag, x-two', vary='origin',
            access_control_allow_credentials=None)
    see('CORS: no Origin', s, '/a.txt', access_control_allow_origin=None,
        access_control_expose_headers=None, vary='origin')
    for origin in (EVIL, 'https://a.example.evil.example', 'http://a.example',
                   'https://a.example:443', 'https://a.example/', 'https://a',
                   'a.example', '', 'https://a.example, ' + EVIL, '*',
                   'http://b.example', A + '\xff', 'x' * 3000, 'Null\t'):
        # the protocol takes the space at the end away
        see('CORS: not %s' % ascii(origin[:40]), s, '/a.txt',
            200 if origin == 'Null\t' else 403, fields={'Origin': origin},
            access_control_allow_origin=lambda v: (v == 'Null') ==
            (origin == 'Null\t') and v in (None, 'Null'), vary='origin',
            body=lambda b: b'evil' not in b and b'xxx' not in b,
            kinds=('h1', 'tls') if origin == 'Null\t' else KINDS)
    see('CORS: two Origin fields', s, '/a.txt', 403,
        fields=[('Origin', A), ('Origin', A)], vary='origin')
    two = {'vary': 'origin', 'access_control_allow_origin': A}
    f = {'Origin': A}
    see('CORS: on 404', s, '/nope', 404, fields=f, **two)
    see('CORS: on 400', s, '/%zz', 400, fields=f, head=False, **two)
    see('CORS: on 416', s, '/a.txt', 416, fields={**f, 'Range': 'bytes=999-'},
        **two)
    see('CORS: on 206', s, '/a.txt', 206, fields={**f, 'Range': 'bytes=0-1'},
        **two)
    see('CORS: on 308', s, '/d', 308, fields=f, location='/d/', **two)
    tag = ask('h1', s, '/a.txt').get('etag')
    see('CORS: on 304', s, '/a.txt', 304, fields={**f, 'If-None-Match': tag},
        **two)
    see('CORS: on a listing', s, '/e/', fields=f,
        access_control_allow_origin=A, vary='origin, accept')
    see('CORS: OPTIONS that is no preflight', s, '/a.txt', 204, b'',
        'OPTIONS', f, allow='GET, HEAD, OPTIONS',
        access_control_allow_methods=None, **two)

    def pre(name, status, method='GET', *lists, origin=A, path='/a.txt', srv=s,
            **want):
        fields = [('Origin', origin)] + (
            [('Access-Control-Request-Method', method)] if method else []) + [
                ('Access-Control-Request-Headers', v) for v in lists]
        see('preflight: ' + name, srv, path, status, method='OPTIONS',
            fields=fields, **want)
    good = dict(body=b'', access_control_allow_methods='GET, HEAD, OPTIONS',
                access_control_allow_headers='x-one, content-type',
                access_control_max_age=None, content_length=None,
                content_type=None, **two)
    bad = dict(access_control_allow_methods=None,
               access_control_allow_headers=None, vary='origin')
    pre('no fields', 204, **good)
    pre('HEAD', 204, 'HEAD', **good)
    pre('a field', 204, 'GET', 'x-one', **good)
    pre('upper case', 204, 'GET', 'X-ONE,Content-Type', **good)
    pre('spaces and empty ones', 204, 'GET', ',x-one \t, ,content-type,',
        **good)
    pre('an empty list', 204, 'GET', '', **good)
    pre('two lists', 204, 'GET', 'x-one', 'content-type', **good)
    pre('of a path that is not there', 204, 'GET', path='/nope', **good)
    pre('a field too many', 403, 'GET', 'x-one, x-two', **bad)
    pre('in the second list', 403, 'GET', 'x-one', 'x-two', **bad)
    pre('half a name', 403, 'GET', 'x-on', **bad)
    pre('a name and more', 403, 'GET', 'x-one x', **bad)
    pre('a wildcard', 403, 'GET', '*', **bad)
    for m in 'PUT', 'POST', 'get', 'GET, PUT', 'GETX', '*', '\xff', 'x' * 999:
        pre('method %s' % ascii(m[:9]), 403, m, **bad)
    pre('no method: OPTIONS as usual', 204, None, 'x-two',
        allow='GET, HEAD, OPTIONS', access_control_allow_headers=None)
    pre('another origin', 403, origin=EVIL, access_control_allow_origin=None,
        **bad)
    s.stop()
    s = Site(root, toml=general(cors_allow_origins='*'))
    for origin in A, 'null', EVIL, 'x' * 3000, '\xff\xfe':
        see('CORS *: %s' % ascii(origin[:30]), s, '/a.txt',
            fields={'Origin': origin}, access_control_allow_origin='*',
            access_control_expose_headers='origin, content-type', vary=None)
    see('CORS *: without Origin', s, '/a.txt', vary=None,
        access_control_allow_origin=None)
    pre('*', 204, 'GET', 'authorization', srv=s,
        access_control_allow_origin='*', access_control_allow_headers=
        'origin, content-type, authorization')
    s.stop()
    s = Site(root)
    see('CORS off: nothing is looked at', s, '/a.txt', fields={'Origin': EVIL},
        access_control_allow_origin=None, vary=None)
    s.stop()


# ---- passwords ---------------------------------------------------------------

def passwords():
    root = tree()
    s = Site(root, '--basic-auth', 'u:' + hashed('pw'), '--basic-auth',
             'm\xfcller:' + hashed('other'), '-z')
    no = dict(www_authenticate=CHALLENGE, body=lambda b: b'text' not in b)
    pw = basic('u', 'pw')['Authorization']
    see('password: none', s, '/a.txt', 401, **no)
    see('password: right', s, '/a.txt', fields={'Authorization': pw},
        www_authenticate=None)
    see('password: of a page that is not there', s, '/nope', 401, **no)
    see('password: of a listing', s, '/e/', 401, **no)
    see('password: of OPTIONS', s, '/a.txt', 401, method='OPTIONS', **no)
    see('password: of OPTIONS, right', s, '/a.txt', 204, method='OPTIONS',
        fields={'Authorization': pw}, allow='GET, HEAD, OPTIONS')
    see('password: of OPTIONS *', s, '*', 401, method='OPTIONS', **no)
    see('password: not asked for before 405', s, '/a.txt', 405, method='POST',
        www_authenticate=None)
    see('password: conditions do not help', s, '/a.txt', 401,
        fields={'If-None-Match': '*', 'Range': 'bytes=0-1'}, **no)
    raw = pw.split()[1]
    for name, v, good in (
            ('lower case scheme', 'basic ' + raw, True),
            ('mixed case scheme', 'bAsIc ' + raw, True),
            ('spaces before it', 'Basic    ' + raw, True),
            ('no space', 'Basic' + raw, False),
            ('another scheme', 'Bearer ' + raw, False),
            ('nothing', '', False), ('the scheme only', 'Basic', False),
            ('no padding', 'Basic dTpwdzE', False),
            ('padding in the middle', 'Basic dTpw=dw==', False),
            ('bits to spare', 'Basic dTpwdx==', False),
            ('bytes behind', 'Basic %s x' % raw, False),
            ('a parameter', 'Basic %s,realm="x"' % raw, False),
            ('other digits', 'Basic dTpw-_==', False),
            ('8-bit bytes', 'Basic \xff\xfe\xfd\xfc', False),
            ('no colon', 'Basic dXB3', False),
            ('a NUL in it', 'Basic dTpwdwA=', False),
            ('very long', 'Basic ' + 'A' * 8000, False)):
        see('password: ' + name, s, '/a.txt', 200 if good else 401,
            fields={'Authorization': v}, www_authenticate=None if good else
            CHALLENGE)
    see('password: two fields', s, '/a.txt', 401,
        fields=[('Authorization', pw), ('Authorization', pw)], **no)
    see('password: of another user, name of 8 bits', s, '/a.txt', fields={
        'Authorization': 'Basic ' + base64.b64encode(
            'm\xfcller:other'.encode()).decode()})
    for name, (user, word) in {
            'wrong': ('u', 'PW'), 'empty': ('u', ''),
            'unknown user': ('x', 'pw'),
            'that of another user': ('u', 'other'), 'no user': ('', 'pw'),
            'user in another case': ('U', 'pw')}.items():
        see('password: ' + name, s, '/a.txt', 401, fields=basic(user, word),
            **no)
    see('password: the right one after them', s, '/a.txt',
        fields={'Authorization': pw}, body=lambda b: b'plain text' in b)
    # the same connection, one with and one without
    for kind in KINDS:
        got = [ask(kind, s, '/a.txt', fields=f).status for f in
               ({'Authorization': pw}, {}, {'Authorization': pw}, {}) * 5]
        equal('password: nothing is kept for the next request, ' + kind, got,
              [200, 401] * 10)
    s.stop()

    # what was right once is not computed again
    s = Site(root, '--basic-auth', 'u:' + hashed('pw', 10))
    before = ticks(s)
    first = ask('h1', s, '/a.txt', fields={'Authorization': pw}).status
    one = ticks(s) - before
    before = ticks(s)
    again = [ask(k, s, '/a.txt', fields={'Authorization': pw}).status
             for k in KINDS * 10]
    ten = ticks(s) - before
    check('password: 30 more requests cost no hash', first == 200 and
          again == [200] * 30 and ten < 5 * one + 5,
          'one %d ticks, thirty %d' % (one, ten))
    s.stop()

    s = Site(root, '--basic-auth', 'u:' + hashed('pw'), '--basic-auth',
             'late:' + hashed('pw'))
    see('flood: right before', s, '/a.txt', fields={'Authorization': pw})
    got = [ask(KINDS[i % 3], s, '/a.txt', fields=basic('u', 'x%d' % i))
           for i in range(30)]
    n = [r.status for r in got].count(401)
    check('flood: wrong ones get 429 after some', 10 <= n < 15 and
          [r.status for r in got] == [401] * n + [429] * (30 - n) and
          got[-1].get('retry-after') == '5' and
          got[-1].get('www-authenticate') is None, [r.status for r in got])
    see('flood: 429', s, '/a.txt', 429, fields=basic('x', 'y'),
        retry_after='5')
    see('flood: who was right before is served', s, '/a.txt',
        fields={'Authorization': pw})
    see('flood: none is still 401', s, '/a.txt', 401, **no)
    with connect('h1', s, source='127.0.0.9') as c:
        equal('flood: another address logs in', c.ask(
            b'/a.txt', b'GET', [(b'authorization', as_bytes(
                basic('late', 'pw')['Authorization']))], b'localhost').status,
            200)
    s.stop()


def ticks(server):
    with open('/proc/%d/stat' % server.proc.pid) as f:
        return int(f.read().rsplit(')', 1)[1].split()[11])


def logins():
    """Five wrong logins in flight; somebody else wants a small file."""
    s = Site(tree(), '--basic-auth', 'u:' + hashed('pw', 10))
    pw = [(b'authorization', as_bytes(basic('u', 'pw')['Authorization']))]

    def login(i, source):
        c = connect('h1', s, source=source)
        start = time.monotonic()
        r = c.ask(b'/a.txt', b'GET', [(b'authorization', as_bytes(basic(
            'u', 'wrong%d' % i)['Authorization']))], b'localhost')
        c.close()
        return r.status, time.monotonic() - start
    me = connect('h1', s)
    me.ask(b'/a.txt', b'GET', pw, b'localhost')
    best, hash_time, waits = None, 99, []
    for turn in range(4):
        source = '127.0.0.%d' % (10 + turn)
        hash_time = min(hash_time, *(login(i + 100, source)[1]
                                     for i in range(2)))
        over, took = [], []
        many = [threading.Thread(target=lambda i=i: over.append(
            login(i, source))) for i in range(5)]
        for t in many:
            t.start()
        while len(over) < 5:
            start = time.monotonic()
            me.ask(b'/a.txt', b'GET', pw, b'localhost')
            took.append(time.monotonic() - start)
        for t in many:
            t.join()
        if [o[0] for o in over] != [401] * 5:
            break
        waits.append(max(took))
        if min(waits) < 1.5 * hash_time:
            break
    check('logins: a small file waits for %.0f ms at most beside five wrong '
          'ones of %.0f ms each' % (1000 * min(waits, default=0),
                                    1000 * hash_time),
          waits and min(waits) < 3 * hash_time, (waits, hash_time))
    s.stop()


# ---- metrics -----------------------------------------------------------------

def scrape(s, kind='h1'):
    """{(name, labels): value}, read strictly."""
    c = connect(kind, s)
    text = c.ask(b'/metrics', b'GET', [], b'localhost').body.decode()
    c.close()
    return {(n, l): v for _, samples in metrics.read(text).values()
            for n, l, v in samples}


def counted():
    root, big = tree(), 3 << 20
    put(root + '/big.bin', bytes(big), OLD)
    s = Site(root, toml=general(metrics=True))
    steps = [('/', 'GET', {}, 200), ('/', 'GET', {}, 200),
             ('/', 'HEAD', {}, 200), ('/', 'OPTIONS', {}, 204),
             ('/nope', 'GET', {}, 404), ('/nope', 'HEAD', {}, 404),
             ('/d', 'GET', {}, 308), ('/', 'POST', {}, 405),
             ('/', 'PATCH', {}, 405), ('/', 'BREW', {}, 501),
             ('/a.txt', 'GET', {'Range': 'bytes=0-4'}, 206),
             ('/a.txt', 'GET', {'Range': 'bytes=99-'}, 416),
             ('/a.txt', 'GET', {'If-None-Match': '*'}, 304),
             ('/a.txt', 'GET', {'If-Match': '"x"'}, 412)]
    name = 'sws_http_requests_total'
    want, size = {}, 0
    for kind in KINDS + ('h2c',):
        with connect(kind, s) as c:
            for path, method, fields, status in steps:
                if c.closed:
                    c = connect(kind, s)
                r = c.ask(as_bytes(path), as_bytes(method), [
                    (as_bytes(k).lower(), as_bytes(v))
                    for k, v in fields.items()], b'localhost')
                label = method if method in ('GET', 'HEAD', 'OPTIONS') else \
                    'other'
                label = 'method="%s",status="%d"' % (label, status)
                want[label] = want.get(label, 0) + 1
                size += len(r.body)
                if r.status != status:
                    check('metrics: %s %s' % (method, path), False, r)
    got = scrape(s)
    equal('metrics: requests by method and status', {
        l: v for (n, l), v in got.items() if n == name}, want)
    count = sum(want.values())
    equal('metrics: durations are of as many', (
        got['sws_http_request_duration_seconds_count', None],
        got['sws_http_request_duration_seconds_bucket', 'le="+Inf"']),
        (count, count))
    equal('metrics: bytes of content',
          got['sws_http_response_bytes_total', None], size)
    conns = {l: v for (n, l), v in got.items()
             if n == 'sws_http_connections_total'}
    equal('metrics: connections by protocol', conns, {
        'protocol="http/1.1",tls="false"': 2,
        'protocol="http/1.1",tls="true"': 1, 'protocol="h2",tls="false"': 1,
        'protocol="h2",tls="true"': 1})
    # the one that asks has no answer yet
    equal('metrics: none in flight', (
        got['sws_http_requests_inflight', None],
        got['sws_http_connections_active', None]), (0, 1))

    # nothing of a client's becomes a label, and all ends are counted
    labels = re.compile(r'method="(GET|HEAD|OPTIONS|other)",'
                        r'status="([1-5][0-9][0-9])"')
    for m in ('get', 'Get', "G'ET", 'A' * 100, 'GETX', '!#$%&*+-.^_`|~',
              'PROPFIND', 'x{y=z}', 'M\xe9'):
        for kind in KINDS:
            try:
                with connect(kind, s) as c:
                    c.ask(b'/', as_bytes(m), [], b'localhost')
            except (OSError, EOFError, RuntimeError):
                pass
    for data in (b'BREW"} 1\r\n\r\n', b'GET / HTTP/9.9\r\n\r\n', b'\r\n' * 99,
                 b'GET / HTTP/1.1\r\n\r\n', b'\x16\x03', b'GET /\n\n'):
        for tls in False, True:
            with dial(s, tls) as c:
                c.sendall(data)
                c.settimeout(0.2)
                try:
                    c.recv(9999)
                except OSError:
                    pass
    got = scrape(s)
    check('metrics: no label of a client', all(
        labels.fullmatch(l) for n, l in got if n == name) and
        {l for n, l in got if n == 'sws_http_connections_total'} == set(conns),
        [k for k in got if k[0] == name])
    # downloads that are broken off
    for kind in KINDS + ('h2c',):
        c = connect(kind, s)
        if kind[:2] == 'h2':
            c.send(b'/big.bin', b'GET', [], b'localhost')
            c.send(b'/big.bin', b'GET', [], b'localhost')
        else:
            c.s.sendall(b'GET /big.bin HTTP/1.1\r\nhost: a\r\n\r\n' * 2)
        c.s.recv(1000)
        c.close()
    for _ in range(200):
        got = scrape(s, 'h2')
        if got['sws_http_connections_active', None] == 1:
            break
        time.sleep(0.02)
    equal('metrics: nothing stays in flight', (
        got['sws_http_requests_inflight', None],
        got['sws_http_connections_active', None]), (0, 1))
    s.stop()


# ---- pages -------------------------------------------------------------------

def pages():
    root = tree(**{'sub/err.html': 'own 404', 'sub/50.txt': 'own 50x',
                   'app.html': 'the app', 'closed.html': 'closed for today',
                   '404.html.gz': 'zip', 'page.tar': 'x' * 70000})
    outside = put(os.path.join(tmpdir('out'), 'page.xhtml'), 'from elsewhere')
    html = 'text/html; charset=utf-8'
    own = re.compile(br'<title>404 Not Found</title>')
    for name, page, want, kind in (
            ('default', None, b'page 404', html),
            ('relative', 'sub/err.html', b'own 404', html),
            ('./', './sub/err.html', b'own 404', html),
            ('of another type', 'b.css', b'css {}', 'text/css; charset=utf-8'),
            ('absolute', outside, b'from elsewhere', html),
            ('large', 'page.tar', b'x' * 70000, 'application/x-tar'),
            ('missing', 'sub/none.html', own, html),
            ('a folder', 'd/', own, html), ('hidden', '.hidden', None, html),
            ('outside', '../../../../../../../etc/passwd', own, html)):
        s = Site(root, toml=general(page404=page) if page else '')
        if page == '.hidden':
            r = ask('h1', s, '/nope')
            check('page404: one that is hidden otherwise', r.status == 404, r)
        else:
            see('page404: ' + name, s, '/nope?x', 404, want,
                content_type=kind, etag=None, last_modified=None,
                cache_control=None, accept_ranges=None)
            see('page404: %s, conditions and ranges' % name, s, '/nope', 404,
                want, fields={'If-None-Match': '*', 'Range': 'bytes=0-1',
                              'Accept-Encoding': 'gzip', 'Accept':
                              'text/markdown'}, content_encoding=None,
                content_range=None)
            see('page404: %s, to OPTIONS' % name, s, '/nope', 404, want,
                'OPTIONS', allow=None)
        s.stop()
    own = re.compile(b'<title>503 Service Unavailable</title>')
    for name, page, want, kind in (
            ('default', None, b'page 50x', html),
            ('relative', 'sub/50.txt', b'own 50x', 'text/plain; charset=utf-8'),
            ('absolute', outside, b'from elsewhere', html),
            ('missing', 'none', own, html)):
        s = Site(root, toml=general(maintenance_mode=True, health=True, **(
            {'page50x': page} if page else {})))
        for path in '/', '/a.txt', '/nope', '/.hidden', '/%zz', '/../..':
            see('page50x: %s %s' % (name, path), s, path, 503, want,
                content_type=kind, retry_after='300', etag=None)
        see('health: %s page50x' % name, s, '/health', body=b'OK',
            content_type='text/plain; charset=utf-8', content_length='2',
            cache_control='no-cache', retry_after=None)
        s.stop()
    for status, page, want in ((503, 'closed.html', b'closed for today'),
                               (503, outside, b'from elsewhere'),
                               (503, 'none', b'page 50x'),
                               (500, 'none', b'page 50x'),
                               (404, 'none', b'page 404'),
                               (200, 'closed.html', b'closed for today'),
                               (418, 'none', re.compile(b'<h1>418 </h1>')),
                               (403, 'closed.html', b'closed for today')):
        s = Site(root, toml=general(
            maintenance_mode=True, maintenance_mode_status=status,
            maintenance_mode_file=page, cors_allow_origins=A))
        see('maintenance: %d, %s' % (status, page if page[0] != '/' else
                                     'absolute'), s, '/x', status, want,
            retry_after='300', content_type=html)
        see('maintenance: %d, %s, another origin' % (status, page), s, '/x', 403,
            re.compile(b'<h1>403 Forbidden</h1>'), fields={'Origin': EVIL})
        s.stop()
    s = Site(root, toml=general(page_fallback='app.html', directory_listing=
                                True))
    app = dict(body=b'the app', content_type=html)
    see('fallback: what is missing', s, '/any/route?x=y', **app)
    see('fallback: hidden names', s, '/.hidden', **app)
    see('fallback: an encoded slash', s, '/a%2fb', **app)
    see('fallback: file/', s, '/a.txt/', **app)
    see('fallback: not for a bad path', s, '/%zz', 400, head=False)
    see('fallback: not for OPTIONS', s, '/any', 404, b'page 404', 'OPTIONS')
    see('fallback: not for POST', s, '/any', 405, method='POST')
    see('fallback: a file', s, '/a.txt', body=lambda b: b'plain' in b)
    see('fallback: a listing', s, '/e/', body=lambda b: b'one.txt' in b)
    see('fallback: health is off', s, '/health', **app)
    see('fallback: a range', s, '/any', 206, b'th', fields={
        'Range': 'bytes=0-1'})
    see('fallback: conditions', s, '/any', 304, b'', fields={
        'If-None-Match': '*'})
    s.stop()
    # of a virtual host
    v = tree(**{'404.html': 'v 404', 'closed.html': 'v closed',
                '50x.html': 'v 50x', 'app.html': 'v app'})
    w = tmpdir('w')
    put(w + '/index.html', 'w', OLD)
    both = hosts(('v.example', v), ('w.example', w))
    s = Site(root, toml=both)
    for path in '/nope', '/.hidden', '/a%2fb', '/a.txt/':
        see('virtual host: its own 404 for ' + path, s, path, 404, b'v 404',
            host='v.example')
        see('virtual host: has none, %s' % path, s, path, 404, b'page 404',
            host='w.example')
    s.stop()
    for name, options, body in (
            ('page50x', {}, b'v 50x'),
            ('maintenance-mode-file', dict(maintenance_mode_file='closed.html'),
             b'v closed')):
        s = Site(root, toml=general(maintenance_mode=True, **options) + both)
        see('virtual host: its own ' + name, s, '/', 503, body,
            host='v.example')
        see('virtual host: %s of the root' % name, s, '/', 503,
            body.replace(b'v ', b'') + b' for today' if options else
            b'page 50x', host='w.example')
        s.stop()
    s = Site(root, toml=general(page_fallback='app.html') + both)
    see('virtual host: its own fallback', s, '/nope', 200, b'v app',
        host='v.example')
    see('virtual host: a hidden name', s, '/.hidden', 200, b'v app',
        host='v.example')
    s.stop()
    s = Site(root)
    see('health: off', s, '/health', 404)
    see('metrics: off', s, '/metrics', 404)
    s.stop()
    s = Site(root, '--health', '--metrics')
    see('health: a query', s, '/health?x', body=b'OK')
    see('health: not escaped', s, '/%68ealth', 404)
    see('health: not below', s, '/health/', 404)
    see('health: OPTIONS', s, '/health', 204, method='OPTIONS')
    see('health: on any host', s, '/health', body=b'OK', host='other.example')
    see('metrics: POST', s, '/metrics', 405, method='POST')
    s.stop()


# ---- redirects and rewrites --------------------------------------------------

def redirects():
    root = tree(**{'static/app.js': 'app', 'static/app.mjs': 'mjs'})
    r = lambda source, to, kind=302, **k: rule(
        'redirects', source=source, destination=to, kind=kind, **k)
    w = lambda source, to, **k: rule(
        'rewrites', source=source, destination=to, **k)
    s = Site(root, toml=general(page404='404.html', directory_listing=True) +
             r('/{*}', 'http://localhost:1234/$1', 301, host='127.0.0.1:1234') +
             r('/{**}', 'https://bare.example/$1', 308, host='www.bare.example')
             + r('**/site.{css}', 'http://localhost/styles/all.$2', 301) +
             r('/{one,two}.css', '/styles/$1.min.css', 301) +
             r('/js/{*}.{js,mjs}', '/scripts/$1.$2', 307) +
             r('**/{*}.{jpg,jpeg}', '/images/$2.$3', 308) +
             r('/new/{**}', '/$1') + r('/bare/{**}', '$1') +
             r('/go{**}', 'https://other.example$1') +
             r('/q/{*}', '/find?name=$1&x=1#top') +
             r('/all/**', 'https://all.example$0') +
             w('**/oops.{html}', '/404.$2') + w('/code/{*}.{js,mjs}',
                                                '/static/$1.$2?v=$1#x') +
             w('/icons/{*}.{ico}', '/static/$1-icon.$2', redirect=302) +
             w('/to-hidden', '/.hidden') + w('/dot/{*}', '/.$1') +
             w('/up/{**}', '/d/../../$1') + w('/folder', '/d') +
             w('/folder/', '/d/') + w('/list', '/e/') +
             w('/chain', '/folder') + w('/same', '/same.html') +
             w('/any/{**}', '/e/$1') + w('/page', '/a.txt'))

    def to(name, path, status, location, **k):
        see(name, s, path, status, location=location, **k)
    host = '127.0.0.1:1234'
    to('redirect: host with its port', '/', 301, 'http://localhost:1234/',
       host=host)
    to('redirect: host, *', '/a.b', 301, 'http://localhost:1234/a.b', host=host)
    to('redirect: host, * is one folder', '/d/x', 404, None, host=host)
    see('redirect: another port of the host', s, '/', host='127.0.0.1:1235')
    see('redirect: another host', s, '/', host='127.0.0.1')
    for host in 'www.bare.example', 'WWW.Bare.Example:81', 'www.bare.example.':
        to('redirect: www to none, ' + host, '/a/b.c?d=e', 308,
           'https://bare.example/a/b.c?d=e', host=host)
    to('redirect: ** is $1', '/x/y/site.css', 301,
       'http://localhost/styles/all.css')
    to('redirect: ** is none', '/site.css', 301,
       'http://localhost/styles/all.css')
    to('redirect: one of several', '/two.css', 301, '/styles/two.min.css')
    to('redirect: none of several', '/three.css', 404, None)
    to('redirect: two groups', '/js/main.mjs', 307, '/scripts/main.mjs')
    to('redirect: folders and two groups', '/a/b/c.jpeg', 308,
       '/images/c.jpeg')
    to('redirect: the query stays', '/two.css?a=%20&b', 301,
       '/styles/two.min.css?a=%20&b')
    to('redirect: an empty query', '/two.css?', 301,
       lambda v: v in ('/styles/two.min.css', '/styles/two.min.css?'))
    to('redirect: the query joins another', '/q/n?y=2', 302,
       '/find?name=n&x=1&y=2#top')
    to('redirect: what ends a query', '/q/a%26b%3Dc%23d%2Be', 302,
       '/find?name=a%26b%3Dc%23d%2Be&x=1#top')
    to('redirect: $0', '/all/x/y', 302, 'https://all.example/all/x/y')
    see('redirect: OPTIONS as well', s, '/two.css', 301, method='OPTIONS',
        location='/styles/two.min.css')
    see('redirect: not POST', s, '/two.css', 405, method='POST', location=None)
    see('redirect: has a page', s, '/two.css', 301, cache_control=None,
        body=re.compile(b'<h1>301 Moved Permanently</h1>'),
        content_type='text/html; charset=utf-8')
    # what a name may hold
    for path, want in (
            ('/new/a%0d%0aset-cookie:%20x=1', '/a%0D%0Aset-cookie:%20x=1'),
            ('/new/%22%3Cb%3E%27', '/%22%3Cb%3E\''),
            ('/new/%E4\xe4', '/%E4%E4'),
            ('/new/%25%34%31', '/%2541'), ('/new/%3fa%23b', '/%3Fa%23b'),
            ('/new/%09%7f%01', '/%09%7F%01'), ('/new/$1$0', '/$1$0'),
            ('/new//evil.example', '/evil.example'),
            ('/new///evil.example/', '/evil.example/'),
            ('/new/%5c%5cevil.example', '/%5C%5Cevil.example'),
            ('/new/%09/evil.example', '/%09/evil.example'),
            ('/bare//evil.example', '/evil.example'),
            ('/bare/https:/evil.example', '/https:/evil.example'),
            ('/bare/https://evil.example', '/https:/evil.example'),
            ('/bare/javascript:alert(1)', '/javascript:alert(1)'),
            ('/bare/', '/'), ('/new/', '/'), ('/new/./x/../y', '/y'),
            ('/go.evil.example', 'https://other.example/.evil.example'),
            ('/go@evil.example/x', 'https://other.example/@evil.example/x'),
            ('/go:1@evil.example', 'https://other.example/:1@evil.example'),
            ('/go/x', 'https://other.example/x'),
            ('/go', 'https://other.example')):
        to('redirect: %s' % ascii(path), path, 302, want, set_cookie=None)
    to('redirect: an encoded slash is no path', '/new/%2f%2fevil.example', 404,
       None)
    to('redirect: climbing', '/new/../../x', 400, None, head=False)
    to('redirect: too long', '/new/' + '%ff' * 2600, 414, None)
    to('redirect: long', '/new/' + 'a' * 1500, 302, '/' + 'a' * 1500)
    import random
    dice, bad = random.Random(3), []
    for i in range(400):
        path = dice.choice(('/new/', '/bare/', '/go')) + ''.join(dice.choice(
            ('/', '//', '%5c', '%0d', '%0a', '%00', '@', ':', '.', '..', '%2e',
             'evil.example', '%2f', 'http:', '?', '#', '%23', '%3f', '\xe9',
             '$1', '%09', ';', '%', '[', ']'))
            for _ in range(dice.randrange(1, 8)))
        r = ask(KINDS[i % 3], s, path)
        at = r.get('location')
        if r.status not in (302, 400, 404) or (r.status == 302) != (
                at is not None) or at and not re.fullmatch(
                r'/(?!/)[!-~]*|https://other\.example([/?][!-~]*)?', at) or \
                at and '\\' in at:
            bad.append((path, r))
    check('redirect: 400 hostile paths lead to no other host', not bad, bad[:1])
    # rewrites
    see('rewrite: ** is $1', s, '/x/y/oops.html', body=b'page 404')
    see('rewrite: two groups, a query goes', s, '/code/app.mjs', body=b'mjs',
        content_type='text/javascript; charset=utf-8')
    see('rewrite: the request\'s query', s, '/code/app.js?x=/../y', body=b'app')
    see('rewrite: to what is missing', s, '/code/none.js', 404, b'page 404')
    to('rewrite: one that redirects', '/icons/a.ico', 302,
       '/static/a-icon.ico')
    to('rewrite: one that redirects, without the query', '/icons/a.ico?x=y',
       302, '/static/a-icon.ico')
    see('rewrite: to a hidden file', s, '/to-hidden', 404)
    see('rewrite: to a hidden name', s, '/dot/hidden', 404)
    see('rewrite: out of the root', s, '/up/etc/passwd', 400, head=False)
    to('rewrite: to a folder, then 308', '/folder?x=y', 308, '/d/?x=y')
    see('rewrite: to a folder', s, '/folder/', body=b'folder')
    see('rewrite: to a listing', s, '/list', body=lambda b: b'one.txt' in b)
    to('rewrite: only once', '/chain', 404, None)
    see('rewrite: before .html is tried', s, '/page',
        body=lambda b: b'plain text' in b, content_type=
        'text/plain; charset=utf-8')
    see('rewrite: a name of 8 bits', s, '/any/%ff\xfe', 404)
    see('rewrite: CR, LF', s, '/any/%0d%0ax:y', 404, x=None)
    see('rewrite: too long', s, '/any/' + '%ff' * 2000, 414)
    s.stop()


# ---- fields of the site's own ------------------------------------------------

def fields():
    root = tree(**{'assets/app.js': 'js', 'assets/index.html': 'assets',
                   'home.htm': 'home', 'h/home.htm': 'h home'})
    put(root + '/a.txt.gz', 'zip', OLD)
    f = headers
    s = Site(root, '--header', 'X-All: 1', '--header', 'Server:sws', toml=
             general(index_files='home.htm,index.html', health=True,
                     metrics=True, cors_allow_origins=A, directory_listing=True,
                     basic_auth='u:' + hashed('pw')) +
             f('**/*.{js,css}', {'X-XSS-Protection': '1; mode=block',
                                 'Access-Control-Allow-Origin': '*'}) +
             f('*.html', {'Cache-Control': 'public, max-age=36000',
                          'Content-Security-Policy': "frame-ancestors 'none'"})
             + f('*.htm', {'X-Htm': 'yes'}) +
             f('/assets/**', {'X-Every': 'every', 'ETag': '"mine"'}) +
             f('/assets/**', {'Cache-Control': 'immutable', 'X-Some': '1'},
               status=[200, 206, 304]) + f('/assets/**', {'X-No': '1'},
                                           status=[418]) +
             f('**', {'X-Status': '401'}, status=401) +
             f('**', {'X-Status': '403'}, status=[403]) +
             f('**', {'X-Status': '404', 'Cache-Control': 'no-store'},
               status=[404, 405]) +
             f('/b.css', {'Content-Type': 'text/x-css', 'X-Latin': '\xe9'}) +
             f('/first', {'X-Two': 'a'}) + f('/first', {'x-two': 'b'}) +
             rule('redirects', source='/old', destination='/new', kind=301) +
             rule('rewrites', source='/r', destination='/assets/app.js'))
    pw = basic('u', 'pw')
    all_ = dict(x_all='1', server='sws')
    go = dict(fields=pw, **all_)
    see('fields: on a file', s, '/assets/app.js', x_xss_protection=
        '1; mode=block', x_every='every', x_some='1', x_no=None, etag='"mine"',
        access_control_allow_origin='*', cache_control='immutable', **go)
    see('fields: on 206', s, '/assets/app.js', 206, b'j', fields={
        **pw, 'Range': 'bytes=0-0'}, x_some='1', cache_control='immutable',
        etag='"mine"', x_every='every', content_range='bytes 0-0/2', **all_)
    see('fields: on 304', s, '/assets/app.js', 304, b'', fields={
        **pw, 'If-None-Match': '*'}, x_some='1', cache_control='immutable',
        etag='"mine"', **all_)
    see('fields: on 404, not those of others', s, '/assets/none', 404,
        x_every='every', x_some=None, cache_control='no-store', x_status='404',
        **go)
    see('fields: of .html', s, '/page.html', cache_control=
        'public, max-age=36000', content_security_policy=
        "frame-ancestors 'none'", **go)
    see('fields: a path that becomes .html', s, '/page', cache_control=
        'no-cache', **go)
    see('fields: of an index file by its name', s, '/assets/', cache_control=
        'immutable', content_security_policy="frame-ancestors 'none'", **go)
    see('fields: of another index file by its name', s, '/', x_htm='yes',
        body=b'home', cache_control='no-cache', **go)
    see('fields: of one in a folder', s, '/h/', x_htm='yes', body=b'h home',
        **go)
    see('fields: of its 304', s, '/h/', 304, x_htm='yes', fields={
        **pw, 'If-None-Match': '*'})
    see('fields: of a listing', s, '/e/', x_htm=None, **go)
    see('fields: a type', s, '/b.css', content_type='text/x-css',
        x_latin='\xc3\xa9', cache_control='max-age=31536000', **go)
    see('fields: the last one counts', s, '/first', 404, x_two='b', **go)
    see('fields: of a rewritten path', s, '/r', x_every='every', body=b'js',
        **go)
    see('fields: on 401', s, '/a.txt', 401, x_status='401',
        www_authenticate=CHALLENGE, **all_)
    see('fields: on 401, by path', s, '/assets/app.js', 401, x_every='every',
        x_some=None, x_xss_protection='1; mode=block', **all_)
    see('fields: on 403, by path', s, '/assets/x', 403, fields={
        'Origin': EVIL, **pw}, x_status='403', x_every='every', **all_)
    see('fields: on 405, by path', s, '/assets/app.js', 405, method='POST',
        x_status='404', x_every='every', cache_control='no-store', **all_)
    see('fields: on 501, by path', s, '/assets/app.js', 501, method='BREW',
        x_every='every', **all_)
    see('fields: on 400', s, '/%zz', 400, head=False, **go)
    see('fields: on 400 by climbing', s, '/../x', 400, head=False, **go)
    see('fields: on 301', s, '/old', 301, location='/new', **go)
    see('fields: on 308', s, '/assets', 308, location='/assets/', **go)
    see('fields: on a preflight', s, '/assets/x', 204, b'', 'OPTIONS',
        PREFLIGHT, x_every='every', access_control_allow_origin=A, **all_)
    see('fields: in place of that of CORS', s, '/b.css', fields={
        **pw, 'Origin': A}, access_control_allow_origin='*', **all_)
    see('fields: on OPTIONS', s, '/b.css', 204, b'', 'OPTIONS', pw,
        allow='GET, HEAD, OPTIONS', x_xss_protection='1; mode=block', **all_)
    see('fields: on health', s, '/health', body=b'OK', **all_)
    see('fields: on metrics', s, '/metrics', fields=pw, kinds=('h1',),
        head=False, **all_)
    see('fields: of a variant', s, '/a.txt', body=b'zip', fields={
        **pw, 'Accept-Encoding': 'gzip'}, content_encoding='gzip',
        vary='origin, accept-encoding', **all_)
    see('fields: on what is hidden', s, '/assets/.x', 404, x_every='every',
        **go)
    for kind, tls in ('h1', False), ('tls', True):
        with dial(s, tls) as c:
            c.sendall(b'GET / HTTP/1.1\r\nbad field: x\r\n\r\n')
            r, _ = parse_responses(read_all(c)[0])
        check('fields: on a broken request, ' + kind, r and r[0].status == 400
              and r[0].get('x-all') == '1' and r[0].get('server') == 'sws', r)
    s.stop()
    # as many as there may be
    s = Site(root, toml=headers('**', {'X-%d' % i: 'v' * 160
                                       for i in range(23)}))
    see('fields: 23 of them', s, '/a.txt', x_0='v' * 160, x_22='v' * 160)
    see('fields: 23 of them and a redirection', s, '/d?' + 'q' * 2000, 308,
        location='/d/?' + 'q' * 2000, x_22='v' * 160)
    see('fields: 23 of them and parts', s, '/a.txt', 206, fields={
        'Range': 'bytes=0-1,5-6'}, x_22='v' * 160)
    s.stop()


# ---- virtual hosts -----------------------------------------------------------

def virtual():
    root, one, two = tree(), tmpdir('one'), tmpdir('two')
    for d, name in (one, 'one'), (two, 'two'):
        put(d + '/index.html', 'index of ' + name, OLD)
        put(d + '/a.txt', 'a of %s, and a bit more' % name, OLD)
        put('%s/only-%s.txt' % (d, name), 'only ' + name, OLD)
    crt, key = certificate('one.example')
    s = Site(root, toml=hosts(('one.example', one), tls_cert=crt, tls_key=key)
             + hosts(('TWO.example', two), ('127.0.0.1', two)))
    for host, body in (
            ('one.example', b'index of one'), ('one.example:80', b'index of one'),
            ('ONE.Example', b'index of one'), ('one.example.', b'index of one'),
            ('one.example.:8443', b'index of one'),
            ('two.example', b'index of two'), ('127.0.0.1:1', b'index of two'),
            ('three.example', b'<title>index</title>'),
            ('xone.example', b'<title>index</title>'),
            ('one.example.x', b'<title>index</title>'),
            ('one.exampl', b'<title>index</title>'),
            ('one.example..', b'<title>index</title>'),
            ('[::1]', b'<title>index</title>')):
        see('host: ' + host, s, '/', body=body, host=host)
    for host in 'localhost', 'two.example', 'one.example.evil':
        for path in ('/only-one.txt', '/../one/only-one.txt',
                     '/%2e%2e/' + os.path.basename(one) + '/only-one.txt',
                     one + '/only-one.txt', '//one.example/only-one.txt'):
            bad = path.startswith(('/..', '/%2e'))
            see('host: %s has not %s' % (host, path), s, path,
                400 if bad else 404, host=host, head=not bad)
    see('host: its own file', s, '/only-one.txt', body=b'only one',
        host='one.example')
    for kind in KINDS:
        got = [ask(kind, s, '/a.txt', host=h).body for h in
               ('one.example', 'two.example', 'localhost') * 34]
        equal('host: the same path on three of them in turn, ' + kind, got,
              [b'a of one, and a bit more', b'a of two, and a bit more',
               b'plain text of some length'] * 34)
        tags = {ask(kind, s, '/a.txt', host=h).get('etag') for h in
                ('one.example', 'two.example', 'localhost')}
        check('host: tags of their own, ' + kind, len(tags) == 3, tags)
    r = ask('h1', s, 'http://one.example:99/only-one.txt?q', host='localhost')
    equal('host: of an absolute target', (r.status, r.body), (200, b'only one'))
    r = ask('tls', s, 'https://two.example/', host='one.example')
    equal('host: of another absolute target', r.body, b'index of two')
    with connect('h2', s) as c:
        r = c.ask(b'/', b'GET', [(b'host', b'one.example')], b'one.example')
        equal('host: :authority and host', r.body, b'index of one')
        r = c.ask(b'/', b'GET', [(b'host', b'two.example')], b'one.example')
        equal('host: :authority and another host', r.status, 400)
    with open(crt) as f:
        theirs = ssl.PEM_cert_to_DER_cert(f.read())
    with open(Site.pair[0]) as f:
        ours = ssl.PEM_cert_to_DER_cert(f.read())
    for name, want in (('one.example', theirs), ('ONE.example', theirs),
                       ('two.example', ours), ('localhost', ours)):
        with dial(s, True, name=name) as c:
            check('host: the certificate of ' + name,
                  c.getpeercert(True) == want)
    s.stop()


# ---- security ----------------------------------------------------------------

SECURITY = dict(
    x_frame_options='DENY', x_content_type_options='nosniff',
    content_security_policy="frame-ancestors 'self'",
    referrer_policy='strict-origin-when-cross-origin')
HSTS = 'max-age=63072000; includeSubDomains; preload'


def security():
    root = tree()
    pw, f = basic('u', 'pw'), dict(SECURITY)
    more = dict(toml=general(
        basic_auth='u:' + hashed('pw'), cors_allow_origins=A, health=True,
        metrics=True, directory_listing=True) + rule(
            'redirects', source='/old', destination='/new', kind=301))
    rows = [('200', '/a.txt', 200, 'GET', {}), ('a listing', '/e/', 200, 'GET',
            {}), ('206', '/a.txt', 206, 'GET', {'Range': 'bytes=0-1'}),
            ('parts', '/a.txt', 206, 'GET', {'Range': 'bytes=0-1,4-5'}),
            ('204', '/a.txt', 204, 'OPTIONS', {}),
            ('a preflight', '/a.txt', 204, 'OPTIONS', PREFLIGHT),
            ('301', '/old', 301, 'GET', {}), ('308', '/d', 308, 'GET', {}),
            ('304', '/a.txt', 304, 'GET', {'If-None-Match': '*'}),
            ('400', '/%zz', 400, 'GET', {}),
            ('401', '/a.txt', 401, 'GET', {'Authorization': 'Basic x'}),
            ('403', '/a.txt', 403, 'GET', {'Origin': EVIL}),
            ('404', '/nope', 404, 'GET', {}), ('405', '/', 405, 'POST', {}),
            ('406', '/a.txt', 406, 'GET', {'Accept-Encoding': '*;q=0'}),
            ('412', '/a.txt', 412, 'GET', {'If-Match': '"x"'}),
            ('414', '/' + 'a' * 9000, 414, 'GET', {}),
            ('416', '/a.txt', 416, 'GET', {'Range': 'bytes=99-'}),
            ('417', '/', 417, 'GET', {'Expect': 'x'}),
            ('431', '/', 431, 'GET', [('X-%d' % i, 'x') for i in range(101)]),
            ('501', '/', 501, 'BREW', {}), ('health', '/health', 200, 'GET', {})]
    s = Site(root, **more)
    for name, path, status, method, fields in rows:
        h = pw if fields == {} else {**pw, **fields} if isinstance(
            fields, dict) and 'Authorization' not in fields else fields
        see('security: on ' + name, s, path, status, method=method, fields=h,
            head=status not in (400, 414, 417, 431), **f)
        for kind in 'h1', 'h2c', 'tls', 'h2':
            r = ask(kind, s, path, method, h)
            if r.get('strict-transport-security') != (
                    HSTS if kind in ('tls', 'h2') else None):
                check('security: HSTS over TLS, and only there: %s %s' %
                      (kind, name), False, r)
    check('security: HSTS over TLS, and only there', True)

    def raw(name, tls, data, status=400):
        with dial(s, tls) as c:
            c.sendall(data)
            r, _ = parse_responses(read_all(c)[0])
        check('security: on %s%s' % (name, ', TLS' if tls else ''), len(r) == 1
              and r[0].status == status and all(
                  r[0].get(k.replace('_', '-')) == v for k, v in f.items()) and
              r[0].get('strict-transport-security') == (HSTS if tls else None),
              r)
    for tls in False, True:
        raw('what is no request', tls, b'G\x01T / HTTP/1.1\r\n\r\n')
        raw('a request without Host', tls, b'GET / HTTP/1.1\r\n\r\n')
        raw('505', tls, b'GET / HTTP/3.0\r\nHost: a\r\n\r\n', 505)
    with socket.create_connection(('127.0.0.1', s.tls_port), 10) as c:
        c.sendall(b'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
        r, _ = parse_responses(read_all(c)[0])
    check('security: on HTTP where TLS is spoken', r and r[0].status == 400 and
          r[0].get('x-frame-options') == 'DENY' and
          r[0].get('strict-transport-security') is None, r)
    s.stop()
    s = Site(root, '--maintenance-mode')
    see('security: on 503', s, '/', 503, **f)
    s.stop()
    s = Site(root, '--no-security-headers')
    for kind in 'h1', 'tls', 'h2':
        r = ask(kind, s, '/nope')
        check('security: off, ' + kind, all(r.get(k.replace('_', '-')) is None
              for k in f) and r.get('strict-transport-security') is None, r)
    s.stop()
    with Server(root) as s:
        r = get(s, '/')
        check('security: off without a certificate',
              r.get('x-frame-options') is None, r)


# ---- Accept-Encoding ---------------------------------------------------------

def encodings():
    root, body = tree(), {None: b'plain text of some length'}
    for e, ext in ('br', 'br'), ('zstd', 'zst'), ('gzip', 'gz'):
        body[e] = e.encode() * 5
        put(root + '/a.txt.' + ext, body[e], OLD)
    put(root + '/bare.txt', body[None], OLD)
    put(root + '/d/index.html.gz', body['gzip'], OLD)
    put(root + '/one.txt', body[None], OLD)
    put(root + '/one.txt.br', body['br'], OLD)
    s = Site(root, '-z')
    no, gz, br, zst = None, 'gzip', 'br', 'zstd'
    # all variants, br only, none: which, or 406
    table = [([], no, no, no), ([''], no, no, no), (['gzip'], gz, no, no),
             (['GZip'], gz, no, no), (['x-gzip'], gz, no, no),
             (['br'], br, br, no), (['zstd, gzip'], zst, no, no),
             (['gzip, deflate, br, zstd'], br, br, no), (['*'], br, br, no),
             (['*;q=0'], 406, 406, 406), (['br;q=0, *'], zst, no, no),
             (['*;q=0, gzip'], gz, 406, 406), (['identity'], no, no, no),
             (['identity;q=0'], 406, 406, 406),
             (['identity;q=0, *'], br, br, 406),
             (['identity;q=0, gzip'], gz, 406, 406),
             (['identity, br;q=0.9'], no, no, no),
             (['br;q=0.5, gzip;q=0.9'], gz, br, no),
             (['br;q=0.001'], br, br, no), (['br;q=0.000'], no, no, no),
             (['gzip;Q=1.0'], gz, no, no), (['gzip', 'br'], br, br, no),
             (['br;q=0', 'gzip'], gz, no, no),
             (['gzip;q=2'], no, no, no), (['gzip;q'], no, no, no),
             (['"gzip"'], no, no, no), (['gzip q=1, br;;'], no, no, no),
             (['deflate, compress'], no, no, no), ([',,,br,,'], br, br, no),
             (['\xff\xfe, gzip'], gz, no, no)]
    for lines, *wants in table:
        fields = [('Accept-Encoding', v) for v in lines]
        for path, want in zip(('/a.txt', '/one.txt', '/bare.txt'), wants):
            ok = want != 406
            see('Accept-Encoding %s: %s of %s' % (ascii(lines),
                want or 'plain', path), s, path, 200 if ok else 406,
                body[want] if ok else None, fields=fields,
                content_encoding=want if ok else None,
                content_length=str(len(body[want])) if ok else None.__ne__,
                content_type='text/plain; charset=utf-8' if ok else
                'text/html; charset=utf-8', vary='accept-encoding'
                if path != '/bare.txt' or not ok else None)
    every = {'Accept-Encoding': 'gzip, br, zstd'}
    see('Vary: a listing cannot vary by encoding', s, '/e/', fields=every,
        vary='accept', content_encoding=None)
    see('Vary: nor a page for 404', s, '/nope', 404, fields=every, vary=None)
    see('Vary: nor a redirection', s, '/d', 308, fields=every, vary=None)
    see('Vary: an index file may', s, '/d/', fields=every, body=body[gz],
        content_encoding='gzip', vary='accept-encoding')
    tags = {e: ask('h1', s, '/a.txt', fields={'Accept-Encoding': e or ''}).get(
        'etag') for e in body}
    check('variants have tags of their own', len(set(tags.values())) == 4, tags)
    for e in br, zst, gz:
        ae, n = {'Accept-Encoding': e}, len(body[e])
        same = dict(etag=tags[e], vary='accept-encoding')
        see('%s: 304' % e, s, '/a.txt', 304, fields={
            **ae, 'If-None-Match': tags[e]}, content_encoding=None, **same)
        see('%s: the tag of another' % e, s, '/a.txt', 200, body[e], fields={
            **ae, 'If-None-Match': tags[None]}, **same)
        see('%s: a range' % e, s, '/a.txt', 206, body[e][1:4], fields={
            **ae, 'Range': 'bytes=1-3'}, content_encoding=e,
            content_range='bytes 1-3/%d' % n, content_length='3', **same)
        see('%s: parts' % e, s, '/a.txt', 206, fields={
            **ae, 'Range': 'bytes=0-1,5-6'}, body=lambda b: body[e][5:7] in b
            and b.count(b'content-encoding: ' + e.encode()) == 2,
            content_type=re.compile('multipart/byteranges'), **same)
        see('%s: If-Range of another' % e, s, '/a.txt', 200, body[e], fields={
            **ae, 'Range': 'bytes=1-3', 'If-Range': tags[None]}, **same)
        see('%s: beyond its end' % e, s, '/a.txt', 416, fields={
            **ae, 'Range': 'bytes=%d-' % n}, content_range='bytes */%d' % n)
        see('%s: 412' % e, s, '/a.txt', 412, fields={**ae,
            'If-Match': tags[None]})
        see('%s: OPTIONS' % e, s, '/a.txt', 204, b'', 'OPTIONS', ae,
            content_encoding=None)
    s.stop()


# ---- Markdown ----------------------------------------------------------------

def markdown():
    root = tree(**{'page.html.md': '# page.html.md', 'x.html': 'x',
                   'x.md': '# x', 'e/index.html.md': '# e',
                   'index.html.md': '# index', 'both.html': 'both',
                   'both.md': '# both.md', 'both.html.md': '# both.html.md',
                   'd/index.html.md': '# d', 'only.md': '# only'})
    put(root + '/.hid.md', 'hidden', OLD)
    os.symlink('x.md', root + '/page.md')
    put(root + '/x.md.gz', 'zip', OLD)
    s = Site(root, '--accept-markdown', '-z', '--health')
    md = {'Accept': 'text/markdown'}
    kind = dict(content_type='text/markdown; charset=utf-8')
    html = dict(content_type='text/html; charset=utf-8')
    for path, want in (('/x', b'# x'), ('/page.html', b'# page.html.md'),
                       ('/both', b'# both.md'), ('/both.html', b'# both.html.md'),
                       ('/', b'# index'), ('/d/', b'# d'), ('/e/', b'# e'),
                       ('/d', b'# d'), ('/only', b'# only'),
                       ('/only.md', b'# only')):
        see('Markdown: %s' % path, s, path, body=want, fields=md, **kind,
            vary=lambda v: v.startswith('accept'))
    see('Markdown: not by a link', s, '/page', body=b'# page.html.md',
        fields=md, **kind)
    see('Markdown: none there', s, '/a.txt', body=lambda b: b'plain' in b,
        fields=md, content_type='text/plain; charset=utf-8', vary='accept')
    see('Markdown: of a hidden name', s, '/.hid', 404, fields=md)
    see('Markdown: a variant of it', s, '/x', body=b'zip', fields={
        **md, 'Accept-Encoding': 'gzip'}, content_encoding='gzip',
        vary='accept-encoding, accept', **kind)
    see('Markdown: a range of it', s, '/x.html', 200, b'x', vary='accept')
    tag = ask('h1', s, '/x', fields=md).get('etag')
    see('Markdown: its 304', s, '/x', 304, fields={**md, 'If-None-Match': tag},
        etag=tag)
    see('Markdown: OPTIONS', s, '/x', 204, method='OPTIONS', fields=md)
    for v, good in (
            ('text/markdown', 1), ('TEXT/Markdown', 1), ('text/markdown;q=0.1', 1),
            ('text/markdown ; q=0.001', 1), ('text/html, text/markdown;q=0.9', 1),
            ('text/markdown;variant=GFM', 1), ('*/*, text/markdown', 1),
            ('text/markdown;variant=GFM;q=0', 0), ('text/html,\ttext/markdown', 1),
            ('text/markdown;q=0', 0), ('text/markdown; q=0.000', 0),
            ('text/markdown;Q=0', 0), ('text/markdown;q=x', 0), ('*/*', 0),
            ('text/*', 0), ('text/markdownx', 0), ('xtext/markdown', 0),
            ('text/html', 0), ('', 0), ('markdown', 0), ('text/markdown/x', 0),
            (',,;q=1,', 0), ('text/markdown' * 500, 0)):
        see('Markdown: Accept %s' % ascii(v[:40]), s, '/x',
            body=b'# x' if good else b'x', fields={'Accept': v},
            **(kind if good else html))
    see('Markdown: two Accept fields', s, '/x', body=b'# x', fields=[
        ('Accept', 'text/html'), ('Accept', 'text/markdown')], **kind)
    see('Markdown: no Accept', s, '/x', body=b'x', vary='accept', **html)
    see('Markdown: Vary on 404', s, '/nope', 404, vary='accept')
    see('Markdown: one Vary of a listing', s, '/e/', vary='accept')
    see('Markdown: no Vary on health', s, '/health', vary=None)
    s.stop()
    s = Site(root)
    see('Markdown: off', s, '/x', body=b'x', fields=md, vary=None, **html)
    s.stop()


# ---- what is never served ----------------------------------------------------

def secrets():
    word = 'top-secret-word'
    for links in False, True:
        root = tree(**{'s/index.html': 'x', 'x.txt': 'plain', 'x.html': 'h'})
        crt, key = certificate('localhost')
        ours = put(root + '/key.pem', open(key).read(), OLD)
        conf = root + '/sws.toml'
        text = '# %s\n' % word + general(
            directory_listing=True, include_hidden=True, follow_symlinks=links,
            accept_markdown=True, basic_auth=[], page404='sws.toml')
        s = Site(root, toml=text.replace('basic-auth = []\n', ''), conf=conf,
                 pair=(crt, ours))
        with open(key) as f:
            lines = f.read().split('\n')
        told = [word.encode(), lines[1].encode()]

        def hidden(name):
            for n, of in ('conf', conf), ('key', ours):
                for ln in ('hard-%s.txt' % n, 'x.txt.gz' if n == 'conf' else
                           'x.txt.br', '404.html.md', 's/index.html.md',
                           '%s.html' % n, '.well-known/%s' % n):
                    p = os.path.join(root, ln)
                    os.makedirs(os.path.dirname(p), exist_ok=True)
                    if os.path.lexists(p):
                        os.unlink(p)
                    os.link(of, p)
                for ln in 'sym-%s.txt' % n, 's/sym-' + n:
                    p = os.path.join(root, ln)
                    if not os.path.lexists(p):
                        os.symlink(os.path.relpath(of, os.path.dirname(p)), p)
            for n, of in ('conf', '/sws.toml'), ('key', '/key.pem'):
                for path in (of, of + '/', '/./s/..' + of, '/hard-%s.txt' % n,
                             '/sym-%s.txt' % n, '/s/sym-' + n, '/' + n,
                             '/%s.html' % n, '/.well-known/' + n,
                             of.replace('e', '%65')):
                    see('%s: %s' % (name, path), s, path, 403 if 'sym' in path
                        and not links else 404, lambda b: not any(
                            t in b for t in told))
            got = [ask(k, s, p, fields=f) for k in KINDS for p in (
                '/x.txt', '/', '/s/', '/404.html', '/nope', '/.well-known/')
                for f in ({'Accept-Encoding': 'gzip, br', 'Accept':
                           'text/markdown'}, {'Range': 'bytes=0-50'},
                          {'Accept': 'application/json'})]
            check('%s: as a variant, Markdown, a page' % name, not any(
                t in r.body for r in got for t in told), got)
            listed = [ask(k, s, p + '?sort=2', fields=f).body
                      for k in KINDS for p in ('/e/', '/.well-known/')
                      for f in ({}, {'Accept': 'application/json'})]
            check(name + ': in a listing', not any(
                w in b for b in listed for w in
                (b'conf', b'key', b'sws.toml', b'sym')), listed)
        os.link(conf, root + '/e/conf')
        os.link(ours, root + '/e/key')
        os.symlink('../sws.toml', root + '/e/sym')
        tag = ', links are followed' if links else ''
        hidden('never served' + tag)
        for f in conf, ours:        # as an editor does, and certbot
            with open(f) as old:
                put(f + '~', old.read())
            os.rename(f + '~', f)
        for n, f in ('conf', conf), ('key', ours):
            os.unlink(root + '/e/' + n)
            os.link(f, root + '/e/' + n)
        hidden('never served, replaced' + tag)
        s.reload()
        hidden('never served, replaced and read again' + tag)
        s.stop()
    # one that comes later, where a reload would look for it
    d = tmpdir('cwd')
    put(d + '/x.txt', 'x')
    s = Server('.', wrap=('env', '-C', d))
    put(d + '/sws.toml', '# ' + word)
    r = get(s, '/sws.toml')
    check('never served: a sws.toml that was not there', r.status == 404, r)
    s.stop()


# ---- the log -----------------------------------------------------------------

def logged():
    root = tree()
    asked = [('/', 'GET', 200), ('/a.txt?x="y"&z=%22', 'GET', 200),
             ('/nope', 'HEAD', 404), ('/d', 'GET', 308), ('/', 'OPTIONS', 204),
             ('/', 'POST', 405), ('/%zz', 'GET', 400), ('/\xe9"\'', 'GET', 404),
             ('/a.txt', 'BREW', 501), ('/e/', 'GET', 200)]
    fields = {'User-Agent': 'te"st\\ \xe9 \t x', 'Referer': 'http://a/"<&'}
    logs = {}
    for form in 'json', 'combined':
        path = os.path.join(tmpdir('logs'), form)
        s = Site(root, '-z', '--log-file', path, '--log-format', form)
        want = []
        for kind in KINDS + ('h2c',):
            for target, method, status in asked:
                r = ask(kind, s, target, method, fields)
                want.append((method, as_bytes(target).decode('latin-1'),
                             r.status, len(r.body), kind))
                if r.status != status:
                    check('log: %s %s' % (method, target), False, r)
        s.stop()
        with open(path, 'rb') as f:
            logs[form] = f.read(), want, path
    data, want, path = logs['json']
    p = subprocess.run(['jq', '-c', '[.method, .target, .status, .bytes, '
                        '.protocol, .tls, .host, .user_agent, .remote]', path],
                       capture_output=True)
    got = [json.loads(l) for l in p.stdout.split(b'\n') if l]
    equal('log: jq reads a line for each answer', (p.returncode, len(got)),
          (0, len(want)))
    equal('log: JSON says what was asked and answered', got, [
        [m, t, st, n, 'HTTP/1.1' if k in ('h1', 'tls') else 'HTTP/2',
         k in ('tls', 'h2'), 'localhost', fields['User-Agent'], '127.0.0.1']
        for m, t, st, n, k in want])
    data, want, path = logged_lines(logs)
    report = os.path.join(tmpdir('goaccess'), 'r.json')
    p = subprocess.run(
        ['goaccess', path, '--no-global-config', '--http-protocol=yes',
         '--log-format=%h %^[%d:%t %^] "%r" %s %b "%R" "%u" %T',
         '--date-format=%d/%b/%Y', '--time-format=%T', '-o', report],
        capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if not check('log: goaccess runs', p.returncode == 0, p.stderr[-400:]):
        return
    with open(report, errors='replace') as f:
        r = json.load(f, strict=False)
    g = r['general']
    # methods that it does not know are its own to refuse
    equal('log: goaccess takes each line', (
        g['total_requests'], g['valid_requests'], g['failed_requests']),
        (len(want), len(want), 0))
    seen = {i['data'][:3]: i['hits']['count']
            for c in r['status_codes']['data'] for i in c['items']}
    status = [str(w[2]) for w in want]
    equal('log: goaccess sees the same statuses', seen,
          {x: status.count(x) for x in set(status)})


def logged_lines(logs):
    data, want, path = logs['combined']
    equal('log: a combined line for each answer', data.count(b'\n'), len(want))
    return data, want, path


if __name__ == '__main__':
    run([globals()[n] for n in sys.argv[1:]] or
        [order, cors, passwords, logins, counted, pages, redirects, fields,
         virtual, security, encodings, markdown, secrets, logged])
