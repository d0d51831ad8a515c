package dashboard

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/operator/board"
	"github.com/capstan-worker/capstan/internal/operator/redrive"
	"github.com/capstan-worker/capstan/internal/operator/send"
)

// redriveTimeout bounds a redrive, or its dry run. It goes on when the visitor leaves.
const redriveTimeout = writeTimeout - 10*time.Second

// redriveForm is what the page of a redrive shows: its dry run.
type redriveForm struct {
	CanAct  bool
	Scope   string // which tasks
	Count   int
	Kinds   []board.LetterGroup
	Reasons []reasonCount
	First   string // the id of the first new run
	Fields  url.Values
	Set     string
	Problem string // why the form is shown again
	Command string // of the tool that does the same
	Cost    string // an estimate, or ""
	Risk    string // which tasks could act twice, or ""
}

// reasonCount is how many tasks are left out for a reason.
type reasonCount struct {
	Why     string
	Tasks   int
	Example string
}

// redriveQuery is which tasks are to run again, and what changes.
type redriveQuery struct {
	scope   redrive.Filter
	changes []redrive.Change
	set     string     // the changes as they were written
	fields  url.Values // the scope as it was written
}

// redriveQueryOf reads which tasks are to run again.
func redriveQueryOf(values url.Values) (q redriveQuery, err error) {
	q.fields = url.Values{}
	for _, name := range []string{"code", "host", "batch", "task", "since"} {
		if value := values.Get(name); value != "" {
			q.fields.Set(name, value)
		}
	}
	one := func(name string) []string { return q.fields[name] }
	q.scope = redrive.Filter{Codes: one("code"), Hosts: one("host"), Tasks: one("task"), Batch: q.fields.Get("batch")}
	for i, host := range q.scope.Hosts {
		q.scope.Hosts[i] = strings.ToLower(host)
	}
	if since := q.fields.Get("since"); since != "" {
		if q.scope.Since, err = time.ParseDuration(since); err != nil || q.scope.Since <= 0 {
			return q, badRequest("since must be a duration above 0, such as 12h (got %.40q)", since)
		}
	}
	if q.scope.IsEmpty() {
		return q, badRequest("Say which tasks: by code, host, batch, task or since.")
	}
	q.set = values.Get("set")
	for text := range strings.Lines(q.set) {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		if strings.HasPrefix(text, "secret_values") {
			return q, badRequest("Change of a field: secret_values cannot be given here, because the dry run would show them. Use secret_refs, or capstan redrive in a shell.")
		}
		c, err := redrive.ParseChange(text)
		if err != nil {
			return q, badRequest("Change of a field: %v", err)
		}
		q.changes = append(q.changes, c)
	}
	return q, nil
}

// plan makes the dry run. One at a time is made or sent: each reads all dead letters.
func (s *Server) plan(ctx context.Context, q redriveQuery, use func(context.Context, *redrive.Plan) error) error {
	select {
	case s.redriving <- struct{}{}:
		defer func() { <-s.redriving }()
	case <-ctx.Done():
		return ctx.Err()
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), redriveTimeout)
	defer cancel()
	p, err := redrive.NewPlan(bounded, s.queue, q.scope, q.changes)
	if err != nil {
		return err
	}
	return use(bounded, p)
}

// askRedrive shows the dry run without changes. These come with a form: browsers and proxies keep addresses, and what somebody
// types into a field can be a secret.
func (s *Server) askRedrive(w http.ResponseWriter, r *http.Request) {
	values := r.URL.Query()
	if values.Has("set") {
		s.fail(w, r, badRequest("Changes of fields are not taken from an address, because browsers and proxies keep addresses. Open the page without set, and type the changes there."))
		return
	}
	if err := s.showDryRun(w, r, values); err != nil {
		s.fail(w, r, err)
	}
}

// previewRedrive shows the dry run with the changes of the form. It sends nothing.
func (s *Server) previewRedrive(w http.ResponseWriter, r *http.Request) error {
	return s.showDryRun(w, r, formOf(r))
}

// showDryRun shows the dry run of a selection.
func (s *Server) showDryRun(w http.ResponseWriter, r *http.Request, values url.Values) error {
	q, err := redriveQueryOf(values)
	if err != nil {
		return err
	}
	return s.plan(r.Context(), q, func(_ context.Context, p *redrive.Plan) error {
		s.answer(w, r, http.StatusOK, "redrive", "Run again", s.redriveForm(q, p, ""))
		return nil
	})
}

// doRedrive sends what the dry run has shown. If that is another number of tasks by now, it shows the dry run again.
func (s *Server) doRedrive(w http.ResponseWriter, r *http.Request) error {
	form := formOf(r)
	q, err := redriveQueryOf(form)
	if err != nil {
		return err
	}
	return s.plan(r.Context(), q, func(ctx context.Context, p *redrive.Plan) error {
		if form.Get("count") != strconv.Itoa(len(p.Tasks)) {
			text := fmt.Sprintf("The selection is %s by now. Nothing was sent; check it again.", counted(len(p.Tasks), "task"))
			s.answer(w, r, http.StatusConflict, "redrive", "Run again", s.redriveForm(q, p, text))
			return nil
		}
		sent, err := p.Send(ctx, 0, nil)
		s.log.Info().Str("remote", r.RemoteAddr).Str("scope", q.fields.Encode()).Int("tasks", sent.Stored).Int("before", sent.Before).
			Int("unknown", sent.Unknown).Int("unsent", sent.Unsent).Err(err).Msg("tasks run again by a visitor")
		if err != nil {
			return fmt.Errorf("%w. %s Try again: it sends nothing twice", err, sentText(sent))
		}
		back := "/dead-letters"
		if id := q.fields.Get("task"); id != "" && len(p.Tasks) == 1 {
			back = "/tasks/" + url.PathEscape(p.Tasks[0].NewID)
		}
		s.done(w, back, sentText(sent))
		return nil
	})
}

// sentText says how many requests were sent.
func sentText(sent send.Counts) string {
	text := counted(sent.Stored, "task") + " sent to the queue again."
	if sent.Before > 0 {
		text += " " + grouped(sent.Before) + " were there before."
	}
	if sent.Unknown > 0 {
		text += " " + grouped(sent.Unknown) + " were sent but not confirmed."
	}
	if sent.Unsent > 0 {
		text += " " + grouped(sent.Unsent) + " were not sent."
	}
	return text
}

// redriveForm returns what a dry run shows.
func (s *Server) redriveForm(q redriveQuery, p *redrive.Plan, problem string) redriveForm {
	f := redriveForm{
		CanAct: s.canAct(), Scope: scopeText(q.fields), Count: len(p.Tasks), Fields: q.fields, Set: q.set, Problem: problem,
		Command: redriveCommand(q), Reasons: reasonsOf(p.LeftOut), Cost: p.CostText(), Risk: p.RiskText(),
	}
	type kind struct{ code, host string }
	kinds := map[kind]int{}
	for i, t := range p.Tasks {
		if i == 0 {
			f.First = t.NewID
		}
		kinds[kind{t.Code, t.Host}]++
	}
	for k, n := range kinds {
		f.Kinds = append(f.Kinds, board.LetterGroup{Code: k.code, Host: k.host, Tasks: n})
	}
	slices.SortFunc(f.Kinds, func(a, b board.LetterGroup) int {
		return cmp.Or(cmp.Compare(b.Tasks, a.Tasks), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Host, b.Host))
	})
	const mostKinds = 200
	f.Kinds = f.Kinds[:min(len(f.Kinds), mostKinds)]
	return f
}

// reasonsOf counts the tasks that are left out, with an example of each reason.
func reasonsOf(all []redrive.LeftOut) (reasons []reasonCount) {
	counts := map[string]*reasonCount{}
	for _, each := range all {
		c := counts[string(each.Why)]
		if c == nil {
			c = &reasonCount{Why: string(each.Why), Example: strings.TrimSuffix(each.TaskID+": "+each.Detail, ": ")}
			counts[c.Why] = c
		}
		c.Tasks++
	}
	for _, c := range counts {
		reasons = append(reasons, *c)
	}
	slices.SortFunc(reasons, func(a, b reasonCount) int { return cmp.Or(cmp.Compare(b.Tasks, a.Tasks), cmp.Compare(a.Why, b.Why)) })
	return reasons
}

// scopeText says which tasks are chosen.
func scopeText(fields url.Values) string {
	var parts []string
	for _, name := range []string{"task", "batch", "code", "host"} {
		if value := fields.Get(name); value != "" {
			parts = append(parts, name+" "+line(value))
		}
	}
	if since := fields.Get("since"); since != "" {
		parts = append(parts, "failed in the last "+since)
	}
	return strings.Join(parts, ", ")
}

// redriveCommand returns the command of the tool that does the same.
func redriveCommand(q redriveQuery) string {
	words := []string{"capstan redrive"}
	for _, name := range []string{"task", "batch", "code", "host", "since"} {
		if value := q.fields.Get(name); value != "" {
			words = append(words, "--"+name+" "+shellQuoted(value))
		}
	}
	for text := range strings.Lines(q.set) {
		if text = strings.TrimSpace(text); text != "" {
			words = append(words, "--set "+shellQuoted(text))
		}
	}
	return strings.Join(words, " ")
}
