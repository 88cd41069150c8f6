#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SIGTERM and SIGUSR1 to mpirun where saving takes more than three seconds, on a disk of 15 kB/s:
# with the launch line of doc/train.md the last step is saved whole, and the run goes on from it.
. "$top_srcdir/tests/cli/cli.bash"
case ${sanitizer:-no} in
no | undefined) ;;
*) echo "skipped: a sanitizer wants to be the first library"; exit 77 ;;
esac
${CC:-cc} -shared -fPIC -o "$work/slow-disk.so" "$top_srcdir/tests/lib/slow-disk.c" -ldl || exit 99

# The ranks alone are slowed down. SIGTERM: mpirun waits so long, tells them, waits so long again.
export OMPI_MCA_odls_base_sigkill_timeout=12
slow=(env "LD_PRELOAD=$work/slow-disk.so" SLOW_DISK=15000)
for signal in TERM USR1; do
	rm -rf "$work/ck" "$work/metrics"
	# shellcheck disable=SC2086
	$ranks 4 "${slow[@]}" "$fsmoe" train --preset tiny --data "$text" --nodes 2 \
		--min-lr-ratio 1 --log-every 1000000 --steps 1000000 --checkpoint "$work/ck" \
		--metrics "$work/metrics" >"$work/out" 2>"$work/err" </dev/null &
	job=$!
	for _ in $(seq 300); do
		grep -qs '^{"step": 3,' "$work/metrics" && break
		sleep 0.1
	done
	mpirun=$(pgrep -P "$job" mpirun || echo "$job")
	kill -$signal "$mpirun"
	wait "$job"
	last=$(sed -n 's/^{"step": \([0-9]*\), "loss".*/\1/p' "$work/metrics" | tail -n 1)
	seconds=$(($(stat -c %Y "$work/ck/latest") - $(stat -c %Y "$work/metrics")))
	[ "$(cat "$work/ck/latest")" = "step-$(printf %06d "$last")" ] ||
		complain "step $last is not saved" "SIG$signal to mpirun"
	grep -q "SIG$signal: stopped after step $last of" "$work/out" ||
		complain "it does not say so" "SIG$signal to mpirun"
	[ $seconds -gt 3 ] || complain "saving took only $seconds s" "SIG$signal to mpirun"
	echo "SIG$signal: step $last, saved in $seconds s"
	expect 0 "" $ranks 4 "$fsmoe" train --data "$text" --nodes 2 \
		--quiet --checkpoint "$work/ck" --resume latest --steps $((last + 1)) \
		--metrics "$work/resumed"
	grep -q "^{\"step\": $((last + 1)), \"loss\": [0-9]" "$work/resumed" ||
		complain "it does not go on" --resume
	rm -f "$work/resumed"
done
finish
