#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fsmoe profile: a table, a file that says where it comes from, that plans and training read; and
# what it refuses.
. "$(dirname "$0")/cli.bash"
file=$work/profile.json

expect 0 "" $ranks 4 "$fsmoe" profile --preset tiny --nodes 2 --seconds 2 --out "$file"
for line in 'gemm  *compute' 'expert  *compute' 'attention  *compute' 'memory  *compute' \
	'gate  *compute' 'alltoall  *inter' 'allgather  *intra' 'reduce-scatter  *intra' \
	'allreduce  *inter'; do
	grep -q "^$line " "$work/out" || complain "the table has no line $line" profile
done
for key in date processor versions ranks blas_threads model layout; do
	grep -q "\"$key\": \"." "$file" || complain "the file does not say its $key" profile
done
grep -q '"machine": "node:2 cpu:2"' "$file" || complain "the file does not say its machine" profile
expect 0 "" "$fsmoe" plan --profile "$file" --preset tiny
grep -q predicted "$work/out" || complain "the plan predicts nothing" plan

# What is read is what was written; a step beside its prediction.
expect 0 "" "$fsmoe" train --preset tiny --data "$text" --steps 11 --profile "$file" \
	--events "$work/events" --timeline "$work/timeline.json" --timeline-steps 3
grep -q 'step 11: .* ms, predicted .* ms' "$work/out" || complain "nothing predicted" train
for file in timeline-9 timeline-10 timeline; do
	grep -q '"predicted"' "$work/$file.json" || complain "$file has no prediction" train
done
[ "$(ls "$work"/timeline*.json | wc -l)" -eq 3 ] || complain "not three timelines" train
[ -s "$work/events/rank-0.events" ] || complain "no events were recorded" train
expect 3 "cannot read $work/none" "$fsmoe" train --preset tiny --data "$text" --profile "$work/none"

expect 2 "did you mean" "$fsmoe" profile --presett tiny
expect 2 "no preset 'none'" "$fsmoe" profile --preset none
expect 2 "cannot read" "$fsmoe" profile --config "$work/none.json"
expect 2 "cannot be cut" "$fsmoe" profile --preset tiny --batch 3 --microbatches 2
expect 4 "the number of ranks" $ranks 4 "$fsmoe" profile --preset tiny --nodes 2 --mp 3
expect 1 "cannot write" "$fsmoe" profile --preset tiny --seconds 0.1 --out "$work/no/such/place"
finish
