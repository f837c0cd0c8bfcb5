// The scenario of ../../README.md with franz-go.
// It must never check anything that README.md does not list.
package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"milena.test/scenario/scenario"
)

var codecs = map[string]kgo.CompressionCodec{
	"none":   kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}

func main() {
	scenario.Run("franz-go", "github.com/twmb/franz-go", scenario.Phases{
		"phase1": phase1, "transactions": transactions, "phase2": phase2,
		"original": original, "copy": copyAll,
	})
}

func phase1(bootstrap, name string) {
	ctx, cancel := context.WithTimeout(context.Background(), 4*scenario.Patience)
	defer cancel()
	admin := kadm.NewClient(client(bootstrap))
	defer admin.Close()
	brokers := scenario.Get(admin.ListBrokers(ctx))
	scenario.ExpectEqual(len(brokers), 1, "the number of brokers")
	scenario.ExpectEqual(fmt.Sprintf("%s:%d", brokers[0].Host, brokers[0].Port), bootstrap, "the broker")
	scenario.Passed("cluster")

	topics := scenario.Topics(name)
	retention := scenario.RetentionBefore
	shared := topics[0]
	scenario.Get(admin.CreateTopic(ctx, 4, 1, map[string]*string{"retention.ms": &retention}, shared))
	scenario.Must(scenario.Get(admin.CreateTopics(ctx, 1, 1, nil, topics[1:]...)).Error())
	scenario.Until("four partitions with a leader", func() bool {
		led := 0
		for _, partition := range scenario.Get(admin.ListTopics(ctx, shared))[shared].Partitions {
			if partition.Leader >= 0 {
				led++
			}
		}
		return led == 4
	})
	scenario.Passed("create topic")

	scenario.ExpectEqual(retentionOf(ctx, admin, shared), scenario.RetentionBefore, "retention.ms")
	altered := scenario.RetentionAfter
	change := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &altered}}
	for _, response := range scenario.Get(admin.AlterTopicConfigs(ctx, change, shared)) {
		scenario.Must(response.Err)
	}
	scenario.Until("the altered retention.ms", func() bool {
		return retentionOf(ctx, admin, shared) == scenario.RetentionAfter
	})
	scenario.Passed("alter config")

	for _, codec := range scenario.Codecs {
		topic, wanted := name+"-"+codec, scenario.Records(codec)
		produce(ctx, bootstrap, toRecords(topic, wanted), kgo.ProducerBatchCompression(codecs[codec]))
		scenario.ExpectRecords(readAll(ctx, bootstrap, topic, 100), wanted, true, "records of "+codec)
		scenario.Passed("codec " + codec)
	}
	group(ctx, bootstrap, name, admin)
	keep(ctx, bootstrap, name, admin)
}

func keep(ctx context.Context, bootstrap, name string, admin *kadm.Client) {
	kept := name + "-kept"
	var records []*kgo.Record
	for number := range 10 {
		records = append(records, &kgo.Record{Topic: kept, Value: fmt.Appendf(nil, "kept %d", number)})
	}
	produce(ctx, bootstrap, records)
	first, _ := scenario.Get(admin.ListStartOffsets(ctx, kept)).Lookup(kept, 0)
	last, _ := scenario.Get(admin.ListEndOffsets(ctx, kept)).Lookup(kept, 0)
	scenario.ExpectEqual([]int64{first.Offset, last.Offset}, []int64{0, 10}, "the first and last offset")
	scenario.Passed("list offsets")

	offsets := make(kadm.Offsets)
	offsets.Add(kadm.Offset{Topic: kept, Partition: 0, At: 7, LeaderEpoch: -1, Metadata: "seven"})
	scenario.Must(scenario.Get(admin.CommitOffsets(ctx, name+"-keeper", offsets)).Error())
	scenario.Passed("commit")
}

func phase2(bootstrap, name string) {
	ctx, cancel := context.WithTimeout(context.Background(), 4*scenario.Patience)
	defer cancel()
	admin := kadm.NewClient(client(bootstrap))
	defer admin.Close()
	kept, keeper := name+"-kept", name+"-keeper"

	again := client(bootstrap, kgo.ConsumerGroup(keeper), kgo.ConsumeTopics(kept), kgo.DisableAutoCommit())
	var values []string
	scenario.Until("the rest of the records", func() bool {
		poll(ctx, again, func(record *kgo.Record) { values = append(values, string(record.Value)) })
		return len(values) >= 3
	})
	again.LeaveGroup()
	again.Close()
	scenario.ExpectEqual(values, []string{"kept 7", "kept 8", "kept 9"}, "the records after the commit")
	scenario.Passed("resume")
	found, _ := scenario.Get(admin.FetchOffsets(ctx, keeper)).Lookup(kept, 0)
	scenario.ExpectEqual([]any{found.At, found.Metadata}, []any{int64(7), "seven"}, "the committed offset")
	scenario.Passed("committed")

	scenario.ExpectEqual(retentionOf(ctx, admin, name+"-shared"), scenario.RetentionAfter, "retention.ms")
	scenario.Passed("kept config")
	for _, codec := range scenario.Codecs {
		got := readAll(ctx, bootstrap, name+"-"+codec, 100)
		scenario.ExpectRecords(got, scenario.Records(codec), true, "records of "+codec)
	}
	scenario.Passed("kept records")

	afterRestart(ctx, bootstrap, name)
	scenario.Must(scenario.Get(admin.DeleteGroup(ctx, keeper)).Err)
	scenario.ExpectEqual(isListed(ctx, admin, keeper), false, "the deleted group is listed")
	scenario.Passed("delete group")
	scenario.Must(scenario.Get(admin.DeleteTopics(ctx, append(scenario.Topics(name), name+"-in", name+"-out")...)).Error())
	scenario.Until("the topics are gone", func() bool {
		for topic := range scenario.Get(admin.ListTopics(ctx)) {
			if strings.HasPrefix(topic, name+"-") {
				return false
			}
		}
		return true
	})
	scenario.Passed("delete topics")
}

func group(ctx context.Context, bootstrap, name string, admin *kadm.Client) {
	topic, members := name+"-shared", name+"-members"
	first, second := join(ctx, bootstrap, members, topic), join(ctx, bootstrap, members, topic)
	defer second.leave()
	defer first.leave()
	scenario.Until("two partitions each", func() bool { return first.holds() == 2 && second.holds() == 2 })
	before := scenario.Numbered("before")
	produce(ctx, bootstrap, spread(topic, before))
	scenario.Until("40 records", func() bool { return len(first.read())+len(second.read()) >= 40 })
	scenario.ExpectEqual(scenario.Sorted(first.read(), second.read()), scenario.Sorted(before), "the records of both")
	scenario.ExpectEqual([]int{len(first.read()), len(second.read())}, []int{20, 20}, "the shares")
	scenario.Passed("two members")

	scenario.ExpectEqual(isListed(ctx, admin, members), true, "the group is listed")
	scenario.Passed("list groups")
	described := scenario.Get(admin.DescribeGroups(ctx, members))[members]
	scenario.ExpectEqual(described.State, "Stable", "the group's state")
	scenario.ExpectEqual(len(described.Members), 2, "the group's members")
	scenario.Passed("describe group")

	first.leave()
	scenario.Until("all partitions", func() bool { return second.holds() == 4 })
	after := scenario.Numbered("after")
	produce(ctx, bootstrap, spread(topic, after))
	scenario.Until("the next 40 records", func() bool { return len(second.read()) >= 60 })
	scenario.ExpectEqual(scenario.Sorted(second.read()[20:]), scenario.Sorted(after), "the records of the one that stayed")
	scenario.Passed("one member left")
}

// A group member that polls in a goroutine of its own until told to leave.
type member struct {
	client     *kgo.Client
	lock       sync.Mutex
	partitions map[int32]bool
	values     []string
	stop       context.CancelFunc
	done       chan struct{}
}

func join(ctx context.Context, bootstrap, group, topic string) *member {
	ctx, stop := context.WithCancel(ctx)
	joined := &member{partitions: map[int32]bool{}, stop: stop, done: make(chan struct{})}
	note := func(holds bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, changed map[string][]int32) {
			joined.lock.Lock()
			defer joined.lock.Unlock()
			for _, partition := range changed[topic] {
				if holds {
					joined.partitions[partition] = true
				} else {
					delete(joined.partitions, partition)
				}
			}
		}
	}
	joined.client = client(bootstrap, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(note(true)), kgo.OnPartitionsRevoked(note(false)), kgo.OnPartitionsLost(note(false)),
		kgo.HeartbeatInterval(500*time.Millisecond), kgo.SessionTimeout(10*time.Second))
	go joined.poll(ctx)
	return joined
}

func (m *member) poll(ctx context.Context) {
	defer close(m.done)
	for ctx.Err() == nil {
		poll(ctx, m.client, func(record *kgo.Record) {
			m.lock.Lock()
			defer m.lock.Unlock()
			m.values = append(m.values, string(record.Value))
		})
		_ = m.client.CommitUncommittedOffsets(ctx)
	}
}

func (m *member) leave() {
	m.stop()
	<-m.done
	m.client.LeaveGroup()
	m.client.Close()
}

func (m *member) holds() int {
	m.lock.Lock()
	defer m.lock.Unlock()
	return len(m.partitions)
}

func (m *member) read() []string {
	m.lock.Lock()
	defer m.lock.Unlock()
	return slices.Clone(m.values)
}

func client(bootstrap string, options ...kgo.Opt) *kgo.Client {
	fixed := []kgo.Opt{kgo.SeedBrokers(bootstrap), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}
	return scenario.Get(kgo.NewClient(append(fixed, options...)...))
}

func produce(ctx context.Context, bootstrap string, records []*kgo.Record, options ...kgo.Opt) {
	options = append(options, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(20*time.Millisecond))
	producer := client(bootstrap, options...)
	defer producer.Close()
	scenario.Must(producer.ProduceSync(ctx, records...).FirstErr())
}

func poll(ctx context.Context, from *kgo.Client, each func(*kgo.Record)) {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	from.PollFetches(ctx).EachRecord(each)
}

func readAll(ctx context.Context, bootstrap, topic string, count int) []scenario.Record {
	start := map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}
	reader := client(bootstrap, kgo.ConsumePartitions(start))
	defer reader.Close()
	var got []scenario.Record
	scenario.Until(fmt.Sprintf("%d records of %s", count, topic), func() bool {
		poll(ctx, reader, func(record *kgo.Record) {
			one := scenario.Record{Key: record.Key, Value: record.Value}
			for _, header := range record.Headers {
				one.Headers = append(one.Headers, [2]string{header.Key, string(header.Value)})
			}
			got = append(got, one)
		})
		return len(got) >= count
	})
	return got
}

func toRecords(topic string, records []scenario.Record) []*kgo.Record {
	var made []*kgo.Record
	for _, one := range records {
		record := &kgo.Record{Topic: topic, Key: one.Key, Value: one.Value}
		for _, header := range one.Headers {
			record.Headers = append(record.Headers, kgo.RecordHeader{Key: header[0], Value: []byte(header[1])})
		}
		made = append(made, record)
	}
	return made
}

func spread(topic string, values []string) []*kgo.Record {
	var made []*kgo.Record
	for number, value := range values {
		made = append(made, &kgo.Record{Topic: topic, Partition: int32(number % 4), Value: []byte(value)})
	}
	return made
}

func retentionOf(ctx context.Context, admin *kadm.Client, topic string) string {
	described := scenario.Get(scenario.Get(admin.DescribeTopicConfigs(ctx, topic)).On(topic, nil))
	scenario.Must(described.Err)
	for _, config := range described.Configs {
		if config.Key == "retention.ms" {
			return config.MaybeValue()
		}
	}
	panic("retention.ms is not described")
}

func isListed(ctx context.Context, admin *kadm.Client, group string) bool {
	return slices.Contains(scenario.Get(admin.ListGroups(ctx)).Groups(), group)
}
