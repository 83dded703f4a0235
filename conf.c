/* conf.c - one table of options, read from the command line, SERVER_* and the
 * configuration file.
 *
 * The table is the only place that knows an option's names; --help is made
 * from it, and the manual, the completions and the file's keys are checked
 * against it.  Whatever order the sources are read in, the stronger one wins;
 * what a weaker one says is checked all the same. */
#include "sws.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#ifndef NO_HTTP2
#include <nghttp2/nghttp2ver.h>
#endif

static const struct conf defaults = {
	.root = ".",
	.port = 8080,
	.index = { { "index.html" }, 1 },
	.page404 = "404.html",
	.page50x = "50x.html",
	.open_path = "/",
	.http2 = true,
	.https_host = "localhost",
	.https_from = { { "localhost" }, 1 },
	.compression_static = true,
	.etag = true,
	.trailing_redirect = true,
	.text_charset = true,
	.cache_control = true,
	.listing_order = 6,
	.listing_format = LISTING_AUTO,
	.cors_headers = { { "origin", "content-type", "authorization" }, 3 },
	.cors_expose = { { "origin", "content-type" }, 2 },
	.maintenance_status = 503,
	.log_remote = true,
	.access_log = true,
	.unix_mode = 0666,
	.header_ms = 10000,
	.idle_ms = 10000,
	.write_ms = 60000,
	.drain_ms = 30000,
	.ready_fd = -1,
	.ansi = -1,
};
struct conf conf;

#ifdef NO_TLS
enum { HAVE_TLS = 0 };
#else
enum { HAVE_TLS = 1 };
#endif
#ifdef NO_HTTP2
enum { HAVE_HTTP2 = 0 };
#else
enum { HAVE_HTTP2 = 1 };
#endif
static const char libraries[] =
#ifdef NO_TLS
    "no TLS, "
#else
    "BearSSL, "	/* it does not tell its version */
#endif
#ifdef NO_HTTP2
    "no HTTP/2";
#else
    "nghttp2 " NGHTTP2_VERSION;
#endif

enum kind { STRING, BOOL, NUMBER, SECONDS, OCTAL, LEVEL, CHOICE, LIST, LOWER,
	INDEX, LINES, ALIAS, INVERSE, IGNORED, IGNORED_BOOL, ACT_HELP,
	ACT_VERSION };

enum flag {
	ADDRESS = 1,	/* asks for a socket of our own */
	FIXED = 2,	/* read at start only */
};

/* Who set an option; a stronger one wins, whatever came first. */
enum origin { S_DEFAULT, S_FILE, S_ENV, S_ARG };

static const char *const words_level[] = { "error", "warn", "info", "debug",
    "trace", NULL };
static const char *const words_log[] = { "combined", "json", "pretty", NULL };
static const char *const words_box[] = { "auto", "required", "off", NULL };
static const char *const words_listing[] = { "html", "json", "auto", NULL };

static const struct option {
	const char *name;
	char letter;		/* 0 = none */
	uint8_t kind;
	uint8_t flags;
	uint16_t off;
	unsigned max;
	const char *var;	/* after SERVER_; NULL = the name, upper case */
	const char *arg;
	const char *help;	/* NULL: not shown; `arg` is the option meant */
	const char *const *words;	/* of a CHOICE */
} table[] = {
#define AT(m) (uint16_t)offsetof(struct conf, m)
{ "root", 'd', STRING, FIXED, AT(root), 0, NULL, "DIR",
	"folder to serve, also as last argument [.]", NULL },
{ "host", 'a', STRING, ADDRESS | FIXED, AT(host), 0, NULL, "ADDR",
	"address or name to bind [::]", NULL },
{ "port", 'p', NUMBER, ADDRESS | FIXED, AT(port), 65535, NULL, "N",
	"port to bind, 0 = any free one [8080]", NULL },
{ "fd", 'f', LIST, FIXED, AT(fds), 0, "LISTEN_FD", "N|NAME",
	"serve a socket that was passed in; repeatable", NULL },
{ "unix-socket", 0, STRING, ADDRESS | FIXED, AT(unix_socket), 0, NULL, "PATH",
	"listen on a unix socket", NULL },
{ "unix-socket-mode", 0, OCTAL, FIXED, AT(unix_mode), 0777, NULL, "MODE",
	"its permissions, octal [666]", NULL },
{ "unix-socket-force", 0, BOOL, FIXED, AT(unix_force), 0, NULL, NULL,
	"replace a stale one", NULL },
{ "config-file", 'w', STRING, 0, AT(config_file), 0, NULL, "FILE",
	"options and rules, TOML [sws.toml if there]", NULL },
{ "tls", 't', BOOL, FIXED, AT(tls), 0, NULL, NULL,
	"TLS; on when there is a certificate", NULL },
{ "tls-cert", 'C', LINES, 0, AT(cert), 0, NULL, "FILE",
	"certificate chain, PEM; repeatable with its key", NULL },
{ "tls-key", 'K', LINES, 0, AT(key), 0, NULL, "FILE",
	"its private key, PEM", NULL },
{ "http2", 0, BOOL, 0, AT(http2), 0, NULL, NULL,
	"HTTP/2 beside HTTP/1.1 [true]", NULL },
{ "https-redirect", 0, BOOL, FIXED, AT(https_redirect), 0, NULL, NULL,
	"send plain requests to https [false]", NULL },
{ "https-redirect-host", 0, STRING, 0, AT(https_host), 0, NULL, "NAME",
	"to this host [localhost]", NULL },
{ "https-redirect-from-port", 0, NUMBER, FIXED, AT(https_from_port), 65535,
	NULL, "N", "from this port, bound besides [none]", NULL },
{ "https-redirect-from-hosts", 0, LIST, 0, AT(https_from), 0, NULL, "LIST",
	"from these hosts only [localhost]", NULL },
{ "http2-tls", 0, ALIAS, 0, 0, 0, NULL, "tls", NULL, NULL },
{ "http2-tls-cert", 0, ALIAS, 0, 0, 0, NULL, "tls-cert", NULL, NULL },
{ "http2-tls-key", 0, ALIAS, 0, 0, 0, NULL, "tls-key", NULL, NULL },
{ "index-files", 0, INDEX, 0, AT(index), 0, NULL, "LIST",
	"index files, first found is sent [index.html]", NULL },
{ "page404", 0, STRING, 0, AT(page404), 0, "ERROR_PAGE_404", "FILE",
	"page for what is missing [404.html]", NULL },
{ "page50x", 0, STRING, 0, AT(page50x), 0, "ERROR_PAGE_50X", "FILE",
	"page for our own failures [50x.html]", NULL },
{ "page-fallback", 0, STRING, 0, AT(page_fallback), 0, "FALLBACK_PAGE", "FILE",
	"page with status 200 for what is missing", NULL },
{ "directory-listing", 'z', BOOL, 0, AT(listing), 0, NULL, NULL,
	"list folders without an index file [false]", NULL },
{ "directory-listing-order", 0, NUMBER, 0, AT(listing_order), 6, NULL, "N",
	"by name, time, size: 0-5 up, down; 6 name [6]", NULL },
{ "directory-listing-format", 0, CHOICE, 0, AT(listing_format), 0, NULL, "WORD",
	"html, json or auto [auto]", words_listing },
{ "compression-static", 0, BOOL, 0, AT(compression_static), 0, NULL, NULL,
	"send .br, .zst, .gz siblings [true]", NULL },
{ "accept-markdown", 0, BOOL, 0, AT(markdown), 0, NULL, NULL,
	"send .md to clients that ask for it [false]", NULL },
{ "redirect-trailing-slash", 0, BOOL, 0, AT(trailing_redirect), 0, NULL, NULL,
	"send /dir to /dir/ [true]", NULL },
{ "include-hidden", 0, BOOL, 0, AT(hidden), 0, NULL, NULL,
	"serve names that begin with a dot [false]", NULL },
{ "ignore-hidden-files", 0, INVERSE, 0, 0, 0, NULL, "include-hidden", NULL,
	NULL },
{ "follow-symlinks", 0, BOOL, 0, AT(symlinks), 0, NULL, NULL,
	"follow links that stay inside [false]", NULL },
{ "disable-symlinks", 0, INVERSE, 0, 0, 0, NULL, "follow-symlinks", NULL,
	NULL },
{ "use-relative-root", 0, BOOL, FIXED, AT(relative_root), 0, NULL, NULL,
	"notice when the folder is replaced [false]", NULL },
{ "mime-types", 0, STRING, 0, AT(mime_types), 0, NULL, "FILE",
	"more types, as in /etc/mime.types", NULL },
{ "text-charset", 0, BOOL, 0, AT(text_charset), 0, NULL, NULL,
	"charset=utf-8 on text types [true]", NULL },
{ "etag", 0, BOOL, 0, AT(etag), 0, NULL, NULL, "send ETag [true]", NULL },
{ "cache-control-headers", 'e', BOOL, 0, AT(cache_control), 0, NULL, NULL,
	"Cache-Control by file type [true]", NULL },
{ "security-headers", 0, BOOL, 0, AT(security_headers), 0, NULL, NULL,
	"HSTS, nosniff and the like [with TLS]", NULL },
{ "header", 0, LINES, 0, AT(headers), 0, NULL, "'NAME: VALUE'",
	"a field for every response; repeatable", NULL },
{ "cors-allow-origins", 'c', LIST, 0, AT(cors_origins), 0, NULL, "LIST",
	"origins that may read, or * [none]", NULL },
{ "cors-allow-headers", 'j', LOWER, 0, AT(cors_headers), 0, NULL, "LIST",
	"fields they may send [the usual three]", NULL },
{ "cors-expose-headers", 0, LOWER, 0, AT(cors_expose), 0, NULL, "LIST",
	"fields they may read [the usual two]", NULL },
{ "basic-auth", 0, LINES, 0, AT(users), 0, NULL, "USER:HASH",
	"ask for a password, bcrypt hash; repeatable", NULL },
{ "health", 0, BOOL, 0, AT(health), 0, NULL, NULL,
	"answer /health [false]", NULL },
{ "metrics", 0, BOOL, 0, AT(metrics), 0, NULL, NULL,
	"answer /metrics, for Prometheus [false]", NULL },
{ "experimental-metrics", 0, ALIAS, 0, 0, 0, NULL, "metrics", NULL, NULL },
{ "maintenance-mode", 0, BOOL, 0, AT(maintenance), 0, NULL, NULL,
	"answer everything with one page [false]", NULL },
{ "maintenance-mode-status", 0, NUMBER, 0, AT(maintenance_status), 599, NULL,
	"N", "and this status [503]", NULL },
{ "maintenance-mode-file", 0, STRING, 0, AT(maintenance_file), 0, NULL, "FILE",
	"that page", NULL },
{ "log-level", 'g', LEVEL, 0, 0, 0, NULL, "LEVEL",
	"error, warn, info, debug or trace [info]", words_level },
{ "log-format", 0, CHOICE, 0, AT(log_format), 0, NULL, "WORD",
	"combined, json or pretty [combined]", words_log },
{ "log-file", 0, STRING, 0, AT(log_file), 0, NULL, "FILE",
	"access log [standard error]", NULL },
{ "log-with-ansi", 0, BOOL, 0, AT(log_ansi), 0, NULL, NULL,
	"colours in the pretty log [on a terminal]", NULL },
{ "log-remote-address", 0, BOOL, 0, AT(log_remote), 0, NULL, NULL,
	"say the client's address [true]", NULL },
{ "log-x-real-ip", 0, BOOL, 0, AT(log_real_ip), 0, NULL, NULL,
	"take it from X-Real-IP of a trusted proxy [false]", NULL },
{ "log-forwarded-for", 0, BOOL, 0, AT(log_forwarded_for), 0, NULL, NULL,
	"or from X-Forwarded-For [false]", NULL },
{ "trusted-proxies", 0, LIST, 0, AT(proxies), 0, NULL, "LIST",
	"addresses and networks of proxies [none]", NULL },
{ "access-log", 0, BOOL, 0, AT(access_log), 0, NULL, NULL,
	"one line a response [true]", NULL },
{ "open", 0, BOOL, FIXED, AT(open), 0, NULL, NULL,
	"open the site in a browser [false]", NULL },
{ "open-path", 0, STRING, FIXED, AT(open_path), 0, NULL, "PATH",
	"at this path [/]", NULL },
{ "header-timeout", 0, SECONDS, 0, AT(header_ms), 86400, NULL, "SECS",
	"for a whole request head [10]", NULL },
{ "idle-timeout", 0, SECONDS, 0, AT(idle_ms), 86400, NULL, "SECS",
	"for the next request, 0 = for ever [10]", NULL },
{ "write-timeout", 0, SECONDS, 0, AT(write_ms), 86400, NULL, "SECS",
	"without a byte taken by the client [60]", NULL },
{ "idle-exit", 0, SECONDS, 0, AT(idle_exit_ms), 2000000, NULL, "SECS",
	"end when unused so long, 0 = never [0]", NULL },
{ "grace-period", 'q', SECONDS, 0, AT(grace_ms), 255, NULL, "SECS",
	"go on accepting so long after TERM [0]", NULL },
{ "drain-timeout", 0, SECONDS, 0, AT(drain_ms), 86400, NULL, "SECS",
	"for what is in flight after TERM [30]", NULL },
{ "max-connections", 0, NUMBER, FIXED, AT(max_conns), 1000000, NULL, "N",
	"at once, 0 = by RLIMIT_NOFILE [0]", NULL },
{ "ready-fd", 0, NUMBER, FIXED, AT(ready_fd), 65535, NULL, "N",
	"write a newline there when serving", NULL },
{ "sandbox", 0, CHOICE, FIXED, AT(sandbox), 0, NULL, "WORD",
	"auto, required or off [auto]", words_box },
{ "user", 0, STRING, FIXED, AT(user), 0, NULL, "NAME",
	"become this user, when started as root", NULL },
{ "group", 0, STRING, FIXED, AT(group), 0, NULL, "NAME",
	"and this group [the user's]", NULL },
{ "chroot", 0, STRING, FIXED, AT(chroot), 0, NULL, "DIR",
	"see nothing above this folder", NULL },
{ "compression", 'x', IGNORED_BOOL, 0, 0, 0, NULL, NULL, NULL, NULL },
{ "compression-level", 0, IGNORED, 0, 0, 0, NULL, "WORD", NULL, NULL },
{ "directory-listing-download", 0, IGNORED, 0, 0, 0, NULL, "LIST", NULL, NULL },
{ "threads-multiplier", 'n', IGNORED, 0, 0, 0, NULL, "N", NULL, NULL },
{ "max-blocking-threads", 'b', IGNORED, 0, 0, 0, NULL, "N", NULL, NULL },
{ "version", 'V', ACT_VERSION, 0, 0, 0, NULL, NULL, "print the version", NULL },
{ "help", 'h', ACT_HELP, 0, 0, 0, NULL, NULL, "print this", NULL },
#undef AT
};

enum { NOPTIONS = sizeof table / sizeof table[0] };

/* Memory of one configuration, freed as a whole. */
struct kept {
	struct kept *next;
	struct toml *file;	/* or text[] is used */
	char text[];
};

static int g_argc;
static char **g_argv;
static uint8_t from[NOPTIONS];	/* enum origin of each option's value */
static unsigned file_line[NOPTIONS];	/* of the file, if that is its origin */
static unsigned at_line;	/* of the key that is being read */
static const char *file_name;	/* of the file that is read, for messages */
static struct conf new;		/* the one that is being read */
static struct conf old;		/* the one to go back to */
/* of the start: fixed options point there; a leak checker looks for it */
static struct kept *of_start __attribute__((used));
static bool started;
static unsigned new_level, old_level;
static char problem[512];	/* of the reading under way */
static bool adding;		/* the next names of one array */

static void
help(void)
{
	unsigned i;
	char left[40];

	printf("usage: sws [options] [DIR]\n"
	    "--idle-exit is SERVER_IDLE_EXIT and idle-exit in the file too, and "
	    "so on;\n--no-x is --x=false.\n");
	for (i = 0; i < NOPTIONS; i++) {
		const struct option *o = &table[i];

		if (o->help == NULL)
			continue;
		snprintf(left, sizeof left, "%c%c%c --%s%s%s",
		    o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
		    o->letter ? ',' : ' ', o->name, o->arg ? " " : "",
		    o->arg ? o->arg : "");
		printf("%-31s%s%s\n", left, strlen(left) > 30 ? " " : "",
		    o->help);
	}
}

/* ---- values ----------------------------------------------------------------- */

/* A copy of n bytes that lives as long as the configuration; NULL: no memory. */
static char *
keep(const char *s, size_t n)
{
	struct kept *k = malloc(sizeof *k + n + 1);

	if (k == NULL)
		return NULL;
	k->file = NULL;
	memcpy(k->text, s, n);
	k->text[n] = '\0';
	k->next = new.kept;
	new.kept = k;
	return k->text;
}

static void
forget(struct conf *c)
{
	struct kept *k;

	while ((k = c->kept) != NULL) {
		c->kept = k->next;
		toml_free(k->file);
		free(k);
	}
	rules_free(c->rules);
	c->rules = NULL;
}

/* s is a whole number of the given base in [0, max]; -1 if it is not. */
static long
number(const char *s, int base, unsigned max)
{
	char *end;
	long v;

	if (s[0] < '0' || s[0] > '9')
		return -1;
	errno = 0;
	v = strtol(s, &end, base);
	if (errno != 0 || *end != '\0' || v < 0 || (unsigned long)v > max)
		return -1;
	return v;
}

static int
boolean(const char *s)
{
	if (strcmp(s, "true") == 0)
		return 1;
	return strcmp(s, "false") == 0 ? 0 : -1;
}

/* Which of the words s is, or -1. */
static int
word(const char *const *words, const char *s)
{
	int k;

	for (k = 0; words[k] != NULL; k++)
		if (strcmp(words[k], s) == 0)
			return k;
	return -1;
}

/* Add the names of a comma list, or with `lines` the lines of v, to n. */
static const char *
list(struct names *n, unsigned cap, const char *v, bool lines)
{
	char *copy = keep(v, strlen(v)), *p, *next, *end;
	bool any = false;

	if (copy == NULL)
		return "out of memory";
	for (p = copy; p != NULL; p = next) {
		next = strchr(p, lines ? '\n' : ',');
		if (next != NULL)
			*next++ = '\0';
		p += strspn(p, " \t");
		for (end = p + strlen(p); end > p && strchr(" \t\r", end[-1]);)
			*--end = '\0';
		if (*p == '\0')
			continue;
		if (n->n == cap)
			return "too many of them";
		n->v[n->n++] = p;
		any = true;
	}
	return any ? NULL : lines ? "must not be empty" : "an empty list";
}

/* Set option i from text v.  NULL, or what is wrong with v. */
static const char *
set(unsigned i, const char *v, enum origin s)
{
	const struct option *o = &table[i];
	char *at = (char *)&new + o->off;
	struct names many = { .n = 0 };
	const char *why = NULL;
	unsigned k;
	long n = 0;

	switch (o->kind) {
	case STRING:
	case IGNORED:
		if (*v == '\0')
			return "must not be empty";
		break;
	case BOOL:
	case IGNORED_BOOL:
		if ((n = boolean(v)) < 0)
			return "must be true or false";
		break;
	case NUMBER:
	case SECONDS:
		if ((n = number(v, 10, o->max)) < 0)
			return "not a whole number, or out of range";
		if (o->kind == SECONDS)
			n *= 1000;
		break;
	case OCTAL:
		if ((n = number(v, 8, o->max)) < 0)
			return "not an octal mode";
		break;
	case LEVEL:
	case CHOICE:
		if ((n = word(o->words, v)) < 0)
			return o->kind == LEVEL ?
			    "must be error, warn, info, debug or trace" :
			    o->words == words_log ?
			    "must be combined, json or pretty" :
			    o->words == words_box ?
			    "must be auto, required or off" :
			    "must be html, json or auto";
		break;
	default:	/* a list: more of the same source add to it */
		if (from[i] == s && (o->kind != INDEX || adding))
			many = *(struct names *)(void *)at;
		why = list(&many, o->kind == INDEX ? INDEX_MAX : NAMES_MAX, v,
		    o->kind == LINES);
		if (why != NULL)
			return why;
		for (k = 0; o->kind == INDEX && k < many.n; k++)
			if (strchr(many.v[k], '/') != NULL)
				return "index files are names, not paths";
	}
	if (from[i] > s)
		return NULL;
	from[i] = (uint8_t)s;
	file_line[i] = at_line;
	switch (o->kind) {
	case STRING:
		*(const char **)(void *)at = v;
		break;
	case BOOL:
		*(bool *)at = n != 0;
		break;
	case LEVEL:
		new_level = (unsigned)n;
		break;
	case IGNORED:
	case IGNORED_BOOL:
		break;
	case NUMBER:
	case SECONDS:
	case OCTAL:
	case CHOICE:
		*(unsigned *)(void *)at = (unsigned)n;
		break;
	default:
		*(struct names *)(void *)at = many;
	}
	return NULL;
}

/* The option called name (n bytes), or NOPTIONS. */
static unsigned
find(const char *name, size_t n)
{
	unsigned i;

	for (i = 0; i < NOPTIONS; i++)
		if (strlen(table[i].name) == n &&
		    memcmp(table[i].name, name, n) == 0)
			break;
	return i;
}

static unsigned
named(const char *name)
{
	return find(name, strlen(name));
}

/* set(), for the option that i is another name of. */
static const char *
give(unsigned i, const char *v, enum origin s)
{
	const struct option *o = &table[i];

	if (o->kind == ALIAS)
		return set(named(o->arg), v, s);
	if (o->kind != INVERSE)
		return set(i, v, s);
	if (boolean(v) < 0)
		return "must be true or false";
	return set(named(o->arg), boolean(v) ? "false" : "true", s);
}

/* How an option is written: that of the one it is another name of. */
static unsigned
kind_of(const struct option *o)
{
	return o->kind == ALIAS ? table[named(o->arg)].kind : o->kind;
}

static bool
takes_no_value(const struct option *o)
{
	unsigned k = kind_of(o);

	return k == BOOL || k == IGNORED_BOOL || k == INVERSE || k >= ACT_HELP;
}

static unsigned
find_letter(char c)
{
	unsigned i;

	for (i = 0; i < NOPTIONS; i++)
		if (c != '\0' && table[i].letter == c)
			break;
	return i;
}

/* Note what is wrong; the first thing counts.  Returns -1. */
static int __attribute__((format(printf, 1, 2)))
bad(const char *fmt, ...)
{
	va_list ap;

	if (problem[0] != '\0')
		return -1;
	va_start(ap, fmt);
	vsnprintf(problem, sizeof problem, fmt, ap);
	va_end(ap);
	return -1;
}

/* An option as it was given, for a message about its value. */
static const char *
given(const char *name)
{
	static char text[300];
	unsigned i = named(name);

	if (from[i] == S_FILE)
		snprintf(text, sizeof text, "%.250s:%u: %s", file_name,
		    file_line[i], name);
	else
		snprintf(text, sizeof text, "--%s", name);
	return text;
}

/* ---- the environment --------------------------------------------------------- */

static void
variable_name(char *dst, size_t cap, const struct option *o)
{
	size_t n;
	const char *p = o->var ? o->var : o->name;

	n = (size_t)snprintf(dst, cap, "SERVER_");
	for (; *p != '\0' && n + 1 < cap; p++, n++)
		dst[n] = *p == '-' ? '_' :
		    *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
	dst[n] = '\0';
}

static int
from_environment(void)
{
	char name[64];
	const char *v, *why;
	unsigned i;

	for (i = 0; i < NOPTIONS; i++) {
		if (table[i].kind >= ACT_HELP)
			continue;
		variable_name(name, sizeof name, &table[i]);
		v = getenv(name);
		if (v == NULL || *v == '\0')	/* env files have such lines */
			continue;
		if ((why = give(i, v, S_ENV)) != NULL)
			return bad("%s=\"%s\": %s", name, v, why);
	}
	return 0;
}

/* ---- the command line -------------------------------------------------------- */

/* Returns `used`, or -1 when v is no good. */
static int
apply(unsigned i, const char *shown, const char *v, int used)
{
	const char *why = give(i, v, S_ARG);

	return why == NULL ? used : bad("%s \"%s\": %s", shown, v, why);
}

/* One "--name[=value]"; next is the following argument or NULL.  Returns how
 * many arguments were used, -1: a usage error. */
static int
long_option(const char *arg, const char *next)
{
	const char *name = arg + 2, *eq = strchr(name, '=');
	size_t n = eq ? (size_t)(eq - name) : strlen(name);
	unsigned i = find(name, n);

	if (i == NOPTIONS && n > 3 && strncmp(name, "no-", 3) == 0) {
		i = find(name + 3, n - 3);
		if (i == NOPTIONS || !takes_no_value(&table[i]) ||
		    table[i].kind >= ACT_HELP)
			return bad("unknown option %s", arg);
		if (eq != NULL)
			return bad("%s takes no value", arg);
		return apply(i, arg, "false", 1);
	}
	if (i == NOPTIONS)
		return bad("unknown option %.*s (see sws --help)", (int)(n + 2),
		    arg);
	if (table[i].kind >= ACT_HELP)
		return bad("%s takes no value", arg);	/* bare ones are done */
	if (eq != NULL)
		return apply(i, arg, eq + 1, 1);
	if (takes_no_value(&table[i])) {
		if (next != NULL && boolean(next) >= 0)
			return apply(i, arg, next, 2);
		return apply(i, arg, "true", 1);
	}
	if (next == NULL)
		return bad("%s needs a value (%s)", arg,
		    table[i].kind == ALIAS ? table[named(table[i].arg)].arg :
		    table[i].arg);
	return apply(i, arg, next, 2);
}

/* "-x", "-xvalue", "-xyz" of booleans.  Returns arguments used, or -1. */
static int
short_options(const char *arg, const char *next)
{
	const char *p;
	char shown[3] = "-?";
	unsigned i;

	for (p = arg + 1; *p != '\0'; p++) {
		shown[1] = *p;
		i = find_letter(*p);
		if (i == NOPTIONS)
			return bad("unknown option %s (see sws --help)", shown);
		if (takes_no_value(&table[i])) {
			if (p[1] == '\0' && next != NULL && boolean(next) >= 0)
				return apply(i, shown, next, 2);
			if (apply(i, shown, "true", 1) < 0)
				return -1;
			continue;
		}
		if (p[1] != '\0')
			return apply(i, shown, p + 1 + (p[1] == '='), 1);
		if (next == NULL)
			return bad("%s needs a value (%s)", shown,
			    table[i].arg);
		return apply(i, shown, next, 2);
	}
	return 1;
}

static int
from_arguments(int argc, char **argv)
{
	const char *dir = NULL;
	bool options = true;
	int k = 1, used;

	while (k < argc) {
		const char *next = k + 1 < argc ? argv[k + 1] : NULL;

		used = 1;
		if (options && strcmp(argv[k], "--") == 0) {
			options = false;
		} else if (options && strncmp(argv[k], "--", 2) == 0) {
			used = long_option(argv[k], next);
		} else if (options && argv[k][0] == '-' && argv[k][1] != '\0') {
			used = short_options(argv[k], next);
		} else {
			if (dir != NULL)
				return bad("one folder only: \"%s\" follows "
				    "\"%s\"", argv[k], dir);
			dir = argv[k];
		}
		if (used < 0)
			return -1;
		k += used;
	}
	if (dir != NULL && from[0] == S_ARG)
		return bad("the folder is given twice: --root and \"%s\"", dir);
	return dir != NULL ? apply(0, "DIR", dir, 0) : 0;
}

/* --help and --version win over whatever else is wrong. */
static void
informative(int argc, char **argv)
{
	int k;
	const char *a;
	unsigned i;

	for (k = 1; k < argc && strcmp(argv[k], "--") != 0; k++) {
		a = argv[k];
		if (a[0] != '-')
			continue;
		i = a[1] == '-' ? named(a + 2) :
		    a[1] != '\0' && a[2] == '\0' ? find_letter(a[1]) : NOPTIONS;
		if (i == NOPTIONS || table[i].kind < ACT_HELP)
			continue;
		if (table[i].kind == ACT_HELP)
			help();
		else
			printf("sws %s (%s)\n", SWS_VERSION, libraries);
		if (fflush(stdout) != 0)
			die(1, "standard output: %s", strerror(errno));
		exit(0);
	}
}

/* ---- the file ---------------------------------------------------------------- */

/* Does a value of the file have the type that option o is written with? */
static const char *
wrong_type(const struct option *o, const struct toml *v)
{
	switch (kind_of(o)) {
	case BOOL:
	case INVERSE:
	case IGNORED_BOOL:
		return v->type == TOML_BOOLEAN ? NULL :
		    "must be true or false";
	case NUMBER:
	case SECONDS:
		return v->type == TOML_INTEGER ? NULL :
		    "must be a whole number";
	case IGNORED:
		return NULL;
	case OCTAL:
		return v->type == TOML_STRING || v->type == TOML_INTEGER ?
		    NULL : "must be an octal mode";
	case LIST:
		/* descriptors are numbers or names */
		return v->type == TOML_STRING || (v->type == TOML_INTEGER &&
		    o->off == offsetof(struct conf, fds)) ? NULL :
		    "must be a string or an array of strings";
	case LOWER:
	case INDEX:
	case LINES:
		return v->type == TOML_STRING ? NULL :
		    "must be a string or an array of strings";
	default:
		return v->type == TOML_STRING ? NULL : "must be a string";
	}
}

static const char *
from_value(unsigned i, const struct toml *v)
{
	char text[32];
	const char *why = wrong_type(&table[i], v);

	if (kind_of(&table[i]) == IGNORED)
		return set(i, "of no matter", S_FILE);
	if (why != NULL)
		return why;
	if (v->type == TOML_STRING)	/* an empty one is none, as in SWS */
		return *v->string ? give(i, v->string, S_FILE) : NULL;
	if (v->type == TOML_BOOLEAN)
		return give(i, v->integer ? "true" : "false", S_FILE);
	snprintf(text, sizeof text, kind_of(&table[i]) == OCTAL ? "%llo" :
	    "%lld", (long long)v->integer);
	return give(i, text, S_FILE);
}

/* One key of [general]. */
static const char *
from_key(unsigned i, const struct toml *v)
{
	unsigned kind = kind_of(&table[i]);
	const char *why = NULL;

	at_line = v->line;
	if (v->type != TOML_ARRAY || (kind != LIST && kind != LOWER &&
	    kind != INDEX && kind != LINES))
		return from_value(i, v);
	for (v = v->first; v != NULL && why == NULL; v = v->next) {
		why = v->type == TOML_ARRAY ? wrong_type(&table[i], v) :
		    from_value(i, v);
		adding = true;
	}
	adding = false;
	return why;
}

static void
unknown_key(unsigned line, const char *key)
{
	warn("%s:%u: unknown key %s", file_name, line, key);
}

static int
from_general(const struct toml *general)
{
	const struct toml *v;
	const char *why;
	unsigned i;

	if (general->type != TOML_TABLE)
		return bad("%s:%u: general must be a table", file_name,
		    general->line);
	for (v = general->first; v != NULL; v = v->next) {
		i = named(strcmp(v->key, "path") ? v->key : "open-path");
		if (i == NOPTIONS || table[i].kind >= ACT_HELP ||
		    i == named("config-file"))
			unknown_key(v->line, v->key);
		else if ((why = from_key(i, v)) != NULL)
			return bad("%s:%u: %s: %s", file_name, v->line, v->key,
			    why);
	}
	return 0;
}

/* All of a file, from keep(); NULL with errno. */
static char *
slurp(const char *name, size_t *n)
{
	int fd = open(name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	char *text = NULL;
	struct stat st;
	ssize_t k = -1;

	*n = 0;
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode))
		errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
	else if (st.st_size > CONF_MAX)
		errno = EFBIG;
	else if ((text = malloc(CONF_MAX + 1)) == NULL)
		errno = ENOMEM;
	else
		while ((k = read(fd, text + *n, CONF_MAX + 1 - *n)) > 0)
			*n += (size_t)k;
	if (k < 0) {
		free(text);
		text = NULL;
	}
	close(fd);
	return text;
}

/* The configuration file, if there is one. */
static int
from_file(void)
{
	bool asked = from[named("config-file")] != S_DEFAULT;
	const struct toml *v;
	struct toml *root;
	char why[400], *text;
	struct kept *k;
	size_t n;

	file_name = asked ? new.config_file : "sws.toml";
	text = slurp(file_name, &n);
	if (text == NULL && errno == ENOENT && !asked)
		return 0;
	if (text == NULL || n > CONF_MAX) {
		free(text);
		return bad("--config-file %s: %s", file_name,
		    n > CONF_MAX ? strerror(EFBIG) : strerror(errno));
	}
	new.config_file = file_name;
	root = toml_read(text, n, why, sizeof why);
	free(text);
	if (root == NULL)
		return bad("%s:%s", file_name, why);
	if (keep("", 0) == NULL) {
		toml_free(root);
		return bad("out of memory");
	}
	k = new.kept;
	k->file = root;
	for (v = root->first; v != NULL; v = v->next)
		if (strcmp(v->key, "general") == 0) {
			if (from_general(v) < 0)
				return -1;
		} else if (strcmp(v->key, "advanced") != 0) {
			unknown_key(v->line, v->key);
		}
	v = toml_get(root, "advanced");
	if (v != NULL && rules_read(new.rules, v, why, sizeof why,
	    unknown_key) != NULL)
		return bad("%s:%s", file_name, why);
	return 0;
}

/* ---- all of it ---------------------------------------------------------------- */

/* Only a start can change this: what it was stays. */
static void
keep_fixed(void)
{
	unsigned i;

	for (i = 0; i < NOPTIONS; i++) {
		const struct option *o = &table[i];
		char *to = (char *)&new + o->off;
		const char *was = (const char *)&conf + o->off;
		bool same = true;

		if ((o->flags & FIXED) == 0)
			continue;
		if (o->kind == STRING) {
			const char *a = *(const char *const *)(const void *)was;
			const char *b = *(const char **)(void *)to;

			same = a == b || (a && b && strcmp(a, b) == 0);
			*(const char **)(void *)to = a;
		} else if (o->kind == BOOL) {
			/* --tls follows the certificates unless it was said */
			same = *(const bool *)was == *(bool *)to ||
			    from[i] == S_DEFAULT;
			*(bool *)to = *(const bool *)was;
		} else if (o->kind == LIST) {
			*(struct names *)(void *)to =
			    *(const struct names *)(const void *)was;
		} else {
			same = *(const unsigned *)(const void *)was ==
			    *(unsigned *)(void *)to;
			*(unsigned *)(void *)to =
			    *(const unsigned *)(const void *)was;
		}
		if (!same)
			warn("%s: changes with the next start", o->name);
	}
}

/* RFC 6454 7: scheme "://" host [":" port], as browsers send it. */
static bool
is_origin(const char *s)
{
	const char *p = strstr(s, "://");

	if (p == NULL || p == s || p[3] == '\0')
		return strcmp(s, "null") == 0;
	return s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "0123456789+-.")] == ':' && strpbrk(p + 3, "/?#@\"\\ ") == NULL;
}

/* RFC 9110 5.6.2 */
static bool
is_token(const char *s)
{
	return *s != '\0' && s[strspn(s, "!#$%&'*+-.^_`|~0123456789"
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")] == '\0';
}

static int
lower_names(struct names *n, const char *option)
{
	unsigned i;
	size_t all = 0;
	char *copy, *p;

	for (i = 0; i < n->n; i++) {
		all += strlen(n->v[i]) + 2;
		if (all > CORS_NAMES - 64)
			return bad("%s: too long", given(option));
		if (!is_token(n->v[i]))
			return bad("%s \"%s\": not the name of a field",
			    given(option), n->v[i]);
		copy = keep(n->v[i], strlen(n->v[i]));
		if (copy == NULL)
			return bad("out of memory");
		for (p = copy; *p != '\0'; p++)
			if (*p >= 'A' && *p <= 'Z')
				*p = (char)(*p | 0x20);
		n->v[i] = copy;
	}
	return 0;
}

static int
check_cors(void)
{
	const struct names *n = &new.cors_origins;
	unsigned i;

	for (i = 0; i < n->n; i++)
		if (strcmp(n->v[i], "*") == 0 ? n->n > 1 : !is_origin(n->v[i]))
			return bad("%s \"%s\": must be * alone, or origins "
			    "like https://example.org",
			    given("cors-allow-origins"), n->v[i]);
	return lower_names(&new.cors_headers, "cors-allow-headers") < 0 ? -1 :
	    lower_names(&new.cors_expose, "cors-expose-headers");
}

static int
check_tls(void)
{
	unsigned i, n, pairs = new.cert.n;
	struct vhost *v;

	if (new.cert.n != new.key.n)
		return bad("--tls-cert and --tls-key come in pairs: %u and %u",
		    new.cert.n, new.key.n);
	n = rules_hosts(new.rules, &v);
	for (i = 0; i < n; i++)
		pairs += v[i].cert != NULL;
	if (!started && from[named("tls")] == S_DEFAULT)
		new.tls = pairs > 0;
	if (new.tls && !HAVE_TLS)
		return bad("--tls, --tls-cert: this build has no TLS");
	if (new.tls && pairs == 0)
		return bad("--tls needs --tls-cert and --tls-key");
	return 0;
}

static int
check_address(void)
{
	const char *socket = NULL;
	unsigned i;

	if (started) {
		new.tcp_asked = conf.tcp_asked;
		new.address_asked = conf.address_asked;
		return 0;
	}
	for (i = 0; i < NOPTIONS; i++)
		if ((table[i].flags & ADDRESS) && from[i] != S_DEFAULT) {
			socket = table[i].name;
			if (table[i].off != offsetof(struct conf, unix_socket))
				new.tcp_asked = true;
		}
	new.address_asked = socket != NULL;
	if (new.fds.n > 0 && socket != NULL)
		return bad("--fd and --%s exclude each other: the socket is "
		    "either passed in or our own", socket);
	if (new.group != NULL && new.user == NULL)
		return bad("--group needs --user");
	if (new.open && new.unix_socket != NULL)
		return bad("--open and --unix-socket exclude each other: no "
		    "browser opens a unix socket");
	return 0;
}

/* What several options say together, and what needs a closer look. */
static int
finish(void)
{
	const char *why;
	unsigned i, k;

	if (started)
		keep_fixed();
	if (check_address() < 0 || check_cors() < 0)
		return -1;
	if (new_level < LOG_L_INFO)
		new.access_log = false;
	for (i = 0; i < new.headers.n; i++)
		if ((why = rules_header(new.rules, new.headers.v[i])) != NULL)
			return bad("%s \"%s\": %s", given("header"),
			    new.headers.v[i], why);
	if (check_tls() < 0)
		return -1;
	if (from[named("security-headers")] == S_DEFAULT)
		new.security_headers = new.tls;
	if (from[named("log-with-ansi")] != S_DEFAULT)
		new.ansi = new.log_ansi;
	if (!HAVE_HTTP2)
		new.http2 = false;
	k = new.maintenance_status;
	/* a page alone is none of these: 401, 405, 407, 426 and redirects have
	 * to say more in a field (RFC 9110 15) */
	if (k < 200 || k > 599 || k == 204 || k == 205 || k == 206 ||
	    k / 100 == 3 || k == 401 || k == 405 || k == 407 || k == 426)
		return bad("%s %u: no status of an answer that is a page alone",
		    given("maintenance-mode-status"), k);
	if (new.open_path[0] != '/' || new.open_path[1] == '/' ||
	    strpbrk(new.open_path, " \"'\\\n\t") != NULL)
		return bad("%s \"%s\": must be a path that begins with one "
		    "slash", given("open-path"), new.open_path);
	if (new.https_host[strspn(new.https_host, "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~[:]")] != '\0')
		return bad("%s \"%s\": not the name of a host",
		    given("https-redirect-host"), new.https_host);
	for (i = 0; i < new.proxies.n; i++) {
		if (new.ntrusted == NETS_MAX)
			return bad("%s: too many of them",
			    given("trusted-proxies"));
		if (log_net(new.proxies.v[i], &new.trusted[new.ntrusted++]) < 0)
			return bad("%s \"%s\": not an address or network",
			    given("trusted-proxies"), new.proxies.v[i]);
	}
	return 0;
}

/* Allow the users of n in place of those of `was`. */
static const char *
set_users(const struct names *n, const struct names *was)
{
	static char why[512];
	const char *text;
	unsigned i;

	for (i = 0; i < n->n && i < was->n; i++)
		if (strcmp(n->v[i], was->v[i]) != 0)
			break;
	if (i == n->n && i == was->n)
		return NULL;	/* nobody has to prove himself again */
	auth_clear();
	for (i = 0; i < n->n; i++)
		if ((text = auth_add(n->v[i])) != NULL) {
			/* the hash is nobody's business */
			snprintf(why, sizeof why, "%s \"%.*s\": %s",
			    given("basic-auth"), (int)strcspn(n->v[i], ":"),
			    n->v[i], text);
			return why;
		}
	return NULL;
}

static void
use(const struct conf *c, unsigned level)
{
	conf = *c;
	log_level = level;
	log_setup(&(struct log_setup){ .format = conf.log_format,
	    .ansi = conf.ansi, .remote = conf.log_remote,
	    .real_ip = conf.log_real_ip,
	    .forwarded_for = conf.log_forwarded_for,
	    .trusted = conf.trusted, .ntrusted = conf.ntrusted });
}

/* Read everything into `new`.  0, or the exit status of a start with that. */
static int
read_new(void)
{
	const char *why;

	new = defaults;
	new_level = LOG_L_INFO;
	memset(from, 0, sizeof from);
	problem[0] = '\0';
	new.rules = rules_new();
	if (new.rules == NULL) {
		bad("out of memory");
		return 1;
	}
	if (from_environment() < 0 || from_arguments(g_argc, g_argv) < 0)
		return 2;
	if (from_file() < 0)
		return 1;
	if (finish() < 0)
		return 2;
	if ((why = set_users(&new.users, &conf.users)) != NULL) {
		bad("%s", why);
		return 2;
	}
	return 0;
}

void
conf_read(int argc, char **argv)
{
	unsigned i;
	int rc;

	g_argc = argc;
	g_argv = argv;
	informative(argc, argv);
	rc = read_new();
	if (rc != 0)
		die(rc, "%s", problem);
	of_start = new.kept;
	new.kept = NULL;
	use(&new, new_level);
	started = true;
	for (i = 0; i < NOPTIONS; i++)
		if ((table[i].kind == IGNORED || table[i].kind == IGNORED_BOOL) &&
		    from[i] != S_DEFAULT)
			debug("--%s has no effect here, see sws(1)",
			    table[i].name);
}

const char *
conf_reload(void)
{
	if (read_new() != 0) {
		set_users(&conf.users, &new.users);	/* good before */
		forget(&new);
		return problem;
	}
	old = conf;
	old_level = log_level;
	use(&new, new_level);
	return NULL;
}

void
conf_keep(void)
{
	forget(&old);
}

void
conf_undo(void)
{
	set_users(&old.users, &conf.users);
	forget(&conf);
	use(&old, old_level);
}
