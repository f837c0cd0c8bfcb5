// kafka-ui's calls: its admin client, in the order in which its pages need them, told line by line.
//
//   java KafkaUi <bootstrap>
//
// Read from its sources at ab8c9ce (ReactiveAdminClient, ScrapedClusterState and the services above them). Options and order are
// its own; it must never ask for more than it does, nor in another way. Where no rules can be asked for it hides its pages of rules.

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.DescribeClusterOptions;
import org.apache.kafka.clients.admin.DescribeClusterResult;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.admin.FeatureMetadata;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsSpec;
import org.apache.kafka.clients.admin.ListTopicsOptions;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.QuorumInfo;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionReplica;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;
import org.apache.kafka.common.quota.ClientQuotaFilter;
import org.apache.kafka.common.quota.ClientQuotaFilterComponent;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public final class KafkaUi {
    private static final String TOPIC = "orders";
    private static final String GROUP = "shippers";

    private final String bootstrap;
    private final AdminClient admin;
    private List<Integer> brokers = List.of();

    private KafkaUi(String bootstrap) {
        this.bootstrap = bootstrap;
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        properties.put("request.timeout.ms", 30_000);
        properties.put("client.id", "kafbat-ui-admin-" + System.currentTimeMillis() / 1000 + "-1");
        admin = AdminClient.create(properties);
    }

    public static void main(String[] arguments) throws Exception {
        KafkaUi ui = new KafkaUi(arguments[0]);
        ui.validatesTheConnection();
        ui.findsFeatures();
        ui.makesTopics();
        ui.changesTopics();
        ui.sends();
        new KafkaUiReader(arguments[0], TOPIC).reads();
        ui.looksAfterGroups();
        ui.scrapes();
        ui.looksAfterBrokers();
        ui.reassigns();
        ui.removes();
        ui.setsQuotas();
        ui.admin.close();
    }

    /** The wizard asks with a client of its own, which gives up soon. */
    private void validatesTheConnection() {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        properties.put("retries", 1);
        properties.put("request.timeout.ms", 5_000);
        properties.put("default.api.timeout.ms", 5_000);
        properties.put("client.id", "kui-admin-client-validation-" + System.currentTimeMillis());
        try (AdminClient quick = AdminClient.create(properties)) {
            Told.ask("validation", () -> Told.sorted(quick.listTopics().names().get()));
        }
    }

    private void describesTheCluster(boolean withOperations) throws Exception {
        DescribeClusterResult cluster =
            admin.describeCluster(new DescribeClusterOptions().includeAuthorizedOperations(withOperations));
        KafkaFuture.allOf(cluster.controller(), cluster.clusterId(), cluster.nodes(), cluster.authorizedOperations()).get();
        Collection<Node> nodes = cluster.nodes().get();
        brokers = Told.ids(nodes);
        Told.note("cluster", "id of " + cluster.clusterId().get().length() + ", nodes " + Told.nodes(nodes) + ", controller among them "
            + nodes.contains(cluster.controller().get()) + ", operations " + Told.sorted(cluster.authorizedOperations().get()));
    }

    /** What it can do follows from one broker's settings, from the features and from whether rules can be asked for. */
    private void findsFeatures() throws Exception {
        describesTheCluster(false);
        int asked = brokers.get(0);
        Config config = admin.describeConfigs(List.of(broker(asked))).all().get().get(broker(asked));
        Told.config("broker", config);
        FeatureMetadata features = admin.describeFeatures().featureMetadata().get();
        Told.note("finalized features", Told.sorted(features.finalizedFeatures()));
        Told.note("supported features", Told.sorted(features.supportedFeatures()));
        Told.note("version by settings",
            config.entries().stream().anyMatch(entry -> entry.name().contains("inter.broker.protocol.version")));
        Told.ask("any rules", () -> admin.describeAcls(AclBindingFilter.ANY).values().get());
        describesTheCluster(true);
    }

    private static ConfigResource broker(int id) {
        return new ConfigResource(ConfigResource.Type.BROKER, Integer.toString(id));
    }

    private static ConfigResource topic(String name) {
        return new ConfigResource(ConfigResource.Type.TOPIC, name);
    }

    private void creates(String name, int partitions, Integer replicas, Map<String, String> config) {
        NewTopic topic = new NewTopic(name, Optional.of(partitions), Optional.ofNullable(replicas).map(Integer::shortValue));
        Told.ask("create " + name, () -> admin.createTopics(List.of(topic.configs(config))).all().get());
    }

    /** A page of a topic, once it is seen. */
    private void loads(String name, int partitions, Set<String> set) throws Exception {
        TopicDescription topic = Told.await("a led " + name,
            () -> admin.describeTopics(List.of(name)).topicNameValues().get(name).get(),
            described -> described.partitions().size() == partitions
                && described.partitions().stream().allMatch(partition -> partition.leader() != null));
        Told.note("topic", Told.topic(topic));
        Told.config("setting", Told.await("the settings of " + name, () -> settings(name, false), config -> Told.set(config).equals(set)));
        List<TopicPartition> all = all(topic);
        Told.tell("earliest", () -> Told.sorted(offsets(all, OffsetSpec.earliest())), told -> true);
        Told.tell("latest", () -> Told.sorted(offsets(all, OffsetSpec.latest())), told -> true);
    }

    private static List<TopicPartition> all(TopicDescription topic) {
        return topic.partitions().stream().map(partition -> Told.at(topic.name(), partition.partition()))
            .collect(Collectors.toList());
    }

    private Config settings(String name, boolean withDocumentation) throws Exception {
        DescribeConfigsOptions options =
            new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(withDocumentation);
        return admin.describeConfigs(List.of(topic(name)), options).values().get(topic(name)).get();
    }

    private Map<TopicPartition, Long> offsets(Collection<TopicPartition> partitions, OffsetSpec which) throws Exception {
        var asked = admin.listOffsets(partitions.stream().collect(Collectors.toMap(partition -> partition, partition -> which)));
        Map<TopicPartition, Long> offsets = new HashMap<>();
        for (TopicPartition partition : partitions) {
            long offset = asked.partitionResult(partition).get().offset();
            if (offset >= 0) {
                offsets.put(partition, offset);
            }
        }
        return offsets;
    }

    private void makesTopics() throws Exception {
        // Old records are sent below, which shall stay.
        creates(TOPIC, 3, brokers.size(), Map.of("retention.ms", "-1", "min.insync.replicas", "1"));
        loads(TOPIC, 3, Set.of("retention.ms", "min.insync.replicas"));
        creates(TOPIC, 3, 1, Map.of());
        // Kafka's default factor is what the settings say, and its replicas are where the brokers please.
        creates("by-default", 2, null, Map.of("cleanup.policy", "compact"));
        loads("by-default", 2, Set.of("cleanup.policy"));
        creates("too-many-replicas", 1, 7, Map.of());
        creates("wrong-setting", 1, 1, Map.of("retention.ms", "soon"));
        creates("no-such-setting", 1, 1, Map.of("colour", "red"));
        creates("wrong name", 1, 1, Map.of());
        creates("no-partitions", 0, 1, Map.of());
        Told.ask("unknown topic", () -> admin.describeTopics(List.of("unknown")).topicNameValues().get("unknown").get());
        Told.ask("settings of an unknown topic", () -> settings("unknown", true));
        Told.tell("settings of two topics, one unknown", () -> {
            var values = admin.describeConfigs(List.of(topic(TOPIC), topic("unknown")),
                new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(false)).values();
            return values.get(topic(TOPIC)).get().get("retention.ms").value();
        }, "-1"::equals);
        // The topics are asked for with the internal ones, and then for each other.
        Told.tell("topics", () -> Told.sorted(admin.listTopics(new ListTopicsOptions().listInternal(true)).names().get()),
            told -> told.contains(TOPIC) && told.contains("by-default"));
    }

    /** Settings that are no longer named are deleted with the entry that was read; the others are set. */
    private void updates(String name, Map<String, String> wanted) throws Exception {
        Stream<AlterConfigOp> deleted = settings(name, false).entries().stream()
            .filter(entry -> entry.source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG)
            .filter(entry -> !wanted.containsKey(entry.name()))
            .map(entry -> new AlterConfigOp(entry, AlterConfigOp.OpType.DELETE));
        Stream<AlterConfigOp> set = wanted.entrySet().stream().map(entry -> Told.set(entry.getKey(), entry.getValue()));
        List<AlterConfigOp> operations = Stream.concat(deleted, set).collect(Collectors.toList());
        Told.ask("update " + name + " " + new TreeMap<>(wanted),
            () -> admin.incrementalAlterConfigs(Map.of(topic(name), operations)).all().get());
    }

    private void changesTopics() throws Exception {
        Map<String, String> wanted = Map.of("retention.ms", "-1", "max.message.bytes", "200000", "cleanup.policy", "delete");
        updates(TOPIC, wanted);
        Config config = Told.await("the new settings", () -> settings(TOPIC, true), now -> Told.set(now).equals(wanted.keySet()));
        Told.config("setting", config);
        Told.note("documented", config.entries().stream().filter(entry -> entry.documentation() != null).count());
        updates(TOPIC, Map.of("retention.ms", "later"));
        updates(TOPIC, Map.of("colour", "red"));
        for (int count : new int[] {4, 4, 2}) {
            Told.ask("partitions " + count,
                () -> admin.createPartitions(Map.of(TOPIC, NewPartitions.increaseTo(count))).all().get());
        }
        Told.ask("partitions of an unknown topic",
            () -> admin.createPartitions(Map.of("unknown", NewPartitions.increaseTo(2))).all().get());
        Told.await("a fourth partition", () -> admin.describeTopics(List.of(TOPIC)).topicNameValues().get(TOPIC).get(),
            topic -> topic.partitions().size() == 4 && topic.partitions().stream().allMatch(partition -> partition.leader() != null));
    }

    /** Each message by a producer of its own, which is closed before its answer is looked at. */
    private RecordMetadata send(String topic, Integer partition, long time, String key, String value) throws Exception {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        properties.put("key.serializer", ByteArraySerializer.class);
        properties.put("value.serializer", ByteArraySerializer.class);
        CompletableFuture<RecordMetadata> sent = new CompletableFuture<>();
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(properties)) {
            ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(topic, partition, time, bytes(key), bytes(value));
            record.headers().add("source", bytes("test"));
            producer.send(record, (metadata, error) -> {
                if (error != null) {
                    sent.completeExceptionally(error);
                } else {
                    sent.complete(metadata);
                }
            });
        }
        return sent.get();
    }

    private static byte[] bytes(String text) {
        return text == null ? null : text.getBytes(StandardCharsets.UTF_8);
    }

    private void sends() throws Exception {
        for (int number = 0; number < 12; number++) {
            int partition = number % 3;
            long time = 1_700_000_000_000L + number * 1000L;
            String value = number == 7 ? null : "value " + number;
            RecordMetadata sent = send(TOPIC, partition, time, number == 5 ? null : "key " + number, value);
            Told.note("sent", sent + " time " + sent.timestamp() + " sizes " + sent.serializedKeySize() + " " + sent.serializedValueSize());
        }
        Told.ask("too large", () -> send(TOPIC, 0, 1_700_000_000_000L, "key", "x".repeat(300_000)));
        Told.ask("producers", () -> producers(IntStream.range(0, 4).mapToObj(i -> Told.at(TOPIC, i)).collect(Collectors.toList())));
        Told.ask("delete records", () -> admin.deleteRecords(Map.of(Told.at(TOPIC, 0), RecordsToDelete.beforeOffset(2))).all().get());
        Told.ask("delete more than there is",
            () -> admin.deleteRecords(Map.of(Told.at(TOPIC, 0), RecordsToDelete.beforeOffset(200))).all().get());
        loads(TOPIC, 4, Set.of("retention.ms", "max.message.bytes", "cleanup.policy"));
    }

    private String producers(List<TopicPartition> partitions) throws Exception {
        return Told.sorted(admin.describeProducers(partitions).all().get().entrySet().stream()
            .map(entry -> entry.getKey() + " " + Told.sorted(entry.getValue().activeProducers().stream()
                .map(state -> "epoch " + state.producerEpoch() + " sequence " + state.lastSequence() + " time " + state.lastTimestamp()
                    + " coordinator " + state.coordinatorEpoch() + " begun " + state.currentTransactionStartOffset())
                .collect(Collectors.toList())))
            .collect(Collectors.toList()));
    }

    private Map<String, ConsumerGroupDescription> groups(Collection<String> names) throws Exception {
        return admin.describeConsumerGroups(names).all().get();
    }

    private String committed(Collection<String> groups, List<TopicPartition> partitions) throws Exception {
        var asked = groups.stream().collect(Collectors.toMap(
            group -> group, group -> new ListConsumerGroupOffsetsSpec().topicPartitions(partitions)));
        return Told.sorted(admin.listConsumerGroupOffsets(asked).all().get().entrySet().stream()
            .map(entry -> entry.getKey() + " " + Told.sorted(entry.getValue())).collect(Collectors.toList()));
    }

    private String listed() throws Exception {
        return Told.sorted(admin.listConsumerGroups().all().get().stream()
            .map(group -> group.groupId() + " simple " + group.isSimpleConsumerGroup() + " " + group.state()).collect(Collectors.toList()));
    }

    private void resets(String what, Map<TopicPartition, Long> offsets) {
        Map<TopicPartition, OffsetAndMetadata> wanted = offsets.entrySet().stream()
            .collect(Collectors.toMap(Map.Entry::getKey, entry -> new OffsetAndMetadata(entry.getValue())));
        Told.ask("reset to " + what, () -> admin.alterConsumerGroupOffsets(GROUP, wanted).all().get());
        Told.ask("committed", () -> committed(List.of(GROUP), null));
    }

    private void looksAfterGroups() throws Exception {
        List<TopicPartition> all = IntStream.range(0, 4).mapToObj(i -> Told.at(TOPIC, i)).collect(Collectors.toList());
        Told.ask("no groups", this::listed);
        Told.ask("unknown group", () -> Told.group(groups(List.of("unknown")).get("unknown")));
        Told.ask("offsets of an unknown group", () -> committed(List.of("unknown"), null));
        Properties properties = new Properties();
        properties.putAll(Map.of("bootstrap.servers", bootstrap, "group.id", GROUP, "client.id", "shipper", "auto.offset.reset", "earliest"));
        properties.put("enable.auto.commit", "false");
        for (String serde : List.of("key.deserializer", "value.deserializer")) {
            properties.put(serde, "org.apache.kafka.common.serialization.StringDeserializer");
        }
        try (KafkaConsumer<String, String> member = new KafkaConsumer<>(properties)) {
            member.subscribe(List.of(TOPIC));
            Told.await("an assignment", () -> member.poll(Duration.ofMillis(200)), records -> member.assignment().size() == 4);
            member.commitSync(Map.of(all.get(0), new OffsetAndMetadata(2), all.get(1), new OffsetAndMetadata(1, "half")));
            Told.ask("listed", this::listed);
            Told.ask("group", () -> Told.group(groups(List.of(GROUP)).get(GROUP)));
            Told.ask("committed", () -> committed(List.of(GROUP), null));
            Told.ask("committed of the topic", () -> committed(List.of(GROUP), all));
            resets("an offset while there is a member", Map.of(all.get(0), 0L));
            Told.ask("delete offsets while there is a member",
                () -> admin.deleteConsumerGroupOffsets(GROUP, Set.of(all.get(0), all.get(1))).all().get());
            Told.ask("delete while there is a member", () -> admin.deleteConsumerGroups(List.of(GROUP)).all().get());
        }
        Told.ask("listed", this::listed);
        Told.ask("group", () -> Told.group(groups(List.of(GROUP)).get(GROUP)));
        resets("earliest", offsets(all, OffsetSpec.earliest()));
        resets("latest", offsets(all, OffsetSpec.latest()));
        resets("a time", offsets(all, OffsetSpec.forTimestamp(1_700_000_004_500L)));
        resets("a time that is to come", offsets(all, OffsetSpec.forTimestamp(1_800_000_000_000L)));
        resets("an offset", Map.of(all.get(2), 1L));
        resets("an unknown partition", Map.of(Told.at("unknown", 0), 1L));
        Told.ask("delete offsets", () -> admin.deleteConsumerGroupOffsets(GROUP, Set.of(all.get(0), all.get(3))).all().get());
        Told.ask("committed", () -> committed(List.of(GROUP), null));
        Told.ask("delete offsets of an unknown group",
            () -> admin.deleteConsumerGroupOffsets("unknown", Set.of(all.get(0))).all().get());
        Told.ask("delete an unknown group", () -> admin.deleteConsumerGroups(List.of("unknown")).all().get());
    }

    /** What it asks for twice a minute. */
    private void scrapes() throws Exception {
        Told.ask("directories", () -> Told.dirs(admin.describeLogDirs(brokers).allDescriptions().get(), List.of(TOPIC)));
        List<String> groups = admin.listConsumerGroups().all().get().stream().map(group -> group.groupId()).collect(Collectors.toList());
        Set<String> names = admin.listTopics(new ListTopicsOptions().listInternal(true)).names().get();
        Told.note("topics", Told.sorted(names));
        var described = admin.describeTopics(names).topicNameValues();
        var configs = admin.describeConfigs(names.stream().map(KafkaUi::topic).collect(Collectors.toList()),
            new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(false)).values();
        for (String name : names.stream().sorted().collect(Collectors.toList())) {
            TopicDescription topic = described.get(name).get();
            Told.note("scraped", name + " internal " + topic.isInternal() + " settings " + configs.get(topic(name)).get().entries().size());
            Told.note("offsets", name.startsWith("__") ? offsets(all(topic), OffsetSpec.latest()).size()
                : Told.sorted(offsets(all(topic), OffsetSpec.latest())) + Told.sorted(offsets(all(topic), OffsetSpec.earliest())));
        }
        Told.config("offsets topic", settings("__consumer_offsets", false));
        Told.note("groups", Told.sorted(groups(groups).values().stream().map(Told::group).collect(Collectors.toList())));
        Told.note("committed", committed(groups, null));
        Told.ask("quorum", () -> quorum(admin.describeMetadataQuorum().quorumInfo().get()));
    }

    private static String quorum(QuorumInfo quorum) {
        String voters = quorum.voters().stream()
            .map(voter -> voter.replicaId() + " end " + (voter.logEndOffset() > 0) + " fetched " + voter.lastFetchTimestamp().isPresent()
                + " caught up " + voter.lastCaughtUpTimestamp().isPresent()).sorted().collect(Collectors.joining(", "));
        return "led by a voter " + quorum.voters().stream().anyMatch(voter -> voter.replicaId() == quorum.leaderId()) + ", epoch "
            + (quorum.leaderEpoch() > 0) + ", mark " + (quorum.highWatermark() > 0) + ", voters [" + voters + "], observers "
            + quorum.observers().size();
    }

    private void setsOnBroker(String name, String value) {
        Told.ask("broker setting " + name + "=" + value,
            () -> admin.incrementalAlterConfigs(Map.of(broker(brokers.get(0)), List.of(Told.set(name, value)))).all().get());
    }

    private void looksAfterBrokers() throws Exception {
        int id = brokers.get(0);
        setsOnBroker("log.cleaner.threads", "2");
        Told.await("the broker's setting", () -> admin.describeConfigs(List.of(broker(id))).all().get().get(broker(id)),
            config -> "2".equals(config.get("log.cleaner.threads").value()));
        Told.note("altered", Told.entry(admin.describeConfigs(List.of(broker(id))).all().get().get(broker(id)).get("log.cleaner.threads")));
        setsOnBroker("log.cleaner.threads", "none");
        setsOnBroker("log.dirs", "/elsewhere");
        setsOnBroker("colour", "red");
        Told.ask("a wrong directory",
            () -> admin.alterReplicaLogDirs(Map.of(new TopicPartitionReplica(TOPIC, 0, id), "/elsewhere")).all().get());
        Told.ask("a directory of an unknown partition",
            () -> admin.alterReplicaLogDirs(Map.of(new TopicPartitionReplica("unknown", 0, id), "/elsewhere")).all().get());
    }

    private void setsQuotas() throws Exception {
        Map<String, String> both = Map.of("user", "alice", "client-id", "app");
        Told.ask("quotas", () -> quotas(ClientQuotaFilter.all()));
        for (Map<String, String> entity : List.of(both, Map.of("ip", "127.0.0.1"), Map.of("user", "bob"))) {
            List<ClientQuotaFilterComponent> parts = new TreeMap<>(entity).entrySet().stream()
                .map(part -> ClientQuotaFilterComponent.ofEntity(part.getKey(), part.getValue())).collect(Collectors.toList());
            ClientQuotaFilter found = ClientQuotaFilter.contains(parts);
            String name = entity.containsKey("ip") ? "connection_creation_rate" : "producer_byte_rate";
            Told.ask("quota of one", () -> quotas(found));
            if (!alters(entity, new ClientQuotaAlteration.Op(name, 1048576.0))) {
                return;
            }
            Told.await("the quota", () -> quotas(found), told -> told.contains(name));
            Told.ask("quota of one", () -> quotas(found));
            alters(entity, new ClientQuotaAlteration.Op("colour", 1.0));
        }
        Told.ask("quota of all", () -> quotas(ClientQuotaFilter.all()));
        alters(both, new ClientQuotaAlteration.Op("producer_byte_rate", null));
        Told.await("no quota", () -> quotas(ClientQuotaFilter.all()), told -> !told.contains("alice"));
    }

    private boolean alters(Map<String, String> entity, ClientQuotaAlteration.Op operation) {
        ClientQuotaAlteration alteration = new ClientQuotaAlteration(new ClientQuotaEntity(entity), List.of(operation));
        return Told.ask("quota of " + new TreeMap<>(entity) + " " + operation, () -> {
            admin.alterClientQuotas(List.of(alteration)).all().get();
            return "done";
        }) != null;
    }

    private String quotas(ClientQuotaFilter filter) throws Exception {
        return Told.sorted(admin.describeClientQuotas(filter).entities().get().entrySet().stream()
            .map(entry -> new TreeMap<>(entry.getKey().entries()) + " " + new TreeMap<>(entry.getValue())).collect(Collectors.toList()));
    }

    /** A change of the replication factor names the replicas of every partition. */
    private void reassigns() throws Exception {
        Integer[] ids = brokers.toArray(Integer[]::new);
        reassigns("one replica", new Integer[] {ids[ids.length - 1]});
        reassigns("all brokers", ids);
        reassigns("an unknown broker", new Integer[] {ids[0], 99});
        reassigns("the same broker twice", new Integer[] {ids[0], ids[0]});
        Told.ask("reassign an unknown topic", () -> admin.alterPartitionReassignments(Map.of(Told.at("unknown", 0),
            Optional.of(new NewPartitionReassignment(List.of(ids[0]))))).all().get());
    }

    private void reassigns(String what, Integer[] replicas) throws Exception {
        Map<TopicPartition, Optional<NewPartitionReassignment>> wanted = new HashMap<>();
        for (int partition = 0; partition < 4; partition++) {
            wanted.put(Told.at(TOPIC, partition), Optional.of(new NewPartitionReassignment(Arrays.asList(replicas))));
        }
        boolean isTaken = Told.ask("reassign to " + what, () -> {
            admin.alterPartitionReassignments(wanted).all().get();
            return "done";
        }) != null;
        if (isTaken) {
            Told.await(what, () -> admin.describeTopics(List.of(TOPIC)).topicNameValues().get(TOPIC).get(),
                topic -> topic.partitions().stream().allMatch(partition -> partition.leader() != null
                    && partition.replicas().size() == replicas.length && partition.isr().size() == replicas.length));
        }
    }

    private void removes() throws Exception {
        Told.ask("delete group", () -> admin.deleteConsumerGroups(List.of(GROUP)).all().get());
        Told.ask("listed", this::listed);
        for (String name : List.of("by-default", TOPIC, "unknown")) {
            Told.ask("delete topic " + name, () -> admin.deleteTopics(List.of(name)).all().get());
        }
        Told.await("no topics", () -> admin.listTopics(new ListTopicsOptions().listInternal(true)).names().get(),
            names -> !names.contains(TOPIC) && !names.contains("by-default"));
        creates(TOPIC, 1, 1, Map.of());
        loads(TOPIC, 1, Set.of());
    }
}
