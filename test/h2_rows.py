"""The rows of http1.py over HTTP/2: what one protocol refuses, the other must.

Each row that HTTP/2 can express is sent as HTTP/1.1 and, in the same run, as
HTTP/2 without TLS: once with Host as :authority and once as a field.  The
classes of the two answers are compared.  RST_STREAM and GOAWAY with
PROTOCOL_ERROR are how HTTP/2 says that a request is malformed: they count as
4xx.  Field values are sent as they are, since HPACK has bytes for all of them.
"""
import select, struct
import http1
from lib import *

DATA, HEADERS, RST, SETTINGS, GOAWAY, CONT = 0, 1, 3, 4, 7, 9
END_STREAM, END_HEADERS, PADDED, PRIORITY = 1, 4, 8, 32
PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
NEXT = b'GET /2 HTTP/1.'         # the request that stands behind many a row
LEAST = 60                      # rows that have to be compared
# RFC 9113 8.2.2
OF_CONNECTION = (b'connection', b'keep-alive', b'proxy-connection', b'upgrade',
                 b'http2-settings')


# ---- from one wire to the other ---------------------------------------------

class Left(Exception):
    """Why a row cannot be told in HTTP/2."""


def translate(case):
    """A row's (method, target, hosts, fields, content, whole)."""
    first, crlf, rest = case.data.partition(b'\r\n')
    if case.server != 'main':
        raise Left('is the start of HTTP/2 itself')
    if not crlf or not first or b'\r\n\r\n' not in case.data:
        raise Left('has no head with its own line ends')
    if b'\r' in first or b'\n' in first:
        raise Left('is about the end of the request line')
    head, _, after = (crlf + rest).partition(b'\r\n\r\n')
    words = first.split(b' ')
    if len(words) < 3:
        raise Left('is about what stands between the parts of a request line')
    if words[-1] != b'HTTP/1.1':
        raise Left('is about the version, which HTTP/2 does not send')
    # spaces inside are the target's: HTTP/2 can send them
    method, target = words[0], b' '.join(words[1:-1])
    hosts, fields, length = [], [], None
    for line in head.split(b'\r\n')[1:]:
        if line[:1] in (b' ', b'\t'):
            raise Left('is about folded lines')
        name, colon, value = line.partition(b':')
        if not colon:
            raise Left('is about a line that is no field')
        name, value = name.lower(), value.strip(b' \t')
        if name == b'transfer-encoding':
            raise Left('is about chunked, which HTTP/2 does not have')
        if name == b'host':
            hosts.append(value)
        elif name not in OF_CONNECTION:
            fields.append((name, value))
        if name == b'content-length':
            length = value
    if method == b'CONNECT':
        raise Left('has another form in HTTP/2')
    if after and length is None and (b'content-length ', b'5') not in fields:
        raise Left('is about what follows on a connection; streams do not')
    if abs(len(first) - 8190) < 64 or abs(len(head) + len(first) - 16384) < 64:
        raise Left('is at a limit that counts the bytes of HTTP/1.1')
    content = after.partition(NEXT)[0]
    # content that was announced and withheld leaves the stream open
    whole = length is None or not length.isdigit() or \
        int(length) <= len(content)
    return method, target, hosts, fields, content, whole


def frame(kind, flags=0, sid=0, payload=b''):
    return struct.pack('>I', len(payload))[1:] + \
        struct.pack('>BBI', kind, flags, sid) + payload


def text(s):
    if len(s) < 127:
        return bytes([len(s)]) + s
    n, out = len(s) - 127, bytearray(b'\x7f')
    while n >= 128:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + bytes([n])) + s


def request(row, as_field):
    """Its frames.  Fields are literals without indexing (RFC 7541 6.2.2)."""
    method, target, hosts, fields, content, whole = row
    pairs = [(b':method', method), (b':scheme', b'http'), (b':path', target)]
    pairs += [(b'host' if as_field else b':authority', h) for h in hosts]
    block = b''.join(b'\0' + text(k) + text(v) for k, v in pairs + fields)
    parts = [block[i:i + 16384] for i in range(0, len(block), 16384)]
    out = b''
    for i, p in enumerate(parts):
        flags = END_HEADERS if i == len(parts) - 1 else 0
        if i == 0 and whole and not content:
            flags |= END_STREAM
        out += frame(CONT if i else HEADERS, flags, 1, p)
    if content:
        out += frame(DATA, END_STREAM if whole else 0, 1, content)
    return out


# ---- sending it -------------------------------------------------------------

def status_of(block):
    """:status, which is the first field of a connection's first answer."""
    known = {0x88: 200, 0x89: 204, 0x8a: 206, 0x8b: 304, 0x8c: 400, 0x8d: 404,
             0x8e: 500}
    if block[0] in known:
        return known[block[0]]
    n = block[1] & 127
    if not block[1] & 128:
        return int(block[2:2 + n])
    bits, out = ''.join('{:08b}'.format(b) for b in block[2:2 + n]), ''
    while len(out) < 3:         # digits in RFC 7541's code: 0, 1, 2 are short
        k = 5 if int(bits[:5], 2) < 3 else 6
        d = int(bits[:k], 2)
        out, bits = out + str(d if k == 5 else d - 22), bits[k:]
    return int(out)


def over_h2(s, data):
    """(status or what was said instead of one, content, all bytes)."""
    c = s.connect()
    got, said, content, end = b'', None, b'', time.time() + 5 * SLOW
    try:
        c.sendall(PREFACE + frame(SETTINGS) + data)
    except OSError:
        pass                    # refused before all of it was sent
    at = done = 0
    while not done and time.time() < end:
        if not select.select([c], [], [], 0.2)[0]:
            continue
        try:
            part = c.recv(1 << 18)
        except OSError:
            part = b''
        if not part:
            break
        got += part
        while len(got) >= at + 9:
            n = int.from_bytes(got[at:at + 3], 'big')
            if len(got) < at + 9 + n:
                break
            kind, flags, sid = struct.unpack('>BBI', got[at + 3:at + 9])
            load, at = got[at + 9:at + 9 + n], at + 9 + n
            if kind in (HEADERS, DATA) and flags & PADDED:
                load = load[1:len(load) - load[0]]
            if kind == HEADERS and said is None:
                said = status_of(load[5:] if flags & PRIORITY else load)
            elif kind == DATA:
                content += load
            elif kind == RST and said is None:
                said = 'RST_STREAM %d' % struct.unpack('>I', load[:4])
            elif kind == GOAWAY and said is None:
                said = 'GOAWAY %d' % struct.unpack('>I', load[4:8])
            done |= kind in (RST, GOAWAY) or \
                kind in (HEADERS, DATA) and flags & END_STREAM
    c.close()
    return said, content, got


def over_h1(s, case):
    c = s.connect()
    try:
        c.sendall(case.data)
    except OSError:
        pass

    def whole(d):
        rs, _ = parse_responses(d, case.methods)
        return bool(rs) and rs[0].complete
    got, how = read_all(c, 5, whole)
    c.close()
    rs, _ = parse_responses(got, case.methods)
    return (rs[0].status, rs[0].body, got) if rs else (None, b'', got)


def kind_of(said, other=None):
    """2 to 5 for the class of an answer, or None."""
    if said in ('RST_STREAM 1', 'GOAWAY 1'):
        return 4
    # a head many times too long is not read to its end for the sake of a 431
    if said == 'GOAWAY 11' and other in (414, 431):
        return 4
    return said // 100 if isinstance(said, int) else None


def fault(row, one, two):
    """What is wrong with the answers over HTTP/1.1 and HTTP/2, or None."""
    for _, _, got in one, two:
        if http1.OUTSIDE in got or http1.HIDDEN in got:
            return 'bytes that must never be sent'
    a, b = kind_of(one[0]), kind_of(two[0], one[0])
    if a is None or b is None:
        return 'no answer'
    if a == b:
        return 'other content' if one[0] == two[0] == 200 and \
            one[1] != two[1] else None
    if b < 4:
        return 'HTTP/2 lets pass what HTTP/1.1 refuses' if a >= 4 else \
            'another answer'
    # it may refuse more: a target with a scheme is split in HTTP/2
    if not re.match(rb'https?://', row[1]):
        return 'refused only over HTTP/2'


def rows():
    said = subprocess.run([SWS, '--version'], stdout=subprocess.PIPE).stdout
    if b'no HTTP/2' in said:
        skip('rows over HTTP/2', 'built without it')
        return
    s = Server(http1.fixture())
    done, left = 0, {}
    for case in http1.table():
        try:
            row = translate(case)
        except Left as why:
            left.setdefault(str(why), []).append(case.name)
            continue
        one, why = over_h1(s, case), []
        for as_field in (False, True):
            two = over_h2(s, request(row, as_field))
            bad = fault(row, one, two)
            if bad:
                why.append('Host as %s: %s: %s, HTTP/1.1 said %s' % (
                    'a field' if as_field else ':authority', bad, two[0],
                    one[0]))
        check(case.name, not why, '; '.join(why))
        done += 1
    for why, names in left.items():
        print('left out: %d rows, %s: %s' % (len(names), why,
                                              ', '.join(names)[:300]))
    check('%d rows compared, of %d' % (done, done + sum(map(len,
          left.values()))), done >= LEAST)
    check('still running', s.proc.poll() is None, s.log()[-300:])
    equal('exit status', s.stop(), 0)


if __name__ == '__main__':
    run([rows])
