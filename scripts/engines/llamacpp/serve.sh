#!/usr/bin/env bash
# Serves the tiny model with llama.cpp's own server on the CPU, on loopback, until ended: serve.sh MODEL_DIR PORT [DIR]
#
# MODEL_DIR is what vllm/make_tiny_model.py wrote. The server is the one that the package xllamacpp carries. Installed
# at the first call into DIR, by default beside the other engines; some 150 MB. Needs Python 3.10 or later, and the
# package registry.
set -euo pipefail

xllamacpp=2026.10.11549 gguf=0.19.0
here=$(cd "$(dirname "$0")" && pwd)
model=${1:?usage: serve.sh MODEL_DIR PORT [DIR]}
port=${2:?usage: serve.sh MODEL_DIR PORT [DIR]}
dir=${3:-${INFERMARK_ENGINES:-${XDG_CACHE_HOME:-$HOME/.cache}/infermark}/llamacpp-$xllamacpp}
if [ ! -e "$dir/.complete" ]; then
  echo "llama.cpp: installing xllamacpp $xllamacpp to $dir" >&2
  rm -rf "$dir" && python3 -m venv "$dir"
  "$dir/bin/pip" install --quiet --disable-pip-version-check \
    "xllamacpp==$xllamacpp" "gguf==$gguf" </dev/null >&2
  touch "$dir/.complete"
fi
[ -e "$model/tiny.gguf" ] || "$dir/bin/python" "$here/make_tiny_gguf.py" "$model" "$model/tiny.gguf" >&2
exec "$dir/bin/python" "$here/serve.py" "$model/tiny.gguf" "$port"
