//! A terminal in a session's sandbox: what its viewers and the agent-server say to each other, and how
//! the Worker asks for one.
//!
//! | request to the agent-server | answer |
//! | --- | --- |
//! | `GET /terminals` | [`Terminals`] |
//! | `GET /terminals/{name}` with a [`View`] as its query | a WebSocket |
//! | `DELETE /terminals/{name}` | 204 once all that ran in it has ended; 404 where there is none |
//! | `DELETE /terminals` | 204 once all have ended: the sandbox is about to stop |
//!
//! Through the WebSocket binary frames carry what is typed and what is printed, as bytes. Text frames are
//! JSON: a [`Control`] to the terminal, a [`Sign`] from it. The first frame is [`Sign::Opened`], then comes
//! what was printed before, [`Sign::Live`], and from then on what is printed. After [`Sign::Ended`] the
//! socket is closed.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Problem, ProblemKind};

/// Terminals of a sandbox.
pub const MAX_TERMINALS: usize = 4;

/// Bytes of what was printed that are kept, for who comes back.
pub const SCROLLBACK: usize = 256 * 1024;

/// Bytes of a frame to a terminal.
pub const MAX_FRAME: usize = 64 * 1024;

/// The size of one that nobody has said a size for, in cells.
const USUAL: Size = Size { cols: 80, rows: 24 };

/// The name of a terminal, which whoever opens it chooses: 1 to 16 of `a-z 0-9 -`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct TerminalName(String);

impl TerminalName {
    pub const MAX_LEN: usize = 16;

    /// # Errors
    /// A 400 problem that says what a name is.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if text.is_empty() || text.len() > Self::MAX_LEN || !text.bytes().all(allowed) {
            return Err(Problem::bad_request(format!(
                "a terminal's name is 1 to {} of the characters a-z 0-9 -",
                Self::MAX_LEN
            ))
            .at("name"));
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TerminalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TerminalName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|problem| serde::de::Error::custom(problem.detail))
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for TerminalName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TerminalName".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "The name of a terminal, which whoever opens it chooses.",
            "type": "string",
            "pattern": "^[a-z0-9-]{1,16}$",
        })
    }
}

/// How large a terminal is, in cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Size {
    pub cols: u16,
    pub rows: u16,
}

impl Size {
    const COLS: std::ops::RangeInclusive<u16> = 2..=500;
    const ROWS: std::ops::RangeInclusive<u16> = 1..=300;

    /// # Errors
    /// A 400 problem that says what a size is.
    pub fn checked(cols: u16, rows: u16) -> Result<Self, Problem> {
        for (name, value, range) in [("cols", cols, Self::COLS), ("rows", rows, Self::ROWS)] {
            if !range.contains(&value) {
                let (least, most) = (range.start(), range.end());
                return Err(Problem::bad_request(format!("{name} is {least} to {most}")).at(name));
            }
        }
        Ok(Self { cols, rows })
    }
}

/// What somebody wants to see of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// The size that it is to have; where nothing is said, that which it has.
    pub size: Option<Size>,
    /// It is there already: a terminal that is not is not opened, and a sandbox that sleeps is not woken.
    pub attach: bool,
    /// Seconds after which its viewer is to ask anew, by [`ACCESS_ENDED`].
    pub seconds: Option<u64>,
}

impl View {
    /// Reads a query: `cols=80&rows=24&attach=true`, of which each may be missing. What else is in it is for
    /// others.
    ///
    /// # Errors
    /// A 400 problem that names what can't be.
    pub fn parse(query: &str) -> Result<Self, Problem> {
        let mut view = Self {
            size: None,
            attach: false,
            seconds: None,
        };
        let (mut cols, mut rows) = (None, None);
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let number = || {
                let parsed = value.parse::<u64>();
                parsed.map_err(|_| Problem::bad_request(format!("{name} is a number")).at(name))
            };
            let cells = || Ok::<_, Problem>(u16::try_from(number()?).unwrap_or(u16::MAX));
            match name {
                "cols" => cols = Some(cells()?),
                "rows" => rows = Some(cells()?),
                "attach" if value == "true" => view.attach = true,
                "attach" if value == "false" => view.attach = false,
                "attach" => {
                    return Err(Problem::bad_request("attach is true or false").at("attach"));
                }
                "seconds" => view.seconds = Some(number()?),
                _ => {}
            }
        }
        if cols.is_some() || rows.is_some() {
            let size = Size::checked(cols.unwrap_or(USUAL.cols), rows.unwrap_or(USUAL.rows))?;
            view.size = Some(size);
        }
        Ok(view)
    }

    /// The same as a query.
    pub fn query(&self) -> String {
        let mut query = format!("attach={}", self.attach);
        if let Some(Size { cols, rows }) = self.size {
            query.push_str(&format!("&cols={cols}&rows={rows}"));
        }
        if let Some(seconds) = self.seconds {
            query.push_str(&format!("&seconds={seconds}"));
        }
        query
    }

    /// The size of a terminal that is opened for it.
    pub fn opened_with(&self) -> Size {
        self.size.unwrap_or(USUAL)
    }
}

/// Close code of our own: what let the viewer in has to be asked again, or was revoked.
pub const ACCESS_ENDED: u16 = 4401;

/// Close code of RFC 6455's registry: the viewer does not read what it is sent.
pub const TRY_AGAIN_LATER: u16 = 1013;

/// What is said to a terminal, besides what is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// From now on it is so large. The last who says it counts.
    Resize(Size),
    /// Asks for [`Sign::Pong`].
    Ping,
}

impl Control {
    /// Reads a text frame: `{"type":"resize","cols":80,"rows":24}` or `{"type":"ping"}`.
    ///
    /// # Errors
    /// A 400 or 413 problem that says what is wrong with it.
    pub fn parse(frame: &str) -> Result<Self, Problem> {
        #[derive(Deserialize)]
        #[serde(tag = "type", rename_all = "snake_case")]
        enum Frame {
            Resize { cols: u16, rows: u16 },
            Ping,
        }
        if frame.len() > MAX_FRAME {
            return Err(Problem::new(
                ProblemKind::TooLarge,
                format!("a frame has at most {MAX_FRAME} bytes"),
            ));
        }
        match serde_json::from_str(frame) {
            Ok(Frame::Resize { cols, rows }) => Size::checked(cols, rows).map(Self::Resize),
            Ok(Frame::Ping) => Ok(Self::Ping),
            Err(error) => Err(Problem::bad_request(format!(
                "not a frame for a terminal: {error}; what is typed goes as binary frames"
            ))),
        }
    }
}

/// What a terminal says, besides what is printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Sign {
    /// What was printed before comes next. Sent again to a viewer that could not keep up: what is not kept
    /// any more is skipped, and its screen begins anew.
    Opened {
        name: TerminalName,
        #[serde(flatten)]
        size: Size,
        /// It was not there before.
        new: bool,
        /// What was printed first is not kept any more.
        cut: bool,
    },
    /// What was printed before has come.
    Live,
    /// Somebody has made it so large.
    Resized(Size),
    Pong,
    /// What was sent is refused; the terminal goes on.
    Refused {
        detail: String,
    },
    /// It is over, with all that ran in it.
    Ended {
        why: End,
        /// The exit code of its shell, where that has exited.
        code: Option<i32>,
    },
}

/// Why a terminal is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Its shell has ended.
    Exited,
    /// Somebody has closed it.
    Closed,
    /// Nobody looked at it, and nothing ran in it but its shell.
    Unused,
    /// Its sandbox sleeps, or was stopped.
    Stopped,
}

/// The terminals of a sandbox.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Terminals {
    pub terminals: Vec<Open>,
}

/// A terminal that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Open {
    pub name: TerminalName,
    #[serde(flatten)]
    pub size: Size,
    /// How many look at it.
    pub viewers: usize,
    /// Something runs in it besides its shell.
    pub busy: bool,
}

/// How the terminals of a sandbox are used, for who decides when it may sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// For how long nobody has typed in one, and no program that somebody looks at has printed anything.
    pub unused_ms: u64,
    /// Somebody has typed in one since the last save.
    pub unsaved: bool,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names() {
        for good in ["a", "main", "t-1", "0", &"x".repeat(16)] {
            assert_eq!(TerminalName::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "A",
            "a/b",
            "..",
            "a b",
            "ä",
            "a\0",
            "%2e",
            &"x".repeat(17),
        ] {
            assert_eq!(TerminalName::parse(bad).unwrap_err().status(), 400, "{bad}");
        }
    }

    #[test]
    fn frames_to_a_terminal() {
        let resize = |text: &str| Control::parse(text).map_err(|problem| problem.field);
        assert_eq!(
            resize(r#"{"type":"resize","cols":120,"rows":40}"#),
            Ok(Control::Resize(Size {
                cols: 120,
                rows: 40
            }))
        );
        assert_eq!(resize(r#"{"type":"ping"}"#), Ok(Control::Ping));
        let field = |name: &str| Err(Some(name.to_owned()));
        assert_eq!(
            resize(r#"{"type":"resize","cols":1,"rows":40}"#),
            field("cols")
        );
        assert_eq!(
            resize(r#"{"type":"resize","cols":80,"rows":0}"#),
            field("rows")
        );
        for bad in [
            "",
            "{}",
            "null",
            "[]",
            r#"{"type":"resize"}"#,
            r#"{"type":"resize","cols":-1,"rows":1}"#,
            r#"{"type":"resize","cols":70000,"rows":1}"#,
            r#"{"type":"exec","command":"id"}"#,
        ] {
            assert_eq!(Control::parse(bad).unwrap_err().status(), 400, "{bad}");
        }
        let long = format!("{{\"type\":\"ping\",\"x\":\"{}\"}}", "x".repeat(MAX_FRAME));
        assert_eq!(Control::parse(&long).unwrap_err().status(), 413);
    }

    #[test]
    fn what_a_query_asks_for() {
        let nothing = View::parse("").unwrap();
        assert_eq!(nothing.opened_with(), USUAL);
        assert!(!nothing.attach && nothing.size.is_none());
        let some = View::parse("ticket=x&attach=true&cols=100").unwrap();
        assert!(some.attach);
        assert_eq!(
            some.size,
            Some(Size {
                cols: 100,
                rows: 24
            })
        );
        for bad in ["cols=x", "rows=0", "cols=99999999999", "attach=1", "rows="] {
            assert_eq!(View::parse(bad).unwrap_err().status(), 400, "{bad}");
        }
    }

    #[test]
    fn signs_on_the_wire() {
        let name = TerminalName::parse("main").unwrap();
        let size = Size { cols: 80, rows: 24 };
        for (sign, text) in [
            (
                Sign::Opened {
                    name,
                    size,
                    new: true,
                    cut: false,
                },
                r#"{"type":"opened","name":"main","cols":80,"rows":24,"new":true,"cut":false}"#,
            ),
            (Sign::Live, r#"{"type":"live"}"#),
            (
                Sign::Resized(size),
                r#"{"type":"resized","cols":80,"rows":24}"#,
            ),
            (
                Sign::Ended {
                    why: End::Exited,
                    code: Some(0),
                },
                r#"{"type":"ended","why":"exited","code":0}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&sign).unwrap(), text);
            assert_eq!(serde_json::from_str::<Sign>(text).unwrap(), sign);
        }
    }

    proptest! {
        #[test]
        fn any_frame_is_a_control_that_keeps_the_rules_or_a_refusal(frame in ".{0,200}") {
            match Control::parse(&frame) {
                Ok(Control::Resize(size)) => {
                    prop_assert!(Size::checked(size.cols, size.rows).is_ok());
                }
                Ok(Control::Ping) => {}
                Err(problem) => prop_assert!((400..500).contains(&problem.status())),
            }
        }

        #[test]
        fn any_size_in_a_frame_is_taken_or_refused(cols: u32, rows: u32) {
            let frame = format!(r#"{{"type":"resize","cols":{cols},"rows":{rows}}}"#);
            let fits = (2..=500).contains(&cols) && (1..=300).contains(&rows);
            prop_assert_eq!(Control::parse(&frame).is_ok(), fits);
        }

        #[test]
        fn any_query_is_a_view_or_a_refusal(query in "[a-z=&0-9%.-]{0,60}") {
            if let Ok(view) = View::parse(&query) {
                prop_assert_eq!(View::parse(&view.query()).unwrap(), view);
            }
        }

        #[test]
        fn any_name_is_one_or_refused(text in ".{0,20}") {
            if let Ok(name) = TerminalName::parse(&text) {
                prop_assert_eq!(name.as_str(), text.as_str());
                prop_assert!(name.as_str().is_ascii());
            }
        }
    }
}
