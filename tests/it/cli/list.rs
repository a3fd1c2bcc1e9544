//! `reinstate list` on a folder of real backups.

use super::{backups, reinstate};

#[test]
fn every_backup_is_a_row_newest_first() {
    let folder = backups();
    let folder = folder.to_str().unwrap();
    let list = reinstate(&["list", folder, "-o", "json"]).expect(0, &[]).json();
    assert_eq!(list["destination"], folder);
    let rows = list["backups"].as_array().unwrap();
    let known: Vec<_> = rows.iter().filter(|row| row["state"] == "ok").collect();
    assert_eq!(known.len(), 33);
    let time =
        |row: &&serde_json::Value| row["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let times: Vec<jiff::Timestamp> = known.iter().map(time).collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
    let sqlite = rows.iter().find(|row| row["path"].as_str().unwrap() == super::BACKUP).unwrap();
    assert_eq!(
        [&sqlite["engine"], &sqlite["engineVersion"], &sqlite["compression"], &sqlite["databases"][0]],
        ["SQLite", "3.40.1", "Gzip", "app.sqlite"]
    );
    let table = reinstate(&["list", folder]).expect(0, &["TIMESTAMP", "MariaDB 10.11.19", "incremental"]);
    assert_eq!(table.out.lines().count(), rows.len() + 1);
}

#[test]
fn a_place_that_is_not_there_or_no_folder_is_told() {
    reinstate(&["list", "/nonexistent"]).expect(11, &["there is no folder /nonexistent", "SourceNotFound"]);
    let file = backups().join(super::BACKUP);
    reinstate(&["list", file.to_str().unwrap()]).expect(2, &["name the folder that it lies in"]);
    reinstate(&["list", "ftp://host/backups"]).expect(2, &["neither a local path nor an s3:// URL"]);
    let empty = tempfile::tempdir().unwrap();
    reinstate(&["list", empty.path().to_str().unwrap()]).expect(0, &["no backups found"]);
}
