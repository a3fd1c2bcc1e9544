//! `kubectl reinstate new`: writes the manifest that `restore` would make, or that restores the backup
//! of an earlier run once more. Nothing is made on the cluster.

use clap::Args;
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Map, Value, json};

use super::cluster::Cluster;
use super::error::{Error, Result};
use super::page;
use super::wanted::{self, Goal, Wanted};
use crate::api::DatabaseRestore;
use crate::api::restore::RestoreStatus;
use crate::cli::exit::ExitCode;
use crate::cli::manifest::ManifestReader;
use crate::cli::{now, output};

/// What belongs to the earlier run alone.
const OF_THE_RUN: [&str; 3] = ["cancel", "recreateToken", "suspend"];
/// A decision of the earlier run: a person is asked anew.
const DECIDED: [&str; 3] = ["confirm", "confirmUntil", "confirmedPlan"];

/// Writes a manifest, from flags or from an earlier run
#[derive(Args, Clone, Debug)]
pub struct New {
    /// The backup as for `restore`
    #[arg(value_name = "STORAGE:PATH", required_unless_present = "from_run", conflicts_with = "from_run")]
    pub backup: Option<String>,
    /// Restore the backup of this `DatabaseRestore` once more, the very same bytes; with --to or --map
    /// to another place
    #[arg(long, value_name = "NAME")]
    pub from_run: Option<String>,
    /// What is wanted
    #[command(flatten)]
    pub wanted: Wanted,
    /// Do everything up to the first write
    #[arg(long, conflicts_with = "verify")]
    pub plan: bool,
    /// Prove the backup alone
    #[arg(long, conflicts_with = "from_run")]
    pub verify: bool,
}

/// Runs the command.
pub async fn run(cluster: &Cluster, arguments: &New) -> Result<ExitCode> {
    let goal = match (arguments.plan, arguments.verify) {
        (true, _) => Goal::Plan,
        (false, true) => Goal::Verify,
        (false, false) => Goal::Restore,
    };
    let (head, manifest) = match (&arguments.from_run, &arguments.backup) {
        (Some(name), _) => {
            let restore: DatabaseRestore = cluster.find(name).await?;
            (head(&restore), again(&restore, &arguments.wanted, goal, now())?)
        }
        (None, backup) => {
            let backup = backup.as_deref().unwrap_or_default();
            let manifest = wanted::manifest(backup, &arguments.wanted, goal, (&cluster.namespace, now()))?;
            (String::new(), manifest)
        }
    };
    let text = serde_saphyr::to_string(&manifest)
        .map_err(|error| Error::Usage(format!("failed to write the manifest: {error}")))?;
    prove(&text)?;
    output::out(&format!("{head}{text}"));
    Ok(ExitCode::Success)
}

/// What was written must be good: it is read strictly.
fn prove(text: &str) -> Result<()> {
    let mut reader = ManifestReader::default();
    reader.add("the manifest", &mut text.as_bytes());
    reader.finish().map(drop).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Error::Usage(format!("these flags do not make a good manifest:\n       {}", lines.join("\n       ")))
    })
}

/// Where the manifest comes from.
fn head(restore: &DatabaseRestore) -> String {
    let status = restore.status.clone().unwrap_or_default();
    let ended = status
        .completion_time
        .map_or_else(String::new, |time| format!(", which ended {}", page::minute(time.0)));
    format!(
        "# The backup of DatabaseRestore {}{ended}.\n# What was confirmed then counts no more: it is asked about anew.\n",
        restore.name_any()
    )
}

/// The manifest that restores the backup of `restore` once more.
fn again(restore: &DatabaseRestore, wanted: &Wanted, goal: Goal, now: Timestamp) -> Result<Value> {
    let failed = |error: serde_json::Error| Error::Usage(format!("failed to write the spec: {error}"));
    let mut spec = serde_json::to_value(&restore.spec).map_err(failed)?;
    let default: DatabaseRestore =
        serde_json::from_value(wanted::object("n", "n", &json!({"backup": {"storageRef": {"name": ""}}})))
            .map_err(failed)?;
    prune(&mut spec, &serde_json::to_value(&default.spec).map_err(failed)?);
    let Some(fields) = spec.as_object_mut() else { return Ok(spec) };
    fields.retain(|name, _| !OF_THE_RUN.contains(&name.as_str()));
    if let Some(overwrite) = fields.get_mut("overwrite").and_then(Value::as_object_mut) {
        overwrite.retain(|name, _| !DECIDED.contains(&name.as_str()));
    }
    if goal == Goal::Plan {
        fields.insert("mode".to_owned(), "Plan".into());
    }
    if let Some(backup) = fields.get_mut("backup").and_then(Value::as_object_mut) {
        pin(backup, restore.status.as_ref());
    }
    let base = place(fields, wanted).unwrap_or_else(|| restore.name_any());
    fields.retain(|_, value| value.as_object().is_none_or(|fields| !fields.is_empty()));
    let name = wanted.name.clone().unwrap_or_else(|| wanted::name(&base, now));
    let namespace = restore.namespace().unwrap_or_default();
    Ok(wanted::object(&namespace, &name, &spec))
}

/// Names the very bytes that were restored, and the key that opened them.
fn pin(backup: &mut Map<String, Value>, status: Option<&RestoreStatus>) {
    let Some(known) = status.and_then(|status| status.backup.as_ref()) else { return };
    if let Some(path) = &known.path {
        backup.remove("latest");
        backup.insert("path".to_owned(), path.as_str().into());
    }
    if let Some(sha256) = &known.sha256 {
        backup.insert("checksum".to_owned(), json!({"sha256": sha256}));
    }
    if let Some(profile) = &known.profile {
        let encryption = backup.entry("encryption").or_insert_with(|| json!({}));
        if let Some(encryption) = encryption.as_object_mut() {
            encryption.insert("profileRef".to_owned(), json!({"name": profile}));
        }
    }
}

/// Puts the target that flags name in the place of the old one; gives back the connection's name.
fn place(fields: &mut Map<String, Value>, wanted: &Wanted) -> Option<String> {
    let target = fields.get_mut("target")?.as_object_mut()?;
    if let Some(connection) = &wanted.to {
        target.insert("connectionRef".to_owned(), json!({"name": connection}));
    }
    if !wanted.map.is_empty() {
        let rows: Vec<Value> = wanted.map.iter().map(|(from, to)| json!({"from": from, "to": to})).collect();
        target.insert("databases".to_owned(), rows.into());
    }
    target.get("connectionRef")?.get("name")?.as_str().map(str::to_owned)
}

/// Takes out what has its default anyway.
fn prune(value: &mut Value, default: &Value) {
    let (Some(fields), Some(defaults)) = (value.as_object_mut(), default.as_object()) else { return };
    fields.retain(|name, field| {
        let Some(default) = defaults.get(name) else { return true };
        prune(field, default);
        field != default && field.as_object().is_none_or(|fields| !fields.is_empty())
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::kubectl::state::sample;

    #[test]
    fn an_earlier_run_gives_a_manifest_of_the_same_bytes_and_no_old_decision() {
        let mut restore = sample("swapped");
        restore.spec.cancel = true;
        let wanted = Wanted { name: Some("again".into()), ..Wanted::default() };
        let made = again(&restore, &wanted, Goal::Restore, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(
            made["spec"],
            json!({
                "backup": {
                    "storageRef": {"name": "minio"},
                    "path": "sqlite_none_plain_2026-11-23_01-13-52.db",
                    "checksum": {"sha256": restore.status.as_ref().unwrap().backup.as_ref().unwrap().sha256},
                },
                "target": {"connectionRef": {"name": "app"}},
            })
        );
        assert_eq!(made["metadata"], json!({"name": "again", "namespace": "shop"}));
        prove(&serde_saphyr::to_string(&made).unwrap()).unwrap();
    }

    #[test]
    fn the_backup_of_an_earlier_run_can_go_to_another_place() {
        let wanted = Wanted {
            to: Some("copy".into()),
            map: vec![("app.sqlite".into(), "copy.db".into())],
            ..Wanted::default()
        };
        let made = again(&sample("restored"), &wanted, Goal::Plan, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(made["metadata"]["name"], "copy-19700101-000000");
        assert_eq!(made["spec"]["mode"], "Plan");
        assert_eq!(made["spec"]["backup"]["encryption"], json!({"profileRef": {"name": "prod-key"}}));
        assert_eq!(
            made["spec"]["target"],
            json!({"connectionRef": {"name": "copy"}, "databases": [{"from": "app.sqlite", "to": "copy.db"}]})
        );
        prove(&serde_saphyr::to_string(&made).unwrap()).unwrap();
    }
}
