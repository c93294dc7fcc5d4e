package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/kandinsky-serving/kandinsky-serving/clients/go/kandinsky"
)

const (
	barColumns = 30
	plainLines = 10
)

// progress is a line that redraws itself on a terminal, and a few plain lines
// elsewhere.
type progress struct {
	out        io.Writer
	isTerminal bool
	images     int
	steps      map[int]int // by image
	shown      int         // of the plain lines
	started    time.Time
	before     int // steps that were done when the clock started
}

// newProgress is for a request of so many images; nil: one.
func newProgress(out io.Writer, images *int) *progress {
	line := &progress{out: out, images: 1, steps: map[int]int{}}
	if images != nil {
		line.images = *images
	}
	if file, isFile := out.(*os.File); isFile {
		if info, err := file.Stat(); err == nil {
			line.isTerminal = info.Mode()&os.ModeCharDevice != 0
		}
	}
	return line
}

func (p *progress) queued(event kandinsky.Queued) {
	if event.Position > 0 || event.EstimatedWait >= time.Second {
		p.write(fmt.Sprintf("queued, %d ahead, about %.0f s", event.Position, event.EstimatedWait.Seconds()))
	}
}

func (p *progress) step(event kandinsky.Progress) {
	p.steps[event.ImageIndex] = event.Step
	done, total := 0, event.TotalSteps*p.images
	for _, steps := range p.steps {
		done += steps
	}
	text := fmt.Sprintf("%d/%d steps%s", done, total, p.left(done, total))
	if p.isTerminal {
		filled := barColumns * done / total
		p.write(fmt.Sprintf("[%s%s] %s", strings.Repeat("#", filled), strings.Repeat(".", barColumns-filled), text))
		return
	}
	if tenths := done * plainLines / total; tenths > p.shown {
		p.shown = tenths
		p.write(text)
	}
}

// left is when the rest will be done, from the pace since the first step.
func (p *progress) left(done, total int) string {
	if p.started.IsZero() {
		p.started, p.before = time.Now(), done
	}
	if done <= p.before {
		return ""
	}
	pace := time.Since(p.started).Seconds() / float64(done-p.before)
	return fmt.Sprintf(", %.0f s left", pace*float64(total-done))
}

func (p *progress) write(text string) {
	if p.isTerminal {
		fmt.Fprintf(p.out, "\r%s\x1b[K", text)
		return
	}
	fmt.Fprintln(p.out, text)
}

// clear removes the line from a terminal, so that what comes next stands alone.
func (p *progress) clear() {
	if p.isTerminal {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
