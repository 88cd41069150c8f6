#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The tokens' experts and the drops depend neither on the layout nor on how layers are cut.
set -e
run=$top_srcdir/tests/lib/mpi-run
program=$top_builddir/tests/moe/decisions
tmp=$(mktemp -d "${TMPDIR:-/tmp}/fsmoe-decisions.XXXXXX")
trap 'rm -rf "$tmp"' EXIT

# decide NODES DEVICES FORWARD BACKWARD
decide()
{
	rm -rf "$tmp/ranks"
	mkdir "$tmp/ranks"
	"$run" $(($1 * $2)) "$program" "$tmp/ranks" "$1" "$3" "$4"
	sort "$tmp"/ranks/rank.* >"$tmp/$1x$2-$3-$4"
}

decide 1 4 1 1
decide 2 2 1 1
decide 4 1 1 1
decide 2 2 2 3
decide 4 1 4 2
for other in 2x2-1-1 4x1-1-1 2x2-2-3 4x1-4-2; do
	cmp "$tmp/1x4-1-1" "$tmp/$other"
done
echo "$(grep -c . "$tmp/1x4-1-1") choices, $(grep -c -- '-1$' "$tmp/1x4-1-1") without a slot"
grep -q '^topk.* -1$' "$tmp/1x4-1-1" # somebody was dropped, or this shows little
