#!/bin/sh
# auth.c from memory (auth_test.c), under sanitizers; and hashes as htpasswd(1)
# makes them.  CC and SANITIZE name another build.
cd "$(dirname "$0")/.." || exit 1
CC=${CC:-cc}
SANITIZE=${SANITIZE--fsanitize=address,undefined -fno-sanitize-recover=all}
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

# shellcheck disable=SC2086
if ! "$CC" -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Wshadow \
    -Wconversion -Wcast-qual -Werror -g -O1 $SANITIZE -o "$tmp/auth_test" \
    test/auth_test.c -lcrypt >"$tmp/out" 2>&1; then
	echo "FAIL auth_test.c does not build: $(grep -m 3 error "$tmp/out" |
	    tr '\n' ' ')"
	exit 1
fi

"$tmp/auth_test" 2>"$tmp/err" || {
	rc=$?
	grep -q 'ERROR: \|runtime error' "$tmp/err" &&
	    echo "FAIL auth_test: $(grep -m 3 \
	    'ERROR: \|runtime error\|SUMMARY' "$tmp/err" | tr '\n' ' ')"
	[ $rc -eq 1 ] || echo "FAIL auth_test ended with $rc"
}

# fresh NAME PASSWORD: a hash of this moment is that of the password, and of
# no other
fresh() {
	entry=$(htpasswd -nbBC 5 "$1" "$2" | sed -n 1p)
	if [ "$("$tmp/auth_test" "$entry" "$1:$2")" != right ]; then
		echo "FAIL htpasswd's hash: $entry $1:$2"
	elif [ "$("$tmp/auth_test" "$entry" "$1:x$2")" != wrong ]; then
		echo "FAIL htpasswd's hash, another password: $entry $1:x$2"
	else
		echo "ok htpasswd's hash for $1"
	fi
}

if command -v htpasswd >/dev/null; then
	fresh joe secret
	fresh 'a b' ''
	fresh ü 'pässwörd: ÿÿ'
	fresh long "$(printf '%0200d' 0)"
else
	echo "skip htpasswd's hashes: no htpasswd"
fi

if "$CC" -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Werror -DNO_CRYPT \
    -c -o "$tmp/auth.o" auth.c >"$tmp/out" 2>&1 &&
    ! nm -u "$tmp/auth.o" | grep -q crypt; then
	echo "ok CRYPT=0 needs no crypt(3)"
else
	echo "FAIL CRYPT=0 needs no crypt(3): $(head -n 3 "$tmp/out" |
	    tr '\n' ' ')"
fi
