# Each folder of tests has a fragment of its own.
include tests/checks/local.mk
include tests/ops/local.mk
include tests/base/local.mk
include tests/data/local.mk
include tests/config/local.mk
include tests/comm/local.mk
include tests/topo/local.mk
include tests/moe/local.mk
include tests/cli/local.mk
include tests/plan/local.mk
include tests/graph/local.mk
include tests/model/local.mk
include tests/report/local.mk
include tests/runtime/local.mk
include tests/step/local.mk
include tests/train/local.mk
include tests/checkpoint/local.mk
include tests/cuda/local.mk
EXTRA_DIST += tests/lib/try.h
