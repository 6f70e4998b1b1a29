#!/bin/sh
# Runs every fuzz target of a crate (or those named) for SECONDS each (default 60) on the stable compiler:
# scripts/fuzz.sh overlay/fuzz|chain/fuzz [SECONDS [TARGET...]]
# Coverage needs no nightly: the pass is in LLVM. With a nightly, `cargo +nightly fuzz run TARGET` from the folder above adds the address sanitizer.
set -eu
[ $# -gt 0 ] || { echo "fuzz: which crate? try: scripts/fuzz.sh overlay/fuzz" >&2; exit 2; }
cd "$(dirname "$0")/../$1"
shift
seconds=${1:-60}
[ $# -gt 0 ] && shift
target_dir=${CARGO_TARGET_DIR:-$PWD/target}
host=$(rustc -vV | sed -n 's/^host: //p')
export CARGO_TARGET_DIR="$target_dir"
# --target keeps the flags away from build scripts and proc macros.
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Clink-dead-code" \
    cargo build -q --release --target "$host" --bins
[ $# -gt 0 ] || set -- $(ls fuzz_targets | sed 's/\.rs$//')
found_something=0
for target in "$@"; do
    found="$target_dir/found/$target"
    mkdir -p "$found" artifacts/"$target"
    printf '%s: ' "$target"
    # New inputs land in the first folder, outside the repository: copy what is worth keeping into corpus/ by hand.
    if ! "$target_dir/$host/release/$target" "$found" corpus/"$target" -max_total_time="$seconds" -timeout=5 -max_len=65536 \
        -artifact_prefix=artifacts/"$target"/ >"$target_dir/$target.log" 2>&1; then
        # The log holds the reason and the stack; artifacts/ the input.
        grep -aE 'panicked|ERROR|SUMMARY|Test unit' "$target_dir/$target.log" || tail -n 5 "$target_dir/$target.log"
        found_something=1
        continue
    fi
    grep -E 'DONE' "$target_dir/$target.log" | tail -n 1
done
exit "$found_something"
