package anchortest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

// objects returns a list of objects in an answer.
func objects(t *testing.T, data map[string]any, name string) (all []map[string]any) {
	t.Helper()
	list, ok := data[name].([]any)
	if !ok {
		t.Fatalf("got %v, want a list of %s", data, name)
	}
	for _, item := range list {
		object, ok := item.(map[string]any)
		if !ok {
			t.Fatalf("got %v, want objects", list)
		}
		all = append(all, object)
	}
	return all
}

// listed returns the sessions of a page by the first of their tags, or "task" for a task's own.
func listed(t *testing.T, s *anchortest.Server, query string) string {
	t.Helper()
	status, data := ask(t, s, "GET", "/v1/sessions?"+query, "")
	if status != 200 {
		return fmt.Sprint(status, " ", data["message"])
	}
	var found []string
	for _, session := range objects(t, data, "sessions") {
		if session["task_initiated"] == true {
			found = append(found, "task")
			continue
		}
		tags := strings.Trim(fmt.Sprint(session["tags"]), "[]")
		first, _, _ := strings.Cut(tags, " ")
		found = append(found, first)
	}
	return strings.Join(found, " ")
}

func TestSessionsAreListedAsTheQueryAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := anchortest.New(planned(anchortest.Plan{Block: true}))
		defer s.Close()
		begin := time.Now()
		for _, body := range []string{
			`{"session":{"tags":["a","red"],"initial_url":"https://shop.example/x"}}`,
			`{"session":{"tags":["b","red"],"proxy":{"active":true,"type":"anchor_proxy"}},"browser":{"profile":{"name":"Night"}}}`,
		} {
			_ = open(t, s, body)
			<-time.After(time.Minute)
		}
		_, _ = run(t, s, "x", "")
		<-time.After(time.Minute)
		_ = open(t, s, `{"session":{"tags":["Closed"]},"browser":{"extra_stealth":{"active":true}}}`)
		_, all := ask(t, s, "GET", "/v1/sessions?tags=Closed", "")
		id := objects(t, all, "sessions")[0]["id"]
		_, _ = ask(t, s, "DELETE", fmt.Sprint("/v1/sessions/", id), "")
		for query, want := range map[string]string{
			"": "Closed task b a", "sort_order=asc": "a b task Closed", "sort_by=api_key_name": "a b task Closed",
			"sort_by=used_credits&sort_order=desc": "task a b Closed",
			"status=running":                       "task b a", "status=completed": "Closed", "tags=red": "b a", "tags=red,b": "b", "search=LOSE,nope": "Closed",
			"domains=shop.example": "a", "domains=example.com": "task", "proxy=true": "b", "proxy=false": "Closed task a",
			"extra_stealth=true": "Closed", "profile_name=nigh": "b", "task_initiated=true": "task", "playground=true": "",
			"batch_id=1": "", "batch_id=": "Closed task b a", "page=2": "", "page=9223372036854775807": "", "limit=20": "Closed task b a",
			"created_from=" + begin.Add(90*time.Second).UTC().Format(time.RFC3339): "Closed task",
			"created_to=" + begin.Add(90*time.Second).UTC().Format(time.RFC3339):   "b a",
			"limit=5": "400 limit must be 10, 20 or 50", "page=0": "400 page must be 1 or more", "page=x": "400 page must be 1 or more",
			"sort_by=tags":  "400 sort_by must be created_at, session_id, used_credits or api_key_name",
			"sort_order=up": "400 sort_order must be asc or desc", "proxy=perhaps": "400 proxy must be true or false",
			"created_from=now": "400 created_from must be a time such as 2026-01-02T15:04:05Z",
		} {
			if got := listed(t, s, query); got != want {
				t.Errorf("%s: got %s, want %s", query, got, want)
			}
		}
		_, states := ask(t, s, "GET", "/v1/sessions/all/status?tags=red", "")
		if states["count"] != 2.0 || len(objects(t, states, "items")) != 2 {
			t.Errorf("got %v, want the two open sessions with the tag", states)
		}
		s.ReleaseAll()
	})
}

func TestAListHasPages(t *testing.T) {
	t.Parallel()
	s := anchortest.New()
	for n := range 23 {
		_ = open(t, s, fmt.Sprintf(`{"session":{"tags":["%d"]}}`, n))
	}
	var seen []string
	for page := 1; page <= 3; page++ {
		_, data := ask(t, s, "GET", fmt.Sprintf("/v1/sessions?sort_order=asc&page=%d", page), "")
		if data["total"] != 23.0 || data["total_pages"] != 3.0 || data["page"] != float64(page) {
			t.Errorf("got total %v, pages %v, page %v, want 23, 3, %d", data["total"], data["total_pages"], data["page"], page)
		}
		seen = append(seen, strings.Fields(listed(t, s, fmt.Sprintf("sort_order=asc&page=%d", page)))...)
	}
	slices.Sort(seen)
	if len(slices.Compact(seen)) != 23 {
		t.Errorf("got %v, want each session once", seen)
	}
	if status, _ := ask(t, s, "DELETE", "/v1/sessions/all", ""); status != 200 {
		t.Errorf("end all: got %d, want 200", status)
	}
	if got := listed(t, s, "status=running"); got != "" {
		t.Errorf("got %s after all were ended, want none", got)
	}
}

// The fields that the API's document requires of a session in a list.
func TestASessionInAListIsComplete(t *testing.T) {
	t.Parallel()
	s := anchortest.New()
	_ = open(t, s, `{"session":{"tags":["a"]},"browser":{"headless":{"active":true}}}`)
	_, data := ask(t, s, "GET", "/v1/sessions", "")
	session := objects(t, data, "sessions")[0]
	for name := range strings.FieldsSeq("id status headless recording used_credits created_at user_configuration task_initiated task_executions_count api_key_name browser_ip") {
		if _, ok := session[name]; !ok {
			t.Errorf("%s is missing in %v", name, session)
		}
	}
	if session["used_credits"] != "N/A" || session["headless"] != true || session["recording"] != true {
		t.Errorf("got %v, want the credits of a running, headless and recorded session", session)
	}
	if configuration := fmt.Sprint(session["user_configuration"]); configuration != "map[browser:map[headless:map[active:true]] session:map[tags:[a]]]" {
		t.Errorf("got the configuration %s, want the one that was sent", configuration)
	}
}
