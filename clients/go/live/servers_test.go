package live

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/kandinsky-serving/kandinsky-serving/clients/go/kandinsky"
)

var (
	readyLine      = regexp.MustCompile(`(?:ready|serving) on (\S+)`)
	metricsAddress = regexp.MustCompile(`"metrics": "([^"]+)"`)
)

// deployment is the gateway that all tests talk to. Only TestMain writes it.
var deployment struct{ address string }

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(served{m})
}

// served runs the tests while a deployment is up, and looks for leaks after it.
type served struct{ *testing.M }

func (s served) Run() int {
	deployment.address = os.Getenv("KANDINSKY_SERVER")
	if deployment.address != "" {
		return s.M.Run()
	}
	serving, err := start("kandinsky", nil, "serve", "--port", "0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer serving.stop(syscall.SIGTERM)
	deployment.address = serving.address
	return s.M.Run()
}

// process is a server in a process of its own.
type process struct {
	command *exec.Cmd
	address string
	log     lockedBuffer
}

// start runs one of our commands until it is ready.
func start(name string, environment []string, arguments ...string) (*process, error) {
	kandinsky, err := exec.LookPath(cmp.Or(os.Getenv("KANDINSKY_COMMAND"), "kandinsky"))
	if err != nil {
		return nil, fmt.Errorf("these tests start the servers: %w (see KANDINSKY_COMMAND)", err)
	}
	own := &process{command: exec.Command(filepath.Join(filepath.Dir(kandinsky), name), arguments...)}
	own.command.Env = append(os.Environ(), environment...)
	own.command.Stderr = &own.log
	output, err := own.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := own.command.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		if ready := readyLine.FindStringSubmatch(lines.Text()); ready != nil {
			own.address = ready[1]
			return own, nil
		}
	}
	return nil, errors.Join(fmt.Errorf("%s did not become ready: %s", name, own.log.String()), own.command.Wait())
}

// stop ends the process and waits for it.
func (p *process) stop(with syscall.Signal) {
	_ = p.command.Process.Signal(with)
	_ = p.command.Wait() // how a killed process ended is no news
}

// metrics is where the process said that it has its metrics.
func (p *process) metrics(t *testing.T) string {
	t.Helper()
	told := metricsAddress.FindStringSubmatch(p.log.String())
	if told == nil {
		t.Fatalf("no address of metrics in %s", p.log.String())
	}
	return told[1]
}

type lockedBuffer struct {
	mutex  sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(data []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.buffer.Write(data)
}

func (b *lockedBuffer) String() string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.buffer.String()
}

// connect returns a client of the deployment, or of what the Config says.
func connect(t *testing.T, config kandinsky.Config) *kandinsky.Client {
	t.Helper()
	if len(config.Servers) == 0 {
		config.Servers = []string{deployment.address}
	}
	client, err := kandinsky.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client
}

// sketch is the picture that requests start from.
func sketch(t *testing.T) []byte {
	t.Helper()
	picture, err := os.ReadFile("../../../demo/sketch.png")
	if err != nil {
		t.Fatal(err)
	}
	return picture
}
