#!/bin/sh
# test.sh - the whole suite.  Each check is one line; the last line counts them.
#
#	./test.sh [PART...]	all parts, or the named ones
#
# SWS names the binary, SLOW multiplies every waiting time.
cd "$(dirname "$0")" || exit 1
SWS=${SWS:-$PWD/sws}
SLOW=${SLOW:-1}
export SWS SLOW LC_ALL=C
PYTHON=${PYTHON:-python3}

log=$(mktemp) || exit 1
trap 'rm -rf "$log" "$log.valgrind"' EXIT
trap 'exit 1' HUP INT TERM
# a file for each process under test/valgrind, whoever it is run as
mkdir -m 1777 "$log.valgrind" || exit 1
export VALGRIND_LOG="$log.valgrind/%p"

# part NAME COMMAND...: run it, keep its lines; an end that no check explains
# is a failure of its own.
part() {
	name=$1
	shift
	"$@" >"$log.part" 2>"$log.err"
	rc=$?
	sed -E "s/^(ok|FAIL|skip) /\\1 $name: /" "$log.part" | tee -a "$log"
	if [ $rc -ne 0 ] && ! grep -q '^FAIL ' "$log.part"; then
		echo "FAIL $name: ended with $rc: $(tail -n 3 "$log.err" |
		    tr '\n' ' ')" | tee -a "$log"
	elif ! grep -Eq '^(ok|FAIL|skip) ' "$log.part"; then
		echo "FAIL $name: made no check" | tee -a "$log"
	fi
	# its errors; what it lacks itself is said in lines that begin with --
	if cat "$log.valgrind"/* 2>/dev/null | grep '^==' >"$log.err"; then
		echo "FAIL $name: valgrind: $(head -n 30 "$log.err" |
		    sed 's/^==[0-9]*== *//' | tr '\n' ' ')" | tee -a "$log"
	fi
	rm -rf "$log.part" "$log.err" "$log.valgrind"/*
}

parts=${*:-$(ls test/*.sh test/*.py | sed 's|test/||; /^lib\.py$/d; /^deps\.sh$/d')}
for p in $parts; do
	case $p in
	*.py) part "${p%.py}" "$PYTHON" "test/$p" ;;
	*.sh) part "${p%.sh}" sh "test/$p" ;;
	*) part "$p" false ;;
	esac
done

passed=$(grep -c '^ok ' "$log")
failed=$(grep -c '^FAIL ' "$log")
skipped=$(grep -c '^skip ' "$log")
grep '^FAIL ' "$log"
if [ "$skipped" -gt 0 ]; then
	echo "$passed passed, $failed failed, $skipped skipped"
else
	echo "$passed passed, $failed failed"
fi
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
