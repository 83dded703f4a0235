/* plumb_test.c - file.c and http.c from inside: content that is made while it is
 * sent, a site's own types, files that are never served, roots, field names.
 *
 *	plumb_test DIR		an empty folder to work in */
#include "../file.c"

static int failed;
static const char *part = "";

static void
check(bool good, const char *what, int line)
{
	if (!good) {
		printf("FAIL %s: line %d: %s\n", part, line, what);
		failed++;
	}
}
#define must(x) check((x), #x, __LINE__)

/* One check: all since the last. */
static void
ok(const char *name)
{
	static int before;

	if (failed == before)
		printf("ok %s\n", name);
	before = failed;
}

static uint64_t dice = 88172645463325252u;
static size_t
roll(size_t max)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return (size_t)(dice >> 33) % max + 1;
}

/* ---- sources ------------------------------------------------------------------ */

/* Says 'a' to 'z' again and again, `left` bytes in pieces of up to `piece`; every
 * so many calls "later"; fails instead of the end. */
struct fake {
	struct source s;
	size_t left, piece, said;
	unsigned later, calls;
	bool fails, ended;
};

static char
letter(size_t i)
{
	return (char)('a' + i % 26);
}

static ssize_t
fake_read(struct source *s, void *dst, size_t cap)
{
	struct fake *f = (struct fake *)(void *)s;
	size_t n = f->left < f->piece ? f->left : f->piece, i;

	must(cap >= 4096 && !f->ended);
	if (f->later > 0 && ++f->calls % f->later == 0)
		return SOURCE_LATER;
	if (f->left == 0 && f->fails)
		return SOURCE_FAILED;
	n = n < cap ? n : cap;
	for (i = 0; i < n; i++)
		((char *)dst)[i] = letter(f->said++);
	f->left -= n;
	return (ssize_t)n;
}

static void
fake_end(struct source *s)
{
	struct fake *f = (struct fake *)(void *)s;

	must(!f->ended);
	f->ended = true;
}

static struct body
body_of(struct fake *f, bool chunked)
{
	f->s = (struct source){ fake_read, fake_end };
	return (struct body){ .source = &f->s, .len = BODY_OPEN,
	    .chunked = chunked };
}

/* Read all of b through buffers of exactly some size, from malloc so that the
 * address sanitizer sees one byte too many. */
static char *
drain(struct body *b, size_t *n, ssize_t *end)
{
	char *all = malloc(1 << 22), *buf;
	size_t cap;
	ssize_t k;

	*n = 0;
	for (;;) {
		cap = 8191 + roll(roll(2) == 1 ? 10 : 100000);
		buf = malloc(cap);
		if (all == NULL || buf == NULL)
			exit(1);
		k = body_read(b, buf, cap);
		must(k <= (ssize_t)cap);
		if (k > 0) {
			memcpy(all + *n, buf, (size_t)k);
			*n += (size_t)k;
		}
		free(buf);
		if (k == SOURCE_LATER)
			continue;
		if (k <= 0)
			break;
	}
	*end = k;
	return all;
}

/* Is p..p+n the letters of `want` bytes in chunks?  `whole`: with the last. */
static bool
chunks(const char *p, size_t n, size_t want, bool whole)
{
	const char *end = p + n;
	char *after;
	size_t k, i, said = 0;

	while (p < end) {
		k = strtoul(p, &after, 16);
		if (after == p || end - after < 2 ||
		    memcmp(after, "\r\n", 2) != 0)
			return false;
		p = after + 2;
		if (k > (size_t)(end - p) || end - p - (ssize_t)k < 2)
			return false;
		for (i = 0; i < k; i++)
			if (p[i] != letter(said++))
				return false;
		if (memcmp(p + k, "\r\n", 2) != 0)
			return false;
		p += k + 2;
		if (k == 0)
			return whole && p == end && said == want;
	}
	return !whole && said == want;
}

static void
test_chunks(void)
{
	static const size_t size[] = { 0, 1, 9, 15, 16, 255, 4095, 4096, 8183,
	    8184, 8185, 65534, 65535, 65536, 65544, 300000 };
	static const size_t piece[] = { 1, 7, 4096, 65535, 1000000 };
	unsigned i, k, later;
	size_t n;
	ssize_t end;
	char *all;

	part = "chunks";
	for (i = 0; i < sizeof size / sizeof size[0]; i++)
		for (k = 0; k < 5; k++)
			for (later = 0; later < 4; later += 2) {
				struct fake f = { .left = size[i],
				    .piece = piece[k], .later = later };
				struct body b = body_of(&f, true);

				if (size[i] / piece[k] > 100000)
					continue;
				all = drain(&b, &n, &end);
				all[n] = '\0';
				must(chunks(all, n, size[i], true));
				must(end == 0 && f.ended && b.len == 0);
				must(b.off == (off_t)size[i]);
				body_end(&b);
				free(all);
			}
	for (n = 65536; n < 65556; n++) {	/* a size has four digits */
		struct fake f = { .left = 200000, .piece = 200000 };
		struct body b = body_of(&f, true);

		all = malloc(n);
		end = body_read(&b, all, n);
		must(end > 0 && chunks(all, (size_t)end, f.said, false));
		body_end(&b);
		free(all);
	}
	ok("chunks carry any content, and end");
}

static void
test_plain(void)
{
	struct fake f = { .left = 100000, .piece = 3000, .later = 3 };
	struct body b = body_of(&f, false);
	const char *p;
	size_t n, i;
	ssize_t end;
	char *all;

	part = "plain";
	must(body_peek(&b, &p) == 0);
	all = drain(&b, &n, &end);
	for (i = 0; i < n && all[i] == letter(i); i++)
		;
	must(n == 100000 && i == n && end == 0 && f.ended && b.len == 0);
	free(all);
	body_end(&b);
	ok("without chunks it is the content itself");
}

static void
test_failure(void)
{
	struct fake f = { .left = 10000, .piece = 3000, .fails = true };
	struct fake g = { .left = 1, .piece = 1 }, h = g, later = { .left = 1,
	    .piece = 1, .later = 1 };
	struct body b = body_of(&f, true);
	char buf[8192];
	size_t n;
	ssize_t end;
	char *all;

	part = "failure";
	all = drain(&b, &n, &end);
	must(end == SOURCE_FAILED && !f.ended && b.len == BODY_OPEN);
	must(chunks(all, n, 10000, false));
	free(all);
	body_end(&b);
	must(f.ended && b.source == NULL && b.len == 0);
	b = body_of(&g, true);
	body_none(&b);
	must(g.ended && b.source == NULL && b.len == 0);
	body_end(&b);
	b = body_of(&h, true);
	body_end(&b);
	must(h.ended);
	b = body_of(&later, true);
	must(body_read(&b, buf, sizeof buf) == SOURCE_LATER);
	must(!later.ended && b.len == BODY_OPEN && b.off == 0);
	body_end(&b);
	ok("a source that fails leaves the content open, and is ended");
}

static void
test_file_of(void)
{
	struct file *f;
	struct body b = { 0 };
	char buf[8];
	size_t before = bytes_now;

	part = "file_of";
	f = file_of(strdup("hello"), 5);
	must(f != NULL && f->size == 5);
	b.file = f;
	b.len = f->size;
	must(body_read(&b, buf, sizeof buf) == 5 && memcmp(buf, "hello", 5) ==
	    0);
	must(body_read(&b, buf, sizeof buf) == 0);
	body_end(&b);
	must(bytes_now == before);
	ok("memory as a file");
}

/* ---- heads -------------------------------------------------------------------- */

/* http_parse's verdict on a head whose fields these are. */
static int
parse(struct req *q, char *head, const char *version, const char *fields)
{
	snprintf(head, HEAD_MAX, "GET / HTTP/%s\r\nHost: a\r\n%s\r\n", version,
	    fields);
	q->base = head;
	http_reset(q);
	return http_parse(q, strlen(head));
}

static bool
field_is(const struct req *q, enum field f, const char *value)
{
	struct str v = http_field(q, f);

	return (q->have & 1U << f) != 0 && v.n == strlen(value) &&
	    memcmp(v.p, value, v.n) == 0;
}

static void
test_fields(void)
{
	static char head[HEAD_MAX];
	struct req q;

	part = "fields";
	must(parse(&q, head, "1.1", "ACCEPT: a\r\nAccept-Encoding: b\r\n"
	    "Access-Control-Request-Headers: c\r\n"
	    "access-control-request-METHOD: d\r\nAuthorization: e\r\n"
	    "Origin: f\r\nX-Forwarded-For: g\r\nx-real-ip: h\r\n"
	    "If-None-Match: i\r\nX-Forwarded-For: j\r\n") == 1);
	must(field_is(&q, F_ACCEPT, "a") && field_is(&q, F_ACCEPT_ENCODING,
	    "b") && field_is(&q, F_AC_REQUEST_HEADERS, "c") &&
	    field_is(&q, F_AC_REQUEST_METHOD, "d") &&
	    field_is(&q, F_AUTHORIZATION, "e") && field_is(&q, F_ORIGIN, "f") &&
	    field_is(&q, F_X_FORWARDED_FOR, " g, j") &&
	    field_is(&q, F_X_REAL_IP, "h") && field_is(&q, F_IF_NONE_MATCH,
	    "i") && field_is(&q, F_HOST, "a"));
	must(parse(&q, head, "1.1", "Origins: a\r\nxorigin: b\r\nA: c\r\n"
	    "Access-Control-Request-Headerss: d\r\n"
	    "Access-Control-Request-Headerssssssssssssssss: d\r\n"
	    "Acceqt: e\r\n") == 1);
	must(q.have == 1U << F_HOST);
	ok("names of fields");
}

static void
test_head(void)
{
	static struct resp r;
	static char head[HEAD_MAX], dst[HEAD_MAX];
	struct req q;
	int i;

	part = "head";
	r.status = 200;
	r.open = true;
	parse(&q, head, "1.1", "");
	dst[http_head(&q, &r, dst, sizeof dst)] = '\0';
	must(strstr(dst, "\r\ntransfer-encoding: chunked\r\n") != NULL);
	must(strcmp(dst + strlen(dst) - 4, "\r\n\r\n") == 0);
	r.close = true;
	parse(&q, head, "1.0", "");
	dst[http_head(&q, &r, dst, sizeof dst)] = '\0';
	must(strstr(dst, "transfer-encoding") == NULL);
	r.open = false;
	parse(&q, head, "1.1", "");
	/* the longest that http_head() says it needs room for */
	for (i = 200; i < 600; i++) {
		r.status = i;
		must(http_head(&q, &r, dst, sizeof dst) < 160);
	}
	must(strcmp(http_reason(429), "Too Many Requests") == 0 &&
	    strcmp(http_reason(504), "Gateway Timeout") == 0 &&
	    strcmp(http_reason(299), "") == 0);
	ok("heads of content of unknown length");
}

/* ---- types -------------------------------------------------------------------- */

static void
write_file(const char *name, const char *text, size_t n)
{
	FILE *f = fopen(name, "w");

	if (f == NULL || fwrite(text, 1, n, f) != n || fclose(f) != 0)
		exit(1);
}

/* The verdict on a file of types that has this text, "" for a good one. */
static const char *
types_of(const char *text)
{
	const char *why;

	write_file("types", text, strlen(text));
	why = file_types("types");
	return why ? why : "";
}

static void
is_type(const char *name, const char *type)
{
	must(strcmp(type_of(name), type) == 0);
}

static void
test_types(void)
{
	char line[200], *fields;
	struct file f = { .size = INT64_MAX, .mtime = 1 };

	part = "types";
	is_type("a/b.html", "text/html");
	must(*types_of("# a comment\n\n  text/X-a  A bb  # more\r\n"
	    "text/html;charset=latin1\thtm\napplication/none\n"
	    "a/b html\nc/d html Tar.GZ\nx/y zz") == '\0');
	is_type("x.a", "text/X-a");
	is_type("x.BB", "text/X-a");
	is_type("x.htm", "text/html;charset=latin1");
	is_type("x.html", "c/d");
	is_type("x.more", "application/octet-stream");
	is_type("x.tar.gz", "c/d");
	is_type("x.gz", type_in(types, NTYPES, "gz"));
	is_type("d.html/zz", "application/octet-stream");
	is_type(".zz", "application/octet-stream");
	is_type("", "application/octet-stream");
	is_type("v.zz", "x/y");
	is_type("x.css", "text/css");
	conf.text_charset = true;
	describe(&f, "x.htm", E_IDENTITY, false);
	must(strstr(f.fields, "content-type: text/html;charset=latin1\r\n"));
	describe(&f, "x.a", E_IDENTITY, false);
	must(strstr(f.fields, "content-type: text/X-a; charset=utf-8\r\n"));

	/* what is wrong changes nothing */
	must(strcmp(types_of("a/b c\n\nhtml\n"), "types:3: no media type") == 0);
	must(strcmp(types_of("a/b x/y\n"),
	    "types:1: no file name extension") == 0);
	must(*types_of("types {\n") && *types_of("a/ b\n") &&
	    *types_of("/b c\n") && *types_of("a/b; c\n") &&
	    *types_of("a/b;c d\n") && *types_of("a/b\x01 c\n") &&
	    *types_of("a/b c\x7f\n") && *types_of("\xff/b c\n") &&
	    *types_of("a/b/c d\n"));
	write_file("types", "a/b c\0 d\n", 9);
	must(file_types("types") != NULL);
	must(file_types("nothing") != NULL && file_types(".") != NULL);
	is_type("v.zz", "x/y");

	/* the longest still fits a file's fields */
	memset(line, 'x', sizeof line);
	memcpy(line, "text/", 5);
	memcpy(line + 100, " long\n", 7);
	must(*types_of(line) == '\0');
	snprintf(f.etag, sizeof f.etag, "\"%061d\"", 0);
	conf.cache_control = true;
	describe(&f, "x.long", E_GZIP, true);
	fields = f.fields;
	must(f.n == strlen(fields) && f.n < sizeof f.fields - 1 &&
	    strcmp(fields + f.n - 7, "oding\r\n") == 0);
	memset(line + 100, 'x', 1);
	memcpy(line + 101, " long\n", 7);
	must(*types_of(line) != '\0');

	must(file_types(NULL) == NULL);
	is_type("x.html", "text/html");
	ok("a site's own types");
}

/* ---- names -------------------------------------------------------------------- */

static int
find(int root, const char *path, unsigned flags)
{
	struct file *f = NULL;
	int status;

	file_turn();
	status = file_find(root, path, strlen(path), (E_IDENTITY + 1) | flags,
	    &f);
	if (status == 200)
		file_unref(f);
	return status;
}

static void
test_find(void)
{
	int a, b, i;

	part = "find";
	mkdir("a", 0700);
	mkdir("a/d", 0700);
	mkdir("a/e", 0700);
	mkdir("b", 0700);
	write_file("a/f", "1", 1);
	write_file("b/f", "22", 2);
	write_file("a/g.html", "1", 1);
	write_file("a/e/index.html", "1", 1);
	a = fd_root("a");
	b = fd_root("b");
	conf.index = (struct names){ { "index.html" }, 1 };
	conf.trailing_redirect = true;
	/* twice: before and after they are remembered */
	file_init(10, 0, 0);
	for (i = 0; i < 2; i++) {
		must(find(a, "f", 0) == 200 && find(b, "f", 0) == 200);
		must(find(a, "g", 0) == 200 && find(b, "g", 0) == 404);
		must(find(a, "g", FILE_EXACT) == 404);
		must(find(a, "g.html", FILE_EXACT) == 200);
		must(find(a, "", 0) == FILE_DIR && find(a, "d/", 0) == FILE_DIR);
		must(find(a, "d", 0) == 308 && find(a, "e", 0) == 308);
		must(find(a, "e/", 0) == 200);
		must(find(a, "e/", FILE_EXACT) == 404);
		must(find(a, "e", FILE_EXACT) == 404);
		must(find(a, "x/", 0) == 404 && find(a, "f/", 0) == 404);
	}
	must(nentries > 0 && open_now > 0);
	file_init(10, CACHE_BYTES, CACHE_BODY);
	must(nentries == 0 && open_now == 0);
	conf.trailing_redirect = false;
	must(find(a, "d", 0) == FILE_DIR && find(a, "e", 0) == 200);
	conf.index.n = 0;
	must(find(a, "e/", 0) == FILE_DIR && find(a, "f/", 0) == 404);
	if (symlink("d", "a/l") == 0)
		must(find(a, "l/", 0) == 403);
	conf.index.n = 1;
	ok("roots, exact names, directories");

	part = "never";
	must(find(a, "f", 0) == 200);
	file_never("a/f");
	file_never("a/nothing yet");
	file_never("a/e/index.html");
	must(find(a, "f", 0) == 404 && find(b, "f", 0) == 200);
	must(find(a, "e/", 0) == FILE_DIR);
	must(link("a/f", "a/again") == 0 && find(a, "again", 0) == 404);
	/* not there means not there: .html is tried */
	write_file("a/f.html", "1", 1);
	must(find(a, "f", 0) == 200 && find(a, "f", FILE_EXACT) == 404);
	/* replaced by rename: the new one counts, the old one no more */
	write_file("a/new", "3", 1);
	must(find(a, "new", 0) == 200);
	must(rename("a/new", "a/f") == 0);
	must(find(a, "f", FILE_EXACT) == 404 && find(a, "again", 0) == 200);
	/* made later */
	write_file("a/nothing yet", "3", 1);
	must(find(a, "nothing yet", 0) == 404);
	/* taken away: its inode may become another's */
	must(unlink("a/nothing yet") == 0 && find(a, "again", 0) == 200);
	must(!nevers[1].there && nevers[0].there);
	/* the way there is gone, as after chroot(2) */
	must(rename("a", "c") == 0 && find(a, "f", FILE_EXACT) == 404);
	must(rename("c", "a") == 0);
	/* a variant */
	conf.compression_static = true;
	write_file("a/v", "1", 1);
	write_file("a/v.gz", "1", 1);
	file_never("a/v.gz");
	must(find(a, "v", 0) == 200);
	file_turn();
	{
		struct file *f;

		must(file_find(a, "v", 1, E_GZIP + 1, &f) == 406);
	}
	file_never(NULL);
	must(find(a, "f", 0) == 200 && find(a, "v.gz", 0) == 200);
	ok("files that are never served");
	file_end();
	must(open_now == 0 && bytes_now == 0);
	close(a);
	close(b);
}

int
main(int argc, char **argv)
{
	if (argc != 2 || chdir(argv[1]) < 0)
		return 2;
	log_clock();
	file_init(10, CACHE_BYTES, CACHE_BODY);
	test_chunks();
	test_plain();
	test_failure();
	test_file_of();
	test_fields();
	test_head();
	test_types();
	test_find();
	return failed > 0;
}
