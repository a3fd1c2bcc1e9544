//! Whether data may be replaced: the decision, from what the manifest says and what the target holds.

use jiff::Timestamp;

use crate::plan::{Binding, OverwritePlan, OverwritePolicy};
use crate::reason::Reason;
use crate::report::HoldsReport;
use crate::runner::engine::{Holds, Survey};

/// The decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consent {
    /// The target holds nothing that would be lost.
    NotNeeded,
    /// The manifest carries the confirmation.
    Given,
    /// A person has to decide; the reason says why the manifest is not enough.
    Needed(Reason, String),
    /// The manifest forbids it.
    Refused(String),
}

impl From<&Holds> for HoldsReport {
    fn from(holds: &Holds) -> Self {
        let Holds { tables, rows_estimate, bytes } = *holds;
        Self { tables, rows_estimate, bytes }
    }
}

/// Decides for one target at `now`; `token` identifies the plan that is shown.
pub fn decide(overwrite: &OverwritePlan, survey: &Survey, token: &str, now: Timestamp) -> Consent {
    let Some(holds) = &survey.holds else { return Consent::NotNeeded };
    let target = &survey.target;
    let what = HoldsReport::from(holds);
    if overwrite.policy == OverwritePolicy::Refuse {
        return Consent::Refused(format!("{target} holds {what}, and the policy is Refuse"));
    }
    if !overwrite.confirm.contains(target) {
        let message = format!("{target} holds {what}; replacing it is not confirmed");
        return Consent::Needed(Reason::ConfirmationRequired, message);
    }
    if let Some(until) = overwrite.confirm_until.filter(|until| now > *until) {
        let message = format!("{target} holds {what}; the confirmation ended at {until}");
        return Consent::Needed(Reason::ConfirmationExpired, message);
    }
    if let Some(confirmed) = &overwrite.confirmed_plan {
        if confirmed == token {
            return Consent::Given;
        }
        let message =
            format!("{target} holds {what}; the confirmed plan is not the one of now, which is {token}");
        return Consent::Needed(Reason::PlanChanged, message);
    }
    match &overwrite.binding {
        Binding::Name => Consent::Given,
        Binding::Shown(shown) if shown == token => Consent::Given,
        Binding::Shown(_) => {
            let message = format!("{target} holds {what}; what was confirmed is not what would be done now");
            Consent::Needed(Reason::PlanChanged, message)
        }
        Binding::Recreated => {
            let message = format!(
                "{target} holds {what}; a restore of this name ran before, so the confirmation in the manifest does not count"
            );
            Consent::Needed(Reason::AlreadyExecuted, message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::engine::{Action, Holds};

    #[test]
    fn data_is_replaced_only_under_its_exact_name_in_time_and_for_the_shown_plan() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let survey = |holds| Survey {
            target: "app.db".into(),
            holds,
            version: None,
            action: Action::Swap,
            plan_identity: String::new(),
            server_identity: None,
        };
        let full = || survey(Some(Holds { tables: Some(2), rows_estimate: None, bytes: 9 }));
        let overwrite = |confirm: &[&str], until: Option<&str>, plan: Option<&str>| OverwritePlan {
            confirm: confirm.iter().map(|name| (*name).to_owned()).collect(),
            confirm_until: until.map(|text| text.parse().unwrap()),
            confirmed_plan: plan.map(str::to_owned),
            policy: OverwritePolicy::Ask,
            binding: Binding::Name,
        };
        let bound = |binding, plan| OverwritePlan { binding, ..overwrite(&["app.db"], None, plan) };
        let past = Some("2026-11-23T11:59:59Z");
        for (plan, survey, expected) in [
            (overwrite(&[], None, None), survey(None), "NotNeeded"),
            (overwrite(&["app.db"], None, None), full(), "Given"),
            (overwrite(&["app.db"], Some("2026-11-24T00:00:00Z"), Some("t")), full(), "Given"),
            (overwrite(&[], None, None), full(), "Needed(ConfirmationRequired"),
            (overwrite(&["APP.db", "app.db ", "app"], None, None), full(), "Needed(ConfirmationRequired"),
            (overwrite(&["app.db"], past, None), full(), "Needed(ConfirmationExpired"),
            (overwrite(&["app.db"], None, Some("other")), full(), "Needed(PlanChanged"),
            (bound(Binding::Shown("t".into()), None), full(), "Given"),
            (bound(Binding::Shown("other".into()), None), full(), "Needed(PlanChanged"),
            (bound(Binding::Shown("other".into()), Some("t")), full(), "Given"),
            (bound(Binding::Recreated, None), full(), "Needed(AlreadyExecuted"),
            (bound(Binding::Recreated, None), survey(None), "NotNeeded"),
            (bound(Binding::Recreated, Some("t")), full(), "Given"),
            (bound(Binding::Recreated, Some("other")), full(), "Needed(PlanChanged"),
            (
                OverwritePlan { policy: OverwritePolicy::Refuse, ..overwrite(&["app.db"], None, None) },
                full(),
                "Refused",
            ),
        ] {
            let consent = format!("{:?}", decide(&plan, &survey, "t", now));
            assert!(consent.starts_with(expected), "{plan:?}: {consent}");
        }
    }
}
