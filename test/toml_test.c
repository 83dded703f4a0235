/* toml_test.c - toml.c from memory, for toml.py.
 *
 *	toml_test [lines|memory] <DOCUMENTS
 *
 * A document is its length, a newline and its bytes; its answer is one line:
 * the tree as JSON or "!" and the reason.  lines: with the line of each value
 * instead of it.  memory: what happens when each allocation in turn fails. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int live, budget = -1;

static void *
test_calloc(size_t n, size_t size)
{
	void *p;

	if (budget == 0)
		return NULL;
	if (budget > 0)
		budget--;
	p = calloc(n, size);
	live += p != NULL;
	return p;
}

static void
test_free(void *p)
{
	live -= p != NULL;
	free(p);
}

#define calloc test_calloc
#define free test_free
#include "../toml.c"
#undef calloc
#undef free

static void
print_string(const char *s)
{
	putchar('"');
	for (; *s != '\0'; s++)
		if (*s == '"' || *s == '\\')
			printf("\\%c", *s);
		else if ((unsigned char)*s < 0x20)
			printf("\\u%04x", (unsigned)*s);
		else
			putchar(*s);
	putchar('"');
}

static void
print(const struct toml *t, bool lines)
{
	const struct toml *c;
	bool table = t->type == TOML_TABLE;

	switch (t->type) {
	case TOML_STRING:
		if (!lines)
			print_string(t->string);
		break;
	case TOML_INTEGER:
		if (!lines)
			printf("%lld", (long long)t->integer);
		break;
	case TOML_BOOLEAN:
		if (!lines)
			fputs(t->integer ? "true" : "false", stdout);
		break;
	case TOML_ARRAY:
	case TOML_TABLE:
		putchar(table ? '{' : '[');
		for (c = t->first; c != NULL; c = c->next) {
			if (table) {
				print_string(c->key);
				putchar(':');
				if (toml_get(t, c->key) != c)
					abort();
			} else if (c->key != NULL) {
				abort();
			}
			if (lines)
				printf("[%u", c->line);
			if (lines && c->type >= TOML_ARRAY)
				putchar(',');
			print(c, lines);
			if (lines)
				putchar(']');
			if (c->next != NULL)
				putchar(',');
		}
		putchar(table ? '}' : ']');
		break;
	default:
		abort();
	}
}

static void
memory(const char *text, size_t n)
{
	struct toml *t;
	char why[200];
	int i;

	for (i = 0; i < 1000; i++) {
		budget = i;
		why[0] = '\0';
		t = toml_read(text, n, why, sizeof why);
		budget = -1;
		if (t == NULL && strstr(why, ": out of memory") == NULL)
			break;
		toml_free(t);
		if (live != 0 || t != NULL)
			break;
	}
	printf("%d allocations, then %s, %d left\n", i, t == NULL ? why :
	    "a tree", live);
}

int
main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	struct toml *t;
	char line[32], *text, why[200];
	size_t n;

	while (fgets(line, sizeof line, stdin) != NULL) {
		n = strtoul(line, NULL, 10);
		text = malloc(n + (n == 0));	/* exact, so that ASan sees */
		if (text == NULL || fread(text, 1, n, stdin) != n)
			return 1;
		if (strcmp(mode, "memory") == 0) {
			memory(text, n);
		} else {
			t = toml_read(text, n, why, sizeof why);
			free(text);	/* the tree has its own */
			text = NULL;
			if (t == NULL)
				printf("!%s", why);
			else
				print(t, strcmp(mode, "lines") == 0);
			putchar('\n');
			toml_free(t);
		}
		free(text);
	}
	toml_free(NULL);
	if (toml_get(NULL, "x") != NULL || live != 0)
		return 1;
	return 0;
}
