# The Mixture-of-Experts layer; opcase_sources comes from tests/ops/local.mk.
if HAVE_CMOCKA
moe_tests = tests/moe/ops tests/moe/layer tests/moe/degrees tests/moe/modules \
	tests/moe/hooks tests/moe/ranks_np4 tests/moe/conformance tests/moe/conformance-ops \
	tests/moe/conformance-rules \
	tests/moe/dispatch-machines tests/moe/oracle
check_PROGRAMS += tests/moe/dispatch-ranks tests/moe/dropless
TESTS += tests/moe/dispatch.sh tests/moe/dropless-layouts.sh tests/moe/pytorch.sh
tests_moe_dropless_SOURCES = tests/moe/dropless.c $(moe_bench_sources)
tests_moe_dropless_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_moe_dropless_LDADD = libfsmoe_core.la $(CMOCKA_LIBS) -lm
tests_moe_oracle_SOURCES = tests/moe/oracle.c $(moe_bench_sources)
tests_moe_oracle_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_moe_oracle_LDADD = libfsmoe_core.la $(CMOCKA_LIBS) -lm
tests_moe_dispatch_ranks_SOURCES = tests/moe/dispatch-ranks.c $(moe_bench_sources)
tests_moe_dispatch_ranks_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_moe_dispatch_ranks_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
moe_bench_sources = tests/moe/bench.c tests/moe/bench.h $(opcase_sources)
check_PROGRAMS += $(moe_tests)
TESTS += $(moe_tests)
tests_moe_ops_SOURCES = tests/moe/ops.c tests/moe/reference.c tests/moe/reference.h \
	$(opcase_sources)
tests_moe_ops_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_moe_ops_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
tests_moe_layer_SOURCES = tests/moe/layer.c tests/moe/reference.c tests/moe/reference.h \
	$(moe_bench_sources)
tests_moe_layer_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_moe_layer_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
tests_moe_degrees_SOURCES = tests/moe/degrees.c $(moe_bench_sources)
tests_moe_degrees_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(BLAS_CFLAGS)
tests_moe_degrees_LDADD = libfsmoe_core.la $(CMOCKA_LIBS) $(BLAS_LIBS)
tests_moe_modules_SOURCES = tests/moe/modules.c $(moe_bench_sources)
tests_moe_modules_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_moe_modules_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
tests_moe_ranks_np4_SOURCES = tests/moe/ranks_np4.c $(moe_bench_sources)
tests_moe_ranks_np4_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_moe_ranks_np4_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
tests_moe_hooks_SOURCES = tests/moe/hooks.c $(moe_bench_sources)
tests_moe_hooks_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_moe_hooks_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
moe_pairs_sources = tests/moe/pairs.c tests/moe/pairs.h tests/moe/gates.c tests/moe/gates.h \
	tests/moe/reference.c tests/moe/reference.h
tests_moe_conformance_SOURCES = tests/moe/conformance.c $(moe_pairs_sources) $(opcase_sources)
tests_moe_conformance_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_moe_conformance_LDADD = libfsmoe_core.la $(CMOCKA_LIBS) -lm
tests_moe_conformance_rules_SOURCES = tests/moe/conformance-rules.c $(moe_pairs_sources) \
	$(moe_bench_sources)
tests_moe_conformance_rules_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_moe_conformance_rules_LDADD = libfsmoe_core.la $(CMOCKA_LIBS) -lm
tests_moe_conformance_ops_SOURCES = tests/moe/conformance-ops.c $(moe_pairs_sources) \
	$(opcase_sources)
tests_moe_conformance_ops_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_moe_conformance_ops_LDADD = libfsmoe_core.la $(CMOCKA_LIBS) -lm
tests_moe_dispatch_machines_SOURCES = tests/moe/dispatch-machines.c
tests_moe_dispatch_machines_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_moe_dispatch_machines_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
endif
check_PROGRAMS += tests/moe/decisions
TESTS += tests/moe/same-decisions.sh
tests_moe_decisions_LDADD = libfsmoe_core.la
dist_check_SCRIPTS += tests/moe/same-decisions.sh tests/moe/dispatch.sh \
	tests/moe/dropless-layouts.sh tests/moe/pytorch.sh
EXTRA_DIST += tests/moe/layouts.bash tests/moe/oracle.py tests/moe/oracle/cosine.txt \
	tests/moe/oracle/expert-choice-all.txt \
	tests/moe/oracle/expert-choice.txt tests/moe/oracle/gshard.txt \
	tests/moe/oracle/sigmoid.txt tests/moe/oracle/softmoe-normalized.txt \
	tests/moe/oracle/softmoe.txt tests/moe/oracle/swiglu.txt tests/moe/oracle/topk-full.txt \
	tests/moe/oracle/topk-one.txt tests/moe/oracle/topk.txt tests/moe/oracle/xmoe.txt
