/* sws.h - the map: limits with their reasons, the shared structs, and every
 * file's public calls.  A file may call only what stands above its own name
 * here; test.sh checks that on the objects. */
#ifndef SWS_H
#define SWS_H

#define _FILE_OFFSET_BITS 64	/* on 32-bit machines too */
#define _TIME_BITS 64

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
	WIREBUF = 4096,		/* one recv for TLS: what clients send is short */
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
	RESP_FIELDS = 16384,	/* response fields: LOCATION, SITE_FIELDS, CORS
				   and 2 KiB for all others */
	LOCATION = 8704,	/* of a request's target, with scheme and host */
	SITE_FIELDS = 4096,	/* all custom fields together, and ... */
	SITE_LINES = 24,	/* ... how many lines; checked at start */
	CORS_NAMES = 1024,	/* a list of field names; checked at start */
	RANGES_MAX = 10,	/* parts of a multipart/byteranges answer */
	RANGES_ASKED = 100,	/* more than this many are not even sorted */
	CACHE_FILES = 1024,	/* resources remembered */
	CACHE_BYTES = 8 << 20,	/* bodies held in memory, all together */
	CACHE_BODY = 32768,	/* largest body held in memory */
	LISTENERS_MAX = 32,
	NAMES_MAX = 16,		/* values of a repeatable option */
	HOSTS_MAX = 64,		/* virtual hosts */
	CONF_MAX = 1 << 20,	/* bytes of a configuration file */
	NETS_MAX = 32,		/* --trusted-proxies */
	GLOB_MAX = 512,		/* bytes of a pattern */
	GLOB_CAPTURES = 10,	/* $0 to $9 */
	LIST_SORTED = 10000,	/* entries a listing keeps to sort; a longer one
				   comes as the folder yields it, and so does */
	LIST_BYTES = 32 << 20,	/* any while all together keep this much */
	SECRETS = 64,		/* credentials remembered, right and wrong */
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
	F_NONE, F_ACCEPT, F_ACCEPT_ENCODING, F_AC_REQUEST_HEADERS,
	F_AC_REQUEST_METHOD, F_AUTHORIZATION, F_CONNECTION, F_CONTENT_LENGTH,
	F_EXPECT, F_HOST, F_IF_MATCH, F_IF_MODIFIED_SINCE, F_IF_NONE_MATCH,
	F_IF_RANGE, F_IF_UNMODIFIED_SINCE, F_ORIGIN, F_RANGE, F_REFERER,
	F_TRANSFER_ENCODING, F_USER_AGENT, F_X_FORWARDED_FOR, F_X_REAL_IP,
	NFIELDS
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
	bool tls;		/* came over TLS that ends here */
	uint8_t version;	/* 1 or 2: HTTP/1.x, HTTP/2 */
	const struct sockaddr *peer;	/* the connection's; for log and auth */
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
	uint8_t index;		/* which of conf.index it was found as, from 1;
				   0 = by its own name */
	char etag[64];		/* with quotes; "" = none */
	/* the fields of a 200: [0, cl) Content-Length, [cl, val) what describes
	 * the content, [val, n) what a 304 repeats */
	uint16_t cl, val, n;
	char fields[512];
};

/* Content that is made while it is sent. */
struct source {
	/* The next bytes into dst, at most cap (>= 4096): how many, 0 = that
	 * was all, SOURCE_FAILED, or SOURCE_LATER: none in this turn. */
	ssize_t (*read)(struct source *s, void *dst, size_t cap);
	void (*end)(struct source *s);	/* frees s */
};
enum { SOURCE_FAILED = -1, SOURCE_LATER = -2 };
#define BODY_OPEN ((off_t)1 << 62)	/* a length that is not known yet */

/* What is left to send of one reply's content. */
struct body {
	struct file *file;	/* one reference, or NULL */
	const char *mem;	/* static text, or NULL */
	struct source *source;	/* owned, or NULL; then len is BODY_OPEN till
				   it has said all */
	bool chunked;		/* body_read frames it, RFC 9112 7.1 */
	off_t off, len;		/* of the current stretch */
	struct parts *parts;	/* multipart/byteranges: owned, or NULL */
};

/* One answer.  fields and shared are "name: value\r\n" lines in lower case, so
 * that HTTP/2 can use them as they are. */
struct resp {
	int status;
	bool close;		/* the connection ends after this reply */
	bool head_only;		/* HEAD, 304: fields without content */
	bool open;		/* content of unknown length, even if it is not
				   sent: no Content-Length is among fields */
	struct str shared;	/* fields that live in body.file, or {"", 0} */
	struct body body;
	size_t n;
	char fields[RESP_FIELDS];	/* "name: value\r\n" lines */
};

struct listener {
	int fd;			/* owned; -1 once closed */
	bool single;		/* a connected socket, served once */
	bool watched;		/* in the poll set */
	bool early;		/* who waits there may have come before us */
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
/* A network of --trusted-proxies: v4 as v4-mapped. */
struct net {
	struct in6_addr addr;
	unsigned bits;		/* 0-128, or log.c's own */
};
/* "192.0.2.1", "192.0.2.0/24", "2001:db8::/32", or "unix" (whoever comes by a
 * unix socket) into *n; -1: it is none of them. */
int log_net(const char *s, struct net *n);
enum { LOG_COMBINED, LOG_JSON, LOG_PRETTY };
struct log_setup {
	unsigned format;
	int ansi;		/* colours: 0, 1, -1 = on a terminal, without
				   NO_COLOR in the environment */
	bool remote;		/* say the client's address */
	bool real_ip, forwarded_for;	/* say these fields, from a trusted
					   proxy; the address in them is the
					   client's */
	const struct net *trusted;	/* the caller's */
	unsigned ntrusted;
};
/* How access lines look from now on; a copy is kept, trusted stays the
 * caller's. */
void log_setup(const struct log_setup *s);
/* The client's address as the log tells it, v4 as v4-mapped: what a trusted proxy
 * says it is, else the peer's.  False: it came by a unix socket. */
bool log_client(const struct req *q, struct in6_addr *a);
/* One line for a finished response: q->peer, status, bytes of content,
 * duration.  Never blocks: a line that cannot be written now is dropped and
 * counted. */
void log_access(const struct req *q, int status, int64_t bytes, int64_t us);
/* Say how many lines were dropped since the last call, if any. */
void log_dropped(void);

/* ---- metrics.c: what has been counted ---------------------------------- */
/* A connection begins (+1) or ends (-1). */
void metrics_conn(int change);
/* It has turned out to speak HTTP/version, 1 or 2, over TLS or not. */
void metrics_protocol(unsigned version, bool tls);
/* A request gets its answer (before the first byte is sent). */
void metrics_begin(void);
/* That answer is over: method is enum method; us = duration. */
void metrics_end(unsigned method, int status, int64_t bytes, int64_t us);
/* All of it, Prometheus text format 0.0.4.  Returns its length, which is
 * below METRICS_MAX always, whatever clients do. */
enum { METRICS_MAX = 32768 };
size_t metrics_text(char *dst, size_t cap);

/* ---- auth.c: passwords ---------------------------------------------------- */
/* Can this build check bcrypt hashes? */
extern const bool auth_there;
/* Allow "user:hash" too, hash a bcrypt one ($2a$, $2b$, $2y$).  NULL, or what
 * is wrong with it.  entry stays the caller's. */
const char *auth_add(const char *entry);
/* Forget all users and what was remembered of them. */
void auth_clear(void);
/* Is anyone allowed, so that a password is needed? */
bool auth_on(void);
/* A new turn of the loop: one slow hash may be computed again. */
void auth_turn(void);
/* Check the Authorization field v (RFC 7617) of a client at peer.  AUTH_LATER:
 * the turn's hash is spent, ask again in the next one.  AUTH_FLOOD: too many
 * wrong ones from there, or too many who wait. */
enum { AUTH_OK, AUTH_WRONG, AUTH_LATER, AUTH_FLOOD };
int auth_check(struct str v, const struct sockaddr *peer);

/* ---- glob.c: patterns of paths ------------------------------------------- */
struct glob;
/* Compile pattern, SWS's syntax: ? * ** [a-z] [!a] {a,b} and backslash; loose:
 * ? and * take slashes too.  NULL with *why, a few words. */
struct glob *glob_new(const char *pattern, bool loose, const char **why);
void glob_free(struct glob *g);
/* How many captures a match sets, cap[0] and at most GLOB_CAPTURES. */
unsigned glob_captures(const struct glob *g);
/* Match all of s.  -1: no; else how many of cap[] (GLOB_CAPTURES) are set,
 * cap[0] being all of it; pieces of s, empty ones for what took no part.  Time
 * is bounded by the product of the two lengths; s of PATH_LEN and more is
 * never matched. */
int glob_match(const struct glob *g, struct str s, struct str *cap);

/* ---- toml.c: a TOML file as values ----------------------------------------- */
enum toml_type { TOML_STRING, TOML_INTEGER, TOML_BOOLEAN, TOML_ARRAY,
	TOML_TABLE };
struct toml {
	struct toml *next;	/* in its table or array, in the file's order */
	struct toml *first;	/* of a table or array */
	const char *key;	/* NULL in an array */
	const char *string;	/* no NUL inside */
	int64_t integer;	/* a boolean's too */
	unsigned line;		/* where it stands */
	uint8_t type;
	uint8_t made;		/* toml.c's own */
};
/* Read the n bytes of a file.  The root table, or NULL with why = "12: what is
 * wrong" (a line number first).  The tree owns all its memory. */
struct toml *toml_read(const char *text, size_t n, char *why, size_t cap);
void toml_free(struct toml *root);
/* The value called key in table t, or NULL. */
const struct toml *toml_get(const struct toml *t, const char *key);

/* ---- rules.c: [advanced] ----------------------------------------------- */
struct rules;		/* constant once read */
/* One of [[advanced.virtual-hosts]]; strings belong to the rules. */
struct vhost {
	const char *host, *root;
	const char *cert, *key;	/* both or NULL */
	int fd;			/* of root; site.c's, -1 at first */
};
/* No rules yet. */
struct rules *rules_new(void);
/* Add what the table `advanced` of a file says, or NULL when there is none.
 * NULL, or why not in `why` ("12: ..."); unknown keys are told to unknown(line,
 * key). */
const char *rules_read(struct rules *r, const struct toml *advanced, char *why,
    size_t cap, void (*unknown)(unsigned line, const char *key));
/* Add a field for every path, "Name: value" of --header.  NULL, or what is
 * wrong. */
const char *rules_header(struct rules *r, const char *line);
void rules_free(struct rules *r);
/* Virtual hosts: how many, and the first of the array. */
unsigned rules_hosts(const struct rules *r, struct vhost **v);
/* That of a Host field (port and case do not count), or NULL. */
const struct vhost *rules_host(const struct rules *r, struct str host);
/* memory-cache: bytes in all and of one file; false: not set, both untouched. */
bool rules_cache(const struct rules *r, int64_t *capacity, int64_t *largest);
/* Is a redirect, or a rewrite that redirects, meant for this decoded path
 * ("/..." always) and Host?  0, or its status with dst = the Location, a string
 * escaped as a URI needs it, with query (of the request, raw) where SWS keeps
 * it; 414: longer than cap. */
int rules_redirect(const struct rules *r, struct str host, struct str path,
    struct str query, char *dst, size_t cap);
/* A rewrite of this path?  0: no, or one that redirects; 200: dst = the new
 * target, percent-encoded as file_path() wants it, n its length; 414: longer
 * than cap.  The first that matches counts, once. */
int rules_rewrite(const struct rules *r, struct str path, char *dst,
    size_t cap, size_t *n);
/* Call each(arg, "name: value\r\n", n) for every custom field of an answer to
 * path, or to `other` if that is not empty, with this status, in order; names
 * are lower case, later ones replace earlier ones of the same name before they
 * get here. */
void rules_fields(const struct rules *r, struct str path, struct str other,
    int status, void (*each)(void *arg, const char *line, size_t n), void *arg);
/* Are there custom fields at all? */
bool rules_any_fields(const struct rules *r);

/* ---- conf.c: one option table ---------------------------------------- */
struct names {
	const char *v[NAMES_MAX];
	unsigned n;
};

/* What was asked for; constant between conf_read and conf_reload.  Strings live
 * as long as the configuration they came with. */
struct conf {
	const char *root;
	const char *host;
	unsigned port;
	const char *unix_socket;
	unsigned unix_mode;
	bool unix_force;
	struct names fds, index;
	const char *config_file;
	const char *page404, *page50x, *page_fallback;
	bool compression_static, etag, trailing_redirect, hidden, symlinks,
	    text_charset, cache_control, markdown, security_headers,
	    relative_root;
	bool listing;
	unsigned listing_order;	/* 0-6 */
	unsigned listing_format;	/* list.c's enum, or LISTING_AUTO */
	struct names cors_origins;	/* "*" alone, or origins */
	struct names cors_headers, cors_expose;	/* lower case */
	struct names users;	/* "name:hash" */
	bool health, metrics;
	bool maintenance;
	unsigned maintenance_status;
	const char *maintenance_file;
	const char *mime_types;
	const char *log_file;
	unsigned log_format;	/* log.c's enum */
	bool log_ansi;
	bool log_remote, log_real_ip, log_forwarded_for;
	struct names proxies;
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
	bool open;
	const char *open_path;	/* begins with a slash */
	struct names headers;	/* "Name: value" */
	bool tcp_asked;		/* host or port named by anyone */
	bool address_asked;	/* that, or a unix socket */
	unsigned sandbox;	/* box.c's enum */
	const char *user, *group, *chroot;	/* or NULL */
	int ansi;		/* 0, 1, -1 = nobody said */
	struct net trusted[NETS_MAX];	/* proxies */
	unsigned ntrusted;
	struct rules *rules;	/* never NULL once read */
	struct kept *kept;	/* conf.c's: what owns the strings */
};
enum { LISTING_AUTO = 2 };
extern struct conf conf;

/* Read the environment, argv and the configuration file into conf.  Ends the
 * process on a usage error (2), a bad file (1) and after --help, --version (0). */
void conf_read(int argc, char **argv);
/* Read them all again, SIGHUP.  NULL: conf is new but for what only a start can
 * change; conf_keep() or conf_undo() has to follow.  Else why not, one line. */
const char *conf_reload(void);
/* The new one is good: forget the one before. */
void conf_keep(void);
/* It is not: back to the one before. */
void conf_undo(void);

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
/* TCP_NODELAY for who came before the listener had it. */
void fd_nodelay(int sock);
/* na bytes of a, then nb of b; `more`, without b only, is MSG_MORE. */
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
/* Do we replace a process, that has told supervisor and person of itself? */
bool next_replaces(void);
/* When we replace a process: tell it that we are ready, and go on once it
 * agrees; else the end.  False: we replace nobody. */
bool next_takes_over(void);
/* Ask the sibling to begin. */
void next_start(void);
/* After SIGIO: the new program's pid once it serves, else 0. */
pid_t next_news(void);
/* No more of that: the sibling ends, and unlinks our own unix sockets if they
 * have not gone to a new program. */
void next_end(void);

/* ---- box.c: giving up rights -------------------------------------------- */
enum { BOX_AUTO, BOX_REQUIRED, BOX_OFF };	/* conf.sandbox */
/* What can be read in the box, to be called before box_enter: all beneath the
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
/* The weight of a list's member, "0.5", in thousandths; -1: it is none.  RFC 9110
 * 12.4.2 */
int http_qvalue(const char *p, size_t n);
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
/* Keep at most max_open files open, `bytes` of content in memory, of files up
 * to `largest` bytes.  Called again after a change of conf, it forgets all
 * that was remembered. */
void file_init(unsigned max_open, size_t bytes, size_t largest);
/* Add the types of a mime.types(5) file, which win over the built-in ones;
 * NULL: only the built-in ones.  NULL, or what is wrong ("name:12: ..."), and
 * then nothing changed. */
const char *file_types(const char *name);
/* Never serve or list the file that path leads to now; NULL: forget them. */
void file_never(const char *path);
bool file_is_never(const struct stat *st);
/* A file of n bytes of memory, which it takes (free(3)), for a body; NULL:
 * no memory, bytes are freed. */
struct file *file_of(char *bytes, size_t n);
/* A new turn of the loop: what the cache remembers has to be looked at again. */
void file_turn(void);
/* Decode and resolve a request target's path into dst (PATH_LEN bytes): no
 * leading slash, a trailing one for a directory.  Returns 0 or a status:
 * 400 for bad escapes and climbing out, 404 for what never exists here. */
int file_path(struct str raw, char *dst, size_t *len);
/* Find path (from file_path) below the directory `root`.  `accept` is
 * file_accept's verdict, perhaps with FILE_EXACT: that name only, no index, no
 * .html.  200: *f gets a reference.  308: path with a slash is a directory.
 * FILE_DIR: a directory, asked for as one, without an index file.
 * 403, 404, 406, 503: nothing to serve. */
enum { FILE_EXACT = 1 << 16, FILE_DIR = 1000 };
int file_find(int root, const char *path, size_t len, unsigned accept,
    struct file **f);
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
/* Does another stretch follow the current one? */
bool body_more(const struct body *b);
/* n bytes of the current stretch went out; moves on to the next part. */
void body_skip(struct body *b, off_t n);
/* The next bytes of a body: 0 = all sent, -1 = file shorter than promised or
 * SOURCE_FAILED, SOURCE_LATER.  One with a source needs cap >= 8192. */
ssize_t body_read(struct body *b, void *dst, size_t cap);
/* Nothing of b is to be sent, but its file stays: fields point into it. */
void body_none(struct body *b);
void body_end(struct body *b);
/* Free the cache. */
void file_end(void);

/* ---- list.c: a directory as HTML or JSON --------------------------------- */
enum { LIST_HTML, LIST_JSON };
/* The listing of the directory `path` (decoded, "" or "a/b/"; "a/b" when it was
 * asked for without its slash) below root, in order 0-5 (name, time, size; up,
 * down) or 6 (none asked: by name); conf.hidden and conf.symlinks say what is
 * in it.  It holds a descriptor, two with conf.symlinks.  NULL with errno. */
struct source *list_open(int root, const char *path, unsigned format,
    unsigned order);
/* The order that a query asks for: its first "sort=", 0-6, as SWS has it; else
 * `none`. */
unsigned list_sort(struct str query, unsigned none);

/* ---- site.c: struct req -> struct resp -------------------------------- */
/* The port of https, for redirections. */
void site_https_port(unsigned port);
/* Use conf's rules, roots and pages from now on, with at most `files` files open;
 * called at start and after a reload.  NULL, or what is wrong, one line; then
 * nothing changed. */
const char *site_init(unsigned files);
void site_end(void);
/* Answer q; r->body is owned by the caller from here on.  False: not in this
 * turn, ask again in the next one. */
bool site_answer(const struct req *q, struct resp *r);
/* An answer of site_answer or site_error is over: the access log and metrics.
 * bytes of content; began in log_us() time. */
void site_done(const struct req *q, int status, int64_t bytes, int64_t began);
/* The reply to what could not be read as a request; q may be partly filled. */
void site_error(const struct req *q, struct resp *r, int status);

/* ---- h2.c: HTTP/2 frames <-> req, resp ----------------------------------- */
/* False in a build without nghttp2: then there is nothing to offer. */
extern const bool h2_there;
struct h2;	/* one connection's session */

/* A session for a client at peer, which stays the caller's; redirect and tls
 * are for its requests.  NULL: no memory. */
struct h2 *h2_new(const struct sockaddr *peer, bool redirect, bool tls);
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
/* Does one of them wait for the next turn, rather than for the client? */
bool h2_later(const struct h2 *h);
/* And is it one whose content goes on then, so that the turn is to come soon? */
bool h2_makes(const struct h2 *h);
/* GOAWAY: finish what is open, take nothing new.  The client is told first and
 * asked for an echo, so that what it sent before is served, unless it has to be
 * now. */
void h2_drain(struct h2 *h, bool now);
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
/* Forget what was loaded since then. */
void tls_drop(void);
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
/* Answer what is in flight with "close", end what is idle, but who asked a
 * moment ago a moment later. */
void conn_drain(void);
/* How many connections are open. */
unsigned conn_count(void);
/* Since when (log_ms) none has been open; meaningless while one is. */
int64_t conn_idle_since(void);
/* End every connection. */
void conn_end(void);

#endif
