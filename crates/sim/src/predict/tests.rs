//! Laws of predictions.
