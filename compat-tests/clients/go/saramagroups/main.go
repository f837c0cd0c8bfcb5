// sarama in groups: the checks of ../../README.md, "Groups".
// It must never check anything that README.md does not list. sarama 1.61.1 has neither cooperative rebalances nor
// subscriptions by a pattern.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"milena.test/scenario/scenario"
)

func main() {
	scenario.Run("sarama", "github.com/IBM/sarama", scenario.Phases{"groups": groups, "member": stay})
}

func groups(bootstrap, name string) {
	checks := []struct {
		name string
		run  func(bootstrap, topic string)
	}{
		{"eager", eager}, {"crash", crash}, {"static restart", staticRestart}, {"pause and seek", pauseAndSeek},
	}
	for _, check := range checks {
		check.run(bootstrap, name+"-"+strings.ReplaceAll(check.name, " ", "-"))
		scenario.Passed(check.name)
	}
}

// A member that consumes in goroutines of its own, with what it was told.
type member struct {
	group   sarama.ConsumerGroup
	lock    sync.Mutex
	held    []int32
	told    []string
	records []*sarama.ConsumerMessage
	err     error
	back    map[int32]int64
	stop    context.CancelFunc
	done    chan struct{}
}

func config() *sarama.Config {
	settings := sarama.NewConfig()
	settings.Version = sarama.MaxVersion
	return settings
}

func join(bootstrap, topic, instance string) *member {
	return joinFrom(bootstrap, topic, instance, nil)
}

func joinFrom(bootstrap, topic, instance string, back map[int32]int64) *member {
	settings := config()
	settings.Consumer.Offsets.Initial = sarama.OffsetOldest
	settings.Consumer.Group.Session.Timeout = 6 * time.Second
	settings.Consumer.Group.Heartbeat.Interval = 300 * time.Millisecond
	settings.Consumer.Group.InstanceId = instance
	settings.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategyRange()}
	ctx, stop := context.WithCancel(context.Background())
	joined := &member{stop: stop, done: make(chan struct{}), back: back}
	joined.group = scenario.Get(sarama.NewConsumerGroup([]string{bootstrap}, topic, settings))
	go func() {
		defer close(joined.done)
		for ctx.Err() == nil {
			err := joined.group.Consume(ctx, []string{topic}, joined)
			if err != nil && ctx.Err() == nil {
				joined.lock.Lock()
				joined.err = err
				joined.lock.Unlock()
				return
			}
		}
	}()
	return joined
}

// Setup tells the member its partitions; where it was told to, it goes back.
func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.held = nil
	for topic, partitions := range session.Claims() {
		m.held = append(m.held, partitions...)
		for _, partition := range partitions {
			if offset, found := m.back[partition]; found {
				session.ResetOffset(topic, partition, offset, "")
			}
		}
	}
	slices.Sort(m.held)
	m.told = append(m.told, fmt.Sprint("set up ", m.held))
	return nil
}

// Cleanup takes the partitions away.
func (m *member) Cleanup(sarama.ConsumerGroupSession) error {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.held = nil
	m.told = append(m.told, "cleaned up")
	return nil
}

// ConsumeClaim keeps the records of one partition.
func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		m.lock.Lock()
		m.records = append(m.records, message)
		m.lock.Unlock()
		session.MarkMessage(message, "")
	}
	return nil
}

func (m *member) has() []int32 {
	m.lock.Lock()
	defer m.lock.Unlock()
	return slices.Clone(m.held)
}

func (m *member) calls() []string {
	m.lock.Lock()
	defer m.lock.Unlock()
	return slices.Clone(m.told)
}

func (m *member) count(partition int32) (all, of int) {
	m.lock.Lock()
	defer m.lock.Unlock()
	for _, record := range m.records {
		if record.Partition == partition {
			of++
		}
	}
	return len(m.records), of
}

// A static member does not leave its group when it closes.
func (m *member) close() {
	m.stop()
	<-m.done
	_ = m.group.Close()
}

func halves(members ...*member) func() bool {
	return func() bool {
		all := map[int32]bool{}
		for _, one := range members {
			has := one.has()
			if len(has) != 4/len(members) {
				return false
			}
			for _, partition := range has {
				all[partition] = true
			}
		}
		return len(all) == 4
	}
}

func create(bootstrap, topic string, partitions int32) {
	admin := scenario.Get(sarama.NewClusterAdmin([]string{bootstrap}, config()))
	defer admin.Close()
	detail := &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1}
	scenario.Must(admin.CreateTopic(topic, detail, false))
}

func produce(bootstrap, topic string, count int) {
	settings := config()
	settings.Producer.Return.Successes = true
	settings.Producer.Partitioner = sarama.NewManualPartitioner
	producer := scenario.Get(sarama.NewSyncProducer([]string{bootstrap}, settings))
	defer producer.Close()
	for number := range 2 * count {
		message := &sarama.ProducerMessage{Topic: topic, Partition: int32(number % 2), Value: sarama.StringEncoder("value")}
		_, _, err := producer.SendMessage(message)
		scenario.Must(err)
	}
}

func eager(bootstrap, topic string) {
	create(bootstrap, topic, 4)
	first := join(bootstrap, topic, "")
	scenario.Until("all", halves(first))
	second := join(bootstrap, topic, "")
	scenario.Until("halves", halves(first, second))
	wanted := []string{"set up [0 1 2 3]", "cleaned up", fmt.Sprint("set up ", first.has())}
	scenario.ExpectEqual(first.calls(), wanted, "its calls")
	second.close()
	scenario.Until("all again", halves(first))
	first.close()
}

func crash(bootstrap, topic string) {
	create(bootstrap, topic, 4)
	first := join(bootstrap, topic, "")
	scenario.Until("all", halves(first))
	child := exec.Command(os.Args[0], "member", bootstrap, topic)
	scenario.Must(child.Start())
	scenario.Until("one left", func() bool { return len(first.has()) == 2 })
	scenario.Must(child.Process.Kill())
	_ = child.Wait()
	scenario.Until("all again", halves(first))
	first.close()
}

// Stays in a group until it is killed.
func stay(bootstrap, topic string) {
	<-join(bootstrap, topic, "").done
}

func staticRestart(bootstrap, topic string) {
	create(bootstrap, topic, 4)
	other, one := join(bootstrap, topic, ""), join(bootstrap, topic, "one")
	scenario.Until("halves", halves(other, one))
	had, calls := one.has(), other.calls()
	one.close()
	again := join(bootstrap, topic, "one")
	scenario.Until("what it had", func() bool { return slices.Equal(again.has(), had) })
	twin := join(bootstrap, topic, "one")
	scenario.Until("what the older had", func() bool { return slices.Equal(twin.has(), had) })
	scenario.Until("the end of the older", func() bool {
		again.lock.Lock()
		defer again.lock.Unlock()
		return errors.Is(again.err, sarama.ErrFencedInstancedId)
	})
	scenario.ExpectEqual(other.calls(), calls, "the other's calls")
	again.close()
	twin.close()
	other.close()
}

// sarama goes back when a session begins, and by itself nowhere else.
func pauseAndSeek(bootstrap, topic string) {
	create(bootstrap, topic, 2)
	produce(bootstrap, topic, 10)
	one := join(bootstrap, topic, "")
	read := func(who *member, wanted int) func() bool {
		return func() bool { all, _ := who.count(0); return all == wanted }
	}
	scenario.Until("records", read(one, 20))
	one.group.Pause(map[string][]int32{topic: {0}})
	produce(bootstrap, topic, 5)
	scenario.Until("records of the other", func() bool { _, of := one.count(1); return of == 15 })
	// What the fetch that was under way brings is handed out still.
	_, of := one.count(0)
	scenario.ExpectEqual(of < 15, true, "the other is paused")
	one.group.Resume(map[string][]int32{topic: {0}})
	scenario.Until("the rest", read(one, 30))
	one.close()
	// Both committed 15; one goes back.
	again := joinFrom(bootstrap, topic, "", map[int32]int64{0: 5})
	scenario.Until("records again", read(again, 10))
	again.lock.Lock()
	first := []int64{int64(again.records[0].Partition), again.records[0].Offset}
	again.lock.Unlock()
	scenario.ExpectEqual(first, []int64{0, 5}, "the first of them")
	again.close()
}
