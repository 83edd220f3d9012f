//! Work that may wait: how a thread gives way to those that people wait for.

/// The weakest claim to a processor that there is short of none: a thread of this nice value gets about one part in
/// seventy of a processor that another thread also wants, and all of one that nobody else wants.
#[cfg(any(target_os = "linux", target_os = "android"))]
const NICE: i32 = 19;

/// Makes the calling thread, and the threads that it starts afterwards, give way to all others of the process.
///
/// It cannot be undone without privileges: call it at the start of a thread that does nothing but background work. It
/// does nothing where the system has nice values for whole processes only (Linux has them for threads), and a refusal
/// of the system is logged and ignored: the work is then done at the usual priority.
pub fn step_back() {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE) {
        tracing::debug!(%error, "A background thread keeps the usual priority: {error}");
    }
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use std::thread;

    use rustix::process::getpriority_process;
    use rustix::thread::gettid;

    use super::*;

    #[test]
    fn a_thread_steps_back_alone() {
        let priority = || getpriority_process(Some(gettid())).unwrap();
        let before = priority();
        let inside = thread::spawn(move || {
            step_back();
            priority()
        });
        assert_eq!(inside.join().unwrap(), NICE);
        assert_eq!(priority(), before);
    }
}
