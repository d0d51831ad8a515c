package anchortest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Faults are named faults and endings, each with its share of the calls or workflows that it strikes.
type Faults struct {
	submits, polls, sessions []Chance
	endings                  []endingChance
	texts                    []string
}

// WithFaults makes calls fail and workflows end at random, where neither an outage nor a plan has something for them. The
// same seed gives the same faults in the same order of calls. It replaces WithRandomFaults and WithRandomSessionFaults.
func WithFaults(seed uint64, f Faults) Option {
	return func(s *Server) {
		s.dice = newDice(seed, f.submits, f.polls)
		s.dice.endings = f.endings
		if len(f.sessions) > 0 {
			WithRandomSessionFaults(seed, SessionChances{Get: f.sessions, End: f.sessions, List: f.sessions})(s)
		}
	}
}

// ParseFaults reads names of NamedFaults with the share of each, such as "lost-answer:1%,poll-500:2%,step-limit:3%". The
// error names every mistake, one a line.
func ParseFaults(text string) (Faults, error) {
	var f Faults
	var problems []error
	seen := map[string]bool{}
	for each := range strings.SplitSeq(text, ",") {
		if each = strings.TrimSpace(each); each == "" {
			continue
		}
		name, share, _ := strings.Cut(each, ":")
		name = strings.TrimSpace(name)
		if seen[name] {
			problems = append(problems, fmt.Errorf("%.100s is named twice", name))
			continue
		}
		seen[name] = true
		if err := addFault(&f, name, strings.TrimSpace(share)); err != nil {
			problems = append(problems, err)
		}
	}
	problems = append(problems, f.checkSums()...)
	return f, errors.Join(problems...)
}

// String lists the faults as ParseFaults reads them.
func (f Faults) String() string { return strings.Join(f.texts, ", ") }

// addFault adds one fault with its share.
func addFault(f *Faults, name, share string) error {
	named, err := findNamed(name)
	if err != nil {
		return err
	}
	probability, err := readShare(name, share)
	if err != nil {
		return err
	}
	switch {
	case named.Ending != nil:
		f.endings = append(f.endings, endingChance{probability, *named.Ending})
	case strings.HasPrefix(name, sessionPrefix):
		f.sessions = append(f.sessions, Chance{probability, *named.Fault})
	case strings.HasPrefix(name, pollPrefix):
		f.polls = append(f.polls, Chance{probability, *named.Fault})
	default:
		f.submits = append(f.submits, Chance{probability, *named.Fault})
	}
	f.texts = append(f.texts, name+":"+share)
	return nil
}

// readShare reads a percentage from 0% to 100%, and returns a number from 0 to 1.
func readShare(name, text string) (float64, error) {
	number, isPercent := strings.CutSuffix(text, "%")
	share, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	switch {
	case text == "":
		return 0, fmt.Errorf("%s needs a share, such as %s:1%%", name, name)
	case err != nil || !isPercent || !(share >= 0 && share <= 100):
		return 0, fmt.Errorf("the share of %s must be from 0%% to 100%% (got %.100q)", name, text)
	}
	return share / 100, nil
}

// checkSums refuses shares that are more than everything together.
func (f Faults) checkSums() (problems []error) {
	sum := func(what string, chances []Chance) {
		total := 0.0
		for _, c := range chances {
			total += c.Probability
		}
		if total > 1+1e-9 {
			problems = append(problems, fmt.Errorf("the faults of %s must have at most 100%% together (got %.4g%%)", what, 100*total))
		}
	}
	endings := make([]Chance, 0, len(f.endings))
	for _, e := range f.endings {
		endings = append(endings, Chance{Probability: e.probability})
	}
	sum("submissions", f.submits)
	sum("status calls", f.polls)
	sum("calls about sessions", f.sessions)
	sum("workflows", endings)
	return problems
}
