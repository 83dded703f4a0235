# make.awk - the three completion files from what sws --help prints:
#
#	sws --help | awk -v dir=completions -f completions/make.awk
#
# What follows an option is told by its word in capitals: DIR, FILE, and for
# LEVEL and WORD the list in its text, "this, that or another".

/^(-.,|   ) --[a-z]/ {
	n++
	letter[n] = substr($0, 1, 1) == "-" ? substr($0, 2, 1) : ""
	rest = substr($0, 7)
	match(rest, /^[a-z0-9-]+/)
	name[n] = substr(rest, 1, RLENGTH)
	rest = substr(rest, RLENGTH + 1)
	kind[n] = "bool"
	if (match(rest, /^ ('[A-Z: ]+'|[A-Z|:]+) /)) {
		arg[n] = substr(rest, 2, RLENGTH - 2)
		gsub(/'/, "", arg[n])
		rest = substr(rest, RLENGTH)
		kind[n] = kind_of(arg[n], name[n])
	} else if (name[n] == "help" || name[n] == "version") {
		kind[n] = "act"
	}
	sub(/^ +/, "", rest)
	text[n] = rest
	if (kind[n] == "words")
		words[n] = list(rest)
}

END {
	if (n == 0) {
		print "make.awk: that is no sws --help" | "cat >&2"
		exit 1
	}
	file = dir "/sws.bash"
	bash()
	file = dir "/_sws"
	zsh()
	file = dir "/sws.fish"
	fish()
}

function kind_of(a, o)
{
	if (a == "DIR")
		return "dir"
	if (a == "FILE" || (a == "PATH" && o == "unix-socket"))
		return "file"
	return a == "LEVEL" || a == "WORD" ? "words" : "other"
}

# "a b c" of the first "a, b or c" in s
function list(s)
{
	if (!match(s, /[a-z]+((,| or|, or) [a-z]+)+/))
		return ""
	s = substr(s, RSTART, RLENGTH)
	gsub(/,? or |, /, " ", s)
	return s
}


# s with the single quotes that sh and zsh, or fish, want inside of them
function quoted(s, quote)
{
	gsub(/'/, quote, s)
	return s
}

# "-d|--root"
function both(i)
{
	return (letter[i] != "" ? "-" letter[i] "|" : "") "--" name[i]
}

# all options of a kind as alternatives of a case, broken into lines
function all(k,	i, o, s, width)
{
	for (i = 1; i <= n; i++) {
		if (kind[i] != k)
			continue
		o = both(i)
		if (s != "" && width + length(o) > 60) {
			s = s "|\\\n\t"
			width = 0
		} else if (s != "") {
			s = s "|"
		}
		s = s o
		width += length(o) + 1
	}
	return s
}

# "--root --host ...", or of what is true or false "--no-tls ...", broken too
function names(no,	i, o, s, width)
{
	for (i = 1; i <= n; i++) {
		if (no != "" && kind[i] != "bool")
			continue
		o = "--" no name[i]
		if (width + length(o) > 60) {
			s = s "\n\t\t    "
			width = 0
		} else if (s != "") {
			s = s " "
		}
		s = s o
		width += length(o) + 1
	}
	return s
}

function p(s)
{
	print s >file
}

# no compopt and no mapfile: macOS has bash 3.2
function bash(	i)
{
	p("# completion of sws for bash, made by make.awk")
	p("_sws()\n{")
	p("\tlocal cur=$2 prev=$3 eq= any= words= files= dirs= word")
	p("")
	p("\tif [[ $prev == = ]]; then\t# --root=x comes as three words")
	p("\t\tprev=${COMP_WORDS[COMP_CWORD-2]} eq=y")
	p("\telif [[ ${COMP_WORDS[COMP_CWORD]} == = ]]; then")
	p("\t\tcur= eq=y")
	p("\tfi")
	p("\tcase $prev in")
	p("\t" all("dir") ")\n\t\tdirs=y ;;")
	p("\t" all("file") ")\n\t\tfiles=y ;;")
	for (i = 1; i <= n; i++)
		if (kind[i] == "words")
			p("\t" both(i) ")\n\t\twords='" words[i] "' ;;")
	p("\t" all("other") ")\n\t\t;;")
	p("\t" all("bool") ")")
	p("\t\twords='true false'")
	p("\t\t[[ $eq ]] || any=y ;;")
	p("\t*)\n\t\tany=y ;;")
	p("\tesac")
	p("\tif [[ $any && $cur == --no* ]]; then")
	p("\t\twords='" names("no-") "'")
	p("\telif [[ $any && $cur == -* ]]; then")
	p("\t\twords='" names("") "'")
	p("\telif [[ $any ]]; then")
	p("\t\tdirs=y")
	p("\tfi")
	p("\tCOMPREPLY=()")
	p("\twhile IFS= read -r word; do")
	p("\t\tCOMPREPLY+=(\"$word\")")
	p("\tdone < <(")
	p("\t\tcompgen -W \"$words\" -- \"$cur\"")
	p("\t\t[[ $files ]] && compgen -f -- \"$cur\"")
	p("\t\t[[ $dirs ]] && compgen -d -- \"$cur\"")
	p("\t)")
	p("}")
	p("complete -o filenames -F _sws sws")
}

function zsh(	i, s, v)
{
	p("#compdef sws")
	p("# completion of sws for zsh, made by make.awk")
	p("local -a specs")
	p("")
	p("specs=(")
	for (i = 1; i <= n; i++) {
		s = quoted(text[i], "'\\''")
		gsub(/[\[\]]/, "\\\\&", s)
		v = arg[i]
		gsub(/:/, "\\:", v)
		if (kind[i] == "act")
			v = ""
		else if (kind[i] == "bool")
			v = "::value:(true false)"
		else if (kind[i] == "dir")
			v = ":" v ":_files -/"
		else if (kind[i] == "file")
			v = ":" v ":_files"
		else if (kind[i] == "words")
			v = ":" v ":(" words[i] ")"
		else
			v = ":" v ":"
		p("\t'*--" name[i] (v == "" ? "" : "=") "[" s "]" v "'")
		if (letter[i] != "")
			p("\t'*-" letter[i] (arg[i] == "" ? "" : "+") "[" s \
			    "]" v "'")
	}
	p(")")
	p("[[ $PREFIX == --no* ]] && specs+=(")
	for (i = 1; i <= n; i++)
		if (kind[i] == "bool")
			p("\t'*--no-" name[i] "[--" name[i] "=false]'")
	p(")")
	p("_arguments -s -S $specs '::folder to serve:_files -/'")
}

function fish(	i, s, dirs, bools)
{
	# the token is all of --root=x
	dirs = "-a '(__fish_complete_directories (commandline -ct | " \
	    "string replace -r \"^--[a-z]*=\" \"\"))'"
	p("# completion of sws for fish, made by make.awk")
	p("complete -c sws -f " dirs)
	for (i = 1; i <= n; i++) {
		s = "complete -c sws"
		if (letter[i] != "")
			s = s " -s " letter[i]
		s = s " -l " name[i]
		if (kind[i] == "dir")
			s = s " -x " dirs
		else if (kind[i] == "file")
			s = s " -r -F"
		else if (kind[i] == "words")
			s = s " -x -a '" words[i] "'"
		else if (kind[i] == "other")
			s = s " -x"
		else if (kind[i] == "bool")
			s = s " -a 'true false'"
		p(s " -d '" quoted(text[i], "\\'") "'")
		if (kind[i] == "bool")
			bools = bools (letter[i] != "" ? " -" letter[i] : "") \
			    " --" name[i]
	}
	p("complete -c sws -n '__fish_prev_arg_in" bools "' -a 'true false'")
	for (i = 1; i <= n; i++)
		if (kind[i] == "bool")
			p("complete -c sws -n 'string match -q -- \"--no*\" " \
			    "(commandline -ct)' -l no-" name[i] " -d '--" \
			    name[i] "=false'")
}
