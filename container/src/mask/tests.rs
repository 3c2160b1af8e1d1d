use super::*;
use crate::wire::{Kind, Message};
use proptest::prelude::*;
use serde_json::json;

fn masked(secrets: &[&str], text: &str) -> String {
    Mask::new(secrets.iter().copied()).text(text).into_owned()
}

#[test]
fn secrets_are_replaced_wherever_they_are() {
    for (secrets, text, expected) in [
        (
            &["hunter2"][..],
            "a hunter2 b hunter2",
            "a [secret] b [secret]",
        ),
        (&["hunter2"], "hunter2hunter2", "[secret][secret]"),
        (&["hunter2"], "hunter hunter22", "hunter [secret]2"),
        // The longer one, and such as overlap.
        (&["hunter", "hunter2", "unt"], "hunter2", "[secret]"),
        (&["abcab", "cabx"], "-abcabx-", "-[secret]-"),
        (&["aaa"], "aaaaa", "[secret]"),
        (
            &["a\"b\\c"],
            r#"{"k":"a\"b\\c"} a"b\c"#,
            r#"{"k":"[secret]"} [secret]"#,
        ),
        (&["a\"b\\c"], r#"x a\\\"b\\\\c y"#, "x [secret] y"),
        (
            &["pä/ß"],
            r#"pä/ß p\u00e4/\u00df p\u00E4/\u00DF pä\/ß"#,
            "[secret] [secret] [secret] [secret]",
        ),
        (&[""], "nothing", "nothing"),
        (&[], "nothing", "nothing"),
    ] {
        assert_eq!(masked(secrets, text), expected, "{secrets:?}");
    }
}

#[test]
fn lines_stay_json() {
    let mask = Mask::new(["nabc12", "123456789", "he said \"x\"", "x😀y"]);
    for (line, expected) in [
        // It is no part of an escape.
        (r#"{"a":"\nabc12"}"#, r#"{"a":"\nabc12"}"#),
        (
            r#"{"nabc12":["-nabc12\n"]}"#,
            r#"{"[secret]":["-[secret]\n"]}"#,
        ),
        (
            r#"[123456789,1234567890,0.123456789]"#,
            r#"["[secret]",1234567890,0.123456789]"#,
        ),
        (r#"{"a":"he said \u0022\u0078\""}"#, r#"{"a":"[secret]"}"#),
        (
            r#"{"a":"{\"b\":\"he said \\\"x\\\"\"}"}"#,
            r#"{"a":"{\"b\":\"[secret]\"}"}"#,
        ),
        (
            r#"{"a":"\ud83d x\ud83d\ude00y"}"#,
            r#"{"a":"\ud83d x\ud83d\ude00y"}"#,
        ),
        (r#"{"a":"x\ud83d\ude00y"}"#, r#"{"a":"[secret]"}"#),
        (r#"{"a":"\\\ud83d nabc12"}"#, r#"{"a":"\\� [secret]"}"#),
        (r#"{"a":"torn nabc12"#, r#"{"a":"torn nabc12"#),
    ] {
        assert_eq!(mask.json(line), expected, "{line}");
    }
}

#[test]
fn a_secret_with_a_fields_name_hides_no_end() {
    let mask = Mask::new(["result", "is_error", "success"]);
    let line = r#"{"type":"result","subtype":"success","is_error":true,"result":"the result"}"#;
    let mut message = Message::parse(line.as_bytes().to_vec()).unwrap();
    mask.message(&mut message);
    let Kind::Result(result) = message.kind else {
        panic!("it is no result any more");
    };
    assert!(result.is_error);
    assert_eq!(result.result.as_deref(), Some("the [secret]"));
}

#[test]
fn what_is_asked_is_shown_masked_and_allowed_as_it_is() {
    let mask = Mask::new(["hunter2"]);
    let line = json!({"type": "control_request", "request_id": "r", "request": {
        "subtype": "can_use_tool", "tool_name": "Bash", "input": {"command": "login hunter2"},
        "decision_reason": "hunter2?",
        "permission_suggestions": [{"type": "addRules", "behavior": "allow", "rules": [
            {"toolName": "Bash", "ruleContent": "login hunter2"},
            {"toolName": "Bash", "ruleContent": "login *"}]}],
    }});
    let mut message = Message::parse(line.to_string().into_bytes()).unwrap();
    mask.message(&mut message);
    let Kind::ControlRequest(request) = &message.kind else {
        panic!("it is no request any more");
    };
    let mut asks = crate::asks::Asks::default();
    let event = asks.ask(request, "/w", "/w").unwrap();
    let shown = serde_json::to_string(&event).unwrap();
    assert!(
        shown.contains("login [secret]") && !shown.contains("hunter2"),
        "{shown}"
    );
    assert!(shown.contains("Bash(login *)"), "{shown}");
    let allow = protocol::Verdict::Allow {
        updated_input: None,
        answers: None,
        permission_mode: None,
    };
    let answer = asks.answer("r", allow).unwrap();
    let input = &answer["response"]["response"]["updatedInput"];
    assert_eq!(input["command"], "login hunter2");
}

#[test]
fn secrets_are_remembered_and_not_printed() {
    let secrets = Secrets::default();
    assert!(secrets.mask().is_empty());
    secrets.add(&["hunter2".to_owned()]);
    secrets.add(&["hunter3".to_owned(), "hunter2".to_owned()]);
    assert_eq!(secrets.mask().text("hunter2 hunter3"), "[secret] [secret]");
    assert!(!format!("{secrets:?} {:?}", secrets.mask()).contains("hunter"));
    // The newest count.
    let many: Vec<String> = (0..MAX_SECRETS).map(|n| format!("<{n}>")).collect();
    secrets.add(&many);
    assert_eq!(
        secrets.mask().text("hunter2 <0> <999>"),
        "hunter2 [secret] [secret]"
    );
}

#[test]
fn the_cost_grows_with_the_text_alone() {
    // Each would take minutes if anything were looked at again and again.
    let long = "a".repeat(16 * 1024);
    let secrets: Vec<String> = (0..20).map(|n| format!("{long}{n}")).collect();
    let mask = Mask::new(secrets.iter().map(String::as_str));
    let text = "a".repeat(4 * 1024 * 1024);
    assert_eq!(mask.text(&text), text);
    let mut pieces = Pieces::default();
    let mut told = 0;
    for piece in text.as_bytes().chunks(3) {
        told += pieces.bytes(&mask, piece).len();
    }
    assert_eq!(told + pieces.finish().len(), text.len());
    let line = format!("[{}\"\"]", "\"\",".repeat(1024 * 1024));
    assert_eq!(mask.json(&line), line);
}

/// Secrets of few letters are found often.
fn secrets() -> impl Strategy<Value = Vec<String>> {
    let secret = prop_oneof!["[ab]{1,5}", "[abä\"\\\\/\t]{2,6}", "[0-9]{8}"];
    proptest::collection::vec(secret, 0..5)
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof!["[ab]{0,40}", "[abä\"\\\\/\t😀]{0,40}", ".{0,20}"]
}

fn mask_of(secrets: &[String]) -> Mask {
    Mask::new(secrets.iter().map(String::as_str))
}

proptest! {
    #[test]
    fn no_secret_is_left_and_nothing_else_is_changed(
        secrets in secrets(),
        parts in proptest::collection::vec((texts(), any::<proptest::sample::Index>()), 0..4),
    ) {
        let mut text = String::new();
        for (part, which) in &parts {
            text.push_str(part);
            if !secrets.is_empty() {
                let secret: &String = which.get(&secrets);
                text.push_str(secret);
            }
        }
        let mask = mask_of(&secrets);
        let masked = mask.text(&text);
        for piece in masked.split(MASKED) {
            for secret in &secrets {
                prop_assert!(!piece.contains(secret.as_str()), "{masked}");
            }
        }
        // What is between them stands in the text in the same order.
        let mut rest = text.as_str();
        for piece in masked.split(MASKED) {
            let after = rest.split_once(piece).map(|(_, after)| after);
            prop_assert!(after.is_some());
            rest = after.unwrap();
        }
        if !secrets.iter().any(|secret| forms(secret).iter().any(|form| text.contains(form))) {
            prop_assert!(matches!(masked, Cow::Borrowed(_)));
        }
    }

    #[test]
    fn pieces_are_as_good_as_the_whole(
        secrets in secrets(),
        text in texts(),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8),
    ) {
        let mask = mask_of(&secrets);
        let chars: Vec<char> = text.chars().collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(chars.len() + 1)).collect();
        cuts.extend([0, chars.len()]);
        cuts.sort_unstable();
        let mut pieces = Pieces::default();
        let mut told = String::new();
        for cut in cuts.windows(2) {
            let piece: String = chars[cut[0]..cut[1]].iter().collect();
            told.push_str(&pieces.add(&mask, &piece));
            for part in told.split(MASKED) {
                for secret in &secrets {
                    prop_assert!(!part.contains(secret.as_str()));
                }
            }
        }
        told.push_str(&pieces.finish());
        prop_assert_eq!(told, mask.text(&text));
    }

    #[test]
    fn json_stays_json_without_secrets(secrets in secrets(), keys in proptest::collection::vec(texts(), 0..4)) {
        let mask = mask_of(&secrets);
        let value = json!(keys.iter().map(|key| (key.clone(), json!([key, 12345678]))).collect::<serde_json::Map<_, _>>());
        let line = value.to_string();
        let masked = mask.json(&line);
        let read: Value = serde_json::from_str(&masked).unwrap();
        fn check(value: &Value, secrets: &[String]) -> bool {
            let clean = |text: &str| text.split(MASKED).all(|part| secrets.iter().all(|secret| !part.contains(secret.as_str())));
            match value {
                Value::String(text) => clean(text),
                Value::Array(items) => items.iter().all(|item| check(item, secrets)),
                Value::Object(fields) => fields.iter().all(|(name, item)| clean(name) && check(item, secrets)),
                Value::Number(number) => secrets.iter().all(|secret| *secret != number.to_string()),
                _ => true,
            }
        }
        prop_assert!(check(&read, &secrets), "{masked}");
        if let Cow::Borrowed(same) = masked {
            prop_assert_eq!(same, &line);
        }
    }

    #[test]
    fn no_line_makes_it_panic(line in ".{0,60}", secrets in secrets()) {
        let mask = mask_of(&secrets);
        let _any = mask.json(&line);
        let _any = mask.json(&format!("{{\"{line}\\"));
    }
}
