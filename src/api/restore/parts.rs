//! Parts of a PostgreSQL dump that reach beyond its rows: owners, rights, and what else is restored
//! only where it is wanted.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::common::ONE_LINE;

/// Who owns what is restored, and who may use it. PostgreSQL only.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Roles {
    /// `Login`: everything belongs to the login that restores; `Backup`: to the roles that owned it.
    #[serde(default)]
    pub owners: Owners,
    /// Rights (`GRANT`, `REVOKE`, default privileges) of the backup.
    #[serde(default)]
    pub privileges: Privileges,
    /// A role that the backup names and the server does not have: `Fail` ends the run before anything
    /// is written; `Skip` leaves out what names it.
    #[serde(default)]
    pub missing: MissingRoles,
    /// Roles of the backup that have another name at the server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["from".into()]))]
    pub map: Vec<RoleMapping>,
}

/// A role of the backup under another name.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RoleMapping {
    /// Name of the role in the backup.
    #[schemars(length(min = 1, max = 63), regex(pattern = ONE_LINE))]
    pub from: String,
    /// Name of the role at the server.
    #[schemars(length(min = 1, max = 63), regex(pattern = ONE_LINE))]
    pub to: String,
}

/// Whom the restored objects belong to.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Owners {
    /// The login that restores.
    #[default]
    Login,
    /// The roles that owned them.
    Backup,
}

/// Whether the rights of the backup are restored.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Privileges {
    /// They are not.
    #[default]
    Skip,
    /// They are.
    Backup,
}

/// What happens where the server does not have a role.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingRoles {
    /// The run ends before anything is written.
    #[default]
    Fail,
    /// What names it is left out.
    Skip,
}

/// Kinds of objects that are restored or left out. PostgreSQL only.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ObjectParts {
    /// Comments.
    #[serde(default = "taken")]
    pub comments: Kept,
    /// Publications of logical replication.
    #[serde(default = "taken")]
    pub publications: Kept,
    /// Subscriptions of logical replication: made last, disabled, and without their replication slots.
    #[serde(default = "left_out")]
    pub subscriptions: Kept,
    /// Security labels, whose providers the server must have.
    #[serde(default = "left_out")]
    pub security_labels: Kept,
    /// The tablespaces of tables and indexes; left out, all lie in the database's own.
    #[serde(default = "left_out")]
    pub tablespaces: Kept,
}

const fn taken() -> Kept {
    Kept::Backup
}

const fn left_out() -> Kept {
    Kept::Skip
}

impl Default for ObjectParts {
    fn default() -> Self {
        Self {
            comments: taken(),
            publications: taken(),
            subscriptions: left_out(),
            security_labels: left_out(),
            tablespaces: left_out(),
        }
    }
}

/// Whether a part of the backup is restored.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// As it is in the backup.
    Backup,
    /// It is left out.
    Skip,
}
