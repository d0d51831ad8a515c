package task_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/contract/contracttest"
	"github.com/capstan-worker/capstan/internal/task"
)

// records are values of the bucket at the edges of what ParseRecord reads.
func records() []string {
	const whole = `"owner":"w","epoch":1,"request_seq":1,"digest":"d","requested_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z"`
	return []string{
		`{"task_id":"a","state":"waiting",` + whole + `}`,
		`{"task_id":"a","state":"running",` + whole + `}`,
		`{"task_id":"a","state":"running","workflow_id":"",` + whole + `}`,
		`{"task_id":"a","state":"running","workflow_id":"w",` + whole + `}`,
		`{"task_id":"","state":"waiting",` + whole + `}`,
		`{"task_id":"a","state":"paused",` + whole + `}`,
		`{"task_id":"a","state":"waiting","runs":[{"code":"x"}],"waits_for":"x","new":1,` + whole + `}`,
		`{"task_id":"a","state":"waiting","runs":{},` + whole + `}`,
		`{"task_id":"a","state":"waiting","attempts":"1",` + whole + `}`,
		`{"task_id":"a","state":"waiting","waits_until":"soon",` + whole + `}`,
		`[]`, `null`, `{}`, `{`,
	}
}

// readDifferently are records that fit the schema and are not read: api/README.md has a row for each name.
func readDifferently() map[string]string {
	whole := strings.TrimSuffix(records()[0], "}")
	return map[string]string{
		"names that come twice in another case":   whole + `,"STATE":"x"}`,
		"integers with a fraction or an exponent": whole + `,"polls":1.0}`,
		"integers of more than 64 bits":           whole + `,"polls":99999999999999999999}`,
		"times with a leap second or in lower case": strings.Replace(whole, `"updated_at":"2026-01-01T00:00:00Z"`,
			`"updated_at":"2016-12-31t23:59:60z"`, 1) + `}`,
	}
}

func TestWhatFitsTheSchemaOfARecordIsRead(t *testing.T) {
	schema := contracttest.Load("record")
	fitting := 0
	for _, value := range records() {
		if schema.Check([]byte(value)) != nil {
			continue
		}
		fitting++
		if _, err := task.ParseRecord([]byte(value)); err != nil {
			t.Errorf("%s fits the schema, but: %v", value, err)
		}
	}
	if fitting != 3 {
		t.Errorf("got %d records that fit the schema, want 3", fitting)
	}
	for name, value := range readDifferently() {
		wantRow(t, name)
		if err := schema.Check([]byte(value)); err != nil {
			t.Errorf("%s: the schema refuses it as well, so it is no difference: %v", name, err)
		}
		if rec, err := task.ParseRecord([]byte(value)); err == nil {
			t.Errorf("%s: it is read, so it is no difference: %+v", name, rec)
		}
	}
}

// Workers also read records that none of them writes: older ones had fewer members. Written again, each fits.
func TestARecordThatIsReadFitsTheSchemaWhenItIsWritten(t *testing.T) {
	schema := contracttest.Load("record")
	for _, value := range append(records(), `{"task_id":"a","state":"waiting"}`, `{"Task_ID":"a","STATE":"succeeded","owner":null}`, string(full(t).JSON())) {
		rec, err := task.ParseRecord([]byte(value))
		if err != nil {
			continue
		}
		if err := schema.Check(rec.JSON()); err != nil {
			t.Errorf("%s, written as %s: %v", value, rec.JSON(), err)
		}
	}
	wantRow(t, "members that are missing")
	if schema.Check([]byte(`{"task_id":"a","state":"waiting"}`)) == nil {
		t.Error("a record with fewer members fits the schema, so it is no difference")
	}
}

// FuzzRecordSchema looks for a record that a worker reads and writes in another form than the schema has.
func FuzzRecordSchema(f *testing.F) {
	for _, value := range records() {
		f.Add([]byte(value))
	}
	schema := contracttest.Load("record")
	f.Fuzz(func(t *testing.T, value []byte) {
		rec, err := task.ParseRecord(value)
		if err == nil && encoded(rec) != nil { // else it has a time in a zone that JSON cannot have
			if err := schema.Check(rec.JSON()); err != nil {
				t.Errorf("%s is written as %s: %v", value, rec.JSON(), err)
			}
		}
	})
}

func TestEventsFitTheirSchema(t *testing.T) {
	schema := contracttest.Load("event")
	for value, want := range map[string]bool{
		`{"task_id":"a","status":"succeeded","requested_at":"2026-01-01T00:00:00Z","finished_at":"2026-01-01T00:00:00Z","attempts":1,"polls":1,"worker":"w","new":1}`:                                               true,
		`{"task_id":"a","status":"failed","requested_at":"2026-01-01T00:00:00Z","finished_at":"2026-01-01T00:00:00Z","attempts":1,"polls":1,"worker":"w"}`:                                                          false,
		`{"task_id":"a","status":"failed","requested_at":"2026-01-01T00:00:00Z","finished_at":"2026-01-01T00:00:00Z","attempts":1,"polls":1,"worker":"w","error":{"code":"new","message":"m","retryable":true}}`:    true,
		`{"task_id":"a","status":"succeeded","requested_at":"2026-01-01T00:00:00Z","finished_at":"2026-01-01T00:00:00Z","attempts":1,"polls":1,"worker":"w","error":{"code":"new","message":"m","retryable":true}}`: false,
		`{"task_id":"a","status":"running","requested_at":"2026-01-01T00:00:00Z","finished_at":"2026-01-01T00:00:00Z","attempts":1,"polls":1,"worker":"w"}`:                                                         false,
		`{"task_id":"a","status":"succeeded"}`: false,
	} {
		if err := schema.Check([]byte(value)); (err == nil) != want {
			t.Errorf("%s: got %v, want that it fits: %v", value, err, want)
		}
		var ev task.Event
		if err := json.Unmarshal([]byte(value), &ev); err != nil {
			t.Errorf("%s: %v", value, err)
		}
	}
}
