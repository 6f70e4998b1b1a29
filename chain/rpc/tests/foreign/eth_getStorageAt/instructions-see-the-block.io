// BLOCKHASH, PREVRANDAO and BASEFEE as stored by the last block, a slot of the genesis, the ring of beacon roots
>> {"jsonrpc":"2.0","id":1,"method":"eth_getStorageAt","params":["0x1000000000000000000000000000000000000002","0x0","latest"]}
<< {"jsonrpc":"2.0","id":1,"result":"0x181fce870099e43135830284f797e91232e5148bfcb80c302f34aa96883f99ee"}
>> {"jsonrpc":"2.0","id":1,"method":"eth_getStorageAt","params":["0x1000000000000000000000000000000000000002","0x1","latest"]}
<< {"jsonrpc":"2.0","id":1,"result":"0x5555555555555555555555555555555555555555555555555555555555555559"}
>> {"jsonrpc":"2.0","id":1,"method":"eth_getStorageAt","params":["0x1000000000000000000000000000000000000002","0x2","latest"]}
<< {"jsonrpc":"2.0","id":1,"result":"0x0000000000000000000000000000000000000000000000000000000012181264"}
>> {"jsonrpc":"2.0","id":1,"method":"eth_getStorageAt","params":["0x1000000000000000000000000000000000000001","0x1","latest"]}
<< {"jsonrpc":"2.0","id":1,"result":"0x0000000000000000000000000000000000000000000000000000000000000007"}
>> {"jsonrpc":"2.0","id":1,"method":"eth_getStorageAt","params":["0x000f3df6d732807ef1319fb7b8bb8522d0beac02","0x5a","latest"]}
<< {"jsonrpc":"2.0","id":1,"result":"0x000000000000000000000000000000000000000000000000000000000000005a"}
>> {"jsonrpc":"2.0","id":1,"method":"eth_getStorageAt","params":["0x0000f90827f1c53a10cb7a02335b175320002935","0x8","latest"]}
<< {"jsonrpc":"2.0","id":1,"result":"0x181fce870099e43135830284f797e91232e5148bfcb80c302f34aa96883f99ee"}
