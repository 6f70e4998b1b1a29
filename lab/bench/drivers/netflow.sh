# netflow[:chacha[:noavx]]   this project's netflowd. chacha = both ends offer ChaCha20-Poly1305 alone, as a CPU without AES does;
# noavx = aws-lc is told that the CPU has no AVX, SSSE3 and AES instructions either, as one of a router.
#
# Also loaded by other copies of this harness (VPNBENCH_DRIVERS): it needs nothing but what lib.sh gives. Programs: NETFLOWD_BIN and
# NETCTL_BIN, else those that `make build` left in the tree this file (or what it is a link to) lies in.
#
# A network is made through a relay, and members look for a direct path by themselves. direct: the relay stands in B's namespace at a port
# of its own, and the measurement starts when A's packets reach B directly. relay: it stands in R, is no member and holds no key; A and B
# have no route to each other.
SUITE=${1:-}; PLAIN=${2:-}
_here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
NETFLOWD=${NETFLOWD_BIN:-$_here/../../../target/release/netflowd}
NETCTL=${NETCTL_BIN:-$_here/../../../target/release/netctl}
DESC="netflowd of this tree, ${SUITE:-the suite both CPUs are best at}"; TOPOS="direct relay"; BINS="$NETFLOWD"

ctl() { "$NETCTL" --socket "$W/$1.sock" "${@:2}"; }
# pick EXPRESSION [ARG]: of the JSON document d on stdin
pick() { python3 -c 'import json,sys; d=json.load(sys.stdin); print(eval(sys.argv[1]))' "$@"; }
# conf ROLE PORT LINES..: what every node has
conf() { local role=$1 port=$2; shift 2
  mkdir -p "$W/$role"; chmod 700 "$W/$role"
  { printf 'name = "%s"\nstate_dir = "%s"\ncontrol_socket = "%s"\nlisten = "0.0.0.0:%s"\nmtu = %s\nport_mapping = false\n' \
      "$role" "$W/$role/state" "$W/$role.sock" "$port" "$MTU"
    [ "$SUITE" != chacha ] || echo 'suite = "chacha20"'
    printf '%s\n' "$@"; } > "$W/$role/netflow.toml"; }
# OPENSSL_ia32cap clears bits of CPUID leaf 1 (57 AES, 60 AVX, 41 SSSE3, 33 PCLMUL) and of leaf 7 (all: AVX2, AVX-512, VAES, BMI2).
node() { spawn "$1" "$2" ${PLAIN:+env OPENSSL_ia32cap=~0x1200020200000000:~0xffffffffffffffff} "$NETFLOWD" --config "$W/$1/netflow.toml"; }
# Until the daemon answers, at most 10 s.
ready() { local i; for ((i=0;i<500;i++)); do ctl "$1" status >/dev/null 2>&1 && return 0; sleep 0.02; done
  echo "netflowd $1 does not answer: $(tail -n 1 "$W/$1.log")" >&2; return 1; }
# relay NS PORT ADDR: with far more rate and quota than any run needs
relay() { local ns=$1 port=$2
  conf r "$port" 'tier = "cn"' '[relay]' "public_addrs = [\"$3:$port\"]" 'default_rate_mbit = 1000000' 'default_quota_gb_day = 1000000' 'listen_443 = false'
  node r "$ns" && ready r; RID=$(ctl r --json status | pick 'd["node"]'); }
# members RELAY: A makes the network, B joins
members() {
  conf a 4790 "relays = [\"$RID@$1\"]"; conf b 4790
  node a "$NSA"; node b "$NSB"; ready a && ready b || return 1
  ctl a create-network bench >/dev/null && ctl a invite --no-qr --output "$W/token" >/dev/null && ctl b join --file "$W/token" >/dev/null || return 1
  { echo "TA=$(ctl b --json members | member a)"; echo "TB=$(ctl b --json members | member b)"; } > "$W/addr"; }
member() { pick 'next(m["ipv4"] for m in d["members"] if m["name"] == sys.argv[2])' "$1"; }
# A packet of the full size must pass before the load starts: the size of a path is found by probes, and only when someone wants it.
full_size() { local to i; to=$(sed -n 's/^TB=//p' "$W/addr")
  for ((i=0;i<40;i++)); do inA ping -n -q -c1 -W 0.2 -M do -s $((MTU - 28)) "$to" >/dev/null 2>&1 && return 0; sleep 0.02; done
  echo "no packet of $MTU bytes passes" >&2; return 1; }
up_direct() { relay "$NSB" 4791 "$UB" && members "$UB:4791" && ctl a ping b --until-direct -i 50 >/dev/null && full_size; }
# One address for the relay, as it would have in the internet: B gets a route to it, and none to A. What R sends to B comes from that address.
up_relay() { ip -n "$NSB" route add "$RA/32" via "$RB" && ip -n "$NSR" route add "$UB/32" dev ethRB src "$RA" && relay "$NSR" 4790 "$RA" \
  && members "$RA:4790" && full_size; }
