//! Flags that say what is to be restored, and the `DatabaseRestore` that they make. Pure.

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::error::{Error, Result};
use crate::api::{API_VERSION, Duration};

/// How much of the target's name stands in that of the restore.
const NAME_LIMIT: usize = 40;
/// What stands for the newest backup.
const LATEST: &str = "latest";

/// What is to be restored, beside the backup
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Restore")]
pub struct Wanted {
    /// The `DatabaseConnection` to restore to
    #[arg(long, value_name = "CONNECTION")]
    pub to: Option<String>,
    /// Restore the database FROM of the backup as TO; as often as there are some. Without it, all under
    /// their own names
    #[arg(long, value_name = "FROM=TO", value_parser = parse_mapping)]
    pub map: Vec<(String, String)>,
    /// Name of the `DatabaseRestore` [default: the connection's, and the time]
    #[arg(long)]
    pub name: Option<String>,
    /// How data that the target holds is replaced [default: auto]
    #[arg(long, value_enum)]
    pub strategy: Option<Strategy>,
    /// The exact name of a target that may be replaced, without being asked; as often as there are some
    #[arg(long, value_name = "TARGET")]
    pub confirm: Vec<String>,
    /// The `EncryptionProfile` to try first
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<String>,
    /// What the stored file must hash to
    #[arg(long, value_name = "HEX")]
    pub sha256: Option<String>,
    /// With `latest`: fail where the newest backup is older
    #[arg(long, value_name = "DURATION")]
    pub max_age: Option<Duration>,
    /// With `latest`: only backups that hold this database
    #[arg(long, value_name = "NAME")]
    pub database: Option<String>,
    /// Restore a backup that nothing proves to be whole
    #[arg(long)]
    pub allow_unproven: bool,
    /// How long the replaced data is kept [default: 24h]
    #[arg(long, value_name = "DURATION")]
    pub keep_previous: Option<Duration>,
    /// Service account of the runner's pod: its cloud identity reads the storage
    #[arg(long, value_name = "NAME")]
    pub service_account: Option<String>,
}

/// How data that the target holds is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Strategy {
    /// Swap where the target holds data, else direct
    Auto,
    /// Load beside the old data, verify, switch
    Swap,
    /// Drop the old data first
    Direct,
}

/// How far the run goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Goal {
    /// All the way.
    #[default]
    Restore,
    /// Up to the first write.
    Plan,
    /// The backup alone.
    Verify,
}

fn parse_mapping(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((from, to)) if !from.is_empty() && !to.is_empty() => Ok((from.to_owned(), to.to_owned())),
        _ => Err("expected FROM=TO, such as production=staging_copy".to_owned()),
    }
}

/// The manifest of what is wanted: only what was said, the rest has its defaults.
pub fn manifest(backup: &str, wanted: &Wanted, goal: Goal, place: (&str, Timestamp)) -> Result<Value> {
    let (namespace, now) = place;
    let (storage, path) = backup
        .split_once(':')
        .filter(|(storage, path)| !storage.is_empty() && !path.is_empty())
        .ok_or_else(|| Error::Usage(format!("{backup:?} is not STORAGE:PATH, such as backups:shop/shop.sql.gz; STORAGE:latest is the newest")))?;
    let mut spec = Map::new();
    if goal != Goal::Restore {
        spec.insert("mode".to_owned(), json!(format!("{goal:?}")));
    }
    spec.insert("backup".to_owned(), self::backup(storage, path, wanted)?);
    let base = target(&mut spec, wanted, goal)?.unwrap_or_else(|| format!("{storage}-verify"));
    set(&mut spec, "strategy", wanted.strategy.map(|strategy| format!("{strategy:?}")));
    set(&mut spec, "keepPrevious", wanted.keep_previous.map(|time| time.to_string()));
    if !wanted.confirm.is_empty() {
        spec.insert("overwrite".to_owned(), json!({"confirm": wanted.confirm}));
    }
    if let Some(name) = &wanted.service_account {
        spec.insert("runner".to_owned(), json!({"serviceAccountName": name}));
    }
    let name = wanted.name.clone().unwrap_or_else(|| name(&base, now));
    Ok(object(namespace, &name, &spec.into()))
}

/// A `DatabaseRestore` of this spec.
pub fn object(namespace: &str, name: &str, spec: &Value) -> Value {
    let metadata = json!({"name": name, "namespace": namespace});
    json!({"apiVersion": API_VERSION, "kind": "DatabaseRestore", "metadata": metadata, "spec": spec})
}

/// A name that no earlier restore has: `base` and the time.
pub fn name(base: &str, now: Timestamp) -> String {
    let base = base.get(..NAME_LIMIT).unwrap_or(base).trim_end_matches(['-', '.']);
    format!("{base}-{}", now.strftime("%Y%m%d-%H%M%S"))
}

fn set(fields: &mut Map<String, Value>, name: &str, value: Option<String>) {
    if let Some(value) = value {
        fields.insert(name.to_owned(), value.into());
    }
}

fn backup(storage: &str, path: &str, wanted: &Wanted) -> Result<Value> {
    let mut backup = Map::new();
    backup.insert("storageRef".to_owned(), json!({"name": storage}));
    let prefix = if path == LATEST { Some("") } else { path.strip_prefix("latest/") };
    if let Some(prefix) = prefix {
        let mut latest = Map::new();
        set(&mut latest, "prefix", Some(prefix.to_owned()).filter(|prefix| !prefix.is_empty()));
        set(&mut latest, "database", wanted.database.clone());
        set(&mut latest, "maxAge", wanted.max_age.map(|age| age.to_string()));
        backup.insert(LATEST.to_owned(), latest.into());
    } else if wanted.max_age.is_some() || wanted.database.is_some() {
        return Err(Error::Usage(
            "--max-age and --database choose among the newest: they need STORAGE:latest".to_owned(),
        ));
    } else {
        set(&mut backup, "path", Some(path.to_owned()));
    }
    if let Some(sha256) = &wanted.sha256 {
        backup.insert("checksum".to_owned(), json!({"sha256": sha256}));
    }
    if wanted.allow_unproven {
        backup.insert("allowUnproven".to_owned(), true.into());
    }
    if let Some(profile) = &wanted.profile {
        backup.insert("encryption".to_owned(), json!({"profileRef": {"name": profile}}));
    }
    Ok(backup.into())
}

/// Sets the target; gives back the connection's name.
fn target(spec: &mut Map<String, Value>, wanted: &Wanted, goal: Goal) -> Result<Option<String>> {
    if goal == Goal::Verify {
        let none = wanted.to.is_none()
            && wanted.map.is_empty()
            && wanted.confirm.is_empty()
            && wanted.strategy.is_none();
        return if none {
            Ok(None)
        } else {
            Err(Error::Usage(
                "--verify reads the backup alone: it has no --to, --map, --confirm or --strategy".to_owned(),
            ))
        };
    }
    let Some(connection) = &wanted.to else {
        return Err(Error::Usage("say where to restore to with --to CONNECTION".to_owned()));
    };
    let mut target = json!({"connectionRef": {"name": connection}});
    if let Some(fields) = target.as_object_mut().filter(|_| !wanted.map.is_empty()) {
        let rows: Vec<Value> = wanted.map.iter().map(|(from, to)| json!({"from": from, "to": to})).collect();
        fields.insert("databases".to_owned(), rows.into());
    }
    spec.insert("target".to_owned(), target);
    Ok(Some(connection.clone()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        backup: String,
        #[command(flatten)]
        wanted: Wanted,
    }

    fn made(line: &str, goal: Goal) -> Result<Value> {
        let line = Line::parse_from(format!("x {line}").split(' '));
        manifest(&line.backup, &line.wanted, goal, ("shop", "2026-11-24T23:00:00Z".parse().unwrap()))
    }

    #[test]
    fn flags_make_a_manifest_that_says_no_more_than_they_do() {
        for (line, goal, name, spec) in [
            (
                "minio:shop/a.db --to app",
                Goal::Restore,
                "app-20261124-230000",
                json!({"backup": {"storageRef": {"name": "minio"}, "path": "shop/a.db"}, "target": {"connectionRef": {"name": "app"}}}),
            ),
            (
                "minio:latest/shop/ --to app --max-age 26h --database shop --map main=copy.db --confirm copy.db --strategy swap --name n",
                Goal::Plan,
                "n",
                json!({
                    "mode": "Plan",
                    "backup": {"storageRef": {"name": "minio"}, "latest": {"prefix": "shop/", "database": "shop", "maxAge": "26h"}},
                    "target": {"connectionRef": {"name": "app"}, "databases": [{"from": "main", "to": "copy.db"}]},
                    "strategy": "Swap",
                    "overwrite": {"confirm": ["copy.db"]},
                }),
            ),
            (
                "minio:latest --profile key --service-account reader",
                Goal::Verify,
                "minio-verify-20261124-230000",
                json!({
                    "mode": "Verify",
                    "backup": {"storageRef": {"name": "minio"}, "latest": {}, "encryption": {"profileRef": {"name": "key"}}},
                    "runner": {"serviceAccountName": "reader"},
                }),
            ),
        ] {
            let made = made(line, goal).unwrap();
            assert_eq!(made["metadata"], json!({"name": name, "namespace": "shop"}), "{line}");
            assert_eq!(made["spec"], spec, "{line}");
            serde_json::from_value::<crate::api::DatabaseRestore>(made).unwrap();
        }
    }

    #[test]
    fn flags_that_contradict_each_other_are_refused() {
        for (line, goal, message) in [
            ("minio --to app", Goal::Restore, "is not STORAGE:PATH"),
            (":x --to app", Goal::Restore, "is not STORAGE:PATH"),
            ("minio:x", Goal::Restore, "--to CONNECTION"),
            ("minio:x --to app", Goal::Verify, "--verify reads the backup alone"),
            ("minio:x --to app --max-age 1h", Goal::Restore, "STORAGE:latest"),
        ] {
            let error = made(line, goal).unwrap_err();
            assert!(matches!(&error, Error::Usage(text) if text.contains(message)), "{line}: {error}");
        }
    }

    #[test]
    fn names_are_of_a_length_that_a_job_takes() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(name(&"a".repeat(60), now), format!("{}-19700101-000000", "a".repeat(40)));
        assert_eq!(
            name(&format!("{}-b", "a".repeat(39)), now),
            format!("{}-19700101-000000", "a".repeat(39))
        );
    }
}
