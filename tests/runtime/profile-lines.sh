#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# StarPU's performance models are the profile's lines, on one rank and on four as 2x2.
set -e
program=$top_builddir/tests/runtime/models
"$program"
"$top_srcdir/tests/lib/mpi-run" 4 "$program" 2
