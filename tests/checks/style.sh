#!/usr/bin/env bash
# clang-format has nothing to say (skipped where there is none of version 14).
. "$(dirname "$0")/tree.bash"
sh "$src/build-aux/check-style" "$src"
