#!/usr/bin/env bash
# Hold the manifests against the schemas of Kubernetes and of KEDA, and against the settings of fiapx.
set -euo pipefail
cd "$(dirname "$0")/../.."

# On PyPI; it brings the schemas of Kubernetes along.
version=1.37.0
environment=target/kubernetes-validate-$version
# The mark stands for all of it: what was interrupted has none.
if [ ! -f "$environment/complete" ]; then
  python3 -m venv --clear "$environment"
  "$environment/bin/python3" -m pip install --quiet --disable-pip-version-check "kubernetes-validate==$version"
  touch "$environment/complete"
fi
exec "$environment/bin/python3" docker/k8s/validate.py
