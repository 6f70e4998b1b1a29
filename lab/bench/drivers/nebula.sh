# nebula[:1.6|1.11][:routines][:aes|chachapoly]   Debian bookworm 1.6.1, sid 1.11.0
V=${1:-1.11}; RT=${2:-1}; CI=${3:-aes}
case $V in 1.6) NB=/usr/bin/nebula; NC=/usr/bin/nebula-cert;; *) NB=$PEERS/deb/nebula-$V/usr/bin/nebula; NC=$PEERS/deb/nebula-$V/usr/bin/nebula-cert;; esac
NEEDS="apt:nebula sid:nebula=nebula-1.11"
DESC="nebula $V routines=$RT cipher=$CI"; TOPOS="direct relay"; BINS="$NB"
D=$STATE/nebula
prepare() { [ -s $D/b.crt ] && return 0; mkdir -p $D; cd $D; local c=/usr/bin/nebula-cert
  $c ca -name vb -out-crt ca.crt -out-key ca.key && for n in "a $TA" "b $TB" "r $TR"; do set -- $n; $c sign -ca-crt ca.crt -ca-key ca.key -name $1 -ip $2/24 -out-crt $1.crt -out-key $1.key; done; }
conf() { # role ip-underlay dev statichosts lighthousehosts amlh relayblock
cat > "$W/$1.yml" <<Y
pki: {ca: $D/ca.crt, cert: $D/$1.crt, key: $D/$1.key}
cipher: $CI
static_host_map: $4
lighthouse: {am_lighthouse: $6, interval: 60, hosts: $5}
listen: {host: $2, port: 4242, batch: 64, read_buffer: 10485760, write_buffer: 10485760}
punchy: {punch: false}
routines: $RT
relay: $7
tun: {disabled: false, dev: $3, mtu: $MTU, tx_queue: 1000, drop_local_broadcast: true, drop_multicast: true}
logging: {level: warning, format: text}
firewall:
  outbound: [{port: any, proto: any, host: any}]
  inbound: [{port: any, proto: any, host: any}]
Y
}
up_direct() {
  conf a "$UA" nbA "{\"$TB\": [\"$UB:4242\"]}" "[\"$TB\"]" false "{am_relay: false, use_relays: false}"
  conf b "$UB" nbB "{}" "[]" true "{am_relay: false, use_relays: false}"
  spawn b "$NSB" $NB -config $W/b.yml; spawn a "$NSA" $NB -config $W/a.yml; wait_if "$NSB" nbB && wait_if "$NSA" nbA; }
up_relay() {
  conf r 0.0.0.0 nbR "{}" "[]" true "{am_relay: true, use_relays: false}"
  conf a "$UA" nbA "{\"$TR\": [\"$RA:4242\"]}" "[\"$TR\"]" false "{relays: [\"$TR\"], am_relay: false, use_relays: true}"
  conf b "$UB" nbB "{\"$TR\": [\"$RB:4242\"]}" "[\"$TR\"]" false "{relays: [\"$TR\"], am_relay: false, use_relays: true}"
  spawn r "$NSR" $NB -config $W/r.yml; spawn b "$NSB" $NB -config $W/b.yml; spawn a "$NSA" $NB -config $W/a.yml; wait_if "$NSB" nbB && wait_if "$NSA" nbA; }
