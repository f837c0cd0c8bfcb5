// franz-go in groups: the checks of ../../README.md, "Groups".
// It must never check anything that README.md does not list.
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

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"milena.test/scenario/scenario"
)

func main() {
	scenario.Run("franz-go", "github.com/twmb/franz-go", scenario.Phases{"groups": groups, "member": stay})
}

func groups(bootstrap, name string) {
	checks := []struct {
		name string
		run  func(bootstrap, topic string)
	}{
		{"eager", eager}, {"cooperative", cooperative}, {"crash", crash}, {"static restart", staticRestart},
		{"pattern", pattern}, {"pause and seek", pauseAndSeek},
	}
	for _, check := range checks {
		check.run(bootstrap, name+"-"+strings.ReplaceAll(check.name, " ", "-"))
		scenario.Passed(check.name)
	}
}

// A member that polls in a goroutine of its own, with what its listeners were told.
type member struct {
	client  *kgo.Client
	lock    sync.Mutex
	held    map[string]bool
	told    []string
	records []*kgo.Record
	err     error
	stop    context.CancelFunc
	done    chan struct{}
}

func join(bootstrap, group string, options ...kgo.Opt) *member {
	ctx, stop := context.WithCancel(context.Background())
	joined := &member{held: map[string]bool{}, stop: stop, done: make(chan struct{})}
	fixed := []kgo.Opt{
		kgo.SeedBrokers(bootstrap), kgo.ConsumerGroup(group), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.SessionTimeout(6 * time.Second), kgo.HeartbeatInterval(300 * time.Millisecond),
		kgo.MetadataMaxAge(time.Second), kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.OnPartitionsAssigned(joined.note("assigned", true)),
		kgo.OnPartitionsRevoked(joined.note("revoked", false)),
		kgo.OnPartitionsLost(joined.note("lost", false)),
	}
	joined.client = scenario.Get(kgo.NewClient(append(fixed, options...)...))
	go func() {
		defer close(joined.done)
		for ctx.Err() == nil {
			fetches := joined.client.PollFetches(ctx)
			joined.lock.Lock()
			joined.records = append(joined.records, fetches.Records()...)
			if err := fetches.Err(); err != nil && ctx.Err() == nil {
				joined.err = err
			}
			joined.lock.Unlock()
		}
	}()
	return joined
}

func (m *member) note(what string, holds bool) func(context.Context, *kgo.Client, map[string][]int32) {
	return func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
		m.lock.Lock()
		defer m.lock.Unlock()
		var names []string
		for topic, numbers := range partitions {
			for _, number := range numbers {
				name := fmt.Sprintf("%s-%d", topic, number)
				names = append(names, name)
				if holds {
					m.held[name] = true
				} else {
					delete(m.held, name)
				}
			}
		}
		if len(names) > 0 {
			slices.Sort(names)
			m.told = append(m.told, fmt.Sprint(what, names))
		}
	}
}

func (m *member) has() []string {
	m.lock.Lock()
	defer m.lock.Unlock()
	var names []string
	for name := range m.held {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
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
	m.client.Close()
}

func halves(members ...*member) func() bool {
	return func() bool {
		all := map[string]bool{}
		for _, one := range members {
			has := one.has()
			if len(has) != 4/len(members) {
				return false
			}
			for _, name := range has {
				all[name] = true
			}
		}
		return len(all) == 4
	}
}

func create(bootstrap, topic string, partitions int32) {
	admin := kadm.NewClient(scenario.Get(kgo.NewClient(kgo.SeedBrokers(bootstrap))))
	defer admin.Close()
	scenario.Get(admin.CreateTopic(context.Background(), partitions, 1, nil, topic))
}

func produce(bootstrap, topic string, partition int32, count int) {
	producer := scenario.Get(kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner())))
	defer producer.Close()
	for range count {
		record := &kgo.Record{Topic: topic, Partition: partition, Value: []byte("value")}
		scenario.Must(producer.ProduceSync(context.Background(), record).FirstErr())
	}
}

func eager(bootstrap, topic string) {
	create(bootstrap, topic, 4)
	options := []kgo.Opt{kgo.ConsumeTopics(topic), kgo.Balancers(kgo.RangeBalancer())}
	first := join(bootstrap, topic, options...)
	scenario.Until("all", halves(first))
	every := first.has()
	second := join(bootstrap, topic, options...)
	scenario.Until("halves", halves(first, second))
	wanted := []string{fmt.Sprint("assigned", every), fmt.Sprint("revoked", every), fmt.Sprint("assigned", first.has())}
	scenario.ExpectEqual(first.calls(), wanted, "its calls")
	second.close()
	scenario.Until("all again", halves(first))
	first.close()
}

func cooperative(bootstrap, topic string) {
	create(bootstrap, topic, 4)
	options := []kgo.Opt{kgo.ConsumeTopics(topic), kgo.Balancers(kgo.CooperativeStickyBalancer())}
	first := join(bootstrap, topic, options...)
	scenario.Until("all", halves(first))
	every := first.has()
	second := join(bootstrap, topic, options...)
	scenario.Until("halves", halves(first, second))
	wanted := []string{fmt.Sprint("assigned", every), fmt.Sprint("revoked", second.has())}
	scenario.ExpectEqual(first.calls(), wanted, "its calls")
	second.close()
	scenario.Until("all again", halves(first))
	first.close()
}

func crash(bootstrap, topic string) {
	create(bootstrap, topic, 4)
	first := join(bootstrap, topic, kgo.ConsumeTopics(topic))
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
	<-join(bootstrap, topic, kgo.ConsumeTopics(topic)).done
}

func staticRestart(bootstrap, topic string) {
	create(bootstrap, topic, 4)
	topics, named := kgo.ConsumeTopics(topic), kgo.InstanceID("one")
	other, one := join(bootstrap, topic, topics), join(bootstrap, topic, topics, named)
	scenario.Until("halves", halves(other, one))
	had, calls := one.has(), other.calls()
	one.close()
	again := join(bootstrap, topic, topics, named)
	scenario.Until("what it had", func() bool { return slices.Equal(again.has(), had) })
	twin := join(bootstrap, topic, topics, named)
	scenario.Until("what the older had", func() bool { return slices.Equal(twin.has(), had) })
	scenario.Until("the end of the older", func() bool {
		again.lock.Lock()
		defer again.lock.Unlock()
		return errors.Is(again.err, kerr.FencedInstanceID) || slices.ContainsFunc(again.told, func(call string) bool {
			return strings.HasPrefix(call, "lost")
		})
	})
	again.close()
	scenario.ExpectEqual(other.calls(), calls, "the other's calls")
	twin.close()
	other.close()
}

func pattern(bootstrap, topic string) {
	create(bootstrap, topic+"-a", 1)
	create(bootstrap, topic+"-b", 2)
	one := join(bootstrap, topic, kgo.ConsumeRegex(), kgo.ConsumeTopics("^"+topic+"-.*"))
	scenario.Until("topics of the pattern", func() bool { return len(one.has()) == 3 })
	create(bootstrap, topic+"-c", 1)
	scenario.Until("a new topic", func() bool { return len(one.has()) == 4 })
	one.close()
}

func pauseAndSeek(bootstrap, topic string) {
	create(bootstrap, topic, 2)
	paused := map[string][]int32{topic: {0}}
	for partition := range int32(2) {
		produce(bootstrap, topic, partition, 10)
	}
	one := join(bootstrap, topic, kgo.ConsumeTopics(topic))
	read := func(wanted int) func() bool {
		return func() bool { all, _ := one.count(0); return all == wanted }
	}
	scenario.Until("records", read(20))
	one.client.PauseFetchPartitions(paused)
	for partition := range int32(2) {
		produce(bootstrap, topic, partition, 5)
	}
	scenario.Until("records of the other", read(25))
	_, of := one.count(0)
	scenario.ExpectEqual(of, 10, "records of the paused one")
	one.client.ResumeFetchPartitions(paused)
	scenario.Until("the rest", read(30))
	one.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{topic: {0: {Epoch: -1, Offset: 5}}})
	scenario.Until("records again", read(40))
	one.lock.Lock()
	scenario.ExpectEqual(one.records[30].Offset, int64(5), "the first of them")
	one.lock.Unlock()
	one.close()
}
