# The Mixture-of-Experts layer; opcase_sources comes from tests/ops/local.mk.
if HAVE_CMOCKA
moe_tests = tests/moe/moe-ops tests/moe/moe-layer tests/moe/moe-modules
check_PROGRAMS += $(moe_tests)
TESTS += $(moe_tests)
tests_moe_moe_ops_SOURCES = tests/moe/moe-ops.c tests/moe/reference.c tests/moe/reference.h \
	$(opcase_sources)
tests_moe_moe_ops_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib $(CMOCKA_CFLAGS)
tests_moe_moe_ops_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
tests_moe_moe_layer_SOURCES = tests/moe/moe-layer.c tests/moe/bench.c tests/moe/bench.h
tests_moe_moe_layer_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_moe_moe_layer_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
tests_moe_moe_modules_SOURCES = tests/moe/moe-modules.c tests/moe/bench.c tests/moe/bench.h
tests_moe_moe_modules_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_moe_moe_modules_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
endif
