dnl CUDA: the compiler, the runtime, cuBLAS, NCCL.

dnl FSMOE_FIND_CUDA_FILE(VARIABLE, FILE, FOLDERS): the first of the folders that has the file.
AC_DEFUN([FSMOE_FIND_CUDA_FILE],[
$1=
for fsmoe_folder in $3; do
	AS_IF([test "x$$1" = x && test -e "$fsmoe_folder/$2"],[$1=$fsmoe_folder])
done
])

dnl Sets cuda=yes when the CUDA code is built, else cuda_why.
AC_DEFUN([FSMOE_CHECK_CUDA],[
AC_ARG_VAR([NVCC],[the CUDA compiler])
AC_ARG_VAR([NVCCFLAGS],[flags for the CUDA compiler, after fsmoe's own])
AC_ARG_VAR([CUDA_HOME],[where the CUDA Toolkit is, when nvcc is not on PATH])
AC_ARG_WITH([cuda],[AS_HELP_STRING([--with-cuda=auto|yes|no],
	[CUDA (default auto: when nvcc, cuBLAS and NCCL are found and StarPU was built with CUDA)])],
	[],[with_cuda=auto])
AC_ARG_WITH([cuda-arch],[AS_HELP_STRING([--with-cuda-arch=LIST],
	[GPU generations to build for, with commas (default 90: H100, H200)])],[],[with_cuda_arch=90])
AC_ARG_WITH([nccl],[AS_HELP_STRING([--with-nccl=DIR],
	[where NCCL's include and lib folders are (default: the CUDA Toolkit, then the system)])],
	[],[with_nccl=])
cuda=no
AS_CASE([$with_cuda],
	[no],[cuda_why="--with-cuda=no"],
	[auto|yes],[
		AC_PATH_PROG([NVCC],[nvcc],[],[$PATH$PATH_SEPARATOR${CUDA_HOME:-/usr/local/cuda}/bin])
		AS_IF([test "x$NVCC" = x],[cuda_why="nvcc was not found on PATH or in \$CUDA_HOME/bin"],
			[test "x$starpu_cuda" = xno],[cuda_why="this StarPU was built without CUDA"],
			[FSMOE_CHECK_CUDA_LIBRARIES])
		AS_IF([test "$with_cuda$cuda" = yesno],
			[AC_MSG_ERROR([--with-cuda=yes was asked for, but $cuda_why])])
	],
	[AC_MSG_ERROR([--with-cuda takes auto, yes or no, not '$with_cuda'])])
AS_IF([test $cuda = yes],[AC_DEFINE([FSMOE_USE_CUDA],[1],[CUDA kernels are built in])])
AM_CONDITIONAL([HAVE_CUDA],[test $cuda = yes])
dnl Since NCCL 2.28; before, a CTA policy has nothing to say.
nccl_windows=no
AS_IF([test $cuda = yes && $GREP -q 'ncclAlltoAll(' "$nccl_include/nccl.h"],
	[nccl_windows=yes
	AC_DEFINE([FSMOE_USE_NCCL_WINDOWS],[1],[NCCL has windows and CTA policies])])
AM_CONDITIONAL([HAVE_NCCL_WINDOWS],[test $nccl_windows = yes])
AC_SUBST([CUDA_CFLAGS])
AC_SUBST([CUDA_LIBS])
AC_SUBST([NVCC_OWN_FLAGS])
])

dnl The toolkit is where nvcc is, behind symbolic links.
AC_DEFUN([FSMOE_CHECK_CUDA_LIBRARIES],[
AC_REQUIRE([AC_PROG_SED])
AC_REQUIRE([AC_PROG_GREP])
nvcc_path=`readlink -f "$NVCC" 2>/dev/null || echo "$NVCC"`
cuda_root=${CUDA_HOME:-`AS_DIRNAME(["$nvcc_path"])`/..}
cuda_root=`cd "$cuda_root" && pwd`
AS_IF([test "x$with_nccl" = x],[nccl_roots="$cuda_root /usr /usr/local"],[nccl_roots=$with_nccl])
nccl_includes= nccl_libs=
for root in $nccl_roots; do
	nccl_includes="$nccl_includes $root/include"
	nccl_libs="$nccl_libs $root/lib64 $root/lib $root/lib/$host_cpu-linux-gnu"
done
FSMOE_FIND_CUDA_FILE([cuda_include],[cublas_v2.h],["$cuda_root/include" "$cuda_root/targets/$host_cpu-linux/include"])
FSMOE_FIND_CUDA_FILE([cuda_lib],[libcublas.so],["$cuda_root/lib64" "$cuda_root/lib" "$cuda_root/targets/$host_cpu-linux/lib"])
FSMOE_FIND_CUDA_FILE([nccl_include],[nccl.h],[$nccl_includes])
FSMOE_FIND_CUDA_FILE([nccl_lib],[libnccl.so],[$nccl_libs])
AS_IF([test "x$cuda_include" = x || test "x$cuda_lib" = x],
	[cuda_why="the headers or libraries of cuBLAS are not in $cuda_root"],
	[test "x$nccl_include" = x || test "x$nccl_lib" = x],
	[cuda_why="NCCL was not found in $nccl_roots (--with-nccl=DIR)"],
	[
	CUDA_CFLAGS="-isystem $cuda_include"
	AS_IF([test "$nccl_include" != "$cuda_include" && test "$nccl_include" != /usr/include],
		[CUDA_CFLAGS="$CUDA_CFLAGS -isystem $nccl_include"])
	CUDA_LIBS="-L$cuda_lib"
	AS_IF([test "$nccl_lib" != "$cuda_lib"],[CUDA_LIBS="$CUDA_LIBS -L$nccl_lib"])
	CUDA_LIBS="$CUDA_LIBS -lcublas -lcublasLt -lnccl -lcudart -lstdc++"
	NVCC_OWN_FLAGS="-std=c++17 -O3 -Xcompiler -fPIC,-Wall,-Wextra"
	for arch in `echo "$with_cuda_arch" | tr , ' '`; do
		AS_CASE([$arch],[sm_*],[arch=`echo $arch | $SED s/sm_//`])
		dnl Hopper's own instructions need the architecture with an "a".
		AS_IF([test "$arch" = 90],[arch=90a])
		AS_IF([test "$arch" = 90a],[AC_DEFINE([FSMOE_CUDA_HOPPER],[1],
			[CUDA kernels with Hopper's own instructions are built in])])
		NVCC_OWN_FLAGS="$NVCC_OWN_FLAGS -gencode arch=compute_$arch,code=sm_$arch"
	done
	AC_MSG_CHECKING([whether $NVCC compiles for --with-cuda-arch=$with_cuda_arch])
	echo '__global__ void k(float *x) { *x = 1; } void f(float *x) { k<<<1, 1>>>(x); }' >conftest.cu
	AS_IF([$NVCC $NVCC_OWN_FLAGS $NVCCFLAGS -c conftest.cu -o conftest.cu.o >&AS_MESSAGE_LOG_FD 2>&1],
		[AC_MSG_RESULT([yes])
		cuda=yes],
		[AC_MSG_RESULT([no])
		cuda_why="$NVCC does not compile for --with-cuda-arch=$with_cuda_arch (config.log says why)"])
	rm -f conftest.cu conftest.cu.o
	])
])
