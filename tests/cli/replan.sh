#!/usr/bin/env bash
# With a profile that is far from this machine, training plans again after a step, gives the reason,
# and reaches the same losses. The plan in force is saved, and a resumed run continues with it.
. "$(dirname "$0")/cli.bash"

# Experts a million times slower than they are, and transfers that take no time: one chunk is
# planned. With measured experts, transfers take as long as experts, and more chunks are better.
profile=$work/profile.json
write_profile "$profile" {gemm,attention,memory,gate}" compute 1e-8 1e-9" \
	{alltoall,allgather,reduce-scatter,allreduce}" "{intra,inter}" 1e-8 1e-9" \
	"broadcast inter 1e-8 1e-9" "expert compute 0.1 1e-4"

# A run on a loaded machine may take longer than cli.bash's 30 seconds.
train()
{
	local name=$1
	shift
	timeout -k 5 100 $ranks 4 "$fsmoe" train --preset tiny --data "$text" --steps 13 \
		--global-batch 4 --nodes 2 \
		--output "$work/$name" "$@" >"$work/out" 2>"$work/err" </dev/null ||
		complain "it failed" "$@"
	cp "$work/out" "$work/$name.out"
}
rows() { sed -n 's/.*"step": \([0-9]*\), "loss": \([^,]*\),.*/\1 \2/p' "$work/$1/metrics.jsonl"; }
close() # A B: as many losses, each within what rounding makes of it
{
	paste -d ' ' <(rows "$1") <(rows "$2") | awk '
		{ d = $2 - $4; if (d < 0) d = -d; if ($1 != $3 || d > 1e-4 * $4) bad = 1 }
		END { exit bad || NR != 13 }'
}

train anew --profile "$profile" --checkpoint "$work/ck" --val-every 11
grep -q '^plan fsmoe: 1 chunks forward, 1 backward' "$work/out" ||
	complain "not one chunk at first" anew
n='[0-9.e+-]+'
anew="^step 10: .* takes $n times what the profile says, .*; planned anew:"
anew+=" [0-9 to]+ chunks forward, .* predicted to take $n ms; before: 1 chunks forward,"
anew+=" 1 backward, $n ms \($n ms by the old profile\)\$"
grep -qE "$anew" "$work/out" || complain "it did not plan anew" anew
train told --profile "$profile" --replan=no --val-every 11
grep -q "planned anew" "$work/out" && complain "it planned anew" --replan=no
grep -q "^step 10: .*: measure again with 'fsmoe profile'" "$work/out" ||
	complain "it does not tell" --replan=no
close anew told || complain "other losses after planning anew" anew
diff <(rows anew | head -n 10) <(rows told | head -n 10) || complain "other losses before" anew

# The plan in force is in the run's folder and in the checkpoint, and a resumed run follows it.
cmp -s "$work/anew/plan.json" "$work/told/plan.json" && complain "plan.json is the first plan" anew
train on --resume "$work/ck" --steps 15
cmp "$work/anew/plan.json" "$work/on/plan.json" ||
	complain "another plan than the last in force" --resume
# A plan given by --plan is never replaced.
train given --profile "$profile" --plan "$work/told/plan.json"
grep -q "planned anew" "$work/out" && complain "it planned anew" --plan
diff <(rows told) <(rows given) || complain "other losses" --plan
finish
