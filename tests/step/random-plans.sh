#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A hundred random plans on four ranks, most of them as 2 nodes of 2. PLANS and SEED choose others.
set -e
mpi="$top_srcdir/tests/lib/mpi-run"
program=$top_builddir/tests/step/plans
"$mpi" 4 "$program" "${PLANS:-80}" "${SEED:-1}" 2
"$mpi" 4 "$program" 10 "${SEED:-1001}" 1
"$mpi" 4 "$program" 10 "${SEED:-2001}" 4
