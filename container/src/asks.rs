//! What Claude Code asks of a person (`can_use_tool`): its requests as events, and people's answers as
//! its control responses. Pure.

use std::collections::HashMap;

use protocol::Verdict;
use protocol::event::{Asked, EventBody};
use protocol::permission::is_rule;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::translate::tools;
use crate::wire::{ControlRequest, Suggestion};

/// Requests that may be open at once. Claude Code has as many as calls of tools run beside each other.
const MAX_OPEN: usize = 16;

/// The tool whose call is a question.
const QUESTION: &str = "AskUserQuestion";

/// The requests of the turn that nobody has answered.
#[derive(Debug, Default)]
pub struct Asks {
    /// Each with the input as it came: what people are shown of a long one is cut.
    open: HashMap<String, Box<RawValue>>,
}

impl Asks {
    /// The event of a request. `folder` is where the agent works.
    ///
    /// # Errors
    /// The line that refuses it, where too many are open or it can't be understood.
    pub fn ask(
        &mut self,
        request: &ControlRequest,
        folder: &str,
        workspace: &str,
    ) -> Result<EventBody, Value> {
        let (id, asked) = (&request.request_id, &request.request);
        let refuse = |words: &str| response(id, json!({ "behavior": "deny", "message": words }));
        let Some(raw) = &asked.input else {
            return Err(refuse("The request has no input."));
        };
        if self.open.len() >= MAX_OPEN {
            return Err(refuse(
                "Too many requests wait for an answer already. Try again when one has been answered.",
            ));
        }
        let given = asked.given.as_ref().unwrap_or(raw);
        self.open.insert(id.clone(), given.clone());
        let input = tools::input(Some(raw));
        let told = Asked {
            tool_use_id: asked.tool_use_id.clone(),
            reason: asked.decision_reason.clone(),
            expires_at: 0,
        };
        if asked.tool_name == QUESTION {
            return Ok(EventBody::Question {
                content: question(&input),
                request_id: id.clone(),
                input,
                asked: told,
            });
        }
        Ok(EventBody::PermissionRequest {
            content: tools::summary(&asked.tool_name, &input, workspace),
            request_id: id.clone(),
            tool: asked.tool_name.clone(),
            input,
            rules: rules(asked.permission_suggestions.as_deref(), folder),
            asked: told,
        })
    }

    /// The line that answers a request; none where it is not open.
    pub fn answer(&mut self, id: &str, verdict: Verdict) -> Option<Value> {
        let asked = self.open.remove(id)?;
        let answer = match verdict {
            Verdict::Deny { message } => json!({ "behavior": "deny", "message": message }),
            Verdict::Allow {
                updated_input,
                answers,
                permission_mode,
            } => {
                let mut input = match updated_input {
                    Some(input) => input,
                    None => serde_json::from_str(asked.get()).unwrap_or_else(|_| json!({})),
                };
                if let (Some(answers), Some(members)) = (answers, input.as_object_mut()) {
                    members.insert("answers".to_owned(), json!(answers));
                }
                let mut allow = json!({ "behavior": "allow", "updatedInput": input });
                if let (Some(mode), Some(members)) = (permission_mode, allow.as_object_mut()) {
                    let set =
                        json!([{ "type": "setMode", "mode": mode, "destination": "session" }]);
                    members.insert("updatedPermissions".to_owned(), set);
                }
                allow
            }
        };
        Some(response(id, answer))
    }

    /// Claude Code does not ask this any more. The request's name, where it was open.
    pub fn withdraw(&mut self, id: &str) -> Option<String> {
        self.open.remove_entry(id).map(|(id, _)| id)
    }

    /// Forgets what belongs to the turn before.
    pub fn clear(&mut self) {
        self.open.clear();
    }
}

/// The line that answers one of Claude Code's control requests.
pub fn response(id: &str, response: Value) -> Value {
    json!({
        "type": "control_response",
        "response": { "subtype": "success", "request_id": id, "response": response },
    })
}

/// What would not be asked again: the rules that Claude Code suggests. Where it suggests to accept all
/// edits, or another folder for them, that is the rule which allows them there.
fn rules(suggestions: Option<&[Suggestion]>, folder: &str) -> Vec<String> {
    let suggestions = suggestions.unwrap_or_default();
    let added = suggestions
        .iter()
        .filter(|suggestion| suggestion.kind == "addRules" && suggestion.behavior == "allow")
        .flat_map(|suggestion| &suggestion.rules)
        .map(|rule| match &rule.content {
            Some(content) => format!("{}({content})", rule.tool_name),
            None => rule.tool_name.clone(),
        });
    let mut rules: Vec<String> = added.collect();
    let edits =
        |one: &Suggestion| one.kind == "setMode" && one.mode.as_deref() == Some("acceptEdits");
    if rules.is_empty() && suggestions.iter().any(edits) {
        let others: Vec<&str> = suggestions
            .iter()
            .flat_map(|suggestion| &suggestion.directories)
            .map(String::as_str)
            .collect();
        let folders = if others.is_empty() {
            vec![folder]
        } else {
            others
        };
        // A path from the root begins with two slashes there.
        rules.extend(folders.iter().map(|folder| format!("Edit(/{folder}/**)")));
    }
    rules.retain(|rule| is_rule(rule));
    rules
}

/// The first of the questions.
fn question(input: &Value) -> String {
    let first = input
        .pointer("/questions/0/question")
        .and_then(Value::as_str);
    let more = input
        .get("questions")
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    match (first, more) {
        (Some(question), 2..) => format!("{question} (and {} more)", more - 1),
        (Some(question), _) => question.to_owned(),
        (None, _) => "The agent asks something".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Kind, Message};

    fn request(id: &str, asked: Value) -> ControlRequest {
        let mut asked = asked;
        asked["subtype"] = "can_use_tool".into();
        let line = json!({"type": "control_request", "request_id": id, "request": asked});
        match Message::parse(line.to_string().into_bytes()).unwrap().kind {
            Kind::ControlRequest(request) => *request,
            other => panic!("{other:?}"),
        }
    }

    fn rules_of(suggestions: Value) -> Vec<String> {
        let asked = json!({"tool_name": "T", "input": {}, "permission_suggestions": suggestions});
        match Asks::default().ask(&request("r", asked), "/workspace", "/workspace") {
            Ok(EventBody::PermissionRequest { rules, .. }) => rules,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn suggestions_become_rules() {
        let allow = |rules: Value| json!({"type": "addRules", "behavior": "allow", "rules": rules});
        let edits = json!({"type": "setMode", "mode": "acceptEdits", "destination": "session"});
        let folder = json!({"type": "addDirectories", "directories": ["/etc"]});
        for (suggestions, rules) in [
            (json!([]), vec![]),
            (json!("none"), vec![]),
            (
                json!([
                    allow(
                        json!([{"toolName": "Bash", "ruleContent": "npm test *"}, {"toolName": "WebSearch"}])
                    ),
                    edits
                ]),
                vec!["Bash(npm test *)", "WebSearch"],
            ),
            (json!([edits]), vec!["Edit(//workspace/**)"]),
            (json!([edits, folder]), vec!["Edit(//etc/**)"]),
            (
                json!([{"type": "setMode", "mode": "bypassPermissions"}]),
                vec![],
            ),
            (
                json!([{"type": "addRules", "behavior": "deny", "rules": [{"toolName": "Bash"}]}]),
                vec![],
            ),
        ] {
            assert_eq!(rules_of(suggestions.clone()), rules, "{suggestions}");
        }
    }

    #[test]
    fn an_answer_goes_out_once_and_with_the_whole_input() {
        let mut asks = Asks::default();
        let long = "x".repeat(tools::MAX_INPUT);
        let asked = json!({"tool_name": "Write", "input": {"content": long, "file_path": "a"}});
        let event = asks.ask(&request("r", asked), "/w", "/w").unwrap();
        assert!(serde_json::to_string(&event).unwrap().len() < 10_000);
        let allow = || Verdict::Allow {
            updated_input: None,
            answers: None,
            permission_mode: None,
        };
        let line = asks.answer("r", allow()).unwrap();
        assert_eq!(
            line["response"]["response"]["updatedInput"]["content"],
            long
        );
        assert_eq!(asks.answer("r", allow()), None);
    }

    #[test]
    fn no_more_than_a_few_are_open() {
        let mut asks = Asks::default();
        let asked = || json!({"tool_name": "Bash", "input": {}});
        for id in 0..MAX_OPEN {
            assert!(
                asks.ask(&request(&id.to_string(), asked()), "/w", "/w")
                    .is_ok()
            );
        }
        let refused = asks.ask(&request("more", asked()), "/w", "/w").unwrap_err();
        assert_eq!(refused["response"]["response"]["behavior"], "deny");
        assert_eq!(asks.withdraw("0").as_deref(), Some("0"));
        assert_eq!(asks.withdraw("0"), None);
        assert!(asks.ask(&request("more", asked()), "/w", "/w").is_ok());
    }
}
