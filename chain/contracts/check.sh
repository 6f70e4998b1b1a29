#!/usr/bin/env bash
# Installs the pinned compiler and forge, rebuilds the contracts, compares them with the committed artifacts, runs the tests.
set -euo pipefail
cd "$(dirname "$0")"
for tool in node npm; do
    command -v "$tool" >/dev/null || { echo "contracts-check: $tool is missing (Debian: apt-get install nodejs npm)" >&2; exit 1; }
done
# Nothing is fetched when what is installed is what the lock names.
if ! cmp -s package-lock.json node_modules/.lock-installed; then
    npm ci --no-audit --no-fund
    cp package-lock.json node_modules/.lock-installed
fi
# forge is a native program and the lock names the one for x86-64 Linux; elsewhere the same version from PATH will do.
FORGE=node_modules/.bin/forge
[ -x "$FORGE" ] || FORGE=$(command -v forge) || { echo "contracts-check: no forge for this machine in npm; put forge 1.7.1 on PATH" >&2; exit 1; }
export FOUNDRY_DISABLE_NIGHTLY_WARNING=1 NO_COLOR=1
node tools/build.js check
(cd artifacts && sha256sum --check --quiet SHA256SUMS)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
"$FORGE" test "$@" >"$log" 2>&1 || status=$?
cat "$log"
passed=$(grep -c '^\[PASS\]' "$log" || true)
failed=$(grep -c '^\[FAIL' "$log" || true)
echo "contracts-check: $passed passed, $failed failed"
[ "$status" -eq 0 ] && [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
