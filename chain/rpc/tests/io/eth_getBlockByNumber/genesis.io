// speconly: the block is the one of the genesis file; its hashes depend on the witnesses
>> {"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["0x0",true]}
<< {"jsonrpc":"2.0","id":1,"result":{"number":"0x0","hash":"0x00","parentHash":"0x00","stateRoot":"0x00","transactions":[],"uncles":[],"withdrawals":[],"baseFeePerGas":"0x0","gasLimit":"0x0","gasUsed":"0x0","extraData":"0x","mixHash":"0x00","timestamp":"0x64","size":"0x0","requestsHash":"0x00"}}
