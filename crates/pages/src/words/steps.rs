//! What the page that explains says about each of the sixteen steps. The paper's formulas are written from its words, since
//! they are pictures there.

/// Of which part of the paper a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Its section 3.2.1, nine steps.
    Authentication,
    /// Its section 3.2.2, seven steps.
    Transmission,
}

impl Phase {
    /// Heads the steps of the phase.
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Authentication => "Mutual authentication (paper, 3.2.1)",
            Self::Transmission => "Transmission (paper, 3.2.2)",
        }
    }

    /// In a sentence.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authentication => "authentication",
            Self::Transmission => "transmission",
        }
    }

    /// How many steps it has.
    pub const fn steps(self) -> u8 {
        match self {
            Self::Authentication => 9,
            Self::Transmission => 7,
        }
    }
}

/// What is told about one step.
#[derive(Debug, Clone, Copy)]
pub struct StepWords {
    /// Its phase.
    pub phase: Phase,
    /// Its number in the paper.
    pub number: u8,
    /// What it says, on the arrow.
    pub short: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    /// What the hospital's gateway knows once it is done.
    pub hospital: &'static str,
    /// What the broker knows.
    pub broker: &'static str,
    /// What the archive knows.
    pub archive: &'static str,
    /// What nobody but its owner can know, and by what.
    pub hidden: &'static str,
    /// The paper's formula.
    pub paper: &'static str,
    /// Ours.
    pub ours: &'static str,
    /// Why they differ.
    pub difference: &'static str,
    /// Section of the specification.
    pub section: &'static str,
}

/// The words of a step.
pub fn step(phase: Phase, number: u8) -> Option<&'static StepWords> {
    STEPS.iter().find(|words| words.phase == phase && words.number == number)
}

const PUBLIC: &str = "Nothing is hidden yet, and nothing in it is secret: certificates and fresh random numbers. Nobody \
                      outside sees even that, since each hop is TLS.";
const FRESH_KEY: &str = "The private half of the fresh key never leaves its maker. Who records this message, and steals every \
                         long-term key later, still cannot open what follows: not even with a quantum computer.";

/// All sixteen, in the paper's order.
pub const STEPS: [StepWords; 16] = [
    StepWords {
        phase: Phase::Authentication,
        number: 1,
        short: "Who I am, and which archive I want",
        purpose: "The hospital introduces itself to the broker and asks whom it is dealing with.",
        hospital: "Nothing new: it does not know yet whether the other end is the broker.",
        broker: "Which hospital asks. It has checked the certificate: issued by this exchange's authority, for a gateway, in force, not revoked, and of the very party at the other end of the TLS connection.",
        archive: "Nothing yet.",
        hidden: PUBLIC,
        paper: "LHC → HTSC: Cert_LHC, request for Cert_HTSC",
        ours: "L → T: [header, suite, nonce_L, certificate_L, archive wanted, cookie]",
        difference: "The nonce makes each run a new one, so an old hello is worth nothing. Naming the archive keeps the broker from bringing another. The cookie lets a busy broker turn away floods before it does any costly work.",
        section: "4.1",
    },
    StepWords {
        phase: Phase::Authentication,
        number: 2,
        short: "A hospital wants you; this is me",
        purpose: "The broker presents the hospital and itself to the archive.",
        hospital: "Nothing new.",
        broker: "Nothing new: it waits for the archive's certificate.",
        archive: "Which hospital and which broker want a session. It has checked both certificates itself and takes nobody's word for them.",
        hidden: PUBLIC,
        paper: "HTSC verifies Cert_LHC; HTSC → HIMC: request for Cert_HIMC",
        ours: "T → M: [header, the hello as it came, nonce_T, certificate_T]",
        difference: "The archive gets the hospital's own message, unchanged, instead of the broker's account of it.",
        section: "4.1",
    },
    StepWords {
        phase: Phase::Authentication,
        number: 3,
        short: "These are our certificates",
        purpose: "The archive answers the broker, and the broker hands both certificates to the hospital.",
        hospital: "Who broker and archive are. It has checked both certificates, and that the archive is the one it wanted.",
        broker: "Who the archive is.",
        archive: "Nothing new.",
        hidden: "Still nothing secret. All three now compute one session number from three names, three certificates and three nonces: whoever swaps one of them ends the run here.",
        paper: "HIMC → HTSC → LHC: Cert_HTSC, Cert_HIMC",
        ours: "M → T: [header, nonce_M, certificate_M];  T → L: [header, nonce_T, certificate_T, M's message]\nsession = SHA-256(version, suite, L, T, M: name, certificate, nonce)",
        difference: "In the paper nothing ties the certificates to this run. Here every later signature covers the session number.",
        section: "4.1",
    },
    StepWords {
        phase: Phase::Authentication,
        number: 4,
        short: "A fresh key, and what I demand",
        purpose: "The hospital offers the broker a key that is used once, and says which policies it insists on. It signs both.",
        hospital: "The private half of the key it just made.",
        broker: "That the hospital is really there: it signed the fresh numbers of this run with the key in its certificate. And the hospital's policies, which it can meet.",
        archive: "Nothing: this is between hospital and broker.",
        hidden: FRESH_KEY,
        paper: "LHC → HTSC: E_HTSC(R_LHC), policies",
        ours: "L → T: [header, X-Wing key, policies], signature_L(everything so far)",
        difference: "The paper sends a secret number under the certificate's key: who steals that key later reads everything that was recorded. Its policies stand beside it and are bound to nothing.",
        section: "4.3",
    },
    StepWords {
        phase: Phase::Authentication,
        number: 5,
        short: "Your key answered: we share SK_LT",
        purpose: "The broker answers with a secret that only the owner of that key can open. Hospital and broker now share a key. (It travels together with step 8.)",
        hospital: "SK_LT, and that the broker has it too: the answer is signed and carries a proof of the key.",
        broker: "SK_LT.",
        archive: "Nothing. It does not have SK_LT.",
        hidden: "SK_LT is known to this hospital and the broker alone. The private half of the fresh key is gone from memory now: nobody can make SK_LT again, the two of them included.",
        paper: "HTSC → LHC: E_LHC(R_HTSC);  SK_LT = H(R_LHC ‖ R_HTSC)",
        ours: "T → L: [header, X-Wing encapsulation, policies], signature_T, confirmation\nSK_LT = HKDF-Extract(salt: SHA-256(everything said), shared secret)",
        difference: "The paper's key depends on two numbers and on nobody's name: a certified insider can pass a number on and have two honest ends share a key while each believes in another peer. Ours depends on every byte that was said.",
        section: "4.4",
    },
    StepWords {
        phase: Phase::Authentication,
        number: 6,
        short: "A fresh key, and what I demand",
        purpose: "The same between broker and archive. It is done only when the two have no session: one serves many hospitals.",
        hospital: "Nothing: this is between broker and archive.",
        broker: "The private half of its fresh key.",
        archive: "That the broker is really there, and its policies.",
        hidden: FRESH_KEY,
        paper: "HTSC → HIMC: E_HIMC(R_HTSC), policies",
        ours: "T → M: [header, X-Wing key, policies], signature_T(everything so far)",
        difference: "As in step 4.",
        section: "4.3",
    },
    StepWords {
        phase: Phase::Authentication,
        number: 7,
        short: "Your key answered: we share SK_TM",
        purpose: "The archive answers. Broker and archive share a key.",
        hospital: "Nothing. It does not have SK_TM.",
        broker: "SK_TM, and that the archive has it too.",
        archive: "SK_TM.",
        hidden: "SK_TM is known to broker and archive alone. Under it the broker seals tokens, so no hospital can make or change one.",
        paper: "HIMC → HTSC: E_HTSC(R_HIMC);  SK_TM = H(R_HTSC ‖ R_HIMC)",
        ours: "M → T: [header, X-Wing encapsulation, policies], signature_M, confirmation",
        difference: "As in step 5.",
        section: "4.4",
    },
    StepWords {
        phase: Phase::Authentication,
        number: 8,
        short: "A fresh key for you, past the broker",
        purpose: "The archive offers the hospital a key, and repeats the policies that the hospital sent in step 4. It goes through the broker, who can read it and can change nothing.",
        hospital: "That the archive is really there, and got its policies as it sent them: the archive signed them.",
        broker: "A public key that is of no use to it.",
        archive: "The private half of the fresh key.",
        hidden: FRESH_KEY,
        paper: "HIMC → LHC: E_LHC(R_HIMC), policies",
        ours: "M → L: [header, X-Wing key, L's policies], signature_M(everything so far)",
        difference: "In the paper anybody can put policies of their own beside the number. Here a broker that changed one would be found out by the archive's signature.",
        section: "4.3",
    },
    StepWords {
        phase: Phase::Authentication,
        number: 9,
        short: "Your key answered: we share SK_LM",
        purpose: "The hospital answers the archive, and confirms the broker's key with the same message. Three pairs, three keys: all that follows is sealed.",
        hospital: "SK_LM beside SK_LT.",
        broker: "That the hospital has SK_LT. It carried step 9 and still cannot compute SK_LM.",
        archive: "SK_LM beside SK_TM, and that the hospital has it too.",
        hidden: "SK_LM is known to this hospital and the archive alone: the broker that passed every byte of it does not have it. From here on it carries what it cannot read.",
        paper: "LHC → HIMC: R_LHC under HIMC's certificate;  SK_LM = H(R_HIMC ‖ R_LHC)",
        ours: "L → M, by way of T: [header, X-Wing encapsulation, policies], signature_L, confirmation\nh_LM = SHA-256(everything said between L and M): tokens are good for this session alone",
        difference: "As in step 5. Besides, every token names h_LM, so that one that is stolen fits no other session.",
        section: "4.4",
    },
    StepWords {
        phase: Phase::Transmission,
        number: 1,
        short: "May I have this patient's record?",
        purpose: "The hospital asks the broker for access, signed: which patient, to do what, which kinds of records, for what purpose, and which user asks.",
        hospital: "Nothing new.",
        broker: "That a hospital asks about a pseudonym, and the user's name at the hospital, for the log. It checks the signature.",
        archive: "Nothing yet.",
        hidden: "The patient is 32 bytes that say nothing. Kinds of records (such as HIV or psychiatry) are tags that differ from patient to patient. Only gateways can tell whom and what they mean.",
        paper: "LHC → HTSC: request for a personal healthcare record",
        ours: "L → T, under SK_LT: signed_L[pseudonym, action, tags, purpose, user, role]",
        difference: "The paper's request is neither signed nor sealed, and names nothing that a decision could rest on.",
        section: "7.2",
    },
    StepWords {
        phase: Phase::Transmission,
        number: 2,
        short: "These are my terms. Are you there, now?",
        purpose: "The broker answers with its policies, the time and a fresh number, which must come back changed.",
        hospital: "The terms: that they are those of step 5, and that the clocks agree.",
        broker: "Nothing new.",
        archive: "Nothing yet.",
        hidden: "All of it is sealed under SK_LT: the archive, and who listens, see bytes.",
        paper: "HTSC → LHC: E_SK_LHS(policies, TS)",
        ours: "T → L, under SK_LT: [policies, time stamp, challenge]",
        difference: "A random challenge beside the time: it cannot be guessed and is answered once.",
        section: "7.2",
    },
    StepWords {
        phase: Phase::Transmission,
        number: 3,
        short: "I accept: time stamp + 1",
        purpose: "The hospital accepts the terms and asks for the token. The broker now decides: does the patient's own signed directive permit this?",
        hospital: "Nothing new.",
        broker: "Its decision. Refused, the exchange ends here, and that is what a withdrawn consent looks like.",
        archive: "Nothing yet.",
        hidden: "The broker decides by pseudonym and tags. It does not learn who the patient is or what the tags mean.",
        paper: "LHC → HTSC: E_SK_LHS(TS + 1), request for the token",
        ours: "L → T, under SK_LT: [time stamp + 1, challenge, SHA-256(policies), h_LM]",
        difference: "It also repeats which policies were accepted and in which session with the archive the token will be used.",
        section: "7.2",
    },
    StepWords {
        phase: Phase::Transmission,
        number: 4,
        short: "Here is your token, and my half of the key",
        purpose: "The broker issues a token that works once, for a minute, and gives its half of the keys for what was permitted.",
        hospital: "What it may do, and half of the key: on its own it opens nothing.",
        broker: "Nothing new. It has only its own half.",
        archive: "Nothing yet.",
        hidden: "The hospital can read the token and cannot change it: it is signed, and sealed a second time for the archive under SK_TM.",
        paper: "HTSC → LHC: E_SK_LHS(token)",
        ours: "T → L, under SK_LT: [token sealed under SK_TM for M, the same readable for L, T's half-keys, registration]",
        difference: "The paper's token does not say whom it is for, so an insider can show it. Ours names hospital, key, session, patient, action, purpose and end. The half-keys are ours alone: in the paper, who forwards can read.",
        section: "7.2",
    },
    StepWords {
        phase: Phase::Transmission,
        number: 5,
        short: "This is my token",
        purpose: "The hospital shows the token to the archive, through the broker, and signs that it saw this very token.",
        hospital: "Nothing new.",
        broker: "That something of this length passed. It is sealed under SK_LM.",
        archive: "What the broker permitted. It then decides a second time, by its own copy of the patient's directive: a lying broker is not enough.",
        hidden: "The broker cannot read the message that it carries, and could not exchange the token in it: the signature covers it.",
        paper: "LHC → HIMC: E_SK_HIS(token)",
        ours: "L → M, under SK_LM: [sealed token, signed_L(token id, h_LM, SHA-256(token))]",
        difference: "Nothing in the paper tells a second use of a token from the first. Here an id works once.",
        section: "7.3",
    },
    StepWords {
        phase: Phase::Transmission,
        number: 6,
        short: "Granted: my half of the key",
        purpose: "The archive grants the access and gives its half of the keys.",
        hospital: "Both halves: together they make the keys of exactly the records that were permitted.",
        broker: "That something passed.",
        archive: "Nothing new. It has only its own half.",
        hidden: "Neither broker nor archive ever has both halves, so neither of them can open a record. Only the hospital can, and only what both of them permitted.",
        paper: "HIMC → LHC: authority to confirm the PHR",
        ours: "M → L, under SK_LM: [authority, end, tags, M's half-keys, registration, head of the log]",
        difference: "An authority that ends with the token, and keys instead of a promise.",
        section: "7.3",
    },
    StepWords {
        phase: Phase::Transmission,
        number: 7,
        short: "The record itself, sealed",
        purpose: "The records travel: up to the archive when the hospital stores, down to it when it reads. Each was sealed by the hospital that wrote it.",
        hospital: "The record, in memory. It has checked each author's signature and that nothing is missing from the log.",
        broker: "That so many bytes passed, and the number and hash of the log's last entry, which it remembers as a witness.",
        archive: "That an entry of about this size was written by this hospital under this tag, or read. Not a word of it.",
        hidden: "The record is encrypted twice over: by the key of two halves, and by SK_LM on the way. Look at the bytes below: that is all that broker and archive ever had.",
        paper: "HIMC → LHC: the PHR",
        ours: "M → L or L → M, under SK_LM: entries [signed envelope, AES-256-GCM(entry key, padded record)]; signed receipt",
        difference: "In the paper the archive has records in the clear. Ours keeps a log of sealed entries, each naming the one before.",
        section: "7.4",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_its_words_once_and_in_order() {
        let numbers: Vec<_> = STEPS.iter().map(|words| (words.phase, words.number)).collect();
        let all = [Phase::Authentication, Phase::Transmission]
            .into_iter()
            .flat_map(|phase| (1..=phase.steps()).map(move |number| (phase, number)));
        assert_eq!(numbers, all.collect::<Vec<_>>());
        assert!(STEPS.iter().all(|words| words.short.chars().count() <= 46));
    }
}
