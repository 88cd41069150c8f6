#!/usr/bin/env bash
# Laws of every file: a licence line in each source, a place in the archive, nothing that names a
# machine, a user's folder or a package host, no merge leftovers, text that ends in a newline. What
# the documentation names is there.
. "$(dirname "$0")/tree.bash"
cd "$src"

for file in $(sources); do
	head -n 3 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' ||
		complain "$file: no SPDX-License-Identifier: Apache-2.0 in the first three lines"
done

listed=$(cat Makefile.am ./*/*.mk ./*/*/*.mk)
for file in $(sources); do
	# by its name, or as the one source of the program of that name
	grep -qE "(^|[[:space:]])${file%.c}(\.c)?([[:space:]]|$)" <<<"$listed" ||
		complain "$file: in no local.mk, so not in the archive"
done

self=tests/checks/sources.sh
files=$(project_files | grep -vxF -e LICENSE -e "$self")
for file in $files; do
	case $file in
	*.c | *.h | *.cu | *.cuh | .* | */.* | *.in | m4/* | configure.ac | build-aux/*) ;;
	*) grep -qF -- "$file" <<<"$listed" ||
		complain "$file: in no local.mk, so not in the archive" ;;
	esac
done

# A path, or how it begins: examples/01, tests/plan/cases.
named='(src|codelets|include|tests|examples|bench|doc|data|build-aux)/[[:alnum:]_/.-]*[[:alnum:]_]'
documents=$(grep -E '\.md$' <<<"$files")
# shellcheck disable=SC2086
paths=$(grep -ohE "(^|[^[:alnum:]_/.])$named" $documents | sed 's/^[^a-z]//' | sort -u)
while read -r path; do
	compgen -G "$path*" >/dev/null ||
		complain "$path: the documentation names it, and it is not there"
done <<<"$paths"

here=$(cd "$src" && pwd -P)
refuse()
{
	local why=$1 found
	shift
	# shellcheck disable=SC2086
	found=$(grep -nIE "$@" /dev/null $files) || return 0
	while read -r line; do
		complain "${line:0:160}: $why"
	done <<<"$found"
}
refuse "names this very folder" -e "(^|[^[:alnum:]_.])$here(/|[^[:alnum:]_]|$)"
refuse "names somebody's folder" \
	-e '(^|[^[:alnum:]_.$}/])/(root|home|Users|work|mnt|scratch)/[[:alnum:]_.]'
hosts='(deb|ftp|security|archive|mirrors?|registry|proxy|pypi|pkgs?|packages)'
refuse "names a package host" \
	-e "${hosts}[.-][[:alnum:].-]+\.(org|net|com|dev|io)" \
	-e 'https?://[[:alnum:].]*(debian|ubuntu|pypi|npmjs|crates)\.'
refuse "is a leftover of a merge" -e '^(<<<<<<<|>>>>>>>) '

for file in $files; do
	! grep -Iq . "$file" || [ -z "$(tail -c 1 "$file")" ] ||
		complain "$file: does not end in a newline"
done
finish
