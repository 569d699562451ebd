# deps.sh: sourced by quickstart.sh and test.sh. Finds out what this machine lacks, says so, and
# installs it with apt-get as root or through sudo. Elsewhere it only names what is missing.
#
#   need COMMAND PACKAGE          a program
#   need_file PATTERN PACKAGE     a file (a header, a shared library)
#   install_needed                installs what the lines above found missing

missing=''

need() {
  command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}

need_file() {
  for found in $1; do
    [ -e "$found" ] && return 0
  done
  missing="$missing $2"
}

need_build() {
  need make make
  if [ -n "${CC:-}" ]; then need "$CC" "$CC"; else need cc gcc; fi
  need_file "/usr/include/stdio.h" libc6-dev
  need luajit luajit
  need_file "/usr/include/luajit-2.*/lua.h /usr/local/include/luajit-2.*/lua.h" libluajit-5.1-dev
  need_file "/usr/include/zlib.h /usr/local/include/zlib.h" zlib1g-dev
  need_file "/usr/lib/*/libopenblas.so.0 /usr/lib/*/openblas-pthread/libopenblas.so.0 \
/usr/lib/libopenblas.so.0 /usr/lib64/libopenblas.so.0 /usr/local/lib/libopenblas.so*" \
    libopenblas0-pthread
}

need_fetch() {
  need curl curl
  need_file "/etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt" ca-certificates
}

need_tests() {
  need busted lua-busted
  need luacheck lua-check
  need lua5.1 lua5.1
}

install_needed() {
  [ -n "$missing" ] || return 0
  if ! command -v apt-get >/dev/null 2>&1; then
    echo "These packages (by their Debian names) are missing; please install them:$missing" >&2
    return 1
  fi
  as_root=''
  if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
      echo "Missing:$missing" >&2
      echo "Run as root: apt-get install --no-install-recommends$missing" >&2
      return 1
    fi
    as_root=sudo
  fi
  echo "Installing what is missing:$missing"
  export DEBIAN_FRONTEND=noninteractive
  apt="$as_root apt-get -qq -o=Dpkg::Use-Pty=0 -y --no-install-recommends"
  # shellcheck disable=SC2086
  if ! $apt install $missing >/dev/null 2>&1; then
    $as_root apt-get -qq update && $apt install $missing >/dev/null || {
      echo "apt-get could not install:$missing" >&2
      return 1
    }
  fi
  missing=''
}
