if HAVE_CMOCKA
base_tests = tests/base/rng tests/base/options tests/base/parallel
check_PROGRAMS += $(base_tests)
TESTS += $(base_tests)

base_ldadd = libfsmoe_core.la $(CMOCKA_LIBS)
tests_base_rng_SOURCES = tests/base/rng.c tests/base/unit.h
tests_base_rng_LDADD = $(base_ldadd)
tests_base_options_SOURCES = tests/base/options.c tests/base/unit.h
tests_base_options_LDADD = $(base_ldadd)
tests_base_parallel_SOURCES = tests/base/parallel.c tests/base/unit.h
tests_base_parallel_LDADD = $(base_ldadd)
endif
