#!/usr/bin/env bash
# Compare target/release/fiapx with other programs. usage: benches/race.sh [VIDEO...]
# Default videos: the clips of the benches (created by `make bench`), or else the sample.
# ROUNDS is the number of runs of each program (default: 3).
set -euo pipefail
cd "$(dirname "$0")/.."
venv=target/race-venv
if [ ! -e $venv/ready ]; then
  python3 -m venv $venv
  for peer in av opencv-python-headless decord; do
    $venv/bin/pip install --quiet $peer || echo "cannot install $peer; it is omitted" >&2
  done
  touch $venv/ready
fi
if [ $# -eq 0 ]; then
  shopt -s nullglob
  set -- target/bench-clips/*.*
  [ $# -gt 0 ] || set -- fixtures/sample.mp4
fi
exec $venv/bin/python benches/race.py --rounds "${ROUNDS:-3}" -- "$@"
