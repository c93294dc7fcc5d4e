package live

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const conformance = "../../conformance"

// testCase is one of cases.yaml; its README says what the keys mean.
type testCase struct {
	Name           string          `json:"name"`
	Method         string          `json:"method"`
	Request        json.RawMessage `json:"request"`
	TimeoutSeconds float64         `json:"timeout_seconds"`
	Expect         map[string]any  `json:"expect"`
	SamePicturesAs string          `json:"same_pictures_as"`
}

func readCases(t *testing.T) []testCase {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(conformance, "cases.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text, err = yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	var cases []testCase
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber() // a seed has more digits than a float
	if err := decoder.Decode(&cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

func (c testCase) timeout() time.Duration {
	return time.Duration(c.TimeoutSeconds * float64(time.Second))
}

// read fills a request in, with what its "@" strings stand for.
func (c testCase) read(message proto.Message, embeddings map[string]json.RawMessage) error {
	var request any
	if err := json.Unmarshal(c.Request, &request); err != nil {
		return err
	}
	filled, err := fill(request, embeddings)
	if err != nil {
		return err
	}
	text, err := json.Marshal(filled)
	if err != nil {
		return err
	}
	return protojson.Unmarshal(text, message)
}

func fill(value any, embeddings map[string]json.RawMessage) (any, error) {
	var err error
	switch value := value.(type) {
	case map[string]any:
		for key := range value {
			if value[key], err = fill(value[key], embeddings); err != nil {
				return nil, err
			}
		}
	case []any:
		for i := range value {
			if value[i], err = fill(value[i], embeddings); err != nil {
				return nil, err
			}
		}
	case string:
		if path, isFile := strings.CutPrefix(value, "@file:"); isFile {
			data, err := os.ReadFile(filepath.Join(conformance, path))
			return base64.StdEncoding.EncodeToString(data), err
		}
		if name, isAnswer := strings.CutPrefix(value, "@embeddings:"); isAnswer {
			if answer, has := embeddings[name]; has {
				return answer, nil
			}
			return nil, fmt.Errorf("no earlier case %q has answered with embeddings", name)
		}
	}
	return value, nil
}
