//! The list of a storage from inside a pod that has its Secrets and claims: one JSON line for each
//! backup, and a last one that says that it is whole. The other side is `kubectl reinstate backups`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Row, rows};
use crate::plan::{RestorePlan, Selector, Storage, pod};
use crate::reason::Reason;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::pod::FolderSecrets;
use crate::runner::run::open::{self, Mounts};

/// Largest plan, in bytes. All annotations of an object have at most 256 KiB.
const PLAN_LIMIT_BYTES: u64 = 256 << 10;

/// One line of the pod's log.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Line {
    /// One backup.
    Backup(Box<Row>),
    /// The last line: all was listed.
    End {
        /// The storage destination.
        destination: String,
        /// Backups that it has, listed or not.
        count: usize,
    },
    /// The last line: nothing was listed.
    Failed {
        /// The stable reason.
        reason: Reason,
        /// What failed, on what.
        message: String,
    },
}

/// Lists what the plan below `root` names. A failure is a line of the list, so that it is read where
/// the list is.
pub fn list(root: &Path, limit: Option<usize>) -> Result<String> {
    let lines = try_list(root, limit.unwrap_or(usize::MAX))
        .unwrap_or_else(|fault| vec![Line::Failed { reason: fault.reason, message: fault.full_message() }]);
    let mut text = String::new();
    for line in lines {
        let line = serde_json::to_string(&line)
            .map_err(|error| failed("failed to write the list").caused_by(error))?;
        text.push_str(&line);
        text.push('\n');
    }
    Ok(text)
}

fn try_list(root: &Path, limit: usize) -> Result<Vec<Line>> {
    let at = |path: &str| root.join(path.trim_start_matches('/'));
    let plan = read(&at(pod::ORDER_FILE))?;
    let secrets = FolderSecrets::new(at(pod::SECRETS_FOLDER));
    let mut mounts = Mounts::new();
    if let Storage::Volume(volume) = &plan.backup.storage {
        mounts.insert(volume.claim_name.clone(), at(pod::CLAIMS_FOLDER).join(&volume.claim_name));
    }
    let prefix = match &plan.backup.selector {
        Selector::Path(path) => path,
        Selector::Latest(latest) => &latest.prefix,
    };
    let store = open::store(&plan, &secrets, &mounts)?;
    let all = rows(store.as_ref(), prefix)?;
    let count = all.len();
    let backups = all.into_iter().take(limit).map(|row| Line::Backup(Box::new(row)));
    Ok(backups.chain([Line::End { destination: store.describe(), count }]).collect())
}

fn failed(message: impl Into<String>) -> Fault {
    Fault::new(Stage::Resolve, Reason::InternalError, message)
}

fn read(path: &Path) -> Result<RestorePlan> {
    let unreadable = |error: std::io::Error| {
        failed(format!("failed to read the plan {}", path.display())).caused_by(error)
    };
    let mut text = String::new();
    File::open(path)
        .map_err(unreadable)?
        .take(PLAN_LIMIT_BYTES)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    serde_json::from_str(&text).map_err(|error| {
        failed("this program cannot read the plan of its pod: it is of another version").caused_by(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Objects, resolve};

    fn plan(prefix: &str) -> String {
        let object = |kind: &str, name: &str, spec: serde_json::Value| serde_json::json!({"apiVersion": crate::api::API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec});
        let storage =
            object("BackupStorage", "s", serde_json::json!({"volume": {"claimName": "c", "path": "shop"}}));
        let restore = object(
            "DatabaseRestore",
            "r",
            serde_json::json!({"mode": "Verify", "backup": {"storageRef": {"name": "s"}, "latest": {"prefix": prefix}}}),
        );
        let objects =
            Objects { storages: vec![serde_json::from_value(storage).unwrap()], ..Objects::default() };
        let plan = resolve(&serde_json::from_value(restore).unwrap(), &objects).unwrap();
        serde_json::to_string(&plan).unwrap()
    }

    fn lines(root: &Path, limit: Option<usize>) -> Vec<Line> {
        let text = list(root, limit).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn every_backup_is_a_line_and_the_last_line_says_that_it_is_the_last() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, content: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        };
        write("run/reinstate/order/order.json", &plan("a"));
        for name in ["a1.sql", "a2.sql", "b.sql"] {
            write(&format!("claims/c/shop/{name}"), "x");
        }
        for (limit, shown) in [(None, 2), (Some(1), 1), (Some(0), 0)] {
            let mut lines = lines(root.path(), limit);
            assert!(matches!(lines.pop(), Some(Line::End { count: 2, .. })), "{limit:?}");
            assert_eq!(lines.len(), shown, "{limit:?}");
        }
    }

    #[test]
    fn what_is_in_the_way_is_a_line_too() {
        let root = tempfile::tempdir().unwrap();
        let found = |root: &Path| match lines(root, None).pop() {
            Some(Line::Failed { reason, .. }) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(found(root.path()), Reason::InternalError);
        std::fs::create_dir_all(root.path().join("run/reinstate/order")).unwrap();
        std::fs::write(root.path().join("run/reinstate/order/order.json"), plan("")).unwrap();
        assert_eq!(found(root.path()), Reason::SourceNotFound);
    }
}
