//! A malicious hospital with a valid certificate at the real broker and archive.

use sealwort_net::exchange::{AUTHENTICATE_PATH, send};
use sealwort_pki::Role;
use sealwort_proto::message::MESSAGE_BYTES_MAX;

use super::exchange::Exchange;

/// Somebody sends a step 4 that names another hospital's run, over a connection of its own: the run goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_another_connection_is_neither_used_nor_ended() {
    use sealwort_proto::handshake::gateway::{Presented, start};
    let exchange = Exchange::start().await;
    let (a, rogue) = (exchange.actor(Role::Gateway, "a"), exchange.actor(Role::Gateway, "rogue"));
    let (own, others) = (exchange.connect(&a).await, exchange.connect(&rogue).await);
    let peer = own.require_peer().unwrap().clone();
    let archive = exchange.archive.member.identity().clone();
    let (state, hello) = start(&a.party, &archive, peer.identity(), *peer.exporter());
    let answer = send(&own, &format!("{AUTHENTICATE_PATH}/1"), hello, MESSAGE_BYTES_MAX).await.unwrap();
    let Presented::Continue(state, share) = a.peers(|peers| state.on_presentation(&answer, &a.party, peers)).unwrap()
    else {
        panic!("no load")
    };
    let path = |step: u8| format!("{AUTHENTICATE_PATH}/{step}/{}", state.session());
    for content in [share.clone(), b"nonsense".to_vec(), Vec::new()] {
        let refused = send(&others, &path(4), content, MESSAGE_BYTES_MAX).await.unwrap_err();
        assert_eq!(refused.code(), "session-unknown");
    }
    let refused = send(&others, &path(9), Vec::new(), MESSAGE_BYTES_MAX).await.unwrap_err();
    assert_eq!(refused.code(), "session-unknown");
    let step_4 = path(4);
    let answer = send(&own, &step_4, share.clone(), MESSAGE_BYTES_MAX).await.expect("the run goes on");
    // Twice, it is refused, and the run is over: each state is used once.
    let refused = send(&own, &step_4, share, MESSAGE_BYTES_MAX).await.unwrap_err();
    assert_eq!(refused.code(), "session-unknown");
    let session = state.session();
    let (_, completion) = state.on_answer(&answer, &a.party, exchange.now()).unwrap();
    let path = format!("{AUTHENTICATE_PATH}/9/{session}");
    let refused = send(&own, &path, completion, MESSAGE_BYTES_MAX).await.unwrap_err();
    assert_eq!(refused.code(), "session-unknown");
    // And an honest run over the very same connection works.
    exchange.session_over(&a, own).await.unwrap();
    exchange.stop().await;
}
