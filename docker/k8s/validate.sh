#!/usr/bin/env bash
# Validate the manifests against the schemas of Kubernetes and KEDA, and the settings of fiapx.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Package on PyPI, which includes the schemas of Kubernetes.
version=1.37.0
environment=target/kubernetes-validate-$version
# The marker is created last, so an interrupted installation starts again.
if [ ! -f "$environment/complete" ]; then
  python3 -m venv --clear "$environment"
  "$environment/bin/python3" -m pip install --quiet --disable-pip-version-check "kubernetes-validate==$version"
  touch "$environment/complete"
fi
exec "$environment/bin/python3" docker/k8s/validate.py
