//! The tools that make faults do what they say: a fault that does not happen would let every test of it pass.

mod disk;
mod fault_proxy;
mod provider;
