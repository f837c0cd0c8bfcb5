"""kazoo's recipes against a server of ZooKeeper's protocol: python recipes.py HOST:PORT. Prints "passed" at the end."""

import socket
import sys
import threading

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import BadVersionError, NoAuthError, NodeExistsError, NoNodeError
from kazoo.protocol.states import EventType
from kazoo.recipe.barrier import Barrier, DoubleBarrier
from kazoo.recipe.counter import Counter
from kazoo.recipe.election import Election
from kazoo.recipe.lock import Lock, Semaphore
from kazoo.recipe.party import Party
from kazoo.recipe.queue import LockingQueue, Queue
from kazoo.recipe.watchers import ChildrenWatch, DataWatch
from kazoo.security import make_digest_acl

PATIENCE = 20


def client(hosts):
    made = KazooClient(hosts=hosts, timeout=4)
    made.start(timeout=PATIENCE)
    return made


def wait(event, what):
    assert event.wait(PATIENCE), what


def basics(a, b):
    assert a.create("/k", b"1") == "/k"
    try:
        b.create("/k")
        raise AssertionError("a second create")
    except NodeExistsError:
        pass
    try:
        b.set("/k", b"2", version=7)
        raise AssertionError("a wrong version")
    except BadVersionError:
        pass
    path, stat = a.create("/k/s-", b"", sequence=True, ephemeral=True, include_data=True)
    assert path == "/k/s-0000000000" and stat.owner_session_id == a.client_id[0]
    heard = threading.Event()
    kinds = []
    b.get("/k", watch=lambda event: (kinds.append(event.type), heard.set()))
    a.set("/k", b"3")
    wait(heard, "a data watch")
    assert kinds == [EventType.CHANGED]
    t = a.transaction()
    t.create("/k/t")
    t.check("/k", 99)
    results = t.commit()
    assert isinstance(results[1], BadVersionError), results
    assert b.exists("/k/t") is None
    b.sync("/k")
    assert b.server_version()[:2] == (3, 8)


def authentication(a, hosts):
    a.create("/guarded", b"x", acl=[make_digest_acl("user", "word", all=True)])
    for words, allowed in ((None, False), ("user:word", True), ("user:other", False)):
        other = client(hosts)
        if words:
            other.add_auth("digest", words)
        try:
            other.get("/guarded")
            assert allowed, words
        except NoAuthError:
            assert not allowed, words
        other.stop()


def locks(a, b):
    order = []
    first = Lock(a, "/lock", "a")
    second = Lock(b, "/lock", "b")
    assert first.acquire(timeout=PATIENCE)
    got = threading.Event()

    def contend():
        with second:
            order.append("b")
            got.set()

    thread = threading.Thread(target=contend)
    thread.start()
    while "b" not in first.contenders():
        pass
    order.append("a")
    first.release()
    wait(got, "the second of two for a lock")
    thread.join(PATIENCE)
    assert order == ["a", "b"], order
    semaphores = [Semaphore(c, "/semaphore", max_leases=2) for c in (a, b)]
    assert all(s.acquire(timeout=PATIENCE) for s in semaphores)
    for s in semaphores:
        s.release()


def elections(a, b):
    led = []
    done = threading.Event()

    def lead(name):
        led.append(name)
        if len(led) == 2:
            done.set()

    threads = [
        threading.Thread(target=Election(c, "/election", name).run, args=(lead, name))
        for c, name in ((a, "a"), (b, "b"))
    ]
    for thread in threads:
        thread.start()
    wait(done, "both lead in turn")
    assert sorted(led) == ["a", "b"]
    for thread in threads:
        thread.join(PATIENCE)


def queues(a, b):
    queue = Queue(a, "/queue")
    for item in (b"1", b"2", b"3"):
        queue.put(item)
    assert [Queue(b, "/queue").get() for _ in range(3)] == [b"1", b"2", b"3"]
    locking = LockingQueue(a, "/locking")
    locking.put_all([b"x", b"y"])
    other = LockingQueue(b, "/locking")
    assert other.get(PATIENCE) == b"x" and other.consume()
    assert other.get(PATIENCE) == b"y" and other.consume()
    assert len(locking) == 0


def barriers(a, b):
    barrier = Barrier(a, "/barrier")
    barrier.create()
    passed = threading.Event()
    thread = threading.Thread(target=lambda: Barrier(b, "/barrier").wait(PATIENCE) and passed.set())
    thread.start()
    barrier.remove()
    wait(passed, "the barrier falls")
    inside = []
    all_in = threading.Event()

    def enter(c, name):
        double = DoubleBarrier(c, "/double", 2, name)
        double.enter()
        inside.append(name)
        if len(inside) == 2:
            all_in.set()
        double.leave()

    threads = [threading.Thread(target=enter, args=(c, n)) for c, n in ((a, "a"), (b, "b"))]
    for thread in threads:
        thread.start()
    wait(all_in, "both are inside")
    for thread in threads:
        thread.join(PATIENCE)


def watchers(a, b):
    a.ensure_path("/watched")
    data, children = [], []
    seen, grown = threading.Event(), threading.Event()

    @DataWatch(b, "/watched")
    def changed(value, stat):
        data.append(value)
        if value == b"new":
            seen.set()

    @ChildrenWatch(b, "/watched")
    def children_changed(names):
        children.append(sorted(names))
        if names == ["x"]:
            grown.set()

    a.set("/watched", b"new")
    a.create("/watched/x")
    wait(seen, "a DataWatch")
    wait(grown, "a ChildrenWatch")
    counter = Counter(a, "/counter")
    counter += 2
    counter -= 1
    assert Counter(b, "/counter").value == 1
    party = Party(a, "/party", "a")
    party.join()
    assert list(Party(b, "/party")) == ["a"]


def sessions(hosts):
    """A connection that is cut comes back to the same session, with its watches."""
    one = client(hosts)
    lost, back, heard = threading.Event(), threading.Event(), threading.Event()

    def state(now):
        if now == KazooState.SUSPENDED:
            lost.set()
        elif now == KazooState.CONNECTED and lost.is_set():
            back.set()

    one.add_listener(state)
    one.create("/mine", ephemeral=True)
    one.exists("/later", watch=lambda event: heard.set())
    before = one.client_id
    one._connection._socket.shutdown(socket.SHUT_RDWR)
    wait(lost, "the loss is noticed")
    wait(back, "the session is taken up")
    assert one.client_id == before
    other = client(hosts)
    assert other.exists("/mine")
    other.create("/later")
    wait(heard, "a watch that was set again")
    one.stop()
    try:
        other.get("/mine")
        raise AssertionError("an ephemeral node outlived its session")
    except NoNodeError:
        pass
    other.stop()


def main(hosts):
    a, b = client(hosts), client(hosts)
    for recipe in (basics, locks, elections, queues, barriers, watchers):
        recipe(a, b)
        print(recipe.__name__, flush=True)
    authentication(a, hosts)
    print("authentication", flush=True)
    a.stop()
    b.stop()
    sessions(hosts)
    print("passed")


main(sys.argv[1])
