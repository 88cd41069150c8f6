dnl Macros of fsmoe's configure. Each sets what its name says and a line of the summary.

AC_DEFUN([FSMOE_ARG_DEBUG],[
AC_ARG_ENABLE([debug],[AS_HELP_STRING([--enable-debug],[assertions, -Og -g3 (default no)])],
	[],[enable_debug=no])
FSMOE_CFLAGS="-std=gnu11 -Wall -Wextra -Wmissing-prototypes -Wstrict-prototypes -Wshadow=local -Wno-missing-field-initializers"
AS_CASE([$enable_debug],
	[yes],[FSMOE_CFLAGS="$FSMOE_CFLAGS -Og -g3"],
	[no],[FSMOE_CFLAGS="$FSMOE_CFLAGS -O3 -g -fno-math-errno"
	FSMOE_NDEBUG=-DNDEBUG],
	[AC_MSG_ERROR([--enable-debug takes yes or no, not '$enable_debug'])])
dnl For the library alone: tests keep their assertions.
AC_SUBST([FSMOE_NDEBUG])
])

AC_DEFUN([FSMOE_ARG_SANITIZER],[
AC_ARG_ENABLE([sanitizer],[AS_HELP_STRING([--enable-sanitizer=LIST],
	[address, undefined, thread, leak or several with commas (default no)])],[],[enable_sanitizer=no])
AS_IF([test "x$enable_sanitizer" != xno],[
	for sanitizer in `echo "$enable_sanitizer" | tr , ' '`; do
		AS_CASE([$sanitizer],[address|undefined|thread|leak],[],
			[AC_MSG_ERROR([--enable-sanitizer=$enable_sanitizer: '$sanitizer' is none of address, undefined, thread, leak])])
	done
	sanitizer_flags="-fsanitize=$enable_sanitizer -fno-sanitize-recover=all"
	save_CFLAGS=$CFLAGS
	CFLAGS="$CFLAGS $sanitizer_flags"
	AC_MSG_CHECKING([whether $CC links with -fsanitize=$enable_sanitizer])
	AC_LINK_IFELSE([AC_LANG_PROGRAM([],[])],[AC_MSG_RESULT([yes])],
		[AC_MSG_RESULT([no])
		AC_MSG_ERROR([--enable-sanitizer=$enable_sanitizer was asked for, but $CC cannot link with it])])
	CFLAGS=$save_CFLAGS
	FSMOE_CFLAGS="$FSMOE_CFLAGS $sanitizer_flags -fno-omit-frame-pointer"
	FSMOE_LDFLAGS="$sanitizer_flags"
	AC_DEFINE_UNQUOTED([FSMOE_SANITIZER],["$enable_sanitizer"],[Sanitizers compiled in])
])
AC_SUBST([enable_sanitizer])
])

AC_DEFUN([FSMOE_ARG_LONG_TESTS],[
AC_ARG_ENABLE([long-tests],[AS_HELP_STRING([--enable-long-tests],
	[make check runs what make check-long runs, too (default no)])],[],[enable_long_tests=no])
AM_CONDITIONAL([LONG_TESTS],[test "x$enable_long_tests" = xyes])
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
AC_COMPUTE_INT([starpu_release],[STARPU_RELEASE_VERSION],[[#include <starpu_config.h>]],[starpu_release=0])
AC_COMPUTE_INT([starpu_maxbufs],[STARPU_NMAXBUFS],[[#include <starpu_config.h>]],[starpu_maxbufs=0])
AC_COMPUTE_INT([starpu_maxcpus],[STARPU_MAXCPUS],[[#include <starpu_config.h>]],[starpu_maxcpus=0])
AC_CHECK_DECL([STARPU_USE_FXT],[starpu_fxt=yes],[starpu_fxt=no],[[#include <starpu_config.h>]])
AC_CHECK_DECL([STARPU_USE_CUDA],[starpu_cuda=yes],[starpu_cuda=no],[[#include <starpu_config.h>]])
CPPFLAGS=$save_CPPFLAGS
AM_CONDITIONAL([HAVE_SCHED_LIB],[test "$starpu_major.$starpu_minor" != 1.3])
AS_IF([test "$starpu_maxcpus" -lt 3],[AC_MSG_ERROR([this StarPU allows $starpu_maxcpus CPU workers, fsmoe needs 3 (--enable-maxcpus)])])
AC_MSG_CHECKING([whether a program links with this StarPU])
save_LIBS=$LIBS; LIBS="$LIBS $STARPU_LIBS"
AC_LINK_IFELSE([AC_LANG_PROGRAM([[int starpu_init(void *);]],[[return starpu_init(0);]])],
	[AC_MSG_RESULT([yes])],
	[AC_MSG_RESULT([no])
	AC_MSG_ERROR([StarPU was found, but a program does not link with '$STARPU_LIBS'; config.log says why])])
LIBS=$save_LIBS
])

AC_DEFUN([FSMOE_CHECK_MPI],[
PKG_CHECK_MODULES([MPI],[ompi-c],[],[PKG_CHECK_MODULES([MPI],[mpi-c],[],[PKG_CHECK_MODULES([MPI],[mpich],[],
	[AC_MSG_ERROR([MPI was not found by pkg-config (ompi-c, mpi-c, mpich); install Open MPI's development files])])])])
MPI_CFLAGS=`echo " $MPI_CFLAGS" | $SED 's/ -I/ -isystem /g'`
])

dnl StarPU's MPI library of the same version sets the clocks of several ranks' FxT traces: nothing
dnl else of it is used.
AC_DEFUN([FSMOE_CHECK_STARPU_MPI],[
have_starpu_mpi=no
AS_IF([test $starpu_fxt = yes],[
	PKG_CHECK_MODULES([STARPU_MPI],[starpumpi-$starpu_major.$starpu_minor],[have_starpu_mpi=yes],[:])])
AS_IF([test $have_starpu_mpi = yes],[
	STARPU_MPI_CFLAGS=`echo " $STARPU_MPI_CFLAGS" | $SED 's/ -I/ -isystem /g'`
	save_LIBS=$LIBS; LIBS="$LIBS $STARPU_MPI_LIBS $STARPU_LIBS $MPI_LIBS"
	AC_CHECK_FUNC([starpu_mpi_init_comm],[],[have_starpu_mpi=no STARPU_MPI_LIBS= STARPU_MPI_CFLAGS=])
	LIBS=$save_LIBS])
AS_IF([test $have_starpu_mpi = yes],
	[AC_DEFINE([HAVE_STARPU_MPI],[1],[StarPU's MPI library is there])])
AC_SUBST([STARPU_MPI_CFLAGS])
AC_SUBST([STARPU_MPI_LIBS])
])

AC_DEFUN([FSMOE_CHECK_BLAS],[
PKG_CHECK_MODULES([BLAS],[openblas],[],[PKG_CHECK_MODULES([BLAS],[cblas],[],
	[AC_MSG_ERROR([CBLAS was not found by pkg-config (openblas, cblas); install OpenBLAS's development files])])])
save_LIBS=$LIBS; LIBS="$LIBS $BLAS_LIBS"
AC_CHECK_FUNCS([openblas_set_num_threads])
LIBS=$save_LIBS
])

AC_DEFUN([FSMOE_CHECK_CMOCKA],[
PKG_CHECK_MODULES([CMOCKA],[cmocka >= 1.1],[have_cmocka=yes],[have_cmocka=no])
AM_CONDITIONAL([HAVE_CMOCKA],[test "x$have_cmocka" = xyes])
])

AC_DEFUN([FSMOE_SUMMARY],[
AS_IF([test $cuda = yes],[cuda_line="yes, sm_$with_cuda_arch"],[cuda_line="no ($cuda_why)"])
AS_IF([test $have_cmocka = yes],[cmocka_line=yes],[cmocka_line="no (cmocka was not found)"])
AS_IF([test $starpu_fxt = yes],[fxt_line="yes, of one rank alone (libstarpumpi was not found)"
	AS_IF([test $have_starpu_mpi = yes],[fxt_line=yes])],[fxt_line="no (this StarPU was built without --with-fxt)"])
AS_IF([test "x$ac_cv_func_openblas_set_num_threads" = xyes],[threads_line=""],
	[threads_line=", threads cannot be set (not OpenBLAS)"])
AS_ECHO(["
fsmoe $PACKAGE_VERSION

  prefix           $prefix
  compiler         $CC $FSMOE_CFLAGS $CFLAGS
  StarPU           $starpu_major.$starpu_minor.$starpu_release, $starpu_maxcpus CPU workers, $starpu_maxbufs buffers a task
    FxT traces     $fxt_line
    CUDA workers   $starpu_cuda
  CUDA codelets    $cuda_line
  MPI              $MPI_LIBS
  BLAS             $BLAS_LIBS$threads_line
  debug            $enable_debug
  sanitizer        $enable_sanitizer
  unit tests       $cmocka_line

make, make check, make install; make list names every target
"])
])
