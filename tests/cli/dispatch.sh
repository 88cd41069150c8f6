#!/usr/bin/env bash
# --dispatch=auto chooses by the profile lines of an AlltoAll and of its stages.
. "$(dirname "$0")/cli.bash"

# Experts on all four ranks, as two nodes of two: the case for hierarchical dispatches.
small=(--preset tiny --data "$text" --steps 2 --global-batch 4 --nodes 2 --tp 1 --esp 1 --ep 4
	--val-fraction 0)

others=({gemm,expert,attention,memory,gate}" compute 1e-6 1e-9" "allreduce inter 2e-6 2e-9")
write_profile "$work/plain.json" "alltoall inter 1e-4 1e-10" "alltoall intra 1e-5 1e-10" \
	"${others[@]}"
write_profile "$work/inter.json" "alltoall inter 1e-4 1e-10" "${others[@]}"
write_profile "$work/stages.json" "alltoall inter 1e-3 1e-10" "alltoall-stage inter 1e-6 1e-10" \
	"alltoall-stage intra 1e-6 1e-10" "${others[@]}"

losses() { sed -n 's/.*"loss": \([^,]*\),.*/\1/p' "$1"; }
auto() # NAME DISPATCH SENTENCE: that profile chooses that dispatch, with the losses of flat
{
	expect 0 "" $ranks 4 "$fsmoe" train "${small[@]}" --dispatch auto \
		--profile "$work/$1.json" \
		--output "$work/runs/$1"
	grep -q "^dispatch $2: .*$3" "$work/out" || complain "it should choose $2: $3" "$1"
	[ "$(losses "$work/runs/$1/metrics.jsonl")" = \
		"$(losses "$work/runs/flat/metrics.jsonl")" ] ||
		complain "another loss than flat's" "$1"
}
expect 0 "" $ranks 4 "$fsmoe" train "${small[@]}" --dispatch flat --output "$work/runs/flat"
# Without lines of their own, stages cost what an AlltoAll costs: one is better than two.
auto plain flat "flat .* ms, 1dh .* ms, 2dh .* ms"
auto inter flat "1dh not in the profile, 2dh not in the profile"
auto stages 2dh "flat .* ms, 1dh .* ms, 2dh .* ms"

# Stages that only a leader executes are in the plan of every rank.
expect 0 "" $ranks 4 "$fsmoe" train "${small[@]}" --dispatch 1dh --profile "$work/stages.json"

# A resumed run keeps the chosen dispatch, and needs no profile.
expect 0 "" $ranks 4 "$fsmoe" train "${small[@]}" --dispatch auto --profile "$work/stages.json" \
	--checkpoint "$work/checkpoint"
grep -q '"dispatch": "2dh"' "$work"/checkpoint/step-000002/manifest.json ||
	complain "the checkpoint does not have it" checkpoint
expect 0 "" $ranks 4 "$fsmoe" train "${small[@]}" --checkpoint "$work/checkpoint" --resume latest \
	--steps 3

# On one rank there is nothing to choose.
expect 0 "" "$fsmoe" train "${small[@]:0:8}" --dispatch auto --profile "$work/plain.json"
grep -q '^dispatch flat: ' "$work/out" || complain "it should choose flat" one rank

expect 2 "--dispatch=auto chooses by what tasks cost: give --profile=FILE" \
	"$fsmoe" train --data "$text" --dispatch auto
expect 2 "there is no dispatch 'atuo'" "$fsmoe" train --data "$text" --dispatch atuo
expect 3 "$work/absent.json" "$fsmoe" train --data "$text" --dispatch auto \
	--profile "$work/absent.json"

# One rank has another profile: all stop before the first step.
cat >"$work/uneven" <<-'END'
	#!/bin/sh
	[ "$OMPI_COMM_WORLD_RANK" != 3 ] || set -- "$@" --profile "${0%/*}/plain.json"
	exec "$0.fsmoe" "$@"
END
ln -s "$(realpath "$fsmoe")" "$work/uneven.fsmoe"
chmod +x "$work/uneven"
status=0
timeout 60 $ranks 4 "$work/uneven" train "${small[@]}" --dispatch auto \
	--profile "$work/stages.json" >"$work/out" 2>"$work/err" || status=$?
[ $status -eq 1 ] && grep -q 'give every rank the same profile' "$work/err" ||
	complain "status $status" a rank with another profile
! grep -q '^step' "$work/out" || complain "a step was made" a rank with another profile

# Stages are measured, whichever dispatch the model has.
echo '{"preset": "tiny", "global_batch": 4, "dispatch": "auto"}' >"$work/config.json"
timeout 100 $ranks 4 "$fsmoe" profile --config "$work/config.json" "${small[@]:8:8}" --seconds 0.5 \
	--out "$work/measured.json" >"$work/out" 2>"$work/err" || complain "exit code $?" profile
[ "$(grep -c '"alltoall-stage"' "$work/measured.json")" -eq 2 ] || complain "no stages" profile
finish
