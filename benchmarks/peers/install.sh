#!/usr/bin/env bash
# Install what the speed table compares with, into .venv-peers: benchmarks/peers/install.sh [PYTHON]
# (from the repository's root). None of it is a dependency of the project.
set -euo pipefail

python=${1:-python3.11}
"$python" -m venv .venv-peers
scripts/install_torch.sh .venv-peers/bin/python cpu
.venv-peers/bin/python -m pip install -qq --disable-pip-version-check \
  joeynmt==2.3.0 importlib-metadata ctranslate2==4.8.5 pyctcdecode==0.5.0 kenlm==0.3.0
