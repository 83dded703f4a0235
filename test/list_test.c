/* list_test.c - list.c alone, with a system that can be made to fail.
 *
 *	list_test show ROOT PATH html|json ORDER [hidden] [links] [cap=N]
 *	    [never=FILE]	the listing; figures go to standard error
 *	list_test sort QUERY	what list_sort() makes of it
 *	list_test run DIR	what needs a look at single calls; DIR is empty
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

static int stats;		/* how many so far */
static int read_fails = -1;	/* readdir() fails after so many, -1 = never */
static int alloc_fails = -1;	/* the same of realloc() */
static size_t most;		/* the largest piece of memory asked for */

static struct dirent *
test_readdir(DIR *d)
{
	if (read_fails == 0) {
		errno = EIO;
		return NULL;
	}
	if (read_fails > 0)
		read_fails--;
	return readdir(d);
}

static int
test_fstatat(int dir, const char *name, struct stat *st, int flags)
{
	stats++;
	return fstatat(dir, name, st, flags);
}

static void *
test_realloc(void *p, size_t n)
{
	if (alloc_fails == 0)
		return NULL;
	if (alloc_fails > 0)
		alloc_fails--;
	if (n > most)
		most = n;
	return realloc(p, n);
}

#define readdir test_readdir
#define fstatat test_fstatat
#define realloc test_realloc
#include "../list.c"
#undef readdir
#undef fstatat
#undef realloc

/* What list.c and fd.c want from above them in sws.h. */
struct conf conf;
int64_t log_turn;
static struct stat never;
static bool has_never;

void
die(int code, const char *fmt, ...)
{
	(void)fmt;
	exit(code);
}

void
warn(const char *fmt, ...)
{
	(void)fmt;
}

void
debug(const char *fmt, ...)
{
	(void)fmt;
}

void
log_syslog(void)
{
}

int64_t log_ms;

bool
file_is_never(const struct stat *st)
{
	return has_never && st->st_dev == never.st_dev &&
	    st->st_ino == never.st_ino;
}

static int failed;

static void
check(bool good, const char *name, int line)
{
	if (good) {
		printf("ok %s\n", name);
		return;
	}
	printf("FAIL %s: line %d\n", name, line);
	failed = 1;
}
#define must(name, x) check((x), (name), __LINE__)

/* All of a listing, with pieces of cap bytes; -1: it failed. */
static ssize_t
all(struct source *s, size_t cap, char **text)
{
	ssize_t r, n = 0;

	*text = NULL;
	if (s == NULL)
		return -1;
	for (;;) {
		char *t = realloc(*text, (size_t)n + cap + 1);

		if (t == NULL)
			abort();
		*text = t;
		r = s->read(s, t + n, cap);
		if (r == SOURCE_LATER)
			continue;
		if (r <= 0)
			break;
		n += r;
	}
	(*text)[n] = '\0';
	s->end(s);
	return r < 0 ? -1 : n;
}

/* Time that we used: others may run here. */
static long long
us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static int
show(int argc, char **argv)
{
	static char buf[65536];
	size_t cap = 16384;
	long long t, t0, first = -1, worst = 0;
	unsigned calls = 0, later = 0;
	struct source *s;
	ssize_t n = 0, sum = 0;
	int i, root;

	for (i = 6; i < argc; i++)
		if (strcmp(argv[i], "hidden") == 0)
			conf.hidden = true;
		else if (strcmp(argv[i], "links") == 0)
			conf.symlinks = true;
		else if (strncmp(argv[i], "cap=", 4) == 0)
			cap = strtoul(argv[i] + 4, NULL, 10);
		else if (strncmp(argv[i], "never=", 6) == 0)
			has_never = stat(argv[i] + 6, &never) == 0;
	root = fd_root(argv[2]);
	t0 = us();
	s = list_open(root, argv[3], argv[4][0] == 'j' ? LIST_JSON : LIST_HTML,
	    (unsigned)strtoul(argv[5], NULL, 10));
	if (s == NULL) {
		perror(argv[3]);
		return 1;
	}
	for (;;) {
		t = us();
		n = s->read(s, buf, cap < sizeof buf ? cap : sizeof buf);
		t = us() - t;
		calls++;
		if (t > worst)
			worst = t;
		if (n == SOURCE_LATER) {
			later++;
			continue;
		}
		if (n <= 0)
			break;
		if (first < 0)
			first = us() - t0;
		sum += n;
		fwrite(buf, 1, (size_t)n, stdout);
	}
	t = us();
	s->end(s);
	fprintf(stderr, "first byte %lld us, all %lld us, %u calls (%u later), "
	    "longest %lld us, end %lld us, %zd bytes, largest piece %zu\n",
	    first, t - t0, calls, later, worst, us() - t, sum, most);
	return n < 0 || fflush(stdout) != 0;
}

/* ---- run ----------------------------------------------------------------- */

static void
make(int dir, const char *name)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		abort();
	close(fd);
}

/* By hand: under ASan strstr(3) measures all of the text at each call. */
static unsigned
count(const char *text, const char *word)
{
	size_t len = strlen(word);
	unsigned n = 0;

	for (; *text != '\0'; text++)
		n += *text == *word && strncmp(text, word, len) == 0;
	return n;
}

/* Names that become as long as any can, in pieces as small as they may be. */
static void
run_long(int root)
{
	static const unsigned char byte[] = { '"', '\'', '&', '<', 0xff, '\n',
	    0x7f, 'a', ' ' };
	char name[256], *small, *big;
	unsigned format, i;
	ssize_t a, b;
	int d;

	mkdirat(root, "long", 0700);
	d = openat(root, "long", O_RDONLY);
	for (i = 0; i < sizeof byte; i++) {
		memset(name, byte[i], 255);
		name[255] = '\0';
		make(d, name);
	}
	memset(name, '"', 254);
	name[254] = '/';
	mkdirat(d, name, 0700);
	close(d);
	for (format = LIST_HTML; format <= LIST_JSON; format++) {
		a = all(list_open(root, "long/", format, 6), 4096, &small);
		b = all(list_open(root, "long/", format, 6), 65536, &big);
		must("long names: small pieces, same text", a > 0 && a == b &&
		    memcmp(small, big, (size_t)a) == 0);
		must("long names: all there", count(small, format == LIST_HTML ?
		    "<tr><td><a href=\"./" : "{\"name\":") ==
		    sizeof byte + 1);
		free(small);
		free(big);
	}
}

/* A path of nearly PATH_LEN bytes, each six in the page. */
static void
run_deep(int root)
{
	char path[PATH_LEN], name[256], *text;
	struct source *s;
	size_t n = 0;
	int d = dup(root), e;

	memset(name, '"', 255);
	name[255] = '\0';
	while (n + 256 < sizeof path) {
		mkdirat(d, name, 0700);
		e = openat(d, name, O_RDONLY | O_DIRECTORY);
		close(d);
		d = e;
		memcpy(path + n, name, 255);
		n += 255;
		path[n++] = '/';
	}
	path[n] = '\0';
	make(d, "x");
	close(d);
	s = list_open(root, path, LIST_HTML, 6);
	must("deep path: listed", all(s, 4096, &text) > 0 &&
	    count(text, "&quot;") == 2 * (n - n / 256) &&
	    strstr(text, "&quot;/</title>\n") && strstr(text, "\">x</a>"));
	free(text);
	path[n - 1] = '\0';
	s = list_open(root, path, LIST_HTML, 6);
	must("deep path: without its slash", all(s, 4096, &text) > 0 &&
	    strstr(text, "&quot;/</title>\n") &&
	    strstr(text, "<base href=\"./%22"));
	free(text);
}

/* Errors at every place: an end without a leak, SOURCE_FAILED. */
static void
run_failing(int root)
{
	char *text, name[16];
	bool good = true;
	ssize_t n;
	int d, i;

	mkdirat(root, "f", 0700);
	d = openat(root, "f", O_RDONLY);
	for (i = 0; i < 600; i++) {
		snprintf(name, sizeof name, "%d", i);
		make(d, name);
	}
	close(d);
	for (i = 0; i < 603; i += 43) {	/* 602: ".", "..", the end */
		read_fails = i;
		n = all(list_open(root, "f/", LIST_HTML, 6), 4096, &text);
		free(text);
		if (n != -1)
			good = false;
	}
	read_fails = -1;
	must("readdir fails", good);
	for (i = 0; ; i++) {
		alloc_fails = i;
		n = all(list_open(root, "f/", LIST_JSON, 0), 4096, &text);
		free(text);
		if (n > 0)
			break;
	}
	alloc_fails = -1;
	must("no memory", i > 4);
}

/* A folder that changes under the listing. */
static void
run_changing(int root)
{
	char buf[4096], name[16];
	struct source *s = list_open(root, "f/", LIST_JSON, 0);
	int d = openat(root, "f", O_RDONLY), i;
	ssize_t n;

	n = s->read(s, buf, sizeof buf);
	must("collecting takes turns", n == 1 && buf[0] == '[');
	must("later", s->read(s, buf, sizeof buf) == SOURCE_LATER);
	for (i = 0; i < 600; i++) {
		snprintf(name, sizeof name, "%d", i);
		unlinkat(d, name, 0);
	}
	unlinkat(root, "f", AT_REMOVEDIR);
	make(root, "f");
	while ((n = s->read(s, buf, sizeof buf)) > 0 || n == SOURCE_LATER)
		;
	must("folder removed meanwhile", n == 0);
	s->end(s);
	close(d);
	errno = 0;
	must("not a folder", list_open(root, "f", LIST_JSON, 0) == NULL &&
	    errno == ENOTDIR);
	must("not there", list_open(root, "nothing/", LIST_JSON, 0) == NULL &&
	    errno == ENOENT);
	must("above the root", list_open(root, "../", LIST_JSON, 0) == NULL &&
	    errno == EXDEV);
	s = list_open(root, "long/", LIST_HTML, 0);
	s->read(s, buf, sizeof buf);
	s->end(s);
	s = list_open(root, "long/", LIST_HTML, 0);
	s->end(s);
	must("ended early", true);
}

/* The limit of what is sorted, and one more. */
static void
run_limit(int root)
{
	static char buf[PIECE];
	char name[32], *text;
	unsigned i, order;
	struct source *s;
	int d, before_it;
	bool small = true;
	ssize_t n;

	mkdirat(root, "big", 0700);
	d = openat(root, "big", O_RDONLY);
	for (i = 0; i < LIST_SORTED; i++) {
		snprintf(name, sizeof name, "%05u-%u", i * 7919 % 10000, i);
		make(d, name);
	}
	make(d, ".hidden");
	for (order = 0; order < 2; order++) {
		s = list_open(root, "big/", LIST_HTML, order);
		n = s->read(s, buf, sizeof buf);
		must("the top comes at once", n > 0 && memcmp(buf, "<!doctype",
		    9) == 0 && strstr(buf, "<h1>Index of /big/</h1>"));
		do {
			before_it = stats;
			n = s->read(s, buf, 4096);
			if (stats - before_it > SLICE || n > 4096)
				small = false;
		} while (n > 0 || n == SOURCE_LATER);
		s->end(s);
		must("slices are small", small && n == 0);
		if (order == 1)
			break;
		must("10,000 are sorted", all(list_open(root, "big/", LIST_HTML,
		    1), PIECE, &text) > 0 && strstr(text, "10000 files") &&
		    strstr(text, "?sort=") && strstr(text, ">00000-0</a>") >
		    strstr(text, ">09999-") && count(text, "<tr><td>") ==
		    LIST_SORTED + 1);
		free(text);
		make(d, "one more");
	}
	must("10,001 are not", all(list_open(root, "big/", LIST_HTML, 1), PIECE,
	    &text) > 0 && strstr(text, "More than 10,000 entries") &&
	    !strstr(text, "?sort=") && !strstr(text, "aria-sort=\"") &&
	    count(text, "<tr><td>") == LIST_SORTED + 2);
	free(text);
	must("nor as JSON", all(list_open(root, "big/", LIST_JSON, 1), 4096,
	    &text) > 0 && count(text, "\"name\":") == LIST_SORTED + 1);
	free(text);
	close(d);
}

static int
run(const char *dir)
{
	int root = open(dir, O_RDONLY | O_DIRECTORY), fd = dup(0);

	close(fd);
	run_long(root);
	run_deep(root);
	run_failing(root);
	run_changing(root);
	run_limit(root);
	must("no descriptor is left open", dup(0) == fd);
	return failed;
}

int
main(int argc, char **argv)
{
	if (argc > 5 && strcmp(argv[1], "show") == 0)
		return show(argc, argv);
	if (argc == 3 && strcmp(argv[1], "sort") == 0) {
		printf("%u\n", list_sort((struct str){ argv[2],
		    strlen(argv[2]) }, 9));
		return 0;
	}
	if (argc == 3 && strcmp(argv[1], "run") == 0)
		return run(argv[2]);
	return 2;
}
