// Builds the genesis contracts with the pinned compiler, independently of forge, and writes or checks `artifacts/`.
//   node tools/build.js write | check
// An artifact holds the address, ABI, storage layout and runtime code; SHA256SUMS covers them all. Runtime code is what
// the genesis places: there is no constructor, hence refused here, as is every opcode by which a contract could be
// replaced or make another one, and metadata, which would tie the code to comments and paths.
"use strict";
const fs = require("fs");
const path = require("path");
const crypto = require("crypto");
const solc = require("solc");
const { keccak256 } = require("js-sha3");

process.chdir(path.join(__dirname, ".."));
// The same settings as foundry.toml; the tests compare forge's code with the artifacts, so a difference is found.
const SETTINGS = {
  evmVersion: "osaka",
  viaIR: false,
  optimizer: { enabled: true, runs: 10000 },
  metadata: { bytecodeHash: "none", appendCBOR: false },
  outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode", "storageLayout"] } },
};
const FORBIDDEN = { 0xf0: "CREATE", 0xf2: "CALLCODE", 0xf4: "DELEGATECALL", 0xf5: "CREATE2", 0xff: "SELFDESTRUCT" };
const CODE_LIMIT = 24576; // EIP-170

function fail(text) {
  console.error("contracts: " + text);
  process.exit(1);
}

function sources(dir) {
  return fs.readdirSync(dir, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1)).flatMap((e) => {
    const p = path.posix.join(dir, e.name);
    return e.isDirectory() ? sources(p) : p.endsWith(".sol") ? [p] : [];
  });
}

function opcodes(code, visit) {
  for (let i = 0; i < code.length; i++) {
    visit(code[i]);
    if (code[i] >= 0x60 && code[i] <= 0x7f) i += code[i] - 0x5f;
  }
}

function build() {
  const input = { language: "Solidity", settings: SETTINGS, sources: {} };
  for (const p of sources("src")) input.sources[p] = { content: fs.readFileSync(p, "utf8") };
  const out = JSON.parse(solc.compile(JSON.stringify(input)));
  for (const e of out.errors || []) fail(e.formattedMessage);
  const addresses = {};
  const text = fs.readFileSync("src/system/Addresses.sol", "utf8");
  for (const m of text.matchAll(/address internal constant (\w+) = (0x[0-9a-fA-F]{40});/g)) addresses[m[1]] = m[2];
  const files = {};
  for (const p of Object.keys(out.contracts).filter((p) => p.startsWith("src/system/"))) {
    for (const [name, c] of Object.entries(out.contracts[p])) {
      const hex = c.evm.deployedBytecode.object;
      const constant = name.replace(/([a-z])([A-Z])/g, "$1_$2").toUpperCase();
      if (hex === "" || !(constant in addresses)) continue; // abstract, or a library inlined elsewhere
      if (c.abi.some((x) => x.type === "constructor")) fail(name + " has a constructor; the genesis runs none");
      if (Object.keys(c.evm.deployedBytecode.immutableReferences || {}).length) fail(name + " has immutables");
      const code = Buffer.from(hex, "hex");
      if (code.length > CODE_LIMIT) fail(name + " has " + code.length + " bytes of code, the limit is " + CODE_LIMIT);
      opcodes(code, (op) => op in FORBIDDEN && fail(name + " contains " + FORBIDDEN[op]));
      const storage = c.storageLayout.storage.map((s) => ({ slot: Number(s.slot), offset: s.offset, name: s.label, type: c.storageLayout.types[s.type].label }));
      files["artifacts/" + name + ".json"] =
        JSON.stringify({ name, address: addresses[constant], compiler: solc.version(), codeHash: "0x" + keccak256(code), storage, abi: c.abi, code: "0x" + hex }, null, 1) + "\n";
    }
  }
  files["artifacts/SHA256SUMS"] = Object.keys(files)
    .sort()
    .map((f) => crypto.createHash("sha256").update(files[f]).digest("hex") + "  " + path.basename(f) + "\n")
    .join("");
  return files;
}

const files = build();
if (process.argv[2] === "write") {
  fs.mkdirSync("artifacts", { recursive: true });
  for (const [f, text] of Object.entries(files)) fs.writeFileSync(f, text);
} else {
  const have = fs.readdirSync("artifacts").map((f) => "artifacts/" + f).sort();
  const want = Object.keys(files).sort();
  if (have.join() !== want.join()) fail("artifacts/ holds " + have + ", the sources give " + want);
  for (const f of want) if (fs.readFileSync(f, "utf8") !== files[f]) fail(f + " is not what the sources give; run: node tools/build.js write");
}
console.log("contracts: " + (Object.keys(files).length - 1) + " contracts reproduced with solc " + solc.version());
