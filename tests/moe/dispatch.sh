#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every dispatch leaves the bits of `flat`, on nodes of two and three ranks.
. "$(dirname "$0")/layouts.bash"
on_layouts dispatch-ranks "4 2" "6 2" "6 3" "8 2"
# Training under StarPU leaves them too: every number of the metrics but the times.
fsmoe=${top_builddir:-.}/fsmoe
work=$(mktemp -d "${TMPDIR:-/tmp}/fsmoe-dispatch.XXXXXX")
trap 'rm -rf "$work"' EXIT
for dispatch in flat 1dh 2dh; do
	"$here/../lib/mpi-run" 4 "$fsmoe" train --preset tiny --data "$here/dispatch.sh" \
		--steps 5 --global-batch 8 --nodes 2 --tp 1 --ep 4 --esp 1 --forward-degree 2 \
		--backward-degree 3 --quiet --dispatch "$dispatch" --metrics "$work/metrics" ||
		status=1
	sed -E 's/"(ms|val_ms|tokens_per_s)": [0-9.]+,?//g' "$work/metrics" >"$work/$dispatch"
	cmp "$work/flat" "$work/$dispatch" || { echo "FAIL: training with $dispatch"; status=1; }
done
[ "$(wc -l <"$work/2dh")" -ge 5 ] || { echo "FAIL: there are no metrics"; status=1; }
exit $status
