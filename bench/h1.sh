#!/bin/sh
# h1.sh - CPU time a plain HTTP/1.1 request, beside other servers.
# See README.md; options are those of h1.py.
here=$(cd "$(dirname "$0")" && pwd) || exit 1
SWS=${SWS:-$here/../sws}
export SWS LC_ALL=C
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
${CC:-cc} -O2 -Wall -Wextra -o "$work/floor" "$here/floor.c" || exit 1
# not exec: the folder is removed afterwards
"${PYTHON:-python3}" "$here/h1.py" --work "$work" "$@"
