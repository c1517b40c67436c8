#!/bin/sh
# What the entry point of RabbitMQ's image does for compose.yml: the server is its own user's, as is the volume.
set -eu
chown -R rabbitmq:rabbitmq /var/lib/rabbitmq
exec gosu rabbitmq env RABBITMQ_LOGS=- /usr/lib/rabbitmq/bin/rabbitmq-server
