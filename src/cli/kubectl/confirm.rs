//! `kubectl reinstate confirm`: shows what would be lost, takes the exact names, and writes the
//! confirmation bound to the plan that was shown.

use std::fmt::Write as _;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::answers::Answers;
use super::cluster::Cluster;
use super::error::{Error, Result};
use super::state::{self, State};
use super::{follow, page, status};
use crate::api::DatabaseRestore;
use crate::api::restore::RestoreStatus;
use crate::api::restore::status::Phase;
use crate::cli::ask::age;
use crate::cli::exit::ExitCode;
use crate::cli::now;
use crate::cli::output::{self, bytes, clean};
use crate::reason::Reason;

/// How long a confirmation counts that takes the place of one whose time is over.
const CONFIRMED_FOR: SignedDuration = SignedDuration::from_hours(24);
/// How often it is written anew because something else of the object has changed meanwhile.
const TRIES: usize = 5;

/// Confirms what a restore asks about
#[derive(Args, Clone, Debug)]
pub struct Confirm {
    /// The `DatabaseRestore`
    pub name: String,
    /// The exact names of what may be replaced, all of them, instead of typing them
    #[arg(long, value_name = "TARGET", num_args = 1..)]
    pub yes: Vec<String>,
    /// Follow it to its end; the exit code is that of the run
    #[arg(short, long)]
    pub follow: bool,
}

/// Runs the command.
pub async fn run(cluster: &Cluster, arguments: &Confirm) -> Result<ExitCode> {
    let restore: DatabaseRestore = cluster.find(&arguments.name).await?;
    if state::of(&restore) != State::Asking {
        return Err(not_asking(cluster, &restore));
    }
    output::note(&question(&restore, now()));
    let names = names(&restore);
    if arguments.yes.is_empty() {
        if !Answers::can_ask() {
            output::note(&format!(
                "to confirm without a terminal, name all of it: --yes {}",
                shell_words(&names)
            ));
            return Ok(ExitCode::ConfirmationNeeded);
        }
        let mut answers = Answers::default();
        for name in &names {
            output::note(&prompt(name));
            if answers.next().await.as_ref() != Some(name) {
                output::note("that is not the name; nothing was confirmed");
                return Ok(ExitCode::ConfirmationNeeded);
            }
        }
    } else if !is_same(&names, &arguments.yes) {
        let message =
            format!("it asks about {}, and --yes names {}", shell_words(&names), shell_words(&arguments.yes));
        return Err(Error::Usage(message));
    }
    write(cluster, &restore).await?;
    output::note(&format!("confirmed; {} starts", restore.name_any()));
    if arguments.follow {
        return follow::run(cluster, &restore, None).await;
    }
    output::note(&status::next(cluster, &cluster.find(&arguments.name).await?));
    Ok(ExitCode::Success)
}

fn not_asking(cluster: &Cluster, restore: &DatabaseRestore) -> Error {
    let message = format!("nothing is to be confirmed: {}", page::headline(restore, now()).trim_end());
    let is_holding = restore.status.as_ref().is_some_and(|status| status.phase == Some(Phase::Holding));
    let hint = if is_holding {
        let patch = r#"kubectl patch dbr --type merge -p '{"spec":{"switch":"Auto"}}'"#;
        format!("To switch: {patch} -n {} {}", cluster.namespace, restore.name_any())
    } else {
        String::new()
    };
    Error::refused(message, hint)
}

/// The exact names that have to be confirmed.
pub fn names(restore: &DatabaseRestore) -> Vec<String> {
    let status = restore.status.as_ref();
    status.map(state::asked_about).unwrap_or_default().iter().map(|row| row.to.clone()).collect()
}

fn is_same(names: &[String], given: &[String]) -> bool {
    names.iter().all(|name| given.contains(name)) && given.iter().all(|name| names.contains(name))
}

/// Names as they are typed in a shell.
fn shell_words(names: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let word = |name: &String| {
        if name.chars().all(plain) {
            name.clone()
        } else {
            format!("'{}'", clean(name).replace('\'', r"'\''"))
        }
    };
    names.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// What a person is asked to type.
pub fn prompt(name: &str) -> String {
    format!("Type {} to replace it, anything else to leave it as it is:", clean(name))
}

/// What would be lost, and by what it would be replaced.
pub fn question(restore: &DatabaseRestore, now: Timestamp) -> String {
    let status = restore.status.clone().unwrap_or_default();
    let mut text = String::new();
    if let Some(reason) =
        Reason::from_name(state::reason(&status)).filter(|it| *it != Reason::ConfirmationRequired)
    {
        let _ = writeln!(text, "\n{}", reason.facts().meaning);
    }
    let target = status.target.as_ref().and_then(|target| target.summary.clone()).unwrap_or_default();
    let _ = writeln!(text, "\n{} replaces in {}:\n", clean(&restore.name_any()), clean(&target));
    for row in state::asked_about(&status) {
        let lost = row.holds.as_ref().map_or_else(String::new, page::holds);
        let _ = writeln!(text, "  {}, which holds {lost}", clean(&row.to));
    }
    let _ = writeln!(text, "\nIt would be replaced by {}.", by(restore, &status, now));
    text.push_str(
        "Everything written to it since that backup was made is lost; consider a backup of it first.\n",
    );
    if status.backup.as_ref().is_none_or(|backup| backup.proof.is_none()) {
        text.push_str("The backup has not been read yet.\n");
    }
    text
}

/// The backup, with its age.
fn by(restore: &DatabaseRestore, status: &RestoreStatus, now: Timestamp) -> String {
    let Some(backup) = status.backup.as_ref().and_then(|it| page::backup_report(restore, it)) else {
        return clean(&page::wanted(restore));
    };
    let made = backup
        .timestamp
        .map_or_else(String::new, |made| format!(", made {} ({} ago)", page::minute(made), age(made, now)));
    format!("{}/{}, {}{made}", clean(&backup.storage), clean(&backup.path), bytes(backup.size))
}

/// Whether the plan of the status is confirmed by the spec, and the operator has not seen it yet.
pub fn is_answered(restore: &DatabaseRestore, now: Timestamp) -> bool {
    let overwrite = &restore.spec.overwrite;
    let token = token(restore);
    names(restore).iter().all(|name| overwrite.confirm.contains(name))
        && overwrite.confirm_until.as_ref().is_none_or(|until| until.0 >= now)
        && token.is_some()
        && overwrite.confirmed_plan == token
}

/// The token of the plan that is shown.
pub fn token(restore: &DatabaseRestore) -> Option<String> {
    restore.status.as_ref()?.plan.as_ref()?.token.clone()
}

/// The one patch: names and plan, and only if the object is still the one that was shown.
fn patch(restore: &DatabaseRestore, now: Timestamp) -> Value {
    let overwrite = &restore.spec.overwrite;
    let mut confirm = overwrite.confirm.clone();
    confirm.extend(names(restore).into_iter().filter(|name| !overwrite.confirm.contains(name)));
    let mut fields = json!({"confirm": confirm, "confirmedPlan": token(restore)});
    if overwrite.confirm_until.as_ref().is_some_and(|until| until.0 < now)
        && let Some(fields) = fields.as_object_mut()
        && let Ok(until) = now.checked_add(CONFIRMED_FOR)
    {
        let until = until.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        fields.insert("confirmUntil".to_owned(), until.into());
    }
    let metadata = json!({"uid": restore.metadata.uid, "resourceVersion": restore.metadata.resource_version});
    json!({"metadata": metadata, "spec": {"overwrite": fields}})
}

/// Confirms what `shown` asks about. Where the object has changed since, it is done only if the plan is
/// still the same.
pub async fn write(cluster: &Cluster, shown: &DatabaseRestore) -> Result<()> {
    let name = shown.name_any();
    let mut current = shown.clone();
    for _ in 0..TRIES {
        let patch = Patch::Merge(patch(&current, now()));
        let patched = cluster.api::<DatabaseRestore>().patch(&name, &PatchParams::default(), &patch).await;
        match patched.map_err(Error::request(format!("confirm DatabaseRestore {name}"))) {
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error),
            Ok(_) => return Ok(()),
        }
        current = cluster.find(&name).await?;
        if !is_same_plan(shown, &current) {
            break;
        }
    }
    let message = format!("{name} changed while you looked at it; nothing was confirmed");
    Err(Error::refused(message, format!("Look again: {}", cluster.command(&format!("confirm {name}")))))
}

fn is_same_plan(shown: &DatabaseRestore, current: &DatabaseRestore) -> bool {
    state::of(current) == State::Asking
        && current.metadata.uid == shown.metadata.uid
        && token(current) == token(shown)
        && names(current) == names(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::kubectl::state::sample;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_question_says_what_is_lost_and_what_comes() {
        let text = question(&sample("asking"), at("2026-11-24T22:13:52Z"));
        for part in [
            "second replaces in app/app.db:",
            "app.db, which holds 2 tables, ≈325 rows, 60.00 KiB",
            "by minio/sqlite_none_plain_2026-11-23_01-13-52.db, 60.00 KiB, made 2026-11-23 01:13:52 UTC (45 h ago).",
            "The backup has not been read yet.",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn the_patch_binds_the_names_to_the_plan_that_was_shown() {
        let mut restore = sample("asking");
        let now = at("2026-11-24T23:00:00Z");
        assert_eq!(
            patch(&restore, now),
            json!({
                "metadata": {"uid": "29bc6963-e6b6-4013-a1b9-49014e1e3bc4", "resourceVersion": "466"},
                "spec": {"overwrite": {"confirm": ["app.db"], "confirmedPlan": "e216bb118bfe6633"}},
            })
        );
        assert!(!is_answered(&restore, now));
        restore.spec.overwrite.confirm = vec!["other".into()];
        restore.spec.overwrite.confirm_until = serde_json::from_value(json!("2026-11-24T22:00:00Z")).unwrap();
        let patched = patch(&restore, now);
        assert_eq!(patched["spec"]["overwrite"]["confirm"], json!(["other", "app.db"]));
        assert_eq!(patched["spec"]["overwrite"]["confirmUntil"], "2026-11-25T23:00:00Z");
    }

    #[test]
    fn only_the_same_plan_of_the_same_object_is_confirmed_after_a_conflict() {
        let shown = sample("asking");
        assert!(is_same_plan(&shown, &shown.clone()));
        let mut other = shown.clone();
        other.status.as_mut().unwrap().plan.as_mut().unwrap().token = Some("t2".into());
        assert!(!is_same_plan(&shown, &other));
        let mut other = shown.clone();
        other.metadata.uid = Some("another".into());
        assert!(!is_same_plan(&shown, &other));
        assert!(!is_same_plan(&shown, &sample("cancelled")));
        let mut answered = shown;
        answered.spec.overwrite.confirm = vec!["app.db".into()];
        answered.spec.overwrite.confirmed_plan = Some("e216bb118bfe6633".into());
        assert!(is_answered(&answered, at("2026-11-24T23:00:00Z")));
    }

    #[test]
    fn names_are_shown_as_a_shell_takes_them() {
        for (name, expected) in [("app.db", "app.db"), ("a b", "'a b'"), ("it's", r"'it'\''s'")] {
            assert_eq!(shell_words(&[name.to_owned()]), expected);
        }
        let names = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(is_same(&names("a b"), &names("b a")));
        assert!(!is_same(&names("a b"), &names("a")));
        assert!(!is_same(&names("a"), &names("a b")));
    }
}
