package dashboard

import (
	"slices"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/task"
)

// banner is something that stops the tasks, and what to do about it.
type banner struct {
	Text        string
	Advice      string
	NeedsPerson bool   // it does not end by itself: it is shown in red
	URL         string // of the page that ends it; "" if the visitor cannot
	Button      string // that leads there
}

// bannersOf returns what stops the tasks of a status: one banner for each reason, however many workers it stops.
func (s *Server) bannersOf(st inspect.Status) (all []banner) {
	if st.Open() > 0 && s.board.NoWorker() {
		all = append(all, noWorkerBanner(st))
	}
	if st.Canceled != nil {
		all = append(all, canceledBanner(st, s.canAct()))
	}
	if p := st.OperatorsPause(); p != nil {
		all = append(all, operatorsBanner(st, *p, s.canAct()))
	}
	submissions := st.SubmissionPauses()
	for _, g := range submissions {
		all = append(all, pauseBanner("Submissions", g, len(st.Workers)))
	}
	for _, g := range st.PollPauses() {
		isShown := slices.ContainsFunc(submissions, func(s inspect.PauseGroup) bool { return s.Reason == g.Reason })
		if g.NeedsPerson() && !isShown { // the others are over soon, and only the ends of tasks are noticed later
			all = append(all, pauseBanner("Polls", g, len(st.Workers)))
		}
	}
	slices.SortStableFunc(all, func(a, b banner) int {
		if a.NeedsPerson == b.NeedsPerson {
			return 0
		}
		return map[bool]int{true: -1, false: 1}[a.NeedsPerson]
	})
	return all
}

// noWorkerBanner returns the banner of a status with open tasks for which no worker answers. While an operator has paused the
// submissions, that is a fault only if tasks run.
func noWorkerBanner(st inspect.Status) banner {
	waiting, running := st.Queued+st.Waiting, st.Submitting+st.Running+st.Other
	var parts []string
	if waiting > 0 {
		parts = append(parts, counted(waiting, "task")+map[bool]string{true: " waits", false: " wait"}[waiting == 1])
	}
	if running > 0 {
		parts = append(parts, counted(running, "task")+map[bool]string{true: " is in progress", false: " are in progress"}[running == 1])
	}
	return banner{
		Text: "No worker answers: " + strings.Join(parts, ", and ") + ".",
		Advice: "Start a worker. If one runs, capstan check with its settings shows why it does not reach NATS, or this dashboard's login may not ask workers " +
			"(capstan.worker.status). No task is lost: requests stay in the queue, and workflows go on at Anchor. But nobody notices when they end, and timeout and expires_at keep counting.",
		NeedsPerson: running > 0 || st.OperatorsPause() == nil,
	}
}

// canceledBanner returns the banner of a batch that is canceled.
func canceledBanner(st inspect.Status, canAct bool) banner {
	b := banner{
		Text:   "This batch is " + line(st.Canceled.String()) + ".",
		Advice: "Tasks that a worker has end at once; queued ones end when it is their turn, and so do tasks that are submitted to this batch later.",
	}
	if canAct {
		b.URL, b.Button = undoURL("batch", st.Batch), "Take it back…"
	}
	return b
}

// operatorsBanner returns the banner of an operator's pause. One without an end is forgotten easily.
func operatorsBanner(st inspect.Status, p inspect.PausedBy, canAct bool) banner {
	b := banner{Text: "Submissions are " + line(p.Text(st.At)) + ".", NeedsPerson: p.Until.IsZero()}
	if canAct {
		b.URL, b.Button = "/resume", "Resume…"
	}
	b.Advice = "Running tasks go on. Submissions resume when the pause ends, or with capstan resume."
	switch {
	case canAct && p.Until.IsZero():
		b.Advice = "Running tasks go on. Submissions stay paused until somebody resumes them."
	case canAct:
		b.Advice = "Running tasks go on. Submissions resume when the pause ends, or when somebody resumes them."
	case p.Until.IsZero():
		b.Advice = "Running tasks go on. Submissions stay paused until somebody runs capstan resume."
	}
	return b
}

// pauseBanner returns the banner of a pause of workers, of which there are so many in all.
func pauseBanner(what string, g inspect.PauseGroup, all int) banner {
	state := " are paused on "
	if g.Waits {
		state = " wait on "
	}
	return banner{
		Text:        what + state + workersText(g.Workers, all) + untilText(g.Until) + ": " + line(g.Cause) + ".",
		Advice:      pauseAdvice(g.WorkerPause),
		NeedsPerson: g.NeedsPerson(),
	}
}

// workersText names some workers of all, or says how many they are.
func workersText(names []string, all int) string {
	const mostNames = 3
	switch {
	case len(names) == all && all > 1:
		return "all " + counted(all, "worker")
	case len(names) > mostNames:
		return grouped(len(names)) + " of " + counted(all, "worker")
	default:
		return line(strings.Join(names, ", "))
	}
}

// untilText is the end of a pause, or "" if it is not known.
func untilText(until time.Time) string {
	if until.IsZero() {
		return ""
	}
	return " until " + clock(until)
}

// pauseAdvice says what to do about a pause. The runbook has the same in its section CapstanSubmissionsStopped.
func pauseAdvice(p inspect.WorkerPause) string {
	const (
		nothing = " There is nothing to do: workers go on by themselves."
		keeps   = " No task fails because of the pause, and workers go on by themselves once that is done."
	)
	switch {
	case p.Waits:
		return "All starts that the plan has at the moment are used, which is normal while many tasks wait." + nothing
	case p.Reason == task.RateLimited:
		return "The plan is full: all its browsers or all its starts are in use, which is normal while many tasks wait." + nothing
	case p.Reason == task.Unauthorized:
		return "The API refuses the key. Put a valid one into the workers' secret; no restart is needed. Until then, nobody notices when running tasks end." + keeps
	case p.Reason == task.NoCredits:
		return "The account has no credits left. Buy some in Anchor's dashboard." + keeps
	case p.Reason == task.Forbidden:
		return "The API answers 403: the account has most likely reached its cost limit. Raise it in Anchor's dashboard." + keeps
	case p.Reason == task.ProxyLogin:
		return "The proxy in HTTPS_PROXY asks for a login. Add the login to its URL, or exclude the API's host with NO_PROXY." + keeps
	case p.Reason == task.NotTheAPI:
		return "Something answers that is not Anchor's API. Check ANCHORBROWSER_BASE_URL, and any gateway in between." + keeps
	case p.Reason == task.Refusing:
		return "The API has refused several requests in a row with the same status. Look at the tasks that failed last: the requests of one publisher may be wrong." + keeps
	case p.Reason == task.Unavailable, p.Reason == task.Unready, p.Reason == task.Unreachable, p.Reason == task.Failing:
		return "Workers try again by themselves, and no task fails because of this. If it lasts, check the network of the workers, and Anchor's status page."
	default:
		return "Workers try again by themselves, and no task fails because of this. If it lasts, read the log of a worker."
	}
}
