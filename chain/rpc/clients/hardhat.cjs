// hardhat run hardhat.cjs --network local: compile, deploy and use a contract the way a Hardhat project does.
const assert = require('node:assert/strict');
const { ethers, network } = require('hardhat');

const step = async (name, run) => { await run(); console.log('ok hardhat:', name); };

async function main() {
  const [signer] = await ethers.getSigners();
  let counter;
  await step('network and signer', async () => {
    assert.equal(BigInt(await network.provider.request({ method: 'eth_chainId' })), 31373n);
    assert.ok(await ethers.provider.getBalance(signer.address) > ethers.parseEther('1'));
  });
  await step('deploy from an artifact', async () => {
    counter = await ethers.deployContract('Counter', [7n]);
    await counter.waitForDeployment();
    assert.equal(await counter.value(), 7n);
  });
  await step('send, events', async () => {
    const receipt = await (await counter.set(42n)).wait();
    assert.equal(receipt.status, 1);
    assert.equal(await counter.value(), 42n);
    const events = await counter.queryFilter(counter.filters.Set(signer.address), receipt.blockNumber);
    assert.equal(events.at(-1).args.value, 42n);
  });
  await step('a revert says why', async () => {
    await assert.rejects(counter.set(13n), (error) => /unlucky/.test(error.message));
  });
}
main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
