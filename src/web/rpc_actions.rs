//! From the payload of an RPC request to a command of the console.
//!
//! The console's grammar is the one place that knows what a market takes, so a request becomes a
//! line for it. Words of the request are put into the line only after it is sure that each is one
//! word: nothing that a client sends can become another command.

use serde_json::{Map, Value};

/// Longest word of a request. The longest honest one is the id of an order.
const WORD_BYTES_MAX: usize = 64;

/// Longest `client_id`. A guess: three times a UUID.
pub(crate) const CLIENT_ID_BYTES_MAX: usize = 128;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// The line for the console.
    pub line: String,
    /// The client's own name for an order, by which a repeated request is known.
    pub client_id: Option<String>,
}

impl Action {
    pub(crate) fn line(line: String) -> Self {
        Self {
            line,
            client_id: None,
        }
    }
}

/// Understands a payload.
///
/// # Errors
/// What was expected, as `CODE: text`.
pub fn action_of(payload: &Value) -> Result<Action, String> {
    let name = payload.get("action").and_then(Value::as_str);
    let name = name.ok_or_else(|| bad("the payload must be {\"action\": …, \"args\": […]}"))?;
    let nothing = Vec::new();
    let arguments = match payload.get("args") {
        None => &nothing,
        Some(arguments) => arguments
            .as_array()
            .ok_or_else(|| bad("args must be a list"))?,
    };
    match name {
        "order.new" => new_order(body(arguments)?),
        "order.replace" => replace(body(arguments)?),
        "order.cancel" => Ok(Action::line(format!("cancel {}", id(arguments)?))),
        "order.get" => Ok(Action::line(format!("order {}", id(arguments)?))),
        "orders" | "digest" | "peers" => Ok(Action::line(name.to_owned())),
        "book" => view("book", "depth", arguments),
        "trades" => view("trades", "limit", arguments),
        _ => Err(format!(
            "UNKNOWN_ACTION: there is no action `{}`; there are order.new, order.replace, \
             order.cancel, order.get, orders, book, trades, digest, peers",
            name.chars().take(WORD_BYTES_MAX).collect::<String>()
        )),
    }
}

fn bad(text: &str) -> String {
    format!("BAD_REQUEST: {text}")
}

/// The one argument that is an object.
fn body(arguments: &[Value]) -> Result<&Map<String, Value>, String> {
    let body = arguments.first().and_then(Value::as_object);
    body.ok_or_else(|| bad("the first of args must be an object with the fields of the order"))
}

/// The one argument that is the id of an order.
fn id(arguments: &[Value]) -> Result<String, String> {
    let first = arguments.first().unwrap_or(&Value::Null);
    word("the order", first, is_of_order_name)
}

/// Whether the name of an order may have this byte.
fn is_of_order_name(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || byte == b'.'
}

/// A text that is one word of these bytes.
fn word(field: &str, value: &Value, fits: impl Fn(u8) -> bool) -> Result<String, String> {
    let text = value.as_str().ok_or_else(|| match value {
        Value::Number(_) => bad(&format!(
            "{field} must be a text such as \"0.5\": a JSON number may have been rounded"
        )),
        _ => bad(&format!("{field} must be a text")),
    })?;
    let fits = !text.is_empty() && text.len() <= WORD_BYTES_MAX && text.bytes().all(fits);
    if fits {
        Ok(text.to_owned())
    } else {
        Err(bad(&format!(
            "{field} has a character that does not belong there"
        )))
    }
}

fn decimal(field: &str, value: &Value) -> Result<String, String> {
    word(field, value, |byte| byte.is_ascii_digit() || byte == b'.')
}

fn pair(body: &Map<String, Value>) -> Result<String, String> {
    match body.get("pair") {
        None | Some(Value::Null) => Ok(String::new()),
        Some(value) => word("pair", value, |byte| {
            byte.is_ascii_alphanumeric() || byte == b'/'
        }),
    }
}

/// One of these words.
fn choice(
    body: &Map<String, Value>,
    field: &str,
    words: &[&str],
) -> Result<Option<String>, String> {
    match body.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_str().filter(|text| words.contains(text)) {
            Some(text) => Ok(Some(text.to_owned())),
            None => Err(bad(&format!("{field} must be one of {}", words.join(", ")))),
        },
    }
}

/// A whole number.
fn whole(body: &Map<String, Value>, field: &str) -> Result<Option<u64>, String> {
    match body.get(field) {
        None | Some(Value::Null) => Ok(None),
        // As in JSON Schema, 1.0 is a whole number.
        Some(value) => match value.as_u64().or_else(|| whole_float(value.as_f64()?)) {
            Some(number) => Ok(Some(number)),
            None => Err(bad(&format!("{field} must be a whole number"))),
        },
    }
}

/// A number that has only zeros behind its point. From 2^53 on it may have been rounded.
fn whole_float(number: f64) -> Option<u64> {
    let is_whole = number.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(&number);
    is_whole
        .then(|| format!("{number:.0}").parse().ok())
        .flatten()
}

/// Fields that an order has; others are refused, for a misspelt one would be lost in silence.
const ORDER_FIELDS: [&str; 10] = [
    "pair",
    "side",
    "type",
    "price",
    "quantity",
    "tif",
    "ttl_ms",
    "stp",
    "client_id",
    "order",
];

fn check_fields(body: &Map<String, Value>, known: &[&str]) -> Result<(), String> {
    match body.keys().find(|field| !known.contains(&field.as_str())) {
        None => Ok(()),
        Some(field) => {
            let field: String = field.chars().take(WORD_BYTES_MAX).collect();
            Err(bad(&format!(
                "there is no field `{field}`; there are {}",
                known.join(", ")
            )))
        }
    }
}

fn client_id(body: &Map<String, Value>) -> Result<Option<String>, String> {
    let Some(value) = body.get("client_id").filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return Err(bad("client_id must be a text or a number")),
    };
    if text.len() > CLIENT_ID_BYTES_MAX {
        return Err(bad("client_id is longer than 128 bytes"));
    }
    Ok(Some(text))
}

fn required<'a>(body: &'a Map<String, Value>, field: &str) -> Result<&'a Value, String> {
    body.get(field)
        .ok_or_else(|| bad(&format!("the order needs {field}")))
}

/// An order from its fields.
///
/// # Errors
/// What was expected, as `CODE: text`.
pub(crate) fn new_order(body: &Map<String, Value>) -> Result<Action, String> {
    check_fields(body, &ORDER_FIELDS[..9])?;
    let side = choice(body, "side", &["buy", "sell"])?;
    let side = side.ok_or_else(|| bad("the order needs side, buy or sell"))?;
    let quantity = decimal("quantity", required(body, "quantity")?)?;
    let kind = choice(body, "type", &["limit", "market"])?;
    let price = body.get("price").filter(|price| !price.is_null());
    let price = price.map(|price| decimal("price", price)).transpose()?;
    let pricing = match (kind.as_deref(), price) {
        (Some("market"), None) => "market".to_owned(),
        (Some("market"), Some(price)) => format!("market limit={price}"),
        (_, Some(price)) => format!("@ {price}"),
        (_, None) => {
            return Err(bad(
                "a limit order needs price, a text such as \"30000.01\"",
            ));
        }
    };
    let mut line = [side, quantity, pair(body)?, pricing].join(" ");
    // The usual time in force has no word of its own on the console.
    let tif = choice(body, "tif", &["gtc", "ioc", "fok", "post"])?;
    if let Some(tif) = tif.filter(|tif| tif != "gtc") {
        line += &format!(" {tif}");
    }
    if let Some(policy) = choice(body, "stp", &["newest", "oldest", "both"])? {
        line += &format!(" stp={policy}");
    }
    if let Some(ttl_ms) = whole(body, "ttl_ms")? {
        line += &format!(" ttl={ttl_ms}ms");
    }
    let client_id = client_id(body)?;
    Ok(Action { line, client_id })
}

/// New terms of an order from their fields.
///
/// # Errors
/// What was expected, as `CODE: text`.
pub(crate) fn replace(body: &Map<String, Value>) -> Result<Action, String> {
    check_fields(body, &["order", "quantity", "price", "client_id"])?;
    let order = word("order", required(body, "order")?, is_of_order_name)?;
    let mut line = format!("replace {order}");
    if let Some(quantity) = body.get("quantity") {
        line += &format!(" {}", decimal("quantity", quantity)?);
    }
    if let Some(price) = body.get("price") {
        line += &format!(" @ {}", decimal("price", price)?);
    }
    let client_id = client_id(body)?;
    Ok(Action { line, client_id })
}

/// A view of a market, and how much of it.
fn view(command: &str, count: &str, arguments: &[Value]) -> Result<Action, String> {
    let nothing = Map::new();
    let body = match arguments.first() {
        None | Some(Value::Null) => &nothing,
        Some(value) => value
            .as_object()
            .ok_or_else(|| bad("the first of args must be an object"))?,
    };
    check_fields(body, &["pair", count])?;
    let mut line = format!("{command} {}", pair(body)?);
    if let Some(number) = whole(body, count)? {
        line += &format!(" {number}");
    }
    Ok(Action::line(line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn line(action: &str, arguments: Value) -> Result<String, String> {
        action_of(&json!({"action": action, "args": arguments})).map(|action| {
            let words: Vec<&str> = action.line.split_whitespace().collect();
            words.join(" ")
        })
    }

    #[test]
    fn actions_become_commands() {
        let full = json!([{
            "pair": "BTC/USD", "side": "buy", "type": "limit", "price": "30000.01",
            "quantity": "0.5", "tif": "ioc", "ttl_ms": 100, "stp": "both", "client_id": "a",
        }]);
        let cases = [
            (
                "order.new",
                full,
                "buy 0.5 BTC/USD @ 30000.01 ioc stp=both ttl=100ms",
            ),
            (
                "order.new",
                json!([{"side": "sell", "quantity": "1", "price": "2", "tif": "gtc"}]),
                "sell 1 @ 2",
            ),
            (
                "order.new",
                json!([{"side": "sell", "quantity": "1", "type": "market"}]),
                "sell 1 market",
            ),
            (
                "order.replace",
                json!([{"order": "ab12", "price": "3"}]),
                "replace ab12 @ 3",
            ),
            ("order.cancel", json!(["ab12"]), "cancel ab12"),
            ("order.get", json!(["ab12"]), "order ab12"),
            ("orders", json!([]), "orders"),
            (
                "book",
                json!([{"pair": "BTC/USD", "depth": 5}]),
                "book BTC/USD 5",
            ),
            ("trades", json!([{"limit": 7}]), "trades 7"),
            ("digest", json!([]), "digest"),
            ("peers", json!([]), "peers"),
        ];
        for (action, arguments, expected) in cases {
            assert_eq!(line(action, arguments), Ok(expected.to_owned()));
        }
    }

    #[test]
    fn nothing_becomes_another_command() {
        let order = |field: &str, value: Value| {
            let mut body = json!({"side": "buy", "quantity": "1", "price": "2"});
            body[field] = value;
            line("order.new", json!([body])).expect_err("refused")
        };
        let rounded = order("quantity", json!(0.5));
        assert!(rounded.contains("rounded"), "{rounded}");
        for (field, value) in [
            ("quantity", json!("1 @ 3")),
            ("quantity", json!("-1")),
            ("price", json!("2\ncancel all")),
            ("price", json!("2 # ")),
            ("pair", json!("BTC/USD @")),
            ("side", json!("cancel")),
            ("tif", json!("ioc ttl=1ms")),
            ("stp", json!(["newest"])),
            ("ttl_ms", json!(-1)),
            ("client_id", json!("x".repeat(129))),
            ("quanttity", json!("1")),
        ] {
            let refused = order(field, value);
            assert!(refused.starts_with("BAD_REQUEST: "), "{refused}");
            assert!(refused.contains(field), "{refused}");
        }
        assert!(line("order.cancel", json!(["all"])).is_err());
        assert!(line("order.cancel", json!([])).is_err());
        for payload in [json!(null), json!("hello"), json!({"action": 5}), json!([])] {
            assert!(action_of(&payload).is_err(), "{payload}");
        }
        let unknown = line("crash", json!(["store"])).expect_err("refused");
        assert!(unknown.starts_with("UNKNOWN_ACTION: "), "{unknown}");
    }

    /// JSON with the fields and words of the actions in wrong and right places.
    fn payloads() -> impl Strategy<Value = Value> {
        let word = "(buy|sell|limit|market|gtc|ioc|both|1|0[.]5|BTC/USD|ab12cd34|all|x y|@|#|\n)?";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            word.prop_map(Value::from),
        ];
        let field = "(side|quantity|price|pair|type|tif|ttl_ms|stp|client_id|order|depth|limit)";
        let body = leaf.prop_recursive(3, 24, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(field, inner, 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        });
        let action = "(order[.](new|replace|cancel|get)|orders|book|trades|digest|peers|quit)";
        let arguments = prop::collection::vec(body, 0..3);
        (action, arguments).prop_map(|(action, args)| json!({"action": action, "args": args}))
    }

    proptest! {
        #[test]
        fn any_payload_becomes_one_line_of_an_allowed_command_or_an_error(payload in payloads()) {
            match action_of(&payload) {
                Err(error) => prop_assert!(error.contains(": "), "{}", error),
                Ok(action) => {
                    let first = action.line.split(' ').next().unwrap_or_default();
                    let allowed = [
                        "buy", "sell", "replace", "cancel", "order", "orders", "book", "trades",
                        "digest", "peers",
                    ];
                    prop_assert!(allowed.contains(&first), "{}", action.line);
                    prop_assert!(!action.line.contains(['\n', '#']), "{}", action.line);
                    prop_assert!(action.line != "cancel all");
                }
            }
        }
    }
}
