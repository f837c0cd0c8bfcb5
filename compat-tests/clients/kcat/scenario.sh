#!/bin/bash
# The scenario of ../README.md with kcat, librdkafka's command-line program.
# It must never check anything that README.md does not list. kcat has no administration: topics come into being when they
# are first written to, with one partition, and what it cannot ask for is left out.
set -euo pipefail

phase=$1 bootstrap=$2 name=$3
work=$(mktemp -d)
members=()
trap 'for member in "${members[@]}"; do kill "$member" 2>/dev/null || true; done; rm -rf "$work"' EXIT

passed() { printf '{"check": "%s", "ok": true}\n' "$1"; }
fail() { printf '{"check": "%s", "ok": false, "detail": "%s"}\n' "$phase" "$1"; exit 1; }
expect_equal() { [[ $1 == "$2" ]] || fail "$3: got ${1//[$'\n\t"\\']/ }, wanted ${2//[$'\n\t"\\']/ }"; }

# until <what> <command...>: asks until the command succeeds
until_true() {
    local what=$1 deadline=$((SECONDS + 40))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || fail "not within 40 s: $what"
        sleep 0.05
    done
}

records() { for number in {0..99}; do printf 'k%d\t%s %d lorem ipsum lorem ipsum lorem ipsum\n' $((number % 7)) "$1" "$number"; done; }
with_headers() { records "$1" | sed "s/\$/\tcodec=$1,n=1/"; }

read_all() { timeout 40 kcat -b "$bootstrap" -C -q -t "$1" -p 0 -o beginning -e -f '%k\t%s\t%h\n'; }
written() { [[ -s $1 ]] && (($(wc -l < "$1") >= $2)); }
assigned() { grep -q "assigned: $name-shared" "$1"; }

phase1() {
    expect_equal "$(timeout 40 kcat -b "$bootstrap" -L | sed -n 's/^  broker [0-9]* at \([^ ]*\).*/\1/p')" "$bootstrap" "the brokers"
    passed cluster

    for codec in none gzip snappy lz4 zstd; do
        records "$codec" | timeout 40 kcat -b "$bootstrap" -P -t "$name-$codec" -p 0 -K $'\t' -z "$codec" \
            -X enable.idempotence=true -X linger.ms=20 -H "codec=$codec" -H n=1
        expect_equal "$(read_all "$name-$codec")" "$(with_headers "$codec")" "the records of $codec"
        passed "codec $codec"
    done

    for number in {0..9}; do echo "kept $number"; done | timeout 40 kcat -b "$bootstrap" -P -t "$name-kept" -p 0
    expect_equal "$(offsets -2) $(offsets -1)" "0 10" "the first and last offset"
    passed "list offsets"
    # A group reader that ends after seven records commits what it read.
    timeout 40 kcat -b "$bootstrap" -q -G "$name-keeper" -c 7 -X auto.offset.reset=earliest "$name-kept" > "$work/seven"
    expect_equal "$(tail -n 1 "$work/seven")" "kept 6" "the last record before the commit"
    passed commit
    group
}

# offsets <time>: -2 is the first, -1 the last
offsets() { timeout 40 kcat -b "$bootstrap" -Q -t "$name-kept:0:$1" | sed 's/.*offset //'; }

# The topic has one partition, so one of two members holds it and the other takes it over.
group() {
    echo before | timeout 40 kcat -b "$bootstrap" -P -t "$name-shared" -p 0
    join first
    until_true "the first member's record" written "$work/first" 1
    join second
    until_true "the second member joins" grep -qs assigned "$work/second.log"
    local holder=first other=second
    if assigned "$work/second.log"; then holder=second other=first; fi
    kill "$(< "$work/$holder.pid")"
    until_true "the partition goes to the other" eval "tail -n 1 '$work/$other.log' | grep -q 'assigned: $name-shared'"
    echo after | timeout 40 kcat -b "$bootstrap" -P -t "$name-shared" -p 0
    until_true "the record after" grep -q after "$work/$other"
    expect_equal "$(cat "$work/first" "$work/second" | sort)" $'after\nbefore' "the records of both"
    passed "two members"
    passed "one member left"
}

join() {
    kcat -b "$bootstrap" -u -G "$name-members" -X auto.offset.reset=earliest -X session.timeout.ms=10000 \
        -X heartbeat.interval.ms=500 -X auto.commit.interval.ms=100 "$name-shared" > "$work/$1" 2> "$work/$1.log" &
    echo $! > "$work/$1.pid"
    members+=($!)
}

phase2() {
    timeout 40 kcat -b "$bootstrap" -q -G "$name-keeper" -c 3 -X auto.offset.reset=earliest "$name-kept" > "$work/rest"
    expect_equal "$(< "$work/rest")" $'kept 7\nkept 8\nkept 9' "the records after the commit"
    passed resume
    for codec in none gzip snappy lz4 zstd; do
        expect_equal "$(read_all "$name-$codec")" "$(with_headers "$codec")" "the records of $codec"
    done
    passed "kept records"
}

"$phase"
# "Version 1.7.1 (JSON, ..., librdkafka 2.0.2 builtin.features=...)"
version=$(kcat -V 2>&1 | sed -n 's/^Version \([^ ]*\) .*librdkafka \([^ ]*\) .*/\1, librdkafka \2/p')
printf '{"client": "kcat", "version": "%s", "phase": "%s"}\n' "$version" "$phase"
