//! Errors as problem details (RFC 9457): a status, a code for programs, and how to mend it.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use bitfitech_actors::messages::{ErrorCode, ReplyError};
use serde_json::json;

/// The media type of problem details.
pub(super) const CONTENT_TYPE: &str = "application/problem+json";

/// What a client hears whose body is so long that it is not read.
pub(super) const TOO_LONG: &str = concat!(
    r#"{"type":"urn:bitfitech:problem:TOO_LONG","title":"Payload Too Large","status":413,"#,
    r#""code":"TOO_LONG","detail":"the body is longer than limits.max_message_kb: send less"}"#
);

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    code: String,
    detail: String,
    retry_after_s: Option<u64>,
    allow: Option<String>,
}

impl Problem {
    /// A problem with this status, code and detail.
    pub(super) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            detail: detail.into(),
            retry_after_s: None,
            allow: None,
        }
    }

    /// The request is malformed.
    pub(super) fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", detail)
    }

    /// There is nothing at this path.
    pub(super) fn no_route() -> Self {
        let detail = "there is nothing at this path: /openapi.json lists what there is";
        Self::new(StatusCode::NOT_FOUND, "UNKNOWN_PATH", detail)
    }

    /// The path takes other methods.
    pub(super) fn method(allow: String) -> Self {
        let detail = format!("this path takes {allow} only");
        Self {
            allow: Some(allow),
            ..Self::new(StatusCode::METHOD_NOT_ALLOWED, "BAD_METHOD", detail)
        }
    }

    /// The body is longer than allowed.
    pub(super) fn too_long() -> Self {
        let detail = "the body is longer than limits.max_message_kb: send less";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_LONG", detail)
    }

    /// The client asks too much; after so many milliseconds it may ask again.
    pub(super) fn too_many(wait_ms: u64, key: &str) -> Self {
        let seconds = wait_ms.div_ceil(1_000).max(1);
        let detail = format!("more requests than {key} allows: wait {seconds} s, or raise it");
        Self {
            retry_after_s: Some(seconds),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", detail)
        }
    }

    /// From a line `CODE: text`.
    pub(super) fn of_line(line: &str) -> Self {
        let (code, detail) = line.split_once(": ").unwrap_or(("BAD_REQUEST", line));
        let known = ErrorCode::ALL
            .into_iter()
            .find(|known| known.name() == code);
        match known {
            Some(known) => ReplyError::new(known, detail).into(),
            None => Self::new(StatusCode::BAD_REQUEST, code, detail),
        }
    }

    /// The fields are each as they must be, so what is wrong is what they say together.
    pub(super) fn unprocessable(mut self) -> Self {
        if self.status == StatusCode::BAD_REQUEST {
            self.status = StatusCode::UNPROCESSABLE_ENTITY;
        }
        self
    }

    /// The response that says so.
    pub(super) fn response(&self) -> HttpResponse {
        let body = json!({
            "type": format!("urn:bitfitech:problem:{}", self.code),
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
        });
        let mut response = HttpResponse::build(self.status);
        response.content_type(CONTENT_TYPE);
        response.insert_header((header::CACHE_CONTROL, "no-store"));
        if let Some(seconds) = self.retry_after_s {
            response.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        if let Some(methods) = &self.allow {
            response.insert_header((header::ALLOW, methods.clone()));
        }
        if self.status == StatusCode::UPGRADE_REQUIRED {
            response.insert_header((header::UPGRADE, "websocket"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        response.body(body.to_string())
    }
}

impl From<ReplyError> for Problem {
    fn from(error: ReplyError) -> Self {
        let busy = matches!(error.code, ErrorCode::Overloaded | ErrorCode::Unavailable);
        Self {
            retry_after_s: busy.then_some(1),
            ..Self::new(status_of(error.code), error.code.name(), error.text)
        }
    }
}

/// The status that goes with a code.
fn status_of(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::BadCommand
        | ErrorCode::UnknownCommand
        | ErrorCode::BadTradeId
        | ErrorCode::BadOrderId
        | ErrorCode::BadPeerId
        | ErrorCode::BadAddress
        | ErrorCode::TooLong => StatusCode::BAD_REQUEST,
        ErrorCode::BadAmount => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::UnknownPair
        | ErrorCode::UnknownOrder
        | ErrorCode::UnknownTrade
        | ErrorCode::UnknownPeer
        | ErrorCode::UnknownActor => StatusCode::NOT_FOUND,
        ErrorCode::AmbiguousOrder
        | ErrorCode::AmbiguousTrade
        | ErrorCode::AmbiguousPeer
        | ErrorCode::OrderClosed
        | ErrorCode::TradeFinal
        | ErrorCode::BadTrade => StatusCode::CONFLICT,
        ErrorCode::NotOwner
        | ErrorCode::NotMember
        | ErrorCode::NotAdministrator
        | ErrorCode::DrillsOff => StatusCode::FORBIDDEN,
        ErrorCode::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorCode::DhtOff
        | ErrorCode::DhtFailed
        | ErrorCode::ClockAhead
        | ErrorCode::Unavailable
        | ErrorCode::StoreFailed
        | ErrorCode::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_keeps_its_code_and_gets_its_status() {
        for (line, status, code) in [
            ("BAD_REQUEST: price must be a text", 400, "BAD_REQUEST"),
            ("BAD_AMOUNT: QTY must be more than 0", 422, "BAD_AMOUNT"),
            ("ORDER_CLOSED: it is filled", 409, "ORDER_CLOSED"),
            (
                "UNKNOWN_ORDER: no order begins with it",
                404,
                "UNKNOWN_ORDER",
            ),
            ("NOT_OWNER: it belongs to another", 403, "NOT_OWNER"),
            ("TIMEOUT: no answer", 504, "TIMEOUT"),
        ] {
            let problem = Problem::of_line(line);
            assert_eq!((problem.status.as_u16(), &*problem.code), (status, code));
            assert!(line.ends_with(&problem.detail), "{line}");
        }
        let overloaded = Problem::of_line("OVERLOADED: try again");
        assert_eq!(overloaded.retry_after_s, Some(1));
    }

    #[test]
    fn the_words_for_a_long_body_are_problem_details_too() {
        let words: serde_json::Value = serde_json::from_str(TOO_LONG).expect("JSON");
        assert_eq!(
            (&words["code"], &words["status"]),
            (&json!("TOO_LONG"), &json!(413))
        );
    }
}
