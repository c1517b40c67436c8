#!/bin/sh
# Generate the missing secrets of this installation. Each reader has a directory, which is a volume;
# those of the roles are copied from `fiapx`, which no role reads.
set -eu
umask 077
cd /secrets

secret() { od -An -v -tx1 -N "$1" /dev/urandom | tr -d ' \n'; }

# Write a secret, atomically, if it does not exist.
keep() {
  [ -s "$1" ] || { printf '%s' "$2" >"$1.new" && mv "$1.new" "$1"; }
}

keep postgres/password "$(secret 24)"
keep fiapx/database_url "postgresql://fiapx:$(cat postgres/password)@postgres/fiapx"

# In a configuration file, because RabbitMQ cannot read a password from another file.
keep rabbitmq/90-user.conf "default_user = fiapx
default_pass = $(secret 24)
"
keep fiapx/rabbitmq_url "amqp://fiapx:$(sed -n 's/^default_pass = //p' rabbitmq/90-user.conf)@rabbitmq"

# An access key of Garage is GK and 12 bytes in hexadecimal, a secret key 32 bytes.
keep garage/access_key "GK$(secret 12)"
keep garage/secret_key "$(secret 32)"
keep garage/rpc_secret "$(secret 32)"
keep fiapx/s3_access_key "$(cat garage/access_key)"
keep fiapx/s3_secret_key "$(cat garage/secret_key)"

keep fiapx/jwt_secret "$(secret 32)"

# give ROLE NAME...: copy secrets to the directory of a role.
give() {
  role=$1
  shift
  for name; do
    cp "fiapx/$name" "$role/$name.new"
    mv "$role/$name.new" "$role/$name"
  done
  chown -R 10001:10001 "$role"
}

give api database_url rabbitmq_url s3_access_key s3_secret_key jwt_secret
give worker database_url rabbitmq_url s3_access_key s3_secret_key
give notifier database_url rabbitmq_url
give migrate database_url

keep grafana/password "$(secret 12)"

# Users of the images that read the secrets.
chown -R 999:999 postgres rabbitmq
chown -R 10002:10002 garage
chown -R 472:0 grafana
