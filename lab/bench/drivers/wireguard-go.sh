# wireguard-go[:2022|2023|2025]   upstream 0.0.20220316 (bookworm), 0.0.20231211 (trixie), 0.0.20250522 (sid)
V=${1:-2025}
case $V in 2022) B=/usr/bin/wireguard-go;; 2025) B=$PEERS/deb/wireguard-go-2026/usr/bin/wireguard-go;; *) B=$PEERS/deb/wireguard-go-$V/usr/bin/wireguard-go;; esac
NEEDS="apt:wireguard-tools apt:wireguard-go sid:wireguard-go=wireguard-go-2026"
DESC="wireguard-go, upstream of $V, Debian build"; TOPOS="direct relay"; BINS="$B"
WGCMD=("$B" -f)
. "$DRIVERS/wg-common.sh"
