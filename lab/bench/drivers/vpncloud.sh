# vpncloud[:ALG]  2.3.0 (the crate registry); relay = hub with kernel ip_forward
C=${1:-}
NEEDS="crate:vpncloud@2.3.0"
DESC="vpncloud 2.3.0 ${C:-auto cipher}"; TOPOS="direct relay"; BINS="$PEERS/bin/vpncloud"
# --ip is broken in a build with a recent rustc (it sets 0.1.0.0/8), so the address is set from outside.
# vpncloud 2.3 panics at start without a route to 8.8.8.8 (it asks the kernel for its own address that way)
rt8() { ip -n "$1" route add 8.8.8.8/32 dev $2 2>/dev/null || true; }
VC() { local r=$1 ns=$2; shift 2; spawn $r $ns $BINS -t tun -m router -p benchbench --no-port-forwarding ${C:+--algorithm $C} "$@"; }
up_direct() { rt8 "$NSA" ethA; rt8 "$NSB" ethB; VC b "$NSB" --no-auto-claim --claim $TB/32 -d vcB --listen $UB:3210; VC a "$NSA" --no-auto-claim --claim $TA/32 -d vcA --listen $UA:3210 --peer $UB:3210; wait_if "$NSB" vcB && wait_if "$NSA" vcA; addr "$NSA" vcA $TA/24 $MTU; addr "$NSB" vcB $TB/24 $MTU; }
up_relay() { inR sysctl -qw net.ipv4.ip_forward=1; rt8 "$NSA" ethA; rt8 "$NSB" ethB; rt8 "$NSR" ethRA
  VC r "$NSR" -d vcR --listen 0.0.0.0:3210 --no-auto-claim --claim 10.99.0.0/24; VC b "$NSB" --no-auto-claim --claim $TB/32 -d vcB --listen $UB:3210 --peer $RB:3210; VC a "$NSA" --no-auto-claim --claim $TA/32 -d vcA --listen $UA:3210 --peer $RA:3210; wait_if "$NSB" vcB && wait_if "$NSA" vcA; wait_if "$NSR" vcR; addr "$NSA" vcA $TA/24 $MTU; addr "$NSB" vcB $TB/24 $MTU; addr "$NSR" vcR $TR/24 $MTU; }
