#!/bin/bash
# pair.sh [PART | ROW]...: one MoE layer in bf16 on two GPUs of a host beside the PyTorch layer of
# bench/peer, from a bundle as run.sh. Parts: gpt, mixtral (over NVLink), host (gpt through host
# memory, NCCL_P2P_DISABLE=1). Default: all. A part runs its peer and the rows of $ROWS. A single
# row is PART:peer, PART:EXECUTOR:SCHEDULE:CHUNKS[:CTA POLICY], or PART:share (the cost of StarPU:
# pairs of `executors`). Schedule plain: weight gradients once a layer, after all chunks. Without
# PyTorch, or with PEER=0, only our layers run.
#
# layers.jsonl in $OUT has a line per run, layers.csv the same numbers as a table. Last it prints
# medians with p10 and p90 in milliseconds, and the ratio to the peer's median of the same part.
# Exit status 1: a run failed, or its check values are not the peer's.
set -u
# shellcheck source-path=SCRIPTDIR source=env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
[ $# -gt 0 ] || set -- gpt host mixtral
[ ${#mpi[@]} -gt 0 ] || { echo "pair.sh: no mpirun here" >&2; exit 2; }
failures=0
lines=$OUT/layers.jsonl
: >"$lines"
ITERS=${ITERS:-40}
ROWS=${ROWS:-"peer stream:plain:1 starpu:plain:1 stream:plain:2 starpu:plain:2 stream:fsmoe:2 \
stream:tutel:2"}
layer=(--batch 4 --seq 1024 --experts 8 --topk 2 --capacity-factor 1.2 --dtype bf16)

# keep TAG COMMAND...: runs a command and keeps the line of JSON that it prints last.
keep()
{
	local tag=$1 start=$SECONDS line status said
	shift
	limited "${LIMIT:-110}" "$@" --tag "$tag" >"$OUT/run.log" 2>&1
	status=$?
	cat "$OUT/run.log" >>"$OUT/log.txt"
	line=$(grep '^{' "$OUT/run.log" | tail -n 1)
	[ -n "$line" ] || [ $status -ne 0 ] || status=1
	if [ $status -eq 0 ]; then
		echo "$line" >>"$lines"
		said=$(echo "$line" | grep -o '"step_ms": {[^}]*}')
	else
		said=$(complaint "$OUT/run.log")
		failures=$((failures + 1))
	fi
	result "$ffn $tag" "$(state_of $status)" $((SECONDS - start)) "${said:-}"
}

ours() # FABRIC P2P EXECUTOR SCHEDULE CUTS POLICY OPTION...
{
	local fabric=$1 p2p=$2 executor=$3 schedule=$4 cuts=$5 policy=$6 row=()
	shift 6
	[ "$schedule" = plain ] || row=(--schedule "$schedule")
	NCCL_P2P_DISABLE=$p2p keep "$fabric fsmoe $executor $schedule $cuts${policy:+ $policy}" \
		"${mpi[@]}" \
		-np 2 "$bundle/bin/fsmoe" bench layer --device cuda --bind --executor "$executor" \
		--cuts "$cuts" --cta-policy "${policy:-default}" --iters "$ITERS" --warmup 10 \
		"${row[@]}" "$@"
}

peer() # FABRIC P2P OPTION...
{
	local fabric=$1 p2p=$2
	shift 2
	[ "${PEER:-1}" = 1 ] || return
	python3 -c 'import torch' 2>/dev/null ||
		{ result "$ffn $fabric peer" "not there" 0 "no PyTorch here"; return; }
	NCCL_P2P_DISABLE=$p2p TORCH_SYMM_MEM_DISABLE_MULTICAST=1 keep "$fabric peer" \
		env -u LD_LIBRARY_PATH python3 -m torch.distributed.run --standalone \
		--nproc_per_node=2 "$bundle/peer/bench_ideal.py" --compile 1 --iters "$ITERS" \
		--warmup 15 "$@"
}

# 21 pairs of 5 steps, with the default chains of tasks.
share() # NAME P2P OPTION...
{
	local name=$1 p2p=$2 start=$SECONDS state
	shift 2
	NCCL_P2P_DISABLE=$p2p limited 120 "${mpi[@]}" -np 2 "$bundle/bin/executors" "$@" --nodes 2 \
		--settings 1 >"$OUT/run.log" 2>&1
	state=$(state_of $?)
	cat "$OUT/run.log" >>"$OUT/log.txt"
	[ "$state" = ok ] || failures=$((failures + 1))
	result "$name share" "$state" $((SECONDS - start)) \
		"$(grep -o 'StarPU .* ms .*)' "$OUT/run.log" | tail -n 1 | cut -c1-150)"
}

one() # ROW FABRIC P2P FFN M H
{
	local how=$1 fabric=$2 p2p=$3 executor schedule cuts policy options
	ffn=$4
	options=("${layer[@]}" --ffn "$4" --model-dim "$5" --hidden "$6")
	case $how in
	peer) peer "$fabric" "$p2p" "${options[@]}" ;;
	share) share "$fabric $4" "$p2p" "${options[@]}" ;;
	*)
		IFS=: read -r executor schedule cuts policy <<<"$how"
		ours "$fabric" "$p2p" "$executor" "$schedule" "$cuts" "$policy" "--parts=$parts" \
			"${options[@]}"
		parts=no ;;
	esac
}

# Writes layers.csv, prints the table, and fails if check values are off by more than the roundings
# to bf16 on one path through the layer: see agree in run.sh.
table()
{
	python3 - "$lines" "$OUT/layers.csv" <<'END'
import csv, json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
peers, bad = {}, 0
keys = ("y_rms", "y_dy", "dx_rms", "dwg_rms", "dwe_rms")
for r in rows:
    r["fabric"], _, r["row"] = r["tag"].partition(" ")
    if r["row"] == "peer":
        peers[r["fabric"], r["ffn"]] = r
out = csv.writer(open(sys.argv[2], "w"))
out.writerow(["fabric", "ffn", "row", "step", "p10", "p90", "forward", "backward", "gemm", "a2a4",
              "ratio", "as_peer", *keys])
print("%-7s %-8s %-24s %8s %15s %7s %7s %6s %s" % ("fabric", "ffn", "row", "ms", "p10..p90",
                                             "forward", "gemm", "ratio", "check"))
for r in rows:
    s, p = r["step_ms"], peers.get((r["fabric"], r["ffn"]))
    ratio = s["median"] / p["step_ms"]["median"] if p else float("nan")
    check = r["check"]
    off = ""
    if p and r is not p:
        n = r["batch"] * r["seq"] * r["model_dim"]
        for k in keys:
            most = 6 * check["y_rms"] / n ** 0.5 if k == "y_dy" else p["check"][k]
            most /= 2 ** 6
            if not abs(check[k] - p["check"][k]) <= most:
                off += " %s %.5g not %.5g" % (k, check[k], p["check"][k])
                bad = 1
    gemm = r.get("gemm_ms", {}).get("median", float("nan"))
    a2a = r.get("a2a4_ms", {}).get("median", float("nan"))
    out.writerow([r["fabric"], r["ffn"], r["row"], s["median"], s["p10"], s["p90"],
                  r["fwd_ms"]["median"], r["bwd_ms"]["median"], gemm, a2a, round(ratio, 3),
                  "-" if not p or r is p else "no" if off else "yes", *(check[k] for k in keys)])
    print("%-7s %-8s %-24s %8.3f %6.2f .. %6.2f %7.3f %7.2f %6.3f %s" % (
        r["fabric"], r["ffn"], r["row"], s["median"], s["p10"], s["p90"], r["fwd_ms"]["median"],
        gemm, ratio, off or ("as the peer's" if p and r is not p else "")))
sys.exit(bad)
END
}

for name in "$@"; do
	part=${name%%:*} rows=${name#*:}
	[ "$part" != "$name" ] || rows=$ROWS
	parts=${PARTS:-yes} # once a part
	for how in $rows; do
		case $part in
		gpt) one "$how" nvlink 0 gpt 2048 8192 ;;
		host) one "$how" host 1 gpt 2048 8192 ;;
		mixtral) one "$how" nvlink 0 mixtral 4096 14336 ;;
		*)
			echo "pair.sh: no part '$part': gpt, host or mixtral" >&2
			exit 2 ;;
		esac
	done
done
table || failures=$((failures + 1))
echo "$failures failures; layers.csv, layers.jsonl and log.txt in $OUT"
[ $failures -eq 0 ]
