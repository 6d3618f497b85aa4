#!/usr/bin/env bash
# Creates or updates .venv: requirements/install.sh [cpu|cuda|auto] [dev]
# Does nothing when the lists have not changed since the last run.
set -euo pipefail
cd "$(dirname "$0")/.."
device=${1:-auto}
extra=${2:-}
python=${PYTHON:-python3}
torch=$(sed -n 's/^ *"torch==\([^"]*\)",$/\1/p' pyproject.toml)
cpu_index=https://download.pytorch.org/whl/cpu

if [ "$device" = auto ]; then
  if command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L >/dev/null 2>&1; then device=cuda; else device=cpu; fi
fi
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || {
  echo "Python 3.11 to 3.13 is needed; set PYTHON to one." >&2
  exit 1
}
# Where the module venv lacks ensurepip (Debian's python3-venv), a Python without pip is left behind.
[ -x .venv/bin/pip ] || "$python" -m venv .venv
pip=(.venv/bin/python -m pip --disable-pip-version-check --quiet)

# installed NAME FILE... : runs "install_NAME" unless these files were installed before, unchanged.
installed() {
  local name=$1 stamp
  shift
  stamp="$device $torch $(cat "$@" requirements/install.sh | sha256sum)"
  if [ "$(cat ".venv/.$name" 2>/dev/null)" != "$stamp" ]; then
    "install_$name"
    echo "$stamp" >".venv/.$name"
  fi
}
install_runtime() {
  echo "Installing the $device environment into .venv (a few minutes the first time)..."
  if [ "$device" = cpu ]; then
    # PyPI's torch is the CUDA build; the CPU one comes from an index that is already configured, or
    # from PyTorch's own.
    "${pip[@]}" install --no-deps "torch==$torch+cpu" 2>/dev/null ||
      "${pip[@]}" install --no-deps "torch==$torch+cpu" --index-url "$cpu_index"
  fi
  "${pip[@]}" install --no-deps -r "requirements/$device.txt"
}
install_dev() {
  echo "Installing test and lint tools into .venv..."
  "${pip[@]}" install --no-deps -r requirements/dev.txt
}
install_project() {
  "${pip[@]}" install --no-deps --no-build-isolation --editable .
}
installed runtime "requirements/$device.txt"
installed project pyproject.toml service/__init__.py
[ "$extra" != dev ] || installed dev requirements/dev.txt
