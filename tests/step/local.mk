# A step as a graph, laid out by schedules and plans.
step_plan_sources = tests/step/random_plan.c tests/step/random_plan.h
step_job_sources = tests/step/job.c tests/step/job.h $(step_plan_sources)
if HAVE_CMOCKA
step_units = tests/step/order tests/step/predicted tests/step/rules
check_PROGRAMS += $(step_units)
TESTS += $(step_units)
tests_step_predicted_SOURCES = tests/step/predicted.c tests/base/unit.h
tests_step_predicted_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_step_predicted_LDADD = libfsmoe_core.la $(CMOCKA_LIBS) -lm
tests_step_order_SOURCES = tests/step/order.c tests/step/machine.h tests/base/unit.h \
	$(step_plan_sources)
tests_step_order_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_step_order_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
tests_step_rules_SOURCES = tests/step/rules.c tests/step/machine.h tests/base/unit.h \
	$(step_plan_sources)
tests_step_rules_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_step_rules_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
endif
check_PROGRAMS += tests/step/plans
tests_step_plans_SOURCES = tests/step/plans.c $(step_job_sources)
tests_step_plans_LDADD = libfsmoe_core.la
step_tests = tests/step/random-plans.sh
TESTS += $(step_tests)
dist_check_SCRIPTS += $(step_tests)
check_PROGRAMS += tests/step/rows_np4
TESTS += tests/step/rows_np4
tests_step_rows_np4_SOURCES = tests/step/rows_np4.c $(step_job_sources)
tests_step_rows_np4_LDADD = libfsmoe_core.la -lm

## check-plans: ten thousand random plans under random delays on four ranks (an hour); SEED=n
.PHONY: check-plans
check-plans:
	@PLANS=10000 FSMOE_TEST_TIMEOUT=$${FSMOE_TEST_TIMEOUT:-14400} \
		$(MAKE) $(AM_MAKEFLAGS) check \
		TESTS=tests/step/random-plans.sh TEST_SUITE_LOG=check-plans.log
CLEANFILES += check-plans.log
