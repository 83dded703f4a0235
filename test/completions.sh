#!/bin/sh
# The completions: made from this --help, and what three shells do with them.
cd "$(dirname "$0")/.." || exit 1
top=$PWD
SWS=${SWS:-$top/sws}
export LC_ALL=C
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

# verdict NAME FILE: a check that passes when FILE is empty
verdict() {
	if [ -s "$2" ]; then
		echo "FAIL $1: $(tr '\n' ' ' <"$2" | cut -c 1-500)"
	else
		echo "ok $1"
	fi
}

mkdir "$tmp/new"
"$SWS" --help | awk -v dir="$tmp/new" -f completions/make.awk 2>"$tmp/err"
for f in sws.bash _sws sws.fish; do
	diff "completions/$f" "$tmp/new/$f" >"$tmp/out" 2>&1
	verdict "completions/$f is what make completions makes" "$tmp/out"
done
echo hello | awk -v dir="$tmp" -f completions/make.awk >"$tmp/out" 2>&1 &&
    echo "no error" >"$tmp/out"
sed -i '/^make.awk: that is no sws --help$/d' "$tmp/out"
verdict "make.awk refuses another text" "$tmp/out"

# what words are in there: all of --help, with and without an argument
"$SWS" --help | sed -n 's/^\(-.,\|   \) \(--[a-z0-9-]*\).*/\2/p' | sort \
    >"$tmp/help"

mkdir -p "$tmp/d/public/sub" "$tmp/d/pub lic" "$tmp/d/log"
: >"$tmp/d/pub.pem"
cd "$tmp/d" || exit 1

# in bash WORD...: the completions of the last word, one a line, sorted
in_bash() {
	bash --norc -c '
		. "$0"
		COMP_WORDS=("$@")
		COMP_CWORD=$(($# - 1))
		cur=${COMP_WORDS[COMP_CWORD]}
		[[ $cur == = ]] && cur=
		_sws sws "$cur" "${COMP_WORDS[COMP_CWORD-1]}"
		printf "%s\n" "${COMPREPLY[@]}"' \
	    "$top/completions/sws.bash" "$@" 2>&1 | sort
}

# bash_row WANT WORD...: WANT is the lines joined by commas
bash_row() {
	want=$1
	shift
	got=$(in_bash "$@" | paste -sd , -)
	if [ "$got" = "$want" ]; then
		echo "ok bash: $*"
	else
		echo "FAIL bash: $*: \"$got\", not \"$want\""
	fi
}

bash_row "log,pub lic,public" sws ''
bash_row "pub lic,public" sws pub
bash_row "public/sub" sws -z public/
bash_row "pub lic,public" sws --root pub
bash_row "pub lic,public" sws -d pub
bash_row "pub lic,public" sws --root = pub
bash_row "log,pub lic,public" sws --root =
bash_row "pub lic,pub.pem,public" sws --tls-cert pub
bash_row "pub lic,pub.pem,public" sws --tls-key = pub
bash_row "pub lic,pub.pem,public" sws -K pub
bash_row "debug,error,info,trace,warn" sws --log-level ''
bash_row "debug,error,info,trace,warn" sws --log-level =
bash_row "debug" sws -g d
bash_row "combined,json,pretty" sws --log-format ''
bash_row "auto,html,json" sws --directory-listing-format ''
bash_row "" sws --port ''
bash_row "" sws --header ''
bash_row "" sws --port =
bash_row "false,log,pub lic,public,true" sws --etag ''
bash_row "true" sws -t t
bash_row "false,true" sws --etag =
bash_row "--etag" sws --et
bash_row "--etag" sws -z --et
bash_row "--no-etag" sws --no-et
bash_row "" sws --port --et
bash_row "" sws --no-por
bash_row "pub lic,public" sws --log-level debug pub
in_bash sws -- | sed '/^$/d' | diff "$tmp/help" - >"$tmp/out" 2>&1
verdict "bash: every option" "$tmp/out"

if command -v zsh >/dev/null; then
	zsh -f -n "$top/completions/_sws" >"$tmp/out" 2>&1
	verdict "zsh: syntax" "$tmp/out"
	# _arguments gets a description of each option
	zsh -f -c '
		_arguments() { shift 2; print -rl -- "$@"; }
		PREFIX=
		. "$0"' "$top/completions/_sws" 2>&1 |
	    sed -n 's/^\*\(--[a-z0-9-]*\)=*\[..*/\1/p' | sort |
	    diff "$tmp/help" - >"$tmp/out" 2>&1
	verdict "zsh: every option" "$tmp/out"
else
	echo "skip zsh: not installed"
fi

# fish_row WANT LINE
fish_row() {
	got=$(HOME=$tmp fish --no-config -c 'source $argv[1]
	    complete -C $argv[2]' "$top/completions/sws.fish" "$2" 2>&1 |
	    cut -f 1 | sort | paste -sd , -)
	if [ "$got" = "$1" ]; then
		echo "ok fish: $2"
	else
		echo "FAIL fish: $2: \"$got\", not \"$1\""
	fi
}

if command -v fish >/dev/null; then
	fish --no-config -n "$top/completions/sws.fish" >"$tmp/out" 2>&1
	verdict "fish: syntax" "$tmp/out"
	fish_row "--version" "sws --vers"
	fish_row "--no-etag" "sws --no-et"
	fish_row "public/" "sws publ"
	fish_row "public/" "sws --root publ"
	fish_row "--root=public/" "sws --root=publ"
	fish_row "pub.pem" "sws --tls-cert pub."
	fish_row "debug" "sws -g d"
	fish_row "combined,json,pretty" "sws --log-format "
	fish_row "true" "sws --etag t"
	fish_row "--etag=false,--etag=true" "sws --etag="
	fish_row "" "sws --port "
else
	echo "skip fish: not installed"
fi
