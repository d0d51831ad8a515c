package anchortest

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// sessionFilters returns the conditions that a query names, as of a time. The error is about a value that cannot be read.
func sessionFilters(query url.Values, at time.Time) (filters []func(*session) bool, err error) {
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(query)) {
		filter, err := sessionFilter(name, query.Get(name), at)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s %w", name, err))
		} else if filter != nil && query.Get(name) != "" {
			filters = append(filters, filter)
		}
	}
	return filters, errors.Join(problems...)
}

// sessionFilter returns the condition of one parameter of a query, or nil if it is not a condition.
func sessionFilter(name, value string, at time.Time) (func(*session) bool, error) {
	switch name {
	case "status":
		return func(ss *session) bool { return ss.statusAt(at) == value }, nil
	case "tags":
		return func(ss *session) bool { return hasAll(ss.asked.Session.Tags, value) }, nil
	case "domains":
		return func(ss *session) bool { return hasAll(ss.domains, value) }, nil
	case "search":
		return func(ss *session) bool { return mentionsAny(ss.asked.Session.Tags, value) }, nil
	case "batch_id":
		return func(*session) bool { return false }, nil // there are no batches here
	case "profile_name":
		return func(ss *session) bool { return mentionsAny([]string{ss.asked.Browser.Profile.Name}, value) }, nil
	case "created_from":
		from, err := moment(value)
		return func(ss *session) bool { return !ss.created.Before(from) }, err
	case "created_to":
		to, err := moment(value)
		return func(ss *session) bool { return !ss.created.After(to) }, err
	default:
		return sessionFlag(name, value)
	}
}

// sessionFlag returns the condition of a parameter that is true or false.
func sessionFlag(name, value string) (func(*session) bool, error) {
	flags := map[string]func(*session) bool{
		"task_initiated": func(ss *session) bool { return ss.byTask },
		"playground":     func(*session) bool { return false },
		"proxy":          func(ss *session) bool { return ss.asked.Session.Proxy.Active },
		"extra_stealth":  func(ss *session) bool { return ss.asked.Browser.ExtraStealth.Active },
	}
	flag := flags[name]
	if flag == nil || value == "" {
		return nil, nil
	}
	want, err := strconv.ParseBool(value)
	if err != nil {
		return nil, errors.New("must be true or false")
	}
	return func(ss *session) bool { return flag(ss) == want }, nil
}

// moment reads a time of a query. An empty value is no condition.
func moment(value string) (time.Time, error) {
	if value == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return at, errors.New("must be a time such as 2026-01-02T15:04:05Z")
	}
	return at, nil
}

// hasAll reports whether all of the wanted words, which commas separate, are in the list.
func hasAll(list []string, wanted string) bool {
	for word := range strings.SplitSeq(wanted, ",") {
		if !slices.Contains(list, strings.TrimSpace(word)) {
			return false
		}
	}
	return true
}

// mentionsAny reports whether a text of the list contains one of the wanted words, in any case.
func mentionsAny(list []string, wanted string) bool {
	for word := range strings.SplitSeq(strings.ToLower(wanted), ",") {
		if slices.ContainsFunc(list, func(text string) bool { return strings.Contains(strings.ToLower(text), strings.TrimSpace(word)) }) {
			return true
		}
	}
	return false
}
