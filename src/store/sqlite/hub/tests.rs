//! The hub's promises: acts and their records, the budget, archives, and every kind of damage.

use std::fs;

use proptest::prelude::*;

use super::*;

struct Fixture {
    dir: tempfile::TempDir,
    db: HubDb,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let db = HubDb::open(dir.path()).unwrap();
    Fixture { dir, db }
}

/// A log of so many records.
fn log_of(records: u64) -> Fixture {
    let mut fixture = fixture();
    let records = (0..records).map(act).collect();
    fixture.db.append(records, AuditBudget::default()).unwrap();
    fixture
}

impl Fixture {
    /// Writes to the file behind the program's back.
    fn tamper(&self, sql: &str) {
        let connection = Connection::open(self.db.path()).unwrap();
        connection
            .pragma_update(None, "ignore_check_constraints", true)
            .unwrap();
        connection.execute_batch(sql).unwrap();
    }

    fn broken(&self, expected: Option<AuditHead>) -> Option<Broken> {
        self.db.verify(expected).unwrap().broken
    }

    fn kinds(&self) -> Vec<String> {
        let records = self.db.audit_records(0, AUDIT_PAGE_MAX).unwrap();
        records.into_iter().map(|record| record.kind).collect()
    }
}

fn act(number: u64) -> NewAuditRecord {
    NewAuditRecord {
        at_ms: 1_000 + number,
        kind: "root.added",
        actor: "key:0123456789ab".to_owned(),
        subject: format!("/src/{number:04}"),
        outcome: "done",
        detail: "{}".to_owned(),
        is_aggregate: false,
    }
}

fn denial(number: u64) -> NewAuditRecord {
    NewAuditRecord {
        is_aggregate: true,
        ..act(number)
    }
}

/// What one record of [`act`] counts for.
fn act_bytes() -> u64 {
    act(0).chained(AuditHead::GENESIS).encoded().len() as u64
}

fn key(id: &str) -> KeyRow {
    KeyRow {
        id: id.to_owned(),
        name: "a key".to_owned(),
        mac: KeyMac([7; 32]),
        scopes: "embed search".to_owned(),
        collections: Some(vec!["docs".to_owned(), "a, \"b\"".to_owned()]),
        tenant: Some("team".to_owned()),
        created_ms: 1_000,
        expires_ms: Some(9_000),
        revoked_ms: None,
        last_used_ms: None,
        replaced_by: None,
        limit_per_s: Some(10),
        limit_burst: Some(20),
    }
}

fn change(fixture: &mut Fixture, change: &HubChange) -> HubResult<AuditHead> {
    fixture.db.change(change, act(0), AuditBudget::default())
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let mut fixture = fixture();
    let root = AllowedRoot {
        path: "/src".to_owned(),
        added_ms: 5,
        added_by: "key:abc".to_owned(),
    };
    let plain = KeyRow {
        collections: None,
        tenant: None,
        expires_ms: None,
        created_ms: 2_000,
        limit_per_s: None,
        limit_burst: None,
        ..key("0000")
    };
    change(&mut fixture, &HubChange::PutKey(plain.clone())).unwrap();
    change(&mut fixture, &HubChange::PutKey(key("1111"))).unwrap();
    let head = change(&mut fixture, &HubChange::AddRoot(root.clone())).unwrap();
    fixture.db.close().unwrap();
    let db = HubDb::open(fixture.dir.path()).unwrap();
    assert_eq!(db.keys().unwrap(), [key("1111"), plain]);
    assert_eq!(db.roots().unwrap(), [root]);
    assert_eq!(db.audit_head().unwrap(), head);
    let reader = HubDb::open_read_only(fixture.dir.path()).unwrap();
    assert_eq!(reader.keys().unwrap(), db.keys().unwrap());
    assert!(reader.verify(Some(head)).unwrap().is_whole());
}

#[test]
fn a_database_of_the_first_version_is_migrated_with_its_keys() {
    let dir = tempfile::tempdir().unwrap();
    let old = Connection::open(dir.path().join(FILE_NAME)).unwrap();
    old.execute_batch(schema::MIGRATIONS[0]).unwrap();
    old.execute_batch(
        "INSERT INTO api_key (id, name, mac, scopes, created_ms)
         VALUES ('0123456789ab', 'a key', zeroblob(32), 'search', 1000);",
    )
    .unwrap();
    old.pragma_update(None, "application_id", schema::APPLICATION_ID)
        .unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    drop(old);
    let refused = HubDb::open_read_only(dir.path()).unwrap_err();
    assert!(matches!(refused, StoreError::TooOld { .. }), "{refused}");
    assert!(refused.remedy().unwrap().contains("embedder serve"));
    let db = HubDb::open(dir.path()).unwrap();
    let kept = db.keys().unwrap().remove(0);
    assert_eq!(kept.id, "0123456789ab");
    assert_eq!((kept.limit_per_s, kept.limit_burst), (None, None));
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = fixture();
    let mode = fs::metadata(fixture.db.path())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_missing_database_is_told_from_one_that_never_was() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(
        HubDb::open_read_only(dir.path()),
        Err(StoreError::Absent { .. })
    ));
    fs::write(dir.path().join(PEPPER_FILE), [0; 32]).unwrap();
    assert!(matches!(
        HubDb::open(dir.path()),
        Err(StoreError::Vanished { .. })
    ));
    fs::write(dir.path().join(FILE_NAME), "").unwrap();
    assert!(matches!(
        HubDb::open(dir.path()),
        Err(StoreError::Damaged { .. })
    ));
}

#[test]
fn nothing_shows_the_code_of_a_secret() {
    let text = format!("{:?}", HubChange::PutKey(key("1111")));
    assert!(
        text.contains("KeyMac(***)") && !text.contains('7'),
        "{text}"
    );
}

#[test]
fn a_key_is_revoked_once() {
    let mut fixture = fixture();
    let revoke = |at_ms| HubChange::RevokeKey {
        id: "1111".to_owned(),
        at_ms,
    };
    assert!(matches!(
        change(&mut fixture, &revoke(1)),
        Err(HubError::KeyMissing { .. })
    ));
    change(&mut fixture, &HubChange::PutKey(key("1111"))).unwrap();
    change(&mut fixture, &revoke(5)).unwrap();
    change(&mut fixture, &revoke(6)).unwrap();
    assert_eq!(fixture.db.keys().unwrap()[0].revoked_ms, Some(5));
}

#[test]
fn a_key_is_replaced_while_it_lives() {
    let check = |old: KeyRow, old_expires_ms, expected: Result<u64, &str>| {
        let mut fixture = fixture();
        change(&mut fixture, &HubChange::PutKey(old)).unwrap();
        let replace = HubChange::ReplaceKey {
            old_id: "1111".to_owned(),
            old_expires_ms,
            new: key("2222"),
        };
        // The record, and with it the act, is of the time 1,000.
        let result = change(&mut fixture, &replace);
        let keys = fixture.db.keys().unwrap();
        match expected {
            Ok(expires_ms) => {
                result.unwrap();
                assert_eq!(keys.len(), 2);
                assert_eq!(keys[0].replaced_by.as_deref(), Some("2222"));
                assert_eq!(keys[0].expires_ms, Some(expires_ms));
            }
            Err(message) => {
                assert_eq!(result.unwrap_err().to_string(), message);
                assert_eq!(keys.len(), 1);
                assert_eq!(fixture.db.audit_head().unwrap().seq, 1);
            }
        }
    };
    let old = || key("1111");
    check(old(), 5_000, Ok(5_000));
    check(old(), 20_000, Ok(9_000));
    let endless = KeyRow {
        expires_ms: None,
        ..old()
    };
    check(endless, 20_000, Ok(20_000));
    let ended = "the key `1111` has ended";
    let revoked = KeyRow {
        revoked_ms: Some(1),
        ..old()
    };
    check(revoked, 5_000, Err(ended));
    let expired = KeyRow {
        expires_ms: Some(1_000),
        ..old()
    };
    check(expired, 5_000, Err(ended));
    let replaced = KeyRow {
        replaced_by: Some("3333".to_owned()),
        ..old()
    };
    check(replaced, 5_000, Err(ended));
    check(key("0000"), 5_000, Err("there is no key `1111`"));
}

#[test]
fn a_key_that_ended_makes_room_for_a_new_one() {
    let mut fixture = fixture();
    let fill = format!(
        "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {KEYS_MAX})
         INSERT INTO api_key (id, name, mac, scopes, created_ms)
         SELECT 'k' || n, 'a', zeroblob(32), 'embed', 1 FROM number"
    );
    fixture.tamper(&fill);
    let put = HubChange::PutKey(key("1111"));
    assert!(matches!(
        change(&mut fixture, &put),
        Err(HubError::TooMany { .. })
    ));
    // The record is of the time 1,000: the first two have ended by then, the second one earlier.
    fixture.tamper(
        "UPDATE api_key SET revoked_ms = 900 WHERE id = 'k1';
         UPDATE api_key SET expires_ms = 800 WHERE id = 'k2';
         UPDATE api_key SET expires_ms = 1001 WHERE id = 'k3';",
    );
    change(&mut fixture, &put).unwrap();
    let ids: Vec<String> = fixture
        .db
        .keys()
        .unwrap()
        .into_iter()
        .map(|key| key.id)
        .collect();
    assert_eq!(ids.len() as u64, KEYS_MAX);
    assert!(ids.contains(&"1111".to_owned()) && ids.contains(&"k1".to_owned()));
    assert!(!ids.contains(&"k2".to_owned()));
    // Writing it again needs no room.
    change(&mut fixture, &put).unwrap();
    assert_eq!(fixture.db.keys().unwrap().len() as u64, KEYS_MAX);
}

#[test]
fn the_last_use_never_goes_back() {
    let mut fixture = fixture();
    change(&mut fixture, &HubChange::PutKey(key("1111"))).unwrap();
    for (at_ms, expected) in [(5, 5), (4, 5), (6, 6)] {
        let used = [("1111".to_owned(), at_ms), ("gone".to_owned(), at_ms)];
        fixture.db.touch_keys(&used).unwrap();
        assert_eq!(fixture.db.keys().unwrap()[0].last_used_ms, Some(expected));
    }
    assert_eq!(fixture.db.audit_head().unwrap().seq, 1);
}

#[test]
fn roots_are_a_set() {
    let mut fixture = fixture();
    let root = |added_ms| {
        HubChange::AddRoot(AllowedRoot {
            path: "/src".to_owned(),
            added_ms,
            added_by: "server".to_owned(),
        })
    };
    let remove = HubChange::RemoveRoot {
        path: "/src".to_owned(),
    };
    assert!(matches!(
        change(&mut fixture, &remove),
        Err(HubError::RootMissing { .. })
    ));
    change(&mut fixture, &root(1)).unwrap();
    change(&mut fixture, &root(2)).unwrap();
    assert_eq!(fixture.db.roots().unwrap()[0].added_ms, 1);
    change(&mut fixture, &remove).unwrap();
    assert!(fixture.db.roots().unwrap().is_empty());
    let fill = format!(
        "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {ROOTS_MAX})
         INSERT INTO allowed_root (path, added_ms, added_by) SELECT '/' || n, 1, 'server' FROM number"
    );
    fixture.tamper(&fill);
    assert!(matches!(
        change(&mut fixture, &root(3)),
        Err(HubError::TooMany { .. })
    ));
    assert_eq!(fixture.db.roots().unwrap().len() as u64, ROOTS_MAX);
}

#[test]
fn records_are_read_page_by_page() {
    let fixture = log_of(5);
    let seqs = |after, limit| {
        let records = fixture.db.audit_records(after, limit).unwrap();
        records
            .into_iter()
            .map(|record| record.seq)
            .collect::<Vec<_>>()
    };
    assert_eq!(seqs(0, 2), [1, 2]);
    assert_eq!(seqs(2, usize::MAX), [3, 4, 5]);
    assert_eq!(seqs(5, 2), [0; 0]);
    assert_eq!(seqs(u64::MAX, 2), [0; 0]);
}

#[test]
fn a_log_that_nobody_touched_is_whole() {
    for records in [0, 1, 7] {
        let fixture = log_of(records);
        let head = fixture.db.audit_head().unwrap();
        assert_eq!(head.seq, records);
        let found = fixture.db.verify(Some(head)).unwrap();
        assert!(found.is_whole(), "{found:?}");
        assert_eq!((found.records, found.head), (records, head));
        assert_eq!((found.archived, found.is_head_archived), (None, false));
    }
}

#[test]
fn every_kind_of_damage_is_told() {
    let check = |sql: &str, seq: u64, damage: Damage| {
        let fixture = log_of(7);
        fixture.tamper(sql);
        assert_eq!(
            fixture.broken(None),
            Some(Broken { seq, damage }),
            "after {sql}"
        );
    };
    for field in [
        "at_ms = at_ms + 1",
        "kind = 'root.removed'",
        "actor = 'key:0123456789ac'",
        "subject = '/srv'",
        "outcome = 'refused'",
        "detail = '{ }'",
        "hash = zeroblob(32)",
    ] {
        for seq in [1, 3, 7] {
            let sql = format!("UPDATE audit SET {field} WHERE seq = {seq}");
            check(&sql, seq, Damage::Content);
        }
    }
    let sql = "UPDATE audit SET previous = hash WHERE seq = 3";
    check(sql, 3, Damage::Previous);
    let sql = "UPDATE audit SET previous = zeroblob(31) WHERE seq = 3";
    check(sql, 3, Damage::Unreadable);
    let sql = "UPDATE audit SET at_ms = -1 WHERE seq = 3";
    check(sql, 3, Damage::Unreadable);
    let sql = "DELETE FROM audit WHERE seq = 3";
    check(sql, 3, Damage::Gap { found: 4 });
    let sql = "DELETE FROM audit WHERE seq < 3";
    check(sql, 1, Damage::Gap { found: 3 });
    let sql = "UPDATE audit SET seq = 9 WHERE seq = 7";
    check(sql, 7, Damage::Gap { found: 9 });
    let sql = "UPDATE audit SET seq = 9 WHERE seq = 3";
    check(sql, 3, Damage::Reordered { found: 9 });
    let sql = "UPDATE audit SET seq = -3 WHERE seq = 3; UPDATE audit SET seq = 3 WHERE seq = 5;
               UPDATE audit SET seq = 5 WHERE seq = -3";
    check(sql, 3, Damage::Reordered { found: 5 });
    let sql = "DELETE FROM audit WHERE seq = 3; UPDATE audit SET seq = 3 WHERE seq = 4;
               UPDATE audit SET seq = 4 WHERE seq = 5; UPDATE audit SET seq = 5 WHERE seq = 6;
               UPDATE audit SET seq = 6 WHERE seq = 7";
    check(sql, 3, Damage::Previous);
}

#[test]
fn a_record_with_a_new_hash_breaks_the_one_after_it() {
    let fixture = log_of(4);
    let mut record = fixture.db.audit_records(1, 1).unwrap().remove(0);
    record.actor = "key:zzzzzzzzzzzz".to_owned();
    let hash = record.computed_hash();
    fixture.tamper(&format!(
        "UPDATE audit SET actor = 'key:zzzzzzzzzzzz', hash = x'{hash}' WHERE seq = 2"
    ));
    let broken = Broken {
        seq: 3,
        damage: Damage::Previous,
    };
    assert_eq!(fixture.broken(None), Some(broken));
}

#[test]
fn an_end_that_was_cut_off_shows_by_the_head_kept_elsewhere() {
    let mut fixture = log_of(7);
    let head = fixture.db.audit_head().unwrap();
    fixture.tamper("DELETE FROM audit WHERE seq > 5");
    assert_eq!(fixture.broken(None), None);
    let broken = |damage| Some(Broken { seq: 7, damage });
    assert_eq!(fixture.broken(Some(head)), broken(Damage::Truncated));
    let others = (100..110).map(act).collect();
    fixture.db.append(others, AuditBudget::default()).unwrap();
    assert_eq!(fixture.broken(None), None);
    assert_eq!(fixture.broken(Some(head)), broken(Damage::Rewritten));
    fixture.tamper("DELETE FROM audit");
    assert_eq!(fixture.broken(Some(head)), broken(Damage::Truncated));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_damage_of_one_record_or_two_goes_unseen(
        len in 2u64..12,
        at in 0u64..1_000,
        distance in 1u64..1_000,
        kind in 0..4,
    ) {
        let fixture = log_of(len);
        let head = fixture.db.audit_head().unwrap();
        let at = at % len;
        // Never the same one.
        let other = (at + 1 + distance % (len - 1)) % len + 1;
        let at = at + 1;
        let sql = match kind {
            0 => format!("UPDATE audit SET subject = subject || 'x' WHERE seq = {at}"),
            1 => format!("DELETE FROM audit WHERE seq = {at}"),
            2 => format!("DELETE FROM audit WHERE seq >= {at}"),
            _ => format!(
                "UPDATE audit SET seq = -1 WHERE seq = {at}; UPDATE audit SET seq = {at} WHERE seq = {other};
                 UPDATE audit SET seq = {other} WHERE seq = -1"
            ),
        };
        fixture.tamper(&sql);
        let broken = fixture.broken(Some(head));
        let expected = match kind {
            2 => len,
            3 => at.min(other),
            _ => at,
        };
        prop_assert_eq!(broken.map(|broken| broken.seq), Some(expected));
    }
}

#[test]
fn counted_things_leave_the_reserve_to_acts() {
    let budget = AuditBudget::new(32 * act_bytes());
    assert_eq!(budget.unreserved_bytes(), 30 * act_bytes());
    let mut fixture = fixture();
    let denials = (0..40).map(denial).collect();
    let appended = fixture.db.append(denials, budget).unwrap();
    assert_eq!(appended.skipped, 10);
    let mut kinds = vec!["root.added"; 30];
    kinds.push(KIND_BUDGET_LOW);
    assert_eq!(fixture.kinds(), kinds);
    // It is said once.
    assert_eq!(
        fixture.db.append(vec![denial(1)], budget).unwrap().skipped,
        1
    );
    assert_eq!(fixture.kinds(), kinds);
    // What the note left of the two records of the reserve takes none.
    assert!(fixture.db.audit_used_bytes().unwrap() > 31 * act_bytes());
    let put = HubChange::PutKey(key("1111"));
    let Err(HubError::AuditFull { budget_bytes, .. }) = fixture.db.change(&put, act(1), budget)
    else {
        panic!("the budget was exceeded")
    };
    assert_eq!(budget_bytes, budget.bytes());
    assert!(
        fixture.db.keys().unwrap().is_empty(),
        "what is not recorded is not done"
    );
    // With more room acts and counted things go on, and the note is due again later.
    let budget = AuditBudget::new(64 * act_bytes());
    fixture.db.change(&put, act(1), budget).unwrap();
    let appended = fixture
        .db
        .append((0..64).map(denial).collect(), budget)
        .unwrap();
    assert!(appended.skipped > 0);
    let notes = fixture
        .kinds()
        .iter()
        .filter(|kind| *kind == KIND_BUDGET_LOW)
        .count();
    assert_eq!(notes, 2);
    assert!(fixture.db.verify(Some(appended.head)).unwrap().is_whole());
}

#[test]
fn acts_use_the_budget_to_its_end() {
    let budget = AuditBudget::new(32 * act_bytes());
    let mut fixture = fixture();
    let mut written = 0;
    while fixture.db.append(vec![act(written)], budget).is_ok() {
        written += 1;
        assert!(fixture.db.audit_used_bytes().unwrap() <= budget.bytes());
    }
    // The 31st begins the reserve, and the note of that would not fit: an act is never undone for it.
    assert_eq!(written, 32);
    assert_eq!(fixture.kinds(), vec!["root.added"; 32]);
}

#[test]
fn records_are_appended_together_or_not_at_all() {
    let budget = AuditBudget::new(4 * act_bytes());
    let mut fixture = fixture();
    let records = (0..5).map(act).collect();
    assert!(matches!(
        fixture.db.append(records, budget),
        Err(HubError::AuditFull { .. })
    ));
    assert_eq!(fixture.db.audit_head().unwrap(), AuditHead::GENESIS);
    assert_eq!(fixture.db.audit_used_bytes().unwrap(), 0);
}

#[test]
fn a_record_has_a_largest_size() {
    let mut fixture = fixture();
    let record = NewAuditRecord {
        detail: "x".repeat(AUDIT_RECORD_BYTES_MAX as usize),
        ..act(1)
    };
    assert!(matches!(
        fixture.db.append(vec![record], AuditBudget::default()),
        Err(HubError::RecordTooLarge { .. })
    ));
}

#[test]
fn the_chain_goes_on_from_an_archive() {
    let mut fixture = log_of(5);
    let middle = fixture.db.audit_records(2, 1).unwrap()[0].head();
    let last = fixture.db.audit_head().unwrap();
    let file = fixture.dir.path().join("audit.jsonl");
    let archived = fixture.db.archive(&file, 9_000, "key:abc").unwrap();
    assert_eq!((archived.count, archived.last), (5, last));
    assert_eq!(archived.head.seq, 6);
    assert_eq!(fixture.kinds(), [KIND_ARCHIVED]);
    let first = fixture.db.audit_records(0, 1).unwrap().remove(0);
    assert_eq!((first.seq, first.previous), (6, last.hash));

    let after = fixture
        .db
        .append(vec![act(7)], AuditBudget::default())
        .unwrap();
    let found = fixture.db.verify(Some(after.head)).unwrap();
    assert!(found.is_whole());
    assert_eq!((found.records, found.archived), (2, Some(last)));
    // The heads of before: the last one is named by the log, the others only the archive knows.
    let found = fixture.db.verify(Some(last)).unwrap();
    assert!(found.is_whole() && !found.is_head_archived);
    let found = fixture.db.verify(Some(middle)).unwrap();
    assert!(found.is_whole() && found.is_head_archived);
    let forged = AuditHead {
        seq: last.seq,
        hash: middle.hash,
    };
    let broken = Broken {
        seq: last.seq,
        damage: Damage::Rewritten,
    };
    assert_eq!(fixture.broken(Some(forged)), Some(broken));

    let again = fixture.dir.path().join("again.jsonl");
    let archived = fixture.db.archive(&again, 9_001, "key:abc").unwrap();
    assert_eq!((archived.count, archived.head.seq), (2, 8));
    assert!(fixture.db.verify(Some(archived.head)).unwrap().is_whole());
}

#[test]
fn the_archive_holds_every_record() {
    let mut fixture = log_of(3);
    let records = fixture.db.audit_records(0, 10).unwrap();
    let file = fixture.dir.path().join("audit.jsonl");
    fixture.db.archive(&file, 9_000, "key:abc").unwrap();
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), records.len());
    for (line, record) in lines.iter().zip(&records) {
        assert_eq!(*line, serde_json::to_value(record).unwrap());
        assert_eq!(line["hash"], record.hash.to_string());
        assert_eq!(line["detail"], "{}");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn an_archive_empties_the_budget_and_needs_none() {
    let budget = AuditBudget::new(4 * act_bytes());
    let mut fixture = fixture();
    fixture
        .db
        .append((0..4).map(act).collect(), budget)
        .unwrap();
    assert!(fixture.db.append(vec![act(4)], budget).is_err());
    let file = fixture.dir.path().join("audit.jsonl");
    fixture.db.archive(&file, 9_000, "key:abc").unwrap();
    let first = fixture.db.audit_records(0, 1).unwrap().remove(0);
    let used = fixture.db.audit_used_bytes().unwrap();
    assert_eq!(used, first.encoded().len() as u64);
    fixture.db.append(vec![act(4)], budget).unwrap();
}

#[test]
fn a_failed_archive_changes_nothing() {
    let mut fixture = log_of(3);
    let head = fixture.db.audit_head().unwrap();
    let taken = fixture.dir.path().join("taken");
    fs::write(&taken, "mine").unwrap();
    let error = fixture.db.archive(&taken, 1, "key:abc").unwrap_err();
    assert_eq!(error.code(), crate::error::ErrorCode::Conflict);
    assert_eq!(fs::read_to_string(&taken).unwrap(), "mine");
    let nowhere = fixture.dir.path().join("no/such/folder");
    let error = fixture.db.archive(&nowhere, 1, "key:abc").unwrap_err();
    assert!(matches!(error, HubError::Archive { .. }));
    let unreadable = fixture.dir.path().join("unreadable");
    fixture.tamper("UPDATE audit SET previous = zeroblob(31) WHERE seq = 2");
    assert!(fixture.db.archive(&unreadable, 1, "key:abc").is_err());
    assert!(!unreadable.exists());
    assert_eq!(fixture.db.audit_head().unwrap(), head);

    let mut empty = log_of(0);
    let file = empty.dir.path().join("audit.jsonl");
    let result = empty.db.archive(&file, 1, "key:abc");
    assert!(matches!(result, Err(HubError::NothingToArchive)));
    assert!(!file.exists());
}

#[test]
fn what_the_log_says_of_its_archive_cannot_be_changed() {
    let check = |sql: &str| {
        let mut fixture = log_of(3);
        let file = fixture.dir.path().join("audit.jsonl");
        fixture.db.archive(&file, 9_000, "key:abc").unwrap();
        fixture.tamper(sql);
        assert!(fixture.broken(None).is_some(), "after {sql}");
    };
    check("UPDATE audit SET detail = replace(detail, '\"count\":3', '\"count\":2')");
    check("UPDATE audit SET detail = replace(detail, '\"last_seq\":3', '\"last_seq\":2')");
    check("UPDATE audit SET kind = 'root.added'");
    check("UPDATE audit SET previous = zeroblob(32)");
    check("UPDATE audit SET seq = 1");
    check("UPDATE audit SET detail = '{}'");
}

#[test]
fn in_a_group_one_refusal_takes_back_itself_alone() {
    let fixture = fixture();
    let writer = fixture.db.into_writer();
    let put = |id: &str, budget: AuditBudget| {
        let change = HubChange::PutKey(key(id));
        writer
            .call(move |db| Ok(db.change(&change, act(0), budget)))
            .unwrap()
    };
    put("1111", AuditBudget::default()).unwrap();
    assert!(matches!(
        put("2222", AuditBudget::new(1)),
        Err(HubError::AuditFull { .. })
    ));
    put("3333", AuditBudget::default()).unwrap();
    let db = writer.stop().unwrap();
    let ids: Vec<String> = db.keys().unwrap().into_iter().map(|key| key.id).collect();
    assert_eq!(ids, ["1111", "3333"]);
    let found = db.verify(None).unwrap();
    assert_eq!((found.records, found.broken), (2, None));
}
