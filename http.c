/* http.c - HTTP/1.1 on the wire: bytes to struct req, struct resp to bytes.
 *
 * Never sees a socket or a file name.  The parser goes on where it stopped,
 * line by line, so that a bad line is answered when it is complete and not
 * when the head is.  RFC 9112; decisions cite the section. */
#include "sws.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* What a byte may be part of. */
enum {
	TOKEN = 1,		/* RFC 9110 5.6.2 */
	VALUE = 2,		/* field content: visible, SP, HTAB, obs-text */
	TARGET = 4,		/* visible but '#' and '\', and bytes >= 0x80 */
	HOSTCH = 8,		/* reg-name: unreserved, sub-delims, '%' */
	DIGIT = 16,
};

#define T TOKEN | VALUE | TARGET
#define TH TOKEN | VALUE | TARGET | HOSTCH
#define DH TOKEN | VALUE | TARGET | HOSTCH | DIGIT
#define V VALUE | TARGET
#define VH VALUE | TARGET | HOSTCH
static const uint8_t class[256] = {
	['\t'] = VALUE, [' '] = VALUE,
	['!'] = TH, ['"'] = V, ['#'] = TOKEN | VALUE, ['$'] = TH, ['%'] = TH,
	['&'] = TH, ['\''] = TH, ['('] = VH, [')'] = VH, ['*'] = TH,
	['+'] = TH, [','] = VH, ['-'] = TH, ['.'] = TH, ['/'] = V,
	['0'] = DH, ['1'] = DH, ['2'] = DH, ['3'] = DH, ['4'] = DH, ['5'] = DH,
	['6'] = DH, ['7'] = DH, ['8'] = DH, ['9'] = DH,
	[':'] = V, [';'] = VH, ['<'] = V, ['='] = VH, ['>'] = V, ['?'] = V,
	['@'] = V,
	['A'] = TH, ['B'] = TH, ['C'] = TH, ['D'] = TH, ['E'] = TH, ['F'] = TH,
	['G'] = TH, ['H'] = TH, ['I'] = TH, ['J'] = TH, ['K'] = TH, ['L'] = TH,
	['M'] = TH, ['N'] = TH, ['O'] = TH, ['P'] = TH, ['Q'] = TH, ['R'] = TH,
	['S'] = TH, ['T'] = TH, ['U'] = TH, ['V'] = TH, ['W'] = TH, ['X'] = TH,
	['Y'] = TH, ['Z'] = TH, ['['] = V, ['\\'] = VALUE, [']'] = V,
	['^'] = T, ['_'] = TH, ['`'] = T,
	['a'] = TH, ['b'] = TH, ['c'] = TH, ['d'] = TH, ['e'] = TH, ['f'] = TH,
	['g'] = TH, ['h'] = TH, ['i'] = TH, ['j'] = TH, ['k'] = TH, ['l'] = TH,
	['m'] = TH, ['n'] = TH, ['o'] = TH, ['p'] = TH, ['q'] = TH, ['r'] = TH,
	['s'] = TH, ['t'] = TH, ['u'] = TH, ['v'] = TH, ['w'] = TH, ['x'] = TH,
	['y'] = TH, ['z'] = TH, ['{'] = V, ['|'] = T, ['}'] = V, ['~'] = TH,
#define O4(i) [i] = V, [i + 1] = V, [i + 2] = V, [i + 3] = V
#define O16(i) O4(i), O4(i + 4), O4(i + 8), O4(i + 12)
	O16(0x80), O16(0x90), O16(0xa0), O16(0xb0), O16(0xc0), O16(0xd0),
	O16(0xe0), O16(0xf0),
#undef O4
#undef O16
};
#undef T
#undef TH
#undef DH
#undef V
#undef VH

static const struct {
	const char *name;
	uint8_t len;
} field_name[NFIELDS] = {
#define N(s) { s, sizeof s - 1 }
	[F_ACCEPT] = N("accept"),
	[F_ACCEPT_ENCODING] = N("accept-encoding"),
	[F_AC_REQUEST_HEADERS] = N("access-control-request-headers"),
	[F_AC_REQUEST_METHOD] = N("access-control-request-method"),
	[F_AUTHORIZATION] = N("authorization"),
	[F_CONNECTION] = N("connection"),
	[F_CONTENT_LENGTH] = N("content-length"),
	[F_EXPECT] = N("expect"),
	[F_HOST] = N("host"),
	[F_IF_MATCH] = N("if-match"),
	[F_IF_MODIFIED_SINCE] = N("if-modified-since"),
	[F_IF_NONE_MATCH] = N("if-none-match"),
	[F_IF_RANGE] = N("if-range"),
	[F_IF_UNMODIFIED_SINCE] = N("if-unmodified-since"),
	[F_ORIGIN] = N("origin"),
	[F_RANGE] = N("range"),
	[F_REFERER] = N("referer"),
	[F_TRANSFER_ENCODING] = N("transfer-encoding"),
	[F_USER_AGENT] = N("user-agent"),
	[F_X_FORWARDED_FOR] = N("x-forwarded-for"),
	[F_X_REAL_IP] = N("x-real-ip"),
#undef N
};

static const struct {
	const char *name;
	uint8_t method;
} methods[] = {
	{ "GET", M_GET }, { "HEAD", M_HEAD }, { "OPTIONS", M_OPTIONS },
	{ "POST", M_KNOWN }, { "PUT", M_KNOWN }, { "DELETE", M_KNOWN },
	{ "CONNECT", M_KNOWN }, { "TRACE", M_KNOWN }, { "PATCH", M_KNOWN },
};

enum step { REQUEST_LINE, FIELD_LINES };

_Static_assert(NFIELDS <= 32, "a bit each in req.have");

static size_t
run_of(const char *p, size_t n, unsigned what)
{
	size_t i;

	for (i = 0; i < n && (class[(unsigned char)p[i]] & what) != 0; i++)
		;
	return i;
}

static bool
is(const char *p, size_t n, const char *lower)
{
	return strlen(lower) == n && strncasecmp(p, lower, n) == 0;
}

void
http_reset(struct req *q)
{
	const char *base = q->base;

	memset(q, 0, sizeof *q);
	q->base = base;
}

static struct span
span(const struct req *q, const char *p, size_t n)
{
	return (struct span){ (uint16_t)(p - q->base), (uint16_t)n };
}

/* RFC 9112 3.2, RFC 3986 3.2.2: host and optional port, nothing else. */
static bool
good_host(const char *p, size_t n)
{
	size_t k, port = 0;

	if (n == 0)
		return false;
	if (p[0] == '[') {
		for (k = 1; k < n && p[k] != ']'; k++)
			if (strchr("0123456789abcdefABCDEF:.", p[k]) == NULL ||
			    p[k] == '\0')
				return false;
		if (k == n || k < 3)
			return false;
		k++;
	} else {
		k = run_of(p, n, HOSTCH);
		if (k == 0)
			return false;
	}
	if (k == n)
		return true;
	if (p[k++] != ':')
		return false;
	for (; k < n; k++) {
		if ((class[(unsigned char)p[k]] & DIGIT) == 0)
			return false;
		port = port * 10 + (size_t)(p[k] - '0');
		if (port > 65535)
			return false;
	}
	return true;
}

/* RFC 9112 3.2: the four forms.  Returns 0 or a status. */
static int
take_target(struct req *q, const char *p, size_t n)
{
	const char *end = p + n, *mark;
	size_t k;

	if (run_of(p, n, TARGET) != n)
		return 400;
	if (n == 1 && *p == '*') {
		q->path = span(q, p, 1);
		return q->method == M_OPTIONS ? 0 : 400;
	}
	if (*p != '/') {
		/* authority-form is for CONNECT, which is refused anyway */
		if (q->method == M_KNOWN && q->name.len == 7 &&
		    memcmp(q->base + q->name.off, "CONNECT", 7) == 0)
			return 0;
		/* either scheme: a TLS proxy may stand in front */
		if (n > 7 && strncasecmp(p, "http://", 7) == 0)
			p += 7;
		else if (n > 8 && strncasecmp(p, "https://", 8) == 0)
			p += 8;
		else
			return 400;
		for (k = 0; p + k < end && p[k] != '/' && p[k] != '?'; k++)
			;
		if (!good_host(p, k))
			return 400;
		q->host = span(q, p, k);
		p += k;
	}
	mark = memchr(p, '?', (size_t)(end - p));
	q->path = span(q, p, (size_t)((mark ? mark : end) - p));
	if (mark != NULL)
		q->query = span(q, mark + 1, (size_t)(end - mark - 1));
	return 0;
}

/* RFC 9112 3.  p..p+n is a line without its CRLF. */
static int
request_line(struct req *q, const char *p, size_t n)
{
	const char *v;
	size_t k, m;

	q->line = span(q, p, n);
	m = run_of(p, n, TOKEN);
	if (m == 0 || m == n || p[m] != ' ')
		return 400;
	q->name = span(q, p, m);
	for (k = 0; k < sizeof methods / sizeof methods[0]; k++)
		if (strlen(methods[k].name) == m &&
		    memcmp(methods[k].name, p, m) == 0)
			q->method = methods[k].method;
	/* exactly one space, the target, one space, HTTP/d.d */
	v = memchr(p + m + 1, ' ', n - m - 1);
	if (v == NULL || v == p + m + 1)
		return 400;
	k = (size_t)(p + n - ++v);
	if (k != 8 || memcmp(v, "HTTP/", 5) != 0 || v[6] != '.' ||
	    (class[(unsigned char)v[5]] & DIGIT) == 0 ||
	    (class[(unsigned char)v[7]] & DIGIT) == 0)
		return 400;
	if (v[5] != '1')
		return 505;
	q->minor = (uint8_t)(v[7] - '0');
	q->keep = q->minor > 0;
	return take_target(q, p + m + 1, (size_t)(v - 1 - (p + m + 1)));
}

/* The next element of a comma list: its start in *p, its length returned;
 * *p and *n move behind the comma.  -1 at the end. */
static ssize_t
element(const char **p, size_t *n, const char **at)
{
	const char *comma;
	size_t len;

	if (*p == NULL)
		return -1;
	comma = memchr(*p, ',', *n);
	len = comma ? (size_t)(comma - *p) : *n;
	*at = *p;
	*p = comma ? comma + 1 : NULL;
	*n = comma ? *n - len - 1 : 0;
	while (len > 0 && (**at == ' ' || **at == '\t')) {
		(*at)++;
		len--;
	}
	while (len > 0 && ((*at)[len - 1] == ' ' || (*at)[len - 1] == '\t'))
		len--;
	return (ssize_t)len;
}

/* RFC 9112 6.3: digits only, one value. */
static int
content_length(struct req *q, const char *p, size_t n)
{
	uint64_t v = 0;
	size_t i;

	/* 9110 8.6 lets a recipient take "5, 5" as 5; nothing honest sends it */
	if (q->has_cl || n == 0)
		return 400;
	for (i = 0; i < n; i++) {
		if ((class[(unsigned char)p[i]] & DIGIT) == 0 ||
		    v > (INT64_MAX - 9) / 10)
			return 400;
		v = v * 10 + (uint64_t)(p[i] - '0');
	}
	q->has_cl = true;
	q->body |= v > 0;
	return 0;
}

/* RFC 9112 6.1: chunked last and once, or the length cannot be known. */
static int
transfer_encoding(struct req *q, const char *p, size_t n)
{
	const char *at;
	bool others = false, chunked = false;
	ssize_t k;

	if (q->has_te)
		return 400;
	q->has_te = q->body = true;
	while ((k = element(&p, &n, &at)) >= 0) {
		if (k == 0 || chunked || run_of(at, (size_t)k, TOKEN) == 0)
			return 400;
		chunked = is(at, (size_t)k, "chunked");
		others |= !chunked;
	}
	if (!chunked)
		return 400;
	return others ? 501 : 0;
}

static void
connection(struct req *q, const char *p, size_t n)
{
	const char *at;
	ssize_t k;

	while ((k = element(&p, &n, &at)) >= 0)
		if (is(at, (size_t)k, "close"))
			q->close = true;
		else if (is(at, (size_t)k, "keep-alive"))
			q->keep = true;
}

/* Few names have the same length: look only at those. */
static enum field
which(const char *p, size_t n)
{
	static uint8_t first[32], next[NFIELDS];	/* by length */
	static bool ready;
	enum field f;

	for (f = 1; f < NFIELDS && !ready; f++) {
		next[f] = first[field_name[f].len];
		first[field_name[f].len] = (uint8_t)f;
	}
	ready = true;
	if (n >= sizeof first)
		return F_NONE;
	for (f = first[n]; f != F_NONE; f = next[f])
		if ((p[0] | 0x20) == field_name[f].name[0] &&
		    strncasecmp(p, field_name[f].name, n) == 0)
			break;
	return f;
}

/* RFC 9112 5.  p..p+n is a line without its CRLF, n > 0. */
static int
field_line(struct req *q, const char *p, size_t n)
{
	const char *v, *end = p + n;
	enum field f;
	size_t k;

	/* 5.1, 5.2: no space before the colon, no folding; both are tricks
	 * to make two parsers see different fields */
	k = run_of(p, n, TOKEN);
	if (k == 0 || k == n || p[k] != ':')
		return 400;
	v = p + k + 1;
	if (run_of(v, (size_t)(end - v), VALUE) != (size_t)(end - v))
		return 400;
	if (++q->nfields > FIELDS_MAX)
		return 431;
	f = which(p, k);
	if (f == F_NONE)
		return 0;
	while (v < end && (*v == ' ' || *v == '\t'))
		v++;
	while (v < end && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	n = (size_t)(end - v);
	if (q->have & 1U << f)
		q->twice |= 1U << f;
	else
		q->field[f] = span(q, v, n);
	q->have |= 1U << f;
	switch (f) {
	case F_HOST:
		return (q->twice & 1U << F_HOST) || !good_host(v, n) ? 400 : 0;
	case F_CONTENT_LENGTH:
		return content_length(q, v, n);
	case F_TRANSFER_ENCODING:
		return transfer_encoding(q, v, n);
	case F_CONNECTION:
		connection(q, v, n);
		return 0;
	case F_EXPECT:
		q->expect_bad |= !is(v, n, "100-continue");
		return 0;
	default:
		return 0;
	}
}

/* What only the whole head can tell. */
static int
check(struct req *q)
{
	if ((q->have & 1U << F_HOST) == 0 && q->minor > 0)
		return 400;	/* RFC 9112 3.2 */
	if (q->has_te && (q->has_cl || q->minor == 0))
		return 400;	/* RFC 9112 6.1: both ways to smuggle */
	/* RFC 9112 3.2.2: an absolute-form target's authority is the host */
	if (q->host.len == 0)
		q->host = q->field[F_HOST];
	/* content is never read as such; "close" wins, RFC 9112 9.3 */
	if (q->body || q->close)
		q->keep = false;
	return 1;
}

int
http_parse(struct req *q, size_t n)
{
	const char *p, *lf;
	size_t len;
	int rc;

	if (n > HEAD_MAX)
		n = HEAD_MAX;
	for (;;) {
		p = q->base + q->pos;
		len = n - q->pos;
		/* nothing that starts like this becomes a request: say so now
		 * (a TLS client would wait for our hello until its deadline) */
		if (q->step == REQUEST_LINE && len > 0 && *p != '\r' &&
		    (class[(unsigned char)*p] & TOKEN) == 0)
			return 400;
		lf = memchr(p, '\n', len);
		if (q->step == REQUEST_LINE &&
		    (lf ? (size_t)(lf - p) : len) > LINE_MAX_LEN + 1)
			return 414;
		if (lf == NULL)
			return n == HEAD_MAX ? 431 : 0;
		/* RFC 9112 2.2: a bare LF need not be a line end, and is none */
		if (lf == p || lf[-1] != '\r')
			return 400;
		len = (size_t)(lf - p) - 1;
		q->pos = (uint16_t)(lf + 1 - q->base);
		if (q->step == FIELD_LINES && len == 0)
			return check(q);
		if (q->step == FIELD_LINES) {
			rc = field_line(q, p, len);
		} else if (len == 0) {	/* 2.2: empty lines before it */
			rc = q->pos > LEAD_MAX ? 400 : 0;
		} else {
			rc = request_line(q, p, len);
			q->step = FIELD_LINES;
		}
		if (rc != 0)
			return rc;
	}
}

struct str
http_field(const struct req *q, enum field f)
{
	static char joined[HEAD_MAX];
	const char *p = q->base + q->line.off + q->line.len + 2;
	const char *end = q->base + q->pos, *lf;
	size_t n = 0, len, k = field_name[f].len;

	if ((q->twice & 1U << f) == 0)
		return (struct str){ q->base + q->field[f].off,
		    q->field[f].len };
	/* rare: go through the lines again.  The sum is shorter than the head */
	for (; p < end && (lf = memchr(p, '\n', (size_t)(end - p))) != NULL;
	    p = lf + 1) {
		len = (size_t)(lf - p);
		if (len <= k || p[k] != ':' ||
		    strncasecmp(p, field_name[f].name, k) != 0)
			continue;
		if (n > 0)
			joined[n++] = ',';
		memcpy(joined + n, p + k + 1, len - k - 2);
		n += len - k - 2;
	}
	return (struct str){ joined, n };
}

int
http_qvalue(const char *p, size_t n)
{
	static const int weight[] = { 100, 10, 1 };
	int q;
	size_t i;

	if (n == 0 || n > 5 || (p[0] != '0' && p[0] != '1') ||
	    (n > 1 && p[1] != '.'))
		return -1;
	q = p[0] == '1' ? 1000 : 0;
	for (i = 2; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return -1;
		q += (p[i] - '0') * weight[i - 2];
	}
	return q <= 1000 ? q : -1;
}

const char *
http_reason(int status)
{
	switch (status) {
	case 200: return "OK";
	case 201: return "Created";
	case 202: return "Accepted";
	case 203: return "Non-Authoritative Information";
	case 204: return "No Content";
	case 205: return "Reset Content";
	case 206: return "Partial Content";
	case 207: return "Multi-Status";
	case 208: return "Already Reported";
	case 226: return "IM Used";
	case 300: return "Multiple Choices";
	case 301: return "Moved Permanently";
	case 302: return "Found";
	case 303: return "See Other";
	case 304: return "Not Modified";
	case 305: return "Use Proxy";
	case 307: return "Temporary Redirect";
	case 308: return "Permanent Redirect";
	case 400: return "Bad Request";
	case 401: return "Unauthorized";
	case 402: return "Payment Required";
	case 403: return "Forbidden";
	case 404: return "Not Found";
	case 405: return "Method Not Allowed";
	case 406: return "Not Acceptable";
	case 407: return "Proxy Authentication Required";
	case 408: return "Request Timeout";
	case 409: return "Conflict";
	case 410: return "Gone";
	case 411: return "Length Required";
	case 412: return "Precondition Failed";
	case 413: return "Content Too Large";
	case 414: return "URI Too Long";
	case 415: return "Unsupported Media Type";
	case 416: return "Range Not Satisfiable";
	case 417: return "Expectation Failed";
	case 421: return "Misdirected Request";
	case 422: return "Unprocessable Content";
	case 423: return "Locked";
	case 424: return "Failed Dependency";
	case 425: return "Too Early";
	case 426: return "Upgrade Required";
	case 428: return "Precondition Required";
	case 429: return "Too Many Requests";
	case 431: return "Request Header Fields Too Large";
	case 451: return "Unavailable For Legal Reasons";
	case PLAIN_ON_TLS: return "This port speaks TLS: use https";
	case 500: return "Internal Server Error";
	case 501: return "Not Implemented";
	case 502: return "Bad Gateway";
	case 503: return "Service Unavailable";
	case 504: return "Gateway Timeout";
	case 505: return "HTTP Version Not Supported";
	case 506: return "Variant Also Negotiates";
	case 507: return "Insufficient Storage";
	case 508: return "Loop Detected";
	case 510: return "Not Extended";
	case 511: return "Network Authentication Required";
	}
	return "";
}

void
http_put(struct resp *r, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(r->fields + r->n, sizeof r->fields - r->n, fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < sizeof r->fields - r->n)
		r->n += (size_t)n;
}

static char *
append(char *p, const char *s, size_t n)
{
	if (n > 0)
		memcpy(p, s, n);
	return p + n;
}

size_t
http_head(const struct req *q, const struct resp *r, char *dst, size_t cap)
{
	static const char ok[] = "HTTP/1.1 200 OK\r\n";
	static const char bye[] = "connection: close\r\n";
	static const char stay[] = "connection: keep-alive\r\n";
	static const char chunked[] = "transfer-encoding: chunked\r\n";
	char *p = dst;

	/* status line, Date, Connection, framing, end: under 160 */
	if (r->n + r->shared.n + 160 > cap)
		return 0;
	if (r->status == 200)
		p = append(p, ok, sizeof ok - 1);
	else
		p += snprintf(p, 80, "HTTP/1.1 %d %s\r\n", r->status,
		    http_reason(r->status));
	p = append(p, log_date, log_datelen);
	if (r->close)
		p = append(p, bye, sizeof bye - 1);
	else if (q->minor == 0)
		p = append(p, stay, sizeof stay - 1);
	/* to 1.0 the end of the connection is the end of the content */
	if (r->open && q->minor > 0)
		p = append(p, chunked, sizeof chunked - 1);
	p = append(p, r->shared.p, r->shared.n);
	p = append(p, r->fields, r->n);
	p = append(p, "\r\n", 2);
	return (size_t)(p - dst);
}
