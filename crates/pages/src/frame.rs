//! The frame around each page: head, skip link, header with navigation, main part, footer.

use maud::{DOCTYPE, Markup, html};

use crate::assets::href;
use crate::words::shared;

/// A place in the navigation.
#[derive(Debug, Clone, Copy)]
pub struct Link<'a> {
    /// Path, beginning with `/`.
    pub href: &'a str,
    /// What people read.
    pub text: &'a str,
}

/// What stands around the content of the pages of one surface.
#[derive(Debug, Clone)]
pub struct Frame<'a> {
    /// What this is, beside the product's name: "Your records".
    pub surface: &'a str,
    /// Path of its first page.
    pub home: &'a str,
    /// Its pages.
    pub navigation: &'a [Link<'a>],
    /// Path of the page that is shown, if it is in the navigation.
    pub current: &'a str,
    /// Who is signed in, and the form to sign out; at the right of the header.
    pub account: Markup,
    /// What must be seen on every page, such as whose record it is; between header and content.
    pub banner: Markup,
    /// Style sheet of this surface besides the common one.
    pub sheet: Option<&'a str>,
}

impl Frame<'_> {
    /// A whole page: its title, which is its `h1` as well, and what follows. Titles hold no patient's data: browsers
    /// keep them.
    pub fn page(&self, title: &str, content: &Markup) -> Markup {
        html! {
            (DOCTYPE)
            html lang=(shared::LANGUAGE) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    // An answer that says what went wrong takes no part's place.
                    meta name="htmx-config" content=r#"{"noSwap": [204, 304, "4xx", "5xx"]}"#;
                    title { (title) " · " (self.surface) " · " (shared::PRODUCT) }
                    link rel="icon" type="image/svg+xml" href=(href("icon.svg"));
                    link rel="stylesheet" href=(href("pages.css"));
                    @if let Some(sheet) = self.sheet { link rel="stylesheet" href=(href(sheet)); }
                    @if renews_itself(content) { script defer src=(href("htmx.js")) {} }
                }
                body {
                    a .skip href="#content" { (shared::SKIP) }
                    header .top {
                        a .brand href=(self.home) {
                            strong { (shared::PRODUCT) } " " span { (self.surface) }
                        }
                        @if !self.navigation.is_empty() {
                            nav aria-label=(shared::NAVIGATION) {
                                ul {
                                    @for link in self.navigation {
                                        li { a href=(link.href) aria-current=[(link.href == self.current).then_some("page")] { (link.text) } }
                                    }
                                }
                            }
                        }
                        div .account { (self.account) }
                    }
                    (self.banner)
                    main #content tabindex="-1" {
                        h1 { (title) }
                        (content)
                    }
                }
            }
        }
    }
}

/// Whether a part of a page asks for itself again. No data reads like this: its quotes are escaped.
fn renews_itself(content: &Markup) -> bool {
    content.0.contains(" hx-get=\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_text_wherever_it_stands() {
        let hostile = "<script>alert(1)</script>\"'";
        let links = [Link { href: "/x", text: hostile }];
        let frame = Frame {
            surface: hostile,
            home: "/x",
            navigation: &links,
            current: "/x",
            account: html! { (hostile) },
            banner: html! {},
            sheet: None,
        };
        let page = frame.page(hostile, &html! { p { (hostile) } }).into_string();
        assert!(!page.contains("<script>alert"), "{page}");
        assert!(page.contains("aria-current=\"page\""), "{page}");
    }

    #[test]
    fn only_what_renews_itself_has_a_script() {
        for (content, has) in [
            (html! { p { "a" } }, false),
            (html! { p { " hx-get=\"/x\"" } }, false),
            (html! { div hx-get="/x" {} }, true),
        ] {
            assert_eq!(renews_itself(&content), has, "{}", content.0);
        }
    }
}
