/* metrics.c - what has been counted, as Prometheus reads it.
 *
 * Nothing a client sends becomes a label, and each label has a table of fixed
 * size, so the text is bounded. */
#include "sws.h"

#include <stdio.h>
#include <string.h>

enum {
	STATUSES = 64,		/* told apart; 0 stands for all others */
	METHODS = M_KNOWN,	/* M_OTHER for what we do not serve */
};

static const char *const method_name[METHODS] = {
	[M_OTHER] = "other", [M_GET] = "GET", [M_HEAD] = "HEAD",
	[M_OPTIONS] = "OPTIONS",
};

/* Two a decade: files come in a tenth of a millisecond from memory, in minutes
 * over a slow line. */
static const struct {
	const char *le;
	int64_t us;
} bucket[] = {
	{ "0.0001", 100 }, { "0.0003", 300 }, { "0.001", 1000 },
	{ "0.003", 3000 }, { "0.01", 10000 }, { "0.03", 30000 },
	{ "0.1", 100000 }, { "0.3", 300000 }, { "1", 1000000 },
	{ "3", 3000000 }, { "10", 10000000 }, { "30", 30000000 },
	{ "100", 100000000 }, { "+Inf", INT64_MAX },
};
enum { BUCKETS = sizeof bucket / sizeof bucket[0] };

static time_t started;
static uint8_t row[600];	/* of a status: 0 = none yet */
static int status_of[STATUSES];
static unsigned rows = 1;
static uint64_t requests[METHODS][STATUSES];
static uint64_t took[BUCKETS], took_us;
static uint64_t sent;
static uint64_t connections[2][2];	/* by HTTP/2, TLS */
static unsigned active, inflight;

static void __attribute__((constructor))
start(void)
{
	started = time(NULL);
}

void
metrics_conn(int change)
{
	active += (unsigned)change;
}

void
metrics_protocol(unsigned version, bool tls)
{
	connections[version == 2][tls]++;
}

void
metrics_begin(void)
{
	inflight++;
}

/* Where a status is counted; it gets a row when it is new. */
static unsigned
row_of(int status)
{
	if (status < 100 || status > 599)
		return 0;
	if (row[status] == 0 && rows < STATUSES) {
		status_of[rows] = status;
		row[status] = (uint8_t)rows++;
	}
	return row[status];
}

void
metrics_end(unsigned method, int status, int64_t bytes, int64_t us)
{
	unsigned i;

	inflight--;
	requests[method < METHODS ? method : M_OTHER][row_of(status)]++;
	if (bytes > 0)
		sent += (uint64_t)bytes;
	if (us > 0)
		took_us += (uint64_t)us;
	for (i = 0; us > bucket[i].us; i++)
		;
	took[i]++;
}

struct text {
	char *p;
	size_t n, cap;
};

/* Whole lines, and none behind one that did not fit. */
static void __attribute__((format(printf, 2, 3)))
put(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->p + t->n, t->cap - t->n, fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < t->cap - t->n)
		t->n += (size_t)n;
	else
		t->cap = t->n;
}

static void
about(struct text *t, const char *name, const char *type, const char *help)
{
	put(t, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void
value(struct text *t, const char *name, uint64_t v)
{
	put(t, "%s %llu\n", name, (unsigned long long)v);
}

static void
put_requests(struct text *t)
{
	static const char name[] = "sws_http_requests_total";
	char status[16] = "other";
	unsigned m, i;

	about(t, name, "counter", "Finished answers.");
	for (i = 0; i < rows; i++) {
		if (i > 0)
			snprintf(status, sizeof status, "%d", status_of[i]);
		for (m = 0; m < METHODS; m++)
			if (requests[m][i] > 0)
				put(t, "%s{method=\"%s\",status=\"%s\"} %llu\n",
				    name, method_name[m], status,
				    (unsigned long long)requests[m][i]);
	}
}

static void
put_durations(struct text *t)
{
	static const char name[] = "sws_http_request_duration_seconds";
	uint64_t n = 0;
	unsigned i;

	about(t, name, "histogram",
	    "From the end of a request's head to the end of its answer.");
	for (i = 0; i < BUCKETS; i++)
		put(t, "%s_bucket{le=\"%s\"} %llu\n", name, bucket[i].le,
		    (unsigned long long)(n += took[i]));
	put(t, "%s_sum %llu.%06u\n%s_count %llu\n", name,
	    (unsigned long long)(took_us / 1000000),
	    (unsigned)(took_us % 1000000), name, (unsigned long long)n);
}

static void
put_connections(struct text *t)
{
	static const char name[] = "sws_http_connections_total";
	int h2, tls;

	about(t, name, "counter", "Connections, once their protocol is known.");
	for (h2 = 0; h2 < 2; h2++)
		for (tls = 0; tls < 2; tls++)
			put(t, "%s{protocol=\"%s\",tls=\"%s\"} %llu\n", name,
			    h2 ? "h2" : "http/1.1", tls ? "true" : "false",
			    (unsigned long long)connections[h2][tls]);
}

size_t
metrics_text(char *dst, size_t cap)
{
	struct text t = { dst, 0, cap < METRICS_MAX ? cap : METRICS_MAX };

	about(&t, "sws_build_info", "gauge", "1; the version is its label.");
	put(&t, "sws_build_info{version=\"%s\"} 1\n", SWS_VERSION);
	about(&t, "process_start_time_seconds", "gauge",
	    "Start of the process, in seconds since 1970 began (UTC).");
	value(&t, "process_start_time_seconds", (uint64_t)started);
	about(&t, "sws_http_connections_active", "gauge", "Open connections.");
	value(&t, "sws_http_connections_active", active);
	put_connections(&t);
	about(&t, "sws_http_requests_inflight", "gauge",
	    "Requests whose answer is not over.");
	value(&t, "sws_http_requests_inflight", inflight);
	put_requests(&t);
	put_durations(&t);
	about(&t, "sws_http_response_bytes_total", "counter",
	    "Bytes of content sent.");
	value(&t, "sws_http_response_bytes_total", sent);
	return t.n;
}
