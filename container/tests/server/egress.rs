//! What leaves the sandbox, and who is told of it.

use protocol::EgressDecision::{self, Allowed, Denied};
use protocol::event::EventBody;
use protocol::options::Launch;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::upstream::Reply;
use crate::world::{Turn, World};

/// A host that answers every request with the first line that it has heard, and its `Host`.
async fn host() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut heard = Vec::new();
            while !heard.windows(4).any(|end| end == b"\r\n\r\n") {
                let mut buffer = [0; 1024];
                match stream.read(&mut buffer).await {
                    Ok(1..) => heard.extend_from_slice(&buffer),
                    _ => break,
                }
            }
            let heard = String::from_utf8_lossy(&heard);
            let wanted = |line: &&str| {
                line.starts_with("GET ") || line.to_ascii_lowercase().starts_with("host:")
            };
            let said: Vec<&str> = heard.lines().filter(wanted).collect();
            let said = said.join(" | ");
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{said}",
                said.len()
            );
            let _gone = stream.write_all(answer.as_bytes()).await;
        }
    });
    port
}

fn told(turn: &Turn) -> Vec<(String, EgressDecision)> {
    let told = turn.events().into_iter().filter_map(|event| match event {
        EventBody::Egress { host, decision, .. } => Some((host.clone(), *decision)),
        _ => None,
    });
    told.collect()
}

async fn runs(world: &World, turn: u64, command: &str, egress: &[&str]) -> Turn {
    let script = format!("run{turn}");
    world.script(
        &script,
        vec![
            Reply::Call("Bash", json!({ "command": command })),
            Reply::Say("Done"),
        ],
    );
    let launch = Launch {
        egress: egress.iter().map(|host| (*host).to_owned()).collect(),
        ..Launch::default()
    };
    let words = format!("script:{script}");
    world.launch(turn, &words, launch).await.completed()
}

#[tokio::test]
async fn what_is_named_is_reached_and_nothing_else() {
    let world = World::new().await;
    let port = host().await;
    // By the variables alone, but for the names of this machine, which usually go past the proxy.
    let curl = "curl -sS --max-time 20 --noproxy ''";
    let command = format!(
        "{curl} http://localhost:{port}/plain; echo; {curl} -p http://LOCALHOST:{port}/tunnel; echo; \
         {curl} -H 'Host: other.example' http://localhost:{port}/named; echo"
    );
    let turn = runs(&world, 1, &command, &["localhost"]).await;
    let output = turn.outputs().join("\n");
    let lines: Vec<&str> = output.lines().collect();
    let host = format!("localhost:{port}");
    assert_eq!(
        lines[0].to_ascii_lowercase(),
        format!("get /plain http/1.1 | host: {host}")
    );
    assert!(lines[1].starts_with("GET /tunnel HTTP/1.1"), "{output}");
    assert!(
        lines[2].to_ascii_lowercase().ends_with(&host),
        "the host hears its own name: {output}"
    );
    assert_eq!(told(&turn), [("localhost".to_owned(), Allowed)]);

    // The same without its name; each is told once.
    let command = format!(
        "{curl} http://localhost:{port}/; {curl} http://localhost:{port}/; \
         {curl} https://api.example.org/; {curl} http://127.0.0.1:{port}/; {curl} http://[::1]:{port}/"
    );
    let turn = runs(&world, 2, &command, &["example.org"]).await;
    let output = turn.outputs().join("\n");
    assert!(!output.contains("GET /"), "{output}");
    assert_eq!(
        output
            .matches("This sandbox may not reach localhost.")
            .count(),
        2,
        "{output}"
    );
    assert!(output.contains("403"), "{output}");
    let denied = ["localhost", "api.example.org", "127.0.0.1", "::1"];
    assert_eq!(
        told(&turn),
        denied.map(|host| (host.to_owned(), Denied)),
        "{output}"
    );
}

#[tokio::test]
async fn what_is_no_request_for_a_proxy_is_told_so() {
    let world = World::new().await;
    let command = "proxy=${http_proxy#http://}; curl -sS http://$proxy/; \
        printf 'CONNECT / HTTP/1.1\\r\\n\\r\\n' | curl -sS --max-time 5 telnet://$proxy; \
        printf 'NONSENSE\\r\\n\\r\\n' | curl -sS --max-time 5 telnet://$proxy; echo; echo done";
    let turn = runs(&world, 1, command, &[]).await;
    let output = turn.outputs().join("\n");
    assert!(output.contains("This is a proxy"), "{output}");
    assert_eq!(output.matches("400 Bad Request").count(), 2, "{output}");
    assert!(output.trim_end().ends_with("done"), "{output}");
    assert_eq!(told(&turn), []);
}
