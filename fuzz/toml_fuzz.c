/* toml_fuzz.c - any bytes as a configuration file.
 *
 * What is refused is so in one printable line that begins with its number; what
 * is taken is a sound tree, and the same one when it is written out and read
 * again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../toml.c"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define must(x) ((x) ? (void)0 : broken(#x, __LINE__))
static void broken(const char *what, int line) __attribute__((noreturn));
static void
broken(const char *what, int line)
{
	fprintf(stderr, "toml_fuzz.c:%d: not so: %s\n", line, what);
	abort();
}

static void
good_reason(const char *why, unsigned lines)
{
	char *end;
	unsigned long line = strtoul(why, &end, 10);
	size_t i, n = strlen(why);

	must(why[0] >= '1' && why[0] <= '9' && line <= lines);
	must(end[0] == ':' && end[1] == ' ' && end[2] != '\0');
	must(n < 199);
	for (i = 0; i < n; i++)
		must(why[i] >= 0x20 && why[i] < 0x7f);
}

static void
good_string(const char *s)
{
	size_t len, n;

	must(s != NULL);
	for (n = strlen(s); n > 0; n -= len, s += len)
		must((len = utf8((const unsigned char *)s, n)) > 0);
}

static void
good_tree(const struct toml *t, unsigned depth, unsigned line, unsigned lines)
{
	const struct toml *c;
	unsigned keys = 0;

	must(depth <= DEPTH);
	must(t->line >= line && t->line <= lines);
	must(t->type == TOML_STRING || t->string == NULL);
	must(t->type != TOML_BOOLEAN || t->integer == 0 || t->integer == 1);
	if (t->type == TOML_STRING)
		good_string(t->string);
	if (t->type < TOML_ARRAY) {
		must(t->first == NULL && toml_get(t, "a") == NULL);
		return;
	}
	must(t->type == TOML_ARRAY || t->type == TOML_TABLE);
	line = t->line;
	for (c = t->first; c != NULL; c = c->next) {
		if (t->type == TOML_TABLE) {
			good_string(c->key);
			must(toml_get(t, c->key) == c);	/* none before it */
			must(++keys <= KEYS);
		} else {
			must(c->key == NULL);
		}
		good_tree(c, depth + 1, line, lines);
		line = c->line;
	}
}

static bool
equal(const struct toml *a, const struct toml *b)
{
	const struct toml *c = a->first, *d = b->first;

	if (a->type != b->type || a->integer != b->integer ||
	    (a->string != NULL && strcmp(a->string, b->string) != 0) ||
	    (a->key == NULL) != (b->key == NULL) ||
	    (a->key != NULL && strcmp(a->key, b->key) != 0))
		return false;
	for (; c != NULL && d != NULL; c = c->next, d = d->next)
		if (!equal(c, d))
			return false;
	return c == NULL && d == NULL;
}

static void
write_string(FILE *f, const char *s)
{
	fputc('"', f);
	for (; *s != '\0'; s++)
		if (*s == '"' || *s == '\\')
			fprintf(f, "\\%c", *s);
		else if ((unsigned char)*s < 0x20 || *s == 0x7f)
			fprintf(f, "\\u%04x", (unsigned)*s);
		else
			fputc(*s, f);
	fputc('"', f);
}

/* All below the root as one line. */
static void
write_tree(FILE *f, const struct toml *t, bool root)
{
	const struct toml *c;
	bool table = t->type == TOML_TABLE;

	if (t->type == TOML_STRING)
		write_string(f, t->string);
	if (t->type == TOML_INTEGER)
		fprintf(f, "%lld", (long long)t->integer);
	if (t->type == TOML_BOOLEAN)
		fputs(t->integer ? "true" : "false", f);
	if (t->type < TOML_ARRAY)
		return;
	if (!root)
		fputc(table ? '{' : '[', f);
	for (c = t->first; c != NULL; c = c->next) {
		if (table) {
			write_string(f, c->key);
			fputc('=', f);
		}
		write_tree(f, c, false);
		if (root)
			fputc('\n', f);
		else if (c->next != NULL)
			fputc(',', f);
	}
	if (!root)
		fputc(table ? '}' : ']', f);
}

static void
try_again(const struct toml *t)
{
	char *text, why[200] = "";
	size_t n;
	FILE *f = open_memstream(&text, &n);
	struct toml *u;

	must(f != NULL);
	write_tree(f, t, true);
	must(fclose(f) == 0);
	u = toml_read(text, n, why, sizeof why);
	must(u != NULL || n > CONF_MAX);
	must(u == NULL || equal(t, u));
	toml_free(u);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t n)
{
	char why[200] = "", again[200] = "", tiny[5];
	char *copy = malloc(n > 0 ? n : 1);	/* exact, and gone afterwards */
	struct toml *t, *u;
	unsigned lines = 1;
	size_t i;

	must(copy != NULL);
	memcpy(copy, in, n);
	for (i = 0; i < n; i++)
		lines += in[i] == '\n';
	t = toml_read(copy, n, why, sizeof why);
	u = toml_read(copy, n, again, sizeof again);
	must((t == NULL) == (u == NULL) && strcmp(why, again) == 0);
	if (t == NULL) {
		good_reason(why, lines);
		must(toml_read(copy, n, tiny, sizeof tiny) == NULL);
		must(strncmp(tiny, why, 4) == 0 && tiny[4] == '\0');
		must(toml_read(copy, n, NULL, 0) == NULL);
	}
	free(copy);
	if (t != NULL) {
		must(t->type == TOML_TABLE && t->key == NULL && !t->next);
		good_tree(t, 0, 1, lines);
		must(equal(t, u));
		try_again(t);
	}
	toml_free(t);
	toml_free(u);
	return 0;
}
