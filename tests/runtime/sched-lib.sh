#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The policy as a library that StarPU 1.4 loads into a program that does not ask for it: collectives
# submitted in reverse run in order. StarPU 1.3 loads no policies.
set -e
lib=$top_builddir/.libs/libfsmoe-sched.so
[ -e "$lib" ] || { echo "no $lib: this StarPU is older than 1.4"; exit 77; }
export STARPU_SCHED_LIB="$lib"
STARPU_SCHED=fsmoe "$top_builddir/examples/04_policy"
# A policy that knows no numbers runs them otherwise: the example notices.
if STARPU_SCHED=eager "$top_builddir/examples/04_policy" >/dev/null; then
	echo "04_policy does not notice another policy"
	exit 1
fi
STARPU_SCHED=help "$top_builddir/examples/04_policy" 2>&1 | grep '^fsmoe[[:space:]]*-> '
