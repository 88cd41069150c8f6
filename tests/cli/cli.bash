# Shared by the tests of the program: running it, and complaining about it.
# shellcheck shell=bash
set -u
fsmoe=${top_builddir:?run by tests/lib/run-test}/fsmoe
ranks="sh ${top_srcdir:?}/tests/lib/mpi-run" # $ranks N PROGRAM ...
. "$top_srcdir/tests/lib/launcher.bash"
work=$(mktemp -d "${TMPDIR:-/tmp}/fsmoe-cli.XXXXXX")
trap 'rm -rf "$work"' EXIT
failures=0

# expect CODE SENTENCE COMMAND...: the command must end with this code within 30 seconds and print a
# sentence with this part on stderr, once for all ranks. Empty: it must print nothing there.
expect()
{
	local code=$1 sentence=$2 status said
	shift 2
	for _ in 1 2; do
		status=0
		timeout -k 5 30 "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
		launcher_failed "$work/err" || break
	done
	said=$(grep -cF -- "$sentence" "$work/err")
	if [ $status -ne "$code" ]; then
		complain "exit code $status instead of $code" "$@"
	elif [ -z "$sentence" ] && [ -s "$work/err" ]; then
		complain "it should have said nothing" "$@"
	elif [ -n "$sentence" ] && [ "$said" -ne 1 ]; then
		complain "it should have said once, not $said times: $sentence" "$@"
	fi
}

complain()
{
	echo "FAILED: $1"
	shift
	printf '  command: %s\n' "$*"
	sed 's/^/  stdout: /' "$work/out" | head -n 20
	sed 's/^/  stderr: /' "$work/err" | head -n 20
	failures=$((failures + 1))
}

# The end of every test.
finish()
{
	[ $failures -eq 0 ] || exit 1
	exit 0
}

# Runs a command as a user without permission to read everything.
nobody=
[ "$(id -u)" -ne 0 ] || nobody="setpriv --reuid=65534 --regid=65534 --clear-groups"

# write_profile FILE LINE...: a profile of these lines, each KIND LANE ALPHA BETA.
write_profile()
{
	local file=$1 kind lane alpha beta
	shift
	{
		echo '{"format": "fsmoe profile", "version": 1, "fits": ['
		printf '%s\n' "$@" | while read -r kind lane alpha beta; do
			printf '{"kind": "%s", "lane": "%s", "alpha": %s, "beta": %s},\n' \
				"$kind" "$lane" "$alpha" "$beta"
		done | sed '$s/,$//'
		echo ']}'
	} >"$file"
}

# A text long enough for a few steps of the smallest model.
text=$work/text
for i in $(seq 400); do
	echo "Line $i of a text that nobody would read twice, but a model does."
done >"$text"
