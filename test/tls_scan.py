"""What three scanners think of our TLS: sslscan, nmap and testssl."""
import json
from lib import *
from clients import client, missing
from tls import CK, PAGE, ROOT, WORK, fetch, lives, pair, resting, settled

SUITES = {
    'P-256': {'ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
              'ECDHE_ECDSA_WITH_AES_256_GCM_SHA384',
              'ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256'},
    'RSA-2048': {'ECDHE_RSA_WITH_AES_128_GCM_SHA256',
                 'ECDHE_RSA_WITH_AES_256_GCM_SHA384',
                 'ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256'},
}
# by the names of OpenSSL
OPENSSL = {k: {x.replace('_WITH_', '-').replace('_', '-').replace(
    'AES-', 'AES').replace('-SHA256', '', x.endswith('POLY1305_SHA256'))
    for x in v} for k, v in SUITES.items()}

# what a certificate signed by itself for a test cannot have, and TLS 1.3
NOT_OURS = {'cert_chain_of_trust', 'cert_revocation', 'TLS1_3'}


def sslscan(kind, s):
    if missing('sslscan'):
        return
    rc, why, out = client(['sslscan', '--no-colour', '--show-sigs',
                           '127.0.0.1:%d' % s.port], WORK, 60)
    text = out.decode(errors='replace')
    on = re.findall(r'^((?:SSL|TLS)v[\d.]+)\s+enabled', text, re.M)
    equal('sslscan: versions, ' + kind, on, ['TLSv1.2'])
    got = re.findall(r'^(?:Preferred|Accepted)\s+(\S+)\s+\d+ bits\s+(\S+)',
                     text, re.M)
    equal('sslscan: suites, ' + kind, {b for _, b in got}, OPENSSL[kind])
    equal('sslscan: their version, ' + kind, {a for a, _ in got}, {'TLSv1.2'})
    for what, want in (('renegotiation', 'not supported'),
                       ('Compression', 'disabled'),
                       ('heartbleed', 'not vulnerable to heartbleed')):
        check('sslscan: %s, %s' % (what, kind), want in text.lower() or
              want in text, text[-600:])


def nmap(kind, s):
    if missing('nmap'):
        return
    rc, why, out = client(['nmap', '-Pn', '-n', '-p', str(s.port), '--script',
                           '+ssl-enum-ciphers', '127.0.0.1'], WORK, 60)
    text = out.decode(errors='replace')
    equal('nmap: versions, ' + kind, re.findall(
        r'^\|\s+((?:SSL|TLS)v[\d.]+):', text, re.M), ['TLSv1.2'])
    got = re.findall(r'TLS_(\S+)(?: \(.*?\))? - (\w)', text)
    equal('nmap: suites, ' + kind, {a for a, _ in got}, SUITES[kind])
    equal('nmap: least strength, ' + kind, re.findall(
        r'least strength: (\w)', text), ['A'])
    check('nmap: our order counts, ' + kind, 'cipher preference: server' in text,
          text[-600:])


def testssl(kind, s):
    exe = shutil.which('testssl') or shutil.which('testssl.sh')
    if not exe:
        missing('testssl')
        return
    report = os.path.join(WORK, kind + '.json')
    rc, why, out = client([exe, '--quiet', '--color', '0', '--warnings', 'off',
                           '--nodns', 'none', '--ip', '127.0.0.1',
                           '--jsonfile', report,
                           'https://localhost:%d/' % s.port], WORK, 150,
                          stdout=subprocess.DEVNULL)
    try:
        with open(report) as f:
            all_ = json.load(f)
    except (OSError, ValueError) as e:
        check('testssl: ran, ' + kind, False, (e, rc, why))
        return
    found = ['%s: %s: %s' % (x['id'], x['severity'], x['finding']) for x in all_
             if x['severity'] in ('MEDIUM', 'HIGH', 'CRITICAL', 'FATAL')
             and x['id'] not in NOT_OURS]
    check('testssl: no finding of MEDIUM or worse, ' + kind, not found, found)
    check('testssl: it looked, %s' % kind, len(all_) > 80 and
          any(x['id'] == 'ALPN' or x['id'].startswith('ALPN') for x in all_),
          (rc, len(all_), why[-300:]))
    for x in all_:
        if x['severity'] in ('LOW', 'WARN', 'MEDIUM', 'HIGH', 'CRITICAL'):
            print(kind, x['id'], x['severity'], x['finding'], file=sys.stderr)


def scan():
    """Both keys at the same time; the scanners mostly wait."""
    def one(kind):
        s = Server(ROOT, '--no-access-log', *CK(pair(kind)))
        fetch(s)
        before = resting(s)
        for scanner in sslscan, nmap, testssl:
            scanner(kind, s)
            equal('descriptors after %s, %s' % (scanner.__name__, kind),
                  settled(s, before, 12), '')
            lives('lives after %s, %s' % (scanner.__name__, kind), s)
        s.stop()
    pairs = [pair(k) for k in SUITES]       # one after the other
    threads = [threading.Thread(target=one, args=(k,)) for k in SUITES]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


if __name__ == '__main__':
    run([scan])
