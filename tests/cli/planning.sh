#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fsmoe plan makes the plan that training makes of the same profile, options, ranks and layout, and
# refuses what training refuses.
. "$(dirname "$0")/cli.bash"

expect 0 "" $ranks 4 "$fsmoe" profile --preset tiny --nodes 2 --seconds 2 --out "$work/measured.json"
# Lines with much to gain from chunks, and from gradients in windows.
write_profile "$work/written.json" {gemm,attention,memory,gate,reduction,routing,expert}" compute 1e-6 1e-9" \
	{alltoall,allgather,reduce-scatter,allreduce,broadcast,stage}" "{intra,inter}" 1e-6 1e-8"

same() # PROFILE OPTION...
{
	local profile=$work/$1.json machine=()
	shift
	rm -rf "$work/run" "$work/plan.json"
	expect 0 "" $ranks 4 "$fsmoe" train --data "$text" --steps 1 --quiet --val-fraction 0.5 --val-samples 1 \
		--nodes 2 --replan=no --profile "$profile" --output "$work/run" "$@"
	grep -q '"machine"' "$profile" || machine=(--machine 'node:2 cpu:2')
	expect 0 "" "$fsmoe" plan --profile "$profile" "${machine[@]}" --out "$work/plan.json" "$@"
	cmp "$work/run/plan.json" "$work/plan.json" || complain "not the plan of training" plan "$@"
}
same measured --preset tiny
same measured
same written --preset tiny --schedule tutel --batch-size-of-training
finish
