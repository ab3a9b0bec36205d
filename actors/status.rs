//! What every actor is doing, readable from any thread at any time.
//!
//! Supervisors write here what they know of their children; the `tree` command, the metrics and
//! drills read it without asking any actor, so it also works while one hangs. One row per name:
//! names are unique in the whole tree, and a supervisor refuses a child whose name is taken. The
//! board holds as many rows as there are actors, which each supervisor bounds.

use std::sync::Arc;

use bitfitech_core::supervision::Status;
use dashmap::{DashMap, Entry};
use serde::Serialize;

use crate::child::{AnyChild, Lifecycle};
use crate::histogram::Counted;

/// Deepest nesting that is printed; the tree is three deep, so this only stops a mistake.
const DEPTH_MAX: usize = 16;

struct Row {
    status: Status,
    generation: u64,
    child: Arc<dyn AnyChild>,
    /// Names of the children in start order.
    children: Vec<Arc<str>>,
}

/// The state of all actors of a process; clones share it.
#[derive(Clone, Default)]
pub struct StatusBoard {
    rows: Arc<DashMap<Arc<str>, Row>>,
}

/// An actor and its children, as the `tree` command prints them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TreeNode {
    /// Its name.
    pub name: String,
    /// `starting`, `running`, `restarting`, `stopping` or `stopped`.
    pub state: &'static str,
    /// How often it has been started again.
    pub restarts: u64,
    /// The number of its present or last life; 0 before the first.
    pub generation: u64,
    /// Messages that wait for it or are being handled (data lane and queries).
    pub mailbox: usize,
    /// Its children in start order.
    pub children: Vec<TreeNode>,
}

impl TreeNode {
    /// The node of that name in this subtree.
    pub fn find(&self, name: &str) -> Option<&TreeNode> {
        if self.name == name {
            return Some(self);
        }
        self.children.iter().find_map(|child| child.find(name))
    }
}

impl StatusBoard {
    /// The tree below (and with) the actor of this name; `None` if there is none.
    ///
    /// Rows are read one after the other, so the picture may mix moments milliseconds apart.
    pub fn tree(&self, name: &str) -> Option<TreeNode> {
        self.node(name, DEPTH_MAX)
    }

    /// What the actor of this name is doing.
    pub fn status(&self, name: &str) -> Option<Status> {
        self.rows.get(name).map(|row| row.status)
    }

    /// How long each actor was busy in its turns, in nanoseconds, by name.
    pub fn turns(&self) -> Vec<(String, Counted)> {
        let rows = self.rows.iter();
        rows.map(|row| (row.key().to_string(), row.child.turns()))
            .collect()
    }

    /// How many actors there are.
    pub fn count(&self) -> usize {
        self.rows.len()
    }

    fn node(&self, name: &str, depth_left: usize) -> Option<TreeNode> {
        // The guard of the row is dropped before any other row is read: two guards of one shard
        // held at a time may block each other for ever.
        let (status, generation, child, names) = {
            let row = self.rows.get(name)?;
            (
                row.status,
                row.generation,
                Arc::clone(&row.child),
                row.children.clone(),
            )
        };
        let below = if depth_left == 0 {
            &[]
        } else {
            names.as_slice()
        };
        Some(TreeNode {
            name: name.to_string(),
            state: status.name(),
            restarts: generation.saturating_sub(1),
            generation,
            mailbox: child.depth(),
            children: below
                .iter()
                .filter_map(|name| self.node(name, depth_left - 1))
                .collect(),
        })
    }

    /// Enters a child under its supervisor; `false` if the name is taken.
    pub(crate) fn enter(&self, parent: &str, name: &str, child: &Arc<dyn AnyChild>) -> bool {
        let name: Arc<str> = name.into();
        match self.rows.entry(Arc::clone(&name)) {
            Entry::Occupied(_) => return false,
            Entry::Vacant(free) => drop(free.insert(Row {
                status: Status::Starting,
                generation: 0,
                child: Arc::clone(child),
                children: Vec::new(),
            })),
        }
        if let Some(mut row) = self.rows.get_mut(parent) {
            row.children.push(name);
        }
        true
    }

    /// Notes what an actor is doing, and in which life.
    pub(crate) fn set(&self, name: &str, status: Status, generation: u64) {
        if let Some(mut row) = self.rows.get_mut(name) {
            row.status = status;
            row.generation = generation;
        }
    }

    /// Removes an actor and all below it.
    pub(crate) fn remove(&self, parent: &str, name: &str) {
        self.clear(name);
        self.rows.remove(name);
        if let Some(mut row) = self.rows.get_mut(parent) {
            row.children.retain(|child| child.as_ref() != name);
        }
    }

    /// Removes all below an actor: with a supervisor go its children.
    pub(crate) fn clear(&self, name: &str) {
        let Some(names) = self
            .rows
            .get_mut(name)
            .map(|mut row| std::mem::take(&mut row.children))
        else {
            return;
        };
        for child in names {
            self.clear(&child);
            self.rows.remove(&child);
        }
    }

    /// Sends a supervisor's message to the actor of this name, past its supervisor.
    ///
    /// `None` if there is no such actor, else whether it was alive.
    pub(crate) fn command(&self, name: &str, message: Lifecycle) -> Option<bool> {
        let child = self.rows.get(name).map(|row| Arc::clone(&row.child))?;
        Some(child.command(message))
    }
}
