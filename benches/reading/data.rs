//! The backups that are read: SQL-like text that compresses as real dumps do, packed and sealed by
//! the tools that people use. The same bytes on every machine, but for the keys.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::measure::{number, output};

/// Seals with AES-256-GCM as DBackup does: 16-byte IV, the tag in the sidecar.
const SEAL_GCM: &str = r"
const fs = require('fs'), crypto = require('crypto'), {pipeline} = require('stream/promises');
const [input, compression] = process.argv.slice(2);
const key = Buffer.from(fs.readFileSync('master.key', 'utf8').trim(), 'hex');
const iv = Buffer.from('00112233445566778899aabbccddeeff', 'hex');
const cipher = crypto.createCipheriv('aes-256-gcm', key, iv), output = input + '.enc';
(async () => {
  await pipeline(fs.createReadStream(input), cipher, fs.createWriteStream(output));
  const hash = crypto.createHash('sha256');
  await pipeline(fs.createReadStream(output), hash);
  fs.writeFileSync(output + '.meta.json', JSON.stringify({
    version: 1, sourceType: 'postgres', compression, checksum: hash.digest('hex'),
    encryption: {enabled: true, profileId: 'bench', algorithm: 'aes-256-gcm', iv: iv.toString('hex'),
      authTag: cipher.getAuthTag().toString('hex')}}));
})();
";

/// Restores as products with staging do: each step writes a file that the next one reads.
const STAGED: &str = r"
const fs = require('fs'), os = require('os'), path = require('path'), zlib = require('zlib');
const crypto = require('crypto'), {pipeline} = require('stream/promises');
const input = process.argv[2], meta = JSON.parse(fs.readFileSync(input + '.meta.json'));
const key = Buffer.from(fs.readFileSync('master.key', 'utf8').trim(), 'hex');
const folder = fs.mkdtempSync('staged-'), at = name => path.join(folder, name);
(async () => {
  await pipeline(fs.createReadStream(input), fs.createWriteStream(at('download')));
  const hash = crypto.createHash('sha256');
  await pipeline(fs.createReadStream(at('download')), hash);
  if (hash.digest('hex') !== meta.checksum) throw new Error('checksum');
  const decipher = crypto.createDecipheriv('aes-256-gcm', key, Buffer.from(meta.encryption.iv, 'hex'));
  decipher.setAuthTag(Buffer.from(meta.encryption.authTag, 'hex'));
  await pipeline(fs.createReadStream(at('download')), decipher, fs.createWriteStream(at('plain')));
  const unzip = meta.compression === 'BROTLI' ? zlib.createBrotliDecompress() : zlib.createGunzip();
  await pipeline(fs.createReadStream(at('plain')), unzip, fs.createWriteStream(at('dump')));
  await pipeline(fs.createReadStream(at('dump')), process.stdout);
  fs.rmSync(folder, {recursive: true});
})();
";

/// Backups of one size in a folder of their own.
pub struct Data {
    /// The folder; `identity.txt` and `master.key` are the keys.
    pub folder: PathBuf,
    /// SHA-256 of the dump, as hex.
    pub sha256: String,
    /// MiB of the dump.
    pub mib: usize,
}

/// The folder of the data, below the build's own.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bench-reading")
}

/// Backups of `REINSTATE_BENCH_MIB`, made at the first use.
pub fn usual() -> Data {
    of_size(number("REINSTATE_BENCH_MIB", 256), Kinds::All)
}

/// Which backups are made.
#[derive(Clone, Copy, PartialEq)]
pub enum Kinds {
    /// gzip and zstd under age.
    Age,
    /// Those, and gzip and brotli under AES-256-GCM.
    All,
}

/// Backups of `mib` MiB, made at the first use.
pub fn of_size(mib: usize, kinds: Kinds) -> Data {
    let folder = root().join(format!("{mib}-mib"));
    if !folder.join("sha256").is_file() {
        println!("making the data of {mib} MiB …");
        make(&folder, mib, kinds);
    }
    let sha256 = std::fs::read_to_string(folder.join("sha256")).unwrap().trim().to_owned();
    Data { folder, sha256, mib }
}

/// Makes both keys in `folder`, and the script that seals with the second.
pub fn make_keys(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("seal.js"), SEAL_GCM).unwrap();
    std::fs::write(folder.join("staged.js"), STAGED).unwrap();
    output(folder, "rm -f identity.txt && age-keygen -o identity.txt 2>recipient.txt");
    output(folder, "age-keygen -y identity.txt > recipient.txt && openssl rand -hex 32 > master.key");
}

fn make(folder: &Path, mib: usize, kinds: Kinds) {
    make_keys(folder);
    write_dump(&folder.join("dump.sql"), mib * 1024 * 1024);
    output(
        folder,
        "gzip -6 -c dump.sql > dump.sql.gz && zstd -q -3 -f dump.sql
         for codec in gz zst; do age -R recipient.txt -o dump.sql.$codec.age dump.sql.$codec; done",
    );
    if kinds == Kinds::All {
        output(
            folder,
            "brotli -f -q 5 dump.sql && node seal.js dump.sql.gz GZIP && node seal.js dump.sql.br BROTLI",
        );
    }
    output(
        folder,
        "sha256sum < dump.sql | cut -d' ' -f1 > sha256.new
         rm -f dump.sql dump.sql.gz dump.sql.zst dump.sql.br && mv sha256.new sha256",
    );
}

/// Text like `pg_dump`'s: three parts that compress well, one that hardly does.
fn write_dump(path: &Path, bytes: usize) {
    let mut random = Random(0x5eed);
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
    let head = "--\n-- PostgreSQL database dump\n--\n\n-- Dumped from database version 15.18\n\nSET client_encoding = 'UTF8';\n\nCREATE TABLE public.events (id bigint NOT NULL, ref uuid, at timestamp, amount numeric, data jsonb, note text);\n\nCOPY public.events (id, ref, at, amount, data, note) FROM stdin;\n";
    file.write_all(head.as_bytes()).unwrap();
    let (mut written, mut line) = (head.len(), String::new());
    let mut id = 1_000_000;
    while written < bytes {
        line.clear();
        id += 1;
        write_row(&mut line, id, &mut random);
        file.write_all(line.as_bytes()).unwrap();
        written += line.len();
    }
    file.write_all(b"\\.\n\n--\n-- PostgreSQL database dump complete\n--\n\n").unwrap();
    file.flush().unwrap();
}

fn write_row(line: &mut String, id: u64, random: &mut Random) {
    const WORDS: [&str; 32] = [
        "order",
        "shipped",
        "customer",
        "asked",
        "for",
        "the",
        "invoice",
        "again",
        "delivery",
        "was",
        "late",
        "refund",
        "pending",
        "in",
        "warehouse",
        "until",
        "monday",
        "please",
        "call",
        "back",
        "address",
        "changed",
        "paid",
        "by",
        "card",
        "gift",
        "wrapped",
        "express",
        "returned",
        "damaged",
        "replaced",
        "thanks",
    ];
    let (a, b, c) = (random.next(), random.next(), random.next());
    let (day, second) = (1 + id / 40_000 % 28, id / 7 % 86_400);
    let status = WORDS[(a >> 32) as usize % 4];
    write!(
        line,
        "{id}\t{a:016x}-{c:016x}\t2026-11-{day:02} {:02}:{:02}:{:02}\t{}.{:02}\t{{\"status\": \"{status}\", \"items\": {}}}\t",
        second / 3600,
        second / 60 % 60,
        second % 60,
        a % 100_000,
        b % 100,
        b >> 40 & 7,
    )
    .unwrap();
    let mut choice = random.next();
    for _ in 0..8 + (b >> 50) % 5 {
        line.push_str(WORDS[(choice & 31) as usize]);
        line.push(' ');
        choice >>= 5;
    }
    line.push('\n');
}

/// `SplitMix64`: seeded, repeatable.
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
