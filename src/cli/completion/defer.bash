# bash completion for defer(1)
#
# Names of databases come from a server, where others may choose them: they are
# data, compared and quoted here, and never expanded by the shell ("compgen -W"
# would run what is in them).

# Add those of the words that begin with what was typed, quoted for the shell.
# Within quotes only words that mean nothing to a shell are offered, because
# there readline inserts them as they are.
_defer_reply()
{
	local typed=$1 word quoted
	shift

	for word in "$@"; do
		printf -v quoted '%q' "$word"
		case $typed in
		[\"\']*)
			[[ $quoted == "$word" && $word == "${typed:1}"* ]] && COMPREPLY+=("$word")
			;;
		*)
			[[ $word == "$typed"* || $quoted == "$typed"* ]] && COMPREPLY+=("$quoted")
			;;
		esac
	done
}

# Databases of the server that the options in front of the cursor name
_defer_databases()
{
	local options=(-w) names=() name

	for name in -h:"$2" -p:"$3" -U:"$4"; do
		[[ ${name:3} != *[!A-Za-z0-9_./:@-]* && -n ${name:3} ]] && options+=("${name:0:2}" "${name:3}")
	done
	while IFS= read -r -d '' name || [[ -n $name ]]; do
		names+=("$name")
	done < <(PGCONNECT_TIMEOUT=${PGCONNECT_TIMEOUT:-2} psql -XAtq0 "${options[@]}" \
		-c 'SELECT datname FROM pg_catalog.pg_database WHERE datallowconn ORDER BY 1' postgres 2>/dev/null)
	_defer_reply "$1" "${names[@]}"
}

_defer()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} word option='' command='' before=''
	local host='' port='' user='' options=() i
	local -r commands=(status top jobs job schedules backfill enqueue trigger cancel errors retry rerun
		acknowledge reschedule pause
		resume release wait metrics dashboard help)
	local -r which=(--state --function --queue --group --schedule --owner --parent --metadata --error --fingerprint
		--since --until --before)
	local -r bulk=("${which[@]}" --everything --dry-run --yes)
	local -r global=(--host --port --username --dbname --no-password --password --json --quiet
		--color --help --version)
	local -r states=(waiting scheduled queued running retrying succeeded failed cancelled discarded)

	COMPREPLY=()

	# "--dbname=x" is three words: the option, "=", the value
	[[ $cur != = ]] || cur=
	[[ $prev != = ]] || prev=${COMP_WORDS[COMP_CWORD-2]}
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		[[ $word != = ]] || continue
		case $option in
		-h | --host) host=$word option='' && continue ;;
		-p | --port) port=$word option='' && continue ;;
		-U | --username) user=$word option='' && continue ;;
		-d | --dbname | --color) option='' && continue ;;
		esac
		case $word in
		-h | -p | -U | -d | --host | --port | --username | --dbname | --color) option=$word ;;
		-*) ;;
		*) [[ -n $command ]] || command=$word ;;
		esac
	done
	case $prev in
	-d | --dbname)
		_defer_databases "$cur" "$host" "$port" "$user"
		return
		;;
	--color)
		_defer_reply "$cur" auto always never
		return
		;;
	--overlap)
		_defer_reply "$cur" queue allow
		return
		;;
	--login)
		_defer_reply "$cur" token password
		return
		;;
	--token-file)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	-s | --state)
		[[ $cur != *,* ]] || before=${cur%,*},
		for word in "${states[@]}"; do
			[[ $word != "${cur##*,}"* ]] || COMPREPLY+=("$before$word")
		done
		return
		;;
	esac
	case $command in
	'') [[ $cur == -* ]] || options=("${commands[@]}") ;;
	help) options=("${commands[@]}") ;;
	status) options=(--check) ;;
	top) options=(--interval --iterations --batch) ;;
	job) options=(--follow) ;;
	jobs) options=("${which[@]}" --limit) ;;
	schedules | trigger) options=(--owner) ;;
	enqueue) options=(--run-at --delay --queue --priority --key --on-key --debounce-max --key-for --group --discard-after --metadata --max-attempts
		--initial-interval --multiplier --max-interval --randomization --max-duration --after --after-failure --when-done --command --wait
		--timeout) ;;
	backfill) options=(--since --until --overlap --rate --priority --owner --dry-run) ;;
	cancel) options=(--force "${bulk[@]}") ;;
	rerun | retry) options=(--force "${bulk[@]}") ;;
	acknowledge) options=(--note "${bulk[@]}") ;;
	reschedule) options=(--at --delay "${bulk[@]}") ;;
	pause) options=(--queue --group --schedule --owner --reason) ;;
	resume) options=(--queue --group --schedule --owner) ;;
	release) options=(--queue --group) ;;
	wait) options=(--timeout --alone) ;;
	metrics) options=(--groups) ;;
	dashboard) options=(--http-port --listen --origin --login --token-file --read-only) ;;
	esac
	[[ $cur != -* && -n $command && $command != help ]] || _defer_reply "$cur" "${options[@]}" "${global[@]}"
}
complete -F _defer defer
