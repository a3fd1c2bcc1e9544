//! The connection to an S3 service: SDK client, TLS, credentials, and the runtime behind the
//! blocking calls.
//!
//! Retries and redirects of the SDK are off: `retry` decides about the first, and a redirect to
//! another host would carry a signed request there.

use std::future::Future;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    Builder, ConfigBag, Intercept, ResponseChecksumValidation, RuntimeComponents, SharedHttpClient,
    StalledStreamProtectionConfig,
};
use aws_sdk_s3::error::BoxError;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_types::body::SdkBody;
use http_body_util::Limited;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::runtime::{Handle, Runtime};

use super::{DEFAULT_STALL, S3Options};
use crate::reason::Reason;
use crate::runner::fault::{Fault, Result, Stage};

/// Longest time for DNS, TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Threads for the network: one core moves more than 1 GB/s, the second covers its pauses.
const WORKERS: usize = 2;
/// Longest body of any answer, in bytes: a part has 4 MiB, a page of 1000 escaped keys below 8 MiB.
const ANSWER_LIMIT_BYTES: usize = 16 * 1024 * 1024;

/// The runtime that every reader of a store shares; its threads end with the last of them.
pub(super) struct Core {
    runtime: Option<Runtime>,
    handle: Handle,
}

impl Core {
    pub(super) fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("s3")
            .enable_all()
            .build()
            .map_err(|error| {
                let message = "failed to start the threads of the S3 client";
                Fault::new(Stage::Resolve, Reason::InternalError, message).caused_by(error)
            })?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs `work` on the runtime and waits. Unlike `block_on` it may be called from any thread,
    /// those of another runtime included.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = sync_channel(1);
        self.handle.spawn(async move {
            // Nobody waits any more: there is nobody to tell.
            let _ = sender.send(work.await);
        });
        receiver.recv().unwrap_or_else(|_| Err(died()))
    }
}

/// The fault of a task that ended without a result.
pub(super) fn died() -> Fault {
    Fault::new(Stage::Download, Reason::InternalError, "a task of the S3 client ended without a result")
}

impl Drop for Core {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A name lookup that hangs in the C library must not hold up the end of the run.
            runtime.shutdown_background();
        }
    }
}

/// Builds the SDK's client. Reads AWS's environment and profiles only for what `options` leave open.
pub(super) async fn connect(options: S3Options) -> Result<Client> {
    let http = http_client(options.ca_pem.as_deref())?;
    let stall = options.stall_timeout.unwrap_or(DEFAULT_STALL);
    let builder = match options.credentials {
        Some(keys) => {
            Builder::new().behavior_version(BehaviorVersion::latest()).credentials_provider(Credentials::new(
                keys.access_key_id,
                keys.secret_access_key.expose().clone(),
                keys.session_token.map(|token| token.expose().clone()),
                None,
                "reinstate",
            ))
        }
        None => Builder::from(&default_chain().await?),
    };
    let region = region(options.region, options.endpoint.is_some()).await;
    let mut builder = builder
        .region(region)
        .http_client(http)
        .force_path_style(options.force_path_style)
        .retry_config(RetryConfig::disabled())
        // A clock that is wrong decides about confirmations and ages too: it is reported, not bridged.
        .disable_clock_skew_correction(true)
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT.min(stall)).build())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        // Servers that speak S3 answer ranges with checksums of the whole object, or of nothing.
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .interceptor(AnswerLimit);
    if let Some(endpoint) = options.endpoint {
        builder = builder.endpoint_url(endpoint);
    }
    Ok(Client::from_conf(builder.build()))
}

/// AWS's default chain. It speaks to AWS and to the instance, so the CA of the storage is not for it.
async fn default_chain() -> Result<aws_config::SdkConfig> {
    let http = http_client(None)?;
    Ok(aws_config::defaults(BehaviorVersion::latest()).http_client(http).load().await)
}

/// The region: as written, else of the environment or the profile, else of the instance (only where
/// the endpoint is AWS's), else `us-east-1`, which other services take for any.
async fn region(written: Option<String>, own_endpoint: bool) -> Option<Region> {
    if let Some(region) = written {
        return Some(Region::new(region));
    }
    let chain = if own_endpoint {
        RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
            .or_else(ProfileFileRegionProvider::new())
    } else {
        RegionProviderChain::default_provider()
    };
    chain.or_else("us-east-1").region().await
}

fn http_client(ca_pem: Option<&[u8]>) -> Result<SharedHttpClient> {
    let trust = match ca_pem {
        Some(pem) => {
            check_ca(pem)?;
            TrustStore::empty().with_pem_certificate(pem)
        }
        None => TrustStore::default(),
    };
    let context = TlsContext::builder().with_trust_store(trust).build().map_err(|error| {
        Fault::new(Stage::Resolve, Reason::InternalError, "failed to set up TLS for the S3 client")
            .caused_by(error)
    })?;
    Ok(aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(context)
        .build_https())
}

/// Refuses a CA file that is not one; the SDK would panic on it.
fn check_ca(pem: &[u8]) -> Result<()> {
    let refuse = |why: String| {
        let message = format!("failed to read the CA of the S3 endpoint: {why}");
        Fault::new(Stage::Resolve, Reason::InvalidSpec, message)
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| refuse("it is not PEM".to_owned()))?;
        roots.add(certificate).map_err(|_| {
            refuse(format!("certificate {} in it is not an X.509 certificate", roots.len() + 1))
        })?;
    }
    if roots.is_empty() {
        return Err(refuse("there is no PEM certificate in it".to_owned()));
    }
    Ok(())
}

/// Bounds the memory that an answer can take, whatever the server sends.
#[derive(Debug)]
struct AnswerLimit;

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for AnswerLimit {
    fn name(&self) -> &'static str {
        "AnswerLimit"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = std::mem::replace(context.response_mut().body_mut(), SdkBody::empty());
        *context.response_mut().body_mut() = SdkBody::from_body_1_x(Limited::new(body, ANSWER_LIMIT_BYTES));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_that_is_none_is_refused_before_anything_is_sent() {
        let not_x509 = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
        for (pem, says) in [
            ("", "no PEM certificate"),
            ("hello", "no PEM certificate"),
            (not_x509, "not an X.509 certificate"),
            ("-----BEGIN CERTIFICATE-----\naGV", "not PEM"),
            ("-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n", "not PEM"),
        ] {
            let fault = check_ca(pem.as_bytes()).unwrap_err();
            assert_eq!(fault.reason, Reason::InvalidSpec, "{pem}");
            assert!(fault.message.contains(says), "{pem}: {}", fault.message);
        }
    }

    #[test]
    fn a_task_that_panics_is_a_fault_and_not_a_hang() {
        let core = Core::start().unwrap();
        let fault = core.wait::<()>(async { panic!("defect") }).unwrap_err();
        assert_eq!(fault.reason, Reason::InternalError);
    }
}
