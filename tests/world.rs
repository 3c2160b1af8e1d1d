//! What the end-to-end tests share: a running stack, the clients that speak to it, and the one part
//! that is scripted, the language model behind the router.

pub mod provider;
mod running;
mod tab;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use xtask::stack::{Provider, Stack, StackOptions};

pub use running::{Running, lone_test, test, with_config, with_limits};
pub use tab::{Reader, Tab, lines};

/// How long a test waits for anything before it says what it has seen instead.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running stack and the scripted provider behind its router.
pub struct World {
    pub stack: Stack,
    pub provider: provider::ScriptedProvider,
    data: TempDir,
    pub http: reqwest::Client,
}

impl World {
    /// Starts everything, with sandboxes as local processes or in containers.
    ///
    /// # Errors
    /// What did not start.
    pub async fn start(sandboxes: Provider) -> Result<Self> {
        Self::start_with(sandboxes, Vec::new()).await
    }

    /// The same, with these variables of the router besides.
    ///
    /// # Errors
    /// What did not start.
    pub async fn start_with(
        sandboxes: Provider,
        router_vars: Vec<(String, String)>,
    ) -> Result<Self> {
        Self::start_as(sandboxes, |options| {
            options.router_vars.extend(router_vars);
            Ok(())
        })
        .await
    }

    /// The same, with these variables of the session Worker besides.
    ///
    /// # Errors
    /// What did not start.
    pub async fn start_with_worker(sandboxes: Provider, vars: &[(&str, &str)]) -> Result<Self> {
        let vars = vars
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self::start_with_both(sandboxes, Vec::new(), vars.collect()).await
    }

    /// The same, with these variables of both Workers.
    ///
    /// # Errors
    /// What did not start.
    pub async fn start_with_both(
        sandboxes: Provider,
        router_vars: Vec<(String, String)>,
        worker_vars: Vec<(String, String)>,
    ) -> Result<Self> {
        Self::start_as(sandboxes, |options| {
            options.router_vars.extend(router_vars);
            options.worker_vars.extend(worker_vars);
            Ok(())
        })
        .await
    }

    /// The same, with whatever else the stack's options offer.
    ///
    /// # Errors
    /// What did not start.
    pub async fn start_as(
        sandboxes: Provider,
        change: impl FnOnce(&mut StackOptions) -> Result<()>,
    ) -> Result<Self> {
        let provider = provider::ScriptedProvider::start().await?;
        let data = TempDir::new()?;
        let mut options = Self::options(&data, &provider, sandboxes);
        change(&mut options)?;
        let stack = Stack::start(options).await?;
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(PATIENCE * 2)
            .build()?;
        Ok(Self {
            stack,
            provider,
            data,
            http,
        })
    }

    fn options(
        data: &TempDir,
        provider: &provider::ScriptedProvider,
        sandboxes: Provider,
    ) -> StackOptions {
        StackOptions {
            provider: Some(sandboxes),
            router_vars: vec![("LITELLM_CONFIG".to_owned(), provider.litellm_config())],
            quiet: std::env::var_os("E2E_LOGS").is_none(),
            ..StackOptions::new(data.path().to_owned())
        }
    }

    /// Kills both Workers as a crash would, and starts them again on the same data and ports.
    ///
    /// # Errors
    /// What did not start again.
    pub async fn crash_and_restart_workers(&mut self) -> Result<()> {
        self.stack.kill("worker").await;
        self.stack.kill("router").await;
        self.stack.start_workers().await
    }

    /// Kills a session's sandbox as a machine that fails would, and takes its disk away, where sandboxes
    /// are processes.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn lose_sandbox(&self, session: &str) -> Result<()> {
        self.kill_in_sandbox(session, "agent-server")?;
        let workspace = self.workspace(session);
        let folder = workspace.parent().context("a sandbox has a folder")?;
        // At once: another sandbox of the name may be there the next moment, and what is left of this
        // one's processes may still write.
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let lost = format!("lost-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        std::fs::rename(folder, self.data.path().join(lost))?;
        Ok(())
    }

    /// Kills (-9) the process of this name in a session's sandbox, where sandboxes are processes.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn kill_in_sandbox(&self, session: &str, name: &str) -> Result<()> {
        let processes = self.processes_in_sandbox(session, name)?;
        ensure!(!processes.is_empty(), "there is no {name} of {session}");
        for pid in processes {
            std::process::Command::new("kill")
                .args(["-9", &pid])
                .status()?;
        }
        Ok(())
    }

    /// The ids of the processes of this name in a session's sandbox.
    ///
    /// # Errors
    /// Where the machine does not say.
    pub fn processes_in_sandbox(&self, session: &str, name: &str) -> Result<Vec<String>> {
        let home = self.workspace(session).with_file_name("home");
        let home = home.to_string_lossy();
        let mut found = Vec::new();
        for process in std::fs::read_dir("/proc")?.flatten() {
            let read = |file: &str| {
                let bytes = std::fs::read(process.path().join(file)).unwrap_or_default();
                String::from_utf8_lossy(&bytes).into_owned()
            };
            let command = read("cmdline");
            let of_session = command.contains(&*home) || read("environ").contains(&*home);
            let program = command.split('\0').next().unwrap_or_default();
            if of_session && (program.ends_with(name) || read("comm").trim() == name) {
                found.push(process.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(found)
    }

    /// The folder in which a session's sandbox keeps its workspace, where sandboxes are processes.
    pub fn workspace(&self, session: &str) -> std::path::PathBuf {
        let name = format!("claude-session-{session}");
        self.data
            .path()
            .join("sandboxes")
            .join(name)
            .join("workspace")
    }

    /// Where everything is kept that outlives the stack.
    pub fn data(&self) -> &std::path::Path {
        self.data.path()
    }

    /// The archives of all sessions' saves, as the bucket holds them.
    ///
    /// # Errors
    /// Where they can't be listed.
    pub fn archives(&self) -> Result<Vec<std::path::PathBuf>> {
        let folder = self
            .data
            .path()
            .join("workers/v3/r2/agent-router-saves/blobs");
        let mut all = Vec::new();
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            all.push(entry?.path());
        }
        Ok(all)
    }

    /// The files of the Workers' storage and of local sandboxes that hold this text.
    ///
    /// # Errors
    /// Where they can't be listed.
    pub fn find_stored(&self, text: &str) -> Result<Vec<std::path::PathBuf>> {
        let mut folders = vec![self.data.path().to_owned()];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder)? {
                let (path, kind) =
                    entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
                if kind.is_dir() {
                    folders.push(path);
                } else if kind.is_file() {
                    let bytes = std::fs::read(&path).unwrap_or_default();
                    let holds = bytes
                        .windows(text.len())
                        .any(|part| part == text.as_bytes());
                    found.extend(holds.then_some(path));
                }
            }
        }
        Ok(found)
    }

    /// Carries out an SQL statement in the database of a session's object, behind its back: what a
    /// failing disk does can be had in no other way.
    ///
    /// # Errors
    /// Where it is not found, or the statement fails.
    pub async fn sql(&self, session: &str, statement: &str) -> Result<()> {
        self.sql_where("ClaudeCodeAgent", "session", session, statement)
            .await
    }

    /// The same in the database of the account that has this webhook.
    ///
    /// # Errors
    /// Where it is not found, or the statement fails.
    pub async fn account_sql(&self, webhook: &str, statement: &str) -> Result<()> {
        self.sql_where("Account", "webhook", webhook, statement)
            .await
    }

    /// The same in the database of the object of this class whose table has a row of this id.
    async fn sql_where(&self, class: &str, table: &str, id: &str, statement: &str) -> Result<()> {
        const SCRIPT: &str = r#"
            const { DatabaseSync } = require("node:sqlite");
            const { readdirSync } = require("node:fs");
            const [folder, table, id, statement] = process.argv.slice(1);
            for (const name of readdirSync(folder).filter((name) => /^[0-9a-f]{64}\.sqlite$/.test(name))) {
              const database = new DatabaseSync(`${folder}/${name}`, { timeout: 5000 });
              const tables = database.prepare("SELECT 1 FROM sqlite_master WHERE name = ?");
              if (tables.get(table) && database.prepare(`SELECT 1 FROM ${table} WHERE id = ?`).get(id)) {
                database.exec(statement);
                process.exit(0);
              }
              database.close();
            }
            console.error(`no database of ${id} in ${folder}`);
            process.exit(1);
        "#;
        let folder = self
            .data
            .path()
            .join(format!("workers/v3/do/agent-router-{class}"));
        let tools = xtask::tools::Tools::install().await?;
        let output = tokio::process::Command::new(&tools.node)
            .args(["--experimental-sqlite", "--no-warnings", "-e", SCRIPT, "--"])
            .arg(folder)
            .args([table, id, statement])
            .output()
            .await?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// Writes events into the log of a session that has none, behind its back, as a long history would
    /// be there: `rows` rows of `a_row` events each, with `bytes` of text. Its object reads it when
    /// it is started next.
    ///
    /// # Errors
    /// Where the session is not found, or the statement fails.
    pub async fn plant(&self, session: &str, rows: u64, a_row: u64, bytes: u64) -> Result<()> {
        let statement = format!(
            "WITH RECURSIVE
               at(row) AS (SELECT 0 UNION ALL SELECT row + 1 FROM at WHERE row < {rows} - 1),
               place(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM place WHERE k < {a_row})
             INSERT INTO log SELECT row * {a_row} + 1, (row + 1) * {a_row}, 0, 1, (
               SELECT group_concat(json_object('seq', row * {a_row} + k, 'session_id', '{session}',
                 'turn_id', 'turn-' || (row + 1), 'timestamp', 1, 'type', 'thinking',
                 'content', printf('%.*c', {bytes}, 'x'), 'block', 'b' || k), char(10))
               FROM place) FROM at"
        );
        self.sql(session, &statement).await
    }

    /// Writes a turn of so many calls of a tool into the log of a session that has none, as [`Self::plant`]
    /// does: a message, for each call what was run and what came of it, and the turn's end.
    ///
    /// # Errors
    /// Where the session is not found, or the statement fails.
    pub async fn plant_calls(&self, session: &str, calls: u64) -> Result<()> {
        const IN_A_ROW: u64 = 100;
        let event = |seq: &str, more: &str| {
            format!(
                "json_object('seq', {seq}, 'session_id', '{session}', 'turn_id', 'turn-1', 'timestamp', 1, {more})"
            )
        };
        let message = event(
            "1",
            "'type', 'user_message', 'content', 'run very much', 'id', 'm1'",
        );
        let last = 2 * calls + 2;
        let end = event(
            &last.to_string(),
            "'type', 'status', 'state', 'ended', 'outcome', 'completed', 'content', 'Ended'",
        );
        let call = format!("(row * {IN_A_ROW} + k)");
        let used = event(
            &format!("2 * {call}"),
            &format!(
                "'type', 'tool_use', 'tool', 'Bash', 'tool_use_id', 'c' || {call}, 'content', 'echo ' || {call}, \
                 'input', json_object('command', 'echo ' || {call})"
            ),
        );
        let came = event(
            &format!("2 * {call} + 1"),
            &format!(
                "'type', 'tool_result', 'tool_use_id', 'c' || {call}, 'is_error', json('false'), \
                 'content', 'line ' || {call}"
            ),
        );
        let rows = calls / IN_A_ROW;
        let statement = format!(
            "INSERT INTO log VALUES (1, 1, 0, 1, {message});
             WITH RECURSIVE
               at(row) AS (SELECT 0 UNION ALL SELECT row + 1 FROM at WHERE row < {rows} - 1),
               place(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM place WHERE k < {IN_A_ROW})
             INSERT INTO log SELECT 2 * row * {IN_A_ROW} + 2, 2 * (row + 1) * {IN_A_ROW} + 1, 0, 1, (
               SELECT group_concat({used} || char(10) || {came}, char(10)) FROM place) FROM at;
             INSERT INTO log VALUES ({last}, {last}, 0, 1, {end})"
        );
        self.sql(session, &statement).await
    }

    /// Bytes of memory that the session Worker's processes have; none where the machine does not say.
    pub fn worker_memory(&self) -> Option<u64> {
        let group = self.stack.part("worker")?.id();
        let mut bytes = 0;
        for process in std::fs::read_dir("/proc").ok()?.flatten() {
            let file = |name: &str| std::fs::read_to_string(process.path().join(name));
            let (Ok(stat), Ok(memory)) = (file("stat"), file("statm")) else {
                continue;
            };
            // After the name, which may hold anything: state, parent, group.
            let Some((name, rest)) = stat.rsplit_once(')') else {
                continue;
            };
            let of_group = rest.split_whitespace().nth(2) == Some(group.to_string().as_str());
            if of_group && name.ends_with("(workerd") {
                let pages = memory
                    .split_whitespace()
                    .nth(1)
                    .and_then(|n| n.parse().ok());
                bytes += pages.unwrap_or(0_u64) * 4096;
            }
        }
        (bytes > 0).then_some(bytes)
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.stack.url)
    }

    /// # Errors
    /// Where nothing answers.
    pub async fn post(&self, path: &str, body: &Value) -> Result<reqwest::Response> {
        Ok(self.http.post(self.url(path)).json(body).send().await?)
    }

    /// Opens a WebSocket to a session, as a browser's tab does.
    ///
    /// # Errors
    /// Where it is refused.
    pub async fn tab(&self, session: &str, from: Option<u64>) -> Result<Tab> {
        let query = from.map(|from| format!("?from={from}")).unwrap_or_default();
        self.tab_with(session, &query).await
    }

    /// Opens a WebSocket to a session with this query.
    ///
    /// # Errors
    /// Where it is refused.
    pub async fn tab_with(&self, session: &str, query: &str) -> Result<Tab> {
        let connection = TcpStream::connect(self.address()?).await?;
        Self::open_tab(self.socket_url(session, query), connection).await
    }

    /// Opens a WebSocket for which this machine keeps next to nothing that is not read: its buffers
    /// grow to tens of megabytes otherwise, and who reads nothing seems to read for long.
    ///
    /// # Errors
    /// Where it is refused.
    pub async fn narrow_tab(&self, session: &str, from: Option<u64>) -> Result<Tab> {
        let query = from.map(|from| format!("?from={from}")).unwrap_or_default();
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(64 * 1024)?;
        let connection = socket.connect(self.address()?).await?;
        Self::open_tab(self.socket_url(session, &query), connection).await
    }

    /// Opens a WebSocket with these headers, as any client may.
    ///
    /// # Errors
    /// Where it is refused.
    pub async fn tab_as(
        &self,
        session: &str,
        query: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Tab> {
        let mut request = self.socket_url(session, query).into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse()?);
        }
        let connection = TcpStream::connect(self.address()?).await?;
        Self::open_tab(request, connection).await
    }

    fn socket_url(&self, session: &str, query: &str) -> String {
        let address = self.stack.url.replacen("http", "ws", 1);
        format!("{address}/demo/ws/{session}{query}")
    }

    fn address(&self) -> Result<std::net::SocketAddr> {
        let address = self.stack.url.strip_prefix("http://");
        Ok(address.context("no http")?.parse()?)
    }

    async fn open_tab(
        request: impl IntoClientRequest + Unpin,
        connection: TcpStream,
    ) -> Result<Tab> {
        let connection = MaybeTlsStream::Plain(connection);
        let (socket, answer) = tokio_tungstenite::client_async(request, connection).await?;
        ensure!(
            answer.headers().contains_key("x-request-id"),
            "every answer has one"
        );
        Ok(Tab::of(socket))
    }
}

/// The processes that work on a stack's data, each as its id and its command.
pub fn processes_of(data: &std::path::Path) -> Vec<String> {
    let data = data.to_string_lossy();
    let mut found = Vec::new();
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let read = |file: &str| {
            let bytes = std::fs::read(process.path().join(file)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        };
        let command = read("cmdline");
        if command.contains(&*data) || read("environ").contains(&*data) {
            found.push(format!("{} {command}", process.file_name().display()));
        }
    }
    found
}

/// A name for a session that no other test has.
pub fn fresh_session(test: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{test}-{}-{count}", std::process::id())
}
