//! Any text as a configuration: read or refused, and what is read can be asked for a model.

#![no_main]

use libfuzzer_sys::fuzz_target;
use litellm_router::config::Config;
use litellm_router::serve::Router;

fuzz_target!(|yaml: &str| {
    match Config::parse(yaml) {
        Ok(config) => {
            let router = Router::new(yaml, &|_| None).expect("what was read once is read again");
            assert_eq!(router.warnings().len(), config.warnings.len());
        }
        Err(reason) => assert!(!reason.is_empty()),
    }
});
