"""The load, the same for every driver: ping, iperf3, UDP at the highest rate with less than 1 % loss."""
import json
import re
import signal
import subprocess
import time

from . import cpu
from .world import NS, TOOLS, sh

PORT = "5301"


def percentile(values, p):
    v = sorted(values)
    return v[min(len(v) - 1, int(round(p / 100 * (len(v) - 1))))] if v else float("nan")


class Server:
    """iperf3's server in B."""

    def __enter__(self):
        self.p = subprocess.Popen(["ip", "netns", "exec", NS["B"], "iperf3", "-s", "-p", PORT], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):  # until it listens
            if PORT in sh(["ip", "netns", "exec", NS["B"], "ss", "-Hltn", f"sport = :{PORT}"]).stdout:
                break
            time.sleep(0.02)
        return self

    def __exit__(self, *_):
        self.p.terminate()
        self.p.wait()


def ping_start(addr, n, interval):
    return subprocess.Popen(["ip", "netns", "exec", NS["A"], "ping", "-n", "-c", str(n), "-i", str(interval), "-W", "1", addr],
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def ping_times(p, timeout):
    """Round trips in ms of the answers that came."""
    try:
        out, _ = p.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        p.send_signal(signal.SIGINT)
        out, _ = p.communicate()
    return [float(x) for x in re.findall(r"time=([\d.]+)", out)]


def tcp(d, secs, streams, reverse=False):
    cmd = ["ip", "netns", "exec", NS["A"], "iperf3", "-c", d.addr["TB"], "-p", PORT, "-t", str(secs), "-P", str(streams), "-J"]
    d0, m0 = d.cpu(), cpu.machine()
    r = sh(cmd + ["-R"] * reverse, check=False, timeout=secs + 30)
    d1, m1 = d.cpu(), cpu.machine()
    try:
        end = json.loads(r.stdout)["end"]
        received, sent = end["sum_received"], end["sum_sent"]
    except (json.JSONDecodeError, KeyError):
        raise RuntimeError("iperf3: " + (r.stdout[-200:] or r.stderr[-200:])) from None
    gb = received["bytes"] / 1e9 or float("inf")
    return dict(gbps=received["bits_per_second"] / 1e9, retr=sent.get("retransmits", 0), cpu_gb=(d1[0] - d0[0]) / gb,
                relay_gb=(d1[1] - d0[1]) / gb, sys_gb=(m1[0] - m0[0]) / gb, steal=(m1[1] - m0[1]) / max(0.01, m1[2] - m0[2]))


def udp(d, length, probe_secs):
    r = sh([f"{TOOLS}/udpbench", "--ns-a", NS["A"], "--ns-b", NS["B"], "--src", d.addr["TA"], "--dst", d.addr["TB"],
            "--len", str(length), "--search", "--probe-secs", str(probe_secs)], timeout=90)
    return json.loads(r.stdout)
