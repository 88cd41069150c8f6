# The report of a run.
check_PROGRAMS += tests/report/delays tests/report/report
tests_report_delays_CPPFLAGS = $(AM_CPPFLAGS) $(STARPU_CFLAGS)
tests_report_delays_LDADD = libfsmoe_core.la $(STARPU_LIBS) $(JANSSON_LIBS) -lm
tests_report_report_LDADD = libfsmoe_core.la $(JANSSON_LIBS) -lm
report_tests = tests/report/named-causes.sh tests/report/page.sh
TESTS += $(report_tests)
dist_check_SCRIPTS += $(report_tests)
EXTRA_DIST += tests/report/page.py
