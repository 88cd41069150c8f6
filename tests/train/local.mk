# Training as a whole.
check_PROGRAMS += tests/train/layouts
tests_train_layouts_LDADD = libfsmoe_core.la
train_tests = tests/train/test-layouts.sh
TESTS += $(train_tests)
dist_check_SCRIPTS += $(train_tests)
