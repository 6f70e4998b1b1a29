//! Ethereum's keystore file, version 3 ("Web3 Secret Storage"): what geth, ethers, MetaMask and web3.py read and write.
//!
//! ```text
//! derived    = scrypt(passphrase, salt, n, r, p), 32 bytes     (or PBKDF2-HMAC-SHA256, only read)
//! ciphertext = AES-128-CTR(derived[0..16], iv, key of the account)
//! mac        = keccak(derived[16..32] | ciphertext)
//! ```
//!
//! Pure: randomness is an argument, files are the business of [`super::store`].

use alloy_primitives::{Address, keccak256};
use aws_lc_rs::cipher::{
    AES_128, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::iv::FixedLength;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::account::AccountKey;

/// Version of the format; the others are from before 2016.
const VERSION: u32 = 3;
/// Most memory the file may make this program use: twice geth's standard. A file is input of a stranger.
const MAX_SCRYPT_BYTES: u64 = 512 << 20;
/// Most bytes written in all passes: four times geth's standard and the published vector, a few seconds.
const MAX_SCRYPT_WORK: u64 = 1 << 30;
/// Most iterations of PBKDF2: ten times what is recommended for it, a few seconds.
const MAX_PBKDF2: u32 = 6_000_000;
/// Longest salt. All programs write 32 bytes.
const MAX_SALT_BYTES: usize = 128;

/// Bytes as hexadecimal digits without `0x`, as geth wants them; it is taken where others write it.
mod digits {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex::decode(text.strip_prefix("0x").unwrap_or(&text)).map_err(D::Error::custom)
    }
}

/// How costly a guess of the passphrase is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cost {
    /// 128 MiB: n = 2^17, r = 8, p = 1, as ethers and OWASP have it.
    Standard,
    /// 4 MiB: n = 2^12, r = 8, p = 6, as geth's `--lightkdf`. For routers with little memory, and good passphrases.
    Light,
}

impl Cost {
    fn params(self, salt: Vec<u8>) -> ScryptParams {
        let (log_n, p) = match self {
            Self::Standard => (17, 1),
            Self::Light => (12, 6),
        };
        ScryptParams { dklen: 32, n: 1 << log_n, r: 8, p, salt }
    }
}

/// A keystore file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Keystore {
    version: u32,
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(alias = "Crypto")]
    crypto: Crypto,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Crypto {
    cipher: String,
    cipherparams: CipherParams,
    #[serde(with = "digits")]
    ciphertext: Vec<u8>,
    #[serde(flatten)]
    kdf: Kdf,
    #[serde(with = "digits")]
    mac: Vec<u8>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct CipherParams {
    #[serde(with = "digits")]
    iv: Vec<u8>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kdf", content = "kdfparams", rename_all = "lowercase")]
enum Kdf {
    Scrypt(ScryptParams),
    Pbkdf2(Pbkdf2Params),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct ScryptParams {
    dklen: u32,
    n: u64,
    r: u32,
    p: u32,
    #[serde(with = "digits")]
    salt: Vec<u8>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Pbkdf2Params {
    dklen: u32,
    c: u32,
    prf: String,
    #[serde(with = "digits")]
    salt: Vec<u8>,
}

/// Why a keystore file gives no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeystoreError {
    /// It is not such a file, or one with a cipher or a cost this program does not take.
    Unusable(String),
    /// The passphrase is wrong, or the file was changed.
    Passphrase,
    /// It holds the key of another account than it says.
    OtherAccount,
}

impl std::fmt::Display for KeystoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unusable(why) => write!(f, "it is not a keystore file of version 3 this program can read ({why})"),
            Self::Passphrase => f.write_str("the passphrase is wrong, or the file is damaged"),
            Self::OtherAccount => f.write_str("the key in it belongs to another account than the file says"),
        }
    }
}

fn unusable(why: impl Into<String>) -> KeystoreError {
    KeystoreError::Unusable(why.into())
}

/// 32 bytes that only the passphrase gives.
type Derived = Zeroizing<[u8; 32]>;

impl ScryptParams {
    fn derive(&self, passphrase: &str) -> Result<Derived, KeystoreError> {
        check_lengths(self.dklen, &self.salt)?;
        let memory = self.n.checked_mul(u64::from(self.r)).and_then(|blocks| blocks.checked_mul(128));
        if !self.n.is_power_of_two() || self.n < 2 || self.r == 0 || self.p == 0 {
            return Err(unusable("the cost of scrypt makes no sense"));
        }
        let work = memory.and_then(|bytes| bytes.checked_mul(u64::from(self.p)));
        // `p` blocks of r * 128 bytes come on top of the memory; the work bounds them too.
        if memory.is_none_or(|bytes| bytes > MAX_SCRYPT_BYTES) || work.is_none_or(|bytes| bytes > MAX_SCRYPT_WORK) {
            return Err(unusable("the cost of scrypt is far above what programs choose"));
        }
        let log_n = u8::try_from(self.n.trailing_zeros()).map_err(|_| unusable("the cost of scrypt makes no sense"))?;
        let params = scrypt::Params::new(log_n, self.r, self.p).map_err(|error| unusable(error.to_string()))?;
        let mut derived = Zeroizing::new([0; 32]);
        scrypt::scrypt(passphrase.as_bytes(), &self.salt, &params, &mut *derived)
            .map_err(|error| unusable(error.to_string()))?;
        Ok(derived)
    }
}

impl Pbkdf2Params {
    fn derive(&self, passphrase: &str) -> Result<Derived, KeystoreError> {
        check_lengths(self.dklen, &self.salt)?;
        if self.prf != "hmac-sha256" {
            return Err(unusable("its PBKDF2 is not over hmac-sha256"));
        }
        let rounds = std::num::NonZeroU32::new(self.c).filter(|rounds| rounds.get() <= MAX_PBKDF2);
        let rounds = rounds.ok_or_else(|| unusable(format!("PBKDF2 has not 1 to {MAX_PBKDF2} iterations")))?;
        let mut derived = Zeroizing::new([0; 32]);
        let algorithm = aws_lc_rs::pbkdf2::PBKDF2_HMAC_SHA256;
        aws_lc_rs::pbkdf2::derive(algorithm, rounds, &self.salt, passphrase.as_bytes(), &mut *derived);
        Ok(derived)
    }
}

fn check_lengths(dklen: u32, salt: &[u8]) -> Result<(), KeystoreError> {
    if dklen != 32 || salt.len() > MAX_SALT_BYTES {
        return Err(unusable("its derived key has not 32 bytes, or its salt is too long"));
    }
    Ok(())
}

/// The first half is the key of the cipher, the second of the MAC.
fn halves(derived: &Derived) -> (&[u8], &[u8]) {
    derived.split_at(16)
}

fn mac(mac_key: &[u8], ciphertext: &[u8]) -> [u8; 32] {
    let mut text = Zeroizing::new(mac_key.to_vec());
    text.extend_from_slice(ciphertext);
    keccak256(&*text).0
}

impl Keystore {
    /// Seals a key; `fill` gives random bytes.
    ///
    /// # Errors
    /// The operating system has no memory for it, or the cipher fails: bugs, not input.
    pub(crate) fn seal(
        key: &AccountKey,
        passphrase: &str,
        cost: Cost,
        mut fill: impl FnMut(&mut [u8]),
    ) -> Result<Self, KeystoreError> {
        let (mut salt, mut iv, mut id) = (vec![0; 32], [0; 16], [0; 16]);
        fill(&mut salt);
        fill(&mut iv);
        fill(&mut id);
        let params = cost.params(salt);
        let derived = params.derive(passphrase)?;
        let (cipher_key, mac_key) = halves(&derived);
        let failed = |_| unusable("AES-128-CTR failed");
        let cipher = UnboundCipherKey::new(&AES_128, cipher_key).and_then(EncryptingKey::ctr).map_err(failed)?;
        let mut ciphertext = key.to_bytes().to_vec();
        let context = EncryptionContext::Iv128(FixedLength::from(iv));
        cipher.less_safe_encrypt(&mut ciphertext, context).map_err(failed)?;
        let mac = mac(mac_key, &ciphertext).to_vec();
        let crypto = Crypto {
            cipher: "aes-128-ctr".to_owned(),
            cipherparams: CipherParams { iv: iv.to_vec() },
            ciphertext,
            kdf: Kdf::Scrypt(params),
            mac,
        };
        let address = Some(hex::encode(key.address()));
        Ok(Self { version: VERSION, id: uuid(id), address, crypto })
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// [`KeystoreError::Unusable`].
    pub(crate) fn parse(text: &str) -> Result<Self, KeystoreError> {
        let file: Self = serde_json::from_str(text).map_err(|error| unusable(error.to_string()))?;
        if file.version != VERSION {
            return Err(unusable(format!("its version is {}", file.version)));
        }
        if file.crypto.cipher != "aes-128-ctr" {
            return Err(unusable("its cipher is not aes-128-ctr"));
        }
        Ok(file)
    }

    /// The account the file says it is for. Old files do not say it.
    pub(crate) fn address(&self) -> Option<Address> {
        self.address.as_deref().and_then(|text| text.parse().ok())
    }

    /// The cost of a guess, for people: `scrypt n=131072 r=8 p=1`.
    pub(crate) fn kdf(&self) -> String {
        match &self.crypto.kdf {
            Kdf::Scrypt(it) => format!("scrypt n={} r={} p={}", it.n, it.r, it.p),
            Kdf::Pbkdf2(it) => format!("pbkdf2 c={}", it.c),
        }
    }

    /// The key.
    ///
    /// # Errors
    /// As [`KeystoreError`] lists; a file whose cost or lengths are unusual is refused before any work is done.
    pub(crate) fn open(&self, passphrase: &str) -> Result<AccountKey, KeystoreError> {
        let crypto = &self.crypto;
        let iv: [u8; 16] =
            crypto.cipherparams.iv.as_slice().try_into().map_err(|_| unusable("its iv has not 16 bytes"))?;
        // Some early programs dropped leading zeros: such a key is shorter, and right-aligned.
        let length = crypto.ciphertext.len();
        if length == 0 || length > 32 {
            return Err(unusable("it holds no key of 32 bytes"));
        }
        let derived = match &crypto.kdf {
            Kdf::Scrypt(params) => params.derive(passphrase)?,
            Kdf::Pbkdf2(params) => params.derive(passphrase)?,
        };
        let (cipher_key, mac_key) = halves(&derived);
        verify_slices_are_equal(&mac(mac_key, &crypto.ciphertext), &crypto.mac)
            .map_err(|_| KeystoreError::Passphrase)?;
        let failed = |_| unusable("AES-128-CTR failed");
        let cipher = UnboundCipherKey::new(&AES_128, cipher_key).and_then(DecryptingKey::ctr).map_err(failed)?;
        let mut plain = Zeroizing::new(crypto.ciphertext.clone());
        cipher.decrypt(&mut plain, DecryptionContext::Iv128(FixedLength::from(iv))).map_err(failed)?;
        let mut bytes = Zeroizing::new([0; 32]);
        if let Some(end) = bytes.get_mut(32 - length..) {
            end.copy_from_slice(&plain);
        }
        let key = AccountKey::from_bytes(&bytes).ok_or_else(|| unusable("what it holds is no key"))?;
        match self.address() {
            Some(address) if address != key.address() => Err(KeystoreError::OtherAccount),
            _ => Ok(key),
        }
    }

    /// The text of the file.
    pub(crate) fn to_text(&self) -> Result<String, KeystoreError> {
        serde_json::to_string(self).map_err(|error| unusable(error.to_string()))
    }
}

/// A random UUID (RFC 9562, version 4) of 16 random bytes.
fn uuid(mut bytes: [u8; 16]) -> String {
    let [.., version, _, variant, _, _, _, _, _, _, _] = &mut bytes;
    *version = *version & 0x0f | 0x40;
    *variant = *variant & 0x3f | 0x80;
    let text = hex::encode(bytes);
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| text.get(range).unwrap_or_default());
    parts.join("-")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a wrong assumption must fail the test")]
mod tests {
    use super::*;

    /// Of the Web3 Secret Storage Definition; the same are in geth's `accounts/keystore/testdata`.
    const VECTORS: [(&str, &str, &str); 3] = [
        (
            r#"{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"83dbcc02d8ccb40e466191a123791e0e"},"ciphertext":"d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c","kdf":"scrypt","kdfparams":{"dklen":32,"n":262144,"r":1,"p":8,"salt":"ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19"},"mac":"2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097"},"id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#,
            "testpassword",
            "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d",
        ),
        (
            r#"{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"6087dab2f9fdbbfaddc31a909735c1e6"},"ciphertext":"5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46","kdf":"pbkdf2","kdfparams":{"c":262144,"dklen":32,"prf":"hmac-sha256","salt":"ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"},"mac":"517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"},"id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#,
            "testpassword",
            "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d",
        ),
        (
            r#"{"Crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"e0c41130a323adc1446fc82f724bca2f"},"ciphertext":"9517cd5bdbe69076f9bf5057248c6c050141e970efa36ce53692d5d59a3984","kdf":"scrypt","kdfparams":{"dklen":32,"n":2,"r":8,"p":1,"salt":"711f816911c92d649fb4c84b047915679933555030b3552c1212609b38208c63"},"mac":"d5e116151c6aa71470e67a7d42c9620c75c4d23229847dcc127794f0732b0db5"},"id":"fecfc4ce-e956-48fd-953b-30f8b52ed66c","version":3}"#,
            "foo",
            "00fa7b3db73dc7dfdf8c5fbdb796d741e4488628c41fc4febd9160a866ba0f35",
        ),
    ];

    fn count(bytes: &mut [u8]) {
        bytes.iter_mut().zip(1..).for_each(|(byte, value)| *byte = value);
    }

    #[test]
    fn files_of_other_programs_open_with_their_passphrase_only() {
        for (text, passphrase, key) in VECTORS {
            let file = Keystore::parse(text).unwrap();
            assert_eq!(hex::encode(*file.open(passphrase).ok().unwrap().to_bytes()), key);
            assert_eq!(file.open("testpassworD").err(), Some(KeystoreError::Passphrase));
        }
    }

    #[test]
    fn a_sealed_key_comes_back_and_its_file_has_the_standard_shape() {
        let key = AccountKey::from_bytes(&[7; 32]).unwrap();
        let text = Keystore::seal(&key, "päss word", Cost::Light, count).unwrap().to_text().unwrap();
        assert!(!text.contains(&hex::encode([7; 32])));
        let file = Keystore::parse(&text).unwrap();
        assert_eq!(file.address(), Some(key.address()));
        assert_eq!(*file.open("päss word").ok().unwrap().to_bytes(), [7; 32]);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let crypto = json.get("crypto").unwrap();
        assert_eq!(crypto.pointer("/kdf").unwrap(), "scrypt");
        assert_eq!(crypto.pointer("/kdfparams/n").unwrap(), 4096);
        assert_eq!(json.get("id").unwrap(), "01020304-0506-4708-890a-0b0c0d0e0f10");
        assert_eq!(json.get("address").unwrap().as_str().unwrap().len(), 40, "without 0x, as geth writes it");
    }

    #[test]
    fn a_changed_file_gives_no_key() {
        let key = AccountKey::from_bytes(&[7; 32]).unwrap();
        let good = Keystore::seal(&key, "secret", Cost::Light, count).unwrap();
        let changed = |change: &dyn Fn(&mut Keystore)| {
            let mut file = good.clone();
            change(&mut file);
            file.open("secret").err()
        };
        assert_eq!(changed(&|_| ()), None);
        assert_eq!(changed(&|f| f.crypto.ciphertext.push(0)).unwrap(), unusable("it holds no key of 32 bytes"));
        let flip = |bytes: &mut Vec<u8>| bytes.iter_mut().for_each(|byte| *byte ^= 1);
        assert_eq!(changed(&|f| flip(&mut f.crypto.ciphertext)), Some(KeystoreError::Passphrase));
        assert_eq!(changed(&|f| flip(&mut f.crypto.mac)), Some(KeystoreError::Passphrase));
        // The iv is not under the MAC: the address is what tells.
        assert_eq!(changed(&|f| flip(&mut f.crypto.cipherparams.iv)), Some(KeystoreError::OtherAccount));
        assert_eq!(changed(&|f| f.address = Some("00".repeat(20))), Some(KeystoreError::OtherAccount));
    }

    #[test]
    fn no_file_makes_this_program_use_more_than_its_share() {
        let (text, ..) = VECTORS[0];
        for (from, to) in [
            (r#""n":262144"#, r#""n":9223372036854775808"#),
            (r#""n":262144"#, r#""n":8388608"#),
            (r#""n":262144"#, r#""n":2097152"#),
            (r#""n":262144"#, r#""n":0"#),
            (r#""n":262144"#, r#""n":3"#),
            (r#""n":262144"#, r#""n":1"#),
            (r#""r":1"#, r#""r":4294967295"#),
            (r#""r":1"#, r#""r":0"#),
            (r#""p":8"#, r#""p":1000000"#),
            (r#""p":8"#, r#""p":0"#),
            (r#""dklen":32"#, r#""dklen":31"#),
            (r#""dklen":32"#, r#""dklen":4000000000"#),
        ] {
            let text = text.replace(from, to);
            let outcome = Keystore::parse(&text).and_then(|file| file.open("testpassword").map(|_| ()));
            assert!(matches!(outcome, Err(KeystoreError::Unusable(_))), "{to}: {outcome:?}");
        }
        let (text, ..) = VECTORS[1];
        for c in ["0", "4294967295"] {
            let text = text.replace(r#""c":262144"#, &format!(r#""c":{c}"#));
            assert!(matches!(Keystore::parse(&text).unwrap().open("testpassword"), Err(KeystoreError::Unusable(_))));
        }
    }

    #[test]
    fn what_is_no_keystore_is_told_so() {
        let (good, ..) = VECTORS[0];
        for text in ["", "{}", "[]", "null", "\"x\"", &good.replace(r#""version":3"#, r#""version":1"#)] {
            assert!(matches!(Keystore::parse(text), Err(KeystoreError::Unusable(_))), "{text}");
        }
        for (from, to) in [("aes-128-ctr", "aes-128-cbc"), ("scrypt", "argon2"), ("83dbcc", "83dbc"), ("83dbcc", "zz")]
        {
            let outcome =
                Keystore::parse(&good.replace(from, to)).and_then(|file| file.open("testpassword").map(|_| ()));
            assert!(matches!(outcome, Err(KeystoreError::Unusable(_))), "{to}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_change_of_a_file_makes_this_program_panic(at in 0_usize..500, byte: u8, cut in 0_usize..500) {
            let mut bytes = VECTORS[2].0.as_bytes().to_vec();
            if let Some(it) = bytes.get_mut(at) {
                *it = byte;
            }
            for text in [&bytes[..], &bytes[..cut.min(bytes.len())]] {
                let text = String::from_utf8_lossy(text);
                // Whatever it is: a key of the right length for the passphrase, or a reason.
                let _ = Keystore::parse(&text).and_then(|file| file.open("foo").map(|_| ()));
            }
        }
    }
}
