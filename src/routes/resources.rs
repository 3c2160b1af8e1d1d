//! `/api/resources/{sessionId}`: what a session's sandbox uses of its machine, once, or every few seconds
//! while somebody watches.

use std::time::Duration;

use futures_util::stream;
use protocol::sandbox::Resources;
use protocol::{Problem, SessionId};
use serde_json::{Value, json};
use worker::{Delay, Env, Method, Request};

use crate::answer::{self, Answer, SSE, internal, within};
use crate::container::{self, Running};
use crate::session::{self, Visit};

/// Between two measurements that are watched.
const EVERY: Duration = Duration::from_secs(3);

/// How long a sandbox may take to measure itself.
const PATIENCE: Duration = Duration::from_secs(10);

const MB: f64 = 1024.0 * 1024.0;

/// One document; with `Accept: text/event-stream` one every few seconds.
pub async fn resources(request: &Request, env: &Env, id: &SessionId, visit: &Visit) -> Answer {
    let accept = request.headers().get("accept").ok().flatten();
    if !accept.is_some_and(|accept| accept.contains(SSE)) {
        return answer::json(200, &read(env, id, visit).await?);
    }
    // The first before the answer begins: who may not hears it as a status.
    let first = read(env, id, visit).await?;
    let state = (env.clone(), id.clone(), visit.clone(), Some(first));
    let pieces = stream::try_unfold(state, |(env, id, visit, first)| async move {
        let read = match first {
            Some(first) => first,
            None => {
                Delay::from(EVERY).await;
                match read(&env, &id, &visit).await {
                    Ok(read) => read,
                    // It may have been deleted, or its link revoked.
                    Err(_) => return Ok::<_, worker::Error>(None),
                }
            }
        };
        let piece = format!("data: {read}\n\n").into_bytes();
        Ok(Some((piece, (env, id, visit, None))))
    });
    answer::stream_of(SSE)
        .and_then(|builder| builder.from_stream(Box::pin(pieces)))
        .map_err(|error| internal("resources", &error))
}

/// # Errors
/// Where the caller may not, or the sandbox does not answer.
async fn read(env: &Env, id: &SessionId, visit: &Visit) -> Result<Value, Problem> {
    session::may(env, id, visit).await?;
    let sandbox = container::of(env, id)?;
    let asked = sandbox.running_agent(Method::Get, "/resources", None);
    match within(PATIENCE, "the sandbox", asked).await? {
        Running::Stopped(_) => Ok(document(id, &Resources::default(), "sleeping")),
        Running::Answer(response) => Ok(document(id, &answer::told(response).await?, "running")),
    }
}

/// In the form of the earlier platform.
fn document(id: &SessionId, used: &Resources, status: &str) -> Value {
    let percent = |part: u64, whole: u64| match whole {
        0 => 0.0,
        whole => rounded(100.0 * part as f64 / whole as f64),
    };
    json!({
        "session_id": id,
        "container_id": id.container_object(),
        "cpu": { "percent": rounded(used.cpu_percent), "count": used.cpu_count },
        "memory": {
            "used_bytes": used.memory_used,
            "limit_bytes": used.memory_limit,
            "percent": percent(used.memory_used, used.memory_limit),
            "used_mb": rounded(used.memory_used as f64 / MB),
            "limit_mb": rounded(used.memory_limit as f64 / MB),
        },
        "disk": {
            "percent": percent(used.disk_used, used.disk_total),
            "used_bytes": used.disk_used,
            "total_bytes": used.disk_total,
        },
        "processes": used.processes,
        "status": status,
    })
}

/// To two digits behind the point.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_the_earlier_platform() {
        let id = SessionId::parse("s1").unwrap();
        let used = Resources {
            cpu_percent: 12.345,
            cpu_count: 2.0,
            memory_used: 256 << 20,
            memory_limit: 1 << 30,
            disk_used: 1,
            disk_total: 3,
            processes: 4,
        };
        let told = document(&id, &used, "running");
        assert_eq!(told["container_id"], "claude-session-s1");
        assert_eq!(told["cpu"], json!({ "percent": 12.35, "count": 2.0 }));
        assert_eq!(told["memory"]["percent"], 25.0);
        assert_eq!(told["memory"]["used_mb"], 256.0);
        assert_eq!(told["disk"]["percent"], 33.33);
        let none = document(&id, &Resources::default(), "sleeping");
        assert_eq!(none["memory"]["percent"], 0.0);
    }
}
