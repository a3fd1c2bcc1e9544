//! Leader election by a Lease: of several operators one works, and another takes over when it is gone.
//!
//! It saves work and noise; that no restore runs twice does not depend on it. Ages are measured by this
//! process's own clock from when it saw the Lease change, never by another machine's times.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};

use super::health::Health;
use super::names::LEADER_LEASE;

/// A Lease that was not renewed for so long is free.
const LEASE: Duration = Duration::from_secs(15);
/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(5);
/// A leader that could not renew for so long gives up, before another may take over.
const GIVE_UP: Duration = Duration::from_secs(10);

/// Takes part in the election.
pub struct Election {
    api: Api<Lease>,
    identity: String,
    clock: fn() -> Timestamp,
    /// Hears of every answer of the API server.
    health: Arc<Health>,
    /// The Lease as it was last seen to change, and when.
    seen: Option<(Lease, Instant)>,
}

impl Election {
    /// Takes part as `identity` with the Lease in `namespace`.
    pub fn new(
        client: Client,
        namespace: &str,
        identity: &str,
        clock: fn() -> Timestamp,
        health: Arc<Health>,
    ) -> Self {
        let api = Api::namespaced(client, namespace);
        Self { api, identity: identity.to_owned(), clock, health, seen: None }
    }

    /// Comes back as the leader.
    pub async fn win(&mut self) {
        loop {
            match self.try_once().await {
                Ok(true) => return,
                Ok(false) => {
                    tracing::debug!("another operator is the leader");
                    // One that waits for its turn is as ready as it can be.
                    self.health.synced();
                }
                Err(error) => tracing::warn!("failed to take part in the election: {error}"),
            }
            tokio::time::sleep(RENEW / 2).await;
        }
    }

    /// Stays the leader, and comes back when that has ended.
    pub async fn keep(&mut self) {
        let mut renewed = Instant::now();
        while renewed.elapsed() < GIVE_UP {
            tokio::time::sleep(RENEW).await;
            match tokio::time::timeout(RENEW, self.try_once()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => return,
                Ok(Err(error)) => tracing::warn!("failed to renew the leader's Lease: {error}"),
                Err(_) => tracing::warn!("the API server did not answer the renewal of the leader's Lease"),
            }
        }
    }

    /// Gives the Lease back, so that another need not wait for its end.
    pub async fn resign(&mut self) {
        let Some((mut lease, _)) = self.seen.take() else { return };
        if let Some(spec) = &mut lease.spec {
            if spec.holder_identity.as_deref() != Some(self.identity.as_str()) {
                return;
            }
            spec.holder_identity = None;
        }
        // Where it fails, the Lease ends by itself.
        let _ = self.api.replace(LEADER_LEASE, &PostParams::default(), &lease).await;
    }

    /// Takes or renews the Lease where that may be done; whether it is this process's now.
    async fn try_once(&mut self) -> Result<bool, kube::Error> {
        let found = self.api.get_opt(LEADER_LEASE).await?;
        self.health.reached_api();
        let written = match found {
            None => self.api.create(&PostParams::default(), &self.lease(None)).await,
            Some(found) => {
                if !self.may_take(&found) {
                    return Ok(false);
                }
                self.api.replace(LEADER_LEASE, &PostParams::default(), &self.lease(Some(found))).await
            }
        };
        match written {
            Ok(lease) => {
                self.seen = Some((lease, Instant::now()));
                Ok(true)
            }
            // Somebody was faster.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the Lease is ours, free, or was not renewed for its time.
    fn may_take(&mut self, found: &Lease) -> bool {
        let holder = |lease: &Lease| lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone());
        match holder(found) {
            None => return true,
            Some(holder) if holder.is_empty() || holder == self.identity => return true,
            Some(_) => {}
        }
        match &self.seen {
            Some((seen, since)) if seen.spec == found.spec => since.elapsed() > LEASE,
            _ => {
                self.seen = Some((found.clone(), Instant::now()));
                false
            }
        }
    }

    fn lease(&self, found: Option<Lease>) -> Lease {
        let now = MicroTime((self.clock)());
        let mut lease = found.unwrap_or_else(|| Lease {
            metadata: ObjectMeta { name: Some(LEADER_LEASE.to_owned()), ..ObjectMeta::default() },
            spec: None,
        });
        let old = lease.spec.clone().unwrap_or_default();
        let kept = old.holder_identity.as_deref() == Some(self.identity.as_str());
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LEASE.as_secs()).ok(),
            acquire_time: if kept { old.acquire_time } else { Some(now.clone()) },
            renew_time: Some(now),
            lease_transitions: Some(old.lease_transitions.unwrap_or(0) + i32::from(!kept)),
            ..LeaseSpec::default()
        });
        lease
    }
}
