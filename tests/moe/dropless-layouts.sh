#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Without drops: rows that there are, and what slots filled up leave, on 1, 2 and 4 ranks.
. "$(dirname "$0")/layouts.bash"
on_layouts dropless "1 1" "2 1" "2 2" "4 2"
exit $status
