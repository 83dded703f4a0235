/* glob_fuzz.c - any bytes as a pattern, a text, a destination and a query,
 * lines of the input.
 *
 * A match is compared with a plain walk through the nodes that remembers
 * nothing; its steps are counted, also on the text repeated until it is as long
 * as a path may be.  What a capture gets into must stay a Location of the same
 * host and a target of one path. */
#include "../glob.c"
#include "../rules.c"

#define must(x) ((x) ? (void)0 : broken(#x, __LINE__))
static void broken(const char *what, int line) __attribute__((noreturn));
static void
broken(const char *what, int line)
{
	fprintf(stderr, "glob_fuzz.c:%d: not so: %s\n", line, what);
	abort();
}

/* Exactly n bytes, so that the address sanitizer sees one too many. */
static char *
copy(const char *p, size_t n)
{
	char *c = malloc(n > 0 ? n : 1);

	if (c == NULL)
		abort();
	memcpy(c, p, n);
	return c;
}

/* ---- the second matcher ------------------------------------------------- */

struct marks {
	size_t from[GLOB_CAPTURES + 1], to[GLOB_CAPTURES + 1];
};

static unsigned patience;	/* it may take very long */

static bool
naive(const struct glob *g, const struct node *v, struct str s, size_t at,
    struct marks *m)
{
	struct marks before = *m;
	size_t ends[256], n = 0, end;
	uint32_t c;

	if (patience == 0 || --patience == 0)
		return false;
	switch (v->op) {
	case LITERAL:
		return s.n - at >= v->len &&
		    memcmp(s.p + at, g->text + v->off, v->len) == 0 &&
		    naive(g, v + 1, s, at + v->len, m);
	case ANY:
		return at < s.n && (s.p[at] != '/' || v->slash) &&
		    naive(g, v + 1, s, at + character(s.p + at, s.n - at, &c),
		    m);
	case CLASS:
		if (at == s.n || (s.p[at] == '/' && !v->slash))
			return false;
		end = at + character(s.p + at, s.n - at, &c);
		return class_takes(g->text + v->off, v->len, c) &&
		    naive(g, v + 1, s, end, m);
	case STAR:
		for (end = at; ; end += character(s.p + end, s.n - end, &c)) {
			ends[n++] = end;
			if (end == s.n || (s.p[end] == '/' && !v->slash))
				break;
		}
		while (n-- > 0) {
			if (naive(g, v + 1, s, ends[n], m))
				return true;
			*m = before;
		}
		return false;
	case OPEN:
		for (n = (size_t)(v - g->node); ; n = g->node[n].next) {
			m->from[v->group] = at;
			if (naive(g, &g->node[n + 1], s, at, m))
				return true;
			*m = before;
			if (g->node[n].next == 0)
				return false;
		}
	case COMMA:
		return naive(g, &g->node[v->end], s, at, m);
	case CLOSE:
		m->to[v->group] = at;
		return naive(g, v + 1, s, at, m);
	default:
		return at == s.n;
	}
}

static void
compare(const struct glob *g, struct str s)
{
	struct str cap[GLOB_CAPTURES], again[GLOB_CAPTURES];
	struct marks m = { { 0 }, { 0 } };
	int n = glob_match(g, s, cap), i;
	bool same_to_it;

	must(n == -1 || n == (int)glob_captures(g));
	must(glob_match(g, s, again) == n);
	for (i = 0; i < n; i++) {
		must(cap[i].p >= s.p && cap[i].p + cap[i].n <= s.p + s.n);
		must(cap[i].p == again[i].p && cap[i].n == again[i].n);
	}
	must(n < 1 || (cap[0].p == s.p && cap[0].n == s.n));
	if (s.n > 200)
		return;
	patience = 20000;
	same_to_it = naive(g, g->node, s, 0, &m);
	if (patience == 0)
		return;
	must(same_to_it == (n > 0));
	for (i = 1; i < n; i++)
		must(cap[i].p == s.p + m.from[i] &&
		    cap[i].n == m.to[i] - m.from[i]);
}

/* No node is asked twice at one place, and stars walk once over the text. */
static void
bounded(const struct glob *g, struct str s, size_t pattern)
{
	struct str cap[GLOB_CAPTURES];

	glob_steps = 0;
	glob_match(g, s, cap);
	must(glob_steps <= 4 * (pattern + 1) * (s.n + 1));
	must(g->rows <= pattern && g->last < NODES);
}

/* ---- destinations ------------------------------------------------------- */

static size_t
count(const char *p, int c)
{
	size_t n = 0;

	for (; *p != '\0'; p++)
		n += *p == c;
	return n;
}

static void
expanded(struct glob *g, struct str path, const char *destination,
    struct str query, bool inside)
{
	static char dst[65536];
	char why[128];
	struct rules *r = rules_new();
	struct reader rd = { .r = r, .section = "fuzz", .why = why,
	    .cap = sizeof why };
	struct rule p = { .source = g, .status = inside ? 0 : 301 };
	struct toml v = { .string = destination, .type = TOML_STRING };
	struct str cap[GLOB_CAPTURES];
	const char *from, *to;
	char *small;
	size_t n, i;

	if (r == NULL)
		abort();
	if (inside)
		query.n = 0;
	if (read_destination(&rd, &p, &v) == NULL &&
	    glob_match(g, path, cap) >= 0) {
		n = expand(&p, cap, glob_captures(g), query, dst, sizeof dst);
		must(n == strlen(dst));
		for (i = 0; i < n; i++)
			must(plain_uri(dst[i]));
		if (inside)
			must(n > 0 && count(dst, '?') + count(dst, '#') == 0);
		if (query.n == 0 && !inside)
			must(count(dst, '?') == count(destination, '?') &&
			    count(dst, '#') == count(destination, '#'));
		if (destination[0] == '$' || (destination[0] == '/' &&
		    destination[1] != '/'))
			must(dst[0] == '/' && dst[1] != '/');
		/* a host without captures stays as it is */
		authority(destination, &from, &to);
		if (from != NULL && memchr(from, '$', (size_t)(to - from)) ==
		    NULL && !inside) {
			for (i = 0; from + i < to && plain_uri(from[i]); )
				i++;
			if (from + i == to) {
				i = (size_t)(to - destination);
				must(n >= i && memcmp(dst, destination, i) == 0);
				must(strchr("/?#", dst[i]) != NULL);
			}
		}
		/* a buffer that is too small is not written past */
		for (i = n + 2 < 40 ? n + 2 : 40; i > 0; i--) {
			small = copy(dst, i);
			must(expand(&p, cap, glob_captures(g), query, small, i)
			    <= i - 1);
			free(small);
		}
	}
	rules_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char longest[PATH_LEN];
	struct str line[4];
	const char *p = (const char *)data, *end = p + size, *nl, *why;
	char *pattern, *destination, *text, *query;
	struct glob *g;
	size_t i;

	for (i = 0; i < 4; i++) {
		nl = i < 3 ? memchr(p, '\n', (size_t)(end - p)) : NULL;
		line[i] = (struct str){ p, (size_t)((nl ? nl : end) - p) };
		p = nl ? nl + 1 : end;
	}
	if (size == 0)
		return 0;
	/* the first byte says what kind of pattern */
	pattern = strndup(line[0].p + (line[0].n > 0), line[0].n > 0 ?
	    line[0].n - 1 : 0);
	destination = strndup(line[2].p, line[2].n);
	text = copy(line[1].p, line[1].n);
	query = copy(line[3].p, line[3].n);
	if (pattern == NULL || destination == NULL)
		abort();
	g = glob_new(pattern, data[0] & 1, &why);
	must(b.n <= NODES && b.textlen <= GLOB_MAX && b.depth <= GLOB_MAX);
	must((g == NULL) == (why != NULL));
	if (g != NULL) {
		struct str s = { text, line[1].n };

		compare(g, s);
		bounded(g, s, strlen(pattern));
		expanded(g, s, destination, (struct str){ query, line[3].n },
		    data[0] & 2);
		for (i = 0; i < sizeof longest && s.n > 0; i++)
			longest[i] = text[i % s.n];
		if (s.n > 0)
			bounded(g, (struct str){ longest, PATH_LEN - 1 },
			    strlen(pattern));
		glob_free(g);
	}
	free(pattern);
	free(destination);
	free(text);
	free(query);
	return 0;
}
