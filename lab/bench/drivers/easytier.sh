# easytier[:udp|tcp|wg][:mt]  2.0.3 (the crate registry); mt = --multi-thread
L=${1:-udp}; MT=${2:-}
NEEDS="crate:easytier@2.0.3 apt:protobuf-compiler apt:libclang-dev apt:clang apt:pkg-config"
DESC="easytier-core 2.0.3 over $L ${MT:+multi-thread} (AES-GCM)"; TOPOS="direct relay"; BINS="$PEERS/bin/easytier-core"
ET() { local r=$1 ns=$2; shift 2; spawn $r $ns $PEERS/bin/easytier-core --network-name vb --network-secret benchsecret -m vb$r -r 127.0.0.1:0 --disable-ipv6 --default-protocol $L ${MT:+--multi-thread} --disable-p2p "$@"; }
up_direct() { ET b "$NSB" -i $TB --dev-name etB -l $L://$UB:11010 --hostname b; ET a "$NSA" -i $TA --dev-name etA --no-listener -p $L://$UB:11010 --hostname a
  wait_if "$NSB" etB && wait_if "$NSA" etA; }
up_relay() { ET r "$NSR" -l $L://0.0.0.0:11010 --hostname r; sleep 0.1; ET b "$NSB" -i $TB --dev-name etB --no-listener -p $L://$RB:11010 --hostname b; ET a "$NSA" -i $TA --dev-name etA --no-listener -p $L://$RA:11010 --hostname a
  wait_if "$NSB" etB && wait_if "$NSA" etA; }
