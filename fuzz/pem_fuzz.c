/* pem_fuzz.c - any bytes as a certificate and key file, or as DER inside.
 *
 * The first byte says which: a PEM file with both (0), the DER of a key (1),
 * the DER of a leaf for its names (2), both in good PEM blocks (3, split in the
 * middle).  What is refused has to be so in one line that names the file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../tls.c"

#include <sys/syscall.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define must(x) ((x) ? (void)0 : broken(#x, __LINE__))
static void broken(const char *what, int line) __attribute__((noreturn));
static void
broken(const char *what, int line)
{
	fprintf(stderr, "pem_fuzz.c:%d: not so: %s\n", line, what);
	abort();
}

static unsigned char *
copy(const void *p, size_t n)
{
	unsigned char *c = malloc(n > 0 ? n : 1);

	if (c == NULL)
		abort();
	memcpy(c, p, n);
	return c;
}

static void
good_reason(const char *why, const char *path)
{
	must(strncmp(why, path, strlen(path)) == 0);
	must(strncmp(why + strlen(path), ": ", 2) == 0);
	must(strchr(why, '\n') == NULL && strlen(why) < 200);
}

/* A usable key signs without touching what is not its own. */
static void
try_key(struct pair *p)
{
	unsigned char data[512] = { 0 };
	const char *why = key_read(p, "FILE");

	if (why != NULL) {
		good_reason(why, "FILE");
		return;
	}
	must(p->type == BR_KEYTYPE_RSA || p->type == BR_KEYTYPE_EC);
	must(sign(p, br_sha256_ID, data, 32, sizeof data) <= sizeof data);
	memset(data, 0, sizeof data);
	must(sign(p, br_sha512_ID, data, 64, sizeof data) <= sizeof data);
}

static void
try_leaf(struct pair *p)
{
	static const char *const hosts[] = { "", ".", "a.example", "x.b.example",
		"*.b.example", "localhost", "..", "a..b" };
	size_t i;

	if (!leaf_names(p))
		return;
	for (i = 0; i < sizeof hosts / sizeof hosts[0]; i++)
		if (pair_matches(p, hosts[i], false) ||
		    pair_matches(p, hosts[i], true))
			must(hosts[i][0] != '\0' && hosts[i][0] != '.');
}

static int file = -1;
static char path[64];

static const char *
try_file(const void *p, size_t n)
{
	const char *why;

	if (file == -1) {
		file = (int)syscall(SYS_memfd_create, "pem", 0);
		snprintf(path, sizeof path, "/proc/self/fd/%d", file);
	}
	must(ftruncate(file, 0) == 0);
	must(pwrite(file, p, n, 0) == (ssize_t)n);
	why = tls_load(path, NULL);
	if (why != NULL) {
		good_reason(why, path);
		must(pending == NULL);
	} else {
		must(tls_use() == 0);
		must(current->first->next == NULL && current->refs == 1);
		try_leaf(current->first);
	}
	return why;
}

int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t n)
{
	struct pair p;
	char *text;
	size_t half, m;

	if (n < 1)
		return 0;
	memset(&p, 0, sizeof p);
	switch (*in & 3) {
	case 0:
		try_file(in + 1, n - 1);
		break;
	case 1:
		p.der = copy(in + 1, n - 1);
		p.nder = n - 1;
		try_key(&p);
		free(p.der);
		break;
	case 2:
		p.chain[0].data = copy(in + 1, n - 1);
		p.chain[0].data_len = n - 1;
		try_leaf(&p);
		free(p.chain[0].data);
		break;
	case 3:
		half = (n - 1) / 2;
		text = malloc(4 * n + 400);
		must(text != NULL);
		m = br_pem_encode(text, in + 1, half, "CERTIFICATE",
		    BR_PEM_LINE64);
		m += br_pem_encode(text + m, in + 1 + half, n - 1 - half,
		    "PRIVATE KEY", BR_PEM_LINE64 | BR_PEM_CRLF);
		try_file(text, m);
		free(text);
		break;
	}
	return 0;
}
