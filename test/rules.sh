#!/bin/sh
# glob.c and rules.c from memory (rules_test.c).  CC and SANITIZE name another
# build.
cd "$(dirname "$0")/.." || exit 1
CC=${CC:-cc}
SANITIZE=${SANITIZE--fsanitize=address,undefined -fno-sanitize-recover=all}
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

# shellcheck disable=SC2086
if ! "$CC" -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Wshadow \
    -Wconversion -Wcast-qual -Werror -g -O1 $SANITIZE -o "$tmp/rules_test" \
    test/rules_test.c toml.c rules.c >"$tmp/out" 2>&1; then
	echo "FAIL rules_test.c does not build: $(grep -m 3 error "$tmp/out" |
	    tr '\n' ' ')"
	exit 1
fi
"$tmp/rules_test"
