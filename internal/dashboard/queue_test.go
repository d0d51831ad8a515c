package dashboard_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/task"
)

func TestQueuedTasksAreInTheOrderOfTheLine(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.record(task.Record{TaskID: "held", State: task.Waiting, WaitsFor: task.ForPlan}) // it comes before all of them
	for i := range 60 {
		s.request(fmt.Sprintf("q%02d", i))
	}
	s.eventually("/tasks?state=queued", "60 tasks<", "in the order in which workers take them")
	first := s.get("/tasks?state=queued").body
	_, after, _ := strings.Cut(first, `id="older" href="`)
	next, _, _ := strings.Cut(after, `"`)
	second := s.get(strings.ReplaceAll(next, "&amp;", "&")).body
	row := regexp.MustCompile(`class="number">(\d+)</td><td data-label="Task"><a id="task-\d+" href="/tasks/(q\d+)"`)
	var got []string
	for _, m := range row.FindAllStringSubmatch(first+second, -1) {
		got = append(got, m[1]+" "+m[2])
	}
	if len(got) != 60 || got[0] != "2 q00" || got[1] != "3 q01" || got[59] != "61 q59" {
		t.Errorf("got %q, want 60 tasks in their order, the first one second in line", got)
	}
	s.eventually("/tasks/q01", "3rd in line", `<dt>Place in line</dt><dd><span id="fact-0">3</span>`)
}

func TestAnOpenQueueSaysHowManyTasksLeftAndJoinedIt(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	seq := s.request("a")
	s.request("b")
	s.eventually("/tasks?state=queued", "2 tasks<")
	open := s.open(livePath(t, s, "/tasks?state=queued"))
	open.await(t, ">a</span></a>")
	if got := open.String(); strings.Contains(got, "since:") {
		t.Errorf("got %s, want no change yet", got)
	}
	s.request("c")
	open.await(t, "1 task has joined the queue since:")
	s.Take(1)
	s.record(task.Record{TaskID: "a", State: task.Running, RequestSeq: seq})
	open.await(t, "1 of these tasks has left the queue since:")
}
