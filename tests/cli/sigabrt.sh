#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# If StarPU calls abort(), the program ends with a sentence and exit code 1. If another process
# sends SIGABRT, the sentence says so and the program ends as by SIGABRT.
. "$(dirname "$0")/cli.bash"
run=(train --preset tiny --data "$text" --global-batch 4)

# StarPU aborts if a number in its environment is not one.
expect 1 "fsmoe: error: StarPU gave up: its message is above" \
	env STARPU_LIMIT_CPU_MEM=none "$fsmoe" "${run[@]}" --steps 2
grep -q 'STARPU_LIMIT_CPU_MEM' "$work/err" ||
	complain "StarPU's own message is gone" STARPU_LIMIT_CPU_MEM
timeout -k 5 60 env STARPU_LIMIT_CPU_MEM=none $ranks 2 "$fsmoe" "${run[@]}" --steps 2 \
	>"$work/out" 2>"$work/err" </dev/null
status=$?
[ $status -eq 1 ] || complain "exit code $status instead of 1" two ranks
grep -q '^fsmoe\[[01]\]: error: StarPU gave up' "$work/err" ||
	complain "it does not say so" two ranks

"$fsmoe" "${run[@]}" --steps 1000000 --metrics "$work/metrics" >"$work/out" 2>"$work/err" \
	</dev/null &
job=$!
for _ in $(seq 200); do
	grep -q '^{"step": 3,' "$work/metrics" 2>/dev/null && break
	sleep 0.1
done
kill -ABRT $job
status=0
wait $job || status=$?
[ $status -eq 134 ] || complain "exit code $status instead of 134" kill -ABRT
grep -q '^fsmoe: error: SIGABRT came from another process$' "$work/err" ||
	complain "it does not say who it was" kill -ABRT
! grep -q 'StarPU gave up' "$work/err" || complain "it blames StarPU" kill -ABRT
finish
