package operator_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/capstan-worker/capstan/internal/operator"
)

func TestACostIsSaidAsFarAsItIsKnown(t *testing.T) {
	for _, c := range []struct {
		ended, failed operator.Cost
		want          string
	}{
		{operator.Cost{}, operator.Cost{}, ""},
		{operator.Cost{Steps: 812, StepsKnown: 31, Credits: 12.4, CreditsKnown: 31}, operator.Cost{}, "812 steps and 12.4 credits in 31 tasks"},
		{operator.Cost{Steps: 1, StepsKnown: 1}, operator.Cost{}, "1 step in 1 task"},
		{operator.Cost{StepsKnown: 2, CreditsKnown: 2}, operator.Cost{}, "0 steps and 0 credits in 2 tasks"},
		{operator.Cost{Credits: 0.5, CreditsKnown: 1}, operator.Cost{}, "0.5 credits in 1 task"},
		{operator.Cost{Steps: 9, StepsKnown: 4, Credits: 3, CreditsKnown: 2}, operator.Cost{}, "9 steps in 4 tasks and 3 credits in 2 tasks"},
		{
			operator.Cost{Steps: 9, StepsKnown: 4, Credits: 3, CreditsKnown: 4},
			operator.Cost{Steps: 2, StepsKnown: 1, Credits: 0.25, CreditsKnown: 1},
			"9 steps and 3 credits in 4 tasks; of these 2 steps and 0.25 credits in 1 task that failed",
		},
	} {
		if got := operator.CostText(c.ended, c.failed); got != c.want {
			t.Errorf("%+v, %+v: got %q, want %q", c.ended, c.failed, got, c.want)
		}
	}
}

func TestCreditsHaveFewDecimals(t *testing.T) {
	for credits, want := range map[float64]string{
		0: "0", 12.4: "12.4", 0.1 + 0.2: "0.3", 1234567.891: "1234567.89", 0.0042: "0.0042", 0.00000004: "0", 0.01: "0.01", 3: "3",
	} {
		if got := operator.CreditsText(credits); got != want {
			t.Errorf("%v: got %s, want %s", credits, got, want)
		}
	}
}

// The tool and the dashboard add up the same tasks in different orders.
func TestASumOfCreditsDoesNotDependOnTheOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	all := make([]float64, 1000)
	for i := range all {
		all[i] = random.Float64() * 10
	}
	var want operator.Cost
	for range 10 {
		var got operator.Cost
		for _, credits := range all {
			got = got.Plus(nil, &credits)
		}
		if want.IsZero() {
			want = got
		}
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	}
}

// Whoever may write a record can put any number there.
func TestAFigureThatNoTaskCanHaveIsNotKnown(t *testing.T) {
	var c operator.Cost
	for _, steps := range []int{-1, math.MinInt, math.MaxInt} {
		c = c.Plus(&steps, nil)
	}
	for _, credits := range []float64{-0.1, -math.MaxFloat64, math.MaxFloat64, math.Inf(1), math.NaN()} {
		c = c.Plus(nil, &credits)
	}
	if !c.IsZero() || c != (operator.Cost{}) {
		t.Errorf("got %+v, want nothing known", c)
	}
}
