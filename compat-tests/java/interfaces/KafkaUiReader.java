// How kafka-ui reads messages: consumers without a group that are assigned, sought, paused and asked for their positions.
//
// Read from its sources at ab8c9ce (EnhancedConsumer, OffsetsInfo, SeekOperations and the emitters). It must never subscribe.

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.BytesDeserializer;
import org.apache.kafka.common.utils.Bytes;

final class KafkaUiReader {
    private static final int PAGE = 4;
    private static final Duration POLL = Duration.ofMillis(1000);

    private final String bootstrap;
    private final String topic;

    KafkaUiReader(String bootstrap, String topic) {
        this.bootstrap = bootstrap;
        this.topic = topic;
    }

    private enum Mode { LATEST, EARLIEST, FROM_OFFSET, TO_OFFSET, FROM_TIMESTAMP, TO_TIMESTAMP, TAILING }

    private KafkaConsumer<Bytes, Bytes> consumer(Map<String, Object> more) {
        Properties properties = new Properties();
        properties.put("client.id", "kafbat-ui-consumer-" + System.currentTimeMillis());
        properties.put("bootstrap.servers", bootstrap);
        properties.put("auto.offset.reset", "earliest");
        properties.put("enable.auto.commit", "false");
        properties.put("allow.auto.create.topics", "false");
        properties.putAll(more);
        return new KafkaConsumer<>(properties, new BytesDeserializer(), new BytesDeserializer());
    }

    /** First and last offsets; the first by time, since those of compacted topics are told too low. */
    private final class Bounds {
        final Map<TopicPartition, Long> begin;
        final Map<TopicPartition, Long> end;
        final Set<TopicPartition> full = new HashSet<>();

        Bounds(KafkaConsumer<Bytes, Bytes> consumer) {
            List<TopicPartition> all = consumer.partitionsFor(topic).stream()
                .map(info -> new TopicPartition(topic, info.partition())).collect(Collectors.toList());
            Map<TopicPartition, OffsetAndTimestamp> first =
                consumer.offsetsForTimes(all.stream().collect(Collectors.toMap(at -> at, at -> 0L)));
            begin = first.values().stream().anyMatch(found -> found == null)
                ? consumer.beginningOffsets(all)
                : first.entrySet().stream().collect(Collectors.toMap(Map.Entry::getKey, entry -> entry.getValue().offset()));
            end = consumer.endOffsets(all);
            end.forEach((at, last) -> {
                if (last > begin.get(at)) {
                    full.add(at);
                }
            });
        }
    }

    private Map<TopicPartition, Long> seeks(KafkaConsumer<Bytes, Bytes> consumer, Bounds bounds, Mode mode, long point) {
        Map<TopicPartition, Long> result = new HashMap<>();
        switch (mode) {
            case TAILING: return consumer.endOffsets(bounds.end.keySet());
            case LATEST: return consumer.endOffsets(bounds.full);
            case EARLIEST: return consumer.beginningOffsets(bounds.full);
            case FROM_OFFSET: case TO_OFFSET:
                bounds.full.forEach(at -> result.put(at, Math.min(bounds.end.get(at), Math.max(bounds.begin.get(at), point))));
                return result;
            default:
                consumer.offsetsForTimes(bounds.full.stream().collect(Collectors.toMap(at -> at, at -> point))).forEach((at, found) -> {
                    if (found != null) {
                        result.put(at, found.offset());
                    } else if (mode == Mode.TO_TIMESTAMP) {
                        result.put(at, bounds.end.get(at));
                    }
                });
                return result;
        }
    }

    private static boolean isForward(Mode mode) {
        return mode == Mode.EARLIEST || mode == Mode.FROM_OFFSET || mode == Mode.FROM_TIMESTAMP;
    }

    /** The next offsets, from and to, of each partition that has some left. */
    private static TreeMap<TopicPartition, long[]> next(TreeMap<TopicPartition, long[]> last, Map<TopicPartition, Long> seeks,
            Bounds bounds, boolean forward) {
        Map<TopicPartition, Long> points = last.isEmpty() ? seeks : last.entrySet().stream()
            .collect(Collectors.toMap(Map.Entry::getKey, entry -> entry.getValue()[forward ? 1 : 0]));
        int each = Math.max(1, (int) Math.ceil((double) PAGE / Math.max(1, points.size())));
        TreeMap<TopicPartition, long[]> result = new TreeMap<>(Comparator.comparingInt(TopicPartition::partition));
        points.forEach((at, point) -> {
            if (forward && point < bounds.end.get(at)) {
                result.put(at, new long[] {point, Math.min(bounds.end.get(at), point + each)});
            } else if (!forward && point > bounds.begin.get(at)) {
                result.put(at, new long[] {Math.max(bounds.begin.get(at), point - each), point});
            }
        });
        return result;
    }

    /** Partitions that are read as far as wanted are paused, and all are resumed behind the last. */
    private static List<ConsumerRecord<Bytes, Bytes>> poll(KafkaConsumer<Bytes, Bytes> consumer, TreeMap<TopicPartition, long[]> range) {
        consumer.assign(range.keySet());
        range.forEach((at, fromTo) -> consumer.seek(at, fromTo[0]));
        List<ConsumerRecord<Bytes, Bytes>> result = new ArrayList<>();
        Set<TopicPartition> paused = new HashSet<>();
        while (paused.size() < range.size()) {
            ConsumerRecords<Bytes, Bytes> polled = consumer.poll(POLL);
            range.forEach((at, fromTo) -> {
                polled.records(at).stream().filter(record -> record.offset() < fromTo[1]).forEach(result::add);
                if (!paused.contains(at) && consumer.position(at) >= fromTo[1]) {
                    paused.add(at);
                    consumer.pause(List.of(at));
                }
            });
        }
        consumer.resume(paused);
        return result;
    }

    private void reads(Mode mode, long point) {
        try (KafkaConsumer<Bytes, Bytes> consumer = consumer(Map.of("max.poll.records", PAGE))) {
            Bounds bounds = new Bounds(consumer);
            Map<TopicPartition, Long> seeks = seeks(consumer, bounds, mode, point);
            Told.note(mode + " " + point + " begins with", Told.sorted(seeks));
            TreeMap<TopicPartition, long[]> range = next(new TreeMap<>(), seeks, bounds, isForward(mode));
            while (!range.isEmpty()) {
                Told.note("page", Told.sorted(poll(consumer, range).stream().map(KafkaUiReader::told).collect(Collectors.toList())));
                range = next(range, seeks, bounds, isForward(mode));
            }
        }
    }

    private static String told(ConsumerRecord<Bytes, Bytes> record) {
        String headers = List.of(record.headers().toArray()).stream()
            .map(header -> header.key() + "=" + new String(header.value())).collect(Collectors.joining(" "));
        return record.partition() + "@" + record.offset() + " " + record.timestampType() + " " + record.timestamp() + " " + record.key()
            + "=" + record.value() + " " + headers;
    }

    void reads() {
        reads(Mode.LATEST, 0);
        reads(Mode.EARLIEST, 0);
        for (long offset : new long[] {0, 3, 99}) {
            reads(Mode.FROM_OFFSET, offset);
            reads(Mode.TO_OFFSET, offset);
        }
        for (long time : new long[] {0, 1_700_000_004_500L, 1_800_000_000_000L}) {
            reads(Mode.FROM_TIMESTAMP, time);
            reads(Mode.TO_TIMESTAMP, time);
        }
        analyses();
        follows();
    }

    /** The statistics of a topic: all of it, in large polls, until every position has come to the end. */
    private void analyses() {
        try (KafkaConsumer<Bytes, Bytes> consumer = consumer(Map.of("receive.buffer.bytes", "-1", "max.poll.records", "100000"))) {
            Bounds bounds = new Bounds(consumer);
            Map<TopicPartition, Long> seeks = seeks(consumer, bounds, Mode.EARLIEST, 0);
            consumer.assign(seeks.keySet());
            seeks.forEach(consumer::seek);
            int count = 0;
            while (consumer.assignment().stream().anyMatch(at -> bounds.end.get(at) > consumer.position(at))) {
                count += consumer.poll(Duration.ofSeconds(3)).count();
            }
            Told.note("analysed", count);
        }
    }

    /** Live mode stands at the ends; nothing comes. */
    private void follows() {
        try (KafkaConsumer<Bytes, Bytes> consumer = consumer(Map.of())) {
            Bounds bounds = new Bounds(consumer);
            Map<TopicPartition, Long> seeks = seeks(consumer, bounds, Mode.TAILING, 0);
            Collection<TopicPartition> all = seeks.keySet();
            consumer.assign(all);
            seeks.forEach(consumer::seek);
            Told.note("followed", consumer.poll(POLL).count() + " from " + Told.sorted(seeks));
        }
    }
}
