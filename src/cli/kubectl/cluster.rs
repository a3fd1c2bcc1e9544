//! The cluster and the namespace that a command is about, as kubectl finds them.

use std::fmt::Debug;

use clap::Args;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Config, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::error::{Error, Result};
use crate::api::DatabaseRestore;
use crate::cli::output::clean;

/// Names that an error lists at most.
const NAMES_SHOWN: usize = 12;

/// Where the objects are.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Cluster")]
pub struct Place {
    /// The namespace [default: of the kubeconfig's context]
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// The context of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// The kubeconfig [default: of KUBECONFIG, else ~/.kube/config, else that of the pod]
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<std::path::PathBuf>,
}

/// A client for one namespace.
#[derive(Clone)]
pub struct Cluster {
    /// The client.
    pub client: Client,
    /// The namespace.
    pub namespace: String,
    context: Option<String>,
}

impl Cluster {
    /// Finds the cluster.
    pub async fn connect(place: &Place) -> Result<Self> {
        let config = config(place).await.map_err(|error| Error::Kubeconfig(Box::new(error)))?;
        let namespace = place.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(Error::request("connect to the cluster"))?;
        Ok(Self { client, namespace, context: place.context.clone() })
    }

    /// The objects of one kind in the namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The object `name`; where there is none, the error lists those that there are.
    pub async fn find<K>(&self, name: &str) -> Result<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let kind = K::kind(&());
        let found = self.api::<K>().get_opt(name).await;
        if let Some(found) = found.map_err(Error::request(format!("read {kind} {name}")))? {
            return Ok(found);
        }
        let all = self.api::<K>().list(&ListParams::default()).await;
        let all = all.map_err(Error::request(format!("list {kind}s")))?;
        let names: Vec<String> = all.iter().map(ResourceExt::name_any).collect();
        Err(Error::refused(missing(&kind, name, &self.namespace, &names), ""))
    }

    /// All restores of the namespace, or of all of them, newest first.
    pub async fn restores(&self, is_everywhere: bool) -> Result<Vec<DatabaseRestore>> {
        let api = if is_everywhere { Api::all(self.client.clone()) } else { self.api() };
        let list = api.list(&ListParams::default()).await;
        let mut all = list.map_err(Error::request("list DatabaseRestores"))?.items;
        all.sort_by(|a, b| {
            let made = |it: &DatabaseRestore| it.metadata.creation_timestamp.as_ref().map(|time| time.0);
            made(b).cmp(&made(a)).then_with(|| a.name_any().cmp(&b.name_any()))
        });
        Ok(all)
    }

    /// A command of this plugin for the same place, to be shown.
    pub fn command(&self, words: &str) -> String {
        let context = self.context.as_ref().map_or_else(String::new, |name| format!(" --context {name}"));
        format!("kubectl reinstate {words} -n {}{context}", self.namespace)
    }
}

async fn config(place: &Place) -> std::result::Result<Config, kube::config::KubeconfigError> {
    let options = KubeConfigOptions { context: place.context.clone(), ..KubeConfigOptions::default() };
    let from_file = match &place.kubeconfig {
        Some(file) => return Config::from_custom_kubeconfig(Kubeconfig::read_from(file)?, &options).await,
        None => Config::from_kubeconfig(&options).await,
    };
    match from_file {
        Ok(config) => Ok(config),
        // Without a kubeconfig a pod has its service account.
        Err(error) if place.context.is_none() => Config::incluster().map_err(|_| error),
        Err(error) => Err(error),
    }
}

fn missing(kind: &str, name: &str, namespace: &str, names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(NAMES_SHOWN).map(|name| clean(name)).collect();
    let there = match names.len() {
        0 => "there is none".to_owned(),
        count if count > NAMES_SHOWN => {
            format!("there are {} and {} more", shown.join(", "), count - NAMES_SHOWN)
        }
        1 => format!("there is {}", shown.join(", ")),
        _ => format!("there are {}", shown.join(", ")),
    };
    format!("{kind} {name:?} is not there in namespace {namespace}; {there}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_with_what_is_there() {
        let names = |count: usize| (0..count).map(|at| format!("c{at}")).collect::<Vec<_>>();
        for (count, expected) in [
            (0, "BackupStorage \"x\" is not there in namespace shop; there is none"),
            (1, "BackupStorage \"x\" is not there in namespace shop; there is c0"),
            (2, "BackupStorage \"x\" is not there in namespace shop; there are c0, c1"),
        ] {
            assert_eq!(missing("BackupStorage", "x", "shop", &names(count)), expected);
        }
        assert!(missing("BackupStorage", "x", "shop", &names(14)).ends_with("c11 and 2 more"));
    }
}
