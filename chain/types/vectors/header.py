#!/usr/bin/env python3
"""Independent RLP and keccak of the sample header of tests/types.rs (needs pycryptodome). Prints header_hash.txt."""
from Crypto.Hash import keccak


def k(b):
    return keccak.new(digest_bits=256, data=b).digest()


def rlp(x):
    if isinstance(x, int):
        x = x.to_bytes((x.bit_length() + 7) // 8, "big")
    if isinstance(x, bytes):
        return x if len(x) == 1 and x[0] < 0x80 else head(len(x), 0x80) + x
    body = b"".join(map(rlp, x))
    return head(len(body), 0xC0) + body


def head(n, base):
    if n < 56:
        return bytes([base + n])
    size = n.to_bytes((n.bit_length() + 7) // 8, "big")
    return bytes([base + 55 + len(size)]) + size


def ed25519_public(seed):
    """RFC 8032, 5.1.5, the textbook way."""
    import hashlib
    p = 2**255 - 19
    d = -121665 * pow(121666, p - 2, p) % p

    def add(a, b):
        (x1, y1), (x2, y2) = a, b
        t = d * x1 * x2 * y1 * y2
        return ((x1 * y2 + x2 * y1) * pow(1 + t, p - 2, p) % p, (y1 * y2 + x1 * x2) * pow(1 - t, p - 2, p) % p)

    h = bytearray(hashlib.sha512(seed).digest()[:32])
    h[0] &= 248
    h[31] = h[31] & 127 | 64
    n = int.from_bytes(h, "little")
    by = 4 * pow(5, p - 2, p) % p
    xx = (by * by - 1) * pow(d * by * by + 1, p - 2, p) % p
    bx = pow(xx, (p + 3) // 8, p)
    if (bx * bx - xx) % p:
        bx = bx * pow(2, (p - 1) // 4, p) % p
    if bx % 2:
        bx = p - bx
    q, point = (0, 1), (bx, by)
    while n:
        if n & 1:
            q = add(q, point)
        point = add(point, point)
        n >>= 1
    x, y = q
    return (y | (x & 1) << 255).to_bytes(32, "little")


def witness_set(n):
    return k(rlp([[bytes([i + 1] * 20), ed25519_public(bytes([i + 1] * 32)), bytes([i + 1] * 48)] for i in range(n)]))


EMPTY_ROOT = k(rlp(b""))
extra = rlp([1, 77, 13, bytes([5] * 96), bytes([1] * 32), witness_set(21), witness_set(20)])
header = [bytes(32), k(rlp([])), bytes([3] * 20), EMPTY_ROOT, EMPTY_ROOT, EMPTY_ROOT, bytes(256), 0, 1234, 30_000_000, 21_000,
          1_790_000_000, extra, bytes(32), bytes(8), 1_000_000_000, EMPTY_ROOT, 0, 0, bytes(32),
          __import__("hashlib").sha256(b"").digest()]
print(k(rlp(header)).hex())
