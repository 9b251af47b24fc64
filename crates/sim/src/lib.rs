//! An inference engine with ground truth.
