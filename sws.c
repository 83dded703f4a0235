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
	fd_ready(status);
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
	if (fd_signal[SIGHUP] > 0) {
		fd_signal[SIGHUP] = 0;
		fd_notify("RELOADING=1\nMONOTONIC_USEC=%lld",
		    (long long)log_us());
		if (log_open(conf.log_file) < 0)
			warn("--log-file %s: %s", conf.log_file,
			    strerror(errno));
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

	while (asked_to_end() == 0 && !unused(single))
		turn(idle_end());
	if (asked_to_end() == 0)
		return;
	fd_notify("STOPPING=1\nSTATUS=finishing %u connections", conn_count());
	end = log_ms + conf.grace_ms;
	while (log_ms < end && asked_to_end() < 2)
		turn(end);
	conn_stop();
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
	nlisteners = fd_listeners(listener, LISTENERS_MAX);
	for (i = 0; i < nlisteners; i++)
		single &= listener[i].single;
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
