package settings

import (
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// Misspelling is an environment variable that is not a setting and looks like one.
type Misspelling struct {
	Variable string
	Nearest  string // the setting that was probably meant
}

// Text returns the misspelling in a sentence for people.
func (m Misspelling) Text() string {
	return m.Variable + " is ignored: no setting has this name. Did you mean " + m.Nearest + "?"
}

// Misspelled returns the variables that are probably misspelled names of these settings. The elements of environ are
// NAME=VALUE, and the result is in their order. A misspelled setting has no effect, which is hard to notice, so the
// program must report it.
func Misspelled(list []Setting, environ []string) []Misspelling {
	var names []string
	for _, s := range list {
		names = append(names, s.Name)
	}
	isSet := map[string]bool{}
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		isSet[name] = value != ""
	}
	var found []Misspelling
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		if slices.Contains(names, name) {
			continue
		}
		if nearest := nearestSetting(name, names, isSet); nearest != "" {
			found = append(found, Misspelling{Variable: name, Nearest: nearest})
		}
	}
	return found
}

// nearestSetting returns the setting that a variable was probably meant to be, or "".
func nearestSetting(name string, settings []string, isSet map[string]bool) string {
	name = strings.ToUpper(name)
	for _, short := range []string{"ANCHOR_BROWSER_", "ANCHOR_"} { // common names of the API
		if rest, ok := strings.CutPrefix(name, short); ok {
			name = "ANCHORBROWSER_" + rest
			break
		}
	}
	nearest, least := "", len(name)
	for _, setting := range settings {
		distance := levenshtein.ComputeDistance(name, setting)
		if name == strings.TrimSuffix(setting, "_FILE") && !isSet[setting] { // NATS_NKEY_SEED for NATS_NKEY_SEED_FILE
			distance = 1
		}
		if distance < least && distance <= allowedDistance(name, setting) {
			nearest, least = setting, distance
		}
	}
	return nearest
}

// allowedDistance is the number of letters by which a misspelled name may differ: one in five, or three more at the
// end, as in ADMIN_ADDRESS for ADMIN_ADDR. This excludes variables of other programs, for example NATS_PORT and
// NATS_SERVICE_HOST, by which Kubernetes describes a Service called nats, and NATS_TIMEOUT of the nats command.
func allowedDistance(name, setting string) int {
	if strings.HasPrefix(name, setting) && !strings.Contains(name[len(setting):], "_") {
		return 3
	}
	return len(setting) / 5
}
