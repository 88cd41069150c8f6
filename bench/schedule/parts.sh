#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# parts.sh [PRESET [BATCH]]: compares ds-moe's step with the sum of its parts measured alone, on
# four ranks as two nodes, PASSES (3) times with ROUNDS (15) rounds. Wants a quiet machine with a
# core for every rank. The ratio should be within 5 % of 1.
set -e
top_srcdir=${top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
top_builddir=${top_builddir:-$PWD}
: "${FSMOE_MPI_TIMEOUT:=600}"
export FSMOE_MPI_TIMEOUT
export STARPU_FXT_TRACE=0

echo "# $(date -u +%Y-%m-%dT%H:%M:%SZ), commit $(git -C "$top_srcdir" rev-parse --short HEAD \
	2>/dev/null || echo unknown)"
echo "# $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo |
	head -n 1), $(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg)"
pass=0
while [ $pass -lt "${PASSES:-3}" ]; do
	"$top_srcdir/tests/lib/mpi-run" 4 "$top_builddir/bench/schedule/parts" 2 "${2:-32}" \
		"${ROUNDS:-15}" "${1:-quickstart}"
	pass=$((pass + 1))
done
