#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The event recorder, on one rank and on four as 2x2.
set -e
program=$top_builddir/tests/runtime/record
"$program"
"$top_srcdir/tests/lib/mpi-run" 4 "$program" 2
