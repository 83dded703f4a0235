/* tls.c - TLS 1.2 records to bytes: BearSSL's engine, its keys and its memory.
 *
 * Never sees a socket: conn.c moves bytes between it and four windows.
 *
 *	client --> rec_in  [engine] app_in  --> http.c, h2.c
 *	client <-- rec_out [engine] app_out <-- http.c, h2.c
 *
 * A certificate and its key are a pair, the pairs in use are a set.  A set
 * lives while it is the current one or a connection has a reference, so that
 * new files never change a handshake under way.
 *
 * The buffers of a connection are whole pages, so that those of an idle one
 * can be given back while the engine keeps its pointers. */
#include "sws.h"

#ifndef NO_TLS
#include <sys/mman.h>

#include <bearssl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum {
	CHAIN_MAX = 8,		/* certificates in a file; real chains have 2-4 */
	PEM_MAX = 1 << 20,	/* bytes of a file; 8 certificates are 16 KiB */
	RSA_BITS = 4096,	/* BearSSL's own limit */
	RSA_BITS_MIN = 1024,	/* less has no room for a SHA-512 signature */
	SESSIONS = 1000,	/* remembered for resumption */
	SESSION_SIZE = 100,	/* bytes BearSSL needs for one */
	FREE_BUFS = 64,		/* buffers kept for the next connections */
	SEED = 32,		/* the generator's strength, in bytes */
	BUF_IN = BR_SSL_BUFSIZE_INPUT,
	BUF_OUT = BR_SSL_BUFSIZE_OUTPUT,
};

/* Contents of a DER element, or what is left of them. */
struct der {
	unsigned char *p, *end;
};

struct pair {
	struct pair *next;
	unsigned char *der;	/* owned: the key; rsa or ec points into it */
	size_t nder;
	int type;		/* BR_KEYTYPE_RSA or BR_KEYTYPE_EC */
	br_rsa_private_key rsa;
	br_ec_private_key ec;
	br_x509_certificate chain[CHAIN_MAX];	/* data owned; leaf first */
	size_t nchain;
	struct der san;		/* the leaf's GeneralNames, inside chain[0] */
	struct der cn;		/* its common name, used without a san */
};

struct set {
	unsigned refs;
	struct pair *first;	/* owned; the first one is the default */
};

struct tls {
	br_ssl_server_context sc;
	const br_ssl_server_policy_class *policy;	/* BearSSL's handle on us */
	struct set *set;	/* one reference */
	const struct pair *pair;	/* chosen for this client, in set */
	unsigned char *buf;	/* owned: BUF_IN, then BUF_OUT bytes */
	bool open;		/* the handshake was completed once */
	bool talked;		/* bytes were given to the client */
	bool unsent;		/* app_out has bytes that are in no record yet */
	bool parked;		/* the pages of buf are given back */
	uint8_t nalert;		/* bytes of it left to send */
	unsigned char alert[7];	/* a record of ours, when BearSSL makes none */
};

static struct set *current, *pending;

/* Freed buffers, each pointing to the next. */
static unsigned char *free_bufs;
static unsigned nfree;

static br_ssl_session_cache_lru sessions;
static unsigned char session_store[SESSIONS * SESSION_SIZE];

/* memset that no compiler can prove to be useless. */
static void *(*const volatile wipe)(void *, int, size_t) = memset;

static void
wipe_free(void *p, size_t n)
{
	if (p != NULL)
		wipe(p, 0, n);
	free(p);
}

/* One line about a file, kept until the next one. */
static const char *say(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));
static const char *
say(const char *fmt, ...)
{
	static char why[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	return why;
}

/* ---- DER ------------------------------------------------------------------- */

/* Take the next element off d; its contents are v.  Returns the tag, -1 at the
 * end and for what DER forbids: lengths that are indefinite, longer than need
 * be or than d.  Tags above 30 do not occur in what we read. */
static int
der_next(struct der *d, struct der *v)
{
	unsigned char *p = d->p;
	size_t len, n;
	int tag;

	if (d->end - p < 2 || (p[0] & 0x1f) == 0x1f)
		return -1;
	tag = *p++;
	len = *p++;
	if (len >= 0x80) {
		n = len & 0x7f;
		if (n == 0 || n > 3 || (size_t)(d->end - p) < n || p[0] == 0)
			return -1;
		for (len = 0; n > 0; n--)
			len = len << 8 | *p++;
		if (len < 0x80)
			return -1;
	}
	if ((size_t)(d->end - p) < len)
		return -1;
	v->p = p;
	v->end = d->p = p + len;
	return tag;
}

/* Take an element that has to have this tag. */
static bool
der_take(struct der *d, int tag, struct der *v)
{
	struct der left = *d;

	if (der_next(&left, v) != tag)
		return false;
	*d = left;
	return true;
}

static bool
der_same(struct der v, const void *p, size_t n)
{
	return (size_t)(v.end - v.p) == n && memcmp(v.p, p, n) == 0;
}

/* A positive INTEGER without its leading zeros. */
static bool
der_uint(struct der *d, struct der *v)
{
	if (!der_take(d, 0x02, v) || v->p == v->end || *v->p >= 0x80)
		return false;
	while (v->p < v->end && *v->p == 0)
		v->p++;
	return true;
}

/* ---- keys ------------------------------------------------------------------ */

#define OID(...) { __VA_ARGS__ }, sizeof (unsigned char[]){ __VA_ARGS__ }
static const struct {
	unsigned char oid[9];
	size_t n;
	int curve;
} curves[] = {
	{ OID(0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7), BR_EC_secp256r1 },
	{ OID(0x2b, 0x81, 4, 0, 0x22), BR_EC_secp384r1 },
	{ OID(0x2b, 0x81, 4, 0, 0x23), BR_EC_secp521r1 },
};

enum { K_RSA, K_PSS, K_EC, K_ED25519, K_ED448, NKINDS };
static const struct {
	unsigned char oid[9];
	size_t n;
} kinds[NKINDS] = {
	[K_RSA] = { OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1) },
	[K_PSS] = { OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10) },
	[K_EC] = { OID(0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1) },
	[K_ED25519] = { OID(0x2b, 0x65, 0x70) },
	[K_ED448] = { OID(0x2b, 0x65, 0x71) },
};
#undef OID

static size_t
bits(struct der v)
{
	size_t n = (size_t)(v.end - v.p) * 8;
	unsigned top;

	if (n == 0)
		return 0;
	for (top = *v.p; top < 0x80; top <<= 1)
		n--;
	return n;
}

/* What follows the version in RFC 8017's RSAPrivateKey.  We read keys ourselves
 * because br_skey_decoder writes past its end for long numbers. */
static const char *
rsa_key(struct pair *p, struct der d, const char *path)
{
	struct der n, e, x, v[5];
	unsigned i;

	if (!der_uint(&d, &n) || !der_uint(&d, &e) || !der_uint(&d, &x))
		return say("%s: damaged RSA key", path);
	if (bits(n) > RSA_BITS || bits(n) < RSA_BITS_MIN)
		return say("%s: RSA key of %zu bits, %d to %d can be used",
		    path, bits(n), RSA_BITS_MIN, RSA_BITS);
	for (i = 0; i < 5; i++) {	/* p, q, dp, dq, q^-1 mod p */
		if (!der_uint(&d, &v[i]) || bits(v[i]) == 0)
			return say("%s: damaged RSA key", path);
		if (bits(v[i]) > RSA_BITS / 2)
			return say("%s: RSA key of factors that differ in size",
			    path);
	}
	if (d.p != d.end)
		return say("%s: RSA key of more than two factors", path);
	p->type = BR_KEYTYPE_RSA;
	p->rsa.n_bitlen = (uint32_t)bits(n);
	p->rsa.p = v[0].p;
	p->rsa.plen = (size_t)(v[0].end - v[0].p);
	p->rsa.q = v[1].p;
	p->rsa.qlen = (size_t)(v[1].end - v[1].p);
	p->rsa.dp = v[2].p;
	p->rsa.dplen = (size_t)(v[2].end - v[2].p);
	p->rsa.dq = v[3].p;
	p->rsa.dqlen = (size_t)(v[3].end - v[3].p);
	p->rsa.iq = v[4].p;
	p->rsa.iqlen = (size_t)(v[4].end - v[4].p);
	return NULL;
}

/* What follows the version in RFC 5915's ECPrivateKey.  params is what PKCS#8
 * said of the curve, empty when it did not. */
static const char *
ec_key(struct pair *p, struct der d, struct der params, const char *path)
{
	struct der x, v, oid;
	size_t i, n;

	if (!der_take(&d, 0x04, &x))
		return say("%s: damaged EC key", path);
	if (der_take(&d, 0xa0, &v) && params.p == params.end)
		params = v;
	if (params.p == params.end)
		return say("%s: EC key that does not name its curve", path);
	if (!der_take(&params, 0x06, &oid))
		return say("%s: EC key with a curve of its own, use P-256, "
		    "P-384 or P-521", path);
	for (i = 0; i < sizeof curves / sizeof curves[0]; i++)
		if (der_same(oid, curves[i].oid, curves[i].n))
			break;
	if (i == sizeof curves / sizeof curves[0])
		return say("%s: EC key on another curve than P-256, P-384 and "
		    "P-521", path);
	while (x.p < x.end && *x.p == 0)
		x.p++;
	br_ec_get_default()->order(curves[i].curve, &n);
	if (x.p == x.end || (size_t)(x.end - x.p) > n)
		return say("%s: damaged EC key", path);
	p->type = BR_KEYTYPE_EC;
	p->ec.curve = curves[i].curve;
	p->ec.x = x.p;
	p->ec.xlen = (size_t)(x.end - x.p);
	return NULL;
}

/* PKCS#1, SEC1 and PKCS#8 all begin with a small number; what follows tells
 * them apart, not the PEM label. */
static const char *
key_read(struct pair *p, const char *path)
{
	struct der all = { p->der, p->der + p->nder };
	struct der none = { NULL, NULL }, d, v, alg, oid;
	int kind;

	if (!der_take(&all, 0x30, &d) || all.p != all.end ||
	    !der_take(&d, 0x02, &v) || d.p == d.end)
		return say("%s: damaged private key", path);
	if (*d.p == 0x02)
		return rsa_key(p, d, path);
	if (*d.p == 0x04)
		return ec_key(p, d, none, path);
	if (!der_take(&d, 0x30, &alg) || !der_take(&alg, 0x06, &oid) ||
	    !der_take(&d, 0x04, &v))
		return say("%s: damaged private key", path);
	for (kind = 0; kind < NKINDS; kind++)
		if (der_same(oid, kinds[kind].oid, kinds[kind].n))
			break;
	if (kind == K_ED25519 || kind == K_ED448)
		return say("%s: Ed25519 and Ed448 keys cannot be used, take "
		    "ECDSA P-256 or RSA", path);
	if (kind == K_PSS)
		return say("%s: RSA-PSS keys cannot be used, take plain RSA",
		    path);
	if (kind != K_RSA && kind != K_EC)
		return say("%s: private key that is neither RSA nor ECDSA",
		    path);
	if (!der_take(&v, 0x30, &d) || v.p != v.end || !der_take(&d, 0x02, &v))
		return say("%s: damaged private key", path);
	return kind == K_RSA ? rsa_key(p, d, path) : ec_key(p, d, alg, path);
}

/* ---- certificates ---------------------------------------------------------- */

/* The common name among a subject's parts; the last one counts. */
static struct der
common_name(struct der subject)
{
	struct der set, part, oid, v, cn = { NULL, NULL };

	while (der_take(&subject, 0x31, &set))
		while (der_take(&set, 0x30, &part))
			if (der_take(&part, 0x06, &oid) &&
			    der_same(oid, "\x55\x04\x03", 3) &&
			    der_next(&part, &v) > 0)
				cn = v;
	return cn;
}

/* Find the names of the leaf, RFC 5280 4.1. */
static bool
leaf_names(struct pair *p)
{
	br_x509_certificate *c = &p->chain[0];
	struct der all = { c->data, c->data + c->data_len };
	struct der cert, tbs, v, subject, exts, ext, oid;

	if (!der_take(&all, 0x30, &cert) || all.p != all.end ||
	    !der_take(&cert, 0x30, &tbs))
		return false;
	der_take(&tbs, 0xa0, &v);		/* version */
	if (!der_take(&tbs, 0x02, &v) ||	/* serial number */
	    !der_take(&tbs, 0x30, &v) ||	/* signature algorithm */
	    !der_take(&tbs, 0x30, &v) ||	/* issuer */
	    !der_take(&tbs, 0x30, &v) ||	/* validity */
	    !der_take(&tbs, 0x30, &subject) ||
	    !der_take(&tbs, 0x30, &v))		/* public key */
		return false;
	p->cn = common_name(subject);
	der_take(&tbs, 0x81, &v);		/* unique identifiers */
	der_take(&tbs, 0x82, &v);
	if (!der_take(&tbs, 0xa3, &v))
		return tbs.p == tbs.end;
	if (!der_take(&v, 0x30, &exts))
		return false;
	while (der_take(&exts, 0x30, &ext)) {
		if (!der_take(&ext, 0x06, &oid))
			return false;
		der_take(&ext, 0x01, &v);	/* critical */
		if (!der_take(&ext, 0x04, &v))
			return false;
		if (der_same(oid, "\x55\x1d\x11", 3) &&
		    !der_take(&v, 0x30, &p->san))
			return false;
	}
	return exts.p == exts.end;
}

/* RFC 6125 6.4: whole name, or a leftmost label that is a lone '*'. */
static bool
name_matches(struct der pattern, const char *host, bool wild)
{
	const char *s = (const char *)pattern.p;
	size_t n = (size_t)(pattern.end - pattern.p);

	if (wild != (n > 2 && s[0] == '*' && s[1] == '.'))
		return false;
	if (wild) {
		host += strcspn(host, ".");
		s++;
		n--;
	}
	return strlen(host) == n && strncasecmp(s, host, n) == 0;
}

static bool
pair_matches(const struct pair *p, const char *host, bool wild)
{
	struct der names = p->san, v;
	int tag;

	if (*host == '\0' || *host == '.')
		return false;
	if (names.p == NULL)
		return p->cn.p != NULL && name_matches(p->cn, host, wild);
	while ((tag = der_next(&names, &v)) != -1)
		if (tag == 0x82 && name_matches(v, host, wild))
			return true;
	return false;
}

/* ---- signatures ------------------------------------------------------------ */

static const struct {
	const br_hash_class *hash;
	const unsigned char *oid;
	size_t len;
} hashes[] = {		/* by BearSSL's number */
	[br_sha256_ID] = { &br_sha256_vtable, BR_HASH_OID_SHA256, 32 },
	[br_sha384_ID] = { &br_sha384_vtable, BR_HASH_OID_SHA384, 48 },
	[br_sha512_ID] = { &br_sha512_vtable, BR_HASH_OID_SHA512, 64 },
};

/* Replace the hash at data by its signature, if that fits into cap bytes.
 * Returns its length or 0. */
static size_t
sign(const struct pair *p, unsigned id, unsigned char *data, size_t n,
    size_t cap)
{
	unsigned char hash[64];
	size_t len;

	if (id < br_sha256_ID || id > br_sha512_ID || n != hashes[id].len)
		return 0;
	memcpy(hash, data, n);
	if (p->type == BR_KEYTYPE_EC) {
		if (cap < 139)	/* P-521 in ASN.1 */
			return 0;
		return br_ecdsa_sign_asn1_get_default()(br_ec_get_default(),
		    hashes[id].hash, hash, &p->ec, data);
	}
	len = (p->rsa.n_bitlen + 7) / 8;
	if (cap < len || !br_rsa_pkcs1_sign_get_default()(hashes[id].oid, hash,
	    n, &p->rsa, data))
		return 0;
	return len;
}

/* Does the key belong to the certificate?  A signature says so for every number
 * of the key; one wrong RSA factor would give the others away to clients. */
static bool
key_fits(const struct pair *p, const br_x509_pkey *pub)
{
	static const unsigned char hash[32] = "any 32 bytes will do for this..";
	unsigned char sig[512], got[32];
	size_t n;

	if (p->type != pub->key_type)
		return false;
	memcpy(sig, hash, sizeof hash);
	n = sign(p, br_sha256_ID, sig, sizeof hash, sizeof sig);
	if (n == 0)
		return false;
	if (p->type == BR_KEYTYPE_EC)
		return p->ec.curve == pub->key.ec.curve &&
		    br_ecdsa_vrfy_asn1_get_default()(br_ec_get_default(), hash,
		    sizeof hash, &pub->key.ec, sig, n) == 1;
	return br_rsa_pkcs1_vrfy_get_default()(sig, n, BR_HASH_OID_SHA256,
	    sizeof hash, &pub->key.rsa, got) == 1 &&
	    memcmp(got, hash, sizeof hash) == 0;
}

static const char *
pair_check(struct pair *p, const char *cert, const char *key)
{
	br_x509_decoder_context dc;
	const char *why = key_read(p, key);
	br_x509_pkey *pub;

	if (why != NULL)
		return why;
	br_x509_decoder_init(&dc, NULL, NULL);
	br_x509_decoder_push(&dc, p->chain[0].data, p->chain[0].data_len);
	pub = br_x509_decoder_get_pkey(&dc);
	if (pub == NULL)
		return say("%s: the certificate cannot be read (BearSSL error "
		    "%d)", cert, br_x509_decoder_last_error(&dc));
	if (!leaf_names(p))
		return say("%s: damaged certificate", cert);
	if (!key_fits(p, pub))
		return say("%s: the key is not that of the certificate in %s",
		    key, cert);
	return NULL;
}

/* ---- files ----------------------------------------------------------------- */

/* The file as a string that ends in a newline, without carriage returns: in
 * BearSSL's decoder they become part of a block's name. */
static const char *
slurp(const char *path, char **text, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	const char *why = NULL;
	size_t n = 0, i, m = 0;
	struct stat st;
	ssize_t got = 1;
	char *p = NULL;

	if (fd == -1)
		return say("%s: %s", path, strerror(errno));
	if (fstat(fd, &st) == -1)
		why = say("%s: %s", path, strerror(errno));
	else if (!S_ISREG(st.st_mode))
		why = say("%s: not a regular file", path);
	else if (st.st_size > PEM_MAX)
		why = say("%s: larger than %d bytes", path, PEM_MAX);
	else if ((p = malloc(PEM_MAX + 2)) == NULL)
		why = say("%s: %s", path, strerror(ENOMEM));
	while (why == NULL && n < PEM_MAX &&
	    (got = read(fd, p + n, PEM_MAX - n)) != 0)
		if (got > 0)
			n += (size_t)got;
		else if (errno != EINTR)
			why = say("%s: %s", path, strerror(errno));
	close(fd);
	if (why == NULL && n == 0)
		why = say("%s: is empty", path);
	if (why != NULL) {
		wipe_free(p, p != NULL ? n : 0);
		return why;
	}
	for (i = 0; i < n; i++)
		if (p[i] != '\r')
			p[m++] = p[i];
	p[m++] = '\n';		/* the decoder wants one after the last block */
	memset(p + m, 0, n + 2 - m);
	*text = p;
	*len = m;
	return NULL;
}

struct block {
	unsigned char *p;	/* owned, as large as the text it comes from */
	size_t n;
};

static void
block_add(void *to, const void *p, size_t n)
{
	struct block *b = to;

	memcpy(b->p + b->n, p, n);
	b->n += n;
}

static bool
is_key(const char *label)
{
	return strcmp(label, "PRIVATE KEY") == 0 ||
	    strcmp(label, "RSA PRIVATE KEY") == 0 ||
	    strcmp(label, "EC PRIVATE KEY") == 0;
}

/* Take what a block holds: the certificates of this file, or its key.  Others
 * are passed over: parameters, requests, and the rest of a bundle. */
static const char *
block_take(struct pair *p, const char *label, const struct block *b, bool certs,
    bool key, const char *path)
{
	unsigned char *copy;

	if (key && strcmp(label, "ENCRYPTED PRIVATE KEY") == 0)
		return say("%s: the private key is encrypted, store it without "
		    "a passphrase", path);
	if (key && is_key(label) && p->der != NULL)
		return say("%s: holds more than one private key", path);
	if (certs && strcmp(label, "CERTIFICATE") == 0) {
		if (p->nchain == CHAIN_MAX)
			return say("%s: holds more than %d certificates", path,
			    CHAIN_MAX);
	} else if (!key || !is_key(label)) {
		return NULL;
	}
	if ((copy = malloc(b->n > 0 ? b->n : 1)) == NULL)
		return say("%s: %s", path, strerror(ENOMEM));
	memcpy(copy, b->p, b->n);
	if (is_key(label)) {
		p->der = copy;
		p->nder = b->n;
	} else {
		p->chain[p->nchain].data = copy;
		p->chain[p->nchain++].data_len = b->n;
	}
	return NULL;
}

/* Does every END line of a text end as it should?  BearSSL is content with its
 * beginning. */
static bool
ends_whole(const char *text)
{
	const char *p = text;

	while ((p = strstr(p, "-----END ")) != NULL) {
		p += 9;
		p += strcspn(p, "-\n");
		if (strncmp(p, "-----", 5) != 0)
			return false;
	}
	return true;
}

/* The blocks of a text that ends in a newline and a NUL. */
static const char *
pem_blocks(struct pair *p, const char *text, size_t n, struct block *b,
    bool certs, bool key, const char *path)
{
	br_pem_decoder_context pc;
	const char *why = NULL, *at = text, *end = text + n;
	bool inside = false;

	br_pem_decoder_init(&pc);
	br_pem_decoder_setdest(&pc, block_add, b);
	while (why == NULL && at < end) {
		at += br_pem_decoder_push(&pc, at, (size_t)(end - at));
		switch (br_pem_decoder_event(&pc)) {
		case BR_PEM_BEGIN_OBJ:
			inside = true;
			b->n = 0;
			if (is_key(br_pem_decoder_name(&pc)) &&
			    strncmp(at, "Proc-Type:", 10) == 0)
				why = say("%s: the private key is encrypted, "
				    "store it without a passphrase", path);
			break;
		case BR_PEM_END_OBJ:
			inside = false;
			why = block_take(p, br_pem_decoder_name(&pc), b, certs,
			    key, path);
			break;
		case BR_PEM_ERROR:
			why = say(strstr(at, "-----END ") != NULL ?
			    "%s: damaged PEM block" : "%s: is cut off", path);
			break;
		}
	}
	if (why == NULL && (inside || !ends_whole(text)))
		why = say("%s: is cut off", path);
	wipe(&pc, 0, sizeof pc);
	return why;
}

static const char *
pem_read(struct pair *p, bool certs, bool key, const char *path)
{
	struct block b = { NULL, 0 };
	char *text = NULL;
	size_t n = 0;
	const char *why = slurp(path, &text, &n);

	if (why != NULL)
		return why;
	if ((b.p = malloc(n)) == NULL)
		why = say("%s: %s", path, strerror(ENOMEM));
	else
		why = pem_blocks(p, text, n, &b, certs, key, path);
	wipe_free(b.p, n);
	wipe_free(text, n);
	if (why == NULL && certs && p->nchain == 0)
		why = say("%s: holds no certificate", path);
	if (why == NULL && key && p->der == NULL)
		why = say("%s: holds no private key", path);
	return why;
}

/* ---- sets ------------------------------------------------------------------ */

static void
pair_free(struct pair *p)
{
	size_t i;

	wipe_free(p->der, p->nder);
	for (i = 0; i < p->nchain; i++)
		free(p->chain[i].data);
	wipe_free(p, sizeof *p);
}

static void
set_unref(struct set *s)
{
	struct pair *p, *next;

	if (s == NULL || --s->refs > 0)
		return;
	for (p = s->first; p != NULL; p = next) {
		next = p->next;
		pair_free(p);
	}
	free(s);
}

const char *
tls_load(const char *cert, const char *key)
{
	const char *why;
	struct pair *p = calloc(1, sizeof *p), **at;

	if (p != NULL && pending == NULL &&
	    (pending = calloc(1, sizeof *pending)) != NULL)
		pending->refs = 1;
	if (p == NULL || pending == NULL) {
		free(p);
		return say("%s: %s", cert, strerror(ENOMEM));
	}
	if (key == NULL || strcmp(cert, key) == 0)
		why = pem_read(p, true, true, key = cert);
	else if ((why = pem_read(p, true, false, cert)) == NULL)
		why = pem_read(p, false, true, key);
	if (why == NULL)
		why = pair_check(p, cert, key);
	if (why != NULL) {
		/* half a set would answer for some names only */
		pair_free(p);
		set_unref(pending);
		pending = NULL;
		return why;
	}
	for (at = &pending->first; *at != NULL; at = &(*at)->next)
		;
	*at = p;
	return NULL;
}

void
tls_drop(void)
{
	set_unref(pending);
	pending = NULL;
}

int
tls_use(void)
{
	if (pending == NULL)
		return -1;
	if (sessions.vtable == NULL)
		br_ssl_session_cache_lru_init(&sessions, session_store,
		    sizeof session_store);
	set_unref(current);
	current = pending;
	pending = NULL;
	return 0;
}

bool
tls_on(void)
{
	return current != NULL;
}

/* ---- policy: which pair for which client ----------------------------------- */

static struct tls *
of_policy(const br_ssl_server_policy_class **policy)
{
	return (struct tls *)(void *)((char *)policy -
	    offsetof(struct tls, policy));
}

/* The best suite that p can sign for; the lists are in our order and hold only
 * what both sides know. */
static bool
usable(const struct pair *p, const br_ssl_server_context *sc,
    br_ssl_server_choices *c)
{
	uint32_t sigs = br_ssl_server_get_client_hashes(sc);
	const br_suite_translated *suite;
	unsigned kx = BR_SSLKEYX_ECDHE_RSA, id;
	size_t i, n;

	if (p->type == BR_KEYTYPE_EC) {
		kx = BR_SSLKEYX_ECDHE_ECDSA;
		sigs >>= 8;
		/* RFC 8422 5.1: the list is for certificates, too */
		if ((br_ssl_server_get_client_curves(sc) >> p->ec.curve & 1) ==
		    0)
			return false;
	}
	for (id = br_sha256_ID; (sigs >> id & 1) == 0; id++)
		if (id == br_sha512_ID)
			return false;
	suite = br_ssl_server_get_client_suites(sc, &n);
	for (i = 0; i < n; i++)
		if (suite[i][1] >> 12 == kx) {
			c->cipher_suite = suite[i][0];
			c->algo_id = 0xff00 + id;
			c->chain = p->chain;
			c->chain_len = p->nchain;
			return true;
		}
	return false;
}

/* The first pair that has the name itself, else one by a wildcard, else the
 * first of all.  RSA beside ECDSA for the same names is two pairs, and the client
 * takes the one it can. */
static int
choose(const br_ssl_server_policy_class **policy,
    const br_ssl_server_context *sc, br_ssl_server_choices *c)
{
	struct tls *t = of_policy(policy);
	const char *host = br_ssl_engine_get_server_name(&sc->eng);
	const struct pair *p, *q;

	for (p = t->set->first; p != NULL; p = p->next)
		if (pair_matches(p, host, false) && usable(p, sc, c))
			break;
	for (q = t->set->first; p == NULL && q != NULL; q = q->next)
		if (pair_matches(q, host, true) && usable(q, sc, c))
			p = q;
	if (p == NULL)
		for (p = t->set->first; p != NULL; p = p->next)
			if (usable(p, sc, c))
				break;
	t->pair = p;
	return p != NULL;
}

static uint32_t
do_keyx(const br_ssl_server_policy_class **policy, unsigned char *data,
    size_t *len)
{
	(void)policy;
	(void)data;
	(void)len;
	return 0;	/* our suites are all ephemeral */
}

static size_t
do_sign(const br_ssl_server_policy_class **policy, unsigned id,
    unsigned char *data, size_t n, size_t cap)
{
	return sign(of_policy(policy)->pair, id & 0xff, data, n, cap);
}

static const br_ssl_server_policy_class policy_class = {
	sizeof(br_ssl_server_policy_class *), choose, do_keyx, do_sign
};

/* ---- one connection -------------------------------------------------------- */

/* The block's pages are given back; on Linux they read as zeros from now on,
 * elsewhere the system may keep them for a while. */
static void
pages_back(unsigned char *buf)
{
	madvise(buf, BUF_IN + BUF_OUT, MADV_DONTNEED);
}

static unsigned char *
buf_new(void)
{
	unsigned char *b = free_bufs;

	if (b != NULL) {
		memcpy(&free_bufs, b, sizeof free_bufs);
		nfree--;
		return b;
	}
	b = mmap(NULL, BUF_IN + BUF_OUT, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANON, -1, 0);
	return b == MAP_FAILED ? NULL : b;
}

static void
buf_free(unsigned char *b)
{
	if (nfree == FREE_BUFS) {
		munmap(b, BUF_IN + BUF_OUT);
		return;
	}
	pages_back(b);
	memcpy(b, &free_bufs, sizeof free_bufs);
	free_bufs = b;
	nfree++;
}

/* Everything BearSSL has to know before a reset.  Without instructions for AES
 * ChaCha20 is the faster cipher by far, and safe from timing by design. */
static void
engine_setup(struct tls *t, bool h2)
{
	static const uint16_t aes_first[] = {
		BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	}, chacha_first[] = {
		BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	};
	static const char *alpn[] = { "h2", "http/1.1" };
	br_ssl_engine_context *e = &t->sc.eng;
	unsigned id;

	br_ssl_server_zero(&t->sc);
	br_ssl_engine_set_versions(e, BR_TLS12, BR_TLS12);
	br_ssl_engine_set_suites(e, br_aes_x86ni_ctr_get_vtable() != NULL ||
	    br_aes_pwr8_ctr_get_vtable() != NULL ? aes_first : chacha_first,
	    sizeof aes_first / sizeof aes_first[0]);
	br_ssl_engine_set_default_ec(e);
	br_ssl_engine_set_default_aes_gcm(e);
	br_ssl_engine_set_default_chapol(e);
	for (id = br_sha256_ID; id <= br_sha512_ID; id++)
		br_ssl_engine_set_hash(e, (int)id, hashes[id].hash);
	br_ssl_engine_set_prf_sha256(e, &br_tls12_sha256_prf);
	br_ssl_engine_set_prf_sha384(e, &br_tls12_sha384_prf);
	br_ssl_engine_set_all_flags(e, BR_OPT_ENFORCE_SERVER_PREFERENCES |
	    BR_OPT_NO_RENEGOTIATION | BR_OPT_FAIL_ON_ALPN_MISMATCH);
	br_ssl_engine_set_protocol_names(e, h2 ? alpn : alpn + 1, h2 ? 2 : 1);
	br_ssl_server_set_cache(&t->sc, &sessions.vtable);
	br_ssl_server_set_policy(&t->sc, &t->policy);
	br_ssl_engine_set_buffers_bidi(e, t->buf, BUF_IN, t->buf + BUF_IN,
	    BUF_OUT);
}

struct tls *
tls_new(bool offer_h2)
{
	struct tls *t = calloc(1, sizeof *t);
	unsigned char seed[SEED];
	bool ok;

	if (t == NULL || current == NULL || (t->buf = buf_new()) == NULL) {
		free(t);
		return NULL;
	}
	t->policy = &policy_class;
	t->set = current;
	t->set->refs++;
	engine_setup(t, offer_h2);
	ok = getentropy(seed, sizeof seed) == 0;
	if (ok) {
		/* BearSSL alone would trust RDRAND where there is one */
		br_ssl_engine_inject_entropy(&t->sc.eng, seed, sizeof seed);
		ok = br_ssl_server_reset(&t->sc) != 0;
	}
	wipe(seed, 0, sizeof seed);
	if (!ok) {
		tls_free(t);
		return NULL;
	}
	return t;
}

void
tls_free(struct tls *t)
{
	if (t == NULL)
		return;
	buf_free(t->buf);
	set_unref(t->set);
	wipe_free(t, sizeof *t);
}

/* Tell a client that failed before our first byte, most of all one that does
 * not speak TLS; BearSSL ends such connections without an alert. */
static void
alert(struct tls *t)
{
	int err = tls_error(t);
	unsigned char what;

	if (t->talked || err == BR_ERR_OK || err >= BR_ERR_RECV_FATAL_ALERT)
		return;
	switch (err) {
	case BR_ERR_UNSUPPORTED_VERSION:
	case BR_ERR_BAD_VERSION:
		what = 70;	/* protocol_version */
		break;
	case BR_ERR_BAD_LENGTH:
	case BR_ERR_TOO_LARGE:
		what = 22;	/* record_overflow */
		break;
	case BR_ERR_UNEXPECTED:
		what = 10;	/* unexpected_message */
		break;
	default:
		what = 50;	/* decode_error */
		break;
	}
	memcpy(t->alert, (unsigned char[]){ 21, 3, 3, 0, 2, 2, what }, 7);
	t->nalert = sizeof t->alert;
	t->talked = true;	/* once */
}

/* After bytes moved. */
static void
look(struct tls *t)
{
	unsigned s = br_ssl_engine_current_state(&t->sc.eng);

	if (s == BR_SSL_CLOSED)
		alert(t);
	else if ((s & (BR_SSL_SENDAPP | BR_SSL_RECVAPP)) != 0)
		t->open = true;
}

/* The engine's four windows, as sizes. */
size_t
tls_rec_in(struct tls *t, unsigned char **p)
{
	size_t n;

	*p = br_ssl_engine_recvrec_buf(&t->sc.eng, &n);
	return n;
}

void
tls_rec_in_done(struct tls *t, size_t n)
{
	if (n == 0)	/* the engine would take it for progress */
		return;
	t->parked = false;
	br_ssl_engine_recvrec_ack(&t->sc.eng, n);
	look(t);
}

size_t
tls_rec_out(struct tls *t, unsigned char **p)
{
	size_t n;

	*p = br_ssl_engine_sendrec_buf(&t->sc.eng, &n);
	if (n == 0 && t->nalert > 0) {
		n = t->nalert;
		*p = t->alert + sizeof t->alert - n;
	} else if (n > 2 && !t->talked && (*p)[1] == 0) {
		/* BearSSL refuses a version before it has one to put here */
		(*p)[1] = (*p)[2] = 3;
	}
	return n;
}

void
tls_rec_out_done(struct tls *t, size_t n)
{
	if (n == 0)
		return;
	if (t->nalert > 0) {
		t->nalert = (uint8_t)(t->nalert - n);
		return;
	}
	t->talked = true;
	br_ssl_engine_sendrec_ack(&t->sc.eng, n);
	look(t);
}

size_t
tls_app_in(struct tls *t, unsigned char **p)
{
	size_t n;

	*p = br_ssl_engine_recvapp_buf(&t->sc.eng, &n);
	return n;
}

void
tls_app_in_done(struct tls *t, size_t n)
{
	if (n > 0)
		br_ssl_engine_recvapp_ack(&t->sc.eng, n);
}

size_t
tls_app_out(struct tls *t, unsigned char **p)
{
	size_t n;

	*p = br_ssl_engine_sendapp_buf(&t->sc.eng, &n);
	return n;
}

void
tls_app_out_done(struct tls *t, size_t n)
{
	if (n == 0)	/* would become an empty record */
		return;
	t->parked = false;
	t->unsent = true;
	br_ssl_engine_sendapp_ack(&t->sc.eng, n);
}

void
tls_flush(struct tls *t)
{
	br_ssl_engine_flush(&t->sc.eng, 0);
	t->unsent = false;
}

void
tls_close(struct tls *t)
{
	unsigned char *p;
	size_t n;

	/* closing over unread data leaves the engine stuck for good */
	while ((n = tls_app_in(t, &p)) > 0)
		tls_app_in_done(t, n);
	t->parked = false;
	br_ssl_engine_close(&t->sc.eng);
	t->unsent = false;
	look(t);
}

int
tls_state(const struct tls *t)
{
	if (br_ssl_engine_current_state(&t->sc.eng) == BR_SSL_CLOSED)
		return TLS_CLOSED;
	return t->open ? TLS_OPEN : TLS_HANDSHAKE;
}

int
tls_error(const struct tls *t)
{
	return br_ssl_engine_last_error(&t->sc.eng);
}

const char *
tls_alpn(const struct tls *t)
{
	/* it only looks, but is declared without const */
	br_ssl_engine_context *e = (void *)(uintptr_t)&t->sc.eng;

	return br_ssl_engine_get_selected_protocol(e);
}

/* Safe between two records: then the engine's indexes say that nothing in
 * either buffer is of interest, and it writes each byte before it reads it.
 * Waiting for a header, BearSSL offers 5 bytes at the start of its buffer. */
void
tls_park(struct tls *t)
{
	unsigned char *p;

	if (t->parked || t->unsent || tls_state(t) != TLS_OPEN ||
	    tls_rec_in(t, &p) != 5 || p != t->buf || tls_rec_out(t, &p) != 0)
		return;
	pages_back(t->buf);
	t->parked = true;
}

#else	/* a build without TLS: nothing can be loaded, so nothing is called */

const char *
tls_load(const char *cert, const char *key)
{
	(void)cert, (void)key;
	return "this build has no TLS";
}

void
tls_drop(void)
{
}

int
tls_use(void)
{
	return -1;
}

bool
tls_on(void)
{
	return false;
}

struct tls *
tls_new(bool offer_h2)
{
	(void)offer_h2;
	return NULL;
}

void
tls_free(struct tls *t)
{
	(void)t;
}

size_t
tls_rec_in(struct tls *t, unsigned char **p)
{
	(void)t, (void)p;
	return 0;
}

void
tls_rec_in_done(struct tls *t, size_t n)
{
	(void)t, (void)n;
}

size_t
tls_rec_out(struct tls *t, unsigned char **p)
{
	(void)t, (void)p;
	return 0;
}

void
tls_rec_out_done(struct tls *t, size_t n)
{
	(void)t, (void)n;
}

size_t
tls_app_in(struct tls *t, unsigned char **p)
{
	(void)t, (void)p;
	return 0;
}

void
tls_app_in_done(struct tls *t, size_t n)
{
	(void)t, (void)n;
}

size_t
tls_app_out(struct tls *t, unsigned char **p)
{
	(void)t, (void)p;
	return 0;
}

void
tls_app_out_done(struct tls *t, size_t n)
{
	(void)t, (void)n;
}

void
tls_flush(struct tls *t)
{
	(void)t;
}

void
tls_close(struct tls *t)
{
	(void)t;
}

void
tls_park(struct tls *t)
{
	(void)t;
}

int
tls_state(const struct tls *t)
{
	(void)t;
	return TLS_CLOSED;
}

int
tls_error(const struct tls *t)
{
	(void)t;
	return 0;
}

const char *
tls_alpn(const struct tls *t)
{
	(void)t;
	return NULL;
}
#endif
