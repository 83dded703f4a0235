/* log.c - the clock, messages for the person who runs us, the access log.
 *
 * Nothing here may block: a message or a line that cannot be written at once
 * is dropped; dropped access lines are counted and the number is told. */
#include "sws.h"

#include <sys/stat.h>
#include <sys/un.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

unsigned log_level = LOG_L_INFO;
int64_t log_ms, log_turn;
time_t log_now;
static char date_line[40] = "date: ";
const char *log_date = date_line;
size_t log_datelen;

static char clf_time[32], iso_time[32];	/* of this second */
static unsigned millis;		/* in it */
static int sysfd = -1;		/* /dev/log once log_syslog was called */

/* Where lines go.  How a write is kept from blocking depends on what the
 * descriptor is: O_NONBLOCK on one we were handed would change it for the shell
 * or service that shares it. */
struct sink {
	int fd;			/* -1 = syslog */
	enum { SINK_WRITE, SINK_SEND, SINK_POLL } how;
};

static struct sink messages = { 2, SINK_WRITE }, lines = { 2, SINK_WRITE };
static bool classified;		/* messages.how is right for its descriptor */
static unsigned dropped;	/* access lines, not told yet */
static struct log_setup setup = { .remote = true };
static bool colours;		/* settled, of setup.ansi */

static const char mon[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
	"Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
static const char day[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri",
	"Sat" };

int64_t
log_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

char *
log_httpdate(char *dst, time_t t)
{
	struct tm tm;

	if (t < 0)
		t = 0;
	if (t > 253402300799)	/* 9999-12-31T23:59:59Z: four digits of year */
		t = 253402300799;
	gmtime_r(&t, &tm);
	snprintf(dst, 30, "%s, %02u %s %04u %02u:%02u:%02u GMT",
	    day[tm.tm_wday], (unsigned)tm.tm_mday % 100, mon[tm.tm_mon],
	    (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 100,
	    (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
	return dst;
}

void
log_clock(void)
{
	struct timespec ts;
	struct tm tm;

	log_turn = log_us();
	log_ms = log_turn / 1000;
	clock_gettime(CLOCK_REALTIME, &ts);
	millis = (unsigned)(ts.tv_nsec / 1000000);
	if (ts.tv_sec == log_now && log_datelen > 0)
		return;
	log_now = ts.tv_sec;
	log_httpdate(date_line + 6, log_now);
	log_datelen = strlen(date_line);
	date_line[log_datelen++] = '\r';
	date_line[log_datelen++] = '\n';
	gmtime_r(&log_now, &tm);
	snprintf(clf_time, sizeof clf_time, "%02d/%s/%d:%02d:%02d:%02d +0000",
	    tm.tm_mday, mon[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour,
	    tm.tm_min, tm.tm_sec);
	strftime(iso_time, sizeof iso_time, "%Y-%m-%dT%H:%M:%S", &tm);
}

void
log_syslog(void)
{
	static const struct sockaddr_un sa = { .sun_family = AF_UNIX,
	    .sun_path = "/dev/log" };

	if (messages.fd < 0)
		return;
	messages.fd = lines.fd = -1;
	sysfd = socket(AF_UNIX, SOCK_DGRAM, 0);
	if (sysfd < 0)
		return;
	fcntl(sysfd, F_SETFD, FD_CLOEXEC);
	if (connect(sysfd, (const struct sockaddr *)&sa, sizeof sa) < 0) {
		close(sysfd);
		sysfd = -1;
	}
}

bool
log_is_syslog(void)
{
	return messages.fd < 0;
}

/* One line of n bytes to syslog: facility daemon, RFC 3164 as /dev/log takes
 * it.  False when it could not be sent now. */
static bool
to_syslog(int severity, const char *line, size_t n)
{
	char buf[LOGLINE + 64];
	int k;

	k = snprintf(buf, sizeof buf, "<%d>sws[%ld]: %.*s", 3 << 3 | severity,
	    (long)getpid(), (int)n, line);
	return sysfd >= 0 && k > 0 &&
	    send(sysfd, buf, (size_t)k, MSG_DONTWAIT) >= 0;
}

/* Write n bytes, a line, at once or not at all. */
static bool
emit(const struct sink *s, int severity, const char *line, size_t n)
{
	struct pollfd p = { .fd = s->fd, .events = POLLOUT };

	if (s->fd < 0)
		return to_syslog(severity, line, n - 1);
	if (s->how == SINK_SEND)
		return send(s->fd, line, n, MSG_DONTWAIT) == (ssize_t)n;
	if (s->how == SINK_POLL && poll(&p, 1, 0) != 1)
		return false;
	return write(s->fd, line, n) == (ssize_t)n;
}

static bool
say(int severity, const char *fmt, va_list ap)
{
	char buf[1024] = "sws: ";
	size_t n = 5, i;
	int k;

	k = vsnprintf(buf + n, sizeof buf - n - 1, fmt, ap);
	if (k < 0)
		return false;
	n += (size_t)k < sizeof buf - n - 1 ? (size_t)k : sizeof buf - n - 2;
	for (i = 0; i < n; i++)		/* one message is one line */
		if ((unsigned char)buf[i] < 0x20)
			buf[i] = '?';
	buf[n++] = '\n';
	if (messages.fd < 0)
		return to_syslog(severity, buf + 5, n - 6);
	return emit(&messages, severity, buf, n);
}

void
die(int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(3, fmt, ap);
	va_end(ap);
	exit(code);
}

void
warn(const char *fmt, ...)
{
	va_list ap;

	if (log_level < LOG_L_WARN)
		return;
	va_start(ap, fmt);
	say(4, fmt, ap);
	va_end(ap);
}

void
info(const char *fmt, ...)
{
	va_list ap;

	if (log_level < LOG_L_INFO)
		return;
	va_start(ap, fmt);
	say(6, fmt, ap);
	va_end(ap);
}

void
debug(const char *fmt, ...)
{
	va_list ap;

	if (log_level < LOG_L_DEBUG)
		return;
	va_start(ap, fmt);
	say(7, fmt, ap);
	va_end(ap);
}

/* A pipe or terminal is opened anew, which gives a description of our own
 * that can be non-blocking.  -1 where that is not possible. */
static int
reopen(int fd)
{
	char name[32];

	snprintf(name, sizeof name, "/dev/fd/%d", fd);
	return open(name, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY |
	    O_CLOEXEC);
}

/* Find out how to write to standard error without waiting. */
static void
classify(void)
{
	struct stat st;
	int own;

	classified = true;
	if (messages.fd < 0 || fstat(messages.fd, &st) < 0 ||
	    S_ISREG(st.st_mode))
		return;
	if (S_ISSOCK(st.st_mode))
		messages.how = SINK_SEND;
	else if ((own = reopen(messages.fd)) >= 0)
		messages.fd = own;
	else
		messages.how = SINK_POLL;
}

/* Colours are for people, in the one format that is. */
static void
choose_colours(void)
{
	const char *no = getenv("NO_COLOR");

	colours = setup.ansi > 0 || (setup.ansi < 0 && lines.fd >= 0 &&
	    isatty(lines.fd) && (no == NULL || *no == '\0'));
}

int
log_open(const char *file)
{
	struct sink new = { -1, SINK_WRITE };

	if (!classified)
		classify();
	if (file != NULL) {
		new.fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK |
		    O_NOCTTY | O_CLOEXEC, 0644);
		if (new.fd < 0)
			return -1;
	} else {
		new = messages;
	}
	if (lines.fd > 2 && lines.fd != messages.fd)
		close(lines.fd);
	lines = new;
	choose_colours();
	return 0;
}

/* ---- whose request it is ------------------------------------------------- */

enum { NET_UNIX = 129 };	/* bits of the word "unix" */


/* An address without zone, port or brackets. */
static bool
read_address(const char *s, struct in6_addr *a)
{
	static const struct in6_addr mapped = { { { [10] = 0xff, 0xff } } };

	if (s[strspn(s, "0123456789abcdefABCDEF:.")] != '\0')
		return false;
	*a = mapped;
	return inet_pton(AF_INET, s, a->s6_addr + 12) == 1 ||
	    inet_pton(AF_INET6, s, a) == 1;
}

/* Does a have a bit set behind the first n? */
static bool
has_host_bits(const struct in6_addr *a, unsigned n)
{
	for (; n < 128; n++)
		if (a->s6_addr[n / 8] & 0x80 >> n % 8)
			return true;
	return false;
}

int
log_net(const char *s, struct net *n)
{
	char text[INET6_ADDRSTRLEN];
	size_t len = strcspn(s, "/");
	unsigned most, bits = 0, i;

	memset(n, 0, sizeof *n);
	if (strcmp(s, "unix") == 0) {
		n->bits = NET_UNIX;
		return 0;
	}
	if (len >= sizeof text)
		return -1;
	memcpy(text, s, len);
	text[len] = '\0';
	if (!read_address(text, &n->addr))
		return -1;
	most = strchr(text, ':') != NULL ? 128 : 32;
	n->bits = 128;
	if (s[len] == '\0')
		return 0;
	s += len + 1;
	for (i = 0; s[i] >= '0' && s[i] <= '9' && bits <= most; i++)
		bits = bits * 10 + (unsigned)(s[i] - '0');
	if (i == 0 || s[i] != '\0' || bits > most || (i > 1 && s[0] == '0'))
		return -1;
	n->bits = bits + 128 - most;
	/* 10.1.2.3/8: one host or all of 10? */
	return has_host_bits(&n->addr, n->bits) ? -1 : 0;
}

static bool
within(const struct in6_addr *a, const struct net *n)
{
	unsigned full = n->bits / 8, rest = n->bits % 8;

	/* ::/0 means v6: who trusts all of v4 has to say 0.0.0.0/0 */
	if (n->bits > 128 || (n->bits < 96 && IN6_IS_ADDR_V4MAPPED(a)))
		return false;
	return memcmp(a, &n->addr, full) == 0 && (rest == 0 ||
	    (a->s6_addr[full] ^ n->addr.s6_addr[full]) >> (8 - rest) == 0);
}

/* a = NULL: the peer of a unix socket. */
static bool
trusted(const struct in6_addr *a)
{
	unsigned i;

	for (i = 0; i < setup.ntrusted; i++)
		if (a ? within(a, &setup.trusted[i]) :
		    setup.trusted[i].bits == NET_UNIX)
			return true;
	return false;
}

/* What a proxy calls an address: "192.0.2.1", "2001:db8::1", or with a port
 * "192.0.2.1:80", "[2001:db8::1]:80". */
static bool
proxy_address(const char *p, size_t n, struct in6_addr *a)
{
	char buf[64], *s = buf, *port;

	for (; n > 0 && (*p == ' ' || *p == '\t'); p++)
		n--;
	while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t'))
		n--;
	if (n >= sizeof buf)
		return false;
	memcpy(buf, p, n);
	buf[n] = '\0';
	if (*s == '[') {
		port = strchr(++s, ']');
		if (port == NULL)
			return false;
		*port++ = '\0';
		if (strchr(s, ':') == NULL)
			return false;
	} else {
		port = strchr(s, ':');
		if (port == NULL || strchr(port + 1, ':') != NULL)
			port = buf + n;		/* none; v6 */
	}
	if (*port == ':') {
		*port++ = '\0';
		n = strspn(port, "0123456789");
		if (n == 0 || n > 5)
			return false;
		port += n;
	}
	return *port == '\0' && read_address(s, a);
}

/* The last field called name that stands before *end, a line's start; *end
 * moves to its own. */
static bool
field_before(const struct req *q, const char *name, const char **end,
    struct str *v)
{
	const char *first = q->base + q->line.off + q->line.len + 2;
	const char *p, *e;
	size_t k = strlen(name), n;

	for (e = *end; e - first >= 2; e = p) {
		for (p = e - 2; p > first && p[-1] != '\n'; p--)
			;
		n = (size_t)(e - 2 - p);
		if (n <= k || p[k] != ':' || strncasecmp(p, name, k) != 0)
			continue;
		*v = (struct str){ p + k + 1, n - k - 1 };
		*end = p;
		return true;
	}
	return false;
}

/* From the right, since each proxy adds what it saw there: past those we
 * trust, to the first that we do not.  What is not an address ends the walk;
 * left of it anyone may have written anything. */
static bool
forwarded_for(const struct req *q, struct in6_addr *a)
{
	const char *end = q->base + q->pos;
	struct in6_addr x;
	struct str v;
	size_t k;
	bool found = false;

	/* some proxies extend the field, others add one of their own */
	while (field_before(q, "x-forwarded-for", &end, &v))
		do {
			for (k = v.n; k > 0 && v.p[k - 1] != ','; k--)
				;
			if (!proxy_address(v.p + k, v.n - k, &x))
				return found;
			*a = x;
			found = true;
			if (!trusted(a))
				return true;
			v.n = k > 0 ? k - 1 : 0;
		} while (k > 0);
	return found;
}

static bool
real_ip(const struct req *q, struct in6_addr *a)
{
	const char *end = q->base + q->pos;
	struct in6_addr x;
	struct str v;

	if (!field_before(q, "x-real-ip", &end, &v) ||
	    !proxy_address(v.p, v.n, &x))
		return false;
	*a = x;
	return true;
}

/* In a head that was refused half-way the proxy's own field may be missing,
 * and then the last one is the client's. */
static bool
whole_head(const struct req *q, int status)
{
	return q->pos >= 4 && status != 431 &&
	    memcmp(q->base + q->pos - 4, "\r\n\r\n", 4) == 0;
}

/* The client's address, v4 as v4-mapped.  False: the peer of a unix socket. */
static bool
client(const struct req *q, int status, struct in6_addr *a)
{
	const struct sockaddr *sa = q->peer;
	bool ip = sa->sa_family == AF_INET6;

	if (ip) {
		*a = ((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
	} else if (sa->sa_family == AF_INET) {
		memset(a, 0, sizeof *a);
		a->s6_addr[10] = a->s6_addr[11] = 0xff;
		memcpy(a->s6_addr + 12, &((const struct sockaddr_in *)
		    (const void *)sa)->sin_addr, 4);
		ip = true;
	}
	if (setup.ntrusted == 0 || !trusted(ip ? a : NULL) ||
	    !whole_head(q, status))
		return ip;
	return (setup.real_ip && real_ip(q, a)) ||
	    (setup.forwarded_for && forwarded_for(q, a)) || ip;
}

bool
log_client(const struct req *q, struct in6_addr *a)
{
	return client(q, 0, a);
}

/* ---- a line ------------------------------------------------------------- */

/* The line under way.  All that a client can make long goes through escape(),
 * which leaves room for what follows; the rest is bounded by its nature. */
static char line[LOGLINE];
static size_t at;

static void
put(const char *p, size_t n)
{
	if (n > sizeof line - at)
		n = sizeof line - at;
	memcpy(line + at, p, n);
	at += n;
}

static void
text(const char *s)
{
	put(s, strlen(s));
}

/* v with at least so many digits. */
static void
number(uint64_t v, int digits)
{
	char b[20], *p = b + sizeof b;

	do
		*--p = (char)('0' + v % 10);
	while ((v /= 10) > 0 || b + sizeof b - p < digits);
	put(p, (size_t)(b + sizeof b - p));
}

static void
seconds(uint64_t us)
{
	number(us / 1000000, 1);
	text(".");
	number(us % 1000000, 6);
}

/* Do the eight bytes at p stand for themselves?  Each test leaves the top bit
 * of a byte that does not. */
static bool
plain(const char *p)
{
	const uint64_t ones = 0x0101010101010101;
	uint64_t x;

	memcpy(&x, p, 8);
	return ((x | (x + ones) | (x - ones * ' ') | ((x ^ ones * '"') - ones) |
	    ((x ^ ones * '\\') - ones)) & ones << 7) == 0;
}

/* What a reader of lines or a terminal could act on is written as `how`, "\x"
 * or "\u00", and two digits.  Cut where less than `keep` bytes of the line
 * would be left. */
static void
escape(struct str s, size_t keep, const char *how)
{
	static const char hex[] = "0123456789abcdef";
	const size_t end = sizeof line - keep;
	size_t i = 0;

	for (;;) {
		unsigned char c;

		while (s.n - i >= 8 && at + 8 <= end && plain(s.p + i)) {
			memcpy(line + at, s.p + i, 8);
			at += 8;
			i += 8;
		}
		if (i == s.n || at + 6 > end)
			return;
		c = (unsigned char)s.p[i++];
		if (c == '"' || c == '\\') {
			line[at++] = '\\';
		} else if (c < 0x20 || c >= 0x7f) {
			text(how);
			line[at++] = hex[c >> 4];
			c = (unsigned char)hex[c & 15];
		}
		line[at++] = (char)c;
	}
}

static struct str
of(const struct req *q, struct span s)
{
	if (s.len == 0)
		return (struct str){ "", 0 };
	return (struct str){ q->base + s.off, s.len };
}

static void
address(const struct req *q, int status)
{
	static char v6[INET6_ADDRSTRLEN];	/* slow to make: that of last */
	static struct in6_addr last;
	struct in6_addr a;
	int i;

	if (!client(q, status, &a)) {
		text("unix:");
		return;
	}
	if (IN6_IS_ADDR_V4MAPPED(&a)) {
		/* so is a v4 client of a dual-stack listener */
		for (i = 12; i < 16; i++) {
			number(a.s6_addr[i], 1);
			put(".", i < 15);
		}
		return;
	}
	if (v6[0] == '\0' || memcmp(&a, &last, sizeof a) != 0) {
		inet_ntop(AF_INET6, &a, v6, sizeof v6);
		last = a;
	}
	text(v6);
}

/* ---- the formats -------------------------------------------------------- */

static void
quoted(struct str s, size_t keep)
{
	text(" \"");
	if (s.n == 0)
		text("-");
	escape(s, keep, "\\x");
	text("\"");
}

static void
combined(const struct req *q, int status, uint64_t bytes, uint64_t us)
{
	if (setup.remote)
		address(q, status);
	else
		text("-");
	text(" - - [");
	text(clf_time);
	text("]");
	quoted(of(q, q->line), 2000);
	text(" ");
	number((uint64_t)status, 3);
	text(" ");
	number(bytes, 1);
	quoted(of(q, q->field[F_REFERER]), 1000);
	quoted(of(q, q->field[F_USER_AGENT]), 64);
	text(" ");
	seconds(us);
	text("\n");
}

/* The request line in three.  Without a method it is not one, and all of it is
 * the target. */
static void
split(const struct req *q, struct str *method, struct str *target,
    struct str *protocol)
{
	struct str s = of(q, q->line);

	*method = of(q, q->name);
	*protocol = (struct str){ "", 0 };
	if (method->n > 0 && method->n < s.n) {
		s.p += method->n + 1;
		s.n -= method->n + 1;
		if (s.n > 9 && memcmp(s.p + s.n - 9, " HTTP/", 6) == 0) {
			s.n -= 9;
			*protocol = (struct str){ s.p + s.n + 1, 8 };
		}
	}
	if (q->version == 2)
		*protocol = (struct str){ "HTTP/2", 6 };
	*target = s;
}

/* A value of client bytes.  Whatever they are, each that is not ASCII becomes
 * the character of its number. */
static void
json_string(struct str s, size_t keep)
{
	if (s.n == 0) {
		text("null");
		return;
	}
	text("\"");
	escape(s, keep, "\\u00");
	text("\"");
}

static void
json(const struct req *q, int status, uint64_t bytes, uint64_t us)
{
	struct str method, target, protocol;

	split(q, &method, &target, &protocol);
	text("{\"time\":\"");
	text(iso_time);
	text(".");
	number(millis, 3);
	text("Z\",\"remote\":");
	if (setup.remote) {
		text("\"");
		address(q, status);
		text("\"");
	} else {
		text("null");
	}
	text(",\"method\":");
	json_string(method, sizeof line - 256);
	text(",\"target\":");
	json_string(target, 2000);
	text(",\"protocol\":");
	json_string(protocol, 1900);
	text(q->tls ? ",\"tls\":true,\"host\":" : ",\"tls\":false,\"host\":");
	json_string(of(q, q->host.len > 0 ? q->host : q->field[F_HOST]), 1500);
	text(",\"status\":");
	number((uint64_t)status, 3);
	text(",\"bytes\":");
	number(bytes, 1);
	text(",\"duration\":");
	seconds(us);
	text(",\"referer\":");
	json_string(of(q, q->field[F_REFERER]), 700);
	text(",\"user_agent\":");
	json_string(of(q, q->field[F_USER_AGENT]), 8);
	text("}\n");
}

/* "512 B", "1.2 KiB": v, `step` of each unit making the next. */
static const char *
human(char *dst, size_t cap, uint64_t v, unsigned step, const char *const *unit)
{
	unsigned rest = 0;
	bool whole = true;

	for (; v >= step && unit[1] != NULL; unit++) {
		rest = (unsigned)(v % step);
		v /= step;
		whole = false;
	}
	if (whole)
		snprintf(dst, cap, "%u %s", (unsigned)v, *unit);
	else
		snprintf(dst, cap, "%llu.%u %s", (unsigned long long)v,
		    rest * 10 / step, *unit);
	return dst;
}

static void
pretty(const struct req *q, int status, uint64_t bytes, uint64_t us)
{
	static const char *const size[] = { "B", "KiB", "MiB", "GiB", "TiB",
	    NULL }, *const duration[] = { "us", "ms", "s", NULL };
	static const char *const colour[] = { "", "", "\033[32m", "\033[36m",
	    "\033[33m", "\033[31m" };
	struct str method, target, protocol;
	bool ansi = colours && status >= 200 && status < 600;
	char a[32], b[32], head[128];
	size_t begin;

	split(q, &method, &target, &protocol);
	snprintf(head, sizeof head, "%s %s%03d%s %10s %8s ",
	    iso_time + sizeof "2000-01-01T" - 1,
	    ansi ? colour[status / 100] : "", status, ansi ? "\033[0m" : "",
	    human(a, sizeof a, bytes, 1024, size),
	    human(b, sizeof b, us, 1000, duration));
	text(head);
	begin = at;
	if (setup.remote) {
		address(q, status);
		do
			text(" ");
		while (at - begin < sizeof "255.255.255.255");
	}
	escape(method, sizeof line - 256, "\\x");
	if (method.n > 0)
		text(" ");
	escape(target, 8, "\\x");
	if (target.n == 0)
		text("-");
	text("\n");
}

void
log_setup(const struct log_setup *s)
{
	setup = *s;
	choose_colours();
}

void
log_access(const struct req *q, int status, int64_t bytes, int64_t us)
{
	uint64_t n = bytes > 0 ? (uint64_t)bytes : 0;
	uint64_t t = us > 0 ? (uint64_t)us : 0;

	at = 0;
	if (setup.format == LOG_JSON)
		json(q, status, n, t);
	else if (setup.format == LOG_PRETTY)
		pretty(q, status, n, t);
	else
		combined(q, status, n, t);
	if (!emit(&lines, 6, line, at))
		dropped++;
}

/* warn(), but says whether it came through. */
static bool __attribute__((format(printf, 1, 2)))
told(const char *fmt, ...)
{
	va_list ap;
	bool ok;

	va_start(ap, fmt);
	ok = say(4, fmt, ap);
	va_end(ap);
	return ok;
}

void
log_dropped(void)
{
	static time_t tried;

	if (dropped == 0 || tried == log_now)
		return;
	tried = log_now;
	if (told("%u lines of the access log were dropped: it is not read fast "
	    "enough", dropped))
		dropped = 0;
}
