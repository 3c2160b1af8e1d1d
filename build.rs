//! A preset that is wrong fails the build, and says what is wrong with it.

fn main() -> Result<(), String> {
    match agents::presets() {
        Ok(_) => Ok(()),
        Err(problem) => Err(format!("presets/: {}", problem.detail)),
    }
}
