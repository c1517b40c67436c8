#!/usr/bin/env bash
# Install what the project needs from the system's packages, and nothing that is there already.
# usage: setup.sh build|test|bench|store
set -euo pipefail

# The S3 store of the tests is no Debian package. It is built once, into a directory that outlives checkouts.
if [ "${1:-}" = store ]; then
  cache=${XDG_CACHE_HOME:-$HOME/.cache}/fiapx
  [ ! -x "$cache/bin/garage" ] || exit 0
  echo "Building Garage, the S3 store of the tests, into $cache (once, about a quarter of an hour on two cores)"
  CARGO_TARGET_DIR="$cache/build" cargo install garage --version '^2.5' --locked --quiet --root "$cache"
  rm -rf "$cache/build"
  exit 0
fi

build=(libavcodec-dev libavformat-dev libavutil-dev libswscale-dev clang libclang-dev pkg-config)
# The ffmpeg command is the oracle of the tests; the rest reads archives and watches what the command opens.
# The servers are started by the tests themselves, each on a port and in a directory of its own.
servers=(postgresql rabbitmq-server redis-server util-linux)
test=(ffmpeg curl unzip p7zip-full libarchive-tools python3 python3-venv strace perl)
bench=(ffmpeg python3 python3-venv)

case ${1:-} in
  build) packages=("${build[@]}") ;;
  test) packages=("${build[@]}" "${test[@]}" "${servers[@]}") ;;
  bench) packages=("${build[@]}" "${bench[@]}") ;;
  *) echo "usage: setup.sh build|test|bench|store" >&2; exit 2 ;;
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

sudo=()
[ "$(id -u)" -eq 0 ] || sudo=(sudo)
echo "Installing with apt-get: ${missing[*]}"
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
