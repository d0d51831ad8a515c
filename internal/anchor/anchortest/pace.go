package anchortest

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// RunTime is how long workflows run: any time between Mean-Spread and Mean+Spread is equally likely.
type RunTime struct {
	Mean, Spread time.Duration
}

// pace draws run times. The server's mutex guards it.
type pace struct {
	random *rand.Rand
	time   RunTime
}

// WithRunTime sets how long the workflow of a task runs whose plan has no Run. The same seed gives the same times in the
// same order. Default: it ends at once.
func WithRunTime(seed uint64, t RunTime) Option {
	return func(s *Server) { s.pace = &pace{random: rand.New(rand.NewPCG(seed, seed)), time: t} }
}

// draw returns the next run time. A nil pace has none.
func (p *pace) draw() time.Duration {
	if p == nil {
		return 0
	}
	return p.time.Mean + time.Duration((2*p.random.Float64()-1)*float64(p.time.Spread))
}

// ParseRunTime reads a run time such as "20s", "20s±50%" or "20s±5s". For ± it takes +- and +/- as well. The spread is at
// most the mean.
func ParseRunTime(text string) (RunTime, error) {
	wrong := fmt.Errorf("must be a duration such as 20s, 20s±50%% or 20s±5s (got %.100q)", text)
	text = strings.NewReplacer("+/-", "±", "+-", "±").Replace(strings.Join(strings.Fields(text), ""))
	mean, spread, hasSpread := strings.Cut(text, "±")
	var t RunTime
	var err error
	if t.Mean, err = time.ParseDuration(mean); err != nil || t.Mean < 0 {
		return RunTime{}, wrong
	}
	if hasSpread {
		if t.Spread, err = readSpread(spread, t.Mean); err != nil || t.Spread < 0 {
			return RunTime{}, wrong
		}
	}
	if t.Spread > t.Mean {
		return RunTime{}, fmt.Errorf("must have a spread of at most 100%%, so that no time is below 0 (got %.100q)", text)
	}
	return t, nil
}

// readSpread reads a duration, or a share of the mean in percent.
func readSpread(text string, mean time.Duration) (time.Duration, error) {
	percent, isPercent := strings.CutSuffix(text, "%")
	if !isPercent {
		return time.ParseDuration(text)
	}
	share, err := strconv.ParseFloat(percent, 64)
	switch {
	case err != nil:
		return 0, err
	case math.IsNaN(share):
		return 0, errors.New("not a share")
	}
	return time.Duration(min(share, 101) / 100 * float64(mean)), nil // more than 100 % is refused
}

// String is a text that ParseRunTime reads.
func (t RunTime) String() string {
	if t.Spread == 0 {
		return t.Mean.String()
	}
	return t.Mean.String() + "±" + t.Spread.String()
}

// complete fills in what a plan leaves open: a random ending, and the time that the workflow runs. A plan that
// says how the workflow ends keeps its ending. The caller holds mu.
func (s *Server) complete(p Plan) Plan {
	if !p.hasEnding() {
		p = p.endingAs(s.dice.rollEnding())
	}
	if p.Run == 0 {
		p.Run = s.pace.draw()
	}
	return p
}

// endingAs returns the same plan with the ending of another one. Its own faults of polls strike first.
func (p Plan) endingAs(other Plan) Plan {
	p.State, p.Result, p.Error = other.State, other.Result, other.Error
	if p.Run == 0 {
		p.Run = other.Run
	}
	p.Poll = append(slices.Clip(p.Poll), other.Poll...)
	if p.Name == "" {
		p.Name = other.Name
	}
	return p
}
