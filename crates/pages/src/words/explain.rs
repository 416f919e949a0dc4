//! Words of the page that explains the sixteen steps. What is told about each step is in `steps`.

pub use super::steps::{Phase, STEPS, StepWords, step};

/// Section of the specification about step 7 where something is stored instead of read.
pub const WRITING_SECTION: &str = "7.5";

/// What the surface is called.
pub const SURFACE: &str = "How it works";
/// Its page, in the navigation.
pub const SURFACE_PAGE: &str = "The sixteen steps";
/// Title of the page.
pub const TITLE: &str = "The sixteen steps, as they happen";
/// Title of a section of the specification.
pub const SPECIFICATION: &str = "From the specification";
/// First paragraph.
pub const LEAD: &str = "Two hospitals exchange a patient's record through a broker that cannot read it and an archive that cannot decrypt it. What you see is no animation: the five parties run on this computer, and every arrow is a message that one of them sent.";

/// Heads the buttons.
pub const TRY: &str = "Try it yourself";
/// Above the buttons.
pub const TRY_LEAD: &str = "Each button lets the two hospitals' gateways do it, as a hospital's system would ask them to. The patient is invented: Marguerite Oakenfold. Go from left to right.";
/// Label of the note that is stored.
pub const NOTE: &str = "What hospital A writes into the record";
/// What is proposed for it.
pub const NOTE_PROPOSED: &str = "Sleeps better since the garden is in bloom.";
/// Why the note.
pub const NOTE_HELP: &str = "Write a word of your own, and look for it below afterwards.";

/// One button: what it says and what it will do.
#[derive(Debug, Clone, Copy)]
pub struct ButtonWords {
    /// On the button.
    pub button: &'static str,
    /// Below it.
    pub about: &'static str,
}

/// Stores a record.
pub const UPLOAD: ButtonWords =
    ButtonWords { button: "Upload a record at A", about: "Hospital A seals a note and stores it in the archive." };
/// Grants consent.
pub const ALLOW: ButtonWords = ButtonWords {
    button: "Let B read it",
    about: "The patient's consent authority, kept by hospital A, signs that B may read, for treatment, for a day.",
};
/// Reads.
pub const READ: ButtonWords =
    ButtonWords { button: "Read it at B", about: "A physician at hospital B asks for the record." };
/// Withdraws consent.
pub const WITHDRAW: ButtonWords =
    ButtonWords { button: "Withdraw consent", about: "The patient changes their mind. It counts at once." };
/// Reads once more.
pub const READ_AGAIN: ButtonWords =
    ButtonWords { button: "Read it at B again", about: "The same question. See which step it does not get past." };
/// Cuts the connections.
pub const CUT: ButtonWords = ButtonWords {
    button: "Cut all connections",
    about: "Sessions end with their connections. The next button begins with the nine steps again.",
};

/// Heads the diagram.
pub const HAPPENED: &str = "What happened";
/// Heads the list of what happened before.
pub const CHAPTERS: &str = "Everything so far";
/// While something goes on.
pub const RUNNING: &str = "Going on now";
/// Shows the page as it is now.
pub const REFRESH: &str = "Show the present state";
/// Where no message was needed.
pub const NO_STEPS: &str = "No message was needed.";
/// Below the list of chapters, where older ones are gone.
pub const OLDER: &str = "Older ones are no longer kept.";
/// What the diagram is, for who cannot see it.
pub const DIAGRAM: &str =
    "Messages between hospital A, hospital B, the broker and the archive, from the first to the last";
/// Below the diagram.
pub const AUTHORITY_NOTE: &str = "The certificate authority takes no part in the steps. Before the first of them it gave each of the four its certificates, and it tells them every few seconds which are revoked.";
/// Below the diagram, about its signs.
pub const LEGEND: &str = "Circles with a number are the paper's steps. Small circles are messages beside them. A ring on the broker's line: it passes on what it cannot read. Select an arrow to see what it carried.";

/// The lanes: name and what the paper calls it.
pub const LANES: [(&str, &str); 4] =
    [("Hospital A", "gateway, L"), ("Hospital B", "gateway, L"), ("Broker", "T, HTSC"), ("Archive", "M, HIMC")];

/// What a chapter is, in the list and over the diagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChapterWords {
    /// The first session and the first record.
    First,
    /// The other records of the story.
    Rest,
    /// Hospital B before consent.
    Before,
    /// Consent is granted to everybody of the story.
    Granted,
    /// Hospital B reads all.
    Reads,
    /// Consent is withdrawn, and B asks again.
    Withdrawn,
    /// Button.
    Upload,
    /// Button.
    Allow,
    /// Button.
    Read,
    /// Button.
    Withdraw,
    /// Button.
    Cut,
    /// Whatever nobody on this page asked for.
    Others,
}

impl ChapterWords {
    /// Its title.
    pub const fn title(self) -> &'static str {
        match self {
            Self::First => "Hospital A makes itself known and stores a first record: all sixteen steps",
            Self::Rest => "Hospital A stores the records of the other patients",
            Self::Before => "Hospital B asks for each patient before anybody consented",
            Self::Granted => "The patients allow hospital B to read",
            Self::Reads => "Hospital B reads the records",
            Self::Withdrawn => "The patients withdraw their consent, and hospital B asks again",
            Self::Upload => "You uploaded a record at hospital A",
            Self::Allow => "You let hospital B read it",
            Self::Read => "You read it at hospital B",
            Self::Withdraw => "You withdrew the consent",
            Self::Cut => "You cut all connections",
            Self::Others => "Messages that nobody caused on this page",
        }
    }
}

/// Result of the first chapter.
pub const FIRST_DONE: &str = "Stored. Nine steps made three keys, then seven stored the record.";
/// Result of the second one.
pub const REST_DONE: &str = "Stored. The session is there already, so each record takes the seven steps alone.";
/// Result of asking before consent.
pub const BEFORE_DONE: &str = "Refused, each time: nobody has allowed hospital B anything.";
/// Where it was not refused, which would be a fault.
pub const BEFORE_FAILED: &str = "Not refused. That must not be: the demo reports it as a failure.";
/// Result of granting.
pub const GRANTED_DONE: &str = "A signed directive went to broker and archive. It names no patient and no disease.";
/// Result of reading.
pub const READS_DONE: &str = "Hospital B read what hospital A wrote: resource by resource the same content.";
/// Where it was something else.
pub const READS_FAILED: &str = "What was read is not what was written. The demo reports it as a failure.";
/// Result of withdrawing.
pub const WITHDRAWN_DONE: &str = "Refused, although hospital B held the records open a moment ago.";
/// Where it was not refused.
pub const WITHDRAWN_FAILED: &str = "Not refused in time. That must not be: the demo reports it as a failure.";

/// Result of an upload: how many notes the page stored so far.
pub fn uploaded(notes: usize) -> String {
    format!("Stored: note number {notes}. The archive's receipt is signed, and the broker has witnessed it.")
}
/// Result of an upload while the exchange is away.
pub const UPLOAD_KEPT: &str =
    "The exchange was not there. Hospital A's gateway keeps the note on its disk and sends it by itself.";
/// Result of a grant.
pub const ALLOWED: &str = "Broker and archive each have the new directive, signed by the patient's consent authority. Each will decide by its own copy.";
/// Result of reading: how many notes, and the last one.
pub fn read(notes: usize, newest: &str) -> String {
    let plural = if notes == 1 { "note" } else { "notes" };
    format!("Hospital B reads {notes} {plural}. The newest says: “{newest}”")
}
/// Where it read from memory.
pub const READ_HELD: &str = "No message was needed: hospital B holds the record open since it read it last, and the broker, who tells it of every change, told of none.";
/// Result of reading without consent.
pub fn read_refused(code: &str) -> String {
    format!("Refused ({code}). Hospital B's user is told that the patient does not allow it, and sees nothing.")
}
/// Result of reading before there is anything.
pub const READ_NOBODY: &str = "Hospital B finds nobody: no record was uploaded yet. Begin with the first button.";
/// Result of a withdrawal.
pub const WITHDREW: &str = "Broker and archive have the new directive, with a new epoch: new halves of all keys. Hospital B was told to forget what it holds.";
/// Result of cutting.
pub const CUT_DONE: &str = "Every TLS connection between gateways, broker and archive was cut. Broker and archive were asked: neither holds a key of any session that was, and a gateway can do nothing with its own. Each gateway begins with the nine steps again, by itself or when the next button needs it.";
/// Where keys are there still.
pub const CUT_FAILED: &str =
    "Every TLS connection was cut, and broker or archive holds keys of sessions that were. That must not be.";
/// Where it went wrong.
pub fn failed(why: &str) -> String {
    format!("It did not work: {why}")
}
/// Label of the arrow of a refusal.
pub const REFUSED_ARROW: &str = "No: consent does not allow it";
/// While the story goes on.
pub const NOT_YET: &str = "The demo's own story is still going on. Watch it, and press the button again in a moment.";
/// Steps that are not drawn.
pub fn more(count: usize) -> String {
    format!("… and {count} more steps alike, which are not drawn.")
}
/// Size and time on an arrow.
pub fn measured(bytes: usize, micros: u128) -> String {
    format!("{} bytes · {} µs", grouped(bytes as u128), grouped(micros))
}
/// The name of an arrow, read out.
pub fn arrow(phase: Phase, number: u8, from: &str, to: &str, short: &str, measured: &str) -> String {
    format!("Step {number} of {}, from {from} to {to}: {short}; {measured}", phase.name())
}
/// The same of a message beside the steps.
pub fn arrow_beside(from: &str, to: &str, short: &str) -> String {
    format!("From {from} to {to}: {short}")
}
/// A number with commas.
pub fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Heads the panel of a step.
pub fn step_heading(phase: Phase, number: u8) -> String {
    format!("Step {number} of {} of {}", phase.steps(), phase.name())
}
/// What the panel is.
pub const TOLD: &str = "The selected message";
/// The hospital whose steps they are.
pub const HOSPITAL: &str = "Hospital";
/// Terms of the panel.
pub const KNOWS: &str = "Who knows what after it";
/// What stays hidden.
pub const HIDDEN: &str = "What stays hidden";
/// Heads the formulas.
pub const FORMULA: &str = "The paper and ours";
/// The paper's.
pub const PAPER: &str = "Paper";
/// Ours.
pub const OURS: &str = "Ours";
/// Why.
pub const DIFFERENCE: &str = "Why";
/// Link to the specification, before the number.
pub const SECTION: &str = "Specification, section";
/// Heads the messages.
pub const SEEN: &str = "What they really saw";
/// Above the messages.
pub const SEEN_LEAD: &str = "The bytes as broker and archive wrote down everything that came in and went out (their option capture). The message is found by its kind, session, length and time: among many within one millisecond it may be one just like it. Long strings of bytes are cut short.";
/// Beside what was captured.
pub const SENT: &str = "What hospital A's own system sent to its gateway";
/// What hospital B's user got.
pub const SHOWN: &str = "What hospital B's user got from its gateway";
/// Where nothing passed a party.
pub const NOTHING_SEEN: &str = "Nothing of it reached this party.";
/// Where nothing was captured.
pub const NOT_CAPTURED: &str = "The message is no longer among those that are kept for this page.";
/// Begins the raw bytes.
pub const RAW: &str = "The same bytes as they are";
/// How long.
pub fn length(bytes: usize) -> String {
    format!("{} bytes", grouped(bytes as u128))
}
/// Where no step is selected.
pub const SELECT: &str = "Select an arrow: you see what the message is for, what each party knows after it, what it cannot know, and the bytes that broker and archive really had.";

/// The broker's copy of a request.
pub const VIEW_BROKER_GOT: &str = "The broker received";
/// The broker's answer.
pub const VIEW_BROKER_GAVE: &str = "The broker answered";
/// What the broker opened.
pub const VIEW_BROKER_OPENED: &str = "The broker opened it with SK_LT and read";
/// What it only passed on.
pub const VIEW_BROKER_PASSED: &str = "The broker passed on, and could not open";
/// What it passed on and could read: a public key and a signature.
pub const VIEW_BROKER_PASSED_OPEN: &str = "The broker passed on, with its own step 5";
/// The archive's copy.
pub const VIEW_ARCHIVE_GOT: &str = "The archive received";
/// The archive's answer.
pub const VIEW_ARCHIVE_GAVE: &str = "The archive answered";
/// What the archive opened.
pub const VIEW_ARCHIVE_OPENED: &str = "The archive opened it with SK_LM and read";
/// What it sealed for the hospital.
pub const VIEW_ARCHIVE_SEALED: &str = "The archive sent, sealed under SK_LM";

/// Names of messages beside the steps, to the broker.
pub fn to_broker(number: u8) -> Option<(&'static str, &'static str)> {
    Some(match number {
        0 => (
            "Who is this? (a blinded identifier)",
            "locate: the hospital asks for the pseudonym of a patient by an identifier that is blinded with a key that gateways alone have.",
        ),
        1 => (
            "A pseudonym for somebody new, please",
            "allot: nobody is known by the blinded identifier, so the broker proposes a pseudonym.",
        ),
        2 => (
            "This patient is new (signed)",
            "register: the registration ties the pseudonym to the patient's consent authority. The first directive comes with it.",
        ),
        3 => (
            "The patient's new directive (signed)",
            "direct: the complete list of what the patient allows, signed by the consent authority. No name and no diagnosis in it.",
        ),
        4 => (
            "Which directive is in force?",
            "consent: the hospital asks for the registration and the directive in force.",
        ),
        7 => (
            "The archive's receipt: be a witness",
            "witness: the signed receipt of the log's new head. If the archive ever shows an older log, the broker's memory gives it away.",
        ),
        8 => (
            "Which heads did you witness?",
            "witnessed: the reader asks for every head of the log that the broker has seen, to hold the log against them.",
        ),
        9 => ("Erase this record (signed)", "erase: the consent authority orders that the record be destroyed."),
        10 => ("What does your log say of this patient?", "log: the consent authority asks who looked."),
        _ => return None,
    })
}
/// The same to the archive.
pub fn to_archive(number: u8) -> Option<(&'static str, &'static str)> {
    Some(match number {
        0 => (
            "This patient is new (signed)",
            "register: as at the broker. The archive keeps its own copy and decides by it.",
        ),
        1 => (
            "The patient's new directive (signed)",
            "direct: as at the broker. The archive keeps its own copy and decides by it.",
        ),
        6 => ("Erase this record (signed)", "erase: the consent authority orders that the record be destroyed."),
        7 => ("What does your log say of this patient?", "log: the consent authority asks who looked."),
        _ => return None,
    })
}
/// Detail of an arrow beside the steps.
pub fn beside(bytes: usize, times: usize) -> String {
    let often = if times > 1 { format!(" · {times} times") } else { String::new() };
    format!("{} bytes, sealed on the way{often}", grouped(bytes as u128))
}
/// Heads the panel of a message beside the steps.
pub const BESIDE_HEADING: &str = "A message beside the sixteen steps";

/// Heads the search.
pub const SEARCH: &str = "Look for a word of the record";
/// Above it.
pub const SEARCH_LEAD: &str = "Type a word of the patient's record, such as the name. It is looked for in every message, store and log of every party: as it is, in capitals or small letters, in hexadecimal and in base64.";
/// Label.
pub const SEARCH_LABEL: &str = "Word";
/// Button.
pub const SEARCH_BUTTON: &str = "Look for it";
/// Below the field.
pub const SEARCH_HELP: &str = "Five letters or more: shorter ones occur by chance among encrypted bytes. To see that the search finds things, try hospital-b, which broker and archive do know.";
/// Too short.
pub const SEARCH_SHORT: &str =
    "That is too short: five letters or more, since shorter ones occur by chance among encrypted bytes.";
/// Where it could not be done.
pub const SEARCH_FAILED: &str = "A file could not be read:";
/// Caption of the table.
pub fn searched(word: &str) -> String {
    format!("Where “{word}” was found")
}
/// Columns.
pub const SEARCH_COLUMNS: [&str; 4] = ["Party", "Messages", "Store", "Audit log"];
/// Rows.
pub const SEARCH_PARTIES: [&str; 5] = ["Hospital A", "Hospital B", "Broker", "Archive", "Certificate authority"];
/// A cell.
pub fn found(times: usize, bytes: u64) -> String {
    let size = amount(bytes);
    match times {
        0 => format!("not found in {size}"),
        1 => format!("found once in {size}"),
        _ => format!("found {} times in {size}", grouped(times as u128)),
    }
}
/// Where there is nothing to look in.
pub const SEARCH_NONE: &str = "–";
/// Below the table where neither broker nor archive had it.
pub const SEARCH_GATEWAYS_ONLY: &str = "Only hospitals had it, in what they said to their own users. On the hospitals' own disks it is encrypted as well. Broker, archive and authority never had it.";
/// Where nobody had it.
pub const SEARCH_NOWHERE: &str = "Nobody had it. Is the word in a record? Try Oakenfold, after an upload.";
/// Where they had it.
pub const SEARCH_ELSEWHERE: &str = "Broker, archive or authority had it. Words that they must know are names of hospitals, users, roles and purposes; nothing out of a record may be among them.";
/// What the gateways' messages are.
pub const SEARCH_MESSAGES: &str = "Messages of a hospital are those between its gateway and its own users, inside the hospital. What a gateway sends to the broker stands in the broker's messages. Of a hospital the newest 64 MiB are kept for this page.";

/// A size in its unit.
pub fn amount(bytes: u64) -> String {
    const KIB: u64 = 1024;
    match bytes {
        0..KIB => format!("{bytes} bytes"),
        _ if bytes < KIB * KIB => format!("{} KiB", bytes / KIB),
        _ => format!("{} MiB", bytes / (KIB * KIB)),
    }
}

/// Title of a page that says what was wrong.
pub const WRONG: &str = "That did not work";
/// Something ended in the middle.
pub const STOPPED: &str = "It ended in the middle. What it said is in the demo's own log.";
/// A form that is not of this page.
pub const NOT_OURS: &str = "The form is not of this page, or the demo was started anew since it was shown. Go back to the page and press the button there.";
/// Another host.
pub const NOT_LOOPBACK: &str = "This page answers on this computer alone, under the address that the demo printed.";
/// Nothing is there.
pub const NOT_THERE: &str = "There is no such page. The page that explains the steps is the first one.";
/// Back to the page.
pub const BACK: &str = "Back to the sixteen steps";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(12), "12");
    }
}
