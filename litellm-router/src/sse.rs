//! Server-sent events, read from bytes as they come
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
//!
//! A chunk may end anywhere: inside a character, between a carriage return and its line feed. What
//! one event may hold in memory is bounded.

use memchr::memchr2;

/// The most bytes of one event, and of one line.
pub const LARGEST_EVENT: usize = 8 * 1024 * 1024;

/// One event: its name ("" if it has none) and its data, lines joined by line feeds.
#[derive(Debug, PartialEq, Eq)]
pub struct Event<'a> {
    pub name: &'a str,
    pub data: &'a [u8],
}

/// An event was larger than [`LARGEST_EVENT`].
#[derive(Debug, PartialEq, Eq)]
pub struct TooLarge;

/// See the module.
#[derive(Debug, Default)]
pub struct SseParser {
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    name: String,
    /// The last byte was a carriage return, so a line feed now belongs to it.
    after_return: bool,
    past_first_line: bool,
}

impl SseParser {
    /// Reads more bytes and hands each event that is complete to `on`.
    ///
    /// # Errors
    /// [`TooLarge`]; the stream cannot be read on after it.
    pub fn push(&mut self, mut bytes: &[u8], on: &mut dyn FnMut(Event)) -> Result<(), TooLarge> {
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_return)
                && let Some(rest) = bytes.strip_prefix(b"\n")
            {
                bytes = rest;
                continue;
            }
            let Some((line, rest)) =
                memchr2(b'\n', b'\r', bytes).and_then(|end| bytes.split_at_checked(end))
            else {
                self.room_for(self.line.len() + bytes.len())?;
                self.line.extend_from_slice(bytes);
                return Ok(());
            };
            self.after_return = rest.first() == Some(&b'\r');
            bytes = rest.get(1..).unwrap_or_default();
            if self.line.is_empty() {
                self.take_line(line, on)?;
            } else {
                let mut whole = std::mem::take(&mut self.line);
                self.room_for(whole.len() + line.len())?;
                whole.extend_from_slice(line);
                self.take_line(&whole, on)?;
                // Keeps the allocation for the next line.
                whole.clear();
                self.line = whole;
            }
        }
        Ok(())
    }

    /// The stream has ended. An event without the empty line that should follow it still counts,
    /// because some providers leave that line out.
    pub fn finish(&mut self, on: &mut dyn FnMut(Event)) -> Result<(), TooLarge> {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.take_line(&line, on)?;
        }
        self.dispatch(on);
        Ok(())
    }

    fn room_for(&self, size: usize) -> Result<(), TooLarge> {
        if size > LARGEST_EVENT {
            Err(TooLarge)
        } else {
            Ok(())
        }
    }

    fn take_line(&mut self, line: &[u8], on: &mut dyn FnMut(Event)) -> Result<(), TooLarge> {
        let line = if std::mem::replace(&mut self.past_first_line, true) {
            line
        } else {
            line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line)
        };
        if line.is_empty() {
            self.dispatch(on);
            return Ok(());
        }
        let colon = line.iter().position(|&byte| byte == b':');
        let (field, value) = match colon.and_then(|at| line.split_at_checked(at)) {
            Some((field, value)) => (field, value.get(1..).unwrap_or_default()),
            None => (line, &b""[..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                self.room_for(self.data.len() + value.len())?;
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
            }
            b"event" => self.name = String::from_utf8_lossy(value).into_owned(),
            // Comments (no field name), ids and retry times do not matter here.
            _ => {}
        }
        Ok(())
    }

    fn dispatch(&mut self, on: &mut dyn FnMut(Event)) {
        if self.has_data {
            on(Event {
                name: &self.name,
                data: &self.data,
            });
        }
        self.data.clear();
        self.name.clear();
        self.has_data = false;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(chunks: &[&[u8]]) -> Vec<(String, String)> {
        let mut seen = Vec::new();
        let mut on = |event: Event| {
            let data = String::from_utf8_lossy(event.data).into_owned();
            seen.push((event.name.to_owned(), data));
        };
        let mut parser = SseParser::default();
        for chunk in chunks {
            parser.push(chunk, &mut on).unwrap();
        }
        parser.finish(&mut on).unwrap();
        seen
    }

    #[test]
    fn s15_comments_returns_marks_and_missing_ends_are_read() {
        let text = "\u{FEFF}: OPENROUTER PROCESSING\r\n\r\ndata:{\"a\":\r\ndata: \"ä\"}\r\rid: 7\nevent: error\ndata: x\n\n\ndata\n\ndata: last";
        let expected = [
            ("", "{\"a\":\n\"ä\"}"),
            ("error", "x"),
            ("", ""),
            ("", "last"),
        ]
        .map(|(name, data)| (name.to_owned(), data.to_owned()));
        assert_eq!(events(&[text.as_bytes()]), expected);
        let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(events(&bytes), expected);
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut parser = SseParser::default();
        let chunk = vec![b'x'; LARGEST_EVENT];
        assert_eq!(parser.push(&chunk, &mut |_| ()), Ok(()));
        assert_eq!(parser.push(b"y", &mut |_| ()), Err(TooLarge));
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_chunks_are_read_the_same(
            bytes in "(data: ?|event:|:|\r|\n|\r\n|[a-zä]{0,3}){0,40}", at in 0usize..200,
        ) {
            let bytes = bytes.as_bytes();
            let (head, tail) = bytes.split_at(at.min(bytes.len()));
            prop_assert_eq!(events(&[head, tail]), events(&[bytes]));
        }
    }
}
