//! An order in eight bytes, for what a node keeps of it.
//!
//! The number says in the order of arrival which operation makes the order, so it is another on
//! every node and enters nothing that is compared.

use crate::dag::{Dag, OpIndex};
use crate::packed::Row;
use crate::types::OrderId;

/// An order by the operation that makes it and the place of its action there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OrderNumber(u64);

impl OrderNumber {
    pub(crate) const LEAST: Self = Self(0);
    pub(crate) const MOST: Self = Self(u64::MAX);

    /// The number of the order that this action of an operation makes.
    pub(crate) fn new(operation: OpIndex, index: u8) -> Self {
        Self(u64::from(operation.0) << 8 | u64::from(index))
    }

    /// The number of an order whose operation is there.
    pub(crate) fn find(order: &OrderId, dag: &Dag) -> Option<Self> {
        Some(Self::new(dag.find_order(order)?, order.index()))
    }

    /// The operation that makes the order.
    pub(crate) fn operation(self) -> OpIndex {
        // It was of this width.
        OpIndex((self.0 >> 8) as u32)
    }

    pub(crate) fn id(self, dag: &Dag) -> OrderId {
        OrderId::new(&dag.id(self.operation()), self.0 as u8)
    }
}

impl Row for OrderNumber {
    type Columns = [u64; 1];

    fn columns(&self) -> Self::Columns {
        [self.0]
    }

    fn of([number]: &Self::Columns) -> Self {
        Self(*number)
    }
}
