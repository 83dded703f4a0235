/* sws.h - the map: limits with their reasons, the shared structs, and every
 * file's public calls.  A file may call only what stands above its own name
 * here; test.sh checks that on the objects. */
#ifndef SWS_H
#define SWS_H

#include <sys/types.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#ifdef __APPLE__	/* POSIX.1-2008's names came to it under others */
#define st_mtim st_mtimespec
#define st_ctim st_ctimespec
#endif

#define SWS_VERSION "0.1.0"

/* ---- limits ---------------------------------------------------------- */
enum {
	LINE_MAX_LEN = 8190,	/* request line; RFC 9112 3 asks for >= 8000 */
	HEAD_MAX = 16384,	/* whole head: fits the 16-bit spans of a req */
	FIELDS_MAX = 100,	/* field lines a request */
	LEAD_MAX = 64,		/* bytes of empty lines before a request line */
	INBUF = 32768,		/* one recv: a full head and as much pipelined */
	OUTBUF = 65536,		/* replies gathered before one send */
	COPY_MAX = 2048,	/* a body this small is copied behind its head,
				   a longer one goes by a second iovec */
	BUDGET = 256 * 1024,	/* bytes one connection may move in a turn */
	ACCEPT_BATCH = 64,	/* connections taken in a turn */
	LINGER_BYTES = 65536,	/* discarded after the last reply, at most */
	LINGER_MS = 2000,
	FRESH_MS = 1000,	/* draining: wait for a new client's request */
	PARK_MS = 1000,		/* idle so long: TLS buffers are given back */
	RETRY_MS = 250,		/* accept again after EMFILE and its kin */
	LOGLINE = 4096,		/* PIPE_BUF: a line is written whole or not */
	PATH_LEN = 4096,	/* decoded path below the root, with its NUL */
	RESP_FIELDS = 4096,	/* response fields apart from the file's own;
				   the longest is Location, PATH_LEN escaped,
				   which is refused when it does not fit */
	RANGES_MAX = 10,	/* parts of a multipart/byteranges answer */
	RANGES_ASKED = 100,	/* more than this many are not even sorted */
	CACHE_FILES = 1024,	/* resources remembered */
	CACHE_BYTES = 8 << 20,	/* bodies held in memory, all together */
	CACHE_BODY = 32768,	/* largest body held in memory */
	LISTENERS_MAX = 32,
	NAMES_MAX = 16,		/* values of a repeatable option */
	INDEX_MAX = 8,		/* names in --index-files */
	H2_STREAMS = 100,	/* of one connection: MAX_CONCURRENT_STREAMS */
	H2_FILES = 8,		/* descriptors its replies hold at a time, as many
				   as eight clients of HTTP/1.1 */
	H2_LINGER = 8,		/* answered, but their content still comes */
	H2_CONTENT = 16384,	/* of it discarded before a stream is reset */
	H2_RESETS = 100,	/* streams reset by either side, and ... */
	H2_RESETS_S = 10,	/* ... what grows back a second */
	H2_FRAMES = 5000,	/* frames that ask for nothing: 4 MB to a client
				   that counts in 4 KiB need 2,048 at once */
	H2_FRAMES_S = 100,
	H2_QUEUE = 300,		/* frames owed: three a stream */
	FD_RESERVED = 64,	/* ours: 0-2, root, log, queue, listeners */
	CONNS_DEFAULT = 8192,	/* raised with --max-connections */
};

/* ---- small shared types ---------------------------------------------- */

/* A piece of a request's head: offsets from req.base, so that moving the
 * bytes means changing one pointer. */
struct span {
	uint16_t off, len;
};

/* Bytes that somebody else owns. */
struct str {
	const char *p;
	size_t n;
};

enum method { M_OTHER, M_GET, M_HEAD, M_OPTIONS, M_KNOWN };

/* Fields that some code asks for; a new one is a line here and a line in
 * http.c's table. */
enum field {
	F_NONE, F_ACCEPT_ENCODING, F_CONNECTION, F_CONTENT_LENGTH, F_EXPECT,
	F_HOST, F_IF_MATCH, F_IF_MODIFIED_SINCE, F_IF_NONE_MATCH, F_IF_RANGE,
	F_IF_UNMODIFIED_SINCE, F_RANGE, F_REFERER, F_TRANSFER_ENCODING,
	F_USER_AGENT, NFIELDS
};

/* One request.  Strings are spans of the head at base, which belongs to the
 * caller and stays until the reply has been sent. */
struct req {
	const char *base;
	uint16_t pos;		/* parsed so far; the head's length at the end */
	uint16_t nfields;
	uint8_t step;		/* http.c's own */
	uint8_t method;		/* enum method */
	uint8_t minor;		/* HTTP/1.minor */
	bool keep;		/* the connection may stay open */
	bool close;		/* a Connection field says close */
	bool body;		/* content follows the head; never wanted */
	bool redirect;		/* came by a listener that sends to https */
	bool expect_bad;	/* an expectation that is not 100-continue */
	bool has_cl, has_te;	/* framing fields seen */
	uint32_t have, twice;	/* bits by enum field: sent, sent again */
	struct span line, name;	/* request line; the method's name */
	struct span path, query;	/* query without its '?' */
	struct span host;	/* authority that counts, port included */
	struct span field[NFIELDS];	/* the first of its name */
};

/* An open file, shared: cache and replies each hold one reference. */
struct file {
	unsigned refs;
	int fd;			/* -1 when bytes holds the whole content */
	char *bytes;		/* owned, or NULL */
	off_t size;
	time_t mtime;
	char etag[64];		/* with quotes; "" = none */
	/* the fields of a 200: [0, cl) Content-Length, [cl, val) what describes
	 * the content, [val, n) what a 304 repeats */
	uint16_t cl, val, n;
	char fields[512];
};

/* What is left to send of one reply's content. */
struct body {
	struct file *file;	/* one reference, or NULL */
	const char *mem;	/* static text, or NULL */
	off_t off, len;		/* of the current stretch */
	struct parts *parts;	/* multipart/byteranges: owned, or NULL */
};

/* One answer.  fields and shared are "name: value\r\n" lines in lower case, so
 * that HTTP/2 can use them as they are. */
struct resp {
	int status;
	bool close;		/* the connection ends after this reply */
	bool head_only;		/* HEAD, 304: fields without content */
	struct str shared;	/* fields that live in body.file, or {"", 0} */
	struct body body;
	size_t n;
	char fields[RESP_FIELDS];	/* "name: value\r\n" lines */
};

struct listener {
	int fd;			/* owned; -1 once closed */
	bool single;		/* a connected socket, served once */
	bool watched;		/* in the poll set */
	bool tls;		/* clients speak TLS here */
	bool redirect;		/* and are sent there from here */
	char name[32];		/* LISTEN_FDNAMES, or "" */
	char origin[48];	/* "descriptor 3, systemd", or "" */
	const char *path;	/* our unix socket's, to be unlinked, or NULL */
	dev_t dev;		/* its identity: never unlink another's */
	ino_t ino;
};

/* ---- log.c: the clock, messages, the access log ----------------------- */
enum { LOG_L_ERROR, LOG_L_WARN, LOG_L_INFO, LOG_L_DEBUG, LOG_L_TRACE };

extern unsigned log_level;	/* what warn, info and debug print */
extern int64_t log_ms;		/* monotonic clock of this turn, in ms */
extern int64_t log_turn;	/* the same in microseconds */
extern time_t log_now;		/* wall clock of this turn */
extern const char *log_date;	/* this turn's "date: ...\r\n" */
extern size_t log_datelen;

/* Read both clocks; called once a turn. */
void log_clock(void);
/* Microseconds of the monotonic clock, read now. */
int64_t log_us(void);
/* dst (>= 30 bytes) = the IMF-fixdate of t, RFC 9110 5.6.7; t is clamped to
 * the years 1970-9999.  Returns dst. */
char *log_httpdate(char *dst, time_t t);
/* One line, "sws: ...", to standard error or syslog; die() exits with code. */
void die(int code, const char *fmt, ...)
	__attribute__((noreturn, format(printf, 2, 3)));
void warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Standard error belongs to a client: from now on use syslog(3)'s socket. */
void log_syslog(void);
/* Was it called? */
bool log_is_syslog(void);
/* Send access lines to file, opened anew at each call, or with NULL to where
 * messages go.  -1 with errno. */
int log_open(const char *file);
/* One line of the combined format and the duration in seconds.  Never blocks:
 * a line that cannot be written now is dropped and counted. */
void log_access(const struct req *q, const struct sockaddr *peer, int status,
    int64_t bytes, int64_t start_us);
/* Say how many lines were dropped since the last call, if any. */
void log_dropped(void);

/* ---- conf.c: one option table ---------------------------------------- */
struct names {
	const char *v[NAMES_MAX];
	unsigned n;
};

/* Constant once conf_read has returned.  Strings live as long as the process. */
struct conf {
	const char *root;
	const char *host;
	unsigned port;
	const char *unix_socket;
	unsigned unix_mode;
	bool unix_force;
	struct names fds, index;
	const char *page404, *page50x;
	bool compression_static, etag, trailing_redirect, hidden, symlinks,
	    text_charset, cache_control;
	const char *log_file;
	bool access_log;
	unsigned header_ms, idle_ms, write_ms, drain_ms, grace_ms, idle_exit_ms;
	unsigned max_conns;	/* 0 = from RLIMIT_NOFILE */
	int ready_fd;		/* -1 = none */
	bool http2, tls;	/* tls: somewhere; cert and key are there then */
	struct names cert, key;	/* as many of each */
	bool https_redirect;
	const char *https_host;
	unsigned https_from_port;	/* 0 = none */
	struct names https_from;
	bool tcp_asked;		/* host or port named by anyone */
	bool address_asked;	/* that, or a unix socket */
	unsigned sandbox;	/* box.c's enum */
	const char *user, *group, *chroot;	/* or NULL */
};
extern struct conf conf;

/* Read the environment and argv into conf.  Ends the process on a usage error
 * (2) and after --help, --version (0). */
void conf_read(int argc, char **argv);

/* ---- fd.c: what the kernel gives -------------------------------------- */
enum { FD_READ = 1, FD_WRITE = 4 };

struct fd_event {
	void *tag;
	unsigned bits;		/* FD_READ | FD_WRITE; error and hang-up set both */
};

extern volatile sig_atomic_t fd_signal[65];	/* how often each one came */

/* First thing in main: ignore SIGPIPE, open 0-2, take 1 and 2 off a socket
 * that a client could be reading. */
void fd_sane(void);
/* Fill l[0..cap) with what SPEC calls listeners; returns how many.  Ends the
 * process with one line when the hand-over cannot work. */
unsigned fd_listeners(struct listener *l, unsigned cap);
/* The port l listens on, 0 where there is none. */
unsigned fd_port(const struct listener *l);
/* A URL or socket path people can use for l, in dst. */
const char *fd_url(const struct listener *l, char *dst, size_t cap);
/* Give back a listener: close it, and unlink a socket file that is ours. */
void fd_unlisten(struct listener *l);
/* Raise RLIMIT_NOFILE as far as is useful; *conns and *files get their share:
 * each connection may hold one descriptor and one open file. */
void fd_limits(unsigned *conns, unsigned *files);

/* The event queue.  Signals are blocked except while waiting. */
int fd_queue(void);
/* Watch fd for `want`; `had` is what it is watched for now.  Level-triggered. */
int fd_want(int fd, unsigned had, unsigned want, void *tag);
/* Wait at most ms (-1 = no end).  Returns the number of events, 0 on a signal. */
int fd_wait(struct fd_event *ev, int cap, int64_t ms);
/* The next connection, non-blocking and close-on-exec; -1 with errno. */
int fd_accept(int lfd, struct sockaddr *sa, socklen_t *len);
/* Bytes of file straight to the socket, <= len from *off, which moves.
 * Returns bytes sent, 0 at the end of the file, -1 with errno. */
ssize_t fd_sendfile(int sock, int file, off_t *off, size_t len);
/* send(2) with what the system has of MSG_NOSIGNAL and, for `more`, MSG_MORE. */
ssize_t fd_send(int sock, const void *a, size_t na, const void *b, size_t nb,
    bool more);
/* Connect to the supervisor's NOTIFY_SOCKET, while that is allowed. */
void fd_notify_open(void);
/* From now on somebody else speaks to it. */
void fd_notify_close(void);
/* Tell the supervisor (sd_notify(3) protocol); no-op without NOTIFY_SOCKET. */
void fd_notify(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Say that serving has begun: READY=1 and --ready-fd. */
void fd_ready(const char *status);
/* Watchdog interval in ms, 0 = none. */
int64_t fd_watchdog(void);
/* The directory to serve, to be passed to fd_beneath; -1 with errno. */
int fd_root(const char *path);
/* Open name below root, never above or outside it: no "..", no absolute link;
 * any link is ELOOP unless `links`, and one that leads outside is EXDEV.
 * flags are open(2)'s. */
int fd_beneath(int root, const char *name, int flags, bool links);
/* The same for looking only: a descriptor for fstat, without side effects. */
int fd_look(int root, const char *name, bool links);

/* ---- next.c: the program that follows us, SIGUSR2 ---------------------- */
/* Fork the sibling that can start argv anew, with the n listeners of l. */
void next_init(char **argv, struct listener *l, unsigned n);
/* From now on SIGIO says that there is news. */
void next_watch(void);
/* When we replace a process: tell it that we are ready, and go on once it
 * leaves; else the end.  False: we replace nobody. */
bool next_takes_over(void);
/* Ask the sibling to begin. */
void next_start(void);
/* The new program's pid when it is ready, 0 when there is nothing to be done. */
pid_t next_news(void);
/* Let it serve.  False: it has ended meanwhile, we stay. */
bool next_go(void);
/* No more of that: the sibling ends, and unlinks our own unix sockets if they
 * have not gone to a new program. */
void next_end(void);

/* ---- box.c: giving up rights -------------------------------------------- */
enum { BOX_AUTO, BOX_REQUIRED, BOX_OFF };	/* conf.sandbox */
/* What can be read in the box, to be called before box_drop: all beneath the
 * folder dir ... */
void box_tree(const char *dir);
/* ... and what stands at path, now and after it was replaced (SIGHUP). */
void box_again(const char *path);
/* What can be appended to, or made: the log file. */
void box_log(const char *path);
/* Become conf.user and conf.group beneath conf.chroot, for good; ends the
 * process when that cannot be. */
void box_drop(void);
/* From here on: read what was named, accept, read, write, tell the time. */
void box_enter(void);

/* ---- http.c: HTTP/1.1 bytes <-> req, resp ----------------------------- */
/* No status of HTTP: a 400 whose page says what is wrong. */
enum { PLAIN_ON_TLS = 497 };

void http_reset(struct req *q);
/* Go on reading the head at q->base, n bytes so far.  1: complete, q->pos bytes
 * long.  0: more is needed.  Else a status for site_error. */
int http_parse(struct req *q, size_t n);
/* Field f with all its lines joined (RFC 9110 5.3); valid until the next call. */
struct str http_field(const struct req *q, enum field f);
/* The reason phrase of a status that sws sends. */
const char *http_reason(int status);
/* Append to r's fields: whole lines with their CRLF.  What does not fit is
 * left out; the callers' lines are bounded so that it does. */
void http_put(struct resp *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Status line and fields into dst; 0 when cap is too small. */
size_t http_head(const struct req *q, const struct resp *r, char *dst,
    size_t cap);

/* ---- file.c: name below the root -> open file ------------------------- */
/* Serve below the directory `root` with at most max_open files open. */
void file_init(int root, unsigned max_open);
/* A new turn of the loop: what the cache remembers has to be looked at again. */
void file_turn(void);
/* Decode and resolve a request target's path into dst (PATH_LEN bytes): no
 * leading slash, a trailing one for a directory.  Returns 0 or a status:
 * 400 for bad escapes and climbing out, 404 for what never exists here. */
int file_path(struct str raw, char *dst, size_t *len);
/* Find path (from file_path).  `accept` is file_accept's verdict.
 * 200: *f gets a reference.  308: path with a slash is a directory.
 * 403, 404, 503: nothing to serve. */
int file_find(const char *path, size_t len, unsigned accept, struct file **f);
/* Accept-Encoding (RFC 9110 12.5.3) as up to NENC encodings, best first, four
 * bits each; `any` false = field not sent. */
unsigned file_accept(struct str v, bool any);
void file_unref(struct file *f);
/* RFC 9110 13.2.2 on f: 200, 304 or 412. */
int file_conditions(const struct req *q, const struct file *f);
/* RFC 9110 14 on f, for a request with Range: 200 no range to be used, 206 with
 * r's fields and r->body's first stretch set, 416, 503. */
int file_range(const struct req *q, struct file *f, struct resp *r);
/* Bytes of b that are in memory now: *p, or 0 when they are in file->fd. */
size_t body_peek(const struct body *b, const char **p);
/* n bytes of the current stretch went out; moves on to the next part. */
void body_skip(struct body *b, off_t n);
/* The next bytes of a body: 0 = all sent, -1 = file shorter than promised. */
ssize_t body_read(struct body *b, void *dst, size_t cap);
/* Nothing of b is to be sent, but its file stays: fields point into it. */
void body_none(struct body *b);
void body_end(struct body *b);
/* Free the cache. */
void file_end(void);

/* ---- site.c: struct req -> struct resp -------------------------------- */
/* The port of https, for redirections. */
void site_https_port(unsigned port);
/* Answer q; r->body is owned by the caller from here on. */
void site_answer(const struct req *q, struct resp *r);
/* The reply to what could not be read as a request; q may be partly filled. */
void site_error(const struct req *q, struct resp *r, int status);

/* ---- h2.c: HTTP/2 frames <-> req, resp ----------------------------------- */
/* False in a build without nghttp2: then there is nothing to offer. */
extern const bool h2_there;
struct h2;	/* one connection's session */

/* A session for a client at peer (for the log; copied); `redirect` is for its
 * requests.  NULL: no memory. */
struct h2 *h2_new(const struct sockaddr *peer, socklen_t len, bool redirect);
/* Bytes from the client; all n are consumed.  -1: the connection is to end
 * once h2_output has nothing left (GOAWAY may be queued). */
int h2_input(struct h2 *h, const void *p, size_t n);
/* The next bytes to send, as many whole frames as fit into cap (>= 16 KiB + 9);
 * 0 = nothing now (flow control, nothing owed), -1: the session is over. */
ssize_t h2_output(struct h2 *h, void *dst, size_t cap);
/* May more input be taken?  False while too much output is owed. */
bool h2_wants_input(const struct h2 *h);
/* Streams that wait for something of ours: an answer or the rest of it. */
unsigned h2_streams(const struct h2 *h);
/* GOAWAY: finish what is open, take nothing new.  The client is told first and
 * asked for an echo, so that what it sent before is served; called again, the
 * echo is not waited for. */
void h2_drain(struct h2 *h);
void h2_free(struct h2 *h);

/* ---- tls.c: TLS 1.2 records <-> bytes ------------------------- */
struct tls;	/* one connection's engine; one owner */

/* Add a pair of PEM files; the first is the default, others are chosen by SNI
 * (names of the leaf's subjectAltName, or CN).  key may be cert or NULL: one
 * file has both.  NULL, or why not, one line naming the file; then all that
 * was loaded since the last tls_use() is forgotten.  Keeps the old set until
 * tls_use(). */
const char *tls_load(const char *cert, const char *key);
/* Use what was loaded since the last call (start, HUP); -1 when nothing was.
 * Connections keep the set they began with. */
int tls_use(void);
/* Any certificate in use? */
bool tls_on(void);
/* NULL: no memory, no entropy or no certificate. */
struct tls *tls_new(bool offer_h2);
void tls_free(struct tls *t);		/* wipes */
/* Four windows, each a pointer and what may be moved there now (0 = nothing):
 * ciphertext in, ciphertext out, plaintext in, plaintext out. */
size_t tls_rec_in(struct tls *t, unsigned char **p);
void tls_rec_in_done(struct tls *t, size_t n);
size_t tls_rec_out(struct tls *t, unsigned char **p);
void tls_rec_out_done(struct tls *t, size_t n);
size_t tls_app_in(struct tls *t, unsigned char **p);
void tls_app_in_done(struct tls *t, size_t n);
size_t tls_app_out(struct tls *t, unsigned char **p);
void tls_app_out_done(struct tls *t, size_t n);
void tls_flush(struct tls *t);		/* make a record of what was written */
/* Begin closing: pending input is dropped, close_notify is queued.  It is gone
 * when tls_rec_out has nothing left; TLS_CLOSED waits for the client's own. */
void tls_close(struct tls *t);
enum { TLS_HANDSHAKE, TLS_OPEN, TLS_CLOSED };	/* closed: rec_out is the rest */
int tls_state(const struct tls *t);
/* What ended it: BearSSL's error number, 0 = close_notify. */
int tls_error(const struct tls *t);
/* "h2", "http/1.1" or NULL (no ALPN). */
const char *tls_alpn(const struct tls *t);
/* No input buffered, nothing to send: buffers may be given back (called when
 * the connection goes idle); they come back by themselves. */
void tls_park(struct tls *t);

/* ---- conn.c: slots, lifecycle, moving bytes --------------------------- */

/* Serve the n listeners of l, which stay the caller's, with max slots.
 * Connected sockets among them become connections and are closed by us. */
void conn_init(struct listener *l, unsigned n, unsigned max);
/* One turn: wait at most ms (-1 = no end), serve what is ready, accept,
 * expire. */
void conn_turn(int64_t ms);
/* Try each listener once more; how many connections are open then. */
unsigned conn_last_call(void);
/* Leave the listeners alone from now on; the queues of our own are emptied
 * first, those of passed ones stay for whoever comes next. */
void conn_stop(void);
/* Answer what is in flight with "close", end what is idle. */
void conn_drain(void);
/* How many connections are open. */
unsigned conn_count(void);
/* Since when (log_ms) none has been open; meaningless while one is. */
int64_t conn_idle_since(void);
/* End every connection. */
void conn_end(void);

#endif
