#!/usr/bin/env bash
# Serves a small streaming model with a real Triton on the CPU, on loopback, until interrupted: serve.sh PORT [DIR]
#
# The server is the one that the package nvidia-pytriton carries, run as it is, with its Python backend and the model
# in models/. Installed at the first call into DIR, by default beside the other engines; about 1 GB. Needs Python 3.11
# or another for which the package has a stub, and the package registry.
set -euo pipefail

pytriton=0.7.0
here=$(cd "$(dirname "$0")" && pwd)
port=${1:?usage: serve.sh PORT [DIR]}
dir=${2:-${INFERMARK_ENGINES:-${XDG_CACHE_HOME:-$HOME/.cache}/infermark}/pytriton-$pytriton}
if [ ! -e "$dir/.complete" ]; then
  echo "triton: installing nvidia-pytriton $pytriton to $dir" >&2
  rm -rf "$dir" && python3 -m venv "$dir"
  "$dir/bin/pip" install --quiet --disable-pip-version-check "nvidia-pytriton==$pytriton" </dev/null >&2
  touch "$dir/.complete"
fi
packages=$("$dir/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
version=$("$dir/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
triton=$packages/pytriton/tritonserver
# The backend looks for its stub beside itself; the package keeps one for each Python elsewhere.
stub=$triton/backends/python/triton_python_backend_stub
[ -x "$stub" ] || install -m 755 "$triton/python_backend_stubs/$version/triton_python_backend_stub" "$stub"
chmod +x "$triton/bin/tritonserver"
export LD_LIBRARY_PATH=$packages/nvidia_pytriton.libs PYTHONPATH=$packages TRITON_PACKAGES=$packages
exec "$triton/bin/tritonserver" --model-repository="$here/models" --backend-directory="$triton/backends" \
  --http-address 127.0.0.1 --http-port "$port" --allow-grpc=false \
  --metrics-address 127.0.0.1 --metrics-port "$((port + 2))"
