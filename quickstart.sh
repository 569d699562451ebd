#!/bin/sh
# From a fresh clone to a trained network: installs what is missing (Debian, Ubuntu), builds, and
# trains examples/mnist.lua. What follows on the command line goes to the example.
set -eu
cd "$(dirname "$0")"
. ./.ci/deps.sh

need_build
need_fetch
install_needed

echo "Building ..."
log=build/quickstart.log
mkdir -p build
# the CUDA plugin takes minutes to compile and is of use where there is a GPU
cuda=CUDA=no
if command -v nvidia-smi >/dev/null 2>&1; then cuda=CUDA=auto; fi
if ! make -j"$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)" "$cuda" >"$log" 2>&1; then
  tail -n 40 "$log" >&2
  echo "The build failed; all of its output is in $log" >&2
  exit 1
fi
echo "Training on handwritten digits: bin/moontorch examples/mnist.lua $*"
exec ./bin/moontorch examples/mnist.lua "$@"
