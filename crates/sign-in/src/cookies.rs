//! Cookies of a service's pages: for this very host alone where TLS is spoken, unreadable for scripts, and not sent with
//! what another site posts.

use http::{HeaderMap, HeaderValue, header};

/// The cookie's name in full. With TLS the browser is told to take it from this very host alone.
fn full(name: &str, secure: bool) -> String {
    format!("{}sealwort-{name}", if secure { "__Host-" } else { "" })
}

/// The value of a cookie of a request.
pub fn value<'h>(headers: &'h HeaderMap, name: &str, secure: bool) -> Option<&'h str> {
    find(headers, &full(name, secure))
}

/// The value of a cookie by its name in full.
pub fn find<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut named = cookies.flat_map(|value| value.split(';')).filter_map(|one| one.trim().split_once('='));
    named.find(|(found, _)| *found == name).map(|(_, value)| value)
}

/// Sets a cookie, or takes it away where its value is empty. `Lax`, since the user comes back from the provider.
pub fn set(headers: &mut HeaderMap, name: &str, value: &str, secure: bool) {
    let (only, gone) = (if secure { "; Secure" } else { "" }, if value.is_empty() { "; Max-Age=0" } else { "" });
    let name = full(name, secure);
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{only}{gone}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        headers.append(header::SET_COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_by_its_whole_name_and_set_with_its_rules() {
        let mut headers = HeaderMap::new();
        headers.append(
            header::COOKIE,
            HeaderValue::from_static("a=1; xsealwort-session=2; __Host-sealwort-session=3; sealwort-session=4"),
        );
        assert_eq!((value(&headers, "session", false), value(&headers, "session", true)), (Some("4"), Some("3")));
        assert_eq!(value(&headers, "ession", false), None);
        let mut answer = HeaderMap::new();
        set(&mut answer, "session", "5", true);
        set(&mut answer, "session", "", false);
        let all: Vec<_> = answer.get_all(header::SET_COOKIE).iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(
            all,
            [
                "__Host-sealwort-session=5; Path=/; HttpOnly; SameSite=Lax; Secure",
                "sealwort-session=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"
            ]
        );
    }
}
