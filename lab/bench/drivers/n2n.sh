# n2n[:3|:4|:5]  3.1.1 (Debian sid), cipher A3 AES-CBC, A4 ChaCha20 (no MAC), A5 Speck; MTU 1290 is its default
C=${1:-3}
NEEDS="root:n2n"
DESC="n2n 3.1.1 cipher A$C (TAP, default MTU 1290)"; TOPOS="direct relay"; BINS="$PEERS/sidroot/usr/sbin/edge"
ED() { spawn "$1" "$2" $(with_sid) $PEERS/sidroot/usr/sbin/edge -d "$3" -a "static:$4/24" -c vb -k benchkey -l "$5" -f -A$C -E ${6:-}; }
SN() { printf '%s\n' "-p=7700" "-t=0" "-f" > $W/sn.conf; spawn "${3:-b}" "$1" $(with_sid) $PEERS/sidroot/usr/sbin/supernode -p 7700 -t 56$2 -f -F vbfed; }
up_direct() { echo 1262 > $W/udplen; SN "$NSB" 41; sleep 0.2; ED b "$NSB" n2B "$TB" "$UB:7700" "-t 5642"; ED a "$NSA" n2A "$TA" "$UB:7700" "-t 5643"; wait_if "$NSB" n2B && wait_if "$NSA" n2A; }
up_relay() { echo 1262 > $W/udplen; SN "$NSR" 41 r; sleep 0.2; ED b "$NSB" n2B "$TB" "$RB:7700" "-S1 -t 5642"; ED a "$NSA" n2A "$TA" "$RA:7700" "-S1 -t 5643"; wait_if "$NSB" n2B && wait_if "$NSA" n2A; }
