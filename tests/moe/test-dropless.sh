#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Without drops: rows that there are, and what slots filled up leave, on 1, 2 and 4 ranks.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=${FSMOE_MOE_TESTS:-./tests/moe}/dropless
[ -x "$program" ] || { echo "there is no $program"; exit 77; }
command -v mpirun >/dev/null || { echo "there is no mpirun"; exit 77; }

status=0
for job in "1 1" "2 1" "2 2" "4 2"; do
	# shellcheck disable=SC2086
	set -- $job
	"$here/../lib/mpi-run" "$1" "$program" "$2" ||
		{ echo "FAIL: $1 ranks on $2 nodes"; status=1; }
done
exit $status
