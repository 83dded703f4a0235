#!/bin/sh
# h2.sh - CPU time and memory of HTTP/2 and TLS, beside other servers.
# See README.md; options are those of h2.py.
here=$(cd "$(dirname "$0")" && pwd) || exit 1
SWS=${SWS:-$here/../sws}
export SWS LC_ALL=C
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
    -subj /CN=localhost -keyout "$work/key.pem" -out "$work/cert.pem" \
    2>"$work/err" || { cat "$work/err" >&2; exit 1; }
# not exec: the folder is removed afterwards
"${PYTHON:-python3}" "$here/h2.py" --work "$work" "$@"
