#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Four ranks on a host that StarPU has not seen yet, and again: none reads what another one is
# writing about it.
set -e
program=$top_builddir/tests/train/finite
for trial in 1 2 3 4; do
	STARPU_HOME=$TMPDIR/home.$trial
	export STARPU_HOME
	mkdir "$STARPU_HOME"
	"$top_srcdir/tests/lib/mpi-run" 4 "$program" 2
	[ -n "$(find "$STARPU_HOME" -name '*.affinity')" ] ||
		{ echo "nothing was measured"; exit 1; }
	"$top_srcdir/tests/lib/mpi-run" 4 "$program" 2
done
