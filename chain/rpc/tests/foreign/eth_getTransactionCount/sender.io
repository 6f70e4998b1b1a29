// the last nonce and one more
>> {"jsonrpc":"2.0","id":1,"method":"eth_getTransactionCount","params":["0xa94f5374fce5edbc8e2a8697c15331677e6ebf0b","latest"]}
<< {"jsonrpc":"2.0","id":1,"result":"0x1d"}
