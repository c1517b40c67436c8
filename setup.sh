#!/usr/bin/env bash
# Install what the project needs from the system's packages, and nothing that is there already.
# usage: setup.sh build|test|bench
set -euo pipefail

build=(libavcodec-dev libavformat-dev libavutil-dev libswscale-dev clang libclang-dev pkg-config)
# The ffmpeg command is the oracle of the tests; the rest reads archives and watches what the command opens.
test=(ffmpeg curl unzip p7zip-full libarchive-tools python3 python3-venv strace perl)
bench=(ffmpeg python3 python3-venv)

case ${1:-} in
  build) packages=("${build[@]}") ;;
  test) packages=("${build[@]}" "${test[@]}") ;;
  bench) packages=("${build[@]}" "${bench[@]}") ;;
  *) echo "usage: setup.sh build|test|bench" >&2; exit 2 ;;
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
