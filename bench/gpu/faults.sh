#!/bin/bash
# faults.sh [PART...]: checks on two GPUs of a host, from a bundle as run.sh. Parts: four (four
# ranks on two GPUs as two nodes of two, beside the same run on CPUs), late (500 steps of every
# schedule, with a late rank), faults (too little memory, a lost GPU, a killed rank: each gives a
# sentence and the documented exit code, and leaves nothing running). Default: all. Exit status 1: a
# check failed.
set -u
# shellcheck source-path=SCRIPTDIR source=env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
[ $# -gt 0 ] || set -- four late faults
[ ${#mpi[@]} -gt 0 ] || { result faults "not there" 0 "no mpirun here"; exit 2; }
failures=0
fsmoe=$bundle/bin/fsmoe
train=("$fsmoe" train --data "$bundle/text" --preset tiny --nodes 2 --device cuda --log-every 100)

# try NAME LIMIT STATUS PATTERN COMMAND...: checks the exit status and finds a line of the output.
try()
{
	local name=$1 limit=$2 want=$3 pattern=$4 start=$SECONDS state said
	shift 4
	limited "$limit" "$@" >"$OUT/$name.log" 2>&1
	state=$(state_of $? "$want")
	{ echo "== $name: $*"; cat "$OUT/$name.log"; } >>"$OUT/log.txt"
	said=$(grep -m 1 -E -- "$pattern" "$OUT/$name.log" | cut -c1-150)
	[ -n "$said" ] || [ "$state" != ok ] || state="SAID NOTHING"
	[ "$state" = ok ] || said=$(complaint "$OUT/$name.log")
	result "$name" "$state" $((SECONDS - start)) "$said"
	if [ "$state" != ok ]; then
		tail -n 12 "$OUT/$name.log" | cut -c1-250
		failures=$((failures + 1))
	fi
	rm -f "$OUT/$name.log"
}

# Four ranks get GPUs A, B, B, A: no two ranks of a group share one.
four()
{
	local size=(--batch 2 --seq 48 --model-dim 64 --hidden 96 --experts 8 --topk 2
		--capacity-factor 1.5
		--nodes 2 --ep 2 --esp 2 --iters 5 --warmup 2 --parts=no) way on said state=ok
	sed 's/^	//' >"$OUT/abba.sh" <<-'END'
	IFS=, read -r a b <<<"${CUDA_VISIBLE_DEVICES:-0,1}"
	gpus=("$a" "$b" "$b" "$a")
	CUDA_VISIBLE_DEVICES=${gpus[$OMPI_COMM_WORLD_LOCAL_RANK]} exec "$@"
	END
	for way in cpu stream starpu; do
		on=(--device cuda --executor "$way")
		[ $way != cpu ] || on=(--device cpu)
		try "four-$way" 90 0 '"check"' "${mpi[@]}" -np 4 bash "$OUT/abba.sh" "$fsmoe" \
			bench layer \
			"${size[@]}" --cuts 2/3 --tag "$way" "${on[@]}"
	done
	said=$(python3 - "$OUT/log.txt" <<'END'
import json, sys
rows = [json.loads(l) for l in open(sys.argv[1]) if l.startswith("{")]
worst = max(abs(r["check"][k] - v) / abs(v) for r in rows for k, v in rows[0]["check"].items())
print("%d runs, check values within %.1e of the CPU's" % (len(rows), worst))
sys.exit(not (len(rows) == 3 and worst < 1e-4))
END
	) || { state=FAILED; failures=$((failures + 1)); }
	result four-checks "$state" 0 "$said"
}

late()
{
	local row
	for row in ${LATE_ROWS:-ds-moe tutel tutel-improved pipemoe-lina fsmoe-no-iio fsmoe}; do
		try "late-$row" 100 0 'trained 500 steps' "${mpi[@]}" -np 2 \
			-x LD_PRELOAD="$bundle/lib/late.so" \
			"${train[@]}" --steps 500 --schedule "$row" \
			--forward-degree 2 --backward-degree 3
	done
}

faults()
{
	local way gave_up='StarPU gave up, most likely because a GPU failed or was lost'
	try too-large 60 4 'GPU .* free|does not fit|MiB|GB' "${mpi[@]}" -np 2 "$fsmoe" bench \
		layer --device cuda \
		--model-dim 8192 --hidden 65536 --experts 64 --executor stream --iters 1
	for way in stream starpu; do
		try "lost-$way" 60 1 "$([ $way = starpu ] && echo "$gave_up" ||
			echo 'fsmoe(\[[0-9]+\])?: ')" "${mpi[@]}" -np 2 \
			-x LD_PRELOAD="$bundle/lib/lost.so" \
			"${train[@]}" --executor $way --steps 500
		# Kills a rank once the log of rank 0 shows a step.
		# shellcheck disable=SC2016
		LOG=$OUT/killed-$way.log try "killed-$way" 90 137 \
			'another rank ended the job .* in step [0-9]' "${mpi[@]}" -np 2 bash -c '
			[ $OMPI_COMM_WORLD_RANK -eq 0 ] || {
				(until grep -q "^step" "$LOG"; do sleep 0.2; done
				sleep 0.5; kill -9 $$) & }
			exec "$@"' killed "${train[@]}" --executor $way --steps 1000000
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
