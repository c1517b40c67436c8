#!/bin/sh
# Start a single node. Garage creates the bucket and its key at the first start.
set -eu
GARAGE_DEFAULT_ACCESS_KEY=$(cat /secrets/access_key)
GARAGE_DEFAULT_SECRET_KEY=$(cat /secrets/secret_key)
export GARAGE_DEFAULT_ACCESS_KEY GARAGE_DEFAULT_SECRET_KEY GARAGE_DEFAULT_BUCKET=fiapx-videos
exec garage server --single-node --default-bucket
