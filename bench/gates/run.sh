#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# run.sh [OUT]: trains every gate on four ranks, two nodes of two. Causal gates run 200 steps on the
# next token; the others, and topk beside them, run 600 steps on masked tokens, which give a step a
# seventh as many targets. Writes a CSV line per run; seeds are the outer loop, so gates are
# interleaved.
# run.sh --spread [OUT]: varies one setting at a time that moves topk and xmoe apart.
# FSMOE names the program, DATA the text, SEEDS the seeds.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$here/../..
table=gates
[ "${1:-}" != --spread ] || { table=spread; shift; }
out=${1:-/dev/stdout}
fsmoe=${FSMOE:-$top/build/fsmoe}
data=${DATA:-/usr/share/games/fortunes}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# one OBJECTIVE GATE SEED STEPS OPTION...
one()
{
	local objective=$1 gate=$2 seed=$3 steps=$4
	shift 4
	rm -f "$work/m"
	FSMOE_MPI_TIMEOUT=900 "$top/tests/lib/mpi-run" 4 "$fsmoe" train --preset quickstart \
		--layers 2 \
		--hidden-size 64 --ffn-size 128 --seq-length 64 --global-batch 16 --steps "$steps" \
		--warmup-steps 20 --val-every 0 \
		--val-fraction 0.05 --nodes 2 --data "$data" --quiet --metrics "$work/m" \
		--objective "$objective" --gate "$gate" --seed "$seed" "$@" || return
	python3 - "$work/m" "$objective" "$gate" "$*" "$seed" <<'PY'
import json, statistics, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
steps = [r for r in rows if "loss" in r]
last = steps[-50:]
routed = sum(r["routed"] for r in last)
print(",".join([*sys.argv[2:6], f"{rows[-1]['val_loss']:.4f}",
      f"{sum(r['dropped'] for r in last) / routed:.4f}" if routed else "",
      f"{statistics.median(r['entropy'] for r in last):.4f}" if routed else "",
      f"{statistics.median(r['load_max'] / r['load_mean'] for r in last):.3f}" if routed else "",
      f"{statistics.median(r['ms'] for r in steps[20:]):.1f}"]))
PY
}

gates()
{
	for gate in topk gshard sigmoid xmoe cosine; do
		one next $gate "$1" 200 --balance-loss 0.01
	done
	one masked topk "$1" 600 --balance-loss 0.01
	for gate in expert-choice softmoe; do
		one masked $gate "$1" 600 --balance-loss 0
	done
}

# Scores of topk start with a deviation of 0.16 (M 64, weights of 0.02), those of xmoe with 3.6
# (cosines in 16 dimensions over 0.07): 22 times as far apart. 0.07 of xmoe's is its cosines alone.
spread()
{
	one next topk "$1" 200 --balance-loss 0.01
	one next xmoe "$1" 200 --balance-loss 0.01
	one next topk "$1" 200 --balance-loss 0.01 --gate-init-scale 22
	one next xmoe "$1" 200 --balance-loss 0.01 --gate-init-scale 0.07
	one next sigmoid "$1" 200 --balance-loss 0.01 --gate-init-scale 22
	for gate in topk xmoe; do
		one next $gate "$1" 200 --balance-loss 0
		one next $gate "$1" 200 --balance-loss 0.01 --lr 6e-3
		one next $gate "$1" 200 --balance-loss 0.01 --capacity-factor 0
	done
}

{
	echo "# $(git -C "$top" rev-parse --short HEAD), $(sed -n 's/^model name[^:]*: //p' \
		/proc/cpuinfo | head -n 1), $(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg)"
	echo "objective,gate,options,seed,held_out,dropped,entropy,load_max_over_mean,median_ms"
	for seed in ${SEEDS:-1 2 3}; do
		$table "$seed"
	done
} >"$out"
