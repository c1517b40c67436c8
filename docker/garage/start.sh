#!/bin/sh
# Start a single node. Garage creates the bucket GARAGE_DEFAULT_BUCKET and its key if they are missing.
set -eu
GARAGE_DEFAULT_ACCESS_KEY=$(cat /secrets/access_key)
GARAGE_DEFAULT_SECRET_KEY=$(cat /secrets/secret_key)
export GARAGE_DEFAULT_ACCESS_KEY GARAGE_DEFAULT_SECRET_KEY
exec garage server --single-node --default-bucket
