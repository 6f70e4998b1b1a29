"""A driver: one overlay, brought up, addressed and taken down by lab/bench/drivers/NAME.sh."""
import os
import re
import signal
import time

from . import cpu, world
from .world import HERE, NS, SCRATCH, STATE, TOOLS, sh

DRIVERS = f"{HERE}/drivers"
# What a driver gives its tunnel ends, unless it writes others to $W/addr.
TUNNEL = {"TA": "10.99.0.1", "TB": "10.99.0.2", "TR": "10.99.0.254"}
# From the first process to the first answer through the tunnel; the slowest peer takes 5 s.
FIRST_ANSWER_S = 25


def file_of(name):
    """The driver file of `name`: here, or in the folder that VPNBENCH_DRIVERS names."""
    for d in (DRIVERS, os.environ.get("VPNBENCH_DRIVERS", DRIVERS)):
        if os.path.exists(f"{d}/{name}.sh"):
            return f"{d}/{name}.sh"
    known = ", ".join(sorted(f[:-3] for f in os.listdir(DRIVERS) if f.endswith(".sh") and f not in ("lib.sh", "wg-common.sh")))
    raise SystemExit(f"bench: no driver {name}; there are: {known}")


class Driver:
    def __init__(self, spec, topo, underlay, mtu):
        self.spec, self.topo, self.underlay, self.mtu = spec, topo, underlay, mtu
        self.name, *self.args = spec.split(":")
        self.file = file_of(self.name)
        self.w = f"{SCRATCH}/run/{re.sub('[^A-Za-z0-9.]', '_', spec)}-{topo}"
        self.addr, self.pids, self.bins = dict(TUNNEL), [], []

    def env(self, underlay=None):
        e = dict(os.environ)
        e.update(NSA=NS["A"], NSB=NS["B"], NSR=NS["R"], W=self.w, STATE=STATE, TOOLS=TOOLS, DRIVERS=DRIVERS, MTU=str(self.mtu), **TUNNEL)
        e.update(underlay or dict(UA="", UB="", RA="", RB=""))
        return e

    def call(self, function, underlay=None, check=True):
        script = f'set -- {" ".join(self.args)}; . {DRIVERS}/lib.sh; . {self.file}; {function}'
        return sh(["bash", "-c", script], check=check, env=self.env(underlay), timeout=90)

    def meta(self):
        o = self.call('echo "$DESC"; echo "$TOPOS"; echo "$BINS"').stdout.split("\n")
        return dict(desc=o[0], topos=o[1].split(), bins=o[2].split())

    def up(self):
        sh(["rm", "-rf", self.w])
        os.makedirs(self.w)
        os.makedirs(STATE, exist_ok=True)
        self.bins = self.meta()["bins"]
        for b in self.bins:
            if not os.path.exists(b):
                raise RuntimeError(f"{b} is missing; try: lab/bench/install.sh {self.spec}")
        self.call("if type prepare >/dev/null 2>&1; then prepare; fi")
        underlay = world.build(self.topo, self.underlay)
        start = time.monotonic()
        try:
            self.call(f"up_{self.topo}", underlay)
        finally:
            self.load_pids()
        if os.path.exists(f"{self.w}/addr"):
            with open(f"{self.w}/addr") as f:
                self.addr.update(line.strip().split("=", 1) for line in f)
        self.first_answer(start)

    def first_answer(self, start):
        give_up = time.monotonic() + FIRST_ANSWER_S
        while True:
            r = world.inside("A", "ping", "-n", "-c1", "-W", "0.15", self.addr["TB"], check=False)
            if r.returncode == 0:
                break
            if time.monotonic() > give_up:
                raise RuntimeError("no ping through the tunnel")
            time.sleep(0.005)
        self.setup_ms = (time.monotonic() - start) * 1e3
        took = re.search(r"time=([\d.]+)", r.stdout)
        self.first_ping_ms = float(took.group(1)) if took else -1

    def load_pids(self):
        self.pids = []
        if os.path.exists(f"{self.w}/pids"):
            with open(f"{self.w}/pids") as f:
                self.pids = [(role, int(pid)) for role, pid in (line.split() for line in f)]

    def down(self):
        for sig in (signal.SIGTERM, signal.SIGKILL):
            for _, p in self.alive():
                try:
                    os.kill(p, sig)
                except ProcessLookupError:
                    pass
            for _ in range(60):
                if not self.alive():
                    break
                time.sleep(0.025)
        self.call("if type down >/dev/null 2>&1; then down; fi", check=False)
        world.remove()

    def alive(self):
        return [(role, p) for role, p in self.pids if os.path.exists(f"/proc/{p}")]

    def udp_len(self):
        """Payload of a UDP packet that fills the tunnel; a driver with a smaller tunnel says so."""
        try:
            with open(f"{self.w}/udplen") as f:
                return int(f.read())
        except FileNotFoundError:
            return 1372

    def cpu(self):
        """CPU seconds so far: of all daemons, and of those in R (roles r, ra, rb, ..)."""
        times = [(role, cpu.of_process(p)) for role, p in self.pids]
        return sum(t for _, t in times), sum(t for role, t in times if role.startswith("r"))

    def rss_mb(self):
        """Resident memory of the largest end, and of what runs in R."""
        sizes = [(role, cpu.rss_mb(p)) for role, p in self.pids]
        return max([s for role, s in sizes if not role.startswith("r")] or [0]), max([s for role, s in sizes if role.startswith("r")] or [0])
