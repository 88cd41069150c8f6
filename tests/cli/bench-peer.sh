#!/usr/bin/env bash
# The numbers that fsmoe bench layer is held to are what the peer computes now. Skipped where Python
# has no PyTorch.
. "$(dirname "$0")/cli.bash"
. "$(dirname "$0")/bench.bash"
python=${PYTHON:-python3}
"$python" -c 'import numpy, torch.distributed' 2>/dev/null ||
	{ echo "skipped: Python has no PyTorch or no numpy"; exit 77; }

while IFS='|' read -r n args want; do
	[[ $n != \#* ]] || continue
	# shellcheck disable=SC2086
	"$python" -m torch.distributed.run --standalone --nproc_per_node=$n \
		"$top_srcdir/bench/peer/bench_ideal.py" --device cpu --dtype fp32 --iters 1 \
		--warmup 0 --parts 0 $args >"$work/out" 2>"$work/err" </dev/null
	agree "$want" "$(numbers "$work/out")" ||
		complain "the peer says $(numbers "$work/out"), not $want" "$n ranks: $args"
done <"$cases"
finish
