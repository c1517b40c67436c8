#!/usr/bin/env bash
# Run fuzz targets, each for a number of seconds. The corpus starts with the kept inputs and the
# generated clips.
# usage: run.sh SECONDS [TARGET ...]
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:?usage: run.sh SECONDS [TARGET ...]}
shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(extract archive requests spans)
export PATH="${XDG_CACHE_HOME:-$HOME/.cache}/fiapx/bin:$PATH"
# The fuzzer instruments code with unstable compiler options, which do not depend on the version.
export RUSTC_BOOTSTRAP=1
for target in "${targets[@]}"; do
  # New inputs are stored in target/; those that found a failure are copied to inputs/ by hand.
  found=../../target/fuzz/$target
  mkdir -p "$found"
  seeds=()
  [ ! -d "inputs/$target" ] || seeds+=("inputs/$target")
  [ "$target" != spans ] || ../../fixtures/make.sh ../../target/fixtures
  if [ "$target" = extract ]; then
    for clips in ../../target/fixtures/good ../../target/fixtures/broken; do
      [ ! -d "$clips" ] || seeds+=("$clips")
    done
  fi
  # Without a sanitizer: the code is safe Rust, and the installed libav is not instrumented.
  cargo fuzz run --fuzz-dir . --sanitizer none --target-dir ../../target/fuzz/build \
    "$target" "$found" "${seeds[@]}" -- \
    -max_total_time="$seconds" -timeout=30 -rss_limit_mb=4096 -max_len=100000 \
    -artifact_prefix="$found-"
done
