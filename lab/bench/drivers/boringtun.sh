# boringtun[:THREADS]
T=${1:-4}
NEEDS="crate:boringtun-cli@0.7.1 apt:wireguard-tools"
DESC="boringtun-cli 0.7.1 (the crate registry), $T threads"; TOPOS="direct relay"; BINS="$PEERS/bin/boringtun-cli"
WGCMD=("$PEERS/bin/boringtun-cli" --foreground --disable-drop-privileges -t "$T")
. "$DRIVERS/wg-common.sh"
