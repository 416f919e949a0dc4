//! Words of the demo's own sign-in.

/// What the surface is called.
pub const SURFACE: &str = "The demo's sign-in";
/// Title.
pub const TITLE: &str = "Who are you?";
/// Heads people who are nobody at the party that asks.
pub const OTHERS: &str = "Somebody from elsewhere";
/// What this is.
pub const OWN: &str = "This page belongs to the demo. It stands for the OpenID provider that a hospital or the operator of an exchange has already. It knows no password: whoever sits at this computer may be anybody, and nobody else reaches it.";

/// A physician.
pub const DR_ADAMS: &str = "Dr Adams, physician at hospital A";
/// Another one.
pub const DR_BAKER: &str = "Dr Baker, physician at hospital B";
/// An operator.
pub const OLGA: &str = "Olga, operator of the exchange";
/// An auditor.
pub const AXEL: &str = "Axel, auditor of the exchange";
/// A party that asks.
pub const HOSPITAL_A: &str = "Hospital A";
/// Another one.
pub const HOSPITAL_B: &str = "Hospital B";
/// The third one.
pub const THE_CONSOLE: &str = "The operator's console";

/// Title of a failure.
pub const WRONG: &str = "Nobody is signed in";
/// The request is of nobody who is known.
pub const UNKNOWN_PARTY: &str = "Whoever sent you here is not known, or wants you back at another address than the one that is registered. Begin again at the page that you wanted.";
/// No such page.
pub const NOT_THERE: &str = "There is no such page. Begin at the page that you want to sign in to.";
/// Another name than that of this computer.
pub const NOT_LOOPBACK: &str = "This is for this computer alone. Open it at the address that the demo printed.";

/// The first patient of the demo.
pub fn patient(name: Option<&str>) -> String {
    format!("{}, patient of hospital A", name.unwrap_or("Somebody without a name"))
}

/// Who asks.
pub fn asks(party: &str) -> String {
    format!("{party} asks who you are.")
}

/// What happens to people from elsewhere.
pub fn others(party: &str) -> String {
    format!("{party} gives them no role. Choose one to see how it refuses them.")
}
