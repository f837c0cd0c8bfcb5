"""kafka-python, the library in pure Python.

It must never check anything that README.md beside it does not list.
"""

import threading

import kafka
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, OffsetSpec
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.errors import ProducerFencedError
from kafka.structs import OffsetAndMetadata

import scenario
from scenario import Failed, PATIENCE, expect_equal, passed, until


def retention(admin, topic):
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": None})
    described = admin.describe_configs([resource], config_filter="all")
    return described["topic"][topic]["retention.ms"]["value"]


def produce(bootstrap, topic, records, **settings):
    producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=20, **settings)
    sent = [
        producer.send(topic, value, key, headers, partition=partition) for partition, key, value, headers in records
    ]
    for future in sent:
        future.get(PATIENCE)
    producer.close()


def consumer(bootstrap, group, *topics, **settings):
    return KafkaConsumer(
        *topics,
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=10000,
        heartbeat_interval_ms=1000,
        **settings,
    )


def polled(reader):
    return [record for records in reader.poll(500).values() for record in records]


def read_all(bootstrap, topic, count):
    reader = consumer(bootstrap, None)
    reader.assign([TopicPartition(topic, 0)])
    reader.seek_to_beginning()
    got = []

    def more():
        got.extend((record.key, record.value, [tuple(header) for header in record.headers]) for record in polled(reader))
        return len(got) >= count

    until(f"{count} records of {topic}", more)
    reader.close()
    return got


class Member(ConsumerRebalanceListener):
    """A group member that polls on a thread of its own until told to leave."""

    def __init__(self, bootstrap, group, topic):
        self.consumer = consumer(bootstrap, group)
        self.partitions = set()
        self.values = []
        self.leaving = threading.Event()
        self.consumer.subscribe([topic], listener=self)
        self.thread = threading.Thread(target=self.poll)
        self.thread.start()

    def on_partitions_assigned(self, assigned):
        self.partitions = {one.partition for one in assigned}

    def on_partitions_revoked(self, revoked):
        self.partitions -= {one.partition for one in revoked}

    def poll(self):
        while not self.leaving.is_set():
            records = polled(self.consumer)
            if records:
                self.values.extend(record.value for record in records)
                self.consumer.commit()
        self.consumer.close()

    def leave(self):
        self.leaving.set()
        self.thread.join()


def group(bootstrap, name, admin):
    topic, members = f"{name}-shared", f"{name}-members"
    first = Member(bootstrap, members, topic)
    second = Member(bootstrap, members, topic)
    try:
        until("two partitions each", lambda: len(first.partitions) == 2 and len(second.partitions) == 2)
        before = [f"before {number}".encode() for number in range(40)]
        produce(bootstrap, topic, [(number % 4, None, value, []) for number, value in enumerate(before)])
        until("40 records", lambda: len(first.values) + len(second.values) >= 40)
        expect_equal(sorted(first.values + second.values), sorted(before), "the records of both")
        expect_equal((len(first.values), len(second.values)), (20, 20), "the shares")
        passed("two members")

        listed = [one["group_id"] for one in admin.list_groups()]
        expect_equal(members in listed, True, "the group is listed")
        passed("list groups")
        described = admin.describe_groups([members])[members]
        expect_equal(described["group_state"], "Stable", "the group's state")
        expect_equal(len(described["members"]), 2, "the group's members")
        passed("describe group")

        first.leave()
        until("all partitions", lambda: len(second.partitions) == 4)
        after = [f"after {number}".encode() for number in range(40)]
        produce(bootstrap, topic, [(number % 4, None, value, []) for number, value in enumerate(after)])
        until("the next 40 records", lambda: len(second.values) >= 60)
        expect_equal(sorted(second.values[20:]), sorted(after), "the records of the one that stayed")
        passed("one member left")
    finally:
        first.leave()
        second.leave()


def phase1(bootstrap, name):
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    brokers = [f"{one['host']}:{one['port']}" for one in admin.describe_cluster()["brokers"]]
    expect_equal(brokers, [bootstrap], "the brokers")
    passed("cluster")

    shared = f"{name}-shared"
    one = {"num_partitions": 1, "replication_factor": 1}
    new = {f"{name}-{rest}": one for rest in ["kept", *scenario.CODECS]}
    new[shared] = {"num_partitions": 4, "replication_factor": 1, "configs": {"retention.ms": scenario.RETENTION_BEFORE}}
    admin.create_topics(new, wait_for_metadata=True)
    (described,) = admin.describe_topics([shared])
    partitions = sorted(one["partition_index"] for one in described["partitions"] if one["leader_id"] >= 0)
    expect_equal(partitions, [0, 1, 2, 3], "the partitions with a leader")
    passed("create topic")

    expect_equal(retention(admin, shared), scenario.RETENTION_BEFORE, "retention.ms")
    change = {"retention.ms": scenario.RETENTION_AFTER}
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, shared, change)])
    until("the altered retention.ms", lambda: retention(admin, shared) == scenario.RETENTION_AFTER)
    passed("alter config")

    for codec in scenario.CODECS:
        wanted = scenario.records(codec)
        compression = None if codec == "none" else codec
        produce(bootstrap, f"{name}-{codec}", [(0, *record) for record in wanted], compression_type=compression)
        expect_equal(read_all(bootstrap, f"{name}-{codec}", 100), wanted, f"the records of {codec}")
        passed(f"codec {codec}")

    group(bootstrap, name, admin)

    kept = TopicPartition(f"{name}-kept", 0)
    produce(bootstrap, kept.topic, [(0, None, f"kept {number}".encode(), []) for number in range(10)])
    first = admin.list_partition_offsets({kept: OffsetSpec.EARLIEST})[kept].offset
    last = admin.list_partition_offsets({kept: OffsetSpec.LATEST})[kept].offset
    expect_equal((first, last), (0, 10), "the first and last offset")
    passed("list offsets")

    keeper = consumer(bootstrap, f"{name}-keeper")
    keeper.assign([kept])
    keeper.commit({kept: OffsetAndMetadata(7, "seven", -1)})
    keeper.close()
    passed("commit")


def phase2(bootstrap, name):
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    keeper, kept = f"{name}-keeper", TopicPartition(f"{name}-kept", 0)
    again = consumer(bootstrap, keeper, kept.topic)
    values = []

    def resumed():
        values.extend(record.value for record in polled(again))
        return len(values) >= 3

    until("the rest of the records", resumed)
    again.close()
    expect_equal(values, [b"kept 7", b"kept 8", b"kept 9"], "the records after the commit")
    passed("resume")

    found = admin.list_group_offsets({keeper: [kept]})[keeper][kept]
    expect_equal((found.offset, found.metadata), (7, "seven"), "the committed offset")
    passed("committed")

    expect_equal(retention(admin, f"{name}-shared"), scenario.RETENTION_AFTER, "retention.ms")
    passed("kept config")
    for codec in scenario.CODECS:
        expect_equal(read_all(bootstrap, f"{name}-{codec}", 100), scenario.records(codec), f"the records of {codec}")
    passed("kept records")

    after_restart(bootstrap, name)

    admin.delete_groups([keeper])
    expect_equal(keeper in [one["group_id"] for one in admin.list_groups()], False, "the deleted group is listed")
    passed("delete group")

    admin.delete_topics([f"{name}-{one}" for one in scenario.TOPICS])
    until("the topics are gone", lambda: not any(one.startswith(f"{name}-") for one in admin.list_topics()))
    passed("delete topics")


def transactional(bootstrap, transactional_id, **settings):
    producer = KafkaProducer(bootstrap_servers=bootstrap, transactional_id=transactional_id, **settings)
    producer.init_transactions()
    return producer


def begin(producer, topic, values):
    """Begins a transaction with these values, which have reached the broker at the end."""
    producer.begin_transaction()
    for sent in [producer.send(topic, value.encode(), partition=0) for value in values]:
        sent.get(PATIENCE)


def seen(bootstrap, topic, word, isolation):
    """The values of a check, up to its last record, for a reader of this isolation."""
    reader = consumer(bootstrap, None, isolation_level=isolation)
    reader.assign([TopicPartition(topic, 0)])
    reader.seek_to_beginning()
    got = []

    def ended():
        got.extend(record.value.decode() for record in polled(reader))
        return f"{word} end" in got

    until(f"the end of {word} for {isolation}", ended)
    reader.close()
    return scenario.values_of(word, got)


def end(bootstrap, topic, word):
    produce(bootstrap, topic, [(0, None, f"{word} end".encode(), [])])


def fenced(what, call):
    try:
        call()
    except ProducerFencedError:
        return
    raise Failed(f"{what} is not refused")


def transactions(bootstrap, name):
    source, out = f"{name}-in", f"{name}-out"
    one = {"num_partitions": 1, "replication_factor": 1}
    KafkaAdminClient(bootstrap_servers=bootstrap).create_topics({source: one, out: one}, wait_for_metadata=True)

    producer = transactional(bootstrap, f"{name}-writer")
    begin(producer, out, scenario.words("plain", 0, 10))
    producer.commit_transaction()
    begin(producer, out, scenario.words("plain", 10, 20))
    producer.abort_transaction()
    begin(producer, out, scenario.words("plain", 20, 30))
    producer.commit_transaction()
    end(bootstrap, out, "plain")
    committed = scenario.words("plain", 0, 10) + scenario.words("plain", 20, 30)
    expect_equal(seen(bootstrap, out, "plain", "read_committed"), committed, "what is committed")
    expect_equal(seen(bootstrap, out, "plain", "read_uncommitted"), scenario.words("plain", 0, 30), "what is written")
    passed("commit and abort")

    produce(bootstrap, source, [(0, None, value.encode(), []) for value in scenario.words("copy", 0, 10)])
    copy(bootstrap, name, producer, producer.abort_transaction, None)
    copy(bootstrap, name, producer, producer.commit_transaction, 10)
    end(bootstrap, out, "copy")
    expect_equal(seen(bootstrap, out, "copy", "read_committed"), scenario.words("copy", 0, 10), "the copies")
    producer.close()
    passed("offsets in transactions")

    zombie = transactional(bootstrap, f"{name}-fenced")
    begin(zombie, out, ["fenced 0"])
    heir = transactional(bootstrap, f"{name}-fenced")
    fenced("the zombie's commit", zombie.commit_transaction)
    begin(heir, out, ["fenced 1"])
    heir.commit_transaction()
    heir.close()
    end(bootstrap, out, "fenced")
    expect_equal(seen(bootstrap, out, "fenced", "read_committed"), ["fenced 1"], "what the heir committed")
    passed("zombie fenced")

    late = transactional(bootstrap, f"{name}-late", transaction_timeout_ms=2000)
    begin(late, out, ["late 0"])
    end(bootstrap, out, "late")
    expect_equal(seen(bootstrap, out, "late", "read_committed"), [], "what is committed in time")
    fenced("the late commit", late.commit_transaction)
    passed("time-out")

    lasting = transactional(bootstrap, f"{name}-lasting")
    begin(lasting, out, scenario.words("lasting", 0, 5))
    lasting.commit_transaction()
    begin(lasting, out, scenario.words("lasting", 5, 10))


def copy(bootstrap, name, producer, close, wanted):
    """Copies ten records in a transaction, after whose end the group's committed offset is the wanted one."""
    source = TopicPartition(f"{name}-in", 0)
    reader = consumer(bootstrap, f"{name}-copiers", source.topic, isolation_level="read_committed")
    got = []

    def ten():
        got.extend(record.value.decode() for record in polled(reader))
        return len(got) >= 10

    until("ten records to copy", ten)
    begin(producer, f"{name}-out", got)
    offsets = {source: OffsetAndMetadata(reader.position(source), "", -1)}
    producer.send_offsets_to_transaction(offsets, reader.group_metadata())
    close()
    until(f"the offset {wanted}", lambda: reader.committed(source) == wanted)
    reader.close()


def after_restart(bootstrap, name):
    out = f"{name}-out"
    lasting = transactional(bootstrap, f"{name}-lasting")
    begin(lasting, out, scenario.words("lasting", 10, 15))
    lasting.commit_transaction()
    lasting.close()
    end(bootstrap, out, "lasting")
    committed = scenario.words("lasting", 0, 5) + scenario.words("lasting", 10, 15)
    expect_equal(seen(bootstrap, out, "lasting", "read_committed"), committed, "what is committed")
    written = scenario.words("lasting", 0, 15)
    expect_equal(seen(bootstrap, out, "lasting", "read_uncommitted"), written, "what is written")
    passed("survives a restart")


scenario.run("kafka-python", kafka.__version__, {"phase1": phase1, "transactions": transactions, "phase2": phase2})
