#!/usr/bin/env bash
# Lines and comments keep to the style, and clang-format 14 has nothing to say (77 without it).
. "$(dirname "$0")/tree.bash"
sh "$src/build-aux/check-style" "$src"
