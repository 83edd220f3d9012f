//! Processor time of the server, as Linux tells it in `/proc` (proc(5)). Elsewhere nothing is known.

use std::fs;
use std::time::Duration;

/// Ticks of `/proc` in a second: `USER_HZ`, which is 100 on every processor that Linux and Rust share.
const TICKS_PER_SECOND: u64 = 100;

/// Returns the processor time that all threads of a process have used together, to ten milliseconds; none where the
/// system does not tell it.
pub(super) fn cpu_time_of(process: u32) -> Option<Duration> {
    cpu_time(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
}

/// Reads the fields 14 and 15: time in the program and in the kernel. The second field is the program's name, in which
/// there may be spaces and parentheses; the third is the first behind it.
fn cpu_time(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut times = rest.split_whitespace().skip(14 - 3).map(str::parse::<u64>);
    let (user, system) = (times.next()?.ok()?, times.next()?.ok()?);
    Some(Duration::from_millis(
        (user + system) * (1_000 / TICKS_PER_SECOND),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_process_is_that_in_the_program_and_in_the_kernel() {
        let check = |stat: &str, expected_ms: Option<u64>| {
            assert_eq!(cpu_time(stat), expected_ms.map(Duration::from_millis));
        };
        let rest = "S 1 2 3 4 5 6 7 8 9 10 250 31 0 0 20 0 5 0 9 1";
        check(&format!("42 (embedder) {rest}"), Some(2_810));
        check(&format!("42 (a ) b (c)) {rest}"), Some(2_810));
        check("42 (embedder) S 1 2", None);
        check("", None);
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[test]
    fn the_time_of_this_process_is_known() {
        assert!(cpu_time_of(std::process::id()).is_some());
    }
}
