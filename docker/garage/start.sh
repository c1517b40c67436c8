#!/bin/sh
# One node, with one bucket, and one key that owns it; Garage makes what is missing before it listens.
set -eu
GARAGE_DEFAULT_ACCESS_KEY=$(cat /secrets/access_key)
GARAGE_DEFAULT_SECRET_KEY=$(cat /secrets/secret_key)
export GARAGE_DEFAULT_ACCESS_KEY GARAGE_DEFAULT_SECRET_KEY GARAGE_DEFAULT_BUCKET=fiapx
exec garage server --single-node --default-bucket
