#!/usr/bin/env bash
# Every option that --help shows, of every subcommand, is in the manual page.
. "$(dirname "$0")/tree.bash"
fsmoe=$top_builddir/fsmoe
page=$src/doc/fsmoe.1
[ -e "$page" ] || page=$top_builddir/doc/fsmoe.1
[ -x "$fsmoe" ] || skip "there is no program yet"
[ -e "$page" ] || skip "there is no manual page yet"

text=$(sed -e 's/\\-/-/g' -e 's/\\f.//g' "$page")
commands=$("$fsmoe" --help | sed -n 's/^  \([a-z][a-z-]*\)  .*/\1/p')
[ -n "$commands" ] || complain "fsmoe --help names no command"
for command in '' $commands; do
	# shellcheck disable=SC2086
	for option in $("$fsmoe" $command --help 2>&1 | grep -oE -- '--[a-z][a-z0-9-]+' | sort -u); do
		grep -qE -- "$option([^a-z0-9-]|$)" <<<"$text" ||
			complain "fsmoe $command $option is not in ${page##*/}"
	done
done
finish
