//! How much memory a job uses: its process group and all descendants of its process, wherever they
//! went. Read from `/proc` once for all jobs of a worker that ask at about the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::unistd::{SysconfVar, sysconf};

/// What was read stays good for this long.
const FRESH: Duration = Duration::from_millis(200);

/// The machine's processes, as last seen.
#[derive(Debug, Default)]
pub(super) struct Census {
    last: Mutex<Option<(Instant, Arc<Vec<Row>>)>>,
}

/// One process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    pid: i32,
    parent: i32,
    group: i32,
    resident_pages: u64,
}

impl Census {
    /// MiB that the job uses whose process is `leader`. What its processes share is counted once
    /// if it matters to whether that is more than `limit_mib`. Blocks.
    pub fn used_mib(&self, leader: i32, limit_mib: u64) -> u64 {
        let rows = self.rows();
        let of_job = family(&rows, leader);
        let pages: u64 = of_job.iter().map(|row| row.resident_pages).sum();
        let used_mib = (pages * page_bytes()) >> 20;
        if used_mib <= limit_mib || of_job.len() == 1 {
            return used_mib;
        }
        // To tell what is shared from what is not costs a walk through all of it.
        let shares = of_job.iter().map(|row| {
            let own = (row.resident_pages * page_bytes()) >> 10;
            proportional_kib(row.pid).unwrap_or(own)
        });
        shares.sum::<u64>() >> 10
    }

    fn rows(&self) -> Arc<Vec<Row>> {
        let mut last = self.last.lock().expect("nothing panics while it counts");
        match &*last {
            Some((at, rows)) if at.elapsed() < FRESH => rows.clone(),
            Some(_) | None => {
                let rows = Arc::new(read());
                *last = Some((Instant::now(), rows.clone()));
                rows
            }
        }
    }
}

fn read() -> Vec<Row> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: i32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        parse(pid, &text)
    })
    .collect()
}

/// A line of `/proc/PID/stat` (proc(5)). The name in it may hold anything, parentheses included.
fn parse(pid: i32, text: &str) -> Option<Row> {
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let resident_pages = fields.nth(18)?.parse().ok()?;
    Some(Row {
        pid,
        parent,
        group,
        resident_pages,
    })
}

fn family(rows: &[Row], leader: i32) -> Vec<Row> {
    let mut children: BTreeMap<i32, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        children.entry(row.parent).or_default().push(row);
    }
    let is_first = |row: &&Row| row.pid == leader || row.group == leader;
    let mut waiting: Vec<&Row> = rows.iter().filter(is_first).collect();
    let mut known = BTreeSet::new();
    let mut found = Vec::new();
    while let Some(row) = waiting.pop() {
        if known.insert(row.pid) {
            found.push(*row);
            waiting.extend(children.get(&row.pid).into_iter().flatten());
        }
    }
    found
}

/// The process's memory, what it shares divided by those that share it.
fn proportional_kib(pid: i32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn page_bytes() -> u64 {
    let bytes = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    bytes
        .and_then(|bytes| u64::try_from(bytes).ok())
        .unwrap_or(4_096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let tail = "S 10 20 20 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 5 4096 77 184467";
        for name in ["cat", "a b", ") S 1 (", "((x"] {
            let row = parse(9, &format!("9 ({name}) {tail}")).unwrap();
            assert_eq!(
                (row.parent, row.group, row.resident_pages),
                (10, 20, 77),
                "{name}"
            );
        }
        assert_eq!(parse(9, "9 (cat) S 1"), None);
        assert!(read().iter().any(|row| row.resident_pages > 0));
    }

    #[test]
    fn a_job_is_its_group_and_its_descendants() {
        let row = |pid, parent, group| Row {
            pid,
            parent,
            group,
            resident_pages: 1,
        };
        let rows = [
            row(1, 0, 1),
            row(5, 1, 5),
            // In a session of its own, and a child of that.
            row(6, 5, 6),
            row(7, 6, 6),
            // Left by its parent, but still of the group.
            row(8, 1, 5),
            row(9, 1, 9),
        ];
        let mut pids: Vec<i32> = family(&rows, 5).iter().map(|row| row.pid).collect();
        pids.sort_unstable();
        assert_eq!(pids, [5, 6, 7, 8]);
    }
}
