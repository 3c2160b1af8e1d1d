//! An archive's entries, from pieces of its bytes that are cut anywhere. No more of it is kept than one
//! header and a long name.
//!
//! The format is that of GNU tar(5), as far as `container/src/disk/archive.rs` writes it: files, folders,
//! symbolic links, and names that are too long for a header.

use crate::Unread;

const BLOCK: usize = 512;

/// Bytes of a path or of what a link holds.
const LONGEST_NAME: u64 = 16 * 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    File,
    Folder,
    /// What it holds.
    Link(Vec<u8>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Without a slash at its end.
    pub path: Vec<u8>,
    pub kind: Kind,
    pub size: u64,
    /// Seconds since the epoch.
    pub modified: u64,
    /// Where in the archive its content begins.
    pub at: u64,
}

/// What hears of an archive.
pub trait Reader {
    /// An entry. Returns whether its content is wanted.
    ///
    /// # Errors
    /// Why no more is to be read.
    fn entry(&mut self, entry: Entry) -> Result<bool, Unread>;

    /// A piece of the content of the last entry.
    fn content(&mut self, piece: &[u8]);
}

#[derive(Debug, Default)]
pub struct Archive {
    /// Bytes that have been read.
    at: u64,
    header: Vec<u8>,
    /// Bytes of content, or of what fills its last block, that are still to come.
    content: u64,
    padding: u64,
    is_wanted: bool,
    /// A name that is being read, for the entry after it.
    naming: Option<Naming>,
    name: Vec<u8>,
    long_path: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    Path,
    Link,
}

impl Archive {
    /// Whether its end has been read. What comes after that is nothing.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Reads the next piece.
    ///
    /// # Errors
    /// Where it is no archive, or the reader wants no more.
    pub fn read(&mut self, mut bytes: &[u8], reader: &mut impl Reader) -> Result<(), Unread> {
        while !bytes.is_empty() && !self.ended {
            if self.content > 0 {
                let piece = self.take(&mut bytes, self.content);
                self.content -= piece.len() as u64;
                if self.naming.is_some() {
                    self.name.extend_from_slice(piece);
                } else if self.is_wanted {
                    reader.content(piece);
                }
                if self.content == 0 {
                    self.end_name();
                }
            } else if self.padding > 0 {
                self.padding -= self.take(&mut bytes, self.padding).len() as u64;
            } else {
                let missing = BLOCK - self.header.len();
                let piece = self.take(&mut bytes, missing as u64);
                self.header.extend_from_slice(piece);
                if self.header.len() == BLOCK {
                    let header = std::mem::take(&mut self.header);
                    self.entry(&header, reader)?;
                }
            }
        }
        Ok(())
    }

    fn take<'a>(&mut self, bytes: &mut &'a [u8], most: u64) -> &'a [u8] {
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(bytes.len());
        let (piece, rest) = bytes.split_at(most);
        *bytes = rest;
        self.at += piece.len() as u64;
        piece
    }

    fn end_name(&mut self) {
        let Some(naming) = self.naming.take() else {
            return;
        };
        let mut name = std::mem::take(&mut self.name);
        name.truncate(until_nul(&name).len());
        match naming {
            Naming::Path => self.long_path = Some(name),
            Naming::Link => self.long_link = Some(name),
        }
    }

    fn entry(&mut self, header: &[u8], reader: &mut impl Reader) -> Result<(), Unread> {
        if header.iter().all(|byte| *byte == 0) {
            self.ended = true;
            return Ok(());
        }
        let field = |from: usize, length: usize| header.get(from..from + length).unwrap_or(&[]);
        if !is_sound(header, number(field(148, 8)).ok_or(Unread::Broken)?) {
            return Err(Unread::Broken);
        }
        let size = number(field(124, 12)).ok_or(Unread::Broken)?;
        let kind = header.get(156).copied().unwrap_or_default();
        let (content, kind) = match kind {
            b'0' | 0 => (size, Kind::File),
            b'5' => (0, Kind::Folder),
            b'2' => {
                let held = self.long_link.take();
                let held = held.unwrap_or_else(|| until_nul(field(157, 100)).to_vec());
                (0, Kind::Link(held))
            }
            b'L' | b'K' if (1..=LONGEST_NAME).contains(&size) => {
                let naming = match kind {
                    b'L' => Naming::Path,
                    _ => Naming::Link,
                };
                self.naming = Some(naming);
                self.expect(size);
                return Ok(());
            }
            _ => return Err(Unread::Broken),
        };
        self.long_link = None;
        let path = self.long_path.take();
        let mut path = path.unwrap_or_else(|| until_nul(field(0, 100)).to_vec());
        while path.ends_with(b"/") {
            path.pop();
        }
        self.expect(content);
        self.is_wanted = reader.entry(Entry {
            path,
            kind,
            size: content,
            modified: number(field(136, 12)).unwrap_or(0),
            at: self.at,
        })?;
        Ok(())
    }

    fn expect(&mut self, size: u64) {
        let block = BLOCK as u64;
        self.content = size;
        self.padding = (block - size % block) % block;
    }
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A number in octal digits, or where its first bit is set, in bytes.
fn number(field: &[u8]) -> Option<u64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        let mut number = u64::from(first & 0x7f);
        for byte in rest {
            number = number.checked_mul(256)?.checked_add(u64::from(*byte))?;
        }
        return Some(number);
    }
    let digits = std::str::from_utf8(until_nul(field)).ok()?.trim();
    if digits.is_empty() {
        return Some(0);
    }
    if !digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit)) {
        return None;
    }
    u64::from_str_radix(digits, 8).ok()
}

/// Whether a header's checksum is that of its bytes, with spaces in the checksum's own place.
fn is_sound(header: &[u8], told: u64) -> bool {
    let sum = header.iter().enumerate().map(|(at, byte)| {
        if (148..156).contains(&at) {
            u64::from(b' ')
        } else {
            u64::from(*byte)
        }
    });
    sum.sum::<u64>() == told
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Default)]
    struct All(Vec<(Entry, Vec<u8>)>);

    impl Reader for All {
        fn entry(&mut self, entry: Entry) -> Result<bool, Unread> {
            self.0.push((entry, Vec::new()));
            Ok(true)
        }

        fn content(&mut self, piece: &[u8]) {
            self.0.last_mut().unwrap().1.extend_from_slice(piece);
        }
    }

    proptest! {
        #[test]
        fn anything_is_read(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..2000), 0..5)) {
            let (mut archive, mut all) = (Archive::default(), All::default());
            for piece in pieces {
                if archive.read(&piece, &mut all).is_err() {
                    break;
                }
            }
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(number(b"0000017\0"), Some(15));
        assert_eq!(number(b" 17 \0\0\0\0"), Some(15));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\0\0\0\x01\0"), Some(256));
        assert_eq!(number(&[0xff; 12]), None);
        assert_eq!(number(b"9"), None);
        assert_eq!(number(b""), None);
    }
}
