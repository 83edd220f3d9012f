//! A request passes every primitive without asking for memory.
#![cfg(not(loom))]

use embedder_reliability::Timestamp;

#[path = "../benches/request/stack.rs"]
mod stack;

#[test]
fn a_request_passes_everything_without_an_allocation() {
    let stack = stack::Stack::new();
    let at = |number: u64| Timestamp::from_nanos(1_000_000_000 + number * 1_000);
    // The first of a caller is remembered.
    assert!(stack.pass(at(0)));
    let counted = allocation_counter::measure(|| {
        for number in 1..100_000 {
            assert!(stack.pass(at(number)));
        }
    });
    assert_eq!((counted.count_total, counted.bytes_total), (0, 0));
    // The counter counts.
    let boxed = allocation_counter::measure(|| drop(std::hint::black_box(Box::new(7))));
    assert_eq!(boxed.count_total, 1);
}
