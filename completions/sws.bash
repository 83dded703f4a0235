# completion of sws for bash, made by make.awk
_sws()
{
	local cur=$2 prev=$3 eq= any= words= files= dirs= word

	if [[ $prev == = ]]; then	# --root=x comes as three words
		prev=${COMP_WORDS[COMP_CWORD-2]} eq=y
	elif [[ ${COMP_WORDS[COMP_CWORD]} == = ]]; then
		cur= eq=y
	fi
	case $prev in
	-d|--root|--chroot)
		dirs=y ;;
	--unix-socket|-w|--config-file|-C|--tls-cert|-K|--tls-key|\
	--page404|--page50x|--page-fallback|--mime-types|\
	--maintenance-mode-file|--log-file)
		files=y ;;
	--directory-listing-format)
		words='html json auto' ;;
	-g|--log-level)
		words='error warn info debug trace' ;;
	--log-format)
		words='combined json pretty' ;;
	--sandbox)
		words='auto required off' ;;
	-a|--host|-p|--port|-f|--fd|--unix-socket-mode|\
	--https-redirect-host|--https-redirect-from-port|\
	--https-redirect-from-hosts|--index-files|\
	--directory-listing-order|--header|-c|--cors-allow-origins|\
	-j|--cors-allow-headers|--cors-expose-headers|--basic-auth|\
	--maintenance-mode-status|--trusted-proxies|--open-path|\
	--header-timeout|--idle-timeout|--write-timeout|--idle-exit|\
	-q|--grace-period|--drain-timeout|--max-connections|\
	--ready-fd|--user|--group)
		;;
	--unix-socket-force|-t|--tls|--http2|--https-redirect|\
	-z|--directory-listing|--compression-static|\
	--accept-markdown|--redirect-trailing-slash|--include-hidden|\
	--follow-symlinks|--use-relative-root|--text-charset|--etag|\
	-e|--cache-control-headers|--security-headers|--health|\
	--metrics|--maintenance-mode|--log-with-ansi|\
	--log-remote-address|--log-x-real-ip|--log-forwarded-for|\
	--access-log|--open)
		words='true false'
		[[ $eq ]] || any=y ;;
	*)
		any=y ;;
	esac
	if [[ $any && $cur == --no* ]]; then
		words='--no-unix-socket-force --no-tls --no-http2
		    --no-https-redirect --no-directory-listing
		    --no-compression-static --no-accept-markdown
		    --no-redirect-trailing-slash --no-include-hidden
		    --no-follow-symlinks --no-use-relative-root
		    --no-text-charset --no-etag --no-cache-control-headers
		    --no-security-headers --no-health --no-metrics
		    --no-maintenance-mode --no-log-with-ansi
		    --no-log-remote-address --no-log-x-real-ip
		    --no-log-forwarded-for --no-access-log --no-open'
	elif [[ $any && $cur == -* ]]; then
		words='--root --host --port --fd --unix-socket --unix-socket-mode
		    --unix-socket-force --config-file --tls --tls-cert --tls-key
		    --http2 --https-redirect --https-redirect-host
		    --https-redirect-from-port --https-redirect-from-hosts
		    --index-files --page404 --page50x --page-fallback
		    --directory-listing --directory-listing-order
		    --directory-listing-format --compression-static
		    --accept-markdown --redirect-trailing-slash --include-hidden
		    --follow-symlinks --use-relative-root --mime-types
		    --text-charset --etag --cache-control-headers
		    --security-headers --header --cors-allow-origins
		    --cors-allow-headers --cors-expose-headers --basic-auth
		    --health --metrics --maintenance-mode
		    --maintenance-mode-status --maintenance-mode-file
		    --log-level --log-format --log-file --log-with-ansi
		    --log-remote-address --log-x-real-ip --log-forwarded-for
		    --trusted-proxies --access-log --open --open-path
		    --header-timeout --idle-timeout --write-timeout --idle-exit
		    --grace-period --drain-timeout --max-connections --ready-fd
		    --sandbox --user --group --chroot --version --help'
	elif [[ $any ]]; then
		dirs=y
	fi
	COMPREPLY=()
	while IFS= read -r word; do
		COMPREPLY+=("$word")
	done < <(
		compgen -W "$words" -- "$cur"
		[[ $files ]] && compgen -f -- "$cur"
		[[ $dirs ]] && compgen -d -- "$cur"
	)
}
complete -o filenames -F _sws sws
