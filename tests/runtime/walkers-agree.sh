#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Execute, submit and simulate agree on random graphs: one rank, and four as two nodes.
set -e
program=$top_builddir/tests/runtime/walkers
"$program"
"$top_srcdir/tests/lib/mpi-run" 4 "$program" 2
STARPU_SCHED=lws "$program"
