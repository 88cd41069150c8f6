# Measurements: built by `make check`, run by hand.
check_PROGRAMS += bench/overhead/overhead
bench_overhead_overhead_LDADD = libfsmoe_core.la
EXTRA_DIST += bench/overhead/run.sh bench/overhead/plot.awk bench/overhead/results/idle.csv \
	bench/overhead/results/step.csv bench/overhead/results/tasks.csv \
	bench/overhead/results/tasks.svg
EXTRA_DIST += bench/gates/run.sh bench/gates/results/gates.csv bench/gates/results/spread.csv
EXTRA_DIST += bench/peer/README.md bench/peer/bench_ideal.py bench/peer/common.py \
	bench/peer/cpu.sh bench/peer/dropless.sh bench/peer/results/cpu.csv \
	bench/peer/results/dropless.csv

## bench-overhead: what StarPU costs, in two minutes
.PHONY: bench-overhead
bench-overhead: bench/overhead/overhead fsmoe
	top_srcdir='$(abs_top_srcdir)' top_builddir='$(abs_top_builddir)' \
		$(SHELL) $(top_srcdir)/bench/overhead/run.sh
include bench/gpu/local.mk
include bench/train/local.mk

EXTRA_DIST += bench/schedule/run.sh bench/schedule/table.awk bench/schedule/results/policies.csv \
	bench/schedule/results/schedules.csv bench/schedule/results/sixteen-cores.txt \
	bench/schedule/results/links.txt
check_PROGRAMS += bench/schedule/parts
bench_schedule_parts_LDADD = libfsmoe_core.la -lm
EXTRA_DIST += bench/schedule/parts.sh
## bench-parts: ds-moe's step against the sum of its parts measured alone, on four ranks
.PHONY: bench-parts
bench-parts: bench/schedule/parts
	top_srcdir='$(abs_top_srcdir)' top_builddir='$(abs_top_builddir)' \
		$(SHELL) $(top_srcdir)/bench/schedule/parts.sh

## bench-schedule: schedules predicted and measured, and the policy beside StarPU's, on four ranks
.PHONY: bench-schedule
bench-schedule: fsmoe
	top_srcdir='$(abs_top_srcdir)' top_builddir='$(abs_top_builddir)' \
		$(SHELL) $(top_srcdir)/bench/schedule/run.sh
