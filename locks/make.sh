#!/usr/bin/env bash
# `make lock`: requirements*.txt resolved for all systems and for Python 3.11 to 3.13, with the hashes of the wheels.
#   requirements.txt  what a user needs, but torch        dev.txt  what the tests and checks need on top
#   torch.txt         torch and what each build of it needs        cuda.txt  what only its CUDA build needs
#   torch-cpu.txt     CPU builds, kept by hand
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
uv=${1:-.venv/bin/uv}
torch=$(grep '^torch==' requirements.txt)

compile() {
  "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
    --custom-compile-command 'make lock' --output-file "$@"
}
names() { grep -oE '^[a-z0-9.-]+==' "$1" | sed 's/==//' | sort -u; }
leave_out() { sed 's/^/--no-emit-package /'; }

echo torch >locks/.torch  # resolved apart
rm -f locks/torch.txt locks/cuda.txt
trap 'rm -f locks/.torch' EXIT
compile locks/dev.txt --excludes locks/.torch requirements-dev.txt
compile locks/requirements.txt --excludes locks/.torch --constraints locks/dev.txt requirements.txt
compile locks/torch.txt --constraints locks/dev.txt - <<<"$torch"
cuda=$(names locks/torch.txt | grep -E '^(nvidia|cuda|triton)')
# shellcheck disable=SC2046
compile locks/cuda.txt --constraints locks/dev.txt $(names locks/torch.txt | grep -vxF "$cuda" | leave_out) - <<<"$torch"
# shellcheck disable=SC2046
compile locks/torch.txt --constraints locks/dev.txt $(leave_out <<<"$cuda") - <<<"$torch"
grep -q "^$torch+cpu " locks/torch-cpu.txt || echo "locks/torch-cpu.txt is of another release: renew its hashes"

for version in 3.12 3.13; do  # wheels of everything, also there
  for system in x86_64-manylinux_2_28 aarch64-manylinux_2_28; do
    "$uv" pip compile --quiet --python-version "$version" --python-platform "$system" --only-binary :all: \
      --constraints locks/requirements.txt requirements.txt >/dev/null
  done
done
