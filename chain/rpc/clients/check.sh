#!/usr/bin/env bash
# Runs the clients against a local network of 4 witnesses with 1 s blocks. Needs npm.
set -euo pipefail
cd "$(dirname "$0")/../../.."
command -v npm > /dev/null || { echo "npm is missing; try: apt-get install npm" >&2; exit 1; }
work=$(mktemp -d /tmp/netchain-clients.XXXXXX)
cp chain/rpc/clients/* "$work"
(cd "$work" && npm install --silent --no-audit --no-fund)
log=$work/localnet.log
PORT=23545 BLOCK_MS=1000 LOCALNET_DIR=$work/net bash scripts/localnet.sh > "$log" 2>&1 &
net=$!
trap 'kill $net 2> /dev/null || true; wait $net 2> /dev/null || true; rm -rf "$work"' EXIT
until grep -q 'Ctrl-C ends it' "$log"; do
  kill -0 $net 2> /dev/null || { tail -20 "$log" >&2; exit 1; }
  sleep 0.5
done
node "$work/ethers.mjs" http://127.0.0.1:23545
