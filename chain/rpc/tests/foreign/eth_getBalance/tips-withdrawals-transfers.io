// creator, withdrawals, receiver, sender
>> {"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x00000000000000000000000000000000000c0ffe","latest"]}
<< {"jsonrpc":"2.0","id":1,"result":"0x71a22293a9a78"}
>> {"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x00000000000000000000000000000000000000aa","latest"]}
<< {"jsonrpc":"2.0","id":1,"result":"0x66797e89400"}
>> {"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x00000000000000000000000000000000000000bb","latest"]}
<< {"jsonrpc":"2.0","id":1,"result":"0x2d"}
>> {"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0xa94f5374fce5edbc8e2a8697c15331677e6ebf0b","latest"]}
<< {"jsonrpc":"2.0","id":1,"result":"0x3635c03ba29d91c1e3"}
