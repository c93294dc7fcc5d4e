package kandinsky

import (
	"math"
	"testing"
)

func TestNumbersAreWrittenAsTheServerWritesThem(t *testing.T) {
	for value, want := range map[float64]string{
		-1: "-1.0", 0: "0.0", 0.1: "0.1", -0.00012: "-0.00012", 1e-5: "1e-05", 1e16: "1e+16", 123456789: "123456789.0",
		math.Inf(1): "inf", math.Inf(-1): "-inf",
	} {
		if got := decimal(value); got != want {
			t.Errorf("%v is written %s, want %s", value, got, want)
		}
	}
	for value, want := range map[float64]string{
		0.001: "0.001", 1.5: "1.5", 1e-5: "1e-05", 0: "0", 1.0 / 3: "0.333333", math.Inf(1): "inf",
	} {
		if got := general(value); got != want {
			t.Errorf("%v is written %s, want %s", value, got, want)
		}
	}
	if got := decimal(math.NaN()); got != "nan" {
		t.Errorf("NaN is written %s", got)
	}
}
