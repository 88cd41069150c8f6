# The graph and its walkers without StarPU.
if HAVE_CMOCKA
check_PROGRAMS += tests/graph/test-graph
TESTS += tests/graph/test-graph
tests_graph_test_graph_SOURCES = tests/graph/test-graph.c tests/lib/random_graph.c \
	tests/lib/random_graph.h
tests_graph_test_graph_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_graph_test_graph_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/graph/test-shapes
TESTS += tests/graph/test-shapes
tests_graph_test_shapes_SOURCES = tests/graph/test-shapes.c
tests_graph_test_shapes_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_graph_test_shapes_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
endif
