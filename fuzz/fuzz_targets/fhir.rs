//! FHIR resources, Bundles, lines, references, tokens, and whose record they go into.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealwort_corpora::targets::fhir::fhir(data));
