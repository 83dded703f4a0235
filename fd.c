/* fd.c - what the kernel gives: listeners, the event queue, opening beneath a
 * directory, sendfile, the supervisor's notification socket.
 *
 * The systems differ here and nowhere else; each #if stands around whole
 * functions of one signature. */
#include "sws.h"

#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __APPLE__
#include <launch.h>
#endif
#ifdef __linux__
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#else
#include <sys/event.h>
#endif

enum {
	LISTEN_QUEUE = 4096,	/* the kernel lowers it to its own limit */
	QUEUE_TINY = 128,	/* a passed backlog below this is raised */
	FIRST_FD = 3,		/* sd_listen_fds(3) */
};

volatile sig_atomic_t fd_signal[65];

/* ---- descriptors 0-2 ---------------------------------------------------- */

static int moved[3] = { -1, -1, -1 };	/* where 1 and 2 went, if they did */
static bool closed[3];			/* was not open when we started */

static bool
flag(int fd, int option)
{
	int v = 0;
	socklen_t n = sizeof v;

	return getsockopt(fd, SOL_SOCKET, option, &v, &n) == 0 && v != 0;
}

static bool
same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 &&
	    x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static bool
is_socket(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* Descriptor n, 0 to 2, becomes /dev/null; the socket stays open elsewhere in
 * case --fd asks for it. */
static void
mute(int n)
{
	int null = open("/dev/null", O_RDWR);

	if (null < 0)
		return;
	moved[n] = fcntl(n, F_DUPFD_CLOEXEC, FD_RESERVED);
	dup2(null, n);
	close(null);
	if (n == 2)
		log_syslog();
}

void
fd_sane(void)
{
	const char *replaces = getenv("SWS_REPLACES");
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;
	bool client;
	int n, fd;

	signal(SIGPIPE, SIG_IGN);
	for (n = 0; n <= 2; n++)
		if (fcntl(n, F_GETFD) < 0) {
			closed[n] = true;
			fd = open("/dev/null", O_RDWR);
			if (fd >= 0 && fd != n) {
				dup2(fd, n);
				close(fd);
			}
		}
	/* inetd puts the socket on all three: one message there would reach
	 * the client.  A unix socket on 0 and 1 only may be a remote shell's,
	 * whose user wants to read --help. */
	client = is_socket(0) && same_file(0, 1) && same_file(0, 2);
	if (is_socket(0) && getsockname(0, (struct sockaddr *)&sa, &len) == 0 &&
	    sa.ss_family != AF_UNIX)
		client = true;
	for (n = 1; n <= 2; n++)
		if (is_socket(n) && (flag(n, SO_ACCEPTCONN) ||
		    (client && same_file(0, n))))
			mute(n);
	if (replaces != NULL && strstr(replaces, "s:") != NULL)
		log_syslog();	/* our predecessor muted descriptor 2 */
}

/* ---- listeners ---------------------------------------------------------- */

static struct {
	unsigned n;		/* valid LISTEN_FDS, or 0 */
	int first;
	const char *names;	/* LISTEN_FDNAMES or "" */
	const char *who;
	char why[96];		/* why n is 0 */
} passed;

static struct {
	struct listener *l;
	unsigned n, cap;
} found;

enum sort { NOT_OPEN, NOT_SOCKET, DATAGRAM, LISTENING, BOUND, UNBOUND,
	CONNECTED, GONE };

static enum sort
examine(int fd)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;
	int v = 0;

	if (fcntl(fd, F_GETFD) < 0 || (fd >= 0 && fd <= 2 && closed[fd]))
		return NOT_OPEN;
	if (!is_socket(fd))
		return NOT_SOCKET;
	len = sizeof v;
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &v, &len) < 0 ||
	    v != SOCK_STREAM)
		return DATAGRAM;
	if (flag(fd, SO_ACCEPTCONN))
		return LISTENING;
	len = sizeof sa;
	if (getpeername(fd, (struct sockaddr *)&sa, &len) == 0)
		return CONNECTED;
	if (errno != ENOTCONN || flag(fd, SO_ERROR))
		return GONE;	/* was connected: reset before we looked */
	len = sizeof sa;
	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return UNBOUND;
	if (sa.ss_family == AF_INET)
		return ((struct sockaddr_in *)&sa)->sin_port ? BOUND : UNBOUND;
	if (sa.ss_family == AF_INET6)
		return ((struct sockaddr_in6 *)&sa)->sin6_port ? BOUND :
		    UNBOUND;
	return len > offsetof(struct sockaddr_un, sun_path) ? BOUND : UNBOUND;
}

/* What descriptor fd is, for people. */
static const char *
describe(int fd)
{
	struct stat st;

	switch (examine(fd)) {
	case NOT_OPEN:
		return "not open";
	case DATAGRAM:
		return "a datagram socket";
	case UNBOUND:
		return "a socket that is neither bound nor connected";
	case NOT_SOCKET:
		break;
	default:
		return "a stream socket";
	}
	if (isatty(fd))
		return "a terminal";
	if (fstat(fd, &st) < 0)
		return "not readable";
	if (S_ISREG(st.st_mode))
		return "a file";
	if (S_ISDIR(st.st_mode))
		return "a directory";
	if (S_ISFIFO(st.st_mode))
		return "a pipe";
	return S_ISCHR(st.st_mode) ? "a character device" : "not a socket";
}

static void
read_passed(void)
{
	const char *fds = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");
	const char *first = getenv("LISTEN_FDS_FIRST_FD");
	char *end;
	long n;

	passed.first = FIRST_FD;
	passed.names = getenv("LISTEN_FDNAMES");
	if (passed.names == NULL)
		passed.names = "";
	passed.who = first != NULL ? "systemfd" : "systemd";
	if (fds == NULL || *fds == '\0') {
		snprintf(passed.why, sizeof passed.why, "LISTEN_FDS is not set");
		return;
	}
	n = strtol(fds, &end, 10);
	if (*end != '\0' || n < 1 || n > 65536) {
		snprintf(passed.why, sizeof passed.why,
		    "LISTEN_FDS=%.20s is no number of sockets", fds);
		return;
	}
	if (pid != NULL && *pid != '\0' &&
	    (strtol(pid, &end, 10) != (long)getpid() || *end != '\0')) {
		snprintf(passed.why, sizeof passed.why,
		    "LISTEN_PID=%.20s is not this process (%ld)", pid,
		    (long)getpid());
		return;
	}
	passed.n = (unsigned)n;
	if (first != NULL && *first != '\0') {
		n = strtol(first, &end, 10);
		if (*end == '\0' && n >= 0 && n < INT_MAX - 65536)
			passed.first = (int)n;
	}
}

/* The i-th of LISTEN_FDNAMES. */
static struct str
passed_name(unsigned i)
{
	const char *p = passed.names;

	for (; i > 0 && p != NULL; i--)
		if ((p = strchr(p, ':')) != NULL)
			p++;
	if (p == NULL)
		return (struct str){ "", 0 };
	return (struct str){ p, strcspn(p, ":") };
}

void
fd_nodelay(int sock)
{
	int one = 1;

	setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

/* What a listener needs: non-blocking for us alone to wait on, closed in
 * children, and TCP_NODELAY, which accepted sockets inherit. */
static void
prepare(int fd)
{
	int f = fcntl(fd, F_GETFL);

	fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (f >= 0)
		fcntl(fd, F_SETFL, f | O_NONBLOCK);
	fd_nodelay(fd);
}

static struct listener *
add(int fd)
{
	struct listener *l;

	if (found.n == found.cap)
		die(1, "more than %u listeners", found.cap);
	l = &found.l[found.n++];
	memset(l, 0, sizeof *l);
	l->fd = fd;
	l->early = true;
	return l;
}

#ifdef __linux__
/* A listening TCP socket shows its backlog as tcpi_sacked. */
static bool
backlog_tiny(int fd)
{
	struct tcp_info ti;
	socklen_t n = sizeof ti;

	memset(&ti, 0, sizeof ti);
	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &ti, &n) < 0 ||
	    ti.tcpi_sacked < QUEUE_TINY;
}
#else
static bool
backlog_tiny(int fd)
{
	return fd >= 0;
}
#endif

/* Serve descriptor fd, which somebody passed.  False when it is none of the
 * sockets that can be served. */
static bool
adopt(int fd, struct str name, const char *who)
{
	enum sort what;
	struct listener *l;
	unsigned i;

	if (fd >= 0 && fd <= 2 && moved[fd] >= 0)
		fd = moved[fd];
	what = examine(fd);
	if (what == GONE)
		exit(0);	/* nowait, and the client left already */
	if (what != LISTENING && what != BOUND && what != CONNECTED)
		return false;
	for (i = 0; i < found.n; i++)
		if (found.l[i].fd == fd || same_file(found.l[i].fd, fd)) {
			if (found.l[i].fd != fd && fd > 2)
				close(fd);
			return true;
		}
	if (what != CONNECTED && (what == BOUND || backlog_tiny(fd)) &&
	    listen(fd, LISTEN_QUEUE) < 0 && what == BOUND)
		die(1, "descriptor %d: listen: %s", fd, strerror(errno));
	prepare(fd);
	l = add(fd);
	l->single = what == CONNECTED;
	snprintf(l->name, sizeof l->name, "%.*s", (int)name.n, name.p);
	snprintf(l->origin, sizeof l->origin, "descriptor %d%s%s", fd,
	    who ? ", " : "", who ? who : "");
	return true;
}

static bool
adopt_passed(unsigned i)
{
	return adopt(passed.first + (int)i, passed_name(i), passed.who);
}

/* One --fd.  SPEC: a descriptor, else an index into LISTEN_FDS, else a name. */
static void
adopt_asked(const char *arg)
{
	size_t len = strlen(arg);
	char *end;
	bool any = false;
	unsigned i;
	long n;

	if (arg[strspn(arg, "0123456789")] != '\0') {
		for (i = 0; i < passed.n; i++) {
			struct str s = passed_name(i);

			if (s.n == len && memcmp(s.p, arg, len) == 0)
				any |= adopt_passed(i);
		}
		if (any)
			return;
		if (passed.n > 0)
			die(1, "--fd %s: no stream socket of that name in "
			    "LISTEN_FDNAMES=%s", arg, passed.names);
		die(1, "--fd %s: no descriptor's number, and as a name: %s",
		    arg, passed.why);
	}
	errno = 0;
	n = strtol(arg, &end, 10);
	if (errno != 0 || n > INT_MAX)
		die(1, "--fd %s: no such descriptor", arg);
	/* a number past the list is a descriptor; one on it too, if it is a
	 * socket to serve, otherwise an index */
	if (adopt((int)n, (struct str){ "", 0 }, NULL))
		return;
	if (n < (long)passed.n && adopt_passed((unsigned)n))
		return;
	if (n < (long)passed.n)
		die(1, "--fd %s: descriptor %s is %s, and descriptor %ld, "
		    "number %s of LISTEN_FDS, is %s", arg, arg,
		    describe((int)n), passed.first + n, arg,
		    describe(passed.first + (int)n));
	if (passed.n > 0)
		die(1, "--fd %s: descriptor %s is %s, and LISTEN_FDS=%u has no "
		    "number %s", arg, arg, describe((int)n), passed.n, arg);
	die(1, "--fd %s: descriptor %s is %s, and %s", arg, arg,
	    describe((int)n), passed.why);
}

/* What launchd(8) holds for us under "Listeners", launchd.plist(5). */
#ifdef __APPLE__
static bool
adopt_launchd(void)
{
	int *fds;
	size_t n, i;

	if (launch_activate_socket("Listeners", &fds, &n) != 0)
		return false;	/* ESRCH: started by somebody else */
	for (i = 0; i < n; i++)
		adopt(fds[i], (struct str){ "", 0 }, "launchd");
	free(fds);
	return found.n > 0;
}
#else
static bool
adopt_launchd(void)
{
	return false;
}
#endif

/* One address of our own; *port is set when it was 0.  -1 with errno. */
static int
bind_one(const struct addrinfo *ai, unsigned *port)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;
	int fd, on = 1, off = 0, e;

	memcpy(&sa, ai->ai_addr, ai->ai_addrlen);
	if (sa.ss_family == AF_INET6)
		((struct sockaddr_in6 *)&sa)->sin6_port =
		    htons((uint16_t)*port);
	else
		((struct sockaddr_in *)&sa)->sin_port = htons((uint16_t)*port);
	fd = socket(ai->ai_family, SOCK_STREAM, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (sa.ss_family == AF_INET6)	/* "::" takes IPv4 too */
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
	if (bind(fd, (struct sockaddr *)&sa, ai->ai_addrlen) < 0 ||
	    listen(fd, LISTEN_QUEUE) < 0 ||
	    getsockname(fd, (struct sockaddr *)&sa, &len) < 0) {
		e = errno;
		close(fd);
		errno = e;
		return -1;
	}
	*port = ntohs(sa.ss_family == AF_INET6 ?
	    ((struct sockaddr_in6 *)&sa)->sin6_port :
	    ((struct sockaddr_in *)&sa)->sin_port);
	prepare(fd);
	return fd;
}

/* Bind every address of host; false, with errno, when none can be had. */
static bool
bind_host(const char *host, unsigned port)
{
	struct addrinfo hints, *ai, *a;
	unsigned before = found.n;
	char bare[256];
	size_t n = strlen(host);
	int rc, fd;

	if (n > 2 && n < sizeof bare && host[0] == '[' && host[n - 1] == ']') {
		snprintf(bare, sizeof bare, "%.*s", (int)n - 2, host + 1);
		host = bare;
	}
	memset(&hints, 0, sizeof hints);
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = AI_PASSIVE;
	rc = getaddrinfo(host, NULL, &hints, &ai);
	if (rc != 0)
		die(1, "--host %s: %s", host, gai_strerror(rc));
	errno = EADDRNOTAVAIL;
	for (a = ai; a != NULL; a = a->ai_next) {
		if (a->ai_family != AF_INET && a->ai_family != AF_INET6)
			continue;
		fd = bind_one(a, &port);
		if (fd >= 0)
			add(fd);
		else if (errno == EADDRINUSE || errno == EACCES)
			break;	/* half a name served would be a riddle */
	}
	freeaddrinfo(ai);
	return a == NULL && found.n > before;
}

static void
bind_tcp(unsigned port)
{
	bool ok = bind_host(conf.host ? conf.host : "::", port);

	/* no IPv6 here: say nothing, serve IPv4 */
	if (!ok && conf.host == NULL &&
	    (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL))
		ok = bind_host("0.0.0.0", port);
	if (!ok)
		die(1, "--host %s, --port %u: %s", conf.host ? conf.host : "::",
		    port, strerror(errno));
}

/* With --unix-socket-force: remove what nobody listens on any more. */
static void
remove_stale(const struct sockaddr_un *sa)
{
	struct stat st;
	int fd;

	if (lstat(sa->sun_path, &st) < 0)
		return;
	if (!S_ISSOCK(st.st_mode))
		die(1, "--unix-socket %s: exists and is not a socket",
		    sa->sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)sa, sizeof *sa) == 0)
		die(1, "--unix-socket %s: another process listens there",
		    sa->sun_path);
	if (fd >= 0)
		close(fd);
	unlink(sa->sun_path);
}

static void
bind_unix(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct listener *l;
	struct stat st;
	mode_t mask;
	int fd;

	if (strlen(conf.unix_socket) >= sizeof sa.sun_path)
		die(1, "--unix-socket %s: longer than %zu bytes",
		    conf.unix_socket, sizeof sa.sun_path - 1);
	memcpy(sa.sun_path, conf.unix_socket, strlen(conf.unix_socket));
	if (conf.unix_force)
		remove_stale(&sa);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	mask = umask((mode_t)~conf.unix_mode & 0777);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0 ||
	    listen(fd, LISTEN_QUEUE) < 0)
		die(1, "--unix-socket %s: %s", conf.unix_socket,
		    strerror(errno));
	umask(mask);
	prepare(fd);
	l = add(fd);
	if (lstat(sa.sun_path, &st) == 0) {
		l->path = conf.unix_socket;
		l->dev = st.st_dev;
		l->ino = st.st_ino;
	}
}

/* Our own unix socket, bound by a process that we replace; there is one at most.
 * how tells its identity: what stands at its path by now may be another's. */
static void
own_path(struct listener *l, const char *how)
{
	static char path[sizeof ((struct sockaddr_un *)NULL)->sun_path + 1];
	struct sockaddr_un sa;
	socklen_t len = sizeof sa;
	uintmax_t dev, ino;

	memset(&sa, 0, sizeof sa);
	if (getsockname(l->fd, (struct sockaddr *)&sa, &len) < 0 ||
	    sa.sun_family != AF_UNIX ||
	    sscanf(how, "%*[^:]:%*d:%ju:%ju", &dev, &ino) != 2)
		return;
	memcpy(path, sa.sun_path, sizeof sa.sun_path);
	l->path = path;
	l->dev = (dev_t)dev;
	l->ino = (ino_t)ino;
}

/* Take just what the process that we replace has, whatever the options say.
 * how: a letter a listener, (p)assed to it or its (o)wn. */
static void
take_over(const char *how)
{
	struct listener *l;
	unsigned i;

	passed.who = "handed on";
	for (i = 0; i < passed.n && (how[i] == 'p' || how[i] == 'o'); i++) {
		if (!adopt_passed(i))
			die(1, "descriptor %d, handed on, is %s",
			    passed.first + (int)i,
			    describe(passed.first + (int)i));
		l = &found.l[found.n - 1];
		if (how[i] == 'o') {
			l->origin[0] = '\0';
			own_path(l, how);
		}
	}
	if (found.n == 0)
		die(1, "SWS_REPLACES is set, but no listener was handed on");
}

/* Descriptors that were passed and are not served: say so, keep them from
 * children, close second ones of a socket that is. */
static void
leftovers(void)
{
	unsigned i, k;

	for (i = 0; i < passed.n; i++) {
		int fd = passed.first + (int)i;

		for (k = 0; k < found.n; k++)
			if (found.l[k].fd == fd)
				break;
		if (k < found.n || fcntl(fd, F_GETFD) < 0)
			continue;
		for (k = 0; k < found.n; k++)
			if (same_file(found.l[k].fd, fd))
				break;
		if (k < found.n && fd > 2)
			close(fd);
		else
			fcntl(fd, F_SETFD, FD_CLOEXEC);
	}
	for (i = 0; i <= 2; i++) {
		for (k = 0; k < found.n; k++)
			if (found.l[k].fd == moved[i])
				break;
		if (moved[i] >= 0 && k == found.n)
			close(moved[i]);
		for (k = 0; k < found.n; k++)
			if (found.l[k].fd != (int)i &&
			    same_file(found.l[k].fd, (int)i)) {
				mute((int)i);
				if (moved[i] >= 0)
					close(moved[i]);
				break;
			}
	}
}

unsigned
fd_listeners(struct listener *l, unsigned cap)
{
	const char *replaces = getenv("SWS_REPLACES");
	unsigned i;

	found.l = l;
	found.cap = cap;
	read_passed();
	if (replaces != NULL) {
		take_over(replaces);
	} else if (conf.fds.n > 0) {
		for (i = 0; i < conf.fds.n; i++)
			adopt_asked(conf.fds.v[i]);
	} else if (conf.address_asked) {
		if (conf.unix_socket != NULL)
			bind_unix();
		if (conf.unix_socket == NULL || conf.tcp_asked)
			bind_tcp(conf.port);
	} else if (passed.n > 0) {
		for (i = 0; i < passed.n; i++)
			if (!adopt_passed(i) &&
			    examine(passed.first + (int)i) != NOT_OPEN)
				warn("descriptor %d of LISTEN_FDS is %s: left "
				    "alone", passed.first + (int)i,
				    describe(passed.first + (int)i));
		if (found.n == 0)
			die(1, "LISTEN_FDS=%u holds no stream socket",
			    passed.n);
	} else if (examine(0) == LISTENING) {
		adopt(0, (struct str){ "", 0 }, NULL);
	} else if (!adopt_launchd()) {
		bind_tcp(conf.port);
	}
	i = found.n;
	if (conf.tls && conf.https_redirect && conf.https_from_port > 0 &&
	    replaces == NULL)
		bind_tcp(conf.https_from_port);
	for (; i < found.n; i++)
		snprintf(l[i].name, sizeof l[i].name, "http");
	leftovers();
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDNAMES");
	unsetenv("LISTEN_FDS_FIRST_FD");
	return found.n;
}

unsigned
fd_port(const struct listener *l)
{
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_storage space;
	} u;
	socklen_t len = sizeof u;

	if (getsockname(l->fd, &u.sa, &len) < 0)
		return 0;
	return u.sa.sa_family == AF_INET ? ntohs(u.in.sin_port) :
	    u.sa.sa_family == AF_INET6 ? ntohs(u.in6.sin6_port) : 0;
}

const char *
fd_url(const struct listener *l, char *dst, size_t cap)
{
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
		struct sockaddr_storage space;
	} u;
	socklen_t len = sizeof u;
	const char *scheme = l->tls ? "https" : "http";
	char ip[INET6_ADDRSTRLEN] = "?";

	memset(&u, 0, sizeof u);
	if (getsockname(l->fd, &u.sa, &len) < 0) {
		snprintf(dst, cap, "?");
	} else if (u.sa.sa_family == AF_INET) {
		inet_ntop(AF_INET, &u.in.sin_addr, ip, sizeof ip);
		snprintf(dst, cap, "%s://%s:%u/", scheme,
		    u.in.sin_addr.s_addr == 0 ? "localhost" : ip,
		    (unsigned)ntohs(u.in.sin_port));
	} else if (u.sa.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &u.in6.sin6_addr, ip, sizeof ip);
		if (IN6_IS_ADDR_UNSPECIFIED(&u.in6.sin6_addr))
			snprintf(dst, cap, "%s://localhost:%u/", scheme,
			    (unsigned)ntohs(u.in6.sin6_port));
		else
			snprintf(dst, cap, "%s://[%s]:%u/", scheme, ip,
			    (unsigned)ntohs(u.in6.sin6_port));
	} else if (len <= offsetof(struct sockaddr_un, sun_path)) {
		snprintf(dst, cap, "unix:");
	} else {
		/* '@' for the NUL that begins an abstract name */
		snprintf(dst, cap, "unix:%s%.*s",
		    u.un.sun_path[0] ? "" : "@",
		    (int)(len - offsetof(struct sockaddr_un, sun_path)) -
		    (u.un.sun_path[0] ? 0 : 1),
		    u.un.sun_path + (u.un.sun_path[0] ? 0 : 1));
	}
	return dst;
}

void
fd_unlisten(struct listener *l)
{
	struct stat st;

	if (l->fd < 0)
		return;
	close(l->fd);
	l->fd = -1;
	if (l->path != NULL && lstat(l->path, &st) == 0 &&
	    st.st_dev == l->dev && st.st_ino == l->ino)
		unlink(l->path);
}

void
fd_limits(unsigned *conns, unsigned *files)
{
	struct rlimit rl;
	rlim_t want, have;
	unsigned n = *conns > 0 ? *conns : CONNS_DEFAULT;

	want = FD_RESERVED + 2 * (rlim_t)n;
	if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
		rl.rlim_cur = rl.rlim_max = 256;
	have = rl.rlim_cur;
	if (rl.rlim_cur < want) {
		rl.rlim_cur = want < rl.rlim_max ? want : rl.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &rl) == 0)
			have = rl.rlim_cur;
	}
	if (have < want) {
		n = have > FD_RESERVED + 16 ?
		    (unsigned)(have - FD_RESERVED) / 2 : 8;
		if (*conns > 0)
			warn("--max-connections %u: %u, as only %lu descriptors "
			    "may be open", *conns, n, (unsigned long)have);
	}
	*conns = n;
	*files = n;
}

/* ---- the event queue ---------------------------------------------------- */

static const int caught[] = { SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR2,
	SIGIO };
enum { NCAUGHT = sizeof caught / sizeof caught[0] };

static int queue = -1;

static void
on_signal(int sig)
{
	fd_signal[sig]++;
}

#if defined(__linux__)
static sigset_t while_waiting;

int
fd_queue(void)
{
	struct sigaction sa;
	sigset_t set;
	int i;

	/* blocked but for the wait itself: no signal can slip in between
	 * looking at fd_signal and going to sleep */
	sigemptyset(&set);
	memset(&sa, 0, sizeof sa);
	sa.sa_handler = on_signal;
	for (i = 0; i < NCAUGHT; i++) {
		sigaddset(&set, caught[i]);
		sigaction(caught[i], &sa, NULL);
	}
	sigprocmask(SIG_BLOCK, &set, &while_waiting);
	for (i = 0; i < NCAUGHT; i++)
		sigdelset(&while_waiting, caught[i]);
	queue = epoll_create1(EPOLL_CLOEXEC);
	return queue;
}

_Static_assert(FD_READ == (int)EPOLLIN && FD_WRITE == (int)EPOLLOUT,
    "our bits are the kernel's");

int
fd_want(int fd, unsigned had, unsigned want, void *tag)
{
	struct epoll_event ev;

	memset(&ev, 0, sizeof ev);
	ev.events = want;
	ev.data.ptr = tag;
	return epoll_ctl(queue, want == 0 ? EPOLL_CTL_DEL :
	    had == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &ev);
}

/* A wait that finds something to do at once lets no signal in, and a busy loop
 * has no other kind: see to it now and then. */
static void
let_signals_in(void)
{
	static int64_t last;
	sigset_t blocked;

	if (log_ms - last < 10)
		return;
	last = log_ms;
	sigprocmask(SIG_SETMASK, &while_waiting, &blocked);
	sigprocmask(SIG_SETMASK, &blocked, NULL);
}

int
fd_wait(struct fd_event *out, int cap, int64_t ms)
{
	static struct epoll_event ev[256];
	int i, n;

	if (cap > 256)
		cap = 256;
	n = epoll_pwait(queue, ev, cap, ms > INT_MAX ? INT_MAX : (int)ms,
	    &while_waiting);
	let_signals_in();
	for (i = 0; i < n; i++) {
		out[i].tag = ev[i].data.ptr;
		out[i].bits = ev[i].events & (EPOLLERR | EPOLLHUP) ?
		    FD_READ | FD_WRITE : ev[i].events;
	}
	return n < 0 ? 0 : n;
}
#else
int
fd_queue(void)
{
	struct sigaction sa;
	struct kevent kev;
	int i;

	queue = kqueue();
	if (queue < 0)
		return -1;
	fcntl(queue, F_SETFD, FD_CLOEXEC);
	memset(&sa, 0, sizeof sa);
	sa.sa_handler = on_signal;
	for (i = 0; i < NCAUGHT; i++) {
		/* the event wakes a wait that the handler came just before */
		EV_SET(&kev, (uintptr_t)caught[i], EVFILT_SIGNAL, EV_ADD, 0, 0,
		    0);
		kevent(queue, &kev, 1, NULL, 0, NULL);
		sigaction(caught[i], &sa, NULL);
	}
	return queue;
}

int
fd_want(int fd, unsigned had, unsigned want, void *tag)
{
	struct kevent kev[2];
	int n = 0;

	if ((had ^ want) & FD_READ) {
		EV_SET(&kev[n], (uintptr_t)fd, EVFILT_READ,
		    want & FD_READ ? EV_ADD : EV_DELETE, 0, 0, tag);
		n++;
	}
	if ((had ^ want) & FD_WRITE) {
		EV_SET(&kev[n], (uintptr_t)fd, EVFILT_WRITE,
		    want & FD_WRITE ? EV_ADD : EV_DELETE, 0, 0, tag);
		n++;
	}
	return kevent(queue, kev, n, NULL, 0, NULL);
}

int
fd_wait(struct fd_event *out, int cap, int64_t ms)
{
	static struct kevent kev[256];
	struct timespec ts;
	int i, n, k = 0;

	if (cap > 256)
		cap = 256;
	ts.tv_sec = (time_t)(ms / 1000);
	ts.tv_nsec = (long)(ms % 1000) * 1000000;
	n = kevent(queue, NULL, 0, kev, cap, ms < 0 ? NULL : &ts);
	for (i = 0; i < n; i++) {
		if (kev[i].filter == EVFILT_SIGNAL)
			continue;
		out[k].tag = (void *)kev[i].udata;
		out[k].bits = kev[i].filter == EVFILT_READ ? FD_READ : FD_WRITE;
		k++;
	}
	return k;
}
#endif

/* ---- moving bytes -------------------------------------------------------- */

#ifdef __APPLE__
int
fd_accept(int lfd, struct sockaddr *sa, socklen_t *len)
{
	int fd = accept(lfd, sa, len);

	if (fd >= 0) {
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	}
	return fd;
}
#else
int
fd_accept(int lfd, struct sockaddr *sa, socklen_t *len)
{
	return accept4(lfd, sa, len, SOCK_NONBLOCK | SOCK_CLOEXEC);
}
#endif

#ifndef MSG_MORE
#define MSG_MORE 0
#endif

ssize_t
fd_send(int sock, const void *a, size_t na, const void *b, size_t nb, bool more)
{
	struct iovec v[2];

	if (nb == 0)
		return send(sock, a, na, more ? MSG_MORE : 0);
	memcpy(&v[0].iov_base, &a, sizeof a);	/* iovec has no const */
	v[0].iov_len = na;
	memcpy(&v[1].iov_base, &b, sizeof b);
	v[1].iov_len = nb;
	/* sendmsg(2) could name an address too, or pass a descriptor on: box.c
	 * does not allow it */
	return writev(sock, v, 2);
}

#if defined(__linux__)
ssize_t
fd_sendfile(int sock, int file, off_t *off, size_t len)
{
	return sendfile(sock, file, off, len);
}
#elif defined(__FreeBSD__)
ssize_t
fd_sendfile(int sock, int file, off_t *off, size_t len)
{
	off_t n = 0;

	if (sendfile(file, sock, *off, len, NULL, &n, 0) < 0 && n == 0)
		return -1;
	*off += n;
	return (ssize_t)n;
}
#elif defined(__APPLE__)
ssize_t
fd_sendfile(int sock, int file, off_t *off, size_t len)
{
	off_t n = (off_t)len;

	if (sendfile(file, sock, *off, &n, NULL, 0) < 0 && n == 0)
		return -1;
	*off += n;
	return (ssize_t)n;
}
#else
ssize_t
fd_sendfile(int sock, int file, off_t *off, size_t len)
{
	static char buf[OUTBUF];
	ssize_t n;

	n = pread(file, buf, len < sizeof buf ? len : sizeof buf, *off);
	if (n <= 0)
		return n;
	n = send(sock, buf, (size_t)n, 0);
	if (n > 0)
		*off += n;
	return n;
}
#endif

/* ---- the supervisor ------------------------------------------------------ */

static int notify = -1;

void
fd_notify_open(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	size_t len;

	if (path == NULL || (path[0] != '/' && path[0] != '@'))
		return;
	len = strlen(path);
	if (len >= sizeof sa.sun_path) {
		warn("NOTIFY_SOCKET: longer than an address");
		return;
	}
	memcpy(sa.sun_path, path, len);
	if (path[0] == '@')
		sa.sun_path[0] = '\0';
	notify = socket(AF_UNIX, SOCK_DGRAM, 0);
	if (notify >= 0)
		fcntl(notify, F_SETFD, FD_CLOEXEC);
	if (notify < 0 || connect(notify, (struct sockaddr *)&sa, (socklen_t)
	    (offsetof(struct sockaddr_un, sun_path) + len)) < 0) {
		warn("NOTIFY_SOCKET: %s", strerror(errno));
		fd_notify_close();
	}
}

void
fd_notify_close(void)
{
	if (notify >= 0)
		close(notify);
	notify = -1;
}

void
fd_notify(const char *fmt, ...)
{
	char buf[512];
	va_list ap;
	int n;

	if (notify < 0)
		return;
	va_start(ap, fmt);
	n = vsnprintf(buf, sizeof buf, fmt, ap);
	va_end(ap);
	if (n > 0 && send(notify, buf, (size_t)n < sizeof buf ? (size_t)n :
	    sizeof buf - 1, MSG_DONTWAIT) < 0)
		debug("NOTIFY_SOCKET: %s", strerror(errno));
}

void
fd_ready(const char *status)
{
	fd_notify("READY=1\nSTATUS=%s", status);
	if (conf.ready_fd >= 0) {
		if (write(conf.ready_fd, "\n", 1) < 0)
			warn("--ready-fd %d: %s", conf.ready_fd,
			    strerror(errno));
		if (conf.ready_fd > 2)
			close(conf.ready_fd);
	}
}

int64_t
fd_watchdog(void)
{
	const char *us = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	long long v;

	if (us == NULL || notify < 0)
		return 0;
	if (pid != NULL && strtol(pid, NULL, 10) != (long)getpid())
		return 0;
	v = strtoll(us, NULL, 10);
	return v > 2000 ? v / 2000 : 0;	/* half of it, as sd_notify(3) asks */
}

/* ---- opening beneath the root ------------------------------------------- */

#ifndef O_PATH
#define O_PATH O_RDONLY
#endif

int
fd_root(const char *path)
{
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* One component after the other, for kernels that cannot do it in one call.
 * path is changed; on ELOOP *link is the end of the prefix that is a link. */
static int
walk(int root, char *path, int flags, size_t *link)
{
	int dir = root, fd, e;
	char *p = path, *slash;
	struct stat st;

	for (;;) {
		slash = strchr(p, '/');
		if (slash != NULL)
			*slash = '\0';
		fd = openat(dir, p, O_NOFOLLOW | O_CLOEXEC | (slash ?
		    O_PATH | O_DIRECTORY : flags));
		e = errno;
		/* O_PATH|O_NOFOLLOW opens the link itself; O_DIRECTORY makes
		 * ENOTDIR of it, and the BSDs know EMLINK and EFTYPE */
		if (fd >= 0 && fstat(fd, &st) == 0 && S_ISLNK(st.st_mode)) {
			close(fd);
			fd = -1;
			e = ELOOP;
		} else if (fd < 0 && e != ENOENT && fstatat(dir, p, &st,
		    AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode)) {
			e = ELOOP;
		}
		if (slash != NULL)
			*slash = '/';
		if (dir != root)
			close(dir);
		if (fd < 0 && e == ELOOP)
			*link = slash ? (size_t)(slash - path) : strlen(path);
		if (fd < 0 || slash == NULL || slash[1] == '\0') {
			errno = e;
			return fd;
		}
		dir = fd;
		p = slash + 1;
	}
}

/* Resolve "." and ".." in path, which holds no link.  -1: above the root. */
static int
flatten(char *path)
{
	char *r = path, *w = path;
	size_t n;

	while (*r != '\0') {
		n = strcspn(r, "/");
		if (n == 2 && r[0] == '.' && r[1] == '.') {
			if (w == path)
				return -1;
			do
				w--;
			while (w > path && w[-1] != '/');
		} else if (n > 0 && !(n == 1 && r[0] == '.')) {
			memmove(w, r, n);
			w += n;
			if (r[n] == '/')
				*w++ = '/';
		}
		r += n + (r[n] == '/');
	}
	if (w == path)
		*w++ = '.';
	*w = '\0';
	return 0;
}

static int
beneath_by_hand(int root, const char *name, int flags, bool links)
{
	char path[PATH_LEN], target[PATH_LEN], rest[PATH_LEN];
	size_t end, start;
	ssize_t n;
	int fd, tries, k;

	if (strlen(name) >= sizeof path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(path, name, strlen(name) + 1);
	if (path[0] == '/' || flatten(path) < 0) {
		errno = EXDEV;
		return -1;
	}
	for (tries = 0; tries < 40; tries++) {
		end = 0;
		fd = walk(root, path, flags, &end);
		if (fd >= 0 || errno != ELOOP || !links || end == 0)
			return fd;
		/* put the link's target in its place and start again */
		snprintf(rest, sizeof rest, "%s", path + end);
		path[end] = '\0';
		n = readlinkat(root, path, target, sizeof target - 1);
		if (n <= 0)
			return -1;
		target[n] = '\0';
		if (target[0] == '/') {
			errno = EXDEV;
			return -1;
		}
		for (start = end; start > 0 && path[start - 1] != '/'; start--)
			;
		k = snprintf(path + start, sizeof path - start, "%s%s", target,
		    rest);
		if (k < 0 || (size_t)k >= sizeof path - start) {
			errno = ENAMETOOLONG;
			return -1;
		}
		if (flatten(path) < 0) {
			errno = EXDEV;
			return -1;
		}
	}
	errno = ELOOP;
	return -1;
}

#if defined(__linux__) && defined(SYS_openat2)
/* openat2(2)'s argument; the header that has it is younger than the call. */
struct how {
	uint64_t flags, mode, resolve;
};
enum { NO_MAGICLINKS = 2, NO_SYMLINKS = 4, BENEATH = 8 };

int
fd_beneath(int root, const char *name, int flags, bool links)
{
	static bool missing;	/* the kernel, or a filter, has no openat2 */
	struct how how = { .flags = (uint64_t)(flags | O_CLOEXEC),
	    .resolve = (uint64_t)(BENEATH | NO_MAGICLINKS |
	    (links ? 0 : NO_SYMLINKS)) };
	long fd;
	int tries;

	if (missing)
		return beneath_by_hand(root, name, flags, links);
	/* EAGAIN: something was renamed meanwhile and the kernel cannot be
	 * sure; somebody who renames for ever gets his file not found */
	for (tries = 0; tries < 32; tries++) {
		fd = syscall(SYS_openat2, root, name, &how, sizeof how);
		if (fd >= 0 || errno != EAGAIN)
			break;
	}
	if (fd < 0 && (errno == ENOSYS || errno == EPERM)) {
		missing = errno == ENOSYS;
		return beneath_by_hand(root, name, flags, links);
	}
	if (fd < 0 && errno == EAGAIN)
		errno = ENOENT;
	return (int)fd;
}
#else
int
fd_beneath(int root, const char *name, int flags, bool links)
{
	return beneath_by_hand(root, name, flags, links);
}
#endif

#ifdef __linux__
int
fd_look(int root, const char *name, bool links)
{
	return fd_beneath(root, name, O_PATH, links);
}
#else
int
fd_look(int root, const char *name, bool links)
{
	return fd_beneath(root, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, links);
}
#endif
