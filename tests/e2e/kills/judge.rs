//! What must hold at the end of a run, whoever was killed in it.

use reinstate::api::restore::RestoreStatus;

use super::bench::{Case, Kill, Life};
use super::live::Ended;
use crate::harness::scene::condition;
use crate::harness::target::{Found, Start, Target};

/// Holds the verdict to what an independent reader found; gives the end in words, or what is wrong.
pub(super) fn judge(case: Case, target: &Target, found: &Found, ended: &Ended) -> Result<String, String> {
    let hold = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
    hold((0..=1).contains(&found.writes), "the target was written more than once")?;
    hold(target.old.is_none() || found.writes == 0 || found.kept > 0, "the replaced database is gone")?;
    let Some(status) = &ended.status else {
        return Ok(format!("deleted, {} writes", found.writes));
    };
    let [complete, failed, modified] =
        ["Complete", "Failed", "TargetModified"].map(|kind| condition(status, kind));
    let (is_complete, is_failed) = (complete == "True/Restored", failed.starts_with("True/"));
    hold(status.completion_time.is_some(), "there is no verdict")?;
    hold(is_complete != is_failed, "complete and failed are both true or both not")?;
    let modified = modified.split('/').next().unwrap_or_default().to_owned();
    let fits = match (is_complete, &*modified) {
        (true, "False") => found.writes == 1 && case.start == Start::Absent,
        (true, "True") => found.writes == 1 && case.start != Start::Absent,
        (false, "False") => found.writes == 0,
        (false, "True") => found.writes == 1,
        (false, "Unknown") => true,
        _ => false,
    };
    hold(fits && target.is_new(found) == (found.writes == 1), "the target contradicts the verdict")?;
    if !matches!(case.kill, Kill::Runner(..)) {
        undisturbed(case, found, status)?;
    }
    let attempts = status.attempts.len();
    Ok(format!("{complete} {failed}, modified {modified}, {} writes, {attempts} attempts", found.writes))
}

/// The death of an operator is no failure of a run, nor an attempt.
fn undisturbed(case: Case, found: &Found, status: &RestoreStatus) -> Result<(), String> {
    let (complete, failed) = (condition(status, "Complete"), condition(status, "Failed"));
    let attempts = match case.life {
        Life::Ask | Life::Hold => 2,
        Life::Create | Life::Replace | Life::Cancel | Life::Delete => 1,
    };
    let is_cancelled = case.life == Life::Cancel && failed == "True/Cancelled";
    if complete != "True/Restored" && !is_cancelled {
        return Err("the run failed because of the operator".to_owned());
    }
    if status.attempts.len() != attempts {
        return Err(format!("{} attempts instead of {attempts}", status.attempts.len()));
    }
    let kept = usize::from(found.writes == 1 && case.start != Start::Absent);
    if found.kept != kept && !is_cancelled {
        return Err(format!("{} kept copies instead of {kept}", found.kept));
    }
    Ok(())
}
