//! When it is asked: a Pacer for each kind of load.
