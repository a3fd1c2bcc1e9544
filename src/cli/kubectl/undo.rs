//! `kubectl reinstate revert` and `discard`: what is done with a target after a restore. A Job of the
//! user does it, under the target's own lock, and its verdict is read from its pod.

use std::fmt::Write as _;

use clap::Args;
use kube::ResourceExt;

use super::answers::Answers;
use super::cluster::Cluster;
use super::confirm;
use super::errand::{self, Errand};
use super::error::{Error, Result};
use super::logs::readable;
use super::page::{self, number};
use super::restore;
use super::state;
use crate::api::DatabaseRestore;
use crate::api::restore::record::{DatabaseStatus, PreviousStatus};
use crate::cli::exit::ExitCode;
use crate::cli::output::{self, bytes, clean};
use crate::cli::{now, render};
use crate::journal;
use crate::operator::build::targets;
use crate::operator::names::digest;
use crate::plan::{Held, Order, OverwritePolicy, PlanVersion, RestorePlan, Strategy, Task};
use crate::report::{Outcome, RestoreReport};

/// Number of the attempt in orders that are none of the operator's.
const ATTEMPT: u32 = 1;

/// Puts the data back that a restore has replaced and kept
#[derive(Args, Clone, Debug)]
pub struct Revert {
    /// The `DatabaseRestore` that has replaced it
    pub name: String,
    /// Which of its databases, where it has restored several
    #[arg(long, value_name = "TARGET")]
    pub database: Option<String>,
    /// The exact name of what is replaced, instead of typing it
    #[arg(long, value_name = "TARGET")]
    pub yes: Option<String>,
    /// How the Job is run
    #[command(flatten)]
    pub job: errand::Flags,
}

/// Removes what runs left beside a target: loads of dead runs, and kept data whose time is over
#[derive(Args, Clone, Debug)]
pub struct Discard {
    /// A `DatabaseRestore` of that target
    pub name: String,
    /// How the Job is run
    #[command(flatten)]
    pub job: errand::Flags,
}

/// Runs `revert`. What it replaces is kept in its turn.
pub async fn revert(cluster: &Cluster, arguments: &Revert) -> Result<ExitCode> {
    let restore = ended(cluster, &arguments.name).await?;
    let (row, previous) = kept(&restore, arguments.database.as_deref())?;
    if let Some(other) = arguments.yes.as_ref().filter(|name| **name != row.to) {
        return Err(Error::Usage(format!(
            "it replaces {}, and --yes names {}",
            clean(&row.to),
            clean(other)
        )));
    }
    let mut plan = restore::plan(cluster, &restore).await?;
    plan.strategy = Strategy::Auto;
    plan.overwrite.policy = OverwritePolicy::Ask;
    plan.overwrite.confirm_until = None;
    plan.overwrite.confirmed_plan = None;
    plan.overwrite.confirm = arguments.yes.iter().cloned().collect();
    if let Some(target) = &mut plan.target {
        target.name(restore.status.iter().flat_map(targets));
        // One of several databases; the others stay as they are.
        target.databases.retain(|it| it.to == row.to);
    }
    let task = Task::Revert { previous: previous.name.clone() };
    let mut report = carry_out(cluster, &arguments.job, &order(&restore, &plan, task.clone(), None)).await?;
    if report.outcome == Outcome::AwaitingConfirmation {
        output::note(&question(&report, previous));
        if !Answers::can_ask() {
            output::note(&format!("to do it without a terminal: --yes {}", clean(&row.to)));
            return Ok(ExitCode::ConfirmationNeeded);
        }
        output::note(&confirm::prompt(&row.to));
        if Answers::default().next().await.as_ref() != Some(&row.to) {
            output::note("that is not the name; nothing was changed");
            return Ok(ExitCode::ConfirmationNeeded);
        }
        plan.overwrite.confirm = vec![row.to.clone()];
        // Only what was shown is replaced.
        plan.overwrite.confirmed_plan = report.target.as_ref().map(|target| target.plan_token.clone());
        report = carry_out(cluster, &arguments.job, &order(&restore, &plan, task, None)).await?;
    }
    output::out(&render::report(&report, &plan));
    Ok(ExitCode::of_report(&report))
}

/// Runs `discard`.
pub async fn discard(cluster: &Cluster, arguments: &Discard) -> Result<ExitCode> {
    let restore = ended(cluster, &arguments.name).await?;
    let mut plan = restore::plan(cluster, &restore).await?;
    if let Some(target) = &mut plan.target {
        target.name(restore.status.iter().flat_map(targets));
    }
    let order = order(&restore, &plan, Task::Discard, held(&restore));
    let report = carry_out(cluster, &arguments.job, &order).await?;
    output::out(&render::report(&report, &plan));
    Ok(ExitCode::of_report(&report))
}

/// A restore that is over: what is under way is the operator's.
async fn ended(cluster: &Cluster, name: &str) -> Result<DatabaseRestore> {
    let restore: DatabaseRestore = cluster.find(name).await?;
    if restore.spec.target.is_none() {
        return Err(Error::refused(format!("{name} has no target: it only reads a backup"), ""));
    }
    if state::of(&restore).is_end() {
        return Ok(restore);
    }
    let message = format!("it is not over: {}", page::headline(&restore, now()).trim_end());
    Err(Error::refused(message, format!("To stop it: {}", cluster.command(&format!("cancel {name}")))))
}

/// The database, and its kept previous data.
fn kept<'a>(
    restore: &'a DatabaseRestore,
    database: Option<&str>,
) -> Result<(&'a DatabaseStatus, &'a PreviousStatus)> {
    let rows = restore.status.iter().filter_map(|status| status.target.as_ref()).flat_map(|it| &it.databases);
    let kept: Vec<_> = rows
        .filter(|row| database.is_none_or(|name| name == row.to))
        .filter_map(|row| Some((row, row.previous.as_ref()?)))
        .collect();
    match kept.as_slice() {
        [only] => Ok(*only),
        [] => Err(Error::refused(
            format!(
                "{} has kept no replaced data{}",
                restore.name_any(),
                database.map_or_else(String::new, |name| format!(" of {name}"))
            ),
            "Data is kept where it was replaced and keepPrevious was more than 0s. Otherwise restore a backup of it.",
        )),
        several => {
            let names: Vec<&str> = several.iter().map(|(row, _)| row.to.as_str()).collect();
            Err(Error::Usage(format!("say which of them with --database: {}", clean(&names.join(", ")))))
        }
    }
}

/// What the last attempt has loaded and left for its switch.
fn held(restore: &DatabaseRestore) -> Option<Held> {
    let status = restore.status.as_ref()?;
    let shadows = status.target.as_ref()?.held.clone();
    (!shadows.is_empty()).then_some(Held { shadows, token: status.plan.as_ref()?.token.clone()? })
}

/// The order for a runner that is not the operator's.
fn order(restore: &DatabaseRestore, plan: &RestorePlan, task: Task, held: Option<Held>) -> Order {
    let uid = restore.metadata.uid.clone().unwrap_or_default();
    let nonce = digest(&format!("{uid} {} errand", now()), 16);
    // Nothing is read from the storage: no key is needed.
    let plan = RestorePlan { keys: Vec::new(), ..plan.clone() };
    Order { version: PlanVersion, uid, attempt: ATTEMPT, nonce, task, pinned: None, held, plan }
}

/// Runs the Job of `order`; gives back its verdict.
async fn carry_out(cluster: &Cluster, flags: &errand::Flags, order: &Order) -> Result<RestoreReport> {
    let verb = match order.task {
        Task::Revert { .. } => "revert",
        Task::Discard => "discard",
        Task::Restore => "restore",
    };
    let text = serde_json::to_string(order)
        .map_err(|error| Error::Usage(format!("failed to write the order: {error}")))?;
    let errand = Errand {
        verb,
        plan: order.plan.clone(),
        order: text,
        arguments: vec!["runner".to_owned()],
        is_writing: true,
    };
    let message = errand::run(cluster, flags, &errand, |line| output::note(&readable(line))).await?;
    let verdict = journal::last(&message, &order.uid, ATTEMPT).and_then(|entry| entry.verdict);
    verdict.ok_or_else(|| {
        Error::refused(
            "the runner ended without a verdict",
            "Look at the target before you go on. The runner's image may be of another version: name one with --image.",
        )
    })
}

/// What would be replaced, and by what.
fn question(report: &RestoreReport, previous: &PreviousStatus) -> String {
    let mut text = String::new();
    let target = report.target.as_ref();
    let _ = writeln!(text, "\nIn {}:\n", clean(target.map_or("the target", |target| &target.summary)));
    for row in target.iter().flat_map(|target| &target.databases) {
        let lost = row.holds.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
        let _ = writeln!(text, "  {}, which holds {lost}", clean(&row.to));
    }
    let size = number(previous.bytes).map_or_else(String::new, |size| format!(" ({})", bytes(size)));
    let _ = writeln!(text, "\nIt would be replaced by {}{size}.", clean(&previous.name));
    text.push_str(
        "What was written to it since is no longer in it, and is kept for as long as the restore says.\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::kubectl::state::sample;

    #[test]
    fn only_what_was_kept_can_be_put_back() {
        let swapped = sample("swapped");
        let (row, previous) = kept(&swapped, None).unwrap();
        assert_eq!(row.to, "app.db");
        assert!(previous.name.contains("app.db.reinstate-previous-"), "{}", previous.name);
        for (name, database) in [("restored", None), ("not-found", None), ("swapped", Some("other.db"))] {
            let restore = sample(name);
            assert!(matches!(kept(&restore, database), Err(Error::Refused { .. })), "{name}");
        }
        let mut two = sample("swapped");
        let databases = &mut two.status.as_mut().unwrap().target.as_mut().unwrap().databases;
        let mut second = databases[0].clone();
        second.to = "b.db".into();
        databases.push(second);
        assert!(matches!(kept(&two, None), Err(Error::Usage(text)) if text.contains("app.db, b.db")));
        assert_eq!(kept(&two, Some("b.db")).unwrap().0.to, "b.db");
    }
}
