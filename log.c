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
#include <unistd.h>

unsigned log_level = LOG_L_INFO;
int64_t log_ms, log_turn;
time_t log_now;
static char date_line[40] = "date: ";
const char *log_date = date_line;
size_t log_datelen;

static char clf_time[32];	/* the combined format's, of this second */
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

int
log_open(const char *file)
{
	int fd;

	if (!classified)
		classify();
	if (file == NULL) {
		lines = messages;
		return 0;
	}
	fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_NOCTTY |
	    O_CLOEXEC, 0644);
	if (fd < 0)
		return -1;
	if (lines.fd > 2)
		close(lines.fd);
	lines.fd = fd;
	lines.how = SINK_WRITE;
	return 0;
}

/* Append the n bytes at p, with everything escaped that could end the field
 * or the line, or that a terminal would act on. */
static size_t
escape(char *dst, size_t at, size_t cap, const char *p, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	size_t i;

	for (i = 0; i < n && at + 4 <= cap; i++) {
		unsigned char c = (unsigned char)p[i];

		if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
			dst[at++] = (char)c;
		} else if (c == '"' || c == '\\') {
			dst[at++] = '\\';
			dst[at++] = (char)c;
		} else {
			dst[at++] = '\\';
			dst[at++] = 'x';
			dst[at++] = hex[c >> 4];
			dst[at++] = hex[c & 15];
		}
	}
	return at;
}

static size_t
quoted(char *dst, size_t at, size_t cap, const struct req *q, struct span s)
{
	dst[at++] = ' ';
	dst[at++] = '"';
	if (s.len == 0)
		dst[at++] = '-';
	at = escape(dst, at, cap, q->base + s.off, s.len);
	dst[at++] = '"';
	return at;
}

void
log_access(const struct req *q, const struct sockaddr *peer, int status,
    int64_t bytes, int64_t start_us)
{
	/* the line's fixed parts need less than 256 bytes; the request line
	 * and the two fields share the rest */
	char buf[LOGLINE], addr[INET6_ADDRSTRLEN] = "unix:";
	const size_t cap = sizeof buf - 256;
	size_t n;
	int64_t us = log_us() - start_us;

	if (peer->sa_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)
		    (const void *)peer)->sin_addr, addr, sizeof addr);
	else if (peer->sa_family == AF_INET6) {
		const struct in6_addr *a = &((const struct sockaddr_in6 *)
		    (const void *)peer)->sin6_addr;

		/* a v4 client of a dual-stack listener is shown as v4 */
		if (IN6_IS_ADDR_V4MAPPED(a))
			inet_ntop(AF_INET, a->s6_addr + 12, addr, sizeof addr);
		else
			inet_ntop(AF_INET6, a, addr, sizeof addr);
	}
	n = (size_t)snprintf(buf, sizeof buf, "%s - - [%s]", addr, clf_time);
	n = quoted(buf, n, cap / 2, q, q->line);
	n += (size_t)snprintf(buf + n, sizeof buf - n, " %d %lld", status,
	    (long long)bytes);
	n = quoted(buf, n, cap / 4 * 3, q, q->field[F_REFERER]);
	n = quoted(buf, n, cap, q, q->field[F_USER_AGENT]);
	n += (size_t)snprintf(buf + n, sizeof buf - n, " %lld.%06lld\n",
	    (long long)(us / 1000000), (long long)(us % 1000000));
	if (!emit(&lines, 6, buf, n))
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
