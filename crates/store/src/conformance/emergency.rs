//! Rules of [`EmergencyStore`].

use sealwort_proto::message::EmergencyNotice;
use sealwort_proto::{EmergencyId, crypto};

use super::{some_digest, some_patient};
use crate::{EmergencyStore, KeptEmergency, NewEmergency};

/// Checks the rules of [`EmergencyStore`].
pub async fn emergency_store(store: &dyn EmergencyStore) {
    let (own, other) = (format!("hospital {}", some_digest()), format!("hospital {}", some_digest()));
    let some = |begun_at: u64| EmergencyNotice {
        id: EmergencyId::new(crypto::random()),
        patient: some_patient(),
        hospital: other.clone(),
        user: "dr-b".to_owned(),
        user_role: "physician".to_owned(),
        purpose: "BTG".to_owned(),
        reason: "unconscious".to_owned(),
        begun_at,
    };
    let (first, second, nobodys) = (some(1000), some(1001), some(1002));
    for (notice, tell) in [(&second, Some(&own)), (&first, Some(&own)), (&nobodys, None)] {
        let new = NewEmergency { notice: notice.clone(), tell: tell.cloned() };
        assert_eq!(store.keep_emergency(new).await.unwrap(), (notice.clone(), KeptEmergency::New));
    }
    let moved = EmergencyNotice { begun_at: 9000, ..first.clone() };
    let again = store.keep_emergency(NewEmergency { notice: moved, tell: None }).await.unwrap();
    assert_eq!(again, (first.clone(), KeptEmergency::Known), "what is kept stays as it was, its begin above all");
    let untold = async || store.untold_emergencies(&own, 9).await.unwrap();
    assert_eq!(untold().await, [first.clone(), second.clone()], "the oldest first");
    assert_eq!(
        store.untold_emergencies(&own, 1).await.unwrap(),
        std::slice::from_ref(&first),
        "no more than asked for"
    );
    assert_eq!(store.untold_emergencies(&other, 9).await.unwrap(), [], "others are not told");
    store.told_emergencies(&other, &[first.id]).await.unwrap();
    assert_eq!(untold().await.len(), 2, "nobody acknowledges for another");
    store.told_emergencies(&own, &[first.id, nobodys.id]).await.unwrap();
    store.told_emergencies(&own, &[first.id]).await.unwrap();
    assert_eq!(untold().await, std::slice::from_ref(&second));
    store.forget_emergencies(1002).await.unwrap();
    assert_eq!(untold().await, std::slice::from_ref(&second), "what is to be told is not forgotten, however old");
    for (notice, kept) in [(&first, KeptEmergency::New), (&nobodys, KeptEmergency::Known)] {
        let new = NewEmergency { notice: notice.clone(), tell: None };
        assert_eq!(store.keep_emergency(new).await.unwrap().1, kept, "what was told and is old is forgotten");
    }
}
