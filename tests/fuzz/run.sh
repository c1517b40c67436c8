#!/usr/bin/env bash
# Run each fuzz target for some seconds, from the kept inputs on and from small clips if they have been made.
# usage: run.sh SECONDS [TARGET ...]
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:?usage: run.sh SECONDS [TARGET ...]}
shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(extract archive requests)
export PATH="${XDG_CACHE_HOME:-$HOME/.cache}/fiapx/bin:$PATH"
# The fuzzer instruments code by options of the compiler that are not stable. They do not depend on its version.
export RUSTC_BOOTSTRAP=1
for target in "${targets[@]}"; do
  # What a run finds lies in target/; what is worth keeping is copied to inputs/ by hand.
  found=../../target/fuzz/$target
  mkdir -p "$found"
  seeds=()
  [ ! -d "inputs/$target" ] || seeds+=("inputs/$target")
  if [ "$target" = extract ]; then
    for clips in ../../target/fixtures/good ../../target/fixtures/broken; do
      [ ! -d "$clips" ] || seeds+=("$clips")
    done
  fi
  # No sanitizer: our own code is safe, and libav is linked as it is installed.
  cargo fuzz run --fuzz-dir . --sanitizer none --target-dir ../../target/fuzz/build "$target" "$found" "${seeds[@]}" -- \
    -max_total_time="$seconds" -timeout=30 -rss_limit_mb=4096 -max_len=100000 -artifact_prefix="$found-"
done
