#!/bin/sh
# Make the secrets of this installation where there are none yet: one directory for each reader, each a volume of its own.
set -eu
umask 077
cd /secrets

secret() { od -An -v -tx1 -N "$1" /dev/urandom | tr -d ' \n'; }

# A secret is written once, and whole or not at all.
keep() {
  [ -s "$1" ] || { printf '%s' "$2" >"$1.new" && mv "$1.new" "$1"; }
}

keep postgres/password "$(secret 24)"
keep fiapx/database_url "postgresql://fiapx:$(cat postgres/password)@postgres/fiapx"

# As configuration, for the server has no other way to take it from a file.
keep rabbitmq/90-user.conf "default_user = fiapx
default_pass = $(secret 24)
"
keep fiapx/rabbitmq_url "amqp://fiapx:$(sed -n 's/^default_pass = //p' rabbitmq/90-user.conf)@rabbitmq"

# Keys of Garage are GK and 12 bytes, and 32 bytes.
keep garage/access_key "GK$(secret 12)"
keep garage/secret_key "$(secret 32)"
keep garage/rpc_secret "$(secret 32)"
keep fiapx/s3_access_key "$(cat garage/access_key)"
keep fiapx/s3_secret_key "$(cat garage/secret_key)"

keep fiapx/jwt_secret "$(secret 32)"
keep grafana/password "$(secret 12)"

# Who reads them: our own image's user, and those of the others' images.
chown -R 10001:10001 fiapx
chown -R 999:999 postgres rabbitmq
chown -R 10002:10002 garage
chown -R 472:0 grafana
