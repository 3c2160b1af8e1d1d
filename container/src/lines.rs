//! Lines of a stream whose length nobody vouches for.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A line without its newline.
    Whole(Vec<u8>),
    /// A line longer than the limit, with its length. What it held is gone.
    TooLong(u64),
}

/// Reads lines and never holds more than `limit` bytes of one.
pub struct Lines<R> {
    reader: R,
    limit: usize,
    line: Vec<u8>,
    /// Bytes of the line that were read past, once it is too long.
    skipped: u64,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub fn new(reader: R, limit: usize) -> Self {
        Self {
            reader,
            limit,
            line: Vec::new(),
            skipped: 0,
        }
    }

    /// The next line, `None` at the end. The end of the stream ends a line as well.
    ///
    /// # Errors
    /// Those of the stream.
    pub async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let buffer = self.reader.fill_buf().await?;
            if buffer.is_empty() {
                let nothing = self.line.is_empty() && self.skipped == 0;
                return Ok((!nothing).then(|| self.take()));
            }
            let (piece, ended) = match buffer.iter().position(|byte| *byte == b'\n') {
                Some(end) => (buffer.get(..end).unwrap_or_default(), true),
                None => (buffer, false),
            };
            let used = piece.len() + usize::from(ended);
            if self.skipped > 0 || self.line.len() + piece.len() > self.limit {
                self.skipped += (self.line.len() + piece.len()) as u64;
                self.line = Vec::new();
            } else {
                self.line.extend_from_slice(piece);
            }
            self.reader.consume(used);
            if ended {
                return Ok(Some(self.take()));
            }
        }
    }

    fn take(&mut self) -> Line {
        match std::mem::take(&mut self.skipped) {
            0 => Line::Whole(std::mem::take(&mut self.line)),
            bytes => Line::TooLong(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::BufReader;

    async fn lines(bytes: &[u8], buffer: usize) -> Vec<Line> {
        let mut lines = Lines::new(BufReader::with_capacity(buffer, bytes), 8);
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            all.push(line);
        }
        all
    }

    #[tokio::test]
    async fn long_lines_are_read_past_and_the_next_is_whole() {
        for buffer in [1, 3, 64] {
            assert_eq!(
                lines(b"12345678\n123456789\n\nab\n1234567890123\nend", buffer).await,
                [
                    Line::Whole(b"12345678".to_vec()),
                    Line::TooLong(9),
                    Line::Whole(Vec::new()),
                    Line::Whole(b"ab".to_vec()),
                    Line::TooLong(13),
                    Line::Whole(b"end".to_vec()),
                ],
                "{buffer}"
            );
        }
        assert_eq!(lines(b"", 4).await, []);
    }
}
