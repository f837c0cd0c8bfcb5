// ZooKeeper's Java client and its recipes against a server of its protocol: java JavaClient HOST:PORT. Prints "passed" at the end.
// It must never wait without a deadline, nor touch a node of Kafka's.

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.TreeSet;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;
import org.apache.zookeeper.recipes.leader.LeaderElectionSupport;
import org.apache.zookeeper.recipes.lock.LockListener;
import org.apache.zookeeper.recipes.lock.WriteLock;
import org.apache.zookeeper.recipes.queue.DistributedQueue;

public final class JavaClient {
    private static final int PATIENCE_SECONDS = 20;
    private static final int TIMEOUT_MS = 8000;

    /** One client with the events that it saw. */
    private static final class Client implements Watcher {
        final BlockingQueue<WatchedEvent> events = new LinkedBlockingQueue<>();
        final CountDownLatch connected = new CountDownLatch(1);
        final ZooKeeper zk;

        Client(String at) throws Exception {
            this(at, 0, null);
        }

        Client(String at, long session, byte[] password) throws Exception {
            zk = password == null
                ? new ZooKeeper(at, TIMEOUT_MS, this)
                : new ZooKeeper(at, TIMEOUT_MS, this, session, password);
            check(connected.await(PATIENCE_SECONDS, TimeUnit.SECONDS), "connected");
        }

        @Override
        public void process(WatchedEvent event) {
            if (event.getType() != EventType.None) {
                events.add(event);
            } else if (event.getState() == KeeperState.SyncConnected) {
                connected.countDown();
            }
        }

        void expect(EventType type, String path) throws Exception {
            WatchedEvent event = events.poll(PATIENCE_SECONDS, TimeUnit.SECONDS);
            check(event != null && event.getType() == type && path.equals(event.getPath()),
                "expected " + type + " " + path + ", saw " + event);
        }
    }

    private interface Call {
        void run() throws Exception;
    }

    private final String at;
    private final Client a;
    private final Client b;

    private JavaClient(String at) throws Exception {
        this.at = at;
        a = new Client(at);
        b = new Client(at);
    }

    public static void main(String[] arguments) throws Exception {
        JavaClient run = new JavaClient(arguments[0]);
        run.nodes();
        run.transactions();
        run.inOrder();
        run.watches();
        run.accessLists();
        run.sessions();
        run.locks();
        run.queues();
        run.elections();
        run.a.zk.close();
        run.b.zk.close();
        System.out.println("passed");
        System.exit(0);
    }

    private void nodes() throws Exception {
        check(create(a, "/j", "1", CreateMode.PERSISTENT).equals("/j"), "create");
        refused(Code.NODEEXISTS, () -> create(b, "/j", "", CreateMode.PERSISTENT));
        refused(Code.NONODE, () -> create(b, "/none/x", "", CreateMode.PERSISTENT));
        refused(Code.BADVERSION, () -> b.zk.setData("/j", bytes("2"), 7));
        check(create(a, "/j/s-", "", CreateMode.PERSISTENT_SEQUENTIAL).equals("/j/s-0000000000"), "sequence");
        check(create(a, "/j/s-", "", CreateMode.EPHEMERAL_SEQUENTIAL).equals("/j/s-0000000001"), "sequence");
        Stat stat = new Stat();
        a.zk.create("/j/t", bytes("ttl"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, stat, 100_000);
        check(stat.getEphemeralOwner() == 0 && stat.getDataLength() == 3, "the Stat of a TTL node: " + stat);
        create(a, "/j/c", "", CreateMode.CONTAINER);
        refused(Code.NOCHILDRENFOREPHEMERALS,
            () -> create(a, "/j/s-0000000001/x", "", CreateMode.PERSISTENT));
        refused(Code.NOTEMPTY, () -> b.zk.delete("/j", -1));
        check(new TreeSet<>(b.zk.getChildren("/j", false))
            .equals(new TreeSet<>(Arrays.asList("s-0000000000", "s-0000000001", "t", "c"))), "children");
        check(b.zk.getAllChildrenNumber("/j") == 4, "all children");
        check(a.zk.getEphemerals().equals(Collections.singletonList("/j/s-0000000001")), "ephemerals");
        Stat of = b.zk.exists("/j", false);
        check(of.getNumChildren() == 4 && of.getCversion() == 4 && of.getVersion() == 0, "the Stat of /j: " + of);
        check(b.zk.setData("/j", bytes("2"), 0).getVersion() == 1, "set");
        check(new String(b.zk.getData("/j", false, null), StandardCharsets.UTF_8).equals("2"), "get");
    }

    private void transactions() throws Exception {
        List<OpResult> done = a.zk.multi(Arrays.asList(
            Op.check("/j", 1),
            Op.create("/j/m", bytes("m"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
            Op.setData("/j/m", bytes("n"), 0),
            Op.delete("/j/c", -1)));
        check(done.size() == 4 && ((OpResult.CreateResult) done.get(1)).getPath().equals("/j/m"), "multi " + done);
        try {
            a.zk.multi(Arrays.asList(Op.delete("/j/m", -1), Op.check("/j", 99)));
            check(false, "a multi with a wrong version");
        } catch (KeeperException.BadVersionException refused) {
            OpResult.ErrorResult second = (OpResult.ErrorResult) refused.getResults().get(1);
            check(second.getErr() == Code.BADVERSION.intValue(), "its results");
        }
        check(b.zk.exists("/j/m", false) != null, "nothing of it is done");
        List<OpResult> read = b.zk.multi(Arrays.asList(Op.getData("/j/m"), Op.getChildren("/j/none")));
        check(((OpResult.GetDataResult) read.get(0)).getData()[0] == 'n', "what a multi reads");
        check(((OpResult.ErrorResult) read.get(1)).getErr() == Code.NONODE.intValue(), "and what it cannot");
    }

    /** Answers of one client come in the order of its requests, reads among writes. */
    private void inOrder() throws Exception {
        int count = 200;
        create(a, "/j/o", "", CreateMode.PERSISTENT);
        CountDownLatch answered = new CountDownLatch(2 * count);
        List<Integer> versions = Collections.synchronizedList(new ArrayList<>());
        for (int i = 0; i < count; i++) {
            a.zk.setData("/j/o", bytes("" + i), i, (code, path, context, stat) -> {
                versions.add(code == 0 ? stat.getVersion() : code);
                answered.countDown();
            }, null);
            a.zk.getData("/j/o", false, (code, path, context, data, stat) -> {
                versions.add(code == 0 ? stat.getVersion() : code);
                answered.countDown();
            }, null);
        }
        check(answered.await(PATIENCE_SECONDS, TimeUnit.SECONDS), "all are answered");
        for (int i = 0; i < 2 * count; i++) {
            check(versions.get(i) == i / 2 + 1, "answer " + i + " is " + versions.get(i));
        }
        CountDownLatch synced = new CountDownLatch(1);
        b.zk.sync("/j/o", (code, path, context) -> synced.countDown(), null);
        check(synced.await(PATIENCE_SECONDS, TimeUnit.SECONDS), "sync");
        check(b.zk.exists("/j/o", false).getVersion() == count, "what was synced is seen");
    }

    private void watches() throws Exception {
        create(a, "/w", "", CreateMode.PERSISTENT);
        b.zk.getData("/w", b, null);
        b.zk.getChildren("/w", b);
        b.zk.exists("/w/x", b);
        a.zk.setData("/w", bytes("1"), -1);
        a.zk.setData("/w", bytes("2"), -1);
        b.expect(EventType.NodeDataChanged, "/w");
        create(a, "/w/x", "", CreateMode.PERSISTENT);
        b.expect(EventType.NodeCreated, "/w/x");
        b.expect(EventType.NodeChildrenChanged, "/w");
        b.zk.addWatch("/w", b, AddWatchMode.PERSISTENT_RECURSIVE);
        create(a, "/w/x/y", "", CreateMode.PERSISTENT);
        a.zk.setData("/w/x/y", bytes("1"), -1);
        a.zk.delete("/w/x/y", -1);
        b.expect(EventType.NodeCreated, "/w/x/y");
        b.expect(EventType.NodeDataChanged, "/w/x/y");
        b.expect(EventType.NodeDeleted, "/w/x/y");
        b.zk.removeWatches("/w", b, Watcher.WatcherType.Any, false);
        b.expect(EventType.PersistentWatchRemoved, "/w");
        refused(Code.NOWATCHER, () -> b.zk.removeWatches("/w", b, Watcher.WatcherType.Any, false));
        check(b.events.isEmpty(), "no more events: " + b.events);
    }

    private void accessLists() throws Exception {
        Client owner = new Client(at);
        owner.zk.addAuthInfo("digest", bytes("user:word"));
        owner.zk.create("/guarded", bytes("x"), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        refused(Code.NOAUTH, () -> b.zk.getData("/guarded", false, null));
        refused(Code.INVALIDACL,
            () -> b.zk.create("/guarded-too", bytes("x"), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT));
        check(owner.zk.whoAmI().stream().anyMatch(who -> who.getUser().equals("user")), "who am I");
        owner.zk.close();
    }

    /** A session outlives its connection, moves with its password, and takes its ephemeral nodes with it. */
    private void sessions() throws Exception {
        Client first = new Client(at);
        create(first, "/own", "", CreateMode.EPHEMERAL);
        Client second = new Client(at, first.zk.getSessionId(), first.zk.getSessionPasswd());
        check(second.zk.getSessionId() == first.zk.getSessionId(), "the session is taken over");
        check(b.zk.exists("/own", b).getEphemeralOwner() == second.zk.getSessionId(), "and its nodes stay");
        second.zk.setData("/own", bytes("1"), 0);
        b.expect(EventType.NodeDataChanged, "/own");
        b.zk.exists("/own", b);
        second.zk.close();
        b.expect(EventType.NodeDeleted, "/own");
        first.zk.close();
        CountDownLatch expired = new CountDownLatch(1);
        byte[] wrong = new byte[16];
        ZooKeeper stranger = new ZooKeeper(at, TIMEOUT_MS, event -> {
            if (event.getState() == KeeperState.Expired) {
                expired.countDown();
            }
        }, a.zk.getSessionId(), wrong);
        check(expired.await(PATIENCE_SECONDS, TimeUnit.SECONDS), "a wrong password expires whoever has it");
        stranger.close();
        // ZooKeeper closes the connection of whoever has the session before it looks at the password.
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS);
        while (a.zk.getState() != ZooKeeper.States.CONNECTED || !answers(a)) {
            check(a.zk.getState().isAlive() && System.nanoTime() < deadline, "and not the session");
            Thread.onSpinWait();
        }
    }

    private static boolean answers(Client client) throws Exception {
        try {
            return client.zk.exists("/j", false) != null;
        } catch (KeeperException.ConnectionLossException lost) {
            return false;
        }
    }

    private void locks() throws Exception {
        BlockingQueue<String> order = new LinkedBlockingQueue<>();
        WriteLock first = new WriteLock(a.zk, "/lock", Ids.OPEN_ACL_UNSAFE, told(order, "a"));
        WriteLock second = new WriteLock(b.zk, "/lock", Ids.OPEN_ACL_UNSAFE, told(order, "b"));
        check(first.lock(), "a free lock is taken");
        next(order, "a has it");
        check(!second.lock() && !second.isOwner(), "and not taken twice");
        first.unlock();
        // The second may have it before the first has told its listener.
        TreeSet<String> both = new TreeSet<>();
        both.add(order.poll(PATIENCE_SECONDS, TimeUnit.SECONDS));
        both.add(order.poll(PATIENCE_SECONDS, TimeUnit.SECONDS));
        check(both.equals(new TreeSet<>(Arrays.asList("a let go", "b has it"))), "the lock is handed on: " + both);
        check(second.isOwner(), "the second knows");
        second.unlock();
        next(order, "b let go");
        first.close();
        second.close();
    }

    private static LockListener told(BlockingQueue<String> order, String who) {
        return new LockListener() {
            @Override
            public void lockAcquired() {
                order.add(who + " has it");
            }

            @Override
            public void lockReleased() {
                order.add(who + " let go");
            }
        };
    }

    private void queues() throws Exception {
        // The recipe fails when both ends make it at once.
        create(a, "/queue", "", CreateMode.PERSISTENT);
        DistributedQueue in = new DistributedQueue(a.zk, "/queue", Ids.OPEN_ACL_UNSAFE);
        DistributedQueue out = new DistributedQueue(b.zk, "/queue", Ids.OPEN_ACL_UNSAFE);
        BlockingQueue<String> taken = new LinkedBlockingQueue<>();
        Thread taker = new Thread(() -> {
            try {
                for (int i = 0; i < 10; i++) {
                    taken.add(new String(out.take(), StandardCharsets.UTF_8));
                }
            } catch (KeeperException | InterruptedException error) {
                taken.add(error.toString());
            }
        });
        taker.setDaemon(true);
        taker.start();
        for (int i = 0; i < 10; i++) {
            in.offer(bytes("item " + i));
        }
        for (int i = 0; i < 10; i++) {
            next(taken, "item " + i);
        }
        check(out.poll() == null, "the queue is empty");
    }

    private void elections() throws Exception {
        create(a, "/election", "", CreateMode.PERSISTENT);
        BlockingQueue<String> order = new LinkedBlockingQueue<>();
        LeaderElectionSupport first = candidate(a, "a", order);
        LeaderElectionSupport second = candidate(b, "b", order);
        first.start();
        next(order, "a leads");
        second.start();
        check(first.getLeaderHostName().equals("a") && second.getLeaderHostName().equals("a"), "who leads");
        first.stop();
        next(order, "b leads");
        second.stop();
    }

    private static LeaderElectionSupport candidate(Client client, String name, BlockingQueue<String> order) {
        LeaderElectionSupport candidate = new LeaderElectionSupport();
        candidate.setZooKeeper(client.zk);
        candidate.setRootNodeName("/election");
        candidate.setHostName(name);
        candidate.addListener(event -> {
            if (event == LeaderElectionSupport.EventType.ELECTED_COMPLETE) {
                order.add(name + " leads");
            }
        });
        return candidate;
    }

    private static void next(BlockingQueue<String> order, String expected) throws Exception {
        String seen = order.poll(PATIENCE_SECONDS, TimeUnit.SECONDS);
        check(expected.equals(seen), "expected " + expected + ", saw " + seen);
    }

    private static String create(Client client, String path, String data, CreateMode mode) throws Exception {
        return client.zk.create(path, bytes(data), Ids.OPEN_ACL_UNSAFE, mode);
    }

    private static void refused(Code code, Call call) throws Exception {
        try {
            call.run();
        } catch (KeeperException refused) {
            check(refused.code() == code, "expected " + code + ", had " + refused.code());
            return;
        }
        check(false, "expected " + code);
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }
}
