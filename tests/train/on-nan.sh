#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A rate so large that the third step or the next ones overflow: --on-nan=stop ends the run, skip
# goes on; neither harms a parameter or the checkpoints that are there. On one rank and on four.
. "$top_srcdir/tests/cli/cli.bash"

steps=8
train=("$fsmoe" train --preset tiny --data "$text" --val-fraction 0 --steps $steps --optimizer sgd
	--lr 1e6 --min-lr-ratio 1 --clip-grad-norm 0 --keep-checkpoints 99 --checkpoint-every 1)
finite() { grep -c '"loss": [0-9]' "$1"; }

check() # name launcher...
{
	local name=$1 run=$work/$1 good
	shift
	expect 1 " is not finite: it appeared first " "$@" "${train[@]}" --checkpoint "$run.stop" \
		--metrics "$run.metrics"
	good=$(finite "$run.metrics")
	[ "$good" -ge 1 ] && [ "$good" -lt $steps ] || complain "$good good steps" "$name"
	grep -q "error: step $((good + 1)): the " "$work/err" || complain "which step?" "$name"
	grep -q "the checkpoint of step $good in $run.stop is kept" "$work/err" ||
		complain "not kept" "$name"
	[ "$(cat "$run.stop/latest")" = "step-00000$good" ] || complain "latest" "$name"
	[ "$(wc -l <"$run.metrics")" -eq "$good" ] ||
		complain "a row of a step that was not made" "$name"

	timeout 60 "$@" "${train[@]}" --on-nan=skip --checkpoint "$run.skip" \
		--metrics "$run.metrics" \
		>"$work/out" 2>"$work/err" || complain "exit code $?" "$name" --on-nan=skip
	[ "$(grep -c 'not finite: .*: skipped$' "$work/err")" -eq $((steps - good)) ] ||
		complain "said once a step" "$name" --on-nan=skip
	[ "$(finite "$run.metrics")" -eq "$good" ] &&
		[ "$(grep -c '"loss": null' "$run.metrics")" -eq $((steps - good)) ] ||
		complain "a row a step" "$name" --on-nan=skip
	grep -q "^trained $steps steps ($((steps - good)) skipped) in" "$work/out" ||
		complain "the end does not say it" "$name" --on-nan=skip
	# A skipped step changed nothing, and the checkpoint before it can be used.
	cmp "$run.skip/step-00000$good/model.safetensors" \
		"$run.skip/step-00000$steps/model.safetensors" ||
		complain "a skipped step changed parameters" "$name" --on-nan=skip
	rm "$run.metrics"
	timeout 60 "$@" "${train[@]}" --resume "$run.stop/step-000001" --checkpoint "$run.on" \
		--lr 1e-3 --clip-grad-norm 1 --steps 6 \
		--metrics "$run.metrics" >"$work/out" 2>"$work/err"
	[ "$(finite "$run.metrics")" -eq 5 ] || complain "it does not go on" "$name" --resume
}

check one
# shellcheck disable=SC2086
check four $ranks 4

# One rank of four alone goes astray: all of them stop, or skip, together.
cat >"$work/uneven" <<-'END'
	#!/bin/sh
	[ "$OMPI_COMM_WORLD_RANK" != 1 ] || set -- "$@" --lr 1e6 --weight-decay 1e3
	exec "$0.fsmoe" "$@"
END
ln -s "$(realpath "$fsmoe")" "$work/uneven.fsmoe"
chmod +x "$work/uneven"
uneven=($ranks 4 "$work/uneven" train --preset tiny --data "$text" --val-fraction 0 --steps $steps
	--nodes 2 --metrics "$work/uneven.metrics")
place="layer 0, in the operation 'attention', micro-batch 0, on rank 1"
expect 1 " is not finite: it appeared first in $place" \
	"${uneven[@]}"
good=$(finite "$work/uneven.metrics")
[ "$good" -ge 1 ] && [ "$good" -lt $steps ] || complain "$good good steps" one of four
grep -q "error: step $((good + 1)): the " "$work/err" || complain "which step?" one of four
timeout 60 "${uneven[@]}" --on-nan=skip >"$work/out" 2>"$work/err" ||
	complain "exit code $?" one of four, --on-nan=skip
[ "$(grep -c 'on rank 1: skipped$' "$work/err")" -eq $((steps - good)) ] &&
	[ "$(finite "$work/uneven.metrics")" -eq "$good" ] &&
	[ "$(grep -c '"loss": null' "$work/uneven.metrics")" -eq $((steps - good)) ] ||
	complain "all but the first $good steps are skipped" one of four, --on-nan=skip
finish
