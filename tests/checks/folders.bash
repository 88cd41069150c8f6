# The order of the folders: each may include and call what stands before it, never what follows.
# Both checks of direction read it, layering.sh on includes and calls.sh on the symbols of object
# files.
# shellcheck shell=bash disable=SC2034
folders=(base topo schedule comm graph cost data codelets moe model plan step trace runtime gpu
	measure config
	train checkpoint generate report bench cli)

# A public header belongs to the folder in which its types are first needed, which may come before
# the folder that implements it.
declare -A public=([error]=base [real]=base [topo]=topo [schedule]=schedule [graph]=graph [op]=graph
	[profile]=cost [drift]=cost [ops]=codelets [layer]=codelets [gate]=codelets [hook]=codelets
	[module]=codelets [model]=model [plan]=plan [runtime]=runtime [starpu]=runtime [train]=step
	[measure]=measure [checkpoint]=checkpoint)

declare -A level
for i in "${!folders[@]}"; do level[${folders[i]}]=$i; done

# The folder a path belongs to: src/moe/gate/x.c is moe's, codelets/cpu/x.c codelets'.
folder_of()
{
	case $1 in
	src/*) set -- "${1#src/}" && echo "${1%%/*}" ;;
	codelets/*) echo codelets ;;
	include/fsmoe/*) set -- "${1##*/}" && echo "${public[${1%.h}]:-unknown}" ;;
	*) echo free ;; # tests, examples, bench: anything of ours
	esac
}
