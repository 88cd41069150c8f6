#!/usr/bin/env bash
# Which folder calls which: the symbols that an object file leaves open are defined in its own
# folder or in one before it in the order of folders.bash. Includes alone would not show a function
# that is declared early and defined late.
. "$(dirname "$0")/tree.bash"
. "$(dirname "$0")/folders.bash"
command -v nm >/dev/null || skip "there is no nm"

# objects FOLDER: libtool's object files, as "SOURCE OBJECT". Those of a source that is gone do not
# count.
objects()
{
	local object source
	(cd "$1" && find src codelets -path '*/.libs/*.o' 2>/dev/null | sort) |
		while read -r object; do
		source=${object/.libs\//}
		source=${source/libfsmoe_core_la-/}
		source=${source%.o}
		[ -e "$src/$source" ] || source=$source.c
		[ ! -e "$src/$source" ] || echo "$source $1/$object"
	done
}

# The graph's own operations (src/graph/basic.c) have their CUDA kernels beside all others.
caller()
{
	case $1 in */basic.cu) echo graph ;; *) folder_of "$1" ;; esac
}

# symbols OBJECTS: a line "FOLDER TYPE NAME SOURCE" a symbol.
symbols()
{
	local source object
	while read -r source object; do
		nm -P "$object" | awk -v folder="$(caller "$source")" -v source="$source" \
			'{ print folder, $2, $1, source }'
	done
}

# wrong_calls LEVELS SYMBOLS: a sentence for every call against the order. The runtime reaches the
# GPU through one table, which it names.
wrong_calls()
{
	awk '
	BEGIN { table["fsmoe_gpu_cuda"] }
	NR == FNR { level[$1] = $2; next }
	!($1 in level) { print $4 ": folders.bash does not know the folder " $1; next }
	$2 ~ /^[TDBRVWC]$/ { owner[$3] = $1 }
	$2 == "U" { n++; user[n] = $1; name[n] = $3; source[n] = $4 }
	END {
		for (i = 1; i <= n; i++)
			if (name[i] in owner && !(name[i] in table) &&
			    level[owner[name[i]]] > level[user[i]])
				print source[i] ": " user[i] " calls " name[i] " of " owner[name[i]]
	}' "$1" "$2"
}

tmp=$(mktemp -d "${TMPDIR:-/tmp}/fsmoe-calls.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
for folder in "${folders[@]}"; do echo "$folder ${level[$folder]}"; done >"$tmp/levels"

# The check itself: of two calls the one from base to cli is wrong.
printf '%s\n' 'base T fsmoe_low src/base/x.o' 'cli T cli_high src/cli/x.o' \
	'cli U fsmoe_low src/cli/x.o' 'base U cli_high src/base/x.o' >"$tmp/made-up"
found=$(wrong_calls "$tmp/levels" "$tmp/made-up")
[ "$found" = 'src/base/x.o: base calls cli_high of cli' ] ||
	complain "calls.sh itself finds: $found"

objects "$top_builddir" | symbols >"$tmp/symbols"
[ -s "$tmp/symbols" ] || skip "no object files under $top_builddir"
while read -r call; do complain "$call"; done < <(wrong_calls "$tmp/levels" "$tmp/symbols")
finish
