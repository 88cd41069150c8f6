#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh [OUTDIR]: measures the cost of StarPU. Writes step.csv, record.csv, tasks.csv, idle.csv and
# tasks.svg; the CSV files name commit, machine and versions in comment lines. Takes two minutes;
# wants a quiet machine.
set -e
top_srcdir=${top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
top_builddir=${top_builddir:-$PWD}
out=${1:-$top_builddir/bench/overhead/results}
program=$top_builddir/bench/overhead/overhead
mkdir -p "$out"
export STARPU_FXT_TRACE=0

header()
{
	echo "# $(date -u +%Y-%m-%dT%H:%M:%SZ), commit $(git -C "$top_srcdir" rev-parse \
		--short HEAD 2>/dev/null || echo unknown)"
	echo "# $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo |
		head -n 1), $(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg)"
	echo "# $("$top_builddir/fsmoe" info | sed -n 2,4p | tr -s ' \n' ' ')"
}

{ header; "$program" step 21; } >"$out/step.csv"
{ header; "$program" record 31; } >"$out/record.csv"
{ header; "$program" tasks; } >"$out/tasks.csv"
{ header; "$top_srcdir/tests/lib/mpi-run" 4 "$program" idle 5; } >"$out/idle.csv"
awk -f "$top_srcdir/bench/overhead/plot.awk" "$out/tasks.csv" >"$out/tasks.svg"
tail -n 1 "$out/idle.csv" |
	awk -F, '{ printf "four waiting ranks: %.1f %% of one core\n", 100 * $4 }'
echo "results in $out"
