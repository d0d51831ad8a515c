package anchortest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Defaults of the API's document for session.timeout, in minutes.
const (
	defaultMaxDuration = 20
	defaultIdleTimeout = 5
)

// captchaNeedsProxy is the message of the example in the document, without its full stop.
const captchaNeedsProxy = "CAPTCHA solver requires proxy to be active"

// active is how a request turns a feature of a browser on and off.
type active struct {
	Active bool `json:"active"`
}

// sessionRequest is what the stand-in understands of the body of POST /v1/sessions (SessionCreateRequestSchema). The rest is
// kept and shown, and has no effect.
type sessionRequest struct {
	Session struct {
		InitialURL string   `json:"initial_url"`
		Tags       []string `json:"tags"`
		Recording  *active  `json:"recording"`
		Proxy      struct {
			active
			Type string `json:"type"`
		} `json:"proxy"`
		Timeout struct {
			MaxDuration *int `json:"max_duration"` // minutes
			IdleTimeout *int `json:"idle_timeout"` // minutes
		} `json:"timeout"`
	} `json:"session"`
	Browser struct {
		Profile struct {
			Name string `json:"name"`
		} `json:"profile"`
		Headless      active `json:"headless"`
		CaptchaSolver active `json:"captcha_solver"`
		ExtraStealth  active `json:"extra_stealth"`
	} `json:"browser"`
	Integrations []json.RawMessage `json:"integrations"`
	Identities   []json.RawMessage `json:"identities"`
}

// readSessionRequest reads a body, which may be empty. The error is for an answer with 400: the body is not of the
// documented form, or breaks a rule of the document.
func readSessionRequest(body []byte) (sessionRequest, error) {
	var asked sessionRequest
	if strings.TrimSpace(string(body)) == "" {
		return asked, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return asked, fmt.Errorf("the body is not a JSON object: %w", err)
	}
	known := []string{"session", "browser", "integrations", "identities"}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(known, name) {
			return asked, fmt.Errorf("%s is not a documented field: it must be one of %s", name, strings.Join(known, ", "))
		}
	}
	err := json.Unmarshal(body, &asked)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return asked, fmt.Errorf("%s must not be of the type %s", wrong.Field, wrong.Value)
	}
	if err != nil {
		return asked, err
	}
	return asked, asked.check()
}

// check refuses what the document says does not work together, and times that can never be over.
func (r sessionRequest) check() error {
	if r.Browser.CaptchaSolver.Active && !r.Session.Proxy.Active {
		return errors.New(captchaNeedsProxy)
	}
	for name, minutes := range map[string]*int{"max_duration": r.Session.Timeout.MaxDuration, "idle_timeout": r.Session.Timeout.IdleTimeout} {
		if minutes != nil && *minutes != -1 && *minutes < 1 {
			return fmt.Errorf("session.timeout.%s must be -1 or at least 1 minute", name)
		}
	}
	return nil
}

// maxDuration is how long the session may be open; 0 for no limit.
func (r sessionRequest) maxDuration(minute time.Duration) time.Duration {
	return minutesOr(r.Session.Timeout.MaxDuration, defaultMaxDuration, minute)
}

// idleTimeout is how long the session is open while no workflow runs in it; 0 for no limit.
func (r sessionRequest) idleTimeout(minute time.Duration) time.Duration {
	return minutesOr(r.Session.Timeout.IdleTimeout, defaultIdleTimeout, minute)
}

// minutesOr returns the time of the minutes that are set, or of the default. -1 is no limit, which is 0.
func minutesOr(set *int, byDefault int, minute time.Duration) time.Duration {
	minutes := byDefault
	if set != nil {
		minutes = *set
	}
	return time.Duration(max(0, min(minutes, 1<<20))) * minute
}
