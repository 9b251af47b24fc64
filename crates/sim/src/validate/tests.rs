//! The shipped measurements against the model.
