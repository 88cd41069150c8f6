# StarPU: one that pkg-config finds and that has what fsmoe needs, or one built here from the
# distribution's source package, once per set of options, in the cache.

starpu_options="--with-fxt --enable-maxcpus=64 --enable-maxcudadev=8 --enable-maxnodes=16
	--enable-maxbuffers=16 --disable-opencl --disable-build-doc --disable-build-tests
	--disable-build-examples --disable-fortran --disable-socl --disable-starpufft
	--disable-starpurm --disable-openmp --disable-mlr"

find_nvcc()
{
	command -v nvcc || { [ -x "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" ] && echo "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc"; } || true
}

# Does this StarPU do?  $1: a pkg-config path to prepend, or nothing for the system's own.
starpu_suffices()
{
	local module header
	for module in starpu-1.4 starpu-1.3; do
		PKG_CONFIG_PATH=$1${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH} pkg-config --exists "$module" 2>/dev/null || continue
		header=$(PKG_CONFIG_PATH=$1${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH} pkg-config --cflags "$module")
		# shellcheck disable=SC2086
		printf '%s\n' '#include <starpu_config.h>' \
			'#if !defined(STARPU_USE_FXT) || STARPU_MAXCPUS < 8 || STARPU_NMAXBUFS < 16' '#error' '#endif' \
			${use_cuda:+'#ifndef STARPU_USE_CUDA'} ${use_cuda:+'#error'} ${use_cuda:+'#endif'} |
			cc $header -E - >/dev/null 2>&1 && return 0
	done
	return 1
}

# A private copy of the package configuration with the source entries switched on: the user's own
# stays as it is.
private_apt()
{
	local etc=$1/apt f
	rm -rf "$etc"
	mkdir -p "$etc/parts" "$etc/lists/partial"
	for f in /etc/apt/sources.list.d/*.sources; do
		[ -e "$f" ] && sed 's/^Types:.*/Types: deb-src/' "$f" >"$etc/parts/$(basename "$f")"
	done
	for f in /etc/apt/sources.list.d/*.list /etc/apt/sources.list; do
		[ -e "$f" ] && sed -n 's/^deb /deb-src /p' "$f" >"$etc/parts/$(basename "$f" .list).list"
	done
	apt_private=(-o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$etc/parts"
		-o "Dir::State::lists=$etc/lists" -o "APT::Sandbox::User=root" -o "Debug::NoLocking=1"
		-o "Dir::Cache::srcpkgcache=" -o "Dir::Cache::pkgcache=")
}

fetch_starpu_source()
{
	private_apt "$cache"
	mkdir -p "$cache/src"
	cd "$cache/src"
	rm -rf starpu starpu-*
	apt-get "${apt_private[@]}" update -q
	apt-get "${apt_private[@]}" source -q starpu
	mv starpu-*/ starpu
}

# Three small edits that let StarPU 1.3 compile against CUDA 13, which dropped
# cudaDeviceProp.computeMode and the legacy cuBLAS interface StarPU does not use.
edit_starpu_for_cuda13()
{
	local d=src/drivers/cuda
	grep -q computeMode $d/driver_cuda.c || return 0
	sed -i 's/[a-z]*\[[a-z]*\]\.computeMode *== *cudaComputeModeExclusive/0/' $d/driver_cuda.c
	sed -i 's/#include <cublas\.h>/#include <cublas_v2.h>/' $d/driver_cuda.h
	sed -i -e '/#include <cublas\.h>/d' -e 's/cublasStatus cublasst/cublasStatus_t cublasst/' \
		-e 's/cublasInit()/CUBLAS_STATUS_SUCCESS/' -e 's/cublasSetKernelStream(.*);/(void)0;/' \
		-e 's/cublasShutdown()/(void)0/' $d/starpu_cublas.c
}

build_starpu()
{
	local prefix=$1 cuda
	cd "$cache/src/starpu"
	cuda=--disable-cuda
	if [ -n "$use_cuda" ]; then
		edit_starpu_for_cuda13
		cuda="--enable-cuda --with-cuda-dir=$(dirname "$(dirname "$(readlink -f "$(find_nvcc)")")")"
	fi
	# shellcheck disable=SC2086
	./configure --prefix="$prefix.part" $starpu_options $cuda CFLAGS="-O2 -g -Wno-deprecated-declarations"
	make -j"$jobs"
	make install
	# pkg-config files and libtool archives name the final place
	grep -rlI "$prefix.part" "$prefix.part" | xargs -r sed -i "s,$prefix\.part,$prefix,g"
	mv "$prefix.part" "$prefix"
}

find_or_build_starpu()
{
	use_cuda=
	case ${FSMOE_CUDA:-auto} in
	auto) [ -n "$(find_nvcc)" ] && use_cuda=yes ;;
	yes) [ -n "$(find_nvcc)" ] || die "FSMOE_CUDA=yes, but there is no nvcc on PATH or in \$CUDA_HOME/bin" ;&
	no) [ "${FSMOE_CUDA}" = yes ] && use_cuda=yes ;;
	*) die "FSMOE_CUDA is '${FSMOE_CUDA}': use auto, yes or no" ;;
	esac

	if starpu_suffices ""; then
		return
	fi
	local version key prefix
	version=$(apt-cache show starpu libstarpu-dev 2>/dev/null | sed -n 's/^Version: *\([0-9.]*\).*/\1/p' | head -n 1)
	key=$(printf '%s' "$starpu_options cuda=$use_cuda $(declare -f edit_starpu_for_cuda13)" | sha256sum | cut -c1-10)
	prefix=$cache/starpu-${version:-debian}${use_cuda:+-cuda}-$key
	if [ ! -e "$prefix/lib/pkgconfig/starpu-1.3.pc" ]; then
		rm -rf "$prefix" "$prefix.part"
		step starpu-source "fetching StarPU's source package" fetch_starpu_source
		step starpu-build "building StarPU${use_cuda:+ with CUDA}" build_starpu "$prefix"
	fi
	export PKG_CONFIG_PATH=$prefix/lib/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
	export STARPU_PREFIX=$prefix
}
