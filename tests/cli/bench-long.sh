#!/usr/bin/env bash
# Every combination of ranks, expert, order, dispatch and chunks gives the published numbers.
exec bash "$(dirname "$0")/bench.sh" long
