/* file.c - a name below a root becomes an open file: the cache, types,
 * precompressed variants, validators, conditions, ranges, reading content.
 *
 * The cache remembers how a path was resolved as the list of names that were
 * looked at and what was there.  The first use in a turn of the loop looks at
 * the same names again; while nothing differs, the files are what they were,
 * and a turn serves any number of requests for one look.  A change shows at
 * once.  Looking again follows links in the middle of a name, which is safe:
 * it only decides whether a file that was opened beneath the root is kept. */
#include "sws.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum encoding { E_IDENTITY, E_BR, E_ZSTD, E_GZIP, NENC };

static const struct {
	const char *ext, *name;
} encodings[NENC] = {
	[E_IDENTITY] = { "", "identity" },
	[E_BR] = { ".br", "br" },
	[E_ZSTD] = { ".zst", "zstd" },
	[E_GZIP] = { ".gz", "gzip" },
};

struct type {
	const char *ext, *type;
};
static const struct type types[] = {
#include "types.h"
};

enum {
	NTYPES = sizeof types / sizeof types[0],
	NBUCKETS = 2048,	/* twice CACHE_FILES, a power of two */
	PROBES_MAX = INDEX_MAX + 2 + NENC,
	TYPE_MAX = 100,		/* of struct file's fields */
	SETTLED = 2,		/* seconds without change before content is
				   copied: a later write must show in mtime,
				   which some file systems keep in seconds */
};

/* One name that was looked at, and what was there. */
struct probe {
	char *name;		/* owned */
	int err;		/* errno, or 0 and the rest counts */
	mode_t mode;
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
};

/* A resolved path. */
struct entry {
	struct entry *next;	/* in its bucket */
	struct entry *newer, *older;	/* by last use */
	char *key;		/* owned */
	size_t len;
	uint32_t hash;
	int root;		/* the caller's */
	bool exact;		/* FILE_EXACT */
	uint8_t index;		/* struct file's */
	int64_t checked;	/* the turn, as log_ms */
	unsigned nprobes;
	struct probe probe[PROBES_MAX];
	uint8_t at[NENC];	/* the probe of each variant, + 1; 0 = none */
	struct file *file[NENC];	/* one reference each, or NULL: not yet */
};

static unsigned open_max, open_now;	/* descriptors of files */
static size_t bytes_max, bytes_now;	/* content in memory */
static off_t body_max;			/* of one file */
static unsigned nentries;
static struct entry *bucket[NBUCKETS];
static struct entry *newest, *oldest;
static uint64_t boundary;
static int64_t turn;			/* counts calls of file_turn */

static void forget(struct entry *e);

void
file_end(void)
{
	while (oldest != NULL)
		forget(oldest);
}

void
file_init(unsigned max_open, size_t bytes, size_t largest)
{
	file_end();
	open_max = max_open;
	bytes_max = bytes;
	body_max = (off_t)(largest < bytes ? largest : bytes);
	boundary = (uint64_t)log_us() * 0x9e3779b97f4a7c15U ^
	    (uint64_t)getpid() << 32;
}

void
file_turn(void)
{
	turn++;
}

/* ---- targets -------------------------------------------------------------- */

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* May the segment dst[start..end) be served?  `first` is that of the path. */
static bool
hidden(const char *dst, size_t start, size_t end, bool first)
{
	static const char known[] = ".well-known";

	if (conf.hidden || dst[start] != '.')
		return false;
	return !(first && end - start == sizeof known - 1 &&
	    memcmp(dst + start, known, sizeof known - 1) == 0);
}

int
file_path(struct str raw, char *dst, size_t *len)
{
	const char *p = raw.p, *end = raw.p + raw.n;
	size_t n = 0, start;
	bool never = false, above = false;

	if (p < end && *p == '/')
		p++;
	/* one segment a round: dst[start..n), and p behind it */
	while (p < end) {
		start = n;
		for (; p < end && *p != '/'; p++) {
			int c = (unsigned char)*p;

			if (c == '%') {
				int h, l;

				if (end - p < 3 || (h = hex(p[1])) < 0 ||
				    (l = hex(p[2])) < 0)
					return 400;
				c = h << 4 | l;
				p += 2;
				if (c == '\0')
					return 400;
				/* an encoded slash is data, and no name has it */
				never |= c == '/';
			} else if (c <= 0x20 || c == 0x7f || c == '#' ||
			    c == '\\') {
				return 400;	/* HTTP/2 hands us such bytes */
			}
			if (n < PATH_LEN - 2)
				dst[n++] = (char)c;
			else
				never = true;	/* no name is that long */
		}
		if (n == start + 1 && dst[start] == '.') {
			n = start;
		} else if (n == start + 2 && dst[start] == '.' &&
		    dst[start + 1] == '.') {
			/* RFC 3986 5.2.4, except that climbing out is refused */
			if (start == 0)
				above = true;
			n = start > 0 ? start - 1 : 0;
			while (n > 0 && dst[n - 1] != '/')
				n--;
		} else if (n > start) {
			never |= hidden(dst, start, n, start == 0);
			if (p < end && n < PATH_LEN - 2)
				dst[n++] = '/';
			else
				never |= p < end;
		}
		if (p < end)
			p++;
	}
	dst[n] = '\0';
	*len = n;
	return above ? 400 : never ? 404 : 0;
}

/* ---- what is never served --------------------------------------------------- */

/* A path, and the file that it leads to. */
struct never {
	char *path;		/* owned; absolute where that can be */
	bool there;		/* the identity counts */
	dev_t dev;
	ino_t ino;
};

static struct never *nevers;	/* owned */
static unsigned nnevers;
static int64_t nevers_turn;	/* when they were looked at */

/* Was the last name of path taken away, while its folder is where it was? */
static bool
gone(const char *path)
{
	char dir[PATH_LEN];
	const char *slash = strrchr(path, '/');
	struct stat st;
	int n;

	if (errno != ENOENT || slash == NULL)
		return false;
	n = snprintf(dir, sizeof dir, "%.*s", (int)(slash - path + 1), path);
	return n > 0 && (size_t)n < sizeof dir && stat(dir, &st) == 0;
}

/* Follow n's path.  One that cannot be followed (any more: chroot, rights)
 * keeps its file; one that was removed does not, its inode may be another's
 * soon. */
static void
never_look(struct never *n)
{
	struct stat st;

	if (stat(n->path, &st) == 0) {
		n->there = true;
		n->dev = st.st_dev;
		n->ino = st.st_ino;
	} else if (gone(n->path)) {
		n->there = false;
	}
}

static char *
absolute(const char *path)
{
	char cwd[PATH_LEN], all[2 * PATH_LEN];
	int n;

	if (path[0] == '/' || getcwd(cwd, sizeof cwd) == NULL)
		return strdup(path);
	n = snprintf(all, sizeof all, "%s/%s", cwd, path);
	return strdup(n > 0 && (size_t)n < sizeof all ? all : path);
}

void
file_never(const char *path)
{
	struct never *more;
	unsigned i;

	file_end();	/* it may be remembered */
	if (path == NULL) {
		for (i = 0; i < nnevers; i++)
			free(nevers[i].path);
		free(nevers);
		nevers = NULL;
		nnevers = 0;
		return;
	}
	more = realloc(nevers, (nnevers + 1) * sizeof *nevers);
	if (more == NULL)
		die(1, "no memory");
	nevers = more;
	memset(&nevers[nnevers], 0, sizeof *nevers);
	if ((nevers[nnevers].path = absolute(path)) == NULL)
		die(1, "no memory");
	never_look(&nevers[nnevers++]);
}

bool
file_is_never(const struct stat *st)
{
	unsigned i;

	/* a file is replaced by rename: once a turn, see what is there now */
	for (i = 0; i < nnevers && nevers_turn != turn; i++)
		never_look(&nevers[i]);
	nevers_turn = turn;
	for (i = 0; i < nnevers; i++)
		if (nevers[i].there && nevers[i].ino == st->st_ino &&
		    nevers[i].dev == st->st_dev)
			return true;
	return false;
}

/* ---- looking -------------------------------------------------------------- */

static void
record(struct probe *p, const struct stat *st)
{
	p->err = 0;
	p->mode = st->st_mode;
	p->dev = st->st_dev;
	p->ino = st->st_ino;
	p->size = st->st_size;
	p->mtime = st->st_mtim;
	p->ctime = st->st_ctim;
}

/* Look at name, beneath the root and without side effects on what is there,
 * and remember it in e. */
static const struct probe *
look(struct entry *e, const char *name)
{
	struct probe *p = &e->probe[e->nprobes];
	struct stat st;
	int fd;

	if (e->nprobes == PROBES_MAX || (p->name = strdup(name)) == NULL)
		return NULL;
	e->nprobes++;
	fd = fd_look(e->root, name, conf.symlinks);
	if (fd < 0) {
		p->err = errno;
		return p;
	}
	if (fstat(fd, &st) < 0)
		p->err = errno;
	else if (file_is_never(&st))
		p->err = ENOENT;
	else
		record(p, &st);
	close(fd);
	return p;
}

/* Is everything as e remembers it? */
static bool
unchanged(const struct entry *e)
{
	const struct probe *p = e->probe, *end = p + e->nprobes;
	struct stat st;

	for (; p < end; p++) {
		if (fstatat(e->root, p->name, &st,
		    conf.symlinks ? 0 : AT_SYMLINK_NOFOLLOW) < 0) {
			if (p->err != errno)
				return false;
		} else if (p->err != 0 || st.st_ino != p->ino ||
		    st.st_dev != p->dev || st.st_size != p->size ||
		    st.st_mode != p->mode ||
		    st.st_mtim.tv_sec != p->mtime.tv_sec ||
		    st.st_mtim.tv_nsec != p->mtime.tv_nsec ||
		    st.st_ctim.tv_sec != p->ctime.tv_sec ||
		    st.st_ctim.tv_nsec != p->ctime.tv_nsec) {
			return false;
		}
	}
	return true;
}

static int
status_of(int err)
{
	switch (err) {
	case EACCES:
	case EPERM:
		return 403;
	case ELOOP:	/* a link in the way, or a circle of links */
		return conf.symlinks ? 404 : 403;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
		return 503;
	default:
		return 404;
	}
}

/* ---- files ---------------------------------------------------------------- */

void
file_unref(struct file *f)
{
	if (f == NULL || --f->refs > 0)
		return;
	if (f->fd >= 0) {
		close(f->fd);
		open_now--;
	}
	if (f->bytes != NULL)
		bytes_now -= (size_t)f->size;
	free(f->bytes);
	free(f);
}

struct file *
file_of(char *bytes, size_t n)
{
	struct file *f = calloc(1, sizeof *f);

	if (f == NULL) {
		free(bytes);
		return NULL;
	}
	f->refs = 1;
	f->fd = -1;
	f->bytes = bytes;
	f->size = (off_t)n;
	bytes_now += n;
	return f;
}

static const char *
extension(const char *name)
{
	const char *base = strrchr(name, '/'), *dot;

	base = base ? base + 1 : name;
	dot = strrchr(base, '.');
	return dot && dot != base ? dot + 1 : "";
}

/* ---- types ---------------------------------------------------------------- */

/* Those of the site's own, sorted, of each extension one; they point into text. */
static struct {
	char *text;		/* owned */
	struct type *v;		/* owned */
	size_t n;
} own;

static int
by_extension(const void *a, const void *b)
{
	return strcasecmp(((const struct type *)a)->ext,
	    ((const struct type *)b)->ext);
}

static const char *
type_in(const struct type *v, size_t n, const char *ext)
{
	struct type key = { ext, NULL };
	const struct type *t = n == 0 ? NULL :
	    bsearch(&key, v, n, sizeof *v, by_extension);

	return t ? t->type : NULL;
}

static const char *
type_of(const char *name)
{
	const char *base = strrchr(name, '/'), *dot, *type;

	/* a file of types knows some like "tar.gz": the longest counts */
	base = base ? base + 1 : name;
	for (dot = base[0] ? strchr(base + 1, '.') : NULL; dot != NULL;
	    dot = strchr(dot + 1, '.'))
		if ((type = type_in(own.v, own.n, dot + 1)) != NULL)
			return type;
	type = type_in(types, NTYPES, extension(name));
	return type ? type : "application/octet-stream";
}

/* RFC 9110 5.6.2: how long is the token at s? */
static size_t
token(const char *s)
{
	return strspn(s, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
}

/* type "/" subtype *( ";" name "=" token ), without blanks. */
static bool
good_type(const char *s)
{
	size_t n = token(s);

	if (strlen(s) > TYPE_MAX || n == 0 || s[n] != '/')
		return false;
	s += n + 1;
	n = token(s);
	while (n > 0 && s[n] == ';') {
		s += n + 1;
		n = token(s);
		if (n == 0 || s[n] != '=')
			return false;
		s += n + 1;
		n = token(s);
	}
	return n > 0 && s[n] == '\0';
}

static bool
good_extension(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s <= ' ' || *s == 0x7f || *s == '/')
			return false;
	return true;
}

/* The next word of a line, ended with a NUL; NULL: no more, or a comment. */
static char *
word(char **line)
{
	char *s = *line + strspn(*line, " \t\r\f\v");
	size_t n = strcspn(s, " \t\r\f\v");

	if (n == 0 || *s == '#')
		return NULL;
	*line = s + n + (s[n] != '\0');
	s[n] = '\0';
	return s;
}

/* The lines of text into v, which has room for one every two bytes.  0, or the
 * number of a bad line and why. */
static unsigned
types_read(char *text, struct type *v, size_t *n, const char **why)
{
	unsigned line = 1;
	char *end, *type, *ext;

	for (*n = 0; text != NULL; text = end, line++) {
		end = strchr(text, '\n');
		if (end != NULL)
			*end++ = '\0';
		type = word(&text);
		*why = "no media type";
		if (type != NULL && !good_type(type))
			return line;
		*why = "no file name extension";
		while (type != NULL && (ext = word(&text)) != NULL) {
			if (!good_extension(ext))
				return line;
			v[(*n)++] = (struct type){ ext, type };
		}
	}
	return 0;
}

/* In order; of the same extension, by where they stand. */
static int
by_line(const void *a, const void *b)
{
	const struct type *x = a, *y = b;
	int c = by_extension(x, y);

	return c != 0 ? c : (x->ext > y->ext) - (x->ext < y->ext);
}

/* All of a file as one string; NULL with errno. */
static char *
slurp(const char *name)
{
	char *text;
	size_t n = 0, i;
	ssize_t k = -1;
	int err, fd = open(name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return NULL;
	text = malloc(CONF_MAX + 1);
	while (text != NULL && n <= CONF_MAX &&
	    (k = read(fd, text + n, CONF_MAX + 1 - n)) > 0)
		n += (size_t)k;
	err = text == NULL || k < 0 ? errno : n > CONF_MAX ? EFBIG : 0;
	close(fd);
	if (err != 0) {
		free(text);
		errno = err;
		return NULL;
	}
	for (i = 0; i < n; i++)
		if (text[i] == '\0')
			text[i] = '\1';	/* as wrong, but ends nothing */
	text[n] = '\0';
	return text;
}

const char *
file_types(const char *name)
{
	static char why[512];
	const char *what;
	struct type *v = NULL;
	char *text = NULL;
	size_t n = 0, i, k;
	unsigned line;

	if (name != NULL) {
		text = slurp(name);
		v = text ? calloc(strlen(text) / 2 + 1, sizeof *v) : NULL;
		if (v == NULL) {
			snprintf(why, sizeof why, "%.400s: %s", name,
			    strerror(errno));
			free(text);
			return why;
		}
		line = types_read(text, v, &n, &what);
		if (line != 0) {
			snprintf(why, sizeof why, "%.400s:%u: %s", name, line,
			    what);
			free(text);
			free(v);
			return why;
		}
		qsort(v, n, sizeof *v, by_line);
	}
	for (i = k = 0; i < n; i++) {	/* the last of its extension stays */
		if (k > 0 && by_extension(&v[k - 1], &v[i]) == 0)
			k--;
		v[k++] = v[i];
	}
	free(own.text);
	free(own.v);
	own.text = text;
	own.v = v;
	own.n = k;
	file_end();	/* fields of files name their types */
	return NULL;
}

/* Cache-Control by what is served: SWS 3's lists. */
static const char *
cache_control(const char *name)
{
	static const char year[] = " avif bmp bz2 css doc gif gz htc ico jpeg "
	    "jpg js jxl map mjs mp3 mp4 ogg ogv pdf png rar rtf tar tgz wav "
	    "weba webm webp woff woff2 zip ";
	static const char hour[] = " atom rss ";
	char word[16];
	int i, n;

	n = snprintf(word, sizeof word, " %s ", extension(name));
	if (n < 3 || n >= (int)sizeof word)
		return "no-cache";
	for (i = 0; i < n; i++)
		if (word[i] >= 'A' && word[i] <= 'Z')
			word[i] = (char)(word[i] | 0x20);
	if (strstr(year, word) != NULL)
		return "max-age=31536000";
	return strstr(hour, word) ? "max-age=3600" : "no-cache";
}

/* The fields of a 200; `plain` is the name without the variant's suffix. */
static void
describe(struct file *f, const char *plain, enum encoding enc, bool varies)
{
	const char *type = type_of(plain);
	bool text = strncasecmp(type, "text/", 5) == 0 &&
	    strchr(type, ';') == NULL && conf.text_charset;
	char date[32];
	int n;

	/* the longest: 37 + 131 + 22 + 24 + 72 + 46 + 33 + 23 < 512 */
	n = snprintf(f->fields, sizeof f->fields, "content-length: %lld\r\n",
	    (long long)f->size);
	f->cl = (uint16_t)n;
	n += snprintf(f->fields + n, sizeof f->fields - (size_t)n,
	    "content-type: %s%s\r\naccept-ranges: bytes\r\n", type,
	    text ? "; charset=utf-8" : "");
	if (enc != E_IDENTITY)
		n += snprintf(f->fields + n, sizeof f->fields - (size_t)n,
		    "content-encoding: %s\r\n", encodings[enc].name);
	f->val = (uint16_t)n;
	if (f->etag[0] != '\0')
		n += snprintf(f->fields + n, sizeof f->fields - (size_t)n,
		    "etag: %s\r\n", f->etag);
	if (f->mtime != 0)
		n += snprintf(f->fields + n, sizeof f->fields - (size_t)n,
		    "last-modified: %s\r\n", log_httpdate(date, f->mtime));
	if (conf.cache_control)
		n += snprintf(f->fields + n, sizeof f->fields - (size_t)n,
		    "cache-control: %s\r\n", cache_control(plain));
	if (varies)
		n += snprintf(f->fields + n, sizeof f->fields - (size_t)n,
		    "vary: accept-encoding\r\n");
	f->n = (uint16_t)n;
}

/* Small and at rest: content into memory, descriptor closed. */
static void
settle(struct entry *e, struct file *f, const struct probe *p)
{
	char *bytes;
	struct stat st;

	if (f->fd < 0 || f->size > body_max ||
	    p->mtime.tv_sec > log_now - SETTLED ||
	    p->ctime.tv_sec > log_now - SETTLED)
		return;
	while (bytes_now + (size_t)f->size > bytes_max && oldest != NULL &&
	    oldest != e)
		forget(oldest);
	if (bytes_now + (size_t)f->size > bytes_max)
		return;
	bytes = malloc(f->size > 0 ? (size_t)f->size : 1);
	if (bytes == NULL)
		return;
	if (pread(f->fd, bytes, (size_t)f->size, 0) != f->size ||
	    fstat(f->fd, &st) < 0 || st.st_size != f->size ||
	    st.st_mtim.tv_sec != p->mtime.tv_sec ||
	    st.st_mtim.tv_nsec != p->mtime.tv_nsec) {
		free(bytes);
		return;
	}
	f->bytes = bytes;
	bytes_now += (size_t)f->size;
	close(f->fd);
	open_now--;
	f->fd = -1;
}

/* Give up what nobody uses, oldest first, until n more descriptors fit; e is
 * in use. */
static void
make_room(const struct entry *e, unsigned n)
{
	while (open_now + n > open_max && oldest != NULL && oldest != e)
		forget(oldest);
}

/* Open the variant enc of e.  NULL with errno. */
static struct file *
open_variant(struct entry *e, enum encoding enc)
{
	struct probe *p = &e->probe[e->at[enc] - 1];
	const char *plain = e->probe[e->at[E_IDENTITY] - 1].name;
	bool varies = e->at[E_BR] || e->at[E_ZSTD] || e->at[E_GZIP];
	struct file *f;
	struct stat st;
	int fd, flags = O_RDONLY | O_NONBLOCK | O_NOCTTY;

	make_room(e, 1);
	if (open_now >= open_max) {
		errno = EMFILE;
		return NULL;
	}
	fd = fd_beneath(e->root, p->name, flags, conf.symlinks);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
		make_room(e, open_max / 2);
		fd = fd_beneath(e->root, p->name, flags, conf.symlinks);
	}
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || file_is_never(&st)) {
		close(fd);
		errno = ENOENT;
		return NULL;
	}
	f = calloc(1, sizeof *f);
	if (f == NULL) {
		close(fd);
		errno = ENOMEM;
		return NULL;
	}
	/* what was opened counts, should it have changed since the look */
	record(p, &st);
	f->refs = 1;
	f->fd = fd;
	open_now++;
	f->size = st.st_size;
	f->mtime = st.st_mtime < log_now ? st.st_mtime : log_now;
	f->index = e->index;
	if (conf.etag && f->mtime != 0)
		snprintf(f->etag, sizeof f->etag, "\"%llx-%llx-%llx%s%s\"",
		    (unsigned long long)st.st_ino,
		    (unsigned long long)st.st_size,
		    (unsigned long long)st.st_mtim.tv_sec * 1000000000U +
		    (unsigned long long)st.st_mtim.tv_nsec,
		    enc ? "-" : "", enc ? encodings[enc].name : "");
	describe(f, plain, enc, varies);
	settle(e, f, p);
	return f;
}

/* ---- the cache ------------------------------------------------------------- */

static uint32_t
hash_of(const char *p, size_t n)
{
	uint32_t h = 2166136261U;	/* FNV-1a; keys are names of files here */

	while (n-- > 0)
		h = (h ^ (unsigned char)*p++) * 16777619U;
	return h ^ h >> 15;
}

static void
entry_free(struct entry *e)
{
	unsigned i;

	for (i = 0; i < e->nprobes; i++)
		free(e->probe[i].name);
	for (i = 0; i < NENC; i++)
		file_unref(e->file[i]);
	free(e->key);
	free(e);
}

static void
unlink_use(struct entry *e)
{
	*(e->newer ? &e->newer->older : &newest) = e->older;
	*(e->older ? &e->older->newer : &oldest) = e->newer;
}

static void
link_use(struct entry *e)
{
	e->newer = NULL;
	e->older = newest;
	*(newest ? &newest->newer : &oldest) = e;
	newest = e;
}

static void
forget(struct entry *e)
{
	struct entry **at = &bucket[e->hash & (NBUCKETS - 1)];

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	unlink_use(e);
	nentries--;
	entry_free(e);
}

static void
remember(struct entry *e)
{
	struct entry **at = &bucket[e->hash & (NBUCKETS - 1)];

	while (nentries >= CACHE_FILES)
		forget(oldest);
	e->next = *at;
	*at = e;
	link_use(e);
	nentries++;
}

/* ---- resolving ------------------------------------------------------------- */

static bool
regular(const struct probe *p)
{
	return p != NULL && p->err == 0 && S_ISREG(p->mode);
}

/* Find the variants of the plain file at probe number e->at[0]. */
static void
variants(struct entry *e)
{
	const struct probe *plain = &e->probe[e->at[E_IDENTITY] - 1], *p;
	char name[PATH_LEN];
	enum encoding enc;
	int n;

	if (!conf.compression_static)
		return;
	for (enc = E_BR; enc < NENC; enc++) {
		n = snprintf(name, sizeof name, "%s%s", plain->name,
		    encodings[enc].ext);
		if (n < 0 || (size_t)n >= sizeof name)
			return;
		p = look(e, name);
		/* an older one may be of an older plain file */
		if (regular(p) && (p->mtime.tv_sec > plain->mtime.tv_sec ||
		    (p->mtime.tv_sec == plain->mtime.tv_sec &&
		    p->mtime.tv_nsec >= plain->mtime.tv_nsec)))
			e->at[enc] = (uint8_t)e->nprobes;
	}
}

/* Is `name` there as a regular file?  Then it is what e stands for. */
static int
candidate(struct entry *e, const char *name)
{
	const struct probe *p = look(e, name);

	if (p == NULL)
		return 503;
	if (regular(p)) {
		e->at[E_IDENTITY] = (uint8_t)e->nprobes;
		variants(e);
		return 200;
	}
	if (p->err == 0)
		return S_ISDIR(p->mode) ? 308 : 404;
	return status_of(p->err);
}

/* The index of the directory `dir`, "" or with a slash at its end. */
static int
resolve_index(struct entry *e, const char *dir)
{
	char name[PATH_LEN];
	const struct probe *p;
	unsigned i;
	int n, status;

	for (i = 0; i < conf.index.n; i++) {
		n = snprintf(name, sizeof name, "%s%s", dir, conf.index.v[i]);
		if (n < 0 || (size_t)n >= sizeof name)
			return 404;
		status = candidate(e, name);
		e->index = (uint8_t)(i + 1);
		if (status != 404 && status != 308)
			return status;
	}
	n = snprintf(name, sizeof name, "%s.", dir);
	if (n < 0 || (size_t)n >= sizeof name)
		return 404;
	p = look(e, name);
	if (p == NULL)
		return 503;
	if (p->err != 0)
		return status_of(p->err);
	return S_ISDIR(p->mode) ? FILE_DIR : 404;
}

/* 200 and e->at is set, 308 a directory without its slash, FILE_DIR, or 403,
 * 404, 503. */
static int
resolve(struct entry *e, const char *path, size_t len)
{
	char name[PATH_LEN];
	int n, status;

	if (len == 0 || path[len - 1] == '/')
		return e->exact ? 404 : resolve_index(e, path);
	status = candidate(e, path);
	if (e->exact)
		return status == 308 ? 404 : status;
	if (status == 308 && !conf.trailing_redirect) {
		n = snprintf(name, sizeof name, "%s/", path);
		return n > 0 && (size_t)n < sizeof name ?
		    resolve_index(e, name) : 404;
	}
	if (status != 404 || e->probe[0].err != ENOENT)
		return status;
	n = snprintf(name, sizeof name, "%s.html", path);
	if (n < 0 || (size_t)n >= sizeof name)
		return 404;
	status = candidate(e, name);
	return status == 308 ? 404 : status;
}

/* Pick the best variant in `accept` that is there. */
static int
choose(struct entry *e, unsigned accept, struct file **f)
{
	for (; accept != 0; accept >>= 4) {
		enum encoding enc = (accept & 15) - 1;

		if (e->at[enc] == 0)
			continue;
		if (e->file[enc] == NULL &&
		    (e->file[enc] = open_variant(e, enc)) == NULL) {
			/* a variant that cannot be opened is not there */
			if (enc != E_IDENTITY && errno != EMFILE &&
			    errno != ENFILE && errno != ENOMEM)
				continue;
			return status_of(errno);
		}
		*f = e->file[enc];
		(*f)->refs++;
		return 200;
	}
	return 406;
}

static struct entry *
cached(int root, bool exact, const char *path, size_t len, uint32_t hash)
{
	struct entry *e = bucket[hash & (NBUCKETS - 1)];

	while (e != NULL && (e->hash != hash || e->root != root ||
	    e->exact != exact || e->len != len ||
	    memcmp(e->key, path, len) != 0))
		e = e->next;
	if (e == NULL)
		return NULL;
	if (e->checked != turn) {
		if (!unchanged(e)) {
			forget(e);
			return NULL;
		}
		e->checked = turn;
	}
	if (e != newest) {
		unlink_use(e);
		link_use(e);
	}
	return e;
}

int
file_find(int root, const char *path, size_t len, unsigned accept,
    struct file **f)
{
	bool exact = (accept & FILE_EXACT) != 0;
	uint32_t hash = hash_of(path, len) + (uint32_t)root * 2U + exact;
	struct entry *e = cached(root, exact, path, len, hash);
	int status;

	accept &= ~(unsigned)FILE_EXACT;
	if (e != NULL) {
		status = choose(e, accept, f);
		if (status != 200 && status != 406)
			forget(e);
		return status;
	}
	e = calloc(1, sizeof *e);
	if (e == NULL)
		return 503;
	e->hash = hash;
	e->root = root;
	e->exact = exact;
	e->len = len;
	e->checked = turn;
	e->key = malloc(len + 1);
	status = e->key == NULL ? 503 : resolve(e, path, len);
	if (status == 200) {
		memcpy(e->key, path, len + 1);
		status = choose(e, accept, f);
	}
	/* a small file that may still change is looked up each time: its entry
	 * would only keep a descriptor */
	if (status == 200 && ((*f)->fd < 0 || (*f)->size > body_max))
		remember(e);
	else
		entry_free(e);
	return status;
}

/* ---- Accept-Encoding -------------------------------------------------------- */

static size_t
skip_space(const char *p, size_t n)
{
	size_t i;

	for (i = 0; i < n && (p[i] == ' ' || p[i] == '\t'); i++)
		;
	return i;
}

/* One "coding;q=0.5", into q[]; what is malformed says nothing. */
static void
one_coding(const char *p, size_t n, int *q, int *star)
{
	size_t k, s;
	int v = 1000;
	enum encoding enc;

	s = skip_space(p, n);
	p += s;
	n -= s;
	for (k = 0; k < n && p[k] != ';' && p[k] != ' ' && p[k] != '\t'; k++)
		;
	s = k + skip_space(p + k, n - k);
	if (s < n) {
		if (p[s++] != ';')
			return;
		s += skip_space(p + s, n - s);
		if (n - s < 2 || (p[s] | 0x20) != 'q' || p[s + 1] != '=')
			return;
		s += 2;
		while (n > s && (p[n - 1] == ' ' || p[n - 1] == '\t'))
			n--;
		v = http_qvalue(p + s, n - s);
		if (v < 0)
			return;
	}
	if (k == 1 && *p == '*')
		*star = v;
	else if (k == 6 && strncasecmp(p, "x-gzip", 6) == 0)
		q[E_GZIP] = v;
	for (enc = 0; enc < NENC; enc++)
		if (strlen(encodings[enc].name) == k &&
		    strncasecmp(p, encodings[enc].name, k) == 0)
			q[enc] = v;
}

unsigned
file_accept(struct str v, bool any)
{
	int q[NENC] = { -1, -1, -1, -1 }, star = -1, best;
	unsigned list = 0, shift = 0;
	const char *p = v.p, *end = v.p + v.n, *comma;
	enum encoding enc, pick;

	if (!any)
		return E_IDENTITY + 1;
	for (; p != NULL && p <= end; p = comma ? comma + 1 : NULL) {
		comma = memchr(p, ',', (size_t)(end - p));
		one_coding(p, (size_t)((comma ? comma : end) - p), q, &star);
	}
	for (enc = E_BR; enc < NENC; enc++)
		if (q[enc] < 0)
			q[enc] = star > 0 ? star : 0;
	/* identity needs no mention, but anything that is wanted comes first:
	 * thousandths doubled leave room for a half */
	for (enc = E_BR; enc < NENC; enc++)
		q[enc] *= 2;
	q[E_IDENTITY] = q[E_IDENTITY] >= 0 ? q[E_IDENTITY] * 2 :
	    star >= 0 ? star * 2 : 1;
	for (;;) {
		best = 0;
		pick = E_IDENTITY;
		for (enc = E_BR; enc < NENC; enc++)
			if (q[enc] > best) {
				best = q[enc];
				pick = enc;
			}
		if (q[E_IDENTITY] > best) {
			best = q[E_IDENTITY];
			pick = E_IDENTITY;
		}
		if (best == 0)
			return list;
		list |= (pick + 1U) << shift;
		shift += 4;
		q[pick] = 0;
	}
}

/* ---- conditions -------------------------------------------------------------- */

static int
two_digits(const char *p)
{
	if (p[0] == ' ')	/* asctime pads the day */
		return p[1] >= '0' && p[1] <= '9' ? p[1] - '0' : -1;
	if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9')
		return -1;
	return (p[0] - '0') * 10 + p[1] - '0';
}

/* Days since 1970-01-01 of a day in the Gregorian calendar. */
static int64_t
days(int y, int m, int d)
{
	y -= m < 3;
	m += m < 3 ? 12 : 0;
	return 365 * (int64_t)y + y / 4 - y / 100 + y / 400 +
	    (153 * m - 457) / 5 + d - 719469;
}

/* RFC 9110 5.6.7, all three forms.  -1 when it is none. */
static time_t
http_date(struct str s)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	static const char weekday[] = "SunMonTueWedThuFriSat";
	char b[40];
	const char *p, *mon, *clock;
	int y, m, d, hh, mm, ss, cc = 0;

	if (s.n < 24 || s.n >= sizeof b)
		return -1;
	memcpy(b, s.p, s.n);
	b[s.n] = '\0';
	for (p = weekday; *p != '\0' && strncmp(b, p, 3) != 0; p += 3)
		;
	if (*p == '\0')
		return -1;
	if (b[3] == ',' && s.n == 29 && strcmp(b + 25, " GMT") == 0) {
		/* Sun, 06 Nov 1994 08:49:37 GMT */
		d = two_digits(b + 5);
		mon = b + 8;
		cc = two_digits(b + 12);
		y = two_digits(b + 14);
		clock = b + 17;
	} else if ((p = strchr(b, ',')) != NULL && strlen(p) == 24 &&
	    strcmp(p + 20, " GMT") == 0) {
		/* Sunday, 06-Nov-94 08:49:37 GMT */
		d = two_digits(p + 2);
		mon = p + 5;
		y = two_digits(p + 9);
		/* more than 50 years ahead is the past */
		cc = y > 76 ? 19 : 20;
		clock = p + 12;
	} else if (b[3] == ' ' && s.n == 24) {
		/* Sun Nov  6 08:49:37 1994 */
		mon = b + 4;
		d = two_digits(b + 8);
		clock = b + 11;
		cc = two_digits(b + 20);
		y = two_digits(b + 22);
	} else {
		return -1;
	}
	for (p = months; *p != '\0' && strncmp(p, mon, 3) != 0; p += 3)
		;
	hh = two_digits(clock);
	mm = two_digits(clock + 3);
	ss = two_digits(clock + 6);
	if (*p == '\0' || d < 1 || d > 31 || y < 0 || cc < 0 || hh < 0 ||
	    hh > 23 || mm < 0 || mm > 59 || ss < 0 || ss > 60 ||
	    clock[2] != ':' || clock[5] != ':')
		return -1;
	m = (int)(p - months) / 3 + 1;
	return (time_t)(days(cc * 100 + y, m, d) * 86400 + hh * 3600 + mm * 60 +
	    ss);
}

/* Does a list of entity tags hold f's?  RFC 9110 8.8.3.2. */
static bool
tag_listed(struct str s, const struct file *f, bool strong)
{
	const char *p = s.p, *end = s.p + s.n, *q;
	size_t n = strlen(f->etag);
	bool weak;

	if (s.n == 1 && *p == '*')
		return true;
	while (p < end) {
		while (p < end && (*p == ' ' || *p == '\t' || *p == ','))
			p++;
		weak = end - p > 2 && p[0] == 'W' && p[1] == '/';
		if (weak)
			p += 2;
		if (p == end || *p != '"' ||
		    (q = memchr(p + 1, '"', (size_t)(end - p - 1))) == NULL)
			return false;
		q++;
		if ((size_t)(q - p) == n && memcmp(p, f->etag, n) == 0 &&
		    !(strong && weak))
			return true;
		p = q;
	}
	return false;
}

static bool
sent(const struct req *q, enum field f)
{
	return (q->have & 1U << f) != 0;
}

int
file_conditions(const struct req *q, const struct file *f)
{
	time_t t;

	if (sent(q, F_IF_MATCH)) {
		if (!tag_listed(http_field(q, F_IF_MATCH), f, true))
			return 412;
	} else if (sent(q, F_IF_UNMODIFIED_SINCE) && f->mtime != 0) {
		t = http_date(http_field(q, F_IF_UNMODIFIED_SINCE));
		if (t != -1 && f->mtime > t)
			return 412;
	}
	if (sent(q, F_IF_NONE_MATCH)) {
		if (tag_listed(http_field(q, F_IF_NONE_MATCH), f, false))
			return 304;
	} else if (sent(q, F_IF_MODIFIED_SINCE) && f->mtime != 0) {
		t = http_date(http_field(q, F_IF_MODIFIED_SINCE));
		if (t != -1 && f->mtime <= t)
			return 304;
	}
	return 200;
}

/* ---- ranges --------------------------------------------------------------- */

struct range {
	off_t first, last;
};

/* What a multipart answer sends, in order: a part's head from text, the part
 * from the file, ..., the end from text. */
struct parts {
	unsigned i, n;
	struct {
		const char *mem;	/* into text, or NULL: the file */
		off_t off, len;
	} stretch[2 * RANGES_MAX + 1];
	char text[];
};

/* A number at *p, which moves behind it; a huge one is as good as the largest.
 * -1: no digit. */
static off_t
position(const char **p, const char *end)
{
	off_t v = 0;
	const char *start = *p;

	for (; *p < end && **p >= '0' && **p <= '9'; (*p)++)
		v = v > (INT64_MAX - 9) / 10 ? INT64_MAX :
		    v * 10 + (**p - '0');
	return *p == start ? -1 : v;
}

/* Add r, swallowing every range it touches. */
static unsigned
merge(struct range *v, unsigned n, struct range r)
{
	unsigned i, k, at = n;

	for (i = k = 0; i < n; i++) {
		if (v[i].first > r.last + 1 || r.first > v[i].last + 1) {
			v[k++] = v[i];
			continue;
		}
		if (v[i].first < r.first)
			r.first = v[i].first;
		if (v[i].last > r.last)
			r.last = v[i].last;
		if (at == n)
			at = k++;	/* where the first of them stood */
	}
	if (at == n)
		at = k++;
	v[at] = r;
	return k;
}

/* RFC 9110 14.1.1.  How many ranges v holds, 0 for none that can be met, -1 for
 * what is no range of ours, to be ignored. */
static int
parse_ranges(struct str s, off_t size, struct range *v)
{
	const char *p = s.p, *end = s.p + s.n;
	unsigned n = 0, asked = 0;
	struct range r;

	if (s.n < 6 || strncasecmp(p, "bytes=", 6) != 0)
		return -1;
	p += 6;
	for (;;) {
		p += skip_space(p, (size_t)(end - p));
		if (p < end && *p == ',') {	/* 5.6.1: empty elements */
			p++;
			continue;
		}
		if (p == end)
			return asked > 0 ? (int)n : -1;
		if (++asked > RANGES_ASKED)
			return -1;
		r.first = position(&p, end);
		if (p == end || *p++ != '-')
			return -1;
		r.last = position(&p, end);
		if ((r.first < 0 && r.last < 0) ||
		    (r.first >= 0 && r.last >= 0 && r.last < r.first))
			return -1;
		p += skip_space(p, (size_t)(end - p));
		if (p < end && *p++ != ',')
			return -1;
		if (r.first < 0) {	/* the last so many bytes */
			if (r.last == 0)
				continue;
			r.first = r.last < size ? size - r.last : 0;
			r.last = size - 1;
		}
		if (r.first >= size)
			continue;
		if (r.last < 0 || r.last >= size)
			r.last = size - 1;
		n = merge(v, n, r);
	}
}

/* RFC 9110 13.1.5: the whole content unless the validator matches strongly. */
static bool
range_applies(const struct req *q, const struct file *f)
{
	struct str s;
	time_t t;

	if (!sent(q, F_IF_RANGE))
		return true;
	s = http_field(q, F_IF_RANGE);
	if (s.n > 0 && s.p[0] == '"')
		return f->etag[0] != '\0' && s.n == strlen(f->etag) &&
		    memcmp(s.p, f->etag, s.n) == 0;
	t = http_date(s);
	/* a date is a strong validator once its second is over, 8.8.2.2 */
	return t != -1 && f->mtime != 0 && t == f->mtime && t < log_now;
}

/* The line of f->fields that begins with name, with its CRLF. */
static struct str
line_of(const struct file *f, const char *name)
{
	const char *p = strstr(f->fields, name);

	if (p == NULL)
		return (struct str){ "", 0 };
	return (struct str){ p, strcspn(p, "\n") + 1 };
}

static int
multipart(struct file *f, struct resp *r, const struct range *v, unsigned n)
{
	const size_t cap = (n + 1) * 320;
	struct str type = line_of(f, "content-type:");
	struct str enc = line_of(f, "content-encoding:");
	struct parts *p = malloc(sizeof *p + cap);
	char mark[24];
	size_t at = 0;
	off_t sum = 0;
	unsigned i;
	int k;

	if (p == NULL)
		return 503;
	boundary = boundary * 6364136223846793005U + 1442695040888963407U;
	snprintf(mark, sizeof mark, "sws%016llx", (unsigned long long)boundary);
	p->i = 0;
	p->n = 2 * n + 1;
	for (i = 0; i <= n; i++) {
		if (i < n)
			k = snprintf(p->text + at, cap - at, "\r\n--%s\r\n"
			    "%.*s%.*scontent-range: bytes %lld-%lld/%lld"
			    "\r\n\r\n", mark, (int)type.n, type.p, (int)enc.n,
			    enc.p, (long long)v[i].first, (long long)v[i].last,
			    (long long)f->size);
		else
			k = snprintf(p->text + at, cap - at, "\r\n--%s--\r\n",
			    mark);
		/* 25 + 131 + 24 + 84 bytes at most: 320 are enough */
		p->stretch[2 * i].mem = p->text + at;
		p->stretch[2 * i].off = 0;
		p->stretch[2 * i].len = k;
		at += (size_t)k;
		sum += k;
		if (i == n)
			break;
		p->stretch[2 * i + 1].mem = NULL;
		p->stretch[2 * i + 1].off = v[i].first;
		p->stretch[2 * i + 1].len = v[i].last - v[i].first + 1;
		sum += v[i].last - v[i].first + 1;
	}
	r->body.parts = p;
	r->body.mem = p->stretch[0].mem;
	r->body.off = 0;
	r->body.len = p->stretch[0].len;
	http_put(r, "content-length: %lld\r\ncontent-type: multipart/byteranges; "
	    "boundary=%s\r\naccept-ranges: bytes\r\n", (long long)sum, mark);
	r->shared.p = f->fields + f->val;
	r->shared.n = (size_t)(f->n - f->val);
	return 206;
}

int
file_range(const struct req *q, struct file *f, struct resp *r)
{
	struct range v[RANGES_ASKED];
	int n;

	if (!range_applies(q, f))
		return 200;
	n = parse_ranges(http_field(q, F_RANGE), f->size, v);
	if (n == 0)
		return 416;
	if (n < 0 || n > RANGES_MAX)
		return 200;
	if (n > 1 && f->size > INT64_MAX / 2)
		return 200;	/* the sum of the parts could overflow */
	if (n > 1)
		return multipart(f, r, v, (unsigned)n);
	r->body.off = v[0].first;
	r->body.len = v[0].last - v[0].first + 1;
	http_put(r, "content-length: %lld\r\ncontent-range: bytes %lld-%lld/%lld\r\n",
	    (long long)r->body.len, (long long)v[0].first,
	    (long long)v[0].last, (long long)f->size);
	r->shared.p = f->fields + f->cl;
	r->shared.n = (size_t)(f->n - f->cl);
	return 206;
}

/* ---- content --------------------------------------------------------------- */

size_t
body_peek(const struct body *b, const char **p)
{
	if (b->source != NULL)
		return 0;
	if (b->mem != NULL)
		*p = b->mem + b->off;
	else if (b->file != NULL && b->file->bytes != NULL)
		*p = b->file->bytes + b->off;
	else
		return 0;
	return (size_t)b->len;
}

bool
body_more(const struct body *b)
{
	return b->parts != NULL && b->parts->i + 1 < b->parts->n;
}

void
body_skip(struct body *b, off_t n)
{
	struct parts *p = b->parts;

	b->off += n;
	b->len -= n;
	if (b->len == 0 && body_more(b)) {
		p->i++;
		b->mem = p->stretch[p->i].mem;
		b->off = p->stretch[p->i].off;
		b->len = p->stretch[p->i].len;
	}
}

static void
source_end(struct body *b)
{
	if (b->source != NULL)
		b->source->end(b->source);
	b->source = NULL;
	b->len = 0;
}

/* What a source says next, b->off counting it, as a chunk if need be: a size of
 * four digits, which may begin with zeros, and two line ends around it. */
static ssize_t
source_read(struct body *b, char *dst, size_t cap)
{
	enum { HEAD = 6, TAIL = 2, LONGEST = 0xffff };
	char size[HEAD + 1];
	size_t room = b->chunked ? cap - HEAD - TAIL : cap;
	ssize_t n;

	if (room > LONGEST)
		room = LONGEST;
	assert(cap >= 8192);
	n = b->source->read(b->source, b->chunked ? dst + HEAD : dst, room);
	assert(n <= (ssize_t)room);
	if (n < 0)
		return n;
	b->off += n;
	if (n == 0)
		source_end(b);
	if (!b->chunked)
		return n;
	if (n == 0) {
		memcpy(dst, "0\r\n\r\n", 5);
		return 5;
	}
	snprintf(size, sizeof size, "%04x\r\n", (unsigned)n);
	memcpy(dst, size, HEAD);
	memcpy(dst + HEAD + n, "\r\n", TAIL);
	return HEAD + n + TAIL;
}

ssize_t
body_read(struct body *b, void *dst, size_t cap)
{
	const char *p;
	size_t n;
	ssize_t k;

	if (b->source != NULL)
		return source_read(b, dst, cap);
	n = body_peek(b, &p);
	if (b->len < (off_t)cap)
		cap = (size_t)b->len;
	if (cap == 0)
		return 0;
	if (n > 0) {
		memcpy(dst, p, cap);
		k = (ssize_t)cap;
	} else {
		k = pread(b->file->fd, dst, cap, b->off);
		if (k <= 0)
			return -1;	/* 0 too: shorter than it was */
	}
	body_skip(b, k);
	return k;
}

void
body_none(struct body *b)
{
	source_end(b);
	free(b->parts);
	b->parts = NULL;
	b->mem = NULL;
	b->off = b->len = 0;
}

void
body_end(struct body *b)
{
	source_end(b);
	file_unref(b->file);
	free(b->parts);
	memset(b, 0, sizeof *b);
}
