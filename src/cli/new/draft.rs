//! The text of a first manifest, from flags and key material alone.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, ensure};

use super::{KeyMaterial, NewArgs};
use crate::secret::Secret;

/// What `reinstate new` writes.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The manifest, without any secret.
    pub manifest: String,
    /// The Secrets that it refers to.
    pub secrets: Option<Secret<String>>,
    /// The command line that runs both on this machine.
    pub command: String,
}

/// The claim that stands for a storage folder.
const BACKUPS_CLAIM: &str = "backups";
/// The claim that stands for the target's folder.
const TARGET_CLAIM: &str = "data";

/// Drafts the manifest that `args` ask for.
pub fn draft(
    args: &NewArgs,
    key: Option<&KeyMaterial>,
    ca: Option<&Secret<String>>,
) -> anyhow::Result<Draft> {
    let mut claims = Vec::new();
    let mut manifest = String::from(
        "# Written by `reinstate new`. The same manifest runs on one machine with `reinstate run`\n\
         # and on a cluster, where the claims are PersistentVolumeClaims.\n",
    );
    manifest.push_str(&restore(args, key.is_some())?);
    manifest.push_str(&storage(args, ca.is_some(), &mut claims)?);
    if let Some(target) = &args.target {
        manifest.push_str(&connection(args, target, &mut claims)?);
    }
    if let Some(key) = key {
        manifest.push_str(&profile(args, key));
    }
    let secrets = secrets(args, key, ca);
    let command = command(args, secrets.is_some(), &claims)?;
    Ok(Draft { manifest, secrets, command })
}

/// The beginning of a document.
fn head(args: &NewArgs, kind: &str, suffix: &str) -> String {
    let version = if kind == "Secret" { "v1" } else { crate::api::API_VERSION };
    let name = quoted(&format!("{}{suffix}", args.name));
    let namespace = quoted(&args.namespace);
    format!("---\napiVersion: {version}\nkind: {kind}\nmetadata:\n  name: {name}\n  namespace: {namespace}\n")
}

fn restore(args: &NewArgs, has_key: bool) -> anyhow::Result<String> {
    let mut text = head(args, "DatabaseRestore", "");
    let mode = if args.target.is_some() { "Restore" } else { "Verify" };
    let storage = quoted(&format!("{}-storage", args.name));
    write!(
        text,
        "spec:\n  \
         # Restore; Plan shows what would happen and writes nothing; Verify reads the backup alone.\n  \
         mode: {mode}\n  \
         backup:\n    \
         # The storage destination, below.\n    \
         storageRef:\n      name: {storage}\n"
    )?;
    match (&args.backup, &args.latest) {
        (Some(path), None) => {
            write!(text, "    # Path of the backup, relative to the storage.\n    path: {}\n", quoted(path))?;
        }
        (None, Some(prefix)) => write!(
            text,
            "    # The newest backup whose path starts with the prefix. With `maxAge: 26h` beside it, an\n    \
             # older one fails.\n    latest:\n      prefix: {}\n",
            quoted(prefix)
        )?,
        _ => anyhow::bail!("give exactly one of --backup and --latest"),
    }
    if has_key {
        write!(
            text,
            "    encryption:\n      # The key to try first; every other EncryptionProfile is tried after it.\n      \
             profileRef:\n        name: {}\n",
            quoted(&format!("{}-key", args.name))
        )?;
    }
    if let Some(target) = &args.target {
        write!(
            text,
            "  target:\n    # The database to restore to, below.\n    connectionRef:\n      name: {connection}\n  \
             overwrite:\n    \
             # Where the target holds data: Ask shows what would be lost and waits, Refuse ends the run.\n    \
             policy: Ask\n    \
             # Exact names of targets that may be replaced, such as [{file}].\n    \
             confirm: []\n  \
             # How long the replaced data is kept; 0s: not at all.\n  \
             keepPrevious: 24h\n",
            connection = quoted(&format!("{}-target", args.name)),
            file = quoted(file_name(target)?),
        )?;
    }
    Ok(text)
}

fn storage(args: &NewArgs, has_ca: bool, claims: &mut Vec<(String, String)>) -> anyhow::Result<String> {
    let mut text = head(args, "BackupStorage", "-storage");
    text.push_str("spec:\n");
    let Some(address) = args.storage.strip_prefix("s3://") else {
        let foreign = args.endpoint.is_some() || args.region.is_some() || args.path_style || has_ca;
        ensure!(!foreign, "--endpoint, --region, --path-style and --ca-file are for s3:// storages");
        ensure!(!args.storage.contains("://"), "--storage is s3://bucket/prefix or a folder");
        claims.push((BACKUPS_CLAIM.to_owned(), args.storage.clone()));
        write!(
            text,
            "  volume:\n    # On a cluster the PersistentVolumeClaim, here a folder: --claim {BACKUPS_CLAIM}=DIR\n    \
             claimName: {BACKUPS_CLAIM}\n"
        )?;
        return Ok(text);
    };
    let (bucket, prefix) = address.split_once('/').unwrap_or((address, ""));
    writeln!(text, "  s3:\n    bucket: {}", quoted(bucket))?;
    if !prefix.is_empty() {
        writeln!(
            text,
            "    # Folder in the bucket; paths are relative to it.\n    prefix: {}",
            quoted(prefix)
        )?;
    }
    if let Some(endpoint) = &args.endpoint {
        writeln!(text, "    # Absent: AWS.\n    endpoint: {}", quoted(endpoint))?;
    }
    if let Some(region) = &args.region {
        writeln!(text, "    region: {}", quoted(region))?;
    }
    if args.path_style {
        text.push_str(
            "    # The bucket in the path instead of in the host name.\n    forcePathStyle: true\n",
        );
    }
    text.push_str(
        "    # Without `credentials` the keys come from AWS's default chain: environment, profile, or\n    \
         # the pod's web identity.\n",
    );
    if has_ca {
        write!(
            text,
            "    tls:\n      # The CA to trust instead of the system's.\n      caSecretKeyRef:\n        \
             name: {}\n        key: ca.crt\n",
            quoted(&format!("{}-ca", args.name))
        )?;
    }
    Ok(text)
}

fn connection(args: &NewArgs, target: &Path, claims: &mut Vec<(String, String)>) -> anyhow::Result<String> {
    let mut text = head(args, "DatabaseConnection", "-target");
    let folder = match target.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let folder = folder.to_str().context("--target is not UTF-8")?;
    claims.push((TARGET_CLAIM.to_owned(), folder.to_owned()));
    write!(
        text,
        "spec:\n  engine: SQLite\n  # Forbidden refuses every restore to this connection.\n  restores: Allowed\n  \
         sqlite:\n    # On a cluster the PersistentVolumeClaim, here a folder: --claim {TARGET_CLAIM}=DIR\n    \
         claimName: {TARGET_CLAIM}\n    # Path of the file in it.\n    path: {}\n",
        quoted(file_name(target)?)
    )?;
    Ok(text)
}

fn profile(args: &NewArgs, key: &KeyMaterial) -> String {
    let secret = quoted(&format!("{}-key", args.name));
    let spec = match key {
        KeyMaterial::Aes256Gcm(_) => format!(
            "  # An AES-256 key as 64 hexadecimal digits.\n  aes256Gcm:\n    secretKeyRef:\n      \
             name: {secret}\n      key: master.key\n"
        ),
        KeyMaterial::AgeIdentity(_) => {
            format!("  age:\n    identitySecretKeyRef:\n      name: {secret}\n      key: identity\n")
        }
        KeyMaterial::RecoveryKit(_) => format!(
            "  # All keys of the Recovery Kit; the one that fits is found by trying.\n  recoveryKit:\n    \
             secretName: {secret}\n"
        ),
    };
    format!("{}spec:\n{spec}", head(args, "EncryptionProfile", "-key"))
}

fn secrets(args: &NewArgs, key: Option<&KeyMaterial>, ca: Option<&Secret<String>>) -> Option<Secret<String>> {
    let mut text = String::new();
    if let Some(key) = key {
        text.push_str(&head(args, "Secret", "-key"));
        text.push_str("stringData:\n");
        match key {
            KeyMaterial::Aes256Gcm(value) => entry(&mut text, "master.key", value),
            KeyMaterial::AgeIdentity(value) => entry(&mut text, "identity", value),
            KeyMaterial::RecoveryKit(files) => {
                for (name, value) in files {
                    entry(&mut text, name, value);
                }
            }
        }
    }
    if let Some(ca) = ca {
        text.push_str(&head(args, "Secret", "-ca"));
        text.push_str("stringData:\n");
        entry(&mut text, "ca.crt", ca);
    }
    if text.is_empty() {
        return None;
    }
    let header = "# Written by `reinstate new`. Holds secrets: keep it out of version control.\n";
    Some(Secret::new(format!("{header}{text}")))
}

fn entry(text: &mut String, name: &str, value: &Secret<String>) {
    text.push_str("  ");
    text.push_str(&quoted(name));
    text.push_str(": ");
    text.push_str(&quoted(value.expose()));
    text.push('\n');
}

fn command(args: &NewArgs, secrets: bool, claims: &[(String, String)]) -> anyhow::Result<String> {
    let mut line = "reinstate run -f ".to_owned();
    line.push_str(&match &args.output {
        Some(path) => shell(path.to_str().context("-o is not UTF-8")?),
        None => "-".to_owned(),
    });
    if let Some(path) = args.secrets_out.as_ref().filter(|_| secrets) {
        write!(line, " -f {}", shell(path.to_str().context("--secrets-out is not UTF-8")?))?;
    }
    for (claim, folder) in claims {
        write!(line, " --claim {}", shell(&format!("{claim}={folder}")))?;
    }
    Ok(line)
}

fn file_name(path: &Path) -> anyhow::Result<&str> {
    path.file_name()
        .and_then(|name| name.to_str())
        .with_context(|| format!("--target {} does not end in a file name", path.display()))
}

/// `text` as a YAML string, whatever it holds; JSON's strings are YAML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// `text` as one word of a shell.
fn shell(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:@%+,".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
