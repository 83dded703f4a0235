/* auth_test.c - auth.c with a clock of ours and every hash counted.
 *
 *	auth_test		all checks
 *	auth_test ENTRY CRED	the verdict on CRED where ENTRY is allowed
 */
#include "../sws.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>
#if __has_include(<crypt.h>)
#include <crypt.h>
#endif

static unsigned hashes;		/* crypt(3) calls */
static int64_t hash_us, clock_us;	/* what one takes; the clock */
static const char *revisions;	/* of $2?$ that crypt(3) knows; NULL = all */
static bool dry;		/* no random bytes */
static char hashed[600];	/* the last one */
static unsigned warnings;

unsigned log_level;
int64_t log_ms, log_turn;

void
warn(const char *fmt, ...)
{
	(void)fmt;
	warnings++;
}

static char *
test_crypt(const char *key, const char *setting)
{
	static char star[] = "*0";

	hashes++;
	clock_us += hash_us;
	snprintf(hashed, sizeof hashed, "%s", key);
	if (revisions != NULL && strchr(revisions, setting[2]) == NULL)
		return *revisions ? star : NULL;
	return crypt(key, setting);
}

static int
test_entropy(void *p, size_t n)
{
	return dry ? -1 : getentropy(p, n);
}

static int64_t
test_us(void)
{
	return clock_us;
}

#define crypt test_crypt
#define getentropy test_entropy
#define log_us test_us
#include "../auth.c"
#undef crypt
#undef getentropy
#undef log_us

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

/* got is want, both strings */
static void
same_at(const char *got, const char *want, int line)
{
	if (got == NULL || strcmp(got, want) != 0) {
		printf("FAIL %s: line %d: %s, not %s\n", part, line,
		    got ? got : "NULL", want);
		failed++;
	}
}
#define same(got, want) same_at((got), (want), __LINE__)

/* Hashes of cost 4 by htpasswd(1), which has a bcrypt of its own. */
#define ALADDIN \
    "$2y$04$gdaA019lyhQOwsLszw4Cger0fCYf/ZNbYDBkl6yyVsKAjtC4/VuK6"
#define EIGHTY	/* eighty x */ \
    "$2y$04$QooN.vRV2cfrKGmBwnAaSOOO0l3EmgHsiUkE.TLfUxHMuMLpt6t56"
static const char sesame[] = "aladdin:open sesame:\303\274";

static const char b64[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* "Basic " and the base64 of n bytes, in a buffer of exactly that size, so that
 * ASan sees a read beyond. */
static struct str
basic(const char *cred, size_t n)
{
	static char *old;
	static char buf[8192];
	size_t i, k = 6;

	memcpy(buf, "Basic ", 7);
	for (i = 0; i < n; i += 3) {
		unsigned char c[3] = { 0 };

		memcpy(c, cred + i, n - i < 3 ? n - i : 3);
		buf[k++] = b64[c[0] >> 2];
		buf[k++] = b64[(c[0] & 3) << 4 | c[1] >> 4];
		buf[k++] = n - i < 2 ? '=' : b64[(c[1] & 15) << 2 | c[2] >> 6];
		buf[k++] = n - i < 3 ? '=' : b64[c[2] & 63];
	}
	free(old);
	old = malloc(k);
	if (old == NULL)
		exit(3);
	memcpy(old, buf, k);
	return (struct str){ old, k };
}

static const struct sockaddr *
peer(const char *name)
{
	static struct sockaddr_in v4;
	static struct sockaddr_in6 v6;

	if (inet_pton(AF_INET, name, &v4.sin_addr) == 1) {
		v4.sin_family = AF_INET;
		return (const struct sockaddr *)&v4;
	}
	v6.sin6_family = AF_INET6;
	if (inet_pton(AF_INET6, name, &v6.sin6_addr) != 1)
		exit(3);
	return (const struct sockaddr *)&v6;
}

static const struct sockaddr *
numbered(unsigned i)
{
	char name[20];

	snprintf(name, sizeof name, "10.1.%u.%u", i >> 8 & 255, i & 255);
	return peer(name);
}

/* Time goes by, and a turn begins. */
static void
pass(int64_t ms)
{
	clock_us += ms * 1000;
	log_turn = clock_us;
	log_ms = log_turn / 1000;
	auth_turn();
}

static int
ask(const char *cred, const char *from)
{
	return auth_check(basic(cred, strlen(cred)), peer(from));
}

/* The same in a turn of its own, with time enough since the last hash. */
static int
login(const char *cred, const char *from)
{
	pass(1);
	return ask(cred, from);
}

static void
fresh(void)
{
	auth_clear();
	memset(debtors, 0, sizeof debtors);
	hash_us = 0;
	pass(100000);
	auth_turn();
}

static const char *
raw(const char *field)
{
	static const char *const verdict[] = { "ok", "wrong", "later",
	    "flood" };
	size_t n = strlen(field);
	char *copy = malloc(n + (n == 0));
	int v;

	if (copy == NULL)
		exit(3);
	memcpy(copy, field, n);
	pass(100000);
	v = auth_check((struct str){ copy, n }, peer("192.0.2.99"));
	free(copy);
	return verdict[v];
}

static void
siphash(void)
{
	/* computed with OpenSSL: bytes 0, 1, ... under the key 0, 1, ... 15 */
	static const struct {
		size_t n;
		uint64_t want[2];
	} row[] = {
		{ 0, { 0xe6a825ba047f81a3, 0x930255c71472f66d } },
		{ 1, { 0x44af996bd8c187da, 0x45fc229b11597634 } },
		{ 7, { 0x53c1dbd8beebf1a1, 0x3982f01fa64ab8c0 } },
		{ 8, { 0x61f55862baa9623b, 0xb49714f364e2830f } },
		{ 15, { 0x11a8b03399e99354, 0xd9c3cf970fec087e } },
	};
	uint64_t saved[2] = { key[0], key[1] }, out[2];
	unsigned char in[15];
	size_t i;

	key[0] = 0x0706050403020100;
	key[1] = 0x0f0e0d0c0b0a0908;
	for (i = 0; i < sizeof in; i++)
		in[i] = (unsigned char)i;
	for (i = 0; i < sizeof row / sizeof row[0]; i++) {
		digest(in, row[i].n, out);
		must(out[0] == row[i].want[0] && out[1] == row[i].want[1]);
	}
	key[0] = saved[0];
	key[1] = saved[1];
}

static void
first_use(void)
{
	must(!auth_on());
	must(ask("a:b", "192.0.2.1") == AUTH_WRONG);
	must(hashes == 0);
	dry = true;
	same(auth_add("aladdin:" ALADDIN), "the system has no random bytes");
	dry = false;
	revisions = "";
	same(auth_add("aladdin:" ALADDIN),
	    "this system's crypt(3) has no bcrypt");
	revisions = "x";
	same(auth_add("aladdin:" ALADDIN),
	    "this system's crypt(3) has no bcrypt");
	must(!auth_on());
	/* NetBSD's knows $2a$ only */
	revisions = "a";
	must(auth_add("aladdin:" ALADDIN) == NULL);
	must(minor == 'a');
	must(login(sesame, "192.0.2.1") == AUTH_OK);
	fresh();
	minor = 0;
	revisions = NULL;
	must(auth_add("aladdin:" ALADDIN) == NULL);
	must(minor == 'b');
	must(auth_on());
	must(key[0] != 0 && key[1] != 0);
	hashes = 0;
	must(auth_add("b:" ALADDIN) == NULL);
	must(hashes == 0);
	auth_clear();
	must(!auth_on());
	must(login(sesame, "192.0.2.1") == AUTH_WRONG);
	must(hashes == 0);
}

static void
entries(void)
{
	static const char form[] = "must be user:hash",
	    hash[] = "not a bcrypt hash, as htpasswd -nB writes it",
	    slow[] = "a cost above 16 would stop everything for seconds";
	static const char rest53[] =
	    "gdaA019lyhQOwsLszw4Cger0fCYf/ZNbYDBkl6yyVsKAjtC4/VuK6";
	static const struct {
		const char *prefix, *why;
	} row[] = {
		{ "u:$2a$04$", NULL }, { "u:$2b$04$", NULL },
		{ "u:$2y$04$", NULL }, { "u:$2b$16$", NULL },
		{ "\303\274 x:$2y$12$", NULL },
		{ "", form }, { ":", form }, { ":$2y$04$", form },
		{ "u:", hash }, { "u:$2x$04$", hash }, { "u:$2$04$", hash },
		{ "u:$2b$03$", hash }, { "u:$2b$00$", hash },
		{ "u:$2b$4$", hash }, { "u:$2b$004$", hash },
		{ "u:$2b$32$", hash }, { "u:$2b$40$", hash },
		{ "u:$2b$0a$", hash }, { "u:$2b$-4$", hash },
		{ "u:$2b$ 4$", hash }, { "u:$2B$04$", hash },
		{ "u:$2b$04:", hash }, { "u:$1b$04$", hash },
		{ "u:x2b$04$", hash }, { "u:$2bx04$", hash },
		{ "u::$2b$04$", hash }, { "u:v:$2b$04$", hash },
		{ "u: $2b$04$", hash }, { "u:$2b$04$.", hash },
		{ "u:$2b$17$", slow }, { "u:$2b$31$", slow },
		{ "u\n:$2b$04$", "a control character in the name" },
		{ "\177:$2b$04$", "a control character in the name" },
	};
	char entry[1000], *p;
	unsigned i;

	fresh();
	warnings = 0;
	for (i = 0; i < sizeof row / sizeof row[0]; i++) {
		const char *why;

		auth_clear();
		snprintf(entry, sizeof entry, "%s%s", row[i].prefix, rest53);
		why = auth_add(entry);
		if (why != row[i].why && (why == NULL || row[i].why == NULL ||
		    strcmp(why, row[i].why) != 0)) {
			printf("FAIL %s: \"%s\": %s\n", part, entry, why ? why :
			    "taken");
			failed++;
		}
		must(auth_on() == (row[i].why == NULL));
	}
	must(warnings == 1);	/* cost 16 */
	auth_clear();
	same(auth_add("u"), form);
	same(auth_add("u:" ALADDIN "a"), hash);
	same(auth_add("u:" ALADDIN "\n"), hash);
	for (i = 7; i < HASH_LEN; i++) {
		snprintf(entry, sizeof entry, "u:%s", ALADDIN);
		entry[2 + i] = "=!-_~\377$:"[i % 8];
		same(auth_add(entry), hash);
		entry[2 + i] = '\0';
		same(auth_add(entry), hash);
	}
	memset(entry, 'n', NAME_LEN + 1);
	snprintf(entry + NAME_LEN + 1, 100, ":%s", ALADDIN);
	same(auth_add(entry), "the name is too long");
	must(auth_add(entry + 1) == NULL);
	same(auth_add(entry + 1), "the same name again");
	must(auth_add(entry + 2) == NULL);
	snprintf(entry, sizeof entry, "N:%s", ALADDIN);
	for (p = entry, i = 2; i < NAMES_MAX; i++, ++*p)
		must(auth_add(entry) == NULL);
	same(auth_add("one:" ALADDIN), "too many of them");
}

static void
fields(void)
{
	static const char *const wrong[] = { "", "Basic", "Basic ", "Basic  ",
		"Basic =", "Basic ====", "Basic dTpw=", "Basic dTpwd",
		"Basic dTpw\t", "Basic dTpw ", "Basic\tdTpw", "BasicdTpw",
		"Basi dTpw", " Basic dTpw", "Basic dTpw, Basic dTpw",
		"Basic dT-w", "Basic dT_w", "Basic dT pw", "Basic dTp",
		"Basic d===", "Basic dQ==", "Basic dXA=", "Basic =Tpw",
		"Basic dTp=", "Basic dTo=dTpw", "Basic dTpw====",
		"Basic realm=\"x\"", "Bearer dTpw", "Digest username=\"u\"",
		"Basic \377\377\377\377", "Basic Og==Og==" };
	unsigned i;

	fresh();
	must(auth_add("u:" EIGHTY) == NULL);
	hashes = 0;
	for (i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		if (strcmp(raw(wrong[i]), "wrong") != 0 || hashes > 0) {
			printf("FAIL %s: \"%s\": %s, %u hashes\n", part,
			    wrong[i], raw(wrong[i]), hashes);
			failed++;
			hashes = 0;
		}
	/* what may be right is hashed */
	same(raw("Basic dTpw"), "wrong");		/* u:p */
	same(raw("bASIC dTpwcQ=="), "wrong");		/* u:pq */
	same(raw("Basic   dTpwcXI="), "wrong");		/* u:pqr */
	same(raw("Basic dTo="), "wrong");		/* u: */
	same(raw("Basic Og=="), "wrong");		/* : */
	must(hashes == 5);
	/* spare bits */
	same(raw("Basic dTpxcR=="), "wrong");
	same(raw("Basic dTpxcn1="), "wrong");
	must(hashes == 5);
}

static void
passwords(void)
{
	char cred[1100];
	unsigned i;

	fresh();
	must(auth_add("aladdin:" ALADDIN) == NULL);
	must(auth_add("x:" EIGHTY) == NULL);
	must(login(sesame, "192.0.2.1") == AUTH_OK);
	same(hashed, "open sesame:\303\274");
	must(login("aladdin:open sesame", "192.0.2.1") == AUTH_WRONG);
	must(login("Aladdin:open sesame:\303\274", "192.0.2.1") == AUTH_WRONG);
	must(login("x:open sesame:\303\274", "192.0.2.1") == AUTH_WRONG);
	must(login("aladdin:", "192.0.2.1") == AUTH_WRONG);

	/* bcrypt sees 72 bytes */
	snprintf(cred, sizeof cred, "x:");
	for (i = 2; i < sizeof cred - 1; i++)
		cred[i] = 'x';
	hashes = 0;
	for (i = 70; i <= 1024; i += i < 76 ? 1 : i < 512 ? 217 : 86) {
		int want = i < 72 || i + 2 > CRED_MAX ? AUTH_WRONG : AUTH_OK;

		pass(100000);
		if (auth_check(basic(cred, i + 2), peer("192.0.2.1")) != want) {
			printf("FAIL %s: %u bytes\n", part, i);
			failed++;
		}
	}
	pass(1);
	hashes = 0;
	must(auth_check(basic(cred, CRED_MAX), peer("192.0.2.1")) == AUTH_OK);
	must(auth_check(basic(cred, CRED_MAX + 1), peer("192.0.2.1")) ==
	    AUTH_WRONG);
	must(hashes == 0);

	/* crypt(3) would stop at a 0 */
	hashes = 0;
	pass(1);
	must(auth_check(basic("aladdin:open sesame:\303\274\0y", 24),
	    peer("192.0.2.1")) == AUTH_WRONG);
	must(auth_check(basic("aladdin\0:open sesame:\303\274", 23),
	    peer("192.0.2.1")) == AUTH_WRONG);
	must(hashes == 0);
}

static void
remembered(void)
{
	char cred[40];
	unsigned i;

	fresh();
	must(auth_add("aladdin:" ALADDIN) == NULL);
	must(login(sesame, "192.0.2.1") == AUTH_OK);
	must(login("aladdin:no", "192.0.2.1") == AUTH_WRONG);
	hashes = 0;
	for (i = 0; i < 100; i++) {
		must(ask(sesame, "192.0.2.2") == AUTH_OK);
		must(ask("aladdin:no", "192.0.2.2") == AUTH_WRONG);
	}
	must(hashes == 0);
	/* wrong ones go, the longest unused first; right ones stay */
	for (i = 0; i < HALF - 1; i++) {
		snprintf(cred, sizeof cred, "aladdin:%u", i);
		pass(PAY_MS);
		must(ask(cred, "192.0.2.3") == AUTH_WRONG);
		must(ask("aladdin:no", "192.0.2.3") == AUTH_WRONG);
	}
	must(hashes == HALF - 1);
	must(login("aladdin:more", "192.0.2.1") == AUTH_WRONG);
	must(hashes == HALF);
	must(login("aladdin:no", "192.0.2.1") == AUTH_WRONG);
	must(login("aladdin:1", "192.0.2.1") == AUTH_WRONG);
	must(hashes == HALF);
	must(login("aladdin:0", "192.0.2.1") == AUTH_WRONG);
	must(hashes == HALF + 1);
	for (i = 0; i < 3 * SECRETS; i++) {
		snprintf(cred, sizeof cred, "aladdin:%u", 1000 + i);
		pass(PAY_MS);
		must(ask(cred, "192.0.2.3") == AUTH_WRONG);
	}
	hashes = 0;
	must(ask(sesame, "192.0.2.1") == AUTH_OK);
	must(hashes == 0);
	/* all is forgotten with the users */
	auth_clear();
	must(auth_add("aladdin:" EIGHTY) == NULL);
	must(login(sesame, "192.0.2.1") == AUTH_WRONG);
	must(hashes == 1);
}

static void
unknown_names(void)
{
	char cred[40];
	unsigned i;

	fresh();
	must(auth_add("aladdin:" ALADDIN) == NULL);
	must(auth_add("x:" EIGHTY) == NULL);
	for (i = 0; i < 40; i++) {
		/* a name that does not exist, with either one's password */
		snprintf(cred, sizeof cred, "nobody%u:open sesame:\303\274", i);
		hashes = 0;
		pass(100000);
		must(ask(cred, "192.0.2.1") == AUTH_WRONG);
		must(hashes == 1);
		snprintf(cred, sizeof cred, "aladdin:%u", i);
		hashes = 0;
		pass(100000);
		must(ask(cred, "192.0.2.1") == AUTH_WRONG);
		must(hashes == 1);
	}
}

static void
one_a_turn(void)
{
	char cred[40];
	unsigned i, turns, waiting, most = 0, sum = 0;
	bool done[5] = { false };

	fresh();
	must(auth_add("aladdin:" ALADDIN) == NULL);
	/* five are in flight and ask in every turn */
	hashes = 0;
	hash_us = 50000;
	for (turns = 0, waiting = 5; waiting > 0 && turns < 10000; turns++) {
		unsigned before = hashes;

		for (i = 0; i < 5; i++) {
			snprintf(cred, sizeof cred, "aladdin:%u", i);
			if (done[i] || ask(cred, "192.0.2.1") == AUTH_LATER)
				continue;
			done[i] = true;
			waiting--;
		}
		sum += hashes - before;
		if (hashes - before > most)
			most = hashes - before;
		pass(1);
	}
	must(waiting == 0);
	must(most == 1 && sum == 5);
	/* three parts of four are for the others */
	must(turns > 4 * 150);
	must(turns < 1000);

	/* whoever is asked first, each has its chance: the last one of fifty,
	 * where new ones keep coming */
	fresh();
	must(auth_add("aladdin:" ALADDIN) == NULL);
	for (turns = 0; turns < 5000; turns++) {
		for (i = 0; i < 50; i++) {
			snprintf(cred, sizeof cred, "aladdin:%u.%u", turns, i);
			auth_check(basic(cred, strlen(cred)),
			    numbered(turns * 50 + i));
		}
		if (ask(sesame, "192.0.2.1") == AUTH_OK)
			break;
		pass(1);
	}
	must(turns < 5000);
	/* what is known does not wait */
	must(ask("aladdin:a", "192.0.2.1") == AUTH_LATER);
	must(ask(sesame, "192.0.2.1") == AUTH_OK);
}

static void
floods_end(void)
{
	char cred[80];
	unsigned i;

	fresh();
	must(auth_add("aladdin:" ALADDIN) == NULL);
	hashes = 0;
	for (i = 0; i < BURST; i++) {
		snprintf(cred, sizeof cred, "aladdin:%u", i);
		auth_turn();
		must(ask(cred, "192.0.2.1") == AUTH_WRONG);
	}
	auth_turn();
	must(ask("aladdin:a", "192.0.2.1") == AUTH_FLOOD);
	must(ask("nobody:a", "::ffff:192.0.2.1") == AUTH_FLOOD);
	must(ask(sesame, "192.0.2.1") == AUTH_FLOOD);
	must(ask("aladdin:0", "192.0.2.1") == AUTH_WRONG);
	must(hashes == BURST);
	/* others, and who is known, are not concerned */
	must(ask(sesame, "192.0.2.2") == AUTH_OK);
	must(ask(sesame, "192.0.2.1") == AUTH_OK);
	must(login("aladdin:b", "::ffff:192.0.2.3") == AUTH_WRONG);
	must(login("aladdin:c", "2001:db8:1:1::1") == AUTH_WRONG);
	must(hashes == BURST + 3);
	/* one each PAY_MS */
	must(login("aladdin:d", "192.0.2.1") == AUTH_FLOOD);
	pass(PAY_MS);
	must(ask("aladdin:d", "192.0.2.1") == AUTH_WRONG);
	must(login("aladdin:e", "192.0.2.1") == AUTH_FLOOD);
	/* a right one does not pay for wrong ones */
	must(ask(sesame, "192.0.2.1") == AUTH_OK);
	must(ask("aladdin:e", "192.0.2.1") == AUTH_FLOOD);
	pass(BURST * PAY_MS);
	for (i = 0; i < BURST; i++) {
		snprintf(cred, sizeof cred, "aladdin:%u", 100 + i);
		auth_turn();
		must(ask(cred, "192.0.2.1") == AUTH_WRONG);
	}
	must(ask("aladdin:e", "192.0.2.1") == AUTH_FLOOD);
	/* right ones are no failures */
	for (i = 0; i < BURST; i++) {
		snprintf(cred, sizeof cred, "%c:%s", 'a' + i, ALADDIN);
		must(auth_add(cred) == NULL);
		snprintf(cred, sizeof cred, "%c%s", 'a' + i, sesame + 7);
		must(login(cred, "192.0.2.4") == AUTH_OK);
	}
	must(login("a:y", "192.0.2.4") == AUTH_WRONG);
	/* a reload is no pardon */
	auth_clear();
	must(auth_add("aladdin:" ALADDIN) == NULL);
	must(login("aladdin:e", "192.0.2.1") == AUTH_FLOOD);
}

static void
addresses(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	uint64_t w = who(peer("192.0.2.1"));

	must(w == who(peer("::ffff:192.0.2.1")));
	must(w != who(peer("192.0.2.2")) && w != who(peer("::192.0.2.1")));
	must(who(peer("2001:db8::1")) == who(peer("2001:db8::ffff:0:0:1")));
	must(who(peer("2001:db8::1")) != who(peer("2001:db8:0:1::1")));
	must(who((const struct sockaddr *)&un) == who(NULL));
	must(who(NULL) != w);
	must(who(peer("255.255.255.255")) != who(peer("::")));
}

static void
many_addresses(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	char cred[40];
	unsigned i, k;

	fresh();
	must(auth_add("aladdin:" ALADDIN) == NULL);
	/* one goes on for longer than the others: it is not forgotten for
	 * them, although they fill the table */
	for (i = 0; i < BURST; i++) {
		snprintf(cred, sizeof cred, "aladdin:%u", i);
		auth_turn();
		must(ask(cred, "192.0.2.1") == AUTH_WRONG);
	}
	for (i = 0; i < 3 * DEBTORS; i++) {
		snprintf(cred, sizeof cred, "aladdin:%u", 100 + i);
		auth_turn();
		must(auth_check(basic(cred, strlen(cred)), numbered(i)) ==
		    AUTH_WRONG);
	}
	auth_turn();
	must(ask("aladdin:a", "192.0.2.1") == AUTH_FLOOD);
	/* unix sockets count as one, in a full table too */
	for (k = 0; k < 2; k++) {
		for (i = 0; i < BURST; i++) {
			snprintf(cred, sizeof cred, "aladdin:%u.%u", k, i);
			auth_turn();
			must(auth_check(basic(cred, strlen(cred)),
			    (struct sockaddr *)&un) == AUTH_WRONG);
		}
		auth_turn();
		must(auth_check(basic("aladdin:a", 9), NULL) == AUTH_FLOOD);
		fresh();
		must(auth_add("aladdin:" ALADDIN) == NULL);
	}
}

/* Any bytes at all: no crash, no verdict but wrong. */
static void
noise(void)
{
	static uint64_t dice = 88172645463325252u;
	char buf[80];
	unsigned i, k, n;

	fresh();
	must(auth_add("aladdin:" ALADDIN) == NULL);
	for (i = 0; i < 100000; i++) {
		for (k = 0; k < sizeof buf; k++) {
			dice ^= dice << 13;
			dice ^= dice >> 7;
			dice ^= dice << 17;
			buf[k] = i % 2 ? b64[dice >> 40 & 63] :
			    (char)(dice >> 40);
		}
		n = (unsigned)(dice >> 20) % sizeof buf;
		if (i % 3)
			memcpy(buf, "Basic ", 6);
		auth_check((struct str){ buf, n }, peer("192.0.2.1"));
	}
	must(known[AUTH_OK][0].used == 0);
}

static const struct {
	const char *name;
	void (*run)(void);
} parts[] = {
	{ "first use tries crypt(3) and the random bytes", first_use },
	{ "SipHash-2-4-128 has its known answers", siphash },
	{ "entries are checked", entries },
	{ "the field is checked", fields },
	{ "passwords of any bytes and length", passwords },
	{ "verdicts are remembered", remembered },
	{ "an unknown name costs one hash too", unknown_names },
	{ "one hash a turn, by lot", one_a_turn },
	{ "floods end in no hash, and are paid off", floods_end },
	{ "who is who", addresses },
	{ "many addresses", many_addresses },
	{ "noise", noise },
};

int
main(int argc, char **argv)
{
	const char *why;
	unsigned i;
	int before;

	setvbuf(stdout, NULL, _IOLBF, 0);
	pass(1000);
	if (argc == 3) {
		why = auth_add(argv[1]);
		puts(why ? why : ask(argv[2], "::1") == AUTH_OK ? "right" :
		    "wrong");
		return 0;
	}
	for (i = 0; i < sizeof parts / sizeof parts[0]; i++) {
		part = parts[i].name;
		before = failed;
		parts[i].run();
		if (failed == before)
			printf("ok %s\n", part);
	}
	return failed > 0;
}
