"""The parts of lab/bench/bench.py: world (namespaces), driver, load, cpu, measure, report, profile."""
