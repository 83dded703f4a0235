"""HTTP/1.1 on the wire: what bytes go in, and what may come out.

The table below is sent three times: whole; in two writes, cut at every
offset; byte by byte.  All connections of a round are open at the same time,
and the client reads nothing before it has sent everything, so a server that
closes with unread bytes is seen to reset.

Inputs of more than LONG bytes are cut at a sample of offsets only (both ends,
the ends of lines near them, both sides of each limit, some in between), and
"byte by byte" sends single bytes at those places and pieces between them.
Inputs that are larger than what a server discards after its last answer
(64 KiB) are marked `big`: there the client reads while it sends, and a reset
behind a complete answer is no failure.
"""
import selectors, struct
from lib import *

LONG = 700
LIMITS = (64, 8192, 16384, 32768, 65536)
BATCH = 220
HEAD_SECS = max(3, round(3 * SLOW))     # --header-timeout
ALLOW = 'GET, HEAD, OPTIONS'

INDEX = b'<!doctype html><title>top</title>' + b'0123456789' * 250
OK = b'sub is ok\n'
UMLAUT = b'with an umlaut\n'
OUTSIDE = b'bytes-that-never-leave-51f0c9'
HIDDEN = b'bytes-that-stay-hidden-77ab3e'
DRAIN = b'GET /sub/ok.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'


def fixture():
    top = tmpdir('h1')
    root = os.path.join(top, 'root')
    put(os.path.join(top, 'CANARY'), OUTSIDE)
    put(os.path.join(root, 'index.html'), INDEX)
    put(os.path.join(root, 'dir/index.html'), b'<title>dir</title>')
    put(os.path.join(root, 'sub/ok.txt'), OK)
    put(os.path.join(root, 'a b.txt'), b'a space\n')
    put(os.path.join(root, '\u00fc.txt').encode(), UMLAUT)
    put(os.path.join(root, '.secret'), HIDDEN)
    put(os.path.join(root, '.git/config'), HIDDEN)
    put(os.path.join(root, 'dir/.x'), HIDDEN)
    # a folder whose name is a host: a redirect to it must stay on ours
    put(os.path.join(root, 'evil.example/dir/index.html'), b'not evil')
    for i in range(50):
        put(os.path.join(root, 'p/%d.txt' % i), page(i))
    put(os.path.join(root, 'large.bin'), LARGE)
    return root


def page(i):
    return b'page %02d\n' % i * 512


LARGE = bytes(range(256)) * 4096


# ---- the table --------------------------------------------------------------

KEPT, CLOSED, AGREE = 'kept', 'closed', 'as its fields say'


class Case:
    """One input and what it may lead to.

    want: for each answer the set of statuses allowed.  end: what becomes of
    the connection; AGREE = either, but as the fields of the last answer say.
    silent: no answer at all and a close is good too.  limit: seconds from the
    last byte sent to the end of the connection.  look: more to ask of an
    answer, a function that returns a complaint or None."""

    def __init__(self, name, data, want, end, silent=False, limit=5 * SLOW,
                 fin=False, look=None, body=None, soon=None, methods=('GET',),
                 old=False, big=False, server='main'):
        self.name, self.data, self.end, self.silent = name, data, end, silent
        self.want = [{w} if isinstance(w, int) else set(w) for w in want]
        self.limit, self.fin, self.look, self.body = limit, fin, look, body
        self.soon, self.methods, self.old = soon, methods, old
        self.big, self.server = big, server
        self.seen = set()       # statuses, in whatever delivery
        self.done = 0           # deliveries that were checked


def table():
    cases = []

    def add(row, label, data, want, end=AGREE, **kw):
        if isinstance(data, str):
            data = data.encode('latin-1')
        want = [want] if isinstance(want, (int, set)) else want
        cases.append(Case(('row %s %s' % (row, label)).strip(), data, want,
                          end, **kw))

    H = 'Host: a\r\n'
    TOP = 'GET / HTTP/1.1\r\n'
    SECOND = 'GET /2 HTTP/1.1\r\nHost: a\r\n\r\n'

    def line(row, label, first, want, end=AGREE, **kw):
        """Only the request line is special."""
        add(row, label or first, first + '\r\n' + H + '\r\n', want, end, **kw)

    def target(row, t, want, end=AGREE, label=None, **kw):
        line(row, label or t, 'GET ' + t + ' HTTP/1.1', want, end, **kw)

    def field(row, f, want, end, label=None, after='', method='GET', **kw):
        """Only field lines are special."""
        add(row, label or f.encode('unicode_escape').decode(),
            method + ' / HTTP/1.1\r\n' + H + f + '\r\n\r\n' + after, want, end,
            **kw)

    def host(row, h, want, end, **kw):
        add(row, ('Host: ' + h).encode('unicode_escape').decode(),
            TOP + 'Host: ' + h + '\r\n\r\n', want, end, **kw)

    def no_echo(r):
        if b'zebra' in r.head.lower() + r.body.lower():
            return 'the request came back'

    def at_home(r):
        loc = r.get('location')
        if loc is not None and not re.match(r'/($|[^/\\])', loc):
            return 'Location: ' + loc

    def location(want):
        def look(r):
            if r.get('location') != want:
                return 'Location: %r, want %r' % (r.get('location'), want)
        return look

    def content_range(want, body):
        def look(r):
            if r.get('content-range') != want or body is not None and \
                    r.body != body:
                return 'Content-Range: %r, %d bytes; want %r' % (
                    r.get('content-range'), len(r.body), want)
        return look

    # the request line and Host
    add(1, 'GET', TOP + H + '\r\n', 200, KEPT, body=INDEX)
    add(2, 'no Host', TOP + '\r\n', 400, CLOSED)
    add(3, 'two Hosts', TOP + H + 'Host: b\r\n\r\n', 400, CLOSED)
    add(4, 'the same Host twice', TOP + H + H + '\r\n', 400, CLOSED)
    add(5, 'empty Host', TOP + 'Host:\r\n\r\n', 400, CLOSED)
    for h in ('a b', 'a/b', 'u@a', '[::1', 'a:x'):
        host(6, h, 400, CLOSED)
    for h in ('[::1]:80', 'a.b.c.:8080'):
        host(7, h, 200, KEPT, body=INDEX)
    host(8, 'a\0.b', 400, CLOSED)
    add(9, 'HTTP/1.0', 'GET / HTTP/1.0\r\n\r\n', 200, CLOSED, old=True,
        body=INDEX)
    add(10, 'HTTP/1.0 keep-alive',
        'GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n', 200, AGREE,
        old=True, body=INDEX)
    add(11, 'HTTP/1.0 chunked', 'GET / HTTP/1.0\r\nTransfer-Encoding: chunked'
        '\r\n\r\n0\r\n\r\nGET /2 HTTP/1.0\r\n\r\n', 400, CLOSED)
    line(12, 'HTTP/1.2', 'GET / HTTP/1.2', 200, KEPT, body=INDEX)
    for v in ('HTTP/2.0', 'HTTP/0.9', 'HTTP/9.9'):
        line(13, v, 'GET / ' + v, 505, CLOSED)
    for v in ('HTTP/1.10', 'HTTP/01.1', 'HTTP/1.', 'HTTP/1.1x', 'HTTP/\r1.1'):
        line(14, v.replace('\r', '\\r'), 'GET / ' + v, 400, CLOSED)
    line(14, 'HTTP/4294967297.1', 'GET / HTTP/4294967297.1', {400, 505},
         CLOSED)
    for v in ('http/1.1', 'FROG/1.1'):
        line(15, v, 'GET / ' + v, 400, CLOSED)
    add(16, 'HTTP/0.9 without a version', 'GET /\r\n', 400, CLOSED)
    add(17, 'HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', {400, 505},
        CLOSED, server='http1')
    for m in ('FOO', 'get'):
        line(18, m, m + ' / HTTP/1.1', 501, KEPT)
    add(19, 'POST', 'POST / HTTP/1.1\r\n' + H + 'Content-Length: 4\r\n\r\nabcd',
        405, CLOSED)
    line(20, 'DELETE', 'DELETE / HTTP/1.1', 405)
    line(20, 'TRACE', 'TRACE / HTTP/1.1', 405)
    add(20, 'TRACE echo', 'TRACE /zebra HTTP/1.1\r\n' + H + 'X: zebra\r\n\r\n',
        405, look=no_echo)
    for t in '*/':
        line(21, 'OPTIONS ' + t, 'OPTIONS %s HTTP/1.1' % t, 204, KEPT)
    target(22, '*', 400, CLOSED)
    target(23, 'a:80', 400, CLOSED)
    line(24, 'CONNECT', 'CONNECT a:80 HTTP/1.1\r\n' + H + '\r\n' + TOP[:-2],
         405, CLOSED)
    line(25, '2,000 A', 'A' * 2000 + ' / HTTP/1.1', 501, CLOSED)
    for m in ('GE(T', 'G\0T', ' GET'):
        line(26, m.replace('\0', '\\0'), m + ' / HTTP/1.1', 400, CLOSED)
    line(27, 'two spaces', 'GET  / HTTP/1.1', 400, CLOSED)
    line(27, 'a tab', 'GET\t/ HTTP/1.1', 400, CLOSED)
    line(27, 'a space at the end', 'GET / HTTP/1.1 ', 400, CLOSED)
    line(28, 'LF before the version', 'GET /\nHTTP/1.1', 400, CLOSED)

    # line ends
    add(29, 'empty line first', '\r\n' + TOP + H + '\r\n', 200, KEPT,
        body=INDEX)
    add(30, '5,000 empty lines', '\r\n' * 5000, {400, 408, 431}, CLOSED,
        silent=True, limit=HEAD_SECS + 2 * SLOW)
    add(31, 'LF first', '\n' + TOP + H + '\r\n', 400, CLOSED)
    add(32, 'LF only', 'GET / HTTP/1.1\nHost: a\n\n', 400, CLOSED)
    add(33, 'CR only', 'GET / HTTP/1.1\rHost: a\r\r', {400, 408}, CLOSED,
        silent=True, limit=HEAD_SECS + 1.5 * SLOW)
    add(34, 'CR in a value', TOP + H + 'X: b\rSmuggled: c\r\n\r\n', 400, CLOSED)
    add(35, 'CR before a name', TOP + H + '\rZGET /evil: HTTP/1.1\r\n' + H +
        '\r\n', 400, CLOSED)
    field(36, 'X: a\0b', 400, CLOSED)
    for f in ('X: \x01', 'X: \x7f'):
        field(37, f, 400, CLOSED)
    for f in ('User-Agent: \xff\xfe', 'X: a\tb'):
        field(38, f, 200, KEPT, body=INDEX)
    add(39, 'Host : a', TOP + 'Host : a\r\n\r\n', 400, CLOSED)
    field(39, 'Content-Length : 5', 400, CLOSED, after='hello')
    for f in ('X: a\r\n folded', 'X: a\r\n\tfolded'):
        field(40, f, 400, CLOSED)
    add(41, 'space before the first field', TOP + ' ' + H + '\r\n', 400, CLOSED)
    for f in ('NoColon', 'Content-Length 10'):
        field(42, f, 400, CLOSED)
    for f in (': v', ':'):
        field(43, f, 400, CLOSED)
    for f in ('X(y): v', '\xefoo: v', 'Content-Length\x85: 10', 'X\0: v'):
        field(44, f, 400, CLOSED)
    field(45, 'Transfer-\r\nEncoding: chunked\r\nContent-Length: 5', 400,
          CLOSED, after='0\r\n\r\n')

    # how long the content is
    field(46, 'Content-Length: 0', 200, KEPT, body=INDEX)
    field(47, 'Content-Length: 5', 200, CLOSED, after='hello' + SECOND,
          body=INDEX)
    field(48, 'Content-Length:', 400, CLOSED)
    field(48, 'Content-Length:\r\nContent-Length: 43', 400, CLOSED)
    for v in ('+5', '-1', '-48', '0x5', '1_0', '5z', '5 5', '\x0b5'):
        field(49, 'Content-Length: ' + v, 400, CLOSED, after='hello' + SECOND)
    field(50, 'Content-Length: 99999999999999999999', {400, 413}, CLOSED)
    field(51, 'Content-Length: 5, 6', 400, CLOSED, after='hello' + SECOND)
    for a, b in ('10', '01'):
        field(51, 'Content-Length: %s\r\nContent-Length: %s' % (a, b), 400,
              CLOSED, after='h' + SECOND)
    field(52, 'Content-Length: 5, 5', 400, CLOSED, after='hello' + SECOND)
    field(52, 'Content-Length: 5\r\nContent-Length: 5', 400, CLOSED,
          after='hello' + SECOND)
    field(53, 'Content-Length: 010', 200, CLOSED, after='0123456789' + SECOND,
          body=INDEX)
    for f in ('Content-Length: 5\r\nTransfer-Encoding: chunked',
              'Transfer-Encoding: chunked\r\nContent-Length: 5'):
        field(54, f, 400, CLOSED, after='0\r\n\r\n' + SECOND)
    field(55, 'Transfer-Encoding: chunked', {200, 400}, CLOSED,
          after='0\r\n\r\n' + SECOND)
    for v in ('identity', 'xchunked', 'blegh'):
        field(56, 'Transfer-Encoding: ' + v, {400, 501}, CLOSED, after=SECOND)
    for v in ('chunked, gzip', 'chunked, chunked',
              'chunked\r\nTransfer-Encoding: chunked'):
        field(57, 'Transfer-Encoding: ' + v, 400, CLOSED,
              after='0\r\n\r\n' + SECOND)
    field(58, 'Transfer-Encoding: gzip, chunked', 501, CLOSED,
          after='0\r\n\r\n' + SECOND)
    for v in (',chunked', 'chunked,', '"chunked"', '\x0bchunked',
              '\xa0chunked'):
        field(59, 'Transfer-Encoding: ' + v, {400, 501}, CLOSED,
              after='0\r\n\r\n' + SECOND)
    for v in ('0_2e', '0x1', '+1', '-0x0', '', ' ' * 11 + '0',
              'F' * 17):
        field(60, 'Transfer-Encoding: chunked', 405, CLOSED, method='POST',
              label='chunk size %r' % v, after=v + '\r\nx\r\n0\r\n\r\n' +
              SECOND)
    for label, v, big in (
            ('CR CR in a chunk', '5\r\r;ABCD\r\nhello\r\n0\r\n\r\n', False),
            ('LF in the last chunk', '0\n\r\n', False),
            ('a trailer field', '0\r\nX:POST / HTTP/1.1\r\n' + H + '\r\n',
             False),
            ('1 MiB of chunk extension', '5;' + 'x' * (1 << 20) +
             '\r\nhello\r\n0\r\n\r\n', True)):
        field(61, 'Transfer-Encoding: chunked', 405, CLOSED, method='POST',
              label=label, after=v + SECOND, big=big)

    # more than one request, and expectations
    add(62, 'two GETs', (TOP + H + '\r\n') * 2, [{200}, {200}], KEPT,
        body=INDEX)
    add(63, 'close, then no request', TOP + H + 'Connection: close\r\n\r\n'
        'Invalid\r\n\r\n', 200, CLOSED, body=INDEX)
    add(64, 'garbage second', TOP + H + '\r\nGARBAGE\r\n\r\n', [{200}, {400}],
        CLOSED)
    for m, want in (('GET', 200), ('POST', 405)):
        field(65, 'Expect: 100-continue\r\nContent-Length: 10', want, CLOSED,
              method=m, label=m + ' that withholds its content', soon=1)
    field(66, 'Expect: foo', {417, 200}, AGREE)
    field(67, 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n'
          'HTTP2-Settings: AAMAAABkAAQAAP__', 200, KEPT, label='Upgrade: h2c',
          body=INDEX)

    # targets
    add(68, 'absolute form, other Host', 'GET http://a/ HTTP/1.1\r\nHost: b'
        '\r\n\r\n', 200, KEPT, body=INDEX)
    target(69, 'http://a', 200, KEPT, body=INDEX)
    add(70, 'absolute form, no Host', 'GET http://a/ HTTP/1.1\r\n\r\n', 400,
        CLOSED)
    for t in ('http:///x', 'http://u:p@a/', 'ftp://a/'):
        target(71, t, 400, CLOSED)
    target(72, 'https://a/', 200, KEPT, body=INDEX)
    target(73, 'index.html', 400, CLOSED)
    line(73, '', 'GET HTTP/1.1', 400, CLOSED)
    target(73, '!', 400, CLOSED)
    for t in ('/a b', '/a#b', '/a\\b', '/\0/'):
        target(74, t, 400, CLOSED, label=t.replace('\0', '\\0'))
    target('74b', '/\xc3\xbc.txt', 200, KEPT, label='raw UTF-8', body=UMLAUT)
    target('74b', '/\xff\xfe.txt', 404, KEPT, label='raw other bytes')
    for t in ('/%', '/%4', '/%zz', '/%2', '/index.html%2'):
        target(75, t, 400, CLOSED)
    for t in ('/%00', '/index.html%00', '/index.html%00.txt'):
        target(76, t, 400)
    for t in ('/../CANARY', '/dir/../../CANARY', '/./../CANARY', '/..'):
        target(77, t, 400)
    target(78, '/%2e%2e/CANARY', 400)
    target(78, '/%2e%2e%2fCANARY', 404, KEPT)
    target(78, '/..%2fCANARY', 404, KEPT)
    target(78, '/.%2e/CANARY', 400)
    for t in ('/..;/CANARY', '/..%5cCANARY', '/..%255cCANARY',
              '/%252e%252e/CANARY'):
        target(79, t, 404, KEPT)
    target(80, '/%c0%ae%c0%ae/CANARY', 404, KEPT)
    target(80, '/%e0%80%ae%e0%80%ae/CANARY', 404, KEPT)
    target(80, '/%uff0e%uff0e/', 400)
    for t in ('/dir/../index.html', '/./index.html'):
        target(81, t, 200, KEPT, body=INDEX)
    for t in ('//index.html', '/dir//index.html'):
        target(82, t, {200, 404}, KEPT)
    target(83, '/sub%2fok.txt', 404, KEPT)
    for t in ('//evil.example/..', '//evil.example/dir', '//evil.example',
              '//dir', '/.//evil.example', '/dir/..//evil.example',
              '//evil.example/%2e%2e', '/%5cevil.example'):
        target(84, t, {200, 308, 400, 404}, look=at_home)
    target(85, '/dir', 308, KEPT, look=location('/dir/'))
    target(85, '/dir?x=1&y=%2f//', 308, KEPT,
           look=location('/dir/?x=1&y=%2f//'))
    target(86, '/dir%0d%0aX-Inj:%20y', 404, KEPT)
    target(87, '/index.html/', 404, KEPT)
    target(87, '/index.html/..', {200, 404}, KEPT)
    for t in ('/.secret', '/.git/config', '/dir/.x'):
        target(88, t, 404, KEPT)

    # limits
    for n in (256, 5000):
        target(89, '/' + 'n' * n, 404, KEPT, label='name of %d bytes' % n)
    around = len('GET  HTTP/1.1')
    for n in (7990, 8190):
        target(90, '/' + 'n' * (n - around - 1), 404, KEPT,
               label='request line of %d bytes' % n)
        target(90, '/?' + 'q' * (n - around - 2), 200, KEPT,
               label='request line of %d bytes, query' % n, body=INDEX)
    for n in (8191, 65536):
        target(91, '/' + 'n' * (n - around - 1), 414, CLOSED,
               label='request line of %d bytes' % n)
    for n, want, end in ((16384, 200, KEPT), (16385, 431, CLOSED)):
        fill = n - len(TOP + H + 'X: \r\n\r\n')
        field(92, 'X: ' + 'x' * fill, want, end, label='head of %d bytes' % n)
    field(92, 'X: ' + 'x' * 65536, 431, CLOSED, label='field of 64 KiB')
    for n, want, end in ((99, 200, KEPT), (100, 431, CLOSED),
                         (999, 431, CLOSED)):
        field(92, '\r\n'.join(['X: y'] * n), want, end,
              label='%d fields' % (n + 1))
    target(93, '/?%00%zz../..', 200, KEPT, body=INDEX)

    # ranges
    size = len(INDEX)
    field(94, 'Range: bytes=0-0', 206, KEPT,
          look=content_range('bytes 0-0/%d' % size, INDEX[:1]))
    field(94, 'Range: bytes=-1', 206, KEPT, look=content_range(
        'bytes %d-%d/%d' % (size - 1, size - 1, size), INDEX[-1:]))
    field(94, 'Range: bytes=5-2', {200, 416}, KEPT)
    field(94, 'Range: bytes=99999999999999999999-', 416, KEPT,
          look=content_range('bytes */%d' % size, None))
    field(94, 'Range: bytes=' + ','.join('%d-%d' % (i, i) for i in
                                         range(0, 2000, 2)), {200, 416}, KEPT,
          label='1,000 ranges')

    # no request at all
    add(95, 'nothing, then FIN', '', [], CLOSED, silent=True, fin=True)
    add(95, 'empty line, then FIN', '\r\n', [], CLOSED, silent=True, fin=True)
    add(96, 'TLS ClientHello', client_hello(), 400, CLOSED, silent=True)
    add(96, 'begin of a TLS ClientHello', '\x16\x03\x01', 400, CLOSED,
        silent=True)
    add(97, 'half a request line', 'GET /ind', 408, CLOSED, silent=True,
        limit=HEAD_SECS + 1.5 * SLOW)
    add(98, 'NUL behind a name', TOP + 'a:b\r\nc\0\r\n\r\n', 400, CLOSED)
    field(98, 'User: \x85admin\xa0', 200, KEPT, body=INDEX)
    return cases


def client_hello():
    out = ssl.MemoryBIO()
    c = ssl.create_default_context()
    try:
        c.wrap_bio(ssl.MemoryBIO(), out, server_hostname='localhost') \
            .do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


# ---- sending it -------------------------------------------------------------

def places(data):
    """Offsets worth a cut."""
    n = len(data)
    if n <= LONG:
        return list(range(1, n))
    at = set(range(1, 20)) | set(range(n - 8, n))
    for i in LIMITS:
        at |= set(range(i - 3, i + 4))
    for i in re.finditer(rb'\r\n', data[:80] + b' ' * (n - 160) +
                         data[-80:]):
        at |= set(range(i.start(), i.start() + 3))
    at |= {n * i // 12 for i in range(12)}
    return sorted(i for i in at if 0 < i < n)


def cuts(data, at):
    at = [0] + list(at) + [len(data)]
    return [data[a:b] for a, b in zip(at, at[1:])]


class Conn:
    def __init__(self, case, pieces, offset=None):
        self.case, self.pieces, self.offset = case, pieces, offset
        self.sock, self.pend, self.got, self.how = None, b'', b'', None
        self.more, self.broken, self.first = False, None, None

    def push(self):
        while self.pend and not self.broken:
            try:
                self.pend = self.pend[self.sock.send(self.pend):]
            except BlockingIOError:
                return
            except OSError as e:
                self.broken = e
        self.pend = b''

    def pull(self):
        """Read what is there; decide what comes next."""
        try:
            part = self.sock.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError as e:
            self.how = 'reset (%s)' % e.strerror
            return
        if not part:
            self.how = 'eof'
            return
        if self.first is None:
            self.first = time.monotonic()
        self.got += part
        if self.more:
            return
        rs, _ = parse_responses(self.got, self.case.methods)
        for r, want in zip(rs, self.case.want):
            if r.status not in want:
                self.how = 'status'
                return
        if self.case.want and len(rs) >= len(self.case.want) and \
                rs[-1].complete and not closing(self.case, rs[-1]):
            if self.case.end == CLOSED:
                self.how = 'no "connection: close"'
                return
            self.more = True
            self.pend += DRAIN
            self.push()


def closing(case, r):
    """Do the fields of r say that the connection ends?"""
    said = [t.strip().lower() for t in r.get('connection', '').split(',')]
    return 'close' in said or case.old and 'keep-alive' not in said


def exchange(ports, conns, pause):
    """Send every conn's pieces in step, then read all of them to the end."""
    for c in conns:
        c.sock = socket.create_connection(
            ('127.0.0.1', ports[c.case.server]), 10 * SLOW)
        c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        c.sock.setblocking(False)
    begin = time.monotonic()
    for k in range(max(len(c.pieces) for c in conns)):
        if k:
            time.sleep(pause)
        for c in conns:
            if k < len(c.pieces):
                c.pend += c.pieces[k]
                c.push()
                if c.case.big:
                    c.pull()
    sel = selectors.DefaultSelector()
    left = set()
    for c in conns:
        if c.case.fin:
            c.sock.shutdown(socket.SHUT_WR)
        c.sent = time.monotonic()
        c.until = c.sent + c.case.limit
        c.spent = c.sent - begin
        if c.how is None:
            left.add(c)
            sel.register(c.sock, selectors.EVENT_READ |
                         (selectors.EVENT_WRITE if c.pend else 0), c)
    while left:
        now = time.monotonic()
        soon = min(c.until for c in left)
        for key, bits in sel.select(max(0, soon - now)):
            c = key.data
            if bits & selectors.EVENT_WRITE:
                c.push()
                if not c.pend:
                    sel.modify(c.sock, selectors.EVENT_READ, c)
            if bits & selectors.EVENT_READ:
                c.pull()
                if c.pend and not c.broken:
                    sel.modify(c.sock, selectors.EVENT_READ |
                               selectors.EVENT_WRITE, c)
            if c.how is not None:
                sel.unregister(c.sock)
                left.discard(c)
        now = time.monotonic()
        for c in [c for c in left if now >= c.until]:
            c.how = 'open after %.1f s' % (now - c.sent)
            sel.unregister(c.sock)
            left.discard(c)
    sel.close()
    for c in conns:
        c.err = c.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        c.sock.close()


DATE = re.compile(r'(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|'
                  r'Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d GMT')


def sound(r):
    """A complaint about a response's head, whatever it answers, or None."""
    lines = r.head[:-4].split(b'\r\n')
    for l in lines:
        if b'\r' in l or b'\n' in l or b'\0' in l:
            return 'stray control byte in %r' % l
    for l in lines[1:]:
        if not re.match(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+: ?\S", l):
            return 'odd field line %r' % l
    names = [k for k, _ in r.fields]
    for k in ('date', 'content-length', 'connection', 'content-type',
              'location', 'allow', 'transfer-encoding'):
        if names.count(k) > 1:
            return 'two %s fields' % k
    if not DATE.fullmatch(r.get('date', '')):
        return 'Date: %r' % r.get('date')
    if r.status in (204, 304):
        if r.status == 204 and r.get('content-length') is not None:
            return '204 with Content-Length'
    elif not re.fullmatch(r'[0-9]+', r.get('content-length', '')):
        return 'Content-Length: %r' % r.get('content-length')
    if not r.complete:
        return 'content is cut off'
    if 'x-inj' in names or 'smuggled' in names:
        return 'an injected field'
    if r.status == 405 and r.get('allow') != ALLOW:
        return 'Allow: %r' % r.get('allow')


def fault(c):
    """What is wrong with what came back on c, or None."""
    case = c.case
    if OUTSIDE in c.got or HIDDEN in c.got:
        return 'bytes that must never be sent'
    rs, rest = parse_responses(c.got, case.methods)
    took = [r.status for r in rs]
    for r, want in zip(rs, case.want):
        case.seen.add(r.status)
        if r.status not in want:
            return 'status %d, want %s' % (r.status, sorted(want))
    for r in rs:
        why = sound(r)
        if why:
            return '%d: %s' % (r.status, why)
    if case.silent and not c.got:
        if c.how != 'eof':
            return 'no answer, ' + c.how
        return None
    asked = rs[:len(case.want)]
    if c.how != 'eof' and not (case.big and c.how.startswith('reset') and
                               len(asked) == len(case.want) > 0):
        return '%s, answers %s, rest %r' % (c.how, took, rest[:60])
    if rest:
        return 'answers %s, then %r' % (took, rest[:60])
    if len(asked) < len(case.want):
        return 'answers %s, want %d of them' % (took, len(case.want))
    if len(rs) != len(asked) + (1 if c.more else 0):
        return 'answers %s, want only %d' % (took, len(asked))
    if not asked:
        return None
    shut = closing(case, asked[-1])
    if case.end == KEPT and shut:
        return '%d with Connection: %s' % (took[0], rs[0].get('connection'))
    if case.end == CLOSED and asked[-1].get('connection', '').lower() != \
            'close':
        return '%d with Connection: %r' % (took[0], rs[0].get('connection'))
    for r in asked[:-1]:
        if closing(case, r):
            return 'close announced too early'
    if c.more and (rs[-1].status != 200 or rs[-1].body != OK):
        return 'the next request got %r' % rs[-1]
    if asked[0].status == 200 and case.body is not None:
        for r in asked:
            if r.body != case.body:
                return '200 with %d other bytes' % len(r.body)
    if case.methods[0] == 'GET' and case.data[:7] == b'OPTIONS' and \
            rs[0].get('allow') != ALLOW:
        return 'Allow: %r' % rs[0].get('allow')
    if case.look:
        for r in asked:
            why = case.look(r)
            if why:
                return why
    if case.soon and (c.first or c.sent + 99) - c.sent > case.soon * SLOW:
        return 'the answer took %.1f s' % (c.first - c.sent)
    # it may stop to listen 2 s after its last answer, but not earlier
    if not case.big and c.spent < 1.2 and (c.err or c.broken):
        return 'the connection was reset (%s)' % (
            c.broken or os.strerror(c.err))


def deliver(ports, cases, name, conns_of, pause, size=BATCH):
    """Run all cases in one way; one check for each of them."""
    bad, tried = {}, {}
    batch = []

    def flush():
        if batch:
            exchange(ports, batch, pause)
            for c in batch:
                tried[c.case] = tried.get(c.case, 0) + 1
                why = fault(c)
                if why and c.case not in bad:
                    bad[c.case] = [c.offset, why, 0]
                if why:
                    bad[c.case][2] += 1
            batch.clear()
    for case in cases:
        for c in conns_of(case):
            batch.append(c)
            if len(batch) >= size:
                flush()
    flush()
    for case in cases:
        if case not in tried:
            continue
        at, why, n = bad.get(case, (None, '', 0))
        if at is not None:
            why = 'cut at %d: %s (%d of %d offsets)' % (at, why, n,
                                                        tried[case])
        check('%s, %s' % (case.name, name), case not in bad, why)
        case.done += 1


def whole(case):
    yield Conn(case, [case.data])


def two(case):
    for at in places(case.data):
        yield Conn(case, cuts(case.data, [at]), at)


def single(case):
    if len(case.data) > 1:
        yield Conn(case, cuts(case.data, places(case.data)))


def rows():
    root = fixture()
    opts = ('--header-timeout', str(HEAD_SECS))
    s = Server(root, *opts)
    try:
        plain = Server(root, *opts, '--http2=false')
    except RuntimeError:        # built without HTTP/2: it has no such option
        plain = s
    ports = {'main': s.port, 'http1': plain.port}
    cases = table()
    # what waits for the deadline waits together
    late = [c for c in cases if c.name.startswith(('row 33', 'row 97'))]
    early = [c for c in cases if c not in late]
    deliver(ports, early, 'whole', whole, 0)
    quiet = Server(root, *opts, '--access-log=false')
    deliver({'main': quiet.port, 'http1': plain.port}, early,
            'whole, no access log', whole, 0)
    equal('rows: exit status without access log', quiet.stop(), 0)
    deliver(ports, early, 'in two writes', two, 0.003)
    # alike long ones together: the short need not wait for the long
    early.sort(key=lambda c: len(places(c.data)))
    deliver(ports, early, 'byte by byte', single, 0.0005, 100)
    waits = [threading.Thread(target=f, args=a) for f, a in (
        (drip, (s, 'first', b'')), (drip, (s, 'second', ask('/sub/ok.txt'))),
        (deliver, (ports, late, 'whole', whole, 0)),
        (deliver, (ports, late, 'in two writes', two, 0.003)),
        (deliver, (ports, late, 'byte by byte', single, 0.001)))]
    for t in waits:
        t.start()
    for t in waits:
        t.join()
    for c in late:
        check(c.name + ', all ways came to an end', c.done == 3, c.done)
    for c in cases:
        if c.name.startswith('row 82'):
            check(c.name + ', the same every time', len(c.seen) == 1, c.seen)
    check('rows: still running', s.proc.poll() is None, s.log()[-300:])
    equal('rows: exit status', s.stop(), 0)


def drip(s, name, first):
    """A head that comes slowly ends when its time is over: a byte buys no
    more.  On a new connection and behind an answered request."""
    head = b'GET /' + b'x' * 200
    begin, data, how = 0, b'', 'error'
    try:
        c = s.connect()
        if first:
            c.sendall(first)
            read_all(c, 5, lambda d: d.endswith(OK))
            time.sleep(0.5)
        begin = time.monotonic()
        for i in range(len(head)):
            if time.monotonic() - begin > HEAD_SECS + 3 * SLOW:
                break
            c.send(head[i:i + 1])
            part, how = read_all(c, 0.3 / SLOW)
            data += part
            if how != 'timeout':
                break
        c.close()
    except OSError as e:
        how = str(e)
    took = time.monotonic() - begin
    rs, rest = parse_responses(data)
    check('slow head, %s request: cut off in time' % name, how == 'eof' and
          HEAD_SECS - 0.7 <= took <= HEAD_SECS + 1 * SLOW,
          '%s after %.2f s' % (how, took))
    check('slow head, %s request: 408 or nothing' % name, how == 'eof' and
          (not data or [r.status for r in rs] == [408] and not rest and
           not sound(rs[0]) and rs[0].get('connection') == 'close'),
          data[:200])


# ---- many requests, slow readers --------------------------------------------

def ask(path, more=''):
    return ('GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n' % (path, more)).encode()


def cpu(pid):
    """Seconds of CPU time that a process has used."""
    with open('/proc/%d/stat' % pid) as f:
        v = f.read().rpartition(')')[2].split()
    return (int(v[11]) + int(v[12])) / os.sysconf('SC_CLK_TCK')


def pages(data):
    """The page numbers of a row of answers, None where one is wrong."""
    rs, rest = parse_responses(data)
    out = []
    for r in rs:
        m = re.match(rb'page (\d\d)\n', r.body)
        out.append(int(m.group(1)) if m and r.status == 200 and
                   r.body == page(int(m.group(1))) and not sound(r) else None)
    return out, rest


def pipelined(*opts):
    s = Server(fixture(), *opts)
    name = ' '.join(('pipelined',) + opts)
    for n in (2, 20):
        c = s.connect()
        c.sendall(b''.join(ask('/p/%d.txt' % i) for i in range(n)))
        data, how = read_all(c, 5, lambda d: len(pages(d)[0]) >= n and
                             pages(d)[0][-1] is not None)
        equal('%s: %d in one segment, all in order' % (name, n), pages(data),
              (list(range(n)), b''))
        c.sendall(DRAIN)
        data, how = read_all(c)
        check('%s: %d, connection kept' % (name, n),
              how == 'eof' and data.endswith(OK), (how, data[-200:]))
        c.close()
    # mixed: errors that keep the connection, heads only, no content
    c = s.connect()
    c.sendall(ask('/none') + b'HEAD /p/1.txt HTTP/1.1\r\nHost: a\r\n\r\n' +
              b'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n' + ask('/dir') +
              b'FOO / HTTP/1.1\r\nHost: a\r\n\r\n' + DRAIN)
    data, how = read_all(c)
    c.close()
    rs, rest = parse_responses(data, ('GET', 'HEAD', 'GET'))
    equal(name + ': mixed, statuses', ([r.status for r in rs], rest, how),
          ([404, 200, 204, 308, 501, 200], b'', 'eof'))
    check(name + ': mixed, last answer', data.endswith(OK), data[-100:])
    equal(name + ': exit status', s.stop(), 0)


def back_pressure(*opts):
    """The client sends 2,000 requests before it reads; the answers are more
    than all buffers hold, so the server has to stop and go on."""
    s = Server(fixture(), *opts)
    n, name = 2000, ' '.join(('2,000 unread',) + opts)
    c = socket.socket()
    c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    c.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    c.settimeout(20 * SLOW)
    c.connect(('127.0.0.1', s.port))
    c.sendall(b''.join(ask('/p/%d.txt' % (i % 50)) for i in range(n)))
    time.sleep(0.3)
    before = cpu(s.proc.pid)
    time.sleep(0.5)
    used = cpu(s.proc.pid) - before
    check(name + ': the server sleeps', used < 0.1 * SLOW,
          '%.2f s of CPU in 0.5 s' % used)
    # another client is not held up
    r = get(s, '/sub/ok.txt', timeout=3)
    check(name + ': others are served', r.body == OK, r)
    c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    data, how = bytearray(), 'timeout'
    end = time.time() + 20 * SLOW
    while time.time() < end:
        try:
            part = c.recv(1 << 20)
        except OSError as e:
            how = repr(e)
            break
        if not part:
            how = 'eof'
            break
        data += part
        if data.endswith(page((n - 1) % 50)) and \
                data.count(b'HTTP/1.1 200 ') >= n:
            how = 'all'
            break
    got, rest = [], b''
    view = bytes(data)
    while view:                 # a piece at a time: splitting copies the rest
        k = view.find(b'HTTP/1.1 ', 400000)
        part, view = (view[:k], view[k:]) if k > 0 else (view, b'')
        a, b = pages(part)
        got += a
        rest += b
    want = [i % 50 for i in range(n)]
    wrong = [i for i, (a, b) in enumerate(zip(got, want)) if a != b]
    check(name + ': all, in order', got == want and not rest and
          how == 'all', '%s, %d answers, first wrong %s, rest %r' %
          (how, len(got), wrong[:1], rest[:50]))
    c.sendall(DRAIN)
    data, how = read_all(c)
    check(name + ': connection kept', how == 'eof' and data.endswith(OK),
          (how, data[-200:]))
    c.close()
    equal(name + ': exit status', s.stop(), 0)


def no_log():
    """Without an access log answers may wait for each other."""
    pipelined('--access-log=false')
    back_pressure('--access-log=false')


def half_close():
    """A client may end its side once it has asked."""
    s = Server(fixture())
    for name, data, want in (
            ('small', ask('/sub/ok.txt'), [OK]),
            ('1 MiB', ask('/large.bin'), [LARGE]),
            ('two', ask('/large.bin') + ask('/sub/ok.txt'), [LARGE, OK]),
            ('HTTP/1.0', b'GET /large.bin HTTP/1.0\r\n\r\n', [LARGE])):
        c = s.connect()
        c.sendall(data)
        c.shutdown(socket.SHUT_WR)
        time.sleep(0.05)
        got, how = read_all(c)
        c.close()
        rs, rest = parse_responses(got)
        check('half-close, %s: whole answer' % name, how == 'eof' and
              [r.body for r in rs] == want and not rest,
              (how, [(r.status, len(r.body)) for r in rs]))
    # half a request and FIN: no answer that could be taken for one
    c = s.connect()
    c.sendall(b'GET /sub/ok.txt HTTP/1.1\r\nHost: a\r\n')
    c.shutdown(socket.SHUT_WR)
    got, how = read_all(c)
    c.close()
    check('half-close in the head: closed', how == 'eof' and
          not got.startswith(b'HTTP/1.1 2'), (how, got[:100]))
    equal('half-close: exit status', s.stop(), 0)


def unwanted_content():
    """The answer reaches a client that is still sending."""
    s = Server(fixture())
    size = 200 << 10
    for name, head, want in (
            ('POST with Content-Length', b'POST / HTTP/1.1\r\nHost: a\r\n'
             b'Content-Length: %d\r\n\r\n' % size, 405),
            ('POST chunked', b'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding'
             b': chunked\r\n\r\n%x\r\n' % size, 405),
            ('GET with Content-Length', b'GET / HTTP/1.1\r\nHost: a\r\n'
             b'Content-Length: %d\r\n\r\n' % size, 200),
            ('not a request', b'\x80\r\n', 400),
            ('endless request line', b'GET /', 414),
            ('endless field', b'GET / HTTP/1.1\r\nHost: a\r\nX: ', 431)):
        # one that looks between its writes
        c = s.connect()
        c.sendall(head)
        got, how, sent, broke = b'', 'timeout', 0, None
        while sent < size and how == 'timeout':
            try:
                c.sendall(b'x' * 4096)
                sent += 4096
            except OSError as e:
                broke = e
                break
            part, how = read_all(c, 0.002)
            got += part
        if how == 'timeout':
            part, how = read_all(c)
            got += part
        c.close()
        rs, rest = parse_responses(got)
        check('200 KiB, %s: answered' % name, len(rs) == 1 and
              rs[0].status == want and not sound(rs[0]) and not rest and
              rs[0].get('connection') == 'close', (rs, rest[:50], how, broke))
        check('200 KiB, %s: end, not reset' % name, how == 'eof' and not broke,
              '%s after %d bytes, %s' % (how, sent, broke))
        # one that sends all it has and reads then
        c = s.connect()
        try:
            c.sendall(head)
            for i in range(size // 4096):
                c.sendall(b'x' * 4096)
        except OSError:
            pass                # only 64 KiB of it have to be taken
        got, how = read_all(c)
        c.close()
        rs, rest = parse_responses(got)
        check('200 KiB, %s: answer read late' % name, len(rs) == 1 and
              rs[0].status == want and not sound(rs[0]), (rs, how))
    check('200 KiB: still running', s.proc.poll() is None)
    equal('200 KiB: exit status', s.stop(), 0)


def descriptors():
    s = Server(fixture())
    settled = time.time() + 3.2 # what was just written may be kept otherwise
    paths = ['/', '/dir/', '/dir', '/large.bin', '/none', '/sub/ok.txt',
             '/.secret', '/p/1.txt', '/%00', '/a%20b.txt']

    def one_each():
        for p in paths:
            get(s, p)
    # each name once, so that what is remembered of them is there
    for wait in (0, max(0, settled - time.time())):
        time.sleep(wait)
        one_each()
        for i in range(50):
            get(s, '/p/%d.txt' % i)
    time.sleep(0.2)
    start = s.fds()
    c = s.connect()
    for i in range(50):
        c.sendall(b''.join(ask(p) for p in paths[:8]) + ask('/p/%d.txt' % i) +
                  ask('/sub/ok.txt'))
        data, how = read_all(c, 5, lambda d: d.endswith(OK) and
                             d.count(b'HTTP/1.1 ') == 10)
        if how != 'until':
            check('descriptors: ten requests', False, (how, data[:100]))
            break
    c.close()
    for i in range(50):
        one_each()
    end = time.time() + 4 * SLOW
    while s.fds() != start and time.time() < end:
        time.sleep(0.05)
    equal('1,000 requests: descriptors open', s.fds(), start)
    # clients that go away in the middle
    for i in range(100):
        c = s.connect()
        c.sendall((ask('/large.bin') * 3, b'GET / HT', b'POST / HTTP/1.1\r\n'
                   b'Host: a\r\nContent-Length: 9\r\n\r\n', b'\0\r\n')[i % 4])
        if i % 3:
            c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                         struct.pack('ii', 1, 0))
        c.close()
    end = time.time() + 4 * SLOW
    while s.fds() != start and time.time() < end:
        time.sleep(0.05)
    equal('100 clients that left: descriptors open', s.fds(), start)
    equal('descriptors: exit status', s.stop(), 0)


def idle():
    s = Server(fixture(), '--idle-timeout', '1')
    c = s.connect()
    c.sendall(ask('/sub/ok.txt'))
    data, how = read_all(c, 5, lambda d: d.endswith(OK))
    begin = time.monotonic()
    more, how = read_all(c, 4)
    took = time.monotonic() - begin
    c.close()
    check('idle: closed in time, without a word', how == 'eof' and not more and
          0.7 <= took <= 1 + 1 * SLOW, '%s after %.2f s, %r' %
          (how, took, more[:80]))
    # each request starts the time anew
    c = s.connect()
    for i in range(3):
        c.sendall(ask('/sub/ok.txt'))
        data, how = read_all(c, 5, lambda d: d.endswith(OK))
        if how != 'until':
            break
        time.sleep(0.6)
    check('idle: not while it is used', how == 'until', (i, how))
    c.close()
    equal('idle: exit status', s.stop(), 0)


def full_house():
    """Twenty clients where eight may be in: the others wait their turn, and
    the server waits with them instead of spinning."""
    s = Server(fixture(), '--max-connections', '8', '--idle-timeout', '4')
    base = s.fds()
    cs = [s.connect(20) for _ in range(20)]
    for c in cs:
        c.sendall(ask('/sub/ok.txt'))
    time.sleep(0.2)
    before = cpu(s.proc.pid)
    time.sleep(2)
    used = cpu(s.proc.pid) - before
    check('8 of 20: no spinning', used < 0.5 * SLOW,
          '%.2f s of CPU in 2 s' % used)
    served, waiting = 0, list(cs)
    end = time.time() + 20 * SLOW
    sel = selectors.DefaultSelector()
    data = {}
    for c in cs:
        sel.register(c, selectors.EVENT_READ)
    most = s.fds()
    while sel.get_map() and time.time() < end:
        for key, _ in sel.select(1):
            c = key.fileobj
            try:
                part = c.recv(65536)
            except OSError:
                part = b''
            data[c] = data.get(c, b'') + part
            if not part or data[c].endswith(OK):
                sel.unregister(c)
                c.close()
                served += data[c].endswith(OK)
        most = max(most, s.fds())
    equal('8 of 20: all are served', served, 20)
    check('8 of 20: no more at a time', most <= base + 8 + 1,
          '%d descriptors, %d before' % (most, base))
    # the room is free again
    r = get(s, '/sub/ok.txt', timeout=5)
    check('8 of 20: and the next one', r.body == OK, r)
    equal('8 of 20: exit status', s.stop(), 0)


def silent_house():
    """The eight who are in have not finished their request: nobody else gets
    in, at no cost, until their time is over."""
    s = Server(fixture(), '--max-connections', '8', '--header-timeout',
               str(HEAD_SECS))
    holders = [s.connect(20) for _ in range(8)]
    for i, c in enumerate(holders):
        if i % 2:
            c.sendall(b'GET / HTTP/1.1\r\nHo')
    time.sleep(0.2)
    cs = [s.connect(20) for _ in range(12)]
    for c in cs:
        c.sendall(ask('/sub/ok.txt', 'Connection: close\r\n'))
    before = cpu(s.proc.pid)
    data, how = read_all(cs[0], 2 / SLOW)
    used = cpu(s.proc.pid) - before
    check('8 silent, 12 wait: no spinning', used < 0.5 * SLOW and not data,
          '%.2f s of CPU in 2 s, %r' % (used, data[:50]))
    got = [data] + [read_all(c, HEAD_SECS + 3)[0] for c in cs[1:]]
    got[0] += read_all(cs[0], 3)[0]
    equal('8 silent, 12 wait: all are served in the end',
          sum(d.endswith(OK) for d in got), 12)
    for c in holders + cs:
        c.close()
    equal('8 silent: exit status', s.stop(), 0)


def big_error_page():
    """An error page that does not fit the client's buffer, which is tiny."""
    root = fixture()
    big = b'<!doctype html>' + b''.join(b'%08d' % i for i in range(20000))
    put(os.path.join(root, '404.html'), big)
    s = Server(root)
    for name, data in (
            ('then another request', ask('/none') + DRAIN),
            ('then closed', ask('/none', 'Connection: close\r\n'))):
        c = socket.socket()
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        c.settimeout(10 * SLOW)
        c.connect(('127.0.0.1', s.port))
        c.sendall(data)
        time.sleep(0.2)
        got, how = b'', 'timeout'
        end = time.time() + 20 * SLOW
        while time.time() < end:
            try:
                part = c.recv(1000)
            except OSError as e:
                how = repr(e)
                break
            if not part:
                how = 'eof'
                break
            got += part
        c.close()
        rs, rest = parse_responses(got)
        check('big error page, %s' % name, how == 'eof' and not rest and
              rs and rs[0].status == 404 and rs[0].body == big and
              [r.status for r in rs[1:]] == ([200] if b'/sub' in data else [])
              and got.endswith((OK, big)),
              (how, [(r.status, len(r.body), r.fields) for r in rs]))
    equal('big error page: exit status', s.stop(), 0)


if __name__ == '__main__':
    run([rows, pipelined, back_pressure, no_log, half_close, unwanted_content,
         descriptors, idle, full_house, silent_house, big_error_page])
