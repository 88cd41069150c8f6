#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# dropless.sh [ROUNDS [OPTION...]]: times a dropless MoE layer in turn with one of capacity factor E
# / k, which has as many slots and fills up empty ones: equal values, on one rank and on four.
# Prints CSV: a line per run, then comments with medians and ratios.
set -e
top_srcdir=${top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
top_builddir=${top_builddir:-$PWD}
rounds=${1:-5}
[ $# -eq 0 ] || shift
experts=8 topk=2
[ $# -gt 0 ] || set -- --batch 1 --seq 512 --model-dim 256 --hidden 512
export STARPU_FXT_TRACE=0
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# layer RANKS FACTOR SKEW OPTION...
layer()
{
	ranks=$1 factor=$2 skew=$3
	shift 3
	"$top_srcdir/tests/lib/mpi-run" "$ranks" "${FSMOE:-$top_builddir/fsmoe}" bench layer \
		--device cpu \
		--experts $experts --topk $topk --capacity-factor "$factor" --skew "$skew" \
		--iters 7 \
		--warmup 2 --nodes $(((ranks + 1) / 2)) "$@" |
		sed -n 's/.*"step_ms": {"median": \([^,}]*\).*/\1/p'
}

echo "# $(date -u +%Y-%m-%dT%H:%M:%SZ), commit $(git -C "$top_srcdir" rev-parse --short HEAD \
	2>/dev/null || echo unknown)"
echo "# $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo |
	head -n 1), $(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg)"
echo "# --experts $experts --topk $topk $*"
echo "ranks,cuts,skew,round,rows_ms,filled_ms"
for ranks in 1 4; do
	for cuts in 1 2; do
		for skew in 0 1; do
			: >"$tmp/runs"
			for round in $(seq "$rounds"); do
				a=$(layer $ranks 0 $skew --cuts $cuts "$@")
				b=$(layer $ranks $((experts / topk)) $skew --cuts $cuts "$@")
				echo "$ranks,$cuts,$skew,$round,$a,$b" | tee -a "$tmp/runs"
			done
			setting="# $ranks ranks, $cuts chunks, skew $skew"
			for column in '$5' '$6' '$5 / $6'; do
				awk -F, "{ print $column }" "$tmp/runs" | sort -n |
					awk '{ v[NR] = $1 } END {
						printf "%.3g (%.3g to %.3g)\n",
							v[int((NR + 1) / 2)], v[1], v[NR] }'
			done | paste -sd, |
				sed "s/^/$setting: rows, filled, ratio: /"
		done
	done
done
