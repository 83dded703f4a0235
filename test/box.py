"""--sandbox, --user, --group, --chroot from outside: what they refuse, what
SIGHUP can and cannot do in the box, and that all of sws works there.  What is
possible inside is box.sh's."""
import pwd, stat
import lib
from lib import *

need_h2()
from files import leaving, links

os.chmod(lib._tmp, 0o755)       # for a server that is nobody
REQUIRED = '--sandbox=required'
OLD = 1600000000
NOBODY = pwd.getpwnam('nobody')
TLS = 'no TLS' not in subprocess.run([SWS, '--version'], capture_output=True,
                                     text=True).stdout


def folder(name='d', mode=0o755):
    d = tmpdir(name)
    os.chmod(d, mode)
    return d


def status(pid, name):
    with open('/proc/%d/status' % pid) as f:
        return re.search(r'^%s:\s*(.*)$' % name, f.read(), re.M).group(1)


def words(pid, name):
    return [int(x) for x in status(pid, name).split()]


def children(pid):
    with open('/proc/%d/task/%d/children' % (pid, pid)) as f:
        return [int(x) for x in f.read().split()]


def attempt(*args, wrap=(), sws=None, env=None):
    """One that should not start: its status and standard error."""
    p = subprocess.run([*wrap, sws or SWS, '-a', '127.0.0.1', '-p', '0',
                        '--idle-exit', '1', *args],
                       env=clean_env(**(env or {})),
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.PIPE, text=True, timeout=30 * SLOW)
    return p.returncode, p.stderr


def refused(name, code, pattern, *args, **kw):
    rc, err = attempt(*args, **kw)
    check(name, rc == code and err.count('\n') == 1 and
          re.search(pattern, err), (rc, err))


def lines(s, since=0):
    """What sws says, without its greeting and the access log."""
    return [x for x in s.log()[since:].splitlines()
            if x.startswith('sws: ') and ' on http' not in x]


def replace(path, data):
    put(path + '.new', data)
    os.rename(path + '.new', path)


def relink(target, path):
    os.symlink(target, path + '.new')
    os.rename(path + '.new', path)


class Site(lib.Site):
    """One that says when a reload is over."""

    def __init__(self, *args, **kw):
        path = os.path.join(folder('notify'), 'socket')
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(path)
        self.notify.settimeout(20 * SLOW)
        kw.setdefault('pair', None if TLS else False)
        super().__init__(*args, env={'NOTIFY_SOCKET': path}, **kw)
        self.told('READY=1')

    def told(self, what):
        while what not in self.notify.recv(999).decode():
            pass

    def reload(self, toml=None):
        """HUP, with another file; what was said of it."""
        if toml is not None:
            replace(self.toml, toml)
        n = len(self.log())
        self.proc.send_signal(signal.SIGHUP)
        self.told('RELOADING=1')
        self.told('READY=1')
        return lines(self, n)

    def stop(self, *a, **k):
        r = super().stop(*a, **k)
        self.notify.close()
        return r


def see(*args, **kw):
    return lib.see(*args, kinds=KINDS if TLS else KINDS[:1], **kw)


# ---- whether, and with what ---------------------------------------------------

def values():
    root = folder()
    for v in 'on', 'AUTO', 'requiredx', '1':
        refused('--sandbox=%s' % v, 2, 'sandbox', '--sandbox=' + v, root)
    refused('SERVER_SANDBOX=on', 2, 'SERVER_SANDBOX', root,
            env={'SERVER_SANDBOX': 'on'})
    for v, want in ('auto', 2), ('required', 2), ('off', 0), (None, 2):
        s = Server(root, *(['--sandbox=' + v] if v else []))
        pid = s.proc.pid
        equal('--sandbox=%s: filter, no new privileges, said' % v,
              (words(pid, 'Seccomp'), words(pid, 'NoNewPrivs'), lines(s)),
              ([want], [int(want > 0)], []))
        equal('--sandbox=%s: the sibling has none' % v,
              [words(p, 'Seccomp') for p in children(pid)], [[0]])
        equal('--sandbox=%s: ends well' % v, s.stop(), 0)


PARTS = [('Landlock', 'landlock_create_ruleset', 'ENOSYS'),
         ('Landlock', 'landlock_create_ruleset', 'EOPNOTSUPP'),
         ('Landlock', 'landlock_restrict_self', 'EPERM'),
         ('openat2', 'openat2', 'ENOSYS'), ('seccomp', 'seccomp', 'EINVAL'),
         ('seccomp', 'seccomp', 'ENOSYS')]


def lacking():
    """A system without a part of it."""
    strace = shutil.which('strace')
    if not strace:
        return check('strace', False, 'sh test/deps.sh test installs it')
    root = folder()
    for part, call, error in PARTS:
        wrap = [strace, '-f', '-qq', '-e', 'trace=' + call, '-e',
                'inject=%s:error=%s' % (call, error), '-o', '/dev/null']
        if subprocess.run(wrap + ['true'], capture_output=True).returncode:
            skip('without ' + call, 'strace cannot inject here')
            continue
        tag = 'without %s (%s): ' % (call, error)
        refused(tag + 'required', 1, '--sandbox required: this system has no '
                + part, REQUIRED, root, wrap=wrap)
        s = Server(root, wrap=wrap)
        equal(tag + 'auto says so in one line', lines(s), [
            'sws: sandbox: this system has no ' + part])
        end(s)
        s = Server(root, '--sandbox=off', wrap=wrap)
        equal(tag + 'off does not care', lines(s), [])
        end(s)
        if error == 'ENOSYS' and part != 'openat2':     # that is files.py's
            links(wrap, tag)
            leaving(wrap, tag)


# ---- what a reload can reach ----------------------------------------------------

def reach():
    """A reload names a page: it is read only from the folders that were named
    at the start."""
    top = folder()
    for name in ('root/in', 'cwd/404.html', 'beside', 'keys/other',
                 'archive/other', 'live/other', 'etc/other', 'log/other',
                 'pages/404', 'pages/other', 'types/other'):
        put('%s/%s' % (top, name), name)
    put(top + '/types/mime', '')
    os.symlink('../beside', top + '/root/out')
    can = ['root/in', 'etc/other', 'pages/other', 'types/other']
    cannot = ['cwd/404.html', 'beside', 'log/other', 'root/out',
              '/etc/passwd', '/proc/self/status']
    pair = False
    if TLS:
        cert, key = certificate('localhost')
        shutil.copy(cert, top + '/archive/cert1.pem')
        shutil.copy(key, top + '/keys/key.pem')
        os.symlink('../archive/cert1.pem', top + '/live/cert.pem')
        pair = top + '/live/cert.pem', top + '/keys/key.pem'
        can += ['keys/other', 'live/other', 'archive/other']
    for how in '--sandbox=off', '--sandbox=auto', REQUIRED:
        s = Site(top + '/root', how, '--log-file', top + '/log/access',
                 '--page404', top + '/pages/404', '--mime-types',
                 top + '/types/mime', cwd=top + '/cwd', pair=pair,
                 conf=top + '/etc/site.toml')
        for f in can + cannot:
            path = os.path.join(top, f)
            read = f in can or 'off' in how
            equal('%s: %s %s' % (how, f, 'is read' if read else 'is not'),
                  s.reload('[general]\npage50x = "%s"\n' % path), [] if read
                  else ['sws: --page50x %s: Permission denied: all stays as it '
                        'was' % path])
        check(how + ': still serves', get(s, '/in').body == b'root/in')
        equal(how + ': ends well', s.stop(), 0)


def der(path):
    with open(path) as f:
        return ssl.PEM_cert_to_DER_cert(f.read())


def shown(s):
    with dial(s, True) as c:
        return c.getpeercert(True)


def certificates():
    """Renewed ones: replaced by rename, and certbot's links to a new file."""
    if not TLS:
        return skip('certificates', 'built without TLS')
    one, two, three = (certificate('localhost') for _ in range(3))
    d = folder('keys')
    cert, key = d + '/cert.pem', d + '/key.pem'
    put(cert, open(one[0], 'rb').read())
    put(key, open(one[1], 'rb').read())
    s = Site(folder(), REQUIRED, pair=(cert, key))
    first = shown(s)
    for a, b in zip((cert, key), two):
        replace(a, open(b, 'rb').read())
    said = s.reload()
    equal('renewed by rename', (first, shown(s), said),
          (der(one[0]), der(two[0]), []))
    replace(key, 'none')
    said = s.reload()
    check('a bad key: one line, and the old pair stays', len(said) == 1 and
          'stays as it was' in said[0] and shown(s) == der(two[0]), said)
    equal('renewed: ends well', s.stop(), 0)
    top = folder('certbot')
    for i, pair in enumerate((one, two, three), 1):
        for n, f in zip(('fullchain', 'privkey'), pair):
            put('%s/archive/x/%s%d.pem' % (top, n, i), open(f, 'rb').read())

    def live(i):
        for n in 'fullchain', 'privkey':
            relink('../../archive/x/%s%d.pem' % (n, i),
                   '%s/live/x/%s.pem' % (top, n))
    os.makedirs(top + '/live/x')
    live(1)
    s = Site(folder(), REQUIRED, pair=(top + '/live/x/fullchain.pem',
                                       top + '/live/x/privkey.pem'))
    got = [shown(s)]
    for i in 2, 3:
        live(i)
        got += [s.reload(), shown(s)]
    equal("certbot's links", got, [der(one[0]), [], der(two[0]), [],
                                   der(three[0])])
    s.stop()
    # a Kubernetes volume: the link is the folder
    top = folder('volume')
    for i, pair in enumerate((one, two), 1):
        put('%s/..%d/tls.crt' % (top, i), open(pair[0], 'rb').read())
        put('%s/..%d/tls.key' % (top, i), open(pair[1], 'rb').read())
    relink('..1', top + '/..data')
    for n in 'tls.crt', 'tls.key':
        os.symlink('..data/' + n, top + '/' + n)
    s = Site(folder(), REQUIRED, pair=(top + '/tls.crt', top + '/tls.key'))
    relink('..2', top + '/..data')
    equal('a link to a folder', (s.reload(), shown(s)), ([], der(two[0])))
    s.stop()


HOST = '[[advanced.virtual-hosts]]\nhost = "other"\nroot = "%s"\n'
FIELD = ('[[advanced.headers]]\nsource = "**"\n'
         '[advanced.headers.headers]\nx-n = "%d"\n')


def settings():
    """A changed file; a root that is outside."""
    top = folder()
    put(top + '/root/in/index.html', 'inside')
    put(top + '/root/index.html', 'root')
    put(top + '/outside/index.html', 'outside')
    s = Site(top + '/root', REQUIRED, toml=FIELD % 1)
    see('file: at first', s, x_n='1', body=b'root')
    said = s.reload(FIELD % 2)
    see('file: changed', s, x_n='2')
    said += s.reload(HOST % (top + '/root/in') + FIELD % 3)
    see('file: a host within the root', s, host='other', x_n='3',
        body=b'inside')
    equal('file: nothing was said', said, [])
    said = s.reload(HOST % (top + '/outside') + FIELD % 4)
    check('a host outside: one line', len(said) == 1 and 'virtual host other' in
          said[0] and 'Permission denied: all stays as it was' in said[0], said)
    see('a host outside: the old rules stay', s, host='other', x_n='3',
        body=b'inside')
    said = s.reload('[general')
    check('a bad file: one line', len(said) == 1, said)
    os.unlink(s.toml)
    said = s.reload()
    check('no file: one line', len(said) == 1, said)
    see('no file: the old rules stay', s, x_n='3')
    s.reload(FIELD % 5)
    see('and on it goes', s, x_n='5')
    equal('file: ends well', s.stop(), 0)
    # from the start on a host's root is one more tree
    s = Site(top + '/root', REQUIRED, toml=HOST % (top + '/outside'))
    see('a host outside from the start', s, host='other', body=b'outside')
    s.reload(HOST % (top + '/outside') + FIELD % 6)
    see('and after a reload', s, host='other', body=b'outside', x_n='6')
    s.stop()


def logged(s, path, log):
    """A request; has its line come to the log?"""
    get(s, path)
    end = time.time() + 10 * SLOW
    while path + ' ' not in open(log).read():
        if time.time() > end:
            return False
        time.sleep(0.01)
    return True


def logs():
    top = folder()
    log = top + '/logs/access'
    os.mkdir(top + '/logs')
    put(top + '/root/index.html', 'root')
    s = Site(top + '/root', REQUIRED, '--log-file', log)
    was = [logged(s, '/one', log)]
    os.rename(log, log + '.1')
    was += [logged(s, '/two', log + '.1'), s.reload(), logged(s, '/three', log)]
    equal('rotated log', was, [True, True, [], True])
    check('and each line once', '/three' not in open(log + '.1').read() and
          '/two' not in open(log).read())
    os.rename(top + '/logs', top + '/gone')
    said = s.reload()
    check('no folder for it any more: one line', len(said) == 1 and
          '--log-file' in said[0], said)
    check('and the old one goes on', logged(s, '/four', top + '/gone/access'))
    equal('log: ends well', s.stop(), 0)
    for path in '/dev/null', '/dev/stderr', '/dev/stdout':
        s = Site(top + '/root', REQUIRED, '--log-file', path)
        get(s, '/one')
        said = s.reload()
        check('log to %s: serves after a reload' % path,
              len(said) <= 1 and get(s, '/').status == 200, said)
        equal('log to %s: ends well' % path, s.stop(), 0)


def roots():
    """--use-relative-root: the link that the root is leads elsewhere."""
    top = folder()
    for n in 'one', 'two':
        put('%s/rel/%s/index.html' % (top, n), n)
    relink('rel/one', top + '/now')
    s = Site(top + '/now', REQUIRED, '--use-relative-root')
    see('root by a link', s, body=b'one')
    relink('rel/two', top + '/now')
    see('root by a link, elsewhere', s, body=b'two')
    s.reload()
    see('and after a reload', s, body=b'two')
    s.stop()
    s = Site(top + '/now', REQUIRED)
    relink('rel/one', top + '/now')
    see('root held open', s, body=b'two')
    equal('root held open: a reload goes on', s.reload(
        '[general]\npage404 = "none"\n[[advanced.headers]]\nsource = "/**"\n'
        'headers = { X-New = "1" }\n'), [])
    see('root held open, by a reload too', s, body=b'two', x_new='1')
    s.stop()


def pages():
    """Files outside of the root, read anew."""
    top = folder()
    put(top + '/root/index.html', 'root')
    put(top + '/root/f.odd', 'odd')
    names = {n: put('%s/%s/file' % (top, n), n + ' 1') for n in (
        'page404', 'fallback', 'maintenance')}
    types = put(top + '/types/mime.types', 'text/one odd\n')
    s = Site(top + '/root', REQUIRED, '--page404', names['page404'],
             '--mime-types', types)
    see('a page and a type', s, '/nope', 404, body=b'page404 1')
    see('its type', s, '/f.odd', content_type=re.compile('text/one'))
    replace(names['page404'], 'page404 2')
    replace(types, 'text/two odd\n')
    equal('replaced: nothing is said', s.reload(), [])
    see('a page, replaced', s, '/nope', 404, body=b'page404 2')
    see('its type, replaced', s, '/f.odd', content_type=re.compile('text/two'))
    for what, data in ('too long', b'#\n' * 600000), (
            'wrong', b'text/x a=b/\0'):
        replace(types, data)
        said = s.reload()
        check('types, %s: one line' % what, len(said) == 1 and types in said[0],
              said)
    see('its type stays', s, '/f.odd', content_type=re.compile('text/two'))
    equal('pages: ends well', s.stop(), 0)
    for option, file, code in ('--page-fallback', 'fallback', 200), (
            '--maintenance-mode-file', 'maintenance', 503):
        s = Site(top + '/root', REQUIRED, option, names[file], *(
            ['--maintenance-mode'] if code == 503 else []))
        see(option, s, '/nope', code, body=(file + ' 1').encode())
        replace(names[file], file + ' 2')
        s.reload()
        see(option + ', replaced', s, '/nope', code,
            body=(file + ' 2').encode())
        s.stop()


# ---- all that sws can do --------------------------------------------------------

def three_at_once(s):
    big = connect('h2', s)
    ids = [big.send(b'/big', b'GET', [], b'localhost') for _ in range(3)]
    got = dict.fromkeys(ids, 0)
    while sum(got.values()) < 9 << 20:
        for e in big.take(big.s.recv(1 << 18)):
            if isinstance(e, big.events.DataReceived):
                got[e.stream_id] += len(e.data)
                big.c.acknowledge_received_data(e.flow_controlled_length,
                                                e.stream_id)
        big.s.sendall(big.c.data_to_send())
    equal('three large files at once by HTTP/2', list(got.values()),
          [3 << 20] * 3)
    big.close()


def features():
    import json
    root = folder()
    put(root + '/index.html', '<p>page</p>', OLD)
    put(root + '/index.html.md', '# page', OLD)
    put(root + '/big', os.urandom(3 << 20), OLD)
    put(root + '/t.txt', 'text ' * 1000, OLD)
    put(root + '/t.txt.gz', b'\x1f\x8b', OLD)
    os.mkdir(root + '/many')
    for i in range(10000):
        open('%s/many/%05d' % (root, i), 'w').close()
    s = Site(root, REQUIRED, '-z', '--metrics', '--health',
             '--accept-markdown', '--etag', toml='''[advanced.memory-cache]
capacity = 100
max-file-size = 100
''')
    see('page', s, body=b'<p>page</p>')
    see('page again', s, body=b'<p>page</p>')
    see('markdown', s, fields={'accept': 'text/markdown'}, body=b'# page')
    see('encoding', s, '/t.txt', fields={'accept-encoding': 'gzip'},
        content_encoding='gzip', body=b'\x1f\x8b')
    see('a large file', s, '/big', body=open(root + '/big', 'rb').read())
    see('ranges', s, '/t.txt', 206, fields={'range': 'bytes=0-1,20-21'},
        content_type=re.compile('multipart'))
    see('unchanged', s, '/t.txt', 304, fields={
        'if-modified-since': 'Sun, 13 Sep 2026 12:26:40 GMT'})
    see('health', s, '/health', head=False)
    for order in range(7):
        see('10,000 entries as a page, order %d' % order, s,
            '/many/?sort=%d' % order, body=lambda b: b.count(
                b'<a href="./0') == 10000, head=False)
    see('and as JSON', s, '/many/', fields={'accept': 'application/json'},
        body=lambda b: sorted(x['name'] for x in json.loads(b)) ==
        ['%05d' % i for i in range(10000)], head=False)
    r = get(s, '/metrics')
    check('metrics', b'sws_http_requests_total{' in r.body, r)
    if TLS:
        three_at_once(s)
    c = s.connect()
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
    c.sendall(b'GET /big HTTP/1.1\r\nHost: a\r\n\r\n')
    c.recv(10)
    c.close()                   # a reset while sending
    see('after a reset', s, body=b'<p>page</p>')
    equal('features: nothing was said', lines(s), [])
    equal('features: ends well', s.stop(), 0)


def passwords():
    rc, err = attempt('--basic-auth', 'u:' + hashed('pw'), folder())
    if 'no crypt' in err:
        return skip('passwords', 'built without crypt(3)')
    s = Site(folder(), REQUIRED, '-z', '--basic-auth', 'u:' + hashed('pw'))
    see('no password', s, status=401)
    see('a password', s, fields=basic('u', 'pw'))
    see('a wrong one', s, status=401,
        fields=basic('u', 'no'))
    equal('passwords: ends well', s.stop(), 0)


def ways_to_end():
    """With a client there, without one, by itself, and after a second TERM."""
    root = folder()
    put(root + '/index.html', 'x')
    s = Server(root, REQUIRED, '--idle-exit', '1')
    get(s)
    try:
        rc = s.proc.wait(15 * SLOW)
    except subprocess.TimeoutExpired:
        rc = 'still there'
    equal('ends by itself', rc, 0)
    s.stop()
    for sigs in ([signal.SIGTERM] * 2, [signal.SIGINT] * 2):
        s = Server(root, REQUIRED, '--drain-timeout', '60')
        with s.connect() as c:
            c.sendall(b'GET / HTTP/1.1\r\nHo')
            get(s)
            for x in sigs[1:]:
                s.proc.send_signal(x)
                time.sleep(0.1)
            equal('ends with %s twice' % sigs[0].name, s.stop(sigs[0]), 0)


# ---- somebody else --------------------------------------------------------------

def accounts():
    """A command that runs another one with users of our own: sws-test, 1234,
    is in two more groups.  Or None."""
    d = folder('accounts')
    for f, line in ('passwd', 'sws-test:x:1234:1235::/:/bin/false\n'), (
            'group', 'sws-own:x:1235:\nsws-a:x:1236:sws-test\n'
            'sws-b:x:1237:root,sws-test\nsws-c:x:1238:root\n'):
        put('%s/%s' % (d, f), open('/etc/' + f).read() + line)
    wrap = ['unshare', '-m', 'sh', '-ec', 'for f in passwd group; do '
            'mount --bind %s/$f /etc/$f; done; exec "$0" "$@"' % d]
    return wrap if subprocess.run(wrap + ['true'], capture_output=True
                                  ).returncode == 0 else None


def ids(pid):
    """uids, gids, other groups, capabilities"""
    return (set(words(pid, 'Uid')), set(words(pid, 'Gid')),
            set(words(pid, 'Groups')), int(status(pid, 'CapEff'), 16),
            int(status(pid, 'CapPrm'), 16))


def users():
    if os.getuid() != 0:
        return skip('--user', 'not root')
    root = folder()
    put(root + '/index.html', 'x')
    wrap = accounts()
    rows = [('nobody', None, (), {65534}, {NOBODY.pw_gid}, {NOBODY.pw_gid}),
            ('65534', None, (), {65534}, {NOBODY.pw_gid}, {NOBODY.pw_gid}),
            ('nobody', '4321', (), {65534}, {4321}, {4321}),
            ('54321', '4321', (), {54321}, {4321}, {4321})]
    if wrap:
        rows += [('sws-test', None, wrap, {1234}, {1235}, {1235, 1236, 1237}),
                 ('1234', None, wrap, {1234}, {1235}, {1235, 1236, 1237}),
                 ('sws-test', 'sws-c', wrap, {1234}, {1238},
                  {1236, 1237, 1238})]
    else:
        skip('--user with other groups', 'no namespaces')
    for user, group, w, *want in rows:
        more = ['--group', group] if group else []
        s = Server(root, REQUIRED, '--user', user, *more, wrap=w)
        equal('--user %s %s' % (user, ' '.join(more)), ids(s.proc.pid),
              (*want, 0, 0))
        equal('and it serves', (get(s).body, s.stop()), (b'x', 0))
    for args, code, why in (
            (['--user', 'no-such-user'], 1, 'no-such-user: no such user'),
            (['--user', '54321'], 1, '--user 54321: .*needs --group'),
            (['--user', '-1'], 1, 'no such user'),
            (['--user', '4294967295'], 1, 'no such user'),
            (['--user', '65534x'], 1, 'no such user'),
            (['--user', 'nobody', '--group', 'no-such-group'], 1,
             '--group no-such-group: no such group'),
            (['--user', 'nobody', '--group', '99999999999'], 1,
             'no such group'),
            (['--group', 'nogroup'], 2, '--group needs --user'),
            (['--chroot', '/no/such/folder'], 1,
             '--chroot /no/such/folder: No such file'),
            (['--chroot', '/etc/passwd'], 1, '--chroot .*: Not a directory')):
        refused(' '.join(args), code, why, *args, root)
    sws = shutil.copy(SWS, tmpdir('bin') + '/sws')
    os.chmod(os.path.dirname(sws), 0o755)
    os.chmod(sws, 0o755)
    other = ['setpriv', '--reuid', '65534', '--regid', str(NOBODY.pw_gid),
             '--clear-groups', '--']
    for args, why in (
            (['--user', 'root'], 'only root can become another user'),
            (['--user', '1', '--group', '1'], 'only root'),
            (['--user', 'nobody', '--group', '0'], 'only root'),
            (['--chroot', root], '--chroot .*: Operation not permitted')):
        refused('as nobody: ' + ' '.join(args[:2]), 1, why, *args, root,
                wrap=other, sws=sws)
    refused('no chroot: its own user is nobody else', 0, ' on http', '--user',
            'nobody', root, wrap=other, sws=sws)


def user_reloads():
    """What only root may read was read before; a reload says so."""
    if os.getuid() != 0:
        return skip('--user and SIGHUP', 'not root')
    if not TLS:
        return skip('--user and SIGHUP', 'built without TLS')
    top = folder()
    put(top + '/root/index.html', 'x')
    os.mkdir(top + '/log')
    os.chmod(top + '/root', 0o711)      # no lists, for all but root
    pair = [shutil.copy(f, top) for f in certificate('localhost')]
    os.chmod(pair[1], 0o600)
    s = Site(top + '/root', REQUIRED, '--user', 'nobody', '--log-file',
             top + '/log/access', pair=pair, conf=top + '/site.toml')
    first = shown(s)
    said = s.reload()
    check("a reload cannot read root's key and says so", len(said) == 2 and
          'key.pem: Permission denied: all stays as it was' in said[0] and
          'log/access: Permission denied' in said[1], said)
    equal('and serves with the old one', (shown(s), get(s).body),
          (first, b'x'))
    check('and the log goes on', logged(s, '/on', top + '/log/access'))
    os.chown(pair[1], 65534, -1)
    os.chown(top + '/log', 65534, -1)
    os.rename(top + '/log/access', top + '/log/old')
    equal('a reload where it may', s.reload(), [])
    get(s, '/new')
    made = os.stat(top + '/log/access')
    equal('whose log is new', (made.st_uid, stat.S_IMODE(made.st_mode) & 0o22),
          (65534, 0))
    equal('user: ends well', s.stop(), 0)


def chroots():
    if os.getuid() != 0:
        return skip('--chroot', 'not root')
    # what is named is opened outside first, and inside by SIGHUP
    top = folder()
    jail = top + '/jail'
    pairs = [certificate('localhost') for _ in range(2)]
    for at, pair, n in (top, pairs[0], 1), (jail + top, pairs[1], 2):
        put(at + '/root/index.html', 'root %d' % n)
        put(at + '/host/index.html', 'host %d' % n)
        put(at + '/keys/cert.pem', open(pair[0], 'rb').read())
        put(at + '/keys/key.pem', open(pair[1], 'rb').read())
        put(at + '/pages/404', 'page %d' % n)
        put(at + '/etc/site.toml', HOST % (top + '/host') + FIELD % n)
        os.mkdir(at + '/log')
    put(jail + '/outside', 'x')
    relink('host', jail + top + '/now')
    for user in (), ('--user', 'nobody'):
        tag = 'chroot%s: ' % (' as nobody' if user else '')
        if user:
            for d, _, files in os.walk(jail):
                for f in [''] + files:
                    os.chown(os.path.join(d, f), 65534, -1)
        s = Site(top + '/root', REQUIRED, '--chroot', jail, *user,
                 '--page404', top + '/pages/404', '--log-file',
                 top + '/log/access', toml=HOST % (top + '/host') + FIELD % 1,
                 conf=top + '/etc/site.toml',
                 pair=TLS and (top + '/keys/cert.pem', top + '/keys/key.pem'))
        pid = s.proc.pid
        equal(tag + 'where it is', (os.readlink('/proc/%d/root' % pid),
                                    os.readlink('/proc/%d/cwd' % pid)),
              (jail, jail))
        want = [] if user else ['sws: --chroot without --user: root can leave '
                                'it']
        equal(tag + 'what is said', lines(s), want)
        see(tag + 'serves from outside at first', s, body=b'root 1', x_n='1')
        see(tag + 'a host', s, host='other', body=b'host 1')
        see(tag + 'a page', s, '/nope', 404, body=b'page 1')
        if TLS:
            equal(tag + 'a certificate', shown(s), der(pairs[0][0]))
        equal(tag + 'a reload is good', s.reload(), [])
        see(tag + 'the root is held open or read inside', s,
            body=re.compile(b'root [12]'), x_n='2')
        see(tag + 'a host inside', s, host='other', body=b'host 2')
        see(tag + 'a page inside', s, '/nope', 404, body=b'page 2')
        if TLS:
            equal(tag + 'a certificate inside', shown(s), der(pairs[1][0]))
        check(tag + 'a log inside', os.path.exists(jail + top + '/log/access'))
        os.unlink(jail + top + '/log/access')
        file = jail + top + '/etc/site.toml'
        for root, why in ('/none', 'No such file or directory'), (
                '/', 'Permission denied'):
            replace(file, HOST % root + FIELD % 3)
            said = s.reload()
            check(tag + 'a host in %s: no' % root, len(said) == 1 and
                  why + ': all stays as it was' in said[0], said)
        replace(file, HOST % (top + '/host') + FIELD % 2)
        equal(tag + 'ends well', s.stop(), 0)


def able():
    """'' where there is a sandbox, else why not."""
    rc, err = attempt(REQUIRED, folder())
    return '' if rc == 0 else err.strip()


tests = [values, lacking, reach, certificates, settings, logs, roots, pages,
         features, passwords, ways_to_end, users, user_reloads, chroots]
only = sys.argv[1:]
why = 'SWS is in one already' if STRICT else able()
if why:
    skip('the sandbox', why)
    sys.exit()
run([t for t in tests if t.__name__ in (only or [t.__name__])])
