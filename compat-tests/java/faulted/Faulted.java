// The Java client under faults that a test has set: it sends, reads, is a member or leaves a transaction open, and tells in JSON lines
// what it saw and how long that took. It must never retry by itself what the client gave up.

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ExecutionException;

import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.Metric;
import org.apache.kafka.common.MetricName;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public final class Faulted {
    private static final Duration POLL = Duration.ofMillis(50);
    private static final long BETWEEN_RECORDS_MS = 5;

    private final String topic;
    private final String word;
    private final Properties settings = new Properties();

    private Faulted(String[] arguments) {
        this.topic = arguments[2];
        this.word = arguments[3];
        settings.put("bootstrap.servers", arguments[1]);
        for (int i = 4; i < arguments.length; i++) {
            String[] pair = arguments[i].split("=", 2);
            settings.put(pair[0], pair[1]);
        }
    }

    // ROLE BOOTSTRAP TOPIC WORD [NAME=VALUE]...; the word is a number of records, or a folder whose files tell how far to go.
    public static void main(String[] arguments) throws Exception {
        Faulted all = new Faulted(arguments);
        switch (arguments[0]) {
            case "send" -> all.send();
            case "read" -> all.read();
            case "member" -> all.member();
            case "transaction" -> all.transaction();
            case "stream" -> all.stream();
            default -> throw new IllegalArgumentException(arguments[0]);
        }
        tell("\"ended\": true");
    }

    // One record after the other is known to be there, or not.
    private void send() throws Exception {
        try (KafkaProducer<String, String> producer = producer()) {
            long start = System.nanoTime();
            for (int number = 0; number < Integer.parseInt(word); number++) {
                long begin = System.nanoTime();
                String became = "\"offset\": ";
                try {
                    became += producer.send(new ProducerRecord<>(topic, "v" + number)).get().offset();
                } catch (ExecutionException error) {
                    became = error(error.getCause());
                }
                tell("\"sent\": \"v" + number + "\", \"ms\": " + since(begin) + ", \"at\": " + since(start) + ", " + became);
            }
            tell("\"throttled_ms\": " + throttled(producer.metrics(), "produce-throttle-time-max"));
        }
    }

    private void read() {
        try (KafkaConsumer<String, String> consumer = consumer()) {
            List<TopicPartition> places = List.of(new TopicPartition(topic, 0));
            consumer.assign(places);
            consumer.seekToBeginning(places);
            long begin = System.nanoTime();
            for (int left = Integer.parseInt(word); left > 0;) {
                for (ConsumerRecord<String, String> record : consumer.poll(POLL)) {
                    tell("\"read\": \"" + record.value() + "\", \"ms\": " + since(begin));
                    left--;
                }
            }
            tell("\"throttled_ms\": " + throttled(consumer.metrics(), "fetch-throttle-time-max"));
        }
    }

    // Until it is killed.
    private void member() {
        try (KafkaConsumer<String, String> consumer = consumer()) {
            consumer.subscribe(List.of(topic), new ConsumerRebalanceListener() {
                @Override
                public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
                    tell("\"called\": \"assigned\", \"count\": " + partitions.size());
                }

                @Override
                public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
                    tell("\"called\": \"revoked\", \"count\": " + partitions.size());
                }

                @Override
                public void onPartitionsLost(Collection<TopicPartition> partitions) {
                    tell("\"called\": \"lost\", \"count\": " + partitions.size());
                }
            });
            int epoch = -1;
            while (true) {
                consumer.poll(POLL);
                if (consumer.groupMetadata().generationId() != epoch) {
                    epoch = consumer.groupMetadata().generationId();
                    tell("\"epoch\": " + epoch);
                }
            }
        }
    }

    // Commits when it is told to, which may be too late.
    private void transaction() throws Exception {
        try (KafkaProducer<String, String> producer = producer()) {
            producer.initTransactions();
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(topic, "open")).get();
            tell("\"open\": true");
            while (!isThere("commit")) {
                Thread.sleep(POLL.toMillis());
            }
            try {
                producer.commitTransaction();
                tell("\"committed\": true");
            } catch (RuntimeException error) {
                tell("\"committed\": false, " + error(error));
            }
        }
    }

    // Record after record, whatever becomes of the others, until it is told to stop.
    private void stream() throws Exception {
        try (KafkaProducer<String, String> producer = producer()) {
            for (int number = 0; !isThere("stop"); number++) {
                String value = "v" + number;
                producer.send(new ProducerRecord<>(topic, value), (metadata, error) ->
                    tell(error == null ? "\"acked\": \"" + value + "\"" : "\"failed\": \"" + value + "\", " + error(error)));
                Thread.sleep(BETWEEN_RECORDS_MS);
            }
        }
    }

    private KafkaProducer<String, String> producer() {
        return new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer());
    }

    private KafkaConsumer<String, String> consumer() {
        return new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
    }

    private boolean isThere(String file) {
        return Files.exists(Path.of(word).resolve(file));
    }

    private static long since(long begin) {
        return (System.nanoTime() - begin) / 1_000_000;
    }

    private static long throttled(Map<MetricName, ? extends Metric> metrics, String name) {
        return metrics.entrySet().stream().filter(each -> each.getKey().name().equals(name))
            .map(each -> (Double) each.getValue().metricValue()).filter(value -> !value.isNaN())
            .mapToLong(Double::longValue).max().orElse(0);
    }

    private static String error(Throwable error) {
        return "\"error\": \"" + error.getClass().getSimpleName() + "\"";
    }

    private static synchronized void tell(String fields) {
        System.out.println("{" + fields + "}");
        System.out.flush();
    }
}
