#!/usr/bin/env bash
# Race target/release/fiapx against what could be run instead. usage: benches/race.sh [VIDEO...]
# Without videos it takes the benches' clips (made by `make bench`) or the sample. ROUNDS=3 sets how often each runs.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=target/race-venv
if [ ! -e $venv/ready ]; then
  python3 -m venv $venv
  for peer in av opencv-python-headless decord; do
    $venv/bin/pip install --quiet $peer || echo "no $peer here: the race goes on without it" >&2
  done
  touch $venv/ready
fi
if [ $# -eq 0 ]; then
  shopt -s nullglob
  set -- target/bench-clips/*.*
  [ $# -gt 0 ] || set -- fixtures/sample.mp4
fi
exec $venv/bin/python benches/race.py --rounds "${ROUNDS:-3}" -- "$@"
