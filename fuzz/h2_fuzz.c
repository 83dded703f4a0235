/* h2_fuzz.c - any frames into the HTTP/2 side, answers drained through windows of
 * any size.
 *
 * Each input is a session: its first byte says how it is cut, the rest follows
 * the preface.  "BIG" and "SMALL" are files of a folder made for it.  Buffers
 * are exactly as long as their bytes, so that the address sanitizer sees one
 * too many. */
#include "../h2.c"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    "\0\0\0\4\0\0\0\0\0";

static void
start(void)
{
	static char dir[] = "h2_fuzz.XXXXXX";
	static char zeros[40000];
	static const struct {
		const char *name;
		size_t n;
	} file[] = { { "BIG", 40000 }, { "SMALL", 10 } };
	int root, fd, i;

	log_level = LOG_L_ERROR;
	conf.access_log = true;
	conf.etag = conf.compression_static = true;
	if (log_open("/dev/null") < 0 || mkdtemp(dir) == NULL ||
	    (root = open(dir, O_RDONLY | O_DIRECTORY)) < 0)
		abort();
	for (i = 0; i < 2; i++) {
		fd = openat(root, file[i].name, O_WRONLY | O_CREAT, 0600);
		if (fd < 0 || write(fd, zeros, file[i].n) < 0)
			abort();
		close(fd);
	}
	close(root);
	conf.root = dir;
	conf.rules = rules_new();
	if (conf.rules == NULL || site_init(100) != NULL)
		abort();
}

/* Frames have to be whole and not longer than what fits. */
static void
drain(struct h2 *h, size_t cap, int rounds)
{
	uint8_t *out;
	ssize_t k = 1, i;

	while (k > 0 && rounds-- > 0) {
		out = malloc(cap);
		if (out == NULL)
			abort();
		k = h2_output(h, out, cap);
		for (i = 0; i < k; i += HD + (out[i] << 16 | out[i + 1] << 8 |
		    out[i + 2]))
			if (i + HD > k || out[i + 3] > NGHTTP2_CONTINUATION)
				abort();
		if (k > 0 && i != k)
			abort();
		free(out);
	}
	if (h->nfiles > H2_FILES)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static bool started;
	struct sockaddr sa = { .sa_family = AF_UNSPEC };
	struct h2 *h;
	size_t k, piece, cap;
	uint8_t *copy;
	int how, rc = 0;

	if (!started)
		start();
	started = true;
	log_clock();
	file_turn();
	if (n == 0 || (h = h2_new(&sa, false, false)) == NULL)
		return 0;
	how = *p++;
	n--;
	piece = how & 1 ? 1 + (how >> 4) : 30000;
	cap = how & 2 ? 16384 + HD : 65536;
	rc = h2_input(h, preface, sizeof preface - 1);
	while (n > 0 && rc == 0) {
		k = n < piece ? n : piece;
		copy = malloc(k);
		if (copy == NULL)
			abort();
		memcpy(copy, p, k);
		rc = h2_input(h, copy, k);
		free(copy);
		p += k;
		n -= k;
		if ((how & 4) == 0)
			drain(h, cap, how & 8 ? 1 : 100);
		if ((how & 12) == 8 && n < 40)
			h2_drain(h, n < 20);
	}
	drain(h, cap, 1000);
	h2_free(h);
	return 0;
}
