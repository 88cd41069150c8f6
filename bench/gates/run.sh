#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# run.sh [OUT]: 200 steps with every gate on four ranks, two nodes of two: causal gates on the next
# token, all that are not, and topk beside them, on masked tokens. A CSV line a run, seeds outside,
# so that gates are interleaved. FSMOE names the program, DATA the text, SEEDS the seeds.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$here/../..
out=${1:-/dev/stdout}
fsmoe=${FSMOE:-$top/build/fsmoe}
data=${DATA:-/usr/share/games/fortunes}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# one OBJECTIVE GATE BALANCE SEED
one()
{
	rm -f "$work/m"
	FSMOE_MPI_TIMEOUT=900 "$top/tests/lib/mpi-run" 4 "$fsmoe" train --preset quickstart --layers 2 \
		--model-dim 64 --hidden 128 --seq 64 --batch 16 --steps 200 --warmup 20 --val-every 0 \
		--val-fraction 0.05 --nodes 2 --data "$data" --quiet --metrics "$work/m" \
		--objective "$1" --gate "$2" --balance-loss "$3" --seed "$4" || return
	python3 - "$work/m" "$1" "$2" "$4" <<'PY'
import json, statistics, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
steps = [r for r in rows if "loss" in r]
last = steps[-50:]
routed = sum(r["routed"] for r in last)
print(",".join([*sys.argv[2:5], f"{rows[-1]['val_loss']:.4f}",
      f"{sum(r['dropped'] for r in last) / routed:.4f}" if routed else "",
      f"{statistics.median(r['entropy'] for r in last):.4f}" if routed else "",
      f"{statistics.median(r['load_max'] / r['load_mean'] for r in last):.3f}" if routed else "",
      f"{statistics.median(r['ms'] for r in steps[20:]):.1f}"]))
PY
}

{
	echo "# $(git -C "$top" rev-parse --short HEAD), $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg)"
	echo "objective,gate,seed,held_out,dropped,entropy,load_max_over_mean,median_ms"
	for seed in ${SEEDS:-1 2 3}; do
		for gate in topk gshard sigmoid xmoe cosine; do
			one next $gate 0.01 "$seed"
		done
		one masked topk 0.01 "$seed"
		for gate in expert-choice softmoe; do
			one masked $gate 0 "$seed"
		done
	done
} >"$out"
