#!/bin/sh
# Compile a crate with coverage instrumentation. Cargo runs this in place of rustc, for the crates of
# the workspace only.
exec "$@" -C instrument-coverage
