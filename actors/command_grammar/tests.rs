//! The grammar against the examples of the interface, against arbitrary text, and against its
//! own printer.

use bitfitech_core::types::{Lots, OpId, OrderId, Ticks};
use proptest::prelude::*;

use super::*;
use crate::command_fixtures::genesis;
use crate::command_help::COMMANDS;
use crate::messages::ErrorCode;

/// The command of a line that must be one.
fn command(line: &str) -> Command {
    match parse(line, &genesis()) {
        Ok(Some(command)) => command,
        other => panic!("`{line}`: {other:?}"),
    }
}

/// Code and text of the error of a line that must be wrong.
fn refusal(line: &str) -> (ErrorCode, String) {
    match parse(line, &genesis()) {
        Err(error) => (error.code(), error.to_string()),
        other => panic!("`{line}`: {other:?}"),
    }
}

/// The command that places an order without a time limit.
fn placing(place: Place) -> Command {
    let ttl_ms = None;
    Command::Place(NewOrder { place, ttl_ms })
}

/// A resting limit order in the first market.
fn limit_buy(price: u64, quantity: u64) -> Place {
    Place {
        market: MarketIndex(0),
        side: Side::Buy,
        pricing: Pricing::Limit(Ticks(price)),
        quantity: Lots(quantity),
        time_in_force: TimeInForce::GoodTillCancel,
        self_trade: SelfTrade::CancelNewest,
        expires_ms: None,
    }
}

fn name(text: &str) -> OrderName {
    OrderName::parse(text).expect("a name")
}

fn prefix(text: &str) -> IdPrefix {
    IdPrefix::parse(text).expect("a prefix")
}

#[test]
fn blank_lines_and_comments_are_no_commands() {
    let long_comment = format!("# {}", "x".repeat(LINE_BYTES_MAX));
    let long_blank = " ".repeat(LINE_BYTES_MAX + 1);
    for line in [
        "",
        "   ",
        "\t \r",
        "# buy 1 @ 2",
        "  #",
        &long_comment,
        &long_blank,
    ] {
        assert_eq!(parse(line, &genesis()), Ok(None), "`{line}`");
    }
}

#[test]
fn blanks_case_and_comments_do_not_matter() {
    let expected = placing(limit_buy(3_000_000, 50_000_000));
    for line in [
        "buy 0.5 @ 30000",
        "buy 0.5 @30000",
        "buy 0.5@30000",
        "buy 0.5 BTC/USD@ 30000.00",
        "  BUY\t0.50   btc/usd @\t30000  # a comment",
        "Buy 0.5 @ 30000 STP=Newest\r",
    ] {
        assert_eq!(command(line), expected, "`{line}`");
    }
}

#[test]
fn limit_orders_take_their_options_in_any_order() {
    let expected = placing(Place {
        side: Side::Sell,
        market: MarketIndex(1),
        pricing: Pricing::Limit(Ticks(20_001)),
        quantity: Lots(1_500),
        time_in_force: TimeInForce::FillOrKill,
        self_trade: SelfTrade::CancelBoth,
        expires_ms: None,
    });
    assert_eq!(command("sell 1.5 ETH/USD @ 2000.1 fok stp=both"), expected);
    assert_eq!(command("sell 1.5 ETH/USD @ 2000.1 stp=both FOK"), expected);
    for (option, time_in_force) in [
        ("ioc", TimeInForce::ImmediateOrCancel),
        ("post", TimeInForce::PostOnly),
    ] {
        let expected = Place {
            time_in_force,
            ..limit_buy(100, 100_000_000)
        };
        assert_eq!(command(&format!("buy 1 @ 1 {option}")), placing(expected));
    }
}

#[test]
fn orders_that_wait_may_have_a_time_limit() {
    let (gtc, post) = (TimeInForce::GoodTillCancel, TimeInForce::PostOnly);
    for (options, time_in_force, ttl_ms) in [
        ("ttl=30s", gtc, 30_000),
        ("TTL=500MS post", post, 500),
        ("post stp=newest ttl=365d", post, TTL_MAX_MS),
        ("ttl=1ms", gtc, 1),
    ] {
        let place = Place {
            time_in_force,
            ..limit_buy(100, 100_000_000)
        };
        let ttl_ms = Some(ttl_ms);
        let expected = Command::Place(NewOrder { place, ttl_ms });
        assert_eq!(command(&format!("buy 1 @ 1 {options}")), expected);
    }
    for (options, words) in [
        ("ttl=0s", "ttl=`0s`: expected a whole number"),
        ("ttl=366d", "from 1ms to 365d"),
        ("ttl=", "ttl=``"),
        ("ttl=30", "such as ttl=30s"),
        ("ttl=1s ttl=1s", "ttl= is given twice"),
        ("ttl=1s ioc", "expected no ttl="),
        ("fok ttl=1s", "instead of `ttl=1s`"),
    ] {
        let (code, text) = refusal(&format!("buy 1 @ 1 {options}"));
        assert_eq!(code, ErrorCode::BadCommand, "{options}");
        assert!(text.contains(words), "{options}: {text}");
    }
    let (code, _) = refusal("buy 1 market ttl=1s");
    assert_eq!(code, ErrorCode::BadCommand);
}

#[test]
fn trades_are_named_like_orders() {
    let trade = prefix("77aa01d2");
    assert_eq!(command("confirm 77AA01d2"), Command::Confirm(trade));
    assert_eq!(command("release 77aa01d2"), Command::Release(trade));
    assert_eq!(refusal("confirm").0, ErrorCode::BadCommand);
    assert_eq!(refusal("release 77aa01d2 x").0, ErrorCode::BadCommand);
    let (code, text) = refusal("confirm 77aa");
    assert_eq!(code, ErrorCode::BadTradeId);
    assert!(
        text.contains("`77aa` is no trade") && text.contains("`trades`"),
        "{text}"
    );
}

#[test]
fn market_orders_have_a_protection_price_if_given() {
    let unprotected = Place {
        pricing: Pricing::Market(None),
        time_in_force: TimeInForce::ImmediateOrCancel,
        ..limit_buy(0, 25_000_000)
    };
    assert_eq!(command("buy 0.25 market"), placing(unprotected.clone()));
    let protected = Place {
        pricing: Pricing::Market(Some(Ticks(3_100_050))),
        self_trade: SelfTrade::CancelOldest,
        ..unprotected
    };
    let line = "buy 0.25 BTC/USD MARKET limit=31000.5 stp=oldest";
    assert_eq!(command(line), placing(protected));
}

#[test]
fn pairs_that_differ_in_case_only_are_told_apart() {
    for (line, market) in [
        ("book ETH/USD", 1),
        ("book eth/usd", 2),
        ("book btc/usd", 0),
    ] {
        let expected = Command::Book {
            market: MarketIndex(market),
            depth: BOOK_DEPTH_DEFAULT,
        };
        assert_eq!(command(line), expected);
    }
    assert_eq!(refusal("book Eth/usd").0, ErrorCode::UnknownPair);
}

#[test]
fn views_have_defaults_and_limits() {
    let book = |market, depth| Command::Book {
        market: MarketIndex(market),
        depth,
    };
    let trades = |market, limit| Command::Trades {
        market: MarketIndex(market),
        limit,
    };
    assert_eq!(command("book"), book(0, BOOK_DEPTH_DEFAULT));
    assert_eq!(command("book 5"), book(0, 5));
    assert_eq!(command("book ETH/USD 7"), book(1, 7));
    assert_eq!(command("trades"), trades(0, 50));
    assert_eq!(command("trades 1000000"), trades(0, 1_000_000));
    assert_eq!(command("trades ETH/USD 3"), trades(1, 3));
    for line in [
        "book 0",
        "book 10001",
        "trades 0",
        "trades 1000001",
        "trades -1",
        "trades 9999999999",
    ] {
        assert_eq!(refusal(line).0, ErrorCode::BadCommand, "`{line}`");
    }
}

#[test]
fn orders_are_named_by_8_to_64_digits_of_either_case() {
    let full = "ab".repeat(32);
    assert_eq!(
        command("cancel DEADbeef"),
        Command::Cancel(name("deadbeef"))
    );
    assert_eq!(
        command(&format!("order {full}")),
        Command::Order(name(&full))
    );
    assert_eq!(command("cancel ALL"), Command::CancelAll);
    let orders = |scope, limit| Command::Orders { scope, limit };
    assert_eq!(command("orders"), orders(OrdersScope::Open, None));
    assert_eq!(command("orders all"), orders(OrdersScope::All, None));
    assert_eq!(command("orders 7"), orders(OrdersScope::Open, Some(7)));
    assert_eq!(command("orders ALL 9"), orders(OrdersScope::All, Some(9)));
    let compare = ClockQuery::Compare(name("01234567"), name("89abcdef0.17"));
    assert_eq!(
        command("clock 01234567 89abcdef0.17"),
        Command::Clock(compare)
    );
    let digits = ["deadbee", "deadbeeg", "deadbéef", &"a".repeat(65), "all"];
    let numbers = [
        "deadbeef.",
        "deadbeef.256",
        "deadbeef.+1",
        "deadbeef.1.2",
        "dead.beef0",
    ];
    for word in digits.into_iter().chain(numbers) {
        assert_eq!(
            refusal(&format!("order {word}")).0,
            ErrorCode::BadOrderId,
            "{word}"
        );
    }
    assert_eq!(refusal("disconnect 123").0, ErrorCode::BadPeerId);
    assert_eq!(refusal("disconnect deadbeef.1").0, ErrorCode::BadPeerId);
    assert_eq!(refusal("confirm deadbeef.1").0, ErrorCode::BadTradeId);
}

#[test]
fn orders_of_one_operation_are_named_by_their_numbers() {
    let order = |index| OrderId::new(&OpId([0xab; 32]), index);
    assert_eq!(order(0).name(), "abababab");
    assert_eq!(order(7).name(), "abababab.7");
    let any = name("abababab");
    assert!(any.has_number_of(&order(0)) && any.has_number_of(&order(7)));
    let seventh = name(&order(7).name());
    assert!(seventh.has_number_of(&order(7)) && !seventh.has_number_of(&order(0)));
    assert_eq!(any.numbered(&order(0)).to_string(), "abababab.0");
    for name in [any, seventh] {
        assert!((name.low()..=name.high()).contains(&order(7)), "{name}");
    }
}

#[test]
fn a_prefix_matches_exactly_the_ids_in_its_range() {
    let odd = prefix("deadbeef1");
    assert_eq!(odd.to_string(), "deadbeef1");
    let id = |text: &str| OrderId::from_hex(&format!("{text:0<64}")).expect("an id").0;
    assert!(odd.matches(&id("deadbeef10")) && odd.matches(&id("deadbeef1fff")));
    assert!(!odd.matches(&id("deadbeef0f")) && !odd.matches(&id("deadbeef2")));
    assert_eq!(odd.low(), id("deadbeef1"));
    assert_eq!(odd.high()[..6], [0xde, 0xad, 0xbe, 0xef, 0x1f, 0xff]);
}

#[test]
fn a_replace_is_read_in_the_market_of_its_order() {
    let Command::Replace(replace) = command("replace deadbeef 0.5 @29000.5") else {
        panic!("a replace");
    };
    let terms = replace.terms(&genesis().markets[0]);
    let expected = crate::command_model::ReplaceTerms {
        quantity: Some(Lots(50_000_000)),
        price: Some(Ticks(2_900_050)),
    };
    assert_eq!(terms, Ok(expected));
    for (line, quantity, price) in [
        ("replace deadbeef 0.25", Some("0.25"), None),
        ("replace deadbeef @ 7", None, Some("7")),
    ] {
        let owned = |text: Option<&str>| text.map(str::to_string);
        let (quantity, price) = (owned(quantity), owned(price));
        let expected = Replace {
            order: name("deadbeef"),
            quantity,
            price,
        };
        assert_eq!(command(line), Command::Replace(expected));
    }
}

#[test]
fn replace_amounts_that_no_market_allows_are_refused_at_once() {
    let only_in_the_third = command("replace deadbeef @ 0.005");
    assert!(matches!(only_in_the_third, Command::Replace(_)));
    assert_eq!(refusal("replace deadbeef @ 0.001").0, ErrorCode::BadAmount);
    assert_eq!(refusal("replace deadbeef x").0, ErrorCode::BadAmount);
    assert_eq!(refusal("replace deadbeef").0, ErrorCode::BadCommand);
    assert_eq!(refusal("replace deadbeef 1 @").0, ErrorCode::BadCommand);
    assert_eq!(refusal("replace deadbeef 1 2").0, ErrorCode::BadCommand);
}

#[test]
fn addresses_are_host_and_port() {
    for (line, host, port) in [
        ("connect example.org:3000", "example.org", 3000),
        ("connect 192.0.2.7:1", "192.0.2.7", 1),
        ("connect [::1]:65535", "::1", 65535),
    ] {
        let Command::Connect(address) = command(line) else {
            panic!("{line}")
        };
        assert_eq!((address.host(), address.port()), (host, port));
    }
    for word in [
        "localhost",
        ":3000",
        "host:",
        "host:0",
        "host:65536",
        "host:+1",
        "::1:3000",
        "[::1]",
        "[host]:1",
        "10.1:3000",
        "999.1.1.1:3000",
        "-a:1",
        "a b:1",
        "http://host:1",
        "h\u{f6}st:1",
    ] {
        assert_eq!(
            refusal(&format!("connect {word}")).0,
            ErrorCode::BadAddress,
            "{word}"
        );
    }
}

#[test]
fn log_levels_and_targets_are_checked() {
    let log = |level, target: Option<&str>| Command::Log {
        level,
        target: target.map(str::to_string),
    };
    assert_eq!(command("log DEBUG"), log(LogLevel::Debug, None));
    assert_eq!(command("log off a::b"), log(LogLevel::Off, Some("a::b")));
    assert_eq!(refusal("log loud").0, ErrorCode::BadCommand);
    assert_eq!(refusal("log info a=trace").0, ErrorCode::BadCommand);
    assert_eq!(
        command("crash peer:[::1]:3000"),
        Command::Crash("peer:[::1]:3000".to_string())
    );
}

/// Lines that are refused, with the code and some words of the answer.
const REFUSED: &[(&str, ErrorCode, &str)] = &[
    ("bok", ErrorCode::UnknownCommand, "did you mean `book`"),
    ("frobnicate", ErrorCode::UnknownCommand, "`help` lists all"),
    ("help bok", ErrorCode::UnknownCommand, "did you mean `book`"),
    (
        "buy",
        ErrorCode::BadCommand,
        "expected QTY at the end; usage: buy QTY [PAIR]",
    ),
    (
        "buy 1",
        ErrorCode::BadCommand,
        "expected `@ PRICE` or `market`",
    ),
    ("buy 1 @", ErrorCode::BadCommand, "expected PRICE"),
    ("buy 1 at 5", ErrorCode::BadCommand, "instead of `at`"),
    (
        "buy 1 @ 5 gtd=30s",
        ErrorCode::BadCommand,
        "expected ioc, fok, post, stp=",
    ),
    ("buy 1 @ 5 ioc fok", ErrorCode::BadCommand, "given twice"),
    (
        "buy 1 @ 5 stp=none",
        ErrorCode::BadCommand,
        "stp=newest|oldest|both",
    ),
    (
        "buy 1 market ioc",
        ErrorCode::BadCommand,
        "a market order never waits",
    ),
    (
        "buy 1 market limit=5 limit=6",
        ErrorCode::BadCommand,
        "limit= is given twice",
    ),
    ("buy 0 @ 5", ErrorCode::BadAmount, "QTY must be more than 0"),
    (
        "buy -1 @ 5",
        ErrorCode::BadAmount,
        "QTY: `-1` is not a plain decimal",
    ),
    (
        "buy 1 @ 5.001",
        ErrorCode::BadAmount,
        "5.001 is not a multiple of 0.01",
    ),
    (
        "buy 1 @ 1000000.01",
        ErrorCode::BadAmount,
        "above the limit 1000000",
    ),
    (
        "buy 1 market limit=0",
        ErrorCode::BadAmount,
        "limit=PRICE must be more than 0",
    ),
    (
        "buy 1 XMR/USD @ 5",
        ErrorCode::UnknownPair,
        "has BTC/USD, ETH/USD, eth/usd",
    ),
    (
        "buy 1 BTCUSD @ 5",
        ErrorCode::UnknownPair,
        "`BTCUSD` is no market",
    ),
    ("book XMR/USD", ErrorCode::UnknownPair, "`XMR/USD`"),
    (
        "cancel 12",
        ErrorCode::BadOrderId,
        "8 to 64 hexadecimal digits",
    ),
    ("connect nowhere", ErrorCode::BadAddress, "HOST:PORT"),
    (
        "peers all",
        ErrorCode::BadCommand,
        "expected the end of the line instead of `all`",
    ),
    (
        "cancel all all",
        ErrorCode::BadCommand,
        "usage: cancel ORDER|all",
    ),
];

#[test]
fn errors_say_what_was_expected_and_how_to_mend() {
    for (line, code, words) in REFUSED.iter().copied() {
        let (actual, text) = refusal(line);
        assert_eq!(actual, code, "`{line}`: {text}");
        assert!(text.contains(words), "`{line}`: {text}");
    }
}

#[test]
fn long_lines_are_refused_whole() {
    let fits = format!("book {}", " ".repeat(LINE_BYTES_MAX - 5));
    assert!(matches!(command(&fits), Command::Book { .. }));
    let (code, text) = refusal(&format!("{fits} "));
    assert_eq!(code, ErrorCode::TooLong);
    assert!(text.contains("4097 bytes, at most 4096"), "{text}");
}

#[test]
fn replies_are_named_after_the_first_word() {
    let long = "x".repeat(33);
    for (line, word) in [
        ("  book 5", "book"),
        ("BUY 1 @ 2", "BUY"),
        ("a#b c", "a#b"),
        ("\u{fc}ber", "?"),
        ("bo\u{7f}ok", "?"),
        ("bo\u{0}ok", "?"),
        (&long, "?"),
        (&long[1..], &long[1..]),
        ("", "?"),
    ] {
        assert_eq!(reply_word(line), word);
    }
}

/// Words that come near to commands.
fn word() -> impl Strategy<Value = String> {
    let fixed = prop::sample::select(vec![
        "@",
        "market",
        "all",
        "ioc",
        "fok",
        "post",
        "stp=both",
        "stp=",
        "limit=5",
        "limit=",
        "0.5",
        "30000",
        "BTC/USD",
        "eth/usd",
        "X/Y",
        "deadbeef",
        "DEADBEEF01",
        "[::1]:5",
        "a.b:70000",
        "info",
        "#",
        "/",
        "=",
        "@@",
        "1@2",
        "1000000",
        "-1",
    ]);
    let commands: Vec<_> = COMMANDS.iter().map(|command| command.word).collect();
    prop_oneof![
        4 => fixed.prop_map(str::to_string),
        1 => prop::sample::select(commands).prop_map(str::to_string),
        1 => "\\PC{0,12}",
    ]
}

/// Lines that begin with a command and go on with words that come near to its own.
fn line() -> impl Strategy<Value = String> {
    let commands: Vec<_> = COMMANDS.iter().map(|command| command.word).collect();
    (
        prop::sample::select(commands),
        prop::collection::vec(word(), 0..7),
    )
        .prop_map(|(first, rest)| format!("{first} {}", rest.join(" ")))
}

fn order_name() -> impl Strategy<Value = OrderName> {
    r"[0-9a-fA-F]{8,64}(\.(25[0-5]|[1-9]?[0-9]))?".prop_map(|text| name(&text))
}

fn id_prefix() -> impl Strategy<Value = IdPrefix> {
    "[0-9a-fA-F]{8,64}".prop_map(|text| prefix(&text))
}

fn place() -> impl Strategy<Value = Command> {
    let terms = prop::sample::select(vec![
        TimeInForce::GoodTillCancel,
        TimeInForce::ImmediateOrCancel,
        TimeInForce::FillOrKill,
        TimeInForce::PostOnly,
    ]);
    let policies = prop::sample::select(vec![
        SelfTrade::CancelNewest,
        SelfTrade::CancelOldest,
        SelfTrade::CancelBoth,
    ]);
    let sides = prop::sample::select(vec![Side::Buy, Side::Sell]);
    let price = 1..=10_000_000_u64;
    let pricing = prop_oneof![
        price.clone().prop_map(|price| Pricing::Limit(Ticks(price))),
        prop::option::of(price.prop_map(Ticks)).prop_map(Pricing::Market),
    ];
    (
        0..3_u16,
        sides,
        pricing,
        1..=1_000_000_000_u64,
        terms,
        policies,
        prop::option::of(1..=TTL_MAX_MS),
    )
        .prop_map(
            |(market, side, pricing, quantity, terms, self_trade, ttl_ms)| {
                let time_in_force = match pricing {
                    Pricing::Limit(_) => terms,
                    Pricing::Market(_) => TimeInForce::ImmediateOrCancel,
                };
                let (market, quantity) = (MarketIndex(market), Lots(quantity));
                let rests = [TimeInForce::GoodTillCancel, TimeInForce::PostOnly];
                let place = Place {
                    market,
                    side,
                    pricing,
                    quantity,
                    time_in_force,
                    self_trade,
                    expires_ms: None,
                };
                let ttl_ms = ttl_ms.filter(|_| rests.contains(&time_in_force));
                Command::Place(NewOrder { place, ttl_ms })
            },
        )
}

fn other_command() -> impl Strategy<Value = Command> {
    let amount = || "[1-9][0-9]{0,4}(\\.[1-9])?";
    let replace = (order_name(), prop::option::of(amount()), amount());
    let host = "([a-z0-9]{1,9}\\.){0,2}[a-z][a-z0-9]{0,9}|\\[::[1-9a-f]{1,4}\\]";
    let levels = prop::sample::select(LogLevel::ALL.to_vec());
    let topics: Vec<_> = COMMANDS.iter().map(|command| command.word).collect();
    prop_oneof![
        order_name().prop_map(Command::Cancel),
        order_name().prop_map(Command::Order),
        id_prefix().prop_map(Command::Confirm),
        id_prefix().prop_map(Command::Release),
        id_prefix().prop_map(Command::Disconnect),
        order_name().prop_map(|one| Command::Clock(ClockQuery::Of(one))),
        (order_name(), order_name())
            .prop_map(|(one, other)| Command::Clock(ClockQuery::Compare(one, other))),
        replace.prop_map(|(order, quantity, price)| {
            Command::Replace(Replace {
                order,
                quantity,
                price: Some(price),
            })
        }),
        (0..3_u16, 1..=BOOK_DEPTH_MAX).prop_map(|(market, depth)| Command::Book {
            market: MarketIndex(market),
            depth
        }),
        (
            prop::sample::select(vec![OrdersScope::Open, OrdersScope::All]),
            prop::option::of(1..=ORDERS_MAX)
        )
            .prop_map(|(scope, limit)| Command::Orders { scope, limit }),
        (0..3_u16, 1..=TRADES_MAX).prop_map(|(market, limit)| Command::Trades {
            market: MarketIndex(market),
            limit
        }),
        (host, 1..=u16::MAX).prop_map(|(host, port)| {
            Command::Connect(format!("{host}:{port}").parse().expect("an address"))
        }),
        (levels, prop::option::of("[a-z_:]{1,20}"))
            .prop_map(|(level, target)| Command::Log { level, target }),
        "[a-z:.0-9\\[\\]]{1,40}".prop_map(Command::Crash),
        prop::sample::select(topics).prop_map(|topic| Command::Help(Some(topic))),
        prop::sample::select(vec![
            Command::CancelAll,
            Command::Peers,
            Command::Breakers,
            Command::Topology,
            Command::Clock(ClockQuery::Own),
            Command::Digest,
            Command::Stats,
            Command::Tree,
            Command::Help(None),
            Command::Quit,
        ]),
    ]
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(line in any::<String>()) {
        if let Err(error) = parse(&line, &genesis()) {
            prop_assert!(!error.to_string().contains(char::is_control));
        }
        prop_assert!(reply_word(&line).len() <= REPLY_WORD_BYTES_MAX);
    }

    #[test]
    fn what_is_accepted_prints_to_a_line_that_means_the_same(line in line()) {
        let genesis = genesis();
        match parse(&line, &genesis) {
            Ok(Some(command)) => {
                prop_assert_eq!(parse(&command.text(&genesis), &genesis), Ok(Some(command)));
            }
            Ok(None) => prop_assert!(false, "`{}` begins with a command", line),
            Err(error) => prop_assert!(!error.to_string().contains(char::is_control)),
        }
    }

    #[test]
    fn printed_commands_parse_back(command in prop_oneof![place(), other_command()]) {
        let genesis = genesis();
        let text = command.text(&genesis);
        prop_assert_eq!(parse(&text, &genesis), Ok(Some(command)));
    }
}
