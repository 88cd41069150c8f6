#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A checkpoint of four ranks as 2x2 read by 1, 2 and 4 ranks as other layouts: what they write is
# byte for byte the same (every tensor, moments included), and the next ten losses are bit-equal to
# an unbroken run on the same layout, equal up to rounding on others.
run=$top_srcdir/tests/lib/mpi-run
program=$top_builddir/tests/checkpoint/ranks
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
bad=0

fail()
{
	echo "FAIL: $*"
	bad=1
}

# ranks nodes from to steps >losses
train()
{
	"$run" "$1" "$program" train "$2" "$3" "$4" "$5"
}

same() # folder folder
{
	local file
	for file in model.safetensors optimizer.safetensors; do
		cmp "$1/$file" "$2/$file" || fail "$1 and $2 differ in $file"
	done
}

# Before the first step the tensors are a function of the seed alone.
train 4 2 - "$tmp/a" 5 >"$tmp/a.losses" || fail "train"
train 1 1 - "$tmp/alone" 0 || fail "save alone"
same "$tmp/a/step-000000" "$tmp/alone/step-000000"
[ "$(cat "$tmp/a/latest")" = step-000005 ] || fail "latest is $(cat "$tmp/a/latest")"

train 4 2 - - 15 >"$tmp/unbroken" || fail "unbroken"
tail -n 10 "$tmp/unbroken" >"$tmp/expected"
for layout in "4 2" "1 1" "2 1" "2 2" "4 1" "4 4"; do
	set -- $layout
	name=$1on$2
	train "$1" "$2" "$tmp/a" "$tmp/$name" 10 >"$tmp/losses" || fail "resume on $layout"
	same "$tmp/a/step-000005" "$tmp/$name/step-000005"
	if [ "$layout" = "4 2" ]; then
		diff "$tmp/expected" "$tmp/losses" ||
			fail "resumed losses are not the unbroken run's"
	fi
	# Two columns of three: step and loss; relative difference at most 1e-4.
	paste "$tmp/expected" "$tmp/losses" | awk -v name="$name" '
		$1 != $4 { bad = 1 }
		{ d = ($3 - $6) / $3; if (d < 0) d = -d; if (d > most) most = d }
		END { printf "%s: %d losses, largest relative difference %.2e\n", name, NR, most
			exit bad || NR != 10 || most > 1e-4 }' || fail "losses on $layout"
done
# The way back: a checkpoint of another layout is read on the first one.
train 4 2 "$tmp/1on1" "$tmp/back" 0 || fail "back"
same "$tmp/1on1/step-000015" "$tmp/back/step-000015"

# refused PATTERN: every rank ends with that sentence.
refused()
{
	[ "$status" -ne 0 ] && [ "$status" -ne 124 ] && grep -q "$1" "$tmp/refused" ||
		{ fail "status $status, not: $1"; cat "$tmp/refused"; }
}

# A damaged tensor is refused by all ranks, though only some of them read it.
file=$tmp/back/step-000015/model.safetensors
printf '\377' | dd of="$file" bs=1 seek=$(($(stat -c %s "$file") - 5)) conv=notrunc 2>/dev/null
train 4 2 "$tmp/back" - 1 >"$tmp/refused" 2>&1
status=$?
refused 'is damaged: its bytes do not have their checksum'

# Ranks that write into different folders under one name are as ranks without a shared file system.
mkdir "$tmp/0" "$tmp/1"
# shellcheck disable=SC2016
"$run" 2 sh -c 'cd "$1/${OMPI_COMM_WORLD_RANK:-$PMI_RANK}" && exec "$2" train 1 - here 0' \
	sh "$tmp" "$(realpath "$program")" >"$tmp/refused" 2>&1
status=$?
refused 'does not see the folder here/.step-000000.part that rank 0 made: checkpoints must be on'
[ -z "$(ls -A "$tmp/0/here")" ] || fail "left behind: $(ls -A "$tmp/0/here")"
exit $bad
