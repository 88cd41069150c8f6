#!/bin/bash
# faults.sh [PART...]: two GPUs of a host, from a bundle as run.sh. Parts: four (four ranks on two
# GPUs as two nodes of two, beside the same on CPUs), late (500 steps of every schedule, one rank
# late), faults (too little memory, a lost GPU, a killed rank: a sentence, the documented exit
# code, nothing left running); none: all. Exit status 1 when one of them went wrong.
set -u
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
[ $# -gt 0 ] || set -- four late faults
mpirun=$(command -v mpirun) || { echo "faults.sh: no mpirun here" >&2; exit 2; }
failures=0
fsmoe=$bundle/bin/fsmoe
many=("$mpirun" --allow-run-as-root --oversubscribe --bind-to none -x LD_LIBRARY_PATH
	-x NCCL_NVLS_ENABLE -x CUDA_MODULE_LOADING -x CUDA_DEVICE_MAX_CONNECTIONS)
train=("$fsmoe" train --data "$bundle/text" --preset tiny --nodes 2 --device cuda --log-every 100)

# try NAME LIMIT STATUS PATTERN COMMAND...: the exit status, and a line of the output.
try()
{
	local name=$1 limit=$2 want=$3 pattern=$4 start=$SECONDS status said
	shift 4
	timeout -k 5 "$limit" "$@" >"$OUT/$name.log" 2>&1
	status=$?
	{ echo "== $name: $*"; cat "$OUT/$name.log"; } >>"$OUT/log.txt"
	said=$(grep -m 1 -E -- "$pattern" "$OUT/$name.log" | cut -c1-170)
	if [ $status -eq "$want" ] && [ -n "$said" ]; then
		printf '%-26s ok %d, %3d s: %s\n' "$name" $status $((SECONDS - start)) "$said"
	else
		printf '%-26s FAILED: status %d, not %d, %d s\n' "$name" $status "$want" $((SECONDS - start))
		tail -n 12 "$OUT/$name.log" | cut -c1-250
		failures=$((failures + 1))
	fi
	rm -f "$OUT/$name.log"
}

# A GPU for each of four ranks, such that no two of a group share one: A, B, B, A.
four()
{
	local size=(--batch 2 --seq 48 --model-dim 64 --hidden 96 --experts 8 --topk 2 --capacity-factor 1.5
		--nodes 2 --ep 2 --esp 2 --iters 5 --warmup 2 --parts=no) way check
	sed 's/^	//' >"$OUT/abba.sh" <<-'END'
	gpus=(0 1 1 0)
	CUDA_VISIBLE_DEVICES=${gpus[$OMPI_COMM_WORLD_LOCAL_RANK]} exec "$@"
	END
	for way in cpu stream starpu; do
		try "four-$way" 90 0 '"check"' "${many[@]}" -np 4 bash "$OUT/abba.sh" "$fsmoe" bench layer \
			"${size[@]}" --cuts 2/3 --tag "$way" $([ $way = cpu ] && echo --device cpu ||
				echo --device cuda --executor $way)
	done
	check=$(grep -o '"tag": "[a-z]*"\|"check": {[^}]*}' "$OUT/log.txt")
	echo "$check"
	python3 - "$OUT/log.txt" <<'END' || failures=$((failures + 1))
import json, sys
rows = [json.loads(l) for l in open(sys.argv[1]) if l.startswith("{")]
first, worst = rows[0]["check"], 0
for r in rows[1:]:
    for k, v in first.items():
        worst = max(worst, abs(r["check"][k] - v) / abs(v))
print("four ranks on two GPUs: %d runs, check values within %.1e of the CPU's" % (len(rows), worst))
sys.exit(not (len(rows) == 3 and worst < 1e-4))
END
}

late()
{
	local row
	for row in ${LATE_ROWS:-ds-moe tutel tutel-improved pipemoe-lina fsmoe-no-iio fsmoe}; do
		try "late-$row" 60 0 'trained 500 steps' "${many[@]}" -np 2 -x LD_PRELOAD="$bundle/lib/late.so" \
			"${train[@]}" --steps 500 --schedule "$row" \
			--forward-degree 2 --backward-degree 3
	done
}

gone()
{
	pgrep -x fsmoe >/dev/null || return
	sleep 2
	pgrep -x fsmoe >/dev/null && { echo "$1: fsmoe still runs"; failures=$((failures + 1)); }
}

faults()
{
	local way gave_up='StarPU gave up, most likely because a GPU failed or was lost'
	try too-large 60 4 'GPU .* free|does not fit|MiB|GB' "${many[@]}" -np 2 "$fsmoe" bench layer --device cuda \
		--model-dim 8192 --hidden 65536 --experts 64 --executor stream --iters 1
	for way in stream starpu; do
		try "lost-$way" 60 1 "$([ $way = starpu ] && echo "$gave_up" || echo 'fsmoe(\[[0-9]+\])?: ')" "${many[@]}" -np 2 -x LD_PRELOAD="$bundle/lib/lost.so" \
			"${train[@]}" --executor $way --steps 500
		gone "lost-$way"
		try "killed-$way" 60 137 'signal 9|killed|fsmoe: ' "${many[@]}" -np 2 bash -c '
			[ $OMPI_COMM_WORLD_RANK -eq 0 ] || { (sleep 14; kill -9 $$) & }
			exec "$@"' killed "${train[@]}" --executor $way --steps 1000000
		gone "killed-$way"
	done
}

for name in "$@"; do
	case $name in
	four | late | faults) $name ;;
	*)
		echo "faults.sh: no part '$name': four, late or faults" >&2
		exit 2 ;;
	esac
done
echo "$failures failures; log.txt in $OUT"
[ $failures -eq 0 ]
