"""What hostile clients and odd configurations try; it has to end in an answer.

Every server here has to end with status 0 and without a word of a sanitizer."""
import base64, os, re, signal, socket, subprocess, time
from lib import Server, check, equal, get, parse_responses, put, read_all, \
    run, skip, spawn, tmpdir, SLOW, SWS

CURL = ['curl', '-s', '--http2-prior-knowledge', '--max-time',
        str(int(20 * SLOW))]

# pw, at the lowest cost
HASH = '$2b$04$Eh5kAGTIZcBUTZUWzNPWuezCvPSgZ4yNO7KFMTlJA7qSdGKx9eMoO'


def start(root, *args, toml=None, **kw):
    """A server; .toml is the path of its configuration file, if it has one."""
    path = None
    if toml is not None:
        path = put(os.path.join(tmpdir('toml'), 'conf.toml'), toml)
        args = ('--config-file', path, *args)
    s = Server(root, *args, **kw)
    s.toml = path
    return s


def refused(*args, toml=None):
    """What a start with this says, or None when it does start."""
    try:
        start(tmpdir(), *args, toml=toml).stop(signal.SIGKILL)
    except RuntimeError as e:
        return str(e).partition('start: ')[2].strip()


def end(name, s):
    status = s.stop()
    check(name + ': ends well', status == 0 and not re.search(
        'ERROR: |runtime error', s.log()), '%s %s' % (status, s.log()[-500:]))


def until(test, seconds=10):
    """Does test() come true in time?"""
    last = time.time() + seconds * SLOW
    while not test():
        if time.time() > last:
            return False
        time.sleep(0.02)
    return True


def h2(s, path, *args):
    """The head of an answer over HTTP/2 as curl shows it."""
    p = subprocess.run([*CURL, '-i', *args, '-g', '--path-as-is',
                        'http://127.0.0.1:%d%s' % (s.port, path)],
                       stdout=subprocess.PIPE)
    return p.stdout.partition(b'\r\n\r\n')[0].decode('latin-1') + '\r\n'


# ---- fields ------------------------------------------------------------------

def fields_fit():
    """The longest of all: no field is lost, whatever a client asks for."""
    d = tmpdir('root')
    os.makedirs(d + '/sub')
    put(d + '/index.html', 'x')
    names = ['x-%02d' % i for i in range(22)]
    args = ['--security-headers', '--cors-allow-origins', 'https://a.example',
            '--cors-expose-headers', ','.join('n' * 58 for i in range(16))]
    s = start(d, *args, toml='[[advanced.headers]]\nsource = "/**"\n'
              '[advanced.headers.headers]\n%s\n' % '\n'.join(
                  '%s = "%s"' % (n, n) for n in names) +
              'content-security-policy = "%s"\n' % ('c' * 3700))
    want = names + ['content-security-policy', 'x-frame-options', 'vary',
                    'access-control-expose-headers']
    origin = 'Origin: https://a.example'
    for what, path in ('file', '/'), ('longest redirect', '/sub?' + 'q' * 8160):
        r = get(s, path, origin + '\r\n')
        if what != 'file':
            equal('fields: Location', r.get('location'), '/sub/' + path[4:])
        lost = [n for n in want if r.get(n) is None]
        check('fields: %s' % what, not lost, 'lost %s' % lost)
        head = h2(s, path, '-H', origin)
        lost = [n for n in want if '\r\n' + n + ': ' not in head]
        check('fields: %s, HTTP/2' % what, not lost, 'lost %s' % lost)
    end('fields', s)
    # a name longer than what is left behind the other lines
    s = start(d, '--security-headers', '--header', 'x' * 3900 + ': y')
    for n in range(6600, 8160, 120):
        if get(s, '/sub?' + 'q' * n).get('x' * 3900) != 'y':
            check('fields: a long name behind %d bytes' % n, False)
    end('fields: long name', s)
    for option in '--cors-expose-headers', '--cors-allow-headers':
        equal(option + ': too long', refused(option, ','.join(
            'n' * 500 for i in range(16))), 'sws: %s: too long' % option)


def fields_everywhere():
    """Fields of a path are there before anyone has looked at the path."""
    d = tmpdir('root')
    put(d + '/index.html', 'index')
    rules = '[[advanced.headers]]\nsource = "/**"\nheaders = { x-a = "1" }\n' \
        '[[advanced.headers]]\nsource = "/p/**"\nheaders = { x-b = "1" }\n'
    s = start(d, '--health', '--metrics', '--cors-allow-origins=https://a',
              toml=rules)
    for method, path, status in (
            ('GET', '/health', 200), ('GET', '/metrics', 200),
            ('POST', '/p/', 405), ('NEW', '/p/', 501), ('OPTIONS', '*', 204),
            ('GET', '/p/.x', 404), ('GET', '/p/%zz', 400), ('GET', '/p/\\', 400)):
        r = get(s, path, method=method)
        equal('fields of %s %s' % (method, path), (r.status, r.get('x-a'),
              r.get('x-b')), (status, '1', '1' if path in ('/p/', '/p/.x')
                              else None))
    r = get(s, '/p/', 'Origin: https://b\r\n')
    equal('fields of 403', (r.status, r.get('x-a'), r.get('x-b')),
          (403, '1', '1'))
    end('fields of all', s)
    for args, status in (['--basic-auth', 'u:' + HASH], 401), \
            (['--maintenance-mode'], 503):
        s = start(d, *args, toml=rules)
        r = get(s, '/p/')
        equal('fields of %d' % status, (r.status, r.get('x-a'), r.get('x-b')),
              (status, '1', '1'))
        end('fields of %d' % status, s)


def rewrites():
    d = tmpdir('root')
    put(d + '/index.html', 'index')
    s = start(d, toml='[[advanced.rewrites]]\nsource = "/a/**"\n'
              'destination = "/x/$0"\n'
              '[[advanced.rewrites]]\nsource = "/b/{*}"\n'
              'destination = "/x/%$1"\n')
    # each ^ takes three bytes of the new target
    equal('rewrites: too long', get(s, '/a/' + '^' * 2000).status, 414)
    equal('rewrites: a bad target', get(s, '/b/zz').status, 400)
    end('rewrites', s)


if __name__ == '__main__':
    run([fields_fit, fields_everywhere, rewrites])
