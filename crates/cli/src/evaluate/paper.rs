//! The numbers of the paper's Tables 2, 3 and 4, as it prints them.

/// The roles in the paper's order: gateway, broker and archive.
pub(super) const ROLES: [Role; 3] = [
    Role { paper: "LHC", ours: "gateway" },
    Role { paper: "HTSC", ours: "broker" },
    Role { paper: "HIMC", ours: "archive" },
];

/// A role by both of its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Role {
    pub(super) paper: &'static str,
    pub(super) ours: &'static str,
}

/// The schemes that Table 2 compares, by the first author and the paper's reference number.
pub(super) const SCHEMES: [&str; 5] =
    ["Yun-Yong Sok [32]", "Yong Sik Jung [33]", "Moon Sun Shin [34]", "Yoon-Su Jeong [35]", "Proposed Scheme"];

/// Table 2: `O` support, `Δ` not fully, `X` not. Requirements are spelt as words; the paper has "Attck" once.
pub(super) const TABLE_2: [(&str, [&str; 5]); 9] = [
    ("Certification", ["X", "X", "X", "X", "O"]),
    ("Encryption", ["X", "X", "O", "O", "O"]),
    ("Security", ["X", "X", "Δ", "O", "O"]),
    ("Privacy", ["X", "X", "O", "O", "O"]),
    ("Eavesdropping", ["X", "X", "O", "O", "O"]),
    ("Forward Security", ["X", "X", "O", "X", "O"]),
    ("Authentication", ["X", "X", "O", "O", "O"]),
    ("Relay Attack", ["X", "X", "X", "X", "O"]),
    ("Denial-of-Service Attack", ["X", "X", "X", "O", "O"]),
];

/// A row of Table 3 or 4: its name, the paper's number for each role, and the counters of ours that it is held
/// against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) name: &'static str,
    /// `None` where the paper has no such row; 0 is printed there as a dash.
    pub(super) paper: Option<[u64; 3]>,
    /// Names of counters, added up.
    pub(super) counters: &'static [&'static str],
    /// Why ours differs, in a line.
    pub(super) difference: &'static str,
}

/// Table 3, with the operations that the paper's protocol lacks below.
pub(super) const TABLE_3: [Row; 12] = [
    Row {
        name: "Hash",
        paper: Some([1, 1, 1]),
        counters: &["hash"],
        difference: "the paper hashes two random numbers; ours hashes the transcript for the session id, each signature and each key, and each record's ciphertext. HMAC, HKDF, digests of names and statements and the hashes inside signatures are not counted",
    },
    Row {
        name: "Encryption",
        paper: Some([4, 4, 3]),
        counters: &["encapsulate", "seal"],
        difference: "the paper encrypts to certificate keys; ours encapsulates to fresh keys and seals with AES-256-GCM. Steps 8 and 9, the confirmations and each message of the transmission are sealed, too",
    },
    Row { name: "  encapsulate (X-Wing)", paper: None, counters: &["encapsulate"], difference: "" },
    Row { name: "  seal (AES-256-GCM)", paper: None, counters: &["seal"], difference: "" },
    Row {
        name: "Decryption",
        paper: Some([5, 3, 3]),
        counters: &["decapsulate", "open"],
        difference: "likewise: one decapsulation for each pair, and one opening for each sealed message, the sealed token and each record",
    },
    Row { name: "  decapsulate (X-Wing)", paper: None, counters: &["decapsulate"], difference: "" },
    Row { name: "  open (AES-256-GCM)", paper: None, counters: &["open"], difference: "" },
    Row {
        name: "Session key generation",
        paper: Some([2, 2, 2]),
        counters: &["session_key"],
        difference: "the same: one for each of the two neighbours. From each, a key for either direction is derived",
    },
    Row {
        name: "Nonce generation",
        paper: Some([2, 2, 2]),
        counters: &["nonce"],
        difference: "one nonce serves both pairs, since the session id binds all three. The broker adds step 2's challenge and the token's id; ephemeral keys count with the (de)capsulations",
    },
    Row {
        name: "Token generation",
        paper: Some([0, 1, 0]),
        counters: &["token"],
        difference: "the same: the broker makes one for one transmission",
    },
    Row {
        name: "Signing",
        paper: None,
        counters: &["sign"],
        difference: "not in the paper, whose messages are unauthenticated: ours signs each share and answer, the request, the token, its possession and the receipt",
    },
    Row {
        name: "Verifying",
        paper: None,
        counters: &["verify"],
        difference: "not in the paper. The two certificate chains that each party checks once and remembers are not counted, nor is what TLS does on the hop",
    },
];

/// Table 4.
pub(super) const TABLE_4: [Row; 5] = [
    Row {
        name: "Random value",
        paper: Some([2, 2, 2]),
        counters: &["random_value"],
        difference: "the paper's parties keep two; ours keep none once a step has answered: what is gone cannot leak, which forward secrecy needs",
    },
    Row {
        name: "Certificate",
        paper: Some([3, 3, 3]),
        counters: &["certificate"],
        difference: "the same: its own and the two others'. Each party has a second one for TLS, which the protocol does not use",
    },
    Row {
        name: "Session key",
        paper: Some([2, 2, 2]),
        counters: &["session_key"],
        difference: "the same: one for each neighbour. At broker and archive the one between them serves many gateways",
    },
    Row {
        name: "Timestamp",
        paper: Some([2, 2, 0]),
        counters: &["time_stamp"],
        difference: "TS lives from step 2 to step 3 only; then the gateway keeps the end of its authority, the archive the token's issue and expiry",
    },
    Row {
        name: "Token",
        paper: Some([1, 1, 1]),
        counters: &["token"],
        difference: "only the archive keeps it, as long as the authority rests on it: it works once, so gateway and broker have no use for it",
    },
];
