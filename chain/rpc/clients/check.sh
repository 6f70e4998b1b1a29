#!/usr/bin/env bash
# make clients-chain: ethers, viem, web3.py, cast, forge, hardhat, OpenZeppelin's contracts and netctl against a local network
# of 4 witnesses with 1 s blocks. One line a step; ends with a count, and with 1 when a client failed. Needs npm and python3 with
# venv; CLIENTS="ethers viem" chooses some, CLIENTS_CACHE=FOLDER keeps what npm and pip fetched, NETCHAIND_BIN and NETCTL_BIN are
# programs that are built already.
set -uo pipefail
cd "$(dirname "$0")/../../.." || exit 1
for tool in npm python3 openssl; do command -v $tool > /dev/null || { echo "clients-chain: $tool is missing; try: apt-get install npm python3-venv openssl" >&2; exit 1; }; done
all="ethers viem openzeppelin foundry hardhat wallet web3py"
chosen=${CLIENTS:-$all}
work=$(mktemp -d /tmp/netchain-clients.XXXXXX)
cache=${CLIENTS_CACHE:-$work}
net=""
stop() { [ -z "$net" ] || { kill "$net" 2> /dev/null; wait "$net" 2> /dev/null; }; rm -rf "$work"; }
trap stop EXIT
mkdir -p "$cache"
cp chain/rpc/clients/package.json "$cache/"
# Postinstall scripts only choose a binary, and npm puts that there by itself: nothing of a package runs at installation.
(cd "$cache" && npm install --silent --no-audit --no-fund --ignore-scripts) || { echo "clients-chain: npm install failed" >&2; exit 1; }
if [[ " $chosen " = *" web3py "* ]] && [ ! -x "$cache/venv/bin/python" ]; then
  python3 -m venv "$cache/venv" && "$cache/venv/bin/pip" install --quiet --disable-pip-version-check web3==8.0.0 || { echo "clients-chain: pip install failed" >&2; exit 1; }
fi
cp chain/rpc/clients/*.{json,mjs,cjs,py} "$work/"
[ "$cache" = "$work" ] || ln -s "$cache/node_modules" "$work/node_modules"
mkdir -p "$work/contracts" "$work/wallet"
node -e 'process.stdout.write(JSON.parse(require("fs").readFileSync("chain/rpc/clients/counter.json")).source)' > "$work/contracts/Counter.sol"
netctl=${NETCTL_BIN:-${CARGO_TARGET_DIR:-target}/debug/netctl}
[ -n "${NETCTL_BIN:-}" ] || cargo build --workspace --bins || exit 1
log=$work/localnet.log
url=http://127.0.0.1:23545
PORT=23545 BLOCK_MS=${BLOCK_MS:-1000} LOCALNET_DIR=$work/net bash scripts/localnet.sh > "$log" 2>&1 &
net=$!
until grep -q 'Ctrl-C ends it' "$log"; do
  kill -0 $net 2> /dev/null || { tail -20 "$log" >&2; exit 1; }
  sleep 0.5
done

client() {
  case $1 in
    ethers | viem | openzeppelin) (cd "$work" && node "$1.mjs" $url) ;;
    foundry) bash chain/rpc/clients/foundry.sh $url "$work" ;;
    hardhat) (cd "$work" && NETCHAIN_URL=$url CI=1 HARDHAT_DISABLE_TELEMETRY_PROMPT=true node_modules/.bin/hardhat run hardhat.cjs --network local) ;;
    wallet) (node "$work/wallet.mjs" $url "$netctl" "$work/wallet") ;;
    web3py)
      # The keystore that netctl wrote, when that client ran.
      read -r -a keystore < <(sed -n 's/^keystore //p' "$work/steps" 2> /dev/null)
      "$cache/venv/bin/python" "$work/web3py.py" $url ${keystore[@]+"${keystore[@]}"} ;;
    *) echo "no client $1; there are: $all" >&2; return 1 ;;
  esac
}

failed=""
: > "$work/steps"
for one in $chosen; do
  client "$one" > "$work/out" 2>&1 || { failed="$failed $one"; tail -40 "$work/out" | grep -v '^ok ' >&2; }
  grep -E '^(ok|keystore) ' "$work/out" >> "$work/steps"
  grep '^ok ' "$work/out"
done
echo "clients-chain: $(grep -c '^ok ' "$work/steps") steps passed, failed clients:${failed:- none}"
[ -z "$failed" ]
