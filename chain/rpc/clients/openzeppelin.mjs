// node openzeppelin.mjs [http://127.0.0.1:18545]: OpenZeppelin's ERC-20 with votes and its Governor, deployed and used.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { ethers } from 'ethers';
import solc from 'solc';

const url = process.argv[2] ?? 'http://127.0.0.1:18545';
const provider = new ethers.JsonRpcProvider(url, undefined, { pollingInterval: 300 });
// The sixth and seventh account of the mnemonic.
const account = (index) => ethers.HDNodeWallet
  .fromPhrase('test test test test test test test test test test test junk', undefined, `m/44'/60'/0'/0/${index}`).connect(provider);
const [owner, voter] = [account(5), account(6)];
const step = async (name, run) => { await run(); console.log('ok openzeppelin:', name); };
const done = async (sent) => {
  const receipt = await (await sent).wait(1, 60_000);
  assert.equal(receipt.status, 1);
  return receipt;
};

const source = `// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.27;
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC20Votes} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Votes.sol";
import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";
import {Governor} from "@openzeppelin/contracts/governance/Governor.sol";
import {GovernorCountingSimple} from "@openzeppelin/contracts/governance/extensions/GovernorCountingSimple.sol";
import {GovernorVotes} from "@openzeppelin/contracts/governance/extensions/GovernorVotes.sol";
import {GovernorVotesQuorumFraction} from "@openzeppelin/contracts/governance/extensions/GovernorVotesQuorumFraction.sol";
import {IVotes} from "@openzeppelin/contracts/governance/utils/IVotes.sol";

contract Token is ERC20, ERC20Permit, ERC20Votes {
    constructor() ERC20("Token", "TKN") ERC20Permit("Token") { _mint(msg.sender, 1000 ether); }
    function _update(address from, address to, uint256 value) internal override(ERC20, ERC20Votes) { super._update(from, to, value); }
    function nonces(address owner) public view override(ERC20Permit, Nonces) returns (uint256) { return super.nonces(owner); }
}
contract Council is Governor, GovernorCountingSimple, GovernorVotes, GovernorVotesQuorumFraction {
    constructor(IVotes token) Governor("Council") GovernorVotes(token) GovernorVotesQuorumFraction(10) {}
    function votingDelay() public pure override returns (uint256) { return 1; }
    function votingPeriod() public pure override returns (uint256) { return 5; }
}`;

function compile() {
  const input = {
    language: 'Solidity', sources: { 'x.sol': { content: source } },
    settings: { optimizer: { enabled: true, runs: 200 }, outputSelection: { 'x.sol': { '*': ['abi', 'evm.bytecode.object'] } } },
  };
  const load = (path) => ({ contents: readFileSync(new URL(`./node_modules/${path}`, import.meta.url), 'utf8') });
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: load }));
  const errors = (output.errors ?? []).filter((it) => it.severity === 'error');
  assert.equal(errors.length, 0, errors.map((it) => it.formattedMessage).join('\n'));
  return output.contracts['x.sol'];
}

const { Token, Council } = compile();
const deploy = async ({ abi, evm }, ...args) => (await new ethers.ContractFactory(abi, evm.bytecode.object, owner).deploy(...args)).waitForDeployment();
const height = () => provider.getBlockNumber();
const until = async (block) => { while (await height() < block) await new Promise((resolve) => setTimeout(resolve, 300)); };
let token, council, id;
const unit = ethers.parseEther('1');

await step('ERC-20 deployed', async () => {
  token = await deploy(Token);
  assert.equal(await token.balanceOf(owner.address), 1000n * unit);
});
await step('transfer, approve, transferFrom, and their events', async () => {
  const receipt = await done(token.transfer(voter.address, 400n * unit));
  assert.equal(token.interface.parseLog(receipt.logs[0]).args.value, 400n * unit);
  await done(token.approve(voter.address, 5n * unit));
  await done(token.connect(voter).transferFrom(owner.address, voter.address, 5n * unit));
  assert.equal(await token.balanceOf(voter.address), 405n * unit);
  const events = await token.queryFilter(token.filters.Transfer(owner.address), 0);
  assert.equal(events.length, 2);
});
await step('a custom error has its name and arguments', async () => {
  await assert.rejects(token.connect(voter).transferFrom.staticCall(owner.address, voter.address, unit), (error) => error.revert?.name === 'ERC20InsufficientAllowance');
});
await step('permit: an allowance by signature (EIP-712)', async () => {
  const domain = { name: 'Token', version: '1', chainId: 31373, verifyingContract: token.target };
  const types = { Permit: ['owner:address', 'spender:address', 'value:uint256', 'nonce:uint256', 'deadline:uint256'].map((it) => ({ name: it.split(':')[0], type: it.split(':')[1] })) };
  const permit = { owner: owner.address, spender: voter.address, value: 3n, nonce: 0n, deadline: 2n ** 48n };
  const { v, r, s } = ethers.Signature.from(await owner.signTypedData(domain, types, permit));
  await done(token.connect(voter).permit(permit.owner, permit.spender, permit.value, permit.deadline, v, r, s));
  assert.equal(await token.allowance(owner.address, voter.address), 3n);
});
await step('Governor deployed, votes delegated', async () => {
  council = await deploy(Council, token.target);
  await done(token.delegate(owner.address));
  const receipt = await done(token.connect(voter).delegate(voter.address));
  await done(token.transfer(council.target, 10n * unit));
  assert.equal(await token.getVotes(voter.address), 405n * unit);
  await until(receipt.blockNumber + 2);
  assert.equal(await token.getPastVotes(voter.address, receipt.blockNumber), 405n * unit);
});
const pay = [];
await step('a proposal is made', async () => {
  pay.push([token.target], [0n], [token.interface.encodeFunctionData('transfer', [voter.address, 7n * unit])]);
  const receipt = await done(council.propose(...pay, 'pay the voter'));
  id = receipt.logs.map((log) => council.interface.parseLog(log)).find((log) => log?.name === 'ProposalCreated').args.proposalId;
  await until(Number(await council.proposalSnapshot(id)) + 1);
});
await step('voted on, and carried out', async () => {
  await done(council.castVote(id, 1));
  await done(council.connect(voter).castVoteWithReason(id, 1, 'good'));
  await until(Number(await council.proposalDeadline(id)) + 1);
  assert.equal(await council.state(id), 4n, 'succeeded');
  const before = await token.balanceOf(voter.address);
  await done(council.execute(...pay, ethers.id('pay the voter')));
  assert.equal(await token.balanceOf(voter.address) - before, 7n * unit);
  assert.equal(await council.state(id), 7n, 'executed');
});
process.exit(0);
