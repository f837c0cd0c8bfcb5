"""Starts the image through Testcontainers' Python module, in both its modes, and writes and reads one record.

Must never know anything of the image but its name.
"""

import sys

from kafka import KafkaConsumer, KafkaProducer
from testcontainers.community.kafka import KafkaContainer


def round_trip(bootstrap):
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    producer.send("greetings", b"hello").get(30)
    producer.close()
    consumer = KafkaConsumer(
        "greetings", bootstrap_servers=bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=30000
    )
    assert next(consumer).value == b"hello"
    consumer.close()


for name, container in [
    ("KRaft", KafkaContainer(image=sys.argv[1]).with_kraft()),
    ("ZooKeeper", KafkaContainer(image=sys.argv[1])),
]:
    with container as started:
        round_trip(started.get_bootstrap_server())
    print("ok", name, flush=True)
