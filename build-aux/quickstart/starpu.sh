# StarPU: one that pkg-config finds and that has what fsmoe needs, or one built here from the
# distribution's source package, once per set of options, in the cache.

starpu_options=(--with-fxt --enable-maxcpus=64 --enable-maxcudadev=8 --enable-maxnodes=16
	--enable-maxbuffers=16 --disable-static --disable-opencl --disable-build-doc
	--disable-build-tests --disable-build-examples --disable-fortran --disable-socl
	--disable-starpufft --disable-starpurm --disable-openmp --disable-mlr)

find_nvcc()
{
	local home=${CUDA_HOME:-/usr/local/cuda}
	command -v nvcc || { [ -x "$home/bin/nvcc" ] && echo "$home/bin/nvcc"; } || true
}

# Sets use_cuda and cuda_home from FSMOE_CUDA and what is there.
decide_cuda()
{
	local nvcc why=
	use_cuda='' cuda_home=''
	nvcc=$(find_nvcc)
	if [ -z "$nvcc" ]; then
		why="there is no nvcc on PATH or in \$CUDA_HOME/bin"
	else
		cuda_home=$(dirname "$(dirname "$(readlink -f "$nvcc")")")
		[ -e "$cuda_home/include/cublas_v2.h" ] && [ -e "$cuda_home/include/cusparse.h" ] ||
			why="$cuda_home has nvcc but not the headers of cuBLAS and cuSPARSE"
	fi
	case ${FSMOE_CUDA:-auto} in
	auto) [ -n "$why" ] || use_cuda=yes ;;
	yes)
		[ -z "$why" ] || die "FSMOE_CUDA=yes, but $why"
		use_cuda=yes
		;;
	no) ;;
	*) die "FSMOE_CUDA is '$FSMOE_CUDA': use auto, yes or no" ;;
	esac
}

# Does the StarPU that pkg-config finds do?
starpu_suffices()
{
	local module flags \
		lacks='!defined(STARPU_USE_FXT) || STARPU_MAXCPUS < 8 || STARPU_NMAXBUFS < 16'
	[ -z "$use_cuda" ] || lacks+=' || !defined(STARPU_USE_CUDA)'
	for module in starpu-1.4 'starpu-1.3 >= 1.3.10'; do
		flags=$(pkg-config --cflags "$module" 2>/dev/null) || continue
		# shellcheck disable=SC2086
		printf '%s\n' '#include <starpu_config.h>' "#if $lacks" '#error' '#endif' |
			cc $flags -E - >/dev/null 2>&1 && return 0
	done
	return 1
}

# A private copy of the package configuration with the source entries switched on: the user's own
# stays as it is. Sets apt_private, the options that make apt-get read the copy.
private_apt()
{
	local copy=$1 f
	rm -rf "$copy"
	mkdir -p "$copy/parts" "$copy/lists/partial" "$copy/cache"
	for f in /etc/apt/sources.list.d/*.sources; do
		[ -e "$f" ] && sed 's/^Types:.*/Types: deb-src/' "$f" >"$copy/parts/${f##*/}"
	done
	for f in /etc/apt/sources.list.d/*.list /etc/apt/sources.list; do
		[ -e "$f" ] && sed -n -e 's/^deb[[:space:]]/deb-src /p' \
			-e '/^deb-src[[:space:]]/p' "$f" |
			sort -u >"$copy/parts/$(basename "$f" .list).list"
	done
	apt_private=(-o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$copy/parts"
		-o "Dir::State::lists=$copy/lists" -o "Dir::Cache=$copy/cache"
		-o "APT::Sandbox::User=root"
		-o "Debug::NoLocking=1")
}

fetch_starpu_source()
{
	private_apt "$1.apt"
	rm -rf "$1"
	mkdir -p "$1"
	cd "$1"
	# One repository without sources does not matter: whether StarPU's came is seen next.
	apt-get "${apt_private[@]}" update -q || true
	apt-get "${apt_private[@]}" source -q starpu
	rm -rf "$1.apt"
	mv starpu-*/ tree
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
		-e 's/cublasInit()/CUBLAS_STATUS_SUCCESS/' \
		-e 's/cublasSetKernelStream(.*);/(void)0;/' \
		-e 's/cublasShutdown()/(void)0/' $d/starpu_cublas.c
}

# build_starpu SOURCE PREFIX: in place at once or not at all.
build_starpu()
{
	local source=$1 prefix=$2 ldflags= cuda=(--disable-cuda)
	cd "$source/tree"
	if [ -n "$use_cuda" ]; then
		edit_starpu_for_cuda13
		cuda=(--enable-cuda --with-cuda-dir="$cuda_home")
		[ -d "$cuda_home/lib64" ] && ldflags=-Wl,-rpath,$cuda_home/lib64
	fi
	./configure --prefix="$prefix" --libdir="$prefix/lib" "${starpu_options[@]}" "${cuda[@]}" \
		CFLAGS="-O2 -g1 -Wno-deprecated-declarations" LDFLAGS="$ldflags"
	make -j"$jobs"
	make install DESTDIR="$source/stage"
	rm -rf "$prefix"
	mv "$source/stage$prefix" "$prefix"
	rm -rf "$source"
}

# Everything that decides what the build would be.
starpu_key()
{
	# shellcheck disable=SC1091
	{
		. /etc/os-release
		echo "${ID:-} ${VERSION_ID:-} $(uname -m) ${starpu_options[*]}"
		declare -f build_starpu edit_starpu_for_cuda13
		[ -z "$use_cuda" ] || { echo "$cuda_home"; "$(find_nvcc)" --version; }
	} | sha256sum | cut -c1-10
}

use_starpu()
{
	export PKG_CONFIG_PATH=$1/lib/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
	export PATH=$1/bin:$PATH
}

# use_cached_starpu KEY: 1 when there is none.
use_cached_starpu()
{
	local prefix
	for prefix in "$cache"/starpu-*-"$1"; do
		[ -d "$prefix/lib/pkgconfig" ] || continue
		use_starpu "$prefix"
		return 0
	done
	return 1
}

find_or_build_starpu()
{
	local key source version
	decide_cuda
	starpu_suffices && return
	key=$(starpu_key)
	use_cached_starpu "$key" && return

	lock "$cache"
	if ! use_cached_starpu "$key"; then # another quickstart may have built it meanwhile
		source=$cache/building-$key
		install_packages "${starpu_packages[@]}"
		step starpu-source "fetching StarPU's source package" fetch_starpu_source "$source"
		version=$(sed -n 's/^PACKAGE_VERSION=.\([0-9.]*\).*/\1/p' "$source/tree/configure")
		step starpu-build "building StarPU $version ${use_cuda:+with CUDA}" \
			build_starpu "$source" "$cache/starpu-$version${use_cuda:+-cuda}-$key"
		use_cached_starpu "$key" || die "StarPU was built but is not in $cache"
	fi
	unlock
	starpu_suffices ||
		die "the StarPU built from the distribution's source lacks FxT or 16 buffers a" \
			"task; see $logs/starpu-build.log"
}
