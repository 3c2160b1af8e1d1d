//! Writes the document: `cargo xtask openapi`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match openapi::text() {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(missing) => {
            eprintln!("{missing}");
            ExitCode::FAILURE
        }
    }
}
