#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A rank that dies (-9) or stops (-STOP) in a forward task, a collective or a backward task of
# training: the others are gone within ten seconds of the event or of the time-out, and have said
# which rank and which collective. (Start and end: tests/comm/watch.sh.)
run=$top_srcdir/tests/lib/mpi-run
program=$top_builddir/tests/train/stumble
. "$top_srcdir/tests/lib/launcher.bash"
bad=0

job() # where signal rank timeout
{
	local out=$TMPDIR/$1.$2 start status
	for _ in 1 2 3; do
		start=$SECONDS status=0
		FSMOE_MPI_TIMEOUT=50 "$run" 4 "$program" "$@" 2 >"$out" 2>&1 || status=$?
		launcher_failed "$out" $((SECONDS - start)) 53 || break
	done
	printf '%d %d\n' "$status" $((SECONDS - start)) >"$out.end"
}

check() # where signal rank pattern
{
	local out=$TMPDIR/$1.$2 status seconds
	read -r status seconds <"$out.end"
	if [ "$status" -eq 0 ] || [ "$status" -eq 124 ] || [ "$seconds" -gt 15 ] ||
		! grep -q "rank $3 stumbles" "$out" || ! grep -Eq "$4" "$out" ||
		! grep -Eq '^fsmoe: rank .* in step [1-9]' "$out"; then
		echo "FAIL: $1, signal $2 to rank $3: status $status after $seconds s," \
			"expected: $4, and a step"
		sed 's/^/    | /' "$out"
		bad=1
	else
		echo "$1, signal $2 to rank $3: status $status after $seconds s"
	fi
	pkill -9 -f "$program $1 $2 " 2>/dev/null
	return 0
}

for where in forward collective backward; do
	job $where 19 2 2 &
	job $where 9 1 30 &
	wait
done
for where in forward collective backward; do
	check $where 19 2 'rank 2 does not answer'
	check $where 9 1 'another rank ended the job while'
done
# The one that waits says for what.
grep -Eq 'waits in' "$TMPDIR/collective.19" || { echo "FAIL: no collective is named"; bad=1; }
exit $bad
