# Checkpoints: formats and folders in one process; layouts, resuming and kills on several ranks.
if HAVE_CMOCKA
checkpoint_units = tests/checkpoint/formats tests/checkpoint/folder tests/checkpoint/interrupted
check_PROGRAMS += $(checkpoint_units)
TESTS += $(checkpoint_units)
tests_checkpoint_formats_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
tests_checkpoint_folder_SOURCES = tests/checkpoint/folder.c tests/checkpoint/model.h
tests_checkpoint_folder_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
tests_checkpoint_interrupted_SOURCES = tests/checkpoint/interrupted.c tests/checkpoint/model.h
tests_checkpoint_interrupted_LDADD = libfsmoe_core.la $(CMOCKA_LIBS)
endif
check_PROGRAMS += tests/checkpoint/ranks
tests_checkpoint_ranks_LDADD = libfsmoe_core.la
checkpoint_tests = tests/checkpoint/layouts.sh tests/checkpoint/python.sh \
	tests/checkpoint/full-disk.sh tests/checkpoint/resume.sh
TESTS += $(checkpoint_tests)
checkpoint_long = tests/checkpoint/killed.sh tests/checkpoint/term.sh
long_tests += $(checkpoint_long)
dist_check_SCRIPTS += $(checkpoint_tests) $(checkpoint_long)
EXTRA_DIST += tests/checkpoint/oracle.py tests/lib/slow-disk.c
