#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Old option names, and a configuration, a checkpoint, a plan, a profile and a run.json that commit
# f0ac648 wrote, give the losses that f0ac648 gave.
. "$(dirname "$0")/cli.bash"
old=$top_srcdir/tests/cli/f0ac648
cd "$work" && tar -xzf "$old/files.tar.gz" || exit 99
export FSMOE_MPI_TIMEOUT=100

# Bit for bit by the BLAS with which they were recorded, close by another.
"$fsmoe" info --json | grep -q '"blas": "OpenBLAS 0.3.21 .* Zen ' && tolerance=0 || tolerance=1e-5
same() # LOSSES OPTION...: compares them with those in the file `metrics`
{
	local want=$1 got
	shift
	got=$(sed -n 's/.*"loss": \([^,]*\),.*/\1/p' metrics | tr '\n' ' ')
	if [ $tolerance = 0 ]; then
		[ "$got" = "$want " ] || complain "losses $got, not $want" "$@"
	else
		echo "$want $got" | awk -v t=$tolerance '
			{ for (i = 1; i <= NF / 2; i++) {
				d = $i - $(i + NF / 2); if (d * d > (t * $i) ^ 2) bad = 1 } }
			END { exit bad || NF % 2 || NF < 2 }' ||
				complain "losses $got, not close to $want" "$@"
	fi
}

lines=0
while IFS='|' read -r options losses; do
	[[ $options != \#* ]] || continue
	lines=$((lines + 1))
	defaults=(--preset tiny --data text --layers 1 --steps 3 --lr 0.01 --val-fraction 0
		--capacity-factor 1)
	[[ $options != --config* ]] || defaults=()
	[[ $options != --resume* ]] || defaults=(--data text)
	rm -rf metrics saved run events
	# shellcheck disable=SC2086
	expect 0 "" "$fsmoe" train "${defaults[@]}" --quiet --metrics metrics $options
	same "${losses# }" "$options"
	case $options in
	--run*) [ -s run/run.json ] || complain "no run.json" "$options" ;;
	--events*) [ -s events/rank-0.events ] || complain "no events" "$options" ;;
	*--keep*) [ "$(ls -d saved/step-*)" = saved/step-000003 ] ||
		complain "not one checkpoint" "$options" ;;
	--config*) [ -s run/run.json ] && [ -s events/rank-0.events ] ||
		complain "no run" "$options" ;;
	esac
	resumed=${losses# } # the last line
done <"$old/losses"
[ $lines -ge 28 ] || complain "only $lines lines" "$old/losses"

# The layout's key "mp", a plan and a profile; a run.json, beside a timeline recorded now.
rm -f metrics
expect 0 "" $ranks 4 "$fsmoe" train --data text --resume f0ac648/checkpoint --nodes 2 \
	--output again --plan f0ac648/plan.json --profile f0ac648/profile.json --replan=no \
	--metrics metrics --timeline again/timeline.json
same "$resumed" --plan
cp f0ac648/run.json again/
cp metrics again/metrics.jsonl
expect 0 "" "$fsmoe" explain again
expect 0 "" "$fsmoe" generate --checkpoint f0ac648/checkpoint --length 5 --temperature 0

# New files have the new names only.
expect 0 "" "$fsmoe" train --preset tiny --data text --steps 1 --output new \
	--checkpoint new/checkpoint
for file in new/run.json new/checkpoint/step-000001/manifest.json; do
	for key in hidden_size ffn_size top_k tp global_batch micro_batches seq_length vocab_size \
		warmup_steps; do
		grep -q "\"$key\": " $file || complain "$file has no key $key" train
	done
	! grep -qE '"(model_dim|hidden|topk|mp|batch|microbatches|seq|vocab|warmup)": ' $file ||
		complain "$file has an old key" train
done

expect 2 "--global-batch is x: it must be a whole number" "$fsmoe" train --data text --batch x
widths="--hidden-size for the model's (once --model-dim), or --ffn-size"
expect 2 "--hidden may mean either width: give $widths" \
	"$fsmoe" train --data text --hidden 32
echo '{"hidden": 32}' >hidden.json
expect 2 'hidden.json:1: "hidden" may mean either width' "$fsmoe" train --data text \
	--config hidden.json
finish
