//! A protected channel: numbers, replays, keys that move on, replies, end of life.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealwort_corpora::targets::channel::channel(data));
