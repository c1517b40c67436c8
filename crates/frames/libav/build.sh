#!/usr/bin/env bash
# Build the static libav into a directory, once for each version and configuration, and print the
# path of the build. Called by `setup.sh libav`.
# usage: build.sh DIRECTORY
#
# The source is that of the system's own release, from the same archives as its packages, so frames
# are those of its ffmpeg command. Variables:
#   FFMPEG_SOURCE      directory or archive with another source
#   FFMPEG_SHA256      checksum of that archive, unless checksums.txt lists it
#   SOURCE_DATE_EPOCH  date of the build, in seconds since 1970; default: now
#
# Components are those of components.txt. The libraries have the hardening and the assembly of
# Debian's packages. Their static archives refer to those of zlib, bzip2, libwebp and dav1d, as far as
# the system has them, so a change of these is another build.
set -euo pipefail
here=$(realpath "$(dirname "$0")")
directory=$(realpath --canonicalize-missing "${1:?usage: build.sh DIRECTORY}")

die() { echo "$*" >&2; exit 1; }

if [ -n "${FFMPEG_SOURCE:-}" ]; then
  [ -e "$FFMPEG_SOURCE" ] || die "FFMPEG_SOURCE: there is no file or directory $FFMPEG_SOURCE"
  FFMPEG_SOURCE=$(realpath "$FFMPEG_SOURCE")
fi

# Package of which apt offers the source.
package=ffmpeg
# Options of FFmpeg's configure.
options=(--prefix=/libav --toolchain=hardened --pkg-config-flags=--static --enable-pic --disable-debug
  # Without these, a component that is not enabled would remain if it shares a file with one that is.
  --extra-cflags='-ffunction-sections -fdata-sections'
  --disable-everything --disable-autodetect --disable-iconv --disable-network
  --disable-programs --disable-doc
  --disable-avdevice --disable-avfilter --disable-postproc --disable-swresample
  --enable-zlib --enable-bzlib --enable-libwebp --enable-libdav1d)
while read -r kind name _; do
  case $kind in demuxer | decoder | parser | bsf | encoder) options+=("--enable-$kind=$name") ;; esac
done <"$here/components.txt"
# Libraries that libav uses: the name of each for the linker.
libraries=(z bz2 webp sharpyuv dav1d)

# Version of the package that apt would install, if there is one.
candidate() {
  ! command -v apt-cache >/dev/null \
    || apt-cache policy "$package" | sed -n 's/^ *Candidate: \([^(].*\)/\1/p'
}

# Version of the source: that of apt's package, or the content of RELEASE in FFMPEG_SOURCE.
version() {
  local candidate
  if [ -z "${FFMPEG_SOURCE:-}" ]; then
    candidate=$(candidate)
    # A package that was only compiled again has another version than its source, which it states.
    [ -z "$candidate" ] || apt-cache show "$package=$candidate" \
      | awk '/^Version:/ { version = $2 } /^Source:/ && NF == 3 { source = substr($3, 2, length($3) - 2) }
             END { print source ? source : version }'
  elif [ -d "$FFMPEG_SOURCE" ]; then
    cat "$FFMPEG_SOURCE/RELEASE"
  else
    # The file is at the top of the only directory.
    tar --extract --to-stdout --file "$FFMPEG_SOURCE" --wildcards --no-wildcards-match-slash '*/RELEASE'
  fi
}

# Print a hash of what determines the build, apart from the version.
configuration() {
  local library path
  {
    printf '%s\n' "${options[@]}"
    cc --version
    for library in "${libraries[@]}"; do
      path=$(static "$library")
      [ -z "$path" ] || sha256sum "$path"
    done
    if [ -d "${FFMPEG_SOURCE:-}" ]; then
      (cd "$FFMPEG_SOURCE" && find . -path ./.git -prune -o -type f -print0 | sort -z | xargs -0 sha256sum)
    elif [ -n "${FFMPEG_SOURCE:-}" ]; then
      sha256sum <"$FFMPEG_SOURCE"
    fi
  } | sha256sum | cut -c 1-12
}

# Print the path of a library's static archive, if the system has it.
static() {
  local path
  path=$(cc -print-file-name="lib$1.a")
  case $path in /*) realpath "$path" ;; esac
}

# Write the entries of apt's lists that offer the package to $1.list and $1.sources, as entries for
# its source. Their options, such as keys, are kept.
source_entries() {
  local archives offers
  archives=$(apt-cache madison "$package" \
    | awk -v version="$(candidate)" '$3 == version { print $5 }' | sort -u)
  offers='BEGIN { count = split(ENVIRON["ARCHIVES"], archives, "\n") }
    function offers() {
      for (i = 1; i <= count; i++) if (index($0, archives[i])) return 1
      return 0
    }'
  find /etc/apt -maxdepth 2 -name '*.list' -print0 | sort -z \
    | ARCHIVES=$archives xargs -0 --no-run-if-empty \
      awk "$offers"' sub(/^deb /, "deb-src ") && offers()' >"$1.list"
  # An empty line separates the paragraphs of two files. Comments would hide those between two others.
  find /etc/apt -maxdepth 2 -name '*.sources' -exec sed -s '$G' {} + | sed '/^#/d' \
    | ARCHIVES=$archives awk -v RS= -v ORS='\n\n' "$offers"' offers() && !/(^|\n)Enabled: *no/' \
    | sed 's/^Types:.*/Types: deb-src/' >"$1.sources"
}

# Download and unpack the source with lists of its own into the current directory.
download() {
  local options
  mkdir -p apt/lists/partial apt/cache/archives/partial apt/parts
  source_entries apt/parts/source
  options=(-qq -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$PWD/apt/parts"
    -o "Dir::State::Lists=$PWD/apt/lists" -o "Dir::Cache=$PWD/apt/cache"
    -o APT::Sandbox::User=root)
  # Checks the signature of the archive, and the checksum of each file.
  if ! { apt-get "${options[@]}" update && apt-get "${options[@]}" source "$package=$1"; } \
    >download.log 2>&1; then
    cat download.log >&2
    die "The source of $package $1 cannot be downloaded from the archives of apt's lists: run" \
      "'apt-get update' in case they are old, set FFMPEG_SOURCE to a directory or an archive with the" \
      "source, or link the system's libav with LIBAV=system."
  fi
}

# Unpack the archive FFMPEG_SOURCE into the current directory, if its checksum is known.
unpack() {
  local name sum listed
  # Debian calls the archive ffmpeg_5.1.9.orig.tar.xz.
  name=$(basename "$FFMPEG_SOURCE" | sed 's/_/-/; s/\.orig//')
  sum=$(sha256sum <"$FFMPEG_SOURCE" | cut -d ' ' -f 1)
  listed=${FFMPEG_SHA256:-$(awk -v name="$name" '$2 == name { print $1 }' "$here/checksums.txt")}
  [ -n "$listed" ] || die "FFMPEG_SOURCE: the checksum of $name is unknown: set FFMPEG_SHA256 to the" \
    "one that its publisher states."
  [ "$sum" = "$listed" ] || die "FFMPEG_SOURCE: $name has the checksum $sum instead of $listed:" \
    "download it again."
  tar --extract --file "$FFMPEG_SOURCE"
}

# Configure, compile and install into $2 the source in $1, whose version is $3.
compile() {
  local date revision
  date=$(date --utc --date "@${SOURCE_DATE_EPOCH:-$(date +%s)}" +%Y-%m-%d)
  # The program states its version of libav: that of the source, as Debian's packages do, then the date.
  revision=${3#"$(cat "$1/RELEASE")"}
  revision=${revision#-}
  revision=${revision:+$revision+}static.$date
  mkdir build
  cd build
  if ! "$1/configure" "${options[@]}" --extra-version="$revision" >configure.log 2>&1; then
    tail configure.log >&2
    die "libav cannot be configured: see the lines above and $PWD/ffbuild/config.log. If they name a" \
      "library, install its development files."
  fi
  if ! { make -j "$(nproc)" && make install DESTDIR="$2"; } >make.log 2>&1; then
    tail -30 make.log >&2
    die "libav cannot be compiled: see the lines above and $PWD/make.log"
  fi
}

# Make the installation $1 of the source $2 usable at any path, and complete it with the libraries
# that it uses.
relocate() {
  local library path
  sed -i -e 's|^prefix=.*|prefix=${pcfiledir}/../..|' -e 's|^\([a-z]*dir\)=/libav|\1=${prefix}|' \
    "$1"/lib/pkgconfig/*.pc
  # Examples, instead of which the license is documented.
  rm -rf "$1/share"
  install -D --mode=0644 "$2/COPYING.LGPLv2.1" "$1/share/doc/libav/copyright"
  for library in "${libraries[@]}"; do
    path=$(static "$library")
    [ -z "$path" ] || cp "$path" "$1/lib/lib$library.a"
  done
}

for program in cc make nasm pkg-config; do
  command -v "$program" >/dev/null || die "$program is missing, which compiles libav: install it and" \
    "run this again, or link the system's libav with LIBAV=system. (Without nasm, decoding would be" \
    "several times slower.)"
done
version=$(version)
[ -n "$version" ] || die "apt offers no package $package: run 'apt-get update', set FFMPEG_SOURCE to a" \
  "directory or an archive with its source, or link the system's libav with LIBAV=system."
# Without Debian's epoch.
name=${version#*:}
result=$directory/libav-$name-$(configuration)
if [ ! -e "$result" ]; then
  echo "Building libav $name into $result (once, takes a few minutes)" >&2
  mkdir -p "$directory"
  work=$(mktemp -d "$directory/build-libav.XXXXXX")
  # A failed build is kept, because messages refer to its files.
  cd "$work"
  if [ -z "${FFMPEG_SOURCE:-}" ]; then
    download "$version"
  elif [ -d "$FFMPEG_SOURCE" ]; then
    ln -s "$FFMPEG_SOURCE" source
  else
    unpack
  fi
  source=$(dirname "$work"/*/RELEASE)
  compile "$source" "$work/installed" "$name"
  relocate "$work/installed/libav" "$source"
  # The result gets its name when it is complete. Another process may have been faster.
  mv --no-target-directory "$work/installed/libav" "$result" 2>/dev/null || [ -e "$result" ]
  rm -rf "$work"
fi
echo "$result"
