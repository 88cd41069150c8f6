# Training as a whole.
train_programs = tests/train/finite tests/train/layouts tests/train/step tests/train/stumble
check_PROGRAMS += $(train_programs)
tests_train_finite_LDADD = libfsmoe_core.la -lm
tests_train_layouts_LDADD = libfsmoe_core.la
tests_train_step_SOURCES = tests/train/step.c tests/lib/random_graph.c tests/lib/random_graph.h
tests_train_step_LDADD = libfsmoe_core.la
tests_train_stumble_LDADD = libfsmoe_core.la
if HAVE_CMOCKA
train_units = tests/train/metrics tests/train/sample
check_PROGRAMS += $(train_units)
TESTS += $(train_units)
tests_train_metrics_SOURCES = tests/train/metrics.c tests/base/unit.h
tests_train_metrics_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
tests_train_sample_SOURCES = tests/train/sample.c tests/base/unit.h
tests_train_sample_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
endif
check_PROGRAMS += tests/train/replan_np4
TESTS += tests/train/replan_np4
tests_train_replan_np4_SOURCES = tests/train/replan_np4.c $(step_job_sources)
tests_train_replan_np4_LDADD = libfsmoe_core.la -lm
train_tests = tests/train/not-finite.sh tests/train/same-losses.sh tests/train/on-nan.sh \
	tests/train/walkers-agree.sh tests/train/rank-lost.sh
TESTS += $(train_tests)
long_tests += tests/train/first-start.sh
dist_check_SCRIPTS += $(train_tests) tests/train/first-start.sh tests/train/long-trigram.sh

## check-train: the default run against a table of trigrams (seven minutes on two quiet cores)
.PHONY: check-train
check-train:
	@FSMOE_TEST_TIMEOUT=$${FSMOE_TEST_TIMEOUT:-7200} $(MAKE) $(AM_MAKEFLAGS) check \
		TESTS=tests/train/long-trigram.sh TEST_SUITE_LOG=check-train.log
CLEANFILES += check-train.log
