"""Clients that people use: curl, wget, apt, git and a browser."""
import email.utils, glob, gzip, hashlib, json, os, random, re, shutil
import socket, struct, subprocess, threading, time, zlib
from lib import *

OLD = 1600000000                # a Last-Modified that is long ago
rnd = random.Random(1)


def noise(n):
    return bytes(rnd.getrandbits(8) for _ in range(n))


def quiet_env(home, **more):
    """No proxy, no personal settings, messages in English."""
    env = {k: v for k, v in clean_env().items()
           if not re.match(r'(?i)(.*_proxy$|GIT_|APT_|WGETRC|SSL_)', k)}
    env.update(HOME=home, XDG_CONFIG_HOME=home, XDG_CACHE_HOME=home,
               LC_ALL='C', no_proxy='*', NO_PROXY='*',
               PATH=env.get('PATH', '') + ':/usr/sbin:/sbin:/usr/local/sbin')
    env.update(more)
    return env


def client(argv, cwd, timeout=60, stdout=subprocess.PIPE, **env):
    """Run a client.  Returns (exit status or why it has none, what it said,
    standard output as bytes)."""
    home = os.path.join(cwd, '.home')
    os.makedirs(home, exist_ok=True)
    p = spawn(argv, cwd=cwd, env=quiet_env(home, **env), stdout=stdout,
              stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        out, err = p.communicate(timeout=timeout * SLOW)
        r = p.returncode
    except subprocess.TimeoutExpired:
        p.kill()
        out, err = p.communicate()
        r = 'still running after %d s' % timeout
    out = out or b''
    return r, (out[-2000:] + err[-2000:]).decode('latin-1'), out


def missing(*names):
    """A client that is not here is a failure, not a pass."""
    path = os.environ.get('PATH', '') + ':/usr/sbin:/sbin'
    gone = [n for n in names if not shutil.which(n, path=path)]
    for n in gone:
        check('client ' + n, False, n + ' is not installed')
    return bool(gone)


def read(path):
    try:
        with open(path, 'rb') as f:
            return f.read()
    except OSError as e:
        return repr(e)


def tree(top):
    """{relative name: content} of the files below top."""
    out = {}
    for d, _, names in os.walk(os.fsencode(top)):
        for n in names:
            p = os.path.join(d, n)
            with open(p, 'rb') as f:
                out[os.path.relpath(p, os.fsencode(top))] = f.read()
    return out


class Recorder:
    """Passes connections on to a server and keeps what was said on each, so
    that a test can see requests that overlap."""

    def __init__(self, port):
        self.to, self.conns = port, []
        self.lock = threading.Lock()
        self.sock = socket.socket()
        self.sock.bind(('127.0.0.1', 0))
        self.sock.listen(64)
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                a, _ = self.sock.accept()
            except OSError:
                return
            b = socket.create_connection(('127.0.0.1', self.to))
            said = []               # (b'>' or b'<', bytes), in order
            with self.lock:
                self.conns.append(said)
            for args in ((a, b, b'>', said), (b, a, b'<', said)):
                threading.Thread(target=self.copy, args=args,
                                 daemon=True).start()

    def copy(self, a, b, mark, said):
        try:
            while True:
                part = a.recv(65536)
                if not part:
                    break
                with self.lock:
                    said.append((mark, part))
                b.sendall(part)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            for s in a, b:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def clear(self):
        with self.lock:
            self.conns.clear()

    def talk(self):
        """A list of (requests, responses, most that were unanswered at once),
        one a connection that asked anything."""
        out = []
        with self.lock:
            conns = [list(c) for c in self.conns]
        for said in conns:
            asked = b''.join(p for m, p in said if m == b'>')
            told = b''.join(p for m, p in said if m == b'<')
            requests = asked.split(b'\r\n\r\n')[:-1]
            if not requests:
                continue
            methods = [r.split(b' ')[0].decode('latin-1') for r in requests]
            responses, _ = parse_responses(told, methods)
            ends, n = [], 0         # where each response ends
            for r in responses:
                n += len(r.head) + len(r.body)
                ends.append(n)
            most, up, down = 0, b'', 0
            for m, p in said:
                if m == b'>':
                    up += p
                    done = sum(1 for e in ends if e <= down)
                    most = max(most, up.count(b'\r\n\r\n') - done)
                else:
                    down += len(p)
            out.append((requests, responses, most))
        return out

    def statuses(self):
        return sorted(r.status for _, rs, _ in self.talk() for r in rs)


# ---- curl ------------------------------------------------------------------

def curl():
    if missing('curl'):
        return
    root, work = tmpdir('root'), tmpdir('work')
    big = noise(1000000)
    text = b'a line that packs well\n' * 400
    put(root + '/big.bin', big, OLD)
    put(root + '/page.txt', text, OLD)
    put(root + '/page.txt.gz', gzip.compress(text, mtime=0), OLD)
    for i in range(10):
        put('%s/n/%d.txt' % (root, i), b'number %d\n' % i, OLD)
    put(root + '/a b/\xfc\u4e2d #1%.txt', b'odd', OLD)
    s = Server(root)
    base = 'http://127.0.0.1:%d' % s.port

    def c(*args):
        return client(['curl', '-q', '-sS', *args], work)

    r, why, out = c(base + '/big.bin', '-o', 'whole')
    check('curl: get', r == 0 and read(work + '/whole') == big, (r, why))
    r, why, out = c('-I', base + '/big.bin')
    head = out.decode('latin-1').lower()
    check('curl: HEAD', r == 0 and 'content-length: 1000000\r\n' in head and
          re.match(r'http/1\.1 200 ', head), (r, why))

    put(work + '/part', big[:123457])
    r, why, out = c('-C', '-', '-o', 'part', '-w', '%{http_code} '
                    '%{size_download}', base + '/big.bin')
    equal('curl: -C - goes on where it stopped',
          (r, out, read(work + '/part') == big), (0, b'206 876543', True))
    r, why, out = c('-C', '-', '-o', 'part', '-w', '%{http_code}',
                    base + '/big.bin')
    equal('curl: -C - of a complete file',
          (r, out, read(work + '/part') == big), (0, b'416', True))

    r, why, out = c('--compressed', '-D', 'fields', '-o', 'text', '-w',
                    '%{size_download}', base + '/page.txt')
    fields = read(work + '/fields')
    check('curl: --compressed',
          r == 0 and read(work + '/text') == text and
          b'\r\ncontent-encoding: gzip\r\n' in fields.lower() and
          int(out) < len(text) // 4, (r, why, fields))
    r, why, out = c('-D', 'fields', '-o', 'text', base + '/page.txt')
    check('curl: plain without --compressed',
          r == 0 and read(work + '/text') == text and
          b'content-encoding' not in read(work + '/fields').lower(), (r, why))

    put(work + '/copy', b'here already', OLD)
    r, why, out = c('-z', 'copy', '-o', 'copy2', '-w', '%{http_code} '
                    '%{size_download}', base + '/page.txt')
    equal('curl: -z of an unchanged file', (r, out), (0, b'304 0'))
    os.utime(work + '/copy', (OLD - 1000, OLD - 1000))
    r, why, out = c('-z', 'copy', '-o', 'copy2', '-w', '%{http_code}',
                    base + '/page.txt')
    equal('curl: -z of an older copy',
          (r, out, read(work + '/copy2') == text), (0, b'200', True))
    r, why, out = c('--etag-save', 'tag', '-o', 'copy2', base + '/page.txt')
    r, why, out = c('--etag-compare', 'tag', '-o', 'copy3', '-w',
                    '%{http_code}', base + '/page.txt')
    equal('curl: --etag-compare', (r, out), (0, b'304'))

    r, why, out = c('-w', '%{stderr}%{http_code} %{num_connects},',
                    base + '/n/[0-9].txt', base + '/nothing',
                    base + '/n/0.txt')
    said = re.findall(r'(\d+) (\d+),', why)
    equal('curl: twelve URLs over one connection', said,
          [('200', '1')] + [('200', '0')] * 9 + [('404', '0'), ('200', '0')])
    check('curl: their bodies in order',
          out.startswith(b''.join(b'number %d\n' % i for i in range(10))) and
          out.endswith(b'number 0\n'), out)
    r, why, out = c('--parallel', '--remote-name-all', '--output-dir', work,
                    base + '/n/[0-9].txt')
    check('curl: --parallel', r == 0 and all(
        read('%s/%d.txt' % (work, i)) == b'number %d\n' % i
        for i in range(10)), (r, why))
    r, why, out = c('-L', '-w', '%{num_redirects}', base + '/n?q', '-o',
                    'moved')
    equal('curl: -L from a folder without slash', (r, out), (0, b'1'))
    r, why, out = c(base + '/a%20b/%C3%BC%E4%B8%AD%20%231%25.txt')
    equal('curl: odd name, escaped', out, b'odd')
    r, why, out = c('-X', 'OPTIONS', '-i', base + '/big.bin')
    check('curl: OPTIONS', re.match(rb'HTTP/1\.1 20[04] ', out) and
          b'\r\nallow: get, head, options\r\n' in out.lower(), (r, out))
    r, why, out = c('-T', 'whole', '-H', 'Expect: 100-continue', '-o',
                    'refused', '-w', '%{http_code} %{size_upload}',
                    base + '/up')
    equal('curl: an upload that waits gets its 405', (r, out), (0, b'405 0'))
    put(work + '/form', big[:60000])
    r, why, out = c('--data-binary', '@form', '-o', 'refused', '-w',
                    '%{http_code}', '-H', 'Expect:', base + '/n/0.txt')
    equal('curl: a POST that does not wait gets its 405', (r, out),
          (0, b'405'))
    r, why, out = c('--http1.0', base + '/n/1.txt')
    equal('curl: HTTP/1.0', (r, out), (0, b'number 1\n'))
    r, why, out = c('-r', '0-3,10-13', base + '/big.bin')
    check('curl: two ranges', r == 0 and big[:4] in out and big[10:14] in out
          and b'multipart' not in out, (r, why))
    s.stop()


# ---- wget ------------------------------------------------------------------

def wget():
    if missing('wget'):
        return
    import urllib.parse
    root, work = tmpdir('root'), tmpdir('work')
    names = ['plain.txt', 'a b.txt', 'plus+and&amp.txt', "quote'.txt",
             'semi;colon=.txt', 'per%cent.txt', 'per%20cent.txt',
             '\u00fc\u4e2d.txt', 'comma,.txt', 'tilde~.txt', 'at@.bin',
             'br[ack]et.bin', 'br{ac}e.bin', 'paren(1).bin', 'excl!$*.bin',
             'no-extension', 'double..dots', 'UPPER.HTML', 'col:on.bin',
             'caret^.bin', 'pipe|.bin', 'hash#.bin', 'quest?ion.bin',
             'x' * 180 + '.bin']
    dirs = ['', 'one', 'one/two', 'one/two/three', 'd e', 'ver-1.0',
            '\u00e4', 'many']
    for d in dirs:
        here = ['%02d-%s' % (i, n) for i, n in enumerate(names)
                if d in ('', 'd e') or i % 3 == len(d) % 3]
        if d == 'many':
            here = ['f%03d.dat' % i for i in range(150)]
        for n in here:
            put('/'.join(filter(None, (root, d, n))),
                noise(rnd.choice((0, 1, 700, 2047, 2048, 2049, 40000))), OLD)
        subs = [x[len(d) + 1 if d else 0:] for x in dirs
                if x and os.path.dirname(x) == d]
        put('/'.join(filter(None, (root, d, 'index.html'))),
            '<!DOCTYPE html>\n<meta charset=utf-8>\n<title>i</title>\n' +
            ''.join('<a href="./%s">x</a>\n' % urllib.parse.quote(n, safe='')
                    for n in here) +
            ''.join('<a href="%s/">x</a>\n' % urllib.parse.quote(n)
                    for n in subs), OLD)
    put(root + '/large.bin', noise(1 << 20) * 3, OLD)
    with open(root + '/index.html', 'a') as f:
        f.write('<img src="/large.bin">\n')
    os.utime(root + '/index.html', (OLD, OLD))
    s = Server(root)
    rec = Recorder(s.port)
    base = 'http://127.0.0.1:%d' % rec.port
    args = ['wget', '--no-config', '-nv', '-e', 'robots=off', '--tries=1',
            '--no-proxy', '--no-iri', '--restrict-file-names=nocontrol']
    mirror = args + ['-r', '-l', 'inf', '-nH', '-N', '-P', 'copy', base + '/']
    r, why, _ = client(mirror, work, 120)
    want, got = tree(root), tree(work + '/copy')
    # wget decodes a name once more when it saves it
    want = {urllib.parse.unquote_to_bytes(k): v for k, v in want.items()}
    check('wget: -r copies %d files' % len(want), r == 0 and want == got,
          (r, 'missing', sorted(set(want) - set(got))[:5], 'extra',
           sorted(set(got) - set(want))[:5], 'differ',
           [n for n in want if n in got and want[n] != got[n]][:5],
           why[-300:]))
    equal('wget: over one connection', len(rec.talk()), 1)
    times = [p for p in glob.glob(work + '/copy/**', recursive=True)
             if os.path.isfile(p) and os.stat(p).st_mtime != OLD]
    equal('wget: Last-Modified became the copies\' time', times, [])
    rec.clear()
    r, why, _ = client(mirror + ['--no-if-modified-since'], work, 120)
    sent = [x.split(b' HTTP')[0] for xs, _, _ in rec.talk() for x in xs]
    check('wget: -N again asks by HEAD and fetches nothing', r == 0 and
          len(sent) == len(want) and
          all(x.startswith(b'HEAD ') for x in sent),
          (r, len(want), len(sent), [x for x in sent if x[:4] != b'HEAD'][:5],
           why[-300:]))
    rec.clear()
    put(work + '/list', ''.join(base + '/' + urllib.parse.quote(n) + '\n'
                                for n in sorted(tree(root))))
    r, why, _ = client(args + ['-N', '-x', '-nH', '-P', 'copy', '-i', 'list'],
                       work, 120)
    equal('wget: -N of a list gets 304 for each', (r, rec.statuses()),
          (0, [304] * len(want)))

    big = read(root + '/large.bin')
    put(work + '/large.bin', big[:1000001])
    r, why, _ = client(args + ['-c', base + '/large.bin'], work)
    check('wget: -c', r == 0 and read(work + '/large.bin') == big, (r, why))
    r, why, out = client(args + ['-O', '-', base + '/one/two?x=1'], work)
    equal('wget: follows the redirect of a folder', (r, out),
          (0, read(root + '/one/two/index.html')))
    r, why, _ = client(args + [base + '/nothing.txt'], work)
    check('wget: 404', r == 8 and '404' in why, (r, why))
    r, why, _ = client(args + ['--spider', base + '/large.bin'], work)
    check('wget: --spider', r == 0, (r, why))
    s.stop()


# ---- apt -------------------------------------------------------------------

PACKAGES = 36


def build_package(work, root, name, version, content):
    top = os.path.join(work, 'build', name)
    shutil.rmtree(top, ignore_errors=True)
    put(top + '/DEBIAN/control',
        'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: Nobody '
        '<nobody@example.org>\nDescription: test package\n' % (name, version))
    put('%s/usr/share/%s/data' % (top, name), content)
    os.makedirs(root + '/pool/main', exist_ok=True)
    deb = '%s/pool/main/%s_%s_all.deb' % (root, name, version)
    r, why, _ = client(['dpkg-deb', '--root-owner-group', '-Znone', '--build',
                        top, deb], work)
    if r != 0:
        raise RuntimeError('dpkg-deb: %s %s' % (r, why))
    os.utime(deb, (OLD, OLD))
    return deb


def index_packages(work, root, arch, mtime):
    """Packages, Packages.gz and a Release with their sizes and sums."""
    r, why, out = client(['dpkg-scanpackages', '--multiversion', 'pool/main'],
                         root)
    shutil.rmtree(root + '/.home', ignore_errors=True)
    if r != 0 or out.count(b'Package: ') < PACKAGES:
        raise RuntimeError('dpkg-scanpackages: %s %s' % (r, why))
    d = root + '/dists/stable/'
    files = {'main/binary-%s/Packages' % arch: out,
             'main/binary-%s/Packages.gz' % arch: gzip.compress(out, mtime=0)}
    release = ('Origin: test\nSuite: stable\nCodename: stable\nComponents: '
               'main\nArchitectures: %s\nDate: %s\n' %
               (arch, email.utils.formatdate(mtime, usegmt=True)))
    for title, h in (('MD5Sum', hashlib.md5), ('SHA256', hashlib.sha256)):
        release += title + ':\n' + ''.join(
            ' %s %d %s\n' % (h(v).hexdigest(), len(v), k)
            for k, v in files.items())
    files['Release'] = release.encode()
    for k, v in files.items():
        put(d + k, v, mtime)


def apt():
    if missing('apt-get', 'dpkg', 'dpkg-deb', 'dpkg-scanpackages'):
        return
    root, work = tmpdir('root'), tmpdir('apt')
    arch = client(['dpkg', '--print-architecture'], work)[2].decode().strip()
    debs = {}
    for i in range(PACKAGES):
        name = 'swstest-%02d' % i
        debs[name] = build_package(
            work, root, name, '1.0',
            noise(300000 if i == 5 else rnd.choice((10, 900, 5000, 30000))))
    index_packages(work, root, arch, OLD)
    s = Server(root)
    rec = Recorder(s.port)

    # everything apt reads or writes is below work
    target = work + '/target'
    for d in ('etc/apt.conf.d', 'etc/preferences.d', 'etc/sources.list.d',
              'etc/trusted.gpg.d', 'state/lists/partial',
              'cache/archives/partial', 'log', 'target/var/lib/dpkg/info',
              'target/var/lib/dpkg/updates', 'get'):
        os.makedirs(work + '/' + d, exist_ok=True)
    put(target + '/var/lib/dpkg/status')
    put(work + '/etc/sources.list', 'deb [trusted=yes arch=%s] '
        'http://127.0.0.1:%d/ stable main\n' % (arch, rec.port))
    conf = put(work + '/apt.conf', '''
Dir "{w}";
Dir::Etc "{w}/etc";
Dir::Etc::main "/dev/null";
Dir::Etc::parts "{w}/etc/apt.conf.d";
Dir::Etc::sourcelist "{w}/etc/sources.list";
Dir::Etc::sourceparts "{w}/etc/sources.list.d";
Dir::State "{w}/state";
Dir::State::status "{w}/target/var/lib/dpkg/status";
Dir::Cache "{w}/cache";
Dir::Log "{w}/log";
APT::Sandbox::User "";
APT::Architecture "{a}";
APT::Architectures {{ "{a}"; }};
Acquire::Languages "none";
Acquire::Retries "0";
Acquire::http::Timeout "20";
DPkg::Options {{ "--root={w}/target"; "--log={w}/log/dpkg.log";
	"--admindir={w}/target/var/lib/dpkg"; "--force-not-root"; }};
'''.format(w=work, a=arch))

    def get(*args, cwd=work):
        return client(['apt-get', '-q', '-y', *args], cwd, 90,
                      APT_CONFIG=conf, DEBIAN_FRONTEND='noninteractive')

    _, _, out = client(['apt-config', 'dump', 'Acquire::http'], work,
                       APT_CONFIG=conf)
    check('apt: its pipeline depth is not set here',
          b'Pipeline-Depth' not in out, out)
    r, why, out = get('update')
    out = out.decode('latin-1')
    good = check('apt: update', r == 0 and re.search(r'(?m)^Get:', out) and
                 not re.search(r'(?m)^[EW]:', why), (r, why))
    if not good:
        return
    names = sorted(debs)
    r, why, out = client(['apt-cache', 'pkgnames', 'swstest'], work,
                         APT_CONFIG=conf)
    equal('apt: all packages are known', sorted(out.decode().split()), names)

    rec.clear()
    r, why, _ = get('update')
    check('apt: update again is told 304', r == 0 and 'Hit:' in why and
          'Get:' not in why and 304 in rec.statuses() and
          200 not in rec.statuses(), (r, why, rec.statuses()))

    rec.clear()
    r, why, _ = get('download', *names, cwd=work + '/get')
    wrong = [n for n in names if read('%s/get/%s_1.0_all.deb' % (work, n)) !=
             read(debs[n])]
    check('apt: download of %d packages' % PACKAGES, r == 0 and not wrong,
          (r, wrong, why))
    talk = rec.talk()
    equal('apt: every one asked once, over one connection',
          [(len(a), len(b)) for a, b, _ in talk], [(PACKAGES, PACKAGES)])
    check('apt: several requests were on their way at once',
          max(t[2] for t in talk) >= 5, [t[2] for t in talk])

    # the first half of two is here already
    rec.clear()
    partial = work + '/cache/archives/partial/'
    for n, part in (('swstest-05', 0.5), ('swstest-06', 0.1)):
        data = read(debs[n])
        put('%s%s_1.0_all.deb' % (partial, n), data[:int(len(data) * part)],
            OLD)
    r, why, _ = get('install', '--download-only', *names)
    wrong = [n for n in names
             if read('%s/cache/archives/%s_1.0_all.deb' % (work, n)) !=
             read(debs[n])]
    check('apt: install --download-only, two resumed', r == 0 and not wrong,
          (r, wrong, why))
    equal('apt: the resumed ones as 206', rec.statuses(),
          [200] * (PACKAGES - 2) + [206] * 2)

    # a partial file of another version must not be glued together
    rec.clear()
    data = read(debs['swstest-05'])
    os.unlink(work + '/cache/archives/swstest-05_1.0_all.deb')
    put(partial + 'swstest-05_1.0_all.deb', b'x' * 1000, OLD - 5)
    r, why, _ = get('install', '--download-only', 'swstest-05')
    check('apt: a part of an older file is not resumed', r == 0 and read(
        work + '/cache/archives/swstest-05_1.0_all.deb') == data and
        rec.statuses() == [200], (r, rec.statuses(), why))

    build_package(work, root, 'swstest-00', '1.1', b'newer')
    index_packages(work, root, arch, OLD + 5)
    rec.clear()
    r, why, _ = get('update')
    check('apt: a changed index is fetched', r == 0 and 'Get:' in why and
          200 in rec.statuses(), (r, why, rec.statuses()))
    install = ['install', 'swstest-00', 'swstest-01']
    if os.geteuid() != 0:       # dpkg gives the files to root
        r, why, _ = client(['unshare', '-r', 'apt-get', '-q', '-y', *install],
                           work, 90, APT_CONFIG=conf)
    else:
        r, why, _ = get(*install)
    _, _, out = client(['dpkg-query', '--admindir=%s/var/lib/dpkg' % target,
                        '-W', '-f', '${Package} ${Version} ${db:Status-Status}'
                        '\\n'], work)
    equal('apt: install', (r, out.decode().splitlines(), read(
        target + '/usr/share/swstest-00/data')),
        (0, ['swstest-00 1.1 installed', 'swstest-01 1.0 installed'],
         b'newer'))
    if r != 0:
        print('#', why.replace('\n', '\n# '))
    s.stop()


# ---- git -------------------------------------------------------------------

def git():
    if missing('git'):
        return
    root, work = tmpdir('root'), tmpdir('git')
    ident = dict(GIT_CONFIG_NOSYSTEM='1', GIT_TERMINAL_PROMPT='0')
    for who in 'AUTHOR', 'COMMITTER':
        ident.update({'GIT_%s_NAME' % who: 'a', 'GIT_%s_EMAIL' % who: 'a@b',
                      'GIT_%s_DATE' % who: '@%d +0000' % OLD})

    def g(*args, cwd=work, ok=True):
        r, why, out = client(['git', '-c', 'init.defaultBranch=main', '-c',
                              'gc.auto=0', '-c', 'protocol.version=2',
                              *args], cwd, **ident)
        if ok and r != 0:
            raise RuntimeError('git %s: %s %s' % (' '.join(args), r, why))
        return r, why, out.decode('latin-1').strip()

    src, bare = work + '/src', root + '/project.git'
    g('init', '-q', src)

    def commit(i):
        put('%s/file%d.txt' % (src, i % 5), 'commit %d\n' % i * 50)
        put('%s/d/%d.bin' % (src, i), noise(5000))
        g('add', '-A', cwd=src)
        g('commit', '-q', '-m', 'commit %d' % i, cwd=src)

    for i in range(6):
        commit(i)
    g('tag', '-a', '-m', 'a tag', 'v1', cwd=src)
    g('branch', 'other', cwd=src)
    g('clone', '-q', '--bare', '--no-local', src, bare)
    g('repack', '-q', '-a', '-d', cwd=bare)
    # on top of the pack: loose objects
    g('remote', 'add', 'pub', bare, cwd=src)
    g('config', 'receive.unpackLimit', '10000', cwd=bare)
    for i in range(6, 9):
        commit(i)
    g('push', '-q', 'pub', 'main', cwd=src)
    g('update-server-info', cwd=bare)
    loose = g('count-objects', cwd=bare)[2]
    check('git: the repository has packed and loose objects',
          not loose.startswith('0 ') and
          glob.glob(bare + '/objects/pack/*.pack'), loose)
    s = Server(root)
    url = 'http://127.0.0.1:%d/project.git' % s.port

    def same(name, where):
        r, why, _ = g('fsck', '--full', '--strict', cwd=where, ok=False)
        check(name + ', fsck', r == 0, (r, why))
        equal(name + ', same commit',
              g('rev-parse', 'origin/main', cwd=where)[2],
              g('rev-parse', 'main', cwd=src)[2])

    r, why, _ = g('clone', '-q', url, 'copy', ok=False)
    copy = work + '/copy'
    if not check('git: clone', r == 0, (r, why)):
        return
    same('git: clone', copy)
    got, want = tree(copy), tree(src)
    ours = lambda t: {k: v for k, v in t.items() if not k.startswith(b'.git/')}
    check('git: the same files', ours(got) == ours(want) and ours(got),
          sorted(set(ours(want)) ^ set(ours(got))))
    equal('git: the tag came along', g('rev-parse', 'v1', cwd=copy)[2],
          g('rev-parse', 'v1', cwd=src)[2])
    r, why, out = g('ls-remote', '--heads', url, ok=False)
    check('git: ls-remote', r == 0 and out.count('refs/heads/') == 2,
          (r, out, why))

    commit(9)
    g('push', '-q', 'pub', 'main', cwd=src)
    g('update-server-info', cwd=bare)
    r, why, _ = g('fetch', '-q', cwd=copy, ok=False)
    check('git: fetch of a new commit', r == 0, (r, why))
    same('git: fetch', copy)
    commit(10)
    g('push', '-q', 'pub', 'main', cwd=src)
    g('repack', '-q', '-a', '-d', cwd=bare)
    g('prune', cwd=bare)
    g('update-server-info', cwd=bare)
    r, why, _ = g('fetch', '-q', cwd=copy, ok=False)
    check('git: fetch after all was packed anew', r == 0, (r, why))
    same('git: fetch of a pack', copy)
    r, why, _ = g('clone', '-q', url + '/nothing', 'no', ok=False)
    check('git: clone of what is not there fails', r == 128, (r, why))
    s.stop()


# ---- a browser ---------------------------------------------------------------

def png(w, h):
    def chunk(kind, data):
        return (struct.pack('>I', len(data)) + kind + data +
                struct.pack('>I', zlib.crc32(kind + data)))
    rows = b''.join(b'\0' + noise(3 * w) for _ in range(h))
    return (b'\x89PNG\r\n\x1a\n' +
            chunk(b'IHDR', struct.pack('>IIBBBBB', w, h, 8, 2, 0, 0, 0)) +
            chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b''))


PAGE = '''<!DOCTYPE html>
<html lang="en"><head><title>t</title>
<link rel="stylesheet" href="s/style.css">
<script type="module" src="s/main.mjs"></script>
</head><body>
<p id="p">gr\u00fc\u00df</p>
<img id="i" src="s/pic.png" alt="">
<img id="v" src="s/pic.svg" alt="">
<pre id="out"></pre>
</body></html>
'''
# a module is only run with a JavaScript type; the svg needs its own too
MAIN = '''import { plus } from './lib.js';
const out = {};
async function run() {
  await new Promise(r => document.readyState === 'complete' ? r() :
    addEventListener('load', r));
  out.color = getComputedStyle(document.getElementById('p')).color;
  out.text = document.getElementById('p').textContent;
  const i = document.getElementById('i'), v = document.getElementById('v');
  out.size = [i.naturalWidth, i.naturalHeight, v.naturalWidth];
  out.sum = plus(2, 3);
  const j = await fetch('data/x.json?y=1');
  out.json = (await j.json()).answer;
  out.type = j.headers.get('content-type');
  const g = await fetch('data/big.txt');
  out.encoding = g.headers.get('content-encoding');
  out.big = (await g.text()).length;
  const r = await fetch('data/big.txt', { headers: { Range: 'bytes=0-9' } });
  out.range = [r.status, (await r.text()).length];
  out.missing = (await fetch('nothing')).status;
  const all = await Promise.all([...Array(40).keys()].map(n =>
    fetch('n/' + n + '.txt').then(r => r.text())));
  out.many = all.join('') === [...Array(40).keys()].join('');
  out.folder = (await fetch('sub')).url.endsWith('/sub/');
}
run().catch(e => { out.error = String(e); }).then(() => {
  document.getElementById('out').textContent = 'DONE ' + JSON.stringify(out);
});
'''


def browser():
    exe = shutil.which('chromium') or shutil.which('chromium-browser')
    if not exe:
        missing('chromium')
        return
    root, work = tmpdir('root'), tmpdir('chromium')
    big = 'a line of text\n' * 2000
    put(root + '/index.html', PAGE)
    put(root + '/s/style.css', 'p { color: rgb(1, 2, 3) }\n')
    put(root + '/s/main.mjs', MAIN)
    put(root + '/s/lib.js', 'export function plus(a, b) { return a + b; }\n')
    put(root + '/s/pic.png', png(123, 45))
    put(root + '/s/pic.svg', '<svg xmlns="http://www.w3.org/2000/svg" '
        'width="77" height="20"><rect width="9" height="9"/></svg>')
    put(root + '/data/x.json', json.dumps({'answer': 42}))
    put(root + '/data/big.txt', big)
    put(root + '/data/big.txt.gz', gzip.compress(big.encode()))
    put(root + '/sub/index.html', 'sub')
    for i in range(40):
        put('%s/n/%d.txt' % (root, i), str(i))
    s = Server(root)
    argv = [exe, '--headless', '--no-sandbox', '--disable-gpu',
            '--disable-quic', '--no-first-run',
            '--disable-background-networking', '--disable-component-update',
            '--disable-sync', '--disable-default-apps', '--disable-extensions',
            '--disable-dev-shm-usage', '--no-proxy-server',
            '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1',
            '--user-data-dir=' + work + '/profile',
            '--virtual-time-budget=20000', '--dump-dom',
            'http://127.0.0.1:%d/' % s.port]
    r, why, out = client(argv, work, 90)
    page = out.decode('utf-8', 'replace')
    m = re.search(r'DONE (\{.*\})', page)
    if not check('browser: the page ran its script', r == 0 and m,
                 (r, page[-300:], why[-300:])):
        return
    got = json.loads(m.group(1).replace('&amp;', '&').replace('&lt;', '<')
                     .replace('&gt;', '>'))
    for name, key, want in (
            ('no error', 'error', None),
            ('style sheet', 'color', 'rgb(1, 2, 3)'),
            ('text is UTF-8', 'text', 'gr\u00fc\u00df'),
            ('images, png and svg', 'size', [123, 45, 77]),
            ('script module', 'sum', 5), ('json', 'json', 42),
            ('type of json', 'type', 'application/json'),
            ('fetch of a packed file', 'encoding', 'gzip'),
            ('its length', 'big', len(big)),
            ('fetch of a range', 'range', [206, 10]),
            ('404', 'missing', 404), ('forty at once', 'many', True),
            ('redirect of a folder', 'folder', True)):
        equal('browser: ' + name, got.get(key), want)
    s.stop()


if __name__ == '__main__':
    run([curl, wget, apt, git, browser])
