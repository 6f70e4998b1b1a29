"""Where the daemons of a driver spend their time while iperf3 runs through the tunnel: perf by library and symbol, strace's counts, and
folded stacks for a flame graph."""
import os
import re
import subprocess
import time

from . import cpu, load
from .driver import Driver
from .world import NS, sh

# Off the round numbers, so that samples do not march in step with timers.
HERTZ = "1999"


def folded(data, comms):
    """perf script -> folded stacks: {"comm;outermost;..;innermost": samples}."""
    stacks, comm, frames = {}, None, []
    script = subprocess.Popen(["perf", "script", "-i", data, "-F", "comm,ip,sym,dso"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for line in list(script.stdout) + [""]:
        line = line.rstrip()
        if not line:
            if comm and (not comms or comm in comms):
                key = ";".join([comm] + frames[::-1])
                stacks[key] = stacks.get(key, 0) + 1
            comm, frames = None, []
        elif not line[0].isspace():
            comm = line.strip()
        else:
            found = re.match(r"\s+[0-9a-f]+ (.*?) \((.*)\)$", line)
            if found:
                symbol, dso = found.group(1), os.path.basename(found.group(2)).strip("[]")
                symbol = re.sub(r"\+0x[0-9a-f]+$", "", symbol)
                frames.append((f"[{dso}]" if symbol == "[unknown]" else symbol).replace(";", ":"))
    script.wait()
    return stacks


def threads_of(d):
    """Names of the daemons' threads: perf knows no process names."""
    names = set()
    for _, pid in d.pids:
        for t in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{t}/comm") as f:
                names.add(f.read().strip())
    return names


class Load:
    """A bulk transfer from A to B for as long as the block runs, at most `secs`. With a server of its own: one that lost its client is busy
    for a while."""

    def __init__(self, d, secs):
        self.cmd = ["ip", "netns", "exec", NS["A"], "iperf3", "-c", d.addr["TB"], "-p", load.PORT, "-t", str(secs)]

    def __enter__(self):
        self.server = load.Server().__enter__()
        self.p = subprocess.Popen(self.cmd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1)  # past the slow start

    def __exit__(self, *_):
        self.p.terminate()
        self.p.wait()
        self.server.__exit__()


def record(d, data, secs, graph):
    args = ["--call-graph", graph] if graph else []
    with Load(d, secs + 5):
        sh(["perf", "record", "-q", "-F", HERTZ, "-e", "cpu-clock", "-a", *args, "-o", data, "--", "sleep", str(secs)])


def text(spec, topo, out):
    """Writes the profile as text to `out`."""
    d = Driver(spec, topo, "std", 1420)
    cpu.wait_quiet(60)
    try:
        d.up()
        with open(out, "w") as f:
            with load.Server():
                base = load.tcp(d, 5, 1)
            f.write(f"{spec} {topo}: tcp1 {base['gbps']:.3f} Gbit/s, daemon CPU {base['cpu_gb']:.2f} s/GB, all CPU {base['sys_gb']:.2f} s/GB\n")
            data = f"{d.w}/perf.data"
            record(d, data, 5, None)
            comms = ",".join(sorted(threads_of(d)))
            for title, args in (("by command", ["--sort", "comm"]), ("by command and library", ["--sort", "comm,dso"]),
                                ("daemons: by symbol", ["--sort", "dso,symbol", "--comms", comms])):
                r = sh(["perf", "report", "-i", data, "--stdio", "-q", "--percent-limit", "0.6", *args], check=False)
                f.write(f"\n## {title}\n" + "\n".join(line for line in r.stdout.splitlines() if line.strip())[:6000] + "\n")
            for role, p in d.pids:
                with Load(d, 6):
                    r = sh(["timeout", "-s", "INT", "2", "strace", "-f", "-c", "-p", str(p)], check=False)
                f.write(f"\n## strace -c of {role} for 2 s (strace itself slows it)\n" + "\n".join(r.stderr.splitlines()[-40:]) + "\n")
    finally:
        d.down()


def flames(spec, topo, out, secs):
    """Writes folded stacks of the daemons to `out`: what a flame graph is drawn from."""
    d = Driver(spec, topo, "std", 1420)
    try:
        d.up()
        data = f"{d.w}/perf.data"
        record(d, data, secs, "fp")
        stacks = folded(data, threads_of(d))
        if not stacks:
            raise SystemExit("bench: perf saw nothing of the daemons")
        with open(out, "w") as f:
            f.writelines(f"{k} {v}\n" for k, v in sorted(stacks.items()))
        os.remove(data)
    finally:
        d.down()
    return sum(stacks.values())
