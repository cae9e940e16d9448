//! A target of libFuzzer: ads and an expression, evaluated in every way there is. The check itself is in `checks`.
#![no_main]

mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::evaluate(bytes));
