#!/usr/bin/env bash
# Makes a Python environment with the original engine's wheel under .cache, once, and prints
# its interpreter. SLATEDB_PY, when set, is taken as it is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
VERSION=0.17.0
if [ -n "${SLATEDB_PY:-}" ]; then echo "$SLATEDB_PY"; exit 0; fi
venv=$PWD/.cache/pyvenv-$VERSION
if [ ! -f "$venv/.installed" ]; then
  echo "installing slatedb $VERSION for Python (once)" >&2
  rm -rf "$venv"
  python3 -m venv "$venv" >&2
  for try in 1 2 3; do # registries have bad moments
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "slatedb==$VERSION" >&2 && break
    [ "$try" -lt 3 ] || { echo "slatedb $VERSION for Python cannot be installed from the usual registry" >&2; exit 1; }
    sleep $((try * 5))
  done
  touch "$venv/.installed"
fi
echo "$venv/bin/python"
