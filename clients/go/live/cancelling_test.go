package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	imagegenv1 "github.com/kandinsky-serving/kandinsky-serving/clients/go/gen/imagegen/v1"
	"github.com/kandinsky-serving/kandinsky-serving/clients/go/kandinsky"
)

// long is a request of many seconds.
func long(t *testing.T, steps int) kandinsky.Img2ImgRequest {
	return kandinsky.Img2ImgRequest{
		Image: sketch(t), Prompt: "a red circle", NumInferenceSteps: new(steps), Strength: new(1.0), Seed: new(uint64(1)),
	}
}

func TestCancellingAContextFreesTheDecodersRow(t *testing.T) {
	decoder := decoderWithMetrics(t)
	front := gateway(t, connect(t, kandinsky.Config{}), "--decoder", decoder.address, "--metrics-port", "0")
	client := connect(t, kandinsky.Config{Servers: []string{front.address}})
	for _, err := range client.StreamImg2Img(t.Context(), long(t, 3)) { // one that ends by itself is not counted
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for event, err := range client.StreamImg2Img(ctx, long(t, 1000)) {
		if _, runs := event.(kandinsky.Progress); runs {
			awaitCount(t, decoder, "kandinsky_running_rows", 1)
			cancel()
		}
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Fatalf("the stream ended with %v", last)
	}
	awaitCount(t, decoder, "kandinsky_running_rows", 0)
	awaitCount(t, decoder, "kandinsky_cancellations_total", 1)
	awaitCount(t, front, "kandinsky_cancellations_total", 1)
}

// decoderWithMetrics starts a decoder of the test's own.
func decoderWithMetrics(t *testing.T) *process {
	t.Helper()
	own, err := start("kandinsky-decoder", []string{"KANDINSKY_WARM_UP=false"},
		"--model", "../../../demo/checkpoint/decoder", "--port", "0", "--metrics-port", "0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { own.stop(syscall.SIGTERM) })
	return own
}

func TestLeavingTheLoopFreesTheDecodersRow(t *testing.T) {
	client := connect(t, kandinsky.Config{})
	for event, err := range client.StreamImg2Img(t.Context(), long(t, 1000)) {
		if err != nil {
			t.Fatal(err)
		}
		if _, runs := event.(kandinsky.Progress); runs {
			break
		}
	}
	awaitIdleDecoder(t, client)
}

func TestACancelCallEndsTheRequestWithItsReason(t *testing.T) {
	client := connect(t, kandinsky.Config{})
	request := long(t, 1000)
	request.RequestID = "to-be-cancelled"
	var last error
	for event, err := range client.StreamImg2Img(t.Context(), request) {
		if progress, runs := event.(kandinsky.Progress); runs && progress.Step == 1 {
			found, err := client.Cancel(t.Context(), request.RequestID)
			if err != nil || !found.Found || found.Phase != "denoising" {
				t.Errorf("Cancel: %+v, %v", found, err)
			}
		}
		last = err
	}
	failed, ok := errors.AsType[*kandinsky.Error](last)
	if !ok || failed.Reason != "CANCELLED_BY_ID" || failed.RequestID != request.RequestID {
		t.Errorf("got %v", last)
	}
	if errors.Is(last, context.Canceled) {
		t.Error("it looks as if the caller's own context had been cancelled")
	}
	awaitIdleDecoder(t, client)
}

// awaitIdleDecoder returns when the decoder says that it has nothing to do.
func awaitIdleDecoder(t *testing.T, client *kandinsky.Client) {
	t.Helper()
	awaitDecoder(t, client, func(rows int) bool { return rows == 0 })
}

// awaitDecoder returns when the decoder says that it has as many rows as wanted.
func awaitDecoder(t *testing.T, client *kandinsky.Client, wanted func(rows int) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // a long request alone takes longer
	defer cancel()
	connection, err := grpc.NewClient(worker(t, client, "decoder"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	watch, err := imagegenv1.NewDecoderServiceClient(connection).WatchStatus(ctx, &imagegenv1.DecoderServiceWatchStatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for {
		news, err := watch.Recv()
		if err != nil {
			t.Fatalf("the decoder has not as many rows as it should: %v", err)
		}
		if wanted(int(news.GetStatus().GetRunningRows() + news.GetStatus().GetQueuedRows())) {
			return
		}
	}
}

// worker is the address of a tier's worker.
func worker(t *testing.T, client *kandinsky.Client, tier string) string {
	t.Helper()
	info, err := client.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, worker := range info.GetWorkers() {
		if name(worker.GetTier()) == tier {
			return worker.GetAddress()
		}
	}
	t.Fatalf("no %s among %v", tier, info.GetWorkers())
	return ""
}

// awaitCount reads a metric until it has a value, for less time than a long
// request takes.
func awaitCount(t *testing.T, server *process, metric string, want float64) {
	t.Helper()
	giveUp := time.Now().Add(10 * time.Second)
	for {
		count := counted(t, server, metric)
		if count == want {
			return
		}
		if time.Now().After(giveUp) {
			t.Fatalf("%s is %v, not %v", metric, count, want)
		}
	}
}

// counted adds a metric up over its labels; one with labels that has counted
// nothing is not there.
func counted(t *testing.T, server *process, metric string) float64 {
	t.Helper()
	sum := 0.0
	for line := range strings.Lines(page(t, fmt.Sprintf("http://%s/metrics", server.metrics(t)))) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if series != metric && !strings.HasPrefix(series, metric+"{") {
			continue
		}
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += number
	}
	return sum
}

func page(t *testing.T, address string) string {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
