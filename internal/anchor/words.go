package anchor

import "net/http"

// statusWords says what an HTTP status means, for an answer without a message. From 520 on they are Cloudflare's
// (developers.cloudflare.com, "5xx errors"): it stands in front of the API and could not get an answer from it.
func statusWords(status int) string {
	switch status {
	case 520:
		return "the gateway got an answer from the API that it could not read"
	case 521:
		return "the API refused the gateway's connection"
	case 522:
		return "the API did not answer the gateway's connection"
	case 523:
		return "the gateway could not reach the API"
	case 524:
		return "the API did not answer the gateway in time"
	case 525:
		return "the TLS handshake between the gateway and the API failed"
	case 526:
		return "the gateway does not trust the API's certificate"
	case 527:
		return "the connection between the gateway and the API broke"
	case 529:
		return "overloaded"
	case 530:
		return "the gateway could not find the API"
	}
	if words := http.StatusText(status); words != "" {
		return words
	}
	return "an answer without words"
}
