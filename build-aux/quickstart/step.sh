# One long step: a line that moves while it runs, its time when it is done, and on failure the end
# of its log and the log's name.

running=0

# Stop what a step started, with its children, when quickstart itself is stopped.
stop_running()
{
	[ "$running" -gt 0 ] && kill -TERM -- "-$running" 2>/dev/null
	[ -t 1 ] && printf '\n'
	exit 130
}
trap stop_running INT TERM HUP

# Prints the last words in log $1, for the line of the step.
last_line()
{
	tail -c 400 "$1" 2>/dev/null | tr '\r\t' '\n ' | sed -n '/[^ ]/h;${x;p}' || true
}

# watch NAME TITLE COMMAND [ARG...]: run COMMAND with its output in NAME.log; its exit status.
watch()
{
	local log=$logs/$1.log title=$2 start=$SECONDS status=0 told=0
	shift 2
	set -m # a process group of its own, to be stopped as one
	"$@" >"$log" 2>&1 </dev/null 9>&- &
	running=$!
	set +m
	[ -t 1 ] || printf '  %-44s ...\n' "$title"
	while kill -0 "$running" 2>/dev/null; do
		if [ -t 1 ]; then
			printf '\r  %-44s %4ds  %.40s\033[K' "$title" $((SECONDS - start)) \
				"$(last_line "$log")"
		elif [ $((SECONDS - start - told)) -ge 30 ]; then
			told=$((SECONDS - start))
			printf '  %-44s %4ds  %.60s\n' "" "$told" "$(last_line "$log")"
		fi
		sleep 0.2
	done
	wait "$running" || status=$?
	running=0
	[ -t 1 ] && printf '\r\033[K'
	if [ $status -eq 0 ]; then
		printf '  %-44s %4ds\n' "$title" $((SECONDS - start))
	else
		printf '  %-44s %4ds  failed\n' "$title" $((SECONDS - start))
	fi
	return $status
}

# step NAME TITLE COMMAND [ARG...]: the same, and the end if it fails.
step()
{
	watch "$@" && return
	tail -n 25 "$logs/$1.log" >&2
	die "'$2' failed; the whole log is $logs/$1.log"
}

# One quickstart at a time in a folder; released when quickstart ends or by unlock.
lock()
{
	mkdir -p "$1"
	exec 9>"$1/.lock"
	flock -n 9 && return
	echo "  waiting for another quickstart that uses $1"
	flock 9
}

unlock()
{
	exec 9>&-
}
