package app_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/contract"
	"github.com/capstan-worker/capstan/internal/contract/contracttest"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

// promised is what the contract says of a message.
type promised struct {
	body    contracttest.Schema
	headers contracttest.Schema
	names   []string // of the headers
}

var contractOf = sync.OnceValue(func() map[string]promised {
	all := map[string]promised{}
	for _, name := range []string{"request", "event", "record", "limits", "starts", "pace", "cancel", "pause"} {
		all[name] = promised{body: contracttest.Load(name)}
	}
	headers, names := contracttest.LoadHeaders("event")
	all["event"] = promised{all["event"].body, headers, names}
	headers, names = contracttest.LoadHeaders("deadLetter")
	all["deadLetter"] = promised{headers: headers, names: names}
	return all
})

// keepsContract checks that a value fits its published schema, and so every one that a test of a whole worker reads. If
// there are headers, it checks them as well, and that the contract names all of them.
func (w *world) keepsContract(name string, value []byte, header nats.Header) {
	w.t.Helper()
	if err := contractOf()[name].body.Check(value); err != nil {
		w.t.Errorf("%.500s does not fit the schema of %s: %v", value, name, err)
	}
	if header != nil {
		w.keepsHeaders(name, header)
	}
}

func (w *world) keepsHeaders(name string, header nats.Header) {
	w.t.Helper()
	first := map[string]string{}
	for each, values := range header {
		first[each] = values[0]
		if !slices.Contains(contractOf()[name].names, each) {
			w.t.Errorf("the contract of %s has no header %s", name, each)
		}
	}
	text, err := json.Marshal(first)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := contractOf()[name].headers.Check(text); err != nil {
		w.t.Errorf("%s do not fit the headers of %s: %v", text, name, err)
	}
}

// asyncAPI is the part of the AsyncAPI document that says where messages are.
type asyncAPI struct {
	Channels map[string]struct {
		Address string         `json:"address"`
		Stream  map[string]any `json:"x-jetstream"`
	} `json:"channels"`
}

func contractChannels(t *testing.T) (document asyncAPI) {
	t.Helper()
	for _, each := range contract.Documents() {
		if each.Name == contract.AsyncAPI {
			if err := json.Unmarshal(each.Text, &document); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(document.Channels) != 10 {
		t.Fatalf("got %d channels, want 10", len(document.Channels))
	}
	return document
}

func TestTheContractSaysWhatAWorkerCreates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.startReady("w1")
	w.submit("a", done)
	w.waitEvents(1)
	for name, channel := range contractChannels(t).Channels {
		stream, _ := channel.Stream["name"].(string)
		natstest.Eventually(t, func() error { // the bucket task_control is created when there is something to write
			s, err := w.js.Stream(t.Context(), stream)
			if err != nil {
				return fmt.Errorf("stream %s: %w", stream, err)
			}
			return sameConfig(s.CachedInfo().Config, channel.Stream)
		})
		subjects, _ := channel.Stream["subjects"].([]any)
		if pattern, _ := subjects[0].(string); !strings.HasPrefix(channel.Address, strings.TrimSuffix(pattern, ">")) {
			t.Errorf("%s: got the address %s, want one of stream %s", name, channel.Address, stream)
		}
	}
}

// sameConfig compares what the contract says of a stream with its configuration, as NATS writes it.
func sameConfig(config jetstream.StreamConfig, want map[string]any) error {
	text, err := json.Marshal(config)
	if err != nil {
		return err
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		return err
	}
	for field, value := range want {
		if !reflect.DeepEqual(got[field], value) {
			err = errors.Join(err, fmt.Errorf("stream %s: got %s %v, want %v", config.Name, field, got[field], value))
		}
	}
	return err
}

// The contract has the names that a worker uses without settings.
func TestTheContractHasTheDefaultNames(t *testing.T) {
	t.Parallel()
	defaults := map[string]string{}
	for _, s := range app.Settings() {
		defaults[s.Name] = s.Default
	}
	channels := contractChannels(t).Channels
	for channel, names := range map[string][2]string{
		"requests":    {"REQUEST_STREAM", "REQUEST_SUBJECT"},
		"results":     {"RESULT_STREAM", "RESULT_SUBJECT"},
		"deadLetters": {"DEAD_STREAM", "DEAD_SUBJECT"},
	} {
		got := [2]any{channels[channel].Stream["name"], channels[channel].Address}
		if want := [2]any{defaults[names[0]], defaults[names[1]]}; got != want {
			t.Errorf("%s: got %v, want %v", channel, got, want)
		}
	}
	for channel, bucket := range map[string]string{"records": "TRACKER_BUCKET", "limits": "CONTROL_BUCKET"} {
		if want := "KV_" + defaults[bucket]; channels[channel].Stream["name"] != want {
			t.Errorf("%s: got %v, want %v", channel, channels[channel].Stream["name"], want)
		}
	}
}

func TestWhatWorkersShareKeepsTheContract(t *testing.T) {
	t.Parallel()
	w := newWorld(t, anchortest.WithMaxRunning(2), anchortest.WithStartRate(anchortest.StartRate{Quota: 25, Window: time.Minute}))
	p := w.startReady("w1")
	w.submit("a", done)
	w.submit("b", anchortest.Plan{Error: "it broke"}, `"batch":"night"`)
	w.waitEvents(2)
	w.waitQuiet()
	p.drain() // it shares what it has learned before it stops
	for key, name := range map[string]string{"limits": "limits", "starts": "starts", "pace.": "pace"} {
		natstest.Eventually(t, func() error {
			found := 0
			w.each("KV_task_control", func(m *jetstream.RawStreamMsg) {
				if strings.HasPrefix(m.Subject, "$KV.task_control."+key) {
					found++
					w.keepsContract(name, m.Data, nil)
				}
			})
			if found == 0 {
				return fmt.Errorf("no key %s yet", key)
			}
			return nil
		})
	}
	natstest.Eventually(t, func() error {
		if len(w.bodies("TASK_DEAD")) == 0 {
			return errors.New("no dead letter yet")
		}
		return nil
	})
	w.each("TASK_DEAD", func(m *jetstream.RawStreamMsg) { w.keepsHeaders("deadLetter", m.Header) })
}
