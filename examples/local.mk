# Examples use public headers only and link the shared library, as a user's program does.
example_programs = examples/01_graph examples/02_moe_layer examples/03_own_model \
	examples/04_policy examples/05_custom_gate examples/06_custom_expert \
	examples/07_custom_dispatch examples/08_hooks
check_PROGRAMS += $(example_programs)
examples_01_graph_LDADD = libfsmoe.la
examples_02_moe_layer_LDADD = libfsmoe.la
examples_03_own_model_LDADD = libfsmoe.la
examples_04_policy_CPPFLAGS = $(AM_CPPFLAGS) $(STARPU_CFLAGS)
examples_04_policy_LDADD = libfsmoe.la $(STARPU_LIBS)
examples_05_custom_gate_SOURCES = examples/05_custom_gate.c examples/tiny.h
examples_05_custom_gate_LDADD = libfsmoe.la
examples_06_custom_expert_SOURCES = examples/06_custom_expert.c examples/tiny.h
examples_06_custom_expert_LDADD = libfsmoe.la
examples_07_custom_dispatch_SOURCES = examples/07_custom_dispatch.c examples/tiny.h
examples_07_custom_dispatch_LDADD = libfsmoe.la
examples_08_hooks_SOURCES = examples/08_hooks.c examples/tiny.h
examples_08_hooks_LDADD = libfsmoe.la
TESTS += examples/all.sh
dist_check_SCRIPTS += examples/all.sh
