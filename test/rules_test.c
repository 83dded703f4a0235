/* rules_test.c - glob.c and rules.c on tables of cases.
 *
 *	rules_test		the cases
 *	rules_test pairs	a pattern and a text a line, in hex, "s" or "l"
 *				(loose) before them: where the captures are, or
 *				"no", or "error"; for test/patterns.py
 *
 * Cases marked g are facts from globset's own tests, s from SWS's. */
#include "../glob.c"

#include <stdio.h>

static int failed;

static void
result(const char *name, bool good, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void
result(const char *name, bool good, const char *fmt, ...)
{
	va_list ap;

	if (good)
		return;
	failed++;
	printf("FAIL %s: ", name);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

/* One line for all cases of a part. */
static void
part_ends(const char *name)
{
	static int before;

	if (failed == before)
		printf("ok %s\n", name);
	before = failed;
}

/* Exactly n bytes, so that the address sanitizer sees one too many. */
static char *
copy(const char *p, size_t n)
{
	char *c = malloc(n > 0 ? n : 1);

	if (c == NULL)
		exit(1);
	memcpy(c, p, n);
	return c;
}

/* ---- globs -------------------------------------------------------------- */

/* What a match gives: its captures, each in ( ), from $1 on. */
static const struct {
	const char *pattern, *text, *want;	/* NULL: no match */
} strict[] = {
	/* literals */
	{ "", "", "" },
	{ "", "a", NULL },
	{ "a", "a", "" },			/* g */
	{ "a", "b", NULL },
	{ "a", "", NULL },
	{ "a", "foo/a", NULL },			/* g */
	{ "./foo", "foo", NULL },		/* g */
	{ "abc/def", "abc/def", "" },		/* g */
	{ "a,b", "a,b", "" },			/* g */
	{ ",", ",", "" },			/* g */
	{ "+.^$()|#", "+.^$()|#", "" },
	{ "\342\230\203", "\342\230\203", "" },	/* g */
	{ "a b", "a b", "" },
	{ "a\nb", "a\nb", "" },
	/* one character */
	{ "?", "a", "" },
	{ "?", "", NULL },
	{ "?", "ab", NULL },
	{ "?", "/", NULL },
	{ "?", "\n", "" },
	{ "?", "\303\251", "" },		/* one character of two bytes */
	{ "?", "\342\230\203", "" },
	{ "?", "\360\237\230\200", "" },
	{ "??", "\303\251", NULL },
	{ "?", "\251", "" },			/* no UTF-8: a byte */
	{ "?", "\303", "" },
	{ "??", "\342\230", "" },
	{ "?", "\342\230", NULL },
	{ "??", "\300\200", "" },		/* too long a form */
	{ "???", "\355\240\200", "" },		/* a surrogate */
	{ "????", "\364\220\200\200", "" },	/* behind the last */
	{ "abc?def", "abc/def", NULL },		/* g */
	{ "a?c", "abc", "" },
	{ "{?}{*}", "\303\251\303\251", "(\303\251)(\303\251)" },
	{ "{*}{?}", "\303\251\303\251", "(\303\251)(\303\251)" },
	{ "{*}{?}{?}", "x\342\230\203\303", "(x)(\342\230\203)(\303)" },
	{ "{*}\251", "\303\251", "error" },
	{ "{*}{[!a]}", "\303\251", "()(\303\251)" },
	/* stars */
	{ "*", "", "" },
	{ "*", "abc", "" },
	{ "*", "a/c", NULL },
	{ "*", "/", NULL },
	{ "*a", "aaa", "" },
	{ "a*", "aaa", "" },
	{ "a*b", "a_b", "" },			/* g */
	{ "a*b*c", "abc", "" },			/* g */
	{ "a*b*c", "a_b_c", "" },		/* g */
	{ "a*b*c", "a___b___c", "" },		/* g */
	{ "a*b*c", "abcd", NULL },		/* g */
	{ "abc*abc*abc", "abcabcabcabcabcabcabc", "" },		/* g */
	{ "abc*abc*abc", "abcabcabcabcabcabcabca", NULL },	/* g */
	{ "a*a*a*a*a*a*a*a*a", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "" }, /* g */
	{ "a*b[xyz]c*d", "abxcdbxcddd", "" },	/* g */
	{ "*.rs", ".rs", "" },			/* g */
	{ "*.c", "mozilla-sha1/sha1.c", NULL },	/* g */
	{ "/*.c", "/mozilla-sha1/sha1.c", NULL },
	{ "abc*def", "abc/def", NULL },		/* g */
	{ "some/*/needle.txt", "some/one/needle.txt", "" },	/* g */
	{ "some/*/needle.txt", "some/needle.txt", NULL },	/* g */
	{ "some/*/needle.txt", "some/one/two/needle.txt", NULL }, /* g */
	{ "*hello.txt", "hello.txt", "" },	/* g */
	{ "*hello.txt", "gareth_says_hello.txt", "" },		/* g */
	{ "*hello.txt", "hello.txt-and-then-some", NULL },	/* g */
	{ "*hello.txt", "goodbye.txt", NULL },	/* g */
	{ "*hello.txt", "some/path/to/hello.txt", NULL },
	{ "{*}{*}", "abc", "(abc)()" },
	{ "{*}b{*}", "abbc", "(ab)(c)" },
	{ "{*}-{*}", "a-b-c", "(a-b)(c)" },
	{ "{*}/{*}", "a/b", "(a)(b)" },
	{ "{*}/{*}", "a/b/c", NULL },
	/* double stars: a pattern of its own */
	{ "**", "", "" },			/* g */
	{ "**", "abcde", "" },			/* g */
	{ "**", ".asdf", "" },			/* g */
	{ "**", "/x/.asdf", "" },		/* g */
	{ "**/", "", "" },
	{ "**/", "a/b", "" },
	{ "**/**", "a/b", "" },			/* g */
	{ "**/**/**", "", "" },			/* g */
	/* ... first */
	{ "**/test", "one/two/test", "(one/two/)" },	/* g */
	{ "**/test", "one/test", "(one/)" },	/* g */
	{ "**/test", "test", "()" },		/* g */
	{ "**/test", "/test", "(/)" },
	{ "**/test", "/one/test", "(/one/)" },
	{ "**/test", "//test", "(//)" },
	{ "**/**/test", "/one/test", "(/one/)" },	/* g */
	{ "**/foo", "foofoo", NULL },		/* g */
	{ "**/foo/bar", "foo/bar", "()" },	/* g */
	{ "**/foo/bar", "foofoo/bar", NULL },	/* g */
	{ "**/.*", ".abc", "()" },		/* g */
	{ "**/.*", "abc/.abc", "(abc/)" },	/* g */
	{ "**/.*", "ab.c", NULL },		/* g */
	{ "**/.*", "abc/ab.c", NULL },		/* g */
	{ "**/m4/ltoptions.m4", "csharp/src/packages/repositories.config",
	    NULL },				/* g */
	{ "**/*", "", "()" },
	{ "**/*", "a", "()" },
	{ "**/*", "/a", "(/)" },
	{ "**/*", "/a/b", "(/a/)" },
	{ "**/**/*", "/a/b", "(/a/)" },
	{ "**/{*}", "/a/", "(/a/)()" },
	{ "**a", "xa", "" },
	{ "**a", "x/a", NULL },
	{ "**/**a", "x/ba", "(x/)" },
	/* ... last */
	{ "/**", "/", "" },
	{ "/**", "/a/b", "" },
	{ "/**", "", NULL },
	{ "test/**", "test/", "" },		/* g */
	{ "test/**", "test/one", "" },		/* g */
	{ "test/**", "test/one/two", "" },	/* g */
	{ "foo/**", "foo", NULL },		/* g */
	{ ".*/**", ".abc/abc", "" },		/* g */
	{ ".*/**", ".abc", NULL },		/* g */
	{ ".*/**", "a.bc", NULL },		/* g */
	{ ".*/**", "abc/a.bc", NULL },		/* g */
	{ "a/**/**", "a/", "" },		/* g */
	{ "a/**/**/**", "a/b/c", "" },		/* g */
	{ "a**", "ab", "" },
	{ "a**", "a/b", NULL },
	{ "/a**", "/ab", "" },			/* g */
	/* ... between */
	{ "some/**/needle.txt", "some/needle.txt", "(/)" },	/* g */
	{ "some/**/needle.txt", "some/one/needle.txt", "(/one/)" }, /* g */
	{ "some/**/needle.txt", "some/one/two/needle.txt",
	    "(/one/two/)" },			/* g */
	{ "some/**/**/needle.txt", "some/needle.txt", "(/)" },	/* g */
	{ "some/**/**/needle.txt", "some/one/needle.txt",
	    "(/one/)" },			/* g */
	{ "some/**/needle.txt", "some/other/notthis.txt", NULL }, /* g */
	{ "/**/test", "/test", "(/)" },		/* g */
	{ "/**/test", "/one/test", "(/one/)" },	/* g */
	{ "/**/test", "/one/two/test", "(/one/two/)" },	/* g */
	{ "/**/test", "test", NULL },		/* g */
	{ "/**/test", "/one/notthis", NULL },	/* g */
	{ "/**/test", "/notthis", NULL },	/* g */
	{ "a/**/", "a/", "(/)" },
	{ "a/**/", "a/b/", "(/b/)" },
	{ "a/**/", "a/b", NULL },
	{ "a/**b", "a/xb", "" },
	{ "a/**b", "a/x/b", NULL },
	{ "a**/b", "ax/b", "" },
	{ "a**/b", "ax/y/b", NULL },
	{ "a**b", "axxb", "" },
	{ "***", "abc", "" },
	{ "***", "a/b", NULL },
	{ "\\/**/b", "/x/b", "(/x/)" },
	/* groups */
	{ "{a,b}", "a", "(a)" },		/* g */
	{ "{a,b}", "b", "(b)" },		/* g */
	{ "{a,b}", "c", NULL },
	{ "{foo}", "foo", "(foo)" },		/* g */
	{ "{*.foo,*.bar,*.wat}", "test.wat", "(test.wat)" },	/* g */
	{ "foo{,.txt}", "foo.txt", "(.txt)" },	/* g */
	{ "foo{,.txt}", "foo", NULL },		/* g */
	{ "foo{.txt,}", "foo", NULL },
	{ "foo{a,,b}", "foob", "(b)" },
	{ "foo{a,,}", "fooa", "(a)" },
	{ "{[}],foo}", "}", "(})" },		/* g */
	{ "{a,b{c,d}}", "bc", "(bc)(c)" },	/* g */
	{ "{a,b{c,d}}", "a", "(a)()" },		/* g */
	{ "{a{b,c},d{e,f}}", "df", "(df)()(f)" },
	{ "{{a,ab}{c,bcd},abcde}{*}", "abcde", "(abcd)(a)(bcd)(e)" },
	{ "{{a}x,{a}y}", "ay", "(ay)()(a)" },
	{ "{a,ab}{c,bcd}{*}", "abcd", "(a)(bcd)()" },
	{ "{ab,a}{c,bcd}{*}", "abcd", "(ab)(c)(d)" },
	{ "{a,aa}{a,aa}{a,aa}", "aaaaa", "(a)(aa)(aa)" },
	{ "{**/src/**,foo}", "abc/src/bar", "(abc/src/bar)(abc/)" }, /* g */
	{ "{**/src/**,foo}", "foo", "(foo)()" },	/* g */
	{ "{**}", "a/b", "(a/b)" },
	{ "{**,}", "a/b", "(a/b)" },
	{ "{**,x}", "a/b", NULL },
	{ "{x,**}", "ab", "(ab)" },
	{ "{***}", "a/b", NULL },
	{ "{**}{**}", "a/b", "(a/b)()" },
	{ "a{/**,b}", "a/x/y", "(/x/y)" },
	{ "a{/**/,b}c", "a/x/c", "(/x/)(/x/)" },
	{ "{a,/**/**}", "/x/y", "(/x/y)" },
	{ "{**/**}", "x/", "(x/)(x/)" },
	{ "{**/**}", "x/y", NULL },
	{ "\\{a,b\\}", "{a,b}", "" },
	{ "{a\\,b}", "a,b", "(a,b)" },
	{ "{a,b}{c,d}{e,f}{g,h}{i,j}{k,l}{m,n}{o,p}{q,r}", "acegikmoq",
	    "(a)(c)(e)(g)(i)(k)(m)(o)(q)" },
	{ "{a}{b}{c}{d}{e}{f}{g}{h}{i}{j}{k}", "abcdefghijk",
	    "(a)(b)(c)(d)(e)(f)(g)(h)(i)" },
	/* classes */
	{ "a[0-9]b", "a0b", "" },		/* g */
	{ "a[0-9]b", "a9b", "" },		/* g */
	{ "a[0-9]b", "a_b", NULL },		/* g */
	{ "a[!0-9]b", "a_b", "" },		/* g */
	{ "a[!0-9]b", "a0b", NULL },		/* g */
	{ "a[^0-9]b", "a_b", "" },		/* g */
	{ "a[^0-9]b", "a9b", NULL },		/* g */
	{ "[a-z123]", "1", "" },		/* g */
	{ "[1a-z23]", "1", "" },		/* g */
	{ "[123a-z]", "1", "" },		/* g */
	{ "[abc-]", "-", "" },			/* g */
	{ "[-abc]", "-", "" },			/* g */
	{ "[-a-c]", "b", "" },			/* g */
	{ "[a-c-]", "b", "" },			/* g */
	{ "[-]", "-", "" },			/* g */
	{ "[!-]", "-", NULL },			/* g */
	{ "[^-]", "-", NULL },			/* g */
	{ "[]-z]", "a", "" },			/* g */
	{ "[--z]", "/", NULL },
	{ "[--z]", ".", "" },
	{ "[a-c-e]", "d", "" },
	{ "[a-c-e]", "-", NULL },
	{ "[!!]", "!", NULL },			/* g */
	{ "[!!]", "a", "" },
	{ "[!]]", "]", NULL },
	{ "[!]]", "a", "" },
	{ "[\\]", "\\", "" },
	{ "[^a]", "/", NULL },
	{ "abc[/]def", "abc/def", NULL },	/* g */
	{ "[\303\240-\303\252]", "\303\251", "" },
	{ "[\303\240-\303\252]", "\303\253", NULL },
	{ "[!a]", "\303", "" },
	{ "[!a]", "\303\251", "" },
	{ "_[[]_[]]_[?]_[*]_!_", "_[_]_?_*_!_", "" },	/* g */
	/* backslashes */
	{ "\\[", "[", "" },			/* g */
	{ "\\?", "?", "" },			/* g */
	{ "\\*", "*", "" },			/* g */
	{ "\\*", "a", NULL },
	{ "\\a", "a", "" },			/* g */
	{ "\\\\", "\\", "" },
	{ "abc\\\\def", "abc/def", NULL },
	{ "\\\303\251", "\303\251", "" },
	/* SWS's own tests of redirects and rewrites */
	{ "/{*}", "/", "()" },			/* s */
	{ "/pages/{*}.html", "/pages/testing.html", "(testing)" },
	{ "**/main.{css}", "/assets/main.css", "(/assets/)(css)" },
	{ "/{main,style}.css", "/style.css", "(style)" },
	{ "/{rust,go,c}-lang.{rs,go,c}", "/rust-lang.rs", "(rust)(rs)" },
	{ "/assets/{*}.{js,mjs}", "/assets/main.js", "(main)(js)" },
	{ "**/{*}.{jpg,jpeg}", "/old/images/avatar.jpeg",
	    "(/old/images/)(avatar)(jpeg)" },
	{ "**/{*}.{ttf,otf,woff}", "/old/fonts/title.ttf",
	    "(/old/fonts/)(title)(ttf)" },
	{ "/[0-9]/[a-z]/{*}/", "/2/a/random/", "(random)" },
	{ "/crop-{[!0-9]}/{*}.{png,gif}", "/crop-x/image.png",
	    "(x)(image)(png)" },
	{ "/recursive/{**}", "/recursive/nested/deep/page",
	    "(nested/deep/page)" },
	{ "/nocross/**-page", "/nocross/some-page", "" },
	{ "/nocross/**-page", "/nocross/some/nested-page", NULL },
	{ "**/{*}.{*}", "/generic-page.html", "(/)(generic-page)(html)" },
	{ "/{*}/{*}/", "/2024/11/", "(2024)(11)" },
	{ "/{*}/{*}/", "/archive/2024/11/", NULL },
	{ "**/error-page.{html}", "/some/error-page.html", "(/some/)(html)" },
	{ "/error-page/{404,50x}.html", "/error-page/50x.html", "(50x)" },
	{ "/errors/{50}x.html", "/errors/50x.html", "(50)" },
	{ "**/{*}.{ico}", "/images/icon.ico", "(/images/)(icon)(ico)" },
}, loose[] = {
	{ "*.html", "/a/b.html", "" },
	{ "*.html", "/a/b.htm", NULL },
	{ "/*", "/a/b", "" },
	{ "/a/*", "/b/a/c", NULL },
	{ "a?b", "a/b", "" },
	{ "[!a]", "/", "" },
	{ "abc[/]def", "abc/def", "" },		/* g */
	{ "**/*.{js,css}", "/a/b/main.css", "(/)(css)" },
	{ "**/*.{js,css}", "/a.css/b", NULL },
	{ "*hello.txt", "/an/absolute/path/to/hello.txt", "" },	/* g */
	{ "*some/path/to/hello.txt", "a/bigger/some/path/to/hello.txt",
	    "" },				/* g */
	{ "*some/path/to/hello.txt", "some/other/path/to/hello.txt",
	    NULL },				/* g */
	{ "{*}/{*}", "a/b/c", "(a/b)(c)" },
	{ "{**}", "a/b", "(a/b)" },
};

/* The captures of a match as in the table; NULL: none.  In a buffer that the
 * next call uses again. */
static const char *
captures(const char *pattern, const char *text, size_t n, bool is_loose)
{
	static char buf[PATH_LEN * 12];
	struct str cap[GLOB_CAPTURES];
	const char *why;
	struct glob *g = glob_new(pattern, is_loose, &why);
	char *s = copy(text, n);
	size_t k = 0;
	int got, i;

	if (g == NULL) {
		free(s);
		return "error";
	}
	got = glob_match(g, (struct str){ s, n }, cap);
	if (got >= 0 && ((unsigned)got != glob_captures(g) ||
	    cap[0].p != s || cap[0].n != n))
		got = -2;
	for (i = 1; i < got; i++) {
		if (cap[i].p < s || cap[i].p + cap[i].n > s + n)
			return "outside";
		k += (size_t)snprintf(buf + k, sizeof(buf) - k, "(%.*s)",
		    (int)cap[i].n, cap[i].p);
	}
	buf[k] = '\0';
	glob_free(g);
	free(s);
	return got == -1 ? NULL : got == -2 ? "bad $0" : buf;
}

static void
one_glob(const char *pattern, const char *text, const char *want, bool is_loose)
{
	const char *got = captures(pattern, text, strlen(text), is_loose);

	result(pattern, (got == NULL) == (want == NULL) &&
	    (got == NULL || strcmp(got, want) == 0), "on %s: %s, not %s", text,
	    got != NULL ? got : "no match", want != NULL ? want : "no match");
}

static void
globs(void)
{
	static const struct {
		const char *pattern, *why;
	} bad[] = {
		{ "[", "[ without ]" },
		{ "[]", "[ without ]" },
		{ "[!", "[ without ]" },
		{ "[!]", "[ without ]" },
		{ "a[b", "[ without ]" },
		{ "[z-a]", "a range in [ ] whose end is before its start" },
		{ "[z--]", "a range in [ ] whose end is before its start" },
		{ "[b-c-a]", "a range in [ ] whose end is before its start" },
		{ "{a,b", "{ without }" },
		{ "{a,{b,c}", "{ without }" },
		{ "{**", "{ without }" },
		{ "a,b}", "} without {" },
		{ "{a,b}}", "} without {" },
		{ "{}", "nothing between { and }" },
		{ "a{,,}b", "nothing between { and }" },
		{ "a\\", "a backslash at the end" },
		{ "{a,\\", "a backslash at the end" },
		{ "\303", "not UTF-8" },
		{ "[\377]", "not UTF-8" },
	};
	const char *why;
	size_t i;

	for (i = 0; i < sizeof(strict) / sizeof(strict[0]); i++)
		one_glob(strict[i].pattern, strict[i].text, strict[i].want,
		    false);
	part_ends("patterns of rewrites and redirects");
	for (i = 0; i < sizeof(loose) / sizeof(loose[0]); i++)
		one_glob(loose[i].pattern, loose[i].text, loose[i].want, true);
	part_ends("patterns of headers");
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct glob *g = glob_new(bad[i].pattern, false, &why);

		result(bad[i].pattern, g == NULL && strcmp(why, bad[i].why) == 0,
		    "%s, not %s", g == NULL ? why : "fine", bad[i].why);
		glob_free(g);
	}
	part_ends("patterns that are refused");
}

/* No pattern takes more steps than the product of the lengths (and a little):
 * each node can be asked once at each place. */
static void
steps(void)
{
	static const char *const hard[] = {
		"{*}a{*}a{*}a{*}a{*}a{*}a{*}a{*}a{*}b",
		"a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b",
		"{a,aa}{a,aa}{a,aa}{a,aa}{a,aa}{a,aa}{a,aa}{a,aa}*b",
		"**/**/**/*a/**/*a/**/*a/**/*a/**/b",
		"{**}{**}{**}{**}{**}{**}{**}b?",
		"{{{{**}a{**},{**}},{**}a},{**}}b?",
		"*?*?*?*?*?*?*?*?*?*?*?*?*?b?",
		"{**/*a,**/a*,**/*a*}/**/{*a,a*,*a*}/**/b?",
	};
	static char text[2][PATH_LEN];
	struct str cap[GLOB_CAPTURES];
	const char *why;
	size_t i, k;

	memset(text[0], 'a', PATH_LEN - 1);
	for (i = 0; i < PATH_LEN - 1; i++)
		text[1][i] = i % 2 == 0 ? '/' : 'a';
	for (i = 0; i < sizeof(hard) / sizeof(hard[0]) * 4; i++) {
		const char *p = hard[i / 4];
		struct glob *g = glob_new(p, i % 2 == 1, &why);
		uint64_t most = 4 * (strlen(p) + 1) * PATH_LEN;

		k = i / 2 % 2;
		if (g == NULL)
			exit(1);
		glob_steps = 0;
		result(p, glob_match(g, (struct str){ text[k], PATH_LEN - 1 },
		    cap) == -1 && glob_steps <= most,
		    "it matches, or %llu steps and not %llu at most",
		    (unsigned long long)glob_steps, (unsigned long long)most);
		glob_free(g);
	}
	part_ends("the time is bounded");
}

/* What is longer than it may be, and a pattern that fills the list of nodes. */
static void
limits(void)
{
	static const char *const fill[] = { "**/,", "{**/", "x/**/", "*?", "?*",
	    "[a]", "{a,b}", "{{a}}", "\\a", "**/", "/**", "*/", "{*,", "a,", "{",
	    "{**,", ",", "{/**,", "/**/**b" };
	static char text[PATH_LEN + 1];
	char p[GLOB_MAX + 2];
	struct str cap[GLOB_CAPTURES];
	const char *why = "";
	struct glob *g;
	size_t i, k, n;

	memset(text, 'a', PATH_LEN);
	memset(p, 'a', GLOB_MAX + 1);
	p[GLOB_MAX + 1] = '\0';
	result("513 bytes", glob_new(p, false, &why) == NULL &&
	    strcmp(why, "longer than 512 bytes") == 0, "%s", why);
	p[GLOB_MAX] = '\0';
	g = glob_new(p, false, &why);
	result("512 bytes", g != NULL && glob_match(g,
	    (struct str){ text, GLOB_MAX }, cap) == 1, "no match");
	glob_free(g);
	g = glob_new("*", false, &why);
	result("4095 bytes of text", glob_match(g,
	    (struct str){ text, PATH_LEN - 1 }, cap) == 1, "no match");
	result("4096 bytes of text", glob_match(g,
	    (struct str){ text, PATH_LEN }, cap) == -1, "a match");
	glob_free(g);
	for (i = 0; i < sizeof(fill) / sizeof(fill[0]) * 4; i++) {
		const char *f = fill[i / 4];

		/* to the end, or with braces closed */
		for (n = i % 2; n < (i / 2 % 2 == 0 ? GLOB_MAX : GLOB_MAX / 2);
		    n++)
			p[n] = f[n % strlen(f)];
		if (i % 2 == 1)
			p[0] = '{';
		for (k = 0; k < n; k++)
			if (p[k] == '{' && n < GLOB_MAX - 1)
				p[n++] = 'a', p[n++] = '}';
		p[n] = '\0';
		g = glob_new(p, i % 3 == 0, &why);
		result(f, b.n <= NODES && b.depth <= GLOB_MAX &&
		    b.textlen <= GLOB_MAX &&
		    (g == NULL || g->rows <= strlen(p)), "%u nodes", b.n);
		if (g != NULL)
			glob_match(g, (struct str){ text, PATH_LEN - 1 }, cap);
		glob_free(g);
	}
	part_ends("limits of patterns and texts");
}

/* Lines of hex for test/patterns.py. */
static void
pairs(void)
{
	static char line[65536], text[2][16384];
	char *p;
	const char *got, *why;
	struct str cap[GLOB_CAPTURES];
	size_t n, k;
	int i, caps;

	while (fgets(line, sizeof line, stdin) != NULL) {
		struct glob *g;

		k = n = 0;
		for (p = line + 2; *p != '\0' && *p != '\n'; p += 2) {
			if (*p == ' ') {
				text[k++][n] = '\0';
				n = 0;
				p--;
				continue;
			}
			unsigned byte;

			sscanf(p, "%2x", &byte);
			text[k][n++] = (char)byte;
		}
		got = text[1];
		g = glob_new(text[0], line[0] == 'l', &why);
		caps = g == NULL ? -2 :
		    glob_match(g, (struct str){ got, n }, cap);
		if (caps < 0)
			printf("%s", caps == -2 ? "error" : "no");
		for (i = 0; i < caps; i++)
			printf("%s%d-%d", i > 0 ? " " : "",
			    (int)(cap[i].p - got),
			    (int)(cap[i].p - got) + (int)cap[i].n);
		printf("\n");
		glob_free(g);
	}
}

/* ---- rules -------------------------------------------------------------- */

static char told[256];		/* unknown keys */
static char why_not[256];

static void
unknown(unsigned line, const char *key)
{
	size_t n = strlen(told);

	snprintf(told + n, sizeof(told) - n, "%u %s;", line, key);
}

/* The rules of a file, or NULL with why_not. */
static struct rules *
load(const char *text)
{
	struct rules *r = rules_new();
	struct toml *t;
	const char *bad;

	told[0] = '\0';
	why_not[0] = '\0';
	t = toml_read(text, strlen(text), why_not, sizeof why_not);
	if (t == NULL || r == NULL) {
		rules_free(r);
		return NULL;
	}
	bad = rules_read(r, toml_get(t, "advanced"), why_not, sizeof why_not,
	    unknown);
	toml_free(t);	/* nothing of it is needed any more */
	if (bad != NULL) {
		rules_free(r);
		return NULL;
	}
	return r;
}

static struct str
str(const char *s)
{
	return (struct str){ s, strlen(s) };
}

static void
errors(void)
{
#define H "[[advanced.headers]]\nsource = \"*\"\n"
#define D "[[advanced.redirects]]\nsource = \"/{a}\"\n"
#define W "[[advanced.rewrites]]\nsource = \"/{a}\"\n"
#define V "[[advanced.virtual-hosts]]\n"
#define C "[advanced.memory-cache]\n"
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "advanced = 1", "1: advanced: not a table" },
		{ "[advanced]\nheaders = 1",
		    "2: advanced: headers has to be an array of tables" },
		{ "[advanced]\nheaders = [1]", "2: headers: not a table" },
		{ "[advanced.redirects]\nkind = 301",
		    "1: advanced: redirects has to be an array of tables" },
		{ "[[advanced.memory-cache]]",
		    "1: advanced: memory-cache has to be a table" },
		{ "[[advanced.headers]]", "1: headers: source is missing" },
		{ H, "1: headers: headers is missing" },
		{ H "headers = 1", "3: headers: headers has to be a table" },
		{ H "headers = {}", "3: headers: headers is empty" },
		{ H "headers = { a = 1 }", "3: headers: a has to be a string" },
		{ H "headers = { \"a b\" = \"1\" }",
		    "3: headers: \"a b\": not a field's name" },
		{ H "headers = { \"\" = \"1\" }",
		    "3: headers: \"\": not a field's name" },
		{ H "headers = { \"a:\" = \"1\" }",
		    "3: headers: \"a:\": not a field's name" },
		{ H "headers = { \"\303\244\" = \"1\" }",
		    "3: headers: \"\303\244\": not a field's name" },
		{ H "headers = { a = \"x\\r\\nb: y\" }",
		    "3: headers: \"a\": a control character in the value" },
		{ H "headers = { a = \"\\u007f\" }",
		    "3: headers: \"a\": a control character in the value" },
		{ H "headers = { Content-Length = \"1\" }", "3: headers: "
		    "\"Content-Length\": a field that sws sets itself" },
		{ H "headers = { transfer-encoding = \"1\" }", "3: headers: "
		    "\"transfer-encoding\": a field that sws sets itself" },
		{ H "headers = { DATE = \"1\" }",
		    "3: headers: \"DATE\": a field that sws sets itself" },
		{ H "headers = { TE = \"1\" }",
		    "3: headers: \"TE\": a field that sws sets itself" },
		{ H "headers = { Upgrade = \"1\" }",
		    "3: headers: \"Upgrade\": a field that sws sets itself" },
		{ H "headers = { a = \"1\" }\nstatus = 99",
		    "4: headers: status is not from 100 to 599" },
		{ H "headers = { a = \"1\" }\nstatus = [200,\n600]",
		    "5: headers: status is not from 100 to 599" },
		{ H "headers = { a = \"1\" }\nstatus = [\"200\"]",
		    "4: headers: status is not from 100 to 599" },
		{ H "headers = { a = \"1\" }\nstatus = []",
		    "4: headers: status names none" },
		{ H "headers = { a = \"1\" }\nstatus = true", "4: headers: "
		    "status has to be a number or an array of them" },
		{ "[[advanced.headers]]\nsource = \"[\"\n"
		    "headers = { a = \"1\" }",
		    "2: headers: source \"[\": [ without ]" },
		{ "[[advanced.headers]]\nsource = 1\nheaders = { a = \"1\" }",
		    "2: headers: source has to be a string" },
		{ D "kind = 301", "1: redirects: destination is missing" },
		{ D "destination = \"/b\"", "1: redirects: kind is missing" },
		{ D "destination = \"/b\"\nkind = 303",
		    "4: redirects: kind has to be 301, 302, 307 or 308" },
		{ D "destination = \"/b\"\nkind = \"301\"",
		    "4: redirects: kind has to be a number" },
		{ D "destination = \"\"\nkind = 301", "3: redirects: "
		    "destination has to begin with / or a scheme and ://" },
		{ D "destination = \"http$1://h/\"\nkind = 301", "3: redirects: "
		    "destination has to begin with / or a scheme and ://" },
		{ D "destination = \"b/$1\"\nkind = 301", "3: redirects: "
		    "destination has to begin with / or a scheme and ://" },
		{ D "destination = \"/\\r\\nx: y\"\nkind = 301",
		    "3: redirects: a control character in destination" },
		{ D "destination = \"/$1/$2\"\nkind = 301", "3: redirects: "
		    "destination has $2, but there are 1 groups in source" },
		{ D "destination = \"/$9\"\nkind = 301", "3: redirects: "
		    "destination has $9, but there are 1 groups in source" },
		{ D "destination = \"/b\"\nkind = 301\nhost = \"\"",
		    "5: redirects: host \"\" is no name of a host" },
		{ D "destination = \"/b\"\nkind = 301\nhost = \"http://a\"",
		    "5: redirects: host \"http://a\" is no name of a host" },
		{ "[[advanced.redirects]]\nsource = \"{a\"\n"
		    "destination = \"/b\"\nkind = 301",
		    "2: redirects: source \"{a\": { without }" },
		{ W, "1: rewrites: destination is missing" },
		{ W "destination = \"/b\"\nredirect = 200",
		    "4: rewrites: redirect has to be 301, 302, 307 or 308" },
		{ W "destination = \"b\"",
		    "3: rewrites: destination has to begin with one /" },
		{ W "destination = \"http://h/b\"",
		    "3: rewrites: destination has to begin with one /" },
		{ W "destination = \"//h/b\"",
		    "3: rewrites: destination has to begin with one /" },
		{ W "destination = \"/$2\"", "3: rewrites: destination has "
		    "$2, but there are 1 groups in source" },
		{ V "root = \"a\"", "1: virtual-hosts: host is missing" },
		{ V "host = \"a\"", "1: virtual-hosts: root is missing" },
		{ V "host = \"\"\nroot = \"a\"",
		    "2: virtual-hosts: host \"\" is no name of a host" },
		{ V "host = \".\"\nroot = \"a\"",
		    "2: virtual-hosts: host \".\" is no name of a host" },
		{ V "host = \"a\"\nroot = \"\"",
		    "3: virtual-hosts: root is empty" },
		{ V "host = \"a b\"\nroot = \"a\"",
		    "2: virtual-hosts: host \"a b\" is no name of a host" },
		{ V "host = \"a:80\"\nroot = \"a\"", "2: virtual-hosts: host "
		    "\"a:80\" has a port, and that does not count" },
		{ V "host = \"[::1]:80\"\nroot = \"a\"", "2: virtual-hosts: "
		    "host \"[::1]:80\" has a port, and that does not count" },
		{ V "host = \"a\"\nroot = \"a\"\n" V
		    "host = \"A.\"\nroot = \"b\"",
		    "5: virtual-hosts: host \"A.\" is there twice" },
		{ V "host = \"[::1]\"\nroot = \"a\"\n" V
		    "host = \"::1\"\nroot = \"b\"",
		    "5: virtual-hosts: host \"::1\" is there twice" },
		{ V "host = \"a\"\nroot = \"a\"\ntls-cert = \"c\"",
		    "1: virtual-hosts: tls-cert and tls-key belong together" },
		{ V "host = \"a\"\nroot = \"a\"\ntls-key = \"c\"",
		    "1: virtual-hosts: tls-cert and tls-key belong together" },
		{ V "host = \"a\"\nroot = \"a\"\ntls-key = \"\"\n"
		    "tls-cert = \"c\"", "4: virtual-hosts: tls-key is empty" },
		{ C "capacity = -1", "2: memory-cache: capacity is negative" },
		{ C "max-file-size = \"1\"",
		    "2: memory-cache: max-file-size has to be a number" },
	};
	char big[65536];
	struct rules *r;
	size_t i, n;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		r = load(bad[i].text);
		result(bad[i].text, r == NULL &&
		    strcmp(why_not, bad[i].why) == 0, "\"%s\", not \"%s\"",
		    r == NULL ? why_not : "fine", bad[i].why);
		rules_free(r);
	}
	n = 0;
	for (i = 0; i <= HOSTS_MAX; i++)
		n += (size_t)snprintf(big + n, sizeof(big) - n,
		    V "host = \"h%zu\"\nroot = \"r\"\n", i);
	result("65 hosts", load(big) == NULL && strcmp(why_not,
	    "193: virtual-hosts: more than 64") == 0, "%s", why_not);
	n = (size_t)snprintf(big, sizeof big, H "[advanced.headers.headers]\n");
	for (i = 0; i <= SITE_LINES; i++)
		n += (size_t)snprintf(big + n, sizeof(big) - n,
		    "x%zu = \"1\"\n", i);
	result("25 fields", load(big) == NULL && strcmp(why_not,
	    "28: headers: \"x24\": more than 24 different fields") == 0,
	    "%s", why_not);
	n = (size_t)snprintf(big, sizeof big, H "headers = { a = \"");
	memset(big + n, 'x', SITE_FIELDS);
	strncpy(big + n + SITE_FIELDS - 5, "\" }\n", 5);
	r = load(big);
	result("4096 bytes", r != NULL, "%s", why_not);
	result("4097 bytes", r != NULL && strcmp(rules_header(r, "b:"),
	    "more than 4096 bytes of fields") == 0, "fits");
	rules_free(r);
	strncpy(big + n + SITE_FIELDS - 4, "\" }\n", 5);
	big[n + SITE_FIELDS - 5] = 'x';
	result("4097 bytes of one", load(big) == NULL && strcmp(why_not,
	    "3: headers: \"a\": more than 4096 bytes of fields") == 0,
	    "%s", why_not);
	part_ends("rules that are refused");
}

static void
unknown_keys(void)
{
	struct rules *r = load("[advanced]\nfoo = 1\n" C "ttl = 1\ntti = 2\n"
	    D "destination = \"/\"\nkind = 301\nbar = 1\n" V "host = \"a\"\n"
	    "root = \"b\"\nbaz = {}\n");

	result("unknown keys", r != NULL && strcmp(told,
	    "2 foo;10 bar;14 baz;4 ttl;5 tti;") == 0, "%s %s", told, why_not);
	rules_free(r);
	r = load("[general]\nport = 1\n");
	result("no [advanced]", r != NULL && !rules_any_fields(r), "%s",
	    why_not);
	rules_free(r);
	part_ends("unknown keys are told");
}

static void
redirects(void)
{
	static const char file[] =
	    "[[advanced.redirects]]\nhost = \"127.0.0.1:1234\"\n"
	    "source = \"/{*}\"\ndestination = \"http://localhost:1234/$1\"\n"
	    "kind = 301\n"
	    "[[advanced.redirects]]\nhost = \"WWW.a.example\"\n"
	    "source = \"/{**}\"\ndestination = \"https://a.example/$1\"\n"
	    "kind = 308\n"
	    "[[advanced.redirects]]\nsource = \"/pages/{*}.html\"\n"
	    "destination = \"http://localhost:1234/?p=$1\"\nkind = 301\n"
	    "[[advanced.redirects]]\nsource = \"/new/{**}\"\n"
	    "destination = \"/$1\"\nkind = 302\n"
	    "[[advanced.redirects]]\nsource = \"/bare/{**}\"\n"
	    "destination = \"$1\"\nkind = 307\n"
	    "[[advanced.redirects]]\nsource = \"/two/{*}/{**}\"\n"
	    "destination = \"/$1/$2\"\nkind = 302\n"
	    "[[advanced.redirects]]\nsource = \"/old{**}\"\n"
	    "destination = \"https://o.example$1\"\nkind = 301\n"
	    "[[advanced.redirects]]\nsource = \"/sub/{**}/x\"\n"
	    "destination = \"https://$1.example/\"\nkind = 301\n"
	    "[[advanced.redirects]]\nsource = \"/all/**\"\n"
	    "destination = \"https://all.example$0\"\nkind = 301\n"
	    "[[advanced.redirects]]\nsource = \"/frag/{*}\"\n"
	    "destination = \"/f?a=$1#b\"\nkind = 301\n"
	    "[[advanced.redirects]]\nsource = \"/frag2/{*}\"\n"
	    "destination = \"/f#$1\"\nkind = 301\n"
	    "[[advanced.redirects]]\nsource = \"/ends\"\n"
	    "destination = \"/f?\"\nkind = 301\n"
	    "[[advanced.redirects]]\nsource = \"/lit\"\n"
	    "destination = \"/a b%20\303\244\\\"<>\\\\^`{|}$x$\"\nkind = 301\n"
	    "[[advanced.redirects]]\nsource = \"/host\"\n"
	    "destination = \"//h.example/\"\nkind = 301\n"
	    "[[advanced.redirects]]\nsource = \"/$/{*}\"\n"
	    "destination = \"/$$1$10\"\nkind = 301\n"
	    "[[advanced.rewrites]]\nsource = \"/w/{*}\"\n"
	    "destination = \"/in/$1\"\n"
	    "[[advanced.rewrites]]\nsource = \"/w/**\"\n"
	    "destination = \"/hidden\"\nredirect = 301\n"
	    "[[advanced.rewrites]]\nsource = \"**/{*}.{ico}\"\n"
	    "destination = \"/assets/favicon.$3\"\nredirect = 302\n"
	    "[[advanced.rewrites]]\nsource = \"/pages/{*}.html\"\n"
	    "destination = \"/late\"\nredirect = 302\n";
	static const struct {
		const char *host, *path, *query;
		int status;
		const char *location;
	} row[] = {
		/* SWS's */
		{ "127.0.0.1:1234", "/", "", 301, "http://localhost:1234/" },
		{ "127.0.0.1", "/", "", 0, "" },
		{ "127.0.0.1:123", "/", "", 0, "" },
		{ "", "/pages/testing.html", "q=query-string", 301,
		    "http://localhost:1234/?p=testing&q=query-string" },
		{ "", "/images/icon.ico", "", 302, "/assets/favicon.ico" },
		/* hosts */
		{ "www.A.example:8080", "/x/y", "a", 308,
		    "https://a.example/x/y?a" },
		{ "www.a.example.", "/", "", 308, "https://a.example/" },
		{ "xwww.a.example", "/", "", 0, "" },
		{ "", "/", "", 0, "" },
		/* what a name may hold */
		{ "", "/new/a b", "", 302, "/a%20b" },
		{ "", "/new/\r\nset-cookie: x=1", "", 302,
		    "/%0D%0Aset-cookie:%20x=1" },
		{ "", "/new/%41", "", 302, "/%2541" },
		{ "", "/new/a?b#c", "", 302, "/a%3Fb%23c" },
		{ "", "/new/\"<>\\^`{|}", "", 302,
		    "/%22%3C%3E%5C%5E%60%7B%7C%7D" },
		{ "", "/new/\303\244\377\177\001", "", 302,
		    "/%C3%A4%FF%7F%01" },
		{ "", "/new/-._~!$&'()*+,;=:@[]", "", 302,
		    "/-._~!$&'()*+,;=:@%5B%5D" },
		{ "", "/new/$1$0", "", 302, "/$1$0" },
		{ "", "/pages/a&b=c+d.html", "", 301,
		    "http://localhost:1234/?p=a%26b%3Dc%2Bd" },
		/* another host it must not become */
		{ "", "/new//evil.example/", "", 302, "/evil.example/" },
		{ "", "/new///evil.example", "", 302, "/evil.example" },
		{ "", "/new/\\evil.example", "", 302, "/%5Cevil.example" },
		{ "", "/new/\t/evil.example", "", 302, "/%09/evil.example" },
		{ "", "/new/", "", 302, "/" },
		{ "", "/bare/x", "", 307, "/x" },
		{ "", "/bare/", "", 307, "/" },
		{ "", "/bare//evil.example", "", 307, "/evil.example" },
		{ "", "/bare/http://evil.example", "", 307,
		    "/http://evil.example" },
		{ "", "/bare/javascript:x", "", 307, "/javascript:x" },
		{ "", "/two//evil.example", "", 302, "/evil.example" },
		{ "", "/two///evil.example", "", 302, "/evil.example" },
		{ "", "/old/x", "", 301, "https://o.example/x" },
		{ "", "/old", "", 301, "https://o.example" },
		{ "", "/old.evil.example/x", "", 301,
		    "https://o.example/.evil.example/x" },
		{ "", "/old@evil.example", "", 301,
		    "https://o.example/@evil.example" },
		{ "", "/old:80", "", 301, "https://o.example/:80" },
		{ "", "/sub/a/x", "", 301, "https://a.example/" },
		{ "", "/sub/evil/a/x", "", 301, "https://evil%2Fa.example/" },
		{ "", "/sub/a@b:c?/x", "", 301,
		    "https://a%40b%3Ac%3F.example/" },
		{ "", "/all/a/b", "q", 301, "https://all.example/all/a/b?q" },
		/* queries and fragments */
		{ "", "/frag/x", "q=1", 301, "/f?a=x&q=1#b" },
		{ "", "/frag2/a#b/", "", 0, "" },
		{ "", "/frag2/a#b", "q", 301, "/f?q#a%23b" },
		{ "", "/ends", "q", 301, "/f?q" },
		{ "", "/new/x", "a=/?&b=%20#\r\n\"", 302,
		    "/x?a=/?&b=%20%23%0D%0A%22" },
		/* destinations */
		{ "", "/lit", "", 301,
		    "/a%20b%20%C3%A4%22%3C%3E%5C%5E%60%7B%7C%7D$x$" },
		{ "", "/host", "", 301, "//h.example/" },
		{ "", "/$/x", "", 301, "/$xx0" },
		/* rewrites: in their order, after the redirects */
		{ "", "/w/a", "", 0, "" },
		{ "", "/w/a/b", "q", 301, "/hidden" },
		{ "", "/nothing", "", 0, "" },
	};
	struct rules *r = load(file);
	size_t i, n, cap;

	if (r == NULL) {
		result("redirects", false, "%s", why_not);
		return;
	}
	for (i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		char dst[256] = "";
		int status = rules_redirect(r, str(row[i].host),
		    str(row[i].path), str(row[i].query), dst, sizeof dst);

		result(row[i].path, status == row[i].status &&
		    (status == 0 || strcmp(dst, row[i].location) == 0),
		    "%d %s, not %d %s", status, dst, row[i].status,
		    row[i].location);
		/* any smaller buffer: it fits, or 414 */
		n = status != 0 ? strlen(dst) + 1 : 0;
		for (cap = 1; cap <= n; cap++) {
			char *small = copy(dst, cap);

			status = rules_redirect(r, str(row[i].host),
			    str(row[i].path), str(row[i].query), small, cap);
			result(row[i].path, status == 414 ||
			    (status == row[i].status &&
			    strlen(small) < cap && cap > n - 1),
			    "%d with %zu bytes", status, cap);
			free(small);
		}
	}
	rules_free(r);
	part_ends("redirects");
}

static void
rewrites(void)
{
	static const char file[] =
	    "[[advanced.rewrites]]\nsource = \"/a/{*}.{js,mjs}\"\n"
	    "destination = \"/assets/$1.$2?v=$1#x\"\n"
	    "[[advanced.rewrites]]\nsource = \"/b/{**}\"\n"
	    "destination = \"$1\"\n"
	    "[[advanced.rewrites]]\nsource = \"/b/x\"\n"
	    "destination = \"/never\"\n"
	    "[[advanced.rewrites]]\nsource = \"/c/{**}\"\n"
	    "destination = \"/%41 \303\244/$1/$1\"\n"
	    "[[advanced.rewrites]]\nsource = \"/d\"\n"
	    "destination = \"/e\"\nredirect = 301\n"
	    "[[advanced.rewrites]]\nsource = \"/e\"\n"
	    "destination = \"/f\"\n";
	static const struct {
		const char *path, *target;	/* NULL: none */
	} row[] = {
		{ "/a/x.mjs", "/assets/x.mjs" },
		{ "/a/x?y#%z.js", "/assets/x%3Fy%23%25z.js" },
		{ "/b/x", "/x" },
		{ "/b/", "/" },
		{ "/b//x", "/x" },
		{ "/b/a b/\377", "/a%20b/%FF" },
		{ "/c/x", "/%41%20%C3%A4/x/x" },
		{ "/d", NULL },
		{ "/e", "/f" },
		{ "/f", NULL },
	};
	char dst[256], most[PATH_LEN * 3];
	static char path[PATH_LEN];
	struct rules *r = load(file);
	size_t i, n = 0;
	int status;

	if (r == NULL) {
		result("rewrites", false, "%s", why_not);
		return;
	}
	for (i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		dst[0] = '\0';
		status = rules_rewrite(r, str(row[i].path), dst, sizeof dst, &n);
		result(row[i].path, row[i].target == NULL ? status == 0 :
		    status == 200 && n == strlen(dst) &&
		    strcmp(dst, row[i].target) == 0, "%d %s, not %s", status,
		    dst, row[i].target != NULL ? row[i].target : "none");
	}
	memset(path, '%', sizeof path);
	memcpy(path, "/c/", 3);
	status = rules_rewrite(r, (struct str){ path, PATH_LEN - 1 }, most,
	    sizeof most, &n);
	result("a long one", status == 414, "%d", status);
	memcpy(path, "/b/", 3);
	status = rules_rewrite(r, (struct str){ path, PATH_LEN - 1 }, most,
	    sizeof most, &n);
	result("one that fits", status == 200 && n == (PATH_LEN - 4) * 3 + 1,
	    "%d %zu", status, n);
	rules_free(r);
	part_ends("rewrites");
}

static char fields[8192];

static void
each(void *arg, const char *line, size_t n)
{
	size_t *k = arg;

	if (n >= 2 && line[n - 2] == '\r' && line[n - 1] == '\n' &&
	    strlen(line) == n)
		*k += (size_t)snprintf(fields + *k, sizeof(fields) - *k, "%.*s|",
		    (int)(n - 2), line);
}

static void
headers(void)
{
	static const char file[] =
	    "[[advanced.headers]]\nsource = \"*\"\n"
	    "headers = { X-A = \"1\", X-B = \"  two \\t words\\t\" }\n"
	    "[[advanced.headers]]\nsource = \"*.html\"\n"
	    "[advanced.headers.headers]\nx-a = \"html\"\n"
	    "Content-Type = \"text/plain; charset=\303\244\"\nX-a = \"again\"\n"
	    "[[advanced.headers]]\nsource = \"/err/**\"\n"
	    "headers = { X-E = \"404\", X-B = \"\" }\nstatus = 404\n"
	    "[[advanced.headers]]\nsource = \"/err/**\"\n"
	    "headers = { X-E = \"5\" }\nstatus = [500, 503]\n";
	static const struct {
		const char *path;
		int status;
		const char *want;
	} row[] = {
		{ "/", 200, "x-a: 1|x-b: two \t words|" },
		{ "/a/b.html", 200, "x-b: two \t words|"
		    "content-type: text/plain; charset=\303\244|x-a: again|" },
		{ "/err/x", 404, "x-a: 1|x-e: 404|x-b: |" },
		{ "/err/x.html", 503, "x-b: two \t words|"
		    "content-type: text/plain; charset=\303\244|x-a: again|"
		    "x-e: 5|" },
		{ "/err/x", 501, "x-a: 1|x-b: two \t words|" },
	};
	static const struct {
		const char *line, *why;		/* NULL: fine */
	} option[] = {
		{ "X-A: option", NULL },
		{ "x-new:value", NULL },
		{ "empty:", NULL },
		{ "no colon", "no colon" },
		{ ": x", "not a field's name" },
		{ "a : x", "not a field's name" },
		{ "a: b\r\nc: d", "a control character in the value" },
		{ "Connection: close", "a field that sws sets itself" },
	};
	struct rules *r = load(file);
	const char *why;
	size_t i, k;

	if (r == NULL) {
		result("headers", false, "%s", why_not);
		return;
	}
	for (i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		k = 0;
		fields[0] = '\0';
		rules_fields(r, str(row[i].path), str(""), row[i].status, each, &k);
		result(row[i].path, strcmp(fields, row[i].want) == 0,
		    "%s, not %s", fields, row[i].want);
	}
	result("any", rules_any_fields(r), "no");
	for (i = 0; i < sizeof(option) / sizeof(option[0]); i++) {
		why = rules_header(r, option[i].line);
		result(option[i].line, (why == NULL) == (option[i].why == NULL)
		    && (why == NULL || strcmp(why, option[i].why) == 0), "%s",
		    why != NULL ? why : "fine");
	}
	k = 0;
	rules_fields(r, str("/"), str("/x.html"), 200, each, &k);
	result("options", strcmp(fields, "x-b: two \t words|content-type: "
	    "text/plain; charset=\303\244|x-a: option|x-new: value|empty: |")
	    == 0, "%s", fields);
	rules_free(r);
	/* names count, not lines */
	r = rules_new();
	for (i = 0; i < 1000; i++)
		result("one name", rules_header(r, i % 2 == 0 ?
		    "a: 0123456789" : "b: 0123456789") == NULL, "refused");
	rules_free(r);
	part_ends("fields");
}

static void
hosts(void)
{
	static const char file[] =
	    V "host = \"A.example\"\nroot = \"ra\"\n"
	    V "host = \"b.example.\"\nroot = \"rb\"\ntls-cert = \"c\"\n"
	    "tls-key = \"k\"\n" V "host = \"[::1]\"\nroot = \"r6\"\n"
	    V "host = \"2001:db8::1\"\nroot = \"r7\"\n"
	    V "host = \"10.0.0.1\"\nroot = \"r4\"\n";
	static const struct {
		const char *host, *root;	/* NULL: none */
	} row[] = {
		{ "a.example", "ra" },
		{ "A.EXAMPLE:8080", "ra" },
		{ "a.example.", "ra" },
		{ "a.example.:80", "ra" },
		{ "a.example:", "ra" },
		{ "a.example..", NULL },
		{ "xa.example", NULL },
		{ "a.exampl", NULL },
		{ "a.example:80:80", NULL },
		{ "b.example", "rb" },
		{ "[::1]", "r6" },
		{ "[::1]:443", "r6" },
		{ "[::1", "r6" },
		{ "[2001:DB8::1]:1", "r7" },
		{ "10.0.0.1:80", "r4" },
		{ "", NULL },
		{ ":", NULL },
		{ ".", NULL },
		{ "[", NULL },
		{ "[]", NULL },
	};
	struct rules *r = load(file);
	struct vhost *v;
	const struct vhost *h;
	size_t i;

	if (r == NULL) {
		result("hosts", false, "%s", why_not);
		return;
	}
	result("rules_hosts", rules_hosts(r, &v) == 5 && v[0].fd == -1 &&
	    v[0].cert == NULL && strcmp(v[1].cert, "c") == 0 &&
	    strcmp(v[1].key, "k") == 0, "not so");
	for (i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		char *name = copy(row[i].host, strlen(row[i].host));

		h = rules_host(r, (struct str){ name, strlen(row[i].host) });
		result(row[i].host, (h == NULL) == (row[i].root == NULL) &&
		    (h == NULL || strcmp(h->root, row[i].root) == 0), "%s",
		    h != NULL ? h->root : "none");
		free(name);
	}
	rules_free(r);
	part_ends("virtual hosts");
}

static void
cache(void)
{
	static const struct {
		const char *text;
		int64_t capacity, largest;
	} row[] = {
		{ "", -1, -2 },
		{ C, 100LL * 8192 * 1024, 8192 * 1024 },
		{ C "capacity = 50\nmax-file-size = 4\nttl = 600\n",
		    50 * 4096, 4096 },
		{ C "capacity = 0\n", 0, 8192 * 1024 },
		{ C "capacity = 9223372036854775807\n"
		    "max-file-size = 9223372036854775807\n",
		    100000LL * 32768 * 1024, 32768 * 1024 },
	};
	size_t i;

	for (i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct rules *r = load(row[i].text);
		int64_t capacity = -1, largest = -2;
		bool set = r != NULL && rules_cache(r, &capacity, &largest);

		result(row[i].text, set == (i > 0) &&
		    capacity == row[i].capacity && largest == row[i].largest,
		    "%lld %lld %s", (long long)capacity, (long long)largest,
		    why_not);
		rules_free(r);
	}
	part_ends("memory-cache");
}

int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "pairs") == 0) {
		pairs();
		return 0;
	}
	globs();
	steps();
	limits();
	errors();
	unknown_keys();
	redirects();
	rewrites();
	headers();
	hosts();
	cache();
	return failed > 0;
}
