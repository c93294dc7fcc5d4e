package main

import (
	"strings"
	"testing"

	"github.com/kandinsky-serving/kandinsky-serving/clients/go/kandinsky"
)

func TestElsewhereThanOnATerminalTenLinesAreShown(t *testing.T) {
	var out strings.Builder
	line := newProgress(&out, new(2))
	for step := 1; step <= 50; step++ {
		line.step(kandinsky.Progress{ImageIndex: 0, Step: step, TotalSteps: 50})
		line.step(kandinsky.Progress{ImageIndex: 1, Step: step, TotalSteps: 50})
	}
	line.clear()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 10 || !strings.HasPrefix(lines[0], "10/100 steps, ") || lines[9] != "100/100 steps, 0 s left" {
		t.Errorf("got %q", lines)
	}
}

func TestOnATerminalOneLineIsRedrawn(t *testing.T) {
	var out strings.Builder
	line := newProgress(&out, nil)
	line.isTerminal = true
	line.queued(kandinsky.Queued{Position: 2})
	line.step(kandinsky.Progress{Step: 1, TotalSteps: 2})
	line.clear()
	want := "\rqueued, 2 ahead, about 0 s\x1b[K\r[###############...............] 1/2 steps\x1b[K\r\x1b[K"
	if out.String() != want {
		t.Errorf("got %q", out.String())
	}
}
