//! What a file is, by its name alone: for the names that are common. Of all others nothing is said.

/// The end of a name, the language, and the type that the name says.
const KNOWN: &[(&str, &str, &str)] = &[
    ("c", "c", "text/plain"),
    ("css", "css", "text/css"),
    ("csv", "csv", "text/csv"),
    ("gif", "", "image/gif"),
    ("go", "go", ""),
    ("htm", "", "text/html"),
    ("html", "html", "text/html"),
    ("java", "java", "application/octet-stream"),
    ("jpeg", "", "image/jpeg"),
    ("jpg", "", "image/jpeg"),
    ("js", "javascript", "text/javascript"),
    ("json", "json", "application/json"),
    ("jsx", "javascript", "text/javascript"),
    ("md", "markdown", "text/markdown"),
    ("pdf", "", "application/pdf"),
    ("png", "", "image/png"),
    ("py", "python", "text/plain"),
    ("rb", "ruby", ""),
    ("rs", "rust", "text/x-rust"),
    ("sh", "shell", "application/x-sh"),
    ("svg", "svg", "image/svg+xml"),
    ("toml", "toml", "text/x-toml"),
    ("ts", "typescript", "video/vnd.dlna.mpeg-tts"),
    ("tsx", "typescript", ""),
    ("txt", "text", "text/plain"),
    ("webp", "", "image/webp"),
    ("xml", "xml", "text/xml"),
    ("yaml", "yaml", "text/x-yaml"),
    ("yml", "yaml", "text/x-yaml"),
    ("zip", "", "application/zip"),
];

/// All ends of names that are known, for tests.
pub fn known() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().map(|(end, ..)| *end)
}

fn find(name: &[u8]) -> Option<&'static (&'static str, &'static str, &'static str)> {
    let name = std::str::from_utf8(name).ok()?;
    let (begin, end) = name.rsplit_once('.')?;
    let end = end.to_ascii_lowercase();
    KNOWN
        .iter()
        .find(|(known, ..)| !begin.is_empty() && *known == end)
}

/// The language of a text, in small letters.
pub fn language(name: &[u8]) -> &'static str {
    match find(name) {
        Some((_, language, _)) if !language.is_empty() => language,
        _ => "text",
    }
}

/// The type that a name says.
pub fn guessed(name: &[u8]) -> Option<&'static str> {
    let (_, _, guessed) = find(name)?;
    (!guessed.is_empty()).then_some(*guessed)
}
