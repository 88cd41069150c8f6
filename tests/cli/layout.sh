#!/usr/bin/env bash
# Machines and layouts that do not fit: one sentence, exit code 4.
. "$(dirname "$0")/cli.bash"

# Synthetic machines.
expect 0 "" "$fsmoe" info --machine 'node:6 gpu:8'
grep -q '48 ranks on 6 nodes' "$work/out" || complain "48 ranks on 6 nodes are missing" info
expect 0 "" "$fsmoe" info --machine 'node:2 gpu:4' --tp 2 --ep 4 --esp 1 --json
grep -q '"nodes": 2' "$work/out" || complain "no JSON" info
expect 4 "nod" "$fsmoe" info --machine 'nod:6 gpu:8'
expect 4 "gpu" "$fsmoe" info --machine 'node:6 gpu:'
expect 4 "tp" "$fsmoe" info --machine 'node:2 gpu:3' --tp 4
expect 4 "$work/absent" "$fsmoe" info --machine "file:$work/absent"

# Layouts that the ranks cannot tile: every rank ends in order, and one reports it.
train4() { expect 4 "$1" $ranks 4 "$fsmoe" train --preset tiny --data "$text" "${@:2}"; }
train4 "nodes" --nodes 3
train4 "dp 2 times tp 3 is not the number of ranks, 4" --nodes 2 --tp 3
train4 "experts = 6 is not a multiple of expert-parallel ranks = 4" --experts 6 --ep 4 --esp 1
train4 "heads = 2 is not a multiple of tensor-parallel ranks = 4" --heads 2 --tp 4
train4 "cannot be shared by 4 data-parallel ranks: --global-batch must be a multiple of 4" --tp 1 \
	--global-batch 6
# Four terabytes are refused before anything is allocated.
expect 4 "of its memory, of which" "$fsmoe" train --preset tiny --data "$text" --nodes 1 \
	--global-batch 16777216
finish
