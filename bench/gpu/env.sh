#!/bin/bash
# env.sh: sourced by the scripts of this folder where a bundle runs. Finds the bundle, which is the
# folder above this one or build-gpu in the current one, makes $OUT (default: a new folder in
# $TMPDIR), finds the libraries, writes machine.txt. Sets bundle, OUT, LD_LIBRARY_PATH.
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
	[ -n "$folder" ] || { ldconfig -p | grep -q "$name" || echo "env.sh: $name was not found"; continue; }
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
	nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader
	nvcc --version 2>/dev/null | tail -1
	uname -r
	nproc
} >"$OUT/machine.txt" 2>&1
cat "$OUT/machine.txt"
