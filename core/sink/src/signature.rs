//! HMAC-SHA-256, so that a receiver can tell our messages from anybody's.

use alloy_primitives::hex;
use sha2::{Digest, Sha256};

/// Bytes of a block of SHA-256.
const BLOCK_BYTES: usize = 64;

/// Returns the value of the header that signs a message: over its idempotency key, a dot, and its body,
/// so that neither can be put beside another one.
pub fn signature(secret: &[u8], idempotency_key: &str, body: &[u8]) -> String {
    format!("sha256={}", hex::encode(hmac(secret, &[idempotency_key.as_bytes(), b".", body])))
}

fn hmac(secret: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut key = [0; BLOCK_BYTES];
    if secret.len() > BLOCK_BYTES {
        key[..32].copy_from_slice(&Sha256::digest(secret));
    } else {
        key[..secret.len()].copy_from_slice(secret);
    }
    let mut inner = Sha256::new_with_prefix(key.map(|byte| byte ^ 0x36));
    parts.iter().for_each(|part| inner.update(part));
    let outer = Sha256::new_with_prefix(key.map(|byte| byte ^ 0x5c));
    outer.chain_update(inner.finalize()).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digests_are_those_of_the_standard() {
        // RFC 4231, cases 1, 2 and 6.
        for (secret, data, digest) in [
            (
                &[0x0b; 20][..],
                &b"Hi There"[..],
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            assert_eq!(hex::encode(hmac(secret, &[data])), digest);
        }
    }

    #[test]
    fn a_signature_holds_for_one_key_and_one_body() {
        let signed = signature(b"s", "k", b"body");
        assert!(signed.starts_with("sha256=") && signed.len() == 7 + 64, "{signed}");
        assert_ne!(signed, signature(b"s", "l", b"body"));
        assert_ne!(signed, signature(b"s", "k", b"bodi"));
        assert_ne!(signed, signature(b"t", "k", b"body"));
    }
}
