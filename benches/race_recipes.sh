#!/usr/bin/env bash
# Compare recipes of target/release/fiapx with ffmpeg commands. usage: benches/race_recipes.sh [VIDEO]
# Default video: one hour of the first clip of the benches, which `make bench` creates.
# ROUNDS is the number of runs of each program (default: 3).
set -euo pipefail
cd "$(dirname "$0")/.."
video=${1:-target/hour.mp4}
if [ ! -e "$video" ]; then
  clip=target/bench-clips/h264.mp4
  ffmpeg -v error -nostdin -stream_loop -1 -i "$clip" -t 3600 -c copy -y "$video"
fi
exec python3 benches/race_recipes.py --rounds "${ROUNDS:-3}" "$video"
