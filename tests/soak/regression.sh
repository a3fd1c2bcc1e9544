#!/usr/bin/env bash
# Restores the hardest database there is, the one that PostgreSQL 15's own regression suite leaves, and
# compares it with what psql and pg_restore make of the same dumps.
#
# The suite is of Debian's source package; tests/run.sh has brought the server. What is made is kept in
# ${XDG_CACHE_HOME:-~/.cache}/reinstate/regression. As root, missing packages are installed with apt.
# Usage: tests/soak/regression.sh [arguments of cargo test] (default: --release)
set -euo pipefail
cd "$(dirname "$0")/../.."
cache="${XDG_CACHE_HOME:-$HOME/.cache}/reinstate"
server="$cache/bin/postgres/15"
made="$cache/regression"
port=54015

say() { printf '%s\n' "tests/soak/regression: $*" >&2; }

# The servers refuse root; nobody may look everywhere, because a cache below root's home is closed.
unprivileged() {
    if [ "$(id -u)" -ne 0 ]; then
        "$@"
        return
    fi
    setpriv --reuid=65534 --regid=65534 --clear-groups --securebits=+no_setuid_fixup \
        --inh-caps=+dac_read_search --ambient-caps=+dac_read_search -- "$@"
}

give_away() { [ "$(id -u)" -ne 0 ] || chown -R 65534:65534 "$1"; }

install_tools() {
    [ -x /usr/lib/postgresql/15/lib/pgxs/src/test/regress/pg_regress ] && return
    if [ "$(id -u)" -ne 0 ]; then
        say "please install postgresql-server-dev-15"
        exit 1
    fi
    say "installing postgresql-server-dev-15"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql-server-dev-15 >&2
}

# The sources by the machine's own mirror, in an apt state beside the machine's: the newest version that the
# mirror still has.
sources() {
    local apt="$work/apt" list version
    mkdir -p "$apt/lists/partial" "$apt/parts"
    for list in /etc/apt/sources.list.d/debian*.sources; do
        [ ! -e "$list" ] || sed 's/^Types:.*/Types: deb-src/' "$list" >"$apt/parts/$(basename "$list")"
    done
    [ ! -s /etc/apt/sources.list ] || sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >"$apt/parts/machine.list"
    local options=(-o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$apt/parts"
        -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt" -o Acquire::Languages=none -o APT::Sandbox::User=)
    apt-get "${options[@]}" -qq update
    for version in $(apt-cache "${options[@]}" showsrc postgresql-15 2>/dev/null | sed -n 's/^Version: //p' | sort -rV); do
        (cd "$work" && apt-get "${options[@]}" -qq source --download-only "postgresql-15=$version") || continue
        mkdir "$work/source"
        tar -xf "$work"/postgresql-15_*.orig.tar.bz2 -C "$work/source" --strip-components 1
        return
    done
    say "the mirror has no source package postgresql-15"
    exit 1
}

# Runs the suite, which is not to pass as a whole: some scripts need another build or a terminal.
suite() {
    local tests="$work/source/src/test/regress" folder="$made/suite"
    rm -rf "$folder"
    mkdir -p "$folder/out"
    cp -r "$tests"/{sql,expected,data,parallel_schedule,resultmap} "$folder/"
    cc -shared -fPIC -O1 -I"$("$server/bin/pg_config" --includedir-server)" "$tests/regress.c" -o "$folder/regress.so"
    give_away "$folder"
    (cd "$folder" && unprivileged "$(dirname "$("$server/bin/pg_config" --pgxs)")/../test/regress/pg_regress" \
        --bindir="$server/bin" --dlpath="$folder" --inputdir="$folder" --outputdir="$folder/out" \
        --temp-instance="$folder/server" --port="$port" --encoding=SQL_ASCII --no-locale \
        --schedule="$folder/parallel_schedule" --max-connections=8 >"$folder/suite.log" 2>&1) || true
    tail -n 12 "$folder/suite.log" >&2
    # A few scripts fail (9 of 217 when this was written); a suite that broke off leaves another database.
    grep -qE '^ *(1?[0-9] of [0-9]+ tests failed|All [0-9]+ tests passed)' "$folder/suite.log" || {
        printf '%s\n' "the regression suite did not run to its end, see $folder/suite.log" >&2
        exit 1
    }
}

# Both forms of the dump, and the roles that it names.
dumps() {
    local folder="$made/suite"
    unprivileged "$server/bin/pg_ctl" -w -s -D "$folder/server/data" -l "$folder/server.log" \
        -o "-p $port -k $folder -c listen_addresses= -c fsync=off" start
    trap 'unprivileged "$server/bin/pg_ctl" -s -m immediate -D "$made/suite/server/data" stop; rm -rf "$work"' EXIT
    local who
    who="$(unprivileged id -un)"
    local connection=(--host="$folder" --port="$port" --username="$who")
    unprivileged "$server/bin/pg_dump" "${connection[@]}" regression >"$work/regression.sql"
    unprivileged "$server/bin/pg_dump" "${connection[@]}" --format=custom regression >"$work/regression.dump"
    unprivileged "$server/bin/pg_dump" "${connection[@]}" --no-owner --no-privileges regression >"$work/source.sql"
    unprivileged "$server/bin/pg_dumpall" "${connection[@]}" --roles-only --no-role-passwords |
        grep -E "^(CREATE|ALTER) ROLE (regress|$who)" >"$work/roles.sql"
    unprivileged "$server/bin/pg_ctl" -w -s -m fast -D "$folder/server/data" stop
    trap 'rm -rf "$work"' EXIT
    rm -rf "$folder/server" "$folder/out"
    mv "$work"/{regression.sql,regression.dump,source.sql,roles.sql} "$folder/"
}

if ! [ -s "$made/suite/roles.sql" ]; then
    mkdir -p "$made"
    work="$(mktemp -d "$made/work.XXXXXX")"
    trap 'rm -rf "$work"' EXIT
    install_tools
    sources
    suite
    dumps
    rm -rf "$work"
    trap - EXIT
fi
[ "$#" -gt 0 ] || set -- --release
REINSTATE_SOAK_REGRESSION="$made/suite" \
    cargo test --locked "$@" --test it postgres::regression -- --ignored --nocapture
