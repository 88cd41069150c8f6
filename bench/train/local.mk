EXTRA_DIST += bench/train/run.sh bench/train/where.awk bench/train/results/train.md

## bench-train: throughput of the default run and where its time goes, in two minutes
.PHONY: bench-train
bench-train: fsmoe
	top_srcdir='$(abs_top_srcdir)' top_builddir='$(abs_top_builddir)' \
		bash $(top_srcdir)/bench/train/run.sh
