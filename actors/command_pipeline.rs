//! Orders of the console that are on their way to the disk.
//!
//! A script writes its orders faster than a disk syncs. If the console waited for the answer to
//! each, every order would be an operation with a signature and a sync of its own, here and in
//! the whole network, and the slower all of that gets, the longer the orders would queue in the
//! pipe. So the console reads on: what is on its way together shares one operation, and the more
//! there is to do, the less each order costs.
//!
//! Only commands that write are let ahead, and none whose effect depends on the answer to another.
//! Everything else waits until all are answered, so a question sees what was ordered before it.

use std::collections::VecDeque;
use std::sync::Arc;

use actix_rt::task::JoinHandle;
use bitfitech_core::op::ACTIONS_MAX;

use crate::command::execute;
use crate::command_model::Command;
use crate::console::Turn;
use crate::context::NodeContext;
use crate::matcher_submission::lost;
use crate::messages::Answer;

/// Most orders on their way: what the next two operations can hold, so that one is gathered while
/// the other is written. Beyond that the input is not read on.
const ORDERS_MAX: usize = 128;

const _: () = assert!(ORDERS_MAX == 2 * ACTIONS_MAX, "two full operations");

/// An order that is not answered yet.
struct Order {
    line: String,
    turn: Turn,
    answer: JoinHandle<Answer>,
}

/// What is on its way, oldest first.
#[derive(Default)]
pub(crate) struct Pipeline(VecDeque<Order>);

impl Pipeline {
    /// Whether a command may be answered while earlier ones are not.
    pub(crate) fn takes(command: &Command) -> bool {
        matches!(
            command,
            Command::Place(_) | Command::Cancel(_) | Command::Replace(_)
        )
    }

    /// Whether there is nothing on its way.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one more may be begun.
    pub(crate) fn has_room(&self) -> bool {
        self.0.len() < ORDERS_MAX
    }

    /// Begins a command. Tasks are begun in the order in which they are made, so the matcher gets
    /// the orders as they were typed, unless it is being restarted.
    pub(crate) fn begin(
        &mut self,
        node: &Arc<NodeContext>,
        line: String,
        turn: Turn,
        command: Command,
    ) {
        let node = Arc::clone(node);
        let answer = actix_rt::spawn(async move { execute(&node, command).await });
        self.0.push_back(Order { line, turn, answer });
    }

    /// The answer to the oldest command, when it is there; `None` if there is no command. A call
    /// that is given up loses nothing.
    pub(crate) async fn next(&mut self) -> Option<(String, Turn, Answer)> {
        let answer = (&mut self.0.front_mut()?.answer).await;
        let Order { line, turn, .. } = self.0.pop_front()?;
        // Its task can only end without an answer if this thread is going down.
        Some((line, turn, answer.unwrap_or_else(|_| Err(lost()))))
    }
}
