#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The walkers agree on the training step itself, on one rank and on four as 1x4, 2x2 and 4x1.
set -e
program=$top_builddir/tests/train/step
"$program"
for nodes in 1 2 4; do
	"$top_srcdir/tests/lib/mpi-run" 4 "$program" $nodes
done
