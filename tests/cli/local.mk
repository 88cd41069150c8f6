cli_tests = tests/cli/usage.sh tests/cli/data.sh tests/cli/layout.sh tests/cli/profile.sh \
	tests/cli/train.sh tests/cli/help.sh tests/cli/trace.sh tests/cli/stop.sh \
	tests/cli/generate.sh tests/cli/bench.sh tests/cli/schedule.sh tests/cli/replan.sh \
	tests/cli/explain.sh tests/cli/dispatch.sh tests/cli/sigabrt.sh \
	tests/cli/compatibility.sh tests/cli/planning.sh
long_cli_tests = tests/cli/bench-long.sh tests/cli/bench-peer.sh
long_tests += $(long_cli_tests)
dist_check_SCRIPTS += $(cli_tests) $(long_cli_tests)
TESTS += $(cli_tests)
EXTRA_DIST += tests/cli/cli.bash tests/cli/bench.bash tests/cli/bench-cases \
	tests/cli/f0ac648/losses tests/cli/f0ac648/files.tar.gz
