//! Everything that the program calls.
