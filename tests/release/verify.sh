#!/usr/bin/env bash
# Run `make build` and `make test` on a fresh Debian release, in a chroot with a minimal system, a
# clone of this checkout, and the Rust toolchain of this machine. On a release of Ubuntu, which has no
# package of Chromium, run the unit tests only, with both kinds of libav.
# usage: verify.sh RELEASE [COMMAND]
#
# COMMAND runs in the clone instead of these. Variables:
#   MIRROR     mirror; default: the first one of Debian in this machine's apt sources, or Ubuntu's own
#   KEYRING    keys of Ubuntu; default: those of the package ubuntu-keyring. `none` checks no signature
#   DIRECTORY  where the chroot is created; default: target/release-RELEASE
#
# The chroot is kept for the next run; mounts are removed on exit. Needs root and debootstrap.
set -euo pipefail
cd "$(dirname "$0")/../.."
release=${1:?usage: verify.sh RELEASE [COMMAND]}
root=$(realpath --canonicalize-missing "${DIRECTORY:-target/release-$release}")
# Mount points in the chroot, in the order of mounting.
mounts=(proc sys dev dev/pts dev/shm rust/rustup)

die() { echo "$*" >&2; exit 1; }
[ "$(id -u)" -eq 0 ] || die "needs root: run it with sudo"
command -v debootstrap >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq debootstrap

# Arguments of debootstrap, and its script if that is not the one of the release's name.
distribution=Debian command='make build && make test' arguments=() script=()
case $release in
  jammy | noble | resolute)
    distribution=Ubuntu
    command='make build && make test-quick && make test-quick LIBAV=system'
    keyring=${KEYRING:-/usr/share/keyrings/ubuntu-archive-keyring.gpg}
    arguments=(--components=main,universe)
    if [ "$keyring" = none ]; then
      arguments+=(--no-check-gpg)
    else
      [ -e "$keyring" ] || die "Ubuntu's keys are missing: install the package ubuntu-keyring, set" \
        "KEYRING to a file with them, or to 'none' to trust the mirror"
      arguments+=(--keyring="$keyring")
    fi
    # The same for all of its releases; versions of debootstrap lack newer names.
    script=(gutsy)
    MIRROR=${MIRROR:-http://archive.ubuntu.com/ubuntu}
    ;;
esac
command=${2:-$command}

# Print the first Debian mirror in the sources of apt, in either of their formats.
host_mirror() {
  find /etc/apt/sources.list /etc/apt/sources.list.d -name '*.list' -o -name '*.sources' 2>/dev/null \
    | sort | xargs --no-run-if-empty cat \
    | sed -nE 's/^(URIs:|deb( \[[^]]*\])?) +(https?:[^ ]*debian)\/?( .*)?$/\3/; T; p; q'
}
mirror=${MIRROR:-$(host_mirror || true)}
[ -n "$mirror" ] || die "apt has no Debian mirror: set MIRROR"

# The end of another run would unmount the file systems of this one.
mkdir -p "$(dirname "$root")"
exec {lock}>"$root.lock"
flock --nonblock "$lock" || die "another run uses $root"

# Unmount in reverse order. Called on exit and before mounting, in case a run was killed.
unmount() {
  local index
  for ((index = ${#mounts[@]} - 1; index >= 0; index--)); do
    ! mountpoint -q "$root/${mounts[index]}" || umount --lazy "$root/${mounts[index]}"
  done
}
trap unmount EXIT
unmount

# The marker is created last, so an interrupted run starts again.
if [ ! -e "$root/etc/fiapx-complete" ]; then
  echo "Creating $distribution $release in $root from $mirror"
  rm -rf --one-file-system "$root"
  mkdir -p "$root"
  debootstrap --variant=minbase "${arguments[@]}" --include=ca-certificates,git,make,gcc,libc6-dev,sudo,adduser \
    "$release" "$root" "$mirror" "${script[@]}" >"$root.log" || die "debootstrap failed: see $root.log"
  # Services must not start in the chroot: the tests start their own servers.
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"
  touch "$root/etc/fiapx-complete"
fi

# Network settings of this machine: name servers, certificates, and configuration of apt and cargo.
cp --dereference /etc/resolv.conf /etc/hosts "$root/etc/"
certificates=/etc/ssl/certs/ca-certificates.crt
cp "$certificates" "$root$certificates"
for file in /etc/apt/apt.conf /etc/apt/apt.conf.d/*proxy*; do
  [ ! -e "$file" ] || cp "$file" "$root/$file"
done
cargo_home=${CARGO_HOME:-$HOME/.cargo}
rustup_home=${RUSTUP_HOME:-$HOME/.rustup}
mkdir -p "$root/rust/rustup" "$root/rust/cargo/bin"
cp -a "$cargo_home/bin/." "$root/rust/cargo/bin/"
for file in config config.toml; do
  [ ! -e "$cargo_home/$file" ] || cp "$cargo_home/$file" "$root/rust/cargo/"
done

mount -t proc proc "$root/proc"
mount -t sysfs sys "$root/sys"
mount --bind /dev "$root/dev"
mount --bind /dev/pts "$root/dev/pts"
mkdir -p "$root/dev/shm"
mountpoint -q "$root/dev/shm" || mount -t tmpfs tmpfs "$root/dev/shm"
mount --bind "$rustup_home" "$root/rust/rustup"

# A clone has committed files only. What was built in an earlier run is kept.
bundle=$root/tmp/fiapx.bundle
git bundle create --quiet "$bundle" HEAD
clone() { chroot "$root" git -C /srv/fiapx -c advice.detachedHead=false "$@"; }
chroot "$root" git -c init.defaultBranch=main init --quiet /srv/fiapx
clone fetch --quiet /tmp/fiapx.bundle HEAD
clone checkout --quiet --force FETCH_HEAD
rm "$bundle"

proxies=()
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
  [ -z "${!name:-}" ] || proxies+=("$name=${!name}")
done
echo "$distribution $(cat "$root/etc/debian_version"), $(git rev-parse --short=12 HEAD): $command"
chroot "$root" env -i HOME=/root LANG=C.UTF-8 TERM=dumb "${proxies[@]}" \
  PATH=/rust/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  RUSTUP_HOME=/rust/rustup CARGO_HOME=/rust/cargo \
  SSL_CERT_FILE="$certificates" NODE_EXTRA_CA_CERTS="$certificates" PIP_CERT="$certificates" \
  bash -ec "cd /srv/fiapx && $command"
echo "$distribution $release: passed"
