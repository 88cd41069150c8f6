#!/usr/bin/env bash
# fsmoe bench layer gives the numbers that PyTorch gives: for layers of all sorts, and for one layer
# whatever its order, dispatch, chunks, schedule and ranks. "long": every combination of these.
. "$(dirname "$0")/cli.bash"
. "$(dirname "$0")/bench.bash"

modules() { "$fsmoe" info --json | sed -n "/\"$1\": {/,/}/p" |
	sed -n 's/^ *"\([a-z0-9-]*\)": ".*/\1/p'; }
published() { sed -n "s/^1 | \(--ffn $1.*--capacity-factor $2\) |.*/\1/p" "$cases" | head -n 1; }
expected() { sed -n "s/^$1 | $2 | //p" "$cases" | head -n 1; }

# one RANKS FFN OPTION...: the published layer, nothing dropped. Its line is there for 1, 2 and 4
# ranks, because the experts that rank 0 holds, and so their gradients, depend on the ranks.
one()
{
	local args
	args=$(published "$2" 0)
	# shellcheck disable=SC2086
	layer "$(expected "$1" "$args")" "$1" $args "${@:3}"
}

if [ "${1:-}" != long ]; then
	while IFS='|' read -r n args want; do
		# shellcheck disable=SC2086
		[[ $n == \#* ]] || layer "$want" $n $args
	done <"$cases"
	# Every order, dispatch and schedule once at least, on one rank or several.
	for dispatch in $(modules dispatch); do
		one 4 gpt --dispatch "$dispatch" --nodes 2 --cuts 2/3
	done
	one 1 gpt --order einsum --cuts 3
	one 2 mixtral --order einsum --cuts 1/4 --schedule tutel
	one 4 mixtral --cuts 4/2 --nodes 2 --schedule fsmoe
	one 2 gpt --nodes 2 --cuts 100/7 --schedule ds-moe
else
	for n in 1 2 4; do
		for ffn in gpt mixtral; do
			for order in $(modules order); do
				for dispatch in $(modules dispatch); do
					for cuts in 1 2 3/5; do
						one $n $ffn --order "$order" \
							--dispatch "$dispatch" --cuts $cuts \
							--nodes $(((n + 1) / 2))
					done
				done
			done
		done
	done
fi
echo "$layers layers"

expect 2 "there is no expert 'gtp'" "$fsmoe" bench layer --ffn gtp
expect 2 "--cuts is '2/x': give chunks of the forward pass, or of both: 2, or 2/4" "$fsmoe" bench \
	layer --cuts 2/x
expect 2 "--cuts: 65 chunks of a layer are more than the 64 that the device 'cuda' takes" \
	"$fsmoe" bench layer --device cuda --cuts 2/65
expect 2 "the dtype 'tf32' is of GPUs: use 'fp32', or the device 'cuda'" "$fsmoe" bench layer \
	--dtype tf32
expect 2 "the dtype 'bf16' is of GPUs: use 'fp32', or the device 'cuda'" "$fsmoe" bench layer \
	--dtype bf16
expect 2 "unknown command 'bench laier': there are layer and schedule; did you mean 'layer'?" \
	"$fsmoe" bench laier
expect 2 "no command given: 'fsmoe bench help' lists them" "$fsmoe" bench
expect 4 "cannot be cut into groups of 1 x 2: --ep times --esp must divide them" "$fsmoe" bench \
	layer --esp 2
expect 0 "" "$fsmoe" bench layer --help
finish
