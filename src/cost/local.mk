libfsmoe_core_la_SOURCES += \
	src/cost/drift.c \
	src/cost/fit.c \
	src/cost/profile.c src/cost/profile.h \
	src/cost/predict.c \
	src/cost/profile_file.c
nodist_libfsmoe_core_la_SOURCES = src/cost/testbeds.c

# The profiles of the paper's testbeds as C strings, a line each.
testbeds = data/profiles/testbed-a.json data/profiles/testbed-b.json
src/cost/testbeds.c: $(testbeds)
	$(AM_V_GEN)$(MKDIR_P) src/cost && { echo '#include "cost/profile.h"'; for x in a b; do \
		echo "const char fsmoe_testbed_$$x[] ="; \
		sed 's/[\\"]/\\&/g; s/.*/	"&\\n"/' \
			$(srcdir)/data/profiles/testbed-$$x.json && \
		echo '	;'; \
		done; } >$@.part && mv $@.part $@
CLEANFILES += src/cost/testbeds.c
