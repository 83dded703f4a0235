/* site.c - struct req to struct resp: the site's rules, in one order:
 *
 *	method  expectation  https redirect  health  CORS  password  metrics
 *	maintenance  redirects  rewrites  host  markdown  file or listing
 *	page for a status  fields for all answers
 *
 * The first that has an answer gives it; pages and fields see every answer.
 * HTTP/1.1 and HTTP/2 come here alike. */
#include "sws.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static const char allow[] = "allow: GET, HEAD, OPTIONS\r\n";

enum {
	PAGE_BYTES = 1 << 20,	/* of a page that is kept in memory */
	PAGES_BYTES = 256 << 20,	/* the most a file's memory-cache gets */
	CLOSED = -2,		/* the answer is that of maintenance */
	LATER = -1,		/* no answer in this turn */
	DONE = 0,		/* r is complete but for what finish() adds */
};

enum page { P_404, P_50X, P_FALLBACK, P_MAINTENANCE, NPAGES };

/* What conf says, opened. */
struct site {
	int root;
	int host[HOSTS_MAX];	/* roots of rules_hosts(), same order */
	unsigned nhosts;
	/* a page below the root is a name, looked up at each use; one from
	 * elsewhere is read at start.  Neither: none. */
	const char *name[NPAGES];
	struct file *page[NPAGES];
};

static struct site site = { .root = -1 };
static unsigned https_port;
static unsigned max_files;

void
site_https_port(unsigned port)
{
	https_port = port;
}

/* ---- opening what conf names ---------------------------------------------- */

static void
site_close(struct site *s)
{
	unsigned i;

	if (s->root >= 0)
		close(s->root);
	for (i = 0; i < s->nhosts; i++)
		close(s->host[i]);
	for (i = 0; i < NPAGES; i++)
		file_unref(s->page[i]);
	memset(s, 0, sizeof *s);
	s->root = -1;
}

/* The whole of a file outside the root.  NULL with errno. */
static struct file *
read_page(const char *name)
{
	int fd = open(name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	char *bytes = NULL;
	struct stat st;
	ssize_t k;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode))
		errno = EINVAL;
	else if (st.st_size > PAGE_BYTES)
		errno = EFBIG;
	else
		bytes = malloc((size_t)st.st_size + 1);
	k = bytes ? read(fd, bytes, (size_t)st.st_size) : -1;
	close(fd);
	if (k < 0) {
		free(bytes);
		return NULL;
	}
	return file_of(bytes, (size_t)k);
}

static const char *why_not(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));
static const char *
why_not(const char *fmt, ...)
{
	static char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return text;
}

/* A page of conf: a path from the root of the file system, or one below the
 * folder that is served. */
static const char *
open_page(struct site *s, enum page which, const char *option, const char *name)
{
	if (name == NULL)
		return NULL;
	if (name[0] == '/') {
		s->page[which] = read_page(name);
		return s->page[which] ? NULL : why_not("--%s %s: %s", option,
		    name, strerror(errno));
	}
	while (name[0] == '.' && name[1] == '/')
		name += 2;
	s->name[which] = name;
	return NULL;
}

static const char *
bad_host(const struct vhost *v)
{
	return why_not("virtual host %s: root %s: %s", v->host, v->root,
	    strerror(errno));
}

/* Can something below a folder that we found be read?  In the box not where
 * it was not named at the start.  One that we serve may forbid lists. */
static bool
reachable(int dir)
{
	struct stat is, was;
	unsigned i;
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int why = errno;

	if (fd >= 0)
		close(fd);
	if (fd >= 0 || site.root < 0 || fstat(dir, &is) < 0)
		return true;
	for (i = 0; i <= site.nhosts; i++)
		if (fstat(i < site.nhosts ? site.host[i] : site.root,
		    &was) == 0 && is.st_ino == was.st_ino &&
		    is.st_dev == was.st_dev)
			return true;
	errno = why;
	return false;
}

/* Open everything into s.  NULL, or what is wrong. */
static const char *
open_site(struct site *s)
{
	struct vhost *v;
	const char *why;
	unsigned i, n = rules_hosts(conf.rules, &v);

	/* opened once: a link that leads elsewhere by now is follow_root's */
	s->root = site.root < 0 ? fd_root(conf.root) :
	    fcntl(site.root, F_DUPFD_CLOEXEC, 3);
	if (s->root < 0)
		return why_not("--root %s: %s", conf.root, strerror(errno));
	for (i = 0; i < n; i++) {
		s->host[i] = fd_root(v[i].root);
		if (s->host[i] < 0)
			return bad_host(&v[i]);
		v[i].fd = s->host[i];
		s->nhosts++;
		if (!reachable(s->host[i]))
			return bad_host(&v[i]);
	}
	if ((why = open_page(s, P_404, "page404", conf.page404)) != NULL ||
	    (why = open_page(s, P_50X, "page50x", conf.page50x)) != NULL ||
	    (why = open_page(s, P_FALLBACK, "page-fallback",
	    conf.page_fallback)) != NULL ||
	    (why = open_page(s, P_MAINTENANCE, "maintenance-mode-file",
	    conf.maintenance_file)) != NULL)
		return why;
	return file_types(conf.mime_types);
}

const char *
site_init(unsigned files)
{
	struct site s = { .root = -1 };
	const char *why = open_site(&s);
	struct vhost *v;
	int64_t bytes = CACHE_BYTES, largest = CACHE_BODY;
	unsigned i, n;

	if (why != NULL) {
		site_close(&s);
		return why;
	}
	max_files = files;
	/* as many of the largest as are wanted would be gigabytes for SWS's own
	 * figures, which count entries */
	if (rules_cache(conf.rules, &bytes, &largest) && bytes > PAGES_BYTES)
		bytes = PAGES_BYTES;
	file_init(max_files, (size_t)bytes, (size_t)largest);
	site_close(&site);
	site = s;
	/* never to be served, wherever they are */
	file_never(NULL);
	/* a default one that is not there yet will be read by a reload */
	file_never(conf.config_file ? conf.config_file : "sws.toml");
	for (i = 0; i < conf.key.n; i++)
		file_never(conf.key.v[i]);
	n = rules_hosts(conf.rules, &v);
	for (i = 0; i < n; i++)
		if (v[i].key != NULL)
			file_never(v[i].key);
	return NULL;
}

void
site_end(void)
{
	site_close(&site);
	file_end();
}

/* --use-relative-root: the name of the root may lead elsewhere by now. */
static void
follow_root(void)
{
	struct stat is, was;
	int fd;

	if (!conf.relative_root)
		return;
	if (stat(conf.root, &is) < 0 || fstat(site.root, &was) < 0 ||
	    (is.st_ino == was.st_ino && is.st_dev == was.st_dev))
		return;
	fd = fd_root(conf.root);
	if (fd < 0)
		return;
	if (!reachable(fd)) {
		close(fd);
		return;
	}
	file_end();	/* the cache knows the old one by its number */
	close(site.root);
	site.root = fd;
}

/* ---- small parts of an answer ------------------------------------------------ */

static void
begin(const struct req *q, struct resp *r)
{
	r->status = 200;
	r->close = !q->keep;
	r->head_only = q->method == M_HEAD;
	r->open = false;
	r->shared = (struct str){ "", 0 };
	memset(&r->body, 0, sizeof r->body);
	r->n = 0;
}

static struct str
field(const struct req *q, enum field f)
{
	return q->have & 1U << f ? http_field(q, f) : (struct str){ "", 0 };
}

static bool
is_path(const struct req *q, const char *path)
{
	return q->path.len == strlen(path) &&
	    memcmp(q->base + q->path.off, path, q->path.len) == 0;
}

/* A path that is answered without a file. */
static bool
is_ours(const struct req *q)
{
	return (conf.health && is_path(q, "/health")) ||
	    (conf.metrics && is_path(q, "/metrics"));
}

static bool
reads(const struct req *q)
{
	return q->method == M_GET || q->method == M_HEAD;
}

static struct str
query_of(const struct req *q)
{
	return q->query.off != 0 ? (struct str){ q->base + q->query.off,
	    q->query.len } : (struct str){ "", 0 };
}

static struct str
host_of(const struct req *q)
{
	return (struct str){ q->base + q->host.off, q->host.len };
}

/* Our own small page for a status.  The text stays. */
static const char *
page(int status)
{
	static struct {
		int status;
		char text[320];
	} made[32];
	unsigned i;
	int shown;

	for (i = 0; i < 31 && made[i].status != 0; i++)
		if (made[i].status == status)
			return made[i].text;
	made[i].status = status;
	shown = status == PLAIN_ON_TLS ? 400 : status;
	snprintf(made[i].text, sizeof made[i].text,
	    "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
	    "<meta name=\"viewport\" content=\"width=device-width\">\n"
	    "<title>%d %s</title>\n"
	    "<style>:root{color-scheme:light dark;font-family:sans-serif}"
	    "</style>\n<h1>%d %s</h1>\n</html>\n", shown, http_reason(status),
	    shown, http_reason(status));
	return made[i].text;
}

/* The configured page for a status, if it can be read; root: of the host that
 * was asked for. */
static struct file *
page_file(int root, enum page which)
{
	const unsigned plain = file_accept((struct str){ "", 0 }, false) |
	    FILE_EXACT;
	const char *name = site.name[which];
	struct file *f = site.page[which];

	if (f != NULL) {
		f->refs++;
		return f;
	}
	if (name == NULL)
		return NULL;
	if (file_find(root, name, strlen(name), plain, &f) == 200)
		return f;
	return root != site.root && file_find(site.root, name, strlen(name),
	    plain, &f) == 200 ? f : NULL;
}

/* Content for a status that has no file of its own; keeps r's fields. */
static void
page_answer(struct resp *r, int root, int status, struct file *f)
{
	const char *type;

	if (f == NULL && status == 404)
		f = page_file(root, P_404);
	if (f == NULL && status >= 500)
		f = page_file(root, P_50X);
	r->status = status == PLAIN_ON_TLS ? 400 : status;
	if (f != NULL) {
		type = f->n > 0 ? f->fields + f->cl :
		    "content-type: text/html; charset=utf-8\r\n";
		r->body.file = f;
		r->body.len = f->size;
		http_put(r, "content-length: %lld\r\n%.*s\r\n",
		    (long long)f->size, (int)strcspn(type, "\r"), type);
		return;
	}
	r->body.mem = page(status);
	r->body.len = (off_t)strlen(r->body.mem);
	http_put(r, "content-length: %lld\r\ncontent-type: text/html; "
	    "charset=utf-8\r\n", (long long)r->body.len);
}

/* A short answer of our own making. */
static int
text_answer(struct resp *r, const char *type, const char *text, size_t n)
{
	char *copy = malloc(n + 1);

	if (copy == NULL)
		return 503;
	memcpy(copy, text, n);
	r->body.file = file_of(copy, n);
	if (r->body.file == NULL)
		return 503;
	r->body.len = (off_t)n;
	http_put(r, "content-length: %zu\r\ncontent-type: %s\r\n"
	    "cache-control: no-cache\r\n", n, type);
	return DONE;
}

/* ---- fields for all answers ---------------------------------------------------- */

/* Take the line of that name out of r's fields. */
static void
take_out(struct resp *r, const char *name, size_t n)
{
	char *p = r->fields, *end = r->fields + r->n, *next;

	for (; p < end; p = next) {
		next = (char *)memchr(p, '\n', (size_t)(end - p)) + 1;
		if ((size_t)(next - p) <= n || p[n] != ':' ||
		    memcmp(p, name, n) != 0)
			continue;
		memmove(p, next, (size_t)(end - next));
		r->n -= (size_t)(next - p);
		end -= next - p;
		next = p;
	}
}

/* A custom field: the site's word counts, not ours. */
static void
custom(void *arg, const char *line, size_t n)
{
	struct resp *r = arg;
	struct str s = r->shared;

	if (s.n > 0) {	/* the file's own fields are not to be changed */
		r->shared = (struct str){ "", 0 };
		http_put(r, "%.*s", (int)s.n, s.p);
	}
	take_out(r, line, strcspn(line, ":"));
	http_put(r, "%.*s", (int)n, line);
}

static void
finish(const struct req *q, struct resp *r, struct str path)
{
	static const char always[] = "x-frame-options: DENY\r\n"
	    "x-content-type-options: nosniff\r\n"
	    "content-security-policy: frame-ancestors 'self'\r\n"
	    "referrer-policy: strict-origin-when-cross-origin\r\n";
	static const char hsts[] = "strict-transport-security: "
	    "max-age=63072000; includeSubDomains; preload\r\n";

	if (conf.security_headers)
		http_put(r, "%s%s", q->tls ? hsts : "", always);
	if (rules_any_fields(conf.rules)) {
		/* an index file answers for its folder, under both names */
		char both[2 * PATH_LEN];
		int n = 0;

		if (r->body.file != NULL && r->body.file->index > 0 &&
		    path.n > 0 && path.p[path.n - 1] == '/')
			n = snprintf(both, sizeof both, "%.*s%s", (int)path.n,
			    path.p, conf.index.v[r->body.file->index - 1]);
		rules_fields(conf.rules, path, (struct str){ both,
		    n < PATH_LEN ? (size_t)n : 0 }, r->status, custom, r);
	}
	if (r->head_only)
		body_none(&r->body);
	metrics_begin();
}

/* ---- rules ------------------------------------------------------------------- */

/* RFC 9110 9.3.7. */
static int
options(struct resp *r)
{
	r->status = 204;
	http_put(r, "%s", allow);
	return DONE;
}

static bool
listed(const struct names *n, const char *p, size_t len)
{
	unsigned i;

	for (i = 0; i < n->n; i++)
		if (strlen(n->v[i]) == len &&
		    strncasecmp(n->v[i], p, len) == 0)
			return true;
	return false;
}

static void
put_names(struct resp *r, const char *name, const struct names *n)
{
	unsigned i;

	for (i = 0; i < n->n; i++)
		http_put(r, "%s%s", i == 0 ? name : ", ", n->v[i]);
	if (n->n > 0)
		http_put(r, "\r\n");
}

/* Names of methods are told apart by case, RFC 9110 9.1. */
static bool
served(struct str method)
{
	static const char *const name[] = { "GET", "HEAD", "OPTIONS" };
	unsigned i;

	for (i = 0; i < 3; i++)
		if (strlen(name[i]) == method.n &&
		    memcmp(name[i], method.p, method.n) == 0)
			return true;
	return false;
}

/* Are all names of the list v allowed? */
static bool
fields_allowed(struct str v)
{
	const char *p = v.p, *end = v.p + v.n, *comma;
	size_t n;

	for (; p != NULL && p <= end; p = comma ? comma + 1 : NULL) {
		comma = memchr(p, ',', (size_t)(end - p));
		n = (size_t)((comma ? comma : end) - p);
		while (n > 0 && (*p == ' ' || *p == '\t'))
			p++, n--;
		while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t'))
			n--;
		if (n > 0 && !listed(&conf.cors_headers, p, n))
			return false;
	}
	return true;
}

/* The Fetch standard's protocol for other origins.  200: go on. */
static int
cors(const struct req *q, struct resp *r)
{
	const struct names *n = &conf.cors_origins;
	struct str origin = field(q, F_ORIGIN);
	bool any;

	if (n->n == 0)
		return 200;
	any = n->v[0][0] == '*';
	if (!any)
		http_put(r, "vary: origin\r\n");
	if ((q->have & 1U << F_ORIGIN) == 0)
		return 200;
	if ((q->twice & 1U << F_ORIGIN) ||
	    (!any && !listed(n, origin.p, origin.n)))
		return 403;
	http_put(r, "access-control-allow-origin: %.*s\r\n",
	    any ? 1 : (int)(origin.n < 512 ? origin.n : 0),
	    any ? "*" : origin.p);
	if (q->method != M_OPTIONS ||
	    (q->have & 1U << F_AC_REQUEST_METHOD) == 0) {
		put_names(r, "access-control-expose-headers: ",
		    &conf.cors_expose);
		return 200;
	}
	if (!served(field(q, F_AC_REQUEST_METHOD)) ||
	    !fields_allowed(field(q, F_AC_REQUEST_HEADERS)))
		return 403;
	http_put(r, "access-control-allow-methods: GET, HEAD, OPTIONS\r\n");
	put_names(r, "access-control-allow-headers: ", &conf.cors_headers);
	r->status = 204;
	return DONE;
}

/* RFC 7617.  200: go on. */
static int
password(const struct req *q, struct resp *r)
{
	struct sockaddr_in6 from = { .sin6_family = AF_INET6 };
	const struct sockaddr *peer = q->peer;

	if (!auth_on())
		return 200;
	/* behind a trusted proxy one client's failures are not everybody's */
	if (log_client(q, &from.sin6_addr))
		peer = (const struct sockaddr *)&from;
	switch (q->have & 1U << F_AUTHORIZATION ?
	    auth_check(field(q, F_AUTHORIZATION), peer) : AUTH_WRONG) {
	case AUTH_OK:
		return 200;
	case AUTH_LATER:
		return LATER;
	case AUTH_FLOOD:
		http_put(r, "retry-after: 5\r\n");
		return 429;
	}
	http_put(r, "www-authenticate: Basic realm=\"sws\", "
	    "charset=\"UTF-8\"\r\n");
	return 401;
}

static int
metrics(struct resp *r)
{
	char text[METRICS_MAX];

	return text_answer(r, "text/plain; version=0.0.4; charset=utf-8", text,
	    metrics_text(text, sizeof text));
}

/* A directory without its slash: the same path with it, query kept.  Built from
 * the decoded path, which never begins with a slash, so that the Location
 * cannot name another host. */
static int
add_slash(const struct req *q, struct resp *r, const char *path, size_t len)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/!$&'()*+,;=:@";
	char loc[LOCATION - 16];
	size_t n = 0, i;

	loc[n++] = '/';
	for (i = 0; i < len; i++) {
		if (n + 5 + q->query.len > sizeof loc)
			return 414;
		if (strchr(plain, path[i]) != NULL)
			loc[n++] = path[i];
		else
			n += (size_t)snprintf(loc + n, 4, "%%%02X",
			    (unsigned)(unsigned char)path[i]);
	}
	loc[n++] = '/';
	if (q->query.off != 0) {
		loc[n++] = '?';
		memcpy(loc + n, q->base + q->query.off, q->query.len);
		n += q->query.len;
	}
	http_put(r, "location: %.*s\r\n", (int)n, loc);
	return 308;
}

/* To the same target over TLS; only for hosts that were named, since the one in
 * the request is the client's word. */
static int
to_https(const struct req *q, struct resp *r)
{
	const char *host = q->base + q->host.off;
	size_t n = q->host.len, k;
	char port[8] = "";
	unsigned i;

	for (k = n; k > 0 && host[k - 1] >= '0' && host[k - 1] <= '9'; k--)
		;
	if (k > 0 && host[k - 1] == ':')
		n = k - 1;
	for (i = 0; i < conf.https_from.n; i++)
		if (strlen(conf.https_from.v[i]) == n &&
		    strncasecmp(conf.https_from.v[i], host, n) == 0)
			break;
	if (i == conf.https_from.n)
		return 400;
	if (https_port != 443)
		snprintf(port, sizeof port, ":%u", https_port);
	http_put(r, "location: https://%.255s%s%s%.*s%s%.*s\r\n",
	    conf.https_host, port, q->path.len == 0 ? "/" : "",
	    (int)q->path.len, q->base + q->path.off, q->query.off ? "?" : "",
	    (int)q->query.len, q->base + q->query.off);
	return 301;
}

/* A file that is there: conditions, then ranges, then all of it. */
static int
send_file(const struct req *q, struct resp *r, struct file *f)
{
	const uint32_t conditions = 1U << F_IF_MATCH | 1U << F_IF_NONE_MATCH |
	    1U << F_IF_MODIFIED_SINCE | 1U << F_IF_UNMODIFIED_SINCE;
	int status = 200;

	r->body.file = f;
	if (q->have & conditions)
		status = file_conditions(q, f);
	if (status == 200 && (q->have & 1U << F_RANGE))
		status = file_range(q, f, r);
	switch (status) {
	case 200:
		r->shared = (struct str){ f->fields, f->n };
		r->body.off = 0;
		r->body.len = f->size;
		break;
	case 206:
		break;
	case 304:
		r->shared = (struct str){ f->fields + f->val,
		    (size_t)(f->n - f->val) };
		r->head_only = true;
		break;
	case 416:
		http_put(r, "content-range: bytes */%lld\r\n",
		    (long long)f->size);
		/* FALLTHROUGH */
	default:
		body_end(&r->body);
		return status;
	}
	r->status = status;
	return 0;
}

/* The length of a parameter's value at p. */
static size_t
run(const char *p, const char *end)
{
	const char *q = p;

	while (q < end && *q != ';' && *q != ' ' && *q != '\t')
		q++;
	return (size_t)(q - p);
}

/* How much does an Accept field want `type`, in thousandths?  -1: it does not
 * name it.  RFC 9110 12.5.1; parameters other than q do not count. */
static int
wants(struct str v, const char *type)
{
	const char *p = v.p, *end = v.p + v.n, *comma, *semi, *last;
	size_t n = strlen(type);
	int q = -1;

	for (; p != NULL && p < end; p = comma ? comma + 1 : NULL) {
		comma = memchr(p, ',', (size_t)(end - p));
		last = comma ? comma : end;
		while (p < last && (*p == ' ' || *p == '\t'))
			p++;
		if ((size_t)(last - p) < n || strncasecmp(p, type, n) != 0 ||
		    ((size_t)(last - p) > n && strchr("; \t", p[n]) == NULL))
			continue;
		q = 1000;
		for (semi = p + n; semi < last; semi++)
			if (last - semi > 2 && (*semi == ';' || *semi == ' ') &&
			    (semi[1] | 0x20) == 'q' && semi[2] == '=')
				q = http_qvalue(semi + 3, run(semi + 3, last));
		if (q < 0)
			q = 0;
	}
	return q;
}

/* The Markdown form of a page for a client that asks for it. */
static int
find_markdown(int root, const char *path, size_t len, unsigned accept,
    struct file **f)
{
	static const char *const suffix[] = { ".md", ".html.md",
	    "/index.html.md" };
	char name[PATH_LEN];
	unsigned i;
	int n;

	if (len == 0 || path[len - 1] == '/') {
		n = snprintf(name, sizeof name, "%sindex.html.md", path);
		return n < PATH_LEN ? file_find(root, name, (size_t)n,
		    accept | FILE_EXACT, f) : 404;
	}
	for (i = 0; i < sizeof suffix / sizeof suffix[0]; i++) {
		n = snprintf(name, sizeof name, "%s%s", path, suffix[i]);
		if (n < PATH_LEN && file_find(root, name, (size_t)n,
		    accept | FILE_EXACT, f) == 200)
			return 200;
	}
	return 404;
}

static int
listing(const struct req *q, struct resp *r, int root, const char *path)
{
	struct str accept = field(q, F_ACCEPT);
	unsigned format = conf.listing_format;
	int json;

	if (format == LISTING_AUTO) {
		json = wants(accept, "application/json");
		format = json > 0 && json > wants(accept, "text/html") ?
		    LIST_JSON : LIST_HTML;
		if (!conf.markdown)	/* else it is there */
			http_put(r, "vary: accept\r\n");
	}
	r->body.source = list_open(root, path, format,
	    list_sort(query_of(q), conf.listing_order));
	if (r->body.source == NULL)
		return errno == EACCES ? 403 : errno == ENOENT ||
		    errno == ENOTDIR || errno == ELOOP ? 404 : 503;
	r->body.len = BODY_OPEN;
	r->open = true;
	http_put(r, "content-type: %s\r\ncache-control: no-cache\r\n",
	    format == LIST_JSON ? "application/json" :
	    "text/html; charset=utf-8");
	return DONE;
}

/* What path (decoded, after its slash) leads to below root. */
static int
serve(const struct req *q, struct resp *r, int root, const char *path,
    size_t len)
{
	struct file *f;
	unsigned accept;
	int status = 404;

	accept = file_accept(field(q, F_ACCEPT_ENCODING),
	    (q->have & 1U << F_ACCEPT_ENCODING) != 0);
	if (conf.markdown) {
		http_put(r, "vary: accept\r\n");
		if (wants(field(q, F_ACCEPT), "text/markdown") > 0)
			status = find_markdown(root, path, len, accept, &f);
	}
	if (status != 200)
		status = file_find(root, path, len, accept, &f);
	if (status == FILE_DIR && !conf.listing)
		status = 404;
	if (status == 406)
		http_put(r, "vary: accept-encoding\r\n");
	if (q->method == M_OPTIONS && (status == 200 || status == 308 ||
	    status == FILE_DIR)) {
		if (status == 200)
			file_unref(f);
		return options(r);
	}
	switch (status) {
	case 200:
		return send_file(q, r, f);
	case 308:
		return add_slash(q, r, path, len);
	case FILE_DIR:
		return listing(q, r, root, path);
	}
	return status;
}

/* Rules of a request as such, before anyone looks at its path.  200: go on. */
static int
gate(const struct req *q, struct resp *r)
{
	int status;

	if (q->method == M_OTHER) {
		/* RFC 9110 9.1; nobody's method is that long */
		r->close |= q->name.len > 32;
		return 501;
	}
	if (q->method == M_KNOWN) {
		http_put(r, "%s", allow);
		/* after a CONNECT other bytes than ours may follow */
		r->close |= q->path.len == 0;
		return 405;
	}
	if (q->expect_bad)
		return 417;
	if (q->redirect && !is_path(q, "*"))
		return to_https(q, r);
	if (conf.health && reads(q) && is_path(q, "/health"))
		return text_answer(r, "text/plain; charset=utf-8", "OK", 2);
	status = cors(q, r);
	if (status == 200)
		status = password(q, r);
	if (status != 200)
		return status;
	if (is_path(q, "*") || (q->method == M_OPTIONS && is_ours(q)))
		return options(r);
	if (conf.metrics && reads(q) && is_path(q, "/metrics"))
		return metrics(r);
	return 200;
}

/* DONE, LATER or the status of a page.  path is '/' and what is decoded, *len
 * bytes with the slash; *root that of the host. */
static int
answer(const struct req *q, struct resp *r, char *path, size_t *len, int *root)
{
	char target[LOCATION / 2];
	const struct vhost *v;
	size_t n = 0;
	int status, bad;

	/* first of all: fields go by the path, pages by the host, whatever
	 * comes */
	bad = file_path((struct str){ q->base + q->path.off, q->path.len },
	    path + 1, &n);
	*len = n + 1;
	v = rules_host(conf.rules, host_of(q));
	if (v != NULL)
		*root = v->fd;
	if (bad == 400 && q->redirect)
		return bad;	/* not to be handed on in a Location */
	status = gate(q, r);
	if (status != 200)
		return status;
	if (conf.maintenance) {
		http_put(r, "retry-after: 300\r\n");
		return CLOSED;
	}
	if (bad != 0)
		return bad;
	status = rules_redirect(conf.rules, host_of(q),
	    (struct str){ path, *len }, query_of(q), target, sizeof target);
	if (status == 414)
		return status;
	if (status != 0) {
		http_put(r, "location: %s\r\n", target);
		return status;
	}
	status = rules_rewrite(conf.rules, (struct str){ path, *len }, target,
	    sizeof target, &n);
	if (status == 414)
		return status;
	if (status != 0) {
		status = file_path((struct str){ target, n }, path + 1, &n);
		if (status != 0)
			return status;
		*len = n + 1;
	}
	return serve(q, r, *root, path + 1, *len - 1);
}

/* What is missing is the fallback page, if there is one: a file like others,
 * or *f if it has been read at the start. */
static int
fall_back(const struct req *q, struct resp *r, int root, struct file **f)
{
	struct file *page = page_file(root, P_FALLBACK);

	if (page == NULL)
		return 404;
	if (page->n > 0)
		return send_file(q, r, page);
	if (conf.cache_control)
		http_put(r, "cache-control: no-cache\r\n");
	*f = page;
	return 200;
}

bool
site_answer(const struct req *q, struct resp *r)
{
	char path[PATH_LEN + 1] = "/";
	struct file *f = NULL;
	size_t len;
	int root, status;

	follow_root();
	root = site.root;
	begin(q, r);
	status = answer(q, r, path, &len, &root);
	if (status == LATER)
		return false;
	if (status != DONE) {
		r->close |= status == 400 || status == 417;
		if (status == CLOSED) {
			status = (int)conf.maintenance_status;
			f = page_file(root, P_MAINTENANCE);
		} else if (status == 404 && reads(q)) {
			status = fall_back(q, r, root, &f);
		}
	}
	if (status != DONE)
		page_answer(r, root, status, f);
	finish(q, r, (struct str){ path, len });
	return true;
}

void
site_error(const struct req *q, struct resp *r, int status)
{
	begin(q, r);
	r->close = true;
	page_answer(r, site.root, status, NULL);
	finish(q, r, (struct str){ "/", 1 });
}

void
site_done(const struct req *q, int status, int64_t bytes, int64_t began)
{
	int64_t us = log_us() - began;

	metrics_end(q->method, status, bytes, us);
	if (conf.access_log)
		log_access(q, status, bytes, us);
}
