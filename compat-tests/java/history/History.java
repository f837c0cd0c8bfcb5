// What the Java client does to a cluster under faults, told as the events of compat-tests/src/history: one JSON line each.
// It must never judge, nor end by itself: the files stop and last in its folder tell it how far to go.

import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.StringJoiner;
import java.util.concurrent.atomic.AtomicBoolean;

import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public final class History {
    private static final PrintStream OUT = System.out;
    // A broker that stands still is given up after so long, and asked again elsewhere.
    private static final String REQUEST_MS = "3000";
    private static final Duration POLL = Duration.ofMillis(200);
    private static final int VALUES_OF_A_TRANSACTION = 4;
    // One of so many transactions is aborted.
    private static final int ABORTED = 4;

    private final String bootstrap;
    private final Path folder;
    private final long perSecond;
    private final String padding;
    private final List<TopicPartition> plain;
    private final List<TopicPartition> whole;

    private interface Role {
        void run() throws Exception;
    }

    private History(String[] arguments) {
        this.bootstrap = arguments[0];
        this.folder = Path.of(arguments[1]);
        this.perSecond = Long.parseLong(arguments[2]);
        this.padding = "x".repeat(Integer.parseInt(arguments[3]));
        this.plain = places("plain", Integer.parseInt(arguments[4]));
        this.whole = places("whole", Integer.parseInt(arguments[5]));
    }

    public static void main(String[] arguments) throws Exception {
        History history = new History(arguments);
        List<Thread> threads = new ArrayList<>();
        threads.add(start("java-plain", history::plain));
        threads.add(start("java-whole", history::whole));
        threads.add(start("java-follower", () -> history.follow("java-follower", "follower", "committed")));
        for (String member : List.of("java-member-1", "java-member-2")) {
            threads.add(start(member, () -> history.member(member)));
        }
        history.await("last");
        threads.add(start("java-last", () -> history.follow("java-last", "last", "committed")));
        threads.add(start("java-last-u", () -> history.follow("java-last-u", "last", "uncommitted")));
        for (Thread thread : threads) {
            thread.join();
        }
    }

    private static Thread start(String by, Role role) {
        Thread thread = new Thread(() -> {
            try {
                role.run();
                tell(by, "ended", "");
            } catch (Throwable error) {
                error.printStackTrace(OUT);
                Runtime.getRuntime().halt(1);
            }
        });
        thread.start();
        return thread;
    }

    // An idempotent producer with what a producer's defaults are.
    private void plain() throws Exception {
        String by = "java-plain";
        try (KafkaProducer<String, String> producer = producer(new Properties())) {
            long begin = System.nanoTime();
            for (long number = 0; !isThere("stop"); number++) {
                send(producer, by, number, plain.get((int) (number % plain.size())), null, new AtomicBoolean());
                pace(begin + (number + 1) * 1_000_000_000L / perSecond);
            }
            producer.flush();
        }
    }

    private void whole() throws Exception {
        String by = "java-whole";
        long begun = 0;
        while (!isThere("stop")) {
            Properties settings = new Properties();
            settings.put("transactional.id", by);
            settings.put("transaction.timeout.ms", "20000");
            KafkaProducer<String, String> producer = producer(settings);
            try {
                again(by, producer::initTransactions);
                long begin = System.nanoTime();
                long first = begun;
                while (!isThere("stop")) {
                    transaction(producer, by, begun);
                    begun++;
                    pace(begin + (begun - first) * 1_000_000_000L * VALUES_OF_A_TRANSACTION / perSecond);
                }
            } catch (KafkaException error) {
                // This producer's life is over; the next one ends what it has left.
                note(by, error);
                begun++;
            } finally {
                producer.close(Duration.ZERO);
            }
        }
        Properties settings = new Properties();
        settings.put("transactional.id", by);
        try (KafkaProducer<String, String> producer = producer(settings)) {
            again(by, producer::initTransactions);
        }
    }

    private void transaction(KafkaProducer<String, String> producer, String by, long number) throws Exception {
        String name = by + ":" + number;
        AtomicBoolean failed = new AtomicBoolean();
        producer.beginTransaction();
        try {
            for (int each = 0; each < VALUES_OF_A_TRANSACTION; each++) {
                TopicPartition place = whole.get(each % whole.size());
                send(producer, by, number * VALUES_OF_A_TRANSACTION + each, place, name, failed);
            }
            producer.flush();
            if (number % ABORTED != ABORTED - 1 && !failed.get()) {
                tell(by, "committing", field("transaction", name));
                again(by, producer::commitTransaction);
                tell(by, "committed", field("transaction", name));
                return;
            }
        } catch (KafkaException error) {
            note(by, error);
        }
        again(by, producer::abortTransaction);
        tell(by, "aborted", field("transaction", name));
    }

    // A call that ran out of time is to be made again: nobody knows yet what became of it.
    private void again(String by, Runnable call) {
        while (true) {
            try {
                call.run();
                return;
            } catch (TimeoutException error) {
                note(by, error);
            }
        }
    }

    private void send(KafkaProducer<String, String> producer, String by, long number, TopicPartition place,
        String transaction, AtomicBoolean failed) {
        String value = by + "/" + number;
        String where = field("value", value) + field("place", place.toString());
        tell(by, "sent", where + ",\"transaction\":" + (transaction == null ? "null" : quoted(transaction)));
        ProducerRecord<String, String> record =
            new ProducerRecord<>(place.topic(), place.partition(), null, value + " " + padding);
        producer.send(record, (metadata, error) -> {
            if (error != null) {
                failed.set(true);
                tell(by, "failed", field("value", value) + field("error", error.toString()));
            } else {
                tell(by, "acked", where + ",\"offset\":" + (metadata.hasOffset() ? metadata.offset() : "null"));
            }
        });
    }

    // Reads everything from the beginning, on and on.
    private void follow(String by, String reader, String isolation) {
        List<TopicPartition> all = new ArrayList<>(plain);
        all.addAll(whole);
        try (KafkaConsumer<String, String> consumer = consumer(isolation, new Properties())) {
            consumer.assign(all);
            consumer.seekToBeginning(all);
            Set<TopicPartition> reached = new HashSet<>();
            while (true) {
                read(by, reader, isolation, consumer.poll(POLL));
                if (reader.equals("last") && reached.size() < all.size()) {
                    reach(by, consumer, all, reached);
                }
            }
        }
    }

    private void reach(String by, KafkaConsumer<String, String> consumer, List<TopicPartition> all, Set<TopicPartition> reached) {
        for (TopicPartition place : all) {
            // The lag is up to what its isolation lets it see.
            if (consumer.currentLag(place).orElse(1) == 0 && reached.add(place)) {
                tell(by, "reached", field("place", place.toString()));
            }
        }
    }

    private void member(String by) {
        Properties settings = new Properties();
        settings.put("group.id", "java");
        settings.put("group.protocol", "consumer");
        try (KafkaConsumer<String, String> consumer = consumer("committed", settings)) {
            consumer.subscribe(List.of("plain", "whole"), new ConsumerRebalanceListener() {
                @Override
                public void onPartitionsAssigned(Collection<TopicPartition> places) {
                    tell(by, "assigned", field("group", "java") + places(places));
                }

                @Override
                public void onPartitionsRevoked(Collection<TopicPartition> places) {
                    tell(by, "revoked", field("group", "java") + places(places));
                }
            });
            while (true) {
                ConsumerRecords<String, String> records = consumer.poll(POLL);
                read(by, "member", "committed", records);
                Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
                for (ConsumerRecord<String, String> record : records) {
                    offsets.put(new TopicPartition(record.topic(), record.partition()), new OffsetAndMetadata(record.offset() + 1));
                }
                save(by, consumer, offsets);
            }
        }
    }

    private void save(String by, KafkaConsumer<String, String> consumer, Map<TopicPartition, OffsetAndMetadata> offsets) {
        if (offsets.isEmpty()) {
            return;
        }
        try {
            consumer.commitSync(offsets);
        } catch (KafkaException error) {
            // What is not saved is read again.
            note(by, error);
            return;
        }
        StringJoiner saved = new StringJoiner(",", ",\"offsets\":{", "}");
        offsets.forEach((place, offset) -> saved.add(quoted(place.toString()) + ":" + offset.offset()));
        tell(by, "saved", field("group", "java") + saved);
    }

    private void read(String by, String reader, String isolation, ConsumerRecords<String, String> records) {
        if (records.isEmpty()) {
            return;
        }
        StringJoiner seen = new StringJoiner(",", ",\"records\":[", "]");
        for (ConsumerRecord<String, String> record : records) {
            String place = record.topic() + "-" + record.partition();
            seen.add("[" + quoted(place) + "," + record.offset() + "," + quoted(value(record.value())) + "]");
        }
        tell(by, "read", field("reader", reader) + field("isolation", isolation) + seen);
    }

    // What a producer has called it, if it is whole.
    private String value(String text) {
        int end = text.indexOf(' ');
        return end >= 0 && text.substring(end + 1).equals(padding) ? text.substring(0, end) : "damaged: " + text;
    }

    private void pace(long due) throws InterruptedException {
        long left = due - System.nanoTime();
        if (left > 0) {
            Thread.sleep(left / 1_000_000, (int) (left % 1_000_000));
        }
    }

    private void await(String file) throws InterruptedException {
        while (!isThere(file)) {
            Thread.sleep(20);
        }
    }

    private boolean isThere(String file) {
        return Files.exists(folder.resolve(file));
    }

    private static List<TopicPartition> places(String topic, int count) {
        List<TopicPartition> places = new ArrayList<>();
        for (int partition = 0; partition < count; partition++) {
            places.add(new TopicPartition(topic, partition));
        }
        return places;
    }

    private static String places(Collection<TopicPartition> places) {
        StringJoiner joined = new StringJoiner(",", ",\"places\":[", "]");
        places.forEach(place -> joined.add(quoted(place.toString())));
        return joined.toString();
    }

    private static void note(String by, Exception error) {
        tell(by, "noted", field("text", error.toString()));
    }

    private static void tell(String by, String what, String rest) {
        synchronized (OUT) {
            String head = "{\"ms\":" + System.currentTimeMillis() + field("by", by) + field("is", what);
            byte[] line = (head + rest + "}\n").getBytes(StandardCharsets.UTF_8);
            OUT.write(line, 0, line.length);
            OUT.flush();
        }
    }

    private static String field(String name, String text) {
        return "," + quoted(name) + ":" + quoted(text);
    }

    private static String quoted(String text) {
        return "\"" + text.replace("\\", "\\\\").replace("\"", "\\\"").replaceAll("\\s+", " ") + "\"";
    }

    private KafkaProducer<String, String> producer(Properties settings) {
        settings.put("bootstrap.servers", bootstrap);
        settings.put("request.timeout.ms", REQUEST_MS);
        return new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer());
    }

    private KafkaConsumer<String, String> consumer(String isolation, Properties settings) {
        settings.put("bootstrap.servers", bootstrap);
        settings.put("request.timeout.ms", REQUEST_MS);
        settings.put("isolation.level", "read_" + isolation);
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        return new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
    }
}
