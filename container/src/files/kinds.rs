//! What a file is, by its name and by what stands in it.

use std::path::Path;

use gengo_language::Language;

/// Bytes from its beginning by which a language is told that shares its ending with another.
const LOOKED_AT: usize = 16 * 1024;

/// Bytes from its beginning by which a long file is told to be text.
pub const HEAD: usize = 8 * 1024;

const UNKNOWN: &str = "application/octet-stream";
const TEXT: &str = "text/plain; charset=utf-8";

/// The text that these bytes are.
pub fn text(bytes: Vec<u8>) -> Result<String, Vec<u8>> {
    if bytes.contains(&0) {
        return Err(bytes);
    }
    String::from_utf8(bytes).map_err(std::string::FromUtf8Error::into_bytes)
}

/// Whether a file that begins so is text, as far as can be seen.
pub fn begins_as_text(head: &[u8]) -> bool {
    if head.contains(&0) {
        return false;
    }
    match std::str::from_utf8(head) {
        Ok(_) => true,
        // A letter may be cut at the end.
        Err(error) => error.error_len().is_none(),
    }
}

/// The language of a text, in small letters.
pub fn language(path: &Path, text: &str) -> String {
    let language = Language::pick(path, text.as_bytes(), LOOKED_AT);
    match language.as_ref().map(Language::name) {
        None | Some("Plain Text") => "text".to_owned(),
        Some(name) => name.to_lowercase(),
    }
}

/// The type of a file. What stands in it counts more than its name: `.ts` is a film by name.
pub fn content_type(path: &Path, is_text: bool) -> String {
    let guessed = mime_guess::from_path(path).first_raw();
    let Some(guessed) = guessed else {
        return if is_text { TEXT } else { UNKNOWN }.to_owned();
    };
    match (is_text, is_text_type(guessed)) {
        (true, true) => format!("{guessed}; charset=utf-8"),
        (true, false) => TEXT.to_owned(),
        (false, true) => UNKNOWN.to_owned(),
        (false, false) => guessed.to_owned(),
    }
}

fn is_text_type(name: &str) -> bool {
    name.starts_with("text/")
        || name.ends_with("+xml")
        || name.ends_with("+json")
        || matches!(
            name,
            "application/json"
                | "application/javascript"
                | "application/xml"
                | "application/x-sh"
                | "application/toml"
                | "application/sql"
        )
}

/// Whether it is shown as a picture where nothing else is asked for.
pub fn is_image(content_type: &str) -> bool {
    content_type.starts_with("image/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types() {
        for (name, is_text, wanted) in [
            ("a.png", false, "image/png"),
            ("a.svg", true, "image/svg+xml; charset=utf-8"),
            ("a.ts", true, TEXT),
            ("a.ts", false, "video/vnd.dlna.mpeg-tts"),
            ("a.html", true, "text/html; charset=utf-8"),
            ("a.html", false, UNKNOWN),
            ("picture.png", true, TEXT),
            ("Makefile", true, TEXT),
            ("core", false, UNKNOWN),
            ("a.json", true, "application/json; charset=utf-8"),
        ] {
            assert_eq!(content_type(Path::new(name), is_text), wanted, "{name}");
        }
    }

    #[test]
    fn languages() {
        for (name, text, wanted) in [
            ("src/main.rs", "fn main() {}", "rust"),
            ("a.py", "", "python"),
            ("run", "#!/usr/bin/env python3\n", "python"),
            ("a.tsx", "", "typescript"),
            ("Makefile", "all:\n", "makefile"),
            ("notes", "words", "text"),
            ("notes.txt", "words", "text"),
            ("a.", "", "text"),
            ("", "", "text"),
            (".gitignore", "", "ignore list"),
        ] {
            assert_eq!(language(Path::new(name), text), wanted, "{name}");
        }
    }

    #[test]
    fn texts() {
        assert!(text(b"a\0".to_vec()).is_err());
        assert!(text(b"\xff".to_vec()).is_err());
        assert_eq!(text("ä".into()).as_deref(), Ok("ä"));
        assert!(begins_as_text("aä".as_bytes().get(..2).unwrap()));
        assert!(!begins_as_text(b"a\xffb"));
        assert!(!begins_as_text(b"a\0"));
    }
}
