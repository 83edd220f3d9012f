//! When a server is itself again after an overload.

use std::time::Duration;

/// The time over which requests are looked at together.
const WINDOW: Duration = Duration::from_secs(1);

/// Of a hundred requests of a window so many must be answered in time. What was offered is counted and not what should
/// have been on the average: by chance a second has some more or some fewer.
const GOOD_PERCENT: usize = 98;

/// Returns the end of the first second in which at least 98 of 100 requests were answered in time; none where there was
/// no such second. Each request is given by when it was due, from the moment when the load fell, and by whether it was
/// answered in time. No recovery takes less than a second, then: before, there is no second to judge.
pub(super) fn recovered_after(mut requests: Vec<(Duration, bool)>) -> Option<Duration> {
    requests.sort_unstable();
    // Those from `first` to before `next` were due in the window, of which `good` were answered in time.
    let (mut first, mut next, mut good) = (0, 0, 0_usize);
    let mut end = WINDOW;
    loop {
        while let Some(&(due, is_good)) = requests.get(next)
            && due <= end
        {
            good += usize::from(is_good);
            next += 1;
        }
        while first < next && requests[first].0 + WINDOW <= end {
            good -= usize::from(requests[first].1);
            first += 1;
        }
        let count = next - first;
        if count > 0 && good * 100 >= count * GOOD_PERCENT {
            return Some(end);
        }
        // Only where a request enters or leaves the window does anything change.
        let (enters, _) = *requests.get(next)?;
        let leaves = requests[first].0 + WINDOW;
        end = enters.min(leaves);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests every ten milliseconds, good ones from `good_from_ms` on.
    fn requests(count: u64, is_good: impl Fn(u64) -> bool) -> Vec<(Duration, bool)> {
        (0..count)
            .map(|n| n * 10)
            .map(|ms| (Duration::from_millis(ms), is_good(ms)))
            .collect()
    }

    fn check(requests: Vec<(Duration, bool)>, expected_ms: Option<u64>) {
        assert_eq!(
            recovered_after(requests),
            expected_ms.map(Duration::from_millis)
        );
    }

    #[test]
    fn a_server_that_never_failed_is_back_after_the_first_second() {
        check(requests(500, |_| true), Some(1_000));
    }

    #[test]
    fn the_second_begins_where_requests_are_answered_in_time_again() {
        // The window is back when two of its hundred requests are from before 2,300 ms.
        check(requests(1_000, |ms| ms >= 2_300), Some(3_270));
        // Two of a hundred may fail for ever, three may not.
        check(requests(1_000, |ms| ms % 500 != 0), Some(1_000));
        check(requests(1_000, |ms| ms % 300 != 0), None);
    }

    #[test]
    fn the_order_of_the_answers_does_not_matter() {
        let mut backwards = requests(1_000, |ms| ms >= 2_300);
        backwards.reverse();
        check(backwards, Some(3_270));
    }

    #[test]
    fn a_server_that_is_not_back_by_the_end_has_not_recovered() {
        check(requests(500, |_| false), None);
        check(requests(100, |ms| ms >= 900), None);
        check(Vec::new(), None);
    }

    #[test]
    fn seconds_without_a_request_say_nothing() {
        let at = |ms| (Duration::from_millis(ms), true);
        check(vec![at(2_500), at(9_000)], Some(2_500));
    }
}
