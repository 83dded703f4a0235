/* list.c - a directory as a page or as JSON, made while it is sent.
 *
 * The start of the page goes out at once.  Then up to LIST_SORTED entries are
 * collected, a slice in each turn of the loop, into one piece of memory for
 * their names and a heap that gives them back in order.  A longer folder is
 * not sorted: what was collected and then the rest come as readdir(3) has
 * them, one at a time.
 *
 * However many are under way, a turn is short and memory bounded: they share
 * the entries that are looked at in a turn, and the bytes that are kept. */
#include "sws.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum {
	PIECE = 16384,		/* bytes made in a call */
	SLICE = 256,		/* entries looked at in a call: < 1 ms */
	SLICE_MIN = 16,		/* when many share ... */
	SLICES = 2048,		/* ... those of a turn */
	LINK_COST = 4,		/* to follow a link takes as long as so many */
};

struct entry {
	int64_t size;		/* -1: a directory */
	int64_t mtime;
	uint32_t nsec;
	uint32_t name;		/* where it begins in list.names */
};

enum step { TOP, COLLECT, TABLE, ROWS, BOTTOM, DONE };

struct list {
	struct source source;	/* first: they are one pointer */
	DIR *dir;		/* owned */
	int root;		/* owned: to follow links; or -1 */
	unsigned format, order;
	enum step step;
	unsigned budget;	/* what this call may still look at */
	bool unsorted;		/* too long for that */
	bool more;		/* an entry was written before */
	unsigned dirs, files;
	struct entry *entry;	/* owned; a heap unless unsorted */
	size_t first, nentry, maxentry;
	char *names;		/* owned; each with its NUL */
	size_t nnames, maxnames;
	unsigned part;		/* of the page's top, and ... */
	size_t at;		/* ... how far into its path */
	bool slash;		/* the path was asked for with its slash */
	char path[];		/* "" or "a/b/" */
};

static size_t kept;		/* bytes of entries and names, of all lists */

/* ---- appending to what is sent ------------------------------------------- */

struct out {
	char *p;
	size_t n, cap;
	bool full;		/* something did not fit: nothing fits now */
};

static void
add(struct out *o, const char *s, size_t n)
{
	if (o->full || n > o->cap - o->n) {
		o->full = true;
		return;
	}
	memcpy(o->p + o->n, s, n);
	o->n += n;
}

static void
adds(struct out *o, const char *s)
{
	add(o, s, strlen(s));
}

__attribute__((format(printf, 2, 3))) static void
addf(struct out *o, const char *fmt, ...)
{
	char s[256];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(s, sizeof s, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof s)
		o->full = true;
	else
		add(o, s, (size_t)n);
}

/* Was all since mark taken?  If not, it is taken back, to be made again in the
 * next call. */
static bool
whole(struct out *o, size_t mark)
{
	if (!o->full)
		return true;
	o->n = mark;
	o->full = false;
	return false;
}

/* One code point of s, and how long it is.  What is not UTF-8 is U+FFFD, one
 * for each longest piece that begins like a character, as browsers, Python and
 * Rust do it. */
static size_t
rune(const char *s, uint32_t *code)
{
	const unsigned char *u = (const unsigned char *)s;
	unsigned lo = 0x80, hi = 0xbf;
	size_t n, i;
	uint32_t c = u[0];

	*code = c;
	if (c < 0x80)
		return 1;
	*code = 0xfffd;
	if (c < 0xc2 || c > 0xf4)
		return 1;
	n = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	if (c == 0xe0)
		lo = 0xa0;	/* no overlong forms, ... */
	else if (c == 0xf0)
		lo = 0x90;
	else if (c == 0xed)
		hi = 0x9f;	/* no surrogates, ... */
	else if (c == 0xf4)
		hi = 0x8f;	/* nothing above U+10FFFF */
	c &= 0x7fu >> n;
	for (i = 1; i < n; i++) {
		if (u[i] < lo || u[i] > hi)
			return i;
		c = c << 6 | (u[i] & 0x3f);
		lo = 0x80;
		hi = 0xbf;
	}
	*code = c;
	return n;
}

/* Would it do something to a page rather than be seen in it?  Control bytes,
 * line separators, what turns the direction of the text after it, and what
 * HTML forbids. */
static bool
acts(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) ||
	    c == 0x2028 || c == 0x2029 || (c >= 0x202a && c <= 0x202e) ||
	    (c >= 0x2066 && c <= 0x2069) || (c >= 0xfdd0 && c <= 0xfdef) ||
	    (c & 0xfffe) == 0xfffe;
}

/* The code point at s as text of a page; how long it is there. */
static size_t
add_html(struct out *o, const char *s)
{
	uint32_t c;
	size_t n = rune(s, &c);

	switch (c) {
	case '&':
		adds(o, "&amp;");
		break;
	case '<':
		adds(o, "&lt;");
		break;
	case '>':
		adds(o, "&gt;");
		break;
	case '"':
		adds(o, "&quot;");
		break;
	case '\'':
		adds(o, "&#39;");
		break;
	default:
		if (c == 0xfffd || acts(c))
			adds(o, "\xef\xbf\xbd");
		else
			add(o, s, n);
	}
	return n;
}

/* n bytes as a part of a URL's path: only what RFC 3986 2.3 calls unreserved
 * stays. */
static void
add_url(struct out *o, const char *s, size_t n)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";

	for (; n > 0; s++, n--)
		if (*s != '\0' && strchr(plain, *s) != NULL)
			add(o, s, 1);
		else
			addf(o, "%%%02X", (unsigned char)*s);
}

/* What is inside of a JSON string, RFC 8259 7. */
static void
add_json(struct out *o, const char *s)
{
	uint32_t c;
	size_t n;

	for (; *s != '\0'; s += n) {
		n = rune(s, &c);
		if (c == '"' || c == '\\')
			addf(o, "\\%c", (char)c);
		else if (c < 0x20 || c == 0x7f)
			addf(o, "\\u%04x", (unsigned)c);
		else if (c == 0xfffd)
			adds(o, "\xef\xbf\xbd");
		else
			add(o, s, n);
	}
}

/* "1.2 KiB", on one line */
static void
add_size(struct out *o, int64_t size)
{
	static const char unit[] = "KMGTPE";
	uint64_t v = (uint64_t)size, tenths;
	unsigned u = 0;

	if (v < 1024) {
		addf(o, "%u&nbsp;B", (unsigned)v);
		return;
	}
	for (; v >= 1024 * 1024; v >>= 10)
		u++;
	tenths = (v * 10 + 512) / 1024;
	if (tenths >= 10240) {	/* it was rounded up to the next unit */
		tenths = 10;
		u++;
	}
	addf(o, "%u.%u&nbsp;%ciB", (unsigned)(tenths / 10),
	    (unsigned)(tenths % 10), unit[u]);
}

/* t in UTC, years of four digits. */
static struct tm
utc(int64_t t)
{
	struct tm tm;
	time_t u;

	if (t < -62135596800)	/* 0001-01-01 */
		t = -62135596800;
	if (t > 253402300799)	/* 9999-12-31T23:59:59 */
		t = 253402300799;
	u = (time_t)t;
	if (gmtime_r(&u, &tm) == NULL)
		memset(&tm, 0, sizeof tm);
	return tm;
}

/* ---- what is in the folder ----------------------------------------------- */

/* Look at the entry called name: is it listed? */
static bool
listed(struct list *l, const char *name, struct stat *st)
{
	char path[PATH_LEN];
	int n, fd;

	if (name[0] == '.' && (!conf.hidden || name[1] == '\0' ||
	    (name[1] == '.' && name[2] == '\0')))
		return false;
	/* gone since, or not for us: then it cannot be served either */
	if (fstatat(dirfd(l->dir), name, st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	if (S_ISLNK(st->st_mode) && conf.symlinks) {
		l->budget -= l->budget < LINK_COST ? l->budget : LINK_COST;
		n = snprintf(path, sizeof path, "%s%s", l->path, name);
		if (n < 0 || (size_t)n >= sizeof path)
			return false;
		fd = fd_look(l->root, path, true);
		if (fd < 0)
			return false;
		n = fstat(fd, st);
		close(fd);
		if (n < 0)
			return false;
	}
	return (S_ISREG(st->st_mode) || S_ISDIR(st->st_mode)) &&
	    !file_is_never(st);
}

/* Room for n more in an array of *max elements; NULL: no memory, the old one
 * stays. */
static void *
grown(void *p, size_t have, size_t n, size_t *max, size_t size)
{
	size_t want = *max > 0 ? *max : 64;

	while (want - have < n)
		want *= 2;	/* far from overflow: see LIST_SORTED */
	if (want == *max)
		return p;
	p = realloc(p, want * size);
	if (p != NULL) {
		kept += (want - *max) * size;
		*max = want;
	}
	return p;
}

/* Remember an entry.  False: no memory. */
static bool
keep(struct list *l, const char *name, const struct stat *st)
{
	size_t n = strlen(name) + 1;
	struct entry *e;
	char *p;

	p = grown(l->names, l->nnames, n, &l->maxnames, 1);
	if (p == NULL)
		return false;
	l->names = p;
	e = grown(l->entry, l->nentry, 1, &l->maxentry, sizeof *e);
	if (e == NULL)
		return false;
	l->entry = e;
	e += l->nentry++;
	e->size = S_ISDIR(st->st_mode) ? -1 : (int64_t)st->st_size;
	e->mtime = (int64_t)st->st_mtim.tv_sec;
	e->nsec = (uint32_t)st->st_mtim.tv_nsec;
	e->name = (uint32_t)l->nnames;
	memcpy(p + l->nnames, name, n);
	l->nnames += n;
	if (e->size < 0)
		l->dirs++;
	else
		l->files++;
	return true;
}

/* Forget them all. */
static void
forget(struct list *l)
{
	kept -= l->maxentry * sizeof *l->entry + l->maxnames;
	free(l->entry);
	free(l->names);
	l->entry = NULL;
	l->names = NULL;
	l->first = l->nentry = l->maxentry = 0;
	l->nnames = l->maxnames = 0;
}

/* Go on reading to the next entry that is listed, and keep it.  1, 0 = there is
 * none, or SOURCE_LATER, SOURCE_FAILED. */
static int
take(struct list *l)
{
	struct dirent *d;
	struct stat st;

	while (l->budget > 0) {
		l->budget--;
		errno = 0;
		d = readdir(l->dir);
		if (d == NULL)
			return errno != 0 ? SOURCE_FAILED : 0;
		if (listed(l, d->d_name, &st))
			return keep(l, d->d_name, &st) ? 1 : SOURCE_FAILED;
	}
	return SOURCE_LATER;
}

/* ---- order -------------------------------------------------------------- */

/* Does a come before b?  Names compare without case, in ASCII; they also
 * decide between equals.  Directories have no size and are less than any. */
static bool
before(const struct list *l, const struct entry *a, const struct entry *b)
{
	const char *na = l->names + a->name, *nb = l->names + b->name;
	int c = 0;

	switch (l->order) {
	case 2:
	case 3:
		c = (a->mtime > b->mtime) - (a->mtime < b->mtime);
		if (c == 0)
			c = (a->nsec > b->nsec) - (a->nsec < b->nsec);
		break;
	case 4:
	case 5:
		c = (a->size > b->size) - (a->size < b->size);
	}
	if (c != 0)
		return l->order & 1 ? c > 0 : c < 0;
	c = strcasecmp(na, nb);
	if (c == 0)
		c = strcmp(na, nb);
	return l->order == 1 ? c > 0 : c < 0;
}

/* Let entry i of the heap sink to its place. */
static void
sink(struct list *l, size_t i)
{
	struct entry *e = l->entry, swap;
	size_t c;

	while ((c = 2 * i + 1) < l->nentry) {
		if (c + 1 < l->nentry && before(l, &e[c + 1], &e[c]))
			c++;
		if (!before(l, &e[c], &e[i]))
			return;
		swap = e[c];
		e[c] = e[i];
		e[i] = swap;
		i = c;
	}
}

/* The first entry has been written. */
static void
drop_first(struct list *l)
{
	if (l->unsorted) {
		if (++l->first == l->nentry)
			forget(l);
		return;
	}
	l->entry[0] = l->entry[--l->nentry];
	sink(l, 0);
}

/* ---- the steps: each is true when it is over ---------------------------- */

static const char page_top[] = "<!doctype html>\n"
    "<html lang=\"en\">\n"
    "<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n"
    "<meta name=\"color-scheme\" content=\"light dark\">\n"
    "<style>\n"
    "body { font: 1em/1.5 system-ui, sans-serif; max-width: 60em;\n"
    "  margin: 1.5em auto; padding: 0 1em }\n"
    "h1 { font-size: 1.3em; overflow-wrap: anywhere }\n"
    "table { width: 100%; border-collapse: collapse }\n"
    "caption { text-align: left; opacity: .75; padding-bottom: .5em }\n"
    "th, td { text-align: left; vertical-align: baseline;\n"
    "  padding: .3em 1em .3em 0; border-bottom: 1px solid #8884 }\n"
    "td { font-variant-numeric: tabular-nums }\n"
    "td:first-child { width: 99%; overflow-wrap: anywhere;\n"
    "  white-space: pre-wrap }\n"
    "th + th + th, td + td + td { text-align: right; padding-right: 0 }\n"
    "td:nth-child(2) { white-space: nowrap }\n"
    "a { text-decoration: none }\n"
    "a:hover, a:focus { text-decoration: underline }\n"
    "tr:hover td { background: #8881 }\n"
    /* the second one is not read out; aria-sort is */
    "[aria-sort] a::after { content: \" \\2191\";\n"
    "  content: \" \\2191\" / \"\" }\n"
    "[aria-sort=descending] a::after { content: \" \\2193\";\n"
    "  content: \" \\2193\" / \"\" }\n"
    "@media (max-width: 32em) {\n"
    "  td:nth-child(2) { white-space: normal; min-width: 6em }\n"
    "}\n"
    "</style>\n";

/* The folder's path as text, from where the last call stopped. */
static bool
add_path(struct list *l, struct out *o)
{
	size_t mark, n;

	while (l->path[l->at] != '\0') {
		mark = o->n;
		n = add_html(o, l->path + l->at);
		if (!whole(o, mark))
			return false;
		l->at += n;
	}
	return true;
}

/* A browser that asked for "/a/b" without its slash takes links from /a/. */
static void
add_base(struct list *l, struct out *o)
{
	size_t end = strlen(l->path) - 1, i = end;

	while (i > 0 && l->path[i - 1] != '/')
		i--;
	adds(o, "<base href=\"./");
	add_url(o, l->path + i, end - i);
	adds(o, "/\">\n");
}

/* The path may be longer than a piece, so this may stop anywhere in it. */
static int
top(struct list *l, struct out *o)
{
	static const char *const text[] = { page_top, "<title>Index of /", NULL,
	    "</title>\n<h1>Index of /", NULL, "</h1>\n" };
	size_t mark;

	if (l->format == LIST_JSON) {
		adds(o, "[");
		return 1;
	}
	for (; l->part < sizeof text / sizeof text[0]; l->part++, l->at = 0) {
		if (text[l->part] == NULL) {
			if (!add_path(l, o))
				return 0;
			continue;
		}
		mark = o->n;
		adds(o, text[l->part]);
		if (l->part == 0 && !l->slash)
			add_base(l, o);
		if (!whole(o, mark))
			return 0;
	}
	return 1;
}

/* Until the end, or until there are too many to be sorted. */
static int
collect(struct list *l)
{
	size_t i;
	int r;

	while (l->nentry <= LIST_SORTED && kept <= LIST_BYTES) {
		r = take(l);
		if (r < 0)
			return r;
		if (r > 0)
			continue;
		for (i = l->nentry / 2; i-- > 0;)
			sink(l, i);
		return 1;
	}
	l->unsorted = true;
	return 1;
}

/* A column's head: a link to its order, or when it has it to the reverse. */
static void
column(const struct list *l, struct out *o, unsigned i, const char *name)
{
	unsigned order = l->order < 6 ? l->order : 0;

	adds(o, "<th scope=\"col\"");
	if (l->unsorted)
		addf(o, ">%s", name);
	else if (order / 2 != i)
		addf(o, "><a href=\"?sort=%u\">%s</a>", 2 * i, name);
	else
		addf(o, " aria-sort=\"%sending\"><a href=\"?sort=%u\">%s</a>",
		    order & 1 ? "desc" : "asc", order ^ 1, name);
}

static int
table(struct list *l, struct out *o)
{
	size_t mark = o->n;

	if (l->format == LIST_JSON)
		return 1;
	adds(o, "<table>\n<caption>");
	if (l->nentry > LIST_SORTED)
		addf(o, "More than %d,%03d entries, not sorted",
		    LIST_SORTED / 1000, LIST_SORTED % 1000);
	else if (l->unsorted)
		adds(o, "Not sorted: many folders are being listed");
	else
		addf(o, "%u folder%s, %u file%s", l->dirs,
		    l->dirs == 1 ? "" : "s", l->files,
		    l->files == 1 ? "" : "s");
	adds(o, "</caption>\n<thead><tr>");
	column(l, o, 0, "Name");
	column(l, o, 1, "Modified (UTC)");
	column(l, o, 2, "Size");
	adds(o, "\n<tbody>\n");
	if (l->path[0] != '\0')
		adds(o, "<tr><td><a href=\"../\">../</a><td><td>\n");
	return whole(o, mark);
}

static void
row_html(struct out *o, const struct entry *e, const char *name)
{
	const char *slash = e->size < 0 ? "/" : "";
	struct tm t = utc(e->mtime);

	/* "./": no name can be taken for a scheme or a host */
	adds(o, "<tr><td><a href=\"./");
	add_url(o, name, strlen(name));
	addf(o, "%s\">", slash);
	while (*name != '\0')
		name += add_html(o, name);
	addf(o, "%s</a><td><time datetime=\"%04d-%02d-%02dT%02d:%02d:%02dZ\">"
	    "%04d-%02d-%02d %02d:%02d</time>", slash, t.tm_year + 1900,
	    t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec,
	    t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min);
	if (e->size < 0) {
		adds(o, "<td>\n");
		return;
	}
	addf(o, "<td title=\"%lld byte%s\">", (long long)e->size,
	    e->size == 1 ? "" : "s");
	add_size(o, e->size);
	adds(o, "\n");
}

static void
row_json(struct out *o, const struct entry *e, const char *name)
{
	struct tm t = utc(e->mtime);

	adds(o, "{\"name\":\"");
	add_json(o, name);
	addf(o, "\",\"mtime\":\"%04d-%02d-%02dT%02d:%02d:%02dZ\",",
	    t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min,
	    t.tm_sec);
	if (e->size < 0)
		adds(o, "\"type\":\"directory\"}");
	else
		addf(o, "\"size\":%lld,\"type\":\"file\"}",
		    (long long)e->size);
}

static int
rows(struct list *l, struct out *o)
{
	const struct entry *e;
	size_t mark;
	int r;

	for (;;) {
		if (l->nentry == 0 && !l->unsorted)
			return 1;
		if (l->nentry == 0 && (r = take(l)) <= 0)
			return r == 0 ? 1 : r;
		if (l->budget == 0 && o->n > 0)
			return 0;
		l->budget -= l->budget > 0;
		e = &l->entry[l->first];
		mark = o->n;
		if (l->format == LIST_JSON) {
			adds(o, l->more ? ",\n" : "");
			row_json(o, e, l->names + e->name);
		} else {
			row_html(o, e, l->names + e->name);
		}
		if (whole(o, mark))
			l->more = true;
		else if (mark > 0)
			return 0;
		/* else longer than a piece, beyond any NAME_MAX: left out */
		drop_first(l);
	}
}

static int
bottom(struct list *l, struct out *o)
{
	size_t mark = o->n;

	adds(o, l->format == LIST_JSON ? "]" : "</table>\n</html>\n");
	return whole(o, mark);
}

/* ---- the source -------------------------------------------------------- */

/* Entries that this call may look at or write. */
static unsigned
slice(void)
{
	static int64_t turn;
	static unsigned calls, last;	/* of this turn and the one before */
	unsigned n;

	if (turn != log_turn) {
		turn = log_turn;
		last = calls;
		calls = 0;
	}
	calls++;
	n = last > 0 ? SLICES / last : SLICE;
	return n < SLICE_MIN ? SLICE_MIN : n < SLICE ? n : SLICE;
}

static ssize_t
list_read(struct source *s, void *dst, size_t cap)
{
	struct list *l = (struct list *)s;
	struct out o = { dst, 0, cap < PIECE ? cap : PIECE, false };
	int r = 1;

	l->budget = slice();
	for (; l->step != DONE; l->step++) {
		switch (l->step) {
		case TOP:
			r = top(l, &o);
			break;
		case COLLECT:
			r = collect(l);
			break;
		case TABLE:
			r = table(l, &o);
			break;
		case ROWS:
			r = rows(l, &o);
			break;
		case BOTTOM:
			r = bottom(l, &o);
			break;
		case DONE:
			break;
		}
		if (r == SOURCE_FAILED)
			return r;
		if (r <= 0)	/* no more room, or SOURCE_LATER */
			break;
	}
	if (o.n > 0)
		return (ssize_t)o.n;
	return l->step == DONE ? 0 : SOURCE_LATER;
}

static void
list_end(struct source *s)
{
	struct list *l = (struct list *)s;

	closedir(l->dir);
	if (l->root >= 0)
		close(l->root);
	forget(l);
	free(l);
}

struct source *
list_open(int root, const char *path, unsigned format, unsigned order)
{
	size_t n = strlen(path);
	struct list *l = calloc(1, sizeof *l + n + 2);
	int fd, e;

	if (l == NULL)
		return NULL;
	memcpy(l->path, path, n);
	l->slash = n == 0 || path[n - 1] == '/';
	/* fd_beneath by hand opens "a/" only to be looked at */
	if (n > 0 && l->slash)
		n--;
	l->path[n] = '\0';
	fd = fd_beneath(root, n > 0 ? l->path : ".", O_RDONLY | O_DIRECTORY |
	    O_NONBLOCK | O_CLOEXEC, conf.symlinks);
	l->dir = fd < 0 ? NULL : fdopendir(fd);
	if (l->dir == NULL) {
		e = errno;
		if (fd >= 0)
			close(fd);
		free(l);
		errno = e;
		return NULL;
	}
	/* the caller's may be closed by a reload before this is over */
	l->root = conf.symlinks ? fcntl(root, F_DUPFD_CLOEXEC, 3) : -1;
	if (n > 0)
		l->path[n] = '/';
	l->source.read = list_read;
	l->source.end = list_end;
	l->format = format;
	l->order = order;
	return &l->source;
}

unsigned
list_sort(struct str query, unsigned none)
{
	const char *amp;
	size_t n;

	while (query.n > 0) {
		amp = memchr(query.p, '&', query.n);
		n = amp != NULL ? (size_t)(amp - query.p) : query.n;
		if (n >= 5 && memcmp(query.p, "sort=", 5) == 0)
			return n == 6 && query.p[5] >= '0' &&
			    query.p[5] <= '6' ? (unsigned)query.p[5] - '0' :
			    none;
		n += amp != NULL;
		query.p += n;
		query.n -= n;
	}
	return none;
}
