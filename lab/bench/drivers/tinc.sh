# tinc 1.0.36 (apt), default cipher aes-256-cbc + sha256 HMAC truncated
NEEDS="apt:tinc"
DESC="tinc 1.0.36"; TOPOS="direct relay"; BINS="/usr/sbin/tincd"
K=$STATE/tinc
prepare() { local n; for n in a b r; do [ -s $K/$n/rsa_key.priv ] && continue; mkdir -p $K/$n/hosts; echo "Name = $n" > $K/$n/tinc.conf; tincd -c $K/$n -K 2048 </dev/null; done; }
node() { # role dev listen connectto tunaddr
  local d=$W/tinc-$1; mkdir -p $d/hosts; cp $K/$1/rsa_key.priv $d/
  printf 'Name = %s\nInterface = %s\nDeviceType = tun\nAddressFamily = ipv4\nProcessPriority = normal\n' $1 $2 > $d/tinc.conf
  for c in $4; do echo "ConnectTo = $c" >> $d/tinc.conf; done
  printf '#!/bin/sh\nip link set $INTERFACE mtu %s up\nip addr add %s/24 dev $INTERFACE\n' "$MTU" "$5" > $d/tinc-up; chmod +x $d/tinc-up; }
hosts() { # role: "name addr" ...
  local r=$1 n a x; shift; for x in "$@"; do n=${x%% *}; a=${x#* }; { [ "$a" != - ] && echo "Address = $a"; echo "Port = 655"; case $n in a) echo "Subnet = $TA/32";; b) echo "Subnet = $TB/32";; r) echo "Subnet = $TR/32";; esac; [ -n "${IND:-}" ] && echo "IndirectData = yes"; cat $K/$n/hosts/$n; } > $W/tinc-$r/hosts/$n; done; }
up_direct() { node a tcA "$UA" b "$TA"; node b tcB "$UB" "" "$TB"; hosts a "a $UA" "b $UB"; hosts b "a $UA" "b $UB"
  spawn b "$NSB" tincd -c $W/tinc-b -D --pidfile=$W/b.pid; spawn a "$NSA" tincd -c $W/tinc-a -D --pidfile=$W/a.pid; wait_if "$NSB" tcB && wait_if "$NSA" tcA; }
up_relay() { node a tcA "$UA" r "$TA"; node b tcB "$UB" r "$TB"; node r tcR - "" "$TR"
  hosts a "a $UA" "r $RA"; hosts b "b $UB" "r $RB"; hosts r "a -" "b -" "r $RA"
  spawn r "$NSR" tincd -c $W/tinc-r -D --pidfile=$W/r.pid; sleep 0.1; spawn b "$NSB" tincd -c $W/tinc-b -D --pidfile=$W/b.pid; spawn a "$NSA" tincd -c $W/tinc-a -D --pidfile=$W/a.pid; wait_if "$NSB" tcB && wait_if "$NSA" tcA; }
