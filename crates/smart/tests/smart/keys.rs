//! Private keys of the test's own apps, and the DER that the library signs with. A key in a JWK is written as DER here,
//! because the published test keys are JWKs.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use yasna::models::ObjectIdentifier;
use yasna::{Tag, construct_der};

/// A private key that signs with one algorithm.
pub(crate) struct SigningKey {
    pub(crate) kid: String,
    pub(crate) algorithm: Algorithm,
    pub(crate) key: EncodingKey,
}

impl SigningKey {
    /// An elliptic curve key from its secret number, which here is one byte over and over.
    pub(crate) fn ec(kid: &str, byte: u8) -> Self {
        let key = EncodingKey::from_ec_der(&ec_der(&[byte; 48], None));
        Self { kid: kid.to_owned(), algorithm: Algorithm::ES384, key }
    }

    pub(crate) fn rsa(kid: &str) -> Self {
        Self { kid: kid.to_owned(), algorithm: Algorithm::RS384, key: EncodingKey::from_rsa_der(&rsa_der()) }
    }

    /// A published private JWK.
    pub(crate) fn of_jwk(jwk: &Value) -> Self {
        let member = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
        let kid = jwk["kid"].as_str().unwrap().to_owned();
        if jwk["kty"] == "RSA" {
            let der = construct_der(|writer| {
                writer.write_sequence(|writer| {
                    writer.next().write_u8(0);
                    for name in ["n", "e", "d", "p", "q", "dp", "dq", "qi"] {
                        writer.next().write_bigint_bytes(&member(name), true);
                    }
                });
            });
            return Self { kid, algorithm: Algorithm::RS384, key: EncodingKey::from_rsa_der(&der) };
        }
        let public = [&[4][..], &member("x"), &member("y")].concat();
        let der = ec_der(&member("d"), Some(&public));
        Self { kid, algorithm: Algorithm::ES384, key: EncodingKey::from_ec_der(&der) }
    }

    /// The public JWK, as an app registers it.
    pub(crate) fn public_jwk(&self) -> Value {
        let mut jwk = json!(Jwk::from_encoding_key(&self.key, self.algorithm).unwrap());
        jwk["kid"] = json!(self.kid);
        jwk
    }

    pub(crate) fn sign(&self, header: &str, claims: &str) -> String {
        sign(header, claims, &self.key, self.algorithm)
    }
}

/// A token of any header and claims, even such that no library would write.
pub(crate) fn sign(header: &str, claims: &str, key: &EncodingKey, algorithm: Algorithm) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

/// PKCS #8 with an `ECPrivateKey` of P-384 (RFC 5958, RFC 5915).
fn ec_der(secret: &[u8], public: Option<&[u8]>) -> Vec<u8> {
    let private = construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_u8(1);
            writer.next().write_bytes(secret);
            if let Some(public) = public {
                writer.next().write_tagged(Tag::context(1), |w| w.write_bitvec_bytes(public, public.len() * 8));
            }
        });
    });
    construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_u8(0);
            writer.next().write_sequence(|writer| {
                writer.next().write_oid(&ObjectIdentifier::from_slice(&[1, 2, 840, 10045, 2, 1]));
                writer.next().write_oid(&ObjectIdentifier::from_slice(&[1, 3, 132, 0, 34]));
            });
            writer.next().write_bytes(&private);
        });
    })
}

/// An RSA key of 2048 bits that was made for these tests, in PKCS #1.
pub(crate) fn rsa_der() -> Vec<u8> {
    STANDARD.decode(RSA_KEY.concat()).unwrap()
}

const RSA_KEY: [&str; 14] = [
    "MIIEowIBAAKCAQEAu6roAvbTC43Y8+EMsAvxmSwVmUFgzQMkwmuLCFu+vhMAxxmLbccuLb/VlOyCXj5itZl3CHBo4CBsq7IRGRptDbiDXQXACCdosHdD",
    "Jd4F3PRoNFzjZjdJNQ8KwbDCDk6xzhmqp3ZjFkro9SkrZEZxKHoRCVrLZXbyIDm0V0zGvUmBwWzs+OF97uYfjTNa9og3U13QTXdAUdolwncwoHSepjDH",
    "LIJWjdWdXqSZUhLxsAM3g8cnTVlkbXux6sgkbIrPdRuO1EQcYYPwi1E0acvKbaK9XWeQ2LmjGk6D6cYreljCX9FKsqkaEr+US62HTD3PMwAtVFK++Epd",
    "Ys1TwtEioQIDAQABAoIBAFBX+2tlc3YDXOoQI8fs3Rq4Amkx0bkDiwXHV+cUrCUg6pjSqVwuxWjls5FF7gxeBhF8KbdNtMCbcRrSqbpHE4AnyemV0CBN",
    "iubdsDwygO0XH9OnHt3AdpGGJpNE0tegPkQfve1i5EoDeReYcBDGjaSIGeoY2nJOiZtdSQWFA6K+bPoxryBUPE6sOERDHwI43Vbf+8zS6UwG9rkFzTah",
    "SHU9DAmxmN6st2IZtwGp+AIBRl4NSlCNoKoWZ3ovMd5PIFopVmhdwNPK0ojJnaVaAkXfLjX12XKLJ6dYs0Eng/y49sRwKEDrj5LzKT3sA3i2V4rmlny+",
    "UgfLp2wBYyMPVicCgYEA6mqN0PE0H94kBTUriY2EMRrpmUltgt9FZtIKMT7FtTHjT4cwkDYSnTOWiXVmJ2GZIR+qJ8eA0zJ5Z1N7jBeFNS7JKm2DcF/+",
    "I10LSG+ORoybORToaoFvSkEwlR3oDdrZfwWMkKuXaCfs+SnfdSaOwSqPJZlgOnEqV1StFuIb7bcCgYEAzPJvsSLgoncbl8Oh3yqP8S7ECSHgZcUY4jaQ",
    "Cop+1zg04BZe4F3snYBqLG0Z05TKbPeEPSAx1fE543urd5hAxWWwV7ZhxSkluLW0pMJtOC+4g8jeMSdu+C/qf8xW8fUXR7gqXFvTI9vz6W4P4Svipj5v",
    "1yxZJK61WgE3j/QPcmcCgYAQckVc4W9cxQMV8nMJhYo+v7qf7IzoX63I1vesGNFaMxPVopB/rauEp/fp0PjHzoslzcjsXYzmRGZMH4lNfOD1qECo32IX",
    "YkS8SmzeOiVrQbYqPRNJVadvOD+mVqDPSAl2ZfdEtyU6Q4LWwF9TIs9lMg01ABvGPeZQljpGnrqC5QKBgQCAmLagrUPKbXYw2h4dy7UaHr//AvSspumg",
    "N6BWHOTN4oS6/w51Njob8dGtIqAL9Na3XO/q8uKSXZR3OsgyeKRbuBzYTKY4ckMrDUjWAPFLShY7CrTwns+wh1Ba9DqyA5mh9NsPrMZlP8Rieh8YqNLE",
    "gXTnzPn6XG2Klizo9LkkjQKBgGAhgFSrYkbcXEfF1QH6C1AfAAI2kCLR3pr+oWXW9wIo5+Mo9y3mCExlMbOHbkbIYfQBoFQYfw6CVPXNx0rrJ24m5Ggu",
    "7qo+/Oi+aQYv+MfSWPUDl62kLPfqarsqp6qKmN7sbaYTRseEkLxAuchHzwra2neYkftvCQoQtZt0VeEE",
];
