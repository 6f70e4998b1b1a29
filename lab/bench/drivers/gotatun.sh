NEEDS="crate:gotatun-cli@0.10.2 apt:wireguard-tools"
DESC="gotatun-cli 0.10.2 (the crate registry)"; TOPOS="direct relay"; BINS="$PEERS/bin/gotatun"
WGCMD=("$PEERS/bin/gotatun" --foreground --disable-drop-privileges)
. "$DRIVERS/wg-common.sh"
