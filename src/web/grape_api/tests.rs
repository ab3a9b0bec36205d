//! Tests of the HTTP interface of a Grape that is alone and enters the DHT by itself.

use super::*;
use actix_web::rt::time::timeout;
use bitfitech_actors::dht::DhtParts;
use bitfitech_core::dht::{DhtConfig, DhtEvent};
use bitfitech_core::krpc::NodeId;
use bitfitech_io::transport::PortFallback;
use bitfitech_io::udp::bind_udp;
use proptest::prelude::*;
use std::net::Ipv4Addr;

/// A Grape that has itself as its only neighbour, without HTTP around it.
fn grape() -> GrapeApi {
    let socket = bind_udp(Ipv4Addr::LOCALHOST, 0, PortFallback::Refuse).expect("bound");
    let address = socket.local_addr().expect("bound");
    let dht = DhtClient::default();
    let parts = DhtParts {
        config: DhtConfig::default(),
        bootstrap: vec![address.to_string().parse().expect("an address")],
        socket,
    };
    dht.run_unsupervised(&parts).expect("a socket");
    GrapeApi::new(dht, address.port(), 120_000)
}

/// Runs a test with the actors on its thread.
fn run(test: impl Future<Output = ()>) {
    actix_web::rt::System::new().block_on(test);
}

async fn ask(api: &GrapeApi, route: &str, data: Value) -> (u16, String) {
    let body = json!({"rid": "a", "data": data}).to_string();
    let answer = answer(api, route, body.as_bytes()).await;
    (answer.status, answer.body)
}

/// Requests, and what the original answers.
const REFUSED: [(&str, &str, u16, &str); 17] = [
    ("lookup", "", 500, "ERR_GRAPE_PAYLOAD_INVALID"),
    ("lookup", "garbage", 500, "ERR_GRAPE_PAYLOAD_INVALID"),
    (
        "lookup",
        "null",
        500,
        "Cannot read properties of null (reading 'data')",
    ),
    ("nowhere", "{}", 200, "\"ERR_REQ_NOTFOUND\""),
    ("lookup?a", "{}", 200, "\"ERR_REQ_NOTFOUND\""),
    ("lookup", "5", 200, "\"ERR_GRAPE_LOOKUP\""),
    ("Lookup", r#"{"data":""}"#, 200, "\"ERR_GRAPE_LOOKUP\""),
    ("announce", "{}", 200, "\"ERR_GRAPE_ANNOUNCE\""),
    (
        "announce",
        r#"{"data":["a"]}"#,
        200,
        "\"ERR_GRAPE_SERVICE_PORT\"",
    ),
    (
        "announce",
        r#"{"data":["a",1.5]}"#,
        200,
        "\"ERR_GRAPE_SERVICE_PORT\"",
    ),
    (
        "put",
        "{}",
        500,
        "Cannot read properties of undefined (reading 'k')",
    ),
    (
        "put",
        r#"{"data":null}"#,
        500,
        "Cannot read properties of null (reading 'k')",
    ),
    ("put", r#"{"data":{}}"#, 200, "\"opts.v not given\""),
    (
        "get",
        "{}",
        500,
        "Cannot read properties of undefined (reading 'salt')",
    ),
    ("get", r#"{"data":5}"#, 200, "\"ERR_GRAPE_GENERIC\""),
    ("get", r#"{"data":[]}"#, 200, "\"ERR_GRAPE_GENERIC\""),
    (
        "get",
        r#"{"data":{"hash":5}}"#,
        200,
        "\"ERR_GRAPE_GENERIC\"",
    ),
];

#[test]
fn what_cannot_be_understood_is_answered_as_the_original_does() {
    run(async {
        let api = grape();
        for (route, body, status, expected) in REFUSED {
            let got = answer(&api, route, body.as_bytes()).await;
            let body_and_route = format!("{route} {body}");
            assert_eq!(
                (got.status, got.body.as_str()),
                (status, expected),
                "{body_and_route}"
            );
        }
        let received = ask(&api, "announce", json!([5, 7])).await;
        assert_eq!(received.0, 500);
        assert!(
            received.1.ends_with("Received type number (5)"),
            "{}",
            received.1
        );
    });
}

#[test]
fn services_are_announced_and_looked_up() {
    run(async {
        let api = grape();
        assert_eq!(
            ask(&api, "lookup", json!("a")).await,
            (200, "[]".to_owned())
        );
        let announced = ask(&api, "announce", json!(["a", 7])).await;
        assert_eq!(announced, (200, "1".to_owned()));
        let found = ask(&api, "lookup", json!("a")).await;
        assert_eq!(found, (200, r#"["127.0.0.1:7"]"#.to_owned()));
        ask(&api, "announce", json!(["b", 0])).await;
        let own_port = format!(r#"["127.0.0.1:{}"]"#, api.dht_port);
        assert_eq!(ask(&api, "lookup", json!("b")).await.1, own_port);
        let impossible = ask(&api, "announce", json!(["c", 65_536])).await;
        assert_eq!(impossible, (200, "\"All queries failed\"".to_owned()));
    });
}

#[test]
fn what_is_repeated_within_a_moment_is_sent_once_more_at_its_end() {
    run(async {
        let api = grape();
        let mut events = api.dht.subscribe();
        let mut stored = async || loop {
            let next = timeout(Duration::from_secs(10), events.recv()).await;
            let event = next.expect("in time").expect("news");
            if let DhtEvent::Announced { name, .. } = event {
                return name;
            }
        };
        for _ in 0..3 {
            let announced = ask(&api, "announce", json!(["a", 7])).await;
            assert_eq!(announced, (200, "1".to_owned()));
        }
        let begun = Instant::now();
        assert_eq!(stored().await, b"a", "the first one");
        assert_eq!(stored().await, b"a", "the last one");
        assert!(begun.elapsed() > Duration::from_millis(500), "not at once");
        ask(&api, "announce", json!(["b", 7])).await;
        assert_eq!(stored().await, b"b", "nothing between them was sent");
        ask(&api, "announce", json!(["b", 8])).await;
        assert_eq!(stored().await, b"b", "another port is another service");
    });
}

#[test]
fn values_are_put_and_got() {
    run(async {
        let api = grape();
        let hash = "6d33adc2b6b2c14c3036feefb7fedbca1a880527";
        let put = ask(&api, "put", json!({"v": "hello world"})).await;
        assert_eq!(put, (200, format!("\"{hash}\"")));
        assert_eq!(ask(&api, "put", json!("hello world")).await, put);
        let (status, body) = ask(&api, "get", json!(hash)).await;
        assert_eq!(status, 200);
        let rest = body
            .strip_prefix("{\"id\":\"")
            .and_then(|body| body.get(40..));
        assert_eq!(rest, Some("\",\"token\":null,\"v\":\"hello world\"}"));
        let upper = json!({"hash": hash.to_uppercase()});
        assert_eq!(ask(&api, "get", upper).await.1, body);
        let nothing = ask(&api, "get", json!("00")).await;
        assert_eq!(nothing, (200, String::new()));
        let long = ask(&api, "put", json!({"v": "x".repeat(1_000)})).await;
        assert_eq!(long.1, "\"v must be less than 1000 bytes in put()\"");
    });
}

#[test]
fn arguments_of_a_changeable_value_are_checked_in_order() {
    let (key, sig) = ("11".repeat(32), "22".repeat(64));
    let cases = [
        (
            json!({"v": 1, "k": key, "cas": "1"}),
            "opts.cas must be an integer if provided",
        ),
        (
            json!({"v": 1, "k": "11"}),
            "opts.k ed25519 public key must be 32 bytes",
        ),
        (
            json!({"v": 1, "k": key}),
            "opts.sign function or options.sig signature is required for mutable put",
        ),
        (
            json!({"v": 1, "k": key, "sig": sig, "salt": "s".repeat(65)}),
            "opts.salt is > 64 bytes long",
        ),
        (
            json!({"v": 1, "k": key, "sig": sig}),
            "opts.seq not provided for a mutable update",
        ),
        (
            json!({"v": 1, "k": key, "sig": sig, "seq": "1"}),
            "opts.seq not an integer",
        ),
    ];
    for (options, expected) in cases {
        assert_eq!(put_request(&options), Err(expected.to_owned()), "{options}");
    }
    let good = json!({"v": 1, "k": key, "sig": sig, "seq": 4, "salt": "s", "cas": 3});
    let mutable = put_request(&good)
        .expect("in order")
        .mutable
        .expect("has a key");
    assert_eq!(mutable.signed.key, [0x11; 32]);
    assert_eq!(mutable.signed.signature, [0x22; 64]);
    assert_eq!((mutable.signed.sequence, mutable.compare), (4, Some(3)));
    assert_eq!(mutable.salt, b"s");
}

#[test]
fn a_found_value_has_its_fields_in_the_order_of_the_original() {
    let mut found = FoundValue {
        node: NodeId([0xab; 20]),
        token: None,
        value: b"i5e".to_vec(),
        mutable: Some(Signed {
            key: [1; 32],
            signature: [2; 64],
            sequence: 3,
        }),
    };
    let names = |body: &str| {
        let fields = body.trim_matches(['{', '}']).split(',');
        let names: Vec<&str> = fields.filter_map(|field| field.split('"').nth(1)).collect();
        names.join(" ")
    };
    assert_eq!(names(&found_body(&found, None)), "id token v sig k seq");
    found.token = Some(vec![9]);
    let body = found_body(&found, Some(b"salt"));
    assert_eq!(names(&body), "id k seq sig token v salt");
    assert!(
        body.contains("\"token\":\"09\",\"v\":\"5\",\"salt\":\"salt\""),
        "{body}"
    );
}

/// JSON of the fields of a put in wrong and right forms.
fn puts() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[0-9a-f]{0,70}|\\[1,2\\]|.{0,5}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        let field = "(v|k|sig|salt|seq|cas|type|data|length)";
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(field, inner, 0..7)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_put_is_understood_or_refused(options in puts()) {
        if let Ok(request) = put_request(&options) {
            let value = bencode::decode(&request.value);
            prop_assert!(value.is_ok() || request.value.is_empty(), "{:?}", request.value);
        }
    }

    #[test]
    fn any_body_gets_an_answer(body in prop::collection::vec(any::<u8>(), 0..60)) {
        // What is not even JSON needs no DHT, so none runs here.
        let api = GrapeApi::new(DhtClient::default(), 1, 120_000);
        run(async {
            let answer = answer(&api, "lookup", &body).await;
            assert!(!answer.body.is_empty());
        });
    }
}
