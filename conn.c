/* conn.c - connections: slots, lifecycle, deadlines, moving bytes.
 *
 *	socket -> take() [tls] -> run_h1: http.c, or run_h2: h2.c -> site.c
 *	socket <- push() [tls] <- head, content: flush() until all is sent
 *
 *	 accept        first byte         all read       blocked
 *	-------> HEAD <---------- IDLE     HEAD,IDLE ------------> REPLY
 *	          |                ^           |                     |
 *	          +---- answered --+-----------+---- all sent -------+
 *	                                       |
 *	                     last reply sent   v   EOF, LINGER_BYTES, LINGER_MS
 *	                                    LINGER ------------------------> DEAD
 *
 *	any state: error, deadline, end of input with nothing owed --> DEAD,
 *	which becomes FREE after the batch of events.
 *
 * Each state has one deadline, set when it is entered (REPLY: moved by every
 * byte that the client takes, and while it waits for us).  A state's timeout is
 * the same for all, so its connections form a queue that is sorted by itself.
 *
 * Input and output go through one buffer each, shared by all connections; a
 * connection owns memory only while it waits with something unfinished.
 * Nobody else calls recv, send or close on a client. */
#include "sws.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum conn_state { CONN_FREE, CONN_HEAD, CONN_IDLE, CONN_REPLY, CONN_LINGER,
	CONN_DEAD, NSTATES };

struct conn {
	int fd;			/* owned; -1 in FREE and DEAD */
	uint8_t state;		/* enum conn_state; only move() assigns */
	uint8_t watched;	/* what the queue waits for */
	bool eof;		/* the client sends no more */
	bool closing;		/* the reply under way is the last one */
	bool waiting;		/* q is read and is answered in a later turn */
	bool replying;		/* q is being answered and not yet logged */
	bool again;		/* has something to do: on the again list */
	bool redirect;		/* its listener sends to https */
	bool fresh;		/* has not sent a whole request yet */
	bool blocked;		/* output waits for the socket */
	bool greeted;		/* TLS: the first record has begun */
	bool plain;		/* spoke HTTP where TLS is spoken */
	bool notified;		/* close_notify was queued */
	bool ending;		/* HTTP/2: close when all is sent */
	int status;		/* of the reply under way */
	int64_t deadline;
	int64_t idle_at;	/* log_ms; when it came to IDLE last */
	bool parked;		/* IDLE: has given its buffers back, if any */
	struct conn *prev, *next;	/* in the queue of its state */
	struct conn *link;	/* in the free, dead or again list */
	char *in;		/* owned: input not yet done with, or NULL */
	char *wire;		/* owned: the same before TLS had it */
	char *out;		/* owned: output not yet taken, or NULL */
	uint32_t nin, nwire, nout, outoff;
	uint32_t discarded;	/* while lingering */
	int64_t began;		/* microseconds; when q was read */
	int64_t head_left;	/* bytes still to be sent that are not content:
				   the head, what is before it, framing */
	int64_t sent;		/* bytes of the content that were */
	struct tls *tls;	/* owned; NULL = plain */
	struct h2 *h2;		/* owned; NULL = HTTP/1.1 */
	struct req q;
	struct body body;	/* owned */
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} peer;
};

static struct conn *conns;	/* nconns slots */
static unsigned nconns, nused;
static struct conn *free_list, *dead_list, *again_list;
static bool hurry;		/* one of again_list can go on at once */
static struct {
	struct conn *first, *last;
} queue[NSTATES];

static struct listener *listeners;
static unsigned nlisteners;
static bool accepting = true;	/* false once conn_stop was called */
static int64_t accept_after;	/* not before this log_ms; 0 = any time */
static bool draining;
static int64_t idle_since;
static int64_t park_at;		/* when park() has something to do; 0 = never */

static char in[INBUF];		/* the running connection's */
static char wire[WIREBUF];
static size_t wire_at, nwire;	/* wire[wire_at..nwire) is for TLS to take */
static char out[OUTBUF];
static size_t nout;
static struct resp resp;

enum { NAP_MS = 4 };		/* between looks at answers that come later */
enum { TLS_RECORD = 22 };	/* RFC 5246 6.2.1: a handshake's first byte */
static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"; /* RFC 9113 3.4 */
enum { PREFACE = sizeof preface - 1 };

/* ---- states ---------------------------------------------------------------- */

static int64_t
timeout_of(enum conn_state s)
{
	switch (s) {
	case CONN_HEAD:
		return conf.header_ms;
	case CONN_IDLE:
		return conf.idle_ms;
	case CONN_REPLY:
		return conf.write_ms;
	default:
		return LINGER_MS;
	}
}

/* Enter state s, or enter it again for a new deadline. */
static void
move(struct conn *c, enum conn_state s)
{
	int64_t t = timeout_of(s);

	if (c->state != CONN_FREE && c->state != CONN_DEAD) {
		*(c->prev ? &c->prev->next : &queue[c->state].first) = c->next;
		*(c->next ? &c->next->prev : &queue[c->state].last) = c->prev;
	}
	c->state = (uint8_t)s;
	if (s == CONN_FREE || s == CONN_DEAD)
		return;
	c->deadline = t > 0 ? log_ms + t : INT64_MAX;	/* 0 = no end */
	c->prev = queue[s].last;
	c->next = NULL;
	*(c->prev ? &c->prev->next : &queue[s].first) = c;
	queue[s].last = c;
}

/* A reload may have made timeouts shorter: nobody waits longer than who comes
 * now, so that the queues stay sorted. */
static void
retime(void)
{
	static int64_t was[NSTATES];
	struct conn *c;
	enum conn_state s;
	int64_t t;

	for (s = CONN_HEAD; s <= CONN_REPLY; s++) {
		t = timeout_of(s);
		if (t == was[s])
			continue;
		was[s] = t;
		for (c = queue[s].first; c != NULL && t > 0; c = c->next)
			if (c->deadline > log_ms + t)
				c->deadline = log_ms + t;
	}
}

/* Run c in the next turn, whatever its socket says; `soon`: now. */
static void
again(struct conn *c, bool soon)
{
	hurry |= soon;
	c->again = true;
	c->link = again_list;
	again_list = c;
}

static void
not_again(struct conn *c)
{
	struct conn **at = &again_list;

	while (*at != c)
		at = &(*at)->link;
	*at = c->link;
	c->again = false;
}

/* The reply under way is over, or will not be. */
static void
done(struct conn *c)
{
	if (!c->replying)
		return;
	c->replying = false;
	body_end(&c->body);
	site_done(&c->q, c->status, c->sent, c->began);
}

/* The only way out of a connection.  `why` is for --log-level debug; each text
 * stands once in this file. */
static void
conn_kill(struct conn *c, const char *why)
{
	if (c->state == CONN_DEAD)
		return;
	debug("descriptor %d: %s", c->fd, why);
	metrics_conn(-1);
	if (c->again)
		not_again(c);
	done(c);
	close(c->fd);
	c->fd = -1;
	free(c->in);
	free(c->wire);
	free(c->out);
	c->in = c->wire = c->out = NULL;
	h2_free(c->h2);
	tls_free(c->tls);
	c->h2 = NULL;
	c->tls = NULL;
	move(c, CONN_DEAD);
	c->link = dead_list;
	dead_list = c;
}

static void
free_dead(void)
{
	struct conn *c;

	while ((c = dead_list) != NULL) {
		dead_list = c->link;
		move(c, CONN_FREE);
		c->link = free_list;
		free_list = c;
		if (--nused == 0)
			idle_since = log_ms;
	}
}

/* Would more input do any good now? */
static bool
can_take(const struct conn *c)
{
	if (c->state == CONN_LINGER)
		return true;
	if (c->h2 != NULL)
		return h2_wants_input(c->h2);
	return !c->replying && !c->waiting && c->out == NULL;
}

/* Tell the kernel what c waits for, if that changed. */
static void
watch(struct conn *c)
{
	unsigned want = c->blocked ? FD_WRITE : 0;

	/* a session may wait for its own and yet take input */
	if (c->state == CONN_DEAD || (c->again && c->h2 == NULL))
		return;
	if (!c->eof && can_take(c))
		want |= FD_READ;
	if (want == c->watched)
		return;
	if (fd_want(c->fd, c->watched, want, c) < 0)
		conn_kill(c, "event queue");
	else
		c->watched = (uint8_t)want;
}

/* ---- output ----------------------------------------------------------------- */

/* k more bytes of the reply under way left us. */
static void
count(struct conn *c, size_t k)
{
	int64_t of_head = (int64_t)k < c->head_left ? (int64_t)k : c->head_left;

	c->head_left -= of_head;
	c->sent += (int64_t)k - of_head;
}

/* k bytes were taken by the socket: first of the pending ones, then content. */
static void
sent(struct conn *c, size_t k)
{
	size_t pending = c->out ? c->nout : nout, n = k < pending ? k : pending;

	if (c->out != NULL) {
		c->outoff += (uint32_t)n;
		c->nout -= (uint32_t)n;
		if (c->nout == 0) {
			free(c->out);
			c->out = NULL;
		}
	} else {
		memmove(out, out + n, nout - n);
		nout -= n;
	}
	if (k > n)
		body_skip(&c->body, (off_t)(k - n));
	count(c, k);
}

enum flushed { SENT, BLOCKED, SPENT, KILLED };

/* What push made of it, when it moved no bytes. */
enum { ALL_SENT = 0, WOULD_BLOCK = -1, GONE = -2 };

static ssize_t
push_result(struct conn *c, ssize_t k)
{
	if (k >= 0)
		return k;
	if (errno == EAGAIN || errno == EINTR)
		return WOULD_BLOCK;
	conn_kill(c, "send");
	return GONE;
}

/* Move some of what c owes to the socket: pending bytes, then content.  How
 * many were taken, or one of the above. */
static ssize_t
push_plain(struct conn *c, int64_t budget)
{
	const char *a = c->out ? c->out + c->outoff : out, *b;
	size_t na = c->out ? c->nout : nout, nb;
	off_t off;
	ssize_t k;

	nb = c->body.len > 0 ? body_peek(&c->body, &b) : 0;
	if (na == 0 && (c->body.len == 0 || c->body.source != NULL))
		return ALL_SENT;
	if (na > 0) {
		k = fd_send(c->fd, a, na, nb > 0 ? b : NULL, nb,
		    c->body.len > 0 && nb == 0 && c->body.source == NULL);
	} else if (nb > 0) {
		k = fd_send(c->fd, b, nb, NULL, 0, body_more(&c->body));
	} else {
		off = c->body.off;
		k = fd_sendfile(c->fd, c->body.file->fd, &off,
		    c->body.len < budget ? (size_t)c->body.len :
		    (size_t)budget);
		if (k == 0) {
			conn_kill(c, "file shorter than promised");
			return GONE;
		}
	}
	if (k > 0)
		sent(c, (size_t)k);
	return push_result(c, k);
}

/* Fill a record with what c owes.  False: a file ended too early. */
static bool
fill_record(struct conn *c)
{
	unsigned char *p;
	size_t room = tls_app_out(c->tls, &p), n, all = 0;
	ssize_t k;

	while (room > 0) {
		n = c->out ? c->nout : nout;
		if (n > 0) {
			n = n < room ? n : room;
			memcpy(p, c->out ? c->out + c->outoff : out, n);
			sent(c, n);
		} else if (c->body.source != NULL) {
			break;		/* comes by way of out */
		} else {
			k = body_read(&c->body, p, room);
			if (k < 0)
				return false;
			if (k == 0)
				break;
			n = (size_t)k;
			count(c, n);
		}
		p += n;
		room -= n;
		all += n;
	}
	if (all > 0) {
		tls_app_out_done(c->tls, all);
		tls_flush(c->tls);
	}
	return true;
}

static ssize_t
push_tls(struct conn *c)
{
	unsigned char *p;
	size_t n = tls_rec_out(c->tls, &p);
	ssize_t k;

	if (n == 0) {
		if (!fill_record(c)) {
			conn_kill(c, "file ended inside a record");
			return GONE;
		}
		n = tls_rec_out(c->tls, &p);
	}
	if (n == 0)
		return ALL_SENT;
	/* what is ready follows at once: TCP need not end a segment with each
	 * record */
	k = fd_send(c->fd, p, n, NULL, 0, (c->out ? c->nout : nout) > 0 ||
	    (c->body.len > 0 && c->body.source == NULL));
	if (k > 0)
		tls_rec_out_done(c->tls, (size_t)k);
	return push_result(c, k);
}

/* c waits for us, not for its client. */
static void
ours(struct conn *c)
{
	if (c->state == CONN_REPLY)
		move(c, CONN_REPLY);
}

/* End c so that its client sees that content is missing, even if only the end
 * of the connection could tell. */
static void
cut(struct conn *c)
{
	const struct linger now = { .l_onoff = 1 };

	if (!c->body.chunked)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	conn_kill(c, "content could not be made");
}

/* Let a source say more, once a run since that takes time: the price leaves
 * enough to send what it said.  False: c is dead. */
static bool
make(struct conn *c, int64_t *budget)
{
	off_t before = c->body.off;
	ssize_t k;

	if (*budget <= OUTBUF)
		return true;
	*budget -= BUDGET - OUTBUF;
	k = body_read(&c->body, out + nout, sizeof out - nout);
	if (k == SOURCE_LATER)
		return true;
	if (k < 0) {
		cut(c);
		return false;
	}
	nout += (size_t)k;
	c->head_left += k - (c->body.off - before);
	return true;
}

/* Send what is owed: until all is sent, the socket takes no more, or the budget
 * is spent, or more of the content is to come. */
static enum flushed
flush(struct conn *c, int64_t *budget)
{
	ssize_t k;

	c->blocked = false;
	for (;;) {
		if (c->h2 != NULL && c->out == NULL && nout == 0) {
			k = h2_output(c->h2, out, sizeof out);
			if (k < 0)
				c->closing = true;
			else
				nout = (size_t)k;
		}
		if (c->body.source != NULL && c->out == NULL &&
		    nout < sizeof out / 2 && !make(c, budget))
			return KILLED;
		if (*budget <= 0)
			return SPENT;
		k = c->tls != NULL ? push_tls(c) : push_plain(c, *budget);
		if (k == ALL_SENT && c->body.source != NULL) {
			ours(c);
			return SPENT;
		}
		if (k == ALL_SENT)
			return SENT;
		if (k == GONE)
			return KILLED;
		if (k == WOULD_BLOCK) {
			c->blocked = true;
			return BLOCKED;
		}
		*budget -= k;
		if (c->state == CONN_REPLY)
			move(c, CONN_REPLY);	/* it took something */
	}
}

/* Queue the answer in resp: its head, and its content if that is short.  The
 * caller has seen to it that a head fits. */
static void
reply(struct conn *c)
{
	const char *p;
	size_t n, k;

	resp.close |= draining || (resp.open && c->q.minor == 0);
	n = http_head(&c->q, &resp, out + nout, sizeof out - nout);
	nout += n;
	c->status = resp.status;
	c->closing = resp.close;
	c->replying = true;
	c->body = resp.body;
	c->body.chunked = resp.open && c->q.minor > 0;
	c->head_left = (int64_t)nout;
	c->sent = 0;
	k = body_peek(&c->body, &p);
	if (k > 0 && k <= COPY_MAX && c->body.parts == NULL &&
	    k <= sizeof out - nout) {
		memcpy(out + nout, p, k);
		nout += k;
		body_skip(&c->body, (off_t)k);
	}
}

/* ---- input ------------------------------------------------------------------ */

/* No more requests: let the client read the answer before the connection goes,
 * RFC 9112 9.6. */
static void
linger(struct conn *c)
{
	if (c->eof) {
		conn_kill(c, "finished");
		return;
	}
	shutdown(c->fd, SHUT_WR);
	c->discarded = 0;
	move(c, CONN_LINGER);
}

static void
discard(struct conn *c)
{
	ssize_t n;

	n = recv(c->fd, in, sizeof in, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	c->discarded += n > 0 ? (uint32_t)n : 0;
	if (n <= 0 || c->discarded >= LINGER_BYTES)
		conn_kill(c, "lingered");
}

/* Room that input of c may use: in[from..to). */
struct window {
	size_t from, to;
};

/* Take the saved input of c back into the shared buffer. */
static struct window
load(struct conn *c)
{
	struct window w = { 0, c->nin };

	if (c->in != NULL)
		memcpy(in, c->in, c->nin);
	free(c->in);
	c->in = NULL;
	c->nin = 0;
	c->q.base = in;
	wire_at = 0;
	nwire = c->nwire;
	if (c->wire != NULL)
		memcpy(wire, c->wire, nwire);
	free(c->wire);
	c->wire = NULL;
	c->nwire = 0;
	return w;
}

/* A copy of n bytes until the next run; NULL: none, or c is dead. */
static char *
keep(struct conn *c, const char *p, size_t n)
{
	char *copy = n > 0 && c->state != CONN_DEAD ? malloc(n) : NULL;

	if (copy != NULL)
		memcpy(copy, p, n);
	else if (n > 0)
		conn_kill(c, "no memory for what waits");
	return copy;
}

/* Keep what the connection has not done with. */
static void
save(struct conn *c, struct window w)
{
	if (w.to > w.from) {
		c->in = keep(c, in + w.from, w.to - w.from);
		c->nin = (uint32_t)(w.to - w.from);
		c->q.base = c->in;
	}
	if (nwire > wire_at) {
		c->wire = keep(c, wire + wire_at, nwire - wire_at);
		c->nwire = (uint32_t)(nwire - wire_at);
	}
	if (nout > 0) {
		assert(c->out == NULL);	/* older bytes went first */
		c->out = keep(c, out, nout);
		c->outoff = 0;
		c->nout = (uint32_t)nout;
	}
}

/* recv(2), through TLS where that is.  `*drained`: nothing is left to read. */
static ssize_t
take(struct conn *c, char *dst, size_t room, bool *drained)
{
	unsigned char *p;
	size_t n;
	ssize_t k;

	if (c->tls == NULL) {
		k = recv(c->fd, dst, room, 0);
		*drained = k < (ssize_t)room;	/* also when there was nothing */
		return k;
	}
	for (;;) {
		n = tls_app_in(c->tls, &p);
		if (n > 0) {
			n = n < room ? n : room;
			memcpy(dst, p, n);
			tls_app_in_done(c->tls, n);
			return (ssize_t)n;
		}
		if (tls_state(c->tls) == TLS_CLOSED)
			return 0;
		/* its Finished goes out before the engine reads on: a record
		 * that came with the client's is no error, but would be one */
		n = tls_state(c->tls) == TLS_HANDSHAKE &&
		    tls_rec_out(c->tls, &p) > 0 ? 0 : tls_rec_in(c->tls, &p);
		if (n == 0 || (wire_at == nwire && *drained)) {
			errno = EAGAIN;	/* or it has to say something first */
			return -1;
		}
		if (wire_at == nwire) {
			/* it wants a record's header, then its content: both
			 * have come by now, in one recv */
			k = recv(c->fd, wire, sizeof wire, 0);
			*drained = k < (ssize_t)sizeof wire;
			if (k <= 0)
				return k;
			wire_at = 0;
			nwire = (size_t)k;
		}
		if (!c->greeted && wire[0] != TLS_RECORD) {
			/* no TLS at all: answer in what it does speak */
			n = nwire < room ? nwire : room;
			memcpy(dst, wire, n);
			wire_at = nwire;
			tls_free(c->tls);
			c->tls = NULL;
			c->plain = true;
			return (ssize_t)n;
		}
		c->greeted = true;
		n = n < nwire - wire_at ? n : nwire - wire_at;
		memcpy(p, wire + wire_at, n);
		wire_at += n;
		tls_rec_in_done(c->tls, n);
	}
}

/* Is there something that take() would not get from the socket?  A record may
 * hold more than was taken of it, and the last one may be a farewell. */
static bool
unread(const struct conn *c)
{
	unsigned char *p;

	return wire_at < nwire || tls_app_in(c->tls, &p) > 0 ||
	    tls_state(c->tls) == TLS_CLOSED;
}

/* Read more into w.  False: nothing came, or the connection is dead. */
static bool
receive(struct conn *c, struct window *w, bool *drained)
{
	ssize_t n;

	if (w->from > 0) {	/* the rest of a head, at most HEAD_MAX */
		memmove(in, in + w->from, w->to - w->from);
		w->to -= w->from;
		w->from = 0;
		c->q.base = in;
	}
	n = take(c, in + w->to, sizeof in - w->to, drained);
	if (n > 0) {
		w->to += (size_t)n;
		return true;
	}
	if (n == 0 && c->tls != NULL && tls_state(c->tls) == TLS_CLOSED) {
		c->closing = true;	/* an alert or close_notify is owed */
	} else if (n == 0) {
		c->eof = true;
		conn_kill(c, "end of input");
	} else if (errno != EAGAIN && errno != EINTR) {
		conn_kill(c, "recv");
	}
	return false;
}

/* The request at the front of w is answered: on to the next one.  What is in
 * out of its content counts as sent. */
static void
next_request(struct conn *c, struct window *w)
{
	c->sent += (int64_t)nout - c->head_left;
	done(c);
	w->from += c->q.pos;
	c->q.base = in + w->from;
	http_reset(&c->q);
}

/* It is idle and we are about to end.  A session needs a round trip to be told.
 * A client of HTTP/1.1 cannot be told before its next answer, and who asked a
 * moment ago may be asking again right now (RFC 9112 9.3.1): it gets that
 * moment. */
static void
hasten(struct conn *c)
{
	int64_t end = (c->h2 ? log_ms : c->idle_at) + FRESH_MS;

	if (c->deadline > end)
		c->deadline = end;
}

/* Where the connection stands once it has run and waits again. */
static void
settle(struct conn *c, struct window w, bool worked)
{
	save(c, w);
	if (c->state == CONN_DEAD)
		return;
	if (c->replying || c->waiting || c->out != NULL || c->blocked ||
	    c->closing ||
	    (c->h2 != NULL && h2_streams(c->h2) > 0)) {
		if (c->state != CONN_REPLY)
			move(c, CONN_REPLY);
	} else if (c->nin > 0) {
		/* bytes do not extend the head's deadline, a new head does */
		if (c->state != CONN_HEAD || worked)
			move(c, CONN_HEAD);
	} else if (!c->fresh) {
		if (c->state != CONN_IDLE || worked) {
			move(c, CONN_IDLE);
			c->idle_at = log_ms;
		}
		if (draining)
			hasten(c);
		c->parked = c->tls == NULL;
		if (!c->parked && park_at == 0)
			park_at = log_ms + PARK_MS;
	}
}

/* What the first bytes of a connection say it speaks.  False: not enough of
 * them yet, or the connection is dead. */
static bool
protocol(struct conn *c, const struct window *w)
{
	const char *alpn = c->tls ? tls_alpn(c->tls) : NULL;
	size_t n = w->to - w->from;

	if (!c->fresh || c->h2 != NULL || !conf.http2)
		return true;
	if (c->tls != NULL ? alpn == NULL || strcmp(alpn, "h2") != 0 :
	    memcmp(in + w->from, preface, n < PREFACE ? n : PREFACE) != 0)
		return true;
	if (c->tls == NULL && n < PREFACE)
		return false;
	c->h2 = h2_new(&c->peer.sa, c->redirect, c->tls != NULL);
	if (c->h2 == NULL) {
		conn_kill(c, "no memory for a session");
		return false;
	}
	metrics_protocol(2, c->tls != NULL);
	c->fresh = false;
	if (draining)
		h2_drain(c->h2, false);
	return true;
}

/* Is what a connection began with no HTTP of any version?  A client of HTTP/2
 * that got its preface wrong could not read an answer of HTTP/1.1. */
static bool
no_http(const struct conn *c)
{
	return c->fresh && conf.http2 && c->q.line.len > 0 &&
	    memchr(c->q.base + c->q.line.off, '/', c->q.line.len) == NULL;
}

/* The request in c->q was read, or could not be (rc is a status).  False: the
 * answer has to wait. */
static bool
answer(struct conn *c, int rc)
{
	if (c->fresh)
		metrics_protocol(1, c->tls != NULL);
	c->fresh = false;
	if (!c->waiting)
		c->began = log_turn;
	c->q.peer = &c->peer.sa;
	c->q.tls = c->tls != NULL;
	c->q.version = 1;
	c->q.redirect = c->redirect;
	if (rc == 1) {
		c->waiting = !site_answer(&c->q, &resp);
		if (c->waiting)
			return false;
	} else {
		site_error(&c->q, &resp, rc);
	}
	reply(c);
	return true;
}

/* Answer the requests in w.  SENT: more input is wanted. */
static enum flushed
run_h1(struct conn *c, struct window *w, int error, int64_t *budget)
{
	enum flushed f = SENT;
	int rc;

	for (;;) {
		/* older bytes first; a log line says what was sent, but
		 * without one replies may wait for each other in out */
		if (c->out != NULL || (c->replying && (c->closing ||
		    conf.access_log || c->body.len > 0 ||
		    nout > sizeof out - RESP_FIELDS - 1024)))
			f = flush(c, budget);
		if (f != SENT)
			return f;
		if (c->replying)
			next_request(c, w);
		if (c->closing)
			return flush(c, budget);
		rc = error;
		if (*budget <= 0)	/* the rest has its turn later */
			rc = -1;
		else if (c->waiting)
			rc = 1;
		else if (rc == 0 && w->to > w->from && protocol(c, w))
			rc = c->h2 ? 0 : http_parse(&c->q, w->to - w->from);
		if (c->state == CONN_DEAD)
			return KILLED;
		if (rc <= 0) {
			f = flush(c, budget);
			return f == SENT && rc < 0 ? SPENT : f;
		}
		if (rc == 400 && no_http(c)) {
			c->closing = true;
			continue;
		}
		/* what is cheap in bytes still takes time */
		*budget -= 512;
		if (!answer(c, rc)) {
			f = flush(c, budget);
			ours(c);
			return f == SENT ? SPENT : f;
		}
	}
}

/* Give the frames in w to the session and send what it has to say. */
static enum flushed
run_h2(struct conn *c, struct window *w, int64_t *budget)
{
	enum flushed f;

	if (w->to > w->from && !c->closing && !c->ending) {
		if (h2_input(c->h2, in + w->from, w->to - w->from) < 0)
			c->ending = true;
		*budget -= 512;
	}
	w->from = w->to;
	f = flush(c, budget);
	if (f == SENT && c->ending)
		c->closing = true;
	return f;
}

/* All is sent and nothing more will be: end it so that it can be read. */
static enum flushed
finish(struct conn *c, int64_t *budget)
{
	enum flushed f = SENT;

	if (c->tls != NULL && !c->notified) {
		c->notified = true;
		tls_close(c->tls);
		f = flush(c, budget);
	}
	if (f == SENT)
		linger(c);
	return f;
}

/* Serve c until its socket or its budget says no.  `bits` is what the socket is
 * ready for; `error`, if not 0, is what the client gets instead of waiting for
 * the rest of its request. */
static void
run(struct conn *c, unsigned bits, int error)
{
	struct window w;
	int64_t budget = BUDGET;
	bool drained = (bits & FD_READ) == 0, worked = false;
	enum flushed f;
	unsigned char *p;

	if (c->again)
		not_again(c);
	if (c->state == CONN_LINGER) {
		discard(c);
		return;
	}
	nout = 0;
	w = load(c);
	for (;;) {
		f = c->h2 ? run_h2(c, &w, &budget) :
		    run_h1(c, &w, c->plain ? PLAIN_ON_TLS : error, &budget);
		if (f == SENT && c->h2 != NULL && w.to > w.from)
			continue;	/* it has just become HTTP/2 */
		worked |= budget < BUDGET;
		if (f == SENT && c->closing)
			f = finish(c, &budget);
		if (f == KILLED || c->state == CONN_DEAD ||
		    c->state == CONN_LINGER)
			return;
		if (f == SPENT || c->closing || (f == BLOCKED && !c->h2) ||
		    (c->h2 && !h2_wants_input(c->h2)))
			break;
		if (drained && (c->tls == NULL || !unread(c)))
			break;
		if (!receive(c, &w, &drained)) {
			if (c->state == CONN_DEAD)
				return;
			/* TLS may have to answer, or to take leave */
			if (!c->closing && (c->tls == NULL ||
			    tls_rec_out(c->tls, &p) == 0))
				break;
		}
		if (worked)
			file_turn();	/* as in add() */
	}
	settle(c, w, worked);
	if (c->state == CONN_DEAD)
		return;
	if (f == SENT && c->h2 != NULL && h2_later(c->h2)) {
		ours(c);
		again(c, h2_makes(c->h2));
	} else if (f == SPENT) {
		again(c, !c->waiting);
	}
}

static void
serve(struct conn *c, unsigned bits, int error)
{
	if (c->state == CONN_DEAD)
		return;	/* by an earlier event of the same batch */
	run(c, bits, error);
	watch(c);
}

static void
serve_again(void)
{
	struct conn *c, *list = again_list, *next;

	again_list = NULL;
	hurry = false;
	for (c = list; c != NULL; c = next) {
		next = c->link;
		c->again = false;
		serve(c, 0, 0);
	}
}

/* ---- accepting ---------------------------------------------------------------- */

static struct conn *
add(const struct listener *l, int fd, const struct sockaddr *sa, socklen_t len)
{
	struct conn *c = free_list;

	free_list = c->link;
	nused++;
	metrics_conn(1);
	memset(c, 0, sizeof *c);
	c->fd = fd;
	c->fresh = true;
	c->redirect = l->redirect;
	c->peer.sa.sa_family = AF_UNSPEC;
	if ((sa->sa_family == AF_INET || sa->sa_family == AF_INET6) &&
	    len <= sizeof c->peer)
		memcpy(&c->peer, sa, len);
	move(c, CONN_HEAD);
	if (l->tls && (c->tls = tls_new(conf.http2)) == NULL) {
		conn_kill(c, "no TLS engine");
		return NULL;
	}
	return c;
}

/* Have a free slot, if need be by ending whoever is idle longest. */
static bool
slot(void)
{
	if (free_list == NULL && queue[CONN_IDLE].first != NULL) {
		conn_kill(queue[CONN_IDLE].first, "slot needed");
		free_dead();
	}
	return free_list != NULL;
}

static void
accept_from(struct listener *l)
{
	union {
		struct sockaddr sa;
		struct sockaddr_storage space;
	} peer;
	struct conn *c;
	socklen_t len;
	int fd, i;

	for (i = 0; i < ACCEPT_BATCH && slot(); i++) {
		len = sizeof peer;
		fd = fd_accept(l->fd, &peer.sa, &len);
		if (fd >= 0) {
			if (l->early)
				fd_nodelay(fd);
			c = add(l, fd, &peer.sa, len);
			/* the request is often there already; it may have been
			 * sent after a change that came after this turn's look
			 * at the files */
			file_turn();
			if (c != NULL)
				serve(c, FD_READ, 0);
			free_dead();
			continue;
		}
		if (errno == EAGAIN) {
			l->early = false;
			return;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		/* no descriptors or no memory: others end and make room */
		if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS &&
		    errno != ENOMEM)
			warn("%s: accept: %s", l->origin[0] ? l->origin :
			    "listener", strerror(errno));
		if (queue[CONN_IDLE].first != NULL)
			conn_kill(queue[CONN_IDLE].first, "descriptor needed");
		accept_after = log_ms + RETRY_MS;
		return;
	}
}

/* Watch the listeners when and only when a connection could be taken. */
static void
watch_listeners(void)
{
	bool want = accepting && log_ms >= accept_after &&
	    (free_list != NULL || queue[CONN_IDLE].first != NULL);
	struct listener *l;

	for (l = listeners; l < listeners + nlisteners; l++)
		if (l->fd >= 0 && !l->single && l->watched != want &&
		    fd_want(l->fd, l->watched ? FD_READ : 0,
		    want ? FD_READ : 0, l) == 0)
			l->watched = want;
}

/* ---- turns ---------------------------------------------------------------------- */

/* End an idle connection, in the words of what it speaks; but what it has sent
 * meanwhile is answered. */
static void
dismiss(struct conn *c)
{
	serve(c, FD_READ, 0);
	if (c->state != CONN_IDLE || c->deadline > log_ms)
		return;
	if (c->h2 == NULL && c->tls == NULL) {
		conn_kill(c, "idle");
		return;
	}
	if (c->h2 != NULL)
		h2_drain(c->h2, true);
	c->closing = true;
	serve(c, 0, 0);
	if (c->state == CONN_IDLE)
		conn_kill(c, "idle, and would not go");
}

/* Give back the buffers of who has been idle for a while; doing so between any
 * two requests costs more than the handling of a small one.  The newest are at
 * the end of the queue: behind the first that is parked, all are. */
static void
park(void)
{
	struct conn *c;

	park_at = 0;
	for (c = queue[CONN_IDLE].last; c != NULL; c = c->prev) {
		if (c->tls != NULL && c->parked)
			break;
		if (c->parked)
			continue;	/* plain, nothing to give */
		if (log_ms - c->idle_at < PARK_MS) {
			park_at = c->idle_at + PARK_MS;
			continue;
		}
		tls_park(c->tls);
		c->parked = true;
	}
}

static void
expire(void)
{
	struct conn *c, *next;

	if (park_at != 0 && log_ms >= park_at)
		park();

	for (c = queue[CONN_HEAD].first; c != NULL; c = next) {
		next = c->next;
		/* draining, those who have not begun get less time */
		if (c->deadline <= log_ms && c->nin > 0)
			serve(c, 0, 408);
		else if (c->deadline <= log_ms)
			conn_kill(c, "no request");
		else if (!draining)
			break;
	}
	for (c = queue[CONN_IDLE].first; c != NULL; c = next) {
		next = c->next;
		if (c->deadline <= log_ms)
			dismiss(c);
		else if (!draining)
			break;
	}
	while ((c = queue[CONN_REPLY].first) != NULL && c->deadline <= log_ms)
		conn_kill(c, "client takes nothing");
	while ((c = queue[CONN_LINGER].first) != NULL && c->deadline <= log_ms)
		conn_kill(c, "lingered long enough");
}

/* Milliseconds until something is due, at most ms. */
static int64_t
until_due(int64_t ms)
{
	const struct conn *c;
	int64_t due = INT64_MAX, left;
	enum conn_state s;

	if (again_list != NULL && hurry)
		return 0;
	if (again_list != NULL)
		due = log_ms + NAP_MS;
	for (s = CONN_HEAD; s <= CONN_LINGER; s++)
		for (c = queue[s].first; c != NULL; c = c->next) {
			if (c->deadline < due)
				due = c->deadline;
			if (!draining || s > CONN_IDLE)
				break;
		}
	if (accepting && accept_after > log_ms && accept_after < due)
		due = accept_after;
	if (park_at != 0 && park_at < due)
		due = park_at;
	if (due == INT64_MAX)
		return ms;
	left = due > log_ms ? due - log_ms : 0;
	return ms < 0 || left < ms ? left : ms;
}

void
conn_turn(int64_t ms)
{
	static struct fd_event ev[256];
	struct listener *ready[LISTENERS_MAX];
	unsigned nready = 0;
	int i, n;

	retime();
	watch_listeners();
	n = fd_wait(ev, 256, until_due(ms));
	log_clock();
	file_turn();
	auth_turn();
	for (i = 0; i < n; i++) {
		struct conn *c = ev[i].tag;
		struct listener *l = ev[i].tag;

		if (c >= conns && c < conns + nconns)
			serve(c, ev[i].bits, 0);
		else if (nready < LISTENERS_MAX)
			ready[nready++] = l;
	}
	serve_again();
	expire();
	free_dead();
	while (nready > 0)
		accept_from(ready[--nready]);
	log_dropped();
}

void
conn_init(struct listener *l, unsigned n, unsigned max)
{
	union {
		struct sockaddr sa;
		struct sockaddr_storage space;
	} peer;
	struct conn *c;
	socklen_t len;
	unsigned i;

	listeners = l;
	nlisteners = n;
	nconns = max;
	conns = calloc(max, sizeof *conns);
	if (conns == NULL)
		die(1, "no memory for %u connections", max);
	for (i = max; i-- > 0;) {
		conns[i].fd = -1;
		conns[i].link = free_list;
		free_list = &conns[i];
	}
	idle_since = log_ms;
	for (i = 0; i < n && free_list != NULL; i++) {
		if (!l[i].single)
			continue;
		len = sizeof peer;
		memset(&peer, 0, sizeof peer);
		getpeername(l[i].fd, &peer.sa, &len);
		/* it is listened to in the first turn only, in the box */
		c = add(&l[i], l[i].fd, &peer.sa, len);
		if (c != NULL)
			watch(c);
		l[i].fd = -1;
	}
	free_dead();
}

void
conn_stop(void)
{
	unsigned i;

	/* who is in the queue by now was promised an answer by the kernel; a
	 * listener that others hold keeps its queue for them */
	for (i = 0; accepting && i < nlisteners; i++)
		if (listeners[i].fd >= 0 && !listeners[i].single &&
		    listeners[i].origin[0] == '\0')
			accept_from(&listeners[i]);
	accepting = false;
	watch_listeners();
}

unsigned
conn_last_call(void)
{
	unsigned i;

	for (i = 0; i < nlisteners; i++)
		if (listeners[i].fd >= 0 && !listeners[i].single)
			accept_from(&listeners[i]);
	return nused;
}

void
conn_drain(void)
{
	struct conn *c, *next, *last;

	draining = true;
	/* serving moves to the end of a queue: stop where it ends now */
	last = queue[CONN_IDLE].last;
	for (c = queue[CONN_IDLE].first; c != NULL; c = next) {
		next = c == last ? NULL : c->next;
		if (c->h2 != NULL)
			h2_drain(c->h2, false);
		/* a request may have come since the last turn */
		serve(c, FD_READ, 0);
		if (c->state == CONN_IDLE)
			hasten(c);
	}
	last = queue[CONN_REPLY].last;
	for (c = queue[CONN_REPLY].first; c != NULL; c = next) {
		next = c == last ? NULL : c->next;
		if (c->h2 == NULL)
			continue;
		h2_drain(c->h2, false);
		serve(c, 0, 0);
	}
	/* the same for who has not begun, but not for a handshake under way */
	for (c = queue[CONN_HEAD].first; c != NULL; c = c->next)
		if (c->nin == 0 && c->deadline > log_ms + FRESH_MS &&
		    (!c->greeted || tls_state(c->tls) != TLS_HANDSHAKE))
			c->deadline = log_ms + FRESH_MS;
	free_dead();
}

unsigned
conn_count(void)
{
	return nused;
}

int64_t
conn_idle_since(void)
{
	return idle_since;
}

void
conn_end(void)
{
	enum conn_state s;

	for (s = CONN_HEAD; s <= CONN_LINGER; s++)
		while (queue[s].first != NULL)
			conn_kill(queue[s].first, "the end");
	free_dead();
	free(conns);
	conns = NULL;
	nconns = 0;
}
