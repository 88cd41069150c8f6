# Laws of the tree, proved by scripts.
tree_checks = tests/checks/layering.sh tests/checks/calls.sh tests/checks/symbols.sh \
	tests/checks/headers.sh tests/checks/sources.sh tests/checks/style.sh \
	tests/checks/manual.sh tests/checks/installed.sh tests/checks/quickstart.sh
TESTS += $(tree_checks)
EXTRA_DIST += $(tree_checks) tests/checks/tree.bash tests/checks/folders.bash .ci/run
