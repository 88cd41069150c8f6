#!/bin/bash
# all.sh: checks and measures every claim of fsmoe about GPUs in one run of under nine minutes, from
# a bundle as run.sh, on a machine with two or four GPUs. First the checks: programs of one GPU side
# by side, then jobs of two ranks in two chains, where one job starts while the other computes. With
# four GPUs each chain has two of its own, and the first begins at once. Then the timings, alone, on
# the first two GPUs. Last it prints a line per claim (claims.py). $OUT gets claims.csv, results.csv
# (a line per run), layers.csv and layers.jsonl (the timed layers), summary.txt, machine.txt, and
# log.txt with all output. Exit status 1: a claim is missed.
#
# CHECKS (330), TOTAL (535): seconds from the start after which running checks, and all programs,
# are ended; a claim without time is missed. ROWS: the timings, as for pair.sh, the most important
# first.
set -u
begin=$(date +%s)
# shellcheck source-path=SCRIPTDIR source=env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
checks_end=$((begin + ${CHECKS:-330})) end=$((begin + ${TOTAL:-535}))
ROWS=${ROWS:-gpt:peer gpt:stream:plain:1 gpt:starpu:plain:1 mixtral:peer mixtral:stream:plain:1
	host:peer host:stream:plain:2 gpt:share mixtral:share gpt:stream:plain:1:zero
	mixtral:stream:plain:1:zero host:starpu:plain:2 mixtral:starpu:plain:1
	mixtral:stream:plain:2:zero}
# Jobs of two ranks, the most important first: settings, a script of this folder, its arguments.
jobs=("run.sh ranks" "run.sh two-nodes" "faults.sh faults" "LATE_ROWS=fsmoe faults.sh late"
	"LATE_ROWS=ds-moe faults.sh late" "LATE_ROWS=tutel faults.sh late"
	"LATE_ROWS=tutel-improved faults.sh late" "LATE_ROWS=pipemoe-lina faults.sh late"
	"LATE_ROWS=fsmoe-no-iio faults.sh late" "run.sh bands" "run.sh one-node" "faults.sh four")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'kill $(jobs -p); exit 143' INT TERM
# The peer's processes share what torch's compiler makes.
export TORCHINDUCTOR_CACHE_DIR=$work/inductor TRITON_CACHE_DIR=$work/triton

say()
{
	echo "-- $(($(date +%s) - begin)) s: $*"
}

# part NAME SCRIPT ARGUMENT...: runs a script of this folder with an $OUT of its own, and with
# StarPU's measurements of the links to as many GPUs as it sees, if there are any yet.
part()
{
	local name=$1 script=$2 links=$work/two
	[[ ${CUDA_VISIBLE_DEVICES:-0,1} == *,* ]] || links=$work/one
	shift 2
	mkdir -p "$work/$name/starpu"
	[ ! -d "$links" ] || cp -R "$links/." "$work/$name/starpu/"
	OUT=$work/$name DEADLINE=$checks_end STARPU_HOME=$work/$name/starpu \
		bash "$here/$script" "$@" >"$work/$name/said.txt" 2>&1
}

# take: prints the number of the next job; each chain gets another one.
take()
{
	(
		flock 9
		n=$(cat "$work/next" 2>/dev/null || echo 0)
		echo $((n + 1)) >"$work/next"
		echo "$n"
	) 9>"$work/lock"
}

# chain GPUS: runs one job of two ranks after another while jobs and time are left.
chain()
{
	local n word settings job
	export CUDA_VISIBLE_DEVICES=$1
	while n=$(take) && [ "$n" -lt ${#jobs[@]} ]; do
		settings=() job=()
		for word in ${jobs[n]}; do
			if [[ $word == *=* ]]; then settings+=("$word"); else job+=("$word"); fi
		done
		(
			[ ${#settings[@]} -eq 0 ] || export "${settings[@]}"
			part "job-$n" "${job[@]}"
		)
		say "${jobs[n]}: done"
	done
}

# Every job ends by itself; one that does not is ended.
wait_for()
{
	local pid late=$((checks_end + 12))
	for pid in "$@"; do
		while kill -0 "$pid" 2>/dev/null && [ "$(date +%s)" -lt $late ]; do
			sleep 0.5
		done
		kill -TERM "$pid" 2>/dev/null && say "a lane did not end"
	done
}

# Reads the files that all programs will read.
read_ahead()
{
	local torch
	ldd "$bundle/bin/fsmoe" | awk '$3 ~ /^\// { print $3 }' | xargs cat
	torch=$(env -u LD_LIBRARY_PATH python3 \
		-c 'import torch; print(torch.__path__[0])' 2>/dev/null)
	[ -z "$torch" ] || find "$torch/lib" -name '*.so*' -exec cat {} +
}

# The peer compiles for its shapes, but for any size of the experts' hidden layer.
warm()
{
	local width
	for width in 2048 4096; do
		limited 120 env -u LD_LIBRARY_PATH python3 -m torch.distributed.run --standalone \
			--nproc_per_node=2 "$bundle/peer/bench_ideal.py" --compile 1 --iters 1 \
			--warmup 1 \
			--parts 0 --batch 4 --seq 1024 --experts 8 --topk 2 --capacity-factor 1.2 \
			--dtype bf16 --model-dim $width --hidden 64
	done
}

# Lets StarPU measure the links of two GPUs once.
measure_links()
{
	mkdir -p "$work/two"
	CUDA_VISIBLE_DEVICES=0,1 STARPU_HOME=$work/two DEADLINE=$checks_end limited 60 \
		"$bundle/bin/check-cuda" faults >"$work/links.txt" 2>&1
}

# The check of memory needs a GPU of its own. Starting programs slow each other down, jobs of two
# ranks most of all, so these begin when the sanitizers have ended.
checks()
{
	local room sanitizers=() singles=() chains=() a=0 b=1 other=0,1
	if [ "$(nvidia-smi -L | wc -l)" -ge 4 ]; then
		a=2 b=3 other=2,3
		(measure_links; chain 0,1) &
		chains+=($!)
	fi
	read_ahead >/dev/null 2>&1 &
	CUDA_VISIBLE_DEVICES=$b CHECK_PARTS=room CHECK_LIMIT=60 part room run.sh check &
	room=$!
	CUDA_VISIBLE_DEVICES=$a CHECK_PARTS="faults ops moe gates bf16 training" part tables \
		run.sh check &
	singles+=($!)
	SANITIZE_TOOLS=memcheck SANITIZE_GPU=$a part memcheck run.sh sanitize &
	sanitizers+=($!)
	wait_for $room
	say "memory was measured"
	cp -R "$work/room/starpu" "$work/one"
	CUDA_VISIBLE_DEVICES=$b CHECK_PARTS="band replan large" part band run.sh check &
	singles+=($!)
	SANITIZE_TOOLS=racecheck SANITIZE_GPU=$b part racecheck run.sh sanitize &
	sanitizers+=($!)
	AGREE=gpt CUDA_VISIBLE_DEVICES=$b part agree-gpt run.sh agree refusal &
	singles+=($!)
	AGREE=mixtral CUDA_VISIBLE_DEVICES=$a part agree-mixtral run.sh agree &
	singles+=($!)
	(CUDA_VISIBLE_DEVICES=$a,$b DEADLINE=$checks_end warm) >"$work/warm.txt" 2>&1 &
	singles+=($!)
	wait_for "${sanitizers[@]}"
	say "the sanitizers are done"
	if [ ${#chains[@]} -eq 0 ]; then
		(measure_links; chain 0,1) &
		chains+=($!)
	fi
	wait_for "${singles[@]}"
	say "what needs one GPU is done"
	chain $other &
	wait_for "${chains[@]}" $!
}

timings()
{
	mkdir -p "$work/layers"
	# One word per row.
	# shellcheck disable=SC2086
	CUDA_VISIBLE_DEVICES=0,1 OUT=$work/layers DEADLINE=$end PARTS=no STARPU_HOME=$work/two \
		bash "$here/pair.sh" $ROWS \
		2>&1 | tee "$work/layers/said.txt"
}

export SANITIZE_SECONDS=${SANITIZE_SECONDS:-100}
say "checks"
checks
nvidia-smi --query-compute-apps=pid,name --format=csv,noheader 2>/dev/null |
	sed 's/^/-- still on a GPU: /'
say "timings"
timings
say "done"
folders=("$work"/*/results.tsv)
folders=("${folders[@]%/results.tsv}")
for folder in "${folders[@]}"; do
	echo "=== ${folder##*/}"
	cat "$folder/said.txt" "$folder/log.txt"
done >>"$OUT/log.txt" 2>/dev/null
cat "$work/links.txt" "$work/warm.txt" >>"$OUT/log.txt"
for name in summary.txt layers.csv layers.jsonl; do
	cat "$work"/*/$name >"$OUT/$name" 2>/dev/null
done
python3 "$here/claims.py" "$OUT" "${folders[@]}"
status=$?
say "logs in $OUT"
exit $status
