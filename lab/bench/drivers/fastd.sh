# fastd[:METHOD]   23 (Debian sid)
M=${1:-salsa2012+umac}
NEEDS="root:fastd"
DESC="fastd 23 method $M"; TOPOS="direct relay"; BINS="$PEERS/sidroot/usr/bin/fastd"
K=$STATE/fastd
prepare() { mkdir -p $K; local n; for n in a b r; do [ -s $K/$n.key ] || { $(with_sid) $BINS --generate-key > $K/$n.txt 2>/dev/null; sed -n 's/^Secret: //p' $K/$n.txt > $K/$n.key; sed -n 's/^Public: //p' $K/$n.txt > $K/$n.pub; }; done; }
FC() { # role dev mode bind addr ; peers on stdin
 { echo "interface \"$2\"; mode $3; method \"$M\"; mtu $MTU; log level warn; bind $4:10000; secret \"$(cat $K/$1.key)\"; ${FWD:+forward yes;}"; echo "on up \"ip addr add $5/24 dev $2; ip link set $2 up\";"; cat; } > $W/$1.conf; }
peer() { echo "peer \"$1\" { key \"$(cat $K/$1.pub)\"; ${2:+remote $2:10000;} }"; }
FD() { spawn $1 $2 $(with_sid) $BINS --config $W/$1.conf; }
up_direct() { peer b $UB | FC a fdA tun $UA $TA; peer a | FC b fdB tun $UB $TB; FD b "$NSB"; FD a "$NSA"; wait_if "$NSB" fdB && wait_if "$NSA" fdA; }
up_relay() { [ "$MTU" -gt 1400 ] && MTU=1400; peer r $RA | FC a fdA tap $UA $TA; peer r $RB | FC b fdB tap $UB $TB; { peer a; peer b; } | FWD=1 FC r fdR tap 0.0.0.0 $TR
  FD r "$NSR"; FD b "$NSB"; FD a "$NSA"; wait_if "$NSB" fdB && wait_if "$NSA" fdA; }
