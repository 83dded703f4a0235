/* log_test.c - log.c's access lines, without a server.
 *
 *	log_test run			networks, proxies, limits, colours
 *	log_test lines FORMAT FILE	hostile lines to FILE, and to standard
 *					output what they were made of, in hex
 */
#include "../log.c"

static int failed;
static const char *part = "";

static void
check(bool good, const char *what, int line_no)
{
	if (!good) {
		printf("FAIL %s: line %d: %s\n", part, line_no, what);
		failed++;
	}
}
#define must(x) check((x), #x, __LINE__)

static void
begin(const char *name)
{
	part = name;
	failed = 0;
}

static int all;

static void
end(void)
{
	if (failed == 0)
		printf("ok %s\n", part);
	all += failed;
}

/* ---- a place where lines go ---------------------------------------------- */

static int out[2];		/* a pipe: written by log.c, read by us */

/* The line that is there, without its end; "" if there is none. */
static const char *
last_line(void)
{
	static char got[2 * LOGLINE];
	ssize_t n = read(out[0], got, sizeof got - 1), i;

	if (n <= 0)
		return "";
	must(n <= LOGLINE && got[n - 1] == '\n');
	for (i = 0; i < n - 1; i++)	/* ESC is our own colour */
		must((got[i] >= ' ' && got[i] < 0x7f) || got[i] == '\033');
	got[n - 1] = '\0';
	return got;
}

/* ---- peers ---------------------------------------------------------------- */

static union {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
} peer;

/* An address, or NULL for a unix socket's. */
static void
set_peer(const char *s)
{
	memset(&peer, 0, sizeof peer);
	if (s == NULL) {
		peer.un.sun_family = AF_UNIX;
	} else if (strchr(s, ':') == NULL) {
		peer.in.sin_family = AF_INET;
		must(inet_pton(AF_INET, s, &peer.in.sin_addr) == 1);
	} else {
		peer.in6.sin6_family = AF_INET6;
		must(inet_pton(AF_INET6, s, &peer.in6.sin6_addr) == 1);
	}
}

static struct net nets[NETS_MAX];

/* Trust the networks of a list with spaces. */
static struct log_setup
trust(const char *list)
{
	struct log_setup s = { .remote = true, .trusted = nets };
	char copy[256], *p, *save = NULL;

	snprintf(copy, sizeof copy, "%s", list);
	for (p = strtok_r(copy, " ", &save); p; p = strtok_r(NULL, " ", &save))
		must(log_net(p, &nets[s.ntrusted++]) == 0);
	return s;
}

/* A request of this head, read as http.c reads it. */
static struct req
request(const char *head)
{
	struct req q;

	q.base = head;
	http_reset(&q);
	http_parse(&q, strlen(head));
	q.version = 1;
	q.peer = &peer.sa;
	return q;
}

/* ---- networks ------------------------------------------------------------ */

static void
test_nets(void)
{
	static const struct {
		const char *net, *yes, *no;
	} good[] = {
		{ "192.0.2.1", "192.0.2.1", "192.0.2.2" },
		{ "192.0.2.1/32", "192.0.2.1", "192.0.2.0" },
		{ "192.0.2.0/24", "192.0.2.255", "192.0.3.0" },
		{ "10.0.0.0/8", "10.255.255.255", "11.0.0.0" },
		{ "172.16.0.0/12", "172.31.255.255", "172.32.0.0" },
		{ "128.0.0.0/1", "255.255.255.255", "127.255.255.255" },
		{ "0.0.0.0/0", "203.0.113.9", "2001:db8::1" },
		{ "::/0", "2001:db8::1", "203.0.113.9" },
		{ "2001:db8::/32", "2001:db8:ffff::", "2001:db9::" },
		{ "2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::" },
		{ "2001:DB8::1", "2001:db8::1", "2001:db8::2" },
		{ "fe80::/10", "febf::1", "fec0::1" },
		{ "::1", "::1", "127.0.0.1" },
		{ "::1/128", "::1", "::" },
		{ "::ffff:10.0.0.0/104", "10.1.2.3", "11.0.0.0" },
		{ "::ffff:0:0/96", "203.0.113.9", "::1" },
	};
	static const char *const bad[] = { "", " ", "/", "/8", "localhost",
		"UNIX", "unix:", "unix/0", "192.0.2", "192.0.2.256",
		"192.0.2.1.", "192.0.2.01", "0x7f.0.0.1", "3221225985",
		" 192.0.2.1", "192.0.2.1 ", "192.0.2.1,", "192.0.2.1:80",
		"192.0.2.1/", "192.0.2.1/33", "192.0.2.1/32 ", "192.0.2.1/+32",
		"192.0.2.1/-1", "192.0.2.1/032", "192.0.2.1/32/32",
		"192.0.2.1/a", "192.0.2.1/4294967328", "192.0.2.1/24",
		"192.0.2.1/18446744073709551648", "10.0.0.1/8", "0.0.0.1/0",
		"192.0.2.0/255.255.255.0", "[::1]", "[::1]/128", "::1/129",
		"::1/127", "2001:db8::1/32", "2001:db9::/31", "fe80::1%1",
		"fe80::1%lo", "fe80::%lo/64", "1::2::3", ":::", "::g",
		"1:2:3:4:5:6:7:8:9", "::ffff:10.0.0.0/102", "2001:db8::/32 " };
	struct net n;
	struct in6_addr a;
	size_t i;

	begin("networks");
	for (i = 0; i < sizeof good / sizeof good[0]; i++) {
		part = good[i].net;
		must(log_net(good[i].net, &n) == 0);
		must(read_address(good[i].yes, &a) && within(&a, &n));
		must(read_address(good[i].no, &a) && !within(&a, &n));
	}
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		part = bad[i];
		must(log_net(bad[i], &n) == -1);
	}
	part = "networks";
	must(log_net("192.0.2.0/24", &n) == 0 && n.bits == 96 + 24);
	must(log_net("unix", &n) == 0 && !within(&a, &n));
	end();
}

/* Every prefix of an address, against bits one at a time. */
static void
test_prefixes(void)
{
	struct in6_addr a, b;
	struct net n = { .bits = 0 };
	unsigned bits, k;

	begin("each prefix length, each bit");
	must(read_address("2001:db8:aa55::f00f", &a));
	for (bits = 0; bits <= 128; bits++) {
		n.addr = a;
		n.bits = bits;
		must(within(&a, &n));
		for (k = 0; k < 128; k++) {
			b = a;
			b.s6_addr[k / 8] ^= (uint8_t)(0x80 >> k % 8);
			must(within(&b, &n) == (k >= bits));
		}
	}
	end();
}

/* ---- whose address -------------------------------------------------------- */

#define XFF "x-forwarded-for: "
#define REAL "X-Real-IP: "

static void
test_proxies(void)
{
	/* trusted networks, peer (NULL: unix socket), fields, which of them
	 * count, and who it is then */
	enum { NO = 0, F = 1, R = 2 };
	static const struct {
		const char *trusted, *peer, *fields;
		int count;
		const char *who;
	} t[] = {
	/* nobody is trusted unless said */
	{ "", "203.0.113.5", XFF "1.1.1.1\r\n" REAL "2.2.2.2\r\n", F | R,
	    "203.0.113.5" },
	{ "", "127.0.0.1", XFF "1.1.1.1\r\n", F, "127.0.0.1" },
	{ "", NULL, XFF "1.1.1.1\r\n", F, "unix:" },
	{ "10.0.0.0/8 unix", "203.0.113.5", XFF "1.1.1.1\r\n", F, "203.0.113.5" },
	{ "10.0.0.0/8", NULL, XFF "1.1.1.1\r\n", F, "unix:" },
	{ "::/0", "203.0.113.5", XFF "1.1.1.1\r\n", F, "203.0.113.5" },
	/* trusted, but the field does not count or is not there */
	{ "10.0.0.0/8", "10.0.0.1", XFF "1.1.1.1\r\n" REAL "2.2.2.2\r\n", NO,
	    "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "1.1.1.1\r\n", R, "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", REAL "2.2.2.2\r\n", F, "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", "A: b\r\n", F | R, "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", "", F | R, "10.0.0.1" },
	/* one proxy */
	{ "10.0.0.0/8", "10.0.0.1", XFF "1.1.1.1\r\n", F, "1.1.1.1" },
	{ "10.0.0.0/8", "::ffff:10.0.0.1", XFF "1.1.1.1\r\n", F, "1.1.1.1" },
	{ "10.0.0.0/8", "10.0.0.1", REAL "2.2.2.2\r\n", R, "2.2.2.2" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "1.1.1.1\r\n" REAL "2.2.2.2\r\n", F | R,
	    "2.2.2.2" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "1.1.1.1\r\n" REAL "junk\r\n", F | R,
	    "1.1.1.1" },
	{ "::1", "::1", "X-FORWARDED-FOR:1.1.1.1\r\n", F, "1.1.1.1" },
	{ "unix", NULL, XFF "1.1.1.1\r\n", F, "1.1.1.1" },
	{ "unix", NULL, XFF "1.1.1.1, unix:\r\n", F, "unix:" },
	{ "unix", "10.0.0.1", XFF "1.1.1.1\r\n", F, "10.0.0.1" },
	/* what the client had written already */
	{ "10.0.0.0/8", "10.0.0.1", XFF "6.6.6.6, 1.1.1.1\r\n", F, "1.1.1.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "10.9.9.9, 1.1.1.1\r\n", F, "1.1.1.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "6.6.6.6\r\n" XFF "1.1.1.1\r\n", F,
	    "1.1.1.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "6.6.6.6\r\nA: b\r\n" XFF
	    "7.7.7.7,1.1.1.1\r\nC: d\r\n", F, "1.1.1.1" },
	{ "10.0.0.0/8", "10.0.0.1", REAL "6.6.6.6\r\n" REAL "1.1.1.1\r\n", R,
	    "1.1.1.1" },
	{ "10.0.0.0/8", "10.0.0.1", "X-Forwarded-For-: 6.6.6.6\r\n"
	    "X_Forwarded_For: 6.6.6.6\r\nX-Forwarded-Fo: 6.6.6.6\r\n", F,
	    "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", "A: x-forwarded-for: 6.6.6.6\r\n", F,
	    "10.0.0.1" },
	/* several proxies */
	{ "10.0.0.0/8", "10.0.0.1", XFF "6.6.6.6, 1.1.1.1, 10.0.0.3, 10.0.0.2\r\n",
	    F, "1.1.1.1" },
	{ "10.0.0.0/8 192.0.2.7", "10.0.0.1", XFF "1.1.1.1\r\n" XFF
	    "192.0.2.7\r\n" XFF "10.0.0.2,10.0.0.3\r\n", F, "1.1.1.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "1.1.1.1, 192.0.2.7, 10.0.0.3\r\n", F,
	    "192.0.2.7" },
	/* all of them trusted: the one farthest away */
	{ "10.0.0.0/8", "10.0.0.1", XFF "10.0.0.4 , 10.0.0.3,10.0.0.2\r\n", F,
	    "10.0.0.4" },
	{ "0.0.0.0/0", "10.0.0.1", XFF "6.6.6.6, 1.1.1.1\r\n", F, "6.6.6.6" },
	/* forms */
	{ "10.0.0.0/8", "10.0.0.1", XFF "1.1.1.1:5678\r\n", F, "1.1.1.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "\t 1.1.1.1 \t\r\n", F, "1.1.1.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "2001:DB8:0::1\r\n", F, "2001:db8::1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "[2001:db8::1]\r\n", F, "2001:db8::1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "[2001:db8::1]:443\r\n", F, "2001:db8::1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "::ffff:1.1.1.1\r\n", F, "1.1.1.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "1.1.1.1, ::ffff:10.0.0.2\r\n", F,
	    "1.1.1.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "1.1.1.1, [::ffff:10.0.0.2]:1\r\n", F,
	    "1.1.1.1" },
	{ "2001:db8::/32", "2001:db8::9", XFF "2001:db9::1, 2001:db8::2\r\n", F,
	    "2001:db9::1" },
	/* what is no address ends the walk */
	{ "10.0.0.0/8", "10.0.0.1", XFF "unknown\r\n", F, "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "6.6.6.6, unknown\r\n", F, "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "6.6.6.6, unknown, 10.0.0.2\r\n", F,
	    "10.0.0.2" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "6.6.6.6, _x, 10.0.0.3, 10.0.0.2\r\n", F,
	    "10.0.0.3" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "6.6.6.6\r\n" XFF "unknown\r\n", F,
	    "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "\r\n", F, "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "6.6.6.6,\r\n", F, "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "6.6.6.6, ,10.0.0.2\r\n", F, "10.0.0.2" },
	{ "10.0.0.0/8", "10.0.0.1", XFF ",,,\r\n", F, "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "6.6.6.6\r\n" XFF "\r\n", F, "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "localhost\r\n", F, "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "1.1.1.1 1.1.1.2\r\n", F, "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "1.1.1.1:\r\n", F, "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "1.1.1.1:a\r\n", F, "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "1.1.1.1:1 \"\r\n", F, "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "1.1.1.1:123456\r\n", F, "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "01.1.1.1\r\n", F, "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "1.1.1\r\n", F, "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "1.1.1.1/32\r\n", F, "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "\"1.1.1.1\"\r\n", F, "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "[1.1.1.1]\r\n", F, "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "[1.1.1.1]:80\r\n", F, "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "[::1\r\n", F, "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "[::1]x\r\n", F, "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "[::1]]\r\n", F, "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "[[::1]\r\n", F, "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "::1]:80\r\n", F, "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "[]\r\n", F, "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF ":80\r\n", F, "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "fe80::1%eth0\r\n", F, "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF "[fe80::1%25eth0]\r\n", F, "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", XFF
	    "0000000000000000000000000000000000000000000000000000000000000001\r\n",
	    F, "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", REAL "2.2.2.2, 3.3.3.3\r\n", R, "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", REAL "6.6.6.6\r\n" REAL "x\r\n", R,
	    "10.0.0.1" },
	/* a head that ended before the proxy's own field */
	{ "10.0.0.0/8", "10.0.0.1", XFF "6.6.6.6\r\nbad field\r\n" XFF
	    "1.1.1.1\r\n", F, "10.0.0.1" },
	{ "10.0.0.0/8", "10.0.0.1", REAL "6.6.6.6\r\nbad : field\r\n", R,
	    "10.0.0.1" },
	/* but in one that is wrong as a whole it is there */
	{ "10.0.0.0/8", "10.0.0.1", XFF "1.1.1.1\r\nTransfer-Encoding: chunked"
	    "\r\nContent-Length: 1\r\n", F, "1.1.1.1" },
	};
	char head[1024], name[64];
	struct log_setup s;
	struct req q;
	const char *got;
	size_t i, n;

	begin("the client behind proxies");
	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		snprintf(name, sizeof name, "proxies, row %u", (unsigned)i);
		part = name;
		s = trust(t[i].trusted);
		s.forwarded_for = t[i].count & F;
		s.real_ip = t[i].count & R;
		log_setup(&s);
		set_peer(t[i].peer);
		snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: x\r\n%s\r\n",
		    t[i].fields);
		q = request(head);
		log_access(&q, 200, 0, 0);
		got = last_line();
		n = strlen(t[i].who);
		if (strncmp(got, t[i].who, n) != 0 || got[n] != ' ') {
			printf("FAIL %s: want %s, got %.80s\n", name,
			    t[i].who, got);
			failed++;
		}
	}
	part = "the client behind proxies";
	s = trust("10.0.0.0/8");
	s.forwarded_for = true;
	log_setup(&s);
	set_peer("10.0.0.1");
	q = request("GET / HTTP/1.1\r\nHost: x\r\n" XFF "6.6.6.6\r\n\r\n");
	log_access(&q, 431, 0, 0);	/* HTTP/2 drops what was too much */
	must(strncmp(last_line(), "10.0.0.1 ", 9) == 0);
	q = request("\x16\x03\x01");
	log_access(&q, 400, 0, 0);	/* nothing of a head */
	must(strncmp(last_line(), "10.0.0.1 ", 9) == 0);
	s.remote = false;
	log_setup(&s);
	log_access(&q, 200, 0, 0);
	must(strncmp(last_line(), "- - - [", 7) == 0);
	end();
}

/* ---- limits ---------------------------------------------------------------- */

static char space[65536];

/* A span of n bytes c in `space`, behind those before. */
static struct span
fill(size_t *n, size_t len, int c)
{
	struct span s = { (uint16_t)*n, (uint16_t)len };

	memset(space + *n, c, len);
	*n += len;
	return s;
}

/* All that can be long is; each line still ends, and JSON's with "}". */
static void
test_limits(void)
{
	static const char bytes[] = { 'a', '"', '\\', '\0', '\n', '\x7f',
	    '\x80', '\xff' };
	static const size_t lens[] = { 0, 1, 7, 8, 9, 300, 1000, 1900, 2000,
	    2090, 4096, 8190 };
	struct log_setup s = { .ansi = 1 };
	struct req q = { .base = space, .peer = &peer.sa };
	size_t i, k, m, n;
	const char *got;

	begin("no line is longer than LOGLINE");
	set_peer("2001:db8:1111:2222:3333:4444:5555:6666");
	for (i = 0; i < sizeof bytes; i++)
		for (k = 0; k < 12; k++)
			for (m = 0; m < 4 * 12; m++) {
				n = 0;
				q.line = fill(&n, lens[k], bytes[i]);
				q.name = (struct span){ 0, m & 1 ?
				    (uint16_t)(lens[k] / 2) : 0 };
				q.host = fill(&n, lens[m / 4], bytes[i]);
				q.field[F_REFERER] = fill(&n, lens[m / 4], 'r');
				q.field[F_USER_AGENT] = fill(&n, m & 2 ? 8190 :
				    lens[m / 4], bytes[i]);
				for (s.format = 0; s.format < 3; s.format++) {
					s.remote = m & 4;
					log_setup(&s);
					log_access(&q, 404, INT64_MAX,
					    INT64_MAX);
					got = last_line();
					must(got[0] != '\0');
					must(s.format != LOG_JSON ||
					    got[strlen(got) - 1] == '}');
				}
			}
	end();

	begin("numbers at their ends");
	memset(&q, 0, sizeof q);	/* base too: nothing was read */
	q.peer = &peer.sa;
	set_peer(NULL);
	s = (struct log_setup){ .remote = true };
	log_setup(&s);
	log_access(&q, 400, INT64_MAX, INT64_MAX);
	got = last_line();
	must(strncmp(got, "unix: - - [", 11) == 0);
	must(strstr(got, "] \"-\" 400 9223372036854775807 \"-\" \"-\" "
	    "9223372036854.775807") != NULL);
	log_access(&q, 0, -1, -1);
	must(strstr(last_line(), " 000 0 \"-\" \"-\" 0.000000") != NULL);
	s.format = LOG_JSON;
	log_setup(&s);
	log_access(&q, 400, 0, 999999);
	got = last_line();
	must(strstr(got, "\"remote\":\"unix:\",\"method\":null,\"target\":null,"
	    "\"protocol\":null,\"tls\":false,\"host\":null,\"status\":400,"
	    "\"bytes\":0,\"duration\":0.999999,\"referer\":null,"
	    "\"user_agent\":null}") != NULL);
	end();
}

/* ---- for people ------------------------------------------------------------ */

static void
pretty_is(const struct req *q, int status, int64_t bytes, int64_t us,
    const char *want)
{
	const char *got;

	log_access(q, status, bytes, us);
	got = last_line();
	if (strncmp(got + 2, ":", 1) != 0 || strncmp(got + 5, ":", 1) != 0 ||
	    strlen(got) < 9 || strcmp(got + 9, want) != 0) {
		printf("FAIL %s: got '%s', want '%s'\n", part, got, want);
		failed++;
	}
}

static void
test_pretty(void)
{
	struct log_setup s = { .format = LOG_PRETTY, .remote = true };
	struct req q = request("GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n");

	begin("pretty");
	log_setup(&s);
	set_peer("192.0.2.1");
	pretty_is(&q, 200, 0, 0,
	    "200        0 B     0 us 192.0.2.1       GET /a?b");
	pretty_is(&q, 404, 1023, 999,
	    "404     1023 B   999 us 192.0.2.1       GET /a?b");
	pretty_is(&q, 200, 1024, 1000,
	    "200    1.0 KiB   1.0 ms 192.0.2.1       GET /a?b");
	pretty_is(&q, 200, 1048575, 999999,
	    "200 1023.9 KiB 999.9 ms 192.0.2.1       GET /a?b");
	pretty_is(&q, 206, 1048576, 1000000,
	    "206    1.0 MiB    1.0 s 192.0.2.1       GET /a?b");
	pretty_is(&q, 206, (int64_t)5 << 50, (int64_t)86400 * 1000000,
	    "206 5120.0 TiB 86400.0 s 192.0.2.1       GET /a?b");
	set_peer("203.255.255.111");
	pretty_is(&q, 500, 1, 1,
	    "500        1 B     1 us 203.255.255.111 GET /a?b");
	set_peer("2001:db8:1111::1");
	pretty_is(&q, 500, 1, 1,
	    "500        1 B     1 us 2001:db8:1111::1 GET /a?b");
	s.remote = false;
	log_setup(&s);
	pretty_is(&q, 500, 1, 1, "500        1 B     1 us GET /a?b");
	q = request("GET /\x1b[31m\"HTTP/1.1\r\n");
	pretty_is(&q, 400, 1, 1,
	    "400        1 B     1 us GET /\\x1b[31m\\\"HTTP/1.1");
	q = request("\x16\x03\x01");
	pretty_is(&q, 400, 1, 1, "400        1 B     1 us -");
	end();

	begin("pretty, in colours");
	s.ansi = 1;
	log_setup(&s);
	q = request("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
	pretty_is(&q, 200, 1, 1,
	    "\033[32m200\033[0m        1 B     1 us GET /a");
	pretty_is(&q, 304, 1, 1,
	    "\033[36m304\033[0m        1 B     1 us GET /a");
	pretty_is(&q, 404, 1, 1,
	    "\033[33m404\033[0m        1 B     1 us GET /a");
	pretty_is(&q, 503, 1, 1,
	    "\033[31m503\033[0m        1 B     1 us GET /a");
	pretty_is(&q, 101, 1, 1, "101        1 B     1 us GET /a");
	pretty_is(&q, 999, 1, 1, "999        1 B     1 us GET /a");
	s.format = LOG_COMBINED;
	log_setup(&s);
	log_access(&q, 404, 0, 0);
	must(strchr(last_line(), '\033') == NULL);
	end();
}

/* Colours come by themselves on a terminal, and not where people said no. */
static void
test_terminal(void)
{
	struct log_setup s = { .format = LOG_PRETTY, .ansi = -1 };
	int tty = posix_openpt(O_RDWR | O_NOCTTY), pipe_fd = lines.fd;
	const char *slave;

	begin("colours on a terminal");
	if (tty < 0 || grantpt(tty) < 0 || unlockpt(tty) < 0 ||
	    (slave = ptsname(tty)) == NULL) {
		printf("skip %s: no pty\n", part);
		return;
	}
	unsetenv("NO_COLOR");
	log_setup(&s);
	must(!colours);
	lines.fd = -1;		/* syslog */
	log_setup(&s);
	must(!colours);
	must(log_open(slave) == 0 && colours);
	setenv("NO_COLOR", "", 1);
	log_setup(&s);
	must(colours);
	setenv("NO_COLOR", "0", 1);
	log_setup(&s);
	must(!colours);
	s.ansi = 1;		/* said for this program: stronger */
	log_setup(&s);
	must(colours);
	unsetenv("NO_COLOR");
	s.ansi = 0;
	log_setup(&s);
	must(!colours);
	close(lines.fd);
	lines.fd = pipe_fd;
	close(tty);
	end();
}

/* log_open() back and forth keeps one descriptor, and messages theirs. */
static void
test_files(void)
{
	char name[] = "/tmp/sws-log-XXXXXX";
	int fd = mkstemp(name), pipe_fd = lines.fd, own, i;
	struct sink m = messages;

	begin("files opened anew");
	must(fd >= 0);
	must((own = fcntl(1, F_DUPFD, 10)) >= 10);	/* as reopen() gives */
	messages = (struct sink){ own, SINK_WRITE };
	lines = messages;
	for (i = 0; i < 3; i++) {
		must(log_open(name) == 0 && lines.fd != own);
		must(fcntl(own, F_GETFD) >= 0);
		fd = lines.fd;
		must(log_open(name) == 0);
		must(log_open("/nowhere/at/all") == -1 && errno == ENOENT);
		must(fcntl(lines.fd, F_GETFD) >= 0 && lines.fd != own);
		fd = lines.fd;
		must(log_open(NULL) == 0 && lines.fd == own);
		must(fcntl(fd, F_GETFD) == -1);
	}
	messages = m;
	lines.fd = pipe_fd;
	close(own);
	unlink(name);
	end();
}

/* What does not fit into a pipe is dropped, whole, and counted. */
static void
test_dropped(void)
{
	struct log_setup s = { .remote = true };
	struct req q = request("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	size_t got = 0, wrote = 0, k, i;
	static char buf[1 << 20];
	ssize_t n;

	begin("a full pipe drops whole lines");
	log_setup(&s);
	for (k = 0; k < 20000; k++) {
		log_access(&q, 200, 0, 0);
		wrote++;
	}
	while ((n = read(out[0], buf, sizeof buf)) > 0) {
		for (i = 0; i < (size_t)n; i++)
			got += buf[i] == '\n';
		must(buf[n - 1] == '\n');
	}
	must(dropped > 0 && got + dropped == wrote);
	dropped = 0;
	end();
}

/* ---- hostile lines --------------------------------------------------------- */

static uint64_t dice = 88172645463325252u;
static size_t
roll(size_t max)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return (size_t)(dice >> 33) % max;
}

/* Some bytes of one kind, which no head could have as such, behind *n. */
static struct span
some(size_t *n, unsigned kind)
{
	static const char *const nasty[] = { "\"", "\\", "\\\"", "\\\\",
		"\" 200 1 \"", "\r\n", "\n127.0.0.1 - - [", "\x1b[2J", "\\x",
		"\\u0000", "\\u", "%s%n", "</script>", "\xc3\xa9", "\xe2\x80\xae",
		"\xf0\x9f\x98\x80", "\xed\xa0\x80", "\xff", "\xc2\x9b", "}", "{",
		"null", " ", "-", "", "\t", "\x7f", "\xc0\x80", "' ", "," };
	static const size_t lens[] = { 1, 2, 8, 40, 200, 1000, 3000, 8000 };
	size_t from = *n, len = lens[roll(8)], k;

	if (kind == 0)
		len = 0;
	while (*n - from < len) {
		const char *s = nasty[roll(sizeof nasty / sizeof nasty[0])];

		if (kind == 1 || (kind == 2 && roll(4) > 0)) {
			space[(*n)++] = (char)(' ' + 1 + roll(94));
		} else if (kind == 3) {
			space[(*n)++] = (char)roll(256);
		} else {
			for (k = 0; s[k] != '\0'; k++)
				space[(*n)++] = s[k];
		}
	}
	return (struct span){ (uint16_t)from, (uint16_t)(*n - from) };
}

static void
hex(const struct req *q, struct span s)
{
	unsigned i;

	putchar('-');
	for (i = 0; i < s.len; i++)
		printf("%02x", (unsigned char)q->base[s.off + i]);
	putchar(' ');
}

static int
hostile(unsigned format, const char *file)
{
	static const char *const peers[] = { "192.0.2.1", "2001:db8::1",
		"::ffff:192.0.2.9", NULL };
	static const char *const method[] = { "GET ", "HEAD ", "OPTIONS ",
		"POST ", "X ", "" };
	static const char *const version[] = { " HTTP/1.1", " HTTP/1.0",
		" HTTP/2.0", " HTTP/9.9", " HTTP/1.1x", "" };
	static const int status[] = { 200, 206, 304, 308, 400, 404, 431, 500 };
	struct log_setup s = { .format = format };
	struct req q = { .base = space, .peer = &peer.sa };
	unsigned i, k;
	size_t n, m;

	if (log_open(file) < 0)
		return 1;
	for (i = 0; i < 1500; i++) {
		n = 0;
		set_peer(peers[roll(4)]);
		s.remote = roll(4) > 0;
		log_setup(&s);
		q.version = (uint8_t)(1 + roll(2));
		q.tls = roll(2);
		k = (unsigned)roll(6);
		m = n = strlen(method[k]);
		memcpy(space, method[k], n);
		q.name = (struct span){ 0, (uint16_t)(n > 0 ? n - 1 : 0) };
		some(&n, (unsigned)roll(5));
		k = (unsigned)roll(6);
		memcpy(space + n, version[k], strlen(version[k]));
		n += strlen(version[k]);
		q.line = (struct span){ 0, (uint16_t)n };
		if (m == 0 && roll(2))
			q.line.len = 0;
		q.host = some(&n, (unsigned)roll(5));
		q.field[F_REFERER] = some(&n, (unsigned)roll(5));
		q.field[F_USER_AGENT] = some(&n, (unsigned)roll(5));
		printf("%u %u ", q.tls, q.version);
		hex(&q, q.line);
		hex(&q, q.name);
		hex(&q, q.host);
		hex(&q, q.field[F_REFERER]);
		hex(&q, q.field[F_USER_AGENT]);
		putchar('\n');
		log_access(&q, status[roll(8)], (int64_t)roll(1u << 30),
		    (int64_t)roll(1u << 30));
	}
	return dropped > 0;
}

int
main(int argc, char **argv)
{
	log_clock();
	if (argc == 4 && strcmp(argv[1], "lines") == 0)
		return hostile((unsigned)(argv[2][0] - '0'), argv[3]);
	if (argc != 2 || strcmp(argv[1], "run") != 0)
		return 2;
	if (pipe2(out, O_NONBLOCK) < 0)
		return 1;
	setvbuf(stdout, NULL, _IOLBF, 0);
	lines = (struct sink){ out[1], SINK_WRITE };
	classified = true;
	test_nets();
	test_prefixes();
	test_proxies();
	test_limits();
	test_pretty();
	test_terminal();
	test_files();
	test_dropped();
	return all > 0;
}
