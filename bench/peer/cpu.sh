#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# cpu.sh [ROUNDS [OPTION...]]: times one MoE layer on one rank and all cores, fsmoe and PyTorch in
# turn. Prints CSV: a line per round and program, then comments with the medians, their ratio, and
# the shares of gate, order and inverse order. PYTHON: one that has PyTorch. Wants a quiet machine.
set -e
top_srcdir=${top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
top_builddir=${top_builddir:-$PWD}
python=${PYTHON:-python3}
rounds=${1:-5}
[ $# -eq 0 ] || shift
threads=${OMP_NUM_THREADS:-$(nproc)}
export OMP_NUM_THREADS="$threads" STARPU_FXT_TRACE=0
[ $# -gt 0 ] || set -- --batch 2 --seq 1024 --model-dim 512 --hidden 2048 --experts 8 --topk 2 \
	--capacity-factor 1.2
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

ours() { "$top_builddir/fsmoe" bench layer --device cpu --dtype fp32 --blas-threads "$threads" \
	"$@"; }
theirs() { "$python" "$top_srcdir/bench/peer/bench_ideal.py" --device cpu --dtype fp32 "$@"; }
field() { sed -n "s/.*\"$1\": {\"median\": \([^,}]*\).*/\1/p" "$tmp/$2"; }

echo "# $(date -u +%Y-%m-%dT%H:%M:%SZ), commit $(git -C "$top_srcdir" rev-parse --short HEAD \
	2>/dev/null || echo unknown)"
echo "# $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo |
	head -n 1), $(nproc) cores, $threads threads, load $(cut -d' ' -f1 /proc/loadavg)"
echo "# $("$top_builddir/fsmoe" info | sed -n 2,4p |
	tr -s ' \n' ' '); PyTorch $("$python" -c 'import torch; print(torch.__version__)')"
echo "# $*"
echo "program,ffn,round,step_ms,fwd_ms,bwd_ms,gemm_ms"
for ffn in gpt mixtral; do
	: >"$tmp/ratios"
	for round in $(seq "$rounds"); do
		ours --iters 7 --warmup 2 --ffn $ffn "$@" >"$tmp/ours"
		theirs --iters 7 --warmup 2 --ffn $ffn "$@" >"$tmp/theirs"
		for program in ours theirs; do
			echo "$program,$ffn,$round,$(field step_ms $program),$(field fwd_ms \
				$program),$(field bwd_ms $program),$(field gemm_ms $program)"
		done
		echo "$(field step_ms ours) $(field step_ms theirs)" >>"$tmp/ratios"
	done
	for column in 1 2; do
		sort -n -k$column "$tmp/ratios" | awk -v column=$column '{ v[NR] = $column }
			END { printf "%.1f %.1f %.1f\n", v[int((NR + 1) / 2)], v[1], v[NR] }' \
			>"$tmp/times-$column"
	done
	awk '{ print $1 / $2 }' "$tmp/ratios" | sort -n |
		awk -v ffn=$ffn -v o="$(cat "$tmp/times-1")" -v t="$(cat "$tmp/times-2")" '
		{ r[NR] = $1 } END { split(o, a, " "); split(t, b, " ")
		printf "# %s: ours %s ms (%s to %s), theirs %s ms (%s to %s), ", ffn,
			a[1], a[2], a[3], b[1], b[2], b[3]
		printf "ratio %.3f (%.3f to %.3f)\n", r[int((NR + 1) / 2)], r[1], r[NR] }'
	# of the last round: every operation's median over the step's
	sed 's/.*"ops_ms": {\([^}]*\)}.*/\1/' "$tmp/ours" | tr ',' '\n' | tr -d '" ' |
		awk -F: -v ffn=$ffn -v step="$(field step_ms ours)" '
		$1 ~ /^(gate|route)/ { part["gate"] += $2 }
		$1 ~ /^order/ { part["order"] += $2 }
		$1 ~ /^inverse_order/ { part["inverse order"] += $2 }
		$1 ~ /^expert/ { part["experts"] += $2 }
		$1 == "fill" { part["zeroing of gradients"] += $2 }
		END { for (p in part)
			printf "# %s: %s %.2f ms, %.1f %%\n", ffn, p, part[p],
				100 * part[p] / step }'
done
