/* h2.c - HTTP/2 on the wire: frames to struct req, struct resp to frames.
 *
 *	 HEADERS       all fields        answered         END_STREAM sent
 *	---------> HEAD ---------> WAIT ----------> REPLY ---------> LINGER
 *	                           | ^  a file slot                    |
 *	              "not now"    v |  next turn                      |
 *	                          LATER                                |
 *	     content goes on, or too many linger: RST_STREAM NO_ERROR  v
 *	any state: nghttp2 closed the stream --> freed               ENDED
 *
 * Never sees a socket.  A request's fields are written down as an HTTP/1.1
 * head and go through http.c, so that both protocols refuse the same things.
 * nghttp2 does frames, HPACK, flow control and RFC 9113's rules for fields;
 * what it lets a client do without end is counted here, frame by frame, before
 * it sees them. */
#include "sws.h"

#ifndef NO_HTTP2
#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const bool h2_there = true;

enum stream_state { S_HEAD, S_WAIT, S_LATER, S_REPLY, S_LINGER, S_ENDED,
	NSTATES };

enum {
	HD = 9,			/* a frame's header, RFC 9113 4.1 */
	TEXT_MAX = 2 * HEAD_MAX,	/* pseudo fields stand there twice */
	SMALL = 896,		/* most heads fit without an allocation */
	CONTINUATIONS = 8,	/* a header block; nghttp2's number */
	MADE_CAP = 16384,	/* asked of a source, once a turn, whatever the
				   client has room for */
	NV_MAX = 64,
};

enum pseudo { P_METHOD, P_SCHEME, P_AUTHORITY, P_PATH, NPSEUDO };
static const char *const pseudo_name[NPSEUDO] = { ":method", ":scheme",
	":authority", ":path" };

struct stream {
	struct stream *prev, *next;	/* in the list of its state */
	uint8_t state;		/* enum stream_state; only move() assigns */
	bool begun;		/* the request line is written */
	bool mismatch;		/* Host is not :authority */
	bool holds_file;	/* counted in nfiles */
	bool deferred;		/* counted in ndeferred: no more in this turn */
	int32_t id;
	uint32_t listed;	/* header list size, RFC 9113 6.5.2 */
	uint32_t content;	/* bytes of it that came */
	struct span pseudo[NPSEUDO];	/* of text */
	size_t n, cap;		/* of text */
	size_t line, version;	/* offsets in text: request line, "HTTP/1.1" */
	int status;
	int64_t began;		/* microseconds; when q was complete */
	int64_t since;		/* ms: lingers */
	int64_t sent;		/* bytes of the content */
	struct req q;
	struct body body;	/* owned */
	char *made;		/* owned: MADE_CAP bytes for a source, or NULL */
	size_t nmade, madeoff;	/* said and not yet taken */
	char *text;		/* owned unless small */
	char small[SMALL];
};

/* So many now, so many more a second; in thousandths. */
struct bucket {
	int64_t left, at;
};

struct h2 {
	nghttp2_session *ng;	/* owned */
	struct {
		struct stream *first, *last;
		unsigned n;
	} list[NSTATES];
	struct bucket resets, frames;
	unsigned nfiles;
	unsigned ndeferred;	/* streams whose source goes on next turn */
	int64_t turn;		/* log_turn when those did last */
	unsigned continuations;
	int32_t last_id;	/* highest stream the client opened */
	uint32_t magic, left;	/* bytes to come: preface, frame's payload */
	unsigned nhd;
	uint8_t hd[HD];		/* a frame header that comes in pieces */
	bool redirect;		/* its listener sends to https */
	bool tls;
	bool over;		/* takes no more input */
	bool dead;		/* nothing can be sent either */
	bool draining, last_call;	/* first GOAWAY queued; the second */
	uint8_t *out;		/* h2_output's window while it runs */
	size_t nout, cap;
	const struct sockaddr *peer;	/* the caller's */
};

static struct stream *spare;	/* by next; kept for the next request */
static unsigned nspare;
static struct resp resp;

/* ---- streams ------------------------------------------------------------ */

static void
unlist(struct h2 *h, struct stream *s)
{
	*(s->prev ? &s->prev->next : &h->list[s->state].first) = s->next;
	*(s->next ? &s->next->prev : &h->list[s->state].last) = s->prev;
	h->list[s->state].n--;
}

static void
list(struct h2 *h, struct stream *s, enum stream_state to)
{
	s->state = (uint8_t)to;
	s->next = NULL;
	s->prev = h->list[to].last;
	*(s->prev ? &s->prev->next : &h->list[to].first) = s;
	h->list[to].last = s;
	h->list[to].n++;
}

static void
move(struct h2 *h, struct stream *s, enum stream_state to)
{
	unlist(h, s);
	list(h, s, to);
}

static struct stream *
stream_new(struct h2 *h, int32_t id)
{
	struct stream *s = spare;

	if (s != NULL) {
		spare = s->next;
		nspare--;
	} else if ((s = malloc(sizeof *s)) == NULL) {
		return NULL;
	}
	memset(s, 0, offsetof(struct stream, small));
	s->id = id;
	s->text = s->small;
	s->cap = sizeof s->small;
	list(h, s, S_HEAD);
	return s;
}

static void
defer(struct h2 *h, struct stream *s, bool yes)
{
	if (s->deferred)
		h->ndeferred--;
	s->deferred = yes;
	if (yes)
		h->ndeferred++;
}

/* Nothing more of the content is needed. */
static void
release(struct h2 *h, struct stream *s)
{
	if (s->holds_file)
		h->nfiles--;
	s->holds_file = false;
	defer(h, s, false);
	free(s->made);
	s->made = NULL;
	body_end(&s->body);
}

/* The reply is over, or will not be. */
static void
done(struct h2 *h, struct stream *s)
{
	if (s->state != S_REPLY)
		return;
	release(h, s);
	site_done(&s->q, s->status, s->sent, s->began);
	move(h, s, S_ENDED);
}

static void
stream_free(struct h2 *h, struct stream *s)
{
	done(h, s);
	unlist(h, s);
	if (s->text != s->small)
		free(s->text);
	if (nspare >= 2 * H2_STREAMS) {
		free(s);
		return;
	}
	s->next = spare;
	spare = s;
	nspare++;
}

/* ---- the end of a session ----------------------------------------------- */

/* Tell the client why and take nothing more from it. */
static void
end(struct h2 *h, uint32_t code, const char *why)
{
	if (h->over)
		return;
	debug("http/2: %s", why);
	h->over = true;
	if (nghttp2_session_terminate_session(h->ng, code) != 0)
		h->dead = true;
}

/* Take one of a bucket.  False: it is empty. */
static bool
take(struct bucket *b, int64_t burst, int64_t a_second)
{
	b->left += (log_ms - b->at) * a_second;
	b->at = log_ms;
	if (b->left > burst * 1000)
		b->left = burst * 1000;
	b->left -= 1000;
	return b->left >= 0;
}

/* ---- fields to a request ------------------------------------------------ */

/* Room for n more bytes of text.  False: longer than a head that is answered
 * with more than a status, or no memory. */
static bool
room(struct stream *s, size_t n)
{
	size_t cap = s->cap;
	char *text;

	if (n > TEXT_MAX - s->n)
		return false;
	while (cap < s->n + n)
		cap *= 2;
	if (cap == s->cap)
		return true;
	text = realloc(s->text == s->small ? NULL : s->text, cap);
	if (text == NULL)
		return false;
	if (s->text == s->small)
		memcpy(text, s->small, s->n);
	s->text = text;
	s->cap = cap;
	return true;
}

static bool
put(struct stream *s, const void *p, size_t n)
{
	if (!room(s, n))
		return false;
	memcpy(s->text + s->n, p, n);
	s->n += n;
	return true;
}

static bool
put_pseudo(struct stream *s, enum pseudo which)
{
	struct span v = s->pseudo[which];

	/* room() may move the text, so it comes before looking */
	return room(s, v.len) && put(s, s->text + v.off, v.len);
}

/* The pseudo fields are complete: write "METHOD target HTTP/1.1" and Host. */
static bool
begin(struct stream *s)
{
	bool ok;

	s->begun = true;
	s->line = s->n;
	/* RFC 9113 8.5: CONNECT has no path, its target is the authority */
	ok = put_pseudo(s, P_METHOD) && put(s, " ", 1) && put_pseudo(s,
	    s->pseudo[P_PATH].len > 0 ? P_PATH : P_AUTHORITY);
	ok = ok && put(s, " HTTP/1.1\r\n", 11);
	s->version = ok ? s->n - 10 : 0;
	if (s->pseudo[P_AUTHORITY].len > 0)
		ok = ok && put(s, "host: ", 6) && put_pseudo(s, P_AUTHORITY) &&
		    put(s, "\r\n", 2);
	return ok;
}

static bool
add_pseudo(struct stream *s, const char *name, const void *value, size_t n)
{
	int i;

	for (i = 0; i < NPSEUDO; i++)
		if (strcmp(name, pseudo_name[i]) == 0) {
			s->pseudo[i] = (struct span){ (uint16_t)s->n,
			    (uint16_t)n };
			return put(s, value, n);
		}
	return true;	/* nghttp2 refuses those it does not know */
}

static bool
add_field(struct stream *s, const char *name, size_t nname, const char *value,
    size_t n)
{
	struct span a = s->pseudo[P_AUTHORITY];

	if (!s->begun && !begin(s))
		return false;
	if (a.len > 0 && nname == 4 && memcmp(name, "host", 4) == 0) {
		/* RFC 9113 8.3.1: two names of one host are a trick */
		s->mismatch |= n != a.len ||
		    strncasecmp(s->text + a.off, value, n) != 0;
		return true;
	}
	return put(s, name, nname) && put(s, ": ", 2) && put(s, value, n) &&
	    put(s, "\r\n", 2);
}

/* What the head of s is worth: 1 or a status, as http_parse() says. */
static int
parse(struct stream *s)
{
	struct span scheme = s->pseudo[P_SCHEME], path = s->pseudo[P_PATH];
	bool whole;
	int rc;

	whole = (s->begun || begin(s)) && put(s, "\r\n", 2) &&
	    s->listed <= HEAD_MAX;
	s->q.base = s->text + s->line;
	http_reset(&s->q);
	rc = http_parse(&s->q, s->n - s->line);
	if (s->version > 0)	/* for the log */
		memcpy(s->text + s->version, "HTTP/2.0", 8);
	if (!whole || rc == 0)
		return 431;
	if (rc != 1)
		return rc;
	if (scheme.len > 0 && (scheme.len < 4 || scheme.len > 5 ||
	    strncasecmp(s->text + scheme.off, "https", scheme.len) != 0))
		return 400;
	/* HTTP/1.1 lets a target bring its own authority, this does not */
	if (path.len > 0 && s->text[path.off] != '/' &&
	    (path.len > 1 || s->text[path.off] != '*'))
		return 400;
	return s->mismatch ? 400 : 1;
}

/* ---- an answer to fields ------------------------------------------------ */

/* Add the lines "name: value\r\n" of p..p+n to nv. */
static size_t
fields(nghttp2_nv *nv, size_t k, const char *p, size_t n)
{
	const char *end_ = p + n, *colon, *cr;

	for (; p < end_ && k < NV_MAX; p = cr + 2) {
		cr = memchr(p, '\r', (size_t)(end_ - p));
		colon = memchr(p, ':', (size_t)(end_ - p));
		if (cr == NULL || colon == NULL || colon + 2 > cr)
			break;
		nv[k].name = (uint8_t *)(uintptr_t)p;
		nv[k].namelen = (size_t)(colon - p);
		nv[k].value = (uint8_t *)(uintptr_t)(colon + 2);
		nv[k].valuelen = (size_t)(cr - colon - 2);
		nv[k++].flags = NGHTTP2_NV_FLAG_NONE;
	}
	return k;
}

/* Up to len bytes of what a source says.  *all: there is no more.  -1: it
 * failed. */
static ssize_t
made(struct h2 *h, struct stream *s, uint8_t *dst, size_t len, bool *all)
{
	size_t n = 0, k;
	ssize_t got;

	while (n < len) {
		k = s->nmade < len - n ? s->nmade : len - n;
		memcpy(dst + n, s->made + s->madeoff, k);
		s->madeoff += k;
		s->nmade -= k;
		n += k;
		if (s->nmade > 0 || s->body.len == 0 || s->deferred)
			break;
		got = body_read(&s->body, s->made, MADE_CAP);
		if (got < 0 && got != SOURCE_LATER)
			return -1;
		s->madeoff = 0;
		s->nmade = got > 0 ? (size_t)got : 0;
		defer(h, s, s->body.len > 0);
	}
	*all = s->nmade == 0 && s->body.len == 0;
	return (ssize_t)n;
}

/* Up to len bytes of a file or of memory. */
static ssize_t
read_body(struct stream *s, uint8_t *dst, size_t len, bool *all)
{
	size_t n = 0;
	ssize_t k;

	while (n < len && s->body.len > 0) {
		k = body_read(&s->body, dst + n, len - n);
		if (k < 0)
			return -1;
		n += (size_t)k;
	}
	*all = s->body.len == 0;
	return (ssize_t)n;
}

/* nghttp2 wants up to `len` bytes of the content: put them where they are to be
 * sent, behind the room for their frame's header. */
static ssize_t
on_content(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t len,
    uint32_t *flags, nghttp2_data_source *source, void *user)
{
	struct h2 *h = user;
	struct stream *s = source->ptr;
	size_t left = h->cap - h->nout;
	uint8_t *dst = h->out + h->nout + HD;
	ssize_t n;
	bool all;

	(void)ng, (void)id, (void)buf;
	if (s->made == NULL && s->body.len < (off_t)len &&
	    s->body.parts == NULL)
		len = (size_t)s->body.len;
	/* a short frame costs as much as a long one: wait for more room */
	if (left < HD + len && left < HD + H2_CONTENT / 4)
		return NGHTTP2_ERR_PAUSE;
	if (len > left - HD)
		len = left - HD;
	n = s->made != NULL ? made(h, s, dst, len, &all) :
	    read_body(s, dst, len, &all);
	if (n < 0) {
		debug("http/2: content that ends too early");
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	}
	if (n == 0 && !all)
		return NGHTTP2_ERR_DEFERRED;
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (all) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		release(h, s);	/* its file may serve the next */
	}
	return n;
}

/* The content is there already, see on_content(): its header. */
static int
on_send_data(nghttp2_session *ng, nghttp2_frame *f, const uint8_t *hd, size_t n,
    nghttp2_data_source *source, void *user)
{
	struct h2 *h = user;
	struct stream *s = source->ptr;

	(void)ng, (void)f;
	memcpy(h->out + h->nout, hd, HD);
	h->nout += HD + n;
	s->sent += (int64_t)n;
	/* a client may acknowledge what it gets in small steps */
	h->frames.left += (int64_t)n;
	return 0;
}

/* Queue the answer in resp. */
static void
reply(struct h2 *h, struct stream *s)
{
	nghttp2_data_provider content = { .source.ptr = s,
	    .read_callback = on_content };
	nghttp2_nv nv[NV_MAX];
	char status[24];
	size_t k;
	int rc;

	move(h, s, S_REPLY);
	s->status = resp.status;
	s->body = resp.body;
	status[0] = (char)('0' + resp.status / 100 % 10);
	status[1] = (char)('0' + resp.status / 10 % 10);
	status[2] = (char)('0' + resp.status % 10);
	nv[0] = (nghttp2_nv){ (uint8_t *)(uintptr_t)":status",
	    (uint8_t *)status, 7, 3, NGHTTP2_NV_FLAG_NONE };
	k = fields(nv, 1, log_date, log_datelen);
	k = fields(nv, k, resp.shared.p, resp.shared.n);
	k = fields(nv, k, resp.fields, resp.n);
	rc = 0;
	if (s->body.source != NULL && (s->made = malloc(MADE_CAP)) == NULL)
		rc = NGHTTP2_ERR_NOMEM;
	/* nghttp2 copies the fields into the block that it allocates anyway */
	if (rc == 0)
		rc = nghttp2_submit_response(h->ng, s->id, nv, k,
	    s->body.len > 0 ? &content : NULL);
	if (rc != 0) {
		debug("http/2: response: %s", nghttp2_strerror(rc));
		nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, s->id,
		    NGHTTP2_INTERNAL_ERROR);
		done(h, s);
		return;
	}
	if (s->body.len == 0) {
		body_end(&s->body);
	} else if (s->body.source != NULL ||
	    (s->body.file != NULL && s->body.file->fd >= 0)) {
		s->holds_file = true;
		h->nfiles++;
	}
}

/* Answer who waits, while the files allow it. */
static void
answer_waiting(struct h2 *h)
{
	struct stream *s;

	while (h->nfiles < H2_FILES && (s = h->list[S_WAIT].first) != NULL)
		if (site_answer(&s->q, &resp))
			reply(h, s);
		else
			move(h, s, S_LATER);
}

/* Is this another turn?  Then go on with what was put off. */
static void
next_turn(struct h2 *h)
{
	struct stream *s;

	if (h->turn == log_turn)
		return;
	h->turn = log_turn;
	while ((s = h->list[S_LATER].first) != NULL)
		move(h, s, S_WAIT);
	for (s = h->list[S_REPLY].first; s != NULL && h->ndeferred > 0;
	    s = s->next)
		if (s->deferred) {
			defer(h, s, false);
			nghttp2_session_resume_data(h->ng, s->id);
		}
}

/* ---- what nghttp2 tells ------------------------------------------------- */

static struct stream *
find(struct h2 *h, int32_t id)
{
	return nghttp2_session_get_stream_user_data(h->ng, id);
}

static int
on_begin_headers(nghttp2_session *ng, const nghttp2_frame *f, void *user)
{
	struct h2 *h = user;
	struct stream *s;

	if (f->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	s = stream_new(h, f->hd.stream_id);
	if (s == NULL)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	return nghttp2_session_set_stream_user_data(ng, s->id, s);
}

static int
on_header(nghttp2_session *ng, const nghttp2_frame *f, const uint8_t *name,
    size_t nname, const uint8_t *value, size_t n, uint8_t flags, void *user)
{
	struct h2 *h = user;
	struct stream *s = find(h, f->hd.stream_id);

	(void)ng, (void)flags;
	if (s == NULL)
		return 0;
	s->listed += (uint32_t)(nname + n + 32);
	if (s->listed > 4 * HEAD_MAX) {
		/* a few bytes on the wire can name megabytes */
		end(h, NGHTTP2_ENHANCE_YOUR_CALM, "header list without end");
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	}
	if (s->listed > HEAD_MAX || f->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;	/* will be a 431; a trailer is of no use */
	if (!(name[0] == ':' ? add_pseudo(s, (const char *)name, value, n) :
	    add_field(s, (const char *)name, nname, (const char *)value, n)))
		s->listed = HEAD_MAX + 1;
	return 0;
}

static int
on_frame(nghttp2_session *ng, const nghttp2_frame *f, void *user)
{
	struct h2 *h = user;
	struct stream *s;
	int rc;

	(void)ng;
	if (f->hd.type == NGHTTP2_PING && (f->hd.flags & NGHTTP2_FLAG_ACK) &&
	    h->draining)
		h2_drain(h, true);	/* what came before our notice is here */
	if (f->hd.type != NGHTTP2_HEADERS ||
	    f->headers.cat != NGHTTP2_HCAT_REQUEST ||
	    (s = find(h, f->hd.stream_id)) == NULL || s->state != S_HEAD)
		return 0;
	h->frames.left += 8000;	/* a request brings a few frames along */
	rc = parse(s);
	s->began = log_turn;
	s->q.peer = h->peer;
	s->q.tls = h->tls;
	s->q.version = 2;
	s->q.redirect = h->redirect;
	if (rc == 1) {
		move(h, s, S_WAIT);
		answer_waiting(h);
	} else {
		site_error(&s->q, &resp, rc);
		reply(h, s);
	}
	return 0;
}

/* End s, whose content is not wanted; RFC 9113 8.1. */
static void
reset(struct h2 *h, struct stream *s)
{
	move(h, s, S_ENDED);
	nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, s->id,
	    NGHTTP2_NO_ERROR);
}

static int
on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p,
    size_t n, void *user)
{
	struct h2 *h = user;
	struct stream *s = find(h, id);

	(void)ng, (void)flags, (void)p;
	if (s == NULL)
		return 0;
	s->content += (uint32_t)n;
	if (s->state == S_LINGER && s->content > H2_CONTENT)
		reset(h, s);
	return 0;
}

static int
on_frame_sent(nghttp2_session *ng, const nghttp2_frame *f, void *user)
{
	struct h2 *h = user;
	struct stream *s;

	(void)ng;
	if (f->hd.type == NGHTTP2_RST_STREAM &&
	    f->rst_stream.error_code != NGHTTP2_NO_ERROR &&
	    !take(&h->resets, H2_RESETS, H2_RESETS_S))
		end(h, NGHTTP2_ENHANCE_YOUR_CALM, "errors in many streams");
	if ((f->hd.type != NGHTTP2_HEADERS && f->hd.type != NGHTTP2_DATA) ||
	    (f->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0 ||
	    (s = find(h, f->hd.stream_id)) == NULL)
		return 0;
	done(h, s);
	move(h, s, S_LINGER);
	s->since = log_ms;
	return 0;
}

static int
on_close(nghttp2_session *ng, int32_t id, uint32_t code, void *user)
{
	struct h2 *h = user;
	struct stream *s = find(h, id);

	(void)code;
	if (s == NULL)
		return 0;
	nghttp2_session_set_stream_user_data(ng, id, NULL);
	stream_free(h, s);
	return 0;
}

/* nghttp2 has bytes for us; 0 or more, or "not now". */
static ssize_t
on_send(nghttp2_session *ng, const uint8_t *p, size_t n, int flags, void *user)
{
	struct h2 *h = user;

	(void)ng, (void)flags;
	if (n > h->cap - h->nout)
		return NGHTTP2_ERR_WOULDBLOCK;
	memcpy(h->out + h->nout, p, n);
	h->nout += n;
	return (ssize_t)n;
}

/* ---- input -------------------------------------------------------------- */

/* A frame with header p is about to be fed.  False: it is not to be. */
static bool
frame(struct h2 *h, const uint8_t *p)
{
	uint8_t type = p[3];
	int32_t id = (int32_t)((uint32_t)(p[5] & 0x7f) << 24 |
	    (uint32_t)p[6] << 16 | (uint32_t)p[7] << 8 | p[8]);

	h->left = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
	if (type == NGHTTP2_RST_STREAM) {
		if (!take(&h->resets, H2_RESETS, H2_RESETS_S))
			end(h, NGHTTP2_ENHANCE_YOUR_CALM, "rapid reset");
	} else if (type == NGHTTP2_HEADERS && id > h->last_id) {
		h->last_id = id;
		h->continuations = 0;
	} else if (type == NGHTTP2_CONTINUATION) {
		if (++h->continuations > CONTINUATIONS)
			end(h, NGHTTP2_ENHANCE_YOUR_CALM, "continuations");
	} else {
		h->continuations = 0;
		if (!take(&h->frames, H2_FRAMES, H2_FRAMES_S))
			end(h, NGHTTP2_ENHANCE_YOUR_CALM, "idle frames");
		/* RFC 9113 5.1.1; nghttp2 1.52 takes it for an old stream */
		else if (type == NGHTTP2_HEADERS && (id & 1) != 0 &&
		    nghttp2_session_find_stream(h->ng, id) == NULL)
			end(h, NGHTTP2_PROTOCOL_ERROR, "stream id goes back");
	}
	return !h->over;
}

static void
feed(struct h2 *h, const uint8_t *p, size_t n)
{
	ssize_t k;

	k = nghttp2_session_mem_recv(h->ng, p, n);
	if (k == NGHTTP2_ERR_FLOODED || k == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS)
		end(h, NGHTTP2_ENHANCE_YOUR_CALM, nghttp2_strerror((int)k));
	else if (k == NGHTTP2_ERR_BAD_CLIENT_MAGIC)
		end(h, NGHTTP2_PROTOCOL_ERROR, nghttp2_strerror((int)k));
	else if (k < 0)
		h->over = h->dead = true;	/* no memory */
	else if (nghttp2_session_get_outbound_queue_size(h->ng) > H2_QUEUE)
		end(h, NGHTTP2_ENHANCE_YOUR_CALM, "answers not read");
}

int
h2_input(struct h2 *h, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	size_t k;

	while (n > 0 && !h->over) {
		if (h->magic > 0) {
			k = n < h->magic ? n : h->magic;
			h->magic -= (uint32_t)k;
			feed(h, p, k);
		} else if (h->left > 0) {
			k = n < h->left ? n : h->left;
			h->left -= (uint32_t)k;
			feed(h, p, k);
		} else if (h->nhd > 0 || n < HD) {
			/* fed whole: nghttp2 counts pieces as frames */
			k = n < HD - h->nhd ? n : HD - h->nhd;
			memcpy(h->hd + h->nhd, p, k);
			h->nhd += (unsigned)k;
			if (h->nhd == HD) {
				h->nhd = 0;
				if (frame(h, h->hd))
					feed(h, h->hd, HD);
			}
		} else if (frame(h, p)) {
			k = n - HD < h->left ? n - HD : h->left;
			h->left -= (uint32_t)k;
			k += HD;
			feed(h, p, k);
		} else {
			break;
		}
		p += k;
		n -= k;
	}
	return h->over || nghttp2_session_want_read(h->ng) == 0 ? -1 : 0;
}

bool
h2_wants_input(const struct h2 *h)
{
	return !h->over && nghttp2_session_get_outbound_queue_size(h->ng) <
	    H2_STREAMS + H2_STREAMS / 4;
}

/* ---- output ------------------------------------------------------------- */

/* Reset answered streams whose content does not end. */
static void
sweep(struct h2 *h)
{
	struct stream *s;

	while ((s = h->list[S_LINGER].first) != NULL &&
	    (h->list[S_LINGER].n > (h->draining ? 0 : H2_LINGER) ||
	    log_ms - s->since >= LINGER_MS))
		reset(h, s);
}

ssize_t
h2_output(struct h2 *h, void *dst, size_t cap)
{
	h->out = dst;
	h->cap = cap;
	h->nout = 0;
	next_turn(h);
	do {
		sweep(h);
		answer_waiting(h);
		if (!h->dead && nghttp2_session_send(h->ng) != 0)
			h->over = h->dead = true;
		/* files that were sent make room for those who wait */
	} while (!h->dead && h->nfiles < H2_FILES &&
	    h->list[S_WAIT].first != NULL);
	if (h->nout > 0)
		return (ssize_t)h->nout;
	return h->dead || (nghttp2_session_want_read(h->ng) == 0 &&
	    nghttp2_session_want_write(h->ng) == 0) ? -1 : 0;
}

unsigned
h2_streams(const struct h2 *h)
{
	return h->list[S_HEAD].n + h->list[S_WAIT].n + h->list[S_LATER].n +
	    h->list[S_REPLY].n;
}

bool
h2_later(const struct h2 *h)
{
	return h->list[S_LATER].n > 0 || h->ndeferred > 0;
}

bool
h2_makes(const struct h2 *h)
{
	return h->ndeferred > 0;
}

void
h2_drain(struct h2 *h, bool now)
{
	if (h->over || h->last_call || (h->draining && !now))
		return;
	h->draining = true;
	if (!now && nghttp2_submit_shutdown_notice(h->ng) == 0 &&
	    nghttp2_submit_ping(h->ng, NGHTTP2_FLAG_NONE, NULL) == 0)
		return;
	h->last_call = true;
	nghttp2_submit_goaway(h->ng, NGHTTP2_FLAG_NONE,
	    nghttp2_session_get_last_proc_stream_id(h->ng), NGHTTP2_NO_ERROR,
	    NULL, 0);
}

/* ---- sessions ----------------------------------------------------------- */

static nghttp2_session_callbacks *
callbacks(void)
{
	static nghttp2_session_callbacks *cb;

	if (cb != NULL || nghttp2_session_callbacks_new(&cb) != 0)
		return cb;
	nghttp2_session_callbacks_set_send_callback(cb, on_send);
	nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb,
	    on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_sent);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
	return cb;
}

struct h2 *
h2_new(const struct sockaddr *peer, bool redirect, bool tls)
{
	/* no word on NO_RFC7540_PRIORITIES: with it nghttp2 forgets streams at
	 * once, and then cannot tell what comes late from what is wrong */
	static const nghttp2_settings_entry ours[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, H2_STREAMS },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEAD_MAX },
	};
	struct h2 *h = calloc(1, sizeof *h);

	if (h == NULL)
		return NULL;
	h->peer = peer;
	h->redirect = redirect;
	h->tls = tls;
	h->magic = NGHTTP2_CLIENT_MAGIC_LEN;
	h->resets = (struct bucket){ H2_RESETS * 1000, log_ms };
	h->frames = (struct bucket){ H2_FRAMES * 1000, log_ms };
	if (callbacks() == NULL ||
	    nghttp2_session_server_new(&h->ng, callbacks(), h) != 0 ||
	    nghttp2_submit_settings(h->ng, NGHTTP2_FLAG_NONE, ours,
	    sizeof ours / sizeof ours[0]) != 0) {
		nghttp2_session_del(h->ng);
		free(h);
		return NULL;
	}
	return h;
}

void
h2_free(struct h2 *h)
{
	enum stream_state i;

	if (h == NULL)
		return;
	nghttp2_session_del(h->ng);
	for (i = 0; i < NSTATES; i++)
		while (h->list[i].first != NULL)
			stream_free(h, h->list[i].first);
	free(h);
}

#else	/* a build without nghttp2: nobody gets a session, nobody offers one */

const bool h2_there = false;

struct h2 *
h2_new(const struct sockaddr *peer, bool redirect, bool tls)
{
	(void)peer, (void)redirect, (void)tls;
	return NULL;
}

int
h2_input(struct h2 *h, const void *p, size_t n)
{
	(void)h, (void)p, (void)n;
	return -1;
}

ssize_t
h2_output(struct h2 *h, void *dst, size_t cap)
{
	(void)h, (void)dst, (void)cap;
	return -1;
}

bool
h2_wants_input(const struct h2 *h)
{
	(void)h;
	return false;
}

unsigned
h2_streams(const struct h2 *h)
{
	(void)h;
	return 0;
}

bool
h2_later(const struct h2 *h)
{
	(void)h;
	return false;
}

bool
h2_makes(const struct h2 *h)
{
	(void)h;
	return false;
}

void
h2_drain(struct h2 *h, bool now)
{
	(void)h;
	(void)now;
}

void
h2_free(struct h2 *h)
{
	(void)h;
}

#endif
