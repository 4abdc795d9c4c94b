//! Problems as people read them.
