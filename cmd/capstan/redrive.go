package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/operator/redrive"
)

// redriveCmd runs failed tasks again, from their dead letters.
type redriveCmd struct {
	Codes []string      `name:"code" placeholder:"CODE" predictor:"code" help:"Tasks whose last run failed with this code; may be repeated." group:"Which tasks:"`
	Batch string        `placeholder:"NAME" help:"Tasks of this batch." group:"Which tasks:"`
	Hosts []string      `name:"host" placeholder:"HOST" help:"Tasks whose url has this host; may be repeated." group:"Which tasks:"`
	Since time.Duration `placeholder:"DURATION" help:"Tasks that failed at most this long ago, for example 12h." group:"Which tasks:"`
	Tasks []string      `name:"task" placeholder:"ID" help:"These tasks; may be repeated." group:"Which tasks:"`

	Set  []changeFlag `name:"set" sep:"none" placeholder:"FIELD=VALUE" help:"Change a field of the requests, for example max_steps=120; the value is JSON, or otherwise a string. May be repeated."`
	Rate perSecond    `placeholder:"N/m" help:"Send at most so many, for example 100/m; the units are s, m and h. Default: as fast as NATS takes them."`
	Yes  bool         `help:"Send them. Without it, only what would be sent is printed."`
}

// Help is printed below the flags.
func (*redriveCmd) Help() string {
	return `The requests of failed tasks are kept for 30 days (DEAD_KEEP). This sends them to the queue again, as ID.r1, then
ID.r2 and so on, each once the run before has failed. So running the command twice sends nothing twice, and all
limits of the workers hold.

Examples:

  capstan redrive --batch night                                what would be sent, and what is left out
  capstan redrive --batch night --code step_limit --set max_steps=120 --yes
  capstan redrive --host shop.example.com --since 12h --rate 100/m --yes`
}

// changeFlag is a flag with a field and its new value.
type changeFlag struct{ redrive.Change }

// UnmarshalText reads the flag. Kong adds the name of the flag to its errors.
func (c *changeFlag) UnmarshalText(text []byte) (err error) {
	c.Change, err = redrive.ParseChange(string(text))
	return err
}

// perSecond is a flag with a rate, such as 100/m.
type perSecond float64

// UnmarshalText reads the flag.
func (p *perSecond) UnmarshalText(text []byte) error {
	number, unit, _ := strings.Cut(string(text), "/")
	seconds := map[string]float64{"s": 1, "m": 60, "h": 3600}[unit]
	n, err := strconv.ParseUint(number, 10, 31)
	if err != nil || n == 0 || seconds == 0 {
		return fmt.Errorf("must be a number above 0 and a unit, such as 5/s, 100/m or 1000/h (got %q)", text)
	}
	*p = perSecond(float64(n) / seconds)
	return nil
}

// Run prints what would be sent, and sends it if that is asked for.
func (cmd *redriveCmd) Run(ctx context.Context, t *terminal) error {
	filter := redrive.Filter{Codes: cmd.Codes, Hosts: cmd.Hosts, Tasks: cmd.Tasks, Batch: cmd.Batch, Since: cmd.Since}
	switch {
	case cmd.Since < 0:
		return usageError{fmt.Errorf("--since must be a duration above 0, such as 12h (got %v)", cmd.Since)}
	case filter.IsEmpty():
		return usageError{errors.New("say which tasks: --code, --batch, --host, --since or --task")}
	}
	if _, err := codesOf(cmd.Codes); err != nil {
		return usageError{err}
	}
	for i, host := range filter.Hosts {
		filter.Hosts[i] = strings.ToLower(host)
	}
	c, err := connect()
	if err != nil {
		return err
	}
	defer c.nc.Close()
	ctx, stop := c.whileConnected(ctx)
	defer stop()
	changes := make([]redrive.Change, len(cmd.Set))
	for i, set := range cmd.Set {
		changes[i] = set.Change
	}
	plan, err := redrive.NewPlan(ctx, c.queue(), filter, changes)
	if err != nil {
		return c.explain(ctx, err)
	}
	cmd.print(t, plan)
	if cmd.Yes && len(plan.Tasks) > 0 {
		if err := cmd.send(ctx, t, c, plan); err != nil {
			return err
		}
	}
	return unknownTasks(plan)
}

// unknownTasks returns an error if tasks were named that have no dead letter: their ids may be misspelled.
func unknownTasks(plan *redrive.Plan) error {
	unknown := 0
	for _, each := range plan.LeftOut {
		if each.Why == redrive.NoLetter {
			unknown++
		}
	}
	if unknown == 0 {
		return nil
	}
	return fmt.Errorf("%s named with --task %s no dead letter", taskCount(unknown), map[bool]string{true: "has", false: "have"}[unknown == 1])
}

// print prints how many tasks are run again by code and host, and how many are left out and why.
func (cmd *redriveCmd) print(t *terminal, plan *redrive.Plan) {
	type kind struct{ code, host string }
	kinds, names := map[string]int{}, map[string]kind{}
	for _, task := range plan.Tasks {
		k := kind{orUnknown(task.Code), orUnknown(task.Host)}
		key := k.code + "\x00" + k.host
		kinds[key]++
		names[key] = k
	}
	verb := "would run"
	if cmd.Yes {
		verb = "running"
	}
	t.printf("%s again: %s\n", verb, taskCount(len(plan.Tasks)))
	for _, key := range byCount(kinds) {
		t.printf("  %7d  %-18s  %s\n", kinds[key], oneLine(names[key].code, messageWidth), oneLine(names[key].host, messageWidth))
	}
	if cost := plan.CostText(); cost != "" {
		t.paragraph("cost: " + cost)
	}
	if risk := plan.RiskText(); risk != "" {
		t.paragraph("caution: " + risk)
	}
	cmd.printLeftOut(t, plan.LeftOut)
	if !cmd.Yes && len(plan.Tasks) > 0 {
		t.paragraph("nothing was sent; --yes sends them, the first as " + plan.Tasks[0].NewID)
	}
}

// printLeftOut prints why tasks are left out, with one of each reason.
func (*redriveCmd) printLeftOut(t *terminal, all []redrive.LeftOut) {
	reasons, first := map[redrive.Reason]int{}, map[redrive.Reason]string{}
	for _, each := range all {
		reasons[each.Why]++
		if first[each.Why] == "" {
			first[each.Why] = strings.TrimSuffix(each.TaskID+": "+each.Detail, ": ")
		}
	}
	if len(all) > 0 {
		t.printf("left out: %s\n", taskCount(len(all)))
	}
	for _, why := range byCount(reasons) {
		t.counted(reasons[why], fmt.Sprintf("%s (%s)", why, first[why]))
	}
}

// orUnknown is a text, or what stands for one that a letter of an older version does not have.
func orUnknown(text string) string {
	if text == "" {
		return "unknown"
	}
	return text
}

// send sends the requests and says how many are stored.
func (cmd *redriveCmd) send(ctx context.Context, t *terminal, c *client, plan *redrive.Plan) error {
	bar := newProgress(t, "sending")
	counts, err := plan.Send(ctx, float64(cmd.Rate), bar.show)
	bar.clear()
	t.printf("%s\n", countsText(counts))
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && causeOf(ctx, nil) == nil:
		return fmt.Errorf("%w; run the same command again to continue, it sends nothing twice", errInterrupted)
	default:
		return fmt.Errorf("%w; run the same command again to continue, it sends nothing twice", c.explain(ctx, err))
	}
}
