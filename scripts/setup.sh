#!/usr/bin/env bash
# Makes a fresh Debian 12 machine able to build, test and demonstrate the project. Idempotent; says only what it changes.
set -euo pipefail

need_rust=1.95   # rust-version of Cargo.toml

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || die "needs root (packages, namespaces, TUN); try: sudo make ${1:-setup}"

# command -> Debian package that brings it
tools="cc:build-essential cmake:cmake pkg-config:pkg-config curl:curl git:git ip:iproute2 nft:nftables tcpdump:tcpdump
iperf3:iperf3 ping:iputils-ping python3:python3 pgrep:procps setpriv:util-linux clang:clang"
missing=""
for entry in $tools; do
  command -v "${entry%%:*}" >/dev/null 2>&1 || missing="$missing ${entry##*:}"
done
[ -e /etc/ssl/certs/ca-certificates.crt ] || missing="$missing ca-certificates"
# The chain's RocksDB: its bindings are made with libclang.
compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null || missing="$missing libclang-dev"
if [ -n "$missing" ]; then
  command -v apt-get >/dev/null || die "missing:$missing; this is no Debian, install them by hand"
  say "installing Debian packages:$missing"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >/dev/null || die "apt-get update failed; is the network up?"
  # shellcheck disable=SC2086  # a list of words on purpose
  apt-get install -y -qq --no-install-recommends $missing >/tmp/nfc-apt.log 2>&1 || {
    tail -n 5 /tmp/nfc-apt.log >&2
    die "apt-get install failed, whole log in /tmp/nfc-apt.log"
  }
fi

[ -f "$HOME/.cargo/env" ] && . "$HOME/.cargo/env"
# The installer is pinned by its hash: what runs as root here is what was looked at.
rustup_version=1.29.0
install_rustup() {
  local arch sum file
  arch=$(uname -m)
  case $arch in
    x86_64) sum=4acc9acc76d5079515b46346a485974457b5a79893cfb01112423c89aeb5aa10 ;;
    aarch64) sum=9732d6c5e2a098d3521fca8145d826ae0aaa067ef2385ead08e6feac88fa5792 ;;
    *) die "no Rust installer known here for $arch; install Rust $need_rust or newer and run this again" ;;
  esac
  file=$(mktemp -d)/rustup-init   # it looks at its own name
  curl --proto '=https' --tlsv1.2 -sSf -o "$file" \
    "https://static.rust-lang.org/rustup/archive/$rustup_version/$arch-unknown-linux-gnu/rustup-init" ||
    die "cannot download the Rust installer; is the network up?"
  echo "$sum  $file" | sha256sum -c --quiet - >/dev/null 2>&1 || die "the Rust installer has the wrong hash; nothing was run"
  chmod +x "$file"
  "$file" -y -q --default-toolchain "$need_rust" --profile minimal -c clippy -c rustfmt >/tmp/nfc-rust.log 2>&1 || {
    grep -aE 'error|caused|Caused' /tmp/nfc-rust.log | tail -n 2 >&2
    die "the Rust installer failed, whole log in /tmp/nfc-rust.log; install Rust $need_rust or newer and run this again"
  }
  rm -rf "$(dirname "$file")"
}

newer() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }
have=$(rustc --version 2>/dev/null | cut -d' ' -f2 || true)
if [ -z "$have" ] || ! newer "$need_rust" "$have"; then
  if command -v rustup >/dev/null 2>&1; then
    say "Rust ${have:-none} is older than $need_rust: adding that one"
    rustup toolchain install "$need_rust" --profile minimal -c clippy -c rustfmt >/dev/null || die "rustup could not install Rust $need_rust"
    rustup default "$need_rust" >/dev/null 2>&1
  else
    say "installing Rust $need_rust with rustup into $HOME/.cargo"
    install_rustup
    . "$HOME/.cargo/env"
  fi
  have=$(rustc --version | cut -d' ' -f2)
  newer "$need_rust" "$have" || die "Rust $have is older than $need_rust"
fi
cargo clippy --version >/dev/null 2>&1 || rustup component add clippy rustfmt >/dev/null 2>&1 || say "clippy or rustfmt missing: make test will say so"

# Kernel features by use, not by name of a module: what works here works in the lab.
[ -c /dev/net/tun ] || { mkdir -p /dev/net && mknod /dev/net/tun c 10 200; } 2>/dev/null || true
[ -c /dev/net/tun ] || die "the kernel has no TUN device (/dev/net/tun); try: modprobe tun"
probe="nfl-setup-$$"
ip netns add "$probe" 2>/dev/null || die "the kernel or container forbids network namespaces (ip netns add); run on a machine or VM where root may"
trap 'ip netns del "$probe" 2>/dev/null || true' EXIT
ip -n "$probe" tuntap add dev t0 mode tun 2>/dev/null || die "TUN devices cannot be made in a namespace; try: modprobe tun"
ip -n "$probe" link add v0 type veth peer name v1 2>/dev/null || die "the kernel has no veth; try: modprobe veth"
ip -n "$probe" link add b0 type bridge 2>/dev/null || die "the kernel has no bridge; try: modprobe bridge"
ip netns exec "$probe" nft -f - 2>/dev/null <<'N' || die "the kernel has no nftables NAT (masquerade); try: modprobe nft_masq nft_chain_nat"
table ip probe {
  chain post {
    type nat hook postrouting priority 100;
    oifname "v0" masquerade random
  }
}
N
