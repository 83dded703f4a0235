#!/bin/sh
# file.c and http.c from inside (plumb_test.c).  CC and SANITIZE name another build.
cd "$(dirname "$0")/.." || exit 1
CC=${CC:-cc}
SANITIZE=${SANITIZE--fsanitize=address,undefined -fno-sanitize-recover=all}
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

# shellcheck disable=SC2086
if ! "$CC" -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Wshadow \
    -Wconversion -Wcast-qual -Werror -g -O1 $SANITIZE -o "$tmp/plumb_test" \
    test/plumb_test.c log.c auth.c glob.c toml.c rules.c conf.c fd.c http.c \
    -lcrypt >"$tmp/out" 2>&1; then
	echo "FAIL plumb_test.c does not build: $(grep -m 3 error "$tmp/out" |
	    tr '\n' ' ')"
	exit 1
fi
mkdir "$tmp/files"
"$tmp/plumb_test" "$tmp/files"
