//! How a file is answered with, wherever it is read: as what type, which part of it, and whether the one
//! who asks has it already.

use std::ops::Range;

/// The type of what is not known, and of a text that is nothing else.
pub const UNKNOWN: &str = "application/octet-stream";
pub const TEXT: &str = "text/plain; charset=utf-8";

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

/// The type of a file whose name says `guessed`. What stands in it counts more: `.ts` is a film by name.
pub fn content_type(guessed: Option<&str>, is_text: bool) -> String {
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

/// Whether a header such as `If-Match: "a", W/"b"` names this version. Weak ones count where `weak`.
pub fn names(header: &str, version: &str, weak: bool) -> bool {
    if header.trim() == "*" {
        return true;
    }
    let plain = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    header.split(',').any(|tag| {
        let is_weak = tag.trim().starts_with("W/") || version.starts_with("W/");
        plain(tag) == plain(version) && (weak || !is_weak)
    })
}

/// What a `Range` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Nothing that is understood, or several parts: the whole is an answer to these (RFC 9110, 14.2).
    All,
    Of(Range<u64>),
    Nothing,
}

/// What a `Range` asks for of so many bytes.
pub fn part(range: &str, length: u64) -> Part {
    let Some((from, to)) = range
        .trim()
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'))
    else {
        return Part::All;
    };
    let number = |text: &str| -> Option<u64> {
        let digits = text.trim();
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_| plain)
    };
    let wanted = match (number(from), number(to)) {
        (Some(from), Some(to)) if from <= to => from..to.saturating_add(1).min(length),
        (Some(from), None) if to.trim().is_empty() => from..length,
        (None, Some(last)) if from.trim().is_empty() => length.saturating_sub(last)..length,
        _ => return Part::All,
    };
    if wanted.is_empty() {
        return Part::Nothing;
    }
    Part::Of(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_ten_bytes() {
        for (range, wanted) in [
            ("bytes=0-3", Part::Of(0..4)),
            ("bytes=3-", Part::Of(3..10)),
            ("bytes=-3", Part::Of(7..10)),
            ("bytes=-99", Part::Of(0..10)),
            ("bytes=9-99", Part::Of(9..10)),
            ("bytes=0-18446744073709551615", Part::Of(0..10)),
            ("bytes=10-", Part::Nothing),
            ("bytes=-0", Part::Nothing),
            ("bytes=4-3", Part::All),
            ("bytes=0-1,3-4", Part::All),
            ("bytes=-", Part::All),
            ("bytes=+1-2", Part::All),
            ("bytes=99999999999999999999-", Part::All),
            ("lines=0-1", Part::All),
            ("", Part::All),
        ] {
            assert_eq!(part(range, 10), wanted, "{range}");
        }
        assert_eq!(part("bytes=0-", 0), Part::Nothing);
        assert_eq!(part("bytes=-5", 0), Part::Nothing);
    }

    #[test]
    fn versions_that_are_named() {
        for (header, version, weak, named) in [
            ("\"a\"", "\"a\"", false, true),
            ("\"b\", \"a\"", "\"a\"", false, true),
            ("W/\"a\"", "\"a\"", false, false),
            ("W/\"a\"", "\"a\"", true, true),
            ("\"a\"", "W/\"a\"", false, false),
            ("*", "W/\"a\"", false, true),
            ("\"ab\"", "\"a\"", true, false),
            ("", "\"a\"", true, false),
        ] {
            assert_eq!(names(header, version, weak), named, "{header} {version}");
        }
    }
}
