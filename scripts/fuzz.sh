#!/usr/bin/env bash
# Fuzzes every parser for the given seconds each. Finds are written to overlay/fuzz/artifacts; a find that is mended goes
# into the corpus, so that `make test` replays it from then on.
set -euo pipefail
cd "$(dirname "$0")/../overlay/fuzz"
each=${1:-60}
cargo fuzz --version >/dev/null 2>&1 || { echo "fuzz: cargo-fuzz is missing; try: cargo install cargo-fuzz --locked" >&2; exit 1; }
# libFuzzer's instrumentation is a nightly flag; the stable compiler takes it when told so.
export RUSTC_BOOTSTRAP=1
targets=$(cargo fuzz list)
n=0 total=$(wc -w <<<"$targets")
for target in $targets; do
  n=$((n + 1))
  printf '\n=== %s (%d of %d, %s s)\n' "$target" "$n" "$total" "$each"
  set +e
  cargo fuzz run "$target" "corpus/$target" -- -max_total_time="$each" -max_len=70000 -print_final_stats=1 2>&1 |
    grep -aE 'stat::|SUMMARY|panicked|ERROR|Done'
  status=${PIPESTATUS[0]}
  set -e
  [ "$status" = 0 ] || { echo "fuzz: $target found something: overlay/fuzz/artifacts/$target" >&2; exit 1; }
done
