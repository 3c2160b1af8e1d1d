use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use super::*;

fn error<T: DeserializeOwned + fmt::Debug>(yaml: &str) -> String {
    read::<T>(yaml).unwrap_err().to_string()
}

/// What another reader makes of it.
fn other(yaml: &str) -> Option<Value> {
    serde_saphyr::from_str(yaml).ok()
}

/// What this one makes of it.
fn own(yaml: &str) -> Option<Value> {
    read(yaml).ok().map(|document| document.value)
}

#[test]
fn documents_mean_what_they_mean_to_another_reader() {
    for yaml in [
        "a: 1\nb: [x, 'y', \"z\\n\"]\nc:\n  - d: {e: ~}\n  - - 1\n    - -2\n",
        "# nothing\n",
        "---\na: b\n...\n",
        "text: |\n  one\n  two\nfolded: >-\n  one\n  two\n",
        "[yes, No, on, OFF, y, true, 'true', null, ~, 1.5, -.5, 1e-6, 0x1F, 0o17, 1_000, 007]",
        "[18446744073709551615, -9223372036854775808, 99999999999999999999, 1__0, 0x, +5, 1_, -0]",
        "[2026-11-21, 12:30:45, 1.2.3, groq/*, os.environ/KEY, '5', !!str 5, ! 5, !other 5]",
        "base: &b {rpm: 5, tpm: 7}\nx: {<<: *b, rpm: 6}\ny: *b\n",
        "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], z: 3}\n",
        "a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {y: 3, <<: *b}\n",
        "a: {'<<': 1}\n",
        "a: &t text\nb: *t\n*t : c\n",
        "? a\n: b\n? c\n",
        "\u{feff}a: b\n",
        "a: b\r\nc: d\r\n",
        "%YAML 1.2\n---\na: b\n",
        include_str!("../../litellm-router/litellm_config.yaml"),
        include_str!("../../litellm-router/fuzz/seeds/config/full.yaml"),
    ] {
        assert!(own(yaml).is_some(), "{yaml}");
        assert_eq!(own(yaml), other(yaml), "{yaml}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    type Map = BTreeMap<String, Value>;
    insta::assert_snapshot!(error::<Map>("a: 1\nb: [1, 2\nc: 3\n"), @"line 3, column 2: illegal placement of ':' indicator");
    insta::assert_snapshot!(error::<Map>("a: 1\nb: 2\na: 3\n"), @"line 3, column 1: the key a stands here a second time");
    insta::assert_snapshot!(error::<Map>("a: 1\n--- \nb: 2\n"), @"line 2, column 1: a second document begins here");
    insta::assert_snapshot!(error::<Map>("a: &x [1, *x]\n"), @"line 1, column 11: this repeats something that it is a part of");
    insta::assert_snapshot!(error::<Map>("a: *x\n"), @"line 1, column 4: while parsing node, found unknown anchor");
    insta::assert_snapshot!(error::<Map>("? [a, b]\n: c\n"), @"line 1, column 3: a key must be a scalar");
    insta::assert_snapshot!(error::<Map>("a:\n  <<: 5\n"), @"line 2, column 7: only a mapping can be merged, or a list of mappings");
    insta::assert_snapshot!(error::<Map>("a: !!str [b]\n"), @"line 1, column 10: the tag !!str is not for what follows it");
    insta::assert_snapshot!(error::<Map>("- a\n"), @"line 1, column 1: a mapping is expected here, not a list");
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
struct Everything {
    number: Option<u32>,
    share: Option<f64>,
    flag: Option<bool>,
    text: Option<String>,
    list: Vec<Inner>,
    word: Option<Word>,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Inner {
    name: String,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Word {
    One,
    Two,
}

#[test]
fn a_value_of_another_type_is_told_with_its_place_and_texts_are_not_repeated() {
    let told = |yaml: &str| error::<Everything>(yaml);
    insta::assert_snapshot!(told("number: -1"), @"line 1, column 9, number: a whole number from 0 to 4294967295 is expected here, not -1");
    insta::assert_snapshot!(told("number: 5000000000"), @"line 1, column 9, number: a whole number from 0 to 4294967295 is expected here, not 5000000000");
    insta::assert_snapshot!(told("number: 1.5"), @"line 1, column 9, number: a whole number from 0 to 4294967295 is expected here, not 1.5");
    insta::assert_snapshot!(told("text: x\nnumber: secret"), @"line 2, column 9, number: a whole number from 0 to 4294967295 is expected here, not a text");
    insta::assert_snapshot!(told("share: secret"), @"line 1, column 8, share: a number is expected here, not a text");
    insta::assert_snapshot!(told("flag: 'secret'"), @"line 1, column 7, flag: true or false is expected here, not a text");
    insta::assert_snapshot!(told("text: [secret]"), @"line 1, column 7, text: a text is expected here, not a list");
    insta::assert_snapshot!(told("list:\n  - name: a\n  - other: b\n"), @"line 3, column 5, list.1: name is missing");
    for (typed, like) in [
        ("nme", true),
        ("naem", true),
        ("Name", true),
        ("names", true),
        ("other", false),
        ("n", false),
    ] {
        let told = told(&format!("list:\n  - age: 5\n    {typed}: b\n"));
        let says =
            format!("line 3, column 5, list.0: name is missing; {typed} stands here instead");
        assert_eq!(told == says, like, "{told}");
    }
    insta::assert_snapshot!(told("list:\n  - name: ~\n"), @"line 2, column 11, list.0.name: a text is expected here, not nothing");
    insta::assert_snapshot!(told("list: secret\n"), @"line 1, column 7, list: a list is expected here, not a text");
    insta::assert_snapshot!(told("list: [[secret]]\n"), @"line 1, column 8, list.0: a mapping is expected here, not a list");
    insta::assert_snapshot!(told("word: three"), @"line 1, column 7, word: one of one, two is expected here, not three");
    insta::assert_snapshot!(told("word: {one: 1}"), @"line 1, column 7, word: a word is expected here, not a mapping");
}

#[test]
fn keys_that_nobody_asked_for_are_named_in_the_order_of_the_document() {
    let document = read::<Everything>("more: {a: 1}\nlist: [{name: a, age: 5}]\nb: 1\n").unwrap();
    assert_eq!(document.unknown, ["more", "list.0.age", "b"]);
}

#[test]
fn what_would_grow_without_end_is_refused() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let previous = format!("*a{}", level - 1);
        let ten = [previous.as_str(); 10].join(", ");
        laughs.push_str(&format!("a{level}: &a{level} [{ten}]\n"));
    }
    assert!(error::<Value>(&laughs).contains("too large"));

    let long = "x".repeat(1024 * 1024);
    let repeated = format!("a: &a {long}\nb: [{}]\n", ["*a"; 20].join(", "));
    assert!(error::<Value>(&repeated).contains("too large"));

    let merged = format!(
        "a: &a {{k: {long}}}\nb: [{}]\n",
        ["{<<: *a}"; 20].join(", ")
    );
    assert!(error::<Value>(&merged).contains("too large"));

    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    assert!(error::<Value>(&deep).contains("too deep"));
    let fits = format!("{}{}", "[".repeat(64), "]".repeat(64));
    assert!(read::<Value>(&fits).is_ok());
    let half = format!("{}x{}", "[".repeat(40), "]".repeat(40));
    let on_top = format!("a: &a {half}\nb: {}*a{}\n", "[".repeat(40), "]".repeat(40));
    assert!(error::<Value>(&on_top).contains("too deep"));
}

/// A value as it may stand in a configuration.
fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e9..1e9).prop_map(Value::from),
        "[ -~]{0,12}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    scalar.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-z_~<0-9 ]{1,8}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn json_is_yaml(value in value()) {
        let json = serde_json::to_string_pretty(&value).unwrap();
        prop_assert_eq!(own(&json), Some(value));
    }

    #[test]
    fn scalars_are_what_they_are_to_another_reader(
        text in r"[-+]?(0[xob]?)?[0-9a-f_]{0,6}(\.[0-9]{0,3})?(e[-+]?[0-9]{1,2})?|[+-]?\.?(inf|nan|NaN|Inf)|yes|No|ON|null|~"
    ) {
        let yaml = format!("[{text}]");
        let finite = serde_saphyr::from_str::<Vec<f64>>(&yaml)
            .map_or(true, |numbers| numbers.iter().all(|number| number.is_finite()));
        if finite {
            prop_assert_eq!(own(&yaml), other(&yaml), "{}", yaml);
            agree::<Option<f64>>(&yaml);
        }
        fn agree<T: DeserializeOwned + PartialEq + fmt::Debug>(yaml: &str) {
            let own = read::<Vec<T>>(yaml).ok().map(|document| document.value);
            assert_eq!(own, serde_saphyr::from_str(yaml).ok(), "{yaml}");
        }
        // The other one takes no -0 for a number without a sign.
        if !text.starts_with('-') {
            agree::<u32>(&yaml);
        }
        agree::<i64>(&yaml);
        agree::<bool>(&yaml);
        agree::<String>(&yaml);
    }

    #[test]
    fn any_text_is_read_as_by_another_reader_or_refused(
        lines in prop::collection::vec(r"( {0,4}|- )(- )?([a-c]: ?|<<: )?(&x |\*x|[a-c]|\[|\]|\{a: |\}|'|#|\||[0-9]|!!str |~){0,4}", 0..6)
    ) {
        let yaml = lines.join("\n");
        if let Some(own) = own(&yaml) {
            prop_assert_eq!(Some(own), other(&yaml), "{}", yaml);
        }
    }
}
