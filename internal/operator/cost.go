package operator

import (
	"fmt"
	"math"
	"strconv"
)

// Cost is what tasks used in their browser sessions, as far as Anchor said so. Its JSON is public: names are never changed.
type Cost struct {
	Steps        int     `json:"steps"`         // of their agents
	StepsKnown   int     `json:"steps_known"`   // tasks whose steps are known
	Credits      float64 `json:"credits"`       // to a millionth
	CreditsKnown int     `json:"credits_known"` // tasks whose credits are known
}

const (
	// mostUsed is more than a task can use of anything. A record that says more, or less than nothing, says nothing.
	mostUsed = 1_000_000_000

	// millionth is the precision of sums. Rounded to it, they do not depend on the order of the tasks.
	millionth = 1e6
)

// Plus returns the cost with what one more task used; nil is not known.
func (c Cost) Plus(steps *int, credits *float64) Cost {
	if steps != nil && *steps >= 0 && *steps <= mostUsed {
		c.Steps += *steps
		c.StepsKnown++
	}
	if credits != nil && *credits >= 0 && *credits <= mostUsed {
		c.Credits = math.Round((c.Credits+math.Round(*credits*millionth)/millionth)*millionth) / millionth
		c.CreditsKnown++
	}
	return c
}

// IsZero reports whether nothing is known.
func (c Cost) IsZero() bool { return c.StepsKnown == 0 && c.CreditsKnown == 0 }

// String says it for people: "812 steps and 12.4 credits in 31 tasks". If nothing is known, it is "".
func (c Cost) String() string {
	steps, credits := counted(c.Steps, "step"), CreditsText(c.Credits)+" credits"
	switch {
	case c.IsZero():
		return ""
	case c.CreditsKnown == 0:
		return steps + " in " + counted(c.StepsKnown, "task")
	case c.StepsKnown == 0:
		return credits + " in " + counted(c.CreditsKnown, "task")
	case c.StepsKnown == c.CreditsKnown:
		return steps + " and " + credits + " in " + counted(c.StepsKnown, "task")
	default:
		return steps + " in " + counted(c.StepsKnown, "task") + " and " + credits + " in " + counted(c.CreditsKnown, "task")
	}
}

// CostText says what tasks that have ended used, and what those of them that failed did. If nothing is known, it is "".
func CostText(ended, failed Cost) string {
	if failed.IsZero() {
		return ended.String()
	}
	return ended.String() + "; of these " + failed.String() + " that failed"
}

// CreditsText returns a number of credits with two decimals at most. Less than a hundredth has all of them.
func CreditsText(credits float64) string {
	decimals := 100.0
	if credits < 0.01 {
		decimals = millionth
	}
	return strconv.FormatFloat(math.Round(credits*decimals)/decimals, 'f', -1, 64)
}

// counted returns a number of things: 1 task, 2 tasks.
func counted(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
