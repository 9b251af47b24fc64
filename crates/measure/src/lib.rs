//! Records become estimates with intervals.
