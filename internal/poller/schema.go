package poller

import (
	"encoding/json"

	"github.com/capstan-worker/capstan/internal/jsonschema"
)

// PaceSchema returns the schema of what workers learned of the run times of a kind of tasks, as they write it and read it.
// They leave a value alone that breaks it.
func PaceSchema() *jsonschema.Schema {
	s := jsonschema.Of[sharedValue]()
	s.Title = "Learned run times"
	s.Description = "The value of a key pace.<kind> in the KV bucket task_control: at which ages tasks of a kind ended. The workers write it; do not write it yourself."
	s.Property("version").Const = sharedVersion
	s.Property("seen").Minimum, s.Property("seen").Maximum = new(int64(0)), new(int64(remembered))
	for _, name := range []string{"ends", "ran"} {
		ages := s.Property(name)
		ages.MinItems, ages.MaxItems = new(ageBins), new(ageBins)
		ages.Items.Minimum, ages.Items.Maximum = new(int64(0)), new(int64(mostLearned))
	}
	example, err := (&learned{Seen: 1, Ends: [ageBins]float64{ageBins / 2: 1}, Ran: [ageBins]float64{ageBins / 2: 3.5}}).format()
	if err != nil {
		panic("poller: write an example: " + err.Error())
	}
	s.Examples = []json.RawMessage{example}
	return s
}
