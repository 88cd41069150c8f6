#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Four ranks train until the disk is full (a file system of their own that holds two or three
# checkpoints): that is said, training goes on, older checkpoints are whole, and there is a next
# save when there is room again.
. "$top_srcdir/tests/cli/cli.bash"

# In a mount namespace of its own, which nobody else sees and which ends with it.
if [ -z "${FSMOE_INSIDE-}" ]; then
	unshare -m true 2>/dev/null || { echo "skipped: no mount namespaces for this user";
		exit 77; }
	FSMOE_INSIDE=1 exec unshare -m bash "$0"
fi
disk=$work/disk
mkdir "$disk"
trap 'umount "$disk" 2>/dev/null; rm -rf "$work"' EXIT
mount -t tmpfs -o size=700k none "$disk" 2>/dev/null ||
	{ echo "skipped: nothing can be mounted"; exit 77; }

run=(--preset tiny --data "$text" --val-fraction 0 --checkpoint "$disk/ck" --quiet)
# shellcheck disable=SC2206
train=($ranks 4 "$fsmoe" train --nodes 2 "${run[@]}")
timeout 100 "${train[@]}" --steps 8 --checkpoint-every 1 --keep-checkpoints 99 \
	--metrics "$work/metrics" >"$work/out" 2>"$work/err"
status=$?
full=$(grep -c 'warning: cannot write .*: No space left on device; training goes on$' "$work/err")
[ "$full" -ge 1 ] || complain "a full disk is not said" "${train[@]}"
# The last save is no periodic one: that it failed is a failure, after the last step.
[ $status -eq 1 ] || complain "exit code $status" "${train[@]}"
grep -q 'error: cannot write .*: No space left on device$' "$work/err" ||
	complain "the last save" "${train[@]}"
[ "$(wc -l <"$work/metrics")" -eq 8 ] || complain "training did not go on" "${train[@]}"
last=$(cat "$disk/ck/latest")
[ "$last" = "step-00000$((7 - full))" ] ||
	complain "latest is $last after $full failures" "${train[@]}"
[ -z "$(find "$disk/ck" -name '.*')" ] || complain "half a checkpoint is left" "${train[@]}"
sed -n 's/^/  /p' "$work/err" | head -n 1

# Every one that is there is whole; with room, it goes on from the last and saves.
for ck in "$disk"/ck/step-*; do
	expect 0 "" "$fsmoe" train "${run[@]}" --resume "$ck" --checkpoint "$work/else" --steps 8
done
rm -r "$disk/ck/step-000001"
expect 0 "" "${train[@]}" --steps 8 --keep-checkpoints 1 --resume latest
[ "$(cat "$disk/ck/latest")" = step-000008 ] || complain "not saved with room" "${train[@]}"
finish
