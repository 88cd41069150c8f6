dnl Macros of fsmoe's configure. Each sets what its name says and a line of the summary.

AC_DEFUN([FSMOE_ARG_DEBUG],[
AC_ARG_ENABLE([debug],[AS_HELP_STRING([--enable-debug],[assertions, -Og -g3 (default no)])],[],[enable_debug=no])
FSMOE_CFLAGS="-std=gnu11 -Wall -Wextra -Wmissing-prototypes -Wstrict-prototypes -Wshadow=local"
AS_IF([test "x$enable_debug" = xyes],
	[FSMOE_CFLAGS="$FSMOE_CFLAGS -Og -g3"],
	[FSMOE_CFLAGS="$FSMOE_CFLAGS -O3 -fno-math-errno"
	AC_DEFINE([NDEBUG],[1],[Without assertions])])
])

AC_DEFUN([FSMOE_ARG_SANITIZER],[
AC_ARG_ENABLE([sanitizer],[AS_HELP_STRING([--enable-sanitizer=LIST],
	[address, undefined, thread or address,undefined (default no)])],[],[enable_sanitizer=no])
AS_IF([test "x$enable_sanitizer" != xno],[
	save_CFLAGS=$CFLAGS
	CFLAGS="$CFLAGS -fsanitize=$enable_sanitizer"
	AC_MSG_CHECKING([whether $CC accepts -fsanitize=$enable_sanitizer])
	AC_LINK_IFELSE([AC_LANG_PROGRAM([],[])],[AC_MSG_RESULT([yes])],
		[AC_MSG_RESULT([no])
		AC_MSG_ERROR([--enable-sanitizer=$enable_sanitizer was asked for, but $CC cannot link with it])])
	CFLAGS=$save_CFLAGS
	FSMOE_CFLAGS="$FSMOE_CFLAGS -fsanitize=$enable_sanitizer -fno-omit-frame-pointer -g"
	AC_SUBST([FSMOE_LDFLAGS],["-fsanitize=$enable_sanitizer"])
	AC_DEFINE_UNQUOTED([FSMOE_SANITIZER],["$enable_sanitizer"],[Sanitizers compiled in])])
])

dnl Every StarPU installs the older versions' module names as aliases: ask for 1.4 first and
dnl trust the header's version, not the module's name.
AC_DEFUN([FSMOE_CHECK_STARPU],[
PKG_CHECK_MODULES([STARPU],[starpu-1.4],[],
	[PKG_CHECK_MODULES([STARPU],[starpu-1.3 >= 1.3.10],[],
		[AC_MSG_ERROR([StarPU 1.3.10 or later was not found by pkg-config; ./quickstart build makes one, or set PKG_CONFIG_PATH])])])
STARPU_CFLAGS=`echo " $STARPU_CFLAGS" | $SED 's/ -I/ -isystem /g'`
save_CPPFLAGS=$CPPFLAGS; CPPFLAGS="$CPPFLAGS $STARPU_CFLAGS"
AC_COMPUTE_INT([starpu_major],[STARPU_MAJOR_VERSION],[[#include <starpu_config.h>]],[starpu_major=0])
AC_COMPUTE_INT([starpu_minor],[STARPU_MINOR_VERSION],[[#include <starpu_config.h>]],[starpu_minor=0])
AC_COMPUTE_INT([starpu_maxbufs],[STARPU_NMAXBUFS],[[#include <starpu_config.h>]],[starpu_maxbufs=0])
AC_COMPUTE_INT([starpu_maxcpus],[STARPU_MAXCPUS],[[#include <starpu_config.h>]],[starpu_maxcpus=0])
AC_CHECK_DECL([STARPU_USE_FXT],[starpu_fxt=yes],[starpu_fxt=no],[[#include <starpu_config.h>]])
AC_CHECK_DECL([STARPU_USE_CUDA],[starpu_cuda=yes],[starpu_cuda=no],[[#include <starpu_config.h>]])
CPPFLAGS=$save_CPPFLAGS
AS_IF([test "$starpu_maxcpus" -lt 3],[AC_MSG_ERROR([this StarPU allows $starpu_maxcpus CPU workers, fsmoe needs 3 (--enable-maxcpus)])])
])

AC_DEFUN([FSMOE_CHECK_MPI],[
PKG_CHECK_MODULES([MPI],[ompi-c],[],[PKG_CHECK_MODULES([MPI],[mpi-c],[],[PKG_CHECK_MODULES([MPI],[mpich],[],
	[AC_MSG_ERROR([MPI was not found by pkg-config (ompi-c, mpi-c, mpich); install Open MPI's development files])])])])
MPI_CFLAGS=`echo " $MPI_CFLAGS" | $SED 's/ -I/ -isystem /g'`
])

AC_DEFUN([FSMOE_CHECK_BLAS],[
PKG_CHECK_MODULES([BLAS],[openblas],[],[PKG_CHECK_MODULES([BLAS],[cblas],[],
	[AC_MSG_ERROR([CBLAS was not found by pkg-config (openblas, cblas); install OpenBLAS's development files])])])
save_LIBS=$LIBS; LIBS="$LIBS $BLAS_LIBS"
AC_CHECK_FUNCS([openblas_set_num_threads])
LIBS=$save_LIBS
])

AC_DEFUN([FSMOE_SUMMARY],[
AS_ECHO(["
fsmoe $PACKAGE_VERSION
  prefix         $prefix
  StarPU         $starpu_major.$starpu_minor ($STARPU_LIBS)
    FxT traces   $starpu_fxt
    CUDA         $starpu_cuda
    buffers/task $starpu_maxbufs
  MPI            $MPI_LIBS
  BLAS           $BLAS_LIBS
  debug          $enable_debug
  sanitizer      $enable_sanitizer
  unit tests     $have_cmocka`test $have_cmocka = yes || echo ' (cmocka was not found)'`
"])
])
