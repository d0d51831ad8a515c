package anchor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// Plan is what the account that the key belongs to may use.
type Plan struct {
	Tier     string
	Credits  float64 // left
	Browsers int     // at once; -1: no limit, 0: the API did not say
}

// RefusedError is an answer of 401, 402 or 403: the key, the credits or a limit of cost stand in the way.
type RefusedError struct {
	Status  int
	Message string // the API's, without the key
}

// Error implements error.
func (e *RefusedError) Error() string { return fmt.Sprintf("%d: %s", e.Status, e.Message) }

// NotTheAPIError is an answer that is not the API's: a page of a gateway or of some other server, or a redirect. The
// base URL is wrong, or what stands behind it is not up.
type NotTheAPIError struct{ Status int }

// Error implements error.
func (e *NotTheAPIError) Error() string {
	return fmt.Sprintf("%d: the answer is not in the API's form", e.Status)
}

// Plan asks for the account's plan, which costs nothing and tells whether the key is good. The error is a
// *RefusedError if the API refused it, and a *NotTheAPIError if something else answered; any other error says nothing
// about the settings.
func (c *Client) Plan(ctx context.Context) (Plan, error) {
	a, err := c.call(ctx, http.MethodGet, "/v1/billing", nil, maxAnswer)
	switch {
	case err != nil:
		return Plan{}, fmt.Errorf("ask for the plan: %s", bounded(err.Error()))
	case a.status == http.StatusUnauthorized, a.status == http.StatusPaymentRequired, a.status == http.StatusForbidden:
		return Plan{}, &RefusedError{Status: a.status, Message: a.text()}
	case a.status >= 300 && a.status <= 499 && !json.Valid(a.body):
		return Plan{}, &NotTheAPIError{Status: a.status}
	case !a.ok():
		return Plan{}, fmt.Errorf("ask for the plan: %d: %s", a.status, a.text())
	case a.err != nil:
		return Plan{}, fmt.Errorf("ask for the plan: %w", a.err)
	}
	var body struct {
		Data *struct {
			Tier     string
			Credits  float64
			Browsers float64 `json:"max_concurrent_browsers"`
		}
	}
	if err := json.Unmarshal(a.body, &body); err != nil {
		return Plan{}, errors.New("ask for the plan: the answer is not what is documented")
	}
	if body.Data == nil {
		return Plan{}, errors.New("ask for the plan: the answer has no data")
	}
	return Plan{Tier: bounded(body.Data.Tier), Credits: body.Data.Credits, Browsers: int(body.Data.Browsers)}, nil
}
