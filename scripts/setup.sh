#!/usr/bin/env bash
# Makes the virtual environment from requirements.lock. A failed attempt leaves no environment behind.
set -euo pipefail
venv=$1
version=$(cat .python-version)

find_python() {
  # `command -v` is not enough: a pyenv shim exists for versions that are not selected.
  for candidate in "python$version" python3 python; do
    if "$candidate" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  if command -v pyenv >/dev/null; then
    for home in "$(pyenv root)"/versions/"$version"*; do
      if [ -x "$home/bin/python" ]; then
        echo "$home/bin/python"
        return
      fi
    done
  fi
  if command -v uv >/dev/null && uv python find "$version" 2>/dev/null; then
    return
  fi
  return 1
}

if ! python=$(find_python); then
  cat >&2 <<TXT
error: Python $version is needed (TFX 1.16 supports no newer one) and was not found. Get it in one of these ways, then run make again:
  pyenv install $version     # https://github.com/pyenv/pyenv
  uv python install $version # https://docs.astral.sh/uv
  your system's package manager, or conda create -n h2rec python=$version && conda activate h2rec
TXT
  exit 2
fi

# pyfarmhash, which TensorFlow Data Validation needs, comes as source only; Python names the compiler for it.
compiler=$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("CXX").split()[0])')
if ! command -v "$compiler" >/dev/null; then
  cat >&2 <<TXT
error: a C++ compiler ($compiler) is needed for one package and was not found. Get it, then run make again:
  sudo apt-get install g++   # Debian, Ubuntu
  sudo dnf install gcc-c++   # Fedora, RHEL
TXT
  exit 2
fi

start=$SECONDS
echo "setup: $($python --version) at $python"
rm -rf "$venv"
trap 'code=$?; [ $code = 0 ] || { rm -rf "$venv"; echo "setup: failed, nothing left behind" >&2; }' EXIT
"$python" -m venv "$venv"
echo "setup: installing $(grep -c == requirements.lock) pinned packages into $venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check "uv>=0.5" 2>/dev/null ||
  "$venv/bin/python" -m pip install --disable-pip-version-check "uv>=0.5"
# Bytecode is compiled here once: without it the first `import tfx` takes half a minute.
"$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --compile-bytecode --require-hashes -r requirements.lock
"$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --no-deps --editable .
touch "$venv/.ready"
echo "setup: done in $((SECONDS - start)) s"
