/* auth.c - HTTP Basic (RFC 7617) against bcrypt hashes, by the libc's crypt(3).
 *
 * A hash is slow on purpose and is computed right here, in the loop.  So:
 *  - Verdicts are remembered, right and wrong ones apart, under keyed digests
 *    of the credentials.  Who was right once is not refused nor delayed.
 *  - One hash a turn, then none for three times as long as it took: those who
 *    need no hash have three quarters of the time, whoever asks for what.  The
 *    next turn is one waiting client's by lot.
 *  - Behind one address, wrong passwords are BURST at once, then one in PAY_MS;
 *    past that there is no hash.  Many addresses only make new logins wait,
 *    WAITERS of them; more are sent away.
 *
 * A name that does not exist costs the hash of one that does. */
#include "sws.h"

/* Linux's libraries without crypt.h have no crypt(3); elsewhere it is in
 * unistd.h */
#if __has_include(<crypt.h>)
#include <crypt.h>
#elif defined __linux__ && !defined NO_CRYPT
#define NO_CRYPT
#endif

#ifndef NO_CRYPT
#ifdef __APPLE__
#include <sys/random.h>
#endif
#include <assert.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

const bool auth_there = true;

enum {
	HASH_LEN = 60,		/* "$2b$12$", 22 digits of salt, 31 of hash */
	HASH_OWN = 31,
	NAME_LEN = 255,
	CRED_MAX = 1023,	/* "user:password" */
	KEY_MAX = 72,		/* bytes of a password that bcrypt looks at */
	COST_SLOW = 12,		/* a quarter of a second; more is warned of */
	COST_MAX = 16,		/* seconds */
	HALF = SECRETS / 2,
	DEBTORS = 64,		/* addresses whose failures are counted */
	BURST = 10,
	PAY_MS = 2000,
	WAITERS = 64,		/* at a time: each is asked about every turn */
};

static struct user {
	char name[NAME_LEN + 1];
	char hash[HASH_LEN + 1];
} users[NAMES_MAX];
static unsigned nusers;

/* Of one digest, by verdict: wrong ones never push out right ones. */
static struct verdict {
	uint64_t digest[2];
	uint64_t used;		/* `uses` at the last time; 0 = never */
} known[2][HALF];
static uint64_t uses;
_Static_assert(HALF >= (int)NAMES_MAX, "every right password has its place");

static struct debtor {
	uint64_t who;
	int64_t debt;		/* log_ms when its failures are paid for */
} debtors[DEBTORS];

static uint64_t key[2];		/* of the digests */
static char minor;		/* b or a: $2?$ as crypt(3) knows it; 0 = not
				   tried yet */
static bool spent;		/* this turn's hash */
static int64_t rest;		/* log_turn from when on there may be one */
static unsigned asked, skip;	/* how many want a hash; this turn's lot */

/* memset that no compiler can prove to be useless. */
static void *(*const volatile wipe)(void *, int, size_t) = memset;

/* ---- SipHash-2-4 with 128 bits, Aumasson and Bernstein ------------------- */

static uint64_t
rotl(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static void
sip_rounds(uint64_t v[4], unsigned n)
{
	while (n-- > 0) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = rotl(v[1], 13) ^ v[0];
		v[3] = rotl(v[3], 16) ^ v[2];
		v[0] = rotl(v[0], 32);
		v[2] += v[1];
		v[0] += v[3];
		v[1] = rotl(v[1], 17) ^ v[2];
		v[3] = rotl(v[3], 21) ^ v[0];
		v[2] = rotl(v[2], 32);
	}
}

static void
sip_word(uint64_t v[4], uint64_t m)
{
	v[3] ^= m;
	sip_rounds(v, 2);
	v[0] ^= m;
}

static void
digest(const void *data, size_t n, uint64_t out[2])
{
	const unsigned char *p = data;
	uint64_t m = 0, v[4] = { key[0] ^ 0x736f6d6570736575,
	    key[1] ^ 0x646f72616e646f6d ^ 0xee, key[0] ^ 0x6c7967656e657261,
	    key[1] ^ 0x7465646279746573 };
	size_t i;

	for (i = 0; i < n; i++) {
		m |= (uint64_t)p[i] << 8 * (i % 8);
		if (i % 8 == 7) {
			sip_word(v, m);
			m = 0;
		}
	}
	sip_word(v, m | (uint64_t)n << 56);
	v[2] ^= 0xee;
	sip_rounds(v, 4);
	out[0] = v[0] ^ v[1] ^ v[2] ^ v[3];
	v[1] ^= 0xdd;
	sip_rounds(v, 4);
	out[1] = v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* ---- users --------------------------------------------------------------- */

/* Does the password, n <= KEY_MAX bytes without a 0, have this hash?  Slow. */
static bool
matches(const char *hash, const char *password, size_t n)
{
	char phrase[KEY_MAX + 1];
	const char *got;
	unsigned i, differ = 0;

	assert(n <= KEY_MAX);
	memcpy(phrase, password, n);
	phrase[n] = '\0';
	got = crypt(phrase, hash);
	wipe(phrase, 0, sizeof phrase);
	if (got == NULL || strlen(got) != HASH_LEN)
		return false;
	/* what stands before is what we gave, but perhaps rewritten */
	for (i = HASH_LEN - HASH_OWN; i < HASH_LEN; i++)
		differ |= (unsigned)(got[i] ^ hash[i]);
	return differ == 0;
}

/* Draw the key; see that crypt(3) computes bcrypt, 8-bit bytes included. */
static const char *
get_ready(void)
{
	char hash[] = "$2b$04$knownanswerknownanswe."
	    "SyRErW62ZrMleAFz1k2OPShfE9h0S7e";
	const char *p;

	if (getentropy(key, sizeof key) < 0)
		return "the system has no random bytes";
	for (p = "ba"; *p != '\0'; p++) {
		hash[2] = *p;
		if (matches(hash, "\303\251sws", 5)) {
			minor = *p;
			return NULL;
		}
	}
	return "this system's crypt(3) has no bcrypt";
}

/* The cost of a bcrypt hash, -1: it is none. */
static int
cost_of(const char *s)
{
	static const char digits[] = "./ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789";
	int cost;

	if (strlen(s) != HASH_LEN || strspn(s + 7, digits) != HASH_LEN - 7)
		return -1;
	if (s[0] != '$' || s[1] != '2' || strchr("aby", s[2]) == NULL ||
	    s[3] != '$' || s[6] != '$')
		return -1;
	if (s[4] < '0' || s[4] > '3' || s[5] < '0' || s[5] > '9')
		return -1;
	cost = (s[4] - '0') * 10 + s[5] - '0';
	return cost >= 4 && cost <= 31 ? cost : -1;
}

static const struct user *
find(const char *name, size_t n)
{
	unsigned i;

	for (i = 0; i < nusers; i++)
		if (strlen(users[i].name) == n &&
		    memcmp(users[i].name, name, n) == 0)
			return &users[i];
	return NULL;
}

const char *
auth_add(const char *entry)
{
	size_t i, n = strcspn(entry, ":");
	const char *why;
	struct user *u;
	int cost;

	if (n == 0 || entry[n] == '\0')
		return "must be user:hash";
	if (n > NAME_LEN)
		return "the name is too long";
	for (i = 0; i < n; i++)
		if ((unsigned char)entry[i] < 0x20 || entry[i] == 0x7f)
			return "a control character in the name";
	if ((cost = cost_of(entry + n + 1)) < 0)
		return "not a bcrypt hash, as htpasswd -nB writes it";
	if (cost > COST_MAX)
		return "a cost above 16 would stop everything for seconds";
	if (find(entry, n) != NULL)
		return "the same name again";
	if (nusers == NAMES_MAX)
		return "too many of them";
	if (minor == 0 && (why = get_ready()) != NULL)
		return why;
	if (cost > COST_SLOW)
		warn("user \"%.*s\": nobody is served while a hash of cost %d "
		    "is computed; %d is plenty", (int)n, entry, cost,
		    COST_SLOW);
	u = &users[nusers++];
	memcpy(u->name, entry, n);
	u->name[n] = '\0';
	memcpy(u->hash, entry + n + 1, HASH_LEN + 1);
	/* $2b$ and $2y$ are one; $2a$ may mean libxcrypt's own variant */
	if (u->hash[2] != 'a')
		u->hash[2] = minor;
	return NULL;
}

void
auth_clear(void)
{
	nusers = 0;
	memset(known, 0, sizeof known);
}

bool
auth_on(void)
{
	return nusers > 0;
}

/* ---- what was found out before ------------------------------------------- */

/* AUTH_OK, AUTH_WRONG, or -1: not known. */
static int
recall(const uint64_t d[2])
{
	struct verdict *k;
	unsigned v, i;

	for (v = AUTH_OK; v <= AUTH_WRONG; v++)
		for (i = 0; i < HALF; i++) {
			k = &known[v][i];
			if (((k->digest[0] ^ d[0]) |
			    (k->digest[1] ^ d[1])) == 0) {
				k->used = ++uses;
				return (int)v;
			}
		}
	return -1;
}

static void
remember(const uint64_t d[2], int verdict)
{
	struct verdict *k = known[verdict], *oldest = k;
	unsigned i;

	for (i = 1; i < HALF; i++)
		if (k[i].used < oldest->used)
			oldest = &k[i];
	*oldest = (struct verdict){ { d[0], d[1] }, ++uses };
}

/* ---- who may have a hash computed ---------------------------------------- */

/* Whom failures are held against: an IPv4 address, an IPv6 /64, which one
 * customer has; 0: unix sockets, and ::1 with its neighbours. */
static uint64_t
who(const struct sockaddr *peer)
{
	const unsigned char *p;
	uint64_t w = 0;
	unsigned i, n = 8;

	if (peer == NULL)
		return 0;
	if (peer->sa_family == AF_INET) {
		p = (const unsigned char *)&((const struct sockaddr_in *)
		    (const void *)peer)->sin_addr;
		n = 4;
	} else if (peer->sa_family == AF_INET6) {
		const struct in6_addr *a = &((const struct sockaddr_in6 *)
		    (const void *)peer)->sin6_addr;

		p = a->s6_addr;
		if (IN6_IS_ADDR_V4MAPPED(a)) {
			p += 12;
			n = 4;
		}
	} else {
		return 0;
	}
	if (n == 4)
		w = 0xffff;	/* as in ::ffff:192.0.2.1, no /64 begins so */
	for (i = 0; i < n; i++)
		w = w << 8 | p[i];
	return w;
}

static bool
floods(uint64_t w)
{
	unsigned i;

	for (i = 0; i < DEBTORS; i++)
		if (debtors[i].who == w)
			return debtors[i].debt >
			    log_ms + (BURST - 1) * PAY_MS;
	return false;
}

/* One more failure; the address with the least to pay is forgotten. */
static void
charge(uint64_t w)
{
	struct debtor *d = debtors;
	unsigned i;

	for (i = 0; i < DEBTORS; i++) {
		if (debtors[i].who == w) {
			d = &debtors[i];
			break;
		}
		if (debtors[i].debt < d->debt)
			d = &debtors[i];
	}
	if (d->who != w || d->debt < log_ms)
		d->debt = log_ms;
	d->who = w;
	d->debt += PAY_MS;
}

void
auth_turn(void)
{
	uint64_t d[2];

	spent = false;
	skip = 0;
	if (asked > 1) {
		digest(&log_turn, sizeof log_turn, d);
		skip = (unsigned)(d[0] % asked);
	}
	asked = 0;
}

/* Is it this one's turn?  With fewer than the last time it may be nobody's. */
static bool
hash_now(void)
{
	asked++;
	if (spent || log_turn < rest)
		return false;
	if (skip > 0) {
		skip--;
		return false;
	}
	spent = true;
	return true;
}

/* ---- the field ----------------------------------------------------------- */

static int
digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Base64 (RFC 4648 4), padded and with its spare bits 0, into dst[CRED_MAX]. */
static bool
decode(struct str s, char *dst, size_t *len)
{
	size_t i, n = 0, pad = 0;
	uint32_t bits = 0;
	int d;

	if (s.n == 0 || s.n % 4 != 0 || s.n / 4 * 3 > CRED_MAX)
		return false;
	while (pad < 2 && s.p[s.n - 1 - pad] == '=')
		pad++;
	for (i = 0; i < s.n - pad; i++) {
		if ((d = digit(s.p[i])) < 0)
			return false;
		bits = bits << 6 | (uint32_t)d;
		if (i % 4 > 0)
			dst[n++] = (char)(bits >> (6 - 2 * (i % 4)) & 0xff);
	}
	*len = n;
	return (bits & ((1u << 2 * pad) - 1)) == 0;
}

/* The verdict on "user:password", n bytes. */
static int
judge(const char *cred, size_t n, uint64_t from)
{
	const char *colon = memchr(cred, ':', n);
	const struct user *u;
	size_t name = colon != NULL ? (size_t)(colon - cred) : 0;
	uint64_t d[2], pick[2];
	int64_t began;
	int verdict;

	if (colon == NULL || memchr(cred, '\0', n) != NULL || nusers == 0)
		return AUTH_WRONG;
	/* bcrypt looks no further; so there is one right one for each user, and
	 * they are remembered all */
	if (n > name + 1 + KEY_MAX)
		n = name + 1 + KEY_MAX;
	digest(cred, n, d);
	if ((verdict = recall(d)) >= 0)
		return verdict;
	if (floods(from))
		return AUTH_FLOOD;
	if (!hash_now())
		return asked > WAITERS ? AUTH_FLOOD : AUTH_LATER;
	u = find(cred, name);
	verdict = u != NULL ? AUTH_OK : AUTH_WRONG;
	if (u == NULL) {	/* always the same one for the same name */
		digest(cred, name, pick);
		u = &users[pick[0] % nusers];
	}
	began = log_us();
	if (!matches(u->hash, colon + 1, n - name - 1))
		verdict = AUTH_WRONG;
	rest = log_us();
	rest += 3 * (rest - began);
	remember(d, verdict);
	if (verdict == AUTH_WRONG)
		charge(from);
	return verdict;
}

int
auth_check(struct str v, const struct sockaddr *peer)
{
	char cred[CRED_MAX];
	int verdict = AUTH_WRONG;
	size_t n = 6;

	if (v.n < n || strncasecmp(v.p, "Basic ", n) != 0)
		return AUTH_WRONG;
	while (n < v.n && v.p[n] == ' ')
		n++;
	v = (struct str){ v.p + n, v.n - n };
	if (decode(v, cred, &n))
		verdict = judge(cred, n, who(peer));
	wipe(cred, 0, sizeof cred);
	return verdict;
}

#else
const bool auth_there = false;

const char *
auth_add(const char *entry)
{
	(void)entry;
	return "this build has no crypt(3)";
}

void
auth_clear(void)
{
}

bool
auth_on(void)
{
	return false;
}

void
auth_turn(void)
{
}

int
auth_check(struct str v, const struct sockaddr *peer)
{
	(void)v;
	(void)peer;
	return AUTH_WRONG;
}
#endif
