#!/usr/bin/env bash
# Installs what the named drivers need, from package registries alone, and builds the instruments in tools/.
#   install.sh [DRIVER..]      e.g. install.sh wireguard-go:2025 quincy; without a name only the instruments
# A driver says what it needs in NEEDS, words of these kinds:
#   apt:PACKAGE      Debian's package, installed on this machine
#   sid:PACKAGE=DIR  the newer package of Debian's unstable suite, unpacked to $PEERS/deb/DIR and not installed (a static program)
#   root:PACKAGE     the same with every library it needs, unpacked to $PEERS/sidroot
#   crate:NAME@VERSION   cargo install into $PEERS
# Nothing is done twice. $PEERS is ~/.cache/vpnbench/peers unless set.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export PEERS=${PEERS:-$HOME/.cache/vpnbench/peers}
export DEBIAN_FRONTEND=noninteractive
mkdir -p "$PEERS/deb"
say() { printf 'bench: %s\n' "$*"; }

needs() { local name=${1%%:*} args=
  [ "$name" = "$1" ] || args=${1#*:}
  ( set -- ${args//:/ }; NSA= NSB= NSR= TOOLS= DRIVERS=$here/drivers STATE= W= MTU=1420 TA= TB= TR=
    NEEDS=; . "$here/drivers/lib.sh"; . "$here/drivers/$name.sh"; echo "$NEEDS" ); }

all="apt:iproute2 apt:iputils-ping apt:iperf3 apt:nftables apt:ethtool apt:python3"
for driver in "$@"; do
  [ -e "$here/drivers/${driver%%:*}.sh" ] || { say "no driver ${driver%%:*}" >&2; exit 2; }
  all="$all $(needs "$driver")"
done
all=$(printf '%s\n' $all | sort -u)
pick() { sed -n "s/^$1://p" <<<"$all"; }

missing=
for p in $(pick apt); do dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"; done
if [ -n "$missing" ]; then
  say "installing Debian packages:$missing"
  apt-get update -qq
  # Without what is only recommended: wireguard-tools would bring a kernel.
  apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

newer=$PEERS/apt   # lists and archives of the unstable suite, beside the system's own
sid() { apt-get -o "Dir::Etc::sourcelist=$newer/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$newer/lists" -o "Dir::Cache=$newer/cache" \
  -o APT::Sandbox::User=root "$@"; }
ready=
sid_ready() { [ -z "$ready" ] || return 0
  mkdir -p "$newer/lists/partial" "$newer/cache/archives/partial"
  printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s sid main\n' \
    "$(apt-get indextargets --format '$(REPO_URI)' | head -n 1)" > "$newer/sources.list"
  sid update -qq; ready=yes; }
for entry in $(pick sid); do
  package=${entry%%=*} dir=$PEERS/deb/${entry#*=}
  [ ! -d "$dir" ] || continue
  say "unpacking $package of Debian's unstable suite"
  sid_ready
  rm -f "$newer/${package}_"*.deb
  (cd "$newer" && sid download -qq "$package")
  dpkg -x "$newer/${package}_"*.deb "$dir"
done
for package in $(pick root); do
  [ ! -e "$PEERS/sidroot/.$package" ] || continue
  say "unpacking $package of Debian's unstable suite with its libraries"
  sid_ready
  rm -f "$newer"/cache/archives/*.deb; : > "$newer/empty"
  # As on a machine that has nothing: every library comes along, the C library too.
  sid -o "Dir::State::status=$newer/empty" install -qq -y --download-only --no-install-recommends "$package" >/dev/null
  mkdir -p "$PEERS/sidroot/usr/lib" "$PEERS/sidroot/usr/lib64" "$PEERS/sidroot/usr/bin" "$PEERS/sidroot/usr/sbin"
  for l in lib lib64 bin sbin; do [ -e "$PEERS/sidroot/$l" ] || ln -s "usr/$l" "$PEERS/sidroot/$l"; done
  for deb in "$newer"/cache/archives/*.deb; do dpkg --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$PEERS/sidroot"; done
  touch "$PEERS/sidroot/.$package"
done

for entry in $(pick crate); do
  # --locked: what the authors built. cargo sees itself whether that version is there.
  cargo install --quiet --locked --root "$PEERS" "$entry"
done

(cd "$here/tools" && CARGO_TARGET_DIR=$here/../../target/bench-tools cargo build --quiet --release --locked)
