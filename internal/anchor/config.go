package anchor

import "time"

// Config says where the API is and how it may be used.
type Config struct {
	APIKey         Secret        `split_words:"true" desc:"the API key; or set ANCHORBROWSER_API_KEY_FILE"`
	APIKeyFile     string        `split_words:"true" desc:"file with the API key; read again when it changes"`
	BaseURL        string        `split_words:"true" default:"https://api.anchorbrowser.io" desc:"base URL of the API, without a path"`
	RequestTimeout time.Duration `split_words:"true" default:"30s" desc:"maximum time for one HTTP call"`
	RateLimit      float64       `split_words:"true" default:"0" desc:"calls per second of this worker; 0: only the API's own limits"`
}
