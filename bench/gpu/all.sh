#!/bin/bash
# all.sh: what fsmoe claims of GPUs, checked and measured in one run of under nine minutes, from a
# bundle as run.sh, on a machine with two GPUs. What is no timing runs first and together, on both
# GPUs; then what is timed, alone. Printed last is a line a claim (claims.py); $OUT gets claims.csv,
# results.csv (a line a run), layers.csv and layers.jsonl (the timed layers), summary.txt,
# machine.txt, and log.txt with all output. Exit status 1 when a claim is missed.
#
# CHECKS (235) and TOTAL (515): seconds from the start until what still runs is ended, of the first
# part and of all. ROWS: what is timed, as pair.sh has it, the most important first.
set -u
begin=$(date +%s)
# shellcheck source-path=SCRIPTDIR source=env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
checks_end=$((begin + ${CHECKS:-235})) end=$((begin + ${TOTAL:-515}))
ROWS=${ROWS:-gpt:peer gpt:stream:plain:1 gpt:starpu:plain:1 mixtral:peer mixtral:stream:plain:1
	host:peer host:stream:plain:2 gpt:share mixtral:share gpt:stream:plain:1:zero
	mixtral:stream:plain:1:zero host:starpu:plain:2 mixtral:starpu:plain:1
	mixtral:stream:plain:2:zero}
work=$(mktemp -d)
folders=()
trap 'rm -rf "$work"' EXIT
trap 'kill $(jobs -p); exit 143' INT TERM
# What torch's compiler made is kept.
export TORCHINDUCTOR_CACHE_DIR=$work/inductor TRITON_CACHE_DIR=$work/triton

say()
{
	echo "-- $(($(date +%s) - begin)) s: $*"
}

# lane NAME SCRIPT ARGUMENT...: a script of this folder beside the others, with an $OUT of its own, and
# what StarPU measured of the links to as many GPUs as it sees, if somebody did already.
lane()
{
	local name=$1 script=$2 links=$work/two
	[ -z "${CUDA_VISIBLE_DEVICES:-}" ] || links=$work/one
	shift 2
	mkdir -p "$work/$name/starpu"
	[ ! -d "$links" ] || cp -R "$links/." "$work/$name/starpu/"
	folders+=("$work/$name")
	OUT=$work/$name DEADLINE=$checks_end STARPU_HOME=$work/$name/starpu \
		bash "$here/$script" "$@" >"$work/$name/said.txt" 2>&1 &
}

# Every lane ends by itself; one that does not is left behind.
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

# Files that everybody is going to read.
read_ahead()
{
	local torch
	ldd "$bundle/bin/fsmoe" | awk '$3 ~ /^\// { print $3 }' | xargs cat
	torch=$(env -u LD_LIBRARY_PATH python3 -c 'import torch; print(torch.__path__[0])' 2>/dev/null)
	[ -z "$torch" ] || find "$torch/lib" -name '*.so*' -exec cat {} +
}

# The peer compiles for its shapes, whatever the experts' hidden layer; with several GPUs, for each.
warm()
{
	local width
	for width in 2048 4096; do
		limited 120 env -u LD_LIBRARY_PATH python3 -m torch.distributed.run --standalone \
			--nproc_per_node=2 "$bundle/peer/bench_ideal.py" --compile 1 --iters 1 --warmup 1 \
			--parts 0 --batch 4 --seq 1024 --experts 8 --topk 2 --capacity-factor 1.2 \
			--dtype bf16 --model-dim $width --hidden 64
	done
}

# Memory is what one program takes of a GPU: nothing else is on that GPU then.
checks()
{
	local room lanes=()
	read_ahead >/dev/null 2>&1 &
	CUDA_VISIBLE_DEVICES=1 CHECK_PARTS=room CHECK_LIMIT=60 lane room run.sh check
	room=$!
	CUDA_VISIBLE_DEVICES=0 CHECK_PARTS="faults ops moe gates large bf16 training" \
		lane tables run.sh check
	lanes+=($!)
	SANITIZE_TOOLS=memcheck SANITIZE_GPU=0 lane memcheck run.sh sanitize
	lanes+=($!)
	wait_for $room
	say "memory was measured"
	mkdir -p "$work/two"
	cp -R "$work/room/starpu" "$work/one"
	STARPU_HOME=$work/two DEADLINE=$checks_end limited 60 "$bundle/bin/check-cuda" faults \
		>>"$OUT/log.txt" 2>&1
	lane one-node run.sh one-node
	lanes+=($!)
	lane two-ranks run.sh ranks
	lanes+=($!)
	LATE_ROWS="ds-moe tutel tutel-improved" lane late faults.sh late
	lanes+=($!)
	LATE_ROWS="pipemoe-lina fsmoe-no-iio fsmoe" lane later faults.sh late
	lanes+=($!)
	KILL_AFTER=20 lane faults faults.sh faults four
	lanes+=($!)
	(DEADLINE=$checks_end warm) >"$work/warm.txt" 2>&1 &
	lanes+=($!)
	lane two-nodes run.sh two-nodes refusal
	lanes+=($!)
	lane agree run.sh agree
	lanes+=($!)
	CUDA_VISIBLE_DEVICES=1 CHECK_PARTS="band replan" lane band run.sh check
	lanes+=($!)
	SANITIZE_TOOLS=racecheck SANITIZE_GPU=1 lane racecheck run.sh sanitize
	lanes+=($!)
	wait_for "${lanes[@]}"
}

timings()
{
	mkdir -p "$work/layers"
	folders+=("$work/layers")
	# One word a row.
	# shellcheck disable=SC2086
	OUT=$work/layers DEADLINE=$end PARTS=no STARPU_HOME=$work/two bash "$here/pair.sh" $ROWS \
		2>&1 | tee "$work/layers/said.txt"
}

export SANITIZE_SECONDS=${SANITIZE_SECONDS:-$((${CHECKS:-235} - 70))}
say "checks"
checks
nvidia-smi --query-compute-apps=pid,name --format=csv,noheader 2>/dev/null |
	sed 's/^/-- still on a GPU: /'
say "timings"
timings
say "done"
for folder in "${folders[@]}"; do
	echo "=== ${folder##*/}"
	cat "$folder/said.txt" "$folder/log.txt"
done >>"$OUT/log.txt" 2>/dev/null
cat "$work/warm.txt" >>"$OUT/log.txt"
for name in summary.txt layers.csv layers.jsonl; do
	cat "$work"/*/$name >"$OUT/$name" 2>/dev/null
done
python3 "$here/claims.py" "$OUT" "${folders[@]}"
status=$?
say "logs in $OUT"
exit $status
