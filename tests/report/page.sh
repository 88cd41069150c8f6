#!/usr/bin/env bash
# fsmoe report: of a folder made by hand, and of a run of four ranks.
set -eu
program=$top_builddir/tests/report/report
fsmoe=$top_builddir/fsmoe
run=$TMPDIR/run
"$program" "$TMPDIR/hand"

for i in $(seq 400); do echo "Line $i of a text that nobody reads."; done >"$TMPDIR/text"
sh "$top_srcdir/tests/lib/mpi-run" 4 "$fsmoe" train --preset tiny --data "$TMPDIR/text" --steps 6 \
	--global-batch 4 --nodes 2 --quiet --val-every 3 --output "$run" \
	--timeline "$run/timeline.json"
"$program" "$TMPDIR/hand" "$run"
[ "$("$fsmoe" report "$run")" = "$run/report.html" ]
last=$(sed -n 's/^{"step": 6, "loss": \([^,]*\),.*/\1/p' "$run/metrics.jsonl")
"$fsmoe" report "$run" --text >"$TMPDIR/said"
grep -q "^  last loss  *$(printf %.4f "$last")\$" "$TMPDIR/said"
grep -q '^  rank 3$' "$TMPDIR/said"
grep -q '^  steps  *6$' "$TMPDIR/said"

status=0
"$fsmoe" report "$TMPDIR" 2>"$TMPDIR/err" || status=$?
[ $status -eq 3 ]
grep -q "there is no $TMPDIR/metrics.jsonl: name the folder" "$TMPDIR/err"
status=0
"$fsmoe" report 2>"$TMPDIR/err" || status=$?
[ $status -eq 2 ]
grep -q 'no run given' "$TMPDIR/err"

# The page against the files, by a program that reads them itself; and as a browser draws it.
command -v python3 >/dev/null || exit 0
python3 "$top_srcdir/tests/report/page.py" "$run"
command -v chromium >/dev/null || exit 0
timeout -k 5 60 chromium --headless --no-sandbox --disable-gpu --user-data-dir="$TMPDIR/chromium" \
	--virtual-time-budget=3000 --dump-dom "file://$run/report.html" >"$TMPDIR/dom" \
	2>/dev/null || exit 0
python3 "$top_srcdir/tests/report/page.py" "$run" "$TMPDIR/dom"
