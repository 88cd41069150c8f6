#!/usr/bin/env bash
# --trace and fsmoe trace: their files and failures; without --trace no file is written.
. "$(dirname "$0")/cli.bash"

small=(--preset tiny --data "$text" --steps 5 --global-batch 4 --quiet)
expect 2 "give the first and the last of 1 to 5, such as 1-2" "$fsmoe" train \
	"${small[@]}" --trace "$work/no" --trace-steps 4-6
expect 2 "give the first and the last of 1 to 5" "$fsmoe" train "${small[@]}" --trace "$work/no" \
	--trace-steps 3-2
expect 2 "give the first and the last of 1 to 5" "$fsmoe" train "${small[@]}" --trace "$work/no" \
	--trace-steps 3x
expect 2 "--trace-steps=2 has no folder: give --trace=DIR" "$fsmoe" train \
	"${small[@]}" --trace-steps 2
expect 2 "no trace given" "$fsmoe" trace
expect 3 "cannot read $work/no/trace.json" "$fsmoe" trace "$work/no"

(cd "$work" && mkdir empty && cd empty &&
	STARPU_FXT_PREFIX=$work/empty "$fsmoe" train "${small[@]}") ||
	complain "it fails" without a trace
[ -z "$(ls -A "$work/empty")" ] || complain "it leaves $(ls -A "$work/empty")" without a trace

"$fsmoe" train "${small[@]}" --trace "$work/probe" --trace-steps 5 >"$work/out" 2>"$work/err"
if grep -q 'this StarPU was built without FxT' "$work/err"; then
	expect 4 "this StarPU was built without FxT" "$fsmoe" train \
		"${small[@]}" --trace "$work/probe"
	finish
fi
for file in paje.trace tasks.rec dag.dot data.rec activity.data distrib.data trace.rec trace.json;
	do
	[ -s "$work/probe/$file" ] || complain "no $file" one rank
done
grep -q '^Name: h.0.attn\|^Name: bucket' "$work/probe/data.rec" ||
	complain "handles without names" one rank
[ "$(sed -n 's/^Iteration: \([0-9]*\).*/\1/p' "$work/probe/tasks.rec" | sort -u)" = 5 ] ||
	complain "other steps are traced" one rank
awk -F'\t' '$1 == 6 && $3 == "WS" {
		split($5, c, /[" ]+/); if (c[2] > 1 || c[3] > 1 || c[4] > 1) bad = 1; n++ }
	END { exit bad || n == 0 }' "$work/probe/paje.trace" || complain "colours above 1" one rank

# Losses do not change, and a trace can be made again from the ranks' files.
expect 0 "" $ranks 2 "$fsmoe" train "${small[@]}" --nodes 2 --trace "$work/two" \
	--metrics "$work/traced"
expect 0 "" $ranks 2 "$fsmoe" train "${small[@]}" --nodes 2 --metrics "$work/plain"
losses() { sed -n 's/.*"loss": \([^,]*\),.*/\1/p' "$1"; }
[ "$(losses "$work/traced")" = "$(losses "$work/plain")" ] || complain "another loss" two ranks
cp "$work/two/tasks.rec" "$work/before"
expect 0 "" "$fsmoe" trace "$work/two"
grep -q '^traced steps 3 to 4 of 2 ranks: ' "$work/out" || complain "no result" fsmoe trace
cmp -s "$work/before" "$work/two/tasks.rec" || complain "another tasks.rec" fsmoe trace
if command -v pj_dump >/dev/null; then
	pj_dump "$work/two/paje.trace" >"$work/dump" || complain "PajeNG cannot read it" pj_dump
	grep -q 'State, 1_CPU0, .*expert' "$work/dump" || complain "no experts on rank 1" pj_dump
fi
head -c 1000 "$work/two/prof_file_1" >"$work/part" && mv "$work/part" "$work/two/prof_file_1"
expect 3 "prof_file_1 has 1000 bytes and not" "$fsmoe" trace "$work/two"
# A file of the same length with other bytes.
bytes=$(sed -n 's/.*has 1000 bytes and not \([0-9]*\).*/\1/p' "$work/err")
head -c "$bytes" /dev/zero >"$work/two/prof_file_1"
expect 3 "StarPU cannot read the traces in $work/two" "$fsmoe" trace "$work/two"

expect 1 "cannot make the directory" $ranks 2 "$fsmoe" train "${small[@]}" --trace /dev/null/trace
finish
