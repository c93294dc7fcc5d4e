package kandinsky

import (
	"context"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	imagegenv1 "github.com/kandinsky-serving/kandinsky-serving/clients/go/gen/imagegen/v1"
)

var anyPNG = []byte("\x89PNG\r\n\x1a\nand so on")

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(served{m})
}

// served runs the tests while a fake is up for the examples.
type served struct{ *testing.M }

func (s served) Run() int {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	server := grpc.NewServer()
	imagegenv1.RegisterImageServiceServer(server, &fakeGateway{picture: anyPNG, events: exampleEvents})
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()
	_ = os.Setenv("KANDINSKY_SERVER", listener.Addr().String())
	return s.M.Run()
}

// exampleEvents are what the streams of the examples tell.
var exampleEvents = []*imagegenv1.StreamImg2ImgResponse{
	event(&imagegenv1.Queued{RequestId: "r1", Tier: imagegenv1.Tier_TIER_PRIOR}),
	{Event: &imagegenv1.StreamImg2ImgResponse_Progress{Progress: &imagegenv1.Progress{Step: 1, TotalSteps: 2}}},
	{Event: &imagegenv1.StreamImg2ImgResponse_Progress{Progress: &imagegenv1.Progress{Step: 2, TotalSteps: 2}}},
}

// fakeGateway answers as it is told to.
type fakeGateway struct {
	imagegenv1.UnimplementedImageServiceServer
	events      []*imagegenv1.StreamImg2ImgResponse // of every stream
	picture     []byte
	knowsNobody bool          // Cancel finds nothing
	hold        bool          // work until the client leaves
	left        chan struct{} // gets a value when a held call's client has left
	calls       atomic.Int32
	mutex       sync.Mutex
	failures    []error // of the next calls, first one first
	metadata    metadata.MD
	request     *imagegenv1.Img2ImgRequest
}

func (f *fakeGateway) begin(ctx context.Context, request *imagegenv1.Img2ImgRequest) error {
	f.calls.Add(1)
	f.mutex.Lock()
	f.metadata, _ = metadata.FromIncomingContext(ctx)
	f.request = request
	var failure error
	if len(f.failures) > 0 {
		failure, f.failures = f.failures[0], f.failures[1:]
	}
	f.mutex.Unlock()
	if failure == nil && f.hold {
		<-ctx.Done()
		f.left <- struct{}{}
		return ctx.Err()
	}
	return failure
}

func (f *fakeGateway) result() *imagegenv1.Img2ImgResult {
	image := &imagegenv1.EncodedImage{
		Data: f.picture, Format: imagegenv1.ImageFormat_IMAGE_FORMAT_PNG, Width: 512, Height: 512,
	}
	return &imagegenv1.Img2ImgResult{
		RequestId: "r1", Images: []*imagegenv1.EncodedImage{image}, Seed: 7, Receipt: &imagegenv1.Receipt{},
	}
}

func (f *fakeGateway) Img2Img(
	ctx context.Context, request *imagegenv1.Img2ImgRequest,
) (*imagegenv1.Img2ImgResponse, error) {
	if err := f.begin(ctx, request); err != nil {
		return nil, err
	}
	return &imagegenv1.Img2ImgResponse{Result: f.result()}, nil
}

func (f *fakeGateway) StreamImg2Img(
	request *imagegenv1.StreamImg2ImgRequest, stream grpc.ServerStreamingServer[imagegenv1.StreamImg2ImgResponse],
) error {
	for _, event := range f.events {
		if err := stream.Send(event); err != nil {
			return err
		}
	}
	if err := f.begin(stream.Context(), request.GetRequest()); err != nil {
		return err
	}
	return stream.Send(&imagegenv1.StreamImg2ImgResponse{
		Event: &imagegenv1.StreamImg2ImgResponse_Result{Result: f.result()},
	})
}

func (f *fakeGateway) EncodePrompt(
	context.Context, *imagegenv1.EncodePromptRequest,
) (*imagegenv1.EncodePromptResponse, error) {
	return &imagegenv1.EncodePromptResponse{Embeddings: oneEmbedding()}, nil
}

func (f *fakeGateway) Interpolate(
	context.Context, *imagegenv1.InterpolateRequest,
) (*imagegenv1.InterpolateResponse, error) {
	return &imagegenv1.InterpolateResponse{Embeddings: oneEmbedding()}, nil
}

func oneEmbedding() *imagegenv1.ImageEmbeddings {
	embeddings, err := NewEmbeddings([][]float32{{1, 2, 3}}, nil, "")
	if err != nil {
		panic(err)
	}
	return embeddings.message
}

func (f *fakeGateway) Cancel(
	ctx context.Context, _ *imagegenv1.CancelRequest,
) (*imagegenv1.CancelResponse, error) {
	if f.knowsNobody {
		return &imagegenv1.CancelResponse{}, f.begin(ctx, nil)
	}
	return &imagegenv1.CancelResponse{Found: true, Phase: imagegenv1.Phase_PHASE_DENOISING}, f.begin(ctx, nil)
}

// serve runs a fake until the test ends; it returns the address.
func serve(t testing.TB, fake *fakeGateway, options ...grpc.ServerOption) string {
	t.Helper()
	if fake.left == nil {
		fake.left = make(chan struct{}, 8)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(append(options, grpc.MaxRecvMsgSize(maxMessageBytes))...)
	imagegenv1.RegisterImageServiceServer(server, fake)
	ended := make(chan error)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// connect returns a client that is closed when the test ends.
func connect(t testing.TB, config Config) *Client {
	t.Helper()
	client, err := New(config)
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

// quick is a retry policy that does not keep tests waiting.
var quick = Retry{InitialDelay: time.Microsecond}

func failure(code codes.Code, details ...protoadapt.MessageV1) error {
	told, err := status.New(code, "told by the server").WithDetails(details...)
	if err != nil {
		panic(err)
	}
	return told.Err()
}

func comeBackIn(delay time.Duration) *errdetails.RetryInfo {
	return &errdetails.RetryInfo{RetryDelay: durationpb.New(delay)}
}

func event(queued *imagegenv1.Queued) *imagegenv1.StreamImg2ImgResponse {
	return &imagegenv1.StreamImg2ImgResponse{Event: &imagegenv1.StreamImg2ImgResponse_Queued{Queued: queued}}
}
