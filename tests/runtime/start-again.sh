#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
set -e
"$top_builddir/tests/runtime/restart"
"$top_srcdir/tests/lib/mpi-run" 2 "$top_builddir/tests/runtime/restart"
