//! Where a backup is restored to.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::parts::{ObjectParts, Roles};
use crate::api::common::{LocalRef, ONE_LINE};

/// The target source and the database mapping.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// The `DatabaseConnection` to restore to.
    pub connection_ref: LocalRef,
    /// The mapping; absent: every database of the backup under its own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["from".into()]))]
    pub databases: Option<Vec<DatabaseMapping>>,
    /// PostgreSQL only: who owns what is restored, and who may use it; absent: everything belongs to the
    /// login that restores, and rights are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<Roles>,
    /// PostgreSQL only: which kinds of objects are restored; absent: comments and publications.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<ObjectParts>,
}

/// One row of the mapping.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseMapping {
    /// Name of the database in the backup.
    #[schemars(length(min = 1, max = 253), regex(pattern = ONE_LINE))]
    pub from: String,
    /// Name to restore it under; absent: its own name. For SQLite: the path of the file in the
    /// volume; absent: the connection's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = ONE_LINE))]
    pub to: Option<String>,
}
