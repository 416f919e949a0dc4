//! Verification from end to end: each refusal has its own error, and nothing
//! but a certificate of the profile passes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::too_many_lines)]

use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType};

use crate::authority::{
    AuthorityError, BACKDATED, IssuingAuthority, PARTY_LIFETIME, REQUEST_BYTES_MAX, RequestError, RootAuthority,
    make_csr, parse_csr, party_params, policy_extension, random_serial, renewal_due, set_validity,
};
use crate::testing::{TEST_NOW, TestExchange};
use crate::{
    CRL_BYTES_MAX, CertificateChain, CertificateError, CrlError, Expected, ISSUERS_MAX, Identity, KeyAlgorithm, KeyUse,
    NoRevocationList, PartyName, Role, SigningKey, Trust, TrustError, UnixTime,
};

type Change = Box<dyn FnOnce(&mut CertificateParams)>;

const HOUR: Duration = Duration::from_hours(1);

fn chain_with(
    exchange: &TestExchange,
    identity: &Identity,
    key_use: KeyUse,
    change: impl FnOnce(&mut CertificateParams),
) -> CertificateChain {
    let key = SigningKey::generate(KeyAlgorithm::Ed25519).unwrap();
    let request = parse_csr(&make_csr(&key, identity, key_use).unwrap()).unwrap();
    let mut params = party_params(&request, random_serial().unwrap()).unwrap();
    set_validity(&mut params, exchange.now, exchange.now.plus(PARTY_LIFETIME));
    change(&mut params);
    exchange.issuing.sign(&params, key.public_key()).unwrap()
}

#[test]
fn a_party_of_the_profile_is_believed() {
    for algorithm in KeyAlgorithm::ALL {
        let exchange = TestExchange::with("demo", algorithm, TEST_NOW);
        let trust = exchange.trust();
        for role in Role::ALL {
            let party = exchange.party(role, "one");
            for (credential, key_use) in [(&party.hop, KeyUse::Hop), (&party.statement, KeyUse::Statement)] {
                let name: PartyName = "one".parse().unwrap();
                for expected in [
                    Expected::anybody(key_use),
                    Expected::role(role, key_use),
                    Expected::one_of(&Role::ALL, key_use).named(&name),
                ] {
                    let found = trust.verify(&credential.chain, &expected, TEST_NOW).unwrap();
                    assert_eq!(found.identity(), &party.identity);
                    assert_eq!(found.key_use(), key_use);
                    assert_eq!(found.public_key(), credential.key.public_key());
                    assert_eq!(found.serial(), credential.serial);
                    assert_eq!(found.fingerprint(), credential.chain.fingerprint());
                    assert_eq!(found.not_before(), TEST_NOW.minus(BACKDATED));
                    assert_eq!(found.not_after(), TEST_NOW.plus(PARTY_LIFETIME));
                    assert_eq!(trust.recheck(&found, &expected, TEST_NOW), Ok(()));
                }
            }
        }
    }
}

#[test]
fn each_refusal_has_its_own_error() {
    let exchange = TestExchange::new("demo");
    let stranger = TestExchange::new("demo");
    let other = TestExchange::new("other");
    let party = exchange.party(Role::Gateway, "st-mary");
    let name: PartyName = "st-james".parse().unwrap();
    let any = Expected::anybody(KeyUse::Hop);
    let identity = || party.identity.clone();

    let mut revoking = exchange.trust();
    let crl = exchange.crl(2, &[party.hop.serial]);
    revoking.set_crl(&crl, exchange.issuing.certificate(), TEST_NOW).unwrap();
    assert!(revoking.is_revoked(party.hop.serial));
    assert!(!revoking.is_revoked(party.statement.serial));

    let trust = exchange.trust();
    let not_after = TEST_NOW.plus(PARTY_LIFETIME);
    let not_before = TEST_NOW.minus(BACKDATED);
    let after = |span: Duration| not_after.plus(span);
    let leaf_alone = CertificateChain::new(vec![party.hop.chain.leaf().to_vec()]).unwrap();
    let foreign_issuing =
        CertificateChain::new(vec![party.hop.chain.leaf().to_vec(), stranger.issuing.certificate().to_vec()]).unwrap();
    let borrowed_issuing = CertificateChain::new(vec![
        stranger.party(Role::Gateway, "st-mary").hop.chain.leaf().to_vec(),
        exchange.issuing.certificate().to_vec(),
    ])
    .unwrap();
    let next_update = TEST_NOW.plus(24 * HOUR);

    let check = |name: &str,
                 trust: &Trust,
                 chain: &CertificateChain,
                 expected: Expected<'_>,
                 now: UnixTime,
                 error: CertificateError,
                 code: &str| {
        assert_eq!(trust.verify(chain, &expected, now), Err(error.clone()), "{name}");
        assert_eq!(error.code(), code, "{name}");
    };
    let hop = &party.hop.chain;
    check(
        "wrong role",
        &trust,
        hop,
        Expected::role(Role::Broker, KeyUse::Hop),
        TEST_NOW,
        CertificateError::WrongRole { expected: vec![Role::Broker], found: identity() },
        "wrong-role",
    );
    check(
        "wrong name",
        &trust,
        hop,
        any.named(&name),
        TEST_NOW,
        CertificateError::WrongName { expected: name.clone(), found: identity() },
        "wrong-name",
    );
    check(
        "hop key as statement key",
        &trust,
        hop,
        Expected::anybody(KeyUse::Statement),
        TEST_NOW,
        CertificateError::WrongUse { identity: identity(), expected: KeyUse::Statement, found: KeyUse::Hop },
        "wrong-key-use",
    );
    check(
        "statement key as hop key",
        &trust,
        &party.statement.chain,
        any,
        TEST_NOW,
        CertificateError::WrongUse { identity: identity(), expected: KeyUse::Hop, found: KeyUse::Statement },
        "wrong-key-use",
    );
    check(
        "another exchange's party",
        &trust,
        &other.party(Role::Gateway, "st-mary").hop.chain,
        any,
        TEST_NOW,
        CertificateError::WrongExchange {
            expected: "demo".parse().unwrap(),
            found: other.identity(Role::Gateway, "st-mary"),
        },
        "wrong-exchange",
    );
    check(
        "our own root under another exchange's name",
        &Trust::new("other".parse().unwrap(), exchange.root.certificate()).unwrap(),
        hop,
        any,
        TEST_NOW,
        CertificateError::WrongExchange { expected: "other".parse().unwrap(), found: identity() },
        "wrong-exchange",
    );
    check(
        "expired",
        &trust,
        hop,
        any,
        after(Duration::from_secs(1)),
        CertificateError::Expired { identity: identity(), not_after },
        "certificate-expired",
    );
    check(
        "root and issuing certificate expired as well",
        &trust,
        hop,
        any,
        after(24 * 365 * 20 * HOUR),
        CertificateError::IssuerNotValid {
            which: "root",
            not_before,
            not_after: TEST_NOW.plus(crate::authority::ROOT_LIFETIME),
        },
        "issuer-not-valid",
    );
    check(
        "issuing certificate expired",
        &trust,
        hop,
        any,
        TEST_NOW.plus(24 * 365 * 3 * HOUR),
        CertificateError::IssuerNotValid {
            which: "issuing",
            not_before,
            not_after: TEST_NOW.plus(crate::authority::ISSUING_LIFETIME),
        },
        "issuer-not-valid",
    );
    let late = chain_with(&exchange, &party.identity, KeyUse::Hop, |params| {
        set_validity(params, TEST_NOW.plus(HOUR), not_after);
    });
    check(
        "not yet valid",
        &trust,
        &late,
        any,
        TEST_NOW,
        CertificateError::NotYetValid { identity: identity(), not_before: TEST_NOW.plus(HOUR).minus(BACKDATED) },
        "certificate-not-yet-valid",
    );
    let serial = party.hop.serial;
    check(
        "revoked",
        &revoking,
        hop,
        any,
        TEST_NOW,
        CertificateError::Revoked { identity: identity(), serial },
        "certificate-revoked",
    );
    for (name, chain) in [
        ("same exchange name, another root", &stranger.party(Role::Gateway, "st-mary").hop.chain),
        ("no issuing certificate", &leaf_alone),
        ("another issuing certificate", &foreign_issuing),
        ("another's leaf under our issuing certificate", &borrowed_issuing),
    ] {
        check(name, &trust, chain, any, TEST_NOW, CertificateError::UnknownIssuer, "unknown-issuer");
    }
    check(
        "no list yet",
        &exchange.trust_without_crl(),
        hop,
        any,
        TEST_NOW,
        CertificateError::RevocationUnknown(NoRevocationList::Absent),
        "revocation-unknown",
    );
    check(
        "stale list",
        &trust,
        hop,
        any,
        next_update,
        CertificateError::RevocationUnknown(NoRevocationList::Stale { next_update }),
        "revocation-unknown",
    );
    assert!(trust.verify(hop, &any, next_update.minus(Duration::from_secs(1))).is_ok());
    let mismatch = chain_with(&exchange, &party.identity, KeyUse::Hop, |params| {
        params.custom_extensions = vec![policy_extension(&[Role::Broker])];
    });
    check(
        "the policy says another role",
        &trust,
        &mismatch,
        any,
        TEST_NOW,
        CertificateError::RoleMismatch { identity: identity(), policy: Role::Broker },
        "role-mismatch",
    );
}

#[test]
fn certificates_outside_the_profile_are_malformed() {
    let exchange = TestExchange::new("demo");
    let trust = exchange.trust();
    let identity = exchange.identity(Role::Gateway, "st-mary");
    let uri = |text: &str| SanType::URI(text.try_into().unwrap());
    let other = uri("sealwort://demo/broker/b");
    let cases: Vec<(&str, Change)> = vec![
        ("the subject alternative name", Box::new(|p| p.subject_alt_names.clear())),
        ("the subject alternative name", Box::new(move |p| p.subject_alt_names.push(other))),
        (
            "the subject alternative name",
            Box::new(|p| {
                p.subject_alt_names = vec![SanType::DnsName("a.test".try_into().unwrap())];
            }),
        ),
        ("the identity", Box::new(move |p| p.subject_alt_names = vec![uri("sealwort://demo/lhc/st-mary")])),
        ("the certificate policies", Box::new(|p| p.custom_extensions.clear())),
        (
            "the certificate policies",
            Box::new(|p| {
                p.custom_extensions = vec![policy_extension(&[Role::Gateway, Role::Broker])];
            }),
        ),
        ("the certificate policies", Box::new(|p| p.custom_extensions.push(policy_extension(&[Role::Gateway])))),
        ("the extended key usage", Box::new(|p| p.extended_key_usages.clear())),
        ("the extended key usage", Box::new(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth])),
        ("the extended key usage", Box::new(|p| p.extended_key_usages.push(ExtendedKeyUsagePurpose::Any))),
        (
            "the extended key usage",
            Box::new(|p| {
                let both = ExtendedKeyUsagePurpose::Other(crate::profile::STATEMENT_PURPOSE_OID.to_vec());
                p.extended_key_usages.push(both);
            }),
        ),
        ("the key usage", Box::new(|p| p.key_usages.clear())),
        ("the key usage", Box::new(|p| p.key_usages.push(KeyUsagePurpose::KeyCertSign))),
        ("the basic constraints", Box::new(|p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))),
        ("the serial number", Box::new(|p| p.serial_number = Some(vec![7].into()))),
        (
            "the encoding",
            Box::new(|p| {
                let mut unknown = rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 32473, 9], vec![5, 0]);
                unknown.set_criticality(true);
                p.custom_extensions.push(unknown);
            }),
        ),
    ];
    for (index, (field, change)) in cases.into_iter().enumerate() {
        let chain = chain_with(&exchange, &identity, KeyUse::Hop, change);
        assert_eq!(
            trust.verify(&chain, &Expected::anybody(KeyUse::Hop), TEST_NOW),
            Err(CertificateError::Malformed(field)),
            "case {index}"
        );
    }
}

#[test]
fn no_changed_byte_passes() {
    for algorithm in KeyAlgorithm::ALL {
        let exchange = TestExchange::with("demo", algorithm, TEST_NOW);
        let trust = exchange.trust();
        let expected = Expected::anybody(KeyUse::Hop);
        let chain = exchange.party(Role::Gateway, "st-mary").hop.chain;
        let mut bad_signatures = 0;
        for index in 0..chain.certificates().len() {
            for offset in 0..chain.certificates()[index].len() {
                let mut certificates = chain.certificates().to_vec();
                certificates[index][offset] ^= 1;
                let changed = CertificateChain::new(certificates).unwrap();
                let error = trust.verify(&changed, &expected, TEST_NOW).unwrap_err();
                bad_signatures += usize::from(error == CertificateError::BadSignature);
            }
        }
        assert!(bad_signatures > 64, "{bad_signatures}");
        for length in 0..chain.leaf().len() {
            let cut = chain.leaf()[..length].to_vec();
            let Ok(cut) = CertificateChain::new(vec![cut, chain.issuing().unwrap().to_vec()]) else {
                continue;
            };
            assert!(trust.verify(&cut, &expected, TEST_NOW).is_err());
        }
    }
}

#[test]
fn revocation_lists_only_move_forward() {
    let exchange = TestExchange::new("demo");
    let stranger = TestExchange::new("demo");
    let serial = exchange.party(Role::Gateway, "st-mary").hop.serial;
    let mut trust = exchange.trust_without_crl();
    assert_eq!(trust.crl_number(), None);
    let issuing = exchange.issuing.certificate();

    let five = exchange.crl(5, &[serial]);
    let summary = trust.set_crl(&five, issuing, TEST_NOW).unwrap();
    assert_eq!((summary.number, summary.revoked), (5, 1));
    assert_eq!(trust.crl_number(), Some(5));
    assert_eq!(trust.newest(), Some(summary));
    // The same list again changes nothing.
    assert_eq!(trust.set_crl(&five, issuing, TEST_NOW), Ok(summary));

    let next_update = TEST_NOW.plus(24 * HOUR);
    let future = exchange.issuing.make_crl(6, &[], TEST_NOW.plus(4 * HOUR), next_update).unwrap();
    let mut tampered = exchange.crl(6, &[]);
    let last = tampered.len() - 1;
    tampered[last] ^= 1;
    let trailing = [exchange.crl(6, &[]).as_slice(), &[0]].concat();
    let six = exchange.crl(6, &[]);
    let party = exchange.party(Role::Gateway, "mallory");
    for (name, list, issuing, now, error) in [
        ("rollback", exchange.crl(4, &[]), issuing, TEST_NOW, TrustError::Rollback { held: 5, offered: 4 }),
        ("same number, other content", exchange.crl(5, &[]), issuing, TEST_NOW, TrustError::Conflict(5)),
        ("stale", six.clone(), issuing, next_update, CrlError::Stale { next_update }.into()),
        (
            "from the future",
            future,
            issuing,
            TEST_NOW,
            CrlError::NotYetValid { this_update: TEST_NOW.plus(4 * HOUR).minus(BACKDATED) }.into(),
        ),
        ("changed", tampered, issuing, TEST_NOW, CrlError::BadSignature.into()),
        ("trailing byte", trailing, issuing, TEST_NOW, CrlError::Malformed("the encoding").into()),
        ("not a list", vec![0x30, 0], issuing, TEST_NOW, CrlError::Malformed("the encoding").into()),
        ("too long", vec![0; CRL_BYTES_MAX + 1], issuing, TEST_NOW, CrlError::TooLong(CRL_BYTES_MAX + 1).into()),
        ("another issuer's", stranger.crl(6, &[]), issuing, TEST_NOW, CrlError::BadSignature.into()),
        (
            "another root's issuing certificate",
            stranger.crl(6, &[]),
            stranger.issuing.certificate(),
            TEST_NOW,
            TrustError::BadIssuing("the issuer name"),
        ),
        (
            "a party's certificate as issuing",
            six.clone(),
            party.hop.chain.leaf(),
            TEST_NOW,
            TrustError::BadIssuing("the issuer name"),
        ),
        (
            "the root as issuing",
            six.clone(),
            exchange.root.certificate(),
            TEST_NOW,
            TrustError::BadIssuing("the basic constraints"),
        ),
    ] {
        assert_eq!(trust.set_crl(&list, issuing, now), Err(error), "{name}");
        assert_eq!(trust.crl_number(), Some(5), "{name}");
        assert!(trust.is_revoked(serial), "{name}");
    }
    trust.set_crl(&six, issuing, TEST_NOW).unwrap();
    assert!(!trust.is_revoked(serial));
}

#[test]
fn an_open_connection_is_refused_once_its_certificate_is() {
    let exchange = TestExchange::new("demo");
    let mut trust = exchange.trust();
    let party = exchange.party(Role::Gateway, "st-mary");
    let expected = Expected::role(Role::Gateway, KeyUse::Hop);
    let found = trust.verify(&party.hop.chain, &expected, TEST_NOW).unwrap();
    assert_eq!(
        trust.recheck(&found, &expected, found.not_after().plus(HOUR)).unwrap_err().code(),
        "certificate-expired"
    );
    assert_eq!(trust.recheck(&found, &expected, TEST_NOW.plus(25 * HOUR)).unwrap_err().code(), "revocation-unknown");
    assert_eq!(
        trust.recheck(&found, &Expected::role(Role::Broker, KeyUse::Hop), TEST_NOW).unwrap_err().code(),
        "wrong-role"
    );
    let crl = exchange.crl(2, &[party.hop.serial]);
    trust.set_crl(&crl, exchange.issuing.certificate(), TEST_NOW).unwrap();
    assert_eq!(trust.recheck(&found, &expected, TEST_NOW).unwrap_err().code(), "certificate-revoked");
    assert_eq!(
        exchange.trust_without_crl().recheck(&found, &expected, TEST_NOW).unwrap_err().code(),
        "revocation-unknown"
    );
}

#[test]
fn issuing_certificates_can_be_renewed_under_one_root() {
    let exchange = TestExchange::new("demo");
    let mut trust = exchange.trust();
    let old = exchange.party(Role::Gateway, "old");
    let issue_next = |now: UnixTime| exchange.root.issue_issuing(KeyAlgorithm::EcdsaP256, 48 * HOUR, now).unwrap();
    let set = |trust: &mut Trust, issuing: &IssuingAuthority, number: u64, now: UnixTime| {
        let crl = issuing.make_crl(number, &[], now, now.plus(HOUR)).unwrap();
        trust.set_crl(&crl, issuing.certificate(), now).map(|_| ())
    };
    for _ in 1..ISSUERS_MAX {
        assert_eq!(set(&mut trust, &issue_next(TEST_NOW), 1, TEST_NOW), Ok(()));
    }
    let next = issue_next(TEST_NOW);
    assert_eq!(set(&mut trust, &next, 1, TEST_NOW), Err(TrustError::TooManyIssuers));
    let expected = Expected::anybody(KeyUse::Hop);
    assert!(trust.verify(&old.hop.chain, &expected, TEST_NOW).is_ok());
    // Ended issuing certificates make room.
    let later = TEST_NOW.plus(72 * HOUR);
    assert_eq!(set(&mut trust, &issue_next(later), 1, later), Ok(()));
    assert!(matches!(set(&mut trust, &next, 1, later), Err(TrustError::IssuingNotValid { .. })));
}

#[test]
fn only_a_root_can_be_pinned() {
    let exchange = TestExchange::new("demo");
    let party = exchange.party(Role::Gateway, "a");
    for (wrong, field) in [
        (exchange.issuing.certificate(), "the issuer name"),
        (party.hop.chain.leaf(), "the issuer name"),
        (&[][..], "the encoding"),
    ] {
        let error = Trust::new("demo".parse().unwrap(), wrong).unwrap_err();
        assert_eq!(error, TrustError::BadRoot(field));
    }
}

#[test]
fn requests_prove_possession_and_ask_for_the_profile_alone() {
    let exchange = TestExchange::new("demo");
    let identity = exchange.identity(Role::Archive, "main");
    for algorithm in KeyAlgorithm::ALL {
        for key_use in KeyUse::ALL {
            let key = SigningKey::generate(algorithm).unwrap();
            let der = make_csr(&key, &identity, key_use).unwrap();
            let request = parse_csr(&der).unwrap();
            assert_eq!(request.identity(), &identity);
            assert_eq!(request.key_use(), key_use);
            assert_eq!(request.public_key(), key.public_key());

            let mut signature = der.clone();
            let last = signature.len() - 1;
            signature[last] ^= 1;
            assert_eq!(parse_csr(&signature), Err(RequestError::BadSignature));
            for offset in 0..der.len() {
                let mut changed = der.clone();
                changed[offset] ^= 1;
                // The reader is lax about a few tags outside the signed part.
                let found = parse_csr(&changed);
                assert!(found.is_err() || found == Ok(request.clone()), "{offset}");
                assert!(parse_csr(&der[..offset]).is_err(), "{offset}");
            }
            let trailing = [der.as_slice(), &[0]].concat();
            assert!(parse_csr(&trailing).is_err());
        }
    }
    assert_eq!(parse_csr(&[0; REQUEST_BYTES_MAX + 1]), Err(RequestError::TooLong(REQUEST_BYTES_MAX + 1)));
}

#[test]
fn only_the_invited_identity_is_issued() {
    let exchange = TestExchange::new("demo");
    let invited = exchange.identity(Role::Gateway, "st-mary");
    let foreign: Identity = "sealwort://other/gateway/st-mary".parse().unwrap();
    let keys = [(); 2].map(|()| SigningKey::generate(KeyAlgorithm::Ed25519).unwrap());
    let request = |key: usize, identity: &Identity, key_use| {
        parse_csr(&make_csr(&keys[key], identity, key_use).unwrap()).unwrap()
    };
    let issue = |identity: &Identity, hop, statement| {
        exchange
            .issuing
            .issue_pair(identity, &hop, &statement, PARTY_LIFETIME, TEST_NOW)
            .map(|_| ())
            .map_err(|error| error.code())
    };
    let other = exchange.identity(Role::Broker, "st-mary");
    let hop = || request(0, &invited, KeyUse::Hop);
    let statement = || request(1, &invited, KeyUse::Statement);
    for (hop, statement, expected) in [
        (hop(), statement(), Ok(())),
        (request(0, &other, KeyUse::Hop), statement(), Err("request-wrong-identity")),
        (hop(), request(1, &other, KeyUse::Statement), Err("request-wrong-identity")),
        (statement(), hop(), Err("request-wrong-key-use")),
        (hop(), request(1, &invited, KeyUse::Hop), Err("request-wrong-key-use")),
        (hop(), request(0, &invited, KeyUse::Statement), Err("request-same-key")),
    ] {
        assert_eq!(issue(&invited, hop, statement), expected);
    }
    assert_eq!(
        issue(&foreign, request(0, &foreign, KeyUse::Hop), request(1, &foreign, KeyUse::Statement)),
        Err("wrong-exchange")
    );
}

#[test]
fn an_authority_is_loaded_only_whole() {
    let exchange = TestExchange::new("demo");
    let stranger = TestExchange::new("demo");
    let name = || "demo".parse().unwrap();
    let copy = |key: &SigningKey| SigningKey::from_pkcs8(&key.to_pkcs8().unwrap()).unwrap();
    let root = exchange.root.certificate();
    let issuing = exchange.issuing.certificate().to_vec();
    let load = |certificate: Vec<u8>, key: &SigningKey, root: &[u8]| {
        IssuingAuthority::load(name(), certificate, copy(key), root)
    };
    let again = load(issuing.clone(), exchange.issuing.key(), root).unwrap();
    assert_eq!(again.not_after(), exchange.issuing.not_after());
    for (certificate, key, root) in [
        (issuing.clone(), stranger.issuing.key(), root),
        (issuing.clone(), exchange.issuing.key(), stranger.root.certificate()),
        (root.to_vec(), exchange.root.key(), root),
    ] {
        assert!(matches!(load(certificate, key, root), Err(AuthorityError::Inconsistent(_))));
    }
    assert!(RootAuthority::load(name(), root.to_vec(), copy(exchange.root.key())).is_ok());
    assert!(RootAuthority::load(name(), root.to_vec(), copy(stranger.root.key())).is_err());
    assert!(RootAuthority::load(name(), issuing, copy(exchange.issuing.key())).is_err());
}

#[test]
fn certificates_end_with_their_issuer_and_renew_at_two_thirds() {
    let exchange = TestExchange::new("demo");
    let end = exchange.issuing.not_after();
    let key = SigningKey::generate(KeyAlgorithm::Ed25519).unwrap();
    let identity = exchange.identity(Role::Broker, "main");
    let request = parse_csr(&make_csr(&key, &identity, KeyUse::Hop).unwrap()).unwrap();
    let issue = |now| exchange.issuing.issue(&request, PARTY_LIFETIME, now);
    assert_eq!(issue(end.minus(HOUR)).unwrap().not_after, end);
    assert_eq!(issue(end.plus(HOUR)).unwrap_err(), AuthorityError::IssuingEnded { not_after: end });
    assert_eq!(exchange.issuing.make_crl(1, &[], TEST_NOW, TEST_NOW.minus(HOUR)), Err(AuthorityError::EmptyPeriod));

    let start = UnixTime::from_secs(900);
    let end = UnixTime::from_secs(1200);
    for (now, due) in [(0, false), (1099, false), (1100, true), (1200, true), (1201, true)] {
        assert_eq!(renewal_due(start, end, UnixTime::from_secs(now)), due, "{now}");
    }
}
