//! `reinstate new`: writes a first manifest from flags, with a comment at every field.
//!
//! Secrets go to a file of their own with mode 0600, or nowhere: what is printed holds none. What is
//! written is read back strictly and resolved first, so a flag that makes no sense is said here.

mod draft;
mod keys;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::Args;

use super::manifest::ManifestReader;
use crate::plan;

pub use draft::{Draft, draft};
pub use keys::{KeyMaterial, read_kit};

/// Flags of `reinstate new`.
#[derive(Args, Clone, Debug, Default)]
pub struct NewArgs {
    /// Where the backups are: `s3://bucket/prefix`, or a folder
    #[arg(long, value_name = "URL|DIR")]
    pub storage: String,
    /// Endpoint of the S3 storage; without it AWS
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Region of the S3 storage
    #[arg(long)]
    pub region: Option<String>,
    /// The bucket in the path instead of in the host name (MinIO and its like)
    #[arg(long)]
    pub path_style: bool,
    /// PEM of the CA to trust for the S3 endpoint instead of the system's
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Path of the backup, relative to the storage
    #[arg(long, value_name = "PATH", required_unless_present = "latest")]
    pub backup: Option<String>,
    /// The newest backup whose path starts with PREFIX
    #[arg(long, value_name = "PREFIX", conflicts_with = "backup")]
    pub latest: Option<String>,
    /// The key: a Recovery Kit folder, a `master.key`, or an age identity
    #[arg(long, value_name = "DIR|FILE")]
    pub kit: Option<PathBuf>,
    /// The SQLite file to restore to; without it the backup is only verified
    #[arg(long, value_name = "FILE")]
    pub target: Option<PathBuf>,
    /// Name of the `DatabaseRestore`, and beginning of the other names
    #[arg(long, default_value = "restore")]
    pub name: String,
    /// Namespace of all objects
    #[arg(long, default_value = "default")]
    pub namespace: String,
    /// Where the manifest goes; without it to standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Where the Secrets go, with mode 0600
    #[arg(long, value_name = "FILE")]
    pub secrets_out: Option<PathBuf>,
    /// Overwrite files that are there
    #[arg(long)]
    pub force: bool,
}

/// The largest CA file that is read, in bytes.
const CA_LIMIT_BYTES: u64 = 1024 * 1024;

/// Writes the manifest and its Secrets; `notes` gets the line that runs them.
pub fn run(args: &NewArgs, stdout: &mut dyn Write, notes: &mut dyn Write) -> anyhow::Result<()> {
    let key = args.kit.as_deref().map(read_kit).transpose()?;
    let ca = args.ca_file.as_deref().map(|path| keys::read_text(path, CA_LIMIT_BYTES)).transpose()?;
    let draft = draft(args, key.as_ref(), ca.as_ref())?;
    prove(&draft)?;
    if draft.secrets.is_some() {
        ensure!(
            args.secrets_out.is_some(),
            "the key or CA needs a file of its own: say where with --secrets-out FILE"
        );
        ensure!(args.secrets_out != args.output, "-o and --secrets-out must be different files");
    }
    let secrets = draft.secrets.as_ref().zip(args.secrets_out.as_deref());
    if !args.force {
        for path in args.output.as_deref().into_iter().chain(secrets.map(|(_, path)| path)) {
            ensure!(
                fs::symlink_metadata(path).is_err(),
                "{} is there already; overwrite it with --force",
                path.display()
            );
        }
    }
    if let Some((text, path)) = secrets {
        write_file(path, text.expose().as_bytes(), 0o600, args.force)?;
    }
    match &args.output {
        Some(path) => write_file(path, draft.manifest.as_bytes(), 0o644, args.force)?,
        None => stdout.write_all(draft.manifest.as_bytes()).context("failed to write the manifest")?,
    }
    writeln!(notes, "Run it here with:\n  {}", draft.command).context("failed to write the command line")
}

/// What was drafted must be good: read strictly, and resolved.
fn prove(draft: &Draft) -> anyhow::Result<()> {
    let mut reader = ManifestReader::default();
    reader.add("the manifest", &mut draft.manifest.as_bytes());
    if let Some(secrets) = &draft.secrets {
        reader.add("the Secrets", &mut secrets.expose().as_bytes());
    }
    let manifests = match reader.finish() {
        Ok(manifests) => manifests,
        Err(problems) => {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            bail!("these flags do not make a good manifest:\n{}", lines.join("\n"));
        }
    };
    for restore in &manifests.restores {
        if let Err(problems) = plan::resolve(restore, &manifests.objects) {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            bail!("these flags do not make a good manifest:\n{}", lines.join("\n"));
        }
    }
    Ok(())
}

/// Writes a new file; with `force` an old one goes first, so that its mode and readers do too.
fn write_file(path: &Path, content: &[u8], mode: u32, force: bool) -> anyhow::Result<()> {
    let what = || format!("failed to write {}", path.display());
    if force
        && let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error).with_context(what);
    }
    let open = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file: File = open.with_context(what)?;
    file.write_all(content).with_context(what)
}
