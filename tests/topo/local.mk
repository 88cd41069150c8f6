# Machines and the groups of ranks on them.
if HAVE_CMOCKA
topo_tests = tests/topo/test-topo tests/topo/test-groups
check_PROGRAMS += $(topo_tests)
TESTS += $(topo_tests)
tests_topo_test_topo_SOURCES = tests/topo/test-topo.c tests/topo/machine.h
tests_topo_test_topo_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_topo_test_topo_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
tests_topo_test_groups_SOURCES = tests/topo/test-groups.c tests/topo/machine.h
tests_topo_test_groups_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_topo_test_groups_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
endif
