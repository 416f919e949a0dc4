//! How parameters are written into a URL (`application/x-www-form-urlencoded`).

use std::fmt::Write as _;

/// The URL with further parameters in its query.
pub fn with_parameters(url: &str, parameters: &[(&str, &str)]) -> String {
    let mut text = url.to_owned();
    let mut joint = if url.contains('?') { '&' } else { '?' };
    for (name, value) in parameters {
        text.push(joint);
        text.push_str(name);
        text.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                text.push(char::from(byte));
            } else {
                let _ = write!(text, "%{byte:02X}");
            }
        }
        joint = '&';
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_into_a_redirect_stays_one_value() {
        let url = with_parameters("https://app/cb?a=1", &[("code", "x"), ("state", "a&b=ü #\r\n")]);
        assert_eq!(url, "https://app/cb?a=1&code=x&state=a%26b%3D%C3%BC%20%23%0D%0A");
        assert_eq!(with_parameters("app.example:/cb", &[("error", "e")]), "app.example:/cb?error=e");
    }
}
