//! Variants of scopes, tokens, assertions and requests: each is refused, or gives no more than what it was made from.

#[test]
fn variants_widen_nothing() {
    let counts = [
        ("scopes", crate::scope_variants::run()),
        ("access tokens", crate::token_variants::run()),
        ("client assertions", crate::assertion_variants::run()),
        ("requests", crate::request_variants::run()),
    ];
    for (name, count) in counts {
        println!("{count} variants of {name}");
        assert!(count >= 100 || name == "requests" && count >= 50, "only {count} variants of {name}");
    }
    let total: usize = counts.iter().map(|(_, count)| count).sum();
    println!("{total} variants");
    assert!(total >= 500, "only {total} variants");
}
