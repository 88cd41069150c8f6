fsmoe_HEADERS += include/fsmoe/checkpoint.h include/fsmoe/drift.h include/fsmoe/error.h \
	include/fsmoe/gate.h include/fsmoe/graph.h include/fsmoe/hook.h include/fsmoe/layer.h \
	include/fsmoe/measure.h include/fsmoe/model.h include/fsmoe/module.h include/fsmoe/op.h \
	include/fsmoe/ops.h include/fsmoe/plan.h include/fsmoe/profile.h include/fsmoe/real.h \
	include/fsmoe/runtime.h include/fsmoe/schedule.h include/fsmoe/topo.h include/fsmoe/train.h
