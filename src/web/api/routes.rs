//! The table of routes: what there is, what it takes, and what it answers.
//!
//! Requests are checked against it and `/openapi.json` is written from it.

use actix_web::http::Method;
use bitfitech_actors::command_model::{BOOK_DEPTH_DEFAULT, BOOK_DEPTH_MAX, TRADES_DEFAULT};

use super::problem::Problem;

/// Most trades of one answer: some 10 MB.
const TRADES_MAX: u32 = 20_000;

/// Orders of one answer when no number is given.
pub(super) const ORDERS_DEFAULT: u32 = 500;

/// Most orders of one answer.
const ORDERS_MAX: u32 = 20_000;

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Book,
    Trades,
    Orders,
    Order,
    Path,
    Place,
    Replace,
    Cancel,
    Confirm,
    Release,
    Peers,
    Breakers,
    Topology,
    Gossip,
    Tree,
    Digest,
    Stats,
    Clock,
    Node,
    Stream,
    Health,
    Ready,
    Metrics,
    OpenApi,
    Page,
}

/// The method of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
    Put,
    Delete,
}

impl Verb {
    /// As requests say it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }

    /// A request that wants the head of an answer alone asks for the answer.
    fn fits(self, method: &Method) -> bool {
        method.as_str() == self.name() || (self == Self::Get && method == Method::HEAD)
    }
}

/// Whether a route needs the token, if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protection {
    /// It says nothing that is not public.
    None,
    /// It needs the token.
    Token,
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the path.
    Path,
    /// Behind the question mark.
    Query,
    /// Among the headers.
    Header,
}

/// What a parameter may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// BASE/QUOTE.
    Pair,
    /// A whole number from 1 to `max`.
    Count {
        /// The number when none is given.
        default: u32,
        /// The greatest.
        max: u32,
    },
    /// The number of an event.
    Number,
    /// 8 to 64 hexadecimal digits.
    Id,
    /// The same, and behind a point the number of an order in its operation, if it is needed.
    Order,
    /// One of these words, the first if none is given.
    Choice(&'static [&'static str]),
    /// 1 to 128 visible characters of ASCII.
    Name,
    /// A file of the page.
    File,
}

/// A parameter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameter {
    pub(super) place: Place,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) about: &'static str,
}

/// A route.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) verb: Verb,
    pub(super) path: &'static str,
    pub(super) call: Call,
    pub(super) about: &'static str,
    pub(super) parameters: &'static [Parameter],
    /// Name of the schema of the body that it takes.
    pub(super) body: Option<&'static str>,
    /// Name of the schema of what it answers; `None` if that is no JSON.
    pub(super) answer: Option<&'static str>,
    pub(super) protection: Protection,
}

const fn parameter(place: Place, name: &'static str, kind: Kind, about: &'static str) -> Parameter {
    Parameter {
        place,
        name,
        kind,
        about,
    }
}

const fn query(name: &'static str, kind: Kind, about: &'static str) -> Parameter {
    parameter(Place::Query, name, kind, about)
}

const PAIR: Parameter = query("pair", Kind::Pair, "The market; the first one by default");

const ORDER: Parameter = parameter(
    Place::Path,
    "order",
    Kind::Order,
    "The order: the first 8 to 64 hexadecimal digits of its id, with .N behind them where orders \
     of one operation differ only there",
);

const TRADE: Parameter = parameter(
    Place::Path,
    "trade",
    Kind::Id,
    "The trade: the first 8 to 64 hexadecimal digits of its id",
);

const ONCE: Parameter = parameter(
    Place::Header,
    "Idempotency-Key",
    Kind::Name,
    "A name for this request: when it is repeated, the first answer is given again and nothing \
     is done. The same as client_id",
);

const DEPTH: Parameter = query(
    "depth",
    Kind::Count {
        default: BOOK_DEPTH_DEFAULT,
        max: BOOK_DEPTH_MAX,
    },
    "Levels of each side",
);

const TRADES_LIMIT: Parameter = query(
    "limit",
    Kind::Count {
        default: TRADES_DEFAULT,
        max: TRADES_MAX,
    },
    "How many of the newest",
);

const ORDERS_LIMIT: Parameter = query(
    "limit",
    Kind::Count {
        default: ORDERS_DEFAULT,
        max: ORDERS_MAX,
    },
    "How many of the newest",
);

const SCOPE: Parameter = query(
    "scope",
    Kind::Choice(&["open", "all"]),
    "Open orders, or ended ones too",
);

const CLOCK_OF: Parameter = query(
    "order",
    Kind::Order,
    "The order whose clock is wanted; without it the node's own",
);

const CLOCK_OTHER: Parameter = query(
    "other",
    Kind::Order,
    "Another order: the answer is how the clocks of both relate",
);

const FROM: Parameter = query(
    "from",
    Kind::Number,
    "The last event that the client has: what came after it follows",
);

const FILE: Parameter = parameter(Place::Path, "file", Kind::File, "A file of the page");

const fn get(
    path: &'static str,
    call: Call,
    about: &'static str,
    parameters: &'static [Parameter],
    answer: &'static str,
) -> Route {
    Route {
        verb: Verb::Get,
        path,
        call,
        about,
        parameters,
        body: None,
        answer: Some(answer),
        protection: Protection::Token,
    }
}

/// A route that changes something.
const fn change(
    (verb, path): (Verb, &'static str),
    call: Call,
    about: &'static str,
    parameters: &'static [Parameter],
    answer: &'static str,
) -> Route {
    Route {
        verb,
        ..get(path, call, about, parameters, answer)
    }
}

/// A route that anybody may ask, also where there is a token.
const fn open(
    path: &'static str,
    call: Call,
    about: &'static str,
    parameters: &'static [Parameter],
    answer: Option<&'static str>,
) -> Route {
    Route {
        answer,
        protection: Protection::None,
        ..get(path, call, about, parameters, "")
    }
}

/// All routes.
pub(super) const ROUTES: &[Route] = &[
    get("/api/v1/book", Call::Book, "A book", &[PAIR, DEPTH], "Book"),
    get(
        "/api/v1/trades",
        Call::Trades,
        "The newest trades, newest last",
        &[PAIR, TRADES_LIMIT],
        "Trades",
    ),
    get(
        "/api/v1/orders",
        Call::Orders,
        "Own orders, oldest first",
        &[SCOPE, ORDERS_LIMIT],
        "Orders",
    ),
    Route {
        body: Some("NewOrder"),
        ..change(
            (Verb::Post, "/api/v1/orders"),
            Call::Place,
            "Place an order; answered when it is on disk",
            &[ONCE],
            "Placed",
        )
    },
    get(
        "/api/v1/orders/{order}",
        Call::Order,
        "An order of any author",
        &[ORDER],
        "Order",
    ),
    Route {
        body: Some("NewTerms"),
        ..change(
            (Verb::Put, "/api/v1/orders/{order}"),
            Call::Replace,
            "Give an own order new terms",
            &[ORDER, ONCE],
            "Placed",
        )
    },
    change(
        (Verb::Delete, "/api/v1/orders/{order}"),
        Call::Cancel,
        "Cancel an own order",
        &[ORDER],
        "Order",
    ),
    get(
        "/api/v1/orders/{order}/path",
        Call::Path,
        "How an order came to this node",
        &[ORDER],
        "Path",
    ),
    change(
        (Verb::Post, "/api/v1/trades/{trade}/confirm"),
        Call::Confirm,
        "Confirm an own trade now",
        &[TRADE],
        "Trade",
    ),
    change(
        (Verb::Post, "/api/v1/trades/{trade}/release"),
        Call::Release,
        "Take an own confirmation back",
        &[TRADE],
        "Trade",
    ),
    get(
        "/api/v1/peers",
        Call::Peers,
        "Established sessions",
        &[],
        "Peers",
    ),
    get(
        "/api/v1/breakers",
        Call::Breakers,
        "Circuits of peer addresses",
        &[],
        "Breakers",
    ),
    get(
        "/api/v1/topology",
        Call::Topology,
        "Nodes and their links, as peers tell",
        &[],
        "Topology",
    ),
    get(
        "/api/v1/gossip",
        Call::Gossip,
        "This node's place in the trees along which authors' operations travel",
        &[],
        "Gossip",
    ),
    get(
        "/api/v1/tree",
        Call::Tree,
        "The supervision tree",
        &[],
        "Tree",
    ),
    get(
        "/api/v1/digest",
        Call::Digest,
        "Digests: equal sets of operations give equal ones",
        &[],
        "Digest",
    ),
    get(
        "/api/v1/stats",
        Call::Stats,
        "Numbers about the node",
        &[],
        "Stats",
    ),
    get(
        "/api/v1/clock",
        Call::Clock,
        "A vector clock, or how two relate",
        &[CLOCK_OF, CLOCK_OTHER],
        "Clock",
    ),
    get(
        "/api/v1/node",
        Call::Node,
        "Who this node is, and its markets",
        &[],
        "Node",
    ),
    Route {
        protection: Protection::Token,
        ..open(
            "/api/v1/stream",
            Call::Stream,
            "A WebSocket: a snapshot, then numbered events and states",
            &[PAIR, FROM],
            None,
        )
    },
    open(
        "/health",
        Call::Health,
        "Whether every actor runs",
        &[],
        Some("Health"),
    ),
    open(
        "/ready",
        Call::Ready,
        "Whether orders can be placed",
        &[],
        Some("Ready"),
    ),
    Route {
        protection: Protection::Token,
        ..open(
            "/metrics",
            Call::Metrics,
            "Metrics (OpenMetrics)",
            &[],
            None,
        )
    },
    open(
        "/openapi.json",
        Call::OpenApi,
        "This document",
        &[],
        Some("OpenApi"),
    ),
    open("/", Call::Page, "The page", &[], None),
    open(
        "/page/{file}",
        Call::Page,
        "Parts of the page",
        &[FILE],
        None,
    ),
];

/// A route, and what stands in its path where the table has a name.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) route: &'static Route,
    pub(super) ids: Vec<&'a str>,
}

/// The route of a request.
///
/// # Errors
/// When there is none at this path, or for this method.
pub(super) fn find<'a>(method: &Method, path: &'a str) -> Result<Found<'a>, Problem> {
    let mut others = Vec::new();
    for route in ROUTES {
        let Some(ids) = ids_in(route.path, path) else {
            continue;
        };
        if route.verb.fits(method) {
            return Ok(Found { route, ids });
        }
        others.push(route.verb.name());
    }
    if others.is_empty() {
        return Err(Problem::no_route());
    }
    Err(Problem::method(others.join(", ")))
}

/// What stands in a path where the pattern has names, if they fit.
fn ids_in<'a>(pattern: &str, path: &'a str) -> Option<Vec<&'a str>> {
    let mut ids = Vec::new();
    let mut parts = path.split('/');
    for wanted in pattern.split('/') {
        let part = parts.next()?;
        match wanted.starts_with('{') {
            true if !part.is_empty() => ids.push(part),
            false if wanted == part => {}
            _ => return None,
        }
    }
    parts.next().is_none().then_some(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_its_route_or_says_why_not() {
        let found = find(&Method::GET, "/api/v1/orders/ab12/path").expect("a route");
        assert_eq!((found.route.call, &*found.ids), (Call::Path, &["ab12"][..]));
        let head = find(&Method::HEAD, "/health").expect("a route");
        assert_eq!(head.route.call, Call::Health);
        let method = find(&Method::DELETE, "/api/v1/orders").expect_err("no such method");
        assert_eq!(method, Problem::method("GET, POST".to_owned()));
        for path in [
            "/api/v1",
            "/api/v1/orders/",
            "/api/v1/orders/a/b/c",
            "",
            "/x",
            "//",
        ] {
            let none = find(&Method::GET, path).expect_err("no such path");
            assert_eq!(none, Problem::no_route(), "{path}");
        }
    }

    #[test]
    fn every_name_in_a_path_is_a_parameter_and_the_other_way_round() {
        for route in ROUTES {
            let in_path = |parameter: &&Parameter| parameter.place == Place::Path;
            let named: Vec<String> = route
                .parameters
                .iter()
                .filter(in_path)
                .map(|parameter| format!("{{{}}}", parameter.name))
                .collect();
            let parts = route.path.split('/').filter(|part| part.starts_with('{'));
            assert!(parts.eq(named.iter()), "{}", route.path);
        }
    }
}
