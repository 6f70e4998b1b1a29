"""Medians of interleaved rounds, ratios against the yardstick and the best peer, and the bounds this project holds itself to."""
import csv
import statistics

OWN = "netflow"
# No overlay with encryption: yardsticks and controls, never "the best peer".
YARDSTICKS = ("rawtun", "t2t", "veth", "vxlan", "fastd:null")
HUB = "wireguard-go:2025"


def load(files):
    rows = []
    for name in files:
        with open(name) as f:
            rows += list(csv.DictReader(f))
    return rows


class Table:
    """Rows of one topology and one underlay."""

    def __init__(self, rows):
        self.rows = rows
        self.drivers = list(dict.fromkeys(r["driver"] for r in rows))

    def values(self, driver, field, scale=1.0):
        return [float(r[field]) * scale for r in self.rows if r["driver"] == driver and r["ok"] == "1" and r.get(field) not in ("", None)]

    def median(self, driver, field):
        v = self.values(driver, field)
        return statistics.median(v) if v else None

    def rounds(self, driver):
        return len(self.values(driver, "tcp1_gbps"))

    def peers(self):
        return [d for d in self.drivers if d.split(":")[0] != OWN and not d.startswith(YARDSTICKS) and self.rounds(d)]

    def best(self, field, pick):
        """(driver, median) of the peer that is best at this."""
        found = [(d, self.median(d, field)) for d in self.peers()]
        found = [(d, m) for d, m in found if m is not None]
        return pick(found, key=lambda x: x[1]) if found else (None, None)


def tables(rows):
    keys = dict.fromkeys((r["topo"], r["opt"]) for r in rows)
    return {k: Table([r for r in rows if (r["topo"], r["opt"]) == k]) for k in keys}


COLUMNS = [("TCP 1 Gbit/s", "tcp1_gbps", "{:.2f}", 1, True), ("TCP 4 Gbit/s", "tcp4_gbps", "{:.2f}", 1, True), ("B to A", "rev1_gbps", "{:.2f}", 1, False),
           ("UDP <1 % loss Gbit/s", "udp_ok_gbps", "{:.2f}", 1, True), ("64 B kpps <1 % loss", "pps64_ok", "{:.0f}", 1e-3, True),
           ("ping p50 us", "ping_p50_us", "{:.0f}", 1, False), ("p99", "ping_p99_us", "{:.0f}", 1, False),
           ("loaded ping p50 us", "ld_ping_p50_us", "{:.0f}", 1, False), ("p99", "ld_ping_p99_us", "{:.0f}", 1, False),
           ("daemons CPU s/GB", "tcp1_cpu_gb", "{:.2f}", 1, False), ("of it relay", "tcp1_relay_gb", "{:.2f}", 1, False),
           ("all CPU s/GB", "tcp1_sys_gb", "{:.2f}", 1, False), ("RSS MB", "rss_mb", "{:.0f}", 1, False), ("binary MB", "bin_mb", "{:.1f}", 1, False),
           ("setup ms", "setup_ms", "{:.0f}", 1, False)]


def cell(values, form, spread):
    if not values:
        return "-"
    text = form.format(statistics.median(values))
    if spread and len(values) > 1:
        text += f" ({form.format(min(values))}..{form.format(max(values))})"
    return text


def print_medians(t):
    print("| driver | n | " + " | ".join(c[0] for c in COLUMNS) + " |")
    print("|" + "---|" * (len(COLUMNS) + 2))
    for d in sorted(t.drivers, key=lambda d: t.median(d, "tcp1_gbps") or 0, reverse=True):
        if not t.rounds(d):
            why = [r["err"] for r in t.rows if r["driver"] == d][-1]
            print(f"| {d} | 0 | failed: {why[:100]} |" + " |" * (len(COLUMNS) - 1))
            continue
        cells = [cell(t.values(d, field, scale), form, spread) for _, field, form, scale, spread in COLUMNS]
        print(f"| {d} | {t.rounds(d)} | " + " | ".join(cells) + " |")


def yardstick(driver, topo):
    cipher = "chacha" if "chacha" in driver.split(":")[1:] else "aes"
    return f"rawtun:gso:lc-{cipher}" + (":fwd" if topo == "relay" else "")


# (what, field, better, against, factor): against = "yardstick", "peer" (the best one), or the name of a driver.
BOUNDS = {
    ("direct", "aes"): [
        ("TCP 1 stream", "tcp1_gbps", "more", "yardstick", 0.85), ("TCP 1 stream", "tcp1_gbps", "more", "peer", 2.2),
        ("TCP 4 streams", "tcp4_gbps", "more", "yardstick", 0.85), ("TCP 4 streams", "tcp4_gbps", "more", "peer", 2.2),
        ("CPU per GB", "tcp1_cpu_gb", "less", "peer", 0.4), ("UDP, full packets", "udp_ok_gbps", "more", "peer", 2.0),
        ("64 B packets/s", "pps64_ok", "more", "yardstick", 0.8), ("64 B packets/s", "pps64_ok", "more", "peer", 2.0),
        ("ping p50, idle", "ping_p50_us", "less", "peer", 1.2), ("ping p99, loaded", "ld_ping_p99_us", "less", "peer", 0.5)],
    ("direct", "chacha"): [("TCP 1 stream", "tcp1_gbps", "more", "yardstick", 0.85), ("TCP 4 streams", "tcp4_gbps", "more", "yardstick", 0.85)],
    ("relay", "aes"): [
        ("TCP 1 stream", "tcp1_gbps", "more", "yardstick", 0.85), ("TCP 1 stream", "tcp1_gbps", "more", HUB, 4.0),
        ("TCP 4 streams", "tcp4_gbps", "more", "yardstick", 0.85), ("TCP 4 streams", "tcp4_gbps", "more", HUB, 4.0)],
    ("relay", "chacha"): [],
}
# Resident memory of an end under full load, and what the data path may take of it, MiB.
MAX_RSS, MAX_GROWTH = 24, 8
# CPU per GB of a relay against that of one end.
MAX_RELAY_SHARE = 0.5


def print_bound(driver, what, got, form, against, value, factor, better):
    if got is None or not value:
        print(f"| {driver} | {what} | {'-' if got is None else form.format(got)} | {against or '-'} | - | {factor} | not measured |")
        return
    ratio = got / value
    met = ratio >= factor if better == "more" else ratio <= factor
    sign = ">=" if better == "more" else "<="
    print(f"| {driver} | {what} | {form.format(got)} | {against} {form.format(value)} | {ratio:.2f} | {sign} {factor} | {'yes' if met else 'NO'} |")


def print_bounds(t, topo):
    print("\n| driver | what | median | against | ratio | bound | met |\n|" + "---|" * 7)
    for d in (d for d in t.drivers if d.split(":")[0] == OWN and t.rounds(d)):
        kind = "chacha" if "chacha" in d.split(":")[1:] else "aes"
        for what, field, better, against, factor in BOUNDS[topo, kind]:
            form = "{:.0f}" if field.endswith("_us") or "pps" in field else "{:.2f}"
            if against == "yardstick":
                name = yardstick(d, topo)
                value = t.median(name, field)
            elif against == "peer":
                name, value = t.best(field, max if better == "more" else min)
            else:
                name, value = against, t.median(against, field)
            print_bound(d, what, t.median(d, field), form, name, value, factor, better)
        rss, idle = t.median(d, "rss_mb"), t.median(d, "rss_idle_mb")
        if rss is not None and idle is not None:
            print(f"| {d} | RSS of an end, MiB | {rss:.1f} | - | - | <= {MAX_RSS} | {'yes' if rss <= MAX_RSS else 'NO'} |")
            print(f"| {d} | above idle, MiB | {rss - idle:.1f} | idle {idle:.1f} | - | <= {MAX_GROWTH} | {'yes' if rss - idle <= MAX_GROWTH else 'NO'} |")
        if topo == "relay":
            every, relay = t.median(d, "tcp1_cpu_gb"), t.median(d, "tcp1_relay_gb")
            end = (every - relay) / 2 if every is not None and relay is not None else None
            print_bound(d, "CPU per GB of the relay", relay, "{:.2f}", "one end", end, MAX_RELAY_SHARE, "less")


def report(files):
    for (topo, underlay), t in tables(load(files)).items():
        print(f"\n### topology {topo}, underlay {underlay}: medians (min..max)\n")
        print_medians(t)
        if any(d.split(":")[0] == OWN for d in t.drivers):
            print_bounds(t, topo)
