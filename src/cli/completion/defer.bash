# bash completion for defer(1)
_defer()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} word command=
	local commands="status top jobs job schedules enqueue trigger cancel rerun reschedule pause resume wait metrics dashboard help"
	local global="--host --port --username --dbname --no-password --password --json --quiet --color --help --version"
	local options='' skip='' i

	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if [[ -n $skip ]]; then
			skip=
			continue
		fi
		case $word in
		-h | -p | -U | -d | --host | --port | --username | --dbname) skip=1 ;;
		-* | =) ;;
		*)
			command=$word
			break
			;;
		esac
	done
	case $prev in
	-d | --dbname)
		COMPREPLY=($(compgen -W "$(psql -XAtqwc 'SELECT datname FROM pg_catalog.pg_database WHERE datallowconn' postgres 2>/dev/null)" -- "$cur"))
		return
		;;
	--color)
		COMPREPLY=($(compgen -W "auto always never" -- "$cur"))
		return
		;;
	-s | --state)
		local before=
		[[ $cur != *,* ]] || before=${cur%,*},
		COMPREPLY=($(compgen -P "$before" -W "scheduled queued running retrying succeeded failed cancelled discarded" -- "${cur##*,}"))
		return
		;;
	esac
	case $command in
	'') COMPREPLY=($(compgen -W "$commands $global" -- "$cur")) && return ;;
	help) COMPREPLY=($(compgen -W "$commands" -- "$cur")) && return ;;
	status) options="--check" ;;
	top) options="--interval --iterations --batch" ;;
	jobs) options="--state --function --queue --schedule --parent --metadata --error --since --until --limit --before" ;;
	enqueue) options="--run-at --delay --queue --priority --key --discard-after --metadata --max-attempts --initial-interval
		--multiplier --max-interval --randomization --max-duration --command --wait --timeout" ;;
	cancel) options="--force" ;;
	reschedule) options="--at --delay" ;;
	pause | resume) options="--queue --schedule" ;;
	wait) options="--timeout --alone" ;;
	esac
	[[ $cur != -* ]] || COMPREPLY=($(compgen -W "$options $global" -- "$cur"))
}
complete -F _defer defer
