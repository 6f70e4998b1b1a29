#!/usr/bin/env python3
"""Writes the wire seeds of overlay/fuzz/corpus from the golden vectors: every vector, every rejected vector, and cuts of the
good ones. Files a fuzzer found are kept. Run: python3 overlay/fuzz/seed.py"""
import json
import pathlib
import re

HERE = pathlib.Path(__file__).parent
VECTORS = HERE.parent / "wire" / "vectors"
TARGET = {"init_payload": "handshake_payloads", "response_payload": "handshake_payloads"}


def seed(target, name, data):
    folder = HERE / "corpus" / f"wire_{target}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")).write_bytes(data)


def cuts(target, name, data):
    """Half a frame, one byte less and one byte more: where length checks fail."""
    for what, cut in (("half", data[:len(data) // 2]), ("short", data[:-1]), ("long", data + b"\0")):
        seed(target, f"{name} {what}", cut)


frames = json.loads((VECTORS / "frames.json").read_text())
for vector in frames["frames"]:
    target, data = TARGET.get(vector["kind"], vector["kind"]), bytes.fromhex(vector["hex"])
    seed(target, vector["name"], data)
    cuts(target, vector["name"], data)
    seed("classify", vector["name"] + " first", data[:1])
for vector in frames["rejected"]:
    seed(TARGET.get(vector["kind"], vector["kind"]), "rejected " + vector["name"], bytes.fromhex(vector["hex"]))
for name, data in (("empty", b""), ("stun", b"\0\1" + bytes(18)), ("quic long", b"\xc3" + bytes(20)),
                   ("quic short", b"\x41" + bytes(20)), ("unknown", b"\x14" + bytes(20)), ("no fixed bit", b"\x80" + bytes(20))):
    seed("classify", name, data)

control = json.loads((VECTORS / "control.json").read_text())
stream = b""
for vector in control["messages"]:
    data = bytes.fromhex(vector["hex"])
    framed = len(data).to_bytes(4, "little") + data
    seed("control", vector["name"], data)
    seed("control", vector["name"] + " half", data[:len(data) // 2])
    if len(data) < 300:
        stream += framed
        seed("control_stream", vector["name"], framed)
seed("control_stream", "all short messages", stream)
seed("control_stream", "cut in the second message", stream[:60])
seed("control_stream", "length 0", bytes(8))
seed("control_stream", "length 65537", (65537).to_bytes(4, "little") + bytes(8))
for vector in control["rejected"]:
    data = bytes.fromhex(vector["hex"])
    if len(data) < 2000:  # the long ones are golden vectors already; a corpus stays small
        seed("control", "rejected " + vector["name"], data)

stun = json.loads((VECTORS / "stun.json").read_text())
for vector in stun["messages"] + stun["rejected"]:
    seed("stun", vector["name"], bytes.fromhex(vector["hex"]))
for vector in stun["answers"]:
    seed("stun", vector["name"], bytes.fromhex(vector["request"]))
    cuts("stun", vector["name"], bytes.fromhex(vector["request"]))
