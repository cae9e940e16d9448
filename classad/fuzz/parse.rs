//! A target of libFuzzer: any text is read or refused. The check itself is in `checks`.
#![no_main]

mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::parse(bytes));
