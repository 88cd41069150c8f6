#!/usr/bin/env bash
# Help, version, info and the manual page, from the same tables as the command line.
. "$(dirname "$0")/cli.bash"

has() { grep -qF -- "$1" "$work/out" || complain "'$1' is missing" "${@:2}"; }

expect 0 "" "$fsmoe" --help
has "fsmoe COMMAND --help"
for code in 0 1 2 3 4 5 6; do
	has "  $code  "
done
expect 0 "" "$fsmoe" --version
has "fsmoe "
for spelling in "train --help" "help train" "train -?"; do
	# shellcheck disable=SC2086
	expect 0 "" "$fsmoe" $spelling
	for option in --config=FILE --data=PATH --nodes=N --hidden-size=N '--help[=all]'; do
		has "$option" $spelling
	done
	! grep -q -- --quiet "$work/out" || complain "a rare option is listed" $spelling
done
for spelling in "train --help=all" "train --help all" "help train all"; do
	# shellcheck disable=SC2086
	expect 0 "" "$fsmoe" $spelling
	for option in --config=FILE '--quiet[=yes|no]' --hidden-size=N; do
		has "$option" $spelling
	done
done
! grep -qE -- '--(model-dim|topk|num-layers|hidden=)' "$work/out" ||
	complain "old names are listed" --help=all
cp "$work/out" "$work/options"

expect 0 "" "$fsmoe" info --json
for key in '"starpu": "1.' '"mpi": "' '"blas": "' '"gate": {' '"topk": "' \
	'"presets": {' '"quickstart": "'; do
	has "$key" info --json
done
expect 0 "" "$fsmoe" info
has "StarPU" info
expect 0 "" "$fsmoe" info --ops
for line in 'linear.backward_input: dx = dy w' '  w          read     N M          weight' \
	'  kernels: CPU'; do
	has "$line" info --ops
done
expect 0 "" "$fsmoe" info --ops --json
has '"name": "attention.backward"' info --ops --json

expect 0 "" "$fsmoe" help --man
sed -e 's/\\-/-/g' -e 's/\\f.//g' "$work/out" >"$work/man"
for option in $(grep -oE -- '--[a-z][a-z0-9-]+' "$work/options" | sort -u); do
	grep -qE -- "$option([^a-z0-9-]|\$)" "$work/man" ||
		complain "$option is not in the page" help --man
done
if command -v man >/dev/null; then
	warnings=$(man --warnings -l "$work/out" 2>&1 >/dev/null)
	[ -z "$warnings" ] || complain "man warns: $warnings" help --man
fi
finish
