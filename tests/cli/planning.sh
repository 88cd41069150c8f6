#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fsmoe plan makes the plan that training makes of the same profile, options, ranks and layout, and
# refuses what training refuses.
. "$(dirname "$0")/cli.bash"

expect 0 "" $ranks 4 "$fsmoe" profile --preset tiny --nodes 2 --seconds 2 \
	--out "$work/measured.json"
# Lines with much to gain from chunks, and from gradients in windows.
write_profile "$work/written.json" \
	{gemm,attention,memory,gate,reduction,routing,expert}" compute 1e-6 1e-9" \
	{alltoall,allgather,reduce-scatter}" "{intra,inter}" 1e-6 1e-8" \
	{allreduce,broadcast,alltoall-stage}" "{intra,inter}" 1e-6 1e-8"

same() # PROFILE OPTION...
{
	local profile=$work/$1.json machine=()
	shift
	rm -rf "$work/run" "$work/plan.json"
	expect 0 "" $ranks 4 "$fsmoe" train --data "$text" --steps 1 --quiet --val-fraction 0.5 \
		--val-samples 1 \
		--nodes 2 --replan=no --profile "$profile" --output "$work/run" "$@"
	grep -q '"machine"' "$profile" || machine=(--machine 'node:2 cpu:2')
	expect 0 "" "$fsmoe" plan --profile "$profile" "${machine[@]}" --out "$work/plan.json" "$@"
	cmp "$work/run/plan.json" "$work/plan.json" || complain "not the plan of training" plan "$@"
}
same measured --preset tiny
same measured
same written --preset tiny --schedule tutel --global-batch 16 --micro-batches 2 --layers 3
same written --layers 3 --seq-length 32 --heads 8 --ffn-size 64 --tp 1 --ep 4 --esp 1 --max-degree 4
same written --preset tiny --gate expert-choice --allow-leak --expert swiglu --capacity-factor 0.5
same written --preset tiny --objective masked --optimizer sgd --dispatch auto --tp 1 --ep 4 --esp 1
echo '{"preset": "tiny", "experts": 8, "batch": 32, "schedule": "fsmoe-no-iio"}' \
	>"$work/config.json"
same written --config "$work/config.json" --clip-grad-norm 0
same written --preset quickstart --layers 2
cp "$work/plan.json" "$work/quickstart.json"
expect 0 "" "$fsmoe" plan --profile "$work/written.json" --machine 'node:2 cpu:2' \
	--preset quickstart --layers 2 --batch 4 --json
cmp "$work/out" "$work/quickstart.json" ||
	complain "--batch is not of a data-parallel rank" plan --batch
expect 0 "" "$fsmoe" simulate --profile "$work/measured.json" --preset tiny --json
[ "$(grep -c '"forward_degree"' "$work/out")" -eq 6 ] || complain "not six schedules" simulate

refused() # CODE SENTENCE OPTION...: by plan, simulate and train
{
	expect "$1" "$2" "$fsmoe" plan --profile "$work/written.json" --machine 'node:2 cpu:2' \
		"${@:3}"
	expect "$1" "$2" "$fsmoe" simulate --profile "$work/written.json" --machine 'node:2 cpu:2' \
		--schedule fsmoe "${@:3}"
	expect "$1" "$2" $ranks 4 "$fsmoe" train --data "$text" --nodes 2 \
		--profile "$work/written.json" "${@:3}"
}
refused 2 "--hidden may mean either width" --hidden 32
refused 2 "--layers is 0: it must be a whole number" --layers 0
refused 2 "hidden-size = 16 is not a multiple of heads = 3" --heads 3
refused 2 "top-k = 9 is more than experts = 4" --top-k 9
refused 2 "cannot be cut into 3 equal parts" --micro-batches 3
refused 2 "--bidirectional is for --objective=masked" --bidirectional
refused 4 "--global-batch must be a multiple of 2" --global-batch 3
refused 4 "experts = 3 is not a multiple of expert-parallel ranks = 2" --experts 3
expect 2 "are of the paper's formulas" "$fsmoe" plan --profile "$work/measured.json" --steady
expect 2 "--dispatch=auto depends on the schedule" "$fsmoe" simulate \
	--profile "$work/measured.json" --dispatch auto
expect 4 "layouts with esp = tp" "$fsmoe" plan --testbed A --esp 1
finish
