/* sws.c - main: the order of starting, the loop, the order of ending. */
#include "sws.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct listener listener[LISTENERS_MAX];
static unsigned nlisteners;
static unsigned files;		/* at most open at a time */
static int64_t watchdog, pinged;	/* ms: interval, last time */
static bool replaced;		/* a new program serves */

static void
announce(void)
{
	char url[256], status[400];
	unsigned i;

	for (i = 0; i < nlisteners; i++) {
		struct listener *l = &listener[i];

		if (l->single)
			continue;
		fd_url(l, url, sizeof url);
		info("serving %s on %s%s%s%s", conf.root, url,
		    l->origin[0] ? " (" : "", l->origin,
		    l->origin[0] ? ")" : "");
	}
	snprintf(status, sizeof status, "serving %.300s", conf.root);
	if (!next_takes_over())
		fd_ready(status);
}

/* In a child: become a browser that shows url. */
static void
become_browser(char *url)
{
	char *env = getenv("BROWSER"), *argv[10], *next, *p;
	int n;

	/* a list of commands, each with or without %s for the address */
	for (p = env; p != NULL && *p != '\0'; p = next) {
		next = strchr(p, ':');
		if (next != NULL)
			*next++ = '\0';
		for (n = 0; n < 8 && *(p += strspn(p, " ")) != '\0';) {
			argv[n++] = strncmp(p, "%s", 2) == 0 ? url : p;
			p += strcspn(p, " ");
			if (*p != '\0')
				*p++ = '\0';
		}
		if (n == 0)
			continue;
		if (n == 1 || argv[n - 1] != url)
			argv[n++] = url;
		argv[n] = NULL;
		execvp(argv[0], argv);
	}
	execlp("xdg-open", "xdg-open", url, (char *)NULL);
	execlp("open", "open", url, (char *)NULL);
}

/* --open: show the site to the person who started us.  The browser is nobody's
 * child, so that it outlives us and leaves no zombie. */
static void
open_browser(void)
{
	char url[1024];
	sigset_t none;
	size_t n;
	pid_t pid;
	int up[2], null;
	ssize_t k;

	fd_url(&listener[0], url, 256);
	n = strlen(url);
	snprintf(url + n, sizeof url - n, "%s", conf.open_path + 1);
	if (pipe(up) < 0)
		return;
	fcntl(up[0], F_SETFD, FD_CLOEXEC);
	fcntl(up[1], F_SETFD, FD_CLOEXEC);
	pid = fork();
	if (pid == 0) {
		setsid();
		if (fork() != 0)
			_exit(0);
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		signal(SIGPIPE, SIG_DFL);
		signal(SIGCHLD, SIG_DFL);
		null = open("/dev/null", O_RDWR);
		dup2(null, 0);
		dup2(null, 1);
		become_browser(url);
		_exit(write(up[1], "", 1) == 1 ? 127 : 126);
	}
	close(up[1]);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	/* the pipe ends when a browser has begun, and speaks when none has */
	while ((k = read(up[0], url, 1)) < 0 && errno == EINTR)
		;
	if (pid < 0 || k != 0)
		warn("--open: no browser found (BROWSER, xdg-open, open)");
	close(up[0]);
}

/* Read all certificates and keys.  NULL, or what is wrong with one of them. */
static const char *
load_keys(void)
{
	const char *why = NULL;
	struct vhost *v;
	unsigned i, n = rules_hosts(conf.rules, &v);

	for (i = 0; i < conf.cert.n && why == NULL; i++)
		why = tls_load(conf.cert.v[i], conf.key.v[i]);
	for (i = 0; i < n && why == NULL; i++)
		if (v[i].cert != NULL)
			why = tls_load(v[i].cert, v[i].key);
	return why;
}

static bool
begins(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

/* Which listeners speak TLS: by FileDescriptorName=, and without one exactly
 * when there is a certificate. */
static void
schemes(void)
{
	const char *why;
	unsigned i, port = 443;

	if (conf.tls && ((why = load_keys()) != NULL || tls_use() < 0))
		die(1, "%s", why ? why : "no certificate");
	for (i = nlisteners; i-- > 0;) {
		struct listener *l = &listener[i];
		bool tls = begins(l->name, "https") || begins(l->name, "tls");

		if (tls && !conf.tls)
			die(1, "%s, named \"%s\", is for TLS, and there is no "
			    "--tls-cert", l->origin, l->name);
		l->tls = tls || (conf.tls && !begins(l->name, "http"));
		l->redirect = !l->tls && conf.tls && conf.https_redirect;
		if (l->tls && fd_port(l) != 0)
			port = fd_port(l);
	}
	site_https_port(port);
}

/* Read everything anew, and use it all or nothing of it. */
static void
reload(void)
{
	const char *why;

	fd_notify("RELOADING=1\nMONOTONIC_USEC=%lld", (long long)log_us());
	why = conf_reload();
	if (why == NULL) {
		if ((conf.tls && (why = load_keys()) != NULL) ||
		    (why = site_init(files)) != NULL) {
			tls_drop();
			conf_undo();
		} else {
			if (conf.tls)
				tls_use();
			conf_keep();
		}
	}
	if (why != NULL)
		warn("%s: all stays as it was", why);
	if (log_open(conf.log_file) < 0)
		warn("--log-file %s: %s", conf.log_file, strerror(errno));
	fd_notify("READY=1");
}

static void
again(const char *path)
{
	if (path != NULL)
		box_again(path);
}

/* A page's other names are of files below the root. */
static void
page(const char *path)
{
	if (path != NULL && path[0] == '/')
		box_again(path);
}

/* Name what is read from now on, much of it by SIGHUP. */
static void
name_all(void)
{
	struct vhost *v;
	unsigned i, n = rules_hosts(conf.rules, &v);

	box_tree(conf.root);
	if (conf.relative_root)
		again(conf.root);
	for (i = 0; i < n; i++) {
		box_tree(v[i].root);
		again(v[i].cert);
		again(v[i].key);
	}
	for (i = 0; i < conf.cert.n; i++) {
		again(conf.cert.v[i]);
		again(conf.key.v[i]);
	}
	again(conf.config_file);
	again(conf.mime_types);
	page(conf.page404);
	page(conf.page50x);
	page(conf.page_fallback);
	page(conf.maintenance_file);
	if (conf.log_file != NULL)
		box_log(conf.log_file);
}

/* Give up the right to all else. */
static void
give_up(void)
{
	name_all();
	fd_notify_open();
	next_watch();
	box_drop();
	if (conf.chroot != NULL)
		name_all();	/* a reload finds other files by the names */
	box_enter();
}

/* The new program serves: it has the listeners from now on. */
static void
hand_over(pid_t pid)
{
	unsigned i;

	info("replaced by process %ld", (long)pid);
	replaced = true;
	fd_notify("MAINPID=%ld", (long)pid);
	fd_notify_close();
	watchdog = 0;
	/* who waits in our own queues is the new program's now */
	for (i = 0; i < nlisteners; i++)
		snprintf(listener[i].origin, sizeof listener[i].origin,
		    "handed on");
}

static unsigned
asked_to_end(void)
{
	return (unsigned)(fd_signal[SIGTERM] + fd_signal[SIGINT] +
	    fd_signal[SIGQUIT]);
}

/* One turn, at most until `end` (log_ms; -1 = no end). */
static void
turn(int64_t end)
{
	int64_t ms = -1;

	if (end >= 0)
		ms = end > log_ms ? end - log_ms : 0;
	if (watchdog > 0 && (ms < 0 || ms > pinged + watchdog - log_ms))
		ms = pinged + watchdog > log_ms ? pinged + watchdog - log_ms :
		    0;
	conn_turn(ms);
	if (watchdog > 0 && log_ms >= pinged + watchdog) {
		fd_notify("WATCHDOG=1");
		pinged = log_ms;
	}
	if (fd_signal[SIGUSR2] > 0) {
		fd_signal[SIGUSR2] = 0;
		next_start();
	}
	if (fd_signal[SIGIO] > 0) {
		pid_t pid;

		fd_signal[SIGIO] = 0;
		if ((pid = next_news()) > 0)
			hand_over(pid);
	}
	if (fd_signal[SIGHUP] > 0) {
		fd_signal[SIGHUP] = 0;
		reload();
	}
}

/* Nothing is left to do: one connection was passed and it is over, or nobody
 * came for --idle-exit. */
static bool
unused(bool single)
{
	if (conn_count() > 0)
		return false;
	if (single)
		return true;
	return conf.idle_exit_ms > 0 &&
	    log_ms - conn_idle_since() >= conf.idle_exit_ms &&
	    conn_last_call() == 0;
}

static int64_t
idle_end(void)
{
	return conf.idle_exit_ms > 0 && conn_count() == 0 ?
	    conn_idle_since() + conf.idle_exit_ms : -1;
}

static void
loop(bool single)
{
	int64_t end;
	unsigned i;

	while (asked_to_end() == 0 && !replaced && !unused(single))
		turn(idle_end());
	if (asked_to_end() == 0 && !replaced)
		return;
	fd_notify("STOPPING=1\nSTATUS=finishing %u connections", conn_count());
	end = log_ms + conf.grace_ms;
	while (log_ms < end && asked_to_end() < 2 && !replaced)
		turn(end);
	next_end();
	conn_stop();
	/* what is ours goes first: a client who comes now is refused rather than
	 * left to wait for an end, and the port is free for who starts next */
	for (i = 0; i < nlisteners; i++)
		if (replaced || listener[i].origin[0] == '\0')
			fd_unlisten(&listener[i]);
	conn_drain();
	end = log_ms + conf.drain_ms;
	while (conn_count() > 0 && log_ms < end && asked_to_end() < 2)
		turn(end);
}

int
main(int argc, char **argv)
{
	unsigned i, conns;
	bool single = true;
	const char *why;

	fd_sane();
	log_clock();
	conf_read(argc, argv);
	nlisteners = fd_listeners(listener, LISTENERS_MAX);
	for (i = 0; i < nlisteners; i++)
		single &= listener[i].single;
	if (!single)
		next_init(argv, listener, nlisteners);
	schemes();
	if (conf.ready_fd >= 0 && !next_replaces() &&
	    fcntl(conf.ready_fd, F_GETFD) < 0)
		die(1, "--ready-fd %d: %s", conf.ready_fd, strerror(errno));
	if (log_open(conf.log_file) < 0)
		die(1, "--log-file %s: %s", conf.log_file, strerror(errno));
	conns = conf.max_conns;
	fd_limits(&conns, &files);
	if (fd_queue() < 0)
		die(1, "event queue: %s", strerror(errno));
	if ((why = site_init(files)) != NULL)
		die(1, "%s", why);
	conn_init(listener, nlisteners, conns);
	if (conf.open && nlisteners > 0 && !next_replaces())
		open_browser();
	give_up();
	watchdog = fd_watchdog();
	announce();
	loop(single);
	for (i = 0; i < nlisteners; i++)
		fd_unlisten(&listener[i]);
	conn_end();
	site_end();
	return 0;
}
