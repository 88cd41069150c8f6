#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# One global batch on 1, 2 and 4 ranks, as 1x4, 2x2 and 4x1 nodes x devices, gives the same losses
# and the same gradients.
set -e
run=$top_srcdir/tests/lib/mpi-run
program=$top_builddir/tests/train/layouts
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

layout()
{
	mkdir "$tmp/$1x$2"
	"$run" $(($1 * $2)) "$program" run "$tmp/$1x$2" "$1"
}

layout 1 1
layout 1 2
layout 2 1
layout 1 4
layout 2 2
layout 4 1
"$program" compare "$tmp/1x1" "$tmp/1x2" "$tmp/2x1" "$tmp/1x4" "$tmp/2x2" "$tmp/4x1"
