//! From a request to a command: parameters are checked, and become words of a line.
//!
//! As with the RPC service, the console's grammar is the one place that knows what a market takes;
//! here it is made sure that each value is one word of the kind that the route names.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::{StatusCode, header};
use actix_web::web::Query;
use bitfitech_actors::command_model::{IdPrefix, OrderName};
use bitfitech_actors::context::NodeContext;
use bitfitech_actors::mailbox::QueryError;
use bitfitech_actors::matcher::AskPath;
use serde_json::{Map, Value, json};

use super::problem::Problem;
use super::routes::{Call, Kind, ORDERS_DEFAULT, Parameter, Place, Route};
use crate::rpc_actions::{Action, CLIENT_ID_BYTES_MAX, new_order, replace};

/// Longest value of a parameter that is no name.
const VALUE_BYTES_MAX: usize = 64;

/// How long the matcher may take to answer.
const QUERY_MS: u64 = 10_000;

/// The parameters of a request, by name, each as its route wants it.
#[derive(Debug, Default)]
pub(super) struct Arguments(BTreeMap<&'static str, String>);

impl Arguments {
    /// Reads and checks them.
    ///
    /// # Errors
    /// Which one is not as the route takes it.
    pub(super) fn read(
        route: &'static Route,
        ids: &[&str],
        request: &HttpRequest,
    ) -> Result<Self, Problem> {
        let mut values = BTreeMap::new();
        let in_path = route.parameters.iter().filter(|it| it.place == Place::Path);
        for (parameter, value) in in_path.zip(ids) {
            check(parameter, value)?;
            values.insert(parameter.name, (*value).to_owned());
        }
        for parameter in route
            .parameters
            .iter()
            .filter(|it| it.place == Place::Header)
        {
            if let Some(value) = request.headers().get(parameter.name) {
                let value = value.to_str().unwrap_or("");
                check(parameter, value)?;
                values.insert(parameter.name, value.to_owned());
            }
        }
        let pairs = Query::<Vec<(String, String)>>::from_query(request.query_string());
        let pairs = pairs.map_err(|_| Problem::bad("what stands behind `?` cannot be read"))?;
        for (name, value) in pairs.into_inner() {
            let known = route.parameters.iter();
            let mut known = known.filter(|it| it.place == Place::Query);
            let Some(parameter) = known.find(|parameter| parameter.name == name) else {
                return Err(unknown(route, &name));
            };
            check(parameter, &value)?;
            if values.insert(parameter.name, value).is_some() {
                return Err(Problem::bad(format!("{name} is given twice: keep one")));
            }
        }
        if values.contains_key("other") && !values.contains_key("order") {
            let detail = "other needs order: give both, or order alone";
            return Err(Problem::bad(detail).unprocessable());
        }
        Ok(Self(values))
    }

    /// A parameter; `None` if it is not given.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A parameter that is a number.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    /// The line for the console.
    pub(super) fn line(&self, call: Call) -> String {
        let word = |name| self.get(name).unwrap_or_default();
        match call {
            Call::Book => format!("book {} {}", word("pair"), word("depth")),
            Call::Trades => format!("trades {} {}", word("pair"), word("limit")),
            Call::Orders => {
                let scope = self.get("scope").filter(|scope| *scope == "all");
                let limit = self.number("limit").unwrap_or(u64::from(ORDERS_DEFAULT));
                format!("orders {} {limit}", scope.unwrap_or_default())
            }
            Call::Order => format!("order {}", word("order")),
            Call::Cancel => format!("cancel {}", word("order")),
            Call::Confirm => format!("confirm {}", word("trade")),
            Call::Release => format!("release {}", word("trade")),
            Call::Clock => format!("clock {} {}", word("order"), word("other")),
            Call::Peers => "peers".to_owned(),
            Call::Breakers => "breakers".to_owned(),
            Call::Topology => "topology".to_owned(),
            Call::Tree => "tree".to_owned(),
            Call::Digest => "digest".to_owned(),
            Call::Stats => "stats".to_owned(),
            // These are no commands of the console.
            _ => String::new(),
        }
    }
}

fn unknown(route: &Route, name: &str) -> Problem {
    let shown: String = name.chars().take(VALUE_BYTES_MAX).collect();
    let known = route
        .parameters
        .iter()
        .filter(|it| it.place == Place::Query);
    let known: Vec<&str> = known.map(|parameter| parameter.name).collect();
    let known = match known.is_empty() {
        true => "there are none".to_owned(),
        false => format!("there are {}", known.join(", ")),
    };
    Problem::bad(format!("there is no parameter `{shown}`; {known}"))
}

/// Checks a value against what its parameter may be.
fn check(parameter: &Parameter, value: &str) -> Result<(), Problem> {
    let is_short = !value.is_empty() && value.len() <= VALUE_BYTES_MAX;
    let (fits, expected) = match parameter.kind {
        Kind::Pair => (
            is_short && is_pair(value),
            "BASE/QUOTE such as BTC/USD".to_owned(),
        ),
        Kind::Count { max, .. } => (
            is_digits(value)
                && value
                    .parse()
                    .is_ok_and(|number: u32| (1..=max).contains(&number)),
            format!("a whole number from 1 to {max}"),
        ),
        Kind::Number => (
            is_digits(value) && value.parse::<u64>().is_ok(),
            "the number of an event".to_owned(),
        ),
        Kind::Id => (
            IdPrefix::parse(value).is_some(),
            "the first 8 to 64 hexadecimal digits of an id".to_owned(),
        ),
        Kind::Order => (
            OrderName::parse(value).is_some(),
            "the first 8 to 64 hexadecimal digits of an id, with .N behind them if it has one"
                .to_owned(),
        ),
        Kind::Choice(words) => (
            words.contains(&value),
            format!("one of {}", words.join(", ")),
        ),
        Kind::Name => (
            is_name(value),
            "1 to 128 visible characters of ASCII".to_owned(),
        ),
        Kind::File => (is_short, "the name of a file".to_owned()),
    };
    if fits {
        return Ok(());
    }
    let name = parameter.name;
    Err(Problem::bad(format!("{name} must be {expected}")))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_pair(text: &str) -> bool {
    let part =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    text.split_once('/')
        .is_some_and(|(base, quote)| part(base) && part(quote))
}

fn is_name(text: &str) -> bool {
    let visible = |byte: u8| byte.is_ascii_graphic();
    (1..=CLIENT_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(visible)
}

/// The body of a request for a route that takes one.
///
/// # Errors
/// When it is no JSON, or does not say that it is.
pub(super) fn body_of(
    route: &Route,
    request: &HttpRequest,
    body: &[u8],
) -> Result<Option<Value>, Problem> {
    if route.body.is_none() {
        return Ok(None);
    }
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        let detail = "the body must be JSON, and say so: Content-Type: application/json";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(Problem::new(status, "BAD_CONTENT_TYPE", detail));
    }
    let parsed = serde_json::from_slice(body);
    parsed
        .map(Some)
        .map_err(|error| Problem::bad(format!("the body must be JSON: {error}")))
}

/// What an order by HTTP is for the console.
///
/// # Errors
/// Which field is not as it must be.
pub(super) fn action_of(
    call: Call,
    arguments: &Arguments,
    body: Option<Value>,
) -> Result<Action, Problem> {
    let Some(Value::Object(mut body)) = body else {
        return Err(Problem::bad(
            "the body must be an object with the fields of the order",
        ));
    };
    take_name(arguments, &mut body)?;
    let action = if call == Call::Place {
        new_order(&body)
    } else {
        if body.contains_key("order") {
            return Err(Problem::bad(
                "the order stands in the path: leave it out of the body",
            ));
        }
        if !body.contains_key("price") && !body.contains_key("quantity") {
            return Err(Problem::bad("the body needs price, quantity, or both"));
        }
        body.insert("order".to_owned(), json!(arguments.get("order")));
        replace(&body)
    };
    action.map_err(|line| Problem::of_line(&line))
}

/// Makes the header and the field that name a request one.
fn take_name(arguments: &Arguments, body: &mut Map<String, Value>) -> Result<(), Problem> {
    let in_body = body.get("client_id").filter(|name| !name.is_null());
    if in_body.is_some_and(|name| name.as_str().is_some_and(|name| !is_name(name))) {
        let detail = "client_id must be 1 to 128 visible characters of ASCII, or a number";
        return Err(Problem::bad(detail));
    }
    if let Some(name) = arguments.get("Idempotency-Key") {
        if in_body.is_some_and(|other| *other != json!(name)) {
            let detail = "client_id and Idempotency-Key differ: give one of them";
            return Err(Problem::bad(detail).unprocessable());
        }
        body.insert("client_id".to_owned(), json!(name));
    }
    Ok(())
}

/// How an order came to this node.
///
/// # Errors
/// When there is no such order, or the matcher does not answer.
pub(super) async fn path_of(
    node: &Arc<NodeContext>,
    arguments: &Arguments,
) -> Result<Value, Problem> {
    let name = OrderName::parse(arguments.get("order").unwrap_or_default());
    let name = name.ok_or_else(|| Problem::bad("order must be an id"))?;
    let answer = node.refs.matcher.query(AskPath(name), QUERY_MS).await;
    let path = answer.map_err(|error| unanswered(&error))??;
    let from = path.sighting.map(|sighting| match sighting.from {
        Some((peer, via)) => json!({"node": peer.to_hex(), "via": via.name()}),
        None => json!({"node": null, "via": "written"}),
    });
    Ok(json!({
        "order": path.order.to_hex(),
        "operation": path.operation.to_hex(),
        "author": path.author.to_hex(),
        "time_ms": path.time_unix_ms,
        "node": node.identity.author().to_hex(),
        "from": from,
        "received_ms": path.sighting.map(|sighting| sighting.at_unix_ms),
    }))
}

/// An actor did not answer.
pub(super) fn unanswered(error: &QueryError) -> Problem {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    Problem::new(status, "UNAVAILABLE", error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::routes;
    use actix_web::http::Method;
    use actix_web::test::TestRequest;

    fn arguments(target: &str) -> Result<(Call, Arguments), Problem> {
        let request = TestRequest::get().uri(target).to_http_request();
        let found = routes::find(&Method::GET, request.path())?;
        let arguments = Arguments::read(found.route, &found.ids, &request)?;
        Ok((found.route.call, arguments))
    }

    #[test]
    fn parameters_become_words() {
        for (target, line) in [
            ("/api/v1/book", "book"),
            ("/api/v1/book?pair=BTC%2FUSD&depth=5", "book BTC/USD 5"),
            ("/api/v1/trades?limit=7", "trades 7"),
            ("/api/v1/orders", "orders 500"),
            ("/api/v1/orders?scope=all", "orders all 500"),
            ("/api/v1/orders?limit=7&scope=open", "orders 7"),
            ("/api/v1/orders/ab12cd34", "order ab12cd34"),
            (
                "/api/v1/clock?order=ab12cd34&other=ab12cd35",
                "clock ab12cd34 ab12cd35",
            ),
        ] {
            let (call, arguments) = arguments(target).expect("as wanted");
            let line_of_it = arguments.line(call);
            let words: Vec<&str> = line_of_it.split_whitespace().collect();
            assert_eq!(words.join(" "), line, "{target}");
        }
    }

    #[test]
    fn what_is_not_as_the_route_takes_it_is_refused() {
        for target in [
            "/api/v1/book?pair=BTC",
            "/api/v1/book?pair=BTC/USD%20cancel",
            "/api/v1/book?depth=0",
            "/api/v1/book?depth=10001",
            "/api/v1/book?depth=%2B5",
            "/api/v1/book?depth=5&depth=6",
            "/api/v1/book?dept=5",
            "/api/v1/orders?scope=mine",
            "/api/v1/orders/all",
            "/api/v1/orders/ab12cd3x",
            "/api/v1/clock?other=ab12cd34",
            "/api/v1/stream?from=-1",
        ] {
            arguments(target).expect_err(target);
        }
    }

    #[test]
    fn a_request_has_one_name() {
        let named = |header: Option<&str>, body: Value| {
            let mut arguments = Arguments::default();
            if let Some(name) = header {
                arguments.0.insert("Idempotency-Key", name.to_owned());
            }
            let mut order = json!({"side": "buy", "quantity": "1", "price": "2"});
            order["client_id"] = body;
            action_of(Call::Place, &arguments, Some(order)).map(|action| action.client_id)
        };
        assert_eq!(named(None, Value::Null), Ok(None));
        assert_eq!(named(Some("a"), Value::Null), Ok(Some("a".to_owned())));
        assert_eq!(named(Some("a"), json!("a")), Ok(Some("a".to_owned())));
        assert_eq!(named(None, json!(7)), Ok(Some("7".to_owned())));
        assert!(named(Some("a"), json!("b")).is_err());
        assert!(named(None, json!("a b")).is_err());
    }
}
