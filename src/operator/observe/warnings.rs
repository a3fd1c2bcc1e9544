//! The cluster's warning Events about one object.

use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use kube::{Api, Client};

use crate::operator::error::{Error, Result};
use crate::operator::view::Warning;

/// Events that are read at most.
const LIMIT: u32 = 50;

/// The warnings about the object of `uid`, the newest first.
pub(super) async fn of(client: &Client, namespace: &str, uid: &str) -> Result<Vec<Warning>> {
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    let wanted = ListParams::default().fields(&format!("involvedObject.uid={uid},type=Warning")).limit(LIMIT);
    let mut events = api.list(&wanted).await.map_err(Error::read("events of", uid))?.items;
    events.sort_by_key(|event| {
        let last = event.last_timestamp.as_ref().map(|time| time.0);
        last.or_else(|| event.event_time.as_ref().map(|time| time.0))
    });
    let warning = |event: Event| Warning {
        reason: event.reason.unwrap_or_default(),
        message: event.message.unwrap_or_default(),
    };
    Ok(events.into_iter().rev().map(warning).collect())
}
