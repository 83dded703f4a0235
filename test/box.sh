#!/bin/sh
# box.c from inside (box_test.c), with this libc and, static, with musl.
cd "$(dirname "$0")/.." || exit 1
CC=${CC:-cc}
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

# with CC [FLAGS...]
with() {
	if ! "$@" -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Wshadow \
	    -Werror -O1 -g -o "$tmp/box_test" test/box_test.c log.c >"$tmp/out" 2>&1
	then
		echo "FAIL $1: box_test.c does not build:" \
		    "$(grep -m 3 error "$tmp/out" | tr '\n' ' ')"
		return
	fi
	rm -rf "$tmp/top"
	mkdir "$tmp/top"
	"$tmp/box_test" "$tmp/top" 2>"$tmp/err" >"$tmp/lines"
	rc=$?
	sed -E "s/^(ok|FAIL|skip) /\\1 $1, /" "$tmp/lines"
	[ $rc -eq 0 ] || echo "FAIL $1: box_test ended with $rc:" \
	    "$(tail -n 3 "$tmp/err" | tr '\n' ' ')"
}

with "$CC"
with musl-gcc -static
