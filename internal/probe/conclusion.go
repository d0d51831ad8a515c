package probe

import "strings"

// Conclusion is what follows from the findings.
type Conclusion struct {
	Sessions bool    // SESSIONS=on can be used
	Fence    bool    // and on_unknown_submission: fence with it
	Text     string  // says so, and why not
	Credits  float64 // that the probe has used, as far as the API said it
}

// conclude judges the findings. A fact that was not found counts as unknown.
func conclude(findings []Finding, credits float64) Conclusion {
	against := map[Need][]string{}
	for _, needed := range needs() {
		if why := objection(needed.Fact, findings); why != "" {
			against[needed.Need] = append(against[needed.Need], why)
		}
	}
	c := Conclusion{Sessions: len(against[ForSessions]) == 0, Credits: credits}
	c.Fence = c.Sessions && len(against[ForFence]) == 0
	switch {
	case c.Fence:
		c.Text = "SESSIONS=on can be used"
	case c.Sessions:
		c.Text = "SESSIONS=on can be used, but without on_unknown_submission: fence. Against it: " + strings.Join(against[ForFence], ", ")
	default:
		c.Text = "SESSIONS=on cannot be used. Against it: " + strings.Join(append(against[ForSessions], against[ForFence]...), ", ")
	}
	return c
}

// objection says what stands against a fact, or "" if it was found and each time fine.
func objection(fact string, findings []Finding) string {
	found := false
	for _, f := range findings {
		switch {
		case f.Fact != fact:
		case f.Verdict == Bad:
			return fact
		case f.Verdict == Unknown:
			return fact + " (not found out)"
		default:
			found = true
		}
	}
	if !found {
		return fact + " (not looked at)"
	}
	return ""
}
