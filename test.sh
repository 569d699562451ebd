#!/bin/sh
# Installs what the tests need (Debian, Ubuntu), builds, runs everything and ends in the line
# "N passed, N failed"; the exit status says the same.
#
#   ./test.sh [--built] [--build DIR] [--san LIST] [--slow] [SPEC ...]
#     --built      neither installs nor builds
#     --build DIR  tests the build in DIR (build)
#     --san LIST   that build has these sanitizers in it
#     --slow       also the specs tagged slow
#     SPEC         only these spec files
set -u
cd "$(dirname "$0")" || exit 1

build=build san='' built='' slow='' specs=''
while [ $# -gt 0 ]; do
  case $1 in
    --built) built=1 ;;
    --slow) slow=1 ;;
    --build) build=$2 && shift ;;
    --san) san=$2 && shift ;;
    -h | --help) sed -n '2,11s/^# \{0,1\}//p' "$0" && exit 0 ;;
    -*) echo "test.sh: unknown option $1" >&2 && exit 2 ;;
    *) specs="$specs $1" ;;
  esac
  shift
done

passed=0 failed=0
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
logs=$build/test
mkdir -p "$logs"

# count PASSED FAILED
count() {
  passed=$((passed + $1))
  failed=$((failed + $2))
}

# one NAME COMMAND...: a test that is one command; its output is shown only when it fails
one() {
  name=$1 && shift
  if "$@" >"$logs/out" 2>&1; then
    echo "ok    $name"
    count 1 0
  else
    echo "FAIL  $name"
    tail -n 60 "$logs/out" | sed 's/^/      /'
    count 0 1
  fi
}

finish() {
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
  exit
}

if [ -z "$built" ]; then
  . ./.ci/deps.sh
  need_build
  need_tests
  install_needed || { count 0 1 && finish; }
  echo "Building ..."
  # without a GPU the plugin is compiled for one architecture: to see that it compiles
  command -v nvidia-smi >/dev/null 2>&1 || export CUDA_ARCHS="${CUDA_ARCHS:-90}"
  if ! make -j"$jobs" all cspec >"$logs/make.log" 2>&1; then
    tail -n 60 "$logs/make.log"
    echo "FAIL  build"
    count 0 1
    finish
  fi
fi

# ---- what a sanitizer needs: its run-time library before everything else ----

preload=''
if [ -n "$san" ]; then
  for lib in asan ubsan tsan; do
    case ,$san, in
      *,address,*) [ "$lib" = tsan ] && continue ;;
      *,thread,*) [ "$lib" = asan ] && continue ;;
      *) [ "$lib" = ubsan ] || continue ;;
    esac
    file=$("${CC:-cc}" -print-file-name=lib$lib.so)
    preload="$preload${preload:+ }$file"
  done
fi
# Lua's own memory hides pointers from the leak checker; the C self-tests look for leaks.
asan_lua=detect_leaks=0:allocator_may_return_null=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1

# ---- C self-tests -----------------------------------------------------------

# cspecs DIR LABEL: a program says "N passed, N failed" in its last line, or only its status
cspecs() {
  for program in "$1"/spec/*; do
    [ -x "$program" ] && [ -f "$program" ] || continue
    name="$2 ${program##*/}"
    "$program" >"$logs/out" 2>&1
    status=$?
    last=$(sed -n 's/^\([0-9][0-9]*\) passed, \([0-9][0-9]*\) failed$/\1 \2/p' "$logs/out" | tail -n 1)
    p=${last% *} f=${last#* }
    [ -n "$last" ] || p=1 f=0
    [ $status -ne 0 ] && [ "$f" -eq 0 ] && f=1 && [ -z "$last" ] && p=0
    count "$p" "$f"
    if [ "$f" -eq 0 ]; then
      echo "ok    $name ($p)"
    else
      echo "FAIL  $name"
      tail -n 60 "$logs/out" | sed 's/^/      /'
    fi
  done
}

if [ -z "$specs" ]; then
  cspecs "$build" "C"
  if [ -z "$san" ] && [ -z "$built" ]; then
    # a part of the sanitizer runs: the C self-tests
    if make -j"$jobs" SAN=address,undefined CFLAGS='-O1 -g' cspec >"$logs/make-san.log" 2>&1; then
      cspecs build-address-undefined "C (address,undefined)"
    else
      tail -n 40 "$logs/make-san.log"
      echo "FAIL  build with SAN=address,undefined"
      count 0 1
    fi
  fi
fi

# ---- specs --------------------------------------------------------------------

LUA_PATH="./lua/?.lua;./lua/?/init.lua;${LUA_PATH:-;}"
LUA_CPATH="./$build/lib/?.so;${LUA_CPATH:-;}"
MOONTORCH_BUILD=$build
export LUA_PATH LUA_CPATH MOONTORCH_BUILD

busted=$(command -v busted)
run_busted() {
  LD_PRELOAD=$preload ASAN_OPTIONS=$asan_lua luajit "$busted" -o spec/report.lua "$@" \
    2>&1 | tee "$logs/out" | grep -v '^[0-9]* passed, [0-9]* failed$'
  last=$(sed -n 's/^\([0-9][0-9]*\) passed, \([0-9][0-9]*\) failed$/\1 \2/p' "$logs/out" | tail -n 1)
  if [ -n "$last" ]; then
    count "${last% *}" "${last#* }"
  else
    echo "FAIL  the specs did not come to their end"
    count 0 1
  fi
}

# shellcheck disable=SC2086
if [ -n "$slow" ]; then run_busted --run slow $specs; else run_busted $specs; fi
[ -n "$specs" ] && finish

# ---- examples -------------------------------------------------------------------

# Each one ends in status 0 only when it reached its threshold. They run without the network: a
# curl that fails stands before the real one.
if [ -z "$san" ]; then
  mkdir -p "$logs/offline"
  printf '#!/bin/sh\nexit 7\n' >"$logs/offline/curl"
  chmod +x "$logs/offline/curl"
  for example in examples/*.lua; do
    [ -f "$example" ] || continue
    options=''
    [ "$example" = examples/mnist.lua ] && options="--epochs 1 --save $logs/mnist.mt"
    # shellcheck disable=SC2086
    one "$example" env PATH="$PWD/$logs/offline:$PATH" ./bin/moontorch "$example" $options
  done
fi

# ---- style ------------------------------------------------------------------------

if [ -z "$built" ]; then
  one luacheck make -s lint
  # formatters differ by version: only the one that the tree was formatted with counts
  if clang-format --version 2>/dev/null | grep -q 'version 14\.'; then
    one clang-format make -s format-check
  fi
fi

finish
