package kandinsky

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	imagegenv1 "github.com/kandinsky-serving/kandinsky-serving/clients/go/gen/imagegen/v1"
)

func TestARequestCarriesWhatWasSetAndNothingElse(t *testing.T) {
	fake := &fakeGateway{}
	client := connect(t, Config{Servers: []string{serve(t, fake)}})
	request := Img2ImgRequest{
		Image: anyPNG, Prompt: "a red circle", GuidanceScale: new(0.0), Seed: new(uint64(0)), NegativePrompt: new(""),
		Width: new(64), Scheduler: DPMSolverPP2M, Prior: PriorOptions{Seed: new(uint64(3))}, Priority: High,
	}
	result, err := client.Img2Img(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	want := &imagegenv1.Img2ImgRequest{
		Image: anyPNG, Prompt: "a red circle", NegativePrompt: new(""),
		Params: &imagegenv1.Img2ImgParams{
			GuidanceScale: new(0.0), Seed: new(uint64(0)), Width: new(uint32(64)),
			Scheduler: imagegenv1.SchedulerType_SCHEDULER_TYPE_DPM_SOLVER_PP_2M,
		},
		Prior:    &imagegenv1.PriorParams{Seed: new(uint64(3))},
		Priority: imagegenv1.Priority_PRIORITY_HIGH,
	}
	if !proto.Equal(fake.request, want) {
		t.Errorf("sent %v, want %v", fake.request, want)
	}
	if len(result.Pictures) != 1 || result.Pictures[0].Format != PNG || result.Seed != 7 || result.RequestID != "r1" {
		t.Errorf("got %+v", result)
	}
}

func TestAStreamGivesItsEventsInOrderAndTheResultLast(t *testing.T) {
	fake := &fakeGateway{events: []*imagegenv1.StreamImg2ImgResponse{
		event(&imagegenv1.Queued{RequestId: "r1", Tier: imagegenv1.Tier_TIER_DECODER, EstimatedWaitSeconds: 1.5}),
		{}, // of a kind that this client does not know
		{Event: &imagegenv1.StreamImg2ImgResponse_Progress{Progress: &imagegenv1.Progress{
			Step: 1, TotalSteps: 2, Preview: &imagegenv1.EncodedImage{Format: imagegenv1.ImageFormat_IMAGE_FORMAT_JPEG},
		}}},
	}}
	client := connect(t, Config{Servers: []string{serve(t, fake)}})
	var events []Event
	for event, err := range client.StreamImg2Img(t.Context(), Img2ImgRequest{Image: anyPNG}) {
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, event)
	}
	if len(events) != 3 {
		t.Fatalf("got %d events: %v", len(events), events)
	}
	queued, progress := events[0].(Queued), events[1].(Progress)
	if queued != (Queued{RequestID: "r1", Tier: "decoder", EstimatedWait: 1500 * time.Millisecond}) {
		t.Errorf("got %+v", queued)
	}
	if progress.Step != 1 || progress.TotalSteps != 2 || progress.Preview.Format != JPEG {
		t.Errorf("got %+v", progress)
	}
	if result := events[2].(*Img2ImgResult); result.Seed != 7 {
		t.Errorf("got %+v", result)
	}
}

func TestLeavingAStreamStopsTheRequest(t *testing.T) {
	fake := &fakeGateway{hold: true, events: []*imagegenv1.StreamImg2ImgResponse{event(&imagegenv1.Queued{})}}
	client := connect(t, Config{Servers: []string{serve(t, fake)}})
	for _, err := range client.StreamImg2Img(t.Context(), Img2ImgRequest{Image: anyPNG}) {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	<-fake.left
}

func TestACancelledContextStopsTheRequestAndIsWhatTheErrorIs(t *testing.T) {
	fake := &fakeGateway{hold: true, events: []*imagegenv1.StreamImg2ImgResponse{event(&imagegenv1.Queued{})}}
	client := connect(t, Config{Servers: []string{serve(t, fake)}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var failed error
	for _, err := range client.StreamImg2Img(ctx, Img2ImgRequest{Image: anyPNG}) {
		cancel()
		failed = err
	}
	if !errors.Is(failed, context.Canceled) || status.Code(failed) != codes.Canceled {
		t.Errorf("got %v", failed)
	}
	<-fake.left
}

func TestADeadlineReachesTheServer(t *testing.T) {
	fake := &fakeGateway{hold: true}
	client := connect(t, Config{Servers: []string{serve(t, fake)}, Timeout: 50 * time.Millisecond})
	_, err := client.Img2Img(t.Context(), Img2ImgRequest{Image: anyPNG})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	<-fake.left
}

func TestAnErrorSaysAllThatTheServerSaid(t *testing.T) {
	fake := &fakeGateway{failures: []error{failure(codes.InvalidArgument,
		&errdetails.ErrorInfo{Domain: "imagegen.v1", Reason: "INVALID_FIELD", Metadata: map[string]string{"request_id": "r9"}},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: "params.width", Description: "7 is outside 64 … 1024"},
		}},
		comeBackIn(2*time.Second),
	)}}
	client := connect(t, Config{Servers: []string{serve(t, fake)}})
	_, err := client.Img2Img(t.Context(), Img2ImgRequest{Image: anyPNG})
	failed, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	if !slices.Equal(failed.Violations, []FieldViolation{{"params.width", "7 is outside 64 … 1024"}}) {
		t.Errorf("got %v", failed.Violations)
	}
	if *failed.RetryAfter != 2*time.Second || failed.Reason != "INVALID_FIELD" || failed.RequestID != "r9" {
		t.Errorf("got %+v", failed)
	}
	if status.Code(err) != codes.InvalidArgument || err.Error() != "kandinsky: told by the server (InvalidArgument)" {
		t.Errorf("got %v", err)
	}
}

func TestAnErrorOfSomebodyElseHasNoReason(t *testing.T) {
	err := errorOf(failure(codes.Unavailable, &errdetails.ErrorInfo{Domain: "a.proxy", Reason: "OVERLOAD"}), nil)
	if err.Reason != "" || err.Code != codes.Unavailable {
		t.Errorf("got %+v", err)
	}
}

func TestCancelTellsThePhase(t *testing.T) {
	client := connect(t, Config{Servers: []string{serve(t, &fakeGateway{})}})
	found, err := client.Cancel(t.Context(), "mine")
	if err != nil || found != (CancelResult{true, "denoising"}) {
		t.Errorf("got %+v, %v", found, err)
	}
}

func TestCancelAsksAllGatewaysForTheOneThatHasTheRequest(t *testing.T) {
	other := serve(t, &fakeGateway{knowsNobody: true})
	client := connect(t, Config{Servers: []string{other, serve(t, &fakeGateway{}), "127.0.0.1:1"}, Retry: quick})
	found, err := client.Cancel(t.Context(), "mine")
	if err != nil || !found.Found {
		t.Errorf("got %+v, %v", found, err)
	}
	nobody := connect(t, Config{Servers: []string{other, "127.0.0.1:1"}, Retry: quick})
	if found, err := nobody.Cancel(t.Context(), "mine"); status.Code(err) != codes.Unavailable {
		t.Errorf("one gateway was not asked, but the answer is %+v, %v", found, err)
	}
}

func TestAWrongRequestIsNotSent(t *testing.T) {
	fake := &fakeGateway{}
	client := connect(t, Config{Servers: []string{serve(t, fake)}})
	nobody := Img2ImgRequest{Image: anyPNG}
	for name, change := range map[string]func(*Img2ImgRequest){
		"image":                     func(r *Img2ImgRequest) { r.Image = nil },
		"params.width":              func(r *Img2ImgRequest) { r.Width = new(-1) },
		"params.scheduler":          func(r *Img2ImgRequest) { r.Scheduler = "euler" },
		"params.strength":           func(r *Img2ImgRequest) { r.Strength = new(0.0) },
		"params.guidance_scale":     func(r *Img2ImgRequest) { r.GuidanceScale = new(-1.0) },
		"request_id":                func(r *Img2ImgRequest) { r.RequestID = "two words" },
		"preview_every_steps":       func(r *Img2ImgRequest) { r.PreviewEverySteps = -1 },
		"prior.num_inference_steps": func(r *Img2ImgRequest) { r.Prior.NumInferenceSteps = new(-1) },
	} {
		request := nobody
		change(&request)
		for _, err := range client.StreamImg2Img(t.Context(), request) {
			failed, ok := errors.AsType[*Error](err)
			if !ok || failed.Code != codes.InvalidArgument || failed.Violations[0].Field != name {
				t.Errorf("%s: got %v", name, err)
			}
		}
	}
	if fake.calls.Load() != 0 {
		t.Errorf("%d requests were sent", fake.calls.Load())
	}
}
