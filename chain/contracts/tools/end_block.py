#!/usr/bin/env python3
"""Gas and CPU of the end of a block with many candidates, on a real node of one witness.

  pip install eth-account pynacl;  end_block.py NETCHAIND [CANDIDATES]

Makes a local network with the economy, registers the candidates (each with a vote), shortens the week to 40 blocks, and prints for
each block: height, transactions, gas of the system transaction, microseconds of execution since the block before. The count (block
40) seats 21 candidates nobody runs, so the chain ends with the block that seats them: that is the last line.
Execution happens before the height shows: a block's microseconds stand on its own line or the one before.
"""
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import nacl.signing
from eth_account import Account
from eth_utils import keccak

WITNESS, BALLOTS = ("0x%040x" % n for n in (0x1000, 0x1001))
PORT, NFC, EPOCH = 23545, 10**18, 40


def rpc(method, params):
    return post(dict(jsonrpc="2.0", id=1, method=method, params=params))["result"]


def post(body):
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}", json.dumps(body).encode(), {"content-type": "application/json"})
    return json.load(urllib.request.urlopen(request, timeout=30))


def execution_us():
    text = urllib.request.urlopen(f"http://127.0.0.1:{PORT + 100}/metrics", timeout=5).read().decode()
    return int(float(re.search(r"cpu_execution_us(?:_total)? (\d+)", text).group(1)))


def call(account, chain_id, nonce, to, value, data):
    tx = dict(chainId=chain_id, nonce=nonce, gas=600_000, maxFeePerGas=10**12, maxPriorityFeePerGas=1, to=to, value=value, data=data, type=2)
    return "0x" + account.sign_transaction(tx).raw_transaction.hex().removeprefix("0x")


def word(n):
    return n.to_bytes(32, "big")


def registration(account, chain_id, i):
    key = nacl.signing.SigningKey(keccak(text=f"vote {i}"))
    vote_key, reveal_key = bytes(key.verify_key), keccak(text=f"reveal {i}") + bytes(16)
    text = b"NFC/REGISTER/v1" + chain_id.to_bytes(8, "big") + bytes.fromhex(account.address[2:]) + vote_key + reveal_key
    head = keccak(text="register(bytes32,bytes,bytes,uint256)")[:4] + vote_key + word(0x80) + word(0xE0) + word(5_000)
    data = head + word(48) + reveal_key + bytes(16) + word(64) + key.sign(text).signature
    return call(account, chain_id, 0, WITNESS, 1_000 * NFC, data)


def vote(account, chain_id, i):
    return call(account, chain_id, 1, BALLOTS, (i + 1) * NFC, keccak(text="vote(uint256)")[:4] + word(i + 2))


def main(netchaind, candidates):
    folder = tempfile.mkdtemp(prefix="end-block-")
    init = ["init-localnet", "--witnesses", "1", "--first-port", str(PORT), "--block-ms", "1000", "--economy"]
    subprocess.run([netchaind, "--dir", folder, *init, "--bench-accounts", str(candidates)], check=True, stdout=subprocess.DEVNULL)
    path = folder + "/node0/genesis.json"
    genesis = json.load(open(path))
    names = {name.lower(): name for name in genesis["alloc"]}
    storage = genesis["alloc"][names[WITNESS]]["storage"]
    storage[next(slot for slot in storage if int(slot, 16) == 1)] = hex(EPOCH)
    accounts = [Account.from_key(keccak(text=f"NFC/BENCH/{i}")) for i in range(candidates)]
    for account in accounts:
        genesis["alloc"][names[account.address.lower()]]["balance"] = hex(3_000 * NFC)
    json.dump(genesis, open(path, "w"))
    chain_id = genesis["config"]["chainId"]
    transactions = [registration(a, chain_id, i) for i, a in enumerate(accounts)] + [vote(a, chain_id, i) for i, a in enumerate(accounts)]
    node = subprocess.Popen([netchaind, "--dir", folder + "/node0", "run"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        watch(transactions)
    finally:
        node.terminate()
        node.wait()


def watch(transactions):
    end = time.time() + 30
    while time.time() < end:
        try:
            if int(rpc("eth_blockNumber", []), 16) >= 1:
                break
        except OSError:
            time.sleep(0.2)
    for i in range(0, len(transactions), 100):
        batch = [dict(jsonrpc="2.0", id=k, method="eth_sendRawTransaction", params=[t]) for k, t in enumerate(transactions[i : i + 100])]
        refused = [answer for answer in post(batch) if "error" in answer]
        assert not refused, refused[0]
    rows, last, spent, moved = [], int(rpc("eth_blockNumber", []), 16), execution_us(), time.time()
    while time.time() - moved < 8:
        height, now = int(rpc("eth_blockNumber", []), 16), execution_us()
        if height == last + 1:
            body = rpc("eth_getBlockByNumber", [hex(height), False])["transactions"]
            rows.append((height, len(body), int(rpc("eth_getTransactionReceipt", [body[-1]])["gasUsed"], 16), now - spent))
            print(*rows[-1], flush=True)
        if height != last:
            moved = time.time()
        last, spent = height, now
        time.sleep(0.08)
    count = int(rpc("eth_call", [dict(to=WITNESS, data="0x" + keccak(text="candidateCount()")[:4].hex()), "latest"]), 16)
    empty = [row for row in rows if row[1] == 1 and 6 < row[0] < EPOCH - 1]
    print(f"{count} candidates; blocks without transactions: median {statistics.median(r[2] for r in empty)} gas, {statistics.median(r[3] for r in empty)} us")


main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 999)
