#!/usr/bin/env bash
# fsmoe simulate: the paper's grid against golden means, models, wrong inputs.
. "$(dirname "$0")/../cli/cli.bash"
golden=$top_srcdir/tests/plan/golden

for testbed in A B; do
	name=grid-$(tr AB ab <<<$testbed).json
	start=$(date +%s%N)
	expect 0 "" "$fsmoe" simulate --grid paper --testbed $testbed --json --csv "$work/grid.csv"
	took=$((($(date +%s%N) - start) / 1000000))
	echo "grid $testbed: $took ms"
	[ $took -lt 5000 ] || [ "${sanitizer:-no}" != no ] ||
		complain "the grid takes $took ms" simulate --grid
	cmp -s "$work/out" "$golden/$name" ||
		complain "the means are not $name any more" simulate --grid
	[ "$(wc -l <"$work/grid.csv")" -eq $((1458 * 6 + 1)) ] ||
		complain "not a line for each point and row" simulate --csv
done
expect 0 "" "$fsmoe" simulate --grid paper --testbed A
grep -q '^  fsmoe  ' "$work/out" || complain "no table" simulate --grid
for preset in gpt2-xl mixtral-8x7b mixtral-8x22b; do
	expect 0 "" "$fsmoe" simulate --testbed A --preset $preset
	[ "$(grep -c '^  [a-z].*[0-9]$' "$work/out")" -eq 6 ] ||
		complain "not six rows" simulate --preset $preset
done
expect 0 "" "$fsmoe" simulate --testbed B --layers 1 --steady --json
grep -q '"over_tutel"' "$work/out" || complain "no speed-up" simulate --json
expect 0 "" "$fsmoe" simulate --testbed B --machine 'node:2 gpu:4' --schedule fsmoe

expect 2 "--grid needs --testbed" "$fsmoe" simulate --grid paper \
	--profile "$top_srcdir/data/profiles/testbed-a.json"
expect 2 "--grid is 'papers'" "$fsmoe" simulate --grid papers --testbed A
expect 2 "--csv is of a grid" "$fsmoe" simulate --testbed A --csv "$work/x"
expect 1 "cannot write $work/no/x" "$fsmoe" simulate --grid paper --testbed A --csv "$work/no/x"
# The testbeds' profiles are built in.
program=$(realpath "$fsmoe")
expect 0 "" env -u FSMOE_DATA -C / "$program" simulate --testbed A
finish
