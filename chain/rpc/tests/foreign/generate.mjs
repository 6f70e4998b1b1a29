// Makes chain.rlp, genesis.json and the questions about them with ethereumjs: another implementation than the one under test.
// A chain that goes from Paris to Prague, as the published suites have it (theirs are not part of the repository).
// npm install @ethereumjs/vm@10.1.3 @ethereumjs/block @ethereumjs/blockchain @ethereumjs/common @ethereumjs/statemanager @ethereumjs/tx @ethereumjs/util
// node generate.mjs FOLDER
import { writeFileSync, mkdirSync } from 'node:fs';
import { createCommonFromGethGenesis, parseGethGenesisState } from '@ethereumjs/common';
import { createVM, buildBlock, encodeReceipt } from '@ethereumjs/vm';
import { createBlockchain } from '@ethereumjs/blockchain';
import { createBlock } from '@ethereumjs/block';
import { createTx } from '@ethereumjs/tx';
import { MerkleStateManager } from '@ethereumjs/statemanager';
import { bytesToHex, hexToBytes, concatBytes, createAddressFromPrivateKey, createWithdrawal, createAddressFromString } from '@ethereumjs/util';

const out = process.argv[2];
mkdirSync(out, { recursive: true });
const key = hexToBytes('0x45a915e4d060149eb4365960e6a7a45f334393093061116b197e3240065ff2d8');
const me = createAddressFromPrivateKey(key);
const BEACON = '0x3373fffffffffffffffffffffffffffffffffffffffe14604d57602036146024575f5ffd5b5f35801560495762001fff810690815414603c575f5ffd5b62001fff01545f5260205ff35b5f5ffd5b62001fff42064281555f359062001fff015500';
const HISTORY = '0x3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257611fff81430311604257611fff9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500';
const genesis = {
  config: { chainId: 7331, homesteadBlock: 0, eip150Block: 0, eip155Block: 0, eip158Block: 0, byzantiumBlock: 0, constantinopleBlock: 0, petersburgBlock: 0,
    istanbulBlock: 0, berlinBlock: 0, londonBlock: 0, mergeNetsplitBlock: 0, terminalTotalDifficulty: 0, shanghaiTime: 25, cancunTime: 45, pragueTime: 65,
    blobSchedule: { cancun: { target: 3, max: 6, baseFeeUpdateFraction: 3338477 }, prague: { target: 6, max: 9, baseFeeUpdateFraction: 5007716 } } },
  nonce: '0x0', timestamp: '0x0', extraData: '0x6e6663', gasLimit: '0x1c9c380', difficulty: '0x0', mixHash: '0x' + '00'.repeat(32), coinbase: '0x' + '00'.repeat(20),
  alloc: {
    [me.toString()]: { balance: '0x3635c9adc5dea00000' },
    '0x1000000000000000000000000000000000000001': { balance: '0x1', code: '0x600035600055600160005260206000a0', storage: { ['0x' + '00'.repeat(31) + '01']: '0x' + '00'.repeat(31) + '07' } },
    // stores blockhash(number - 1) and prevrandao
    '0x1000000000000000000000000000000000000002': { balance: '0x0', code: '0x6001430340600055446001554860025500' },
    '0x000F3df6D732807Ef1319fB7B8bB8522d0Beac02': { balance: '0x0', nonce: '0x1', code: BEACON },
    '0x0000F90827F1C53a10cb7A02335B175320002935': { balance: '0x0', nonce: '0x1', code: HISTORY },
  },
  number: '0x0', gasUsed: '0x0', parentHash: '0x' + '00'.repeat(32), baseFeePerGas: '0x3b9aca00',
};
const common = createCommonFromGethGenesis(genesis, { chain: 'nfc' });
common.setHardforkBy({ blockNumber: 0n, timestamp: 0n });
const blockchain = await createBlockchain({ common, validateBlocks: false, validateConsensus: false, genesisState: parseGethGenesisState(genesis), hardforkByHeadBlockNumber: true });
const stateManager = new MerkleStateManager({ common });
const vm = await createVM({ common, blockchain, stateManager, setHardfork: true });
await vm.stateManager.generateCanonicalGenesis(parseGethGenesisState(genesis));
let parent = blockchain.genesisBlock;
console.log('genesis', bytesToHex(parent.hash()), bytesToHex(parent.header.stateRoot));
const blocks = [];
const chain = [];
const receipts = new Map();
let nonce = 0n;
for (let n = 1n; n <= 9n; n++) {
  const timestamp = n * 10n;
  common.setHardforkBy({ blockNumber: n, timestamp });
  const cancun = common.gteHardfork('cancun'), shanghai = common.gteHardfork('shanghai');
  const builder = await buildBlock(vm, {
    parentBlock: parent,
    headerData: { number: n, timestamp, gasLimit: 30000000n, coinbase: createAddressFromString('0x00000000000000000000000000000000000c0ffe'), baseFeePerGas: parent.header.calcNextBaseFee(),
      mixHash: hexToBytes('0x' + n.toString(16).padStart(64, '5')), ...(cancun ? { parentBeaconBlockRoot: hexToBytes('0x' + n.toString(16).padStart(64, '7')) } : {}) },
    ...(shanghai ? { withdrawals: [createWithdrawal({ index: n, validatorIndex: 3n, address: createAddressFromString('0x00000000000000000000000000000000000000aa'), amount: 1000n + n })] } : {}),
    blockOpts: { common, setHardfork: true, putBlockIntoBlockchain: true },
  });
  const send = async (fields, type = 2) => {
    const price = type === 2 || type === 4 ? { maxFeePerGas: 5000000000n, maxPriorityFeePerGas: 1000000000n } : { gasPrice: 3000000000n };
    const tx = createTx({ type, nonce: nonce++, gasLimit: 200000n, chainId: 7331n, ...price, ...fields }, { common }).sign(key);
    const result = await builder.addTransaction(tx);
    receipts.set(n, [...(receipts.get(n) ?? []), bytesToHex(encodeReceipt(result.receipt, type))]);
  };
  await send({ to: '0x00000000000000000000000000000000000000bb', value: n }, 0);
  await send({ to: '0x1000000000000000000000000000000000000001', data: '0x' + n.toString(16).padStart(64, '0') }, 2);
  await send({ to: '0x1000000000000000000000000000000000000002', accessList: [{ address: '0x1000000000000000000000000000000000000002', storageKeys: ['0x' + '00'.repeat(32)] }] }, 1);
  if (n === 2n) await send({ data: '0x600a600c600039600a6000f3602a60005260206000f3', value: 0n }, 0);   // creates a contract
  if (n === 3n) await send({ data: '0xfe' }, 2);                                                       // a creation that fails
  const { block } = await builder.build();
  console.log(n.toString(), common.hardfork(), bytesToHex(block.hash()), bytesToHex(block.header.stateRoot));
  blocks.push(block.serialize());
  chain.push(block);
  parent = block;
}
writeFileSync(`${out}/chain.rlp`, concatBytes(...blocks));
writeFileSync(`${out}/genesis.json`, JSON.stringify(genesis, null, 1) + '\n');

// The questions. Answers are what ethereumjs says; of raw forms every byte.
const io = (method, name, note, ...pairs) => {
  mkdirSync(`${out}/${method}`, { recursive: true });
  const lines = pairs.map(([params, answer]) => `>> ${JSON.stringify({ jsonrpc: '2.0', id: 1, method, params })}\n<< ${JSON.stringify({ jsonrpc: '2.0', id: 1, ...answer })}\n`);
  writeFileSync(`${out}/${method}/${name}.io`, `// ${note}\n${lines.join('')}`);
};
const ok = (result) => ({ result });
const hex = (n) => '0x' + BigInt(n).toString(16);
const word = (bytes) => '0x' + bytesToHex(bytes).slice(2).padStart(64, '0');
const tip = chain.at(-1);
const account = async (text) => vm.stateManager.getAccount(createAddressFromString(text));
const counted = ['0x00000000000000000000000000000000000c0ffe', '0x00000000000000000000000000000000000000aa', '0x00000000000000000000000000000000000000bb', me.toString()];
io('debug_getRawBlock', 'each-fork', 'every byte of a block of each fork', ...[1, 3, 5, 7, 9].map((n) => [[hex(n)], ok(bytesToHex(chain[n - 1].serialize()))]));
io('debug_getRawHeader', 'each-fork', 'the genesis too', [['0x0'], ok(bytesToHex(blockchain.genesisBlock.header.serialize()))], ...[2, 4, 6, 8].map((n) => [[hex(n)], ok(bytesToHex(chain[n - 1].header.serialize()))]));
io('debug_getRawReceipts', 'with-a-failed-creation', 'of blocks 2 (a contract made), 3 (a creation that fails) and 7', ...[2, 3, 7].map((n) => [[hex(n)], ok(receipts.get(BigInt(n)))]));
io('eth_blockNumber', 'tip', 'all blocks were taken', [[], ok(hex(tip.header.number))]);
io('eth_chainId', 'chain-id', 'of the genesis file', [[], ok(hex(7331))]);
io('eth_getBlockTransactionCountByHash', 'by-real-hash', 'hashes are those of the chain', ...chain.map((block) => [[bytesToHex(block.hash())], ok(hex(block.transactions.length))]), [['0x' + '11'.repeat(32)], ok(null)]);
io('eth_getBalance', 'tips-withdrawals-transfers', 'creator, withdrawals, receiver, sender', ...await Promise.all(counted.map(async (it) => [[it, 'latest'], ok(hex((await account(it)).balance))])));
io('eth_getTransactionCount', 'sender', 'the last nonce and one more', [[me.toString(), 'latest'], ok(hex(nonce))]);
const slot = async (address, n) => word(await vm.stateManager.getStorage(createAddressFromString(address), hexToBytes('0x' + n.toString(16).padStart(64, '0'))));
const two = '0x1000000000000000000000000000000000000002';
io('eth_getStorageAt', 'instructions-see-the-block', 'BLOCKHASH, PREVRANDAO and BASEFEE as stored by the last block, a slot of the genesis, the ring of beacon roots',
  ...await Promise.all([0, 1, 2].map(async (n) => [[two, hex(n), 'latest'], ok(await slot(two, n))])),
  [['0x1000000000000000000000000000000000000001', '0x1', 'latest'], ok('0x' + '00'.repeat(31) + '07')],
  [['0x000f3df6d732807ef1319fb7b8bb8522d0beac02', hex(90), 'latest'], ok(await slot('0x000F3df6D732807Ef1319fB7B8bB8522d0Beac02', 90))],
  [['0x0000f90827f1c53a10cb7a02335b175320002935', hex(8), 'latest'], ok(await slot('0x0000F90827F1C53a10cb7A02335B175320002935', 8))]);
