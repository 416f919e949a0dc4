//! The words and codes that invented records are made of.

/// Code systems.
pub(super) const ATC: &str = "http://www.whocc.no/atc";
pub(super) const CVX: &str = "http://hl7.org/fhir/sid/cvx";
pub(super) const LOINC: &str = "http://loinc.org";
pub(super) const SNOMED: &str = "http://snomed.info/sct";
pub(super) const UCUM: &str = "http://unitsofmeasure.org";

/// A code and what it means.
pub(super) struct Code(pub(super) &'static str, pub(super) &'static str);

pub(super) static WOMEN: [&str; 24] = [
    "Adaeze",
    "Agnieszka",
    "Amina",
    "Anneliese",
    "Beatriz",
    "Chiara",
    "Daphne",
    "Elif",
    "Fatou",
    "Grete",
    "Hana",
    "Ingrid",
    "Jasmin",
    "Katalin",
    "Leïla",
    "Małgorzata",
    "Noor",
    "Oihana",
    "Priya",
    "Renée",
    "Sigrún",
    "Tamar",
    "Yuki",
    "Zoë",
];
pub(super) static MEN: [&str; 24] = [
    "Adebayo",
    "Aleksander",
    "Björn",
    "Cem",
    "Dmitri",
    "Emre",
    "Fabián",
    "Gábor",
    "Hassan",
    "Ismael",
    "Jörg",
    "Kwame",
    "Lorenzo",
    "Mateo",
    "Nikhil",
    "Oisín",
    "Pavel",
    "Quentin",
    "Rasmus",
    "Søren",
    "Tomáš",
    "Ulrich",
    "Vikram",
    "Wen",
];
pub(super) static FAMILIES: [&str; 32] = [
    "Abara",
    "Achterberg",
    "Bellweather",
    "Cvetković",
    "Dąbrowska",
    "Eriksdóttir",
    "Fairbrother",
    "García Ibáñez",
    "Hollenstein",
    "Ibarra",
    "Jankowiak",
    "Kallergis",
    "Lindqvist",
    "Mbeki-Thorn",
    "Niederberger",
    "Okonkwo",
    "Papadakis",
    "Quillfeather",
    "Rautavaara",
    "Szentgyörgyi",
    "Takahama",
    "Umarov",
    "Vandersteen",
    "Winterbourne",
    "Xanthou",
    "Yıldırım",
    "Zimmerli",
    "O'Hanrahan",
    "de la Cruz",
    "van der Veer",
    "Ørsted",
    "Łukasiewicz",
];
pub(super) static TOWNS: [(&str, &str, &str); 8] = [
    ("Alderbrook", "4711", "Millrace Lane"),
    ("Fernhollow", "2036", "Orchard Road"),
    ("Greywater", "8850", "Quay Street"),
    ("Larkspur", "1190", "Station Square"),
    ("Oakenford", "3304", "Bridge Street"),
    ("Saint Elmo", "6021", "Chapel Hill"),
    ("Thistledown", "7418", "Weavers Row"),
    ("Wexcombe", "5562", "Harbour View"),
];
pub(super) static HOSPITALS: [&str; 6] = [
    "Alderbrook General Hospital",
    "Greywater Family Practice",
    "Larkspur Community Clinic",
    "Oakenford University Hospital",
    "Saint Elmo Infirmary",
    "Wexcombe Medical Centre",
];

/// A problem, what is prescribed for it, and how it is labelled.
pub(super) struct Problem {
    pub(super) code: Code,
    pub(super) drug: Code,
    pub(super) dose: &'static str,
    /// A sensitivity of v3-ActCode.
    pub(super) sensitivity: Option<&'static str>,
}

const fn problem(code: Code, drug: Code, dose: &'static str) -> Problem {
    Problem { code, drug, dose, sensitivity: None }
}

pub(super) static PROBLEMS: [Problem; 10] = [
    problem(Code("38341003", "Hypertensive disorder"), Code("C09AA03", "lisinopril"), "10 mg once daily"),
    problem(Code("44054006", "Diabetes mellitus type 2"), Code("A10BA02", "metformin"), "500 mg twice daily"),
    problem(Code("195967001", "Asthma"), Code("R03AC02", "salbutamol"), "two puffs as needed"),
    problem(Code("55822004", "Hyperlipidemia"), Code("C10AA05", "atorvastatin"), "20 mg in the evening"),
    problem(Code("40930008", "Hypothyroidism"), Code("H03AA01", "levothyroxine sodium"), "75 ug before breakfast"),
    problem(Code("396275006", "Osteoarthritis"), Code("M01AE01", "ibuprofen"), "400 mg as needed"),
    problem(Code("10509002", "Acute bronchitis"), Code("R05CB01", "acetylcysteine"), "600 mg once daily"),
    problem(Code("37796009", "Migraine"), Code("N02CC01", "sumatriptan"), "50 mg at onset"),
    problem(Code("235595009", "Gastroesophageal reflux disease"), Code("A02BC01", "omeprazole"), "20 mg once daily"),
    problem(Code("271737000", "Anemia"), Code("B03AA07", "ferrous sulfate"), "one tablet daily"),
];

/// Sensitive histories; patients get them in turn.
pub(super) static SENSITIVE: [Problem; 3] = [
    Problem {
        code: Code("370143000", "Major depressive disorder"),
        drug: Code("N06AB06", "sertraline"),
        dose: "50 mg once daily",
        sensitivity: Some("PSY"),
    },
    Problem {
        code: Code("86406008", "Human immunodeficiency virus infection"),
        drug: Code("J05AR20", "emtricitabine, tenofovir alafenamide and bictegravir"),
        dose: "one tablet daily",
        sensitivity: Some("HIV"),
    },
    Problem {
        code: Code("7200002", "Alcoholism"),
        drug: Code("N07BB04", "naltrexone"),
        dose: "50 mg once daily",
        sensitivity: Some("ETH"),
    },
];

/// A quantity that is measured: its code, its unit, its usual range in units of the last digit, and
/// how many digits follow the point.
pub(super) struct Measure {
    pub(super) code: Code,
    pub(super) unit: &'static str,
    pub(super) low: i64,
    pub(super) high: i64,
    pub(super) digits: u32,
}

const fn measure(code: Code, unit: &'static str, low: i64, high: i64, digits: u32) -> Measure {
    Measure { code, unit, low, high, digits }
}

pub(super) static SYSTOLIC: Measure = measure(Code("8480-6", "Systolic blood pressure"), "mm[Hg]", 98, 165, 0);
pub(super) static DIASTOLIC: Measure = measure(Code("8462-4", "Diastolic blood pressure"), "mm[Hg]", 58, 98, 0);

pub(super) static VITALS: [Measure; 6] = [
    measure(Code("8867-4", "Heart rate"), "/min", 52, 104, 0),
    measure(Code("29463-7", "Body weight"), "kg", 480, 1180, 1),
    measure(Code("8310-5", "Body temperature"), "Cel", 360, 384, 1),
    measure(Code("9279-1", "Respiratory rate"), "/min", 11, 20, 0),
    measure(Code("59408-5", "Oxygen saturation in Arterial blood by Pulse oximetry"), "%", 93, 100, 0),
    measure(Code("39156-5", "Body mass index (BMI) [Ratio]"), "kg/m2", 1850, 3650, 2),
];

/// A laboratory panel: its code and its parts.
pub(super) struct Panel {
    pub(super) code: Code,
    pub(super) parts: [Measure; 4],
}

pub(super) static PANELS: [Panel; 3] = [
    Panel {
        code: Code("24323-8", "Comprehensive metabolic 2000 panel - Serum or Plasma"),
        parts: [
            measure(Code("2345-7", "Glucose [Mass/volume] in Serum or Plasma"), "mg/dL", 7000, 14500, 2),
            measure(Code("2160-0", "Creatinine [Mass/volume] in Serum or Plasma"), "mg/dL", 60, 140, 2),
            measure(Code("2823-3", "Potassium [Moles/volume] in Serum or Plasma"), "mmol/L", 340, 510, 2),
            measure(Code("2951-2", "Sodium [Moles/volume] in Serum or Plasma"), "mmol/L", 1340, 1460, 1),
        ],
    },
    Panel {
        code: Code("57698-3", "Lipid panel with direct LDL - Serum or Plasma"),
        parts: [
            measure(Code("2093-3", "Cholesterol [Mass/volume] in Serum or Plasma"), "mg/dL", 1400, 2650, 1),
            measure(Code("2571-8", "Triglyceride [Mass/volume] in Serum or Plasma"), "mg/dL", 600, 2600, 1),
            measure(Code("2085-9", "Cholesterol in HDL [Mass/volume] in Serum or Plasma"), "mg/dL", 350, 820, 1),
            measure(Code("4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood"), "%", 480, 910, 2),
        ],
    },
    Panel {
        code: Code("58410-2", "CBC panel - Blood by Automated count"),
        parts: [
            measure(Code("718-7", "Hemoglobin [Mass/volume] in Blood"), "g/dL", 1050, 1720, 2),
            measure(Code("6690-2", "Leukocytes [#/volume] in Blood by Automated count"), "10*3/uL", 380, 1120, 2),
            measure(Code("777-3", "Platelets [#/volume] in Blood by Automated count"), "10*3/uL", 1400, 4200, 1),
            measure(Code("789-8", "Erythrocytes [#/volume] in Blood by Automated count"), "10*6/uL", 380, 590, 2),
        ],
    },
];

pub(super) static VISITS: [Code; 4] = [
    Code("185349003", "Encounter for check up"),
    Code("185345009", "Encounter for symptom"),
    Code("390906007", "Follow-up encounter"),
    Code("162673000", "General examination of patient"),
];
pub(super) static PROCEDURES: [Code; 5] = [
    Code("29303009", "Electrocardiographic procedure"),
    Code("73761001", "Colonoscopy"),
    Code("399208008", "Plain X-ray of chest"),
    Code("127783003", "Spirometry"),
    Code("16310003", "Diagnostic ultrasonography"),
];
pub(super) static VACCINES: [Code; 4] = [
    Code("140", "Influenza, split virus, trivalent, PF"),
    Code("113", "Td (adult), 5 Lf tetanus toxoid, preservative free, adsorbed"),
    Code("33", "pneumococcal polysaccharide PPV23"),
    Code("43", "Hep B, adult"),
];
pub(super) static ALLERGIES: [Code; 4] = [
    Code("91936005", "Allergy to penicillin"),
    Code("91935009", "Allergy to peanut"),
    Code("300916003", "Latex allergy"),
    Code("293586001", "Allergy to aspirin"),
];
