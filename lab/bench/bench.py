#!/usr/bin/env python3
"""Data paths of overlays side by side, in network namespaces. lab/bench/README.md explains it; `make bench-dataplane` runs it.

  bench.py run --drivers rawtun:gso:lc-aes,netflow,wireguard-go:2025 --topo direct,relay --rounds 5 --out x.csv
  bench.py smoke --drivers netflow --topo direct,relay      up, a short load, down
  bench.py report x.csv                                     medians, ratios, bounds
  bench.py profile netflow [direct|relay] --out x.txt       perf and strace under load
  bench.py flames netflow [direct|relay] --out x.svg        a flame graph of the daemons under load
"""
import argparse
import os
import sys

from harness import flamegraph, measure, profile, report, world


def arguments():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = ap.add_subparsers(dest="cmd", required=True)
    for name in ("run", "smoke"):
        p = sub.add_parser(name)
        p.add_argument("--drivers", required=True)
        p.add_argument("--topo", default="direct", help="direct, relay or both, with a comma")
        p.add_argument("--underlay", default="std", help="std | wire (no segmentation offload on the veth)")
        p.add_argument("--rounds", type=int, default=5)
        p.add_argument("--out", default=f"{world.ROOT}/target/bench/dataplane.csv")
        p.add_argument("--secs", type=int, default=10, help="length of one TCP transfer")
        p.add_argument("--pings", type=int, default=300)
        p.add_argument("--probe", type=float, default=0.8, help="length of one step of the search for the UDP rate, seconds")
        p.add_argument("--mtu", type=int, default=1420)
        p.add_argument("--quick", action="store_true", help="no UDP and no transfer from B to A")
        p.add_argument("--wait", type=float, default=900, help="wait this long, seconds, for a quiet machine before each driver")
        p.add_argument("--maxforeign", type=float, default=0.12, help="once more when other programs used more cores than this")
    p = sub.add_parser("report")
    p.add_argument("files", nargs="+")
    for name in ("profile", "flames"):
        p = sub.add_parser(name)
        p.add_argument("driver")
        p.add_argument("topo", nargs="?", default="direct", choices=("direct", "relay"))
        p.add_argument("--out", required=True)
        p.add_argument("--secs", type=int, default=8)
    return ap.parse_args()


def main():
    a = arguments()
    if a.cmd == "report":
        report.report(a.files)
        return 0
    if os.geteuid() != 0:
        print("bench: needs root (namespaces, TUN); try: sudo make bench-dataplane", file=sys.stderr)
        return 4
    lock = world.alone()  # noqa: F841  (held until the end)
    if a.cmd in ("profile", "flames"):
        os.makedirs(os.path.dirname(os.path.abspath(a.out)), exist_ok=True)
    if a.cmd == "profile":
        profile.text(a.driver, a.topo, a.out)
    elif a.cmd == "flames":
        flamegraph.draw(a.driver, a.topo, a.out, a.secs)
    else:
        failed = {"run": measure.run, "smoke": measure.smoke}[a.cmd](a)
        return 1 if failed else 0
    print(a.out)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
