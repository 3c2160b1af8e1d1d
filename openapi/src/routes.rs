//! What each route does, takes and answers.

use agent_router::routes::table::Kind;
use protocol::ProblemKind as P;
use protocol::diff::Diff;
use protocol::files::{Change, Changed, Listing, Uploaded, Written};
use protocol::repository as r;
use schemars::SchemaGenerator;
use serde_json::{Value, json};

use crate::answers as a;
use crate::operation::{JSON, NDJSON, Operation, SSE};

const SESSIONS: &str = "sessions";
const AGENTS: &str = "agents";
const FILES: &str = "files";
const TERMINALS: &str = "terminals";
const CONFIGS: &str = "configurations";
const ACCOUNTS: &str = "accounts";
const MESSAGES: &str = "messages";
const AUTOMATION: &str = "automation";
const PAGES: &str = "pages";

/// The groups of routes, in the order in which they are told.
pub const TAGS: [(&str, &str); 9] = [
    (AGENTS, "Launch agents, talk to them, watch and stop them."),
    (
        CONFIGS,
        "What agents are: those that come with the deployment, and one's own.",
    ),
    (
        MESSAGES,
        "Messages through a session, and to Claude Code alone.",
    ),
    (
        SESSIONS,
        "A session's log, its share links, what its agent asks.",
    ),
    (FILES, "The files in a session's sandbox."),
    (
        TERMINALS,
        "Shells in a session's sandbox that people type in.",
    ),
    (
        ACCOUNTS,
        "Keys, signing in, what was done, and what was used.",
    ),
    (
        AUTOMATION,
        "Webhooks, schedules, and tools with which agents work with others.",
    ),
    (PAGES, "The page, its files, and the health of all of it."),
];

/// What can be wrong with a request on a repository.
const REPOSITORY: &[P] = &[
    P::BadRequest,
    P::Conflict,
    P::TooLarge,
    P::TooManyRequests,
    P::SandboxFailed,
    P::NoCapacity,
    P::TimedOut,
];

fn flag() -> Value {
    json!({ "type": "boolean" })
}

fn number(least: u64, most: u64) -> Value {
    json!({ "type": "integer", "minimum": least, "maximum": most })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn point() -> Value {
    json!({ "type": "string", "pattern": "^(begin|now|turn-[0-9]{1,19})$" })
}

fn seq() -> Value {
    number(0, 9_007_199_254_740_991)
}

fn bytes() -> Value {
    json!({ "type": "string", "format": "binary" })
}

/// What a method of a kind of route does; none where nothing here says it.
pub fn operation(kind: Kind, method: &str, s: &mut SchemaGenerator) -> Option<Operation> {
    let new = Operation::new;
    Some(match (kind, method) {
        (Kind::Root, "GET") => new(PAGES, "To the page").done(302, "To `/demo`."),
        (Kind::NewSession, "GET") => {
            new(PAGES, "The page, on a new session").done(302, "To `/demo/{session}`.")
        }
        (Kind::Page, "GET") => new(PAGES, "The page, on a session").gives_content(
            200,
            "text/html; charset=utf-8",
            &text(),
            "The page; its scripts ask for the session.",
        ),
        (Kind::AgentsPage, "GET") => new(PAGES, "The page on which agents are made").gives_content(
            200,
            "text/html; charset=utf-8",
            &text(),
            "The page; an id in the path is the agent that it opens with.",
        ),
        (Kind::Health, "GET") => {
            new(PAGES, "Whether the Worker answers").gives::<a::Health>(s, 200, "It does.")
        }
        (Kind::Asset, "GET") => new(PAGES, "A file of the page")
            .gives_content(200, "*/*", &bytes(), "The file, named by its content.")
            .fails(&[P::NotFound]),
        (Kind::Docs, "GET") => new(PAGES, "This document, for reading").gives_content(
            200,
            "text/html; charset=utf-8",
            &text(),
            "A page without scripts.",
        ),
        (Kind::OpenApi, "GET") => new(PAGES, "This document").gives_content(
            200,
            JSON,
            &json!({ "type": "object" }),
            "OpenAPI 3.1.",
        ),
        (Kind::Models, "GET") => new(MESSAGES, "The models that can answer")
            .gives::<a::Models>(s, 200, "The models, and the one that answers where nobody chooses."),
        (Kind::Socket, "GET") => new(SESSIONS, "A session as a WebSocket")
            .text(
                "Gives the session's state, the events that are asked for, and then what comes. Takes frames such \
                 as `{\"type\": \"user_message\", \"content\": \"…\"}`, `interrupt`, `set_model`, \
                 `permission_response`, `resume`, `wake`. A token goes with the header `Authorization`, or as the \
                 subprotocol `bearer.<token>` beside `agent-router`.",
            )
            .query("from", seq(), "Begin after this event.")
            .query("tail", seq(), "Begin with so many of the last events.")
            .query(
                "warm",
                flag(),
                "`false`: leaves a sandbox asleep that has been used before, until a message or `wake`.",
            )
            .query("ticket", text(), "A ticket of `/api/sessions/{session}/tickets`.")
            .done(101, "The socket is open. Every event of the log is a frame.")
            .fails(&[P::BadRequest, P::UpgradeRequired, P::TooManyRequests]),
        (Kind::AgentMessage, "POST") => new(MESSAGES, "Say something in a session")
            .text(
                "Goes through the session: its history, its queue, its model. Answers when the turn has ended, or \
                 with its events as they happen: as SSE for `Accept: text/event-stream`, as NDJSON for \
                 `Accept: application/x-ndjson` or `stream: true`. A body with an `id` may be sent again, and is \
                 the same message; with `Last-Event-ID` the stream goes on after that event.",
            )
            .goes_on()
            .takes::<protocol::ClaudeCodeOptions>(s)
            .gives::<a::Answered>(s, 200, "The turn has ended, or happens.")
            .streams::<protocol::Event>(s, &[SSE, NDJSON], "")
            .fails(&[
                P::BadRequest, P::TooLarge, P::Conflict, P::TooManyRequests, P::MaxTurns, P::SandboxFailed,
                P::NoCapacity, P::TimedOut,
            ]),
        (Kind::ClaudeCode, "POST") => new(MESSAGES, "Ask Claude Code in a sandbox, without a session's log")
            .text(
                "`stream: true`, or `outputFormat: stream-json`, gives Claude Code's own messages as NDJSON, each \
                 as it is made. Nobody can be asked for permission there.",
            )
            .takes::<protocol::ClaudeCodeOptions>(s)
            .gives::<a::DirectResult>(s, 200, "What it has answered.")
            .streams::<ClaudeCodeMessage>(s, &[NDJSON], "")
            .fails(&[
                P::BadRequest, P::TooLarge, P::Conflict, P::TooManyRequests, P::MaxTurns, P::SandboxFailed,
                P::NoCapacity, P::TimedOut,
            ]),
        (Kind::ClaudeCodeDebug, "GET") => new(MESSAGES, "How a session's sandbox sees itself")
            .query("sessionId", json!({ "$ref": "#/components/schemas/SessionId" }), "The session; it must be said.")
            .gives_content(200, JSON, &json!({ "type": "object" }), "Uptime, versions, memory, names of variables.")
            .fails(&[P::BadRequest, P::NotFound, P::Conflict, P::SandboxUnreachable, P::NoCapacity]),
        (Kind::AgentState, "GET") => new(SESSIONS, "A session's state and messages")
            .gives::<a::State>(s, 200, "The state, in the form of the earlier system."),
        (Kind::Events, "GET") => new(SESSIONS, "A session's log")
            .text(
                "As NDJSON, or as SSE for `Accept: text/event-stream`. `x-last-seq` says where the log ended when \
                 it was asked for. A page backwards is in ascending order, and `x-next-before` says what to ask \
                 for next.",
            )
            .query("from", seq(), "Begin after this event.")
            .query("tail", seq(), "Begin with so many of the last events.")
            .query("follow", flag(), "Go on with what comes.")
            .query("before", seq(), "A page backwards, of what is before this event.")
            .query("limit", number(1, 1000), "Events of a page backwards.")
            .goes_on()
            .streams::<protocol::Event>(s, &[NDJSON, SSE], "The events.")
            .fails(&[P::BadRequest, P::Conflict]),
        (Kind::Export, "GET") => new(SESSIONS, "The conversation as a document")
            .query("format", json!({ "enum": ["json", "markdown"] }), "`json` where nothing is said.")
            .gives::<a::Export>(s, 200, "The whole log.")
            .gives_content(200, "text/markdown; charset=utf-8", &text(), "")
            .fails(&[P::BadRequest]),
        (Kind::Diff, "GET") => new(FILES, "What has changed in a session's workspace")
            .text(
                "Between the session's begin, the ends of its turns, and now. Without what `.gitignore` and \
                 `CACHEDIR.TAG` name; a file of more than 5 MiB counts as it was when it was smaller. As JSON \
                 2000 files and 2 MiB of patches at most; `Accept: text/x-diff` gives all of it as a unified \
                 diff.",
            )
            .query("from", point(), "`begin` where nothing is said, `now`, or the end of a turn.")
            .query("to", point(), "`now` where nothing is said.")
            .gives::<Diff>(s, 200, "The changes.")
            .gives_content(200, protocol::diff::TEXT, &text(), "")
            .fails(&[
                P::BadRequest, P::Conflict, P::TooLarge, P::TooManyRequests, P::SandboxFailed, P::NoCapacity,
                P::TimedOut,
            ]),
        (Kind::Repository, "GET") => new(FILES, "The Git repository of a session's workspace")
            .text(
                "The one at the workspace's root: its branch, what has changed since the last commit, the last \
                 commits, the branches, and its page at GitHub, GitLab or Bitbucket. Nothing that its settings name \
                 is run: no hook, no filter, no other program.",
            )
            .gives::<r::Found>(s, 200, "What there is; `repository` is null where there is none.")
            .fails(REPOSITORY),
        (Kind::RepositoryDiff, "GET") => new(FILES, "What has changed in a file since the last commit")
            .query("path", text(), "As the repository's `changes` name it.")
            .gives::<protocol::diff::FileDiff>(s, 200, "The change; without a patch where that is longer than 256 KiB.")
            .fails(REPOSITORY),
        (Kind::Commit, "POST") => new(FILES, "Make a commit in the repository")
            .text(
                "Of all changes, or of `paths` alone. With `head` it is refused where another commit was made \
                 meanwhile, and sent again it is the same commit (200). No hook runs.",
            )
            .takes::<r::Commit>(s)
            .gives::<r::Committed>(s, 201, "The commit.")
            .gives::<r::Committed>(s, 200, "It was made already, by the same request.")
            .fails(REPOSITORY),
        (Kind::Branch, "POST") => new(FILES, "Check another branch of the repository out, or begin one")
            .text("Refused where uncommitted work, or a commit that is on no branch, would be lost.")
            .takes::<r::Switch>(s)
            .gives::<r::Switched>(s, 200, "It is checked out.")
            .gives::<r::Switched>(s, 201, "It is new, and checked out.")
            .fails(REPOSITORY),
        (Kind::Discard, "POST") => new(FILES, "Give changes of the repository's files up")
            .text("The files become what they are in the last commit; untracked ones are deleted.")
            .takes::<r::Discard>(s)
            .gives::<r::Discarded>(s, 200, "They are given up.")
            .fails(REPOSITORY),
        (Kind::Session, "DELETE") => new(SESSIONS, "Delete a session for good")
            .text("Log, sandbox and saves.")
            .done(204, "It is deleted."),
        (Kind::Fork, "POST") => new(SESSIONS, "Another session that goes on from a turn of this one")
            .text("It has the log, the files and the conversation of that turn. Needs the scope `launch`.")
            .may_take::<a::ForkWish>(s)
            .gives::<a::Forked>(s, 201, "The new session.")
            .fails(&[P::BadRequest, P::Conflict, P::TooLarge, P::TooManyRequests]),
        (Kind::Permission, "POST") => new(SESSIONS, "Answer what the agent asks")
            .text("The first answer counts.")
            .takes::<protocol::permission::Fields>(s)
            .gives::<protocol::Event>(s, 200, "The event that ends the request.")
            .fails(&[P::BadRequest, P::Conflict, P::TooLarge]),
        (Kind::Access, "GET") => {
            new(SESSIONS, "What the caller may").gives::<a::Access>(s, 200, "The caller's rights.")
        }
        (Kind::Shares, "GET") => {
            new(SESSIONS, "The links that hold").gives::<a::Shares>(s, 200, "The links, without their tokens.")
        }
        (Kind::Shares, "POST") => new(SESSIONS, "Make a link for somebody else")
            .takes::<a::ShareWish>(s)
            .gives::<a::Share>(s, 201, "The link; its token is told once.")
            .fails(&[P::BadRequest, P::Conflict, P::TooLarge]),
        (Kind::Shares, "DELETE") => {
            new(SESSIONS, "Revoke all links").done(204, "None holds any more, and who came by one is out.")
        }
        (Kind::Tickets, "POST") => new(SESSIONS, "A ticket for the session's WebSocket")
            .gives::<a::Ticket>(s, 201, "Good once, for 30 seconds.")
            .fails(&[P::TooManyRequests]),
        (Kind::Terminals, "GET") => new(TERMINALS, "The terminals that are open")
            .text("A sandbox that sleeps is not woken, and has none.")
            .gives::<a::Terminals>(s, 200, "Which there are.")
            .fails(&[P::SandboxUnreachable]),
        (Kind::Terminal, "GET") => new(TERMINALS, "A terminal as a WebSocket")
            .text(
                "Opens a shell in the session's workspace where there is none of this name, and wakes the sandbox \
                 for it; four are open at most. Binary frames carry what is typed and what is printed, as bytes. \
                 Text frames are JSON: to the terminal `{\"type\":\"resize\",\"cols\":80,\"rows\":24}` and \
                 `{\"type\":\"ping\"}`, which is to be said at least every minute; from it a `Sign`: `opened`, then \
                 what was printed before, `live`, and from then on what is printed, until `ended`. Close code 4401 \
                 says that the token has to be shown again, 1013 that too much was left unread. A token goes with \
                 the header `Authorization`, or as the subprotocol `bearer.<token>` beside `agent-router`.",
            )
            .query("cols", number(2, 500), "The size that it is to have. The last who says it counts.")
            .query("rows", number(1, 300), "")
            .query(
                "attach",
                flag(),
                "`true`: to a terminal that is open. Opens none, and wakes nothing.",
            )
            .query("ticket", text(), "A ticket of `/api/sessions/{session}/tickets`.")
            .done(101, "The terminal is open.")
            .frames::<protocol::terminal::Sign>(s)
            .fails(&[
                P::BadRequest,
                P::Conflict,
                P::UpgradeRequired,
                P::TooManyRequests,
                P::SandboxUnreachable,
                P::NoCapacity,
                P::TimedOut,
            ]),
        (Kind::Terminal, "DELETE") => new(TERMINALS, "End a terminal")
            .done(204, "It is over, and all that ran in it.")
            .fails(&[P::BadRequest, P::SandboxUnreachable]),
        (Kind::Files, "GET") => new(FILES, "The files of a workspace")
            .text("Of a sandbox that sleeps they come from its last save, named by the answer's header `x-from-save`.")
            .query("depth", number(0, 50), "Folders within folders.")
            .query("ignored", flag(), "Also what `.gitignore` names.")
            .query("limit", number(1, 10_000), "Entries of a page.")
            .query("after", text(), "The `next` of the page before.")
            .gives::<Listing>(s, 200, "The tree.")
            .fails(&[P::BadRequest, P::SandboxUnreachable, P::NoCapacity, P::TimedOut]),
        (Kind::Files, "POST") => new(FILES, "Make a folder, rename or move")
            .takes::<Change>(s)
            .gives::<Changed>(s, 200, "It is done.")
            .gives::<Changed>(s, 201, "The folder is made.")
            .fails(&[P::BadRequest, P::Conflict, P::TooLarge, P::SandboxUnreachable, P::NoCapacity]),
        (Kind::File, "GET") => new(FILES, "A file, or a folder of the workspace")
            .text(
                "A text comes with its language, another file with what it is. `raw=true`, or `/download` behind \
                 the path, gives the bytes, with `ETag` and ranges; so does an image. Of a sandbox that sleeps it \
                 comes from the last save where that has it, without waking it; the header `x-from-save` of the \
                 answer names the save.",
            )
            .query("raw", flag(), "The bytes.")
            .query("depth", number(0, 50), "Of a folder.")
            .query("ignored", flag(), "Of a folder: also what `.gitignore` names.")
            .query("limit", number(1, 10_000), "Of a folder: entries of a page.")
            .query("after", text(), "Of a folder: the `next` of the page before.")
            .header("Range", text(), "A part of the bytes.")
            .header("If-None-Match", text(), "The `ETag` that the client has.")
            .gives::<a::FileOrFolder>(s, 200, "The file or the folder.")
            .gives_content(200, "*/*", &bytes(), "")
            .gives_content(206, "*/*", &bytes(), "A part of the bytes.")
            .done(304, "As the client has it.")
            .fails(&[
                P::BadRequest, P::Conflict, P::PreconditionFailed, P::TooLarge, P::RangeNotSatisfiable,
                P::SandboxUnreachable, P::NoCapacity,
            ]),
        (Kind::File, "PUT") => new(FILES, "Write a file")
            .text("Whole, or not at all; folders above it are made. 50 MiB at most.")
            .header("If-Match", text(), "The `ETag` that it must have still.")
            .header("If-None-Match", json!({ "const": "*" }), "Only where there is none.")
            .takes_content(&["application/octet-stream"], &bytes(), true)
            .gives::<Written>(s, 200, "It is replaced.")
            .gives::<Written>(s, 201, "It is made.")
            .fails(&[
                P::BadRequest, P::Conflict, P::PreconditionFailed, P::TooLarge, P::SandboxUnreachable,
                P::NoCapacity,
            ]),
        (Kind::File, "DELETE") => new(FILES, "Remove a file or folder")
            .query("recursive", flag(), "A folder with all that is in it.")
            .done(204, "It is removed.")
            .fails(&[P::BadRequest, P::Conflict, P::SandboxUnreachable, P::NoCapacity]),
        (Kind::Zip, "POST") => new(FILES, "The workspace as a ZIP, while it is made")
            .text("1 GiB and 10,000 files at most.")
            .query("path", text(), "A folder of it.")
            .query("ignored", flag(), "`false` leaves out what `.gitignore` names.")
            .gives_content(200, "application/zip", &bytes(), "The ZIP.")
            .fails(&[P::BadRequest, P::Conflict, P::TooLarge, P::TooManyRequests, P::SandboxUnreachable, P::NoCapacity]),
        (Kind::Upload, "POST") => {
            let form = s.subschema_for::<a::UploadForm>().to_value();
            new(FILES, "Upload files as a form")
                .text("50 MiB a file, 200 MiB and 50 files a request.")
                .query("target_path", text(), "The folder that they go into.")
                .query("overwrite", flag(), "Replace files that are there.")
                .takes_content(&["multipart/form-data"], &form, true)
                .gives::<Uploaded>(s, 200, "What was uploaded.")
                .fails(&[P::BadRequest, P::Conflict, P::TooLarge, P::SandboxUnreachable, P::NoCapacity])
        }
        (Kind::Login, "POST") => new(ACCOUNTS, "Sign a browser in")
            .takes::<a::LoginWish>(s)
            .gives::<a::SignedIn>(s, 200, "Signed in, with a cookie that no script reads.")
            .fails(&[P::BadRequest, P::Unauthenticated, P::Forbidden, P::TooLarge, P::TooManyRequests]),
        (Kind::Logout, "POST") => {
            new(ACCOUNTS, "Sign a browser out").done(204, "Its key is void.").fails(&[P::Forbidden])
        }
        (Kind::Keys, "GET") => new(ACCOUNTS, "The API keys that hold")
            .query("owner", json!({ "$ref": "#/components/schemas/Owner" }), "Whose, for the operator.")
            .gives::<a::Keys>(s, 200, "The keys, without what opens anything.")
            .fails(&[P::BadRequest]),
        (Kind::Keys, "POST") => {
            s.subschema_for::<protocol::Owner>();
            new(ACCOUNTS, "Make an API key")
                .takes::<a::KeyWish>(s)
                .gives::<a::NewKey>(s, 201, "The key, which is told once.")
                .fails(&[P::BadRequest, P::Conflict, P::TooLarge])
        }
        (Kind::Key, "DELETE") => new(ACCOUNTS, "Revoke an API key")
            .query("owner", json!({ "$ref": "#/components/schemas/Owner" }), "Whose, for the operator.")
            .done(204, "It is void.")
            .fails(&[P::BadRequest, P::NotFound]),
        (Kind::Audit, "GET") => new(ACCOUNTS, "What was done in an account's name, the newest first")
            .query("limit", number(1, 1000), "Entries of a page.")
            .query("before", seq(), "The `next_before` of the page before.")
            .query("owner", json!({ "$ref": "#/components/schemas/Owner" }), "Whose, for the operator.")
            .gives::<a::Audit>(s, 200, "A page of the log.")
            .fails(&[P::BadRequest]),
        (Kind::Usage, "GET") => new(ACCOUNTS, "What an account's sessions have used")
            .text("By day and by session, those first that cost most; in the last thirty days where nothing is said. It stays when a session is deleted.")
            .query("from", json!({ "type": "string", "format": "date" }), "The first day, in UTC.")
            .query("to", json!({ "type": "string", "format": "date" }), "The last.")
            .query("session_id", json!({ "$ref": "#/components/schemas/SessionId" }), "One session's alone.")
            .gives::<a::UsageTold>(s, 200, "What was used.")
            .fails(&[P::BadRequest]),
        (Kind::Webhooks, "GET") => new(AUTOMATION, "The webhooks of an account")
            .gives::<a::Webhooks>(s, 200, "All of them, without their secrets."),
        (Kind::Webhooks, "POST") => {
            s.subschema_for::<automation::webhook::Message>();
            new(AUTOMATION, "Have a server told when a turn has ended")
                .text("It is sent a `Message` as JSON, signed as Standard Webhooks have it (`webhook-id`, `webhook-timestamp`, `webhook-signature`). Until it answers 2xx it is sent again, ten times within three days; with 410 it says that nobody is there any more.")
                .takes::<automation::webhook::Webhook>(s)
                .gives::<a::NewWebhook>(s, 201, "The webhook, with its secret, which is told once.")
                .fails(&[P::BadRequest, P::Conflict, P::TooLarge, P::NotConfigured])
        }
        (Kind::Webhook, "DELETE") => new(AUTOMATION, "Delete a webhook")
            .done(204, "It is gone, and what was on its way to it.")
            .fails(&[P::NotFound]),
        (Kind::WebhookPing, "POST") => new(AUTOMATION, "Have a webhook sent a message of type `ping`")
            .gives::<a::Pinged>(s, 202, "It is on its way.")
            .fails(&[P::NotFound]),
        (Kind::Deliveries, "GET") => new(AUTOMATION, "What was sent to a webhook in the last seven days, the newest first")
            .gives::<a::Deliveries>(s, 200, "The last hundred.")
            .fails(&[P::NotFound]),
        (Kind::Schedules, "GET") => new(AUTOMATION, "The schedules of an account")
            .gives::<a::Schedules>(s, 200, "All of them."),
        (Kind::Schedules, "POST") => new(AUTOMATION, "Have a prompt said in a session at a time, or again and again")
            .takes::<automation::schedule::Schedule>(s)
            .gives::<a::ScheduleTold>(s, 201, "The schedule.")
            .fails(&[P::BadRequest, P::Forbidden, P::NotFound, P::Conflict, P::TooLarge]),
        (Kind::Schedule, "PUT") => new(AUTOMATION, "Change a schedule")
            .takes::<automation::schedule::Schedule>(s)
            .gives::<a::ScheduleTold>(s, 200, "The schedule as it is now.")
            .fails(&[P::BadRequest, P::Forbidden, P::NotFound, P::TooLarge]),
        (Kind::Schedule, "DELETE") => new(AUTOMATION, "Delete a schedule")
            .done(204, "It is gone.")
            .fails(&[P::NotFound]),
        (Kind::Mcp, "POST") => new(AUTOMATION, "Tools with which agents are launched and worked with")
            .text("The Model Context Protocol over Streamable HTTP, without sessions of its own. `tools/list` tells of the tools.")
            .takes_content(&[JSON], &json!({ "type": "object" }), true)
            .gives_content(200, JSON, &json!({ "type": "object" }), "The answer to a request.")
            .gives_content(200, SSE, &text(), "The same, for a tool that waits.")
            .gives_content(400, JSON, &json!({ "type": "object" }), "What is no message of the protocol.")
            .done(202, "There is nothing to answer.")
            .fails(&[P::BadRequest, P::TooLarge]),
        (Kind::Presets, "GET") => new(CONFIGS, "The agents that come with the deployment")
            .gives::<a::Configs>(s, 200, "Each in a few words."),
        (Kind::ConfigSchema, "GET") => new(CONFIGS, "The JSON Schema of a configuration").gives_content(
            200,
            "application/schema+json",
            &json!({ "type": "object" }),
            "The schema.",
        ),
        (Kind::Config, "GET") => new(CONFIGS, "A whole configuration")
            .gives::<agents::AgentConfig>(s, 200, "A preset, or one of the caller's own.")
            .fails(&[P::NotFound]),
        (Kind::CustomConfigs, "GET") => new(CONFIGS, "The caller's own configurations")
            .gives::<a::Configs>(s, 200, "Each in a few words."),
        (Kind::NewConfig, "POST") => config_body(new(CONFIGS, "Keep a configuration"), s)
            .gives::<a::ConfigDone>(s, 200, "It is kept.")
            .fails(&[P::BadRequest, P::Conflict, P::TooLarge]),
        (Kind::CustomConfig, "PUT") => config_body(new(CONFIGS, "Replace a configuration"), s)
            .gives::<a::ConfigDone>(s, 200, "It is replaced.")
            .fails(&[P::BadRequest, P::NotFound, P::Conflict, P::TooLarge]),
        (Kind::CustomConfig, "DELETE") => new(CONFIGS, "Delete a configuration")
            .text("Sessions that were launched from it keep what it was.")
            .gives::<a::ConfigDone>(s, 200, "It is deleted.")
            .fails(&[P::NotFound]),
        (Kind::Providers, "GET") => new(AGENTS, "Where sandboxes may run")
            .text("A launch may name one of them as its `provider`.")
            .gives::<a::Providers>(s, 200, "The places that this deployment has."),
        (Kind::Sandboxes, "GET") => new(AGENTS, "Every sandbox that there is")
            .text("Whoever's it is, as the places tell that keep such a list: those on Docker, and local ones.")
            .gives::<a::Sandboxes>(s, 200, "Each, and whether a session has it.")
            .fails(&[P::SandboxFailed, P::NotConfigured, P::TimedOut]),
        (Kind::Sandboxes, "DELETE") => new(AGENTS, "Remove the sandboxes that no session has")
            .text("With their files. Those of sessions stay as they are.")
            .gives::<a::Sandboxes>(s, 200, "Each, and whether it was removed.")
            .fails(&[P::SandboxFailed, P::NotConfigured, P::TimedOut]),
        (Kind::Launch, "POST") => new(AGENTS, "Launch an agent in a new session")
            .takes::<a::LaunchWish>(s)
            .gives::<a::Launched>(s, 200, "Its sandbox starts; it takes messages at once.")
            .fails(&[P::BadRequest, P::NotFound, P::TooLarge, P::TooManyRequests, P::ModelFailed, P::NotConfigured]),
        (Kind::Sessions, "GET") => new(AGENTS, "The caller's sessions, those that were used last first")
            .query("q", text(), "Those whose id, title or agent holds this.")
            .query(
                "status",
                json!({ "enum": ["starting", "running", "idle", "error", "sleeping", "stopped"] }),
                "Those that stand so.",
            )
            .query("limit", number(0, 1000), "Sessions of a page: 100 where nothing is said.")
            .query("offset", number(0, 4_294_967_295), "Leave out so many.")
            .gives::<a::Sessions>(s, 200, "A page of them.")
            .fails(&[P::BadRequest]),
        (Kind::LaunchedSession, "GET") => new(AGENTS, "A session, and how it stands")
            .gives::<a::SessionInFull>(s, 200, "The session."),
        (Kind::LaunchedSession, "DELETE") => new(AGENTS, "Stop a session, and delete it for good")
            .gives::<a::Removed>(s, 200, "It is deleted."),
        (Kind::Stop, "POST") => new(AGENTS, "Stop a session, and keep its log and files")
            .text("What runs and what waits is stopped, and the sandbox. One that was launched ends, and takes no more messages; another can be launched with its workspace, or forked from it.")
            .gives::<a::Removed>(s, 200, "It is stopped. `status` is `stopped`, or `sleeping` for one that was not launched.")
            .fails(&[P::TimedOut, P::SandboxFailed]),
        (Kind::Interrupt, "POST") => new(AGENTS, "Stop the turn that runs; the session lives on")
            .gives::<a::Interrupted>(s, 200, "Nothing runs any more."),
        (Kind::Chat | Kind::ChatBeside, "POST") => {
            let operation = match kind {
                Kind::Chat => new(AGENTS, "Say something to an agent"),
                _ => new(AGENTS, "Say something to an agent, with the session in the body")
                    .header("X-Session-ID", json!({ "$ref": "#/components/schemas/SessionId" }), "The session, where the body names none."),
            };
            operation
                .text(
                    "Answers when the turn has ended, or with `Accept: text/event-stream` as it happens; then \
                     `data: [DONE]` is the last. The same body, `id` or `Idempotency-Key` is the same message, and \
                     with `Last-Event-ID` the stream goes on.",
                )
                .goes_on()
                .header("Idempotency-Key", text(), "The message's own `id`, where the body has none.")
                .takes::<a::ChatWish>(s)
                .gives::<a::ChatAnswer>(s, 200, "The turn.")
                .streams::<a::ChatEvent>(s, &[SSE], "")
                .fails(&[
                    P::BadRequest, P::TooLarge, P::Conflict, P::TooManyRequests, P::MaxTurns, P::SandboxFailed,
                    P::NoCapacity, P::TimedOut,
                ])
        }
        (Kind::ToolStream, "GET") => new(AGENTS, "What a session's tools do, as it happens")
            .goes_on()
            .streams::<a::ToolEvent>(s, &[SSE], "From now on, or from where the client was.")
            .fails(&[P::BadRequest, P::Conflict]),
        (Kind::Resources, "GET") => new(AGENTS, "What a session's sandbox uses")
            .text("With `Accept: text/event-stream` again every few seconds. A sandbox that sleeps is not woken.")
            .gives::<a::Resources>(s, 200, "What it uses now.")
            .streams::<a::Resources>(s, &[SSE], "")
            .fails(&[P::SandboxUnreachable, P::TimedOut]),
        (Kind::FromSandbox, "GET" | "POST") => new(MESSAGES, "A sandbox's calls of its model")
            .text("Passed on to the model router as they are.")
            .gives_content(200, "*/*", &bytes(), "What the router answers.")
            .fails(&[P::NotFound]),
        _ => return None,
    })
}

fn config_body(operation: Operation, s: &mut SchemaGenerator) -> Operation {
    let schema = s.subschema_for::<agents::AgentConfig>().to_value();
    operation
        .text("JSON, or YAML. Errors name the field.")
        .takes_content(&[JSON], &schema, true)
}

/// A message of Claude Code's own.
struct ClaudeCodeMessage;

impl schemars::JsonSchema for ClaudeCodeMessage {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ClaudeCodeMessage".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A message of Claude Code's stream-json form.",
            "type": "object",
            "required": ["type"],
            "properties": { "type": { "type": "string" } },
        })
    }
}
