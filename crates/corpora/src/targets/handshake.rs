//! The nine steps with their three state machines and the cookie (`spec/protocol.md`, section 4). The script alters
//! messages on their way, replays those of an earlier run or of another step, and lets a party sign a share that it
//! should not have made. Nobody may end up with a session that saw an altered message.

use sealwort_proto::codec::{from_bytes, to_bytes};
use sealwort_proto::crypto::Transcript;
use sealwort_proto::handshake::Party;
use sealwort_proto::message::{HANDSHAKE_BYTES_MAX, Share, SignedShare};
use sealwort_proto::operations::Operations;
use sealwort_proto::testing::Seeded;

use crate::input::Input;
use crate::mutation::{Alteration, read_all};
use crate::world::{HOP_LT, HOP_TM, MESSAGES, World, earlier_run, world};

/// Places in [`MESSAGES`] of the shares that a lying party may sign anew: steps 4, 6 and 8.
const SHARES: [usize; 3] = [6, 7, 10];

/// Runs the nine steps as the script says.
///
/// # Panics
/// When a run with an altered message ends with a session, or one without fails.
pub fn handshake(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let load = input.byte() % 2 == 1;
    let alterations = read_all(&mut input, MESSAGES.len() + SHARES.len());
    let world = world();
    let _seeded = Seeded::install(3);
    let mut seen: Vec<(usize, Vec<u8>)> = Vec::new();
    let mut altered = false;
    let outcome = world.run(load, &mut |number, message| {
        // What a broker passes on unread may be long; whoever reads it holds it to the limit.
        assert!(altered || message.len() <= HANDSHAKE_BYTES_MAX, "step {}: {} bytes", MESSAGES[number], message.len());
        let mut others: Vec<Vec<u8>> = seen.iter().map(|(_, message)| message.clone()).collect();
        others.extend_from_slice(earlier_run());
        let mut carried = message.clone();
        for alteration in &alterations {
            if alteration.message == number {
                carried = alteration.apply(carried, &others);
            } else if alteration.message.checked_sub(MESSAGES.len()).and_then(|n| SHARES.get(n)) == Some(&number) {
                carried = signed_anew(world, alteration, number, carried, &others, &seen);
            }
        }
        // What a broker under load answers with a cookie is forgotten; the gateway says hello again.
        altered |= carried != message && !(load && number == 0);
        seen.push((number, carried.clone()));
        carried
    });
    match outcome {
        Ok(session) => {
            assert!(!altered, "a session in spite of an altered message");
            let binding = session.gateway.with_archive.binding();
            assert_eq!((binding, binding), (session.archive.channel.binding(), session.broker.binding));
        }
        Err(error) => {
            assert!(
                altered || (load && alterations.iter().any(|a| a.message == 0)),
                "undisturbed, and refused: {error}"
            );
            assert!(!error.code().is_empty() && !error.to_string().is_empty());
        }
    }
}

/// A share altered by its own sender, who signs what came out of it.
fn signed_anew(
    world: &World,
    alteration: &Alteration<'_>,
    number: usize,
    message: Vec<u8>,
    others: &[Vec<u8>],
    seen: &[(usize, Vec<u8>)],
) -> Vec<u8> {
    let Ok(signed) = from_bytes::<SignedShare>(&message, HANDSHAKE_BYTES_MAX) else { return message };
    let Ok(honest) = from_bytes::<Share>(signed.share.as_ref(), HANDSHAKE_BYTES_MAX) else { return message };
    let last = |names: &[usize]| {
        seen.iter()
            .rev()
            .find(|(number, _)| names.contains(number))
            .map(|(_, message)| message.as_slice())
            .unwrap_or_default()
    };
    let (pair, step, party, parts): (_, u8, &Party, Vec<&[u8]>) = match number {
        6 => ("LT", 4, &world.gateway, vec![&HOP_LT, last(&[0, 2]), last(&[5])]),
        7 => ("TM", 6, &world.broker, vec![&HOP_TM, last(&[3]), last(&[4])]),
        _ => ("LM", 8, &world.archive, vec![]),
    };
    let share = alteration.apply(signed.share.0, others);
    let mut transcript = Transcript::new("sealwort agreement v1");
    transcript.add(pair.as_bytes()).add(honest.header.session.as_bytes());
    for part in parts {
        transcript.add(part);
    }
    transcript.add(&share);
    let mut content = b"sealwort authentication v1 step ".to_vec();
    content.push(step);
    content.extend_from_slice(transcript.digest(&Operations::default()).as_bytes());
    let signature = party.key.sign(&content).expect("a signature");
    to_bytes(&SignedShare { share: share.into(), signature: signature.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A share signed anew and otherwise left as it is, is the same share: so the lying party signs what counts.
    #[test]
    fn a_party_signs_its_own_share_as_the_protocol_does() {
        let (world, mut seen, mut compared) = (world(), Vec::new(), 0);
        let nothing = read_all(&mut Input::new(&[0, 3, 2, 0, 0]), 1);
        world
            .run(false, &mut |number, message| {
                if SHARES.contains(&number) {
                    assert_eq!(signed_anew(world, &nothing[0], number, message.clone(), &[], &seen), message);
                    compared += 1;
                }
                seen.push((number, message.clone()));
                message
            })
            .unwrap();
        assert_eq!(compared, SHARES.len());
    }
}
