"""The measuring programs of bench/ start, ask, count and end, in their shortest
form.  What they measure is not judged: a figure has to be there, no more."""
from lib import *

BENCH = os.path.join(os.path.dirname(HERE), 'bench')
FIGURE = r'\d+(?:\.\d+)?'


def measure(*argv, sws=SWS):
    """(exit status, lines of output, last line of the errors)."""
    p = subprocess.run(argv, cwd=BENCH, env=clean_env(SWS=sws), timeout=120,
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, universal_newlines=True)
    return p.returncode, p.stdout.splitlines(), p.stderr.strip()[-300:]


def rows(lines):
    """The tables: {first words of a title: {server: [figures]}}."""
    all, table = {}, None
    for l in lines:
        title = re.match(r'([\w-]+(?:, \w+)?)[:, ]', l)
        row = re.match(r'(\w[\w-]*) .*?((?:\s+%s)+)$' % FIGURE, l)
        if row and table is not None:
            table.setdefault(row.group(1), []).extend(
                float(x) for x in row.group(2).split())
        elif title and not l.startswith('server'):
            table = all.setdefault(title.group(1), {})
    return all


def finished(name, got):
    return check(name + ' ends well', got[0] == 0, (got[0], got[2]))


def two_cores(name):
    if not {0, 1} <= os.sched_getaffinity(0):
        skip(name, 'needs cores 0 and 1')
        return False
    return True


def h1():
    if not two_cores('h1.sh'):
        return
    got = measure('sh', 'h1.sh', '-r', '1', '-t', '1', '-c', 'small,close',
                  '-s', 'floor,sws,sws-nolog')
    finished('h1.sh', got)
    t = rows(got[1])
    equal('h1.sh measures what it was told', sorted(t), ['close', 'small'])
    for case, servers in sorted(t.items()):
        equal('h1.sh %s: every server' % case, sorted(servers),
              ['floor', 'sws', 'sws-nolog'])
        for n, v in sorted(servers.items()):
            # us, lowest, highest, ratio, requests a second, bytes, errors
            check('h1.sh %s: figures of %s' % (case, n), len(v) == 7 and
                  all(x > 0 for x in v[:5]) and v[5] > 612 and v[6] == 0, v)
        # the floor answers as much as sws does
        check('h1.sh %s: answers are alike' % case,
              servers['floor'][5] == servers['sws'][5], servers)
    got = measure('sh', 'h1.sh', '-r', '1', '-c', 'small', '-s', 'sws',
                  sws='/bin/false')
    check('h1.sh names a server that does not start', got[0] != 0 and
          'sws did not start' in got[2], got)


def h2():
    if not two_cores('h2.sh'):
        return
    got = measure('sh', 'h2.sh', '-r', '1', '-t', '1', '-s', 'sws', '-n', '20',
                  '-c', 'h2c,h2,h1-100k,handshake,memory')
    finished('h2.sh', got)
    t = rows(got[1])
    for case in ('h2c', 'h2', 'h1-100k', 'handshakes, full',
                 'handshakes, resumed', 'memory'):
        v = t.get(case, {}).get('sws', [])
        check('h2.sh %s: figures' % case, len(v) >= 6 and v[0] > 0, t)
    got = measure('sh', 'h2.sh', '-r', '1', '-c', 'h2c', '-s', 'sws',
                  sws='/bin/false')
    check('h2.sh names a server that does not start', got[0] != 0 and
          'sws' in got[2], got)


def start():
    got = measure(sys.executable, 'start.py', SWS)
    finished('start.py', got)
    v = [re.findall(r'(%s) ms' % FIGURE, l) for l in got[1]]
    check('start.py: four kinds of start, two figures each',
          len(v) == 4 and all(len(x) == 2 and float(x[0]) > 0 for x in v), got)
    got = measure(sys.executable, 'start.py', '/bin/false')
    check('start.py does not measure what does not answer', got[0] != 0, got)


def compare():
    got = measure(sys.executable, 'compare.py', SWS, SWS)
    finished('compare.py', got)
    n = re.match(r'(\d+) questions, 0 differences', ' '.join(got[1][-1:]))
    check('compare.py: sws answers as sws does', n and int(n.group(1)) > 500,
          got)
    other = put(tmpdir() + '/other', '#!/bin/sh\nexec "%s" "$@" '
                '--cors-allow-origins="*"\n' % SWS)
    os.chmod(other, 0o755)
    got = measure(sys.executable, 'compare.py', SWS, other)
    check('compare.py sees other answers', got[0] == 1 and
          any('access-control-allow-origin' in l for l in got[1]), got)


run([h1, h2, start, compare])
