//! What a plan asks of the reader of the backup.

use crate::plan::{Compression, Content, Format, RestorePlan};
use crate::reason::Reason;
use crate::runner::codec::Codec;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::DumpFormat;
use crate::runner::read::{Options, Scope};

/// The options of `plan`.
pub(super) fn options(plan: &RestorePlan) -> Result<Options> {
    let checksum = plan.backup.sha256.as_ref().map(|text| {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map(|()| bytes).map_err(|_| {
            Fault::new(
                Stage::Resolve,
                Reason::InvalidSpec,
                "backup.checksum.sha256 is not 64 hexadecimal digits",
            )
        })
    });
    let scope = match &plan.target {
        None => Scope::Everything,
        Some(target) if target.databases.is_empty() => Scope::Databases(None),
        Some(target) => Scope::Databases(Some(target.databases.iter().map(|row| row.from.clone()).collect())),
    };
    Ok(Options {
        scope,
        compression: match plan.backup.compression {
            Compression::Auto => None,
            Compression::None => Some(Codec::None),
            Compression::Gzip => Some(Codec::Gzip),
            Compression::Brotli => Some(Codec::Brotli),
            Compression::Zstd => Some(Codec::Zstd),
        },
        format: dump_format(plan.backup.format),
        checksum: checksum.transpose()?,
        allow_unproven: plan.backup.allow_unproven,
        digests: plan.content == Content::Digest,
        ..Options::default()
    })
}

fn dump_format(format: Format) -> Option<DumpFormat> {
    match format {
        Format::Auto | Format::DBackup => None,
        Format::PostgresPlain => Some(DumpFormat::PostgresPlain),
        Format::PostgresArchive => Some(DumpFormat::PostgresArchive),
        Format::MySQLDump => Some(DumpFormat::MySQLDump),
        Format::Mydumper => Some(DumpFormat::Mydumper),
        Format::MongoArchive => Some(DumpFormat::MongoArchive),
        Format::SQLiteFile => Some(DumpFormat::SQLiteFile),
        Format::SQLiteDump => Some(DumpFormat::SQLiteDump),
        Format::SQLServerBak => Some(DumpFormat::SQLServerBak),
    }
}
