// Package scenario is what the Go programs share: the records, the JSON lines, the deadlines.
// It must never import a client library.
package scenario

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// Patience is the longest wait for any condition.
const Patience = 40 * time.Second

// ToCopy is how many records are copied, by members whose sessions last so long: what an heir waits for.
const (
	ToCopy        = 5000
	CopierSession = 6 * time.Second
)

// The setting that is altered, before and after.
const (
	RetentionBefore = "3600000"
	RetentionAfter  = "7200000"
)

// Codecs are the names of the compression codecs.
var Codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

// Record is a record as the scenario sees it. A nil key or value is null.
type Record struct {
	Key, Value []byte
	Headers    [][2]string
}

// Records are the hundred records of a codec.
func Records(codec string) []Record {
	records := make([]Record, 100)
	for number := range records {
		key := fmt.Appendf(nil, "k%d", number%7)
		value := fmt.Appendf(nil, "%s %d %s", codec, number, strings.Repeat("lorem ipsum ", 20))
		switch number {
		case 50:
			value = nil
		case 51:
			key = nil
		case 52:
			key, value = []byte{}, []byte{}
		case 53:
			value = make([]byte, 256)
			for at := range value {
				value[at] = byte(at)
			}
		}
		headers := [][2]string{{"codec", codec}, {"n", fmt.Sprint(number)}}
		records[number] = Record{key, value, headers}
	}
	return records
}

// Numbered are forty values.
func Numbered(word string) []string {
	values := make([]string, 40)
	for number := range values {
		values[number] = fmt.Sprintf("%s %d", word, number)
	}
	return values
}

// Sorted are the values of all lists in order.
func Sorted(lists ...[]string) []string {
	all := slices.Concat(lists...)
	slices.Sort(all)
	return all
}

// Topics are the topics of phase 1, the one with four partitions first.
func Topics(name string) []string {
	topics := []string{name + "-shared", name + "-kept"}
	for _, codec := range Codecs {
		topics = append(topics, name+"-"+codec)
	}
	return topics
}

// Words are the values of a check of transactions: its word and a number.
func Words(word string, first, end int) []string {
	var values []string
	for number := first; number < end; number++ {
		values = append(values, fmt.Sprintf("%s %d", word, number))
	}
	return values
}

// ValuesOf is what was read of a check, in order, up to the record that ends it; nothing before that was read.
func ValuesOf(word string, values []string) ([]string, bool) {
	end := slices.Index(values, word+" end")
	if end < 0 {
		return nil, false
	}
	of := []string{}
	for _, value := range values[:end] {
		if strings.HasPrefix(value, word+" ") {
			of = append(of, value)
		}
	}
	return of, true
}

// Passed reports a check that held.
func Passed(check string) {
	say(map[string]any{"check": check, "ok": true})
}

// Must ends the phase when there is an error.
func Must(err error) {
	if err != nil {
		panic(err)
	}
}

// Get gives the value when there is no error, and ends the phase otherwise.
func Get[T any](value T, err error) T {
	Must(err)
	return value
}

// ExpectEqual ends the phase when the two differ.
func ExpectEqual(got, wanted any, what string) {
	if !reflect.DeepEqual(got, wanted) {
		panic(fmt.Errorf("%s: got %v, wanted %v", what, got, wanted))
	}
}

// ExpectRecords ends the phase when the records differ; null and empty are told apart where the library does.
func ExpectRecords(got, wanted []Record, tellsNullFromEmpty bool, what string) {
	ExpectEqual(len(got), len(wanted), "the number of "+what)
	for at, one := range wanted {
		same := bytes.Equal(got[at].Key, one.Key) && bytes.Equal(got[at].Value, one.Value) &&
			reflect.DeepEqual(got[at].Headers, one.Headers)
		if tellsNullFromEmpty {
			same = same && (got[at].Key == nil) == (one.Key == nil) && (got[at].Value == nil) == (one.Value == nil)
		}
		if !same {
			panic(fmt.Errorf("%s: number %d is %q, wanted %q", what, at, got[at], one))
		}
	}
}

// Until asks until the answer is true.
func Until(what string, holds func() bool) {
	for deadline := time.Now().Add(Patience); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			panic(fmt.Errorf("not within %v: %s", Patience, what))
		}
	}
}

// Phases are what a program runs, by the names of the command line.
type Phases map[string]func(bootstrap, name string)

// Run runs the phase that the command line names and ends the process.
func Run(client, module string, phases Phases) {
	phase := os.Args[1]
	defer func() {
		if err := recover(); err != nil {
			say(map[string]any{"check": phase, "ok": false, "detail": fmt.Sprint(err)})
			fmt.Fprintf(os.Stderr, "%v\n%s", err, debug.Stack())
			os.Exit(1)
		}
	}()
	phases[phase](os.Args[2], os.Args[3])
	say(map[string]any{"client": client, "version": version(module), "phase": phase})
}

func version(module string) string {
	info, _ := debug.ReadBuildInfo()
	for _, one := range info.Deps {
		if one.Path == module {
			return strings.TrimPrefix(one.Version, "v")
		}
	}
	panic(module + " is not in this program")
}

// Copied tells how many records are copied by now.
func Copied(records int) {
	say(map[string]any{"copied": records})
}

func say(line map[string]any) {
	_ = json.NewEncoder(os.Stdout).Encode(line)
}
