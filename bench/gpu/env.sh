#!/bin/bash
# env.sh: sourced by the scripts of this folder that run a bundle. It finds the bundle (the folder
# above this one, or build-gpu in the current one) and the libraries, makes $OUT (default: a new
# folder in $TMPDIR) and writes machine.txt. Sets bundle, OUT, LD_LIBRARY_PATH, and mpi (mpirun with
# its options; empty: no mpirun). Shared functions are at the end.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bundle=$(dirname "$here")
[ -x "$bundle/bin/check-cuda" ] || bundle=$PWD/build-gpu
[ -x "$bundle/bin/check-cuda" ] || { echo "env.sh: no bundle in $bundle" >&2; exit 2; }
OUT=${OUT:-$(mktemp -d)}
mkdir -p "$OUT"
: >"$OUT/log.txt"

# --- libraries: the bundle's, then CUDA's wherever this machine keeps them ---------------------

cuda_folder()
{
	local name=$1 folder
	# An array of patterns on purpose.
	for folder in ${CUDA_HOME:+"$CUDA_HOME/lib64"} /usr/local/cuda/lib64 /usr/local/cuda/lib \
		/usr/local/cuda/targets/x86_64-linux/lib /usr/lib/x86_64-linux-gnu /usr/local/lib \
		/usr/local/lib/python3*/dist-packages/nvidia/*/lib \
		/usr/local/lib/python3*/site-packages/nvidia/*/lib \
		/usr/lib/python3/dist-packages/nvidia/*/lib \
		/opt/*/lib/python3*/site-packages/nvidia/*/lib; do
		[ -e "$folder/$name" ] && { echo "$folder"; return; }
	done
	python3 - "$name" <<'EOF' 2>/dev/null
import glob, os, sys, sysconfig
for base in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *sys.path}:
    for hit in glob.glob(os.path.join(base or ".", "nvidia", "*", "lib", sys.argv[1])):
        print(os.path.dirname(hit))
        sys.exit()
EOF
}

path=$bundle/lib
for name in libcudart.so.13 libcublas.so.13 libcublasLt.so.13 libcusparse.so.12 libnvJitLink.so.13 \
	libnccl.so.2; do
	folder=$(cuda_folder $name)
	[ -n "$folder" ] || { ldconfig -p | grep -q "$name" || echo "env.sh: $name was not found";
		continue; }
	case :$path: in *:"$folder":*) ;; *) path=$path:$folder ;; esac
done
export LD_LIBRARY_PATH=$path${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
if ldd "$bundle/bin/check-cuda" | grep -q 'not found'; then
	LD_LIBRARY_PATH=$LD_LIBRARY_PATH:$bundle/lib-if-none
fi
ldd "$bundle/bin/check-cuda" | tee -a "$OUT/log.txt" | grep 'not found'
export NCCL_NVLS_ENABLE=0 CUDA_MODULE_LOADING=EAGER CUDA_DEVICE_MAX_CONNECTIONS=32
unset NVIDIA_TF32_OVERRIDE
{
	cat "$bundle/version"
	du -sk "$bundle" | sed 's/\t.*/ KiB of bundle/'
	nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader
	nvcc --version 2>/dev/null | tail -1
	uname -r
	nproc
} >"$OUT/machine.txt" 2>&1
[ -n "${DEADLINE:-}" ] || cat "$OUT/machine.txt"

mpi=()
if command -v mpirun >/dev/null; then
	mpi=("$(command -v mpirun)" --allow-run-as-root --oversubscribe --bind-to none)
	for name in LD_LIBRARY_PATH NCCL_NVLS_ENABLE NCCL_P2P_DISABLE CUDA_MODULE_LOADING \
		CUDA_DEVICE_MAX_CONNECTIONS; do
		mpi+=(-x "$name")
	done
fi
export NCCL_P2P_DISABLE=${NCCL_P2P_DISABLE:-0}
left_behind=0

# --- running ------------------------------------------------------------------------------------

# limited SECONDS COMMAND...: runs a command under that time limit, and no longer than until
# DEADLINE (seconds since the epoch), if set. Ends processes that the command leaves running;
# left_behind is then 1. Status 124: it took too long; 125: no time was left, nothing was run.
limited()
{
	local limit=$1 left status pid traps
	shift
	left_behind=0
	left=$((${DEADLINE:-9999999999} - $(date +%s)))
	[ $left -ge 5 ] || return 125
	[ "$limit" -le $left ] || limit=$left
	setsid timeout -k 4 "$limit" "$@" &
	pid=$!
	traps=$(trap -p INT TERM)
	trap 'pkill -KILL -s $pid; exit 143' INT TERM
	wait $pid
	status=$?
	trap - INT TERM
	eval "$traps"
	for _ in 1 2 3 4 5; do
		pgrep -s $pid >/dev/null || return $status
		sleep 0.5
	done
	left_behind=1
	pkill -KILL -s $pid
	return $status
}

# state_of STATUS [WANTED]: names an exit status of limited.
state_of()
{
	case $1 in
	"${2:-0}") [ "$left_behind" = 0 ] && echo ok || echo "LEFT BEHIND" ;;
	77) echo skipped ;;
	124 | 137) echo "TIME OUT" ;;
	125) echo "not run" ;;
	*) echo "FAILED ($1)" ;;
	esac
}

# result NAME STATE SECONDS [TEXT]: writes a line of the summary, and of results.tsv.
result()
{
	printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "${4:-}" >>"$OUT/results.tsv"
	printf '%-28s %-12s %4d s  %s\n' "$1" "$2" "$3" "${4:-}" | tee -a "$OUT/summary.txt"
}

# complaint FILE: prints the line that most likely explains the failure.
complaint()
{
	grep -m 1 -E 'error: |: fail|[a-z]Error:|FAILED|off by|differ|No such' "$1" | cut -c1-150
}

# values KEY FILE: prints the numbers of that name in lines of JSON, one per line.
values()
{
	grep -o "\"$1\": [^,}]*" "$2" | sed 's/.*: //'
}
