# Shared by the checks: where the tree is, how a complaint is made.
# shellcheck shell=bash
set -eu
src=${top_srcdir:?run by make check}
# shellcheck disable=SC2034
top_builddir=${top_builddir:?run by make check}
built=$(realpath --relative-to="$src" "$top_builddir")
complaints=0

complain()
{
	echo "$*"
	complaints=$((complaints + 1))
}

skip()
{
	echo "skipped: $*"
	exit 77
}

# The C files of the named folders (all that hold sources, when none is named).
sources()
{
	[ $# -gt 0 ] || set -- include src codelets tests examples bench
	(cd "$src" && find "$@" \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' \) -type f |
		sort)
}

# Every file that is part of the project: what git tracks or will, or all of an unpacked archive;
# not what a build made, wherever in the tree it is.
project_files()
{
	(cd "$src" && git ls-files --cached --others --exclude-standard --deduplicate 2>/dev/null |
		grep . ||
		find . -type f -not -path './_*' -not -path './autom4te.cache/*' \
		-not -path './build/*' -not -name '*.in' \
			-not -name 'configure*' -not -name aclocal.m4 -not -path './m4/l*' \
			-printf '%P\n') |
		while read -r file; do
			[[ ! -e $src/$file || $file == "$built"/* ]] || echo "$file"
		done
}

finish()
{
	[ $complaints -eq 0 ] || { echo "$complaints complaints"; exit 1; }
	exit 0
}
