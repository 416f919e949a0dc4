//! Messages to a browser's push service: RFC 8291, which is HKDF and AES-128-GCM in the form of RFC 8188 under a key that
//! the browser and the sender agree on. The push service in between reads nothing.

use crate::crypto::{P256_POINT_LENGTH, P256Key, aes_128_gcm_seal, hkdf_sha256};
use crate::error::ErrorKind;

/// Longest text of a message: push services take 4096 bytes (RFC 8030, section 7.2), with header, padding and tag.
pub(crate) const TEXT_BYTES_MAX: usize = 3072;
/// The one record of a message (RFC 8188, section 2).
const RECORD_BYTES: u32 = 4096;
/// Ends the last record.
const LAST: u8 = 2;

/// A browser, as its `PushSubscription` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// `p256dh`, an uncompressed point.
    public: [u8; P256_POINT_LENGTH],
    /// `auth`.
    secret: [u8; 16],
}

impl Receiver {
    /// From the bytes of `p256dh` and `auth`; nothing where they are not what they should be.
    pub fn new(public: &[u8], secret: &[u8]) -> Option<Self> {
        let receiver = Self { public: public.try_into().ok()?, secret: secret.try_into().ok()? };
        // A key that cannot be agreed with is found out now.
        P256Key::generate().and_then(|key| key.agree(&receiver.public)).is_ok().then_some(receiver)
    }

    /// The body of a message, for `Content-Encoding: aes128gcm`.
    pub fn encrypt(&self, text: &[u8]) -> Result<Vec<u8>, ErrorKind> {
        self.encrypt_by(&P256Key::generate()?, crate::crypto::random(), text)
    }

    fn encrypt_by(&self, own: &P256Key, salt: [u8; 16], text: &[u8]) -> Result<Vec<u8>, ErrorKind> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(ErrorKind::Crypto("a push message is too long"));
        }
        let agreed = own.agree(&self.public)?;
        let (key, nonce) = keys(&agreed, &self.secret, &self.public, own.public(), &salt)?;
        let mut message = salt.to_vec();
        message.extend_from_slice(&RECORD_BYTES.to_be_bytes());
        message.push(65);
        message.extend_from_slice(own.public());
        message.extend_from_slice(&aes_128_gcm_seal(&key, nonce, &[text, &[LAST]].concat())?);
        Ok(message)
    }
}

/// RFC 8291, section 3.4: the content key and the nonce.
fn keys(
    agreed: &[u8; 32],
    secret: &[u8; 16],
    receiver: &[u8; P256_POINT_LENGTH],
    sender: &[u8; P256_POINT_LENGTH],
    salt: &[u8; 16],
) -> Result<([u8; 16], [u8; 12]), ErrorKind> {
    let info = [&b"WebPush: info\0"[..], receiver, sender].concat();
    let input: [u8; 32] = hkdf_sha256(secret, agreed, &info)?;
    let key = hkdf_sha256(salt, &input, b"Content-Encoding: aes128gcm\0")?;
    let nonce = hkdf_sha256(salt, &input, b"Content-Encoding: nonce\0")?;
    Ok((key, nonce))
}

/// A browser with its private key, for tests that read what was sent to it.
#[cfg(any(test, feature = "testing"))]
pub struct Browser {
    key: P256Key,
    secret: [u8; 16],
}

#[cfg(any(test, feature = "testing"))]
impl Browser {
    /// A new one.
    pub fn generate() -> Result<Self, ErrorKind> {
        Ok(Self { key: P256Key::generate()?, secret: crate::crypto::random() })
    }

    /// `p256dh` and `auth`.
    pub fn keys(&self) -> (&[u8], &[u8]) {
        (self.key.public(), &self.secret)
    }

    /// The text of a message.
    pub fn decrypt(&self, message: &[u8]) -> Option<Vec<u8>> {
        let (salt, rest) = message.split_first_chunk::<16>()?;
        let (size, rest) = rest.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first()?;
        let (sender, sealed) = rest.split_first_chunk::<P256_POINT_LENGTH>()?;
        if usize::from(*length) != P256_POINT_LENGTH || sealed.len() > u32::from_be_bytes(*size) as usize {
            return None;
        }
        let agreed = self.key.agree(sender).ok()?;
        let (key, nonce) = keys(&agreed, &self.secret, self.key.public(), sender, salt).ok()?;
        let mut text = crate::crypto::aes_128_gcm_open(&key, nonce, sealed).ok()?;
        while text.last() == Some(&0) {
            text.pop();
        }
        (text.pop() == Some(LAST)).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use base64ct_lite::decode;

    use super::*;

    /// Just enough of base64url for the RFC's texts.
    mod base64ct_lite {
        pub(super) fn decode(text: &str) -> Vec<u8> {
            let digit = |letter: u8| match letter {
                b'A'..=b'Z' => letter - b'A',
                b'a'..=b'z' => letter - b'a' + 26,
                b'0'..=b'9' => letter - b'0' + 52,
                b'-' => 62,
                _ => 63,
            };
            let (mut bits, mut held, mut out) = (0u32, 0, Vec::new());
            for letter in text.bytes() {
                bits = (bits << 6) | u32::from(digit(letter));
                held += 6;
                if held >= 8 {
                    held -= 8;
                    out.push(u8::try_from((bits >> held) & 0xff).unwrap());
                }
            }
            out
        }
    }

    /// RFC 8291, section 5 and appendix A.
    #[test]
    fn the_example_of_the_rfc_comes_out() {
        let receiver = Receiver::new(
            &decode("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"),
            &decode("BTBZMqHH6r4Tts7J_aSIgg"),
        )
        .unwrap();
        let own = P256Key::from_scalar(&decode("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")).unwrap();
        let salt = decode("DGv6ra1nlYgDCS1FRnbzlw").try_into().unwrap();
        let message = receiver.encrypt_by(&own, salt, b"When I grow up, I want to be a watermelon").unwrap();
        let expected = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6Tlz\
                        AC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
        assert_eq!(message, decode(expected));
        let browser = Browser {
            key: P256Key::from_scalar(&decode("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94")).unwrap(),
            secret: decode("BTBZMqHH6r4Tts7J_aSIgg").try_into().unwrap(),
        };
        assert_eq!(browser.decrypt(&message).unwrap(), b"When I grow up, I want to be a watermelon");
    }

    #[test]
    fn a_browser_reads_its_own_messages_and_no_others() {
        let (browser, other) = (Browser::generate().unwrap(), Browser::generate().unwrap());
        let (public, secret) = browser.keys();
        let receiver = Receiver::new(public, secret).unwrap();
        let (one, two) = (receiver.encrypt(b"opened").unwrap(), receiver.encrypt(b"opened").unwrap());
        assert_ne!(one, two);
        assert_eq!(browser.decrypt(&one).unwrap(), b"opened");
        assert_eq!(other.decrypt(&one), None);
        for at in 0..one.len() {
            let mut altered = one.clone();
            altered[at] ^= 1;
            // The record's size is not authenticated, and nothing hangs on it.
            assert!(browser.decrypt(&altered).is_none_or(|_| (16..20).contains(&at)), "{at}");
        }
        assert!(receiver.encrypt(&[0; TEXT_BYTES_MAX + 1]).is_err());
        let mut off_the_curve = public.to_vec();
        off_the_curve[64] ^= 1;
        for (public, secret) in [(&off_the_curve[..], secret), (&public[1..], secret), (public, &secret[1..])] {
            assert_eq!(Receiver::new(public, secret), None);
        }
    }
}
