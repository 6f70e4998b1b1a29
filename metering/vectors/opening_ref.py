#!/usr/bin/env python3
"""Vectors for what povf_ref.py leaves open: the bytes of an Opening, the choice of opened records, the liability a
voucher states, the payout leaf of an epoch.  Written from docs/spec/povf.md, standard library and povf_ref.py only.

    python3 opening_ref.py vectors OUT.json | check IN.json
"""
import json
import sys

import povf_ref as p


def chosen(kflow, samples):
    """the eight records with the smallest SipHash under H("povf/open-key", K_flow)[:16]"""
    key = p.H("povf/open-key", kflow)[:16]
    ranked = sorted({(p.siphash24(key, p.u64(r)), r) for r in samples})
    return [r for _, r in ranked[:8]]


def drawn(kflow, n):
    """four leaves whatever was sampled: SipHash under the same key of u64(0..3), modulo the number of leaves"""
    key = p.H("povf/open-key", kflow)[:16]
    return {p.siphash24(key, p.u64(i)) % n for i in range(4)} if n else set()


def opening(kflow, level, leaf, index, leaves, recs):
    samples = p.sample(kflow, recs, level)
    wanted = chosen(kflow, samples)
    hashes = p.record_leaves(recs)
    at = sorted({recs.index(r) // p.LEAF_RECORDS for r in wanted} | drawn(kflow, len(hashes)))
    slot_hashes = [p.leaf_hash(l) for l in leaves]
    b = p.u8(1) + p.u8(3) + p.u8(level) + p.u8(len(at)) + leaf
    b += p.u32(index) + p.u32(len(leaves)) + b"".join(p.merkle_path(slot_hashes, index))
    b += p.u16(len(samples)) + b"".join(p.u64(r) for r in samples)
    for i in at:
        b += p.u32(i) + b"".join(p.u64(r) for r in recs[i * 16:i * 16 + 16]) + b"".join(p.merkle_path(hashes, i))
    return b, wanted


def liability(price_provider, relay_prices, up, down):
    cap = lambda x, ppm: x * (p.PPM + ppm) // p.PPM
    carried = cap(up, p.RETX_MAX_PPM) + cap(down, p.RETX_MAX_PPM)
    return cap(down, p.LOSS_SHARE_PPM) * price_provider + carried * sum(relay_prices)


def build():
    slot, fid = 318150, p.drbg("opening-flow", 0, 16)
    recs = p.gen_records("opening", 1000)
    kflow = p.flow_key(p.slot_key(7, slot, p.drbg("beacon", 0)), fid, 1)
    size = sum(p.rec_len(r) for r in recs)
    leaf = p.slot_leaf(fid, 1, 2, slot, len(recs), size, 3, p.record_root(recs))
    others = [p.slot_leaf(p.drbg("other", i, 16), 0, 1, slot, i, i * 100, 0, p.record_root([])) for i in range(4)]
    leaves = sorted(others + [leaf], key=lambda l: l[:17])
    index = leaves.index(leaf)
    level = p.sample_level(len(recs))
    data, wanted = opening(kflow, level, leaf, index, leaves, recs)
    node = p.drbg("node", 0)
    return {"slot": slot, "flow_key": kflow.hex(), "level": level, "n_records": len(recs), "seed": "opening",
            "chosen": [f"{r:016x}" for r in wanted],
            "slot_root_msg": p.slot_root_msg(slot, leaves, node).hex(), "opening": data.hex(),
            "liability": [[str(x) for x in (pp, up, down)] + [[str(x) for x in rp], str(liability(pp, rp, up, down))]
                          for pp, rp, up, down in ((10**7, [2 * 10**6] * 2, 5 * 10**7, 10**9), (1, [], 0, 0),
                                                   (3, [1, 2, 3], 999, 1001), (0, [7], 2**63, 2**63))],
            "payout_leaf": [[t, str(g), p.leaf_hash(node + p.u8(t) + p.u128(g)).hex()]
                            for t, g in ((0, 0), (1, 6255 * 10**15), (2, 2**128 - 1))],
            "node": node.hex()}


if __name__ == "__main__":
    if sys.argv[1] == "vectors":
        with open(sys.argv[2], "w") as f:
            json.dump(build(), f, indent=1, sort_keys=True)
            f.write("\n")
    else:
        with open(sys.argv[2]) as f:
            assert json.load(f) == build()
        print("ok")
