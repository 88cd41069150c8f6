#!/usr/bin/env bash
# A delay of 50 ms of each cause in a step of four ranks, and whether the report names it: the
# cause, the rank and the task.
set -eu
for cause in slow-expert slow-link late-peer busy-scheduler; do
	sh "$top_srcdir/tests/lib/mpi-run" 4 "$top_builddir/tests/report/delays" $cause \
		"$TMPDIR/$cause" 2
	"$top_builddir/fsmoe" report "$TMPDIR/$cause" --text >"$TMPDIR/said"
	grep -q '^  What held it up most:$' "$TMPDIR/said"
done
