// The checks of transactions of ../../README.md with franz-go.
// It must never check anything that README.md does not list.
package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"milena.test/scenario/scenario"
)

func transactions(bootstrap, name string) {
	ctx, cancel := context.WithTimeout(context.Background(), 4*scenario.Patience)
	defer cancel()
	admin := kadm.NewClient(client(bootstrap))
	defer admin.Close()
	source, out := name+"-in", name+"-out"
	scenario.Must(scenario.Get(admin.CreateTopics(ctx, 1, 1, nil, source, out)).Error())

	producer := transactional(bootstrap, name+"-writer")
	defer producer.Close()
	begin(ctx, producer, out, scenario.Words("plain", 0, 10))
	scenario.Must(producer.EndTransaction(ctx, kgo.TryCommit))
	begin(ctx, producer, out, scenario.Words("plain", 10, 20))
	scenario.Must(producer.EndTransaction(ctx, kgo.TryAbort))
	begin(ctx, producer, out, scenario.Words("plain", 20, 30))
	scenario.Must(producer.EndTransaction(ctx, kgo.TryCommit))
	end(ctx, bootstrap, out, "plain")
	committed := slices.Concat(scenario.Words("plain", 0, 10), scenario.Words("plain", 20, 30))
	scenario.ExpectEqual(seen(ctx, bootstrap, out, "plain", kgo.ReadCommitted()), committed, "what is committed")
	written := scenario.Words("plain", 0, 30)
	scenario.ExpectEqual(seen(ctx, bootstrap, out, "plain", kgo.ReadUncommitted()), written, "what is written")
	scenario.Passed("commit and abort")

	produce(ctx, bootstrap, outgoing(source, scenario.Words("copy", 0, 10)))
	copied(ctx, bootstrap, name, kgo.TryAbort)
	_, found := offsetOf(ctx, admin, name)
	scenario.ExpectEqual(found, false, "an offset after an abort")
	copied(ctx, bootstrap, name, kgo.TryCommit)
	offset, _ := offsetOf(ctx, admin, name)
	scenario.ExpectEqual(offset, int64(10), "the offset after a commit")
	end(ctx, bootstrap, out, "copy")
	copies := seen(ctx, bootstrap, out, "copy", kgo.ReadCommitted())
	scenario.ExpectEqual(copies, scenario.Words("copy", 0, 10), "the copies")
	scenario.Passed("offsets in transactions")

	zombie(ctx, bootstrap, name)
	late := transactional(bootstrap, name+"-late", kgo.TransactionTimeout(2*time.Second))
	defer late.Close()
	begin(ctx, late, out, []string{"late 0"})
	end(ctx, bootstrap, out, "late")
	scenario.ExpectEqual(seen(ctx, bootstrap, out, "late", kgo.ReadCommitted()), []string{}, "what is committed in time")
	// What is refused with depends on the version of the request that ends the transaction.
	err := late.EndTransaction(ctx, kgo.TryCommit)
	refused := errors.Is(err, kerr.InvalidTxnState) || errors.Is(err, kerr.ProducerFenced)
	scenario.ExpectEqual(refused, true, fmt.Sprint("the late commit is refused by ", err))
	scenario.Passed("time-out")

	lasting := transactional(bootstrap, name+"-lasting")
	begin(ctx, lasting, out, scenario.Words("lasting", 0, 5))
	scenario.Must(lasting.EndTransaction(ctx, kgo.TryCommit))
	begin(ctx, lasting, out, scenario.Words("lasting", 5, 10))
}

func zombie(ctx context.Context, bootstrap, name string) {
	out := name + "-out"
	zombie, heir := transactional(bootstrap, name+"-fenced"), transactional(bootstrap, name+"-fenced")
	defer zombie.Close()
	defer heir.Close()
	begin(ctx, zombie, out, []string{"fenced 0"})
	// The heir asks for its producer id with its first record.
	begin(ctx, heir, out, []string{"fenced 1"})
	err := zombie.EndTransaction(ctx, kgo.TryCommit)
	scenario.ExpectEqual(errors.Is(err, kerr.ProducerFenced), true, fmt.Sprint("the zombie is fenced by ", err))
	scenario.Must(heir.EndTransaction(ctx, kgo.TryCommit))
	end(ctx, bootstrap, out, "fenced")
	inherited := seen(ctx, bootstrap, out, "fenced", kgo.ReadCommitted())
	scenario.ExpectEqual(inherited, []string{"fenced 1"}, "what the heir committed")
	scenario.Passed("zombie fenced")
}

func afterRestart(ctx context.Context, bootstrap, name string) {
	out := name + "-out"
	lasting := transactional(bootstrap, name+"-lasting")
	defer lasting.Close()
	begin(ctx, lasting, out, scenario.Words("lasting", 10, 15))
	scenario.Must(lasting.EndTransaction(ctx, kgo.TryCommit))
	end(ctx, bootstrap, out, "lasting")
	committed := slices.Concat(scenario.Words("lasting", 0, 5), scenario.Words("lasting", 10, 15))
	scenario.ExpectEqual(seen(ctx, bootstrap, out, "lasting", kgo.ReadCommitted()), committed, "what is committed")
	written := scenario.Words("lasting", 0, 15)
	scenario.ExpectEqual(seen(ctx, bootstrap, out, "lasting", kgo.ReadUncommitted()), written, "what is written")
	scenario.Passed("survives a restart")
}

// Copies ten records in a transaction, with the library's session for exactly that.
func copied(ctx context.Context, bootstrap, name string, try kgo.TransactionEndTry) {
	session := copier(bootstrap, name, name+"-in")
	defer session.Close()
	var values []string
	scenario.Until("ten records to copy", func() bool {
		poll(ctx, session.Client(), func(record *kgo.Record) { values = append(values, string(record.Value)) })
		return len(values) >= 10
	})
	scenario.Must(session.Begin())
	scenario.Must(session.ProduceSync(ctx, outgoing(name+"-out", values)...).FirstErr())
	committed := scenario.Get(session.End(ctx, try))
	scenario.ExpectEqual(committed, bool(try), "whether the session committed")
}

// The library's session for copying within transactions, as a member of the group of copiers.
func copier(bootstrap, name, topic string) *kgo.GroupTransactSession {
	return scenario.Get(kgo.NewGroupTransactSession(kgo.SeedBrokers(bootstrap), kgo.TransactionalID(name+"-copier"),
		kgo.ConsumerGroup(name+"-copiers"), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.SessionTimeout(scenario.CopierSession), kgo.HeartbeatInterval(500*time.Millisecond), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RequireStableFetchOffsets(),
		kgo.RecordPartitioner(kgo.ManualPartitioner())))
}

func original(bootstrap, name string) {
	ctx, cancel := context.WithTimeout(context.Background(), scenario.Patience)
	defer cancel()
	admin := kadm.NewClient(client(bootstrap))
	defer admin.Close()
	scenario.Must(scenario.Get(admin.CreateTopics(ctx, 1, 1, nil, name+"-original", name+"-copy")).Error())
	produce(ctx, bootstrap, outgoing(name+"-original", scenario.Words("record", 0, scenario.ToCopy)))
}

func copyAll(bootstrap, name string) {
	ctx, cancel := context.WithTimeout(context.Background(), 4*scenario.Patience)
	defer cancel()
	copies := name + "-copy"
	for copied := 0; copied < scenario.ToCopy; {
		scenario.Must(ctx.Err())
		copied = copyOn(ctx, bootstrap, name, copied)
	}
	end(ctx, bootstrap, copies, "record")
	wanted := scenario.Words("record", 0, scenario.ToCopy)
	scenario.ExpectEqual(seen(ctx, bootstrap, copies, "record", kgo.ReadCommitted()), wanted, "the copies")
	scenario.Passed("exactly once")
}

// Copies what is left with a session of its own, and gives how many are copied when all are or the session is at its end.
//
// The library looks for the coordinator only once while its only broker refuses connections, and says of an error of a
// session's end that one should not continue: so an application does here what it does after its own end, and begins anew.
func copyOn(ctx context.Context, bootstrap, name string, copied int) int {
	session := copier(bootstrap, name, name+"-original")
	defer session.Close()
	// Left to its first record, an heir would wait for its offset until the transaction that it found timed out.
	scenario.Until("a producer id", func() bool {
		_, _, err := session.Client().ProducerID(ctx)
		return !refused(err)
	})
	for copied < scenario.ToCopy {
		scenario.Must(ctx.Err())
		var values []string
		var next int64
		// An error of a fetch while the broker is away goes away with it.
		session.PollRecords(ctx, 10).EachRecord(func(record *kgo.Record) {
			values, next = append(values, string(record.Value)), record.Offset+1
		})
		if len(values) == 0 {
			continue
		}
		scenario.Must(session.Begin())
		results := session.ProduceSync(ctx, outgoing(name+"-copy", values)...)
		// What is aborted the session reads again.
		committed, err := session.End(ctx, results.FirstErr() == nil)
		if refused(err) {
			return copied
		}
		if committed {
			copied = int(next)
			scenario.Copied(copied)
		}
	}
	return copied
}

// Whether nobody listens where the broker is. Any other error ends the phase.
func refused(err error) bool {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return true
	}
	scenario.Must(err)
	return false
}

// The committed offset of the copiers, when there is one.
func offsetOf(ctx context.Context, admin *kadm.Client, name string) (int64, bool) {
	found, ok := scenario.Get(admin.FetchOffsets(ctx, name+"-copiers")).Lookup(name+"-in", 0)
	return found.At, ok
}

func transactional(bootstrap, id string, options ...kgo.Opt) *kgo.Client {
	fixed := []kgo.Opt{kgo.TransactionalID(id), kgo.RecordPartitioner(kgo.ManualPartitioner())}
	return client(bootstrap, append(fixed, options...)...)
}

// Begins a transaction with these values, which have reached the broker at the end.
func begin(ctx context.Context, producer *kgo.Client, topic string, values []string) {
	scenario.Must(producer.BeginTransaction())
	scenario.Must(producer.ProduceSync(ctx, outgoing(topic, values)...).FirstErr())
}

func end(ctx context.Context, bootstrap, topic, word string) {
	produce(ctx, bootstrap, outgoing(topic, []string{word + " end"}))
}

// The values of a check, up to its last record, for a reader of this isolation.
func seen(ctx context.Context, bootstrap, topic, word string, isolation kgo.IsolationLevel) []string {
	start := map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}
	reader := client(bootstrap, kgo.ConsumePartitions(start), kgo.FetchIsolationLevel(isolation))
	defer reader.Close()
	var got, values []string
	scenario.Until("the end of "+word, func() bool {
		poll(ctx, reader, func(record *kgo.Record) { got = append(got, string(record.Value)) })
		var ended bool
		values, ended = scenario.ValuesOf(word, got)
		return ended
	})
	return values
}

func outgoing(topic string, values []string) []*kgo.Record {
	var made []*kgo.Record
	for _, value := range values {
		made = append(made, &kgo.Record{Topic: topic, Value: []byte(value)})
	}
	return made
}
