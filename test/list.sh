#!/bin/sh
# list.c alone: list_test.c's own checks, then its pages and JSON read by
# Python.  CC and SANITIZE name another build.
cd "$(dirname "$0")/.." || exit 1
CC=${CC:-cc}
SANITIZE=${SANITIZE--fsanitize=address,undefined -fno-sanitize-recover=all}
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

# shellcheck disable=SC2086
if ! "$CC" -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Wshadow \
    -Wconversion -Wcast-qual -Werror -g -O1 $SANITIZE -o "$tmp/list_test" \
    test/list_test.c fd.c >"$tmp/out" 2>&1; then
	echo "FAIL list_test.c does not build: $(grep -m 3 error "$tmp/out" |
	    tr '\n' ' ')"
	exit 1
fi
mkdir "$tmp/run"
"$tmp/list_test" run "$tmp/run" 2>"$tmp/err" || {
	rc=$?
	[ $rc -eq 1 ] || echo "FAIL list_test ended with $rc: $(grep -m 3 \
	    'ERROR: \|runtime error\|SUMMARY' "$tmp/err" | tr '\n' ' ')"
}

PYTHONPATH=test exec "${PYTHON:-python3}" - "$tmp/list_test" <<'PY'
import html.parser, json, os, random, re, subprocess, sys, time, urllib.parse
from lib import check, equal, put, run, skip, tmpdir
import shutil

TEST = sys.argv[1]
ROOT = os.fsencode(tmpdir('list'))


def show(path, form, order=6, *more, root=ROOT):
    p = subprocess.run([TEST, 'show', root, path, form, str(order), *more],
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if p.returncode != 0:
        raise RuntimeError(p.stderr.decode(errors='replace')[-600:])
    return p.stdout


class Page(html.parser.HTMLParser):
    """The rows of a page: [href, name, datetime, time, title, size]."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.tags, self.text, self.head = [], set(), {}, []
        self.base, self.tag = '', ''
        self.feed(text.decode())       # strictly UTF-8
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add((tag, *sorted(k for k, v in attrs)))
        self.tag, attrs = tag, dict(attrs)
        if tag == 'tr':
            self.rows.append([])
        elif tag == 'th':
            self.head.append(attrs.get('aria-sort'))
        elif tag == 'base':
            self.base = attrs['href']
        elif tag == 'td' and 'title' in attrs:
            self.rows[-1].append(attrs['title'])
        elif tag == 'a':
            self.rows[-1].append(attrs['href'])
        elif tag == 'time':
            self.rows[-1].append(attrs['datetime'])

    def handle_endtag(self, tag):
        self.tag = ''

    def handle_data(self, data):
        if self.rows and data.strip('\n') and self.tag != 'tr':
            self.rows[-1].append(data.rstrip('\n'))
        else:
            self.text[self.tag] = self.text.get(self.tag, '') + data


def page(*a, **k):
    return Page(show(a[0], 'html', *a[1:], **k))


def names(rows):
    """What the links of a page lead to, as bytes; the parent is not one."""
    return [urllib.parse.unquote_to_bytes(r[0])[2:] for r in rows[1:]
            if r[0] != '../']


ODD = [b'<script>alert(1)', b'<a>', b'"quoted"', b"'single'", b'&amp;',
       b'a&lt;b', b'new\nline', b'tab\t', b'cr\r', b'\x01', b'\x7f', b'50%',
       b'%41', b'#1', b'what?', b'?sort=1', b'a;b=c', b'-rf', b' ', b'  x  ',
       b'a:b', b'javascript:alert(1)', b'\\back\\slash', b'+plus+', b'~tilde',
       b'\xff', b'a\xe2\x82', b'\xc0\xaf', b'\xed\xa0\x80', b'\xf4\x90\x80\x80',
       b'\xf0\x9f\x98\x80', b'q' * 255, b'"' * 255, b'\xfe' * 255,
       'é€😀'.encode(), 'x\u202egpj.exe'.encode(), '\u2066iso'.encode(),
       '\u2028'.encode(), '\ufeffbom'.encode(), '\ufffe\ufdd0'.encode(),
       '\U0001ffff'.encode(), '\x85'.encode(), 'שלום'.encode(), b'{"a":[1]}']
ACTS = re.compile('[\0-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069'
                  '\ufdd0-\ufdef%s]' % ''.join(chr(p * 65536 + c)
                  for p in range(17) for c in (0xfffe, 0xffff)))


def odd_names():
    d = os.path.join(ROOT, b'odd')
    dice = random.Random(5)
    odd = set(ODD)
    while len(odd) < 300:      # bytes that nearly make characters
        odd.add(bytes(dice.choice(b'a<&\x80\xa0\xbf\xc2\xe0\xe2\xed\xf0\xf4\xef')
                      for _ in range(dice.randrange(1, 9))))
    for n in odd:
        put(os.path.join(d, n), b'')
    for cap in '4096', '65536':
        p = page('odd/', 0, 'cap=' + cap)
        equal('odd names: links lead to them, %s' % cap,
              sorted(names(p.rows)), sorted(odd))
        want = [ACTS.sub('\ufffd', n.decode('utf-8', 'replace'))
                for n in names(p.rows)]
        equal('odd names: as text, %s' % cap, [r[1] for r in p.rows[2:]], want)
        j = json.loads(show('odd/', 'json', 0, 'cap=' + cap))
        equal('odd names: in JSON, %s' % cap, [e['name'] for e in j],
              [n.decode('utf-8', 'replace') for n in names(p.rows)])
        equal('odd names: tags are ours, %s' % cap, sorted(p.tags), TAGS)
    check('odd names: links begin with ./ and are plain', all(
        re.fullmatch(r'\./([-\w.~]|%[0-9A-F]{2})+/?', r[0], re.A)
        for r in p.rows[2:]))
    if shutil.which('jq'):
        r = subprocess.run(['jq', '-c', 'length'], input=show('odd/', 'json'),
                           stdout=subprocess.PIPE)
        equal('odd names: jq reads them', r.stdout, b'300\n')
    else:
        skip('odd names: jq reads them', 'no jq')


TAGS = sorted([
    ('a', 'href'), ('caption',), ('h1',), ('html', 'lang'),
    ('meta', 'charset'), ('meta', 'content', 'name'), ('style',), ('table',),
    ('tbody',), ('td',), ('td', 'title'), ('th', 'aria-sort', 'scope'),
    ('th', 'scope'), ('thead',), ('time', 'datetime'), ('title',), ('tr',)])


def orders():
    d = os.path.join(ROOT, b'orders')
    dice = random.Random(3)
    entry = {}
    for i in range(400):
        n = bytes(dice.choice(b'aAbBcC_1\xc3') for _ in range(5)) + b'%d' % i
        f = os.path.join(d, n)
        if i % 7 == 0:
            os.makedirs(f)
            size = -1
        else:
            size = dice.choice([0, 1, 5, dice.randrange(1 << 40)])
            put(f)
            os.truncate(f, size)
        ns = dice.choice([0, 999999999, 10**18 + dice.randrange(3),
                          dice.randrange(1 << 60), -10**18])
        os.utime(f, ns=(ns, ns))
        entry[n] = (size, os.stat(f).st_mtime_ns)

    def name(n):
        return n.lower(), n
    by = [(name, False), (name, True),
          (lambda n: entry[n][1], False), (lambda n: entry[n][1], True),
          (lambda n: entry[n][0], False), (lambda n: entry[n][0], True),
          (name, False)]
    for order, (key, reverse) in enumerate(by):
        # equals are in the order of names, in reverse too
        want = sorted(sorted(entry, key=name), key=key, reverse=reverse)
        p = page('orders/', order)
        equal('order %d' % order, [n.rstrip(b'/') for n in names(p.rows)], want)
        equal('order %d in JSON' % order,
              [e['name'] for e in json.loads(show('orders/', 'json', order))],
              [n.decode('utf-8', 'replace') for n in want])
        link = ['?sort=0', '?sort=2', '?sort=4']
        said = [None] * 3
        col = order // 2 if order < 6 else 0
        link[col] = '?sort=%d' % (2 * col + (0 if order & 1 else 1))
        said[col] = 'descending' if order & 1 else 'ascending'
        equal('order %d: links' % order, (p.rows[0][::2], p.head), (link, said))
    iso = {n: time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(t // 10**9))
           for n, (_, t) in entry.items()}
    p = page('orders/', 6)
    check('times and exact sizes', all(
        r[2] == iso[n.rstrip(b'/')] and r[3] == r[2][:16].replace('T', ' ') and
        (len(r) == 4) == n.endswith(b'/') and
        (len(r) == 4 or int(r[4].split()[0]) == entry[n][0])
        for n, r in zip(names(p.rows), p.rows[2:])))
    j = json.loads(show('orders/', 'json'))
    check('times and sizes in JSON', all(
        e['mtime'] == iso[n] and
        list(e) == ['name', 'mtime', 'size', 'type'] and
        e['size'] == entry[n][0] and e['type'] == 'file'
        if entry[n][0] >= 0 else
        list(e) == ['name', 'mtime', 'type'] and e['type'] == 'directory'
        for n, e in zip(sorted(entry, key=name), j)))


def sizes():
    d = os.path.join(ROOT, b'sizes')
    want = {0: '0 B', 1: '1 B', 1023: '1023 B', 1024: '1.0 KiB',
            1075: '1.0 KiB', 1076: '1.1 KiB', 1536: '1.5 KiB',
            1048524: '1023.9 KiB', 1048525: '1.0 MiB', 1 << 20: '1.0 MiB',
            (1 << 30) - 1: '1.0 GiB', 5 << 40: '5.0 TiB'}
    for n in want:
        f = put(os.path.join(d, b'%020d' % n))
        os.truncate(f, n)
    equal('sizes', [r[5].replace('\xa0', ' ') for r in page('sizes/').rows[2:]],
          list(want.values()))
    times = {'a': (0, '1970-01-01T00:00:00Z'), 'b': (-1, '1969-12-31T23:59:59Z'),
             'c': (1769862896, '2026-01-31T12:34:56Z'),
             'd': (1 << 33, '2242-03-16T12:56:32Z')}
    for n, (t, s) in times.items():
        put(os.path.join(ROOT, b'times', n.encode()), mtime=t)
    equal('times', [e['mtime'] for e in json.loads(show('times/', 'json'))],
          [s for t, s in times.values()])


def what_is_listed():
    d = os.path.join(ROOT, b'what', b'in')
    for n in b'file', b'.dot', b'sub/x', b'.well-known/x', b'..two', b'secret':
        put(os.path.join(d, n))
    put(os.path.join(ROOT, b'what', b'outside'))
    os.symlink(b'file', os.path.join(d, b'to-file'))
    os.symlink(b'sub', os.path.join(d, b'to-dir'))
    os.symlink(b'nothing', os.path.join(d, b'to-nothing'))
    os.symlink(b'../outside', os.path.join(d, b'to-outside'))
    os.symlink(os.path.join(d, b'file'), os.path.join(d, b'to-absolute'))
    os.symlink(b'loop', os.path.join(d, b'loop'))
    os.symlink(b'to-dir/../file', os.path.join(d, b'to-winding'))
    os.symlink(b'to-fifo', os.path.join(d, b'to-to-fifo'))
    os.symlink(b'fifo', os.path.join(d, b'to-fifo'))
    os.mkfifo(os.path.join(d, b'fifo'))
    os.truncate(os.path.join(d, b'file'), 4321)
    os.utime(os.path.join(d, b'file'), (5, 5))
    plain = ['file', 'secret', 'sub/']
    for path, root in ('', d), ('in/', os.path.dirname(d)):
        def seen(*more):
            j = json.loads(show(path, 'json', 6, *more, root=root))
            h = page(path, 6, *more, root=root)
            names_ = [e['name'] + '/' * (e['type'] == 'directory') for e in j]
            rows = h.rows[2 if path else 1:]
            return names_ if names_ == [r[1] for r in rows] else (j, rows)
        equal('listed in "%s"' % path, seen(), plain)
        equal('hidden in "%s"' % path, seen('hidden'),
              ['..two', '.dot', '.well-known/'] + plain)
        equal('links in "%s"' % path, seen('links'), plain +
              ['to-dir/', 'to-file'] + ['to-outside'] * bool(path) +
              ['to-winding'])
        equal('never in "%s"' % path,
              seen(b'never=' + os.path.join(d, b'secret')), ['file', 'sub/'])
    j = json.loads(show('', 'json', 6, 'links', root=d))
    equal('a link has its target\'s size and time',
          [e for e in j if e['name'] == 'to-file'],
          [{'name': 'to-file', 'mtime': '1970-01-01T00:00:05Z', 'size': 4321,
            'type': 'file'}])
    equal('parent', [page(p).rows[1][:1] for p in ('what/', 'what/in/')],
          [['../']] * 2)
    check('no parent of the root', page('').rows[1][0] != '../')
    p = page('what/in')
    equal('without its slash', (p.base, p.text['h1'], p.rows[1][0]),
          ('./in/', 'Index of /what/in/', '../'))
    os.makedirs(os.path.join(ROOT, b'real', b'yes'))
    os.symlink(b'yes', os.path.join(ROOT, b'real', b'link'))
    equal('a folder that is a link', show('real/link/', 'json', 6, 'links'),
          b'[]')
    r = subprocess.run([TEST, 'show', ROOT, 'real/link/', 'json', '6'],
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    check('and links are not followed', r.returncode != 0 and not r.stdout)


def empty():
    os.makedirs(os.path.join(ROOT, b'empty', b'er'))
    equal('empty: JSON', show('empty/er/', 'json'), b'[]')
    p = page('empty/er/')
    equal('empty: page', (p.rows[1:], p.text['caption']),
          ([['../', '../']], '0 folders, 0 files'))
    equal('one folder', page('empty/').text['caption'], '1 folder, 0 files')


def text():
    os.makedirs(os.path.join(ROOT, b'a&b<c>"\xff\n', b'd'))
    p = page(b'a&b<c>"\xff\n/d/')
    for tag in 'title', 'h1':
        equal('path in %s' % tag, p.text[tag],
              'Index of /a&b<c>"\ufffd\ufffd/d/')
    p = page(b'a&b<c>"\xff\n')
    equal('path in base', p.base, './a%26b%3Cc%3E%22%FF%0A/')
    if shutil.which('tidy'):
        for path in 'odd/', 'orders/', 'empty/', '':
            r = subprocess.run(['tidy', '-q', '-e', '-utf8', '--show-warnings',
                                'yes'], input=show(path, 'html'),
                               stderr=subprocess.PIPE)
            said = [s for s in r.stderr.decode().splitlines()
                    if 'implicit <body>' not in s]
            equal('tidy has nothing to say about "%s"' % path, said, [])
    else:
        skip('tidy', 'not installed')


def sort_queries():
    for q, want in ('', 9), ('sort=0', 0), ('sort=6', 6), ('sort=7', 9), \
            ('sort=', 9), ('sort=12', 9), ('sort=1&sort=2', 1), ('a&sort=3', 3), \
            ('&&sort=4&', 4), ('xsort=4', 9), ('sort', 9), ('SORT=1', 9), \
            ('sort=x&sort=1', 9), ('sort=-1', 9), ('&', 9):
        got = subprocess.check_output([TEST, 'sort', q])
        equal('query "%s"' % q, int(got), want)


run([odd_names, orders, sizes, what_is_listed, empty, text, sort_queries])
PY
