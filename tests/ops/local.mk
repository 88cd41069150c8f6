# Operations: the harness and the tests of the built-in ones.
opcase_sources = tests/lib/opcase.c tests/lib/opcase.h tests/lib/opcase_access.c \
	tests/lib/opcase_graph.c tests/lib/opcase_internal.h tests/lib/opcase_main.c \
	tests/lib/opcase_ops.c

if HAVE_CMOCKA
check_PROGRAMS += tests/ops/ops
TESTS += tests/ops/ops
tests_ops_ops_SOURCES = tests/ops/ops.c tests/ops/cases.h tests/ops/cases-attention.c \
	tests/ops/cases-dense.c tests/ops/cases-optimizer.c tests/ops/cases-token.c \
	$(opcase_sources)
tests_ops_ops_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_ops_ops_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/ops/refusals
TESTS += tests/ops/refusals
tests_ops_refusals_SOURCES = tests/ops/refusals.c
tests_ops_refusals_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_ops_refusals_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/ops/exp
TESTS += tests/ops/exp
tests_ops_exp_SOURCES = tests/ops/exp.c
tests_ops_exp_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(BLAS_CFLAGS)
tests_ops_exp_LDADD = $(CMOCKA_LIBS) -lm

check_PROGRAMS += tests/ops/collectives_np4
TESTS += tests/ops/collectives_np4
tests_ops_collectives_np4_SOURCES = tests/ops/collectives_np4.c tests/ops/transfers.c \
	tests/ops/transfers.h $(opcase_sources)
tests_ops_collectives_np4_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_ops_collectives_np4_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
endif
