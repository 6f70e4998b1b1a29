#!/usr/bin/env bash
# make conformance DIR=..: every file of Ethereum's suites below a folder that one of our runners knows. Ends with 1 when a case failed.
set -uo pipefail
dir=$(cd "$1" && pwd) || exit 2
cd "$(dirname "$0")/.." || exit 1
# The development profile of the whole workspace is what everybody has compiled; the chain is optimised in it.
cargo build -q --workspace --bins || exit 1
bin=${CARGO_TARGET_DIR:-target}/debug
status=0 found=""
if [ -n "$(find "$dir" -name '*.json' -path '*Tests*' -print -quit)" ]; then
  found=yes
  # Other suites of ethereum/tests hold files that are no case of these two; they would only be counted as skipped.
  mapfile -t folders < <(find "$dir" -type d \( -name GeneralStateTests -o -name state_tests -o -name TrieTests \) -not -path '*/src/*' -prune)
  echo "statetest ${folders[*]:-$dir}"
  "$bin/statetest" "${folders[@]:-$dir}" || status=1
fi
# A folder of .io files has the genesis they are about beside them.
while IFS= read -r genesis; do
  folder=$(dirname "$genesis")
  [ -n "$(find "$folder" -name '*.io' -print -quit)" ] || continue
  found=yes
  echo "rpctest $folder"
  "$bin/rpctest" "$folder" || status=1
done < <(find "$dir" -name genesis.json)
[ -n "$found" ] || { echo "conformance: $dir has neither GeneralStateTests or TrieTests nor .io files with a genesis.json" >&2; exit 2; }
exit $status
