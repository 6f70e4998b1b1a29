"""python web3py.py [URL [KEYSTORE_FILE PASSPHRASE_FILE ADDRESS]]: what a script does, with web3.py, against a local network.

The last three: a keystore file that netctl wrote must open with eth-account.
"""
import asyncio
import json
import pathlib
import sys

from eth_account import Account
from web3 import AsyncWeb3, Web3
from web3.exceptions import ContractLogicError
from web3.middleware import ExtraDataToPOAMiddleware
from web3.providers import WebSocketProvider

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:18545"
COUNTER = json.loads(pathlib.Path(__file__).with_name("counter.json").read_text())
# The fourth account of the mnemonic "test test .. junk".
ACCOUNT = Account.from_key("0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6")
WAIT_S = 60


def ok(name):
    print("ok web3.py:", name, flush=True)


def main():
    w3 = Web3(Web3.HTTPProvider(URL))
    # extraData of a block is longer than Ethereum's 32 bytes, as on every chain whose headers carry consensus (docs/spec/chain.md, "RPC").
    w3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
    assert w3.is_connected() and w3.eth.chain_id == 31373
    assert w3.eth.get_balance(ACCOUNT.address) > 10**18
    ok("network and balance")

    def send(tx):
        tx = {"from": ACCOUNT.address, "nonce": w3.eth.get_transaction_count(ACCOUNT.address, "pending"), "chainId": 31373} | tx
        if "gas" not in tx:
            tx["gas"] = w3.eth.estimate_gas(tx)
        if "gasPrice" not in tx and "maxFeePerGas" not in tx:
            tip = w3.eth.max_priority_fee
            tx |= {"maxPriorityFeePerGas": tip, "maxFeePerGas": 2 * w3.eth.get_block("latest").baseFeePerGas + tip}
        raw = ACCOUNT.sign_transaction(tx).raw_transaction
        receipt = w3.eth.wait_for_transaction_receipt(w3.eth.send_raw_transaction(raw), timeout=WAIT_S, poll_latency=0.3)
        assert receipt.status == 1, receipt
        return receipt

    to = Account.create().address
    receipt = send({"to": to, "value": 12345})
    assert receipt.gasUsed == 21000 and w3.eth.get_balance(to) == 12345
    send({"to": to, "value": 1, "gasPrice": w3.eth.gas_price * 2})
    assert w3.eth.get_transaction(receipt.transactionHash)["from"] == ACCOUNT.address
    ok("transfers, EIP-1559 and legacy")

    factory = w3.eth.contract(abi=COUNTER["abi"], bytecode=COUNTER["bytecode"])
    deployed = send({"data": factory.constructor(7).data_in_transaction})
    counter = w3.eth.contract(address=deployed.contractAddress, abi=COUNTER["abi"])
    change = lambda value: send({"to": counter.address, "data": counter.encode_abi("set", args=[value])})
    assert counter.functions.value().call() == 7
    events = counter.events.Set.create_filter(from_block="latest")
    change(42)
    assert counter.functions.value().call() == 42
    assert counter.functions.value().call(block_identifier=deployed.blockNumber) == 7
    ok("deploy, call, change, and the state of the past")

    assert [it.args.value for it in events.get_new_entries()] == [42]
    logs = counter.events.Set().get_logs(from_block=0, argument_filters={"by": ACCOUNT.address})
    assert logs[-1].args.value == 42 and logs[-1].address == counter.address
    ok("event filter and logs")

    try:
        counter.functions.set(13).call({"from": ACCOUNT.address})
        raise AssertionError("it did not revert")
    except ContractLogicError as error:
        assert "unlucky" in str(error), error
    ok("a revert says why")

    history = w3.eth.fee_history(4, "latest", [10, 50])
    assert len(history["baseFeePerGas"]) == len(history["gasUsedRatio"]) + 1
    assert w3.eth.gas_price > 0 and w3.eth.max_priority_fee >= 0
    ok("fee market")

    proof = w3.eth.get_proof(counter.address, [0], "latest")
    assert int.from_bytes(proof.storageProof[0].value, "big") == 42 and len(proof.accountProof) > 0
    ok("proofs")

    asyncio.run(subscriptions())
    ok("subscription")

    if len(sys.argv) > 4:
        passphrase = pathlib.Path(sys.argv[3]).read_text().splitlines()[0]
        key = Account.decrypt(pathlib.Path(sys.argv[2]).read_text(), passphrase)
        assert Account.from_key(key).address == sys.argv[4]
        ok("eth-account opens a keystore of netctl")


async def subscriptions():
    async with AsyncWeb3(WebSocketProvider(URL.replace("http", "ws"))) as w3:
        w3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
        subscription = await w3.eth.subscribe("newHeads")
        heads = []

        async def listen():
            async for message in w3.socket.process_subscriptions():
                heads.append(message["result"]["number"])
                if len(heads) == 3:
                    return

        await asyncio.wait_for(listen(), 30)
        assert heads == list(range(heads[0], heads[0] + 3)), heads
        assert await w3.eth.unsubscribe(subscription)


main()
