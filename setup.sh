#!/usr/bin/env bash
# Install what a target of the Makefile needs: system packages that are missing, and tools that are
# not packaged.
# usage: setup.sh build|test|bench|libav|store|deny|fuzz|deploy|coverage|firefox
#
# libav is built from its source and linked statically; LIBAV=system links that of the system. Other
# variables of that build are listed in crates/frames/libav/build.sh.
set -euo pipefail
cd "$(dirname "$0")"

cache=${XDG_CACHE_HOME:-$HOME/.cache}/fiapx
sudo=()
[ "$(id -u)" -eq 0 ] || sudo=(sudo)

# Build a tool from crates.io into a cache outside of the checkout, without optimizations.
# usage: cached PROGRAM CRATE VERSION DESCRIPTION
cached() {
  [ ! -x "$cache/bin/$1" ] || return 0
  echo "Building $4 into $cache (once, takes some minutes)"
  env CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=false \
    CARGO_TARGET_DIR="$cache/build-$1" \
    cargo install "$2" --version "$3" --locked --quiet --root "$cache"
  rm -rf "$cache/build-$1"
}

# Install missing Debian packages.
# usage: packages NAME...
packages() {
  local package missing=()
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' \
      || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  echo "Installing with apt-get: ${missing[*]}"
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

# Extract promtool, which checks alert rules, from its Debian package. The package is not installed,
# because until Debian 12 it is `prometheus`, which would start a server. Since Debian 13 it is
# `promtool`.
promtool() {
  local work package
  if type -P promtool >/dev/null || [ -x "$cache/bin/promtool" ]; then return 0; fi
  if ! command -v apt-get >/dev/null; then
    echo "promtool is missing: install it from Prometheus 2.42 or later, and run this again." >&2
    return 1
  fi
  # The lists of packages are missing on a fresh system.
  apt-cache show prometheus >/dev/null 2>&1 || "${sudo[@]}" apt-get update -qq
  package=prometheus
  ! apt-cache show promtool >/dev/null 2>&1 || package=promtool
  echo "Extracting promtool from the package $package into $cache (once)"
  work=$(mktemp -d)
  (cd "$work" && apt-get download -qq -o APT::Sandbox::User=root "$package" \
    && dpkg-deb --extract "$package"_*.deb .)
  mkdir -p "$cache/bin"
  install "$work/usr/bin/promtool" "$cache/bin/promtool"
  rm -rf "$work"
}

# Install cargo-llvm-cov, and llvm-profdata and llvm-cov if the Rust toolchain lacks them. Their LLVM
# must be of the same major version as rustc's, because the format of profiles changes.
coverage() {
  local version
  cached cargo-llvm-cov cargo-llvm-cov '^0.6' 'cargo-llvm-cov, which measures coverage,'
  version=$(rustc --version --verbose | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
  ! compgen -G "$(rustc --print sysroot)/lib/rustlib/*/bin/llvm-profdata" >/dev/null || return 0
  [ ! -x "/usr/lib/llvm-$version/bin/llvm-profdata" ] || return 0
  if ! command -v apt-get >/dev/null || ! apt-cache show "llvm-$version" >/dev/null 2>&1; then
    echo "llvm-profdata is missing: run 'rustup component add llvm-tools', and run this again." >&2
    return 1
  fi
  packages "llvm-$version"
}

# Install Firefox, and the program that controls it, which Debian 12 has no package of.
firefox() {
  cached geckodriver geckodriver '^0.37' 'geckodriver, which controls Firefox,'
  if ! command -v apt-get >/dev/null; then
    command -v firefox-esr >/dev/null || { echo "firefox-esr is missing: install it." >&2; return 1; }
    return
  fi
  packages firefox-esr
}

# Build the static libav unless the cache has the version that apt offers, and let cargo find it.
# With LIBAV=system, cargo finds the one of the system.
provide_libav() {
  local build found=.cargo/libav.toml
  if [ "$libav" = system ]; then
    rm -f "$found"
    return
  fi
  if command -v apt-get >/dev/null; then
    packages "${static[@]}"
    # The lists of packages are missing on a fresh system.
    [ -n "${FFMPEG_SOURCE:-}" ] || apt-cache show ffmpeg >/dev/null 2>&1 \
      || "${sudo[@]}" apt-get update -qq
  fi
  build=$(crates/frames/libav/build.sh "$cache")
  # A path that changes with the version makes cargo link again.
  printf '[env]\nPKG_CONFIG_PATH = { value = "%s", force = true }\n' "$build/lib/pkgconfig" \
    >"$found.new"
  cmp --silent "$found.new" "$found" || echo "Linking libav statically from $build"
  mv "$found.new" "$found"
}

libav=${LIBAV:-static}
case $libav in
  static | system) ;;
  *) echo "LIBAV is '$libav': set it to 'static' or 'system'" >&2; exit 2 ;;
esac
# Packages with which the static libav is built.
static=(gcc libc6-dev make nasm pkg-config dpkg-dev xz-utils zlib1g-dev libbz2-dev libdav1d-dev libwebp-dev)
# Development files of the system's libav.
system=(libavcodec-dev libavformat-dev libavutil-dev libswscale-dev)

case ${1:-} in
  libav) provide_libav; exit ;;
  store) cached garage garage '^2.5' 'Garage, the S3 store of the tests,'; exit ;;
  deny) cached cargo-deny cargo-deny '^0.20' 'cargo-deny, which checks dependencies,'; exit ;;
  deploy) promtool; exit ;;
  coverage) coverage; exit ;;
  firefox) firefox; exit ;;
  fuzz) cached cargo-fuzz cargo-fuzz '^0.13' 'cargo-fuzz'; exit ;;
esac

build=(clang libclang-dev pkg-config)
if [ "$libav" = system ]; then build+=("${system[@]}"); else build+=("${static[@]}"); fi
# The tests start these servers themselves, on free ports and with their own data directories.
servers=(postgresql rabbitmq-server redis-server util-linux iproute2 sqlite3)
# ffmpeg is the reference for frames; other tools read archives, trace system calls, and drive the
# page in a browser.
test=(ffmpeg curl openssl unzip p7zip-full libarchive-tools python3 python3-venv strace perl man-db chromium
  chromium-driver)
# npm installs tools that check the page and the OpenAPI document. Debian's npm conflicts with
# Node.js from other sources, which includes an npm.
command -v npm >/dev/null || test+=(npm)
bench=(ffmpeg python3 python3-venv)

case ${1:-} in
  build) needed=("${build[@]}") ;;
  # A part of the tests runs with each of the two.
  test) needed=("${build[@]}" "${system[@]}" "${test[@]}" "${servers[@]}") ;;
  bench) needed=("${build[@]}" "${bench[@]}") ;;
  *) echo "usage: setup.sh build|test|bench|libav|store|deny|fuzz|deploy|coverage|firefox" >&2; exit 2 ;;
esac

if ! command -v cargo >/dev/null; then
  echo "Rust is missing: install it from https://rustup.rs and run this again." >&2
  exit 1
fi
if ! command -v apt-get >/dev/null; then
  echo "This system has no apt-get. Install the equivalents of these Debian packages," >&2
  echo "then use cargo directly: ${needed[*]}" >&2
  [ -n "${FFMPEG_SOURCE:-}" ] || [ "$libav" = system ] || exit 0
fi
! command -v apt-get >/dev/null || packages "${needed[@]}"
provide_libav
