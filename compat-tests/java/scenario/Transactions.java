// The checks of transactions of ../../clients/README.md with the Java client, for 2.8 and 4.3.
// It must never use what only one of the two has.

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Future;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidTxnStateException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

final class Transactions {
    private static final String COMMITTED = "read_committed";
    private static final String UNCOMMITTED = "read_uncommitted";

    private final String bootstrap;
    private final String name;
    private final TopicPartition source;
    private final TopicPartition out;

    Transactions(String bootstrap, String name) {
        this.bootstrap = bootstrap;
        this.name = name;
        this.source = new TopicPartition(name + "-in", 0);
        this.out = new TopicPartition(name + "-out", 0);
    }

    void beforeRestart(Admin admin) throws Exception {
        Scenario.get(admin.createTopics(Arrays.asList(
            new NewTopic(source.topic(), 1, (short) 1), new NewTopic(out.topic(), 1, (short) 1))).all());
        try (KafkaProducer<String, String> producer = transactional("writer", null)) {
            commitAndAbort(producer);
            offsets(producer);
        }
        zombie();
        timeout();
        KafkaProducer<String, String> lasting = transactional("lasting", null);
        begin(lasting, words("lasting", 0, 5));
        lasting.commitTransaction();
        begin(lasting, words("lasting", 5, 10));
        // Its transaction stays open: a producer that is closed aborts nothing.
        lasting.close(Duration.ZERO);
    }

    void afterRestart() throws Exception {
        try (KafkaProducer<String, String> lasting = transactional("lasting", null)) {
            begin(lasting, words("lasting", 10, 15));
            lasting.commitTransaction();
        }
        end("lasting");
        List<String> committed = words("lasting", 0, 5);
        committed.addAll(words("lasting", 10, 15));
        Scenario.expectEqual(seen("lasting", COMMITTED), committed, "what is committed");
        Scenario.expectEqual(seen("lasting", UNCOMMITTED), words("lasting", 0, 15), "what is written");
        Scenario.passed("survives a restart");
    }

    private void commitAndAbort(KafkaProducer<String, String> producer) throws Exception {
        begin(producer, words("plain", 0, 10));
        producer.commitTransaction();
        begin(producer, words("plain", 10, 20));
        producer.abortTransaction();
        begin(producer, words("plain", 20, 30));
        producer.commitTransaction();
        end("plain");
        List<String> committed = words("plain", 0, 10);
        committed.addAll(words("plain", 20, 30));
        Scenario.expectEqual(seen("plain", COMMITTED), committed, "what is committed");
        Scenario.expectEqual(seen("plain", UNCOMMITTED), words("plain", 0, 30), "what is written");
        Scenario.passed("commit and abort");
    }

    private void offsets(KafkaProducer<String, String> producer) throws Exception {
        write(source, words("copy", 0, 10));
        Scenario.expectEqual(copied(producer, producer::abortTransaction), null, "the offset after an abort");
        OffsetAndMetadata committed = copied(producer, producer::commitTransaction);
        Scenario.expectEqual(committed, new OffsetAndMetadata(10, "ten"), "the offset after a commit");
        end("copy");
        Scenario.expectEqual(seen("copy", COMMITTED), words("copy", 0, 10), "the copies");
        Scenario.passed("offsets in transactions");
    }

    // Copies ten records in a transaction and gives the group's committed offset after its end.
    private OffsetAndMetadata copied(KafkaProducer<String, String> producer, Runnable close) throws Exception {
        List<String> got = new ArrayList<>();
        try (KafkaConsumer<String, String> reader = consumer(name + "-copiers", COMMITTED)) {
            reader.subscribe(Collections.singletonList(source.topic()));
            Scenario.until("ten records to copy", () -> {
                reader.poll(Duration.ofMillis(500)).forEach(record -> got.add(record.value()));
                return got.size() >= 10;
            });
            begin(producer, got);
            Map<TopicPartition, OffsetAndMetadata> offsets =
                Collections.singletonMap(source, new OffsetAndMetadata(reader.position(source), "ten"));
            producer.sendOffsetsToTransaction(offsets, reader.groupMetadata());
            close.run();
            return reader.committed(Collections.singleton(source)).get(source);
        }
    }

    private void zombie() throws Exception {
        KafkaProducer<String, String> zombie = transactional("fenced", null);
        begin(zombie, words("fenced", 0, 1));
        try (KafkaProducer<String, String> heir = transactional("fenced", null)) {
            try {
                zombie.commitTransaction();
                throw new IllegalStateException("the zombie's commit is not refused");
            } catch (ProducerFencedException expected) {
                zombie.close(Duration.ZERO);
            }
            begin(heir, words("fenced", 1, 2));
            heir.commitTransaction();
        }
        end("fenced");
        Scenario.expectEqual(seen("fenced", COMMITTED), words("fenced", 1, 2), "what the heir committed");
        Scenario.passed("zombie fenced");
    }

    private void timeout() throws Exception {
        KafkaProducer<String, String> late = transactional("late", 2000);
        begin(late, words("late", 0, 1));
        end("late");
        Scenario.expectEqual(seen("late", COMMITTED), Collections.emptyList(), "what is committed in time");
        // What is refused with depends on the version of the request that ends the transaction.
        try {
            late.commitTransaction();
            throw new IllegalStateException("the late commit is not refused");
        } catch (ProducerFencedException | InvalidTxnStateException expected) {
            late.close(Duration.ZERO);
        }
        Scenario.passed("time-out");
    }

    // Begins a transaction with these values, which have reached the broker at the end.
    private void begin(KafkaProducer<String, String> producer, List<String> values) throws Exception {
        producer.beginTransaction();
        send(producer, out, values);
    }

    private void write(TopicPartition to, List<String> values) throws Exception {
        try (KafkaProducer<String, String> producer = producer(new Properties())) {
            send(producer, to, values);
        }
    }

    private static void send(KafkaProducer<String, String> producer, TopicPartition to, List<String> values)
        throws Exception {
        List<Future<?>> sent = new ArrayList<>();
        values.forEach(value -> sent.add(producer.send(new ProducerRecord<>(to.topic(), to.partition(), null, value))));
        producer.flush();
        for (Future<?> future : sent) {
            Scenario.get(future);
        }
    }

    private void end(String word) throws Exception {
        write(out, Collections.singletonList(word + " end"));
    }

    // The values of a check, up to its last record, for a reader of this isolation.
    private List<String> seen(String word, String isolation) {
        List<String> got = new ArrayList<>();
        try (KafkaConsumer<String, String> reader = consumer(name + "-reader", isolation)) {
            reader.assign(Collections.singletonList(out));
            reader.seekToBeginning(Collections.singletonList(out));
            Scenario.until("the end of " + word + " for " + isolation, () -> {
                for (ConsumerRecord<String, String> record : reader.poll(Duration.ofMillis(500))) {
                    got.add(record.value());
                }
                return got.contains(word + " end");
            });
        }
        List<String> values = new ArrayList<>(got.subList(0, got.indexOf(word + " end")));
        values.removeIf(value -> !value.startsWith(word + " "));
        return values;
    }

    private static List<String> words(String word, int first, int end) {
        List<String> values = new ArrayList<>();
        for (int number = first; number < end; number++) {
            values.add(word + " " + number);
        }
        return values;
    }

    private KafkaProducer<String, String> transactional(String id, Integer timeoutMs) {
        Properties settings = new Properties();
        settings.put("transactional.id", name + "-" + id);
        if (timeoutMs != null) {
            settings.put("transaction.timeout.ms", timeoutMs);
        }
        KafkaProducer<String, String> producer = producer(settings);
        producer.initTransactions();
        return producer;
    }

    private KafkaProducer<String, String> producer(Properties settings) {
        settings.put("bootstrap.servers", bootstrap);
        return new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer());
    }

    private KafkaConsumer<String, String> consumer(String group, String isolation) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("group.id", group);
        settings.put("isolation.level", isolation);
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        return new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
    }
}
