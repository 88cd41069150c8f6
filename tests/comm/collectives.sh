#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every collective over every kind of group, on one to four ranks, one node and two.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
run=$here/../lib/mpi-run
folder=${FSMOE_COMM_TESTS:-./tests/comm}
program=$folder/mpi
[ -x "$program" ] || { echo "there is no $program" >&2; exit 99; }
command -v mpirun >/dev/null || { echo "there is no mpirun"; exit 77; }

status=0
for job in 1 2 3 4 "2 2" "4 2" "4 4" "3 3"; do
	# shellcheck disable=SC2086
	set -- $job
	"$run" "$1" "$program" ${2:+"$2"} || { echo "FAIL: $1 ranks${2:+ on $2 nodes}"; status=1; }
done

"$run" 4 "$program" 2 slow || { echo "FAIL: an emulated link"; status=1; }
"$run" 4 "$folder/emulated_link" || { echo "FAIL: how long messages take on an emulated link";
	status=1; }
"$run" 3 "$folder/pieces" 1 || { echo "FAIL: messages in pieces"; status=1; }
for level in multiple single; do
	"$run" 2 "$folder/foreign-mpi" $level || { echo "FAIL: MPI of another: $level"; status=1; }
done

# Without a launcher there is no MPI, and one rank.
env -u OMPI_COMM_WORLD_SIZE -u PMIX_RANK -u PMI_RANK -u PMI_SIZE -u PMI_FD -u PMI_PORT "$program" ||
	{ echo "FAIL: alone"; status=1; }
exit $status
