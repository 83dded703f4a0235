/* glob.c - patterns of paths, as SWS reads them.
 *
 * SWS makes a regular expression of a pattern and uses its groups.  These are
 * its rules, with S for a slash and . for any character, slashes too:
 *
 *	?	one character that is no slash: [^S]
 *	*	[^S]*
 *	[a-z]	one of these; [!a-z] and [^a-z] none of these; never a slash.
 *		] as the first, - as the first or last and any backslash stand
 *		for themselves
 *	{a,b}	(a|b), a group; groups nest.  An empty choice is left out:
 *		{a,} is (a)
 *	{**}	(.*), a group; only this: {a,**} has two stars
 *	**	alone: .*, no group
 *	**S	where a pattern or a choice begins: (S?|.*S), a group; a
 *		pattern that is only this: .*, no group
 *	S**S	elsewhere: (S|S.*S), a group; more of them in a row are one
 *	S**	where a pattern or a choice ends: S.*, no group
 *	**	elsewhere: two stars, which are as good as one
 *	\x	x itself
 *
 * Groups count as they open: $1 is the first.  A match is of the whole text and
 * prefers the earlier choice and the longer star, from left to right, as Perl's
 * and Rust's expressions do.  In a loose pattern ? * [ ] take slashes as well:
 * SWS reads those of headers so.
 *
 * A character is one of UTF-8, or a byte that belongs to none.
 *
 * A pattern becomes a list of nodes, and matching only goes forward in it.  So
 * once a star, or the end of a group, has been tried at some place of the text
 * and that came to nothing, it never has to be tried there again.  A bit for
 * each of them and each place keeps the time below the product of the lengths.
 */
#include "sws.h"

#include <stdlib.h>
#include <string.h>

enum op {
	LITERAL,	/* text */
	ANY,		/* ? */
	STAR,
	CLASS,		/* text: what stands between the brackets */
	OPEN,		/* a group begins with its first choice */
	COMMA,		/* a choice ends; behind it the next one begins */
	CLOSE,
	END
};

enum { NODES = 3 * GLOB_MAX };	/* the worst: seven for the three bytes of a
				   double star and a slash, and the end */

struct node {
	uint8_t op;
	bool slash;		/* ANY, STAR, CLASS: takes one */
	uint8_t groups;		/* opened so far, this one included */
	uint8_t group;		/* OPEN, CLOSE: which */
	uint16_t off, len;	/* of the text */
	uint16_t next;		/* OPEN, COMMA: the next COMMA, or 0 */
	uint16_t end;		/* COMMA: its CLOSE */
	uint16_t row;		/* STAR, CLOSE: of bits, from 1; 0 = none */
};

struct glob {
	unsigned rows, groups;
	unsigned last;		/* the END */
	char text[GLOB_MAX];
	struct node node[];
};

/* ---- characters --------------------------------------------------------- */

/* The length of the character at p, and which one it is; bytes that are not
 * UTF-8 get numbers behind Unicode's. */
static unsigned
character(const char *s, size_t n, uint32_t *which)
{
	const unsigned char *p = (const unsigned char *)s;
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned len, i;
	uint32_t c = p[0];

	*which = c;
	if (c < 0x80)
		return 1;
	*which = 0x110000 + c;
	len = c < 0xc0 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf8 ? 4 : 1;
	if (len == 1 || len > n)
		return 1;
	c &= 0x7fu >> len;
	for (i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 1;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 1;
	*which = c;
	return len;
}

/* The length of the character that ends at `at`, which is behind `from`. */
static unsigned
character_before(const char *s, size_t from, size_t at)
{
	unsigned len;
	uint32_t c;

	for (len = 2; len <= 4 && len <= at - from; len++)
		if (character(s + at - len, len, &c) == len)
			return len;
	return 1;
}

/* Is c among the members of a class, "a-z_"?  -1: a range is the wrong way
 * round. */
static int
among(const char *p, size_t n, uint32_t c)
{
	const char *end = p + n;
	uint32_t lo, hi;
	int found = 0;

	while (p < end) {
		p += character(p, (size_t)(end - p), &lo);
		hi = lo;
		/* a-c-e is a-e, to globset */
		while (end - p > 1 && *p == '-') {
			p++;
			p += character(p, (size_t)(end - p), &hi);
			if (hi < lo)
				return -1;
		}
		if (lo <= c && c <= hi)
			found = 1;
	}
	return found;
}

static bool
class_takes(const char *p, size_t n, uint32_t c)
{
	if (n > 0 && (*p == '!' || *p == '^'))
		return among(p + 1, n - 1, c) == 0;
	return among(p, n, c) == 1;
}

/* ---- reading a pattern -------------------------------------------------- */

static struct {
	struct node node[NODES];
	char text[GLOB_MAX];
	unsigned n, textlen, groups;
	/* groups that are open: their OPEN, and what the choice that is being
	 * read began with, OPEN or COMMA */
	struct { unsigned open, choice; } in[GLOB_MAX];
	unsigned depth;
	bool loose;
} b;

static struct node *
add(enum op op)
{
	struct node *v = &b.node[b.n++];

	memset(v, 0, sizeof(*v));
	v->op = (uint8_t)op;
	v->groups = (uint8_t)b.groups;
	v->off = (uint16_t)b.textlen;
	return v;
}

static void
add_text(const char *p, size_t n)
{
	struct node *v = &b.node[b.n - 1];

	memcpy(b.text + b.textlen, p, n);
	b.textlen += (unsigned)n;
	v->len = (uint16_t)(v->len + n);
}

static void
add_literal(const char *p, size_t n)
{
	if (b.n == 0 || b.node[b.n - 1].op != LITERAL)
		add(LITERAL);
	add_text(p, n);
}

/* The slash that was read last. */
static void
drop_slash(void)
{
	b.textlen--;
	if (--b.node[b.n - 1].len == 0)
		b.n--;
}

static void
add_star(bool slash)
{
	struct node *v = b.n > 0 ? &b.node[b.n - 1] : NULL;

	if (v == NULL || v->op != STAR || v->slash != slash)
		v = add(STAR);
	v->slash = slash;
	v->len++;
}

static void
add_open(void)
{
	if (b.groups < GLOB_CAPTURES)
		b.groups++;	/* so the tenth and later ones are one */
	b.in[b.depth].open = b.in[b.depth].choice = b.n;
	b.depth++;
	add(OPEN)->group = (uint8_t)b.groups;
}

static void
add_comma(void)
{
	b.node[b.in[b.depth - 1].choice].next = (uint16_t)b.n;
	b.in[b.depth - 1].choice = b.n;
	/* groups in earlier choices have not been there */
	add(COMMA)->groups = b.node[b.in[b.depth - 1].open].groups;
}

static void
add_close(void)
{
	unsigned i, open = b.in[--b.depth].open;
	struct node *v = &b.node[open];

	if (b.n == open + 2 && v[1].op == STAR && v[1].len == 2)
		v[1].slash = true;	/* {**} */
	for (i = v->next; i != 0; i = b.node[i].next)
		b.node[i].end = (uint16_t)b.n;
	add(CLOSE)->group = v->group;
	b.node[b.n - 1].row = v->next != 0;
}

/* (S?|.*S) before the first segment, (S|S.*S) between two. */
static void
add_segments(bool first)
{
	add_open();
	add_literal("/", 1);
	add_comma();
	if (first)
		add_comma();
	else
		add_literal("/", 1);
	add_star(true);
	add_literal("/", 1);
	add_close();
}

/* Does the pattern, or the choice that is being read, end at p? */
static bool
ends(const char *p)
{
	return *p == '\0' || (b.depth > 0 && (*p == ',' || *p == '}'));
}

/* A double star before p, which began a choice or did not.  Returns what
 * follows. */
static const char *
take_stars(const char *p, bool begins)
{
	bool slash = !begins && p[-3] == '/';
	const char *end = p;

	while (end[0] == '/' && end[1] == '*' && end[2] == '*' &&
	    (end[3] == '/' || ends(end + 3)))
		end += 3;
	if (begins && (*p == '/' || *p == '\0')) {
		add_segments(true);
		return end + (*end == '/');
	}
	if (slash && ends(end)) {
		add_star(true);
		return end;
	}
	if (slash && *end == '/') {
		drop_slash();
		add_segments(false);
		return end + 1;
	}
	add_star(b.loose);
	add_star(b.loose);
	return p;
}

/* The members of a class at p, behind its bracket.  Returns what follows the
 * other bracket, or NULL. */
static const char *
take_class(const char *p, const char **why)
{
	const char *from = p, *end;

	if (*p == '!' || *p == '^')
		p++;
	end = *p != '\0' ? strchr(p + 1, ']') : NULL;
	if (end == NULL) {
		*why = "[ without ]";
		return NULL;
	}
	if (among(p, (size_t)(end - p), 0) < 0) {
		*why = "a range in [ ] whose end is before its start";
		return NULL;
	}
	add(CLASS)->slash = b.loose;
	add_text(from, (size_t)(end - from));
	return end + 1;
}

static const char *
take_pattern(const char *p)
{
	const char *begin = p, *why;	/* of the pattern or choice */

	while (*p != '\0') {
		const char *at = p++;

		switch (*at) {
		case '?':
			add(ANY)->slash = b.loose;
			break;
		case '*':
			if (*p == '*')
				p = take_stars(p + 1, at == begin);
			else
				add_star(b.loose);
			break;
		case '[':
			if ((p = take_class(p, &why)) == NULL)
				return why;
			break;
		case '{':
			add_open();
			begin = p;
			break;
		case '}':
			if (b.depth == 0)
				return "} without {";
			if (at == begin)
				return "nothing between { and }";
			add_close();
			begin = NULL;
			break;
		case ',':
			if (b.depth == 0) {
				add_literal(at, 1);
				break;
			}
			while (*p == ',')
				p++;
			if (at != begin && *p != '}')
				add_comma();
			begin = at != begin && *p == '}' ? NULL : p;
			break;
		case '\\':
			if (*p == '\0')
				return "a backslash at the end";
			add_literal(p++, 1);
			break;
		default:
			add_literal(at, 1);
		}
	}
	return b.depth > 0 ? "{ without }" : NULL;
}

static bool
good_utf8(const char *p)
{
	size_t n = strlen(p);
	unsigned len;
	uint32_t c;

	for (; n > 0; p += len, n -= len) {
		len = character(p, n, &c);
		if (c > 0x10ffff)
			return false;
	}
	return true;
}

struct glob *
glob_new(const char *pattern, bool loose, const char **why)
{
	struct glob *g;
	unsigned i;

	memset(&b, 0, sizeof(b));
	b.loose = loose;
	*why = NULL;
	if (strlen(pattern) > GLOB_MAX)
		*why = "longer than 512 bytes";
	else if (!good_utf8(pattern))
		*why = "not UTF-8";
	else
		*why = take_pattern(pattern);
	if (*why != NULL)
		return NULL;
	/* nothing but double stars: everything, and no group */
	if (pattern[0] == '*' && b.node[0].op == OPEN && b.n == 7) {
		b.n = b.groups = 0;
		add_star(true);
	}
	add(END);
	g = malloc(sizeof(*g) + b.n * sizeof(b.node[0]));
	if (g == NULL) {
		*why = "no memory";
		return NULL;
	}
	g->rows = 0;
	for (i = 0; i < b.n; i++)
		if (b.node[i].op == STAR || b.node[i].row != 0)
			b.node[i].row = (uint16_t)++g->rows;
	g->groups = b.groups;
	g->last = b.n - 1;
	memcpy(g->text, b.text, sizeof(g->text));
	memcpy(g->node, b.node, b.n * sizeof(b.node[0]));
	return g;
}

void
glob_free(struct glob *g)
{
	free(g);
}

unsigned
glob_captures(const struct glob *g)
{
	return g->groups < GLOB_CAPTURES ? g->groups + 1 : GLOB_CAPTURES;
}

/* ---- matching ----------------------------------------------------------- */

/* What has been tried: bit row * (length + 1) + place.  There are not more rows
 * than bytes in the pattern. */
static uint64_t tried[GLOB_MAX * PATH_LEN / 64];

/* Where to go on when the present way fails: a star can leave off at any place
 * from lo to at, a choice begins at `at`. */
static struct {
	uint16_t node, lo, at;
} way[NODES];

static uint64_t glob_steps;	/* how long it takes: for the tests */

struct walk {
	const struct glob *g;
	struct str s;
	unsigned node, depth;
	size_t at;
	unsigned opened;	/* groups on the present way, from 0 */
	size_t from[GLOB_CAPTURES + 1], to[GLOB_CAPTURES + 1];
};

/* The first time here? */
static bool
fresh(const struct walk *w, unsigned row, size_t at)
{
	size_t bit = (row - 1) * (w->s.n + 1) + at;
	uint64_t mask = (uint64_t)1 << bit % 64;

	if ((tried[bit / 64] & mask) != 0)
		return false;
	tried[bit / 64] |= mask;
	return true;
}

static void
remember(struct walk *w, unsigned node, size_t lo)
{
	way[w->depth].node = (uint16_t)node;
	way[w->depth].lo = (uint16_t)lo;
	way[w->depth].at = (uint16_t)w->at;
	w->depth++;
}

/* Take the longest stretch that has not been tried; shorter ones are left for
 * go_back(). */
static bool
take_star(struct walk *w, const struct node *v)
{
	size_t lo = w->at;
	uint32_t c;

	if (!fresh(w, v->row, lo))
		return false;
	while (w->at < w->s.n && (v->slash || w->s.p[w->at] != '/')) {
		unsigned len = character(w->s.p + w->at, w->s.n - w->at, &c);

		if (!fresh(w, v->row, w->at + len))
			break;
		w->at += len;
		glob_steps++;
	}
	if (w->at > lo)
		remember(w, w->node, lo);
	return true;
}

/* Do what node says.  False: not here. */
static bool
step(struct walk *w)
{
	const struct node *v = &w->g->node[w->node];
	const char *p = w->s.p + w->at;
	size_t left = w->s.n - w->at;
	uint32_t c;

	glob_steps++;
	switch (v->op) {
	case LITERAL:
		if (left < v->len ||
		    memcmp(p, w->g->text + v->off, v->len) != 0)
			return false;
		w->at += v->len;
		break;
	case ANY:
	case CLASS:
		if (left == 0 || (*p == '/' && !v->slash))
			return false;
		w->at += character(p, left, &c);
		if (v->op == CLASS &&
		    !class_takes(w->g->text + v->off, v->len, c))
			return false;
		break;
	case STAR:
		if (!take_star(w, v))
			return false;
		break;
	case OPEN:
		w->from[v->group] = w->to[v->group] = w->at;
		w->opened = v->groups;
		if (v->next != 0)
			remember(w, v->next, w->at);
		break;
	case COMMA:
		w->node = v->end;
		return true;
	case CLOSE:
		if (v->row != 0 && !fresh(w, v->row, w->at))
			return false;
		w->to[v->group] = w->at;
		break;
	case END:
		return false;
	}
	w->node++;
	return true;
}

/* The next of the ways that are left.  False: none. */
static bool
go_back(struct walk *w)
{
	const struct node *v;
	unsigned i;

	if (w->depth == 0)
		return false;
	i = w->depth - 1;
	v = &w->g->node[way[i].node];
	w->at = way[i].at;
	if (v->op == STAR) {
		w->at -= character_before(w->s.p, way[i].lo, w->at);
		way[i].at = (uint16_t)w->at;
		if (w->at == way[i].lo)
			w->depth--;
	} else if (v->next != 0) {
		way[i].node = v->next;
	} else {
		w->depth--;
	}
	w->node = (unsigned)(v - w->g->node) + 1;
	/* groups of the way that failed have not been there */
	for (i = v->groups + 1u; i <= w->opened; i++)
		w->from[i] = w->to[i] = 0;
	w->opened = v->groups;
	return true;
}

/* Can s match at all?  Looks at its two ends. */
static bool
likely(const struct glob *g, struct str s)
{
	const struct node *v = &g->node[0];

	if (v->op == LITERAL && (s.n < v->len ||
	    memcmp(s.p, g->text + v->off, v->len) != 0))
		return false;
	if (g->last == 0)
		return s.n == 0;
	v = &g->node[g->last - 1];
	return v->op != LITERAL || (s.n >= v->len &&
	    memcmp(s.p + s.n - v->len, g->text + v->off, v->len) == 0);
}

int
glob_match(const struct glob *g, struct str s, struct str *cap)
{
	struct walk w = { .g = g, .s = s };
	unsigned i, n = glob_captures(g);

	if (s.n >= PATH_LEN || !likely(g, s))
		return -1;
	memset(tried, 0, (g->rows * (s.n + 1) + 63) / 64 * sizeof(tried[0]));
	while (w.node != g->last || w.at != s.n)
		if (!step(&w) && !go_back(&w))
			return -1;
	w.to[0] = s.n;
	for (i = 0; i < n; i++) {
		cap[i].p = s.p + w.from[i];
		cap[i].n = w.to[i] - w.from[i];
	}
	return (int)n;
}
