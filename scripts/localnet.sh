#!/usr/bin/env bash
# make localnet: a chain of WITNESSES (default 4, up to 21) processes on 127.0.0.1, until Ctrl-C. LOCALNET_DIR keeps its state,
# NETCHAIND_BIN is a daemon that is built already.
set -euo pipefail
cd "$(dirname "$0")/.."
witnesses=${WITNESSES:-4}
dir=${LOCALNET_DIR:-$(mktemp -d /tmp/netchain-localnet.XXXXXX)}
port=${PORT:-18545}
bin=${NETCHAIND_BIN:-${CARGO_TARGET_DIR:-target}/debug/netchaind}
[ -n "${NETCHAIND_BIN:-}" ] || cargo build --workspace --bins
[ -d "$dir/node0" ] || "$bin" --dir "$dir" init-localnet --witnesses "$witnesses" --first-port "$port" --block-ms "${BLOCK_MS:-3000}" > /dev/null
pids=()
stop() { kill "${pids[@]}" 2> /dev/null || true; wait; }
trap stop EXIT
trap 'exit 0' INT TERM
for node in "$dir"/node*; do
  "$bin" --dir "$node" run 2>> "$node/log" &
  pids+=($!)
done
height() {
  curl -sf -H 'content-type: application/json' -d '{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}' "http://127.0.0.1:$port" | sed 's/.*"result":"0x\([0-9a-f]*\)".*/\1/'
}
tries=0
until h=$(height) && [ -n "$h" ] && [ "$h" != 0 ]; do
  tries=$((tries + 1))
  [ "$tries" -lt 240 ] || { echo "no block after 120 s; see $dir/node0/log" >&2; exit 1; }
  kill -0 "${pids[0]}" || { tail -5 "$dir/node0/log" >&2; exit 1; }
  sleep 0.5
done
echo "chain id 31373, state and logs in $dir"
for i in $(seq 0 $((${#pids[@]} - 1))); do echo "node$i   http://127.0.0.1:$((port + i))   ws://127.0.0.1:$((port + i))"; done
cat <<'TEXT'
Accounts with 1,000,000 coins each, of the mnemonic every tool knows (never use it for real money):
  mnemonic  test test test test test test test test test test test junk
  0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266  0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80
  0x70997970C51812dc3A010C7d01b50e0d17dc79C8  0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d
TEXT
echo "Try: cast block-number --rpc-url http://127.0.0.1:$port      Ctrl-C ends it"
wait
