//! Any text as a configuration: read or refused, and what is read can be asked for a model.

use litellm_router::config::Config;
use litellm_router::serve::Router;

pub fn run(data: &[u8]) {
    let Ok(yaml) = std::str::from_utf8(data) else {
        return;
    };
    match Config::parse(yaml) {
        Ok(config) => {
            let router = Router::new(yaml, &|_| None).expect("what was read once is read again");
            assert!(router.warnings().len() >= config.warnings.len());
        }
        Err(wrong) => assert!(wrong.line_and_column().is_some(), "{wrong}"),
    }
}
