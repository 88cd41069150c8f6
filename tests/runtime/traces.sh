#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# StarPU's traces of one rank and of two, and of what cannot be traced.
set -e
program=$top_builddir/tests/runtime/trace
"$program" "$TMPDIR/one"
"$top_srcdir/tests/lib/mpi-run" 2 "$program" "$TMPDIR/two/deep" 2
