"""What has been counted: metrics_test.c, then its text read by a strict reader
here and by promtool.  CC and SANITIZE name another build."""
from lib import *

EXE = os.path.join(tmpdir('metrics'), 'metrics_test')
PROMTOOL = os.path.join(HERE, 'deps/usr/bin/promtool')
NAME = r'[a-zA-Z_:][a-zA-Z0-9_:]*'
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(r'(%s)(?:\{(%s(?:,%s)*)\})? (\d+(?:\.\d+)?)' %
                    (NAME, LABEL, LABEL))
PART = {'histogram': ('_bucket', '_sum', '_count')}


def read(text):
    """{family: (type, [(name, labels, value)])}, strictly: HELP, TYPE, then
    the samples; a family stands once, and so does a sample."""
    families, now = {}, None
    if not text.endswith('\n'):
        raise ValueError('the last line has no end')
    for line in text.splitlines():
        m = re.fullmatch(r'# HELP (%s) (\S.*)' % NAME, line)
        if m:
            if m[1] in families:
                raise ValueError('twice: ' + line)
            now = m[1]
            families[now] = None
            continue
        m = re.fullmatch(r'# TYPE (%s) (counter|gauge|histogram)' % NAME, line)
        if m:
            if m[1] != now or families[now] is not None:
                raise ValueError('out of place: ' + line)
            families[now] = m[2], []
            continue
        m = SAMPLE.fullmatch(line)
        if not m:
            raise ValueError('no sample: ' + line)
        kind, samples = families[now]
        if m[1] not in [now + p for p in PART.get(kind, ('',))]:
            raise ValueError('of another family: ' + line)
        if (m[1], m[2]) in [s[:2] for s in samples]:
            raise ValueError('twice: ' + line)
        samples.append((m[1], m[2], float(m[3])))
    return families


def histogram(samples):
    """Does it grow towards +Inf, which is the count?"""
    le = [(float(l[4:-1]), v) for n, l, v in samples if n.endswith('_bucket')]
    count = [v for n, _, v in samples if n.endswith('_count')]
    return (le == sorted(le) and sorted(v for _, v in le) == [v for _, v in le]
            and le[-1][0] == float('inf') and count == [le[-1][1]] and
            len({b for b, _ in le}) == len(le))


TYPES = {'sws_build_info': 'gauge', 'process_start_time_seconds': 'gauge',
         'sws_http_connections_active': 'gauge',
         'sws_http_connections_total': 'counter',
         'sws_http_requests_inflight': 'gauge',
         'sws_http_requests_total': 'counter',
         'sws_http_request_duration_seconds': 'histogram',
         'sws_http_response_bytes_total': 'counter'}


def state(name):
    text = subprocess.run([EXE, name], capture_output=True, text=True,
                          check=True).stdout
    f = read(text)
    equal('%s: names and types' % name, {k: v[0] for k, v in f.items()}, TYPES)
    check('%s: the histogram is one' % name,
          histogram(f['sws_http_request_duration_seconds'][1]))
    start = f['process_start_time_seconds'][1][0][2]
    check('%s: the start is a time of today' % name,
          0 <= time.time() - start < 3600, start)
    if not os.access(PROMTOOL, os.X_OK):
        return check('promtool', False,
                     'is missing: sh test/deps.sh test installs it')
    p = subprocess.run([PROMTOOL, 'check', 'metrics'], input=text, text=True,
                       capture_output=True)
    check('%s: promtool has nothing to say' % name,
          p.returncode == 0 and not p.stdout + p.stderr, p.stdout + p.stderr)


def main():
    flags = os.environ.get('SANITIZE', '-fsanitize=address,undefined '
                           '-fno-sanitize-recover=all').split()
    p = subprocess.run(
        [os.environ.get('CC', 'cc'), '-std=c11', '-D_GNU_SOURCE', '-Wall',
         '-Wextra', '-Wpedantic', '-Wshadow', '-Wconversion', '-Wcast-qual',
         '-Werror', '-g', '-O1', *flags, '-o', EXE, 'metrics_test.c'],
        cwd=HERE, capture_output=True, text=True)
    if not check('metrics_test.c builds', p.returncode == 0, p.stderr):
        return
    p = subprocess.run([EXE, 'run'], capture_output=True, text=True)
    print(p.stdout, end='')
    check('metrics_test ends well', p.returncode == 0, p.stderr)
    print(p.stderr, end='', file=sys.stderr)
    for name in 'none', 'some', 'full':
        state(name)
    for text in ('a 1\n', '# HELP a b\n# TYPE a gauge\nb 1\n',
                 '# HELP a b\n# TYPE a gauge\na 1\na 1\n',
                 '# HELP a b\n# TYPE a gauge\na{x="\\z"} 1\n',
                 '# HELP a b\n# TYPE a gauge\na 1'):
        try:
            read(text)
            check('the reader is strict', False, text)
        except (ValueError, TypeError, KeyError):
            pass


if __name__ == '__main__':
    run([main])
