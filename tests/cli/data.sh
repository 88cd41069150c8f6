#!/usr/bin/env bash
# Unusable data: one sentence, exit code 3.
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
train "token 255, byte 0 of $work/binary, is not in the vocabulary of 128" "$work/binary" \
	--vocab-size 128

train "the held-out part has" "$text" --val-fraction 0.00001 --val-every 1
train "cannot read the data $work/absent" "$text" --val "$work/absent"
# Token files: a wrong header, a token outside the vocabulary.
printf '\210\330\064\001\001\000\000\000\377\000\000\000' >"$work/llmc.bin"
train "ends before byte 1024" "$work/llmc.bin"
head -c 2000 /dev/zero >>"$work/llmc.bin"
train "its header says 255 tokens of 2 bytes" "$work/llmc.bin"
{ head -c 2000 /dev/zero; printf '\000\002'; } >"$work/gpt.bin"
train "token 512, byte 2000 of $work/gpt.bin, is not in the vocabulary of 256" "$work/gpt.bin"
train "is no whole number of uint16" "$work/binary" --data-format uint16

# A file of more than 2^26 bytes is not checked at the start. It has zeros, and in the middle tokens
# outside the vocabulary. The run continues until it reads one, on one rank and on four.
truncate -s 80M "$work/large.bin"
head -c 2M /dev/zero | tr '\0' '\377' |
	dd of="$work/large.bin" bs=1M seek=38 conv=notrunc iflag=fullblock status=none
for launch in "" "$ranks 4"; do
	expect 3 "token 65535, byte 39910152 of" $launch "$fsmoe" train --preset tiny \
		--data "$work/large.bin" --global-batch 4 --steps 1000 --seed 6 --log-every 1
	grep -q "^step   14/1000" "$work/out" ||
		complain "it should have met it late" ${launch:-one rank}
	grep -q "of $work/large.bin, is not in the vocabulary of 256" "$work/err" ||
		complain "no file is named" ${launch:-one rank}
done

# Checksums beside the data, of a text and of tokens.
expect 0 "" "$fsmoe" checksum "$text" --data "$work/large.bin"
[ "$(wc -l <"$work/out")" -eq 2 ] || complain "a line a file" checksum
grep -qx "[0-9a-f]\{8\} $(stat -c %s "$text") text" "$text.crc32c" ||
	complain "what it wrote" checksum
expect 0 "" "$fsmoe" train --preset tiny --data "$text*" --global-batch 4 --steps 1 --quiet
train "token 65535, byte 39845888 of $work/large.bin" "$work/large.bin"
printf 'l' | dd of="$text" bs=1 seek=1500 conv=notrunc status=none
train "the data $text is damaged, its CRC32C is" "$text"
expect 0 "" $ranks 2 "$fsmoe" checksum "$text"
[ "$(wc -l <"$work/out")" -eq 1 ] || complain "once, however many ranks" checksum
truncate -s -1 "$text"
train "its checksum is of" "$text"
echo "00000000 1 other" >"$text.crc32c"
train "$text.crc32c is damaged, or of another file" "$text"
rm "$text.crc32c" "$work/large.bin"*
expect 3 "cannot read the data $work/absent" "$fsmoe" checksum "$work/absent"
expect 2 "fsmoe checksum FILE..." "$fsmoe" checksum
expect 1 "cannot write /proc/version.crc32c" "$fsmoe" checksum /proc/version

chmod 755 "$work"
cp "$text" "$work/secret"
chmod 0 "$work/secret"
if $nobody "$fsmoe" --version >/dev/null 2>&1 && ! $nobody test -r "$work/secret"; then
	expect 3 "cannot read the data $work/secret: Permission denied" $nobody \
		"$fsmoe" train --data "$work/secret"
else
	echo "not checked: nobody may not run $fsmoe (tests/data/windows reads an unreadable file)"
fi

# All ranks fail, one reports it, and none waits for the others.
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
