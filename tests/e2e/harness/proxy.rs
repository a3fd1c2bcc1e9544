//! Stands between an operator and the API server. It counts what the operator writes, and kills the
//! operator at one of these writes: before the API server has heard of it, or after the API server has
//! done it and before the operator hears so.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::{Method, Request, Response, StatusCode, header, request};
use kube::Client;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::cluster::Cluster;

/// Which side of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Before,
    After,
}

/// A proxy on a port of the cluster's network. It has no rights: the operator's own go through.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: Client,
    run: Mutex<Run>,
}

/// What is known of the operator that is watched now.
#[derive(Default)]
struct Run {
    operator: Option<Pid>,
    at: Option<(usize, Side)>,
    writes: Vec<String>,
    killed: Option<String>,
}

impl Proxy {
    /// Starts one; it ends with the test process.
    pub(crate) fn start(cluster: &Cluster) -> Self {
        let address = cluster.wait(async {
            let read = Kubeconfig::read_from(&cluster.kubeconfig).unwrap();
            let options = KubeConfigOptions::default();
            let mut config = kube::Config::from_custom_kubeconfig(read, &options).await.unwrap();
            config.auth_info = AuthInfo::default();
            let upstream = Client::try_from(config).unwrap();
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let shared = Arc::new(Shared { upstream, run: Mutex::default() });
            let service = axum::Router::new().fallback(forward).with_state(Arc::clone(&shared));
            tokio::spawn(async move { axum::serve(listener, service).await });
            (address, shared)
        });
        Self { address: address.0, shared: address.1 }
    }

    /// The kubeconfig of an account, through this proxy.
    pub(crate) fn kubeconfig(&self, direct: &Path) -> PathBuf {
        let mut config: Value = serde_json::from_slice(&std::fs::read(direct).unwrap()).unwrap();
        config["clusters"][0]["cluster"] = json!({"server": format!("http://{}", self.address)});
        let file = direct.with_extension(format!("{}.proxied", self.address.port()));
        std::fs::write(&file, config.to_string()).unwrap();
        file
    }

    /// From now on counts the writes of the process `operator`, and kills it at the write of number
    /// `at.0`, from 1.
    pub(crate) fn watch(&self, operator: u32, at: Option<(usize, Side)>) {
        let operator = Pid::from_raw(operator.try_into().unwrap());
        *self.shared.run.lock().unwrap() = Run { operator, at, ..Run::default() };
    }

    /// The writes so far.
    pub(crate) fn writes(&self) -> Vec<String> {
        self.shared.run.lock().unwrap().writes.clone()
    }

    /// The write at which the operator was killed, once it was.
    pub(crate) fn killed(&self) -> Option<String> {
        self.shared.run.lock().unwrap().killed.clone()
    }
}

impl Shared {
    /// Counts the request, and tells whether the operator has to die at it.
    fn doom(&self, request: &request::Parts, body: &Bytes) -> Option<Side> {
        let write = write(request, body)?;
        let mut run = self.run.lock().unwrap();
        // What a dead operator had sent before is no step of another one.
        if run.killed.is_some() || run.operator.is_none() {
            return None;
        }
        run.writes.push(write);
        run.at.filter(|(number, _)| *number == run.writes.len()).map(|(_, side)| side)
    }

    /// Kills the operator and waits until it is dead.
    async fn kill(&self) {
        let operator = self.run.lock().unwrap().operator.unwrap();
        kill_process(operator, Signal::KILL).unwrap();
        while !is_dead(operator) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut run = self.run.lock().unwrap();
        run.killed = run.at.and_then(|(number, _)| run.writes.get(number - 1).cloned());
    }
}

/// Kills the operator; nothing is answered any more.
async fn kill(shared: Arc<Shared>) -> Response<Body> {
    // What answers ends with the connection, and that with the operator.
    tokio::spawn(async move { shared.kill().await });
    std::future::pending().await
}

/// Whether nothing of the process runs any more; its parent may not have asked for its end yet.
fn is_dead(process: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()));
    stat.map_or(true, |stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')))
}

async fn forward(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let doom = shared.doom(&parts, &body);
    if doom == Some(Side::Before) {
        return kill(shared).await;
    }
    let mut upstream = Request::new(kube::client::Body::from(body));
    *upstream.method_mut() = parts.method;
    *upstream.uri_mut() = parts.uri;
    *upstream.headers_mut() = parts.headers;
    for name in [header::HOST, header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING] {
        upstream.headers_mut().remove(name);
    }
    let answer = match shared.upstream.send(upstream).await {
        Ok(answer) => answer,
        Err(error) => {
            let mut answer = Response::new(Body::from(error.to_string()));
            *answer.status_mut() = StatusCode::BAD_GATEWAY;
            return answer;
        }
    };
    let (mut parts, body) = answer.into_parts();
    parts.headers.remove(header::TRANSFER_ENCODING);
    let body = Body::new(body);
    if doom.is_none() {
        return Response::from_parts(parts, body);
    }
    // Its end is the proof that the API server has done it.
    let _ = to_bytes(body, usize::MAX).await;
    kill(shared).await
}

/// What the request writes, in a few words; `None` for one that only reads, and for what the protocol
/// does not know: Events and the leader's Lease.
fn write(request: &request::Parts, body: &Bytes) -> Option<String> {
    if matches!(request.method, Method::GET | Method::HEAD) {
        return None;
    }
    let path = request.uri.path();
    let (_, object) = path.split_once("/namespaces/")?;
    let mut parts = object.split('/').skip(1);
    let (resource, name, subresource) = (parts.next()?, parts.next(), parts.next());
    if resource == "events" || name == Some(reinstate::operator::names::LEADER_LEASE) {
        return None;
    }
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let ready =
        body["status"]["conditions"].as_array().into_iter().flatten().find(|it| it["type"] == "Ready");
    let what = match (resource, subresource) {
        (_, Some("status")) => ready.map(|ready| ready["reason"].as_str().unwrap_or_default().to_owned()),
        ("leases", _) => body["metadata"]["annotations"]["reinstate.dev/holders"]
            .as_str()
            .map(|holders| if holders == "[]" { "no holder".to_owned() } else { "a holder".to_owned() }),
        ("jobs", _) if name.is_some() => body["spec"].as_object().map(|spec| {
            spec.iter().map(|(key, value)| format!("{key}: {value}")).collect::<Vec<_>>().join(", ")
        }),
        _ => body["metadata"]["finalizers"].as_array().map(|all| format!("{} finalizers", all.len())),
    };
    let subresource = subresource.map(|it| format!("/{it}")).unwrap_or_default();
    let what = what.map(|it| format!(" ({it})")).unwrap_or_default();
    Some(format!("{} {resource}{subresource}{what}", request.method))
}
