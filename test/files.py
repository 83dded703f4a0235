"""Files: resolution, conditions, ranges, encodings, types, links, changes while
a file is served, error pages and the access log.

RACE is how many seconds a folder changes places with a link to the outside
while clients fetch through it; that runs beside everything else.
"""
import calendar, email.utils, itertools, random, urllib.parse
import lib
from lib import *

RACE = float(os.environ.get('RACE', '30'))
CANARY = b'canary-of-the-outside-9c41e7d2'
YEAR, HOUR, NO = 'max-age=31536000', 'max-age=3600', 'no-cache'
ROOT_USER = os.geteuid() == 0

# the server may run as somebody else and has to reach what we make
os.chmod(lib._tmp, 0o755)


def folder(name='r'):
    d = tmpdir(name)
    os.chmod(d, 0o755)
    return d


def date(t):
    return email.utils.formatdate(t, usegmt=True)


def rfc850(t):
    return time.strftime('%A, %d-%b-%y %H:%M:%S GMT', time.gmtime(t))


def asctime(t):
    g = time.gmtime(t)
    return time.strftime('%a %b ', g) + '%2d' % g.tm_mday + \
        time.strftime(' %H:%M:%S %Y', g)


def seconds(value):
    return email.utils.parsedate_to_datetime(value).timestamp()


def cpu(pid):
    with open('/proc/%d/stat' % pid) as f:
        a = f.read().rpartition(')')[2].split()
    return (int(a[11]) + int(a[12])) / os.sysconf('SC_CLK_TCK')


def unprivileged():
    """A wrap that gives up root, or nothing when we are not root.  The program
    is run by a relative name: above it there may be a folder that only root
    may enter, its own home for one."""
    if not ROOT_USER:
        return []
    return [sys.executable, '-c', 'import os, sys\n'
            'folder, name = os.path.split(sys.argv[1])\nos.chdir(folder)\n'
            'os.setgroups([])\nos.setgid(65534)\nos.setuid(65534)\n'
            'os.execv("./" + name, ["./" + name] + sys.argv[2:])']


def same_fields(a, b):
    """Fields of two answers that may differ in date and boundary only."""
    def norm(r):
        return [(k, re.sub(r'boundary=\S+', 'boundary=', v))
                for k, v in r.fields if k != 'date']
    return norm(a) == norm(b)


def head_like_get(name, s, path, fields='', status=None):
    """GET and HEAD agree; returns the GET's answer."""
    g, h = get(s, path, fields), get(s, path, fields, method='HEAD')
    check('HEAD as GET: ' + name,
          g.status == h.status and (status is None or g.status == status) and
          same_fields(g, h) and h.body == b'' and g.complete,
          '%r / %r' % (g, h))
    return g


def byteranges(r):
    """Parse a multipart/byteranges answer: [(first, last, size, type, data)]."""
    m = re.fullmatch(r'multipart/byteranges; ?boundary="?([^"\s]{1,70}?)"?',
                     r.get('content-type', ''))
    if not m:
        raise ValueError('no multipart: %r' % r.get('content-type'))
    mark = b'--' + m.group(1).encode()
    body = r.body if r.body.startswith(b'\r\n') else b'\r\n' + r.body
    pieces = body.split(b'\r\n' + mark)
    if pieces[0] or pieces[-1].rstrip(b'\r\n') != b'--':
        raise ValueError('no clean begin or end')
    out = []
    for p in pieces[1:-1]:
        head, sep, data = p.partition(b'\r\n\r\n')
        f = dict((k.lower(), v.strip()) for k, _, v in
                 (x.partition(':') for x in head.decode().split('\r\n') if x))
        a = re.fullmatch(r'bytes (\d+)-(\d+)/(\d+)', f['content-range'])
        out.append(tuple(map(int, a.groups())) + (f.get('content-type'), data))
    return out


def talk(s, data, timeout=10):
    """Raw bytes out, one answer back."""
    c = s.connect(timeout)
    c.sendall(data)
    got, how = read_all(c, timeout, lambda d: bool(
        parse_responses(d)[0] and parse_responses(d)[0][0].complete))
    c.close()
    r, _ = parse_responses(got)
    return r[0] if r else None


# ---- conditions --------------------------------------------------------------

def conditions():
    root, then = folder(), 1577882096           # 2020-01-01 12:34:56
    body = bytes(range(256)) * 4
    put(root + '/f.bin', body, then)
    put(root + '/f.css', b'a{}', then)
    put(root + '/f.css.gz', b'zipped', then)
    put(root + '/epoch.txt', b'epoch', 0)
    put(root + '/future.txt', b'future', time.time() + 90000)
    s = Server(root)
    tag = get(s, '/f.bin').get('etag')
    check('ETag is a strong tag', re.fullmatch(r'"[\x21\x23-\x7e]+"', tag or ''),
          tag)
    equal('Last-Modified', get(s, '/f.bin').get('last-modified'), date(then))
    weak, other = 'W/' + tag, '"other"'
    t, before, after = date(then), date(then - 1), date(then + 1)
    ahead = date(time.time() + 1e6)
    R = ('Range', 'bytes=0-3')
    table = [
        (200, []),
        (304, [('If-None-Match', tag)]),
        (304, [('If-None-Match', weak)]),
        (304, [('If-None-Match', '*')]),
        (304, [('If-None-Match', '%s, %s' % (other, tag))]),
        (304, [('If-None-Match', '"a,b" ,\t%s' % weak)]),
        (304, [('If-None-Match', ', , %s,' % tag)]),
        (304, [('If-None-Match', other), ('If-None-Match', tag)]),
        (200, [('If-None-Match', other)]),
        (200, [('If-None-Match', tag[:-2] + '"')]),
        (200, [('If-None-Match', tag.strip('"'))]),
        (200, [('If-None-Match', 'garbage')]),
        (200, [('If-None-Match', '"open')]),
        (200, [('If-None-Match', 'W/"other", "%s' % tag)]),
        (200, [('If-None-Match', tag.upper() if tag != tag.upper()
                else '"X"')]),
        (304, [('If-Modified-Since', t)]),
        (304, [('If-Modified-Since', after)]),
        (304, [('If-Modified-Since', ahead)]),
        (200, [('If-Modified-Since', before)]),
        (304, [('If-Modified-Since', rfc850(then))]),
        (200, [('If-Modified-Since', rfc850(then - 1))]),
        (304, [('If-Modified-Since', asctime(then))]),
        (200, [('If-Modified-Since', asctime(then - 1))]),
        (200, [('If-Modified-Since', 'garbage')]),
        (200, [('If-Modified-Since', '')]),
        (200, [('If-Modified-Since', t[:-3] + 'CET')]),
        (200, [('If-Modified-Since', t.replace('Jan', 'Foo'))]),
        (200, [('If-Modified-Since', t.replace('12:', '25:'))]),
        (200, [('If-Modified-Since', '1577882096')]),
        (200, [('If-Modified-Since', date(0))]),
        # 13.1.3: If-None-Match makes If-Modified-Since void
        (200, [('If-None-Match', other), ('If-Modified-Since', t)]),
        (304, [('If-None-Match', tag), ('If-Modified-Since', before)]),
        (200, [('If-Match', tag)]),
        (200, [('If-Match', '*')]),
        (200, [('If-Match', '%s, %s' % (other, tag))]),
        (412, [('If-Match', other)]),
        (412, [('If-Match', weak)]),
        (412, [('If-Match', 'garbage')]),
        (200, [('If-Unmodified-Since', t)]),
        (200, [('If-Unmodified-Since', ahead)]),
        (412, [('If-Unmodified-Since', before)]),
        (412, [('If-Unmodified-Since', rfc850(then - 1))]),
        (412, [('If-Unmodified-Since', asctime(then - 1))]),
        (200, [('If-Unmodified-Since', 'garbage')]),
        # 13.1.4: If-Match makes If-Unmodified-Since void
        (200, [('If-Match', tag), ('If-Unmodified-Since', before)]),
        (412, [('If-Match', other), ('If-Unmodified-Since', t)]),
        # 13.2.2: the order
        (412, [('If-Match', other), ('If-None-Match', tag)]),
        (304, [('If-Match', tag), ('If-None-Match', tag)]),
        (412, [('If-Unmodified-Since', before), ('If-None-Match', tag)]),
        (304, [('If-Unmodified-Since', t), ('If-Modified-Since', t)]),
        (206, [R]),
        (304, [R, ('If-None-Match', tag)]),
        (206, [R, ('If-None-Match', other)]),
        (412, [R, ('If-Match', other)]),
        (206, [R, ('If-Match', tag)]),
        (206, [R, ('If-Range', tag)]),
        (200, [R, ('If-Range', weak)]),
        (200, [R, ('If-Range', other)]),
        (206, [R, ('If-Range', t)]),
        (206, [R, ('If-Range', rfc850(then))]),
        (206, [R, ('If-Range', asctime(then))]),
        (200, [R, ('If-Range', before)]),
        (200, [R, ('If-Range', after)]),
        (200, [R, ('If-Range', ahead)]),
        (200, [R, ('If-Range', 'garbage')]),
        (200, [R, ('If-Range', '*')]),
        (200, [R, ('If-Range', '%s, %s' % (tag, other))]),
        (200, [('If-Range', tag)]),
        (304, [R, ('If-Range', other), ('If-None-Match', tag)]),
        (412, [R, ('If-Range', tag), ('If-Match', other)]),
        (416, [('Range', 'bytes=9999-')]),
        (416, [('Range', 'bytes=9999-'), ('If-Range', tag)]),
        (200, [('Range', 'bytes=9999-'), ('If-Range', other)]),
        (304, [('Range', 'bytes=9999-'), ('If-None-Match', tag)]),
        (412, [('Range', 'bytes=9999-'), ('If-Match', other)]),
    ]
    whole = get(s, '/f.bin')
    keep = ('etag', 'last-modified', 'cache-control', 'vary')
    for want, f in table:
        fields = ''.join('%s: %s\r\n' % kv for kv in f)
        name = '%s -> %d' % ('; '.join('%s: %s' % (k, v.replace(tag, 'TAG'))
                                       for k, v in f) or 'no condition', want)
        r = get(s, '/f.bin', fields)
        h = get(s, '/f.bin', fields, method='HEAD')
        good = r.status == want and same_fields(r, h) and r.complete and \
            h.status == want
        if want == 200:
            good = good and r.body == body and same_fields(r, whole)
        elif want == 206:
            good = good and r.body == body[:4] and r.get('content-range') == \
                'bytes 0-3/%d' % len(body)
        elif want == 304:
            good = good and r.get('content-type') is None and r.body == b'' \
                and r.get('content-length') in (None, str(len(body)))
        elif want == 416:
            good = good and r.get('content-range') == 'bytes */%d' % len(body)
        if want in (206, 304):
            good = good and [r.get(k) for k in keep] == \
                [whole.get(k) for k in keep]
        check('condition ' + name, good, '%r, HEAD %r' % (r, h))

    # validators repeated, Vary too
    for ae, n in (('', 3), ('Accept-Encoding: gzip\r\n', 6)):
        a = get(s, '/f.css', ae)
        b = get(s, '/f.css', ae + 'If-None-Match: %s\r\n' % a.get('etag'))
        check('304 repeats ETag, Last-Modified, Cache-Control, Vary (%d)' % n,
              b.status == 304 and len(a.body) == n and
              all(a.get(k) and a.get(k) == b.get(k) for k in keep),
              '%r %r' % (a, b))

    r = get(s, '/epoch.txt')
    check('mtime of the epoch: no validators', r.status == 200 and
          r.get('etag') is None and r.get('last-modified') is None, r)
    for f, want in (('If-None-Match: %s' % tag, 200), ('If-None-Match: *', 304),
                    ('If-Match: *', 200), ('If-Match: %s' % tag, 412),
                    ('If-Match: ""', 412), ('If-None-Match: ""', 200),
                    ('If-Modified-Since: ' + ahead, 200),
                    ('If-Unmodified-Since: ' + date(-5), 200),
                    ('Range: bytes=0-0\r\nIf-Range: ' + date(0), 200),
                    ('Range: bytes=0-0\r\nIf-Range: ""', 200),
                    ('Range: bytes=0-0', 206)):
        r = get(s, '/epoch.txt', f + '\r\n')
        check('no validators, %s -> %d' % (f.replace('\r\n', '; ').replace(
            tag, 'TAG'), want), r.status == want, r)
    for i in range(2):
        r = get(s, '/future.txt')
        check('Last-Modified of a future mtime is not after Date (%d)' % i,
              r.get('last-modified') and
              seconds(r.get('last-modified')) <= seconds(r.get('date')), r)
        time.sleep(1.1)
    s.stop()

    s = Server(root, '--etag=false', '--cache-control-headers=false')
    r = get(s, '/f.css')
    check('--etag=false, --cache-control-headers=false', r.status == 200 and
          r.get('etag') is None and r.get('cache-control') is None and
          r.get('last-modified') == t, r)
    equal('--etag=false: If-None-Match does not match',
          get(s, '/f.bin', 'If-None-Match: %s\r\n' % tag).status, 200)
    equal('--etag=false: If-None-Match still voids If-Modified-Since',
          get(s, '/f.bin', 'If-None-Match: %s\r\nIf-Modified-Since: %s\r\n' %
              (tag, t)).status, 200)
    equal('--etag=false: If-Modified-Since',
          get(s, '/f.bin', 'If-Modified-Since: %s\r\n' % t).status, 304)
    s.stop()


# ---- ranges ------------------------------------------------------------------

def ranges():
    root = folder()
    n = 1000
    body = bytes(random.Random(5).randrange(256) for _ in range(n))
    put(root + '/f.txt', body, 1577882096)
    put(root + '/empty.bin', b'', 1577882096)
    big = bytes(random.Random(6).randrange(256) for _ in range(200000))
    put(root + '/big.bin', big, 1577882096)
    s = Server(root)
    huge = '9' * 30
    # None = the whole file; [] = 416; else (first, last) in any number
    table = [
        ('bytes=0-0', [(0, 0)]), ('bytes=0-', [(0, 999)]),
        ('bytes=0-999', [(0, 999)]), ('bytes=-1', [(999, 999)]),
        ('bytes=-1000', [(0, 999)]), ('bytes=-1001', [(0, 999)]),
        ('bytes=-' + huge, [(0, 999)]), ('bytes=999-', [(999, 999)]),
        ('bytes=500-5000', [(500, 999)]), ('bytes=5-' + huge, [(5, 999)]),
        ('bytes=007-0009', [(7, 9)]), ('bytes=5-5', [(5, 5)]),
        ('bytes=0-18446744073709551615', [(0, 999)]),
        ('bytes=0-9223372036854775807', [(0, 999)]),
        ('bytes=1000-', []), ('bytes=1000-1000', []), ('bytes=-0', []),
        ('bytes=%s-' % huge, []), ('bytes=%s-%s' % (huge, huge), []),
        ('bytes=9223372036854775808-', []),
        ('bytes=18446744073709551616-', []), ('bytes=2000-3000,-0', []),
        ('bytes=5-2', None), ('bytes=', None), ('bytes=-', None),
        ('bytes', None), ('bytes=a-b', None), ('bytes=0-1,000', None),
        ('bytes=1,000-1,001', None), ('bytes=0-0,5-2', None),
        ('bytes=--1', None), ('bytes=+1-2', None), ('bytes=0x1-2', None),
        ('bytes=1-2-3', None), ('bytes=1.0-2', None), ('bytes:0-1', None),
        ('bytes 0-1', None), ('bytes=0 -1', None), ('bytes=0- 1', None),
        ('bytes=,', None), ('lines=0-1', None), ('none', None), ('', None),
        ('byte=0-1', None), ('0-1', None), ('bytes=0-1;', None),
        ('Bytes=0-1', [(0, 1)]), ('BYTES=0-1', [(0, 1)]),
        ('bytes=0-1\t ', [(0, 1)]), ('bytes=0-1,', [(0, 1)]),
        ('bytes=,0-1', [(0, 1)]),
        ('bytes=0-1,4-5', [(0, 1), (4, 5)]),
        ('bytes=0-1 , 4-5', [(0, 1), (4, 5)]),
        ('bytes=0-1,\t4-5,,', [(0, 1), (4, 5)]),
        ('bytes=0-0,-1', [(0, 0), (999, 999)]),
        ('bytes=900-,0-9', [(900, 999), (0, 9)]),
        ('bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18',
         [(i, i) for i in range(0, 20, 2)]),
        ('bytes=0-0,2000-', [(0, 0)]), ('bytes=2000-,0-0', [(0, 0)]),
        ('bytes=0-9,5-14', [(0, 14)]), ('bytes=5-14,0-9', [(0, 14)]),
        ('bytes=0-9,0-9,0-9', [(0, 9)]), ('bytes=0-,-1', [(0, 999)]),
        ('bytes=0-99,200-299,50-249', [(0, 299)]),
        ('bytes=0-9,20-29,5-24,40-49', [(0, 29), (40, 49)]),
        ('bytes=' + ','.join('%d-%d' % (i * 5, i * 5 + 9) for i in range(30)),
         [(0, 154)]),
        ('bytes=' + ','.join('%d-%d' % (i * 20, i * 20) for i in range(11)),
         None),
        ('bytes=' + ','.join('%d-%d' % (i * 3, i * 3) for i in range(90)),
         None),
    ]
    for value, want in table:
        name = 'range %r' % (value if len(value) < 70 else value[:60] + '...')
        r = head_like_get(name, s, '/f.txt', 'Range: %s\r\n' % value)
        if want is None:
            check(name + ': ignored', r.status == 200 and r.body == body and
                  r.get('content-range') is None and
                  r.get('accept-ranges') == 'bytes', r)
        elif not want:
            check(name + ': 416', r.status == 416 and
                  r.get('content-range') == 'bytes */1000' and
                  r.get('etag') is None, r)
        elif len(want) == 1:
            a, b = want[0]
            check(name + ': one part', r.status == 206 and
                  r.body == body[a:b + 1] and r.get('content-range') ==
                  'bytes %d-%d/1000' % (a, b) and r.get('content-length') ==
                  str(b + 1 - a) and
                  r.get('content-type') == 'text/plain; charset=utf-8', r)
        else:
            try:
                got = byteranges(r)
            except (ValueError, KeyError, AttributeError) as e:
                got = e
            check(name + ': parts', r.status == 206 and got == [
                (a, b, n, 'text/plain; charset=utf-8', body[a:b + 1])
                for a, b in want] and r.get('content-range') is None and
                r.get('content-length') == str(len(r.body)),
                '%r, parts %r' % (r, got))
    for f in ('Range: bytes=0-1\r\nRange: bytes=4-5\r\n',
              'Range: bytes=%s0-1\r\n' % ('0-0,' * 200)):
        r = get(s, '/f.txt', f)
        check('range, odd but no failure: %r' % f[:50],
              r.status in (200, 206, 400), r)
    # parts that touch may be sent as one or two; the bytes have to be right
    r = get(s, '/f.txt', 'Range: bytes=0-4,5-9\r\n')
    parts = [p[4] for p in byteranges(r)] if 'multipart' in \
        r.get('content-type') else [r.body]
    equal('range: neighbours', (r.status, b''.join(parts)), (206, body[:10]))
    for value, want in (('bytes=0-', 416), ('bytes=0-0', 416),
                        ('bytes=-1', 416), ('bytes=-0', 416),
                        ('bytes=5-2', 200), ('lines=0-', 200)):
        r = head_like_get('empty file, ' + value, s, '/empty.bin',
                          'Range: %s\r\n' % value)
        check('empty file, range %s -> %d' % (value, want), r.status == want
              and (want == 200 and r.get('content-length') == '0' or
                   r.get('content-range') == 'bytes */0'), r)
    r = get(s, '/big.bin', 'Range: bytes=1-70000,100000-100000,-50001\r\n')
    equal('parts larger than any buffer', [p[:3] + p[4:] for p in byteranges(r)],
          [(1, 70000, 200000, big[1:70001]),
           (100000, 100000, 200000, big[100000:100001]),
           (149999, 199999, 200000, big[149999:])])
    # a boundary that a part contains would end it early: it must not be fixed
    marks = {get(s, '/f.txt', 'Range: bytes=0-0,2-2\r\n').get('content-type')
             for _ in range(5)}
    check('boundaries differ', len(marks) > 1, marks)
    s.stop()


def large():
    """A sparse file beyond 32 bits."""
    root = folder()
    size = 5 << 30
    marks = {}
    try:
        with open(root + '/large.bin', 'wb') as f:
            for at in (2**31, 2**32):
                for i, d in enumerate((-1, 0, 1)):
                    marks[at + d] = bytes([65 + len(marks)])
                    f.seek(at + d)
                    f.write(marks[at + d])
            f.seek(size - 3)
            f.write(b'end')
    except OSError as e:
        return skip('large file', e)
    if os.stat(root + '/large.bin').st_blocks > 4096:
        os.unlink(root + '/large.bin')
        return skip('large file', 'no sparse files here')
    os.utime(root + '/large.bin', (1e9, 1e9))

    def piece(a, b):
        return b''.join(marks.get(i) or b'end'[i - size + 3:][:1]
                        if i in marks or i >= size - 3 else b'\0'
                        for i in range(a, b + 1))
    s = Server(root)
    r = get(s, '/large.bin', method='HEAD')
    equal('5 GiB: Content-Length of HEAD', (r.status, r.get('content-length')),
          (200, str(size)))
    for at in (2**31, 2**32):
        for a, b in ((at - 1, at - 1), (at, at), (at + 1, at + 1),
                     (at - 9, at + 9), (at - 40000, at + 40000)):
            r = head_like_get('5 GiB, %d-%d' % (a, b), s, '/large.bin',
                              'Range: bytes=%d-%d\r\n' % (a, b))
            check('5 GiB, bytes %d-%d' % (a, b), r.status == 206 and
                  r.body == piece(a, b) and r.get('content-range') ==
                  'bytes %d-%d/%d' % (a, b, size), r)
    for n in (1, 3, 5000):
        r = get(s, '/large.bin', 'Range: bytes=-%d\r\n' % n)
        check('5 GiB, last %d bytes' % n, r.status == 206 and
              r.body == piece(size - n, size - 1) and r.get('content-range') ==
              'bytes %d-%d/%d' % (size - n, size - 1, size), r)
    for n in (size - 2**31, size - 2**32):      # long suffixes: their begin
        h = get(s, '/large.bin', 'Range: bytes=-%d\r\n' % n, method='HEAD')
        check('5 GiB, HEAD of the last %d bytes' % n, h.status == 206 and
              h.get('content-length') == str(n), h)
        c = s.connect()
        c.sendall(b'GET /large.bin HTTP/1.1\r\nHost: a\r\n'
                  b'Range: bytes=%d-\r\n\r\n' % (size - n))
        got, _ = read_all(c, 5, lambda d: len(d.partition(b'\r\n\r\n')[2]) > 9)
        c.close()
        equal('5 GiB, begin of the last %d bytes' % n,
              got.partition(b'\r\n\r\n')[2][:9], piece(size - n, size - n + 8))
    a, b = 2**31, 2**32
    want = [(a - 2, a + 2), (b - 2, b + 2), (size - 3, size - 1), (0, 0)]
    r = head_like_get('5 GiB, multipart', s, '/large.bin', 'Range: bytes=%s\r\n'
                      % ','.join('%d-%d' % w for w in want))
    equal('5 GiB, parts', [p[:3] + p[4:] for p in byteranges(r)],
          [w + (size, piece(*w)) for w in want])
    r = get(s, '/large.bin', 'Range: bytes=%d-\r\n' % size)
    equal('5 GiB, range at its end', (r.status, r.get('content-range')),
          (416, 'bytes */%d' % size))
    r = get(s, '/large.bin', 'Range: bytes=0-,%d-\r\n' % b, method='HEAD')
    equal('5 GiB, overlap is joined', (r.status, r.get('content-length')),
          (206, str(size)))
    s.stop()
    os.unlink(root + '/large.bin')


# ---- resolution --------------------------------------------------------------

def resolution():
    root = folder()
    for name, data in (
            ('index.html', 'top'), ('in.txt', 'in'), ('dir/index.html', 'dir'),
            ('dir/in.txt', 'dir-in'), ('none/x.txt', 'x'), ('page.html', 'page'),
            ('both.html', 'both-page'), ('both/index.html', 'both-dir'),
            ('sp ace/index.html', 'space'), ('second/home.htm', 'home'),
            ('third/home.htm', 'home3'), ('third/index.html', 'index3'),
            ('isdir/index.html/x', 'x'), ('isdir/home.htm', 'home4'),
            ('isdir2/index.html/x', 'x'), ('dirpage.html/x.txt', 'x'),
            ('evil.example/d/index.html', 'no-host'), ('page.html.gz', 'GZ'),
            ('.hid', 'hid'), ('.git/config', 'hid'), ('dir/.hid', 'hid'),
            ('dir/.git/config', 'hid'), ('.well-known/acme', 'acme'),
            ('.well-known/.hid', 'hid'), ('.well-known/d/.hid/x', 'hid'),
            ('dir/.well-known/acme', 'hid'), ('.well-known2', 'hid'),
            ('...', 'hid'), ('..x/y', 'hid'), ('a\r\nb/index.html', 'crlf'),
            ('q?r/index.html', 'qr'), ('p%41/index.html', 'percent'),
            ('@host/index.html', 'at'), ('c:/index.html', 'colon'),
            ('%2fx/index.html', 'p2f')):
        put(os.path.join(root, name), data)
    os.utime(root + '/page.html', (1e9, 1e9))
    put((root + '/').encode() + b'\xff\xfe/index.html', 'raw')
    s = Server(root)

    def want(srv, path, status, body=None, loc=None, tag=''):
        r = get(srv, path)
        check('%s%s -> %d%s' % (tag, ascii(path)[:80], status,
                                ' ' + loc if loc else ''),
              r.status == status and (body is None or r.body == body.encode())
              and r.get('location') == loc and r.complete and b'hid' != r.body,
              r)
        return r

    for p, loc in (
            ('/dir', '/dir/'), ('/dir?a=1&b=//x/..', '/dir/?a=1&b=//x/..'),
            ('/dir?', '/dir/?'), ('/dir?%22%0a', '/dir/?%22%0a'),
            ('//dir', '/dir/'), ('////dir', '/dir/'), ('/./dir', '/dir/'),
            ('/x/../dir', '/dir/'), ('/x/..//dir', '/dir/'), ('/%64ir', '/dir/'),
            ('//evil.example/d', '/evil.example/d/'), ('/none', '/none/'),
            ('/both', '/both/'), ('//evil.example', '/evil.example/'),
            ('/sp%20ace', '/sp%20ace/'), ('/.well-known', '/.well-known/'),
            ('/dirpage.html', '/dirpage.html/'), ('/@host', '/@host/'),
            ('/a%0d%0ab', '/a%0D%0Ab/'), ('/q%3Fr', '/q%3Fr/'),
            ('/p%2541', '/p%2541/'), ('/%252fx', '/%252fx/'),
            ('/\xff\xfe', '/%FF%FE/'), ('/%ff%fe', '/%FF%FE/'),
            ('/isdir/index.html', '/isdir/index.html/'),
            ('http://localhost/dir?x', '/dir/?x'), ('/c:', '/c:/')):
        r = want(s, p, 308, None, loc)
        check('308 of %s has no cache-control, etag' % ascii(p),
              r.get('cache-control') is None and r.get('etag') is None and
              r.get('last-modified') is None, r)
    for p, body in (
            ('/', 'top'), ('/?x', 'top'), ('//', 'top'), ('/./', 'top'),
            ('/dir/..', 'top'), ('/dir/', 'dir'), ('/dir//', 'dir'),
            ('/dir/.', 'dir'), ('/dir/x/..', 'dir'), ('//dir//in.txt', 'dir-in'),
            ('/in.txt', 'in'), ('/in.txt?x=/../y', 'in'), ('/page', 'page'),
            ('/page?q', 'page'), ('/page.html', 'page'), ('/both/', 'both-dir'),
            ('/both.html', 'both-page'), ('/index', 'top'), ('/i%6e.txt', 'in'),
            ('/dir/../in.txt', 'in'), ('/nope/../in.txt', 'in'),
            ('/dir/%2e%2e/in.txt', 'in'), ('/dir/%2E./in.txt', 'in'),
            ('/a%0D%0Ab/', 'crlf'), ('/q%3fr/', 'qr'), ('/p%2541/', 'percent'),
            ('/sp%20ace/', 'space'), ('/@host/', 'at'), ('/c:/', 'colon'),
            ('/%FF%fe/', 'raw'), ('/%252fx/', 'p2f'),
            ('/.well-known/acme', 'acme'), ('/x/../.well-known/acme', 'acme'),
            ('http://localhost/in.txt', 'in'), ('http://localhost', 'top')):
        want(s, p, 200, body)
    for p in ('/none/', '/in.txt/', '/in.txt/x', '/page/', '/page.html/',
              '/nope', '/nope/', '/second/', '/isdir/', '/isdir2/', '/dirpage',
              '/.hid', '/.git/config', '/.git', '/.git/', '/%2ehid', '/dir/.hid',
              '/dir/.git/config', '/.well-known/.hid', '/.well-known/',
              '/.well-known/d/.hid/x', '/dir/.well-known/acme', '/.well-known2',
              '/...', '/..x/y', '/dir%2fin.txt', '/dir%2F..%2Fin.txt', '/p%41',
              '/q?r/index.html', '/IN.TXT', '/in.txt%20', '/in.txt.', '/%5c',
              '/in.txt%0a', '/in.tx', '/index.html.html', '/' + 'x' * 300,
              '/%7f', '/%01'):
        want(s, p, 404)
    for p in ('/..', '/../', '/../in.txt', '/dir/../../in.txt', '/%2e%2e/in.txt',
              '/%', '/%4', '/%zz', '/in.txt%', '/%00', '/in.txt%00',
              '/in.txt%00.html', '/\\', '/dir\\in.txt', '/#x', '/in.txt#x',
              '/.%2e/', '/%u0041', '/\x01', '/\x7f', '/.//../in.txt'):
        want(s, p, 400)
    s.stop()

    s = Server(root, '--index-files', 'nope.html,home.htm,index.html')
    for p, body in (('/', 'top'), ('/second/', 'home'), ('/third/', 'home3'),
                    ('/isdir/', 'home4'), ('/dir/', 'dir')):
        want(s, p, 200, body, tag='--index-files: ')
    want(s, '/none/', 404, tag='--index-files: ')
    want(s, '/second', 308, None, '/second/', tag='--index-files: ')
    s.stop()

    s = Server(root, '--redirect-trailing-slash=false')
    for p, body in (('/dir', 'dir'), ('/dir/', 'dir'), ('/dir?x', 'dir'),
                    ('/both', 'both-dir'), ('/sp%20ace', 'space')):
        want(s, p, 200, body, tag='no redirect: ')
    for p in ('/none', '/second', '/none/', '/in.txt/', '/isdir2'):
        want(s, p, 404, tag='no redirect: ')
    s.stop()

    s = Server(root, '--include-hidden')
    for p in ('/.hid', '/.git/config', '/dir/.hid', '/dir/.git/config',
              '/.well-known/.hid', '/.well-known2', '/...', '/..x/y'):
        r = get(s, p)
        check('--include-hidden: %s' % p, r.status == 200 and r.body == b'hid',
              r)
    want(s, '/..', 400, tag='--include-hidden: ')
    want(s, '/.git', 308, None, '/.git/', tag='--include-hidden: ')
    s.stop()


def long_paths():
    """Around the longest path that can be a name, and far beyond it."""
    root = folder()
    put(root + '/in.txt', 'in')
    s = Server(root)
    for unit, text in (('x', 'x'), ('x/', 'x/'), ('%41', '%41'), ('.x/', '.x/'),
                       ('xx/./', 'xx/./'), ('a/../', 'a/../'),
                       ('%2f', '%2f'), ('long/', 'a' * 200 + '/')):
        for n in (2000, 4080, 4090, 4093, 4094, 4095, 4096, 4097, 4098, 4100,
                  4200, 5000, 6000, 7000, 8160):
            path = ('/' + text * (n // len(text) + 1))[:n].rstrip('%')
            path = re.sub('%[0-9a-f]$', '', path) + 'z'
            name = 'path of %d bytes of %s' % (len(path), unit)
            try:
                r = get(s, path)
                check(name, r.status in (404, 400), r)
            except (RuntimeError, OSError):
                time.sleep(0.2)
                check(name, False, 'server ended with %s' % s.stop())
                s = Server(root)
    equal('in.txt after 1,300 times /a/..', get(
        s, '/' + 'a/../' * 1300 + 'in.txt').body, b'in')
    s.stop()


def names():
    """What a file may be called, and what is no file."""
    root = folder()
    names = [b'a' * 255, b'n' * 250 + b'.html', b'a b  c.txt',
             '\u00fc\u20ac\U0001f600.txt'.encode(),
             b'\xff\xfe\x80', b'\x01\x1f\x7f', b'tab\there', b'nl\nnl', b'cr\rcr',
             b'"quoted"', b"it's", b'<b>&amp;', b'back\\slash', b'a;b=c', b'a+b',
             b'100%', b'%41', b'%2e%2e', b'a?b', b'a#b', b'$x', b'a:b', b'*', b'~',
             b'[x]', b'{y}', b'|', b'^', b'`', b'-rf', b' lead', b'trail ',
             b'CON', b'a..b', b'dot.', b'x.tar.gz', '\u202e'.encode(),
             'e\u0301'.encode(), '\u00e9'.encode()]
    for n in names:
        try:
            with open(root.encode() + b'/' + n, 'wb') as f:
                f.write(b'<' + n + b'>')
        except OSError as e:
            skip('name %r' % n, e)
    os.mkdir(root + '/x.html')
    os.mkdir(root + '/none')
    os.mkfifo(root + '/fifo')
    os.mkfifo(root + '/fifo2.html')
    os.mkdir(root + '/fifodir')
    os.mkfifo(root + '/fifodir/index.html')
    u = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(root)
    u.bind('sock')
    os.chdir(here)
    special = ['/fifo', '/fifo2', '/fifo2.html', '/fifodir/', '/sock', '/fifo/']
    try:
        os.mknod(root + '/null', 0o666 | 0o020000, os.makedev(1, 3))
        os.mknod(root + '/zero.html', 0o666 | 0o020000, os.makedev(1, 5))
        os.mknod(root + '/block', 0o666 | 0o060000, os.makedev(7, 0))
        special += ['/null', '/zero.html', '/zero', '/block']
    except OSError as e:
        skip('devices', e)
    put(root + '/fv.txt', b'plain')
    os.mkfifo(root + '/fv.txt.gz')
    os.mkdir(root + '/fv.txt.br')
    put(root + '/locked.txt', b'locked')
    put(root + '/lv.txt', b'plain', 1e9)
    put(root + '/lv.txt.gz', b'locked')
    put(root + '/shut/in.txt', b'locked')
    put(root + '/shuti/index.html', b'locked')
    put(root + '/noexec/in.txt', b'readable name only')
    os.chmod(root + '/locked.txt', 0)
    os.chmod(root + '/lv.txt.gz', 0)
    os.chmod(root + '/shuti/index.html', 0)
    os.chmod(root + '/shut', 0)
    os.chmod(root + '/noexec', 0o744)
    s = Server(root, wrap=unprivileged())
    for n in names:
        path = '/' + urllib.parse.quote(n)
        r = get(s, path)
        check('name %s' % path[:60], r.status == 200 and r.body == b'<' + n +
              b'>', r)
        if not set(n) & set(b'\\?#% "') and all(c > 32 and c != 127 for c in n):
            r = get(s, b'/' + n)
            check('name %s, sent raw' % path[:60], r.status == 200 and
                  r.body == b'<' + n + b'>', r)
    equal('name without .html, 255 with', get(s, '/' + 'n' * 250).status, 200)
    for n in (251, 255, 256, 300, 4095, 4096, 5000):
        equal('name of %d bytes' % n, get(s, '/' + 'z' * n).status, 404)
    fds = s.fds()
    for p in special:
        t = time.time()
        r = get(s, p)
        check('no regular file: %s' % p, r.status == 404 and
              time.time() - t < 2 * SLOW, '%r in %.1f s' % (r, time.time() - t))
    check('no descriptor stays', s.fds() <= fds + 1, (fds, s.fds()))
    equal('folder called x.html: /x', get(s, '/x').status, 404)
    equal('folder called x.html: /x.html', get(s, '/x.html').get('location'),
          '/x.html/')
    r = get(s, '/fv.txt', 'Accept-Encoding: gzip, br\r\n')
    check('FIFO and folder as variants', r.status == 200 and r.body == b'plain'
          and r.get('content-encoding') is None and r.get('vary') is None, r)
    for p in ('/locked.txt', '/shut/in.txt', '/shut/', '/shuti/',
              '/noexec/in.txt', '/shut/nope'):
        r = get(s, p)
        check('not readable: %s' % p, r.status == 403 and
              b'locked' not in r.body, r)
    r = get(s, '/lv.txt', 'Accept-Encoding: gzip\r\n')
    check('unreadable variant is not used', r.status == 200 and
          r.body == b'plain' and r.get('content-encoding') is None, r)
    os.chmod(root + '/locked.txt', 0o644)
    equal('readable again', get(s, '/locked.txt').body, b'locked')
    s.stop()
    u.close()
    os.chmod(root + '/shut', 0o755)


# ---- links and the way out ---------------------------------------------------

def tree():
    """A root with links of every kind; returns (root, path of the canary)."""
    top = folder('links')
    root = top + '/root'
    out = put(top + '/CANARY', CANARY)
    put(top + '/out/in.txt', CANARY)
    put(top + '/out/index.html', CANARY)
    put(top + '/rootx/in.txt', CANARY)      # a neighbour with our prefix
    put(root + '/in.txt', b'in')
    put(root + '/sub/in.txt', b'sub')
    put(root + '/sub/deep/in.txt', b'deep')
    put(root + '/sub/index.html', b'subindex')
    for d in 'absdir', 'idx_in', 'idx_out', 'idx_abs', 'idx_dead', 'idx_next':
        os.mkdir(root + '/' + d)
    put(root + '/idx_next/index.htm', b'next')
    for name in 'v_in', 'v_out', 'v_ok':
        put(root + '/%s.txt' % name, b'plain', 1e9)
    put(root + '/real.gz', b'GZ')
    put(root + '/v_ok.txt.br', b'BR')
    for link, target in (
            ('l_file', 'in.txt'), ('l_dir', 'sub'), ('l_dead', 'nowhere'),
            ('l_abs', root + '/in.txt'), ('l_absdir', root + '/sub'),
            ('l_out', '../CANARY'), ('l_outabs', out), ('l_outdir', '../out'),
            ('l_outdirabs', top + '/out'), ('l_loop', 'l_loop'),
            ('l_loop1', 'l_loop2'), ('l_loop2', 'l_loop1'), ('l_root', '.'),
            ('l_up', '..'), ('l_slash', '/'), ('l_prefix', '../rootx'),
            ('l_back', '../root/in.txt'), ('l_dots', 'sub/../in.txt'),
            ('l_chain', 'l_file'), ('l_chainout', 'l_out'),
            ('l_proc', '/proc/self/root'), ('l_page.html', 'in.txt'),
            ('l_pageout.html', '../CANARY'), ('sub/l_up', '../in.txt'),
            ('sub/l_mid', 'deep'), ('sub/l_midout', '../../out'),
            ('l_slashdir', 'sub/'), ('l_fileslash', 'in.txt/'),
            ('idx_in/index.html', '../in.txt'),
            ('idx_out/index.html', '../../CANARY'), ('idx_abs/index.html', out),
            ('idx_dead/index.html', 'nowhere'),
            ('idx_next/index.html', 'nowhere'),
            ('v_in.txt.gz', 'real.gz'), ('v_out.txt.gz', '../CANARY'),
            ('v_out.txt.br', out), ('v_out.txt.zst', 'nowhere')):
        os.symlink(target, root + '/' + link)
    os.utime(out)
    return root, out


ALL = 'Accept-Encoding: gzip, br, zstd\r\n'
LINKS = [       # path, without --follow-symlinks, with it (body or status)
    ('/l_file', 403, b'in'), ('/l_dir', 403, 308), ('/l_dir/', 403, b'subindex'),
    ('/l_dir/in.txt', 403, b'sub'), ('/l_dead', 403, 404),
    ('/l_dir/nope', 403, 404), ('/l_abs', 403, None), ('/l_absdir/', 403, None),
    ('/l_absdir/in.txt', 403, None), ('/l_out', 403, 404),
    ('/l_outabs', 403, 404), ('/l_outdir', 403, 404), ('/l_outdir/', 403, 404),
    ('/l_outdir/in.txt', 403, 404), ('/l_outdirabs', 403, 404),
    ('/l_outdirabs/', 403, 404), ('/l_outdirabs/in.txt', 403, 404),
    ('/l_loop', 403, 404), ('/l_loop1', 403, 404), ('/l_loop/x', 403, 404),
    ('/l_root/in.txt', 403, b'in'), ('/l_root/l_root/l_root/in.txt', 403, b'in'),
    ('/l_up/CANARY', 403, 404), ('/l_up/root/in.txt', 403, 404),
    ('/l_up', 403, 404), ('/l_up/', 403, 404), ('/l_slash', 403, 404),
    ('/l_slash/etc/passwd', 403, 404), ('/l_prefix/in.txt', 403, 404),
    ('/l_back', 403, 404), ('/l_dots', 403, b'in'), ('/l_chain', 403, b'in'),
    ('/l_chainout', 403, 404), ('/l_proc/etc/passwd', 403, 404),
    ('/l_page', 403, b'in'), ('/l_page.html', 403, b'in'),
    ('/l_pageout', 403, 404), ('/l_pageout.html', 403, 404),
    ('/sub/l_up', 403, b'in'), ('/sub/l_mid/in.txt', 403, b'deep'),
    ('/sub/l_midout/in.txt', 403, 404), ('/l_root/sub/l_mid/in.txt', 403, b'deep'),
    ('/l_slashdir/in.txt', 403, b'sub'), ('/l_slashdir/', 403, b'subindex'),
    ('/l_fileslash', 403, 404), ('/idx_in/', 403, b'in'),
    ('/idx_out/', 403, 404), ('/idx_abs/', 403, 404), ('/idx_dead/', 403, 404),
    ('/v_in.txt', b'plain', None), ('/v_out.txt', b'plain', b'plain'),
    ('/v_ok.txt', b'BR', b'BR'), ('/v_in.txt.gz', 403, b'GZ'),
    ('/v_out.txt.gz', 403, 404), ('/v_out.txt.br', 403, 404),
    ('/l_dir/../in.txt', b'in', b'in'), ('/l_up/../in.txt', b'in', b'in'),
    ('/sub/../l_out', 403, 404), ('/in.txt', b'in', b'in'),
]


def links(wrap=(), tag=''):
    root, out = tree()
    for follow in False, True:
        s = Server(root, *(['--follow-symlinks'] if follow else []), wrap=wrap)
        how = tag + ('followed: ' if follow else 'links: ')
        for path, no, yes in LINKS:
            want = yes if follow else no
            r = get(s, path, ALL)
            g = get(s, path)
            body = r.body if r.status == 200 else r.status
            if want is None:        # an absolute link inside: either way
                good = r.status == 404 or body in (b'in', b'sub', b'subindex',
                                                   b'plain', b'GZ')
            else:
                good = body == want
            check('%s%s -> %s' % (how, path, want), good and CANARY not in
                  r.body + g.body + r.head and g.status == r.status,
                  '%r, without Accept-Encoding %r' % (r, g))
        r = get(s, '/v_out.txt', ALL)
        check(how + 'a variant that leads outside is none', r.get(
            'content-encoding') is None, r)
        if not follow:
            r = get(s, '/v_in.txt', ALL)
            check(how + 'a linked variant is none, no Vary',
                  r.get('content-encoding') is None and r.get('vary') is None,
                  r)
        if follow:
            for i in range(3):      # a link that moves is looked at each time
                for target, want in (('in.txt', 200), ('../CANARY', 404),
                                     ('sub/in.txt', 200), ('../out', 404)):
                    os.symlink(target, root + '/new')
                    os.rename(root + '/new', root + '/l_moves')
                    r = get(s, '/l_moves')
                    check(how + 'link moved to %s (%d)' % (target, i),
                          r.status == want and CANARY not in r.body, r)
        end(s)
    s = Server(root, '--index-files', 'nope.html,index.htm', wrap=wrap)
    equal(tag + 'second index file', get(s, '/idx_next/').body, b'next')
    end(s)


def traversals(out):
    """At least 300 targets that try to leave."""
    rnd = random.Random(11)
    dots = ['..', '%2e%2e', '.%2e', '%2E.', '%252e%252e', '%c0%ae%c0%ae',
            '%e0%80%ae%e0%80%ae', '%uff0e%uff0e', '..;', '..;x=1', '..%00',
            '..%20', '..%09', '..%0a', '..%0d', '...', '....', '..\xc0\x80',
            '%f0%80%80%ae.', '.%00.', '%2e%2e%2f..', '..%ff', '.%252e', '..%5c..',
            '..%23', '..%3f', '%ef%bc%8e%ef%bc%8e', '%25%32%65%25%32%65']
    seps = ['/', '//', '%2f', '%5c', '\\', '%252f', '%c0%af', '/./', '%2F/',
            '/%2e/', '%5C/', '\\/', '%e0%80%af', '%ef%bc%8f', ';/', '%00/',
            '/sub/../', '%255c', '/.%00/']
    heads = ['/', '/sub/', '/sub/deep/', '//', '/./', '/nope/', '/in.txt/', '']
    tails = ['CANARY', 'out/in.txt', 'rootx/in.txt', 'etc/passwd',
             'out/', 'CANARY%00.html', 'CANARY?', 'CANARY/', 'root/../CANARY']
    got = {}
    for d, s in itertools.product(dots, seps):
        n = rnd.randrange(1, 8)
        got['/' + (d + s) * n + rnd.choice(tails)] = 1
    for _ in range(200):
        got[(rnd.choice(heads) or '/') + ''.join(
            rnd.choice(dots) + rnd.choice(seps)
            for _ in range(rnd.randrange(1, 12))) + rnd.choice(tails)] = 1
    all_ = sorted(got)
    rnd.shuffle(all_)
    del all_[330:]
    q = urllib.parse.quote(out)
    return all_ + [
        out, '/' + out, '//' + out, q, '/' + q[1:].replace('/', '%2f'),
        '/' + out.replace('/', '\\'), 'file://' + out, 'http://localhost' + out,
        'http://localhost/../CANARY', 'http://localhost/%2e%2e/CANARY',
        'http://localhost//' + out, '/sub/../../CANARY', '/sub/..%2f..%2fCANARY',
        '/..', '/../', '/%2e%2e', '/.%2e/CANARY', '/sub/../../root/in.txt',
        '/sub/deep/../../../CANARY', '/' + '../' * 400 + 'etc/passwd',
        '/' + '%2e%2e/' * 300 + 'etc/passwd', '/' + 'sub/../' * 300 + '../CANARY',
        '/proc/self/root' + out, '/~root/.profile', '/sub/%00/../../CANARY',
        '/sub/..\\..\\CANARY', '/c:/../CANARY', '/in.txt/../../CANARY',
        '/%2fetc%2fpasswd', '/%2f%2fetc/passwd', '/.//..//CANARY',
        '/dev/fd/3/../CANARY', '/sub/.../CANARY', '/..../CANARY', '/..CANARY',
        '*/../CANARY', '../CANARY', 'CANARY', '/%', '/%2', '/..%', '/%%32%65.']


def leaving(wrap=(), tag=''):
    root, out = tree()
    s = Server(root, wrap=wrap)
    bodies = {b'in', b'sub', b'deep', b'subindex'}
    bad = []
    tried = traversals(out)
    for t in tried:
        began = time.time()
        r = talk(s, b'GET ' + t.encode('latin-1') + b' HTTP/1.1\r\n'
                 b'Host: localhost\r\nConnection: close\r\n\r\n')
        took = time.time() - began
        if r is None or CANARY in r.head + r.body or b'root:' in r.body or not (
                400 <= r.status < 500 or r.status == 200 and r.body in bodies) \
                or took > 2 * SLOW:
            bad.append((t[:100], r, '%.1f s' % took))
    check(tag + '%d targets that try to leave' % len(tried),
          not bad and len(tried) >= 300, '%d: %r' % (len(bad), bad[:3]))
    check(tag + 'it still serves', get(s, '/in.txt').body == b'in')
    end(s)


def no_openat2():
    """The same where openat2 is missing (older kernels, seccomp filters)."""
    strace = shutil.which('strace')
    if not strace:
        return skip('without openat2', 'no strace')
    if STRICT:
        return skip('without openat2', 'the strictest sandbox wants it')
    wrap = [strace, '-f', '-qq', '-e', 'trace=openat2', '-e',
            'inject=openat2:error=ENOSYS', '-o', '/dev/null']
    probe = subprocess.run(wrap + ['true'], capture_output=True)
    if probe.returncode:
        return skip('without openat2', probe.stderr.decode()[-100:])
    links(wrap, 'no openat2, ')
    leaving(wrap, 'no openat2, ')
    top = folder()
    put(top + '/r/index.html', 'x')
    put(top + '/out.html', CANARY)
    for page in '../out.html', './../out.html', 'x/../../out.html':
        s = Server(top + '/r', '--page404', page, wrap=wrap)
        r = get(s, '/nope')
        check('no openat2, --page404 outside the root: ' + page[-14:],
              r.status == 404 and CANARY not in r.body, r)
        end(s)


# ---- a folder and a link to the outside change places --------------------------

class Race:
    """Runs beside the other checks; finish() makes its own."""

    SWAP = '''
import os, sys, ctypes
libc = ctypes.CDLL(None, use_errno=True)
os.chdir(sys.argv[1])
n, exchange = 0, True
while os.getppid() == int(sys.argv[2]):
    # at once where the system can, else one after the other
    if not exchange or libc.renameat2(-100, b'swap', -100, b'other', 2) < 0:
        exchange = False
        os.rename('swap', 'tmp')
        os.rename('other', 'swap')
        os.rename('tmp', 'other')
    n += 1
'''

    def __init__(self):
        self.top = top = folder('race')
        self.root = root = top + '/root'
        for d in 'swap', 'swap/sub', 'swap/sub/deep':
            for n in 'in.txt', 'index.html', 'page.html', 'v.txt':
                put('%s/%s/%s' % (root, d, n), b'inside', 1e9)
            put('%s/%s/v.txt.gz' % (root, d), b'inside')
        for d in 'out', 'out/sub', 'out/sub/deep':
            for n in ('in.txt', 'index.html', 'page.html', 'v.txt', 'v.txt.gz',
                      'only.txt'):
                put('%s/%s/%s' % (top, d, n), CANARY)
        os.symlink('../out', root + '/other')
        put(root + '/calm.txt', b'calm')
        put(root + '/a/calm.txt', b'calm')
        os.symlink('../calm.txt', root + '/a/l_calm')
        self.servers = [Server(root), Server(root, '--follow-symlinks'),
                        Server(root, '--include-hidden',
                               '--redirect-trailing-slash=false')]
        self.swap = spawn([sys.executable, '-c', self.SWAP, root,
                           str(os.getpid())])
        self.until = time.time() + RACE
        self.seen, self.bad = {}, []
        self.threads = [threading.Thread(target=self.client, args=(s, i),
                                         daemon=True)
                        for i, s in enumerate(self.servers)]
        for t in self.threads:
            t.start()

    PATHS = ['/swap/in.txt', '/swap/sub/in.txt', '/swap/sub/deep/in.txt',
             '/swap/', '/swap/sub/', '/swap/page', '/swap/v.txt', '/other/in.txt',
             '/swap/only.txt', '/other/sub/deep/v.txt', '/swap', '/other/',
             '/swap/sub', '/calm.txt', '/a/l_calm', '/nope/../swap/in.txt']

    def client(self, s, i):
        """Batches of pipelined requests, so that they meet every state."""
        rnd, seen = random.Random(i), {}
        c = s.connect()
        while time.time() < self.until:
            paths = [rnd.choice(self.PATHS) for _ in range(16)]
            out = b''.join(b'GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n' % (
                p.encode(), rnd.choice((b'', b'Accept-Encoding: gzip\r\n')))
                for p in paths)
            try:
                # half of the time each gets a turn of its own
                if rnd.random() < 0.5:
                    c.sendall(out)
                else:
                    for part in out.split(b'\r\n\r\n')[:-1]:
                        c.sendall(part + b'\r\n\r\n')
                data, how = read_all(c, 10, lambda d: len(
                    parse_responses(d)[0]) >= 16 and
                    parse_responses(d)[0][15].complete)
            except OSError as e:
                self.bad.append((s.proc.poll(), e))
                return
            rs, _ = parse_responses(data)
            if len(rs) != 16:
                self.bad.append((s.proc.poll(), how, len(rs), data[-300:]))
                return
            for p, r in zip(paths, rs):
                calm = 'calm' in p
                key = 'calm' if calm else 'swap', r.status
                seen[key] = seen.get(key, 0) + 1
                if CANARY in r.head + r.body or r.status >= 500 or \
                        r.status == 200 and r.body != (
                            b'calm' if calm else b'inside') or \
                        calm and r.status != (403 if 'l_' in p and i != 1
                                              else 200):
                    self.bad.append((p, r))
        c.close()
        self.seen[i] = seen

    def finish(self):
        for t in self.threads:
            t.join()
        alive = self.swap.poll() is None
        self.swap.kill()
        self.swap.wait()
        for i, what in enumerate(('links refused', 'links followed',
                                  'no redirects')):
            seen = self.seen.get(i, {})
            check('race, %s: both sides were met' % what, alive and
                  seen.get(('swap', 200)) and
                  (seen.get(('swap', 403)) or seen.get(('swap', 404))), seen)
        check('race: no byte from outside, no 5xx, the calm file always',
              not self.bad, '%d: %r' % (len(self.bad), self.bad[:3]))
        for s in self.servers:
            check('race: server lives', s.proc.poll() is None, s.proc.poll())
            s.stop()


# ---- encodings ---------------------------------------------------------------

def encodings():
    root, old = folder(), 1577882096
    plain, body = b'plain text ' * 30, {}
    put(root + '/all.txt', plain, old)
    for e, ext in ('br', 'br'), ('zstd', 'zst'), ('gzip', 'gz'):
        body[e] = e.encode() * 20
        put(root + '/all.txt.' + ext, body[e], old + (0 if e == 'br' else 9))
    put(root + '/bare.txt', plain, old)
    put(root + '/stale.txt', plain, old)
    put(root + '/stale.txt.br', b'stale', old - 1)
    put(root + '/stale.txt.gz', body['gzip'], old)
    put(root + '/staler.txt', plain, old)
    put(root + '/staler.txt.gz', b'stale', old - 9)
    put(root + '/ns.txt', plain)
    put(root + '/ns.txt.gz', b'stale')
    os.utime(root + '/ns.txt', ns=(0, old * 10**9 + 2))
    os.utime(root + '/ns.txt.gz', ns=(0, old * 10**9 + 1))
    put(root + '/only.txt.gz', b'only')
    put(root + '/index.html', plain, old)
    put(root + '/index.html.br', body['br'])
    put(root + '/page.html', plain, old)
    put(root + '/page.html.zst', body['zstd'])
    put(root + '/a.css', plain, old)
    put(root + '/a.css.gz', body['gzip'])
    put(root + '/x.tar.gz', b'tar', old)
    put(root + '/.hid.txt', plain, old)
    put(root + '/zero.txt', b'', old)
    put(root + '/zero.txt.gz', body['gzip'])
    body[None] = plain
    s = Server(root)
    no, gz, br, zst = None, 'gzip', 'br', 'zstd'
    # value, with all variants, without any (406 or the plain file)
    table = [
        ([], no, no), ([''], no, no), (['identity'], no, no), (['gzip'], gz, no),
        (['br'], br, no), (['zstd'], zst, no), (['deflate'], no, no),
        (['gzip, deflate, br, zstd'], br, no), (['gzip, zstd'], zst, no),
        (['gzip,br'], br, no), (['zstd,gzip,br'], br, no), (['*'], br, no),
        (['gzip;q=1.0, br;q=0.5'], gz, no), (['br;q=0.1, zstd;q=0.2'], zst, no),
        (['gzip;q=0.501,br;q=0.5,zstd;q=0.499'], gz, no),
        (['gzip;q=0.5,br;q=0.5,zstd;q=0.5'], br, no), (['gzip;q=0'], no, no),
        (['br;q=0, gzip'], gz, no), (['br;q=0.0,*;q=0.5'], zst, no),
        (['br;q=0.001'], br, no), (['*;q=0.5, gzip;q=0.1'], br, no),
        (['br;q=0, zstd;q=0, *'], gz, no), (['*, br;q=0, zstd;q=0'], gz, no),
        (['br;q=0.5, identity'], no, no), (['br, identity;q=0.5'], br, no),
        (['gzip;q=0.3, identity;q=0.7, br;q=0.2'], no, no),
        (['identity;q=0, gzip'], gz, 406), (['gzip, identity;q=0.0'], gz, 406),
        (['gzip, *;q=0'], gz, 406), (['*;q=0'], 406, 406),
        (['identity;q=0, deflate'], 406, 406), (['identity;q=0, *'], br, 406),
        (['*;q=0, identity'], no, no), (['*;q=0, identity;q=0.1'], no, no),
        (['*;q=0, identity;q=0'], 406, 406), (['compress, *;q=0'], 406, 406),
        (['identity;q=0, br;q=0, *;q=0.1'], zst, 406),
        (['GZIP'], gz, no), (['Br'], br, no), (['gzip;Q=0.5'], gz, no),
        (['Identity;q=0, GZip'], gz, 406), (['x-gzip'], gz, no),
        (['  gzip ; q=0.8 ,\tbr;q=0.9 '], br, no), ([',,gzip,,'], gz, no),
        (['gzip', 'br'], br, no), (['gzip', 'br;q=0.5'], gz, no),
        (['br;q=0', 'gzip, br;q=0'], gz, no), (['identity;q=0', 'zstd'], zst, 406),
        (['br;q=1.000'], br, no), (['br;q=1.', ' gzip;q=0.'], br, no),
        (['xbr, brx, gzipp'], no, no), (['gzip-x'], no, no),
        (['br' + ', gzip;q=0.5' * 500], br, no),
    ]
    for lines, yes, without in table:
        f = ''.join('Accept-Encoding: %s\r\n' % v for v in lines)
        name = 'Accept-Encoding %s' % ' | '.join(v[:60] for v in lines)
        r = head_like_get(name, s, '/all.txt', f, 406 if yes == 406 else 200)
        check('%s -> %s' % (name, yes or 'plain'), r.get('vary') ==
              'accept-encoding' and (
                  yes == 406 and r.get('content-encoding') is None or
                  yes != 406 and r.body == body[yes] and
                  r.get('content-encoding') == yes and
                  r.get('content-length') == str(len(body[yes])) and
                  r.get('content-type') == 'text/plain; charset=utf-8'), r)
        r = head_like_get(name + ', no variants', s, '/bare.txt', f,
                          without or 200)
        check('%s, no variants -> %s' % (name, without or 'plain'), without ==
              406 or r.body == plain and r.get('content-encoding') is None and
              r.get('vary') is None, r)
    r = get(s, '/all.txt', 'Accept-Encoding: identity;q=0\r\n')
    check('identity;q=0 alone is never answered with identity', r.status == 406
          or r.status == 200 and r.get('content-encoding') in (br, gz, zst), r)
    equal('identity;q=0 alone, no variants',
          get(s, '/bare.txt', 'Accept-Encoding: identity;q=0\r\n').status, 406)
    for v in ('gzip;q', 'gzip;q=', 'gzip;q=x', 'gzip;q=2', 'gzip;q=-1', ';q=1',
              'gzip;q=0.1234', 'gzip;level=9', 'gzip q=1', '"gzip"', 'gzip;;',
              '*;q=nan', 'br=1', '\xff\xfe', 'gzip;q=1.001', ';', 'identity;q=',
              '=,;=', 'gzip;q=.5', '*' * 3000):
        r = get(s, '/all.txt', 'Accept-Encoding: %s\r\n' % v)
        check('malformed Accept-Encoding %s' % ascii(v[:30]), r.status == 200 and
              r.get('content-encoding') in (None, gz, br) and
              r.body == body[r.get('content-encoding')] and
              r.get('vary') == 'accept-encoding', r)

    every = 'Accept-Encoding: gzip, br, zstd\r\n'
    for path, want, vary, why in (
            ('/stale.txt', gz, True, 'older br is passed over, as old is used'),
            ('/staler.txt', no, False, 'only an older one'),
            ('/ns.txt', no, False, 'older by a nanosecond'),
            ('/', br, True, 'index file'), ('/page', zst, True, 'found as .html'),
            ('/page.html', zst, True, ''), ('/zero.txt', gz, True, 'empty plain')):
        r = get(s, path, every)
        check('variant of %s (%s) -> %s' % (path, why, want), r.status == 200 and
              r.body == body[want] and r.get('content-encoding') == want and
              (r.get('vary') == 'accept-encoding') == vary, r)
    r = get(s, '/only.txt', every)
    check('variant without its plain file', r.status == 404 and
          r.get('content-encoding') is None, r)
    for p, b in ('/only.txt.gz', b'only'), ('/x.tar.gz', b'tar'), \
            ('/all.txt.gz', body[gz]):
        r = get(s, p, every)
        check('%s itself' % p, r.status == 200 and r.body == b and
              r.get('content-type') == 'application/gzip' and
              r.get('content-encoding') is None and r.get('vary') is None, r)
    r = get(s, '/a.css', every)
    check('variant has the plain type and cache-control', r.get('content-type')
          == 'text/css; charset=utf-8' and r.get('cache-control') == YEAR, r)

    got = {e: get(s, '/all.txt', 'Accept-Encoding: %s\r\n' % (e or 'identity'))
           for e in (no, br, gz, zst)}
    tags = {e: r.get('etag') for e, r in got.items()}
    check('one ETag a variant', len(set(tags.values())) == 4 and
          all(tags.values()), tags)
    for e in br, gz, zst:
        ae, b = 'Accept-Encoding: %s\r\n' % e, body[e]
        n = len(b)
        for rng, a, z in (('2-5', 2, 5), ('-3', n - 3, n - 1),
                          ('1-', 1, n - 1)):
            r = head_like_get('%s of %s' % (rng, e), s, '/all.txt', ae +
                              'Range: bytes=%s\r\n' % rng)
            check('range %s of %s' % (rng, e), r.status == 206 and
                  r.body == b[a:z + 1] and r.get('content-range') ==
                  'bytes %d-%d/%d' % (a, z, n) and r.get('etag') == tags[e] and
                  r.get('content-encoding') == e and
                  r.get('vary') == 'accept-encoding', r)
        r = get(s, '/all.txt', ae + 'Range: bytes=0-1,9-10\r\n')
        check('parts of %s' % e, r.status == 206 and [
            p[:3] + p[4:] for p in byteranges(r)] == [(0, 1, n, b[:2]),
                                                      (9, 10, n, b[9:11])] and
            r.get('etag') == tags[e] and r.get('vary') == 'accept-encoding', r)
        r = get(s, '/all.txt', ae + 'Range: bytes=%d-\r\n' % n)
        check('range at the end of %s' % e, r.status == 416 and
              r.get('content-range') == 'bytes */%d' % n, r)
        for f, want in (('If-None-Match: ' + tags[e], 304),
                        ('If-None-Match: ' + tags[no], 200),
                        ('If-Match: ' + tags[e], 200),
                        ('If-Match: ' + tags[no], 412),
                        ('Range: bytes=0-1\r\nIf-Range: ' + tags[no], 200),
                        ('Range: bytes=0-1\r\nIf-Range: ' + tags[e], 206)):
            r = get(s, '/all.txt', ae + f + '\r\n')
            check('%s of %s: %s' % (want, e, re.sub('"[^"]*"', 'TAG', f).replace(
                '\r\n', ', ')), r.status == want and (want not in (206, 304) or
                r.get('etag') == tags[e] and r.get('vary') ==
                'accept-encoding'), r)
    s.stop()
    s = Server(root, '--compression-static=false')
    r = get(s, '/all.txt', every)
    check('--compression-static=false', r.status == 200 and r.body == plain and
          r.get('content-encoding') is None and r.get('vary') is None and
          r.get('content-type') == 'text/plain; charset=utf-8', r)
    s.stop()


# ---- types, Cache-Control ----------------------------------------------------

def types():
    table = [       # extension, type, charset, Cache-Control
        ('html', 'text/html', 1, NO), ('htm', 'text/html', 1, NO),
        ('css', 'text/css', 1, YEAR), ('js', 'text/javascript', 1, YEAR),
        ('mjs', 'text/javascript', 1, YEAR), ('txt', 'text/plain', 1, NO),
        ('xml', 'text/xml', 1, NO), ('md', 'text/markdown', 1, NO),
        ('csv', 'text/csv', 1, NO), ('ics', 'text/calendar', 1, NO),
        ('vtt', 'text/vtt', 1, NO), ('htc', 'text/x-component', 1, YEAR),
        ('json', 'application/json', 0, NO),
        ('map', 'application/json', 0, YEAR),
        ('webmanifest', 'application/manifest+json', 0, NO),
        ('jsonld', 'application/ld+json', 0, NO),
        ('geojson', 'application/geo+json', 0, NO),
        ('atom', 'application/atom+xml', 0, HOUR),
        ('rss', 'application/rss+xml', 0, HOUR),
        ('xhtml', 'application/xhtml+xml', 0, NO),
        ('svg', 'image/svg+xml', 0, NO), ('png', 'image/png', 0, YEAR),
        ('jpg', 'image/jpeg', 0, YEAR), ('jpeg', 'image/jpeg', 0, YEAR),
        ('gif', 'image/gif', 0, YEAR), ('webp', 'image/webp', 0, YEAR),
        ('avif', 'image/avif', 0, YEAR), ('jxl', 'image/jxl', 0, YEAR),
        ('ico', 'image/x-icon', 0, YEAR), ('bmp', 'image/bmp', 0, YEAR),
        ('ts', 'video/mp2t', 0, NO), ('mp4', 'video/mp4', 0, YEAR),
        ('webm', 'video/webm', 0, YEAR), ('ogv', 'video/ogg', 0, YEAR),
        ('mp3', 'audio/mpeg', 0, YEAR), ('ogg', 'audio/ogg', 0, YEAR),
        ('woff', 'font/woff', 0, YEAR), ('woff2', 'font/woff2', 0, YEAR),
        ('ttf', 'font/ttf', 0, NO), ('otf', 'font/otf', 0, NO),
        ('pdf', 'application/pdf', 0, YEAR), ('zip', 'application/zip', 0, YEAR),
        ('gz', 'application/gzip', 0, YEAR), ('tar', 'application/x-tar', 0, YEAR),
        ('bz2', 'application/x-bzip2', 0, YEAR), ('wasm', 'application/wasm', 0, NO),
        ('7z', 'application/x-7z-compressed', 0, NO),
        ('rtf', 'application/rtf', 0, YEAR), ('epub', 'application/epub+zip', 0, NO),
        ('bin', 'application/octet-stream', 0, NO),
        ('unknownext', 'application/octet-stream', 0, NO),
        ('x' * 200, 'application/octet-stream', 0, NO),
        ('c s', 'application/octet-stream', 0, NO),
        ('%s', 'application/octet-stream', 0, NO),
    ]
    root = folder()
    for ext, *_ in table:
        put('%s/f.%s' % (root, ext), b'x')
        put('%s/up/F.%s' % (root, ext.upper()), b'x')
    odd = [('Makefile', 'application/octet-stream', NO),
           ('css', 'application/octet-stream', NO),
           ('a.css.txt', 'text/plain; charset=utf-8', NO),
           ('a.txt.css', 'text/css; charset=utf-8', YEAR),
           ('dot.', 'application/octet-stream', NO),
           ('d.css/README', 'application/octet-stream', NO),
           ('a.tar.gz', 'application/gzip', YEAR),
           ('.well-known/.css', None, None),
           ('.well-known/openid', 'application/octet-stream', NO)]
    for n, *_ in odd:
        put('%s/%s' % (root, n), b'x')
    s = Server(root)
    for ext, kind, text, cc in table:
        want = kind + ('; charset=utf-8' if text else '')
        for p in '/f.' + ext, '/up/F.' + ext.upper():
            r = get(s, urllib.parse.quote(p))
            check('type of %s' % p[:30], (r.status, r.get('content-type'),
                                          r.get('cache-control')) ==
                  (200, want, cc), '%r, want %s, %s' % (r, want, cc))
    for n, kind, cc in odd:
        r = get(s, '/' + n)
        check('type of /%s' % n, (r.get('content-type'), r.get('cache-control'))
              == (kind, cc) if kind else r.status == 404, r)
    r = get(s, '/f.css', 'Range: bytes=0-0\r\n')
    equal('Cache-Control on 206', (r.status, r.get('cache-control')), (206, YEAR))
    for p, f, want in (('/nope.css', '', 404), ('/up', '', 308),
                       ('/f.css', 'Range: bytes=9-\r\n', 416),
                       ('/f.css', 'If-Match: "x"\r\n', 412),
                       ('/f.css', 'Accept-Encoding: *;q=0\r\n', 406),
                       ('/..', '', 400)):
        r = get(s, p, f)
        check('no Cache-Control, ETag, Last-Modified on %d' % want,
              r.status == want and not any(r.get(k) for k in (
                  'cache-control', 'etag', 'last-modified')), r)
    s.stop()
    s = Server(root, '--text-charset=false', '--cache-control-headers=false')
    for ext, kind, *_ in table[:12]:
        r = get(s, '/f.' + ext)
        check('--text-charset=false, --cache-control-headers=false: ' + ext,
              (r.get('content-type'), r.get('cache-control')) == (kind, None), r)
    s.stop()


# ---- HEAD, error pages -------------------------------------------------------

def head():
    """HEAD tells what GET would, for every status."""
    root = folder()
    put(root + '/f.txt', b'0123456789', 1e9)
    put(root + '/dir/index.html', b'dir')
    put(root + '/e.txt', b'')
    os.symlink('f.txt', root + '/link')
    s = Server(root)
    tag = get(s, '/f.txt').get('etag')
    for status, path, f in (
            (200, '/f.txt', ''), (200, '/e.txt', ''), (200, '/dir/', ''),
            (206, '/f.txt', 'Range: bytes=2-3\r\n'),
            (206, '/f.txt', 'Range: bytes=2-3,5-6\r\n'),
            (304, '/f.txt', 'If-None-Match: %s\r\n' % tag), (308, '/dir', ''),
            (308, '/dir?q', ''), (400, '/..', ''), (403, '/link', ''),
            (404, '/nope', ''), (404, '/f.txt/', ''),
            (406, '/f.txt', 'Accept-Encoding: identity;q=0\r\n'),
            (412, '/f.txt', 'If-Match: "x"\r\n'),
            (416, '/f.txt', 'Range: bytes=20-\r\n')):
        r = head_like_get('%d of %s' % (status, path), s, path, f, status)
        check('%d of %s: Content-Length and Date' % (status, path), status ==
              304 or r.get('content-length') == str(len(r.body)) and
              abs(seconds(r.get('date')) - time.time()) < 5, r)
    # behind a HEAD answer comes the next answer, not a body
    c = s.connect()
    c.sendall(b''.join(b'HEAD %s HTTP/1.1\r\nHost: a\r\n\r\n' % p for p in
                       (b'/f.txt', b'/nope', b'/dir', b'/link')) +
              b'GET /f.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    data, how = read_all(c)
    c.close()
    rs, rest = parse_responses(data, ('HEAD',) * 4 + ('GET',))
    check('HEAD answers have no body on the wire', how == 'eof' and not rest and
          [r.status for r in rs] == [200, 404, 308, 403, 200] and
          rs[4].body == b'0123456789', data[-300:])
    s.stop()


def pages():
    root = folder()
    page = b'<!doctype html><title>own page</title>' + b'lost ' * 300
    put(root + '/404.html', page)
    put(root + '/404.html.gz', b'zipped')
    put(root + '/err/nf.htm', b'other page')
    put(root + '/err/nf.txt', b'as text')
    put(root + '/err/empty.html', b'')
    put(root + '/a.css', b'x')
    put(os.path.dirname(root) + '/' + 'outside404.html', CANARY)
    os.symlink('../outside404.html', root + '/l404.html')
    big = b'big page ' * 30000
    put(root + '/err/big.html', big)

    def ask(s, name, body, kind='text/html; charset=utf-8', path='/no/such'):
        for f in ('', 'Accept-Encoding: gzip\r\n', 'Range: bytes=0-1\r\n',
                  'If-None-Match: *\r\n', 'If-Match: "x"\r\n',
                  'If-Modified-Since: %s\r\n' % date(time.time() + 9)):
            r = head_like_get('%s %s' % (name, f[:13]), s, path, f, 404)
            check('404 page, %s %s' % (name, f[:13]), (
                r.body == body if body is not None else
                len(r.body) < 2000 and b'404' in r.body and
                b'<html' in r.body) and r.get('content-type') == kind and
                r.get('content-length') == str(len(r.body)) and not any(
                    r.get(k) for k in ('cache-control', 'etag', 'vary',
                                       'last-modified', 'content-encoding',
                                       'content-range')), r)
    s = Server(root)
    ask(s, 'default', page)
    ask(s, 'of a folder', page, path='/err/')
    equal('/404.html asked for', (get(s, '/404.html').status,
                                  get(s, '/404').body), (200, page))
    r = get(s, '/..')
    check('400 does not use the 404 page', r.status == 400 and
          b'lost' not in r.body, r)
    for i in range(20):
        put(root + '/404.html', b'page %d' % i)
        if get(s, '/nope').body != b'page %d' % i:
            break
    check('404 page changes at once', i == 19, i)
    os.unlink(root + '/404.html')
    ask(s, 'deleted', None)
    r = get(s, '/%3Cscript%3Ealert(1)%3C/script%3E?<x>')
    check('nothing of the request is in the page', b'script' not in r.body and
          b'<x>' not in r.body, r)
    s.stop()
    for arg, body, kind in (
            ('err/nf.htm', b'other page', None), ('./err/nf.htm', b'other page',
                                                  None),
            ('err/nf.txt', b'as text', 'text/plain; charset=utf-8'),
            ('err/empty.html', b'', None), ('err/big.html', big, None),
            ('err/missing.html', None, None), ('l404.html', None, None),
            ('err', None, None), ('../outside404.html', None, None)):
        try:
            s = Server(root, '--page404', arg)
        except RuntimeError as e:
            check('--page404 %s' % arg, body is None and 'page404' in str(e), e)
            continue
        ask(s, '--page404 ' + arg, body, kind or 'text/html; charset=utf-8')
        s.stop()
    s = Server(root, '--page404', 'err/nf.htm', '--etag=false')
    put(root + '/err/nf.htm', b'rewritten')
    equal('--page404 rewritten', get(s, '/nope').body, b'rewritten')
    s.stop()


# ---- change while served -----------------------------------------------------

def changes(wrap=(), tag='', rounds=50):
    """The next request shows every change, on a new and on a kept connection."""
    root = folder()
    f = put(root + '/f.txt', b'0', 1e9)
    # folders whose files are at rest when it is their turn, see below
    for i in range(2 * rounds):
        put(root + '/v%d/f.txt' % i, b'folder %d' % i, 1e9)
    made = time.time()
    s = Server(root, wrap=wrap)
    kept = s.connect()
    ask = [lambda p, x='': get(s, p, x), lambda p, x='': get(s, p, x, sock=kept)]

    def each(what, step):
        """step(i, ask) makes a change, asks, and says what is wrong, if so."""
        for how, a in zip(('new connections', 'one connection'), ask):
            bad = [(i, w) for i in range(rounds) for w in [step(i, a)] if w]
            check('%s%s, %s: shown at once' % (tag, what, how), not bad,
                  '%d of %d: %r' % (len(bad), rounds, bad[:2]))

    def wants(a, path, status, body=None, fields='', **more):
        r = a(path, fields)
        if r.status != status or body is not None and r.body != body or \
                any(r.get(k.replace('_', '-')) != v for k, v in more.items()):
            return r

    def replaced(i, a):
        old = a('/f.txt').get('etag')
        put(root + '/new', b'content %d' % i)
        os.rename(root + '/new', f)
        return wants(a, '/f.txt', 200, b'content %d' % i,
                     'If-None-Match: %s\r\n' % old)

    def in_place(i, a):
        a('/f.txt')
        with open(f, 'r+b') as h:
            h.write(b'%06d' % i)
            h.truncate()
        return wants(a, '/f.txt', 200, b'%06d' % i)

    def same_mtime(i, a):       # another file of the same size and time
        a('/f.txt')
        put(root + '/new', b'%06d' % (i + 9000), 1e9)
        os.rename(root + '/new', f)
        return wants(a, '/f.txt', 200, b'%06d' % (i + 9000))

    def grown(i, a):
        put(f, b'x')
        a('/f.txt')
        with open(f, 'ab') as h:
            h.write(b'y' * (i + 1))
        return wants(a, '/f.txt', 200, b'x' + b'y' * (i + 1)) or \
            wants(a, '/f.txt', 206, b'y', 'Range: bytes=%d-\r\n' % (i + 1))

    def deleted(i, a):
        bad = wants(a, '/f.txt', 200)
        os.unlink(f)
        bad = bad or wants(a, '/f.txt', 404)
        put(f, b'again %d' % i)
        return bad or wants(a, '/f.txt', 200, b'again %d' % i)

    def index(i, a):
        os.makedirs(root + '/d', exist_ok=True)
        bad = wants(a, '/d/', 404)
        put(root + '/d/index.html', b'index %d' % i)
        bad = bad or wants(a, '/d/', 200, b'index %d' % i)
        os.unlink(root + '/d/index.html')
        return bad or wants(a, '/d/', 404)

    def variant(i, a):
        put(f, b'plain', 1e9)
        ae = 'Accept-Encoding: gzip\r\n'
        bad = wants(a, '/f.txt', 200, b'plain', ae, vary=None)
        put(f + '.gz', b'zip %d' % i)
        bad = bad or wants(a, '/f.txt', 200, b'zip %d' % i, ae,
                           content_encoding='gzip') or \
            wants(a, '/f.txt', 200, b'plain', vary='accept-encoding')
        os.utime(f)             # now the plain file is newer
        os.utime(f + '.gz', (1e9, 1e9))
        bad = bad or wants(a, '/f.txt', 200, b'plain', ae, vary=None)
        os.unlink(f + '.gz')
        return bad or wants(a, '/f.txt', 200, b'plain', ae)

    def mode(i, a):
        bad = wants(a, '/f.txt', 200)
        os.chmod(f, 0)
        bad = bad or wants(a, '/f.txt', 403)
        os.chmod(f, 0o644)
        return bad or wants(a, '/f.txt', 200)

    def link(i, a):
        bad = wants(a, '/f.txt', 200)
        os.rename(f, root + '/moved')
        os.symlink('moved', f)
        bad = bad or wants(a, '/f.txt', 403)
        os.rename(root + '/moved', f)
        return bad or wants(a, '/f.txt', 200)

    def html(i, a):
        bad = wants(a, '/pg', 404)
        put(root + '/pg.html', b'html')
        bad = bad or wants(a, '/pg', 200, b'html')
        put(root + '/pg', b'itself')
        bad = bad or wants(a, '/pg', 200, b'itself')
        os.unlink(root + '/pg')
        bad = bad or wants(a, '/pg', 200, b'html')
        os.unlink(root + '/pg.html')
        os.mkdir(root + '/pg')
        bad = bad or wants(a, '/pg', 308)
        os.rmdir(root + '/pg')
        return bad or wants(a, '/pg', 404)

    def large(i, a):            # more than is held in memory
        put(root + '/new', b'%06d' % i * 20000)
        a('/large.bin')
        os.rename(root + '/new', root + '/large.bin')
        return wants(a, '/large.bin', 200, b'%06d' % i * 20000)

    turn = itertools.count()

    def at_rest(i, a):          # an old file for another old one, both small
        n = next(turn)
        a('/now/f.txt')
        if os.path.exists(root + '/now'):
            os.rename(root + '/now', root + '/was%d' % n)
        bad = wants(a, '/now/f.txt', 404)
        os.rename(root + '/v%d' % n, root + '/now')
        return bad or wants(a, '/now/f.txt', 200, b'folder %d' % n)

    each('replaced by rename', replaced)
    each('edited in place', in_place)
    each('replaced, same size and mtime', same_mtime)
    each('grown', grown)
    each('deleted', deleted)
    each('new index file', index)
    each('new variant', variant)
    each('link in its place', link)
    each('x, x.html, x/', html)
    each('large file replaced', large)
    time.sleep(max(0, made + 3.2 - time.time()))
    each('file at rest replaced by another', at_rest)
    kept.close()
    end(s)
    if wrap:
        return
    put(f, b'mode')
    s = Server(root, wrap=unprivileged())
    kept = s.connect()
    each('chmod', mode)
    kept.close()
    s.stop()

    # long at rest: content is perhaps in memory, and still has to be looked at
    s = Server(root)
    put(root + '/rest.txt', b'before', 1e9)
    time.sleep(3.2)
    for i in range(3):
        get(s, '/rest.txt')
    bad = []
    for i in range(rounds):
        with open(root + '/rest.txt', 'r+b') as h:
            h.write(b'%06d' % i)
        os.utime(root + '/rest.txt', (1e9, 1e9))
        r = get(s, '/rest.txt')
        if r.body != b'%06d' % i:
            bad.append(r)
    check('edited in place, size and mtime kept: shown at once', not bad,
          '%d: %r' % (len(bad), bad[:2]))
    tags = set()
    for i in range(20):
        put(root + '/tag.txt', b'%06d' % i)
        tags.add(get(s, '/tag.txt').get('etag'))
        time.sleep(0.02)
    equal('edits of the same size change the ETag', len(tags), 20)
    s.stop()


def changes_slow():
    """Again with a server that is slow: there a client can change a file after
    one answer and ask again while the server is still at the first's turn."""
    strace = shutil.which('strace')
    wrap = [strace, '-f', '-qq', '-o', '/dev/null']
    if not strace or subprocess.run(wrap + ['true'],
                                    capture_output=True).returncode:
        return skip('changes, slow server', 'no strace')
    changes(wrap, 'slow server, ', 20)


def last_send():
    """What ends an answer on a connection that stays is pushed: with MSG_MORE
    the kernel keeps it for 200 ms."""
    d = folder()
    put(d + '/a.txt', b'a' * 1000, 1e9)
    out = os.path.join(folder(), 'trace')
    strace = shutil.which('strace')
    wrap = [strace, '-f', '-qq', '-e', 'trace=sendto,sendmsg', '-o', out]
    if not strace or subprocess.run(wrap + ['true'],
                                    capture_output=True).returncode:
        return skip('last send', 'no strace')
    s = Server(d, wrap=wrap)
    c = s.connect()
    for v in '0-9', '0-9,20-29':
        r = get(s, '/a.txt', 'Range: bytes=%s\r\n' % v, sock=c)
        equal('last send: ' + v, r.status, 206)
    c.close()
    end(s)
    with open(out) as f:
        last = [x for x in f if '--\\r\\n"' in x]
    check('last send: no MSG_MORE at the end of a multipart answer',
          len(last) == 1 and 'MSG_MORE' not in last[0], last)


def begin(s, path, some=1000):
    """Ask with a tiny window and read the first bytes only."""
    c = socket.socket()
    c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    c.settimeout(10 * SLOW)
    c.connect(('127.0.0.1', s.port))
    c.sendall(b'GET %s HTTP/1.1\r\nHost: a\r\n\r\n' % path.encode())
    data = b''
    while len(data) < some:
        data += c.recv(some - len(data))
    return c, data


def drain(c, data, timeout=20):
    """What is left until the end of the connection: (all bytes, how)."""
    c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    c.settimeout(timeout * SLOW)
    pieces = [data]
    try:
        while True:
            pieces.append(c.recv(1 << 20))
            if not pieces[-1]:
                return b''.join(pieces), 'eof'
    except socket.timeout:
        return b''.join(pieces), 'timeout'
    except OSError:
        return b''.join(pieces), 'reset'


def while_sent():
    # more than socket buffers hold, so that most of it is still to be read
    size, unit = 12 << 20, bytes(range(251)) * 4096
    content = (unit * (size // len(unit) + 1))[:size]
    root = folder()
    s = Server(root)
    for name, change in (('truncated to a part', lambda f: os.truncate(f, 99)),
                         ('truncated to nothing', lambda f: os.truncate(f, 0))):
        put(root + '/cut.bin', content)
        c, data = begin(s, '/cut.bin')
        change(root + '/cut.bin')
        time.sleep(0.3 * SLOW)
        before = cpu(s.proc.pid)
        data, how = drain(c, data, 10)
        r = parse_responses(data)[0][0]
        # the kernel may clear what it has queued but not sent of a cut page
        check('%s while sent: the connection ends' % name, how in ('eof', 'reset')
              and not r.complete and r.get('content-length') == str(size) and
              all(a == b or a == 0 for a, b in zip(r.body, content)),
              '%s after %d' % (how, len(r.body)))
        c.close()
        time.sleep(0.5 * SLOW)
        used = cpu(s.proc.pid) - before
        check('%s while sent: no spin' % name, used < 0.3 * SLOW,
              '%.2f s of CPU' % used)
        equal('%s while sent: next request' % name, get(
            s, '/cut.bin').get('content-length'),
            str(os.stat(root + '/cut.bin').st_size))
    # a client that never reads on: nothing may turn in the meantime
    put(root + '/cut.bin', content)
    c, _ = begin(s, '/cut.bin')
    os.truncate(root + '/cut.bin', 0)
    before = cpu(s.proc.pid)
    time.sleep(1)
    check('truncated, client asleep: no spin', cpu(s.proc.pid) - before < 0.3,
          cpu(s.proc.pid) - before)
    c.close()

    for name in ('grown', 'replaced', 'deleted', 'edited'):
        f = put(root + '/big.bin', content)
        c, data = begin(s, '/big.bin')
        if name == 'grown':
            with open(f, 'ab') as h:
                h.write(b'more' * 100000)
        elif name == 'replaced':
            put(root + '/new', b'replaced')
            os.rename(root + '/new', f)
        elif name == 'deleted':
            os.unlink(f)
        else:                   # beyond what can have been sent
            with open(f, 'r+b') as h:
                h.seek(size - 5)
                h.write(b'edit!')
        c.sendall(b'GET /big.bin HTTP/1.1\r\nHost: a\r\n'
                  b'Range: bytes=0-0\r\nConnection: close\r\n\r\n')
        data, how = drain(c, data)
        rs, rest = parse_responses(data)
        body = content if name != 'edited' else content[:-5] + b'edit!'
        check('%s while sent: exactly Content-Length bytes, then the next answer'
              % name, len(rs) == 2 and rs[0].complete and rs[0].body == body and
              rs[1].status == (404 if name == 'deleted' else 206) and not rest,
              '%s, %r, rest %r' % (how, [(r.status, len(r.body)) for r in rs],
                                   rest[:50]))
        if name == 'grown' and len(rs) == 2:
            equal('grown while sent: new size', rs[1].get('content-range'),
                  'bytes 0-0/%d' % (size + 400000))
        c.close()
    # the same for parts, when the file gets shorter than they are
    put(root + '/cut.bin', content)
    c = socket.socket()
    c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    c.connect(('127.0.0.1', s.port))
    c.sendall(b'GET /cut.bin HTTP/1.1\r\nHost: a\r\n'
              b'Range: bytes=0-11999999,%d-\r\n\r\n' % (size - 9))
    head = c.recv(500)
    os.truncate(root + '/cut.bin', 10)
    data, how = drain(c, head, 10)
    check('truncated while its parts are sent', how in ('eof', 'reset') and
          head.startswith(b'HTTP/1.1 206') and not parse_responses(
              data)[0][0].complete, (how, len(data)))
    c.close()
    check('server lives', s.proc.poll() is None and
          get(s, '/big.bin', 'Range: bytes=0-0\r\n').status == 206)
    s.stop()


# ---- access log --------------------------------------------------------------

LINE = re.compile(
    rb'(\S+) - - \[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d) \+0000\] '
    rb'"((?:[^"\\\x00-\x1f\x7f-\xff]|\\["\\]|\\x[0-9a-f]{2}|\\[a-z])*)" '
    rb'(\d{3}) (\d+|-) "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)" (\d+\.\d+)')


def log_lines(path, n, timeout=5):
    """The lines of a log that are not messages, as soon as there are n."""
    until = time.time() + timeout * SLOW
    while True:
        with open(path, 'rb') as f:
            lines = [x for x in f.read().split(b'\n')
                     if x and not x.startswith(b'sws: ')]
        if len(lines) >= n or time.time() > until:
            return lines
        time.sleep(0.01)


def access_log():
    root = folder()
    big = 8 << 20
    put(root + '/f.txt', b'0123456789')
    put(root + '/big.bin', b'x' * big)
    put(root + '/d/index.html', b'd')
    put(root + '/a b.txt', b'a')
    s = Server(root)
    tag = get(s, '/f.txt').get('etag')
    log_lines(s.errpath, 1)
    count = 1
    for name, method, path, f, status, size in (
            ('200', 'GET', '/f.txt', '', 200, 10),
            ('query', 'GET', '/f.txt?a=b&c', '', 200, 10),
            ('HEAD', 'HEAD', '/f.txt', '', 200, 0),
            ('304', 'GET', '/f.txt', 'If-None-Match: %s\r\n' % tag, 304, 0),
            ('206', 'GET', '/f.txt', 'Range: bytes=2-4\r\n', 206, 3),
            ('parts', 'GET', '/f.txt', 'Range: bytes=0-0,2-2\r\n', 206, None),
            ('404', 'GET', '/nope', '', 404, None),
            ('HEAD 404', 'HEAD', '/nope', '', 404, 0),
            ('308', 'GET', '/d', '', 308, None),
            ('400', 'GET', '/..', '', 400, None),
            ('405', 'POST', '/f.txt', 'Content-Length: 0\r\n', 405, None),
            ('OPTIONS', 'OPTIONS', '/f.txt', '', 204, 0),
            ('416', 'GET', '/f.txt', 'Range: bytes=10-\r\n', 416, None),
            ('escaped path', 'GET', '/a%20b.txt', '', 200, 1),
            ('whole big file', 'GET', '/big.bin', '', 200, big)):
        r = get(s, path, f, method)
        lines = log_lines(s.errpath, count + 1)
        check('log: one line for %s' % name, len(lines) == count + 1, lines[count:])
        count = len(lines)
        m = LINE.fullmatch(lines[-1])
        check('log: line of %s' % name, m and m.group(1) == b'127.0.0.1' and
              m.group(3) == ('%s %s HTTP/1.1' % (method, path)).encode() and
              int(m.group(4)) == r.status == status and int(m.group(5)) ==
              (len(r.body) if size is None else size) and
              m.group(6) == m.group(7) == b'-' and
              float(m.group(8)) < 10 * SLOW, lines[-1])
        if m:
            t = time.strptime(m.group(2).decode(), '%d/%b/%Y:%H:%M:%S')
            check('log: time is UTC, %s' % name, abs(
                time.time() - calendar.timegm(t)) < 30, lines[-1])
    for sent, escaped in (
            (b'"quoted"', rb'\"quoted\"'), (b'back\\slash', rb'back\\slash'),
            (b'a\tb', rb'a\x09b'), (b'\xff\xc3\xbc', rb'\xff\xc3\xbc'),
            (b'" 200 1 "', rb'\" 200 1 \"'), (b'plain/1.0 (x; y)',
                                             b'plain/1.0 (x; y)')):
        talk(s, b'GET /f.txt HTTP/1.1\r\nHost: a\r\nReferer: ' + sent +
             b'\r\nUser-Agent: ' + sent + b'x\r\nConnection: close\r\n\r\n')
        lines = log_lines(s.errpath, count + 1)
        m = LINE.fullmatch(lines[-1])
        check('log: %r escaped' % sent, len(lines) == count + 1 and m and
              m.group(6) == escaped and m.group(7) == escaped + b'x', lines[-1])
        count = len(lines)
    for target, shown in ((b'/"x"', rb'/\"x\"'), (b'/\xff\xfe', rb'/\xff\xfe'),
                          (b'/\\x', rb'/\\x'), (b'/%22%0a', b'/%22%0a'),
                          (b'/\x1b[31m', rb'/\x1b[31m'), (b'/\x7f', rb'/\x7f')):
        talk(s, b'GET ' + target + b' HTTP/1.1\r\nHost: a\r\n'
             b'Connection: close\r\n\r\n')
        lines = log_lines(s.errpath, count + 1)
        m = LINE.fullmatch(lines[-1])
        check('log: target %r escaped' % target, len(lines) == count + 1 and m
              and m.group(3) == b'GET ' + shown + b' HTTP/1.1', lines[-1])
        count = len(lines)
    talk(s, b'GET /f.txt?' + b'"' * 8000 + b' HTTP/1.1\r\nHost: a\r\nUser-Agent: '
         + b'\xff' * 7000 + b'\r\nConnection: close\r\n\r\n')
    lines = log_lines(s.errpath, count + 1)
    check('log: a huge request is one line of at most 4096 bytes',
          len(lines) == count + 1 and LINE.fullmatch(lines[-1]) and
          len(lines[-1]) < 4096, lines[-1][-200:])
    count = len(lines)
    c, data = begin(s, '/big.bin')
    time.sleep(0.1)
    c.close()
    lines = log_lines(s.errpath, count + 1)
    m = LINE.fullmatch(lines[-1])
    check('log: aborted download', len(lines) == count + 1 and m and
          m.group(4) == b'200' and 0 < int(m.group(5)) < big, lines[-1])
    count = len(lines)
    c = s.connect()             # connections without a request leave no line
    c.close()
    c = s.connect()
    c.sendall(b'GET /f.txt HTTP/1.1\r\nHost: a\r\n\r\n' * 20 +
              b'GET /f.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    read_all(c)
    c.close()
    lines = log_lines(s.errpath, count + 21)
    time.sleep(0.2 * SLOW)
    lines = log_lines(s.errpath, count + 21)
    check('log: 21 requests in one segment are 21 lines', len(lines) ==
          count + 21 and all(map(LINE.fullmatch, lines)), lines[count:])
    s.stop()

    d = folder()
    s = Server(root, '--log-file', d + '/access.log')
    get(s, '/f.txt')
    get(s, '/nope')
    lines = log_lines(d + '/access.log', 2)
    check('--log-file', len(lines) == 2 and all(map(LINE.fullmatch, lines)) and
          'GET' not in s.log(), (lines, s.log()))
    s.stop()
    s = Server(root, '--log-file', d + '/access.log')
    get(s, '/f.txt')
    equal('--log-file is appended to', len(log_lines(d + '/access.log', 3)), 3)
    s.stop()
    for args in (['--access-log=false'], ['--log-level', 'warn']):
        # the port is told at level info, so it has to be known beforehand
        probe = socket.socket()
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
        probe.close()
        e = os.path.join(d, 'err')
        with open(e, 'wb') as f:
            p = spawn([SWS, '--host', '127.0.0.1', '--port', str(port), *args,
                       root], env=clean_env(), stdin=subprocess.DEVNULL, stderr=f)
        until = time.time() + 5 * SLOW
        while True:
            try:
                c = socket.create_connection(('127.0.0.1', port), 5)
                break
            except OSError:
                if time.time() > until:
                    raise
                time.sleep(0.02)
        c.sendall(b'GET /f.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
        read_all(c)
        c.close()
        time.sleep(0.1)
        p.terminate()
        p.wait(10 * SLOW)
        with open(e) as f:
            check('%s: no line' % ' '.join(args), 'GET' not in f.read())
    if os.path.exists('/dev/full'):
        s = Server(root, '--log-file', '/dev/full')
        equal('log on a full disk: served', [get(s, '/f.txt').status
                                             for _ in range(5)], [200] * 5)
        s.stop()


def log_pipe():
    """A log that nobody reads, or that nobody can read any more."""
    root = folder()
    put(root + '/f.txt', b'0123456789', 1e9)
    for how in 'unread', 'socket', 'closed':
        if how == 'socket':
            a, b = socket.socketpair()
            r, w = a.detach(), b.detach()
        else:
            r, w = os.pipe()
        p = spawn([SWS, '--host', '127.0.0.1', '--port', '0', root],
                  env=clean_env(), stdin=subprocess.DEVNULL, stderr=w)
        os.close(w)
        line = b''
        while not line.endswith(b'\n'):
            part = os.read(r, 1)
            if not part:
                raise RuntimeError('no URL line: %r' % line)
            line += part
        port = int(re.search(rb':(\d+)/', line).group(1))
        if how == 'closed':
            os.close(r)
        c = socket.create_connection(('127.0.0.1', port), 5 * SLOW)
        n, batch, slowest, t0 = 0, 50, 0.0, time.time()
        total = 20000 if how == 'unread' else 5000
        head = None
        try:
            while n < total:
                t = time.time()
                c.sendall(b'GET /f.txt HTTP/1.1\r\nHost: a\r\n\r\n' * batch)
                got = 0
                data = b''
                while data.count(b'HTTP/1.1 200 ') < batch or \
                        not data.endswith(b'0123456789'):
                    part = c.recv(262144)
                    if not part:
                        raise OSError('closed')
                    data += part
                n += batch
                slowest = max(slowest, time.time() - t)
        except OSError as e:
            head = e
        check('log pipe %s: %d requests' % (how, total), n == total and
              slowest < 1 * SLOW, '%d answered, slowest batch %.2f s, %r, exit '
              '%s' % (n, slowest, head, p.poll()))
        c.close()
        # another client, while still nobody reads
        try:
            c = socket.create_connection(('127.0.0.1', port), 5 * SLOW)
            c.sendall(b'GET /f.txt HTTP/1.1\r\nHost: a\r\nConnection: close'
                      b'\r\n\r\n')
            data, end_ = read_all(c, 5)
            c.close()
        except OSError as e:
            data, end_ = b'', e
        check('log pipe %s: a new client' % how, data.endswith(b'0123456789'),
              (end_, data))
        p.terminate()
        try:
            rc = p.wait(5 * SLOW)
        except subprocess.TimeoutExpired:
            rc = 'still runs'
            p.kill()
            p.wait()
        equal('log pipe %s: ends on TERM' % how, rc, 0)
        if how != 'closed':
            data = b''
            while True:
                part = os.read(r, 65536)
                if not part:
                    break
                data += part
            os.close(r)
            lines = data.split(b'\n')
            bad = [x for x in lines[:-1] if not LINE.fullmatch(x) and
                   not x.startswith(b'sws: ')]
            check('log pipe %s: lines are whole' % how, len(lines) > 50 and
                  lines[-1] == b'' and not bad, (len(lines), bad[:3], lines[-1]))


# ---- system calls ------------------------------------------------------------

def calls(lines):
    """[(name, arguments and result)] of a trace; names of a family are one.
    Signals are let in once in 10 ms: that is left out."""
    same = (('stat', 'stat|newfstatat|fstatat64|statx|lstat|fstat'),
            ('recv', 'recvfrom|recv|read'), ('wait', 'epoll_p?wait2?'),
            ('send', 'sendto|send|sendmsg|write|writev'),
            ('sendfile', 'sendfile64'))
    got = [m.groups() for m in (re.match(r'(\w+)\((.*)', x) for x in lines)
           if m]
    return [(next((n for n, v in same if re.fullmatch(v, a)), a), b)
            for a, b in got if a not in ('rt_sigprocmask', 'rt_sigreturn',
                                      'mmap', 'munmap')]    # a sanitizer's


def system_calls():
    """What a request costs: for a small file that is known, one wait, one
    receive, one look at the file and each of its variants, one send."""
    d, n, size = folder(), 200, 5 << 20
    put(d + '/a.txt', b'a' * 1000, 1e9)
    put(d + '/big.bin', bytes(size), 1e9)
    strace = shutil.which('strace')
    out = os.path.join(folder(), 'trace')
    if VALGRIND or not strace or subprocess.run(
            [strace, '-qq', '-o', '/dev/null', 'true'],
            capture_output=True).returncode:
        return skip('system calls', 'no strace of the program itself')
    time.sleep(3)               # a file this new is not remembered
    for name, args, more in (
            ('as it is', [], {'stat': 4, 'send': 2}),
            ('no access log', ['--no-access-log'], {'stat': 4}),
            ('no variants', ['--no-access-log', '--no-compression-static'],
             {})):
        # each process has a trace of its own: the server has a sibling
        s = Server(d, *args, wrap=[strace, '-ff', '-qq', '-s', '40', '-o', out])
        pid, c = child(s), s.connect()
        for _ in range(2):      # what is there once is remembered
            get(s, '/a.txt', sock=c)
        for path in ['/begin'] + ['/a.txt'] * n + ['/end']:
            get(s, path, sock=c)
        get(s, '/big.bin', sock=c)
        c.close()
        end(s)
        with open('%s.%d' % (out, pid)) as f:
            all_ = calls(f)
        first, last, big = (next(
            i for i, x in enumerate(all_) if x[0] == 'recv' and path in x[1])
            for path in ('/begin', '/end', '/big.bin'))
        first = next(i for i in range(first, last) if all_[i][0] == 'send')
        if not args:            # and its line of the log
            first += 1
        got = {}
        for x, _ in all_[first + 1:last - 1]:
            got[x] = got.get(x, 0) + 1
        want = {x: n * k for x, k in {'wait': 1, 'recv': 1, 'stat': 1,
                                      'send': 1, **more}.items()}
        equal('system calls of %d small files, %s' % (n, name), got, want)
        # up to the next time that the client is heard: its end
        rest = all_[big + 1:]
        rest = rest[:next(i for i, x in enumerate(rest) if x[0] == 'recv')]
        sent = [int(x[1].rsplit('= ', 1)[1].split()[0]) for x in rest
                if x[0] == 'sendfile']
        other = {x[0] for x in rest} - {
            'stat', 'openat2', 'openat', 'close', 'send', 'sendfile', 'wait',
            'epoll_ctl', 'brk', 'mmap', 'munmap', 'mremap', 'madvise'}
        check('system calls of a large file, %s: sendfile' % name,
              sum(k for k in sent if k > 0) == size and not other,
              (sum(sent), other))


# ---- all ---------------------------------------------------------------------

if __name__ == '__main__':
    race = Race()
    run([conditions, ranges, large, resolution, long_paths, names, links,
         leaving, no_openat2, encodings, types, head, pages, changes,
         changes_slow, last_send, while_sent, access_log, log_pipe, system_calls,
         race.finish])
