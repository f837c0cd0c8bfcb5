// The checks of transactions of ../../README.md with sarama.
// It must never check anything that README.md does not list.
package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/IBM/sarama"

	"milena.test/scenario/scenario"
)

func transactions(bootstrap, name string) {
	admin := scenario.Get(sarama.NewClusterAdmin([]string{bootstrap}, config()))
	defer admin.Close()
	source, out := name+"-in", name+"-out"
	for _, topic := range []string{source, out} {
		scenario.Must(admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1}, false))
	}

	producer := transactional(bootstrap, name+"-writer", time.Minute)
	begin(producer, out, scenario.Words("plain", 0, 10))
	scenario.Must(producer.CommitTxn())
	begin(producer, out, scenario.Words("plain", 10, 20))
	scenario.Must(producer.AbortTxn())
	begin(producer, out, scenario.Words("plain", 20, 30))
	scenario.Must(producer.CommitTxn())
	end(bootstrap, out, "plain")
	committed := slices.Concat(scenario.Words("plain", 0, 10), scenario.Words("plain", 20, 30))
	scenario.ExpectEqual(seen(bootstrap, out, "plain", sarama.ReadCommitted), committed, "what is committed")
	written := scenario.Words("plain", 0, 30)
	scenario.ExpectEqual(seen(bootstrap, out, "plain", sarama.ReadUncommitted), written, "what is written")
	scenario.Passed("commit and abort")

	produce(bootstrap, outgoing(source, scenario.Words("copy", 0, 10)), sarama.CompressionNone)
	copied(bootstrap, name, admin, producer, producer.AbortTxn, -1)
	copied(bootstrap, name, admin, producer, producer.CommitTxn, 10)
	end(bootstrap, out, "copy")
	copies := seen(bootstrap, out, "copy", sarama.ReadCommitted)
	scenario.ExpectEqual(copies, scenario.Words("copy", 0, 10), "the copies")
	scenario.Must(producer.Close())
	scenario.Passed("offsets in transactions")

	zombie := transactional(bootstrap, name+"-fenced", time.Minute)
	begin(zombie, out, []string{"fenced 0"})
	heir := transactional(bootstrap, name+"-fenced", time.Minute)
	fenced("the zombie's commit", zombie.CommitTxn())
	begin(heir, out, []string{"fenced 1"})
	scenario.Must(heir.CommitTxn())
	scenario.Must(heir.Close())
	end(bootstrap, out, "fenced")
	inherited := seen(bootstrap, out, "fenced", sarama.ReadCommitted)
	scenario.ExpectEqual(inherited, []string{"fenced 1"}, "what the heir committed")
	scenario.Passed("zombie fenced")

	late := transactional(bootstrap, name+"-late", 2*time.Second)
	begin(late, out, []string{"late 0"})
	end(bootstrap, out, "late")
	scenario.ExpectEqual(seen(bootstrap, out, "late", sarama.ReadCommitted), []string{}, "what is committed in time")
	fenced("the late commit", late.CommitTxn())
	scenario.Passed("time-out")

	lasting := transactional(bootstrap, name+"-lasting", time.Minute)
	begin(lasting, out, scenario.Words("lasting", 0, 5))
	scenario.Must(lasting.CommitTxn())
	begin(lasting, out, scenario.Words("lasting", 5, 10))
}

func fenced(what string, err error) {
	scenario.ExpectEqual(errors.Is(err, sarama.ErrProducerFenced), true, fmt.Sprintf("%s is fenced by %v", what, err))
}

func afterRestart(bootstrap, name string) {
	out := name + "-out"
	lasting := transactional(bootstrap, name+"-lasting", time.Minute)
	begin(lasting, out, scenario.Words("lasting", 10, 15))
	scenario.Must(lasting.CommitTxn())
	scenario.Must(lasting.Close())
	end(bootstrap, out, "lasting")
	committed := slices.Concat(scenario.Words("lasting", 0, 5), scenario.Words("lasting", 10, 15))
	scenario.ExpectEqual(seen(bootstrap, out, "lasting", sarama.ReadCommitted), committed, "what is committed")
	written := scenario.Words("lasting", 0, 15)
	scenario.ExpectEqual(seen(bootstrap, out, "lasting", sarama.ReadUncommitted), written, "what is written")
	scenario.Passed("survives a restart")
}

// Copies ten records in a transaction, after whose end the group's committed offset is the wanted one.
func copied(bootstrap, name string, admin sarama.ClusterAdmin, producer sarama.SyncProducer, close func() error, wanted int64) {
	source, copiers := name+"-in", name+"-copiers"
	reader := join(bootstrap, copiers, source, false)
	defer reader.leave()
	scenario.Until("ten records to copy", func() bool { return len(reader.read()) >= 10 })
	values := reader.read()
	begin(producer, name+"-out", values)
	offset := &sarama.PartitionOffsetMetadata{Partition: 0, Offset: int64(len(values)), LeaderEpoch: -1}
	scenario.Must(producer.AddOffsetsToTxn(map[string][]*sarama.PartitionOffsetMetadata{source: {offset}}, copiers))
	scenario.Must(close())
	// sarama asks for offsets without saying that it would wait for transactions that are being ended.
	scenario.Until(fmt.Sprintf("the offset %d", wanted), func() bool {
		found := scenario.Get(admin.ListConsumerGroupOffsets(copiers, map[string][]int32{source: {0}}))
		return found.GetBlock(source, 0).Offset == wanted
	})
}

func transactional(bootstrap, id string, timeout time.Duration) sarama.SyncProducer {
	settings := config()
	settings.Producer.Transaction.ID = id
	settings.Producer.Transaction.Timeout = timeout
	settings.Producer.Idempotent = true
	settings.Producer.RequiredAcks = sarama.WaitForAll
	settings.Producer.Return.Successes = true
	settings.Producer.Partitioner = sarama.NewManualPartitioner
	settings.Net.MaxOpenRequests = 1
	return scenario.Get(sarama.NewSyncProducer([]string{bootstrap}, settings))
}

// Begins a transaction with these values, which have reached the broker at the end.
func begin(producer sarama.SyncProducer, topic string, values []string) {
	scenario.Must(producer.BeginTxn())
	scenario.Must(producer.SendMessages(outgoing(topic, values)))
}

func end(bootstrap, topic, word string) {
	produce(bootstrap, outgoing(topic, []string{word + " end"}), sarama.CompressionNone)
}

// The values of a check, up to its last record, for a reader of this isolation.
func seen(bootstrap, topic, word string, isolation sarama.IsolationLevel) []string {
	settings := config()
	settings.Consumer.IsolationLevel = isolation
	consumer := scenario.Get(sarama.NewConsumer([]string{bootstrap}, settings))
	defer consumer.Close()
	partition := scenario.Get(consumer.ConsumePartition(topic, 0, sarama.OffsetOldest))
	defer partition.Close()
	var got []string
	for deadline := time.After(scenario.Patience); ; {
		if values, ended := scenario.ValuesOf(word, got); ended {
			return values
		}
		select {
		case message := <-partition.Messages():
			got = append(got, string(message.Value))
		case <-deadline:
			panic(fmt.Errorf("not within %v: the end of %s", scenario.Patience, word))
		}
	}
}

func outgoing(topic string, values []string) []*sarama.ProducerMessage {
	var made []*sarama.ProducerMessage
	for _, value := range values {
		made = append(made, &sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(value)})
	}
	return made
}
