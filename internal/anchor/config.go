package anchor

import "time"

// Config says where the API is and how it may be used.
type Config struct {
	APIKey         Secret        `split_words:"true" desc:"the API key; or name a file"`
	APIKeyFile     string        `split_words:"true" desc:"file that holds the API key; read again when it changes"`
	BaseURL        string        `split_words:"true" default:"https://api.anchorbrowser.io" desc:"where the API is"`
	RequestTimeout time.Duration `split_words:"true" default:"30s" desc:"longest HTTP call"`
	RateLimit      float64       `split_words:"true" default:"0" desc:"calls per second of this worker; 0: only what the API itself demands"`
}
