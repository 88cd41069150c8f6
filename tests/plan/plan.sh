#!/usr/bin/env bash
# fsmoe plan: golden plans, every wrong input as one sentence with its exit code.
. "$(dirname "$0")/../cli/cli.bash"
golden=$top_srcdir/tests/plan/golden

same() { cmp -s "$work/out" "$golden/$1" ||
	complain "the plan is not $1 any more: $(diff "$work/out" "$golden/$1" | head -n 5)" \
	"${@:2}"; }
expect 0 "" "$fsmoe" plan --testbed A --preset gpt2-xl --json
same gpt2-xl-a.json plan
expect 0 "" "$fsmoe" plan --profile "$top_srcdir/data/profiles/testbed-b.json" \
	--preset mixtral-8x7b --seq-length 256 --json
same mixtral-8x7b-b.json plan

# To say again what the preset says changes nothing.
for again in "quickstart --top-k 2" "quickstart --capacity-factor 1.25" "tiny --top-k 2" \
	"mixtral-8x7b --heads 32"; do
	for options in "${again%% *}" "$again"; do
		# shellcheck disable=SC2086
		expect 0 "" "$fsmoe" plan --testbed A --machine 'node:2 gpu:2' \
			--json --preset $options
		mv "$work/out" "$work/as.${options//[^a-z0-9]/-}"
	done
	cmp -s "$work/as.${again%% *}" "$work/as.${again//[^a-z0-9]/-}" ||
		complain "another plan" "$again"
done
expect 2 "top-k = 9 is more than experts = 8" "$fsmoe" plan --testbed A --preset quickstart \
	--top-k 9
expect 2 "7 heads do not share 8 heads for keys and values" "$fsmoe" plan --testbed A \
	--preset mixtral-8x7b --heads 7

# A file, and every rank, gets the same bytes.
expect 0 "" "$fsmoe" plan --testbed A --preset gpt2-xl --out "$work/plan.json"
cmp -s "$work/plan.json" "$golden/gpt2-xl-a.json" || complain "--out writes another plan" plan --out
grep -q '^  predicted ' "$work/out" || complain "nothing is predicted" plan --out

# People's own machines, rows and sizes.
expect 0 "" "$fsmoe" plan --testbed B --machine 'node:2 gpu:2' --schedule all --layers 3 --steady
[ "$(grep -c '^schedule ' "$work/out")" -eq 6 ] || complain "not six schedules" plan --schedule all
expect 0 "" "$fsmoe" plan --testbed B --preset tiny --machine 'node:4 cpu:2' --top-k 1 \
	--capacity-factor 0 --experts 4 --heads 4 --dense-forward 0.001 --expert mixtral \
	--max-degree 3
cat >"$work/mine.json" <<'END'
{"name": "mine", "weight_gradients": "deferred"}
END
expect 0 "" "$fsmoe" plan --testbed A --schedule "$work/mine.json"
grep -q '^schedule mine' "$work/out" || complain "the row of a file is not planned" plan \
	--schedule FILE
cat >"$work/hand.json" <<'END'
{"format": "fsmoe profile", "version": 1, "fits": [
	{"kind": "gemm", "alpha": 1e-5, "beta": 1e-12},
	{"kind": "alltoall", "lane": "inter", "alpha": 20, "beta": 1e-3, "time": "us"},
	{"kind": "allreduce", "lane": "inter", "alpha": 2e-5, "beta": 1e-9}]}
END
expect 0 "" "$fsmoe" plan --profile "$work/hand.json" --preset gpt2-xl --machine 'node:2 gpu:1'

# A preset of training is planned with the batch that it is trained with: 8 by 2 data-parallel
# ranks.
expect 0 "" "$fsmoe" plan --testbed A --machine 'node:2 gpu:2' --preset quickstart
cp "$work/out" "$work/whole"
expect 0 "" "$fsmoe" plan --testbed A --machine 'node:2 gpu:2' --preset quickstart --batch 4
cmp -s "$work/out" "$work/whole" || complain "not the batch of training" plan --preset quickstart

plan() { expect "$1" "$2" "$fsmoe" plan "${@:3}"; }
plan 2 "give --profile=FILE or --testbed=A|B"
plan 2 "give --profile=FILE or --testbed=A|B" --testbed A --profile x
plan 2 "--testbed is 'C': it must be one of A and B" --testbed C
plan 2 "there is no schedule 'fsmo': there are ds-moe" --testbed A --schedule fsmo
plan 2 "there is no preset 'gpt2-xxl'" --testbed A --preset gpt2-xxl
plan 2 "--max-degree is 0: it must be a whole number, 1 to 4096" --testbed A --max-degree 0
plan 2 "--out is the file of one plan" --testbed A --schedule all --out "$work/x"
plan 2 "unknown option --stedy; did you mean --steady?" --testbed A --stedy
plan 3 "cannot read $work/absent.json" --profile "$work/absent.json"
plan 3 "the profile has no line for allgather on the lane intra" --profile "$work/hand.json" \
	--preset gpt2-xl --machine 'node:2 gpu:2'
plan 3 "cannot read $work/absent.json" --testbed A --schedule "$work/absent.json"
plan 4 "does not say of which machine it is" --profile "$work/hand.json"
plan 4 "gpus" --testbed A --machine 'node:2 gpus:4'
plan 4 "do not fit into a node" --testbed A --tp 16
plan 1 "cannot write $work/no/plan" --testbed A --out "$work/no/plan"
echo '{"format": "fsmoe profile", "version": 1, "fits": 3}' >"$work/bad.json"
plan 3 "bad.json: \"fits\" must be an array" --profile "$work/bad.json"
finish
