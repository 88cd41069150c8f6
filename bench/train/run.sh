#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# run.sh [OUTDIR [STEPS]]: prints the throughput of the default run and where the cores' time goes,
# as two Markdown tables, kept in OUTDIR/train.md. It starts four ranks as `./quickstart train`
# does, without held-out data. Takes two minutes; wants a quiet machine. The second table needs perf
# and the right to sample one's own processes.
set -e
top_srcdir=${top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
top_builddir=${top_builddir:-$PWD}
out=${1:-$top_builddir/bench/train/results}
steps=${2:-300}
data=${DATA:-/usr/share/games/fortunes}
warm=$((steps / 3)) # steps that do not count
fsmoe=$top_builddir/fsmoe
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$out"

train() # metrics
{
	STARPU_FXT_TRACE=0 mpirun -np 4 --oversubscribe --bind-to none \
		$([ "$(id -u)" -ne 0 ] || echo --allow-run-as-root) \
		"$fsmoe" train --preset quickstart --nodes 2 --data "$data" --val-fraction 0 \
		--val-every 0 --steps "$steps" --metrics "$1" --quiet
}

# The table of throughput, from the steps after the first ones of several runs.
throughput()
{
	local file n='\([0-9.]*\)'
	echo "| run | ms a step: median | 10 % | 90 % | tokens/s |"
	echo "| --- | --- | --- | --- | --- |"
	for file in "$@"; do
		sed -n "s/.*\"step\": $n, \"loss\".*\"ms\": $n, \"tokens\": $n,.*/\1 \2 \3/p" \
			"$file" |
			awk -v warm="$warm" '$1 > warm { print $2, $3 }' | sort -n |
			awk -v run="${file##*.}" '{ ms[NR] = $1; tokens = $2 }
				function at(q) { return ms[int(1 + q * (NR - 1) + 0.5)] }
				END { printf "| %s | %.1f | %.1f | %.1f | %.0f |\n", run, at(0.5),
					at(0.1), at(0.9), 1000 * tokens / at(0.5) }'
	done
}

# Samples of the processor, told apart by what runs: "seconds: address symbol (object)".
where()
{
	nm "$top_builddir"/.libs/libkernels_f32.a "$top_builddir"/libkernels_f32.a 2>/dev/null |
		awk '$2 ~ /^[tT]$/ { print $3 }' | sort -u >"$tmp/kernels"
	perf script -i "$1" -F time,ip,sym,dso 2>/dev/null |
		awk -v cores="$(nproc)" -v hertz="$hertz" -f "$top_srcdir/bench/train/where.awk" \
		"$tmp/kernels" -
}

report()
{
	echo "<!-- $(date -u +%Y-%m-%dT%H:%M:%SZ), commit $(git -C "$top_srcdir" rev-parse \
		--short HEAD 2>/dev/null || echo unknown) -->"
	echo "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo |
		head -n 1), $(nproc) cores, load before $load;" \
		"$("$fsmoe" info | sed -n 2,4p | tr -s ' \n' ' ')"
	echo
	throughput "$tmp"/metrics.[0-9]
	echo
	[ ! -s "$tmp/perf.data" ] || where "$tmp/perf.data"
}

hertz=499
load=$(cut -d' ' -f1 /proc/loadavg)
[ "${load%.*}" -eq 0 ] || echo "run.sh: the load is $load already: wait for a quiet machine" >&2
for run in 1 2 3; do
	train "$tmp/metrics.$run"
done
# Not the start: it is a few seconds.
if perf record -e cpu-clock -F $hertz -D 6000 -o "$tmp/perf.data" -- true >/dev/null 2>&1; then
	perf record -e cpu-clock -F $hertz -D 6000 -o "$tmp/perf.data" -- \
		bash -c \
		"$(declare -f train); fsmoe=$fsmoe data=$data steps=$steps; train $tmp/sampled" \
		>/dev/null 2>"$tmp/perf.err" || cat "$tmp/perf.err" >&2
else
	rm -f "$tmp/perf.data"
	echo "perf cannot sample here: no second table" >&2
fi
report | tee "$out/train.md"
