#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Python's safetensors opens what four ranks wrote: the right names, shapes and values; and this
# reader opens what Python wrote. Skipped where there is no such package.
run=$top_srcdir/tests/lib/mpi-run
program=$top_builddir/tests/checkpoint/ranks
python=${PYTHON:-python3}
"$python" -c 'import numpy, safetensors.numpy' 2>/dev/null ||
	{ echo "skipped: Python has no safetensors or no numpy"; exit 77; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
set -e
"$run" 4 "$program" train 2 - "$tmp/c" 3 >"$tmp/losses"
"$program" dump "$tmp/params" "$tmp/c"
"$python" "$top_srcdir/tests/checkpoint/oracle.py" "$tmp/c/step-000003" "$tmp/params" \
	"$tmp/python.safetensors" >"$tmp/expected"
"$program" list "$tmp/python.safetensors" >"$tmp/listed"
diff "$tmp/expected" "$tmp/listed"
"$python" -c 'import safetensors; print("safetensors", safetensors.__version__)'
