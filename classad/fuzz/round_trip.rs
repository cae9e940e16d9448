//! A target of libFuzzer: what is read prints, and reads back as it was. The check itself is in `checks`.
#![no_main]

mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::round_trip(bytes));
