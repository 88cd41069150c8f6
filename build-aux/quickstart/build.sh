# fsmoe itself: configure, compile, test, train.

# Is there a configure script, and is it younger than all it is made from?
configure_is_current()
{
	[ -e "$top/configure" ] && [ -e "$top/Makefile.in" ] && [ -e "$top/build-aux/missing" ] &&
		[ -z "$(find "$top/configure.ac" "$top/Makefile.am" "$top/m4/fsmoe.m4" \
			"$top/include" "$top/src" "$top/codelets" "$top/tests" "$top/examples" \
			"$top/bench" "$top/doc" \
			\( -name configure.ac -o -name Makefile.am -o -name fsmoe.m4 \
			-o -name local.mk \) \
			-newer "$top/configure" -print -quit)" ]
}

make_configure()
{
	cd "$top"
	rm -f configure # half made is not current
	autoreconf -fi
	touch configure
}

# Prints the settings of configure; a difference from the last build's means to configure again.
configuration()
{
	echo "$top ${FSMOE_CUDA:-auto} ${CC:-} ${CFLAGS:-} ${FSMOE_CONFIGURE:-}"
	echo "${PKG_CONFIG_PATH:-}"
}

run_configure()
{
	cd "$build"
	[ ! -e Makefile ] || make -s clean || true
	# shellcheck disable=SC2086
	"$top/configure" --with-cuda="${FSMOE_CUDA:-auto}" ${FSMOE_CONFIGURE:-}
	configuration >.configuration
}

build_fsmoe()
{
	lock "$build"
	[ ! -e "$top/config.status" ] || [ "$build" = "$top" ] ||
		die "this tree is configured in place; run 'make distclean' there first"
	configure_is_current || step autoreconf "making configure" make_configure
	if [ ! -e "$build/config.status" ] ||
		[ "$(configuration)" != "$(cat "$build/.configuration" 2>/dev/null)" ]; then
		step configure "configuring fsmoe" run_configure
	fi
	step make "building fsmoe" make -C "$build" -j"$jobs"
}

# count WORD: how many tests ended so, in all the summaries of the two runs.
count()
{
	cat "$logs"/check*.log 2>/dev/null | sed $'s/\033\\[[0-9;]*m//g' |
		sed -n "s/^# $1: *\([0-9][0-9]*\)$/\1/p" | awk '{ n += $1 } END { print n + 0 }'
}

# named WORD: the tests that ended so.
named()
{
	cat "$logs"/check*.log 2>/dev/null | sed $'s/\033\\[[0-9;]*m//g' |
		sed -n "s/^$1: \([^ ]*\)$/\1/p" | sort -u
}

check_fsmoe()
{
	local broken='' failed test target
	rm -f "$logs"/check*.log
	step tests "building the tests" make -C "$build" -j"$jobs" check TESTS=
	for target in check check-long; do
		watch $target "make $target" make -C "$build" -k $target "$@" ||
			broken=$logs/$target.log
	done
	for test in $(named FAIL; named ERROR; named XPASS); do
		echo
		echo "FAILED $test, the end of $build/${test%.sh}.log:"
		tail -n 40 "$build/${test%.sh}.log" 2>/dev/null || true
	done
	for test in $(named SKIP); do
		echo "skipped $test: $(tail -n 2 "$build/${test%.sh}.log" 2>/dev/null | head -n 1)"
	done
	failed=$(($(count FAIL) + $(count ERROR) + $(count XPASS)))
	if [ -n "$broken" ] && [ "$failed" -eq 0 ]; then
		tail -n 40 "$broken"
		echo "not all tests could be run; the log is $broken"
		failed=1
	fi
	echo "$(count PASS) passed, $failed failed"
	[ "$failed" -eq 0 ]
}

# mpirun's options: more ranks than cores, also as root.
set_launcher()
{
	launcher=(mpirun -np "$1")
	mpirun --version 2>/dev/null | grep -q 'Open MPI' || return 0
	launcher+=(--oversubscribe --bind-to none)
	# After Ctrl-C: seconds before the ranks are told, and again before they are killed.
	launcher+=(--mca odls_base_sigkill_timeout 5)
	[ "$(id -u)" -ne 0 ] || launcher+=(--allow-run-as-root)
}

# Two ranks as two nodes, four steps of which the last two are traced, ViTE's picture of them.
trace_fsmoe()
{
	local data=/usr/share/games/fortunes dir=$top/runs/trace launcher
	[ -d $data ] || die "there is no $data to train on: install the package fortunes"
	install_packages vite
	set_launcher 2
	unlock
	"${launcher[@]}" "$build/fsmoe" train --preset quickstart --nodes 2 --data "$data" \
		--val-fraction 0.01 --forward-degree 2 --backward-degree 2 --steps 4 \
		--trace "$dir" "$@"
	"$top/build-aux/trace-picture" vite "$dir" "$dir/vite.svg"
	echo "a picture of it is $dir/vite.svg; vite $dir/paje.trace shows more"
}

# The text to train on when no other is named: the package fortunes.
# say_end LOG BEGIN STATUS: how a run ended that did not end by itself. mpirun, when it is told to
# end, loses what its ranks say last, and their exit status; the log has it, if it is this run's.
say_end()
{
	local last=
	[ ! -e "$1" ] || [ "$(stat -c %Y "$1")" -lt "$2" ] ||
		last=$(grep -E 'saved step|--resume' "$1" | tail -n 2)
	[ -z "$last" ] || printf '\n%s\n' "$last" >&2
	case $last in *--resume*) exit 6 ;; *) exit "$3" ;; esac
}

# run_folder OPTIONS: where this run goes: a folder of its own, or the newest where it goes on.
run_folder()
{
	local run=$top/runs/quickstart n=1 folder
	case " $1 " in
	*" --resume"*)
		for folder in "$top"/runs/quickstart*/; do
			[ ! "$folder/log" -nt "$run/log" ] || run=${folder%/}
		done ;;
	*)
		while [ -e "$run/checkpoint/latest" ]; do
			n=$((n + 1))
			run=$top/runs/quickstart-$n
		done ;;
	esac
	echo "$run"
}

train_fsmoe()
{
	local data=/usr/share/games/fortunes run bar= launcher begin status=0
	run=$(run_folder "$*")
	case " $* " in
	*" --data"*) data= ;;
	*) [ -d $data ] ||
		die "there is no $data to train on: install the package fortunes or give" \
			"--data FILE" ;;
	esac
	set_launcher 4
	[ ! -t 2 ] || bar=--progress
	unlock
	begin=$(date +%s)
	trap : INT TERM # mpirun gets them too: what follows waits for it
	"${launcher[@]}" "$build/fsmoe" train --preset quickstart --nodes 2 \
		${data:+--data "$data"} --output "$run" --checkpoint "$run/checkpoint" \
		--checkpoint-every 500 $bar "$@" || status=$?
	trap - INT TERM
	[ $status -eq 0 ] || say_end "$run/log" "$begin" $status
	[ -e "$run/checkpoint/latest" ] || return 0
	echo
	echo "fsmoe generate --checkpoint $run/checkpoint --length 300:"
	"$build/fsmoe" generate --checkpoint "$run/checkpoint" --length 300
}
