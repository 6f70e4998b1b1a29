# quincy 3.1.1 (the crate registry): QUIC datagrams over quinn, Noise mode, MTU 1400 (its default); hub and spoke
NEEDS="crate:quincy-client@3.1.1 crate:quincy-server@3.1.1 apt:wireguard-tools"
DESC="quincy 3.1.1 (QUIC, Noise), MTU 1400"; TOPOS="direct relay"; BINS="$PEERS/bin/quincy-server"
. "$DRIVERS/wg-common.sh"
prepare() { wg_keys; }
down() { :; }
MT=1400
k() { cat $STATE/wg/$1; }
conn() { printf '[connection]\nmtu = %s\n' "$MT"; }
srv() { # role ns bind tunaddr users...
cat > $W/srv.toml <<Y
name = "vb"
interface_name = "qyS"
bind_address = "$3"
bind_port = 55555
tunnel_network = "$4/24"
users_file = "$W/users.toml"
isolate_clients = false
[protocol]
mode = "noise"
key_exchange = "standard"
private_key = "$(k $1.key)"
[log]
level = "warn"
$(conn)
Y
spawn $1 $2 $PEERS/bin/quincy-server --config-path $W/srv.toml; wait_if $2 qyS; sleep 0.05; }
cli() { # role ns server srvkeyrole dev
cat > $W/$1.toml <<Y
connection_string = "$3:55555"
[protocol]
mode = "noise"
key_exchange = "standard"
server_public_key = "$(k $4.pub)"
private_key = "$(k $1.key)"
[network]
interface_name = "$5"
[log]
level = "warn"
$(conn)
Y
spawn $1 $2 $PEERS/bin/quincy-client --config-path $W/$1.toml; wait_if $2 $5; }
user() { printf '[users.%s]\nauthorized_keys = ["%s"]\naddress_pool = ["%s"]\n' $1 "$(k $1.pub)" "$2"; }
up_direct() { user a $TA/32 > $W/users.toml; srv b "$NSB" $UB $TB; cli a "$NSA" $UB b qyA; }
up_relay() { { user a $TA/32; user b $TB/32; } > $W/users.toml; srv r "$NSR" 0.0.0.0 $TR; cli b "$NSB" $RB r qyB; cli a "$NSA" $RA r qyA; }
