# The graph and its walkers without StarPU.
if HAVE_CMOCKA
check_PROGRAMS += tests/graph/graph
TESTS += tests/graph/graph
tests_graph_graph_SOURCES = tests/graph/graph.c tests/lib/random_graph.c \
	tests/lib/random_graph.h
tests_graph_graph_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_graph_graph_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)

check_PROGRAMS += tests/graph/shapes
TESTS += tests/graph/shapes
tests_graph_shapes_SOURCES = tests/graph/shapes.c
tests_graph_shapes_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_graph_shapes_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
endif
