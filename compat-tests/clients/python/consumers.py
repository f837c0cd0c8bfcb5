"""librdkafka (confluent-kafka) in groups of either group.protocol: each check says so in a line of its own.

It must never wait without a deadline, nor look at a topic or group that is not its own.
"""

import json
import os
import signal
import subprocess
import sys
import time
import traceback

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

PATIENCE = 60
BOOTSTRAP, PROTOCOL = sys.argv[1:3]
CLASSIC = {
    "group.protocol": "classic",
    "partition.assignment.strategy": "cooperative-sticky",
    "heartbeat.interval.ms": 300,
    "session.timeout.ms": 6000,
}
ADMIN = AdminClient({"bootstrap.servers": BOOTSTRAP})


class Member:
    """A consumer with the calls of its listeners."""

    def __init__(self, group, topics, **settings):
        fixed = {
            "bootstrap.servers": BOOTSTRAP,
            "group.id": group,
            **(CLASSIC if PROTOCOL == "classic" else {"group.protocol": "consumer"}),
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "topic.metadata.refresh.interval.ms": 500,
        }
        self.consumer = Consumer({**fixed, **{name.replace("_", "."): value for name, value in settings.items()}})
        self.calls = []
        self.records = []
        self.error = None

        def call(what):
            return lambda _, partitions: self.calls.append((what, names(partitions)))

        self.consumer.subscribe(
            topics, on_assign=call("assigned"), on_revoke=call("revoked"), on_lost=call("lost")
        )

    def poll(self):
        message = self.consumer.poll(0.02)
        if message is None:
            return
        if message.error():
            self.error = message.error()
        else:
            self.records.append(message)

    def has(self):
        return names(self.consumer.assignment())

    def close(self):
        self.consumer.close()


def names(partitions):
    return sorted(f"{partition.topic}-{partition.partition}" for partition in partitions)


def create(topic, partitions):
    ADMIN.create_topics([NewTopic(topic, partitions, 1)])[topic].result(PATIENCE)


def produce(topic, partition, values):
    producer = Producer({"bootstrap.servers": BOOTSTRAP})
    for value in values:
        producer.produce(topic, str(value), partition=partition)
    assert producer.flush(PATIENCE) == 0


def until(what, holds, *members):
    end = time.monotonic() + PATIENCE
    while not holds():
        for member in members:
            member.poll()
        if time.monotonic() > end:
            told = [(member.has(), member.calls, str(member.error)) for member in members]
            raise AssertionError(f"no {what}: {told}")


def halves(topic, partitions, *members):
    """All partitions, in parts of the same size."""
    every = sorted(f"{topic}-{index}" for index in range(partitions))
    each = partitions // len(members)
    return lambda: (
        all(len(member.has()) == each for member in members)
        and sorted(name for member in members for name in member.has()) == every
    )


def join_and_leave():
    create("pj", 4)
    first = Member("pj", ["pj"])
    until("first assignment", halves("pj", 4, first), first)
    second = Member("pj", ["pj"])
    until("halves", halves("pj", 4, first, second), first, second)
    assert ("revoked", second.has()) in first.calls, first.calls
    second.close()
    until("all again", halves("pj", 4, first), first)
    first.close()


def static_restart():
    create("ps", 4)
    other = Member("ps", ["ps"])
    member = Member("ps", ["ps"], group_instance_id="one")
    until("halves", halves("ps", 4, other, member), other, member)
    had, calls = member.has(), len(other.calls)
    twin = Member("ps", ["ps"], group_instance_id="one")
    until("refusal of a twin", lambda: twin.error is not None, twin, other, member)
    assert twin.error.code() in (KafkaError.UNRELEASED_INSTANCE_ID, KafkaError._FATAL), twin.error
    twin.close()
    member.close()
    again = Member("ps", ["ps"], group_instance_id="one")
    until("what it had", lambda: again.has() == had, again, other)
    assert len(other.calls) == calls, other.calls
    again.close()
    other.close()


def static_restart_fences():
    """The newer of two members with one name stays, and the older is told."""
    create("ps", 4)
    other = Member("ps", ["ps"])
    member = Member("ps", ["ps"], group_instance_id="one")
    until("halves", halves("ps", 4, other, member), other, member)
    had, calls = member.has(), len(other.calls)
    member.close()
    again = Member("ps", ["ps"], group_instance_id="one")
    until("what it had", lambda: again.has() == had, again, other)
    twin = Member("ps", ["ps"], group_instance_id="one")
    until("what the older had", lambda: twin.has() == had, twin, other)
    until("the end of the older", lambda: again.error is not None, again, twin, other)
    assert again.error.code() in (KafkaError.FENCED_INSTANCE_ID, KafkaError._FATAL), again.error
    assert len(other.calls) == calls, other.calls
    for each in (again, twin, other):
        each.close()


def eager():
    create("pe", 4)
    first = Member("pe", ["pe"], partition_assignment_strategy="range")
    until("first assignment", halves("pe", 4, first), first)
    every = first.has()
    second = Member("pe", ["pe"], partition_assignment_strategy="range")
    until("halves", halves("pe", 4, first, second), first, second)
    assert first.calls == [("assigned", every), ("revoked", every), ("assigned", first.has())], first.calls
    second.close()
    first.close()


def crash():
    create("pc", 2)
    first = Member("pc", ["pc"])
    until("first assignment", halves("pc", 2, first), first)
    child = subprocess.Popen([sys.executable, __file__, BOOTSTRAP, PROTOCOL, "member", "pc"])
    until("one left", lambda: len(first.has()) == 1, first)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    until("all again", halves("pc", 2, first), first)
    first.close()


def member_until_killed(topic):
    member = Member(topic, [topic])
    while True:
        member.poll()


def pattern():
    create("pp-a", 1)
    create("pp-b", 2)
    member = Member("pp", ["^pp-.*"])
    until("topics of the pattern", lambda: len(member.has()) == 3, member)
    create("pp-c", 1)
    until("a new topic", lambda: len(member.has()) == 4, member)
    member.close()


def pause_and_seek():
    create("pw", 2)
    for partition in (0, 1):
        produce("pw", partition, range(10))
    member = Member("pw", ["pw"])
    until("records", lambda: len(member.records) == 20, member)
    paused = TopicPartition("pw", 0)
    member.consumer.pause([paused])
    produce("pw", 0, range(5))
    produce("pw", 1, range(5))
    until("records of the other", lambda: len(member.records) == 25, member)
    assert sum(record.partition() == 0 for record in member.records) == 10
    member.consumer.resume([paused])
    until("the rest", lambda: len(member.records) == 30, member)
    member.records.clear()
    member.consumer.seek(TopicPartition("pw", 0, 5))
    until("records again", lambda: len(member.records) == 10, member)
    assert member.records[0].offset() == 5
    member.close()


def commit_and_resume():
    create("pr", 1)
    produce("pr", 0, range(10))
    member = Member("pr", ["pr"])
    until("records", lambda: len(member.records) == 10, member)
    member.consumer.commit(offsets=[TopicPartition("pr", 0, 4)], asynchronous=False)
    member.close()
    member = Member("pr", ["pr"])
    until("the rest", lambda: len(member.records) == 6, member)
    assert member.records[0].offset() == 4
    member.close()


def new_partitions():
    create("pn", 1)
    member = Member("pn", ["pn"])
    until("assignment", lambda: len(member.has()) == 1, member)
    ADMIN.create_partitions([NewPartitions("pn", 3)])["pn"].result(PATIENCE)
    until("new partitions", lambda: len(member.has()) == 3, member)
    member.close()


def migration():
    create("pm", 4)
    classic = {"group_protocol": "classic", "partition_assignment_strategy": "cooperative-sticky"}
    old = Member("pm", ["pm"], **classic)
    until("assignment", halves("pm", 4, old), old)
    fresh = Member("pm", ["pm"])
    until("halves", halves("pm", 4, old, fresh), old, fresh)
    fresh.close()
    until("all again", halves("pm", 4, old), old)
    old.close()


CHECKS = [
    ("join and leave", join_and_leave),
    ("static restart", static_restart),
    ("crash", crash),
    ("pattern", pattern),
    ("pause and seek", pause_and_seek),
    ("commit and resume", commit_and_resume),
    ("new partitions", new_partitions),
    ("migration", migration),
]

CLASSIC_CHECKS = [
    ("join and leave", join_and_leave),
    ("eager", eager),
    ("static restart", static_restart_fences),
    ("crash", crash),
    ("pattern", pattern),
    ("pause and seek", pause_and_seek),
    ("commit and resume", commit_and_resume),
    ("new partitions", new_partitions),
]


def main():
    if sys.argv[3:4] == ["member"]:
        member_until_killed(sys.argv[4])
    good = True
    for name, check in CLASSIC_CHECKS if PROTOCOL == "classic" else CHECKS:
        passed = True
        try:
            check()
        except (AssertionError, KafkaException) as error:
            passed = good = False
            traceback.print_exception(error)
        print(json.dumps({"check": name, "ok": passed}), flush=True)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
