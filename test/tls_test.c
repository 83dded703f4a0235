/* tls_test.c - tls.c against BearSSL's client, from memory to memory.
 *
 *	tls_test load CERT KEY	the reason for a refusal, or "loaded"
 *	tls_test run DIR	everything else, with the keys of tls_keys.sh
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int entropy_fails;
static int
test_entropy(void *p, size_t n)
{
	return entropy_fails ? -1 : getentropy(p, n);
}
#define getentropy test_entropy
#include "../tls.c"
#undef getentropy

static int failed;
static const char *part = "";

static void
check(bool good, const char *what, int line)
{
	if (!good) {
		printf("FAIL %s: line %d: %s\n", part, line, what);
		failed++;
	}
}
#define must(x) check((x), #x, __LINE__)

static uint64_t dice = 88172645463325252u;
static size_t
roll(size_t max)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return (size_t)(dice >> 33) % max + 1;
}

/* ---- a client that takes any certificate and remembers its key ------------- */

struct any {
	const br_x509_class *vtable;
	br_x509_decoder_context dc;
	unsigned n;		/* certificates so far */
};

static void
any_start(const br_x509_class **x, const char *name)
{
	(void)name;
	((struct any *)(void *)x)->n = 0;
}

static void
any_cert(const br_x509_class **x, uint32_t len)
{
	struct any *a = (struct any *)(void *)x;

	(void)len;
	if (a->n++ == 0)
		br_x509_decoder_init(&a->dc, NULL, NULL);
}

static void
any_bytes(const br_x509_class **x, const unsigned char *p, size_t n)
{
	struct any *a = (struct any *)(void *)x;

	if (a->n == 1)
		br_x509_decoder_push(&a->dc, p, n);
}

static void
any_cert_end(const br_x509_class **x)
{
	(void)x;
}

static unsigned
any_end(const br_x509_class **x)
{
	(void)x;
	return 0;
}

static const br_x509_pkey *
any_key(const br_x509_class *const *x, unsigned *usages)
{
	const struct any *a = (const struct any *)(const void *)x;

	if (usages != NULL)
		*usages = BR_KEYTYPE_KEYX | BR_KEYTYPE_SIGN;
	return a->n > 0 ? &a->dc.pkey : NULL;
}

static const br_x509_class any_class = {
	sizeof(struct any), any_start, any_cert, any_bytes, any_cert_end,
	any_end, any_key
};

struct client {
	br_ssl_client_context cc;
	br_x509_minimal_context xc;
	struct any any;
	unsigned char buf[BR_SSL_BUFSIZE_BIDI];
};

static struct client cl;

/* A client with all of BearSSL's abilities; callers take some away before
 * client_go. */
static void
client_init(void)
{
	memset(&cl, 0, sizeof cl);
	br_ssl_client_init_full(&cl.cc, &cl.xc, NULL, 0);
	cl.any.vtable = &any_class;
	br_ssl_engine_set_x509(&cl.cc.eng, &cl.any.vtable);
	br_ssl_engine_set_buffer(&cl.cc.eng, cl.buf, sizeof cl.buf, 1);
}

static void
client_go(const char *host, bool resume)
{
	must(br_ssl_client_reset(&cl.cc, host, resume) == 1);
}

/* Move n bytes at most from one window to another. */
#define SHIFT(from, to, max, ack_from, ack_to) do {			\
	n = (from);							\
	m = (to);							\
	n = n < m ? n : m;						\
	n = n < (max) ? n : (max);					\
	if (n > 0) {							\
		memcpy(d, s, n);					\
		ack_from;						\
		ack_to;							\
		moved = true;						\
	}								\
} while (0)

/* Carry ciphertext in pieces of up to max bytes until nothing moves. */
static void
carry(struct tls *t, size_t max)
{
	br_ssl_engine_context *e = &cl.cc.eng;
	unsigned char *s, *d;
	bool moved;
	size_t n, m, k;

	do {
		moved = false;
		k = roll(max);
		s = br_ssl_engine_sendrec_buf(e, &n);
		SHIFT(n, tls_rec_in(t, &d), k,
		    tls_rec_in_done(t, n), br_ssl_engine_sendrec_ack(e, n));
		d = br_ssl_engine_recvrec_buf(e, &m);
		SHIFT(tls_rec_out(t, &s), m, k,
		    br_ssl_engine_recvrec_ack(e, n), tls_rec_out_done(t, n));
	} while (moved);
}

static bool
client_open(void)
{
	return (br_ssl_engine_current_state(&cl.cc.eng) & BR_SSL_SENDAPP) != 0;
}

static int
client_error(void)
{
	return br_ssl_engine_last_error(&cl.cc.eng);
}

static struct tls *
shake(const char *host, bool resume, bool h2)
{
	struct tls *t = tls_new(h2);

	if (t == NULL) {
		must(t != NULL);
		exit(1);
	}
	must(tls_state(t) == TLS_HANDSHAKE);
	client_go(host, resume);
	carry(t, 20000);
	return t;
}

/* The same text both ways; the server parks before and after. */
static void
exchange(struct tls *t, const char *text)
{
	br_ssl_engine_context *e = &cl.cc.eng;
	unsigned char *p;
	size_t n, len = strlen(text);

	tls_park(t);
	must(t->parked);
	p = br_ssl_engine_sendapp_buf(e, &n);
	must(n >= len);
	if (n < len)
		return;
	memcpy(p, text, len);
	br_ssl_engine_sendapp_ack(e, len);
	br_ssl_engine_flush(e, 0);
	carry(t, 20000);
	n = tls_app_in(t, &p);
	must(n == len && memcmp(p, text, len) == 0);
	tls_park(t);
	must(!t->parked);
	tls_app_in_done(t, n);
	must(tls_app_in(t, &p) == 0);
	n = tls_app_out(t, &p);
	must(n >= len);
	if (n < len)
		return;
	memcpy(p, text, len);
	tls_app_out_done(t, len);
	tls_park(t);
	must(!t->parked && tls_rec_out(t, &p) == 0);
	tls_flush(t);
	must(tls_rec_out(t, &p) > len);
	tls_park(t);
	must(!t->parked);
	carry(t, 20000);
	p = br_ssl_engine_recvapp_buf(e, &n);
	must(n == len && memcmp(p, text, len) == 0);
	if (n > 0)
		br_ssl_engine_recvapp_ack(e, n);
	tls_park(t);
	must(t->parked);
}

static void
done(const char *name)
{
	static int before;

	if (failed == before)
		printf("ok %s\n", name);
	before = failed;
	part = "";
}

static const char *dir;

static const char *
in_dir(const char *name)
{
	static char path[4][512];
	static unsigned i;

	i = (i + 1) % 4;
	snprintf(path[i], sizeof path[i], "%s/%s", dir, name);
	return path[i];
}

static void
load(const char *name)
{
	char cert[64], key[64];
	const char *why;

	snprintf(cert, sizeof cert, "%s.crt", name);
	snprintf(key, sizeof key, "%s.key", name);
	why = tls_load(in_dir(cert), in_dir(key));
	if (why != NULL)
		printf("# %s\n", why);
	must(why == NULL);
}

static void
use(const char *name)
{
	load(name);
	must(tls_use() == 0);
}

/* ---- what is tested -------------------------------------------------------- */

static void
suites(void)
{
	static const struct {
		const char *name;
		int type;
	} keys[] = {
		{ "p256", BR_KEYTYPE_EC }, { "p384", BR_KEYTYPE_EC },
		{ "p521", BR_KEYTYPE_EC }, { "rsa2048", BR_KEYTYPE_RSA },
		{ "rsa4096", BR_KEYTYPE_RSA },
	};
	static const uint16_t want[2][3] = { {
		BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	}, {
		BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	} };
	unsigned i, j, id;
	struct tls *t;
	bool ec;

	part = "suites";
	for (i = 0; i < 5; i++) {
		use(keys[i].name);
		ec = keys[i].type == BR_KEYTYPE_EC;
		for (j = 0; j < 3; j++) {
			client_init();
			br_ssl_engine_set_suites(&cl.cc.eng, &want[ec][j], 1);
			t = shake("any.example", false, true);
			must(tls_state(t) == TLS_OPEN && client_open());
			must(cl.any.dc.pkey.key_type == keys[i].type);
			must(cl.cc.eng.session.cipher_suite == want[ec][j]);
			must(cl.cc.eng.ecdhe_curve == BR_EC_curve25519);
			exchange(t, "GET / HTTP/1.1\r\n\r\n");
			tls_free(t);
		}
		/* each hash alone signs */
		for (j = br_sha256_ID; j <= br_sha512_ID; j++) {
			client_init();
			for (id = 1; id <= br_sha512_ID; id++)
				if (id != j)
					br_ssl_engine_set_hash(&cl.cc.eng,
					    (int)id, NULL);
			br_ssl_engine_set_suites(&cl.cc.eng,
			    &want[ec][j == br_sha384_ID ? 2 : 0], 1);
			if (j == br_sha512_ID)	/* no PRF of ours has it */
				br_ssl_engine_set_hash(&cl.cc.eng,
				    br_sha256_ID, &br_sha256_vtable);
			t = shake("any.example", false, true);
			must(client_open());
			tls_free(t);
		}
	}
	use("p256");
	client_init();
	t = shake("any.example", false, true);
	must(cl.cc.eng.session.cipher_suite ==
	    (br_aes_x86ni_ctr_get_vtable() != NULL ? want[1][0] : want[1][1]));
	tls_free(t);
	done("every key, suite and hash");
}

static unsigned char
pattern(size_t i)
{
	return (unsigned char)(i * 31 + (i >> 8) * 7 + (i >> 16));
}

/* 1 MB each way at once, in pieces of 1..max bytes, parking wherever it may. */
static void
bulk(size_t max)
{
	enum { TOTAL = 1000003 };
	br_ssl_engine_context *e = &cl.cc.eng;
	size_t up = 0, down = 0, got_up = 0, got_down = 0, n, i, k, stuck = 0;
	unsigned char *p;
	unsigned parks = 0, wrong = 0;
	struct tls *t;

	client_init();
	t = shake("any.example", false, false);
	while ((got_up < TOTAL || got_down < TOTAL) && stuck < 100) {
		stuck++;
		p = br_ssl_engine_sendapp_buf(e, &n);
		k = roll(max);
		n = n < k ? n : k;
		for (i = 0; i < n && up < TOTAL; i++)
			p[i] = pattern(up++);
		if (i > 0)
			br_ssl_engine_sendapp_ack(e, i);
		if (roll(3) == 1)
			br_ssl_engine_flush(e, 0);
		n = tls_app_out(t, &p);
		k = roll(max);
		n = n < k ? n : k;
		for (i = 0; i < n && down < TOTAL; i++)
			p[i] = pattern(down++ + 5);
		tls_app_out_done(t, i);
		if (roll(3) == 1 || down == TOTAL)
			tls_flush(t);
		if (up == TOTAL)
			br_ssl_engine_flush(e, 0);
		carry(t, max);
		n = tls_app_in(t, &p);
		k = roll(max);
		n = n < k ? n : k;
		for (i = 0; i < n; i++)
			wrong += p[i] != pattern(got_up++);
		if (n > 0)
			stuck = 0;
		tls_app_in_done(t, n);
		p = br_ssl_engine_recvapp_buf(e, &n);
		k = roll(max);
		n = n < k ? n : k;
		for (i = 0; i < n; i++)
			wrong += p[i] != pattern(got_down++ + 5);
		if (n > 0) {
			br_ssl_engine_recvapp_ack(e, n);
			stuck = 0;
		}
		tls_park(t);
		parks += t->parked;
	}
	must(got_up == TOTAL && got_down == TOTAL && wrong == 0);
	must(parks > 0);
	tls_free(t);
}

/* The handshake in single bytes, with a park tried after each. */
static void
drip(void)
{
	br_ssl_engine_context *e = &cl.cc.eng;
	unsigned char *s, *d;
	struct tls *t;
	bool moved;
	size_t n, m;

	client_init();
	t = tls_new(true);
	client_go("any.example", false);
	do {
		moved = false;
		s = br_ssl_engine_sendrec_buf(e, &n);
		SHIFT(n, tls_rec_in(t, &d), 1,
		    tls_rec_in_done(t, n), br_ssl_engine_sendrec_ack(e, n));
		tls_park(t);
		d = br_ssl_engine_recvrec_buf(e, &m);
		SHIFT(tls_rec_out(t, &s), m, 1,
		    br_ssl_engine_recvrec_ack(e, n), tls_rec_out_done(t, n));
		tls_park(t);
	} while (moved);
	must(client_open() && tls_state(t) == TLS_OPEN);
	exchange(t, "after single bytes");
	tls_free(t);
	done("a handshake in single bytes");
}

static void
resumption(void)
{
	br_ssl_session_parameters first;
	struct tls *t;

	part = "resumption";
	use("p256");
	client_init();
	t = shake("any.example", false, true);
	must(t->pair != NULL);
	br_ssl_engine_get_session_parameters(&cl.cc.eng, &first);
	must(first.session_id_len == 32);
	tls_free(t);

	client_init();
	br_ssl_engine_set_session_parameters(&cl.cc.eng, &first);
	t = shake("any.example", true, true);
	must(client_open() && tls_state(t) == TLS_OPEN);
	must(t->pair == NULL);		/* nothing was signed */
	must(memcmp(first.master_secret, t->sc.eng.session.master_secret, 48)
	    == 0);
	exchange(t, "resumed");
	tls_free(t);

	/* also after a reload */
	use("rsa2048");
	client_init();
	br_ssl_engine_set_session_parameters(&cl.cc.eng, &first);
	t = shake("any.example", true, true);
	must(client_open() && t->pair == NULL);
	tls_free(t);

	/* an id that nobody knows is a full handshake */
	first.session_id[0] ^= 1;
	client_init();
	br_ssl_engine_set_session_parameters(&cl.cc.eng, &first);
	t = shake("any.example", true, true);
	must(client_open() && t->pair != NULL);
	tls_free(t);
	use("p256");
	done("resumption by session ID");
}

/* offer is up to two names, separated by a comma */
static void
alpn_case(bool h2, const char *a, const char *b, const char *want, int error)
{
	const char *names[2];
	struct tls *t;

	names[0] = a;
	names[1] = b;
	client_init();
	if (a != NULL)
		br_ssl_engine_set_protocol_names(&cl.cc.eng, names,
		    b != NULL ? 2 : 1);
	t = shake("any.example", false, h2);
	if (error != 0) {
		must(tls_state(t) == TLS_CLOSED);
		must(tls_error(t) == BR_ERR_SEND_FATAL_ALERT + error);
		must(client_error() == BR_ERR_RECV_FATAL_ALERT + error);
	} else {
		must(tls_state(t) == TLS_OPEN);
		must(want == NULL ? tls_alpn(t) == NULL : tls_alpn(t) != NULL &&
		    strcmp(tls_alpn(t), want) == 0);
	}
	tls_free(t);
}

static void
alpn(void)
{
	part = "ALPN";
	alpn_case(true, NULL, NULL, NULL, 0);
	alpn_case(true, "h2", "http/1.1", "h2", 0);
	alpn_case(true, "http/1.1", "h2", "h2", 0);
	alpn_case(true, "h2", NULL, "h2", 0);
	alpn_case(true, "http/1.1", NULL, "http/1.1", 0);
	alpn_case(true, "spdy/3", "http/1.1", "http/1.1", 0);
	alpn_case(false, "h2", "http/1.1", "http/1.1", 0);
	alpn_case(false, NULL, NULL, NULL, 0);
	alpn_case(false, "h2", NULL, NULL, 120);
	alpn_case(true, "spdy/3", NULL, NULL, 120);
	done("ALPN");
}

/* Which file's key does a client for host get? */
static bool
gets(const char *host, const char *name)
{
	struct tls *t;
	struct pair p;
	char cert[64];
	bool same;

	client_init();
	t = shake(host, false, true);
	memset(&p, 0, sizeof p);
	snprintf(cert, sizeof cert, "%s.crt", name);
	must(pem_read(&p, true, false, in_dir(cert)) == NULL);
	same = tls_state(t) == TLS_OPEN && t->pair != NULL &&
	    p.nchain == t->pair->nchain &&
	    p.chain[0].data_len == t->pair->chain[0].data_len &&
	    memcmp(p.chain[0].data, t->pair->chain[0].data,
	    p.chain[0].data_len) == 0;
	while (p.nchain > 0)
		free(p.chain[--p.nchain].data);
	tls_free(t);
	return same;
}

static void
sni(void)
{
	struct tls *old;
	struct set *s;

	part = "SNI";
	load("p256");		/* localhost, any.example */
	load("names");		/* a.example, *.b.example, c.example */
	load("cn");		/* no names but CN=cn.example */
	load("p384");
	must(tls_use() == 0);
	must(tls_use() == -1);
	must(gets("a.example", "names"));
	must(gets("A.Example", "names"));
	must(gets("c.example", "names"));
	must(gets("x.b.example", "names"));
	must(gets("X.B.EXAMPLE", "names"));
	must(gets("b.example", "p256"));
	must(gets("y.x.b.example", "p256"));
	must(gets(".b.example", "p256"));
	must(gets("aa.example", "p256"));
	must(gets("a.example.", "p256"));
	must(gets("cn.example", "cn"));
	must(gets("names-cn.example", "p256"));	/* a CN beside names: unused */
	must(gets("nobody.example", "p256"));
	must(gets("", "p256"));
	must(gets(NULL, "p256"));
	done("SNI");

	part = "reload";
	client_init();
	old = shake("a.example", false, true);
	s = current;
	must(s->refs == 2);
	use("rsa2048");
	must(current != s && s->refs == 1);
	must(gets("a.example", "rsa2048"));
	client_init();
	tls_free(old);
	/* one begun before, finished after */
	old = tls_new(true);
	use("p256");
	client_init();
	client_go("any.example", false);
	carry(old, 7);
	must(client_open() && cl.any.dc.pkey.key_type == BR_KEYTYPE_RSA);
	exchange(old, "old set");
	tls_free(old);
	/* a failure leaves what is in use, and forgets the rest */
	load("p384");
	must(tls_load(in_dir("none.crt"), in_dir("none.key")) != NULL);
	must(tls_use() == -1);
	must(gets("any.example", "p256"));
	done("reload");

	part = "two kinds";
	load("p256");
	load("rsa2048");
	must(tls_use() == 0);
	must(gets("any.example", "p256"));
	client_init();
	br_ssl_engine_set_suites(&cl.cc.eng, (uint16_t[]){
	    BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 }, 1);
	old = shake("any.example", false, true);
	must(client_open() && cl.any.dc.pkey.key_type == BR_KEYTYPE_RSA);
	tls_free(old);
	use("p256");
	done("ECDSA beside RSA");
}

static void
closing(void)
{
	br_ssl_engine_context *e = &cl.cc.eng;
	unsigned char *p;
	struct tls *t;
	unsigned mode;
	size_t n;

	part = "close";
	/* we begin; then with unread input, unsent output, a record under way */
	for (mode = 0; mode < 8; mode++) {
		client_init();
		t = shake("any.example", false, true);
		if (mode & 1) {
			p = br_ssl_engine_sendapp_buf(e, &n);
			memset(p, 'x', n);
			br_ssl_engine_sendapp_ack(e, n);
			carry(t, 999);
			must(tls_app_in(t, &p) > 0);
		}
		if (mode & 2) {
			must(tls_app_out(t, &p) >= 4);
			memcpy(p, "last", 4);
			tls_app_out_done(t, 4);
			if (mode & 4)
				tls_flush(t);
		}
		tls_close(t);
		tls_close(t);
		must(tls_app_in(t, &p) == 0);
		must(tls_app_out(t, &p) == 0);
		must(tls_rec_out(t, &p) > 0);
		carry(t, 999);
		p = br_ssl_engine_recvapp_buf(e, &n);
		if (mode & 2) {
			must(n == 4 && memcmp(p, "last", 4) == 0);
			if (n > 0)
				br_ssl_engine_recvapp_ack(e, n);
			carry(t, 999);
		}
		must(br_ssl_engine_current_state(e) == BR_SSL_CLOSED);
		must(client_error() == BR_ERR_OK);
		must(tls_rec_out(t, &p) == 0 && tls_rec_in(t, &p) == 0);
		must(tls_state(t) == TLS_CLOSED && tls_error(t) == 0);
		tls_park(t);
		must(!t->parked);
		tls_free(t);
	}
	/* the client does */
	client_init();
	t = shake("any.example", false, true);
	exchange(t, "before");
	br_ssl_engine_close(e);
	carry(t, 999);
	must(tls_state(t) == TLS_CLOSED && tls_error(t) == 0);
	must(client_error() == BR_ERR_OK);
	tls_flush(t);
	tls_close(t);
	must(tls_rec_out(t, &p) == 0);
	tls_free(t);
	/* before the handshake is over */
	client_init();
	t = tls_new(true);
	tls_close(t);
	must(tls_rec_out(t, &p) == 7);
	tls_rec_out_done(t, 7);
	must(tls_state(t) != TLS_OPEN);
	tls_free(t);
	done("closing");
}

/* Give bytes, expect an alert and the end. */
static void
refuses(const void *bytes, size_t n, int want)
{
	struct tls *t = tls_new(true);
	const unsigned char *s = bytes;
	unsigned char *p, rec[64];
	size_t m, k, got = 0;

	while (n > 0 && (m = tls_rec_in(t, &p)) > 0) {
		m = m < n ? m : n;
		memcpy(p, s, m);
		tls_rec_in_done(t, m);
		s += m;
		n -= m;
	}
	while (got < sizeof rec && (k = tls_rec_out(t, &p)) > 0) {
		rec[got++] = *p;	/* one byte at a time */
		tls_rec_out_done(t, 1);
	}
	must(tls_state(t) == TLS_CLOSED);
	must(tls_error(t) != 0);
	must(got == 7 && memcmp(rec, "\x15\x03\x03\0\2\2", 6) == 0);
	must(got != 7 || rec[6] == want);
	must(tls_rec_in(t, &p) == 0);
	tls_free(t);
}

static void
hostile(void)
{
	unsigned char junk[600], *p, *s, *d;
	br_ssl_engine_context *e = &cl.cc.eng;
	struct tls *t;
	unsigned i;
	size_t n, m;
	bool moved = false;

	part = "hostile";
	refuses("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27, 70);
	refuses("\x80\x2e\x01\x03\x01\0\x15", 7, 70);	/* SSLv2 hello */
	refuses("\x16\x03\x01\x7f\xff", 5, 22);
	refuses("\x17\x03\x03\0\1x", 6, 10);	/* data before hello */
	refuses("\x16\x03\x03\0\4\2\0\0\0", 9, 10);
	for (i = 0; i < sizeof junk; i++)
		junk[i] = (unsigned char)roll(256);
	memcpy(junk, "\x16\x03\x01\2\x50\1\0\2\x4c\3\3", 11);
	memset(junk + 43, 0xff, 10);
	refuses(junk, sizeof junk, 50);
	done("what is not TLS gets an alert");

	part = "old clients";
	client_init();
	br_ssl_engine_set_versions(e, BR_TLS10, BR_TLS11);
	t = shake("any.example", false, true);
	/* BearSSL's client fails at the first record of version 3.3 */
	must(client_error() == BR_ERR_BAD_VERSION ||
	    client_error() == BR_ERR_RECV_FATAL_ALERT + 70);
	while ((n = tls_rec_out(t, &p)) > 0)
		tls_rec_out_done(t, n);
	must(tls_state(t) == TLS_CLOSED);
	must(tls_error(t) == BR_ERR_SEND_FATAL_ALERT + 70);
	tls_free(t);
	client_init();
	br_ssl_engine_set_suites(e, (uint16_t[]){
	    BR_TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256,
	    BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 }, 2);
	t = shake("any.example", false, true);
	must(tls_state(t) == TLS_CLOSED);
	must(client_error() == BR_ERR_RECV_FATAL_ALERT + 40);
	tls_free(t);
	done("old clients are refused");

	part = "tampering";
	client_init();
	t = shake("any.example", false, true);
	p = br_ssl_engine_sendapp_buf(e, &n);
	memset(p, 'x', 100);
	br_ssl_engine_sendapp_ack(e, 100);
	br_ssl_engine_flush(e, 0);
	do {
		moved = false;
		s = br_ssl_engine_sendrec_buf(e, &n);
		if (n > 60)
			s[40] ^= 1;
		SHIFT(n, tls_rec_in(t, &d), 20000,
		    tls_rec_in_done(t, n), br_ssl_engine_sendrec_ack(e, n));
	} while (moved);
	must(tls_state(t) == TLS_CLOSED && tls_error(t) == BR_ERR_BAD_MAC);
	must(tls_app_in(t, &p) == 0);
	tls_free(t);
	done("a changed byte ends it");

	part = "renegotiation";
	client_init();
	t = shake("any.example", false, true);
	must(br_ssl_engine_renegotiate(e) == 1);
	carry(t, 999);	/* a warning that BearSSL's client takes as fatal */
	must(tls_state(t) == TLS_OPEN && tls_error(t) == 0);
	must(client_error() == BR_ERR_RECV_FATAL_ALERT + 100);
	must(tls_app_out(t, &p) > 0);
	tls_free(t);
	done("renegotiation is declined");

	part = "entropy";
	entropy_fails = 1;
	must(tls_new(true) == NULL);
	entropy_fails = 0;
	done("no entropy, no connection");
}

/* Pages of the buffers that are in memory. */
static unsigned
resident(const struct tls *t)
{
	unsigned char map[32] = { 0 };
	unsigned i, n = 0;

	must(mincore(t->buf, BUF_IN + BUF_OUT, map) == 0);
	for (i = 0; i < sizeof map; i++)
		n += map[i] & 1;
	return n;
}

static void
memory(void)
{
	static struct tls *many[200];
	unsigned round, i;
	struct tls *t;

	part = "memory";
	client_init();
	t = shake("any.example", false, true);
	must(resident(t) > 0);
	exchange(t, "parked");
	must(resident(t) == 0);
	tls_park(t);
	must(resident(t) == 0);
	exchange(t, "parked again");
	must(tls_state(t) == TLS_OPEN && resident(t) == 0);
	tls_free(t);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < 200; i++)
			must((many[i] = tls_new(true)) != NULL);
		must(current->refs == 201);
		for (i = 0; i < 200; i++)
			tls_free(many[i]);
		must(current->refs == 1 && nfree == FREE_BUFS);
	}
	printf("# struct tls: %zu bytes\n", sizeof *t);
	done("pages come and go");
}

int
main(int argc, char **argv)
{
	const char *why;

	if (argc == 4 && strcmp(argv[1], "load") == 0) {
		why = tls_load(argv[2], argv[3]);
		puts(why != NULL ? why : "loaded");
		if (why == NULL)
			tls_use();
		return why != NULL;
	}
	if (argc != 3 || strcmp(argv[1], "run") != 0)
		return 2;
	dir = argv[2];
	setvbuf(stdout, NULL, _IOLBF, 0);
	must(!tls_on() && tls_new(true) == NULL && tls_use() == -1);
	suites();
	must(tls_on());
	part = "bulk";
	bulk(40000);
	bulk(4097);
	bulk(333);
	done("1 MB both ways, parked in between");
	part = "single bytes";
	drip();
	resumption();
	alpn();
	sni();
	closing();
	hostile();
	memory();
	return failed > 0;
}
