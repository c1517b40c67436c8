#!/usr/bin/env bash
# Install what the project needs from the system's packages, and nothing that is there already.
# usage: setup.sh build|test|bench|store|deny|fuzz|deploy
set -euo pipefail

sudo=()
[ "$(id -u)" -eq 0 ] || sudo=(sudo)

# What is no Debian package is built once, into a directory that outlives checkouts; how fast it runs does not matter.
# usage: cached PROGRAM CRATE VERSION WHAT
cached() {
  local cache=${XDG_CACHE_HOME:-$HOME/.cache}/fiapx
  [ ! -x "$cache/bin/$1" ] || return 0
  echo "Building $4 into $cache (once, some minutes)"
  env CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    CARGO_PROFILE_RELEASE_DEBUG=false CARGO_TARGET_DIR="$cache/build-$1" \
    cargo install "$2" --version "$3" --locked --quiet --root "$cache"
  rm -rf "$cache/build-$1"
}

# Of Debian's package prometheus only the tool that checks rules is wanted: installed, the package would start a server.
promtool() {
  local bin=${XDG_CACHE_HOME:-$HOME/.cache}/fiapx/bin work
  if type -P promtool >/dev/null || [ -x "$bin/promtool" ]; then return 0; fi
  if ! command -v apt-get >/dev/null; then
    echo "promtool is missing: put the one of Prometheus 2.42 or later into the PATH and run this again." >&2
    return 1
  fi
  work=$(mktemp -d)
  echo "Fetching promtool into $bin (once)"
  # A system that has fetched no lists of packages yet knows none.
  apt-cache show prometheus >/dev/null 2>&1 || "${sudo[@]}" apt-get update -qq
  (cd "$work" && apt-get download -qq prometheus && dpkg-deb --extract prometheus_*.deb .)
  mkdir -p "$bin"
  install "$work/usr/bin/promtool" "$bin/promtool"
  rm -rf "$work"
}
case ${1:-} in
  store) cached garage garage '^2.5' 'Garage, the S3 store of the tests,'; exit ;;
  deny) cached cargo-deny cargo-deny '^0.20' 'cargo-deny, which checks dependencies,'; exit ;;
  deploy) promtool; exit ;;
  fuzz) cached cargo-fuzz cargo-fuzz '^0.13' 'cargo-fuzz'; exit ;;
esac

build=(libavcodec-dev libavformat-dev libavutil-dev libswscale-dev clang libclang-dev pkg-config)
# The ffmpeg command is the oracle of the tests; the rest reads archives and watches what the command opens.
# The servers are started by the tests themselves, each on a port and in a directory of its own.
servers=(postgresql rabbitmq-server redis-server util-linux sqlite3)
# The page is looked at in a browser; npm brings what looks whether everybody can use it.
test=(ffmpeg curl unzip p7zip-full libarchive-tools python3 python3-venv strace perl chromium chromium-driver)
# Debian's npm cannot stand beside a Node.js from elsewhere, which brings its own.
command -v npm >/dev/null || test+=(npm)
bench=(ffmpeg python3 python3-venv)

case ${1:-} in
  build) packages=("${build[@]}") ;;
  test) packages=("${build[@]}" "${test[@]}" "${servers[@]}") ;;
  bench) packages=("${build[@]}" "${bench[@]}") ;;
  *) echo "usage: setup.sh build|test|bench|store|deny|fuzz|deploy" >&2; exit 2 ;;
esac

if ! command -v cargo >/dev/null; then
  echo "Rust is missing: install it from https://rustup.rs and run this again." >&2
  exit 1
fi
if ! command -v apt-get >/dev/null; then
  echo "This system has no apt-get. Install, by its own means, what these Debian packages hold, then use cargo directly:" >&2
  echo "  ${packages[*]}" >&2
  exit 0
fi

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

echo "Installing with apt-get: ${missing[*]}"
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
