# rawtun:IO:CIPHER[:nocsum|fwd]   fwd: in the relay topology the relay forwards opaque datagrams (end-to-end encryption)   (our own minimal forwarder, see tools/src/bin/rawtun.rs)
IO=${1:-gso}; C=${2:-none}; X=${3:-}
DESC="own minimal TUN-UDP forwarder, io=$IO cipher=$C $X"; TOPOS="direct relay"; [ "$X" != fwd ] || TOPOS=relay; BINS="$TOOLS/rawtun"
rt() { spawn "$1" "$2" "$TOOLS/rawtun" --tun "$6" --local "$3" --peer "$4" --port "$5" --io "$IO" --cipher "$C" $([ "$X" = nocsum ] && echo --nocsum); wait_if "$2" "$6"; }
fix() { ip -n "$1" link set "$2" gso_max_size 60000 2>/dev/null || true; }
up_direct() { rt b "$NSB" "$UB" "$UA" 5000 rt0 && rt a "$NSA" "$UA" "$UB" 5000 rt0 || return 1
  fix "$NSA" rt0; fix "$NSB" rt0; addr "$NSA" rt0 "$TA/24" "$MTU"; addr "$NSB" rt0 "$TB/24" "$MTU"; }
up_relay() {
  if [ "$X" = fwd ]; then
    spawn r "$NSR" "$TOOLS/rawtun" --fwd --local "$RA" --peer "$UA" --local2 "$RB" --peer2 "$UB"
    rt b "$NSB" "$UB" "$RB" 5000 rt0 && rt a "$NSA" "$UA" "$RA" 5000 rt0 || return 1
    fix "$NSA" rt0; fix "$NSB" rt0; addr "$NSA" rt0 "$TA/24" "$MTU"; addr "$NSB" rt0 "$TB/24" "$MTU"; return 0
  fi
  # hub = two tunnels and kernel IP forwarding between them
  inR sysctl -qw net.ipv4.ip_forward=1
  rt ra "$NSR" "$RA" "$UA" 5000 rtA && rt rb "$NSR" "$RB" "$UB" 5000 rtB && rt b "$NSB" "$UB" "$RB" 5000 rt0 && rt a "$NSA" "$UA" "$RA" 5000 rt0 || return 1
  for i in "$NSR rtA" "$NSR rtB" "$NSA rt0" "$NSB rt0"; do fix $i; done
  ip -n "$NSR" link set rtA mtu "$MTU" up; ip -n "$NSR" link set rtB mtu "$MTU" up
  addr "$NSA" rt0 "$TA/24" "$MTU"; addr "$NSB" rt0 "$TB/24" "$MTU"
  ip -n "$NSR" route add "$TA/32" dev rtA; ip -n "$NSR" route add "$TB/32" dev rtB; }
