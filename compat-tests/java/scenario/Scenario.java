// The scenario of ../../clients/README.md with the Java client, written so that 2.8 and 4.3 both compile it.
// It must never use what only one of the two has, except by name at run time.

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Properties;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.DescribeTopicsResult;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.AppInfoParser;

public final class Scenario {
    private static final List<String> CODECS = Arrays.asList("none", "gzip", "snappy", "lz4", "zstd");
    private static final long PATIENCE_SECONDS = 40;

    private final String bootstrap;
    private final String name;
    private final Admin admin;

    private Scenario(String bootstrap, String name) {
        this.bootstrap = bootstrap;
        this.name = name;
        this.admin = Admin.create(settings());
    }

    public static void main(String[] arguments) {
        String phase = arguments[0];
        try {
            Scenario scenario = new Scenario(arguments[1], arguments[2]);
            if (phase.equals("phase1")) {
                scenario.phase1();
            } else if (phase.equals("transactions")) {
                new Transactions(arguments[1], arguments[2]).beforeRestart(scenario.admin);
            } else {
                scenario.phase2();
            }
            scenario.admin.close();
            String version = AppInfoParser.getVersion();
            say("{\"client\": \"Java\", \"version\": \"" + version + "\", \"phase\": \"" + phase + "\"}");
        } catch (Throwable error) {
            String detail = error.toString().replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", " ");
            say("{\"check\": \"" + phase + "\", \"ok\": false, \"detail\": \"" + detail + "\"}");
            error.printStackTrace();
            System.exit(1);
        }
    }

    private void phase1() throws Exception {
        List<String> brokers = new ArrayList<>();
        for (Node node : get(admin.describeCluster().nodes())) {
            brokers.add(node.host() + ":" + node.port());
        }
        expectEqual(brokers, Collections.singletonList(bootstrap), "the brokers");
        passed("cluster");
        createTopics();
        alterConfig();
        for (String codec : CODECS) {
            List<ProducerRecord<byte[], byte[]>> wanted = records(codec);
            produce(wanted, codec);
            expectEqual(readAll(topic(codec), 100), shown(wanted), "the records of " + codec);
            passed("codec " + codec);
        }
        group();
        keep();
    }

    private void createTopics() throws Exception {
        List<NewTopic> topics = new ArrayList<>();
        topics.add(new NewTopic(topic("shared"), 4, (short) 1)
            .configs(Collections.singletonMap("retention.ms", "3600000")));
        topics.add(new NewTopic(topic("kept"), 1, (short) 1));
        for (String codec : CODECS) {
            topics.add(new NewTopic(topic(codec), 1, (short) 1));
        }
        get(admin.createTopics(topics).all());
        until("four partitions with a leader", () -> described(topic("shared")).partitions().stream()
            .filter(partition -> partition.leader() != null).count() == 4);
        passed("create topic");
    }

    // 4.0 renamed the method and dropped the old name.
    @SuppressWarnings("unchecked")
    private TopicDescription described(String topic) {
        DescribeTopicsResult result = admin.describeTopics(Collections.singletonList(topic));
        try {
            java.lang.reflect.Method values;
            try {
                values = DescribeTopicsResult.class.getMethod("topicNameValues");
            } catch (NoSuchMethodException old) {
                values = DescribeTopicsResult.class.getMethod("values");
            }
            return get(((Map<String, KafkaFuture<TopicDescription>>) values.invoke(result)).get(topic));
        } catch (Exception error) {
            throw new IllegalStateException(error);
        }
    }

    private void alterConfig() throws Exception {
        expectEqual(retention(), "3600000", "retention.ms");
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic("shared"));
        AlterConfigOp set = new AlterConfigOp(new ConfigEntry("retention.ms", "7200000"), AlterConfigOp.OpType.SET);
        get(admin.incrementalAlterConfigs(
            Collections.singletonMap(resource, Collections.singletonList(set))).all());
        until("the altered retention.ms", () -> retention().equals("7200000"));
        passed("alter config");
    }

    private String retention() {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic("shared"));
        try {
            return get(admin.describeConfigs(Collections.singletonList(resource)).all())
                .get(resource).get("retention.ms").value();
        } catch (Exception error) {
            throw new IllegalStateException(error);
        }
    }

    private void group() throws Exception {
        String members = name + "-members";
        Member first = new Member(members);
        Member second = new Member(members);
        try {
            until("two partitions each", () -> first.partitions.size() == 2 && second.partitions.size() == 2);
            produce(numbered("before"), "none");
            until("40 records", () -> first.values.size() + second.values.size() >= 40);
            List<String> both = new ArrayList<>(first.values);
            both.addAll(second.values);
            expectEqual(new TreeSet<>(both), numbers("before"), "the records of both");
            expectEqual(Arrays.asList(first.values.size(), second.values.size()), Arrays.asList(20, 20), "the shares");
            passed("two members");

            expectEqual(groups().contains(members), true, "the group is listed");
            passed("list groups");
            ConsumerGroupDescription described = get(
                admin.describeConsumerGroups(Collections.singletonList(members)).all()).get(members);
            expectEqual(described.state().toString(), "Stable", "the group's state");
            expectEqual(described.members().size(), 2, "the group's members");
            passed("describe group");

            first.leave();
            until("all partitions", () -> second.partitions.size() == 4);
            produce(numbered("after"), "none");
            until("the next 40 records", () -> second.values.size() >= 60);
            List<String> after = second.values.subList(20, second.values.size());
            expectEqual(after.size(), 40, "the number of the next records");
            expectEqual(new TreeSet<>(after), numbers("after"), "the records of the one that stayed");
            passed("one member left");
        } finally {
            first.leave();
            second.leave();
        }
    }

    @SuppressWarnings("deprecation")
    private Set<String> groups() throws Exception {
        Set<String> ids = new HashSet<>();
        get(admin.listConsumerGroups().all()).forEach(listing -> ids.add(listing.groupId()));
        return ids;
    }

    private void keep() throws Exception {
        TopicPartition kept = new TopicPartition(topic("kept"), 0);
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int number = 0; number < 10; number++) {
            records.add(new ProducerRecord<>(kept.topic(), 0, null, bytes("kept " + number)));
        }
        produce(records, "none");
        expectEqual(offset(kept, OffsetSpec.earliest()), 0L, "the first offset");
        expectEqual(offset(kept, OffsetSpec.latest()), 10L, "the last offset");
        passed("list offsets");

        try (KafkaConsumer<byte[], byte[]> keeper = consumer(name + "-keeper")) {
            keeper.assign(Collections.singletonList(kept));
            keeper.commitSync(Collections.singletonMap(kept, new OffsetAndMetadata(7, "seven")));
        }
        passed("commit");
    }

    private long offset(TopicPartition partition, OffsetSpec spec) throws Exception {
        return get(admin.listOffsets(Collections.singletonMap(partition, spec)).all()).get(partition).offset();
    }

    private void phase2() throws Exception {
        String keeper = name + "-keeper";
        TopicPartition kept = new TopicPartition(topic("kept"), 0);
        List<String> values = new ArrayList<>();
        try (KafkaConsumer<byte[], byte[]> again = consumer(keeper)) {
            again.subscribe(Collections.singletonList(kept.topic()));
            until("the rest of the records", () -> {
                again.poll(Duration.ofMillis(500)).forEach(record -> values.add(text(record.value())));
                return values.size() >= 3;
            });
        }
        expectEqual(values, Arrays.asList("kept 7", "kept 8", "kept 9"), "the records after the commit");
        passed("resume");

        OffsetAndMetadata found =
            get(admin.listConsumerGroupOffsets(keeper).partitionsToOffsetAndMetadata()).get(kept);
        expectEqual(Arrays.asList(found.offset(), found.metadata()), Arrays.asList(7L, "seven"), "the committed offset");
        passed("committed");

        expectEqual(retention(), "7200000", "retention.ms");
        passed("kept config");
        for (String codec : CODECS) {
            expectEqual(readAll(topic(codec), 100), shown(records(codec)), "the records of " + codec);
        }
        passed("kept records");

        new Transactions(bootstrap, name).afterRestart();

        get(admin.deleteConsumerGroups(Collections.singletonList(keeper)).all());
        expectEqual(groups().contains(keeper), false, "the deleted group is listed");
        passed("delete group");

        List<String> topics = new ArrayList<>();
        Arrays.asList("shared", "kept", "in", "out").forEach(rest -> topics.add(topic(rest)));
        CODECS.forEach(codec -> topics.add(topic(codec)));
        get(admin.deleteTopics(topics).all());
        until("the topics are gone", () -> {
            try {
                return get(admin.listTopics().names()).stream().noneMatch(topic -> topic.startsWith(name + "-"));
            } catch (Exception error) {
                throw new IllegalStateException(error);
            }
        });
        passed("delete topics");
    }

    // A group member that polls on a thread of its own until told to leave.
    private final class Member implements ConsumerRebalanceListener {
        final Set<Integer> partitions = ConcurrentHashMap.newKeySet();
        final List<String> values = new CopyOnWriteArrayList<>();
        private final KafkaConsumer<byte[], byte[]> consumer;
        private final Thread thread;
        private volatile boolean leaving;

        Member(String group) {
            consumer = consumer(group);
            consumer.subscribe(Collections.singletonList(topic("shared")), this);
            thread = new Thread(this::poll);
            thread.start();
        }

        private void poll() {
            while (!leaving) {
                List<String> got = new ArrayList<>();
                consumer.poll(Duration.ofMillis(100)).forEach(record -> got.add(text(record.value())));
                if (!got.isEmpty()) {
                    consumer.commitSync();
                    values.addAll(got);
                }
            }
            consumer.close();
        }

        void leave() throws InterruptedException {
            leaving = true;
            thread.join();
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> assigned) {
            assigned.forEach(partition -> partitions.add(partition.partition()));
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> revoked) {
            revoked.forEach(partition -> partitions.remove(partition.partition()));
        }
    }

    private void produce(List<ProducerRecord<byte[], byte[]>> records, String codec) throws Exception {
        Map<String, Object> settings = new HashMap<>();
        settings().forEach((key, value) -> settings.put((String) key, value));
        settings.put("compression.type", codec);
        settings.put("linger.ms", 20);
        settings.put("acks", "all");
        settings.put("enable.idempotence", true);
        List<Future<?>> sent = new ArrayList<>();
        try (KafkaProducer<byte[], byte[]> producer =
                 new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
            records.forEach(record -> sent.add(producer.send(record)));
            producer.flush();
            for (Future<?> future : sent) {
                get(future);
            }
        }
    }

    private KafkaConsumer<byte[], byte[]> consumer(String group) {
        Properties settings = settings();
        settings.put("group.id", group);
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        settings.put("session.timeout.ms", "10000");
        settings.put("heartbeat.interval.ms", "1000");
        return new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private List<String> readAll(String topic, int count) {
        List<String> got = new ArrayList<>();
        try (KafkaConsumer<byte[], byte[]> reader = consumer(name + "-reader")) {
            List<TopicPartition> partition = Collections.singletonList(new TopicPartition(topic, 0));
            reader.assign(partition);
            reader.seekToBeginning(partition);
            until(count + " records of " + topic, () -> {
                for (ConsumerRecord<byte[], byte[]> record : reader.poll(Duration.ofMillis(500))) {
                    got.add(shown(record.key(), record.value(), record.headers()));
                }
                return got.size() >= count;
            });
        }
        return got;
    }

    private List<ProducerRecord<byte[], byte[]>> records(String codec) {
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int number = 0; number < 100; number++) {
            byte[] key = bytes("k" + number % 7);
            byte[] value = bytes(codec + " " + number + " " + String.join("", Collections.nCopies(20, "lorem ipsum ")));
            if (number == 50) {
                value = null;
            } else if (number == 51) {
                key = null;
            } else if (number == 52) {
                key = new byte[0];
                value = new byte[0];
            } else if (number == 53) {
                value = new byte[256];
                for (int one = 0; one < value.length; one++) {
                    value[one] = (byte) one;
                }
            }
            ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(topic(codec), 0, key, value);
            record.headers().add("codec", bytes(codec)).add("n", bytes(Integer.toString(number)));
            records.add(record);
        }
        return records;
    }

    private List<ProducerRecord<byte[], byte[]>> numbered(String word) {
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int number = 0; number < 40; number++) {
            records.add(new ProducerRecord<>(topic("shared"), number % 4, null, bytes(word + " " + number)));
        }
        return records;
    }

    private static Set<String> numbers(String word) {
        Set<String> values = new TreeSet<>();
        for (int number = 0; number < 40; number++) {
            values.add(word + " " + number);
        }
        return values;
    }

    private static List<String> shown(List<ProducerRecord<byte[], byte[]>> records) {
        List<String> texts = new ArrayList<>();
        records.forEach(record -> texts.add(shown(record.key(), record.value(), record.headers())));
        return texts;
    }

    private static String shown(byte[] key, byte[] value, Iterable<Header> headers) {
        StringBuilder all = new StringBuilder(Arrays.toString(key) + Arrays.toString(value));
        headers.forEach(header -> all.append(header.key()).append('=').append(text(header.value())).append(' '));
        return all.toString();
    }

    private Properties settings() {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        return settings;
    }

    private String topic(String rest) {
        return name + "-" + rest;
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static String text(byte[] bytes) {
        return new String(bytes, StandardCharsets.UTF_8);
    }

    static <T> T get(Future<T> future) throws Exception {
        return future.get(PATIENCE_SECONDS, TimeUnit.SECONDS);
    }

    static void until(String what, BooleanSupplier holds) {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS);
        while (!holds.getAsBoolean()) {
            if (System.nanoTime() > deadline) {
                throw new IllegalStateException("not within " + PATIENCE_SECONDS + " s: " + what);
            }
            try {
                Thread.sleep(50);
            } catch (InterruptedException error) {
                throw new IllegalStateException(error);
            }
        }
    }

    static void expectEqual(Object got, Object wanted, String what) {
        if (!Objects.equals(got, wanted)) {
            throw new IllegalStateException(what + ": got " + got + ", wanted " + wanted);
        }
    }

    static void passed(String check) {
        say("{\"check\": \"" + check + "\", \"ok\": true}");
    }

    private static void say(String line) {
        System.out.println(line);
    }
}
