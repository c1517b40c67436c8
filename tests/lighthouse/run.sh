#!/usr/bin/env bash
# Measure the page with Lighthouse in headless Chromium, on a service of its own with a sample video.
# usage: run.sh PROGRAM [MINIMUM]
#
# Fails if the list or a job, on a phone or a desktop, has a score below MINIMUM (default: 95) for
# performance, accessibility or best practices. Reports are written to target/lighthouse/reports.
# Other work on the machine lowers the performance, so run nothing else meanwhile.
set -euo pipefail
cd "$(dirname "$0")/../.."
program=$(realpath "${1:?usage: run.sh PROGRAM [MINIMUM]}")
minimum=${2:-95}
work=target/lighthouse
mkdir -p "$work/reports"
if ! cmp --silent tests/lighthouse/package-lock.json "$work/installed.json"; then
  cp tests/lighthouse/package.json tests/lighthouse/package-lock.json "$work"
  npm ci --ignore-scripts --no-audit --no-fund --loglevel error --prefix "$work"
  cp tests/lighthouse/package-lock.json "$work/installed.json"
fi
# Node.js looks for modules beside the script that imports them.
cp tests/lighthouse/measure.mjs "$work"

data=$(mktemp -d)
service=
finish() {
  [ -z "$service" ] || kill "$service" 2>/dev/null || true
  wait
  rm -rf "$data"
}
trap finish EXIT
"$program" serve --listen 127.0.0.1:0 --data-dir "$data" >"$data/log" &
service=$!
# The log line with the address appears when the service is ready, and the log ends if it fails.
address=$({ tail --pid="$service" -n +1 -f "$data/log" || true; } \
  | sed -n '/"the service is ready"/{s/.*"address":"\([^"]*\)".*/\1/p;q}')
[ -n "$address" ] || { echo "the service did not start:" >&2; cat "$data/log" >&2; exit 1; }
node "$work/measure.mjs" "http://$address" fixtures/sample.mp4 "$minimum" "$work/reports"
