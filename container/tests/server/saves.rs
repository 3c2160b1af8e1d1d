//! The disk, saved and brought back, over HTTP.

use protocol::sandbox::{SAVE_AFTER, SAVE_SHA256};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::world::{World, turn_request};

const AWAITING: &[(&str, &str)] = &[("AGENT_AWAIT_RESTORE", "true")];

impl World {
    async fn save(&self, save: u64, after: Option<u64>) -> reqwest::Response {
        let request = json!({ "save": save, "after": after, "max_bytes": 100_000_000 });
        self.post("/save", &request).await
    }

    async fn restore(&self, archive: Vec<u8>, last: bool) -> StatusCode {
        let url = format!("{}/restore?last={last}", self.url);
        let response = self.http.post(url).body(archive).send().await;
        response.unwrap().status()
    }

    async fn disk(&self) -> String {
        let health: Value = self.get("/").await.json().await.unwrap();
        health["disk"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn files_and_conversation_come_back_on_a_new_disk() {
    let world = World::new().await;
    assert_eq!(world.disk().await, "ready");
    std::fs::write(world.workspace().join("notes"), "first").unwrap();
    world.turn(1, "my name is Ada").await.completed();
    let saved = world.save(1, None).await;
    assert_eq!(saved.status(), StatusCode::OK);
    assert!(saved.headers().get(SAVE_AFTER).is_none());
    let told = saved.headers()[SAVE_SHA256].to_str().unwrap().to_owned();
    let length = saved.headers()["content-length"]
        .to_str()
        .unwrap()
        .to_owned();
    let first = saved.bytes().await.unwrap();
    assert_eq!(length, first.len().to_string());
    let digits: String = Sha256::digest(&first)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(told, digits);

    world.turn(2, "and I like ships").await.completed();
    std::fs::write(world.workspace().join("notes"), "second").unwrap();
    let second = world.save(2, Some(1)).await;
    assert_eq!(second.headers()[SAVE_AFTER], "1");
    let second = second.bytes().await.unwrap();
    assert!(second.len() < first.len() / 2, "only what is new");
    assert_eq!(
        world.save(3, Some(2)).await.status(),
        StatusCode::NO_CONTENT
    );
    drop(world);

    let world = World::with(AWAITING).await;
    assert_eq!(world.disk().await, "awaiting");
    let early = world
        .post("/turns", &turn_request(3, json!({"prompt": "hi"})))
        .await;
    assert_eq!(early.status(), StatusCode::CONFLICT);
    let early = world.post("/", &json!({"prompt": "hi"})).await;
    assert_eq!(early.status(), StatusCode::CONFLICT);
    assert_eq!(
        world.debug().await["claude"]["pid"],
        Value::Null,
        "nothing runs before"
    );
    assert_eq!(
        world.restore(first[..first.len() - 9].to_vec(), true).await,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        world.restore(first.to_vec(), false).await,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        world.restore(second.to_vec(), true).await,
        StatusCode::NO_CONTENT
    );
    assert_eq!(world.disk().await, "ready");
    assert_eq!(
        world.restore(first.to_vec(), true).await,
        StatusCode::CONFLICT
    );
    world.turn(3, "who am I?").await.completed();
    let conversation = world.upstream.last_conversation();
    assert!(conversation.contains("my name is Ada") && conversation.contains("and I like ships"));
    assert_eq!(
        std::fs::read(world.workspace().join("notes")).unwrap(),
        b"second"
    );
}

#[tokio::test]
async fn where_there_is_nothing_to_restore_it_begins() {
    let world = World::with(AWAITING).await;
    assert_eq!(
        world.restore(Vec::new(), true).await,
        StatusCode::NO_CONTENT
    );
    assert_eq!(world.disk().await, "ready");
    world.turn(1, "hello").await.completed();
}

#[tokio::test]
async fn a_transcript_is_told_as_it_grows_and_completes_a_lost_one() {
    let world = World::new().await;
    let turn = world.turn(1, "my name is Ada").await.completed();
    let parts: Vec<_> = turn
        .records
        .iter()
        .filter_map(|record| record.transcript.clone())
        .collect();
    let conversation = parts
        .first()
        .expect("the transcript is told")
        .conversation
        .clone();
    assert!(parts.iter().all(|part| part.conversation == conversation));
    let lines: Vec<&str> = parts.iter().map(|part| part.lines.as_str()).collect();
    let transcript = json!({ "conversation": conversation, "lines": lines.join("\n") });
    drop(world);

    let world = World::new().await;
    let mut request = turn_request(2, json!({"prompt": "who am I?"}));
    request["transcript"] = transcript.clone();
    let begun = world.post("/turns", &request).await;
    crate::world::Records::of(begun).rest().await.completed();
    let told = world.upstream.last_conversation();
    assert!(
        told.contains("my name is Ada") && told.contains("who am I?"),
        "{told}"
    );
    // What a transcript has is not added again.
    let mut request = turn_request(3, json!({"prompt": "again"}));
    request["transcript"] = transcript;
    let begun = world.post("/turns", &request).await;
    crate::world::Records::of(begun).rest().await.completed();
    assert_eq!(
        world
            .upstream
            .last_conversation()
            .matches("my name is Ada")
            .count(),
        1
    );
}
