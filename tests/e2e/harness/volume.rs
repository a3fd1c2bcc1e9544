//! A volume that a test can look into: a claim bound to a folder of the node.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use super::Namespace;

/// A claim in a namespace, and the folder behind it.
pub(crate) struct Volume<'a> {
    namespace: &'a Namespace,
    object: String,
    owner: u32,
    folder: PathBuf,
}

impl<'a> Volume<'a> {
    /// A claim named `claim`, bound to an empty folder that belongs to user and group `owner`.
    pub(crate) fn new(namespace: &'a Namespace, claim: &str, owner: u32) -> Self {
        Self::with_mode(namespace, claim, owner, "ReadWriteOnce")
    }

    /// The same, for one pod at a time.
    pub(crate) fn exclusive(namespace: &'a Namespace, claim: &str, owner: u32) -> Self {
        Self::with_mode(namespace, claim, owner, "ReadWriteOncePod")
    }

    fn with_mode(namespace: &'a Namespace, claim: &str, owner: u32, mode: &str) -> Self {
        let object = format!("{}-{claim}", namespace.name);
        let folder = namespace.cluster.volumes().join(&object);
        std::fs::create_dir_all(&folder).unwrap();
        chown(&folder, Some(owner), Some(owner)).unwrap();
        namespace.apply(&format!(
            "
apiVersion: v1
kind: PersistentVolume
metadata: {{name: {object}}}
spec:
  capacity: {{storage: 1Gi}}
  accessModes: [{mode}]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: ''
  claimRef: {{namespace: {namespace}, name: {claim}}}
  hostPath: {{path: {folder}, type: Directory}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: {claim}}}
spec:
  storageClassName: ''
  volumeName: {object}
  accessModes: [{mode}]
  resources: {{requests: {{storage: 1Gi}}}}
",
            namespace = namespace.name,
            folder = folder.display()
        ));
        namespace.wait_for::<PersistentVolumeClaim>(claim, "is bound", |claim| {
            claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound")
        });
        Self { namespace, object, owner, folder }
    }

    /// A file or folder of the volume, as the test sees it.
    pub(crate) fn path(&self, inner: impl AsRef<Path>) -> PathBuf {
        self.folder.join(inner)
    }

    /// Writes a file that belongs to the volume's owner.
    pub(crate) fn put(&self, inner: &str, content: &[u8]) {
        let path = self.path(inner);
        let mut folder = self.folder.clone();
        for part in Path::new(inner).parent().into_iter().flat_map(Path::components) {
            folder.push(part);
            std::fs::create_dir_all(&folder).unwrap();
            self.give(&folder);
        }
        std::fs::write(&path, content).unwrap();
        self.give(&path);
    }

    /// Makes what the test has put at `path` the volume's owner's.
    pub(crate) fn give(&self, path: &Path) {
        chown(path, Some(self.owner), Some(self.owner)).unwrap();
    }
}

impl Drop for Volume<'_> {
    fn drop(&mut self) {
        self.namespace.cluster.kubectl(&["delete", "persistentvolume", &self.object, "--wait=false"]);
    }
}
