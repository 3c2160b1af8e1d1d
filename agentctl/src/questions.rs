//! What an agent asks, and what is answered: at the terminal, by a rule, or with a command.

use std::collections::VecDeque;

use protocol::{Event, EventBody, SessionId};
use serde_json::{Map, Value, json};

use crate::api::{self, Api};
use crate::cli::{Answer, Behavior, Permissions};
use crate::events::{Ends, Events};
use crate::failure::Failure;
use crate::harmless;
use crate::out::Out;
use crate::render::Style;

/// Bytes of a tool's input that are shown before somebody decides.
const SHOWN: usize = 8 * 1024;

/// Requests that wait at once. The server has fewer.
const MAX_OPEN: usize = 100;

/// The requests that wait for an answer, and the one that somebody is asked about.
pub struct Desk {
    permissions: Permissions,
    /// Somebody sits at the terminal.
    somebody: bool,
    style: Style,
    open: VecDeque<Request>,
    /// The first one was put to somebody.
    asked: bool,
}

struct Request {
    id: String,
    /// What is shown before it is asked.
    shown: String,
    what: What,
}

enum What {
    Permission {
        rules: Vec<String>,
    },
    Questions {
        all: Vec<Question>,
        given: Map<String, Value>,
    },
}

struct Question {
    text: String,
    options: Vec<(String, String)>,
}

impl Desk {
    pub fn new(permissions: Permissions, somebody: bool, style: Style) -> Self {
        Self {
            permissions,
            somebody,
            style,
            open: VecDeque::new(),
            asked: false,
        }
    }

    /// Takes in an event. Gives the answer where a rule has it.
    pub fn note(&mut self, event: &Event) -> Option<(String, Value)> {
        let request = match &event.body {
            EventBody::PermissionRequest {
                request_id,
                tool,
                input,
                rules,
                ..
            } => {
                let by_rule = match self.permissions {
                    Permissions::Ask => None,
                    Permissions::Allow => Some(json!({ "behavior": "allow" })),
                    Permissions::Deny => Some(json!({
                        "behavior": "deny", "message": "denied by agentctl --permissions deny",
                    })),
                };
                if let Some(answer) = by_rule {
                    return Some((request_id.clone(), answer));
                }
                Request {
                    id: request_id.clone(),
                    shown: shown(tool, input),
                    what: What::Permission {
                        rules: rules.clone(),
                    },
                }
            }
            EventBody::Question {
                request_id, input, ..
            } => Request {
                id: request_id.clone(),
                shown: String::new(),
                what: What::Questions {
                    all: questions(input),
                    given: Map::new(),
                },
            },
            EventBody::PermissionResponse { request_id, .. } => {
                if self.open.front().is_some_and(|open| open.id == *request_id) {
                    self.asked = false;
                }
                self.open.retain(|open| open.id != *request_id);
                return None;
            }
            _ => return None,
        };
        let asks_nothing = matches!(&request.what, What::Questions { all, .. } if all.is_empty());
        if self.somebody && !asks_nothing && self.open.len() < MAX_OPEN {
            self.open.push_back(request);
        }
        None
    }

    /// What somebody is asked now, if they are not asked already.
    pub fn prompt(&mut self) -> Option<String> {
        if self.asked {
            return None;
        }
        let first = self.open.front()?;
        let prompt = match &first.what {
            What::Permission { rules } => {
                let always = match rules.is_empty() {
                    true => String::new(),
                    false => {
                        let rules = harmless::line(&rules.join(", "), 120);
                        format!(", a = also from now on ({rules})")
                    }
                };
                let line = format!("allow? y = yes{always}, n = no, or the reason why not: ");
                format!("{}{}", first.shown, self.style.bold(&line))
            }
            What::Questions { all, given } => {
                let question = all.get(given.len())?;
                let mut text = format!("{}\n", self.style.bold(&harmless::text(&question.text)));
                for (number, (label, description)) in (1..).zip(&question.options) {
                    let label = harmless::line(label, 100);
                    let description = self.style.dim(&harmless::line(description, 120));
                    text += &format!("  {number}  {label}  {description}\n");
                }
                text + "a number, or an answer of your own: "
            }
        };
        self.asked = true;
        Some(prompt)
    }

    /// Whether a line is waited for.
    pub fn waits(&self) -> bool {
        self.asked
    }

    /// The terminal is closed: nobody is asked any more.
    pub fn nobody_answers(&mut self) {
        self.somebody = false;
        self.asked = false;
        self.open.clear();
    }

    /// Takes a line. Gives the request and its answer, where that is whole.
    pub fn take(&mut self, line: &str) -> Option<(String, Value)> {
        let line = line.trim();
        let first = self.open.front_mut()?;
        self.asked = false;
        let answer = match &mut first.what {
            What::Permission { rules } => match line.to_lowercase().as_str() {
                // Nothing is no answer.
                "" => return None,
                "y" | "yes" => json!({ "behavior": "allow" }),
                "a" | "always" if !rules.is_empty() => json!({ "behavior": "allow_session" }),
                "n" | "no" => json!({ "behavior": "deny" }),
                // One letter is a slip, not a reason.
                short if short.chars().count() < 3 => return None,
                _ => json!({ "behavior": "deny", "message": line }),
            },
            What::Questions { all, given } => {
                let question = all.get(given.len())?;
                let answer = chosen(&question.options, line)?;
                given.insert(question.text.clone(), json!(answer));
                if given.len() < all.len() {
                    return None;
                }
                json!({ "answers": given })
            }
        };
        let id = first.id.clone();
        self.open.pop_front();
        Some((id, answer))
    }
}

/// The label of a number, several of them with commas, or the words as they are.
fn chosen(options: &[(String, String)], line: &str) -> Option<String> {
    let label = |part: &str| {
        let number: usize = part.trim().parse().ok()?;
        let (label, _) = options.get(number.checked_sub(1)?)?;
        Some(label.clone())
    };
    if line.is_empty() {
        return None;
    }
    let labels: Option<Vec<String>> = line.split(',').map(label).collect();
    Some(labels.map_or_else(|| line.to_owned(), |labels| labels.join(", ")))
}

fn questions(input: &Value) -> Vec<Question> {
    let text = |value: &Value, name: &str| crate::out::text(value, name);
    let all = input.get("questions").and_then(Value::as_array);
    let mut questions: Vec<Question> = Vec::new();
    for question in all.into_iter().flatten().take(20) {
        let options = question.get("options").and_then(Value::as_array);
        let options = options.into_iter().flatten().take(50);
        let one = Question {
            text: text(question, "question"),
            options: options
                .map(|option| (text(option, "label"), text(option, "description")))
                .collect(),
        };
        // Answers are told by the question's text: of two that are alike one can be asked.
        if questions.iter().all(|other| other.text != one.text) {
            questions.push(one);
        }
    }
    questions
}

/// What a tool is called with, whole as far as it goes: it is what somebody decides about.
fn shown(tool: &str, input: &Value) -> String {
    let mut text = format!("{}\n", harmless::line(tool, 60));
    let members = input.as_object().into_iter().flatten();
    for (name, value) in members {
        let value = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let value = harmless::text(&value).replace('\n', "\n    ");
        text += &format!("  {}: {value}\n", harmless::line(name, 60));
    }
    let left = protocol::event::cut(&mut text, SHOWN);
    if left > 0 {
        text += &format!("\n  … and {left} bytes more, which agentctl logs --json shows\n");
    }
    text
}

/// # Errors
/// What the server says; not that somebody else was faster.
pub async fn send(
    api: &Api,
    session: &SessionId,
    request: &str,
    answer: &Value,
) -> Result<(), Failure> {
    let request = api::encoded(request);
    let path = format!("/api/sessions/{session}/permissions/{request}");
    match api.open(api.post(&path).json(answer)).await {
        Err(Failure::Told(_, 409)) => Ok(()),
        sent => sent.map(drop),
    }
}

/// The command `answer`.
pub async fn answer(api: &Api, out: Out, given: &Answer) -> Result<(), Failure> {
    let behavior = match given.behavior {
        Behavior::Allow => "allow",
        Behavior::AllowSession => "allow_session",
        Behavior::Deny => "deny",
    };
    let mut answers = Map::new();
    for one in &given.answers {
        let (question, answer) = one.split_once('=').ok_or_else(|| {
            Failure::Usage("an answer is written as 'the question=the answer'".to_owned())
        })?;
        answers.insert(question.to_owned(), json!(answer));
    }
    // The server takes any name, and the agent would find no answer under one that is no question.
    if !answers.is_empty()
        && let Some(asked) = asked(api, &given.session, &given.request).await?
    {
        fit(&given.request, &asked, &answers)?;
    }
    let mut body = json!({ "behavior": behavior, "message": given.message });
    if let (false, Some(members)) = (answers.is_empty(), body.as_object_mut()) {
        members.insert("answers".to_owned(), Value::Object(answers));
    }
    let request = api::encoded(&given.request);
    let path = format!("/api/sessions/{}/permissions/{request}", given.session);
    api.open(api.post(&path).json(&body)).await?;
    out.done(
        &json!({ "session_id": given.session, "request_id": given.request, "behavior": behavior }),
        &format!("{}: {behavior}", given.request),
    )
}

/// The questions of a request, as the session's log has them; none of a request that is not there.
async fn asked(
    api: &Api,
    session: &SessionId,
    request: &str,
) -> Result<Option<Vec<Question>>, Failure> {
    let path = format!("/api/sessions/{session}/events?from=0");
    let ask = move |api: &Api| api.get(&path);
    let mut events = Events::open(api, Box::new(ask), Ends::AtLast, Some(0)).await?;
    let mut found = None;
    while let Some(told) = events.next().await? {
        match told.event.map(|event| event.body) {
            Some(EventBody::Question {
                request_id, input, ..
            }) if request_id == request => found = Some(questions(&input)),
            Some(EventBody::PermissionRequest { request_id, .. }) if request_id == request => {
                found = Some(Vec::new());
            }
            _ => {}
        }
    }
    Ok(found)
}

/// # Errors
/// Where something is answered that was not asked.
fn fit(request: &str, asked: &[Question], answers: &Map<String, Value>) -> Result<(), Failure> {
    let is_asked = |name: &String| asked.iter().any(|question| question.text == *name);
    let Some(stray) = answers.keys().find(|name| !is_asked(name)) else {
        return Ok(());
    };
    if asked.is_empty() {
        return Err(Failure::Usage(format!(
            "{request} asks no question; it is answered without --to"
        )));
    }
    let all: Vec<String> = asked
        .iter()
        .map(|question| format!("\n  {}", harmless::line(&question.text, 500)))
        .collect();
    Err(Failure::Usage(format!(
        "{request} does not ask {stray:?}; it asks:{}",
        all.concat()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(body: Value) -> Event {
        let mut fields =
            json!({ "seq": 1, "session_id": "s", "turn_id": null, "timestamp": 1, "content": "" });
        fields
            .as_object_mut()
            .unwrap()
            .extend(body.as_object().unwrap().clone());
        serde_json::from_value(fields).unwrap()
    }

    fn asks(id: &str) -> Event {
        event(
            json!({ "type": "permission_request", "request_id": id, "tool": "Bash",
            "input": { "command": "rm x\n\x1b[2Jy" }, "rules": ["Bash(rm *)"] }),
        )
    }

    fn desk(permissions: Permissions) -> Desk {
        Desk::new(permissions, true, Style::default())
    }

    #[test]
    fn somebody_is_asked_one_after_the_other() {
        let mut desk = desk(Permissions::Ask);
        assert!(desk.note(&asks("ask-1")).is_none() && desk.note(&asks("ask-2")).is_none());
        let prompt = desk.prompt().unwrap();
        insta::assert_snapshot!(prompt);
        assert!(desk.prompt().is_none() && desk.waits());
        assert!(desk.take("").is_none(), "nothing is no answer");
        assert!(
            desk.prompt().is_some() && desk.take("j").is_none(),
            "nor is a slip"
        );
        assert!(desk.prompt().is_some());
        assert_eq!(
            desk.take("a").unwrap(),
            ("ask-1".to_owned(), json!({ "behavior": "allow_session" }))
        );
        assert!(desk.prompt().is_some());
        let no = desk.take("not that file").unwrap();
        assert_eq!(
            no.1,
            json!({ "behavior": "deny", "message": "not that file" })
        );
        assert!(desk.prompt().is_none());
    }

    #[test]
    fn what_others_have_answered_is_not_asked() {
        let mut desk = desk(Permissions::Ask);
        desk.note(&asks("ask-1"));
        desk.note(&asks("ask-2"));
        desk.prompt();
        let answered =
            json!({ "type": "permission_response", "request_id": "ask-1", "behavior": "allow" });
        desk.note(&event(answered));
        assert!(!desk.waits() && desk.prompt().is_some());
        assert_eq!(desk.take("y").unwrap().0, "ask-2");
    }

    #[test]
    fn rules_answer_by_themselves() {
        let allowed = desk(Permissions::Allow).note(&asks("ask-1")).unwrap();
        assert_eq!(
            allowed,
            ("ask-1".to_owned(), json!({ "behavior": "allow" }))
        );
        let denied = desk(Permissions::Deny).note(&asks("ask-1")).unwrap();
        assert_eq!(denied.1["behavior"], "deny");
    }

    #[test]
    fn questions_are_asked_and_answered() {
        let mut desk = desk(Permissions::Ask);
        desk.note(&event(
            json!({ "type": "question", "request_id": "ask-1", "input": { "questions": [
            { "question": "Which colour?", "options": [
                { "label": "Red", "description": "as a rose" }, { "label": "Blue\x1b[1m" } ] },
            { "question": "Why?", "options": [] },
        ] } }),
        ));
        insta::assert_snapshot!(desk.prompt().unwrap());
        assert!(desk.take("1, 2").is_none());
        assert!(desk.prompt().unwrap().starts_with("Why?"));
        let (id, answer) = desk.take("3").unwrap();
        assert_eq!(id, "ask-1");
        assert_eq!(
            answer,
            json!({ "answers": { "Which colour?": "Red, Blue\x1b[1m", "Why?": "3" } })
        );
    }

    #[test]
    fn what_was_not_asked_is_not_answered() {
        let asked = questions(&json!({ "questions": [
            { "question": "Which colour?" }, { "question": "Why?" },
        ] }));
        let fits = |asked: &[Question], name: &str| {
            let answers = Map::from_iter([(name.to_owned(), json!("x"))]);
            fit("ask-1", asked, &answers)
        };
        assert!(fits(&asked, "Why?").is_ok());
        let Err(Failure::Usage(told)) = fits(&asked, "foo") else {
            panic!("it fits");
        };
        assert_eq!(
            told,
            "ask-1 does not ask \"foo\"; it asks:\n  Which colour?\n  Why?"
        );
        assert!(fits(&[], "foo").is_err());
    }
}
