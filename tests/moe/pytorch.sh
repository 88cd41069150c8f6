#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# PyTorch still says what the files of tests/moe/oracle say. Skipped where it is not installed.
python=${PYTHON:-python3}
"$python" -c 'import torch' 2>/dev/null || { echo "skipped: Python has no torch"; exit 77; }
here=$top_srcdir/tests/moe
tmp=$(mktemp -d "${TMPDIR:-/tmp}/fsmoe-oracle.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
set -e
"$python" "$here/oracle.py" "$tmp"
diff <(ls "$tmp") <(ls "$here/oracle")
# Another version of PyTorch may round otherwise: numbers are compared as such.
for file in "$tmp"/*.txt; do
	paste -d ' ' "$file" "$here/oracle/${file##*/}" | awk -v file="${file##*/}" '
		function far(a, b) { return a - b > 1e-11 * (1 + (a > 0 ? a : -a)) }
		function differ(a, b) { return a ~ /^-?[0-9]/ ? far(a, b) || far(b, a) : a != b }
		{ half = NF / 2; for (i = 1; i <= half; i++) if (differ($i, $(i + half))) {
			bad++; print file ", line " NR ": " $i " is not " $(i + half) } }
		END { exit bad > 0 }' || { echo "$file differs"; exit 1; }
done
"$top_builddir/tests/moe/oracle" "$tmp"
"$python" -c 'import torch; print("PyTorch", torch.__version__)'
