package inspect_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/operator/steer"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestTasksOfARunningWorkerAreSeen(t *testing.T) {
	api := anchortest.New()
	if err := api.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(api.Close)
	d := newDesk(t)
	var prompts []string
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		body, prompt := blocked(t, id)
		d.Publish(body)
		prompts = append(prompts, prompt)
	}
	d.startWorker(api)
	view := inspect.NewView(d.Queue, "")
	natstest.Eventually(t, func() error {
		s := d.look(view)
		if s.Running != 2 || s.Queued != 3 || s.Limit.InFlight != 2 || len(s.Workers) != 1 || s.Workers[0].Worker != "w1" {
			return fmt.Errorf("got %+v, want two of five running on w1", s)
		}
		return nil
	})
	if got := d.find("e"); got.State != inspect.Queued || got.Position != 3 {
		t.Errorf("got %+v, want e third in line", got)
	}
	text, _, err := inspect.Why(t.Context(), d.Queue, "e", nil)
	if want := "e waits for a free slot: the workers hold 2 tasks at once (as set by MAX_IN_FLIGHT_TOTAL), and that many are in progress. It is 3rd in line"; err != nil || !strings.HasPrefix(text, want) {
		t.Errorf("got %s, %v, want %s", text, err, want)
	}
	text, _, err = inspect.Why(t.Context(), d.Queue, "a", nil)
	if err != nil || !strings.HasPrefix(text, "a has run since ") || !strings.Contains(text, " on w1.") {
		t.Errorf("got %s, %v, want since when it runs", text, err)
	}
	for _, prompt := range prompts {
		natstest.Eventually(t, func() error {
			if api.Log(prompt).Accepted == 0 {
				return fmt.Errorf("not accepted yet: %s", prompt)
			}
			return nil
		})
		api.Release(prompt)
	}
	natstest.Eventually(t, func() error {
		if s := d.look(view); s.Open() != 0 || s.Succeeded != 5 || s.LastEnd.IsZero() || s.Done.IsKnown() {
			return fmt.Errorf("got %+v, want all done", s)
		}
		return nil
	})
	if got := d.list(inspect.Listing{States: []inspect.State{"succeeded"}}); len(strings.Fields(got)) != 5 {
		t.Errorf("got %q, want all five", got)
	}
}

// The workers repeat an operator's pause in their own status.
func TestAPauseIsShownOnceWithItsReason(t *testing.T) {
	api := anchortest.New()
	if err := api.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(api.Close)
	d := newDesk(t)
	d.startWorker(api)
	until := time.Now().Add(2 * time.Hour).UTC().Truncate(time.Second)
	natstest.Eventually(t, func() error { // the worker creates what is missing
		_, err := steer.Pause(t.Context(), d.Queue, task.Pause{By: "ada", Until: until, Reason: "the shop is being updated"})
		return err
	})
	natstest.Eventually(t, func() error {
		all, err := fleet.All(t.Context(), d.Conn)
		if err == nil && (len(all) != 1 || !strings.HasPrefix(all[0].Submissions, "paused by ada until ")) {
			err = fmt.Errorf("got %+v, want the worker paused", all)
		}
		return err
	})
	want := inspect.PausedBy{By: inspect.ByOperator, Operator: "ada", Reason: "the shop is being updated", Until: until}
	s := d.look(inspect.NewView(d.Queue, ""))
	if !slices.Equal(s.Pauses, []inspect.PausedBy{want}) {
		t.Errorf("got %+v, want %+v only", s.Pauses, want)
	}
	if got, want := s.Pauses[0].Text(s.At), "paused by ada until "+inspect.Clock(until, s.At)+": the shop is being updated"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
