# The graph and its walkers without StarPU.
if HAVE_CMOCKA
check_PROGRAMS += tests/graph/graph
TESTS += tests/graph/graph
tests_graph_graph_SOURCES = tests/graph/graph.c tests/lib/random_graph.c \
	tests/lib/random_graph.h
tests_graph_graph_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_graph_graph_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
endif
