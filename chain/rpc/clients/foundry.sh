#!/usr/bin/env bash
# foundry.sh URL WORK: what cast and forge do against a local network. WORK has node_modules with both and solc.
set -euo pipefail
url=$1 work=$2
# The programs themselves: npm's wrappers around them end with 0 whatever happened.
mkdir -p "$work/bin"
for tool in cast forge; do ln -sf "$work"/node_modules/@foundry-rs/$tool-*/bin/$tool "$work/bin/$tool"; done
export PATH=$work/bin:$PATH FOUNDRY_DISABLE_NIGHTLY_WARNING=1 NO_COLOR=1 ETH_RPC_URL=$url
# The fifth account of the mnemonic "test test .. junk".
key=0x47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a
me=0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65
ok() { echo "ok $1"; }
fail() { echo "FAILED $1" >&2; exit 1; }
is() { [ "$2" = "$3" ] || fail "$1: $2 is not $3"; }

is "cast chain-id" "$(cast chain-id)" 31373
[ "$(cast block-number)" -gt 0 ] && [ "$(cast balance $me)" != 0 ] && [ "$(cast gas-price)" -gt 0 ] && [ "$(cast base-fee)" -gt 0 ] || fail "a number is 0"
ok "cast: network, balance, prices"
to=$(cast wallet address "0x$(openssl rand -hex 32)")
hash=$(cast send --private-key $key "$to" --value 0.5ether --json | sed 's/.*"transactionHash":"\([^"]*\)".*/\1/')
is "cast balance" "$(cast balance "$to" --ether | sed 's/0*$//')" 0.5
cast tx "$hash" value > /dev/null && is "cast receipt" "$(cast receipt "$hash" gasUsed)" 21000
ok "cast: send, tx, receipt"
legacy=$(cast send --legacy --private-key $key "$to" --value 1 --json | sed 's/.*"status":"\([^"]*\)".*/\1/')
is "legacy" "$legacy" 0x1
ok "cast: a legacy transaction"

mkdir -p "$work/forge/src" "$work/forge/script" "$work/forge/tools"
cp chain/contracts/tools/solc "$work/forge/tools/solc"
echo '{ "type": "commonjs" }' > "$work/forge/tools/package.json"
node -e 'process.stdout.write(JSON.parse(require("fs").readFileSync("chain/rpc/clients/counter.json")).source)' > "$work/forge/src/Counter.sol"
cat > "$work/forge/foundry.toml" <<'END'
[profile.default]
solc = "tools/solc"
offline = true
evm_version = "osaka"
libs = []
[lint]
lint_on_build = false
END
cat > "$work/forge/script/Deploy.s.sol" <<'END'
// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;
import {Counter} from "../src/Counter.sol";
interface Vm { function startBroadcast() external; function stopBroadcast() external; }
contract Deploy {
    Vm constant vm = Vm(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);
    bool public constant IS_SCRIPT = true;
    function run() external {
        vm.startBroadcast();
        Counter counter = new Counter(5);
        counter.set(6);
        vm.stopBroadcast();
        require(counter.value() == 6);
    }
}
END
cd "$work/forge"
made=$(forge create src/Counter.sol:Counter --private-key $key --broadcast --json --constructor-args 7) || fail "forge create"
counter=$(sed -n 's/.*"deployedTo": *"\(0x[0-9a-fA-F]*\)".*/\1/p' <<< "$made")
is "cast call" "$(cast call "$counter" 'value()(uint256)')" 7
ok "forge: create"
cast send --private-key $key "$counter" 'set(uint256)' 42 > /dev/null
is "cast call" "$(cast call "$counter" 'value()(uint256)')" 42
is "cast storage" "$(cast to-dec "$(cast storage "$counter" 0)")" 42
[ "$(cast code "$counter")" != 0x ] && [ "$(cast estimate --from $me "$counter" 'set(uint256)' 1)" -gt 21000 ]
ok "cast: call, send, storage, code, estimate"
cast logs --from-block 0 --address "$counter" 'Set(address indexed,uint256)' | grep -q "$counter" || cast logs --from-block 0 --address "$counter" | grep -qi "${counter:2}" || fail "cast logs"
ok "cast: logs"
why=$(cast call --from $me "$counter" 'set(uint256)' 13 2>&1) && fail "it did not revert"
grep -q unlucky <<< "$why" || fail "the reason of a revert: $why"
ok "cast: a revert says why"
cast proof "$counter" 0 | grep -q storageProof || fail "cast proof"
ok "cast: proof"
list=$(cast access-list --from $me "$counter" 'value()(uint256)') && grep -qi "${counter:2}" <<< "$list" || fail "cast access-list"
ok "cast: access list"
cast block latest --full > /dev/null && cast rpc eth_feeHistory 0x2 latest '[50]' > /dev/null && cast rpc txpool_status > /dev/null && cast client > /dev/null
ok "cast: block, rpc, client"
hash=$(cast send --private-key $key "$counter" 'set(uint256)' 8 --json | sed 's/.*"transactionHash":"\([^"]*\)".*/\1/')
cast run --quick "$hash" > "$work/run.log" 2>&1 && grep -q 'successfully executed' "$work/run.log" || { cat "$work/run.log" >&2; fail "cast run"; }
ok "cast: a transaction run again"
raw=$(cast mktx --private-key $key "$to" --value 3)
cast publish "$raw" > /dev/null
ok "cast: make and publish"
forge script script/Deploy.s.sol:Deploy --rpc-url "$url" --private-key $key --broadcast --slow > "$work/script.log" 2>&1 || { cat "$work/script.log" >&2; fail "forge script"; }
grep -q 'ONCHAIN EXECUTION COMPLETE' "$work/script.log" || fail "forge script"
ok "forge: script, simulated on the chain's state and sent"
