"""aiokafka in groups: the checks of README.md, "Groups".

It must never check anything that README.md beside it does not list. aiokafka 0.14.0 has neither static members nor
cooperative rebalances.
"""

import asyncio
import subprocess
import sys
import time

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

import scenario
from scenario import Failed, PATIENCE, expect_equal, passed


def names(partitions):
    return sorted(f"{one.topic}-{one.partition}" for one in partitions)


class Member(ConsumerRebalanceListener):
    def __init__(self, bootstrap, group, topic=None, pattern=None):
        self.calls, self.records = [], []
        self.consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            session_timeout_ms=6000,
            heartbeat_interval_ms=300,
            metadata_max_age_ms=1000,
        )
        self.consumer.subscribe([topic] if topic else (), listener=self, pattern=pattern)
        self.task = asyncio.create_task(self.run())
        self.leaving = False

    def on_partitions_assigned(self, assigned):
        self.calls.append(("assigned", names(assigned)))

    def on_partitions_revoked(self, revoked):
        self.calls.append(("revoked", names(revoked)))

    async def run(self):
        async with self.consumer:
            while not self.leaving:
                for records in (await self.consumer.getmany(timeout_ms=50)).values():
                    self.records.extend(records)

    def has(self):
        return names(self.consumer.assignment())

    async def leave(self):
        self.leaving = True
        await self.task


async def until(what, holds):
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise Failed(f"not within {PATIENCE} s: {what}")
        await asyncio.sleep(0.05)


def halves(*members):
    return lambda: all(len(member.has()) == 4 // len(members) for member in members) and len(
        {one for member in members for one in member.has()}
    ) == 4


async def create(bootstrap, topic, partitions):
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, partitions, 1)])
    await admin.close()


async def produce(bootstrap, topic, partition, count):
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        for number in range(count):
            await producer.send_and_wait(topic, str(number).encode(), partition=partition)


async def eager(bootstrap, topic):
    await create(bootstrap, topic, 4)
    first = Member(bootstrap, topic, topic)
    await until("all", halves(first))
    every = first.has()
    second = Member(bootstrap, topic, topic)
    await until("halves", halves(first, second))
    # It is told of nothing that is revoked when it begins.
    calls = [call for call in first.calls if call[1]]
    expect_equal(calls, [("assigned", every), ("revoked", every), ("assigned", first.has())], "its calls")
    await second.leave()
    await until("all again", halves(first))
    await first.leave()


async def crash(bootstrap, topic):
    await create(bootstrap, topic, 4)
    first = Member(bootstrap, topic, topic)
    await until("all", halves(first))
    child = subprocess.Popen([sys.executable, __file__, "member", bootstrap, topic])
    await until("one left", lambda: len(first.has()) == 2)
    child.kill()
    child.wait()
    await until("all again", halves(first))
    await first.leave()


async def pattern(bootstrap, topic):
    await create(bootstrap, f"{topic}-a", 1)
    await create(bootstrap, f"{topic}-b", 2)
    one = Member(bootstrap, topic, pattern=f"^{topic}-.*")
    await until("topics of the pattern", lambda: len(one.has()) == 3)
    await create(bootstrap, f"{topic}-c", 1)
    await until("a new topic", lambda: len(one.has()) == 4)
    await one.leave()


async def pause_and_seek(bootstrap, topic):
    await create(bootstrap, topic, 2)
    for partition in (0, 1):
        await produce(bootstrap, topic, partition, 10)
    one = Member(bootstrap, topic, topic)
    await until("records", lambda: len(one.records) == 20)
    paused = TopicPartition(topic, 0)
    one.consumer.pause(paused)
    for partition in (0, 1):
        await produce(bootstrap, topic, partition, 5)
    await until("records of the other", lambda: len(one.records) == 25)
    expect_equal(sum(record.partition == 0 for record in one.records), 10, "records of the paused one")
    one.consumer.resume(paused)
    await until("the rest", lambda: len(one.records) == 30)
    one.records.clear()
    one.consumer.seek(paused, 5)
    await until("records again", lambda: len(one.records) == 10)
    expect_equal(one.records[0].offset, 5, "the first of them")
    await one.leave()


async def checks(bootstrap, name):
    for check, run in {"eager": eager, "crash": crash, "pattern": pattern, "pause and seek": pause_and_seek}.items():
        await run(bootstrap, f"{name}-{check.replace(' ', '-')}")
        passed(check)


async def one_member(bootstrap, topic):
    await Member(bootstrap, topic, topic).task


def groups(bootstrap, name):
    asyncio.run(checks(bootstrap, name))


def member(bootstrap, topic):
    asyncio.run(one_member(bootstrap, topic))


scenario.run("aiokafka", aiokafka.__version__, {"groups": groups, "member": member})
