package figure

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// Report is the result of one benchmark.
type Report struct {
	Name    string    `json:"name"`
	About   string    `json:"about"`
	Command string    `json:"command"`
	When    time.Time `json:"when"`
	Commit  string    `json:"commit"`
	Machine string    `json:"machine"` // with the versions of the programs
	Rounds  int       `json:"rounds"`
	Rows    []Row     `json:"rows"`
}

// Add adds a value of a program to the row with that name. The row's first value creates it, and what has a value
// later is compared with the program of the first one.
func (r *Report) Add(of string, value float64, row Row) {
	i := slices.IndexFunc(r.Rows, func(old Row) bool { return old.What == row.What })
	if i < 0 {
		row.Of, i = of, len(r.Rows)
		r.Rows = append(r.Rows, row)
	}
	if added := &r.Rows[i]; added.Of == of {
		added.Values = append(added.Values, value)
	} else {
		added.Than, added.Others = of, append(added.Others, value)
	}
}

// ThisMachine describes the machine and the versions in this program. It leaves out what it cannot find.
func ThisMachine() string {
	parts := []string{
		fmt.Sprintf("%d × %s", runtime.NumCPU(), valueIn("/proc/cpuinfo", "model name")),
		valueIn("/proc/meminfo", "MemTotal"), runtime.Version(),
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if strings.HasPrefix(d.Path, "github.com/nats-io/nats") {
				parts = append(parts, strings.TrimPrefix(d.Path, "github.com/nats-io/")+" "+d.Version)
			}
		}
	}
	return strings.Join(parts, ", ")
}

// valueIn returns the text after a name and a colon in a file.
func valueIn(file, name string) string {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Table writes a report as a table in Markdown, followed by the command, the machine and the versions.
func (r *Report) Table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s\n\n%s\n\n", r.Name, r.About)
	b.WriteString("| what | measured | compared with | ratio, median (least–most) | goal | |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, row := range r.Rows {
		b.WriteString(row.line())
	}
	fmt.Fprintf(&b, "\n`%s`, rounds: %d, %s, commit %s; %s.\n", r.Command, r.Rounds, r.When.UTC().Format("2006-01-02 15:04 MST"), r.Commit, r.Machine)
	return b.String()
}

func (r Row) line() string {
	measured := fmt.Sprintf("%s %s (%s)", Short(Median(r.Values)), r.Unit, r.Of)
	other, ratio, goal, mark := "", "", r.Goal.bound(), ""
	if r.Than == "" {
		measured += spread(", %s–%s", r.Values)
	} else {
		other = fmt.Sprintf("%s (%s)", Short(Median(r.Others)), r.Than)
		ratio = Short(Median(r.Ratios())) + spread(" (%s–%s)", r.Ratios())
	}
	if goal != "" && (r.Than == "" || r.Goal.OfValue) {
		goal += " " + r.Unit
	}
	switch {
	case goal == "":
	case r.Met():
		mark = "met"
	default:
		mark = "**missed**"
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s |\n", r.What, measured, other, ratio, goal, mark)
}

// spread writes the least and the largest of several values.
func spread(format string, values []float64) string {
	if len(values) < 2 {
		return ""
	}
	return fmt.Sprintf(format, Short(slices.Min(values)), Short(slices.Max(values)))
}

// Load reads the reports of a file. A file that does not exist has none.
func Load(file string) ([]Report, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read reports: %w", err)
	}
	var all []Report
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("read reports in %s: %w", file, err)
	}
	return all, nil
}

// Save writes a report into a file, in place of the one with the same name.
func Save(file string, r Report) error {
	all, err := Load(file)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(all, func(old Report) bool { return old.Name == r.Name }); i >= 0 {
		all[i] = r
	} else {
		all = append(all, r)
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("encode reports: %w", err)
	}
	if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("save report: %w", err)
	}
	return nil
}
