#!/bin/sh
# bundle.sh [FOLDER]: packs the stripped programs and the shared libraries that a bare GPU machine
# needs to check and measure fsmoe. Run by `make gpu-bundle`; the default folder is build-gpu in the
# source tree. Prints its size; fails over 40 MiB.
#
#	bin/          programs and scripts; begin with all.sh
#	peer/         the PyTorch layer to measure against
#	text          something to train on
#	lib/          libraries; always used
#	lib-if-none/  MPI and hwloc; used if the machine has none
#	CUDA's own (libcuda, libcudart, libcublas, libnccl) are the machine's: see run.sh.
set -eu
top_srcdir=${top_srcdir:?run by make gpu-bundle}
top_builddir=${top_builddir:?run by make gpu-bundle}
out=${1:-$top_srcdir/build-gpu}
limit_kib=$((40 * 1024))

rm -rf "$out"
mkdir -p "$out/bin" "$out/lib" "$out/lib-if-none"

# libtool leaves the program itself in .libs when it needs a library of the build.
for program in fsmoe tests/cuda/check-cuda bench/gpu/executors bench/gpu/products; do
	real=$top_builddir/$(dirname $program)/.libs/$(basename $program)
	[ -e "$real" ] || real=$top_builddir/$program
	cp "$real" "$out/bin/"
	strip "$out/bin/$(basename $program)"
done
for script in all.sh env.sh run.sh pair.sh faults.sh claims.py; do
	cp "$top_srcdir/bench/gpu/$script" "$out/bin/"
done
mkdir -p "$out/peer"
cp "$top_srcdir"/bench/peer/*.py "$out/peer/"
cat "$top_srcdir"/*.md "$top_srcdir"/doc/*.md >"$out/text"

# Copies the libraries that the loader finds here, except the C library's and CUDA's. OpenBLAS is
# 35 MB: a small stand-in is enough for the few products on the host.
for program in fsmoe check-cuda executors products; do ldd "$out/bin/$program"; done |
	awk '$2 == "=>" && $3 ~ /^\// { print $1, $3 }' | sort -u |
	while read -r name path; do
		case $name in
		libc.so.* | libm.so.* | libdl.so.* | librt.so.* | libpthread.so.* | libutil.so.* | \
			libresolv.so.* | ld-linux* | libgcc_s.so.* | libstdc++.so.* | \
			libcuda.so.* | libcudart.so.* | libcublas.so.* | libcublasLt.so.* | \
			libcusparse.so.* | libnvJitLink.so.* | libnccl.so.*) continue ;;
		libopenblas.so.* | libblas.so.* | libgfortran.so.* | libquadmath.so.*) continue ;;
		libmpi.so.* | libopen-rte.so.* | libopen-pal.so.* | libhwloc.so.* | libevent* | \
			libpmix* | libz.so.* | libudev* | libxml2* | libcap.so.* | libicu* | \
			liblzma* | libltdl.so.* | libpciaccess*) to=lib-if-none ;;
		*) to=lib ;;
		esac
		cp -L "$path" "$out/$to/$name"
		chmod u+w "$out/$to/$name"
		strip --strip-unneeded "$out/$to/$name"
	done
for name in libopenblas.so.0 libblas.so.3; do
	${CC:-cc} -O3 -march=x86-64-v3 -shared -fPIC -Wl,-soname,$name \
		-o "$out/lib/$name" "$top_srcdir/bench/gpu/blas.c"
done

for name in late lost; do
	${CC:-cc} -O2 -shared -fPIC -o "$out/lib/$name.so" "$top_srcdir/bench/gpu/$name.c" -ldl
done

{
	echo "commit $(git -C "$top_srcdir" rev-parse --short HEAD 2>/dev/null || echo unknown)"
	echo "built $(date -u +%Y-%m-%dT%H:%MZ)"
} >"$out/version"
size=$(du -sk "$out" | cut -f1)
du -sk "$out"/*/* | sort -n
echo "$out: $size KiB"
[ "$size" -le $limit_kib ] || { echo "bundle.sh: over $limit_kib KiB" >&2; exit 1; }
