"""kafka-python in groups: the checks of README.md, "Groups".

It must never check anything that README.md beside it does not list. A member polls on a thread of its own, as the library wants
it, and what else is asked of its consumer is done there between two polls.
"""

import queue
import subprocess
import sys
import threading

import kafka
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import FencedInstanceIdError
from kafka.structs import OffsetAndMetadata

import scenario
from scenario import PATIENCE, expect_equal, passed, until

# A join that comes to its end between two polls is done once more by the library, so polls are longer than a join takes.
POLL_MS = 1000


def names(partitions):
    return sorted(f"{one.topic}-{one.partition}" for one in partitions)


class Member(ConsumerRebalanceListener):
    def __init__(self, bootstrap, group, topic=None, pattern=None, assignor=RangePartitionAssignor, instance=None):
        self.calls, self.records, self.answer = [], [], None
        self.orders, self.leaving = queue.Queue(), threading.Event()
        self.consumer = KafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id=group,
            group_instance_id=instance,
            partition_assignment_strategy=[assignor],
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            session_timeout_ms=6000,
            heartbeat_interval_ms=300,
            metadata_max_age_ms=1000,
        )
        self.consumer.subscribe(topics=[topic] if topic else (), pattern=pattern, listener=self)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def on_partitions_assigned(self, assigned):
        self.calls.append(("assigned", names(assigned)))

    def on_partitions_revoked(self, revoked):
        self.calls.append(("revoked", names(revoked)))

    def on_partitions_lost(self, lost):
        self.calls.append(("lost", names(lost)))

    def changes(self):
        """What it was told beside "nothing has changed"."""
        return [call for call in list(self.calls) if call[1]]

    def run(self):
        while not self.leaving.is_set():
            while not self.orders.empty():
                self.answer = self.orders.get()(self.consumer)
                self.orders.task_done()
            for records in self.consumer.poll(POLL_MS).values():
                self.records.extend(records)
        self.consumer.close()

    def do(self, order):
        self.orders.put(order)
        self.orders.join()
        return self.answer

    def has(self):
        return names(set(self.consumer.assignment()))

    def leave(self):
        self.leaving.set()
        self.thread.join(PATIENCE)


def halves(*members):
    return lambda: all(len(member.has()) == 4 // len(members) for member in members) and len(
        {one for member in members for one in member.has()}
    ) == 4


def create(bootstrap, topic, partitions):
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics({topic: {"num_partitions": partitions, "replication_factor": 1}}, wait_for_metadata=True)
    admin.close()


def produce(bootstrap, topic, partition, count):
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    for sent in [producer.send(topic, str(number).encode(), partition=partition) for number in range(count)]:
        sent.get(PATIENCE)
    producer.close()


def eager(bootstrap, topic):
    create(bootstrap, topic, 4)
    first = Member(bootstrap, topic, topic)
    until("all", halves(first))
    every = first.has()
    second = Member(bootstrap, topic, topic)
    until("halves", halves(first, second))
    expect_equal(
        first.changes(), [("assigned", every), ("revoked", every), ("assigned", first.has())], "its calls"
    )
    second.leave()
    until("all again", halves(first))
    first.leave()


def cooperative(bootstrap, topic):
    create(bootstrap, topic, 4)
    first = Member(bootstrap, topic, topic, assignor=CooperativeStickyAssignor)
    until("all", halves(first))
    every = first.has()
    second = Member(bootstrap, topic, topic, assignor=CooperativeStickyAssignor)
    until("halves", halves(first, second))
    expect_equal(first.changes(), [("assigned", every), ("revoked", second.has())], "its calls")
    expect_equal(second.changes(), [("assigned", second.has())], "the other's calls")
    second.leave()
    until("all again", halves(first))
    first.leave()


def crash(bootstrap, topic):
    create(bootstrap, topic, 4)
    first = Member(bootstrap, topic, topic)
    until("all", halves(first))
    child = subprocess.Popen([sys.executable, __file__, "member", bootstrap, topic])
    until("one left", lambda: len(first.has()) == 2)
    child.kill()
    child.wait()
    until("all again", halves(first))
    first.leave()


def static_restart(bootstrap, topic):
    create(bootstrap, topic, 4)
    other = Member(bootstrap, topic, topic)
    one = Member(bootstrap, topic, topic, instance="one")
    until("halves", halves(other, one))
    had, calls = one.has(), list(other.calls)
    one.leave()
    again = Member(bootstrap, topic, topic, instance="one")
    until("what it had", lambda: again.has() == had)
    twin = Member(bootstrap, topic, topic, instance="one")
    until("what the older had", lambda: twin.has() == had)
    # The library stops reporting when it is told, and tells its caller at the next commit.
    until("the end of the older", lambda: again.do(is_fenced))
    expect_equal(other.calls, calls, "the other's calls")
    again.leave()
    twin.leave()
    other.leave()


def is_fenced(consumer):
    try:
        consumer.commit({one: OffsetAndMetadata(0, "", -1) for one in consumer.assignment()})
    except FencedInstanceIdError:
        return True
    return False


def pattern(bootstrap, topic):
    create(bootstrap, f"{topic}-a", 1)
    create(bootstrap, f"{topic}-b", 2)
    one = Member(bootstrap, topic, pattern=f"^{topic}-.*")
    until("topics of the pattern", lambda: len(one.has()) == 3)
    create(bootstrap, f"{topic}-c", 1)
    until("a new topic", lambda: len(one.has()) == 4)
    one.leave()


def pause_and_seek(bootstrap, topic):
    create(bootstrap, topic, 2)
    for partition in (0, 1):
        produce(bootstrap, topic, partition, 10)
    one = Member(bootstrap, topic, topic)
    until("records", lambda: len(one.records) == 20)
    paused = TopicPartition(topic, 0)
    one.do(lambda consumer: consumer.pause(paused))
    for partition in (0, 1):
        produce(bootstrap, topic, partition, 5)
    until("records of the other", lambda: len(one.records) == 25)
    expect_equal(sum(record.partition == 0 for record in one.records), 10, "records of the paused one")
    one.do(lambda consumer: consumer.resume(paused))
    until("the rest", lambda: len(one.records) == 30)
    one.records.clear()
    one.do(lambda consumer: consumer.seek(paused, 5))
    until("records again", lambda: len(one.records) == 10)
    expect_equal(one.records[0].offset, 5, "the first of them")
    one.leave()


CHECKS = {
    "eager": eager,
    "cooperative": cooperative,
    "crash": crash,
    "static restart": static_restart,
    "pattern": pattern,
    "pause and seek": pause_and_seek,
}


def groups(bootstrap, name):
    for check, run in CHECKS.items():
        run(bootstrap, f"{name}-{check.replace(' ', '-')}")
        passed(check)


def member(bootstrap, topic):
    Member(bootstrap, topic, topic).thread.join()


scenario.run("kafka-python", kafka.__version__, {"groups": groups, "member": member})
