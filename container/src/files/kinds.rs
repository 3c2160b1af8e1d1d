//! What a file is, by its name and by what stands in it.

use std::path::Path;

use gengo_language::Language;
use protocol::content;
pub use protocol::content::{begins_as_text, is_image};

/// Bytes from its beginning by which a language is told that shares its ending with another.
const LOOKED_AT: usize = 16 * 1024;

/// Bytes from its beginning by which a long file is told to be text.
pub const HEAD: usize = 8 * 1024;

/// The text that these bytes are.
pub fn text(bytes: Vec<u8>) -> Result<String, Vec<u8>> {
    if bytes.contains(&0) {
        return Err(bytes);
    }
    String::from_utf8(bytes).map_err(std::string::FromUtf8Error::into_bytes)
}

/// The language of a text, in small letters.
pub fn language(path: &Path, text: &str) -> String {
    let language = Language::pick(path, text.as_bytes(), LOOKED_AT);
    match language.as_ref().map(Language::name) {
        None | Some("Plain Text") => "text".to_owned(),
        Some(name) => name.to_lowercase(),
    }
}

/// The type of a file, see [`content::content_type`].
pub fn content_type(path: &Path, is_text: bool) -> String {
    content::content_type(mime_guess::from_path(path).first_raw(), is_text)
}

#[cfg(test)]
mod tests {
    use protocol::content::{TEXT, UNKNOWN};

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
    fn what_is_told_of_a_file_while_the_sandbox_sleeps_is_the_same() {
        let mut other = Vec::new();
        for end in saved::kinds::known() {
            let name = format!("name.{end}");
            let path = Path::new(&name);
            let guessed = saved::kinds::guessed(name.as_bytes());
            for is_text in [true, false] {
                let told = content::content_type(guessed, is_text);
                let is = content_type(path, is_text);
                if told != is {
                    other.push(format!("{name}: {told}, and it is {is}"));
                }
            }
            let (told, is) = (saved::kinds::language(name.as_bytes()), language(path, "x"));
            if told != is {
                other.push(format!("{name}: {told}, and it is {is}"));
            }
        }
        assert_eq!(other, [""; 0]);
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
