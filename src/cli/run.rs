//! `reinstate run`: carries out the `DatabaseRestore`s of manifests on this machine, through the same
//! plan and runner that a cluster's Job uses.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;

use super::exit::ExitCode;
use super::output::{self, Format};
use super::progress::Display;
use super::{ask, check, manifest_files, now, render, report_fault, report_problems, signals};
use crate::api::DatabaseRestore;
use crate::cli::manifest::Manifests;
use crate::plan::{MemorySecrets, Mode, Problem, RestorePlan, namespace_of, refuse_locally, resolve};
use crate::reason::Reason;
use crate::report::RestoreReport;
use crate::runner::engine::Context;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::keyring;
use crate::runner::run::open::{self, Mounts};
use crate::runner::run::{self, Errand, Parts, Question, Source, engine};

/// Carries out the restores of manifests on this machine
#[derive(Args, Clone, Debug)]
pub struct Run {
    /// Manifests: restores and what they refer to, Secrets included; `-` is standard input
    #[arg(short = 'f', long = "file", value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// The folder that stands for a volume claim, as often as there are claims
    #[arg(long, value_name = "NAME=DIR", value_parser = parse_claim)]
    pub claim: Vec<(String, PathBuf)>,
    /// Only the restore of this name
    #[arg(long)]
    pub name: Option<String>,
    /// Do everything up to the first write, and say what would happen
    #[arg(long)]
    pub plan: bool,
    /// Form of the report
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

fn parse_claim(text: &str) -> std::result::Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, folder)) if !name.is_empty() && !folder.is_empty() => {
            Ok((name.to_owned(), folder.into()))
        }
        _ => Err("expected NAME=DIR, such as app-data=./data".to_owned()),
    }
}

/// Runs the command.
pub fn run(arguments: &Run) -> ExitCode {
    let manifests = match manifest_files(&arguments.files) {
        Ok(manifests) => manifests,
        Err(fault) => return report_fault(&fault),
    };
    let wanted = |restore: &&DatabaseRestore| {
        arguments.name.is_none() || restore.metadata.name.as_deref() == arguments.name.as_deref()
    };
    let restores: Vec<_> = manifests.restores.iter().filter(wanted).collect();
    if restores.is_empty() {
        return report_fault(&no_restore(arguments, &manifests));
    }
    // What is missing for the last one is told before the first one writes.
    let plans: Vec<_> =
        restores.into_iter().map(|restore| (restore, plan(arguments, &manifests, restore))).collect();
    if plans.iter().any(|(_, plan)| plan.is_err()) {
        return refuse(arguments, &plans);
    }
    for plan in plans.into_iter().filter_map(|(_, plan)| plan.ok()) {
        let code = run_one(arguments, &manifests, &plan);
        if code != ExitCode::Success {
            return code;
        }
    }
    ExitCode::Success
}

fn no_restore(arguments: &Run, manifests: &Manifests) -> Fault {
    let names: Vec<&str> =
        manifests.restores.iter().filter_map(|restore| restore.metadata.name.as_deref()).collect();
    let message = match &arguments.name {
        Some(name) => format!(
            "there is no DatabaseRestore named {name:?} in the manifests; there are: {}",
            names.join(", ")
        ),
        None => "there is no DatabaseRestore in the manifests".to_owned(),
    };
    Fault::new(Stage::Resolve, Reason::InvalidSpec, message)
}

/// The plan of one restore, or all that is wrong with it and missing for it.
fn plan(
    arguments: &Run,
    manifests: &Manifests,
    restore: &DatabaseRestore,
) -> std::result::Result<RestorePlan, Vec<Problem>> {
    let mut problems = refuse_locally(restore);
    let plan = resolve(restore, &manifests.objects).map_err(|found| problems.extend(found));
    problems.extend(check::missing(restore, manifests, &arguments.claim));
    match plan {
        Ok(mut plan) if problems.is_empty() => {
            if arguments.plan && plan.mode == Mode::Restore {
                plan.mode = Mode::Plan;
            }
            Ok(plan)
        }
        _ => Err(problems),
    }
}

type Planned<'a> = (&'a DatabaseRestore, std::result::Result<RestorePlan, Vec<Problem>>);

/// Tells everything that is wrong; nothing has begun.
fn refuse(arguments: &Run, plans: &[Planned<'_>]) -> ExitCode {
    let mut code = None;
    for (restore, problems) in
        plans.iter().filter_map(|(restore, plan)| Some((restore, plan.as_ref().err()?)))
    {
        let name = restore.metadata.name.as_deref().unwrap_or_default();
        let this = report_problems(name, problems);
        code = code.or(Some(this));
        if arguments.output == Format::Json {
            let mut report = RestoreReport::begun(namespace_of(&restore.metadata), name, now());
            let messages: Vec<String> =
                problems.iter().map(|problem| format!("{}: {}", problem.field, problem.message)).collect();
            let reason = problems.first().map_or(Reason::InvalidSpec, |problem| problem.reason);
            let fault = Fault::new(Stage::Resolve, reason, messages.join("; "));
            report.failure = Some(run::failure(&fault));
            output::json(&report);
        }
    }
    code.unwrap_or(ExitCode::Usage)
}

fn run_one(arguments: &Run, manifests: &Manifests, plan: &RestorePlan) -> ExitCode {
    let begun = now();
    let secrets = manifests.secrets(&plan.namespace);
    let report = start(arguments, plan, &secrets).unwrap_or_else(|fault| {
        let mut report = RestoreReport::begun(&plan.namespace, &plan.name, begun);
        report.failure = Some(run::failure(&fault));
        report
    });
    match arguments.output {
        Format::Json => output::json(&report),
        Format::Text => output::out(&render::report(&report, plan)),
    }
    ExitCode::of_report(&report)
}

fn start(arguments: &Run, plan: &RestorePlan, secrets: &MemorySecrets) -> Result<RestoreReport> {
    let now: Timestamp = now();
    let mounts: Mounts = arguments.claim.iter().cloned().collect();
    let context = Context::default();
    let keys = keyring::from_plan(&plan.keys, plan.backup.profile.as_deref(), secrets)?;
    let store = open::store(plan, secrets, &mounts)?;
    let engine = engine::open(plan, secrets, &mounts, now, &context)?;
    let _signals = signals::cancel_on_signal(&context.cancel, signals::Again::Ends);
    let display = std::cell::RefCell::new(Some(Display::start(&context.progress, false)));
    let mut ask = |question: &Question| {
        // The bar would be drawn over the question.
        drop(display.borrow_mut().take());
        let agreed = ask::on_terminal(question, now, &context.cancel);
        *display.borrow_mut() = Some(Display::start(&context.progress, false));
        agreed
    };
    let source = Some(Source { store, keys });
    let errand = Errand::default();
    let parts = Parts { source, engine, ask: &mut ask, now, errand, context: context.clone() };
    let mut report = run::run(plan, parts);
    drop(display);
    if let (Some(target), Some(place)) = (&mut report.target, engine::place(plan, &mounts)) {
        target.place = place;
    }
    Ok(report)
}
