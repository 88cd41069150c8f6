if HAVE_CMOCKA
base_tests = tests/base/rng tests/base/options tests/base/data tests/base/config tests/base/metrics tests/base/objective \
	tests/base/parallel
check_PROGRAMS += $(base_tests)
TESTS += $(base_tests)

base_ldadd = libfsmoe_core.la $(CMOCKA_LIBS)
tests_base_rng_SOURCES = tests/base/rng.c tests/base/unit.h
tests_base_rng_LDADD = $(base_ldadd)
tests_base_options_SOURCES = tests/base/options.c tests/base/unit.h
tests_base_options_LDADD = $(base_ldadd)
tests_base_data_SOURCES = tests/base/data.c tests/base/unit.h
tests_base_data_LDADD = $(base_ldadd)
tests_base_config_SOURCES = tests/base/config.c tests/base/unit.h
tests_base_config_LDADD = $(base_ldadd)
tests_base_metrics_SOURCES = tests/base/metrics.c tests/base/unit.h
tests_base_metrics_LDADD = $(base_ldadd)
tests_base_objective_SOURCES = tests/base/objective.c tests/base/unit.h
tests_base_objective_LDADD = $(base_ldadd)
tests_base_parallel_SOURCES = tests/base/parallel.c tests/base/unit.h
tests_base_parallel_LDADD = $(base_ldadd)
endif
