// What applications see of a group, with either group.protocol: each check says so in a line of its own.
// It must never wait without a deadline, nor look at a topic or group that is not its own.

import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.BooleanSupplier;
import java.util.regex.Pattern;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.admin.MemberDescription;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.FencedInstanceIdException;
import org.apache.kafka.common.errors.InvalidRegularExpression;
import org.apache.kafka.common.errors.UnreleasedInstanceIdException;
import org.apache.kafka.common.errors.UnsupportedAssignorException;

public final class Consumers {
    private static final long PATIENCE_SECONDS = 60;
    // How long members may be silent: the group's setting for the consumer protocol, their own for the classic one.
    private static final long CONSUMER_SESSION_MS = 3000;
    private static final long CLASSIC_SESSION_MS = 6000;
    // How much later than that a busy machine may see a killed member's partitions with others.
    private static final long LATE_MS = 10_000;
    // How a process ends whose instance id is still another's.
    private static final int REFUSED = 3;

    private final String bootstrap;
    private final String protocol;
    private final Admin admin;

    private interface Check {
        void run() throws Exception;
    }

    private Consumers(String bootstrap, String protocol) {
        this.bootstrap = bootstrap;
        this.protocol = protocol;
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        this.admin = Admin.create(settings);
    }

    public static void main(String[] arguments) {
        Consumers all = new Consumers(arguments[0], arguments[1]);
        if (arguments.length > 2) {
            all.live(arguments[2], Arrays.copyOfRange(arguments, 3, arguments.length));
            return;
        }
        boolean classic = arguments[1].equals("classic");
        boolean good = all.check("join and leave", classic ? all::joinAndLeaveCooperatively : all::joinAndLeave);
        good &= all.check("static restart", classic ? all::staticRestartFences : all::staticRestart);
        good &= all.check("crash", all::crash);
        good &= all.check("static crash", all::staticCrash);
        good &= all.check("pattern", classic ? all::clientPattern : all::pattern);
        good &= all.check("pause and seek", all::pauseAndSeek);
        good &= all.check("commit and resume", all::commitAndResume);
        good &= all.check("new partitions", all::newPartitions);
        good &= all.check("lost partitions", all::lostPartitions);
        if (classic) {
            good &= all.check("eager", all::eager);
        } else {
            good &= all.check("refused", all::refused);
            good &= all.check("range assignor", all::rangeAssignor);
            good &= all.check("described", all::described);
            good &= all.check("migration", all::migration);
        }
        all.admin.close();
        System.exit(good ? 0 : 1);
    }

    private boolean check(String name, Check check) {
        try {
            check.run();
            System.out.println("{\"check\": \"" + name + "\", \"ok\": true}");
            return true;
        } catch (Throwable error) {
            System.out.println("{\"check\": \"" + name + "\", \"ok\": false}");
            error.printStackTrace();
            return false;
        }
    }

    // A consumer with the calls of its listener.
    private final class Member implements ConsumerRebalanceListener, AutoCloseable {
        final KafkaConsumer<String, String> consumer;
        final List<String> calls = new ArrayList<>();
        final List<ConsumerRecord<String, String>> records = new ArrayList<>();

        Member(String group, String... settings) {
            Properties all = new Properties();
            all.put("bootstrap.servers", bootstrap);
            all.put("group.id", group);
            all.put("group.protocol", protocol);
            if (protocol.equals("classic")) {
                all.put("heartbeat.interval.ms", "300");
                all.put("session.timeout.ms", "" + CLASSIC_SESSION_MS);
                all.put("partition.assignment.strategy",
                    "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");
            }
            all.put("auto.offset.reset", "earliest");
            all.put("enable.auto.commit", "false");
            all.put("metadata.max.age.ms", "1000");
            all.put("allow.auto.create.topics", "false");
            all.put("key.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
            all.put("value.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
            for (int i = 0; i < settings.length; i += 2) {
                all.put(settings[i], settings[i + 1]);
            }
            consumer = new KafkaConsumer<>(all);
        }

        Member to(String... topics) {
            consumer.subscribe(List.of(topics), this);
            return this;
        }

        void poll() {
            consumer.poll(Duration.ofMillis(50)).forEach(records::add);
        }

        Set<String> has() {
            return names(consumer.assignment());
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            calls.add("assigned " + names(partitions));
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            calls.add("revoked " + names(partitions));
        }

        @Override
        public void onPartitionsLost(Collection<TopicPartition> partitions) {
            calls.add("lost " + names(partitions));
        }

        @Override
        public void close() {
            consumer.close();
        }
    }

    // A member in a process of its own, which can be killed. Its group has the topic's name.
    private final class Stranger implements AutoCloseable {
        final Process process;
        volatile Set<String> has = Set.of();

        Stranger(String topic, String... settings) {
            List<String> command = new ArrayList<>(List.of(ProcessHandle.current().info().command().orElseThrow()));
            command.addAll(ManagementFactory.getRuntimeMXBean().getInputArguments());
            command.addAll(List.of("-cp", System.getProperty("java.class.path"), "Consumers", bootstrap, protocol, topic));
            command.addAll(List.of(settings));
            try {
                process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
            BufferedReader lines = process.inputReader();
            Thread reader = new Thread(() -> lines.lines().filter(line -> line.startsWith("has "))
                .forEach(line -> has = new TreeSet<>(Arrays.asList(line.split(" ")).subList(1, line.split(" ").length))));
            reader.setDaemon(true);
            reader.start();
        }

        void kill() throws InterruptedException {
            process.destroyForcibly().waitFor();
        }

        @Override
        public void close() {
            process.destroyForcibly();
        }
    }

    // What a stranger does: it says what it has whenever that changes, and ends with the process that started it.
    private void live(String topic, String[] settings) {
        Thread leash = new Thread(() -> {
            try {
                System.in.read();
            } catch (IOException closed) {
                throw new UncheckedIOException(closed);
            } finally {
                Runtime.getRuntime().halt(1);
            }
        });
        leash.setDaemon(true);
        leash.start();
        try (Member member = new Member(topic, settings).to(topic)) {
            Set<String> told = Set.of();
            while (true) {
                member.poll();
                Set<String> has = member.has();
                if (!has.equals(told)) {
                    System.out.println("has " + String.join(" ", has));
                    told = has;
                }
            }
        } catch (UnreleasedInstanceIdException refused) {
            System.exit(REFUSED);
        }
    }

    private static Set<String> names(Collection<TopicPartition> partitions) {
        Set<String> names = new TreeSet<>();
        partitions.forEach(partition -> names.add(partition.toString()));
        return names;
    }

    private void create(String topic, int partitions) throws Exception {
        admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1))).all().get();
    }

    private void produce(String topic, int partition, int from, int to) throws Exception {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("key.serializer", "org.apache.kafka.common.serialization.StringSerializer");
        settings.put("value.serializer", "org.apache.kafka.common.serialization.StringSerializer");
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(settings)) {
            for (int i = from; i < to; i++) {
                producer.send(new ProducerRecord<>(topic, partition, null, "" + i)).get();
            }
        }
    }

    // Polls all of them until that holds.
    private static void until(String what, BooleanSupplier holds, Member... members) {
        long end = System.nanoTime() + PATIENCE_SECONDS * 1_000_000_000L;
        while (!holds.getAsBoolean()) {
            for (Member member : members) {
                member.poll();
            }
            if (System.nanoTime() > end) {
                StringBuilder told = new StringBuilder("no " + what);
                for (Member member : members) {
                    told.append("; ").append(member.has()).append(' ').append(member.calls);
                }
                throw new IllegalStateException(told.toString());
            }
        }
    }

    private static void expect(boolean holds, Object told) {
        if (!holds) {
            throw new IllegalStateException(String.valueOf(told));
        }
    }

    private static Set<String> all(String topic, int partitions) {
        Set<String> all = new TreeSet<>();
        for (int i = 0; i < partitions; i++) {
            all.add(topic + "-" + i);
        }
        return all;
    }

    private void joinAndLeave() throws Exception {
        create("cj", 4);
        try (Member first = new Member("cj").to("cj")) {
            until("first assignment", () -> first.has().size() == 4, first);
            expect(first.calls.equals(List.of("assigned " + all("cj", 4))), first.calls);
            Member second = new Member("cj").to("cj");
            until("halves", () -> first.has().size() == 2 && second.has().size() == 2, first, second);
            expect(first.calls.size() == 2 || first.calls.size() == 3, first.calls);
            expect(first.calls.get(1).equals("revoked " + second.has()), first.calls);
            Set<String> both = new TreeSet<>(first.has());
            both.addAll(second.has());
            expect(both.equals(all("cj", 4)), both);
            second.close();
            expect(second.calls.get(second.calls.size() - 1).startsWith("revoked"), second.calls);
            until("all again", () -> first.has().size() == 4, first);
        }
    }

    private void staticRestart() throws Exception {
        create("cs", 4);
        try (Member other = new Member("cs").to("cs")) {
            Member member = new Member("cs", "group.instance.id", "one").to("cs");
            until("halves", () -> member.has().size() == 2 && other.has().size() == 2, member, other);
            Set<String> before = member.has();
            int calls = other.calls.size();
            try (Member twin = new Member("cs", "group.instance.id", "one").to("cs")) {
                until("refusal of a twin", () -> {
                    try {
                        twin.poll();
                        return false;
                    } catch (UnreleasedInstanceIdException refused) {
                        return true;
                    }
                }, member, other);
            }
            member.close();
            try (Member again = new Member("cs", "group.instance.id", "one").to("cs")) {
                until("what it had", () -> again.has().equals(before), again, other);
                expect(other.calls.size() == calls, other.calls);
            }
        }
    }

    // All of the topic, each with one owner.
    private static boolean areShared(String topic, int partitions, List<Set<String>> shares) {
        Set<String> union = new TreeSet<>();
        shares.forEach(union::addAll);
        return union.equals(all(topic, partitions)) && shares.stream().mapToInt(Set::size).sum() == partitions;
    }

    private void crash() throws Exception {
        create("ck", 6);
        long session = protocol.equals("classic") ? CLASSIC_SESSION_MS : CONSUMER_SESSION_MS;
        try (Member first = new Member("ck").to("ck"); Member second = new Member("ck").to("ck");
             Stranger third = new Stranger("ck")) {
            until("thirds", () -> first.has().size() == 2 && second.has().size() == 2
                && areShared("ck", 6, List.of(first.has(), second.has(), third.has)), first, second);
            third.kill();
            long killed = System.nanoTime();
            until("halves", () -> {
                Set<String> both = new TreeSet<>(first.has());
                both.retainAll(second.has());
                expect(both.isEmpty(), "two owners of " + both);
                return first.has().size() == 3 && areShared("ck", 6, List.of(first.has(), second.has()));
            }, first, second);
            long took = (System.nanoTime() - killed) / 1_000_000;
            // Nobody has told the coordinator: it has to wait for the silence.
            expect(took > session / 2 && took < session + LATE_MS, took + " ms");
        }
    }

    // A killed process with an instance id comes back. In a classic group it has at once what it had, and nobody else is told; in a
    // consumer group it is refused until the session of the killed one has ended.
    private void staticCrash() throws Exception {
        create("cx", 4);
        boolean classic = protocol.equals("classic");
        String[] instance = {"group.instance.id", "one"};
        try (Member other = new Member("cx").to("cx")) {
            Stranger one = new Stranger("cx", instance);
            until("halves", () -> areShared("cx", 4, List.of(other.has(), one.has)) && one.has.size() == 2, other);
            int calls = other.calls.size();
            one.kill();
            Stranger[] back = {new Stranger("cx", instance)};
            until("its return", () -> {
                if (!back[0].process.isAlive()) {
                    expect(!classic && back[0].process.exitValue() == REFUSED, back[0].process.exitValue());
                    back[0] = new Stranger("cx", instance);
                }
                return areShared("cx", 4, List.of(other.has(), back[0].has)) && back[0].has.size() == 2;
            }, other);
            if (classic) {
                expect(back[0].has.equals(one.has), back[0].has);
                expect(other.calls.size() == calls, other.calls);
            }
            back[0].kill();
            until("all for the other", () -> other.has().size() == 4, other);
        }
    }

    // What a listener is told beside "nothing has changed": a cooperative rebalance says that too.
    private static List<String> changes(Member member) {
        return member.calls.stream().filter(call -> !call.endsWith("[]")).toList();
    }

    private void joinAndLeaveCooperatively() throws Exception {
        create("cj", 4);
        try (Member first = new Member("cj").to("cj")) {
            until("first assignment", () -> first.has().size() == 4, first);
            Member second = new Member("cj").to("cj");
            until("halves", () -> first.has().size() == 2 && second.has().size() == 2, first, second);
            Set<String> kept = first.has();
            Set<String> moved = second.has();
            expect(changes(first).equals(List.of("assigned " + all("cj", 4), "revoked " + moved)), first.calls);
            expect(changes(second).equals(List.of("assigned " + moved)), second.calls);
            second.close();
            expect(changes(second).equals(List.of("assigned " + moved, "revoked " + moved)), second.calls);
            until("all again", () -> first.has().size() == 4, first);
            expect(changes(first).get(2).equals("assigned " + moved) && !kept.equals(moved), first.calls);
        }
    }

    private void eager() throws Exception {
        create("ce", 4);
        String[] eager = {"partition.assignment.strategy", "org.apache.kafka.clients.consumer.RangeAssignor"};
        try (Member first = new Member("ce", eager).to("ce")) {
            until("first assignment", () -> first.has().size() == 4, first);
            try (Member second = new Member("ce", eager).to("ce")) {
                until("halves", () -> first.has().size() == 2 && second.has().size() == 2, first, second);
                expect(changes(first).equals(List.of("assigned " + all("ce", 4), "revoked " + all("ce", 4),
                    "assigned " + first.has())), first.calls);
            }
        }
    }

    // The newer of two members with one name stays, and the older is told.
    private void staticRestartFences() throws Exception {
        create("cs", 4);
        try (Member other = new Member("cs").to("cs")) {
            Member member = new Member("cs", "group.instance.id", "one").to("cs");
            until("halves", () -> member.has().size() == 2 && other.has().size() == 2, member, other);
            Set<String> before = member.has();
            int calls = other.calls.size();
            member.close();
            try (Member again = new Member("cs", "group.instance.id", "one").to("cs")) {
                until("what it had", () -> again.has().equals(before), again, other);
                try (Member twin = new Member("cs", "group.instance.id", "one").to("cs")) {
                    until("what the older had", () -> twin.has().equals(before), twin, other);
                    until("the end of the older", () -> {
                        try {
                            again.poll();
                            return false;
                        } catch (FencedInstanceIdException fenced) {
                            return true;
                        }
                    }, twin, other);
                }
                expect(other.calls.size() == calls, other.calls);
            }
        }
    }

    private void clientPattern() throws Exception {
        create("cp-a", 1);
        create("cp-b", 2);
        try (Member member = new Member("cp")) {
            member.consumer.subscribe(Pattern.compile("cp-.*"), member);
            until("topics of the pattern", () -> member.has().size() == 3, member);
            create("cp-new-1", 1);
            until("a new topic", () -> member.has().size() == 4, member);
        }
    }

    private void pattern() throws Exception {
        create("cp-a", 1);
        create("cp-b", 2);
        try (Member member = new Member("cp"); Member old = new Member("cp-old")) {
            member.consumer.subscribe(new SubscriptionPattern("cp-[ab]|cp-new.*"), member);
            old.consumer.subscribe(Pattern.compile("cp-.*"), old);
            until("topics of the patterns", () -> member.has().size() == 3 && old.has().size() == 3, member, old);
            create("cp-new-1", 1);
            until("a new topic", () -> member.has().size() == 4 && old.has().size() == 4, member, old);
            member.consumer.subscribe(new SubscriptionPattern("cp-a"), member);
            until("another pattern", () -> member.has().equals(Set.of("cp-a-0")), member);
        }
    }

    private void refused() throws Exception {
        create("cr", 1);
        try (Member member = new Member("cr")) {
            member.consumer.subscribe(new SubscriptionPattern("["), member);
            until("refusal of a pattern", () -> {
                try {
                    member.poll();
                    return false;
                } catch (InvalidRegularExpression refused) {
                    return true;
                }
            });
        }
        try (Member member = new Member("cr", "group.remote.assignor", "mine").to("cr")) {
            until("refusal of an assignor", () -> {
                try {
                    member.poll();
                    return false;
                } catch (UnsupportedAssignorException refused) {
                    return true;
                }
            });
        }
    }

    private void pauseAndSeek() throws Exception {
        create("cw", 2);
        produce("cw", 0, 0, 10);
        produce("cw", 1, 0, 10);
        try (Member member = new Member("cw").to("cw")) {
            until("assignment", () -> member.has().size() == 2, member);
            until("records", () -> member.records.size() == 20, member);
            TopicPartition paused = new TopicPartition("cw", 0);
            member.consumer.pause(List.of(paused));
            produce("cw", 0, 10, 15);
            produce("cw", 1, 10, 15);
            until("records of the other", () -> member.records.size() == 25, member);
            expect(member.records.stream().filter(record -> record.partition() == 0).count() == 10, "paused");
            member.consumer.resume(List.of(paused));
            until("the rest", () -> member.records.size() == 30, member);
            member.records.clear();
            member.consumer.seek(paused, 5);
            until("records again", () -> member.records.size() == 10, member);
            expect(member.records.get(0).offset() == 5, member.records.get(0));
            expect(member.consumer.position(paused) == 15, member.consumer.position(paused));
        }
    }

    private void commitAndResume() throws Exception {
        create("cc", 1);
        produce("cc", 0, 0, 10);
        TopicPartition partition = new TopicPartition("cc", 0);
        try (Member member = new Member("cc").to("cc")) {
            until("records", () -> member.records.size() == 10, member);
            member.consumer.commitSync(Map.of(partition, new OffsetAndMetadata(4, "four")));
            expect(member.consumer.committed(Set.of(partition)).get(partition).offset() == 4, "committed");
        }
        try (Member member = new Member("cc").to("cc")) {
            until("the rest", () -> member.records.size() == 6, member);
            expect(member.records.get(0).offset() == 4, member.records.get(0));
        }
        Map<TopicPartition, OffsetAndMetadata> kept =
            admin.listConsumerGroupOffsets("cc").partitionsToOffsetAndMetadata().get();
        expect(kept.get(partition).metadata().equals("four"), kept);
        // A group without members is deleted with what it kept.
        until("deletion", () -> {
            try {
                admin.deleteConsumerGroups(List.of("cc")).all().get();
                return true;
            } catch (Exception busy) {
                return false;
            }
        });
    }

    private void newPartitions() throws Exception {
        create("cn", 1);
        try (Member member = new Member("cn").to("cn", "cn-later")) {
            until("assignment", () -> member.has().size() == 1, member);
            admin.createPartitions(Map.of("cn", NewPartitions.increaseTo(3))).all().get();
            until("new partitions", () -> member.has().equals(all("cn", 3)), member);
            create("cn-later", 1);
            until("a topic that comes later", () -> member.has().size() == 4, member);
            admin.deleteTopics(List.of("cn")).all().get();
            until("a topic that goes", () -> member.has().equals(Set.of("cn-later-0")), member);
        }
    }

    private void rangeAssignor() throws Exception {
        create("cg-a", 4);
        create("cg-b", 4);
        try (Member first = new Member("cg", "group.remote.assignor", "range").to("cg-a", "cg-b");
             Member second = new Member("cg", "group.remote.assignor", "range").to("cg-a", "cg-b")) {
            until("halves", () -> first.has().size() == 4 && second.has().size() == 4, first, second);
            Set<String> numbers = new HashSet<>();
            first.has().forEach(name -> numbers.add(name.substring(5)));
            expect(numbers.size() == 2, first.has());
        }
    }

    private void lostPartitions() throws Exception {
        create("cl", 2);
        try (Member other = new Member("cl").to("cl");
             Member slow = new Member("cl", "max.poll.interval.ms", "2000").to("cl")) {
            until("halves", () -> slow.has().size() == 1 && other.has().size() == 1, slow, other);
            // It does not poll any more, and is out.
            until("all for the other", () -> other.has().size() == 2, other);
            until("halves again", () -> slow.has().size() == 1 && other.has().size() == 1, slow, other);
            expect(slow.calls.stream().anyMatch(call -> call.startsWith("lost")), slow.calls);
        }
    }

    private void described() throws Exception {
        create("cd", 2);
        try (Member member = new Member("cd", "client.rack", "r1").to("cd")) {
            until("assignment", () -> member.has().size() == 2, member);
            until("rest", () -> description("cd").groupState() == GroupState.STABLE, member);
            ConsumerGroupDescription described = description("cd");
            expect(described.type() == GroupType.CONSUMER, described);
            expect(described.partitionAssignor().equals("uniform"), described);
            expect(described.groupEpoch().isPresent() && described.targetAssignmentEpoch().isPresent(), described);
            MemberDescription one = described.members().iterator().next();
            expect(one.memberEpoch().get().equals(described.groupEpoch().get()), one);
            expect(one.upgraded().equals(java.util.Optional.of(true)), one);
            expect(one.assignment().topicPartitions().size() == 2, one);
            expect(one.targetAssignment().get().topicPartitions().size() == 2, one);
            Map<String, GroupListing> listed = new HashMap<>();
            admin.listGroups(new ListGroupsOptions().withTypes(Set.of(GroupType.CONSUMER))).all().get()
                .forEach(listing -> listed.put(listing.groupId(), listing));
            expect(listed.get("cd").groupState().get() == GroupState.STABLE, listed);
        }
    }

    private ConsumerGroupDescription description(String group) {
        try {
            return admin.describeConsumerGroups(List.of(group)).all().get().get(group);
        } catch (Exception error) {
            throw new IllegalStateException(error);
        }
    }

    private void migration() throws Exception {
        create("cm", 4);
        String[] classic = {"group.protocol", "classic", "partition.assignment.strategy",
            "org.apache.kafka.clients.consumer.CooperativeStickyAssignor"};
        try (Member old = new Member("cm", classic).to("cm")) {
            until("assignment", () -> old.has().size() == 4, old);
            Member fresh = new Member("cm").to("cm");
            until("halves", () -> old.has().size() == 2 && fresh.has().size() == 2, old, fresh);
            expect(description("cm").type() == GroupType.CONSUMER, description("cm"));
            try (Member later = new Member("cm", classic).to("cm")) {
                until("a third", () -> old.has().size() + later.has().size() + fresh.has().size() == 4
                    && !later.has().isEmpty() && old.has().size() <= 2 && fresh.has().size() <= 2,
                    old, fresh, later);
                fresh.close();
                until("halves of classic members", () -> old.has().size() == 2 && later.has().size() == 2,
                    old, later);
                expect(description("cm").type() == GroupType.CLASSIC, description("cm"));
            }
        }
    }
}
