// node viem.mjs [http://127.0.0.1:18545]: what a dapp does, with viem, against a local network.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import {
  BaseError, ContractFunctionRevertedError, createPublicClient, createWalletClient, defineChain, http, keccak256, numberToHex, parseEther,
  toHex, webSocket,
} from 'viem';
import { generatePrivateKey, mnemonicToAccount, privateKeyToAccount } from 'viem/accounts';

const url = process.argv[2] ?? 'http://127.0.0.1:18545';
const chain = defineChain({ id: 31373, name: 'local', nativeCurrency: { name: 'NFC', symbol: 'NFC', decimals: 18 }, rpcUrls: { default: { http: [url] } } });
// The third account of the mnemonic: the other clients use others, so that no numbers get mixed up.
const account = mnemonicToAccount('test test test test test test test test test test test junk', { addressIndex: 2 });
const reader = createPublicClient({ chain, transport: http(url), pollingInterval: 300 });
const wallet = createWalletClient({ chain, account, transport: http(url) });
const { abi, bytecode } = JSON.parse(readFileSync(new URL('./counter.json', import.meta.url)));
const step = async (name, run) => { await run(); console.log('ok viem:', name); };
const receipt = (hash) => reader.waitForTransactionReceipt({ hash, timeout: 60_000 });
const within = (ms, what, start) => new Promise((resolve, reject) => {
  setTimeout(() => reject(new Error(`no ${what} in ${ms} ms`)), ms).unref();
  start(resolve, reject);
});

let address;
const write = async (value) => receipt(await wallet.writeContract({ address, abi, functionName: 'set', args: [value] }));
await step('network and balance', async () => {
  assert.equal(await reader.getChainId(), 31373);
  assert.ok(await reader.getBalance(account) > parseEther('1'));
});
await step('a transfer of each type, with receipts', async () => {
  const to = privateKeyToAccount(generatePrivateKey()).address;
  for (const more of [{ type: 'legacy' }, { type: 'eip2930', accessList: [{ address: to, storageKeys: [toHex(0, { size: 32 })] }] }, { type: 'eip1559' }]) {
    const done = await receipt(await wallet.sendTransaction({ to, value: 5n, ...more }));
    assert.equal(done.status, 'success');
    assert.equal(done.type, more.type);
  }
  assert.equal(await reader.getBalance({ address: to }), 15n);
});
await step('deploy, read, write', async () => {
  const done = await receipt(await wallet.deployContract({ abi, bytecode, args: [7n] }));
  address = done.contractAddress;
  assert.ok((await reader.getCode({ address })).length > 2);
  assert.equal(await reader.readContract({ address, abi, functionName: 'value' }), 7n);
  await write(42n);
  assert.equal(await reader.readContract({ address, abi, functionName: 'value' }), 42n);
  // The state one block ago is still there.
  const height = await reader.getBlockNumber();
  assert.ok(typeof await reader.getBalance({ ...account, blockNumber: height - 1n }) === 'bigint');
});
await step('logs and filters', async () => {
  const past = await reader.getContractEvents({ address, abi, eventName: 'Set', args: { by: account.address }, fromBlock: 0n });
  assert.equal(past.at(-1).args.value, 42n);
  const events = await reader.createContractEventFilter({ address, abi, eventName: 'Set' });
  const blocks = await reader.createBlockFilter();
  await write(43n);
  assert.deepEqual((await reader.getFilterChanges({ filter: events })).map((it) => it.args.value), [43n]);
  assert.ok((await reader.getFilterChanges({ filter: blocks })).length > 0);
  assert.equal((await reader.getFilterLogs({ filter: events })).at(-1).args.value, 43n);
  assert.equal(await reader.uninstallFilter({ filter: events }), true);
});
await step('a revert says why, and what is of no type is refused', async () => {
  const failed = await reader.simulateContract({ account, address, abi, functionName: 'set', args: [13n] }).catch((error) => error);
  const revert = failed instanceof BaseError && failed.walk((it) => it instanceof ContractFunctionRevertedError);
  assert.equal(revert.reason, 'unlucky');
  await assert.rejects(reader.request({ method: 'eth_call', params: [{ to: 'nobody' }, 'latest'] }));
});
await step('fee market', async () => {
  const fees = await reader.estimateFeesPerGas();
  assert.ok(fees.maxFeePerGas > fees.maxPriorityFeePerGas);
  const history = await reader.getFeeHistory({ blockCount: 4, rewardPercentiles: [25, 75] });
  assert.equal(history.baseFeePerGas.length, history.gasUsedRatio.length + 1);
  assert.equal(history.reward.length, history.gasUsedRatio.length);
  assert.ok(await reader.estimateContractGas({ account, address, abi, functionName: 'set', args: [1n] }) > 21000n);
});
await step('state overrides', async () => {
  const value = await reader.readContract({
    address, abi, functionName: 'value', stateOverride: [{ address, stateDiff: [{ slot: toHex(0, { size: 32 }), value: toHex(99, { size: 32 }) }] }],
  });
  assert.equal(value, 99n);
});
await step('proofs', async () => {
  const slot = toHex(0, { size: 32 });
  const proof = await reader.getProof({ address, storageKeys: [slot, toHex(7, { size: 32 })] });
  assert.deepEqual(proof.storageProof.map((it) => it.value), [43n, 0n]);
  const block = await reader.getBlock();
  const fresh = await reader.getProof({ address, storageKeys: [slot], blockNumber: block.number });
  assert.equal(keccak256(fresh.accountProof[0]), block.stateRoot);
});
await step('an account takes code by EIP-7702 and gives it back', async () => {
  const delegate = async (contractAddress) => {
    const authorization = await wallet.signAuthorization({ account, contractAddress, executor: 'self' });
    return receipt(await wallet.sendTransaction({ to: account.address, authorizationList: [authorization], gas: 100_000n }));
  };
  assert.equal((await delegate(address)).type, 'eip7702');
  assert.equal(await reader.getCode({ address: account.address }), `0xef0100${address.slice(2).toLowerCase()}`);
  await delegate('0x0000000000000000000000000000000000000000');
  assert.equal(await reader.getCode({ address: account.address }), undefined);
});
await step('blocks with their transactions, by number and hash', async () => {
  const block = await reader.getBlock({ includeTransactions: true });
  assert.equal((await reader.getBlock({ blockHash: block.hash })).number, block.number);
  // The last one of each block is the system's.
  assert.equal(block.transactions.at(-1).gasPrice, 0n);
  assert.equal((await reader.getTransaction({ blockNumber: block.number, index: 0 })).hash, block.transactions[0].hash);
  assert.equal(await reader.getBlock({ blockNumber: block.number + 1_000_000n }).catch((error) => error.name), 'BlockNotFoundError');
});
await step('subscriptions', async () => {
  const socket = createPublicClient({ chain, transport: webSocket(url.replace('http', 'ws')) });
  const number = await within(30_000, 'block', (resolve, reject) => socket.watchBlockNumber({ onBlockNumber: resolve, onError: reject }));
  assert.ok(number > 0n);
  const heard = within(30_000, 'log', (resolve, reject) => socket.watchContractEvent({ address, abi, eventName: 'Set', onLogs: resolve, onError: reject }));
  const waiting = within(30_000, 'pending transaction', (resolve, reject) => socket.watchPendingTransactions({ onTransactions: resolve, onError: reject }));
  await new Promise((resolve) => setTimeout(resolve, 500));
  const done = await write(77n);
  assert.equal((await heard)[0].args.value, 77n);
  assert.ok((await waiting).includes(done.transactionHash));
});
await step('traces of a call', async () => {
  const call = await reader.request({ method: 'debug_traceCall', params: [{ to: address, data: '0x3fa4f245' }, 'latest', { tracer: 'callTracer' }] });
  assert.equal(BigInt(call.output), 77n);
  const block = numberToHex(await reader.getBlockNumber());
  assert.ok(Array.isArray(await reader.request({ method: 'debug_traceBlockByNumber', params: [block, { tracer: 'callTracer' }] })));
});
process.exit(0);
