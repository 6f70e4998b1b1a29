"""Network namespaces A, B and (topology relay) R, joined by veth."""
import fcntl
import os
import subprocess
import tempfile

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(os.path.dirname(HERE))
TOOLS = os.environ.get("VPNBENCH_TOOLS", f"{ROOT}/target/bench-tools/release")
SCRATCH = os.environ.get("VPNBENCH_SCRATCH", os.path.join(tempfile.gettempdir(), "netflow-bench"))
STATE = f"{SCRATCH}/state"
NS = {"A": "nfbA", "B": "nfbB", "R": "nfbR"}


def sh(cmd, check=True, **kw):
    r = subprocess.run(cmd, shell=isinstance(cmd, str), capture_output=True, text=True, **kw)
    if check and r.returncode:
        said = (r.stderr.strip() or r.stdout.strip())[-400:]
        raise RuntimeError(f"{cmd if isinstance(cmd, str) else cmd[-1]}: exit code {r.returncode}: {said}")
    return r


def inside(n, *cmd, **kw):
    return sh(["ip", "netns", "exec", NS[n], *cmd], **kw)


def alone():
    """Only one run at a time: the namespaces have fixed names. The lock is held until this program ends."""
    os.makedirs(SCRATCH, exist_ok=True)
    f = open(f"{SCRATCH}/lock", "w")
    try:
        fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("bench: another run is going on; waiting for it", flush=True)
        fcntl.flock(f, fcntl.LOCK_EX)
    return f


def remove():
    have = sh("ip netns list").stdout.split()
    for n in NS.values():
        if n in have:
            sh(["ip", "netns", "del", n], check=False)


def build(topo, underlay):
    """Makes the namespaces. Returns the addresses as a driver gets them."""
    remove()
    for k in ("A", "B") + (("R",) if topo == "relay" else ()):
        sh(["ip", "netns", "add", NS[k]])
        sh(["ip", "-n", NS[k], "link", "set", "lo", "up"])
        inside(k, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=0", "net.ipv4.ip_forward=0", check=False)
    if topo == "direct":
        cables = [("A", "ethA", "10.10.0.1", "B", "ethB", "10.10.0.2")]
        env = dict(UA="10.10.0.1", UB="10.10.0.2", RA="", RB="")
    else:
        cables = [("A", "ethA", "10.10.1.1", "R", "ethRA", "10.10.1.254"), ("B", "ethB", "10.10.2.1", "R", "ethRB", "10.10.2.254")]
        env = dict(UA="10.10.1.1", UB="10.10.2.1", RA="10.10.1.254", RB="10.10.2.254")
    for a, dev_a, ip_a, b, dev_b, ip_b in cables:
        sh(f"ip link add {dev_a} netns {NS[a]} mtu 1500 type veth peer name {dev_b} netns {NS[b]} mtu 1500")
        for n, dev, ip in ((a, dev_a, ip_a), (b, dev_b, ip_b)):
            sh(f"ip -n {NS[n]} addr add {ip}/24 dev {dev}")
            sh(f"ip -n {NS[n]} link set {dev} up")
            if underlay == "wire":  # packets cross one by one: software segmentation before the cable, GRO after it
                inside(n, "ethtool", "-K", dev, "tso", "off", "gso", "off", "tx-udp-segmentation", "off", check=False)
                inside(n, "ethtool", "-K", dev, "gro", "on", check=False)
    if topo == "relay":  # A and B never reach each other but through what runs in R
        inside("R", "nft", "add table inet vb; add chain inet vb f { type filter hook forward priority 0; }; "
               "add rule inet vb f iifname ethR* oifname ethR* drop")
    return env
