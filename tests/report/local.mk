# The report of a run.
check_PROGRAMS += tests/report/report
tests_report_report_LDADD = libfsmoe_core.la $(JANSSON_LIBS) -lm
TESTS += tests/report/test-report.sh
dist_check_SCRIPTS += tests/report/test-report.sh
