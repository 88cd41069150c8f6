#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A loss that is no number, on one rank and on four.
set -e
program=$top_builddir/tests/train/finite
"$program"
"$top_srcdir/tests/lib/mpi-run" 4 "$program" 2
"$top_srcdir/tests/lib/mpi-run" 4 "$program" 4
