#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# No rank waits for ever: one of four is stopped or killed while the others wait for it, at the
# start, in a collective, at the end. The others must be gone soon, must have said why, and nothing
# may be left behind.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
run=$here/../lib/mpi-run
. "$here/../lib/launcher.bash"
victim=${FSMOE_WATCH_VICTIM:-./tests/comm/watch-victim}
[ -x "$victim" ] || { echo "there is no $victim" >&2; exit 99; }
command -v mpirun >/dev/null || { echo "there is no mpirun"; exit 77; }

out=$(mktemp -d) || exit 99
trap 'rm -rf "$out"' EXIT
failures=0

complain()
{
	echo "FAIL: $title: $*"
	sed 's/^/    | /' "$out/$id"
	failures=$((failures + 1))
}

# Parts of the lines that several jobs print.
gate='last task done "gate L0 m3"'
alltoall='alltoall \(group ep\), seq 13 of lane intra'

# job HOW WHERE VICTIM TIMEOUT: runs it; its output is in $out/$id, its status and seconds beside.
job()
{
	local start status

	for _ in 1 2 3; do
		start=$SECONDS
		FSMOE_MPI_TIMEOUT=40 "$run" 4 "$victim" "$@" >"$out/$id" 2>&1
		status=$?
		launcher_failed "$out/$id" $((SECONDS - start)) 43 || break
	done
	echo "$status $((SECONDS - start))" >"$out/$id.end"
}

# Jobs run three at a time: they mostly wait.
jobs_table()
{
	cat <<-'END'
	step-stop   stop  step     2 2
	step-kill   kill  step     2 60
	start-stop  stop  start    1 2
	start-kill  kill  start    0 60
	end-stop    stop  end      3 2
	end-exit    exit  end      0 60
	leave-stop  stop  leave    1 2
	final-stop  stop  finalize 1 2
	hang        hang  step     2 2
	fault       fault step     2 60
	slow        sleep step     1 60
	rank0-stop  stop  step     0 2
	quiet       none  -        0 2
	END
}

while read -r id how where rank timeout; do
	while [ "$(jobs -rp | wc -l)" -ge 3 ]; do wait -n; done
	job "$how" "$where" "$rank" "$timeout" </dev/null &
done < <(jobs_table)
wait

# gone PID: the process has ended (whoever inherited it may not have collected it yet).
gone()
{
	for ((i = 0; i < 30; i++)); do
		case $(sed 's/.*) //; s/ .*//' "/proc/$1/stat" 2>/dev/null) in
		'' | Z | X) return 0 ;;
		esac
		sleep 0.1
	done
	kill -9 "$1" 2>/dev/null
	return 1
}

# expect PATTERN: the output has such a line.
expect()
{
	grep -Eq -- "$1" "$out/$id" || complain "no line matches: $1"
}

# Exactly one rank prints, one line a rank. (A stopped one, woken to be ended, may say where it
# was.)
one_line_a_rank()
{
	[ "$how" = hang ] ||
		expect "^fsmoe: rank $rank does not answer \(stopped, dead or cut off\)\$"
	[ "$(grep -c '^fsmoe: no progress' "$out/$id")" -eq 1 ] || complain "says it twice"
	[ "$(grep '^fsmoe: rank' "$out/$id" | grep -vc 'another rank')" -eq 4 ] ||
		complain "not one line a rank"
}

while read -r id how where rank timeout; do
	title="rank $rank: $how at $where"
	before=$failures
	read -r status seconds <"$out/$id.end"
	# shellcheck disable=SC2013
	for pid in $(sed -n 's/.*pid \([0-9]*\)$/\1/p' "$out/$id"); do
		gone "$pid" || complain "process $pid was left behind"
	done
	others=$(seq 0 3 | grep -v "$rank" | tr '\n' ' ')
	# Four ranks on two cores take a second or two to start.
	most=$((timeout + 12))
	case $how in
	none | sleep)
		[ "$status" -eq 0 ] || complain "ends with status $status"
		if grep -q '^fsmoe:' "$out/$id"; then complain "prints"; fi
		;;
	stop | hang)
		[ "$status" -eq 5 ] || complain "ends with status $status, not 5"
		expect "^fsmoe: no progress for $timeout\.0 s: ending the job\$"
		[ "$id" = final-stop ] || one_line_a_rank
		;;
	fault) # at once, whatever the time-out
		[ "$status" -eq 5 ] || complain "ends with status $status, not 5"
		most=12
		expect '^fsmoe: rank 2: in step 3; .*; the network is gone$'
		expect '^fsmoe: collectives have failed: ending the job$'
		[ "$(grep '^fsmoe: rank' "$out/$id" | grep -vc 'another rank')" -eq 4 ] ||
			complain "not one line a rank"
		;;
	*)
		[ "$status" -ne 0 ] || complain "ends with status 0"
		most=12
		[ "$how" = exit ] || expect "rank [$others]: another rank ended the job while"
		;;
	esac
	[ "$seconds" -le "$most" ] || complain "took $seconds s, not $most"

	case $id in
	step-stop | rank0-stop)
		for other in $others; do
			expect "^fsmoe: rank $other: in step 3; $gate; waits in $alltoall,"\
" for [12]\.[0-9] s"
		done
		;;
	step-kill)
		for other in $others; do
			expect "^fsmoe: rank $other: another rank ended the job while this rank"\
" was in $alltoall, for [0-9.]* s; in step 3"
		done
		;;
	final-stop) expect '^fsmoe: rank [023]: in end \(MPI_Finalize\); last' ;;
	hang) expect "^fsmoe: rank 2: in step 3; $gate; runs \"order L0\" on lane compute for" ;;
	start-stop) expect '^fsmoe: rank 0: in start; no task done yet' ;;
	end-stop) expect '^fsmoe: rank 0: in end; last task done "order L0"' ;;
	leave-stop) expect '^fsmoe: rank 0: in end \(waiting for all ranks to end\); last' ;;
	quiet)
		sed -n 's/^cpu \(.*\)/\1/p' "$out/$id" | while read -r percent; do
			echo "a watchdog costs $percent % of a core"
		done
		;;
	esac
	[ $failures -gt "$before" ] || echo "ok: $title: $seconds s"
done < <(jobs_table)

# A program alone, without MPI.
id=alone
title="alone: hang"
env -u OMPI_COMM_WORLD_SIZE -u PMIX_RANK -u PMI_RANK -u PMI_SIZE -u PMI_FD -u PMI_PORT \
	timeout 10 "$victim" hang step 0 0.5 >"$out/$id" 2>&1
status=$?
[ $status -eq 5 ] || complain "ends with status $status"
expect "^fsmoe: rank 0: in step 3; $gate; runs \"order L0\" on lane compute for 0\."
expect '^fsmoe: no progress for 0\.5 s: ending the job$'

[ $failures -eq 0 ]
