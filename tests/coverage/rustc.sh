#!/bin/sh
# Compile a crate with coverage instrumentation. Cargo runs this instead of rustc, for the
# crates of the workspace only.
exec "$@" -C instrument-coverage
