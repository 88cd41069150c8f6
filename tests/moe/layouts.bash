# SPDX-License-Identifier: Apache-2.0
# Sourced by tests of layers on several ranks.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
command -v mpirun >/dev/null || { echo "there is no mpirun"; exit 77; }
status=0

# on_layouts PROGRAM "RANKS NODES"...: the program, given the nodes, must end well on each layout.
on_layouts()
{
	local program=${FSMOE_MOE_TESTS:-./tests/moe}/$1 ranks nodes job
	shift
	[ -x "$program" ] || { echo "there is no $program"; exit 77; }
	for job in "$@"; do
		read -r ranks nodes <<<"$job"
		"$here/../lib/mpi-run" "$ranks" "$program" "$nodes" ||
			{ echo "FAIL: $ranks ranks on $nodes nodes"; status=1; }
	done
}
