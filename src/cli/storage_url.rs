//! What the command line takes for a backup or a destination: a local path, or `s3://BUCKET/KEY`.
//!
//! Credentials are never flags: for URLs AWS's default chain finds them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use crate::reason::Reason;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::source::{Artifact, Folder, S3, S3Options, Store};

/// How a URL's storage is reached. Credentials come from AWS's default chain: environment, profile,
/// web identity, container, instance.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Storage")]
pub struct StorageFlags {
    /// Endpoint of an S3 service that is not AWS's, such as `https://minio.example:9000`
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Region of the bucket [default: of the environment or profile, else us-east-1]
    #[arg(long)]
    pub region: Option<String>,
    /// Put the bucket in the path instead of in the host name
    #[arg(long)]
    pub path_style: bool,
    /// PEM file of the CA to trust instead of the system's
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

/// A destination, and what the paths to look at start with.
pub struct Destination {
    /// The storage.
    pub store: Arc<dyn Store>,
    /// Prefix below its root.
    pub prefix: String,
}

/// A location, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Location {
    Local(PathBuf),
    S3 { bucket: String, key: String },
}

/// The one stored backup that `location` names.
pub fn artifact(location: &str, flags: &StorageFlags) -> Result<Artifact> {
    match parse(location)? {
        Location::Local(path) => {
            refuse_flags(location, flags)?;
            if path.is_dir() {
                return Err(no_file(location));
            }
            let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| no_file(location))?;
            let store: Arc<dyn Store> = Arc::new(Folder::new(folder_of(&path)));
            Ok(Artifact { store, path: name.to_owned() })
        }
        Location::S3 { bucket, key } => {
            if key.is_empty() || key.ends_with('/') {
                return Err(no_file(location));
            }
            Ok(Artifact { store: s3(bucket, String::new(), flags)?, path: key })
        }
    }
}

/// The destination, or the part of one, that `location` names.
///
/// Paths are named below the last `/` of a URL, so that they are what `backup.path` is below a
/// `BackupStorage` of that prefix.
pub fn destination(location: &str, flags: &StorageFlags) -> Result<Destination> {
    match parse(location)? {
        Location::Local(path) => {
            refuse_flags(location, flags)?;
            if path.is_file() {
                let message = format!("{location} is a file; name the folder that it lies in");
                return Err(Fault::new(Stage::Resolve, Reason::InvalidSpec, message));
            }
            Ok(Destination { store: Arc::new(Folder::new(path)), prefix: String::new() })
        }
        Location::S3 { bucket, key } => {
            let (root, prefix) = key.split_at(key.rfind('/').map_or(0, |slash| slash + 1));
            let store = s3(bucket, root.to_owned(), flags)?;
            Ok(Destination { store, prefix: prefix.to_owned() })
        }
    }
}

/// Takes a location apart. Keys stand in URLs as they are stored, without any encoding.
fn parse(location: &str) -> Result<Location> {
    let invalid = |message: String| Err(Fault::new(Stage::Resolve, Reason::InvalidSpec, message));
    if location.is_empty() {
        return invalid("the path or URL is empty".to_owned());
    }
    let Some((scheme, rest)) = location.split_once("://") else {
        return Ok(Location::Local(PathBuf::from(location)));
    };
    if scheme.contains('/') {
        return Ok(Location::Local(PathBuf::from(location)));
    }
    if !scheme.eq_ignore_ascii_case("s3") {
        return invalid(format!("{location} is neither a local path nor an s3:// URL"));
    }
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return invalid(format!("{location} names no bucket: s3://BUCKET/KEY"));
    }
    if bucket.contains('@') {
        // It would be shown with the bucket's name from here on.
        return invalid(
            "credentials do not belong into a URL; AWS's environment variables and profiles are read"
                .to_owned(),
        );
    }
    Ok(Location::S3 { bucket: bucket.to_owned(), key: key.to_owned() })
}

fn no_file(location: &str) -> Fault {
    let message = format!("{location} names no file; `reinstate list` shows the backups in it");
    Fault::new(Stage::Resolve, Reason::InvalidSpec, message)
}

/// The folder of a file; the current one for a bare name.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Flags that would silently do nothing are a mistake that is told.
fn refuse_flags(location: &str, flags: &StorageFlags) -> Result<()> {
    if *flags == StorageFlags::default() {
        return Ok(());
    }
    let message = format!(
        "--endpoint, --region, --path-style and --ca-file belong to s3:// URLs; {location} is a local path"
    );
    Err(Fault::new(Stage::Resolve, Reason::InvalidSpec, message))
}

fn s3(bucket: String, prefix: String, flags: &StorageFlags) -> Result<Arc<dyn Store>> {
    let StorageFlags { endpoint, region, path_style, ca_file } = flags;
    let ca_pem = ca_file.as_deref().map(read_ca).transpose()?;
    let store = S3::connect(S3Options {
        bucket,
        prefix,
        endpoint: endpoint.clone(),
        region: region.clone(),
        force_path_style: *path_style,
        ca_pem,
        ..S3Options::default()
    })?;
    Ok(Arc::new(store))
}

fn read_ca(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).map_err(|error| {
        let message = format!("failed to read the CA file {}", file.display());
        Fault::new(Stage::Resolve, Reason::InvalidSpec, message).caused_by(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_urls_are_told_apart_and_keys_stay_as_they_are() {
        let s3 = |bucket: &str, key: &str| Location::S3 { bucket: bucket.into(), key: key.into() };
        for (text, location) in [
            ("backup.sql", Location::Local("backup.sql".into())),
            ("/srv/a b/backup.sql", Location::Local("/srv/a b/backup.sql".into())),
            ("./odd://name", Location::Local("./odd://name".into())),
            ("s3:backup", Location::Local("s3:backup".into())),
            ("s3://bucket", s3("bucket", "")),
            ("s3://bucket/", s3("bucket", "")),
            ("S3://bucket/a b+c%2Fd/é?x#y", s3("bucket", "a b+c%2Fd/é?x#y")),
            ("s3://bucket//double", s3("bucket", "/double")),
        ] {
            assert_eq!(parse(text).unwrap(), location, "{text}");
        }
        for text in ["", "s3://", "s3:///key", "https://host/key", "ftp://x", "s3://id:secret@bucket/key"] {
            let fault = parse(text).unwrap_err();
            assert_eq!(fault.reason, Reason::InvalidSpec, "{text}");
            assert!(!fault.message.contains("secret"), "{}", fault.message);
        }
    }

    #[test]
    fn a_backup_is_a_file_and_flags_of_s3_are_for_s3() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.sql");
        std::fs::write(&file, "x").unwrap();
        let none = StorageFlags::default();
        let found = artifact(file.to_str().unwrap(), &none).unwrap();
        assert_eq!((found.path.as_str(), found.store.stat("a.sql").unwrap().size), ("a.sql", 1));
        let region = StorageFlags { region: Some("r".into()), ..none.clone() };
        let (file, folder) = (file.to_str().unwrap(), folder.path().to_str().unwrap());
        for (case, flags) in
            [(folder, &none), ("s3://bucket", &none), ("s3://b/dir/", &none), ("..", &none), (file, &region)]
        {
            let fault = artifact(case, flags).map(|_| ()).unwrap_err();
            assert_eq!(fault.reason, Reason::InvalidSpec, "{case}: {}", fault.message);
        }
        assert_eq!(destination(file, &none).map(|_| ()).unwrap_err().reason, Reason::InvalidSpec);
        assert_eq!(destination(folder, &none).unwrap().store.list("", 9).unwrap().len(), 1);
    }

    #[test]
    fn a_url_is_split_where_its_folder_ends() {
        let flags = StorageFlags {
            region: Some("r".into()),
            endpoint: Some("http://127.0.0.1:1".into()),
            ..StorageFlags::default()
        };
        for (url, root, prefix) in [
            ("s3://b", "s3://b/", ""),
            ("s3://b/dbackup/", "s3://b/dbackup/", ""),
            ("s3://b/dbackup/shop/shop_2026", "s3://b/dbackup/shop/", "shop_2026"),
        ] {
            let found = destination(url, &flags).unwrap();
            assert_eq!((found.store.describe().as_str(), found.prefix.as_str()), (root, prefix), "{url}");
        }
    }
}
