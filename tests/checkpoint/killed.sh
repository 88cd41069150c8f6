#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Four ranks that save all the time are killed at twelve random moments; the next job goes on from
# what `latest` names.
run=$top_srcdir/tests/lib/mpi-run
program=$top_builddir/tests/checkpoint/ranks
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
before=0
for trial in $(seq 12); do
	"$run" 4 "$program" loop 2 "$tmp/c" >"$tmp/out.$trial" 2>"$tmp/err" &
	job=$!
	for ((i = 0; i < 600; i++)); do
		grep -qs saved "$tmp/out.$trial" && break
		kill -0 $job 2>/dev/null || break
		sleep 0.05
	done
	sleep "0.$((RANDOM % 10))$((RANDOM % 10))"
	# One rank: the others are ended by mpirun, wherever they are.
	victim=$(pgrep -f "$program loop 2 $tmp/c" | grep -vx $job | tail -n 1)
	kill -9 "$victim"
	wait $job
	last=$(sed -n 's/^saved //p' "$tmp/out.$trial" | tail -n 1)
	latest=$(sed 's/^step-0*//' "$tmp/c/latest")
	[ "$trial" = 1 ] || grep -qx "goes on after step $before" "$tmp/out.$trial" ||
		{ echo "FAIL: did not go on after step $before"; cat "$tmp/out.$trial" "$tmp/err";
		exit 1; }
	[ -n "$last" ] && [ "$latest" -ge "$last" ] ||
		{ echo "FAIL: latest is $latest after step $last was saved"; cat "$tmp/err";
		exit 1; }
	echo "killed after step $last: latest is $latest; $(ls -A "$tmp/c" | tr '\n' ' ')"
	before=$latest
done
"$run" 1 "$program" train 1 "$tmp/c" - 1
