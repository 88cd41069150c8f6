# SPDX-License-Identifier: Apache-2.0
# where.awk KERNELS SAMPLES: samples of all ranks by what they were in, as shares of all cores over
# the time that was sampled, and of what the ranks used of it: the second is what it is on a machine
# with other load, too. KERNELS: names of functions of codelets/cpu.

function kind(symbol, object)
{
	if (object ~ /blas|mkl|blis/)
		return "BLAS"
	if (object ~ /libm[.-]/ || (object ~ /fsmoe/ && symbol in kernel))
		return "kernels of fsmoe (codelets/cpu)"
	if (symbol ~ /mem(move|cpy|set|cmp)|copy_to_iter|copy_from_iter|copy_user/)
		return "copies (memcpy, memset: kernels and MPI)"
	if (object ~ /libmpi|libopen-|mca_|libucp|libucs|libfabric|libpmix|libevent/)
		return "MPI"
	if (object ~ /starpu/)
		return "StarPU"
	if (object ~ /fsmoe/)
		return "fsmoe outside of kernels"
	if (object ~ /kernel|vmlinux|vdso/)
		return "system (scheduling, polling, pages)"
	return "C library (locks, malloc) and others"
}

FILENAME != "-" && FILENAME != "/dev/stdin" { kernel[$1] = 1; next }

{
	time = $1 + 0
	object = $NF
	symbol = $3
	sub(/\+0x.*/, "", symbol)
	first = first == "" ? time : first
	last = time
	n[kind(symbol, object)]++
	all++
}

END {
	sort = "sort -t'|' -k3 -rn"
	if (!all)
		exit 1
	room = (last - first) * hertz * cores
	printf "| %d cores for %.1f s | %% of the cores | %% of the ranks' time |\n",
		cores, last - first
	printf "| --- | --- | --- |\n"
	for (k in n)
		printf "| %s | %.1f | %.1f |\n", k, 100 * n[k] / room, 100 * n[k] / all | sort
	close(sort)
	printf "| idle, or other programs | %.1f | |\n", all < room ? 100 * (1 - all / room) : 0
	busy = n["BLAS"] + n["kernels of fsmoe (codelets/cpu)"]
	printf "| **BLAS and kernels** | **%.1f** | **%.1f** |\n",
		100 * busy / room, 100 * busy / all
}
