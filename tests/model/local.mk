# The transformer's description and graph.
if HAVE_CMOCKA
check_PROGRAMS += tests/model/model
TESTS += tests/model/model
tests_model_model_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_model_model_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
endif
