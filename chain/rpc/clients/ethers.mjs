// node ethers.mjs [http://127.0.0.1:18545]: what a wallet and a dapp do, with ethers, against a local network.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { ethers } from 'ethers';

const url = process.argv[2] ?? 'http://127.0.0.1:18545';
const provider = new ethers.JsonRpcProvider(url, undefined, { pollingInterval: 300 });
const wallet = ethers.HDNodeWallet.fromPhrase('test test test test test test test test test test test junk').connect(provider);
const counter = JSON.parse(readFileSync(new URL('./counter.json', import.meta.url)));
const step = async (name, run) => { await run(); console.log('ok ethers:', name); };

let contract;
await step('network and balance', async () => {
  assert.equal((await provider.getNetwork()).chainId, 31373n);
  assert.ok(await provider.getBalance(wallet.address) > ethers.parseEther('1'));
});
await step('transfer with a receipt', async () => {
  const to = ethers.Wallet.createRandom().address;
  const receipt = await (await wallet.sendTransaction({ to, value: 12345n })).wait(1, 60_000);
  assert.equal(receipt.status, 1);
  assert.equal(receipt.gasUsed, 21000n);
  assert.equal(await provider.getBalance(to), 12345n);
  const tx = await provider.getTransaction(receipt.hash);
  assert.equal(tx.from, wallet.address);
  const block = await provider.getBlock(receipt.blockNumber, true);
  assert.ok(block.prefetchedTransactions.some((it) => it.hash === receipt.hash));
});
await step('a contract is deployed, called and changed', async () => {
  const factory = new ethers.ContractFactory(counter.abi, counter.bytecode, wallet);
  contract = await (await factory.deploy(7n)).waitForDeployment();
  assert.equal(await contract.value(), 7n);
  await (await contract.set(42n)).wait(1, 60_000);
  assert.equal(await contract.value(), 42n);
  assert.equal(BigInt(await provider.getStorage(contract.target, 0)), 42n);
});
await step('events by filter', async () => {
  const events = await contract.queryFilter(contract.filters.Set(wallet.address), 0);
  assert.equal(events.at(-1).args.value, 42n);
});
await step('a revert says why', async () => {
  await assert.rejects(contract.set(13n), (error) => error.reason === 'unlucky');
});
await step('fees', async () => {
  const fees = await provider.getFeeData();
  assert.ok(fees.maxFeePerGas >= 1_000_000_000n && fees.maxPriorityFeePerGas >= 0n);
  const history = await provider.send('eth_feeHistory', ['0x4', 'latest', [10, 50]]);
  assert.equal(history.baseFeePerGas.length, history.gasUsedRatio.length + 1);
});
await step('state overrides and access lists', async () => {
  const slot = ethers.zeroPadValue('0x', 32);
  const to = contract.target;
  const data = contract.interface.encodeFunctionData('value');
  const answer = await provider.send('eth_call', [{ to, data }, 'latest', { [to]: { stateDiff: { [slot]: ethers.toBeHex(99, 32) } } }]);
  assert.equal(BigInt(answer), 99n);
  const list = await provider.send('eth_createAccessList', [{ to, data, from: wallet.address }, 'latest']);
  assert.equal(list.accessList[0].storageKeys.length, 1);
});
await step('a replacement needs 10 % more, and both are seen', async () => {
  const nonce = await provider.getTransactionCount(wallet.address, 'pending') + 5;
  const send = (maxFeePerGas, maxPriorityFeePerGas) => wallet.sendTransaction({ to: wallet.address, nonce, maxFeePerGas, maxPriorityFeePerGas, gasLimit: 21000n });
  await send(10_000_000_000n, 1_000_000_000n);
  await assert.rejects(send(10_500_000_000n, 1_050_000_000n), (error) => error.code === 'REPLACEMENT_UNDERPRICED');
  await send(11_000_000_000n, 1_100_000_000n);
});
await step('traces', async () => {
  const events = await contract.queryFilter(contract.filters.Set(), 0);
  const hash = events.at(-1).transactionHash;
  const call = await provider.send('debug_traceTransaction', [hash, { tracer: 'callTracer' }]);
  assert.equal(ethers.getAddress(call.to), contract.target);
  const before = await provider.send('debug_traceTransaction', [hash, { tracer: 'prestateTracer' }]);
  assert.ok(before[contract.target.toLowerCase()]);
});
await step('proofs and certificates', async () => {
  const slot = ethers.zeroPadValue('0x', 32);
  const proof = await provider.send('eth_getProof', [contract.target, [slot], 'latest']);
  assert.equal(BigInt(proof.storageProof[0].value), 42n);
  const block = await provider.getBlock('latest');
  const certificate = await provider.send('nfc_getCertificate', [ethers.toQuantity(block.number)]);
  assert.equal(certificate.blockHash, block.hash);
  assert.equal(ethers.keccak256(certificate.header), block.hash);
  const witnesses = await provider.send('nfc_witnesses', ['latest']);
  assert.ok(certificate.signers.length * 3 > witnesses.length * 2);
});
await step('subscriptions', async () => {
  const socket = new ethers.WebSocketProvider(url.replace('http', 'ws'));
  const number = await new Promise((resolve, reject) => {
    socket.on('block', resolve);
    setTimeout(() => reject(new Error('no block in 30 s')), 30_000).unref();
  });
  assert.ok(number > 0);
  const logs = new ethers.Contract(contract.target, counter.abi, socket);
  const heard = new Promise((resolve, reject) => {
    logs.on('Set', (by, value) => resolve(value));
    setTimeout(() => reject(new Error('no log in 30 s')), 30_000).unref();
  });
  await (await contract.set(77n)).wait(1, 60_000);
  assert.equal(await heard, 77n);
  await socket.destroy();
});
process.exit(0);
