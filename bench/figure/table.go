package figure

import (
	"fmt"
	"strings"
)

// Table writes a report as a table in Markdown, with the machine, the versions and the command below it.
func (r Report) Table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s\n\n%s\n\n", r.Name, r.About)
	b.WriteString("| what | measured | held against | ratio, median (least–most) | goal | |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", row.What, row.measured(), row.against(), row.ratio(), row.goal(), row.mark())
	}
	m := r.Machine
	fmt.Fprintf(&b, "\n`%s`, %d rounds, %s, commit %s. %d × %s, %s, Linux %s, %s, nats-server %s, nats.go %s.\n",
		r.Command, r.Rounds, r.When.UTC().Format("2006-01-02 15:04 MST"), m.Commit, m.Cores, m.CPU, m.Memory, m.Kernel, m.Go, m.Server, m.Client)
	return b.String()
}

func (r Row) measured() string {
	text := fmt.Sprintf("%s %s (%s)", Short(r.Value()), r.Unit, r.Of)
	if spread := Spread(r.Values); r.Than == "" && spread != "" {
		text += ", " + spread
	}
	return text
}

func (r Row) against() string {
	if r.Than == "" {
		return ""
	}
	return fmt.Sprintf("%s (%s)", Short(r.Other()), r.Than)
}

func (r Row) ratio() string {
	if r.Than == "" {
		return ""
	}
	ratios := r.Ratios()
	if spread := Spread(ratios); spread != "" {
		return fmt.Sprintf("%s (%s)", Short(Median(ratios)), spread)
	}
	return Short(Median(ratios))
}

func (r Row) goal() string {
	bound := r.Goal.Bound()
	if bound == "" || (r.Than != "" && !r.Goal.OfValue) {
		return bound
	}
	return bound + " " + r.Unit
}

func (r Row) mark() string {
	switch {
	case r.Goal == Goal{}:
		return ""
	case r.Met():
		return "met"
	default:
		return "**missed**"
	}
}
