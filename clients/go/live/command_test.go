package live

import (
	"bytes"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// finished is how a run of kandinsky-go ended.
type finished struct {
	code           int
	stdout, stderr string
}

func runCommand(t *testing.T, binary string, arguments ...string) finished {
	t.Helper()
	var stdout, stderr bytes.Buffer
	command := exec.Command(binary, arguments...)
	command.Stdout, command.Stderr = &stdout, &stderr
	command.Env = append(os.Environ(), "KANDINSKY_SERVER="+deployment.address)
	_ = command.Run() // the exit code says it
	return finished{command.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func TestTheCommandMakesPicturesAndSaysWhatIsWrong(t *testing.T) {
	folder := t.TempDir()
	binary, out := filepath.Join(folder, "kandinsky-go"), filepath.Join(folder, "out.png")
	if text, err := exec.Command("go", "build", "-o", binary, "../cmd/kandinsky-go").CombinedOutput(); err != nil {
		t.Fatal(string(text))
	}
	picture := "../../../demo/sketch.png"
	needed := []string{"img2img", "-prompt", "a red circle", "-image", picture, "-out", out, "-width", "64", "-height", "64"}

	made := runCommand(t, binary, append(needed, "-seed", "5", "-num-images", "2", "-steps", "20", "-strength", "0.5")...)
	if made.code != 0 || !strings.Contains(made.stdout, "out-1.png  seed 6\n") {
		t.Errorf("got %+v", made)
	}
	if !strings.Contains(made.stderr, "20/20 steps") {
		t.Errorf("no progress to its end: %q", made.stderr)
	}
	file, err := os.Open(filepath.Join(folder, "out-1.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if shape, _, err := image.DecodeConfig(file); err != nil || shape.Width != 64 {
		t.Errorf("wrote %+v, %v", shape, err)
	}

	for name, c := range map[string]struct {
		code  int
		says  string
		flags []string
	}{
		"a strength that is not allowed": {2, "params.strength: 3 is outside 0.002 … 1", append(needed, "-strength", "3")},
		"a width that is not allowed":    {2, "params.width: 7 is outside 64", append(needed, "-width", "7")},
		"no image":                       {2, "-image is needed", []string{"img2img", "-prompt", "x", "-out", out}},
		"another suffix":                 {1, "must end in .png", append(needed, "-out", "out.gif")},
		"nobody there":                   {3, "connection refused", append(needed, "-server", "127.0.0.1:1")},
		"too little time":                {5, "", append(needed, "-timeout", "1ms")},
		"no command":                     {2, "usage: kandinsky-go", nil},
	} {
		if ended := runCommand(t, binary, c.flags...); ended.code != c.code || !strings.Contains(ended.stderr, c.says) {
			t.Errorf("%s: %+v", name, ended)
		}
	}
}

func TestTheProgramsOfTheGuideCompile(t *testing.T) {
	guide, err := os.ReadFile("../../../docs/go.md")
	if err != nil {
		t.Fatal(err)
	}
	programs := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllSubmatch(guide, -1)
	if len(programs) == 0 {
		t.Fatal("the guide has no programs")
	}
	for _, program := range programs {
		file := filepath.Join(t.TempDir(), "main.go")
		if err := os.WriteFile(file, program[1], 0o644); err != nil {
			t.Fatal(err)
		}
		if text, err := exec.Command("go", "vet", file).CombinedOutput(); err != nil {
			t.Errorf("%s\n%s", text, program[1])
		}
	}
}
