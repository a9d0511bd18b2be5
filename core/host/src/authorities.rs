//! Certificates of authorities that an operator trusts beside those of the system: a private network often
//! signs the names of its hosts itself. They hold for the plugin that they are granted to, and for no other.

use crate::fetching::last_cause;
use reqwest::{Certificate, Client};
use std::{fmt, sync::Arc};

/// Certificates in one file, at most: more are a mistake, and each is compared at every connection.
const CERTIFICATES_MAX: usize = 100;

/// Authorities whose word on the name of a host is believed.
#[derive(Clone, Default)]
pub struct Authorities {
    /// As it was read: none where it is empty.
    pem: Arc<[u8]>,
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorities({} bytes)", self.pem.len())
    }
}

impl Authorities {
    /// Reads the text of a PEM file with 1 to 100 certificates.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words for the operator.
    pub fn parse(pem: &[u8]) -> Result<Self, String> {
        let read = Self { pem: pem.into() };
        let certificates = read.certificates()?;
        if certificates.is_empty() {
            return Err(
                "there is no certificate in it: wanted are those of authorities, as PEM".into()
            );
        }
        if certificates.len() > CERTIFICATES_MAX {
            return Err(format!("there are more than {CERTIFICATES_MAX} certificates in it"));
        }
        // Whether they are certificates shows only where they are to be believed.
        let client = Client::builder().no_proxy().tls_certs_only(certificates).build();
        client.map_err(|error| {
            format!("a certificate in it cannot be read: {}", last_cause(&error))
        })?;
        Ok(read)
    }

    pub(crate) fn certificates(&self) -> Result<Vec<Certificate>, String> {
        Certificate::from_pem_bundle(&self.pem)
            .map_err(|error| format!("it is no PEM file: {}", last_cause(&error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTHORITY: &[u8] = include_bytes!("../../../fixtures/certificate/authority.pem");
    const KEY: &[u8] = include_bytes!("../../../fixtures/certificate/key.pem");

    #[test]
    fn a_file_without_a_certificate_or_with_a_broken_one_is_told() {
        let text = String::from_utf8_lossy(AUTHORITY);
        let broken = text.replacen("MII", "AAA", 1);
        for (pem, why) in [
            (&b""[..], "there is no certificate in it"),
            (b"hello", "there is no certificate in it"),
            (KEY, "there is no certificate in it"),
            (broken.as_bytes(), "a certificate in it cannot be read: "),
            (text[..text.len() / 2].as_bytes(), "it is no PEM file: "),
            (text.repeat(101).as_bytes(), "there are more than 100 certificates in it"),
        ] {
            let told = Authorities::parse(pem).err().unwrap_or_default();
            assert!(told.starts_with(why), "{why}: {told}");
        }
        assert!(Authorities::parse(AUTHORITY).is_ok());
    }
}
