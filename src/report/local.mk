libfsmoe_core_la_SOURCES += \
	src/report/experts.c \
	src/report/html.c \
	src/report/metrics.c \
	src/report/path.c \
	src/report/report.c \
	src/report/report.h \
	src/report/recorded.c \
	src/report/recorded.h \
	src/report/text.c \
	src/report/timeline.c \
	src/report/idle_causes.c \
	src/report/windows.c \
	src/report/words.c
nodist_libfsmoe_core_la_SOURCES += src/report/page.c

# The page's files as C strings, a line each.
report_page = src/report/page/page.html src/report/page/page.css src/report/page/page.js
src/report/page.c: $(report_page) src/report/embed.awk
	$(AM_V_GEN)$(MKDIR_P) src/report && $(AWK) -f $(srcdir)/src/report/embed.awk \
		$(report_page:%=$(srcdir)/%) >$@.part && mv $@.part $@
EXTRA_DIST += $(report_page) src/report/embed.awk
CLEANFILES += src/report/page.c
