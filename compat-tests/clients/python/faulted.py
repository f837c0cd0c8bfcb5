"""librdkafka (confluent-kafka) under faults that a test has set: it sends, reads, is a member or leaves a transaction open.

It tells in JSON lines what it saw and how long that took. It must never retry by itself what the client gave up.
"""

import json
import os
import sys
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

# ROLE BOOTSTRAP TOPIC WORD [NAME=VALUE]...; the word is a number of records, or a folder whose files tell how far to go.
ROLE, BOOTSTRAP, TOPIC, WORD = sys.argv[1:5]
POLL = 0.05
BETWEEN_RECORDS = 0.005
THROTTLED = [0]


def throttled(event):
    # In seconds, though librdkafka tells milliseconds.
    THROTTLED.append(round(event.throttle_time * 1000))


SETTINGS = {
    "bootstrap.servers": BOOTSTRAP,
    "throttle_cb": throttled,
    **dict(pair.split("=", 1) for pair in sys.argv[5:]),
}


def tell(**fields):
    print(json.dumps(fields), flush=True)


def since(begin):
    return int((time.monotonic() - begin) * 1000)


def is_there(file):
    return os.path.exists(os.path.join(WORD, file))


def send():
    """One record after the other is known to be there, or not."""
    producer = Producer(SETTINGS)
    start = time.monotonic()
    for number in range(int(WORD)):
        begin = time.monotonic()
        became = {}

        def told(error, message):
            became.update({"error": error.name()} if error else {"offset": message.offset()})

        producer.produce(TOPIC, f"v{number}", on_delivery=told)
        while not became:
            producer.poll(POLL)
        tell(sent=f"v{number}", ms=since(begin), at=since(start), **became)
    # The word of the throttle time may come behind the delivery.
    end = time.monotonic() + 1
    while max(THROTTLED) == 0 and time.monotonic() < end:
        producer.poll(POLL)
    tell(throttled_ms=max(THROTTLED))


def read():
    consumer = Consumer({"group.id": "unused", "enable.auto.commit": False, **SETTINGS})
    begin = time.monotonic()
    consumer.assign([TopicPartition(TOPIC, 0, 0)])
    left = int(WORD)
    while left > 0:
        message = consumer.poll(POLL)
        if message is not None and not message.error():
            tell(read=message.value().decode(), ms=since(begin))
            left -= 1
    end = time.monotonic() + 1
    while max(THROTTLED) == 0 and time.monotonic() < end:
        consumer.poll(POLL)
    tell(throttled_ms=max(THROTTLED))
    consumer.close()


def member():
    """Until it is killed."""
    consumer = Consumer(SETTINGS)

    def call(what):
        return lambda _, partitions: tell(called=what, count=len(partitions))

    consumer.subscribe([TOPIC], on_assign=call("assigned"), on_revoke=call("revoked"), on_lost=call("lost"))
    while True:
        consumer.poll(POLL)


def transaction():
    """Commits when it is told to, which may be too late."""
    producer = Producer(SETTINGS)
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(TOPIC, "open")
    assert producer.flush() == 0
    tell(open=True)
    while not is_there("commit"):
        producer.poll(POLL)
    try:
        producer.commit_transaction()
        tell(committed=True)
    except KafkaException as error:
        tell(committed=False, error=error.args[0].name())


def stream():
    """Record after record, whatever becomes of the others, until it is told to stop."""
    producer = Producer(SETTINGS)

    def told(error, message):
        value = message.value().decode()
        if error:
            tell(failed=value, error=error.name())
        else:
            tell(acked=value)

    number = 0
    while not is_there("stop"):
        producer.produce(TOPIC, f"v{number}", on_delivery=told)
        producer.poll(BETWEEN_RECORDS)
        number += 1
    assert producer.flush() == 0


{"send": send, "read": read, "member": member, "transaction": transaction, "stream": stream}[ROLE]()
tell(ended=True)
