// Starts the image through each of Testcontainers' Java classes, and writes and reads one record through the address that it gives.
//
// Must never know anything of the image but its name: that is the point.

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.testcontainers.containers.GenericContainer;
import org.testcontainers.kafka.ConfluentKafkaContainer;
import org.testcontainers.kafka.KafkaContainer;
import org.testcontainers.utility.DockerImageName;

public final class Containers {
    public static void main(String[] arguments) throws Exception {
        DockerImageName image = DockerImageName.parse(arguments[0]);
        DockerImageName apache = image.asCompatibleSubstituteFor("apache/kafka");
        DockerImageName confluent = image.asCompatibleSubstituteFor("confluentinc/cp-kafka");
        check("KafkaContainer", new KafkaContainer(apache), KafkaContainer::getBootstrapServers);
        check("ConfluentKafkaContainer", new ConfluentKafkaContainer(confluent), ConfluentKafkaContainer::getBootstrapServers);
        check("deprecated KafkaContainer, KRaft", deprecated(confluent).withKraft(), org.testcontainers.containers.KafkaContainer::getBootstrapServers);
        check("deprecated KafkaContainer, ZooKeeper", deprecated(confluent), org.testcontainers.containers.KafkaContainer::getBootstrapServers);
    }

    private static org.testcontainers.containers.KafkaContainer deprecated(DockerImageName image) {
        return new org.testcontainers.containers.KafkaContainer(image);
    }

    private static <C extends GenericContainer<?>> void check(String name, C container, Function<C, String> address) throws Exception {
        try (C started = container) {
            started.start();
            roundTrip(address.apply(started));
        }
        System.out.println("ok " + name);
    }

    private static void roundTrip(String bootstrap) throws Exception {
        Map<String, Object> toBroker = Map.of("bootstrap.servers", bootstrap);
        try (var producer = new KafkaProducer<>(toBroker, new StringSerializer(), new StringSerializer())) {
            producer.send(new ProducerRecord<>("greetings", "key", "hello")).get();
        }
        Map<String, Object> reading = Map.of("bootstrap.servers", bootstrap, "group.id", "readers", "auto.offset.reset", "earliest");
        try (var consumer = new KafkaConsumer<>(reading, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of("greetings"));
            for (int poll = 0; poll < 30; poll++) {
                for (var record : consumer.poll(Duration.ofSeconds(1))) {
                    if (record.value().equals("hello")) {
                        return;
                    }
                }
            }
            throw new IllegalStateException("the record did not come back");
        }
    }
}
