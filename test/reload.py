"""SIGHUP under load: each answer follows the old rules or the new ones, none
fails, none mixes both; a broken file changes nothing and says where it is.

Each answer has the number of its generation in two fields, and all else that it
says follows from the number.  SOAK=1 has 300 of them in place of 30."""
import hashlib

from lib import *

need_h2()
GENERATIONS = 300 if os.environ.get('SOAK') else 30 if SLOW == 1 else 10
PW = basic('u', 'pw')
A, B = 'https://a.example', 'https://b.example'
BIG = os.urandom(1 << 20) * 8
KINDS = KINDS + ('h2c',)


def figure(*words):
    """For whoever looks; no check depends on it."""
    print(*words, file=sys.stderr, flush=True)


def folders():
    top = tmpdir('root')
    for r in 'root', 'v0', 'v1':
        for name, data in {'index.html': r, 'a.txt': 'a', 'b.txt': 'b',
                           'e/one.txt': 'one', '404-0.html': 'missing 0',
                           '404-1.html': 'missing 1', '50x.html': 'closed',
                           'big.bin': BIG}.items():
            put(os.path.join(top, r, name), data, 1600000000)
    return top


# ---- what a generation says --------------------------------------------------

def toml(top, g):
    mail = dict(basic_auth='u:' + hashed('pw')) if locked(g) else {}
    return general(
        page404='404-%d.html' % (g % 2), security_headers=g % 2 == 1,
        directory_listing=g % 2 == 1, maintenance_mode=closed(g), metrics=True,
        cors_allow_origins=(A, B)[g % 2], cache_control_headers=g % 4 < 2,
        **mail) + headers('**', {'X-One': str(g)}) + \
        rule('redirects', source='/go/{*}', destination='/to-%d/$1' % g,
             kind=(301, 302, 307, 308)[g % 4]) + \
        rule('rewrites', source='/rw', destination='/' + 'ab'[g % 2] + '.txt') + \
        rule('virtual-hosts', host='v.example', root='%s/v%d' % (top, g % 2)) + \
        headers('**', {'X-Two': str(g)})


def locked(g):
    return g % 3 == 1


def closed(g):
    return g % 7 == 3


QUESTIONS = [(path, host, fields, method)
             for path in ('/', '/rw', '/go/x', '/nope', '/e/', '/metrics')
             for host in ('localhost', 'v.example')
             for fields in ({}, PW, {'Origin': A}, {**PW, 'Origin': B})
             for method in (('GET', 'HEAD') if not fields else ('GET',))
             if path == '/' or host == 'localhost']


def wanted(g, path, host, fields, method):
    """(status, content or None, fields that count) of generation g."""
    origin = fields.get('Origin')
    here = {'x-one': str(g), 'x-two': str(g), 'x-frame-options':
            'DENY' if g % 2 else None, 'location': None,
            'www-authenticate': None, 'retry-after': None,
            'access-control-allow-origin': origin}
    missing = b'missing %d' % (g % 2)
    if origin not in (None, (A, B)[g % 2]):
        return 403, None, {**here, 'access-control-allow-origin': None}
    if locked(g) and 'Authorization' not in fields:
        return 401, None, {**here, 'www-authenticate':
                           'Basic realm="sws", charset="UTF-8"'}
    if path == '/metrics':
        return 200, None, here
    if closed(g):
        return 503, b'closed', {**here, 'retry-after': '300'}
    if path == '/go/x':
        return (301, 302, 307, 308)[g % 4], None, {
            **here, 'location': '/to-%d/x' % g}
    if path == '/nope' or path == '/e/' and not g % 2:
        return 404, missing, here
    here['cache-control'] = 'no-cache' if g % 4 < 2 or path == '/e/' else None
    if path == '/e/':
        return 200, None, here
    return 200, b'ab'[g % 2:g % 2 + 1] if path == '/rw' else \
        b'root' if host == 'localhost' else b'v%d' % (g % 2), here


class Watch:
    """Asks, and knows which generations may answer."""

    def __init__(self):
        self.oldest = self.newest = 0
        self.bad, self.count, self.seen = [], {}, set()

    def judge(self, who, question, r, oldest, since):
        """One answer; the generation it is of, for the next on this
        connection."""
        g = r.get('x-one')
        self.count[who] = self.count.get(who, 0) + 1
        if g is None or not g.isdigit() or \
                not max(oldest, since) <= int(g) <= self.newest:
            self.bad.append((who, question, r, 'not of %d to %d' % (
                max(oldest, since), self.newest)))
            return since
        g = int(g)
        self.seen.add(g)
        status, body, fields = wanted(g, *question)
        got = {k: r.get(k) for k in fields}
        if r.status != status or got != fields or (
                body is not None and question[3] != 'HEAD' and r.body != body):
            self.bad.append((who, question, r, 'wanted %s %s %s' % (
                status, body, {k: v for k, v in fields.items()
                               if v != got[k]})))
        return g


def as_args(path, host, fields, method):
    return as_bytes(path), as_bytes(method), [
        (as_bytes(k).lower(), as_bytes(v)) for k, v in fields.items()], \
        as_bytes(host)


def keeps(w, s, kind, end):
    """A client with one connection."""
    with connect(kind, s) as c:
        g, i = 0, hash(kind) % 97
        while not end.is_set():
            i += 1
            q, oldest = QUESTIONS[i * 7 % len(QUESTIONS)], w.oldest
            g = w.judge(kind, q, c.ask(*as_args(*q)), oldest, g)


def comes(w, s, kind, end):
    """A client with a connection for each question."""
    i = hash(kind) % 89
    while not end.is_set():
        i += 1
        q, oldest = QUESTIONS[i * 5 % len(QUESTIONS)], w.oldest
        with connect(kind, s) as c:
            w.judge('new ' + kind, q, c.ask(*as_args(*q)), oldest, 0)


def pipelines(w, s, kind, end):
    """Twenty questions in one piece."""
    qs = [(p, 'localhost', f, 'GET') for p, h, f, m in QUESTIONS
          if m == 'GET' and h == 'localhost' and p != '/metrics'
          and p != '/e/'][:20]
    text = b''.join(b'GET %s HTTP/1.1\r\nhost: localhost\r\n%s\r\n' % (
        q[0].encode(), b''.join(b'%s: %s\r\n' % (k.encode(), v.encode())
                                for k, v in q[2].items())) for q in qs)
    with connect('h1', s) as c:
        g = 0
        while not end.is_set():
            oldest = w.oldest
            c.s.sendall(text)
            data, rs = b'', []
            while len(rs) < len(qs) or not rs[-1].complete:
                part = c.s.recv(1 << 18)
                if not part:
                    raise EOFError('after %d answers: %r' % (len(rs), data))
                data += part
                rs, rest = parse_responses(data)
            for q, r in zip(qs, rs):
                g = w.judge('pipelined', q, r, oldest, g)


def downloads(w, s, kind, end):
    """Content that takes longer than a generation."""
    want = hashlib.sha256(BIG).digest()
    while not end.is_set():
        with connect(kind, s) as c:
            h, n = hashlib.sha256(), 0
            c.s.sendall(b'GET /big.bin HTTP/1.1\r\nhost: a\r\n' +
                        b'authorization: %s\r\n\r\n' %
                        PW['Authorization'].encode())
            data = b''
            while b'\r\n\r\n' not in data:
                data += c.s.recv(4096)
            head, _, data = data.partition(b'\r\n\r\n')
            if head.startswith(b'HTTP/1.1 503 '):
                continue
            while True:
                h.update(data)
                n += len(data)
                if n >= len(BIG):
                    break
                if n % (1 << 20) < 20000:
                    time.sleep(0.01)
                data = c.s.recv(65536)
                if not data:
                    raise EOFError('%s after %d bytes' % (head, n))
            if not head.startswith(b'HTTP/1.1 200 ') or h.digest() != want:
                w.bad.append(('download', kind, head, n))
            w.count['download'] = w.count.get('download', 0) + 1


def under_way(w, s, make, what):
    """Run make() while all those clients ask; one check for each of them."""
    end, errors, threads = threading.Event(), [], []
    w.bad, w.count, w.seen = [], {}, set()

    def guard(f, kind):
        try:
            f(w, s, kind, end)
        except Exception as e:
            errors.append((f.__name__, kind, repr(e)))
    for f, kinds in ((keeps, KINDS), (comes, KINDS), (pipelines, ('h1',)),
                     (downloads, ('h1', 'tls'))):
        for kind in kinds:
            threads.append(threading.Thread(target=guard, args=(f, kind)))
    for t in threads:
        t.start()
    start = time.monotonic()
    try:
        make()
    finally:
        span = time.monotonic() - start
        end.set()
        for t in threads:
            t.join()
    equal(what + ': no client failed', errors, [])
    check('%s: each answer follows one set of rules' % what, not w.bad,
          (len(w.bad), w.bad[:2]))
    check(what + ': all of them were answered', len(w.count) == 10 and
          min(w.count.values()) > 0, w.count)
    figure('reload: %s: %d answers of %d generations in %.1f s' % (
        what, sum(w.count.values()), len(w.seen), span))


def descriptors(s):
    n, end = s.fds(), time.time() + 5 * SLOW
    while time.time() < end:
        time.sleep(0.1)
        if n == (n := s.fds()):
            break
    return n


def memory(s):
    with open('/proc/%d/status' % s.proc.pid) as f:
        return int(re.search(r'VmRSS:\s+(\d+)', f.read()).group(1)) / 1024


# ---- good files --------------------------------------------------------------

def good():
    top = folders()
    s, w = Site(top + '/root', '--no-access-log', '--idle-timeout', '600',
                toml=toml(top, 0)), Watch()

    def next_one(g):
        w.newest = g
        s.reload(toml(top, g))
        w.oldest = g

    def generations(first, n, rest):
        for g in range(first, first + n):
            next_one(g)
            time.sleep(rest)
    under_way(w, s, lambda: generations(1, GENERATIONS, 0.08 * SLOW),
              '%d reloads' % GENERATIONS)
    check('each of them was seen', len(w.seen) > GENERATIONS * 0.8,
          sorted(w.seen))
    # and as fast as it goes, with signals that nobody waits for
    rest, held, last = descriptors(s), memory(s), GENERATIONS

    def storm():
        g = last
        for _ in range(5):
            for _ in range(20):
                g += 1
                w.newest = g
                put(s.toml + '.new', toml(top, g))
                os.rename(s.toml + '.new', s.toml)
                s.proc.send_signal(signal.SIGHUP)
            next_one(g)
    under_way(w, s, storm, 'a storm of signals')
    equal('the last of a storm counts',
          get(s, '/nope', PW).get('x-two'), str(last + 100))
    equal('descriptors after %d reloads' % (last + 100), descriptors(s), rest)
    if SLOW == 1 and not VALGRIND:
        check('memory after them is as before', memory(s) - held < 4,
              (held, memory(s)))
    equal('one warning at most: none', re.findall(
        'sws: .*(?:stays|error).*', s.log()), [])
    equal('it ends', s.stop(), 0)


# ---- broken ones -------------------------------------------------------------

def broken():
    top = folders()
    crt, key = certificate('localhost', 'v.example')
    live = put(top + '/live.crt', open(crt, 'rb').read()), \
        put(top + '/live.key', open(key, 'rb').read())
    vcert = certificate('v.example')
    # no file that is named here may be new to the sandbox
    more = rule('virtual-hosts', host='w.example', root=top + '/v1',
                tls_cert=vcert[0], tls_key=vcert[1])
    s, w = Site(top + '/root', '--no-access-log', '--idle-timeout', '600',
                toml=toml(top, 1) + more, pair=live), Watch()
    w.oldest = w.newest = 1
    # generation 2, and what is wrong with it from this line on
    text = toml(top, 2) + more
    line = text.count('\n') + 1

    def at(n):
        return re.escape('%s:%d: ' % (s.toml, n))

    def old(pattern, new):
        assert re.search(pattern, text), pattern
        n = text[:re.search(pattern, text).start()].count('\n') + 1
        return re.sub(pattern, lambda m: new, text, count=1), at(n)
    cases = {
        'half a line': (text + 'x = \n', at(line)),
        'no TOML at all': (text + '<html>\n', at(line)),
        'a string without end': (text + 'x = "abc\ny = 1\n', at(line)),
        'not UTF-8': (text.encode() + b'x = "\xff"\n', at(line)),
        'a key twice': (text + 'host = "x"\nhost = "y"\n', None),
        'a value of another type': old('security-headers = false',
                                       'security-headers = "perhaps"'),
        'a number out of range': old(r'\[general\]\n',
                                     '[general]\nmaintenance-mode-status = 7\n'),
        'a kind that is none': old('kind = 307', 'kind = 200'),
        'a pattern that is none': old(r'source = "/go/\{\*\}"',
                                      'source = "/go/{*"'),
        'a capture that is none': old(r'/to-2/\$1', '/to-2/$7'),
        'a field that is none': old('"X-Two" = "2"', '"X Two" = "2"'),
        'a field with a line end': old('"X-Two" = "2"',
                                       '"X-Two" = "2\\r\\nx: y"'),
        'a field of framing': old('"X-Two" = "2"', '"Content-Length" = "2"'),
        'a password that is no hash': old(
            r'\[general\]\n', '[general]\nbasic-auth = "u:secret"\n'),
        'a root that is not there': old(re.escape(top + '/v0'), top + '/v9'),
        'a certificate that is not there': old(
            re.escape(vcert[0]), top + '/nowhere.pem'),
        'a key that is not there': old(re.escape(vcert[1]),
                                       top + '/nowhere.key'),
        'an empty virtual host': old('host = "v.example"', 'host = ""'),
        'a file that is too long': (text + '#' * (1 << 20), None),
    }

    def asked():
        """The old rules, asked for by each kind of client at once."""
        for q in QUESTIONS[::3]:
            for kind in KINDS:
                r = ask(kind, s, q[0], q[3], q[2], q[1])
                w.judge(kind, q, r, 1, 1)

    def told(name, since, pattern):
        lines = [x for x in s.log()[since:].splitlines() if 'sws: ' in x]
        check('%s: one line says what, where, and that all stays' % name,
              len(lines) == 1 and lines[0].endswith(': all stays as it was')
              and (pattern is None or re.search(pattern, lines[0])) and (
                  s.toml in lines[0] or 'nowhere' in lines[0] or
                  'live' in lines[0]), (pattern, lines))

    def all_cases():
        for name, (content, pattern) in cases.items():
            since = len(s.log())
            s.reload(content)
            told(name, since, pattern)
            asked()
        for name, spoil, mend in (
                ('no file', lambda: os.unlink(s.toml), lambda: None),
                ('a folder in its place', lambda: (
                    os.path.exists(s.toml) and os.unlink(s.toml),
                    os.mkdir(s.toml)), lambda: os.rmdir(s.toml)),
                ('a good file, but no key', lambda: (
                    put(s.toml, text), os.rename(live[1], live[1] + '~')),
                    lambda: os.rename(live[1] + '~', live[1])),
                ('a good file, but a certificate that is none', lambda: (
                    os.rename(live[0], live[0] + '~'), put(live[0], 'x')),
                    lambda: os.rename(live[0] + '~', live[0]))):
            since = len(s.log())
            spoil()
            s.reload()
            told(name, since, None)
            asked()
            mend()
    under_way(w, s, all_cases, 'broken files')
    equal('broken files: only the old rules were seen', w.seen, {1})
    rest = descriptors(s)
    for content, _ in list(cases.values())[::3]:
        s.reload(content)
    equal('broken files: descriptors', descriptors(s), rest)
    # the next good one is used
    w.newest = 2
    s.reload(text)
    w.oldest = 2
    w.bad, w.seen = [], set()
    for q in QUESTIONS:
        for kind in KINDS:
            w.judge(kind, q, ask(kind, s, q[0], q[3], q[2], q[1]), 2, 2)
    check('a good file after them is used', not w.bad and w.seen == {2},
          (w.bad[:2], w.seen))
    equal('it ends', s.stop(), 0)


if __name__ == '__main__':
    run([globals()[n] for n in sys.argv[1:]] or [good, broken])
