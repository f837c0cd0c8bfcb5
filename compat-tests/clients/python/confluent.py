"""confluent-kafka: librdkafka from Python.

It must never check anything that README.md beside it does not list.
"""

import threading

import confluent_kafka
from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

import scenario
from scenario import Failed, PATIENCE, expect_equal, passed, until


def settled(futures):
    return {key: future.result(PATIENCE) for key, future in futures.items()}


def retention(admin, topic):
    resource = ConfigResource(ResourceType.TOPIC, topic)
    (entries,) = settled(admin.describe_configs([resource])).values()
    return entries["retention.ms"].value


def produce(bootstrap, topic, records, **settings):
    errors = []
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, **settings})
    for partition, key, value, headers in records:
        producer.produce(
            topic, value, key, partition, headers=headers, on_delivery=lambda error, _: error and errors.append(error)
        )
    expect_equal(producer.flush(PATIENCE), 0, "records not delivered")
    expect_equal(errors, [], "delivery errors")


def consumer(bootstrap, group, **settings):
    fixed = {"bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest"}
    return Consumer({**fixed, "enable.auto.commit": False, "session.timeout.ms": 10000, **settings})


def read_all(bootstrap, topic, count):
    reader = consumer(bootstrap, "unused")
    reader.assign([TopicPartition(topic, 0, 0)])
    got = []

    def more():
        for message in reader.consume(100, 0.5):
            if message.error():
                raise Failed(str(message.error()))
            got.append((message.key(), message.value(), message.headers()))
        return len(got) >= count

    until(f"{count} records of {topic}", more)
    reader.close()
    return got


class Member:
    """A group member that polls on a thread of its own until told to leave."""

    def __init__(self, bootstrap, group, topic):
        self.consumer = consumer(bootstrap, group)
        self.partitions = set()
        self.values = []
        self.leaving = threading.Event()
        self.consumer.subscribe([topic], on_assign=self.assigned, on_revoke=self.revoked)
        self.thread = threading.Thread(target=self.poll)
        self.thread.start()

    def assigned(self, _, partitions):
        self.partitions = {one.partition for one in partitions}

    def revoked(self, _, partitions):
        self.partitions -= {one.partition for one in partitions}

    def poll(self):
        while not self.leaving.is_set():
            message = self.consumer.poll(0.1)
            if message is not None and not message.error():
                self.values.append(message.value())
                self.consumer.commit(message, asynchronous=False)
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
        produce(bootstrap, topic, [(number % 4, None, value, None) for number, value in enumerate(before)])
        until("40 records", lambda: len(first.values) + len(second.values) >= 40)
        expect_equal(sorted(first.values + second.values), sorted(before), "the records of both")
        expect_equal((len(first.values), len(second.values)), (20, 20), "the shares")
        passed("two members")

        listed = [one.group_id for one in admin.list_consumer_groups().result(PATIENCE).valid]
        expect_equal(members in listed, True, "the group is listed")
        passed("list groups")
        described = settled(admin.describe_consumer_groups([members]))[members]
        expect_equal(described.state.name, "STABLE", "the group's state")
        expect_equal(len(described.members), 2, "the group's members")
        passed("describe group")

        first.leave()
        until("all partitions", lambda: len(second.partitions) == 4)
        after = [f"after {number}".encode() for number in range(40)]
        produce(bootstrap, topic, [(number % 4, None, value, None) for number, value in enumerate(after)])
        until("the next 40 records", lambda: len(second.values) >= 60)
        expect_equal(sorted(second.values[20:]), sorted(after), "the records of the one that stayed")
        passed("one member left")
    finally:
        first.leave()
        second.leave()


def phase1(bootstrap, name):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    cluster = admin.describe_cluster().result(PATIENCE)
    expect_equal([f"{node.host}:{node.port}" for node in cluster.nodes], [bootstrap], "the brokers")
    passed("cluster")

    shared = f"{name}-shared"
    new = [NewTopic(shared, 4, 1, config={"retention.ms": scenario.RETENTION_BEFORE}), NewTopic(f"{name}-kept", 1, 1)]
    new += [NewTopic(f"{name}-{codec}", 1, 1) for codec in scenario.CODECS]
    settled(admin.create_topics(new))
    metadata = until("the topic's leaders", lambda: led(admin, shared))
    expect_equal(sorted(metadata.partitions), [0, 1, 2, 3], "the partitions")
    passed("create topic")

    expect_equal(retention(admin, shared), scenario.RETENTION_BEFORE, "retention.ms")
    entry = ConfigEntry("retention.ms", scenario.RETENTION_AFTER, incremental_operation=AlterConfigOpType.SET)
    change = ConfigResource(ResourceType.TOPIC, shared, incremental_configs=[entry])
    settled(admin.incremental_alter_configs([change]))
    until("the altered retention.ms", lambda: retention(admin, shared) == scenario.RETENTION_AFTER)
    passed("alter config")

    for codec in scenario.CODECS:
        wanted = scenario.records(codec)
        produce(bootstrap, f"{name}-{codec}", [(0, *record) for record in wanted], **{"compression.type": codec})
        expect_equal(read_all(bootstrap, f"{name}-{codec}", 100), wanted, f"the records of {codec}")
        passed(f"codec {codec}")

    group(bootstrap, name, admin)

    kept = TopicPartition(f"{name}-kept", 0)
    produce(bootstrap, kept.topic, [(0, None, f"kept {number}".encode(), None) for number in range(10)])
    first = settled(admin.list_offsets({kept: OffsetSpec.earliest()}))[kept].offset
    last = settled(admin.list_offsets({kept: OffsetSpec.latest()}))[kept].offset
    expect_equal((first, last), (0, 10), "the first and last offset")
    passed("list offsets")

    keeper = consumer(bootstrap, f"{name}-keeper")
    keeper.commit(offsets=[TopicPartition(kept.topic, 0, 7)], asynchronous=False)
    keeper.close()
    passed("commit")


def led(admin, topic):
    metadata = admin.list_topics(topic, PATIENCE).topics[topic]
    all_led = metadata.error is None and all(one.leader >= 0 for one in metadata.partitions.values())
    return metadata if all_led else None


def phase2(bootstrap, name):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    keeper, kept = f"{name}-keeper", f"{name}-kept"
    again = consumer(bootstrap, keeper)
    again.subscribe([kept])
    values = []

    def resumed():
        values.extend(message.value() for message in again.consume(10, 0.5) if not message.error())
        return len(values) >= 3

    until("the rest of the records", resumed)
    again.close()
    expect_equal(values, [b"kept 7", b"kept 8", b"kept 9"], "the records after the commit")
    passed("resume")

    # After the consumer has joined: the admin client 2.16.1 crashes its process while the coordinator loads.
    asked = [ConsumerGroupTopicPartitions(keeper, [TopicPartition(kept, 0)])]
    found = settled(admin.list_consumer_group_offsets(asked))[keeper]
    expect_equal([one.offset for one in found.topic_partitions], [7], "the committed offset")
    passed("committed")

    expect_equal(retention(admin, f"{name}-shared"), scenario.RETENTION_AFTER, "retention.ms")
    passed("kept config")
    for codec in scenario.CODECS:
        expect_equal(read_all(bootstrap, f"{name}-{codec}", 100), scenario.records(codec), f"the records of {codec}")
    passed("kept records")

    after_restart(bootstrap, name)

    settled(admin.delete_consumer_groups([keeper]))
    listed = [one.group_id for one in admin.list_consumer_groups().result(PATIENCE).valid]
    expect_equal(keeper in listed, False, "the deleted group is listed")
    passed("delete group")

    settled(admin.delete_topics([f"{name}-{one}" for one in scenario.TOPICS]))
    until(
        "the topics are gone",
        lambda: not any(one.startswith(f"{name}-") for one in admin.list_topics(timeout=PATIENCE).topics),
    )
    passed("delete topics")


def transactional(bootstrap, transactional_id, **settings):
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": transactional_id, **settings})
    producer.init_transactions(PATIENCE)
    return producer


def begin(producer, topic, values):
    """Begins a transaction with these values, which have reached the broker at the end."""
    errors = []
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value, partition=0, on_delivery=lambda error, _: error and errors.append(error))
    expect_equal(producer.flush(PATIENCE), 0, "records not delivered")
    expect_equal(errors, [], "delivery errors")


def seen(bootstrap, topic, word, isolation):
    """The values of a check, up to its last record, for a reader of this isolation."""
    reader = consumer(bootstrap, "unused", **{"isolation.level": isolation})
    reader.assign([TopicPartition(topic, 0, 0)])
    got = []

    def ended():
        got.extend(message.value().decode() for message in reader.consume(100, 0.5) if not message.error())
        return f"{word} end" in got

    until(f"the end of {word} for {isolation}", ended)
    reader.close()
    return scenario.values_of(word, got)


def end(bootstrap, topic, word):
    produce(bootstrap, topic, [(0, None, f"{word} end", None)])


def refused(what, call):
    """The error of a call that must fail."""
    try:
        call()
    except KafkaException as error:
        return error.args[0]
    raise Failed(f"{what} is not refused")


def transactions(bootstrap, name):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    source, out = f"{name}-in", f"{name}-out"
    settled(admin.create_topics([NewTopic(source, 1, 1), NewTopic(out, 1, 1)]))

    producer = transactional(bootstrap, f"{name}-writer")
    begin(producer, out, scenario.words("plain", 0, 10))
    producer.commit_transaction(PATIENCE)
    begin(producer, out, scenario.words("plain", 10, 20))
    producer.abort_transaction(PATIENCE)
    begin(producer, out, scenario.words("plain", 20, 30))
    producer.commit_transaction(PATIENCE)
    end(bootstrap, out, "plain")
    committed = scenario.words("plain", 0, 10) + scenario.words("plain", 20, 30)
    expect_equal(seen(bootstrap, out, "plain", "read_committed"), committed, "what is committed")
    expect_equal(seen(bootstrap, out, "plain", "read_uncommitted"), scenario.words("plain", 0, 30), "what is written")
    passed("commit and abort")

    produce(bootstrap, source, [(0, None, value, None) for value in scenario.words("copy", 0, 10)])
    expect_equal(copy(bootstrap, name, producer, producer.abort_transaction), -1001, "the offset after an abort")
    expect_equal(copy(bootstrap, name, producer, producer.commit_transaction), 10, "the offset after a commit")
    end(bootstrap, out, "copy")
    expect_equal(seen(bootstrap, out, "copy", "read_committed"), scenario.words("copy", 0, 10), "the copies")
    passed("offsets in transactions")

    zombie = transactional(bootstrap, f"{name}-fenced")
    begin(zombie, out, ["fenced 0"])
    heir = transactional(bootstrap, f"{name}-fenced")
    error = refused("the zombie's commit", lambda: zombie.commit_transaction(PATIENCE))
    expect_equal((error.code(), error.fatal()), (KafkaError._FENCED, True), "the zombie's error")
    begin(heir, out, ["fenced 1"])
    heir.commit_transaction(PATIENCE)
    end(bootstrap, out, "fenced")
    expect_equal(seen(bootstrap, out, "fenced", "read_committed"), ["fenced 1"], "what the heir committed")
    passed("zombie fenced")

    late = transactional(bootstrap, f"{name}-late", **{"transaction.timeout.ms": 2000})
    begin(late, out, ["late 0"])
    end(bootstrap, out, "late")
    expect_equal(seen(bootstrap, out, "late", "read_committed"), [], "what is committed in time")
    error = refused("the late commit", lambda: late.commit_transaction(PATIENCE))
    expect_equal((error.code(), error.fatal()), (KafkaError._FENCED, True), "the error of the late commit")
    passed("time-out")

    lasting = transactional(bootstrap, f"{name}-lasting")
    begin(lasting, out, scenario.words("lasting", 0, 5))
    lasting.commit_transaction(PATIENCE)
    begin(lasting, out, scenario.words("lasting", 5, 10))


def copy(bootstrap, name, producer, close):
    """Copies ten records in a transaction and gives the group's committed offset after its end."""
    source = TopicPartition(f"{name}-in", 0)
    reader = consumer(bootstrap, f"{name}-copiers", **{"isolation.level": "read_committed"})
    reader.subscribe([source.topic])
    got = []

    def ten():
        got.extend(message.value() for message in reader.consume(10, 0.5) if not message.error())
        return len(got) >= 10

    until("ten records to copy", ten)
    begin(producer, f"{name}-out", got)
    positions = reader.position(reader.assignment())
    producer.send_offsets_to_transaction(positions, reader.consumer_group_metadata(), PATIENCE)
    close(PATIENCE)
    (committed,) = reader.committed([source], PATIENCE)
    reader.close()
    return committed.offset


def after_restart(bootstrap, name):
    out = f"{name}-out"
    producer = transactional(bootstrap, f"{name}-lasting")
    begin(producer, out, scenario.words("lasting", 10, 15))
    producer.commit_transaction(PATIENCE)
    end(bootstrap, out, "lasting")
    committed = scenario.words("lasting", 0, 5) + scenario.words("lasting", 10, 15)
    expect_equal(seen(bootstrap, out, "lasting", "read_committed"), committed, "what is committed")
    expect_equal(
        seen(bootstrap, out, "lasting", "read_uncommitted"), scenario.words("lasting", 0, 15), "what is written"
    )
    passed("survives a restart")


def original(bootstrap, name):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    settled(admin.create_topics([NewTopic(f"{name}-original", 1, 1), NewTopic(f"{name}-copy", 1, 1)]))
    records = scenario.words("record", 0, scenario.TO_COPY)
    produce(bootstrap, f"{name}-original", [(0, None, value, None) for value in records])


def copy_all(bootstrap, name):
    copies = f"{name}-copy"
    # By default a librdkafka that has lost its only broker forgets it, but not that it was the group's coordinator: then
    # send_offsets_to_transaction never ends, whatever the broker (confluentinc/librdkafka#5511).
    producer = transactional(bootstrap, f"{name}-copier", **{"metadata.recovery.strategy": "none"})
    settings = {"isolation.level": "read_committed", "session.timeout.ms": scenario.COPIER_SESSION_MS}
    reader = consumer(bootstrap, f"{name}-copiers", **settings)
    reader.subscribe([f"{name}-original"])
    copied = 0
    while copied < scenario.TO_COPY:
        values = [message.value() for message in reader.consume(10, 0.5) if not message.error()]
        if values and copy_within_transaction(producer, reader, copies, values):
            (position,) = reader.position(reader.assignment())
            copied = position.offset
            scenario.say({"copied": copied})
    reader.close()
    end(bootstrap, copies, "record")
    wanted = scenario.words("record", 0, scenario.TO_COPY)
    expect_equal(seen(bootstrap, copies, "record", "read_committed"), wanted, "the copies")
    passed("exactly once")


def copy_within_transaction(producer, reader, topic, values):
    """Whether it is committed. It is not when librdkafka asks for an abort: then the reader is where it was before."""
    try:
        producer.begin_transaction()
        for value in values:
            producer.produce(topic, value, partition=0)
        positions = reader.position(reader.assignment())
        retried(lambda: producer.send_offsets_to_transaction(positions, reader.consumer_group_metadata(), PATIENCE))
        retried(lambda: producer.commit_transaction(PATIENCE))
        return True
    except KafkaException as error:
        if not error.args[0].txn_requires_abort():
            raise
        retried(lambda: producer.abort_transaction(PATIENCE))
        for one in reader.committed(reader.assignment(), PATIENCE):
            reader.seek(TopicPartition(one.topic, one.partition, max(one.offset, 0)))
        return False


def retried(call):
    """Calls again as long as librdkafka says that it may be: once the broker is back, it succeeds."""
    until("a call that is not to be retried", lambda: not is_to_be_retried(call))


def is_to_be_retried(call):
    try:
        call()
    except KafkaException as error:
        if not error.args[0].retriable():
            raise
        return True
    return False


VERSION = f"{confluent_kafka.__version__}, librdkafka {confluent_kafka.libversion()[0]}"
PHASES = {"phase1": phase1, "transactions": transactions, "phase2": phase2, "original": original, "copy": copy_all}
scenario.run("confluent-kafka", VERSION, PHASES)
