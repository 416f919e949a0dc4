//! Parameters of a request, as a query or a form body (`application/x-www-form-urlencoded`), and how they are written
//! into a redirect. A parameter that is there twice makes the request void, for two readers could take different ones.

use zeroize::Zeroizing;

pub(crate) use sealwort_oidc::form::with_parameters;

use crate::error::{ErrorCode, OAuthError};

/// Longest query or body, in bytes.
pub(crate) const FORM_BYTES_MAX: usize = 16 * 1024;
/// Most parameters.
pub(crate) const PARAMETERS_MAX: usize = 32;

/// Parameters, each at most once. Their values may be secrets and are wiped.
pub(crate) struct Form(Vec<(String, Zeroizing<String>)>);

impl Form {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, OAuthError> {
        let wrong = |text| OAuthError::new(ErrorCode::InvalidRequest, text);
        if bytes.len() > FORM_BYTES_MAX {
            return Err(wrong("the request is longer than 16 KiB"));
        }
        let mut parameters: Vec<(String, Zeroizing<String>)> = Vec::new();
        for pair in bytes.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let mut half = || decode(halves.next().unwrap_or_default());
            let (name, value) =
                half().zip(half()).ok_or_else(|| wrong("a parameter is not encoded as UTF-8 in a form"))?;
            if parameters.iter().any(|(held, _)| *held == name) {
                return Err(wrong("a parameter is there twice; send each once"));
            }
            if parameters.len() == PARAMETERS_MAX {
                return Err(wrong("the request has more than 32 parameters"));
            }
            parameters.push((name, Zeroizing::new(value)));
        }
        Ok(Self(parameters))
    }

    /// A parameter's value. An empty one counts as absent (RFC 6749, section 3.1).
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let held = self.0.iter().find(|(held, _)| held == name);
        held.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    pub(crate) fn required(&self, name: &str) -> Result<&str, OAuthError> {
        let missing = || OAuthError::new(ErrorCode::InvalidRequest, format_args!("the parameter {name} is missing"));
        self.value(name).ok_or_else(missing)
    }
}

fn decode(text: &[u8]) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit =
                    |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                digit(bytes.next())? * 16 + digit(bytes.next())?
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_once_and_exactly() {
        let form = Form::parse(b"scope=a+b%2fc&state=%C3%A9&empty=&&x=1=2").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(form.value("scope"), Some("a b/c"));
        assert_eq!(form.value("state"), Some("é"));
        assert_eq!((form.value("empty"), form.value("none"), form.value("x")), (None, None, Some("1=2")));
        assert!(form.required("empty").is_err());
        let many = (0..33).map(|n| format!("p{n}=1")).collect::<Vec<_>>().join("&");
        let long = vec![b'a'; FORM_BYTES_MAX + 1];
        let bad: [&[u8]; 9] =
            [b"a=1&a=1", b"a=1&%61=2", b"a=1&a", b"a=%", b"a=%4", b"a=%zz", b"a=%ff", many.as_bytes(), &long];
        for bytes in bad {
            assert!(Form::parse(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }
}
