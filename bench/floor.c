/* floor.c - the least a server can do: epoll, recv, send of a constant.
 *
 *	floor HEAD BODY [close]
 *
 * Binds a free port of 127.0.0.1 and prints it.  Whatever arrives is taken for
 * one request and answered with HEAD bytes of head and BODY bytes of body; with
 * "close" the connection ends after each answer.  What another server costs
 * above this is its own. */
#define _GNU_SOURCE
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONNS = 65536, EVENTS = 256 };

static size_t left[CONNS];	/* bytes still to send, by descriptor */
static char *answer;
static size_t total;
static int queue;

static void
fail(const char *what)
{
	perror(what);
	exit(1);
}

static void
want(int op, int fd, unsigned events)
{
	struct epoll_event e = { .events = events, .data = { .fd = fd } };

	if (epoll_ctl(queue, op, fd, &e) < 0)
		fail("epoll_ctl");
}

static void
make_answer(size_t head, size_t body, int once)
{
	int n;

	total = head + body;
	answer = malloc(total + 1);
	if (answer == NULL)
		fail("malloc");
	memset(answer, 'x', total);
	n = snprintf(answer, head, "HTTP/1.1 200 OK\r\ncontent-length: %zu\r\n"
	    "%sx: ", body, once ? "connection: close\r\n" : "");
	if (n < 0 || (size_t)n + 5 > head) {
		fprintf(stderr, "floor: a head of %zu bytes is too short\n",
		    head);
		exit(2);
	}
	answer[n] = 'x';
	memcpy(answer + head - 4, "\r\n\r\n", 4);
}

/* Send what is left.  1: all of it, 0: the socket is full, -1: over. */
static int
flush(int fd)
{
	ssize_t n = send(fd, answer + total - left[fd], left[fd],
	    MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN ? 0 : -1;
	left[fd] -= (size_t)n;
	return left[fd] == 0;
}

static void
take(int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL,
	    SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		if (fd >= CONNS) {
			close(fd);
			continue;
		}
		left[fd] = 0;
		want(EPOLL_CTL_ADD, fd, EPOLLIN);
	}
}

static void
serve(int fd, int once)
{
	char buf[32768];
	int blocked = left[fd] > 0, rc;

	if (!blocked) {
		ssize_t n = recv(fd, buf, sizeof buf, 0);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			close(fd);
			return;
		}
		left[fd] = total;
	}
	rc = flush(fd);
	if (rc < 0 || (rc > 0 && once))
		close(fd);
	else if (rc == blocked)
		want(EPOLL_CTL_MOD, fd, rc == 0 ? EPOLLOUT : EPOLLIN);
}

int
main(int argc, char **argv)
{
	struct sockaddr_in sa = { .sin_family = AF_INET };
	struct rlimit lim = { CONNS, CONNS };
	struct epoll_event e[EVENTS];
	socklen_t len = sizeof sa;
	int listener, one = 1, i, n, once;

	if (argc < 3) {
		fprintf(stderr, "usage: floor HEAD BODY [close]\n");
		return 2;
	}
	once = argc > 3 && strcmp(argv[3], "close") == 0;
	make_answer(strtoul(argv[1], NULL, 10), strtoul(argv[2], NULL, 10),
	    once);
	setrlimit(RLIMIT_NOFILE, &lim);	/* fewer connections, if refused */
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (listener < 0 ||
	    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one,
	    sizeof one) < 0 ||
	    bind(listener, (struct sockaddr *)&sa, sizeof sa) < 0 ||
	    listen(listener, 1024) < 0 ||
	    getsockname(listener, (struct sockaddr *)&sa, &len) < 0)
		fail("listener");
	queue = epoll_create1(0);
	if (queue < 0)
		fail("epoll_create1");
	want(EPOLL_CTL_ADD, listener, EPOLLIN);
	printf("%u\n", (unsigned)ntohs(sa.sin_port));
	fflush(stdout);
	for (;;) {
		n = epoll_wait(queue, e, EVENTS, -1);
		if (n < 0 && errno != EINTR)
			fail("epoll_wait");
		for (i = 0; i < n; i++)
			if (e[i].data.fd == listener)
				take(listener);
			else
				serve(e[i].data.fd, once);
	}
}
