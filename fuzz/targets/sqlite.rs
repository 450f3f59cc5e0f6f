#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| embedport_fuzz::run("sqlite", input));
