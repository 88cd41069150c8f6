cli_tests = tests/cli/usage.sh tests/cli/data.sh tests/cli/layout.sh tests/cli/profile.sh tests/cli/train.sh \
	tests/cli/help.sh tests/cli/stop.sh tests/cli/generate.sh
dist_check_SCRIPTS += $(cli_tests)
TESTS += $(cli_tests)
EXTRA_DIST += tests/cli/cli.bash
