/* next.c - the program that follows us when SIGUSR2 asks for it.
 *
 * In its box the server can start nothing.  So a sibling is forked before,
 * while the rights of the start are still there: it holds the listeners and
 * waits.  All that the server can say to it is "start what you were started as"
 * and "go"; one gone bad can ask for no more than that.
 *
 *   server          sibling                    new program
 *     | -- START ---> | -- fork, fork, exec ---> |
 *     |               | <------ START ---------- | with its pid
 *     | <-- READY --- | <------ READY ---------- | has its box, reads nothing
 *     | --- GO -----> | ------- GO ------------> |
 *     | <-- GO ------ | <------ GO ------------- | serves, has a sibling too
 *     | drains        | ends                     |
 *
 * The server waits for none of this: it serves until the last GO.  Whoever sees
 * the end of a line before that leaves all as it was.  The sibling also is who
 * unlinks our own unix socket, which only the last process may: a new program
 * tells its own sibling by a GO that it serves. */
#include "sws.h"

#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WAIT_S = 30 };	/* for the new program to be ready */

/* What is said on both lines; the new program's pid goes with it upwards. */
enum word { START = 1, READY, GO, FAILED, LATE };
struct message {
	int32_t word, pid;
};

static int line = -1;		/* to the sibling, or -1 */
static int above = -1;		/* new program: to the sibling of the old one */
static bool pending;		/* the sibling is at work */
static bool ending;		/* it was told to end */

static bool
say(int fd, enum word word, pid_t pid)
{
	struct message m = { (int32_t)word, (int32_t)pid };

	return send(fd, &m, sizeof m, 0) == (ssize_t)sizeof m;
}

/* The next message; its word is 0 at the end of the line. */
static struct message
hear(int fd, int flags)
{
	struct message m = { 0, 0 };
	ssize_t n;

	errno = 0;
	do
		n = recv(fd, &m, sizeof m, flags);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof m)
		m.word = 0;
	return m;
}

static int
pair(int fd[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) < 0)
		return -1;
	fcntl(fd[0], F_SETFD, FD_CLOEXEC);
	fcntl(fd[1], F_SETFD, FD_CLOEXEC);
	return 0;
}

/* ---- what to start -------------------------------------------------------- */

/* The path of our own program, in a way that will find its successor: the name
 * we were called by, as the file that we run may be replaced by then. */
static const char *
program(const char *name)
{
	static char path[PATH_LEN];
	const char *dirs = getenv("PATH"), *p, *end;
	struct stat self, st;
	ssize_t n;

	if (strchr(name, '/') != NULL)
		return name;
	if (stat("/proc/self/exe", &self) < 0)
		return name;
	for (p = dirs; p != NULL; p = *end ? end + 1 : NULL) {
		end = p + strcspn(p, ":");
		snprintf(path, sizeof path, "%.*s/%s", (int)(end - p), p,
		    name);
		if (end > p && stat(path, &st) == 0 &&
		    st.st_dev == self.st_dev && st.st_ino == self.st_ino)
			return path;
	}
	/* inetd: argv[0] is any name */
	n = readlink("/proc/self/exe", path, sizeof path - 1);
	if (n <= 0)
		return name;
	path[n] = '\0';
	return path;
}

/* n + 1 numbers in a row, from 3 on, where no descriptor is that the new
 * program could need: one that we were given for a log, say. */
static int
gap(unsigned n)
{
	unsigned run = 0;
	int fd, f;

	for (fd = 3; run < n + 1; fd++) {
		f = fcntl(fd, F_GETFD);
		run = f < 0 || f & FD_CLOEXEC ? run + 1 : 0;
	}
	return fd - (int)run;
}

static void
set_number(const char *name, long v)
{
	char text[24];

	snprintf(text, sizeof text, "%ld", v);
	setenv(name, text, 1);
}

/* Become the new program, which answers at `up`.  server is whom it follows. */
static void
become(const char *path, char **argv, const struct listener *l, unsigned n,
    int up, pid_t server)
{
	static const int reset[] = { SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1,
	    SIGUSR2, SIGCHLD, SIGPIPE };
	char names[LISTENERS_MAX * sizeof l->name], how[LISTENERS_MAX + 64];
	const char *watched = getenv("WATCHDOG_PID");
	uintmax_t dev = 0, ino = 0;	/* of our unix socket */
	unsigned i, passed = 0, at = 0;
	int copy[LISTENERS_MAX + 1], first;

	for (i = 0; i < sizeof reset / sizeof reset[0]; i++)
		signal(reset[i], SIG_DFL);
	for (i = 0; i < n; i++)
		passed += !l[i].single;
	first = gap(passed);
	/* out of the way first: a target may be another's place */
	passed = 0;
	for (i = 0; i < n; i++) {
		if (l[i].single)
			continue;
		copy[passed] = fcntl(l[i].fd, F_DUPFD_CLOEXEC,
		    first + (int)n + 1);
		at += (unsigned)snprintf(names + at, sizeof names - at, "%s%s",
		    passed ? ":" : "", l[i].name);
		how[passed++] = l[i].origin[0] ? 'p' : 'o';
		if (l[i].path != NULL) {
			dev = (uintmax_t)l[i].dev;
			ino = (uintmax_t)l[i].ino;
		}
	}
	copy[passed] = fcntl(up, F_DUPFD_CLOEXEC, first + (int)n + 1);
	for (i = 0; i <= passed; i++)
		if (copy[i] < 0 || dup2(copy[i], first + (int)i) < 0)
			return;
	snprintf(how + passed, sizeof how - passed, "%s:%d:%ju:%ju",
	    log_is_syslog() ? "s" : "", first + (int)passed, dev, ino);
	setenv("SWS_REPLACES", how, 1);
	setenv("LISTEN_FDNAMES", names, 1);
	set_number("LISTEN_FDS", (long)passed);
	set_number("LISTEN_PID", (long)getpid());
	if (first != 3)
		set_number("LISTEN_FDS_FIRST_FD", first);
	if (watched != NULL && strtol(watched, NULL, 10) == (long)server)
		set_number("WATCHDOG_PID", (long)getpid());
	execv(path, argv);
}

/* ---- the sibling ---------------------------------------------------------- */

/* Start the new program; returns our end of its line.  It is nobody's child, so
 * that a supervisor that adopts orphans can watch over it. */
static int
start(const char *path, char **argv, const struct listener *l, unsigned n,
    pid_t server)
{
	pid_t pid;
	int fd[2];

	if (pair(fd) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		if (fork() != 0)
			_exit(0);
		close(fd[0]);
		say(fd[1], START, getpid());
		become(path, argv, l, n, fd[1], server);
		warn("SIGUSR2: %s: %s", path, strerror(errno));
		_exit(1);
	}
	close(fd[1]);
	if (pid > 0)
		return fd[0];
	close(fd[0]);
	return -1;
}

/* See the new program through.  True: the sockets have gone to it. */
static bool
replace(int up, int new)
{
	struct pollfd p[2] = { { .fd = up, .events = POLLIN },
	    { .fd = new, .events = POLLIN } };
	struct message m;
	pid_t pid = 0;
	int64_t end = log_us() / 1000 + WAIT_S * 1000, left;

	for (;;) {
		left = end - log_us() / 1000;
		if (left <= 0) {
			say(up, LATE, pid);
			break;
		}
		if (poll(p, 2, (int)left) <= 0)
			continue;
		if (p[1].revents == 0) {	/* GO, or the server ends */
			if (hear(up, 0).word != GO)
				break;
			say(new, GO, 0);
			continue;
		}
		m = hear(new, 0);
		if (m.word == START)
			pid = m.pid;
		else
			say(up, m.word ? (enum word)m.word : FAILED, pid);
		if (m.word == 0 || m.word == GO) {
			close(new);
			return m.word == GO;
		}
	}
	/* its end of the line was open just now: the pid is still its own */
	if (pid > 0)
		kill(pid, SIGTERM);
	close(new);
	return false;
}

static void __attribute__((noreturn))
sibling(const char *path, char **argv, struct listener *l, unsigned n, int up,
    pid_t server)
{
	static const int theirs[] = { SIGTERM, SIGINT, SIGQUIT, SIGHUP,
	    SIGUSR1, SIGUSR2 };	/* meant for the server, if for the group */
	bool handed = false, serves = !next_replaces();
	int32_t word;
	unsigned i;
	int new;

	for (i = 0; i < sizeof theirs / sizeof theirs[0]; i++)
		signal(theirs[i], SIG_IGN);
	/* in a new program that is a number for anything */
	if (conf.ready_fd > 2 && !next_replaces())
		close(conf.ready_fd);
	for (i = 0; i < n; i++)
		if (l[i].single)
			close(l[i].fd);
	while (!handed && (word = hear(up, 0).word) != 0) {
		if (word != START) {
			serves = true;
			continue;
		}
		new = start(path, argv, l, n, server);
		if (new < 0)
			say(up, FAILED, 0);
		else
			handed = replace(up, new);
	}
	for (i = 0; i < n; i++) {
		/* a program that never served leaves the one that does alone */
		if (handed || !serves)
			l[i].path = NULL;
		if (!l[i].single)
			fd_unlisten(&l[i]);
	}
	_exit(0);	/* the server sees the end of its line after that */
}

/* ---- the server ------------------------------------------------------------- */

/* Go only after the sibling, so that no listener outlives us. */
static void
wait_for_it(void)
{
	next_end();
	while (line >= 0 && hear(line, 0).word != 0)
		;
}

void
next_init(char **argv, struct listener *l, unsigned n)
{
	struct timeval one = { .tv_sec = 1 };
	const char *how = getenv("SWS_REPLACES"), *fd;
	const char *path = program(argv[0]);
	pid_t server = getpid();
	int ends[2];
	unsigned i;

	if (how != NULL && (fd = strchr(how, ':')) != NULL) {
		above = (int)strtol(fd + 1, NULL, 10);
		fcntl(above, F_SETFD, FD_CLOEXEC);
		unsetenv("SWS_REPLACES");
	}
	signal(SIGCHLD, SIG_IGN);	/* none of ours leaves a zombie */
	if (pair(ends) < 0)
		return;
	switch (fork()) {
	case 0:
		close(ends[0]);
		if (above >= 0)
			close(above);
		sibling(path, argv, l, n, ends[1], server);
	case -1:
		warn("fork: %s: SIGUSR2 will do nothing", strerror(errno));
		close(ends[0]);
		close(ends[1]);
		return;
	}
	close(ends[1]);
	line = ends[0];
	setsockopt(line, SOL_SOCKET, SO_RCVTIMEO, &one, sizeof one);
	for (i = 0; i < n; i++)
		l[i].path = NULL;
	atexit(wait_for_it);
}

void
next_watch(void)
{
	int f;

	if (line < 0 || fcntl(line, F_SETOWN, getpid()) < 0 ||
	    (f = fcntl(line, F_GETFL)) < 0)
		return;
	fcntl(line, F_SETFL, f | O_ASYNC);
}

bool
next_replaces(void)
{
	return above >= 0;
}

bool
next_takes_over(void)
{
	bool go;

	if (!next_replaces())
		return false;
	go = say(above, READY, 0) && hear(above, 0).word == GO &&
	    say(above, GO, 0);
	if (go && line >= 0)
		say(line, GO, 0);	/* our own sibling shall know */
	close(above);
	above = -1;
	if (!go)
		die(1, "the process to be replaced stays, or has gone");
	return true;
}

void
next_start(void)
{
	const char *why = NULL;

	if (ending)
		why = "this process is about to end";
	else if (line < 0)
		why = "the process that it needs has ended, or never was";
	else if (pending)
		why = "a new program is being started already";
	else if (getpid() == 1)
		why = "all would end with process 1, which this is";
	else if (log_is_syslog() && getenv("NOTIFY_SOCKET") == NULL)
		/* the listener is descriptor 2 too: its end is what inetd waits
		 * for, to listen again itself */
		why = "it is inetd who starts the new program, once this one "
		    "has ended (SIGTERM)";
	else if (!(pending = say(line, START, 0)))
		why = "the process that it needs has ended";
	if (why != NULL)
		warn("SIGUSR2: %s", why);
}

pid_t
next_news(void)
{
	struct message m;

	while (line >= 0) {
		m = hear(line, MSG_DONTWAIT);
		if (m.word == 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		pending = m.word == READY;
		switch (m.word) {
		case READY:
			say(line, GO, 0);
			break;
		case GO:
			return m.pid;
		case FAILED:
			warn("SIGUSR2: the new program ended before it served: "
			    "this one stays");
			break;
		case LATE:
			warn("SIGUSR2: the new program was not ready in %d s: "
			    "this one stays", WAIT_S);
			break;
		default:
			close(line);
			line = -1;
			if (!ending)
				warn("the process that SIGUSR2 needs has ended");
		}
	}
	return 0;
}

void
next_end(void)
{
	ending = true;
	if (line >= 0)
		shutdown(line, SHUT_WR);
}
