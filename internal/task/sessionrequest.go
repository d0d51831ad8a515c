package task

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// SessionRequest is a browser session to create. What Session says about a timeout or the live view takes precedence over
// the fields here, and tags are added to its tags.
type SessionRequest struct {
	Tags         []string
	MaxDuration  time.Duration // after which the API ends it, rounded up to minutes; 0: the API's default
	IdleTimeout  time.Duration // after which the API ends it if nobody uses it, likewise
	ReadOnlyView bool          // its live view shows the browser, and cannot control it

	Session json.RawMessage // an object, passed to the API as it is; nil for none
	Browser json.RawMessage // likewise
}

// JSON returns the body of the call that creates the session. The error names the field of Session or Browser that is not
// of the API's form, and quotes nothing of it: a proxy's password may stand there.
func (r SessionRequest) JSON() ([]byte, error) {
	session, err := objectIn("session", r.Session)
	if err != nil {
		return nil, err
	}
	browser, err := objectIn("browser", r.Browser)
	if err != nil {
		return nil, err
	}
	for _, fill := range []func(map[string]json.RawMessage) error{r.fillTags, r.fillTimeout, r.fillView} {
		if err := fill(session); err != nil {
			return nil, err
		}
	}
	body := map[string]any{}
	if len(session) > 0 {
		body["session"] = session
	}
	if len(browser) > 0 {
		body["browser"] = browser
	}
	return json.Marshal(body)
}

// fillTags adds the tags that the session does not have.
func (r SessionRequest) fillTags(session map[string]json.RawMessage) error {
	var tags []string
	if value, ok := session["tags"]; ok {
		if err := json.Unmarshal(value, &tags); err != nil {
			return errors.New("session.tags must be a list of strings")
		}
	}
	for _, tag := range r.Tags {
		if !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	if len(tags) == 0 {
		return nil
	}
	return setJSON(session, "tags", tags)
}

// fillTimeout adds the times that the session does not have.
func (r SessionRequest) fillTimeout(session map[string]json.RawMessage) error {
	times := map[string]int64{}
	for name, d := range map[string]time.Duration{"max_duration": r.MaxDuration, "idle_timeout": r.IdleTimeout} {
		if d > 0 {
			times[name] = minutesUp(d)
		}
	}
	return fillObject(session, "timeout", times)
}

// fillView asks for a view without control, unless the session says something about it.
func (r SessionRequest) fillView(session map[string]json.RawMessage) error {
	if !r.ReadOnlyView {
		return nil
	}
	return fillObject(session, "live_view", map[string]bool{"read_only": true})
}

// fillObject adds the members to an object in the session that it does not have, and the object if it is missing.
func fillObject[V any](session map[string]json.RawMessage, name string, members map[string]V) error {
	if len(members) == 0 {
		return nil
	}
	object, err := objectIn("session."+name, session[name])
	if err != nil {
		return err
	}
	for member, value := range members {
		if _, ok := object[member]; ok {
			continue
		}
		if err := setJSON(object, member, value); err != nil {
			return err
		}
	}
	return setJSON(session, name, object)
}

// objectIn reads an object. Without one it returns an empty object, and likewise for null.
func objectIn(name string, value json.RawMessage) (map[string]json.RawMessage, error) {
	object := map[string]json.RawMessage{}
	if len(value) == 0 {
		return object, nil
	}
	if err := json.Unmarshal(value, &object); err != nil {
		return nil, fmt.Errorf("%s must be a JSON object (got %s)", name, kindName(value))
	}
	if object == nil { // null
		return map[string]json.RawMessage{}, nil
	}
	return object, nil
}

// setJSON sets a member of an object to a value.
func setJSON(object map[string]json.RawMessage, name string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return errors.New(name + " cannot be encoded")
	}
	object[name] = data
	return nil
}

// minutesUp rounds up to whole minutes, the API's unit.
func minutesUp(d time.Duration) int64 {
	return int64((d-1)/time.Minute) + 1
}
