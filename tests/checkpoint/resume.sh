#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `fsmoe train --resume` goes on with the model, optimizer and schedule of the checkpoint, without
# an option. The command line goes before it, but cannot name another model.
. "$top_srcdir/tests/cli/cli.bash"

train=("$fsmoe" train --data "$text" --quiet)
rows() { sed -n 's/.*"step": \([0-9]*\), "loss": \([^,]*\), "lr": \([^,]*\),.*/\1 \2 \3/p' "$1"; }
field() { sed -n "s/^ *\"$1\": \(.*[^,]\),\{0,1\}\$/\1/p" "$2" | head -n 1; }

# An unbroken run of a model and a schedule that nothing else has.
odd=(--preset tiny --steps 9 --lr 2e-3 --warmup-steps 2 --min-lr-ratio 0.3 --attention=no
	--ffn-size 24
	--routing-weights sigmoid --balance-loss 0.02 --beta2 0.9 --clip-grad-norm 0.5 --seed 11
	--val-fraction 0.2)
"${train[@]}" "${odd[@]}" --checkpoint "$work/ck" --checkpoint-every 3 --keep-checkpoints 9 \
	--metrics "$work/unbroken" ||
	complain "training failed" "${odd[@]}"
manifest=$work/ck/step-000003/manifest.json
for pair in 'steps 9' 'warmup_steps 2' 'val_fraction 0.2' 'preset "tiny"' 'attention false'; do
	[[ $(field "${pair% *}" "$manifest") = "${pair#* }"* ]] ||
		complain "$pair is not in the manifest" "$(field "${pair% *}" "$manifest")"
done

# Beginning anew there would remove them.
expect 2 "ck holds step 9 of an earlier run: go on with it by --resume=latest" \
	"${train[@]}" "${odd[@]}" --checkpoint "$work/ck" --metrics "$work/anew"
[ -e "$work/ck/step-000003" ] && [ ! -e "$work/anew" ] ||
	complain "an earlier run was touched" --checkpoint

# Going on: bit by bit the same, without saying again what was said.
for preset in "" "--preset=tiny"; do
	rm -f "$work/resumed"
	expect 0 "" "${train[@]}" $preset --resume "$work/ck/step-000003" --metrics "$work/resumed"
	diff <(rows "$work/unbroken" | tail -n 6) <(rows "$work/resumed") >"$work/out" ||
		complain "not as the unbroken run" --resume $preset
done
# The next checkpoint keeps the resumed settings.
expect 0 "" "${train[@]}" --resume "$work/ck/step-000003" --checkpoint "$work/on" --steps 4
course() { sed '1,/"run"/d; /"steps"/d; /"manifest_crc32c"/d' "$1"; }
diff <(course "$work/ck/step-000003/manifest.json") <(course "$work/on/step-000004/manifest.json") \
	>"$work/out" ||
	complain "the schedule was lost" --resume
# Nothing is left to do, which is no failure.
expect 0 "" "$fsmoe" train --data "$text" --resume "$work/ck"
grep -q "there was nothing to train: 9 steps were done before, --steps=18 goes on" "$work/out" ||
	complain "it does not say so" --resume

# Another length, rate, optimizer setting, policy of dropping: accepted.
for options in "--steps 12" "--lr 1e-3 --min-lr-ratio 1" "--beta2 0.95 --weight-decay 0" \
	"--global-batch 4" "--drop-policy probability --capacity-factor 1 --balance-loss 0" \
	"--forward-degree 2 --order einsum"; do
	# shellcheck disable=SC2086
	expect 0 "" "${train[@]}" $options --resume "$work/ck/step-000006"
done

# Another model: refused by a sentence with the way out; lists only where shapes differ.
refused() # sentence options: with both lists, names and shapes
{
	expect 3 "$1" "${train[@]}" --resume "$work/ck/step-000003" "${@:2}"
	grep -q '^  tensor  *here  *checkpoint$' "$work/err" || complain "no lists" "${@:2}"
	grep -q '^  wte.weight  *(256, 16)  *(256, 16)$' "$work/err" ||
		complain "what is alike is not there" "${@:2}"
}
refused "with attention no, this one has yes: give --attention=no, or another" --attention=yes
grep -q '^! h.1.self_attn.v_proj.bias  *(16)  *absent$' "$work/err" ||
	complain "not listed" --attention
refused "with moe yes, this one has no: give --moe=yes" --moe=no
grep -q '^! h.0.block_sparse_moe.gate.weight  *absent  *(4, 16)$' "$work/err" ||
	complain "not listed" --moe
refused "with ffn-size 24, this one has 32: give --ffn-size=24" --ffn-size 32
grep -q '^! h.0.block_sparse_moe.experts.3.w1.weight  *(32, 16)  *(24, 16)$' "$work/err" ||
	complain "not listed" --ffn-size
refused "with layers 2, this one has 3: give --layers=2" --layers 3
refused "with gate topk, this one has gshard: give --gate=topk" --gate gshard
for options in "top-k 2 1" "routing-weights sigmoid chosen" "heads 4 2"; do
	set -- $options
	expect 3 "with $1 $2, this one has $3: give --$1=$2" \
		"${train[@]}" --resume "$work/ck/step-000003" "--$1=$3"
	! grep -q '^  tensor' "$work/err" || complain "lists where shapes are the same" "--$1"
done
expect 2 "began with --preset=tiny: give that one instead of quickstart, or none" \
	"${train[@]}" --resume "$work/ck" --preset quickstart
# On four ranks one of them says it.
expect 3 "give --ffn-size=24" $ranks 4 "$fsmoe" train --data "$text" --quiet --nodes 2 \
	--resume "$work/ck/step-000003" --ffn-size 32
[ "$(grep -c '^! h.0.block_sparse_moe.experts.3.w1.weight' "$work/err")" -eq 1 ] ||
	complain "the lists come once" --ffn-size

# The plan of a run is kept and used again on the same layout, without its profile.
{
	echo '{"format": "fsmoe profile", "version": 1, "fits": ['
	for kind in gemm expert attention memory gate; do
		echo "{\"kind\": \"$kind\", \"alpha\": 1e-6, \"beta\": 1e-9},"
	done
	for kind in alltoall allgather reduce-scatter allreduce; do
		echo "{\"kind\": \"$kind\", \"lane\": \"intra\", \"alpha\": 2e-6, \"beta\": 2e-9},"
		echo "{\"kind\": \"$kind\", \"lane\": \"inter\", \"alpha\": 2e-6, \"beta\": 2e-8},"
	done
	echo '{"kind": "broadcast", "lane": "inter", "alpha": 1e-6, "beta": 1e-9}]}'
} >"$work/profile"
rows_of() { sed -n 's/.*"step": \([0-9]*\), "loss": \([^,]*\),.*/\1 \2/p' "$1/metrics.jsonl"; }
four=($ranks 4 "$fsmoe" train --data "$text" --nodes 2)
expect 0 "" "${four[@]}" --preset tiny --steps 4 --profile "$work/profile" \
	--checkpoint "$work/plan" --checkpoint-every 2 --output "$work/planned"
expect 0 "" "${four[@]}" --resume "$work/plan/step-000002" --output "$work/on"
grep -q '^plan fsmoe: ' "$work/out" || complain "no plan" --resume
cmp "$work/planned/plan.json" "$work/on/plan.json" || complain "another plan" --resume
diff <(rows_of "$work/planned" | tail -n 2) <(rows_of "$work/on") >"$work/out" ||
	complain "other losses with the plan that was kept" --resume
expect 0 "" "$fsmoe" train --data "$text" --resume "$work/plan/step-000002"
grep -q 'is of another layout: going on without one' "$work/out" ||
	complain "it should say so" --resume
finish
