//! The node, the images and the harness themselves.

use std::path::Path;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::Api;
use kube::runtime::wait::await_condition;

use crate::harness::{
    Audit, IMAGE_USER, Namespace, OPERATOR_IMAGE, PATIENCE, Process, RUNNER_IMAGE, Volume, bucket, cluster,
};
use crate::parts::minio::{KEY_ID, SECRET};

/// A pod as strict as Pod Security wants it, which runs `command` of `image` with the volume `data`.
fn pod(name: &str, image: &str, command: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  securityContext: {{runAsNonRoot: true, seccompProfile: {{type: RuntimeDefault}}}}
  containers:
    - name: main
      image: {image}
      imagePullPolicy: Never
      command: {command}
      securityContext: {{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {{drop: [ALL]}}}}
      volumeMounts: [{{name: data, mountPath: /data}}]
  volumes: [{{name: data, persistentVolumeClaim: {{claimName: data}}}}]
"
    )
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

#[test]
fn the_node_is_ready() {
    let cluster = cluster();
    let nodes: Api<Node> = Api::all(cluster.client());
    let nodes = cluster.wait(nodes.list(&kube::api::ListParams::default())).unwrap();
    let ready = nodes.items.iter().any(|node| {
        let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
    });
    assert!(ready, "{nodes:?}");
}

#[test]
fn both_images_run_without_a_right_and_write_to_a_volume_of_their_user() {
    let namespace = Namespace::new("images");
    let volume = Volume::new(&namespace, "data", IMAGE_USER);
    for (name, image) in [("operator", OPERATOR_IMAGE), ("runner", RUNNER_IMAGE)] {
        // `crds` writes files, so it shows that the folder is the user's.
        volume.put(&format!("{name}/before"), b"");
        namespace.apply(&pod(name, image, &format!("[/reinstate, crds, --directory, /data/{name}]")));
        let ended =
            namespace.wait_for(name, "has ended", |pod| ["Succeeded", "Failed"].contains(&phase(pod)));
        let log = namespace.kubectl(&["logs", name]);
        assert_eq!(phase(&ended), "Succeeded", "{}{}", log.out, log.err);
        let written = std::fs::read_dir(volume.path(name)).unwrap().count();
        assert!(written > 1, "{name} has written nothing: {}", log.out);
    }
}

#[test]
fn an_image_holds_the_binary_its_libraries_and_a_ca_bundle() {
    cluster();
    for name in ["operator", "runner"] {
        let archive = Path::new(env!("CARGO_TARGET_TMPDIR")).join("images").join(name).with_extension("tar");
        let Ok(archive) = std::fs::File::open(archive) else { continue };
        let mut files = Vec::new();
        for layer in tar::Archive::new(archive).entries().unwrap().map(Result::unwrap) {
            let is_layer = layer.path().unwrap().extension().is_some_and(|end| end == "tar");
            if !is_layer || !layer.header().entry_type().is_file() {
                continue;
            }
            for entry in tar::Archive::new(layer).entries().unwrap().map(Result::unwrap) {
                assert_eq!(entry.header().mtime().unwrap(), 0, "{}", entry.path().unwrap().display());
                if !entry.header().entry_type().is_dir() {
                    files.push(entry.path().unwrap().to_string_lossy().into_owned());
                }
            }
        }
        let is_library = |path: &String| path.starts_with("lib") && path.contains(".so.");
        let (libraries, others): (Vec<String>, Vec<String>) = files.into_iter().partition(is_library);
        assert_eq!(others, ["etc/nsswitch.conf", "etc/ssl/certs/ca-certificates.crt", "reinstate"], "{name}");
        let known = ["libc.so.", "libgcc_s.so.", "libm.so.", "ld-linux"];
        for library in &libraries {
            let file = library.rsplit('/').next().unwrap();
            assert!(known.iter().any(|known| file.starts_with(known)), "{name}: {library}");
        }
        assert_eq!(libraries.len(), known.len(), "{name}: {libraries:?}");
    }
}

#[test]
fn a_stopped_kubelet_is_noticed_and_comes_back() {
    let namespace = Namespace::alone("lost");
    let Some(node) = namespace.cluster.node() else { return };
    let nodes: Api<Node> = Api::all(namespace.cluster.client());
    let unknown = |node: Option<&Node>| {
        let conditions = node.and_then(|node| node.status.as_ref()?.conditions.as_ref());
        conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "Unknown"))
    };
    let stopped = node.stop_kubelet();
    let noticed = await_condition(nodes, "node", unknown);
    namespace.cluster.wait(async { tokio::time::timeout(PATIENCE, noticed).await }).unwrap().unwrap();
    drop(stopped);
    namespace.apply(
        &pod("after", RUNNER_IMAGE, "[/reinstate, --version]")
            .replace("persistentVolumeClaim: {claimName: data}", "emptyDir: {}"),
    );
    namespace.wait_for("after", "has ended", |pod| phase(pod) == "Succeeded");
}

#[test]
fn what_asks_for_more_than_it_needs_is_refused() {
    let namespace = Namespace::new("strict");
    let greedy = pod("greedy", RUNNER_IMAGE, "[/reinstate]").replace("runAsNonRoot: true", "runAsUser: 0");
    namespace.try_apply(&greedy).expect(1, &["violates PodSecurity", "restricted"]);
}

#[test]
fn a_pod_reads_a_bucket_under_tls() {
    let (namespace, bucket) = (Namespace::new("bucket"), bucket());
    bucket.put("shop/hello.sql", b"-- SQLite\n");
    let volume = Volume::new(&namespace, "data", IMAGE_USER);
    let options = bucket.options();
    volume.put("ca.crt", &options.ca_pem.unwrap());
    let command = format!(
        "[/reinstate, list, 's3://{}/shop/', --path-style, --ca-file, /data/ca.crt, --endpoint, '{}']",
        bucket.name,
        options.endpoint.unwrap()
    );
    let keys = format!(
        "env: [{{name: AWS_ACCESS_KEY_ID, value: {KEY_ID}}}, {{name: AWS_SECRET_ACCESS_KEY, value: {SECRET}}}]\n      volumeMounts"
    );
    namespace.apply(&pod("reader", RUNNER_IMAGE, &command).replace("volumeMounts", &keys));
    let ended =
        namespace.wait_for("reader", "has ended", |pod| ["Succeeded", "Failed"].contains(&phase(pod)));
    let log = namespace.kubectl(&["logs", "reader"]).expect(0, &["hello.sql"]);
    assert_eq!(phase(&ended), "Succeeded", "{}", log.out);
}

#[test]
fn a_process_of_the_test_is_in_the_clusters_network() {
    let bucket = bucket();
    bucket.put("shop/hello.sql", b"-- SQLite\n");
    let options = bucket.options();
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&ca, options.ca_pem.unwrap()).unwrap();
    let mut process = Process::start_as(|command| {
        command
            .args(["list", &format!("s3://{}/", bucket.name), "--path-style", "--ca-file"])
            .arg(ca.path())
            .args(["--endpoint", &options.endpoint.unwrap()])
            .env("AWS_ACCESS_KEY_ID", KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", SECRET);
    });
    assert!(process.wait().success(), "{}", process.log());
    assert!(process.log().contains("shop/hello.sql"), "{}", process.log());
}

#[test]
fn the_audit_log_tells_what_an_account_asked_for() {
    let Some(audit) = Audit::from_now() else { return };
    let namespace = Namespace::new("audit");
    let kubeconfig = namespace.kubeconfig_of("curious");
    let mut command = namespace.cluster.kubectl_command();
    command.env("KUBECONFIG", kubeconfig).args(["--namespace", &namespace.name, "get", "job", "x"]);
    let ended = crate::support::Ended::of(command.output().unwrap()).expect(1, &["is forbidden"]);
    let requests = audit.of_account(&namespace.name, "curious");
    let asked = requests.iter().find(|request| request.resource == "jobs").unwrap_or_else(|| {
        panic!("{}: {requests:?}", ended.err);
    });
    assert_eq!(
        (&*asked.verb, &*asked.group, &*asked.namespace, &*asked.name, asked.code),
        ("get", "batch", &*namespace.name, "x", 403)
    );
    assert!(namespace.get::<Job>("x").is_none());
}
