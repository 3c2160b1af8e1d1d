//! Identities of Cloudflare Access: tokens that a team's key has signed, and all that look like them.

use std::process::Command;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::routing::get;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use world::{Running, World, fresh_session, test};

pub const AUDIENCE: &str = "the-application-of-this-test";

/// Makes two RSA keys, the team's and somebody else's, and signs with them. Reads the claims from its
/// argument.
const SIGNER: &str = r#"
const crypto = require("node:crypto");
const { issuer, audience } = JSON.parse(process.argv[1]);
const [team, other] = [0, 1].map(() => crypto.generateKeyPairSync("rsa", { modulusLength: 2048 }));
const jwk = { ...team.publicKey.export({ format: "jwk" }), kid: "k1", alg: "RS256", use: "sig" };
const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const now = Math.floor(Date.now() / 1000);
const good = { iss: issuer, aud: [audience], sub: "u1", email: "a@example.com", iat: now, nbf: now, exp: now + 86400 };
const sign = (claims, { alg = "RS256", kid = "k1", key = team.privateKey } = {}) => {
  const signed = `${part({ alg, kid, typ: "JWT" })}.${part({ ...good, ...claims })}`;
  const signature = alg === "none" ? "" : alg === "HS256"
    ? crypto.createHmac("sha256", team.publicKey.export({ format: "pem", type: "spki" })).update(signed).digest("base64url")
    : crypto.sign("sha256", signed, key).toString("base64url");
  return `${signed}.${signature}`;
};
const swapped = sign({}).split(".");
swapped[1] = part({ ...good, sub: "u2" });
console.log(JSON.stringify({
  certs: { keys: [jwk] },
  good: sign({}),
  again: sign({ iat: now - 1 }),
  someone_else: sign({ sub: "u2", email: "b@example.com" }),
  service: sign({ sub: "", common_name: "a-service", email: undefined }),
  bad: {
    "no algorithm": sign({}, { alg: "none" }),
    "a hash with the public key": sign({}, { alg: "HS256" }),
    "another's key": sign({}, { key: other.privateKey }),
    "an unknown key": sign({}, { kid: "k2" }),
    "another application": sign({ aud: ["other"] }),
    "no application": sign({ aud: undefined }),
    "another team": sign({ iss: "https://other.cloudflareaccess.com" }),
    "expired": sign({ exp: now - 1 }),
    "without an end": sign({ exp: undefined }),
    "not yet": sign({ nbf: now + 86400, exp: now + 2 * 86400 }),
    "nobody": sign({ sub: "" }),
    "other claims": swapped.join("."),
    "cut": sign({}).slice(0, -4),
    "no token": "x",
  },
}));
"#;

/// The team of these tests: where its keys are, and what was signed with them.
pub struct Team {
    pub issuer: String,
    tokens: Value,
}

impl Team {
    /// # Errors
    /// Where its keys can't be made or served.
    pub fn get() -> Result<&'static Self> {
        static TEAM: OnceLock<Team> = OnceLock::new();
        if TEAM.get().is_none() {
            let _ = TEAM.set(Self::start()?);
        }
        TEAM.get().context("no team")
    }

    fn start() -> Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let issuer = format!("http://{}", listener.local_addr()?);
        let asked = json!({ "issuer": issuer, "audience": AUDIENCE }).to_string();
        let output = Command::new(node()?)
            .args(["-e", SIGNER, &asked])
            .output()?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let tokens: Value = serde_json::from_slice(&output.stdout)?;
        let certs = tokens["certs"].to_string();
        // For as long as the tests run.
        std::thread::spawn(move || -> Result<()> {
            let keys =
                Router::new().route("/cdn-cgi/access/certs", get(move || async move { certs }));
            tokio::runtime::Runtime::new()?.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                axum::serve(listener, keys).await
            })?;
            Ok(())
        });
        Ok(Self { issuer, tokens })
    }

    fn token(&self, name: &str) -> &str {
        self.tokens[name].as_str().unwrap_or_default()
    }
}

/// The project's own Node. In a thread of its own: this may be called from a runtime.
fn node() -> Result<std::path::PathBuf> {
    let found = std::thread::spawn(|| -> Result<_> {
        let runtime = tokio::runtime::Runtime::new()?;
        Ok(runtime.block_on(xtask::tools::Tools::install())?.node)
    });
    found
        .join()
        .unwrap_or_else(|_| anyhow::bail!("looking for Node failed"))
}

pub fn tests(world: &Arc<Running>) -> Vec<Trial> {
    vec![test(world, "identity::of_cloudflare_access", identities)]
}

async fn identities(world: Arc<World>) -> Result<()> {
    let team = Team::get()?;
    let ask = |path: &str, token: &str| {
        let request = world.http.get(world.url(path));
        request.header("cf-access-jwt-assertion", token)
    };
    for (what, token) in team.tokens["bad"].as_object().context("no tokens")? {
        let answer = ask("/demo/models", token.as_str().unwrap_or_default())
            .send()
            .await?;
        ensure!(answer.status() == 401, "{what}: {}", answer.status());
    }
    for name in ["good", "again", "someone_else", "service"] {
        let answer = ask("/demo/models", team.token(name)).send().await?;
        let status = answer.status();
        ensure!(status == 200, "{name}: {status} {}", answer.text().await?);
    }

    // A session is its owner's, whichever of the person's tokens asks.
    let session = fresh_session("identity");
    let path = format!("/api/sessions/{session}/tickets");
    let begin = world.http.post(world.url(&path));
    let begun = begin
        .header("cf-access-jwt-assertion", team.token("good"))
        .send()
        .await?;
    ensure!(begun.status() == 201, "{}", begun.status());
    let state = format!("/agent/{session}/state");
    for (name, status) in [
        ("good", 200),
        ("again", 200),
        ("someone_else", 403),
        ("service", 403),
    ] {
        let answer = ask(&state, team.token(name)).send().await?;
        ensure!(answer.status() == status, "{name}: {}", answer.status());
    }
    // A page of another site has no use of it, though the browser sends it along.
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let answer = ask(&state, team.token("good"))
            .header(name, value)
            .send()
            .await?;
        ensure!(answer.status() == 403, "{name}: {}", answer.status());
    }
    // Headers that say who somebody is, without a signature, say nothing.
    let spoofed = world.http.get(world.url(&state));
    let spoofed = spoofed
        .header("cf-access-authenticated-user-email", "a@example.com")
        .header("x-user-id", "u1");
    ensure!(spoofed.send().await?.status() == 401);
    Ok(())
}
