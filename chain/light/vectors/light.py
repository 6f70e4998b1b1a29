#!/usr/bin/env python3
"""A second light client, written from docs/spec/chain.md alone, and the vectors both are held to. Needs nothing but Python.
Run: python3 chain/light/vectors/light.py         checks light.json and header_rlp.txt with this client
     python3 chain/light/vectors/light.py write   makes them again"""
import hashlib
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).parent

# --- keccak-256 (FIPS 202 permutation, original padding 0x01) -------------------------------------------------------------
M = (1 << 64) - 1


def rol(x, n):
    return (x << n | x >> (64 - n)) & M if n else x


def keccak_f(a):
    r = 1
    for _ in range(24):
        c = [a[x][0] ^ a[x][1] ^ a[x][2] ^ a[x][3] ^ a[x][4] for x in range(5)]
        d = [c[(x + 4) % 5] ^ rol(c[(x + 1) % 5], 1) for x in range(5)]
        a = [[a[x][y] ^ d[x] for y in range(5)] for x in range(5)]
        x, y, current = 1, 0, a[1][0]
        for t in range(24):
            x, y = y, (2 * x + 3 * y) % 5
            current, a[x][y] = a[x][y], rol(current, (t + 1) * (t + 2) // 2 % 64)
        for y in range(5):
            row = [a[x][y] for x in range(5)]
            for x in range(5):
                a[x][y] = row[x] ^ (~row[(x + 1) % 5] & row[(x + 2) % 5])
        for j in range(7):
            r = (r << 1 ^ (r >> 7) * 0x71) % 256
            if r & 2:
                a[0][0] ^= 1 << ((1 << j) - 1)
    return a


def keccak(data):
    rate, a = 136, [[0] * 5 for _ in range(5)]
    data = bytearray(data + b"\1" + bytes(-(len(data) + 1) % rate))
    data[-1] |= 0x80
    for block in range(0, len(data), rate):
        for i in range(rate // 8):
            a[i % 5][i // 5] ^= int.from_bytes(data[block + 8 * i:block + 8 * i + 8], "little")
        a = keccak_f(a)
    return b"".join(a[i % 5][i // 5].to_bytes(8, "little") for i in range(4))


# --- RLP ------------------------------------------------------------------------------------------------------------------
class Bad(Exception):
    """Refused; the argument is the step of the specification, "Light client"."""


def head(n, base):
    size = n.to_bytes((n.bit_length() + 7) // 8, "big")
    return bytes([base + n]) if n < 56 else bytes([base + 55 + len(size)]) + size


def rlp(x):
    if isinstance(x, int):
        x = x.to_bytes((x.bit_length() + 7) // 8, "big")
    if isinstance(x, bytes):
        return x if len(x) == 1 and x[0] < 0x80 else head(len(x), 0x80) + x
    body = b"".join(map(rlp, x))
    return head(len(body), 0xC0) + body


def item(b):
    """First item of b and the rest."""
    if not b:
        raise ValueError
    first = b[0]
    if first < 0x80:
        return b[:1], b[1:]
    base = 0x80 if first < 0xC0 else 0xC0
    n, at = first - base, 1
    if n > 55:
        at = 1 + n - 55
        n = int.from_bytes(b[1:at], "big")
    if len(b) < at + n:
        raise ValueError
    body, rest = b[at:at + n], b[at + n:]
    if base == 0x80:
        return body, rest
    out = []
    while body:
        one, body = item(body)
        out.append(one)
    return out, rest


def decode(b):
    """Canonical or nothing: what was read is encoded once more and must be the same."""
    out, rest = item(b)
    if rest or rlp(out) != b:
        raise ValueError
    return out


def number(b, bits):
    if not isinstance(b, bytes) or b[:1] == b"\0" or len(b) * 8 > bits:
        raise ValueError
    return int.from_bytes(b, "big")


def fixed(b, n):
    if not isinstance(b, bytes) or len(b) != n:
        raise ValueError
    return b


# --- ed25519 (RFC 8032), strict -------------------------------------------------------------------------------------------
P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def add(a, b):
    (x1, y1, z1, t1), (x2, y2, z2, t2) = a, b
    e, f = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    c, d = 2 * t1 * t2 * D % P, 2 * z1 * z2 % P
    e, f, g, h = f - e, d - c, d + c, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(n, p):
    q = (0, 1, 1, 0)
    while n:
        if n & 1:
            q = add(q, p)
        p, n = add(p, p), n >> 1
    return q


def root(y, sign):
    xx = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(xx, (P + 3) // 8, P)
    if (x * x - xx) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - xx) % P or (x == 0 and sign):
        return None
    return P - x if x & 1 != sign else x


BY = 4 * pow(5, P - 2, P) % P
BX = root(BY, 0)
BASE = (BX, BY, 1, BX * BY % P)


def pack(p):
    x, y, z, _ = p
    i = pow(z, P - 2, P)
    return (y * i % P | (x * i % P & 1) << 255).to_bytes(32, "little")


def unpack(b):
    n = int.from_bytes(b, "little")
    y, sign = n & (1 << 255) - 1, n >> 255
    x = root(y, sign) if y < P else None
    return None if x is None else (x, y, 1, x * y % P)


def secret(seed):
    h = bytearray(hashlib.sha512(seed).digest())
    h[0] &= 248
    h[31] = h[31] & 127 | 64
    return int.from_bytes(h[:32], "little"), bytes(h[32:])


def public(seed):
    return pack(times(secret(seed)[0], BASE))


def challenge(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % L


def sign(seed, text):
    a, prefix = secret(seed)
    r = challenge(prefix, text)
    big_r = pack(times(r, BASE))
    s = (r + challenge(big_r, public(seed), text) * a) % L
    return big_r + s.to_bytes(32, "little")


def small(p):
    """Of small order: 8 times the point is the neutral element."""
    x, y, z, _ = times(8, p)
    return x == 0 and (y - z) % P == 0


def verify(key, text, signature):
    a, r, s = unpack(key), unpack(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L or small(a) or small(r):
        return False
    return pack(add(r, times(challenge(signature[:32], key, text), a))) == pack(times(s, BASE))


# --- structures -----------------------------------------------------------------------------------------------------------
EMPTY_ROOT, NO_CODE = keccak(rlp(b"")), keccak(b"")
SIZES = [32, 32, 20, 32, 32, 32, 256, 256, 64, 64, 64, 64, None, 32, 8, 64, 32, 64, 64, 32, 32]
NUMBERS = {7, 8, 9, 10, 11, 15, 17, 18}


def header(b):
    if len(b) > 1024:
        raise ValueError
    f = decode(b)
    if not isinstance(f, list) or len(f) != 21:
        raise ValueError
    f = [number(x, SIZES[i]) if i in NUMBERS else fixed(x, SIZES[i] if SIZES[i] else len(x)) for i, x in enumerate(f)]
    fine = (f[1] == keccak(rlp([])) and f[7] == 0 and f[14] == bytes(8) and f[16] == EMPTY_ROOT and f[17] == f[18] == 0
            and f[19] == bytes(32) and f[20] == hashlib.sha256(b"").digest() and f[10] <= f[9] and len(f[12]) <= 256)
    extra = decode(f[12])
    if not fine or not isinstance(extra, list) or len(extra) != 7:
        raise ValueError
    number(extra[0], 32), number(extra[1], 64), number(extra[2], 32)
    fixed(extra[3], 96 if f[8] else 0)
    for x in extra[4:]:
        fixed(x, 32)
    return {"hash": keccak(b), "parent": f[0], "root": f[3], "number": f[8], "time": f[11], "set": extra[5], "next": extra[6]}


def witness_set(b):
    seats = decode(b)
    if len(b) > 2304 or not isinstance(seats, list) or not 1 <= len(seats) <= 21:
        raise ValueError
    for seat in seats:
        if not isinstance(seat, list) or len(seat) != 3:
            raise ValueError
        for x, n in zip(seat, (20, 32, 48)):
            fixed(x, n)
    if any(len({seat[i] for seat in seats}) != len(seats) for i in range(3)):
        raise ValueError
    return seats


def certificate(b):
    f = decode(b)
    if len(b) > 2048 or not isinstance(f, list) or len(f) != 4 or not isinstance(f[3], list) or len(f[3]) > 21:
        raise ValueError
    out = {"height": number(f[0], 64), "round": number(f[1], 32), "hash": fixed(f[2], 32), "signatures": []}
    for pair in f[3]:
        if not isinstance(pair, list) or len(pair) != 2:
            raise ValueError
        out["signatures"].append((number(pair[0], 8), fixed(pair[1], 64)))
    return out


def vote_text(chain, height, round_, kind, block):
    return (b"NFC/VOTE/v1" + chain[0].to_bytes(8, "big") + chain[1] + height.to_bytes(8, "big") + round_.to_bytes(4, "big")
            + bytes([kind]) + (b"\0" if block is None else b"\1" + block))


def proposal_text(chain, height, round_, pol_round, block):
    return (b"NFC/PROPOSAL/v1" + chain[0].to_bytes(8, "big") + chain[1] + height.to_bytes(8, "big") + round_.to_bytes(4, "big")
            + pol_round.to_bytes(8, "big", signed=True) + block)


def certified(chain, c, seats):
    places = [seat for seat, _ in c["signatures"]]
    if places != sorted(set(places)) or any(place >= len(seats) for place in places):
        return False
    if len(places) < 2 * len(seats) // 3 + 1:
        return False
    text = vote_text(chain, c["height"], c["round"], 1, c["hash"])
    return all(verify(seats[place][1], text, signature) for place, signature in c["signatures"])


# --- the client -----------------------------------------------------------------------------------------------------------
class Client:
    def __init__(self, chain, first, seats):
        self.chain, self.base, self.set = chain, header(first), seats
        assert keccak(rlp(seats)) == self.base["next"]

    def update(self, t, h, c, signers=None, following=None):
        try:
            h, c = header(h), certificate(c)
        except ValueError:
            raise Bad(1)
        if c["hash"] != h["hash"] or c["height"] != h["number"]:
            raise Bad(1)
        base = self.base
        if h["hash"] == base["hash"]:
            return "known"
        if h["number"] < base["number"] or t - base["time"] >= 518_400 or h["time"] > t + 30:
            raise Bad(3)
        if h["number"] > base["number"] and h["time"] <= base["time"]:
            raise Bad(3)
        if h["number"] == base["number"] + 1 and h["parent"] != base["hash"]:
            raise Bad(3)
        seats = self.set
        try:
            if h["set"] != base["next"]:
                raise ValueError
            if seats is None:
                seats = witness_set(signers or b"")
                if keccak(signers) != h["set"]:
                    raise ValueError
        except ValueError:
            raise Bad(4)
        if not certified(self.chain, c, seats):
            raise Bad(5)
        if h["number"] == base["number"]:
            raise Bad(6)
        if h["next"] != h["set"]:
            seats = None
            if following is not None:
                try:
                    seats = witness_set(following)
                    if keccak(following) != h["next"]:
                        raise ValueError
                except ValueError:
                    raise Bad(7)
        self.base, self.set = h, seats
        return "advanced"


def proven(root_hash, key, value, nodes):
    """Whether trie nodes lead from the root to `value` (None: to its absence)."""
    path = [n for b in key for n in (b >> 4, b & 15)]
    if len(nodes) > 65 or any(len(n) > 1024 for n in nodes):
        return False
    nodes, want = list(nodes), root_hash
    if root_hash == EMPTY_ROOT:
        return value is None and not nodes
    while True:
        if isinstance(want, bytes) and len(want) == 32:
            if not nodes or keccak(nodes[0]) != want:
                return False
            try:
                node = decode(nodes.pop(0))
            except ValueError:
                return False
        else:
            node = want
        if not isinstance(node, list) or len(node) not in (2, 17):
            return False
        if len(node) == 17:
            if not path:
                found = node[16] or None
                break
            want, path = node[path[0]], path[1:]
            if want == b"":
                found = None
                break
            continue
        nibbles = [n for b in node[0] for n in (b >> 4, b & 15)]
        leaf, nibbles = nibbles[0] & 2, nibbles[1 if nibbles[0] & 1 else 2:]
        if leaf:
            found = node[1] if nibbles == path else None
            break
        if path[:len(nibbles)] != nibbles:
            found = None
            break
        want, path = node[1], path[len(nibbles):]
    return not nodes and found == value


def account_proven(state_root, address, claim, nodes):
    nonce, balance, storage, code = claim
    absent = nonce == balance == 0 and storage == EMPTY_ROOT and code == NO_CODE
    return proven(state_root, keccak(address), None if absent else rlp([nonce, balance, storage, code]), nodes)


def slot_proven(storage_root, slot, value, nodes):
    return proven(storage_root, keccak(slot), rlp(value) if value else None, nodes)


# --- the vectors ----------------------------------------------------------------------------------------------------------
START = 1_790_000_000


def seat_set(first, n=21):
    return [[bytes([i] * 20), public(bytes([i] * 32)), bytes([i] * 48)] for i in range(first, first + n)]


SETS = {}


def the_set(first, n=21):
    return SETS.setdefault((first, n), seat_set(first, n))


def make_header(height, parent, signers, following, root_hash=EMPTY_ROOT, time=None, **change):
    extra = [0, height // 21, 0, bytes([1] * 96) if height else b"", bytes(32), keccak(rlp(signers)), keccak(rlp(following))]
    f = {"parent": parent, "ommers": keccak(rlp([])), "miner": bytes(20), "root": root_hash, "txs": EMPTY_ROOT,
         "receipts": EMPTY_ROOT, "bloom": bytes(256), "difficulty": 0, "number": height, "gas_limit": 300_000_000, "gas_used": 0,
         "time": START + 3 * height if time is None else time, "extra": rlp(extra), "mix": bytes(32), "nonce": bytes(8),
         "base_fee": 10**9, "withdrawals": EMPTY_ROOT, "blob_gas": 0, "excess": 0, "beacon": bytes(32),
         "requests": hashlib.sha256(b"").digest()}
    f.update(change)
    return rlp(list(f.values()))


def certify(chain, h, first, n, round_=0, kind=1, seats=None):
    info = header(h)
    text = vote_text(chain, info["number"], round_, kind, info["hash"])
    pairs = [[place, sign(bytes([first + place] * 32), text)] for place in (seats or range(n))]
    return rlp([info["number"], round_, info["hash"], pairs])


def trie(pairs):
    """Root and the proof of any key of a small trie, recursively."""
    def compact(nibbles, leaf):
        flag = 2 * leaf + len(nibbles) % 2
        nibbles = [flag] + ([] if len(nibbles) % 2 else [0]) + nibbles
        return bytes(nibbles[i] << 4 | nibbles[i + 1] for i in range(0, len(nibbles), 2))

    def build(entries, depth):
        if len(entries) == 1:
            path, value = entries[0]
            return [compact(path[depth:], 1), value]
        common = 0
        while all(e[0][depth + common] == entries[0][0][depth + common] for e in entries):
            common += 1
        if common:
            return [compact(entries[0][0][depth:depth + common], 0), build(entries, depth + common)]
        branch = [b""] * 17
        for nibble in range(16):
            below = [e for e in entries if e[0][depth] == nibble]
            if below:
                branch[nibble] = build(below, depth + 1)
        return branch

    def ref(node):
        return node if len(rlp(node_refs(node))) < 32 else keccak(rlp(node_refs(node)))

    def node_refs(node):
        if len(node) == 2:
            return [node[0], node[1] if isinstance(node[1], bytes) else inline(node[1])]
        return [inline(child) if isinstance(child, list) else child for child in node]

    def inline(node):
        encoded = rlp(node_refs(node))
        return node_refs(node) if len(encoded) < 32 else keccak(encoded)

    entries = [([n for b in keccak(key) for n in (b >> 4, b & 15)], value) for key, value in pairs]
    top = build(entries, 0)

    def proof(key):
        path, node, out, depth = [n for b in keccak(key) for n in (b >> 4, b & 15)], top, [], 0
        while isinstance(node, list):
            encoded = rlp(node_refs(node))
            if not out or len(encoded) >= 32:
                out.append(encoded)
            if len(node) == 17:
                node, depth = node[path[depth]], depth + 1
                continue
            nibbles = [n for b in node[0] for n in (b >> 4, b & 15)]
            leaf, nibbles = nibbles[0] & 2, nibbles[1 if nibbles[0] & 1 else 2:]
            if leaf or path[depth:depth + len(nibbles)] != nibbles:
                break
            node, depth = node[1], depth + len(nibbles)
        return out

    return keccak(rlp(node_refs(top))), proof


def steps(chain, genesis):
    one, two, few = the_set(1), the_set(30), the_set(60, 4)
    change = make_header(1_000, bytes(32), one, two)
    back = make_header(2_000, bytes(32), two, few)
    small_set = make_header(2_001, keccak(back), few, few)
    child = make_header(1, keccak(genesis), one, one)
    rival = make_header(1, keccak(genesis), one, one, time=START + 4)
    sk = lambda h, *a, **k: certify(chain, h, *a, **k)
    other_chain = (chain[0] + 1, chain[1])
    bad = bytearray(sk(child, 1, 15))
    bad[-1] ^= 0x10  # the scalar of the last signature is not canonical any more
    e = lambda s: rlp(s)
    # name, seconds after START, header, certificate, set, next set
    good = [
        ("no set of the child of the genesis is needed", 60, child, sk(child, 1, 15), None, None),
        ("the same header again", 60, child, sk(child, 1, 15), None, None),
        ("another certified block of the same height", 60, rival, sk(rival, 1, 15), None, None),
        ("an older header", 60, genesis, rlp([0, 0, keccak(genesis), []]), None, None),
        ("a change of the set, 999 headers on", 4_000, change, sk(change, 1, 21, round_=3), None, e(two)),
        ("the set that handed over signs once more", 4_000, make_header(1_001, keccak(change), one, one),
         sk(make_header(1_001, keccak(change), one, one), 1, 21), e(one), None),
        ("a change without the set that follows", 7_000, back, sk(back, 30, 15), None, None),
        ("its child without a set", 7_000, small_set, sk(small_set, 60, 3), None, None),
        ("its child with a wrong set", 7_000, small_set, sk(small_set, 60, 3), e(one), None),
        ("its child by two of four", 7_000, small_set, sk(small_set, 60, 2), e(few), None),
        ("its child by three of four", 7_000, small_set, sk(small_set, 60, 3), e(few), None),
    ]
    refused = [
        ("fourteen of twenty-one", 60, child, sk(child, 1, 14), None, None),
        ("a seat twice", 60, child, sk(child, 1, 15, seats=[*range(14), 13]), None, None),
        ("seats out of order", 60, child, sk(child, 1, 15, seats=[*range(1, 15), 0]), None, None),
        ("a seat that the set has not", 60, child, sk(child, 1, 15, seats=range(7, 22)), None, None),
        ("prevotes", 60, child, sk(child, 1, 15, kind=0), None, None),
        ("signed for another chain", 60, child, certify(other_chain, child, 1, 21), None, None),
        ("by strangers", 60, child, sk(child, 30, 15), None, None),
        ("a signature that is not canonical", 60, child, bytes(bad), None, None),
        ("another block's certificate", 60, child, sk(rival, 1, 15), None, None),
        ("another parent", 60, make_header(1, bytes(32), one, one), sk(make_header(1, bytes(32), one, one), 1, 15), None, None),
        ("no later than the believed header", 60, make_header(5, bytes(32), one, one, time=START),
         sk(make_header(5, bytes(32), one, one, time=START), 1, 15), None, None),
        ("31 s ahead of the clock", 60, make_header(5, bytes(32), one, one, time=START + 91),
         sk(make_header(5, bytes(32), one, one, time=START + 91), 1, 15), None, None),
        ("after the trusting period", 518_400, change, sk(change, 1, 21), None, e(two)),
        ("another next set than the header names", 4_000, change, sk(change, 1, 21), None, e(few)),
        ("a set nobody named", 60, make_header(5, bytes(32), two, two), sk(make_header(5, bytes(32), two, two), 30, 21), e(two), None),
        ("a fixed field changed", 60, make_header(1, keccak(genesis), one, one, blob_gas=1), sk(child, 1, 15), None, None),
        ("more gas used than allowed", 60, make_header(1, keccak(genesis), one, one, gas_used=300_000_001), sk(child, 1, 15), None, None),
        ("a number with a leading zero", 60, make_header(1, keccak(genesis), one, one, base_fee=b"\0\1"), sk(child, 1, 15), None, None),
        ("a header and a byte", 60, child + b"\0", sk(child, 1, 15), None, None),
        ("a certificate and a byte", 60, child, sk(child, 1, 15) + b"\0", None, None),
        ("extraData of six items", 60, make_header(1, keccak(genesis), one, one, extra=rlp([0] * 6)), sk(child, 1, 15), None, None),
    ]
    return good, refused


def run(client, step):
    try:
        return client.update(START + step["t"], *(None if step[k] is None else bytes.fromhex(step[k])
                                                  for k in ("header", "certificate", "set", "next_set")))
    except Bad as bad:
        return f"refused in step {bad.args[0]}"


def write():
    one = the_set(1)
    genesis = make_header(0, bytes(32), one, one)
    chain = (7_300, keccak(genesis))
    hexed = lambda b: None if b is None else b.hex()
    out = {"chain_id": chain[0], "genesis": hexed(genesis), "genesis_hash": hexed(chain[1]), "first_set": hexed(rlp(one)), "start": START}
    good, refused = steps(chain, genesis)
    for name, group in (("in_order", good), ("each_from_genesis", refused)):
        client = Client(chain, genesis, one)
        out[name] = []
        for what, t, h, c, s, n in group:
            step = {"what": what, "t": t, "header": hexed(h), "certificate": hexed(c), "set": hexed(s), "next_set": hexed(n)}
            if name != "in_order":
                client = Client(chain, genesis, one)
            out[name].append({**step, "result": run(client, step)})
    block = bytes(range(32))
    out["signing_texts"] = {
        "prevote nil": hexed(vote_text(chain, 5, 2, 0, None)), "precommit block": hexed(vote_text(chain, 5, 2, 1, block)),
        "proposal": hexed(proposal_text(chain, 5, 2, -1, block)), "proposal pol 1": hexed(proposal_text(chain, 5, 2, 1, block))}
    slots = [(i.to_bytes(32, "big"), 3**(i + 1)) for i in range(12)]
    storage, slot_proof = trie([(key, rlp(value)) for key, value in slots])
    accounts = [(bytes([i] * 20), (i, 10**18 * i, storage if i == 3 else EMPTY_ROOT, keccak(b"code") if i == 3 else NO_CODE))
                for i in range(1, 40)]
    state, account_proof = trie([(address, rlp(list(claim))) for address, claim in accounts])
    claims = [(accounts[2], None), (accounts[20], None), ((bytes([99] * 20), (0, 0, EMPTY_ROOT, NO_CODE)), None),
              ((accounts[20][0], (20, 1, EMPTY_ROOT, NO_CODE)), "balance"), ((accounts[20][0], (0, 0, EMPTY_ROOT, NO_CODE)), "absence"),
              ((bytes([99] * 20), (1, 0, EMPTY_ROOT, NO_CODE)), "presence")]
    out["accounts"] = [{"state_root": hexed(state), "address": hexed(address), "nonce": claim[0], "balance": hex(claim[1]),
                        "storage_root": hexed(claim[2]), "code_hash": hexed(claim[3]), "proof": [hexed(n) for n in account_proof(address)],
                        "holds": lie is None} for (address, claim), lie in claims]
    asked = [(slots[5][0], slots[5][1], True), (slots[5][0], 1, False), (slots[5][0], 0, False), (bytes([7] * 32), 0, True),
             (bytes([7] * 32), 5, False)]
    out["slots"] = [{"storage_root": hexed(storage), "slot": hexed(slot), "value": hex(value),
                     "proof": [hexed(n) for n in slot_proof(slot)], "holds": holds} for slot, value, holds in asked]
    (HERE / "light.json").write_text(json.dumps(out, indent=1) + "\n")
    # The header of header_hash.txt as bytes.
    types = HERE.parent.parent / "types" / "vectors"
    numbered = lambda n: keccak(rlp([[bytes([i + 1] * 20), public(bytes([i + 1] * 32)), bytes([i + 1] * 48)] for i in range(n)]))
    extra = rlp([1, 77, 13, bytes([5] * 96), bytes([1] * 32), numbered(21), numbered(20)])
    sample = make_header(1_234, bytes(32), one, one, miner=bytes([3] * 20), extra=extra, gas_limit=30_000_000, gas_used=21_000,
                         time=1_790_000_000)
    assert keccak(sample).hex() == (types / "header_hash.txt").read_text().strip(), "the sample header"
    (types / "header_rlp.txt").write_text(sample.hex() + "\n")


def check():
    v = json.loads((HERE / "light.json").read_text())
    genesis = bytes.fromhex(v["genesis"])
    chain = (v["chain_id"], keccak(genesis))
    first = witness_set(bytes.fromhex(v["first_set"]))
    count = 0
    for name in ("in_order", "each_from_genesis"):
        client = Client(chain, genesis, first)
        for step in v[name]:
            if name != "in_order":
                client = Client(chain, genesis, first)
            assert run(client, step) == step["result"], step["what"]
            count += 1
    for a in v["accounts"]:
        claim = (a["nonce"], int(a["balance"], 16), bytes.fromhex(a["storage_root"]), bytes.fromhex(a["code_hash"]))
        nodes = [bytes.fromhex(n) for n in a["proof"]]
        assert account_proven(bytes.fromhex(a["state_root"]), bytes.fromhex(a["address"]), claim, nodes) == a["holds"], a
        count += 1
    for s in v["slots"]:
        nodes = [bytes.fromhex(n) for n in s["proof"]]
        held = slot_proven(bytes.fromhex(s["storage_root"]), bytes.fromhex(s["slot"]), int(s["value"], 16), nodes)
        assert held == s["holds"], s
        count += 1
    print(f"{count} vectors hold")


if __name__ == "__main__":
    if sys.argv[1:] == ["write"]:
        write()
    check()
