#!/usr/bin/env bash
# `make bench-dataplane`: installs what DRIVERS need, measures ROUNDS interleaved rounds, prints medians, ratios and bounds.
#   DRIVERS, TOPO, ROUNDS, SECS: see README.md; NETFLOWD_BIN and NETCTL_BIN: another build of this project's programs
#   KEEP=1 adds to the rows of the last run instead of starting anew
set -euo pipefail
cd "$(dirname "$0")"
drivers=${DRIVERS:-rawtun:gso:lc-aes,rawtun:gso:lc-chacha,rawtun:gso:lc-aes:fwd,rawtun:gso:lc-chacha:fwd,netflow,netflow:chacha,wireguard-go:2025,quincy,easytier,gotatun,nebula:1.11,boringtun}
out=${OUT:-../../target/bench/dataplane.csv}
[ "$(id -u)" = 0 ] || { echo "bench: needs root (namespaces, TUN); try: sudo make bench-dataplane" >&2; exit 4; }
[ "${INSTALL:-1}" = 0 ] || ./install.sh ${drivers//,/ }
[ "${KEEP:-0}" = 1 ] || rm -f "$out"
status=0
python3 bench.py run --drivers "$drivers" --topo "${TOPO:-direct,relay}" --rounds "${ROUNDS:-5}" --secs "${SECS:-10}" \
  --wait "${WAIT:-900}" ${QUICK:+--quick} --out "$out" || status=$?
[ "$status" -lt 2 ] || exit "$status"
python3 bench.py report "$out" | tee "${out%.csv}.md"
exit "$status"
