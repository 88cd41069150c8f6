# Cost model, schedules and plans: no StarPU, no MPI.
if HAVE_CMOCKA
plan_tests = tests/plan/profile tests/plan/schedule tests/plan/forms tests/plan/partition \
	tests/plan/cases tests/plan/sizes tests/plan/drift
check_PROGRAMS += $(plan_tests)
TESTS += $(plan_tests)
plan_headers = tests/plan/plancase.h tests/base/unit.h
plan_cppflags = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
plan_ldadd = libfsmoe_core.la $(CMOCKA_LIBS)
tests_plan_profile_SOURCES = tests/plan/profile.c $(plan_headers)
tests_plan_profile_CPPFLAGS = $(plan_cppflags)
tests_plan_profile_LDADD = $(plan_ldadd)
tests_plan_schedule_SOURCES = tests/plan/schedule.c $(plan_headers)
tests_plan_schedule_CPPFLAGS = $(plan_cppflags)
tests_plan_schedule_LDADD = $(plan_ldadd)
tests_plan_forms_SOURCES = tests/plan/forms.c $(plan_headers)
tests_plan_forms_CPPFLAGS = $(plan_cppflags)
tests_plan_forms_LDADD = $(plan_ldadd)
tests_plan_partition_SOURCES = tests/plan/partition.c $(plan_headers)
tests_plan_partition_CPPFLAGS = $(plan_cppflags)
tests_plan_partition_LDADD = $(plan_ldadd)
tests_plan_cases_SOURCES = tests/plan/cases.c $(plan_headers)
tests_plan_cases_CPPFLAGS = $(plan_cppflags)
tests_plan_cases_LDADD = $(plan_ldadd)
tests_plan_drift_SOURCES = tests/plan/drift.c $(plan_headers)
tests_plan_drift_CPPFLAGS = $(plan_cppflags)
tests_plan_drift_LDADD = $(plan_ldadd)
tests_plan_sizes_SOURCES = tests/plan/sizes.c $(plan_headers)
tests_plan_sizes_CPPFLAGS = $(plan_cppflags)
tests_plan_sizes_LDADD = $(plan_ldadd)
endif
dist_check_SCRIPTS += tests/plan/plan.sh tests/plan/simulate.sh
TESTS += tests/plan/plan.sh tests/plan/simulate.sh
plan_golden = tests/plan/golden/gpt2-xl-a.json tests/plan/golden/mixtral-8x7b-b.json \
	tests/plan/golden/grid-a.json tests/plan/golden/grid-b.json
EXTRA_DIST += tests/plan/schedule-cases.json $(plan_golden)
