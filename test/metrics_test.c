/* metrics_test.c - metrics.c, without a server.
 *
 *	metrics_test run	counts and limits
 *	metrics_test STATE	the text of a state: none, some, full
 */
#include "../metrics.c"

static char dst[METRICS_MAX + 1];
static int failed;

static void
check(bool good, const char *what)
{
	if (good) {
		printf("ok %s\n", what);
	} else {
		printf("FAIL %s\n", what);
		failed++;
	}
}

static bool
has(const char *s)
{
	size_t n = metrics_text(dst, METRICS_MAX), len = strlen(s);
	const char *p;

	dst[n] = '\0';
	for (p = dst; (p = strstr(p, s)) != NULL; p += len)
		if ((p == dst || p[-1] == '\n') && p[len] == '\n')
			return true;
	return false;
}

static void
some(void)
{
	metrics_conn(1);
	metrics_conn(1);
	metrics_conn(1);
	metrics_conn(-1);
	metrics_protocol(1, false);
	metrics_protocol(2, true);
	metrics_protocol(2, true);
	metrics_begin();
	metrics_begin();
	metrics_begin();
	metrics_end(M_GET, 200, 1000, 100);
	metrics_end(M_KNOWN, 405, 50, 101);
	metrics_begin();
	metrics_end(M_OTHER, 501, 0, 2000000);
}

/* As much as there can be: all statuses, all numbers as long as they get. */
static void
full(void)
{
	int m, s;
	size_t i;

	for (m = -1; m < 10; m++)
		for (s = -10; s < 1010; s++)
			metrics_end((unsigned)m, s, INT64_MAX, INT64_MAX);
	for (m = 0; m < METHODS; m++)
		for (i = 0; i < STATUSES; i++)
			requests[m][i] = UINT64_MAX;
	for (i = 0; i < BUCKETS; i++)
		took[i] = i == 0 ? UINT64_MAX : 0;
	took_us = sent = UINT64_MAX;
	for (i = 0; i < 4; i++)
		connections[i / 2][i % 2] = UINT64_MAX;
	active = inflight = UINT32_MAX;
}

static void
test_counts(void)
{
	char small[METRICS_MAX];
	size_t n, all, cap, bad;

	some();
	check(has("sws_http_requests_total{method=\"GET\",status=\"200\"} 1") &&
	    has("sws_http_requests_total{method=\"other\",status=\"405\"} 1") &&
	    has("sws_http_requests_total{method=\"other\",status=\"501\"} 1"),
	    "requests by method and status");
	check(has("sws_http_connections_active 2") &&
	    has("sws_http_connections_total{protocol=\"http/1.1\","
	    "tls=\"false\"} 1") &&
	    has("sws_http_connections_total{protocol=\"http/1.1\","
	    "tls=\"true\"} 0") &&
	    has("sws_http_connections_total{protocol=\"h2\",tls=\"true\"} 2"),
	    "connections");
	check(has("sws_http_requests_inflight 1"), "requests under way");
	check(has("sws_http_response_bytes_total 1050"), "bytes");
	/* le is "less or equal" */
	check(has("sws_http_request_duration_seconds_bucket{le=\"0.0001\"} 1") &&
	    has("sws_http_request_duration_seconds_bucket{le=\"0.0003\"} 2") &&
	    has("sws_http_request_duration_seconds_bucket{le=\"1\"} 2") &&
	    has("sws_http_request_duration_seconds_bucket{le=\"3\"} 3") &&
	    has("sws_http_request_duration_seconds_bucket{le=\"+Inf\"} 3") &&
	    has("sws_http_request_duration_seconds_count 3") &&
	    has("sws_http_request_duration_seconds_sum 2.000201"), "durations");
	check(has("sws_build_info{version=\"" SWS_VERSION "\"} 1"), "version");
	for (n = 0; n < 2; n++)
		metrics_end(M_HEAD, n ? INT32_MAX : INT32_MIN, -1, -1);
	check(has("sws_http_requests_total{method=\"HEAD\",status=\"other\"} 2"),
	    "a status that is none");

	full();
	all = metrics_text(dst, METRICS_MAX);
	fprintf(stderr, "at most %zu bytes\n", all);
	check(all < METRICS_MAX - 1000 && dst[all - 1] == '\n',
	    "all there can be is below METRICS_MAX");
	for (bad = 0, cap = 0; cap < sizeof small; cap += 1 + cap / 50) {
		n = metrics_text(small, cap);
		bad += n > 0 && (n >= cap || small[n - 1] != '\n' ||
		    memcmp(small, dst, n) != 0);
	}
	check(bad == 0, "less room: whole lines from the beginning");
}

int
main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "run") == 0) {
		test_counts();
		return failed > 0;
	}
	if (strcmp(what, "some") == 0)
		some();
	else if (strcmp(what, "full") == 0)
		full();
	fwrite(dst, 1, metrics_text(dst, METRICS_MAX), stdout);
	return 0;
}
