//! Random bytes from the platform.

/// # Errors
/// Where the platform has none.
pub fn bytes<const N: usize>() -> worker::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| worker::Error::RustError(error.to_string()))?;
    Ok(bytes)
}

/// `N` random bytes as hexadecimal digits.
///
/// # Errors
/// Where the platform has none.
pub fn hex<const N: usize>() -> worker::Result<String> {
    use std::fmt::Write;
    let mut text = String::with_capacity(2 * N);
    for byte in bytes::<N>()? {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}
