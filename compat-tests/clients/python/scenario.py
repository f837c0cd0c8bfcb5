"""What the Python programs share: the records of the scenario, the JSON lines, the deadlines.

It must never import a client library.
"""

import json
import sys
import time

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
TOPICS = ["shared", "kept", *CODECS, "in", "out"]
TO_COPY = 5000
COPIER_SESSION_MS = 6000
PATIENCE = 40.0
RETENTION_BEFORE = "3600000"
RETENTION_AFTER = "7200000"


class Failed(Exception):
    """A check that did not hold."""


def say(line):
    print(json.dumps(line), flush=True)


def passed(check):
    say({"check": check, "ok": True})


def expect_equal(got, wanted, what):
    if got != wanted:
        raise Failed(f"{what}: got {got!r}, wanted {wanted!r}")


def until(what, ask):
    """Asks until the answer is true, and gives it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise Failed(f"not within {PATIENCE} s: {what}")
        time.sleep(0.05)


def records(codec):
    """The hundred records of a codec: (key, value, headers)."""
    made = []
    for number in range(100):
        key = f"k{number % 7}".encode()
        value = f"{codec} {number} ".encode() + b"lorem ipsum " * 20
        headers = [("codec", codec.encode()), ("n", str(number).encode())]
        if number == 50:
            value = None
        elif number == 51:
            key = None
        elif number == 52:
            key, value = b"", b""
        elif number == 53:
            value = bytes(range(256))
        made.append((key, value, headers))
    return made


def words(word, first, end):
    """The values of a check of transactions: its word and a number."""
    return [f"{word} {number}" for number in range(first, end)]


def values_of(word, values):
    """What was read of a check, in order, up to the record that ends it."""
    return [value for value in values[: values.index(f"{word} end")] if value.startswith(f"{word} ")]


def run(client, version, phases):
    """Runs the phase that the command line names and ends the process."""
    phase, bootstrap, name = sys.argv[1:4]
    try:
        phases[phase](bootstrap, name)
    except Exception as error:  # whatever it is, it is the result
        say({"check": phase, "ok": False, "detail": f"{type(error).__name__}: {error}"})
        raise
    say({"client": client, "version": version, "phase": phase})
