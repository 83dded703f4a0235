/* site.c - struct req to struct resp: the site's rules, in one order:
 * methods, expectations, target, file, conditions, ranges, pages.
 *
 * HTTP/1.1 and later protocols come here alike; nothing in this file knows
 * which one a request arrived by. */
#include "sws.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static const char allow[] = "allow: GET, HEAD, OPTIONS\r\n";

static unsigned https_port;
static int root = -1;		/* owned */

void
site_https_port(unsigned port)
{
	https_port = port;
}

const char *
site_init(void)
{
	static char why[256];
	int fd = fd_root(conf.root);

	if (fd < 0) {
		snprintf(why, sizeof why, "--root %.200s: %s", conf.root,
		    strerror(errno));
		return why;
	}
	if (root >= 0)
		close(root);
	root = fd;
	return NULL;
}

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

/* The configured page for a status, if it can be read. */
static struct file *
page_file(int status)
{
	const char *name = status == 404 ? conf.page404 :
	    status >= 500 ? conf.page50x : NULL;
	struct file *f;

	if (name == NULL)
		return NULL;
	while (name[0] == '.' && name[1] == '/')
		name += 2;
	return file_find(root, name, strlen(name), file_accept((struct str){ "", 0 },
	    false), &f) == 200 ? f : NULL;
}

/* Content for a status that has no file of its own; keeps r's fields. */
static void
page_answer(struct resp *r, int status)
{
	struct file *f = page_file(status);

	r->status = status == PLAIN_ON_TLS ? 400 : status;
	if (f != NULL) {
		const char *type = f->fields + f->cl;

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

/* Everything that is the same for all answers. */
static void
finish(struct resp *r)
{
	if (r->head_only)
		body_none(&r->body);
}

void
site_error(const struct req *q, struct resp *r, int status)
{
	begin(q, r);
	r->close = true;
	page_answer(r, status);
	finish(r);
}

/* RFC 9110 9.3.7. */
static void
options(struct resp *r)
{
	r->status = 204;
	http_put(r, "%s", allow);
}

/* A directory without its slash: the same path with it, query kept.  Built from
 * the decoded path, which never begins with a slash, so that the Location
 * cannot name another host. */
static int
add_slash(const struct req *q, struct resp *r, const char *path, size_t len)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/!$&'()*+,;=:@";
	char loc[RESP_FIELDS - 512];
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
	if (q->path.len + q->query.len > RESP_FIELDS - 1024)
		return 414;
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

/* 0: r is complete but for finish(); else the status of a page. */
static int
answer(const struct req *q, struct resp *r)
{
	char path[PATH_LEN];
	struct file *f;
	size_t len;
	unsigned accept;
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
	if (q->path.len == 1 && q->base[q->path.off] == '*') {
		options(r);
		return 0;
	}
	if (q->redirect)
		return to_https(q, r);
	status = file_path((struct str){ q->base + q->path.off, q->path.len },
	    path, &len);
	if (status != 0)
		return status;
	accept = file_accept(q->have & 1U << F_ACCEPT_ENCODING ?
	    http_field(q, F_ACCEPT_ENCODING) : (struct str){ "", 0 },
	    (q->have & 1U << F_ACCEPT_ENCODING) != 0);
	status = file_find(root, path, len, accept, &f);
	if (status == FILE_DIR)
		status = 404;
	if (status == 406)
		http_put(r, "vary: accept-encoding\r\n");
	if (q->method == M_OPTIONS && (status == 200 || status == 308)) {
		if (status == 200)
			file_unref(f);
		options(r);
		return 0;
	}
	if (status == 308)
		return add_slash(q, r, path, len);
	return status == 200 ? send_file(q, r, f) : status;
}

bool
site_answer(const struct req *q, struct resp *r)
{
	int status;

	begin(q, r);
	status = answer(q, r);
	if (status != 0) {
		r->close |= status == 400 || status == 417;
		page_answer(r, status);
	}
	finish(r);
	return true;
}

void
site_done(const struct req *q, int status, int64_t bytes, int64_t began)
{
	if (conf.access_log)
		log_access(q, status, bytes, log_us() - began);
}
