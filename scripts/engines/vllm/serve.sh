#!/usr/bin/env bash
# Serves a model with vLLM on the CPU, on loopback, under the name `tiny`.
#
#   serve.sh [--venv DIR] [--wait SECONDS] [--background PID_FILE LOG_FILE] MODEL_DIR PORT [vllm serve options]
#
# Without --background: in the foreground, until interrupted. With it: writes the process id to PID_FILE, waits until
# /health answers, and returns; stop.sh PID_FILE ends it. If /health does not answer within SECONDS (default 300), the
# end of the log is printed, the server is stopped, and the exit status is 1. DIR is that of install.sh.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
venv=${INFERMARK_ENGINES:-${XDG_CACHE_HOME:-$HOME/.cache}/infermark}/vllm-0.32.0
wait_s=300 pid_file='' log_file=''

say() { echo "vllm: $*" >&2; }
die() { say "$*"; exit 1; }
usage() { sed -n '4s/^# *//p' "$0" >&2; exit 2; }

# Whether /health answers 200. Plain sockets: a fresh machine need not have curl.
healthy() {
  (
    exec 3<>"/dev/tcp/127.0.0.1/$port" || exit 1
    printf 'GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' >&3
    read -r -t 5 _ status _ <&3 && [ "$status" = 200 ]
  ) 2>/dev/null
}

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }

while :; do
  case ${1:-} in
    --venv) venv=${2:?} && shift 2 ;;
    --wait) wait_s=${2:?} && shift 2 ;;
    --background) pid_file=${2:?} log_file=${3:?} && shift 3 ;;
    *) break ;;
  esac
done
[ $# -ge 2 ] || usage
model=$1 port=$2
shift 2
[ -x "$venv/bin/vllm" ] || die "vLLM is not in $venv: run install.sh first"
[ -f "$model/config.json" ] || die "$model holds no model: run make_tiny_model.py first"
! listening || die "port $port is taken"

venv=$(cd "$venv" && pwd)
export PATH="$venv/bin:$PATH"
# Nothing is fetched and nothing is reported. Eager: compiling a model this small costs more than it saves.
export HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 VLLM_TARGET_DEVICE=cpu
export VLLM_CPU_KVCACHE_SPACE=${VLLM_CPU_KVCACHE_SPACE:-1}
command=(vllm serve "$model" --served-model-name tiny --host 127.0.0.1 --port "$port"
  --dtype bfloat16 --max-model-len 8192 --enforce-eager "$@")
[ -n "$pid_file" ] || exec "${command[@]}"

# In a session of its own, so that stop.sh can end its workers with it.
setsid "${command[@]}" >"$log_file" 2>&1 </dev/null &
pid=$!
echo "$pid" >"$pid_file"
begun=$SECONDS
until healthy; do
  if ! kill -0 "$pid" 2>/dev/null; then
    problem="vLLM ended before it answered"
  elif [ $((SECONDS - begun)) -ge "$wait_s" ]; then
    problem="vLLM did not answer within $wait_s s"
  else
    sleep 1
    continue
  fi
  say "$problem; the end of its log:"
  tail -n 40 "$log_file" >&2
  "$here/stop.sh" "$pid_file"
  exit 1
done
say "serving $model on 127.0.0.1:$port after $((SECONDS - begun)) s"
