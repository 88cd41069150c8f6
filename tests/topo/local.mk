# Machines and the groups of ranks on them.
if HAVE_CMOCKA
topo_tests = tests/topo/topo tests/topo/groups
check_PROGRAMS += $(topo_tests)
TESTS += $(topo_tests)
tests_topo_topo_SOURCES = tests/topo/topo.c tests/topo/machine.h
tests_topo_topo_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_topo_topo_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
tests_topo_groups_SOURCES = tests/topo/groups.c tests/topo/machine.h
tests_topo_groups_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_topo_groups_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
endif
