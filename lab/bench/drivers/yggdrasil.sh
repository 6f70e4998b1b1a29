# yggdrasil[:tcp|tls|quic]  0.5.14 (Debian sid); IPv6 only, TUN MTU 65535 (default)
L=${1:-tcp}
NEEDS="sid:yggdrasil=yggdrasil-0.5"
DESC="yggdrasil 0.5.14 over $L (IPv6, MTU 65535)"; TOPOS="direct"; BINS="$PEERS/deb/yggdrasil-0.5/usr/sbin/yggdrasil"
K=$STATE/ygg
prepare() { mkdir -p $K; local n; for n in a b r; do [ -s $K/$n.json ] || $BINS -genconf -json > $K/$n.json; done; }
YC() { # role dev listen peers
 python3 - "$K/$1.json" "$W/$1.json" "$2" "$3" "$4" <<'PY'
import json,sys
src,dst,dev,l,p=sys.argv[1:6]
c=json.load(open(src)); c["IfName"]=dev; c["Listen"]=l.split(); c["Peers"]=p.split(); c["MulticastInterfaces"]=[]; c["AdminListen"]="none"
json.dump(c,open(dst,"w"))
PY
}
Y() { spawn $1 $2 $BINS -useconffile $W/$1.json; }
AD() { echo "TA=$($BINS -useconffile $K/a.json -address)"; echo "TB=$($BINS -useconffile $K/b.json -address)"; }
up_direct() { AD > $W/addr; YC b ygB "$L://$UB:9001" ""; YC a ygA "" "$L://$UB:9001"; Y b "$NSB"; Y a "$NSA"; wait_if "$NSB" ygB && wait_if "$NSA" ygA; }
up_relay() { AD > $W/addr; YC r ygR "$L://0.0.0.0:9001" ""; YC b ygB "" "$L://$RB:9001"; YC a ygA "" "$L://$RA:9001"; Y r "$NSR"; sleep 0.1; Y b "$NSB"; Y a "$NSA"; wait_if "$NSB" ygB && wait_if "$NSA" ygA; }
