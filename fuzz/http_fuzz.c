/* http_fuzz.c - any bytes into the HTTP/1.1 parser, whole and in pieces.
 *
 * The input is what a client sends, read as one request after the other.  Each
 * is checked against a second, slower reading of the same bytes, and an answer
 * is written for it.  Every buffer is exactly as long as its bytes and moves
 * between two calls, so that the address sanitizer sees one byte too many and
 * a pointer that was kept. */
#include "../http.c"

#include <stdlib.h>

static uint64_t dice;		/* seeded from the input: the same every time */

static unsigned
roll(unsigned sides)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return (unsigned)(dice >> 33) % sides;
}

#define must(x) ((x) ? (void)0 : broken(#x, __LINE__))
static void broken(const char *what, int line) __attribute__((noreturn));
static void
broken(const char *what, int line)
{
	fprintf(stderr, "http_fuzz.c:%d: not so: %s\n", line, what);
	abort();
}

static char *
copy(const char *p, size_t n)
{
	char *c = malloc(n > 0 ? n : 1);

	if (c == NULL)
		abort();
	memcpy(c, p, n);
	return c;
}

static bool
same_span(struct span a, struct span b)
{
	return a.off == b.off && a.len == b.len;
}

/* Everything but where the bytes are. */
static void
must_equal(const struct req *a, const struct req *b)
{
	int f;

	must(a->pos == b->pos && a->nfields == b->nfields);
	must(a->step == b->step && a->method == b->method);
	must(a->minor == b->minor && a->keep == b->keep);
	must(a->body == b->body && a->expect_bad == b->expect_bad);
	must(a->has_cl == b->has_cl && a->has_te == b->has_te);
	must(a->have == b->have && a->twice == b->twice);
	must(same_span(a->line, b->line) && same_span(a->name, b->name));
	must(same_span(a->path, b->path) && same_span(a->query, b->query));
	must(same_span(a->host, b->host));
	for (f = 0; f < NFIELDS; f++)
		must(same_span(a->field[f], b->field[f]));
}

/* ---- a second opinion on a head that was accepted ------------------------ */

static bool
token_char(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
	    (c >= 'a' && c <= 'z') ||
	    (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool
blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Is word an element of the comma list p..p+n? */
static bool
listed(const char *p, size_t n, const char *word)
{
	size_t i = 0, from, to;

	while (i <= n) {
		for (from = i; i < n && p[i] != ','; i++)
			;
		to = i++;
		while (from < to && blank(p[from]))
			from++;
		while (from < to && blank(p[to - 1]))
			to--;
		if (to - from == strlen(word) &&
		    strncasecmp(p + from, word, to - from) == 0)
			return true;
	}
	return false;
}

static bool
inside(struct span s, const struct req *q)
{
	return s.off + s.len <= q->pos;
}

static bool
within(struct span s, struct span outer)
{
	return s.len == 0 || (s.off >= outer.off &&
	    s.off + s.len <= outer.off + outer.len);
}

static void
check_spans(const struct req *q, size_t n)
{
	int f;

	must(q->pos <= n && q->pos <= HEAD_MAX);
	must(inside(q->line, q) && inside(q->name, q) && inside(q->path, q));
	must(inside(q->query, q) && inside(q->host, q));
	must(within(q->name, q->line) && within(q->path, q->line));
	must(within(q->query, q->line));
	for (f = 0; f < NFIELDS; f++)
		must(inside(q->field[f], q));
}

/* RFC 9112 3: METHOD SP target SP HTTP/1.d, and what was made of it. */
static void
check_line(const struct req *q)
{
	const char *b = q->base, *l = b + q->line.off, *t, *v, *p;
	size_t i, m = q->name.len;

	must(q->line.len >= 12 && q->line.len <= LINE_MAX_LEN);
	must(q->line.off <= LEAD_MAX && q->line.off % 2 == 0);
	for (i = 0; i < q->line.off; i += 2)
		must(b[i] == '\r' && b[i + 1] == '\n');
	must(q->name.off == q->line.off && m > 0);
	for (i = 0; i < m; i++)
		must(token_char(l[i]));
	must(l[m] == ' ');
	must((q->method == M_GET) == (m == 3 && memcmp(l, "GET", 3) == 0));
	must((q->method == M_HEAD) == (m == 4 && memcmp(l, "HEAD", 4) == 0));
	must((q->method == M_OPTIONS) ==
	    (m == 7 && memcmp(l, "OPTIONS", 7) == 0));
	t = l + m + 1;
	v = l + q->line.len - 9;
	must(v > t && memcmp(v, " HTTP/1.", 8) == 0);
	must(q->minor <= 9 && v[8] == '0' + q->minor);
	for (p = t; p < v; p++) {
		must((unsigned char)*p > ' ' && *p != 0x7f);
		must(*p != '#' && *p != '\\');
	}
	for (i = 0; i < q->path.len; i++)
		must(b[q->path.off + i] != '?');
	if (q->path.len > 0)
		must(b[q->path.off] == '/' || (q->path.len == 1 &&
		    b[q->path.off] == '*' && q->method == M_OPTIONS));
	else
		must(*t != '/');
	if (*t == '/')
		must(b + q->path.off == t);
	if (q->query.len > 0)
		must(b[q->query.off - 1] == '?' && b + q->query.off +
		    q->query.len == v);
}

static void
check_host(const struct req *q)
{
	const char *h = q->base + q->host.off;
	size_t i;

	if (q->host.len == 0) {
		must(q->minor == 0);
		return;
	}
	for (i = 0; i < q->host.len; i++)
		must((unsigned char)h[i] > ' ' && (unsigned char)h[i] < 0x7f &&
		    strchr("/@?#\\\"<>^`{|}", h[i]) == NULL);
}

/* Take the blanks and the empty elements out of a comma list. */
static size_t
squeeze(char *dst, const char *p, size_t n)
{
	size_t i, k = 0;

	for (i = 0; i < n; i++)
		if (!blank(p[i]) && (p[i] != ',' ||
		    (k > 0 && dst[k - 1] != ',')))
			dst[k++] = p[i];
	return k > 0 && dst[k - 1] == ',' ? k - 1 : k;
}

/* http_field against the lines of that name, joined here. */
static void
check_joined(const struct req *q, enum field f, const char *want, size_t n)
{
	static char a[HEAD_MAX], b[HEAD_MAX];
	struct str s = http_field(q, f);
	size_t i;

	must(s.n <= HEAD_MAX);
	for (i = 0; i < s.n; i++)
		must(s.p[i] != '\r' && s.p[i] != '\n' && s.p[i] != '\0');
	n = squeeze(a, want, n);
	must(squeeze(b, s.p, s.n) == n && memcmp(a, b, n) == 0);
}

/* RFC 9112 5 and 6.3: read the field lines again, one at a time. */
static void
check_fields(const struct req *q)
{
	static char seen[NFIELDS][HEAD_MAX];
	size_t len[NFIELDS] = { 0 };
	unsigned count[NFIELDS] = { 0 }, lines = 0;
	const char *p = q->base + q->line.off + q->line.len + 2;
	const char *end = q->base + q->pos - 2, *e, *c, *v, *w;
	bool close = false, keep = false, bad = false;
	int f;

	must(memcmp(p - 2, "\r\n", 2) == 0 && memcmp(end, "\r\n", 2) == 0);
	while (p < end) {
		for (e = p; *e != '\r'; e++) {
			must(e < end && *e != '\n' && *e != 0x7f);
			must((unsigned char)*e >= ' ' || *e == '\t');
		}
		must(e[1] == '\n' && e > p);
		for (c = p; c < e && token_char(*c); c++)
			;
		must(c > p && c < e && *c == ':');
		lines++;
		for (v = c + 1; v < e && blank(*v); v++)
			;
		for (w = e; w > v && blank(w[-1]); w--)
			;
		for (f = 1; f < NFIELDS; f++)
			if (strlen(field_name[f].name) == (size_t)(c - p) &&
			    strncasecmp(field_name[f].name, p,
			    (size_t)(c - p)) == 0)
				break;
		if (f == NFIELDS) {
			p = e + 2;
			continue;
		}
		if (count[f]++ == 0)
			must(q->base + q->field[f].off == v &&
			    q->field[f].len == w - v);
		else
			seen[f][len[f]++] = ',';
		memcpy(seen[f] + len[f], v, (size_t)(w - v));
		len[f] += (size_t)(w - v);
		if (f == F_CONNECTION) {
			close |= listed(v, (size_t)(w - v), "close");
			keep |= listed(v, (size_t)(w - v), "keep-alive");
		}
		if (f == F_EXPECT)
			bad |= w - v != 12 ||
			    strncasecmp(v, "100-continue", 12) != 0;
		p = e + 2;
	}
	must(p == end);
	must(lines == q->nfields && lines <= FIELDS_MAX);
	for (f = 1; f < NFIELDS; f++) {
		must((q->have >> f & 1) == (count[f] > 0));
		must((q->twice >> f & 1) == (count[f] > 1));
		if (count[f] > 0)
			check_joined(q, (enum field)f, seen[f], len[f]);
	}
	must(count[F_HOST] == 1 || (q->minor == 0 && count[F_HOST] == 0));
	must(count[F_CONTENT_LENGTH] <= 1 && count[F_TRANSFER_ENCODING] <= 1);
	must(count[F_CONTENT_LENGTH] + count[F_TRANSFER_ENCODING] <= 1);
	must(q->has_cl == (count[F_CONTENT_LENGTH] > 0));
	must(q->has_te == (count[F_TRANSFER_ENCODING] > 0));
	if (q->has_cl) {
		must(len[F_CONTENT_LENGTH] > 0);
		must(q->body == (strspn(seen[F_CONTENT_LENGTH], "0") <
		    len[F_CONTENT_LENGTH]));
		while (len[F_CONTENT_LENGTH]-- > 0)
			must(strchr("0123456789", seen[F_CONTENT_LENGTH]
			    [len[F_CONTENT_LENGTH]]) != NULL);
	} else if (q->has_te) {
		must(q->body && len[F_TRANSFER_ENCODING] == 7);
		must(strncasecmp(seen[F_TRANSFER_ENCODING], "chunked", 7) == 0);
	} else {
		must(!q->body);
	}
	memset(seen[F_CONTENT_LENGTH], 0, 32);
	must(q->expect_bad == bad);
	/* RFC 9112 9.3: close beats keep-alive; a body is never read */
	must(q->keep == (!q->body && !close && (q->minor > 0 || keep)));
}

/* ---- the answer ------------------------------------------------------------ */

static const int statuses[] = { 200, 204, 206, 301, 302, 304, 307, 308, 400,
    401, 403, 404, 405, 406, 408, 412, 414, 416, 417, 431, 500, 501, 503, 505 };

/* "name: value\r\n" lines into dst, at most cap bytes; returns their length. */
static size_t
make_fields(char *dst, size_t cap)
{
	size_t n = 0, k;
	unsigned v;

	while (roll(5) > 0) {
		k = 4 + roll(12) + (roll(40) == 0 ? 900 : 0);
		if (n + k + 8 > cap)
			break;
		n += (size_t)sprintf(dst + n, "x-%c: ", 'a' + (char)roll(26));
		for (v = 0; v + 7 < k; v++)
			dst[n++] = (char)('!' + roll(94));
		dst[n++] = '\r';
		dst[n++] = '\n';
	}
	return n;
}

static bool
starts(const char *p, const char *end, const char *s)
{
	return (size_t)(end - p) >= strlen(s) && memcmp(p, s, strlen(s)) == 0;
}

/* Whole lines, one Date, Connection as asked, one empty line: the last. */
static void
check_head(const struct req *q, const struct resp *r, const char *p, size_t n)
{
	const char *end = p + n, *e, *shared = NULL, *own = NULL;
	unsigned dates = 0, closes = 0, stays = 0, lines = 0;
	char want[16];

	snprintf(want, sizeof want, "HTTP/1.1 %03d ", r->status);
	must(starts(p, end, want) && n > 15 && p[13] != '\r');
	for (; p < end; p = e + 2, lines++) {
		for (e = p; *e != '\r'; e++)
			must(e + 1 < end && *e != '\n' && *e != '\0');
		must(e + 1 < end && e[1] == '\n');
		if (e == p)
			break;
		if (r->shared.n > 0 && p + r->shared.n <= end &&
		    memcmp(p, r->shared.p, r->shared.n) == 0)
			shared = p;
		if (r->n > 0 && p + r->n <= end &&
		    memcmp(p, r->fields, r->n) == 0)
			own = p;
		dates += starts(p, end, "date: ");
		closes += starts(p, end, "connection: close\r\n");
		stays += starts(p, end, "connection: keep-alive\r\n");
	}
	must(p + 2 == end && lines > 1);
	must(dates == 1);
	must(closes == (r->close ? 1 : 0));
	must(stays == (!r->close && q->minor == 0 ? 1 : 0));
	must(r->shared.n == 0 || shared != NULL);
	must(r->n == 0 || own != NULL);
}

static void
answer(const struct req *q)
{
	static char shared[512];
	struct resp *r = calloc(1, sizeof *r);
	size_t n, need;
	char *dst;

	if (r == NULL)
		abort();
	r->status = statuses[roll(sizeof statuses / sizeof statuses[0])];
	must(http_reason(r->status)[0] != '\0');
	r->close = roll(2) == 0;
	r->n = make_fields(r->fields, sizeof r->fields);
	if (roll(2) == 0) {
		r->shared.p = shared;
		r->shared.n = make_fields(shared, sizeof shared);
	}
	/* room for all, or exactly for it, or for less: never a cut head */
	dst = malloc(OUTBUF);
	if (dst == NULL)
		abort();
	need = http_head(q, r, dst, OUTBUF);
	must(need > 0 && need <= OUTBUF);
	check_head(q, r, dst, need);
	free(dst);
	n = need + 200 - roll(400);
	if (n > need + 200)
		n = 0;
	dst = malloc(n > 0 ? n : 1);
	if (dst == NULL)
		abort();
	need = http_head(q, r, dst, n);
	must(need <= n);
	if (need > 0)
		check_head(q, r, dst, need);
	free(dst);
	free(r);
}

/* ---- one request ------------------------------------------------------------- */

static int
whole(struct req *q, const char *p, size_t n)
{
	q->base = p;
	http_reset(q);
	must(q->base == p && q->pos == 0);
	return http_parse(q, n);
}

/* The same bytes as they come in, each time somewhere else. */
static int
in_pieces(struct req *q, const char *p, size_t n, char **last)
{
	size_t have = 0;
	unsigned step = n < 300 && roll(4) == 0 ? 1 : 1 + (unsigned)n / 4;
	char *buf = NULL;
	int rc = 0;

	http_reset(q);
	do {
		have += roll(16) == 0 ? 1 : 1 + roll(step);
		if (have > n)
			have = n;
		free(buf);
		buf = copy(p, have);
		q->base = buf;
		rc = http_parse(q, have);
		check_spans(q, have);
	} while (rc == 0 && have < n);
	*last = buf;
	return rc;
}

/* Returns the bytes that were used, 0 at the end. */
static size_t
one(const char *data, size_t n)
{
	struct req q, r;
	char *p = copy(data, n), *last;
	size_t used;
	int rc, rc2;

	memset(&r, 0, sizeof r);
	rc = whole(&q, p, n);
	rc2 = in_pieces(&r, data, n, &last);
	must(rc == rc2);
	must_equal(&q, &r);
	check_spans(&q, n);
	if (rc == 1) {
		check_line(&q);
		check_host(&q);
		check_fields(&q);
		must(q.pos >= 16);
	} else if (rc == 0) {
		must(n < HEAD_MAX);
	} else {
		must(rc == 400 || rc == 414 || rc == 431 || rc == 501 ||
		    rc == 505);
		must(http_reason(rc)[0] != '\0');
	}
	if (rc != 0)
		answer(&q);
	used = rc == 1 ? q.pos : 0;
	free(p);
	free(last);
	return used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *p = (const char *)data;
	size_t i, used;
	unsigned k;

	log_clock();
	dice = 0x9e3779b97f4a7c15;
	for (i = 0; i < n; i++)
		dice = (dice ^ data[i]) * 0x100000001b3;
	dice |= 1;
	for (k = 0; k < 20 && n > 0; k++, p += used, n -= used)
		if ((used = one(p, n)) == 0)
			break;
	return 0;
}
