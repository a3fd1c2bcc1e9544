//! Follows one restore to its end: shows what changes, asks what is asked, and gives back the run's
//! exit code. Whatever happens here, the restore goes on on the cluster.

use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kube::ResourceExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watch_object};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use super::answers::Answers;
use super::cluster::Cluster;
use super::confirm;
use super::error::{Error, Result};
use super::page::{self, number};
use super::state::{self, State};
use super::status;
use crate::api::DatabaseRestore;
use crate::cli::exit::ExitCode;
use crate::cli::now;
use crate::cli::output::{self, clean};

/// After this time without an operator's look, a person is told.
const UNSEEN_FOR: Duration = Duration::from_secs(15);
/// Longest time that a person waits, where none is given: as good as for ever.
const FOR_EVER: Duration = Duration::from_hours(24 * 365);
const WITH_TOTAL: &str = "{spinner} {msg:<16} [{bar:28}] {binary_bytes:>11} / {binary_total_bytes:<11}";
const WITHOUT_TOTAL: &str = "{spinner} {msg:<16} {elapsed}";

/// Follows `restore` to its end, or until `timeout`.
pub async fn run(
    cluster: &Cluster,
    restore: &DatabaseRestore,
    timeout: Option<crate::api::Duration>,
) -> Result<ExitCode> {
    // Large: it holds the watch.
    Box::pin(to_the_end(cluster, restore, timeout)).await
}

async fn to_the_end(
    cluster: &Cluster,
    restore: &DatabaseRestore,
    timeout: Option<crate::api::Duration>,
) -> Result<ExitCode> {
    let mut following = Following::begin(cluster, restore);
    let mut events =
        pin!(watch_object(cluster.api::<DatabaseRestore>(), &restore.name_any()).default_backoff());
    let mut answers = Answers::default();
    let mut interrupt = signal(SignalKind::interrupt())
        .map_err(|error| Error::refused(format!("failed to listen for Ctrl-C: {error}"), ""))?;
    let deadline = tokio::time::sleep(timeout.map_or(FOR_EVER, crate::api::Duration::get));
    let unseen = tokio::time::sleep(UNSEEN_FOR);
    let (mut deadline, mut unseen) = (pin!(deadline), pin!(unseen));
    loop {
        let is_asking = following.asking.is_some();
        let end = tokio::select! {
            event = events.next() => match event {
                Some(event) => following.heard(event)?,
                None => Some(following.leave()),
            },
            answer = answers.next(), if is_asking => following.answered(answer).await?,
            _ = interrupt.recv() => Some(following.leave()),
            () = &mut deadline => Some(following.leave()),
            () = &mut unseen, if !following.is_seen => {
                following.tell_unseen();
                unseen.as_mut().reset(Instant::now() + FOR_EVER);
                None
            }
        };
        if let Some(code) = end {
            return Ok(code);
        }
    }
}

/// A question that is being asked.
struct Asking {
    shown: DatabaseRestore,
    names: Vec<String>,
    typed: usize,
}

struct Following<'a> {
    cluster: &'a Cluster,
    last: DatabaseRestore,
    view: View,
    asking: Option<Asking>,
    is_seen: bool,
    is_disconnected: bool,
}

impl<'a> Following<'a> {
    fn begin(cluster: &'a Cluster, restore: &DatabaseRestore) -> Self {
        Self {
            cluster,
            last: restore.clone(),
            view: View::new(),
            asking: None,
            is_seen: false,
            is_disconnected: false,
        }
    }

    /// Takes one event of the watch; `Some` is the end.
    fn heard(&mut self, event: watcher::Result<Option<DatabaseRestore>>) -> Result<Option<ExitCode>> {
        match event {
            Ok(Some(restore)) if restore.metadata.uid == self.last.metadata.uid => {
                self.is_disconnected = false;
                self.last = restore;
                Ok(self.saw())
            }
            Ok(_) => Ok(Some(self.deleted())),
            Err(
                watcher::Error::WatchError(status)
                | watcher::Error::InitialListFailed(kube::Error::Api(status))
                | watcher::Error::WatchStartFailed(kube::Error::Api(status)),
            ) if status.code == 403 => Err(refused(*status)),
            Err(error) => {
                if !self.is_disconnected {
                    let error = clean(&error.to_string());
                    self.view.say(&format!("the API server does not answer, trying again: {error}"));
                }
                self.is_disconnected = true;
                Ok(None)
            }
        }
    }

    fn saw(&mut self) -> Option<ExitCode> {
        let state = state::of(&self.last);
        self.is_seen = state != State::Unseen;
        match state {
            State::Unseen | State::UnderWay => {
                if self.asking.take().is_some() {
                    self.view.say("it is no longer asked about");
                }
                self.view.show(&self.last);
                None
            }
            State::Asking => self.asks(),
            State::Good | State::Bad(_) => {
                self.view.clear();
                output::out(&page::page(&self.last, now()));
                output::note(&format!("\n{}", status::next(self.cluster, &self.last)));
                state::exit_code(&self.last)
            }
        }
    }

    /// Puts the question, once for each plan.
    fn asks(&mut self) -> Option<ExitCode> {
        let is_answered = self.last.spec.cancel || confirm::is_answered(&self.last, now());
        let token = confirm::token(&self.last);
        if is_answered || self.asking.as_ref().is_some_and(|it| confirm::token(&it.shown) == token) {
            return None;
        }
        self.view.clear();
        output::note(&confirm::question(&self.last, now()));
        let names = confirm::names(&self.last);
        let Some(first) = names.first().filter(|_| Answers::can_ask()) else {
            return Some(self.not_confirmed("nobody is there to be asked"));
        };
        output::note(&confirm::prompt(first));
        self.asking = Some(Asking { shown: self.last.clone(), names, typed: 0 });
        None
    }

    fn not_confirmed(&self, why: &str) -> ExitCode {
        output::note(&format!("{why}; {} waits, and nothing was written\n", self.last.name_any()));
        output::note(&status::next(self.cluster, &self.last));
        ExitCode::ConfirmationNeeded
    }

    async fn answered(&mut self, answer: Option<String>) -> Result<Option<ExitCode>> {
        let Some(asking) = &mut self.asking else { return Ok(None) };
        if answer.as_ref() != asking.names.get(asking.typed) {
            return Ok(Some(self.not_confirmed("that is not the name")));
        }
        asking.typed += 1;
        if let Some(next) = asking.names.get(asking.typed) {
            output::note(&confirm::prompt(next));
            return Ok(None);
        }
        if let Some(asking) = self.asking.take() {
            confirm::write(self.cluster, &asking.shown).await?;
            self.view.say("confirmed");
        }
        Ok(None)
    }

    /// The object is gone: how its run ended is in nobody's record.
    fn deleted(&mut self) -> ExitCode {
        self.view.clear();
        let name = self.last.name_any();
        let has_run = self.last.status.as_ref().is_some_and(|status| !status.attempts.is_empty());
        if has_run {
            output::note(&format!("{name} was deleted while it ran; look at its target before you go on"));
            return ExitCode::TouchedUnknown;
        }
        output::note(&format!("{name} was deleted before it was started"));
        ExitCode::Stopped
    }

    /// Nobody waits any more.
    fn leave(&mut self) -> ExitCode {
        self.view.clear();
        if self.asking.is_some() {
            return self.not_confirmed("not confirmed");
        }
        let name = self.last.name_any();
        output::note(&format!("{name} goes on on the cluster; only following it has ended\n"));
        output::note(&status::next(self.cluster, &self.last));
        ExitCode::GoesOn
    }

    fn tell_unseen(&mut self) {
        self.view.say(&format!(
            "no operator has looked at it yet: does one run, and does it watch namespace {}?",
            self.cluster.namespace
        ));
    }
}

fn refused(status: kube::core::Status) -> Error {
    Error::request("watch the DatabaseRestore")(kube::Error::Api(Box::new(status)))
}

/// What is shown meanwhile, on standard error: a line for each change, and below them a bar on a terminal.
struct View {
    bar: Option<ProgressBar>,
    said: String,
    has_total: bool,
}

impl View {
    fn new() -> Self {
        Self { bar: None, said: String::new(), has_total: false }
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => output::note(text),
        }
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn show(&mut self, restore: &DatabaseRestore) {
        let line = line(restore, output::is_interactive());
        if line != self.said {
            self.say(&line);
            self.said = line;
        }
        if !output::is_interactive() {
            return;
        }
        let progress = restore.status.as_ref().and_then(|status| status.progress.clone()).unwrap_or_default();
        let total = number(progress.bytes_total);
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(style(WITHOUT_TOTAL));
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        if self.has_total != total.is_some() {
            self.has_total = total.is_some();
            bar.set_style(style(if self.has_total { WITH_TOTAL } else { WITHOUT_TOTAL }));
        }
        let phase = restore.status.as_ref().and_then(|status| status.phase);
        bar.set_message(phase.map_or_else(|| "Pending".to_owned(), |phase| format!("{phase:?}")));
        bar.set_length(total.unwrap_or_default());
        bar.set_position(number(progress.bytes_done).unwrap_or_default());
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}

/// The line of a restore that is under way; the bar shows the progress where there is one.
fn line(restore: &DatabaseRestore, has_bar: bool) -> String {
    let status = restore.status.clone().unwrap_or_default();
    let phase = status.phase.map_or_else(|| "Pending".to_owned(), |phase| format!("{phase:?}"));
    let progress = status.progress.as_ref().and_then(|it| it.message.as_deref()).filter(|_| !has_bar);
    let reason = state::reason(&status);
    let reason = if reason == phase { String::new() } else { format!("{}: ", clean(reason)) };
    match progress {
        Some(progress) => format!("{phase:<16} {}", clean(progress)),
        None => format!("{phase:<16} {reason}{}", clean(state::message(&status)))
            .trim_end_matches([' ', ':'])
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::kubectl::state::sample;

    #[test]
    fn a_line_says_the_phase_and_what_is_in_the_way() {
        let mut restore = sample("unresolved");
        assert!(
            line(&restore, false)
                .starts_with("Pending          ReferenceNotFound: spec.target.connectionRef.name:"),
            "{}",
            line(&restore, false)
        );
        let status = restore.status.as_mut().unwrap();
        status.progress = Some(crate::api::restore::record::ProgressStatus {
            message: Some("62% 1.40 GiB/2.30 GiB".into()),
            ..Default::default()
        });
        assert_eq!(line(&restore, false), "Pending          62% 1.40 GiB/2.30 GiB");
        assert!(!line(&restore, true).contains("62%"));
        restore.status = None;
        assert_eq!(line(&restore, false), "Pending");
    }
}
