/* sws.c - main: the order of starting, the loop, the order of ending. */
#include "sws.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct listener listener[LISTENERS_MAX];
static unsigned nlisteners;
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

/* Read all certificates and keys.  NULL, or what is wrong with one of them. */
static const char *
load_keys(void)
{
	const char *why = NULL;
	unsigned i;

	for (i = 0; i < conf.cert.n && why == NULL; i++)
		why = tls_load(conf.cert.v[i], conf.key.v[i]);
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

/* Name what SIGHUP reads again, and give up all other rights. */
static void
give_up(void)
{
	unsigned i;

	box_tree(conf.root);
	for (i = 0; i < conf.cert.n; i++) {
		box_again(conf.cert.v[i]);
		box_again(conf.key.v[i]);
	}
	if (conf.log_file != NULL)
		box_log(conf.log_file);
	fd_notify_open();
	next_watch();
	box_drop();
	box_enter();
}

/* The new program is ready: it has the listeners from now on. */
static void
hand_over(pid_t pid)
{
	unsigned i;

	if (!next_go())
		return;
	info("replaced by process %ld", (long)pid);
	replaced = true;
	fd_notify("MAINPID=%ld", (long)pid);
	fd_notify_close();
	watchdog = 0;
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
		fd_notify("RELOADING=1\nMONOTONIC_USEC=%lld",
		    (long long)log_us());
		if (log_open(conf.log_file) < 0)
			warn("--log-file %s: %s", conf.log_file,
			    strerror(errno));
		if (conf.tls) {
			const char *why = load_keys();

			if (why == NULL)
				tls_use();
			else
				warn("%s: the old ones stay", why);
		}
		fd_notify("READY=1");
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
	for (i = 0; replaced && i < nlisteners; i++)
		fd_unlisten(&listener[i]);
	conn_drain();
	end = log_ms + conf.drain_ms;
	while (conn_count() > 0 && log_ms < end && asked_to_end() < 2)
		turn(end);
}

int
main(int argc, char **argv)
{
	unsigned i, conns, files;
	bool single = true;
	int root;

	fd_sane();
	log_clock();
	conf_read(argc, argv);
	conf.http2 &= h2_there;
	nlisteners = fd_listeners(listener, LISTENERS_MAX);
	for (i = 0; i < nlisteners; i++)
		single &= listener[i].single;
	if (!single)
		next_init(argv, listener, nlisteners);
	schemes();
	root = fd_root(conf.root);
	if (root < 0)
		die(1, "--root %s: %s", conf.root, strerror(errno));
	if (conf.ready_fd >= 0 && fcntl(conf.ready_fd, F_GETFD) < 0)
		die(1, "--ready-fd %d: %s", conf.ready_fd, strerror(errno));
	if (log_open(conf.log_file) < 0)
		die(1, "--log-file %s: %s", conf.log_file, strerror(errno));
	conns = conf.max_conns;
	fd_limits(&conns, &files);
	if (fd_queue() < 0)
		die(1, "event queue: %s", strerror(errno));
	file_init(root, files);
	give_up();
	watchdog = fd_watchdog();
	announce();
	conn_init(listener, nlisteners, conns);
	loop(single);
	for (i = 0; i < nlisteners; i++)
		fd_unlisten(&listener[i]);
	conn_end();
	file_end();
	close(root);
	return 0;
}
