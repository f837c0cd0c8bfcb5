// AKHQ's calls: its admin client, consumers and producer, in the order in which its pages need them, told line by line.
//
//   java Akhq <bootstrap>
//
// Read from its sources at 91aa445 (AbstractKafkaWrapper, RecordRepository, ConsumerGroupRepository and ConfigRepository), which use
// calls that later clients no longer have. It must never ask in another way than they do.

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.StreamSupport;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.DescribeClusterResult;
import org.apache.kafka.clients.admin.ListTopicsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.acl.AccessControlEntryFilter;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePatternFilter;
import org.apache.kafka.common.resource.ResourceType;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public final class Akhq {
    private static final String TOPIC = "orders";
    private static final String COPY = "copies";
    private static final String GROUP = "shippers";
    /** Ten seconds in AKHQ, which waits for all of them at each end. */
    private static final long POLL_MS = 700;

    private final String bootstrap;
    private final AdminClient admin;
    private final KafkaProducer<byte[], byte[]> producer;
    private List<Integer> brokers = List.of();

    private Akhq(String bootstrap) {
        this.bootstrap = bootstrap;
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        admin = AdminClient.create(properties);
        producer = new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer());
    }

    public static void main(String[] arguments) throws Exception {
        Akhq akhq = new Akhq(arguments[0]);
        akhq.looksAtNodes();
        akhq.makesTopics();
        akhq.changesSettings();
        akhq.sends();
        akhq.reads();
        akhq.looksAfterGroups();
        akhq.looksAtRules();
        akhq.empties();
        akhq.removes();
        akhq.producer.close();
        akhq.admin.close();
    }

    private KafkaConsumer<byte[], byte[]> consumer(Map<String, Object> more) {
        Properties properties = new Properties();
        properties.put("max.poll.records", 25000);
        properties.put("isolation.level", "read_committed");
        properties.put("enable.auto.commit", "false");
        properties.put("default.api.timeout.ms", 15000);
        properties.put("bootstrap.servers", bootstrap);
        properties.putAll(more);
        return new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private void looksAtNodes() throws Exception {
        DescribeClusterResult cluster = admin.describeCluster();
        Collection<Node> nodes = cluster.nodes().get();
        brokers = Told.ids(nodes);
        Told.note("cluster", "id of " + cluster.clusterId().get().length() + ", nodes " + Told.nodes(nodes) + ", controller among them "
            + nodes.contains(cluster.controller().get()));
        ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, String.valueOf(brokers.get(0)));
        Told.config("broker", admin.describeConfigs(List.of(broker)).all().get().get(broker));
    }

    private String listed() throws Exception {
        return Told.sorted(admin.listTopics(new ListTopicsOptions().listInternal(true)).listings().get().stream()
            .map(topic -> topic.name() + " internal " + topic.isInternal()).collect(Collectors.toList()));
    }

    @SuppressWarnings("deprecation")
    private Map<String, TopicDescription> topics(List<String> names) throws Exception {
        return admin.describeTopics(names).all().get();
    }

    private void created(String name, int partitions) throws Exception {
        Told.await("a led " + name, () -> topics(List.of(name)).get(name), topic -> topic.partitions().size() == partitions
            && topic.partitions().stream().allMatch(partition -> partition.leader() != null));
    }

    private void creates(String name, int partitions, int replicas, Map<String, String> config) {
        NewTopic topic = new NewTopic(name, partitions, (short) replicas).configs(config);
        Told.ask("create " + name, () -> admin.createTopics(Set.of(topic)).all().get());
    }

    private void makesTopics() throws Exception {
        Told.ask("topics", this::listed);
        creates(TOPIC, 2, brokers.size(), Map.of("retention.ms", "-1", "cleanup.policy", "delete"));
        created(TOPIC, 2);
        creates(TOPIC, 2, 1, Map.of());
        creates("wrong", 1, 1, Map.of("cleanup.policy", "shred"));
        Told.ask("partitions 3", () -> admin.createPartitions(Map.of(TOPIC, NewPartitions.increaseTo(3))).all().get());
        created(TOPIC, 3);
        Told.ask("partitions 1", () -> admin.createPartitions(Map.of(TOPIC, NewPartitions.increaseTo(1))).all().get());
        creates(COPY, 3, brokers.size(), Map.of("retention.ms", "-1"));
        created(COPY, 3);
        Told.tell("topics", this::listed, told -> told.contains(TOPIC) && told.contains(COPY));
        Told.tell("described", () -> Told.sorted(topics(List.of(TOPIC, COPY)).values().stream().map(Told::topic).collect(Collectors.toList())),
            told -> told.split("led true").length == 7);
        Told.ask("described, one unknown", () -> topics(List.of(TOPIC, "unknown")));
        // A led partition may have no files yet.
        int replicas = 6 * brokers.size();
        Told.note("directories", Told.await("all files", () -> Told.dirs(
            admin.describeLogDirs(admin.describeCluster().nodes().get().stream().map(Node::id).collect(Collectors.toList()))
                .allDescriptions().get(), List.of(TOPIC, COPY)), told -> told.split(" lag ").length == replicas + 1));
    }

    /** The whole configuration is written: what was set before, and what is new. */
    @SuppressWarnings("deprecation")
    private void updates(ConfigResource resource, Map<String, String> wanted, Set<String> reset) throws Exception {
        List<ConfigEntry> entries = new ArrayList<>();
        admin.describeConfigs(List.of(resource)).all().get().get(resource).entries().stream()
            .filter(entry -> entry.source().name().startsWith("DYNAMIC_"))
            .filter(entry -> !reset.contains(entry.name()) && !wanted.containsKey(entry.name()))
            .forEach(entry -> entries.add(new ConfigEntry(entry.name(), entry.value())));
        wanted.forEach((name, value) -> entries.add(new ConfigEntry(name, value)));
        Told.ask("alter " + resource.type() + " " + Told.sorted(wanted), () -> admin.alterConfigs(Map.of(resource, new Config(entries))).all().get());
    }

    private String set(ConfigResource resource) throws Exception {
        return Told.sorted(admin.describeConfigs(List.of(resource)).all().get().get(resource).entries().stream()
            .filter(entry -> entry.source().name().startsWith("DYNAMIC_")).map(Told::entry).collect(Collectors.toList()));
    }

    private void changesSettings() throws Exception {
        ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, TOPIC);
        Told.config("setting", Told.await("the settings", () -> admin.describeConfigs(List.of(topic)).all().get().get(topic),
            config -> Told.set(config).contains("retention.ms")));
        updates(topic, Map.of("max.message.bytes", "200000"), Set.of());
        Told.tell("set", () -> set(topic), told -> told.contains("200000"));
        updates(topic, Map.of(), Set.of("max.message.bytes"));
        Told.tell("set", () -> set(topic), told -> !told.contains("200000"));
        updates(topic, Map.of("retention.ms", "later"), Set.of());
        updates(topic, Map.of("colour", "red"), Set.of());
        ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, String.valueOf(brokers.get(0)));
        // Kafka 4 refuses it: min.insync.replicas of the whole cluster is among what was set before.
        updates(broker, Map.of("log.cleaner.threads", "2"), Set.of());
        updates(broker, Map.of("log.dirs", "/elsewhere"), Set.of());
        Told.ask("set", () -> set(broker));
        ConfigResource unknown = new ConfigResource(ConfigResource.Type.TOPIC, "unknown");
        Told.ask("settings of an unknown topic", () -> admin.describeConfigs(List.of(unknown)).all().get());
    }

    private static byte[] bytes(String text) {
        return text == null ? null : text.getBytes(StandardCharsets.UTF_8);
    }

    private void sends() throws Exception {
        for (int number = 0; number < 12; number++) {
            ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(TOPIC, number % 3, 1_700_000_000_000L + number * 1000L,
                bytes("key " + number), bytes("value " + number));
            record.headers().add("source", bytes("test"));
            RecordMetadata sent = producer.send(record).get();
            Told.note("sent", sent + " time " + sent.timestamp());
        }
        // A record is deleted by its key and no value.
        RecordMetadata deleted = producer.send(new ProducerRecord<>(TOPIC, 0, 1_700_000_012_000L, bytes("key 0"), (byte[]) null)).get();
        Told.note("tombstone", deleted + " time " + deleted.timestamp());
        Told.ask("settings of a topic without a name", () -> admin.describeConfigs(List.of(
            new ConfigResource(ConfigResource.Type.TOPIC, ""))).all().get());
        Told.ask("no such partition", () -> producer.partitionsFor(TOPIC).size());
    }

    /** First offsets by time, since the others may be told too low; the last as they are. */
    private Map<TopicPartition, long[]> offsets(List<String> names) throws Exception {
        List<TopicPartition> all = topics(names).values().stream()
            .flatMap(topic -> topic.partitions().stream().map(partition -> Told.at(topic.name(), partition.partition())))
            .collect(Collectors.toList());
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(Map.of())) {
            Map<TopicPartition, OffsetAndTimestamp> begin =
                consumer.offsetsForTimes(all.stream().collect(Collectors.toMap(at -> at, at -> 0L)));
            Map<TopicPartition, Long> end = consumer.endOffsets(all);
            Map<TopicPartition, long[]> result = new HashMap<>();
            begin.forEach((at, found) -> result.put(at, new long[] {found == null ? end.get(at) : found.offset(), end.get(at)}));
            return result;
        }
    }

    private String told(Map<TopicPartition, long[]> offsets) {
        return Told.sorted(offsets.entrySet().stream()
            .map(entry -> entry.getKey() + " " + entry.getValue()[0] + "-" + entry.getValue()[1]).collect(Collectors.toList()));
    }

    /** Waits for metadata, too, which the newer call does not. */
    @SuppressWarnings("deprecation")
    private static ConsumerRecords<byte[], byte[]> poll(KafkaConsumer<byte[], byte[]> consumer) {
        return consumer.poll(POLL_MS);
    }

    private static String told(Iterable<ConsumerRecord<byte[], byte[]>> records) {
        return Told.sorted(StreamSupport.stream(records.spliterator(), false)
            .map(record -> record.partition() + "@" + record.offset() + " " + record.timestampType() + " " + record.timestamp() + " "
                + text(record.key()) + "=" + text(record.value()) + " headers " + record.headers().toArray().length + " epoch "
                + record.leaderEpoch().isPresent())
            .collect(Collectors.toList()));
    }

    private static String text(byte[] bytes) {
        return bytes == null ? null : new String(bytes, StandardCharsets.UTF_8);
    }

    private void reads() throws Exception {
        Map<TopicPartition, long[]> offsets = offsets(List.of(TOPIC));
        Told.note("offsets", told(offsets));
        Told.note("offsets of both", told(offsets(List.of(TOPIC, COPY))));
        List<TopicPartition> all = offsets.keySet().stream().sorted((a, b) -> a.partition() - b.partition()).collect(Collectors.toList());
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(Map.of())) {
            consumer.assign(all);
            consumer.endOffsets(consumer.assignment()).forEach((at, end) -> consumer.seek(at, Math.max(0, end - 2)));
            List<ConsumerRecord<byte[], byte[]>> last = new ArrayList<>();
            while (last.size() < 6) {
                poll(consumer).forEach(last::add);
            }
            Told.note("last", told(last));
        }
        for (TopicPartition at : all) {
            readsOne("oldest", at, offsets.get(at)[0], Map.of("max.poll.records", 3));
            readsOne("newest", at, Math.max(0, offsets.get(at)[1] - 3), Map.of("max.poll.records", 3));
            readsOne("single", at, 1, Map.of("max.poll.records", 1));
        }
        for (long time : new long[] {0, 1_700_000_004_500L, 1_800_000_000_000L}) {
            try (KafkaConsumer<byte[], byte[]> consumer = consumer(Map.of())) {
                Map<TopicPartition, OffsetAndTimestamp> found =
                    consumer.offsetsForTimes(all.stream().collect(Collectors.toMap(at -> at, at -> time)));
                // A leader epoch may stand beside it, which counts the elections of the run.
                Told.note("offsets of " + time, Told.sorted(found.entrySet().stream().map(entry -> entry.getKey() + " "
                    + (entry.getValue() == null ? null : entry.getValue().offset() + " " + entry.getValue().timestamp()))
                    .collect(Collectors.toList())));
            }
        }
        searches(all);
        copies(all, offsets);
    }

    private void readsOne(String what, TopicPartition at, long from, Map<String, Object> more) {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(more)) {
            consumer.assign(List.of(at));
            consumer.seek(at, from);
            Told.note(what + " from " + from, told(poll(consumer)));
        }
    }

    /** Until nothing comes. */
    private void searches(List<TopicPartition> all) {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(Map.of())) {
            consumer.assign(all);
            all.forEach(at -> consumer.seek(at, 0));
            List<ConsumerRecord<byte[], byte[]>> found = new ArrayList<>();
            ConsumerRecords<byte[], byte[]> polled;
            do {
                polled = poll(consumer);
                polled.forEach(found::add);
            } while (!polled.isEmpty());
            Told.note("found", told(found));
        }
    }

    private void copies(List<TopicPartition> all, Map<TopicPartition, long[]> offsets) throws Exception {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(Map.of("max.poll.records", 500))) {
            consumer.assign(all);
            all.forEach(at -> consumer.seek(at, 0));
            ConsumerRecords<byte[], byte[]> polled;
            do {
                polled = poll(consumer);
                for (ConsumerRecord<byte[], byte[]> record : polled) {
                    producer.send(new ProducerRecord<>(COPY, record.partition(), record.timestamp(), record.key(), record.value(), record.headers()));
                }
            } while (!polled.isEmpty());
            producer.flush();
        }
        Told.note("copied", told(offsets(List.of(COPY))).replace(COPY, TOPIC).equals(told(offsets)));
    }

    private String groups() throws Exception {
        return Told.sorted(admin.listConsumerGroups().all().get().stream()
            .map(group -> group.groupId() + " simple " + group.isSimpleConsumerGroup() + " " + group.state()).collect(Collectors.toList()));
    }

    private String group(String name) throws Exception {
        Map<String, ConsumerGroupDescription> described = admin.describeConsumerGroups(List.of(name)).all().get();
        return Told.group(described.get(name)) + " committed "
            + Told.sorted(admin.listConsumerGroupOffsets(name).partitionsToOffsetAndMetadata().get());
    }

    /** A consumer that never joins commits for the group. */
    private void commits(Map<TopicPartition, OffsetAndMetadata> offsets) {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(Map.of("group.id", GROUP))) {
            Told.ask("commit", () -> {
                consumer.commitSync(offsets);
                return "done";
            });
        }
    }

    private void looksAfterGroups() throws Exception {
        Told.ask("groups", this::groups);
        Told.ask("unknown group", () -> group("unknown"));
        commits(Map.of(Told.at(TOPIC, 0), new OffsetAndMetadata(1), Told.at(TOPIC, 1), new OffsetAndMetadata(2)));
        Told.ask("groups", this::groups);
        Told.ask("group", () -> group(GROUP));
        Map<String, Object> joining = Map.of("group.id", GROUP, "client.id", "shipper", "auto.offset.reset", "earliest");
        try (KafkaConsumer<byte[], byte[]> member = consumer(joining)) {
            member.subscribe(List.of(TOPIC));
            Told.await("an assignment", () -> poll(member), records -> member.assignment().size() == 3);
            Told.ask("groups", this::groups);
            Told.ask("group", () -> group(GROUP));
            commits(Map.of(Told.at(TOPIC, 0), new OffsetAndMetadata(0)));
            deletesOffsets(GROUP, TOPIC);
            Told.ask("delete group", () -> admin.deleteConsumerGroups(Set.of(GROUP)).all().get());
        }
        commits(Map.of(Told.at(TOPIC, 2), new OffsetAndMetadata(3)));
        Told.ask("group", () -> group(GROUP));
        deletesOffsets(GROUP, COPY);
        deletesOffsets("unknown", TOPIC);
        deletesOffsets(GROUP, TOPIC);
        Told.ask("group", () -> group(GROUP));
    }

    private void deletesOffsets(String group, String topic) throws Exception {
        Set<TopicPartition> all = topics(List.of(topic)).get(topic).partitions().stream()
            .map(partition -> Told.at(topic, partition.partition())).collect(Collectors.toSet());
        Told.ask("delete offsets of " + group + " in " + topic, () -> admin.deleteConsumerGroupOffsets(group, all).all().get());
    }

    private void looksAtRules() {
        Told.ask("any rules", () -> admin.describeAcls(AclBindingFilter.ANY).values().get());
        for (ResourceType type : List.of(ResourceType.TOPIC, ResourceType.GROUP)) {
            ResourcePatternFilter pattern = new ResourcePatternFilter(type, TOPIC, PatternType.ANY);
            Told.ask("rules of " + type, () -> admin.describeAcls(new AclBindingFilter(pattern, AccessControlEntryFilter.ANY)).values().get());
        }
        AccessControlEntryFilter of = new AccessControlEntryFilter("User:alice", null, AclOperation.ANY, AclPermissionType.ANY);
        ResourcePatternFilter any = new ResourcePatternFilter(ResourceType.ANY, null, PatternType.ANY);
        Told.ask("rules of a user", () -> admin.describeAcls(new AclBindingFilter(any, of)).values().get());
    }

    private void deletes(Map<TopicPartition, RecordsToDelete> records) {
        admin.deleteRecords(records).lowWatermarks().entrySet().stream().sorted((a, b) -> a.getKey().partition() - b.getKey().partition())
            .forEach(entry -> Told.ask("emptied " + entry.getKey(), () -> entry.getValue().get().lowWatermark()));
    }

    private void empties() throws Exception {
        Map<TopicPartition, RecordsToDelete> some = new HashMap<>();
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(Map.of())) {
            consumer.offsetsForTimes(offsets(List.of(TOPIC)).keySet().stream().collect(Collectors.toMap(at -> at, at -> 1_700_000_004_500L)))
                .forEach((at, found) -> some.put(at, RecordsToDelete.beforeOffset(found.offset())));
        }
        deletes(some);
        Told.note("offsets", told(offsets(List.of(TOPIC))));
        Map<TopicPartition, RecordsToDelete> all = new HashMap<>();
        offsets(List.of(TOPIC)).forEach((at, bounds) -> all.put(at, RecordsToDelete.beforeOffset(bounds[1])));
        deletes(all);
        Told.note("offsets", told(offsets(List.of(TOPIC))));
    }

    private void removes() throws Exception {
        Told.ask("delete group", () -> admin.deleteConsumerGroups(Set.of(GROUP)).all().get());
        Told.ask("groups", this::groups);
        for (String name : List.of(COPY, TOPIC, "unknown")) {
            Told.ask("delete " + name, () -> admin.deleteTopics(Set.of(name)).all().get());
        }
        Told.tell("topics", this::listed, told -> !told.contains(TOPIC) && !told.contains(COPY));
    }
}
