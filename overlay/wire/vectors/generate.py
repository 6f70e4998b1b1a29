#!/usr/bin/env python3
"""Writes frames.json, control.json and stun.json from docs/spec/wire.md alone: a second implementation of the formats, so the
vectors do not merely repeat what the Rust code does. Standard library only. Run: python3 overlay/wire/vectors/generate.py"""
import hashlib
import ipaddress
import json
import pathlib
import struct
import zlib

HERE = pathlib.Path(__file__).parent
VERSION = 1


def run(start, length):
    """Bytes start, start+1, ... so that a shifted field is seen at once."""
    return bytes((start + i) % 256 for i in range(length))


def blake2s(data, key=b"", size=32):
    return hashlib.blake2s(data, key=key, digest_size=size).digest()


NETWORK = run(0x80, 32)
RECEIVER = run(0xC0, 32)
COOKIE = run(0x30, 16)
BIND_KEY = run(0x50, 32)
MAC_KEY = blake2s(b"NFC/1 mac" + NETWORK + RECEIVER)


def mac(body, cookie=False):
    key = blake2s(COOKIE, key=MAC_KEY) if cookie else MAC_KEY
    return blake2s(body, key=key, size=16)


def bind_mac(body):
    return blake2s(body, key=BIND_KEY, size=16)


frames = []


def frame(name, kind, data, **fields):
    frames.append({"name": name, "kind": kind, "hex": data.hex(),
                   "fields": {k: v.hex() if isinstance(v, bytes) else v for k, v in fields.items()}})
    return data


def init(name, suite, cookie, kem):
    flags = (1 if cookie else 0) | (2 if kem else 0)
    e, s, ct, p = run(1, 32), run(0x21, 48), run(0x07, 1088) if kem else b"", run(0x60, 28)
    body = struct.pack("<BBHI", 0x10, suite, flags, 0x01020304) + e + s + ct + p
    m = mac(body, cookie)
    return frame(name, "handshake_init", body + m, suite=suite, cookie=cookie, sender_index=0x01020304,
                 noise=e + s + p, kem_ciphertext=ct, mac=m)


def response(name, suite, cookie):
    noise = run(1, 32) + run(0x60, 20)
    body = struct.pack("<BBHII", 0x11, suite, 1 if cookie else 0, 0x0A0B0C0D, 0x01020304) + noise
    m = mac(body, cookie)
    return frame(name, "handshake_response", body + m, suite=suite, cookie=cookie, sender_index=0x0A0B0C0D,
                 receiver_index=0x01020304, noise=noise, mac=m)


good_init = init("init without kem", 1, False, False)
good_init_kem = init("init with kem", 2, False, True)
init("init with kem and cookie", 1, True, True)
good_response = response("response", 1, False)
response("response with cookie", 2, True)
good_cookie = frame("cookie reply", "cookie_reply",
                    b"\x12\0\0\0" + struct.pack("<I", 0x01020304) + run(0x40, 24) + run(0x90, 32),
                    receiver_index=0x01020304, nonce=run(0x40, 24), cookie_enc=run(0x90, 32))
good_data = frame("data", "data", struct.pack("<BBHIQ", 0x13, 7, 0, 0x0A0B0C0D, 0x1122334455667788) + run(0, 4 + 16),
                  slot_lsb=7, receiver_index=0x0A0B0C0D, counter=0x1122334455667788, sealed=run(0, 20))
good_relay = frame("relay with data", "relay", struct.pack("<BBHI", 0x18, 8, 0x0102, 0xDEADBEEF) + good_data,
                   hop_limit=8, epoch=0x0102, label=0xDEADBEEF, inner=good_data)
frame("relay with init and kem", "relay", struct.pack("<BBHI", 0x18, 1, 0, 1) + good_init_kem,
      hop_limit=1, epoch=0, label=1, inner=good_init_kem)

BIND_ID, NONCE = 0x1020304050607080, 0x0102030405060708
body = struct.pack("<B3xQQ", 0x19, BIND_ID, NONCE)
good_bind = frame("relay bind", "relay_bind", body + bind_mac(body), bind_id=BIND_ID, nonce=NONCE, mac=bind_mac(body))
good_challenge = frame("relay challenge", "relay_challenge", struct.pack("<B3xQ", 0x1A, BIND_ID) + COOKIE,
                       bind_id=BIND_ID, cookie=COOKIE)
body = struct.pack("<B3xQQ", 0x1B, BIND_ID, NONCE) + COOKIE
good_confirm = frame("relay bind confirm", "relay_bind_confirm", body + bind_mac(body), bind_id=BIND_ID, nonce=NONCE,
                     cookie=COOKIE, mac=bind_mac(body))
for name, ip, text in (("v4", bytes(10) + b"\xff\xff" + bytes((203, 0, 113, 9)), "203.0.113.9:40000"),
                       ("v6", bytes.fromhex("20010db8") + bytes(11) + b"\x09", "[2001:db8::9]:40000")):
    body = struct.pack("<B3xQQ", 0x1C, BIND_ID, NONCE) + ip + struct.pack("<H", 40000)
    good_bound = frame("relay bound " + name, "relay_bound", body + bind_mac(body), bind_id=BIND_ID, nonce=NONCE,
                       address=text, mac=bind_mac(body))

good_reach = frame("reach probe", "reach_probe", struct.pack("<B7xQ", 0x1D, 0x1122334455667788), token=0x1122334455667788)
good_echo = frame("relay echo", "relay_echo", struct.pack("<BBHIQ16x", 0x1E, 2, 0x0102, 0xDEADBEEF, NONCE),
                  hop_limit=2, epoch=0x0102, label=0xDEADBEEF, id=NONCE, answer=b"")
frame("relay echo of a link", "relay_echo", struct.pack("<BBHIQ16x", 0x1E, 1, 0, 0, NONCE),
      hop_limit=1, epoch=0, label=0, id=NONCE, answer=b"")
good_answer = frame("relay echo answer", "relay_echo",
                    struct.pack("<BBHIQB7x", 0x1E, 8, 0x0102, 0xDEADBEEF, NONCE, 1) + run(0x10, 8),
                    hop_limit=8, epoch=0x0102, label=0xDEADBEEF, id=NONCE, answer=run(0x10, 8))

frame("init payload", "init_payload", struct.pack("<QB3x", 0x6553F10000000001, 3), counter=0x6553F10000000001,
      aes_hardware=True, pq_strict=True)
frame("response payload", "response_payload", bytes((2, 1, 0, 0)), record_suite=2, aes_hardware=True, pq_strict=False)

AUTHOR = run(0xA0, 8)
frame("ipv4 packet", "inner", b"\x45" + bytes(19), type="ip")
frame("ipv6 packet", "inner", b"\x60" + bytes(39), type="ip")
frame("keepalive", "inner", b"\x01" + run(0x10, 16), type="keepalive", heads_digest=run(0x10, 16))
frame("heads none", "inner", b"\x02\0", type="heads", heads=[])
good_heads = frame("heads", "inner", b"\x02\x02" + b"".join(AUTHOR + struct.pack("<I", seq) + run(seq, 8) for seq in (5, 6)),
                   type="heads", heads=[{"author": AUTHOR.hex(), "seq": s, "hash": run(s, 8).hex()} for s in (5, 6)])
good_pull = frame("pull", "inner", b"\x03\x01" + AUTHOR + struct.pack("<II", 3, 9), type="pull",
                  ranges=[{"author": AUTHOR.hex(), "from": 3, "to": 9}])
good_fragment = frame("entry fragment", "inner", b"\x04" + AUTHOR + struct.pack("<IHH", 7, 1500, 1100) + run(0, 400),
                      type="entry_fragment", author=AUTHOR, seq=7, total=1500, offset=1100, bytes=run(0, 400))
frame("ping", "inner", b"\x05" + struct.pack("<QQ", 1, 2), type="ping", id=1, t=2)
frame("pong", "inner", b"\x06" + struct.pack("<QQ", 1, 2), type="pong", id=1, t=2)


def addr(ip, port):
    """ip[16] | port u16, both in network order."""
    raw = ipaddress.ip_address(ip)
    return (b"\0" * 10 + b"\xff\xff" + raw.packed if raw.version == 4 else raw.packed) + struct.pack(">H", port)


def candidates(name, mapping, filtering, flags, items):
    data = struct.pack("<BIBBBB", 7, 0x01020304, mapping, filtering, flags, len(items))
    data += b"".join(bytes((kind,)) + addr(ip, port) for kind, ip, port in items)
    fields = [{"kind": kind, "addr": f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"} for kind, ip, port in items]
    return frame(name, "inner", data, type="candidates", round=0x01020304, mapping=mapping, filtering=filtering,
                 same_lan=bool(flags & 1), wants_answer=bool(flags & 2), patient=bool(flags & 4), list=fields)


candidates("candidates none", 4, 0, 2, [])
good_candidates = candidates("candidates", 3, 1, 5, [(0, "192.168.1.7", 4790), (1, "198.51.100.7", 40001), (2, "203.0.113.5", 4790),
                                                     (3, "198.51.100.7", 65535), (4, "2001:db8::7", 1)])
candidates("candidates sixteen", 1, 3, 7, [(4, "198.51.100.7", 50000 + n) for n in range(16)])
good_probe = frame("probe", "inner", b"\x08" + struct.pack("<QB", 0x1122334455667788, 0), type="probe",
                   id=0x1122334455667788, nominate=False, padding=0)
padded_probe = frame("probe padded", "inner", b"\x08" + struct.pack("<QB", 5, 1) + bytes(90), type="probe", id=5, nominate=True, padding=90)
good_ack = frame("probe ack", "inner", b"\x09" + struct.pack("<QH", 5, 1432) + addr("198.51.100.7", 40001) + struct.pack("<IQ", 7, 9000),
                 type="probe_ack", id=5, len=1432, observed="198.51.100.7:40001", rx_packets=7, rx_bytes=9000)
frame("probe ack relayed", "inner", b"\x09" + struct.pack("<QH", 5, 60) + bytes(18) + struct.pack("<IQ", 0xFFFFFFFF, 1 << 40),
      type="probe_ack", id=5, len=60, observed=None, rx_packets=0xFFFFFFFF, rx_bytes=1 << 40)
good_part = frame("part", "inner", b"\x0a" + struct.pack("<IB", 0x01020304, 1) + run(0, 640), type="part", id=0x01020304, index=1,
                  bytes=run(0, 640))

rejected = []


def reject(name, kind, data, error):
    rejected.append({"name": name, "kind": kind, "hex": data.hex(), "error": error})


def patch(data, at, *values):
    data = bytearray(data)
    data[at:at + len(values)] = bytes(values)
    return bytes(data)


reject("init: suite 0", "handshake_init", patch(good_init, 1, 0), "value")
reject("init: suite 3", "handshake_init", patch(good_init, 1, 3), "value")
reject("init: flag bit 2", "handshake_init", patch(good_init, 2, 4), "reserved")
reject("init: flag bit 15", "handshake_init", patch(good_init, 3, 0x80), "reserved")
reject("init: kem flag on a short frame", "handshake_init", patch(good_init, 2, 2), "length")
reject("init: kem bytes without the flag", "handshake_init", patch(good_init_kem, 2, 0), "length")
reject("init: one byte more", "handshake_init", good_init + b"\0", "length")
reject("response: kem flag", "handshake_response", patch(good_response, 2, 2), "reserved")
reject("response: one byte less", "handshake_response", good_response[:-1], "length")
reject("cookie reply: reserved byte", "cookie_reply", patch(good_cookie, 3, 1), "reserved")
reject("data: flag bit 0", "data", patch(good_data, 2, 1), "reserved")
reject("data: flag bit 15", "data", patch(good_data, 3, 0x80), "reserved")
reject("data: empty plaintext", "data", good_data[:32], "length")
reject("data: other kind", "data", patch(good_data, 0, 0x10), "kind")
reject("relay: hop limit 0", "relay", patch(good_relay, 1, 0), "value")
reject("relay: label 0", "relay", patch(good_relay, 4, 0, 0, 0, 0), "value")
reject("relay: nothing inside", "relay", good_relay[:8], "length")
reject("relay: relay inside", "relay", good_relay[:8] + good_relay, "kind")
reject("relay: bind inside", "relay", good_relay[:8] + good_bind, "kind")
reject("relay: quic inside", "relay", good_relay[:8] + b"\xc0" + bytes(40), "kind")
for kind, good in (("relay_bind", good_bind), ("relay_challenge", good_challenge), ("relay_bind_confirm", good_confirm),
                   ("relay_bound", good_bound)):
    for at in (1, 2, 3):
        reject(f"{kind}: reserved byte {at}", kind, patch(good, at, 1), "reserved")
    reject(f"{kind}: one byte more", kind, good + b"\0", "length")
    reject(f"{kind}: one byte less", kind, good[:-1], "length")
reject("reach probe: reserved byte", "reach_probe", patch(good_reach, 7, 1), "reserved")
reject("reach probe: one byte more", "reach_probe", good_reach + b"\0", "length")
reject("relay echo: hop limit 0", "relay_echo", patch(good_echo, 1, 0), "value")
reject("relay echo: flag bit 1", "relay_echo", patch(good_echo, 16, 2), "reserved")
reject("relay echo: reserved byte", "relay_echo", patch(good_answer, 17, 1), "reserved")
reject("relay echo: a question that says who answers", "relay_echo", patch(good_echo, 31, 1), "reserved")
reject("relay echo: one byte less", "relay_echo", good_echo[:-1], "length")
reject("init payload: unknown capability", "init_payload", struct.pack("<QB3x", 1, 4), "reserved")
reject("init payload: padding", "init_payload", struct.pack("<QBBH", 1, 0, 1, 0), "reserved")
reject("response payload: suite 0", "response_payload", bytes(4), "value")
reject("response payload: padding", "response_payload", bytes((1, 0, 0, 1)), "reserved")
reject("inner: empty", "inner", b"", "length")
reject("inner: unknown type", "inner", b"\x0b" + bytes(16), "kind")
reject("inner: heads count too high", "inner", patch(good_heads, 1, 3), "length")
reject("inner: 61 heads", "inner", b"\x02\x3d" + bytes(61 * 20), "value")
reject("inner: pull of nothing", "inner", b"\x03\0", "value")
reject("inner: pull backwards", "inner", patch(good_pull, 10, 10), "value")
reject("inner: fragment past its end", "inner", patch(good_fragment, 13, 0xDB, 0x05), "value")
reject("inner: fragment of an entry too long", "inner", patch(good_fragment, 13, 0x01, 0x20), "value")
reject("inner: fragment cut at another place", "inner", patch(good_fragment, 13, 0xDD, 0x05, 0x4D, 0x04), "value")
reject("inner: fragment shorter than its place", "inner", good_fragment[:-1], "value")
reject("inner: fragment without bytes", "inner", good_fragment[:17], "length")
reject("inner: keepalive with a tail", "inner", b"\x01" + bytes(17), "length")
reject("inner: candidates mapping 5", "inner", patch(good_candidates, 5, 5), "value")
reject("inner: candidates filtering 4", "inner", patch(good_candidates, 6, 4), "value")
reject("inner: candidates flag bit 3", "inner", patch(good_candidates, 7, 8), "reserved")
reject("inner: candidates count too low", "inner", patch(good_candidates, 8, 4), "length")
reject("inner: candidates count too high", "inner", patch(good_candidates, 8, 6), "length")
reject("inner: candidates cut", "inner", good_candidates[:-1], "length")
reject("inner: 17 candidates", "inner", b"\x07" + bytes(7) + b"\x11" + (b"\0" + addr("192.0.2.1", 1)) * 17, "value")
reject("inner: candidate kind 5", "inner", patch(good_candidates, 9, 5), "value")
reject("inner: candidate port 0", "inner", patch(good_candidates, 26, 0, 0), "value")
reject("inner: candidate unspecified", "inner", good_candidates[:9] + (b"\0" + addr("::", 1)) + good_candidates[28:], "value")
reject("inner: probe cut", "inner", good_probe[:-1], "length")
reject("inner: probe flag bit 1", "inner", patch(good_probe, 9, 2), "reserved")
reject("inner: probe padding not zero", "inner", patch(padded_probe, 99, 1), "reserved")
reject("inner: probe ack cut", "inner", good_ack[:-1], "length")
reject("inner: probe ack long", "inner", good_ack + b"\0", "length")
reject("inner: part of nothing", "inner", good_part[:6], "length")
reject("inner: third part", "inner", patch(good_part, 5, 2), "value")
reject("inner: part of 1281 bytes", "inner", b"\x0a" + bytes(5) + bytes(1281), "length")
reject("inner: probe ack half an address", "inner", patch(good_ack, 27, 0, 0), "value")


def cbor(value):
    """Deterministic CBOR (RFC 8949, 4.2.1) of the types control messages use."""
    def head(major, n):
        if n < 24:
            return bytes((major << 5 | n,))
        for code, size, fmt in ((24, 1 << 8, ">B"), (25, 1 << 16, ">H"), (26, 1 << 32, ">I"), (27, 1 << 64, ">Q")):
            if n < size:
                return bytes((major << 5 | code,)) + struct.pack(fmt, n)
        raise ValueError(n)
    if value is None:
        return b"\xf6"
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    return head(4, len(value)) + b"".join(map(cbor, value))


NODE, INVITE = run(0x10, 32), run(0x20, 32)
ROUTE = [run(0x40, 32), run(0x50, 32), run(0x60, 32)]
CIRCUIT = [NETWORK, NODE, INVITE, ROUTE[:2]]
ADDRESS = bytes(10) + b"\xff\xff" + bytes((198, 51, 100, 7)) + struct.pack(">H", 4790)
messages = [
    ("hello", [0, 2, 1, "netflowd/0.1.0"]),
    ("attach", [1, NETWORK]),
    ("attached", [2, NETWORK, 10_000_000_000, 20_000_000]),
    ("log_heads", [3, NETWORK, [[NODE, 70_000, run(0x33, 32)]]]),
    ("log_heads empty", [3, NETWORK, []]),
    ("log_pull", [4, NETWORK, [[NODE, 3, 9]]]),
    ("log_entries", [5, NETWORK, [b"entry one", b"entry two"]]),
    ("publish", [6, NETWORK, [b"genesis"]]),
    ("join_request", [7, NETWORK, INVITE, b"record", run(0, 1184), "laptop", run(0, 64)]),
    ("join_pending", [8, NETWORK, INVITE]),
    ("join_refused", [9, NETWORK, INVITE, 1, "invite already used"]),
    ("bind_request", [10]),
    ("bind_ticket", [11, BIND_ID, BIND_KEY]),
    ("circuit_open", [12, NETWORK, NODE, []]),
    ("circuit_open over three relays", [12, NETWORK, NODE, [run(0x40, 32), run(0x50, 32)]]),
    ("circuit_opened", [13, NETWORK, NODE, [], 0xDEADBEEF, 0x0102]),
    ("circuit_closed", [14, NETWORK, NODE, [run(0x40, 32)], 0, 2]),
    ("refused", [15, NETWORK, 3, "quota used up"]),
    ("refused without network", [15, None, 5, "version 2 only"]),
    ("ping", [16, 1]),
    ("pong", [17, 1]),
    ("probe_me", [18, ADDRESS, 0x1122334455667788, True]),
    ("mesh_hello", [19]),
    ("link_state", [20, [[NODE, 1 << 33, 3, 1, 250, 7, [[run(0x40, 32), 12_345, 10]], run(0x70, 64)]]]),
    ("where_is", [21, 9, NETWORK, NODE, ROUTE]),
    ("here", [22, 9, NETWORK, NODE, ROUTE, False]),
    ("circuit_extend", [23, CIRCUIT, 0xDEADBEEF, 0x0102]),
    ("circuit_extended", [24, CIRCUIT, 1, 65_535]),
    ("circuit_release", [25, CIRCUIT, 5]),
    ("path_query", [26, NETWORK, NODE, 1]),
    ("path_answer", [27, NETWORK, NODE, 1, [[ROUTE, 24_000, 10, 250, 7]]]),
    ("time_query", [28, 9]),
    ("time_answer", [29, 9, 1_790_000_000_123]),
]
refused = [
    ("empty", b"", "length"),
    ("unknown code", cbor([30]), "malformed"),
    ("not an array", cbor(1), "malformed"),
    ("trailing byte", cbor([16, 1]) + b"\0", "not_canonical"),
    ("unknown field", cbor([16, 1, 1]), "not_canonical"),
    ("field missing", cbor([16]), "malformed"),
    ("long integer", bytes.fromhex("82101801"), "not_canonical"),
    ("indefinite array", bytes.fromhex("9f1001ff"), "malformed"),
    ("network of 31 bytes", cbor([1, NETWORK[:31]]), "malformed"),
    ("tier 3", cbor([0, 1, 3, "x"]), "malformed"),
    ("software of 65 bytes", cbor([0, 1, 0, "x" * 65]), "malformed"),
    ("257 heads", cbor([3, NETWORK, [[NODE, 0, NODE]] * 257]), "malformed"),
    ("513 entries", cbor([5, NETWORK, [b""] * 513]), "malformed"),
    ("four billion entries announced", b"\x83\x05" + cbor(NETWORK) + bytes.fromhex("9affffffff"), "malformed"),
    ("name of 64 bytes", cbor([7, NETWORK, INVITE, b"", b"", "n" * 64, bytes(64)]), "malformed"),
    ("three further relays", cbor([12, NETWORK, NODE, ROUTE]), "malformed"),
    ("route of four relays", cbor([21, 9, NETWORK, NODE, [*ROUTE, NODE]]), "malformed"),
    ("17 adverts", cbor([20, [[NODE, 0, 0, 0, 0, 0, [], bytes(64)]] * 17]), "malformed"),
    ("65 links", cbor([20, [[NODE, 0, 0, 0, 0, 0, [[NODE, 0, 0]] * 65, bytes(64)]]]), "malformed"),
    ("advert without signature", cbor([20, [[NODE, 0, 0, 0, 0, 0, []]]]), "malformed"),
    ("signature of 63 bytes", cbor([20, [[NODE, 0, 0, 0, 0, 0, [], bytes(63)]]]), "malformed"),
    ("four candidate paths", cbor([27, NETWORK, NODE, 0, [[ROUTE, 0, 0, 0, 0]] * 4]), "malformed"),
    ("text not utf-8", b"\x84\x0f\xf6\x00\x61\xff", "malformed"),
]

relay_info = [NODE, 2, [bytes(10) + b"\xff\xff" + bytes((198, 51, 100, 7)) + struct.pack(">H", 4790),
                        bytes.fromhex("20010db8") + bytes(11) + b"\x07" + struct.pack(">H", 4790)]]


def write(name, value):
    (HERE / name).write_text(json.dumps(value, indent=1) + "\n")


write("frames.json", {
    "spec": "docs/spec/wire.md", "version": VERSION,
    "keys": {"network_id": NETWORK.hex(), "receiver_x25519": RECEIVER.hex(), "mac_key": MAC_KEY.hex(),
             "cookie": COOKIE.hex(), "bind_key": BIND_KEY.hex()},
    "frames": frames, "rejected": rejected})
write("control.json", {
    "spec": "docs/spec/wire.md", "version": VERSION,
    "messages": [{"name": n, "hex": cbor(v).hex()} for n, v in messages],
    "rejected": [{"name": n, "hex": d.hex(), "error": e} for n, d, e in refused],
    "relay_info": cbor(relay_info).hex()})

# ---- STUN: the sample messages of RFC 5769 (2.1 to 2.3) byte for byte, and what a server of ours answers

COOKIE_STUN = bytes.fromhex("2112a442")


def stun(kind, transaction, *attributes):
    body = b""
    for number, value in attributes:
        body += struct.pack(">HH", number, len(value)) + value + bytes(-len(value) % 4)
    return struct.pack(">HH", kind, len(body)) + COOKIE_STUN + transaction + body


def fingerprint(message):
    head = message[:2] + struct.pack(">H", len(message) - 20 + 8) + message[4:]
    return head + struct.pack(">HHI", 0x8028, 4, zlib.crc32(head) ^ 0x5354554E)


def xor_address(ip, port, transaction):
    pad = COOKIE_STUN + transaction
    port = struct.pack(">H", port ^ 0x2112)
    return bytes((0, 1 if len(ip) == 4 else 2)) + port + bytes(a ^ b for a, b in zip(ip, pad))


RFC = bytes.fromhex("b7e7a701bc34d686fa87dfae")
V4, V6 = bytes((192, 0, 2, 1)), bytes.fromhex("20010db8123456780011223344556677")
samples = [
    ("RFC 5769 2.1 request", "request", None, bytes.fromhex(
        "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff"
        "80290008932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"
        "80280004e57a3bcf")),
    ("RFC 5769 2.2 IPv4 response", "success", "192.0.2.1:32853", bytes.fromhex(
        "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643"
        "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96")),
    ("RFC 5769 2.3 IPv6 response", "success", "[2001:db8:1234:5678:11:2233:4455:6677]:32853", bytes.fromhex(
        "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002a1470113a9faa5d3f179"
        "bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c")),
    ("answer with a plain MAPPED-ADDRESS", "success", "192.0.2.1:32853",
     stun(0x0101, RFC, (1, bytes((0, 1)) + struct.pack(">H", 32853) + V4))),
    ("after MESSAGE-INTEGRITY nothing counts", "success", None,
     stun(0x0101, RFC, (8, bytes(20)), (0x20, xor_address(V4, 32853, RFC)))),
    ("error 420", "error", None, stun(0x0111, RFC, (9, bytes((0, 0, 4, 20))), (10, bytes((0, 3))))),
]
T12 = bytes(range(1, 13))
OURS = stun(1, T12, (0x8022, b"NetFlowCoin router  "))
answers = [
    ("our own request, IPv4", OURS, "192.0.2.1:32853", stun(0x0101, T12, (0x20, xor_address(V4, 32853, T12))), False),
    ("our own request, IPv6", OURS, "[2001:db8:1234:5678:11:2233:4455:6677]:32853",
     stun(0x0101, T12, (0x20, xor_address(V6, 32853, T12))), False),
    ("bare request", stun(1, T12), "192.0.2.1:32853", stun(0x0101, T12, (0x20, xor_address(V4, 32853, T12))), False),
    ("bare request, IPv4 mapped", stun(1, T12), "[::ffff:192.0.2.1]:32853",
     stun(0x0101, T12, (0x20, xor_address(V4, 32853, T12))), False),
    ("with FINGERPRINT", fingerprint(stun(1, T12)), "192.0.2.1:32853",
     stun(0x0101, T12, (0x20, xor_address(V4, 32853, T12))), False),
    ("from another port", stun(1, T12, (3, bytes((0, 0, 0, 2)))), "192.0.2.1:32853",
     stun(0x0101, T12, (0x20, xor_address(V4, 32853, T12))), True),
    ("from another address", stun(1, T12, (3, bytes((0, 0, 0, 6)))), "192.0.2.1:32853",
     stun(0x0111, T12, (9, bytes((0, 0, 4, 20))), (10, bytes((0, 3)))), False),
    ("RFC 5769 2.1 asks for ICE", samples[0][3], "192.0.2.1:32853",
     stun(0x0111, RFC, (9, bytes((0, 0, 4, 20))), (10, bytes((0, 0x24)))), False),
    ("six unknown attributes, four are named", stun(1, T12, *[(n, b"") for n in range(0x30, 0x36)]), "192.0.2.1:1",
     stun(0x0111, T12, (9, bytes((0, 0, 4, 20))), (10, struct.pack(">4H", 0x30, 0x31, 0x32, 0x33))), False),
]
broken = fingerprint(OURS)[:-1] + bytes((fingerprint(OURS)[-1] ^ 1,))
no_stun = [
    ("nothing", b"", "length"),
    ("header cut", OURS[:19], "length"),
    ("a byte more than announced", OURS + b"\0", "length"),
    ("length not a multiple of four", struct.pack(">HH", 1, 5) + COOKIE_STUN + T12 + bytes(5), "length"),
    ("attribute longer than the message", struct.pack(">HH", 1, 8) + COOKIE_STUN + T12 + struct.pack(">HH", 3, 8) + bytes(4), "length"),
    ("no magic cookie (RFC 3489)", OURS[:4] + bytes(4) + OURS[8:], "kind"),
    ("Allocate of TURN", b"\0\3" + OURS[2:], "kind"),
    ("wrong FINGERPRINT", broken, "value"),
    ("FINGERPRINT not last", stun(1, T12, (0x8028, bytes(4)), (0x8022, b"x")), "value"),
]
write("stun.json", {
    "spec": "docs/spec/wire.md", "request": {"transaction": T12.hex(), "hex": OURS.hex()},
    "messages": [{"name": n, "class": c, "mapped": a, "hex": d.hex()} for n, c, a, d in samples],
    "answers": [{"name": n, "request": r.hex(), "from": f, "answer": a.hex(), "other_port": o} for n, r, f, a, o in answers],
    "rejected": [{"name": n, "hex": d.hex(), "error": e} for n, d, e in no_stun]})
