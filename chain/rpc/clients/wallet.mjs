// node wallet.mjs URL NETCTL FOLDER: keystore files go from netctl to ethers and back, and netctl pays on the chain.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ethers } from 'ethers';

const [url, netctl, folder] = process.argv.slice(2);
const passphrase = 'vapor ladder quench ribbon mosaic';
const file = (name, text) => { const path = join(folder, name); writeFileSync(path, text, { mode: 0o600 }); return path; };
const secret = file('passphrase', `${passphrase}\n`);
const run = (...args) => JSON.parse(execFileSync(netctl, [...args, '--json'], {
  env: { ...process.env, NETFLOW_KEYSTORE: join(folder, 'keys'), NETFLOW_RPC: url }, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'],
}).trim().split('\n').at(-1));
const step = async (name, work) => { await work(); console.log('ok netctl:', name); };

let made;
await step('ethers opens what netctl sealed', async () => {
  made = run('wallet', 'new', '--passphrase-file', secret);
  const wallet = await ethers.Wallet.fromEncryptedJson(readFileSync(made.file, 'utf8'), passphrase);
  assert.equal(wallet.address, made.address);
});
await step('netctl opens what ethers sealed, and pays with it', async () => {
  // The eighth account of the mnemonic.
  const wallet = ethers.HDNodeWallet.fromPhrase('test test test test test test test test test test test junk', undefined, "m/44'/60'/0'/0/7");
  const sealed = file('ethers.json', await new ethers.Wallet(wallet.privateKey).encrypt(passphrase));
  assert.equal(run('wallet', 'import', sealed, '--passphrase-file', secret).address, wallet.address);
  const sent = run('tx', 'send', made.address, '2.5', '--from', wallet.address, '--yes', '--passphrase-file', secret, '--chain-id', '31373');
  assert.equal(sent.state, 'included');
  const provider = new ethers.JsonRpcProvider(url);
  assert.equal(await provider.getBalance(made.address), ethers.parseEther('2.5'));
  assert.equal((await provider.getTransaction(sent.hash)).from, wallet.address);
});
console.log(`keystore ${made.file} ${secret} ${made.address}`);
process.exit(0);
