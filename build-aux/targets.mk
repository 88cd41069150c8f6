# Targets beside Automake's own. "## name: text" lines are what make list prints.

## all: everything that is installed
## check: the tests (three minutes)
## install: programs, library, headers, fsmoe.pc; DESTDIR and prefix as usual
## uninstall: the opposite
## dist: a source archive
## distcheck: build, test and install from that archive
## clean: remove what make made

EXTRA_DIST += doc/lanes.svg doc/add-a-module.md doc/architecture.md doc/cost-model.md \
	doc/formats.md doc/glossary.md doc/gates.md doc/performance.md doc/report.md \
	doc/train.md doc/traces.md doc/traces/vite.png doc/traces/pajeng.png doc/traces/dag.png \
	build-aux/targets.mk build-aux/check-style build-aux/check-size build-aux/trace-picture \
	build-aux/screenshot build-aux/suppressions/lsan.supp build-aux/suppressions/ubsan.supp

## list: this list
.PHONY: list
list:
	@cat $(srcdir)/Makefile.am $(srcdir)/*/*.mk $(srcdir)/*/*/*.mk | \
		$(SED) -n 's/^## \([a-z0-9-]*\): /\1 /p' | while read -r name text; do \
			printf '  %-14s %s\n' "$$name" "$$text"; done

# Every test runs under run-test: time limit, private folders, no processes left behind.
TEST_EXTENSIONS = .sh
LOG_COMPILER = $(SHELL) $(top_srcdir)/tests/lib/run-test
SH_LOG_COMPILER = $(LOG_COMPILER)
AM_TESTS_ENVIRONMENT = top_srcdir='$(abs_top_srcdir)'; top_builddir='$(abs_top_builddir)'; \
	CC='$(CC)'; PKG_CONFIG='$(PKG_CONFIG)'; MAKE='$(MAKE)'; sanitizer='$(enable_sanitizer)'; \
	prefix='$(prefix)'; libdir='$(libdir)'; pkgconfigdir='$(pkgconfigdir)'; \
	interop_cflags='$(STARPU_CFLAGS) $(MPI_CFLAGS)'; \
	interop_libs='$(STARPU_LIBS) $(MPI_LIBS)'; \
	export top_srcdir top_builddir CC PKG_CONFIG MAKE sanitizer prefix libdir pkgconfigdir \
		interop_cflags interop_libs;
EXTRA_DIST += tests/lib/run-test tests/lib/mpi-run tests/lib/launcher.bash tests/lib/keep-plugins.c

AM_DISTCHECK_CONFIGURE_FLAGS = PKG_CONFIG_PATH='$(PKG_CONFIG_PATH)'

# Named here so that Automake writes their rules; make check-long runs them.
if LONG_TESTS
TESTS += $(long_tests)
endif

## check-long: the longer tests (twelve minutes), not those of check
.PHONY: check-long
check-long:
	@if test -z '$(strip $(long_tests))'; then echo "no long tests"; else \
		FSMOE_TEST_TIMEOUT=$${FSMOE_TEST_TIMEOUT:-600} $(MAKE) $(AM_MAKEFLAGS) check \
			TESTS='$(long_tests)' TEST_SUITE_LOG=check-long.log; fi
CLEANFILES += check-long.log

# A build of its own in a folder here, with this one's options and a sanitizer.
sanitized_check = \
	test '$(abs_top_srcdir)' != '$(abs_top_builddir)' || \
		{ echo "$@ needs a build in a folder of its own" \
			"(mkdir build; cd build; ../configure)" >&2; exit 1; }; \
	$(MKDIR_P) $@.dir && cd $@.dir && \
	{ test -e config.status || { eval "set x `../config.status --config`" && shift && \
		$(abs_top_srcdir)/configure "$$@" --enable-debug \
			--enable-sanitizer=$$sanitizer; }; } && \
	FSMOE_TEST_TIMEOUT=$${FSMOE_TEST_TIMEOUT:-600} $(MAKE) $(AM_MAKEFLAGS) check

## check-asan: make check of a build with the address sanitizer and leak check
## check-ubsan: make check of a build with the undefined-behaviour sanitizer
.PHONY: check-asan check-ubsan
check-asan:
	@sanitizer=address; $(sanitized_check)
check-ubsan:
	@sanitizer=undefined; $(sanitized_check)

## check-style: lines of at most 100 columns, comments, clang-format 14
.PHONY: check-style
check-style:
	@$(SHELL) $(srcdir)/build-aux/check-style $(srcdir) || test $$? -eq 77

## check-size: what is over the size budget (files 400 lines, headers 300, functions 60)
.PHONY: check-size
check-size:
	@$(SHELL) $(srcdir)/build-aux/check-size $(srcdir)

# tests/.starpu-bus: what tests/lib/run-test keeps of StarPU's calibration.
clean-local:
	rm -rf check-asan.dir check-ubsan.dir tests/.starpu-bus
