#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fsmoe explain prints ten lines about a run with a profile, and the predicted neighbours follow the
# profile. Without a profile or a run it prints advice. A profile that lacks a line ends a run
# before its first step, not after its last.
. "$(dirname "$0")/cli.bash"

computing=({gemm,expert,attention,memory}" compute 1e-5 0")
# A profile whose communication lines have this beta.
communication() { printf '%s\n' \
	{alltoall,allgather,reduce-scatter,allreduce}" "{inter,intra}" 1e-5 $1"; }
write_profile "$work/bytes.json" "${computing[@]}" "gate compute 1e-5 0" "$(communication 1e-6)"
write_profile "$work/starts.json" "${computing[@]}" "gate compute 1e-5 0" "$(communication 0)"
write_profile "$work/lacks.json" "${computing[@]}" "$(communication 1e-6)"

for p in bytes starts; do
	expect 0 "" $ranks 4 "$fsmoe" train --preset tiny --nodes 2 --data "$text" --steps 3 \
		--val-every 0 --quiet --global-batch 4 --profile "$work/$p.json" \
		--output "$work/$p" --timeline "$work/$p/timeline.json"
	[ -s "$work/$p/run.json" ] || complain "there is no run.json" train
	expect 0 "" "$fsmoe" explain "$work/$p"
	[ "$(wc -l <"$work/out")" -eq 10 ] ||
		complain "it says $(wc -l <"$work/out") lines" explain "$p"
	for said in "The recorded step took" "bound by" "Compute lanes run" "held it up" "fullest" \
		"tutel" "twice as many backward" "capacity factors than" \
		"leave the values as they are" "These are predictions"; do
		grep -q "$said" "$work/out" || complain "it does not say '$said'" explain "$p"
	done
	grep -q -e '-100.0 %' "$work/out" && complain "a neighbour takes no time" explain "$p"
	# Where bytes cost, fewer slots cost less; where they do not, they change nothing.
	change=$(sed -n 's/^Other capacity factors.*: 1 \([-+0-9.]*\) %,.*/\1/p' "$work/out")
	awk -v change="$change" -v p=$p \
		'BEGIN { exit !(p == "bytes" ? change < -5 : change * change < 0.01) }' ||
		complain "half the capacity changes it by '$change' %" explain "$p"
done

expect 0 "" "$fsmoe" report "$work/bytes" --text
expect 0 "" "$fsmoe" train --preset tiny --data "$text" --steps 2 --val-every 0 \
	--quiet --output "$work/plain" --timeline "$work/plain/timeline.json"
expect 0 "" "$fsmoe" explain "$work/plain"
grep -q "needs a profile: measure one with 'fsmoe profile'" "$work/out" ||
	complain "no advice" explain plain
rm "$work/plain/timeline.json"
expect 3 "has no timeline.json: train with --timeline=" "$fsmoe" explain "$work/plain"
expect 3 "there is no $work/none/metrics.jsonl" "$fsmoe" explain "$work/none"
expect 2 "no run given" "$fsmoe" explain
echo '{"format": "fsmoe run"}' >"$work/starts/run.json"
expect 3 "run.json is no description of a run" "$fsmoe" explain "$work/starts"

# With a plan, the line is not needed until the step is simulated.
expect 0 "" "$fsmoe" train --preset tiny --data "$text" --steps 1 --val-every 0 --quiet \
	--profile "$work/bytes.json" --output "$work/planned"
expect 3 "lacks.json: " "$fsmoe" train --preset tiny --data "$text" --steps 1 \
	--plan "$work/planned/plan.json" --profile "$work/lacks.json" --timeline "$work/never.json"
grep -q '^step' "$work/out" && complain "steps were made before the profile was refused" train
[ ! -e "$work/never.json" ] || complain "a timeline was written" train
finish
