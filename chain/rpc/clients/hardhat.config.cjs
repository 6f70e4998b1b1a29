// The project of hardhat.cjs: the npm compiler, so that nothing is downloaded, and a network that is already running.
require('@nomicfoundation/hardhat-ethers');
const { subtask } = require('hardhat/config');
const { TASK_COMPILE_SOLIDITY_GET_SOLC_BUILD } = require('hardhat/builtin-tasks/task-names');

subtask(TASK_COMPILE_SOLIDITY_GET_SOLC_BUILD, async ({ solcVersion }) => ({
  version: solcVersion, longVersion: solcVersion, compilerPath: require.resolve('solc/soljson.js'), isSolcJs: true,
}));

module.exports = {
  solidity: '0.8.37',
  networks: {
    local: {
      url: process.env.NETCHAIN_URL ?? 'http://127.0.0.1:18545',
      accounts: { mnemonic: 'test test test test test test test test test test test junk', initialIndex: 8, count: 1 },
    },
  },
};
