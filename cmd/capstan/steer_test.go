package main

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

func TestSteeringRefusesWhatItCannotMean(t *testing.T) {
	nowhere := []string{"NATS_URL=nats://127.0.0.1:1"}
	for line, says := range map[string]string{
		"cancel":                              "give the ids of tasks, or --batch NAME",
		"cancel a --batch=b":                  "not both",
		"cancel a a*":                         "task_id must be 1 to 128",
		"cancel --batch=a/b":                  "--batch: batch must be 1 to 64",
		"cancel a --undo --reason=b":          "--reason has no effect with --undo",
		"pause --until=25:00":                 `--until must be a time of day such as 06:00, or RFC 3339 such as 2026-01-02T06:00:00Z (got "25:00")`,
		"pause --until=2020-01-02T06:00:00Z":  "--until must be later than now",
		"pause --for=-2h":                     "--for must be a duration above 0",
		"pause --for=0s":                      "--for must be a duration above 0, such as 2h (got 0s)",
		"pause --for=2h --until=06:00":        "--for",
		"redrive":                             "say which tasks: --code, --batch, --host, --since or --task",
		"redrive --since=-1h":                 "--since must be a duration above 0",
		"redrive --batch=b --set=max_steps=0": "max_steps must be a plain integer",
		"redrive --batch=b --set=nothing":     "must be FIELD=VALUE",
		"redrive --code=moon":                 "--code must be one of invalid_request, duplicate_task,",
		"redrive --batch=b --rate=100":        "must be a number above 0 and a unit",
		"redrive --batch=b --rate=0/m":        "must be a number above 0 and a unit",
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			run := newTool(t, nowhere, strings.Fields(line)...)
			if got := run.status(t); got != exitUsage || !strings.Contains(run.err.String(), says) {
				t.Errorf("got %d, %s, want %d and %q", got, &run.err, exitUsage, says)
			}
		})
	}
}

func TestATimeOfDayIsTheNextOne(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip("no time zones on this machine")
	}
	for _, c := range []struct{ now, text, want string }{
		{"2026-11-26T22:00:00+01:00", "06:00", "2026-11-27T06:00:00+01:00"},
		{"2026-11-26T05:59:59+01:00", "06:00", "2026-11-26T06:00:00+01:00"},
		{"2026-11-26T06:00:00+01:00", "06:00", "2026-11-27T06:00:00+01:00"},
		{"2026-12-31T22:00:00+01:00", "6:00", "2027-01-01T06:00:00+01:00"},
		{"2026-10-24T22:00:00+02:00", "06:00", "2026-10-25T06:00:00+01:00"}, // the end of summer time
		{"2026-11-26T22:00:00+01:00", "2026-11-28T00:00:00Z", "2026-11-28T00:00:00Z"},
	} {
		now, err := time.Parse(time.RFC3339, c.now)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseUntil(c.text, now.In(berlin))
		if err != nil || got.Format(time.RFC3339) != c.want {
			t.Errorf("%s at %s: got %s, %v, want %s", c.text, c.now, got.Format(time.RFC3339), err, c.want)
		}
	}
}

// steered is a server with the streams of dead letters, records and control, and no worker.
func steered(t *testing.T) (js jetstream.JetStream, run func(args ...string) (int, string, string)) {
	t.Helper()
	js, env := queue(t)
	natstest.Stream(t, js, jetstream.StreamConfig{Name: "TASK_DEAD", Subjects: []string{"tasks.dead"}})
	for _, bucket := range []string{"task_tracker", "task_control"} {
		natstest.Stream(t, js, jetstream.StreamConfig{
			Name: "KV_" + bucket, Subjects: []string{"$KV." + bucket + ".>"}, MaxMsgsPerSubject: 1,
			Discard: jetstream.DiscardNew, AllowRollup: true, DenyDelete: true, AllowMsgTTL: true,
		})
	}
	return js, func(args ...string) (int, string, string) {
		tool := newTool(t, env, args...)
		return tool.status(t), tool.out.String(), tool.err.String()
	}
}

func TestTasksAndBatchesAreCanceled(t *testing.T) {
	t.Parallel()
	js, run := steered(t)
	for subject, data := range map[string]string{
		"tasks.request":          `{"task_id":"ord-1","prompt":"p","url":"https://a.example","batch":"night"}`,
		"$KV.task_tracker.ord-2": `{"task_id":"ord-2","state":"failed","error_code":"time\u001bout"}`,
	} {
		if _, err := js.Publish(t.Context(), subject, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	status, out, errs := run("cancel", "ord-1", "ord-2", "ord-3", "--reason=wrong customer")
	if want := "ord-1             queued, canceled\nord-2             ended before (✗ time\\x1bout), nothing to cancel\n" +
		"ord-3             never seen; it is canceled if its request comes\n"; status != exitOK || out != want || !strings.Contains(errs, "no request and no record of task ord-3") {
		t.Errorf("got %d, %s%s, want %s", status, out, errs, want)
	}
	if want := "capstan cancel ord-3 --undo"; !strings.Contains(errs, want) {
		t.Errorf("got %s, want %s to take it back", errs, want)
	}
	status, out, errs = run("cancel", "--batch=night")
	if want := "batch night is canceled: 1 task will end (1 queued, 0 waiting, 0 running), 0 had ended\n"; status != exitOK || out != want || !strings.Contains(errs, "until 2") {
		t.Errorf("got %d, %s%s, want %s", status, out, errs, want)
	}
	for _, want := range []string{"each ends when it is its turn", "capstan cancel --batch night --undo"} {
		if !strings.Contains(errs, want) {
			t.Errorf("got %s, want %q in it", errs, want)
		}
	}
	if _, _, errs = run("cancel", "--batch=nihgt"); !strings.Contains(errs, "no task of batch nihgt was ever seen; check the name") {
		t.Errorf("got %s, want a warning", errs)
	}
}

func TestACancellationIsTakenBack(t *testing.T) {
	t.Parallel()
	js, run := steered(t)
	publish := func(subject, data string) {
		t.Helper()
		if _, err := js.Publish(t.Context(), subject, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	publish("tasks.request", `{"task_id":"ord-1","prompt":"p","url":"https://a.example","batch":"night"}`)
	publish("$KV.task_tracker.ord-2", `{"task_id":"ord-2","state":"failed","error_code":"canceled"}`)
	publish("$KV.task_tracker.ord-3", `{"task_id":"ord-3","state":"running","workflow_id":"wf"}`)
	publish("$KV.task_tracker.ord-4", `{"task_id":"ord-4","state":"succeeded"}`)
	for _, args := range [][]string{{"cancel", "ord-1", "ord-3", "ord-5"}, {"cancel", "--batch=night", "--reason=bad\x1bfile"}} {
		if status, _, errs := run(args...); status != exitOK {
			t.Fatalf("got %d, %s", status, errs)
		}
	}
	_, out, _ := run("status", "--batch=night")
	if want := ": bad file; tasks that are submitted to it later are canceled, too"; !strings.Contains(out, "canceled    by ") || !strings.Contains(out, want) {
		t.Errorf("got %s, want who canceled it, and %q", out, want)
	}
	status, out, errs := run("cancel", "--undo", "ord-1", "ord-2", "ord-3", "ord-4", "ord-5", "ord-6")
	want := "ord-1             is still canceled, with its batch; capstan cancel --batch night --undo takes that back\n" +
		"ord-2             has ended (✗ canceled); capstan redrive --task ord-2 shows whether it can be run again\n" +
		"ord-3             is no longer canceled, unless its worker is ending it already\n" +
		"ord-4             has ended (✓ succeeded)\n" +
		"ord-5             is no longer canceled\n" +
		"ord-6             was not canceled\n"
	if status != exitOK || out != want {
		t.Errorf("got %d, %s%s, want\n%s", status, out, errs, want)
	}
	if status, out, errs := run("cancel", "--undo", "--batch=night"); status != exitOK || !strings.HasPrefix(out, "batch night is no longer canceled; it was canceled by ") || !strings.Contains(errs, "redrive --batch night --code canceled") {
		t.Errorf("got %d, %s%s, want that the batch is no longer canceled", status, out, errs)
	}
	if status, out, errs := run("cancel", "--undo", "--batch=night"); status != exitOK || out != "" || errs != "batch night was not canceled\n" {
		t.Errorf("again: got %d, %s%s, want that it was not canceled", status, out, errs)
	}
	if _, out, _ := run("status", "--batch=night"); strings.Contains(out, "canceled") {
		t.Errorf("got %s, want no cancellation", out)
	}
}

func TestAPauseIsShownAndResumed(t *testing.T) {
	t.Parallel()
	_, run := steered(t)
	if status, _, errs := run("pause", "--for=200h"); status != exitUsage || !strings.Contains(errs, "must end within") {
		t.Errorf("got status %d and %q, want %d for a pause of more than 7 days", status, errs, exitUsage)
	}
	if status, out, errs := run("pause", "--for=2h", "--reason=mainte\x1b[2Jnance"); status != exitOK || !strings.HasPrefix(out, "paused") || !strings.Contains(out, "nance") || strings.Contains(out+errs, "\x1b") {
		t.Errorf("got %d, %q%s, want the pause", status, out, errs)
	}
	if status, out, errs := run("pause"); status != exitOK || !strings.Contains(errs, "this replaces: paused") {
		t.Errorf("got %d, %s%s, want the pause before", status, out, errs)
	}
	if status, out, errs := run("resume"); status != exitOK || !strings.HasPrefix(out, "resumed; it was paused") {
		t.Errorf("got %d, %s%s, want the pause that ended", status, out, errs)
	}
	if status, out, errs := run("resume"); status != exitOK || errs != "capstan: nothing was paused\n" {
		t.Errorf("got %d, %s%s, want that nothing was paused", status, out, errs)
	}
}

func TestARedriveIsShownBeforeItIsSent(t *testing.T) {
	t.Parallel()
	js, run := steered(t)
	for id, code := range map[string]string{"ord-1": "step_limit", "ord-2": "step_limit", "ord-3": "time\u009b2Jout"} {
		_, err := js.PublishMsg(t.Context(), &nats.Msg{
			Subject: "tasks.dead", Header: nats.Header{"Capstan-Task-Id": {id}, "Capstan-Code": {code}, "Capstan-Host": {"a.example"}},
			Data: []byte(`{"task_id":"` + id + `","prompt":"p","url":"https://a.example"}`),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.Publish(t.Context(), "$KV.task_tracker.ord-1", []byte(`{"task_id":"ord-1","state":"failed","steps":9,"credits":12.4}`)); err != nil {
		t.Fatal(err)
	}
	status, out, errs := run("redrive", "--host=A.example", "--set=max_steps=120")
	if want := "would run again: 3 tasks\n        2  step_limit          a.example\n        1  time\\u009b2Jout     a.example\n" +
		"cost: about 12.4 credits, if they cost what they cost before (known of 1 of 3)\nnothing was sent; --yes sends them, the first as ord-"; status != exitOK || !strings.HasPrefix(out, want) {
		t.Errorf("got %d, %s%s, want %s", status, out, errs, want)
	}
	status, out, errs = run("redrive", "--host=a.example", "--code=step_limit", "--rate=100/s", "--yes")
	if want := "running again: 2 tasks\n        2  step_limit          a.example\ncost: about 12.4 credits, if they cost what they cost before (known of 1 of 2)\n2 stored, 0 were there before\n"; status != exitOK || out != want {
		t.Errorf("got %d, %s%s, want %s", status, out, errs, want)
	}
	status, out, errs = run("redrive", "--host=a.example", "--code=step_limit", "--yes")
	if unknown, out, errs := run("redrive", "--task=ord-1", "--task=nosuch"); unknown != exitFailed || !strings.Contains(out, "no dead letter is kept for it") || !strings.Contains(errs, "1 task named with --task has no dead letter") {
		t.Errorf("got %d, %s%s, want an error about the task that nobody knows", unknown, out, errs)
	}
	if want := "running again: 0 tasks\nleft out: 2 tasks\n        2  a run is queued or in progress (ord-"; status != exitOK || !strings.HasPrefix(out, want) {
		t.Errorf("got %d, %s%s, want %s", status, out, errs, want)
	}
}
