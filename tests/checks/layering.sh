#!/usr/bin/env bash
# Which folder may include which header: its own, and those of folders before it in folders.bash.
# <starpu*.h>, <mpi.h>, <nccl.h> and CUDA's headers only where they are named below.
. "$(dirname "$0")/tree.bash"
. "$(dirname "$0")/folders.bash"

# Patterns of the files that may name a foreign header.
declare -A foreign=(
	[starpu]='src/runtime/*|src/gpu/*|src/trace/*|include/fsmoe/starpu.h|examples/04*|tests/*'\
'|bench/*'
	[mpi]='src/comm/*|src/topo/*|tests/*|bench/*'
	[nccl]='src/comm/*|tests/*|bench/*'
	[cuda]='codelets/cuda/*|src/comm/*|src/gpu/*|tests/*|bench/*')

# The folder that an included name stands for, or nothing when it is not ours.
folder_of_include()
{
	local file=$1 name=$2
	case $name in
	fsmoe/*) folder_of "include/$name" ;;
	codelets/*) echo codelets ;;
	*/*) [ ! -e "$src/src/$name" ] || folder_of "src/$name" ;;
	*) [ ! -e "$src/$(dirname "$file")/$name" ] || folder_of "$file" ;;
	esac
}

allowed()
{
	local pattern
	for pattern in ${foreign[$2]//|/ }; do
		# shellcheck disable=SC2254
		case $1 in $pattern) return 0 ;; esac
	done
	return 1
}

foreign_kind()
{
	case $1 in
	starpu*) echo starpu ;;
	mpi.h) echo mpi ;;
	nccl*.h) echo nccl ;;
	cuda*.h | cublas*.h | cudnn*.h | cusparse*.h | nvtx*) echo cuda ;;
	esac
}

set -f
declare -A uses
while IFS=: read -r file line text; do
	name=${text#*[<\"]}
	name=${name%%[>\"]*}
	kind=$(foreign_kind "$name")
	if [ -n "$kind" ]; then
		allowed "$file" "$kind" ||
			complain "$file:$line: <$name> is only for ${foreign[$kind]//|/, }"
		continue
	fi
	from=$(folder_of "$file")
	to=$(folder_of_include "$file" "$name")
	if [[ $from = free || -z $to || $file = include/* ]]; then
		continue
	fi
	if [ -z "${level[$from]:-}" ] || [ -z "${level[$to]:-}" ]; then
		complain "$file:$line: $name: not a folder or public header that folders.bash" \
			"knows ($from, $to)"
	elif [ "${level[$to]}" -gt "${level[$from]}" ]; then
		complain "$file:$line: $name: $from may not know $to"
	elif [[ $from != "$to" && $name != fsmoe/* ]]; then
		uses[$from,$to]=$file:$line
	fi
done < <(cd "$src" && sources | xargs grep -n '^[[:space:]]*#[[:space:]]*include' /dev/null)

for pair in "${!uses[@]}"; do
	back=${pair#*,},${pair%,*}
	[ -z "${uses[$back]:-}" ] || [[ $pair > $back ]] ||
		complain "${uses[$pair]} and ${uses[$back]}: ${pair/,/ and } include each other"
done
finish
