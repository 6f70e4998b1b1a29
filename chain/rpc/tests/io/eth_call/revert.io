// code 3 and the raw reason
>> {"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{"to":"0x3333333333333333333333333333333333333333"},"latest"]}
<< {"jsonrpc":"2.0","id":1,"error":{"code":3,"message":"execution reverted","data":"0xdeadbeef"}}
