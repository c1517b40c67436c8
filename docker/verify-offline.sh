#!/usr/bin/env bash
# Start compose.yml on a machine without access to a registry, and test it like users and operators.
#
# Base images are created with debootstrap, third-party images from Debian packages
# (docker/verify/Dockerfile), and the image of fiapx with docker/Dockerfile. Grafana is not a Debian
# package and is NOT CHECKED. Needs root, Debian, the packages of `setup.sh test`, and 6 GB of disk.
# Images are kept for the next run.
set -euo pipefail
cd "$(dirname "$0")/.."
export DOCKER_BUILDKIT=1 COMPOSE_PROJECT_NAME=fiapx-verify
export PORT=18000 MAIL_PORT=18025 GRAFANA_PORT=18030 RABBITMQ_UI_PORT=18672 FIAPX_COMMIT
# Another bucket than the default, so that a part which ignores the variable fails.
export S3_BUCKET=clips
# `down` removes only containers of active profiles.
export COMPOSE_PROFILES=tools
FIAPX_COMMIT=$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
export PUBLIC_URL=http://localhost:$PORT
# The stories test the confirmation of addresses.
export ACCOUNTS_CONFIRM=false
work=$(mktemp -d)
passed=0

say() { printf '%s\n' "$*"; }
ok() { passed=$((passed + 1)); say "ok: $*"; }
die() { say "FAILED: $*" >&2; docker_compose ps --all >&2 || true; docker_compose logs --tail 15 >&2 || true; exit 1; }

# --- Docker engine -----------------------------------------------------------------------------------

packages=()
for package in docker.io debootstrap iptables curl python3 unzip; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || packages+=("$package")
done
if [ ${#packages[@]} -gt 0 ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi
# Use Debian's client, which fits Debian's engine.
PATH=/usr/bin:$PATH
started_engine=
if ! docker info >/dev/null 2>&1; then
  dockerd >"$work/dockerd.log" 2>&1 &
  started_engine=$!
  for _ in $(seq 60); do docker info >/dev/null 2>&1 && break; sleep 0.5; done
  docker info >/dev/null || { tail "$work/dockerd.log" >&2; exit 1; }
fi

# --- Images -----------------------------------------------------------------------------------

have() { docker image inspect "$1" >/dev/null 2>&1; }
base() { # usage: base IMAGE SUITE PACKAGES
  have "$1" && return
  say "creating $1"
  debootstrap --variant=minbase ${3:+--include="$3"} "$2" "$work/root" >"$work/debootstrap.log" \
    || { tail "$work/debootstrap.log" >&2; exit 1; }
  tar -C "$work/root" -c . | docker import --change 'CMD ["bash"]' - "$1" >/dev/null
  rm -rf "$work/root"
}

base debian:bookworm-slim bookworm ''
rust=$(sed -n 's/^FROM \(rust:[^ ]*\).*/\1/p' docker/Dockerfile)
if ! have "$rust"; then
  say "creating $rust from the toolchain of this machine"
  mkdir -p "$work/rust/rustup/toolchains" "$work/rust/cargo"
  toolchain=$(rustup show active-toolchain | cut -d ' ' -f 1)
  home=${RUSTUP_HOME:-$HOME/.rustup} cargo=${CARGO_HOME:-$HOME/.cargo}
  cp -a "$home/toolchains/$toolchain" "$work/rust/rustup/toolchains/"
  cp "$home/settings.toml" "$work/rust/rustup/"
  cp -a "$cargo/bin" "$work/rust/cargo/"
  # Registry settings and root certificates of this machine.
  for file in config config.toml; do
    [ ! -e "$cargo/$file" ] || cp "$cargo/$file" "$work/rust/cargo/"
  done
  cp /etc/ssl/certs/ca-certificates.crt "$work/rust/"
  docker build --quiet --network host --tag "$rust" --file - "$work/rust" >/dev/null <<'END'
FROM debian:bookworm-slim
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
COPY rustup /usr/local/rustup
COPY cargo /usr/local/cargo
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
ENV RUSTUP_HOME=/usr/local/rustup CARGO_HOME=/usr/local/cargo
ENV PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
END
  rm -rf "$work/rust"
fi
base fiapx-verify-parts trixie \
  ca-certificates,postgresql,rabbitmq-server,valkey-server,prometheus,nginx-light,python3-aiosmtpd,gosu
./setup.sh store
cp -r docker/verify "$work/verify"
cp "${XDG_CACHE_HOME:-$HOME/.cache}/fiapx/bin/garage" "$work/verify/garage"
for image in $(sed -n 's/^    image: \([^$]*\)$/\1/p' compose.yml) \
  $(sed -n 's/^FROM \(dxflrs[^ ]*\).*/\1/p' docker/garage/Dockerfile); do
  name=${image##*/} name=${name%%:*}
  case $name in
    debian) ;;
    grafana) say "NOT CHECKED: Grafana, which is not available" ;;
    *) docker build --quiet --target "$name" --tag "$image" "$work/verify" >/dev/null \
      || die "no stand-in for $image" ;;
  esac
done

# Compose 2, which is packaged since Debian 13. Only its binary is extracted.
docker run --rm --network host --volume "$work:/out" fiapx-verify-parts \
  sh -c 'apt-get update -qq && cd /out && apt-get download -qq docker-compose &&
    chmod 644 docker-compose*.deb' >/dev/null 2>&1
dpkg-deb -x "$work"/docker-compose*.deb "$work/compose"
compose=$(find "$work/compose" -name docker-compose -type f -perm -100 | head -1)
docker_compose() { "$compose" "$@"; }

build() { # usage: build TAG CONTEXT
  docker build --quiet --network host --build-arg FIAPX_COMMIT="$FIAPX_COMMIT" \
    --file docker/Dockerfile --tag "fiapx:$1" "$2" >/dev/null
}
seconds() { local start=$SECONDS; "$@"; took=$((SECONDS - start)); }
seconds build latest .
size=$(docker image inspect --format '{{.Size}}' fiapx:latest)
say "the image was built in $took s; its size is $((size / 1000000)) MB"
git ls-files -z | xargs -0 cp --parents -t "$(mkdir -p "$work/changed" && echo "$work/changed")"
echo '// A change.' >>"$work/changed/crates/notifier/src/lib.rs"
seconds build changed "$work/changed"
ok "rebuilt in $took s after a change of one crate"
docker build --quiet --network host --tag fiapx-garage:latest docker/garage >/dev/null

# --- Start -------------------------------------------------------------------------------------------

cleanup() {
  docker_compose down --volumes --timeout 5 >/dev/null 2>&1 || true
  docker image rm fiapx:changed >/dev/null 2>&1 || true
  [ -z "$started_engine" ] || { kill "$started_engine"; wait "$started_engine" || true; }
  rm -rf "$work"
}
trap cleanup EXIT
docker_compose down --volumes --timeout 5 >/dev/null 2>&1 || true
all=(door api worker notifier mailpit prometheus)
up() {
  docker_compose up --no-build --detach --wait --wait-timeout 240 "$@" >"$work/up.log" 2>&1 \
    || { tail -20 "$work/up.log" >&2; die "compose up"; }
}
seconds up "${all[@]}"
ok "all services are healthy after $took s"
container() { docker_compose ps --quiet "$1" | head -1; }

# --- User -----------------------------------------------------------------------------

json() { python3 -c 'import json, sys; value = json.load(sys.stdin)
for key in sys.argv[1].split("."): value = value[int(key) if key.isdigit() else key]
print(value)' "$1"; }
call() { curl --silent --show-error --fail-with-body --max-time 60 "$@"; }
# usage: until_true DESCRIPTION SECONDS COMMAND...
until_true() {
  local what=$1 end=$((SECONDS + $2)); shift 2
  until "$@"; do [ $SECONDS -lt $end ] || die "timed out: $what"; sleep 0.3; done
}
login() { token=$(call "$PUBLIC_URL/auth/login" --json '{"email":"ana@example.com","password":"Um segredo 1!"}' | json access_token); }
get() { call --header "Authorization: Bearer $token" "$PUBLIC_URL$1"; }
send() { call --header "Authorization: Bearer $token" --form "file=@$1" "$PUBLIC_URL/videos/upload" | json job_id; }
is() { [ "$(get "/videos/$1" | json status)" = "$2" ]; }
mails() { [ "$(call "http://localhost:$MAIL_PORT/api/v1/messages" | json total)" -ge "$1" ]; }

for page in / /docs; do
  call --output "$work/page" "$PUBLIC_URL$page" && grep -qi '<html' "$work/page" || die "no page at $page"
done
call --output /dev/null "$PUBLIC_URL/auth/register" --json '{"email":"ana@example.com","password":"Um segredo 1!","name":"Ana"}'
login
job=$(send fixtures/sample.mp4)
until_true "DONE" 60 is "$job" DONE
link=$(get "/jobs/$job/download" | json download_url)
call --output "$work/out.zip" "$link"
case $link in
  "$PUBLIC_URL/$S3_BUCKET"/*) ok "a video was uploaded, and its archive downloaded from $PUBLIC_URL" ;;
  *) die "the link is $link" ;;
esac
docker run --rm --network none --volume "$PWD/fixtures:/videos:ro" fiapx:latest \
  extract /videos/sample.mp4 -o - >"$work/expected.zip"
cmp "$work/out.zip" "$work/expected.zip" || die "the archive differs from that of fiapx extract"
ok "the archive is identical to that of fiapx extract"
refused=$(curl --silent --output /dev/null --write-out '%{http_code}' "${link%?}0")
[ "$refused" = 403 ] || die "a modified link returns $refused"
until_true "a mail" 30 mails 1
ok "a mail arrived, and a modified link is rejected"

# --- Operator ---------------------------------------------------------------

docker exec "$(container worker)" fiapx check >"$work/check.log" 2>&1 || die "fiapx check: $(cat "$work/check.log")"
ok "fiapx check: all parts are ok, decoders are confined"
# The image has no shell, so a process is inspected from outside.
process() { docker inspect --format '{{.State.Pid}}' "$(container "$1")"; }
for service in api worker notifier; do
  pid=$(process $service)
  grep -q '^Uid:.10001.10001.10001.10001$' "/proc/$pid/status" && grep -q '^CapEff:.0*$' "/proc/$pid/status" &&
    grep -q '^NoNewPrivs:.1' "/proc/$pid/status" && grep -q '^[^ ]* / [^ ]* ro[, ]' "/proc/$pid/mounts" ||
    die "$service is not confined"
  # The engine adds docker-init and the empty .dockerenv.
  programs=$(find "/proc/$pid/root/" -xdev -type f -perm -100 ! -name '*.so*' -printf '%P\n' | grep -v '^dev/\|^sbin/docker-init$\|^\.dockerenv$')
  [ "$programs" = usr/local/bin/fiapx ] || die "$service has other programs: $programs"
done
ok "no role has root, capabilities, new privileges, a writable file system, or another program"
published=$(docker ps --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" --format '{{.Ports}}' | tr ',' '\n' | grep -e '->' | sed 's/->.*//; s/ //' | sort -u)
[ "$published" = "$(printf '127.0.0.1:%s\n' "$PORT" "$MAIL_PORT" | sort)" ] || die "published: $published"
ok "only the page and the mails are published, on the loopback address"
up rabbitmq-ui
ui=http://localhost:$RABBITMQ_UI_PORT
password=$(docker_compose exec -T rabbitmq cat /etc/rabbitmq/conf.d/90-user.conf | sed -n 's/^default_pass = //p')
call --output "$work/page" "$ui/" && grep -q RabbitMQ "$work/page" || die "no management UI"
refused=$(curl --silent --output /dev/null --write-out '%{http_code}' "$ui/api/overview")
[ "$refused" = 401 ] || die "the management UI returns $refused without a password"
# The name of the virtual host `/` must arrive as %2F.
queue=$(call --user "fiapx:$password" "$ui/api/queues/%2F/video.process.v2" | json type)
[ "$queue" = quorum ] || die "the queue has the type $queue"
[ "$(docker port "$(container rabbitmq-ui)")" = "15672/tcp -> 127.0.0.1:$RABBITMQ_UI_PORT" ] \
  || die "published: $(docker port "$(container rabbitmq-ui)")"
docker_compose rm --stop --force rabbitmq-ui >/dev/null 2>&1
ok "the profile tools publishes RabbitMQ's management UI on the loopback address, with a password"
cat "/proc/$(process api)/root/secrets/jwt_secret" "/proc/$(process api)/root/secrets/database_url" >"$work/secrets"
! docker inspect "$(container api)" "$(container postgres)" "$(container rabbitmq)" "$(container garage)" | grep -qFf <(sed 's/.*fiapx:\([^@]*\)@.*/\1/' "$work/secrets" | tr '\n' ' ' | xargs -n1) || die "a container description contains a secret"
ok "no container description contains a secret"
metrics() { docker exec "$(container prometheus)" sh -c "wget -qO- 'http://localhost:9090/api/v1/query?query=$1' 2>/dev/null || /usr/bin/python3 -c 'import urllib.request,sys; print(urllib.request.urlopen(sys.argv[1]).read().decode())' 'http://localhost:9090/api/v1/query?query=$1'"; }
scraped() { [ "$(metrics 'count(up==1)' | json data.result.0.value.1)" -ge "$1" ] 2>/dev/null; }
until_true "Prometheus scrapes api, two workers, notifier, RabbitMQ and Garage" 90 scraped 6
ok "Prometheus scrapes api, both workers, notifier, RabbitMQ and Garage"

# --- Scaling and failures -------------------------------------------------------------------------------

up --scale worker=4 --no-recreate "${all[@]}"
[ "$(docker_compose ps --quiet worker | wc -l)" = 4 ] || die "not four workers"
jobs=()
for _ in $(seq 24); do jobs+=("$(send fixtures/sample.mp4)"); done
for job in "${jobs[@]}"; do until_true "all of 24" 120 is "$job" DONE; done
ok "24 jobs were processed by four workers"

# A long video: the sample 150 times.
python3 - "$work" <<'END'
import sys
open(sys.argv[1] + "/list", "w").write("file sample.mp4\n" * 150)
END
cp fixtures/sample.mp4 "$work/"
ffmpeg -loglevel error -f concat -i "$work/list" -c copy "$work/long.mp4"
long=$(send "$work/long.mp4")
until_true "PROCESSING" 30 is "$long" PROCESSING
busy() { docker_compose ps --quiet worker | while read -r id; do docker top "$id" -o pid,pcpu,cmd | awk '/exe cell/ && $2 > 20 { found = 1 } END { exit !found }' && echo "$id"; done | head -1; }
victim=
find_victim() { victim=$(busy); [ -n "$victim" ]; }
until_true "a busy worker" 20 find_victim
docker kill --signal KILL "$victim" >/dev/null
until_true "DONE by another worker" 240 is "$long" DONE
[ "$(get "/videos/$long" | json retry_count)" -ge 1 ] || die "the job was not taken over"
ok "a worker was killed during a job, and another finished it"

docker_compose restart --timeout 20 rabbitmq >/dev/null 2>&1
job=$(send fixtures/sample.mp4)
until_true "DONE after the restart of RabbitMQ" 120 is "$job" DONE
ok "a video uploaded during a restart of RabbitMQ was processed"

docker_compose stop --timeout 45 api worker >/dev/null 2>&1
for id in $(docker_compose ps --all --quiet api worker | grep -v "$victim"); do
  code=$(docker inspect --format '{{.State.ExitCode}}' "$id")
  [ "$code" = 0 ] || die "$(docker inspect --format '{{.Name}}' "$id") exited with $code"
done
ok "API and workers stop with status 0"
docker_compose down --timeout 30 >/dev/null 2>&1
up "${all[@]}"
login
is "$long" DONE || die "a job is gone"
call --output "$work/again.zip" "$(get "/jobs/$long/download" | json download_url)"
unzip -tq "$work/again.zip" >/dev/null || die "the archive is broken"
ok "accounts, jobs, archives and secrets survive down and up"

say "$passed checks passed; NOT CHECKED: Grafana, and the original third-party images"
