package app

import (
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// Misspelling is a variable of the environment that is no setting and looks like one.
type Misspelling struct {
	Variable string
	Nearest  string // the setting that it was probably meant to be
}

// Misspelled returns the variables that are probably misspelled settings, in the order of environ, whose elements are
// NAME=VALUE. A worker ignores them, so it has to say so: a setting without effect is hard to notice.
func Misspelled(environ []string) ([]Misspelling, error) {
	settings, err := Settings()
	if err != nil {
		return nil, err
	}
	var known []string
	for _, s := range settings {
		known = append(known, s.Name)
	}
	set := map[string]bool{}
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		set[name] = value != ""
	}
	var found []Misspelling
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		if slices.Contains(known, name) {
			continue
		}
		if nearest := nearestSetting(name, known, set); nearest != "" {
			found = append(found, Misspelling{Variable: name, Nearest: nearest})
		}
	}
	return found, nil
}

// nearestSetting returns the setting that a variable was probably meant to be, or "".
func nearestSetting(name string, known []string, set map[string]bool) string {
	name = strings.ToUpper(name)
	for _, short := range []string{"ANCHOR_BROWSER_", "ANCHOR_"} { // how people call the API
		if rest, ok := strings.CutPrefix(name, short); ok {
			name = "ANCHORBROWSER_" + rest
			break
		}
	}
	nearest, least := "", len(name)
	for _, setting := range known {
		distance := levenshtein.ComputeDistance(name, setting)
		if name == strings.TrimSuffix(setting, "_FILE") && !set[setting] { // NATS_CREDS for NATS_CREDS_FILE
			distance = 1
		}
		if distance < least && distance <= allowedDistance(name, setting) {
			nearest, least = setting, distance
		}
	}
	return nearest
}

// allowedDistance is how many letters a misspelled name may differ by: one in five, or three more at the end, as in
// ADMIN_ADDRESS for ADMIN_ADDR. That keeps the variables of others apart, such as NATS_PORT and NATS_SERVICE_HOST, by
// which Kubernetes describes a Service called nats, and NATS_TIMEOUT of the nats command.
func allowedDistance(name, setting string) int {
	if strings.HasPrefix(name, setting) && !strings.Contains(name[len(setting):], "_") {
		return 3
	}
	return len(setting) / 5
}
