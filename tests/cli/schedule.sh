#!/usr/bin/env bash
# Training by a schedule, by a plan from a profile, and by a plan's file gives the same losses.
. "$(dirname "$0")/cli.bash"

small=(--preset tiny --data "$text" --steps 2 --global-batch 4 --nodes 2 --val-fraction 0)
losses() { sed -n 's/.*"loss": \([^,]*\),.*/\1/p' "$1"; }
run() # NAME OPTION...: trains on four ranks and compares
{
	local name=$1
	shift
	expect 0 "" $ranks 4 "$fsmoe" train "${small[@]}" --output "$work/$name" "$@"
	[ -s "$work/$name/metrics.jsonl" ] || complain "no metrics" "$@"
	[ "$(losses "$work/$name/metrics.jsonl")" = "$(losses "$work/ds-moe/metrics.jsonl")" ] ||
		complain "another loss than ds-moe's" "$@"
}

profile=$work/profile.json
write_profile "$profile" {gemm,expert,attention,memory,gate}" compute 1e-6 1e-9" \
	{alltoall,allgather,reduce-scatter,allreduce}" "{intra,inter}" 2e-6 2e-9" \
	"broadcast inter 1e-6 1e-9"

run ds-moe --schedule ds-moe
grep -q '^schedule ds-moe, without a plan' "$work/out" ||
	complain "no line about the schedule" ds-moe
run one-chunk --schedule fsmoe
run default --schedule default
grep -q '^schedule default, without a plan' "$work/out" ||
	complain "no line about the schedule" default
run planned --profile "$profile" --max-degree 1
grep -q '^plan fsmoe: 1 chunks forward, 1 backward; gradients ' "$work/out" ||
	complain "no line about the plan" planned
run again --plan "$work/planned/plan.json"
cmp "$work/planned/plan.json" "$work/again/plan.json" || complain "another plan" again
echo '{"name": "mine", "gather_lane": "inter", "gradients": "fixed", "gradient_bytes": 4096}' \
	>"$work/mine.json"
run mine --schedule "$work/mine.json"

expect 2 "there is no schedule 'tutle'" "$fsmoe" train "${small[@]}" --nodes 1 --schedule tutle
expect 2 "the plan is of 2 layers, the model has 3" "$fsmoe" train "${small[@]}" --nodes 1 \
	--layers 3 --plan "$work/planned/plan.json"
sed 's/"forward_degree": 1,/"forward_degree": 65,/' "$work/planned/plan.json" >"$work/many.json"
expect 2 "many.json: 65 chunks of a layer are more than the 64 that the device 'cuda' takes" \
	"$fsmoe" train "${small[@]}" --nodes 1 --device cuda --plan "$work/many.json"
expect 3 "$work/nothing.json: " "$fsmoe" train "${small[@]}" --nodes 1 --schedule tutel \
	--profile "$work/nothing.json"
# One rank exchanges nothing, so it cannot follow the plan of four ranks.
expect 2 "make a plan for this model and layout" "$fsmoe" train "${small[@]}" --nodes 1 \
	--plan "$work/planned/plan.json"
"$fsmoe" info | grep -q '^  tutel-improved ' || complain "no schedules" info
finish
