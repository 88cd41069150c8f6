# One long step: a line that moves while it runs, its time when it is done, and on failure
# the end of its log and the log's name.
#
#   step NAME TITLE COMMAND [ARG...]
step()
{
	local name=$1 title=$2 log=$logs/$1.log start=$SECONDS status=0
	shift 2
	"$@" >"$log" 2>&1 </dev/null &
	local pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		if [ -t 1 ]; then
			printf '\r  %-44s %4ds  %.60s\033[K' "$title" $((SECONDS - start)) \
				"$(tail -n 1 "$log" 2>/dev/null | tr -d '\r\t' || true)"
		fi
		sleep 0.5
	done
	wait "$pid" || status=$?
	[ -t 1 ] && printf '\r\033[K'
	if [ $status -ne 0 ]; then
		printf '  %-44s FAILED after %ds\n' "$title" $((SECONDS - start))
		tail -n 25 "$log" >&2
		die "'$title' failed; the whole log is $log"
	fi
	printf '  %-44s %4ds\n' "$title" $((SECONDS - start))
}
