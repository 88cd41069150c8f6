if HAVE_CMOCKA
check_PROGRAMS += tests/topo/test-topo
TESTS += tests/topo/test-topo
tests_topo_test_topo_SOURCES = tests/topo/test-topo.c
tests_topo_test_topo_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_topo_test_topo_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
endif
