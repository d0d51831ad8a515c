package schema_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

// vectors are what Node 20 answers to new RegExp(pattern, "u").test(text).
var vectors = []struct {
	pattern, text string
	want          bool
}{
	{`^\p{L}+$`, "Zürich", true},
	{`^[^\p{L}]+$`, "abc", false},
	{`^[^\p{L}]+$`, "12 ", true},
	{`^\u{1F680}$`, "🚀", true},
	{`^[\u{1F600}-\u{1F64F}]$`, "😀", true},
	{`^[\u{1F600}-\u{1F64F}]$`, "🚀", false},
	{`^\ud83d\ude80$`, "🚀", true},
	{`^.$`, "🚀", true},
	{`^.$`, "\u2028", false},
	{`^[^]$`, "\n", true},
	{`[]`, "a", false},
	{`^\s+$`, "\u00a0\ufeff\u2028\t\v", true},
	{`^\S$`, "\u00a0", false},
	{`^\w+$`, "é", false},
	{`^\w+$`, "ſK", false},
	{`^\d$`, "٣", false},
	{`a$`, "a\n", false},
	{`\bé`, "é", false},
	{`a\b`, "aé", true},
	{`^\cJ$`, "\n", true},
	{`^\x41\u00e9\0$`, "Aé\x00", true},
	{`^\p{Lu}\P{Lu}$`, "Zz", true},
	{`^\p{Script=Greek}+$`, "αΩ", true},
	{`^\p{Script_Extensions=Latin}$`, "a", true},
	{`^\p{ASCII}$`, "é", false},
	{`^(?<year>\d{4})-\k<year>$`, "2026-2026", true},
	{`^(a|b)\1$`, "bb", true},
	{`^(a|b)\1$`, "ab", false},
	{`^(?:(a)|b)*\1$`, "aab", true},
	{`^\1(a)$`, "a", true},
	{`(?<=(\d)\1)x`, "1 11x", true},
	{`(?<=^|,)x$`, "a,x", true},
	{`(?<!a)b`, "ab", false},
	{`(?<!^)b`, "b", false},
	{`(?<=ab\d)c`, "ab1c", true},
	{`(?<=a(?=b))b`, "ab", true},
	{`^(?=.*[A-Z])(?=.*\d)(?!.*\s).{8,}$`, "Passw0rdX", true},
	{`^(?=.*[A-Z])(?=.*\d)(?!.*\s).{8,}$`, "Passw0rd X", false},
	{`^(?!.*\.\.)[a-z.]+$`, "a..b", false},
	{`^(?:a|ab)(?:c|bcd)$`, "abcd", true},
	{`^(?:a?){3}a{3}$`, "aaa", true},
	{`^(?:a*)*$`, "aab", false},
	{`^(?:a{0,2}?b){2}$`, "abaab", true},
	{`^a{0}b$`, "b", true},
	{`a|`, "", true},
	{`^(?:^a|b$)+$`, "ab", true},
	{`^.{3}$`, "a🚀b", true},
}

func TestPatternsAreThoseOfECMA262(t *testing.T) {
	for _, v := range vectors {
		if got := match(t, v.pattern, v.text); got != v.want {
			t.Errorf("%q in %q: got %v, want %v", v.pattern, v.text, got, v.want)
		}
	}
}

const base64Pattern = `^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$`

func TestOrdinaryPatternsMatchLongTexts(t *testing.T) {
	t.Parallel()
	long := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("capstan 1", 420_000))) + "YQ=="
	if !match(t, base64Pattern, long) {
		t.Errorf("got no match in %d bytes of base64", len(long))
	}
	long = long[len(long)-100_000:]
	for _, pattern := range []string{
		`^[^<>]*$`, `=$`, `^(?:[A-Za-z0-9]|\+|/|=)+$`, `^(?=.*\d)(?=.*[a-z])(?!.*[#]).{8,}$`, `(?<=Y)Q==$`,
		`^[\s\S]+$`,
	} {
		if !match(t, pattern, long) {
			t.Errorf("%q: got no match in %d bytes", pattern, len(long))
		}
	}
	if match(t, base64Pattern, long+"!") {
		t.Error("got a match for what is no base64")
	}
}

func TestNoPatternTakesForever(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ pattern, text, want string }{
		{`^(a+)+$`, strings.Repeat("a", 20_000) + "!", "does not match"},
		{`^(?=(a|aa|.)+$)(a|aa)+!$`, strings.Repeat("a", 20_000), "does not match"},
		{`^(a+)+\1b$`, strings.Repeat("a", 64), "takes too long"},
		{`(.+)(.+)\1\2#`, strings.Repeat("a", 200_000), "takes too long"},
		{`^(?:(a)\1)*$`, strings.Repeat("a", 200_000), "takes too long"}, // each repetition takes stack
		{`(x|.{1,2000}){1,20}#`, strings.Repeat("a", 200_000), "takes too long"},
	} {
		got := check(t, nil, fmt.Sprintf(`{"pattern":%s}`, quoted(t, tc.pattern)), quoted(t, tc.text))
		if !strings.Contains(got, tc.want) {
			t.Errorf("%q: got %.100s, want that it %s", tc.pattern, got, tc.want)
		}
	}
}

func TestARepeatedPatternCountsOnce(t *testing.T) {
	large := `{"pattern":"^[a-z]{1,50000}$"}`
	if err := validate(`{"allOf":[` + large + strings.Repeat(","+large, 20) + `]}`); err != nil {
		t.Errorf("got %v, want it accepted", err)
	}
}
