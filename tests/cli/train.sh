#!/usr/bin/env bash
# A few steps on one rank and on four: lines, metrics, run directory, result.
. "$(dirname "$0")/cli.bash"

small=(--preset tiny --data "$text" --steps 3 --batch 4 --seed 2)
keys='"step": [123], "loss": [0-9.]*, "lr": [0-9.e-]*, "grad_norm": [0-9.e-]*, "tokens_per_s": [0-9.]*, "ms": [0-9.]*, "tokens": 64'

check_run()
{
	local run=$1
	shift
	[ "$(grep -c "^{$keys}\$" "$run/metrics.jsonl")" -eq 3 ] || complain "three objects in $run" "$@"
	[ "$(grep -c 'step [123]/3  loss' "$run/log")" -eq 3 ] || complain "three steps in the log" "$@"
	grep -q 'trained 3 steps' "$run/log" || complain "no result in the log" "$@"
}

expect 0 "" "$fsmoe" train "${small[@]}" --run "$work/runs/one"
[ "$(grep -c '^step [123]/3  loss' "$work/out")" -eq 3 ] || complain "a line a step" one rank
grep -q "^trained 3 steps in .*; see $work/runs/one/metrics.jsonl\$" "$work/out" || complain "no result" one rank
check_run "$work/runs/one" one rank

expect 0 "" "$fsmoe" train "${small[@]}" --metrics "$work/again.jsonl" --quiet
[ ! -s "$work/out" ] || complain "--quiet prints" one rank
losses() { sed 's/.*"loss": \([^,]*\),.*/\1/' "$1"; }
[ "$(losses "$work/again.jsonl")" = "$(losses "$work/runs/one/metrics.jsonl")" ] ||
	complain "the same seed, another loss" one rank

expect 0 "" $ranks 4 "$fsmoe" train "${small[@]}" --nodes 2 --run "$work/runs/four"
grep -q '4 ranks on 2 nodes, dp 2 mp 2 ep 2 esp 2' "$work/out" || complain "no layout" four ranks
check_run "$work/runs/four" four ranks

# Outputs that cannot be written: the run ends, whatever the other ranks do.
expect 1 "/dev/full: No space left" $ranks 2 "$fsmoe" train "${small[@]}" --metrics /dev/full
expect 1 "cannot make the directory" "$fsmoe" train "${small[@]}" --run /dev/null/run
finish
