// The scenario of ../../README.md with sarama.
// It must never check anything that README.md does not list. sarama gives an empty key or value as it gives a null one.
package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"milena.test/scenario/scenario"
)

var codecs = map[string]sarama.CompressionCodec{
	"none":   sarama.CompressionNone,
	"gzip":   sarama.CompressionGZIP,
	"snappy": sarama.CompressionSnappy,
	"lz4":    sarama.CompressionLZ4,
	"zstd":   sarama.CompressionZSTD,
}

func main() {
	scenario.Run("sarama", "github.com/IBM/sarama", scenario.Phases{
		"phase1": phase1, "transactions": transactions, "phase2": phase2,
	})
}

func phase1(bootstrap, name string) {
	admin := scenario.Get(sarama.NewClusterAdmin([]string{bootstrap}, config()))
	defer admin.Close()
	brokers, _, err := admin.DescribeCluster()
	scenario.Must(err)
	scenario.ExpectEqual(len(brokers), 1, "the number of brokers")
	scenario.ExpectEqual(brokers[0].Addr(), bootstrap, "the broker")
	scenario.Passed("cluster")

	topics := scenario.Topics(name)
	retention := scenario.RetentionBefore
	shared := topics[0]
	detail := sarama.TopicDetail{NumPartitions: 4, ReplicationFactor: 1}
	detail.ConfigEntries = map[string]*string{"retention.ms": &retention}
	scenario.Must(admin.CreateTopic(shared, &detail, false))
	for _, topic := range topics[1:] {
		scenario.Must(admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1}, false))
	}
	scenario.Until("four partitions with a leader", func() bool {
		led := 0
		for _, partition := range scenario.Get(admin.DescribeTopics([]string{shared}))[0].Partitions {
			if partition.Leader >= 0 {
				led++
			}
		}
		return led == 4
	})
	scenario.Passed("create topic")

	scenario.ExpectEqual(retentionOf(admin, shared), scenario.RetentionBefore, "retention.ms")
	altered := scenario.RetentionAfter
	set := sarama.IncrementalAlterConfigsEntry{Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &altered}
	change := map[string]sarama.IncrementalAlterConfigsEntry{"retention.ms": set}
	scenario.Must(admin.IncrementalAlterConfig(sarama.TopicResource, shared, change, false))
	scenario.Until("the altered retention.ms", func() bool {
		return retentionOf(admin, shared) == scenario.RetentionAfter
	})
	scenario.Passed("alter config")

	for _, codec := range scenario.Codecs {
		topic, wanted := name+"-"+codec, scenario.Records(codec)
		produce(bootstrap, toMessages(topic, wanted), codecs[codec])
		scenario.ExpectRecords(readAll(bootstrap, topic, 100), wanted, false, "records of "+codec)
		scenario.Passed("codec " + codec)
	}
	group(bootstrap, name, admin)
	keep(bootstrap, name, admin)
}

func keep(bootstrap, name string, admin sarama.ClusterAdmin) {
	kept := name + "-kept"
	var messages []*sarama.ProducerMessage
	for number := range 10 {
		value := sarama.StringEncoder(fmt.Sprintf("kept %d", number))
		messages = append(messages, &sarama.ProducerMessage{Topic: kept, Value: value})
	}
	produce(bootstrap, messages, sarama.CompressionNone)
	at := func(time int64) int64 {
		asked := map[string]map[int32]int64{kept: {0: time}}
		found := scenario.Get(admin.ListOffsets(asked, nil))[kept][0]
		scenario.ExpectEqual(found.Err, error(sarama.ErrNoError), "the error of the offset")
		return found.Offset
	}
	bounds := []int64{at(sarama.OffsetOldest), at(sarama.OffsetNewest)}
	scenario.ExpectEqual(bounds, []int64{0, 10}, "the first and last offset")
	scenario.Passed("list offsets")

	seven := sarama.OffsetAndMetadata{Offset: 7, Metadata: "seven", LeaderEpoch: -1}
	offsets := map[string]map[int32]sarama.OffsetAndMetadata{kept: {0: seven}}
	committed := scenario.Get(admin.AlterConsumerGroupOffsets(name+"-keeper", offsets, nil))
	scenario.ExpectEqual(committed.Errors[kept][0], sarama.ErrNoError, "the error of the commit")
	scenario.Passed("commit")
}

func phase2(bootstrap, name string) {
	admin := scenario.Get(sarama.NewClusterAdmin([]string{bootstrap}, config()))
	defer admin.Close()
	kept, keeper := name+"-kept", name+"-keeper"

	again := join(bootstrap, keeper, kept, false)
	scenario.Until("the rest of the records", func() bool { return len(again.read()) >= 3 })
	again.leave()
	scenario.ExpectEqual(again.read(), []string{"kept 7", "kept 8", "kept 9"}, "the records after the commit")
	scenario.Passed("resume")
	found := scenario.Get(admin.ListConsumerGroupOffsets(keeper, map[string][]int32{kept: {0}})).GetBlock(kept, 0)
	scenario.ExpectEqual([]any{found.Offset, found.Metadata}, []any{int64(7), "seven"}, "the committed offset")
	scenario.Passed("committed")

	scenario.ExpectEqual(retentionOf(admin, name+"-shared"), scenario.RetentionAfter, "retention.ms")
	scenario.Passed("kept config")
	for _, codec := range scenario.Codecs {
		got := readAll(bootstrap, name+"-"+codec, 100)
		scenario.ExpectRecords(got, scenario.Records(codec), false, "records of "+codec)
	}
	scenario.Passed("kept records")

	afterRestart(bootstrap, name)
	scenario.Must(admin.DeleteConsumerGroup(keeper))
	scenario.ExpectEqual(isListed(admin, keeper), false, "the deleted group is listed")
	scenario.Passed("delete group")
	for _, topic := range append(scenario.Topics(name), name+"-in", name+"-out") {
		scenario.Must(admin.DeleteTopic(topic))
	}
	scenario.Until("the topics are gone", func() bool {
		for topic := range scenario.Get(admin.ListTopics()) {
			if strings.HasPrefix(topic, name+"-") {
				return false
			}
		}
		return true
	})
	scenario.Passed("delete topics")
}

func group(bootstrap, name string, admin sarama.ClusterAdmin) {
	topic, members := name+"-shared", name+"-members"
	first, second := join(bootstrap, members, topic, true), join(bootstrap, members, topic, true)
	defer second.leave()
	defer first.leave()
	scenario.Until("two partitions each", func() bool { return first.holds() == 2 && second.holds() == 2 })
	before := scenario.Numbered("before")
	produce(bootstrap, spread(topic, before), sarama.CompressionNone)
	scenario.Until("40 records", func() bool { return len(first.read())+len(second.read()) >= 40 })
	scenario.ExpectEqual(scenario.Sorted(first.read(), second.read()), scenario.Sorted(before), "the records of both")
	scenario.ExpectEqual([]int{len(first.read()), len(second.read())}, []int{20, 20}, "the shares")
	scenario.Passed("two members")

	scenario.ExpectEqual(isListed(admin, members), true, "the group is listed")
	scenario.Passed("list groups")
	described := scenario.Get(admin.DescribeConsumerGroups([]string{members}))[0]
	scenario.ExpectEqual(described.State, "Stable", "the group's state")
	scenario.ExpectEqual(len(described.Members), 2, "the group's members")
	scenario.Passed("describe group")

	first.leave()
	scenario.Until("all partitions", func() bool { return second.holds() == 4 })
	after := scenario.Numbered("after")
	produce(bootstrap, spread(topic, after), sarama.CompressionNone)
	scenario.Until("the next 40 records", func() bool { return len(second.read()) >= 60 })
	scenario.ExpectEqual(scenario.Sorted(second.read()[20:]), scenario.Sorted(after), "the records of the one that stayed")
	scenario.Passed("one member left")
}

// A group member that consumes in goroutines of its own until told to leave.
type member struct {
	group      sarama.ConsumerGroup
	commits    bool
	lock       sync.Mutex
	partitions []int32
	values     []string
	stop       context.CancelFunc
	done       chan struct{}
	once       sync.Once
}

func join(bootstrap, id, topic string, commits bool) *member {
	settings := config()
	settings.Consumer.Offsets.Initial = sarama.OffsetOldest
	settings.Consumer.Offsets.AutoCommit.Enable = commits
	settings.Consumer.Group.Heartbeat.Interval = 500 * time.Millisecond
	settings.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategyRange()}
	ctx, stop := context.WithCancel(context.Background())
	joined := &member{commits: commits, stop: stop, done: make(chan struct{})}
	joined.group = scenario.Get(sarama.NewConsumerGroup([]string{bootstrap}, id, settings))
	go func() {
		defer close(joined.done)
		for ctx.Err() == nil {
			err := joined.group.Consume(ctx, []string{topic}, joined)
			if errors.Is(err, sarama.ErrClosedConsumerGroup) {
				return
			}
		}
	}()
	return joined
}

// Setup tells the member its partitions.
func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.partitions = nil
	for _, partitions := range session.Claims() {
		m.partitions = append(m.partitions, partitions...)
	}
	return nil
}

// Cleanup takes the partitions away.
func (m *member) Cleanup(sarama.ConsumerGroupSession) error {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.partitions = nil
	return nil
}

// ConsumeClaim keeps the values of one partition.
func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		m.lock.Lock()
		m.values = append(m.values, string(message.Value))
		m.lock.Unlock()
		if m.commits {
			session.MarkMessage(message, "")
		}
	}
	return nil
}

func (m *member) leave() {
	m.once.Do(func() {
		m.stop()
		<-m.done
		scenario.Must(m.group.Close())
	})
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

func config() *sarama.Config {
	settings := sarama.NewConfig()
	settings.Version = sarama.MaxVersion
	return settings
}

func produce(bootstrap string, messages []*sarama.ProducerMessage, codec sarama.CompressionCodec) {
	settings := config()
	settings.Producer.Compression = codec
	settings.Producer.Idempotent = true
	settings.Producer.RequiredAcks = sarama.WaitForAll
	settings.Producer.Return.Successes = true
	settings.Producer.Partitioner = sarama.NewManualPartitioner
	settings.Producer.Flush.Frequency = 20 * time.Millisecond
	settings.Net.MaxOpenRequests = 1
	producer := scenario.Get(sarama.NewSyncProducer([]string{bootstrap}, settings))
	defer producer.Close()
	scenario.Must(producer.SendMessages(messages))
}

func readAll(bootstrap, topic string, count int) []scenario.Record {
	consumer := scenario.Get(sarama.NewConsumer([]string{bootstrap}, config()))
	defer consumer.Close()
	partition := scenario.Get(consumer.ConsumePartition(topic, 0, sarama.OffsetOldest))
	defer partition.Close()
	var got []scenario.Record
	for deadline := time.After(scenario.Patience); len(got) < count; {
		select {
		case message := <-partition.Messages():
			one := scenario.Record{Key: message.Key, Value: message.Value}
			for _, header := range message.Headers {
				one.Headers = append(one.Headers, [2]string{string(header.Key), string(header.Value)})
			}
			got = append(got, one)
		case <-deadline:
			panic(fmt.Errorf("only %d of %d records of %s", len(got), count, topic))
		}
	}
	return got
}

func toMessages(topic string, records []scenario.Record) []*sarama.ProducerMessage {
	var made []*sarama.ProducerMessage
	for _, one := range records {
		message := &sarama.ProducerMessage{Topic: topic}
		if one.Key != nil {
			message.Key = sarama.ByteEncoder(one.Key)
		}
		if one.Value != nil {
			message.Value = sarama.ByteEncoder(one.Value)
		}
		for _, header := range one.Headers {
			message.Headers = append(message.Headers, sarama.RecordHeader{Key: []byte(header[0]), Value: []byte(header[1])})
		}
		made = append(made, message)
	}
	return made
}

func spread(topic string, values []string) []*sarama.ProducerMessage {
	var made []*sarama.ProducerMessage
	for number, value := range values {
		message := &sarama.ProducerMessage{Topic: topic, Partition: int32(number % 4), Value: sarama.StringEncoder(value)}
		made = append(made, message)
	}
	return made
}

func retentionOf(admin sarama.ClusterAdmin, topic string) string {
	resource := sarama.ConfigResource{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{"retention.ms"}}
	return scenario.Get(admin.DescribeConfig(resource))[0].Value
}

func isListed(admin sarama.ClusterAdmin, group string) bool {
	_, listed := scenario.Get(admin.ListConsumerGroups())[group]
	return listed
}
