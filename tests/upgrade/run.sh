#!/usr/bin/env bash
# Upgrade and downgrade beside an older program under load, on real servers.
# usage: run.sh PROGRAM_OR_COMMIT
#
# A commit is built in a worktree below target/, once.
set -euo pipefail
cd "$(dirname "$0")/../.."
old=${1:?usage: make verify-upgrade OLD=path/to/fiapx or OLD=commit}
if [ ! -x "$old" ]; then
  commit=$(git rev-parse --verify --quiet "$old^{commit}") \
    || { echo "$old is neither a program nor a commit" >&2; exit 1; }
  directory=target/upgrade/$commit
  if [ ! -x "$directory/target/release/fiapx" ]; then
    [ -e "$directory/Cargo.toml" ] || git worktree add --force --detach "$directory" "$commit"
    CARGO_TARGET_DIR=$directory/target \
      cargo build --release --package app --manifest-path "$directory/Cargo.toml"
  fi
  old=$directory/target/release/fiapx
fi
UPGRADE_FROM=$(realpath "$old") \
  cargo test --workspace --test stories -- upgrade:: --nocapture
