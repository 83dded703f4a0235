"""Listings of a folder of 100,000 entries, end to end: complete and well-formed
over each protocol, bounded in memory, and in nobody's way.

SOAK=1 has 200 of them at a time in place of 20."""
import errno, html.parser, json, urllib.parse

from lib import *

need_h2()
JSON = {'Accept': 'application/json'}
# else memory is a sanitizer's or valgrind's own, and time is short
PLAIN = SLOW == 1 and not VALGRIND
N = 100000 if PLAIN else 15000
MANY = 200 if os.environ.get('SOAK') else 20 if PLAIN else 6
NASTY = [n.encode() for n in (
    '<script>alert(1)<x>', '<img src=x onerror=alert(1)>', '"quoted"', "'", '`',
    '"', '"><b>', "' onclick='x", '&', '&amp;', '&lt;b&gt;', '&#60;', 'a&b=c',
    'new\nline', '\n', 'a\rb', 'tab\t', '\x01\x02', '\x1b[31m', '\x7f', ' lead',
    'trail ', ' ', 'two  spaces', '%', '%41', '%2e%2e', '%00', '#hash', 'a?b=c',
    '?sort=1', 'a;b', 'a:b', 'javascript:alert(1)', 'http:', '\\', '\\u0041',
    '{"name":1}', '],[', '-->', ']]>', '${x}', '~', '+', '=', '@', 'x' * 255,
    '\u00e9', '\u65e5\u672c', '\U0001f600', 'e\u0301', '\u00a0', '\ufeff',
    '\u2028', '\u202egnp.exe', '\ufffd', '\u0085', '\u00e9' * 127, 'A', 'a',
)] + [b'\xff\xfe', b'latin \xe9', b'\xe2\x82', b'\xed\xa0\x80x', b'\x80' * 85]
HIDDEN = [b'.hidden', b'..x', b'...', b'.well-known']
sizes = [0, 1, 1023, 1024, 1048576, 5 << 30]


def figure(*words):
    """For whoever looks; no check depends on it."""
    print(*words, file=sys.stderr, flush=True)


def made(path, size, when):
    with open(path, 'wb') as f:
        f.truncate(size)
    os.utime(path, (when, when))


def folder(n, where=None):
    """n entries of a few kinds: {name: (size, mtime) or None for a folder}."""
    top = os.fsencode(tmpdir('list'))
    if where:
        shutil.rmtree(top)
        top = os.fsencode(tempfile.mkdtemp(prefix='sws-test-', dir=where))
        atexit.register(shutil.rmtree, top, True)
    root, base, want, kinds = top + b'/r', top + b'/base', {}, []
    os.makedirs(root + b'/big')
    os.mkdir(base)
    put(os.fsdecode(root + b'/small.txt'), 'small', 1e9)
    for i, size in enumerate(sizes):
        name, when = b'%s/%d' % (base, i), 86400 * 365 * i + i
        made(name, size, when)
        kinds.append((name, (size, when)))
    here = os.open(root + b'/big', os.O_RDONLY)
    plain = [b'entry %06d of many.txt' % i for i in range(n - len(NASTY) - 50)]
    # quick: names for a handful of files, below the file system's limit
    for i, name in enumerate(NASTY + plain):
        try:
            os.link(kinds[i % len(kinds)][0], name, dst_dir_fd=here)
        except OSError as e:
            if e.errno != errno.EMLINK:
                raise
            k, copy = i % len(kinds), base + b'/%d' % i
            made(copy, *kinds[k][1])
            kinds[k] = copy, kinds[k][1]
            os.link(copy, name, dst_dir_fd=here)
        want[name] = kinds[i % len(kinds)][1]
    for i in range(50):
        name = b'folder "%d" & <more>' % i
        os.mkdir(name, dir_fd=here)
        want[name] = None
    for name in HIDDEN:
        os.link(kinds[0][0], name, dst_dir_fd=here)
    os.mkfifo(b'pipe', dir_fd=here)
    os.symlink(b'small.txt', b'link', dir_fd=here)
    os.close(here)
    return os.fsdecode(root), want


def shm():
    """A place in memory that has room for so many names, or None."""
    try:
        v = os.statvfs('/dev/shm')
        with open('/proc/mounts') as f:
            mem = any(x.split()[1:3] == ['/dev/shm', 'tmpfs'] for x in f)
    except OSError:
        return None
    return '/dev/shm' if mem and v.f_favail > 2 * N and os.access(
        '/dev/shm', os.W_OK) else None


# ---- clients -----------------------------------------------------------------

def unchunked(data):
    out, i = [], 0
    while True:
        end = data.index(b'\r\n', i)
        n = int(data[i:end], 16)
        if n == 0:
            assert data[end + 2:] == b'\r\n', data[end:end + 99]
            return b''.join(out)
        out.append(data[end + 2:end + 2 + n])
        assert len(out[-1]) == n and data[end + 2 + n:end + 4 + n] == b'\r\n'
        i = end + 4 + n


def download(kind, s, path, fields={}, meanwhile=None):
    """(status, fields, content, seconds to the first byte of it).  `meanwhile`
    is called once when some of it is there."""
    pairs = [(as_bytes(k).lower(), as_bytes(v)) for k, v in fields.items()]
    first, parts = None, []
    with connect(kind, s) as c:
        start = time.monotonic()
        if kind[:2] == 'h2':
            sid, status, got, end = c.send(as_bytes(path), b'GET', pairs,
                                           b'localhost'), None, {}, False
            while not end:
                data = c.s.recv(1 << 18)
                assert data, 'the connection ended'
                for e in c.c.receive_data(data):
                    if isinstance(e, c.events.ResponseReceived):
                        got = {k.decode(): v.decode() for k, v in e.headers}
                        status = int(got.pop(':status'))
                    elif isinstance(e, c.events.DataReceived):
                        first = first or time.monotonic() - start
                        parts.append(e.data)
                        c.c.acknowledge_received_data(
                            e.flow_controlled_length, sid)
                    elif isinstance(e, c.events.StreamEnded):
                        end = True
                    elif isinstance(e, (c.events.StreamReset,
                                        c.events.ConnectionTerminated)):
                        raise RuntimeError(repr(e))
                if parts and meanwhile:
                    meanwhile, call = None, meanwhile
                    call()
                c.s.sendall(c.c.data_to_send())
            return status, got, b''.join(parts), first
        c.s.sendall(b'\r\n'.join([b'GET %s HTTP/1.1' % as_bytes(path),
                                  b'host: localhost'] + [
            k + b': ' + v for k, v in pairs]) + b'\r\n\r\n')
        tail = b''
        # no line of a listing ends like this
        while not tail.endswith(b'\r\n0\r\n\r\n'):
            data = c.s.recv(1 << 18)
            assert data, 'the connection ended'
            parts.append(data)
            tail = (tail + data)[-7:]
            if first is None and b'\r\n\r\n' in b''.join(parts):
                first = time.monotonic() - start
            if first and meanwhile:
                meanwhile, call = None, meanwhile
                call()
        head, _, data = b''.join(parts).partition(b'\r\n\r\n')
        head = head.decode('latin-1').split('\r\n')
        got = {k.lower(): v.strip() for k, _, v in (
            x.partition(':') for x in head[1:])}
        assert got['transfer-encoding'] == 'chunked', head
        return int(head[0].split()[1]), got, unchunked(data), first


class Page(html.parser.HTMLParser):
    """.rows: [link, text, time, size in bytes or None] of each entry."""

    def __init__(self, data):
        super().__init__()
        self.rows, self.odd, self.cell, self.body = [], [], 0, False
        self.sorted, self.th = None, 0
        self.feed(data.decode())        # strictly UTF-8
        self.close()

    def handle_starttag(self, tag, attrs):
        got, names = dict(attrs), tuple(k for k, v in attrs)
        if tag == 'tbody':
            self.body = True
        elif tag == 'th':
            self.th += 1
            if 'aria-sort' in got:
                self.sorted = self.th, got['aria-sort']
        elif not self.body:
            return
        elif tag == 'tr':
            self.rows.append([None, '', None, None])
            self.cell = 0
        elif tag == 'td':
            self.cell += 1
            if names:
                self.rows[-1][3] = int(got['title'].split()[0])
        elif tag == 'a' and names == ('href',):
            self.rows[-1][0] = got['href']
        elif tag == 'time' and names == ('datetime',):
            self.rows[-1][2] = got['datetime']
        else:
            self.odd.append((tag, attrs))

    def handle_data(self, data):
        if self.body and self.rows and self.cell == 1:
            self.rows[-1][1] += data

    def handle_comment(self, data):
        self.odd.append(data)


def utc(when):
    return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(when))


def as_text(name):
    """What a page shows for a name: nothing that acts on it."""
    return ''.join('\ufffd' if c < ' ' or '\x7f' <= c < '\xa0' or
                   c in '\u2028\u2029\u202a\u202b\u202c\u202d\u202e'
                   else c for c in name.decode('utf-8', 'replace'))


def page_is(name, data, want):
    """Each entry once, with all that is said of it; the names in order."""
    p = Page(data)
    if p.rows and p.rows[0][0] == '../':
        p.rows.pop(0)
    got = {}
    for href, text, when, size in p.rows:
        n = urllib.parse.unquote_to_bytes(href)
        if href[:2] != './' or re.search('[^A-Za-z0-9._~/%-]', href):
            p.odd.append(href)
        is_dir = href.endswith('/')
        n = n[2:-1] if is_dir else n[2:]
        if text.rstrip('\n') != as_text(n) + '/' * is_dir:
            p.odd.append((n, text))
        got[n] = None if is_dir else (size, when)
    same = {n: w and (w[0], utc(w[1])) for n, w in want.items()}
    check(name, not p.odd and len(p.rows) == len(want) and got == same,
          'odd %r, %d rows, %d names, wanted %d: %r' % (
              p.odd[:3], len(p.rows), len(got), len(want),
              [(n, got.get(n, 0), same.get(n, 0)) for n in {*got, *same}
               if got.get(n, 0) != same.get(n, 0)][:3]))
    return [urllib.parse.unquote_to_bytes(r[0])[2:] for r in p.rows], p.sorted


def json_is(name, data, want):
    rows, odd = json.loads(data.decode()), []
    for r in rows:
        if set(r) != ({'name', 'mtime', 'type'} if r['type'] == 'directory'
                      else {'name', 'mtime', 'type', 'size'}):
            odd.append(r)
    got = sorted((r['name'], r['type'] == 'directory' or (r['size'],
                  r['mtime'])) for r in rows)
    same = sorted((n.decode('utf-8', 'replace'), w is None or (
        w[0], utc(w[1]))) for n, w in want.items())
    check(name, not odd and got == same, 'odd %r, %d rows, wanted %d, %r' % (
        odd[:3], len(rows), len(same), [x for x in zip(got, same)
                                        if x[0] != x[1]][:2]))
    return [r['name'] for r in rows]


# ---- content -----------------------------------------------------------------

def orders():
    """A folder that is sorted: each order, both formats, each protocol."""
    root, want = folder(700)
    s = Site(root, '-z')
    dirs = [n for n in want if want[n] is None]

    def by_name(n):
        low = bytes(c + 32 if 65 <= c <= 90 else c for c in n)
        return low, n
    for order in range(7):
        way, col = (order & 1, order // 2) if order < 6 else (0, 0)
        sort = sorted(want, key=by_name, reverse=col == 0 and way)
        if col:         # equals stay by name, upwards
            sort.sort(key=lambda n: stat_of(root, n).st_mtime_ns if col == 1
                      else -1 if want[n] is None else want[n][0], reverse=way)
        same = {}
        for form, fields in ('page', {}), ('JSON', JSON):
            for kind in KINDS:
                name = 'order %d, %s, %s' % (order, form, kind)
                st, got, data, _ = download(kind, s, '/big/?sort=%d' % order,
                                            fields)
                if same.setdefault(form, data) is not data:
                    check(name + ': the same', st == 200 and
                          data == same[form], st)
                elif form == 'page':
                    rows, head = page_is(name, data, want)
                    equal(name + ': in order', [n.rstrip(b'/') if n.rstrip(
                        b'/') in dirs else n for n in rows], sort)
                    equal(name + ': says so', head, (
                        col + 1, 'descending' if way else 'ascending'))
                else:
                    equal(name + ': in order', json_is(name, data, want),
                          [n.decode('utf-8', 'replace') for n in sort])
                check(name + ': fields', got.get('content-type') == (
                    'application/json' if fields else
                    'text/html; charset=utf-8') and 'accept' in got.get(
                        'vary', '') and 'content-length' not in got, got)
    # each link leads there
    bad = []
    page = Page(download('h1', s, '/big/')[2])
    for href, text, _, size in page.rows[1:]:
        if href.startswith('./folder') and len(bad) < 3:
            continue
        r = ask('h1', s, '/big/' + href[2:], 'HEAD')
        if r.status != 200 or (size is not None and int(r.get(
                'content-length')) != size):
            bad.append((href, r))
    check('each of %d links leads to its file' % len(page.rows), not bad,
          bad[:3])
    for kind in KINDS:
        r = ask(kind, s, '/big/', 'HEAD')
        check('HEAD, %s: no content' % kind, r.status == 200 and not r.body
              and r.get('content-type') == 'text/html; charset=utf-8', r)
    r = get(s, '/big/', version='1.0')
    page_is('HTTP/1.0: until the end', r.body, want)
    check('HTTP/1.0: no chunks', r.get('transfer-encoding') is None, r)
    s.stop()


def stat_of(root, name):
    return os.stat(os.path.join(os.fsencode(root), b'big', name))


def status(s, what):
    with open('/proc/%d/status' % s.proc.pid) as f:
        return int(re.search(what + r':\s+(\d+)', f.read()).group(1)) / 1024


def resting(s, want=None):
    """Descriptors, once there are as many as wanted, or nothing closes any
    more for a while."""
    n, since, end = s.fds(), time.time(), time.time() + 5 * SLOW
    while time.time() < end and n != want:
        time.sleep(0.05)
        if n != (now := s.fds()):
            n, since = now, time.time()
        elif want is None and time.time() > since + 0.5:
            break
    return n


def bounded(name, what, limit):
    figure('listing: %s: %.1f MiB' % (name, what))
    if PLAIN:
        check('%s: less than %d MiB' % (name, limit), what < limit, what)


def large(s, want):
    """All of it, over each protocol, in memory that does not depend on it."""
    same = {}
    ask('h1', s, '/small.txt')
    before = status(s, 'VmHWM')
    for form, fields in ('page', {}), ('JSON', JSON):
        for kind in KINDS:
            start = time.monotonic()
            st, got, data, first = download(kind, s, '/big/?sort=2', fields)
            name = '%d entries, %s, %s' % (N, form, kind)
            figure('listing: %s: first byte after %.1f ms, %d bytes in '
                   '%.2f s' % (name, 1000 * first, len(data),
                               time.monotonic() - start))
            check(name + ': first byte soon', first < 1 * SLOW, first)
            if form not in same:
                bounded('memory for one ' + form,
                        status(s, 'VmHWM') - before, 20)
                same[form] = data
                (page_is if form == 'page' else json_is)(name, data, want)
            else:
                check(name, st == 200 and data == same[form],
                      (st, got, len(data)))
    check('%d entries: not sorted, and says so' % N,
          b'<caption>More than 10,000 entries, not sorted</caption>' in
          same['page'] and b'aria-sort' not in same['page'].split(
              b'</style>')[1], same['page'][1500:2600])
    before = status(s, 'VmHWM')
    for i in range(8):
        st, _, data, _ = download(KINDS[i % 3], s, '/big/?sort=%d' % (i % 7),
                                  JSON)
        if data != same['JSON']:
            check('order %d: the same when not sorted' % (i % 7), False, st)
    bounded('memory for eight more', status(s, 'VmHWM') - before, 2)


# ---- in nobody's way ---------------------------------------------------------

def crowd(s, n):
    """Curls that download n listings at once, and ask each one differently."""
    base = ['curl', '-q', '-sS', '-k', '--noproxy', '*', '--globoff', '-Z',
            '--parallel-max', '300', '--parallel-immediate',
            '--no-progress-meter']
    ways = [(['--http1.1'], 'http', s.port), (['--http1.1'], 'https',
            s.tls_port), (['--http2'], 'https', s.tls_port)]
    out = []
    for i, (how, scheme, port) in enumerate(ways):
        argv = base + how + ['-w', '%{http_code} %{size_download}\n']
        for k in range(i, n, 3):
            argv += ['-o', '/dev/null', '-H', 'Accept: ' + (
                'application/json' if i == 1 else 'text/html'),
                '%s://127.0.0.1:%d/big/?sort=%d&n=%d' % (scheme, port, k % 7,
                                                          k)]
        out.append(spawn(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         stdin=subprocess.DEVNULL))
    return out


def beside(s, want):
    """Many at a time; somebody else wants a small file."""
    before, memory, took = resting(s), status(s, 'VmHWM'), []
    page, data = (download('h1', s, '/big/', f)[2] for f in ({}, JSON))
    # with too much in memory another caption says why there is no order
    other = page.replace(b'More than 10,000 entries, not sorted',
                         b'Not sorted: many folders are being listed')
    sizes = len(page), len(other), len(data)
    start = time.monotonic()
    curls = crowd(s, MANY)
    with connect('h1', s) as c:
        while any(p.poll() is None for p in curls):
            t = time.monotonic()
            r = c.ask(b'/small.txt', b'GET', [], b'localhost')
            took.append(time.monotonic() - t)
            if r.body != b'small':
                check('a small file beside listings', False, r)
            time.sleep(0.001)
    span, got, said = time.monotonic() - start, [], b''
    for p in curls:
        o, e = p.communicate()
        got += [tuple(map(int, x.split())) for x in o.splitlines()]
        said += e
    took.sort()
    figure('listing: %d at a time in %.1f s; a small file, asked for %d times, '
           'waits %.2f ms in the median, %.1f ms at p99, %.1f ms at most' % (
               MANY, span, len(took), 1000 * took[len(took) // 2],
               1000 * took[len(took) * 99 // 100], 1000 * took[-1]))
    check('%d listings at a time are whole' % MANY, len(got) == MANY and
          all(st == 200 and n in sizes for st, n in got) and b'curl:' not in said,
          (len(got), got[:5], sizes, said[-300:]))
    # the most says more about a busy machine
    check('a small file is served meanwhile, soon',
          took[len(took) * 99 // 100] < 1 * SLOW, took[-20:])
    bounded('memory for %d at a time' % MANY, status(s, 'VmHWM') - memory,
            48 + MANY / 8)
    equal('descriptors after them', resting(s, before), before)


def slow(s, want):
    """Who reads slowly holds little, and gets all; who leaves holds nothing."""
    before, memory = resting(s), status(s, 'VmRSS')
    held = []
    for i in range(30):
        c = connect(KINDS[i % 3], s)
        if i:       # that one will read on: not at 4 KiB a round trip
            c.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        if i % 3 == 2:
            c.send(b'/big/?sort=1', b'GET', [], b'localhost')
        else:
            c.s.sendall(b'GET /big/ HTTP/1.1\r\nhost: a\r\n\r\n')
        held.append(c)
    for _ in range(5):
        for c in held:
            c.s.recv(512)
        r = ask('h1', s, '/small.txt')
        if r.body != b'small':
            check('a small file beside slow readers', False, r)
    bounded('memory held by 30 slow readers', status(s, 'VmRSS') - memory, 48)
    st, _, data, _ = download('h1', s, '/big/', JSON)
    json_is('a whole listing beside slow readers', data, want)
    # one of them now reads on, two leave in their ways
    c, parts = held[0], []
    c.s.settimeout(20 * SLOW)
    tail = b''
    while not tail.endswith(b'\r\n0\r\n\r\n'):
        data = c.s.recv(1 << 18)
        assert data, 'the connection ended'
        parts.append(data)
        tail = (tail + data)[-7:]
    check('who was slow gets it to its end',
          b'</table>\n</html>\n' in parts[-1] or len(parts[-1]) < 30, tail)
    for i, c in enumerate(held):
        if i % 2:       # with a reset
            c.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                           b'\1\0\0\0\0\0\0\0')
        c.close()
    equal('descriptors after slow readers left', resting(s, before), before)
    # gone as soon as it has begun
    for i in range(60):
        with connect(KINDS[i % 3], s) as c:
            if i % 3 == 2:
                sid = c.send(b'/big/', b'GET', [], b'localhost')
                c.s.recv(5000)
                if i % 2:       # the stream alone
                    c.c.reset_stream(sid, 8)
                    c.s.sendall(c.c.data_to_send())
                    c.ask(b'/small.txt', b'GET', [], b'localhost')
            else:
                c.s.sendall(b'GET /big/ HTTP/1.1\r\nhost: a\r\n\r\n')
                c.s.recv(5000)
    equal('descriptors after clients that went away', resting(s, before), before)


def changing(s, root, want):
    """Files come and go while they are listed."""
    big, gone, new = os.fsencode(root) + b'/big/', [], []
    names = [n for n in want if n.startswith(b'entry')]

    def change():
        for n in names[::20]:
            os.unlink(big + n)
            gone.append(n)
        for i in range(2000):
            new.append(b'new %d' % i)
            os.link(big + names[1], big + new[-1])
    for kind in KINDS:
        gone, new = [], []
        names = [n for n in want if n.startswith(b'entry')]
        st, _, data, _ = download(kind, s, '/big/', JSON, change)
        got = [r['name'].encode() for r in json.loads(data.decode())]
        left = {n for n in want if n.startswith(b'entry')} - set(gone)
        check('while files come and go, %s: the rest is listed' % kind,
              left <= set(got) <= left | set(gone) | set(new) | {
                  n.decode('utf-8', 'replace').encode() for n in want} and
              sum(g in left for g in got) == len(left),
              (st, len(got), len(left)))
        for n in new:
            os.unlink(big + n)
        for n in gone:
            del want[n]


def many():
    start = time.monotonic()
    root, want = folder(N, shm())
    figure('listing: %d entries made in %.1f s' % (N, time.monotonic() - start))
    s = Site(root, '-z', '--no-access-log', '--idle-timeout', '600')
    large(s, want)
    beside(s, want)
    slow(s, want)
    changing(s, root, want)
    check('it lives', s.proc.poll() is None and ask(
        'h2', s, '/small.txt').body == b'small', s.log()[-300:])
    equal('it ends', s.stop(), 0)


if __name__ == '__main__':
    run([globals()[n] for n in sys.argv[1:]] or [orders, many])
