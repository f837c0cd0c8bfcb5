// What a web interface is told, one line a question, so that the answers of two brokers can be compared.
//
// It must never print what legitimately differs: ports, paths, times, ids that a broker makes up.

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.LogDirDescription;
import org.apache.kafka.clients.admin.MemberDescription;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;

final class Told {
    private Told() {}

    /** The settings whose values are of the machine or of the run. */
    private static final Set<String> OF_THE_RUN = Set.of(
        "listeners", "advertised.listeners", "log.dirs", "log.dir", "metadata.log.dir", "controller.quorum.voters",
        "broker.id", "node.id");

    static void note(String what, Object answer) {
        System.out.println(what + ": " + String.valueOf(answer).replace("\n", "\\n"));
    }

    /** The answer, or how it was refused. */
    static <T> T ask(String what, Callable<T> question) {
        try {
            T answer = question.call();
            note(what, answer);
            return answer;
        } catch (Exception error) {
            note(what, refusal(error));
            return null;
        }
    }

    static String refusal(Throwable error) {
        Throwable cause = error;
        while ((cause instanceof ExecutionException || cause instanceof CompletionException) && cause.getCause() != null) {
            cause = cause.getCause();
        }
        return cause.getClass().getSimpleName() + ": " + cause.getMessage();
    }

    /** Asks until the answer is as wanted; metadata take their time to reach every broker. */
    static <T> T await(String what, Callable<T> question, java.util.function.Predicate<T> wanted) throws Exception {
        long until = System.nanoTime() + 60_000_000_000L;
        while (true) {
            String last;
            try {
                T answer = question.call();
                if (wanted.test(answer)) {
                    return answer;
                }
                last = String.valueOf(answer);
            } catch (Exception error) {
                last = refusal(error);
            }
            if (System.nanoTime() > until) {
                throw new IllegalStateException("not within a minute: " + what + ", but " + last);
            }
            Thread.sleep(50);
        }
    }

    /** Tells the first answer that is as wanted: each broker learns of a change in its own time, and any of them may be asked. */
    static <T> T tell(String what, Callable<T> question, java.util.function.Predicate<T> wanted) throws Exception {
        T answer = await(what, question, wanted);
        note(what, answer);
        return answer;
    }

    /** What is set of a topic itself. */
    static Set<String> set(Config config) {
        return config.entries().stream().filter(entry -> entry.source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG)
            .map(ConfigEntry::name).collect(Collectors.toSet());
    }

    static List<Integer> ids(Collection<Node> nodes) {
        return nodes.stream().map(Node::id).sorted().collect(Collectors.toList());
    }

    static String nodes(Collection<Node> nodes) {
        return nodes.stream().map(node -> node.id() + "/" + node.host() + "/" + node.rack()).sorted()
            .collect(Collectors.joining(" "));
    }

    static String topic(TopicDescription topic) {
        String partitions = topic.partitions().stream()
            .map(partition -> partition.partition() + " led " + partition.replicas().contains(partition.leader())
                + " replicas " + partition.replicas().size() + " in sync " + partition.isr().size())
            .collect(Collectors.joining(", "));
        return topic.name() + " internal " + topic.isInternal() + " id " + !topic.topicId().toString().isEmpty()
            + " operations " + sorted(topic.authorizedOperations()) + " [" + partitions + "]";
    }

    static String entry(ConfigEntry entry) {
        String value = OF_THE_RUN.contains(entry.name()) ? "..." : entry.value();
        String synonyms = entry.synonyms().stream()
            .map(synonym -> synonym.source() + " " + synonym.name() + (OF_THE_RUN.contains(synonym.name()) ? "" : "=" + synonym.value()))
            .collect(Collectors.joining(", "));
        return entry.name() + "=" + value + " " + entry.source() + " " + entry.type() + (entry.isReadOnly() ? " read-only" : "")
            + (entry.isSensitive() ? " sensitive" : "") + " [" + synonyms + "]";
    }

    /** One line a setting. */
    static void config(String what, Config config) {
        config.entries().stream().map(Told::entry).sorted().forEach(entry -> note(what, entry));
    }

    static String group(ConsumerGroupDescription group) {
        String members = group.members().stream().map(Told::member).sorted().collect(Collectors.joining("; "));
        return group.groupId() + " " + group.state() + " simple " + group.isSimpleConsumerGroup() + " assignor "
            + group.partitionAssignor() + " coordinator " + (group.coordinator() != null) + " operations "
            + sorted(group.authorizedOperations()) + " members [" + members + "]";
    }

    private static String member(MemberDescription member) {
        return member.clientId() + " at " + member.host() + " instance " + member.groupInstanceId() + " has "
            + sorted(member.assignment().topicPartitions()) + " named " + member.consumerId().startsWith(member.clientId());
    }

    /** The directories of each broker, and of these topics how much is in them. */
    static String dirs(Map<Integer, Map<String, LogDirDescription>> brokers, Collection<String> topics) {
        List<String> told = new ArrayList<>();
        new TreeMap<>(brokers).forEach((broker, dirs) -> dirs.values().forEach(dir -> {
            String replicas = dir.replicaInfos().entrySet().stream()
                .filter(replica -> topics.contains(replica.getKey().topic()))
                .map(replica -> replica.getKey() + " " + replica.getValue().size() + " lag " + replica.getValue().offsetLag()
                    + (replica.getValue().isFuture() ? " future" : ""))
                .sorted().collect(Collectors.joining(", "));
            told.add(broker + " error " + dir.error() + " total " + (dir.totalBytes().orElse(0) > 0) + " usable "
                + (dir.usableBytes().orElse(0) > 0) + " [" + replicas + "]");
        }));
        return String.join("; ", told);
    }

    static String sorted(Collection<?> values) {
        return values == null ? "null" : values.stream().map(String::valueOf).sorted().collect(Collectors.toList()).toString();
    }

    static String sorted(Map<?, ?> values) {
        return sorted(values.entrySet());
    }

    static AlterConfigOp set(String name, String value) {
        return new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET);
    }

    static TopicPartition at(String topic, int partition) {
        return new TopicPartition(topic, partition);
    }
}
