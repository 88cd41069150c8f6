#!/bin/bash
# run.sh [MODE...]: checks and measures fsmoe on a GPU machine, from a bundle (bundle.sh): the
# folder above this script, or build-gpu in the current one. Modes: check, train, sanitize, time,
# ratio, bench, refusal, bf16, agree; on two GPUs: ranks, bands, one-node, two-nodes. Default: the
# first six. $OUT (default: a new folder in $TMPDIR) gets log.txt with all output, summary.txt and
# machine.txt. Every command has a time limit. Exit status 1: a check failed. all.sh runs this and
# more.
# shellcheck disable=SC2086,SC2206 # names of ours in for loops: one word each
set -u
# shellcheck source-path=SCRIPTDIR source=env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
[ $# -gt 0 ] || set -- check train sanitize time ratio bench
failures=0
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

# --- running --------------------------------------------------------------------------------------

# run LIMIT NAME COMMAND...: writes one line to the summary, the output to $logs/NAME.log and
# log.txt. The summary also shows the last line of the output that matches $say.
run()
{
	local limit=$1 name=$2 start=$SECONDS status said
	shift 2
	if [ "$(type -t "$1")" = function ]; then
		"$@" >"$logs/$name.log" 2>&1
	else
		limited "$limit" "$@" >"$logs/$name.log" 2>&1
	fi
	status=$?
	[ "$(type -t "$1")" = function ] && left_behind=0
	{ echo "== $name: $*"; cat "$logs/$name.log"; } >>"$OUT/log.txt"
	said=$(grep -hE "${say:-^no such line$}" "$logs/$name.log" | tail -n 1 | cut -c1-150)
	[ $status -eq 0 ] || said=$(complaint "$logs/$name.log")
	result "$name" "$(state_of $status)" $((SECONDS - start)) "$said"
	[ $status -eq 0 ] || [ $status -eq 77 ] || failures=$((failures + 1))
	[ $status -eq 0 ] || tail -n 25 "$logs/$name.log" | cut -c1-300
	return $status
}

# Modules are loaded lazily where nothing is measured and no rank waits for another.
check()
{
	local part loading say
	for part in ${CHECK_PARTS:-ops moe gates large faults bf16 band room replan training}; do
		case $part in
		room | replan | training) loading=EAGER ;;
		*) loading=LAZY ;;
		esac
		case $part in
		ops | moe | gates) say='sizes were run' ;;
		*) say='off by|worst error|CPU' ;;
		esac
		run "${CHECK_LIMIT:-120}" check-$part env CUDA_MODULE_LOADING=$loading \
			"$bundle/bin/check-cuda" $part
	done
	grep -hE -e 'off by|worst error|\[  FAILED|ERROR|^  step|preset|executor' \
		-e 'in the steps|is .* on the GPU' "$logs"/check-*.log | cut -c1-200
}

# The operations' tables, or a part of them, under compute-sanitizer, in SANITIZE_PARTS processes
# per tool and table. Modules are loaded lazily: eagerly, all of cuBLAS would be instrumented. A
# process begins no case after SANITIZE_SECONDS, and prints how far it came. Racecheck looks at our
# own kernels only, and skips cases with aligned products: compute-sanitizer 2025.3 crashes on
# cuBLAS's bf16 kernels for them. Our kernels there share no memory, or run in other cases too.
sanitize()
{
	local tool part i parts=${SANITIZE_PARTS:-2} seconds=${SANITIZE_SECONDS:-120} port=50000
	local sanitizer say='sizes were run' ours without
	sanitizer=$(command -v compute-sanitizer ||
		ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
	[ -n "$sanitizer" ] || { result sanitize "not there" 0 "no compute-sanitizer here";
		return; }
	for tool in ${SANITIZE_TOOLS:-memcheck racecheck}; do
		ours=()
		without=
		if [ "$tool" = racecheck ]; then
			ours=(--kernel-name-exclude
				'regex=cublas|cutlass|gemm|gemv|xmma|nvjet|splitK')
			without='expert_mlp:expert_swiglu:experts in chunks:attention in strips'
		fi
		for part in ops moe gates; do
			for ((i = 0; i < parts; i++)); do
				port=$((port + 20))
				run $((seconds + 45)) "$tool-$part-$i" env \
					CUDA_MODULE_LOADING=LAZY \
					CUDA_VISIBLE_DEVICES="${SANITIZE_GPU:-0}" \
					FSMOE_CHECK_SIZES="${SANITIZE_SIZES:-48}" \
					FSMOE_CHECK_PART=$i/"$parts" \
					FSMOE_CHECK_SECONDS="$seconds" \
					FSMOE_CHECK_WITHOUT="$without" \
					"$sanitizer" --tool "$tool" --error-exitcode 9 \
					--target-processes application-only --launch-timeout 90 \
					"${ours[@]}" \
					--port $((port + (${SANITIZE_GPU:-0} * 1000))) \
					--report-api-errors no \
					"$bundle/bin/check-cuda" "$part" &
			done
		done
	done
	wait
	grep -h 'ERROR SUMMARY\|RACECHECK SUMMARY' "$logs"/memcheck-* "$logs"/racecheck-* | sort |
		uniq -c
	failures=$((failures + $(grep -c '^[mr][a-z]*check-.*FAILED' "$OUT/results.tsv")))
}

# A training step and layers on bare streams, by operation.
measure()
{
	local layer=("$bundle/bin/fsmoe" bench layer --device cuda --executor stream --iters 11
		--warmup 3
		--parts=no --experts 8 --topk 2)
	local gpt=(--model-dim 2048 --hidden 8192 --capacity-factor 1.2)
	run 60 time-quickstart "$bundle/bin/fsmoe" train --data "$bundle/text" --preset quickstart \
		--device cuda --executor stream --steps 14 --val-every 0 --print-breakdown
	run 60 time-quickstart-layer "${layer[@]}" --model-dim 128 --hidden 256 \
		--capacity-factor 1.25
	run 120 time-gpt-fp32 "${layer[@]}" "${gpt[@]}"
	run 120 time-gpt-tf32 "${layer[@]}" "${gpt[@]}" --dtype tf32
	run 120 time-gpt-bf16 "${layer[@]}" "${gpt[@]}" --dtype bf16
	run 120 time-mixtral-bf16 "${layer[@]}" --model-dim 4096 --hidden 14336 \
		--capacity-factor 1.2 \
		--ffn mixtral --dtype bf16
	cat "$logs"/time-*.log
}

# The cost of StarPU over bare streams.
ratio()
{
	run 90 ratio-quickstart "$bundle/bin/executors" --preset quickstart --global-batch 32
	run 90 ratio-gpt-tf32 "$bundle/bin/executors" --capacity-factor 1.2 --dtype tf32
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
	awk -v bound="$bound" -F'"loss": |, "lr"' \
		'NF > 1 { if (FNR == NR) cpu[FNR] = $2; else if (FNR in cpu) {
			d = ($2 - cpu[FNR]) / cpu[FNR]; d = d < 0 ? -d : d; n++
			if (d > most) most = d } }
		END { printf "%d steps, losses differ by at most %.2g\n", n, most
			exit !(n && most <= bound) }' "$@"
}

# train_on NAME LAUNCHER... -- OPTIONS...: one run on CPU and GPU, by both executors. TRAIN_ZERO=1
# adds a run whose collectives take none of the GPU's processors: its losses have the same bits.
train_on()
{
	local name=$1 launcher=() way say
	local ways=("cpu" "cuda" "cuda --executor stream")
	[ "${TRAIN_ZERO:-0}" = 0 ] || ways+=("cuda --cta-policy zero")
	shift
	while [ "$1" != -- ]; do launcher+=("$1"); shift; done
	shift
	for way in "${ways[@]}"; do
		# shellcheck disable=SC2086
		say=trained run 150 "train-$name-${way##* }" "${launcher[@]}" "$bundle/bin/fsmoe" \
			train \
			--data "$bundle/text" --steps 20 --log-every 5 --device $way \
			--metrics "$logs/$name-${way##* }.jsonl" "$@"
	done
	say='losses differ'
	for way in "${ways[@]:1}"; do
		way=${way##* }
		run 5 "losses-$name-$way" losses 1e-4 "$logs/$name-cpu.jsonl" \
			"$logs/$name-$way.jsonl"
	done
	[ "${TRAIN_ZERO:-0}" = 0 ] ||
		run 5 "same-$name-zero" losses 0 "$logs/$name-cuda.jsonl" "$logs/$name-zero.jsonl"
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

# agree NAME FSMOE PEER ELEMENTS [EPS]: checks that the numbers of bench layer are the peer's. A
# path through the layer rounds to bf16 at most eight times on either side, by 2^-9 each (EPS 2^-6);
# a root mean square can be off by that much. In a mean of products of n numbers it averages out to
# 6 deviations over sqrt(n).
agree()
{
	local key name=$1
	for key in y_rms y_dy dx_rms dwg_rms dwe_rms; do
		paste -d' ' <(echo $key) <(values $key "$2") <(values $key "$3")
	done | awk -v name="$name" -v n="$4" -v eps="${5:-0.015625}" '{
		want = $3 < 0 ? -$3 : $3; off = $2 - $3; off = off < 0 ? -off : off
		if ($1 == "y_rms") size = want
		tolerance = $1 == "y_dy" ? 6 * eps * size / sqrt(n) : eps * want
		part = off / tolerance; if (part > most) most = part
		printf "%s %s: fsmoe %s, peer %s, %.3f of the tolerance\n", name, $1, $2, $3, part
		rows++; bad += !(NF == 3 && off <= tolerance) }
		END { printf "%d numbers, off by %.3f of the tolerance at most\n", rows, most
			exit bad || rows != 5 }'
}

# Small layers of one rank beside the peer's. AGREE (default: both) names the layers,
# AGREE_EXECUTORS (starpu) the executors. Sums of floats have up to M + H terms here, so 2 (M + H +
# 16) roundings of 2^-23.
agree_all()
{
	local ffn dtype eps way peer=$bundle/peer/bench_ideal.py sizes say
	for ffn in ${AGREE:-gpt mixtral}; do
		for dtype in fp32 bf16; do
			sizes=(--batch 2 --seq 48 --model-dim 64 --hidden 96 --experts 8 --topk 2
				--capacity-factor 1.2 --ffn $ffn --dtype $dtype --iters 3 --warmup 1
				--device cuda)
			eps=$([ $dtype = fp32 ] && echo 4.2e-5 || echo 0.015625)
			run 90 peer-$ffn-$dtype env -u LD_LIBRARY_PATH python3 "$peer" \
				"${sizes[@]}" --parts 0
			for way in ${AGREE_EXECUTORS:-starpu}; do
				run 60 vector-$ffn-$dtype-$way "$bundle/bin/fsmoe" bench layer \
					"${sizes[@]}" \
					--parts=no --executor $way
				say='of the tolerance at most' run 5 agree-$ffn-$dtype-$way agree \
					$ffn-$dtype "$logs/vector-$ffn-$dtype-$way.log" \
					"$logs/peer-$ffn-$dtype.log" 6144 $eps
			done
		done
	done
}

# Layers and a training in bf16: beside the peer, by both executors, beside fp32, and refused if too
# large.
bf16()
{
	local fsmoe=$bundle/bin/fsmoe way sizes peer=$bundle/peer/bench_ideal.py
	AGREE_EXECUTORS="starpu stream" agree_all
	sizes=(--batch 4 --seq 1024 --model-dim 2048 --hidden 8192 --experts 8 --topk 2
		--capacity-factor 1.2 --dtype bf16 --iters 30 --warmup 10 --device cuda)
	run 120 peer-layer env -u LD_LIBRARY_PATH python3 "$peer" \
		"${sizes[@]}" --compile "${PEER_COMPILE:-1}"
	for way in starpu stream; do
		run 120 layer-$way "$fsmoe" bench layer "${sizes[@]}" --executor $way
		run 5 agree-layer-$way agree layer-$way "$logs/layer-$way.log" \
			"$logs/peer-layer.log" 8388608
	done
	run 90 ratio-gpt-bf16 "$bundle/bin/executors" --capacity-factor 1.2 --dtype bf16
	cat "$logs"/{peer,vector,layer,ratio-gpt-bf16,agree}*.log | cut -c1-1500
	bands one --
	for way in fp32 bf16; do
		run 60 resume-in-$way "$fsmoe" train --data "$bundle/text" \
			--resume "$logs/one-checkpoint" \
			--steps 205 --device cuda --dtype $way --log-every 1 --val-every 0
		grep -h '^step' "$logs/resume-in-$way.log"
	done
	refusal
}

refusal()
{
	say='this takes' run 60 refused refused "$bundle/bin/fsmoe" train --data "$bundle/text" \
		--preset quickstart --device cuda --global-batch "${REFUSED_BATCH:-4096}"
}

# means BOUND FILE FILE: how far the means of the last 50 losses are apart, relative to the first.
means()
{
	local bound=$1 file mean=()
	shift
	for file in "$@"; do
		mean+=("$(awk -F'"loss": |, "lr"' 'NF > 1 { loss[++n] = $2 }
			END { for (i = n - 49; i <= n; i++) sum += loss[i]; print sum / 50 }' \
				"$file")")
	done
	awk -v a="${mean[0]}" -v b="${mean[1]}" -v bound="$bound" 'BEGIN {
		off = (b - a) / a
		printf "means of the last 50 losses: %.4f and %.4f, off by %.2g\n", a, b, off
		exit !(a > 0 && off <= bound && -off <= bound) }'
}

# bands NAME LAUNCHER... -- OPTIONS...: 200 steps of a preset in bf16 beside fp32. Losses of single
# steps part, those of TF32 as far as those of bf16; their means stay together. Both executors'
# losses are equal to the last bit.
bands()
{
	local name=$1 launcher=() way say
	shift
	while [ "$1" != -- ]; do launcher+=("$1"); shift; done
	shift
	launcher+=("$bundle/bin/fsmoe" train --data "$bundle/text" --preset quickstart --steps 200
		--log-every 100 --val-every 0 --device cuda "$@")
	run 90 band-$name-fp32 "${launcher[@]}" --metrics "$logs/$name-fp32.jsonl"
	for way in starpu stream; do
		run 90 band-$name-$way "${launcher[@]}" --dtype bf16 --executor $way \
			--metrics "$logs/$name-$way.jsonl" --checkpoint "$logs/$name-checkpoint"
		say='means of' run 5 means-$name-$way means 0.01 "$logs/$name-fp32.jsonl" \
			"$logs/$name-$way.jsonl"
	done
	say='losses differ' run 5 losses-$name losses 0 "$logs/$name-starpu.jsonl" \
		"$logs/$name-stream.jsonl"
	grep -h 'memory:\|held-out\|^step\|trained' "$logs/band-$name"-*.log
}

# refused COMMAND...: exit code 4, with a sentence about the GPU.
refused()
{
	limited 60 "$@" >"$logs/sentence" 2>&1
	[ $? -eq 4 ] && grep 'this takes .* of GPU' "$logs/sentence"
}

# Two ranks, a GPU each, over NCCL: steps beside the CPU's; the band of bf16.
ranks()
{
	[ ${#mpi[@]} -gt 0 ] || { result ranks "not there" 0 "no mpirun here"; return; }
	say='training: . failures' run 150 ranks-2 "${mpi[@]}" -np 2 "$bundle/bin/check-cuda" \
		replan training
}

bands_of_two()
{
	[ ${#mpi[@]} -gt 0 ] || { result bands "not there" 0 "no mpirun here"; return; }
	bands ep-2 "${mpi[@]}" -np 2 -- --nodes 2
}

# Losses beside the CPU's as one node, MP 2 ESP 2: AllGather and ReduceScatter, by default and with
# collectives that take none of the GPU's processors; then a layer alone, both ways.
one_node()
{
	local way two=("${mpi[@]}" -np 2)
	[ ${#mpi[@]} -gt 0 ] || { result one-node "not there" 0 "no mpirun here"; return; }
	TRAIN_ZERO=1 train_on one-node "${two[@]}" -- --preset quickstart
	for way in default zero; do
		run 90 esp-$way "${two[@]}" "$bundle/bin/fsmoe" bench layer --device cuda \
			--executor stream \
			--nodes 1 --ep 1 --esp 2 --batch 2 --seq 256 --model-dim 256 --hidden 512 \
			--experts 8 \
			--topk 2 --capacity-factor 1.2 --dtype bf16 --cuts 2/3 --iters 10 \
			--parts=no \
			--cta-policy $way
	done
	say='same numbers|does nothing' run 5 same-esp-zero same_checks "$logs/esp-default.log" \
		"$logs/esp-zero.log"
}

# As two nodes, EP 2: AlltoAll.
two_nodes()
{
	[ ${#mpi[@]} -gt 0 ] || { result two-nodes "not there" 0 "no mpirun here"; return; }
	train_on two-nodes "${mpi[@]}" -np 2 -- --preset quickstart --nodes 2 --forward-degree 2 \
		--backward-degree 3
}

# same_checks FILE FILE: `check` of two layers is equal in every digit, and neither layer warned
# that the policy does nothing.
same_checks()
{
	! grep -h 'does nothing' "$@" || return 1
	grep -ho '"check": {[^}]*}' "$@" | uniq -c |
		awk '{ n = $1 } END { exit !(NR == 1 && n == 2) }' &&
		echo "the same numbers with zero"
}

for mode in "$@"; do
	case $mode in
	check) check ;;
	refusal) refusal ;;
	agree) agree_all ;;
	one-node) one_node ;;
	two-nodes) two_nodes ;;
	sanitize) sanitize ;;
	train) train ;;
	time) measure ;;
	ratio) ratio ;;
	bench) bench ;;
	bf16) bf16 ;;
	ranks) ranks ;;
	bands) bands_of_two ;;
	*)
		echo "run.sh: no mode '$mode': check, refusal, train, sanitize, time, ratio," \
			"bench, bf16, agree, ranks, bands, one-node or two-nodes" >&2
		exit 2 ;;
	esac
done
echo "-- summary"
cat "$OUT/summary.txt"
echo "$failures failures; logs in $OUT"
[ $failures -eq 0 ]
