/* tls_fuzz.c - any bytes into tls_rec_in.
 *
 * The first byte chooses what stands before the input: nothing, or a handshake
 * with BearSSL's client, after which the input is sent as that client's
 * application data (even) or in place of its records (odd).  Windows are read
 * and written in pieces, parking and closing come when the dice say so. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int
same_entropy(void *p, size_t n)
{
	memset(p, 7, n);
	return 0;
}
#define getentropy same_entropy
#include "../tls.c"
#undef getentropy
#include "tls_key.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define must(x) ((x) ? (void)0 : broken(#x, __LINE__))
static void broken(const char *what, int line) __attribute__((noreturn));
static void
broken(const char *what, int line)
{
	fprintf(stderr, "tls_fuzz.c:%d: not so: %s\n", line, what);
	abort();
}

static uint64_t dice;
static size_t
roll(size_t max)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return (size_t)(dice >> 33) % max + 1;
}

/* A client that asks nothing of the certificate but its key. */
static br_x509_knownkey_context known;
static br_ssl_client_context cc;
static br_x509_minimal_context xc;
static unsigned char cbuf[BR_SSL_BUFSIZE_BIDI];

static void
setup(void)
{
	char name[] = "/tmp/tls_fuzz.XXXXXX";
	int fd = mkstemp(name);
	const char *why;

	must(fd != -1);
	must(write(fd, tls_key, sizeof tls_key - 1) ==
	    (ssize_t)sizeof tls_key - 1);
	close(fd);
	why = tls_load(name, NULL);
	unlink(name);
	if (why != NULL)
		broken(why, __LINE__);
	must(tls_use() == 0);
}

static bool
carry(struct tls *t)
{
	unsigned char *a, *b;
	bool moved = false;
	size_t n, m;

	a = br_ssl_engine_sendrec_buf(&cc.eng, &n);
	m = tls_rec_in(t, &b);
	n = n < m ? n : m;
	if (n > 0) {
		memcpy(b, a, n);
		tls_rec_in_done(t, n);
		br_ssl_engine_sendrec_ack(&cc.eng, n);
		moved = true;
	}
	b = br_ssl_engine_recvrec_buf(&cc.eng, &m);
	n = tls_rec_out(t, &a);
	n = n < m ? n : m;
	if (n > 0) {
		memcpy(b, a, n);
		br_ssl_engine_recvrec_ack(&cc.eng, n);
		tls_rec_out_done(t, n);
		moved = true;
	}
	return moved;
}

static void
handshake(struct tls *t)
{
	static br_ec_public_key pk;
	static unsigned char pub[BR_EC_KBUF_PUB_MAX_SIZE];

	memset(&cc, 0, sizeof cc);
	br_ssl_client_init_full(&cc, &xc, NULL, 0);
	must(br_ec_compute_pub(br_ec_get_default(), &pk, pub,
	    &current->first->ec) > 0);
	br_x509_knownkey_init_ec(&known, &pk, BR_KEYTYPE_SIGN);
	br_ssl_engine_set_x509(&cc.eng, &known.vtable);
	br_ssl_engine_set_buffer(&cc.eng, cbuf, sizeof cbuf, 1);
	br_ssl_engine_inject_entropy(&cc.eng, "the same each time", 18);
	must(br_ssl_client_reset(&cc, "a.example", 0) == 1);
	while (carry(t))
		;
	must(tls_state(t) == TLS_OPEN);
}

/* Whatever the engine offers, taken or left. */
static void
serve(struct tls *t, bool close_now)
{
	unsigned char *p;
	size_t n, k;
	int before = tls_state(t);

	if ((n = tls_app_in(t, &p)) > 0) {
		must(before == TLS_OPEN);
		k = roll(n);
		must(p[0] + p[k - 1] >= 0);	/* readable */
		tls_app_in_done(t, k);
	}
	if (roll(3) == 1 && (n = tls_app_out(t, &p)) > 0) {
		must(before == TLS_OPEN);
		k = roll(n);
		memset(p, 'a', k);
		tls_app_out_done(t, k);
	}
	if (roll(2) == 1)
		tls_flush(t);
	if (close_now)
		tls_close(t);
	tls_park(t);
	if ((n = tls_rec_out(t, &p)) > 0) {
		k = roll(n);
		must(p[0] + p[k - 1] >= 0);
		tls_rec_out_done(t, k);
	}
	tls_park(t);
	must(before != TLS_CLOSED || tls_state(t) == TLS_CLOSED);
}

int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t n)
{
	unsigned char *p;
	struct tls *t;
	unsigned mode, turns;
	size_t m;

	if (n < 2)
		return 0;
	if (!tls_on())
		setup();
	mode = in[0];
	dice = 88172645463325252u + in[1];
	in += 2;
	n -= 2;
	t = tls_new((mode & 4) != 0);
	must(t != NULL);
	if (mode & 2) {
		handshake(t);
		if ((mode & 1) == 0) {
			p = br_ssl_engine_sendapp_buf(&cc.eng, &m);
			m = m < n ? m : n;
			memcpy(p, in, m);
			if (m > 0)
				br_ssl_engine_sendapp_ack(&cc.eng, m);
			br_ssl_engine_flush(&cc.eng, 0);
			in += m;
			n -= m;
			for (turns = 0; turns < 2000 && carry(t); turns++)
				serve(t, (mode & 8) != 0 && roll(20) == 1);
		}
	}
	for (turns = 0; n > 0 && turns < 100000; turns++) {
		m = tls_rec_in(t, &p);
		m = m < n ? m : n;
		if (m > 0) {
			m = roll(m);
			memcpy(p, in, m);
			tls_rec_in_done(t, m);
			in += m;
			n -= m;
		} else if (tls_state(t) == TLS_CLOSED) {
			break;
		}
		serve(t, (mode & 8) != 0 && roll(50) == 1);
	}
	must(turns < 100000);	/* it either takes bytes or has ended */
	/* an ended engine gives its last bytes and then nothing */
	if (tls_state(t) == TLS_CLOSED) {
		while ((m = tls_rec_out(t, &p)) > 0)
			tls_rec_out_done(t, m);
		must(tls_rec_in(t, &p) == 0 && tls_app_out(t, &p) == 0);
	}
	tls_free(t);
	must(current->refs == 1);
	return 0;
}
