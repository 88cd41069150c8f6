# The transformer's description and graph.
if HAVE_CMOCKA
check_PROGRAMS += tests/model/test-model
TESTS += tests/model/test-model
tests_model_test_model_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_model_test_model_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
endif
