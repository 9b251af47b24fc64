#!/usr/bin/env bash
# Ends the server that `serve.sh --background` started, with its workers: stop.sh PID_FILE
#
# Asks first, and forces after 20 s. Does nothing where the server has ended already.
set -euo pipefail

pid_file=${1:?usage: stop.sh PID_FILE}
[ -f "$pid_file" ] || exit 0
pid=$(cat "$pid_file")

# The server leads a process group of its own, so its id names the workers too.
kill -TERM -- "-$pid" 2>/dev/null || true
for _ in {1..100}; do
  kill -0 -- "-$pid" 2>/dev/null || break
  sleep 0.2
done
kill -KILL -- "-$pid" 2>/dev/null || true
rm -f "$pid_file"
