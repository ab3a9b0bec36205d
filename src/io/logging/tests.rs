//! Logging as a whole: form of the lines, levels, overload.

use std::io::Write;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use tracing::{debug, error, info, trace, warn};

use super::*;
use crate::config::TargetLevel;

/// Keeps what is written, for the test to read after the thread has ended.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is logged by `speak` under these levels. Each test speaks from code of its own, for
/// `tracing` caches what it learns about a line of code.
fn logged(form: LogFormat, levels: Levels, speak: impl FnOnce(LogControl)) -> Vec<String> {
    let kept = Kept::default();
    let (writer, thread) = in_background("test", kept.clone());
    let (subscriber, control) = subscriber(levels, vec![output(form, Style::Plain, writer)]);
    tracing::subscriber::with_default(subscriber, || speak(control));
    drop(thread);
    let bytes = kept.0.lock().expect("no panic").clone();
    let text = String::from_utf8(bytes).expect("logs are UTF-8");
    text.lines().map(str::to_owned).collect()
}

fn levels(general: LogLevel, targets: &[&str]) -> Levels {
    let targets: Vec<TargetLevel> = targets
        .iter()
        .map(|text| text.parse().expect("a target and its level"))
        .collect();
    Levels::new(general, &targets)
}

#[test]
fn a_text_line_is_time_level_target_message_fields() {
    let lines = logged(LogFormat::Text, levels(LogLevel::Info, &[]), |_| {
        info!(target: "matcher", operations = 3, reason = ?"two\nlines", "rebuilt");
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    let (time, rest) = lines[0].split_once(' ').expect("a time");
    assert!(time.ends_with('Z') && time.contains('T'), "{time}");
    let expected = " INFO matcher: rebuilt operations=3 reason=\"two\\nlines\"";
    assert_eq!(rest, expected);
}

#[test]
fn a_json_line_is_one_flat_object() {
    let lines = logged(LogFormat::Json, levels(LogLevel::Info, &[]), |_| {
        warn!(target: "peer", address = "[::1]:3000", "gone");
    });
    let line: serde_json::Value = serde_json::from_str(&lines[0]).expect("is JSON");
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["target"], "peer");
    assert_eq!(line["message"], "gone");
    assert_eq!(line["address"], "[::1]:3000");
    assert!(line["timestamp"].is_string());
}

#[test]
fn a_target_has_its_own_level_and_one_that_begins_alike_has_not() {
    let wanted = levels(LogLevel::Warn, &["peer=debug", "gossip=off"]);
    let lines = logged(LogFormat::Text, wanted, |_| {
        debug!(target: "peer", "1 yes");
        trace!(target: "peer", "2 no");
        info!(target: "peers", "3 no");
        warn!(target: "peers", "4 yes");
        error!(target: "gossip", "5 no");
        debug!(target: "peer::reader", "6 yes");
    });
    let heard: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.rsplit(": ").next())
        .collect();
    assert_eq!(heard, ["1 yes", "4 yes", "6 yes"]);
}

#[test]
fn what_libraries_tell_at_info_is_for_those_who_ask() {
    let speak = || {
        info!(target: "library::module", "1 path");
        info!(target: "matcher", "2 actor");
        warn!(target: "library::module", "3 path");
    };
    let heard = |wanted| {
        let lines = logged(LogFormat::Text, wanted, |_| speak());
        lines.len()
    };
    assert_eq!(heard(levels(LogLevel::Info, &[])), 2);
    assert_eq!(heard(levels(LogLevel::Info, &["library=info"])), 3);
    assert_eq!(heard(levels(LogLevel::Debug, &[])), 3);
}

#[test]
fn levels_change_while_the_node_runs() {
    let lines = logged(LogFormat::Text, levels(LogLevel::Info, &[]), |control| {
        let speak = |number: u32| {
            debug!(target: "matcher", number, "m");
            debug!(target: "orderbook", number, "o");
            info!(target: "orderbook", number, "i");
        };
        speak(1);
        control.set(LogLevel::Debug, Some("matcher")).expect("sets");
        speak(2);
        control.set(LogLevel::Debug, None).expect("sets");
        control.set(LogLevel::Warn, Some("matcher")).expect("sets");
        speak(3);
        control.clone().set(LogLevel::Off, None).expect("sets");
        speak(4);
    });
    let heard: Vec<String> = lines
        .iter()
        .map(|line| {
            line.split_whitespace()
                .skip(2)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    assert_eq!(
        heard,
        [
            "orderbook: i number=1",
            "matcher: m number=2",
            "orderbook: i number=2",
            "orderbook: o number=3",
            "orderbook: i number=3",
        ]
    );
}

#[test]
fn a_wrong_target_changes_nothing_and_their_number_is_bounded() {
    let lines = logged(LogFormat::Text, levels(LogLevel::Info, &[]), |control| {
        for wrong in ["", "a b", "a\nb", "ä", &"x".repeat(65)] {
            let refused = control.set(LogLevel::Off, Some(wrong)).expect_err(wrong);
            assert!(matches!(refused, LogControlError::Target(_)));
            assert!(!refused.to_string().contains('\n'));
        }
        info!(target: "store", "still here");
        for number in 0..TARGETS_MAX {
            control
                .set(LogLevel::Off, Some(&format!("t{number}")))
                .expect("sets");
        }
        let refused = control.set(LogLevel::Off, Some("store"));
        assert_eq!(refused, Err(LogControlError::TooManyTargets));
        control
            .set(LogLevel::Debug, Some("t7"))
            .expect("changes one that is there");
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
}

#[test]
fn control_outlives_logging() {
    let mut kept = None;
    logged(LogFormat::Text, levels(LogLevel::Info, &[]), |control| {
        kept = Some(control)
    });
    let control = kept.expect("was given");
    assert_eq!(
        control.set(LogLevel::Debug, None),
        Err(LogControlError::Ended)
    );
    assert_eq!(
        control.set(LogLevel::Debug, Some("a")),
        Err(LogControlError::Ended)
    );
}

/// Takes one line, says so, and then hangs until the other end is dropped.
struct Hanging {
    entered: Sender<()>,
    release: Receiver<()>,
}

impl Write for Hanging {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The test may have ended; then nobody waits for the word.
        let _ = self.entered.send(());
        let _ = self.release.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_hanging_output_costs_lines_that_are_counted_and_no_time() {
    let (entered, has_entered) = channel();
    let (hold, release) = channel();
    let (mut writer, thread) = in_background("test", Hanging { entered, release });
    let dropped = writer.error_counter();
    writer.write_all(b"taken\n").expect("is queued");
    has_entered.recv().expect("the thread writes");
    for _ in 0..WAITING_LINES_MAX + 5 {
        writer.write_all(b"waits\n").expect("is queued or dropped");
    }
    assert_eq!(dropped.dropped_lines(), 5);
    drop(hold);
    drop(thread);
}
