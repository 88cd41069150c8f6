#!/usr/bin/env bash
# make install into a folder of its own: a program builds against the copy through pkg-config and
# runs; make uninstall leaves nothing.
. "$(dirname "$0")/tree.bash"
[ "${sanitizer:-no}" = no ] || skip "a sanitized library is not for installing"
root=$TMPDIR/root
mkdir "$TMPDIR/work"
make=("${MAKE:-make}" -s -C "$top_builddir" "DESTDIR=$root")

"${make[@]}" install >"$TMPDIR/install.log" 2>&1 || { cat "$TMPDIR/install.log"; exit 1; }
export PKG_CONFIG_PATH=$root${pkgconfigdir:?}${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
flags=$(${PKG_CONFIG:-pkg-config} --define-variable=prefix="$root${prefix:?}" --cflags --libs fsmoe)
export LD_LIBRARY_PATH=$root${libdir:?}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

cd "$TMPDIR/work"
cat >first.c <<'END'
#include <errno.h>
#include <fsmoe.h>
#include <stdio.h>

int main(void)
{
	return puts(fsmoe_strerror(-EINVAL)) < 0;
}
END
build()
{
	# shellcheck disable=SC2086
	${CC:-cc} -Wall -o "$1" "$2" $flags ${interop:-} -lm
}
build first first.c
./first
for example in "$src"/examples/*.c; do
	[ -e "$example" ] || continue
	interop=
	! grep -qE '<(starpu|fsmoe/starpu|fsmoe/mpi)' "$example" ||
		interop="${interop_cflags:-} ${interop_libs:-}"
	build "$(basename "$example" .c)" "$example" ||
		complain "$example does not build against the installed copy"
done
soname=$(readelf -d "$root$libdir/libfsmoe.so" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
[ -e "$root$libdir/$soname" ] || complain "the installed library's SONAME '$soname' is not there"
[ ! -x "$root$prefix/bin/fsmoe" ] || "$root$prefix/bin/fsmoe" --version >/dev/null ||
	complain "the installed program does not start"

"${make[@]}" uninstall >/dev/null 2>&1 || complain "make uninstall fails"
while read -r left; do
	complain "make uninstall leaves ${left#"$root"}"
done < <(find "$root" -type f -o -type l)
finish
