"""A real systemd, booted in a container, runs sws from the units in systemd/.
The container's system is test/deps/root (test/deps.sh makes it); nothing in
it is changed.  SOAK=1 restarts and kills for a minute each."""
import asyncio, ctypes, random, stat, traceback
from lib import *

TOP = os.path.dirname(HERE)
UNITS = os.path.join(TOP, 'systemd')
ROOTFS = os.path.join(HERE, 'deps', 'root')
SOAK = bool(os.environ.get('SOAK'))
LOADED = '/etc/systemd/system/'
# a signal must not leave a container behind
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
signal.signal(signal.SIGHUP, lambda *_: sys.exit(1))


def call(argv, timeout=30, **kw):
    """The finished process, its output as one text."""
    return subprocess.run(argv, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=timeout * SLOW, **kw)


def wait(what, seconds=10):
    """Wait till what() is true; its last value."""
    end = time.time() + seconds * SLOW
    while True:
        v = what()
        if v or time.time() > end:
            return v
        time.sleep(0.02)


# ---- without a container -----------------------------------------------------

def exposure(text):
    m = re.search(r'exposure level for .*: ([0-9.]+)', text)
    return float(m.group(1)) if m else None


def offline():
    """What systemd-analyze thinks of each service."""
    if not shutil.which('systemd-analyze'):
        return check('systemd-analyze', False, 'sh test/deps.sh test')
    for unit, dropins, most in (
            ('sws.service', [], 0.2), ('sws@.service', [], 0.2),
            ('sws.service', ['credential.conf'], 0.2),
            ('sws.service', ['rootdir.conf'], 0.1),
            ('sws@.service', ['rootdir.conf'], 0.1),
            ('sws.service', ['rootdir.conf', 'credential.conf'], 0.1)):
        d = tmpdir('units')
        shutil.copy(os.path.join(UNITS, unit), d)
        os.mkdir('%s/%s.d' % (d, unit))
        for f in dropins:
            shutil.copy(os.path.join(UNITS, f), '%s/%s.d' % (d, unit))
        p = call(['systemd-analyze', 'security', '--offline=true',
                  './' + unit], cwd=d)
        check('%s: exposure at most %s' % (' + '.join([unit] + dropins), most),
              (exposure(p.stdout) or 9) <= most, p.stdout[-300:])


def installs():
    """make install puts everything there, under another prefix too, and
    leaves an environment file alone."""
    d = tmpdir('dest')
    mine = put(d + '/etc/default/sws', 'mine')
    p = call(['make', '-C', TOP, 'install-systemd', 'DESTDIR=' + d,
              'PREFIX=/usr'])
    units = sorted(f for f in os.listdir(UNITS) if f.startswith('sws'))
    there = d + '/usr/lib/systemd/system'
    equal('install: units', os.path.isdir(there) and sorted(
        os.listdir(there)), units)
    text = ''.join(open(os.path.join(there, f)).read() for f in units)
    check('install: prefix', 'ExecStart=/usr/bin/sws' in text and
          '/usr/local' not in text, p.stdout)
    equal('install: environment file is kept', open(mine).read(), 'mine')
    os.unlink(mine)
    call(['make', '-C', TOP, 'install-systemd', 'DESTDIR=' + d])
    check('install: environment file', os.path.exists(mine), p.stdout)


# ---- the container -----------------------------------------------------------

def obstacle():
    """Why no container can be booted on this machine, or ''."""
    if os.getuid() != 0:
        return 'not root'
    try:
        os.mknod(os.path.join(tmpdir('dev'), 'null'), stat.S_IFCHR,
                 os.makedev(1, 3))
    except OSError as e:
        return 'no device files: %s' % e
    p = call(['unshare', '-mpnuif', '--mount-proc', 'mount', '-t', 'tmpfs',
              'tmpfs', '/mnt'])
    if p.returncode:
        return 'no namespaces: ' + p.stdout.strip()
    for line in open('/proc/mounts'):
        where, kind, options = line.split()[1:4]
        if kind == 'cgroup2' or 'name=systemd' in options.split(','):
            probe = os.path.join(where, 'sws-probe-%d' % os.getpid())
            try:
                os.mkdir(probe)
                os.rmdir(probe)
                return ''
            except OSError as e:
                return 'cgroups: %s' % e
    return 'no cgroups'


class Machine:
    """A booted container.  .pid is its systemd, .root its files."""

    def __init__(self):
        self.name = 'sws-test-%d' % os.getpid()
        self.log = os.path.join(tmpdir('log'), 'console')
        self.proc = self.pid = None
        try:
            if not self.boot(ROOTFS, '--volatile=overlay'):
                # overlays are not to be had everywhere
                copy = os.path.join(tmpdir('root'), 'root')
                call(['cp', '-a', ROOTFS, copy], 120)
                if not self.boot(copy):
                    raise RuntimeError('does not boot: ' + self.text())
        except BaseException:
            self.stop()
            raise

    def text(self):
        with open(self.log, errors='replace') as f:
            return f.read()[-500:]

    def boot(self, root, *flags):
        if not os.path.isdir('/run/systemd/system'):
            flags += ('--keep-unit',)
        with open(self.log, 'wb') as f:
            # TERM, so that it ends the container if this test is killed
            self.proc = spawn(
                ['setpriv', '--pdeathsig', 'TERM', 'systemd-nspawn', '-q',
                 '-D', root, '-M', self.name,
                 '--register=no', '--private-network', '-b',
                 '--console=read-only', '--link-journal=no',
                 # it keeps these from a container unless told otherwise
                 '--system-call-filter=openat2 landlock_create_ruleset '
                 'landlock_add_rule landlock_restrict_self', *flags],
                stdin=subprocess.DEVNULL, stdout=f, stderr=f)
        self.pid = wait(self.init, 20)
        up = self.pid and wait(lambda: self.proc.poll() is not None or
                               self.run('systemctl', 'is-system-running'
                                        ).stdout.strip() in
                               ('running', 'degraded'), 60)
        if up and self.proc.poll() is None:
            self.root = '/proc/%d/root' % self.pid
            return True
        self.stop()
        return False

    def init(self):
        if self.proc.poll() is not None:
            return None
        for t in os.listdir('/proc/%d/task' % self.proc.pid):
            with open('/proc/%d/task/%s/children' % (self.proc.pid, t)) as f:
                for p in f.read().split():
                    with open('/proc/%s/comm' % p) as c:
                        if c.read() == 'systemd\n':
                            return int(p)

    def run(self, *argv, timeout=60):
        return call(['nsenter', '-t', str(self.pid), '-a', *argv], timeout,
                    env={'PATH': '/usr/sbin:/usr/bin:/sbin:/bin'})

    def sh(self, script):
        p = self.run('sh', '-ec', script)
        if p.returncode:
            raise RuntimeError('%s: %s' % (script, p.stdout[-400:]))
        return p.stdout

    def put(self, path, text):
        put(self.root + path, text)

    def show(self, unit, what):
        return self.run('systemctl', 'show', '-P', what, unit).stdout.strip()

    def main(self, unit='sws.service'):
        return int(self.show(unit, 'MainPID') or 0)

    def journal(self, unit='sws.service', lines=8):
        return self.run('journalctl', '-u', unit, '-n', str(lines), '-o',
                        'cat', '--no-pager').stdout

    def proc_status(self, pid):
        text = self.run('cat', '/proc/%d/status' % pid).stdout
        return dict(line.split(':\t', 1) for line in text.splitlines()
                    if ':\t' in line)

    def cgroups(self):
        """Folders that systemd-nspawn makes and leaves."""
        with open('/proc/%d/cgroup' % self.proc.pid) as f:
            own = [line.strip().split(':', 2)[1:] for line in f]
        at = {}
        for line in open('/proc/mounts'):
            _, where, kind, options = line.split()[:4]
            if kind == 'cgroup2':
                at[''] = where
            elif kind == 'cgroup':
                at.update({o: where for o in options.split(',')})
        return [os.path.dirname(at[n.split(',')[0]] + path) + '/' + name
                for n, path in own if path.endswith('/supervisor') and
                n.split(',')[0] in at for name in ('payload', 'supervisor')]

    def stop(self):
        """All its processes go with its init."""
        left = []
        if self.proc is None:
            return
        try:
            self.pid = self.pid or self.init()
            if self.pid:
                left = self.cgroups()
                os.kill(self.pid, signal.SIGKILL)
            else:
                self.proc.terminate()
        except OSError:
            pass                # gone by itself
        self.pid = None
        try:
            self.proc.wait(10)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
        for d in left:
            for here, _, _ in os.walk(d, topdown=False):
                try:
                    os.rmdir(here)
                except OSError:
                    pass


def enter_network(pid):
    """From now on this test, and what it starts, is in the container's."""
    with open('/proc/%d/ns/net' % pid) as f:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(f.fileno(), 0x40000000) < 0:      # CLONE_NEWNET
            raise OSError(ctypes.get_errno(), 'setns')


def curl(url, *flags, timeout=20):
    """HTTP version, status, body."""
    p = call(['curl', '-sk', '--noproxy', '*', '-m', str(timeout * SLOW), '-w',
              '\n%{http_version} %{http_code} %{redirect_url}', *flags, url],
             timeout + 10)
    body, _, last = p.stdout.rpartition('\n')
    return (last + ' ' + body).strip()


def certificate(name):
    d = tmpdir('cert')
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
                    'ec_paramgen_curve:P-256', '-nodes', '-keyout',
                    d + '/privkey.pem', '-out', d + '/fullchain.pem', '-days',
                    '30', '-subj', '/CN=' + name, '-addext',
                    'subjectAltName=DNS:localhost'], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return [open(d + '/' + f).read() for f in ('fullchain.pem', 'privkey.pem')]


def subject():
    """The name in the certificate that is sent now."""
    ctx = ssl.create_default_context()
    ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(('127.0.0.1', 443), 10 * SLOW) as s:
        with ctx.wrap_socket(s) as t:
            der = t.getpeercert(True)
    p = subprocess.run(['openssl', 'x509', '-inform', 'DER', '-noout',
                        '-subject'], input=der, stdout=subprocess.PIPE)
    return p.stdout.decode().strip().rpartition('=')[2].strip()


def steps():
    """The commands of README.md that put sws under systemd."""
    text = open(os.path.join(TOP, 'README.md')).read()
    return re.search(r'### systemd\n(?:(?!    ).*\n)*((?:    .*\n)+)',
                     text).group(1)


# What the README's commands do not bring: the program's libraries, which
# would be there as packages, and a certificate.
def furnish():
    here = m.root + '/root/sws'
    os.makedirs(here)
    shutil.copy(SWS, here + '/sws')
    shutil.copytree(UNITS, here + '/systemd', symlinks=True)
    for f in re.findall(r'=> (/\S+)', call(['ldd', SWS]).stdout):
        if not os.path.exists(m.root + f) and not re.search(
                r'/(libc|libm|libdl|libpthread)\.so', f):
            shutil.copy(f, m.root + '/usr/local/lib/')
    m.sh('ldconfig')
    for f, text in zip(('fullchain.pem', 'privkey.pem'),
                       certificate('first')):
        m.put('/root/sws/' + f, text)


def environment(**more):
    """/etc/default/sws with more lines; the service and its sockets stop."""
    m.sh('systemctl stop "sws*.socket" "sws*.service"')
    m.put('/etc/default/sws', open(UNITS + '/etc_default_sws').read() +
          ''.join('%s=%s\n' % kv for kv in more.items()))


def dropin(unit, name, text=None):
    """Add a drop-in, text or the file of that name in systemd/."""
    if text is None:
        text = open(os.path.join(UNITS, name)).read()
    m.put('%s%s.d/%s' % (LOADED, unit, name), text)
    m.sh('systemctl daemon-reload')


def no_dropins():
    m.sh('rm -rf %s*.d; systemctl daemon-reload' % LOADED)


def page():
    """The steps; then the first request, over HTTP/2, starts it."""
    furnish()
    p = m.run('sh', '-ec', 'cd /root/sws\n' + steps())
    check('steps of the README', p.returncode == 0, p.stdout)
    equal('not started yet', m.show('sws.service', 'ActiveState'), 'inactive')
    equal('https over HTTP/2', curl('https://localhost/', '--http2'),
          '2 200  <h1>It works</h1>')
    equal('started by the request', m.show('sws.service', 'ActiveState'),
          'active')
    equal('HTTP/1.1 too', curl('https://localhost/', '--http1.1'),
          '1.1 200  <h1>It works</h1>')
    p = m.run('systemd-analyze', 'verify', '--man=no', *[
        LOADED + f for f in sorted(os.listdir(UNITS)) if f.startswith('sws')
        and '@' not in f] + [LOADED + 'sws@1.socket'])
    check('units are without a complaint', p.returncode == 0 and not
          p.stdout, p.stdout)


def rights(name):
    pid = m.main()
    st = m.proc_status(pid)
    uids = set(st.get('Uid', '0').split() + st.get('Gid', '0').split())
    check(name + ': not root', pid and '0' not in uids, st)
    equal(name + ': no capability', [st.get('Cap' + c) for c in (
        'Inh', 'Prm', 'Eff', 'Bnd', 'Amb')], ['0' * 16] * 5)
    equal(name + ': no new privileges, a filter of calls',
          (st.get('NoNewPrivs'), st.get('Seccomp')), ('1', '2'))
    for ns in ('net', 'mnt', 'user', 'ipc', 'uts'):
        a, b = (m.run('readlink', '/proc/%d/ns/%s' % (p, ns)).stdout
                for p in (1, pid))
        check('%s: %s of its own' % (name, ns), a and b and a != b, (a, b))
    p = m.run('nsenter', '-t', str(pid), '-n', 'cat', '/proc/net/dev')
    equal(name + ': no interface but lo', re.findall(r'(\w+):', p.stdout),
          ['lo'])


def sandboxed():
    rights('rights')
    p = m.run('systemd-analyze', 'security', 'sws.service')
    check('exposure inside: at most 0.2', (exposure(p.stdout) or 9) <= 0.2,
          p.stdout[-300:])
    check("a sandbox of sws's own inside of that", 'sandbox' not in m.journal()
          and m.proc_status(m.main()).get('Seccomp_filters', '').strip() !=
          m.proc_status(sibling()).get('Seccomp_filters', '').strip(),
          m.journal())


def sibling():
    """Of the server: it starts the next one, outside of the box."""
    return int(m.run('cat', '/proc/%d/task/%d/children' % (
        m.main(), m.main())).stdout.split()[0])


def replaced():
    """SIGUSR2: a new process in the same service, and nobody is lost."""
    environment()
    m.sh('systemctl start sws.socket sws-http.socket')
    curl('http://localhost/')
    pids = [m.main()]

    def replace():
        m.sh('systemctl kill -s USR2 --kill-who=main sws.service')
        wait(lambda: m.main() not in pids)
        pids.append(m.main())
    with Load(200) as load:
        each(3, 6, replace)
    load.checks('replaced: 6 times')
    check('replaced: each a new process', 0 not in pids and
          len(set(pids)) == 7, pids)
    equal('replaced: still one service', (m.show(
        'sws.service', 'ActiveState'), m.show('sws.service', 'NRestarts')),
        ('active', '0'))
    equal('replaced: nobody is left but it and its sibling', wait(
        lambda: m.sh('cat /proc/[0-9]*/comm').split().count('sws') == 2), True)
    m.sh('systemctl reload sws.service')
    m.sh('systemctl stop sws.socket sws-http.socket sws.service')
    equal('replaced: an end', m.show('sws.service', 'Result'), 'success')


def enable():
    """At boot, and with the socket, whatever the instance."""
    out = m.sh('systemctl enable sws.service sws@7.service')
    there = m.sh('ls %s*.wants' % LOADED)
    for f in ('sws.service', 'sws.socket', 'sws@7.service', 'sws@7.socket'):
        check('enable: ' + f, re.search(r'^%s$' % re.escape(f), there, re.M),
              out)
    m.sh('systemctl disable sws@7.service sws@7.socket sws.service')


def healed():
    """With a wrong setting clients wait, and need no restart when it is put
    right."""
    environment(SERVER_ROOT='/srv/none')
    m.sh('systemctl start sws.socket')
    got = []
    t = threading.Thread(target=lambda: got.append(
        curl('https://localhost/', timeout=30)))
    t.start()
    check('healed: it says what is wrong', wait(
        lambda: '/srv/none: No such file' in m.journal()), m.journal())
    wait(lambda: int(m.show('sws.service', 'NRestarts') or 0) > 6)
    equal('healed: the socket stays', (m.show('sws.socket', 'ActiveState'),
                                       got), ('active', []))
    m.sh('ln -s www /srv/none')
    t.join()
    equal('healed: the client is answered', got,
          ['2 200  <h1>It works</h1>'])
    m.sh('rm /srv/none')


def reload():
    """certbot's links; who is connected stays so."""
    live, archive = '/etc/letsencrypt/live/x/', '/etc/letsencrypt/archive/x/'

    def renew(n, pair, files=('fullchain', 'privkey')):
        for f, text in zip(files, pair):
            m.put('%s%s%d.pem' % (archive, f, n), text)
        m.sh('chown -R 0:33 /etc/letsencrypt/*; chmod 750 /etc/letsencrypt/*;'
             'chmod 640 %sprivkey*.pem; mkdir -p %s' % (archive, live) +
             ''.join(';ln -sfn ../../archive/x/%s%d.pem %s%s.pem' %
                     (f, n, live, f) for f in files))
    renew(1, certificate('one'))
    environment(SERVER_TLS_CERT=live + 'fullchain.pem',
                SERVER_TLS_KEY=live + 'privkey.pem')
    m.sh('systemctl start sws.socket')
    equal('certificate through links', subject(), 'one')
    pid = m.main()
    old = ssl._create_unverified_context().wrap_socket(
        socket.create_connection(('127.0.0.1', 443), 10 * SLOW))
    old.sendall(b'GET / HTTP/1.1\r\nHost: localhost\r\n')
    renew(2, certificate('two'))
    p = m.run('systemctl', 'reload', 'sws.service')
    equal('reload', (p.returncode, p.stdout), (0, ''))
    check('reload: new certificate', wait(lambda: subject() == 'two'),
          m.journal())
    equal('reload: same process', m.main(), pid)
    old.sendall(b'Connection: close\r\n\r\n')
    data, how = read_all(old)
    check('reload: old connection goes on', b'It works' in data, (data, how))
    old.close()
    renew(3, ('no certificate', 'no key'))
    m.run('systemctl', 'reload', 'sws.service')
    check('reload: what is wrong is told', wait(
        lambda: 'all stays as it was' in m.journal()), m.journal())
    equal('reload: and not used', (subject(), m.main()), ('two', pid))


def env_of_sws2():
    """The variables that static-web-server 2 has, and its way to the socket,
    which leaves no reload."""
    m.sh('systemctl stop sws.socket sws.service')
    m.put('/etc/default/sws', 'SERVER_ROOT=/srv/www\nSERVER_HTTP2_TLS=true\n'
          'SERVER_HTTP2_TLS_CERT=/etc/sws/fullchain.pem\n'
          'SERVER_HTTP2_TLS_KEY=/etc/sws/privkey.pem\n'
          'SERVER_LISTEN_FD=0\nSERVER_LOG_LEVEL=warn\n')
    m.sh('systemctl start sws.socket')
    equal('names of SWS 2', curl('https://localhost/'),
          '2 200  <h1>It works</h1>')
    m.sh('systemctl stop sws.socket sws.service')
    for name, line in (('fd:', 'fd:https'), ('socket', 'socket')):
        dropin('sws.service', 'stdin.conf',
               '[Service]\nStandardInput=%s\n' % line)
        m.sh('systemctl start sws.socket')
        equal('StandardInput=' + name, curl('https://localhost/'),
              '2 200  <h1>It works</h1>')
        m.sh('systemctl stop sws.socket sws.service')
    no_dropins()


def pair():
    """80 and 443 in one process."""
    environment()
    m.sh('systemctl start sws.socket sws-http.socket')
    equal('pair: http starts it', curl('http://localhost/'),
          '1.1 200  <h1>It works</h1>')
    pid = m.main()
    equal('pair: https', curl('https://localhost/'),
          '2 200  <h1>It works</h1>')
    equal('pair: one process', (pid > 0, m.main()), (True, pid))
    environment(SERVER_HTTPS_REDIRECT='true',
                SERVER_HTTPS_REDIRECT_HOST='www.example.org',
                SERVER_HTTPS_REDIRECT_FROM_HOSTS='example.org')
    m.sh('systemctl start sws.socket sws-http.socket')
    r = curl('http://localhost/x?y', '-H', 'Host: example.org')
    check('pair: redirection', r.startswith(
        '1.1 301 https://www.example.org/x?y'), r)
    check('pair: not from another host', curl('http://localhost/').startswith(
        '1.1 400'), r)
    equal('pair: https is not redirected', curl('https://localhost/'),
          '2 200  <h1>It works</h1>')
    m.sh('systemctl stop sws-http.socket')


def instances():
    """Two processes share a port; one is restarted under the eyes of many."""
    environment()
    m.sh('systemctl start sws@1.socket sws@2.socket')

    def both():
        r = [curl('https://localhost/') for _ in range(4)]
        return r, (m.main('sws@1.service'), m.main('sws@2.service'))
    replies = []

    def until():
        r, pids = both()
        replies.extend(r)
        return 0 not in pids and pids
    pids = wait(until, 20)
    check('instances: two processes', pids and len(set(pids)) == 2,
          m.journal('sws@1.service') + m.journal('sws@2.service'))
    equal('instances: answers', set(replies), {'2 200  <h1>It works</h1>'})
    p = m.run('systemd-analyze', 'security', 'sws@1.service')
    check('instances: exposure inside at most 0.2',
          (exposure(p.stdout) or 9) <= 0.2, p.stdout[-300:])
    load = Load(50, plain=None)
    with load:
        each(2, 4, lambda: m.sh('systemctl restart sws@1.service'))
    load.checks('instances: 4 restarts of one')
    m.sh('systemctl stop "sws@*.socket" "sws@*.service"')


def rooted():
    """A root of its own, and a key that is root's."""
    environment()
    m.sh('mkdir -p /var/lib/sws; chown root:root /etc/sws/privkey.pem;'
         'chmod 600 /etc/sws/privkey.pem')
    dropin('sws.service', 'credential.conf')
    dropin('sws.service', 'rootdir.conf')
    m.sh('systemctl start sws.socket')
    equal('rootdir: serves', curl('https://localhost/'),
          '2 200  <h1>It works</h1>')
    pid = m.main()
    there = m.run('ls', '/proc/%d/root/etc' % pid).stdout.split()
    equal('rootdir: /etc is ours', there, ['ld.so.cache', 'letsencrypt', 'sws'])
    p = m.run('systemd-analyze', 'security', 'sws.service')
    check('exposure inside with rootdir.conf: at most 0.1',
          (exposure(p.stdout) or 9) <= 0.1, p.stdout[-300:])
    rights('rootdir')
    p = m.run('systemctl', 'reload', 'sws.service')
    equal('rootdir: reload', (p.returncode, m.main()), (0, pid))
    for f, text in zip(('fullchain.pem', 'privkey.pem'),
                       certificate('renewed')):
        m.put('/etc/sws/' + f, text)
    m.sh('systemctl restart sws.service')
    equal('credential: restart finds a new one', subject(), 'renewed')
    m.sh('systemctl stop sws.socket sws.service;'
         'chgrp www-data /etc/sws/privkey.pem; chmod 640 /etc/sws/privkey.pem')
    no_dropins()


def idle_exit():
    """Ends when nobody came, and is back for the next one."""
    environment(SERVER_IDLE_EXIT='1')
    m.sh('systemctl start sws.socket sws-http.socket')
    rng, bad, pids = random.Random(1), [], set()
    for i in range(6):
        r = curl('http://localhost/')
        if not r.startswith('1.1 200'):
            bad.append(r)
        pids.add(m.main())
        time.sleep(1 + rng.uniform(-0.05, 0.05))
    equal('idle exit: nobody is lost', bad, [])
    gone = wait(lambda: m.show('sws.service', 'ActiveState') == 'inactive')
    check('idle exit: inactive', gone, m.journal())
    equal('idle exit: a success, the socket stays',
          (m.show('sws.service', 'Result'),
           m.show('sws.socket', 'ActiveState')), ('success', 'active'))
    r = curl('https://localhost/')
    equal('idle exit: back', r, '2 200  <h1>It works</h1>')
    check('idle exit: by a new process', m.main() > 0 and
          m.main() not in pids, pids)


def watchdog():
    """A loop that stands still is killed, and who waits gets an answer."""
    environment()
    dropin('sws.service', 'watchdog.conf', '[Service]\nWatchdogSec=2\n')
    m.sh('systemctl start sws.socket sws-http.socket')
    curl('http://localhost/')
    pid = m.main()
    time.sleep(4)
    equal('watchdog: the loop reports', (m.main(), m.show(
        'sws.service', 'NRestarts')), (pid, '0'))
    m.sh('kill -STOP %d' % pid)
    equal('watchdog: a request to the stuck process', curl(
        'http://localhost/', '--retry', '5', '--retry-all-errors',
        timeout=30), '1.1 200  <h1>It works</h1>')
    wait(lambda: m.main() not in (0, pid))
    check('watchdog: another process', m.main() not in (0, pid), m.journal())
    check('watchdog: it is why', 'watchdog' in m.journal(
        lines=60).lower(), m.journal())
    no_dropins()


# ---- under load --------------------------------------------------------------

class Load:
    """New connections at a steady rate, one request each; what became of
    them.  Every fourth one is TLS when there are both ports."""

    def __init__(self, rate, plain=80, tls=443):
        self.rate, self.plain, self.tls = rate, plain, tls
        self.made, self.ends, self.over = 0, [], False
        self.thread = threading.Thread(
            target=lambda: asyncio.run(self.drive()))
        self.ctx = ssl.create_default_context()
        self.ctx.check_hostname, self.ctx.verify_mode = False, ssl.CERT_NONE

    async def one(self, tls):
        w, begun = None, time.monotonic()
        try:
            r, w = await asyncio.open_connection(
                '127.0.0.1', self.tls if tls else self.plain,
                **({'ssl': self.ctx, 'ssl_handshake_timeout': 40 * SLOW}
                   if tls else {}))
            how = 'lost'
            w.write(b'GET / HTTP/1.1\r\nHost: localhost\r\n'
                    b'Connection: close\r\n\r\n')
            data = await r.read()
            how = 'good' if b' 200 ' in data and b'It works' in data else \
                'cut' if data else 'lost'
        except ConnectionRefusedError:
            how = 'refused'
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError):
            how = 'lost'
        except asyncio.CancelledError:
            how = 'no answer'
        finally:
            if w:
                w.transport.abort()
            self.ends.append((how, begun, time.monotonic(), tls))

    async def drive(self):
        tasks, start = set(), time.monotonic()
        while not self.over:
            due = int((time.monotonic() - start) * self.rate)
            while self.made < due:
                tls = not self.plain or (self.tls and self.made % 4 == 0)
                t = asyncio.create_task(self.one(tls))
                tasks.add(t)
                t.add_done_callback(tasks.discard)
                self.made += 1
            await asyncio.sleep(0.005)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=40 * SLOW)
            for t in late:
                t.cancel()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over = True
        self.thread.join()

    def checks(self, name, kills=()):
        """Nobody is refused or left without an answer, or cut off, but for
        those who were connected at the moment of a kill."""
        bad, flying = [], 0
        for how, begun, end, _ in self.ends:
            if how in ('lost', 'cut') and any(
                    begun < k[1] and end > k[0] for k in kills):
                flying += 1
            elif how != 'good':
                bad.append((how, round(end - begun, 3)))
        longest = max(end - begun for _, begun, end, _ in self.ends)
        print('%s: %d connections, %d cut by a kill, %d lost; longest %.2f s' %
              (name, self.made, flying, len(bad), longest), file=sys.stderr)
        check(name + ': nobody is lost', not bad and self.made ==
              len(self.ends) > 50, '%d of %d: %r' % (len(bad), self.made,
                                                     bad[:10]))


def each(seconds, n, what):
    """n times in so many seconds, if that can be done."""
    start = time.monotonic()
    for i in range(n):
        time.sleep(max(0, start + i * seconds / n - time.monotonic()))
        what()
    return time.monotonic() - start


def restarts():
    environment(SERVER_LOG_LEVEL='warn')
    m.sh('systemctl start sws.socket sws-http.socket')
    n, seconds = (100, 60) if SOAK else (10, 6)
    pids = set()

    def restart():
        m.sh('systemctl restart sws.service')
        pids.add(m.main())
    with Load(200) as load:
        took = each(seconds, n, restart)
    print('%d restarts in %.1f s' % (n, took), file=sys.stderr)
    load.checks('%d restarts at 200 connections/s' % n)
    equal('restarts: each a new process', len(pids), n)


def kills():
    environment(SERVER_LOG_LEVEL='warn')
    m.sh('systemctl start sws.socket sws-http.socket')
    n = 60 if SOAK else 5
    killed, moments = set(), []

    def kill():
        pid = wait(lambda: m.main() not in {0} | killed and m.main())
        killed.add(pid)
        begun = time.monotonic()
        m.sh('kill -KILL %d' % pid)
        moments.append((begun, time.monotonic()))
    with Load(200) as load:
        took = each(n, n, kill)
    print('%d kills in %.1f s' % (n, took), file=sys.stderr)
    load.checks('%d kills at 200 connections/s' % n, moments)
    equal('kills: socket and service stay', (m.show(
        'sws.socket', 'ActiveState'), wait(lambda: m.show(
            'sws.service', 'ActiveState') == 'active')), ('active', True))


tests = [offline, installs]
inside = [page, sandboxed, enable, healed, reload, env_of_sws2,
          pair, instances, rooted, idle_exit, watchdog, replaced, restarts, kills]
only = sys.argv[1:]
why = obstacle()
if only == ['obstacle']:
    sys.exit(print(why))
if only:
    inside = [page] + [t for t in inside if t.__name__ in only]
    tests = [t for t in tests if t.__name__ in only]
m = None


def boot():
    global m
    if not os.path.isdir(ROOTFS) or not shutil.which('systemd-nspawn'):
        return check('a system to boot', False,
                     'sh test/deps.sh test makes test/deps/root')
    m = Machine()
    atexit.register(m.stop)
    enter_network(m.pid)
    for t in inside:
        try:
            t()
        except Exception:
            check(t.__name__, False, traceback.format_exc(limit=-3))


if why:
    skip('systemd in a container', why)
else:
    tests.append(boot)
run(tests)
