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
from aiokafka.errors import ProducerFenced
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


def consumer(bootstrap, group, *topics, **settings):
    return AIOKafkaConsumer(
        *topics,
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=10000,
        heartbeat_interval_ms=1000,
        metadata_max_age_ms=2000,
        **settings,
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

    await after_restart(bootstrap, name)

    await admin.delete_topics([f"{name}-{one}" for one in scenario.TOPICS])

    async def gone():
        return not any(one.startswith(f"{name}-") for one in await admin.list_topics())

    await until("the topics are gone", gone)
    passed("delete topics")


async def transactional(bootstrap, transactional_id, **settings):
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=transactional_id, **settings)
    await producer.start()
    return producer


async def begin(producer, topic, values):
    """Begins a transaction with these values, which have reached the broker at the end."""
    await producer.begin_transaction()
    sent = [await producer.send(topic, value.encode(), partition=0) for value in values]
    await asyncio.wait_for(asyncio.gather(*sent), PATIENCE)


async def seen(bootstrap, topic, word, isolation):
    """The values of a check, up to its last record, for a reader of this isolation."""
    got = []

    async def ended():
        got.extend(record.value.decode() for record in await polled(reader))
        return f"{word} end" in got

    async with consumer(bootstrap, None, isolation_level=isolation) as reader:
        reader.assign([TopicPartition(topic, 0)])
        await reader.seek_to_beginning()
        await until(f"the end of {word} for {isolation}", ended)
    return scenario.values_of(word, got)


async def end(bootstrap, topic, word):
    await produce(bootstrap, topic, [(0, None, f"{word} end".encode(), [])])


async def fenced(what, call):
    try:
        await call
    except ProducerFenced:
        return
    raise Failed(f"{what} is not refused")


async def transactions(bootstrap, name, admin):
    source, out = f"{name}-in", f"{name}-out"
    await admin.create_topics([NewTopic(source, 1, 1), NewTopic(out, 1, 1)])

    producer = await transactional(bootstrap, f"{name}-writer")
    await begin(producer, out, scenario.words("plain", 0, 10))
    await producer.commit_transaction()
    await begin(producer, out, scenario.words("plain", 10, 20))
    await producer.abort_transaction()
    await begin(producer, out, scenario.words("plain", 20, 30))
    await producer.commit_transaction()
    await end(bootstrap, out, "plain")
    committed = scenario.words("plain", 0, 10) + scenario.words("plain", 20, 30)
    expect_equal(await seen(bootstrap, out, "plain", "read_committed"), committed, "what is committed")
    written = scenario.words("plain", 0, 30)
    expect_equal(await seen(bootstrap, out, "plain", "read_uncommitted"), written, "what is written")
    passed("commit and abort")

    await produce(bootstrap, source, [(0, None, value.encode(), []) for value in scenario.words("copy", 0, 10)])
    await copy(bootstrap, name, producer, producer.abort_transaction, None)
    await copy(bootstrap, name, producer, producer.commit_transaction, 10)
    await end(bootstrap, out, "copy")
    expect_equal(await seen(bootstrap, out, "copy", "read_committed"), scenario.words("copy", 0, 10), "the copies")
    await producer.stop()
    passed("offsets in transactions")

    zombie = await transactional(bootstrap, f"{name}-fenced")
    await begin(zombie, out, ["fenced 0"])
    heir = await transactional(bootstrap, f"{name}-fenced")
    await fenced("the zombie's commit", zombie.commit_transaction())
    await begin(heir, out, ["fenced 1"])
    await heir.commit_transaction()
    await heir.stop()
    await end(bootstrap, out, "fenced")
    expect_equal(await seen(bootstrap, out, "fenced", "read_committed"), ["fenced 1"], "what the heir committed")
    passed("zombie fenced")

    late = await transactional(bootstrap, f"{name}-late", transaction_timeout_ms=2000)
    await begin(late, out, ["late 0"])
    await end(bootstrap, out, "late")
    expect_equal(await seen(bootstrap, out, "late", "read_committed"), [], "what is committed in time")
    await fenced("the late commit", late.commit_transaction())
    passed("time-out")

    lasting = await transactional(bootstrap, f"{name}-lasting")
    await begin(lasting, out, scenario.words("lasting", 0, 5))
    await lasting.commit_transaction()
    await begin(lasting, out, scenario.words("lasting", 5, 10))


async def copy(bootstrap, name, producer, close, wanted):
    """Copies ten records in a transaction, after whose end the group's committed offset is the wanted one."""
    source, copiers = TopicPartition(f"{name}-in", 0), f"{name}-copiers"
    got = []

    async def ten():
        got.extend(record.value.decode() for record in await polled(reader))
        return len(got) >= 10

    # aiokafka asks for offsets without saying that it would wait for transactions that are being ended.
    async def offset():
        return await reader.committed(source) == wanted

    async with consumer(bootstrap, copiers, source.topic, isolation_level="read_committed") as reader:
        await until("ten records to copy", ten)
        await begin(producer, f"{name}-out", got)
        await producer.send_offsets_to_transaction({source: await reader.position(source)}, copiers)
        await close()
        await until(f"the offset {wanted}", offset)


async def after_restart(bootstrap, name):
    out = f"{name}-out"
    lasting = await transactional(bootstrap, f"{name}-lasting")
    await begin(lasting, out, scenario.words("lasting", 10, 15))
    await lasting.commit_transaction()
    await lasting.stop()
    await end(bootstrap, out, "lasting")
    committed = scenario.words("lasting", 0, 5) + scenario.words("lasting", 10, 15)
    expect_equal(await seen(bootstrap, out, "lasting", "read_committed"), committed, "what is committed")
    written = scenario.words("lasting", 0, 15)
    expect_equal(await seen(bootstrap, out, "lasting", "read_uncommitted"), written, "what is written")
    passed("survives a restart")


def phase(steps):
    async def with_admin(bootstrap, name):
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            await steps(bootstrap, name, admin)
        finally:
            await admin.close()

    return lambda bootstrap, name: asyncio.run(with_admin(bootstrap, name))


PHASES = {"phase1": phase(phase1), "transactions": phase(transactions), "phase2": phase(phase2)}
scenario.run("aiokafka", aiokafka.__version__, PHASES)
