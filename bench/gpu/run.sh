#!/bin/bash
# run.sh [MODE...]: checks and measures fsmoe on a GPU machine, from a bundle (bundle.sh), which is
# the folder above this script, or from build-gpu in the current one. Modes: check, train, sanitize,
# time, ratio, bench, bf16, ranks (two GPUs); none: all but the last three. Three files go to $OUT (default:
# a new folder in $TMPDIR): log.txt, all output; summary.txt; machine.txt. Every command has a time
# limit; exit status 1 when a check failed.
set -u
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
[ $# -gt 0 ] || set -- check train sanitize time ratio
failures=0
summary=$OUT/summary.txt
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
: >"$summary"

# --- running --------------------------------------------------------------------------------------

# run LIMIT NAME COMMAND...: one line in the summary, the output in $logs/NAME.log and log.txt.
run()
{
	local limit=$1 name=$2 start=$SECONDS status
	shift 2
	echo "== $name: $*"
	if [ "$(type -t "$1")" = function ]; then
		"$@" >"$logs/$name.log" 2>&1
	else
		timeout -k 5 "$limit" "$@" >"$logs/$name.log" 2>&1
	fi
	status=$?
	{ echo "== $name: $*"; cat "$logs/$name.log"; } >>"$OUT/log.txt"
	case $status in
	0) set -- ok ;;
	77) set -- skipped ;;
	124 | 137) set -- "TIME OUT after $limit s" ;;
	*) set -- "FAILED ($status)" ;;
	esac
	[ $status -eq 0 ] || [ $status -eq 77 ] || failures=$((failures + 1))
	printf '%-28s %-22s %4d s\n' "$name" "$1" $((SECONDS - start)) | tee -a "$summary"
	[ $status -eq 0 ] || tail -n 25 "$logs/$name.log" | cut -c1-300
}

check()
{
	for part in ${CHECK_PARTS:-ops moe gates faults bf16 band room replan training}; do
		run 120 check-$part "$bundle/bin/check-cuda" $part
	done
	grep -hE 'off by|worst error|\[  FAILED|ERROR|^  step|preset|executor|in the steps|is .* on the GPU' "$logs"/check-*.log | cut -c1-200
}

sanitize()
{
	local tool part sanitizer
	sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
	[ -n "$sanitizer" ] || { echo "sanitize: no compute-sanitizer here" | tee -a "$summary"; return; }
	for tool in memcheck racecheck; do
		for part in ops moe gates; do
			# Eager loading would instrument all of cuBLAS.
			run "${SANITIZE_LIMIT:-130}" $tool-$part env CUDA_MODULE_LOADING=LAZY \
				FSMOE_CHECK_SIZES="${SANITIZE_SIZES:-3}" "$sanitizer" --tool $tool \
				--error-exitcode 9 "$bundle/bin/check-cuda" $part
			grep -h 'ERROR SUMMARY\|RACECHECK SUMMARY' "$logs/$tool-$part.log"
		done
	done
}

measure()
{
	run 60 time-quickstart "$bundle/bin/layer" quickstart 32
	run 60 time-quickstart-layer "$bundle/bin/layer" 128 256 8 2 1.25 4096
	run 120 time-gpt-fp32 "$bundle/bin/layer" 2048 8192 8 2 1.2 4096
	run 120 time-gpt-tf32 "$bundle/bin/layer" 2048 8192 8 2 1.2 4096 tf32
	run 120 time-gpt-bf16 "$bundle/bin/layer" 2048 8192 8 2 1.2 4096 bf16
	run 120 time-mixtral-bf16 "$bundle/bin/layer" 4096 14336 8 2 1.2 4096 mixtral bf16
	cat "$logs"/time-*.log
}

# What StarPU costs against bare streams.
ratio()
{
	run 90 ratio-quickstart "$bundle/bin/ratio" quickstart 32
	run 90 ratio-gpt-tf32 "$bundle/bin/ratio" 2048 8192 8 2 1.2 4096 tf32
	cat "$logs"/ratio-*.log
}

# fsmoe bench layer: the peer's test vector (bench/peer/README.md), then a large layer either way.
bench()
{
	local layer=("$bundle/bin/fsmoe" bench layer --device cuda) way
	run 60 bench-vector "${layer[@]}" --iters 3 --warmup 1 --batch 2 --seq 48 --model-dim 64 \
		--hidden 96 --experts 8 --topk 2 --capacity-factor 0
	for way in starpu stream; do
		run 200 bench-gpt-tf32-$way "${layer[@]}" --executor $way --dtype tf32 --iters 20 \
			--warmup 5 --capacity-factor 1.2
	done
	cat "$logs"/bench-*.log
}

# losses BOUND FILE...: the largest relative difference of the losses of two runs' metrics.
losses()
{
	local bound=$1
	shift
	awk -v bound="$bound" -F'"loss": |, "lr"' 'NF > 1 { if (FNR == NR) cpu[FNR] = $2; else if (FNR in cpu) {
			d = ($2 - cpu[FNR]) / cpu[FNR]; d = d < 0 ? -d : d; n++; if (d > most) most = d } }
		END { printf "%d steps, losses differ by at most %.2g\n", n, most; exit !(n && most <= bound) }' "$@"
}

# train_on NAME STEPS LAUNCHER... -- OPTIONS...: the same run on CPU and GPU, by both executors.
train_on()
{
	local name=$1 launcher=() way
	shift
	while [ "$1" != -- ]; do launcher+=("$1"); shift; done
	shift
	for way in cpu cuda "cuda --executor stream"; do
		# shellcheck disable=SC2086
		run 150 "train-$name-${way##* }" "${launcher[@]}" "$bundle/bin/fsmoe" train \
			--data "$bundle/text" --steps 20 --log-every 5 --device $way \
			--metrics "$logs/$name-${way##* }.jsonl" "$@"
		cat "$logs/train-$name-${way##* }.log"
	done
	for way in cuda stream; do
		run 5 "losses-$name-$way" losses 1e-4 "$logs/$name-cpu.jsonl" "$logs/$name-$way.jsonl"
		cat "$logs/losses-$name-$way.log"
	done
}

train()
{
	train_on tiny -- --preset tiny
	train_on quickstart -- --preset quickstart --forward-degree 2 --backward-degree 3 \
		--checkpoint "$logs/checkpoint"
	run 60 generate "$bundle/bin/fsmoe" generate --checkpoint "$logs/checkpoint" --length 60 \
		--device cuda
	cat "$logs/generate.log"
}

# agree NAME FSMOE PEER: the numbers of bench layer are the peer's. A path through the layer rounds
# to bf16 eight times at most on either side, by 2^-9 each, which is what a root mean square can be
# off by; a mean of products of n numbers averages that out to 6 deviations over sqrt(n).
agree()
{
	local key name=$1
	for key in y_rms y_dy dx_rms dwg_rms dwe_rms; do
		sed -n "s/.*\"$key\": \([^,}]*\).*/$key \1/p" "$2" "$3" | paste -sd' '
	done | awk -v name="$name" -v n="$4" '{
		want = $4 < 0 ? -$4 : $4; off = $2 - $4; off = off < 0 ? -off : off
		if ($1 == "y_rms") size = want
		tolerance = $1 == "y_dy" ? 6 * 2 ^ -6 * size / sqrt(n) : 2 ^ -6 * want
		printf "%s %s: fsmoe %s, peer %s, %.3f of the tolerance\n", name, $1, $2, $4, off / tolerance
		rows++; bad += !(off <= tolerance) } END { exit bad || rows != 5 }'
}

# One layer and a training in bf16: beside the peer (its folder bench/peer in the current one), by
# both executors, beside fp32, and refused where it does not fit.
bf16()
{
	local fsmoe=$bundle/bin/fsmoe way ffn sizes peer=bench/peer/bench_ideal.py
	for ffn in gpt mixtral; do
		sizes=(--batch 2 --seq 48 --model-dim 64 --hidden 96 --experts 8 --topk 2
			--capacity-factor 1.2 --ffn $ffn --dtype bf16 --iters 3 --warmup 1 --device cuda)
		run 90 peer-$ffn python3 $peer "${sizes[@]}"
		for way in starpu stream; do
			run 60 vector-$ffn-$way "$fsmoe" bench layer "${sizes[@]}" --executor $way
			run 5 agree-$ffn-$way agree $ffn-$way "$logs/vector-$ffn-$way.log" "$logs/peer-$ffn.log" 6144
		done
	done
	sizes=(--batch 4 --seq 1024 --model-dim 2048 --hidden 8192 --experts 8 --topk 2
		--capacity-factor 1.2 --dtype bf16 --iters 30 --warmup 10 --device cuda)
	run 120 peer-layer python3 $peer "${sizes[@]}" --compile "${PEER_COMPILE:-1}"
	for way in starpu stream; do
		run 120 layer-$way "$fsmoe" bench layer "${sizes[@]}" --executor $way
		run 5 agree-layer-$way agree layer-$way "$logs/layer-$way.log" "$logs/peer-layer.log" 8388608
	done
	run 90 ratio-gpt-bf16 "$bundle/bin/ratio" 2048 8192 8 2 1.2 4096 bf16
	cat "$logs"/{peer,vector,layer,ratio-gpt-bf16,agree}*.log | cut -c1-1500
	bands one --
	for way in fp32 bf16; do
		run 60 resume-in-$way "$fsmoe" train --data "$bundle/text" --resume "$logs/one-checkpoint" \
			--steps 205 --device cuda --dtype $way --log-every 1 --val-every 0
		grep -h '^step' "$logs/resume-in-$way.log"
	done
	run 60 refused refused "$fsmoe" train --data "$bundle/text" --preset quickstart --device cuda \
		--batch "${REFUSED_BATCH:-4096}"
	cat "$logs/refused.log"
}

# means BOUND FILE FILE: how far the means of the last 50 losses are apart, relative to the first.
means()
{
	local bound=$1 file mean=()
	shift
	for file in "$@"; do
		mean+=("$(awk -F'"loss": |, "lr"' 'NF > 1 { loss[++n] = $2 }
			END { for (i = n - 49; i <= n; i++) sum += loss[i]; print sum / 50 }' "$file")")
	done
	awk -v a="${mean[0]}" -v b="${mean[1]}" -v bound="$bound" 'BEGIN {
		off = (b - a) / a; printf "means of the last 50 losses: %.4f and %.4f, off by %.2g\n", a, b, off
		exit !(a > 0 && off <= bound && -off <= bound) }'
}

# bands NAME LAUNCHER... -- OPTIONS...: 200 steps of a preset's recipe in bf16 beside fp32. Losses of
# single steps part, those of TF32 as far as those of bf16; their means stay together. Both
# executors' are equal to the last bit; what was predicted of memory is what is taken.
bands()
{
	local name=$1 launcher=() way
	shift
	while [ "$1" != -- ]; do launcher+=("$1"); shift; done
	shift
	launcher+=("$bundle/bin/fsmoe" train --data "$bundle/text" --preset quickstart --steps 200
		--log-every 100 --val-every 0 --device cuda "$@")
	run 90 band-$name-fp32 "${launcher[@]}" --metrics "$logs/$name-fp32.jsonl"
	for way in starpu stream; do
		run 90 band-$name-$way "${launcher[@]}" --dtype bf16 --executor $way \
			--metrics "$logs/$name-$way.jsonl" --checkpoint "$logs/$name-checkpoint"
		run 5 means-$name-$way means 0.01 "$logs/$name-fp32.jsonl" "$logs/$name-$way.jsonl"
	done
	run 5 losses-$name losses 0 "$logs/$name-starpu.jsonl" "$logs/$name-stream.jsonl"
	grep -h 'memory:\|held-out\|^step\|trained' "$logs/band-$name"-*.log
	cat "$logs/means-$name"-*.log "$logs/losses-$name.log"
}

# refused COMMAND...: exit code 4, with a sentence about the GPU.
refused()
{
	"$@"
	[ $? -eq 4 ] && "$@" 2>&1 | grep -q 'this takes .* of GPU'
}

# Two ranks, a GPU each, over NCCL: as one node, and as two.
ranks()
{
	local mpirun two
	mpirun=$(command -v mpirun) || { echo "ranks: no mpirun here" | tee -a "$summary"; return; }
	two=("$mpirun" --allow-run-as-root --oversubscribe --bind-to none -np 2
		-x LD_LIBRARY_PATH -x NCCL_NVLS_ENABLE)
	run 150 ranks-2 "${two[@]}" "$bundle/bin/check-cuda" replan training
	cat "$logs/ranks-2.log"
	bands mp-2 "${two[@]}" --
	bands ep-2 "${two[@]}" -- --nodes 2
	train_on two-nodes "${two[@]}" -- --preset quickstart --nodes 2 --forward-degree 2 \
		--backward-degree 3
	run 90 ratio-2 "${two[@]}" "$bundle/bin/ratio" 2048 8192 8 2 1.2 4096 tf32 nodes=2
	run 90 ratio-2-quickstart "${two[@]}" "$bundle/bin/ratio" quickstart 32 nodes=2
	cat "$logs"/ratio-2*.log
}

for mode in "$@"; do
	case $mode in
	check) check ;;
	sanitize) sanitize ;;
	train) train ;;
	time) measure ;;
	ratio) ratio ;;
	bench) bench ;;
	bf16) bf16 ;;
	ranks) ranks ;;
	*)
		echo "run.sh: no mode '$mode': check, train, sanitize, time, ratio, bench, bf16 or ranks" >&2
		exit 2 ;;
	esac
done
echo "-- summary"
cat "$summary"
echo "$failures failures; logs in $OUT"
[ $failures -eq 0 ]
