# openvpn[:CIPHER]  2.7.8 (Debian sid), no DCO in this kernel; p2p TLS with pinned certificates
C=${1:-AES-256-GCM}
NEEDS="root:openvpn apt:openssl"
DESC="openvpn 2.7.8 $C, user space"; TOPOS="direct relay"; BINS="$PEERS/sidroot/usr/sbin/openvpn"
K=$STATE/openvpn
prepare() { [ -s $K/r.crt ] && return 0; mkdir -p $K; cd $K; local n; for n in a b r; do openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj "/CN=$n" -keyout $n.key -out $n.crt 2>/dev/null; openssl x509 -in $n.crt -noout -fingerprint -sha256 | cut -d= -f2 > $n.fp; done; }
OV() { local r=$1 ns=$2; shift 2; spawn $r $ns $(with_sid) $BINS --dev-type tun --proto udp4 --cert $K/$r.crt --key $K/$r.key --data-ciphers $C --disable-dco --tun-mtu $MTU --mssfix 0 --fast-io --sndbuf 4194304 --rcvbuf 4194304 --txqueuelen 1000 --dh none --verb 1 "$@"; }
fp() { printf '<peer-fingerprint>\n'; for n in "$@"; do cat $K/$n.fp; done; printf '</peer-fingerprint>\n'; }
up_direct() { fp b > $W/fa.conf; fp a > $W/fb.conf
  OV b "$NSB" --config $W/fb.conf --dev ovB --tls-server --local $UB --port 1194 --ifconfig $TB $TA
  OV a "$NSA" --config $W/fa.conf --dev ovA --tls-client --remote $UB 1194 --nobind --ifconfig $TA $TB; wait_if "$NSB" ovB && wait_if "$NSA" ovA; }
up_relay() { fp r > $W/fc.conf; fp a b > $W/fr.conf; mkdir -p $W/ccd; echo "ifconfig-push $TA 255.255.255.0" > $W/ccd/a; echo "ifconfig-push $TB 255.255.255.0" > $W/ccd/b
  OV r "$NSR" --config $W/fr.conf --dev ovR --port 1194 --topology subnet --mode server --tls-server --ifconfig $TR 255.255.255.0 --push "topology subnet" --push "route-gateway $TR" --keepalive 10 60 --client-to-client --client-config-dir $W/ccd; wait_if "$NSR" ovR
  OV b "$NSB" --config $W/fc.conf --dev ovB --client --remote $RB 1194 --nobind
  OV a "$NSA" --config $W/fc.conf --dev ovA --client --remote $RA 1194 --nobind; wait_if "$NSB" ovB && wait_if "$NSA" ovA; }
