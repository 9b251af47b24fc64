#!/bin/sh
# Runs the tests of the hot path's sockets under Valgrind's memcheck: the crate's `unsafe` calls the
# kernel, which Miri cannot do. Any invalid access, and any decision on memory that was never
# written, fails. Needs valgrind.
set -eu
cd "$(dirname "$0")/.."
command -v valgrind >/dev/null || { echo "memcheck: valgrind is missing" >&2; exit 1; }
tests=$(cargo test --quiet --package infermark-drive --lib --no-run --message-format json |
  sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')
[ -n "$tests" ] || { echo "memcheck: no tests were built" >&2; exit 1; }
exec valgrind --quiet --error-exitcode=9 "$tests" --test-threads 1 "$@"
