#!/usr/bin/env bash
# quickstart explains itself, refuses what it does not know, and shellcheck has nothing to say.
. "$(dirname "$0")/tree.bash"
"$src/quickstart" help | grep -q 'quickstart train' || complain "help does not name train"
if "$src/quickstart" tain >/dev/null 2>"$TMPDIR/err"; then
	complain "an unknown command is accepted"
fi
grep -q "unknown command 'tain'" "$TMPDIR/err" || complain "an unknown command is not named"
if command -v shellcheck >/dev/null; then
	cd "$src"
	shellcheck -x quickstart .ci/run || complain "shellcheck: quickstart"
	shellcheck -s sh tests/lib/run-test build-aux/check-style build-aux/check-size \
		build-aux/public-symbols ||
		complain "shellcheck: helpers"
	shellcheck -x -P tests/checks tests/checks/*.sh || complain "shellcheck: checks"
fi
finish
