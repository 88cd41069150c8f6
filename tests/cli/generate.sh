#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Generation from a checkpoint: the same text on one rank and on four, bytes and token numbers.
. "$(dirname "$0")/cli.bash"

expect 0 "" "$fsmoe" train --preset tiny --data "$text" --steps 150 --global-batch 8 --lr 1e-2 \
	--log-every 50 --checkpoint "$work/ck"
generate() { "$fsmoe" generate --checkpoint "$work/ck" --length 40 "$@"; }

generate --prompt "Line 1" >"$work/a"
generate --prompt "Line 1" >"$work/b"
[ "$(wc -c <"$work/a")" -eq 47 ] || complain "not 6 + 40 bytes and a newline" generate
grep -q '^Line 1' "$work/a" || complain "the prompt comes first" generate
cmp -s "$work/a" "$work/b" || complain "the same seed, another text" generate
generate --prompt "Line 1" --seed 5 --temperature 1.5 >"$work/c"
cmp -s "$work/a" "$work/c" && complain "another seed, the same text" generate

# The likeliest tokens do not depend on the layout.
generate --prompt "Line 1" --temperature 0 >"$work/a"
expect 0 "" $ranks 4 "$fsmoe" generate --checkpoint "$work/ck" --length 40 --prompt "Line 1" \
	--temperature 0 --nodes 2
cmp -s "$work/a" "$work/out" || complain "another text on four ranks" generate
generate --prompt "Line 1" --top-k 1 >"$work/b"
cmp -s "$work/a" "$work/b" || complain "--top-k 1 is not the likeliest" generate

expect 3 "$work/absent" "$fsmoe" generate --checkpoint "$work/absent"
expect 2 "--prompt is empty" "$fsmoe" generate --checkpoint "$work/ck" --prompt ""
expect 4 "is not a multiple of" $ranks 3 "$fsmoe" generate --checkpoint "$work/ck"

# A model that fills in masked tokens sees whole sequences: it cannot continue a text.
expect 0 "" "$fsmoe" train --preset tiny --data "$text" --steps 2 --global-batch 8 \
	--objective masked --checkpoint "$work/ck3"
expect 3 "fills in masked tokens and cannot go on with a text" "$fsmoe" generate \
	--checkpoint "$work/ck3"

# Token numbers, with a vocabulary larger than bytes.
for _ in $(seq 300); do printf '\001\002\002\002\003\002'; done >"$work/tokens.bin"
expect 0 "" "$fsmoe" train --preset tiny --vocab-size 1000 --data "$work/tokens.bin" --steps 300 \
	--warmup-steps 50 --global-batch 8 --lr 3e-3 --log-every 50 --checkpoint "$work/ck2"
expect 0 "" "$fsmoe" generate --checkpoint "$work/ck2" --prompt "513 514" --length 4 --temperature 0
[ "$(cat "$work/out")" = "513 514 515 513 514 515 " ] ||
	complain "it did not learn 513 514 515" generate
expect 2 "'1000' is no token number below 1000" "$fsmoe" generate --checkpoint "$work/ck2" \
	--prompt "1 1000"
finish
