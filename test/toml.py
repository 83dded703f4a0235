"""toml.c against documents of every rule of TOML 1.0, and against Python's own
reader: both take and refuse the same, apart from what we refuse by design.

CC and SANITIZE name another build."""
import json, os, random, shlex, subprocess, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import HERE, check, equal, run, skip, tmpdir
try:
    import tomllib
except ImportError:     # before Python 3.11
    tomllib = None

CC = os.environ.get('CC', 'cc')
SANITIZE = os.environ.get(
    'SANITIZE', '-fsanitize=address,undefined -fno-sanitize-recover=all')
binary = os.path.join(tmpdir(), 'toml_test')


def read(docs, *mode):
    """The driver's answer to each document, a line of bytes."""
    docs = [d.encode() if isinstance(d, str) else d for d in docs]
    p = subprocess.run([binary, *mode], capture_output=True, input=b''.join(
        b'%d\n%s' % (len(d), d) for d in docs))
    lines = p.stdout.split(b'\n')[:-1]
    if p.returncode != 0 or len(lines) != len(docs):
        raise RuntimeError('driver ended with %d: %s' % (
            p.returncode, p.stderr[-600:]))
    return lines


def reason(line):
    """A refusal as it should be: a number, then one printable line."""
    number, _, what = line[1:].partition(b': ')
    return line[:1] == b'!' and number.isdigit() and 3 < len(what) < 180 and \
        all(32 <= c < 127 for c in what)


class Ours(Exception):
    """Good TOML that we refuse by design."""


def limits(v, depth=0):
    if depth > 32:
        raise Ours
    if isinstance(v, dict):
        if len(v) > 512 or any('\0' in k for k in v):
            raise Ours
        for w in v.values():
            limits(w, depth + 1)
    elif isinstance(v, list):
        for w in v:
            limits(w, depth + 1)
    elif isinstance(v, str):
        if '\0' in v:
            raise Ours
    elif not isinstance(v, int) or not -1 << 63 <= v < 1 << 63:
        raise Ours


def oracle(doc):
    """What we should make of it: a tree, or None for a refusal."""
    if isinstance(doc, str):
        doc = doc.encode()
    if doc[:3] == b'\xef\xbb\xbf':      # ours: a BOM is nothing
        doc = doc[3:]
    try:
        v = tomllib.loads(doc.decode())
        limits(v)
    except (ValueError, Ours, RecursionError):
        return None
    return v


def same(line, want):
    """Is this answer the tree `want`, in its order?"""
    if want is None:
        return reason(line)
    return line[:1] == b'{' and \
        json.dumps(json.loads(line)) == json.dumps(want)


def compare(docs):
    """[those that the two readers see differently]"""
    return [(d, line, oracle(d)) for d, line in zip(docs, read(docs))
            if not same(line, oracle(d))]


# An sws.toml as people have them: every key of static-web-server once.
SWS = r'''
[general]

#### Address & Root dir
host = "::"
port = 80
root = "./public"

#### Logging
log-level = "error"
log-with-ansi = false
log-remote-address = false
log-x-real-ip = false
log-forwarded-for = false
trusted-proxies = ["127.0.0.1", "::1"]

#### What is sent
cache-control-headers = true
etag = true
compression = true
compression-level = "default"
compression-static = true
page404 = "./404.html"
page50x = "./50x.html"
page-fallback = ""
index-files = "index.html, index.htm"
text-charset = true
accept-markdown = false
security-headers = true

#### TLS
http2 = false
http2-tls-cert = ""
http2-tls-key = ""
https-redirect = false
https-redirect-host = "localhost"
https-redirect-from-port = 80
https-redirect-from-hosts = "localhost, 127.0.0.1"

cors-allow-origins = ""
cors-allow-headers = "origin, content-type"
cors-expose-headers = "origin, content-type"

directory-listing = true
directory-listing-order = 1
directory-listing-format = "html"
directory-listing-download = [ "targz" ]

basic-auth = 'user:$2y$05$abcdefghijklmnopqrstuv'
fd = 0
threads-multiplier = 1
max-blocking-threads = 512
grace-period = 0
redirect-trailing-slash = true
include-hidden = false
follow-symlinks = false
health = false
maintenance-mode = false
maintenance-mode-status = 503
maintenance-mode-file = "./maintenance.html"
	windows-service = false		# tabs are blanks

[advanced]

[[advanced.headers]]
source = "**/*.{js,css}"
headers = { Access-Control-Allow-Origin = "*" }

[[advanced.headers]]
source = "/index.html"
[advanced.headers.headers]
Cache-Control = "public, max-age=36000"
Content-Security-Policy = "frame-ancestors 'self'"

[[advanced.headers]]
source = "**/*.{jpg,jpeg,png,ico,gif}"
headers.Strict-Transport-Security = "max-age=63072000; includeSubDomains"
headers."X-Quoted" = 'a "literal" \ one'

[[advanced.headers]]
source = "/assets/**"
status = [200, 206,
  304,	# and not modified
]
headers = { Cache-Control = "public, max-age=31536000", X-A = """b\
   c""" }

[[advanced.redirects]]
host = "127.0.0.1:4433"
source = "/{*}"
destination = "https://localhost:4433/$1"
kind = 301

[[advanced.rewrites]]
source = "**/{*}.{png,gif}"
destination = "/assets/$1.$2"
redirect = 302

[[advanced.rewrites]]
source = "/abc/**/*.{svg,jxl}"
destination = "/assets/favicon.ico"

[[advanced.virtual-hosts]]
host = "sales.example.com"
root = "/var/sales/html"

[[advanced.virtual-hosts]]
host = "blog.example.com"
root = "/var/blog/html"

[advanced.memory-cache]
capacity = 100
ttl = 1800      # 30 minutes
tti = 300
max-file-size = 8192
'''

# ---- taken by every reader of TOML 1.0

GOOD = [SWS, SWS.replace('\n', '\r\n')] + r'''

%%
# only a comment
%%
# "quoted" = [ # £ ☺
%%
a=1
%%
 	a	 = 	 1	 # blanks
%%
a = 1# no blank
%%
-a_B-9_ = 1
%%
1 = 1
%%
1979-05-27 = 1
%%
true = false
%%
inf = 1
nan = 2
%%
"" = 1
%%
'' = 1
%%
"a b" = 1
'c "d"' = 2
"e\n\u00e9" = 3
"größe" = 4
"a.b" = 5
"a\"b" = 6
%%
"a" = 1
'A' = 2
%%
a.b = 1
a.c = 2
a . d = 3
 a	.	"e" = 4
a.'f g'.h = 5
%%
a.b.c = 1
a.d = 2
a.b.e = 3
b.x = 1
a.f = 4
%%
3.14 = 1
%%
"".a = 1
%%
a."" = 1
%%
a = ""
b = ''
c = """"""
d = \'\'\'\'\'\'
%%
a = "\b\t\n\f\r\"\\"
%%
a = "\u0001\u007F\u0080\u07FF\u0800\uD7FF\uE000\uFFFF"
b = "\U00000001\U00010000\U0010FFFF\U0000d7ff"
%%
a = "\\u0041\\n"
%%
a = "# no comment" # a comment
%%
a = "tab	inside"
b = 'tab	inside'
%%
a = "ÿ €😀 ‮"
%%
a = '\n \u0041 \ "x"'
%%
a = 'c:\dir\'
%%
a = """
first line break goes

  second stays
"""
%%
a = """

two"""
%%
a = """a "quoted" ""b"" c"""
%%
a = """"one"""
b = """""two"""
c = """one""""
d = """two"""""
%%
a = """\""""
b = """\"""\""""
c = """""\""""
%%
a = """a \
    b \

	  c\
"""
b = """a\   
   b"""
c = """\
"""
d = """a\
b"""
e = """\\
"""
%%
a = """\t\u00e9\U0001F600 \\ \
 end"""
%%
a = \'\'\'
 raw \n \
'one' ''two'' "three"\'\'\'
b = \'\'\'\'one\'\'\'
c = \'\'\'\'\'two\'\'\'\'\'
d = \'\'\'
\'\'\'
%%
a = 0
b = -0
c = +0
d = 42
e = +42
f = -42
g = 1_000
h = 1_2_3_4
i = 9223372036854775807
j = -9223372036854775808
k = +9223372036854775807
l = 9_223_372_036_854_775_807
%%
a = 0xDEADBEEF
b = 0xdeadbeef
c = 0xdead_beef
d = 0o755
e = 0o01234567
f = 0b11010110
g = 0x0
h = 0x00
i = 0b0
j = 0o0_0
k = 0x7fffffffffffffff
l = 0o777777777777777777777
m = 0b1
n = 0xe1
o = 0b0111111111111111111111111111111111111111111111111111111111111111
%%
a = true
b = false
%%
a = []
b = [ ]
c = [
]
d = [ # comment
 # another
]
%%
a = [1,2,3]
b = [ 1 , 2 , ]
c = [
  1, # one
  # none
  2
  , 3
  ,
]
%%
a = [[1, 2], ["a", 'b'], [], [[[]]]]
%%
a = [1, "a", true, {b = 2}, [3]]
%%
a = ["]", '#', """,
"""]
%%
a = {}
b = { }
c = {	}
%%
a = {b = 1}
c = { d = 1 , e = "x" }
%%
a = {b.c = 1, b.d = 2, "e f".g = 3}
%%
a = {b = {c = {d = 1}}, e = [{f = 1}, {}]}
%%
a = { b = [
  1, # a newline inside of an array
  2
], c = """
3""" }
%%
a = [{x = 1, y = 2}, {x = 3},
 {x.y = 4}]
%%
[a]
%%
[ a ]
[	b . c	] # d
%%
[a."b.c".'d']
%%
[""]
x = 1
[a.""]
%%
[a]
x = 1
[b]
x = 1
%%
[a.b]
x = 1
[a]
y = 2
%%
[a.b.c]
[a]
[a.b]
%%
[x.y.z.w]
[x]
%%
[a]
[a.b]
[c]
[a.d]
%%
x = 1
[a]
x = 1
[a.y]
x = 1
%%
[a]
b.c = 1
b.d = 2
%%
[a]
b.c = 1
[a.b.d]
x = 1
%%
[a]
b.c.d = 1
[a.b.e]
[a.b.c.f]
%%
[a.b.c]
x = 1
[a]
b.d = 2
%%
[a.b.c]
[a]
b.d.e = 2
b.f = 3
[a.b.g]
%%
a.b = 1
[a.c]
x = 1
%%
a.b.c = 1
[a.b.d.e]
[a.b.d]
%%
[[a]]
%%
[[a]]
x = 1
[[a]]
[[a]]
x = 3
%%
[[ a ]]
[[	a . b	]]
%%
[[a]]
[a.b]
x = 1
[[a]]
[a.b]
x = 2
%%
[[a]]
[[a.b]]
x = 1
[[a.b]]
x = 2
[[a]]
[[a.b]]
x = 3
%%
[[a]]
b.c = 1
[[a]]
b.c = 2
[a.b.d]
x = 1
%%
[[a.b]]
x = 1
[a]
y = 2
%%
[[a.b]]
[a.b.c]
[[a.b]]
[a.b.c]
%%
[a]
[[a.b]]
[a.c]
[[a.b]]
%%
[[a.b.c]]
[a.b]
[a]
%%
[[a]]
[a.b.c]
[a.b]
[[a]]
[[a.b]]
%%
a.b = 1
[[a.c]]
[[a.c]]
%%
[a]
x = {}
[b]
x = []
%%
[[a]]
b = [{c = 1}]
[[a]]
b = [{c = 2}]
%%
a = 1
[b]
a = {a = {a = 1}}
a1.a = 2
%%
a = "end of file"
%%
[a]#c
%%
[a]	 #c
x=1#c
%%
no-newline = true'''.replace(r"\'", "'").split('\n%%\n')

GOOD += [
    'a = """\\\r\n  b\r\nc"""\r\n',
    'a = """\r\nb"""\r\n',
    "a = '''\r\nb\r\n'''\r\n",
    'a = [\r\n1,\r\n2 # c\r\n]\r\n',
    '# c\r\n\r\n[a]\r\n# d\r\nb = 1\r\n',
    '\n\n\n', '   ', '\t', '\r\n', ' # x', '#', '# \t',
    'a = 1\n' * 1 + ' ' * 1000,
    'a = "%s"' % ('x' * 100000),
    '%s = 1' % ('k' * 10000),
    '\n'.join('k%d = %d' % (i, i) for i in range(512)),
    'a = [%s]' % ('1,' * 5000),
    '[[a]]\n' * 3000,
    'a = ' + '[' * 31 + ']' * 31,
    '.'.join('a' * 32) + ' = 1',
    '[' + '.'.join('a' * 31) + ']\nb = 1',
    'a = "\U0001F600\u0080\u07ff\u0800\uffff\U0010ffff\u2028\ufeff"',
    '# \ufeff\U0010ffff\u0080',
]
GOOD += ["a = 'c:\\dir\\'\nb = '\\'", "'a\\' = 1"]

# ---- refused by every reader of TOML 1.0; first what we say

BAD = [tuple(s.split('\n', 1)) for s in r'''1: a: '=' is missing
a
%%
1: a: a value is missing
a =
%%
1: a: a value is missing
a = # b
%%
1: a: a value is missing
a =
 1
%%
1: a: '=' is missing
a
= 1
%%
1: a key is missing
= 1
%%
1: b: '=' is missing
a.b
%%
1: a key is missing
a. = 1
%%
1: a key is missing
.a = 1
%%
1: a key is missing
a..b = 1
%%
1: a: '=' is missing
a b = 1
%%
1: a: '=' is missing
a"b" = 1
%%
1: a: '=' is missing
"a"b = 1
%%
1: gr: '=' is missing, or the key needs quotes
größe = 1
%%
1: a: '=' is missing
a:b = 1
%%
1: a: '=' is missing
a: 1
%%
1: a key is missing
*a = 1
%%
1: : '=' is missing
"""a""" = 1
%%
1: : '=' is missing
\'\'\'a\'\'\' = 1
%%
1: the string is not closed
"a
b" = 1
%%
1: the string is not closed
'a = 1
%%
1: \x means nothing
"a\xb" = 1
%%
1: new line should begin at 'b'
a = 1 b = 2
%%
1: new line should begin at ','
a = 1, b = 2
%%
1: new line should begin at '='
a = 1 = 2
%%
1: new line should begin at 'b'
a = "a" b
%%
1: new line should begin at ']'
a = [1]]
%%
1: new line should begin at '}'
a = {}}
%%
1: new line should begin at 'x'
[a] x = 1
%%
1: new line should begin at ']'
[a]]
%%
1: new line should begin at '.'
[a].b
%%
2: a: is there already, line 1
a = 1
a = 2
%%
2: a: is there already, line 1
a = 1
"a" = 2
%%
2: a: is there already, line 1
"a" = 1
'a' = 2
%%
2: ??: is there already
"é" = 1
"\u00e9" = 2
%%
3: b: is there already, line 1
a.b = 1
a.c = 2
a.b = 3
%%
2: a: is there already
a = 1
a.b = 2
%%
2: b: is there already
a.b = 1
a.b.c = 2
%%
2: a: is there already
a.b = 1
a = 2
%%
2: b: is there already
a.b.c = 1
a.b = 2
%%
2: a: is there already
a = {}
a.b = 1
%%
2: a: is there already
a = {b = 1}
a.c = 1
%%
2: b: is there already
a.b = {c = 1}
a.b.d = 1
%%
2: a: is there already
a = []
a.b = 1
%%
1: a: the string is not closed
a = "b
%%
1: a: the string is not closed
a = "b
c"
%%
1: a: the string is not closed
a = 'b
%%
1: a: the string is not closed
a = "
%%
1: a: the string is not closed
a = "\"
%%
1: a: the string is not closed
a = """b
c"
%%
1: a: the string is not closed
a = \'\'\'b
c
d\'\'
%%
1: a: the string is not closed
a = """
%%
1: a: the string is not closed
a = """"
%%
1: a: the string is not closed
a = """b\"""
%%
1: new line should begin at '"'
a = """b""""""
%%
1: new line should begin at \'\'\'
a = \'\'\'b\'\'\'\'\'\'
%%
1: new line should begin at '"'
a = "a""b"
%%
1: a: \a means nothing
a = "\a"
%%
1: a: \e means nothing
a = "\e"
%%
1: a: \x means nothing
a = "\x41"
%%
1: a: \' means nothing
a = "\'"
%%
1: a: \/ means nothing
a = "\/"
%%
1: a: \0 means nothing
a = "\0"
%%
1: a: \N means nothing
a = "\N"
%%
1: a: \? means nothing
a = "\ "
%%
1: a: \? means nothing
a = "\é"
%%
1: a: \? means nothing
a = "b\
c"
%%
1: a: \? means nothing
a = """b\ c"""
%%
2: a: \q means nothing
a = """
\q"""
%%
1: a: \u needs 4
a = "\u12"
%%
1: a: \u needs 4
a = "\u 123"
%%
1: a: \u needs 4
a = "\u12G4"
%%
1: a: \u needs 4
a = "\u
%%
1: a: \u needs 4
a = "\U0000123"
%%
1: a: U+D800 is no character
a = "\uD800"
%%
1: a: U+DFFF is no character
a = "\uDFFF"
%%
1: a: U+DFFF is no character
a = "\U0000DFFF"
%%
1: a: U+D83D is no character
a = "\uD83D\uDE00"
%%
1: a: U+110000 is no character
a = "\U00110000"
%%
1: a: U+FFFFFFFF is no character
a = "\UFFFFFFFF"
%%
1: a: a number cannot begin with 0
a = 01
%%
1: a: a number cannot begin with 0
a = 00
%%
1: a: a number cannot begin with 0
a = -01
%%
1: a: a number cannot begin with 0
a = +0_1
%%
1: a: a number cannot begin with 0
a = 0666
%%
1: a: not a value
a = _1
%%
1: a: not a value
a = 1_
%%
1: a: not a value
a = 1__0
%%
1: a: not a value
a = +_1
%%
1: a: not a value
a = --1
%%
1: a: not a value
a = +-1
%%
1: a: not a value
a = +
%%
1: a: not a value
a = -
%%
1: a: not a value
a = 1-2
%%
1: a: not a value
a = 12k
%%
1: a: not a value
a = 0x
%%
1: a: not a value
a = 0xg
%%
1: a: not a value
a = 0x_1
%%
1: a: not a value
a = 0x1_
%%
1: a: not a value
a = 0_x1
%%
1: a: not a value
a = 0X1
%%
1: a: not a value
a = 0O7
%%
1: a: not a value
a = 0B1
%%
1: a: not a value
a = 0o8
%%
1: a: not a value
a = 0b2
%%
1: a: not a value
a = +0x1
%%
1: a: not a value
a = -0b1
%%
1: a: not a value
a = 0x-1
%%
1: a: not a value
a = True
%%
1: a: not a value
a = TRUE
%%
1: a: not a value
a = yes
%%
1: a: not a value
a = truer
%%
1: a: not a value
a = tru
%%
1: a: not a value
a = null
%%
1: a: not a value
a = localhost
%%
1: a: not a value
a = .5
%%
1: a: floats
a = 5.
%%
1: a: floats
a = 1.e1
%%
1: a: floats
a = 1e
%%
1: a: not a value
a = 1.2.3
%%
1: a: not a value
a = 127.0.0.1
%%
1: a: not a value
a = Inf
%%
1: a: not a value
a = 0x1.8p1
%%
1: a: dates
a = 2024-13-01
%%
1: a: dates
a = 25:00:00
%%
1: a: dates
a = 12:30
%%
1: a: not a value
a = /srv/www
%%
1: a: not a value
a = “quotes”
%%
1: a: a value is missing
a = ,
%%
1: a: not a value
a = =
%%
1: a: ',' or ']' is missing in the array of line 1
a = [1
%%
1: a: a value is missing
a = [
%%
1: a: a value is missing
a = [,]
%%
1: a: a value is missing
a = [,1]
%%
1: a: a value is missing
a = [1,,2]
%%
1: a: a value is missing
a = [1,2,,]
%%
1: a: ',' or ']' is missing
a = [1 2]
%%
3: a: ',' or ']' is missing in the array of line 1
a = [1

2]
%%
1: a: ',' or ']' is missing
a = ["a" "b"]
%%
1: a: ',' or ']' is missing
a = [1}
%%
1: a: not a value
a = [b = 1]
%%
1: a: ',' or ']' is missing
a = [[1]
%%
1: a: a key is missing
a = {
%%
1: a: a key is missing
a = {,}
%%
1: a: a key is missing
a = {b = 1,}
%%
1: a: a key is missing
a = {b = 1,,c = 2}
%%
1: a: ',' or '}' is missing
a = {b = 1
%%
1: a: ',' or '}' is missing
a = {b = 1 c = 2}
%%
1: a: a key is missing
a = {
b = 1}
%%
1: a: ',' or '}' is missing
a = {b = 1
}
%%
1: a: a key is missing
a = {b = 1,
c = 2}
%%
1: a: ',' or '}' is missing
a = {b = 1 # c
}
%%
1: b: '=' is missing
a = {b}
%%
1: 1: '=' is missing
a = {1, 2}
%%
1: a: a key is missing
a = {b = 1, = 2}
%%
1: b: is there already
a = {b = 1, b = 2}
%%
1: b: is there already
a = {b = 1, b.c = 2}
%%
1: b: is there already
a = {b.c = 1, b = 2}
%%
1: c: is there already
a = {b.c = 1, b.c = 2}
%%
1: b: is there already
a = {b = {c = 1}, b.d = 2}
%%
1: b: is there already
a = {b.c = 1, b = {d = 1}}
%%
1: a key is missing
[]
%%
1: a key is missing
[ ]
%%
1: a key is missing
[[]]
%%
1: a key is missing
[
%%
1: a key is missing
[[
%%
1: a key is missing
[a.]
%%
1: a key is missing
[.a]
%%
1: a key is missing
[a..b]
%%
1: ] is missing behind [a
[a
%%
1: ] is missing behind [a
[a
]
%%
1: ] is missing behind [a
[a b]
%%
1: ] is missing behind [a
[a = 1]
%%
1: ] is missing behind [a
[a#b]
%%
1: ]] is missing behind [[a
[[a]
%%
1: ]] is missing behind [[a
[[a] ]
%%
1: a key is missing
[ [a]]
%%
1: a key is missing
[a.[b]]
%%
1: ] is missing behind [a
[a[b]]
%%
2: a: is there already, line 1
[a]
[a]
%%
3: a: is there already, line 1
[a]
[b]
[a]
%%
3: a: is there already, line 1
[a.b]
[a]
[a]
%%
2: b: is there already
[a.b]
[a.b]
%%
2: a: is there already
[a]
[[a]]
%%
2: a: is there already
[[a]]
[a]
%%
2: a: is there already
[a.b]
[[a]]
%%
3: b: is there already
[[a]]
[a.b]
[[a.b]]
%%
3: b: is there already
[[a]]
[[a.b]]
[a.b]
%%
3: b: is there already
[[a]]
[a.b]
[a.b]
%%
2: a: is there already
a = 1
[a]
%%
2: a: is there already
a = 1
[a.b]
%%
2: a: is there already
a = 1
[[a]]
%%
2: a: is there already
a = 1
[[a.b]]
%%
2: a: is there already
a = []
[[a]]
%%
2: a: is there already
a = [{}]
[[a]]
%%
2: a: is there already
a = [{}]
[a.b]
%%
2: a: is there already
a = [{b = 1}]
[[a.c]]
%%
2: a: is there already
a = {}
[a]
%%
2: a: is there already
a = {}
[a.b]
%%
2: a: is there already
a = {b = {}}
[a.b.c]
%%
2: a: is there already
a = {b.c = 1}
[a.b.d]
%%
2: a: is there already
a = {}
[[a.b]]
%%
3: b: is there already
[a]
b = {}
[a.b]
%%
2: a: is there already
a.b = 1
[a]
%%
2: b: is there already
a.b.c = 1
[a.b]
%%
2: a: is there already
a.b = 1
[[a]]
%%
2: b: is there already
a.b.c = 1
[[a.b]]
%%
3: b: is there already
[a]
b.c = 1
[a.b]
%%
3: c: is there already
[a]
b.c.d = 1
[a.b.c]
%%
3: b: is there already
[a]
b.c = 1
[[a.b]]
%%
3: b: is there already
[a.b]
[a]
b.c = 1
%%
4: c: is there already, line 1
[a.b.c]
z = 9
[a]
b.c.t = 1
%%
4: c: is there already
[a.b.c.d]
[a.b.c]
[a]
b.c.d.k = 1
%%
5: b: is there already
[a.b.c]
[a]
b.d = 1
[x]
[a.b]
%%
3: b: is there already
[[a.b]]
[a]
b.c = 1
%%
3: b: is there already
[a.b]
[a]
b = 1
%%
3: b: is there already
[a.b.c]
[a]
b = 1
%%
3: b: is there already
[a]
b = 1
[a.b]
%%
3: b: is there already
[a]
b = 1
[a.b.c]
%%
5: b: is there already, line 4
[[a]]
b = 1
[[a]]
[a.b]
[a.b]
%%
3: c: is there already
[a]
[a.b.c]
[[a.b.c]]
'''.replace(r"\'\'", "''").replace("''\\'", "'''").split('\n%%\n')]

BAD += [
    ('1: not UTF-8 (byte 0xff)', b'\xff'),
    ('2: not UTF-8 (byte 0xe9)', b'# a\n# caf\xe9\n'),
    ('1: not UTF-8 (byte 0xc0)', b'a = "\xc0\x80"'),
    ('1: not UTF-8 (byte 0xc1)', b'a = "\xc1\xbf"'),
    ('1: not UTF-8 (byte 0xe0)', b'a = "\xe0\x9f\xbf"'),
    ('1: not UTF-8 (byte 0xf0)', b'a = "\xf0\x8f\xbf\xbf"'),
    ('1: not UTF-8 (byte 0xf4)', b'a = "\xf4\x90\x80\x80"'),
    ('1: not UTF-8 (byte 0xf5)', b'a = "\xf5\x80\x80\x80"'),
    ('1: not UTF-8 (byte 0xed)', b'a = "\xed\xa0\x80"'),
    ('1: not UTF-8 (byte 0xed)', b'a = "\xed\xbf\xbf"'),
    ('1: not UTF-8 (byte 0x80)', b"a = '\x80'"),
    ('1: not UTF-8 (byte 0xc3)', b'a = "\xc3"'),
    ('1: not UTF-8 (byte 0xe2)', b'# \xe2\x82'),
    ('1: not UTF-8 (byte 0xf0)', b'# \xf0\x9f\x98'),
    ('1: not UTF-8 (byte 0xff)', b'\xff\xfea\0=\0'),
    ('1: a control character (0x00)', b'a\0'),
    ('3: a control character (0x00)', b'a = 1\n\n\0\n'),
    ('1: a control character (0x00)', b'a = "\0"'),
    ('1: a control character (0x0b)', 'a =\v1'),
    ('1: a control character (0x0c)', 'a = 1\f'),
    ('1: a control character (0x01)', '# \x01'),
    ('1: a control character (0x1f)', 'a = "\x1f"'),
    ('1: a control character (0x7f)', "a = '\x7f'"),
    ('1: a control character (0x08)', 'a = """\b"""'),
    ('1: a control character (0x1b)', "a = '''\x1b'''"),
    ('1: a control character (0x7f)', '# \x7f'),
    ('1: a carriage return', 'a = 1\r'),
    ('1: a carriage return', 'a = 1\rb = 2\n'),
    ('1: a carriage return', 'a = 1\r\r\n'),
    ('1: a carriage return', '# a\rb\n'),
    ('1: a carriage return', 'a = "\r"'),
    ('2: a carriage return', 'a = """\n\r"""'),
    ('1: a carriage return', "a = '''\r'''"),
    ('1: a: the string is not closed', 'a = "b\r\nc"'),
    ('1: a: \\? means nothing', 'a = "b\\\r\nc"'),
    ('1: a key is missing', '\ufeff\ufeffa = 1'),
    ('1: a key is missing', '\u00a0'),
    ('2: a key is missing', 'a = 1\n\ufeffb = 1'),
    ('1: new line', 'a = 1\u00a0'),
    ('1: %s: \'=\'' % ('k' * 60), 'k' * 70),
]

# ---- good TOML, refused here

OURS = [
    ('1: a: floats', 'a = 1.5'), ('1: a: floats', 'a = -0.0'),
    ('1: a: floats', 'a = +1e5'), ('1: a: floats', 'a = 1E-5'),
    ('1: a: floats', 'a = 6.626e-34'), ('1: a: floats', 'a = 1_0.0_1'),
    ('1: a: floats', 'a = 0e0'), ('1: a: floats', 'a = 0.5'),
    ('1: a: floats', 'a = inf'), ('1: a: floats', 'a = -inf'),
    ('1: a: floats', 'a = +nan'), ('1: a: floats', 'a = nan'),
    ('2: b: floats', 'a = [1,\n {b = 2.0}]'),
    ('1: a: dates', 'a = 1979-05-27T07:32:00Z'),
    ('1: a: dates', 'a = 1979-05-27T00:32:00.999999-07:00'),
    ('1: a: dates', 'a = 1979-05-27 07:32:00'),
    ('1: a: dates', 'a = 1979-05-27'), ('1: a: dates', 'a = 07:32:00'),
    ('1: a: dates', 'a = 00:32:00.9'),
    ('1: a: a string cannot hold NUL', r'a = "\u0000"'),
    ('1: a: a string cannot hold NUL', r'a = """\U00000000"""'),
    ('1: a string cannot hold NUL', r'"\u0000" = 1'),
    ('1: a: a number beyond', 'a = 9223372036854775808'),
    ('1: a: a number beyond', 'a = -9223372036854775809'),
    ('1: a: a number beyond', 'a = 99999999999999999999999999999999999'),
    ('1: a: a number beyond', 'a = 0x8000000000000000'),
    ('1: a: a number beyond', 'a = 0o1000000000000000000000'),
    ('1: a: a number beyond', 'a = 0b1%s' % ('0' * 63)),
    ('513: k512: more than 512 keys', '\n'.join(
        'k%d = %d' % (i, i) for i in range(513))),
    ('1: more than 32 levels', '.'.join('a' * 33) + ' = 1'),
    ('1: more than 32 levels', '[' + '.'.join('a' * 33) + ']'),
    ('1: more than 32 levels', '[[' + '.'.join('a' * 32) + ']]'),
    ('2: b: more than 32 levels', '[' + '.'.join('a' * 32) + ']\nb = 1'),
    ('1: a: more than 32 levels', 'a = ' + '[' * 33 + ']' * 33),
    ('1: a: more than 32 levels', 'a = ' + '{a = ' * 32 + '1' + '}' * 32),
]

# beyond what Python's reader can nest, too, and what no file is
HUGE = [
    ('1: a: more than 32 levels', 'a = ' + '[' * 500000),
    ('1: a: more than 32 levels', 'a = ' + '{a=' * 300000),
    ('1: more than 32 levels', 'a.' * 500000),
    ('1: more than 32 levels', '[' + 'a.' * 500000),
    ('1: longer than', '#' * (1048576 + 1)),
]


def refusals(name, docs):
    lines = read([d for _, d in docs])
    for (want, doc), line in zip(docs, lines):
        text = line.decode('latin-1')
        if not reason(line) or not text.startswith('!' + want[:2]) or \
                want.partition(': ')[2] not in text:
            check('%s: %.60r' % (name, doc), False, '%s, not %s' % (
                text, want))
            break
    else:
        check('%d documents: %s' % (len(docs), name), True)


def build():
    p = subprocess.run(
        [CC, '-std=c11', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Wpedantic',
         '-Wshadow', '-Wconversion', '-Wcast-qual', '-Werror', '-g', '-O1',
         *shlex.split(SANITIZE), '-o', binary,
         os.path.join(HERE, 'toml_test.c')], capture_output=True, text=True)
    if not check('toml_test.c builds', p.returncode == 0, p.stderr[:500]):
        sys.exit(1)


def good():
    for doc, line in zip(GOOD, read(GOOD)):
        if line[:1] != b'{':
            check('taken: %.60r' % doc, False, line.decode())
            break
    else:
        check('%d documents are taken' % len(GOOD), True)


def bad():
    refusals('refused, and why', BAD)
    refusals('good TOML that no option needs', OURS)
    refusals('of great depth or size', HUGE)


def values():
    """What does not need another reader."""
    line, = read([SWS])
    v = json.loads(line)
    equal('sws.toml: values', (
        v['general']['port'], v['general']['etag'],
        v['general']['trusted-proxies'], len(v['general'])),
        (80, True, ['127.0.0.1', '::1'], 48))
    equal('sws.toml: shapes', (
        len(v['advanced']['headers']),
        v['advanced']['headers'][3],
        v['advanced']['rewrites'][1]['source'],
        v['advanced']['memory-cache']['ttl']),
        (4, {'source': '/assets/**', 'status': [200, 206, 304],
             'headers': {'Cache-Control': 'public, max-age=31536000',
                         'X-A': 'bc'}}, '/abc/**/*.{svg,jxl}', 1800))
    bom = b'\xef\xbb\xbf'
    equal('a BOM in front is nothing', read([bom + b'a = 1', bom, b'']),
          [b'{"a":1}', b'{}', b'{}'])
    equal('the longest file', read(['#' * 1048576]), [b'{}'])


def line_numbers():
    doc = '''a = 1

[b]     # 3
c = [ 2,
  3 ]
d.e = """

"""
f = {g = 1, h = [
 1]}
[[i]]
[[i]]
j = 1
[k.l]
'''
    want = ('{"a":[1],"b":[3,{"c":[4,[[4],[5]]],"d":[6,{"e":[6]}],'
            '"f":[9,{"g":[9],"h":[9,[[10]]]}]}],"i":[11,[[11,{}],[12,'
            '{"j":[13]}]]],"k":[14,{"l":[14,{}]}]}').encode()
    equal('line numbers', read([doc], 'lines'), [want])
    equal('line numbers, CRLF', read([doc.replace('\n', '\r\n')], 'lines'),
          [want])


def memory():
    """Allocations fail, one after another."""
    lines = read(['a = [%s]' % ('1,' * 200), 'a = [%s' % ('1,' * 200)],
                 'memory')
    equal('no memory: an error, nothing is lost', lines, [
        b'5 allocations, then a tree, 0 left',
        b"5 allocations, then 1: a: a value is missing, 0 left"])


def against_python():
    if tomllib is None:
        skip('against tomllib', 'it comes with Python 3.11')
        return
    docs = GOOD + [d for _, d in BAD]
    wrong = compare(docs)
    check('%d documents read as tomllib does' % len(docs), not wrong,
          wrong[:1])
    # the list says of each which kind it is
    check('good is good', all(oracle(d) is not None for d in GOOD))
    check('bad is bad', all(oracle(d) is None for _, d in BAD))


PIECES = ['\n', '\n', ' ', '.', ',', '=', '"', "'", '"""', "'''", '[', ']',
          '[[', ']]', '{', '}', '#', '\\', '\\u', '\t', '\r\n', '\r', 'a', 'b',
          'a = 1\n', 'b.a = 2\n', '[a]\n', '[[a]]\n', '[a.b]\n', '[b.a]\n',
          '[[a.b]]\n', 'a.b.c = 3\n', 'a = {}\n', 'b = {a.b = 1}\n', '0x', '_',
          '-', '+', '0', '1', '1.5', 'true', '1979-05-27', 'é', '\0', '\x7f']


def mutate(r, doc):
    for _ in range(r.randint(1, 4)):
        i = r.randint(0, len(doc))
        n = r.choice((0, 0, 1, 1, 3, 10))
        doc = doc[:i] + r.choice(PIECES + ['']) + doc[i + n:]
    return doc


def mutations(seed=1, count=4000):
    if tomllib is None:
        skip('mutations against tomllib', 'it comes with Python 3.11')
        return
    r = random.Random(seed)
    short = [d for d in GOOD + [d for _, d in BAD] if isinstance(d, str) and
             len(d) < 300]
    tables = [''.join(r.choice(PIECES[24:34]) for _ in range(r.randint(2, 7)))
              for _ in range(count // 2)]
    docs = [mutate(r, r.choice(short)) for _ in range(count)] + tables
    wrong = compare(docs)
    check('%d mutations read as tomllib does' % len(docs), not wrong,
          wrong[:1])
    taken = sum(oracle(d) is not None for d in docs)
    check('mutations are of both kinds', count / 10 < taken < count,
          '%d of %d are good' % (taken, len(docs)))


if __name__ == '__main__':
    build()
    run([good, bad, values, line_numbers, memory, against_python, mutations])
