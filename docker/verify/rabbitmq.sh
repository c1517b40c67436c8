#!/bin/sh
# Stand-in for the entry point of RabbitMQ's image: run the server as its own user, which owns the
# volume.
set -eu
chown -R rabbitmq:rabbitmq /var/lib/rabbitmq
exec gosu rabbitmq env RABBITMQ_LOGS=- /usr/lib/rabbitmq/bin/rabbitmq-server
