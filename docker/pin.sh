#!/usr/bin/env bash
# Pin images by digest, so that a registry cannot replace what is started: the base images of the
# Dockerfiles, the servers of compose.yml, and fiapx itself in Kubernetes. Run it again to update.
#
#   docker/pin.sh                            resolve the tags and write their digests behind them
#   docker/pin.sh --check                    fail if an image is not pinned; asks no registry
#   docker/pin.sh --kubernetes NAME:TAG      pin the image of fiapx that was pushed under this name
#
# Needs docker with buildx, and access to the registries. DIGEST_OF may name another command, which
# prints the digest of the image that is its argument (for example `crane digest`).
set -euo pipefail
cd "${ROOT:-$(dirname "$0")/..}"

files=(compose.yml docker/Dockerfile docker/garage/Dockerfile)
kustomizations=(docker/k8s/base/kustomization.yaml docker/k8s/migrate/kustomization.yaml)

# Images that are pulled, one a line: those of compose.yml that it does not build, and the bases.
images() {
  sed -nE 's/^ *image: *([^ ]+).*/\1/p' compose.yml | grep -v '^fiapx'
  # `scratch` is no image.
  sed -nE 's/^FROM ([^ ]+).*/\1/p' docker/Dockerfile docker/garage/Dockerfile | grep -vx scratch
}

digest() {
  local digest
  if [ -n "${DIGEST_OF:-}" ]; then
    # shellcheck disable=SC2086 # a command with its arguments
    digest=$($DIGEST_OF "$1")
  else
    digest=$(docker buildx imagetools inspect "$1" --format '{{.Manifest.Digest}}')
  fi
  [[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || { echo "no digest of $1: $digest" >&2; exit 1; }
  printf '%s' "$digest"
}

case ${1:-} in
  '')
    images | sort -u | while read -r image; do
      tag=${image%@*}
      pinned=$tag@$(digest "$tag")
      sed -i -E "s|(image: *\|^FROM )${image//./\\.}( \|$)|\1$pinned\2|" "${files[@]}"
      echo "$pinned"
    done
    ;;
  --check)
    unpinned=$(images | sort -u | grep -Ev '@sha256:[0-9a-f]{64}$' || true)
    [ -z "$unpinned" ] || { printf 'not pinned: %s\n' $unpinned >&2; exit 1; }
    ;;
  --kubernetes)
    image=${2:?the name and tag of the image of fiapx}
    pinned="{name: fiapx, newName: ${image%:*}, digest: $(digest "$image")}"
    sed -i "s|{name: fiapx, newName: .*}|$pinned|" "${kustomizations[@]}"
    ;;
  *) echo "usage: docker/pin.sh [--check | --kubernetes NAME:TAG]" >&2; exit 2 ;;
esac
