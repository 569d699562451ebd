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
if ! make -j"$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)" >"$log" 2>&1; then
  tail -n 40 "$log" >&2
  echo "The build failed; all of its output is in $log" >&2
  exit 1
fi
echo "Training on handwritten digits: bin/moontorch examples/mnist.lua $*"
exec ./bin/moontorch examples/mnist.lua "$@"
