#!/bin/sh
# run.sh - fuzz what reads bytes from clients, keys, files and patterns.
#
#	fuzz/run.sh [SECONDS]	each driver that long [600]; ends at a finding
#	fuzz/run.sh replay	each input of the corpora once: part of the suite
#
# New inputs and findings go to a temporary folder, which stays after a finding.
# CLANG names another compiler, FUZZFLAGS adds options of libFuzzer.
here=$(cd "$(dirname "$0")" && pwd) || exit 1
CLANG=${CLANG:-clang}
work=$(mktemp -d) || exit 1
keep=
trap '[ -n "$keep" ] || rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
export LC_ALL=C

# build DRIVER FILE...: with the files that the included one calls
build() {
	driver=$1
	shift
	"$CLANG" -std=c11 -D_GNU_SOURCE -g -O1 -fno-omit-frame-pointer \
	    -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
	    -o "$work/$driver" "$here/$driver.c" "$@" 2>"$work/$driver.err"
}

options="log.c auth.c glob.c toml.c rules.c conf.c"
http_files=$options
path_files="$options fd.c http.c"
tls_files=$options
pem_files=$options
toml_files=
glob_files=
h2_files="$options metrics.c fd.c http.c file.c list.c site.c"

make_driver() {
	files=
	eval "list=\$$1_files"
	for f in $list; do
		files="$files $here/../$f"
	done
	# shellcheck disable=SC2086
	build "$1_fuzz" $files -lbearssl -lnghttp2 -lcrypt
}

replay() {
	bad=0
	for d in http path h2 tls pem toml glob; do
		n=$(find "$here/corpus/$d" -type f | wc -l | tr -d ' ')
		if ! command -v "$CLANG" >/dev/null; then
			echo "FAIL ${d}_fuzz: $CLANG is not installed"
			bad=1
		elif ! make_driver $d; then
			echo "FAIL ${d}_fuzz: does not build:" \
			    "$(grep -m 3 error "$work/${d}_fuzz.err" |
			    tr '\n' ' ')"
			bad=1
		elif [ "$n" -lt 40 ]; then
			echo "FAIL ${d}_fuzz: a corpus of only $n inputs"
			bad=1
		elif (cd "$work" && "./${d}_fuzz" -artifact_prefix="$work/" \
		    -timeout=20 "$here/corpus/$d"/* >"$work/$d.out" 2>&1); then
			echo "ok ${d}_fuzz: every input of its corpus"
		else
			echo "FAIL ${d}_fuzz: $(grep '^Running:' "$work/$d.out" |
			    tail -n 1 | sed 's|.*/||') $(grep -E -m 2 \
			    'not so|runtime error|ERROR: |SUMMARY' \
			    "$work/$d.out" | tr '\n' ' ')"
			bad=1
		fi
	done
	return $bad
}

fuzz() {
	for d in http path h2 tls pem toml glob; do
		make_driver $d || {
			cat "$work/${d}_fuzz.err"
			return 1
		}
		mkdir -p "$work/$d" "$work/found-$d"
		echo "${d}_fuzz: $1 s"
		# shellcheck disable=SC2086
		(cd "$work" && "./${d}_fuzz" -max_total_time="$1" \
		    -max_len=20000 -timeout=20 -rss_limit_mb=3000 \
		    -dict="$here/$d.dict" -print_final_stats=1 \
		    -artifact_prefix="$work/found-$d/" $FUZZFLAGS \
		    "$work/$d" "$here/corpus/$d" >"$work/$d.out" 2>&1) || {
			keep=1
			tail -n 40 "$work/$d.out"
			grep -m 1 'not so' "$work/$d.out"
			echo "${d}_fuzz: a finding, see $work/found-$d"
			return 1
		}
		grep -E '^Done|DONE' "$work/$d.out"
	done
}

case ${1:-600} in
replay)
	replay
	;;
*[!0-9]*)
	sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
	exit 2
	;;
*)
	fuzz "${1:-600}"
	;;
esac
