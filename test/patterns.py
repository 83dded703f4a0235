#!/usr/bin/env python3
"""glob.c against Python's re: patterns become expressions by globset's rules
and SWS's change of them, and both have to see the same captures.
"""
import os, random, re, subprocess
from lib import HERE, check, run, tmpdir

CC = os.environ.get('CC', 'cc')
PAIRS = 20000


class Bad(Exception):
    pass


def tokens(p, i, depth):
    """The choices of a group, or of the pattern: lists of tokens; and where
    they end."""
    choices, toks, start = [], [], i
    while i < len(p):
        c = p[i]
        if depth and c == '}':
            return choices + [toks], i
        if depth and c == ',':
            choices, toks, start = choices + [toks], [], i + 1
        elif c == '}':
            raise Bad
        elif c == '{':
            inner, i = tokens(p, i + 1, depth + 1)
            toks.append(inner)
        elif c == '\\':
            i += 1
            if i == len(p):
                raise Bad
            toks.append(('lit', p[i]))
        elif c == '[':
            body = re.compile(r'\[([!^]?)(\][^]]*|[^]]+)\]').match(p, i)
            if not body:
                raise Bad
            toks.append(('class', body[1] != '', ranges(body[2])))
            i = body.end() - 1
        elif c == '?':
            toks.append('?')
        elif p[i:i + 2] == '**':
            i = double(p, i + 2, depth, toks, i == start) - 1
        elif c == '*':
            toks.append('*')
        else:
            toks.append(('lit', c))
        i += 1
    if depth:
        raise Bad
    return [toks], i


def double(p, i, depth, toks, first):
    """A double star that ends before i; what it was is added to toks."""
    after = p[i:i + 1]
    if first:
        if after in ('', '/'):
            toks.append('prefix')
            return i + 1
        toks += '**'
        return i
    last = after == '' or (depth > 0 and after in ',}')
    if p[i - 3] != '/' or not (last or after == '/'):
        toks += '**'
        return i
    before = toks.pop()
    toks.append('prefix' if before == 'prefix' else
                'suffix' if last else 'between')
    return i if last else i + 1


def ranges(body):
    out, i = [], 0
    while i < len(body):
        lo = hi = body[i]
        i += 1
        while body[i:i + 1] == '-' and i + 1 < len(body):
            hi, i = body[i + 1], i + 2
            if hi < lo:
                raise Bad
        out.append(re.escape(lo) + '-' + re.escape(hi))
    return ''.join(out)


def regex(toks, loose):
    one = '.' if loose else '[^/]'
    out = ''
    for t in toks:
        if isinstance(t, list):
            parts = [x for x in (regex(c, loose) for c in t) if x]
            if not parts:
                raise Bad
            out += '(' + '|'.join(parts) + ')'
        elif t[0] == 'lit':
            out += re.escape(t[1])
        elif t[0] == 'class':
            out += ('' if loose else '(?!/)') + '[%s%s]' % (
                '^' if t[1] else '', t[2])
        else:
            out += {'?': one, '*': one + '*', 'prefix': '(/?|.*/)',
                    'between': '(/|/.*/)', 'suffix': '/.*'}[t]
    return out


def expression(p, loose):
    (toks,), _ = tokens(p, 0, 0)
    if toks == ['prefix']:
        return '.*'
    return regex(toks, loose).replace('([^/]*[^/]*)', '(.*)')


def oracle(p, s, loose):
    try:
        e = expression(p, loose)
    except Bad:
        return 'error'
    m = re.compile(e, re.S).fullmatch(s)
    if m is None:
        return 'no'
    at = [0]
    for c in s:
        at.append(at[-1] + len(c.encode('utf-8', 'surrogateescape')))
    spans = [m.span(i) for i in range(min(10, len(m.groups()) + 1))]
    return ' '.join('0-0' if a < 0 else '%d-%d' % (at[a], at[b])
                    for a, b in spans)


dice = random.Random(5)
LETTERS = 'ab/.-\u00e9'
PIECES = ['*', '*', '*', '**', '**', '?', '/', '/', '/**/', '**/', '/**',
          '/**/**/', '**/**', '[ab]', '[!a]', '[a-c-]', '[]a]', '[a-b-d]',
          '[\u00e0-\u00ea]', '[^/]', '[--z]', '\\*', '\\[', '{**}', '{*}']
BROKEN = ['[', '}', '{', '[b-a]', '\\', '{}', '[]']


def pattern(depth=0):
    out = ''
    for _ in range(dice.randint(1 - (depth > 0), 5 - depth)):
        x = dice.random()
        if x < .4:
            out += dice.choice(LETTERS)
        elif x < .8:
            out += dice.choice(PIECES)
        elif x < .81:
            out += dice.choice(BROKEN)
        elif depth < 3:
            out += '{%s}' % ','.join(pattern(depth + 1) for _ in range(
                dice.choice([1, 2, 2, 3])))
    return out


def text(p):
    """Something that p may match."""
    out = ''
    for c in p if dice.random() < .7 else '*' * 6:
        if c == '*':
            out += ''.join(dice.choice('ab/.\u00e9\udcc3\udca9') for _ in
                           range(dice.choice([0, 0, 1, 2, 3])))
        elif c == '?':
            out += dice.choice('ab\u00e9')
        elif c not in '{}[]!^\\' and (c != ',' or dice.random() < .2):
            out += c if dice.random() < .8 else ''
    # as bytes see it: a lone start and its end side by side are a character
    b = out.encode('utf-8', 'surrogateescape')
    return b.decode('utf-8', 'surrogateescape')


def both():
    exe = tmpdir() + '/rules_test'
    got = subprocess.run(
        [CC, '-std=c11', '-D_GNU_SOURCE', '-O1', '-o', exe,
         HERE + '/rules_test.c', HERE + '/../toml.c', HERE + '/../rules.c'],
        capture_output=True, text=True)
    if not check('rules_test.c builds', got.returncode == 0, got.stderr):
        return
    rows = []
    while len(rows) < PAIRS:
        p = pattern()
        if p.count('*') + p.count('{') > 12 or re.search(r'\\[{,]\*\*', p):
            continue
        rows += [(p, text(p), dice.random() < .25) for _ in range(3)]
    lines = ''.join('%s %s %s\n' % (
        'l' if loose else 's', p.encode().hex(),
        s.encode('utf-8', 'surrogateescape').hex()) for p, s, loose in rows)
    out = subprocess.run([exe, 'pairs'], input=lines, capture_output=True,
                         text=True).stdout.splitlines()
    bad = ['%r on %r: %s, not %s' % (p, s, o, want)
           for (p, s, loose), o in zip(rows, out)
           for want in [oracle(p, s, loose)] if want != o]
    good = sum(o[0].isdigit() for o in out)
    check('%d patterns and texts as re sees them' % len(rows),
          len(out) == len(rows) and not bad, '; '.join(bad[:5]))
    check('many of them match, some are wrong', good > PAIRS / 5 and
          'error' in out, good)


run([both])
