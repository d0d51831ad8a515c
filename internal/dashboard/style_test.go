package dashboard_test

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/dashboard"
)

// Texts need a contrast of 4.5, and marks such as bars and borders of fields one of 3 (WCAG 2.2, 1.4.3 and 1.4.11, AA).
func TestColorsHaveEnoughContrast(t *testing.T) {
	t.Parallel()
	style := dashboard.File("style.css")
	light, dark, found := strings.Cut(style, "prefers-color-scheme: dark")
	if !found {
		t.Fatal("got no dark colors")
	}
	for name, css := range map[string]string{"light": light, "dark": dark} {
		colors := map[string]string{}
		for _, m := range regexp.MustCompile(`--([\w-]+): (#[0-9a-f]{6});`).FindAllStringSubmatch(css, -1) {
			colors[m[1]] = m[2]
		}
		if len(colors) < 14 {
			t.Fatalf("%s: got %d colors, want all", name, len(colors))
		}
		for _, pair := range []struct {
			front, back string
			least       float64
		}{
			{"text", "ground", 4.5},
			{"text", "raised", 4.5},
			{"quiet", "ground", 4.5},
			{"quiet", "raised", 4.5},
			{"link", "ground", 4.5},
			{"link", "raised", 4.5},
			{"bad", "ground", 4.5},
			{"bad", "raised", 4.5},
			{"on-color", "good", 4.5},
			{"on-color", "bad", 4.5},
			{"on-color", "busy", 4.5},
			{"on-color", "idle", 4.5},
			{"on-color", "link", 4.5},
			{"text", "bad-ground", 4.5},
			{"text", "good-ground", 4.5},
			{"text", "note-ground", 4.5},
			{"link", "bad-ground", 4.5},
			{"link", "note-ground", 4.5},
			{"good", "raised", 3},
			{"busy", "raised", 3},
			{"idle", "raised", 3},
			{"idle", "ground", 3},
		} {
			if got := contrast(t, colors[pair.front], colors[pair.back]); got < pair.least {
				t.Errorf("%s: %s on %s: got %.2f, want %.1f or more", name, pair.front, pair.back, got, pair.least)
			}
		}
	}
}

// contrast returns the contrast ratio of two colors (WCAG 2.2).
func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// luminance returns the relative luminance of a color such as #1a56b0 (WCAG 2.2).
func luminance(t *testing.T, color string) float64 {
	t.Helper()
	if len(color) != 7 {
		t.Fatalf("got the color %q, want one such as #1a56b0", color)
	}
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(color[1+2*i:3+2*i], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := float64(n) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}
