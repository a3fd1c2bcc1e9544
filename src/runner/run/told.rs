//! What a report says of a fault and of a proven backup.

use crate::plan::Pinned;
use crate::reason::Reason;
use crate::report::{BackupReport, FailureReport};
use crate::runner::engine::Survey;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::DatabaseEntry;
use crate::runner::meter::sha256;
use crate::runner::read::Examined;
use crate::runner::source::Artifact;

/// The report's words for a fault.
pub fn failure(fault: &Fault) -> FailureReport {
    let full = fault.full_message();
    let below = full.strip_prefix(fault.message.as_str()).map(|rest| rest.trim_start_matches(": "));
    FailureReport {
        stage: fault.stage.name().to_owned(),
        reason: fault.reason,
        message: fault.message.clone(),
        engine_error: below.filter(|text| !text.is_empty()).map(str::to_owned),
        hint: fault.reason.hint().to_owned(),
        retryable: fault.reason.is_retryable(),
    }
}

/// The report's words for a proven backup.
pub fn backup_report(examined: &Examined) -> BackupReport {
    let format = if examined.dbackup {
        Some("DBackup".to_owned())
    } else {
        examined.format().map(|format| format!("{format:?}"))
    };
    BackupReport {
        path: examined.artifact.path.clone(),
        storage: examined.artifact.store.describe(),
        size: examined.size,
        etag: Some(examined.pin.etag()),
        version_id: examined.pin.version().map(str::to_owned),
        sha256: examined.stored_sha256.map(hex::encode),
        proof: examined.proof.map(|proof| format!("{proof:?}")),
        timestamp: examined.timestamp(),
        format,
        compression: examined.compression().map(|codec| codec.name().to_owned()),
        encryption: examined.encryption.as_ref().map(|seal| seal.algorithm.to_owned()),
        profile: examined.encryption.as_ref().map(|seal| seal.profile.clone()),
        discovered: examined.encryption.as_ref().is_some_and(|seal| seal.discovered),
        engine: examined.engine.map(|engine| format!("{engine:?}")),
        engine_version: examined.engine_version.clone(),
    }
}

/// The fault for a database that a mapping names and the backup does not hold.
pub(super) fn not_held(name: &str, examined: &Examined) -> Fault {
    let inside = |entry: &DatabaseEntry| {
        let named = entry.facts.databases.iter().map(|database| database.name.clone());
        entry.name.clone().into_iter().chain(named).collect::<Vec<_>>()
    };
    let held: Vec<_> = examined.databases.iter().flat_map(inside).collect();
    let message = format!("there is no database {name:?} in the backup; it holds: {}", held.join(", "));
    Fault::new(Stage::Inspect, Reason::DatabaseNotInBackup, message)
}

/// The fault for a plan and a backup that do not name a common database.
pub(super) fn no_database() -> Fault {
    Fault::new(Stage::Inspect, Reason::DatabaseNotInBackup, "there is no database in the backup")
}

/// The fault of a hook of the manifest.
pub(super) fn of_hook(number: usize, fault: Fault) -> Fault {
    Fault { message: format!("hook {number} of the manifest, {}", fault.message), ..fault }
}

/// The fault for a query of the manifest that did not answer true.
pub(super) fn unanswered(number: usize, fault: Fault) -> Fault {
    Fault { message: format!("query {number} of the manifest {}", fault.message), ..fault }
}

/// `SourceChanged` where the backup is not the one that an earlier attempt has looked at.
pub(super) fn check_pinned(pinned: &Pinned, found: &Pinned, artifact: &Artifact) -> Result<()> {
    if pinned == found {
        return Ok(());
    }
    let words = |it: &Pinned| {
        let part = |what: &str, it: &Option<String>| {
            it.as_ref().map_or_else(String::new, |it| format!(", {what} {it}"))
        };
        format!("{} bytes{}{}", it.size, part("etag", &it.etag), part("version", &it.version_id))
    };
    let message = format!(
        "{} is not the backup that an earlier attempt has looked at: it has {}, that had {}",
        artifact.describe(),
        words(found),
        words(pinned)
    );
    Err(Fault::new(Stage::Resolve, Reason::SourceChanged, message))
}

/// What identifies a plan: the pinned backup, the databases that it goes to, and what would be done.
/// The same on every node and while applications write; see [`Survey::plan_identity`].
pub(super) fn plan_token(backup: Option<&Pinned>, surveys: &[Survey], references: &str) -> String {
    let of = |survey: &Survey| {
        let Survey { target, plan_identity, action, .. } = survey;
        format!("{target} {plan_identity} {action:?} ")
    };
    let targets: String = surveys.iter().map(of).collect();
    let text = format!("{backup:?} {targets}{references}");
    hex::encode(sha256(text.as_bytes()).get(..8).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::runner::engine::Action;
    use crate::runner::source::Folder;

    fn pinned() -> Pinned {
        Pinned { path: "a".into(), size: 1, etag: Some("e".into()), version_id: None }
    }

    #[test]
    fn another_backup_at_the_same_path_is_a_changed_source() {
        let artifact = Artifact { store: Arc::new(Folder::new("/backups")), path: "a".into() };
        for (found, same) in [
            (pinned(), true),
            (Pinned { size: 2, ..pinned() }, false),
            (Pinned { etag: Some("f".into()), ..pinned() }, false),
            (Pinned { etag: None, ..pinned() }, false),
            (Pinned { version_id: Some("v".into()), ..pinned() }, false),
        ] {
            let checked = check_pinned(&pinned(), &found, &artifact).map_err(|fault| fault.reason);
            assert_eq!(checked, if same { Ok(()) } else { Err(Reason::SourceChanged) }, "{found:?}");
        }
    }

    #[test]
    fn a_token_names_backup_target_action_and_references() {
        let survey = || Survey {
            target: "app.db".into(),
            holds: None,
            version: None,
            action: Action::Swap,
            plan_identity: "file 1".into(),
            server_identity: None,
        };
        let token = plan_token(Some(&pinned()), &[survey()], "r");
        assert_eq!(token.len(), 16);
        assert_eq!(
            plan_token(Some(&pinned()), &[Survey { version: Some("3".into()), ..survey() }], "r"),
            token
        );
        for other in [
            plan_token(None, &[survey()], "r"),
            plan_token(Some(&Pinned { etag: None, ..pinned() }), &[survey()], "r"),
            plan_token(Some(&pinned()), &[Survey { target: "b.db".into(), ..survey() }], "r"),
            plan_token(Some(&pinned()), &[Survey { plan_identity: "file 2".into(), ..survey() }], "r"),
            plan_token(Some(&pinned()), &[Survey { action: Action::Create, ..survey() }], "r"),
            plan_token(Some(&pinned()), &[survey()], "s"),
            plan_token(Some(&pinned()), &[survey(), survey()], "r"),
        ] {
            assert_ne!(other, token);
        }
    }
}
