#!/usr/bin/env bash
# Install PyTorch and what it needs: the CPU build, unless there is a GPU.
#
#   scripts/install_torch.sh PYTHON [auto|cpu|cuda]     (from the repository's root)
#
# On Linux a plain `pip install torch` brings several gigabytes of CUDA libraries. The CPU build is
# not on the public index, so we try, in this order: the index that pip is configured with (some
# mirrors serve the build), PyTorch's own index (uv knows where it is), and the plain build.
set -euo pipefail

python=$1
device=${2:-auto}
requirement=$(grep '^torch==' requirements.txt)

installed_version() {
  "$python" -c 'from importlib.metadata import version; print("torch==" + version("torch").split("+")[0])' 2>/dev/null
}

pip_install() {
  "$python" -m pip install -qq --disable-pip-version-check --constraint constraints.txt "$@"
}

# uv is used once, from a folder of its own, so that it does not become part of the environment.
install_from_pytorch_index() {
  local folder status=0
  folder=$(mktemp -d)
  pip_install --target "$folder" uv==0.13.8 &&
    PYTHONPATH="$folder" "$python" -m uv pip install --quiet --python "$python" \
      --torch-backend=cpu --constraint constraints.txt "$requirement" || status=$?
  rm -rf "$folder"
  return "$status"
}

install_cpu_build() {
  pip_install "$requirement+cpu" 2>/dev/null && return
  install_from_pytorch_index 2>/dev/null && return
  echo "No CPU build of PyTorch can be reached; installing the plain one, which is several gigabytes." >&2
  pip_install "$requirement"
}

if [[ $device == auto ]]; then
  device=cpu
  if nvidia-smi >/dev/null 2>&1; then device=cuda; fi
fi
# Elsewhere than on Linux the plain build has no CUDA libraries.
if [[ $(uname -s) != Linux ]]; then device=plain; fi

if [[ $(installed_version) == "$requirement" ]]; then exit 0; fi
case $device in
  cpu) install_cpu_build ;;
  cuda | plain) pip_install "$requirement" ;;
  *)
    echo "Unknown device '$device'; known are auto, cpu and cuda." >&2
    exit 2
    ;;
esac
