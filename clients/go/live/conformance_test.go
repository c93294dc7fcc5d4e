package live

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"testing"

	"github.com/kandinsky-serving/kandinsky-serving/clients/go/kandinsky"
)

func TestConformance(t *testing.T) {
	var sent int
	client := connect(t, kandinsky.Config{DialOptions: counting(&sent), Retry: kandinsky.Retry{MaxAttempts: 1}})
	run := runner{client, &sent, map[string]json.RawMessage{}}
	outcomes := map[string]map[string]any{}
	for _, c := range readCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			seen, err := run.run(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			own := plain(t, seen)
			outcomes[c.Name] = own
			if !contains(own, c.Expect) {
				t.Errorf("outcome %v\nexpected %v", own, c.Expect)
			}
			if same := c.SamePicturesAs; same != "" && !reflect.DeepEqual(own["pictures"], outcomes[same]["pictures"]) {
				t.Errorf("its pictures %v are not those of %q: %v", own["pictures"], same, outcomes[same]["pictures"])
			}
		})
	}
	write(t, outcomes)
}

// plain is an outcome as it looks when read from JSON.
func plain(t *testing.T, seen outcome) map[string]any {
	t.Helper()
	text, err := json.Marshal(seen)
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber() // a seed has more digits than a float
	var own map[string]any
	if err := decoder.Decode(&own); err != nil {
		t.Fatal(err)
	}
	return own
}

// contains tells whether all keys of a mapping are there, with these values.
func contains(own, expected any) bool {
	wanted, isMapping := expected.(map[string]any)
	if !isMapping {
		return reflect.DeepEqual(own, expected)
	}
	there, isMapping := own.(map[string]any)
	for key, value := range wanted {
		if !isMapping || !contains(there[key], value) {
			return false
		}
	}
	return isMapping
}

// write leaves the outcomes where whoever compares the clients looks for them.
func write(t *testing.T, outcomes map[string]map[string]any) {
	t.Helper()
	path := os.Getenv("KANDINSKY_OUTCOMES")
	if path == "" {
		return
	}
	text, err := json.MarshalIndent(outcomes, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}
