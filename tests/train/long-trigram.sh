#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The default run (./quickstart train) against a table of trigrams, counted here on the same split
# of the same text: the model's loss on what both have not seen must be below the table's. Not one
# of `make check-long`, since no shorter run gets there: make check-train.
set -u
texts=/usr/share/games/fortunes run=${TMPDIR:?run by tests/lib/run-test}/run
[ -d $texts ] || { echo "there is no $texts: the package fortunes"; exit 77; }

table=$("${top_builddir:?}/tests/data/trigram" $texts) || exit 1
sh "${top_srcdir:?}/tests/lib/mpi-run" 4 "$top_builddir/fsmoe" train --preset quickstart --nodes 2 \
	--data $texts --output "$run" --log-every 100 || exit 1
model=$(sed -n \
	's/.*"val_loss": \([0-9.]*\), "val_tokens": \([0-9]*\).*/\1 nats per byte over \2 bytes/p' \
	"$run/metrics.jsonl" | tail -n 1)
echo "model:    $model"
echo "trigrams: $table"
awk -v model="${model%% *}" -v table="${table%% *}" \
	'BEGIN { exit !(model > 0 && table > 0 && model < table) }' ||
	{ echo "FAILED: the model is no better than the table"; exit 1; }
