#!/usr/bin/env bash
# Every test of the project, stage by stage, with times. `make test` runs this; so does .ci/run.
# Usage: scripts/test.sh [stage...]   (no stage: all)
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
[ -f "$HOME/.cargo/env" ] && . "$HOME/.cargo/env"
export CARGO_TERM_COLOR=never NEXTEST_HIDE_PROGRESS_BAR=1
mkdir -p target
log=target/test-stage.log
passed=0 failed=0 broken="" summary=""
have_nextest=$(cargo nextest --version >/dev/null 2>&1 && echo yes)

# Runs the tests of one group, with nextest when it is installed, and adds up what they say. nextest is given the whole
# workspace and a filter, so that nothing is compiled twice because a smaller choice of crates wants fewer features.
run_tests() {
  local group=$1 status=0
  if [ -n "$have_nextest" ]; then
    cargo nextest run --no-fail-fast --status-level fail --final-status-level fail \
      --workspace -E "$([ "$group" = lab ] && echo 'package(netflow-lab)' || echo 'not package(netflow-lab)')" 2>&1 | tee "$log"; status=${PIPESTATUS[0]}
    local line; line=$(grep -aE '^ *Summary ' "$log" | tail -n 1)
    local p; p=$(sed -nE 's/.* ([0-9]+) passed.*/\1/p' <<<"$line")
    local f; f=$(sed -nE 's/.* ([0-9]+) failed.*/\1/p' <<<"$line")
    passed=$((passed + ${p:-0})) failed=$((failed + ${f:-0}))
  else
    local which="--workspace --exclude netflow-lab" threads=2
    # One lab at a time: its tests measure time.
    [ "$group" = lab ] && which="-p netflow-lab" threads=1
    # shellcheck disable=SC2086  # a list of words on purpose
    cargo test -q --no-fail-fast $which -- --test-threads=$threads 2>&1 | tee "$log" |
      grep -avE '^$|^running [0-9]+ tests?$|^test result: ok|^[.]+$'
    status=${PIPESTATUS[0]}
    local sums; sums=$(awk '/^test result:/ { for (i = 2; i <= NF; i++) { if ($i ~ /^passed/) p += $(i-1); if ($i ~ /^failed/) f += $(i-1) } } END { print p + 0, f + 0 }' "$log")
    passed=$((passed + ${sums% *})) failed=$((failed + ${sums#* }))
  fi
  printf '%s tests: %d passed, %d failed so far\n' "$group" "$passed" "$failed"
  return "$status"
}

stage_format() { cargo fmt --all --check; }
stage_build() { echo "compiling the workspace and its tests, quietly; a quarter of an hour on two cores when nothing is there yet"; cargo build -q --workspace --all-targets; }
# Warnings are errors with the compiler the code is written for; a newer one has lints nobody has seen yet.
stage_lint() {
  local deny="-D warnings"
  case $(rustc --version) in
    "rustc 1.95."*) ;;
    *) deny=""; echo "lint: $(rustc --version) is not 1.95: warnings are shown and not counted" ;;
  esac
  # shellcheck disable=SC2086  # two words on purpose
  cargo clippy -q --workspace --all-targets -- $deny
}
stage_house() { cargo xtask tidy && cargo xtask deps && (cd lab/bench && python3 -m unittest discover -q -s tests -t .); }
stage_unit() { run_tests unit; }
stage_docs() { RUSTDOCFLAGS="-D warnings" cargo doc -q --workspace --no-deps --document-private-items 2>&1; }
stage_lab() { run_tests lab; }

all="format build lint house unit lab"
started=$(date +%s)
for stage in ${*:-$all}; do
  printf '\n=== %s\n' "$stage"
  t=$(date +%s)
  if "stage_$stage"; then verdict=ok; else verdict=FAILED; broken="$broken $stage"; fi
  summary="$summary$(printf '%-8s %-7s %4d s' "$stage" "$verdict" $(($(date +%s) - t)))"$'\n'
  # Tests of code that does not build say nothing.
  [ "$stage" = build ] && [ "$verdict" = FAILED ] && break
done
printf '\n=== stages (%d s in all)\n%s' $(($(date +%s) - started)) "$summary"
[ -n "$broken" ] && printf 'failed stages:%s\n' "$broken"
printf '%d passed, %d failed\n' "$passed" "$failed"
[ -z "$broken" ] && [ "$failed" = 0 ]
