// of an account and of nobody
>> {"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x1111111111111111111111111111111111111111","latest"]}
<< {"jsonrpc":"2.0","id":1,"result":"0x3e8"}
>> {"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x4444444444444444444444444444444444444444","0x0"]}
<< {"jsonrpc":"2.0","id":1,"result":"0x0"}
