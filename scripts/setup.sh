#!/usr/bin/env bash
# Makes the virtual environment of this checkout: bash scripts/setup.sh .venv
# TORCH_INDEX, if set, is the address of the package index that torch alone comes from.
set -euo pipefail

venv=${1:?the folder of the virtual environment}
python=${PYTHON:-python3}
here=$(dirname "$0")

"$python" - <<'CHECK' || exit 1
import sys

if sys.version_info < (3, 11):
    sys.exit(f"error: Python 3.11 or newer is needed, and this is {sys.version.split()[0]}: set PYTHON.")
CHECK

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip=("$venv/bin/python" -m pip)
quiet=(--quiet --disable-pip-version-check)

"${pip[@]}" install "${quiet[@]}" --upgrade "pip>=24.1"
torch_from=(--constraint constraints.txt)
[ -z "${TORCH_INDEX:-}" ] || torch_from+=(--index-url "$TORCH_INDEX")
"$venv/bin/python" "$here/torch_guard.py" "${torch_from[@]}"
"${pip[@]}" install "${quiet[@]}" --no-deps "${torch_from[@]}" torch
"${pip[@]}" install "${quiet[@]}" --constraint constraints.txt --editable ".[hf,train,data,eval,cli,docs,dev]"
# For tests alone. Its pins ask for a CUDA torch and triton; what it needs of them is there already.
"${pip[@]}" install "${quiet[@]}" --no-deps --constraint constraints.txt xgrammar apache-tvm-ffi
# Likewise llama.cpp, whose own parser the exported grammars are tested with.
if [ "$(uname -sm)" = "Linux x86_64" ] && command -v npm > /dev/null; then
    npm install --silent --no-save --no-audit --no-fund --ignore-scripts --prefix "$venv" \
        @node-llama-cpp/linux-x64@3.22.1 || echo "note: no llama.cpp; its tests will be skipped" >&2
fi
