# StarPU's traces after a run: files, StarPU's tool, corrections. No runtime runs here.
libfsmoe_core_la_SOURCES += src/trace/trace_files.c src/trace/trace_files.h \
	src/trace/trace_mark.c src/trace/trace_mark.h src/trace/trace_paje.c src/trace/trace_paje.h
