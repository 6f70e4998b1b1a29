#!/usr/bin/env python3
"""Writes curve_digests.json: keccak-256 over every T(n) of both curves (32 bytes each, big-endian), so that a second
implementation can show that it agrees on all 1,201 years and 6,001 EB and not only on the 37 listed points; and over
5,000 random block rewards and traffic ceilings. The same numbers econ_vectors.py compares with 150-digit arithmetic.
usage: python3 extend.py out.json   (econ_vectors.py beside it; needs mpmath)"""
import json, os, random, sys
out = sys.argv[1]
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.argv = ["econ_vectors.py", os.devnull]
stdout, sys.stdout = sys.stdout, open(os.devnull, "w")
import econ_vectors as e
sys.stdout = stdout
w = lambda x: x.to_bytes(32, "big")
digest = lambda xs: e.keccak256(b"".join(map(w, xs))).hex()
# A walk of traffic epochs from a linear congruential generator that any language can repeat.
x, B, ceilings = 1, 0, []
for _ in range(1000):
    x = (x * 6364136223846793005 + 1442695040888963407) % 2**64
    d = x % (3 * 10**17)
    ceilings.append(e.traffic_reward(B, d)); B += d
rewards = [e.block_reward(h) for y in range(0, 400) for h in (y * e.BLOCKS_PER_YEAR + 1, y * e.BLOCKS_PER_YEAR + 2, (y + 1) * e.BLOCKS_PER_YEAR)]
json.dump(dict(
    block_T=dict(last=1200, keccak=digest(e.BLK.T(n) for n in range(1201))),
    traffic_T=dict(last=6000, keccak=digest(e.TRF.T(n) for n in range(6001))),
    block_rewards=dict(years=400, per_year="first, second and last block", keccak=digest(rewards)),
    traffic_walk=dict(epochs=1000, generator="x=1; x = x*6364136223846793005+1442695040888963407 mod 2^64; bytes = x mod 3e17",
                      counted=str(B), sum=str(sum(ceilings)), keccak=digest(ceilings))), open(out, "w"), indent=1)
