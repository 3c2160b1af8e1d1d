//! What is said when something can't be done: RFC 9457 `application/problem+json`, with the members
//! that clients of the two earlier systems read (`error`, `message`).

use serde::{Deserialize, Serialize};

/// The kinds of problem. Each has one status and one `type` of the wire form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    BadRequest,
    Unauthenticated,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Conflict,
    /// What was to be changed is not as its sender has seen it.
    PreconditionFailed,
    TooLarge,
    /// A part of something was asked for that has no such part.
    RangeNotSatisfiable,
    UpgradeRequired,
    TooManyRequests,
    Internal,
    /// No sandbox can be had now; trying again later may help.
    NoCapacity,
    /// The sandbox did not start, stopped, or does not answer.
    SandboxFailed,
    /// The connection to the sandbox broke, or is not there yet; trying again may help.
    SandboxUnreachable,
    /// The model or its provider did not answer.
    ModelFailed,
    /// Something took longer than it may.
    TimedOut,
    /// The turn took as many calls of the model as it was allowed.
    MaxTurns,
    /// This deployment is not set up for what was asked.
    NotConfigured,
}

impl ProblemKind {
    /// All of them, for who describes them.
    pub const ALL: [Self; 19] = [
        Self::BadRequest,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::PreconditionFailed,
        Self::TooLarge,
        Self::RangeNotSatisfiable,
        Self::UpgradeRequired,
        Self::TooManyRequests,
        Self::Internal,
        Self::NoCapacity,
        Self::SandboxFailed,
        Self::SandboxUnreachable,
        Self::ModelFailed,
        Self::TimedOut,
        Self::MaxTurns,
        Self::NotConfigured,
    ];

    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Conflict => 409,
            Self::PreconditionFailed => 412,
            Self::TooLarge => 413,
            Self::RangeNotSatisfiable => 416,
            Self::UpgradeRequired => 426,
            Self::MaxTurns => 422,
            Self::TooManyRequests => 429,
            Self::Internal => 500,
            Self::SandboxFailed | Self::SandboxUnreachable | Self::ModelFailed => 502,
            Self::NoCapacity | Self::NotConfigured => 503,
            Self::TimedOut => 504,
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "Bad request",
            Self::Unauthenticated => "Not authenticated",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "Method not allowed",
            Self::Conflict => "Conflict",
            Self::PreconditionFailed => "Precondition failed",
            Self::TooLarge => "Too large",
            Self::RangeNotSatisfiable => "Range not satisfiable",
            Self::UpgradeRequired => "WebSocket upgrade required",
            Self::TooManyRequests => "Too many requests",
            Self::Internal => "Internal error",
            Self::NoCapacity => "No sandbox available",
            Self::SandboxFailed => "The sandbox failed",
            Self::SandboxUnreachable => "The sandbox can't be reached",
            Self::ModelFailed => "The model did not answer",
            Self::TimedOut => "Timed out",
            Self::MaxTurns => "Turn limit reached",
            Self::NotConfigured => "Not configured",
        }
    }

    /// The code of this kind, as in `type: "/problems/<code>"` and as the `code` of `error` events.
    pub fn code(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Conflict => "conflict",
            Self::PreconditionFailed => "precondition_failed",
            Self::TooLarge => "too_large",
            Self::RangeNotSatisfiable => "range_not_satisfiable",
            Self::UpgradeRequired => "upgrade_required",
            Self::TooManyRequests => "too_many_requests",
            Self::Internal => "internal",
            Self::NoCapacity => "no_capacity",
            Self::SandboxFailed => "sandbox_failed",
            Self::SandboxUnreachable => "sandbox_unreachable",
            Self::ModelFailed => "model_failed",
            Self::TimedOut => "timed_out",
            Self::MaxTurns => "max_turns",
            Self::NotConfigured => "not_configured",
        }
    }
}

/// What went wrong, in words for the person who asked. Never holds a secret, an internal address or
/// a stack trace: what only the operator may see is logged where the problem is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub kind: ProblemKind,
    pub detail: String,
    /// The field of the input that is at fault, as its sender spells it (`maxTurns`).
    pub field: Option<String>,
}

impl Problem {
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            field: None,
        }
    }

    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::BadRequest, detail)
    }

    /// Names the field that is at fault.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    pub fn status(&self) -> u16 {
        self.kind.status()
    }

    /// The body of an `application/problem+json` answer.
    pub fn to_json(&self) -> serde_json::Value {
        let mut body = serde_json::json!({
            "type": format!("/problems/{}", self.kind.code()),
            "title": self.kind.title(),
            "status": self.status(),
            "detail": self.detail,
            "error": self.kind.title(),
            "message": self.detail,
        });
        if let (Some(field), Some(members)) = (&self.field, body.as_object_mut()) {
            members.insert(
                "errors".to_owned(),
                serde_json::json!([{ "field": field, "detail": self.detail }]),
            );
        }
        body
    }

    /// Reads back what [`Problem::to_json`] wrote, as one of our parts hears it from another; `None`
    /// where it is not one of our problems.
    pub fn from_json(body: &serde_json::Value) -> Option<Self> {
        let code = body.get("type")?.as_str()?.strip_prefix("/problems/")?;
        let kind = serde_json::from_value(serde_json::Value::String(code.to_owned())).ok()?;
        let field = body
            .pointer("/errors/0/field")
            .and_then(|field| field.as_str())
            .map(str::to_owned);
        Some(Self {
            kind,
            detail: body.get("detail")?.as_str()?.to_owned(),
            field,
        })
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.kind.title(), self.detail)
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_kinds_are_told() {
        for (place, kind) in ProblemKind::ALL.into_iter().enumerate() {
            // One that is added stands last, or moves it.
            assert_eq!(kind as usize, place, "{kind:?}");
            let code = serde_json::json!(kind);
            assert_eq!(code, kind.code());
        }
        assert_eq!(
            ProblemKind::NotConfigured as usize + 1,
            ProblemKind::ALL.len()
        );
    }

    #[test]
    fn survives_its_wire_form() {
        let problem = Problem::bad_request("maxTurns must be at least 1").at("maxTurns");
        let body = problem.to_json();
        assert_eq!(Problem::from_json(&body).unwrap(), problem);
        insta::assert_json_snapshot!(body, @r#"
        {
          "detail": "maxTurns must be at least 1",
          "error": "Bad request",
          "errors": [
            {
              "detail": "maxTurns must be at least 1",
              "field": "maxTurns"
            }
          ],
          "message": "maxTurns must be at least 1",
          "status": 400,
          "title": "Bad request",
          "type": "/problems/bad_request"
        }
        "#);
    }
}
