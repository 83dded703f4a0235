#!/bin/sh
# The source itself: warnings of two compilers, two makes, the order of the
# files, the manual.
cd "$(dirname "$0")/.." || exit 1
top=$PWD
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

# verdict NAME FILE: a check that passes when FILE is empty
verdict() {
	if [ -s "$2" ]; then
		echo "FAIL $1: $(tr '\n' ' ' <"$2" | cut -c 1-500)"
	else
		echo "ok $1"
	fi
}

# order OBJECT...: print each call from an object to one that stands later
order() {
	for o; do
		nm -g --defined-only "$o" | while read -r _ _ sym; do
			echo "$sym $o"
		done
	done >"$tmp/defined"
	earlier=
	for o; do
		earlier="$earlier $o"
		nm -u "$o" | while read -r _ sym; do
			at=$(sed -n "s/^$sym //p" "$tmp/defined")
			[ -n "$at" ] || continue
			case " $earlier " in
			*" $at "*) ;;
			*) echo "$o calls $sym of $at" ;;
			esac
		done
	done
}

for cc in gcc clang; do
	mkdir "$tmp/$cc"
	cp ./*.c ./*.h Makefile "$tmp/$cc"
	(cd "$tmp/$cc" && make CC=$cc CFLAGS='-O2 -Werror' sws) \
	    >"$tmp/out" 2>&1 && : >"$tmp/out"
	verdict "$cc builds without a warning" "$tmp/out"
done
mkdir "$tmp/bmake"
cp ./*.c ./*.h Makefile "$tmp/bmake"
(cd "$tmp/bmake" && bmake CC=cc sws && ./sws --version) >"$tmp/out" 2>&1 &&
    : >"$tmp/out"
verdict "bmake builds" "$tmp/out"
# a deps.sh that only says what it was asked for, and fails
mkdir -p "$tmp/deps/test"
cp Makefile "$tmp/deps"
echo 'echo "installs $1"; exit 3' >"$tmp/deps/test/deps.sh"
for make in make bmake; do
	for goal in run test test-asan test-sandbox test-valgrind soak fuzz bench; do
		case $goal in
		run) want=build ;;
		*) want=test ;;
		esac
		got=$(cd "$tmp/deps" && $make deps $goal 2>&1) &&
		    echo "deps $goal: goes on"
		got=$(echo "$got" | sed -n 's/^installs //p')
		[ "$got" = $want ] || echo "deps $goal: installs '$got'"
	done >"$tmp/out"
	verdict "$make deps installs for its goal, or fails" "$tmp/out"
done
if command -v musl-gcc >/dev/null; then
	mkdir "$tmp/musl"
	cp ./*.c ./*.h Makefile "$tmp/musl"
	(cd "$tmp/musl" && make CC=musl-gcc CFLAGS='-O2 -Werror' \
	    LDFLAGS=-static TLS=0 HTTP2=0 sws && ./sws --version) >"$tmp/out" 2>&1 &&
	    : >"$tmp/out"
	verdict "musl-gcc builds, static, without TLS and HTTP/2" "$tmp/out"
else
	echo "FAIL musl-gcc is missing"
fi

objs=$(sed -n 's/^OBJS = //p' Makefile)
(cd "$tmp/gcc" && order $objs) >"$tmp/out"
verdict "files call only what stands before them" "$tmp/out"
# the order in sws.h and in the Makefile is one
sed -n 's|^/\* ---- \([a-z0-9]*\)\.c.*|\1.o|p' sws.h | tr '\n' ' ' >"$tmp/h"
echo "$objs" | sed 's/ sws\.o$/ /' | cmp - "$tmp/h" >"$tmp/out" 2>&1 ||
    [ "$(echo $objs)" = "$(echo $(cat "$tmp/h") sws.o)" ] && : >"$tmp/out"
verdict "sws.h and Makefile have one order" "$tmp/out"
# and the check can fail
mkdir "$tmp/bad"
cp ./*.h log.c conn.c "$tmp/bad"
echo 'unsigned log_bad(void); unsigned log_bad(void) { return conn_count(); }' \
    >>"$tmp/bad/log.c"
(cd "$tmp/bad" && gcc -std=c11 -D_GNU_SOURCE -c log.c conn.c &&
    order log.o conn.o) >"$tmp/bad/out" 2>&1
if grep -q 'log.o calls conn_count of conn.o' "$tmp/bad/out"; then
	: >"$tmp/out"
else
	echo "not seen" >"$tmp/out"
fi
verdict "a call upward is found" "$tmp/out"

# which manuals are installed here is not the manual's fault
mandoc -Tlint sws.1 2>&1 |
    grep -vE 'mandoc\.db|referenced manual not found' >"$tmp/out"
verdict "mandoc -Tlint is silent" "$tmp/out"

# every option in --help is in the manual, and the other way round
"${SWS:-$top/sws}" --help | sed -n 's/^\(-.,\|   \) --\([a-z0-9-]*\).*/\2/p' | sort \
    >"$tmp/help"
sed -n 's/^\.It .*Fl -\([a-z0-9-]*\).*/\1/p' sws.1 | sort >"$tmp/manual"
diff "$tmp/help" "$tmp/manual" >"$tmp/out" 2>&1
[ -s "$tmp/help" ] || echo "no options in --help" >>"$tmp/out"
verdict "--help and the manual have the same options" "$tmp/out"
grep -nE '(^|[^a-z_])(strcpy|strcat|sprintf|strtok|strtok_r|alloca|atoi|gets)\(' \
    ./*.c >"$tmp/out"
verdict "no unbounded or sloppy calls" "$tmp/out"

# a part with the name of a module of Python's would be run by whoever imports
# that; "site" is loaded before any of ours
"${PYTHON:-python3}" -c 'import os, sys
known = getattr(sys, "stdlib_module_names", ())
print(*(n for n in os.listdir("test")
        if n.endswith(".py") and n[:-3] in known and n != "site.py"),
      sep="\n", end="")' >"$tmp/out" 2>&1
verdict "no part is in the way of a module of Python's" "$tmp/out"
