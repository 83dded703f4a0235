"""Access lines: log_test.c, then hostile ones read back by others: a pattern,
json, jq, goaccess.  CC and SANITIZE name another build."""
import collections, json, re
from lib import *

WORK = tmpdir('log')
EXE = os.path.join(WORK, 'log_test')
COMBINED, JSON, PRETTY = range(3)
LOGLINE = 4096


def build():
    flags = os.environ.get('SANITIZE', '-fsanitize=address,undefined '
                           '-fno-sanitize-recover=all').split()
    p = subprocess.run(
        [os.environ.get('CC', 'cc'), '-std=c11', '-D_GNU_SOURCE', '-Wall',
         '-Wextra', '-Wpedantic', '-Wshadow', '-Wconversion', '-Wcast-qual',
         '-Werror', '-g', '-O1', *flags, '-o', EXE, 'log_test.c',
         '../http.c'], cwd=HERE, capture_output=True, text=True)
    if p.returncode:
        check('log_test.c builds', False, p.stderr)
        sys.exit(1)


def driver():
    p = subprocess.run([EXE, 'run'], capture_output=True, text=True)
    print(p.stdout, end='')
    check('log_test ends well', p.returncode == 0 and not p.stderr, p.stderr)


def lines(fmt):
    """Hostile lines: (raw lines, what they were made of)."""
    path = os.path.join(WORK, 'lines%d' % fmt)
    p = subprocess.run([EXE, 'lines', str(fmt), path], capture_output=True,
                       text=True)
    check('lines of format %d are written' % fmt,
          p.returncode == 0 and not p.stderr, p.stderr)
    made = []
    for l in p.stdout.splitlines():
        tls, version, *parts = l.split()
        made.append((tls == '1', version, *(bytes.fromhex(x[1:])
                                            for x in parts)))
    with open(path, 'rb') as f:
        data = f.read()
    got = data.split(b'\n')
    check('format %d: as many lines as answers, none too long' % fmt,
          got.pop() == b'' and len(got) == len(made) == 1500 and
          max(map(len, got)) < LOGLINE and
          not re.search(rb'[^ -~\n]', data), len(got))
    return path, got, made


def cut(got, want, least):
    """Is got all of want, or a beginning of it that is long enough?"""
    return got == want or want.startswith(got) and len(got) >= least


ADDRESS = r'192\.0\.2\.1|2001:db8::1|192\.0\.2\.9|unix:'
QUOTED = r'"((?:[^"\\]|\\["\\]|\\x[0-9a-f]{2})*)"'
LINE = re.compile(r'(%s|-) - - \[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d '
                  r'\+0000)\] %s ([1-5]\d\d) (\d+) %s %s (\d+\.\d{6})' %
                  (ADDRESS, QUOTED, QUOTED, QUOTED))


def unescape(s):
    return re.sub(rb'\\(?:x(..)|(.))', lambda m: bytes([int(m[1], 16)])
                  if m[1] else m[2], s.encode())


def combined():
    path, got, made = lines(COMBINED)
    bad, statuses = [], collections.Counter()
    for g, (_, _, line, _, _, referer, agent) in zip(got, made):
        m = LINE.fullmatch(g.decode())
        if not m:
            bad.append(g)
            continue
        statuses[m[4]] += 1
        for have, want, least in ((m[3], line, 450), (m[6], referer, 200),
                                  (m[7], agent, 200)):
            if not cut(unescape(have), want or b'-', least):
                bad.append(g)
    check('combined lines say what was sent', not bad, bad[:1])
    report = os.path.join(WORK, 'report.json')
    if not shutil.which('goaccess'):
        return check('goaccess', False,
                     'is missing: sh test/deps.sh test installs it')
    p = subprocess.run(
        ['goaccess', path, '--no-global-config', '--no-ip-validation',
         '--log-format=%h %^[%d:%t %^] "%r" %s %b "%R" "%u" %T',
         '--date-format=%d/%b/%Y', '--time-format=%T', '-o', report],
        capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if not check('goaccess runs', p.returncode == 0, p.stderr):
        return
    with open(report, errors='replace') as f:
        r = json.load(f, strict=False)
    g = r['general']
    equal('goaccess takes each line', (g['total_requests'],
          g['valid_requests'], g['failed_requests']), (1500, 1500, 0))
    # a quote that it took for the wrong one would shift the status
    seen = {i['data'][:3]: i['hits']['count']
            for c in r['status_codes']['data'] for i in c['items']}
    equal('goaccess sees our status codes', seen, dict(statuses))


KEYS = ['time', 'remote', 'method', 'target', 'protocol', 'tls', 'host',
        'status', 'bytes', 'duration', 'referer', 'user_agent']


def parts(line, name, version):
    """Method, target and protocol of a request line, as documented."""
    protocol = b'HTTP/2' if version == '2' else b''
    if name and len(line) > len(name):
        line = line[len(name) + 1:]
        if len(line) > 9 and line[-9:-3] == b' HTTP/':
            protocol = protocol or line[-8:]
            line = line[:-9]
    return name, line, protocol


def as_json():
    path, got, made = lines(JSON)
    bad = []
    for g, (tls, version, line, name, host, referer, agent) in zip(got, made):
        o = json.loads(g)
        method, target, protocol = parts(line, name, version)
        good = (
            list(o) == KEYS and o['tls'] is tls and
            re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z',
                         o['time']) and
            (o['remote'] is None or re.fullmatch(ADDRESS, o['remote'])) and
            type(o['status']) is int and type(o['bytes']) is int and
            100 <= o['status'] < 600 and type(o['duration']) is float)
        for key, want, least in (
                ('method', method, 8), ('target', target, 300),
                ('protocol', protocol, 8), ('host', host, 60),
                ('referer', referer, 80), ('user_agent', agent, 80)):
            have = o[key]
            good = good and (want == b'' if have is None else
                             cut(have.encode('latin-1'), want, least))
        if not good:
            bad.append(g)
    check('JSON lines say what was sent', not bad, bad[:1])
    if not shutil.which('jq'):
        return check('jq', False, 'is missing: sh test/deps.sh test installs it')
    p = subprocess.run(['jq', '-c', '[.status, .user_agent]', path],
                       capture_output=True)
    ours = [[o['status'], o['user_agent']] for o in map(json.loads, got)]
    theirs = [json.loads(l) for l in p.stdout.split(b'\n') if l]
    check('jq reads the same', p.returncode == 0 and ours == theirs,
          p.stderr[:300])


def pretty():
    lines(PRETTY)


build()
run([driver, combined, as_json, pretty])
