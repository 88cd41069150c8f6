#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh [OUTDIR [OPTION...]]: measures every schedule beside its prediction (schedules.csv), and
# the plan of the schedule fsmoe under the policy fsmoe and under StarPU's own policies
# (policies.csv), on four ranks as two nodes. Options are those of 'fsmoe profile' for model, layout
# and machine; default: --preset quickstart. Wants a quiet machine with a core for every rank.
# ROUNDS (15): steps of each in a process.
#
# StarPU starts with one policy, so policies take turns as processes: PASSES passes over all of
# them, each starting with another policy, one line per pass and policy. The table shows medians.
set -e
top_srcdir=${top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
top_builddir=${top_builddir:-$PWD}
out=${1:-$top_builddir/bench/schedule/results}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- --preset quickstart
fsmoe=$top_builddir/fsmoe
passes=${PASSES:-5}
rounds=${ROUNDS:-15}
policies='fsmoe eager prio lws dmda'
mkdir -p "$out"
export STARPU_FXT_TRACE=0
: "${FSMOE_MPI_TIMEOUT:=600}"
export FSMOE_MPI_TIMEOUT

ranks()
{
	"$top_srcdir/tests/lib/mpi-run" 4 "$fsmoe" "$@"
}

header()
{
	echo "# $(date -u +%Y-%m-%dT%H:%M:%SZ), commit $(git -C "$top_srcdir" rev-parse \
		--short HEAD 2>/dev/null || echo unknown)"
	echo "# $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo |
		head -n 1), $(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg)"
	echo "# fsmoe bench schedule --nodes 2 $*"
}

# The program writes the names of the columns into an empty file.
collect()
{
	{ header "$@"; cat "$out/part.csv"; } >"$out/$csv"
	rm -f "$out/part.csv"
}

rm -f "$out/part.csv"
ranks profile --nodes 2 --out "$out/profile.json" "$@" >"$out/profile.txt"
csv=schedules.csv
ranks bench schedule --nodes 2 --profile "$out/profile.json" --csv "$out/part.csv" \
	--rounds "$rounds" "$@" >"$out/schedules.txt"
cat "$out/schedules.txt"
collect "$@"

csv=policies.csv
pass=0
while [ $pass -lt "$passes" ]; do
	for policy in $policies; do
		ranks bench schedule --nodes 2 --profile "$out/profile.json" --schedule fsmoe \
			--starpu-sched "$policy" --csv "$out/part.csv" --rounds "$rounds" \
			"$@" >/dev/null
	done
	policies=${policies#* }\ ${policies%% *}
	pass=$((pass + 1))
done
collect "$@"
awk -F, -f "$top_srcdir/bench/schedule/table.awk" "$out/policies.csv"
echo "results in $out"
