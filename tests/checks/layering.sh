#!/usr/bin/env bash
# Which folder may include which header: only its own, and those of folders it builds on.
# base <- topo, graph, schedule, cost, comm, data <- codelets <- moe <- model <- plan <- step <- runtime
# <- measure <- config <- train <- checkpoint <- report, bench <- cli; <starpu*.h>, <mpi.h>, <nccl.h> and CUDA's headers only where
# they are named below.
. "$(dirname "$0")/tree.bash"

declare -A level=([base]=0 [topo]=1 [graph]=1 [schedule]=1 [cost]=1 [comm]=1 [data]=1
	[codelets]=2 [moe]=3 [model]=4 [plan]=5 [step]=6 [runtime]=7 [measure]=8 [config]=9 [train]=10
	[checkpoint]=11 [report]=12 [bench]=12 [cli]=13)
# A public header stands where its types are first needed, which may be below what implements it.
declare -A public=([error]=base [topo]=topo [graph]=graph [op]=graph
	[schedule]=schedule [profile]=cost [drift]=cost [ops]=codelets [layer]=codelets
	[gate]=codelets [hook]=codelets [module]=codelets [model]=model [plan]=plan
	[runtime]=runtime [starpu]=runtime [train]=step [measure]=measure
	[checkpoint]=config)
# Who may name a foreign header, as patterns of paths.
declare -A foreign=(
	[starpu]='src/runtime/*|include/fsmoe/starpu.h|examples/04*|tests/*|bench/*'
	[mpi]='src/comm/*|src/topo/*|tests/*|bench/*'
	[nccl]='src/comm/*|tests/*|bench/*'
	[cuda]='codelets/cuda/*|src/comm/*|src/runtime/*|tests/*|bench/*')

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
		allowed "$file" "$kind" || complain "$file:$line: <$name> is only for ${foreign[$kind]//|/, }"
		continue
	fi
	from=$(folder_of "$file")
	to=$(folder_of_include "$file" "$name")
	if [[ $from = free || -z $to || $file = include/* ]]; then
		continue
	fi
	if [ -z "${level[$from]:-}" ] || [ -z "${level[$to]:-}" ]; then
		complain "$file:$line: $name: a folder or public header that this check does not know ($from, $to)"
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
