"""The harness's own arithmetic: no root, no network."""
import contextlib
import io
import os
import subprocess
import unittest

from harness import flamegraph, load, report, world

DRIVERS = f"{world.HERE}/drivers"


def row(driver, topo="direct", ok="1", **values):
    r = dict(driver=driver, topo=topo, opt="std", ok=ok, err="", round="1")
    r.update({k: str(v) for k, v in values.items()})
    return r


def printed(rows, topo):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        report.print_bounds(report.Table(rows), topo)
    return out.getvalue()


class Report(unittest.TestCase):
    def test_a_median_is_of_the_rounds_that_did_not_fail(self):
        t = report.Table([row("x", tcp1_gbps=1), row("x", tcp1_gbps=9), row("x", tcp1_gbps=2), row("x", ok="0", tcp1_gbps=100)])
        self.assertEqual(t.median("x", "tcp1_gbps"), 2)
        self.assertEqual(t.rounds("x"), 3)

    def test_the_best_peer_is_never_a_yardstick_nor_ourselves(self):
        t = report.Table([row(d, tcp1_gbps=v, tcp1_cpu_gb=v) for d, v in
                          [("rawtun:gso:none", 0.1), ("fastd:null", 0.2), ("netflow", 0.3), ("a", 5), ("b", 7)]])
        self.assertEqual(t.best("tcp1_gbps", max), ("b", 7))
        self.assertEqual(t.best("tcp1_cpu_gb", min), ("a", 5))

    def test_a_bound_that_is_missed_says_so_and_one_without_its_yardstick_was_not_measured(self):
        rows = [row("netflow", tcp1_gbps=5, tcp4_gbps=4, tcp1_cpu_gb=2), row("rawtun:gso:lc-aes", tcp1_gbps=5, tcp4_gbps=5),
                row("peer", tcp1_gbps=2, tcp4_gbps=2, tcp1_cpu_gb=6)]
        text = printed(rows, "direct")
        self.assertIn("| netflow | TCP 1 stream | 5.00 | rawtun:gso:lc-aes 5.00 | 1.00 | >= 0.85 | yes |", text)
        self.assertIn("| netflow | TCP 4 streams | 4.00 | rawtun:gso:lc-aes 5.00 | 0.80 | >= 0.85 | NO |", text)
        self.assertIn("| netflow | CPU per GB | 2.00 | peer 6.00 | 0.33 | <= 0.4 | yes |", text)
        self.assertIn("64 B packets/s | - | rawtun:gso:lc-aes | - | 0.8 | not measured |", text)

    def test_a_relay_is_compared_with_one_of_the_two_ends(self):
        text = printed([row("netflow", "relay", tcp1_gbps=1, tcp1_cpu_gb=5, tcp1_relay_gb=1)], "relay")
        self.assertIn("CPU per GB of the relay | 1.00 | one end 2.00 | 0.50 | <= 0.5 | yes |", text)

    def test_each_suite_has_the_yardstick_of_its_cipher(self):
        self.assertEqual(report.yardstick("netflow", "direct"), "rawtun:gso:lc-aes")
        self.assertEqual(report.yardstick("netflow:chacha", "relay"), "rawtun:gso:lc-chacha:fwd")


class Parts(unittest.TestCase):
    def test_percentiles_are_values_that_were_measured(self):
        self.assertEqual([load.percentile(range(101), p) for p in (0, 50, 99, 100)], [0, 50, 99, 100])

    def test_a_flame_graph_has_a_box_as_wide_as_its_share(self):
        image = flamegraph.svg(["d;a;b 30\n", "d;c <x> 10\n"], "t")
        self.assertIn("a: 75.00 %, 30 samples", image)
        self.assertIn("c &lt;x&gt;: 25.00 %", image)
        self.assertIn(f'width="{flamegraph.WIDTH * 3 / 4:.1f}"', image)

    def test_every_driver_says_what_it_is_and_where_it_runs(self):
        for name in sorted(os.listdir(DRIVERS)):
            if name in ("lib.sh", "wg-common.sh"):
                continue
            script = f'set --; . {DRIVERS}/lib.sh; . {DRIVERS}/{name}; echo "$DESC"; echo "$TOPOS"; for t in $TOPOS; do type -t up_$t; done'
            env = dict(os.environ, NSA="", NSB="", NSR="", UA="", UB="", RA="", RB="", TA="", TB="", TR="", W="/nowhere", STATE="/nowhere",
                       TOOLS="/nowhere", DRIVERS=DRIVERS, MTU="1420")
            said = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True)
            lines = said.stdout.split("\n")
            self.assertEqual(said.returncode, 0, f"{name}: {said.stderr}")
            self.assertTrue(lines[0], name)
            topos = lines[1].split()
            self.assertTrue(topos and set(topos) <= {"direct", "relay"}, name)
            self.assertEqual(lines[2:2 + len(topos)], ["function"] * len(topos), name)


if __name__ == "__main__":
    unittest.main()
