package operator

import (
	"errors"
	"fmt"
	"strings"

	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/task"
)

// Request is a request of a batch: one that every worker accepts, under an id of its own.
type Request struct {
	outgoing
	Place string // where it stands, such as "orders.csv:17"
}

// Batch is a set of requests that are sent together. No two of them have the same task id.
type Batch struct {
	Name     string // the field batch that was asked for; "" if the requests have their own, or none
	Requests []Request
}

// maxShown is how many mistakes are shown.
const maxShown = 20

// MistakesError lists what is wrong with the requests of a file.
type MistakesError struct {
	Shown []string // the first 20, each with its place
	More  int      // how many others there are
}

// Error returns a line for each mistake that is shown.
func (e *MistakesError) Error() string {
	text := strings.Join(e.Shown, "\n")
	if e.More > 0 {
		text += fmt.Sprintf("\nand %d more", e.More)
	}
	return text
}

// add notes a mistake at a place.
func (e *MistakesError) add(place, text string) {
	if len(e.Shown) == maxShown {
		e.More++
		return
	}
	e.Shown = append(e.Shown, place+": "+text)
}

// err returns the mistakes as an error, or nil if there are none.
func (e *MistakesError) err() error {
	if len(e.Shown) == 0 {
		return nil
	}
	return e
}

// CheckBatchName returns an error if no request can have this batch.
func CheckBatchName(name string) error { return checkField("batch", quote(name)) }

// CheckTaskID returns an error if no task can have this id.
func CheckTaskID(id string) error { return checkField("task_id", quote(id)) }

// checkField returns an error if a request cannot have this value in a field. It puts the value into a minimal request,
// because the rule belongs to the package that reads requests.
func checkField(name string, value []byte) error {
	minimal := object{{"prompt", quote("p")}, {"url", quote("https://example.com")}}.with(name, value)
	_, err := task.ParseRequest(task.Delivery{Data: minimal.json()}, task.Defaults{})
	return err
}

// checker makes requests out of the lines of a file.
type checker struct {
	cfg   app.Config
	batch string

	places   map[string]string // by task id
	mistakes *MistakesError
}

// check returns the request of a line, or an error that says what is wrong with it.
func (c *checker) check(line fileLine) (Request, error) {
	o, err := parseObject(line.data)
	if err != nil {
		return Request{}, err
	}
	data := line.data
	if id := o.get("task_id"); id == nil {
		if c.batch == "" {
			return Request{}, errors.New("has no task_id; add one, or use --batch NAME, which makes one from the line, so that the same command can be run again")
		}
		o = o.with("task_id", quote(fmt.Sprintf("%s-%06d", c.batch, line.number)))
		data = nil
	}
	if c.batch != "" {
		if own := o.get("batch"); own != nil && o.text("batch") != c.batch {
			return Request{}, fmt.Errorf("batch is %.80s, but --batch is %q; leave one of them out", own, c.batch)
		}
		o = o.with("batch", quote(c.batch))
		data = nil
	}
	if data == nil {
		data = o.json()
	}
	r, err := parseOutgoing(c.cfg, data)
	return Request{r, line.place}, err
}

// add checks a line and returns its request, or false after it has noted a mistake.
func (c *checker) add(line fileLine) (Request, bool) {
	err := line.err
	var r Request
	if err == nil {
		r, err = c.check(line)
	}
	if err == nil {
		if first, taken := c.places[r.TaskID]; taken {
			err = fmt.Errorf("task_id %s is also at %s", r.TaskID, first)
		}
	}
	if err != nil {
		c.mistakes.add(line.place, err.Error())
		return Request{}, false
	}
	c.places[r.TaskID] = r.Place
	return r, true
}
