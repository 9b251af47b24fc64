#!/usr/bin/env bash
# Serves the tiny model with `transformers serve` on the CPU, on loopback, until ended: serve.sh MODEL_DIR PORT [VENV]
#
# MODEL_DIR is what vllm/make_tiny_model.py wrote, and VENV that of vllm/install.sh, which holds transformers, torch and
# the web server. What it lacks, the package accelerate (4 MB), goes into a folder beside the other engines at the first
# call. The model is asked for by the name of its folder.
set -euo pipefail

transformers=5.19.0 accelerate=1.15.0
usage='usage: serve.sh MODEL_DIR PORT [VENV]'
model=$(cd "${1:?$usage}" && pwd)
port=${2:?$usage}
engines=${INFERMARK_ENGINES:-${XDG_CACHE_HOME:-$HOME/.cache}/infermark}
venv=${3:-$engines/vllm-0.32.0}
dir=$engines/transformers-$transformers
found=$("$venv/bin/python" -c 'from importlib.metadata import version; print(version("transformers"))')
if [ "$found" != "$transformers" ]; then
  echo "transformers: $venv holds $found, not $transformers" >&2
  exit 1
fi
if [ ! -e "$dir/.complete" ]; then
  echo "transformers: installing accelerate $accelerate to $dir" >&2
  rm -rf "$dir" && mkdir -p "$dir"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --target "$dir/packages" \
    "accelerate==$accelerate" </dev/null >&2
  touch "$dir/.complete"
fi
# Nothing is fetched. `/v1/models` lists the hub's cache, and fails where there is none.
mkdir -p "$dir/hub"
export HF_HUB_OFFLINE=1 HF_HUB_CACHE=$dir/hub PYTHONPATH=$dir/packages
cd "$(dirname "$model")"
exec "$venv/bin/transformers" serve "$(basename "$model")" --host 127.0.0.1 --port "$port" --device cpu
