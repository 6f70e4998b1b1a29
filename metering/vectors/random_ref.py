#!/usr/bin/env python3
"""Random cases through povf_ref.py, extremes included, for the differential test of the crate.

    python3 random_ref.py SEED CASES > random_vectors.json
    POVF_RANDOM=/path/to/other.json cargo test -p netflow-metering --test differential
"""
import json
import random
import sys

import povf_ref as p

U64 = 2 ** 64 - 1


def size(r):
    return r.choice((0, 1, U64, r.randrange(U64), r.randrange(1 << 40), r.randrange(1 << 40), r.randrange(1 << 30)))


def near(r, x):
    """a count close to x, around every tolerance of the rules"""
    f = r.choice((0, 0, 0, 1000, 9_900, 10_100, 50_000, 190_000, 210_000, 990_000, r.randrange(1_000_000)))
    return min(U64, max(0, x + r.choice((-1, 1)) * (x * f // 1_000_000 + r.choice((0, 0, 65_535, 65_536, 65_537)))))


def settle(r):
    k = r.randrange(0, 9)
    up, down = size(r), size(r)
    claims = []
    for _ in range(k + 2):
        side = lambda x: (r.randrange(1 << 40), near(r, x) if r.random() < .8 else size(r), r.randrange(1 << 32) if r.random() < .2 else 0)
        claims.append(p.Claim(side(up), side(down)))
    prices = [r.choice((0, 2_000_000, r.randrange(U64))) for _ in range(k)]
    pp = r.choice((0, 10_000_000, U64))
    au, ad = near(r, up), near(r, down)
    flags = [r.choice((0, 0, 0, 1, 16)) for _ in range(k + 2)] if r.random() < .3 else []
    promo = r.random() < .1
    out = p.settle_flow(pp, prices, claims, au, ad, promo, flags)
    return {"claims": [[*c.up, *c.down] for c in claims], "prices": prices, "price_provider": pp, "acked": [au, ad],
            "flags": flags, "promo": promo, "burn": str(out["burn"]), "v": [out["v_provider"], out["v_initiator"]],
            "effective": str(out["effective_bytes"]), "counted": str(out["counted_bytes"]),
            "parts": [[q["hop"], str(q["bytes"]), str(q["fee"]), q["coef"], str(q["weight"])] for q in out["parts"]]}


def reward(r):
    dues = []
    for i in range(r.randrange(1, 9)):
        fee = r.choice((0, 1, r.randrange(1 << 70), r.randrange(1 << 133)))
        dues.append(p.NodeDue(str(i), r.choice(("EN", "CN", "RN")), fee, p.mul_ppm(fee, r.randrange(p.PPM + 1)), r.randrange(1 << r.choice((1, 60, 90, 128)))))
    price, allow = r.choice((1, p.ATTO, r.randrange(1, 1 << 127))), r.randrange(1 << r.choice((1, 60, 90, 127)))
    out = p.fair_reward(dues, price, allow)
    return {"dues": [[d.role, str(d.fee), str(d.weight), str(d.pledge)] for d in dues], "price": str(price), "allow": str(allow),
            "rewards": [[str(o[x]) for x in ("gross", "pool", "service", "net")] for o in out["rewards"]],
            "totals": [str(out[x]) for x in ("minted", "pool", "service", "unminted_carry", "cut_by_pledge")]}


def verdict(r):
    level = r.choice((0, 0, 1, 3, 10, 25, 57))
    base = [r.randrange(1 << 64) for _ in range(r.randrange(0, 40))]
    hops = []
    for _ in range(r.randrange(0, 5)):
        recs = [x for x in base if r.random() < .9]
        if r.random() < .3 and recs:
            recs += [r.choice(recs) if r.random() < .5 else r.randrange(1 << 64)]
        r.shuffle(recs)
        exact = r.random() < .7
        n = len(recs) << level if exact else r.choice((0, U64, r.randrange(1 << 40)))
        b = sum(p.rec_len(x) for x in recs) << level if exact else size(r)
        hops.append((min(n, U64), min(b, U64), recs))
        base = recs
    out = p.verdict(hops, level)
    return {"level": level, "hops": hops, **out}


def numbers(r):
    a, b = size(r), size(r) if r.random() < .3 else 0
    b = b or near(r, a)
    e = r.randrange(1 << r.choice((10, 60, 66, 68)))
    return {"a": a, "b": b, "lg": p.lg(a), "ld": p.ld(a, b), "ldb": p.ldb(a, b), "aae": p.aae(a, b), "aae_b": p.aae_b(a, b),
            "over": p.dc_over(p.ld(a, b)), "step": p.dc_step(p.ld(a, b)), "dup": p.dc_dup(a, b), "twh": p.twh(a, b),
            "level": p.sample_level(a), "curve": [str(e), str(p.curve_cumulative(e))]}


def main():
    r = random.Random(int(sys.argv[1]))
    n = int(sys.argv[2])
    json.dump({f.__name__: [f(r) for _ in range(n)] for f in (settle, reward, verdict, numbers)}, sys.stdout, separators=(",", ":"))
    print()


if __name__ == "__main__":
    main()
