#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fsmoe profile prints a table and writes a file with its origin, which plans and training read;
# wrong options are refused.
. "$(dirname "$0")/cli.bash"
file=$work/profile.json

expect 0 "" $ranks 4 "$fsmoe" profile --preset tiny --nodes 2 --seconds 2 --out "$file"
for line in 'gemm  *compute' 'expert  *compute' 'attention  *compute' 'memory  *compute' \
	'reduction  *compute' 'gate  *compute' 'alltoall  *inter' 'allgather  *intra' \
	'reduce-scatter  *intra' 'allreduce  *inter'; do
	grep -q "^$line " "$work/out" || complain "the table has no line $line" profile
done
for key in date processor versions ranks blas_threads model layout; do
	grep -q "\"$key\": \"." "$file" || complain "the file does not say its $key" profile
done
grep -q '"machine": "node:2 cpu:2"' "$file" || complain "the file does not say its machine" profile
grep -q '"device": "cpu"' "$file" && grep -q '"dtype": "fp32"' "$file" ||
	complain "the file does not say its device and dtype" profile
grep -q '^arithmetic  *cpu, fp32$' "$work/out" || complain "the table does not say it" profile
expect 0 "" "$fsmoe" plan --profile "$file" --preset tiny
grep -q '^by a profile of the device cpu in fp32$' "$work/out" ||
	complain "the plan does not say it" plan
grep -q predicted "$work/out" || complain "the plan predicts nothing" plan

# Another dtype or device gives a warning; a profile without them, as older ones are, does not.
sed 's/"dtype": "fp32"/"dtype": "bf16"/; s/"device": "cpu"/"device": "cuda"/' \
	"$file" >"$work/other.json"
expect 0 "was measured on the device cuda in bf16, and this run is on cpu in fp32: measure again" \
	"$fsmoe" train --preset tiny --data "$text" --steps 2 --profile "$work/other.json"
sed '/"dtype"/d; /"device"/d' "$file" >"$work/old.json"
expect 0 "" "$fsmoe" train --preset tiny --data "$text" --steps 2 --profile "$work/old.json"
expect 0 "" "$fsmoe" plan --profile "$work/old.json" --preset tiny
! grep -q 'by a profile' "$work/out" || complain "it says what it cannot know" plan

# Training reads the written file, and prints a step beside its prediction.
expect 0 "" "$fsmoe" train --preset tiny --data "$text" --steps 11 --profile "$file" \
	--record-events "$work/events" --timeline "$work/timeline.json" --timeline-steps 3
grep -q 'step 11: .* ms, predicted .* ms' "$work/out" || complain "nothing predicted" train
for file in timeline-9 timeline-10 timeline; do
	grep -q '"predicted"' "$work/$file.json" || complain "$file has no prediction" train
done
[ "$(ls "$work"/timeline*.json | wc -l)" -eq 3 ] || complain "not three timelines" train
[ -s "$work/events/rank-0.events" ] || complain "no events were recorded" train
expect 3 "cannot read $work/none" "$fsmoe" train --preset tiny --data "$text" --profile "$work/none"

expect 2 "did you mean" "$fsmoe" profile --presett tiny
expect 2 "the dtype 'bf16' is of GPUs" "$fsmoe" profile --preset tiny --dtype bf16
expect 2 "the CTA policy 'zero' is of GPUs" "$fsmoe" profile --preset tiny --cta-policy zero
expect 2 "--max-degree: 65 chunks of a layer are more than the 64 that the device 'cuda' takes" \
	"$fsmoe" profile --preset tiny --device cuda --max-degree 65
expect 2 "the CTA policy 'zero' is of GPUs" \
	"$fsmoe" train --preset tiny --data "$text" --cta-policy zero
expect 2 "no preset 'none'" "$fsmoe" profile --preset none
expect 2 "no scheduling policy 'none': there are fsmoe, " "$fsmoe" profile --starpu-sched none
expect 2 "cannot read" "$fsmoe" profile --config "$work/none.json"
expect 2 "cannot be cut" "$fsmoe" profile --preset tiny --global-batch 3 --micro-batches 2
expect 4 "the number of ranks" $ranks 4 "$fsmoe" profile --preset tiny --nodes 2 --tp 3
# Failures before the measurement, within the time limit of `expect`.
for options in "profile --preset tiny --seconds 1000 --out" \
	"bench schedule --preset tiny --seconds 1000 --csv" \
	"train --preset tiny --data $text --steps 100000000 --timeline"; do
	# shellcheck disable=SC2086
	expect 1 "cannot write $work/no/such" "$fsmoe" $options "$work/no/such"
done
expect 1 "cannot write $work: Is a directory" $ranks 2 "$fsmoe" profile --preset tiny --nodes 2 \
	--seconds 1000 --out "$work"
expect 3 "cannot read $work/none" "$fsmoe" bench schedule --preset tiny --profile "$work/none"
finish
