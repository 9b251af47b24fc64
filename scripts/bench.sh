#!/bin/sh
# Measures the hot path on this machine: see docs/performance.md. Needs two cores; the quieter
# the machine, the narrower the spread. Without words it measures everything, some minutes.
#
#   scripts/bench.sh [cost|tls|limit|memory|lag|STREAMSxTOKENS_PER_SECOND]…
set -eu
cd "$(dirname "$0")/.."
exec cargo run --quiet --release --package infermark-bench -- "$@"
