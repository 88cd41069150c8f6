#!/usr/bin/env bash
# libfsmoe exports exactly the functions that the public headers declare, and each of them is used
# by an example or a test.
. "$(dirname "$0")/tree.bash"
lib=$top_builddir/.libs/libfsmoe.so
[ -e "$lib" ] || skip "there is no shared library"

declared=$(sh "$src/build-aux/public-symbols" "$src")
exported=$(nm -D --defined-only "$lib" | awk '$2 ~ /[TDBRVW]/ { print $3 }' | grep -v '^__' |
	sort -u)
for name in $(comm -23 <(echo "$declared") <(echo "$exported")); do
	complain "$name is declared in a public header, but libfsmoe does not have it"
done
for name in $(comm -13 <(echo "$declared") <(echo "$exported")); do
	complain "$name is exported, but no public header declares it"
done

used=$(cd "$src" && sources tests examples bench | xargs grep -ohE 'fsmoe_[a-z0-9_]+' | sort -u)
for name in $(comm -23 <(echo "$declared") <(echo "$used")); do
	complain "$name is used by no example and no test"
done
finish
