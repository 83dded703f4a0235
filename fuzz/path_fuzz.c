/* path_fuzz.c - any bytes as a target's path, as Accept-Encoding, as Range and
 * as conditions.
 *
 * Paths and encodings are compared with a second, slower reading; ranges are
 * added up.  Also done with the input repeated until it is as long as a
 * request line may be: small inputs find what happens at the limits. */
#include "../file.c"

#define must(x) ((x) ? (void)0 : broken(#x, __LINE__))
static void broken(const char *what, int line) __attribute__((noreturn));
static void
broken(const char *what, int line)
{
	fprintf(stderr, "path_fuzz.c:%d: not so: %s\n", line, what);
	abort();
}

static uint64_t dice;		/* seeded from the input: the same every time */

static unsigned
roll(unsigned sides)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return (unsigned)(dice >> 33) % sides;
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

/* ---- paths ------------------------------------------------------------------ */

struct segment {
	size_t off, len;
};

/* What a path has to become.  Returns 0, 400 or 404.  *either is set when
 * something that cannot exist was climbed out of again: 404 is right then, too;
 * *any, so that 400 is as well, when that had an encoded slash, and when the
 * path was at some point about as long as there is room for. */
static int
resolved(const char *p, size_t n, char *out, size_t *len, bool *either,
    bool *any)
{
	static char bytes[LINE_MAX_LEN + 1];
	static struct segment stack[LINE_MAX_LEN + 1];
	size_t depth = 0, k = 0, i, d, longest = 0, sum = 0;
	bool dir = true, above = false, bad = false;

	*either = *any = false;
	*len = 0;
	for (i = 0; i < n; i++)
		if ((unsigned char)p[i] <= ' ' || p[i] == 0x7f ||
		    p[i] == '#' || p[i] == '\\')
			return 400;
	for (i = 0; i <= n; ) {
		struct segment s = { k, 0 };
		bool wrong = false;

		for (; i < n && p[i] != '/'; i++) {
			if (p[i] != '%') {
				bytes[k++] = p[i];
				continue;
			}
			if (n - i < 3 || hex(p[i + 1]) < 0 ||
			    hex(p[i + 2]) < 0)
				return 400;
			bytes[k] = (char)(hex(p[i + 1]) * 16 + hex(p[i + 2]));
			if (bytes[k] == '\0')
				return 400;
			wrong |= bytes[k++] == '/';
			i += 2;
		}
		s.len = k - s.off;
		dir = i < n;
		i++;
		if (sum + s.len + depth > longest)
			longest = sum + s.len + depth;
		if (s.len == 0 || (s.len == 1 && bytes[s.off] == '.')) {
			dir = true;
			continue;
		}
		if (s.len == 2 && memcmp(bytes + s.off, "..", 2) == 0) {
			dir = true;
			above |= depth == 0;
			if (depth > 0)
				sum -= stack[--depth].len;
			continue;
		}
		wrong |= !conf.hidden && bytes[s.off] == '.' &&
		    !(depth == 0 && s.len == 11 &&
		    memcmp(bytes + s.off, ".well-known", 11) == 0);
		*either |= wrong;
		*any |= memchr(bytes + s.off, '/', s.len) != NULL;
		stack[depth++] = s;
		sum += s.len;
	}
	*any |= longest + 8 > PATH_LEN;
	if (above)
		return 400;
	for (d = 0; d < depth; d++) {
		const char *s = bytes + stack[d].off;

		bad |= memchr(s, '/', stack[d].len) != NULL;
		bad |= !conf.hidden && *s == '.' && !(d == 0 &&
		    stack[d].len == 11 && memcmp(s, ".well-known", 11) == 0);
		if (*len + stack[d].len + 1 < PATH_LEN) {
			memcpy(out + *len, s, stack[d].len);
			*len += stack[d].len;
			out[(*len)++] = '/';
		} else {
			bad = true;
		}
	}
	if (depth > 0 && !dir)
		(*len)--;
	return bad ? 404 : 0;
}

static void
check_path(const char *p, size_t n)
{
	static char want[PATH_LEN], again[3 * PATH_LEN + 1];
	char *raw = copy(p, n), *dst = malloc(PATH_LEN), *dst2;
	size_t len = 12345, wlen, len2, i, k, start;
	bool either, any;
	int rc, right;

	if (dst == NULL)
		abort();
	memset(dst, 0x55, PATH_LEN);
	rc = file_path((struct str){ raw, n }, dst, &len);
	right = resolved(p, n, want, &wlen, &either, &any);
	must(rc == right || (rc == 404 && right == 0 && either) ||
	    ((rc == 404 || rc == 400) && any));
	if (rc != 0) {
		free(raw);
		free(dst);
		return;
	}
	must(len < PATH_LEN && dst[len] == '\0' && strlen(dst) == len);
	must(len == wlen && memcmp(dst, want, len) == 0);
	/* said again, without the help of the other reading */
	must(dst[0] != '/');
	for (i = start = 0; i <= len; i++) {
		if (i < len && dst[i] != '/')
			continue;
		must(i > start || i == len);
		must(i - start != 1 || dst[start] != '.');
		must(i - start != 2 || memcmp(dst + start, "..", 2) != 0);
		must(conf.hidden || dst[start] != '.' ||
		    strncmp(dst, ".well-known", 11) == 0);
		start = i + 1;
	}
	/* the result, escaped, leads to itself */
	for (i = k = 0; i < len; i++)
		if (dst[i] == '/')
			again[k++] = '/';
		else
			k += (size_t)sprintf(again + k, "%%%02x",
			    (unsigned char)dst[i]);
	dst2 = malloc(PATH_LEN);
	if (dst2 == NULL)
		abort();
	must(file_path((struct str){ again, k }, dst2, &len2) == 0);
	must(len2 == len && memcmp(dst, dst2, len + 1) == 0);
	free(raw);
	free(dst);
	free(dst2);
}

/* ---- Accept-Encoding ----------------------------------------------------------- */

/* Each encoding at most once, none after the end. */
static unsigned
check_list(unsigned list)
{
	unsigned all = list, seen = 0;

	for (; list != 0; list >>= 4) {
		unsigned e = list & 15;

		must(e >= 1 && e <= NENC && (seen & 1U << e) == 0);
		seen |= 1U << e;
	}
	return all;
}

static unsigned
accept_of(const char *p, size_t n)
{
	char *v = copy(p, n);
	unsigned list = check_list(file_accept((struct str){ v, n }, true));

	free(v);
	return list;
}

static bool
has(unsigned list, enum encoding e)
{
	for (; list != 0; list >>= 4)
		if ((list & 15) == e + 1)
			return true;
	return false;
}

static bool
mentions(const char *p, size_t n, const char *word)
{
	size_t i, k = strlen(word);

	for (i = 0; i + k <= n; i++)
		if (strncasecmp(p + i, word, k) == 0)
			return true;
	return false;
}

static void
check_accept(const char *p, size_t n)
{
	char *more;
	unsigned list = accept_of(p, n);
	size_t i;
	enum encoding e;

	must(file_accept((struct str){ p, n }, false) == E_IDENTITY + 1);
	if (!mentions(p, n, "identity") && !mentions(p, n, "*"))
		must(has(list, E_IDENTITY));
	for (e = E_BR; e < NENC; e++)
		must(!has(list, e) || mentions(p, n, encodings[e].name) ||
		    mentions(p, n, "*"));
	/* blanks, empty elements and letter case mean nothing */
	more = malloc(n + 6);
	if (more == NULL)
		abort();
	memcpy(more, " , ", 3);
	for (i = 0; i < n; i++)
		more[3 + i] = p[i] >= 'a' && p[i] <= 'z' ?
		    (char)(p[i] - 32) : p[i];
	memcpy(more + 3 + n, "\t,,", 3);
	must(accept_of(more, n + 6) == list);
	free(more);
}

/* A well-formed field whose meaning is known. */
static void
check_weights(void)
{
	static const char *const name[] = { "identity", "br", "zstd", "gzip",
	    "*", "deflate" };
	int q[6] = { -1, -1, -1, -1, -1, -1 }, best;
	unsigned order[6] = { 0, 1, 2, 3, 4, 5 }, i, k, list, want = 0, n = 0;
	char v[256];
	size_t len = 0;

	for (i = 5; i > 0; i--) {
		k = roll(i + 1);
		list = order[i];
		order[i] = order[k];
		order[k] = list;
	}
	for (i = 0; i < 6; i++) {
		k = order[i];
		if (roll(2) == 0)
			continue;
		if (len > 0)
			len += (size_t)sprintf(v + len, "%s",
			    roll(2) ? ", " : ",");
		switch (roll(5)) {
		case 0:
			q[k] = 0;
			len += (size_t)sprintf(v + len, "%s;q=0", name[k]);
			break;
		case 1:
			q[k] = (int)roll(3) + 1;
			len += (size_t)sprintf(v + len, "%s; q=0.00%d", name[k],
			    q[k]);
			break;
		case 2:
			q[k] = (int)(roll(9) + 1) * 100;
			len += (size_t)sprintf(v + len, "%s ;Q=0.%d", name[k],
			    q[k] / 100);
			break;
		case 3:
			q[k] = 1000;
			len += (size_t)sprintf(v + len, "%s;q=1.000", name[k]);
			break;
		default:
			q[k] = 1000;
			len += (size_t)sprintf(v + len, "%s", name[k]);
		}
	}
	/* what is not named: by the star; identity is always welcome, last */
	for (k = E_BR; k < NENC; k++)
		if (q[k] < 0)
			q[k] = q[4] > 0 ? q[4] : 0;
	for (k = E_BR; k < NENC; k++)
		q[k] *= 2;
	q[0] = q[0] >= 0 ? q[0] * 2 : q[4] >= 0 ? q[4] * 2 : 1;
	for (;; n++) {
		static const unsigned by_choice[] = { E_BR, E_ZSTD, E_GZIP,
		    E_IDENTITY };

		best = 0;
		for (i = 0; i < NENC; i++)
			if (q[by_choice[i]] > best) {
				best = q[by_choice[i]];
				k = by_choice[i];
			}
		if (best == 0)
			break;
		want |= (k + 1) << 4 * n;
		q[k] = 0;
	}
	must(accept_of(v, len) == want);
}

/* ---- conditions and ranges ------------------------------------------------------- */

/* A field's value made of the input: only bytes that http.c lets through. */
static void
set_field(struct req *q, char *head, enum field f, const char *p, size_t n)
{
	size_t i, at = q->pos;

	while (n > 0 && (*p == ' ' || *p == '\t')) {
		p++;
		n--;
	}
	if (n > 4000)
		n = 4000;
	while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t'))
		n--;
	for (i = 0; i < n; i++)
		head[at + i] = (unsigned char)p[i] < ' ' || p[i] == 0x7f ? ',' :
		    p[i];
	q->field[f].off = (uint16_t)at;
	q->field[f].len = (uint16_t)n;
	q->have |= 1U << f;
	q->pos = (uint16_t)(at + n);
}

/* Where the parts are in what goes out. */
static void
check_content(struct resp *r, const struct file *f)
{
	char line[64], *all, *cl;
	const char *p;
	long long promised;
	size_t n = 0, cap, k;
	ssize_t got;

	snprintf(line, sizeof line, "%.*s", 40, r->fields);
	must(strncmp(line, "content-length: ", 16) == 0);
	promised = strtoll(line + 16, &cl, 10);
	must(promised > 0 && *cl == '\r');
	if (f->bytes == NULL) {
		must(r->body.parts != NULL || r->body.len == promised);
		must(r->body.off >= 0 && r->body.len > 0);
		must(r->body.mem != NULL ||
		    r->body.off <= f->size - r->body.len);
		return;
	}
	cap = (size_t)promised;
	all = malloc(cap + 1);
	if (all == NULL)
		abort();
	for (;;) {
		if (n < cap && roll(3) == 0) {
			k = body_peek(&r->body, &p);
			must(k > 0 && k <= cap - n);
			k = 1 + roll((unsigned)k);
			memcpy(all + n, p, k);
			body_skip(&r->body, (off_t)k);
			n += k;
			continue;
		}
		got = body_read(&r->body, all + n, 1 + roll((unsigned)(cap - n +
		    1)));
		if (got <= 0)
			break;
		n += (size_t)got;
		must(n <= cap);
	}
	must(got == 0 && n == cap);
	/* every part of the file is what its content-range says */
	if (r->body.parts == NULL) {
		char *cr = strstr(r->fields, "content-range: bytes ");
		long long a, b, size;

		must(cr != NULL && sscanf(cr, "content-range: bytes "
		    "%lld-%lld/%lld", &a, &b, &size) == 3);
		must(a >= 0 && a <= b && b < f->size && size == f->size);
		must(b - a + 1 == promised);
		must(memcmp(all, f->bytes + a, cap) == 0);
	} else {
		char *at = all, *cr;
		long long a, b, size;
		unsigned parts = 0;

		all[n] = '\0';	/* f->bytes has no NUL and no '\r' */
		while ((cr = strstr(at, "content-range: bytes ")) != NULL) {
			must(sscanf(cr, "content-range: bytes %lld-%lld/%lld",
			    &a, &b, &size) == 3);
			must(a >= 0 && a <= b && b < f->size);
			must(size == f->size);
			at = strstr(cr, "\r\n\r\n");
			must(at != NULL);
			at += 4;
			must(all + n - at > b - a + 1);
			must(memcmp(at, f->bytes + a, (size_t)(b - a + 1)) ==
			    0);
			at += b - a + 1;
			must(memcmp(at, "\r\n--", 4) == 0);
			parts++;
		}
		must(parts >= 2 && parts <= RANGES_MAX);
		must(strcmp(all + n - 4, "--\r\n") == 0);
	}
	free(all);
}

static void
check_requests(const char *p, size_t n)
{
	static char head[HEAD_MAX];
	struct req q;
	struct resp *r = calloc(1, sizeof *r);
	struct file *f = calloc(1, sizeof *f);
	off_t i;
	int rc;

	if (r == NULL || f == NULL)
		abort();
	f->refs = 1;
	f->fd = -1;
	f->size = roll(4) == 0 ? (off_t)roll(20) : (off_t)roll(3000);
	if (roll(6) == 0)
		f->size = INT64_MAX - roll(3);
	f->mtime = roll(8) == 0 ? 0 : 784111777;
	if (roll(4) > 0)
		strcpy(f->etag, "\"1-2-3\"");
	describe(f, "x.txt", roll(2) ? E_GZIP : E_IDENTITY, true);
	must(f->cl < f->val && f->val <= f->n && f->n < sizeof f->fields);
	if (f->size < 4000) {
		f->bytes = malloc(f->size > 0 ? (size_t)f->size : 1);
		if (f->bytes == NULL)
			abort();
		for (i = 0; i < f->size; i++)
			f->bytes[i] = (char)('a' + (i * 7 + i / 26) % 26);
		bytes_now += (size_t)f->size;
	}
	memset(&q, 0, sizeof q);
	q.base = head;
	q.method = M_GET;
	/* file_conditions: each field alone, all, or what the dice say */
	set_field(&q, head, F_IF_MATCH + roll(5), p, n);
	if (roll(2) == 0)
		set_field(&q, head, F_IF_MATCH + roll(5), p + n / 2,
		    n - n / 2);
	rc = file_conditions(&q, f);
	must(rc == 200 || rc == 304 || rc == 412);

	q.have = 0;
	q.pos = 0;
	memcpy(head, "bytes=", 6);
	set_field(&q, head, F_RANGE, p, n);
	if (n >= 6 && roll(8) > 0 && strncasecmp(p, "bytes=", 6) != 0) {
		/* most inputs do not begin so */
		memmove(head + 6, head, q.pos);
		memcpy(head, "bytes=", 6);
		q.pos = (uint16_t)(q.pos + 6);
		q.field[F_RANGE].len = q.pos;
	}
	if (roll(4) == 0)
		set_field(&q, head, F_IF_RANGE, "\"1-2-3\"", 7);
	r->body.file = f;
	r->body.len = f->size;
	rc = file_range(&q, f, r);
	must(rc == 200 || rc == 206 || rc == 416);
	if (rc == 206) {
		must(f->size > 0 && r->n > 0 && r->n < sizeof r->fields);
		must(r->shared.p >= f->fields &&
		    r->shared.p + r->shared.n == f->fields + f->n);
		check_content(r, f);
	}
	body_end(&r->body);
	free(r);
}

/* ---- dates -------------------------------------------------------------------------- */

static void
check_dates(const char *p, size_t n)
{
	char b[32], *v = copy(p, n);
	time_t t = (time_t)((uint64_t)roll(1U << 31) * roll(118));

	http_date((struct str){ v, n });
	free(v);
	log_httpdate(b, t);
	must(strlen(b) == 29);
	must(http_date((struct str){ b, 29 }) == t);
}

static void
all(const char *p, size_t n)
{
	unsigned i;

	check_path(p, n);
	check_accept(p, n);
	check_weights();
	for (i = n < 100 ? 12 : 1; i > 0; i--)	/* each time another file */
		check_requests(p, n);
	check_dates(p, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static char line[LINE_MAX_LEN];
	size_t i;

	log_clock();
	if (n > sizeof line)
		n = sizeof line;
	dice = 0x9e3779b97f4a7c15;
	for (i = 0; i < n; i++)
		dice = (dice ^ data[i]) * 0x100000001b3;
	dice |= 1;
	conf.hidden = roll(4) == 0;
	all((const char *)data, n);
	if (n == 0 || roll(8) > 0)
		return 0;
	/* to the brim, from a start that is not always the same */
	i = roll(2) ? roll(4) : 0;
	memset(line, 'a', i);
	for (; i + n <= sizeof line; i += n)
		memcpy(line + i, data, n);
	all(line, i);
	return 0;
}
