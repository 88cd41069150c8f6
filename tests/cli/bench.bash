# Layers with numbers that others computed: what tests/cli/bench.sh and peer.sh share.
# shellcheck shell=bash
# Sourced after cli.bash.
cases=${top_srcdir:?}/tests/cli/bench-cases

# numbers FILE: the line of JSON's check values.
numbers()
{
	local key
	for key in y_rms y_dy dx_rms dwg_rms dwe_rms; do
		sed -n "s/.*\"$key\": \([^,}]*\).*/\1/p" "$1"
	done | paste -sd' '
}

# agree WANT GOT: each within 1e-5 of the larger of its size and 0.05.
agree()
{
	awk -v want="$1" -v got="$2" 'BEGIN {
		n = split(want, w); m = split(got, g); bad = n != 5 || m != 5
		for (i = 1; i <= n; i++) {
			size = w[i] < 0 ? -w[i] : w[i]
			off = g[i] - w[i]; off = off < 0 ? -off : off
			if (!(off <= 1e-5 * (size > 0.05 ? size : 0.05))) bad = 1
		}
		exit bad
	}'
}

# layer WANT RANKS OPTION...: fsmoe bench layer gives these numbers.
layer()
{
	local want=$1 n=$2 command
	shift 2
	command=("$fsmoe" bench layer --device cpu --dtype fp32 --iters 1 --warmup 1 --parts=no
		"$@")
	# shellcheck disable=SC2086
	[ "$n" -eq 1 ] || command=($ranks "$n" "${command[@]}")
	expect 0 "" "${command[@]}"
	agree "$want" "$(numbers "$work/out")" ||
		complain "its numbers are $(numbers "$work/out"), not $want" "${command[@]}"
	layers=$((layers + 1))
}
layers=0
