"""The files of contrib/, as they stand, byte for byte: in a network of its own
port 80 is free, and what is mounted over /usr/local/bin and /srv is seen by
this test alone.  OpenRC, procd, launchd and podman are not there: of their
files the command is run as they would run it, and the rest is only parsed."""
import configparser, ctypes, plistlib, shlex
from lib import *

TOP = os.path.dirname(HERE)
CONTRIB = os.path.join(TOP, 'contrib')
DEPS = os.path.join(HERE, 'deps')
PATH = ':'.join([os.environ.get('PATH', ''), '/usr/sbin', '/sbin',
                 DEPS + '/usr/bin', DEPS + '/usr/sbin'])
PAGE = b'<p>contrib</p>\n'


def obstacle():
    """Enter the namespaces; or why not."""
    if os.getuid() != 0:
        return 'not root'
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x00020000 | 0x40000000) < 0:       # NEWNS, NEWNET
        return 'no namespaces: ' + os.strerror(ctypes.get_errno())
    p = subprocess.run(['sh', '-ec', 'mount --make-rprivate /; '
                        'for d in /usr/local/bin /srv /run; do '
                        'mkdir -p $d; mount -t tmpfs -o mode=755 tmpfs $d; '
                        'done; ip link set lo up'], stderr=subprocess.PIPE)
    return p.stderr.decode().strip() if p.returncode else ''


def program(name):
    return shutil.which(name, path=PATH)


def visit(port, timeout=20):
    """'' or what went wrong; waits till somebody listens there."""
    end = time.time() + timeout * SLOW
    while True:
        try:
            s = socket.create_connection(('127.0.0.1', port), timeout * SLOW)
            break
        except ConnectionRefusedError:
            if time.time() > end:
                return 'refused'
            time.sleep(0.02)
    with s:
        s.sendall(b'GET / HTTP/1.1\r\nHost: localhost\r\n'
                  b'Connection: close\r\n\r\n')
        data, how = read_all(s, timeout)
    r, rest = parse_responses(data)
    return '' if len(r) == 1 and r[0].body == PAGE and not rest else \
        '%r (%s)' % (data[:200], how)


def below(pid):
    """The processes that pid started, and theirs."""
    try:
        with open('/proc/%d/task/%d/children' % (pid, pid)) as f:
            kids = [int(x) for x in f.read().split()]
    except OSError:
        return []
    return kids + [y for x in kids for y in below(x)]


def name_uid(pid):
    with open('/proc/%d/status' % pid) as f:
        text = f.read()
    return (re.search(r'Name:\t(.*)', text).group(1),
            int(re.search(r'Uid:\t(\d+)', text).group(1)))


def under(name, argv, port, log=None):
    """argv supervises a sws that serves port, not as root; its pid.  A sibling
    of it, for SIGUSR2, is there too."""
    log = log or os.path.join(tmpdir('log'), 'out')
    with open(log, 'wb') as f:
        p = spawn(argv, stdin=subprocess.DEVNULL, stdout=f, stderr=f,
                  env=clean_env(PATH=PATH))
    why = visit(port) or visit(port)
    with open(log, errors='replace') as f:
        check(name + ' page', not why, '%s / %s' % (why, f.read()[-300:]))
    sws = [x for x in below(p.pid) if name_uid(x)[0] == 'sws']
    check(name + ' not root', len(sws) == 2 and
          0 not in [name_uid(x)[1] for x in sws], sws)
    return p, sws[0] if sws else 0


def end(p, sws):
    for pid in (sws, p.pid):
        try:
            if pid:
                os.kill(pid, signal.SIGTERM)
        except OSError:
            pass
    try:
        p.wait(10 * SLOW)
    except subprocess.TimeoutExpired:
        p.kill()
        p.wait()


def needs(*names):
    missing = [n for n in names if not program(n)]
    if missing:
        check(' '.join(missing), False, 'sh test/deps.sh test installs it')
    return not missing


def inetds():
    for name, argv in (
            ('inetd', ['-d', '-E', CONTRIB + '/inetd.conf']),
            ('inetutils-inetd', ['-d', '--pidfile', CONTRIB + '/inetd.conf']),
            ('xinetd', ['-dontfork', '-filelog', '/run/xlog', '-f',
                        CONTRIB + '/xinetd'])):
        if needs(name):
            end(*under(name, [program(name), *argv], 80))


def s6():
    if not needs('s6-supervise', 's6-setuidgid', 's6-svc', 's6-svwait'):
        return
    d = '/run/s6'
    shutil.copytree(CONTRIB + '/s6', d)
    p, sws = under('s6', [program('s6-supervise'), d], 8080)
    equal('s6 readiness', subprocess.call(
        [program('s6-svwait'), '-t', '10000', '-U', d]), 0)
    subprocess.call([program('s6-svc'), '-h', d])
    equal('s6 after a reload', (visit(8080), below(p.pid)[0]), ('', sws))
    subprocess.call([program('s6-svc'), '-t', d])
    wait_for(lambda: sws not in below(p.pid) and below(p.pid))
    equal('s6 restart', visit(8080), '')
    subprocess.call([program('s6-svc'), '-xd', d])
    try:
        equal('s6 end', p.wait(10 * SLOW), 0)
    except subprocess.TimeoutExpired:
        check('s6 end', False, 's6-svc -xd did not end it')


def runit():
    if not needs('runsv', 'chpst', 'sv'):
        return
    d = '/run/runit'
    shutil.copytree(CONTRIB + '/runit', d)
    p, sws = under('runit', [program('runsv'), d], 8080)
    subprocess.call([program('sv'), 'hup', d], stdout=subprocess.DEVNULL)
    equal('runit after a reload', (visit(8080), below(p.pid)[0]), ('', sws))
    subprocess.call([program('sv'), 'exit', d], stdout=subprocess.DEVNULL)
    try:
        equal('runit end', p.wait(10 * SLOW), 0)
    except subprocess.TimeoutExpired:
        check('runit end', False, 'sv exit did not end it')


def wait_for(what):
    stop = time.time() + 10 * SLOW
    while not what() and time.time() < stop:
        time.sleep(0.02)


# ---- whose supervisors are not here ------------------------------------------

# What their shells define, as far as the files use it: it prints the command.
STUBS = '''
procd_open_instance() { :; }
procd_close_instance() { :; }
procd_send_signal() { echo "signal $*"; }
procd_set_param() { [ "$1" != command ] || { shift; echo "$*"; }; }
need() { echo "need $*"; }
use() { :; }
ebegin() { :; }
eend() { :; }
RC_SVCNAME=sws
'''


def sourced(name, script):
    p = subprocess.run(['sh', '-euc', '%s\n. "$0"\n%s' % (STUBS, script),
                        os.path.join(CONTRIB, name)], text=True,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return p.stdout.strip()


def command(name, text, port, wrap=()):
    argv = [*wrap, *shlex.split(text)]
    log = os.path.join(tmpdir('log'), 'out')
    with open(log, 'wb') as f:
        p = spawn(argv, stdin=subprocess.DEVNULL, stdout=f, stderr=f,
                  env=clean_env(PATH=PATH))
    why = visit(port)
    with open(log, errors='replace') as f:
        check(name + ' command', not why, '%s / %s' % (why, f.read()[-300:]))
    end(p, 0)


def openrc():
    os.chmod(put('/usr/local/bin/supervise-daemon',
                 '#!/bin/sh\necho supervise-daemon "$@"\n'), 0o755)
    command('openrc', sourced('openrc', 'echo $command $command_args'), 80)
    equal('openrc depend, reload', sourced('openrc', 'depend; reload'),
          'need net\nsupervise-daemon sws --signal HUP')


def openwrt():
    command('openwrt', sourced('openwrt', 'start_service'), 8080)
    equal('openwrt reload', sourced('openwrt', 'reload_service'),
          'signal sws')


def launchd():
    """systemd-socket-activate stands in for launchd."""
    for f, way in (('sws.launchd.plist', []),
                   ('sws.inetd.plist', ['--inetd'])):
        with open(os.path.join(CONTRIB, f), 'rb') as x:
            d = plistlib.load(x)
        equal(f + ' keys', sorted(d), sorted(
            ['ExitTimeOut', 'Label', 'ProgramArguments', 'Sockets',
             'UserName'] + (['inetdCompatibility'] if way else [])))
        equal(f + ' socket', d['Sockets'],
              {'Listeners': {'SockServiceName': 'http'}})
        command(f, shlex.join(d['ProgramArguments']), 80,
                [program('systemd-socket-activate'), '-l', '80', *way])


def podman():
    c = configparser.ConfigParser(strict=False)
    c.optionxform = str
    c.read([CONTRIB + '/podman/sws.container', CONTRIB + '/podman/sws.socket'])
    equal('podman sections', c.sections(),
          ['Unit', 'Container', 'Service', 'Socket', 'Install'])
    equal('podman network', c['Container']['Network'], 'none')
    with open(CONTRIB + '/podman/Containerfile') as f:
        entry = json_entry(f.read())
    command('podman', shlex.join(entry) + ' ' + c['Container']['Exec'], 80,
            [program('systemd-socket-activate'), '-l', '80', '--fdname',
             c['Socket']['FileDescriptorName']])


def json_entry(text):
    import json
    return json.loads(re.search(r'^ENTRYPOINT (.*)', text, re.M).group(1))


why = obstacle()
if why:
    skip('contrib', why)
    run([])
shutil.copy(SWS, '/usr/local/bin/sws')
put('/srv/www/index.html', PAGE)
tests = [inetds, s6, runit, openrc, openwrt, launchd, podman]
run([t for t in tests if t.__name__ in (sys.argv[1:] or [t.__name__])])
