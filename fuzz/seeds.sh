#!/usr/bin/env bash
# Makes the seed corpora in fuzz/corpus from tests/fixtures: small files, and the heads of larger ones.
set -euo pipefail
cd "$(dirname "$0")"
fixtures=../tests/fixtures
corpus=corpus
# Largest seed: libFuzzer mutates small inputs best, and -max_len follows from the largest.
limit=16384

for target in sidecar tar index envelope codec dump examine postgres_script postgres_archive; do
    mkdir -p "$corpus/$target"
done

# le32 NUMBER: four bytes, little-endian.
le32() {
    local i text=
    for i in 0 8 16 24; do
        text+=$(printf '\\x%02x' $((($1 >> i) & 255)))
    done
    printf '%b' "$text"
}

# with_byte BYTE FILE NAME: a seed whose first byte chooses what is done with the rest.
with_byte() {
    { printf '%b' "\\x$1"; head -c "$limit" "$2"; } >"$3"
}

# whole BYTE BACKUP META INDEX NAME: a backup with its sidecars; /dev/null is an absent one.
whole() {
    {
        printf '%b' "\\x$1"
        le32 "$(wc -c <"$3")"
        le32 "$(wc -c <"$4")"
        cat "$3" "$4" "$2"
    } >"$5"
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

while IFS= read -r -d '' meta; do
    backup=${meta%.meta.json}
    name=$(basename "$backup")
    index=$backup.index
    [ -e "$index" ] || index=/dev/null
    cp "$meta" "$corpus/sidecar/$name.json"
    # Without its checksum a changed backup gets further.
    grep -v '"checksum' "$meta" >"$scratch/meta"
    if [ "$(wc -c <"$backup")" -le 65536 ]; then
        whole 00 "$backup" "$scratch/meta" "$index" "$corpus/examine/$name"
        whole 0b "$backup" /dev/null /dev/null "$corpus/examine/$name.bare"
    fi
    case $name in
    *.gz) with_byte 01 "$backup" "$corpus/codec/$name" ;;
    *.br) with_byte 02 "$backup" "$corpus/codec/$name" ;;
    *.tar)
        head -c "$limit" "$backup" >"$corpus/tar/$name"
        # The manifest is the first member, with a header of 512 bytes.
        head -c 1024 "$backup" | tail -c +513 | tr -d '\0' >"$corpus/sidecar/$name.manifest"
        ;;
    *.db) with_byte 01 "$backup" "$corpus/dump/$name" ;;
    esac
    if gzip -dc "$index" >"$scratch/index" 2>/dev/null && [ -s "$scratch/index" ]; then
        cp "$scratch/index" "$corpus/index/$name"
    fi
done < <(find "$fixtures/dbackup" -name '*.meta.json' -print0)

for vector in "$fixtures"/age/*; do
    name=$(basename "$vector")
    # The age file follows the first empty line; large ones are compressed and left out.
    if [ "$name" = README.md ] || grep -aq '^compressed: ' "$vector"; then continue; fi
    sed '1,/^$/d' "$vector" >"$scratch/age"
    with_byte 00 "$scratch/age" "$corpus/envelope/$name"
    case $name in
    x25519* | armor_x25519 | stream_*) whole 05 "$scratch/age" /dev/null /dev/null "$corpus/examine/$name" ;;
    esac
done
head -c 100 /dev/zero >"$scratch/zeros"
with_byte 01 "$scratch/zeros" "$corpus/envelope/gcm"

# What the fixtures do not have: TARs with long names, zstd, SQL text of the .dump command.
mkdir "$scratch/folder"
for length in 1 90 150 250; do
    printf 'content of %s\n' "$length" >"$scratch/folder/$(printf "%${length}s" | tr ' ' n)"
done
for format in gnu pax ustar; do
    tar --format="$format" -C "$scratch" -cf "$corpus/tar/$format" folder/n 2>/dev/null
    tar --format="$format" -C "$scratch" -cf "$scratch/long" folder 2>/dev/null || true
    head -c "$limit" "$scratch/long" >"$corpus/tar/$format-long"
done
cat >"$scratch/dump.sql" <<'SQL'
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c BLOB);
INSERT INTO t VALUES(1,'it''s; text',X'00ff');
INSERT INTO "t" VALUES(2,NULL,-1.5e-3);
INSERT INTO t VALUES(3,replace('a\nb','\n',char(10)),unistr('\u000a'));
CREATE VIEW v AS SELECT a FROM t;
CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; DELETE FROM t WHERE a=9; END;
CREATE UNIQUE INDEX i ON t(b);
PRAGMA writable_schema=ON;
INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql)VALUES('table','f','f',0,'CREATE VIRTUAL TABLE f USING fts5(x)');
CREATE TABLE IF NOT EXISTS 'f_data'(id INTEGER PRIMARY KEY, block BLOB);
PRAGMA writable_schema=OFF;
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('t',3);
COMMIT;
SQL
with_byte 08 "$scratch/dump.sql" "$corpus/dump/sql"
sed 's/^COMMIT;/ROLLBACK; -- due to errors/' "$scratch/dump.sql" >"$scratch/broken.sql"
with_byte 08 "$scratch/broken.sql" "$corpus/dump/broken"
whole 00 "$scratch/dump.sql" /dev/null /dev/null "$corpus/examine/dump-sql"
gzip -9 -c "$scratch/dump.sql" >"$scratch/dump.gz"
with_byte 05 "$scratch/dump.gz" "$corpus/codec/gzip"
whole 00 "$scratch/dump.gz" /dev/null /dev/null "$corpus/examine/dump-gzip"
if command -v zstd >/dev/null; then
    zstd -q -c "$scratch/dump.sql" >"$scratch/dump.zst"
    with_byte 07 "$scratch/dump.zst" "$corpus/codec/zstd"
    whole 06 "$scratch/dump.zst" /dev/null /dev/null "$corpus/examine/dump-zstd"
fi

for dump in "$fixtures"/postgres/*.dump "$fixtures"/postgres/*.tar; do
    with_byte 3f "$dump" "$corpus/postgres_archive/$(basename "$dump")"
done
for dump in "$fixtures"/postgres/*.sql; do
    with_byte 3f "$dump" "$corpus/postgres_script/$(basename "$dump")"
done
cat >"$scratch/all.sql" <<'SQL'
\restrict x
SET client_encoding = 'UTF8';
SET standard_conforming_strings = off;
CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN 1 > 2 THEN 'a\';' END; END;
INSERT INTO public.t VALUES (1, E'\''), ($$;$$, $t$ $ $t$) /* ; /* */ */ -- ;
;
COPY public.t (a) FROM stdin;
1\
\N
\.
\unrestrict x
\encoding SQL_ASCII
\connect -reuse-previous=on "dbname='a b'"
SELECT 1;
SQL
with_byte 01 "$scratch/all.sql" "$corpus/postgres_script/all"
sed 's/UTF8/SJIS/' "$scratch/all.sql" >"$scratch/sjis.sql"
with_byte 01 "$scratch/sjis.sql" "$corpus/postgres_script/sjis"
