# bash completion for defer(1)
#
# Names of databases, schedules and the like come from a server, where others may
# choose them: they are data, compared and quoted here, and never expanded by the
# shell ("compgen -W" would run what is in them).

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

# Names that a statement finds in a database of the server that the options in front
# of the cursor name: WORD DATABASE HOST PORT USER STATEMENT
_defer_query()
{
	local options=(-w) names=() name

	for name in -d:"$2" -h:"$3" -p:"$4" -U:"$5"; do
		[[ -n ${name:3} ]] || continue
		# not what a shell would still make something else of
		[[ ${name:3} != *[!A-Za-z0-9_./:@-]* ]] || return
		options+=("${name:0:2}" "${name:3}")
	done
	while IFS= read -r -d '' name || [[ -n $name ]]; do
		names+=("$name")
	done < <(PGCONNECT_TIMEOUT=${PGCONNECT_TIMEOUT:-2} PGOPTIONS='-c search_path=pg_catalog -c statement_timeout=2s' \
		psql -XAtq0 "${options[@]}" <<<"$6" 2>/dev/null)
	_defer_reply "$1" "${names[@]}"
}

# Names of one kind: KIND WORD DATABASE HOST PORT USER
_defer_names()
{
	local kind=$1 sql
	shift

	case $kind in
	databases)
		_defer_query "$1" postgres "${@:3:3}" 'SELECT datname FROM pg_database WHERE datallowconn ORDER BY 1'
		return
		;;
	schedules) sql='SELECT DISTINCT name FROM defer.schedules ORDER BY 1' ;;
	queues) sql='SELECT queue FROM defer.live_queues ORDER BY 1' ;;
	groups) sql='SELECT DISTINCT group_key FROM defer.groups ORDER BY 1' ;;
	zones) sql='SELECT name FROM pg_timezone_names ORDER BY 1' ;;
	functions)
		# with and without the schema
		sql="SELECT DISTINCT n FROM (SELECT function FROM defer.live_functions
			UNION SELECT function FROM defer.schedules WHERE command IS NULL) f,
			split_part(function, '(', 1) s, LATERAL (VALUES (s), (substr(s, strpos(s, '.') + 1))) v(n)
			WHERE function NOT LIKE '%\"%' ORDER BY 1"
		;;
	esac
	# only where the extension is: a schema of that name may be another role's, whose
	# views would run what that role wants
	[[ $kind == zones ]] || sql="SELECT \$statement\$$sql LIMIT 1000\$statement\$
		FROM pg_extension e
		JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
			AND d.classid = 'pg_class'::regclass AND d.objid = to_regclass('defer.schedules')
		WHERE e.extname = 'defer' \\gexec"
	_defer_query "$@" "$sql"
}

_defer()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} word option='' command='' before=''
	local host='' port='' user='' database='' kind='' expected='' options=() i
	local -r commands=(status top jobs job workflow functions queues groups workers schedules cron alter-cron unschedule backfill
		enqueue trigger cancel errors retry rerun acknowledge reschedule pause resume release configure
		create-queue alter-queue drop-queue set-group reset-group wait metrics dashboard help)
	local -r which=(--state --function --queue --group --schedule --owner --parent --metadata --args --key --error
		--fingerprint
		--since --until --before)
	local -r settings=(--priority --max-attempts --initial-interval --multiplier --max-interval --randomization
		--concurrency --max-duration --discard-after --group-by --group-concurrency --rate --rate-burst
		--group-rate --group-rate-burst --group-order --on-group-failure --max-queued --group-max-queued)
	local -r schedule=(--timezone --overlap --catch-up --catch-up-window --jitter --active --queue --priority
		--allow-direct --group --starts-at --ends-at --max-runs --pause-after-failures --when-done)
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
		-d | --dbname) database=$word option='' && continue ;;
		--color) option='' && continue ;;
		esac
		case $word in
		-h | -p | -U | -d | --host | --port | --username | --dbname | --color) option=$word ;;
		-Q | --queue) [[ $command != @(pause|resume|release) ]] || expected=queues ;;
		-S | --schedule) [[ $command != @(pause|resume) ]] || expected=schedules ;;
		-c | --command) [[ $command != @(cron|enqueue) ]] || expected= ;;
		-*) ;;
		*)
			[[ -z $command ]] || continue
			command=$word
			case $word in
			schedules | trigger | alter-cron | unschedule | backfill) expected=schedules ;;
			queues | alter-queue | drop-queue) expected=queues ;;
			groups | set-group | reset-group) expected=groups ;;
			functions | configure | enqueue | cron | pause | resume | release) expected=functions ;;
			esac
			;;
		esac
	done
	# Which names are expected: as the value of an option, or as an argument of the command
	case $command:$prev in
	*:-d | *:--dbname) kind=databases ;;
	*:-z | *:--timezone) kind=zones ;;
	*:-g | *:--group) kind=groups ;;
	cancel:-f | alter-cron:--schedule) ;;
	*:-f | *:--function | *:--when-done) kind=functions ;;
	pause:-[SQ] | resume:-[SQ] | release:-Q | pause:--[sq]* | resume:--[sq]* | release:--queue) kind=$expected ;;
	*:-Q | *:--queue) kind=queues ;;
	*:--schedule) kind=schedules ;;
	*:-q | *:--quiet | *:--json | *:--reset | *:--dry-run | cron:-c | *:--command) kind=$expected ;;
	*:-*) ;;
	enqueue:enqueue | cron:cron) kind=$expected ;;
	enqueue:* | cron:*) ;;
	*) kind=$expected ;;
	esac
	if [[ -n $kind && $cur != -* ]]; then
		_defer_names "$kind" "$cur" "$database" "$host" "$port" "$user"
		return
	fi
	case $prev in
	--color)
		_defer_reply "$cur" auto always never
		return
		;;
	--overlap)
		[[ $command == backfill ]] || options=(skip replace)
		_defer_reply "$cur" queue allow "${options[@]}"
		return
		;;
	--catch-up)
		_defer_reply "$cur" none one all
		return
		;;
	--at-limit)
		_defer_reply "$cur" keep cancel
		return
		;;
	--group-order)
		_defer_reply "$cur" strict none
		return
		;;
	--on-group-failure)
		_defer_reply "$cur" skip hold
		return
		;;
	--buckets)
		_defer_reply "$cur" few all none
		return
		;;
	--active | --allow-direct)
		_defer_reply "$cur" yes no
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
	status) options=(--check --all-servers) ;;
	functions | queues | workers) options=(--all-servers) ;;
	top) options=(--interval --iterations --batch) ;;
	job) options=(--follow) ;;
	workflow) options=(--limit --name) ;;
	jobs) options=("${which[@]}" --limit --all-servers) ;;
	schedules | trigger | unschedule) options=(--owner) ;;
	cron) options=(--name --command "${schedule[@]}") ;;
	alter-cron) options=(--owner --schedule --function --sql "${schedule[@]}") ;;
	configure) options=(--queue --at-limit "${settings[@]}" --reset) ;;
	create-queue) options=(--reserved "${settings[@]}") ;;
	alter-queue) options=(--reserved "${settings[@]}" --reset) ;;
	set-group) options=(--function --queue --concurrency --rate --weight) ;;
	reset-group) options=(--function --queue) ;;
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
	metrics) options=(--groups --functions --buckets) ;;
	dashboard) options=(--http-port --listen --origin --login --token-file --read-only) ;;
	esac
	[[ $cur == -* || $command != workflow ]] || _defer_reply "$cur" list
	[[ $cur != -* && -n $command && $command != help ]] || _defer_reply "$cur" "${options[@]}" "${global[@]}"
}
complete -F _defer defer
