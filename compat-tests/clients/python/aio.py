"""aiokafka, the asyncio library.

It must never check anything that README.md beside it does not list. aiokafka 0.14.0 has no call that deletes a group or
lists offsets by an admin client; the consumer's own calls stand for the second.
"""

import asyncio
import time

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.structs import OffsetAndMetadata

import scenario
from scenario import Failed, PATIENCE, expect_equal, passed


async def until(what, ask):
    """Asks until the answer is true, and gives it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = ask()
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise Failed(f"not within {PATIENCE} s: {what}")
        await asyncio.sleep(0.05)


async def retention(admin, topic):
    (response,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    (resource,) = response.resources
    expect_equal(resource[0], 0, "the error of describe_configs")
    return {entry[0]: entry[1] for entry in resource[4]}["retention.ms"]


async def produce(bootstrap, topic, records, **settings):
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap, linger_ms=20, enable_idempotence=True, **settings
    ) as producer:
        sent = [await producer.send(topic, value, key, partition, headers=headers) for partition, key, value, headers in records]
        await asyncio.wait_for(asyncio.gather(*sent), PATIENCE)


def consumer(bootstrap, group, *topics):
    return AIOKafkaConsumer(
        *topics,
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=10000,
        heartbeat_interval_ms=1000,
        metadata_max_age_ms=2000,
    )


async def polled(reader):
    return [record for records in (await reader.getmany(timeout_ms=500)).values() for record in records]


async def read_all(bootstrap, topic, count):
    got = []

    async def more():
        got.extend((record.key, record.value, list(record.headers)) for record in await polled(reader))
        return len(got) >= count

    async with consumer(bootstrap, None) as reader:
        reader.assign([TopicPartition(topic, 0)])
        await reader.seek_to_beginning()
        await until(f"{count} records of {topic}", more)
    return got


class Member(ConsumerRebalanceListener):
    """A group member that polls in a task of its own until told to leave."""

    def __init__(self, bootstrap, group, topic):
        self.consumer = consumer(bootstrap, group)
        self.consumer.subscribe([topic], listener=self)
        self.partitions = set()
        self.values = []
        self.task = asyncio.create_task(self.poll())
        self.leaving = False

    def on_partitions_assigned(self, assigned):
        self.partitions = {one.partition for one in assigned}

    def on_partitions_revoked(self, revoked):
        self.partitions -= {one.partition for one in revoked}

    async def poll(self):
        async with self.consumer:
            while not self.leaving:
                records = await polled(self.consumer)
                if records:
                    self.values.extend(record.value for record in records)
                    await self.consumer.commit()

    async def leave(self):
        self.leaving = True
        await self.task


async def group(bootstrap, name, admin):
    topic, members = f"{name}-shared", f"{name}-members"
    first = Member(bootstrap, members, topic)
    second = Member(bootstrap, members, topic)
    try:
        await until("two partitions each", lambda: len(first.partitions) == 2 and len(second.partitions) == 2)
        before = [f"before {number}".encode() for number in range(40)]
        await produce(bootstrap, topic, [(number % 4, None, value, []) for number, value in enumerate(before)])
        await until("40 records", lambda: len(first.values) + len(second.values) >= 40)
        expect_equal(sorted(first.values + second.values), sorted(before), "the records of both")
        expect_equal((len(first.values), len(second.values)), (20, 20), "the shares")
        passed("two members")

        expect_equal(members in await groups(admin), True, "the group is listed")
        passed("list groups")
        (response,) = await admin.describe_consumer_groups([members])
        (described,) = response.groups
        expect_equal(described[2], "Stable", "the group's state")
        expect_equal(len(described[5]), 2, "the group's members")
        passed("describe group")

        await first.leave()
        await until("all partitions", lambda: len(second.partitions) == 4)
        after = [f"after {number}".encode() for number in range(40)]
        await produce(bootstrap, topic, [(number % 4, None, value, []) for number, value in enumerate(after)])
        await until("the next 40 records", lambda: len(second.values) >= 60)
        expect_equal(sorted(second.values[20:]), sorted(after), "the records of the one that stayed")
        passed("one member left")
    finally:
        await first.leave()
        await second.leave()


async def groups(admin):
    return [one[0] for one in await admin.list_consumer_groups()]


async def phase1(bootstrap, name, admin):
    cluster = await admin.describe_cluster()
    expect_equal([f"{one['host']}:{one['port']}" for one in cluster["brokers"]], [bootstrap], "the brokers")
    passed("cluster")

    shared = f"{name}-shared"
    new = [NewTopic(f"{name}-{rest}", 1, 1) for rest in ["kept", *scenario.CODECS]]
    new.append(NewTopic(shared, 4, 1, topic_configs={"retention.ms": scenario.RETENTION_BEFORE}))
    created = await admin.create_topics(new)
    expect_equal([one[1] for one in created.topic_errors], [0] * len(new), "the errors of create_topics")

    async def led():
        (described,) = await admin.describe_topics([shared])
        return sorted(one["partition"] for one in described["partitions"] if one["leader"] >= 0) == [0, 1, 2, 3]

    await until("four partitions with a leader", led)
    passed("create topic")

    expect_equal(await retention(admin, shared), scenario.RETENTION_BEFORE, "retention.ms")
    change = {"retention.ms": scenario.RETENTION_AFTER}
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, shared, change)])

    async def altered():
        return await retention(admin, shared) == scenario.RETENTION_AFTER

    await until("the altered retention.ms", altered)
    passed("alter config")

    for codec in scenario.CODECS:
        wanted = scenario.records(codec)
        compression = None if codec == "none" else codec
        await produce(bootstrap, f"{name}-{codec}", [(0, *record) for record in wanted], compression_type=compression)
        expect_equal(await read_all(bootstrap, f"{name}-{codec}", 100), wanted, f"the records of {codec}")
        passed(f"codec {codec}")

    await group(bootstrap, name, admin)

    kept = TopicPartition(f"{name}-kept", 0)
    await produce(bootstrap, kept.topic, [(0, None, f"kept {number}".encode(), []) for number in range(10)])
    async with consumer(bootstrap, f"{name}-keeper") as keeper:
        keeper.assign([kept])
        first = (await keeper.beginning_offsets([kept]))[kept]
        last = (await keeper.end_offsets([kept]))[kept]
        expect_equal((first, last), (0, 10), "the first and last offset")
        passed("list offsets")
        await keeper.commit({kept: OffsetAndMetadata(7, "seven")})
        passed("commit")


async def phase2(bootstrap, name, admin):
    keeper, kept = f"{name}-keeper", TopicPartition(f"{name}-kept", 0)
    values = []

    async def resumed():
        values.extend(record.value for record in await polled(again))
        return len(values) >= 3

    async with consumer(bootstrap, keeper, kept.topic) as again:
        await until("the rest of the records", resumed)
    expect_equal(values, [b"kept 7", b"kept 8", b"kept 9"], "the records after the commit")
    passed("resume")

    found = (await admin.list_consumer_group_offsets(keeper, partitions=[kept]))[kept]
    expect_equal((found.offset, found.metadata), (7, "seven"), "the committed offset")
    passed("committed")

    expect_equal(await retention(admin, f"{name}-shared"), scenario.RETENTION_AFTER, "retention.ms")
    passed("kept config")
    for codec in scenario.CODECS:
        expect_equal(await read_all(bootstrap, f"{name}-{codec}", 100), scenario.records(codec), f"the records of {codec}")
    passed("kept records")

    await admin.delete_topics([f"{name}-{one}" for one in ["shared", "kept", *scenario.CODECS]])

    async def gone():
        return not any(one.startswith(f"{name}-") for one in await admin.list_topics())

    await until("the topics are gone", gone)
    passed("delete topics")


def phase(steps):
    async def with_admin(bootstrap, name):
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            await steps(bootstrap, name, admin)
        finally:
            await admin.close()

    return lambda bootstrap, name: asyncio.run(with_admin(bootstrap, name))


scenario.run("aiokafka", aiokafka.__version__, {"phase1": phase(phase1), "phase2": phase(phase2)})
