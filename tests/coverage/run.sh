#!/usr/bin/env bash
# Run tests with coverage instrumentation and print the line coverage of each crate.
# usage: run.sh MINIMUM [ARGUMENTS OF CARGO TEST...]
# Fails if the overall line coverage is below MINIMUM percent. Processes of fiapx that the tests
# start are counted, except cells, which cannot write files, and processes that are killed.
set -euo pipefail
cd "$(dirname "$0")/../.."
minimum=$1
shift

export PATH="${XDG_CACHE_HOME:-$HOME/.cache}/fiapx/bin:$PATH"
# Instrumented builds are kept apart from ordinary ones.
export CARGO_TARGET_DIR=$PWD/target/coverage
unset CARGO_BUILD_BUILD_DIR
llvm=/usr/lib/llvm-$(rustc --version --verbose | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')/bin
if ! compgen -G "$(rustc --print sysroot)/lib/rustlib/*/bin/llvm-profdata" >/dev/null; then
  export LLVM_COV=$llvm/llvm-cov LLVM_PROFDATA=$llvm/llvm-profdata
fi

environment=$(cargo llvm-cov show-env --export-prefix)
eval "$environment"
# Only the crates of the workspace are instrumented. The flags of cargo-llvm-cov would instrument
# their dependencies as well, which are ten times as large.
unset RUSTFLAGS
export RUSTC_WORKSPACE_WRAPPER=$PWD/tests/coverage/rustc.sh
cargo llvm-cov clean --workspace
if [ $# -eq 0 ]; then
  # The whole-system tests start these programs.
  cargo build --quiet --workspace --bins --tests
  # An instrumented process opens its profile and has a variable with its name. These tests check that
  # a process opens or writes no other file, and that a cell has no variables.
  set -- --workspace -- --skip hostile::only_the_video_is_opened \
    --skip hostile::references_to_other_files_are_not_followed \
    --skip streaming::a_worker_uses_little_memory_and_no_disk_for_1080p \
    --skip cell::a_decoder_cannot_leave_its_cell
fi
cargo test "$@"
# Processes that tests start with an empty environment write to their working directory.
count=0
while IFS= read -r profile; do
  count=$((count + 1))
  mv "$profile" "${LLVM_PROFILE_FILE%%%*}stray-$count.profraw"
done < <(find . -path ./target -prune -o -name 'default_*.profraw' -print)
# A process that is killed while it exits leaves an incomplete profile, which is ignored.
cargo llvm-cov report --failure-mode all --json --summary-only \
  --output-path "$CARGO_TARGET_DIR/coverage.json"
python3 tests/coverage/report.py "$CARGO_TARGET_DIR/coverage.json" "$minimum"
