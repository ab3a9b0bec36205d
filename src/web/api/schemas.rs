//! The schemas of `/openapi.json`: what bodies and answers look like.
//!
//! Objects are closed: an answer with a field that is not here fails the contract tests, so what
//! the console's replies gain has to be written down here too.

use serde_json::{Map, Value, json};

/// All of them by name.
pub(super) fn schemas() -> Value {
    let mut all = Map::new();
    for part in [
        words(),
        orders(),
        market_data(),
        network(),
        node(),
        errors(),
    ] {
        if let Value::Object(part) = part {
            all.extend(part);
        }
    }
    Value::Object(all)
}

/// An object with these fields, all of them always there.
fn closed(properties: Value) -> Value {
    let names = properties
        .as_object()
        .map(|fields| fields.keys().cloned().collect::<Vec<_>>());
    json!({
        "type": "object",
        "properties": properties,
        "required": names,
        "additionalProperties": false,
    })
}

fn of(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn list(of: Value) -> Value {
    json!({"type": "array", "items": of})
}

fn nullable(kind: &str) -> Value {
    json!({"type": [kind, "null"]})
}

fn number() -> Value {
    json!({"type": "integer", "minimum": 0})
}

fn words() -> Value {
    json!({
        "Id": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "Decimal": {
            "type": "string",
            "pattern": "^[0-9]+(\\.[0-9]+)?$",
            "maxLength": 64,
            "examples": ["0.5", "30000.01"],
        },
        "Status": {
            "type": "string",
            "enum": ["open", "filled", "cancelled", "expired", "lapsed", "rejected"],
        },
        "Side": {"type": "string", "enum": ["buy", "sell"]},
        "ClientId": {
            "anyOf": [
                {"type": "string", "pattern": "^[!-~]{1,128}$"},
                {"type": "number"},
                {"type": "null"},
            ],
            "description": "A name for this request: when it is repeated, the first answer is \
                            given again and nothing is done",
        },
    })
}

/// The fields that every new order may have.
fn order_terms(kind: Value, tif: &[&str]) -> Value {
    json!({
        "pair": {
            "type": "string",
            "pattern": "^[A-Za-z0-9]+/[A-Za-z0-9]+$",
            "maxLength": 64,
            "description": "The market; the first one by default",
        },
        "side": of("Side"),
        "type": kind,
        "price": of("Decimal"),
        "quantity": of("Decimal"),
        "tif": {"type": "string", "enum": tif},
        "ttl_ms": {"type": "integer", "minimum": 1, "maximum": 31_536_000_000_u64},
        "stp": {"type": "string", "enum": ["newest", "oldest", "both"]},
        "client_id": of("ClientId"),
    })
}

fn orders() -> Value {
    let limit = json!({
        "type": "object",
        "description": "An order with a price; decimals are strings, numbers are refused",
        "properties": order_terms(json!({"const": "limit"}), &["gtc", "ioc", "fok", "post"]),
        "required": ["side", "quantity", "price"],
        "additionalProperties": false,
    });
    let market = json!({
        "type": "object",
        "description": "An order that takes what is there, up to `price` if that is given",
        "properties": order_terms(json!({"const": "market"}), &["gtc"]),
        "required": ["side", "quantity", "type"],
        "additionalProperties": false,
    });
    json!({
        "NewOrder": {"anyOf": [limit, market]},
        "NewTerms": {
            "type": "object",
            "properties": {
                "quantity": of("Decimal"),
                "price": of("Decimal"),
                "client_id": of("ClientId"),
            },
            "anyOf": [{"required": ["quantity"]}, {"required": ["price"]}],
            "additionalProperties": false,
        },
        "Placed": closed(json!({
            "order": of("Id"),
            "status": of("Status"),
            "reason": nullable("string"),
            "filled": of("Decimal"),
            "remaining": of("Decimal"),
            "trades": list(of("Trade")),
        })),
        "Order": closed(json!({
            "order": of("Id"),
            "author": of("Id"),
            "pair": {"type": "string"},
            "side": of("Side"),
            "price": {"anyOf": [of("Decimal"), {"type": "null"}]},
            "quantity": of("Decimal"),
            "filled": of("Decimal"),
            "status": of("Status"),
            "reason": nullable("string"),
            "late_ms": number(),
        })),
        "Orders": closed(json!({"orders": list(of("Order"))})),
        "Path": closed(json!({
            "order": of("Id"),
            "operation": of("Id"),
            "author": of("Id"),
            "time_ms": number(),
            "node": of("Id"),
            "from": {
                "anyOf": [
                    {"type": "null"},
                    closed(json!({
                        "node": {"anyOf": [of("Id"), {"type": "null"}]},
                        "via": {"type": "string", "enum": ["written", "pushed", "pulled"]},
                    })),
                ],
            },
            "received_ms": nullable("integer"),
        })),
    })
}

fn market_data() -> Value {
    let level = json!({
        "type": "array",
        "prefixItems": [of("Decimal"), of("Decimal"), number()],
        "minItems": 3,
        "maxItems": 3,
    });
    json!({
        "Level": level,
        "Book": closed(json!({
            "pair": {"type": "string"},
            "bids": list(of("Level")),
            "asks": list(of("Level")),
            "digest": of("Id"),
        })),
        "Trade": closed(json!({
            "id": of("Id"),
            "pair": {"type": "string"},
            "price": of("Decimal"),
            "quantity": of("Decimal"),
            "buy": of("Id"),
            "sell": of("Id"),
            "taker": of("Side"),
            "status": {"type": "string", "enum": ["tentative", "amended", "busted", "final"]},
            "time_ms": number(),
            "rev": number(),
            "unsafe": {"type": "boolean"},
        })),
        "Trades": closed(json!({"trades": list(of("Trade"))})),
    })
}

fn network() -> Value {
    json!({
        "Peers": closed(json!({"peers": list(closed(json!({
            "node": of("Id"),
            "address": {"type": "string"},
            "direction": {"type": "string", "enum": ["inbound", "outbound"]},
            "state": {"type": "string"},
            "rtt_ms": nullable("integer"),
            "behind": number(),
            "score": {"type": "integer"},
            "reason": nullable("string"),
        })))})),
        "Breakers": closed(json!({"breakers": list(closed(json!({
            "address": {"type": "string"},
            "state": {"type": "string", "enum": ["closed", "open", "half_open"]},
            "failures": number(),
            "retry_in_ms": number(),
        })))})),
        "Topology": closed(json!({"topology": list(closed(json!({
            "node": of("Id"),
            "links": list(of("Id")),
        })))})),
        "Gossip": closed(json!({"gossip": list(closed(json!({
            "author": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
            "parent": {"anyOf": [of("Id"), {"type": "null"}]},
            "eager": list(of("Id")),
            "lazy": list(of("Id")),
        })))})),
        "Clock": {
            "anyOf": [
                closed(json!({
                    "clock": {"type": "object", "additionalProperties": number()},
                })),
                closed(json!({
                    "relation": {
                        "type": "string",
                        "enum": ["before", "after", "concurrent", "equal"],
                    },
                })),
            ],
        },
        "Digest": closed(json!({
            "operations": number(),
            "set": of("Id"),
            "book": of("Id"),
            "trades": of("Id"),
            "final_trades": of("Id"),
            "orders": of("Id"),
        })),
    })
}

fn node() -> Value {
    json!({
        "Tree": closed(json!({
            "name": {"type": "string"},
            "state": {
                "type": "string",
                "enum": ["starting", "running", "restarting", "stopping", "stopped"],
            },
            "restarts": number(),
            "generation": number(),
            "mailbox": number(),
            "children": list(of("Tree")),
        })),
        "Stats": closed(json!({
            "stats": {"type": "object", "additionalProperties": number()},
        })),
        "Node": closed(json!({
            "node": of("Id"),
            "network": {"type": "string"},
            "mode": {"type": "string"},
            "version": {"type": "string"},
            "p2p": nullable("string"),
            "token": {"type": "boolean"},
            "nodes": list(json!({"type": "string"})),
            "markets": list(closed(json!({
                "pair": {"type": "string"},
                "tick": of("Decimal"),
                "lot": of("Decimal"),
            }))),
        })),
        "Health": closed(json!({
            "status": {"type": "string", "enum": ["pass", "fail"]},
            "down": list(json!({"type": "string"})),
            "restarts": number(),
        })),
        "Ready": closed(json!({
            "status": {"type": "string", "enum": ["pass", "fail"]},
            "store": {"type": "boolean"},
            "matcher": {"type": "boolean"},
            "own_chain": {"type": "boolean"},
        })),
        "OpenApi": {"type": "object"},
    })
}

fn errors() -> Value {
    json!({
        "Problem": closed(json!({
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "code": {"type": "string", "pattern": "^[A-Z_]+$"},
            "detail": {"type": "string"},
        })),
    })
}
