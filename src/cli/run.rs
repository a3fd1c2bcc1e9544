//! `reinstate run`: carries out the `DatabaseRestore`s of manifests on this machine, through the same
//! plan and runner that a cluster's Job uses.

use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;

use super::exit::ExitCode;
use super::output::{self, Format, clean};
use super::progress::Display;
use super::{manifest_files, now, render, report_fault, report_problems, signals};
use crate::api::DatabaseRestore;
use crate::cli::manifest::Manifests;
use crate::plan::{Mode, RestorePlan, namespace_of, refuse_locally, resolve};
use crate::reason::Reason;
use crate::report::{Outcome, RestoreReport};
use crate::runner::engine::Context;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::keyring;
use crate::runner::run::open::{self, Mounts};
use crate::runner::run::{self, Parts, Question};

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
        let which = arguments.name.as_ref().map_or_else(String::new, |name| format!(" named {name:?}"));
        let message = format!("there is no DatabaseRestore{which} in the manifests");
        return report_fault(&Fault::new(Stage::Resolve, Reason::InvalidSpec, message));
    }
    for restore in restores {
        let code = run_one(arguments, &manifests, restore);
        if code != ExitCode::Success {
            return code;
        }
    }
    ExitCode::Success
}

fn run_one(arguments: &Run, manifests: &Manifests, restore: &DatabaseRestore) -> ExitCode {
    let mut problems = refuse_locally(restore);
    let plan = match resolve(restore, &manifests.objects) {
        Ok(plan) => Some(plan),
        Err(found) => {
            problems.extend(found);
            None
        }
    };
    let Some(mut plan) = plan.filter(|_| problems.is_empty()) else {
        return report_problems(restore.metadata.name.as_deref().unwrap_or_default(), &problems);
    };
    if arguments.plan && plan.mode == Mode::Restore {
        plan.mode = Mode::Plan;
    }
    let secrets = manifests.secrets(namespace_of(&restore.metadata));
    let report = match start(arguments, &plan, &secrets) {
        Ok(report) => report,
        Err(fault) => return report_fault(&fault),
    };
    match arguments.output {
        Format::Json => output::json(&report),
        Format::Text => output::out(&render::report(&report, &plan)),
    }
    ExitCode::of_report(&report)
}

fn start(arguments: &Run, plan: &RestorePlan, secrets: &crate::plan::MemorySecrets) -> Result<RestoreReport> {
    let now: Timestamp = now();
    let mounts: Mounts = arguments.claim.iter().cloned().collect();
    let context = Context::default();
    let keys = keyring::from_plan(&plan.keys, plan.backup.profile.as_deref(), secrets)?;
    let store = open::store(plan, secrets, &mounts)?;
    let engine = open::engine(plan, &mounts, now, &context)?;
    let _signals = signals::cancel_on_signal(&context.cancel);
    let display = std::cell::RefCell::new(Some(Display::start(&context.progress, false)));
    let mut ask = |question: &Question| {
        // The bar would be drawn over the question.
        drop(display.borrow_mut().take());
        let agreed = ask_on_terminal(question);
        *display.borrow_mut() = Some(Display::start(&context.progress, false));
        agreed
    };
    let parts = Parts { store, keys, engine, ask: &mut ask, now, context: context.clone() };
    let report = run::run(plan, parts);
    drop(display);
    if report.outcome == Outcome::Planned
        && report.target.as_ref().is_some_and(|target| target.confirmation_required)
    {
        output::note("note: a real run would ask for a confirmation first");
    }
    Ok(report)
}

/// Asks for the target's name. Without a terminal nobody is asked, and the answer is no.
fn ask_on_terminal(question: &Question) -> bool {
    let stdin = io::stdin();
    if !stdin.is_terminal() || !output::is_interactive() {
        return false;
    }
    output::note(&format!(
        "\n{}\nIt would be replaced by {}.\nEverything written to it since that backup is lost; consider a backup of it first.\n\
         The backup has not been read yet. Type {} to replace it, anything else to stop:",
        clean(&question.message),
        clean(&question.backup),
        clean(&question.target),
    ));
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).is_ok() && answer.trim_end_matches(['\r', '\n']) == question.target
}
