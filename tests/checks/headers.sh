#!/usr/bin/env bash
# Every public header compiles alone, as C11 and as C++11.
. "$(dirname "$0")/tree.bash"

compile()
{
	# shellcheck disable=SC2086
	echo "#include <$header>" | "$@" -Wall -Wextra -Werror -fsyntax-only -I "$src/include" \
		${interop_cflags:-} - ||
		complain "$header does not compile alone with $*"
}

for header in $(cd "$src/include" && ls fsmoe.h fsmoe/*.h); do
	case $header in
	fsmoe/starpu.h | fsmoe/mpi.h) std=gnu11 ;; # StarPU's own headers ask for GNU C
	*) std=c11 ;;
	esac
	# shellcheck disable=SC2086
	compile ${CC:-cc} -std=$std -pedantic -x c
	! command -v "${CXX:-c++}" >/dev/null || compile "${CXX:-c++}" -std=c++11 -x c++
done
finish
