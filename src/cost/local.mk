libfsmoe_core_la_SOURCES += \
	src/cost/drift.c \
	src/cost/fit.c \
	src/cost/profile.c src/cost/profile.h \
	src/cost/predict.c \
	src/cost/profile_file.c
