//! Whether a person has confirmed what was shown.

use jiff::Timestamp;

use crate::api::restore::record::PlanStatus;
use crate::api::restore::{Overwrite, RestoreStatus};
use crate::reason::Reason;
use crate::report::counted;

/// Decides after an attempt has asked for `reason`: `Ok` where the shown plan is confirmed, else what
/// is still missing.
pub(super) fn check(
    overwrite: &Overwrite,
    status: &RestoreStatus,
    reason: Reason,
    now: Timestamp,
) -> Result<(), String> {
    let plan = status.plan.clone().unwrap_or_default();
    let token = plan.token.clone().unwrap_or_default();
    let missing: Vec<&str> =
        names(&plan).filter(|name| !overwrite.confirm.iter().any(|it| it == name)).collect();
    if !missing.is_empty() {
        return Err(format!("add {} to spec.overwrite.confirm", quoted(&missing)));
    }
    if overwrite.confirm_until.as_ref().is_some_and(|until| until.0 < now) {
        return Err("spec.overwrite.confirmUntil is over: set a later one".to_owned());
    }
    match &overwrite.confirmed_plan {
        Some(confirmed) if *confirmed == token => Ok(()),
        Some(_) => Err(format!("set spec.overwrite.confirmedPlan to {token:?}, the token of this plan")),
        None if matches!(reason, Reason::PlanChanged | Reason::AlreadyExecuted) => {
            Err(format!("set spec.overwrite.confirmedPlan to {token:?}, the token of this plan"))
        }
        None => Ok(()),
    }
}

/// The names that have to be confirmed.
fn names(plan: &PlanStatus) -> impl Iterator<Item = &str> {
    plan.databases.iter().filter(|row| row.holds.is_some()).map(|row| row.to.as_str())
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

/// What would be lost and what comes in its place, in words that can be decided on.
pub(super) fn question(status: &RestoreStatus, now: Timestamp) -> String {
    let plan = status.plan.clone().unwrap_or_default();
    let lost: Vec<String> = plan
        .databases
        .iter()
        .filter_map(|row| {
            let holds = row.holds.as_ref()?;
            let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
            let mut parts = Vec::new();
            parts.extend(number(holds.tables).map(|tables| counted(tables, "table")));
            parts.extend(number(holds.rows_estimate).map(|rows| format!("≈{}", counted(rows, "row"))));
            parts.extend(number(holds.bytes).map(super::progress::bytes));
            Some(format!("{} ({})", row.to, parts.join(", ")))
        })
        .collect();
    let made = status.backup.as_ref().and_then(|backup| backup.timestamp.as_ref());
    let backup = status.backup.as_ref().and_then(|backup| backup.path.clone()).unwrap_or_default();
    let of = made.map_or_else(String::new, |made| format!(" of {}, {} old", made.0, age(made.0, now)));
    format!(
        "replaces {} with {backup}{of}; everything since is lost; the backup has not been read yet; consider a backup first",
        lost.join(" and ")
    )
}

/// A length of time in its largest unit.
fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(since.as_second()).max(0);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::restore::record::{Action, BackupStatus, HoldsStatus, PlannedDatabase};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    fn shown() -> RestoreStatus {
        RestoreStatus {
            backup: Some(BackupStatus {
                path: Some("app.db.enc".into()),
                timestamp: Some(Time("2026-11-23T02:00:00Z".parse().unwrap())),
                ..BackupStatus::default()
            }),
            plan: Some(PlanStatus {
                token: Some("t1".into()),
                databases: vec![PlannedDatabase {
                    to: "app.db".into(),
                    action: Action::Swap,
                    holds: Some(HoldsStatus {
                        tables: Some(2),
                        rows_estimate: Some(1325),
                        bytes: Some(61_440),
                    }),
                    incoming: None,
                }],
                ..PlanStatus::default()
            }),
            ..RestoreStatus::default()
        }
    }

    #[test]
    fn only_the_exact_name_in_time_and_for_this_plan_confirms() {
        let now: Timestamp = "2026-11-24T03:00:00Z".parse().unwrap();
        let overwrite = |confirm: &[&str], plan: Option<&str>, until: Option<&str>| Overwrite {
            confirm: confirm.iter().map(|name| (*name).to_owned()).collect(),
            confirmed_plan: plan.map(str::to_owned),
            confirm_until: until.map(|text| Time(text.parse().unwrap())),
            ..Overwrite::default()
        };
        let asked = Reason::ConfirmationRequired;
        for (overwrite, reason, confirmed) in [
            (overwrite(&[], None, None), asked, false),
            (overwrite(&["APP.db"], None, None), asked, false),
            (overwrite(&[], Some("t1"), None), asked, false),
            (overwrite(&["app.db"], None, None), asked, true),
            (overwrite(&["app.db"], None, Some("2026-11-24T02:59:59Z")), asked, false),
            (overwrite(&["app.db"], None, Some("2026-11-24T03:00:01Z")), asked, true),
            (overwrite(&["app.db"], Some("t0"), None), asked, false),
            (overwrite(&["app.db"], None, None), Reason::PlanChanged, false),
            (overwrite(&["app.db"], Some("t1"), None), Reason::PlanChanged, true),
            (overwrite(&["app.db"], None, None), Reason::AlreadyExecuted, false),
            (overwrite(&["app.db"], Some("t1"), None), Reason::AlreadyExecuted, true),
        ] {
            assert_eq!(check(&overwrite, &shown(), reason, now).is_ok(), confirmed, "{overwrite:?} {reason}");
        }
    }

    #[test]
    fn the_question_says_what_would_be_lost() {
        let now: Timestamp = "2026-11-24T03:00:00Z".parse().unwrap();
        assert_eq!(
            question(&shown(), now),
            "replaces app.db (2 tables, ≈1 325 rows, 60.00 KiB) with app.db.enc of 2026-11-23T02:00:00Z, 25 h old; \
             everything since is lost; the backup has not been read yet; consider a backup first"
        );
    }
}
