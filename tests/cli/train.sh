#!/usr/bin/env bash
# A few steps on one rank and on four: lines, metrics, run directory, result.
. "$(dirname "$0")/cli.bash"

small=(--log-every 1 --preset tiny --data "$text" --steps 3 --global-batch 4 --seed 2)
keys='"step": [123], "loss": [0-9.]*, "lr": [0-9.e-]*, "grad_norm": [0-9.e-]*, '
keys+='"tokens_per_s": [0-9.]*, "ms": [0-9.]*, "tokens": 64, "routed": 256, "dropped": [0-9]*, '
keys+='"load_min": [0-9]*, "load_mean": [0-9.]*, "load_max": [0-9]*, "entropy": [01][.][0-9]*, '
keys+='"rank_load": \[[0-9, ]*\], "expert_load": \[[][0-9, ]*\]'

check_run()
{
	local run=$1
	shift
	[ "$(grep -c "^{$keys}\$" "$run/metrics.jsonl")" -eq 3 ] ||
		complain "three objects in $run" "$@"
	[ "$(grep -c 'step [123]/3  loss' "$run/log")" -eq 3 ] ||
		complain "three steps in the log" "$@"
	grep -q 'trained 3 steps' "$run/log" || complain "no result in the log" "$@"
}

expect 0 "" "$fsmoe" train "${small[@]}" --output "$work/runs/one"
[ "$(grep -c '^step [123]/3  loss' "$work/out")" -eq 3 ] || complain "a line a step" one rank
grep -q "^trained 3 steps in .*; see $work/runs/one/metrics.jsonl\$" "$work/out" ||
	complain "no result" one rank
check_run "$work/runs/one" one rank

expect 0 "" "$fsmoe" train "${small[@]}" --metrics "$work/again.jsonl" --quiet
[ ! -s "$work/out" ] || complain "--quiet prints" one rank
losses() { sed -n 's/.*"loss": \([^,]*\),.*/\1/p' "$1"; }
[ "$(losses "$work/again.jsonl")" = "$(losses "$work/runs/one/metrics.jsonl")" ] ||
	complain "the same seed, another loss" one rank

# The held-out loss is measured on the way and at the end, on one rank as on four.
val() { sed -n 's/.*"val_loss": \([^,]*\),.*/\1/p' "$1"; }
# close RUN RUN N: 1 if both runs have N held-out losses, less than 1e-4 apart.
close()
{
	paste <(val "$work/runs/$1/metrics.jsonl") <(val "$work/runs/$2/metrics.jsonl") |
		awk -v n="$3" '{ d = $1 - $2; if (d < 0) d = -d; if (d > m) m = d }
			END { print (NR == n && m < 1e-4) }'
}
expect 0 "" "$fsmoe" train "${small[@]}" --output "$work/runs/val" --val-every 2
[ "$(val "$work/runs/val/metrics.jsonl" | wc -l)" -eq 2 ] || complain "two val_loss" one rank
grep -q '^step 2  held-out loss ' "$work/out" || complain "no held-out loss" one rank
[ "$(losses "$work/runs/val/metrics.jsonl")" = "$(losses "$work/again.jsonl")" ] ||
	complain "looking at held-out data changes training" one rank
cp "$text" "$work/other"
expect 0 "" "$fsmoe" train "${small[@]}" --output "$work/runs/other" --val "$work/other"
grep -q ' 0 held out' "$work/out" && complain "--val is not counted" one rank
"$fsmoe" train "${small[@]}" --progress >"$work/out" 2>"$work/err"
grep -q '100%  0:00 left' "$work/err" || complain "no bar" one rank

# --print-breakdown, and the model without its parts.
expect 0 "" "$fsmoe" train "${small[@]}" --print-breakdown --moe=no --attention=no
grep -q 'operation  *lane' "$work/out" || complain "no breakdown" one rank
grep -qE 'attention|expert_mlp' "$work/out" &&
	complain "attention and experts are still there" one rank

# More memory than the host has.
expect 4 "make --global-batch, --seq-length or the model smaller" "$fsmoe" train --data "$text" \
	--seq-length 16 --layers 200 --hidden-size 16384 --ffn-size 65536 --experts 64 --heads 16

expect 0 "" $ranks 4 "$fsmoe" train "${small[@]}" --nodes 2 --output "$work/runs/four" --val-every 2
difference=$(close four val 2)
[ "$difference" = 1 ] || complain "another held-out loss" four ranks
grep -q '4 ranks on 2 nodes, dp 2 tp 2 ep 2 esp 2' "$work/out" || complain "no layout" four ranks
check_run "$work/runs/four" four ranks

# Masked tokens: gates may look at later tokens, and the places do not depend on the layout.
expect 2 "looks at later tokens" "$fsmoe" train "${small[@]}" --gate softmoe
expect 0 "" "$fsmoe" train "${small[@]}" --gate softmoe --objective masked
expect 2 "sees whole sequences knows the next token" "$fsmoe" train "${small[@]}" --bidirectional
expect 0 "" "$fsmoe" train "${small[@]}" --objective masked --output "$work/runs/mask1"
expect 0 "" $ranks 4 "$fsmoe" train "${small[@]}" --objective masked --nodes 2 \
	--output "$work/runs/mask4"
difference=$(close mask4 mask1 1)
[ "$difference" = 1 ] || complain "another held-out loss of masked tokens" four ranks
grep -q '"val_tokens": [0-9]*[02468], ' "$work/runs/mask1/metrics.jsonl" || # 2 of 16 a sequence
	complain "not two targets a sequence" one rank

# Outputs that cannot be written end the run, whatever the other ranks do.
expect 1 "/dev/full: No space left" $ranks 2 "$fsmoe" train "${small[@]}" --metrics /dev/full
expect 1 "cannot make the directory" "$fsmoe" train "${small[@]}" --output /dev/null/run
expect 1 "cannot make the directory" $ranks 2 "$fsmoe" train "${small[@]}" --checkpoint /dev/null/ck
[ ! -s "$work/out" ] || complain "it trained without a place to save" --checkpoint
finish
