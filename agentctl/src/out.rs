//! What is written, and where: tables and words for people, JSON for programs.

use std::io::{IsTerminal, Write};

use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use crate::failure::Failure;
use crate::harmless;
use crate::render::{Style, To};

/// How this run writes.
#[derive(Debug, Clone, Copy)]
pub struct Out {
    pub json: bool,
    /// Stdout is a terminal.
    pub terminal: bool,
    answers: Style,
    asides: Style,
}

impl Out {
    pub fn new(json: bool) -> Self {
        let said = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colours = !said("NO_COLOR") && !dumb && !json;
        let terminal = std::io::stdout().is_terminal();
        Self {
            json,
            terminal,
            answers: Style {
                colours: colours && terminal,
            },
            asides: Style {
                colours: colours && std::io::stderr().is_terminal(),
            },
        }
    }

    /// The colours of stdout.
    pub fn style(&self) -> Style {
        self.answers
    }

    /// The colours of stderr.
    pub fn aside_style(&self) -> Style {
        self.asides
    }

    /// Writes text that is harmless already.
    ///
    /// # Errors
    /// Where nobody reads.
    pub fn write(&self, to: To, text: &str) -> Result<(), Failure> {
        match to {
            To::Answer => self.bytes(text.as_bytes()),
            // Nobody needs to read it.
            To::Aside => {
                let _ = std::io::stderr().write_all(text.as_bytes());
                Ok(())
            }
        }
    }

    /// # Errors
    /// Where nobody reads.
    pub fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(bytes)?;
        Ok(stdout.flush()?)
    }

    /// A line on stdout, of whatever text.
    ///
    /// # Errors
    /// Where nobody reads.
    pub fn line(&self, text: &str) -> Result<(), Failure> {
        self.write(To::Answer, &format!("{}\n", harmless::text(text)))
    }

    /// A line for the person at the terminal, of whatever text.
    pub fn say(&self, text: &str) {
        let _ = self.write(To::Aside, &format!("{}\n", harmless::text(text)));
    }

    /// A line of JSON on stdout.
    ///
    /// # Errors
    /// Where nobody reads.
    pub fn json(&self, value: &Value) -> Result<(), Failure> {
        self.json_text(&value.to_string())
    }

    /// # Errors
    /// Where nobody reads.
    pub fn json_text(&self, json: &str) -> Result<(), Failure> {
        self.write(To::Answer, &format!("{}\n", harmless::json(json)))
    }

    /// A document of JSON that is for reading, over lines.
    ///
    /// # Errors
    /// Where nobody reads.
    pub fn json_pretty(&self, value: &Value) -> Result<(), Failure> {
        let json = serde_json::to_string_pretty(value).unwrap_or_default();
        self.write(To::Answer, &format!("{}\n", harmless::json_lines(&json)))
    }

    /// What a command has done: the document, or words.
    ///
    /// # Errors
    /// Where nobody reads.
    pub fn done(&self, document: &Value, words: &str) -> Result<(), Failure> {
        match self.json {
            true => self.json(document),
            false => self.line(words),
        }
    }

    /// A list: each item as a line of JSON, or all of them as a table.
    ///
    /// # Errors
    /// Where nobody reads.
    pub fn list(
        &self,
        items: &[Value],
        heads: &[&str],
        row: impl Fn(&Value) -> Vec<String>,
    ) -> Result<(), Failure> {
        if self.json {
            return items.iter().try_for_each(|item| self.json(item));
        }
        let rows: Vec<Vec<String>> = items.iter().map(row).collect();
        self.write(To::Answer, &table(self.answers, heads, &rows))
    }

    /// Names and values under each other.
    ///
    /// # Errors
    /// Where nobody reads.
    pub fn fields(&self, fields: &[(&str, String)]) -> Result<(), Failure> {
        let width = fields
            .iter()
            .map(|(name, _)| name.len())
            .max()
            .unwrap_or_default();
        let mut written = String::new();
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
            let name = self.answers.dim(&format!("{name:<width$}"));
            written += &format!("{name}  {}\n", harmless::line(value, 500));
        }
        self.write(To::Answer, &written)
    }
}

/// Characters of a cell at most.
const CELL: usize = 64;

/// A table of whatever text. The last column is as wide as it is.
pub fn table(style: Style, heads: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| harmless::line(cell, CELL)).collect())
        .collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.width()).max().unwrap_or_default();
        widest.max(heads.get(column).map_or(0, |head| head.width()))
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let written = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for (cell, width) in cells.zip(&widths) {
            line += cell;
            line.extend(std::iter::repeat_n(
                ' ',
                width.saturating_sub(cell.width()) + 2,
            ));
        }
        line.truncate(line.trim_end().len());
        line
    };
    let head = written(&mut heads.iter().copied());
    let mut all = format!("{}\n", style.dim(&head));
    for row in &rows {
        all += &written(&mut row.iter().map(String::as_str));
        all.push('\n');
    }
    all
}

/// A member that is a text.
pub fn text(value: &Value, name: &str) -> String {
    match value.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Members that are texts, as a row of a table.
pub fn texts(value: &Value, names: &[&str]) -> Vec<String> {
    names.iter().map(|name| text(value, name)).collect()
}

/// Bytes for a person.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1000.0;
    let mut unit = UNITS.iter();
    let mut name = unit.next().unwrap_or(&"kB");
    while size >= 999.95 {
        let Some(next) = unit.next() else { break };
        size /= 1000.0;
        name = next;
    }
    format!("{size:.1} {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table() {
        let rows = [
            ["s1", "漢字", "plain"],
            ["a-longer-id", "\x1b[31mred\n", "x"],
        ];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        insta::assert_snapshot!(table(Style::default(), &["ID", "TITLE", "LAST"], &rows), @r"
        ID           TITLE      LAST
        s1           漢字       plain
        a-longer-id  ␛[31mred⏎  x
        ");
    }

    #[test]
    fn sizes() {
        let all = [
            0,
            999,
            1000,
            1536,
            999_949,
            999_950,
            1_000_000_000,
            u64::MAX,
        ];
        assert_eq!(
            all.map(size).join(" "),
            "0 B 999 B 1.0 kB 1.5 kB 999.9 kB 1.0 MB 1.0 GB 18446744.1 TB"
        );
    }
}
