#!/usr/bin/env bash
# Wrong command lines and configurations: one sentence with the nearest valid name, exit code 2.
. "$(dirname "$0")/cli.bash"

expect 2 "no command given: 'fsmoe help' lists them" "$fsmoe"
commands="train, generate, profile, plan, simulate, bench, report, explain, trace, checksum,"
commands+=" info and help"
expect 2 "unknown command 'tran': there are $commands; did you mean 'train'?" "$fsmoe" tran
expect 2 "unknown command 'nonsense'" "$fsmoe" help nonsense
expect 2 "unknown option --jsno; did you mean --json?" "$fsmoe" info --jsno

train() { expect 2 "$1" "$fsmoe" train --data "$text" "${@:2}"; }
train "unknown option --stesp; did you mean --steps?" --stesp=3
train "unknown option --model_dim; did you mean --hidden-size?" --model_dim 64
train "unknown option --topkk; did you mean --top-k?" --topkk 2
train "unknown option --qqq; --help lists the options" --qqq
train "unknown option -n" -n 4
train "'more' is not an option" more
train "--steps needs a value" --steps
train "--steps is 0: it must be a whole number, at least 1" --steps=0
train "--layers is many: it must be a whole number, 1 to 10000" --layers many
train "--beta1 is 1: it must be a number, 0 to 0.999999999" --beta1 1
train "--optimizer is 'adam': it must be one of adamw and sgd; did you mean 'adamw'?" \
	--optimizer adam
train "'tyni'" --preset tyni
train "there is no gate 'tpok'" --gate tpok
train "gate 'topk' does not read the option xmoe-dim: omit it, or take a gate that does: xmoe" \
	--xmoe-dim 8
train "gate 'xmoe' does not read the option softmoe-normalize" --gate xmoe --softmoe-normalize
expect 2 "give --data=PATH" "$fsmoe" train
train "the dtype 'bf16' is of GPUs: use 'fp32', or the device 'cuda'" --dtype bf16
train "--dtype is 'fp16': it must be one of fp32, tf32 and bf16" --dtype fp16
train "--checkpoint-every=5 has no folder: give --checkpoint=DIR" --checkpoint-every 5
train "--resume=latest looks in --checkpoint=DIR, which is not given" --resume latest
train "--on-nan is 'skipp': it must be one of stop and skip; did you mean 'skip'?" --on-nan skipp
expect 2 "give --checkpoint=DIR, where train --checkpoint=DIR has saved one" "$fsmoe" generate
expect 2 "--top-p is 2: it must be a number, 0 to 1" "$fsmoe" generate --top-p 2

# Sizes that do not fit each other are refused before any rank starts.
train "hidden-size = 10 is not a multiple of heads = 4" --hidden-size 10 --heads 4
train "top-k = 9 is more than experts = 8" --top-k 9 --experts 8
train "a batch of 6 sequences cannot be cut into 4 equal parts" --global-batch 6 --micro-batches 4
train "seq-length / tensor-parallel ranks = 16 is not a multiple of routing-group = 5" \
	--seq-length 16 --routing-group 5

config() { printf '%s\n' "$2" >"$work/run.json" && train "$1" --config "$work/run.json"; }
config "run.json:3: unknown key \"stesp\"; did you mean \"steps\"?" '{"layers": 2,

	"stesp": 4}'
config "run.json:1: \"steps\" is \"4\": it must be a whole number" '{"steps": "4"}'
config "run.json:1: \"lr\" is -1: it must be a number, 0 to 1000000" '{"lr": -1}'
config "run.json:2: not JSON" '{"steps": 4,
	oops}'
config "run.json:1: not JSON: duplicate object key" '{"steps": 4, "steps": 5}'
config "the outermost value must be an object" '[]'
train "cannot read $work/absent.json: No such file" --config "$work/absent.json"

# Many ranks report it once.
expect 2 "unknown option --stesp; did you mean --steps?" $ranks 3 "$fsmoe" train --stesp=3
finish
