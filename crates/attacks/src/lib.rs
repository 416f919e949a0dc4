//! Attacks on the protocol, each with a name, as tests. There is no code to use here: `README.md` says what is
//! attacked, by whom and how the attacks themselves are tested, `tests/protocol` holds the attacks on the protocol's
//! state machines in memory, and `tests/services` those on broker and archive as they run.
