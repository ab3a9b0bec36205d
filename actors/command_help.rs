//! The table of all commands: how they are written, what they mean, who reads them.
//!
//! The grammar finds the reader of a command in this table, and `help` prints from it, so a
//! command without help cannot be.

use bitfitech_core::genesis::Genesis;

use crate::command_error::CommandError;
use crate::command_grammar as grammar;
use crate::command_grammar::Words;
use crate::command_model::Command;

/// Longest word that is compared with the commands to guess what was meant.
const GUESSED_CHARS_MAX: usize = 32;

/// Reads the words after a command's name.
pub(crate) type ReadWords = fn(&mut Words<'_>, &Genesis) -> Result<Command, CommandError>;

/// One command: its row in the table.
pub struct CommandHelp {
    /// Its name.
    pub word: &'static str,
    /// How it is written, one way a line.
    pub syntax: &'static [&'static str],
    /// What it does, in a few words.
    pub summary: &'static str,
    /// What it means, in sentences.
    pub meaning: &'static str,
    /// Lines that work, each with what it does.
    pub examples: &'static [(&'static str, &'static str)],
    pub(crate) read: ReadWords,
}

/// Every command, in the order of `help`.
pub const COMMANDS: &[CommandHelp] = &[
    CommandHelp {
        word: "buy",
        syntax: &[
            "buy QTY [PAIR] @ PRICE [ioc|fok|post] [stp=newest|oldest|both] [ttl=TIME]",
            "buy QTY [PAIR] market [limit=PRICE] [stp=newest|oldest|both]",
        ],
        summary: "place an order to buy",
        meaning: PLACE_MEANING,
        examples: &[
            (
                "buy 0.5 @ 30000",
                "buy 0.5 at 30000 or less, the rest waits in the book",
            ),
            (
                "buy 0.5 @ 30000 ioc",
                "take what is offered at 30000 or less, drop the rest",
            ),
            (
                "buy 0.5 market limit=31000",
                "take what is offered at 31000 or less",
            ),
        ],
        read: grammar::read_buy,
    },
    CommandHelp {
        word: "sell",
        syntax: &[
            "sell QTY [PAIR] @ PRICE [ioc|fok|post] [stp=newest|oldest|both] [ttl=TIME]",
            "sell QTY [PAIR] market [limit=PRICE] [stp=newest|oldest|both]",
        ],
        summary: "place an order to sell",
        meaning: PLACE_MEANING,
        examples: &[
            (
                "sell 0.5 @ 30000",
                "sell 0.5 at 30000 or more, the rest waits in the book",
            ),
            ("sell 0.5 @ 30000 post", "only wait in the book, never take"),
            (
                "sell 0.5 @ 30000 ttl=30s",
                "what is left after 30 seconds expires",
            ),
            ("sell 0.5 market", "sell 0.5 at whatever is bid"),
        ],
        read: grammar::read_sell,
    },
    CommandHelp {
        word: "cancel",
        syntax: &["cancel ORDER|all"],
        summary: "take own orders out of the book",
        meaning: "Ends one own open order, or all of them. What has traded stays. An order\n\
                  that is over already cannot be cancelled.",
        examples: &[
            ("cancel 3f9ac1d2", "cancel the order whose id begins so"),
            ("cancel 3f9ac1d2.1", "the second of orders typed together"),
            ("cancel all", "cancel every own open order"),
        ],
        read: grammar::read_cancel,
    },
    CommandHelp {
        word: "confirm",
        syntax: &["confirm TRADE"],
        summary: "confirm an own trade by hand",
        meaning: "Signs a tentative trade of an own order at once, as the node does by itself\n\
                  after exchange.settle_ms. It is final when the other owner has signed it too.\n\
                  Needed only where the node does not sign: trades with late orders if\n\
                  exchange.late_policy is refuse, and trades with a proven forker. Whoever\n\
                  placed the earlier order refuses what has no answer after\n\
                  exchange.release_ms, so do not wait longer.",
        examples: &[("confirm 77aa01d2", "the trade whose id begins so")],
        read: grammar::read_confirm,
    },
    CommandHelp {
        word: "release",
        syntax: &["release TRADE"],
        summary: "free what waits for another's confirmation, at your risk",
        meaning: "Refuses a trade that is not final, and frees at once what an unanswered\n\
                  confirmation of yours holds back for it. Without this it is freed when the\n\
                  other owner is heard of again. The risk: if he did answer, and the answer is\n\
                  still under way, your order fills beyond its quantity.",
        examples: &[("release 77aa01d2", "the trade whose id begins so")],
        read: grammar::read_release,
    },
    CommandHelp {
        word: "replace",
        syntax: &["replace ORDER [QTY] [@ PRICE]"],
        summary: "change quantity or price of an own order",
        meaning: "QTY is the new total, the part that has traded included. An order that only\n\
                  gets smaller at the same price keeps its id and its place in the queue; any\n\
                  other change ends it and places a new order, whose id the reply shows.",
        examples: &[
            ("replace 3f9ac1d2 0.3", "make it 0.3 in total"),
            ("replace 3f9ac1d2 @ 29500", "move it to 29500"),
            ("replace 3f9ac1d2 0.3 @ 29500", "both"),
        ],
        read: grammar::read_replace,
    },
    CommandHelp {
        word: "order",
        syntax: &["order ORDER"],
        summary: "show one order",
        meaning: "Shows what has become of an order of anyone, ended ones too. `late` says how\n\
                  much later than its claimed time it reached this node.",
        examples: &[("order 3f9ac1d2", "show the order whose id begins so")],
        read: grammar::read_order,
    },
    CommandHelp {
        word: "orders",
        syntax: &["orders [all] [N]"],
        summary: "list own orders",
        meaning: "Lists own orders in the book; with `all` also those that are over. With N only\n\
                  the newest.",
        examples: &[
            ("orders", "own open orders"),
            ("orders all", "ended ones too"),
            ("orders all 20", "the newest 20 of them"),
        ],
        read: grammar::read_orders,
    },
    CommandHelp {
        word: "book",
        syntax: &["book [PAIR] [DEPTH]"],
        summary: "show bids and asks",
        meaning: "Shows the best DEPTH price levels of both sides (default 50, at most 10000).\n\
                  The digest covers the whole book: nodes with equal digests have equal books.",
        examples: &[
            ("book", "the first market"),
            ("book BTC/USD 5", "five levels a side"),
        ],
        read: grammar::read_book,
    },
    CommandHelp {
        word: "trades",
        syntax: &["trades [PAIR] [N]"],
        summary: "list trades, newest last",
        meaning: "Lists the newest N trades (default 50, at most 1000000). A tentative trade\n\
                  can still change when a late operation arrives; a final one is confirmed by\n\
                  both owners and never changes. Nodes confirm by themselves what stood unchanged\n\
                  for exchange.settle_ms. `unsafe`: one of the owners has signed two histories.",
        examples: &[
            ("trades", "the last 50"),
            ("trades BTC/USD 1000", "the last 1000"),
        ],
        read: grammar::read_trades,
    },
    CommandHelp {
        word: "peers",
        syntax: &["peers"],
        summary: "list connected nodes",
        meaning: "Lists the nodes with an established session: key, address, who dialled,\n\
                  round trip time, how many operations behind, and standing.",
        examples: &[("peers", "all of them")],
        read: grammar::read_peers,
    },
    CommandHelp {
        word: "connect",
        syntax: &["connect HOST:PORT"],
        summary: "dial a node",
        meaning: "Dials a node, and goes on trying with growing pauses. An event tells when\n\
                  the session is established. An IPv6 address stands in brackets.",
        examples: &[
            ("connect 192.0.2.7:3000", "by address"),
            ("connect [::1]:3000", "by IPv6 address"),
        ],
        read: grammar::read_connect,
    },
    CommandHelp {
        word: "disconnect",
        syntax: &["disconnect PEER"],
        summary: "close the session with a node",
        meaning: "Closes the session with the node whose key begins so, as `peers` shows it, and\n\
                  dials it no more. The node itself may dial again.",
        examples: &[("disconnect 8be2f016", "the node whose key begins so")],
        read: grammar::read_disconnect,
    },
    CommandHelp {
        word: "dht",
        syntax: &[
            "dht announce NAME PORT",
            "dht lookup NAME",
            "dht put VALUE",
            "dht get HASH",
        ],
        summary: "services and values of the DHT",
        meaning: "Announces a service of this host, looks for the addresses of one, keeps a value\n\
                  in the DHT, or fetches one by its hash. The DHT is that of Grenache; mode p2p\n\
                  has none.",
        examples: &[
            ("dht announce rest:util:net 1337", "a service at port 1337"),
            ("dht lookup rest:util:net", "who offers it"),
            ("dht put hello world", "prints the hash"),
        ],
        read: grammar::read_dht,
    },
    CommandHelp {
        word: "breakers",
        syntax: &["breakers"],
        summary: "list circuit breakers",
        meaning: "Every address that was dialled has a circuit: closed (dialling is allowed),\n\
                  open (it failed too often, no dialling for a while) or half_open (one probe\n\
                  decides).",
        examples: &[("breakers", "all of them")],
        read: grammar::read_breakers,
    },
    CommandHelp {
        word: "topology",
        syntax: &["topology"],
        summary: "show who is linked to whom",
        meaning: "Lists this node and those linked to it, and for each the nodes that it has\n\
                  sessions with. What others are linked to is what they say, about once a\n\
                  minute, if discovery.peer_exchange is on.",
        examples: &[("topology", "the network as far as this node knows")],
        read: grammar::read_topology,
    },
    CommandHelp {
        word: "members",
        syntax: &["members"],
        summary: "show who may trade",
        meaning: "In a closed network (network.allow_list, network.administrators) lists all\n\
                  members and those who were expelled, and who decided that when.",
        examples: &[("members", "everyone whose standing is known")],
        read: grammar::read_members,
    },
    CommandHelp {
        word: "admit",
        syntax: &["admit KEY"],
        summary: "let an author trade in this closed network",
        meaning: "For administrators (network.administrators). Signs an operation that makes the\n\
                  owner of the key a member, from now on and on all nodes. `bitfitech keys show`\n\
                  prints the key of a node.",
        examples: &[(
            "admit 8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c",
            "a newcomer",
        )],
        read: grammar::read_admit,
    },
    CommandHelp {
        word: "expel",
        syntax: &["expel KEY"],
        summary: "end an author's right to trade",
        meaning: "For administrators (network.administrators). His resting orders end, what he\n\
                  places later is rejected, and no node keeps a session with him. Trades that\n\
                  are final stay so. `admit` undoes it from then on.",
        examples: &[(
            "expel 8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c",
            "a member",
        )],
        read: grammar::read_expel,
    },
    CommandHelp {
        word: "clock",
        syntax: &["clock [ORDER [ORDER]]"],
        summary: "show or compare vector clocks",
        meaning: "A vector clock counts, for every author, the operations that one could have\n\
                  known. Without an order: the clock of this node. With one: the clock of the\n\
                  operation that placed it. With two: whether the first came before or after\n\
                  the second, or neither knew of the other (concurrent).",
        examples: &[
            ("clock", "this node's"),
            ("clock 3f9ac1d2", "an order's"),
            ("clock 3f9ac1d2 8be2f016", "compare two"),
        ],
        read: grammar::read_clock,
    },
    CommandHelp {
        word: "digest",
        syntax: &["digest"],
        summary: "show digests of the exchange's state",
        meaning: "Nodes that have applied the same operations show the same digests of the set\n\
                  of operations, the book, the trades, the final trades and the orders.",
        examples: &[("digest", "compare the output of two nodes")],
        read: grammar::read_digest,
    },
    CommandHelp {
        word: "stats",
        syntax: &["stats"],
        summary: "show counters",
        meaning: "Shows the node's counters since it started.",
        examples: &[("stats", "all of them")],
        read: grammar::read_stats,
    },
    CommandHelp {
        word: "tree",
        syntax: &["tree"],
        summary: "show actors and their supervisors",
        meaning: "Shows the supervision tree: state, restarts, generation (which life of the\n\
                  actor this is) and the messages waiting.",
        examples: &[("tree", "the names are those that `crash` takes")],
        read: grammar::read_tree,
    },
    CommandHelp {
        word: "log",
        syntax: &["log LEVEL [TARGET]"],
        summary: "change what is logged",
        meaning: "LEVEL is off, error, warn, info, debug or trace. TARGET is the part of the\n\
                  program that it is for; without it, the level is for all.",
        examples: &[
            ("log info", "for all"),
            ("log debug gossip", "for one part"),
        ],
        read: grammar::read_log,
    },
    CommandHelp {
        word: "crash",
        syntax: &["crash ACTOR"],
        summary: "fault drill: make an actor panic",
        meaning: "Makes an actor panic, to see that its supervisor restarts it. Works only\n\
                  with debug.drills = true. The names are those that `tree` shows.",
        examples: &[("crash matcher", "the book is rebuilt from the store")],
        read: grammar::read_crash,
    },
    CommandHelp {
        word: "help",
        syntax: &["help [COMMAND]"],
        summary: "list commands, or explain one",
        meaning: "Without a command: lists all. With one: its syntax, meaning and examples. At a\n\
                  terminal Tab completes commands, pairs and the ids shown lately, and the arrow\n\
                  keys bring earlier commands back, also those of earlier runs.",
        examples: &[("help buy", "explain `buy`")],
        read: grammar::read_help,
    },
    CommandHelp {
        word: "quit",
        syntax: &["quit"],
        summary: "shut the node down",
        meaning: "Stops all actors in order, leaves the store complete, and ends the program.",
        examples: &[(
            "quit",
            "at a terminal also Ctrl-D or Ctrl-C on an empty line",
        )],
        read: grammar::read_quit,
    },
];

/// What `buy` and `sell` have in common.
const PLACE_MEANING: &str = "\
QTY is in the base currency, PRICE in the quote currency; PAIR is the first market
unless given. A limit order trades at PRICE or better, and what is left waits in the
book, unless the order says otherwise:
  ioc   immediate or cancel: take what is there, drop the rest
  fok   fill or kill: all at once or nothing
  post  only wait in the book: rejected if it would take
A market order takes at any price, or up to limit=PRICE, and never waits.
stp says what is cancelled when it meets an own order: the newest (default), the oldest
or both. ttl ends what still waits in the book after so long: 500ms, 30s, 5m, 2h or 1d.";

/// The row of a command, by its name in any case.
pub fn find_command(word: &str) -> Option<&'static CommandHelp> {
    COMMANDS
        .iter()
        .find(|command| command.word.eq_ignore_ascii_case(word))
}

/// The command that is spelt nearly like a word. One wrong letter counts in a word of up to
/// three, two in a longer one.
pub(crate) fn nearest_command(word: &str) -> Option<&'static str> {
    let length = word.chars().count();
    if length > GUESSED_CHARS_MAX {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let distance_max = if length <= 3 { 1 } else { 2 };
    COMMANDS
        .iter()
        .map(|command| (strsim::osa_distance(&word, command.word), command.word))
        .filter(|(distance, _)| *distance <= distance_max)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, nearest)| nearest)
}

/// The text of `help`, or of `help COMMAND`. Lines end in `\n`.
pub fn help_text(topic: Option<&str>) -> String {
    match topic.and_then(find_command) {
        Some(command) => command_text(command),
        None => overview_text(),
    }
}

/// One line for each command.
fn overview_text() -> String {
    let width = COMMANDS
        .iter()
        .map(|command| command.word.len())
        .max()
        .unwrap_or(0);
    let lines = COMMANDS
        .iter()
        .map(|command| format!("  {:width$}  {}\n", command.word, command.summary));
    let lines: String = lines.collect();
    format!(
        "Commands, one a line, in upper or lower case. `help COMMAND` explains one.\n\n{lines}\n\
         QTY and PRICE are plain decimals such as 0.5. ORDER, TRADE and PEER are the first 8 or\n\
         more hexadecimal digits; orders that were typed together have .N behind them.\n\
         [ ] may be left out, | separates choices, # starts a comment.\n"
    )
}

/// Syntax, meaning and examples of one command.
fn command_text(command: &CommandHelp) -> String {
    let syntax: String = command
        .syntax
        .iter()
        .map(|line| format!("  {line}\n"))
        .collect();
    let width = command
        .examples
        .iter()
        .map(|(line, _)| line.len())
        .max()
        .unwrap_or(0);
    let examples = command.examples.iter();
    let examples: String = examples
        .map(|(line, effect)| format!("  {line:width$}   {effect}\n"))
        .collect();
    format!(
        "{}: {}\n\n{syntax}\n{}\n\nFor example\n{examples}",
        command.word, command.summary, command.meaning
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command_fixtures::genesis;
    use crate::command_grammar::parse;

    #[test]
    fn every_command_teaches_syntax_meaning_and_examples_that_work() {
        for command in COMMANDS {
            let text = help_text(Some(command.word));
            assert!(
                !command.syntax.is_empty() && !command.examples.is_empty(),
                "{text}"
            );
            assert!(
                command
                    .syntax
                    .iter()
                    .all(|line| line.starts_with(command.word)),
                "{text}"
            );
            assert!(
                command.meaning.ends_with('.') && text.contains(command.meaning),
                "{text}"
            );
            for (line, _) in command.examples {
                assert!(line.starts_with(command.word), "`{line}`");
                assert!(matches!(parse(line, &genesis()), Ok(Some(_))), "`{line}`");
            }
        }
    }

    #[test]
    fn the_overview_lists_every_command_once() {
        let text = help_text(None);
        for command in COMMANDS {
            let line = format!("\n  {} ", command.word);
            assert_eq!(text.matches(&line).count(), 1, "{}", command.word);
        }
    }

    #[test]
    fn help_fits_a_screen() {
        let topics = COMMANDS.iter().map(|command| Some(command.word));
        for text in topics.chain([None]).map(help_text) {
            assert!(text.ends_with('\n'));
            assert!(
                text.lines().all(|line| line.chars().count() <= 90),
                "{text}"
            );
        }
    }

    #[test]
    fn commands_spelt_nearly_right_are_recognised() {
        for (word, nearest) in [
            ("bok", Some("book")),
            ("CANCLE", Some("cancel")),
            ("by", Some("buy")),
            ("order", Some("order")),
            ("conect", Some("connect")),
            ("xyz", None),
            ("foo", None),
            ("topolgy", Some("topology")),
            ("geography", None),
        ] {
            assert_eq!(nearest_command(word), nearest, "{word}");
        }
        assert_eq!(nearest_command(&"b".repeat(100)), None);
    }
}
