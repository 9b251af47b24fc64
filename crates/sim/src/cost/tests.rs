//! Laws of the cost of a step.
