/* conf.c - one table of options, read from the command line and SERVER_*.
 *
 * The table is the only place that knows an option's names; --help is made
 * from it and the manual is checked against it. */
#include "sws.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifndef NO_HTTP2
#include <nghttp2/nghttp2ver.h>
#endif

struct conf conf = {
	.root = ".",
	.port = 8080,
	.index = { { "index.html" }, 1 },
	.page404 = "404.html",
	.page50x = "50x.html",
	.http2 = true,
	.https_host = "localhost",
	.https_from = { { "localhost" }, 1 },
	.compression_static = true,
	.etag = true,
	.trailing_redirect = true,
	.text_charset = true,
	.cache_control = true,
	.access_log = true,
	.unix_mode = 0666,
	.header_ms = 10000,
	.idle_ms = 10000,
	.write_ms = 60000,
	.drain_ms = 30000,
	.ready_fd = -1,
};

#ifdef NO_TLS
enum { HAVE_TLS = 0 };
#else
enum { HAVE_TLS = 1 };
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

enum kind { STRING, BOOL, NUMBER, SECONDS, OCTAL, LEVEL, SANDBOX, LIST, INDEX,
	FILES, ALIAS, ACT_HELP, ACT_VERSION };

/* Who set an option; a stronger one wins, whatever came first. */
enum source { S_DEFAULT, S_FILE, S_ENV, S_ARG };

static const struct option {
	const char *name;
	char letter;		/* 0 = none */
	uint8_t kind;
	bool address;		/* asks for a socket of our own */
	uint16_t off;
	unsigned max;
	const char *var;	/* after SERVER_; NULL = the name, upper case */
	const char *arg;
	const char *help;	/* NULL: not shown; `arg` is the option meant */
} table[] = {
#define AT(m) (uint16_t)offsetof(struct conf, m)
{ "root", 'd', STRING, 0, AT(root), 0, NULL, "DIR",
	"folder to serve, also as last argument [.]" },
{ "host", 'a', STRING, 1, AT(host), 0, NULL, "ADDR",
	"address or name to bind [::]" },
{ "port", 'p', NUMBER, 1, AT(port), 65535, NULL, "N",
	"port to bind, 0 = any free one [8080]" },
{ "fd", 'f', LIST, 0, AT(fds), 0, "LISTEN_FD", "N|NAME",
	"serve a socket that was passed in; repeatable" },
{ "unix-socket", 0, STRING, 1, AT(unix_socket), 0, NULL, "PATH",
	"listen on a unix socket" },
{ "unix-socket-mode", 0, OCTAL, 0, AT(unix_mode), 0777, NULL, "MODE",
	"its permissions, octal [666]" },
{ "unix-socket-force", 0, BOOL, 0, AT(unix_force), 0, NULL, NULL,
	"replace a stale one" },
{ "tls", 't', BOOL, 0, AT(tls), 0, NULL, NULL,
	"TLS; on when there is a certificate" },
{ "tls-cert", 'C', FILES, 0, AT(cert), 0, NULL, "FILE",
	"certificate chain, PEM; repeatable with its key" },
{ "tls-key", 'K', FILES, 0, AT(key), 0, NULL, "FILE",
	"its private key, PEM" },
{ "http2", 0, BOOL, 0, AT(http2), 0, NULL, NULL,
	"HTTP/2 beside HTTP/1.1 [true]" },
{ "https-redirect", 0, BOOL, 0, AT(https_redirect), 0, NULL, NULL,
	"send plain requests to https [false]" },
{ "https-redirect-host", 0, STRING, 0, AT(https_host), 0, NULL, "NAME",
	"to this host [localhost]" },
{ "https-redirect-from-port", 0, NUMBER, 0, AT(https_from_port), 65535, NULL,
	"N", "from this port, bound besides [none]" },
{ "https-redirect-from-hosts", 0, LIST, 0, AT(https_from), 0, NULL, "LIST",
	"from these hosts only [localhost]" },
{ "http2-tls", 0, ALIAS, 0, 0, 0, NULL, "tls", NULL },
{ "http2-tls-cert", 0, ALIAS, 0, 0, 0, NULL, "tls-cert", NULL },
{ "http2-tls-key", 0, ALIAS, 0, 0, 0, NULL, "tls-key", NULL },
{ "index-files", 0, INDEX, 0, AT(index), 0, NULL, "LIST",
	"index files, first found is sent [index.html]" },
{ "page404", 0, STRING, 0, AT(page404), 0, "ERROR_PAGE_404", "FILE",
	"page for what is missing [404.html]" },
{ "page50x", 0, STRING, 0, AT(page50x), 0, "ERROR_PAGE_50X", "FILE",
	"page for our own failures [50x.html]" },
{ "compression-static", 0, BOOL, 0, AT(compression_static), 0, NULL, NULL,
	"send .br, .zst, .gz siblings [true]" },
{ "cache-control-headers", 'e', BOOL, 0, AT(cache_control), 0, NULL, NULL,
	"Cache-Control by file type [true]" },
{ "etag", 0, BOOL, 0, AT(etag), 0, NULL, NULL, "send ETag [true]" },
{ "redirect-trailing-slash", 0, BOOL, 0, AT(trailing_redirect), 0, NULL, NULL,
	"send /dir to /dir/ [true]" },
{ "include-hidden", 0, BOOL, 0, AT(hidden), 0, NULL, NULL,
	"serve names that begin with a dot [false]" },
{ "follow-symlinks", 0, BOOL, 0, AT(symlinks), 0, NULL, NULL,
	"follow links that stay inside [false]" },
{ "text-charset", 0, BOOL, 0, AT(text_charset), 0, NULL, NULL,
	"charset=utf-8 on text types [true]" },
{ "log-level", 'g', LEVEL, 0, 0, 0, NULL, "LEVEL",
	"error, warn, info, debug or trace [info]" },
{ "log-file", 0, STRING, 0, AT(log_file), 0, NULL, "FILE",
	"access log [standard error]" },
{ "access-log", 0, BOOL, 0, AT(access_log), 0, NULL, NULL,
	"one line a response [true]" },
{ "header-timeout", 0, SECONDS, 0, AT(header_ms), 86400, NULL, "SECS",
	"for a whole request head [10]" },
{ "idle-timeout", 0, SECONDS, 0, AT(idle_ms), 86400, NULL, "SECS",
	"for the next request, 0 = for ever [10]" },
{ "write-timeout", 0, SECONDS, 0, AT(write_ms), 86400, NULL, "SECS",
	"without a byte taken by the client [60]" },
{ "idle-exit", 0, SECONDS, 0, AT(idle_exit_ms), 2000000, NULL, "SECS",
	"end when unused so long, 0 = never [0]" },
{ "grace-period", 'q', SECONDS, 0, AT(grace_ms), 255, NULL, "SECS",
	"go on accepting so long after TERM [0]" },
{ "drain-timeout", 0, SECONDS, 0, AT(drain_ms), 86400, NULL, "SECS",
	"for what is in flight after TERM [30]" },
{ "max-connections", 0, NUMBER, 0, AT(max_conns), 1000000, NULL, "N",
	"at once, 0 = by RLIMIT_NOFILE [0]" },
{ "ready-fd", 0, NUMBER, 0, AT(ready_fd), 65535, NULL, "N",
	"write a newline there when serving" },
{ "sandbox", 0, SANDBOX, 0, AT(sandbox), 0, NULL, "WORD",
	"auto, required or off [auto]" },
{ "user", 0, STRING, 0, AT(user), 0, NULL, "NAME",
	"become this user, when started as root" },
{ "group", 0, STRING, 0, AT(group), 0, NULL, "NAME",
	"and this group [the user's]" },
{ "chroot", 0, STRING, 0, AT(chroot), 0, NULL, "DIR",
	"see nothing above this folder" },
{ "version", 'V', ACT_VERSION, 0, 0, 0, NULL, NULL, "print the version" },
{ "help", 'h', ACT_HELP, 0, 0, 0, NULL, NULL, "print this" },
#undef AT
};

enum { NOPTIONS = sizeof table / sizeof table[0] };

static uint8_t from[NOPTIONS];	/* enum source of each option's value */

static void
help(void)
{
	unsigned i;
	char left[40];

	printf("usage: sws [options] [DIR]\n"
	    "--idle-exit is SERVER_IDLE_EXIT too, and so on; --no-x is "
	    "--x=false.\n");
	for (i = 0; i < NOPTIONS; i++) {
		const struct option *o = &table[i];

		if (o->help == NULL)
			continue;
		snprintf(left, sizeof left, "%c%c%c --%s%s%s",
		    o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
		    o->letter ? ',' : ' ', o->name, o->arg ? " " : "",
		    o->arg ? o->arg : "");
		printf("%-31s%s\n", left, o->help);
	}
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

/* Split a comma list into v[*n..cap); the copy lives for ever. */
static const char *
list(const char **v, unsigned *n, unsigned cap, const char *s)
{
	char *copy = strdup(s), *p, *next;

	if (copy == NULL)
		return "out of memory";
	for (p = copy; p != NULL; p = next) {
		next = strchr(p, ',');
		if (next != NULL)
			*next++ = '\0';
		p += strspn(p, " ");
		if (*p == '\0')
			continue;
		if (*n == cap)
			return "too many names in the list";
		v[(*n)++] = p;
	}
	if (*n > 0)
		return NULL;
	free(copy);
	return "an empty list";
}

/* Set option i from text v.  NULL, or what is wrong with v. */
static const char *
set(unsigned i, const char *v, enum source s)
{
	static const char *const level[] = { "error", "warn", "info", "debug",
	    "trace" };
	static const char *const box[] = { "auto", "required", "off" };
	const struct option *o = &table[i];
	char *at = (char *)&conf + o->off;
	struct names *names;
	unsigned k;
	long n;

	if (from[i] > s)
		return NULL;
	switch (o->kind) {
	case STRING:
		if (*v == '\0')
			return "must not be empty";
		*(const char **)(void *)at = v;
		break;
	case BOOL:
		if ((n = boolean(v)) < 0)
			return "must be true or false";
		*(bool *)at = n != 0;
		break;
	case NUMBER:
	case SECONDS:
		if ((n = number(v, 10, o->max)) < 0)
			return "not a whole number, or out of range";
		if (o->kind == SECONDS)
			n *= 1000;
		*(unsigned *)(void *)at = (unsigned)n;
		break;
	case OCTAL:
		if ((n = number(v, 8, o->max)) < 0)
			return "not an octal mode";
		*(unsigned *)(void *)at = (unsigned)n;
		break;
	case LEVEL:
		for (k = 0; k < 5; k++)
			if (strcmp(v, level[k]) == 0)
				break;
		if (k == 5)
			return "must be error, warn, info, debug or trace";
		log_level = k;
		break;
	case SANDBOX:
		for (k = 0; k < 3; k++)
			if (strcmp(v, box[k]) == 0)
				break;
		if (k == 3)
			return "must be auto, required or off";
		conf.sandbox = k;
		break;
	case LIST:
		names = (struct names *)(void *)at;
		if (from[i] != s)
			names->n = 0;
		from[i] = (uint8_t)s;
		return list(names->v, &names->n, NAMES_MAX, v);
	case FILES:
		names = (struct names *)(void *)at;
		if (*v == '\0')
			return "must not be empty";
		if (from[i] != s)
			names->n = 0;
		if (names->n == NAMES_MAX)
			return "too many of them";
		names->v[names->n++] = v;
		break;
	case INDEX:
		conf.index.n = 0;
		from[i] = (uint8_t)s;
		v = list(conf.index.v, &conf.index.n, INDEX_MAX, v);
		for (k = 0; v == NULL && k < conf.index.n; k++)
			if (strchr(conf.index.v[k], '/') != NULL)
				v = "index files are names, not paths";
		return v;
	}
	from[i] = (uint8_t)s;
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

/* The option i stands for. */
static unsigned
meant(unsigned i)
{
	return i < NOPTIONS && table[i].kind == ALIAS ?
	    find(table[i].arg, strlen(table[i].arg)) : i;
}

static bool
takes_no_value(const struct option *o)
{
	return o->kind == BOOL || o->kind >= ACT_HELP;
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

static void
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
		if ((why = set(meant(i), v, S_ENV)) != NULL)
			die(2, "%s=\"%s\": %s", name, v, why);
	}
}

static void
apply(unsigned i, const char *shown, const char *v)
{
	const char *why;

	if ((why = set(i, v, S_ARG)) != NULL)
		die(2, "%s \"%s\": %s", shown, v, why);
}

/* One "--name[=value]"; next is the following argument or NULL.  Returns how
 * many arguments were used. */
static int
long_option(const char *arg, const char *next)
{
	const char *name = arg + 2, *eq = strchr(name, '=');
	size_t n = eq ? (size_t)(eq - name) : strlen(name);
	unsigned i = meant(find(name, n));

	if (i == NOPTIONS && n > 3 && strncmp(name, "no-", 3) == 0) {
		i = meant(find(name + 3, n - 3));
		if (i == NOPTIONS || table[i].kind != BOOL)
			die(2, "unknown option %s", arg);
		if (eq != NULL)
			die(2, "%s takes no value", arg);
		apply(i, arg, "false");
		return 1;
	}
	if (i == NOPTIONS)
		die(2, "unknown option %.*s (see sws --help)", (int)(n + 2),
		    arg);
	if (table[i].kind >= ACT_HELP)
		die(2, "%s takes no value", arg);	/* bare ones are done */
	if (eq != NULL) {
		apply(i, arg, eq + 1);
		return 1;
	}
	if (takes_no_value(&table[i])) {
		if (next != NULL && boolean(next) >= 0) {
			apply(i, arg, next);
			return 2;
		}
		apply(i, arg, "true");
		return 1;
	}
	if (next == NULL)
		die(2, "%s needs a value (%s)", arg, table[i].arg);
	apply(i, arg, next);
	return 2;
}

/* "-x", "-xvalue", "-xyz" of booleans.  Returns arguments used. */
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
			die(2, "unknown option %s (see sws --help)", shown);
		if (takes_no_value(&table[i])) {
			if (p[1] == '\0' && next != NULL && boolean(next) >= 0) {
				apply(i, shown, next);
				return 2;
			}
			apply(i, shown, "true");
			continue;
		}
		if (p[1] != '\0') {
			apply(i, shown, p + 1 + (p[1] == '='));
			return 1;
		}
		if (next == NULL)
			die(2, "%s needs a value (%s)", shown, table[i].arg);
		apply(i, shown, next);
		return 2;
	}
	return 1;
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
		i = a[1] == '-' ? find(a + 2, strlen(a + 2)) :
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

void
conf_read(int argc, char **argv)
{
	const char *dir = NULL, *socket = NULL;
	bool options = true;
	unsigned i;
	int k = 1;

	informative(argc, argv);
	from_environment();
	while (k < argc) {
		const char *next = k + 1 < argc ? argv[k + 1] : NULL;

		if (options && strcmp(argv[k], "--") == 0) {
			options = false;
			k++;
		} else if (options && strncmp(argv[k], "--", 2) == 0) {
			k += long_option(argv[k], next);
		} else if (options && argv[k][0] == '-' && argv[k][1] != '\0') {
			k += short_options(argv[k], next);
		} else {
			if (dir != NULL)
				die(2, "one folder only: \"%s\" follows \"%s\"",
				    argv[k], dir);
			dir = argv[k++];
		}
	}
	if (dir != NULL && from[0] == S_ARG)
		die(2, "the folder is given twice: --root and \"%s\"", dir);
	if (dir != NULL)
		apply(0, "DIR", dir);
	for (i = 0; i < NOPTIONS; i++)
		if (table[i].address && from[i] != S_DEFAULT) {
			socket = table[i].name;
			if (table[i].off != offsetof(struct conf, unix_socket))
				conf.tcp_asked = true;
		}
	conf.address_asked = socket != NULL;
	if (conf.fds.n > 0 && socket != NULL)
		die(2, "--fd and --%s exclude each other: the socket is either "
		    "passed in or our own", socket);
	if (conf.group != NULL && conf.user == NULL)
		die(2, "--group needs --user");
	if (log_level < LOG_L_INFO)
		conf.access_log = false;
	if (conf.cert.n != conf.key.n)
		die(2, "--tls-cert and --tls-key come in pairs: %u and %u",
		    conf.cert.n, conf.key.n);
	i = find("tls", 3);
	if (from[i] == S_DEFAULT)
		conf.tls = conf.cert.n > 0;
	if (conf.tls && !HAVE_TLS)
		die(2, "--tls, --tls-cert: this build has no TLS");
	if (conf.tls && conf.cert.n == 0)
		die(2, "--tls needs --tls-cert and --tls-key");
}
