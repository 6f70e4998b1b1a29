"""Who uses the CPUs: the daemons, this machine as a whole, and strangers who spoil a measurement."""
import os
import time

HZ = os.sysconf("SC_CLK_TCK")


def fields(pid):
    with open(f"/proc/{pid}/stat") as f:
        return f.read().rsplit(")", 1)[1].split()


def of_process(pid):
    """User and system seconds of a process so far; 0 when it is gone."""
    try:
        f = fields(pid)
    except OSError:
        return 0.0
    return (int(f[11]) + int(f[12])) / HZ


def rss_mb(pid):
    try:
        with open(f"/proc/{pid}/status") as f:
            for line in f:
                if line.startswith("VmRSS"):
                    return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def machine():
    """(busy, stolen, all) CPU seconds of all cores since boot."""
    with open("/proc/stat") as f:
        v = [int(x) for x in f.readline().split()[1:]]
    return (v[0] + v[1] + v[2] + v[5] + v[6]) / HZ, v[7] / HZ, sum(v[:8]) / HZ


def strangers(own):
    """CPU seconds so far of user processes that are neither descendants of this program, nor the daemons in `own`, nor kernel threads:
    {pid: seconds, with those of children that ended}."""
    parent, used = {}, {}
    for d in filter(str.isdigit, os.listdir("/proc")):
        try:
            f = fields(d)
        except OSError:
            continue
        parent[int(d)] = int(f[1])
        used[int(d)] = sum(int(x) for x in f[11:15]) / HZ
    mine = set(own) | {os.getpid()}

    def ours(p):
        while p > 2:
            if p in mine:
                return True
            p = parent.get(p, 0)
        return p == 2

    waiting = set()  # a shell that waits for us does not count: the time of its children is ours
    p = os.getpid()
    while p > 0:
        waiting.add(p)
        p = parent.get(p, 0)
    return {p: c for p, c in used.items() if not ours(p) and p not in waiting}


def strangers_share(before, after, secs):
    """Cores that strangers used in the mean."""
    return sum(max(0.0, c - before.get(p, 0.0)) for p, c in after.items()) / max(0.1, secs)


def wait_quiet(longest=900):
    """Waits until nobody else uses the CPUs. Returns the busy share seen last, of all cores."""
    start = time.monotonic()
    while True:
        a = machine()
        time.sleep(0.7)
        b = machine()
        share = (b[0] - a[0]) / max(0.01, b[2] - a[2])
        if share < 0.06 or time.monotonic() - start > longest:
            return share
        time.sleep(3)
