//! The simulator as a rig: points in virtual time, without clock, socket or record.

use infermark_scenario::Resolved;

use super::{Ended, Order, Rig, Taken, scenario_of};
use crate::RunError;
use crate::hub::Shelf;
use crate::predict::{Loads, Predicted, predict};

/// Points in virtual time.
pub struct Virtual {
    base: Resolved,
    points: Vec<Predicted>,
    shelf: Shelf,
}

impl Virtual {
    /// Returns a rig whose points change this scenario, which must be of the embedded engine.
    pub fn new(base: Resolved) -> Self {
        Self { base, points: Vec::new(), shelf: Shelf::default() }
    }

    /// Returns all that was predicted, in order.
    pub fn into_points(self) -> Vec<Predicted> {
        self.points
    }
}

impl Rig for Virtual {
    fn base(&self) -> &Resolved {
        &self.base
    }

    fn take(&mut self, order: &Order) -> Result<Taken, RunError> {
        let resolved = scenario_of(&self.base, order, self.points.len())?;
        let mut predicted = predict(&resolved, Loads::One, &self.shelf)?.points.remove(0);
        let taken = Taken::to_order(order, predicted.point, Ended::Whole, None);
        predicted.point = taken.point.clone();
        self.points.push(predicted);
        Ok(taken)
    }
}
