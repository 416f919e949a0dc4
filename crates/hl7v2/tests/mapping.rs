//! Small messages by hand, one or more of each type, and what they become: each row names an element of the
//! transaction and the value that it must have, or that it must be absent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::HashMap;

use sealwort_hl7v2::{Code, Mapped, Message, Refused, Settings, map};
use serde_json::Value;
use time::UtcOffset;

const PATIENT: &str = "PID|1||77^^^HOSP^MR~999^^^NHS&2.16.840.1.113883.2.1.4.1&ISO^NH||Muster&von^Anna^Maria^Jr^Dr^^L~Alt^^^^^^M|\
    Mutter^Eva|198001310415|F|||Hauptstr. 1&Hauptstr.&1^Hinterhaus^Bern^BE^3000^CH^H||0311234567^PRN^PH~^NET^Internet^a@b.ch|\
    0319999999|de|M||ACC1|||||Bern|Y|2|||||N";
const VISIT: &str = "PV1|1|I|W1^R2^B3^HOSP|R||||D1^House^Greg^^^Dr||MED||||7|||D2^Wilson^James||V100^^^HOSP^VN|||||||||||||||||01||||||||20240101120000";

fn settings() -> Settings {
    Settings {
        authorities: HashMap::from([("HOSP".to_owned(), "https://hosp.example.org/mrn".to_owned())]),
        code_systems: HashMap::from([("LOCALLAB".to_owned(), "https://lab.example.org/codes".to_owned())]),
        local_offset: UtcOffset::from_hms(1, 0, 0).unwrap(),
    }
}

/// A segment by the numbers of its fields.
fn segment(name: &str, fields: &[(usize, &str)]) -> String {
    let value = |number| fields.iter().find(|(at, _)| *at == number).map_or("", |(_, value)| *value);
    let last = fields.iter().map(|(at, _)| *at).max().unwrap_or(0);
    std::iter::once(name).chain((1..=last).map(value)).collect::<Vec<_>>().join("|")
}

fn message(kind: &str, segments: &[&str]) -> String {
    let header = format!("MSH|^~\\&|APP|FAC|US|OURS|20240101120000||{kind}|C1|P|2.5.1");
    std::iter::once(header.as_str()).chain(segments.iter().copied()).collect::<Vec<_>>().join("\r")
}

fn mapped(text: &str) -> Result<Mapped, Refused> {
    map(&Message::read(text.as_bytes())?, &settings())
}

/// The value at `Type[n]/pointer`, of the resource or, after `Type[n]!`, of its request; `Type#` counts.
fn at(bundle: &Value, path: &str) -> Value {
    let entries = bundle["entry"].as_array().unwrap();
    let of = |kind: &str| entries.iter().filter(|entry| entry["resource"]["resourceType"] == kind).collect::<Vec<_>>();
    if let Some(kind) = path.strip_suffix('#') {
        return of(kind).len().into();
    }
    let (kind, rest) = path.split_once('[').unwrap();
    let (number, pointer) = rest.split_once(']').unwrap();
    let Some(entry) = of(kind).get(number.parse::<usize>().unwrap()).copied() else {
        return Value::Null;
    };
    match pointer.strip_prefix('!') {
        Some(member) => entry["request"][member].clone(),
        None => entry["resource"].pointer(pointer).cloned().unwrap_or_default(),
    }
}

/// Each expectation is `path = value`; a value of `-` means absent, `@Type[n]` a reference to that entry.
fn check(text: &str, expected: &[&str]) {
    let found = mapped(text).unwrap_or_else(|refused| panic!("{text}\n{refused}"));
    let bundle: Value = serde_json::from_slice(&found.bundle).unwrap();
    let entries = bundle["entry"].as_array().unwrap();
    for row in expected {
        let (path, value) = row.split_once(" = ").unwrap();
        let shown = match at(&bundle, path) {
            Value::Null => "-".to_owned(),
            Value::String(text) => text,
            other => other.to_string(),
        };
        let value = match value.strip_prefix('@') {
            Some(target) => {
                let (kind, number) = target.trim_end_matches(']').split_once('[').unwrap();
                let of = entries.iter().filter(|entry| entry["resource"]["resourceType"] == kind);
                let entry = of.clone().nth(number.parse().unwrap()).unwrap();
                entry["fullUrl"].as_str().unwrap().to_owned()
            }
            None => value.to_owned(),
        };
        assert_eq!(shown, value, "{path} in {bundle:#}");
    }
    // The same message gives the same bytes.
    assert_eq!(mapped(text).unwrap().bundle, found.bundle);
}

#[test]
fn an_admission_becomes_patient_visit_and_what_came_with_it() {
    let insurance = segment(
        "IN1",
        &[
            (2, "P1^Basic"),
            (3, "K1^^^INS"),
            (4, "Krankenkasse"),
            (12, "20240101"),
            (13, "20241231"),
            (17, "18"),
            (36, "POL1"),
        ],
    );
    let text = message(
        "ADT^A01^ADT_A01",
        &[
            "EVN|A01|20240101120000",
            PATIENT,
            "PD1|||Praxis Mitte^^123|G1^Huber^Karl",
            "NK1|1|Muster^Otto|SPO^Spouse^HL70063||0315555555",
            VISIT,
            "PV2|||J18.9^Pneumonia^I10",
            "DG1|1||J18.9^Pneumonia^I10||20240101|A",
            "AL1|1|DA|PEN^Penicillin^L|SV|hives~rash",
            &insurance,
            "OBX|1|NM|8302-2^Height^LN||172|cm|||||F",
            "ZZZ|1",
        ],
    );
    check(
        &text,
        &[
            "Patient[0]!method = PUT",
            "Patient[0]!url = Patient?identifier=https://hosp.example.org/mrn%7C77",
            "Patient[0]/identifier/0/system = https://hosp.example.org/mrn",
            "Patient[0]/identifier/0/type/coding/0/code = MR",
            "Patient[0]/identifier/1/system = urn:oid:2.16.840.1.113883.2.1.4.1",
            "Patient[0]/identifier/2 = -",
            "Patient[0]/name/0/family = Muster",
            "Patient[0]/name/0/use = official",
            "Patient[0]/name/0/given = [\"Anna\",\"Maria\"]",
            "Patient[0]/name/0/prefix/0 = Dr",
            "Patient[0]/name/0/suffix/0 = Jr",
            "Patient[0]/name/1/use = maiden",
            "Patient[0]/birthDate = 1980-01-31",
            "Patient[0]/_birthDate/extension/0/valueDateTime = 1980-01-31T04:15:00+01:00",
            "Patient[0]/extension/0/valueString = Mutter",
            "Patient[0]/gender = female",
            "Patient[0]/address/0/use = home",
            "Patient[0]/address/0/line = [\"Hauptstr. 1\",\"1 Hauptstr.\",\"Hinterhaus\"]",
            "Patient[0]/address/0/country = CH",
            "Patient[0]/telecom/0/value = 0311234567",
            "Patient[0]/telecom/1/system = email",
            "Patient[0]/telecom/1/value = a@b.ch",
            "Patient[0]/telecom/2/use = work",
            "Patient[0]/maritalStatus/coding/0/system = http://terminology.hl7.org/CodeSystem/v3-MaritalStatus",
            "Patient[0]/communication/0/language/coding/0/code = de",
            "Patient[0]/multipleBirthInteger = 2",
            "Patient[0]/deceasedBoolean = false",
            "Patient[0]/generalPractitioner/0/display = Karl Huber",
            "Patient[0]/generalPractitioner/1/reference = @Organization[0]",
            "Organization[0]/name = Praxis Mitte",
            "Organization[0]!ifNoneExist = identifier=urn:id:FAC%7C123",
            "RelatedPerson# = 1",
            "RelatedPerson[0]/patient/reference = @Patient[0]",
            "RelatedPerson[0]/relationship/0/coding/0/code = SPO",
            "Encounter[0]!url = Encounter?identifier=https://hosp.example.org/mrn%7CV100",
            "Encounter[0]/status = in-progress",
            "Encounter[0]/class/code = IMP",
            "Encounter[0]/period/start = 2024-01-01T12:00:00+01:00",
            "Encounter[0]/subject/reference = @Patient[0]",
            "Encounter[0]/participant/0/type/0/coding/0/code = REF",
            "Encounter[0]/participant/0/individual/display = Dr Greg House",
            "Encounter[0]/participant/1/type/0/coding/0/code = ADM",
            "Encounter[0]/location/0/location/reference = @Location[0]",
            "Encounter[0]/location/0/status = active",
            "Encounter[0]/reasonCode/0/coding/0/code = J18.9",
            "Encounter[0]/hospitalization/admitSource/coding/0/code = 7",
            "Location[0]/name = HOSP, W1, R2, B3",
            "Location[0]/physicalType/coding/0/code = bd",
            "Condition[0]/code/coding/0/system = http://hl7.org/fhir/sid/icd-10",
            "Condition[0]/verificationStatus/coding/0/code = provisional",
            "Condition[0]/recordedDate = 2024-01-01",
            "AllergyIntolerance[0]/code/coding/0/system = urn:id:FAC:L",
            "AllergyIntolerance[0]/category/0 = medication",
            "AllergyIntolerance[0]/reaction/0/severity = severe",
            "AllergyIntolerance[0]/reaction/0/manifestation/1/text = rash",
            "Coverage[0]/payor/0/display = Krankenkasse",
            "Coverage[0]/subscriberId = POL1",
            "Coverage[0]/period/end = 2024-12-31",
            "Observation[0]/valueQuantity/code = cm",
            "Observation[0]/encounter/reference = @Encounter[0]",
            "DiagnosticReport# = 0",
        ],
    );
    let found = mapped(&text).unwrap();
    assert_eq!((found.control_id.as_str(), found.message_type.as_str()), ("C1", "ADT^A01"));
    assert_eq!(found.unmapped.iter().map(ToString::to_string).collect::<Vec<_>>(), ["ZZZ is left out (1 of them)"]);
}

#[test]
fn each_event_leaves_the_visit_in_its_state() {
    let ended = format!("{VISIT}|20240105");
    for (event, visit, status) in [
        ("ADT^A01", VISIT, "in-progress"),
        ("ADT^A02", VISIT, "in-progress"),
        ("ADT^A03", VISIT, "finished"),
        ("ADT^A04", VISIT, "in-progress"),
        ("ADT^A05", VISIT, "planned"),
        ("ADT^A06", VISIT, "in-progress"),
        ("ADT^A07", VISIT, "in-progress"),
        ("ADT^A08", VISIT, "in-progress"),
        ("ADT^A08", ended.as_str(), "finished"),
        ("ADT^A11", VISIT, "cancelled"),
        ("ADT^A13", VISIT, "in-progress"),
        ("ADT^A28", VISIT, "unknown"),
        ("ADT^A31", ended.as_str(), "finished"),
    ] {
        check(
            &message(event, &[PATIENT, visit]),
            &[&format!("Encounter[0]/status = {status}"), "Patient[0]!method = PUT"],
        );
    }
    check(&message("ADT^A03", &[PATIENT, &ended]), &["Encounter[0]/period/end = 2024-01-05"]);
    check(&message("ADT^A28", &[PATIENT]), &["Encounter# = 0", "Patient# = 1"]);
    let unnumbered = message("ADT^A04", &[PATIENT, "PV1|1|O"]);
    check(&unnumbered, &["Encounter# = 0"]);
    assert_eq!(mapped(&unnumbered).unwrap().unmapped.len(), 1, "a visit that cannot be told from others is reported");
}

#[test]
fn results_become_a_report_and_observations() {
    let text = message(
        "ORU^R01^ORU_R01",
        &[
            PATIENT,
            VISIT,
            "ORC|RE|P1^PLACER|F1^LAB||CM||||20240101|||D9^Order^Otto",
            "OBR|1|P1^PLACER|F1^LAB|24323-8^CMP^LN|||20240101080000|||||||||||||||20240101100000||LAB|F|||||||I1&Inter&Pret",
            "NTE|1||fasting",
            "OBX|1|NM|2345-7^Glucose^LN^GLU^Glu^LOCALLAB||1.10|mmol/L|3.5 - 5.0|L|||F|||20240101081500||T1^Tech^Tim",
            "NTE|1||first\\.br\\line",
            "NTE|2||second",
            "OBX|2|NM|CRP^CRP^L||<5|mg/L|<5||||C",
            "OBX|3|SN|TIT^Titer^L||^1^:^128|||A|||P",
            "OBX|4|SN|RNG^Range^L||^2.50^-^5|g|||||F",
            "OBX|5|CWE|BAC^Bacteria^L||112283007^Escherichia coli^SCT||||||F",
            "OBX|6|TX|TXT^Text^L||one~two & three||||||F",
            "OBX|7|TM|CLK^Clock^L||0815||||||F",
            "OBX|8|DTM|DAY^Day^L||202401||||||F",
            "OBX|9|ED|PDF^Report^L||APP^AP^PDF^Base64^JVBERi0=||||||F",
            "OBX|10|RP|IMG^Image^L||https://pacs.example.org/1^^Image^JPEG||||||F",
            "OBX|11|NM|K^Potassium^L||see comment|mmol/L|||||X",
            "OBX|12|NM|HR^Pulse^L||60~61|/min|||||F",
            "OBX|13|NM|HR^Pulse^L||62|foo^Foo^ISO+|[ ]|\"\"|||D",
            "OBX|14|ST|WBC^WBC^L||5.80|10*9/L|4-10||||F",
            "SPM|1|^SP1&LAB||SER^Serum^HL70487|||VEN||||||||||20240101075500|20240101090000",
        ],
    );
    check(
        &text,
        &[
            "Patient[0]!method = POST",
            "Patient[0]!ifNoneExist = identifier=https://hosp.example.org/mrn%7C77",
            "Encounter[0]!method = POST",
            "ServiceRequest[0]!method = POST",
            "ServiceRequest[0]!ifNoneExist = identifier=urn:id:PLACER%7CP1",
            "ServiceRequest[0]/status = completed",
            "ServiceRequest[0]/requester/display = Otto Order",
            "DiagnosticReport[0]!method = PUT",
            "DiagnosticReport[0]/identifier/1/value = F1",
            "DiagnosticReport[0]/status = final",
            "DiagnosticReport[0]/code/coding/0/system = http://loinc.org",
            "DiagnosticReport[0]/basedOn/0/reference = @ServiceRequest[0]",
            "DiagnosticReport[0]/result/0/reference = @Observation[0]",
            "DiagnosticReport[0]/result/13/reference = @Observation[13]",
            "DiagnosticReport[0]/specimen/0/reference = @Specimen[0]",
            "DiagnosticReport[0]/conclusion = fasting",
            "DiagnosticReport[0]/effectiveDateTime = 2024-01-01T08:00:00+01:00",
            "DiagnosticReport[0]/issued = 2024-01-01T10:00:00+01:00",
            "DiagnosticReport[0]/resultsInterpreter/0/display = Pret Inter",
            "Observation[0]!url = Observation?identifier=urn:id:FAC:record%7Cobservation/urn:id:LAB~F1/24323-8/2345-7/",
            "Observation[0]/valueQuantity/value = 1.10",
            "Observation[0]/valueQuantity/system = http://unitsofmeasure.org",
            "Observation[0]/code/coding/1/system = https://lab.example.org/codes",
            "Observation[0]/category/0/coding/0/code = laboratory",
            "Observation[0]/interpretation/0/coding/0/code = L",
            "Observation[0]/referenceRange/0/low/value = 3.5",
            "Observation[0]/referenceRange/0/high/value = 5.0",
            "Observation[0]/effectiveDateTime = 2024-01-01T08:15:00+01:00",
            "Observation[0]/performer/0/display = Tim Tech",
            "Observation[0]/note/0/text = first\nline",
            "Observation[0]/note/1/text = second",
            "Observation[1]/valueQuantity/comparator = <",
            "Observation[1]/referenceRange/0/high/value = 5",
            "Observation[1]/status = corrected",
            "Observation[1]/effectiveDateTime = 2024-01-01T08:00:00+01:00",
            "Observation[2]/valueRatio/denominator/value = 128",
            "Observation[2]/status = preliminary",
            "Observation[3]/valueRange/low/value = 2.50",
            "Observation[4]/valueCodeableConcept/coding/0/system = http://snomed.info/sct",
            "Observation[5]/valueString = one\ntwo & three",
            "Observation[6]/valueTime = 08:15:00",
            "Observation[7]/valueDateTime = 2024-01",
            "Observation[8]/derivedFrom/0/reference = @DocumentReference[0]",
            "DocumentReference[0]/content/0/attachment/contentType = application/pdf",
            "DocumentReference[0]/content/0/attachment/data = JVBERi0=",
            "Observation[9]/derivedFrom/0/reference = @DocumentReference[1]",
            "DocumentReference[1]/content/0/attachment/url = https://pacs.example.org/1",
            "Observation[10]/valueString = see comment mmol/L",
            "Observation[10]/status = cancelled",
            "Observation[11]/component/1/valueQuantity/value = 61",
            "Observation[11]/valueQuantity = -",
            "Observation[12]!url = Observation?identifier=urn:id:FAC:record%7Cobservation/urn:id:LAB~F1/24323-8/HR//2",
            "Observation[12]/status = entered-in-error",
            "Observation[12]/valueQuantity/unit = Foo",
            "Observation[12]/valueQuantity/system = urn:id:ISO%2B",
            "Observation[12]/referenceRange = -",
            "Observation[12]/interpretation = -",
            "Observation[13]/valueQuantity/value = 5.80",
            "Specimen[0]/identifier/0/value = SP1",
            "Specimen[0]/collection/collectedDateTime = 2024-01-01T07:55:00+01:00",
        ],
    );
}

#[test]
fn a_correction_finds_the_same_observation_whatever_its_number() {
    let one = |number: usize, value: &str| {
        let result = format!("OBX|{number}|NM|K^Potassium^L||{value}|mmol/L|||||F");
        let bundle = mapped(&message("ORU^R01", &[PATIENT, "OBR|1||F1|CHEM^Chemistry^L", &result])).unwrap().bundle;
        at(&serde_json::from_slice(&bundle).unwrap(), "Observation[0]!url")
    };
    assert_eq!(one(1, "4.0"), one(7, "4.1"));
    assert!(one(1, "4.0").as_str().unwrap().ends_with("/K/"));
}

#[test]
fn orders_become_service_requests() {
    let order =
        |control: &str, status: &str| format!("ORC|{control}|P1^PLACER|||{status}||||202401011200|||D9^Order^Otto");
    let request = &format!("OBR|1|P1^PLACER||24323-8^CMP^LN|S{}R10^Pain^I10", "|".repeat(26));
    for kind in ["ORM^O01", "OML^O21^OML_O21", "ORM"] {
        check(
            &message(
                kind,
                &[PATIENT, VISIT, &order("NW", ""), request, "NTE|1||urgent", "OBX|1|ST|Q^Fasting^L||no||||||F"],
            ),
            &[
                "Patient[0]!method = POST",
                "ServiceRequest[0]!method = PUT",
                "ServiceRequest[0]!url = ServiceRequest?identifier=urn:id:PLACER%7CP1",
                "ServiceRequest[0]/status = active",
                "ServiceRequest[0]/intent = order",
                "ServiceRequest[0]/priority = stat",
                "ServiceRequest[0]/authoredOn = 2024-01-01T12:00:00+01:00",
                "ServiceRequest[0]/requester/display = Otto Order",
                "ServiceRequest[0]/reasonCode/0/coding/0/code = R10",
                "ServiceRequest[0]/note/0/text = urgent",
                "ServiceRequest[0]/supportingInfo/0/reference = @Observation[0]",
                "Observation[0]/valueString = no",
                "DiagnosticReport# = 0",
            ],
        );
    }
    for (control, status, expected) in [
        ("CA", "", "revoked"),
        ("DC", "IP", "revoked"),
        ("HD", "", "on-hold"),
        ("SC", "CM", "completed"),
        ("SC", "HD", "on-hold"),
        ("XO", "", "active"),
    ] {
        let expected = format!("ServiceRequest[0]/status = {expected}");
        check(&message("ORM^O01", &[PATIENT, &order(control, status), request]), &[&expected]);
    }
    let two = message("OML^O21", &[PATIENT, "ORC|NW|A", "OBR|1|||X^X^L", "ORC|NW|B", "OBR|1|||Y^Y^L"]);
    check(
        &two,
        &["ServiceRequest[0]/code/text = X", "ServiceRequest[1]/identifier/0/value = B", "ServiceRequest# = 2"],
    );
}

#[test]
fn a_document_keeps_its_lines_and_its_label() {
    let header = "TXA|1|PN^Note^HL70270|TX|20240101|A1^Autor^Anna|20240101100000||||||DOC1^^^|||||AU|R|AV";
    check(
        &message(
            "MDM^T02^MDM_T02",
            &[
                PATIENT,
                VISIT,
                header,
                "OBX|1|TX|N^Note^L||Zeile eins",
                "OBX|2|TX|N^Note^L",
                "OBX|3|TX|N^Note^L||zwei\\.br\\drei",
            ],
        ),
        &[
            "DocumentReference[0]!url = DocumentReference?identifier=urn:id:FAC%7CDOC1",
            "DocumentReference[0]/masterIdentifier/value = DOC1",
            "DocumentReference[0]/status = current",
            "DocumentReference[0]/docStatus = final",
            "DocumentReference[0]/type/coding/0/code = PN",
            "DocumentReference[0]/date = 2024-01-01T10:00:00+01:00",
            "DocumentReference[0]/author/0/display = Anna Autor",
            "DocumentReference[0]/securityLabel/0/coding/0/code = R",
            "DocumentReference[0]/meta/security/0/code = R",
            // "Zeile eins\n\nzwei\ndrei"
            "DocumentReference[0]/content/0/attachment/data = WmVpbGUgZWlucwoKendlaQpkcmVp",
            "DocumentReference[0]/content/0/attachment/contentType = text/plain; charset=utf-8",
            "DocumentReference[0]/context/encounter/0/reference = @Encounter[0]",
            "Observation# = 0",
        ],
    );
    check(
        &message("MDM^T02", &[PATIENT, "ORC|RE|P1", "OBR|1|P1||X^X^L", header, "OBX|1|ED|N^Note^L||A^text^html^^<p>"]),
        &[
            "DocumentReference[0]/content/0/attachment/contentType = text/html",
            "DocumentReference[0]/content/0/attachment/data = PHA+",
            "DocumentReference[0]/context/related/0/reference = @ServiceRequest[0]",
            "DiagnosticReport# = 0",
        ],
    );
}

#[test]
fn a_text_too_long_for_fhir_becomes_a_document() {
    let long = "x".repeat(2 * 1024 * 1024);
    let result = format!("OBX|1|TX|T^Text^L||{long}||||||F");
    check(
        &message("ORU^R01", &[PATIENT, "OBR|1||F1|C^C^L", &result]),
        &["Observation[0]/valueString = -", "Observation[0]/derivedFrom/0/reference = @DocumentReference[0]"],
    );
}

#[test]
fn identifiers_of_different_kinds_are_never_confused() {
    for (pid, expected) in [
        ("PID|1||5", "urn:id:FAC%7C5"),
        ("PID|1||5^^^^MR", "urn:id:FAC%7C5"),
        ("PID|1||5^^^^SS", "urn:id:FAC:SS%7C5"),
        ("PID|1|5", "urn:id:FAC:PID-2%7C5"),
        ("PID|1|||5", "urn:id:FAC:PID-4%7C5"),
        ("PID|1||5^^^^^OTHER", "urn:id:OTHER%7C5"),
        ("PID|1||5^^^A B", "urn:id:A%2520B%7C5"),
        ("PID|1||5^^^&1.2.3&ISO", "urn:oid:1.2.3%7C5"),
        ("PID|1||5^^^&x.org&DNS", "urn:id:x.org%7C5"),
        ("PID|1||5^^^USSSA^SS", "http://hl7.org/fhir/sid/us-ssn%7C5"),
        ("PID|1||5^^^X^SS~6^^^Y^MR", "urn:id:Y%7C6"),
        ("PID|1||\"\"~6^^^Y", "urn:id:Y%7C6"),
    ] {
        check(&message("ADT^A08", &[pid]), &[&format!("Patient[0]!url = Patient?identifier={expected}")]);
    }
}

#[test]
fn refusals_name_place_and_condition() {
    let txa = "TXA|1|PN||||||||||DOC1";
    for (kind, segments, code, condition, told) in [
        ("SIU^S12", vec![PATIENT], Code::Reject, 200, "unsupported message type SIU^S12"),
        ("ADT^A24", vec![PATIENT], Code::Reject, 201, "unsupported event in message type ADT^A24"),
        ("ACK^R01", vec![], Code::Reject, 200, "unsupported message type"),
        ("", vec![], Code::Error, 101, "MSH-9[1].1 is required"),
        ("ADT^A01", vec![], Code::Error, 100, "the segment PID is missing"),
        ("ADT^A01", vec!["PID|1||||Muster"], Code::Error, 101, "PID-3[1].1 is required"),
        ("ADT^A01", vec!["PID|1||^^^HOSP^MR"], Code::Error, 101, "PID-3[1].1 is required"),
        ("ADT^A01", vec![PATIENT, "PID|1||78^^^HOSP^MR"], Code::Error, 100, "PID[2] names another patient"),
        ("ADT^A01", vec![PATIENT, "AL1|1|DA"], Code::Error, 101, "AL1-3 is required"),
        ("ADT^A01", vec![PATIENT, "DG1|1"], Code::Error, 101, "DG1-3 is required"),
        ("ADT^A01", vec![PATIENT, "IN1|1"], Code::Error, 101, "IN1-3 is required"),
        ("ORU^R01", vec![PATIENT, "OBR|1||F1"], Code::Error, 101, "OBR-4 is required"),
        ("ORU^R01", vec![PATIENT, "OBR|1||F1|X", "OBX|1|NM|||5"], Code::Error, 101, "OBX-3 is required"),
        (
            "ORU^R01",
            vec![PATIENT, "OBR|1||F1|X", "OBX|1|ED|X||A^B^C^Base64^!!"],
            Code::Error,
            102,
            "OBX-5[1].5 is not base64",
        ),
        (
            "ORU^R01",
            vec![PATIENT, "OBR|1||F1|X", "OBX|1|ED|X||A^B^C^Hex^XY"],
            Code::Error,
            102,
            "OBX-5[1].5 is not hexadecimal",
        ),
        ("ORM^O01", vec![PATIENT, "ORC|NW|P1", "RXO|1"], Code::Reject, 200, "the order at ORC has no OBR"),
        (
            "ORM^O01",
            vec![PATIENT, "ORC|NW|P1", "OBR|1|||X", "ORC|NW|P2"],
            Code::Reject,
            200,
            "the order at ORC[2] has no OBR",
        ),
        ("ORM^O01", vec![PATIENT, "ORC|NW", "OBR|1|||X"], Code::Error, 101, "OBR-2 is required"),
        ("MDM^T02", vec![PATIENT, "OBX|1|TX|X||x"], Code::Error, 100, "the segment TXA is missing"),
        ("MDM^T02", vec![PATIENT, "TXA|1|PN", "OBX|1|TX|X||x"], Code::Error, 101, "TXA-12[1].1 is required"),
        ("MDM^T02", vec![PATIENT, txa, "OBX|1|TX|X||x", txa], Code::Error, 100, "TXA[2] begins another document"),
        ("MDM^T02", vec![PATIENT, txa], Code::Error, 100, "the segment OBX is missing"),
    ] {
        let refused = mapped(&message(kind, &segments)).unwrap_err();
        assert!(refused.to_string().starts_with(told), "{kind} {segments:?}: {refused}");
        assert_eq!((refused.code(), refused.condition().0), (code, condition), "{kind} {segments:?}: {refused}");
    }
    for (header, told) in [
        ("MSH|^~\\&|A|F|||2024||ADT^A01|1|P|3.0", "unsupported version"),
        ("MSH|^~\\&|A|F|||2024||ADT^A01||P|2.5", "MSH-10 is required"),
        ("MSH|^~\\&|||||2024||ADT^A01|1|P|2.5", "MSH-4 is required"),
    ] {
        let refused = mapped(&format!("{header}\r{PATIENT}")).unwrap_err();
        assert!(refused.to_string().starts_with(told), "{header}: {refused}");
    }
}

#[test]
fn a_value_that_cannot_be_read_is_left_out_and_named() {
    let text = message("ADT^A08", &["PID|1||5^^^A^MR||X||||||||||||||||||||||||Aug 15, 1942|Y"]);
    check(&text, &["Patient[0]/birthDate = -"]);
    let told: Vec<String> = mapped(&text).unwrap().unmapped.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["PID-29[1].1 is not a date or time, as 20240131 or 202401311530+0100"]);
}

#[test]
fn what_is_said_twice_is_one_and_other_visits_are_others() {
    let twice = message(
        "ADT^A08",
        &[PATIENT, "AL1|1|DA|P^P^L", "AL1|2|DA|P^P^L", "DG1|1||A^A^L", "DG1|2||A^A^L", "DG1|3||B^B^L"],
    );
    check(&twice, &["AllergyIntolerance# = 1", "Condition# = 2"]);
    let other = VISIT.replace("V100", "V99");
    let orders = [
        "ORC|NW|A",
        "OBR|1|A||X^X^L",
        other.as_str(),
        "ORC|NW|B",
        "OBR|1|B||Y^Y^L",
        "PV1|1|O",
        "ORC|NW|C",
        "OBR|1|C||Z^Z^L",
    ];
    check(
        &message("OML^O21", &[&[PATIENT, VISIT], orders.as_slice()].concat()),
        &[
            "Encounter# = 2",
            "ServiceRequest[0]/encounter/reference = @Encounter[0]",
            "ServiceRequest[1]/encounter/reference = @Encounter[1]",
            "ServiceRequest[2]/encounter = -",
        ],
    );
    // A TXA among results is reported, and takes no result for content.
    let results = message("ORU^R01", &[PATIENT, "TXA|1|PN||||||||||D1", "OBR|1||F1|C^C^L", "OBX|1|NM|K^K^L||4"]);
    check(&results, &["Observation[0]/valueQuantity/value = 4", "DocumentReference# = 0"]);
    assert_eq!(mapped(&results).unwrap().unmapped.len(), 1);
}

#[test]
fn a_second_pid_of_the_same_patient_is_taken() {
    check(
        &message("OML^O21", &[PATIENT, "ORC|NW|A", "OBR|1|||X^X^L", "PID|1||77^^^HOSP^MR", "OBR|2|B||Y^Y^L"]),
        &["Patient# = 1", "ServiceRequest# = 2"],
    );
}

#[test]
fn messages_about_identities_name_both_of_them() {
    use sealwort_hl7v2::Identities;
    let a40 = message("ADT^A40^ADT_A39", &["EVN|A40", PATIENT, "MRG|88^^^HOSP^MR~1|2||5^^^HOSP"]);
    let found = mapped(&a40).unwrap();
    let system = "https://hosp.example.org/mrn";
    let surviving = format!("{system}|77");
    let merged = Identities::Merged { prior: format!("{system}|88"), surviving: surviving.clone() };
    assert_eq!((found.identities, found.entries), (Some(merged), 1));
    // The message says who the patient is, not what is new of them.
    check(&a40, &["Patient[0]!method = POST"]);
    let a37 = message("ADT^A37^ADT_A37", &["EVN|A37", PATIENT, "PV1|1|I", "PID|2||8\\F\\8^^^HOSP^MR"]);
    let found = mapped(&a37).unwrap();
    let parted = Identities::Parted { first: surviving, second: format!("{system}|8\\|8") };
    assert_eq!((found.identities, found.entries), (Some(parted), 0));
    for (kind, segments) in [
        ("ADT^A40", vec![PATIENT]),
        ("ADT^A40", vec![PATIENT, "MRG|"]),
        ("ADT^A40", vec![PATIENT, "MRG|1^^^HOSP", "MRG|2^^^HOSP"]),
        ("ADT^A37", vec![PATIENT]),
        ("ADT^A37", vec![PATIENT, "PID|2||8^^^HOSP", "PID|3||9^^^HOSP"]),
    ] {
        assert!(mapped(&message(kind, &segments)).is_err(), "{kind} {segments:?}");
    }
}
