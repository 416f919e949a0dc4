//! What a hospital sets for its interfaces: the URIs of its assigning authorities and code systems, and the
//! zone of times that name none.

use std::collections::HashMap;

use time::UtcOffset;

/// Settings of the mapping. The default names no authority and takes local time to be UTC.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Assigning authority (CX.4.1, or CX.4.2 where there is no name) to the URI of its identifiers. An
    /// authority that is not here becomes `urn:oid:` if it has an OID, and `urn:id:` with its name if not.
    pub authorities: HashMap<String, String>,
    /// Coding system (CWE.3) to its URI, before the table of HL7.
    pub code_systems: HashMap<String, String>,
    /// The zone of times without one.
    pub local_offset: UtcOffset,
}

impl Default for Settings {
    fn default() -> Self {
        Self { authorities: HashMap::new(), code_systems: HashMap::new(), local_offset: UtcOffset::UTC }
    }
}
