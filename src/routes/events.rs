//! `/api/sessions/{id}/events`: a session's log over HTTP, onwards and backwards.

use protocol::{Problem, SessionId};
use worker::{Env, Request, Url};

use crate::answer::{Answer, SSE};
use crate::session::{self, Events, Form, Span, Visit};

/// Events of a page backwards, where the request does not say.
const PAGE: usize = 100;

/// Events of a page backwards at most.
const MAX_PAGE: usize = 1000;

pub async fn events(
    request: &Request,
    url: &Url,
    env: &Env,
    session: &SessionId,
    visit: &Visit,
) -> Answer {
    let header = |name: &str| request.headers().get(name).ok().flatten();
    let query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let wanted = Events {
        span: span(&query, header("last-event-id").as_deref())?,
        form: if header("accept").is_some_and(|accept| accept.contains(SSE)) {
            Form::Sse
        } else {
            Form::Ndjson
        },
    };
    session::events(env, session, visit, &wanted).await
}

/// The whole log as a document, `?format=json` or `?format=markdown`.
pub async fn export(url: &Url, env: &Env, session: &SessionId, visit: &Visit) -> Answer {
    let format = url.query_pairs().find(|(name, _)| name == "format");
    let markdown = match format.as_ref().map(|(_, format)| &**format) {
        None | Some("json") => false,
        Some("markdown") => true,
        Some(_) => return Err(Problem::bad_request("format is json or markdown").at("format")),
    };
    session::export(env, session, visit, markdown).await
}

/// The events that a WebSocket begins with: those after `from`, the last `tail`, or none.
///
/// # Errors
/// 400 for what is no number.
pub fn of_socket(url: &Url) -> Result<Option<Span>, Problem> {
    let query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let known = |name: &str| matches!(name, "from" | "tail");
    let query: Vec<_> = query.into_iter().filter(|(name, _)| known(name)).collect();
    if query.is_empty() {
        return Ok(None);
    }
    span(&query, None).map(Some)
}

/// What the query asks for. A client that comes back to a stream repeats the request, and says with
/// `Last-Event-ID` what it has: that counts then.
fn span(query: &[(String, String)], last_event_id: Option<&str>) -> Result<Span, Problem> {
    let given = |name: &str| {
        let pair = query.iter().find(|(given, _)| given == name);
        pair.map(|(_, value)| value.as_str())
    };
    if let Some(before) = given("before") {
        if let Some(other) = ["from", "tail", "follow"]
            .into_iter()
            .find(|other| given(other).is_some())
        {
            return Err(Problem::bad_request(format!(
                "before asks for a page backwards; {other} does not go with it"
            ))
            .at(other));
        }
        let limit = match given("limit") {
            None => PAGE,
            Some(limit) => match limit.parse() {
                Ok(limit) if (1..=MAX_PAGE).contains(&limit) => limit,
                _ => {
                    return Err(Problem::bad_request(format!(
                        "limit must be a number from 1 to {MAX_PAGE}"
                    ))
                    .at("limit"));
                }
            },
        };
        let before = seq("before", before)?;
        return Ok(Span::Before { before, limit });
    }
    if given("limit").is_some() {
        return Err(Problem::bad_request(
            "limit goes with before; the last events are had with tail",
        )
        .at("limit"));
    }
    let follow = match given("follow") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Problem::bad_request("follow must be true or false").at("follow")),
    };
    if let Some(id) = last_event_id.filter(|id| !id.is_empty()) {
        let from = seq("Last-Event-ID", id)?;
        return Ok(Span::After { from, follow });
    }
    match (given("from"), given("tail")) {
        (Some(_), Some(_)) => {
            Err(Problem::bad_request("from and tail don't go together").at("tail"))
        }
        (_, Some(events)) => Ok(Span::Tail {
            events: seq("tail", events)?,
            follow,
        }),
        (from, None) => Ok(Span::After {
            from: from.map_or(Ok(0), |from| seq("from", from))?,
            follow,
        }),
    }
}

/// A number of the log.
///
/// # Errors
/// 400 with the name of the field.
pub fn seq(field: &str, given: &str) -> Result<u64, Problem> {
    let wrong = || {
        let words = match field {
            "tail" => "tail must be how many of the last events you want, such as 100".to_owned(),
            "before" => {
                "before must be the seq of the first event that you have, such as 12".to_owned()
            }
            "Last-Event-ID" => {
                "Last-Event-ID must be the id of an event of this session, such as 12".to_owned()
            }
            field => format!("{field} must be the seq of the last event that you have, such as 12"),
        };
        Problem::bad_request(words).at(field)
    };
    given.parse().map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str, last_event_id: Option<&str>) -> Result<Span, Problem> {
        let url = Url::parse(&format!("http://host/{query}")).unwrap();
        let query: Vec<_> = url.query_pairs().into_owned().collect();
        span(&query, last_event_id)
    }

    #[test]
    fn what_can_be_asked_for() {
        let after = |from, follow| Span::After { from, follow };
        let tail = |events, follow| Span::Tail { events, follow };
        let before = |before, limit| Span::Before { before, limit };
        for (query, id, span) in [
            ("", None, after(0, false)),
            ("?from=7", None, after(7, false)),
            ("?from=7&follow=true", None, after(7, true)),
            ("?from=7&follow=true", Some("9"), after(9, true)),
            ("?tail=7&follow=false", None, tail(7, false)),
            ("?tail=7&follow=true", Some("9"), after(9, true)),
            ("?from=7", Some(""), after(7, false)),
            ("?before=7", None, before(7, 100)),
            ("?before=7&limit=1000", Some("3"), before(7, 1000)),
            ("?else=7", None, after(0, false)),
        ] {
            assert_eq!(asked(query, id), Ok(span), "{query}");
        }
    }

    #[test]
    fn a_socket_says_where_it_begins() {
        for (query, span) in [
            ("", Ok(None)),
            (
                "?from=7&before=x",
                Ok(Some(Span::After {
                    from: 7,
                    follow: false,
                })),
            ),
            (
                "?tail=7",
                Ok(Some(Span::Tail {
                    events: 7,
                    follow: false,
                })),
            ),
            ("?from=x", Err("from")),
            ("?from=7&tail=7", Err("tail")),
        ] {
            let url = Url::parse(&format!("http://host/{query}")).unwrap();
            let asked = of_socket(&url).map_err(|problem| problem.field.unwrap_or_default());
            assert_eq!(asked, span.map_err(str::to_owned), "{query}");
        }
    }

    #[test]
    fn what_is_wrong_says_where() {
        for (query, id, field) in [
            ("?from=x", None, "from"),
            ("?from=-1", None, "from"),
            ("?from=", None, "from"),
            ("?tail=x", None, "tail"),
            ("?from=1&tail=1", None, "tail"),
            ("?follow=yes", None, "follow"),
            ("?before=x", None, "before"),
            ("?before=7&from=1", None, "from"),
            ("?before=7&follow=true", None, "follow"),
            ("?before=7&limit=0", None, "limit"),
            ("?before=7&limit=1001", None, "limit"),
            ("?limit=10", None, "limit"),
            ("", Some("x"), "Last-Event-ID"),
            ("", Some("99999999999999999999"), "Last-Event-ID"),
        ] {
            let problem = asked(query, id).expect_err(query);
            assert_eq!(problem.field.as_deref(), Some(field), "{query}: {problem}");
            assert_eq!(problem.status(), 400);
        }
    }
}
