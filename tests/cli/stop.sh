#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# On a signal the ranks stop together after a step, save, report it, and end with exit code 6. A
# second SIGTERM ends a rank at once. A resumed run ends as a run without a stop.
. "$(dirname "$0")/cli.bash"

run=(--preset tiny --data "$text" --global-batch 4 --seed 2 --min-lr-ratio 1 --log-every 100000)

# start COMMAND...: starts it in the background and waits until it trains.
start()
{
	"$@" >"$work/out" 2>"$work/err" </dev/null &
	job=$!
	for _ in $(seq 200); do
		grep -q '^{"step": 3,' "$work/metrics" 2>/dev/null && return
		sleep 0.1
	done
	complain "it did not begin" "$@"
}

# ended CODE: the job ends with this exit code.
ended()
{
	local status=0
	wait "$job" || status=$?
	[ $status -eq "$1" ] || complain "exit code $status instead of $1" "stop by a signal"
}

last_step() { sed -n 's/^{"step": \([0-9]*\), "loss".*/\1/p' "$work/metrics" | tail -n 1; }

for signal in INT TERM USR1; do
	rm -rf "$work/ck" "$work/metrics"
	start "$fsmoe" train "${run[@]}" --steps 1000000 --checkpoint "$work/ck" \
		--metrics "$work/metrics"
	kill -$signal "$job"
	ended 6
	grep -q "^SIG$signal: stopped after step $(last_step) of 1000000; --resume=latest goes on" \
		"$work/out" ||
		complain "it does not say where it stopped" SIG$signal
	[ "$(cat "$work/ck/latest")" = "step-$(printf %06d "$(last_step)")" ] ||
		complain "nothing saved" SIG$signal
done

# Without --checkpoint.
rm -f "$work/metrics"
start "$fsmoe" train "${run[@]}" --steps 1000000 --metrics "$work/metrics"
kill -TERM "$job"
ended 6
grep -q "nothing is saved without --checkpoint" "$work/out" || complain "it does not say so" SIGTERM

# A program that does not train ends at once. A lone rank must not blame another rank.
"$fsmoe" bench layer --device cpu --batch 1 --seq 16 --model-dim 16 --hidden 16 --experts 2 \
	--topk 1 --iters 10000000 >"$work/out" 2>"$work/err" </dev/null &
job=$!
for _ in $(seq 100); do
	grep -q "^SigCgt:.*[4-7c-f]...$" "/proc/$job/status" 2>/dev/null && break # SIGTERM
	sleep 0.1
done
sleep 1
kill -TERM "$job"
ended 1
grep -Eq '^fsmoe: rank 0: told to end at once, in (start|step [0-9]+)' "$work/err" ||
	complain "it does not say that it was told" "bench layer, SIGTERM"

# The resumed run has the losses of a run without a stop.
steps=$(($(sed 's/step-0*//' "$work/ck/latest") + 3))
expect 0 "" "$fsmoe" train "${run[@]}" --steps $steps --checkpoint "$work/ck" --resume latest \
	--metrics "$work/resumed" --output "$work/run"
grep -q "going on from step $((steps - 3)) " "$work/out" || complain "it starts again" --resume
expect 0 "" "$fsmoe" train "${run[@]}" --steps $steps --metrics "$work/unbroken"
for _ in 1 2; do
	expect 0 "" "$fsmoe" train "${run[@]}" --steps $((steps + 1)) --checkpoint "$work/ck" \
		--resume latest --output "$work/run"
done
[ "$(grep -c 'fsmoe .*: 1 rank on 1 node' "$work/run/log")" -eq 3 ] ||
	complain "a log that is cut" --resume
losses() { sed -n 's/.*"loss": \([^,]*\),.*/\1/p' "$1" | tail -n 3; }
[ "$(losses "$work/resumed")" = "$(losses "$work/unbroken")" ] || complain "other losses" --resume

# The first start of a job that always passes --resume latest.
expect 0 "" "$fsmoe" train "${run[@]}" --steps 2 --checkpoint "$work/new" --resume latest
grep -q "there is no checkpoint in $work/new yet" "$work/out" ||
	complain "it should say so" --resume
expect 3 "absent" "$fsmoe" train "${run[@]}" --steps 2 --resume "$work/absent"

# Four ranks. First one rank gets the signal, and mpirun ends with its code; then mpirun gets it,
# which passes on SIGUSR1 at once, and SIGTERM after a while.
rm -rf "$work/ck" "$work/metrics"
start $ranks 4 "$fsmoe" train "${run[@]}" --nodes 2 --steps 1000000 --checkpoint "$work/ck" \
	--metrics "$work/metrics"
mpirun=$(pgrep -P "$job" mpirun || echo "$job")
victim=$(pgrep -P "$mpirun" -f 'fsmoe train' | tail -n 1)
kill -USR1 "$victim"
ended 6
[ "$(cat "$work/ck/latest")" = "step-$(printf %06d "$(last_step)")" ] ||
	complain "nothing saved" four ranks
[ "$(grep -c 'stopped after step' "$work/out")" -eq 1 ] || complain "said once" four ranks

export OMPI_MCA_odls_base_sigkill_timeout=4
for signal in USR1 TERM; do
	rm -rf "$work/ck" "$work/metrics"
	start $ranks 4 "$fsmoe" train "${run[@]}" --nodes 2 --steps 1000000 \
		--checkpoint "$work/ck" --metrics "$work/metrics"
	mpirun=$(pgrep -P "$job" mpirun || echo "$job")
	kill -$signal "$mpirun"
	wait "$job"
	[ "$(cat "$work/ck/latest")" = "step-$(printf %06d "$(last_step)")" ] ||
		complain "nothing saved" "SIG$signal to mpirun"
	grep -q "stopped after step $(last_step) of" "$work/out" ||
		complain "it does not say so" "SIG$signal to mpirun"
done
finish
