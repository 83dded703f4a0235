/* rules.c - [advanced] of the configuration file: fields, redirects, rewrites,
 * virtual hosts.
 *
 * Reads values that toml.c made, answers questions about paths.  What it writes
 * into a Location or a new target comes from names that a client chose, so each
 * byte of a capture is escaped for the place it gets to: it can neither end the
 * field nor become another host, a query or a fragment. */
#include "sws.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct block {		/* one piece of memory of the rules */
	struct block *next;
	max_align_t mem[];
};

struct line {
	const char *text;	/* "name: value\r\n" */
	size_t n;
	unsigned name;		/* its number */
};

struct rule {
	struct rule *next, *prev;
	struct glob *source;	/* owned; NULL: every path */
	const char *host;	/* of a redirect, or NULL */
	const char *destination;
	int status;		/* of a redirect; 0: a rewrite inside */
	const uint16_t *only;	/* of headers: for these statuses, */
	unsigned nonly;		/* or 0: for all */
	struct line *line;
	unsigned nlines;
	uint32_t names;		/* bits by number */
};

struct list {
	struct rule *first, *last;
};

struct rules {
	struct block *blocks;
	struct list headers, redirects, rewrites;
	struct vhost *host;	/* HOSTS_MAX of them, or NULL */
	unsigned nhosts;
	/* No answer has two fields of one name, so it is enough that the
	 * longest of each name fit. */
	struct {
		const char *line;
		size_t n, longest;
	} name[SITE_LINES];
	unsigned nnames;
	size_t bytes;
	bool cache;
	int64_t capacity, largest;
};
_Static_assert(SITE_LINES <= 32, "names have bits in a uint32_t");

struct rules *
rules_new(void)
{
	return calloc(1, sizeof(struct rules));
}

static void
free_list(struct list *l)
{
	struct rule *p;

	for (p = l->first; p != NULL; p = p->next)
		glob_free(p->source);
}

void
rules_free(struct rules *r)
{
	struct block *b, *next;

	if (r == NULL)
		return;
	free_list(&r->headers);
	free_list(&r->redirects);
	free_list(&r->rewrites);
	for (b = r->blocks; b != NULL; b = next) {
		next = b->next;
		free(b);
	}
	free(r);
}

/* n zero bytes that live as long as the rules, or NULL. */
static void *
take(struct rules *r, size_t n)
{
	struct block *b = calloc(1, sizeof(*b) + n);

	if (b == NULL)
		return NULL;
	b->next = r->blocks;
	r->blocks = b;
	return b->mem;
}

static const char *
keep(struct rules *r, const char *s)
{
	size_t n = strlen(s) + 1;
	char *p = take(r, n);

	return p != NULL ? memcpy(p, s, n) : NULL;
}

static struct rule *
add_rule(struct rules *r, struct list *l)
{
	struct rule *p = take(r, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->prev = l->last;
	if (l->first == NULL)
		l->first = p;
	else
		l->last->next = p;
	l->last = p;
	return p;
}

/* ---- fields ------------------------------------------------------------- */

static bool
alnum(int c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	    (c >= 'A' && c <= 'Z');
}

/* Fields that say where an answer ends or what becomes of the connection are
 * conn.c's and h2.c's business; date is the clock's. */
static bool
ours(struct str name)
{
	static const char *const not[] = { "connection", "content-length",
	    "date", "keep-alive", "proxy-connection", "te", "trailer",
	    "transfer-encoding", "upgrade" };
	size_t i;

	for (i = 0; i < sizeof(not) / sizeof(not[0]); i++)
		if (strlen(not[i]) == name.n &&
		    strncasecmp(not[i], name.p, name.n) == 0)
			return true;
	return false;
}

/* The number of the name that line begins with; SITE_LINES: too many. */
static unsigned
number(struct rules *r, const char *line, size_t n)
{
	unsigned i;

	for (i = 0; i < r->nnames; i++)
		if (r->name[i].n == n && memcmp(r->name[i].line, line, n) == 0)
			return i;
	if (i < SITE_LINES) {
		r->name[i].line = line;
		r->name[i].n = n;
		r->nnames++;
	}
	return i;
}

/* Add a field to those of p, which has room for it.  NULL, or what is wrong
 * with it. */
static const char *
add_field(struct rules *r, struct rule *p, struct str name, struct str value)
{
	struct line *l = &p->line[p->nlines];
	char *text;
	size_t i;

	while (value.n > 0 && (*value.p == ' ' || *value.p == '\t'))
		value.p++, value.n--;
	while (value.n > 0 && (value.p[value.n - 1] == ' ' ||
	    value.p[value.n - 1] == '\t'))
		value.n--;
	for (i = 0; i < name.n; i++)
		if (name.p[i] == '\0' || (!alnum(name.p[i]) &&
		    strchr("!#$%&'*+-.^_`|~", name.p[i]) == NULL))
			break;
	if (name.n == 0 || i < name.n)
		return "not a field's name";
	if (ours(name))
		return "a field that sws sets itself";
	for (i = 0; i < value.n; i++)
		if (((unsigned char)value.p[i] < ' ' && value.p[i] != '\t') ||
		    value.p[i] == 0x7f)
			return "a control character in the value";
	if (name.n + value.n > SITE_FIELDS)
		return "too long";
	l->n = name.n + value.n + 4;
	text = take(r, l->n + 1);
	if (text == NULL)
		return "no memory";
	for (i = 0; i < name.n; i++)
		text[i] = (char)(name.p[i] >= 'A' && name.p[i] <= 'Z' ?
		    name.p[i] | 0x20 : name.p[i]);
	memcpy(text + name.n, ": ", 2);
	memcpy(text + name.n + 2, value.p, value.n);
	memcpy(text + l->n - 2, "\r\n", 3);
	l->text = text;
	l->name = number(r, text, name.n);
	if (l->name == SITE_LINES)
		return "more than 24 different fields";
	if (l->n > r->name[l->name].longest) {
		r->bytes += l->n - r->name[l->name].longest;
		r->name[l->name].longest = l->n;
	}
	if (r->bytes > SITE_FIELDS)
		return "more than 4096 bytes of fields";
	p->names |= (uint32_t)1 << l->name;
	p->nlines++;
	return NULL;
}

const char *
rules_header(struct rules *r, const char *line)
{
	const char *colon = strchr(line, ':');
	struct rule *p = add_rule(r, &r->headers);

	if (colon == NULL)
		return "no colon";
	if (p == NULL || (p->line = take(r, sizeof(*p->line))) == NULL)
		return "no memory";
	return add_field(r, p, (struct str){ line, (size_t)(colon - line) },
	    (struct str){ colon + 1, strlen(colon + 1) });
}

static bool
wanted(const struct rule *p, int status)
{
	unsigned i;

	for (i = 0; i < p->nonly; i++)
		if (p->only[i] == status)
			return true;
	return p->nonly == 0;
}

static bool
match(const struct rule *p, struct str path, struct str *cap)
{
	return p->source == NULL || glob_match(p->source, path, cap) >= 0;
}

void
rules_fields(const struct rules *r, struct str path, struct str other,
    int status, void (*each)(void *arg, const char *line, size_t n), void *arg)
{
	struct str cap[GLOB_CAPTURES];
	const struct line *found[SITE_LINES];
	const struct rule *p;
	uint32_t names = 0;
	unsigned n = 0, i;

	/* from the last one: it wins */
	for (p = r->headers.last; p != NULL && n < r->nnames; p = p->prev) {
		if ((p->names & ~names) == 0 || !wanted(p, status) ||
		    !(match(p, path, cap) || (other.n > 0 &&
		    match(p, other, cap))))
			continue;
		for (i = p->nlines; i-- > 0; )
			if ((names >> p->line[i].name & 1) == 0) {
				names |= (uint32_t)1 << p->line[i].name;
				found[n++] = &p->line[i];
			}
	}
	while (n-- > 0)
		each(arg, found[n]->text, found[n]->n);
}

bool
rules_any_fields(const struct rules *r)
{
	return r->nnames > 0;
}

/* ---- hosts -------------------------------------------------------------- */

/* A Host field's or a rule's host without port, brackets and the dot behind
 * it. */
static struct str
host_name(struct str host, struct str *port)
{
	const char *end = host.p + host.n, *colon;

	*port = (struct str){ end, 0 };
	if (host.n > 0 && *host.p == '[') {
		host.p++;
		host.n--;
		colon = memchr(host.p, ']', host.n);
		if (colon == NULL)
			return host;
		host.n = (size_t)(colon - host.p);
		if (end - colon > 2 && colon[1] == ':')
			*port = (struct str){ colon + 2,
			    (size_t)(end - colon - 2) };
		return host;
	}
	colon = memchr(host.p, ':', host.n);
	/* two colons, no brackets: an IPv6 address in the configuration */
	if (colon != NULL &&
	    memchr(colon + 1, ':', (size_t)(end - colon - 1)) == NULL) {
		*port = (struct str){ colon + 1, (size_t)(end - colon - 1) };
		host.n = (size_t)(colon - host.p);
	}
	if (host.n > 0 && host.p[host.n - 1] == '.')
		host.n--;
	return host;
}

static bool
same(struct str a, struct str b)
{
	return a.n == b.n && strncasecmp(a.p, b.p, a.n) == 0;
}

/* Is `host`, a Host field, the one a rule names?  Its port counts when the rule
 * has one. */
static bool
same_host(const char *rule, struct str host)
{
	struct str want_port, port;
	struct str want = host_name((struct str){ rule, strlen(rule) },
	    &want_port);

	return same(want, host_name(host, &port)) &&
	    (want_port.n == 0 || same(want_port, port));
}

unsigned
rules_hosts(const struct rules *r, struct vhost **v)
{
	*v = r->host;
	return r->nhosts;
}

const struct vhost *
rules_host(const struct rules *r, struct str host)
{
	unsigned i;

	for (i = 0; i < r->nhosts; i++)
		if (same_host(r->host[i].host, host))
			return &r->host[i];
	return NULL;
}

bool
rules_cache(const struct rules *r, int64_t *capacity, int64_t *largest)
{
	if (r->cache) {
		*capacity = r->capacity;
		*largest = r->largest;
	}
	return r->cache;
}

/* ---- destinations ------------------------------------------------------- */

enum place { HOST, PATH, QUERY };

/* May this byte of a capture stand there as it is? */
static bool
plain(int c, enum place place)
{
	if (alnum(c) || c == '-' || c == '.')
		return true;
	if (c == '\0' || place == HOST)
		return false;
	return strchr("_~!$'()*,/:@", c) != NULL ||
	    (place == PATH && strchr("&+;=", c) != NULL);
}

/* And this one of a destination, or of a query? */
static bool
plain_uri(int c)
{
	return c != '\0' && (alnum(c) ||
	    strchr("-._~:/?#[]@!$&'()*+,;=%", c) != NULL);
}

struct out {
	char *p;
	size_t n, cap;		/* n > cap: it did not fit */
};

static void
put(struct out *o, int c, bool as_it_is)
{
	static const char hex[] = "0123456789ABCDEF";
	unsigned char b = (unsigned char)c;
	size_t n = as_it_is ? 1 : 3;

	if (o->n + n > o->cap) {
		o->n = o->cap + 1;
		return;
	}
	o->p[o->n++] = as_it_is ? (char)b : '%';
	if (!as_it_is) {
		o->p[o->n++] = hex[b >> 4];
		o->p[o->n++] = hex[b & 15];
	}
}

static void
put_query(struct out *o, struct str query, bool first)
{
	size_t i;

	if (query.n == 0)
		return;
	if (first)
		put(o, '?', true);
	else if (o->n > 0 && o->n <= o->cap && o->p[o->n - 1] != '?' &&
	    o->p[o->n - 1] != '&')
		put(o, '&', true);
	for (i = 0; i < query.n; i++)
		put(o, query.p[i], query.p[i] != '#' && plain_uri(query.p[i]));
}

/* Where a destination names a host: [*from, *to), or from == NULL. */
static void
authority(const char *d, const char **from, const char **to)
{
	const char *p = d;

	*from = *to = NULL;
	while (alnum(*p) || (*p != '\0' && strchr("+-.", *p) != NULL))
		p++;
	if (p > d && *p == ':')
		p++;
	if (p[0] == '/' && p[1] == '/' && (p == d || p[-1] == ':')) {
		*from = p + 2;
		*to = *from + strcspn(*from, "/?#");
	}
}

/* p's destination with its captures into dst, with query behind its own; only
 * the path of it when it is a rewrite.  The length, below cap; 0: longer. */
static size_t
expand(const struct rule *p, const struct str *captures, unsigned ncap,
    struct str query, char *dst, size_t cap)
{
	struct out o = { .p = dst, .cap = cap - 1 };
	const char *d = p->destination, *from, *to;
	bool local = d[0] == '$' || (d[0] == '/' && d[1] != '/');
	bool asked = false, done = false;
	size_t i, slashes;

	authority(d, &from, &to);
	if (local)
		put(&o, '/', true);
	for (; *d != '\0'; d++) {
		enum place place = from != NULL && d < to ? HOST :
		    asked || done ? QUERY : PATH;
		const struct str *c;

		if ((*d == '?' || *d == '#') && p->status == 0)
			break;
		if (*d == '#' && !done) {
			put_query(&o, query, !asked);
			done = true;
		}
		asked |= *d == '?';
		if (*d != '$' || d[1] < '0' || d[1] >= '0' + (int)ncap) {
			put(&o, *d, plain_uri(*d));
			continue;
		}
		c = &captures[*++d - '0'];
		if (place == HOST && c->n > 0 && (*c->p == '/' ||
		    (d + 1 == to && d - 1 > from &&
		    (*to == '\0' || alnum(d[-2]))))) {
			/* behind the host: the path begins, with a slash */
			if (*c->p != '/')
				put(&o, '/', true);
			to = from;
			place = PATH;
		}
		for (i = 0; i < c->n; i++)
			put(&o, c->p[i], plain(c->p[i], place));
	}
	if (!done)
		put_query(&o, query, !asked);
	if (o.n > o.cap)
		return 0;
	/* "//x" would be a host: one slash leads to this one */
	for (slashes = 0; local && slashes < o.n && dst[slashes] == '/'; )
		slashes++;
	if (slashes > 1) {
		o.n -= slashes - 1;
		memmove(dst, dst + slashes - 1, o.n);
	}
	dst[o.n] = '\0';
	return o.n;
}

/* The first rule for this path and host; its captures. */
static const struct rule *
find(const struct rule *p, struct str host, struct str path, struct str *cap)
{
	for (; p != NULL; p = p->next)
		if ((p->host == NULL || same_host(p->host, host)) &&
		    glob_match(p->source, path, cap) >= 0)
			return p;
	return NULL;
}

int
rules_redirect(const struct rules *r, struct str host, struct str path,
    struct str query, char *dst, size_t cap)
{
	struct str c[GLOB_CAPTURES];
	const struct rule *p = find(r->redirects.first, host, path, c);

	if (p == NULL) {
		p = find(r->rewrites.first, host, path, c);
		if (p == NULL || p->status == 0)
			return 0;
		query.n = 0;	/* SWS's way */
	}
	return expand(p, c, glob_captures(p->source), query, dst, cap) > 0 ?
	    p->status : 414;
}

int
rules_rewrite(const struct rules *r, struct str path, char *dst, size_t cap,
    size_t *n)
{
	struct str c[GLOB_CAPTURES], none = { "", 0 };
	const struct rule *p = find(r->rewrites.first, none, path, c);

	if (p == NULL || p->status != 0)
		return 0;
	*n = expand(p, c, glob_captures(p->source), none, dst, cap);
	return *n > 0 ? 200 : 414;
}

/* ---- reading ------------------------------------------------------------ */

struct reader {
	struct rules *r;
	const char *section;	/* for messages */
	char *why;
	size_t cap;
	void (*unknown)(unsigned line, const char *key);
};

static const char *fail(struct reader *rd, unsigned line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static const char *
fail(struct reader *rd, unsigned line, const char *fmt, ...)
{
	va_list ap;
	int n = snprintf(rd->why, rd->cap, "%u: %s: ", line, rd->section);

	va_start(ap, fmt);
	if (n > 0 && (size_t)n < rd->cap)
		vsnprintf(rd->why + n, rd->cap - (size_t)n, fmt, ap);
	va_end(ap);
	return rd->why;
}

enum { NEEDED = 1 << 8 };

struct key {
	const char *name;
	unsigned types;		/* bits of enum toml_type, and NEEDED */
};

static const char *
type_names(unsigned types)
{
	return types & 1u << TOML_STRING ? "a string" :
	    types & 1u << TOML_TABLE ? "a table" :
	    types & 1u << TOML_ARRAY ? types & 1u << TOML_INTEGER ?
	    "a number or an array of them" : "an array of tables" : "a number";
}

/* The n keys k of table t into v[]; others are told. */
static const char *
read_keys(struct reader *rd, const struct toml *t, const struct key *k,
    unsigned n, const struct toml **v)
{
	const struct toml *e;
	unsigned i;

	memset(v, 0, n * sizeof(v[0]));
	for (e = t->first; e != NULL; e = e->next) {
		for (i = 0; i < n && strcmp(k[i].name, e->key) != 0; i++)
			;
		if (i == n)
			rd->unknown(e->line, e->key);
		else if ((k[i].types >> e->type & 1) == 0)
			return fail(rd, e->line, "%s has to be %s", e->key,
			    type_names(k[i].types));
		else
			v[i] = e;
	}
	for (i = 0; i < n; i++)
		if (v[i] == NULL && (k[i].types & NEEDED) != 0)
			return fail(rd, t->line, "%s is missing", k[i].name);
	return NULL;
}

static const char *
read_source(struct reader *rd, struct rule *p, const struct toml *v, bool loose)
{
	const char *why;

	p->source = glob_new(v->string, loose, &why);
	return p->source != NULL ? NULL :
	    fail(rd, v->line, "source \"%s\": %s", v->string, why);
}

static const char *
read_statuses(struct reader *rd, struct rule *p, const struct toml *v)
{
	const struct toml *e, *first = v->type == TOML_ARRAY ? v->first : v;
	const struct toml *end = v->type == TOML_ARRAY ? NULL : v->next;
	uint16_t *only;
	unsigned n = 0;

	for (e = first; e != end; e = e->next, n++)
		if (e->type != TOML_INTEGER || e->integer < 100 ||
		    e->integer > 599)
			return fail(rd, e->line, "status is not from 100 to "
			    "599");
	if (n == 0)
		return fail(rd, v->line, "status names none");
	only = take(rd->r, n * sizeof(*only));
	if (only == NULL)
		return fail(rd, v->line, "no memory");
	p->only = only;
	for (e = first; e != end; e = e->next)
		only[p->nonly++] = (uint16_t)e->integer;
	return NULL;
}

static const char *
read_headers(struct reader *rd, const struct toml *t)
{
	static const struct key keys[] = {
		{ "source", 1 << TOML_STRING | NEEDED },
		{ "headers", 1 << TOML_TABLE | NEEDED },
		{ "status", 1 << TOML_INTEGER | 1 << TOML_ARRAY },
	};
	const struct toml *v[3], *e;
	const char *why = read_keys(rd, t, keys, 3, v);
	struct rule *p;
	size_t n = 0;

	if (why != NULL)
		return why;
	for (e = v[1]->first; e != NULL; e = e->next)
		n++;
	if (n == 0)
		return fail(rd, v[1]->line, "headers is empty");
	if ((p = add_rule(rd->r, &rd->r->headers)) == NULL ||
	    (p->line = take(rd->r, n * sizeof(*p->line))) == NULL)
		return fail(rd, t->line, "no memory");
	if ((why = read_source(rd, p, v[0], true)) != NULL)
		return why;
	if (v[2] != NULL && (why = read_statuses(rd, p, v[2])) != NULL)
		return why;
	for (e = v[1]->first; e != NULL; e = e->next) {
		if (e->type != TOML_STRING)
			return fail(rd, e->line, "%s has to be a string",
			    e->key);
		why = add_field(rd->r, p,
		    (struct str){ e->key, strlen(e->key) },
		    (struct str){ e->string, strlen(e->string) });
		if (why != NULL)
			return fail(rd, e->line, "\"%s\": %s", e->key, why);
	}
	return NULL;
}

static const char *
read_destination(struct reader *rd, struct rule *p, const struct toml *v)
{
	const char *d = v->string, *from, *to;
	int n = (int)glob_captures(p->source);

	if (strlen(v->string) >= LOCATION / 4)
		return fail(rd, v->line, "destination is longer than %d bytes",
		    LOCATION / 4 - 1);
	/* SWS takes another host's name here and looks for its virtual host */
	if (p->status == 0 && *d != '$' && (*d != '/' || d[1] == '/'))
		return fail(rd, v->line, "destination has to begin with one /");
	authority(d, &from, &to);
	if (*d != '$' && *d != '/' && from == NULL)
		return fail(rd, v->line, "destination has to begin with / or "
		    "a scheme and ://");
	for (d = v->string; *d != '\0'; d++) {
		if ((unsigned char)*d < ' ' || *d == 0x7f)
			return fail(rd, v->line, "a control character in "
			    "destination");
		if (*d == '$' && d[1] >= '0' + n && d[1] <= '9')
			return fail(rd, v->line, "destination has $%c, but "
			    "there are %d groups in source", d[1], n - 1);
	}
	p->destination = keep(rd->r, v->string);
	return p->destination != NULL ? NULL : fail(rd, v->line, "no memory");
}

static const char *
read_kind(struct reader *rd, struct rule *p, const struct toml *v)
{
	if (v->integer != 301 && v->integer != 302 && v->integer != 307 &&
	    v->integer != 308)
		return fail(rd, v->line, "%s has to be 301, 302, 307 or 308",
		    v->key);
	p->status = (int)v->integer;
	return NULL;
}

/* A name, perhaps with a port, and nothing else. */
static const char *
read_host(struct reader *rd, const struct toml *v, bool port_too)
{
	struct str port, name = host_name((struct str){ v->string,
	    strlen(v->string) }, &port);
	const char *p;

	for (p = v->string; *p != '\0'; p++)
		if (!alnum(*p) && strchr("-._~:[]", *p) == NULL &&
		    (unsigned char)*p < 0x80)
			break;
	if (name.n == 0 || *p != '\0')
		return fail(rd, v->line, "host \"%s\" is no name of a host",
		    v->string);
	if (!port_too && port.n > 0)
		return fail(rd, v->line, "host \"%s\" has a port, and that "
		    "does not count", v->string);
	return NULL;
}

static const char *
read_redirects(struct reader *rd, const struct toml *t)
{
	static const struct key keys[] = {
		{ "source", 1 << TOML_STRING | NEEDED },
		{ "destination", 1 << TOML_STRING | NEEDED },
		{ "kind", 1 << TOML_INTEGER | NEEDED },
		{ "host", 1 << TOML_STRING },
	};
	const struct toml *v[4];
	const char *why = read_keys(rd, t, keys, 4, v);
	struct rule *p;

	if (why != NULL)
		return why;
	if ((p = add_rule(rd->r, &rd->r->redirects)) == NULL)
		return fail(rd, t->line, "no memory");
	if ((why = read_source(rd, p, v[0], false)) != NULL ||
	    (why = read_kind(rd, p, v[2])) != NULL ||
	    (why = read_destination(rd, p, v[1])) != NULL || v[3] == NULL)
		return why;
	p->host = keep(rd->r, v[3]->string);
	return p->host != NULL ? read_host(rd, v[3], true) :
	    fail(rd, v[3]->line, "no memory");
}

static const char *
read_rewrites(struct reader *rd, const struct toml *t)
{
	static const struct key keys[] = {
		{ "source", 1 << TOML_STRING | NEEDED },
		{ "destination", 1 << TOML_STRING | NEEDED },
		{ "redirect", 1 << TOML_INTEGER },
	};
	const struct toml *v[3];
	const char *why = read_keys(rd, t, keys, 3, v);
	struct rule *p;

	if (why != NULL)
		return why;
	if ((p = add_rule(rd->r, &rd->r->rewrites)) == NULL)
		return fail(rd, t->line, "no memory");
	if ((why = read_source(rd, p, v[0], false)) == NULL && v[2] != NULL)
		why = read_kind(rd, p, v[2]);
	return why != NULL ? why : read_destination(rd, p, v[1]);
}

static const char *
read_hosts(struct reader *rd, const struct toml *t)
{
	static const struct key keys[] = {
		{ "host", 1 << TOML_STRING | NEEDED },
		{ "root", 1 << TOML_STRING | NEEDED },
		{ "tls-cert", 1 << TOML_STRING },
		{ "tls-key", 1 << TOML_STRING },
	};
	struct rules *r = rd->r;
	const struct toml *v[4];
	const char *why = read_keys(rd, t, keys, 4, v);
	struct str port;
	struct vhost *h;
	unsigned i;

	if (why != NULL || (why = read_host(rd, v[0], false)) != NULL)
		return why;
	if (rules_host(r, host_name((struct str){ v[0]->string,
	    strlen(v[0]->string) }, &port)) != NULL)
		return fail(rd, v[0]->line, "host \"%s\" is there twice",
		    v[0]->string);
	for (i = 1; i < 4; i++)
		if (v[i] != NULL && v[i]->string[0] == '\0')
			return fail(rd, v[i]->line, "%s is empty", v[i]->key);
	if ((v[2] == NULL) != (v[3] == NULL))
		return fail(rd, t->line, "tls-cert and tls-key belong "
		    "together");
	if (r->nhosts == HOSTS_MAX)
		return fail(rd, t->line, "more than %d", HOSTS_MAX);
	if (r->host == NULL)
		r->host = take(r, HOSTS_MAX * sizeof(*r->host));
	if (r->host == NULL)
		return fail(rd, t->line, "no memory");
	h = &r->host[r->nhosts];
	h->fd = -1;
	h->host = keep(r, v[0]->string);
	h->root = keep(r, v[1]->string);
	if (v[2] != NULL) {
		h->cert = keep(r, v[2]->string);
		h->key = keep(r, v[3]->string);
	}
	if (h->host == NULL || h->root == NULL ||
	    (v[2] != NULL && (h->cert == NULL || h->key == NULL)))
		return fail(rd, t->line, "no memory");
	r->nhosts++;
	return NULL;
}

/* SWS counts files, 100 when nothing is said and 100,000 at most, and their
 * size in KiB, 8192 and 32,768; so this is what it would take at most. */
static const char *
read_cache(struct reader *rd, const struct toml *t)
{
	static const struct key keys[] = {
		{ "capacity", 1 << TOML_INTEGER },
		{ "max-file-size", 1 << TOML_INTEGER },
	};
	static const int64_t most[] = { 100000, 32768 };
	int64_t n[] = { 100, 8192 };
	const struct toml *v[2];
	const char *why = read_keys(rd, t, keys, 2, v);
	unsigned i;

	if (why != NULL)
		return why;
	for (i = 0; i < 2; i++) {
		if (v[i] == NULL)
			continue;
		if (v[i]->integer < 0)
			return fail(rd, v[i]->line, "%s is negative",
			    v[i]->key);
		n[i] = v[i]->integer < most[i] ? v[i]->integer : most[i];
	}
	rd->r->cache = true;
	rd->r->largest = n[1] * 1024;
	rd->r->capacity = n[0] * rd->r->largest;
	return NULL;
}

const char *
rules_read(struct rules *r, const struct toml *advanced, char *why, size_t cap,
    void (*unknown)(unsigned line, const char *key))
{
	static const struct key keys[] = {
		{ "headers", 1 << TOML_ARRAY },
		{ "redirects", 1 << TOML_ARRAY },
		{ "rewrites", 1 << TOML_ARRAY },
		{ "virtual-hosts", 1 << TOML_ARRAY },
		{ "memory-cache", 1 << TOML_TABLE },
	};
	static const char *(*const read[])(struct reader *,
	    const struct toml *) = {
		read_headers, read_redirects, read_rewrites, read_hosts,
		read_cache,
	};
	struct reader rd = { .r = r, .section = "advanced", .why = why,
	    .cap = cap, .unknown = unknown };
	const struct toml *v[5], *e;
	const char *bad;
	unsigned i;

	if (advanced == NULL)
		return NULL;
	if (advanced->type != TOML_TABLE)
		return fail(&rd, advanced->line, "not a table");
	bad = read_keys(&rd, advanced, keys, 5, v);
	for (i = 0; i < 5 && bad == NULL; i++) {
		if (v[i] == NULL)
			continue;
		rd.section = v[i]->key;
		if (v[i]->type == TOML_TABLE)
			bad = read[i](&rd, v[i]);
		else
			for (e = v[i]->first; e != NULL && bad == NULL;
			    e = e->next)
				bad = e->type == TOML_TABLE ? read[i](&rd, e) :
				    fail(&rd, e->line, "not a table");
	}
	return bad;
}
