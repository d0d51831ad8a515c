package anchor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/capstan-worker/capstan/internal/task"
)

// mostBrowsers is more browsers than any plan allows.
const mostBrowsers = 1_000_000

// Plan is what the account of the API key may use.
type Plan struct {
	Tier string

	// Credits is what is left of them. Without any, the API answers submissions with 402.
	Credits float64

	// Browsers is how many may run at the same time, at most 1,000,000. -1 means no limit, and 0 that the API did not say.
	Browsers int
}

// RefusedError means that the API answered with 401, 402 or 403: the key is wrong, the credits are used up, or a cost
// limit is reached.
type RefusedError struct {
	Status  int
	Message string // the API's, without the key
}

// Error returns the status and the message.
func (e *RefusedError) Error() string { return fmt.Sprintf("%d: %s", e.Status, e.Message) }

// NotTheAPIError means that something else than the API answered: a gateway, another server, or a redirect. The base
// URL is wrong, or the API behind the gateway is down.
type NotTheAPIError struct {
	Status   int
	Location string // scheme and host of a redirect's target, if it names a host
}

// Error returns the status and what is wrong with the answer.
func (e *NotTheAPIError) Error() string {
	if e.Location != "" {
		return fmt.Sprintf("%d: a redirect to %s, and redirects are not followed", e.Status, e.Location)
	}
	return fmt.Sprintf("%d: the answer is not in the API's format", e.Status)
}

// Plan asks for the account's plan (GET /v1/billing). The call is free and shows whether the key is valid. The error is
// a *RefusedError if the API refused the key, and a *NotTheAPIError if something else answered. Any other error says
// nothing about the settings.
func (c *Client) Plan(ctx context.Context) (Plan, error) {
	a, err := c.call(ctx, http.MethodGet, "/v1/billing", nil, maxSmall)
	switch {
	case err != nil:
		return Plan{}, fmt.Errorf("ask for the plan: %s", c.message(err))
	case a.status == http.StatusUnauthorized, a.status == http.StatusPaymentRequired, a.status == http.StatusForbidden:
		return Plan{}, &RefusedError{Status: a.status, Message: a.message()}
	case a.status >= 300 && a.status <= 399, a.notNowReason() == task.NotTheAPI:
		return Plan{}, &NotTheAPIError{Status: a.status, Location: redirectHost(a.header)}
	case !a.isSuccess():
		return Plan{}, fmt.Errorf("ask for the plan: %d: %s", a.status, a.message())
	case a.err != nil:
		return Plan{}, fmt.Errorf("ask for the plan: %s", c.message(a.err))
	}
	return a.readPlan()
}

// readPlan reads {"data":{"tier","credits","max_concurrent_browsers"}}. A field that is missing or null is
// zero. HTML is a *NotTheAPIError: some web servers answer 200 to any path. The errors do not quote the
// answer.
func (a answer) readPlan() (Plan, error) {
	body := trimBOM(a.body)
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) { // HTML
		return Plan{}, &NotTheAPIError{Status: a.status}
	}
	var parsed struct {
		Data *struct {
			Tier     string
			Credits  float64
			Browsers float64 `json:"max_concurrent_browsers"`
		}
	}
	if err := json.Unmarshal(body, &parsed); err != nil {
		return Plan{}, errors.New("ask for the plan: the answer does not have the documented format")
	}
	if parsed.Data == nil {
		return Plan{}, errors.New("ask for the plan: the answer has no data")
	}
	browsers := int(min(max(parsed.Data.Browsers, -1), mostBrowsers))
	return Plan{Tier: truncate(parsed.Data.Tier), Credits: parsed.Data.Credits, Browsers: browsers}, nil
}

// redirectHost returns scheme and host of a Location header, or "" if it names no host. The rest of it may repeat
// secrets of the request.
func redirectHost(h http.Header) string {
	u, err := url.Parse(h.Get("Location"))
	if err != nil || u.Host == "" {
		return ""
	}
	return truncate((&url.URL{Scheme: u.Scheme, Host: u.Host}).String())
}
