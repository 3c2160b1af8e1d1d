//! What kind of failure it was, for whoever decides about retries, fallbacks and cooldowns.

/// The classes of LiteLLM's exceptions
/// (<https://docs.litellm.ai/docs/exception_mapping>), and three that it does not tell apart.
///
/// The class speaks of the provider's failure, the status of a [`super::Refusal`] to the caller: a
/// refused key of the router's own is [`Self::Authentication`] here and 502 there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    BadRequest,
    Authentication,
    /// 402: no credit left.
    PaymentRequired,
    PermissionDenied,
    NotFound,
    Timeout,
    /// The request is too large for this deployment whenever it comes: in bytes, or against a limit
    /// of tokens a minute that it exceeds alone.
    RequestTooLarge,
    RateLimit,
    ContextWindowExceeded,
    ContentPolicyViolation,
    /// The model wrote a tool call that its provider could not read. Another sample of the same
    /// request may well be fine.
    FailedGeneration,
    InternalServer,
    BadGateway,
    ServiceUnavailable,
    /// 529, and what means the same elsewhere.
    Overloaded,
    /// The provider could not be reached, or the connection broke.
    Connection,
}

impl ErrorClass {
    /// The class that a provider's status alone speaks of.
    pub fn of_status(status: u16) -> Self {
        match status {
            401 => Self::Authentication,
            402 => Self::PaymentRequired,
            403 => Self::PermissionDenied,
            404 => Self::NotFound,
            408 | 504 => Self::Timeout,
            413 => Self::RequestTooLarge,
            429 => Self::RateLimit,
            502 => Self::BadGateway,
            503 => Self::ServiceUnavailable,
            529 => Self::Overloaded,
            400..=499 => Self::BadRequest,
            _ => Self::InternalServer,
        }
    }

    /// Whether the same request may succeed at the same deployment a little later.
    pub fn may_pass(self) -> bool {
        match self {
            Self::Timeout
            | Self::RateLimit
            | Self::FailedGeneration
            | Self::InternalServer
            | Self::BadGateway
            | Self::ServiceUnavailable
            | Self::Overloaded
            | Self::Connection => true,
            Self::BadRequest
            | Self::Authentication
            | Self::PaymentRequired
            | Self::PermissionDenied
            | Self::NotFound
            | Self::RequestTooLarge
            | Self::ContextWindowExceeded
            | Self::ContentPolicyViolation => false,
        }
    }

    /// Whether another deployment may succeed where this one did not. A bad request is bad anywhere.
    pub fn may_pass_elsewhere(self) -> bool {
        self != Self::BadRequest
    }

    /// The name of LiteLLM's exception, by which retry policies and mocks know the class.
    pub fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequestError",
            Self::Authentication => "AuthenticationError",
            Self::PaymentRequired => "PaymentRequiredError",
            Self::PermissionDenied => "PermissionDeniedError",
            Self::NotFound => "NotFoundError",
            Self::Timeout => "Timeout",
            Self::RequestTooLarge => "RequestTooLargeError",
            Self::RateLimit => "RateLimitError",
            Self::ContextWindowExceeded => "ContextWindowExceededError",
            Self::ContentPolicyViolation => "ContentPolicyViolationError",
            Self::FailedGeneration | Self::InternalServer => "InternalServerError",
            Self::BadGateway => "BadGatewayError",
            Self::ServiceUnavailable | Self::Overloaded => "ServiceUnavailableError",
            Self::Connection => "APIConnectionError",
        }
    }
}
