//! How much memory the process may use: the limits of its control groups, of either version, and the machine's memory.

use std::fs;
use std::path::Path;

use super::process::kib;

/// What version 1 shows for no limit is the largest number that it can hold, rounded down to pages. No machine has this
/// much.
const NO_LIMIT: u64 = 1 << 62;

/// Returns the tightest limit that is known below `root`, which is `/` but in tests; none where none is known.
///
/// A limit of a parent holds as well. In a container the file system often shows the container's own group at the top,
/// under a path that the process does not know by that name: the way up leads there, too.
pub(super) fn memory_limit(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let memory = fs::read_to_string(root.join("proc/meminfo")).unwrap_or_default();
    let limits = groups.lines().filter_map(Group::parse).flat_map(|group| {
        let top = root.join(group.top);
        let ancestors = Path::new(group.path.trim_start_matches('/')).ancestors();
        let files = ancestors.map(move |path| top.join(path).join(group.file));
        files.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok())
    });
    limits
        .filter(|&limit| limit < NO_LIMIT)
        .chain(kib(&memory, "MemTotal:"))
        .min()
}

/// A group that can limit memory.
struct Group<'a> {
    top: &'static str,
    path: &'a str,
    file: &'static str,
}

impl Group<'_> {
    /// Reads a line of `/proc/self/cgroup`: `number:controllers:path`, with no controllers for version 2.
    fn parse(line: &str) -> Option<Group<'_>> {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        if controllers.is_empty() {
            return Some(Group {
                top: "sys/fs/cgroup",
                path,
                file: "memory.max",
            });
        }
        let mut controllers = controllers.split(',');
        controllers.any(|name| name == "memory").then_some(Group {
            top: "sys/fs/cgroup/memory",
            path,
            file: "memory.limit_in_bytes",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn check(files: &[(&str, &str)], expected: Option<u64>) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        assert_eq!(memory_limit(root.path()), expected, "{files:?}");
    }

    const MEMORY: (&str, &str) = (
        "proc/meminfo",
        "MemTotal:       8388608 kB\nMemFree: 1 kB\n",
    );

    #[test]
    fn without_a_limit_it_is_the_memory_of_the_machine() {
        check(&[MEMORY], Some(8 * GIB));
        check(&[], None);
        check(
            &[
                MEMORY,
                ("proc/self/cgroup", "0::/a\n"),
                ("sys/fs/cgroup/a/memory.max", "max\n"),
            ],
            Some(8 * GIB),
        );
        check(
            &[
                ("proc/self/cgroup", "4:memory:/\n"),
                (
                    "sys/fs/cgroup/memory/memory.limit_in_bytes",
                    "9223372036854771712\n",
                ),
            ],
            None,
        );
    }

    #[test]
    fn the_tightest_limit_on_the_way_up_counts() {
        check(
            &[
                MEMORY,
                ("proc/self/cgroup", "0::/a/b/c\n"),
                ("sys/fs/cgroup/a/memory.max", "1073741824\n"),
                ("sys/fs/cgroup/a/b/memory.max", "2147483648\n"),
                ("sys/fs/cgroup/a/b/c/memory.max", "max\n"),
            ],
            Some(GIB),
        );
    }

    #[test]
    fn version_one_is_found_by_its_controller() {
        check(
            &[
                MEMORY,
                (
                    "proc/self/cgroup",
                    "3:cpuset:/x\n2:cpu,memory:/x\n0::/x\n\nnonsense\n",
                ),
                ("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "4294967296"),
                ("sys/fs/cgroup/cpuset/x/memory.limit_in_bytes", "1"),
            ],
            Some(4 * GIB),
        );
    }

    #[test]
    fn a_container_finds_its_limit_at_the_top() {
        check(
            &[
                MEMORY,
                ("proc/self/cgroup", "4:memory:/docker/0123\n"),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n"),
            ],
            Some(GIB / 2),
        );
    }

    #[test]
    fn a_limit_above_what_the_machine_has_is_none() {
        check(
            &[
                MEMORY,
                ("proc/self/cgroup", "0::/\n"),
                ("sys/fs/cgroup/memory.max", "17179869184\n"),
            ],
            Some(8 * GIB),
        );
    }
}
