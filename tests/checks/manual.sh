#!/usr/bin/env bash
# Every option that --help shows, of every subcommand, is in the manual page.
. "$(dirname "$0")/tree.bash"
fsmoe=$top_builddir/fsmoe
page=$src/doc/fsmoe.1
[ -e "$page" ] || page=$top_builddir/doc/fsmoe.1
[ -x "$fsmoe" ] || skip "there is no program yet"
[ -e "$page" ] || skip "there is no manual page yet"

text=$(sed -e 's/\\-/-/g' -e 's/\\f.//g' "$page")
listed()
{
	sed -n 's/^  \([a-z][a-z-]*\)  .*/\1/p'
}
commands=$("$fsmoe" --help | listed)
[ -n "$commands" ] || complain "fsmoe --help names no command"
# "bench" has commands of its own.
for command in $("$fsmoe" bench --help | listed); do
	commands+=$'\n'"bench $command"
done
while read -r command; do
	# shellcheck disable=SC2086
	for option in $("$fsmoe" help $command all 2>&1 | grep -oE -- '--[a-z][a-z0-9-]+' |
		sort -u); do
		grep -qE -- "$option([^a-z0-9-]|$)" <<<"$text" ||
			complain "fsmoe $command $option is not in ${page##*/}"
	done
done <<<"$commands"$'\n'
finish
