#!/usr/bin/env bash
# Data that cannot be trained on: one sentence, exit code 3.
. "$(dirname "$0")/cli.bash"

train() { expect 3 "$1" "$fsmoe" train --data "${@:2}"; }
train "cannot read the data $work/absent: No such file or directory" "$work/absent"
train "no file matches the pattern" "$work/*.absent"
: >"$work/empty"
train "the data $work/empty is empty" "$work/empty"
printf 'short' >"$work/short"
train "the data is too short: the training part has 5 bytes" "$work/short"
train "is not a regular file" /dev/null
mkdir "$work/folder"
train "'DIR/*.txt'" "$work/folder"
printf '\377' | cat - "$text" >"$work/binary"
train "token 255, byte 0 of $work/binary, is not in the vocabulary of 128" "$work/binary" --vocab 128

train "the held-out part has" "$text" --val-fraction 0.00001 --val-every 1
train "cannot read the data $work/absent" "$text" --val "$work/absent"
# Token files: a header that is wrong, a token that is too large.
printf '\210\330\064\001\001\000\000\000\377\000\000\000' >"$work/llmc.bin"
train "ends before byte 1024" "$work/llmc.bin"
head -c 2000 /dev/zero >>"$work/llmc.bin"
train "its header says 255 tokens of 2 bytes" "$work/llmc.bin"
{ head -c 2000 /dev/zero; printf '\000\002'; } >"$work/gpt.bin"
train "token 512, byte 2000 of $work/gpt.bin, is not in the vocabulary of 256" "$work/gpt.bin"
train "is no whole number of uint16" "$work/binary" --data-format uint16

chmod 755 "$work"
cp "$text" "$work/secret"
chmod 0 "$work/secret"
if $nobody "$fsmoe" --version >/dev/null 2>&1 && ! $nobody test -r "$work/secret"; then
	expect 3 "cannot read the data $work/secret: Permission denied" $nobody \
		"$fsmoe" train --data "$work/secret"
else
	echo "not checked: nobody may not run $fsmoe (tests/base/data reads an unreadable file)"
fi

# All ranks fail, one says it; and none waits for the others.
expect 3 "the data $work/empty is empty" $ranks 4 "$fsmoe" train --data "$work/empty"
# Only the last rank's data is missing.
cat >"$work/uneven" <<-'END'
	#!/bin/sh
	[ "$OMPI_COMM_WORLD_RANK" != 1 ] || set -- "$1" "$2.absent"
	exec "$0.fsmoe" train "$@"
END
ln -s "$(realpath "$fsmoe")" "$work/uneven.fsmoe"
chmod +x "$work/uneven"
expect 3 "fsmoe[1]: error: cannot read the data $text.absent" \
	$ranks 2 "$work/uneven" --data "$text"
finish
