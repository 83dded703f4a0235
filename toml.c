/* toml.c - a TOML file as a tree of values.
 *
 * TOML 1.0 (toml.io/en/v1.0.0) without floats and dates, which no option takes,
 * and without NUL in strings.  The bytes are checked first, so what comes after
 * meets neither bad UTF-8 nor control characters.  The first error ends it. */
#include "sws.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	DEPTH = 32,		/* values within values: recursion ends there */
	KEYS = 512,		/* of one table: they are searched one by one */
	NODES = 64,		/* allocated at a time */
};

/* How a table or array came to be says who may add to it (v1.0.0, "Table"). */
enum made {
	CLOSED,			/* a value, all of it stands behind the '=' */
	NAMED,			/* only a part of a header, may get its own */
	DOTTED,			/* by a dotted key, may not */
	HEADER,			/* [table], or an element of [[array]] */
	ROWS,			/* [[array]]; its last element is meant */
};

struct node {
	struct toml v;		/* first: all that others see */
	struct node *last;	/* child */
	unsigned count;		/* children */
	unsigned depth;
};

struct block {
	struct block *next;
	unsigned used;
	struct node node[NODES];
};

struct tree {
	struct node root;	/* first: toml_free gets this address */
	struct block *blocks;
	char text[];		/* keys and strings: no longer than the file */
};

struct parser {
	const char *p, *end;
	unsigned line;
	const char *key;	/* whose value is read, or NULL */
	struct tree *tree;
	char *text, *text_end;	/* what is free of the tree's */
	char *why;
	size_t cap;
};

static bool fail(struct parser *p, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static bool
fail(struct parser *p, const char *fmt, ...)
{
	char msg[160], *c;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof msg, fmt, ap);
	va_end(ap);
	if (p->key != NULL)
		snprintf(p->why, p->cap, "%u: %.60s: %s", p->line, p->key, msg);
	else
		snprintf(p->why, p->cap, "%u: %s", p->line, msg);
	for (c = p->why; p->cap > 0 && *c != '\0'; c++)
		if (*c < 0x20 || *c > 0x7e)
			*c = '?';	/* a key may hold anything */
	return false;
}

/* ---- bytes ---- */

/* The length of the character at s, which n bytes are left of; 0: not UTF-8. */
static size_t
utf8(const unsigned char *s, size_t n)
{
	unsigned long c;
	size_t i, len;

	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	len = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	if (len > n)
		return 0;
	c = s[0] & (0x7fu >> len);
	for (i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3fu);
	}
	if ((len == 3 && c < 0x800) || (len == 4 && c < 0x10000) ||
	    (c >= 0xd800 && c <= 0xdfff) || c > 0x10ffff)
		return 0;
	return len;
}

/* Is every byte one that may stand somewhere? */
static bool
check_bytes(struct parser *p)
{
	const char *s = p->p;
	unsigned char c;
	size_t len;

	for (; s < p->end; s += len) {
		c = (unsigned char)*s;
		len = utf8((const unsigned char *)s, (size_t)(p->end - s));
		if (len == 0)
			return fail(p, "not UTF-8 (byte 0x%02x)", c);
		if (c == '\n')
			p->line++;
		else if (c == '\r' && (p->end - s < 2 || s[1] != '\n'))
			return fail(p, "a carriage return without newline");
		else if ((c < 0x20 && c != '\t' && c != '\r') || c == 0x7f)
			return fail(p, "a control character (0x%02x)", c);
	}
	p->line = 1;
	return true;
}

static char
peek(const struct parser *p)
{
	return p->p < p->end ? *p->p : '\0';
}

static bool
take(struct parser *p, char c)
{
	if (p->p == p->end || *p->p != c)
		return false;
	p->p++;
	return true;
}

static bool
take_newline(struct parser *p)
{
	if (peek(p) == '\r')
		p->p++;		/* check_bytes: \n follows */
	if (!take(p, '\n'))
		return false;
	p->line++;
	return true;
}

static void
skip_blanks(struct parser *p)
{
	while (peek(p) == ' ' || peek(p) == '\t')
		p->p++;
}

/* Up to the end of the line, if there is nothing else on it. */
static void
skip_comment(struct parser *p)
{
	skip_blanks(p);
	if (peek(p) == '#')
		while (p->p < p->end && *p->p != '\r' && *p->p != '\n')
			p->p++;
}

/* Blanks, comments, newlines. */
static void
skip_lines(struct parser *p)
{
	do
		skip_comment(p);
	while (take_newline(p));
}

/* Is it three of quote? */
static bool
triple(const struct parser *p, char quote)
{
	return p->end - p->p >= 3 && p->p[0] == quote && p->p[1] == quote &&
	    p->p[2] == quote;
}

/* Letters, digits, '_' and '-'. */
static bool
is_bare(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* The number that c is a digit of; 16 or more: of none. */
static unsigned
digit(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	if (c >= 'a' && c <= 'f')
		return (unsigned)(c - 'a' + 10);
	if (c >= 'A' && c <= 'F')
		return (unsigned)(c - 'A' + 10);
	return 16;
}

/* ---- strings ---- */

/* A byte of the string that is read.  There is room: each takes one byte or
 * more of the file, and the NUL has that of a quote, '=', '.' or ']', or the
 * one that is left over. */
static void
put(struct parser *p, char c)
{
	assert(p->text < p->text_end);
	*p->text++ = c;
}

/* What n hexadecimal digits name, as UTF-8. */
static bool
put_unicode(struct parser *p, int n)
{
	unsigned long c = 0;
	unsigned d;

	while (n-- > 0) {
		if ((d = digit(peek(p))) > 15)
			return fail(p, "\\u needs 4 hexadecimal digits, "
			    "\\U needs 8");
		c = c << 4 | d;
		p->p++;
	}
	if (c == 0)
		return fail(p, "a string cannot hold NUL");
	if ((c >= 0xd800 && c <= 0xdfff) || c > 0x10ffff)
		return fail(p, "U+%04lX is no character", c);
	if (c < 0x80) {
		put(p, (char)c);
		return true;
	}
	if (c < 0x800) {
		put(p, (char)(0xc0 | c >> 6));
	} else {
		if (c < 0x10000) {
			put(p, (char)(0xe0 | c >> 12));
		} else {
			put(p, (char)(0xf0 | c >> 18));
			put(p, (char)(0x80 | (c >> 12 & 0x3f)));
		}
		put(p, (char)(0x80 | (c >> 6 & 0x3f)));
	}
	put(p, (char)(0x80 | (c & 0x3f)));
	return true;
}

/* What follows a backslash. */
static bool
escape(struct parser *p, bool multi)
{
	static const char from[] = "btnfr\"\\", to[] = "\b\t\n\f\r\"\\";
	const char *start = p->p, *at;
	char c = peek(p);

	if (multi) {		/* at the end of a line: up to what is next */
		skip_blanks(p);
		if (take_newline(p)) {
			do
				skip_blanks(p);
			while (take_newline(p));
			return true;
		}
		p->p = start;
	}
	if (c != '\0' && (at = strchr(from, c)) != NULL) {
		put(p, to[at - from]);
		p->p++;
		return true;
	}
	if (take(p, 'u'))
		return put_unicode(p, 4);
	if (take(p, 'U'))
		return put_unicode(p, 8);
	return fail(p, "\\%c means nothing in a string", c > ' ' ? c : '?');
}

/* The string that begins with this quote; NULL after fail(). */
static const char *
read_string(struct parser *p, bool multi)
{
	const char quote = *p->p, *s = p->text;
	unsigned line = p->line;
	int more;

	p->p += multi ? 3 : 1;
	if (multi)
		take_newline(p);
	while (multi ? !triple(p, quote) : peek(p) != quote) {
		if (p->p == p->end || (!multi && take_newline(p))) {
			p->line = line;
			fail(p, "the string is not closed");
			return NULL;
		}
		if (take_newline(p)) {
			put(p, '\n');
		} else if (quote == '"' && take(p, '\\')) {
			if (!escape(p, multi))
				return NULL;
		} else {
			put(p, *p->p++);
		}
	}
	p->p += multi ? 3 : 1;
	for (more = 0; multi && more < 2 && take(p, quote); more++)
		put(p, quote);	/* """"two quotes inside""""" */
	put(p, '\0');
	return s;
}

/* One part of a key; NULL after fail(). */
static const char *
read_key(struct parser *p)
{
	const char *s = p->text;

	if (peek(p) == '"' || peek(p) == '\'')
		return read_string(p, false);
	while (is_bare(peek(p)))
		put(p, *p->p++);
	if (p->text == s) {
		fail(p, "a key is missing, or needs quotes");
		return NULL;
	}
	put(p, '\0');
	return s;
}

/* ---- the tree ---- */

/* A new last child of t; NULL after fail().  What a CLOSED one is, read_value()
 * finds. */
static struct node *
add(struct parser *p, struct node *t, const char *key, enum made made)
{
	struct block *b = p->tree->blocks;
	struct node *n;

	if (t->depth == DEPTH) {
		fail(p, "more than %d levels of tables and arrays", DEPTH);
		return NULL;
	}
	if (key != NULL && t->count == KEYS) {
		fail(p, "more than %d keys in one table", KEYS);
		return NULL;
	}
	if (b == NULL || b->used == NODES) {
		if ((b = calloc(1, sizeof *b)) == NULL) {
			fail(p, "out of memory");
			return NULL;
		}
		b->next = p->tree->blocks;
		p->tree->blocks = b;
	}
	n = &b->node[b->used++];
	n->v.key = key;
	n->v.line = p->line;
	n->v.type = made == ROWS ? TOML_ARRAY : TOML_TABLE;
	n->v.made = (uint8_t)made;
	n->depth = t->depth + 1;
	if (t->last == NULL)
		t->v.first = &n->v;
	else
		t->last->v.next = &n->v;
	t->last = n;
	t->count++;
	return n;
}

static struct node *
find(struct node *t, const char *key)
{
	struct toml *c = t->v.first;

	while (c != NULL && strcmp(c->key, key) != 0)
		c = c->next;
	return (struct node *)c;
}

static bool
fail_twice(struct parser *p, const struct node *n)
{
	p->key = n->v.key;
	return fail(p, "is there already, line %u", n->v.line);
}

/* The table called key in t, made if it is not there: on the way of a header
 * (made = NAMED) or of a dotted key (DOTTED).  NULL after fail(). */
static struct node *
step(struct parser *p, struct node *t, const char *key, enum made made)
{
	struct node *n = find(t, key);

	if (n == NULL)
		return add(p, t, key, made);
	if (made == NAMED && n->v.made == ROWS)
		return n->last;
	if (n->v.made == CLOSED || (made == DOTTED && n->v.made >= HEADER)) {
		fail_twice(p, n);
		return NULL;
	}
	if (made == DOTTED)
		n->v.made = DOTTED;
	return n;
}

/* Read a key of t, dotted or not.  The table it leads to, *last being the name
 * in there, or NULL after fail(). */
static struct node *
walk(struct parser *p, struct node *t, enum made made, const char **last)
{
	while (t != NULL) {
		skip_blanks(p);
		if ((*last = read_key(p)) == NULL)
			return NULL;
		skip_blanks(p);
		if (!take(p, '.'))
			return t;
		t = step(p, t, *last, made);
	}
	return NULL;
}

/* ---- values ---- */

/* The n bytes at w as an integer.  1: they are one; 0: not; -1: it does not fit
 * in 64 bits. */
static int
integer(const char *w, size_t n, int64_t *dst)
{
	const char *end = w + n;
	bool plus = *w == '+', minus = *w == '-', fits = true;
	unsigned base = 10, d;
	int64_t v = 0;

	if (plus || minus) {
		w++;
	} else if (n > 2 && w[0] == '0') {
		base = w[1] == 'x' ? 16 : w[1] == 'o' ? 8 : w[1] == 'b' ? 2 : 0;
		if (base == 0)
			return 0;
		w += 2;
	}
	if (base == 10 && end - w > 1 && *w == '0')
		return 0;
	if (w == end || *w == '_' || end[-1] == '_')
		return 0;
	for (; w < end; w++) {
		if (*w == '_' && w[1] != '_')
			continue;
		if ((d = digit(*w)) >= base)
			return 0;
		/* downwards: INT64_MIN is the longer way */
		if (v < (INT64_MIN + (int64_t)d) / (int64_t)base)
			fits = false;
		else
			v = v * (int64_t)base - (int64_t)d;
	}
	if (!fits || (!minus && v == INT64_MIN))
		return -1;
	*dst = minus ? v : -v;
	return 1;
}

/* What else the n bytes at w are. */
static const char *
no_integer(const char *w, size_t n)
{
	const char *end = w + n, *s;

	for (s = w; s < end && digit(*s) < 10; s++)
		;
	if ((s - w == 4 && s < end && *s == '-') ||
	    (s - w == 2 && s < end && *s == ':'))
		return "dates and times are not supported";
	if (*w == '+' || *w == '-')
		w++;
	if (end - w == 3 && (memcmp(w, "inf", 3) == 0 ||
	    memcmp(w, "nan", 3) == 0))
		return "floats are not supported";
	for (s = w; s < end && (digit(*s) < 10 || *s == '_'); s++)
		;
	if (s > w && s < end && (*s == '.' || *s == 'e' || *s == 'E') &&
	    memchr(s + 1, '.', (size_t)(end - s - 1)) == NULL)
		return "floats are not supported";	/* not 127.0.0.1 */
	if (s == end && s - w > 1 && *w == '0')
		return "a number cannot begin with 0; octal is 0o17";
	return "not a value; a string needs quotes";
}

/* A value without quotes or brackets. */
static bool
read_word(struct parser *p, struct toml *v)
{
	const char *w = p->p;
	size_t n;

	while (is_bare(peek(p)) || peek(p) == '+' || peek(p) == '.' ||
	    peek(p) == ':')
		p->p++;
	n = (size_t)(p->p - w);
	if (n == 0 && ((unsigned char)peek(p) <= ' ' ||
	    strchr("#,]}", peek(p)) != NULL))
		return fail(p, "a value is missing");
	if (n == 0)
		return fail(p, "not a value; a string needs quotes");
	if ((n == 4 && memcmp(w, "true", n) == 0) ||
	    (n == 5 && memcmp(w, "false", n) == 0)) {
		v->type = TOML_BOOLEAN;
		v->integer = n == 4;
		return true;
	}
	v->type = TOML_INTEGER;
	switch (integer(w, n, &v->integer)) {
	case 1:
		return true;
	case 0:
		return fail(p, "%s", no_integer(w, n));
	default:
		return fail(p, "a number beyond 64 bits");
	}
}

static bool read_value(struct parser *p, struct node *n);

static bool
read_array(struct parser *p, struct node *a)
{
	struct node *n;

	p->p++;
	for (;;) {
		skip_lines(p);
		if (take(p, ']'))
			return true;
		if ((n = add(p, a, NULL, CLOSED)) == NULL || !read_value(p, n))
			return false;
		skip_lines(p);
		if (take(p, ']'))
			return true;
		if (!take(p, ','))
			return fail(p, "',' or ']' is missing in the array of "
			    "line %u", a->v.line);
	}
}

/* key = value, in t */
static bool
read_pair(struct parser *p, struct node *t)
{
	const char *outer = p->key;
	struct node *n;

	if ((t = walk(p, t, DOTTED, &p->key)) == NULL)
		return false;
	if ((n = find(t, p->key)) != NULL)
		return fail_twice(p, n);
	if (!take(p, '='))
		return fail(p, "'=' is missing, or the key needs quotes");
	skip_blanks(p);
	if ((n = add(p, t, p->key, CLOSED)) == NULL || !read_value(p, n))
		return false;
	p->key = outer;
	return true;
}

static bool
read_inline(struct parser *p, struct node *t)
{
	p->p++;
	skip_blanks(p);
	if (take(p, '}'))
		return true;
	for (;;) {
		if (!read_pair(p, t))
			return false;
		skip_blanks(p);
		if (take(p, '}'))
			return true;
		if (!take(p, ','))
			return fail(p, "',' or '}' is missing on this line");
	}
}

static bool
read_value(struct parser *p, struct node *n)
{
	switch (peek(p)) {
	case '"':
	case '\'':
		n->v.type = TOML_STRING;
		n->v.string = read_string(p, triple(p, *p->p));
		return n->v.string != NULL;
	case '[':
		n->v.type = TOML_ARRAY;
		return read_array(p, n);
	case '{':
		return read_inline(p, n);	/* a table already */
	default:
		return read_word(p, &n->v);
	}
}

/* ---- the file ---- */

/* [table] or [[array]]: the table that the next lines are for, or NULL after
 * fail(). */
static struct node *
read_header(struct parser *p)
{
	struct node *t = &p->tree->root, *n;
	const char *key;
	bool rows;

	p->p++;
	rows = take(p, '[');
	if ((t = walk(p, t, NAMED, &key)) == NULL)
		return NULL;
	if (!take(p, ']') || (rows && !take(p, ']'))) {
		fail(p, "%s is missing behind [%s%.60s",
		    rows ? "]]" : "]", rows ? "[" : "", key);
		return NULL;
	}
	n = find(t, key);
	if (n == NULL && !rows)
		return add(p, t, key, HEADER);
	if (n == NULL && (n = add(p, t, key, ROWS)) == NULL)
		return NULL;
	if (rows && n->v.made == ROWS)
		return add(p, n, NULL, HEADER);
	if (rows || n->v.made != NAMED) {
		fail_twice(p, n);
		return NULL;
	}
	n->v.made = HEADER;
	return n;
}

static bool
read_file(struct parser *p)
{
	struct node *t = &p->tree->root;

	if (p->end - p->p >= 3 && memcmp(p->p, "\xef\xbb\xbf", 3) == 0)
		p->p += 3;	/* some editors begin every file with this */
	for (;;) {
		skip_lines(p);
		if (p->p == p->end)
			return true;
		if (peek(p) == '[') {
			if ((t = read_header(p)) == NULL)
				return false;
		} else if (!read_pair(p, t)) {
			return false;
		}
		skip_comment(p);
		if (p->p < p->end && !take_newline(p))
			return fail(p, "a new line should begin at '%c'",
			    *p->p);
	}
}

struct toml *
toml_read(const char *text, size_t n, char *why, size_t cap)
{
	struct parser p = { .p = text, .end = text + n, .line = 1, .why = why,
		.cap = cap };

	if (n > CONF_MAX) {
		fail(&p, "longer than %d bytes", CONF_MAX);
		return NULL;
	}
	if ((p.tree = calloc(1, sizeof *p.tree + n + 1)) == NULL) {
		fail(&p, "out of memory");
		return NULL;
	}
	p.text = p.tree->text;
	p.text_end = p.text + n + 1;
	p.tree->root.v.type = TOML_TABLE;
	p.tree->root.v.made = HEADER;
	p.tree->root.v.line = 1;
	if (!check_bytes(&p) || !read_file(&p)) {
		toml_free(&p.tree->root.v);
		return NULL;
	}
	return &p.tree->root.v;
}

void
toml_free(struct toml *root)
{
	struct tree *tree = (struct tree *)root;
	struct block *b;

	if (tree == NULL)
		return;
	while ((b = tree->blocks) != NULL) {
		tree->blocks = b->next;
		free(b);
	}
	free(tree);
}

const struct toml *
toml_get(const struct toml *t, const char *key)
{
	const struct toml *c;

	if (t == NULL || t->type != TOML_TABLE)
		return NULL;
	for (c = t->first; c != NULL; c = c->next)
		if (strcmp(c->key, key) == 0)
			return c;
	return NULL;
}
