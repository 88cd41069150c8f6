#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every example, on one rank, and those that use MPI on four; the loss of a step must not depend
# on the ranks.
set -e
cd "$top_builddir/examples"
mpi="$top_srcdir/tests/lib/mpi-run"
./01_graph | tail -n 2
./02_moe_layer
"$mpi" 4 ./02_moe_layer 2
./03_own_model >"$TMPDIR/one"
"$mpi" 4 ./03_own_model 2 >"$TMPDIR/four"
cat "$TMPDIR/four"
# the first lines agree to four digits
for f in one four; do sed -n 1p "$TMPDIR/$f" | cut -c1-22 >"$TMPDIR/$f.cut"; done
cmp "$TMPDIR/one.cut" "$TMPDIR/four.cut"
./04_policy
for module in 05_custom_gate 06_custom_expert 07_custom_dispatch 08_hooks; do
	./$module >"$TMPDIR/one"
	"$mpi" 4 ./$module 2 >"$TMPDIR/four"
	cat "$TMPDIR/one" "$TMPDIR/four"
	for f in one four; do cut -c1-10 "$TMPDIR/$f" >"$TMPDIR/$f.cut"; done
	cmp "$TMPDIR/one.cut" "$TMPDIR/four.cut"
done
