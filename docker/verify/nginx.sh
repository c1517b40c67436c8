#!/bin/sh
# Fill the templates like the entry point of the official image, for the variable of compose.yml.
set -eu
for template in /etc/nginx/templates/*.template; do
  [ -e "$template" ] || continue
  sed "s/\${S3_BUCKET}/$S3_BUCKET/g" "$template" \
    >"$NGINX_ENVSUBST_OUTPUT_DIR/$(basename "$template" .template)"
done
exec "$@"
